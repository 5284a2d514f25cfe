"""How many tasks of an account may run at the provider at once, learned where nobody says.

Invariants, all on the thread of the event loop:

1. A slot is held from before a submission until its task ends (or the submission fails). ``running`` counts
   the slots that are out; no grant takes it above ``cap``, though a refusal may lower ``cap`` below it.
2. A configured cap is never exceeded. Below it, the learned cap falls with a refusal to what ran besides the
   refused submission (at least 1), and grows by one when it was used up for a while and its tasks went well.
   What is configured may change at any time (``bind``); what was learned stays, and holds under any of it.
3. While nothing of ours runs, a refusal means that others use the account: then nobody submits for 5 s, 10 s,
   and so on up to 60 s, until a submission goes through.
4. Waiters are served in order of arrival, each by its own deadline. A cancelled or expired waiter never keeps
   a slot: one that was granted in the same moment goes to the next.
5. There is one loop timer at most, for the nearest deadline or the end of a cool-down.
6. ``running`` and all that was learned outlive the event loop (the tasks run on at the provider); only
   waiters die with it.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable

from avatarkit.errors import DeadlineExceeded
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock

_COOL_DOWN, _LONGEST_COOL_DOWN = 5.0, 60.0
_LONGEST_RETRY_AFTER = 300.0
_PROBE, _LONGEST_PROBE = 60.0, 1800.0  # seconds at the cap before one more is tried; doubled by a failed try


class _Waiter:
    __slots__ = ("deadline", "epoch", "future", "gone", "granted")

    def __init__(self, future: asyncio.Future[bool], deadline: float, epoch: int) -> None:
        self.future = future
        self.deadline = deadline
        self.epoch = epoch
        self.granted = self.gone = False

    @property
    def settled(self) -> bool:
        """Whether it no longer waits: granted, expired, cancelled, or its coroutine is gone."""
        return self.gone or self.future.done()

    def __lt__(self, other: _Waiter) -> bool:
        return self.deadline < other.deadline


class TaskSlots:
    """Permissions to have a task running at the provider.

    Args:
        cap: the most that may ever run, from settings or the provider's table; None: not known.
        clock: the time to go by.
        on_learn: called with the new cap whenever a refusal lowered it.

    Attributes:
        on_wait: called without arguments whenever a submitter starts to wait, so that the poll hub looks at
            tasks that hold a slot although nobody waits for them. None: nobody is told.

    """

    def __init__(
        self,
        cap: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
        on_learn: Callable[[int], object] | None = None,
    ) -> None:
        if cap is not None and cap < 1:
            raise ValueError(f"cap must be at least 1, got {cap}")
        self.on_wait: Callable[[], object] | None = None
        self._clock = clock
        self._on_learn = on_learn
        self._most: float = math.inf if cap is None else cap
        self._learned = math.inf
        self._cap = self._most  # always the lower of the configured and the learned one
        self._running = self._accepted = 0
        self._told = False  # whether the caller reports acceptances
        self._refused = 0  # refused submissions whose slot is not yet released
        self._not_before = -math.inf
        self._cool_down = _COOL_DOWN
        self._probe_wait = _PROBE
        self._changed = -math.inf
        self._went_well = 0  # tasks that ended at the cap since it last changed
        self._probing = False
        self._queue: deque[_Waiter] = deque()
        self._deadlines: list[_Waiter] = []
        self._waiting = self._epoch = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def cap(self) -> int | None:
        """The most that may run now, configured or learned; None while nothing is known."""
        return None if self._cap == math.inf else int(self._cap)

    @property
    def running(self) -> int:
        """Slots that are out: tasks running at the provider and submissions under way."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many submitters wait for a slot."""
        return self._waiting

    @property
    def overdrawn(self) -> bool:
        """Whether more slots are out than the cap allows, since a refusal lowered it meanwhile.

        A submission that was not sent yet does well to release its slot then and to acquire again.
        """
        return self._running > self._cap

    def bind(self, most: int | None) -> None:
        """Have no more than *most* running from now on, in place of what was configured before; None: no such bound.

        Whoever raises it so calls :meth:`serve` on the loop's thread.
        """
        self._most = math.inf if most is None else most
        self._cap = min(self._learned, self._most)

    def try_acquire(self) -> bool:
        """Take a slot if one is free and nobody waits; the caller owes one ``release()``."""
        if self._waiting or not self._is_free():
            return False
        self._running += 1
        return True

    async def acquire(self, deadline: float | None = None) -> float:
        """Wait for a slot and return the seconds it took; the caller owes one ``release()``.

        Args:
            deadline: on the clock's monotonic scale; None: wait as long as it takes.

        Raises:
            DeadlineExceeded: no slot came free in time. Nothing was taken.

        """
        if self.try_acquire():
            return 0.0
        began = self._clock.monotonic()
        if deadline is not None and deadline <= began:
            raise self._too_late(0.0)
        waiter = self._queue_up(math.inf if deadline is None else deadline)
        try:
            in_time = await waiter.future
        except BaseException:
            self._leave(waiter)
            raise
        waited = self._clock.monotonic() - began
        if not in_time:
            raise self._too_late(waited)
        return waited

    def release(self, *, ran: bool = True) -> None:
        """Give a slot back: the task ended, or the submission failed (*ran* False: nothing was accepted)."""
        if self._running == 0:
            return
        at_cap = self._running >= self._cap
        self._running -= 1
        if self._refused:
            self._refused -= 1
        elif ran:
            self._accepted = max(self._accepted - 1, 0)
            self._cool_down = _COOL_DOWN
            self._went_well += at_cap
            self._probe()
        self.serve()

    def accepted(self) -> None:
        """Optional: the provider accepted the submission of a slot.

        With it a refusal is counted against the tasks known to run, not against other submissions that may be
        refused in the same moment, so that the right cap is found by the first refusals.
        """
        self._told = True
        self._accepted = min(self._accepted + 1, self._running)
        self._cool_down = _COOL_DOWN
        if self._accepted > self._cap:
            self._set_cap(max(self._accepted, self._learned))

    def refused(self, retry_after: float | None = None) -> None:
        """The provider said "too many running" to a submission that holds a slot.

        The caller then calls ``release()`` and acquires again. *retry_after*: seconds the provider asked for.
        """
        self._refused += 1
        others = self._accepted if self._told else self._running - self._refused
        now = self._clock.monotonic()
        if self._probing:
            self._probe_wait = min(2.0 * self._probe_wait, _LONGEST_PROBE)
        pause = min(max(retry_after or 0.0, 0.0), _LONGEST_RETRY_AFTER)
        if self._running <= self._refused:
            pause = max(pause, self._cool_down)
            self._cool_down = min(2.0 * self._cool_down, _LONGEST_COOL_DOWN)
        self._not_before = max(self._not_before, now + pause)
        learned = max(1, others)
        if learned < self._cap:
            self._set_cap(learned)
            if self._on_learn is not None:
                self._on_learn(learned)
        else:
            self._learned = min(
                self._learned, learned
            )  # holds once the configured cap, which is lower, is lifted
            self._changed, self._went_well = now, 0

    def drop_waiters(self) -> None:
        """Forget waiters and the timer of an event loop that is gone. Slots and the learned cap stay."""
        self._queue.clear()
        self._deadlines.clear()
        self._waiting = 0
        self._epoch += 1
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, math.inf
        self._loop = None

    def _is_free(self) -> bool:
        if self._running >= self._cap:
            self._probe()
        return self._running < self._cap and self._clock.monotonic() >= self._not_before

    def _probe(self) -> None:
        """Allow one more where the learned cap was used up for long and its tasks went well."""
        if self._cap >= self._most or self._went_well < min(self._cap, 20):
            return
        if self._clock.monotonic() < self._changed + self._probe_wait:
            return
        if self._probing:
            self._probe_wait = _PROBE
        self._set_cap(int(self._cap) + 1)
        self._probing = True

    def _set_cap(self, learned: float) -> None:
        self._learned = learned
        self._cap = min(learned, self._most)
        self._changed = self._clock.monotonic()
        self._went_well = 0
        self._probing = False

    def _queue_up(self, deadline: float) -> _Waiter:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self.drop_waiters()
            self._loop = loop
        waiter = _Waiter(loop.create_future(), deadline, self._epoch)
        self._queue.append(waiter)
        self._waiting += 1
        if deadline < math.inf:
            heapq.heappush(self._deadlines, waiter)
        self._arm()
        if self.on_wait is not None:
            self.on_wait()
        return waiter

    def _leave(self, waiter: _Waiter) -> None:
        if waiter.epoch != self._epoch:
            return
        if waiter.granted:
            self._running -= 1
            self.serve()
        elif not waiter.future.done() or waiter.future.cancelled():
            waiter.gone = True
            self._waiting -= 1
            self._sweep()

    def _sweep(self) -> None:
        """Drop the husks of cancelled waiters once they outnumber the living."""
        if len(self._queue) > 2 * self._waiting + 64:
            self._queue = deque(w for w in self._queue if not w.settled)
        if len(self._deadlines) > 2 * self._waiting + 64:
            self._deadlines = [w for w in self._deadlines if not w.future.done()]
            heapq.heapify(self._deadlines)

    def serve(self) -> None:
        """Hand free slots to waiters in order of arrival; where something is to be had that was not before."""
        if self._loop is None or self._loop.is_closed():
            return
        while self._queue and self._is_free():
            waiter = self._queue.popleft()
            if waiter.settled:
                continue
            self._waiting -= 1
            self._running += 1
            waiter.granted = True
            waiter.future.set_result(True)
        self._arm()

    def _arm(self) -> None:
        if not self._waiting:
            return
        while self._deadlines and self._deadlines[0].settled:
            heapq.heappop(self._deadlines)
        at = self._deadlines[0].deadline if self._deadlines else math.inf
        now = self._clock.monotonic()
        if self._running < self._cap:
            at = min(at, max(self._not_before, now))
        if at >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.call_later(at - now, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self.serve()
        now = self._clock.monotonic()
        while self._deadlines and (self._deadlines[0].settled or self._deadlines[0].deadline <= now):
            waiter = heapq.heappop(self._deadlines)
            if not waiter.settled:
                self._waiting -= 1
                waiter.future.set_result(False)
        self._arm()

    def _too_late(self, waited: float) -> DeadlineExceeded:
        return DeadlineExceeded(
            f"no task slot came free in {waited:.1f} s ({self._running} of {self.cap} are in use)",
            hint="allow more time for slots, or run fewer tasks at once",
        )
