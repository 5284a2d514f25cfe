"""Task slots in virtual time: order, deadlines, learning the cap, and slots that never leak."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit.errors import DeadlineExceeded
from avatarkit.testing import VirtualClock, VirtualTimeLoop, run_virtual
from avatarkit.transport.slots import TaskSlots


@pytest.fixture(autouse=True, scope="module")
def no_sockets() -> Iterator[None]:
    """Nothing here has a socket to wait for, so the virtual clock may jump at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avatarkit.testing.virtual._GRACE", 0.0)
        yield


def make(cap: int | None = None, **more: Any) -> TaskSlots:
    return TaskSlots(cap, VirtualClock(), **more)


class Provider:
    """Refuses submissions beyond its own cap; runs accepted tasks for a while."""

    def __init__(self, cap: int, slots: TaskSlots, *, tells: bool) -> None:
        self.cap, self.slots, self.tells = cap, slots, tells
        self.running = self.refusals = self.most = 0

    async def task(self, seconds: float) -> None:
        """Submit until accepted, run, end: what driver and hub do together."""
        while True:
            await self.slots.acquire()
            await asyncio.sleep(0.1)
            if self.running < self.cap:
                break
            self.refusals += 1
            self.slots.refused(None)
            self.slots.release()
        self.running += 1
        self.most = max(self.most, self.running)
        if self.tells:
            self.slots.accepted()
        await asyncio.sleep(seconds)
        self.running -= 1
        self.slots.release()


def test_unlimited_while_nothing_is_known() -> None:
    """Without a cap every acquire is granted at once."""

    async def main() -> None:
        slots = make()
        assert [await slots.acquire() for _ in range(50)] == [0.0] * 50
        assert (slots.cap, slots.running, slots.waiting) == (None, 50, 0)

    run_virtual(main)


def test_cap_below_one_is_refused() -> None:
    """A cap of 0 would block for ever and is an error."""
    with pytest.raises(ValueError, match="at least 1"):
        TaskSlots(0)


def test_fifo_and_the_time_waited() -> None:
    """Waiters get slots in order of arrival; acquire returns how long it took."""

    async def main() -> tuple[list[int], list[float]]:
        slots = make(2)
        order: list[int] = []
        waits: list[float] = []

        async def job(number: int) -> None:
            waits.append(round(await slots.acquire(), 3))
            order.append(number)
            await asyncio.sleep(10)
            slots.release()

        await asyncio.gather(*(job(number) for number in range(6)))
        return order, waits

    assert run_virtual(main) == (list(range(6)), [0.0, 0.0, 10.0, 10.0, 20.0, 20.0])


def test_nobody_overtakes_a_waiter() -> None:
    """try_acquire fails while somebody waits, even in the moment a slot is granted to the waiter."""

    async def main() -> None:
        slots = make(1)
        assert slots.try_acquire()
        waiter = asyncio.create_task(slots.acquire())
        await asyncio.sleep(0)
        slots.release()
        assert not slots.try_acquire()
        await waiter
        assert slots.running == 1

    run_virtual(main)


def test_deadlines_pass_each_at_its_own_time_and_take_nothing() -> None:
    """Each waiter fails at its deadline, not before; the slot goes to one that still waits."""

    async def main() -> None:
        slots = make(1)
        loop = asyncio.get_running_loop()
        assert slots.try_acquire()
        ends: dict[str, float] = {}

        async def job(name: str, deadline: float | None) -> None:
            try:
                await slots.acquire(deadline)
            except DeadlineExceeded:
                name += " late"
            ends[name] = round(loop.time(), 3)

        jobs = [("a", 30.0), ("b", 5.0), ("c", None), ("d", 12.0)]
        tasks = [asyncio.create_task(job(*each)) for each in jobs]
        await asyncio.sleep(20)
        assert slots.waiting == 2
        slots.release()
        await asyncio.sleep(20)
        slots.release()
        await asyncio.gather(*tasks)
        assert ends == {"b late": 5.0, "d late": 12.0, "a": 20.0, "c": 40.0}
        assert (slots.running, slots.waiting) == (1, 0)

    run_virtual(main)


def test_a_deadline_in_the_past_fails_at_once_unless_a_slot_is_free() -> None:
    """No waiting at all is needed to know; a free slot is given all the same."""

    async def main() -> None:
        slots = make(1)
        await asyncio.sleep(1)
        assert await slots.acquire(0.5) == 0.0
        with pytest.raises(DeadlineExceeded, match="1 of 1"):
            await slots.acquire(0.5)
        assert slots.waiting == 0

    run_virtual(main)


def test_one_timer_for_all_deadlines() -> None:
    """A thousand waiters with deadlines set one timer between them."""

    async def main() -> int:
        slots = make(1)
        assert slots.try_acquire()
        tasks = [asyncio.create_task(slots.acquire(1000.0 - number)) for number in range(1000)]
        await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        timers = len([handle for handle in loop._scheduled if not handle.cancelled()])  # type: ignore[attr-defined]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert slots.waiting == 0
        assert len(slots._queue) < 100
        return timers

    assert run_virtual(main) == 1


