"""How far a run is: the arithmetic, and asking a ledger for it cheaply."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_ledgers import ACCOUNT, RUN, START, crowd, film, lively, spec, story

from avatarkit.bulk.progress import (
    Meter,
    expected_cost,
    expected_end,
    finish_rate,
    measure,
    money_text,
    seconds_text,
    unit_of,
)
from avatarkit.bulk.records import JobState, NewJob, Run, RunSettings, RunState
from avatarkit.errors import ConfigurationError


def test_an_end_is_not_known_before_anything_is() -> None:
    """Without durations and finishes there is no ETA; with nothing left it is zero."""
    assert expected_end(waiting=100, running=0) is None
    assert expected_end(waiting=100, running=7, cap=10) is None
    assert expected_end(waiting=0, running=0) == 0.0


def test_slots_and_durations_give_the_end() -> None:
    """A thousand tasks of a minute through ten slots take about a hundred minutes, the last one included."""
    end = expected_end(waiting=1000, running=10, cap=10, mean=60.0)
    assert end is not None
    assert end == pytest.approx(1000 / (10 / 60) + 60, rel=0.01)


def test_what_was_seen_outweighs_the_slots_with_time() -> None:
    """Few finishes hardly count against the model; thousands decide."""

    def end(seen: int) -> float:
        found = expected_end(waiting=1000, running=10, cap=10, mean=60.0, rate=1 / 60, seen=seen)
        assert found is not None
        return found

    model, observed = 1000 * 6.0 + 60, 1000 * 60.0 + 60
    assert end(0) == pytest.approx(model)
    assert model < end(2) < end(50) < end(10_000)
    assert end(10_000) == pytest.approx(observed, rel=0.02)


def test_free_slots_take_waiting_tasks_at_once() -> None:
    """What fits into free slots ends after one task's time; what runs alone ends within one."""
    assert expected_end(waiting=5, running=0, cap=10, mean=60.0) == 60.0
    assert expected_end(waiting=0, running=1, cap=10, mean=60.0) == 30.0
    last = expected_end(waiting=0, running=9, cap=10, mean=60.0)
    assert last == pytest.approx(54.0)


def test_a_submission_rate_bounds_the_pace() -> None:
    """A hundred slots do not help where one submission a second is allowed."""
    end = expected_end(waiting=1000, running=100, cap=100, mean=10.0, submit_rate=1.0)
    assert end == pytest.approx(1010.0)


def test_without_durations_the_rate_alone_gives_the_end() -> None:
    """Finishes seen from another process are enough."""
    assert expected_end(waiting=90, running=10, rate=0.5, seen=20) == 200.0


@given(
    waiting=st.integers(0, 10**7),
    running=st.integers(0, 10**4),
    cap=st.none() | st.integers(1, 10**4),
    mean=st.none() | st.floats(0.001, 1e6),
    rate=st.none() | st.floats(1e-6, 1e4),
    seen=st.integers(0, 10**6),
)
def test_an_end_is_never_in_the_past(**numbers: Any) -> None:
    """Whatever is known: None or a finite time from now on, and more waiting tasks never end sooner."""
    end = expected_end(**numbers)
    later = expected_end(**{**numbers, "waiting": numbers["waiting"] + 1000})
    assert end is None or 0.0 <= end < float("inf")
    if end is not None and later is not None:
        assert later >= end - 1e-6 * end


def test_the_rate_of_a_run_that_stands_still_falls() -> None:
    """The time since the last finish counts."""
    times = [float(n) for n in range(0, 100, 10)]
    assert finish_rate(times, 90.0) == pytest.approx(0.1)
    assert finish_rate(times, 990.0) == pytest.approx(9 / 980)
    assert finish_rate([5.0], 10.0) is None
    assert finish_rate([5.0, 5.0, float("nan")], 5.0) is None


def test_the_cost_in_the_end() -> None:
    """Estimates of waiting jobs count first, then the run's default, then what jobs have cost so far."""
    settings = RunSettings(provider="hifly", account=ACCOUNT)
    run = Run(id=RUN, settings=settings, spent=100.0, reserved=20.0)
    assert expected_cost(run, waiting=10, done=10, estimates=[5.0, None, 7.0]) == 180.0
    assert expected_cost(run, waiting=10, done=10, estimates=[None]) == 220.0
    assert expected_cost(run, waiting=10, done=0, estimates=[]) is None
    assert expected_cost(run, waiting=0, done=0, estimates=[]) == 120.0


def test_times_and_amounts_for_people() -> None:
    """Two places at most, and money without a needless fraction."""
    shown = [seconds_text(each) for each in (0.4, 9.0, 48.4, 59.6, 200.0, 240.0, 3599.6, 18_120.0, 187_200.0)]
    assert shown == [
        "0.4 s",
        "9 s",
        "48 s",
        "1 min",
        "3 min 20 s",
        "4 min",
        "1 h 00 min",
        "5 h 02 min",
        "2 d 4 h",
    ]
    assert [money_text(each) for each in (12_400.0, 3.5, 0.0008, None)] == ["12,400", "3.50", "0.0008", "?"]


def test_the_unit_is_the_providers() -> None:
    """Guiji counts seconds of video; a provider that is not installed counts credits."""
    assert unit_of("guiji") == "seconds of video"
    assert unit_of("hifly") == "credits"
    assert unit_of("gone") == "credits"


