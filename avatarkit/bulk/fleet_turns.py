"""The rate of an account, kept by all workers together: each request waits for a turn that the ledger gave out."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.records import Turns

LATE = 0.05
"""Seconds by which a turn may be used late. Whoever was held up for longer takes another: others have theirs by now."""

_READINGS = 5  # of the store's clock at first; the quickest counts
_NO_RATE = 15.0  # seconds for which it is believed that the account has no rate
_AT_ONCE = 0.5  # seconds' worth of turns that are reserved at once, where as many requests wait


class StoreTime:
    """What the store's clock shows, by the loop's clock: never earlier than it really is, and a little later at most.

    Each answer of the store bounds the difference of the two, for it was given between the question and now.
    """

    def __init__(self) -> None:
        self._ahead = -math.inf

    @property
    def known(self) -> bool:
        """Whether it has learned anything."""
        return self._ahead != -math.inf

    def learn(self, shown: float, *, asked: float, answered: float) -> None:
        """The store's clock showed *shown* at some moment from *asked* to *answered*."""
        self._ahead = max(self._ahead, shown - answered)
        # Not so much, since the answer was not given before the question: that clock was set back.
        self._ahead = min(self._ahead, shown - asked)

    def here(self, moment: float) -> float:
        """When the store's clock shows *moment*, by the loop's clock."""
        return moment - self._ahead


class Turnstile:
    """Awaited before every request of the account, so that together they stay within its rate.

    Turns are reserved for those that wait and for nobody else, many at a time. A turn that was missed, because this
    process was frozen or busy, is not used: the others have gone on by then. Where an account has no rate, one that is
    set later is kept after 15 s.

    Raises what the ledger raises when it stays away.
    """

    def __init__(self, ledger: Ledger, account: str) -> None:
        self._ledger = ledger
        self._account = account
        self._waiting: deque[asyncio.Future[float]] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._time = StoreTime()
        self._most = 1
        self._free_until = -math.inf

    async def __call__(self) -> None:
        """Return when this request's turn has come."""
        loop = asyncio.get_running_loop()
        while loop.time() >= self._free_until:
            turn = await self._reserved(loop)
            if turn == -math.inf:
                return
            if (wait := turn - loop.time()) > 0:
                await asyncio.sleep(wait)
            if loop.time() - turn <= LATE:
                return

    def _reserved(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[float]:
        future: asyncio.Future[float] = loop.create_future()
        self._waiting.append(future)
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._ask(loop))
        return future

    async def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        """Reserve turns until nobody waits for one."""
        while self._living():
            try:
                for _ in range(0 if self._time.known else _READINGS):
                    asked = loop.time()
                    self._time.learn(await self._ledger.now(), asked=asked, answered=loop.time())
                asked, many = loop.time(), min(len(self._waiting), self._most)
                turns = await self._ledger.turns(self._account, many)
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                self._refuse(error)
                return
            if turns.every:
                self._time.learn(turns.now, asked=asked, answered=loop.time())
                self._give(turns, many, loop.time())
            else:
                self._free_until = loop.time() + _NO_RATE
                self._let_all_go()

    def _living(self) -> bool:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        return bool(self._waiting)

    def _give(self, turns: Turns, many: int, now: float) -> None:
        self._most = max(1, int(_AT_ONCE / turns.every))
        for number in range(many):
            turn = self._time.here(turns.first + number * turns.every)
            if now - turn <= LATE and self._living():
                self._waiting.popleft().set_result(turn)

    def _let_all_go(self) -> None:
        while self._living():
            self._waiting.popleft().set_result(-math.inf)

    def _refuse(self, error: Exception) -> None:
        while self._living():
            self._waiting.popleft().set_exception(error)
