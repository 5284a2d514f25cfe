"""Requests to foreign hosts: signed upload URLs, result hosts. Nothing of the account goes there."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin

from avatarkit.errors import DownloadFailed

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
    from yarl import URL

_PRIVATE_HEADERS = ("Authorization", "Cookie")
_MAX_LOCATION = 8192
_MAX_CHAIN = 20


async def without_credentials(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """A middleware for aiohttp: drops what the session, its cookie jar, the URL or ``~/.netrc`` would add."""
    for name in _PRIVATE_HEADERS:
        request.headers.popall(name, None)
    return await handler(request)


def parse_url(text: str) -> URL | None:
    """*text* as it is, never normalised; None when it is no http or https URL with a host."""
    from yarl import URL

    try:
        # aiohttp would refuse raw spaces and letters outside ASCII; only then is anything quoted.
        verbatim = text.isascii() and text.isprintable() and " " not in text
        url = URL(text, encoded=verbatim)
        ok = url.scheme in ("http", "https") and bool(url.host)
        return url if ok and url.port is not None else None
    except (ValueError, TypeError):
        return None


def shown_cause(error: BaseException) -> BaseException | None:
    """*error* when its text holds no URL, else None: aiohttp prints URLs with their signatures."""
    seen: BaseException | None = error
    for _ in range(_MAX_CHAIN):
        if seen is None:
            return error
        if "://" in str(seen) or "://" in repr(seen):
            return None
        seen = seen.__cause__ or seen.__context__
    return None


def described(error: BaseException) -> str:
    """What happened, without a URL."""
    text = str(error)
    name = type(error).__name__
    return f"{name}: {text}" if text and shown_cause(error) is not None else name


def follow(url: URL, location: str, name: str) -> URL:
    """Where a redirect leads; raises DownloadFailed for foreign schemes and for a step from https to http."""
    joined: URL | None = None
    if location and len(location) <= _MAX_LOCATION:
        absolute = "://" in location.partition("?")[0]
        joined = parse_url(location if absolute else urljoin(str(url), location))
    if joined is None:
        raise DownloadFailed(f"{name}: redirected to something that is no http or https URL")
    if url.scheme == "https" and joined.scheme == "http":
        raise DownloadFailed(f"{name}: redirected from https to http, which is refused")
    return joined
