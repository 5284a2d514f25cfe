"""How full a fleet keeps an account: a part of the program ``bulk``, and what it shows.

Workers share one account, one ledger in SQLite and one task engine in memory, each with a client of its own; all of it,
the provider too, lives in this process in virtual time, without sockets.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from avatarkit import AsyncGuiji, AsyncSandbox
from avatarkit.bulk.fleet import FleetOptions, Handler, Stage
from avatarkit.bulk.fleet_worker import FleetWorker
from avatarkit.bulk.options import BulkOptions
from avatarkit.bulk.records import Job, JobState
from avatarkit.bulk.run import BulkRun
from avatarkit.bulk.specs import Row
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.testing import VirtualClock
from benchmarks.bulk_ground import memory, presenter, requests
from benchmarks.report import Line

CAP = 1000
QUEUE, LEAST, MOST = 5.0, 55.0, 175.0  # seconds of a task
FETCH = 2.0  # seconds of a download


class MemoryEngine:
    """A task engine for workers of one event loop: a queue for each stage, first come, first served."""

    def __init__(self) -> None:
        self._queues: dict[Stage, deque[str]] = {stage: deque() for stage in Stage}
        self._idle: dict[Stage, deque[asyncio.Future[None]]] = {stage: deque() for stage in Stage}

    async def enqueue(self, stage: Stage, run: str, keys: Sequence[str], *, delay: float = 0.0) -> None:
        """Hand *keys* to whoever is idle."""
        self._queues[stage].extend(keys)
        for _ in keys:
            if not self._idle[stage]:
                break
            idle = self._idle[stage].popleft()
            if not idle.done():
                idle.set_result(None)

    async def backlog(self, stage: Stage, run: str) -> int:
        """Keys that wait."""
        return len(self._queues[stage])

    async def work(
        self,
        run: str,
        handlers: Mapping[Stage, Handler],
        concurrency: Mapping[Stage, int],
        stop: asyncio.Event,
    ) -> None:
        """Call the handlers until *stop*."""
        hands = [
            asyncio.ensure_future(self._hand(stage, handlers[stage], stop))
            for stage, many in concurrency.items()
            for _ in range(many)
        ]
        await stop.wait()
        for queue in self._idle.values():
            for idle in queue:
                if not idle.done():
                    idle.set_result(None)
        await asyncio.gather(*hands)

    async def _hand(self, stage: Stage, handler: Handler, stop: asyncio.Event) -> None:
        queue = self._queues[stage]
        while not stop.is_set():
            if queue:
                await handler([queue.popleft()])
            else:
                idle = asyncio.get_running_loop().create_future()
                self._idle[stage].append(idle)
                await idle

    async def aclose(self) -> None:
        """Nothing is open."""


class Nowhere:
    """Takes results in and keeps none."""

    async def check(self) -> None:
        """It takes everything."""

    async def put(self, artifact: Any, job: Job, row: Row) -> Mapping[str, Any]:
        """Fetch *artifact*, which takes a while."""
        await asyncio.sleep(FETCH)
        return {"file": f"{job.key}.mp4", "bytes": len(await artifact.read())}

    async def settled(self, job: Job, result: Mapping[str, Any]) -> None:
        """Nothing was kept."""

    async def tidy(self, run: str) -> None:
        """Nothing was left."""

    async def aclose(self) -> None:
        """Nothing is open."""


class Spread:
    """How long tasks take: something else for each."""

    queue = QUEUE

    def __init__(self) -> None:
        self._random = random.Random(7)

    @property
    def run(self) -> float:
        """Seconds."""
        return self._random.uniform(LEAST, MOST)


@attrs.define
class Busy:
    """How many tasks ran, over time, by what the provider accepted and when that ended."""

    cap: int
    ends: list[float] = attrs.field(factory=list)
    at: float = 0.0
    area: float = 0.0
    full_at: float | None = None
    until: float = 0.0
    most: int = 0

    def accepted(self, task: Any) -> None:
        """A task began."""
        self._advance(task.created)
        heapq.heappush(self.ends, task.ready_at)
        self.most = max(self.most, len(self.ends))
        if self.full_at is None and len(self.ends) >= self.cap:
            self.full_at, self.area = task.created, 0.0
        self.until = task.created

    def _advance(self, now: float) -> None:
        while self.ends and self.ends[0] <= now:
            end = self.ends[0]
            self.area += (end - self.at) * len(self.ends)
            self.at = end
            heapq.heappop(self.ends)
        self.area += (now - self.at) * len(self.ends)
        self.at = now

    @property
    def share(self) -> float:
        """Of the cap, from the moment it was reached to the last submission."""
        if self.full_at is None or self.until <= self.full_at:
            return 0.0
        return self.area / self.cap / (self.until - self.full_at)


async def fleet(jobs: int, workers: int, folder: Path) -> dict[str, float]:
    """Let *workers* workers share the account until all jobs are done."""
    clock, busy = VirtualClock(), Busy(CAP)
    async with AsyncSandbox(
        clock=clock, listen=False, keep_tasks=800, render="tiny", credits=1e12, max_running=CAP
    ) as box:
        world = box._world
        world.default_delay = Spread()  # type: ignore[assignment]
        world.delays.clear()
        starts = world.on_accept

        def accept(task: Any) -> None:
            busy.accepted(task)
            starts(task)

        world.on_accept = accept
        ledger = await SqliteLedger.open(folder / "run.db", clock=clock)
        clients = [
            AsyncGuiji(
                box.token,
                box.secret,
                base_url=box.base_url("guiji"),
                rate_limit=None,
                max_running=CAP,
                wire=box.wire(),
                clock=clock,
            )
            for _ in range(workers)
        ]
        cpu, wall = time.process_time(), time.perf_counter()
        base = await presenter(clients[0], "guiji")
        asked = sum(box.seen.requests.values())
        async with BulkRun(clients[0], requests(base, jobs), ledger, BulkOptions(out="out")) as bulk:
            await bulk.feed()
            run = bulk.run
        assert run is not None
        # What fifty clients hold for the whole run is not gone through again with every collection.
        gc.collect()
        gc.freeze()
        engine, stop = MemoryEngine(), asyncio.Event()
        options = FleetOptions(until_done=True, submits=4, downloads=4)
        # They do not start at once: real ones never do, and each asks the ledger at times of its own.
        await asyncio.gather(
            *(
                _started(
                    FleetWorker(client, ledger, run, engine, options, sink=Nowhere()), stop, number * 0.04
                )
                for number, client in enumerate(clients)
            )
        )
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        counts = await ledger.counts(run.id)
        assert counts.jobs == {JobState.DONE: jobs}, counts
        asked = sum(box.seen.requests.values()) - asked - box.seen.created()
        lists = box.seen.requests["POST /openapi/video/v2/pageList"]
        found = {
            "share": busy.share,
            "peak": busy.most,
            "twice": len(box.seen.duplicates),
            "polls": asked / jobs,
            "lists": lists / jobs,
            "worst second": box.seen.peak_per_second,
            "hours": clock.monotonic() / 3600,
            "cpu": cpu / jobs * 1000,
            "wall": wall,
            "memory": memory(),
        }
        for client in clients:
            await client.aclose()
        await ledger.aclose()
        return found


async def _started(worker: FleetWorker, stop: asyncio.Event, delay: float) -> None:
    await asyncio.sleep(delay)
    await worker.work(stop)


def lines_of(jobs: int, workers: int, found: Mapping[str, float]) -> list[Line]:
    what = f"{workers} workers, one account, {jobs:,} jobs: "
    return [
        Line(
            "bulk",
            f"{what}cap kept busy",
            f"{found['share'] * 100:.2f} %",
            ">= 97 %",
            found["share"] >= 0.97,
            f"{found['hours']:.1f} h of virtual time, {found['cpu']:.2f} ms CPU a job, {found['memory']:.0f} MB",
        ),
        Line(
            "bulk",
            f"{what}paid twice; most at once",
            f"{found['twice']:.0f}; {found['peak']:.0f}",
            f"0; <= {CAP}",
            found["twice"] == 0 and found["peak"] <= CAP,
        ),
        Line(
            "-",
            f"{what}lists a job; requests a job but submissions",
            f"{found['lists']:.3f}; {found['polls']:.2f}",
        ),
    ]
