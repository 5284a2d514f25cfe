"""How far a run is: the arithmetic, and asking a ledger for it cheaply."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_ledgers import ACCOUNT, RUN, START, Story, crowd, film, lively, spec, story

from avatarkit.bulk import worktime
from avatarkit.bulk.pace import expected_end, finish_rate
from avatarkit.bulk.progress import (
    Meter,
    expected_cost,
    measure,
    money_text,
    seconds_text,
    unit_of,
)
from avatarkit.bulk.records import JobState, NewJob, Run, RunSettings, RunState
from avatarkit.bulk.worktime import AtWork, WorkTime, keep_work_time, work_time
from avatarkit.errors import AvatarKitError, ConfigurationError


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


# -- pauses

HOUR = 3600.0


async def worked(made: Story, *spans: tuple[float, float], ended: bool = True) -> None:
    """Notes of work in these stretches, seconds after the start."""
    times = tuple((START + begin, START + end) for begin, end in spans)
    at_work = {} if ended else {"w1": times[-1][1]}
    await keep_work_time(made.ledger, RUN, WorkTime(spans=times, at_work=at_work))


async def two_starts(made: Story, *, pause: float) -> float:
    """Forty of eighty jobs done in 400 s, four of them running when the process ended; then a pause. Gives its end."""
    await made.ledger.set_limits(ACCOUNT, most_running=1)
    await made.add(*(NewJob(key=f"k{n:02}", spec=spec(f"k{n:02}")) for n in range(80)))
    for n in range(40):
        await made.do(f"k{n:02}", 10.0)
    await made.ledger.set_limits(ACCOUNT, most_running=4)
    for n in range(40, 44):
        await made.submit(f"k{n}")
    await worked(made, (0.0, 400.0))
    made.clock.at += pause
    return made.clock.at - START


@pytest.mark.asyncio
async def test_a_pause_is_no_part_of_the_time_or_the_pace(tmp_path: Path) -> None:
    """Ten hours between two starts: at the second one's beginning elapsed, rate and ETA are those of the work."""
    async with story(tmp_path) as made:
        begun = await two_starts(made, pause=10 * HOUR)
        between = await measure(made.ledger, RUN)
        assert between.elapsed == 400.0
        await worked(made, (0.0, 400.0), (begun, begun), ended=False)
        made.clock.at += 2.0
        progress = await measure(made.ledger, RUN)
    assert progress.elapsed == pytest.approx(402.0)
    assert progress.per_minute == pytest.approx(6.0, rel=0.05)
    assert progress.eta is not None
    assert 80.0 < progress.eta < 450.0  # forty tasks of 10 s, seen one by one, by now four at once


@pytest.mark.asyncio
async def test_what_ended_in_a_pause_is_no_pace(tmp_path: Path) -> None:
    """Four tasks that ended meanwhile are fetched within a second: neither their durations nor their finishes count."""
    async with story(tmp_path) as made:
        begun = await two_starts(made, pause=10 * HOUR)
        await worked(made, (0.0, 400.0), (begun, begun), ended=False)
        meter = Meter(made.ledger, RUN, spacing=0.0)
        before = await meter.measure()
        for n in range(40, 44):
            made.clock.at += 0.2
            await made.end(f"k{n}", JobState.READY, cost=10.0)
            await made.finish(f"k{n}")
            progress = await meter.measure()
    assert progress.done == 44
    assert before.per_minute == pytest.approx(6.0, rel=0.05)
    assert progress.per_minute == pytest.approx(6.0, rel=0.05)
    assert progress.eta is not None
    assert before.eta is not None
    assert progress.eta == pytest.approx(before.eta, rel=0.2)


