"""Tokens that cannot be read, as after a newer avatarkit wrote them: what was paid for does not hang on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
from bulk_house import Bulk, bulk_house, in_virtual_time
from fleet_house import OPTIONS, Leaky, house

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.moves import Move
from avatarkit.bulk.options import BulkOptions
from avatarkit.bulk.records import JobState, Look
from avatarkit.bulk.run import BulkRun
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.testing.virtual import VirtualClock

PRICE = 5.0


@asynccontextmanager
async def begun(folder: Path) -> AsyncIterator[tuple[Bulk, SqliteLedger]]:
    async with (
        bulk_house(folder, "guiji") as bulk,
        await SqliteLedger.open(bulk.journal, clock=VirtualClock()) as ledger,
    ):
        yield bulk, ledger


async def spoil(ledger: SqliteLedger, key: str, *, task_id: bool) -> None:
    """Write a token of another time into a job, and perhaps take its task's id away."""

    def move() -> Move[None]:
        yield "UPDATE jobs SET token = 'avk9.fromthefuture' WHERE key = :key", {"key": key}
        if task_id:
            yield "UPDATE jobs SET task_id = '' WHERE key = :key", {"key": key}

    await ledger.change(move)


async def submitted(bulk: Bulk, ledger: SqliteLedger, count: int, state: JobState) -> None:
    """Bring *count* jobs of a run to *state*, and end the process."""
    options = BulkOptions(out=bulk.out, budget=1000.0, default_cost=PRICE)
    async with BulkRun(bulk.client, bulk.jobs(count), ledger, options) as run:

        async def go() -> None:
            async for _ in run.outcomes():
                pass

        going = asyncio.create_task(go())
        while (await ledger.counts("main")).of(JobState.RUNNING) < count:
            await asyncio.sleep(0.2)
        run.stop()
        await going
    if state is JobState.READY:
        found = await ledger.select("main", (JobState.RUNNING,))
        looks = [Look(key=job.key, attempt=job.attempt, state=state, cost=PRICE) for job in found]
        await ledger.settle("main", looks)


async def spent(ledger: Ledger) -> tuple[float, float]:
    run = await ledger.get_run("main")
    assert run is not None
    return run.spent, run.reserved


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.READY])
def test_a_task_is_found_by_its_id(state: JobState, tmp_path: Path) -> None:
    """The ledger keeps the id as well, so the job is done like the others, and paid once."""

    async def main() -> None:
        async with begun(tmp_path) as (bulk, ledger):
            await submitted(bulk, ledger, 4, state)
            await spoil(ledger, "j2", task_id=False)
            outcomes = await bulk.run(None, journal=ledger)
            assert {each.state for each in outcomes.values()} == {JobState.DONE}
            assert set(bulk.made().values()) == {1}
            assert len(list(bulk.out.glob("*.mp4"))) == 4

    in_virtual_time(main)


def test_a_running_task_that_nobody_can_name_fails_and_counts(tmp_path: Path) -> None:
    """It was accepted, so what was set aside counts as spent; the others are done."""

    async def main() -> None:
        async with begun(tmp_path) as (bulk, ledger):
            await submitted(bulk, ledger, 4, JobState.RUNNING)
            _, aside = await spent(ledger)
            assert aside > 0.0
            await spoil(ledger, "j2", task_id=True)
            outcomes = await bulk.run(None, journal=ledger, budget=1000.0)
            assert {key for key, each in outcomes.items() if each.state is JobState.FAILED} == {"j2"}
            assert outcomes["j2"].error["type"] == "InvalidHandle"
            assert await spent(ledger) == (aside, 0.0)
            assert (await ledger.counts("main")).jobs == {JobState.DONE: 3, JobState.FAILED: 1}

    in_virtual_time(main)


def test_a_result_whose_task_nobody_can_name_waits_for_a_word(tmp_path: Path) -> None:
    """It stays ready, with the reason, and keeps no other from being fetched."""

    async def main() -> None:
        async with begun(tmp_path) as (bulk, ledger):
            await submitted(bulk, ledger, 4, JobState.READY)
            await spoil(ledger, "j2", task_id=True)
            going = asyncio.create_task(bulk.run(None, journal=ledger))
            while (await ledger.counts("main")).of(JobState.DONE) < 3:
                assert not going.done()
                await asyncio.sleep(1.0)
            await asyncio.sleep(60.0)
            job = await ledger.get("main", "j2")
            assert job is not None
            assert (job.state, job.error["type"]) == (JobState.READY, "InvalidHandle")
            going.cancel()
            await asyncio.wait([going])

    in_virtual_time(main)


@pytest.mark.parametrize("task_id", [False, True])
def test_in_a_fleet_one_token_strands_no_other_job(task_id: bool, tmp_path: Path) -> None:
    """Workers of two versions: the leader looks at all jobs of its batch, and the slots come free."""

    async def main() -> None:
        async with house(tmp_path, 20) as at:
            at.engine = Leaky(leaks=False)
            options = attrs.evolve(OPTIONS, until_done=False)
            stop = asyncio.Event()
            working = asyncio.create_task((await at.worker(options)).work(stop))
            while (await at.counts()).get("running", 0) < 20:
                await asyncio.sleep(0.5)
            stop.set()
            await working
            await spoil(at.ledger, "j3", task_id=task_id)
            await (await at.worker()).work(asyncio.Event())
            assert await at.counts() == ({"done": 19, "failed": 1} if task_id else {"done": 20})
            assert set(at.bulk.made().values()) == {1}

    in_virtual_time(main)
