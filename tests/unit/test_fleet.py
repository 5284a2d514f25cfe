"""Workers of a fleet in virtual time: one ledger, an engine that loses and repeats messages, workers come and go."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from bulk_house import in_virtual_time
from fleet_house import OPTIONS, house
from ledger_suite import begun, intent, running, ticket

from avatarkit.bulk.fleet import Stage, cut, open_engine, queue_name
from avatarkit.bulk.fleet_hands import Door, Files, Hands
from avatarkit.bulk.fleet_lead import Leader
from avatarkit.bulk.fleet_turns import LATE, StoreTime, Turnstile
from avatarkit.bulk.fleet_worker import FleetWorker, is_over, set_rate
from avatarkit.bulk.gate import LedgerGate
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.output import Output
from avatarkit.bulk.planning import Planner
from avatarkit.bulk.records import AccountLimits, JobState, Look, Opened, RunState, Turns
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.bulk.stages import Done, Result, Stages
from avatarkit.errors import ConfigurationError, TransportError
from avatarkit.testing.virtual import VirtualTimeLoop


def lives(main: Callable[[], Awaitable[None]]) -> None:
    in_virtual_time(main)


def test_messages_lost_and_repeated_change_nothing(tmp_path: Path) -> None:
    """Three workers on an engine that loses a fifth of its messages and repeats a third: each job is made once."""

    async def main() -> None:
        async with house(tmp_path, 120) as at:
            workers = [await at.worker() for _ in range(3)]
            await asyncio.gather(*(worker.work(asyncio.Event()) for worker in workers))
            assert await at.counts() == {"done": 120}
            assert set(at.bulk.made().values()) == {1}
            assert len(list(at.bulk.out.glob("*.mp4"))) == 120
            assert at.bulk.box.seen.peak_running <= 20
            assert at.engine.deepest <= 2 * OPTIONS.backlog

    lives(main)


def test_the_rate_holds_over_all_requests_of_all_workers(tmp_path: Path) -> None:
    """All requests of three workers, looks and what collecting asks too: never more a second than the account has."""

    async def main() -> None:
        async with house(tmp_path, 80, "hifly") as at:
            at.bulk.box.seen.peak_per_second = 0
            workers = [await at.worker() for _ in range(3)]
            assert await set_rate(at.ledger, at.bulk.client, 6.0) == pytest.approx(6.0 * 0.85)
            await asyncio.sleep(2.0)
            await asyncio.gather(*(worker.work(asyncio.Event()) for worker in workers))
            assert await at.counts() == {"done": 80}
            assert 4 <= at.bulk.box.seen.peak_per_second <= 6

    lives(main)


def test_a_stopped_worker_leaves_the_rest_to_another(tmp_path: Path) -> None:
    """Told to stop, it finishes what it sends and gives its lead away at once; a later worker ends the run."""

    async def main() -> None:
        async with house(tmp_path, 40) as at:
            first, stop = await at.worker(), asyncio.Event()
            asyncio.get_running_loop().call_later(45.0, stop.set)
            await first.work(stop)
            counts = await at.counts()
            assert counts.get("intent", 0) == 0
            assert 0 < counts.get("done", 0) < 40
            assert await at.ledger.lease("poll:main", "somebody else", 0.0)
            await (await at.worker()).work(asyncio.Event())
            assert await at.counts() == {"done": 40}
            assert set(at.bulk.made().values()) == {1}

    lives(main)


def test_a_budget_that_holds_no_more_ends_the_run(tmp_path: Path) -> None:
    """What it allows is made, then the run is stopped with the reason, instead of asking for ever."""

    async def main() -> None:
        async with house(tmp_path, 20, budget=5.0, default_cost=1.0) as at:
            await (await at.worker()).work(asyncio.Event())
            run = await at.ledger.get_run("main")
            assert run is not None
            assert "budget" in run.reason
            counts = await at.counts()
            assert counts["new"] > 0
            assert counts["done"] + counts["new"] == 20

    lives(main)


def test_a_run_that_was_stopped_can_go_on_and_be_stopped_again(tmp_path: Path) -> None:
    """No money left, recharged, no money left again, with one worker that lives through it: it stops both times."""

    async def main() -> None:
        async with house(tmp_path, 30, "hifly") as at:
            box = at.bulk.box
            box.set_account(credits=100)
            options = attrs.evolve(OPTIONS, until_done=False)
            stop = asyncio.Event()
            working = asyncio.create_task((await at.worker(options)).work(stop))
            done = 0
            for _ in range(2):
                await asyncio.sleep(300.0)
                run = await at.ledger.get_run("main")
                assert run is not None
                assert (run.state, run.reason[:19]) == (RunState.STOPPED, "InsufficientCredits")
                counts = await at.counts()
                assert done < counts["done"] < 30
                done = counts["done"]
                refused = box.seen.requests["POST /video/create_by_tts"] - done
                assert refused <= 2 * OPTIONS.submits * 2
                box.set_account(credits=100)
                await at.ledger.open_run("main", run.settings)
            stop.set()
            await working

    lives(main)


def test_another_accounts_run_is_refused(tmp_path: Path) -> None:
    """A worker with other credentials does not touch the run."""

    async def main() -> None:
        async with house(tmp_path, 1) as at:
            worker = await at.worker()
            run = await at.ledger.get_run("main")
            assert run is not None
            worker._run = attrs.evolve(run, settings=attrs.evolve(run.settings, account="another"))
            with pytest.raises(ConfigurationError, match="account another; this is account"):
                await worker.work(asyncio.Event())

    lives(main)


def test_nothing_is_submitted_while_the_run_is_being_fed(tmp_path: Path) -> None:
    """Rows that were read may still prove wrong with the manifest: workers wait until all are there, and do not end."""

    async def main() -> None:
        async with house(tmp_path, 3) as at:
            since = {"since": await at.ledger.now()}
            await at.ledger.remember("", "feeding:main", since)
            working = asyncio.create_task((await at.worker()).work(asyncio.Event()))
            await asyncio.sleep(60.0)
            assert not working.done()
            assert not at.bulk.made()
            await at.ledger.remember("", "feeding:main", {"since": None})
            await working
            assert await at.counts() == {"done": 3}
            assert await is_over(at.ledger, "main")
            assert await is_over(at.ledger, "nothing of this name")

    lives(main)


def test_who_was_frozen_does_not_lead(tmp_path: Path) -> None:
    """The lease ended while the process stood still: it stops looking before it does anything else."""

    async def main() -> None:
        async with house(tmp_path, 4) as at:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualTimeLoop)
            worker = await at.worker()
            enqueued: list[str] = []
            original = at.engine.enqueue

            async def enqueue(stage: Stage, run: str, keys: Sequence[str], *, delay: float = 0.0) -> None:
                enqueued.extend(keys)
                await original(stage, run, keys, delay=delay)

            at.engine.enqueue = enqueue  # type: ignore[method-assign]
            stages = _stages(worker)
            leader = Leader(stages, at.engine, OPTIONS, lambda: None)
            limits = at.ledger.limits

            async def frozen(account: str) -> AccountLimits:
                loop.advance(OPTIONS.lease + 1.0)
                return await limits(account)

            at.ledger.limits = frozen  # type: ignore[method-assign]
            await leader.tick()
            assert not leader.leads
            assert enqueued == []
            await asyncio.sleep(0.01)
            assert leader._watcher is None
            at.ledger.limits = limits  # type: ignore[method-assign]
            other = Leader(attrs.evolve(stages, owner="another"), at.engine, OPTIONS, lambda: None)
            await other.tick()
            assert other.leads
            await leader.tick()
            assert not leader.leads
            assert sorted(enqueued) == ["j0", "j1", "j2", "j3"]
            await other.aclose()
            await leader.aclose()

    lives(main)


def test_of_two_who_fetched_one_video_one_file_is_left(tmp_path: Path) -> None:
    """A worker that comes late with its download, as after a freeze, removes its own file and not the recorded one."""

    async def main() -> None:
        async with house(tmp_path, 2) as at:
            hands: list[Hands] = []
            sinks: list[Any] = []
            for _ in range(2):
                stages = _stages(await at.worker())
                assert isinstance(stages.sink, Files)
                sinks.append(stages.sink.sink)
                hands.append(Hands(stages, OPTIONS, asyncio.Event()))
            await hands[0].submit(["j0"])
            job = await at.ledger.get("main", "j0")
            assert job is not None
            await asyncio.sleep(40.0)
            await at.ledger.settle("main", [Look(key="j0", attempt=1, state=JobState.READY)])
            put = sinks[1].put

            async def late(*given: Any) -> Any:
                await hands[0].collect(["j0"])
                return await put(*given)

            sinks[1].put = late
            await hands[1].collect(["j0"])
            job = await at.ledger.get("main", "j0")
            assert job is not None
            assert (job.state, job.result["file"]) == (JobState.DONE, "j0.mp4")
            assert [path.name for path in at.bulk.out.iterdir() if path.suffix == ".mp4"] == ["j0.mp4"]
            assert not list(at.bulk.out.rglob("*.part"))

    lives(main)


def _stages(worker: FleetWorker) -> Stages:
    run = worker._run
    return Stages(
        client=worker._client,
        ledger=worker._ledger,
        run=run,
        sink=Files(Output.of(run)),
        planner=Planner(run.settings.provider),
        owner="one",
        turns=False,
    )


# -- turns


class Turnkeeper:
    """A ledger of turns only: *ahead* is how its clock differs, *slow* how long an answer takes."""

    def __init__(self, every: float, *, ahead: float = 1e9, slow: float = 0.0) -> None:
        self.every, self.ahead, self.slow = every, ahead, slow
        self.next = 0.0
        self.asked: list[int] = []
        self.trouble: Exception | None = None

    async def now(self) -> float:
        return self.ahead + asyncio.get_running_loop().time()

    async def turns(self, account: str, many: int) -> Turns:
        if self.trouble is not None:
            raise self.trouble
        self.asked.append(many)
        now = await self.now()
        first = max(self.next, now)
        self.next = first + many * self.every
        await asyncio.sleep(self.slow)
        return Turns(now=now, first=first, every=self.every) if self.every else Turns()


def turnstile(keeper: Turnkeeper) -> Turnstile:
    ledger: Any = keeper
    return Turnstile(ledger, "acc")


def test_turns_of_all_workers_are_one_sequence() -> None:
    """Sixty requests through three turnstiles, of a store whose clock is another: one every 50 ms, few questions."""

    async def main() -> None:
        keeper, loop = Turnkeeper(0.05, slow=0.01), asyncio.get_running_loop()
        gone: list[float] = []

        async def go(through: Turnstile) -> None:
            await through()
            gone.append(loop.time())

        ways = [turnstile(keeper) for _ in range(3)]
        await asyncio.gather(*(go(ways[n % 3]) for n in range(60)))
        gone.sort()
        assert len(gone) == 60
        assert all(later - earlier >= 0.035 for earlier, later in itertools.pairwise(gone))
        assert gone[-1] - gone[0] == pytest.approx(59 * 0.05, abs=LATE + 0.02)
        assert len(keeper.asked) <= 18

    lives(main)


def test_a_missed_turn_is_not_used() -> None:
    """A process that stood still while it waited asks for another turn, and goes at that one."""

    async def main() -> None:
        keeper, loop = Turnkeeper(1.0), asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        keeper.next = keeper.ahead + 5.0
        loop.call_later(4.0, loop.advance, 13.0)
        await turnstile(keeper)()
        assert keeper.asked == [1, 1]
        assert loop.time() == pytest.approx(17.0, abs=0.2)

    lives(main)


def test_without_a_rate_nobody_waits() -> None:
    """One question lets all go that wait."""

    async def main() -> None:
        keeper = Turnkeeper(0.0)
        through = turnstile(keeper)
        await asyncio.gather(*(through() for _ in range(20)))
        assert len(keeper.asked) == 1

    lives(main)


def test_a_ledger_that_is_away_fails_those_who_wait() -> None:
    """Everybody gets its error, nobody waits for ever, and later ones are served again."""

    async def main() -> None:
        keeper = Turnkeeper(0.01)
        through = turnstile(keeper)
        keeper.trouble = TransportError("away")
        found = await asyncio.gather(*(through() for _ in range(5)), return_exceptions=True)
        assert [type(each) for each in found] == [TransportError] * 5
        keeper.trouble = None
        await through()

    lives(main)


def test_the_stores_clock_is_never_taken_to_be_later_than_it_is() -> None:
    """Quick answers sharpen what is known, slow ones do not blur it, and a clock that was set back is followed."""
    time = StoreTime()
    assert not time.known
    time.learn(1000.0, asked=10.0, answered=14.0)
    assert time.here(1000.0) == pytest.approx(14.0)
    time.learn(1002.0, asked=12.9, answered=13.1)
    assert time.here(1002.0) == pytest.approx(13.1)
    time.learn(1008.0, asked=19.0, answered=40.0)
    assert time.here(1002.0) == pytest.approx(13.1)
    time.learn(500.0, asked=50.0, answered=50.2)
    assert time.here(500.0) == pytest.approx(50.0)


# -- the door


def test_a_full_account_is_asked_by_one_at_a_time() -> None:
    """Ten submissions wait for a slot: one question a second, and all go soon after there is room."""

    async def main() -> None:
        loop, door, asked = asyncio.get_running_loop(), Door(asyncio.Event()), []

        async def attempt() -> Result:
            asked.append(loop.time())
            return Result(Done.MOVED if loop.time() > 5.0 else Done.WAIT, 1.0)

        found = await asyncio.gather(*(door.through(attempt, until=30.0) for _ in range(10)))
        assert {result.done for result in found} == {Done.MOVED}
        assert len([at for at in asked if 0.0 < at <= 5.0]) <= 6
        assert loop.time() < 7.5

    lives(main)


def test_patience_and_the_workers_end_cut_waiting_short() -> None:
    """Whoever waits too long, or when the worker ends, gives up; an attempt that has begun is never cut off."""

    async def main() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        door = Door(stop)

        async def full() -> Result:
            await asyncio.sleep(0.5)
            return Result(Done.WAIT, 1.0)

        found = await asyncio.gather(*(door.through(full, until=3.0) for _ in range(5)))
        assert [result.done for result in found] == [Done.WAIT] * 5
        assert loop.time() <= 5.0
        loop.call_later(0.2, stop.set)
        ends = loop.time() + 1.0
        assert (await door.through(full, until=ends + 100)).done is Done.WAIT
        assert loop.time() <= ends
        assert (await door.through(full, until=ends + 100)).done is Done.WAIT

    lives(main)


# -- names and messages


def test_names_of_queues_fit_channels_and_tell_runs_apart() -> None:
    """At most 40 ASCII bytes, readable where it goes, and different for every stage and run."""
    runs = ["main", "juli-2026", "ö" * 30, "ü" * 30, "x" * 200, "x" * 201, "a\nb", ""]
    names = [queue_name(stage, run) for stage in Stage for run in runs]
    assert len(set(names)) == len(names)
    assert all(len(name.encode()) <= 40 and name.isascii() and name.isprintable() for name in names)
    assert queue_name(Stage.SUBMIT, "main") == "submit:main"
    assert [list(some) for some in cut([1, 2, 3], 2)] == [[1, 2], [3]]


@pytest.mark.asyncio
async def test_an_engine_nobody_knows() -> None:
    """Its name is refused, and the known ones are named."""
    with pytest.raises(ConfigurationError, match="no engine"):
        await open_engine("rabbit", "postgresql://nowhere/db")


# -- an answer that comes late


@pytest.mark.asyncio
async def test_a_late_answer_is_taken_down_though_the_job_was_held(tmp_path: Path) -> None:
    """Another worker held the job while the answer was on its way: the task is found, not lost and not an orphan."""
    ledger: Ledger = await SqliteLedger.open(tmp_path / "run.db")
    await begun(ledger)
    job = await ledger.get("july", "a")
    assert job is not None
    gate = LedgerGate(ledger, job, cost=1.0, owner="w", turn=False)
    await gate.open(ticket())
    assert await ledger.hold("july", "a", 1, error={"type": "InDoubt"})
    await gate.settled(ticket(), "accepted", task_id="t1", token="avk1.x", error=None)
    now = await ledger.get("july", "a")
    assert now is not None
    assert (now.state, now.task_id) == (JobState.RUNNING, "t1")
    assert await running(ledger) == 1
    await ledger.aclose()


@pytest.mark.asyncio
async def test_turns_and_submissions_share_one_rate(tmp_path: Path) -> None:
    """Turns that were reserved delay the next submission that takes one; a fleet's submission has its own already."""
    ledger: Ledger = await SqliteLedger.open(tmp_path / "run.db")
    await begun(ledger, "a", "b")
    assert await ledger.turns("acc", 5) == Turns()
    await ledger.set_limits("acc", per_second=10.0)
    first = await ledger.turns("acc", 5)
    assert first.every == pytest.approx(0.1)
    assert first.first - first.now == pytest.approx(0.05, abs=0.02)
    second = await ledger.turns("acc", 1)
    assert second.first - first.first == pytest.approx(0.5)
    waits = await ledger.open_intent(intent("a"))
    assert waits.opened is Opened.WAIT
    assert 0.3 < waits.seconds <= 0.7
    assert (await ledger.open_intent(attrs.evolve(intent("b"), turn=False))).opened is Opened.YES
    await ledger.aclose()
