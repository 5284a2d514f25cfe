"""What a blocking call costs: a no-op coroutine through the bridge, against the other ways to call one.

    python -m benchmarks.bridge [--calls N] [--rounds N] [--json FILE]

Each way makes the same calls in short turns, one way after the other, so that a busy moment of the
machine hits all of them alike; the figure of a way is the median over its turns. What counts is the
ratio to ``await create_task(...)`` inside a loop, the least that "a task per call" can cost: figures
in microseconds say more about the machine than about the code.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from avatarkit import AsyncHiFly, ClientOptions, HiFly
from avatarkit._bridge import Lease
from benchmarks.server import pin, running

LOOPBACK_GOAL = 60.0  # microseconds
BASE = "await create_task(coro())"

Turn = Callable[[int], float]
"""Makes a number of calls and gives the seconds they took."""


async def noop() -> int:
    return 1


async def numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


@asynccontextmanager
async def manager() -> AsyncIterator[None]:
    yield


def timed(call: Callable[[], object]) -> Turn:
    def turn(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return time.perf_counter() - start

    return turn


def in_loop(loop: asyncio.AbstractEventLoop) -> Turn:
    async def calls_in_loop(calls: int) -> float:
        running = asyncio.get_running_loop()
        start = time.perf_counter()
        for _ in range(calls):
            await running.create_task(noop())
        return time.perf_counter() - start

    return lambda calls: asyncio.run_coroutine_threadsafe(calls_in_loop(calls), loop).result()


def items_of(lease: Lease) -> Turn:
    def turn(calls: int) -> float:
        start = time.perf_counter()
        for _ in lease.iterate(numbers, calls):
            pass
        return time.perf_counter() - start

    return turn


@contextmanager
def background_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def measure(calls: int, rounds: int) -> dict[str, float]:
    """Microseconds a call, per way."""
    with ExitStack() as stack:
        lease = Lease()
        stack.callback(lease.close)
        loop = stack.enter_context(background_loop())
        portal = stack.enter_context(start_blocking_portal())

        def enter() -> None:
            with lease.enter(manager):
                pass

        ways: dict[str, Turn] = {
            BASE: in_loop(loop),
            "bridge, call": timed(lambda: lease.run(noop)),
            "bridge, item of an iterator": items_of(lease),
            "bridge, enter and leave": timed(enter),
            "run_coroutine_threadsafe().result()": timed(
                lambda: asyncio.run_coroutine_threadsafe(noop(), loop).result()
            ),
            "anyio BlockingPortal.call": timed(lambda: portal.call(noop)),
        }
        turns: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + 1):
            for name, turn in ways.items():
                seconds = turn(calls)
                if number:  # the first round warms up
                    turns[name].append(seconds / calls * 1e6)
    return {name: statistics.median(values) for name, values in turns.items()}


def loopback(calls: int, rounds: int) -> tuple[float, float]:
    """Microseconds of one JSON GET on loopback: awaited in its loop, and blocking. Medians of turns taken in turn."""
    with ExitStack() as stack:
        base = stack.enter_context(running())
        pin(0)  # the server has the other core; else the loop's thread and the server get in each other's way
        options: ClientOptions = {"base_url": base, "rate_limit": None}
        runner = stack.enter_context(asyncio.Runner())
        theirs = AsyncHiFly("bench-token", **options)
        ours = stack.enter_context(HiFly("bench-token", **options))

        async def awaited() -> float:
            start = time.perf_counter()
            for _ in range(calls):
                await theirs.account.credit()
            return time.perf_counter() - start

        blocking = timed(ours.account.credit)
        pairs = [(runner.run(awaited()), blocking(calls)) for _ in range(rounds + 1)][1:]
        runner.run(theirs.aclose())
    scale = 1e6 / calls
    return statistics.median(a for a, _ in pairs) * scale, statistics.median(b for _, b in pairs) * scale


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table; with ``--json`` also write the figures to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bridge", description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="calls per turn")
    parser.add_argument("--rounds", type=int, default=30, help="turns per way")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args(arguments)
    figures = measure(options.calls, options.rounds)
    base = figures[BASE]
    print(f"{'way':<38}{'us a call':>10}{'ratio':>8}")
    for name, value in figures.items():
        print(f"{name:<38}{value:>10.1f}{value / base:>8.1f}")
    awaited, blocking = loopback(options.calls, options.rounds)
    more, reached = blocking - awaited, "yes" if blocking - awaited <= LOOPBACK_GOAL else "NO"
    print(
        f"a GET on loopback: awaited {awaited:.0f} us, blocking {blocking:.0f} us, that is {more:.0f} us more"
    )
    print(f"goal: at most {LOOPBACK_GOAL:.0f} us more: {reached}")
    if options.json:
        ratios = {name: value / base for name, value in figures.items()}
        text = json.dumps({"python": sys.version.split()[0], "us": figures, "ratio": ratios}, indent=2)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
