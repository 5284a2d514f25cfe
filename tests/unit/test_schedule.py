"""When to look next: the model learns from intervals, and the schedule stays near the optimum."""

from __future__ import annotations

import math
import random

import pytest

from avatarkit.protocol.schedule import Durations, next_delay, progress


def learned(median: float, sigma: float, *, count: int = 300, seed: int = 1) -> Durations:
    """A kind that was looked at by its own schedule *count* times."""
    durations, rng = Durations(90.0, 300.0), random.Random(seed)
    follow(durations, [(median * math.exp(sigma * rng.gauss(0, 1)), None) for _ in range(count)], rng)
    return durations


def follow(
    durations: Durations, tasks: list[tuple[float, float | None]], rng: random.Random
) -> tuple[float, float]:
    """Look at *tasks* by the schedule, learning; mean looks and mean notice delay."""
    looks, delay = 0, 0.0
    for duration, size in tasks:
        age = low = 0.0
        while age < duration:
            low = age
            age += next_delay(durations, age, size, jitter=rng.random(), shortest=0.05)
            looks += 1
        delay += age - duration
        durations.observe(low, age, size)
    return looks / len(tasks), delay / len(tasks)


def test_a_two_minute_task_costs_about_ten_looks_and_is_noticed_within_seconds() -> None:
    """Median 120 s, p95 400 s, learned: product within 1.15 of 69.5, 8 to 13 looks, under 7 s of delay."""
    rng, sigma = random.Random(7), math.log(400 / 120) / 1.645
    durations = learned(120.0, sigma)
    tasks = [(120.0 * math.exp(sigma * rng.gauss(0, 1)), None) for _ in range(4000)]
    looks, delay = follow(durations, tasks, rng)
    assert 8 <= looks <= 13
    assert delay < 7
    assert looks * delay <= 1.15 * 69.5


def test_without_samples_the_table_rules() -> None:
    """The expected duration is the table's median, whatever the size, and the first look fits it."""
    durations = Durations(90.0, 300.0)
    assert durations.samples == 0
    assert durations.expected() == durations.expected(12.0) == pytest.approx(90.0)
    assert 10 <= next_delay(durations, 0.0) <= 45


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_median_must_be_a_positive_number(bad: float) -> None:
    """Anything else raises ValueError."""
    with pytest.raises(ValueError, match="median"):
        Durations(bad, 10.0)


@pytest.mark.parametrize("p95", [90.0, 5.0, math.nan, math.inf])
def test_a_senseless_p95_is_replaced(p95: float) -> None:
    """A p95 not above the median counts as three times the median."""
    assert Durations(90.0, p95).p95 == 270.0


def test_slow_kinds_are_not_looked_at_early_and_fast_ones_are() -> None:
    """First looks: past half of a well-known ten minutes (bounds allowing), within a second for two seconds."""
    slow, fast = learned(600.0, 0.2), Durations(2.0, 5.0)
    assert next_delay(slow, 0.0, longest=1000.0) > 300
    assert next_delay(fast, 0.0, shortest=0.05) < 1.0


def test_a_wrong_table_is_unlearned_within_twenty_tasks() -> None:
    """From 90 s in the table to 2 s or 1,200 s in truth."""
    for truth in (2.0, 1200.0):
        assert learned(truth, 0.3, count=20).expected() == pytest.approx(truth, rel=0.5)
        assert learned(truth, 0.3, count=200).expected() == pytest.approx(truth, rel=0.15)


def test_size_is_learned() -> None:
    """Durations of three seconds per unit of size are known to a tenth after sixty tasks, also in between."""
    durations, rng = Durations(90.0, 300.0), random.Random(5)
    sizes = [math.exp(rng.uniform(math.log(5), math.log(600))) for _ in range(60)]
    follow(durations, [(3 * size * math.exp(0.1 * rng.gauss(0, 1)), size) for size in sizes], rng)
    for size in (10.0, 60.0, 300.0):
        assert durations.expected(size) == pytest.approx(3 * size, rel=0.1)
    assert next_delay(durations, 0.0, 600.0, longest=1e4) > 5 * next_delay(durations, 0.0, 10.0)


def test_equal_sizes_do_not_upset_the_regression() -> None:
    """When all sizes are the same their duration is learned, and others are guessed with a mild slope."""
    durations = Durations(90.0, 300.0)
    for _ in range(50):
        durations.observe(58.0, 62.0, 30.0)
    assert durations.expected(30.0) == pytest.approx(60.0, rel=0.05)
    assert 60 < durations.expected(60.0) < 121


def test_sizes_told_now_and_then_serve_both() -> None:
    """Tasks without a size use what all tasks taught; tasks with one use theirs."""
    durations = Durations(90.0, 300.0)
    for _ in range(40):
        durations.observe(28.0, 32.0, 10.0)
        durations.observe(280.0, 320.0, None)
    assert durations.expected(10.0) == pytest.approx(30.0, rel=0.1)
    assert 60 < durations.expected() < 130


def test_strays_do_not_move_the_median() -> None:
    """One hung task in twenty leaves the median within a tenth and the interval around it usable."""
    durations, rng = learned(120.0, 0.2), random.Random(3)
    tasks = [(120.0 * math.exp(0.2 * rng.gauss(0, 1)) if n % 20 else 7200.0, None) for n in range(200)]
    follow(durations, tasks, rng)
    assert durations.expected() == pytest.approx(120.0, rel=0.1)
    assert next_delay(durations, 120.0) < 12
    assert 6 <= durations.to_dict()["strays"] <= 12


