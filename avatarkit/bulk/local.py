"""The driver for one process: one event loop that feeds jobs to the stages until nothing is left.

Invariants:

1. A job is in the hand of at most one coroutine of this process; the ledger's compare-and-set holds against others.
2. Uploads and submissions, looks, and downloads have their own concurrency: none waits for another.
3. A submission that is under way is carried to its end when the driver is stopped, and its outcome is taken down.
4. What does not move by itself (held, blocked by what is held, not submitted by a stopped run) does not keep it going.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs

from avatarkit.bulk.doubts import Doubts
from avatarkit.bulk.records import Job, JobState, RunState
from avatarkit.bulk.stages import Done, Result, Stages
from avatarkit.bulk.watch import Seen, Watcher
from avatarkit.errors import AuthenticationError, AvatarKitError, ClientClosed
from avatarkit.task import AsyncTask

_logger = logging.getLogger("avatarkit")
_LEASE = 3600.0  # seconds a job is handed out for; this process is the only one
_MARGIN = 5.0  # seconds on top of the longest submission, after which another process's is taken for a doubt
_RECONCILE_EVERY = 10.0
_IDLE = 1.0  # seconds after which the ledger is asked whether anything came to be due
_READY_EVERY = (
    5.0  # seconds between two questions for what an earlier process left ready, or what was put off
)
_AHEAD = 64  # new jobs that are taken at once: a question to the ledger costs as much as what it is about
_PROBES = 8.0  # seconds between two tries for a slot, at most, while none of our own tasks ends


@attrs.frozen(kw_only=True)
class Concurrency:
    """How much of each stage is under way at once."""

    submits: int = 16
    downloads: int = 8


class LocalDriver:
    """Runs the stages of one run in this process.

    Args:
        stages: the run's stages.
        concurrency: how much at once.
        over: called with every job that came to its end or is held, as it is then.
        fed: set once every job was added to the ledger.

    """

    def __init__(
        self,
        stages: Stages,
        *,
        concurrency: Concurrency,
        over: Callable[[Job], Awaitable[None]],
        fed: asyncio.Event,
    ) -> None:
        self._stages = stages
        self._ledger = stages.ledger
        self._run = stages.run.id
        self._concurrency = concurrency
        self._over = over
        self._fed = fed
        self._watcher = Watcher(stages, self._told)
        self._resolving = Doubts(stages)
        self._doubt_age = -math.inf if stages.ledger.exclusive else stages.client.submit_seconds + _MARGIN
        self._in_hand: set[str] = set()
        self._again: deque[Job] = deque()
        self._again_at = self._probe = self._ready_at = 0.0
        self._new: deque[Job] = deque()
        self._probing = False
        self._free: int | None = None
        self._collecting: deque[tuple[Job, AsyncTask[Any] | None]] = deque()
        self._queued: set[str] = set()
        self._collected: deque[tuple[str, int]] = deque(
            maxlen=256
        )  # the latest: what names them is out of date
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._submitting = self._downloading = 0
        self._stopped = self._stopping = False
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._doubts = asyncio.Event()
        self._background: tuple[asyncio.Task[None], ...] = ()

    def wake(self) -> None:
        """Something may have come to be due."""
        self._wake.set()

    def stop(self) -> None:
        """Submit no more, finish what is under way, and return from :meth:`run`."""
        self._stopping = True
        self._wake.set()

    # -- the loop

    async def run(self) -> None:
        """Until nothing moves any more, or :meth:`stop`."""
        watching = asyncio.create_task(self._watcher.run())
        reconciling = asyncio.create_task(self._reconciling())
        self._background = (watching, reconciling)
        for task in self._background:
            task.add_done_callback(lambda _: self._wake.set())
        try:
            await self._resume()
            while not self._stopping:
                self._raise_failure()
                self._wake.clear()
                moved = await self._fill()
                if not moved and not self._tasks and self._watcher.idle and await self._nothing_left():
                    break
                if not moved:
                    await self._pause()
            await self._drain()
            self._raise_failure()
        finally:
            self._hush()
            self._watcher.close()
            for task in (watching, reconciling):
                task.cancel()
            await asyncio.gather(watching, reconciling, return_exceptions=True)
            await self._drain()
            await self._give_back()
            await self._resolving.take_down_rest()

    async def _give_back(self) -> None:
        """Let another run on the same open ledger have what was taken and not submitted."""
        left = [*self._again, *self._new]
        self._again.clear()
        self._new.clear()
        giving = (
            self._ledger.postpone(
                self._run, job.key, JobState.NEW, not_before=job.not_before, error=job.error
            )
            for job in left
        )
        with contextlib.suppress(AvatarKitError):
            await asyncio.gather(*giving)

    async def _resume(self) -> None:
        """Go on with what an earlier process left."""
        after = 0
        while jobs := await self._ledger.select(self._run, (JobState.RUNNING,), after=after):
            after = jobs[-1].seq
            for job in jobs:
                self._watcher.add(job)

    async def _pause(self) -> None:
        seconds = _IDLE
        if self._again:
            seconds = min(seconds, max(0.0, self._again_at - asyncio.get_running_loop().time()))
        # One that rings earlier does as well, and needs not be set anew: it only has us look again.
        loop = asyncio.get_running_loop()
        at = loop.time() + max(seconds, 0.01)
        if self._alarm is None or self._alarm.when() > at:
            self._hush()
            self._alarm = loop.call_at(at, self._ring)
        await self._wake.wait()

    def _ring(self) -> None:
        self._alarm = None
        self._wake.set()

    def _hush(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _raise_failure(self) -> None:
        if self._stages.client.closed:
            raise ClientClosed(
                "the client was closed while the run was going",
                hint="Run it again with the same journal: it goes on.",
            )
        for task in self._background:
            if task.done():
                task.result()  # it never ends by itself: without it the run would wait for ever
        if self._failure is not None:
            raise self._failure

    async def _drain(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _fill(self) -> bool:
        """Put as much under way as there is room for; whether anything was."""
        submitted = await self._fill_submits()
        collected = await self._fill_downloads()
        return submitted or collected

    async def _fill_submits(self) -> bool:
        room = min(self._concurrency.submits - self._submitting, self._allowed())
        if self._stopped or room <= 0:
            return False
        jobs = [self._again.popleft() for _ in range(min(room, len(self._again)))]
        lacking = room - len(jobs)
        if lacking and not self._new:
            self._new.extend(await self._ledger.take(self._run, JobState.NEW, _AHEAD, seconds=_LEASE))
        jobs += [self._new.popleft() for _ in range(min(lacking, len(self._new)))]
        started = 0
        for job in jobs:
            if job.key not in self._in_hand:
                self._submitting += (
                    1  # counted here: the next filling may come before the first step of this one
                )
                self._start(job, self._submit(job))
                started += 1
        if self._free is not None:
            self._free -= started
        return bool(jobs)

    def _allowed(self) -> int:
        """How many submissions may be tried now: once the ledger said "wait", as many as tasks have ended since."""
        if self._free is None:
            return self._concurrency.submits
        if self._free <= 0 and not self._probing and asyncio.get_running_loop().time() >= self._again_at:
            self._free, self._probing = 1, True  # something else than an end of ours may have made room
        return self._free

    async def _fill_downloads(self) -> bool:
        room = self._concurrency.downloads - self._downloading
        if room <= 0:
            return False
        now = asyncio.get_running_loop().time()
        if not self._collecting and now >= self._ready_at:
            # What ends here is handed over at once; the ledger has what an earlier process left, or what was put off.
            # What is in hand by now may be done before the answer is here, which would then be out of date.
            busy = set(self._in_hand)
            ready = await self._ledger.take(self._run, JobState.READY, room, seconds=_LEASE)
            self._ready_at = now + _READY_EVERY if len(ready) < room else now
            for job in ready:
                if job.key not in busy:
                    self._to_collect(job, None)
        started = False
        while self._collecting and self._downloading < self._concurrency.downloads:
            job, task = self._collecting.popleft()
            self._queued.discard(job.key)
            if job.key not in self._in_hand:
                self._downloading += 1
                self._start(job, self._collect(job, task))
                started = True
        return started

    def _to_collect(self, job: Job, task: AsyncTask[Any] | None) -> None:
        """Queue a ready job once: the looks hand it over, and the ledger names it too until it is done."""
        if job.key in self._queued or job.key in self._in_hand or (job.key, job.attempt) in self._collected:
            return
        self._queued.add(job.key)
        self._collecting.append((job, task))

    def _start(self, job: Job, work: Awaitable[None]) -> None:
        self._in_hand.add(job.key)

        async def carry() -> None:
            try:
                await work
            except AvatarKitError as error:
                _logger.warning("job %s: %s", job.key, error)
                self._failure = self._failure or error
            except Exception as error:
                _logger.exception("job %s: a stage failed unexpectedly", job.key)
                self._failure = self._failure or error
            finally:
                self._in_hand.discard(job.key)
                self._tasks.pop(job.key, None)
                self._wake.set()

        task = asyncio.get_running_loop().create_task(carry())
        if not task.done():  # as one is that a user's task factory ran at once
            self._tasks[job.key] = task

    # -- the stages

    async def _submit(self, job: Job) -> None:
        try:
            result = await self._stages.submit(job)
        finally:
            self._submitting -= 1
            probing, self._probing = self._probing, False
        if result.running is not None:
            self._watcher.add(result.running, result.task)
            if probing:  # it was only tried, and it went well: there is more room than was thought
                self._probe, self._free = 0.0, max(2, self._free or 0)
        elif result.done is Done.WAIT:
            await self._wait(job, result)
        elif result.done is Done.STOPPED:
            self._stopped = True
        elif result.over is not None:
            await self._tell_over(result.over)
        else:
            await self._look_up(job.key)

    async def _wait(self, job: Job, result: Result) -> None:
        if result.budget and not len(self._watcher) and not self._submitting and not self._collecting:
            await self._stages.stop("the budget does not hold another job")
            self._stopped = True
            return
        self._again.append(job)
        self._free = 0
        # A slot comes free when one of our own tasks ends, or else seldom: so it is tried for less and less often.
        self._probe = min(2 * self._probe or result.seconds, _PROBES) if result.seconds >= 1.0 else 0.0
        self._again_at = asyncio.get_running_loop().time() + min(max(result.seconds, self._probe), 60.0)

    async def _collect(self, job: Job, task: AsyncTask[Any] | None) -> None:
        try:
            result = await self._stages.collect(job, task)
        finally:
            self._downloading -= 1
        if result.over is None:
            await self._look_up(job.key)
            return
        self._collected.append((job.key, job.attempt))
        await self._tell_over(result.over)

    async def _told(self, looks: Sequence[Seen]) -> None:
        """The ledger knows what these looks showed."""
        if self._free is not None:
            self._free += len(looks)
        now = await self._ledger.now()
        for job, task, look in looks:
            if look.state is JobState.READY:
                ready = job.but(state=JobState.READY, cost=look.cost, ended_at=now)
                self._to_collect(ready, task)
            elif look.state is JobState.FAILED:
                await self._look_up(job.key)
        self._wake.set()

    async def _look_up(self, key: str) -> None:
        now = await self._ledger.get(self._run, key)
        if now is not None and now.state is JobState.INTENT:
            self._doubts.set()
        elif now is not None and now.state.over:
            await self._tell_over(now)

    async def _tell_over(self, job: Job) -> None:
        if not job.part:
            await self._over(job)

    async def _reconciling(self) -> None:
        """Find out about doubts. Where the ledger is ours alone, those of an earlier process at once: it is gone."""
        while True:
            try:
                await self._resolving.reconcile_all(
                    await self._ledger.doubts(self._run, older_than=self._doubt_age),
                    wanted=lambda job: job.key not in self._in_hand,
                    told=self._reconciled,
                )
            except AuthenticationError:
                raise  # for so long that the run must end
            except AvatarKitError as error:
                _logger.warning("doubts could not be looked into: %s", error)
            self._doubts.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._doubts.wait(), _RECONCILE_EVERY)

    async def _reconciled(self, job: Job, state: JobState) -> None:
        now = await self._ledger.get(self._run, job.key) if state is not JobState.INTENT else None
        if now is None:
            return
        if now.state is JobState.RUNNING:
            self._watcher.add(now)
        elif now.state.over:
            await self._tell_over(now)
        self._wake.set()

    # -- the end

    async def _nothing_left(self) -> bool:
        if not self._fed.is_set():
            return False
        counts = await self._ledger.counts(self._run)
        run = await self._ledger.get_run(self._run)
        self._stopped = run is None or run.state is not RunState.ACTIVE
        moving = {JobState.INTENT, JobState.RUNNING, JobState.READY}
        if not self._stopped:
            moving.add(JobState.NEW)
        # What is blocked moves only when a part does, which is then counted itself.
        both = (*counts.jobs.items(), *counts.parts.items())
        return not any(count for state, count in both if state in moving)
