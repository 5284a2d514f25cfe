"""What waiting for many tasks at once costs the provider: looks a second, and how late an end is noticed.

A thousand tasks are submitted one after the other, at the client's own rate, each with a duration of its own:
log-normal, three minutes in the middle, a tail of more than half an hour. Each is waited for from then on. Client and
sandbox live in virtual time on one loop, with real sockets between them; what is counted is what the sandbox has seen,
everything that is no submission: lists, queries, looks at one task and fresh access tokens. Seconds are counted from
the first look to the last one, and the worst second is any four quarters in a row.

    python -m benchmarks rounds [--quick]
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from avatarkit import AsyncGuiji, AsyncKling, AsyncSandbox, RateLimit
from avatarkit.testing import VirtualClock, run_virtual, virtual
from benchmarks.report import Line, show

MEDIAN, P95, LONGEST = 180.0, 600.0, 2400.0
SIGMA = math.log(P95 / MEDIAN) / 1.6449
_STEP = 0.25  # seconds between two readings of the sandbox's counters


@attrs.frozen(kw_only=True)
class Case:
    """Credentials of one kind, and the submission that is made with them."""

    name: str
    provider: str
    open: Callable[..., Any]
    create: Callable[[Any], Awaitable[Any]]
    submission: str


@attrs.frozen(kw_only=True)
class Found:
    """What one case cost.

    Attributes:
        mean, worst: looks a second, on average and in the worst second.
        delays: seconds from each task's end to the moment its wait returned, in rising order.
        asked: requests per endpoint, the submissions left out.
        spent: real seconds that the case took.

    """

    mean: float
    worst: int
    delays: list[float]
    asked: dict[str, int]
    spent: float

    def late(self, share: float) -> float:
        """The delay that *share* of the tasks did not exceed."""
        return self.delays[min(len(self.delays) - 1, int(share * len(self.delays)))]


def _avatar(kling: AsyncKling) -> Awaitable[Any]:
    return kling.videos.create_avatar(
        image="https://media.example.com/face.png", sound_file="https://media.example.com/speech.mp3"
    )


def _spoken(guiji: AsyncGuiji) -> Awaitable[Any]:
    return guiji.videos.create(avatar="-291", voice="C_101", text="good morning")


def _by_key(box: AsyncSandbox, **options: Any) -> AsyncKling:
    return AsyncKling(box.token, **options)


def _by_pair(box: AsyncSandbox, **options: Any) -> AsyncKling:
    return AsyncKling(access_key=box.token, secret_key=box.secret, **options)


def _guiji(box: AsyncSandbox, **options: Any) -> AsyncGuiji:
    return AsyncGuiji(box.token, box.secret, **options)


_AVATAR = "POST /v1/videos/avatar/image2video"
CASES = (
    Case(name="kling, API key", provider="kling", open=_by_key, create=_avatar, submission=_AVATAR),
    Case(name="kling, access key", provider="kling", open=_by_pair, create=_avatar, submission=_AVATAR),
    Case(
        name="guiji",
        provider="guiji",
        open=_guiji,
        create=_spoken,
        submission="POST /openapi/video/v3/simpleCreate",
    ),
)


class _Count:
    """Reads the sandbox's counters four times a second, and so knows when looks were made."""

    def __init__(self, box: AsyncSandbox, submission: str) -> None:
        self._seen = box.seen
        self._submission = submission
        self.readings: list[int] = []

    def looks(self) -> int:
        """Requests until now that were no submissions."""
        requests = self._seen.requests
        return requests.total() - requests[self._submission]

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            self.readings.append(self.looks())
            await asyncio.sleep(_STEP)

    def rates(self) -> tuple[float, int]:
        """Looks a second between the first and the last one, on average and at worst."""
        first = next(i for i, seen in enumerate(self.readings) if seen)
        last = next(i for i, seen in enumerate(self.readings) if seen == self.readings[-1])
        per_second = round(1 / _STEP)
        worst = max(
            after - before for before, after in zip(self.readings, self.readings[per_second:], strict=False)
        )
        return self.readings[-1] / ((last - first + 1) * _STEP), worst


def _duration(rng: random.Random) -> float:
    return min(MEDIAN * math.exp(SIGMA * rng.gauss(0.0, 1.0)), LONGEST)


async def waited(case: Case, tasks: int, per_second: float | None = None) -> Found:
    """Submit, wait, and count; to be run in virtual time."""
    rng, began, clock = random.Random(20261121), time.perf_counter(), VirtualClock()
    noticed: dict[str, float] = {}

    async def wait(task: Any) -> None:
        await task.wait()
        noticed[task.id] = clock.time()

    options: dict[str, Any] = {"rate_limit": RateLimit(per_second=per_second)} if per_second else {}
    async with (
        AsyncSandbox(clock=clock, render="tiny", queue_seconds=1.0, credits=1e9, result_bytes=16) as box,
        case.open(box, base_url=box.base_url(case.provider), clock=clock, seed=1, **options) as client,
    ):
        count = _Count(box, case.submission)
        reader, waits = asyncio.ensure_future(count.run()), []
        for _ in range(tasks):
            box.set_delays(run_seconds=_duration(rng))
            waits.append(asyncio.ensure_future(wait(await case.create(client))))
        await asyncio.gather(*waits)
        await asyncio.sleep(_STEP)
        reader.cancel()
        mean, worst = count.rates()
        delays = sorted(noticed[row["id"]] - row["finished"] for row in box.tasks())
        asked = {name: number for name, number in box.seen.requests.items() if name != case.submission}
    return Found(mean=mean, worst=worst, delays=delays, asked=asked, spent=time.perf_counter() - began)


@contextmanager
def _brisk() -> Iterator[None]:
    # Client and sandbox share a thread: what one wrote the other can read at once, and no time need be given to it.
    before, virtual._GRACE = virtual._GRACE, 0.0003
    try:
        yield
    finally:
        virtual._GRACE = before


def measure(case: Case, tasks: int, per_second: float | None = None) -> Found:
    """:func:`waited` on a loop of its own."""
    with _brisk():
        found: Found = run_virtual(lambda: waited(case, tasks, per_second))
    return found


def _lines(case: Case, found: Found) -> list[Line]:
    mean = statistics.fmean(found.delays)
    asked = ", ".join(f"{number} {name}" for name, number in sorted(found.asked.items()))
    return [
        Line(
            "-",
            f"{case.name}: looks a second, mean (worst)",
            f"{found.mean:.2f} ({found.worst})",
            "<= 2",
            found.mean <= 2.0,
            asked,
        ),
        Line(
            "-",
            f"{case.name}: notice delay in s, mean (p95, max)",
            f"{mean:.2f} ({found.late(0.95):.2f}, {found.delays[-1]:.2f})",
            "<= 2",
            mean <= 2.0,
            f"{found.spent:.0f} s of real time",
        ),
    ]


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    tasks = 300 if "--quick" in arguments else 1000
    lines = [line for case in CASES for line in _lines(case, measure(case, tasks))]
    return show(f"rounds of looks, {tasks:,} tasks waiting", lines)


if __name__ == "__main__":
    raise SystemExit(main())
