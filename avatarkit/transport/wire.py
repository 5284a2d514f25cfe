"""Requests that go straight to an object instead of through sockets, for tests and benchmarks.

The seam is the HTTP session: a :class:`WireSession` stands where aiohttp's would, takes what ours ask of it, and fails
as it would, so that everything above (deadlines, doubt, retries, redaction, resumed downloads) is the same code.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Generator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import attrs

from avatarkit.errors import NotSent

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from avatarkit.transport.clock import Clock

T = TypeVar("T")


@attrs.frozen
class WireRequest:
    """One request.

    Attributes:
        method: upper-case.
        url: with its query, encoded as it would go out.
        headers: names in lower case. ``Host`` and ``Content-Length`` are left out.
        body: the whole body; uploads are held in memory.

    """

    method: str
    url: str = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen
class WireAnswer:
    """One answer.

    Attributes:
        headers: ``Content-Length`` included where it is told.
        body: the whole body, or its pieces as they come; OSError or EOFError out of them is a line that broke.

    """

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes | AsyncIterator[bytes] = b""


class Wire(Protocol):
    """What requests are handed to; ``AsyncSandbox.wire()`` gives one."""

    def connect(self, url: str) -> None:
        """A connection for *url*; raises OSError when there is none to be had, and so nothing was sent."""
        ...

    async def exchange(self, asked: WireRequest) -> WireAnswer:
        """Answer one request.

        Raises ConnectionAbortedError when the connection ends without an answer, OSError when it breaks.
        """
        ...


class SendGuard(Protocol):
    """The send deadline of a submission, see ``session.SendMark``."""

    sent: bool

    def too_late(self, clock: Clock) -> bool:
        """Whether its time is over."""
        ...


class WireSession:
    """Stands in for aiohttp's session. Redirects are never followed, proxies and certificates mean nothing.

    Args:
        wire: what requests are handed to.
        clock: for the send deadline.
        headers: go with every request.
        timeout: aiohttp's, where a request brings none; ``total`` and ``sock_read`` are kept.
        mark: gives the send guard of what is being sent, for the session of submissions.

    """

    def __init__(
        self, wire: Wire, clock: Clock, headers: Mapping[str, str], timeout: Any, mark: Any = None
    ) -> None:
        self._wire = wire
        self._clock = clock
        self._headers = {name.lower(): value for name, value in headers.items()}
        self._timeout = timeout
        self._mark = mark
        self.closed = False

    async def request(
        self,
        method: str,
        url: Any,
        *,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: Any = None,
        **_about_connections: Any,
    ) -> WireResponse:
        """As aiohttp's; raises its errors and NotSent for a submission that is too late."""
        if self.closed:
            raise RuntimeError("Session is closed")
        bounds = _Bounds(timeout or self._timeout)
        address = str(url)
        try:
            self._wire.connect(address)
        except OSError as error:
            _unconnected(address, error)
        if self._mark is not None:
            self._pass(self._mark.get())
        sent = self._headers
        if headers:
            sent = {**sent, **{name.lower(): value for name, value in headers.items()}}
        answer = await bounds.keep(self._exchange(method, address, sent, data))
        return WireResponse(answer, bounds)

    def _pass(self, mark: SendGuard | None) -> None:
        if mark is not None:
            if mark.too_late(self._clock):
                raise NotSent("the time given ran out before the request could go out")
            mark.sent = True

    async def _exchange(self, method: str, url: str, headers: Mapping[str, str], data: Any) -> WireAnswer:
        body = data or b""
        if not isinstance(body, bytes):
            headers = {"content-type": data.content_type, **headers}
            body = await _gathered(data)
        try:
            answer = await self._wire.exchange(WireRequest(method, url, headers, body))
        except OSError as error:
            _broken(error)
        # An answer never comes in the very turn in which it was asked for, however near the provider is.
        await asyncio.sleep(0)
        return answer

    def get(self, url: Any, **options: Any) -> _Asking:
        """As aiohttp's."""
        return _Asking(self, "GET", url, options)

    def put(self, url: Any, **options: Any) -> _Asking:
        """As aiohttp's."""
        return _Asking(self, "PUT", url, options)

    def post(self, url: Any, **options: Any) -> _Asking:
        """As aiohttp's."""
        return _Asking(self, "POST", url, options)

    async def close(self) -> None:
        """Take no more requests."""
        self.closed = True


class _Asking:
    """A request that can be awaited, or entered with ``async with``."""

    def __init__(self, session: WireSession, method: str, url: Any, options: dict[str, Any]) -> None:
        self._ask = session.request(method, url, **options)
        self._answer: WireResponse | None = None

    def __await__(self) -> Generator[Any, None, WireResponse]:
        return self._ask.__await__()

    async def __aenter__(self) -> WireResponse:
        self._answer = await self._ask
        return self._answer

    async def __aexit__(self, *_error: object) -> None:
        if self._answer is not None:
            self._answer.close()


