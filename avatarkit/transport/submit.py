"""Submitting a task: the one place that may spend money.

Invariants:

1. A request goes out only with a slot of its pool and a turn of the limiter.
2. The exchange runs in a task of its own. Cancelling the caller before a connection stands keeps the request from going
   out; after that nothing cuts it short: its outcome is recorded, told to the hooks, and kept in ``account.detached``.
3. After a byte may have gone out, only a clear refusal allows another send (see ``protocol.outcome``).
4. A slot is given back exactly once: on every outcome but *accepted*, or when the task turns terminal.
5. Once the provider says that there is no money left, submissions that were already waiting are not sent.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from typing import TYPE_CHECKING

import attrs

from avatarkit.errors import (
    AvatarKitError,
    DeadlineExceeded,
    InsufficientCredits,
    ProviderError,
    RateLimited,
    SubmissionInDoubt,
    TooManyRunning,
)
from avatarkit.events import RetryScheduled, Throttled
from avatarkit.models import Kind, Ticket
from avatarkit.protocol.codec import encode
from avatarkit.protocol.endpoint import Accepted, Request
from avatarkit.protocol.outcome import Outcome, judge
from avatarkit.settings import CallOptions
from avatarkit.transport.polling import Watched
from avatarkit.transport.session import SendMark, send_mark

if TYPE_CHECKING:
    from avatarkit.transport.account import Account
    from avatarkit.transport.driver import Driver
    from avatarkit.transport.slots import TaskSlots

_SUBMIT = 0  # the limiter's priority for submissions


@attrs.define(eq=False)
class Attempt:
    """One send of a submission and what became of it."""

    request: Request[Accepted]
    body: bytes
    marker: str
    size: float | None
    ticket: Ticket
    number: int = 1
    outcome: Outcome | None = None
    error: AvatarKitError | None = None
    record: Watched | None = None
    detached: bool = False
    mark: SendMark = attrs.field(factory=lambda: SendMark(math.inf))


class Submitter:
    """Submits an account's tasks on one running loop."""

    def __init__(self, account: Account, driver: Driver) -> None:
        self._account = account
        self._driver = driver
        self.running: set[asyncio.Task[None]] = set()

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
        body = encode(request.body or {})
        attempt, sends = self._attempt(request, body, marker, size), 0
        while True:
            await self._wait_for_place(attempt, min(deadline, began + account.timeouts.slot), began)
            sends += 1
            attempt.number = sends
            await self._exchange(attempt, options, deadline)
            if attempt.outcome is Outcome.ACCEPTED and attempt.record is not None:
                return attempt.record
            error = attempt.error or AvatarKitError("no outcome")
            delay = self._again(attempt, error, sends, options)
            if delay is None or clock.monotonic() + delay > min(deadline, began + account.timeouts.slot):
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
            await clock.sleep(delay)
            attempt = self._attempt(request, body, marker, size, error)

    def _attempt(
        self,
        request: Request[Accepted],
        body: bytes,
        marker: str,
        size: float | None,
        last: AvatarKitError | None = None,
    ) -> Attempt:
        account, endpoint = self._account, request.endpoint
        ticket = Ticket(
            provider=account.spec.name,
            endpoint=endpoint.name,
            kind=(endpoint.kind or Kind.VIDEO).value,
            account=account.fingerprint,
            marker=marker,
            guard=endpoint.guard,
            sent_at=account.clock.time(),
            request_hash=hashlib.sha256(body).hexdigest(),
        )
        return Attempt(request=request, body=body, marker=marker, size=size, ticket=ticket, error=last)

    def _again(
        self, attempt: Attempt, error: AvatarKitError, sends: int, options: CallOptions
    ) -> float | None:
        """Seconds before the next send; None when there must not be one."""
        if attempt.outcome is Outcome.TRY_LATER:
            # Waiting for a slot is not a retry: the place in the queue and the deadline bound it.
            if isinstance(error, RateLimited):
                return error.retry_after if error.retry_after is not None else self._driver.backoff(sends)
            return 0.0
        if attempt.outcome is Outcome.NOT_SENT:
            attempts = self._account.retry.attempts if options.retries is None else options.retries + 1
            return self._driver.backoff(sends) if sends < attempts else None
        return None

    async def _wait_for_place(self, attempt: Attempt, deadline: float, began: float) -> None:
        """Take a slot and a turn, or neither."""
        account, endpoint = self._account, attempt.request.endpoint
        slots = account.slots.get(endpoint.pool)
        while True:
            if slots is not None and not slots.try_acquire():
                await self._wait_for_slot(slots, attempt, deadline)
            try:
                await self._driver.turn(endpoint, _SUBMIT)
            except BaseException:
                if slots is not None:
                    slots.release(ran=False)
                raise
            broke = account.broke is not None and account.broke[0] >= began
            if not broke and (slots is None or not slots.overdrawn):
                return
            # No money left, or the cap fell while this submission waited for its turn: it does not go out now.
            self._driver.limiter.done()
            if slots is not None:
                slots.release(ran=False)
            if broke and account.broke is not None:
                raise _copy(account.broke[1])

    async def _wait_for_slot(self, slots: TaskSlots, attempt: Attempt, deadline: float) -> None:
        account, endpoint = self._account, attempt.request.endpoint
        try:
            waited = await slots.acquire(None if deadline == math.inf else deadline)
        except DeadlineExceeded:
            if isinstance(attempt.error, TooManyRunning):
                raise attempt.error from None
            raise
        account.emit(
            Throttled(provider=account.spec.name, endpoint=endpoint.name, why="slot", seconds=waited)
        )

    async def _exchange(self, attempt: Attempt, options: CallOptions, deadline: float) -> None:
        task = asyncio.get_running_loop().create_task(self._run(attempt, options, deadline))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            attempt.detached = True
            if not attempt.mark.sent:
                attempt.mark.deadline = -math.inf  # the connector lets nothing out after its deadline
            self._account.detach(attempt)
            raise

    async def _run(self, attempt: Attempt, options: CallOptions, deadline: float) -> None:
        account = self._account
        mark = attempt.mark
        mark.deadline = min(mark.deadline, deadline)
        send_mark.set(mark)
        error: AvatarKitError | None = None
        accepted: Accepted | None = None
        try:
            response = await self._driver.send(
                attempt.request,
                options,
                attempt=attempt.number,
                body=attempt.body,
                seconds=None if deadline == math.inf else max(0.001, deadline - account.clock.monotonic()),
            )
            accepted = attempt.request.read(response)
        except AvatarKitError as caught:
            error = caught
        except BaseException as caught:
            # The loop is going down under a request that may have left.
            error = AvatarKitError(f"the exchange was cut off ({type(caught).__name__})")
            self._settle(attempt, None, error, sent=mark.sent)
            raise
        finally:
            self._driver.limiter.done()
        self._settle(attempt, accepted, error, sent=mark.sent)
        if isinstance(error, InsufficientCredits):
            account.broke = (account.clock.monotonic(), error)
        if isinstance(error, RateLimited):
            self._driver.limiter.cool_down(error.retry_after or self._driver.backoff(attempt.number))

    def _settle(
        self, attempt: Attempt, accepted: Accepted | None, error: AvatarKitError | None, *, sent: bool
    ) -> None:
        account, endpoint = self._account, attempt.request.endpoint
        attempt.outcome = judge(error, sent=sent)
        slots = account.slots.get(endpoint.pool)
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
            error = _doubt(attempt, error)
        attempt.error = error
        account.submission_settled(attempt)


def _doubt(attempt: Attempt, error: AvatarKitError) -> SubmissionInDoubt:
    doubt = SubmissionInDoubt(
        f"{attempt.ticket.provider} {attempt.ticket.endpoint}: the request went out, but it is not known whether it "
        f"was accepted ({error}); it was not sent again",
        ticket=attempt.ticket,
        reason=str(error),
        hint="Ask client.reconcile(error.ticket) before you submit it again: it may have been paid for.",
    )
    doubt.__cause__ = error
    return doubt


def _copy(error: ProviderError) -> ProviderError:
    fresh = InsufficientCredits(
        error.message,
        provider=error.provider,
        endpoint=error.endpoint,
        code=error.code,
        http_status=error.http_status,
        request_id=error.request_id,
        response=error.response,
        hint=error.hint,
    )
    fresh.__cause__ = error
    return fresh
