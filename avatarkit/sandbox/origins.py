"""What the two origins answer, however a request reached them: the API, and the store for uploads and results.

It knows nothing of sockets. It asks the fakes and the file store, applies those faults that change an answer, counts
what was seen, and says which fault is left for whoever delivers the answer.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

import attrs

from avatarkit.protocol.fakewire import Fake, FakeFile, FakeRequest, FakeResponse, json_response
from avatarkit.sandbox import links
from avatarkit.sandbox.callbacks import Callbacks
from avatarkit.sandbox.discovery import path_labels
from avatarkit.sandbox.distort import FIELD_KINDS, distort
from avatarkit.sandbox.faults import DOWNLOAD, UPLOAD, Fault, FaultKind, Faults, Scripted
from avatarkit.sandbox.files import FileStore, TooLarge, span_of
from avatarkit.sandbox.render import media_seconds
from avatarkit.sandbox.seen import Seen
from avatarkit.sandbox.world import SandboxWorld
from avatarkit.transport.clock import Clock
from avatarkit.transport.threads import in_thread

JSON_LIMIT = 1024 * 1024
_NOT_FOUND = FakeResponse(
    status=404, headers={"content-type": "text/plain; charset=utf-8"}, body=b"404 page not found"
)


@attrs.frozen
class Arrival:
    """An API request whose body has not been read yet."""

    provider: str
    fake: Fake
    method: str
    path: str
    scripted: Scripted | None

    @property
    def limit(self) -> int:
        """The largest body in bytes."""
        return int(getattr(self.fake, "body_limit", JSON_LIMIT))

    @property
    def handled(self) -> bool:
        """Whether the provider's logic gets it, and so needs its body."""
        return self.scripted is None or self.scripted.fault.accept


@attrs.frozen
class Body:
    """An answer whose body of *size* bytes is read piece by piece."""

    status: int
    headers: Mapping[str, str]
    size: int
    read: Callable[[int, int], Awaitable[bytes]]


@attrs.frozen
class Visit:
    """A request to the store: the file it names, and the fault that is left; *reply* when that is already all."""

    file: FakeFile | None
    fault: Fault | None
    reply: FakeResponse | None


