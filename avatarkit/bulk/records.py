"""What a ledger holds, as data: runs, jobs, and what happens to them. No I/O.

A *job* is one video that was asked for. Where a provider needs a step before it (a cloned avatar, a spoken text), that
step is a *part*: a job of its own, shared by all that need the same, which wait as ``blocked`` until it is done. So
every job is exactly one billed submission, and one life::

    blocked ──parts done──▶ new ──intent──▶ intent ──accepted──▶ running ──ended well──▶ ready ──file whole──▶ done
                             ▲                │                     │
                             └─surely not────┤                     ├──▶ failed      (or new again: provider's fault)
                             └─shown absent──┤                     │
                                              └──cannot tell──▶ held ──by the user: adopt, resend, abandon

Times are seconds since 1970 by the ledger's own clock, money is in the provider's unit.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import attrs

from avatarkit.models import Guard, Ticket


class JobState(enum.StrEnum):
    """Where a job is; see the drawing above."""

    BLOCKED = "blocked"
    NEW = "new"
    INTENT = "intent"
    RUNNING = "running"
    READY = "ready"
    DONE = "done"
    FAILED = "failed"
    HELD = "held"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing more happens to it by itself."""
        return self in _FINAL

    @property
    def over(self) -> bool:
        """Whether a run need not wait for it: it is final, or held for the user."""
        return self in _FINAL or self is JobState.HELD


_FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.ABANDONED, JobState.CANCELLED})


class RunState(enum.StrEnum):
    """Whether a run submits."""

    ACTIVE = "active"
    STOPPED = "stopped"
    """No more submissions (no money, bad credentials, too many failures, budget); what was paid for is collected."""
    CANCELLED = "cancelled"


@attrs.frozen(kw_only=True)
class RunSettings:
    """What a run was started with. Kept in the ledger; holds no secret.

    Attributes:
        provider: the provider's name.
        account: fingerprint of the account.
        budget: the most that may be spent, in the provider's unit; None: no bound.
        out: folder or object-store URL that gets the files.
        name: template of the files' names, such as ``{key}.mp4``.
        sidecar: whether each file gets a JSON file beside it.
        retries: how often a job that failed by the provider's fault is submitted again.
        max_failures: failures in a row after which submitting stops; 0: never.
        manifest: where the jobs came from, for people.
        default_cost: what a job is taken to cost where no price is published, for *budget*.

    """

    provider: str
    account: str
    budget: float | None = None
    out: str = "."
    name: str = "{key}"
    sidecar: bool = False
    retries: int = 2
    max_failures: int = 20
    manifest: str = ""
    default_cost: float | None = None


@attrs.frozen(kw_only=True)
class Run:
    """A run as the ledger knows it.

    Attributes:
        id: its name in the ledger.
        state: whether it submits.
        reason: why it was stopped, for people.
        created: when it was begun.
        spent: what its ended and running jobs are known or taken to have cost.
        reserved: what is set aside for submissions whose cost is not known yet.
        failures_in_row: jobs that failed since one last went well.

    """

    id: str
    settings: RunSettings
    state: RunState = RunState.ACTIVE
    reason: str = ""
    created: float = 0.0
    spent: float = 0.0
    reserved: float = 0.0
    failures_in_row: int = 0


@attrs.frozen(kw_only=True)
class NewJob:
    """A job to be added.

    Attributes:
        key: unique in its run; adding it again changes nothing.
        spec: what is to be made, JSON; see ``bulk/specs.py``.
        needs: keys of the parts that must be done first; they are added before it or with it.
        part: whether it is a part.
        estimate: what it is expected to cost, None when nothing is known.

    """

    key: str
    spec: bytes
    needs: tuple[str, ...] = ()
    part: bool = False
    estimate: float | None = None


@attrs.frozen(kw_only=True)
class Added:
    """What adding jobs did.

    Attributes:
        new: how many were added.
        known: how many were there already, unchanged.
        changed: keys that were there with another spec; the ledger keeps the old one.

    """

    new: int
    known: int
    changed: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, slots=False)  # without slots it is made, and made anew, in half the time
