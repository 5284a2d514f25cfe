"""Where results of a run go, and who owns a name there: a folder, or a prefix in an object store.

Before a file is written its name is claimed, in a small note below ``.avatarkit``, which goes when the ledger knows the
file. So an attempt that was killed finds what it had written, two jobs never write one file, and what lay there before
is never touched. A file counts as the claimant's when it is not older than the claim: both ages are of one clock.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import hashlib
import os
import secrets
import stat
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import attrs
import orjson

from avatarkit.bulk.naming import folded
from avatarkit.errors import AvatarKitError, ConfigurationError, DownloadFailed, UploadFailed
from avatarkit.transport.clock import in_thread
from avatarkit.transport.download import Downloaded
from avatarkit.transport.store_urls import parse_location
from avatarkit.transport.stores import Bucket, translated

NOTES = ".avatarkit"
"""The folder of claims. No result is ever named so, for names do not begin with a dot."""

SIDECAR = ".json"
_IN_THE_WAY = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL}
_UNKNOWN_CONDITION = (400, 405, 501)
T = TypeVar("T")


@attrs.frozen
class Owner:
    """Who claims a name, as hashes: the job in its run, and the task whose result it is."""

    job: str
    task: str

    @classmethod
    def of(cls, run: str, key: str, task_id: str) -> Owner:
        """The owner for a job's task."""
        return cls(_hash(f"{run}\0{key}"), _hash(task_id))


class Held(enum.Enum):
    """What claiming a name showed."""

    FREE = "free"
    """It is ours now, and nothing is there."""
    THERE = "there"
    """It is ours, and so is the whole file of this task that is there."""
    OLDER = "older"
    """It is ours, and what is there is this job's, of an earlier task: it may be replaced."""
    TAKEN = "taken"
    """It is somebody else's."""


@attrs.frozen
class Claim:
    """The answer to a claim; *size* in bytes of what is there."""

    held: Held
    size: int = 0


class Place(Protocol):
    """Somewhere results go. Names are relative, with ``/`` between their parts."""

    async def claim(self, name: str, owner: Owner) -> Claim:
        """Try to have *name*. Raises DownloadFailed when the place does not work now."""
        ...

    async def save(self, artifact: Any, name: str, *, overwrite: bool) -> Downloaded:
        """Write *artifact* to *name*, whole or not at all; raises as its ``save`` does."""
        ...

    async def write(self, name: str, data: bytes) -> None:
        """Write a small file, whole or not at all, over an older one."""
        ...

    async def release(self, name: str, owner: Owner) -> None:
        """Drop the claim. What does not work is left for good: a claim left over does no harm."""
        ...

    def location(self, name: str) -> str:
        """Where *name* lies, for people; ``""`` for a path below the folder."""
        ...

    async def aclose(self) -> None:
        """Let go of what is open."""
        ...


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _note_of(name: str) -> str:
    return f"{NOTES}/{_hash(folded(name))}"


def _owner_in(data: bytes) -> Owner:
    try:
        note = orjson.loads(data)
        return Owner(str(note["job"]), str(note["task"]))
    except (ValueError, KeyError, TypeError):
        return Owner("", "")


def _judged(held: Owner, owner: Owner, *, younger: bool | None, size: int) -> Claim:
    """What an older claim means; *younger* whether the file is not older than it, None when there is none."""
    if held.job != owner.job or younger is False:
        return Claim(Held.TAKEN)
    if younger is None:
        return Claim(Held.FREE)
    return Claim(Held.THERE if held.task == owner.task else Held.OLDER, size)


class Folder:
    """A folder of the file system. Files are made durable with their folders."""

    def __init__(self, path: str | os.PathLike[str], *, sidecar: bool = False) -> None:
        self._path = Path(path)
        self._sidecar = sidecar
        self._root: Path | None = None

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
        """See :class:`Place`."""

        def release() -> None:
            note = self._base() / _note_of(name)
            with contextlib.suppress(OSError):
                if _owner_in(note.read_bytes()).job == owner.job:
                    note.unlink()

        await in_thread(release)

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
        target, note = root / name, root / _note_of(name)
        try:
            if not target.parent.resolve().is_relative_to(root):
                return Claim(Held.TAKEN)
            _make(target.parent)
            found = _stat(target)
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                return Claim(Held.TAKEN)
            raise
        made = _stat(note)
        if made is None:
            if found is not None or (self._sidecar and _stat(root / f"{name}{SIDECAR}") is not None):
                return Claim(Held.TAKEN)
            self._open_notes(note.parent)
            if _create(note, owner):
                return Claim(Held.FREE)
            made = _stat(note)
        if made is None:
            return Claim(Held.TAKEN)
        younger = (
            None if found is None else stat.S_ISREG(found.st_mode) and found.st_mtime_ns >= made.st_mtime_ns
        )
        held = _owner_in(note.read_bytes())
        claim = _judged(held, owner, younger=younger, size=found.st_size if found is not None else 0)
        if claim.held in (Held.FREE, Held.OLDER) and held != owner:
            _write(note, _noted(owner))
        return claim

    def _open_notes(self, folder: Path) -> None:
        _make(folder)
        if folder.is_symlink():
            raise ConfigurationError(f"{folder}: a link found, a folder allowed")


