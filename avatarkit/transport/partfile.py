"""The unfinished file of a download: ``<target>.part``, and beside it what is needed to go on later.

Everything here blocks and belongs in a thread. The part file is locked while it is written, so two downloads
never write the same one; the lock goes with its process, whatever way that ends.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import orjson

from avatarkit.errors import DownloadFailed, InvalidRequest
from avatarkit.transport.newfile import give_name, sync_folder, write_pieces
from avatarkit.transport.readers import PIECE

_MAX_NAME = 240


@attrs.frozen
class Identity:
    """What tells one object from another, however its URL is signed.

    Attributes:
        validator: a strong ETag, or else the Last-Modified date; ``""`` when the server gives neither.
        total: length in bytes, None when it is not told.

    """

    validator: str = ""
    total: int | None = None

    @property
    def resumable(self) -> bool:
        """Whether the rest can be asked for without risking a mixture of two objects."""
        return bool(self.validator) and self.total is not None


class PartFile:
    """One download's unfinished file, locked for us. Made by :meth:`acquire`; thread-safe.

    Attributes:
        have: bytes that are written.
        identity: the object they belong to.
        finished: whether the file has its name, and the lock is gone.
        sha256: of the finished file, hexadecimal; ``""`` when it was not asked for.

    """

    def __init__(self, target: Path, *, overwrite: bool, digest: bool, part: Path | None = None) -> None:
        self.target = target
        self.have = 0
        self.finished = False
        self.sha256 = ""
        self.identity = Identity()
        self._overwrite = overwrite
        self._hash = hashlib.sha256() if digest else None
        self.path, self._note = (
            _beside(target) if part is None else (part, part.with_name(f"{part.name}.json"))
        )
        self._noted = True  # whether there may be a note
        self._empty = False  # whether nothing is in the file for certain, and we stand at its beginning
        self._fd = -1
        self._lock = threading.Lock()

    @classmethod
    def acquire(
        cls,
        target: Path,
        *,
        overwrite: bool,
        digest: bool = True,
        inside: str = "",
        part: Path | None = None,
    ) -> PartFile:
        """Check the target, make its folders, lock the part file and read how far it is.

        *inside*: the file's name, should the target be a folder. *part*: the part file, when not beside the target.

        Raises InvalidRequest when the target cannot be written, exists, or is being downloaded already.
        """
        try:
            # System calls are dear here: each lets go of the interpreter's lock and has to get it back.
            if _is_taken(target, overwrite=overwrite, folder=bool(inside)):
                target = target / inside
                _is_taken(target, overwrite=overwrite)
            made = cls(target, overwrite=overwrite, digest=digest, part=part)
            try:
                made._open_locked()
            except FileNotFoundError:
                target.parent.mkdir(parents=True, exist_ok=True)
                made._open_locked()
        except (OSError, ValueError) as error:
            if isinstance(error, InvalidRequest):
                raise
            reason = getattr(error, "strerror", None) or str(error)
            raise InvalidRequest(f"{target}: cannot be written ({reason})") from error
        return made

    def write(self, pieces: list[bytes]) -> None:
        """Append *pieces*; raises DownloadFailed when the disk refuses."""
        with self._lock, self._guarded():
            if self.have:
                self._write_note()
            self._empty = False
            write_pieces(self._fd, pieces)
            for piece in pieces:
                if self._hash is not None:
                    self._hash.update(piece)
            self.have += sum(map(len, pieces))

    def begin(self, identity: Identity) -> None:
        """Drop what was written: the bytes that follow are the first ones of *identity*."""
        with self._lock, self._guarded():
            self._check_ours()
            # The note goes first: bytes of one object must never lie beside the note of another.
            self._drop_note()
            self._cut(0)
            self.identity = identity

    def back(self, count: int) -> None:
        """Drop the last *count* bytes."""
        with self._lock, self._guarded():
            self._cut(max(0, self.have - count))

    def finish(self) -> str:
        """Make the file durable and give it its name; returns its SHA-256 or ``""``.

        Raises InvalidRequest when the target appeared meanwhile; the bytes then stay in the part file.
        """
        with self._lock, self._guarded():
            os.fsync(self._fd)
            self._check_ours()
            if os.name == "nt":  # pragma: no cover - an open file cannot be renamed there
                self._close()
            self._rename()
            self._drop_note()
            sync_folder(self.target.parent)
            self._close()
            self.sha256 = self._hash.hexdigest() if self._hash is not None else ""
            self.finished = True
        return self.sha256

    def close(self) -> None:
        """Let go of the file and its lock. An empty part file is removed; any other stays."""
        with self._lock:
            try:
                if self._is_at_its_place():
                    self._leave()
            except OSError:
                pass  # nothing that a later download needs
            finally:
                self._close()

    def _leave(self) -> None:
        if self.have:
            self._write_note()
            return
        for path in (self._note, self.path):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _check_ours(self) -> None:
        """Before anything is done to the file by its name, or that cannot be taken back.

        Where locks do not reach all machines, as on some network file systems, another may have finished it meanwhile,
        or made one of its own.
        """
        if not self._is_at_its_place():
            raise DownloadFailed(f"{self.target.name}: its part file was taken away by another download")

    def _is_at_its_place(self) -> bool:
        if self._fd < 0:
            return False
        try:
            return os.path.samestat(os.fstat(self._fd), self.path.lstat())
        except FileNotFoundError:
            return False

    def _write_note(self) -> None:
        """Say what the bytes belong to, once there is more than one write of them: small files need no note."""
        if self._noted or not self.identity.resumable:
            return
        self._noted = True
        note = {"validator": self.identity.validator, "total": self.identity.total}
        self._note.write_bytes(orjson.dumps(note))

    def _drop_note(self) -> None:
        if self._noted:
            self._note.unlink(missing_ok=True)
            self._noted = False

    def _rename(self) -> None:
        if self._overwrite:
            self.path.replace(self.target)
            return
        try:
            give_name(self.path, self.target)
        except FileExistsError:
            raise InvalidRequest(f"{self.target}: appeared while it was downloaded") from None

    def _open_locked(self) -> None:
        """Open and lock the file, and see how far it is."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
        flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        for _ in range(10):
            self._fd = os.open(self.path, flags, 0o666)
            opened = os.fstat(self._fd)
            if not stat.S_ISREG(opened.st_mode):
                self._close()
                raise InvalidRequest(f"{self.path}: is in the way")
            if opened.st_nlink > 1:
                # Killed while it was renamed: this is a finished target too, and must not be written to.
                self._close()
                self.path.unlink(missing_ok=True)
                continue
            if not _try_lock(self._fd):
                self._close()
                raise InvalidRequest(f"{self.target}: is being downloaded already")
            try:
                if self._is_ours(opened):
                    return
            except BaseException:
                self._close()
                raise
            self._close()
        raise InvalidRequest(f"{self.target}: is being downloaded by others again and again")

    def _is_ours(self, opened: os.stat_result) -> bool:
        """Whether what was opened is still the part file, now that it is locked; if so, how far it is."""
        try:
            found = os.stat(self.path)  # noqa: PTH116 - see above
        except FileNotFoundError:
            return False
        # Between opening and locking, its former owner may have renamed the file to the target.
        if not os.path.samestat(opened, found):
            return False
        try:
            _is_taken(self.target, overwrite=self._overwrite)
        except InvalidRequest:
            if not found.st_size:
                self.path.unlink(missing_ok=True)  # it was made just now, for nothing
            raise
        self._resume(found.st_size)
        return True

    def _resume(self, size: int) -> None:
        self._empty = not size
        try:
            note = orjson.loads(self._note.read_bytes())
            identity = Identity(str(note["validator"]), int(note["total"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            self._noted = not isinstance(error, FileNotFoundError)
            identity = Identity()
        if not identity.resumable or size > (identity.total or 0):
            self._cut(0)
            return
        self.identity, self.have = identity, size
        self._rehash()

    def _cut(self, length: int) -> None:
        if self._empty:
            return
        self._check_ours()
        os.ftruncate(self._fd, length)
        self._empty = not length
        self.have = length
        self._rehash()

    def _rehash(self) -> None:
        """Hash what the file holds and stand at its end."""
        if self._hash is not None:
            os.lseek(self._fd, 0, os.SEEK_SET)
            self._hash = hashlib.sha256()
            while data := os.read(self._fd, PIECE):
                self._hash.update(data)
        os.lseek(self._fd, 0, os.SEEK_END)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise DownloadFailed(f"{self.target.name}: cannot be written ({reason})") from error


def drop_twin(target: Path, part: Path | None = None) -> None:
    """Remove the part file of the whole file *target* if both are one: its process was killed while it renamed.

    Blocks. Does nothing where the part file is another download's, and raises nothing.
    """
    path, note = _beside(target) if part is None else (part, part.with_name(f"{part.name}.json"))
    with contextlib.suppress(OSError):
        if os.path.samestat(path.lstat(), target.lstat()):
            note.unlink(missing_ok=True)
            path.unlink()


def _beside(target: Path) -> tuple[Path, Path]:
    """The part file of *target*, and its note."""
    stem = target.name if len(os.fsencode(target.name)) <= _MAX_NAME else _short(target.name)
    return target.with_name(f"{stem}.part"), target.with_name(f"{stem}.part.json")


def _short(name: str) -> str:
    tag = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return f"{os.fsencode(name)[:200].decode('utf-8', 'ignore')}.{tag}"


def _is_taken(target: Path, *, overwrite: bool, folder: bool = False) -> bool:
    """Whether a folder is there, which *folder* allows; raises InvalidRequest for all else that is in the way."""
    try:
        found = os.lstat(target)
    except FileNotFoundError:
        return False
    if target.is_dir():
        if folder:
            return True
        raise InvalidRequest(f"{target}: is a directory, a file name is needed")
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        raise InvalidRequest(f"{target}: is not a regular file")
    if not overwrite:
        raise InvalidRequest(f"{target}: exists already", hint="pass overwrite=True to replace it")
    return False


def _try_lock(fd: int) -> bool:
    """Whether nobody else holds the file. File systems without locks count as free."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
