"""What a worker does with the messages it gets: submit, and collect. Both are safe to run twice, also at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from avatarkit.bulk.fleet import FleetOptions, resting
from avatarkit.bulk.gate import error_facts
from avatarkit.bulk.output import Output
from avatarkit.bulk.records import Job, JobState
from avatarkit.bulk.specs import Row
from avatarkit.bulk.stages import Done, Result, Stages
from avatarkit.errors import AvatarKitError
from avatarkit.task import AsyncTask

_logger = logging.getLogger("avatarkit")
_DEFECTS = 8  # times a job is taken up again that a stage failed on unexpectedly
_PAUSE = 30.0  # seconds until such a job, or one that the budget does not hold, is taken up again


class Door:
    """Lets submissions try freely while there is room; once the ledger said "wait", one at a time looks for some.

    So a full account costs each worker one question to the ledger now and then, however many submissions wait.
    """

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._open = True
        self._again_at = 0.0
        self._scout = asyncio.Lock()

    async def through(self, attempt: Callable[[], Awaitable[Result]], *, until: float) -> Result:
        """Make *attempt* until it is not told to wait, or its patience ends at *until* or with the worker."""
        loop = asyncio.get_running_loop()
        while not self._stop.is_set():
            if self._open:
                result = await attempt()
            else:
                result = await self._scouted(attempt, until)
            if result.done is not Done.WAIT:
                return result
            if self._open or loop.time() >= self._again_at:
                self._open = False
                self._again_at = loop.time() + result.seconds
            if result.budget or loop.time() >= until:
                return result
        return Result(Done.WAIT)

    async def _scouted(self, attempt: Callable[[], Awaitable[Result]], until: float) -> Result:
        loop = asyncio.get_running_loop()
        try:
            # Only the waiting is cut short, never an attempt: it may be on its way to the provider.
            async with asyncio.timeout_at(until):
                await self._scout.acquire()
        except TimeoutError:
            return Result(Done.WAIT)
        try:
            if not self._open:
                wait = min(self._again_at, until) - loop.time()
                if await resting(self._stop, max(wait, 0.001)) or loop.time() < self._again_at:
                    return Result(Done.WAIT)
            result = await attempt()
            self._open = result.done is not Done.WAIT
            return result
        finally:
            self._scout.release()


class Files:
    """The sink of a worker's stages: remembers what each job under way was stored as."""

    def __init__(self, sink: Output) -> None:
        self.sink = sink
        self._stored: dict[str, Mapping[str, Any]] = {}

    async def check(self) -> None:
        """See :class:`~avatarkit.bulk.stages.Sink`."""
        await self.sink.check()

    async def put(self, artifact: Any, job: Job, row: Row) -> Mapping[str, Any]:
        """See :class:`~avatarkit.bulk.stages.Sink`."""
        stored = self._stored[job.key] = await self.sink.put(artifact, job, row)
        return stored

    async def settled(self, job: Job, result: Mapping[str, Any]) -> None:
        """See :class:`~avatarkit.bulk.stages.Sink`."""
        await self.sink.settled(job, result)

    async def tidy(self, run: str) -> None:
        """See :class:`~avatarkit.bulk.stages.Sink`."""
        await self.sink.tidy(run)

    async def aclose(self) -> None:
        """See :class:`~avatarkit.bulk.stages.Sink`."""
        await self.sink.aclose()

    def pop(self, key: str) -> Mapping[str, Any] | None:
        """What was stored for the job of this *key* since this was asked last."""
        return self._stored.pop(key, None)


