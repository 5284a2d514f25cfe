"""How long a request with a large body may take: as long as bytes keep moving, and then the usual time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from avatarkit.transport.payload import Body, BodyPayload

T = TypeVar("T")

LARGE = 256 * 1024
"""Bytes up to which a streamed body counts as small: it is handed to the connection in one piece."""


class Patience:
    """The time bounds of one request whose body is streamed. Must be made inside a running task.

    A fixed bound would cut off whoever has a slow line, and a submission that is cut off leaves a doubt; a bound that
    grew with the size alone would let a dead line hang for hours. So silence is counted while the body goes out.

    Args:
        body: what is sent.
        silence: the longest time without a byte moving while it is sent, in seconds.
        answer: the time to get a connection before, and the time for the answer after it, in seconds; what the kernel
            still holds after the last byte was handed over has one more *silence* to go out.
        limit: bound of it all, in seconds; None for none.

    """

    def __init__(self, body: Body, *, silence: float, answer: float, limit: float | None) -> None:
        self._body = body
        self._silence = silence
        self._answer = answer
        self._left = body.size
        self._loop = asyncio.get_running_loop()
        self._end = math.inf if limit is None else self._loop.time() + limit
        self._over = False
        self._timeout = asyncio.timeout_at(min(self._end, self._loop.time() + answer))

    def payload(self) -> BodyPayload:
        """The body as it is to be given to aiohttp; its progress is watched."""
        from avatarkit.transport.payload import BodyPayload

        return BodyPayload(self._body, started=self._started, moved=self._moved)

    async def over(self, exchange: Awaitable[T]) -> T:
        """Await *exchange*. Raises TimeoutError when one of the bounds is reached."""
        try:
            async with self._timeout:
                return await exchange
        finally:
            self._over = True

    def _started(self) -> None:
        self._left = self._body.size
        self._grant(self._silence)

    def _moved(self, count: int) -> None:
        self._left -= count
        # The last byte handed over is not the last byte sent: the kernel still holds about two pieces.
        self._grant(self._silence if self._left > 0 else self._silence + self._answer)

    def _grant(self, seconds: float) -> None:
        # A server may answer before it has everything; what is written after that moves no bound any more.
        if not self._over and not self._timeout.expired():
            self._timeout.reschedule(min(self._end, self._loop.time() + seconds))


def patience_for(stream: Any, *, silence: float, answer: float, limit: float | None) -> Patience | None:
    """The :class:`Patience` for *stream*; None where a fixed bound will do: no stream, or a small one."""
    if stream is None or stream.size <= LARGE:
        return None
    return Patience(stream, silence=silence, answer=answer, limit=limit)
