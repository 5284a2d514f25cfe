"""What every provider's client has in common."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn, Self, TypeVar
from urllib.parse import urlencode

from avatarkit.artifacts import AsyncVideo
from avatarkit.chain import AsyncChain
from avatarkit.client_options import ClientOptions, account_of, found, read_credentials
from avatarkit.errors import ConfigurationError, InvalidHandle, InvalidRequest
from avatarkit.generation import generate
from avatarkit.models import Finding, Guard, Kind, RawResponse, Reconciliation, Ticket
from avatarkit.protocol.auth import Auth
from avatarkit.protocol.chain_token import PREFIX as CHAIN_PREFIX
from avatarkit.protocol.chain_token import from_chain_token
from avatarkit.protocol.endpoint import Accepted, Effect, Endpoint, ProviderSpec, Request, TaskKind
from avatarkit.protocol.handle import Handle, to_token
from avatarkit.protocol.plan import Capabilities
from avatarkit.request import VideoRequest
from avatarkit.settings import DEFAULT_OPTIONS, CallOptions
from avatarkit.task import AsyncTask, check_ticket, check_token
from avatarkit.transport.account import Account, DetachedSubmission
from avatarkit.transport.attempt import as_far_as_seen
from avatarkit.transport.clock import Clock
from avatarkit.transport.staging import close_staging, staging_of
from avatarkit.transport.uploads_cache import UploadCache

if TYPE_CHECKING:
    from avatarkit.bulk.feeding import Jobs
    from avatarkit.bulk.run import JobOutcome

__all__ = ["AsyncClient", "AsyncResource", "ClientOptions", "read_credentials"]

T = TypeVar("T")
_MOST_CHAINS = 10_000


class AsyncClient:
    """Base of the providers' clients: lifecycle, handles, reconciling, raw requests.

    A client belongs to one running event loop at a time. It may outlive ``asyncio.run`` and be used in the next one;
    its learned limits and handles go with it. Leaving ``async with``, or ``aclose()``, finishes submissions that are
    under way and closes every connection.
    """

    spec: ClassVar[ProviderSpec]
    capabilities: ClassVar[Capabilities]

    def __init__(self, account: Account) -> None:
        self._account = account
        self._chains: dict[str, AsyncChain] = {}

    @classmethod
    def _open_account(
        cls,
        credentials: tuple[str, ...],
        auth: Auth,
        options: ClientOptions,
        kinds: Mapping[Kind, TaskKind] | None = None,
    ) -> Account:
        """The account of these credentials; *kinds* replaces the provider's own where they depend on them."""
        return account_of(cls.spec, credentials, auth, options, kinds)

    # -- lifecycle

    async def __aenter__(self) -> Self:
        self._account.engine()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Finish submissions that are under way, end all waits, close every connection. May be called twice.

        It is carried to its end also inside a cancelled scope: what was paid for is not cut off half-way.
        """
        from anyio import CancelScope

        # anyio cancels every await of a cancelled scope anew; clean-up needs a shield against that.
        with CancelScope(shield=True):
            await self._account.aclose()
            await close_staging(self._account)

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._account.closed

    # -- handles

    @property
    def account_id(self) -> str:
        """The name given to the account, else a fingerprint of it, which reveals nothing of the credentials."""
        return self._account.fingerprint

    @property
    def max_running(self) -> int | None:
        """The most tasks that run at once, as set or as learned from the provider; None while nothing is known."""
        caps = [slots.cap for slots in self._account.slots.values() if slots.cap is not None]
        return min(caps, default=None)

    def task(self, token: str, *, same_account: bool = True) -> AsyncTask[Any]:
        """The handle that *token* names. Sends nothing.

        Args:
            token: from ``task.to_token()``.
            same_account: False accepts a token that was made with other credentials, as after changing the account's
                key; the client option ``account`` does so for all of them. Whether the provider shows the task is then
                up to it.

        Raises:
            InvalidHandle: it is no token, or belongs to another provider or account.

        """
        if not isinstance(token, str):
            raise InvalidHandle(
                f"task: {found(token)} found, the token of a task allowed", hint="task.to_token() gives it."
            )
        if token.strip().startswith(CHAIN_PREFIX):
            return self._resume_chain(token)
        return AsyncTask(self._account, check_token(token, self._account, same_account=same_account))

    def _resume_chain(self, token: str) -> AsyncChain:
        handle = from_chain_token(token, self._account.signing_key)
        known = self._chains.get(handle.name)
        if known is not None:
            return known
        current = AsyncTask[Any](self._account, check_token(handle.task, self._account))
        return self.keep_chain(AsyncChain(self, handle, current, resumed=True))

    def keep_chain(self, chain: AsyncChain) -> AsyncChain:
        """Remember *chain*, so that a token of it gives this very handle; gives it back."""
        # Strongly: a second handle of the same token must not submit the next step a second time.
        self._chains[chain.name] = chain
        if len(self._chains) > _MOST_CHAINS:
            over = (name for name, each in self._chains.items() if each.done)
            self._chains.pop(next(over, next(iter(self._chains))))
        return chain

    # -- one request for all providers

    async def generate(
        self, request: VideoRequest, *, options: CallOptions | None = None
    ) -> AsyncTask[AsyncVideo]:
        """Make the video that *request* describes. **Billed**, each step by itself.

        What the provider cannot do in one step is done in several: an avatar is cloned first, a text is spoken first
        (``capabilities`` has the operations of every route). A chain of tasks is one handle: its ``wait`` goes through
        all steps, its token resumes in the middle (see :class:`~avatarkit.chain.AsyncChain`).

        Args:
            request: what the video shall be.
            options: what the calls do differently.

        Raises:
            UnsupportedOperation: the provider cannot do it; ``providers`` names those that can. Nothing was sent.
            InvalidRequest: it breaks published limits; everything wrong is listed. Nothing was sent.
            InsufficientCredits, ProviderError: the first step was refused.
            SubmissionInDoubt: it may have been accepted; carries the ticket.
            UploadFailed, DeadlineExceeded, NotSent: as for the operation itself.

        """
        if not isinstance(request, VideoRequest):
            raise InvalidRequest(f"request: {found(request)} found, a VideoRequest needed")
        return await generate(self, request, options)

    @property
    def preflight(self) -> bool:
        """Whether material and limits are checked locally, unless a call says otherwise."""
        return self._account.preflight

    @property
    def has_staging(self) -> bool:
        """Whether local files can be put where a provider that takes only URLs fetches them."""
        return staging_of(self._account) is not None

    @property
    def clock(self) -> Clock:
        """The time that the client goes by."""
        return self._account.clock

    @property
    def uploads(self) -> UploadCache:
        """What was uploaded lately, by content."""
        return self._account.uploads

    @property
    def submit_seconds(self) -> float:
        """The most seconds that one billed request and its answer take."""
        return self._account.timeouts.submit

    def new_name(self) -> tuple[str, float]:
        """A fresh unique name, and the time now, seconds since 1970."""
        return self._account.marker(), self._account.clock.time()

    # -- many

    async def bulk(
        self,
        jobs: Jobs | None,
        *,
        journal: str | os.PathLike[str],
        out: str | os.PathLike[str] = ".",
        name: str = "{key}",
        sidecar: bool = False,
        budget: float | None = None,
        default_cost: float | None = None,
        retries: int = 2,
        max_failures: int = 20,
        submits: int = 16,
        downloads: int = 8,
        run: str = "main",
        base: str | os.PathLike[str] | None = None,
        encoding: str | None = None,
    ) -> AsyncIterator[JobOutcome]:
        """Make a video of every job, and give each one's outcome as it comes. **Billed**, each job once.

        The journal makes it safe to be killed at any moment: started again with the same journal, the run goes on, and
        gives the outcomes of what had ended before, too. Every job is read and checked before the first is submitted.
        What may have been accepted without an answer is looked up where the provider can be asked, else held for you
        (``avatarkit bulk doubts``); it is never sent again by itself. Leaving the loop early stops submitting.

        Args:
            jobs: a manifest's path (CSV, JSON lines, Parquet), or anything that yields :class:`VideoRequest` objects,
                mappings of its fields, or ``(key, request)`` pairs; None goes on with what the journal has. Material
                has to be paths and URLs.
            journal: file of the run's ledger, or a PostgreSQL address (extra ``postgres``).
            out: folder or object-store URL that gets the videos.
            name: template of their names: ``{key}``, ``{title}``, ``{row}``, ``{provider}`` or any column.
            sidecar: whether each video gets a JSON file with its facts beside it.
            budget: the most to spend, in the provider's unit; what a job may cost is set aside before it is submitted.
            default_cost: what a job is taken to cost where no price is published.
            retries: how often a job that failed by the provider's fault is submitted again; each time is billed.
            max_failures: failures in a row after which nothing more is submitted; 0: never.
            submits: uploads and submissions at once.
            downloads: downloads at once.
            run: name of the run in the journal.
            base: the folder where relative paths of material begin; None is the manifest's own.
            encoding: of a CSV's text, such as ``gb18030``, where it cannot be told by the file.

        Raises:
            InvalidRequest: an option is wrong (at once), or rows are; every mistake is listed with its line and column.
                Nothing was submitted.
            ConfigurationError: the journal is in use, belongs to another account, or cannot be read or written.

        """
        from avatarkit.bulk.options import BulkOptions
        from avatarkit.bulk.run import BulkRun  # costs more to load than a client

        options = BulkOptions(
            out=out,
            name=name,
            sidecar=sidecar,
            budget=budget,
            default_cost=default_cost,
            retries=retries,
            max_failures=max_failures,
            submits=submits,
            downloads=downloads,
            run=run,
            base=base,
            encoding=encoding,
        )
        async with (
            BulkRun(self, jobs, journal, options) as bulk_run,
            contextlib.aclosing(bulk_run.outcomes()) as outcomes,
        ):
            async for outcome in outcomes:
                yield outcome

    def guard_of(self, operation: str) -> Guard:
        """What helps to find a lost submission of *operation* again."""
        for endpoint in self.spec.endpoints:
            if endpoint.name == operation:
                return endpoint.guard
        return Guard.NONE

    @property
    def detached_submissions(self) -> tuple[DetachedSubmission, ...]:
        """Submissions whose callers were cancelled while they were under way.

        They were carried to their end, so that nothing that may be billed is lost: accepted ones carry a token. Those
        that surely made nothing are left out; of very many the latest 10,000 are kept.
        """
        return tuple(self._account.detached_submissions())

    async def reconcile(self, ticket: Ticket) -> Reconciliation:
        """Find out whether an in-doubt submission was accepted. Free. "Absent" only with the credentials it went with.

        Raises:
            InvalidHandle: the ticket belongs to another provider or account.

        """
        check_ticket(ticket, self._account)
        return as_far_as_seen(
            await self._find(ticket), ticket, self._account.login or self._account.fingerprint
        )

    async def _find(self, ticket: Ticket) -> Reconciliation:
        return Reconciliation(
            finding=Finding.CANNOT_TELL,
            explanation=f"{self.spec.title} offers nothing to look a lost {ticket.endpoint} up with",
        )

    def _token_for(self, kind: Kind, task_id: str, ticket: Ticket) -> str:
        """The token of a task that a lost submission turned out to have made."""
        handle = Handle(
            provider=self.spec.name,
            account=self._account.fingerprint,
            kind=kind,
            task_id=task_id,
            born=ticket.sent_at,
            marker=ticket.marker,
        )
        return to_token(handle)

    # -- raw requests

    async def raw(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        options: CallOptions | None = None,
    ) -> RawResponse:
        """Send any request with the client's credentials, limits and connections, and give the answer as it came.

        For operations that avatarkit does not know yet. A GET is repeated when it fails on the way; a POST is sent
        once, and whether it was billed is for you to find out.

        Args:
            method: ``GET`` or ``POST``.
            path: below the base URL, beginning with ``/``.
            query: query parameters.
            body: a JSON object.

        Raises:
            TransportError: no whole answer came back.

        """
        if not path.startswith("/") or "://" in path or "?" in path or "#" in path:
            raise ConfigurationError("a raw path begins with / and has no query")
        effect = Effect.READ if method == "GET" else Effect.WRITE
        endpoint = Endpoint(name=f"raw {path}", method=method, path=path, effect=effect)
        request = Request(endpoint, _unread, query=urlencode(query or {}), body=body)
        if method == "POST":
            options = CallOptions(
                timeout=options.timeout if options else None,
                headers=options.headers if options else {},
                retries=0,
            )
        return await self._account.call(request, options)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a client cannot be pickled or copied: make one in each process")

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} account {self._account.fingerprint}{', closed' if self.closed else ''}>"
        )


def _unread(response: RawResponse) -> RawResponse:
    return response


class AsyncResource:
    """A group of operations of one client."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def __reduce__(self) -> NoReturn:
        raise TypeError("a part of a client cannot be pickled or copied: make a client in each process")

    async def _submit(
        self,
        request: Request[Accepted],
        options: CallOptions | None,
        *,
        marker: str,
        size: float | None = None,
    ) -> AsyncTask[Any]:
        submitter = self._account.engine().submitter
        record = await submitter.submit(request, options or DEFAULT_OPTIONS, marker=marker, size=size)
        return AsyncTask(self._account, record)
