"""Moving a run from a SQLite file to PostgreSQL: everything goes with it, and it is never in two places."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import pytest_asyncio

from avatarkit.bulk import moves_transfer
from avatarkit.bulk.moves_store import MovesLedger
from avatarkit.bulk.postgres import PostgresLedger
from avatarkit.bulk.records import Intent, Job, JobState, Look, NewJob, Opened, RunSettings, RunState
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.bulk.transfer import Moved, move_run
from avatarkit.bulk.worktime import WorkTime, keep_work_time, work_time
from avatarkit.errors import ConfigurationError
from avatarkit.models import Guard, Ticket

if TYPE_CHECKING:
    from postgres_server import Database

pytest_plugins = ("postgres_server",)

WORK = WorkTime(spans=((1_790_000_000.0, 1_790_000_100.5),), earlier=7.0, at_work={"w": 5.0})
SETTINGS = RunSettings(provider="kling", account="acc", budget=50.0, out="out", retries=3)


def intent(key: str, run: str = "r") -> Intent:
    ticket = Ticket(
        provider="kling",
        endpoint="v",
        kind="video",
        account="acc",
        marker=f"m-{key}",
        guard=Guard.EXTERNAL_ID,
    )
    return Intent(run=run, key=key, attempt=1, ticket=ticket, send_seconds=5.0, cost=1.5, owner="w")


async def begin(ledger: MovesLedger, key: str) -> None:
    assert (await ledger.open_intent(intent(key))).opened is Opened.YES


async def submit(ledger: MovesLedger, key: str) -> None:
    await begin(ledger, key)
    assert await ledger.accepted("r", key, 1, task_id=f"t-{key}", token=f"tok-{key}", look_at=5.0)


async def settle(ledger: MovesLedger, key: str, state: JobState, **more: Any) -> None:
    await ledger.settle("r", [Look(key=key, attempt=1, state=state, **more)])


async def fill(ledger: MovesLedger) -> None:
    """A run with a job in every state, parts that are needed, and one that is lost."""
    await ledger.open_run("r", SETTINGS)
    await ledger.set_limits("acc", most_running=9, per_second=1e6)
    plain = ["intent", "doubt", "held", "abandoned", "running", "ready", "done", "failed", "cancelled"]
    parts = [NewJob(key=key, spec=b"part", part=True) for key in ("good", "bad", "open")]
    needing = [
        NewJob(key="blocked", spec=b"{}", needs=("good", "open")),
        NewJob(key="broken", spec=b"{}", needs=("bad", "open"), estimate=2.5),
    ]
    await ledger.add(
        "r", [*parts, *(NewJob(key=key, spec=b"\0\xff" + key.encode()) for key in plain), *needing]
    )
    await ledger.add("r", [NewJob(key=f"new{n}", spec=b"{}") for n in range(250)])
    for key in ("running", "ready", "done", "failed", "good", "bad"):
        await submit(ledger, key)
    for key in ("ready", "done", "good"):
        await settle(ledger, key, JobState.READY, cost=1.25)
    for key in ("failed", "bad"):
        await settle(ledger, key, JobState.FAILED, error={"type": "TaskFailed", "message": "数字人 \0"})
    for key in ("done", "good"):
        assert await ledger.finish("r", key, 1, result={"file": f"{key}.mp4"})
    for key in ("intent", "doubt", "held", "abandoned"):
        await begin(ledger, key)
    await ledger.doubt("r", "doubt", 1, error={"type": "SubmissionInDoubt"})
    for key in ("held", "abandoned"):
        assert await ledger.hold("r", key, 1, error={"type": "held"})
    await ledger.abandon("r", ["abandoned"])
    await ledger.cancel("r", ["cancelled"])
    await ledger.remember("acc", "upload:1", {"id": "f1", "size": 3})
    await keep_work_time(ledger, "r", WORK)


@pytest_asyncio.fixture
async def source(tmp_path: Path) -> AsyncIterator[SqliteLedger]:
    async with await SqliteLedger.open(tmp_path / "runs.db") as ledger:
        await fill(ledger)
        yield ledger


@pytest_asyncio.fixture
async def target(postgres: Database) -> AsyncIterator[PostgresLedger]:
    async with await PostgresLedger.open(postgres.dsn, schema=postgres.schema) as ledger:
        yield ledger


def plain(job: Job) -> Job:
    """*job* without what may differ between two ledgers: its number, and the time from which a doubt ripens."""
    return attrs.evolve(job, seq=0, send_by=0.0)


async def everything(ledger: MovesLedger) -> list[Job]:
    return [plain(job) for job in await ledger.select("r", most=10_000)]


@pytest.mark.asyncio
async def test_every_job_arrives_as_it_was(source: SqliteLedger, target: PostgresLedger) -> None:
    """All jobs and parts, in their order, with every field, and what the run spent and set aside."""
    jobs, run, counts = await everything(source), await source.get_run("r"), await source.counts("r")
    assert {job.state for job in jobs} == set(JobState)
    assert await move_run(source, target, "r") == Moved(jobs=len(jobs), intents=2)
    assert await everything(target) == jobs
    assert await target.get_run("r") == run
    assert await target.counts("r") == counts


@pytest.mark.asyncio
async def test_slots_limits_uploads_and_work_go_with_it(source: SqliteLedger, target: PostgresLedger) -> None:
    """The account's limits are known there, running tasks hold their slots there and no longer here; its age stays."""
    before = await source.limits("acc")
    assert before.running == 3
    await move_run(source, target, "r")
    assert await target.limits("acc") == before
    assert (await source.limits("acc")).running == 0
    assert await target.recall("acc", "upload:1", younger_than=3600) == {"id": "f1", "size": 3}
    assert await work_time(target, "r") == WORK


