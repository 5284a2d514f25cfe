"""A bulk run as a whole: what a job costs, how often a batch provider is asked, how full a fleet keeps an account.

Three parts, each in a process of its own:

- *whole*: jobs through ``client.bulk(…)`` with the ledger in SQLite and every file written. Client, ledger and the
  provider's side live in this process, in virtual time, without sockets; CPU is all of theirs. One part each for Guiji
  (lists), and with ``--all`` for Kling (lists) and HiFly (no list: every task is looked at by itself).
- *feed*: a CSV read, planned, checked and added to a ledger; then the same again, as a run that is resumed does.
- *fleet*: workers that share one account, one ledger and one task engine (in memory here), each with a client of its
  own, in virtual time. Tasks take one to three minutes. What counts is the share of the account's cap that the provider
  saw busy, from the moment it was reached to the last submission. Results are fetched, but not written.

    python -m benchmarks bulk [--quick] [--all]
    python -m benchmarks.bulk [--jobs N] [--rows N] [--fleet N] [--workers N] [--folder DIR] [--only PART]
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import itertools
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from avatarkit import AsyncGuiji, AsyncSandbox, VideoRequest, providers
from avatarkit.bulk.fleet import FleetOptions, Handler, Stage
from avatarkit.bulk.fleet_worker import FleetWorker
from avatarkit.bulk.records import Job, JobState
from avatarkit.bulk.run import BulkOptions, BulkRun
from avatarkit.bulk.specs import Row
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.testing import VirtualClock, run_virtual
from benchmarks.report import Line, show

CAP = 200  # tasks at once in *whole*
FLEET_CAP = 1000
QUEUE, LEAST, MOST = 5.0, 55.0, 175.0  # seconds of a task in *fleet*
IMAGE, SOUND = "https://media.example.com/face.png", "https://media.example.com/{}.mp3"


def memory() -> float:
    """The most this process had in memory, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _keys(box: AsyncSandbox, provider: str) -> tuple[str, ...]:
    return (box.token, box.secret) if provider == "guiji" else (box.token,)


async def _presenter(client: Any, provider: str) -> dict[str, str]:
    if provider == "kling":
        return {"image": IMAGE}
    if provider == "guiji":
        avatars, voices = await client.avatars.list_public(), await client.voices.list_public()
        return {"avatar": avatars.items[0].id, "voice": voices.items[0].id}
    avatar = await (await client.avatars.create_by_image(IMAGE)).wait()
    voice = await (await client.voices.create(SOUND.format("voice"), title="voice")).wait()
    return {"avatar": avatar.id, "voice": voice.id}


# -- whole ------------------------------------------------------------------------------------------------------------


async def whole(provider: str, jobs: int, folder: Path) -> dict[str, float]:
    """Carry *jobs* jobs from request to file."""
    clock = VirtualClock()
    async with AsyncSandbox(
        clock=clock,
        listen=False,
        keep_tasks=500,
        render="tiny",
        credits=1e12,
        max_running=CAP,
        queue_seconds=5,
        run_seconds=60,
    ) as box:
        client = providers.client_class(provider)(
            *_keys(box, provider),
            base_url=box.base_url(provider),
            rate_limit=None,
            max_running=CAP,
            wire=box.wire(),
            clock=clock,
        )
        async with client:
            base = await _presenter(client, provider)
            before = sum(box.seen.requests.values())
            cpu, wall, good = time.process_time(), time.perf_counter(), 0
            async for outcome in client.bulk(
                _requests(base, jobs), journal=folder / "run.db", out=folder / "out"
            ):
                good += outcome.ok
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        asked = sum(box.seen.requests.values()) - before - box.seen.created()
        files = sum(len(names) for _, _, names in os.walk(folder / "out"))
        assert good == files == jobs, (good, files)
        return {
            "cpu": cpu / jobs * 1000,
            "wall": wall,
            "memory": memory(),
            "polls": asked / jobs,
            "peak": box.seen.peak_running,
            "twice": len(box.seen.duplicates),
        }


def _requests(base: Mapping[str, str], jobs: int) -> Iterator[VideoRequest]:
    for number in range(jobs):
        if "image" in base:
            yield VideoRequest(**base, audio=SOUND.format(number))  # type: ignore[arg-type]
        else:
            yield VideoRequest(**base, text=f"This is sentence number {number}.")  # type: ignore[arg-type]


# -- feed -------------------------------------------------------------------------------------------------------------


async def feed(rows: int, folder: Path) -> dict[str, float]:
    """Bring a CSV into a ledger, and once more."""
    manifest = folder / "jobs.csv"
    with manifest.open("w") as file:
        file.write("key,avatar,voice,text,title\n")
        file.writelines(
            f"job-{n:07d},-291,C_101,This is sentence number {n} of a long manifest,Clip {n}\n"
            for n in range(rows)
        )
    found: dict[str, float] = {}
    async with AsyncGuiji("app", "secret") as client:
        for name in ("first", "again"):
            cpu, wall = time.process_time(), time.perf_counter()
            async with BulkRun(
                client, manifest, folder / "run.db", BulkOptions(out=str(folder / "out"))
            ) as run:
                assert await run.feed() == rows
            found[name] = time.perf_counter() - wall
            found[f"{name} cpu"] = time.process_time() - cpu
    return {**found, "memory": memory()}


