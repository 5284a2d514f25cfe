"""Looking at all waiting tasks of a kind with few requests, where the provider lists or takes many ids.

Invariants:

1. One round of a kind is under way at a time; everybody who waits for that kind is served by it.
2. The next round is due when the schedule says so for the task that is due first, but rounds never cost more than
   two requests a second on average, however many tasks wait.
3. A task that no page showed is looked at by itself, at its own times: lists lag, shift, and leave tasks out.
4. A round that fails says nothing about any task. Where the provider refuses the batch itself, tasks are looked at
   one by one from then on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from avatarkit.errors import AuthenticationError, AvatarKitError, ProviderError, UnexpectedResponse
from avatarkit.protocol.endpoint import Batch, BatchPage, TaskKind

if TYPE_CHECKING:
    from avatarkit.transport.polling import PollHub, Watched

_logger = logging.getLogger("avatarkit")
_PER_REQUEST = 0.5  # seconds between rounds for each request the last one took
_CHUNKS = 8  # requests of one round where ids are asked for
_POLL = 2  # the limiter's priority for looks


class Rounds:
    """The rounds of one kind of task. Loop thread only."""

    def __init__(self, hub: PollHub, kind: TaskKind, batch: Batch) -> None:
        self._hub = hub
        self._kind = kind
        self._batch = batch
        self._waiting: dict[str, Watched] = {}
        self._due: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._armed = float("inf")
        self._not_before = 0.0
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
        self._due[record.task_id] = now + delay
        self._arm(max(now + delay, self._not_before))

    def _arm(self, at: float) -> None:
        if self._task is None and at < self._armed:
            self._armed = at
            self._hub.at(at - self._hub.clock.monotonic(), self)

    def fall_due(self) -> None:
        """The wheel says that a round may be due."""
        now = self._hub.clock.monotonic()
        if self._task is not None or now + 0.02 < self._armed or not self._waiting:
            return
        self._armed = float("inf")
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
            self._arm(max(min(self._due.values()), self._not_before))

    async def _round(self) -> None:
        for record in self.waiting:
            if not self._hub.wanted(record):
                self._forget(record)
        if len(self._waiting) == 1:
            (record,) = self.waiting
            self._forget(record)
            self._hub.look_singly(record, 0.0)
            return
        missing, requests = dict(self._waiting), 0
        began = self._hub.clock.monotonic()
        try:
            async for page in self._pages(missing):
                requests += 1
                self._take(page, missing)
        except AvatarKitError as error:
            requests += 1
            self._failed(error)
        now = self._hub.clock.monotonic()
        self._not_before = max(began + _PER_REQUEST * requests, now)
        for task_id, record in missing.items():
            if task_id in self._waiting and self._due[task_id] <= now:
                self._forget(record)
                self._hub.look_singly(record, 0.0)

    async def _pages(self, missing: dict[str, Watched]) -> AsyncIterator[BatchPage]:
        if self._batch.most:
            soonest = sorted(missing, key=self._due.__getitem__)
            for start in range(0, min(len(soonest), self._batch.most * _CHUNKS), self._batch.most):
                yield await self._ask(soonest[start : start + self._batch.most], 1)
            return
        for number in range(1, self._batch.pages + 1):
            page = await self._ask(tuple(missing), number)
            yield page
            if not page.more or not missing:
                return

    async def _ask(self, ids: Sequence[str], number: int) -> BatchPage:
        driver = self._hub.driver
        request = self._batch.request(ids, number)
        for attempt in (1, 2):
            await driver.turn(request.endpoint, _POLL)
            began = self._hub.clock.monotonic()
            try:
                return request.read(await driver.send(request, attempt=attempt))
            except AvatarKitError as error:
                if attempt == 2 or not driver.renewal.cures(error, since=began):
                    raise
            finally:
                driver.limiter.done()
        raise AssertionError("unreachable")

    def _take(self, page: BatchPage, missing: dict[str, Watched]) -> None:
        now = self._hub.clock.monotonic()
        for task_id, snapshot in page.found.items():
            record = missing.pop(task_id, None)
            if record is None:
                continue
            self._hub.settle(record, snapshot)
            if record.terminal:
                self._forget(record)
            else:
                self._due[task_id] = now + self._hub.delay(record)

    def _forget(self, record: Watched) -> None:
        self._waiting.pop(record.task_id, None)
        self._due.pop(record.task_id, None)

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
            refused = not (
                error.retryable or error.http_status >= 500 or isinstance(error, UnexpectedResponse)
            )
            if refused:
                self._go_single()
                return
        for task_id, record in self._waiting.items():
            # Every one's own schedule goes on from here, so that an outage is met with growing patience.
            self._due[task_id] = max(now + wait, now + self._hub.delay(record))

    def _go_single(self) -> None:
        self._single = True
        for record in self.waiting:
            self._forget(record)
            self._hub.look_singly(record, self._hub.delay(record))

    async def aclose(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
