"""Claims of names in a folder of the file system. Everything here blocks and belongs in a thread."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from pathlib import Path

from avatarkit.bulk.output_places import NOTES, SIDECAR, Claim, Held, Note, Owner, judged, note_of
from avatarkit.errors import ConfigurationError
from avatarkit.transport.newfile import sync_folder
from avatarkit.transport.partfile import drop_twin

_IN_THE_WAY = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL}
_PART = re.compile(r"([0-9a-f]{32}|\.[0-9a-f]{16})\.part(\.json)?")
_FORGOTTEN = 3600.0  # seconds after which nobody writes a part any more
_TIDIED = (0.0, 0.001, 0.01, 0.05, 0.2)  # seconds between two tries to make a claim in a folder that vanishes


class FolderClaims:
    """The claims in *root*, a real path.

    Attributes:
        begun: claims, by their own names, that may be there already.

    """

    def __init__(self, root: Path, *, sidecar: bool) -> None:
        self.root = root
        self.begun: set[str] = set()
        self._sidecar = sidecar
        self._has_notes = False
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self.begun.update(f"{NOTES}/{note.name}" for note in self._notes())

    def claim(self, name: str, owner: Owner, *, size: int | None = None, take: bool = True) -> Claim:
        """See :class:`Place`. A name whose folder leads out of ours through a link is taken.

        *size*: of the file, where it is known. *take*: whether a claim of the job's for an earlier task is taken over.
        """
        root = self.root
        target, note = root / name, root / note_of(name)
        try:
            if "/" in name:
                if not target.parent.resolve().is_relative_to(root):
                    return Claim(Held.TAKEN)
                make_folder(target.parent)
            found = _stat(target)
        except (RuntimeError, ValueError):  # links that lead in a circle; a name that no system has
            return Claim(Held.TAKEN)
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                return Claim(Held.TAKEN)
            raise
        free = found is None and not (self._sidecar and _stat(root / f"{name}{SIDECAR}") is not None)
        if free and self._make_claim(note, Note(owner, size)):
            return Claim(Held.FREE, new=True)
        try:
            claim, held = _judged(note, owner, target, found)
        except FileNotFoundError:
            return Claim(Held.TAKEN)  # it was dropped in this moment: what lies there is its owner's
        if take and claim.held in (Held.FREE, Held.OLDER) and held != owner:
            # A file, which nobody else makes new: it can be replaced in one step.
            write_over(note, Note(owner).to_bytes())
        if claim.held is Held.THERE:
            drop_twin(target, self.part_of(name))
        return claim

    def say_size(self, name: str, owner: Owner, size: int) -> None:
        """Have the owner's claim say how large its file is: from then on a file of this size counts as the owner's."""
        write_over(self.root / note_of(name), Note(owner, size).to_bytes())

    def part_of(self, name: str) -> Path:
        """Where the file *name* is written before it has its name: where no file of a user's can lie."""
        return self.root / f"{note_of(name)}.part"

    def is_forgotten(self, name: str) -> bool:
        """Whether nothing has come for *name* for so long that whoever fetches it must be frozen."""
        try:
            return _is_forgotten(self.part_of(name))
        except OSError:
            return False

    def drop(self, name: str, owner: Owner) -> None:
        """Drop the claim, if it is the owner's job's. Never raises for it."""
        note = note_of(name)
        path = self.root / note
        with contextlib.suppress(OSError):
            if Note.of(_read(path)).owner.job == owner.job:
                path.unlink()
                self.begun.discard(note)

    def remove(self, name: str, owner: Owner) -> None:
        """Remove the owner's file *name* with its sidecar and its claim; nothing else. Never raises for it."""
        target, note = self.root / name, self.root / note_of(name)
        with contextlib.suppress(OSError):
            claim, held = _judged(note, owner, target, _stat(target))
            if held == owner:
                if claim.held is Held.THERE:
                    target.unlink(missing_ok=True)
                    (self.root / f"{name}{SIDECAR}").unlink(missing_ok=True)
                note.unlink(missing_ok=True)

    def tidy(self, run: str) -> None:
        """Drop the claims of a run, by its hash, and what came of their files. Never raises for it."""
        with contextlib.suppress(OSError):
            for path in self._notes():
                with contextlib.suppress(OSError):
                    if ".part" not in path.suffixes and Note.of(_read(path)).owner.run == run:
                        path.unlink()
                        for part in (f"{path.name}.part", f"{path.name}.part.json"):
                            path.with_name(part).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the folder of claims when it is empty, but for parts that belong to no claim, and are old."""
        with contextlib.suppress(OSError):
            for path in self._notes():
                claim = path.with_name(path.name.partition(".part")[0])
                if _PART.fullmatch(path.name) and _stat(claim) is None and _is_forgotten(path):
                    path.unlink(missing_ok=True)
            (self.root / NOTES).rmdir()

    def _notes(self) -> list[Path]:
        """What lies in the folder of claims. What a link in its place leads to is none of ours."""
        folder = self.root / NOTES
        return [] if folder.is_symlink() else list(folder.iterdir())

    def _make_claim(self, note: Path, says: Note) -> bool:
        """Whether the claim is made now; the folder of claims is seen to before the first, and when it has gone."""
        if not self._has_notes:
            self._open_notes(note.parent)
        for pause in _TIDIED:
            try:
                return _create(note, says)
            except FileNotFoundError:
                # Another process that ends takes the folder away, where it is empty, as fast as it is made.
                time.sleep(pause)
                self._open_notes(note.parent)
        return _create(note, says)

    def _open_notes(self, folder: Path) -> None:
        make_folder(folder)
        if folder.is_symlink():
            raise ConfigurationError(f"{folder}: a link found, a folder allowed")
        self._has_notes = True


def _judged(note: Path, owner: Owner, target: Path, found: os.stat_result | None) -> tuple[Claim, Owner]:
    """What a claim says that was there before, or none where one should be; and whose it is."""
    made = _stat(note)
    if made is None:
        return Claim(Held.TAKEN), owner
    younger = None if found is None else stat.S_ISREG(found.st_mode) and found.st_mtime_ns >= made.st_mtime_ns
    says = Note.of(_read(note))
    size = found.st_size if found is not None else 0
    return judged(says, owner, younger=younger, size=size, sized=True), says.owner


def _is_forgotten(path: Path) -> bool:
    return time.time() - path.lstat().st_mtime > _FORGOTTEN


def _stat(path: Path) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def _read(path: Path) -> bytes:
    """What a claim says."""
    with contextlib.suppress(OSError):
        return os.fsencode(os.readlink(path))  # noqa: PTH115 - one system call
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    fd = os.open(path, flags | getattr(os, "O_BINARY", 0))
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


def _create(path: Path, says: Note) -> bool:
    """A new claim, or False when there is one.

    It is a link that leads nowhere and says whose it is, as editors lock files: made whole in one step, whenever the
    process is killed. Where there are no links it is a file. It is not flushed: after a power cut it may be gone; its
    file then counts as somebody else's, and the job's is fetched once more, under another name.
    """
    try:
        os.symlink(says.to_bytes().decode(), path)  # noqa: PTH211 - both are text already
    except FileExistsError:
        return False
    except FileNotFoundError:
        raise
    except (OSError, NotImplementedError):
        return _create_file(path, says)
    return True


def _create_file(path: Path, says: Note) -> bool:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        fd = os.open(path, flags, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(fd, says.to_bytes())
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
