"""The two origins without sockets: what ``wire=`` of a client takes, see ``avatarkit.transport.wire``."""

from __future__ import annotations

import asyncio
import errno
import math
import os
from collections.abc import AsyncIterator, Mapping

from avatarkit.errors import ConfigurationError
from avatarkit.protocol.fakewire import FakeFile, FakeResponse
from avatarkit.sandbox.control import Control
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.sandbox.files import PIECE
from avatarkit.sandbox.origins import TOO_LARGE, Body, Origins, body_of, sent_part
from avatarkit.transport.wire import WireAnswer, WireRequest

_LARGE_BODY = FakeResponse(
    status=413, headers={"content-type": "text/plain; charset=utf-8"}, body=b"413: Request Entity Too Large"
)


class SandboxWire:
    """Answers requests for the sandbox's two addresses. Every fault there is on sockets there is here."""

    def __init__(self, origins: Origins, control: Control, addresses: Mapping[str, str]) -> None:
        self._origins = origins
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._pauses: set[asyncio.Future[None]] = set()
        self._closed = False
        self.addresses = addresses
        self._prefixes = [(f"{address}/", origin) for origin, address in addresses.items()]

    def close(self) -> None:
        """Refuse connections from now on, and break what hangs."""
        self._closed = True
        self._origins.close()
        for pause in self._pauses:
            if not pause.done():
                pause.set_exception(_reset())

    def connect(self, url: str) -> None:
        """Raises OSError: the origin is away or closed, or the address is none of the sandbox's."""
        if asyncio.get_running_loop() is not self._loop:
            raise ConfigurationError("a sandbox's wire works on the sandbox's own event loop only")
        origin = self._origin(url)
        if not origin:
            raise OSError(errno.EHOSTUNREACH, "the wire leads to the sandbox alone")
        if self._closed or self._origins.away(origin):
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))

    def _origin(self, url: str) -> str:
        for prefix, origin in self._prefixes:
            if url.startswith(prefix):
                return origin
        return ""

    async def exchange(self, asked: WireRequest) -> WireAnswer:
        """Answer one request; raises OSError for a connection that ends or breaks."""
        origin = self._origin(asked.url)
        raw = asked.url[len(self.addresses[origin]) :].partition("#")[0]
        return await (self._api(asked, raw) if origin == "api" else self._files(asked, raw))

    async def _api(self, asked: WireRequest, raw: str) -> WireAnswer:
        path, _, query = raw.partition("?")
        if path == "/" or path.startswith("/__sandbox__/"):
            return _plain(self._control.handle(asked.method, path, asked.body))
        arrival = self._origins.arrive(asked.method, path)
        if isinstance(arrival, FakeResponse):
            return _plain(arrival)
        if arrival.handled and len(asked.body) > arrival.limit:
            return _plain(_LARGE_BODY)
        fault, reply = self._origins.answer(arrival, query, asked.headers, asked.body)
        return await self._replied(asked, reply, fault)

    async def _files(self, asked: WireRequest, raw: str) -> WireAnswer:
        visit = self._origins.visit(asked.method, raw.partition("?")[0], asked.headers)
        file, fault = visit.file, visit.fault
        if visit.reply is not None:
            return await self._replied(asked, visit.reply, fault)
        if asked.method not in ("GET", "HEAD"):
            refusal = self._origins.refusal(asked.method, raw, asked.headers, file)
            if refusal is not None or file is None:
                return _plain(refusal or TOO_LARGE)
            return await self._receive(asked, file, fault)
        found = self._origins.download(asked.method, raw, asked.headers, file, fault)
        return _plain(found) if isinstance(found, FakeResponse) else await self._deliver(asked, found, fault)

    async def _receive(self, asked: WireRequest, file: FakeFile, fault: Fault | None) -> WireAnswer:
        reply = await self._origins.receive(file, _in_pieces(asked.body))
        return await self._replied(asked, reply, fault) if reply is not None else _plain(TOO_LARGE)

    # --- answers

    async def _replied(self, asked: WireRequest, reply: FakeResponse, fault: Fault | None) -> WireAnswer:
        self._origins.seen.statuses[reply.status] += 1
        return _plain(reply) if fault is None else await self._deliver(asked, body_of(reply), fault)

    async def _deliver(self, asked: WireRequest, body: Body, fault: Fault | None) -> WireAnswer:
        """A body disturbed by *fault*, or a large one, in pieces; any other whole."""
        kind = fault.kind if fault else None
        if fault is not None:
            await self._break(fault)
        headers = dict(body.headers)
        if kind is not FaultKind.NO_LENGTH:
            headers["content-length"] = str(body.size)
        end, _ = sent_part(fault, body.size, PIECE)
        if asked.method == "HEAD":
            return WireAnswer(body.status, headers)
        if end == body.size <= PIECE and kind is not FaultKind.DRIP:
            return WireAnswer(body.status, headers, await body.read(0, end))
        return WireAnswer(body.status, headers, _Pieces(self, body, fault))

    async def _break(self, fault: Fault) -> None:
        """Raises OSError where *fault* leaves no answer, after the time that it takes."""
        kind = fault.kind
        if kind in (FaultKind.HANG, FaultKind.SLOW_FIRST_BYTE):
            await self.pause(fault.delay)
        if kind in (FaultKind.RESET, FaultKind.HANG):
            raise _reset()
        if kind is FaultKind.CLOSE:
            raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))

    async def pause(self, seconds: float) -> None:
        """Wait; raises OSError when the sandbox closes meanwhile."""
        pause: asyncio.Future[None] = self._loop.create_future()
        timer = None
        if seconds < math.inf:
            clock = self._origins.clock
            timer = clock.call_later(seconds, lambda: None if pause.done() else pause.set_result(None))
        self._pauses.add(pause)
        try:
            await pause
        finally:
            self._pauses.discard(pause)
            if timer is not None:
                timer.cancel()


class _Pieces:
    """A body that comes piece by piece. No generator: one that is given up half-way leaves nothing to close."""

    def __init__(self, wire: SandboxWire, body: Body, fault: Fault | None) -> None:
        self._wire = wire
        self._body = body
        self._fault = fault
        self._at = 0
        self._end, self._step = sent_part(fault, body.size, PIECE)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        fault = self._fault
        if self._at >= self._end:
            if fault is not None and fault.kind is FaultKind.CUT and self._end < self._body.size:
                raise EOFError(f"{self._end} of {self._body.size} bytes came")
            raise StopAsyncIteration
        if fault is not None and fault.kind is FaultKind.DRIP and self._at:
            await self._wire.pause(fault.delay)
        size = min(self._step, self._end - self._at)
        piece = await self._body.read(self._at, size)
        self._at += size
        return piece


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), PIECE):
        yield body[start : start + PIECE]


def _plain(reply: FakeResponse) -> WireAnswer:
    return WireAnswer(reply.status, {**reply.headers, "content-length": str(len(reply.body))}, reply.body)


def _reset() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
