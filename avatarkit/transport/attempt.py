"""One send of a submission, and the errors that are made of it."""

from __future__ import annotations

import asyncio
import hashlib
import math

import attrs

from avatarkit.errors import AvatarKitError, InsufficientCredits, ProviderError, SubmissionInDoubt
from avatarkit.models import Finding, Kind, Reconciliation, Ticket
from avatarkit.protocol.endpoint import Accepted, Request
from avatarkit.protocol.handle import Handle
from avatarkit.protocol.outcome import Outcome
from avatarkit.settings import CallOptions
from avatarkit.transport.session import SendMark
from avatarkit.transport.watched import Watched


@attrs.define(eq=False)
class Attempt:
    """One send of a submission and what became of it."""

    request: Request[Accepted]
    body: bytes = attrs.field(repr=False)
    marker: str
    size: float | None
    account: str
    provider: str
    made: float
    options: CallOptions
    began: float
    deadline: float
    queued: float = 0.0
    number: int = 1
    hashed: str = ""
    login: str = ""
    cured: bool = False
    outcome: Outcome | None = None
    error: AvatarKitError | None = None
    record: Watched | None = None
    started: bool = False
    detached: bool = False
    has_slot: bool = False
    ended: asyncio.Future[AvatarKitError | bool] | None = None
    mark: SendMark = attrs.field(factory=lambda: SendMark(math.inf))

    @property
    def ticket(self) -> Ticket:
        """Made when it is asked for, which for most submissions is never."""
        endpoint = self.request.endpoint
        return Ticket(
            provider=self.provider,
            endpoint=endpoint.name,
            kind=(endpoint.kind or Kind.VIDEO).value,
            account=self.account,
            marker=self.marker,
            guard=endpoint.guard,
            sent_at=self.made,
            request_hash=self.hashed or hashlib.sha256(self.body).hexdigest(),
            login=self.login,
        )


def ticket_of(handle: Handle) -> Ticket:
    """The ticket of a task that is known, whatever submission made it."""
    return Ticket(
        provider=handle.provider,
        endpoint="",
        kind=handle.kind.value,
        account=handle.account,
        marker=handle.marker,
        sent_at=handle.born,
    )


def as_far_as_seen(found: Reconciliation, ticket: Ticket, login: str) -> Reconciliation:
    """What *found*, asked for with the credentials *login*, says of a ticket that may come from others.

    The account may have been named by mistake, and what another account does not list may well be there.
    """
    if found.finding is not Finding.ABSENT or (ticket.login or ticket.account) == login:
        return found
    return Reconciliation(
        finding=Finding.CANNOT_TELL,
        explanation=f"{found.explanation}; but it was sent with other credentials than these, and should they be "
        "another account's, that says nothing",
    )


def doubt(attempt: Attempt, error: AvatarKitError) -> SubmissionInDoubt:
    """What is told of an attempt that ended with *error* once it may have reached the provider."""
    doubt = SubmissionInDoubt(
        f"{attempt.ticket.provider} {attempt.ticket.endpoint}: the request went out, but it is not known whether it "
        f"was accepted ({error}); it was not sent again",
        ticket=attempt.ticket,
        reason=str(error),
        hint="Ask client.reconcile(error.ticket) before you submit it again: it may have been paid for.",
    )
    doubt.__cause__ = error
    return doubt


def broke_again(error: ProviderError) -> ProviderError:
    """*error*, which ended another submission, for one that it keeps from going out."""
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
