"""What the clients of one account have in common, so that together they stay inside one budget.

Clients of one account (the same credentials, or the same name given to it), base URL and clock find each other when
they start on an event loop. From then on they share task slots, learned durations and the request limiter; the
strictest of their settings holds, ``max_running`` until the client that asked for it is closed. Uploads are shared by
those with the same credentials only: a name given to the wrong account must cost nothing but its pace. Credentials
themselves, and what a provider lends for them, belong to each client alone. A budget belongs to one running loop at a
time. Blocking clients all run on one loop, so they share as well; loops that run in several threads at once have a
budget each, for none of this may be touched from two threads.

Nothing keeps a budget alive but its clients. No lock is taken: the registry is only asked on the thread of a running
loop, and should two threads ask in the same moment, the worst is that they do not share.
"""

from __future__ import annotations

import asyncio
import functools
import re
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

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

ACCOUNT_NAME: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")
"""What an account may be called."""


def account_variable(provider: str) -> str:
    """The environment variable that names the account at *provider*, such as ``HIFLY_ACCOUNT``."""
    return re.sub(r"[^A-Z0-9]", "_", provider.upper()) + "_ACCOUNT"


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
        joined: whether it was used on a loop, where other clients can find it.

    """

    clock: Clock
    slots: dict[str, PassedSlots] = attrs.field(factory=dict)
    durations: dict[Kind, Durations] = attrs.field(factory=dict)
    joined: bool = False
    _uploads: dict[bytes, UploadCache] = attrs.field(factory=dict, init=False)
    _members: list[tuple[weakref.ref[Account], dict[str, Watched], bytes]] = attrs.field(
        factory=list, init=False
    )
    _loop: weakref.ref[asyncio.AbstractEventLoop] | None = attrs.field(default=None, init=False)
    _limiter: SharedLimiter | None = attrs.field(default=None, init=False)

    def uploads_of(self, account: Account) -> UploadCache:
        """Files that lie at the provider already, sent with the credentials of *account*."""
        known = self._uploads.get(account.signing_key)
        if known is None:
            known = self._uploads[account.signing_key] = UploadCache(clock=self.clock)
        return known

    def admit(self, account: Account) -> None:
        """Make *account* one of those that share this; its own limits hold for all until it is closed."""
        self._members = [member for member in self._members if member[0]() is not None or member[1]]
        self._members.append((weakref.ref(account), account.held, account.signing_key))
        self._equip(account.kinds)
        self._bind()

    def _bind(self) -> None:
        """Have every pool keep to the smallest ``max_running`` of the clients that are open."""
        wished = [one.max_running for one in self._accounts() if not one.closed]
        most = min((wish for wish in wished if wish is not None), default=None)
        for slots in self.slots.values():
            slots.bind(most)

    def heed(self) -> None:
        """Keep to the settings of those that are open now; on the thread of the loop that it is used on."""
        self._bind()
        for slots in self.slots.values():
            slots.serve()

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
        self.heed()  # a client that nobody closed may be gone, and its wish with it
        loop = asyncio.get_running_loop()
        here = [account for account in self._accounts() if account.active_on(loop)]
        if not here:
            return
        for account, held, key in self._members:
            owner = account()
            # Nobody else would ever see the end of tasks whose client is closed, or gone, or was left on another loop.
            if held and (owner is None or owner not in here):
                heir = next((one for one in here if one.signing_key == key), here[0])
                _inherit(heir, held, same_login=heir.signing_key == key)
        for account_here in here:
            account_here.hub_watch_holders(pool)

    def left(self) -> None:
        """A client was closed: it binds the others no more, and those that wait for a slot look after its tasks."""
        self.heed()
        for pool, slots in self.slots.items():
            if slots.waiting:
                self.wanted(pool)

    def forget(self, task_id: str) -> None:
        """The task ended."""
        for _, held, _ in self._members:
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
        for member, _, _ in self._members:
            account = member()
            if account is not None:
                yield account

    def _cap_learned(self, cap: int) -> None:
        for account in list(self._accounts()):
            if not account.closed:
                account.cap_learned(cap)


def _inherit(heir: Account, held: dict[str, Watched], *, same_login: bool) -> None:
    """Have *heir* look after the tasks in *held*, in the way that its own credentials allow."""
    if not same_login:
        for record in held.values():
            record.kind = heir.kinds.get(record.kind.kind, record.kind)
    heir.held.update(held)
    held.clear()


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
    budget.heed()
    return budget
