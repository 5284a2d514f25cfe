"""How many requests an account sends a second, and how many it has in progress.

Invariants, all on the thread of the event loop:

1. A turn is granted only while fewer than ``in_progress`` requests are started and not done, the rate
   allows one, and no cool-down runs. Each turn is given back exactly once: by ``done()``, or by the limiter
   when its waiter was cancelled before it could use the turn.
2. Turns follow a schedule of slots ``1 / per_second`` apart, none used early. A slot that its waiter got late,
   because the loop was busy, does not move the schedule (up to 100 ms). But no turn is granted within 1.001 s
   of the turn ``per_second`` places before it: so no window of a second sees more than ``per_second`` starts
   (``burst - 1`` more after a silence), also while lost slots are made up for. The price: 0.1 percent.
3. Nobody overtakes: while anyone waits, ``try_start`` refuses. Waiters are served by priority, then in
   order of arrival; a priority that was passed over seven times in a row gets the eighth turn.
4. A turn is delivered on a later iteration of the loop, never inside another caller's ``done()`` or
   ``start()``.
5. There is one loop timer at most, set only while somebody waits and a place is free. Waiters are plain
   records; a cancelled one stays in its queue as a husk until it is reached or husks outnumber the living.
6. Rate and cool-down outlive the event loop; waiters and requests in progress of a loop that is gone are
   forgotten when the first waiter comes on another one.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable

from avatarkit.settings import RateLimit
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock

SUBMIT, CALL, POLL = 0, 1, 2
"""Priorities: billed submissions, other calls, looks at waiting tasks."""

_SLACK = 0.1  # seconds a slot may be used late without moving the schedule
_MARGIN = 1.001  # a window of a second, and a little for the way from the grant to the wire
_MOST_LOGGED = 10_000  # a second; above it, the slack alone bounds the window
_GRAIN = 0.004  # at high rates one timer serves this many seconds' turns: waking an idle loop costs most
_PATIENCE = 7  # turns in a row that may pass over a waiting priority
_WAITS, _GRANTED, _TAKEN, _GONE = "waits", "granted", "taken", "gone"


class Turn:
    """A place in the queue, made by :meth:`RequestLimiter.when_free`."""

    __slots__ = ("_deliver_to", "_limiter", "epoch", "granted_at", "state")

    def __init__(
        self, limiter: RequestLimiter, deliver_to: Callable[[], object] | asyncio.Future[None], epoch: int
    ) -> None:
        self._limiter = limiter
        self._deliver_to = deliver_to
        self.epoch = epoch
        self.state = _WAITS
        self.granted_at = 0.0

    def cancel(self) -> None:
        """Leave the queue. A turn that was granted but not yet delivered goes to the next in line.

        After the delivery this does nothing: the turn is then the caller's, who gives it back by ``done()``.
        """
        if self.state is not _TAKEN:
            self._limiter.leave(self)

    def grant(self, now: float, loop: asyncio.AbstractEventLoop) -> None:
        """For the limiter: deliver on the loop's next iteration."""
        self.granted_at = now
        target = self._deliver_to
        if isinstance(target, asyncio.Future):
            self.state = _TAKEN
            # A waiter whose task was cancelled this very moment hands the turn on when it wakes.
            if not target.done():
                target.set_result(None)
        else:
            self.state = _GRANTED
            loop.call_soon(self._call)

    def _call(self) -> None:
        if self.state is _GRANTED and not isinstance(self._deliver_to, asyncio.Future):
            self.state = _TAKEN
            self._deliver_to()


