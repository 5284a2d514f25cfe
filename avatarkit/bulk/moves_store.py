"""A ledger whose methods are moves: all that a store has to add is how one move is run. No I/O."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from avatarkit.bulk import moves_ends, moves_jobs, moves_runs, moves_submit
from avatarkit.bulk.moves import Move
from avatarkit.bulk.records import (
    AccountLimits,
    Added,
    Counts,
    Intent,
    Job,
    JobState,
    Look,
    NewJob,
    OpenAnswer,
    Run,
    RunSettings,
    RunState,
    Turns,
)

T = TypeVar("T")


class MovesLedger(abc.ABC):
    """The methods of :class:`~avatarkit.bulk.ledger.Ledger`, each as one call of :meth:`change` or :meth:`read`."""

    exclusive = False

    @abc.abstractmethod
    def change(self, move: Callable[[], Move[T]]) -> Awaitable[T]:
        """Run a move in one durable transaction. *move* makes it, anew each time it is tried."""

    @abc.abstractmethod
    def read(self, move: Callable[[], Move[T]]) -> Awaitable[T]:
        """Run a move that changes nothing, on one state of the store."""

    async def open_run(self, run: str, settings: RunSettings) -> Run:
        """The run of this name, begun now if there is none.

        Raises ConfigurationError when it belongs to another provider or account.
        """
        return await self.change(partial(moves_runs.open_run, run, settings))

    async def get_run(self, run: str) -> Run | None:
        """The run of this name."""
        return await self.read(partial(moves_runs.get_run, run))

    async def runs(self) -> list[Run]:
        """Every run, oldest first."""
        return await self.read(moves_runs.runs)

    async def set_run_state(self, run: str, state: RunState, reason: str = "") -> None:
        """Have the run submit, or stop. Raises ConfigurationError when there is no such run."""
        await self.change(partial(moves_runs.set_run_state, run, state, reason))

    async def add(self, run: str, jobs: Sequence[NewJob]) -> Added:
        """Add jobs. Raises ConfigurationError for an unknown run, or a needed part that is not there."""
        return await self.change(partial(moves_jobs.add, run, jobs))

    async def renew(self, run: str, key: str) -> bool:
        """A part is to be made again."""
        return await self.change(partial(moves_ends.renew, run, key))

    async def retract(self, run: str, since: float) -> None:
        """Take back what was added since then and was not touched yet."""
        await self.change(partial(moves_jobs.retract, run, since))

    async def dearest(self, run: str) -> float:
        """The most that one of the run's videos was seen to cost; 0 when nothing is known."""
        return await self.read(partial(moves_jobs.dearest, run))

    async def take(self, run: str, state: JobState, most: int, *, seconds: float) -> list[Job]:
        """Hand out jobs that are due, for *seconds*."""
        return await self.change(partial(moves_jobs.take, run, state, most, seconds=seconds))

    async def next_due(self, run: str) -> float | None:
        """When the next job can be taken."""
        return await self.read(partial(moves_jobs.next_due, run))

    async def get(self, run: str, key: str) -> Job | None:
        """One job."""
        return await self.read(partial(moves_jobs.get, run, key))

    async def select(
        self, run: str, states: Sequence[JobState] = (), *, after: int = 0, most: int = 1000
    ) -> list[Job]:
        """Jobs and parts in the order they were added, behind ``seq`` *after*."""
        return await self.read(partial(moves_jobs.select, run, states, after=after, most=most))

    async def parts_of(self, run: str, key: str) -> Mapping[str, Job]:
        """The parts a job needs, by key."""
        return await self.read(partial(moves_jobs.parts_of, run, key))

    async def counts(self, run: str) -> Counts:
        """Where the run's jobs are."""
        return await self.read(partial(moves_jobs.counts, run))

    async def open_intent(self, intent: Intent) -> OpenAnswer:
        """Go from new to intent, with a slot, a turn and the money: all or nothing."""
        return await self.change(partial(moves_submit.open_intent, intent))

    async def accepted(
        self, run: str, key: str, attempt: int, *, task_id: str, token: str, look_at: float
    ) -> bool:
        """From intent to running; also True when this very task was recorded before."""
        move = partial(moves_submit.accepted, task_id=task_id, token=token, look_at=look_at)
        return await self.change(partial(move, run, key, attempt))

    async def put_back(
        self,
        run: str,
        key: str,
        attempt: int,
        *,
        error: Mapping[str, Any],
        not_before: float = 0.0,
        counts: bool = False,
    ) -> bool:
        """From intent to new: surely nothing was made."""
        move = partial(moves_submit.put_back, error=error, not_before=not_before, counts=counts)
        return await self.change(partial(move, run, key, attempt))

    async def postpone(
        self,
        run: str,
        key: str,
        state: JobState,
        *,
        not_before: float,
        error: Mapping[str, Any],
        counts: bool = False,
    ) -> bool:
        """A job that is new or ready stays so, and is due later."""
        move = partial(moves_submit.postpone, not_before=not_before, error=error, counts=counts)
        return await self.change(partial(move, run, key, state))

    async def doubt(self, run: str, key: str, attempt: int, *, error: Mapping[str, Any]) -> bool:
        """The intent stays, marked as a doubt."""
        return await self.change(partial(moves_submit.doubt, run, key, attempt, error=error))

    async def fail(
        self, run: str, key: str, attempt: int, *, error: Mapping[str, Any], cost: float | None = None
    ) -> bool:
        """From any state that is not final to failed; what needs it fails with it."""
        return await self.change(partial(moves_ends.fail, run, key, attempt, error=error, cost=cost))

    async def settle(self, run: str, looks: Sequence[Look]) -> list[str]:
        """What a round of looks showed; gives the keys that became ready."""
        return await self.change(partial(moves_ends.settle, run, looks))

    async def finish(
        self,
        run: str,
        key: str,
        attempt: int,
        *,
        result: Mapping[str, Any],
        cost: float | None = None,
        from_states: Sequence[JobState] = (JobState.READY,),
    ) -> bool:
        """To done; what waited for this part and lacks no other is new."""
        move = partial(moves_ends.finish, result=result, cost=cost, from_states=from_states)
        return await self.change(partial(move, run, key, attempt))

    async def doubts(self, run: str, *, older_than: float) -> list[Job]:
        """Intents that nobody is sending any more."""
        return await self.read(partial(moves_submit.doubts, run, older_than=older_than))

    async def absent(self, run: str, key: str, attempt: int) -> float:
        """When the provider was first seen not to show it."""
        return await self.change(partial(moves_submit.absent, run, key, attempt))

    async def hold(self, run: str, key: str, attempt: int, *, error: Mapping[str, Any]) -> bool:
        """From intent to held."""
        return await self.change(partial(moves_submit.hold, run, key, attempt, error=error))

    async def adopt(
        self,
        run: str,
        key: str,
        attempt: int,
        *,
        task_id: str,
        token: str,
        look_at: float,
        anew: float | None = None,
    ) -> bool:
        """From intent, held, or with *anew* failed, to running; also True when this very task was recorded before."""
        move = partial(moves_submit.adopt, task_id=task_id, token=token, look_at=look_at, anew=anew)
        return await self.change(partial(move, run, key, attempt))

    async def resend(self, run: str, keys: Sequence[str]) -> int:
        """From held or failed to new; gives how many came back, dependants counted."""
        return await self.change(partial(moves_ends.resend, run, keys))

    async def abandon(self, run: str, keys: Sequence[str]) -> int:
        """From held to abandoned; gives how many."""
        return await self.change(partial(moves_ends.abandon, run, keys))

    async def cancel(self, run: str, keys: Sequence[str]) -> int:
        """From blocked or new to cancelled; gives how many, dependants counted."""
        return await self.change(partial(moves_ends.cancel, run, keys))

    async def limits(self, account: str) -> AccountLimits:
        """What the account allows, and how much of it is used."""
        return await self.read(partial(moves_runs.limits, account))

    async def set_limits(
        self, account: str, *, most_running: int | None = None, per_second: float | None = None
    ) -> None:
        """Set what the account allows. Raises ConfigurationError for numbers that are not above zero."""
        move = partial(moves_runs.set_limits, most_running=most_running, per_second=per_second)
        await self.change(partial(move, account))

    async def turns(self, account: str, many: int) -> Turns:
        """Reserve the next *many* turns of the account's rate."""
        return await self.change(partial(moves_runs.turns, account, many))

    async def too_many(self, account: str, seconds: float) -> None:
        """The provider said "too many running"."""
        await self.change(partial(moves_runs.too_many, account, seconds))

    async def remember(self, account: str, name: str, value: Mapping[str, Any]) -> None:
        """Keep a small thing by name."""
        await self.change(partial(moves_runs.remember, account, name, value))

    async def recall(self, account: str, name: str, *, younger_than: float) -> Mapping[str, Any] | None:
        """What was kept by that name, if it is not too old."""
        return await self.read(partial(moves_runs.recall, account, name, younger_than=younger_than))

    async def lease(self, name: str, owner: str, seconds: float) -> bool:
        """Have something to oneself for a while."""
        return await self.change(partial(moves_runs.lease, name, owner, seconds))
