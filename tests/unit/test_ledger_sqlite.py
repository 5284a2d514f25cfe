"""The ledger in a SQLite file: what every ledger does, and what only a file has to stand."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from ledger_suite import RUN, SETTINGS, LedgerSuite, begun, brought_to, intent, jobs, the

from avatarkit.bulk import schema, sqlite_worker
from avatarkit.bulk.moves import Move
from avatarkit.bulk.records import JobState, Opened
from avatarkit.bulk.sqlite import SqliteLedger, SteadyClock
from avatarkit.bulk.sqlite_file import drive, network_kind
from avatarkit.errors import AvatarKitError, ClientClosed, ConfigurationError
from avatarkit.testing.virtual import VirtualClock, run_virtual
from avatarkit.transport.clock import SystemClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.avk"


@pytest_asyncio.fixture
async def ledger(path: Path) -> AsyncIterator[SqliteLedger]:
    async with await SqliteLedger.open(path) as opened:
        yield opened


class TestSqliteLedger(LedgerSuite):
    """The suite of all ledgers."""


class SetClock(SystemClock):
    """A clock that tests set."""

    wall = 1000.0
    ticks = 0.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks


def test_a_move_whose_loop_stops_at_once_is_carried_out(path: Path) -> None:
    """The thread is not called before the loop's next turn, which may never come: closing carries out what waits."""

    async def opened() -> SqliteLedger:
        return await SqliteLedger.open(path)

    async def begin(ledger: SqliteLedger) -> None:
        asyncio.ensure_future(ledger.open_run(RUN, SETTINGS)).add_done_callback(lambda task: task.cancelled())
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.stop)

    async def found() -> object:
        async with await SqliteLedger.open(path) as ledger:
            return await ledger.get_run(RUN)

    ledger = asyncio.run(opened())
    loop = asyncio.new_event_loop()
    beginning = loop.create_task(begin(ledger))
    loop.run_forever()
    asyncio.run(ledger.aclose())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert beginning.done()
    assert asyncio.run(found()) is not None


