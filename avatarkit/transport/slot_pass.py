"""Task slots that can be waited for at several accounts at once, and taken before the call that uses them.

A pool of accounts waits in the queues of all of them and takes the first slot that comes free. The call that it makes
then brings that slot with it (:data:`brought`): it neither takes another one nor waits for one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Hashable, Mapping
from contextvars import ContextVar
from typing import TypeVar

import attrs

from avatarkit.transport.clock import Clock
from avatarkit.transport.slots import TaskSlots

K = TypeVar("K", bound=Hashable)


@attrs.define(eq=False)
class SlotPass:
    """A slot that was taken beforehand, for the next submission in this context.

    Attributes:
        slots: where it was taken.
        used: whether a submission has it now; until then whoever took it owes its release.

    """

    slots: TaskSlots | None
    used: bool = False

    def give_back(self) -> None:
        """Release the slot if no submission took it over."""
        if self.slots is not None and not self.used:
            self.used = True
            self.slots.release(ran=False)


brought: ContextVar[SlotPass | None] = ContextVar("avatarkit_slot_pass", default=None)
"""The slot that a call brings with it. None: it takes one, and waits for it, as usual."""


class PassedSlots(TaskSlots):
    """Task slots that honour :data:`brought`."""

    def try_acquire(self) -> bool:
        """Take the slot that was brought, else one that is free; the caller owes one ``release()``."""
        given = brought.get()
        if given is not None and given.slots is self and not given.used:
            given.used = True
            return True
        return super().try_acquire()

    async def acquire(self, deadline: float | None = None) -> float:
        """Wait for a slot, as :meth:`TaskSlots.acquire`; a call that brought one does not wait for another."""
        if brought.get() is not None:
            deadline = -math.inf
        return await super().acquire(deadline)

    def line_up(self, waiter: asyncio.Future[None]) -> _Place:
        """Queue up without waiting; *waiter* is set when the slot is granted."""
        return _Place(self, waiter)

    def count_in(self, running: int) -> None:
        """Count *running* tasks that were submitted elsewhere; each owes one ``release()``."""
        self._running += running
        self._accepted += running


class _Place:
    """One's place in the queue of some slots."""

    def __init__(self, slots: PassedSlots, waiter: asyncio.Future[None]) -> None:
        self._slots = slots
        self._waiter = slots._queue_up(math.inf)  # noqa: SLF001 - of one family
        self._waiter.future.add_done_callback(lambda _: _wake(waiter))

    @property
    def granted(self) -> bool:
        """Whether the slot is ours."""
        return self._waiter.granted

    def leave(self) -> None:
        """Give the place up; a slot that was granted meanwhile goes to the next."""
        self._slots._leave(self._waiter)  # noqa: SLF001 - of one family


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def first_slot(
    offers: Mapping[K, PassedSlots],
    clock: Clock,
    until: float,
    woken: Collection[asyncio.Future[None]] = (),
) -> K | None:
    """Wait in the queues of all *offers* and take the first slot that comes free.

    Args:
        offers: slots by what they stand for; of several that come free at once the first named is taken.
        clock: the time to go by.
        until: when to give up, on the clock's monotonic scale; may be infinite.
        woken: a set that holds a future of this wait meanwhile; who sets it ends the wait.

    Returns:
        Whose slot it is, for which one ``release()`` is owed; None when the wait ended without one.

    """
    wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    if isinstance(woken, set):
        woken.add(wake)
    timer = None
    places: dict[K, _Place] = {}
    got: K | None = None
    try:
        for key, slots in offers.items():
            places[key] = slots.line_up(wake)
        if until < math.inf:
            seconds = max(0.0, until - clock.monotonic())
            timer = clock.call_later(seconds, lambda: _wake(wake))
        await wake
        got = next((key for key, place in places.items() if place.granted), None)
        return got
    finally:
        if timer is not None:
            timer.cancel()
        if isinstance(woken, set):
            woken.discard(wake)
        for key, place in places.items():
            if key != got:
                place.leave()
