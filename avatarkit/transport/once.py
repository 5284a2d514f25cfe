"""Sending what costs money and makes no task: once, and with a truthful doubt when no clear answer comes.

A synthesised sound, a rewritten script and a voice model come in the very answer. There is nothing to wait for and
nothing to find a lost one by, so such a request is repeated only when it surely was not carried out.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from avatarkit.errors import (
    AvatarKitError,
    BridgeError,
    ConfigurationError,
    DownloadFailed,
    InvalidRequest,
    ProviderError,
    SubmissionInDoubt,
    UnexpectedResponse,
)
from avatarkit.events import ProgressHook
from avatarkit.models import Kind, RawResponse, Ticket
from avatarkit.protocol.endpoint import Effect, Request
from avatarkit.protocol.outcome import Outcome, judge
from avatarkit.settings import DEFAULT_OPTIONS, CallOptions, SubmissionGate
from avatarkit.transport.account import Account
from avatarkit.transport.download import MAX_BYTES, Downloaded, acquire, checked
from avatarkit.transport.driver import small_body
from avatarkit.transport.encode import identity
from avatarkit.transport.partfile import Identity
from avatarkit.transport.progress import Meter
from avatarkit.transport.readers import PIECE
from avatarkit.transport.session import SendMark, send_mark
from avatarkit.transport.threads import in_thread

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
_logger = logging.getLogger("avatarkit")


async def once(
    account: Account, request: Request[T], options: CallOptions | None, kind: Kind | None = None
) -> T:
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
    gate = (options or DEFAULT_OPTIONS).gate
    hashed = await identity(request)
    tries, began = 1, account.clock.time()
    while True:
        try:
            return await (send() if gate is None else _gated(gate, account, request, send, kind, hashed))
        except (InvalidRequest, ConfigurationError, BridgeError):
            raise  # found on this side: no whole request went out
        except GateShut as shut:
            raise shut.error from None
        except AvatarKitError as error:
            outcome = judge(error, sent=True)
            if outcome is Outcome.IN_DOUBT:
                doubt = _doubt(account, request, error, _ticket(account, request, began, kind, hashed))
                level = logging.WARNING if gate is None else logging.DEBUG
                _logger.log(level, "a request ended in doubt (%s). %s", doubt.reason, doubt.where_to_look)
                raise doubt from error
            if outcome is Outcome.REFUSED or tries >= attempts or gate is not None:
                raise
            asked = error.retry_after if isinstance(error, ProviderError) else None
        await account.clock.sleep(asked if asked is not None else account.engine().driver.backoff(tries))
        tries += 1


class GateShut(Exception):
    """The gate kept the request from going out."""

    def __init__(self, error: AvatarKitError) -> None:
        super().__init__(str(error))
        self.error = error


async def _gated(
    gate: SubmissionGate,
    account: Account,
    request: Request[Any],
    send: Callable[[], Awaitable[T]],
    kind: Kind | None,
    hashed: str,
) -> T:
    """Send once the gate is open, and tell the gate what became of it."""
    ticket = _ticket(account, request, account.clock.time(), kind, hashed)
    try:
        seconds = await gate.open(ticket)
    except AvatarKitError as error:
        raise GateShut(error) from None
    mark = SendMark(math.inf)
    if seconds is not None:
        mark.deadline = account.clock.monotonic() + seconds
        mark.wall_deadline = account.clock.time() + seconds
    before = send_mark.set(mark)
    try:
        answer = await send()
    except BaseException as error:
        known = error if isinstance(error, AvatarKitError) else None
        # What is no error of ours, a cancellation above all, may have cut the exchange off at any point.
        outcome = judge(known or AvatarKitError(type(error).__name__), sent=mark.sent)
        await gate.settled(ticket, outcome.value, task_id="", token="", error=known)
        raise
    finally:
        send_mark.reset(before)
    await gate.settled(ticket, Outcome.ACCEPTED.value, task_id="", token="", error=None)
    return answer


def _ticket(account: Account, request: Request[Any], began: float, kind: Kind | None, hashed: str) -> Ticket:
    return Ticket(
        provider=account.spec.name,
        endpoint=request.endpoint.name,
        kind=kind.value if kind is not None else "",
        account=account.fingerprint,
        sent_at=began,
        request_hash=hashed,
        login=account.login,
    )


def _doubt(
    account: Account, request: Request[Any], error: AvatarKitError, ticket: Ticket
) -> SubmissionInDoubt:
    name = request.endpoint.name
    return SubmissionInDoubt(
        f"{account.spec.name} {name}: the request went out, but it is not known whether it was carried out ({error}); "
        "it was not sent again",
        ticket=ticket,
        reason=str(error),
        hint="There is nothing to find it by. Sending it again may pay a second time.",
    )


async def fetch(
    account: Account,
    request: Request[Any],
    path: str | os.PathLike[str],
    *,
    content_types: Iterable[str],
    overwrite: bool = False,
    progress: ProgressHook | None = None,
    max_bytes: int = MAX_BYTES,
    options: CallOptions | None = None,
) -> Downloaded:
    """Send *request* once and stream its binary answer into the file *path*, which is whole or not there at all.

    An answer of another status than 200, or of a type that begins with none of *content_types*, is read by
    ``request.read``, which must raise. To be wrapped in :func:`guarded`.

    Raises:
        InvalidRequest: the target exists or cannot be written; nothing was sent.
        TransportError: the answer did not come whole.
        DownloadFailed: it is larger than *max_bytes*.
    """
    sent = attrs.evolve(request, endpoint=attrs.evolve(request.endpoint, effect=Effect.SUBMIT))
    driver, began = account.engine().driver, account.clock.monotonic()
    kinds = tuple(content_types)
    part = await acquire(checked(path), overwrite=overwrite, digest=False)
    try:
        meter = Meter("down", part.target.name, None, progress=progress, emit=account.emit)

        async def take(answer: aiohttp.ClientResponse) -> RawResponse:
            if answer.status != 200 or not answer.content_type.startswith(kinds):
                return RawResponse(answer.status, answer.headers, await small_body(answer))
            part.begin(Identity())
            async for piece in answer.content.iter_chunked(PIECE):
                if part.have + len(piece) > max_bytes:
                    raise DownloadFailed(f"the answer is larger than the {max_bytes:,} bytes allowed")
                await in_thread(part.write, [piece])
                meter.moved(len(piece))
            return RawResponse(answer.status, answer.headers)

        await driver.turn(request.endpoint, 1)
        try:
            response = await driver.send(sent, options or DEFAULT_OPTIONS, take=take)
        finally:
            driver.limiter.done()
        if part.have == 0:
            request.read(response)
            raise UnexpectedResponse("the answer is empty", http_status=response.status, response=response)
        await in_thread(part.finish)
        size = part.have
    finally:
        await in_thread(part.close)
    return Downloaded(path=part.target, size=size, sha256="", seconds=account.clock.monotonic() - began)