@pytest.mark.asyncio
async def test_a_run_under_way_is_measured_from_its_ledger(tmp_path: Path) -> None:
    """Counts leave parts out, money is the ledger's, the ETA follows from the slots and the durations seen."""
    async with story(tmp_path, budget=5000.0) as made:
        await lively(made, [film(tmp_path / "a.mp4")], jobs=100)
        progress = await measure(made.ledger, RUN)
        counts = await made.ledger.counts(RUN)
        run = await made.ledger.get_run(RUN)
    assert run is not None
    assert progress.total == 100 == counts.total
    assert progress.done == counts.of(JobState.DONE) > 50
    assert (progress.running, progress.held, progress.left) == (8, 2, 29)
    assert progress.done + progress.failed + progress.held + progress.left == 100
    assert progress.submitted == 79
    assert progress.parts_left == 0
    assert (progress.spent, progress.reserved, progress.budget) == (run.spent, run.reserved, 5000.0)
    assert progress.projected == pytest.approx(run.spent + run.reserved + 21 * 12.0)
    assert progress.per_minute is not None
    assert 2.0 < progress.per_minute < 13.0
    assert progress.eta is not None
    assert 60.0 < progress.eta < 420.0
    assert progress.share == pytest.approx(0.71)
    assert progress.line().startswith(f"{progress.done} of 100 done, 8 running, ")
    assert " credits, " in progress.line()


@pytest.mark.asyncio
async def test_a_stopped_run_expects_only_what_runs(tmp_path: Path) -> None:
    """Jobs that will not be submitted neither cost nor take time; the line says why."""
    async with story(tmp_path) as made:
        await made.add(*(NewJob(key=f"k{n}", spec=spec(f"k{n}"), estimate=10.0) for n in range(20)))
        for n in range(4):
            await made.do(f"k{n}", 60.0)
        await made.submit("k5")
        await made.ledger.set_run_state(RUN, RunState.STOPPED, "InsufficientCredits: no credits left")
        progress = await measure(made.ledger, RUN)
    assert progress.projected == progress.spent + progress.reserved == 50.0
    assert progress.eta == pytest.approx(30.0)
    assert progress.line().endswith("stopped: InsufficientCredits: no credits left")


@pytest.mark.asyncio
async def test_a_run_that_waits_for_the_user_has_no_end_to_wait_for(tmp_path: Path) -> None:
    """Jobs blocked by a held part are left, but nothing moves: the ETA is zero, not a guess."""
    async with story(tmp_path) as made:
        await made.add(NewJob(key="@part", spec=b"{}", part=True))
        await made.add(*(NewJob(key=f"k{n}", spec=spec(f"k{n}"), needs=("@part",)) for n in range(3)))
        await made.hold("@part", "nobody knows")
        progress = await measure(made.ledger, RUN)
    assert (progress.left, progress.parts_left, progress.eta) == (3, 0, 0.0)


@pytest.mark.asyncio
async def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    """Its name is in the error."""
    async with story(tmp_path) as made:
        with pytest.raises(ConfigurationError, match="'other'"):
            await measure(made.ledger, "other")


@pytest.mark.asyncio
async def test_a_meter_asks_no_more_often_than_it_may_cost(tmp_path: Path) -> None:
    """When asking took a second, the ledger is left alone for the next fifty."""
    async with story(tmp_path) as made:
        await made.add(NewJob(key="a", spec=spec("a")))
        ticks = itertools.chain([0.0, 1.0, 50.9, 51.1], itertools.repeat(52.1))
        meter = Meter(made.ledger, RUN, monotonic=lambda: next(ticks))
        assert (await meter.measure()).total == 1
        await made.add(NewJob(key="b", spec=spec("b")))
        assert (await meter.measure()).total == 1
        assert (await meter.measure()).total == 2


@pytest.mark.asyncio
async def test_a_meter_takes_the_rate_from_what_it_sees(tmp_path: Path) -> None:
    """The wait for the first finish does not count; from then on it is finishes over time."""
    async with story(tmp_path) as made:
        await made.add(*(NewJob(key=f"k{n}", spec=spec(f"k{n}")) for n in range(40)))
        meter = Meter(made.ledger, RUN, spacing=0.0)
        assert (await meter.measure()).per_minute is None
        made.clock.at += 500.0
        await meter.measure()
        for n in range(30):
            await made.do(f"k{n}", 6.0)
            progress = await meter.measure()
    assert progress.per_minute == pytest.approx(10.0, rel=0.05)


@pytest.mark.asyncio
async def test_a_large_ledger_is_not_walked_through(tmp_path: Path) -> None:
    """Of 20,000 jobs that are done a few hundred rows are read, the latest among them."""
    async with story(tmp_path) as made:
        await crowd(made, 20_000)
        rows = 0
        select = made.ledger.select

        async def counted(*args: Any, **named: Any) -> Any:
            nonlocal rows
            found = await select(*args, **named)
            rows += len(found)
            return found

        made.ledger.select = counted  # type: ignore[method-assign]
        progress = await measure(made.ledger, RUN)
    assert rows < 400
    assert (progress.done, progress.failed) == (19_600, 400)
    # The latest 200 took 142 s, and nothing ended in the 20 s since.
    assert progress.per_minute == pytest.approx(200 / 162 * 60, rel=0.02)
    assert progress.elapsed == pytest.approx(made.clock.at - START)
