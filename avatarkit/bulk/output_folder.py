"""A folder of the file system as a place for results. What is written there survives a power cut, with its folders."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import stat
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from avatarkit.bulk.output_places import (
    NOTES,
    SIDECAR,
    Claim,
    Held,
    Owner,
    judged,
    note_of,
    noted,
    owner_in,
)
from avatarkit.errors import ConfigurationError, DownloadFailed
from avatarkit.transport.download import Downloaded
from avatarkit.transport.partfile import drop_twin
from avatarkit.transport.threads import in_thread

_IN_THE_WAY = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL}
_TIDIED = (0.0, 0.001, 0.01, 0.05, 0.2)  # seconds between two tries to make a claim in a folder that vanishes
T = TypeVar("T")


class Folder:
    """A folder of the file system. Files are made durable with their folders."""

    def __init__(self, path: str | os.PathLike[str], *, sidecar: bool = False) -> None:
        self._path = Path(path)
        self._sidecar = sidecar
        self._root: Path | None = None
        self._has_notes = False
        self._dropped: deque[tuple[str, Owner]] = deque()
        self._dropping: asyncio.Future[None] | None = None

    async def claim(self, name: str, owner: Owner) -> Claim:
        """See :class:`Place`. A name whose folder leads out of ours through a link is taken."""
        claim: Claim = await _guarded(lambda: self._claim(name, owner))
        return claim

    async def save(self, artifact: Any, name: str, *, overwrite: bool) -> Downloaded:
        """See :class:`Place`."""
        saved: Downloaded = await artifact.save(self._base() / name, overwrite=overwrite)
        return saved

    async def write(self, name: str, data: bytes) -> None:
        """See :class:`Place`."""
        await _guarded(lambda: _write(self._base() / name, data))

    async def release(self, name: str, owner: Owner) -> None:
        """See :class:`Place`. Claims that are dropped together share a way to a thread."""
        self._dropped.append((name, owner))
        while self._dropped:  # what came when the thread was about to end is for the next one
            if self._dropping is None or self._dropping.done():
                self._dropping = asyncio.ensure_future(in_thread(self._drop))
            await asyncio.shield(self._dropping)

    def _drop(self) -> None:
        while self._dropped:
            name, owner = self._dropped.popleft()
            note = self._base() / note_of(name)
            with contextlib.suppress(OSError):
                if owner_in(_read(note)).job == owner.job:
                    note.unlink()

    async def remove(self, name: str, owner: Owner) -> None:
        """See :class:`Place`."""

        def remove() -> None:
            root = self._base()
            with contextlib.suppress(OSError):
                note = root / note_of(name)
                if owner_in(_read(note)) == owner:
                    for path in (root / name, root / f"{name}{SIDECAR}", note):
                        path.unlink(missing_ok=True)

        await in_thread(remove)

    def location(self, name: str) -> str:
        """See :class:`Place`."""
        return ""

    async def aclose(self) -> None:
        """Remove the folder of claims when it is empty."""

        def clear() -> None:
            if self._root is not None:
                with contextlib.suppress(OSError):
                    (self._root / NOTES).rmdir()

        await in_thread(clear)

    def _base(self) -> Path:
        if self._root is None:
            _make(self._path)
            self._root = self._path.resolve()
        return self._root

    def _claim(self, name: str, owner: Owner) -> Claim:
        root = self._base()
        target, note = root / name, root / note_of(name)
        try:
            if "/" in name:
                if not target.parent.resolve().is_relative_to(root):
                    return Claim(Held.TAKEN)
                _make(target.parent)
            found = _stat(target)
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                return Claim(Held.TAKEN)
            raise
        free = found is None and not (self._sidecar and _stat(root / f"{name}{SIDECAR}") is not None)
        if free and self._make_claim(note, owner):
            return Claim(Held.FREE)
        made = _stat(note)
        if made is None:
            return Claim(Held.TAKEN)
        younger = (
            None if found is None else stat.S_ISREG(found.st_mode) and found.st_mtime_ns >= made.st_mtime_ns
        )
        try:
            held = owner_in(_read(note))
        except FileNotFoundError:
            return Claim(Held.TAKEN)  # it was dropped in this moment: what lies there is its owner's
        claim = judged(held, owner, younger=younger, size=found.st_size if found is not None else 0)
        if claim.held in (Held.FREE, Held.OLDER) and held != owner:
            _write(note, noted(owner))  # a file, which nobody else makes new: it can be replaced in one step
        if claim.held is Held.THERE:
            drop_twin(target)
        return claim

    def _make_claim(self, note: Path, owner: Owner) -> bool:
        """Whether the claim is made now; the folder of claims is seen to before the first, and when it has gone."""
        if not self._has_notes:
            self._open_notes(note.parent)
        for pause in _TIDIED:
            try:
                return _create(note, owner)
            except FileNotFoundError:
                # Another process that ends takes the folder away, where it is empty, as fast as it is made.
                time.sleep(pause)
                self._open_notes(note.parent)
        return _create(note, owner)

    def _open_notes(self, folder: Path) -> None:
        _make(folder)
        if folder.is_symlink():
            raise ConfigurationError(f"{folder}: a link found, a folder allowed")
        self._has_notes = True


async def _guarded(action: Callable[[], T]) -> T:
    """*action* in a thread; trouble with the disk may pass, and what was paid for is still at the provider."""
    try:
        result: T = await in_thread(action)
    except OSError as error:
        raise DownloadFailed(f"the result cannot be written ({error.strerror or error})") from None
    return result


def _stat(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _read(path: Path) -> bytes:
    """What a claim says."""
    with contextlib.suppress(OSError):
        return os.fsencode(os.readlink(path))  # noqa: PTH115 - one system call
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0))
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)


def _make(folder: Path) -> None:
    """Make *folder* and what is missing above it, durably."""
    if folder.is_dir():
        return
    missing = []
    at = folder
    while not at.exists():
        missing.append(at)
        at = at.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync(made.parent)


def _create(path: Path, owner: Owner) -> bool:
    """A new claim, or False when there is one.

    It is a link that leads nowhere and says whose it is, as editors lock files: made whole in one step, whenever the
    process is killed. Where there are no links it is a file. It is not flushed: after a power cut it may be gone; its
    file then counts as somebody else's, and the job's is fetched once more, under another name.
    """
    try:
        os.symlink(noted(owner).decode(), path)  # noqa: PTH211 - both are text already
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise
    except (OSError, NotImplementedError):
        return _create_file(path, owner)
    return True


def _create_file(path: Path, owner: Owner) -> bool:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        fd = os.open(path, flags, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(fd, noted(owner))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    return True


def _write(path: Path, data: bytes) -> None:
    """A durable file, whole or not there, in place of an older one."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
