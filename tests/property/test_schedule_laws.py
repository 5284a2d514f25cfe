"""Whatever was observed, the schedule stays within its bounds and keeps its order."""

from __future__ import annotations

import math
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit.protocol.schedule import Durations, next_delay, progress

anything = st.floats(allow_nan=True, allow_infinity=True)
seconds = st.floats(0, 1e6)
sizes = st.none() | st.floats(1e-3, 1e6)
observations = st.lists(
    st.tuples(seconds, seconds, sizes) | st.tuples(anything, anything, st.none() | anything), max_size=40
)


@st.composite
def models(draw: st.DrawFn) -> Durations:
    """A model after any table and any observations."""
    median = draw(st.floats(1e-2, 1e5))
    durations = Durations(median, median * draw(st.floats(1.01, 50)))
    for low, high, size in draw(observations):
        durations.observe(low, high, size)
    return durations


@settings(max_examples=150, deadline=None)
@given(
    models(),
    st.floats(allow_nan=False),
    st.none() | anything,
    st.floats(0, 1, exclude_max=True),
    st.floats(0.05, 50),
    st.floats(0.01, 10),
    st.floats(10, 1000),
)
def test_delays_are_finite_and_within_bounds(
    durations: Durations,
    age: float,
    size: float | None,
    jitter: float,
    tightness: float,
    shortest: float,
    longest: float,
) -> None:
    """For any age and size, however senseless, the next look is between *shortest* and *longest* from now."""
    delay = next_delay(
        durations, age, size, jitter=jitter, tightness=tightness, shortest=shortest, longest=longest
    )
    assert math.isfinite(delay)
    assert min(shortest, 0.9 * longest / 1.1) * 0.999 <= delay <= longest * 1.001


@settings(max_examples=100, deadline=None)
@given(models(), st.floats(0, 1e5), st.floats(0, 1e4), sizes)
def test_an_older_task_is_never_due_before_a_younger_one_was(
    durations: Durations, age: float, more: float, size: float | None
) -> None:
    """The moment of the next look, counted from submission, does not fall as the task gets older."""
    young = age + next_delay(durations, age, size)
    old = age + more + next_delay(durations, age + more, size)
    assert old >= young * (1 - 1e-9)


@settings(max_examples=100, deadline=None)
@given(models(), seconds, sizes, st.floats(0.1, 5), st.floats(1, 5), st.floats(0, 1), st.floats(0, 500))
def test_tighter_more_jitter_and_retry_after_never_bring_a_look_forward(
    durations: Durations,
    age: float,
    size: float | None,
    tightness: float,
    times: float,
    jitter: float,
    retry_after: float,
) -> None:
    """Each of the three only ever delays."""
    base = next_delay(durations, age, size, jitter=0.0, tightness=tightness)
    assert next_delay(durations, age, size, jitter=0.0, tightness=tightness * times) >= base * (1 - 1e-9)
    assert next_delay(durations, age, size, jitter=jitter, tightness=tightness) >= base
    held = next_delay(durations, age, size, jitter=0.0, tightness=tightness, retry_after=retry_after)
    assert held >= max(base, min(retry_after, 600.0))


@settings(max_examples=100, deadline=None)
@given(models(), st.lists(seconds, min_size=2, max_size=6), sizes)
def test_progress_never_falls(durations: Durations, ages: list[float], size: float | None) -> None:
    """Progress is within 0 and 0.99 and grows with age."""
    shown = [progress(durations, age, size) for age in sorted(ages)]
    assert all(0.0 <= each <= 0.99 for each in shown)
    assert all(late >= early - 1e-6 for early, late in pairwise(shown))


@settings(max_examples=100, deadline=None)
@given(models(), st.floats(1e-3, 1e6), st.floats(1, 1e3))
def test_a_larger_task_is_never_expected_to_be_faster(
    durations: Durations, size: float, times: float
) -> None:
    """The expected duration is positive, finite and does not fall with size."""
    small, large = durations.expected(size), durations.expected(size * times)
    assert 0 < small <= large * (1 + 1e-9) < math.inf
    assert 0 < durations.expected() < math.inf


@settings(max_examples=100, deadline=None)
@given(models())
def test_the_dict_is_whole(durations: Durations) -> None:
    """Out and in again gives the same model; all values are finite floats."""
    state = durations.to_dict()
    assert all(math.isfinite(value) for value in state.values())
    again = Durations.from_dict(state)
    assert again == durations
    assert next_delay(again, 10.0, 5.0) == next_delay(durations, 10.0, 5.0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(1, 1e4), st.floats(0.7, 1)), min_size=60, max_size=60), st.floats(1, 1e4))
def test_steady_durations_are_learned_from_any_intervals(
    looks: list[tuple[float, float]], truth: float
) -> None:
    """Sixty tasks of one duration, each seen through an interval around it, put the median among them."""
    durations = Durations(90.0, 300.0)
    for _, share in looks:
        durations.observe(truth * share, truth * share / 0.7)
    assert 0.6 * truth <= durations.expected() <= truth / 0.6
