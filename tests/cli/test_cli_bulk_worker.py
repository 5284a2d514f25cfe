"""``avatarkit bulk feed`` and ``bulk worker``."""

from __future__ import annotations

import json
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import Box, Program, Ran
from test_cli_bulk import begin, manifest

if TYPE_CHECKING:
    from postgres_server import Database

pytest_plugins = ("postgres_server",)
Start = Callable[..., Ran]


@pytest.fixture
def place(own_postgres: Database) -> Iterator[Database]:
    """The tests' own server; the commands use the schema ``avatarkit`` there, which goes afterwards."""
    own_postgres.run("drop schema if exists avatarkit cascade")
    yield own_postgres
    for name in ("avatarkit", "avatarkit_pgqueuer", "avatarkit_procrastinate"):
        own_postgres.run(f"drop schema if exists {name} cascade")


def fed(run: Start, box: Box, folder: Path, place: Database, count: int) -> Ran:
    path = manifest(box, folder, count)
    where = ("--dsn", place.dsn, "--provider", "hifly", "--out", str(folder / "videos"), "--max-running", "5")
    return run("bulk", "feed", str(path), *where, "--yes", "--json")


@pytest.mark.parametrize("engine", ["pgqueuer", "procrastinate"])
def test_a_run_is_fed_here_and_worked_on_there(
    engine: str, run: Start, launch: Callable[..., Program], box: Box, tmp_path: Path, place: Database
) -> None:
    """Feeding submits nothing; two workers end the run, and the commands for journals show it."""
    ran = fed(run, box, tmp_path, place, 6)
    assert (ran.code, ran.document["rows"]) == (0, 6), ran.err
    assert len(box.sandbox.tasks()) == 0
    where = ("--dsn", place.dsn, "--engine", engine, "--until-done")
    workers = [launch("bulk", "worker", *where, "--json", environment=box.environment) for _ in range(2)]
    for worker in workers:
        ended = worker.end()
        assert ended.code == 0, ended.err
        assert '"done":6' in ended.out.replace(" ", "")
        assert json.loads(ended.out.splitlines()[-1])["places"] == {str(tmp_path / "videos"): 6}
        assert "Traceback" not in ended.err
    assert len(box.sandbox.tasks()) == 6
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 6
    assert run("bulk", "status", place.dsn, "--json").document["done"] == 6


def test_a_worker_ends_by_sigterm(
    run: Start, launch: Callable[..., Program], start_box: Callable[..., Box], tmp_path: Path, place: Database
) -> None:
    """It finishes what is under way, says where the run is, and ends with 0, as a service should; another goes on."""
    box = start_box(run_seconds=3600.0)
    assert fed(run, box, tmp_path, place, 8).code == 0
    worker = launch("bulk", "worker", "--dsn", place.dsn, environment=box.environment)
    worker.until("working on the run main")
    ends = time.monotonic() + 20
    while len(box.sandbox.tasks()) < 5 and time.monotonic() < ends:
        time.sleep(0.02)
    worker.stop(signal.SIGTERM)
    ended = worker.end()
    assert ended.code == 0, ended.err
    assert "finished first" in ended.err
    assert "0 of 8 videos" in ended.out
    assert "Traceback" not in ended.err
    assert place.run("select count(*) from avatarkit.jobs where state = 'intent'") == [(0,)]
    assert place.run("select count(*) from avatarkit.leases where until > extract(epoch from now())") == [
        (0,)
    ]


def test_the_command_that_goes_on_works(
    run: Start, launch: Callable[..., Program], box: Box, tmp_path: Path, place: Database
) -> None:
    """``status`` of a run that was fed names the worker, with an address that leads to the database."""
    assert fed(run, box, tmp_path, place, 2).code == 0
    (line,) = [
        each for each in run("bulk", "status", place.dsn).out.splitlines() if each.startswith("to go on: ")
    ]
    program, *words = shlex.split(line.removeprefix("to go on: "))
    assert (program, words[:2]) == ("avatarkit", ["bulk", "worker"])
    ended = launch(*words, "--until-done", environment=box.environment).end()
    assert ended.code == 0, ended.err
    assert "to go on" not in run("bulk", "status", place.dsn).out


