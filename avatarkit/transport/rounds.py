"""Looking at all waiting tasks of a kind with few requests, where the provider lists or takes many ids.

Invariants:

1. One round of a kind is under way at a time; everybody who waits for that kind is served by it.
2. No second sees more than two requests of a kind's rounds, however many tasks wait; looks at single tasks that a
   round asks for are among them.
3. Below that, a round is due when the schedule says so for the task that is due first. Lists are read earlier where
   many wait: a look that shows a hundred tasks may come about five times as often as each one's own.
4. Where few wait they are asked for by their ids, where many wait lists are read, if the provider has both: its batch
   then takes ids and has several pages, and a request for more ids than it takes is a page of a list. Pages are read
   as long as they can be expected to save requests.
5. A task that no page showed is looked at by itself, at its own times: lists lag, shift, and leave tasks out. For up
   to a minute no list is read on its account. Such looks take half of the requests at most while lists are read.
6. A round that fails says nothing about any task. Where the provider refuses its lists, ids are asked for; where it
   refuses those or takes none, tasks are looked at one by one from then on, each at its own times.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from avatarkit.errors import AuthenticationError, AvatarKitError, ProviderError, UnexpectedResponse
from avatarkit.protocol.endpoint import Batch, BatchPage, TaskKind
from avatarkit.transport.pages import Outlook, Pages

if TYPE_CHECKING:
    from avatarkit.transport.polling import PollHub, Watched

_logger = logging.getLogger("avatarkit")
_PER_SECOND = 2  # requests of one kind's rounds
_SECOND = 1.02  # and a little for the way from here to the provider
_CHUNKS = 4  # requests of one round where ids are asked for; where more would be needed, lists are read
_EAGERNESS = 2.0  # seconds between lists, in multiples of what a look by itself would be worth
_STALE = 0.5  # of the time to its next look after which a task's schedule is made anew
_FORGIVEN = 60.0  # seconds until a task that no list showed is looked for in lists again
_POLL = 2  # the limiter's priority for looks


class Rounds:
    """The rounds of one kind of task. Loop thread only."""

    def __init__(self, hub: PollHub, kind: TaskKind, batch: Batch) -> None:
        self._hub = hub
        self._kind = kind
        self._batch = batch
        self._waiting: dict[str, Watched] = {}
        self._due: dict[str, float] = {}
        self._pull: dict[
            str, float
        ] = {}  # how much each wants lists to be read: about its chance to end this second
        self._fresh_until: dict[str, float] = {}  # what is shown before that keeps its schedule
        self._task: asyncio.Task[None] | None = None
        self._armed = math.inf
        self._sent: deque[float] = deque(maxlen=_PER_SECOND)
        self._lists_at = math.inf
        self._unseen: dict[str, set[str]] = {}  # by list, what it did not show
        self._unseen_until = 0.0
        self._lists = not batch.most or batch.pages > 1
        self._pages = Pages(batch.pages)
        self._single = False

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting(self) -> list[Watched]:
        """Everything that the next round is for."""
        return list(self._waiting.values())

    def add(self, record: Watched, *, delay: float) -> None:
        """Have the rounds look at *record*, which its own schedule wants to be looked at in *delay* seconds."""
        if self._single:
            self._hub.look_singly(record, delay)
            return
        now = self._hub.clock.monotonic()
        self._waiting[record.task_id] = record
        self._pages.keep(self._waiting)
        self._pages.expect(record.task_id, now=now)
        self._plan(record, delay, now)
        self._arm(now + delay)

    def _plan(self, record: Watched, delay: float, now: float) -> None:
        task_id = record.task_id
        self._due[task_id] = now + delay
        self._fresh_until[task_id] = now + delay * _STALE
        # A schedule's intervals go with one over the root of the chance to end (``protocol.schedule``).
        self._pull[task_id] = 1.0 / (0.5 if delay < 0.5 else delay) ** 2

    # -- when

    def _free_at(self) -> float:
        return self._sent[0] + _SECOND if len(self._sent) == _PER_SECOND else -math.inf

    async def _pace(self) -> None:
        """Wait until one more request is within the rate."""
        wait = self._free_at() - self._hub.clock.monotonic()
        if wait > 0.0:
            await self._hub.clock.sleep(wait)

    def _arm(self, at: float) -> None:
        if self._task is None and at < self._armed and (at := max(at, self._free_at())) < self._armed:
            self._armed = at
            self._hub.at(at - self._hub.clock.monotonic(), self)

    def fall_due(self) -> None:
        """The wheel says that a round may be due."""
        now = self._hub.clock.monotonic()
        if self._task is not None or now + 0.02 < self._armed or not self._waiting:
            return
        self._armed = math.inf
        self._task = asyncio.get_running_loop().create_task(self._round())
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            # A defect must not lose paid tasks: say so, and go on looking one by one.
            _logger.error("a round of looks failed unexpectedly", exc_info=error)
            self._go_single()
        if self._waiting:
            self._arm(min(self._lists_at, *self._due.values()))

    # -- a round

    async def _round(self) -> None:
        wanted = self._hub.wanted
        for record in [each for each in self._waiting.values() if not wanted(each)]:
            self._forget(record)
        if len(self._waiting) == 1:
            self._look_singly(*self.waiting)
            return
        missing = dict(self._waiting)
        try:
            if self._lists and len(missing) > self._batch.most * _CHUNKS:
                await self._from_lists(missing)
            else:
                self._lists_at = math.inf
                await self._by_ids(missing, _CHUNKS)
        except AvatarKitError as error:
            self._failed(error)

    async def _from_lists(self, missing: dict[str, Watched]) -> None:
        """Read lists when it is time, then look otherwise at what is due all the same."""
        now = self._hub.clock.monotonic()
        if now >= self._unseen_until:
            self._unseen.clear()
            self._unseen_until = now + _FORGIVEN
        due = [task_id for task_id, at in self._due.items() if at <= now]
        hidden = set[str]().union(*self._unseen.values()) if due else set()
        known, outlook = self._pages, self._pages.outlook(self._pull, now=now)
        lost = sum(task_id not in hidden and not known.page(task_id, now=now) for task_id in due)
        pages = 0
        try:
            # Some few are looked at by themselves rather than searched for.
            if len(outlook) > max(1, lost):
                pages = await self._read_best(outlook, missing, due)
                missing = {
                    task_id: missing[task_id]
                    for task_id in due
                    if task_id in missing and self._alone(task_id, outlook)
                }
            else:
                pages = await self._read_all(missing, now, due=not hidden.issuperset(due))
        except ProviderError as error:
            if not (self._batch.most and _refused(error)):
                raise
            self._lists = False
        now, at = self._hub.clock.monotonic(), self._due
        if not any(at.get(task_id, math.inf) <= now for task_id in missing):
            return
        if self._batch.most:
            await self._by_ids(missing, max(1, pages))
        else:
            await self._one_by_one(missing, max(_PER_SECOND, pages))

    def _alone(self, task_id: str, outlook: Outlook) -> bool:
        """Whether no page is expected to show the task, or none that shows another one."""
        return len(outlook.tasks.get(self._pages.page(task_id, now=outlook.now), ())) <= 1

    async def _read_best(self, outlook: Outlook, missing: dict[str, Watched], due: Sequence[str]) -> int:
        """Read the pages that are worth it, those that are worth most first; the number of pages."""
        pages, enough = self._pages, _EAGERNESS**2
        pages.keep(self._waiting)
        numbers = {pages.page(each, now=outlook.now) for each in due if not self._alone(each, outlook)}
        read, ids = outlook.best(_PER_SECOND, worth=enough, due=numbers), tuple(missing)
        self._lists_at = math.inf  # should a read fail, every task's own schedule goes on
        for number in read:
            await self._read(ids, number, missing, outlook.tasks[number])
        self._lists_at = outlook.later(read, worth=enough)
        return len(read)

    async def _read(
        self, ids: Sequence[str], number: int, missing: dict[str, Watched], expected: Sequence[str]
    ) -> BatchPage:
        page = await self._ask(ids, number)
        waiting = self._waiting
        # Places in several lists are not told apart, and in a list of one page there is nothing to choose.
        if len(self._unseen) <= 1 and (page.more or number > 1 or self._pages.known):
            born = {task_id: waiting[task_id].born for task_id in page.found if task_id in waiting}
            self._pages.shown(number, born, expected, now=self._hub.clock.monotonic())
        self._take(page, missing)
        return page

    async def _read_all(self, missing: dict[str, Watched], now: float, *, due: bool) -> int:
        """Read lists from the beginning when it is time; the number of pages."""
        if now < self._lists_at and not due:
            return 0
        self._lists_at = math.inf
        pages = await self._walk(missing)
        if pages:
            gap = _EAGERNESS * math.sqrt(pages / max(sum(self._pull.values()), 1e-9))
            self._lists_at = now + gap
        return pages

    async def _walk(self, missing: dict[str, Watched]) -> int:
        """Read lists, one after the other where tasks are spread over several; the number of pages."""
        pages, most, known = 0, self._batch.most, set[str]()
        while len(missing) > most:
            ids = tuple(missing)
            name = self._batch.request(ids, 1).endpoint.name
            unseen = self._unseen.setdefault(name, set())
            if name in known or missing.keys() <= unseen:
                break
            known.add(name)
            if len(self._unseen) > 1:
                self._pages.clear()
            for number in range(1, self._batch.pages + 1):
                page = await self._read(ids, number, missing, ())
                pages += 1
                unseen.difference_update(page.found)
                # So many would be cheaper to look at without the next page, which may not show them either.
                if not page.more or len(missing.keys() - unseen) <= number * max(most, 1):
                    break
            unseen.update(missing)
        return pages

    async def _by_ids(self, missing: dict[str, Watched], chunks: int) -> None:
        """Ask for those that are due first, with so many requests at most."""
        most = self._batch.most
        soonest = sorted(missing, key=lambda task_id: self._due.get(task_id, math.inf))[: most * chunks]
        for start in range(0, len(soonest), most):
            self._take(await self._ask(soonest[start : start + most], 1), missing)
        left = {task_id: missing[task_id] for task_id in soonest if task_id in missing}
        await self._one_by_one(left, max(_PER_SECOND, chunks))

    async def _one_by_one(self, missing: dict[str, Watched], most: int) -> None:
        """Have the hub look at those that are due, so many at most; the others stay due for the next round."""
        due = sorted(filter(self._is_due, missing), key=self._due.__getitem__)
        for task_id in due[:most]:
            await self._pace()
            if self._is_due(task_id):
                self._look_singly(missing[task_id])

    async def _ask(self, ids: Sequence[str], number: int) -> BatchPage:
        driver = self._hub.driver
        request = self._batch.request(ids, number)
        for attempt in (1, 2):
            await self._pace()
            await driver.turn(request.endpoint, _POLL)
            began = self._hub.clock.monotonic()
            self._sent.append(began)
            try:
                return request.read(await driver.send(request, attempt=attempt))
            except AvatarKitError as error:
                if attempt == 2 or not driver.renewal.cures(error, since=began):
                    raise
            finally:
                driver.limiter.done()
        raise AssertionError("unreachable")

    # -- what came of it

    def _take(self, page: BatchPage, missing: dict[str, Watched]) -> None:
        hub, now, fresh_until = self._hub, self._hub.clock.monotonic(), self._fresh_until
        settle = hub.settle
        for task_id, snapshot in page.found.items():
            record = missing.pop(task_id, None)
            if record is None:
                continue
            if settle(record, snapshot, now):
                self._forget(record)
            elif now >= fresh_until.get(task_id, math.inf):
                self._plan(record, hub.delay(record, now), now)

    def _is_due(self, task_id: str) -> bool:
        return self._due.get(task_id, math.inf) <= self._hub.clock.monotonic()

    def _forget(self, record: Watched) -> None:
        self._waiting.pop(record.task_id, None)
        self._due.pop(record.task_id, None)
        self._pull.pop(record.task_id, None)
        self._fresh_until.pop(record.task_id, None)

    def _look_singly(self, record: Watched) -> None:
        self._forget(record)
        self._sent.append(self._hub.clock.monotonic())
        self._hub.look_singly(record, 0.0)

    def _failed(self, error: AvatarKitError) -> None:
        now, wait = self._hub.clock.monotonic(), 1.0
        if isinstance(error, AuthenticationError):
            for record in self.waiting:
                self._forget(record)
                self._hub.give_up(record, error)
            return
        if isinstance(error, ProviderError):
            wait = error.retry_after or wait
            if error.http_status == 429:
                self._hub.driver.limiter.cool_down(wait)
            if _refused(error):
                self._go_single()
                return
        for task_id, record in self._waiting.items():
            # Every one's own schedule goes on from here, so that an outage is met with growing patience.
            self._due[task_id] = max(now + wait, now + self._hub.delay(record, now))

    def _go_single(self) -> None:
        self._single, now = True, self._hub.clock.monotonic()
        for record in self.waiting:
            self._forget(record)
            self._hub.look_singly(record, self._hub.delay(record, now))

    async def aclose(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


def _refused(error: ProviderError) -> bool:
    """Whether the provider will answer this request in no other way."""
    return not (
        error.retryable
        or error.http_status >= 500
        or isinstance(error, UnexpectedResponse | AuthenticationError)
    )
