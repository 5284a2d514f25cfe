"""Several accounts, of one provider or of several, used as one. How one is chosen: ``routing``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from types import TracebackType
from typing import Any, NoReturn, Self

from avatarkit import providers
from avatarkit.artifacts import AsyncVideo
from avatarkit.client import AsyncClient
from avatarkit.errors import (
    AvatarKitError,
    ClientClosed,
    ConfigurationError,
    InvalidHandle,
    InvalidRequest,
    UnsupportedOperation,
)
from avatarkit.generation import all_capabilities
from avatarkit.models import Reconciliation, Ticket
from avatarkit.protocol.chain_token import PREFIX as CHAIN_PREFIX
from avatarkit.protocol.handle import from_token
from avatarkit.protocol.plan import Capabilities, Plan
from avatarkit.request import VideoRequest
from avatarkit.routing import Member, Roster, Walk, Way
from avatarkit.settings import DEFAULT_OPTIONS, CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.account import DetachedSubmission


class AsyncPool:
    """Several accounts as one: each request goes to one that can serve it and has room.

    Requests are spread evenly over the accounts that are capable of them and have a free task slot; when none has, a
    call waits for whichever is free first. It fails over to another account only when the submission was surely refused
    or surely not sent; :class:`SubmissionInDoubt` never does. Refused by the provider's content review, a request is
    not offered elsewhere.

    Ids of avatars and voices belong to a provider, and mostly to one account: name where they exist with *only*. Local
    files are uploaded to each account that gets a request with them.

    Example:
        async with AsyncPool([AsyncHiFly(token=a), AsyncHiFly(token=b), AsyncKling()]) as pool:
            task = await pool.generate(VideoRequest(image="face.png", audio="speech.mp3"))
            video = await task.wait()

    Args:
        clients: one client for each account. They can be used by themselves as well.
        close_clients: whether leaving ``async with``, or ``aclose()``, closes them too. Blocking handles that came from
            the pool end with it in any case; their tokens go on at the client.
        rest: seconds for which an account without credits, or whose credentials were refused, is asked only when no
            other is left.

    Raises:
        ConfigurationError: no clients, or two of one account.

    """

    _twins: object = None  # the blocking clients, which close their originals when nobody holds them any more

    def __init__(
        self, clients: Sequence[AsyncClient], *, close_clients: bool = True, rest: float = 300.0
    ) -> None:
        if not clients:
            raise ConfigurationError("a pool needs at least one client")
        accounts = {(client.spec.name, client.account_id) for client in clients}
        if len(accounts) < len(clients):
            raise ConfigurationError("two clients of this pool use the same account", hint="Leave one out.")
        self._close_clients = close_clients
        self._roster = Roster(tuple(Member(client) for client in clients), rest)

    # -- lifecycle

    async def __aenter__(self) -> Self:
        try:
            for client in self.clients:
                await client.__aenter__()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the calls that wait for a slot, and close the clients unless they are to be left open.

        What is under way is finished, as by each client's own ``aclose()``. May be called twice.
        """
        self._roster.close()
        error: BaseException | None = None
        for client in self.clients if self._close_clients else ():
            try:
                await client.aclose()
            except BaseException as caught:  # noqa: BLE001 - raised below, once all are closed
                error = error or caught
        if error is not None:
            raise error

    @property
    def closed(self) -> bool:
        """Whether the pool was closed."""
        return self._roster.closed

    @property
    def clients(self) -> tuple[AsyncClient, ...]:
        """The clients of all accounts, as they were given."""
        return tuple(member.client for member in self._roster.members)

    @property
    def capabilities(self) -> tuple[Capabilities, ...]:
        """What the pool can make: the capabilities of each provider in it."""
        return tuple({client.spec.name: client.capabilities for client in self.clients}.values())

    # -- generating

    async def generate(
        self,
        request: VideoRequest,
        *,
        only: str | Collection[str] | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Make the video that *request* describes, at one of the accounts. **Billed**, each step by itself.

        Args:
            request: what the video shall be; its ``options`` are by provider, so that one request can go to any.
            only: providers (``hifly``) or accounts (``client.account_id``) that may serve it; None is all. Needed when
                it names an avatar or a voice that not every account has.
            options: what the calls do differently. ``timeout`` bounds all attempts together.

        Raises:
            UnsupportedOperation: none of the accounts can do it; ``providers`` names those that can. Nothing was sent.
            InvalidRequest: it breaks the limits of each provider that could do it. Nothing was sent.
            ProviderError, TransportError: refused by the last account asked; the notes have the other refusals.
            SubmissionInDoubt: one account may have accepted it; no other was asked since.
            DeadlineExceeded, TooManyRunning: no slot came free in time.
            ConfigurationError: *only* names no account of the pool.
            ClientClosed: the pool is closed.

        """
        self._roster.check_open()
        gated = options is not None and options.gate is not None
        ways = _ways(request, self._chosen(only), gated=gated)
        return await Walk(self._roster, request, options or DEFAULT_OPTIONS, ways).run()

    def _chosen(self, only: str | Collection[str] | None) -> list[Member]:
        """The members that may serve a request and are open."""
        members = self._roster.members
        if only is not None:
            wanted = {only} if isinstance(only, str) else set(only)
            known = {name for member in members for name in (member.provider, member.client.account_id)}
            if not wanted or wanted - known:
                strange = ", ".join(map(repr, sorted(wanted - known))) or "none"
                raise ConfigurationError(
                    f"only: {strange} found, providers or account ids of the pool allowed"
                )
            members = tuple(one for one in members if wanted & {one.provider, one.client.account_id})
        found = [member for member in members if not member.client.closed]
        if not found:
            raise ClientClosed("the clients that may serve this request are closed; nothing was sent")
        return found

    # -- handles

    def task(self, token: str, *, same_account: bool = True) -> AsyncTask[Any]:
        """The handle that *token* names, at the account it belongs to. Sends nothing.

        Args:
            token: from ``task.to_token()``, also of a chain of steps.
            same_account: False accepts a token of one of the pool's providers that was made with other credentials.

        Raises:
            InvalidHandle: it is no token, or belongs to none of the accounts.

        """
        if token.strip().startswith(CHAIN_PREFIX):
            return self._chain(token)
        handle = from_token(token)
        for client in self.clients:
            if _is(client, handle.provider, handle.account):
                return client.task(token)
        for client in self.clients:
            if client.spec.name == handle.provider and not same_account:
                return client.task(token, same_account=False)
        raise InvalidHandle("this token belongs to none of the pool's accounts")

    def _chain(self, token: str) -> AsyncTask[Any]:
        # Such a token is signed with its account's key, so the account that can read it is the one.
        error = InvalidHandle("this token belongs to none of the pool's accounts")
        for client in self.clients:
            try:
                return client.task(token)
            except InvalidHandle as caught:
                error = caught
        raise error

    async def reconcile(self, ticket: Ticket) -> Reconciliation:
        """Find out at its account whether an in-doubt submission was accepted. Free; never submits anything.

        Raises:
            InvalidHandle: the ticket belongs to none of the accounts.

        """
        for client in self.clients:
            if _is(client, ticket.provider, ticket.account):
                return await client.reconcile(ticket)
        raise InvalidHandle("this ticket belongs to none of the pool's accounts")

    @property
    def detached_submissions(self) -> tuple[DetachedSubmission, ...]:
        """Submissions of all accounts whose callers were cancelled while they were under way, oldest first."""
        found = [one for client in self.clients for one in client.detached_submissions]
        return tuple(sorted(found, key=lambda one: one.ticket.sent_at))

    def __repr__(self) -> str:
        closed = ", closed" if self.closed else ""
        return f"<{type(self).__name__} of {', '.join(map(str, self._roster.members))}{closed}>"


def _is(client: AsyncClient, provider: str, account: str) -> bool:
    return (client.spec.name, client.account_id) == (provider, account)


def _ways(request: VideoRequest, members: Iterable[Member], *, gated: bool) -> list[Way]:
    """How each of *members* that can would serve *request*. Raises when none can."""
    request.check()
    ways: list[Way] = []
    plans: dict[str, Plan | AvatarKitError] = {}
    for member in members:
        name = member.provider
        if name not in plans:
            try:
                plans[name] = providers.part(name, "generate").plan(request, others=all_capabilities())
            except (UnsupportedOperation, InvalidRequest) as error:
                plans[name] = error
        plan = plans[name]
        if isinstance(plan, Plan):
            ways.append(Way.of(member, plan, gated=gated))
    if not ways:
        _nobody_can([plan for plan in plans.values() if isinstance(plan, AvatarKitError)])
    return ways


def _nobody_can(errors: list[AvatarKitError]) -> NoReturn:
    """Raise the one error that says why none of the providers can serve a request."""
    wrong = [error for error in errors if isinstance(error, InvalidRequest)]
    if len(errors) == 1:
        raise errors[0]
    if wrong:
        # Where a provider could do it, what keeps it from that is more use than what the others lack.
        raise InvalidRequest(list(dict.fromkeys(problem for error in wrong for problem in error.problems)))
    able = {name for error in errors if isinstance(error, UnsupportedOperation) for name in error.providers}
    raise UnsupportedOperation(
        f"no account of the pool can do this: {'; '.join(map(str, errors))}",
        providers=sorted(able),
        hint=f"These can: {', '.join(sorted(able))}." if able else "",
    )