# -- fleet ------------------------------------------------------------------------------------------------------------


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
        """Fetch *artifact*."""
        return {"file": f"{job.key}.mp4", "bytes": len(await artifact.read())}

    async def settled(self, job: Job, result: Mapping[str, Any]) -> None:
        """Nothing was kept."""

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
    clock, busy = VirtualClock(), Busy(FLEET_CAP)
    async with AsyncSandbox(
        clock=clock, listen=False, keep_tasks=4000, render="tiny", credits=1e12, max_running=FLEET_CAP
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
                max_running=FLEET_CAP,
                wire=box.wire(),
                clock=clock,
            )
            for _ in range(workers)
        ]
        cpu, wall = time.process_time(), time.perf_counter()
        base = await _presenter(clients[0], "guiji")
        asked = sum(box.seen.requests.values())
        async with BulkRun(clients[0], _requests(base, jobs), ledger, BulkOptions(out="out")) as bulk:
            await bulk.feed()
            run = bulk.run
        assert run is not None
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


# -- all of it --------------------------------------------------------------------------------------------------------


def _apart(part: str, jobs: int, options: argparse.Namespace) -> dict[str, float]:
    """One part in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.bulk", "--part", part, "--jobs", str(jobs)]
    command += ["--workers", str(options.workers), "--folder", str(options.folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _part(options: argparse.Namespace) -> dict[str, float]:
    name, _, provider = options.part.partition(":")
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        if name == "whole":
            return run_virtual(lambda: whole(provider, options.jobs, folder))  # type: ignore[no-any-return]
        if name == "fleet":
            return run_virtual(lambda: fleet(options.jobs, options.workers, folder))  # type: ignore[no-any-return]
        return asyncio.run(feed(options.jobs, folder))


def _of_whole(provider: str, jobs: int, found: Mapping[str, float]) -> list[Line]:
    listed = provider != "hifly"
    what = f"{provider}, {jobs:,} jobs end to end: "
    polls = found["polls"]
    return [
        Line(
            "bulk",
            f"{what}CPU a job",
            f"{found['cpu']:.2f} ms",
            "<= 1 ms",
            found["cpu"] <= 1 if provider == "guiji" else None,
            f"{found['wall']:.0f} s in all",
        ),
        Line("bulk", f"{what}memory", f"{found['memory']:.0f} MB", "<= 300 MB", found["memory"] <= 300),
        Line(
            "bulk" if listed else "-",
            f"{what}polls a job",
            f"{polls:.3f}",
            "<= 0.2" if listed else "",
            polls <= 0.2 if listed else None,
        ),
        Line(
            "bulk",
            f"{what}paid twice; most at once",
            f"{found['twice']:.0f}; {found['peak']:.0f}",
            f"0; <= {CAP}",
            found["twice"] == 0 and found["peak"] <= CAP,
        ),
    ]


def _of_feed(rows: int, found: Mapping[str, float]) -> list[Line]:
    note = f"{found['first cpu']:.1f} s of CPU, {found['memory']:.0f} MB"
    scale = rows / 1e6
    first, again = found["first"], found["again"]
    return [
        Line(
            "bulk",
            f"{rows:,} rows imported",
            f"{first:.1f} s",
            f"<= {15 * scale:g} s",
            first <= 15 * scale,
            note,
        ),
        Line("bulk", f"{rows:,} rows resumed", f"{again:.2f} s", "<= 2 s", again <= 2),
    ]


def _of_fleet(jobs: int, workers: int, found: Mapping[str, float]) -> list[Line]:
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
            f"0; <= {FLEET_CAP}",
            found["twice"] == 0 and found["peak"] <= FLEET_CAP,
        ),
        Line(
            "-",
            f"{what}lists a job; requests a job but submissions",
            f"{found['lists']:.3f}; {found['polls']:.2f}",
        ),
    ]


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--fleet", type=int, default=100_000, help="jobs of the fleet")
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--only", choices=("whole", "feed", "fleet"))
    parser.add_argument("--all", action="store_true", help="Kling and HiFly too")
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts, print what became of the goals."""
    options = _options(argv)
    if options.part:
        print(json.dumps(_part(options)))
        return 0
    less = 10 if options.quick else 1
    lines: list[Line] = []
    if options.only in (None, "whole"):
        for provider in itertools.islice(("guiji", "kling", "hifly"), 3 if options.all else 1):
            jobs = options.jobs // less
            lines += _of_whole(provider, jobs, _apart(f"whole:{provider}", jobs, options))
    if options.only in (None, "feed"):
        rows = options.rows // less
        lines += _of_feed(rows, _apart("feed", rows, options))
    if options.only in (None, "fleet"):
        jobs = options.fleet // less
        lines += _of_fleet(jobs, options.workers, _apart("fleet", jobs, options))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return show(f"bulk runs (load of the machine: {load})", lines)


if __name__ == "__main__":
    raise SystemExit(main())
