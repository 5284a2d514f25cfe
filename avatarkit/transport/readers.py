"""Blocking readers behind a source; each may be used from any thread and closed from the loop."""

from __future__ import annotations

import io
import threading
import weakref
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

PIECE = 1 << 20
"""Bytes read, written and sent at a time: large enough to make a thread's hop cheap (1 MiB)."""


class Reader(Protocol):
    """Reads at any offset. Blocking; meant for worker threads."""

    def read(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes from *offset*; fewer only at the end."""
        ...

    def close(self) -> None:
        """Let go. Never blocks, also while another thread is inside :meth:`read`, which then finishes."""
        ...


class FileLock:
    """One lock per file object, however many sources are made from it."""

    _by_file: ClassVar[weakref.WeakKeyDictionary[Any, threading.Lock]] = weakref.WeakKeyDictionary()
    _spare = threading.Lock()

    @classmethod
    def of(cls, file: Any) -> threading.Lock:
        """The lock of *file*; objects that allow no weak reference share one."""
        try:
            return cls._by_file.setdefault(file, threading.Lock())
        except TypeError:
            return cls._spare


class MemoryReader:
    """Reads bytes that are in memory."""

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def read(self, offset: int, size: int) -> bytes:
        """A copy of the part asked for."""
        return bytes(self._view[offset : offset + size])

    def close(self) -> None:
        """Nothing to let go of."""


class SharedFileReader:
    """Reads a seekable file that belongs to somebody else: its position is put back after each read."""

    def __init__(self, file: IO[bytes], lock: threading.Lock, start: int, size: int) -> None:
        self._file = file
        self._lock = lock
        self._start = start
        self._size = size

    def read(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes counted from where the file stood at first."""
        with self._lock:
            before = self._file.tell()
            try:
                self._file.seek(self._start + offset)
                return _fill(self._file, min(size, self._size - offset))
            finally:
                self._file.seek(before)

    def close(self) -> None:
        """The file stays open: it is its owner's."""


class PathReader:
    """Reads a file it opened itself."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._leaving = False

    def read(self, offset: int, size: int) -> bytes:
        """Up to *size* bytes from *offset*."""
        with self._lock:
            if self._file.closed:
                return b""
            try:
                self._file.seek(offset)
                return _fill(self._file, size)
            finally:
                if self._leaving:
                    self._file.close()

    def close(self) -> None:
        """Close the file, or leave that to the read that is under way."""
        self._leaving = True
        if self._lock.acquire(blocking=False):
            try:
                self._file.close()
            finally:
                self._lock.release()


def open_path(path: Path) -> PathReader:
    """A reader of the file at *path*; raises OSError."""
    return PathReader(io.FileIO(path, "rb"))


def _fill(file: Any, size: int) -> bytes:
    """Raw reads may come short; go on until *size* or the end."""
    data: bytes = file.read(size) or b""
    if len(data) >= size or not data:
        return bytes(data)
    parts, count = [bytes(data)], len(data)
    while count < size and (more := file.read(size - count)):
        parts.append(bytes(more))
        count += len(more)
    return b"".join(parts)
