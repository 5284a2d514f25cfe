"""Which account of a pool serves a request, and whether another may be asked when one refused.

Invariants:

1. A request goes to a second account only when the first surely did not take it: it was refused, or nothing was sent.
   A submission in doubt, and whatever goes wrong after something was paid for, is the caller's.
2. A submission goes out with a slot of its account's (``transport.slot_pass``). While all are taken, a call stands in
   the queues of all accounts that can serve it, and takes the first slot that comes free.
3. An account without money, or whose credentials are not accepted, is left alone for a while; one that refused anything
   is not chosen again within a second. A call that was waiting then counts such a refusal as its own.
"""

from __future__ import annotations

import copy
import logging
import math
from asyncio import Future

import attrs

from avatarkit.artifacts import AsyncVideo
from avatarkit.client import AsyncClient
from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    BadRequest,
    ClientClosed,
    DeadlineExceeded,
    EntitlementError,
    InsufficientCredits,
    InvalidRequest,
    ModerationRefused,
    ProviderError,
    SubmissionInDoubt,
    TooManyRunning,
    TransportError,
    UnsupportedOperation,
    UploadFailed,
)
from avatarkit.protocol.plan import Plan, Step
from avatarkit.request import VideoRequest
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.account import Account
from avatarkit.transport.clock import Clock
from avatarkit.transport.slot_pass import PassedSlots, SlotPass, brought, first_slot

_logger = logging.getLogger("avatarkit")
_APART = 1.0  # seconds after a refusal in which the account is not chosen again
_ANY = ""  # the operation for which an account without money is left alone


@attrs.define(eq=False)
class Member:
    """One account of a pool, and what the pool remembers of it.

    Attributes:
        chosen: at which of the pool's choices it was last chosen.
        not_before: monotonic second before which it is not chosen again.
        rests: since when it is left alone, and for which refusal, by operation.

    """

    client: AsyncClient
    chosen: int = 0
    not_before: float = -math.inf
    rests: dict[str, tuple[float, AvatarKitError]] = attrs.field(factory=dict)

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.client.spec.name

    @property
    def account(self) -> Account:
        """The account itself."""
        return self.client._account  # noqa: SLF001 - of one family

    def rest(self, operation: str) -> tuple[float, AvatarKitError] | None:
        """Since when it is left alone with *operation*, and why; None when it is not."""
        return self.rests.get(_ANY) or self.rests.get(operation)

    def leave_alone(self, operation: str, now: float, error: AvatarKitError, seconds: float) -> None:
        """Leave it alone with *operation* for *seconds* because of *error*; a change of state is worth a warning."""
        before = self.rests.get(operation)
        self.rests[operation] = (now, error)
        # Asked anew after its rest and refused for the same reason, it is where it was.
        level = logging.INFO if before is not None and type(before[1]) is type(error) else logging.WARNING
        _logger.log(
            level,
            "%s is left out of its pool%s, and asked again in %g s or when no other is left: %s: %s",
            self,
            f" with {operation}" if operation else "",
            seconds,
            type(error).__name__,
            error,
        )

    def serves(self, operation: str) -> None:
        """It took a request for *operation*: what it was left alone for there is over."""
        rests = [self.rests.pop(name, None) for name in (_ANY, operation)]
        if any(rests):
            _logger.info("%s serves its pool again", self)

    def __str__(self) -> str:
        return f"{self.provider} account {self.client.account_id}"


@attrs.define(eq=False)
class Roster:
    """The accounts of a pool, and the calls that wait for one.

    Attributes:
        resting: seconds for which an account is left alone.
        choices: how many choices were made.
        waiting: a future for each waiting call; who sets it ends the wait.

    """

    members: tuple[Member, ...]
    resting: float
    closed: bool = False
    choices: int = 0
    waiting: set[Future[None]] = attrs.field(factory=set)

    def check_open(self) -> None:
        """Raise ClientClosed once the pool is closed."""
        if self.closed:
            raise ClientClosed("the pool is closed; nothing was sent", hint="Make a new one.")

    def close(self) -> None:
        """Serve nobody any more; calls that wait end."""
        self.closed = True
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)


