"""Claims of names in a folder of the file system. Everything here blocks and belongs in a thread."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from pathlib import Path

from avatarkit.bulk.output_places import NOTES, SIDECAR, Claim, Held, Owner, judged, note_of, noted, owner_in
from avatarkit.errors import ConfigurationError
from avatarkit.transport.newfile import sync_folder
from avatarkit.transport.partfile import drop_twin

_IN_THE_WAY = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL}
_TIDIED = (0.0, 0.001, 0.01, 0.05, 0.2)  # seconds between two tries to make a claim in a folder that vanishes


class FolderClaims:
    """The claims in *root*, a real path.

    Attributes:
        begun: claims, by their own names, that were there before, or that outlived an attempt to use them.

    """

    def __init__(self, root: Path, *, sidecar: bool) -> None:
        self.root = root
        self.begun: set[str] = set()
        self._sidecar = sidecar
        self._has_notes = False
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.begun.update(f"{NOTES}/{note.name}" for note in (root / NOTES).iterdir())

    def claim(self, name: str, owner: Owner) -> Claim:
        """See :class:`Place`. A name whose folder leads out of ours through a link is taken."""
        root = self.root
        target, note = root / name, root / note_of(name)
        try:
            if "/" in name:
                if not target.parent.resolve().is_relative_to(root):
                    return Claim(Held.TAKEN)
                make_folder(target.parent)
            found = _stat(target)
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                return Claim(Held.TAKEN)
            raise
        free = found is None and not (self._sidecar and _stat(root / f"{name}{SIDECAR}") is not None)
        if free and self._make_claim(note, owner):
            return Claim(Held.FREE, new=True)
        return self._judged(note, owner, target, found)

    def _judged(self, note: Path, owner: Owner, target: Path, found: os.stat_result | None) -> Claim:
        """What a claim says that was there before, or none where one should be."""
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
            write_over(
                note, noted(owner)
            )  # a file, which nobody else makes new: it can be replaced in one step
        if claim.held is Held.THERE:
            drop_twin(target)
        return claim

    def drop(self, name: str, owner: Owner) -> None:
        """Drop the claim, if it is the owner's job's. Never raises for it."""
        note = note_of(name)
        path = self.root / note
        with contextlib.suppress(OSError):
            if owner_in(_read(path)).job == owner.job:
                path.unlink()
                self.begun.discard(note)

    def remove(self, name: str, owner: Owner) -> None:
        """Remove what lies at *name* with its claim, if that is the owner's. Never raises for it."""
        with contextlib.suppress(OSError):
            note = self.root / note_of(name)
            if owner_in(_read(note)) == owner:
                for path in (self.root / name, self.root / f"{name}{SIDECAR}", note):
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder of claims when it is empty."""
        with contextlib.suppress(OSError):
            (self.root / NOTES).rmdir()

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
        make_folder(folder)
        if folder.is_symlink():
            raise ConfigurationError(f"{folder}: a link found, a folder allowed")
        self._has_notes = True


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


def make_folder(folder: Path) -> None:
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
        sync_folder(made.parent)


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


def write_over(path: Path, data: bytes) -> None:
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
    sync_folder(path.parent)
