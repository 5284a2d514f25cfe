"""The gate of one submission: the ledger knows of it before the provider does, and of its outcome first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.records import Intent, Job, OpenAnswer, Opened
from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    BadRequest,
    InsufficientCredits,
    ProviderError,
    ProviderFault,
    RateLimited,
    TaskFailed,
    TooManyRunning,
)
from avatarkit.models import Ticket
from avatarkit.protocol.outcome import Outcome
from avatarkit.protocol.redact import scrub

T = TypeVar("T")
_logger = logging.getLogger("avatarkit")
SEND_SECONDS = 30.0
"""How long after its intent was written a submission may go out."""

_AGAIN = (0.5, 1.0, 2.0, 4.0, None)  # seconds between attempts to take an accepted task down
_PAUSE = 2.0  # seconds before a submission that surely was not accepted is tried again, at least


class NotNow(AvatarKitError):
    """The ledger did not open the gate."""

    def __init__(self, answer: OpenAnswer) -> None:
        super().__init__(f"not now: {answer.opened.value} {answer.reason}".strip())
        self.answer = answer


def error_facts(error: BaseException) -> dict[str, Any]:
    """*error* as data, without secrets."""
    facts: dict[str, Any] = {"type": type(error).__name__, "message": scrub(str(error))[:2000]}
    if isinstance(error, ProviderError | TaskFailed) and error.code:
        facts["code"] = error.code
    if isinstance(error, TaskFailed):
        facts["reason"] = error.reason.value
    if isinstance(error, ProviderError) and error.http_status:
        facts["http_status"] = error.http_status
    hint = getattr(error, "hint", "")
    if hint:
        facts["hint"] = scrub(hint)[:500]
    return facts


async def surely(call: Callable[[], Awaitable[T]]) -> T:
    """Call the ledger, and again while it is in trouble: what happened at the provider must not be forgotten."""
    for pause in _AGAIN:
        try:
            return await call()
        except AvatarKitError as error:
            if pause is None:
                raise
            _logger.warning("the ledger is in trouble and is asked again: %s", error)
            await asyncio.sleep(pause)
    raise AssertionError("unreachable")


class LedgerGate:
    """A :class:`~avatarkit.settings.SubmissionGate` in front of one job's submission.

    Args:
        ledger: where the job is.
        job: the job, as new.
        cost: what is set aside for it.
        owner: who submits, for people.
        turn: whether the ledger is asked for the submission's turn here, see :class:`Intent`.

    Attributes:
        opened: whether an intent was written.
        outcome: what became of the latest send.
        token, task_id, accepted_at: of the accepted task.
        repeats: whether it is sent under a name that was sent before, so that a refusal may mean that it is there.

    """

    def __init__(self, ledger: Ledger, job: Job, *, cost: float, owner: str, turn: bool = True) -> None:
        self._ledger = ledger
        self._job = job
        self._cost = cost
        self._owner = owner
        self._turn = turn
        self.attempt = job.attempt
        self.opened = False
        self.outcome: Outcome | None = None
        self.token = self.task_id = ""
        self.accepted_at = 0.0
        self.repeats = False

    async def open(self, ticket: Ticket) -> float | None:
        """Write the intent; raises NotNow when the ledger does not let it go out."""
        loop = asyncio.get_running_loop()
        began = loop.time()  # before the ledger's clock starts: its answer may be long on the way
        answer = await self._ledger.open_intent(
            Intent(
                run=self._job.run,
                key=self._job.key,
                attempt=self.attempt + 1,
                ticket=ticket,
                send_seconds=SEND_SECONDS,
                cost=self._cost,
                owner=self._owner,
                turn=self._turn,
            )
        )
        if answer.opened is not Opened.YES:
            raise NotNow(answer)
        self.attempt += 1
        self.opened = True
        return SEND_SECONDS - (loop.time() - began)

    async def settled(
        self, ticket: Ticket, outcome: str, *, task_id: str, token: str, error: AvatarKitError | None
    ) -> None:
        """Take the outcome down."""
        self.outcome = Outcome(outcome)
        run, key, attempt = self._job.run, self._job.key, self.attempt
        if self.outcome is Outcome.ACCEPTED:
            if token:
                await self._accepted(ticket, task_id, token)
            return  # an answer at once is taken down with what it holds, by whoever asked
        facts = error_facts(error) if error is not None else {"type": "Unknown", "message": "no answer"}
        if self.outcome is Outcome.IN_DOUBT:
            await surely(partial(self._ledger.doubt, run, key, attempt, error=facts))
        elif self.outcome in (Outcome.TRY_LATER, Outcome.NOT_SENT):
            await surely(partial(self._try_later, ticket, error, facts))
        else:
            await surely(partial(self._refused, error, facts))

    async def _accepted(self, ticket: Ticket, task_id: str, token: str) -> None:
        self.token, self.task_id = token, task_id
        taken = await surely(partial(self._take_down, task_id, token))
        if not taken:
            self.token = ""  # the job is somebody else's now
            # Somebody resolved the intent while its answer was on the way: two tasks may exist. Say so, lose neither.
            _logger.error(
                "job %s of run %s was resolved while its submission was accepted; the task's token is %s",
                self._job.key,
                self._job.run,
                token,
            )
            await self._ledger.remember(
                ticket.account,
                f"orphan:{self._job.run}:{self._job.key}:{self.attempt}",
                {"token": token},
            )

    async def _take_down(self, task_id: str, token: str) -> bool:
        job = (self._job.run, self._job.key, self.attempt)
        now = self.accepted_at = await self._ledger.now()
        if await self._ledger.accepted(*job, task_id=task_id, token=token, look_at=now):
            return True
        # Another worker may have held it while the answer was on its way here.
        return await self._ledger.adopt(*job, task_id=task_id, token=token, look_at=now)

    async def _try_later(
        self, ticket: Ticket, error: AvatarKitError | None, facts: Mapping[str, Any]
    ) -> None:
        asked = error.retry_after if isinstance(error, ProviderError) else None
        pause = max(asked or 0.0, _PAUSE)
        if isinstance(error, TooManyRunning):
            await self._ledger.too_many(ticket.account, pause)
        elif not isinstance(error, RateLimited):
            pause = max(pause, _PAUSE * 2)
        await self._put_back(facts, pause)

    async def _refused(self, error: AvatarKitError | None, facts: Mapping[str, Any]) -> None:
        run, key = self._job.run, self._job.key
        if isinstance(error, InsufficientCredits | AuthenticationError):
            await self._put_back(facts, 0.0)  # the run stops for it; the job is as good as ever
        elif isinstance(error, ProviderFault) or (self.repeats and isinstance(error, BadRequest)):
            # "Something went wrong" does not say when. Nobody is waiting, so it is looked up before it is sent again.
            await self._ledger.doubt(run, key, self.attempt, error=facts)
        else:
            await self._ledger.fail(run, key, self.attempt, error=facts)

    async def _put_back(self, facts: Mapping[str, Any], pause: float) -> None:
        now = await self._ledger.now()
        await self._ledger.put_back(
            self._job.run, self._job.key, self.attempt, error=facts, not_before=now + pause
        )
