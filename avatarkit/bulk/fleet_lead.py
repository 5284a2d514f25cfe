"""What one worker of a fleet at a time does for all: look at running tasks, resolve doubts, fill the engine's queues.

Invariants:

1. Only the holder of the lease ``poll:<run>`` does it. Who cannot renew it in time stops before it ends, by a clock
   that runs on while the process is frozen.
2. Should two lead for a moment all the same, work is done twice but nothing happens twice: every step is a
   compare-and-set of the ledger, and looks have to wait for their turns.
3. Messages come out of the ledger alone: what is due and was not handed out lately. That is also how the first ones are
   sent, and how lost ones are sent again.
4. A message for a submission goes out when there is a slot for it (``bulk/fleet_slots.py``): at once when the looks
   have shown that a task ended, else with the next tick. So nobody has to ask while the account is full.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from avatarkit.bulk.doubts import Doubts
from avatarkit.bulk.feeding import is_being_fed
from avatarkit.bulk.fleet import Engine, FleetOptions, Stage
from avatarkit.bulk.fleet_slots import Slots
from avatarkit.bulk.records import Job, JobState
from avatarkit.bulk.stages import Stages
from avatarkit.bulk.watch import Seen, Watcher
from avatarkit.errors import AvatarKitError
from avatarkit.task import AsyncTask

_logger = logging.getLogger("avatarkit")
_SOME = 500
_WATCHED = (
    3600.0  # seconds for which a running job is left to whoever looks at it; another leader looks at all
)
_GIVING_BACK = 5.0  # seconds; without it the lease just ends by itself
_RENEWED = 0.25  # of a lease, after which it is renewed
_SOON = 0.25  # of a tick, after which slots are counted again while submissions are under way
_ASKED = 0.75  # of one, after which somebody else who would lead asks again


class Leader:
    """Leads while it has the lease, and does nothing otherwise.

    Args:
        stages: the run's stages.
        engine: what carries the messages.
        options: how the worker works.
        wake: called when there is something to do before the next tick.
        collect: fetches what a job made with the handle that saw it end, if it can just now; whether it does. A look at
            the provider is spared so. Everybody else has to look again, for signed URLs go neither into the ledger nor
            into a message.

    """

    def __init__(
        self,
        stages: Stages,
        engine: Engine,
        options: FleetOptions,
        wake: Callable[[], None],
        *,
        collect: Callable[[Job, AsyncTask[Any]], bool] | None = None,
    ) -> None:
        self._stages = stages
        self._ledger = stages.ledger
        self._engine = engine
        self._options = options
        self._wake = wake
        self._collect = collect
        self._ended: dict[str, AsyncTask[Any]] = {}
        """By key, handles of tasks that ended well and were not handed out yet."""
        self._run = stages.run.id
        self._slots = Slots(
            stages.ledger, stages.run.settings.account, stages.run.id, patience=options.patience
        )
        self._until = float("-inf")
        self._ask_at = float("-inf")
        self._watch_at = float("-inf")
        self._watcher: Watcher | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending: asyncio.TimerHandle | None = None
        self._reconciled_at = float("-inf")

    @property
    def leads(self) -> bool:
        """Whether the lease is surely still ours."""
        return asyncio.get_running_loop().time() < self._until

    @property
    def pause(self) -> float:
        """Seconds after which it is to be ticked again, if nothing woke it before."""
        tick = self._options.tick
        if not self.leads:
            return max(tick, self._options.lease * _ASKED)
        # Steps that are answered at once free their slots again without a look that shows it.
        return tick * _SOON if len(self._slots) else tick

    async def tick(self) -> None:
        """Get or renew the lease, and do what is to be done. Raises what ledger and engine raise."""
        if not await self._renewed():
            self.drop()
            return
        watcher = self._watcher
        if watcher is None:
            watcher = self._watching()
            await self._resume(watcher)
        # First of all: slots that were freed stand empty.
        await self._fill_submit()
        await self._fill(JobState.READY, Stage.COLLECT, math.inf)
        now = asyncio.get_running_loop().time()
        if now >= self._watch_at:
            self._watch_at = now + self._options.tick
            await self._watch_new(watcher)
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
        if self.leads:
            self._ask_at = float("-inf")
        self._until = float("-inf")
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self._ended.clear()
        for task in self._tasks:
            task.cancel()

    # -- the lease

    @property
    def _name(self) -> str:
        return f"poll:{self._run}"

    async def _renewed(self) -> bool:
        loop, seconds = asyncio.get_running_loop(), self._options.lease
        asked = loop.time()
        if asked < self._ask_at:
            return self.leads
        until = asked + seconds  # counted from before the question: its answer may be long on the way
        if not await self._ledger.lease(self._name, self._stages.owner, seconds):
            self._ask_at = asked + seconds * _ASKED - self._options.tick / 2
            return False
        if loop.time() >= until:
            return False
        self._until, self._ask_at = until, asked + seconds * _RENEWED
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

    async def _told(self, looks: Sequence[Seen]) -> None:
        self._slots.freed(len(looks))
        if self._collect is not None and self.leads:
            self._ended.update(
                (job.key, task)
                for job, task, look in looks
                if task is not None and look.state is JobState.READY
            )
            for key in list(self._ended)[:-_SOME]:
                del self._ended[key]
        self._wake()

    # -- messages

    async def _fill_submit(self) -> None:
        if not self.leads or await is_being_fed(self._ledger, self._run):
            return
        free = await self._slots.free()
        if free > 0:
            self._slots.sent(await self._fill(JobState.NEW, Stage.SUBMIT, free))

    async def _fill(self, state: JobState, stage: Stage, most: float) -> list[str]:
        """Keep a small backlog of messages in the engine, and the rest in the ledger; gives whose messages went out."""
        if not self.leads:
            return []
        room = min(most, self._options.backlog - await self._engine.backlog(stage, self._run))
        if room <= 0 or not self.leads:
            return []
        seconds = self._options.hand_new if stage is Stage.SUBMIT else self._options.hand_ready
        jobs = await self._ledger.take(self._run, state, int(room), seconds=seconds)
        keys = [job.key for job in jobs if stage is Stage.SUBMIT or not self._collects(job)]
        if keys:
            await self._engine.enqueue(stage, self._run, keys)
        return keys

    def _collects(self, job: Job) -> bool:
        task = self._ended.pop(job.key, None)
        return task is not None and self._collect is not None and self._collect(job, task)

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
            jobs = await self._ledger.doubts(self._run, older_than=older)
            await Doubts(self._stages).reconcile_all(jobs, wanted=lambda _: self.leads)
        except AvatarKitError as error:
            _logger.warning("doubts could not be looked into: %s", error)
        finally:
            self._reconciled_at = asyncio.get_running_loop().time()