def test_a_waiter_cancelled_at_the_grant_hands_the_slot_on() -> None:
    """Cancelling between the grant and the waking passes the slot to the next."""

    async def main() -> None:
        slots = make(1)
        assert slots.try_acquire()
        first, second = (asyncio.create_task(slots.acquire()) for _ in range(2))
        await asyncio.sleep(0.01)
        slots.release()
        first.cancel()
        await asyncio.sleep(0.01)
        assert first.cancelled()
        assert second.done()
        assert (slots.running, slots.waiting) == (1, 0)

    run_virtual(main)


def test_a_waiter_cancelled_just_before_a_release_is_passed_over() -> None:
    """The slot goes to the next although the cancelled waiter has not yet woken."""

    async def main() -> None:
        slots = make(1)
        assert slots.try_acquire()
        first, second = (asyncio.create_task(slots.acquire()) for _ in range(2))
        await asyncio.sleep(0.01)
        first.cancel()
        slots.release()
        await asyncio.sleep(0.01)
        assert second.done()
        assert (slots.running, slots.waiting) == (1, 0)

    run_virtual(main)


def test_a_waiter_whose_coroutine_is_closed_is_passed_over() -> None:
    """A coroutine thrown away while it waits gets no slot; the next one does."""

    async def main() -> None:
        slots = make(1)
        assert slots.try_acquire()
        thrown_away = slots.acquire()
        thrown_away.send(None)
        second = asyncio.create_task(slots.acquire())
        await asyncio.sleep(0.01)
        thrown_away.close()
        assert slots.waiting == 1
        slots.release()
        await asyncio.sleep(0.01)
        assert second.done()
        assert (slots.running, slots.waiting) == (1, 0)

    run_virtual(main)


def test_a_refusal_teaches_the_cap() -> None:
    """What ran besides the refused submission is the cap; the hook hears of it once."""

    async def main() -> None:
        heard: list[int] = []
        slots = make(on_learn=heard.append)
        for _ in range(6):
            assert slots.try_acquire()
        slots.refused(None)
        slots.release()
        assert (slots.cap, slots.running, heard) == (5, 5, [5])
        assert not slots.try_acquire()
        slots.release()
        assert slots.try_acquire()

    run_virtual(main)


@pytest.mark.parametrize("tells", [False, True])
def test_a_crowd_finds_the_providers_cap(tells: bool) -> None:
    """Forty jobs at a provider that runs five: all get through, five at a time, few refusals after the first."""

    async def main() -> tuple[int, int, int | None]:
        slots = make()
        provider = Provider(5, slots, tells=tells)
        await asyncio.gather(*(provider.task(50) for _ in range(40)))
        assert slots.running == 0
        return provider.most, provider.refusals, slots.cap

    most, refusals, cap = run_virtual(main)
    assert most == 5
    assert refusals <= 35 + 6
    assert cap in (5, 6)


def test_accepted_tells_the_cap_from_the_first_refusal() -> None:
    """With acceptances reported, submissions under way do not inflate the learned cap, nor deflate it."""

    async def main() -> None:
        slots = make()
        for _ in range(100):
            assert slots.try_acquire()
        for _ in range(4):
            slots.accepted()
        slots.refused(None)
        assert slots.cap == 4
        assert slots.overdrawn
        slots.accepted()
        assert slots.cap == 5

    run_virtual(main)


def test_refused_while_nothing_of_ours_runs_cools_down_longer_and_longer() -> None:
    """Others use the account: 5, 10, 20, 40, 60, 60 s between tries, reset by a success."""

    async def main() -> list[float]:
        slots = make(3)
        waits = []
        for _ in range(6):
            await slots.acquire()
            slots.refused(None)
            slots.release()
            waits.append(round(await slots.acquire(), 2))
            slots.release(ran=False)
        assert slots.cap == 1
        assert slots.try_acquire()
        slots.release()
        assert slots.try_acquire()
        slots.refused(None)
        slots.release()
        waits.append(round(await slots.acquire(), 2))
        return waits

    assert run_virtual(main) == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 5.0]


def test_retry_after_is_obeyed_up_to_five_minutes() -> None:
    """The provider's own pause holds submissions back, but not for hours."""

    async def main() -> list[float]:
        waits = []
        for pause in (30.0, 86400.0):
            slots = make()
            assert slots.try_acquire()
            assert slots.try_acquire()
            slots.refused(pause)
            slots.release()
            slots.release()
            waits.append(round(await slots.acquire(), 2))
            slots.release()
        return waits

    assert run_virtual(main) == [30.0, 300.0]


