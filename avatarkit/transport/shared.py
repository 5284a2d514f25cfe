"""What the clients of one account have in common, so that together they stay inside one budget.

Clients with the same credentials, base URL and clock find each other when they start on an event loop. From then on
they share task slots, learned durations, uploads and the request limiter; the strictest of their settings holds. A
budget belongs to one running loop at a time. Blocking clients all run on one loop, so they share as well; loops that
run in several threads at once have a budget each, for none of this may be touched from two threads.

Nothing keeps a budget alive but its clients. No lock is taken: the registry is only asked on the thread of a running
loop, and should two threads ask in the same moment, the worst is that they do not share.
"""

from __future__ import annotations

import asyncio
import functools
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, TypeAlias

import attrs

from avatarkit.models import Kind
from avatarkit.protocol.endpoint import TaskKind
from avatarkit.protocol.schedule import Durations
from avatarkit.settings import RateLimit
from avatarkit.transport.clock import Clock
from avatarkit.transport.limiter import RequestLimiter
from avatarkit.transport.slot_pass import PassedSlots
from avatarkit.transport.uploads_cache import UploadCache

if TYPE_CHECKING:
    from avatarkit.transport.account import Account
    from avatarkit.transport.watched import Watched

BudgetKey: TypeAlias = tuple[str, str, str, int]
"""Provider, fingerprint, base URL, identity of the clock."""

_PACE = ("_interval", "_grain", "_burst", "_logged", "_window", "_slack")


class SharedLimiter(RequestLimiter):
    """A request limiter of several clients: the slowest rate and the smallest burst that any of them asked for."""

    __slots__ = ("_rate",)

    def __init__(self, rate: RateLimit | None, in_progress: int, clock: Clock) -> None:
        super().__init__(rate, in_progress, clock)
        self._rate = rate

    def restrict(self, rate: RateLimit | None, in_progress: int) -> None:
        """Keep to *rate* as well. Requests in progress: as many as the client with the most connections may have."""
        more = max(0, in_progress - self._places)
        self._places += more
        self._free += more
        old = self._rate
        if rate is not None:
            strict = rate
            if old is not None:
                strict = RateLimit(
                    per_second=min(old.per_second, rate.per_second), burst=min(old.burst, rate.burst)
                )
            if strict != old:
                self._slow_down(strict)
        if self._waiting:
            self._arm()

    def _slow_down(self, rate: RateLimit) -> None:
        fresh = RequestLimiter(rate, self._places, self._clock)
        before = self._interval
        for name in _PACE:
            setattr(self, name, getattr(fresh, name))
        self._log = deque(self._log, maxlen=max(self._logged, 0))
        self._slot += self._interval - before
        self._rate = rate
        self._next = max(self._slot - self._burst, self._not_before, self._log_allows())


