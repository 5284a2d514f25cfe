"""``avatarkit bulk`` with a journal in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import Box, Ran
from test_cli_bulk import SUBMIT, begin, manifest

from avatarkit.bulk import local
from avatarkit.bulk.records import Run, RunSettings
from avatarkit.cli.bulk_journal import command_line, shown

if TYPE_CHECKING:
    from postgres_server import Database

pytest_plugins = ("postgres_server",)
Start = Callable[..., Ran]


def test_a_run_in_a_database(
    run: Start, box: Box, tmp_path: Path, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command takes an address as it takes a file, and never shows a password."""
    monkeypatch.setattr(local, "_RECONCILE_EVERY", 0.05)
    box.sandbox.faults.add(SUBMIT, "close_after")
    name = postgres.schema
    where = ("--journal", postgres.dsn, "--run", name)
    ran = run(*begin(manifest(box, tmp_path, 2), *where))
    assert ran.code == 9, ran.err
    journal = (postgres.dsn, "--run", name)
    told = run("bulk", "status", *journal, "--json").document
    assert (told["total"], told["done"], told["held"]) == (2, 1, 1)
    assert run("bulk", "doubts", *journal).code == 0
    page, table = tmp_path / "report.html", tmp_path / "out.csv"
    assert run("bulk", "report", *journal, "-o", str(page)).code == 0
    assert run("bulk", "export", *journal, "-o", str(table)).code == 0
    assert run("bulk", "resend", *journal, "--all-held").code == 0
    assert run("bulk", "run", str(tmp_path / "jobs.csv"), *where).code == 0
    assert len(box.sandbox.tasks()) == 3


def test_passwords_are_not_shown() -> None:
    """What is printed of an address, and the command that goes on, hold neither password nor parameters."""
    address = "postgresql://someone:hush-hush@db.example:5432/jobs?password=hush-hush"
    settings = RunSettings(provider="hifly", account="a", out="my videos", manifest="jobs.csv")
    assert shown(address) == "postgresql://someone@db.example:5432/jobs"
    assert shown("postgresql://db.example/jobs") == "postgresql://db.example/jobs"
    text = command_line(address, Run(id="may", settings=settings))
    assert text == (
        "avatarkit bulk run jobs.csv --provider hifly --out 'my videos'"
        " --journal postgresql://someone@db.example:5432/jobs --run may"
    )