class Origins:
    """The two origins of one world."""

    def __init__(
        self,
        *,
        world: SandboxWorld,
        faults: Faults,
        seen: Seen,
        clock: Clock,
        store: FileStore,
        callbacks: Callbacks,
        upload_limit: int,
    ) -> None:
        self.world = world
        self.faults = faults
        self.seen = seen
        self.clock = clock
        self._store = store
        self._callbacks = callbacks
        self._upload_limit = upload_limit
        self._loop = asyncio.get_running_loop()
        self._labels: dict[str, Callable[[str], str]] = {}
        self._away: dict[str, float] = {"api": -math.inf, "files": -math.inf}
        self.on_refuse: Callable[[Fault], None] = _nothing
        faults.on_refuse = self._refuse_from_anywhere

    def close(self) -> None:
        """Nothing is left that could refuse."""
        self.faults.on_refuse = _nothing

    # --- going away for a while

    def away(self, origin: str) -> bool:
        """Whether this origin refuses connections now."""
        return self.clock.monotonic() < self._away[origin]

    def refuse(self, fault: Fault) -> None:
        """Let an origin refuse connections from now on."""
        self._away[fault.origin] = self.clock.monotonic() + fault.delay
        self.seen.faults[fault.kind] += 1
        self.on_refuse(fault)

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

    # --- the API

    def arrive(self, method: str, path: str) -> Arrival | FakeResponse:
        """Count a request to the API; its answer at once where no provider is asked."""
        provider = path[1:].partition("/")[0]
        fake = self.world.fakes.get(provider)
        base = f"/{provider}{fake.base_path}" if fake else "/"
        if fake is None or not path.startswith(base + "/"):
            return _NOT_FOUND
        rest = path[len(base) :]
        label = self._labels.get(provider) or self._label_of(provider)
        endpoint = f"{method} {label(rest)}"
        self.seen.request(endpoint, self.clock.monotonic())
        return Arrival(provider, fake, method, rest, self.faults.take(endpoint, provider))

    def answer(
        self, arrival: Arrival, query: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Fault | None, FakeResponse]:
        """The provider's answer, and the fault that is left to apply; *headers* have names in lower case."""
        if arrival.handled:
            asked = FakeRequest(
                method=arrival.method,
                path=arrival.path,
                query=_fields(query),
                headers=headers,
                body=body,
            )
            reply = arrival.fake.handle(asked, self.world)
            self._note(reply, body)
        else:
            reply = json_response({})
        return self._disturbed(arrival.scripted, reply)

    def _label_of(self, provider: str) -> Callable[[str], str]:
        label = self._labels[provider] = path_labels(provider)
        return label

    def _note(self, reply: FakeResponse, body: bytes) -> None:
        if reply.accepted is not None:
            self.seen.accepted(reply.accepted, body, self.world.running())
            self._callbacks.watch(reply.accepted)
        if reply.looked_at:
            self.seen.polls.update(reply.looked_at)

    def _disturbed(self, scripted: Scripted | None, reply: FakeResponse) -> tuple[Fault | None, FakeResponse]:
        if scripted is None:
            return None, reply
        changed = distort(scripted.fault, reply, self.world.expired)
        if changed is reply and scripted.fault.kind in FIELD_KINDS:
            self.faults.give_back(scripted)
            return None, reply
        self.seen.faults[scripted.fault.kind] += 1
        return scripted.fault, changed

    # --- the store

    def visit(self, method: str, path: str, headers: Mapping[str, str]) -> Visit:
        """Count a request to the store, and find the file; *headers* have names in lower case."""
        if "authorization" in headers:
            self.seen.authorization.append(f"{method} {path}")
        upload = method not in ("GET", "HEAD")
        file = self.world.upload_at(path) if upload else self.world.files.get(links.result_id(path))
        scripted = self.faults.take(UPLOAD if upload else DOWNLOAD, file.provider if file else "*")
        if scripted is None:
            return Visit(file, None, None)
        fault, reply = self._disturbed(scripted, FakeResponse())
        done = fault is not None and (
            not fault.accept or fault.kind in (FaultKind.ANSWER, FaultKind.REDIRECT)
        )
        return Visit(file, fault, reply if done else None)

    def refusal(
        self, method: str, raw: str, headers: Mapping[str, str], file: FakeFile | None
    ) -> FakeResponse | None:
        """Why *file* must not be written by a request to *raw* (path and query); None when it may."""
        if method != "PUT":
            return _xml(links.WRONG_METHOD)
        if file is None:
            return _xml(links.NO_SUCH_KEY)
        found = self.world.links.check_upload(file, raw, headers, self.world.now())
        return None if found is None else _xml(found)

    async def receive(self, file: FakeFile, pieces: AsyncIterator[bytes]) -> FakeResponse | None:
        """Take an upload in; None when it is too large, see :data:`TOO_LARGE`."""
        try:
            path, size, digest = await self._store.receive(pieces, file.extension, self._upload_limit)
        except TooLarge:
            return None
        if file.content_type.startswith("audio/"):
            file.seconds = await in_thread(media_seconds, path)
        file.path, file.size, file.sha256, file.uploaded = path, size, digest, True
        self.seen.uploads[digest] += 1
        self.seen.bytes_received += size
        return FakeResponse(headers={"etag": f'"{digest[:32]}"'})

    def download(
        self, method: str, raw: str, headers: Mapping[str, str], file: FakeFile | None, fault: Fault | None
    ) -> Body | FakeResponse:
        """A result, or the part of it that was asked for, or why not."""
        refusal = self.world.links.check_result(raw, self.world.now())
        if refusal is not None or file is None or not file.uploaded:
            return _xml(refusal or links.NO_SUCH_KEY)
        etag = f'"{file.id}"'
        wanted = None if fault and fault.kind is FaultKind.IGNORE_RANGE else headers.get("range")
        span = span_of(wanted, headers.get("if-range"), etag, file.size)
        told = {"content-type": file.content_type, "etag": etag, "accept-ranges": "bytes"}
        if span.status == 206:
            told["content-range"] = f"bytes {span.start}-{span.stop - 1}/{file.size}"
        elif span.status == 416:
            told["content-range"] = f"bytes */{file.size}"
        self.seen.downloads += method == "GET"

        async def read(offset: int, length: int) -> bytes:
            piece = await self._store.read(file, span.start + offset, length)
            self.seen.bytes_served += len(piece)
            return piece

        return Body(span.status, told, span.stop - span.start, read)


def _fields(query: str) -> dict[str, str]:
    if "%" in query or "+" in query:
        return dict(parse_qsl(query, keep_blank_values=True))
    # Nothing is encoded, as in nearly every query that is sent.
    pairs = (pair.partition("=") for pair in query.split("&") if pair)
    return {name: value for name, _, value in pairs}


def body_of(reply: FakeResponse) -> Body:
    """*reply* as something that is read piece by piece."""

    async def read(offset: int, length: int) -> bytes:
        return reply.body[offset : offset + length]

    return Body(reply.status, reply.headers, len(reply.body), read)


def sent_part(fault: Fault | None, size: int, piece: int) -> tuple[int, int]:
    """How many bytes of *size* are sent, and in pieces of how many."""
    if fault is not None and fault.kind is FaultKind.CUT:
        return size // 2 if fault.size is None else min(size, fault.size), piece
    if fault is not None and fault.kind is FaultKind.DRIP:
        return size, fault.size or 1
    return size, piece


def _nothing(_fault: Fault) -> None:
    """There is nothing left that could refuse."""


def _xml(refusal: links.Refusal) -> FakeResponse:
    return FakeResponse(
        status=refusal.status, headers={"content-type": "application/xml"}, body=refusal.xml()
    )


TOO_LARGE = _xml(links.TOO_LARGE)