@pytest.mark.asyncio
async def test_after_the_leftovers_the_meter_sees_the_pace(tmp_path: Path) -> None:
    """From what is begun after the pause the rate is taken as in a first run."""
    async with story(tmp_path) as made:
        begun = await two_starts(made, pause=10 * HOUR)
        await worked(made, (0.0, 400.0), (begun, begun), ended=False)
        meter = Meter(made.ledger, RUN, spacing=0.0)
        await meter.measure()
        for n in range(40, 44):
            await made.end(f"k{n}", JobState.READY, cost=10.0)
            await made.finish(f"k{n}")
        for n in range(44, 80):
            await made.do(f"k{n}", 3.0)
            await worked(made, (0.0, 400.0), (begun, made.clock.at - START), ended=False)
            progress = await meter.measure()
    assert progress.per_minute == pytest.approx(20.0, rel=0.05)
    assert progress.elapsed == pytest.approx(400.0 + 36 * 3.0)


@pytest.mark.asyncio
async def test_a_run_that_is_over_gets_no_older(tmp_path: Path) -> None:
    """A day after its end it took as long as it took."""
    async with story(tmp_path) as made:
        await made.add(NewJob(key="a", spec=spec("a")))
        await made.do("a", 20.0)
        await worked(made, (0.0, 25.0))
        made.clock.at += 24 * HOUR
        assert (await measure(made.ledger, RUN)).elapsed == 25.0


def test_the_clock_of_work_stands_still_in_pauses() -> None:
    """It never goes back, and a time before any work, in a pause, or after its end has the reading of its edge."""
    work = WorkTime(spans=((10.0, 20.0), (50.0, 60.0)), earlier=5.0)
    assert [work.at(t) for t in (0.0, 10.0, 15.0, 20.0, 40.0, 55.0, 99.0)] == [5, 5, 10, 15, 15, 20, 25]
    assert WorkTime().at(7.0) == 7.0
    assert work.paused(15.0, 55.0) is False  # half a minute is no pause
    assert WorkTime(spans=((10.0, 20.0), (51.0, 60.0))).paused(15.0, 55.0) is True
    assert WorkTime().paused(0.0, 1e9) is False


def test_notes_make_stretches() -> None:
    """A note soon after the last goes on with it; after half a minute, or at a new start, another begins."""
    work = WorkTime().noted(100.0, "a", begins=True).noted(110.0, "a").noted(139.0, "a")
    assert work.spans == ((100.0, 139.0),)
    assert work.active(169.0)
    assert not work.active(170.0)
    assert (work.resumed(150.0), work.resumed(200.0)) == (False, True)
    assert work.noted(170.0, "a").spans == ((100.0, 139.0), (170.0, 170.0))
    over = work.noted(140.0, "a", ends=True)
    assert (over.spans, over.active(140.0)) == (((100.0, 140.0),), False)
    again = over.noted(145.0, "b", begins=True)
    assert again.spans == ((100.0, 140.0), (145.0, 145.0))
    assert again.resumed(150.0)


def test_work_goes_on_while_somebody_is_at_it() -> None:
    """Of two workers one ends: the other still works. Who was killed is forgotten after half a minute."""
    work = WorkTime().noted(100.0, "a", begins=True).noted(103.0, "b", begins=True)
    assert work.spans == ((100.0, 103.0),)
    work = work.noted(105.0, "a", ends=True)
    assert work.active(110.0)
    assert work.until(110.0).at(110.0) == 10.0
    work = work.noted(113.0, "c", begins=True)
    assert (work.spans, set(work.at_work)) == (((100.0, 113.0),), {"b", "c"})
    work = work.noted(134.0, "c").noted(135.0, "c", ends=True)
    assert (work.spans, work.active(135.0)) == (((100.0, 135.0),), False)


@given(st.lists(st.tuples(st.floats(0.0, 100.0), st.booleans(), st.booleans()), min_size=1, max_size=400))
def test_many_stretches_are_kept_in_little_room(steps: list[tuple[float, bool, bool]]) -> None:
    """However many starts there were: at most fifty are kept one by one, and their sum is right."""
    now, last, total, work = 1000.0, None, 0.0, WorkTime()
    for step, begins, ends in steps:
        now += step
        if last is not None and now - last <= 30.0 and not (begins and not work.active(now)):
            total += now - last
        work, last = work.noted(now, "a", begins=begins, ends=ends), now
    assert len(work.spans) <= 50
    assert work.at(now) == pytest.approx(total)