def test_the_cap_grows_back_by_one_at_a_time_and_never_beyond_the_configured_one() -> None:
    """A provider that allows more again is found out by probing; the configured cap is the end of it."""

    async def main() -> tuple[int | None, int, int]:
        slots = make(6)
        provider = Provider(2, slots, tells=False)
        jobs = [asyncio.create_task(provider.task(20)) for _ in range(400)]
        await asyncio.sleep(60)
        assert slots.cap == 2
        provider.cap = 50
        before = provider.refusals
        await asyncio.gather(*jobs)
        return slots.cap, provider.most, provider.refusals - before

    assert run_virtual(main) == (6, 6, 0)


def test_failed_probes_become_rare() -> None:
    """At a provider whose cap stays, an afternoon of saturation costs a dozen refused submissions."""

    async def main() -> int:
        slots = make()
        provider = Provider(3, slots, tells=True)
        jobs = [asyncio.create_task(provider.task(60)) for _ in range(720)]
        await asyncio.sleep(60)
        before = provider.refusals
        await asyncio.gather(*jobs)
        assert asyncio.get_running_loop().time() < 4.1 * 3600
        return provider.refusals - before

    assert 4 <= run_virtual(main) <= 16


def test_no_growth_without_saturation() -> None:
    """A learned cap that is never used up is never probed."""

    async def main() -> int | None:
        slots = make()
        for _ in range(4):
            assert slots.try_acquire()
        slots.refused(None)
        slots.release()
        slots.release()
        for _ in range(200):
            assert slots.running == 2
            slots.release()
            await asyncio.sleep(60)
            assert slots.try_acquire()
        return slots.cap

    assert run_virtual(main) == 3


def test_on_wait_is_called_for_each_submitter_that_waits() -> None:
    """The hub learns that slots are short; it hears nothing while they are free."""

    async def main() -> int:
        slots = make(1)
        calls = 0

        def count() -> None:
            nonlocal calls
            calls += 1

        slots.on_wait = count
        assert await slots.acquire() == 0.0
        assert calls == 0
        tasks = [asyncio.create_task(slots.acquire(5.0)) for _ in range(2)]
        await asyncio.gather(*tasks, return_exceptions=True)
        return calls

    assert run_virtual(main) == 2


def test_slots_outlive_the_loop_and_waiters_do_not() -> None:
    """Tasks go on at the provider when a loop ends: their slots stay taken; dead waiters do not block."""
    slots = make(2)

    async def first() -> None:
        await slots.acquire()
        await slots.acquire()
        task = asyncio.create_task(slots.acquire(50.0))
        await asyncio.sleep(1)
        task.cancel()

    async def second() -> float:
        assert slots.running == 2
        asyncio.get_running_loop().call_later(3, slots.release)
        return await slots.acquire()

    loop = VirtualTimeLoop()
    loop.run_until_complete(first())
    slots.drop_waiters()
    assert slots.waiting == 0
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert run_virtual(second) == pytest.approx(3.0)
    assert (slots.running, slots.waiting) == (2, 0)


def test_a_release_too_many_is_ignored() -> None:
    """Running never goes below zero."""

    async def main() -> int:
        slots = make(1)
        slots.release()
        assert slots.try_acquire()
        assert not slots.try_acquire()
        return slots.running

    assert run_virtual(main) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 20), st.none() | st.floats(0, 20), st.none() | st.floats(0, 30), st.floats(0, 15)
        ),
        min_size=1,
        max_size=50,
    ),
    st.integers(1, 4),
    st.booleans(),
)
def test_storms_of_cancels_and_deadlines_never_leak_a_slot(
    plan: list[tuple[float, float | None, float | None, float]], cap: int, tells: bool
) -> None:
    """Whatever is cancelled, refused or too late: the provider's cap holds and all slots come back."""

    async def main() -> None:
        slots = make(6)
        loop = asyncio.get_running_loop()
        running = ended = 0

        async def job(at: float, patience: float | None, lasts: float) -> None:
            nonlocal running, ended
            await asyncio.sleep(at)
            deadline = None if patience is None else loop.time() + patience
            while True:
                await slots.acquire(deadline)
                assert slots.running <= 6
                if running < cap:
                    break
                slots.refused(None)
                slots.release()
            running += 1
            if tells:
                slots.accepted()
            try:
                await asyncio.sleep(lasts)
            finally:
                running -= 1
                slots.release()
            ended += 1

        patient, tasks = 0, []
        for at, patience, cancel, lasts in plan:
            task = asyncio.create_task(job(at, patience, lasts))
            tasks.append(task)
            if cancel is not None:
                loop.call_later(at + cancel, task.cancel)
            elif patience is None:
                patient += 1
        results = await asyncio.gather(*tasks, return_exceptions=True)
        wrong = [r for r in results if not isinstance(r, DeadlineExceeded | asyncio.CancelledError | None)]
        assert not wrong
        assert ended >= patient
        assert (slots.running, slots.waiting) == (0, 0)

    run_virtual(main)
