"""What the report says, gathered from a ledger's jobs one by one, in little memory however many there are. No I/O."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import attrs

from avatarkit.bulk.records import Job, JobState

T = TypeVar("T")
_BINS = 240
_FIRST_WIDTH = 0.25
_GROUPS = 200  # kinds of failures that are told apart
_EXAMPLES = 4
_LONGEST = 2000


@attrs.frozen(kw_only=True)
class Bin:
    """A stretch of the run.

    Attributes:
        at: when it begins, seconds since 1970.
        running: how many tasks were running when it ended.
        done: jobs that were done in it.
        failed: jobs that failed in it.

    """

    at: float
    running: int
    done: int
    failed: int


class Timeline:
    """The run's course in at most 240 stretches, which get twice as long whenever time runs over their end.

    Args:
        start: when the run began; what is said to be earlier counts as then.

    """

    def __init__(self, start: float) -> None:
        self.start = start
        self.width = _FIRST_WIDTH
        self.last = start
        self._columns = {name: [0] * _BINS for name in ("begun", "ended", "done", "failed")}

    def add(self, name: str, at: float | None) -> None:
        """One more ``begun``, ``ended``, ``done`` or ``failed`` at the time *at*."""
        if at is None or not math.isfinite(at):
            return
        passed = max(0.0, at - self.start)
        while passed >= self.width * _BINS:
            self.width *= 2.0
            for column in self._columns.values():
                column[:] = [a + b for a, b in zip(column[::2], column[1::2], strict=True)] + [0] * (
                    _BINS // 2
                )
        self._columns[name][int(passed / self.width)] += 1
        self.last = max(self.last, at)

    def bins(self, until: float | None = None) -> list[Bin]:
        """All stretches from the start to the last thing that happened, or to *until*."""
        end = self.last if until is None or not math.isfinite(until) else max(self.last, until)
        last = min(_BINS - 1, int(max(0.0, end - self.start) / self.width))
        found, running = [], 0
        for n in range(last + 1):
            running += self._columns["begun"][n] - self._columns["ended"][n]
            found.append(
                Bin(
                    at=self.start + n * self.width,
                    running=max(0, running),
                    done=self._columns["done"][n],
                    failed=self._columns["failed"][n],
                )
            )
        return found


class Spread(Generic[T]):
    """At most *most* of the things offered, evenly spread over all of them, in their order."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._stride = 1
        self._kept: list[T] = []
        self.offered = 0

    def offer(self, thing: T) -> None:
        """Keep *thing*, perhaps."""
        if self._most > 0 and self.offered % self._stride == 0:
            self._kept.append(thing)
            if len(self._kept) > 2 * self._most:
                self._kept = self._kept[::2]
                self._stride *= 2
        self.offered += 1

    @property
    def kept(self) -> list[T]:
        """Those that were kept."""
        count = len(self._kept)
        if count <= self._most:
            return list(self._kept)
        return [self._kept[n * count // self._most] for n in range(self._most)]


@attrs.define
class Group:
    """Failures of one kind.

    Attributes:
        type: class of the error.
        code: the provider's code.
        reason: why the provider ended the task, where it did.
        hint: what may help.
        jobs: how many jobs failed so.
        parts: how many parts.
        examples: keys and messages, different ones first.

    """

    type: str
    code: str
    reason: str
    hint: str = ""
    jobs: int = 0
    parts: int = 0
    examples: list[tuple[str, str]] = attrs.field(factory=list)

    def add(self, job: Job) -> None:
        """Count *job* in."""
        if job.part:
            self.parts += 1
        else:
            self.jobs += 1
        if len(self.examples) < _EXAMPLES:
            message = word(job.error, "message")
            if not any(message == known for _, known in self.examples):
                self.examples.append((job.key, message))
        self.hint = self.hint or word(job.error, "hint")


@attrs.define
class Why:
    """Held jobs that wait for the same reason: how many, and the first of them."""

    message: str
    count: int = 0
    jobs: list[Job] = attrs.field(factory=list)


@attrs.define
class Facts:
    """All that the page shows of the jobs.

    Attributes:
        start: when the run was begun.
        most_cards: how many videos are kept for the gallery.
        most_held: how many held jobs are kept of each reason.

    """

    start: float
    most_cards: int = 200
    most_held: int = 10
    timeline: Timeline = attrs.field(init=False)
    gallery: Spread[Job] = attrs.field(init=False)
    took: array[float] = attrs.field(factory=lambda: array("d"), init=False)
    video_seconds: float = attrs.field(default=0.0, init=False)
    bytes: float = attrs.field(default=0.0, init=False)
    failed_cost: float = attrs.field(default=0.0, init=False)
    parts_cost: float = attrs.field(default=0.0, init=False)
    again: int = attrs.field(default=0, init=False)
    failures: dict[tuple[str, str, str], Group] = attrs.field(factory=dict, init=False)
    held: dict[str, Why] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.timeline = Timeline(self.start)
        self.gallery = Spread(self.most_cards)

    def add(self, job: Job) -> None:
        """Take one job or part in."""
        self._on_timeline(job)
        self.again += max(0, job.attempt - 1)
        if job.part:
            self.parts_cost += job.cost or 0.0
        if job.state is JobState.DONE and not job.part:
            self._done(job)
        elif job.state is JobState.FAILED:
            self._failed(job)
        elif job.state is JobState.HELD:
            self._held(job)

    def _on_timeline(self, job: Job) -> None:
        running = job.state is JobState.RUNNING
        ended = None if running else (job.ended_at if job.ended_at is not None else job.finished_at)
        if job.submitted_at is not None and (running or (ended is not None and ended >= job.submitted_at)):
            self.timeline.add("begun", job.submitted_at)
            self.timeline.add("ended", ended)
        if not job.part and job.state in (JobState.DONE, JobState.FAILED):
            self.timeline.add(job.state.value, job.finished_at)

    def _done(self, job: Job) -> None:
        if job.submitted_at is not None and job.ended_at is not None:
            took = job.ended_at - job.submitted_at
            if math.isfinite(took) and took >= 0.0:
                self.took.append(took)
        self.video_seconds += number(job.result, "seconds") or 0.0
        self.bytes += number(job.result, "bytes") or 0.0
        self.gallery.offer(job)

    def _failed(self, job: Job) -> None:
        if not job.part:
            self.failed_cost += job.cost or 0.0
        found = (word(job.error, "type", 80), word(job.error, "code", 80), word(job.error, "reason", 80))
        if found not in self.failures and len(self.failures) >= _GROUPS:
            found = ("others", "", "")
        group = self.failures.get(found)
        if group is None:
            group = self.failures[found] = Group(*found)
        group.add(job)

    def _held(self, job: Job) -> None:
        message = word(job.error, "message", 300)
        if message not in self.held and len(self.held) >= _GROUPS:
            message = "other reasons"
        why = self.held.setdefault(message, Why(message))
        why.count += 1
        if len(why.jobs) < self.most_held:
            why.jobs.append(job)


def word(facts: Any, name: str, most: int = _LONGEST) -> str:
    """A text out of data that nobody checked; ``""`` where there is none."""
    value = facts.get(name) if isinstance(facts, Mapping) else None
    return "" if value is None else str(value)[:most]


def number(facts: Any, name: str) -> float | None:
    """A number out of data that nobody checked: finite and not below zero, or None."""
    value = facts.get(name) if isinstance(facts, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def quantile(ordered: array[float] | list[float], share: float) -> float:
    """The smallest of the *ordered* values that *share* of them do not exceed; there must be one."""
    return ordered[max(0, min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1))]


def histogram(ordered: array[float] | list[float], most: int = 32) -> tuple[float, list[int]]:
    """Width and counts of at most *most* equal stretches from zero; what lies far out is in the last one."""
    top = quantile(ordered, 0.99)
    width = _round_up(max(top, 1e-3) / (most - 2))
    counts = [0] * most
    for value in ordered:
        counts[min(most - 1, int(value / width))] += 1
    used = max(n for n, count in enumerate(counts) if count) + 1
    return width, counts[:used]


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 of a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value * (1 - 1e-9))
