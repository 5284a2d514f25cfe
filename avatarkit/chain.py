"""Several billed steps behind one handle: an avatar is cloned, then it speaks.

Invariants:

1. A step is submitted when the one before it succeeded and somebody waits for, looks at or refreshes the chain.
2. In one client a step is submitted at most once, however many handles of the chain there are: they are one object.
3. A submission is carried to its end also when the waiter that caused it is cancelled or runs out of time.
4. One that ended in doubt is never repeated, by no handle and no token of the chain. The chain goes on only when the
   provider shows the task that it made.
5. A chain made from a token asks the provider first whether its next step was submitted already, by the name that
   every step has that the user gave none. Where the provider cannot tell (HiFly), and with a title of the user's own,
   the token is a baton: one process at a time may go on with it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from avatarkit.artifacts import AsyncVideo
from avatarkit.errors import AvatarKitError, InvalidHandle, SubmissionInDoubt, WaitTimeout
from avatarkit.models import Finding, Kind, RawResponse, Status, TaskUpdate, Ticket
from avatarkit.protocol.chain_token import ChainHandle, to_chain_token
from avatarkit.protocol.plan import Step
from avatarkit.steps import kept, name_made, perform
from avatarkit.task import AsyncTask, seconds_or_none

if TYPE_CHECKING:
    from avatarkit.client import AsyncClient
    from avatarkit.settings import CallOptions

_LATER = 10.0  # seconds until a list that may lag is asked again
_PARTS = 0.5  # of the progress shown, before the last step


class AsyncChain(AsyncTask[AsyncVideo]):
    """A video that takes several steps, as one task.

    It is used as any other task. Its token resumes in the middle; it holds what is still to be sent (texts, ids, paths
    of local files), so it is longer than a plain one. Once the last step is submitted, ``to_token()`` gives that step's
    plain token. Each step is billed by itself.

    A token is a baton: one process at a time may go on with it. Guiji is asked whether another one has submitted the
    next step already, unless the video has a title of your own; HiFly has no way to tell.
    """

    __slots__ = (
        "_client",
        "_current",
        "_doubt",
        "_handle",
        "_moving",
        "_options",
        "_resumed",
        "_sending",
        "_since",
    )

    def __init__(
        self,
        client: AsyncClient,
        handle: ChainHandle,
        current: AsyncTask[Any],
        *,
        resumed: bool = False,
        options: CallOptions | None = None,
    ) -> None:
        super().__init__(current._account, current._record)  # noqa: SLF001 - of one family
        if resumed:
            _check_operations(client, handle)
        self._client = client
        self._handle = handle
        self._current = current
        self._moving: asyncio.Task[None] | None = None
        self._doubt = handle.in_doubt()
        self._options = options
        self._resumed = resumed
        self._sending: Ticket | None = None
        self._since = self._account.clock.time()  # when it came here, for one that was made from a token

    # -- what is known

    @property
    def kind(self) -> Kind:
        """What it makes in the end: a video."""
        return Kind.VIDEO

    @property
    def name(self) -> str:
        """What tells it from other chains."""
        return self._handle.name

    @property
    def step(self) -> int:
        """The step that is under way, from 0."""
        return self._handle.at

    @property
    def current(self) -> AsyncTask[Any]:
        """The present step's own task. Waiting for it or looking at it submits nothing."""
        return self._current

    @property
    def steps(self) -> tuple[str, ...]:
        """The operations of all steps, in their order."""
        return tuple(step.operation for step in self._handle.steps)

    @property
    def status(self) -> Status:
        """The status at the last look: ``running`` between two steps."""
        status = self._current.status
        return Status.RUNNING if status is Status.SUCCEEDED and not self._last else status

    @property
    def done(self) -> bool:
        """Whether the last look showed the end of the last step, or the failure of any."""
        return self._current.done and (self._last or self._current.status is Status.FAILED)

    @property
    def response(self) -> RawResponse | None:
        """The provider's raw answer at the last look at the present step."""
        return self._current.response

    @property
    def elapsed(self) -> float:
        """Seconds since the first step was submitted."""
        return max(0.0, self._account.clock.time() - self._handle.born)

    @property
    def progress(self) -> float:
        """How far it is, 0.0 to 1.0; the steps before the last make up the first half."""
        share = self._current.progress
        before = len(self._handle.steps) - 1
        if self._last:
            return _PARTS + (1 - _PARTS) * share
        return _PARTS * (self._handle.at + share) / before

    def to_token(self) -> str:
        """The handle as a string that resumes where the chain is now. Holds no secret.

        Raises:
            InvalidHandle: a later step needs material that was given as bytes or as a file object.

        """
        if self._last:
            return self._current.to_token()
        doubt = self._doubt.ticket if self._doubt is not None else None
        handle = attrs.evolve(self._handle, task=self._current.to_token(), doubt=doubt)
        return to_chain_token(handle, self._account.signing_key)

    # -- waiting

    async def refresh(self, *, options: CallOptions | None = None) -> Status:
        """Look at the present step now; when it succeeded, submit the next one (billed). Gives the status.

        Raises:
            ProviderError, TransportError: the look failed, or the next step was refused; a later call tries again.
            SubmissionInDoubt: the next step may have been accepted. It is not sent again; a later call looks for it.

        """
        await self._current.refresh(options=options)
        if self._between:
            await self._move()
        return self.status

    async def wait(self, timeout: float | None = 3600.0) -> AsyncVideo:
        """Go through all steps and give the video. Later steps are billed as they are submitted.

        Args:
            timeout: seconds for all steps together; None waits for ever.

        Raises:
            TaskFailed, WaitTimeout, ProviderError: as for every task; ``error.token`` goes on with the chain.
            SubmissionInDoubt: a later step may have been accepted; carries the ticket. It is not sent again: a later
                wait goes on when the provider shows it, and else raises this again.

        """
        clock, timeout = self._account.clock, seconds_or_none(timeout)
        deadline = None if timeout is None else clock.monotonic() + timeout
        while True:
            left = None if deadline is None else max(0.0, deadline - clock.monotonic())
            try:
                artifact = await self._current.wait(left)
                if self._last:
                    return artifact  # type: ignore[no-any-return]
                left = None if deadline is None else max(0.0, deadline - clock.monotonic())
                if not await self._move(left):
                    raise self._timed_out(timeout)
            except BaseException as error:
                if isinstance(error, WaitTimeout):
                    raise self._timed_out(timeout) from None
                self._name(error)
                raise

    async def updates(self, timeout: float | None = 3600.0) -> AsyncIterator[TaskUpdate]:
        """Each change of status over all steps, until the end. Later steps are billed as they are submitted.

        Args:
            timeout: seconds for all updates together; None watches for ever.

        Raises:
            WaitTimeout: *timeout* seconds passed; the chain can be gone on with.
            ProviderError, SubmissionInDoubt: a later step was not accepted.

        """
        clock, timeout = self._account.clock, seconds_or_none(timeout)
        deadline = None if timeout is None else clock.monotonic() + timeout
        seen: Status | None = None
        while True:
            left = None if deadline is None else max(0.0, deadline - clock.monotonic())
            try:
                async with contextlib.aclosing(self._current.updates(left)) as updates:  # type: ignore[type-var]
                    async for update in updates:
                        status = self.status
                        if status is not seen:
                            seen = status
                            yield attrs.evolve(
                                update, status=status, progress=self.progress, elapsed=self.elapsed
                            )
                if not self._between:
                    return
                left = None if deadline is None else max(0.0, deadline - clock.monotonic())
                if not await self._move(left):
                    raise self._timed_out(timeout)
            except BaseException as error:
                if isinstance(error, WaitTimeout):
                    raise self._timed_out(timeout) from None
                self._name(error)
                raise

    # -- inside

    @property
    def _last(self) -> bool:
        return self._handle.at == len(self._handle.steps) - 1

    @property
    def _between(self) -> bool:
        return self._current.status is Status.SUCCEEDED and not self._last

    async def _move(self, seconds: float | None = None) -> bool:
        """Submit the next step; False when *seconds* passed first.

        All callers share one submission, which none of them can cut off.
        """
        if self._moving is None:
            self._moving = asyncio.get_running_loop().create_task(self._submit_next())
            self._moving.add_done_callback(self._moved)
        moving = self._moving
        await asyncio.wait((moving,), timeout=seconds)
        if not moving.done():
            return False
        try:
            moving.result()
        except BaseException as error:
            self._name(error)
            raise
        return True

    def _moved(self, task: asyncio.Task[None]) -> None:
        self._moving = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, SubmissionInDoubt):
            self._doubt = error
        elif task.cancelled() and self._sending is not None:
            # The loop went down under a request that may have left.
            self._doubt = SubmissionInDoubt(
                "the submission was cut off by the end of its event loop",
                ticket=self._sending,
                reason="cancelled",
            )

    async def _submit_next(self) -> None:
        artifact = await self._current.wait(0.0)
        self._keep(self._handle.at, {"id": artifact.id})
        at = self._handle.at + 1
        while True:
            step, name = self._handle.steps[at], self._handle.name_of(at)
            # What was answered at once stays, when a step behind it was refused: it is not paid for twice.
            if at not in self._handle.made:
                answer = await self._already(step, name) or await self._perform(step, name)
                if step.makes is not None:
                    break
                self._keep(at, kept(step, answer))
            at += 1
        self._handle = attrs.evolve(self._handle, at=at)
        self._current = answer
        self._record = answer._record  # noqa: SLF001 - the base class shows the present step's record
        self._artifact = self._doubt = None

    def _keep(self, at: int, things: Mapping[str, Any]) -> None:
        self._handle = attrs.evolve(self._handle, made={**self._handle.made, at: things})

    async def _perform(self, step: Step, name: str) -> Any:
        made = self._handle.made
        self._sending = self._ticket(step, name)
        try:
            answer = await perform(self._client, step, made, name=name, options=self._options)
        except BaseException as error:
            name_made(error, self._handle.steps, made)
            if isinstance(error, AvatarKitError):
                self._sending = None
            raise
        self._sending = None
        return answer

    async def _already(self, step: Step, name: str) -> AsyncTask[Any] | None:
        """The task of *step* if it was submitted already, as far as the provider can tell.

        Raises:
            SubmissionInDoubt: it was submitted here, with an unknown end, and the provider does not show it.

        """
        if self._doubt is not None:
            with contextlib.suppress(AvatarKitError):
                found = await self._task_of(self._doubt.ticket)
                if found is not None:
                    return found
            raise self._doubt
        if not self._resumed or not step.named_by or step.arguments.get(step.named_by) is not None:
            return None
        # Whoever had the token before may have sent it until the moment at which it came here.
        ticket = attrs.evolve(self._ticket(step, name), sent_at=self._since)
        while True:
            shown = await self._client.reconcile(ticket)
            if shown.finding is Finding.FOUND or not shown.later:
                break
            await self._account.clock.sleep(_LATER)
        return self._client.task(shown.token) if shown.finding is Finding.FOUND and shown.token else None

    def _ticket(self, step: Step, name: str) -> Ticket:
        return Ticket(
            provider=self.provider,
            endpoint=step.operation,
            kind=(step.makes or Kind.VIDEO).value,
            account=self._account.fingerprint,
            marker=name,
            guard=self._client.guard_of(step.operation),
            sent_at=self._account.clock.time(),
            login=self._account.login,
        )

    async def _task_of(self, ticket: Ticket) -> AsyncTask[Any] | None:
        found = await self._client.reconcile(ticket)
        return self._client.task(found.token) if found.finding is Finding.FOUND and found.token else None

    def _name(self, error: BaseException) -> None:
        """Have *error* say how the chain goes on; the step's task, which it may name already, is only a part."""
        with contextlib.suppress(InvalidHandle):
            token = self.to_token()
            error.token = token  # type: ignore[attr-defined]
            note = f"{self.provider} chain {self.name}: go on with the token {token}"
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)

    def _timed_out(self, timeout: float | None) -> WaitTimeout:
        handle, token = self._handle, ""
        with contextlib.suppress(InvalidHandle):
            token = self.to_token()
        return WaitTimeout(
            f"{self.provider} chain {handle.name} was still at step {handle.at + 1} of {len(handle.steps)} after "
            f"{timeout:g} s of waiting; it can be gone on with",
            token=token,
            task_id=self.id,
            hint=f"Resume with the token {token}"
            if token
            else "Wait again: only this handle has the material.",
        )

    def __repr__(self) -> str:
        handle = self._handle
        where = f"step {handle.at + 1} of {len(handle.steps)}"
        return f"<{type(self).__name__} {self.provider} {handle.name}, {where}: {self.status}>"

    def __eq__(self, other: object) -> bool:
        return self._handle.name == other._handle.name if isinstance(other, AsyncChain) else False

    def __hash__(self) -> int:
        return hash(self._handle.name)


def _check_operations(client: AsyncClient, handle: ChainHandle) -> None:
    """Only what :meth:`AsyncClient.generate` plans can be in a token, whoever signed it."""
    known = {operation for route in client.capabilities.routes for operation in route.operations}
    if not known.issuperset(step.operation for step in handle.steps):
        raise InvalidHandle("this token holds a step that is none of the provider's")