@pytest.mark.asyncio
async def test_parts_still_tie_the_jobs_together(source: SqliteLedger, target: PostgresLedger) -> None:
    """A part that is done there frees its job there; one that is sent again brings back the job it broke."""
    await move_run(source, target, "r")
    assert set(await target.parts_of("r", "blocked")) == {"good", "open"}
    assert await target.resend("r", ["bad"]) == 2
    broken = await target.get("r", "broken")
    assert broken is not None
    assert broken.state is JobState.BLOCKED
    await submit(target, "open")
    assert await target.finish("r", "open", 1, result={}, from_states=[JobState.RUNNING])
    freed = await target.get("r", "blocked")
    assert freed is not None
    assert freed.state is JobState.NEW


@pytest.mark.asyncio
async def test_a_doubt_is_old_only_by_the_new_clock(source: SqliteLedger, target: PostgresLedger) -> None:
    """An intent is not taken for ripe because two machines' clocks differ; one that is marked is a doubt at once."""
    await move_run(source, target, "r")
    assert [job.key for job in await target.doubts("r", older_than=0.5)] == ["doubt"]


@pytest.mark.asyncio
async def test_the_old_ledger_submits_nothing_more(source: SqliteLedger, target: PostgresLedger) -> None:
    """Where it was, the run hands out nothing new, opens no intent, and cannot be opened again."""
    await move_run(source, target, "r")
    assert await source.take("r", JobState.NEW, 5, seconds=1) == []
    assert (await source.open_intent(intent("new0"))).opened is Opened.STOPPED
    with pytest.raises(ConfigurationError, match="moved to another ledger"):
        await source.open_run("r", SETTINGS)
    assert (await target.open_intent(intent("new0"))).opened is Opened.YES


@pytest.mark.asyncio
async def test_a_run_that_is_there_is_not_mixed_with_it(source: SqliteLedger, target: PostgresLedger) -> None:
    """A run of that name is left alone, and the one that should move goes on where it is."""
    await target.open_run("r", SETTINGS)
    jobs, limits = await everything(source), await source.limits("acc")
    with pytest.raises(ConfigurationError, match="already"):
        await move_run(source, target, "r")
    assert await everything(target) == []
    assert await everything(source) == jobs
    assert await source.limits("acc") == limits
    assert (await source.open_run("r", SETTINGS)).state is RunState.ACTIVE


class Cut(Exception):
    """The process was killed here."""


class Cutting(MovesLedger):
    """A ledger in front of another: the process ends at the *last* change of both, before it or just after."""

    def __init__(self, ledger: MovesLedger, calls: list[int], last: int, *, after: bool) -> None:
        self.ledger, self.calls, self.last, self.after = ledger, calls, last, after

    async def change(self, move: Any) -> Any:
        self.calls.append(0)
        if len(self.calls) == self.last and not self.after:
            raise Cut
        given = await self.ledger.change(move)
        if len(self.calls) == self.last:
            raise Cut
        return given

    async def read(self, move: Any) -> Any:
        return await self.ledger.read(move)


@pytest.mark.asyncio
@pytest.mark.parametrize("after", [False, True])
async def test_a_move_that_was_cut_off_goes_on(
    source: SqliteLedger, target: PostgresLedger, *, after: bool
) -> None:
    """Killed before or after any change, the run submits in one place at most, and there it is whole."""
    jobs = await everything(source)
    for last in range(1, 100):
        calls: list[int] = []
        both = [Cutting(ledger, calls, last, after=after) for ledger in (source, target)]
        try:
            moved = await move_run(*both, "r")
        except Cut:
            here, there = await source.get_run("r"), await target.get_run("r")
            active = [run is not None and run.state is RunState.ACTIVE for run in (here, there)]
            assert active in ([True, False], [False, False], [False, True])
            assert not active[1] or await everything(target) == jobs
        else:
            break
    assert last > 8 + 1 - 2 * after  # with "after", the last changes are not made again
    assert moved.jobs == len(jobs)
    assert await everything(target) == jobs
    assert (await target.limits("acc")).running == 3
    assert (await source.limits("acc")).running == 0


@pytest.mark.asyncio
async def test_twice_is_once(source: SqliteLedger, target: PostgresLedger) -> None:
    """When only the word that it is done was lost, doing it again changes nothing."""
    first = await move_run(source, target, "r")
    assert (await target.open_intent(intent("new0"))).opened is Opened.YES
    assert await move_run(source, target, "r") == attrs.evolve(first, intents=3)
    assert (await target.limits("acc")).running == 4


@pytest.mark.asyncio
async def test_no_second_ledger_gets_it(source: SqliteLedger, target: PostgresLedger, tmp_path: Path) -> None:
    """A run that went, or began to go, to one ledger is not given to another as well."""
    await move_run(source, target, "r")
    async with await SqliteLedger.open(tmp_path / "other.db") as other:
        with pytest.raises(ConfigurationError, match="another ledger"):
            await move_run(source, other, "r")
        assert await other.runs() == []


@pytest.mark.asyncio
async def test_no_such_run(source: SqliteLedger, target: PostgresLedger) -> None:
    """A name that is no run's is said."""
    with pytest.raises(ConfigurationError, match="no run x"):
        await move_run(source, target, "x")


@pytest.mark.asyncio
async def test_every_column_is_copied(postgres: Database, target: PostgresLedger) -> None:
    """A column that a later version adds to the jobs must be thought of here too."""
    rows = postgres.run(
        f"select column_name from information_schema.columns where table_schema = '{postgres.schema}'"
        " and table_name = 'jobs'"
    )
    assert {name for (name,) in rows} == {*moves_transfer.COPIED.split(", "), "seq", "run", "broken_by"}
