"""One waiting task as the engine remembers it, and the futures of those who wait for it."""

from __future__ import annotations

import asyncio
import copy
import math
from typing import TYPE_CHECKING, Any

import attrs

from avatarkit.errors import AvatarKitError
from avatarkit.models import Snapshot
from avatarkit.protocol.endpoint import TaskKind

if TYPE_CHECKING:
    from avatarkit.transport.polling import PollHub


@attrs.define(eq=False, slots=True)
class Watched:
    """One task as the engine remembers it; outlives event loops.

    A record may lie in the hub's wheel and queue more than once, for taking it out would cost a search. Only one place
    counts: the queue's while *queued*, the wheel's at *due*; the others are passed over when their turn comes.

    Attributes:
        born: monotonic second of the submission.
        born_wall: the same in seconds since 1970.
        size: what its duration scales with, or None.
        low: age at the last look that showed it unfinished.
        holds: whether it holds a slot of its kind's pool.
        scheduled: whether a look at it is to come or under way.
        due: monotonic second at which its place in the wheel counts; infinite for none.
        queued: whether its place in the queue counts.
        looking: whether a look at it, by itself, is under way.
        hinted: whether a callback spoke of it since the last look began.
        hinted_look: monotonic second at which the last look that a callback asked for began.
        told: quick looks left since a callback said that it ended.

    """

    task_id: str
    kind: TaskKind
    born: float
    born_wall: float
    size: float | None = None
    marker: str = ""
    snapshot: Snapshot | None = None
    low: float = 0.0
    looks: int = 0
    refusals: int = 0
    empty: int = 0
    holds: bool = False
    scheduled: bool = False
    resumed: bool = False
    hub: PollHub | None = None
    waiter: asyncio.Future[bool] | None = None
    others: list[asyncio.Future[bool]] | None = None
    changes: list[asyncio.Future[bool]] | None = None
    due: float = math.inf
    queued: bool = False
    looking: bool = False
    hinted: bool = False
    hinted_look: float = -math.inf
    told: int = 0

    @property
    def terminal(self) -> bool:
        """Whether the provider is done with it."""
        return self.snapshot is not None and self.snapshot.status.terminal

    def adopt(self, hub: PollHub) -> None:
        """Belong to *hub*: places and futures in another loop's hub died with that loop."""
        self.hub = hub
        self.scheduled = self.queued = self.looking = False
        self.due = math.inf
        self.waiter = self.others = self.changes = None

    def enlist(self, future: asyncio.Future[bool], *, change: bool) -> None:
        """Let *future* be set at the end, or with *change* when the status changes."""
        if change:
            self.changes = [*(self.changes or ()), future]
        elif self.waiter is None:
            self.waiter = future
        else:
            self.others = [*(self.others or ()), future]

    def strike(self, future: asyncio.Future[bool]) -> None:
        """Forget *future*."""
        if self.waiter is future:
            self.waiter = None
        elif self.others and future in self.others:
            self.others.remove(future)
        elif self.changes and future in self.changes:
            self.changes.remove(future)

    def wake_changes(self) -> None:
        """The status changed."""
        changes, self.changes = self.changes, None
        for future in changes or ():
            if not future.done():
                future.set_result(True)

    def wake(self, error: AvatarKitError | None) -> None:
        """It ended, or *error* ends the waits."""
        waiting: list[Any] = [self.waiter, *(self.others or ()), *(self.changes or ())]
        self.waiter = self.others = self.changes = None
        for future in waiting:
            if future is None or future.done():
                continue
            if error is None:
                future.set_result(True)
            else:
                future.set_exception(own(error))


def own(error: AvatarKitError) -> AvatarKitError:
    """A copy of *error* for one of several callers, which is told what it was about there; with where it came from."""
    copied = copy.copy(error).with_traceback(error.__traceback__)
    copied.__cause__, copied.__context__ = error.__cause__, error.__context__
    copied.__suppress_context__ = error.__suppress_context__
    return copied
