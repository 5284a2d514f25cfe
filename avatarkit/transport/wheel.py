"""One timer for very many waiting things: a wheel of buckets.

Waiting costs an entry in a list. The loop has one timer at most, for the earliest bucket; everything in a bucket
falls due together, at most one tick later than asked. Entries are not removed one by one: whoever takes them out
looks whether they still matter, or sweeps out many at once.
"""

from __future__ import annotations

import heapq
from asyncio import TimerHandle
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from avatarkit.transport.clock import Clock

T = TypeVar("T")
_TICKS = 50  # buckets a second: being 20 ms late does not matter to tasks that take minutes


class Wheel(Generic[T]):
    """Calls *due* with everything whose time has come. Loop thread only."""

    __slots__ = ("_armed", "_buckets", "_clock", "_count", "_due", "_order", "_timer")

    def __init__(self, clock: Clock, due: Callable[[list[T]], None]) -> None:
        self._clock = clock
        self._due = due
        self._buckets: dict[int, list[T]] = {}
        self._order: list[int] = []
        self._timer: TimerHandle | None = None
        self._armed = self._count = 0

    def add(self, delay: float, item: T) -> None:
        """Hand *item* to *due* after *delay* seconds."""
        bucket = int((self._clock.monotonic() + delay) * _TICKS) + 1
        self._count += 1
        entries = self._buckets.get(bucket)
        if entries is not None:
            entries.append(item)
            return
        self._buckets[bucket] = [item]
        heapq.heappush(self._order, bucket)
        if self._timer is None or bucket < self._armed:
            self._arm(bucket)

    def _arm(self, bucket: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = bucket
        self._timer = self._clock.call_later(bucket / _TICKS - self._clock.monotonic(), self._turn)

    def _turn(self) -> None:
        self._timer = None
        now = int(self._clock.monotonic() * _TICKS)
        while self._order and self._order[0] <= now:
            entries = self._buckets.pop(heapq.heappop(self._order))
            self._count -= len(entries)
            self._due(entries)
        if self._order and (self._timer is None or self._order[0] < self._armed):
            self._arm(self._order[0])

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        return (item for entries in self._buckets.values() for item in entries)

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Forget every entry that is not *wanted*. Looks at all of them: call it once for many."""
        for bucket, entries in self._buckets.items():
            self._buckets[bucket] = [item for item in entries if wanted(item)]
        self._count = sum(map(len, self._buckets.values()))

    def close(self) -> list[T]:
        """Forget everything; gives what was waiting."""
        left = [item for entries in self._buckets.values() for item in entries]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._buckets.clear()
        self._count = 0
        self._order.clear()
        return left