@attrs.frozen(eq=False)
class Way:
    """How one account would serve a request: its first step, and the slots that its first task takes."""

    member: Member
    first: Step
    slots: PassedSlots | None

    @classmethod
    def of(cls, member: Member, plan: Plan, *, gated: bool) -> Way:
        """The way that *plan* goes at *member*; with a gate, slots are none of the account's business."""
        member.account.engine()  # on the running loop, where the account has its slots
        makers = [step.operation for step in plan.steps if step.makes is not None]
        pools = [end.pool for end in member.client.spec.endpoints if end.name == makers[0]]
        slots = member.account.slots.get(pools[0]) if pools and not gated else None
        return cls(member, plan.steps[0], slots)

    @property
    def rest(self) -> tuple[float, AvatarKitError] | None:
        """Since when the account is left alone with this, and why; None when it is not."""
        return self.member.rest(self.first.operation)


@attrs.define(eq=False)
class Walk:
    """One request on its way from account to account.

    Attributes:
        ways: those that are still to be had.
        refusals: who refused, and how, in their order.
        busy: the last refusal for want of a slot.

    """

    roster: Roster
    request: VideoRequest
    options: CallOptions
    ways: list[Way]
    refusals: list[tuple[Member, AvatarKitError]] = attrs.field(factory=list, init=False)
    busy: TooManyRunning | None = attrs.field(default=None, init=False)
    began: float = attrs.field(init=False)
    deadline: float = attrs.field(init=False)
    last: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        timeouts = [way.member.account.timeouts for way in self.ways]
        calls = [one.call for one in timeouts if one.call is not None]
        slots = [one.slot for one in timeouts if one.slot is not None]
        self.began = self._now()
        self.deadline = self.began + (self.options.timeout or min(calls, default=math.inf))
        self.last = min(self.deadline, self.began + min(slots, default=math.inf))

    async def run(self) -> AsyncTask[AsyncVideo]:
        """Go from account to account until one takes the request. Raises what :meth:`AsyncPool.generate` does."""
        while True:
            way, slot = await self._choose()
            before = brought.set(slot)
            try:
                task = await way.member.client.generate(self.request, options=self._options())
            except AvatarKitError as caught:
                error = caught
            else:
                way.member.serves(way.first.operation)
                return task
            finally:
                brought.reset(before)
                slot.give_back()
            self._go_on(way, error)

    # -- choosing

    async def _choose(self) -> tuple[Way, SlotPass]:
        """The next account to ask, and a slot of it."""
        while True:
            self.roster.check_open()
            self._leave_out()
            now = self._now()
            # Those that are left alone are asked only when there are no others.
            awake = [way for way in self.ways if not self._rests(way, now)] or self.ways
            ready = [way for way in awake if way.member.not_before <= now]
            ready.sort(key=lambda way: way.member.chosen)
            for way in ready:
                if way.slots is None or way.slots.try_acquire():
                    return self._chosen(way)
            if now >= self.last:
                raise self._too_late(now)
            offers = {way: way.slots for way in ready if way.slots is not None}
            until = min(self.last, self._next_change(now))
            got = await first_slot(offers, self._clock, until, self.roster.waiting)
            if got is None:
                continue
            # Meanwhile another call may have been refused there.
            now = self._now()
            if not (self.roster.closed or self._rests(got, now) or got.member.not_before > now):
                return self._chosen(got)
            offers[got].release(ran=False)

    def _chosen(self, way: Way) -> tuple[Way, SlotPass]:
        self.roster.choices += 1
        way.member.chosen = self.roster.choices
        return way, SlotPass(way.slots)

    def _leave_out(self) -> None:
        """Drop accounts that were closed, or that refused another call since this one began."""
        for way in list(self.ways):
            rest = way.rest
            if way.member.client.closed:
                self.refusals.append((way.member, ClientClosed("the client is closed")))
            elif rest is not None and rest[0] >= self.began:
                self.refusals.append((way.member, _again(rest[1])))
            else:
                continue
            self.ways.remove(way)
        if not self.ways:
            raise self._all_refused()

    def _rests(self, way: Way, now: float) -> bool:
        return way.rest is not None and now < way.rest[0] + self.roster.resting

    def _next_change(self, now: float) -> float:
        """When an account can be asked that cannot be asked now."""
        times = [way.member.not_before for way in self.ways]
        times += [way.rest[0] + self.roster.resting for way in self.ways if way.rest is not None]
        return min((at for at in times if at > now), default=math.inf)

    # -- after a refusal

    def _go_on(self, way: Way, error: AvatarKitError) -> None:
        """Take note of *error*; raises it where no other account may be asked."""
        member, now = way.member, self._now()
        if isinstance(error, ProviderError | TransportError | DeadlineExceeded):
            member.not_before = now + _APART
        if isinstance(error, InsufficientCredits | AuthenticationError):
            member.leave_alone(_ANY, now, error, self.roster.resting)
        elif isinstance(error, EntitlementError):
            member.leave_alone(way.first.operation, now, error, self.roster.resting)
        elif surely_nothing_made(way.first, error):
            busy = isinstance(
                error, TooManyRunning | DeadlineExceeded
            )  # every full account says so, all the time
            level = logging.DEBUG if busy else logging.INFO
            _logger.log(level, "%s did not take a request: %s: %s", member, type(error).__name__, error)
        if not surely_nothing_made(way.first, error):
            raise self._with_notes(error)
        if way.slots is not None and isinstance(error, TooManyRunning | DeadlineExceeded):
            if now >= self.last:
                raise self._with_notes(error)
            self.busy = error if isinstance(error, TooManyRunning) else self.busy
            return
        if isinstance(error, DeadlineExceeded):
            raise self._with_notes(error)
        self.refusals.append((member, error))
        same = _is_of_the_request(error, self.request)
        self.ways = [
            other
            for other in self.ways
            if other is not way and not (same and other.member.provider == member.provider)
        ]

    def _all_refused(self) -> AvatarKitError:
        _, error = self.refusals.pop()
        return self._with_notes(error)

    def _with_notes(self, error: AvatarKitError) -> AvatarKitError:
        for member, other in self.refusals:
            error.add_note(f"before that, {member}: {type(other).__name__}: {other}")
        return error

    def _too_late(self, now: float) -> AvatarKitError:
        rests = [way.rest[1] for way in self.ways if way.rest is not None]
        if self.busy is not None:
            error: AvatarKitError = self.busy
        elif len(rests) == len(self.ways):
            error = _again(rests[-1])
        else:
            error = DeadlineExceeded(
                f"no account of the pool had a free task slot within {now - self.began:.1f} s; nothing was sent",
                hint="Allow more time for slots, or run fewer tasks at once.",
            )
        return self._with_notes(error)

    # -- time

    @property
    def _clock(self) -> Clock:
        return self.roster.members[0].account.clock

    def _now(self) -> float:
        return self._clock.monotonic()

    def _options(self) -> CallOptions:
        if self.deadline == math.inf:
            return self.options
        return attrs.evolve(self.options, timeout=max(0.001, self.deadline - self._now()))


