"""The handle of a task at a provider."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from avatarkit.artifacts import AsyncAudio, AsyncVideo
from avatarkit.errors import InvalidHandle, InvalidRequest, TaskFailed, WaitTimeout
from avatarkit.models import (
    Avatar,
    FailureReason,
    Kind,
    RawResponse,
    Snapshot,
    Status,
    TaskUpdate,
    Ticket,
    Voice,
)
from avatarkit.protocol.handle import from_token, to_token
from avatarkit.protocol.schedule import progress
from avatarkit.transport.shared import ACCOUNT_NAME, account_variable

if TYPE_CHECKING:
    from avatarkit.client import AsyncClient
    from avatarkit.settings import CallOptions
    from avatarkit.transport.account import Account
    from avatarkit.transport.polling import Watched

T = TypeVar("T")

_HINTS = {
    FailureReason.MODERATION: "The provider's review refused it: change the material.",
    FailureReason.BAD_INPUT: "Check the material that was sent.",
    FailureReason.PROVIDER_FAULT: "It may work when submitted again; check whether the failed task was billed.",
    FailureReason.NO_RESULT: "Ask the provider's support with the task's id.",
}


class AsyncTask(Generic[T]):
    """A task that runs at a provider and yields a ``T``: a video, an audio, an avatar or a voice.

    The task goes on whether or not anybody waits. ``to_token()`` gives a short string from which another process,
    or the blocking side, makes the handle again without a request.
    """

    __slots__ = ("__weakref__", "_account", "_artifact", "_record")

    def __init__(self, account: Account, record: Watched) -> None:
        self._account = account
        self._record = record
        self._artifact: Any = None

    # -- what is known

    @property
    def id(self) -> str:
        """The provider's id of the task."""
        return self._record.task_id

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self._account.spec.name

    @property
    def kind(self) -> Kind:
        """What the task makes."""
        return self._record.kind.kind

    @property
    def marker(self) -> str:
        """The title or external id it was submitted with."""
        return self._record.marker

    @property
    def status(self) -> Status:
        """The status at the last look, without asking; ``queued`` before the first."""
        return self._record.snapshot.status if self._record.snapshot else Status.QUEUED

    @property
    def raw_status(self) -> str:
        """The provider's own status value at the last look."""
        return self._record.snapshot.raw_status if self._record.snapshot else ""

    @property
    def done(self) -> bool:
        """Whether the last look showed an end, good or bad."""
        return self._record.terminal

    @property
    def response(self) -> RawResponse | None:
        """The provider's raw answer at the last look."""
        return self._record.snapshot.response if self._record.snapshot else None

    @property
    def elapsed(self) -> float:
        """Seconds since it was submitted."""
        return max(0.0, self._account.clock.time() - self._record.born_wall)

    def to_token(self) -> str:
        """The handle as a short string: provider, account fingerprint, kind and id. It holds no secret."""
        return to_token(self._account.handle(self._record))

    @classmethod
    def from_token(cls, token: str, client: AsyncClient) -> AsyncTask[Any]:
        """The handle that *token* names, for *client*. Sends nothing.

        Raises:
            InvalidHandle: it is no token, or belongs to another provider or account.

        """
        return client.task(token)

    # -- waiting

    async def refresh(self, *, options: CallOptions | None = None) -> Status:
        """Look at the task now and give its status. Free.

        Raises:
            ProviderError, TransportError: the look failed; the task itself goes on.

        """
        if not self._record.terminal:
            await _look(self._account, self._record, options)
        return self.status

    async def wait(self, timeout: float | None = 3600.0) -> T:
        """Wait for the end and give the result.

        The wait outlasts outages of the provider. Cancelling it, or running out of time, leaves the task running and
        the handle good. Free; waiting costs no thread and no timer.

        Args:
            timeout: seconds; None waits for ever.

        Raises:
            TaskFailed: the provider ended the task without a result.
            WaitTimeout: *timeout* seconds passed; the task goes on.
            ProviderError: the provider keeps refusing to tell (no such task, credentials withdrawn).
            InvalidRequest: *timeout* is no number.

        Every error that leaves a wait, a cancellation too, has a note with the token that goes on with the task;
        avatarkit's own errors have it as ``error.token``.
        """
        try:
            if not await self._account.engine().hub.wait(self._record, seconds_or_none(timeout)):
                raise self._timed_out(timeout)
            return self._result()
        except BaseException as error:
            self._account.name_task(error, self._record)
            raise

    async def updates(self, timeout: float | None = 3600.0) -> AsyncIterator[TaskUpdate]:
        """Each change of the status, beginning with the present one, until the end (which is the last update).

        A failed task ends the updates without an error; :meth:`wait` then raises it.

        Args:
            timeout: seconds for all updates together; None watches for ever.

        Raises:
            WaitTimeout: *timeout* seconds passed; the task goes on.

        """
        clock = self._account.clock
        timeout = seconds_or_none(timeout)
        deadline = None if timeout is None else clock.monotonic() + timeout
        seen: Status | None = None
        while True:
            if self.status is not seen:
                seen = self.status
                yield self._update()
            if self._record.terminal:
                return
            left = None if deadline is None else deadline - clock.monotonic()
            try:
                if not await self._account.engine().hub.wait(self._record, left, change=True):
                    raise self._timed_out(timeout)
            except BaseException as error:
                self._account.name_task(error, self._record)
                raise

    @property
    def progress(self) -> float:
        """How far it is, 0.0 to 1.0: what the provider says, else an estimate from learned durations."""
        snapshot, account = self._record.snapshot, self._account
        if snapshot is not None and snapshot.status.terminal:
            return 1.0
        if snapshot is not None and snapshot.progress is not None:
            return snapshot.progress
        return progress(account.durations[self.kind], self.elapsed, self._record.size)

    def abandoned(self) -> None:
        """Keep the task among the client's detached submissions, and log its token.

        For whoever got the handle and cannot hand it on, as the blocking side when Ctrl-C strikes in that moment.
        """
        self._account.abandon(self._record)

    # -- inside

    def _update(self) -> TaskUpdate:
        record = self._record
        return TaskUpdate(
            task_id=record.task_id,
            status=self.status,
            raw_status=self.raw_status,
            progress=self.progress,
            elapsed=self.elapsed,
            looks=record.looks,
        )

    def _result(self) -> T:
        if self._artifact is None:
            snapshot = self._record.snapshot
            if snapshot is None or snapshot.status is not Status.SUCCEEDED:
                raise self._failure(snapshot)
            self._artifact = self._make(snapshot)
        made: T = self._artifact
        return made

    def _make(self, snapshot: Snapshot) -> Any:
        result, kind = snapshot.result, self.kind
        if kind is Kind.AVATAR:
            return Avatar(id=result["id"], title=self._record.marker, response=snapshot.response)
        if kind is Kind.VOICE:
            return Voice(
                id=result["id"],
                title=self._record.marker,
                demo_url=str(result.get("demo_url") or ""),
                response=snapshot.response,
            )
        cls = AsyncVideo if kind is Kind.VIDEO else AsyncAudio
        # Not a method of this handle: the two would hold each other until a garbage collection.
        renew = functools.partial(_look, self._account, self._record)
        return cls(self._account, self._record, snapshot, renew)

    def _failure(self, snapshot: Snapshot | None) -> TaskFailed:
        reason = (snapshot and snapshot.reason) or FailureReason.PROVIDER_FAULT
        said = (snapshot and snapshot.message) or "no reason given"
        return TaskFailed(
            f"{self.provider} {self.kind} task {self.id} failed: {said}",
            reason=reason,
            provider=self.provider,
            task_id=self.id,
            kind=self.kind.value,
            code=snapshot.code if snapshot else "",
            response=snapshot.response if snapshot else None,
            hint=_HINTS.get(reason, ""),
        )

    def _timed_out(self, timeout: float | None) -> WaitTimeout:
        token = self.to_token()
        return WaitTimeout(
            f"{self.provider} {self.kind} task {self.id} was still {self.status} after {timeout:g} s of waiting; "
            "it goes on",
            token=token,
            task_id=self.id,
            hint=f"Resume with the token {token}",
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a task handle cannot be pickled or copied: use task.to_token(), and client.task(token) elsewhere"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.provider} {self.kind} {self.id}: {self.status}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AsyncTask):
            return NotImplemented
        mine, theirs = self._account.handle(self._record), other._account.handle(other._record)
        return (mine.provider, mine.account, mine.kind, mine.task_id) == (
            theirs.provider,
            theirs.account,
            theirs.kind,
            theirs.task_id,
        )

    def __hash__(self) -> int:
        return hash((self.provider, self.kind, self.id))


def end_of(task: AsyncTask[Any]) -> asyncio.Future[bool]:
    """A future that is done when *task* has ended; for many tasks at once it is cheaper than a coroutine each."""
    return task._account.engine().hub.end_of(task._record)  # noqa: SLF001 - of one module


def snapshot_of(task: AsyncTask[Any]) -> Snapshot | None:
    """What the last look at *task* showed."""
    return task._record.snapshot  # noqa: SLF001 - of one module


def seconds_or_none(timeout: float | None) -> float | None:
    """A wait's time limit in seconds; None for none. Raises InvalidRequest when it is no number."""
    if timeout is None or timeout == math.inf:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or math.isnan(timeout):
        raise InvalidRequest(f"timeout: {timeout!r} found, a number of seconds or None allowed")
    return timeout


async def _look(account: Account, record: Watched, options: CallOptions | None = None) -> Snapshot:
    hub = account.engine().hub
    snapshot = await account.call(record.kind.look(record.task_id), options)
    hub.adopt(record)
    hub.settle(record, snapshot, account.clock.monotonic())
    return snapshot


def key_changed(provider: str, account: str) -> str:
    """A hint for a token or ticket of another *account*: what to do when that is ours, under another key."""
    submitted = "Use the credentials it was submitted with."
    if not ACCOUNT_NAME.fullmatch(account):  # not one that a client could be given
        return submitted
    variable = account_variable(provider)
    return f"{submitted} If only the key was changed: account={account!r} for the client, or the variable {variable}."


def check_ticket(ticket: Ticket, account: Account) -> None:
    """Raise InvalidHandle when *ticket* belongs to another provider or account."""
    if (ticket.provider, ticket.account) != (account.spec.name, account.fingerprint):
        same = ticket.provider == account.spec.name
        hint = key_changed(ticket.provider, ticket.account) if same else ""
        raise InvalidHandle("this ticket belongs to another provider or account", hint=hint)


def check_token(token: str, account: Account, *, same_account: bool = True) -> Watched:
    """The record that *token* names at *account*.

    Raises:
        InvalidHandle: it is no token, or belongs to another provider or account.

    """
    handle = from_token(token)
    if handle.provider != account.spec.name:
        raise InvalidHandle(
            f"this token belongs to {handle.provider}, not to {account.spec.name}",
            hint=f"Use a client for {handle.provider}.",
        )
    if same_account and handle.account != account.fingerprint:
        raise InvalidHandle(
            f"this token belongs to another {handle.provider} account ({handle.account}, not {account.fingerprint})",
            hint=f"{key_changed(handle.provider, handle.account).removesuffix('.')}; or same_account=False.",
        )
    if handle.kind not in account.kinds:
        raise InvalidHandle(f"{handle.provider} has no {handle.kind} tasks")
    return account.resume(handle)
