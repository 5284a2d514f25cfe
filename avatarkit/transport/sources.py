"""Local material: a path, bytes or a file object, made readable in pieces from worker threads."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeAlias

from avatarkit.errors import InvalidRequest
from avatarkit.models import UploadedFile
from avatarkit.transport.names import extension_of, safe_name
from avatarkit.transport.readers import PIECE, FileLock, MemoryReader, Reader, SharedFileReader, open_path
from avatarkit.transport.sniff import HEAD_BYTES, sniff
from avatarkit.transport.threads import in_a_thread, in_thread

Media: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | UploadedFile
"""What may be given where material is wanted: a URL or path, bytes, a binary file, an uploaded file."""

StatKey: TypeAlias = tuple[str, int, int, int]
"""Real path, size in bytes, mtime in nanoseconds, inode: changes whenever a file's content does."""

MAX_SPOOLED = 8 << 30
"""The most bytes taken from a stream that cannot seek."""

# A file changed within the same tick of its file system's clock (2 s on FAT) keeps its key.
_SETTLED_SECONDS = 2.0
_CACHED_DIGESTS = 4096
_digests: OrderedDict[StatKey, str] = OrderedDict()
_digests_lock = threading.Lock()


def is_url(media: object) -> bool:
    """Whether *media* is a string that begins with ``http://`` or ``https://``; any other is a path."""
    return isinstance(media, str) and media[:8].lower().startswith(("http://", "https://"))


class Source:
    """Local material that can be read as often as needed. Made by :func:`as_source`.

    Attributes:
        name: a file name for progress events, without folders.
        extension: lower case without dot, from the name or else from the first bytes; ``""`` when unknown.
        size: bytes. A file that has another length when it is read is reported as changed.
        path: the file's path, or None for bytes and file objects.
        key: identifies the content of a path without reading it; None for bytes and file objects.

    """

    def __init__(
        self,
        opener: Callable[[], Reader],
        *,
        name: str,
        extension: str,
        size: int,
        path: Path | None = None,
        key: StatKey | None = None,
    ) -> None:
        self._opener = opener
        self.name = name
        self.extension = extension
        self.size = size
        self.path = path
        self.key = key
        self.memo: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"Source(name={self.name!r}, extension={self.extension!r}, size={self.size})"

    def open(self) -> Reader:
        """A reader of its own position; blocking, so call it in a thread."""
        return self._opener()

    async def pieces(self, size: int = PIECE) -> AsyncGenerator[bytes, None]:
        """The whole content from the start, *size* bytes at a time, each read in a thread, one piece ahead.

        Raises InvalidRequest when the material became shorter since it was looked at.
        """
        reader: Reader = await in_thread(self.open)

        def fetch(offset: int) -> bytes:
            want = min(size, self.size - offset)
            data = reader.read(offset, want)
            if len(data) != want:
                raise InvalidRequest(f"{self.name}: the file became shorter while it was read")
            return data

        ahead = in_a_thread(fetch, 0)
        try:
            for offset in range(0, self.size, size):
                piece = await ahead
                if offset + size < self.size:
                    ahead = in_a_thread(fetch, offset + size)
                yield piece
        finally:
            ahead.cancel()
            reader.close()

    async def changed(self) -> bool:
        """Whether the file behind a path is not the one that was looked at; False for bytes and objects."""
        if self.path is None or self.key is None:
            return False
        try:
            return bool(await in_thread(_key_of, self.path) != self.key)
        except OSError:
            return True


async def as_source(media: Media, *, name: str | None = None) -> Source:
    """*media* as a :class:`Source`; everything that may block happens in a thread.

    *name* replaces the file's own name (and extension). Bytes must not be changed until the call that uses
    them is over. A file object is read from its current position, which is put back after each read; a stream
    that cannot seek is copied to a temporary file first (at most 8 GiB).

    Raises InvalidRequest for a URL, an :class:`UploadedFile`, a missing, empty or unreadable file, a folder.
    """
    if is_url(media) or isinstance(media, UploadedFile):
        raise InvalidRequest("a URL or an uploaded file is no local material; give a path, bytes or a file")
    if isinstance(media, bytes | bytearray | memoryview):
        return _from_memory(media, name)
    if isinstance(media, str | os.PathLike):
        source: Source = await in_thread(_from_path, media, name)
    else:
        source = await in_thread(_from_file, media, name)
    return source


async def fingerprint(source: Source) -> str:
    """SHA-256 of the content, hexadecimal. Known files are not read again as long as their key stays.

    Raises InvalidRequest when the material changed meanwhile.
    """
    known = source.memo.get("sha256") or (source.key and _digests.get(source.key))
    if known:
        return str(known)
    stop = threading.Event()
    try:
        digest = str(await in_thread(_digest, source, stop))
    finally:
        stop.set()
    source.memo["sha256"] = digest
    if source.key is not None and abs(time.time() - source.key[2] / 1e9) > _SETTLED_SECONDS:
        with _digests_lock:
            _digests[source.key] = digest
            while len(_digests) > _CACHED_DIGESTS:
                _digests.popitem(last=False)
    return digest


