"""Looking into a SQLite ledger that another process may be working on, without its lock and without changing it."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

from avatarkit.bulk.moves import Move
from avatarkit.bulk.moves_store import MovesLedger
from avatarkit.bulk.schema import APPLICATION_ID, VERSION
from avatarkit.bulk.sqlite_file import drive, trouble
from avatarkit.errors import ConfigurationError
from avatarkit.transport.threads import in_thread

T = TypeVar("T")


class PeekedLedger(MovesLedger):
    """A :class:`~avatarkit.bulk.ledger.Ledger` that can be read only. Make one with :meth:`open`.

    It shows what was committed when it is asked, and never holds up whoever writes.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._mutex = threading.Lock()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """The ledger in the file *path*.

        Raises:
            ConfigurationError: there is none, it is no ledger of ours, is damaged, or has another version's tables.

        """
        return cls(path, await in_thread(_connected, path))

    async def aclose(self) -> None:
        """Let the file go; again does nothing."""
        await in_thread(self._connection.close)

    async def now(self) -> float:
        """The machine's time, seconds since 1970."""
        return time.time()

    async def change(self, move: Callable[[], Move[T]]) -> T:
        """Raises ConfigurationError: nothing is changed here."""
        raise ConfigurationError(f"{self.path} was opened for looking only")

    async def read(self, move: Callable[[], Move[T]]) -> T:
        """Run a move that changes nothing."""

        def work() -> T:
            with self._mutex:
                try:
                    self._connection.execute("BEGIN")
                    try:
                        return drive(self._connection, move(), time.time())
                    finally:
                        self._connection.execute("ROLLBACK")
                except sqlite3.Error as error:
                    raise trouble(error, self.path) from None

        found: T = await in_thread(work)
        return found


def _connected(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise ConfigurationError(f"there is no ledger {path}")
    # Read-only, so that closing it never empties the log of the process that writes.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=10.0,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise ConfigurationError(f"{path} is not an avatarkit ledger")
        rows = connection.execute("SELECT value FROM meta WHERE name = 'version'").fetchall()
        if rows != [(str(VERSION),)]:
            raise ConfigurationError(f"{path} has the tables of another version of avatarkit")
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.Error):
            if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB:
                raise ConfigurationError(f"{path} is not an avatarkit ledger") from None
            raise trouble(error, path) from None
        raise
    return connection
