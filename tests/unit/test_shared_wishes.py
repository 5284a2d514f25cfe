"""Clients of one account share their slots: the smallest wish among the open ones holds, and goes with its client."""

from __future__ import annotations

import asyncio
import gc

import pytest
from account_house import client, hifly, slots, submit

from avatarkit import (
    AsyncHiFly,
    ConfigurationError,
)
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.slot_pass import PassedSlots


def test_a_refused_option_changes_nothing_of_other_clients() -> None:
    """max_running=0 beside a client of the same account: that one's cap stays what it was."""

    async def main() -> None:
        async with hifly(max_running=4) as one:
            with pytest.raises(ConfigurationError):
                hifly(max_running=0)
            async with hifly() as two:
                assert one.max_running == two.max_running == 4

    asyncio.run(main())


def test_a_closed_client_binds_the_others_no_more() -> None:
    """The smallest wish of those that are open holds, and whoever waits profits at once when it goes."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny", run_seconds=60) as box:
            loose, three = client(box, clock), client(box, clock, max_running=3)
            strict = client(box, clock, max_running=1)
            for one in (loose, three, strict):
                await one.__aenter__()
            assert {one.max_running for one in (loose, three, strict)} == {1}
            tasks = [asyncio.create_task(submit(loose)) for _ in range(5)]
            await asyncio.sleep(5)
            assert sum(task.done() for task in tasks) == 1
            await strict.aclose()
            assert loose.max_running == 3
            await asyncio.sleep(5)
            assert sum(task.done() for task in tasks) == 3
            await three.aclose()
            assert loose.max_running is None
            await asyncio.sleep(5)
            assert all(task.done() for task in tasks)
            await loose.aclose()
        assert box.seen.peak_running == 5

    run_virtual(main)


def test_a_client_that_was_forgotten_binds_nobody_who_waits_anew() -> None:
    """Without aclose, too."""

    async def main() -> None:
        clock = VirtualClock()
        async with hifly(clock=clock) as stays:
            goes: AsyncHiFly | None = hifly(clock=clock, max_running=1)
            assert goes is not None
            goes._account.engine()
            assert slots(stays).try_acquire()
            await goes._account._engine.guard.aclose()  # type: ignore[union-attr]
            goes = None
            await asyncio.sleep(1)
            gc.collect()
            assert await asyncio.wait_for(slots(stays).acquire(), 1) == 0
            assert slots(stays).cap is None

    run_virtual(main)


def test_a_client_that_was_forgotten_binds_nobody_who_waits_already() -> None:
    """With the next task that ends they go, all of them, and not one after the other."""

    async def main() -> None:
        clock = VirtualClock()
        async with (
            AsyncSandbox(clock=clock, render="tiny", run_seconds=100) as box,
            client(box, clock) as stays,
        ):
            goes: AsyncHiFly | None = client(box, clock, max_running=1)
            assert goes is not None
            goes._account.engine()
            tasks = [asyncio.create_task(submit(stays)) for _ in range(4)]
            await asyncio.sleep(10)
            assert sum(task.done() for task in tasks) == 1
            await goes._account._engine.guard.aclose()  # type: ignore[union-attr]
            goes = None
            await asyncio.sleep(1)
            gc.collect()
            await asyncio.sleep(200)
            assert all(task.done() for task in tasks)
        assert box.seen.peak_running == 3

    run_virtual(main)


def test_what_was_learned_stays_when_a_wish_goes() -> None:
    """A provider that refused the third task: with the stricter client gone, two run and not one more."""

    async def main() -> None:
        clock = VirtualClock()
        async with (
            AsyncSandbox(clock=clock, render="tiny", max_running=2, run_seconds=15) as box,
            client(box, clock) as loose,
        ):
            tasks = [asyncio.create_task(submit(loose)) for _ in range(4)]
            await asyncio.sleep(10)
            assert loose.max_running == 2
            async with client(box, clock, max_running=1) as strict:
                assert loose.max_running == strict.max_running == 1
            assert loose.max_running == 2
            await asyncio.gather(*tasks)
            async with client(box, clock, max_running=7):
                assert loose.max_running == 2
        assert box.seen.peak_running == 2

    run_virtual(main)


@pytest.mark.asyncio
async def test_a_refusal_above_the_wish_is_remembered() -> None:
    """Two run where one is wished for, a third is refused: one runs as wished, and later two, not all there are."""
    clock = VirtualClock()
    pool = PassedSlots(None, clock)
    for _ in range(3):
        assert pool.try_acquire()
    pool.accepted()
    pool.accepted()
    pool.bind(1)
    pool.refused()
    pool.release(ran=False)
    assert pool.cap == 1
    pool.bind(None)
    assert pool.cap == 2
