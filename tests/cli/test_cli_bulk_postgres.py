"""``avatarkit bulk`` with a journal in PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from commandline import Box, Ran
from test_cli_bulk import SUBMIT, begin, manifest

from avatarkit.bulk import local, postgres_links
from avatarkit.bulk.journal import open_ledger
from avatarkit.bulk.records import Run, RunSettings
from avatarkit.cli import bulk_journal
from avatarkit.cli.bulk_journal import command_line, shown

if TYPE_CHECKING:
    from postgres_server import Database, Server

pytest_plugins = ("postgres_server",)
Start = Callable[..., Ran]

# Nobody listens on port 1.
AWAY = "postgresql://someone:hush-hush@127.0.0.1:1/jobs"


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
    """What is printed of an address, and the command that goes on, hold no password."""
    address = "postgresql://someone:hush-hush@db.example:5432/jobs?password=hush-hush"
    settings = RunSettings(provider="hifly", account="a", out="my videos", manifest="jobs.csv")
    assert shown(address) == "postgresql://someone@db.example:5432/jobs"
    assert shown("postgresql://db.example/jobs") == "postgresql://db.example/jobs"
    text = command_line(address, Run(id="may", settings=settings))
    assert text == (
        "avatarkit bulk run jobs.csv --provider hifly --out 'my videos'"
        " --journal postgresql://someone@db.example:5432/jobs --run may"
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who looks waits 0.2 s for a database and hears of it after 0.05 s."""
    monkeypatch.setattr(bulk_journal, "LOOKING", 0.2)
    monkeypatch.setattr("avatarkit.cli.bulk_move.LOOKING", 0.2)
    monkeypatch.setattr(postgres_links, "SAY_AFTER", 0.05)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "command",
    [
        ["status", AWAY],
        ["doubts", AWAY],
        ["report", AWAY, "-o", "page.html"],
        ["export", AWAY, "-o", "out.csv"],
        ["resend", AWAY, "k"],
        ["adopt", AWAY, "k", "17"],
        ["move", "jobs.csv.run.db", "--dsn", AWAY],
    ],
)
def test_a_database_that_is_away_is_not_waited_for_by_people(
    run: Start, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Who looks or decides hears at once that it is waited for, and soon that it cannot be reached, and why."""
    monkeypatch.chdir(tmp_path)
    if command[0] == "move":
        run(*begin(manifest(box, tmp_path, 1)))
    begun = time.monotonic()
    ran = run("bulk", *command)
    assert time.monotonic() - begun < 20
    assert ran.code == 6
    first, error, advice = ran.err.splitlines()
    assert first.startswith("waiting for the database <host=127.0.0.1 port=1 dbname=jobs user=someone")
    assert "Connection refused" in first
    assert "Connection refused" in error
    assert "try again when the database can be reached" in advice
    assert "hush-hush" not in ran.err


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("command", ["run", "feed", "worker"])
def test_runs_and_workers_say_that_they_wait(
    run: Start, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """They keep their patience, and say that they need it; not with ``--quiet``."""
    path = str(manifest(box, tmp_path, 1))
    given = ("--provider", "hifly", "--out", str(tmp_path / "videos"))
    arguments = {
        "run": ("run", path, "--journal", AWAY, *given),
        "feed": ("feed", path, "--dsn", AWAY, *given),
        "worker": ("worker", "--dsn", AWAY),
    }[command]
    monkeypatch.setattr(bulk_journal, "PATIENCE", 0.5)
    begun = time.monotonic()
    ran = run("bulk", *arguments)
    assert time.monotonic() - begun > 0.45
    assert ran.code == 6
    assert ran.err.startswith("waiting for the database <host=127.0.0.1 port=1")
    assert run("bulk", *arguments, "--quiet").err.startswith("avatarkit: ")


def test_a_wait_that_ends_well_is_told_once(
    run: Start, postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the database is back is said after it was said to be away, and the command goes on."""
    real, tries = psycopg.AsyncConnection.connect, []

    async def late(*given: object, **more: object) -> object:
        tries.append(0)
        if len(tries) < 8:
            raise psycopg.OperationalError("connection refused, says the test")
        return await real(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(postgres_links, "SAY_AFTER", 0.02)
    monkeypatch.setattr(psycopg.AsyncConnection, "connect", late)
    ran = run("bulk", "status", postgres.dsn, "--run", "none")
    first, second, *_ = ran.err.splitlines()
    assert first.endswith("which cannot be reached: connection refused, says the test")
    assert second == "the database is back"
    assert ran.code == 2


def test_who_may_only_read_can_look(run: Start, box: Box, tmp_path: Path, own_postgres: Database) -> None:
    """A user with no right to write sees where a run is."""
    own_postgres.run("drop schema if exists avatarkit cascade")
    where = ("--journal", own_postgres.dsn, "--run", own_postgres.schema)
    assert run(*begin(manifest(box, tmp_path, 1), *where)).code == 0
    own_postgres.run("grant usage on schema avatarkit to visitor")
    own_postgres.run("grant select on all tables in schema avatarkit to visitor")
    login = psycopg.conninfo.conninfo_to_dict(own_postgres.dsn)
    address = f"postgresql://visitor:visitors-password@/{login['dbname']}?host={login['host']}"
    ran = run("bulk", "status", address, "--json")
    own_postgres.run("drop schema if exists avatarkit cascade")
    assert ran.code == 0, ran.err
    assert ran.document["done"] == 1


@pytest.mark.usefixtures("quick")
def test_a_server_that_does_not_answer(run: Start) -> None:
    """It takes the connection and says nothing: the same end as where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"postgresql://someone@127.0.0.1:{silent.getsockname()[1]}/jobs"
        ran = run("bulk", "status", address)
    assert ran.code == 6
    first, error, _ = ran.err.splitlines()
    assert first.endswith("which cannot be reached")
    assert "the database does not answer" in error


@pytest.mark.asyncio
async def test_a_database_that_goes_and_comes_back_is_told_of(
    postgres_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of the work, too; whoever worked on goes on, and a short absence is not worth a word."""
    monkeypatch.setattr(postgres_links, "SAY_AFTER", 0.05)
    said: list[str] = []
    ledger = await open_ledger(postgres_server.dsn, say=said.append)
    try:
        assert await ledger.runs() is not None
        await asyncio.to_thread(postgres_server.stop)
        looking = asyncio.ensure_future(ledger.runs())
        while not said:
            await asyncio.sleep(0.01)
        assert not looking.done()
        await asyncio.to_thread(postgres_server.start)
        await looking
        assert len(said) == 2
        assert said[0].startswith("waiting for the database <")
        assert said[1] == "the database is back"
        monkeypatch.setattr(postgres_links, "SAY_AFTER", 60.0)
        await asyncio.to_thread(postgres_server.stop)
        looking = asyncio.ensure_future(ledger.runs())
        await asyncio.sleep(0.02)
        await asyncio.to_thread(postgres_server.start)
        await looking
        assert len(said) == 2
    finally:
        await ledger.aclose()
