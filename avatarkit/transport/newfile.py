"""New files that are whole or not there, also after a power cut. Everything here blocks and belongs in a thread."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from pathlib import Path

_UNNAMED = getattr(os, "O_TMPFILE", 0)
_OPEN_FILES = "/proc/self/fd"
_MAX_VECTOR = 1000


def write_new(target: Path, pieces: Sequence[bytes], part: Path) -> None:
    """Write *pieces* as the new file *target*, durable with its entry in the folder.

    Where a file system knows no files without a name it is *part* first, which a process that is killed leaves there;
    an older one is replaced, and nobody else may write it at the same time.

    Raises FileExistsError when something has that name, OSError when it cannot be written; then nothing is left.
    """
    try:
        _write_unnamed(target, pieces)
    except FileExistsError:
        raise
    except OSError:
        # Of the disk, or of a file system that has no such files: what it is, the other way shows too.
        _write_named(target, pieces, part)
    sync_folder(target.parent)


def give_name(path: Path, target: Path) -> None:
    """Rename *path* to *target*, which must not be there: raises FileExistsError when it is."""
    try:
        os.link(path, target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: the look and the rename are two steps there.
        if os.path.lexists(target):
            raise FileExistsError(f"{target} exists") from None
        path.replace(target)
    else:
        path.unlink(missing_ok=True)


def write_pieces(fd: int, pieces: Sequence[bytes]) -> None:
    """Write all of *pieces*: in one call, unless a disk that is nearly full takes less."""
    done = os.writev(fd, pieces) if hasattr(os, "writev") and 0 < len(pieces) <= _MAX_VECTOR else 0
    if done != sum(map(len, pieces)):
        view = memoryview(b"".join(pieces))[done:]
        while view:
            view = view[os.write(fd, view) :]


def sync_folder(folder: Path) -> None:
    """Make names in *folder* durable: a rename survives a power cut only when its folder is synced too."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _write_unnamed(target: Path, pieces: Sequence[bytes]) -> None:
    """In a file without a name, of which nothing is left whenever the process is killed."""
    if not _UNNAMED:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    fd = os.open(target.parent, os.O_WRONLY | _UNNAMED | os.O_CLOEXEC, 0o666)
    try:
        write_pieces(fd, pieces)
        os.fsync(fd)
        # Only with a descriptor given for the source, which counts for nothing here, does Python follow the link.
        os.link(f"{_OPEN_FILES}/{fd}", target, src_dir_fd=fd, follow_symlinks=True)
    finally:
        os.close(fd)


def _write_named(target: Path, pieces: Sequence[bytes], part: Path) -> None:
    part.unlink(missing_ok=True)  # not cut: it may be another name of a file that was finished
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    fd = os.open(part, flags, 0o666)
    try:
        try:
            write_pieces(fd, pieces)
            os.fsync(fd)
        finally:
            os.close(fd)
        give_name(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
