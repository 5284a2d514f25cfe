"""How far a run is, from its ledger: counts, money, pace, and when it may be over.

The arithmetic is in pure functions. :class:`Meter` asks the ledger, and sees to it that asking stays cheap beside the
work it measures, also where a million jobs have to be counted.
"""

from __future__ import annotations

import enum
import math
import time
from collections.abc import Callable, Iterable

import attrs

from avatarkit import providers
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.pace import SAMPLE, Pace, expected_end
from avatarkit.bulk.records import AccountLimits, Counts, Job, JobState, Run, RunState
from avatarkit.bulk.worktime import work_time
from avatarkit.errors import AvatarKitError, ConfigurationError

_ESTIMATES = 50  # waiting jobs looked at for what they may cost
_WAITING = (JobState.BLOCKED, JobState.NEW, JobState.INTENT)
_NOT_OVER = tuple(state for state in JobState if not state.over)


class Phase(enum.StrEnum):
    """Where a run stands, by its counts and by whether some process works on it."""

    EMPTY = "empty"
    """It has no jobs yet."""
    SUBMITTING = "submitting"
    WAITING = "waiting"
    """All that can be is submitted; tasks run at the provider, or their files are fetched."""
    HELD = "held"
    """What is left needs something that is held: it waits for the user."""
    PAUSED = "paused"
    """Something is left, and no process works on it."""
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    """Nothing is left but, perhaps, held jobs."""


@attrs.frozen(kw_only=True)
class Progress:
    """How far a run is. Jobs are videos; parts (avatars and voices that videos need) are counted apart.

    Attributes:
        run: the run's name.
        state: whether it submits.
        phase: where it stands.
        reason: why it does not submit, for people.
        total: how many videos were asked for, as far as the manifest was read.
        submitted: of them, those that are not waiting for their submission any more, whatever came of it.
        running: at the provider now, parts left out.
        done: those whose file is there.
        failed: those that will not come.
        held: those whose submission may or may not have been accepted; the user decides.
        given_up: abandoned or cancelled.
        left: those that are not over.
        parts_left: parts that are not over.
        spent: money, known or taken to be spent, in *unit*.
        reserved: money set aside for what is under way or held.
        projected: what the run will have cost when all that is left is done; None: not known.
        budget: the most that may be spent; None: no bound.
        unit: of the money, in the plural.
        elapsed: seconds in which some process worked on the run; since it was begun where that was not noted.
        eta: seconds until nothing moves any more, 0.0 when nothing does; None: not known yet.
        per_minute: videos that come to their end in a minute; None: not known yet.
        unstored: results, of parts too, that are there at the provider, could not be fetched or stored, and are tried
            again; counted by :func:`measure` only.
        unstored_why: why not, as the latest of them was told.

    """

    run: str
    state: RunState
    phase: Phase
    reason: str
    total: int
    submitted: int
    running: int
    done: int
    failed: int
    held: int
    given_up: int
    left: int
    parts_left: int
    spent: float
    reserved: float
    projected: float | None
    budget: float | None
    unit: str
    elapsed: float
    eta: float | None
    per_minute: float | None
    unstored: int = 0
    unstored_why: str = ""

    @property
    def share(self) -> float:
        """The part of the videos that is over, 0.0 to 1.0; 0.0 when there are none."""
        return (self.total - self.left) / self.total if self.total else 0.0

    def line(self) -> str:
        """One line for people: ``1,203 of 10,000 done, 50 running, 3 failed, 530 credits, 42 a minute, 3 h left``."""
        pieces = [f"{self.done:,} of {self.total:,} done"]
        others = (("running", self.running), ("failed", self.failed), ("held", self.held))
        pieces += [f"{count:,} {word}" for word, count in others if count]
        if self.spent or self.reserved:
            ahead = f" of about {money_text(self.projected)}" if self.projected and self.left else ""
            pieces.append(f"{money_text(self.spent)}{ahead} {self.unit}".rstrip())
        if self.left and self.per_minute:
            pieces.append(f"{self.per_minute:,.0f} a minute" if self.per_minute >= 1 else "under 1 a minute")
        if self.eta:
            pieces.append(f"{seconds_text(self.eta)} left")
        if self.phase not in (Phase.EMPTY, Phase.SUBMITTING, Phase.WAITING, Phase.HELD):
            why = self.reason if self.phase in (Phase.STOPPED, Phase.CANCELLED) else ""
            pieces.append(f"{self.phase.value}: {why}" if why else self.phase.value)
        return ", ".join(pieces)

    @property
    def standing(self) -> str:
        """Where it stands, for people: ``submitting``, ``waiting for 12 tasks``, ``stopped: …``, ``finished``."""
        if self.phase is Phase.EMPTY:
            return "no jobs yet"
        if self.phase is Phase.WAITING:
            return self._waiting()
        if self.phase is Phase.HELD:
            return f"waiting for you: what {_many(self.left, 'video needs', 'videos need')} is held"
        if self.phase is Phase.PAUSED:
            return f"paused: no process works on it, {_many(self.left, 'video is', 'videos are')} left"
        if self.phase is Phase.FINISHED and self.held:
            return f"finished, but {_many(self.held, 'held job waits', 'held jobs wait')} for you"
        why = self.reason if self.phase in (Phase.STOPPED, Phase.CANCELLED) else ""
        return f"{self.phase.value}: {why}" if why else self.phase.value

    def _waiting(self) -> str:
        if self.running:
            return f"waiting for {_many(self.running, 'task', 'tasks')}"
        if self.parts_left:
            return f"waiting for {_many(self.parts_left, 'avatar or voice', 'avatars and voices')}"
        return f"fetching {_many(self.left, 'file', 'files')}"


