"""How long a run was worked on: time in which no process did so is no part of its pace.

Whoever works on a run notes in its ledger every few seconds that it still does. From these notes come the stretches
of work, over all processes and machines: a note soon after the last one goes on with its stretch, a later one begins
another.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import uuid
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

import attrs

from avatarkit.bulk.ledger import Ledger
from avatarkit.errors import AvatarKitError

_NOTE_SECONDS = 5.0  # for a note; then it is left out
_EVERY = 10.0  # seconds between two notes
_PATIENCE = 30.0  # seconds without a note after which nobody works any more
_FRESH = 60.0  # seconds for which what was left over by the last stretch is still coming in
_MOST = 50  # stretches that are kept one by one


@attrs.frozen(kw_only=True)
class WorkTime:
    """When a run was worked on. Times are seconds since 1970, by the ledger's clock.

    Attributes:
        spans: stretches of work, oldest first: when each began, and when it was last heard of.
        earlier: seconds of stretches before these.
        at_work: when each process that has not said that it ended was last heard of.

    """

    spans: tuple[tuple[float, float], ...] = ()
    earlier: float = 0.0
    at_work: Mapping[str, float] = attrs.field(factory=dict)

    @property
    def known(self) -> bool:
        """Whether anything was noted at all; else nothing can be told."""
        return bool(self.spans)

    def active(self, now: float) -> bool:
        """Whether somebody works on the run."""
        return any(now - heard <= _PATIENCE for heard in self.at_work.values())

    def resumed(self, now: float) -> bool:
        """Whether there was work, then a pause, and at most a minute of work since."""
        if not self.active(now):
            return self.known
        return (len(self.spans) > 1 or self.earlier > 0.0) and now - self.spans[-1][0] < _FRESH

    def until(self, now: float) -> WorkTime:
        """The same, with the stretch that goes on reaching to *now*."""
        if not self.spans or not self.active(now) or now <= self.spans[-1][1]:
            return self
        return attrs.evolve(self, spans=(*self.spans[:-1], (self.spans[-1][0], now)))

    def at(self, time: float) -> float:
        """Seconds of work before *time*: a clock that stands still in pauses. *time* itself when nothing is known."""
        if not self.spans:
            return time
        return self.earlier + sum(min(end, time) - begin for begin, end in self.spans if begin < time)

    def paused(self, since: float, until: float) -> bool:
        """Whether a pause worth the name lies between two times."""
        return until - since - (self.at(until) - self.at(since)) > _PATIENCE

    def noted(self, now: float, who: str, *, begins: bool = False, ends: bool = False) -> WorkTime:
        """With a note of *who* at *now*; one that *begins* while nobody works begins a new stretch."""
        spans = list(self.spans)
        if spans and now - spans[-1][1] <= _PATIENCE and not (begins and not self.active(now)):
            spans[-1] = (spans[-1][0], max(now, spans[-1][1]))
        else:
            spans.append((now, now))
        old = sum(end - begin for begin, end in spans[:-_MOST])
        others = {name: at for name, at in self.at_work.items() if name != who and now - at <= _PATIENCE}
        return WorkTime(
            spans=tuple(spans[-_MOST:]),
            earlier=self.earlier + old,
            at_work=others if ends else {**others, who: now},
        )


def _read(kept: Mapping[str, Any] | None) -> WorkTime:
    if kept is None:
        return WorkTime()
    times = [float(each) for each in kept["spans"]]
    return WorkTime(
        spans=tuple(zip(times[::2], times[1::2], strict=True)),
        earlier=float(kept["earlier"]),
        at_work={str(name): float(at) for name, at in kept["at_work"].items()},
    )


class Keeper(Protocol):
    """What of a ledger is needed to keep small things."""

    async def remember(self, account: str, name: str, value: Mapping[str, Any]) -> None:
        """Keep a small thing by name."""
        ...

    async def recall(self, account: str, name: str, *, younger_than: float) -> Mapping[str, Any] | None:
        """What was kept by that name."""
        ...


async def work_time(ledger: Keeper, run: str) -> WorkTime:
    """When *run* was worked on, as far as it was noted. Changes nothing."""
    return _read(await ledger.recall("", f"work:{run}", younger_than=math.inf))


async def keep_work_time(ledger: Keeper, run: str, work: WorkTime) -> None:
    """Write it down. Of two at once one wins; what the other said it says again with its next note."""
    spans = list(itertools.chain.from_iterable(work.spans))
    told = {"spans": spans, "earlier": work.earlier, "at_work": dict(work.at_work)}
    await ledger.remember("", f"work:{run}", told)


class AtWork:
    """Notes that this process works on *run*; an async context manager, or :meth:`begin` and :meth:`end`.

    A note that fails is left out: a run does not end for it.
    """

    def __init__(self, ledger: Ledger, run: str) -> None:
        self._ledger, self._run = ledger, run
        self._who = uuid.uuid4().hex[:12]
        self._noting: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.end()

    async def begin(self) -> None:
        """The process works on it from now on; again does nothing."""
        if self._noting is None:
            await self._note(begins=True)
            self._noting = asyncio.get_running_loop().create_task(self._go_on())

    async def end(self) -> None:
        """The process works on it no more; again does nothing."""
        noting, self._noting = self._noting, None
        if noting is None:
            return
        noting.cancel()
        with suppress(asyncio.CancelledError):
            await noting
        await self._note(ends=True)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            await self._note()

    async def _note(self, *, begins: bool = False, ends: bool = False) -> None:
        # A note is not worth a run: neither what is wrong with an older one nor a ledger that is away may end it.
        with suppress(AvatarKitError, TimeoutError, LookupError, TypeError, ValueError):
            async with asyncio.timeout(_NOTE_SECONDS):
                now = await self._ledger.now()
                known = await work_time(self._ledger, self._run)
                work = known.noted(now, self._who, begins=begins, ends=ends)
                await keep_work_time(self._ledger, self._run, work)
