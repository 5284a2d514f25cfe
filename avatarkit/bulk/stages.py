"""The stages of a job, each short and safe to run twice: submit, collect, reconcile.

``submit`` is the only place of a bulk run that may spend money. It writes an intent before the request can leave, and
whoever finds an intent never sends: the reconciler owns it. Looking at running jobs is in ``bulk/watch.py``.
"""

from __future__ import annotations

import enum
import logging
import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from avatarkit.bulk.gate import LedgerGate, NotNow, error_facts, surely
from avatarkit.bulk.handles import task_of
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.planning import Planner, part_keys, row_in
from avatarkit.bulk.records import Job, JobState, Look, Opened, Run, RunState
from avatarkit.bulk.specs import Row
from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    BadRequest,
    ConfigurationError,
    EntitlementError,
    InsufficientCredits,
    InvalidRequest,
    NotFound,
    SubmissionInDoubt,
    TaskFailed,
    UnsupportedOperation,
)
from avatarkit.models import FailureReason, Guard, Kind, Status
from avatarkit.protocol.outcome import Outcome
from avatarkit.protocol.plan import Step
from avatarkit.settings import CallOptions
from avatarkit.steps import kept, perform
from avatarkit.task import AsyncTask, snapshot_of

if TYPE_CHECKING:
    from avatarkit.client import AsyncClient

_logger = logging.getLogger("avatarkit")
_STOPPING = (InsufficientCredits, AuthenticationError, EntitlementError)
_UPLOAD_TRIES = 40  # about six hours
_MISSING_FOR = 600.0  # seconds for which the provider has to deny a task before that is believed
_REFUSED_FOR = (
    1200.0  # seconds of refused credentials after which a run ends; its tasks run on, for a later one
)
_RESULT_KEPT = (
    30 * 86400.0
)  # seconds for which a finished task's result is asked for; no vendor keeps it longer
_RETRY = 5.0  # seconds before what failed on this side is tried again; doubles
_LONGEST_RETRY = 600.0


class Sink(Protocol):
    """Where finished videos go."""

    async def put(self, artifact: Any, job: Job, row: Row) -> Mapping[str, Any]:
        """Store *artifact* whole; gives the facts of the file. Safe to run twice for one job."""
        ...

    async def check(self) -> None:
        """See whether anything can be stored, before anything is paid for; raises ConfigurationError when not."""
        ...

    async def settled(self, job: Job, result: Mapping[str, Any]) -> None:
        """The ledger knows the file now."""
        ...

    async def tidy(self, run: str) -> None:
        """The ledger has all results of *run*: drop what killed processes left to find theirs again."""
        ...

    async def aclose(self) -> None:
        """Let go of what is open."""
        ...


class Done(enum.Enum):
    """What came of a stage."""

    MOVED = "moved"
    """The job is in another state, or was already."""
    WAIT = "wait"
    """Not now; the job is as it was."""
    STOPPED = "stopped"
    """The run does not submit any more."""


@attrs.frozen
class Result:
    """What came of a stage.

    Attributes:
        seconds: to wait before it is tried again.
        budget: whether it is the budget that has to be waited for.
        running: the job, when it is running now.
        task: its handle, which knows that the task is new, as one made from its token would not.
        over: the job, when it is known to have come to its end.

    """

    done: Done
    seconds: float = 0.0
    budget: bool = False
    running: Job | None = None
    task: AsyncTask[Any] | None = None
    over: Job | None = None