def test_a_move_that_nobody_calls_for_is_carried_out_soon(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that was closed in the very turn in which it gave a move: the thread finds it by itself."""
    monkeypatch.setattr(sqlite_worker, "_UNCALLED", 0.01)

    async def opened() -> SqliteLedger:
        return await SqliteLedger.open(path)

    ledger = asyncio.run(opened())
    loop = asyncio.new_event_loop()
    task = loop.create_task(ledger.open_run(RUN, SETTINGS))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert not task.done()

    async def found() -> object:
        for _ in range(500):
            if run := await ledger.get_run(RUN):
                return run
            await asyncio.sleep(0.01)
        return None

    assert asyncio.run(found()) is not None
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    asyncio.run(ledger.aclose())


@pytest.mark.asyncio
async def test_who_comes_when_the_thread_has_ended_is_told(ledger: SqliteLedger) -> None:
    """Also behind a caller whose loop was closed, who cannot be told."""
    worker = ledger._writer
    worker.stop()
    worker.join()
    with pytest.raises(ClientClosed):
        await asyncio.wait_for(worker.submit(lambda: the_clock(), 0.0), 5)
    gone = asyncio.new_event_loop()
    gone.close()
    here = asyncio.get_running_loop()
    future: asyncio.Future[Any] = here.create_future()
    for loop, told in ((gone, asyncio.Future(loop=gone)), (here, future)):
        worker._calls.append(sqlite_worker._Call(loop, told, the_clock, 0.0))
    worker._refuse()
    with pytest.raises(ClientClosed):
        await asyncio.wait_for(future, 5)


def the_clock() -> Move[Any]:
    """A move that reads something."""
    rows = yield "SELECT value FROM meta WHERE name = 'clock'", {}
    return rows


# -- many at once


@pytest.mark.asyncio
async def test_what_comes_together_is_committed_together(ledger: SqliteLedger) -> None:
    """A hundred changes at once take a handful of commits, and all are told."""
    keys = [f"k{number}" for number in range(100)]
    await begun(ledger, *keys)
    worker = ledger._writer
    commits: list[str] = []
    worker._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    answers = await asyncio.gather(*(ledger.open_intent(intent(key, cost=0.5)) for key in keys))
    worker._connection.set_trace_callback(None)
    assert {answer.opened for answer in answers} == {Opened.YES}
    assert len(commits) <= 10
    assert (await ledger.counts(RUN)).of(JobState.INTENT) == 100


@pytest.mark.asyncio
async def test_a_change_that_fails_undoes_only_itself(ledger: SqliteLedger) -> None:
    """Others that were to be committed with it are, once."""
    await begun(ledger, "a", "b")

    def broken() -> Move[None]:
        yield "UPDATE jobs SET state = 'done'", {}
        raise ConfigurationError("no")

    results = await asyncio.gather(
        ledger.open_intent(intent("a")),
        ledger.change(broken),
        ledger.open_intent(intent("b")),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results] == ["OpenAnswer", "ConfigurationError", "OpenAnswer"]
    assert (await ledger.counts(RUN)).jobs == {JobState.INTENT: 2}
    assert (await ledger.limits("acc")).running == 2


@pytest.mark.asyncio
async def test_a_cancelled_caller_loses_nothing(ledger: SqliteLedger) -> None:
    """The answer of a provider is recorded although the one who records it is cancelled meanwhile."""
    await begun(ledger)
    await brought_to(ledger, JobState.INTENT)
    recording = asyncio.ensure_future(ledger.accepted(RUN, "a", 1, task_id="t1", token="tok", look_at=0.0))
    await asyncio.sleep(0)
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording
    await ledger.now()
    assert await ledger.take(RUN, JobState.RUNNING, 1, seconds=1)


@pytest.mark.asyncio
async def test_odd_values_do_not_keep_a_failure_from_being_recorded(ledger: SqliteLedger) -> None:
    """What JSON has no word for becomes text."""
    await begun(ledger)
    assert await ledger.fail(RUN, "a", 0, error={"code": Path("x"), "text": "half \ud800"})
    assert (await the(ledger)).error == {"code": "x", "text": "half ?"}


def test_it_outlives_event_loops(path: Path) -> None:
    """One ledger serves a loop, then another, and one in another thread at the same time."""
    ledger = asyncio.run(SqliteLedger.open(path))
    asyncio.run(begun(ledger))
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(bool(asyncio.run(ledger.get(RUN, "a")))))
    thread.start()
    assert asyncio.run(the(ledger)).key == "a"
    thread.join()
    assert found == [True]
    asyncio.run(ledger.aclose())


def test_virtual_time_stands_still_while_the_disk_works(path: Path) -> None:
    """On a loop in virtual time a timer of a minute does not go off before a change is recorded."""

    async def main() -> bool:
        async with await SqliteLedger.open(path, clock=VirtualClock()) as ledger:
            async with asyncio.timeout(60.0):
                for number in range(30):
                    await ledger.remember("acc", str(number), {})
            return asyncio.get_running_loop().time() < 1.0

    assert run_virtual(main)


# -- opening and closing


@pytest.mark.asyncio
async def test_all_is_there_after_it_was_closed(path: Path) -> None:
    """A closed ledger is one file of its own and its empty lock; it says that it is closed."""
    ledger = await SqliteLedger.open(path)
    await begun(ledger)
    await brought_to(ledger, JobState.RUNNING)
    before = await the(ledger)
    late = asyncio.gather(*(ledger.remember("acc", str(n), {}) for n in range(50)))
    await asyncio.sleep(0)
    await ledger.aclose()
    await ledger.aclose()
    await late
    with pytest.raises(ClientClosed):
        await ledger.get(RUN, "a")
    assert sorted(each.name for each in path.parent.iterdir()) == ["run.avk", "run.avk.lock"]
    async with await SqliteLedger.open(path) as again:
        assert await the(again) == before
        assert await again.recall("acc", "49", younger_than=60.0) == {}


@pytest.mark.asyncio
async def test_the_file_is_the_owners_alone(path: Path) -> None:
    """Nobody else may read it, its journal or its lock."""
    async with await SqliteLedger.open(path) as ledger:
        await begun(ledger)
        modes = {each.name: each.stat().st_mode & 0o777 for each in path.parent.iterdir()}
    assert len(modes) == 4
    assert set(modes.values()) == {0o600}


@pytest.mark.asyncio
async def test_what_was_handed_out_is_taken_back_when_it_is_opened(path: Path) -> None:
    """A process that was killed holds nothing: neither jobs nor leases; what is to come later stays so."""
    async with await SqliteLedger.open(path) as ledger:
        await begun(ledger, "a", "b")
        await brought_to(ledger, JobState.RUNNING, "b")
        await ledger.postpone(RUN, "a", JobState.NEW, not_before=2.0, error={})
        for state in (JobState.NEW, JobState.RUNNING):
            assert len(await ledger.take(RUN, state, 5, seconds=3600)) == 1
        assert await ledger.lease("poll", "w1", 3600)
    async with await SqliteLedger.open(path) as ledger:
        for state in (JobState.NEW, JobState.RUNNING):
            assert len(await ledger.take(RUN, state, 5, seconds=3600)) == 1
        assert await ledger.lease("poll", "w2", 3600)
        await ledger.postpone(RUN, "a", JobState.NEW, not_before=4e9, error={})
    async with await SqliteLedger.open(path) as ledger:
        assert await ledger.take(RUN, JobState.NEW, 5, seconds=1) == []


@pytest.mark.asyncio
async def test_a_second_process_is_refused(path: Path, tmp_path: Path) -> None:
    """It is told who has the file, also under another name; the first goes on."""
    code = (
        "import asyncio, sys\nfrom avatarkit.bulk.sqlite import SqliteLedger\n"
        "asyncio.run(SqliteLedger.open(sys.argv[1]))"
    )
    other = tmp_path / "other.avk"
    other.symlink_to(path)
    async with await SqliteLedger.open(path) as ledger:
        with pytest.raises(ConfigurationError, match=f"process {os.getpid()}"):
            await SqliteLedger.open(other)
        command = [sys.executable, "-c", code, str(path)]
        second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert second.returncode
        assert f"in use by process {os.getpid()}" in second.stderr
        await begun(ledger)
    async with await SqliteLedger.open(other) as again:
        assert (await the(again)).key == "a"


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["text", "sqlite", "folder", "missing folder", "cut"])
async def test_a_file_that_is_no_ledger_is_refused_and_not_touched(tmp_path: Path, kind: str) -> None:
    """Text, somebody else's database, a folder, a folder that is not there, half a header."""
    path = tmp_path / "run.avk"
    if kind == "text":
        path.write_text("key,text\na,hello\n" * 20)
    elif kind == "sqlite":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE jobs (x)")
        connection.close()
    elif kind == "folder":
        path.mkdir()
    elif kind == "cut":
        path.write_bytes(b"SQLite format 3\x00" + bytes(20))
    else:
        path = tmp_path / "nowhere" / "run.avk"
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(ConfigurationError, match=r"run\.avk|no folder"):
        await SqliteLedger.open(path)
    assert before == (path.read_bytes() if path.is_file() else None)
    assert {each.name for each in tmp_path.iterdir()} <= {"run.avk"}


@pytest.mark.asyncio
async def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    """As ``mktemp`` makes one."""
    path.touch()
    async with await SqliteLedger.open(path) as ledger:
        await begun(ledger)
    assert path.read_bytes()[68:72] == b"avkL"


@pytest.mark.asyncio
@pytest.mark.parametrize("cut", [0.3, 0.7])
async def test_a_damaged_file_is_refused(path: Path, cut: float) -> None:
    """A copy that ended early is not taken for a whole ledger."""
    async with await SqliteLedger.open(path) as ledger:
        await begun(ledger, *(f"k{number}" for number in range(300)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(ConfigurationError, match="damaged"):
        await SqliteLedger.open(path)


@pytest.mark.asyncio
async def test_a_newer_ledger_is_refused(path: Path) -> None:
    """An older avatarkit does not touch what it does not understand."""
    async with await SqliteLedger.open(path) as ledger:
        await begun(ledger)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'version'")
    connection.close()
    with pytest.raises(ConfigurationError, match="99"):
        await SqliteLedger.open(path)


def test_steps_bring_an_older_ledger_up_to_date() -> None:
    """Only the missing steps are taken, and the version is written down."""
    connection = sqlite3.connect(":memory:")

    def drive(steps: tuple[tuple[str, ...], ...]) -> int:
        move = schema.upgrade(steps)
        try:
            statement = next(move)
            while True:
                sql, params = statement
                statement = move.send(connection.execute(schema.SQLITE.fill(sql), params).fetchall())
        except StopIteration as end:
            return int(end.value)

    more = (*schema.STEPS, ("ALTER TABLE jobs ADD COLUMN note TEXT",))
    assert [drive(schema.STEPS), drive(schema.STEPS), drive(more), drive(more)] == [0, 1, 1, 2]
    with pytest.raises(ConfigurationError):
        drive(schema.STEPS)
    connection.close()


def test_network_file_systems_are_known(tmp_path: Path) -> None:
    """By the longest mount point above the file, with spaces and prefixes of names."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "40 22 0:40 / /mnt/my\\040share rw shared:1 - cifs //server/share rw\n"
        "41 22 0:41 / /data rw - nfs4 host:/data rw\n"
        "42 41 0:42 / /data/local rw - xfs /dev/sdb rw\n"
        "43 22 0:43 / /home/me/remote rw - fuse.sshfs me@host: rw\n"
    )
    kinds = {
        "/home/x.avk": "",
        "/mnt/my share/x.avk": "cifs",
        "/data/x.avk": "nfs4",
        "/data/local/x.avk": "",
        "/database/x.avk": "",
        "/home/me/remote/a/x.avk": "fuse.sshfs",
    }
    assert {name: network_kind(Path(name), mounts) for name in kinds} == kinds
    assert network_kind(tmp_path / "x.avk", tmp_path / "none") == ""


@pytest.mark.asyncio
async def test_a_network_file_system_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's journal is not safe there."""
    monkeypatch.setattr("avatarkit.bulk.sqlite_file.network_kind", lambda _: "nfs")
    with pytest.raises(ConfigurationError, match="nfs"):
        await SqliteLedger.open(path)
    assert not path.exists()


@pytest.mark.asyncio
async def test_opening_it_twice_leaves_the_first_its_locks(path: Path) -> None:
    """SQLite's own locks on the file, which other programs heed, are held still."""
    async with await SqliteLedger.open(path) as ledger:
        await begun(ledger)
        held = _locks(path)
        assert held
        with pytest.raises(ConfigurationError):
            await SqliteLedger.open(path)
        assert _locks(path) == held


def _locks(path: Path) -> int:
    """Locks of this process on the file."""
    numbers = {str(each.stat().st_ino) for each in path.parent.iterdir() if each.name != "run.avk.lock"}
    lines = Path("/proc/locks").read_text().splitlines()
    mine = [line.split() for line in lines if f" {os.getpid()} " in line]
    return sum(words[5].rpartition(":")[2] in numbers for words in mine)


# -- clocks


def test_a_clock_never_goes_back() -> None:
    """Set back, it goes on at its own pace; set forward, it follows."""
    machine = SetClock()
    clock = SteadyClock(machine, 1500.0)
    assert clock.now() == 1500.0
    machine.ticks, machine.wall = 10.0, 400.0
    assert clock.now() == 1510.0
    machine.ticks, machine.wall = 11.0, 3000.0
    assert clock.now() == 3000.0
    machine.wall = 2000.0
    assert clock.now() == 3000.0


@pytest.mark.asyncio
async def test_the_clock_set_back_between_two_processes(path: Path) -> None:
    """The largest time that was stored is the earliest there will be; ages stay right."""
    machine = SetClock()
    async with await SqliteLedger.open(path, clock=machine) as ledger:
        machine.wall, machine.ticks = 5000.0, 10.0
        await ledger.remember("acc", "upload", {})
    machine.wall = 100.0
    async with await SqliteLedger.open(path, clock=machine) as ledger:
        assert await ledger.now() == 5000.0
        assert await ledger.recall("acc", "upload", younger_than=1.0) == {}
        machine.ticks += 2.0
        assert await ledger.recall("acc", "upload", younger_than=1.0) is None


# -- disks


@pytest.mark.asyncio
async def test_a_full_disk_is_told_and_got_over(ledger: SqliteLedger) -> None:
    """Nothing of what failed is there, what was there still is, and with room again it goes on."""
    await begun(ledger)

    def pages(most: int) -> Move[int]:
        rows = yield f"PRAGMA max_page_count = {most}", {}
        return int(rows[0][0])

    small = await ledger.change(lambda: pages(1))  # as many as there are
    with pytest.raises(AvatarKitError, match="disk is full") as caught:
        await ledger.add(RUN, jobs(*(f"k{number}" for number in range(500))))
    assert "room" in caught.value.hint
    assert (await ledger.counts(RUN)).total == 1
    await ledger.change(lambda: pages(small + 1000))
    assert (await ledger.add(RUN, jobs(*(f"k{number}" for number in range(500))))).new == 500
    assert (await ledger.open_intent(intent())).opened is Opened.YES


@pytest.mark.asyncio
async def test_a_full_disk_fails_all_that_was_to_be_committed_together(ledger: SqliteLedger) -> None:
    """Each caller is told, and none believes that it was recorded."""
    await begun(ledger)
    rows = await ledger.change(lambda: _pragma("PRAGMA max_page_count = 1"))
    assert rows
    value = {"text": "x" * 5000}
    calls = [ledger.remember("acc", str(number), value) for number in range(40)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    kept = [await ledger.recall("acc", str(number), younger_than=60.0) is not None for number in range(40)]
    assert [result is None for result in results] == kept
    assert not all(kept)
    assert all(isinstance(result, AvatarKitError) for result in results if result is not None)


def _pragma(sql: str) -> Move[list[tuple[Any, ...]]]:
    rows = yield sql, {}
    return rows


@pytest.mark.asyncio
async def test_a_journal_that_was_cut_gives_what_it_holds(path: Path, tmp_path: Path) -> None:
    """A file system that lost the end of the journal leaves a whole ledger of an earlier moment."""
    copy = tmp_path / "copy.avk"
    async with await SqliteLedger.open(path) as ledger:
        await begun(ledger)
        for number in range(40):
            await ledger.remember("acc", str(number), {"text": "x" * 500})
        copy.write_bytes(path.read_bytes())
        journal = path.with_name("run.avk-wal").read_bytes()
    copy.with_name("copy.avk-wal").write_bytes(journal[: len(journal) * 2 // 3 + 7])
    async with await SqliteLedger.open(copy) as ledger:
        kept = [await ledger.recall("acc", str(number), younger_than=1e9) is not None for number in range(40)]
        assert (await the(ledger)).key == "a"
        assert await ledger.change(lambda: _pragma("PRAGMA integrity_check")) == [("ok",)]
    assert kept == sorted(kept, reverse=True)
    assert 0 < sum(kept) < 40


_CHILD = """
import asyncio, os, sys
from avatarkit.bulk.records import Intent, NewJob
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.models import Ticket

async def main():
    ledger = await SqliteLedger.open(sys.argv[1])
    prefix = sys.argv[2]
    async def carry(lane):
        number = 0
        while True:
            key = f"{prefix}-{lane}-{number}"
            number += 1
            await ledger.add("july", [NewJob(key=key, spec=b"x" * 300)])
            ticket = Ticket(provider="hifly", endpoint="e", kind="video", account="acc")
            await ledger.open_intent(Intent(run="july", key=key, attempt=1, ticket=ticket, send_seconds=1))
            await ledger.accepted("july", key, 1, task_id=key, token=key, look_at=0.0)
            os.write(1, key.encode() + b"\\n")
    await asyncio.gather(*map(carry, range(20)))

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    """Five processes are killed amid their commits: every change they were told of is there, and slots are right."""
    asyncio.run(_begin(path))
    told: set[str] = set()
    for life in range(5):
        command = [sys.executable, "-c", _CHILD, str(path), str(life)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(60 + 37 * life)]
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.readlines()
        told |= {line.decode().strip() for line in lines if line.endswith(b"\n")}
    states, slots, check = asyncio.run(_found(path))
    assert len(told) > 500
    assert {key for key in told if states.get(key) is not JobState.RUNNING} == set()
    assert slots == sum(state in (JobState.INTENT, JobState.RUNNING) for state in states.values())
    assert check == [("ok",)]


async def _begin(path: Path) -> None:
    async with await SqliteLedger.open(path) as ledger:
        await ledger.open_run(RUN, SETTINGS)


async def _found(path: Path) -> tuple[dict[str, JobState], int, list[tuple[Any, ...]]]:
    async with await SqliteLedger.open(path) as ledger:
        states = {job.key: job.state for job in await ledger.select(RUN, most=100_000)}
        check = await ledger.change(lambda: _pragma("PRAGMA integrity_check"))
        return states, (await ledger.limits("acc")).running, check


class Watched:
    """A connection that keeps what it is asked, and answers with what it was given."""

    def __init__(self, rows: list[tuple[Any, ...]], changed: int) -> None:
        self.asked: list[tuple[str, list[Any]]] = []
        self.rowcount = changed
        self._rows = rows

    def execute(self, sql: str, params: list[Any]) -> Watched:
        self.asked.append((sql, params))
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows


def driven(connection: Watched, sql: str, **params: Any) -> list[tuple[Any, ...]]:
    def move() -> Move[list[tuple[Any, ...]]]:
        return (yield sql, params)

    return drive(connection, move(), 7.0)  # type: ignore[arg-type]


def test_values_are_told_by_their_place_and_text_in_quotes_is_left_alone() -> None:
    """A name that stands twice gets its value twice, in the order of the places; ":key" in quotes is no name."""
    connection = Watched([("x",)], 0)
    sql = "SELECT ':key', 'it''s :a', :b FROM jobs WHERE key = :key AND due < {now} AND other = :b"
    assert driven(connection, sql, key="k", b="two") == [("x",)]
    text = "SELECT ':key', 'it''s :a', ? FROM jobs WHERE key = ? AND due < ? AND other = ?"
    assert connection.asked == [(text, ["two", "k", 7.0, "two"])]


@pytest.mark.parametrize("changed", [0, 1, 3])
def test_a_change_is_counted_without_its_rows(changed: int) -> None:
    """An UPDATE that returns only ones is not asked for them: it has as many as rows were changed."""
    connection = Watched([], changed)
    assert driven(connection, "UPDATE jobs SET due = 1 RETURNING 1") == [(1,)] * changed
    assert connection.asked == [("UPDATE jobs SET due = 1", [])]


def test_rows_that_are_wanted_are_asked_for() -> None:
    """Columns, or changes that SQLite does not count by themselves, come as rows."""
    for sql in (
        "UPDATE jobs SET due = 1 RETURNING seq",
        "WITH a AS (SELECT 1) UPDATE jobs SET due = 1 RETURNING 1",
    ):
        connection = Watched([(5,)], -1)
        assert driven(connection, sql) == [(5,)]
        assert connection.asked == [(sql, [])]


@pytest.mark.asyncio
async def test_a_count_is_what_the_rows_would_have_been(ledger: SqliteLedger) -> None:
    """Counted or given as rows, an UPDATE of none, one or many rows says the same, joined with values too."""
    await begun(ledger)
    await ledger.add(RUN, jobs("a", "b", "c"))

    def both(sql: str, **params: Any) -> Move[tuple[int, int]]:
        given = yield f"{sql} RETURNING seq", dict(params)
        counted = yield f"{sql} RETURNING 1", dict(params)
        return len(given), len(counted)

    joined = (
        "UPDATE jobs SET due = seen.column2 FROM (VALUES (:a, 1.0), (:a, 2.0), (:b, 3.0)) AS seen"
        " WHERE jobs.key = seen.column1"
    )
    simple = "UPDATE jobs SET due = :due WHERE key <> :key"
    assert await ledger.change(lambda: both(simple, due=1.0, key="a")) == (2, 2)
    assert await ledger.change(lambda: both(simple, due=1.0, key="")) == (3, 3)
    assert await ledger.change(lambda: both(f"{simple} AND key = :key", due=1.0, key="a")) == (0, 0)
    assert await ledger.change(lambda: both(joined, a="a", b="b")) == (2, 2)
