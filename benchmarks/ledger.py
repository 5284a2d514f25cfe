"""The ledger of bulk runs in SQLite: durable transitions a second, a million jobs imported, resumed and shown.

    python -m benchmarks.ledger [--jobs N] [--folder DIR]

A transition is a change of a job that is on the disk when the call returns: intent, accepted, ready, done. Workers
carry jobs through their lives; looks are told in rounds, as the driver tells them: one call for all that are in flight.
Each part runs in a process of its own, so that memory is that part's. Figures depend on what a flush of the disk
costs, which is printed first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from avatarkit.bulk.records import Intent, JobState, Look, NewJob, Opened, RunSettings
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.models import Ticket
from benchmarks.report import Line, show

RUN = "july"
SETTINGS = RunSettings(provider="hifly", account="acc")
TICKET = Ticket(
    provider="hifly", endpoint="videos.create_by_tts", kind="video", account="acc", marker="[ak:7f3k9q2m]"
)
SPEC = b"x" * 313
IN_FLIGHT = (10, 100, 1000)
BATCH = 1000


def key_of(number: int) -> str:
    return f"job-{number:07d}"


def memory() -> float:
    """The most this process had in memory, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def flush_cost(folder: Path) -> float:
    """Microseconds of one fdatasync after a small write; the median."""
    path = folder / "flush"
    taken = []
    with path.open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(b"x" * 4096)
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - start)
    path.unlink()
    return sorted(taken)[100] * 1e6


async def _carry(ledger: SqliteLedger, keys: Sequence[str], *, rounds: bool) -> None:
    """Carry jobs that are in flight together through their lives."""

    async def submit(key: str) -> None:
        intent = Intent(run=RUN, key=key, attempt=1, ticket=TICKET, send_seconds=5.0, cost=1.5)
        answer = await ledger.open_intent(intent)
        assert answer.opened is Opened.YES
        assert await ledger.accepted(RUN, key, 1, task_id="9" * 18, token="t" * 60, look_at=0.0)
        if not rounds:
            await ledger.settle(RUN, [Look(key=key, attempt=1, state=JobState.READY, cost=1.5)])

    await asyncio.gather(*map(submit, keys))
    if rounds:
        await ledger.settle(RUN, [Look(key=key, attempt=1, state=JobState.READY, cost=1.5) for key in keys])
    done = await asyncio.gather(*(ledger.finish(RUN, key, 1, result={"file": f"{key}.mp4"}) for key in keys))
    assert all(done)