def test_another_key_of_the_account(
    run: Start, box: Box, tmp_path: Path, place: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Feeding and working with another account's key end with 2 and name the variable for a changed key."""
    assert run(*begin(manifest(box, tmp_path, 5), "--budget", "20")).code == 10
    assert run("bulk", "move", str(tmp_path / "jobs.csv.run.db"), "--dsn", place.dsn).code == 0
    box.sandbox.add_account("another-key", credits=1000.0)
    monkeypatch.setenv("HIFLY_TOKEN", "another-key")
    for arguments in (["worker"], ["feed", str(tmp_path / "jobs.csv"), "--yes"]):
        ran = run("bulk", *arguments, "--dsn", place.dsn)
        assert ran.code == 2, ran.err
        assert "If they are the same account's, whose key was changed: set HIFLY_ACCOUNT=" in ran.err
    account = ran.err.rpartition("HIFLY_ACCOUNT=")[2].strip()
    monkeypatch.setenv("HIFLY_ACCOUNT", account)
    assert run("bulk", "feed", str(tmp_path / "jobs.csv"), "--dsn", place.dsn, "--budget", "inf").code == 0


def test_mistakes_on_the_command_line(run: Start, box: Box, tmp_path: Path, place: Database) -> None:
    """A file is no address, an engine has to be known, a run has to be there; nothing is submitted."""
    assert run("bulk", "worker", "--dsn", "run.db").code == 2
    assert run("bulk", "worker", "--dsn", place.dsn).code == 2
    assert fed(run, box, tmp_path, place, 2).code == 0
    ran = run("bulk", "worker", "--dsn", place.dsn, "--engine", "rabbit")
    assert ran.code == 2
    assert "pgqueuer and procrastinate" in ran.err
    assert run("bulk", "worker", "--dsn", place.dsn, "--run", "other").code == 2
    assert len(box.sandbox.tasks()) == 0


def test_rows_that_changed_are_refused(run: Start, box: Box, tmp_path: Path, place: Database) -> None:
    """The run keeps what it has, and workers go on with that."""
    assert fed(run, box, tmp_path, place, 2).code == 0
    path = manifest(box, tmp_path, 2, text="something else {}")
    ran = run("bulk", "feed", str(path), "--dsn", place.dsn, "--yes")
    assert ran.code == 2
    assert place.run("select value from avatarkit.kept where name = 'feeding:main'") == [('{"since":null}',)]


def test_a_run_moves_from_its_file(
    run: Start, launch: Callable[..., Program], box: Box, tmp_path: Path, place: Database
) -> None:
    """What was done stays done, the rest is made by workers; the file submits nothing more, and twice is once."""
    path = manifest(box, tmp_path, 5)
    assert run(*begin(path, "--budget", "20")).code == 10
    made = len(box.sandbox.tasks())
    assert 0 < made < 5
    journal = str(tmp_path / "jobs.csv.run.db")
    ran = run("bulk", "move", journal, "--dsn", place.dsn)
    assert ran.code == 0, ran.err
    assert ran.out.endswith(": 5 jobs, parts counted\n")
    assert "avatarkit bulk worker --run main" in ran.err
    again = run("bulk", "move", journal, "--dsn", place.dsn, "--json")
    assert (again.document["jobs"], again.document["run"]) == (5, "main")
    told = run("bulk", "status", place.dsn, "--json").document
    assert (told["done"], told["left"], told["state"]) == (made, 5 - made, "stopped")
    refused = run("bulk", "run", str(path))
    assert refused.code == 2
    assert "moved to another ledger" in refused.err
    assert run("bulk", "feed", str(path), "--dsn", place.dsn, "--budget", "inf", "--yes").code == 0
    worker = launch("bulk", "worker", "--dsn", place.dsn, "--until-done", environment=box.environment)
    ended = worker.end()
    assert ended.code == 0, ended.err
    assert len(box.sandbox.tasks()) == 5
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 5


@pytest.mark.parametrize(
    ("journal", "dsn", "words"),
    [
        ("missing.db", "", "there is no journal"),
        ("jobs.csv.run.db", "run.db", "--dsn: a PostgreSQL address is needed"),
        ("postgresql://db.example/videos", "", "a file allowed"),
        ("jobs.csv", "", "ledger"),
    ],
)
def test_what_cannot_be_moved(
    run: Start,
    box: Box,
    tmp_path: Path,
    place: Database,
    monkeypatch: pytest.MonkeyPatch,
    journal: str,
    dsn: str,
    words: str,
) -> None:
    """A file that is no journal, an address in its place, or a place that is no database."""
    monkeypatch.chdir(tmp_path)
    manifest(box, tmp_path, 1)
    ran = run("bulk", "move", journal, "--dsn", dsn or place.dsn)
    assert ran.code == 2
    assert words in ran.err
