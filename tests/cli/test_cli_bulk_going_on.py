"""What the bulk commands print for going on with a run: a command that works, without a secret, when it is needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from commandline import Box, Ran
from test_cli_bulk import begin, manifest

from avatarkit.bulk.journal import open_ledger
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.records import Run, RunSettings, RunState
from avatarkit.bulk.worktime import AtWork, WorkTime, keep_work_time
from avatarkit.cli.bulk_journal import command_line, going_on, keep_fleet, shown

Start = Callable[..., Ran]
ADDRESS = "postgresql://someone:hush-hush@/videos?host=/tmp/x&password=hush-hush"
SHOWN = "postgresql://someone@/videos?host=/tmp/x"


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("postgresql://postgres:@/postgres?host=/tmp/x", "postgresql://postgres@/postgres?host=/tmp/x"),
        ("postgresql://u:hush@db.example:5432/jobs?password=hush", "postgresql://u@db.example:5432/jobs"),
        ("postgresql://db.example/jobs", "postgresql://db.example/jobs"),
        ("postgres://a:5,b:6/jobs?target_session_attrs=read-write", "postgres://a:5,b:6/jobs?target_session_attrs=read-write"),
        (
            "postgresql:///jobs?host=/tmp&user=u&pass%77ord=hush&sslmode=require&sslpassword=hush",
            "postgresql:///jobs?host=/tmp&user=u&sslmode=require",
        ),
        ("postgresql://h/jobs?sslkey=/k.pem&scram_client_key=hush&pasword=hush", "postgresql://h/jobs?sslkey=/k.pem"),
        ("postgresql://h/jobs?application_name=a@b&passfile=/p", "postgresql://h/jobs?application_name=a@b&passfile=/p"),
        ("postgresql://u:hu?sh@h/jobs", "postgresql://u@h/jobs"),
        ("postgresql://u:hu@sh@h/jobs?port=1", "postgresql://u@h/jobs?port=1"),
        ("postgresql://u:hu/sh@h/jobs?port=1", "postgresql://u@h/jobs?port=1"),
        ("postgresql://u:h%3Fush@h/jobs#x", "postgresql://u@h/jobs#x"),
        ("postgresql://[::1]:5432/jobs?", "postgresql://[::1]:5432/jobs"),
        ("postgresql://h?user=u&password=hush@x", "postgresql://h@x"),
        ("postgresql://", "postgresql://"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_secrets(address: str, told: str) -> None:
    """Its password goes, wherever it stands and however it is misspelt; what the connection needs else is kept."""
    assert shown(address) == told
    assert "hush" not in told


@pytest_asyncio.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """A ledger with one run."""
    opened = await open_ledger(tmp_path / "run.db")
    await opened.open_run("main", RunSettings(provider="hifly", account="a", out="o", manifest="my jobs.csv"))
    yield opened
    await opened.aclose()


@pytest.mark.asyncio
async def test_a_run_of_workers(ledger: Ledger) -> None:
    """A run that was fed for workers, or that one worked on, is theirs; another one is not."""
    (run,) = await ledger.runs()
    assert await going_on(ledger, ADDRESS, run) == command_line(ADDRESS, run)
    assert command_line(ADDRESS, run).endswith(f"--journal '{SHOWN}'")
    await keep_fleet(ledger, "main")
    worker = f"avatarkit bulk worker --dsn '{SHOWN}'"
    assert await going_on(ledger, ADDRESS, run) == worker
    assert (await going_on(ledger, "run.db", run)).startswith("avatarkit bulk run ")
    await keep_fleet(ledger, "main", "procrastinate")
    await keep_fleet(ledger, "main")  # fed again: the workers' engine is the same
    assert await going_on(ledger, ADDRESS, run) == f"{worker} --engine procrastinate"
    await keep_fleet(ledger, "main", "pgqueuer")
    assert await going_on(ledger, ADDRESS, run) == worker


@pytest.mark.asyncio
async def test_a_stopped_run_of_workers_is_fed_again(ledger: Ledger) -> None:
    """Workers would take nothing of it."""
    await keep_fleet(ledger, "main")
    await ledger.set_run_state("main", RunState.STOPPED, "budget")
    (run,) = await ledger.runs()
    assert await going_on(ledger, ADDRESS, run) == f"avatarkit bulk feed 'my jobs.csv' --dsn '{SHOWN}'"
    other = Run(id="may", settings=run.settings, state=RunState.STOPPED)
    await keep_fleet(ledger, "may")
    assert (await going_on(ledger, ADDRESS, other)).endswith(" --run may")


@pytest.mark.asyncio
async def test_nothing_is_said_while_somebody_works(ledger: Ledger) -> None:
    """Who works on it goes on by itself; once the work has ended, or was cut off some time ago, it is said."""
    (run,) = await ledger.runs()
    async with AtWork(ledger, "main"):
        assert await going_on(ledger, ADDRESS, run) == ""
    assert await going_on(ledger, ADDRESS, run)
    long_ago = time.time() - 3600.0
    cut_off = WorkTime(spans=((long_ago, long_ago + 1),), at_work={"x": long_ago + 1})
    await keep_work_time(ledger, "main", cut_off)
    assert await going_on(ledger, ADDRESS, run)


def test_status_of_a_run(run: Start, box: Box, tmp_path: Path) -> None:
    """What stopped is shown with its command, also right after it was killed."""
    assert run(*begin(manifest(box, tmp_path, 5), "--budget", "20")).code == 10
    journal = str(tmp_path / "jobs.csv.run.db")
    assert "to go on: avatarkit bulk run " in run("bulk", "status", journal).out

    async def work() -> str:
        ledger = await open_ledger(journal)
        try:
            async with AtWork(ledger, "main"):
                return (await asyncio.to_thread(run, "bulk", "status", journal)).out
        finally:
            await ledger.aclose()

    assert "to go on: avatarkit bulk run " in asyncio.run(work())


# -- after the account's key was changed


def test_a_run_of_another_key(run: Start, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a run that was begun with another account names the variable, and with it the run goes on."""
    path = manifest(box, tmp_path, 5)
    assert run(*begin(path, "--budget", "20")).code == 10
    box.sandbox.add_account("another-key", credits=1000.0)
    monkeypatch.setenv("HIFLY_TOKEN", "another-key")
    ran = run("bulk", "run", str(path), "--budget", "inf")
    assert ran.code == 2
    error, advice = ran.err.splitlines()[-2:]
    account = error.partition("account ")[2].partition(";")[0]
    assert len(account) == 10
    assert advice.endswith(f"set HIFLY_ACCOUNT={account}")
    monkeypatch.setenv("HIFLY_ACCOUNT", account)
    ran = run("bulk", "run", str(path), "--budget", "inf")
    assert ran.code == 0, ran.err
    assert len(box.sandbox.tasks()) == 5