class _Bounds:
    """The time that an exchange has: until an end, and between two signs of life."""

    __slots__ = ("_end", "_loop", "_silence")

    def __init__(self, timeout: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + timeout.total if timeout.total else math.inf
        self._silence: float = timeout.sock_read or math.inf

    async def keep(self, step: Awaitable[T]) -> T:
        """What *step* gives; raises TimeoutError as aiohttp does."""
        quiet = self._loop.time() + self._silence
        end = min(self._end, quiet)
        limit = asyncio.timeout_at(None if end == math.inf else end)
        try:
            async with limit:
                return await step
        except TimeoutError:
            if limit.expired() and quiet < self._end:
                from aiohttp import SocketTimeoutError

                raise SocketTimeoutError("Timeout on reading data from socket") from None
            raise


class WireResponse:
    """Stands in for aiohttp's response."""

    __slots__ = ("_answer", "content", "headers", "status")

    def __init__(self, answer: WireAnswer, bounds: _Bounds) -> None:
        from multidict import CIMultiDict, CIMultiDictProxy

        self.status = answer.status
        self.headers: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict(answer.headers))
        self.content = WireBody(answer.body, bounds)

    @property
    def content_length(self) -> int | None:
        """As the header tells it."""
        told = self.headers.get("Content-Length", "")
        return int(told) if told.isdecimal() else None

    @property
    def content_type(self) -> str:
        """The media type alone."""
        told = self.headers.get("Content-Type", "application/octet-stream")
        return told.partition(";")[0].strip().lower()

    async def read(self) -> bytes:
        """The whole body."""
        first = await self.content.readany()
        rest = [piece async for piece in self.content.iter_any()]
        return first + b"".join(rest) if rest else first

    def close(self) -> None:
        """Read no more."""
        self.content.drop()


class WireBody:
    """Stands in for aiohttp's stream of a body."""

    __slots__ = ("_bounds", "_pieces", "_ready")

    def __init__(self, body: bytes | AsyncIterator[bytes], bounds: _Bounds) -> None:
        whole = isinstance(body, bytes)
        self._ready: bytes = body if whole else b""  # type: ignore[assignment]
        self._pieces: AsyncIterator[bytes] | None = None if whole else body  # type: ignore[assignment]
        self._bounds = bounds

    async def readany(self) -> bytes:
        """What has come; ``b""`` at the end."""
        while not self._ready and self._pieces is not None:
            try:
                self._ready = await self._bounds.keep(anext(self._pieces))
            except StopAsyncIteration:
                self._pieces = None
            except TimeoutError:
                raise
            except (OSError, EOFError) as error:
                from aiohttp import ClientPayloadError

                raise ClientPayloadError(f"Response payload is not completed: {error}") from error
        ready, self._ready = self._ready, b""
        return ready

    async def read(self, size: int) -> bytes:
        """At most *size* bytes of what has come."""
        ready = await self.readany()
        self._ready = ready[size:]
        return ready[:size]

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        while piece := await self.readany():
            yield piece

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """The body in pieces of at most *size* bytes."""
        while piece := await self.read(size):
            yield piece

    def drop(self) -> None:
        """Forget what has not been read."""
        self._ready, self._pieces = b"", None


class _Gatherer:
    """Takes a streamed body as aiohttp's writer would."""

    def __init__(self) -> None:
        self.body = bytearray()

    async def write(self, piece: bytes | memoryview) -> None:
        self.body += piece


async def _gathered(payload: Any) -> bytes:
    """The whole of a streamed body; an error while it is read ends the exchange, as with aiohttp."""
    from aiohttp import ClientConnectionError

    gatherer = _Gatherer()
    try:
        await payload.write_with_length(gatherer, None)
    except Exception as error:
        raise ClientConnectionError("Failed to send bytes into the underlying connection") from error
    return bytes(gatherer.body)


def _broken(error: OSError) -> NoReturn:
    """Raise what aiohttp makes of a connection that broke before the answer."""
    from aiohttp import ClientOSError, ServerDisconnectedError

    if isinstance(error, TimeoutError):
        raise error
    if isinstance(error, ConnectionAbortedError):
        raise ServerDisconnectedError from error
    raise ClientOSError(*error.args) from error


def _unconnected(address: str, error: OSError) -> NoReturn:
    from aiohttp import ClientConnectorError
    from aiohttp.client_reqrep import ConnectionKey
    from yarl import URL

    url = URL(address, encoded=True)
    key = ConnectionKey(
        host=url.host or "",
        port=url.port,
        is_ssl=url.scheme == "https",
        ssl=True,
        proxy=None,
        proxy_auth=None,
        proxy_headers_hash=None,
    )
    raise ClientConnectorError(key, error) from error