async def transitions(path: Path, jobs: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for in_flight in IN_FLIGHT:
        for rounds in (True, False):
            many = max(in_flight, min(jobs, 60 * in_flight) // in_flight * in_flight)
            async with await SqliteLedger.open(path.with_suffix(f".{in_flight}{rounds}")) as ledger:
                await ledger.open_run(RUN, SETTINGS)
                for start in range(0, many, BATCH):
                    await ledger.add(
                        RUN,
                        [NewJob(key=key_of(n), spec=SPEC) for n in range(start, min(start + BATCH, many))],
                    )
                keys = [key_of(n) for n in range(many)]
                wall, cpu = time.perf_counter(), time.process_time()
                for start in range(0, many, in_flight):
                    await _carry(ledger, keys[start : start + in_flight], rounds=rounds)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            figures[f"{in_flight} {'rounds' if rounds else 'singly'}"] = [
                4 * many / wall,
                cpu / many / 4 * 1e6,
            ]
    return figures


async def bring_in(path: Path, jobs: int) -> dict[str, Any]:
    async with await SqliteLedger.open(path) as ledger:
        await ledger.open_run(RUN, SETTINGS)
        seconds = {}
        for name in ("first", "again"):
            begun = time.perf_counter()
            for start in range(0, jobs, BATCH):
                batch = [NewJob(key=key_of(n), spec=SPEC) for n in range(start, min(start + BATCH, jobs))]
                added = await ledger.add(RUN, batch)
                assert (added.new, added.known) == ((len(batch), 0) if name == "first" else (0, len(batch)))
            seconds[name] = time.perf_counter() - begun
        # What a run leaves behind: 2,000 done, 10,000 running, 50 in doubt.
        for start in range(0, min(12_000, jobs // 2), 500):
            keys = [key_of(n) for n in range(start, start + 500)]
            await asyncio.gather(*(_submit(ledger, key) for key in keys))
            if start < 2000:
                looks = [Look(key=key, attempt=1, state=JobState.READY) for key in keys]
                await ledger.settle(RUN, looks)
                await asyncio.gather(*(ledger.finish(RUN, key, 1, result={}) for key in keys))
        await asyncio.gather(*(_submit(ledger, key_of(jobs - 1 - n), only_intent=True) for n in range(50)))
    return {**seconds, "memory": memory(), "file": path.stat().st_size / 2**20}


async def _submit(ledger: SqliteLedger, key: str, *, only_intent: bool = False) -> None:
    intent = Intent(run=RUN, key=key, attempt=1, ticket=TICKET, send_seconds=0.0, cost=1.5)
    await ledger.open_intent(intent)
    if not only_intent:
        await ledger.accepted(RUN, key, 1, task_id="9" * 18, token="t" * 60, look_at=0.0)


async def resume(path: Path, jobs: int) -> dict[str, Any]:
    seconds: dict[str, float] = {}

    async def timed(name: str, call: Awaitable[Any]) -> Any:
        begun = time.perf_counter()
        value = await call
        seconds[name] = time.perf_counter() - begun
        return value

    async with await timed("open", SqliteLedger.open(path)) as ledger:
        await timed("open_run", ledger.open_run(RUN, SETTINGS))
        counts = await timed("counts", ledger.counts(RUN))
        assert counts.total == jobs
        assert len(await timed("doubts", ledger.doubts(RUN, older_than=-1.0))) == 50
        assert len(await timed("next 500 new", ledger.take(RUN, JobState.NEW, 500, seconds=60.0))) == 500
        assert await timed("next_due", ledger.next_due(RUN)) is not None
        whole = sum(seconds.values())
        await timed("1,000 running", ledger.select(RUN, [JobState.RUNNING]))
    return {"whole": whole, "memory": memory(), **seconds}


PARTS: dict[str, Callable[[Path, int], Awaitable[dict[str, Any]]]] = {
    "transitions": transitions,
    "import": bring_in,
    "resume": resume,
}


def _apart(part: str, path: Path, jobs: int) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.ledger",
        "--part",
        part,
        "--file",
        str(path),
        "--jobs",
        str(jobs),
    ]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledger", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="jobs to import")
    parser.add_argument("--folder", type=Path, help="where the ledgers are made: the disk to measure")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        print(json.dumps(asyncio.run(_one(PARTS[options.part], options.file, options.jobs))))
        return 0
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        flush = flush_cost(folder)
        moves = _apart("transitions", folder / "transitions", 20_000)
        brought = _apart("import", folder / "million", options.jobs)
        resumed = _apart("resume", folder / "million", options.jobs)
    lines = [Line("-", "a flush of this disk", f"{flush:.0f} us")]
    for label, (each, cpu) in moves.items():
        in_flight, way = label.split()
        target, reached = ("30,000/s", each >= 30_000) if label == "100 rounds" else ("", None)
        what = f"transitions, {in_flight} in flight, looks {'in rounds' if way == 'rounds' else 'one by one'}"
        lines.append(Line("-", what, f"{each:,.0f}/s", target, reached, f"{cpu:.0f} us CPU each"))
    share = options.jobs / 1_000_000
    note = f"{brought['file']:.0f} MiB on disk, {brought['memory']:.0f} MiB in memory"
    took = brought["first"]
    lines.append(
        Line(
            "-", f"import of {options.jobs:,}", f"{took:.1f} s", f"{15 * share:g} s", took <= 15 * share, note
        )
    )
    lines.append(Line("-", "the same input once more", f"{brought['again']:.1f} s"))
    parts = ", ".join(
        f"{name} {value * 1e3:.0f} ms" for name, value in resumed.items() if name not in ("whole", "memory")
    )
    took = resumed["whole"]
    lines.append(Line("-", "resume", f"{took:.2f} s", "2 s", took <= 2.0, parts))
    lines.append(Line("-", "memory of the resumed process", f"{resumed['memory']:.0f} MiB"))
    return show("ledger in SQLite", lines)


async def _one(
    part: Callable[[Path, int], Awaitable[dict[str, Any]]], path: Path, jobs: int
) -> dict[str, Any]:
    return await part(path, jobs)


if __name__ == "__main__":
    raise SystemExit(main())
