"""The file of a SQLite ledger: whose it is, who has it, and how it is opened."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any, TypeVar

import attrs

from avatarkit.bulk.moves import Move
from avatarkit.bulk.moves_jobs import unhand
from avatarkit.bulk.schema import APPLICATION_ID, SQLITE, upgrade
from avatarkit.errors import AvatarKitError, ConfigurationError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

T = TypeVar("T")

_OLDEST = (3, 35, 0)  # RETURNING, UPDATE … FROM and MATERIALIZED
_MAGIC = b"SQLite format 3\x00"
_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = re.compile(
    r"(fuse\.)?(nfs\d?|cifs|smb\d?|smbfs|sshfs|9p|afs|ceph|glusterfs|lustre|gpfs|beegfs|s3fs|rclone|gcsfuse|davfs2?"
    r"|ncpfs|vboxsf|prl_fs|grpcfuse|osxfs|juicefs|blobfuse2?)"
)
_PARAMETER = re.compile(r"'(?:[^']|'')*'|:([a-z_][a-z0-9_]*)", re.IGNORECASE)  # or text in quotes
_COUNT = " RETURNING 1"


def trouble(error: sqlite3.Error, path: Path) -> AvatarKitError:
    """What an error of SQLite means for who uses the ledger."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return AvatarKitError(
            f"the disk is full: {path} could not be written",
            hint="Make room. What was recorded before is safe, and the ledger can be used at once.",
        )
    if code == sqlite3.SQLITE_IOERR:
        return AvatarKitError(
            f"the disk failed: {path}: {error}",
            hint="Look at the machine's disk. What was recorded before it failed is still there.",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return AvatarKitError(
            f"another program holds {path}",
            hint="Close what has the file open, such as a database viewer that is editing it.",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return ConfigurationError(
            f"{path} is damaged: {error}",
            hint="Restore a copy, or try `sqlite3 FILE .recover`. Do not begin anew: what runs would be paid twice.",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return ConfigurationError(f"{path} cannot be opened for writing: {error}")
    return AvatarKitError(f"the ledger {path} could not carry this out: {error}")


class FileLock:
    """An operating system's lock on a file beside the ledger: one process at a time. It ends with its process."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._new = not self._path.exists()
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            self._lock()
        except OSError:
            owner = os.pread(self._file, 200, 0) if hasattr(os, "pread") else b""
            os.close(self._file)
            shown = "".join(c for c in owner.decode("utf-8", "replace") if c.isprintable())
            who = f" by {shown}" if shown else ""
            raise ConfigurationError(
                f"the ledger {path} is in use{who}",
                hint="Wait until that is over, or stop it. A ledger for several processes is one in PostgreSQL.",
            ) from None
        os.ftruncate(self._file, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.write(self._file, f"process {os.getpid()} on {socket.gethostname()} since {since}".encode())

    def _lock(self) -> None:
        if sys.platform == "win32":
            os.lseek(self._file, 1 << 20, os.SEEK_SET)  # behind the text, which others may then read
            msvcrt.locking(self._file, msvcrt.LK_NBLCK, 1)
            os.lseek(self._file, 0, os.SEEK_SET)
        else:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self, *, remove: bool = False) -> None:
        """Let others have it; again does nothing. *remove*: there is no ledger, so the lock's file goes if it was new.

        Else it stays: whoever comes by the same name must find the same file.
        """
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            if remove and self._new:
                with contextlib.suppress(OSError):  # Windows keeps what is open
                    self._path.unlink()
            os.close(self._file)
            self._file = -1


def network_kind(path: Path, mounts: Path = _MOUNTS) -> str:
    """The kind of network file system *path* is on; empty when it is on none, or nothing is known."""
    text = str(path)
    if text.startswith(("\\\\", "//")):
        return "network share"
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        words, tail = fields.split(), rest.split()
        if len(words) < 5 or not tail:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), words[4])
        inside = text == point or text.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, tail[0]
    return kind if _NETWORK.fullmatch(kind) else ""


def _check_place(path: Path) -> None:
    """Raise ConfigurationError where no ledger can be kept."""
    if sqlite3.sqlite_version_info < _OLDEST:
        raise ConfigurationError(f"SQLite {sqlite3.sqlite_version} is too old; 3.35 or newer is needed")
    if not path.parent.is_dir():
        raise ConfigurationError(f"there is no folder {path.parent}")
    if kind := network_kind(path):
        raise ConfigurationError(
            f"{path} is on a network file system ({kind}), where SQLite loses data",
            hint="Put the ledger on a local disk, or use one in PostgreSQL.",
        )


def _check_file(path: Path) -> None:
    """Raise ConfigurationError unless *path* can become a ledger or looks like one. Changes nothing.

    Only with the lock in hand: to close a file that SQLite has open too takes away this process's own locks on it.
    """
    if not path.exists() or (path.is_file() and path.stat().st_size == 0):
        return
    if not path.is_file():
        raise ConfigurationError(f"{path} is not a file")
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    mark = int.from_bytes(header[68:72], "big")
    if not header.startswith(_MAGIC) or mark != APPLICATION_ID:
        raise ConfigurationError(
            f"{path} is not an avatarkit ledger", hint="Name another file; this one was not touched."
        )


@attrs.frozen
class Opened:
    """An open ledger: its lock, a connection that writes, one that reads, and the largest time in it."""

    path: Path
    lock: FileLock
    writer: sqlite3.Connection
    reader: sqlite3.Connection
    clock: float

    def close(self) -> None:
        """Let all go."""
        self.reader.close()
        self.writer.close()
        self.lock.release()


def open_file(name: str | os.PathLike[str], now: float) -> Opened:
    """Open or make the ledger *name*. *now*: the machine's time. Blocks.

    Raises ConfigurationError when it is in use, not ours, newer, damaged, or in a place where it cannot be kept.
    """
    path = Path(os.path.realpath(name))
    _check_place(path)
    try:
        lock = FileLock(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be locked: {error.strerror}") from None
    try:
        _check_file(path)
    except ConfigurationError:
        lock.release(remove=True)
        raise
    connections: list[sqlite3.Connection] = []
    try:
        with contextlib.suppress(FileExistsError):  # its journal gets the same mode from SQLite
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        writer = _connect(path, connections)
        clock = _prepare(writer, now)
        reader = _connect(path, connections)
        reader.execute("PRAGMA query_only = 1")
        return Opened(path, lock, writer, reader, clock)
    except BaseException as error:
        for connection in connections:
            connection.close()
        lock.release()
        if isinstance(error, sqlite3.Error):
            raise trouble(error, path) from None
        if isinstance(error, OSError):
            raise ConfigurationError(f"{path} cannot be opened: {error.strerror}") from None
        raise


def _connect(path: Path, opened: list[sqlite3.Connection]) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=10.0, isolation_level=None, check_same_thread=False, cached_statements=128
    )
    opened.append(connection)
    if not path.stat().st_size:
        # Before anything else, and not in the journal, so that the file says whose it is from its first byte on.
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
        raise ConfigurationError(f"SQLite cannot keep a write-ahead log for {path}")
    connection.execute("PRAGMA synchronous = FULL")
    if sys.platform == "darwin":  # where fsync does not reach the disk
        connection.execute("PRAGMA fullfsync = 1")
        connection.execute("PRAGMA checkpoint_fullfsync = 1")
    connection.execute(
        "PRAGMA wal_autocheckpoint = 4000"
    )  # 16 MB: pages that change often are copied less often
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA journal_size_limit = 67108864")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA trusted_schema = 0")
    return connection


def _prepare(writer: sqlite3.Connection, now: float) -> float:
    """Bring the tables up to date and take back what an earlier process had in hand; gives the largest time stored."""
    writer.execute("BEGIN IMMEDIATE")
    drive(writer, upgrade(), now)
    rows = writer.execute("SELECT value FROM meta WHERE name = 'clock'").fetchall()
    if not rows:
        writer.execute("INSERT INTO meta (name, value) VALUES ('clock', '0')")
    clock = max(now, float(rows[0][0]) if rows else 0.0)
    drive(writer, unhand(), clock)
    writer.execute("COMMIT")
    return clock


@functools.lru_cache(maxsize=512)
def _prepared(sql: str) -> tuple[str, tuple[str, ...], bool]:
    """*sql* as SQLite gets it, whose values it takes in which order, and whether it tells how many rows it changed.

    Each name that SQLite is asked for, and each step that gives a row, lets go of the interpreter's lock, and a busy
    event loop takes it: so parameters are told by their place, and what is only to be counted is not given as rows.
    """
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0]
        names.append(found[1])
        return "?"

    text = _PARAMETER.sub(place, SQLITE.fill(sql))
    counts = text.startswith("UPDATE ") and text.endswith(_COUNT)
    return text.removesuffix(_COUNT) if counts else text, tuple(names), counts


def drive(connection: sqlite3.Connection, move: Move[T], now: float) -> T:
    """Carry out the statements of *move*; gives what it returns."""
    params: dict[str, Any]
    try:
        sql, params = next(move)
        while True:
            text, names, counts = _prepared(sql)
            params["now"] = now
            cursor = connection.execute(text, [params[name] for name in names])
            sql, params = move.send([(1,)] * cursor.rowcount if counts else cursor.fetchall())
    except StopIteration as end:
        value: T = end.value
        return value