class StoreFolder:
    """A prefix in an object store.

    Args:
        out: URL as ``AsyncVideo.save`` takes it, or a prefix when *store* is given.
        store: a store object of obstore's.

    Raises:
        ConfigurationError, MissingExtra: it cannot be used.

    """

    def __init__(self, out: str, store: Any = None) -> None:
        self._base, mark, query = out.partition("?")
        self._base = self._base.rstrip("/") + "/" if self._base.strip("/") else ""
        self._query = mark + query
        self._given = store
        where = None if store is not None else parse_location(out)
        self._prefix = self._base if where is None else where.path.rstrip("/") + "/" if where.path else ""
        self._bucket = Bucket(store if where is None else where)

    async def claim(self, name: str, owner: Owner) -> Claim:
        """See :class:`Place`."""
        claim: Claim = await self._guarded(lambda: self._claim(name, owner))
        return claim

    async def save(self, artifact: Any, name: str, *, overwrite: bool) -> Downloaded:
        """See :class:`Place`."""
        path = f"{self._base}{name}{self._query}"
        saved: Downloaded = await artifact.save(path, store=self._given, overwrite=overwrite)
        return saved

    async def write(self, name: str, data: bytes) -> None:
        """See :class:`Place`."""

        async def pieces() -> AsyncGenerator[bytes, None]:
            yield data

        try:
            await self._bucket.put(f"{self._prefix}{name}", pieces(), "application/json")
        except UploadFailed as error:
            raise DownloadFailed(str(error)) from None

    async def release(self, name: str, owner: Owner) -> None:
        """See :class:`Place`."""

        def release() -> None:
            store, _ = self._bucket.stores()
            key = f"{self._prefix}{_note_of(name)}"
            if _owner_in(bytes(store.get(key).bytes())).job == owner.job:
                store.delete(key)

        with contextlib.suppress(AvatarKitError):
            await self._guarded(release)

    def location(self, name: str) -> str:
        """See :class:`Place`."""
        return f"{self._bucket}/{self._prefix}{name}"

    async def aclose(self) -> None:
        """Let the store's threads go."""
        await self._bucket.aclose()

    def _claim(self, name: str, owner: Owner) -> Claim:
        store, _ = self._bucket.stores()
        target, note = f"{self._prefix}{name}", f"{self._prefix}{_note_of(name)}"
        held, made = _got(store, note)
        found = _headed(store, target)
        if made is None:
            if found is not None:
                return Claim(Held.TAKEN)
            if self._create(store, note, owner):
                return Claim(Held.FREE)
            held, made = _got(store, note)
        if made is None:
            return Claim(Held.TAKEN)
        younger = None if found is None else found["last_modified"] >= made["last_modified"]
        claim = _judged(held, owner, younger=younger, size=int(found["size"]) if found else 0)
        if claim.held in (Held.FREE, Held.OLDER) and held != owner:
            store.put(note, _noted(owner))
        return claim

    def _create(self, store: Any, note: str, owner: Owner) -> bool:
        """Write the claim unless there is one; where the store knows no such condition, write it and look."""
        from obstore.exceptions import AlreadyExistsError, NotSupportedError

        try:
            store.put(note, _noted(owner), mode="create")
        except AlreadyExistsError:
            return False
        except NotSupportedError:
            pass
        except Exception as error:
            failure = translated(error, str(self._bucket))
            if getattr(failure, "http_status", 0) not in _UNKNOWN_CONDITION:
                raise
        else:
            return True
        store.put(note, _noted(owner))
        return _got(store, note)[0] == owner

    async def _guarded(self, action: Callable[[], T]) -> T:
        """*action* in a thread. obstore's errors quote requests, so they are replaced."""
        failure: AvatarKitError
        try:
            result: T = await in_thread(action)
        except AvatarKitError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever obstore raises
            failure = translated(error, str(self._bucket))
            if isinstance(failure, UploadFailed):
                failure = DownloadFailed(str(failure))
        else:
            return result
        raise failure


async def _guarded(action: Callable[[], T]) -> T:
    """*action* in a thread; trouble with the disk may pass, and what was paid for is still at the provider."""
    try:
        result: T = await in_thread(action)
    except OSError as error:
        raise DownloadFailed(f"the result cannot be written ({error.strerror or error})") from None
    return result


def _noted(owner: Owner) -> bytes:
    return orjson.dumps({"job": owner.job, "task": owner.task})


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def _make(folder: Path) -> None:
    """Make *folder* and what is missing above it, durably."""
    missing = []
    at = folder
    while not at.exists():
        missing.append(at)
        at = at.parent
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        _sync(made.parent)


def _create(path: Path, owner: Owner) -> bool:
    """A durable new file, or False when there is one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    try:
        fd = os.open(path, flags, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(fd, _noted(owner))
        os.fsync(fd)
    finally:
        os.close(fd)
    _sync(path.parent)
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


def _got(store: Any, key: str) -> tuple[Owner, Any]:
    try:
        found = store.get(key)
    except FileNotFoundError:
        return Owner("", ""), None
    return _owner_in(bytes(found.bytes())), found.meta


def _headed(store: Any, key: str) -> Any:
    try:
        return store.head(key)
    except FileNotFoundError:
        return None
