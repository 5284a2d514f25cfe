"""What a ledger can do, whatever it is kept in.

Every method is one durable transaction: when it returns, a power cut does not undo it. Every change is a
compare-and-set: it happens only when the job is still as the caller believes, so that any stage may run twice, and two
workers may do the same thing at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

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


class Ledger(Protocol):
    """The durable record of bulk runs. Ages and times are by the store's clock, in seconds.

    Attributes:
        exclusive: whether no other process can work on it while it is open.

    """

    exclusive: bool

    async def aclose(self) -> None:
        """Finish what is under way and let the store go."""
        ...

    async def now(self) -> float:
        """The store's time, seconds since 1970; never goes back, also when the machine's clock is set back."""
        ...

    # -- runs

    async def open_run(self, run: str, settings: RunSettings) -> Run:
        """The run of this name, begun now if there is none; an existing one gets the new settings and is active.

        Raises ConfigurationError when it belongs to another provider or account.
        """
        ...

    async def get_run(self, run: str) -> Run | None:
        """The run of this name."""
        ...

    async def runs(self) -> list[Run]:
        """Every run, oldest first."""
        ...

    async def set_run_state(self, run: str, state: RunState, reason: str = "") -> None:
        """Have the run submit, or stop. A cancelled run cancels its jobs that are blocked or new."""
        ...

    # -- jobs

    async def add(self, run: str, jobs: Sequence[NewJob]) -> Added:
        """Add jobs in one transaction; those whose key is there are left alone."""
        ...

    async def retract(self, run: str, since: float) -> None:
        """Take back jobs that were added since then and never submitted: the manifest turned out to be wrong."""
        ...

    async def take(self, run: str, state: JobState, most: int, *, seconds: float) -> list[Job]:
        """Hand out jobs in *state* that are due and not handed out, for *seconds*; oldest first.

        New ones are due from ``not_before``, running ones from ``look_at``. Handing out is a convenience, no lock: a
        job that was handed out and not touched is handed out again later. New ones of a run that is not active are
        neither handed out nor due; of running ones, who has waited longest comes first.
        """
        ...

    async def next_due(self, run: str) -> float | None:
        """When the next job that :meth:`take` would give is due; None when there is none."""
        ...

    async def get(self, run: str, key: str) -> Job | None:
        """One job."""
        ...

    async def select(
        self, run: str, states: Sequence[JobState] = (), *, after: int = 0, most: int = 1000
    ) -> list[Job]:
        """Jobs and parts in one of *states* (all when empty), in the order they were added, behind ``seq`` *after*."""
        ...

    async def parts_of(self, run: str, key: str) -> Mapping[str, Job]:
        """The parts a job needs, by key."""
        ...

    async def counts(self, run: str) -> Counts:
        """Where the run's jobs are."""
        ...

    async def dearest(self, run: str) -> float:
        """The most that one of the run's videos was seen to cost; 0 when nothing is known."""
        ...

    # -- a submission

    async def open_intent(self, intent: Intent) -> OpenAnswer:
        """Take a slot and a turn of the account, set the cost aside and go from new to intent: all or nothing."""
        ...

    async def accepted(
        self, run: str, key: str, attempt: int, *, task_id: str, token: str, look_at: float
    ) -> bool:
        """From intent to running. False: it was resolved by somebody else, and this task is an orphan."""
        ...

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
        """From intent to new, surely nothing was made: slot and money are given back. *counts*: one more try."""
        ...

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
        """A job that is new or ready, and stays so, is not to be handed out before; *counts*: one more try."""
        ...

    async def doubt(self, run: str, key: str, attempt: int, *, error: Mapping[str, Any]) -> bool:
        """The intent's outcome is not known: it stays, marked so, and may be reconciled."""
        ...

    async def fail(
        self, run: str, key: str, attempt: int, *, error: Mapping[str, Any], cost: float | None = None
    ) -> bool:
        """From any state that is not final to failed; what needs it fails with it. Slot and money are given back.

        What a ready job cost stays spent: its task ended well.
        """
        ...

    # -- afterwards

    async def settle(self, run: str, looks: Sequence[Look]) -> list[str]:
        """What a round of looks showed, in one transaction; gives the keys that became ready."""
        ...

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
        """To done: the file is whole, or the part's result known. What waited for a part and lacks no other is new.

        Parts that were answered at once are finished from intent.
        """
        ...

    async def renew(self, run: str, key: str) -> bool:
        """From done to new: what a part made is too old. What needs it and was not submitted waits for it again."""
        ...

    # -- doubts

    async def doubts(self, run: str, *, older_than: float) -> list[Job]:
        """Intents whose time to go out ended more than *older_than* seconds ago, or that are marked as doubts."""
        ...

    async def absent(self, run: str, key: str, attempt: int) -> float:
        """The provider does not show it: remember when that was first seen, and give that time."""
        ...

    async def hold(self, run: str, key: str, attempt: int, *, error: Mapping[str, Any]) -> bool:
        """From intent to held. Its money stays set aside, its slot is given back."""
        ...

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
        """From intent or held to running: the task was found. True also when this very task was recorded before.

        *anew*, at the user's word: a failed job is taken up, too, and what its failure counted for is taken back. It
        says what such a job is expected to cost; that is set aside, or what was counted, if that is more.
        """
        ...

    async def resend(self, run: str, keys: Sequence[str]) -> int:
        """From held or failed to new, at the user's word; gives how many came back, dependants counted.

        A part brings back what failed because of it; a job that failed because of a part asks for that part.
        """
        ...

    async def abandon(self, run: str, keys: Sequence[str]) -> int:
        """From held to abandoned, at the user's word; gives how many. What needs it fails, its money is spent."""
        ...

    async def cancel(self, run: str, keys: Sequence[str]) -> int:
        """From blocked or new to cancelled, and what needs it too; gives how many, dependants counted."""
        ...

    # -- what is shared

    async def limits(self, account: str) -> AccountLimits:
        """What the account allows, and how much of it is used."""
        ...

    async def set_limits(
        self, account: str, *, most_running: int | None = None, per_second: float | None = None
    ) -> None:
        """Set what the account allows; None leaves a value alone."""
        ...

    async def turns(self, account: str, many: int) -> Turns:
        """Reserve the next *many* turns of the account's rate, where several processes share it.

        They come out of the one sequence of evenly spaced turns that :meth:`open_intent` takes from, too.
        """
        ...

    async def too_many(self, account: str, seconds: float) -> None:
        """The provider said "too many running": the cap is what runs now, at least 1, and nobody submits for a while.

        The cap grows again by one for each tenth of it that ends well.
        """
        ...

    async def remember(self, account: str, name: str, value: Mapping[str, Any]) -> None:
        """Keep a small thing by name, such as the file id of an upload by its content's hash."""
        ...

    async def recall(self, account: str, name: str, *, younger_than: float) -> Mapping[str, Any] | None:
        """What was kept by that name, if it is not too old."""
        ...

    async def lease(self, name: str, owner: str, seconds: float) -> bool:
        """Have something to oneself for a while: True for one owner at a time, who may renew it."""
        ...