@pytest.mark.asyncio
async def test_who_works_notes_it_until_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From entering to leaving, every few seconds; a note that fails does not end the work."""
    monkeypatch.setattr(worktime, "_EVERY", 0.005)
    async with story(tmp_path) as made:
        async with AtWork(made.ledger, RUN) as at_work:
            for _ in range(4):
                made.clock.at += 15.0
                await asyncio.sleep(0.02)
            work = await work_time(made.ledger, RUN)
            assert (work.spans, work.active(START + 60.0)) == (((START, START + 60.0),), True)
            made.clock.at += 3.0
            await at_work.end()
            made.clock.at += 9.0
        work = await work_time(made.ledger, RUN)
        assert (work.spans, work.at_work) == (((START, START + 63.0),), {})

        async def away(*_: object, **__: object) -> None:
            raise AvatarKitError("the disk is full")

        monkeypatch.setattr(made.ledger, "remember", away)
        async with AtWork(made.ledger, RUN):
            await asyncio.sleep(0.02)
        assert await work_time(made.ledger, RUN) == work


@pytest.mark.asyncio
async def test_a_note_that_cannot_be_read_or_written_ends_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A note in a form that a newer version may have, and a ledger that does not answer, are passed over."""
    monkeypatch.setattr(worktime, "_NOTE_SECONDS", 0.01)
    async with story(tmp_path) as made:
        await made.ledger.remember("", f"work:{RUN}", {"v": 2, "stretches": []})
        async with AtWork(made.ledger, RUN):
            pass

        async def silent(*_: object, **__: object) -> None:
            await asyncio.sleep(60)

        monkeypatch.setattr(made.ledger, "recall", silent)
        async with asyncio.timeout(5), AtWork(made.ledger, RUN):
            pass


@pytest.mark.asyncio
@pytest.mark.parametrize("earlier", [0, 40])
async def test_the_first_wave_is_no_pace(tmp_path: Path, earlier: int) -> None:
    """Ten tasks begun together end together: until a task's time has passed, that hardly counts."""
    async with story(tmp_path) as made:
        await made.ledger.set_limits(ACCOUNT, most_running=10)
        keys = [f"k{n:03}" for n in range(earlier + 200)]
        await made.add(*(NewJob(key=key, spec=spec(key)) for key in keys))
        for key in keys[:earlier]:
            await made.do(key, 3.0)
        meter = Meter(made.ledger, RUN, spacing=0.0)
        await meter.measure()
        for key in keys[earlier : earlier + 10]:
            await made.submit(key)
        made.clock.at += 30.0
        await meter.measure()
        for key in keys[earlier : earlier + 10]:
            made.clock.at += 0.2
            await made.end(key, JobState.READY, cost=10.0)
            await made.finish(key)
        progress = await meter.measure()
    assert progress.eta is not None
    assert progress.eta > (190 / 10 * 30.0) * (0.75 if not earlier else 0.4)


# -- where it stands


@pytest.mark.asyncio
async def test_a_run_says_where_it_stands(tmp_path: Path) -> None:
    """By its counts and by whether somebody works on it, from the empty run to the finished one."""
    async with story(tmp_path) as made:

        async def stands(*, working: bool = True) -> tuple[str, str]:
            now = made.clock.at - START
            await worked(made, (0.0, now), ended=not working)
            progress = await measure(made.ledger, RUN)
            return progress.phase.value, progress.standing

        assert await stands() == ("empty", "no jobs yet")
        await made.add(*(NewJob(key=f"k{n}", spec=spec(f"k{n}")) for n in range(3)))
        assert await stands() == ("submitting", "submitting")
        assert await stands(working=False) == ("paused", "paused: no process works on it, 3 videos are left")
        for n in range(2):
            await made.submit(f"k{n}")
        await made.hold("k2", "nobody knows")
        assert await stands() == ("waiting", "waiting for 2 tasks")
        await made.end("k0", JobState.READY)
        assert await stands() == ("waiting", "waiting for 1 task")
        await made.end("k1", JobState.READY)
        assert await stands() == ("waiting", "fetching 2 files")
        await made.finish("k0")
        await made.finish("k1")
        assert await stands(working=False) == ("finished", "finished, but 1 held job waits for you")
        await made.ledger.abandon(RUN, ["k2"])
        assert await stands(working=False) == ("finished", "finished")
        assert (await measure(made.ledger, RUN)).line().endswith(", finished")