def _many(count: int, one: str, more: str) -> str:
    return f"{count:,} {one if count == 1 else more}"


def seconds_text(seconds: float) -> str:
    """A length of time for people, to two places: ``48 s``, ``3 min 20 s``, ``5 h 02 min``, ``2 d 4 h``."""
    whole = round(max(0.0, seconds))
    if whole < 60:
        return f"{whole} s" if whole >= 10 or whole == seconds else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(whole / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def money_text(amount: float | None) -> str:
    """An amount for people: ``12,400``, ``3.50``, ``0.0008``; ``?`` for None."""
    if amount is None:
        return "?"
    if amount == int(amount):
        return f"{int(amount):,}"
    return f"{amount:,.2f}" if abs(amount) >= 0.01 else f"{amount:.2g}"


def unit_of(provider: str) -> str:
    """What *provider* counts money in, in the plural: ``credits`` where its tables say nothing else."""
    try:
        generation = providers.part(provider, "generate")
    except (AvatarKitError, ImportError):  # a ledger may be older or newer than the providers installed
        return "credits"
    return str(getattr(generation, "UNIT", "") or "credits")


# -- arithmetic


def expected_cost(run: Run, *, waiting: int, done: int, estimates: Iterable[float | None]) -> float | None:
    """What the run will have cost when *waiting* more jobs are done; None when no price is known.

    A waiting job costs the mean of the *estimates* that are known, else the run's default, else what a finished one
    has cost so far.
    """
    if not waiting:
        return run.spent + run.reserved
    known = [each for each in estimates if each is not None]
    each = sum(known) / len(known) if known else run.settings.default_cost
    if each is None and done and run.spent:
        each = run.spent / done
    return None if each is None else run.spent + run.reserved + waiting * each


# -- asking the ledger


class Meter:
    """Measures one run again and again, for a display.

    Args:
        ledger: where the run is.
        run: its name.
        spacing: the ledger is asked again only after this many times what asking took, so that measuring costs at
            most one part in *spacing*; in between the last answer is given.
        monotonic: the clock for that, in seconds.

    """

    def __init__(
        self,
        ledger: Ledger,
        run: str,
        *,
        spacing: float = 50.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._run = run
        self._spacing = spacing
        self._monotonic = monotonic
        self._pace = Pace()
        self._seen_to = 0
        self._next = -math.inf
        self._last: Progress | None = None

    async def measure(self) -> Progress:
        """How far the run is, now or as of a short while ago. Changes nothing.

        Raises:
            ConfigurationError: the ledger has no such run.

        """
        begun = self._monotonic()
        if self._last is not None and begun < self._next:
            return self._last
        self._last = await self._measured()
        ended = self._monotonic()
        self._next = ended + self._spacing * (ended - begun)
        return self._last

    async def _measured(self) -> Progress:
        run = await self._ledger.get_run(self._run)
        if run is None:
            raise ConfigurationError(f"there is no run {self._run!r} in this ledger")
        counts = await self._ledger.counts(self._run)
        limits = await self._ledger.limits(run.settings.account)
        waiting = await self._ledger.select(self._run, (JobState.NEW, JobState.BLOCKED), most=_ESTIMATES)
        now = await self._ledger.now()
        self._pace.work = (await work_time(self._ledger, self._run)).until(now)
        await self._learn()
        over = counts.total - counts.of(*_NOT_OVER)
        self._pace.counted(now, over, counts.of(JobState.RUNNING, JobState.READY, JobState.INTENT))
        return _progress(run, counts, limits, self._pace, waiting, now)

    async def _learn(self) -> None:
        """Look at jobs that were done lately: those that were added last, among those not looked at yet."""
        step = SAMPLE
        while await self._done(self._seen_to + step, 1):  # a ledger of a million is not walked through
            self._seen_to += step
            step *= 2
        while step > SAMPLE:
            step //= 2
            if await self._done(self._seen_to + step, 1):
                self._seen_to += step
        jobs = await self._done(self._seen_to, SAMPLE)
        if jobs:
            self._seen_to = jobs[-1].seq
            self._pace.learn(jobs)

    async def _done(self, after: int, most: int) -> list[Job]:
        return await self._ledger.select(self._run, (JobState.DONE,), after=after, most=most)


async def measure(ledger: Ledger, run: str) -> Progress:
    """How far the run is, once. Raises ConfigurationError when the ledger has no such run."""
    count, why = await _unstored(ledger, run)
    return attrs.evolve(await Meter(ledger, run).measure(), unstored=count, unstored_why=why)


async def _unstored(ledger: Ledger, run: str) -> tuple[int, str]:
    """How many results are tried again, and the newest reason. A result that was not tried yet has no error."""
    count, after, latest, why = 0, 0, -math.inf, ""
    while jobs := await ledger.select(run, (JobState.READY,), after=after):
        after = jobs[-1].seq
        for job in jobs:
            if job.error:
                count += 1
                if job.not_before >= latest:
                    latest = job.not_before
                    why = str(job.error.get("message") or job.error.get("type") or "")
    return count, why


def _progress(
    run: Run, counts: Counts, limits: AccountLimits, pace: Pace, waiting: Iterable[Job], now: float
) -> Progress:
    submits = run.state is RunState.ACTIVE
    to_submit = counts.of(*_WAITING) if submits else counts.of(JobState.INTENT)
    parts = sum(counts.parts.get(state, 0) for state in _WAITING) if submits else 0
    at_work = counts.of(JobState.RUNNING) + counts.parts.get(JobState.RUNNING, 0)
    rate, seen = pace.rate(now)
    left = counts.of(*_NOT_OVER)
    return Progress(
        run=run.id,
        state=run.state,
        phase=_phase(run, counts, working=not pace.work.known or pace.work.active(now)),
        reason=run.reason,
        total=counts.total,
        submitted=counts.total - counts.of(*_WAITING, JobState.CANCELLED),
        running=counts.of(JobState.RUNNING),
        done=counts.of(JobState.DONE),
        failed=counts.of(JobState.FAILED),
        held=counts.of(JobState.HELD),
        given_up=counts.of(JobState.ABANDONED, JobState.CANCELLED),
        left=left,
        parts_left=counts.left - left,
        spent=run.spent,
        reserved=run.reserved,
        projected=expected_cost(
            run,
            waiting=counts.of(JobState.BLOCKED, JobState.NEW) if submits else 0,
            done=counts.of(JobState.DONE),
            estimates=[job.estimate for job in waiting if not job.part],
        ),
        budget=run.settings.budget,
        unit=unit_of(run.settings.provider),
        elapsed=pace.work.at(now) if pace.work.known else max(0.0, now - run.created),
        eta=expected_end(
            waiting=to_submit + parts if _moves(counts, submits=submits) else 0,
            running=at_work,
            cap=limits.most_running,
            mean=pace.mean,
            rate=rate,
            seen=seen,
            submit_rate=limits.per_second,
        ),
        per_minute=None if rate is None else rate * 60.0,
    )


def _phase(run: Run, counts: Counts, *, working: bool) -> Phase:
    """Where a run stands; *working*: whether some process works on it, as far as that is known."""
    if run.state is RunState.CANCELLED:
        return Phase.CANCELLED
    if not counts.left:
        return Phase.FINISHED if counts.total else Phase.EMPTY
    if run.state is RunState.STOPPED:
        return Phase.STOPPED
    if not _moves(counts, submits=True):
        return Phase.HELD
    if not working:
        return Phase.PAUSED
    both = (*counts.jobs.items(), *counts.parts.items())
    submits = any(count for state, count in both if state in (JobState.NEW, JobState.INTENT))
    return Phase.SUBMITTING if submits else Phase.WAITING


def _moves(counts: Counts, *, submits: bool) -> bool:
    """Whether anything moves by itself: what is blocked by a held part does not."""
    moving = {JobState.INTENT, JobState.RUNNING, JobState.READY} | ({JobState.NEW} if submits else set())
    both = (*counts.jobs.items(), *counts.parts.items())
    return any(count for state, count in both if state in moving)
