"""Results into files, or into memory when they are small."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs

from avatarkit.errors import InvalidRequest
from avatarkit.events import Event, ProgressHook
from avatarkit.settings import Timeouts
from avatarkit.transport.clock import Clock
from avatarkit.transport.fetch import Fetch, Fetching, Sink, finished
from avatarkit.transport.names import safe_name
from avatarkit.transport.partfile import Identity, PartFile
from avatarkit.transport.progress import Meter
from avatarkit.transport.store_urls import is_store_url
from avatarkit.transport.threads import in_file_thread

if TYPE_CHECKING:
    import aiohttp

__all__ = [
    "MAX_BYTES",
    "MAX_IN_MEMORY",
    "Downloaded",
    "Landing",
    "download",
    "land",
    "read_bytes",
    "safe_name",
]

MAX_BYTES = 8 << 30
"""The largest file that is downloaded unless the caller allows more (8 GiB)."""

MAX_IN_MEMORY = 256 << 20
"""The largest object that is read into memory unless the caller allows more (256 MiB)."""


# Two letters at least: one is a drive of Windows.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//?)")
_WEB = frozenset({"http", "https", "file", "ftp"})


@attrs.frozen(kw_only=True)
class Downloaded:
    """A finished download.

    Attributes:
        path: the file.
        size: bytes.
        sha256: hash of the content, hexadecimal; ``""`` when it was not asked for.
        seconds: how long the call took.
        location: where it lies, for people and logs: the file's absolute path; of a :class:`Stored` the object's URL.

    """

    path: Path
    size: int
    sha256: str
    seconds: float
    # Made now, not when it is asked for: the current folder may be another one by then.
    location: str = attrs.field(default=attrs.Factory(lambda self: _absolute(self.path), takes_self=True))


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - Path.absolute() leaves ".." in


async def download(
    session: aiohttp.ClientSession,
    url: str,
    target: str | os.PathLike[str],
    *,
    refresh: Callable[[], Awaitable[str]] | None = None,
    clock: Clock,
    timeouts: Timeouts,
    max_bytes: int = MAX_BYTES,
    progress: ProgressHook | None = None,
    emit: Callable[[Event], None] | None = None,
    overwrite: bool = False,
    attempts: int = 5,
    base_delay: float = 0.5,
    media: bool = True,
    digest: bool = False,
    proxy_for: Callable[[str], str | None] | None = None,
    inside: str = "",
) -> Downloaded:
    """Fetch *url* into the file *target*, which is complete or not there at all. Missing folders are made.

    Should *target* be a folder, or end like one, the file *inside* it is meant. A URL is refused.

    The bytes go to ``<target>.part`` first. A transfer that is cut goes on where it stopped, also in a later
    call and after a crash, if the server says that it is the same object (ETag or Last-Modified, and length);
    else it starts again. A URL that is refused (401, 403, 404, 410, or a page instead of a file) is renewed
    by *refresh*. Progress is told in bytes received. See :class:`Fetching` for *attempts*, *base_delay*,
    *media* and *proxy_for*. *digest* computes the SHA-256 as well, which at local speeds costs a third of the rate.

    Raises:
        InvalidRequest: before any byte is fetched: the target exists (and not *overwrite*), is a folder or a URL,
            cannot be written, or is being downloaded by another call or process.
        LinkExpired: the URL is dead and so is the one *refresh* gave.
        DownloadFailed: anything else; the ``.part`` file stays when it can be gone on with.

    """
    begun = clock.monotonic()
    how = Fetching(
        session=session,
        clock=clock,
        timeouts=timeouts,
        refresh=refresh,
        max_bytes=max_bytes,
        attempts=attempts,
        base_delay=base_delay,
        media=media,
        proxy_for=proxy_for,
    )
    part = await acquire(checked(target, inside), overwrite=overwrite, digest=digest, inside=inside)
    await land(how, url, part, progress=progress, emit=emit)
    return Downloaded(path=part.target, size=part.have, sha256=part.sha256, seconds=clock.monotonic() - begun)


class Landing(Sink, Protocol):
    """A sink that ends as a file. Its methods block; what they raise ends the download.

    Attributes:
        target: the file.
        finished: whether it is whole and has its name.

    """

    target: Path
    finished: bool

    def finish(self) -> object:
        """Everything is written: make it durable, and give it its name."""
        ...

    def close(self) -> None:
        """Let go of what is open, of a download that did not end."""
        ...


async def land(
    how: Fetching,
    url: str,
    landing: Landing,
    *,
    progress: ProgressHook | None = None,
    emit: Callable[[Event], None] | None = None,
) -> None:
    """Fetch *url* into *landing*; raises what :class:`Fetch` and *landing* raise."""
    try:
        meter = Meter("down", landing.target.name, landing.identity.total, progress=progress, emit=emit)
        await Fetch(how, url, landing, meter, finish=landing.finish, files=True).run()
    finally:
        if not landing.finished:
            await finished(in_file_thread(landing.close))


async def read_bytes(
    session: aiohttp.ClientSession,
    url: str,
    *,
    refresh: Callable[[], Awaitable[str]] | None = None,
    clock: Clock,
    timeouts: Timeouts,
    max_bytes: int = MAX_IN_MEMORY,
    attempts: int = 5,
    base_delay: float = 0.5,
    media: bool = True,
    proxy_for: Callable[[str], str | None] | None = None,
) -> bytes:
    """The object at *url* in memory, resumed and renewed as by :func:`download`; raises as it does."""
    how = Fetching(
        session=session,
        clock=clock,
        timeouts=timeouts,
        refresh=refresh,
        max_bytes=max_bytes,
        attempts=attempts,
        base_delay=base_delay,
        media=media,
        proxy_for=proxy_for,
    )
    sink = _Memory()
    await Fetch(how, url, sink, Meter("down", "the result", None), files=True).run()
    return b"".join(sink.pieces)


class _Memory:
    """A sink in memory."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.have = 0
        self.identity = Identity()

    def begin(self, identity: Identity) -> None:
        self.pieces.clear()
        self.have = 0
        self.identity = identity

    def back(self, count: int) -> None:
        whole = b"".join(self.pieces)[: self.have - count]
        self.pieces = [whole]
        self.have = len(whole)

    def write(self, pieces: list[bytes]) -> None:
        self.pieces += pieces
        self.have += sum(map(len, pieces))


