"""The poll hub: the one object per account that looks at all waiting tasks.

Invariants:

1. A waiting task is a :class:`Watched` record: no thread, no coroutine, no timer of its own.
2. A record is looked at only while somebody waits for it, or while it holds a slot that a submission waits for.
3. A look that fails says nothing about the task. The hub goes on through outages; only the waiter's own time ends a
   wait. A refusal that repeats itself (no such task, credentials withdrawn) is handed to the waiters, and the
   handle stays good.
4. Looks yield to submissions: they start at the limiter's lowest priority. Where the provider can show many tasks at
   once, they are looked at in rounds (``transport.rounds``).
5. A terminal status is final: it frees the slot once, wakes everyone, and is never overwritten.
6. A record has one place in the schedule (``transport.agenda``), however often a callback brings its look forward.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import attrs

from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    ClientClosed,
    ProviderError,
    UnexpectedResponse,
)
from avatarkit.events import TaskLooked
from avatarkit.models import FailureReason, Kind, Snapshot, Status
from avatarkit.protocol.schedule import next_delay
from avatarkit.transport.agenda import AT_ONCE, Agenda
from avatarkit.transport.crew import Crew
from avatarkit.transport.hints import Hints
from avatarkit.transport.rounds import Rounds
from avatarkit.transport.watched import Watched

if TYPE_CHECKING:
    from avatarkit.transport.account import Account
    from avatarkit.transport.driver import Driver

__all__ = ["PollHub", "Watched"]

_logger = logging.getLogger("avatarkit")
_REFUSALS = 3  # the same refusal this often in a row is the answer
_EMPTY = 5  # "done, but without a result" this often in a row is a failure
_IN_A_ROW = 8  # looks at one task without a wait, before others have their turn
_POLL = 2  # the limiter's priority for looks
_NO_RESULT = FailureReason.NO_RESULT  # compared for every row of a list, where its long name costs
# Seconds between two looks at one task that callbacks asked for: forged ones must not make a storm.
_APART = 1.0
_CHASES = 4  # looks, 1, 2, 4 and 8 s apart, while the vendor's callback is ahead of its own answers


class PollHub:
    """Looks at an account's waiting tasks on one running loop."""

    def __init__(self, account: Account, driver: Driver) -> None:
        self._account = account
        self._driver = driver
        self._clock = account.clock
        self._crew: Crew[Watched] = Crew(
            driver.limiter, _POLL, driver.in_progress, wanted=self._in_turn, do=self._look
        )
        self._agenda = Agenda(account.clock, self._crew.queue, self._crew.hire)
        self._closed = False
        self.driver = driver
        self.clock = account.clock
        self.hints = Hints()
        self._listening = False
        self._rounds = {
            kind.kind: Rounds(self, kind, kind.batch)
            for kind in account.kinds.values()
            if kind.batch is not None
        }

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
            self._agenda.expire(future, timeout)
        record.enlist(future, change=change)
        self.watch(record)
        try:
            return await future
        finally:
            record.strike(future)
            if timeout is not None:
                self._agenda.leave_husk()
            if future.done() and not future.cancelled():
                future.exception()  # seen, also when the waiter was cancelled in the same turn

    def end_of(self, record: Watched) -> asyncio.Future[bool]:
        """A future that is done when *record* is terminal, and fails as :meth:`wait` does. It has no time limit."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if record.terminal:
            future.set_result(True)
            return future
        self.adopt(record)
        record.enlist(future, change=False)
        self.watch(record)
        return future

    def adopt(self, record: Watched) -> None:
        """Take over a record that another loop's hub had, or none."""
        if record.hub is not self:
            record.adopt(self)
            if self._listening and self.hints.meet(record, self._clock.monotonic()):
                record.hinted, record.told = True, _CHASES

    def watch(self, record: Watched) -> None:
        """See to it that *record* is looked at."""
        if record.scheduled or record.terminal or self._closed:
            return
        record.scheduled = True
        if record.hinted:
            self._agenda.enqueue(record)
        elif record.resumed and record.looks == 0:
            self._take_up(record)
        else:
            self._reschedule(record)
        self._crew.hire()

    def _take_up(self, record: Watched) -> None:
        """See when to look at a task of another process's: at once, for it may have ended long ago.

        Many that are taken up together are shown by a few lists, where there are such; those that have only just been
        submitted then wait for their time, as in that process.
        """
        kind = record.kind.kind
        rounds, usual = self._rounds.get(kind), self._account.durations[kind].expected(record.size)
        if rounds is None:
            self._agenda.enqueue(record)
        elif self._clock.monotonic() - record.born < usual / 2:
            self._reschedule(record)
        else:
            rounds.add(record, delay=0.0)

    def watch_holders(self, pool: str) -> None:
        """A submission waits for a slot of *pool*: look at those that hold one, though nobody else waits."""
        for record in self._account.held.values():
            if record.kind.pool == pool:
                self.adopt(record)
                self.watch(record)

    def _listen(self) -> None:
        """From the first callback on tasks are known by their ids. Who gets no callbacks pays for no index."""
        self._listening = True
        now = self._clock.monotonic()
        rounds = [record for each in self._rounds.values() for record in each.waiting]
        for record in (*self._account.held.values(), *self._agenda, *rounds):
            if record.hub is self:
                self.hints.meet(record, now)

    def hint(self, kind: Kind | None, task_id: str, *, marker: str = "", ended: bool = True) -> bool:
        """A callback spoke of a task: look at it at once. Whether an unfinished task is meant that is known here.

        An event that says that a task *ended* is kept for a task that is not known yet; one that only says that it
        goes on matters to those who watch its changes.
        """
        if not self._listening:
            self._listen()
        known = self.hints.find(kind, task_id, marker)
        if ended and not known:
            self.hints.keep(kind, task_id, marker, self._clock.monotonic())
        unfinished = [record for record in known if not record.terminal]
        for record in unfinished:
            if ended:
                record.told = _CHASES
            if ended or record.changes:
                self.look_now(record)
        return bool(unfinished)

    def look_now(self, record: Watched) -> None:
        """Somebody heard that *record* changed: look at once, though not more often than once a second."""
        self.adopt(record)
        if record.terminal or self._closed or (record.queued and record.hinted):
            return
        record.hinted = record.scheduled = True
        if record.looking:
            return  # what it shows may be older than what was heard: another look follows it
        delay = self._hinted_delay(record)
        if delay > 0.0:
            self._agenda.put_off(record, delay)
        else:
            self._agenda.enqueue(record, first=True)
            self._crew.hire()

    def _hinted_delay(self, record: Watched) -> float:
        return max(0.0, record.hinted_look + _APART - self._clock.monotonic())

    def _in_turn(self, record: Watched) -> bool:
        """Whether to look at the record at the head of the queue; else it leaves the queue."""
        if not record.queued:
            return False  # it was looked at through a place nearer the front
        record.queued = self.wanted(record)
        return record.queued

    # -- looking

    def wanted(self, record: Watched) -> bool:
        """Whether to look at a record that is due; else it is not looked at until :meth:`watch` is called again."""
        snapshot = record.snapshot
        if snapshot is None or not snapshot.status.terminal:
            if record.hinted or record.waiter is not None or record.others or record.changes:
                return True
            if record.holds and self._account.slots_wanted(record.kind.pool):
                return True
        record.scheduled = False
        return False

    async def _ask(self, record: Watched) -> Snapshot:
        record.queued, record.looking = False, True
        if record.hinted:
            record.hinted, record.hinted_look = False, self._clock.monotonic()
        try:
            request = record.kind.look(record.task_id)
            return request.read(await self._driver.send(request))
        finally:
            record.looking = False

    async def _look(self, record: Watched) -> None:
        began = self._clock.monotonic()
        try:
            snapshot = await self._ask(record)
        except AvatarKitError as error:
            self._look_failed(record, error, began)
            return
        except Exception:
            # A defect of ours or of aiohttp's must not lose a paid task: say so, and look again later.
            _logger.exception("a look at task %s failed unexpectedly", record.task_id)
            record.looks += 1
            self._reschedule(record)
            return
        record.refusals = 0
        self.settle(record, snapshot, self._clock.monotonic())
        if record.scheduled:
            self._reschedule(record)

    def _look_failed(self, record: Watched, error: AvatarKitError, began: float) -> None:
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
        if record.refusals < _REFUSALS and self.driver.renewal.cures(error, since=began):
            self._agenda.enqueue(record)
            self._crew.hire()
            return
        if record.refusals >= _REFUSALS or isinstance(error, AuthenticationError):
            record.refusals = 0
            record.scheduled = False
            record.wake(error)
            return
        self._reschedule(record, retry_after)

    # -- what the rounds ask of the hub

    def at(self, delay: float, rounds: Rounds) -> None:
        """Call *rounds* in *delay* seconds."""
        self._agenda.call(rounds, delay)

    def delay(self, record: Watched, now: float, retry_after: float | None = None) -> float:
        """Seconds from *now* until *record*'s own schedule wants a look."""
        account, kind = self._account, record.kind.kind
        return next_delay(
            account.durations[kind],
            now - record.born,
            record.size,
            jitter=account.random.random(),
            retry_after=retry_after,
            tightness=self.hints.tightness(kind),
            shortest=account.poll_shortest,
            longest=account.poll_longest,
        )

    def look_singly(self, record: Watched, delay: float) -> None:
        """Look at *record* by itself in *delay* seconds."""
        if delay < AT_ONCE:
            self._agenda.enqueue(record)
            self._crew.hire()
        else:
            self._agenda.put_off(record, delay)

    def give_up(self, record: Watched, error: AvatarKitError) -> None:
        """Hand *error* to whoever waits for *record*; the handle stays good."""
        record.scheduled = False
        record.wake(error)

    # -- when to look again

    def _reschedule(self, record: Watched, retry_after: float | None = None) -> None:
        if record.hinted:
            self.look_singly(record, max(self._hinted_delay(record), retry_after or 0.0))
            return
        delay = self.delay(record, self._clock.monotonic(), retry_after)
        if record.told and record.looks:
            delay = max(min(delay, _APART * 2.0 ** (_CHASES - record.told)), retry_after or 0.0)
            record.told -= 1
        rounds = self._rounds.get(record.kind.kind)
        if rounds is not None:
            rounds.add(record, delay=delay)
        elif delay < AT_ONCE:
            # What is in hand goes first, while its memory is warm; bounded, so that nothing starves.
            self._agenda.enqueue(record, first=bool(record.looks % _IN_A_ROW))
        else:
            self._agenda.put_off(record, delay)

    def settle(self, record: Watched, snapshot: Snapshot, now: float) -> bool:
        """Take note of what a look showed at *now*; whether the task has ended."""
        before, status = record.snapshot, snapshot.status
        if before is not None and before.status.terminal:
            return True
        record.looks += 1
        age = now - record.born
        terminal = status.terminal
        if not terminal and snapshot.reason is _NO_RESULT:
            record.empty += 1
            if record.empty >= _EMPTY:
                snapshot, terminal = attrs.evolve(snapshot, status=Status.FAILED), True
        record.snapshot = snapshot
        if not terminal:
            if self._account.hooks:
                self._tell(record)
            record.low = age
            if record.changes and (before is None or status is not before.status):
                record.wake_changes()
            return False
        if record.looks > 1 or not record.resumed:  # else it may have ended long ago
            self.hints.ended(record.kind.kind, told=record.told > 0)
            if snapshot.status is Status.SUCCEEDED:
                self._account.durations[record.kind.kind].observe(record.low, age, record.size)
        self._tell(record)
        record.scheduled = record.hinted = False
        self._account.let_go(record)
        record.wake(None)
        return True

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
        left = self._agenda.close()
        for rounds in self._rounds.values():
            await rounds.aclose()
            left += rounds.waiting
        for record in (*left, *self._agenda.queue):
            record.scheduled = False
            record.wake(ClientClosed(f"the client was closed; task {record.task_id} goes on"))
        self._agenda.queue.clear()