@attrs.define(eq=False)
class Budget:
    """Limits and everything learned of one account, for all its clients on one loop. Outlives event loops.

    Attributes:
        slots: task slots by pool.
        durations: learned, by kind of task.
        uploads: files that lie at the provider already.
        joined: whether it was used on a loop, where other clients can find it.

    """

    clock: Clock
    slots: dict[str, PassedSlots] = attrs.field(factory=dict)
    durations: dict[Kind, Durations] = attrs.field(factory=dict)
    uploads: UploadCache = attrs.field(init=False)
    joined: bool = False
    _members: list[tuple[weakref.ref[Account], dict[str, Watched]]] = attrs.field(factory=list, init=False)
    _loop: weakref.ref[asyncio.AbstractEventLoop] | None = attrs.field(default=None, init=False)
    _limiter: SharedLimiter | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.uploads = UploadCache(clock=self.clock)

    def admit(self, account: Account) -> None:
        """Make *account* one of those that share this; its own limits hold for all from now on."""
        self._members = [member for member in self._members if member[0]() is not None or member[1]]
        self._members.append((weakref.ref(account), account.held))
        self._equip(account.kinds)
        for slots in self.slots.values():
            slots.restrict(account.max_running)

    def _equip(self, kinds: Mapping[Kind, TaskKind]) -> None:
        for kind in kinds.values():
            self.durations.setdefault(kind.kind, Durations(kind.median, kind.p95))
            if kind.pool and kind.pool not in self.slots:
                slots = PassedSlots(None, self.clock, self._cap_learned)
                slots.on_wait = functools.partial(self.wanted, kind.pool)
                self.slots[kind.pool] = slots

    # -- the running loop

    def free_for(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it may be used on *loop*: it is used there, or on none that runs."""
        used = self._loop() if self._loop is not None else None
        return used is None or used is loop or not used.is_running()

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        """Be used on *loop* from now on. What waited on another loop died with that."""
        if self._loop is not None and self._loop() is loop:
            return
        self._loop = weakref.ref(loop)
        self._limiter = None
        for slots in self.slots.values():
            slots.drop_waiters()

    def limiter(self, rate: RateLimit | None, in_progress: int) -> RequestLimiter:
        """The limiter of the loop that was entered last; it keeps to *rate* from now on."""
        if self._limiter is None:
            self._limiter = SharedLimiter(rate, in_progress, self.clock)
        else:
            self._limiter.restrict(rate, in_progress)
        return self._limiter

    # -- tasks that hold slots

    def wanted(self, pool: str) -> None:
        """A submission waits for a slot of *pool*: have the tasks that hold one looked at, whoever submitted them."""
        loop = asyncio.get_running_loop()
        here = [account for account in self._accounts() if account.active_on(loop)]
        if not here:
            return
        for account, held in self._members:
            owner = account()
            # Nobody else would ever see the end of tasks whose client is closed, or gone, or was left on another loop.
            if held and (owner is None or owner not in here):
                here[0].held.update(held)
                held.clear()
        for account_here in here:
            account_here.hub_watch_holders(pool)

    def left(self) -> None:
        """A client was closed: others that wait for a slot look after its tasks."""
        for pool, slots in self.slots.items():
            if slots.waiting:
                self.wanted(pool)

    def forget(self, task_id: str) -> None:
        """The task ended."""
        for _, held in self._members:
            held.pop(task_id, None)

    def dismiss(self, account: Account, other: Budget) -> None:
        """Count *account* and its tasks at *other* from now on, which is used on the running loop."""
        self._members = [member for member in self._members if member[0]() is not account]
        used = self._loop() if self._loop is not None else None
        for record in account.held.values():
            pool = record.kind.pool
            other.slots[pool].count_in(1)
            if used is not None and used.is_running():
                used.call_soon_threadsafe(self.slots[pool].release)
            else:
                self.slots[pool].release()

    def _accounts(self) -> Iterator[Account]:
        for member, _ in self._members:
            account = member()
            if account is not None:
                yield account

    def _cap_learned(self, cap: int) -> None:
        for account in list(self._accounts()):
            if not account.closed:
                account.cap_learned(cap)


_budgets: weakref.WeakValueDictionary[tuple[BudgetKey, int], Budget] = weakref.WeakValueDictionary()


def settle_in(account: Account, loop: asyncio.AbstractEventLoop) -> Budget:
    """The budget of *account* on the running loop: the one it had, or that of other clients of the same account."""
    own = account.budget
    if own.joined and own.free_for(loop):
        own.enter(loop)
        return own
    key = (account.spec.name, account.fingerprint, account.base_url, id(own.clock))
    number = 0
    while (budget := _budgets.get((key, number))) is not None and not budget.free_for(loop):
        number += 1
    if budget is None:
        budget = Budget(own.clock) if own.joined else own
        _budgets[key, number] = budget
    if budget is not own:
        budget.admit(account)
        own.dismiss(account, budget)
    budget.joined = True
    budget.enter(loop)
    return budget