def surely_nothing_made(first: Step, error: AvatarKitError) -> bool:
    """Whether *error*, raised while a request was served whose first step is *first*, means that nothing was paid for.

    Where the first step is a task, the call ends with it, so that only this one can have failed. One that answers at
    once is followed by others in the same call: then the error has to be about it.
    """
    if isinstance(error, SubmissionInDoubt | ModerationRefused) or error.token:
        return False
    known = (
        ProviderError
        | TransportError
        | UploadFailed
        | InvalidRequest
        | UnsupportedOperation
        | ClientClosed
        | DeadlineExceeded
    )
    if not isinstance(error, known):
        return False
    return first.makes is not None or getattr(error, "endpoint", "") == first.operation


def _is_of_the_request(error: AvatarKitError, request: VideoRequest) -> bool:
    """Whether another account of the same provider would say the same."""
    if isinstance(error, BadRequest):
        # An unknown id may well be known there.
        return request.avatar is None and request.voice is None
    return isinstance(error, InvalidRequest | UnsupportedOperation)


def _again(error: AvatarKitError) -> AvatarKitError:
    """*error*, which ended another call, for one that it keeps from going out."""
    fresh = copy.copy(error)
    fresh.__notes__ = [error.hint] if error.hint else []  # the other call's notes are none of this one's
    fresh.__cause__ = error
    return fresh
