"""When a hub does what: the queue of looks that are due, and the wheel of what is due later.

Invariant: a record has one place in the schedule, however often a callback brings its look forward. Places that no
longer count stay where they are and are passed over; where they become many they are swept out of the wheel.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator

from avatarkit.transport.clock import Clock
from avatarkit.transport.rounds import Rounds
from avatarkit.transport.watched import Watched
from avatarkit.transport.wheel import Wheel

AT_ONCE = 0.001  # a wait shorter than this many seconds is none


class Agenda:
    """What a hub has to do: looks at single tasks, rounds, and waits that run out of time. Loop thread only.

    Attributes:
        queue: the looks that are due, in their order.

    """

    __slots__ = ("_clock", "_due", "_husks", "_wheel", "queue")

    def __init__(self, clock: Clock, queue: deque[Watched], due: Callable[[], None]) -> None:
        """*due* is called when time has put looks into *queue*."""
        self.queue = queue
        self._clock = clock
        self._due = due
        self._wheel: Wheel[Watched | Rounds | asyncio.Future[bool]] = Wheel(clock, self._fall_due)
        self._husks = 0  # entries of the wheel that no longer count

    def __len__(self) -> int:
        return len(self._wheel) + len(self.queue)

    def __iter__(self) -> Iterator[Watched]:
        """Every record that has a place, some more than once."""
        for item in self._wheel:
            if isinstance(item, Watched):
                yield item
        yield from self.queue

    # -- looks

    def enqueue(self, record: Watched, *, first: bool = False) -> None:
        """Look at *record* when its turn comes, or next of all (*first*)."""
        if record.queued and not first:
            return
        if record.due != math.inf:
            record.due = math.inf
            self.leave_husk()
        record.queued = True
        if first:
            self.queue.appendleft(record)
        else:
            self.queue.append(record)

    def put_off(self, record: Watched, delay: float) -> None:
        """Look at *record* in *delay* seconds, unless it is looked at sooner."""
        due = self._clock.monotonic() + delay
        if record.queued or record.due <= due:
            return
        if record.due != math.inf:
            self.leave_husk()
        record.due = due
        self._wheel.add(delay, record)

    # -- the rest

    def call(self, rounds: Rounds, delay: float) -> None:
        """Tell *rounds* in *delay* seconds that they may be due."""
        self._wheel.add(max(0.0, delay), rounds)

    def expire(self, future: asyncio.Future[bool], delay: float) -> None:
        """Set *future* to False in *delay* seconds, if it is not done by then. Who is done with it leaves a husk."""
        self._wheel.add(delay, future)

    def leave_husk(self) -> None:
        """Something in the wheel no longer counts."""
        self._husks += 1
        if self._husks > 256 and self._husks * 2 > len(self._wheel):
            self._husks = 0
            self._wheel.keep(_counts)

    def _fall_due(self, items: list[Watched | Rounds | asyncio.Future[bool]]) -> None:
        now = self._clock.monotonic() + AT_ONCE
        for item in items:
            if isinstance(item, Watched):
                if item.due <= now:
                    item.due = math.inf
                    self.enqueue(item)
            elif isinstance(item, Rounds):
                item.fall_due()
            elif not item.done():
                item.set_result(False)
        self._due()

    def close(self) -> list[Watched]:
        """Forget everything that is due later; gives the records among it."""
        return [item for item in self._wheel.close() if isinstance(item, Watched)]


def _counts(item: Watched | Rounds | asyncio.Future[bool]) -> bool:
    """Whether an entry of the wheel can still matter."""
    if isinstance(item, Watched):
        return item.due != math.inf
    return isinstance(item, Rounds) or not item.done()
