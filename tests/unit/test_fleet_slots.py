"""How many submissions a leader asks for: as many as there are free slots, whatever becomes of its messages."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
from bulk_house import in_virtual_time
from fleet_house import OPTIONS, Leaky, house

from avatarkit.bulk.fleet import FleetOptions
from avatarkit.bulk.fleet_hands import Hands
from avatarkit.bulk.fleet_slots import Slots
from avatarkit.bulk.fleet_turns import Turnstile
from avatarkit.bulk.records import AccountLimits, JobState, Turns

GET = "GET /openapi/video/v2/get/{id}"


@attrs.define
class Account:
    """A ledger of one account; jobs are new unless said otherwise."""

    cap: int | None = 5
    running: int = 0
    states: dict[str, JobState] = attrs.field(factory=dict)
    asked: list[str] = attrs.field(factory=list)

    async def limits(self, account: str) -> AccountLimits:
        return AccountLimits(most_running=self.cap, running=self.running)

    async def get(self, run: str, key: str) -> Any:
        self.asked.append(key)

        @attrs.define
        class Found:
            state: JobState

        return Found(self.states.get(key, JobState.NEW))

    def slots(self) -> Slots:
        return Slots(self, "acc", "main", patience=10.0)  # type: ignore[arg-type]


def test_a_message_for_each_free_slot() -> None:
    """What is on its way is counted until it runs; each end that the looks show is room for one more."""

    async def main() -> None:
        account = Account(running=2)
        slots = account.slots()
        assert await slots.free() == 3
        slots.sent(["a", "b", "c"])
        assert await slots.free() == 0
        account.running = 4
        assert (await slots.free(), len(slots)) == (0, 1)
        # Two tasks end while the third message arrives.
        account.running = 3
        slots.freed(2)
        assert (await slots.free(), len(slots)) == (2, 0)
        assert account.asked == []

    in_virtual_time(main)


def test_without_a_cap_there_is_always_room() -> None:
    """Nobody knows how many may run: the engine's backlog alone bounds what is sent."""

    async def main() -> None:
        slots = Account(cap=None, running=1000).slots()
        slots.sent(["a"])
        assert await slots.free() == math.inf

    in_virtual_time(main)


def test_steps_that_are_answered_at_once_do_not_block_the_slots() -> None:
    """They came and went between two countings: looked up after a second, a few at a time, they count no more."""

    async def main() -> None:
        account = Account(cap=10)
        slots = account.slots()
        keys = [f"k{n}" for n in range(10)]
        slots.sent(keys)
        account.states = {**dict.fromkeys(keys, JobState.DONE), "k9": JobState.NEW}
        assert await slots.free() == 0
        await asyncio.sleep(1.1)
        assert await slots.free() == 8
        assert await slots.free() == 9
        assert await slots.free() == 9
        assert Counter(account.asked) == Counter(keys)

    in_virtual_time(main)


def test_a_lost_message_is_not_counted_for_ever() -> None:
    """Its job is new still, and after ten seconds another one gets the slot."""

    async def main() -> None:
        slots = Account(cap=1).slots()
        slots.sent(["a"])
        await asyncio.sleep(9.0)
        assert await slots.free() == 0
        await asyncio.sleep(1.1)
        assert await slots.free() == 1

    in_virtual_time(main)


def test_what_others_do_with_the_account_is_never_room() -> None:
    """Another run fills and empties slots: the count is off by its messages at most, and never below none."""

    async def main() -> None:
        account = Account(cap=5, running=5)
        slots = account.slots()
        assert await slots.free() == 0
        slots.freed(3)
        assert await slots.free() == 0
        account.running = 9  # a doubt that was adopted goes beyond the cap
        assert await slots.free() == 0
        account.running = 4
        assert await slots.free() == 1

    in_virtual_time(main)


# -- in a fleet


def _counted(target: Any, name: str, calls: Counter[str]) -> None:
    method = getattr(target, name)

    async def counting(*given: Any, **more: Any) -> Any:
        calls[name] += 1
        return await method(*given, **more)

    setattr(target, name, counting)


def test_nobody_asks_while_the_account_is_full(tmp_path: Path) -> None:
    """Sixty jobs through five slots: about one question for a slot a job, and the slots are kept busy."""

    async def main() -> None:
        async with house(tmp_path, 60, max_running=5) as at:
            at.engine = Leaky(leaks=False)
            calls: Counter[str] = Counter()
            for name in ("open_intent", "counts"):
                _counted(at.ledger, name, calls)
            loop = asyncio.get_running_loop()
            began = loop.time()
            await asyncio.gather(*[(await at.worker()).work(asyncio.Event()) for _ in range(3)])
            assert (await at.ledger.counts("main")).jobs == {JobState.DONE: 60}
            assert calls["open_intent"] <= 60 * 1.2
            # Once by the test, and once by each worker that goes home, to see whether claims may go too.
            assert calls["counts"] == 1 + 3
            assert at.bulk.box.seen.peak_running == 5
            assert loop.time() - began < 60 / 5 * 32.0 + 60.0

    in_virtual_time(main)


