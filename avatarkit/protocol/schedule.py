"""When to look next at a waiting task, where the provider has no list to look at all tasks at once.

The trade is looks against notice delay. With hazard ``h(t)`` (the chance that a task still running at age
``t`` ends in the next second) the product of looks and mean delay is least when the interval is
proportional to ``1/sqrt(h)``; it is then half the square of the integral of ``sqrt(f·S)`` (density times
survival). So the next look is due when ``LOOK_RATE · ∫ sqrt(h)`` has grown by one since this one: an
integral, not the hazard here and now, because the hazard of a young task is near nothing and an interval
taken from it would leap over the whole time in which tasks end. Since ``∫ sqrt(h)`` scales with the square
root of the duration, so do looks and delays: that is what makes their product least over a mix of short and
long tasks too.

A pure function: no clock, no randomness, no I/O.
"""

from __future__ import annotations

from avatarkit.protocol.durations import Durations

__all__ = ["LOOK_RATE", "Durations", "next_delay", "progress"]

LOOK_RATE = 1.0
"""Looks per square root of a second at tightness 1: about 12 looks and 6 s of delay for a two-minute task."""


def next_delay(
    durations: Durations,
    age: float,
    size: float | None = None,
    *,
    jitter: float = 0.5,
    retry_after: float | None = None,
    tightness: float = 1.0,
    shortest: float = 1.0,
    longest: float = 120.0,
) -> float:
    """Seconds from now until the next look at a task that is *age* seconds old and was found running.

    For a task that was just submitted (*age* 0) this is the time of the first look.

    Args:
        durations: what is known of its kind.
        age: seconds since it was submitted; below 0 counts as 0.
        size: its size in the unit the kind was learned in; None when not known.
        jitter: 0 to 1, drawn by the caller; spreads looks by a tenth to either side.
        retry_after: seconds the provider asked to wait: a lower bound, capped at five times *longest*.
        tightness: how scarce looks are; 2 makes intervals about twice as long. Above 0.
        shortest: lower bound in seconds.
        longest: upper bound in seconds (it wins over *shortest*), reached by tasks far older than any seen.

    """
    delay = durations.gap(age if age > 0.0 else 0.0, size, tightness / LOOK_RATE)
    # The bounds leave room for the jitter: tasks at a bound would else move in step.
    least, most = shortest / 0.9, longest / 1.1
    if delay < least:
        delay = least
    delay = (most if delay > most else delay) * (0.9 + 0.2 * jitter)
    if retry_after is not None and retry_after > 0.0:
        return max(delay, min(retry_after, 5.0 * longest) * (1.0 + 0.1 * jitter))
    return delay


def progress(durations: Durations, age: float, size: float | None = None) -> float:
    """How much of the task is done, 0.0 to 0.99, as far as its age tells; never falls as it gets older.

    It is the mean of ``age / duration`` over all tasks that would still be running now, so a late task creeps
    towards 0.99 and does not sit at it.
    """
    if not age > 0.0:
        return 0.0
    return min(max(durations.share(age, size), 0.0), 0.99)
