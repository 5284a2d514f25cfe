"""Finding out what became of submissions whose outcome is not known. Free; never sends anything that costs.

Where the provider can be asked, a doubt ends as adopted (the task is there) or as put back (two lists agree that it is
not, both younger than any request that may still be on its way); else it is held for the user.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import attrs

from avatarkit.bulk.records import Job, JobState
from avatarkit.errors import AuthenticationError, AvatarKitError
from avatarkit.models import Finding

if TYPE_CHECKING:
    from avatarkit.bulk.stages import Stages

_logger = logging.getLogger("avatarkit")
_ABSENT_APART = 30.0  # seconds between two looks that have to agree that a submission made nothing
_AT_ONCE = 8  # doubts that are looked up together; the account's limiter spaces what they send


@attrs.frozen(eq=False)
class Doubts:
    """The stage that resolves doubts, for the other stages' run."""

    _stages: Stages

    async def reconcile_all(
        self,
        jobs: Iterable[Job],
        *,
        wanted: Callable[[Job], bool],
        told: Callable[[Job, JobState], Awaitable[None]] | None = None,
    ) -> None:
        """Find out about *jobs*, which differ, a few at a time.

        Args:
            jobs: the doubts.
            wanted: asked right before a lookup; what is not wanted by then is left alone.
            told: called with each and the state it has now.

        Raises:
            Exception: what a lookup or *told* raised first. Those under way have ended by then, no other was begun.

        """
        left = iter(jobs)
        problems: list[Exception] = []

        async def look() -> None:
            for job in left:
                if problems:
                    return
                if not wanted(job):
                    continue
                try:
                    state = await self.reconcile(job)
                    if told is not None:
                        await told(job, state)
                except Exception as problem:  # noqa: BLE001 - raised below
                    problems.append(problem)

        await asyncio.gather(*(look() for _ in range(_AT_ONCE)))
        if problems:
            raise problems[0]

    async def reconcile(self, job: Job) -> JobState:
        """Find out what became of an intent whose outcome is not known; gives the state it has now. Free."""
        if token := self._stages.unrecorded.get((job.key, job.attempt)):
            return await self._adopt(job, token)
        ticket = job.ticket
        if ticket is None:
            return await self._hold(job, "nothing is known of what was sent")
        try:
            found = await self._stages.client.reconcile(ticket)
        except AuthenticationError as error:
            await self._stages.refused(error)
            return JobState.INTENT
        except AvatarKitError as error:
            _logger.info("job %s could not be looked up: %s", job.key, error)
            return JobState.INTENT
        self._stages.refused_since = None
        if found.finding is Finding.FOUND and found.token:
            return await self._adopt(job, found.token)
        if found.finding is Finding.FOUND and found.artifact_id and job.part:
            result = {"id": found.artifact_id}
            await self._stages.ledger.finish(
                job.run, job.key, job.attempt, result=result, from_states=(JobState.INTENT,)
            )
            return JobState.DONE
        if found.finding is Finding.ABSENT:
            return await self._absent(job, found.explanation)
        if found.later:
            return JobState.INTENT
        return await self._hold(job, found.explanation, found.candidates)

    async def _adopt(self, job: Job, token: str) -> JobState:
        task = self._stages.client.task(token)
        now = await self._stages.ledger.now()
        await self._stages.ledger.adopt(
            job.run, job.key, job.attempt, task_id=task.id, token=token, look_at=now
        )
        return JobState.RUNNING

    async def take_down_rest(self) -> None:
        """At the end of a run: tell the ledger, if it can be told by now, of accepted tasks that it does not know."""
        for (key, attempt), token in self._stages.unrecorded.items():
            try:
                now = await self._stages.ledger.now()
                task_id = self._stages.client.task(token).id
                await self._stages.ledger.adopt(
                    self._stages.run.id, key, attempt, task_id=task_id, token=token, look_at=now
                )
            except AvatarKitError as error:
                _logger.error("job %s: %s; its task goes on with the token %s", key, error, token)

    async def _absent(self, job: Job, explanation: str) -> JobState:
        now = await self._stages.ledger.now()
        # Two lists have to agree, both younger than any request that may still be on its way.
        if now < job.send_by + self._stages.client.submit_seconds:
            return JobState.INTENT
        since = await self._stages.ledger.absent(job.run, job.key, job.attempt)
        if now - since < _ABSENT_APART:
            return JobState.INTENT
        facts = {"type": "Absent", "message": explanation}
        await self._stages.ledger.put_back(job.run, job.key, job.attempt, error=facts, not_before=now)
        return JobState.NEW

    async def _hold(self, job: Job, why: str, candidates: tuple[str, ...] = ()) -> JobState:
        facts: dict[str, Any] = {"type": "InDoubt", "message": why}
        if candidates:
            facts["candidates"] = list(candidates[:20])
        await self._stages.ledger.hold(job.run, job.key, job.attempt, error=facts)
        await self._stages.held()
        return JobState.HELD
