"""The rate of an account, kept by all workers together: each request waits for a turn that the ledger gave out."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from avatarkit.bulk.gate import LATE
from avatarkit.bulk.ledger import Ledger

_MISSES = (
    5  # answers in a row that may come late: a ledger that is slow all the time must not stop everything
)
_AT_ONCE = 0.5  # seconds' worth of turns that are reserved at once, where as many requests wait


class Turnstile:
    """Awaited before every request of the account but gated submissions, which have a turn from their gate.

    Turns are reserved for those that wait and for nobody else, many at a time. A turn that was missed, because this
    process was frozen or busy, is not used: the others have gone on by then.

    Raises what the ledger raises when it stays away.
    """

    def __init__(self, ledger: Ledger, account: str) -> None:
        self._ledger = ledger
        self._account = account
        self._waiting: deque[asyncio.Future[float]] = deque()
        self._asking: asyncio.Task[None] | None = None
        self._most = 1

    async def __call__(self) -> None:
        """Return when this request's turn has come."""
        loop = asyncio.get_running_loop()
        while True:
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
        misses = 0
        while self._living():
            asked = loop.time()
            many = min(len(self._waiting), self._most)
            try:
                turns = await self._ledger.turns(self._account, many)
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                self._refuse(error)
                return
            now = loop.time()
            if not turns.every:
                self._give([-math.inf] * len(self._waiting))
            elif now - asked > LATE and misses < _MISSES:  # nobody knows when they were
                misses += 1
            else:
                misses = 0
                self._most = max(1, int(_AT_ONCE / turns.every))
                self._give([now + turns.seconds + number * turns.every for number in range(many)])

    def _living(self) -> bool:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        return bool(self._waiting)

    def _give(self, moments: list[float]) -> None:
        for moment in moments:
            if not self._living():
                return
            self._waiting.popleft().set_result(moment)

    def _refuse(self, error: Exception) -> None:
        while self._living():
            self._waiting.popleft().set_exception(error)