def test_a_stuck_task_is_looked_at_ever_more_rarely_but_for_ever() -> None:
    """Far beyond anything seen the interval grows to *longest* and stays there."""
    durations = learned(120.0, 0.2)
    delays = [next_delay(durations, age, longest=60.0) for age in (400.0, 1000.0, 4000.0, 1e5, 1e9, 1e300)]
    assert delays == sorted(delays)
    assert 5 < delays[0] < 20
    assert delays[-2:] == pytest.approx([60 / 1.1] * 2)


def test_jitter_spreads_by_a_tenth_also_at_the_bounds() -> None:
    """No two tasks at a bound move in step, and bounds hold."""
    durations = Durations(90.0, 300.0)
    for age, low, high in ((60.0, 1.0, 60.0), (60.0, 30.0, 60.0), (1e6, 1.0, 60.0)):
        least, most = (
            next_delay(durations, age, jitter=jitter, shortest=low, longest=high) for jitter in (0.0, 1.0)
        )
        assert low <= least < most <= high
        assert most / least == pytest.approx(1.1 / 0.9)


def test_retry_after_is_a_lower_bound_with_a_cap() -> None:
    """The provider's wish is granted up to five times *longest*; an hour-long one is not."""
    durations = Durations(90.0, 300.0)
    usual = next_delay(durations, 90.0)
    assert next_delay(durations, 90.0, retry_after=0.5) == usual
    assert 45 <= next_delay(durations, 90.0, retry_after=45.0) < 50
    assert next_delay(durations, 90.0, retry_after=1e9, longest=60.0) <= 330
    assert next_delay(durations, 90.0, retry_after=math.nan) == usual


def test_tightness_trades_looks_for_delay() -> None:
    """Twice as tight makes intervals about twice as long where hazard is level."""
    durations = learned(120.0, 0.7)
    assert next_delay(durations, 120.0, tightness=2.0) == pytest.approx(
        2 * next_delay(durations, 120.0), rel=0.15
    )


def test_progress_is_honest() -> None:
    """Starts at 0, is around 0.8 when a typical task ends, creeps on for late ones and never says done."""
    durations = learned(120.0, 0.2)
    assert progress(durations, 0.0) == progress(durations, -5.0) == 0.0
    assert progress(durations, 60.0) == pytest.approx(0.5, abs=0.05)
    assert 0.75 < progress(durations, 120.0) < 0.95
    assert progress(durations, 240.0) < progress(durations, 900.0) <= 0.99
    assert progress(durations, 1e12) <= 0.99


def test_nonsense_is_not_learned() -> None:
    """NaN, infinity and times that are not positive leave no trace."""
    durations = Durations(90.0, 300.0)
    for low, high in ((math.nan, 5.0), (0.0, math.inf), (0.0, 0.0), (-3.0, -1.0)):
        durations.observe(low, high)
    assert durations == Durations(90.0, 300.0)


def test_senseless_sizes_count_as_unknown() -> None:
    """Zero, negative, NaN and infinite sizes neither teach nor steer."""
    durations = Durations(90.0, 300.0)
    for size in (10.0, 20.0, 0.0, -1.0, math.nan, math.inf):
        durations.observe(50.0, 55.0, size)
    assert durations.samples == 6
    for size in (0.0, -1.0, math.nan):
        assert durations.expected(size) == durations.expected()
    assert math.isfinite(next_delay(durations, 1.0, math.inf))


def test_what_was_learned_survives_a_dict() -> None:
    """to_dict holds few plain floats; from_dict gives an equal model that decides the same."""
    durations = learned(120.0, 0.3)
    durations.observe(50.0, 60.0, 12.0)
    state = durations.to_dict()
    again = Durations.from_dict(state)
    assert len(state) <= 20
    assert all(type(value) is float for value in state.values())
    assert again == durations
    assert next_delay(again, 77.0, 12.0) == next_delay(durations, 77.0, 12.0)


def test_what_is_known_without_sizes_follows_every_observation() -> None:
    """The model that is blind to size is made when it is asked for: asking now and then changes nothing."""
    asked, silent = Durations(90.0, 300.0), Durations(90.0, 300.0)
    for number in range(40):
        for durations in (asked, silent):
            durations.observe(30.0 + number, 33.0 + number, 5.0 + number if number % 3 else None)
        asked.expected()
    assert asked.expected() == silent.expected() != Durations(90.0, 300.0).expected()
    assert asked.expected(20.0) == silent.expected(20.0) != asked.expected()
    assert next_delay(asked, 30.0) == next_delay(silent, 30.0)


@pytest.mark.parametrize("spoil", ["gone", "nan", "negative", "text", "huge", "digits"])
def test_a_spoilt_dict_means_nothing_was_learned(spoil: str) -> None:
    """A state from another version or a broken file falls back on the table."""
    state: dict[str, object] = dict(learned(120.0, 0.3).to_dict())
    if spoil == "gone":
        del state["all.yy"]
    else:
        values = {"nan": math.nan, "negative": -1.0, "text": "many", "huge": 1e200, "digits": 10**400}
        state["all.n"] = state["all.y"] = values[spoil]
    assert Durations.from_dict(state) == Durations(90.0, 300.0)  # type: ignore[arg-type]
