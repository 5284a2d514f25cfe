"""A ledger in one SQLite file: for one process, on a local disk, with nothing to install.

Every method returns after its change is on the disk, safe from a power cut. One thread writes; changes that come
together share a flush. Another thread reads, so that a long list does not hold up a submission.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from avatarkit.bulk.moves import Move
from avatarkit.bulk.moves_store import MovesLedger
from avatarkit.bulk.sqlite_file import Opened, open_file
from avatarkit.bulk.sqlite_worker import Worker
from avatarkit.errors import ClientClosed, ForkedClient
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock
from avatarkit.transport.threads import hold_time, in_a_thread, in_thread

T = TypeVar("T")


class SteadyClock:
    """A clock that goes on from *start* and never back, also when the machine's is set back."""

    def __init__(self, clock: Clock, start: float = 0.0) -> None:
        self._clock = clock
        self._now = start
        self._ticks = clock.monotonic()
        self._mutex = threading.Lock()

    def now(self) -> float:
        """Seconds since 1970: the machine's time, or the largest there was and what passed since then."""
        with self._mutex:
            ticks = self._clock.monotonic()
            passed, self._ticks = max(0.0, ticks - self._ticks), ticks
            self._now = max(self._now + passed, self._clock.time())
            return self._now


class SqliteLedger(MovesLedger):
    """A :class:`~avatarkit.bulk.ledger.Ledger` in one file. Make one with :meth:`open`.

    It works on whatever event loop calls it, and may outlive loops. Errors of the disk are AvatarKitErrors that say
    what to do; nothing of the change that failed happened, and the ledger can be used on.
    """

    exclusive = True  # its lock sees to that

    def __init__(self, opened: Opened, clock: Clock) -> None:
        self.path = opened.path
        self._clock = SteadyClock(clock, opened.clock)
        self._pid = os.getpid()
        self._closed = False
        self._reader = Worker(opened.reader, opened.path, writes=False, at_end=_nothing)
        self._writer = Worker(opened.writer, opened.path, writes=True, at_end=opened.lock.release)
        # Whoever forgets to close it: the threads end when nobody can call any more.
        self._forgotten = weakref.finalize(self, _stop, self._reader, self._writer)

    @classmethod
    async def open(cls, path: str | os.PathLike[str], *, clock: Clock = SYSTEM_CLOCK) -> Self:
        """The ledger in the file *path*, which is made when it is not there (for the owner only, mode 0600).

        What an earlier process had in hand is handed out again.

        Raises ConfigurationError when another process has it, the file is no ledger, is damaged, or was written by a
        newer avatarkit, or lies on a network file system.
        """
        opening = in_a_thread(open_file, path, clock.time())
        try:
            opened = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise
        return cls(opened, clock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Carry out what was begun, and let the file go. Again does nothing."""
        self._closed = True
        if os.getpid() == self._pid:
            self._forgotten.detach()
            await in_thread(_end, self._reader, self._writer)

    async def now(self) -> float:
        """Seconds since 1970; never goes back, also over a restart."""
        return self._clock.now()

    def change(self, move: Callable[[], Move[T]]) -> asyncio.Future[T]:
        """Run a move in one durable transaction.

        Raises AvatarKitError when the disk is full or fails, ClientClosed after :meth:`aclose`.
        """
        return self._submit(self._writer, move)

    def read(self, move: Callable[[], Move[T]]) -> asyncio.Future[T]:
        """Run a move that changes nothing. Raises as :meth:`change` does."""
        return self._submit(self._reader, move)

    def _submit(self, worker: Worker, move: Callable[[], Move[T]]) -> asyncio.Future[T]:
        if self._closed:
            raise ClientClosed("this ledger is closed", hint="Open it again.")
        if os.getpid() != self._pid:
            raise ForkedClient("this ledger was opened before os.fork()", hint="Open one in the child.")
        future = worker.submit(move, self._clock.now())
        hold_time(future)
        return future


def _close_unwanted(opening: asyncio.Future[Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _stop(*workers: Worker) -> None:
    for worker in workers:
        worker.stop()


def _end(*workers: Worker) -> None:
    # One after the other: SQLite empties its journal into the file when the last connection is closed, and two that
    # close at the same moment both take the other for the last.
    for worker in workers:
        worker.stop()
        worker.join()


def _nothing() -> None:
    pass