class Hands:
    """The handlers of one worker.

    Args:
        stages: the run's stages.
        options: how the worker works.
        stop: set when the worker ends; who waits for a slot then gives up.

    """

    def __init__(self, stages: Stages, options: FleetOptions, stop: asyncio.Event) -> None:
        self._files = stages.sink if isinstance(stages.sink, Files) else None
        self._stages = stages
        self._ledger = stages.ledger
        self._run = stages.run.id
        self._options = options
        self._stop = stop
        self._door = Door(stop)
        self._in_hand: set[str] = set()
        self._fetching = asyncio.Semaphore(options.downloads)
        self._own: set[asyncio.Task[None]] = set()
        self._worked = False
        self.budget_short = False
        """Whether the budget refused a job since somebody looked."""

    def worked(self) -> bool:
        """Whether it has something in hand, or had since this was asked last."""
        worked, self._worked = self._worked or bool(self._in_hand), False
        return worked

    async def submit(self, keys: Sequence[str]) -> None:
        """Submit the jobs of *keys* that are still new."""
        await asyncio.gather(*(self._carried(key, self._submit) for key in keys))

    async def collect(self, keys: Sequence[str]) -> None:
        """Fetch what the jobs of *keys* made, of those that are still ready."""
        await asyncio.gather(*(self._carried(key, self._collect) for key in keys))

    def collect_own(self, job: Job, task: AsyncTask[Any]) -> bool:
        """Fetch what *job* made with the handle that saw it end, which need not be looked at again.

        False, and nothing happens, when this worker has its hands full.
        """
        if len(self._own) >= self._options.downloads or self._fetching.locked() or self._stop.is_set():
            return False
        own = asyncio.get_running_loop().create_task(self._carried(job.key, lambda _: self._fetch(job, task)))
        self._own.add(own)
        own.add_done_callback(self._own.discard)
        return True

    async def aclose(self) -> None:
        """Wait for what was begun by :meth:`collect_own`."""
        await asyncio.gather(*self._own, return_exceptions=True)

    async def _carried(self, key: str, stage: Callable[[str], Awaitable[None]]) -> None:
        if key in self._in_hand:
            return
        self._in_hand.add(key)
        self._worked = True
        try:
            await stage(key)
        except AvatarKitError as error:
            # Of the ledger or the network; the job is as it was, and gets another message.
            _logger.warning("job %s: %s", key, error)
        except Exception as error:
            _logger.exception("job %s: a stage failed unexpectedly", key)
            await self._defect(key, error)
        finally:
            self._in_hand.discard(key)

    async def _submit(self, key: str) -> None:
        until = asyncio.get_running_loop().time() + self._options.patience
        result = await self._door.through(partial(self._try, key), until=until)
        if result.done is Done.WAIT:
            self.budget_short |= result.budget
            await self._give_back(key, _PAUSE if result.budget else 0.0)

    async def _try(self, key: str) -> Result:
        job = await self._ledger.get(self._run, key)
        if job is None or job.state is not JobState.NEW or self._stop.is_set():
            return Result(Done.WAIT if self._stop.is_set() else Done.MOVED)
        return await self._stages.submit(job)

    async def _collect(self, key: str) -> None:
        job = await self._ledger.get(self._run, key)
        if job is None or job.state is not JobState.READY or self._stop.is_set():
            return
        await self._fetch(job)

    async def _fetch(self, job: Job, task: AsyncTask[Any] | None = None) -> None:
        async with self._fetching:
            result = await self._stages.collect(job, task)
        stored = self._files.pop(job.key) if self._files is not None else None
        if result.over is None and stored is not None:
            await self._was_slower(job, stored)

    async def _was_slower(self, job: Job, stored: Mapping[str, Any]) -> None:
        """Another worker may have collected the job meanwhile, under a name of its own: one file is enough."""
        now = await self._ledger.get(self._run, job.key)
        if now is None or now.state is not JobState.DONE or now.result.get("file") == stored.get("file"):
            return
        assert self._files is not None
        await self._files.sink.discard(job, stored)

    # -- what did not go

    async def _give_back(self, key: str, pause: float) -> None:
        """The job is due again at once, or after *pause* seconds, not only when its message is taken for lost."""
        job = await self._ledger.get(self._run, key)
        if job is not None and job.state is JobState.NEW:
            at = max(job.not_before, await self._ledger.now() + pause) if pause else job.not_before
            await self._ledger.postpone(self._run, key, JobState.NEW, not_before=at, error=job.error)

    async def _defect(self, key: str, error: Exception) -> None:
        """A defect of ours must neither stop the others nor come round for ever."""
        try:
            job = await self._ledger.get(self._run, key)
            if job is not None and job.state in (JobState.NEW, JobState.READY):
                await self._put_off(job, error)
        except AvatarKitError as trouble:
            _logger.warning("job %s: %s", key, trouble)

    async def _put_off(self, job: Job, error: Exception) -> None:
        facts = error_facts(error)
        if job.tries >= _DEFECTS:
            await self._ledger.fail(self._run, job.key, job.attempt, error=facts)
            return
        at = await self._ledger.now() + _PAUSE
        await self._ledger.postpone(self._run, job.key, job.state, not_before=at, error=facts, counts=True)
