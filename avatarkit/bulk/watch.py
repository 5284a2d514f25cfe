"""Running jobs: looked at through the client's poll hub, settled in batches.

A waiting job costs a record of the hub and a future; there is no coroutine and no timer of its own. What the looks show
is told to the ledger many at a time, for a round of looks ends many tasks at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from avatarkit.bulk.gate import error_facts
from avatarkit.bulk.records import Job, JobState, Look
from avatarkit.bulk.stages import Stages
from avatarkit.errors import AuthenticationError, AvatarKitError, InvalidHandle
from avatarkit.task import AsyncTask, end_of

_logger = logging.getLogger("avatarkit")
_MOST = 500  # looks told at once
_PATIENCE = 30.0  # seconds until a task that the provider would not show is asked for again

Ended = tuple[Job, AsyncTask[Any] | None, BaseException | None]
Seen = tuple[Job, AsyncTask[Any] | None, Look]
"""A job, its handle where there is one, and what the ledger was told of it."""


class Watcher:
    """Looks at running jobs on one event loop.

    Args:
        stages: the run's stages.
        told: called with what the ledger was told, and the handles of the jobs meant.

    """

    def __init__(
        self,
        stages: Stages,
        told: Callable[[Sequence[Seen]], Awaitable[None]],
    ) -> None:
        self._stages = stages
        self._told = told
        self._ended: deque[Ended] = deque()
        self._futures: dict[str, asyncio.Future[bool]] = {}
        self._nameless: set[tuple[str, int]] = set()  # jobs whose task nobody can name
        self._wake = asyncio.Event()
        self._busy = False

    def __len__(self) -> int:
        return len(self._futures)

    @property
    def idle(self) -> bool:
        """Whether nothing is watched and nothing is left to be told."""
        return not self._futures and not self._ended and not self._busy

    def add(self, job: Job, task: AsyncTask[Any] | None = None) -> None:
        """Look at *job* until it ends; *task* is its handle, where whoever submitted it has it still.

        A job whose task nobody can name fails: nothing else would ever end it. It counts as paid for.
        """
        if job.key in self._futures or (job.key, job.attempt) in self._nameless:
            return
        try:
            task = task if task is not None else self._stages.task_of(job)
        except InvalidHandle as error:
            self._nameless.add((job.key, job.attempt))
            self._ended.append((job, None, error))
            self._wake.set()
        else:
            self._watch(job, task)

    def _watch(self, job: Job, task: AsyncTask[Any]) -> None:
        future = self._futures[job.key] = end_of(task)
        future.add_done_callback(partial(self._over, job, task))

    def _over(self, job: Job, task: AsyncTask[Any], future: asyncio.Future[bool]) -> None:
        self._futures.pop(job.key, None)
        if future.cancelled():
            return
        self._ended.append((job, task, future.exception()))
        self._wake.set()

    async def run(self) -> None:
        """Tell the ledger what ended, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ended:
                self._busy = True
                try:
                    await self._tell([self._ended.popleft() for _ in range(min(_MOST, len(self._ended)))])
                finally:
                    self._busy = False

    async def _tell(self, ended: list[Ended]) -> None:
        looks: list[Seen] = []
        try:
            for job, task, error in ended:
                if (look := await self._look(job, task, error)) is not None:
                    looks.append((job, task, look))
                elif task is not None:
                    await self._unknown(job, task, error)
            if looks:
                await self._stages.settle([look for _, _, look in looks])
        except AuthenticationError:
            raise  # for so long that the run must end
        except AvatarKitError as error:
            # The ledger's trouble (a full disk, a database that is away) must not lose what was seen.
            _logger.warning("what was seen could not be written down, and will be again: %s", error)
            self._ended.extend(ended)
            asyncio.get_running_loop().call_later(5.0, self._wake.set)
            return
        if looks:
            await self._told(looks)

    async def _look(self, job: Job, task: AsyncTask[Any] | None, error: BaseException | None) -> Look | None:
        if task is not None:
            return await self._stages.look_of(job, task, error)
        facts = {} if error is None else error_facts(error)
        return Look(key=job.key, attempt=job.attempt, state=JobState.FAILED, error=facts)

    async def _unknown(self, job: Job, task: AsyncTask[Any], error: BaseException | None) -> None:
        if self._stages.client.closed:
            return
        if isinstance(error, AuthenticationError):
            await self._stages.refused(error)
        asyncio.get_running_loop().call_later(_PATIENCE, self._again, job, task)

    def _again(self, job: Job, task: AsyncTask[Any]) -> None:
        if job.key not in self._futures and not self._stages.client.closed:
            self._watch(job, task)

    def close(self) -> None:
        """Stop looking."""
        for future in list(self._futures.values()):
            future.cancel()
        self._futures.clear()
