"""Clients of one account in one process: one budget for all of them, whoever comes and goes."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

import pytest
from account_house import client, slots, submit

from avatarkit import (
    AsyncHiFly,
    CapLearned,
    RateLimit,
)
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.shared import SharedLimiter

TTS = "POST /video/create_by_tts"


def test_a_cap_that_one_learned_is_known_to_all() -> None:
    """Three clients with one token run no more than the cap together, and pay for its discovery once."""

    async def main() -> None:
        clock, caps = VirtualClock(), []
        async with AsyncSandbox(clock=clock, render="tiny", max_running=2, run_seconds=30) as box:
            hifly = [client(box, clock, hooks=caps.append) for _ in range(3)]
            tasks = await asyncio.gather(*(submit(one) for one in hifly * 4))
            await asyncio.gather(*(task.wait() for task in tasks))
            assert box.seen.peak_running == 2
            assert box.seen.requests[TTS] < 12 + 6
            assert len({id(slots(one)) for one in hifly}) == 1
            assert slots(hifly[0]).running == 0
            learned = [event for event in caps if isinstance(event, CapLearned)]
            assert len(learned) % 3 == 0
            for one in hifly:
                await one.aclose()

    run_virtual(main)


def test_the_rate_is_kept_by_all_together() -> None:
    """Forty calls of four clients at once: no second sees more than the strictest of them allows."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny") as box:
            rates = (None, RateLimit(per_second=20, burst=5), RateLimit(per_second=5), "default")
            hifly = [client(box, clock, rate_limit=rate) for rate in rates]
            for one in hifly:
                await one.__aenter__()
            await asyncio.gather(*(one.account.credit() for one in hifly * 10))
            assert box.seen.peak_per_second <= 5
            for one in hifly:
                await one.aclose()

    run_virtual(main)


def test_the_strictest_cap_holds_for_all() -> None:
    """A client with max_running=1 makes it everybody's; nothing is ever refused."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny", max_running=1, run_seconds=20) as box:
            async with client(box, clock) as loose, client(box, clock, max_running=1) as strict:
                assert loose.max_running == strict.max_running == 1
                tasks = await asyncio.gather(*(submit(one) for one in (loose, strict) * 3))
                await asyncio.gather(*(task.wait() for task in tasks))
            assert box.seen.requests[TTS] == 6

    run_virtual(main)


def test_other_credentials_addresses_and_clocks_are_other_accounts() -> None:
    """Only clients of the same account at the same place in the same time share anything."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny") as box:
            box.add_account("other", provider="hifly")
            hifly = [
                client(box, clock),
                client(box, clock, "other"),
                client(box, VirtualClock()),
                client(box, clock, base_url=box.base_url("hifly") + "/."),
            ]
            for one in hifly:
                await one.__aenter__()
            assert len({id(slots(one)) for one in hifly}) == 4
            assert len({id(one._account.engine().driver.limiter) for one in hifly}) == 4
            assert len({id(one._account.engine().sessions) for one in hifly}) == 4
            for one in hifly:
                await one.aclose()

    run_virtual(main)