def test_who_leads_collects_without_a_second_look(tmp_path: Path) -> None:
    """The handle that saw a task end knows where its file is; its own downloads stay within their number."""

    async def main() -> None:
        async with house(tmp_path, 30) as at:
            at.engine = Leaky(leaks=False)
            worker = await at.worker(attrs.evolve(OPTIONS, downloads=2))
            await worker.work(asyncio.Event())
            assert (await at.ledger.counts("main")).jobs == {JobState.DONE: 30}
            assert len(list(at.bulk.out.glob("*.mp4"))) == 30
            assert at.bulk.box.seen.requests[GET] < 30

    in_virtual_time(main)


def test_told_to_stop_it_ends_its_own_downloads_first(tmp_path: Path) -> None:
    """A download that the leader began itself is not cut off, and is recorded before the worker has ended."""

    async def main() -> None:
        async with house(tmp_path, 3) as at:
            at.engine = Leaky(leaks=False)
            worker, stop = await at.worker(), asyncio.Event()
            seen: list[str] = []
            finish = at.ledger.finish

            async def slow(*given: Any, **more: Any) -> bool:
                seen.append(given[1])
                stop.set()
                await asyncio.sleep(20.0)
                return await finish(*given, **more)

            at.ledger.finish = slow  # type: ignore[method-assign]
            await worker.work(stop)
            counts = (await at.ledger.counts("main")).jobs
            assert counts.get(JobState.DONE, 0) == len(seen) > 0

    in_virtual_time(main)


def test_who_does_not_lead_hardly_asks(tmp_path: Path) -> None:
    """Four of five workers only want to know now and then whether the lead is free; it moves on when they do."""

    async def main() -> None:
        async with house(tmp_path, 1) as at:
            workers = [await at.worker(attrs.evolve(OPTIONS, until_done=False)) for _ in range(5)]
            stops = [asyncio.Event() for _ in workers]
            working = [
                asyncio.create_task(worker.work(stop)) for worker, stop in zip(workers, stops, strict=True)
            ]
            await asyncio.sleep(100.0)
            calls: Counter[str] = Counter()
            _counted(at.ledger, "lease", calls)
            await asyncio.sleep(100.0)
            assert 4 * 10 < calls["lease"] < 4 * 14 + 50
            stops[0].set()
            await working[0]
            await asyncio.sleep(OPTIONS.lease)
            assert not await at.ledger.lease("poll:main", "somebody else", 0.0)
            for stop in stops:
                stop.set()
            await asyncio.gather(*working)

    in_virtual_time(main)


def test_an_account_without_a_rate_is_asked_now_and_then() -> None:
    """A thousand requests in a minute: the ledger is asked every 15 s, and keeps the rate once there is one."""

    class Keeper:
        every, asked, given = 0.0, 0, 0

        async def now(self) -> float:
            return asyncio.get_running_loop().time()

        async def turns(self, account: str, many: int) -> Turns:
            self.asked += 1
            now = await self.now()
            return Turns(now=now, first=now, every=self.every) if self.every else Turns()

    async def main() -> None:
        keeper, loop = Keeper(), asyncio.get_running_loop()
        through = Turnstile(keeper, "acc")  # type: ignore[arg-type]
        while loop.time() < 60.0:
            await through()
            await asyncio.sleep(0.06)
        assert keeper.asked <= 5
        keeper.every = 1.0
        await asyncio.sleep(15.0)
        asked = keeper.asked
        for _ in range(3):
            await through()
        assert keeper.asked >= asked + 3

    in_virtual_time(main)


def test_two_runs_share_an_account(tmp_path: Path) -> None:
    """Each leader sends for the same free slots; who comes too late waits and is sent again, and both runs end."""

    async def main() -> None:
        async with house(tmp_path, 20, max_running=4) as at:
            second = await at.other("second", 20)
            await asyncio.gather(*[(await each.worker()).work(asyncio.Event()) for each in (at, second)])
            for run in ("main", "second"):
                assert (await at.ledger.counts(run)).jobs == {JobState.DONE: 20}
            assert at.bulk.box.seen.peak_running == 4
            assert set(at.bulk.made().values()) == {2}

    in_virtual_time(main)


def test_without_a_cap_nothing_is_counted() -> None:
    """An account that knows no cap has room for all, and messages are not remembered for it."""

    async def main() -> None:
        account = Account(cap=None)
        slots = account.slots()
        for number in range(100):
            slots.sent([f"k{number}"])
            assert await slots.free() == math.inf
        assert len(slots) == 0

    in_virtual_time(main)


def test_a_leader_collects_no_more_at_once_than_it_may() -> None:
    """Of many tasks that end together it takes on as many as its downloads; the others are for all workers."""

    async def main() -> None:
        gate = asyncio.Event()

        async def collect(job: Any, task: Any) -> Any:
            await gate.wait()
            return SimpleNamespace(over=True)

        stages: Any = SimpleNamespace(sink=None, ledger=None, run=SimpleNamespace(id="r"), collect=collect)
        hands = Hands(stages, FleetOptions(downloads=3), asyncio.Event())
        jobs: list[Any] = [SimpleNamespace(key=f"k{number}") for number in range(20)]
        assert sum(hands.collect_own(job, object()) for job in jobs) == 3  # type: ignore[arg-type]
        gate.set()
        await hands.aclose()
        assert hands.collect_own(jobs[5], object())  # type: ignore[arg-type]
        await hands.aclose()

    in_virtual_time(main)
