"""Sending what costs money and makes no task: once, and with a truthful doubt when no clear answer comes.

A synthesised sound, a rewritten script and a voice model come in the very answer. There is nothing to wait for and
nothing to find a lost one by, so such a request is repeated only when it surely was not carried out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs

from avatarkit.errors import (
    AvatarKitError,
    BridgeError,
    ConfigurationError,
    InvalidRequest,
    ProviderError,
    SubmissionInDoubt,
)
from avatarkit.models import Kind, Ticket
from avatarkit.protocol.codec import encode
from avatarkit.protocol.endpoint import Effect, Request
from avatarkit.protocol.outcome import Outcome, judge
from avatarkit.settings import DEFAULT_OPTIONS, CallOptions
from avatarkit.transport.account import Account

T = TypeVar("T")


async def once(
    account: Account, request: Request[Any], options: CallOptions | None, kind: Kind | None = None
) -> Any:
    """Send *request* once, and again only when it surely was not carried out.

    Args:
        account: whose money it is.
        request: what is sent; the answer is small.
        options: what this call does differently.
        kind: what it makes, for the ticket.

    Raises:
        ProviderError: refused; nothing was made.
        NotSent: surely nothing reached the provider, after all retries.
        SubmissionInDoubt: it may have been carried out and billed. It was not sent again.

    """
    # As a submission it goes out on a fresh connection, with the longer time that one has.
    sent = attrs.evolve(request, endpoint=attrs.evolve(request.endpoint, effect=Effect.SUBMIT))
    single = attrs.evolve(options or DEFAULT_OPTIONS, retries=0)
    return await guarded(account, request, options, lambda: account.call(sent, single), kind)


async def guarded(
    account: Account,
    request: Request[Any],
    options: CallOptions | None,
    send: Callable[[], Awaitable[T]],
    kind: Kind | None = None,
) -> T:
    """What :func:`once` does, for any way of sending."""
    policy = (options or DEFAULT_OPTIONS).retries
    attempts = account.retry.attempts if policy is None else policy + 1
    tries, began = 1, account.clock.time()
    while True:
        try:
            return await send()
        except (InvalidRequest, ConfigurationError, BridgeError):
            raise  # found on this side: no whole request went out
        except AvatarKitError as error:
            outcome = judge(error, sent=True)
            if outcome is Outcome.IN_DOUBT:
                raise _doubt(account, request, error, began, kind) from error
            if outcome is Outcome.REFUSED or tries >= attempts:
                raise
            asked = error.retry_after if isinstance(error, ProviderError) else None
        await account.clock.sleep(asked if asked is not None else account.engine().driver.backoff(tries))
        tries += 1


def _doubt(
    account: Account, request: Request[Any], error: AvatarKitError, began: float, kind: Kind | None
) -> SubmissionInDoubt:
    name = request.endpoint.name
    ticket = Ticket(
        provider=account.spec.name,
        endpoint=name,
        kind=kind.value if kind is not None else "",
        account=account.fingerprint,
        sent_at=began,
        request_hash=hashlib.sha256(encode(request.body or {})).hexdigest(),
    )
    return SubmissionInDoubt(
        f"{account.spec.name} {name}: the request went out, but it is not known whether it was carried out ({error}); "
        "it was not sent again",
        ticket=ticket,
        reason=str(error),
        hint="YunApi offers nothing to find it by. Sending it again may pay a second time.",
    )
