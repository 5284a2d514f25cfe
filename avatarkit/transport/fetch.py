"""Fetching one object from a foreign host into a sink: resumed, renewed, bounded."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from avatarkit.errors import AvatarKitError, DownloadFailed, LinkExpired
from avatarkit.settings import Timeouts
from avatarkit.transport.bare import described, follow, parse_url, shown_cause, without_credentials
from avatarkit.transport.clock import Clock
from avatarkit.transport.partfile import Identity
from avatarkit.transport.progress import Meter
from avatarkit.transport.readers import PIECE
from avatarkit.transport.sniff import looks_like_page
from avatarkit.transport.threads import in_a_thread, in_file_thread

if TYPE_CHECKING:
    import aiohttp

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_EXPIRED = frozenset({401, 403, 404, 410})
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_PAGES = frozenset({"text/html", "application/xhtml+xml", "application/json", "application/xml", "text/xml"})
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")

# aiohttp holds up to twice this much before it stops reading from the socket, and loses it when the line is cut.
_READ_BUFFER = 256 * 1024

# Progress is told in steps of at least this many bytes.
_STEP = 128 * 1024


class Sink(Protocol):
    """Where the bytes go. ``have`` bytes of ``identity`` are in it; its methods may block."""

    have: int
    identity: Identity

    def begin(self, identity: Identity) -> None:
        """Forget everything; what follows are the first bytes of *identity*."""
        ...

    def back(self, count: int) -> None:
        """Forget the last *count* bytes."""
        ...

    def write(self, pieces: list[bytes]) -> None:
        """Append *pieces*."""
        ...


@attrs.frozen(kw_only=True)
class Fetching:
    """How to fetch.

    Attributes:
        session: aiohttp's session; none of its credentials or cookies are used.
        clock: for delays.
        timeouts: ``connect`` and ``read`` are used.
        refresh: asks for a fresh URL of the same object, or None.
        max_bytes: the largest object taken.
        attempts: failures in a row, without a mebibyte of progress between them, that end the transfer.
        base_delay: seconds before the first new attempt; doubles each time, at most *max_delay*.
        max_delay: the longest delay, also when the server asks for more.
        media: refuse HTML, XML and JSON: they are a gateway's words, not a video.
        proxy_for: names the proxy for a URL, or None.

    """

    session: aiohttp.ClientSession
    clock: Clock
    timeouts: Timeouts
    refresh: Callable[[], Awaitable[str]] | None = None
    max_bytes: int
    attempts: int = 5
    base_delay: float = 0.5
    max_delay: float = 60.0
    media: bool = True
    proxy_for: Callable[[str], str | None] | None = None


@attrs.frozen
class _Setback:
    """Why an attempt did not end the transfer."""

    reason: str
    expired: bool = False
    delay: float | None = None
    cause: BaseException | None = None


class Fetch:
    """One transfer of one object: :meth:`run` ends with all of it in *sink*, or raises DownloadFailed.

    *finish* is called once, in a thread, when the sink has everything: right behind the last write, so that a small
    object costs one way to a thread and back. *files* says that the sink is a file, or memory, and never takes long.
    """

    def __init__(
        self,
        how: Fetching,
        url: str,
        sink: Sink,
        meter: Meter,
        *,
        finish: Callable[[], object] | None = None,
        files: bool = False,
    ) -> None:
        self._how = how
        self._url = url
        self._sink = sink
        self._meter = meter
        self._finish = finish
        self._thread: Callable[..., asyncio.Future[Any]] = in_file_thread if files else in_a_thread
        self._beginning: Identity | None = None  # the object whose first bytes are still to be written
        self._received = 0
        self._told = 0
        self._renewed_at: int | None = None

    async def run(self) -> None:
        """Attempt by attempt until the object is whole."""
        failures, mark = 0, 0
        while (setback := await self._attempt()) is not None:
            if setback.expired:
                await self._renew(setback)
                continue
            failures = 1 if self._received - mark >= PIECE else failures + 1
            mark = self._received
            if failures >= self._how.attempts:
                text = f"{self._meter.name}: {setback.reason}; gave up after {failures} attempts in a row"
                raise DownloadFailed(text) from setback.cause
            await self._how.clock.sleep(self._delay(failures, setback.delay))

    def _delay(self, failures: int, asked: float | None) -> float:
        grown = self._how.base_delay * 2.0 ** (failures - 1) * random.uniform(0.5, 1.0)  # noqa: S311
        return min(max(grown, asked or 0.0), self._how.max_delay)

    async def _renew(self, setback: _Setback) -> None:
        """Get a fresh URL, unless the last one was dead from the start."""
        words = f"{self._meter.name}: {setback.reason}"
        if self._how.refresh is None:
            raise LinkExpired(words)
        if self._renewed_at == self._received:
            raise LinkExpired(f"{words}, and so did the URL got in its place")
        self._renewed_at = self._received
        try:
            self._url = await self._how.refresh()
        except AvatarKitError as error:
            raise LinkExpired(f"{words}, and no fresh URL could be had") from shown_cause(error)

    async def _attempt(self) -> _Setback | None:
        import aiohttp

        sink = self._sink
        headers = {"Accept-Encoding": "identity"}
        if sink.have and sink.identity.resumable:
            if sink.have == sink.identity.total:
                # One byte is asked for again, to see that it still is the same object.
                await self._do(sink.back, 1)
            headers["Range"] = f"bytes={sink.have}-"
            headers["If-Range"] = sink.identity.validator
        try:
            answer = await self._open(headers)
            try:
                return await self._take(answer, ranged="Range" in headers)
            finally:
                answer.close()
        except (OSError, aiohttp.ClientError) as error:
            return _Setback(f"the transfer broke off ({described(error)})", cause=shown_cause(error))

    async def _open(self, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """The answer after redirects: http or https only, never from https down to http."""
        import aiohttp

        how = self._how
        url = parse_url(self._url)
        limit = aiohttp.ClientTimeout(
            total=None, sock_connect=how.timeouts.connect, sock_read=how.timeouts.read
        )
        for _ in range(MAX_REDIRECTS + 1):
            if url is None:
                raise DownloadFailed(f"{self._meter.name}: its URL is no http or https URL")
            answer = await how.session.get(
                url,
                headers=headers,
                allow_redirects=False,
                auto_decompress=False,
                raise_for_status=False,
                read_bufsize=_READ_BUFFER,
                middlewares=(without_credentials,),
                proxy=how.proxy_for(str(url)) if how.proxy_for else None,
                timeout=limit,
            )
            if answer.status not in _REDIRECTS:
                return answer
            answer.close()
            url = follow(url, answer.headers.get("Location", ""), self._meter.name)
        raise DownloadFailed(f"{self._meter.name}: more than {MAX_REDIRECTS} redirects")

    async def _take(self, answer: aiohttp.ClientResponse, *, ranged: bool) -> _Setback | None:
        refusal = self._judge_status(answer) or self._judge_content(answer)
        if refusal is not None:
            return refusal
        if answer.status == 416 or (answer.status == 206 and not self._continues(answer, ranged=ranged)):
            await self._do(self._sink.begin, Identity())
            return _Setback("the server's range does not fit", delay=0.0)
        identity = _identity(answer) if answer.status == 200 else self._sink.identity
        self._check_size(identity.total)
        if identity.total == 0:
            return _Setback("an empty file came")
        first = await answer.content.readany()
        if answer.status == 200:
            if self._how.media and looks_like_page(first):
                return self._page("text")
            self._beginning = identity
        self._meter.total = identity.total
        have = self._told = 0 if self._beginning is not None else self._sink.have
        await self._stream(answer, first, have, identity)
        return self._verdict(self._sink.have, identity)

    def _verdict(self, have: int, identity: Identity) -> _Setback | None:
        if have == 0:
            return _Setback("an empty file came")
        if identity.total is not None and have != identity.total:
            return _Setback(f"{have} of {identity.total} bytes came")
        return None

    def _judge_status(self, answer: aiohttp.ClientResponse) -> _Setback | None:
        status = answer.status
        if status in (200, 206, 416):
            return None
        if status in _EXPIRED:
            return _Setback(f"the URL no longer works (HTTP {status})", expired=True)
        if status in _LATER or status > 504:
            asked = answer.headers.get("Retry-After", "")
            return _Setback(f"HTTP {status}", delay=float(asked) if asked.isdecimal() else None)
        raise DownloadFailed(f"{self._meter.name}: HTTP {status}")

    def _judge_content(self, answer: aiohttp.ClientResponse) -> _Setback | None:
        if answer.status == 416:
            return None
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if self._how.media and kind in _PAGES:
            return self._page(kind)
        coding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise DownloadFailed(
                f"{self._meter.name}: came encoded as {coding[:20]}, which was not asked for"
            )
        return None

    def _page(self, kind: str) -> _Setback:
        words = f"the server sent a page ({kind}) instead of the file"
        if self._how.refresh is None:
            raise DownloadFailed(f"{self._meter.name}: {words}")
        return _Setback(words, expired=True)

    def _continues(self, answer: aiohttp.ClientResponse, *, ranged: bool) -> bool:
        """Whether a 206 goes on exactly where we are, in the same object."""
        found = _RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
        if not ranged or found is None or int(found[1]) != self._sink.have:
            return False
        ours = self._sink.identity
        if int(found[2]) + 1 != ours.total or found[3] not in ("*", str(ours.total)):
            return False
        told = {answer.headers.get("ETag"), answer.headers.get("Last-Modified")}
        return told == {None} or ours.validator in told

    def _check_size(self, size: int | None) -> None:
        if size is not None and size > self._how.max_bytes:
            text = f"{self._meter.name}: {size} bytes, at most {self._how.max_bytes} are taken"
            raise DownloadFailed(text)

    async def _stream(
        self, answer: aiohttp.ClientResponse, first: bytes, have: int, identity: Identity
    ) -> None:
        """Read and write side by side; whatever ends it, the bytes received are written."""
        batch, count, coming = [first], len(first), have + len(first)
        self._received += len(first)
        writing: asyncio.Future[Any] | None = None
        whole = False
        try:
            while data := await answer.content.readany():
                batch.append(data)
                count += len(data)
                coming += len(data)
                self._received += len(data)
                self._check_size(coming)
                if count >= PIECE:
                    # Awaiting the future itself would cancel a write that still queues, and leave a hole.
                    if writing is not None:
                        await finished(writing)
                    writing, batch, count = self._thread(self._write, batch), [], 0
                self._tell(coming)
            whole = self._verdict(coming, identity) is None
        finally:
            if writing is not None:
                await finished(writing)
            await self._do(self._write, batch, whole)
        self._tell(coming, last=True)

    def _write(self, pieces: list[bytes], last: bool = False) -> None:  # noqa: FBT001, FBT002 - called in a thread
        beginning, self._beginning = self._beginning, None
        if beginning is not None:
            self._sink.begin(beginning)
        self._sink.write(pieces)
        if last and self._finish is not None:
            self._finish()

    def _tell(self, done: int, *, last: bool = False) -> None:
        if done - self._told >= _STEP or (last and done != self._told):
            self._told = done
            self._meter.at(done)

    async def _do(self, function: Callable[..., Any], *args: Any) -> None:
        await finished(self._thread(function, *args))


async def finished(future: asyncio.Future[Any]) -> Any:
    """The result of file work in a thread. A cancellation is raised, but not before the work is over."""
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError as error:
        if future.cancelled():
            raise
        cancelled = error
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    future.exception()
    raise cancelled


def _identity(answer: aiohttp.ClientResponse) -> Identity:
    tag = answer.headers.get("ETag", "")
    strong = tag if tag.startswith('"') else ""
    length = answer.headers.get("Content-Length", "")
    total = int(length) if length.isdecimal() else None
    return Identity(strong or answer.headers.get("Last-Modified", ""), total)