class Job:
    """A job as the ledger knows it.

    Attributes:
        attempt: submissions begun, this one included while state is ``intent``; no number is used twice, also not for
            one that was put back, so that a late answer to it cannot pass for the next one's.
        tries: submissions that ended by the provider's fault and were made again.
        marker: what the latest submission was sent with: external id, title, name.
        ticket: all about the latest submission, for reconciling.
        send_by: when the latest submission must have gone out.
        absent_at: when the provider's list first showed that it is not there.
        token: of the accepted task.
        submitted_at: when the task was accepted.
        ended_at: when the provider was seen to be done with it.
        finished_at: when it came to its final state.
        not_before: not to be submitted before.
        look_at: when the running task is to be looked at next.
        looks: how often it was looked at by itself.
        cost: what it cost, where known.
        result: what was made: of a part what later steps need, of a job the file and its facts.
        error: why it failed, is held, or was put back: type, code, message, reason. No secrets.

    """

    seq: int
    run: str
    key: str
    part: bool
    state: JobState
    spec: bytes
    attempt: int = 0
    tries: int = 0
    marker: str = ""
    ticket: Ticket | None = None
    send_by: float = 0.0
    absent_at: float | None = None
    token: str = ""
    task_id: str = ""
    created: float = 0.0
    submitted_at: float | None = None
    ended_at: float | None = None
    finished_at: float | None = None
    not_before: float = 0.0
    look_at: float = 0.0
    looks: int = 0
    estimate: float | None = None
    cost: float | None = None
    result: Mapping[str, Any] = attrs.field(factory=dict)
    error: Mapping[str, Any] = attrs.field(factory=dict)

    def but(self, **changes: Any) -> Job:
        """The same job with other values in the fields that *changes* names."""
        assert changes.keys() <= self.__dict__.keys()
        job = object.__new__(Job)
        job.__dict__.update(self.__dict__, **changes)
        return job


@attrs.frozen(kw_only=True)
class Intent:
    """That a submission is about to go out.

    Attributes:
        attempt: the number it gets: one more than the job has.
        ticket: what is sent.
        send_seconds: how long it may take to go out.
        cost: what is set aside for it.
        owner: who sends it, for people.
        turn: whether it gets its turn of the account's rate here; a fleet's requests all have theirs from ``turns``.

    """

    run: str
    key: str
    attempt: int
    ticket: Ticket
    send_seconds: float
    cost: float = 0.0
    owner: str = ""
    turn: bool = True


class Opened(enum.StrEnum):
    """What became of opening an intent."""

    YES = "yes"
    NOT_YOURS = "not yours"
    """The job is not new any more, or at another attempt: it must not be sent."""
    WAIT = "wait"
    """No slot or no turn: try again after the seconds told."""
    STOPPED = "stopped"
    """The run does not submit any more."""
    BUDGET = "budget"
    """The budget does not hold it; it may when others turn out cheaper."""


@attrs.frozen
class OpenAnswer:
    """The answer to opening an intent; *seconds* to wait, and why, for people."""

    opened: Opened
    seconds: float = 0.0
    reason: str = ""


@attrs.frozen(kw_only=True)
class Look:
    """What looking at a running job showed.

    Attributes:
        state: ``RUNNING`` (look again at *look_at*), ``READY`` (succeeded), ``FAILED``, or ``NEW`` (failed by the
            provider's fault and to be submitted again, not before *not_before*).
        counted: whether the provider was asked about this job alone.

    """

    key: str
    attempt: int
    state: JobState
    look_at: float = 0.0
    not_before: float = 0.0
    cost: float | None = None
    error: Mapping[str, Any] = attrs.field(factory=dict)
    counted: bool = False


@attrs.frozen(kw_only=True)
class Counts:
    """Where a run's jobs are; parts are counted apart."""

    jobs: Mapping[JobState, int]
    parts: Mapping[JobState, int]

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return sum(self.jobs.values())

    def of(self, *states: JobState) -> int:
        """How many jobs, parts left out, are in one of *states*."""
        return sum(self.jobs.get(state, 0) for state in states)

    @property
    def left(self) -> int:
        """Jobs and parts that are not over."""
        both = (*self.jobs.items(), *self.parts.items())
        return sum(count for state, count in both if not state.over)


@attrs.frozen(kw_only=True)
class AccountLimits:
    """What an account allows over all runs and workers of one ledger.

    Attributes:
        most_running: tasks running at once; None: not known.
        per_second: submissions a second; None: no bound (a single process has its client's limiter).
        running: how many hold a slot now.

    """

    most_running: int | None = None
    per_second: float | None = None
    running: int = 0


@attrs.frozen(kw_only=True)
class Turns:
    """Moments at which an account's requests may go out; who comes late for one needs another. By the store's clock.

    Attributes:
        now: when they were reserved.
        first: the first of them.
        every: seconds from one to the next; 0: the account has no rate here.

    """

    now: float = 0.0
    first: float = 0.0
    every: float = 0.0


_TICKET = tuple(field.name for field in attrs.fields(Ticket))
_VALUES = attrgetter(*_TICKET)


def ticket_to_json(ticket: Ticket) -> dict[str, Any]:
    """*ticket* as plain data."""
    data = dict(zip(_TICKET, _VALUES(ticket), strict=True))
    data["guard"] = ticket.guard.value
    return data


def ticket_from_json(data: Mapping[str, Any]) -> Ticket:
    """The ticket that :func:`ticket_to_json` wrote."""
    return Ticket(**{**data, "guard": Guard(data["guard"])})
