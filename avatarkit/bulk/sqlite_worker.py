"""A thread that has one connection and carries out moves on it, many in one transaction.

Moves that wait together are committed together: a commit costs a flush of the disk, however much is in it. Their
callers are told after the commit, all those of one event loop by one wake-up.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs

from avatarkit.bulk.moves import Again, Move
from avatarkit.bulk.sqlite_file import drive, trouble
from avatarkit.errors import ClientClosed
from avatarkit.transport.threads import Turns

T = TypeVar("T")

_MOST = 1000  # moves in one transaction
_AGAIN = 10
_UNCALLED = (
    1.0  # seconds after which the thread looks by itself: a loop may end in the turn in which it gave a move
)

_Outcome = tuple[Any, BaseException | None]


@attrs.define(eq=False)
class _Call:
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    make: Callable[[], Move[Any]]
    now: float


class Worker:
    """Carries out moves. *writes*: whether they may change something; *at_end* is called when the thread ends."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, *, writes: bool, at_end: Callable[[], object]
    ) -> None:
        self._connection = connection
        self._path = path
        self._writes = writes
        self._at_end = at_end
        self._calls: deque[_Call] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopped = self._over = False
        self._turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = weakref.WeakKeyDictionary()
        name = f"avatarkit-ledger-{'writer' if writes else 'reader'}"
        # A daemon: what is not committed when the interpreter ends was not promised to anybody.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, make: Callable[[], Move[T]], now: float) -> asyncio.Future[T]:
        """Have a move carried out at the time *now*; its future is of the running loop.

        It is carried out also when the caller is cancelled. The thread is called when the loop has given all that it
        has to give now: so more is committed together, and the two do not wrestle for the interpreter.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._calls.append(_Call(loop, future, make, now))
        turns = self._turns.get(loop)
        if turns is None:
            turns = self._turns[loop] = Turns(partial(self._bell.put, None))
        turns.more()
        if self._over:
            self._refuse()
        return future

    def stop(self) -> None:
        """End the thread once what waits is done, called or not."""
        self._stopped = True
        self._bell.put(None)

    def join(self) -> None:
        """Wait for the thread's end."""
        self._thread.join()

    # -- on the thread

    def _run(self) -> None:
        try:
            while batch := self._next():
                self._carry_out(batch)
                del batch  # what the callers gave must not live until somebody else calls
        finally:
            self._connection.close()
            self._at_end()
            self._over = True  # before the look: whoever comes behind it looks by himself
            self._refuse()

    def _next(self) -> list[_Call]:
        """The moves that wait now; none means the end."""
        while not self._calls and not self._stopped:
            with contextlib.suppress(queue.Empty):
                self._bell.get(timeout=_UNCALLED)
        batch: list[_Call] = []
        with contextlib.suppress(IndexError):
            while len(batch) < _MOST:
                batch.append(self._calls.popleft())
        return batch

    def _refuse(self) -> None:
        """Tell those who came too late."""
        closed = ClientClosed("this ledger was closed", hint="Open it again.")
        while self._calls:
            with contextlib.suppress(
                IndexError, RuntimeError
            ):  # of a loop that was closed: nobody waits there
                call = self._calls.popleft()
                call.loop.call_soon_threadsafe(_tell, [(call.future, (None, closed))])

    def _carry_out(self, batch: Sequence[_Call]) -> None:
        outcomes = self._together(batch) or self._apart(batch)
        told: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], _Outcome]]] = {}
        for call, outcome in zip(batch, outcomes, strict=True):
            told.setdefault(call.loop, []).append((call.future, outcome))
        for loop, pairs in told.items():
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, pairs)

    def _together(self, batch: Sequence[_Call]) -> list[_Outcome]:
        """All in one transaction, as if none could fail; nothing when one did."""
        connection = self._connection
        try:
            self._begin()
            before = connection.total_changes
            outcomes: list[_Outcome] = [(drive(connection, call.make(), call.now), None) for call in batch]
            self._commit(batch, before)
        except Exception:  # noqa: BLE001 - whatever it was, it happens again to the move it belongs to
            self._roll_back()
            return []
        return outcomes

    def _apart(self, batch: Sequence[_Call]) -> list[_Outcome]:
        """Each behind a savepoint: one that raises undoes only itself."""
        outcomes: list[_Outcome] = []
        try:
            self._begin()
            before = self._connection.total_changes
            outcomes.extend(self._one(call) for call in batch)
            self._commit(batch, before)
        except Exception as error:  # noqa: BLE001 - it is told to the callers
            self._roll_back()
            # Nothing of it happened, but what a move said by itself is still true.
            lost = trouble(error, self._path) if isinstance(error, sqlite3.Error) else error
            told = [*outcomes, *[(None, None)] * (len(batch) - len(outcomes))]
            return [(None, failed or lost) for _, failed in told]
        return outcomes

    def _one(self, call: _Call) -> _Outcome:
        connection = self._connection
        for _ in range(_AGAIN):
            connection.execute("SAVEPOINT one")
            try:
                value = drive(connection, call.make(), call.now)
            except Exception as error:
                if not connection.in_transaction:
                    raise  # SQLite gave up the whole transaction
                connection.execute("ROLLBACK TO one")
                connection.execute("RELEASE one")
                if isinstance(error, Again):
                    continue
                return None, trouble(error, self._path) if isinstance(error, sqlite3.Error) else error
            connection.execute("RELEASE one")
            return value, None
        raise AssertionError("a move asks again and again, and nobody else writes")

    def _begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE" if self._writes else "BEGIN")

    def _commit(self, batch: Sequence[_Call], before: int) -> None:
        connection = self._connection
        # What changed nothing costs no flush.
        if connection.total_changes != before:
            largest = repr(max(call.now for call in batch))
            connection.execute("UPDATE meta SET value = ? WHERE name = 'clock'", (largest,))
        connection.execute("COMMIT")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")


def _tell(pairs: Sequence[tuple[asyncio.Future[Any], _Outcome]]) -> None:
    for future, (value, error) in pairs:
        if future.done():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
