"""One set of credentials at a provider: what is shared by everything that uses it, and outlives event loops."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import TypeVar
from weakref import WeakValueDictionary

import attrs

from avatarkit.errors import AvatarKitError, ClientClosed, ConfigurationError, ProviderError
from avatarkit.events import CapLearned, Event, Hook, SubmissionSettled
from avatarkit.models import Kind, Ticket
from avatarkit.protocol.auth import Auth
from avatarkit.protocol.endpoint import ProviderSpec, Request, TaskKind
from avatarkit.protocol.handle import Handle, to_token
from avatarkit.protocol.marks import LETTERS, plain
from avatarkit.protocol.outcome import Outcome
from avatarkit.protocol.redact import scrub
from avatarkit.protocol.schedule import Durations
from avatarkit.settings import DEFAULT_OPTIONS, CallOptions, RateLimit, RetryPolicy, Timeouts
from avatarkit.transport.attempt import Attempt, ticket_of
from avatarkit.transport.clock import Clock
from avatarkit.transport.driver import Driver
from avatarkit.transport.polling import PollHub, Watched
from avatarkit.transport.session import Network, Sessions
from avatarkit.transport.shared import Budget, settle_in
from avatarkit.transport.slot_pass import PassedSlots
from avatarkit.transport.slots import TaskSlots
from avatarkit.transport.submit import Submitter
from avatarkit.transport.uploads_cache import UploadCache

T = TypeVar("T")
_logger = logging.getLogger("avatarkit")


@attrs.frozen(kw_only=True)
class DetachedSubmission:
    """A submission whose caller was cancelled while it was under way. It was carried to its end.

    Attributes:
        ticket: what was sent, and when.
        outcome: ``pending``, ``accepted``, ``rejected``, ``not sent``, ``try later`` or ``in doubt``.
        token: the task's token when it was accepted, else ``""``.
        error: why not, when it was not.

    """

    ticket: Ticket
    outcome: str
    token: str = ""
    error: AvatarKitError | None = None


@attrs.define(eq=False)
class Engine:
    """What belongs to one running event loop."""

    loop: asyncio.AbstractEventLoop
    sessions: Sessions
    driver: Driver
    hub: PollHub
    submitter: Submitter
    guard: AsyncGenerator[None, None] | None = None


@attrs.define(eq=False, kw_only=True)
class Account:
    """Credentials, limits and everything learned, for one provider account."""

    spec: ProviderSpec
    base_url: str
    auth: Auth = attrs.field(repr=False)
    kinds: Mapping[Kind, TaskKind]
    fingerprint: str
    login: str = ""  # fingerprint of the credentials, where *fingerprint* is a name that was given
    signing_key: bytes = attrs.field(default=b"", repr=False)
    clock: Clock
    network: Network
    timeouts: Timeouts
    retry: RetryPolicy
    rate: RateLimit | None
    max_running: int | None = None
    poll_shortest: float = 1.0
    poll_longest: float = 120.0
    preflight: bool = True
    hooks: tuple[Hook, ...] = ()
    random: random.Random = attrs.field(factory=random.Random)
    budget: Budget = attrs.field(init=False)
    held: dict[str, Watched] = attrs.field(factory=dict, init=False)
    detached: deque[Attempt] = attrs.field(factory=lambda: deque(maxlen=10_000), init=False)
    abandoned: deque[Watched] = attrs.field(factory=lambda: deque(maxlen=10_000), init=False)
    resumed: WeakValueDictionary[tuple[Kind, str], Watched] = attrs.field(
        factory=WeakValueDictionary, init=False
    )
    broke: tuple[float, ProviderError] | None = attrs.field(default=None, init=False)
    turnstile: Callable[[], Awaitable[None]] | None = attrs.field(default=None, init=False)
    """Where several processes share the account: waits for this request's turn among the requests of all of them."""
    closed: bool = attrs.field(default=False, init=False)
    _engine: Engine | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.base_url = self.base_url.rstrip("/")
        self.budget = Budget(self.clock)
        self.budget.admit(self)

    # -- what all clients of the account share

    @property
    def slots(self) -> Mapping[str, PassedSlots]:
        """Permissions to have tasks running, by pool."""
        return self.budget.slots

    @property
    def durations(self) -> Mapping[Kind, Durations]:
        """How long tasks take, as learned."""
        return self.budget.durations

    @property
    def uploads(self) -> UploadCache:
        """Files that lie at the provider already."""
        return self.budget.uploads_of(self)

    def active_on(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it is in use on *loop*."""
        return not self.closed and self._engine is not None and self._engine.loop is loop

    # -- the engine of the running loop

    def engine(self) -> Engine:
        """The engine of the running event loop; a new one when the loop is new.

        Raises:
            ClientClosed: the client was closed.
            ConfigurationError: another running loop uses the client.

        """
        engine, loop = self._engine, asyncio.get_running_loop()
        if engine is not None and engine.loop is loop and not self.closed:
            return engine
        if self.closed:
            raise ClientClosed("this client is closed", hint="Make a new one.")
        if engine is not None and engine.loop.is_running():
            raise ConfigurationError(
                "this client is in use on another running event loop",
                hint="Make one client per running loop, or use the blocking class from other threads.",
            )
        self._engine = engine = self._start(loop)
        return engine

    def _start(self, loop: asyncio.AbstractEventLoop) -> Engine:
        self.budget = settle_in(self, loop)
        constant = self.auth.headers(0.0) if self.auth.constant else None
        sessions = Sessions(self.network, self.timeouts, self.clock, constant)
        driver = Driver(self, sessions)
        engine = Engine(loop, sessions, driver, PollHub(self, driver), Submitter(self, driver))
        engine.guard = self._keep(engine)
        # One step by hand registers the generator with the loop, which finishes it at the loop's own end.
        step = engine.guard.__anext__()
        with contextlib.suppress(StopIteration):
            step.send(None)
        return engine

    async def _keep(self, engine: Engine) -> AsyncGenerator[None, None]:
        # asyncio.run finishes every async generator before it closes the loop: the last moment at which sockets can
        # be closed properly when nobody closed the client. It needs no task that would live beside the user's.
        try:
            yield
        finally:
            await engine.driver.renewal.aclose()
            await engine.submitter.aclose()
            await engine.hub.aclose()
            await engine.sessions.aclose()

    async def aclose(self) -> None:
        """Finish submissions under way, stop looking, close connections. Waits end as cancelled."""
        self.closed = True
        engine, self._engine = self._engine, None
        if engine is None or engine.loop is not asyncio.get_running_loop():
            return
        engine.submitter.dismiss()
        while engine.submitter.running:
            # Cutting one off would leave a doubt about money; its own timeout bounds it.
            await asyncio.wait(engine.submitter.running)
            engine.submitter.dismiss()
        if engine.guard is not None:
            await engine.guard.aclose()
        self.budget.left()

    # -- what the engine's parts ask of the account

    async def call(self, request: Request[T], options: CallOptions | None = None) -> T:
        """Send a request that is safe to repeat."""
        return await self.engine().driver.call(request, options or DEFAULT_OPTIONS)

    def remember(
        self,
        task_id: str,
        kind: Kind,
        *,
        size: float | None = None,
        marker: str = "",
        holds: TaskSlots | None = None,
    ) -> Watched:
        """A record for a task that was just accepted."""
        record = Watched(
            task_id,
            self.kinds[kind],
            born=self.clock.monotonic(),
            born_wall=self.clock.time(),
            size=size,
            marker=marker,
        )
        if holds is not None:
            record.holds = True
            self.held[task_id] = record
            if holds.waiting:
                self.hub_watch_holders(record.kind.pool)
        return record

    def resume(self, handle: Handle) -> Watched:
        """A record for a task that a token names."""
        held = self.held.get(handle.task_id)
        if held is not None and held.kind.kind is handle.kind:
            return held
        # Two handles of one task share a record, and so are looked at once.
        known = self.resumed.get((handle.kind, handle.task_id))
        if known is not None:
            return known
        age = max(0.0, self.clock.time() - handle.born)
        record = self.resumed[handle.kind, handle.task_id] = Watched(
            handle.task_id,
            self.kinds[handle.kind],
            born=self.clock.monotonic() - age,
            born_wall=handle.born,
            size=handle.size,
            marker=handle.marker,
            resumed=True,
        )
        return record

    def let_go(self, record: Watched) -> None:
        """*record* is terminal: give its slot back."""
        if record.holds:
            record.holds = False
            self.budget.forget(record.task_id)
            slots = self.slots[record.kind.pool]
            slots.release()
            if slots.waiting:
                self.budget.heed()  # a client that nobody closed may be gone, and its wish with it

    def slots_wanted(self, pool: str) -> bool:
        """Whether a submission waits for a slot of *pool*."""
        slots = self.slots.get(pool)
        return slots is not None and slots.waiting > 0

    def hub_watch_holders(self, pool: str) -> None:
        """Have the hub look at the tasks that hold the slots of *pool*."""
        self.engine().hub.watch_holders(pool)

    def handle(self, record: Watched) -> Handle:
        """The handle of *record*."""
        return Handle(
            provider=self.spec.name,
            account=self.fingerprint,
            kind=record.kind.kind,
            task_id=record.task_id,
            born=record.born_wall,
            size=record.size,
            marker=record.marker,
        )

    def marker(self) -> str:
        """A fresh unique name of 13 characters for a submission that the user gave none."""
        return plain("".join(self.random.choices(LETTERS, k=10)))

    # -- telling

    @property
    def log_requests(self) -> bool:
        """Whether each request is to be logged."""
        return _logger.isEnabledFor(logging.DEBUG)

    def scrub(self, text: str) -> str:
        """*text* without secrets."""
        return scrub(text, self.auth.secrets())

    def emit(self, event: Event) -> None:
        """Tell the hooks and the log."""
        if _logger.isEnabledFor(logging.DEBUG):
            _logger.debug(
                "%s",
                self.scrub(repr(event)),
                extra={"avatarkit": type(event).__name__, "provider": self.spec.name},
            )
        for hook in self.hooks:
            try:
                hook(event)
            except Exception:
                _logger.exception("a hook failed on %s", type(event).__name__)

    def cap_learned(self, cap: int) -> None:
        """A refusal showed how many tasks may run."""
        self.emit(CapLearned(provider=self.spec.name, cap=cap))

    def submission_settled(self, attempt: Attempt) -> None:
        """Record what became of a submission; called exactly once for each send."""
        outcome = attempt.outcome or Outcome.IN_DOUBT
        record = attempt.record
        token = (
            to_token(self.handle(record)) if record is not None and (self.hooks or attempt.detached) else ""
        )
        if attempt.detached:
            self._log_detached(attempt)
        elif record is not None and _logger.isEnabledFor(logging.INFO):
            name, token_text = attempt.ticket.endpoint, token or to_token(self.handle(record))
            _logger.info("%s %s: accepted; its token is %s", self.spec.name, name, token_text)
        if self.hooks and outcome is not Outcome.TRY_LATER:
            self.emit(
                SubmissionSettled(
                    provider=self.spec.name,
                    endpoint=attempt.ticket.endpoint,
                    outcome=outcome.value,
                    task_id=record.task_id if record else "",
                    token=token,
                    marker=attempt.marker,
                    detached=attempt.detached,
                )
            )

    def name_task(self, error: BaseException, record: Watched) -> None:
        """Have *error* say which task goes on, so that nothing that was paid for is lost with it."""
        token = to_token(self.handle(record))
        if isinstance(error, AvatarKitError) and not error.token:
            error.token = token
        note = f"{self.spec.name} task {record.task_id}: go on with the token {token}"
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)

    def abandon(self, record: Watched) -> None:
        """The caller was interrupted before it got the handle of *record*: keep it, and say so."""
        if record not in self.abandoned:
            self.abandoned.append(record)
            _logger.warning(
                "%s: the caller was interrupted as task %s was accepted; go on with the token %s",
                self.spec.name,
                record.task_id,
                to_token(self.handle(record)),
            )

    def _log_detached(self, attempt: Attempt) -> None:
        if attempt.outcome in (Outcome.ACCEPTED, Outcome.IN_DOUBT):
            record = attempt.record
            _logger.warning(
                "%s %s: the caller went away during the submission, which ended as %s%s",
                self.spec.name,
                attempt.ticket.endpoint,
                attempt.outcome.value,
                f"; resume it with the token {to_token(self.handle(record))}"
                if record is not None
                else f" (marker {attempt.marker!r})",
            )

    def detach(self, attempt: Attempt) -> None:
        """Keep an attempt whose caller went away."""
        self.detached.append(attempt)
        if attempt.outcome is not None:  # it ended in the very turn in which its caller was cancelled
            self._log_detached(attempt)

    def detached_submissions(self) -> Iterable[DetachedSubmission]:
        """What became of submissions whose callers went away, oldest first; those that made nothing are left out."""
        for attempt in self.detached:
            if attempt.outcome in (Outcome.NOT_SENT, Outcome.REFUSED, Outcome.TRY_LATER):
                continue
            token = to_token(self.handle(attempt.record)) if attempt.record is not None else ""
            yield DetachedSubmission(
                ticket=attempt.ticket,
                outcome=attempt.outcome.value if attempt.outcome else "pending",
                token=token,
                error=attempt.error,
            )
        for record in self.abandoned:
            handle = self.handle(record)
            ticket = ticket_of(handle)
            yield DetachedSubmission(ticket=ticket, outcome=Outcome.ACCEPTED.value, token=to_token(handle))
