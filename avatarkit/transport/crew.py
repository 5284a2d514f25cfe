"""Tasks that work a queue off: as many as there is work for, each for many pieces of it.

A piece that waits costs a place in a deque; a task of the event loop exists only for pieces whose turn is near. So
what a request costs stays the same however many are waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from avatarkit.transport.limiter import RequestLimiter

T = TypeVar("T")


class Crew(Generic[T]):
    """Works off :attr:`queue` in order, each piece with a turn of the limiter. Loop thread only.

    Attributes:
        queue: what waits; call :meth:`hire` after adding to it.
        tasks: every worker.
        busy: the workers that have a piece in hand.

    """

    __slots__ = ("_do", "_limiter", "_most", "_priority", "_wanted", "busy", "queue", "tasks")

    def __init__(
        self,
        limiter: RequestLimiter,
        priority: int,
        most: int,
        *,
        wanted: Callable[[T], bool],
        do: Callable[[T], Awaitable[None]],
    ) -> None:
        self.queue: deque[T] = deque()
        self.tasks: set[asyncio.Task[None]] = set()
        self.busy: set[asyncio.Task[None]] = set()
        self._limiter = limiter
        self._priority = priority
        self._most = most
        self._wanted = wanted
        self._do = do

    def hire(self) -> None:
        """See to it that what is in the queue is worked off."""
        waiting = len(self.queue) - len(self.tasks) + len(self.busy)
        for _ in range(min(waiting, self._most - len(self.tasks))):
            self.tasks.add(asyncio.get_running_loop().create_task(self._work()))

    async def _work(self) -> None:
        me = asyncio.current_task()
        assert me is not None
        limiter, queue, busy = self._limiter, self.queue, self.busy
        try:
            # One that has done its piece must not wait for a turn that the others will need first.
            while self._skip() and len(self.queue) >= len(self.tasks) - len(self.busy):
                if not limiter.try_start(self._priority):
                    await limiter.start(self._priority)
                    if not self._skip():
                        limiter.done()
                        return
                piece = queue.popleft()
                busy.add(me)
                try:
                    await self._do(piece)
                except asyncio.CancelledError:
                    queue.append(piece)  # so that whoever closes finds it
                    raise
                finally:
                    busy.discard(me)
                    limiter.done()
        finally:
            # Here, not in a callback: until that ran, a worker that is gone would count as one that can help.
            self.tasks.discard(me)

    def _skip(self) -> bool:
        """Drop what nobody wants any more from the head of the queue; whether anything is left."""
        queue = self.queue
        while queue:
            if self._wanted(queue[0]):
                return True
            queue.popleft()
        return False

    async def dismiss(self) -> None:
        """Stop; what was in hand is back in the queue."""
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
