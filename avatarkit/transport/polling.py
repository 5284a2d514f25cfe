"""The poll hub: the one object per account that looks at all waiting tasks.

Invariants:

1. A waiting task is a :class:`Watched` record: no thread, no coroutine, no timer of its own.
2. A record is looked at only while somebody waits for it, or while it holds a slot that a submission waits for.
3. A look that fails says nothing about the task. The hub goes on through outages; only the waiter's own time ends a
   wait. A refusal that repeats itself (no such task, credentials withdrawn) is handed to the waiters, and the
   handle stays good.
4. Looks yield to submissions: they start at the limiter's lowest priority.
5. A terminal status is final: it frees the slot once, wakes everyone, and is never overwritten.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import attrs

from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    ClientClosed,
    ProviderError,
    UnexpectedResponse,
)
from avatarkit.events import TaskLooked
from avatarkit.models import FailureReason, Snapshot, Status
from avatarkit.protocol.endpoint import TaskKind
from avatarkit.protocol.schedule import next_delay
from avatarkit.transport.crew import Crew
from avatarkit.transport.wheel import Wheel

if TYPE_CHECKING:
    from avatarkit.transport.account import Account
    from avatarkit.transport.driver import Driver

_logger = logging.getLogger("avatarkit")
_REFUSALS = 3  # the same refusal this often in a row is the answer
_EMPTY = 5  # "done, but without a result" this often in a row is a failure
_AT_ONCE = 0.001  # a wait shorter than this many seconds is none
_IN_A_ROW = 8  # looks at one task without a wait, before others have their turn
_POLL = 2  # the limiter's priority for looks


@attrs.define(eq=False, slots=True)
class Watched:
    """One task as the engine remembers it; outlives event loops.

    Attributes:
        born: monotonic second of the submission.
        born_wall: the same in seconds since 1970.
        size: what its duration scales with, or None.
        low: age at the last look that showed it unfinished.
        holds: whether it holds a slot of its kind's pool.

    """

    task_id: str
    kind: TaskKind
    born: float
    born_wall: float
    size: float | None = None
    marker: str = ""
    snapshot: Snapshot | None = None
    low: float = 0.0
    looks: int = 0
    refusals: int = 0
    empty: int = 0
    holds: bool = False
    scheduled: bool = False
    resumed: bool = False
    hub: PollHub | None = None
    waiter: asyncio.Future[bool] | None = None
    others: list[asyncio.Future[bool]] | None = None
    changes: list[asyncio.Future[bool]] | None = None

    @property
    def terminal(self) -> bool:
        """Whether the provider is done with it."""
        return self.snapshot is not None and self.snapshot.status.terminal


class PollHub:
    """Looks at an account's waiting tasks on one running loop."""

    def __init__(self, account: Account, driver: Driver) -> None:
        self._account = account
        self._driver = driver
        self._clock = account.clock
        self._crew: Crew[Watched] = Crew(
            driver.limiter, _POLL, driver.in_progress, wanted=self._wanted, do=self._look
        )
        self._ready = self._crew.queue
        self._wheel: Wheel[Watched | asyncio.Future[bool]] = Wheel(account.clock, self._fall_due)
        self._husks = 0  # timeouts in the wheel of waits that ended before
        self._closed = False

    # -- waiting

    async def wait(self, record: Watched, timeout: float | None, *, change: bool = False) -> bool:
        """Wait until *record* is terminal (or, with *change*, until its status changes).

        Returns False when *timeout* seconds passed first. Raises what the provider keeps answering when looks are
        refused.
        """
        if record.terminal:
            return True
        if timeout is not None and timeout <= 0:
            return False
        self.adopt(record)
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if timeout is not None:
            self._wheel.add(timeout, future)
        _enlist(record, future, change=change)
        self.watch(record)
        try:
            return await future
        finally:
            _strike(record, future)
            if timeout is not None:
                self._forget_timeout()
            if future.done() and not future.cancelled():
                future.exception()  # seen, also when the waiter was cancelled in the same turn

    def _forget_timeout(self) -> None:
        self._husks += 1
        if self._husks > 256 and self._husks * 2 > len(self._wheel):
            self._husks = 0
            self._wheel.keep(lambda item: item.__class__ is Watched or not item.done())  # type: ignore[union-attr]

    def adopt(self, record: Watched) -> None:
        """Take over a record that another loop's hub had: its futures died with that loop."""
        if record.hub is not self:
            record.hub = self
            record.scheduled = False
            record.waiter = record.others = record.changes = None

    def watch(self, record: Watched) -> None:
        """See to it that *record* is looked at."""
        if record.scheduled or record.terminal or self._closed:
            return
        record.scheduled = True
        if record.resumed and record.looks == 0:
            self._ready.append(record)
        else:
            self._reschedule(record)
        self._crew.hire()

    def watch_holders(self, pool: str) -> None:
        """A submission waits for a slot of *pool*: look at those that hold one, though nobody else waits."""
        for record in self._account.held.values():
            if record.kind.pool == pool:
                self.adopt(record)
                self.watch(record)

    def look_now(self, record: Watched) -> None:
        """Somebody heard that *record* changed (a callback): look at once."""
        self.adopt(record)
        if not record.terminal:
            record.scheduled = True
            self._ready.appendleft(record)
            self._crew.hire()

    def _delay(self, record: Watched, retry_after: float | None) -> float:
        account = self._account
        return next_delay(
            account.durations[record.kind.kind],
            self._clock.monotonic() - record.born,
            record.size,
            jitter=account.random.random(),
            retry_after=retry_after,
            shortest=account.poll_shortest,
            longest=account.poll_longest,
        )

    # -- looking

    def _fall_due(self, items: list[Watched | asyncio.Future[bool]]) -> None:
        for item in items:
            if item.__class__ is Watched:
                self._ready.append(item)
            elif not item.done():  # type: ignore[union-attr]
                item.set_result(False)  # type: ignore[union-attr]
        self._crew.hire()

    def _wanted(self, record: Watched) -> bool:
        """Whether to look at a record that is due; else it leaves the queue, until :meth:`watch` is called again."""
        snapshot = record.snapshot
        if snapshot is None or not snapshot.status.terminal:
            if record.waiter is not None or record.others or record.changes:
                return True
            if record.holds and self._account.slots_wanted(record.kind.pool):
                return True
        record.scheduled = False
        return False

    async def _look(self, record: Watched) -> None:
        try:
            request = record.kind.look(record.task_id)
            response = await self._driver.send(request)
            snapshot = request.read(response)
        except AvatarKitError as error:
            self._look_failed(record, error)
            return
        except Exception:
            # A defect of ours or of aiohttp's must not lose a paid task: say so, and look again later.
            _logger.exception("a look at task %s failed unexpectedly", record.task_id)
            record.looks += 1
            self._reschedule(record)
            return
        record.refusals = 0
        self.settle(record, snapshot)
        if record.scheduled:
            self._reschedule(record)

    def _look_failed(self, record: Watched, error: AvatarKitError) -> None:
        record.looks += 1
        retry_after = None
        refused = isinstance(error, ProviderError)
        if isinstance(error, ProviderError):
            retry_after = error.retry_after
            if error.http_status == 429 or retry_after is not None:
                self._driver.limiter.cool_down(retry_after or 1.0)
            refused = not (
                error.retryable or error.http_status >= 500 or isinstance(error, UnexpectedResponse)
            )
        record.refusals = record.refusals + 1 if refused else 0
        self._tell(record, str(error))
        if record.refusals >= _REFUSALS or isinstance(error, AuthenticationError):
            record.refusals = 0
            record.scheduled = False
            _wake(record, error)
            return
        self._reschedule(record, retry_after)

    def _reschedule(self, record: Watched, retry_after: float | None = None) -> None:
        delay = self._delay(record, retry_after)
        if delay < _AT_ONCE:
            # What is in hand goes first, while its memory is warm; bounded, so that nothing starves.
            if record.looks % _IN_A_ROW:
                self._ready.appendleft(record)
            else:
                self._ready.append(record)
        else:
            self._wheel.add(delay, record)

    def settle(self, record: Watched, snapshot: Snapshot) -> None:
        """Take note of what a look showed."""
        if record.terminal:
            return
        record.looks += 1
        age = self._clock.monotonic() - record.born
        terminal = snapshot.status.terminal
        if not terminal and snapshot.reason is FailureReason.NO_RESULT:
            record.empty += 1
            if record.empty >= _EMPTY:
                snapshot, terminal = attrs.evolve(snapshot, status=Status.FAILED), True
        before = record.snapshot.status if record.snapshot is not None else None
        record.snapshot = snapshot
        if not terminal:
            self._tell(record)
            record.low = age
            if snapshot.status is not before and record.changes:
                _wake_changes(record)
            return
        if snapshot.status is Status.SUCCEEDED and (record.looks > 1 or not record.resumed):
            self._account.durations[record.kind.kind].observe(record.low, age, record.size)
        self._tell(record)
        record.scheduled = False
        self._account.let_go(record)
        _wake(record, None)

    def _tell(self, record: Watched, error: str = "") -> None:
        account = self._account
        if account.hooks:
            account.emit(
                TaskLooked(
                    provider=account.spec.name,
                    kind=record.kind.kind.value,
                    task_id=record.task_id,
                    status=record.snapshot.status.value if record.snapshot else "",
                    age=self._clock.monotonic() - record.born,
                    looks=record.looks,
                    error=error,
                )
            )

    async def aclose(self) -> None:
        """Stop looking. Whoever waits gets ClientClosed; the tasks go on."""
        self._closed = True
        await self._crew.dismiss()
        left = [item for item in self._wheel.close() if isinstance(item, Watched)]
        for record in (*left, *self._ready):
            record.scheduled = False
            _wake(record, ClientClosed(f"the client was closed; task {record.task_id} goes on"))
        self._ready.clear()


def _enlist(record: Watched, future: asyncio.Future[bool], *, change: bool) -> None:
    if change:
        record.changes = [*(record.changes or ()), future]
    elif record.waiter is None:
        record.waiter = future
    else:
        record.others = [*(record.others or ()), future]


def _strike(record: Watched, future: asyncio.Future[bool]) -> None:
    if record.waiter is future:
        record.waiter = None
    elif record.others and future in record.others:
        record.others.remove(future)
    elif record.changes and future in record.changes:
        record.changes.remove(future)


def _wake_changes(record: Watched) -> None:
    changes, record.changes = record.changes, None
    for future in changes or ():
        if not future.done():
            future.set_result(True)


def _wake(record: Watched, error: AvatarKitError | None) -> None:
    waiting: list[Any] = [record.waiter, *(record.others or ()), *(record.changes or ())]
    record.waiter = record.others = record.changes = None
    for future in waiting:
        if future is None or future.done():
            continue
        if error is None:
            future.set_result(True)
        else:
            future.set_exception(error)