@pytest.mark.parametrize("how", ["closed before", "closed while another waits", "forgotten"])
def test_slots_of_a_client_that_is_gone_come_free(how: str) -> None:
    """Its task runs on at the provider; who waits for its slot looks after it, and gets it at the task's end."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny", run_seconds=60) as box:
            stays = client(box, clock, max_running=1)
            goes: AsyncHiFly | None = client(box, clock)
            await stays.__aenter__()
            assert goes is not None
            await submit(goes)
            waiting = asyncio.create_task(submit(stays)) if how == "closed while another waits" else None
            await asyncio.sleep(1)
            if how != "forgotten":
                await goes.aclose()
            gone = weakref.ref(goes._account)
            if how == "forgotten":
                await goes._account._engine.sessions.aclose()  # type: ignore[union-attr]
            goes = None
            gc.collect()
            assert how != "forgotten" or gone() is None or True
            task = await asyncio.wait_for(waiting or submit(stays), 200)
            assert 55 < clock.monotonic() < 120
            assert (await task.wait()).url
            assert slots(stays).running == 0
            await stays.aclose()

    run_virtual(main)


def test_slots_held_from_an_earlier_loop_come_free() -> None:
    """A client that idles after its asyncio.run does not keep the slots from another client in the next one."""
    clock = VirtualClock()

    async def first(hifly: AsyncHiFly) -> None:
        hifly._account.engine()
        assert slots(hifly).try_acquire()

    idle = AsyncHiFly("t", base_url="http://127.0.0.1:9", clock=clock, max_running=1)
    other = AsyncHiFly("t", base_url="http://127.0.0.1:9", clock=clock)
    run_virtual(lambda: first(idle))
    held = slots(idle)

    async def second() -> None:
        other._account.engine()
        assert slots(other) is held
        assert held.cap == 1
        assert not held.try_acquire()
        idle._account.held["x"] = record = _Record()  # type: ignore[assignment]
        waiting = asyncio.create_task(held.acquire(clock.monotonic() + 5))
        await asyncio.sleep(1)
        assert other._account.held == {"x": record}
        assert not idle._account.held
        held.release()
        await waiting

    run_virtual(second)


class _Record:
    """What the hub is shown of a task that it need not look at."""

    kind = type("Kind", (), {"pool": "elsewhere"})()


def test_two_running_loops_have_a_budget_each() -> None:
    """Clients of one account on loops in two threads at once share nothing; later, on one loop, they do."""
    clock = VirtualClock()
    made: list[AsyncHiFly] = []
    both = threading.Barrier(2, timeout=10)

    async def use() -> None:
        hifly = AsyncHiFly("t", base_url="http://127.0.0.1:9", clock=clock)
        hifly._account.engine()
        made.append(hifly)
        await asyncio.to_thread(both.wait)
        await asyncio.to_thread(both.wait)

    threads = [threading.Thread(target=asyncio.run, args=(use(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, two = made
    assert slots(one) is not slots(two)

    async def later() -> None:
        one._account.engine()
        third = AsyncHiFly("t", base_url="http://127.0.0.1:9", clock=clock)
        third._account.engine()
        assert slots(third) in (slots(one), slots(two))
        for hifly in (one, two, third):
            await hifly.aclose()

    asyncio.run(later())


def test_tasks_move_along_with_a_client_whose_budget_is_used_elsewhere() -> None:
    """Its slots are counted where it goes, and come free where it was."""
    clock = VirtualClock()
    one = AsyncHiFly("t", base_url="http://127.0.0.1:9", clock=clock, max_running=3)
    other = AsyncHiFly("t", base_url="http://127.0.0.1:9", clock=clock)

    async def first() -> None:
        one._account.engine()
        assert slots(one).try_acquire()
        record = _Record()
        record.kind = type("Kind", (), {"pool": "works"})()
        one._account.held["x"] = record  # type: ignore[assignment]

    asyncio.run(first())
    there, back = threading.Event(), threading.Event()

    async def elsewhere() -> None:
        other._account.engine()
        there.set()
        await asyncio.to_thread(back.wait, 10)
        await asyncio.sleep(0)
        await other.aclose()

    thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    thread.start()
    assert there.wait(10)
    assert slots(other) is slots(one)
    before = slots(other)

    async def again() -> None:
        one._account.engine()

    asyncio.run(again())
    assert slots(one) is not before
    assert slots(one).running == 1
    back.set()
    thread.join()
    assert before.running == 0


def test_uploads_and_durations_are_shared() -> None:
    """What one client uploaded or learned the other knows."""

    async def main() -> None:
        clock = VirtualClock()
        async with (
            AsyncSandbox(clock=clock, render="tiny") as box,
            client(box, clock) as one,
            client(box, clock) as two,
        ):
            first = await one.files.upload(b"RIFF0000WAVEfmt " + bytes(100), name="a.wav")
            second = await two.files.upload(b"RIFF0000WAVEfmt " + bytes(100), name="a.wav")
            assert first.id == second.id
            assert one._account.durations is two._account.durations

    run_virtual(main)


def test_a_budget_ends_with_its_clients() -> None:
    """Nothing keeps it: a client made after the last one is gone knows nothing."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny") as box:
            hifly = client(box, clock, max_running=1)
            await hifly.__aenter__()
            budget = weakref.ref(hifly._account.budget)
            await hifly.aclose()
            del hifly
            await asyncio.sleep(1)
            gc.collect()
            assert budget() is None
            async with client(box, clock) as fresh:
                assert fresh.max_running is None

    run_virtual(main)


def test_a_limiter_slows_down_for_those_who_wait_already() -> None:
    """A stricter client that comes in the middle of a rush is obeyed from then on; more connections are as well."""

    async def main() -> None:
        clock = VirtualClock()
        limiter = SharedLimiter(RateLimit(per_second=100, burst=10), 2, clock)
        starts: list[float] = []

        async def one() -> None:
            await limiter.start()
            starts.append(clock.monotonic())
            limiter.done()

        calls = [asyncio.create_task(one()) for _ in range(60)]
        await asyncio.sleep(0.1)
        before = len(starts)
        assert 10 <= before < 40
        limiter.restrict(RateLimit(per_second=2, burst=3), 50)
        limiter.restrict(None, 1)
        await asyncio.gather(*calls)
        after = starts[before:]
        assert all(later - sooner > 0.99 for sooner, later in zip(after, after[4:], strict=False))
        assert limiter.in_progress == 0

    run_virtual(main)