@pytest.mark.asyncio
async def test_a_run_that_stopped_says_why_until_nothing_is_left(tmp_path: Path) -> None:
    """Stopped with jobs left it tells the reason; with nothing left it is finished; cancelled it stays cancelled."""
    async with story(tmp_path) as made:
        await made.add(*(NewJob(key=f"k{n}", spec=spec(f"k{n}")) for n in range(2)))
        await made.ledger.set_run_state(RUN, RunState.STOPPED, "InsufficientCredits: no credits left")
        progress = await measure(made.ledger, RUN)
        assert (progress.phase.value, progress.standing) == (
            "stopped",
            "stopped: InsufficientCredits: no credits left",
        )
        await made.ledger.set_run_state(RUN, RunState.ACTIVE)
        for n in range(2):
            await made.do(f"k{n}", 1.0)
        await made.ledger.set_run_state(RUN, RunState.STOPPED, "20 jobs in a row failed")
        assert (await measure(made.ledger, RUN)).phase.value == "finished"
        await made.ledger.set_run_state(RUN, RunState.CANCELLED, "by the user")
        assert (await measure(made.ledger, RUN)).standing == "cancelled: by the user"


@pytest.mark.asyncio
async def test_a_run_whose_work_was_never_noted_is_taken_to_go_on(tmp_path: Path) -> None:
    """A journal of an older avatarkit does not say who works on it."""
    async with story(tmp_path) as made:
        await made.add(NewJob(key="a", spec=spec("a")))
        assert (await measure(made.ledger, RUN)).phase.value == "submitting"


@pytest.mark.asyncio
async def test_jobs_behind_a_held_part_wait_for_the_user(tmp_path: Path) -> None:
    """Nothing moves by itself, with or without a process."""
    async with story(tmp_path) as made:
        await made.add(NewJob(key="@part", spec=b"{}", part=True))
        await made.add(*(NewJob(key=f"k{n}", spec=spec(f"k{n}"), needs=("@part",)) for n in range(3)))
        await made.hold("@part", "nobody knows")
        for ended in (False, True):
            await worked(made, (0.0, 0.0), ended=ended)
            progress = await measure(made.ledger, RUN)
            assert (progress.phase.value, progress.standing) == (
                "held",
                "waiting for you: what 3 videos need is held",
            )


@pytest.mark.asyncio
async def test_results_that_cannot_be_stored_say_why(tmp_path: Path) -> None:
    """The newest reason and how many they are, page by page; one that was not tried yet does not count."""
    async with story(tmp_path) as made:
        keys = [f"k{n:04}" for n in range(1103)]
        await made.add(*(NewJob(key=key, spec=spec(key)) for key in keys))
        for key in keys:
            await made.submit(key)
            await made.end(key, JobState.READY)
        assert (await measure(made.ledger, RUN)).unstored == 0
        for at, key in enumerate(keys[1:]):
            why = {"type": "OutputFailed", "message": "no space left" if key == "k0500" else "older"}
            later = 9_999.0 if key == "k0500" else float(at)
            await made.ledger.postpone(RUN, key, JobState.READY, not_before=START + later, error=why)
        seen = await measure(made.ledger, RUN)
        assert (seen.unstored, seen.unstored_why) == (1102, "no space left")
        assert (await Meter(made.ledger, RUN).measure()).unstored == 0
