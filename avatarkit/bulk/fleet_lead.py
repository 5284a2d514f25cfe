"""What one worker of a fleet at a time does for all: look at running tasks, resolve doubts, fill the engine's queues.

Invariants:

1. Only the holder of the lease ``poll:<run>`` does it. Who cannot renew it in time stops before it ends, by a clock
   that runs on while the process is frozen.
2. Should two lead for a moment all the same, work is done twice but nothing happens twice: every step is a
   compare-and-set of the ledger, and looks have to wait for their turns.
3. Messages come out of the ledger alone: what is due and was not handed out lately. That is also how the first ones are
   sent, and how lost ones are sent again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from avatarkit.bulk.doubts import Doubts
from avatarkit.bulk.feeding import is_being_fed
from avatarkit.bulk.fleet import Engine, FleetOptions, Stage
from avatarkit.bulk.records import Job, JobState, Look
from avatarkit.bulk.stages import Stages
from avatarkit.bulk.watch import Watcher
from avatarkit.errors import AvatarKitError
from avatarkit.task import AsyncTask

_logger = logging.getLogger("avatarkit")
_SOME = 500
_WATCHED = (
    3600.0  # seconds for which a running job is left to whoever looks at it; another leader looks at all
)
_GIVING_BACK = 5.0  # seconds; without it the lease just ends by itself
_QUEUES = ((JobState.READY, Stage.COLLECT), (JobState.NEW, Stage.SUBMIT))


class Leader:
    """Leads while it has the lease, and does nothing otherwise.

    Args:
        stages: the run's stages.
        engine: what carries the messages.
        options: how the worker works.
        wake: called when there is something to do before the next tick.

    """

    def __init__(
        self, stages: Stages, engine: Engine, options: FleetOptions, wake: Callable[[], None]
    ) -> None:
        self._stages = stages
        self._ledger = stages.ledger
        self._engine = engine
        self._options = options
        self._wake = wake
        self._run = stages.run.id
        self._until = float("-inf")
        self._watcher: Watcher | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: asyncio.TimerHandle | None = None
        self._reconciled_at = float("-inf")

    @property
    def leads(self) -> bool:
        """Whether the lease is surely still ours."""
        return asyncio.get_running_loop().time() < self._until

    async def tick(self) -> None:
        """Get or renew the lease, and do what is to be done. Raises what ledger and engine raise."""
        if not await self._renewed():
            self.drop()
            return
        watcher = self._watcher
        if watcher is None:
            watcher = self._watching()
            await self._resume(watcher)
        await self._watch_new(watcher)
        for state, stage in _QUEUES:
            await self._fill(state, stage)
        self._reconcile_in_time()

    async def aclose(self) -> None:
        """Stop leading, and let another one have the lease at once."""
        led = self.leads
        tasks = list(self._tasks)
        self.drop()
        await asyncio.gather(*tasks, return_exceptions=True)
        if led:
            try:
                async with asyncio.timeout(_GIVING_BACK):
                    await self._ledger.lease(self._name, self._stages.owner, 0.0)
            except (AvatarKitError, TimeoutError) as error:
                _logger.info("the lease was not given back, it ends by itself: %s", error)

    def drop(self) -> None:
        """Stop looking, at once."""
        self._until = float("-inf")
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        for task in self._tasks:
            task.cancel()

    # -- the lease

    @property
    def _name(self) -> str:
        return f"poll:{self._run}"

    async def _renewed(self) -> bool:
        loop, seconds = asyncio.get_running_loop(), self._options.lease
        until = loop.time() + seconds  # counted from before the question: its answer may be long on the way
        if not await self._ledger.lease(self._name, self._stages.owner, seconds):
            return False
        if loop.time() >= until:
            return False
        self._until = until
        if self._ending is not None:
            self._ending.cancel()
        self._ending = loop.call_at(until, self.drop)
        return True

    # -- running jobs

    def _watching(self) -> Watcher:
        watcher = self._watcher = Watcher(self._stages, self._told)
        self._start(watcher.run())
        _logger.info("run %s: this worker looks at its tasks now", self._run)
        return watcher

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("run %s: leading it failed unexpectedly", self._run, exc_info=error)
            self.drop()  # whoever leads next, also this worker, begins anew

    async def _resume(self, watcher: Watcher) -> None:
        """Look at everything that runs, whoever looked at it before."""
        after = 0
        while self.leads and (
            jobs := await self._ledger.select(self._run, (JobState.RUNNING,), after=after, most=_SOME)
        ):
            after = jobs[-1].seq
            self._add(watcher, jobs)

    async def _watch_new(self, watcher: Watcher) -> None:
        """Look also at what was accepted since, by any worker."""
        while self.leads:
            jobs = await self._ledger.take(self._run, JobState.RUNNING, _SOME, seconds=_WATCHED)
            self._add(watcher, jobs)
            if len(jobs) < _SOME:
                return

    def _add(self, watcher: Watcher, jobs: Sequence[Job]) -> None:
        # Else a watcher that was closed meanwhile would look on.
        for job in jobs if watcher is self._watcher else ():
            watcher.add(job)

    async def _told(self, looks: Sequence[tuple[Job, AsyncTask[Any], Look]]) -> None:
        if any(look.state is JobState.READY for _, _, look in looks):
            self._wake()

    # -- messages

    async def _fill(self, state: JobState, stage: Stage) -> None:
        """Keep a small backlog of messages in the engine, and the rest in the ledger."""
        if not self.leads or (state is JobState.NEW and await is_being_fed(self._ledger, self._run)):
            return
        room = self._options.backlog - await self._engine.backlog(stage, self._run)
        if room <= 0 or not self.leads:
            return
        seconds = self._options.hand_new if stage is Stage.SUBMIT else self._options.hand_ready
        jobs = await self._ledger.take(self._run, state, room, seconds=seconds)
        if jobs:
            await self._engine.enqueue(stage, self._run, [job.key for job in jobs])

    # -- doubts

    def _reconcile_in_time(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._reconciled_at >= self._options.reconcile and self.leads:
            self._reconciled_at = float("inf")  # until it is over
            self._start(self._reconcile())

    async def _reconcile(self) -> None:
        try:
            # Another worker may be alive and have sent at the last moment it was allowed to.
            older = self._stages.client.submit_seconds + self._options.margin
            for job in await self._ledger.doubts(self._run, older_than=older):
                if not self.leads:
                    return
                await Doubts(self._stages).reconcile(job)
        except AvatarKitError as error:
            _logger.warning("doubts could not be looked into: %s", error)
        finally:
            self._reconciled_at = asyncio.get_running_loop().time()
