"""How fast a run goes and when it may be over, from the finishes that were seen. No I/O.

Pauses, in which no process worked on the run, are left out of every figure.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import attrs

from avatarkit.bulk.records import Job
from avatarkit.bulk.worktime import WorkTime

SAMPLE = 200
"""Jobs that are looked at for durations and finishes."""

_WINDOW = 600.0  # seconds over which the rate of finishes is taken


def finish_rate(times: Iterable[float], now: float) -> float | None:
    """Finishes a second, from the *times* of the latest finishes; None for fewer than two.

    The time since the last of them counts, so that the rate of a run that stands still goes down.
    """
    found = sorted(each for each in times if math.isfinite(each))
    if len(found) < 2:
        return None
    first, last = found[0], found[-1]
    usual = (last - first) / (len(found) - 1)
    span = last - first + max(0.0, now - last - usual)
    return (len(found) - 1) / span if span > 0.0 else None


def expected_end(
    *,
    waiting: int,
    running: int,
    cap: int | None = None,
    mean: float | None = None,
    rate: float | None = None,
    seen: int = 0,
    submit_rate: float | None = None,
) -> float | None:
    """Seconds until *waiting* and *running* tasks have ended; 0.0 when there are none, None when nothing is known.

    Two views are blended. The slots': *cap* tasks at once, *mean* seconds each. And what was seen: *rate* finishes a
    second, which weighs more the more finishes (*seen*) it stands on.

    Args:
        waiting: tasks still to be submitted.
        running: tasks at the provider.
        cap: how many may run at once; None: as many as run now.
        mean: seconds a task takes.
        rate: finishes a second.
        seen: how many finishes *rate* was taken from.
        submit_rate: the most submissions a second.

    """
    if waiting + running <= 0:
        return 0.0
    slots = cap if cap is not None else (running or None)
    pace = _blended(slots, mean, rate, seen, submit_rate)
    if mean is None:
        return None if pace is None else (waiting + running) / pace
    # Of n tasks somewhere in the middle, the last one ends after n / (n + 1) of a task's time.
    together = min(slots or 1, waiting + running)
    tail = mean if waiting else mean * running / (running + 1)
    queue = max(0, waiting - max(0, together - running))
    if queue and pace is None:
        return None
    return (queue / pace if queue and pace else 0.0) + tail


def _blended(
    slots: int | None, mean: float | None, rate: float | None, seen: int, submit_rate: float | None
) -> float | None:
    """Finishes a second, by slots and by what was seen."""
    model = slots / mean if slots and mean else None
    if model is not None and submit_rate:
        model = min(model, submit_rate)
    if not rate:
        return model
    if model is None:
        return rate
    weight = seen / (seen + 2.0 * max(slots or 1, 5))
    return weight * rate + (1.0 - weight) * model


@attrs.define
class Pace:
    """What the latest finishes teach.

    Attributes:
        work: when the run was worked on.

    """

    work: WorkTime = attrs.field(factory=WorkTime)
    _durations: deque[float] = attrs.field(factory=lambda: deque(maxlen=SAMPLE), init=False)
    _finished: deque[float] = attrs.field(factory=lambda: deque(maxlen=SAMPLE), init=False)
    _history: deque[tuple[float, int]] = attrs.field(factory=deque, init=False)
    _behind: int | None = attrs.field(default=None, init=False)

    def learn(self, jobs: Iterable[Job]) -> None:
        """Take in jobs that are done; those that a pause lies in teach nothing: nobody saw when they ended."""
        for job in jobs:
            since, until = job.submitted_at, job.ended_at
            if since is not None and until is not None:
                if self.work.paused(since, until):
                    continue
                if not job.part:
                    self._durations.append(max(0.0, until - since))
            if job.finished_at is not None:
                self._finished.append(job.finished_at)

    def counted(self, now: float, over: int, running: int) -> None:
        """*over* jobs had come to their end at *now*, and *running* were on their way to it."""
        history = self._history
        if self._behind is None:
            # What ended during a pause is taken in all at once afterwards, which is no pace.
            self._behind = over + running if self.work.resumed(now) else 0
        over = max(over, self._behind)
        if len(history) == 1 and history[0][1] == over:
            history.clear()  # until the first finish, time says nothing about the rate of finishes
        now = self.work.at(now)
        history.append((now, over))
        while len(history) > 2 and history[1][0] <= now - _WINDOW:
            history.popleft()

    @property
    def mean(self) -> float | None:
        """Seconds a task takes, over the latest ones."""
        return sum(self._durations) / len(self._durations) if self._durations else None

    def rate(self, now: float) -> tuple[float | None, int]:
        """Finishes a second, and how many were seen; fewer where they were seen for less than a task's time.

        Tasks that are begun together end together: of such a wave the rate is known when the next one has come.
        """
        mean = self.mean or 0.0
        (since, before), (until, over) = self._history[0], self._history[-1]
        if over - before >= 5 and until > since and until - since >= mean:
            return (over - before) / (until - since), over - before
        at = self.work.at
        times = [at(each) for each in self._finished]
        seen = len(times)
        if seen and mean:
            seen = int(seen * min(1.0, (at(now) - min(times)) / mean))
        return finish_rate(times, at(now)), seen
