"""The two origins as real sockets: the API with the page, and the store for uploads and results.

The only module with aiohttp's server in it. It carries bytes between sockets, the fakes and the file store,
and applies the scripted faults on the way; what an answer says is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

from aiohttp import web

from avatarkit.protocol.fakewire import Fake, FakeFile, FakeRequest, FakeResponse, json_response
from avatarkit.sandbox import links
from avatarkit.sandbox.callbacks import Callbacks
from avatarkit.sandbox.control import Control
from avatarkit.sandbox.discovery import path_labels
from avatarkit.sandbox.distort import FIELD_KINDS, distort
from avatarkit.sandbox.faults import DOWNLOAD, UPLOAD, Fault, FaultKind, Faults, Scripted
from avatarkit.sandbox.files import PIECE, FileStore, TooLarge, span_of
from avatarkit.sandbox.listener import Listener, reset
from avatarkit.sandbox.render import media_seconds
from avatarkit.sandbox.seen import Seen
from avatarkit.sandbox.world import SandboxWorld
from avatarkit.transport.clock import Clock, in_thread

_JSON_LIMIT = 1024 * 1024
_Read = Callable[[int, int], Awaitable[bytes]]
_ANYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class SandboxServer:
    """Serves one world on two ports of one address."""

    def __init__(
        self,
        *,
        world: SandboxWorld,
        faults: Faults,
        seen: Seen,
        clock: Clock,
        store: FileStore,
        callbacks: Callbacks,
        control: Control,
        host: str,
        port: int,
        files_port: int,
        upload_limit: int,
    ) -> None:
        self._world = world
        self._faults = faults
        self._seen = seen
        self._clock = clock
        self._store = store
        self._callbacks = callbacks
        self._control = control
        self._host = host
        self._upload_limit = upload_limit
        self._loop = asyncio.get_running_loop()
        self._busy: dict[object, asyncio.Task[object]] = {}
        self._labels: dict[str, Callable[[str], str]] = {}
        self._reopening: set[asyncio.Task[None]] = set()
        self._servers = {
            origin: web.Server(self._tracked(handler), handler_cancellation=True, access_log=None)
            for origin, handler in (("api", self._api), ("files", self._files))
        }
        self.listeners = {
            "api": Listener(self._servers["api"], host, port),
            "files": Listener(self._servers["files"], host, files_port),
        }
        faults.on_refuse = self._refuse_from_anywhere

    async def open(self) -> None:
        """Listen on both ports. Raises OSError when one is taken."""
        try:
            for listener in self.listeners.values():
                await listener.open()
        except BaseException:
            await self.aclose()
            raise
        self._world.files_url = self.url("files")

    def url(self, origin: str) -> str:
        """The origin's address, without a slash at the end."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.listeners[origin].port}"

    async def aclose(self) -> None:
        """Stop to listen, break all connections, hanging requests included, and wait for their handlers."""
        self._faults.on_refuse = _nothing
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

    def refuse(self, fault: Fault) -> None:
        """Let an origin go away for a while: nobody listens, and idle connections are broken."""
        listener = self.listeners[fault.origin]
        listener.shut()
        self._seen.faults[fault.kind] += 1
        for connection in list(self._servers[fault.origin].connections):
            if connection not in self._busy:
                reset(connection.transport)
        job = self._loop.create_task(self._reopen(listener, fault.delay))
        self._reopening.add(job)
        job.add_done_callback(self._reopening.discard)

    async def _reopen(self, listener: Listener, delay: float) -> None:
        await self._pause(delay)
        await listener.open()

    def _refuse_from_anywhere(self, fault: Fault) -> None:
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self.refuse(fault)
            return
        done = threading.Event()

        def on_loop() -> None:
            self.refuse(fault)
            done.set()

        self._loop.call_soon_threadsafe(on_loop)
        done.wait(5.0)

    async def _pause(self, seconds: float) -> None:
        if seconds == math.inf:
            await self._loop.create_future()
        await self._clock.sleep(seconds)

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
        provider = path[1:].partition("/")[0]
        fake = self._world.fakes.get(provider)
        base = f"/{provider}{fake.base_path}" if fake else "/"
        if fake is None or not path.startswith(base + "/"):
            return web.Response(status=404, text="404 page not found")
        label = self._labels.get(provider) or self._label_of(provider)
        endpoint = f"{request.method} {label(path.removeprefix(base))}"
        self._seen.request(endpoint, self._clock.monotonic())
        scripted = self._faults.take(endpoint, provider)
        if scripted is not None and not scripted.fault.accept:
            reply = json_response({})
        else:
            asked = FakeRequest(
                method=request.method,
                path=path.removeprefix(base),
                query=dict(parse_qsl(query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in request.headers.items()},
                body=await self._body(request, fake),
            )
            reply = fake.handle(asked, self._world)
            self._note(reply, asked.body)
        fault, reply = self._disturbed(scripted, reply)
        return await self._send_reply(request, reply, fault)

    async def _body(self, request: web.BaseRequest, fake: Fake) -> bytes:
        # aiohttp's own limit is 1 MB; a vendor that takes files inside its JSON allows more.
        limit = int(getattr(fake, "body_limit", _JSON_LIMIT))
        return await (request.clone(client_max_size=limit) if limit != _JSON_LIMIT else request).read()

    def _label_of(self, provider: str) -> Callable[[str], str]:
        label = self._labels[provider] = path_labels(provider)
        return label

    def _note(self, reply: FakeResponse, body: bytes) -> None:
        if reply.accepted is not None:
            self._seen.accepted(reply.accepted, body, self._world.running())
            self._callbacks.watch(reply.accepted)
        self._seen.polls.update(reply.looked_at)

    def _disturbed(self, scripted: Scripted | None, reply: FakeResponse) -> tuple[Fault | None, FakeResponse]:
        if scripted is None:
            return None, reply
        changed = distort(scripted.fault, reply, self._world.expired)
        if changed is reply and scripted.fault.kind in FIELD_KINDS:
            self._faults.give_back(scripted)
            return None, reply
        self._seen.faults[scripted.fault.kind] += 1
        return scripted.fault, changed

    async def _page(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        # A page elsewhere in the user's browser must not get here by way of a name that leads to this address.
        names = _LOOPBACK_NAMES | {self._host}
        if self._host in names - _ANYWHERE and request.host.rpartition(":")[0] not in names:
            return web.Response(status=403, text="call the sandbox by its address")
        body = await request.read()
        if request.method == "POST" and request.content_type != "application/json":
            return web.Response(status=415, text="application/json, please")
        reply = self._control.handle(request.method, path, body)
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    # --- the store's origin

    async def _files(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if "Authorization" in request.headers:
            self._seen.authorization.append(f"{request.method} {path}")
        upload = request.method not in ("GET", "HEAD")
        file = self._world.upload_at(path) if upload else self._world.files.get(links.result_id(path))
        provider = file.provider if file else "*"
        scripted = self._faults.take(UPLOAD if upload else DOWNLOAD, provider)
        fault, reply = self._disturbed(scripted, FakeResponse())
        if fault is not None and (not fault.accept or fault.kind in (FaultKind.ANSWER, FaultKind.REDIRECT)):
            return await self._send_reply(request, reply, fault)
        if upload:
            return await self._upload(request, file, fault)
        return await self._download(request, file, fault)

    async def _upload(
        self, request: web.BaseRequest, file: FakeFile | None, fault: Fault | None
    ) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        refusal = links.WRONG_METHOD if request.method != "PUT" else links.NO_SUCH_KEY
        if file is not None and request.method == "PUT":
            found = self._world.links.check_upload(file, request.raw_path, headers, self._world.now())
            if found is None:
                return await self._receive(request, file, fault)
            refusal = found
        return _xml(refusal)

    async def _receive(
        self, request: web.BaseRequest, file: FakeFile, fault: Fault | None
    ) -> web.StreamResponse:
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        pieces = request.content.iter_chunked(PIECE)
        try:
            path, size, digest = await self._store.receive(pieces, file.extension, self._upload_limit)
        except TooLarge:
            return _xml(links.TOO_LARGE)
        if file.content_type.startswith("audio/"):
            file.seconds = await in_thread(media_seconds, path)
        file.path, file.size, file.sha256, file.uploaded = path, size, digest, True
        self._seen.uploads[digest] += 1
        self._seen.bytes_received += size
        return await self._send_reply(request, FakeResponse(headers={"etag": f'"{digest[:32]}"'}), fault)

    async def _download(
        self, request: web.BaseRequest, file: FakeFile | None, fault: Fault | None
    ) -> web.StreamResponse:
        refusal = self._world.links.check_result(request.raw_path, self._world.now())
        if refusal is not None or file is None or not file.uploaded:
            return _xml(refusal or links.NO_SUCH_KEY)
        etag = f'"{file.id}"'
        wanted = None if fault and fault.kind is FaultKind.IGNORE_RANGE else request.headers.get("Range")
        span = span_of(wanted, request.headers.get("If-Range"), etag, file.size)
        headers = {"content-type": file.content_type, "etag": etag, "accept-ranges": "bytes"}
        if span.status == 206:
            headers["content-range"] = f"bytes {span.start}-{span.stop - 1}/{file.size}"
        elif span.status == 416:
            headers["content-range"] = f"bytes */{file.size}"
        self._seen.downloads += request.method == "GET"

        async def read(offset: int, length: int) -> bytes:
            piece = await self._store.read(file, span.start + offset, length)
            self._seen.bytes_served += len(piece)
            return piece

        return await self._send(request, span.status, headers, span.stop - span.start, read, fault)

    # --- answers

    async def _send_reply(
        self, request: web.BaseRequest, reply: FakeResponse, fault: Fault | None
    ) -> web.StreamResponse:
        self._seen.statuses[reply.status] += 1
        if fault is None:
            return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

        async def read(offset: int, length: int) -> bytes:
            return reply.body[offset : offset + length]

        return await self._send(request, reply.status, reply.headers, len(reply.body), read, fault)

    async def _send(
        self,
        request: web.BaseRequest,
        status: int,
        headers: Mapping[str, str],
        size: int,
        read: _Read,
        fault: Fault | None,
    ) -> web.StreamResponse:
        """Send a body of *size* bytes piece by piece, disturbed by *fault*."""
        kind = fault.kind if fault else None
        if fault and kind in (FaultKind.HANG, FaultKind.SLOW_FIRST_BYTE):
            await self._pause(fault.delay)
        if kind in (FaultKind.RESET, FaultKind.HANG):
            reset(request.transport)
            return web.Response(status=500)
        if kind is FaultKind.CLOSE and request.transport is not None:
            request.transport.close()
            return web.Response(status=500)
        response = web.StreamResponse(status=status, headers=headers)
        if kind is not FaultKind.NO_LENGTH:
            response.content_length = size
        await response.prepare(request)
        end, step = size, PIECE
        if fault and kind is FaultKind.CUT:
            end = size // 2 if fault.size is None else min(size, fault.size)
        if fault and kind is FaultKind.DRIP:
            step = fault.size or 1
        for offset in range(0, 0 if request.method == "HEAD" else end, step):
            if fault and kind is FaultKind.DRIP and offset:
                await self._pause(fault.delay)
            await response.write(await read(offset, min(step, end - offset)))
        if kind is FaultKind.CUT and request.transport is not None:
            request.transport.close()
            return response
        await response.write_eof()
        return response


def _nothing(_fault: Fault) -> None:
    """There is nothing left that could refuse."""


def _xml(refusal: links.Refusal) -> web.Response:
    return web.Response(status=refusal.status, body=refusal.xml(), content_type="application/xml")
