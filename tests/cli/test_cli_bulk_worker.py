"""``avatarkit bulk feed`` and ``bulk worker``."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commandline import Box, Program, Ran
from test_cli_bulk import manifest

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