def checked(target: str | os.PathLike[str], inside: str = "") -> Path:
    """The file that is meant by *target*; of a folder it is the one called *inside*, if folders are allowed at all."""
    text = os.fspath(target)
    if not isinstance(text, str) or not text:
        raise InvalidRequest("the target must be a path as text")
    _check_no_url(text)
    if text.endswith(("/", os.sep)) or not Path(text).name:
        if inside:
            return Path(text, inside)
        raise InvalidRequest(f"{text}: is a directory, a file name is needed")
    return Path(text)


def _check_no_url(text: str) -> None:
    """Refuse what would make a folder called ``http:``. In a :class:`Path` one of the slashes is gone."""
    found = _URL.match(text)
    if found is None:
        return
    scheme = found[1]
    store = is_store_url(f"{scheme}://")
    if found[2] == "//" or store or scheme.lower() in _WEB:
        raise InvalidRequest(
            f"{scheme[:20]}:// found; a file's path, or in save() also an s3://, oss://, gs:// or az:// URL allowed",
            hint="Give the URL as text: a Path loses one of its slashes." if store else "",
        )


async def acquire(target: Path, *, overwrite: bool, digest: bool, inside: str = "") -> PartFile:
    future = in_file_thread(
        partial(PartFile.acquire, target, overwrite=overwrite, digest=digest, inside=inside)
    )
    try:
        part: PartFile = await finished(future)
    except asyncio.CancelledError:
        if future.exception() is None:
            future.result().close()
        raise
    return part
