"""A bulk run on one machine: jobs in, outcomes out, and a ledger between them.

Nothing is submitted before every row was read and found good. What an earlier process left is gone on with: that is all
there is to resuming.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from avatarkit.bulk.feeding import Jobs, add_all, digest_of
from avatarkit.bulk.journal import LedgerUploads, open_ledger
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.local import Concurrency, LocalDriver
from avatarkit.bulk.naming import NameTemplate
from avatarkit.bulk.options import BulkOptions
from avatarkit.bulk.output import Output, tidy_up
from avatarkit.bulk.planning import Planner
from avatarkit.bulk.records import Job, JobState, Run, RunSettings, RunState
from avatarkit.bulk.stages import Sink, Stages
from avatarkit.bulk.worktime import AtWork
from avatarkit.errors import AvatarKitError, InvalidRequest
from avatarkit.transport.threads import in_thread

if TYPE_CHECKING:
    from avatarkit.client import AsyncClient

_WAITING = 1000  # outcomes that wait for whoever takes them


@attrs.frozen(kw_only=True)
class JobOutcome:
    """What became of one job.

    Attributes:
        key: the job's key.
        state: ``done``, ``failed``, ``held``, ``abandoned`` or ``cancelled``; ``new`` and ``blocked`` for what a run
            that stopped did not submit.
        file: where the video lies: a path, or an object's URL.
        cost: what it cost in the provider's unit, where the provider says.
        duration: seconds of the video, where the provider says.
        seconds: from its acceptance to its end at the provider, where known.
        error: why not: ``type``, ``message``, ``code``, ``reason``.
        token: of the task, where there is one: ``client.task(token)``.
        earlier: whether it came to its end before this process.

    """

    key: str
    state: JobState
    file: str = ""
    cost: float | None = None
    duration: float | None = None
    seconds: float | None = None
    error: Mapping[str, Any] = attrs.field(factory=dict)
    token: str = ""
    earlier: bool = False

    @property
    def ok(self) -> bool:
        """Whether the video is there."""
        return self.state is JobState.DONE


def outcome_of(job: Job, out: str, *, earlier: bool = False) -> JobOutcome:
    """*job*, whose files lie in *out*, as its outcome."""
    took = None
    if job.submitted_at is not None and job.ended_at is not None:
        took = max(0.0, job.ended_at - job.submitted_at)
    duration, name = job.result.get("seconds"), str(job.result.get("file", ""))
    location = str(job.result.get("location", "")) or (os.path.join(out, name) if name else "")  # noqa: PTH118
    return JobOutcome(
        key=job.key,
        state=job.state,
        file=location,
        cost=job.cost,
        duration=None if duration is None else float(duration),
        seconds=took,
        error=job.error if job.state is not JobState.DONE else {},
        token=job.token,
        earlier=earlier,
    )


def _budget(given: float | None, before: float | None) -> float | None:
    """None keeps what there was, infinity lifts it."""
    if given is None:
        return before
    return None if given == math.inf else given


async def unbroken(work: Coroutine[Any, Any, None]) -> None:
    """Carry *work* to its end however often the caller is cancelled meanwhile; then it is cancelled."""
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled


class BulkRun:
    """One run, in this process.

    Args:
        client: whose account pays.
        jobs: a manifest's path, or anything that yields jobs; None goes on with what the ledger has.
        journal: the ledger's file, a PostgreSQL address, or an open ledger, which is left open.
        options: how.
        sink: where videos go, in place of ``options.out``.

    """

    def __init__(
        self,
        client: AsyncClient,
        jobs: Jobs | None,
        journal: str | os.PathLike[str] | Ledger,
        options: BulkOptions,
        *,
        sink: Sink | None = None,
    ) -> None:
        if not isinstance(journal, str | os.PathLike) and not hasattr(journal, "open_run"):
            raise InvalidRequest(f"journal: {journal!r} found, a path, an address or an open ledger allowed")
        if jobs is not None and not isinstance(jobs, str | os.PathLike) and not hasattr(jobs, "__iter__"):
            raise InvalidRequest(
                f"jobs: {type(jobs).__name__} found, a manifest's path or an iterable allowed"
            )
        self._client = client
        self._jobs = jobs
        self._journal = journal
        self.options = options
        self._sink = sink
        self._fed = asyncio.Event()
        self._queue: asyncio.Queue[JobOutcome | None] = asyncio.Queue(_WAITING)
        self._told: dict[str, JobState] = {}
        self._driver: LocalDriver | None = None
        self._stop = False
        self._before: RunSettings | None = None
        self._dearest = 0.0
        self._at_work: AtWork | None = None
        self.ledger: Ledger | None = None
        self.run: Run | None = None

    @property
    def _out(self) -> str:
        return str(self.options.out)

    async def __aenter__(self) -> BulkRun:
        own = isinstance(self._journal, str | os.PathLike)
        self.ledger = await open_ledger(self._journal, clock=self._client.clock) if own else self._journal  # type: ignore[arg-type, assignment]
        try:
            await self._open(self.ledger)  # type: ignore[arg-type]
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await unbroken(self._close())

    async def _close(self) -> None:
        self._client.uploads.store = None
        if self._at_work is not None:
            await self._at_work.end()
        if self.ledger is not None and isinstance(self._journal, str | os.PathLike):
            await self.ledger.aclose()

    async def _open(self, ledger: Ledger) -> None:
        options = self.options
        earlier = await ledger.get_run(options.run)
        before = self._before = earlier.settings if earlier is not None else None
        settings = RunSettings(
            provider=self._client.spec.name,
            account=self._client.account_id,
            budget=_budget(options.budget, before.budget if before is not None else None),
            out=str(options.out),
            name=options.name,
            sidecar=options.sidecar,
            retries=options.retries,
            max_failures=options.max_failures,
            manifest=str(self._jobs) if isinstance(self._jobs, str | os.PathLike) else "",
            default_cost=options.default_cost
            if options.default_cost is not None or before is None
            else before.default_cost,
        )
        self.run = await ledger.open_run(options.run, settings)
        if self._client.max_running is not None:
            await ledger.set_limits(settings.account, most_running=self._client.max_running)
        self._client.uploads.store = LedgerUploads(ledger, settings.account)

    def stop(self) -> None:
        """Submit no more; :meth:`outcomes` ends when what is under way was taken down. A later run goes on."""
        self._stop = True
        if self._driver is not None:
            self._driver.stop()

    # -- feeding

    async def feed(self) -> int:
        """Read, plan and check every job and add it to the ledger; gives how many there are. Nothing is submitted.

        Raises:
            InvalidRequest: with every mistake found (the first 1,000), each with its line and column.
            ConfigurationError: the manifest cannot be read.

        """
        assert self.ledger is not None
        assert self.run is not None
        if self._jobs is None:
            self._fed.set()
            return 0
        known = await self.known()
        if known is None:
            encoding = self.options.encoding or (await self._fed_before()).get("encoding")
            base = None if self.options.base is None else Path(self.options.base)
            template = NameTemplate(self.options.name, self._client.spec.name)
            known = await add_all(
                self.ledger,
                self.run.id,
                self._jobs,
                Planner(self._client.spec.name),
                template,
                base=base,
                preflight=self._client.preflight,
                staging=self._client.has_staging,
                priced=self.run.settings.budget is not None and not self.run.settings.default_cost,
                encoding=encoding,
            )
            digest = await in_thread(digest_of, self._jobs)
            if digest:
                about = {"digest": digest, "rows": known, "encoding": encoding}
                await self.ledger.remember(self.run.settings.account, f"manifest:{self.run.id}", about)
        self._fed.set()
        return known

    async def known(self) -> int | None:
        """How many rows the manifest has, when the ledger knows it just as it is; None when it has to be read."""
        assert self.ledger is not None
        assert self.run is not None
        digest = await in_thread(digest_of, self._jobs) if self._jobs is not None else ""
        if not digest:
            return None
        kept = await self._fed_before()
        if self.options.encoding not in (None, kept.get("encoding")):
            return None  # the same bytes may say something else
        return int(kept["rows"]) if kept.get("digest") == digest else None

    async def _fed_before(self) -> Mapping[str, Any]:
        """What is known of the manifest that was fed last."""
        assert self.ledger is not None
        assert self.run is not None
        name, account = f"manifest:{self.run.id}", self.run.settings.account
        return await self.ledger.recall(account, name, younger_than=math.inf) or {}

    # -- outcomes

    async def outcomes(self) -> AsyncGenerator[JobOutcome, None]:
        """Feed, run, and give every job's outcome as it comes; those of an earlier process first."""
        assert self.ledger is not None
        assert self.run is not None
        self._at_work = AtWork(self.ledger, self.run.id)
        await self._at_work.begin()
        await self.feed()
        async for outcome in self._ended(earlier=True):
            yield outcome
        sink = self._sink if self._sink is not None else Output.of(self.run)
        await self._check(sink)
        self._dearest = await self.ledger.dearest(self.run.id)
        driver = self._driver = self._make_driver(self.ledger, self.run, sink)
        if self._stop:
            driver.stop()
        running = asyncio.get_running_loop().create_task(self._drive(driver))
        try:
            while (ended := await self._queue.get()) is not None:
                yield ended
            await running
            async for outcome in self._ended(earlier=False):
                yield outcome
            if not self._stop:
                async for outcome in self._left():
                    yield outcome
        finally:
            driver.stop()
            await unbroken(self._finish(running, sink))

    async def _check(self, sink: Sink) -> None:
        """See whether results can be stored; what was said anew with a folder that does not do is not remembered."""
        try:
            await sink.check()
        except AvatarKitError:
            if self._before is not None and self.ledger is not None:
                await self.ledger.open_run(self.options.run, self._before)
            raise

    async def _finish(self, running: asyncio.Task[None], sink: Sink) -> None:
        """Let the driver end; nobody takes outcomes any more, so they must not stop it."""
        while not running.done():
            getting = asyncio.ensure_future(self._queue.get())
            await asyncio.wait((running, getting), return_when=asyncio.FIRST_COMPLETED)
            getting.cancel()
        with contextlib.suppress(AvatarKitError):
            await running
        if self._at_work is not None:
            await self._at_work.end()
        if self._sink is None and self.ledger is not None and self.run is not None:
            await tidy_up(sink, self.ledger, self.run)
            await sink.aclose()

    async def _drive(self, driver: LocalDriver) -> None:
        try:
            await driver.run()
        finally:
            await self._queue.put(None)

    def _make_driver(self, ledger: Ledger, run: Run, sink: Sink) -> LocalDriver:
        stages = Stages(
            client=self._client,
            ledger=ledger,
            run=run,
            sink=sink,
            planner=Planner(run.settings.provider),
            dearest=self._dearest,
            owner=f"{socket.gethostname()}:{os.getpid()}",
        )
        concurrency = Concurrency(submits=self.options.submits, downloads=self.options.downloads)
        return LocalDriver(stages, concurrency=concurrency, over=self._over, fed=self._fed)

    async def _over(self, job: Job) -> None:
        if job.key not in self._told:
            self._told[job.key] = job.state
            await self._queue.put(outcome_of(job, self._out))

    async def _left(self) -> AsyncIterator[JobOutcome]:
        """Jobs that nothing was done for: the run stopped, or what they need is held."""
        assert self.ledger is not None
        assert self.run is not None
        run = await self.ledger.get_run(self.run.id)
        stopped = run is not None and run.state is not RunState.ACTIVE
        why = {"type": "Stopped", "message": run.reason} if run is not None and stopped else {}
        after = 0
        while jobs := await self.ledger.select(self.run.id, (JobState.NEW, JobState.BLOCKED), after=after):
            after = jobs[-1].seq
            for job in jobs:
                if not job.part:
                    error = why or {"type": "PartHeld", "message": "a part that it needs is held or not done"}
                    yield attrs.evolve(outcome_of(job, self._out), error=error)

    async def _ended(self, *, earlier: bool) -> AsyncIterator[JobOutcome]:
        """Jobs that are over and were not told of: of an earlier process, or ended with a part that they needed."""
        assert self.ledger is not None
        assert self.run is not None
        after = 0
        over = await self._with_untold()
        while jobs := await self.ledger.select(self.run.id, over, after=after):
            after = jobs[-1].seq
            for job in jobs:
                if not job.part and job.key not in self._told:
                    self._told[job.key] = job.state
                    yield outcome_of(job, self._out, earlier=earlier)

    async def _with_untold(self) -> tuple[JobState, ...]:
        """States of jobs that are over, but for *done* when all that are done were told of, as nearly always."""
        assert self.ledger is not None
        assert self.run is not None
        counts = await self.ledger.counts(self.run.id)
        told = sum(state is JobState.DONE for state in self._told.values())
        left = {JobState.DONE} if counts.of(JobState.DONE) == told else set()
        return tuple(state for state in JobState if state.over and state not in left)