class RequestLimiter:
    """Requests per second and requests in progress of one account, over everything it sends.

    Args:
        rate: the most starts a second; None: no limit of that kind.
        in_progress: the most requests started and not done, at least 1 (else ValueError).
        clock: the time to go by.

    """

    __slots__ = (
        "_burst",
        "_clock",
        "_epoch",
        "_free",
        "_grain",
        "_husks",
        "_interval",
        "_log",
        "_logged",
        "_loop",
        "_next",
        "_not_before",
        "_passed",
        "_places",
        "_queues",
        "_slack",
        "_slot",
        "_timer",
        "_waiting",
        "_window",
    )

    def __init__(self, rate: RateLimit | None, in_progress: int = 100, clock: Clock = SYSTEM_CLOCK) -> None:
        if in_progress < 1:
            raise ValueError(f"in_progress must be at least 1, got {in_progress}")
        self._clock = clock
        per_second = rate.per_second if rate else 0.0
        self._interval = 1.0 / per_second if rate else 0.0
        self._grain = _GRAIN if 0.0 < self._interval < _GRAIN else 0.0
        self._burst = self._interval * (rate.burst - 1) if rate else 0.0
        # When the last turns were granted: as many as may lie within a second.
        logged = rate is not None and per_second <= _MOST_LOGGED
        whole = math.ceil(per_second) if logged else 0
        self._log: deque[float] = deque(maxlen=whole + rate.burst - 1 if logged and rate else 0)
        self._logged = self._log.maxlen or -1
        self._window = _MARGIN * whole / per_second if logged else 0.0
        self._slack = _SLACK if logged else _SLACK / 10
        self._places = self._free = in_progress
        self._slot = float("-inf")  # when the slot after the last used one is
        self._not_before = float("-inf")  # the end of the cool-down
        self._next = float("-inf")  # the earliest start: the slot less the burst, or the end of the cool-down
        self._queues: tuple[deque[Turn], ...] = (deque(), deque(), deque())
        self._passed = [0, 0, 0]
        self._waiting = self._husks = self._epoch = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def in_progress(self) -> int:
        """Requests that were started and are not done."""
        return self._places - self._free

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return self._waiting

    def try_start(self, priority: int = CALL) -> bool:
        """Start now if nobody waits and the limits allow it; on True the caller owes one ``done()``."""
        if self._waiting or not self._free:
            return False
        now = self._clock.monotonic()
        if now < self._next:
            return False
        self._free -= 1
        slot = self._slot
        self._use(slot if slot > now else now, now)
        return True

    async def start(self, priority: int = CALL) -> float:
        """Wait for a turn and return the seconds it took; the caller owes one ``done()``.

        A cancelled caller owes nothing.
        """
        if self.try_start(priority):
            return 0.0
        began = self._clock.monotonic()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        turn = self._queue_up(future, priority)
        try:
            await future
        except BaseException:
            self.leave(turn)
            raise
        return self._clock.monotonic() - began

    def when_free(self, callback: Callable[[], object], priority: int = CALL) -> Turn:
        """Queue up; *callback* is called by the loop when the turn comes, and then owes one ``done()``.

        It is never called before this returns. An error it raises goes to the loop's exception handler, and
        the turn stays the callback's to give back.
        """
        return self._queue_up(callback, priority)

    def claim(self) -> float:
        """Count a start that needs no place and goes before whoever waits; gives the seconds until it may go out.

        For what others in progress wait for, such as fresh credentials: it must not wait for one of their places.
        """
        now = self._clock.monotonic()
        at = max(now, self._next)
        self._use(max(self._slot, at), at)
        return at - now

    def done(self) -> None:
        """Give back the place of a started request."""
        if self._free < self._places:
            self._free += 1
        if self._waiting and self._loop is not None and not self._loop.is_closed():
            self._serve()

    def cool_down(self, seconds: float) -> None:
        """Start nothing for *seconds* from now. A longer cool-down that runs already stays."""
        self._not_before = max(self._not_before, self._clock.monotonic() + max(seconds, 0.0))
        self._next = max(self._next, self._not_before)

    def drop_waiters(self) -> None:
        """Forget what belonged to an event loop that is gone: waiters, the timer, requests in progress.

        A late ``done()`` of such a request is harmless. Rate and cool-down stay.
        """
        for queue in self._queues:
            for turn in queue:
                turn.state = _GONE
            queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._waiting = self._husks = 0
        self._free = self._places
        self._epoch += 1

    def leave(self, turn: Turn) -> None:
        """For turns: take *turn* out of the queue, or hand it on if it was granted and never used."""
        state, turn.state = turn.state, _GONE
        if state is _GONE or turn.epoch != self._epoch:
            return
        if state is _WAITS:
            self._waiting -= 1
            self._husks += 1
            if self._husks > self._waiting + 64:
                self._sweep()
            return
        # The next in line takes over the slot as if the one that left had only been slow to start.
        now = self._clock.monotonic()
        if self._log:
            self._log.pop()
        if now - turn.granted_at <= self._slack:
            self._slot -= self._interval
        self._next = max(self._slot - self._burst, self._not_before, self._log_allows())
        self.done()

    def _queue_up(self, deliver_to: Callable[[], object] | asyncio.Future[None], priority: int) -> Turn:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                self.drop_waiters()
            self._loop = loop
        turn = Turn(self, deliver_to, self._epoch)
        self._queues[priority].append(turn)
        self._waiting += 1
        self._arm()
        return turn

    def _use(self, slot: float, now: float) -> None:
        """Take *slot* for a start at *now*, and say when the next one may be."""
        self._slot = slot = slot + self._interval
        log = self._log
        log.append(now)
        allowed = slot - self._burst
        if len(log) == self._logged:
            again = log[0] + self._window
            self._next = again if again > allowed else allowed
        else:
            self._next = allowed

    def _log_allows(self) -> float:
        return self._log[0] + self._window if self._log and len(self._log) == self._logged else float("-inf")

    def _sweep(self) -> None:
        for queue in self._queues:
            alive = [turn for turn in queue if turn.state is _WAITS]
            queue.clear()
            queue.extend(alive)
        self._husks = 0

    def _serve(self) -> None:
        """Grant what the limits allow now, then set the timer for the rest."""
        now = self._clock.monotonic()
        # Only here may a slot in the past be used: its owner was waiting for a timer that came late.
        earliest = max(now - self._slack, self._not_before)
        loop = self._loop
        assert loop is not None
        while self._waiting and self._free and now >= self._next:
            self._free -= 1
            self._waiting -= 1
            self._use(max(self._slot, earliest), now)
            self._pick().grant(now, loop)
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._waiting and self._free:
            delay = max(self._next - self._clock.monotonic(), self._grain)
            self._timer = self._clock.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._serve()

    def _pick(self) -> Turn:
        """The living waiter whose turn it is."""
        queues, passed = self._queues, self._passed
        for queue in queues:
            while queue and queue[0].state is not _WAITS:
                queue.popleft()
                self._husks -= 1
        waiting = [priority for priority in (SUBMIT, CALL, POLL) if queues[priority]]
        chosen = next((p for p in reversed(waiting) if passed[p] >= _PATIENCE), waiting[0])
        for priority in waiting:
            passed[priority] += 1
        passed[chosen] = 0
        return queues[chosen].popleft()