def _digest(source: Source, stop: threading.Event) -> str:
    digest = hashlib.sha256()
    reader = source.open()
    try:
        done = 0
        while done < source.size and not stop.is_set():
            data = reader.read(done, min(PIECE, source.size - done))
            if not data:
                raise InvalidRequest(f"{source.name}: the file became shorter while it was read")
            digest.update(data)
            done += len(data)
    finally:
        reader.close()
    return digest.hexdigest()


def _key_of(path: Path) -> StatKey:
    found = path.stat()
    return (os.path.realpath(path), found.st_size, found.st_mtime_ns, found.st_ino)


def _shown(given: str) -> str:
    return given if len(given) <= 200 else f"{given[:200]}…"


def _from_path(given: str | os.PathLike[str], name: str | None) -> Source:
    text = os.fspath(given)
    if not isinstance(text, str):
        raise InvalidRequest("a path must be text, not bytes")
    path, shown = Path(text), _shown(text)
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise InvalidRequest(f"{shown}: is a directory, a file is needed")
        if not stat.S_ISREG(found.st_mode):
            raise InvalidRequest(f"{shown}: is not a regular file")
        if found.st_size == 0:
            raise InvalidRequest(f"{shown}: the file is empty")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        key = _key_of(path)
    except FileNotFoundError as error:
        hint = "only http and https URLs are understood" if "://" in text else ""
        raise InvalidRequest(f"{shown}: no such file", hint=hint) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidRequest(f"{shown}: cannot be read ({reason})") from error
    own = safe_name(name or path.name, default="file")
    extension = extension_of(own) or sniff(head)
    return Source(lambda: open_path(path), name=own, extension=extension, size=key[1], path=path, key=key)


def _from_memory(data: bytes | bytearray | memoryview, name: str | None) -> Source:
    view = memoryview(data)
    view = view.cast("B") if view.c_contiguous else memoryview(bytes(view))
    if not view.nbytes:
        raise InvalidRequest("the bytes given are empty")
    return _named(lambda: MemoryReader(view), name, "", bytes(view[:HEAD_BYTES]), view.nbytes)


def _named(opener: Callable[[], Reader], name: str | None, own: str, head: bytes, size: int) -> Source:
    found = sniff(head)
    label = safe_name(name or own, default=f"data.{found}" if found else "data")
    return Source(opener, name=label, extension=extension_of(label) or found, size=size)


def _from_file(file: Any, name: str | None) -> Source:
    if isinstance(file, io.TextIOBase) or not callable(getattr(file, "read", None)):
        raise InvalidRequest(
            "material must be a URL, a path, bytes or a file opened in binary mode",
            hint="open the file with mode 'rb'",
        )
    given = getattr(file, "name", "")
    own = Path(given).name if isinstance(given, str) else ""
    try:
        start, size = _measure(file)
        spooled = start is None
        shared: IO[bytes] = _spool(file) if start is None else file
        if spooled:
            start, size = _measure(shared)
        opener = _shared_opener(shared, start or 0, size)
        reader = opener()
        head = reader.read(0, HEAD_BYTES) if size else b""
    except InvalidRequest:
        raise
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"{own or 'the file given'}: cannot be read ({error})") from error
    if not size:
        raise InvalidRequest(f"{own or 'the file given'}: nothing is left to read from it")
    source = _named(opener, name, own, head, size)
    if spooled:
        weakref.finalize(source, shared.close)
    return source


def _shared_opener(file: IO[bytes], start: int, size: int) -> Callable[[], Reader]:
    lock = FileLock.of(file)
    return lambda: SharedFileReader(file, lock, start, size)


def _measure(file: Any) -> tuple[int | None, int]:
    """Where the file stands and how much follows; (None, 0) when it cannot seek."""
    seekable = getattr(file, "seekable", None)
    if not (callable(seekable) and seekable() is True):
        return None, 0
    with FileLock.of(file):
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        if end is None:
            end = file.tell()
        file.seek(start)
    return int(start), max(0, int(end) - int(start))


def _spool(file: Any) -> IO[bytes]:
    spool: IO[bytes] = tempfile.TemporaryFile(prefix="avatarkit-")  # noqa: SIM115 - closed with its source
    try:
        while True:
            data = file.read(PIECE)
            if not data:
                break
            if not isinstance(data, bytes | bytearray | memoryview):
                raise InvalidRequest(f"the file given yields {type(data).__name__}, not bytes")
            spool.write(data)
            if spool.tell() > MAX_SPOOLED:
                raise InvalidRequest(f"the stream given is longer than {MAX_SPOOLED >> 30} GiB")
        spool.flush()
        spool.seek(0)
    except BaseException:
        spool.close()
        raise
    return spool