@attrs.define(eq=False, kw_only=True)
class Stages:
    """The stages for one run on one client.

    Attributes:
        owner: who does it, for people.
        turns: whether submissions get their turn of the account's rate with their intent.
        stopped: why the run submits no more, as far as these stages found out.
        dearest: the most that a video was seen to cost.
        missing: since when the provider denies a running task, by key and attempt.
        refused_since: since when the credentials are refused by whatever is asked.
        held_in_row: jobs that were held since a submission was last accepted.
        troubled: when a finished job's result could not be fetched for the first time, by key.
        unrecorded: tokens of accepted tasks that the ledger could not take down, by key and attempt.
    """

    client: AsyncClient
    ledger: Ledger
    run: Run
    sink: Sink
    planner: Planner
    owner: str = ""
    turns: bool = True
    stopped: str = ""
    dearest: float = 0.0
    unrecorded: dict[tuple[str, int], str] = attrs.field(factory=dict)
    held_in_row: int = 0
    missing: dict[tuple[str, int], float] = attrs.field(factory=dict)
    refused_since: float | None = None
    troubled: dict[str, float] = attrs.field(factory=dict)
    _out: str = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._out = os.path.abspath(self.run.settings.out)  # noqa: PTH100 - of an URL too, which is not used then

    # -- submit

    async def submit(self, job: Job) -> Result:
        """Submit *job*, if it is still new. Billed."""
        if job.state is not JobState.NEW:
            return Result(Done.MOVED)
        cost = job.estimate if job.estimate is not None else self._usual_cost()
        gate = LedgerGate(self.ledger, job, cost=cost, owner=self.owner, turn=self.turns)
        try:
            needs = not job.part and part_keys(job.spec)
            parts = await self.ledger.parts_of(job.run, job.key) if needs else {}
            if await self._renewed(job.run, parts):
                return Result(Done.MOVED)
            ready = self.planner.ready(job, None if job.part else row_in(job.spec).request, parts)
            step, name = self.planner.name(job, ready.step, job.attempt + 1, born=self.run.created)
            if self._repeats(job, step):
                # Should the first request be carried out after all, the vendor refuses this one.
                name, gate.repeats = job.marker, True
            options = CallOptions(gate=gate, retries=0)
            answer = await perform(self.client, step, ready.made, name=name, options=options)
        except NotNow as shut:
            return self._not_now(shut)
        except AvatarKitError as error:
            return await self._not_submitted(job, gate, error)
        if step.makes is None:
            await self._answered(job, gate, step, answer)
            return Result(Done.MOVED)
        if not gate.token:
            return Result(Done.MOVED)
        self.held_in_row = 0
        running = job.but(
            state=JobState.RUNNING,
            attempt=gate.attempt,
            token=gate.token,
            task_id=gate.task_id,
            submitted_at=gate.accepted_at,
        )
        return Result(Done.MOVED, running=running, task=answer)

    async def _renewed(self, run: str, parts: Mapping[str, Job]) -> bool:
        """Whether a part is too old to be used, and was sent to be made again."""
        now = await self.ledger.now() if parts else 0.0
        old = [
            key
            for key, part in parts.items()
            if part.finished_at is not None and now - part.finished_at > self.planner.lasts(part)
        ]
        for key in old:
            await self.ledger.renew(run, key)
        return bool(old)

    def _repeats(self, job: Job, step: Step) -> bool:
        """Whether *job* was shown absent where the external id guards against a second one."""
        doubted = job.error.get("type") in ("Absent", "AlreadyThere")
        return bool(job.marker) and doubted and self.client.guard_of(step.operation) is Guard.EXTERNAL_ID

    def _usual_cost(self) -> float:
        """What a job of unknown price is taken to cost: what it was said to, or what such jobs have cost so far."""
        return max(self.run.settings.default_cost or 0.0, self.dearest)

    def _not_now(self, shut: NotNow) -> Result:
        answer = shut.answer
        if answer.opened is Opened.NOT_YOURS:
            return Result(Done.MOVED)
        if answer.opened is Opened.STOPPED:
            return Result(Done.STOPPED)
        return Result(Done.WAIT, max(0.05, answer.seconds), budget=answer.opened is Opened.BUDGET)

    async def _not_submitted(self, job: Job, gate: LedgerGate, error: AvatarKitError) -> Result:
        """The ledger knows already what became of a request that went out; here is what it means for the run."""
        if gate.token and gate.outcome is Outcome.ACCEPTED:
            # Paid for, and the ledger could not take it down: this process must not forget it.
            self.unrecorded[job.key, gate.attempt] = gate.token
            _logger.error("job %s was accepted, not taken down; go on with the token %s", job.key, gate.token)
            return Result(Done.MOVED)
        if isinstance(error, _STOPPING):
            await self.stop(f"{type(error).__name__}: {error}")
            return Result(Done.STOPPED)
        if gate.opened:
            if not isinstance(error, SubmissionInDoubt):
                await self._stop_after_failures()
            return Result(Done.MOVED)
        facts = error_facts(error)
        if isinstance(
            error, InvalidRequest | UnsupportedOperation | ConfigurationError | BadRequest | NotFound
        ):
            await self.ledger.fail(job.run, job.key, job.attempt, error=facts)
            await self._stop_after_failures()
            return Result(Done.MOVED)
        # An upload or a staging that did not work: nothing was billed, and it may work later.
        return await self._postpone(job, JobState.NEW, facts)

    async def _postpone(self, job: Job, state: JobState, facts: Mapping[str, Any]) -> Result:
        """Try again later what failed on this side or on the way: a trouble of ours ends no job that was paid for."""
        now = await self.ledger.now()
        if state is JobState.READY:
            if not self.troubled:
                why = facts.get("message", "")
                _logger.warning("a result could not be fetched or stored, and is tried again: %s", why)
            age = now - self.troubled.setdefault(job.key, now)
            most = self.run.settings.max_failures
            if most and len(self.troubled) >= most:
                await self.stop(
                    f"{len(self.troubled)} results cannot be fetched or stored: {facts.get('message', '')}"
                )
            over, pause = age > _RESULT_KEPT, min(max(_RETRY, age / 4), _LONGEST_RETRY)
        else:
            over, pause = job.tries >= _UPLOAD_TRIES, min(_RETRY * 2.0**job.tries, _LONGEST_RETRY)
        if over:
            await self.ledger.fail(job.run, job.key, job.attempt, error=facts)
            await self._stop_after_failures()
            return Result(Done.MOVED)
        await self.ledger.postpone(
            job.run, job.key, state, not_before=now + pause, error=facts, counts=state is JobState.NEW
        )
        return Result(Done.MOVED)

    async def _answered(self, job: Job, gate: LedgerGate, step: Step, answer: Any) -> None:
        result = {**kept(step, answer), "operation": step.operation}
        cost = getattr(answer, "cost", None)
        finish = partial(self.ledger.finish, job.run, job.key, gate.attempt, result=result, cost=cost)
        await surely(partial(finish, from_states=(JobState.INTENT,)))

    async def stop(self, reason: str) -> None:
        """Have the run submit no more; what is running is still collected."""
        if self.stopped:
            return  # each of the submissions that were under way together would say so
        self.stopped = reason
        _logger.warning("run %s submits no more: %s", self.run.id, reason)
        await self.ledger.set_run_state(self.run.id, RunState.STOPPED, reason[:500])

    async def refused(self, error: AuthenticationError) -> None:
        """The credentials were refused where nothing is submitted: for a while that may pass; then the run ends."""
        await self.stop(f"{type(error).__name__}: {error}")
        now = await self.ledger.now()
        self.refused_since = self.refused_since if self.refused_since is not None else now
        if now - self.refused_since > _REFUSED_FOR:
            raise error

    async def held(self) -> None:
        """A job was held. So many in a row that each would have to be looked up by hand stop the run."""
        self.held_in_row += 1
        most = self.run.settings.max_failures
        if most and self.held_in_row >= most:
            await self.stop(f"{self.held_in_row} submissions in a row ended in doubt")

    async def _stop_after_failures(self) -> None:
        most = self.run.settings.max_failures
        now = await self.ledger.get_run(self.run.id) if most else None
        if now is not None and now.state is RunState.ACTIVE and now.failures_in_row >= most:
            await self.stop(f"{now.failures_in_row} jobs in a row failed")

    # -- what a look showed

    def task_of(self, job: Job) -> AsyncTask[Any]:
        """The handle of a running or ready job. Sends nothing. Raises InvalidHandle when nothing says which it is."""
        return task_of(self.client, self.run.settings, job)

    async def look_of(self, job: Job, task: AsyncTask[Any], error: BaseException | None) -> Look | None:
        """What is to be told to the ledger of *task*, which ended or which the provider refuses to show with *error*.

        None when nothing is known that ends it.
        """
        if isinstance(error, NotFound):
            # A list that lags or a vendor's update can hide a task for a while, and it was paid for.
            now = await self.ledger.now()
            if now - self.missing.setdefault((job.key, job.attempt), now) >= _MISSING_FOR:
                return Look(key=job.key, attempt=job.attempt, state=JobState.FAILED, error=error_facts(error))
        if error is not None:
            return None  # it says nothing of this task: it is looked at again, here or in a later run
        self.missing.pop((job.key, job.attempt), None)
        snapshot = snapshot_of(task)
        if snapshot is None or not snapshot.status.terminal:
            return None
        if snapshot.status is not Status.SUCCEEDED:
            try:
                await task.wait(0.0)
            except TaskFailed as failed:
                return await self._failed(job, failed, snapshot.cost)
        return Look(key=job.key, attempt=job.attempt, state=JobState.READY, cost=snapshot.cost)

    async def _failed(self, job: Job, failed: TaskFailed, cost: float | None) -> Look:
        facts = error_facts(failed)
        again = failed.reason is FailureReason.PROVIDER_FAULT and job.tries < self.run.settings.retries
        if not again:
            return Look(key=job.key, attempt=job.attempt, state=JobState.FAILED, error=facts, cost=cost)
        pause = min(_RETRY * 2.0**job.tries, _LONGEST_RETRY)
        return Look(
            key=job.key,
            attempt=job.attempt,
            state=JobState.NEW,
            error=facts,
            cost=cost,
            not_before=await self.ledger.now() + pause,
        )

    async def settle(self, looks: list[Look]) -> list[str]:
        """Tell the ledger; gives the keys that are ready to be collected."""
        ready = await self.ledger.settle(self.run.id, looks)
        self.refused_since = None
        if any(look.state is JobState.FAILED for look in looks):
            await self._stop_after_failures()
        return ready

    # -- collect

    async def collect(self, job: Job, task: AsyncTask[Any] | None = None) -> Result:
        """Fetch what *job* made and record it: a file for a video, an id for a part. Free, safe to run twice."""
        if job.state is not JobState.READY:
            return Result(Done.MOVED)
        try:
            task = task if task is not None else self.task_of(job)
            if not task.done:
                await task.refresh()
            if not task.done:  # the provider took its word back
                return await self._postpone(
                    job, JobState.READY, {"type": "NotDone", "message": "not done yet"}
                )
            artifact = await task.wait(0.0)
            cost = getattr(artifact, "cost", None)
            if task.kind in (Kind.AVATAR, Kind.VOICE):
                result: Mapping[str, Any] = {"id": artifact.id, "kind": task.kind.value}
            else:
                row = row_in(job.spec)
                result = self._located(await self.sink.put(artifact, job, row))
        except TaskFailed as failed:
            await self.ledger.fail(job.run, job.key, job.attempt, error=error_facts(failed))
            return Result(Done.MOVED)
        except AvatarKitError as error:
            if isinstance(error, AuthenticationError):
                await self.refused(error)
            facts = {**error_facts(error), "token": job.token}
            return await self._postpone(job, JobState.READY, facts)
        finish = partial(self.ledger.finish, job.run, job.key, job.attempt, result=result, cost=cost)
        if not await surely(finish):
            return Result(Done.MOVED)
        self.troubled.pop(job.key, None)
        if not job.part:
            self.dearest = max(self.dearest, cost or 0.0)
            await self.sink.settled(job, result)
        over = job.but(state=JobState.DONE, result=result, cost=cost)
        return Result(Done.MOVED, over=over)

    def _located(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """*result* with where the file lies, whatever folder a later start of the run is given."""
        name = result.get("file")
        if result.get("location") or not name:
            return result
        return {**result, "location": os.path.join(self._out, name)}  # noqa: PTH118
