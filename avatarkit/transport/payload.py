"""A request body as aiohttp wants it. Importing this module loads aiohttp: do it on first use."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Protocol

from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

# The kernel would take several megabytes at once. On a slow line that makes progress a lie, and the silence
# after the last byte looks like a stall.
_MAX_UNSENT = 256 * 1024

# A slice that a slow uplink (5 KB/s) still moves within the default stall limit of a minute.
_SLICE = 256 * 1024


class Body(Protocol):
    """A request body of known length that can be sent more than once."""

    @property
    def size(self) -> int:
        """Bytes that :meth:`pieces` will yield."""
        ...

    @property
    def content_type(self) -> str:
        """Value of the Content-Type header."""
        ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The body from its start; each call begins anew."""
        ...


class BodyPayload(Payload):
    """Streams a :class:`Body` with its Content-Length.

    aiohttp sends a PUT once more when a kept-alive connection turns out to be dead. That works: each send
    begins at the first byte, and nothing is shared between two sends.

    Attributes:
        error: what went wrong while the body was read (not the network), or None.
        complete: whether the whole body was written to the connection.

    """

    def __init__(
        self,
        body: Body,
        *,
        started: Callable[[], object] | None = None,
        moved: Callable[[int], object] | None = None,
    ) -> None:
        super().__init__(body, content_type=body.content_type)
        self._size = body.size
        self._body = body
        self._started = started
        self._moved = moved
        self.error: Exception | None = None
        self.complete = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Refuses: the body is not held in memory."""
        raise TypeError("a streamed body cannot be turned into text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the whole body."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the whole body; *content_length* is its own length, since that is what the header says."""
        self.complete = False
        _keep_queue_short(writer)
        if self._started is not None:
            self._started()
        async with aclosing(self._read()) as pieces:
            async for piece in pieces:
                await self._send(writer, piece)
        self.complete = True

    async def _send(self, writer: AbstractStreamWriter, piece: bytes) -> None:
        view = memoryview(piece)
        for at in range(0, len(piece), _SLICE):
            part = view[at : at + _SLICE]
            await writer.write(part)
            if self._moved is not None:
                self._moved(len(part))

    async def _read(self) -> AsyncGenerator[bytes, None]:
        pieces = self._body.pieces()
        try:
            async for piece in pieces:
                yield piece
        except Exception as error:
            self.error = error
            raise
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()


def _keep_queue_short(writer: AbstractStreamWriter) -> None:
    transport = getattr(writer, "transport", None)
    plug = transport.get_extra_info("socket") if transport is not None else None
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if plug is not None and option is not None:
        with contextlib.suppress(OSError, AttributeError):
            plug.setsockopt(socket.IPPROTO_TCP, option, _MAX_UNSENT)
