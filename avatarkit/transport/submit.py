"""Submitting a task: the one place that may spend money.

Invariants:

1. A request goes out only with a slot of its pool and a turn of the limiter.
2. The exchange runs in a worker's task, not in the caller's. Cancelling the caller before its turn has come, or before
   a connection stands, keeps the request from going out; after that nothing cuts it short: its outcome is recorded,
   told to the hooks, and kept in ``account.detached``.
3. After a byte may have gone out, only a clear refusal allows another send (see ``protocol.outcome``).
4. A slot is given back exactly once: on every outcome but *accepted*, or when the task turns terminal.
5. Once the provider says that there is no money left, or the client is closed, submissions that were already waiting
   are not sent.
6. With a gate (``CallOptions.gate``), nothing goes out before it opened, and it is told every outcome before the caller
   is. It stands in for the account's slots.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from avatarkit.errors import (
    AvatarKitError,
    ClientClosed,
    DeadlineExceeded,
    InsufficientCredits,
    ProviderError,
    RateLimited,
    SubmissionInDoubt,
    TooManyRunning,
)
from avatarkit.events import RetryScheduled, Throttled
from avatarkit.models import Guard, Kind
from avatarkit.protocol.codec import encode
from avatarkit.protocol.endpoint import Accepted, Request
from avatarkit.protocol.handle import to_token
from avatarkit.protocol.outcome import Outcome, judge
from avatarkit.settings import CallOptions
from avatarkit.transport.attempt import Attempt, broke_again, doubt
from avatarkit.transport.crew import Crew
from avatarkit.transport.encode import identity
from avatarkit.transport.polling import Watched
from avatarkit.transport.session import send_mark
from avatarkit.transport.slots import TaskSlots

if TYPE_CHECKING:
    from avatarkit.transport.account import Account
    from avatarkit.transport.driver import Driver

_logger = logging.getLogger("avatarkit")
_SUBMIT = 0  # the limiter's priority for submissions
_ONLY_THE_CONSOLE = (
    "Look for it in the provider's console before you submit it again: it may have been paid for."
)


class Submitter:
    """Submits an account's tasks on one running loop."""

    def __init__(self, account: Account, driver: Driver) -> None:
        self._account = account
        self._driver = driver
        self._waiting: dict[asyncio.Task[Any], bool] = {}
        self._crew: Crew[Attempt] = Crew(
            driver.limiter, _SUBMIT, driver.in_progress, wanted=_still_wanted, do=self._run
        )

    @property
    def running(self) -> set[asyncio.Task[None]]:
        """The tasks that have a submission in hand."""
        return self._crew.busy

    async def submit(
        self, request: Request[Accepted], options: CallOptions, *, marker: str = "", size: float | None = None
    ) -> Watched:
        """Submit until it is accepted, refused, in doubt, or out of time.

        Raises:
            ProviderError: refused.
            SubmissionInDoubt: it may have been accepted; carries the ticket.
            NotSent: surely nothing reached the provider, after all retries.
            DeadlineExceeded, TooManyRunning: no free slot in time; nothing is running.

        """
        account, clock = self._account, self._account.clock
        began = clock.monotonic()
        limit = options.timeout or account.timeouts.call
        deadline = began + limit if limit is not None else math.inf
        slot = account.timeouts.slot
        last = deadline if slot is None else min(deadline, began + slot)
        body = encode(request.body or {})
        hashed = ""
        if request.stream is not None and request.body is None:
            hashed = await identity(request, seconds=limit)
        sends, error, cured = 0, None, False
        while True:
            attempt = Attempt(
                request,
                body,
                marker,
                size,
                account.fingerprint,
                account.spec.name,
                account.clock.time(),
                options,
                began,
                deadline,
                number=sends + 1,
                hashed=hashed,
                login=account.login,
                error=error,
                cured=cured,
            )
            sends += 1
            went_out = False
            while not went_out:
                await self._wait_for_slot(attempt, last)
                went_out = await self._exchange(attempt)
            if attempt.outcome is Outcome.ACCEPTED and attempt.record is not None:
                return attempt.record
            error = attempt.error or AvatarKitError("no outcome")
            delay = self._again(attempt, error, sends, options)
            cured = attempt.cured
            if delay is None or clock.monotonic() + delay > last:
                if isinstance(error, SubmissionInDoubt):
                    # Here, not where it ends: of one whose caller went away the account tells.
                    gated = options.gate is not None  # whoever has a gate keeps books of its own
                    _logger.log(logging.DEBUG if gated else logging.WARNING, "%s", _doubt_line(error))
                raise error
            account.emit(
                RetryScheduled(
                    provider=account.spec.name,
                    endpoint=request.endpoint.name,
                    attempt=sends,
                    delay=delay,
                    reason=str(error),
                )
            )
            with self._idle():
                await clock.sleep(delay)

    @contextlib.contextmanager
    def _idle(self) -> Iterator[None]:
        """While a caller only waits, closing the client ends its wait: nothing of it is under way."""
        task = asyncio.current_task()
        assert task is not None
        before = task.cancelling()
        self._waiting[task] = False
        try:
            yield
        except asyncio.CancelledError:
            if self._waiting[task] and task.uncancel() <= before:
                raise ClientClosed("the client was closed; nothing was sent") from None
            raise
        finally:
            del self._waiting[task]

    def dismiss(self) -> None:
        """End the waits of callers that have nothing under way: the client is being closed."""
        for task, dismissed in self._waiting.items():
            if not dismissed:
                self._waiting[task] = True
                task.cancel()

    async def aclose(self) -> None:
        """Let the workers go; callers whose turn has not come get ClientClosed. Nothing may be under way."""
        await self._crew.dismiss()
        for attempt in self._crew.queue:
            if attempt.ended is not None and not attempt.ended.done():
                self._give_back_slot(attempt)
                attempt.ended.set_result(ClientClosed("the client was closed; nothing was sent"))
        self._crew.queue.clear()

    def _again(
        self, attempt: Attempt, error: AvatarKitError, sends: int, options: CallOptions
    ) -> float | None:
        """Seconds before the next send; None when there must not be one."""
        if attempt.outcome is Outcome.TRY_LATER:
            if options.gate is not None:
                return None
            # Waiting for a slot is not a retry: the place in the queue and the deadline bound it.
            if isinstance(error, RateLimited):
                return error.retry_after if error.retry_after is not None else self._driver.backoff(sends)
            # Without a pool there is no slot to wait for.
            return 0.0 if attempt.request.endpoint.pool else self._driver.backoff(sends)
        if attempt.outcome is Outcome.REFUSED and not attempt.cured:
            attempt.cured = self._driver.renewal.cures(error, since=attempt.queued)
            return 0.0 if attempt.cured else None
        if attempt.outcome is Outcome.NOT_SENT:
            attempts = self._account.retry.attempts if options.retries is None else options.retries + 1
            return self._driver.backoff(sends) if sends < attempts else None
        return None

    async def _wait_for_slot(self, attempt: Attempt, deadline: float) -> None:
        account, endpoint = self._account, attempt.request.endpoint
        slots = self._slots(attempt)
        if slots is None:
            return
        if slots.try_acquire():
            attempt.has_slot = True
            return
        try:
            with self._idle():
                waited = await slots.acquire(None if deadline == math.inf else deadline)
        except DeadlineExceeded:
            if isinstance(attempt.error, TooManyRunning):
                raise attempt.error from None
            raise
        attempt.has_slot = True
        account.emit(
            Throttled(provider=account.spec.name, endpoint=endpoint.name, why="slot", seconds=waited)
        )

    async def _exchange(self, attempt: Attempt) -> bool:
        """Queue *attempt*, which has a slot, for its turn, and wait for its outcome; False: it lost its slot."""
        ended: asyncio.Future[AvatarKitError | bool] = asyncio.get_running_loop().create_future()
        attempt.ended = ended
        attempt.queued = self._account.clock.monotonic()
        crew = self._crew
        crew.queue.append(attempt)
        crew.hire()
        try:
            result = await ended
        except asyncio.CancelledError:
            if not attempt.started:
                self._give_back_slot(attempt)  # the crew drops it from the queue
                raise
            attempt.detached = True
            if not attempt.mark.sent:
                attempt.mark.deadline = -math.inf  # the connector lets nothing out after its deadline
            self._account.detach(attempt)
            raise
        if isinstance(result, AvatarKitError):
            raise result
        return result

    def _slots(self, attempt: Attempt) -> TaskSlots | None:
        gated = attempt.options.gate is not None
        return None if gated else self._account.slots.get(attempt.request.endpoint.pool)

    def _give_back_slot(self, attempt: Attempt) -> None:
        slots = self._slots(attempt)
        if slots is not None and attempt.has_slot:
            attempt.has_slot = False
            slots.release(ran=False)

    def _stopped(self, attempt: Attempt) -> AvatarKitError | bool:
        """Why an attempt whose turn has come must not go out now; True when nothing keeps it."""
        account = self._account
        if account.broke is not None and account.broke[0] >= attempt.began:
            return broke_again(account.broke[1])
        if account.closed:
            return ClientClosed("the client was closed; nothing was sent")
        # The cap may have fallen while this submission waited for its turn.
        slots = self._slots(attempt)
        return slots is None or not slots.overdrawn

    async def _run(self, attempt: Attempt) -> None:
        """Carry out *attempt*, whose turn has come, and tell its caller."""
        ended = attempt.ended
        assert ended is not None
        stopped = self._stopped(attempt)
        if stopped is not True:
            self._give_back_slot(attempt)
            ended.set_result(stopped)
            return
        attempt.started = True
        self._tell_throttled(attempt)
        verdict: AvatarKitError | bool = True
        try:
            verdict = await self._gated(attempt) if attempt.options.gate else await self._send(attempt)
        finally:
            if not ended.done():
                ended.set_result(verdict)

    async def _gated(self, attempt: Attempt) -> AvatarKitError | bool:
        """Send *attempt* once its gate is open, and tell the gate; True, or what keeps the caller from going on."""
        gate, account = attempt.options.gate, self._account
        assert gate is not None
        attempt.made = account.clock.time()  # it may have waited long for its turn
        ticket = attempt.ticket
        began, wall = account.clock.monotonic(), attempt.made
        try:
            seconds = await gate.open(ticket)
            if seconds is not None:
                now = account.clock.monotonic()
                attempt.mark.deadline = min(attempt.mark.deadline, now + seconds)
                attempt.mark.wall_deadline = wall + (now - began) + seconds
        except AvatarKitError as error:
            attempt.outcome = Outcome.NOT_SENT
            return error
        await self._send(attempt)
        record, outcome = attempt.record, attempt.outcome or Outcome.IN_DOUBT
        token = to_token(account.handle(record)) if record is not None else ""
        task_id = record.task_id if record is not None else ""
        try:
            await gate.settled(ticket, outcome.value, task_id=task_id, token=token, error=attempt.error)
        except AvatarKitError as error:
            if record is not None:
                account.name_task(error, record)  # it was paid for, and the gate could not take it down
            return error
        return True

    def _tell_throttled(self, attempt: Attempt) -> None:
        account = self._account
        if account.hooks:
            waited = account.clock.monotonic() - attempt.queued
            if waited > 0.001:
                name = attempt.request.endpoint.name
                account.emit(Throttled(provider=account.spec.name, endpoint=name, why="rate", seconds=waited))

    async def _send(self, attempt: Attempt) -> bool:
        account, mark, deadline = self._account, attempt.mark, attempt.deadline
        mark.deadline = min(mark.deadline, deadline)
        send_mark.set(mark)
        error: AvatarKitError | None = None
        accepted: Accepted | None = None
        try:
            response = await self._driver.send(
                attempt.request,
                attempt.options,
                attempt=attempt.number,
                body=attempt.body,
                seconds=None if deadline == math.inf else max(0.001, deadline - account.clock.monotonic()),
            )
            accepted = attempt.request.read(response)
        except AvatarKitError as caught:
            error = caught
        except BaseException as caught:
            # A defect of ours, or the loop is going down under a request that may have left.
            error = AvatarKitError(f"the exchange was cut off ({type(caught).__name__})")
            error.__cause__ = caught
            self._settle(attempt, None, error, sent=mark.sent)
            if isinstance(caught, Exception):
                return True
            raise
        finally:
            send_mark.set(None)  # what this worker does or starts next is another request
        self._settle(attempt, accepted, error, sent=mark.sent)
        if isinstance(error, InsufficientCredits):
            account.broke = (account.clock.monotonic(), error)
        if isinstance(error, ProviderError) and (isinstance(error, RateLimited) or error.http_status == 429):
            # Also when the 429 leaves a doubt about this one: the others must not run into the same wall.
            self._driver.limiter.cool_down(error.retry_after or self._driver.backoff(attempt.number))
        return True

    def _settle(
        self, attempt: Attempt, accepted: Accepted | None, error: AvatarKitError | None, *, sent: bool
    ) -> None:
        account, endpoint = self._account, attempt.request.endpoint
        attempt.outcome = judge(error, sent=sent)
        slots = self._slots(attempt)
        attempt.has_slot = False  # from here it is the task's, or given back
        if attempt.outcome is Outcome.ACCEPTED and accepted is not None:
            if slots is not None:
                slots.accepted()
            attempt.record = account.remember(
                accepted.task_id,
                endpoint.kind or Kind.VIDEO,
                size=attempt.size,
                marker=attempt.marker,
                holds=slots,
            )
        elif slots is not None:
            if isinstance(error, TooManyRunning):
                slots.refused(error.retry_after)
            slots.release(ran=False)
        if attempt.outcome is Outcome.IN_DOUBT and error is not None:
            error = doubt(attempt, error)
            if endpoint.guard is Guard.NONE:
                error.hint = _ONLY_THE_CONSOLE
        attempt.error = error
        account.submission_settled(attempt)


def _doubt_line(error: SubmissionInDoubt) -> str:
    return f"a submission ended in doubt ({error.reason}); it was not sent again. {error.where_to_look}"


def _still_wanted(attempt: Attempt) -> bool:
    return attempt.ended is not None and not attempt.ended.done()
