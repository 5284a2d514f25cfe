"""The two origins as real sockets: the API with the page, and the store for uploads and results.

The only module with aiohttp's server in it. It carries bytes between sockets and the origins, and applies on the way
the scripted faults that are about connections; what an answer says is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from avatarkit.protocol.fakewire import FakeFile, FakeResponse
from avatarkit.sandbox.control import Control
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.sandbox.files import PIECE
from avatarkit.sandbox.listener import Listener, reset
from avatarkit.sandbox.origins import (
    JSON_LIMIT,
    TOO_LARGE,
    Arrival,
    Body,
    Origins,
    body_of,
    sent_part,
)

_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class SandboxServer:
    """Serves one world on two ports of one address."""

    def __init__(self, origins: Origins, control: Control, *, host: str, port: int, files_port: int) -> None:
        self._origins = origins
        self._control = control
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._busy: dict[object, asyncio.Task[object]] = {}
        self._reopening: set[asyncio.Task[None]] = set()
        self._servers = {
            origin: web.Server(self._tracked(handler), handler_cancellation=True, access_log=None)
            for origin, handler in (("api", self._api), ("files", self._files))
        }
        self.listeners = {
            "api": Listener(self._servers["api"], host, port),
            "files": Listener(self._servers["files"], host, files_port),
        }
        origins.on_refuse = self._refuse

    async def open(self) -> None:
        """Listen on both ports. Raises OSError when one is taken."""
        try:
            for listener in self.listeners.values():
                await listener.open()
        except BaseException:
            await self.aclose()
            raise

    def url(self, origin: str) -> str:
        """The origin's address, without a slash at the end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.listeners[origin].port}"

    async def aclose(self) -> None:
        """Stop to listen, break all connections, hanging requests included, and wait for their handlers."""
        self._origins.close()
        for listener in self.listeners.values():
            listener.close()
        for job in self._reopening:
            job.cancel()
        handlers = [*self._busy.values(), *self._reopening]
        for server in self._servers.values():
            for connection in server.connections:
                reset(connection.transport)
        for handler in self._busy.values():
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        for server in self._servers.values():
            await server.shutdown(1.0)

    def _refuse(self, fault: Fault) -> None:
        """Let an origin go away for a while: nobody listens, and idle connections are broken."""
        listener = self.listeners[fault.origin]
        listener.shut()
        for connection in list(self._servers[fault.origin].connections):
            if connection not in self._busy:
                reset(connection.transport)
        job = self._loop.create_task(self._reopen(listener, fault.delay))
        self._reopening.add(job)
        job.add_done_callback(self._reopening.discard)

    async def _reopen(self, listener: Listener, delay: float) -> None:
        await self._pause(delay)
        await listener.open()

    async def _pause(self, seconds: float) -> None:
        if seconds == math.inf:
            await self._loop.create_future()
        await self._origins.clock.sleep(seconds)

    def _tracked(
        self, handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        async def tracked(request: web.BaseRequest) -> web.StreamResponse:
            task = asyncio.current_task()
            assert task is not None
            self._busy[request.protocol] = task
            try:
                return await handler(request)
            finally:
                self._busy.pop(request.protocol, None)

        return tracked

    # --- the API origin

    async def _api(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if path == "/" or path.startswith("/__sandbox__/"):
            return await self._page(request, path)
        arrival = self._origins.arrive(request.method, path)
        if isinstance(arrival, FakeResponse):
            return _plain(arrival)
        body = await self._body(request, arrival) if arrival.handled else b""
        fault, reply = self._origins.answer(arrival, query, _lower(request.headers), body)
        return await self._send_reply(request, reply, fault)

    async def _body(self, request: web.BaseRequest, arrival: Arrival) -> bytes:
        # aiohttp's own limit is 1 MB; a vendor that takes files inside its JSON allows more.
        limit = arrival.limit
        return await (request.clone(client_max_size=limit) if limit != JSON_LIMIT else request).read()

    async def _page(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        # A page elsewhere in the user's browser must not get here by way of a name that leads to this address.
        names = _LOOPBACK_NAMES | {self._host}
        if self._host in names - _ANYWHERE and request.host.rpartition(":")[0] not in names:
            return web.Response(status=403, text="call the sandbox by its address")
        body = await request.read()
        if request.method == "POST" and request.content_type != "application/json":
            return web.Response(status=415, text="application/json, please")
        return _plain(self._control.handle(request.method, path, body))

    # --- the store's origin

    async def _files(self, request: web.BaseRequest) -> web.StreamResponse:
        path, headers = request.raw_path.partition("?")[0], _lower(request.headers)
        visit = self._origins.visit(request.method, path, headers)
        file, fault = visit.file, visit.fault
        if visit.reply is not None:
            return await self._send_reply(request, visit.reply, fault)
        if request.method not in ("GET", "HEAD"):
            refusal = self._origins.refusal(request.method, request.raw_path, headers, file)
            if refusal is not None or file is None:
                return _plain(refusal or TOO_LARGE)
            return await self._receive(request, file, fault)
        found = self._origins.download(request.method, request.raw_path, headers, file, fault)
        return _plain(found) if isinstance(found, FakeResponse) else await self._send(request, found, fault)

    async def _receive(
        self, request: web.BaseRequest, file: FakeFile, fault: Fault | None
    ) -> web.StreamResponse:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        reply = await self._origins.receive(file, request.content.iter_chunked(PIECE))
        return await self._send_reply(request, reply, fault) if reply is not None else _plain(TOO_LARGE)

    # --- answers

    async def _send_reply(
        self, request: web.BaseRequest, reply: FakeResponse, fault: Fault | None
    ) -> web.StreamResponse:
        self._origins.seen.statuses[reply.status] += 1
        return _plain(reply) if fault is None else await self._send(request, body_of(reply), fault)

    async def _send(self, request: web.BaseRequest, body: Body, fault: Fault | None) -> web.StreamResponse:
        """Send a body piece by piece, disturbed by *fault*."""
        kind = fault.kind if fault else None
        if fault and kind in (FaultKind.HANG, FaultKind.SLOW_FIRST_BYTE):
            await self._pause(fault.delay)
        if kind in (FaultKind.RESET, FaultKind.HANG):
            reset(request.transport)
            return web.Response(status=500)
        if kind is FaultKind.CLOSE and request.transport is not None:
            request.transport.close()
            return web.Response(status=500)
        response = web.StreamResponse(status=body.status, headers=body.headers)
        if kind is not FaultKind.NO_LENGTH:
            response.content_length = body.size
        await response.prepare(request)
        end, step = sent_part(fault, body.size, PIECE)
        for offset in range(0, 0 if request.method == "HEAD" else end, step):
            if fault and kind is FaultKind.DRIP and offset:
                await self._pause(fault.delay)
            await response.write(await body.read(offset, min(step, end - offset)))
        if kind is FaultKind.CUT and request.transport is not None:
            request.transport.close()
            return response
        await response.write_eof()
        return response


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _plain(reply: FakeResponse) -> web.Response:
    return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
