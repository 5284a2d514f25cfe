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
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from avatarkit import AsyncGuiji, AsyncSandbox, providers
from avatarkit.bulk.options import BulkOptions
from avatarkit.bulk.run import BulkRun
from avatarkit.testing import VirtualClock, run_virtual
from benchmarks import fleet
from benchmarks.bulk_ground import keys, memory, presenter, requests
from benchmarks.report import Line, show

CAP = 200  # tasks at once in *whole*


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
            *keys(box, provider),
            base_url=box.base_url(provider),
            rate_limit=None,
            max_running=CAP,
            wire=box.wire(),
            clock=clock,
        )
        async with client:
            base = await presenter(client, provider)
            before = sum(box.seen.requests.values())
            cpu, wall, good = time.process_time(), time.perf_counter(), 0
            async for outcome in client.bulk(
                requests(base, jobs), journal=folder / "run.db", out=folder / "out"
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
            return run_virtual(lambda: fleet.fleet(options.jobs, options.workers, folder))  # type: ignore[no-any-return]
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
        lines += fleet.lines_of(jobs, options.workers, _apart("fleet", jobs, options))
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return show(f"bulk runs (load of the machine: {load})", lines)


if __name__ == "__main__":
    raise SystemExit(main())
