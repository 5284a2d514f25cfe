"""Putting one file at a signed URL."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from avatarkit.errors import AvatarKitError, InvalidRequest, UploadFailed
from avatarkit.events import Event, ProgressHook
from avatarkit.settings import Timeouts
from avatarkit.transport.bare import described, parse_url, shown_cause, without_credentials
from avatarkit.transport.clock import Clock
from avatarkit.transport.encode import RawBody
from avatarkit.transport.progress import Meter
from avatarkit.transport.sources import Source

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

    from avatarkit.transport.payload import BodyPayload

_MAX_ANSWER = 64 * 1024
_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9_.-]{1,80})\s*</Code>")

# What an object store says of the request itself; a fresh URL does not change it.
_FINAL_STATUSES = frozenset({400, 405, 411, 413, 415, 501})
_RENEWABLE_CODES = frozenset({"RequestTimeout", "ExpiredToken", "InvalidSecurityToken"})


def can_retry(error: UploadFailed) -> bool:
    """Whether the same file can arrive when it is sent again, to a fresh upload URL."""
    return bool(getattr(error, "retryable", False))


async def put_file(
    session: aiohttp.ClientSession,
    url: str,
    source: Source,
    content_type: str,
    *,
    clock: Clock,
    timeouts: Timeouts,
    progress: ProgressHook | None = None,
    emit: Callable[[Event], None] | None = None,
    proxy_for: Callable[[str], str | None] | None = None,
) -> None:
    """PUT *source* to *url*, used verbatim, with this Content-Type to the letter and a Content-Length.

    No credentials, no cookies, no redirects. Constant memory; the event loop is never held up. Nothing is
    tried again here, since another try needs another URL: :func:`can_retry` tells whether it can help.
    *proxy_for* names the proxy for a URL, or None.

    Raises:
        UploadFailed: with ``http_status``, ``code`` (the store's ``<Code>``) and ``retryable`` set on it:
            another answer than 2xx, a network error, nothing moving for ``timeouts.read`` seconds, or a file
            that changed meanwhile. Its message never holds the URL.

    """
    target = parse_url(url)
    if target is None:
        raise _failure("the upload URL is no http or https URL", retryable=False)
    watch = _Watch(Meter("up", source.name, source.size, progress=progress, emit=emit), clock, timeouts.read)
    payload = watch.payload(RawBody(source, content_type))
    try:
        async with watch.timeout:
            status, code = await _send(session, target, payload, proxy_for and proxy_for(url), timeouts)
    except TimeoutError as error:
        raise watch.stalled() from shown_cause(error)
    except (OSError, _client_error()) as error:
        raise _broken(payload, error) from (payload.error or shown_cause(error))
    if not 200 <= status < 300:
        raise _refused(status, code)
    if not payload.complete:
        raise _failure("the store answered before it had the whole file", retryable=True, status=status)
    if await source.changed():
        raise _failure(f"{source.name}: the file changed while it was sent", retryable=False)


class _Watch:
    """Ends an upload that stands still. Waiting for a free connection does not count."""

    def __init__(self, meter: Meter, clock: Clock, limit: float) -> None:
        self.timeout = asyncio.timeout(None)
        self._meter = meter
        self._clock = clock
        self._limit = limit
        self._begun: float | None = None

    def payload(self, body: RawBody) -> BodyPayload:
        from avatarkit.transport.payload import BodyPayload

        return BodyPayload(body, started=self._started, moved=self._moved)

    def stalled(self) -> UploadFailed:
        meter = self._meter
        if self._begun is None:
            return _failure(f"{meter.name}: no connection to the store in time", retryable=True)
        seconds = self._clock.monotonic() - self._begun
        text = f"{meter.name}: the upload stood still at {meter.done} of {meter.total} bytes"
        return _failure(f"{text}, {seconds:.0f} s after it began", retryable=True)

    def _started(self) -> None:
        self._begun = self._clock.monotonic()
        self._meter.done = 0
        self._stir()

    def _moved(self, count: int) -> None:
        self._stir()
        self._meter.moved(count)

    def _stir(self) -> None:
        self.timeout.reschedule(asyncio.get_running_loop().time() + self._limit)


async def _send(
    session: aiohttp.ClientSession, url: URL, payload: BodyPayload, proxy: str | None, timeouts: Timeouts
) -> tuple[int, str]:
    import aiohttp

    async with session.put(
        url,
        data=payload,
        headers={"Content-Type": payload.content_type},
        proxy=proxy,
        allow_redirects=False,
        raise_for_status=False,
        middlewares=(without_credentials,),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect, sock_read=timeouts.read),
    ) as answer:
        good = 200 <= answer.status < 300
        if good and payload.complete:
            return answer.status, ""
        found = None if good else _CODE.search(await answer.content.read(_MAX_ANSWER))
        # A server that has answered reads no more: stop sending and drop the connection.
        answer.close()
        return answer.status, found[1].decode() if found else ""


def _client_error() -> type[Exception]:
    import aiohttp

    return aiohttp.ClientError


def _failure(message: str, *, retryable: bool, status: int = 0, code: str = "") -> UploadFailed:
    error = UploadFailed(message)
    error.__dict__.update(retryable=retryable, http_status=status, code=code)
    return error


def _broken(payload: BodyPayload, error: BaseException) -> UploadFailed:
    own = payload.error
    if own is not None:
        words = str(own) if isinstance(own, AvatarKitError) else described(own)
        return _failure(f"the file could not be read: {words}", retryable=not isinstance(own, InvalidRequest))
    return _failure(f"the upload broke off ({described(error)})", retryable=True)


def _refused(status: int, code: str) -> UploadFailed:
    words = f"HTTP {status}, {code}" if code else f"HTTP {status}"
    retryable = code in _RENEWABLE_CODES or status not in _FINAL_STATUSES
    if 300 <= status < 400:
        retryable = False
    return _failure(f"the upload was refused ({words})", retryable=retryable, status=status, code=code)
