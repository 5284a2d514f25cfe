"""The sandbox's files on disk: uploads as they come in, results as they go out, never whole in memory."""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import attrs

from avatarkit.protocol.fakewire import FakeFile
from avatarkit.transport.threads import in_thread

PIECE = 256 * 1024
_WRITE_SIZE = 1024 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
# A prime length, so that a resume at the wrong offset never happens to fit.
_BLOCK = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(2048))[:65_521]


class TooLarge(Exception):
    """The upload is larger than the sandbox takes."""


class FileStore:
    """A temporary folder that belongs to one sandbox and goes with it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="avatarkit-sandbox-"))
        self._names = 0

    def new_path(self, extension: str = "") -> Path:
        """A path nobody uses yet. Nothing in it comes from a request but a checked *extension*."""
        self._names += 1
        tail = f".{extension}" if re.fullmatch(r"[A-Za-z0-9]{1,8}", extension) else ""
        return self.folder / f"{self._names:08d}{tail}"

    async def receive(
        self, pieces: AsyncIterator[bytes], extension: str, limit: int
    ) -> tuple[Path, int, str]:
        """Write an upload; its path, size and SHA-256. Raises TooLarge past *limit* bytes."""
        path, digest, size, waiting = self.new_path(extension), hashlib.sha256(), 0, bytearray()
        file: BinaryIO = await in_thread(path.open, "wb")
        try:
            async for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise TooLarge
                digest.update(piece)
                waiting += piece
                if len(waiting) >= _WRITE_SIZE:
                    await in_thread(file.write, bytes(waiting))
                    waiting.clear()
            await in_thread(file.write, bytes(waiting))
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        await in_thread(file.close)
        return path, size, digest.hexdigest()

    async def read(self, file: FakeFile, offset: int, length: int) -> bytes:
        """A piece of a file; pieces of made-up files cost neither disk nor memory."""
        length = max(0, min(length, file.size - offset))
        if file.path is None:
            return made_up(file, offset, length)
        piece: bytes = await in_thread(_read, file.path, offset, length)
        return piece

    def remove(self) -> None:
        """Delete the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _read(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def made_up(file: FakeFile, offset: int, length: int) -> bytes:
    """Bytes of a file that was never written: a plausible head, then a pattern that fits only at its own offset."""
    head = _head(file)
    piece = head[offset : offset + length]
    while len(piece) < length:
        start = (offset + len(piece) - len(head)) % len(_BLOCK)
        piece += _BLOCK[start : start + length - len(piece)]
    return piece


def _head(file: FakeFile) -> bytes:
    name = file.id.encode()
    if file.extension == "mp3":
        return b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\xff\xfb\x90\x64" + name
    brand = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42"
    return brand + max(8, file.size - len(brand)).to_bytes(4, "big") + b"mdat" + name


@attrs.frozen
class Span:
    """What part of a file to serve: HTTP status 200, 206 or 416, and the bytes from start up to stop."""

    status: int
    start: int
    stop: int


def span_of(wanted: str | None, if_range: str | None, etag: str, size: int) -> Span:
    """The part that a Range header asks for; several ranges, or an If-Range that does not fit, give the whole."""
    match = _RANGE.fullmatch(wanted.strip()) if wanted else None
    if match is None or (if_range is not None and if_range.strip() != etag) or match.groups() == ("", ""):
        return Span(200, 0, size)
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
    if start >= size or start >= stop:
        return Span(416, 0, 0)
    return Span(206, start, stop)
