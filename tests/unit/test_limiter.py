"""The request limiter in virtual time: exact rate, order, fairness, and turns that never leak."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterator
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarkit.settings import RateLimit
from avatarkit.testing import VirtualClock, VirtualTimeLoop, run_virtual
from avatarkit.transport.limiter import CALL, POLL, SUBMIT, RequestLimiter


@pytest.fixture(autouse=True, scope="module")
def no_sockets() -> Iterator[None]:
    """Nothing here has a socket to wait for, so the virtual clock may jump at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avatarkit.testing.virtual._GRACE", 0.0)
        yield


def make(
    per_second: float | None = None, *, burst: int = 1, in_progress: int = 1000, clock: Any = None
) -> RequestLimiter:
    rate = RateLimit(per_second=per_second, burst=burst) if per_second else None
    return RequestLimiter(rate, in_progress, clock or VirtualClock())


def worst_second(starts: list[float]) -> int:
    """The most starts in any half-open window of one second."""
    return max(bisect_left(starts, start + 1.0 - 1e-7) - place for place, start in enumerate(starts))


async def hammer(limiter: RequestLimiter, callers: int, seconds: float) -> list[float]:
    """*callers* that start again and again, each request taking no time."""
    loop = asyncio.get_running_loop()
    starts: list[float] = []

    async def call() -> None:
        while loop.time() < seconds:
            await limiter.start()
            starts.append(loop.time())
            limiter.done()

    await asyncio.gather(*(call() for _ in range(callers)))
    return [start for start in starts if start < seconds]


class LateClock(VirtualClock):
    """Timers that fire late by a fixed pattern, as a busy loop's do."""

    def __init__(self, late: list[float]) -> None:
        self._late = late
        self._turn = 0

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        self._turn += 1
        return super().call_later(max(seconds, 0.0) + self._late[self._turn % len(self._late)], callback)


@pytest.mark.parametrize("per_second", [0.5, 3.0, 10.0, 100.0, 2000.0])
def test_no_second_sees_more_than_the_rate_and_99_percent_of_it_is_used(per_second: float) -> None:
    """With burst 1 no sliding second exceeds the rate; a thousandth of it is given up for that."""
    span = max(5.0, 20.0 / per_second)

    async def main() -> list[float]:
        return await hammer(make(per_second), 50, span)

    starts = run_virtual(main)
    assert worst_second(starts) <= max(per_second, 1.0)
    assert len(starts) >= 0.995 * per_second * span


@pytest.mark.parametrize("per_second", [10.0, 100.0, 2000.0])
def test_late_timers_neither_slow_it_down_nor_make_it_burst(per_second: float) -> None:
    """Timers that are up to 9 ms late cost no rate, and catching up stays inside the bound."""

    async def main() -> list[float]:
        late = [0.0012, 0.0, 0.009, 0.0031, 0.0007, 0.0088, 0.002]
        return await hammer(make(per_second, clock=LateClock(late)), 50, 5.0)

    starts = run_virtual(main)
    assert worst_second(starts) <= per_second
    assert len(starts) >= 0.98 * per_second * 5.0


def test_a_stalled_loop_makes_up_for_a_tenth_of_a_second_at_most() -> None:
    """Timers that are 300 ms late now and then: ten starts at once at 100 a second, never over the rate."""

    async def main() -> list[float]:
        return await hammer(make(100.0, clock=LateClock([0.0, 0.0, 0.0, 0.3])), 50, 5.0)

    assert worst_second(run_virtual(main)) <= 100


def test_burst_is_allowed_after_silence_only() -> None:
    """burst=5 lets five go at once from rest, then one at a time."""

    async def main() -> list[float]:
        limiter = make(10.0, burst=5)
        loop = asyncio.get_running_loop()
        starts = []
        for _ in range(8):
            await limiter.start()
            starts.append(round(loop.time(), 3))
        return starts

    assert run_virtual(main) == [0.0] * 5 + [0.1, 0.2, 0.3]


def test_without_contention_start_takes_no_turn_of_the_loop() -> None:
    """An uncontended start neither waits nor makes a future or a timer."""

    async def main() -> None:
        limiter = make(10.0)
        with pytest.raises(StopIteration) as done:
            limiter.start().send(None)
        assert done.value.value == 0.0
        assert limiter.waiting == 0
        assert not limiter.try_start()

    run_virtual(main)


def test_fifo_within_a_priority() -> None:
    """Two hundred callers of one priority are served in order of arrival."""

    async def main() -> list[int]:
        limiter = make(100.0)
        order: list[int] = []

        async def call(number: int) -> None:
            await limiter.start()
            order.append(number)

        await asyncio.gather(*(call(number) for number in range(200)))
        return order

    assert run_virtual(main) == list(range(200))


def test_submissions_go_before_calls_and_calls_before_polls() -> None:
    """Short queues are served strictly by priority."""

    async def main() -> list[int]:
        limiter = make(10.0)
        assert limiter.try_start()
        order: list[int] = []
        for priority in (POLL, CALL, SUBMIT, POLL, CALL, SUBMIT):
            limiter.when_free(lambda priority=priority: order.append(priority), priority)
        await asyncio.sleep(2)
        return order

    assert run_virtual(main) == [SUBMIT, SUBMIT, CALL, CALL, POLL, POLL]


def test_a_flood_of_submissions_starves_nobody() -> None:
    """While submissions never run out, polls and calls still get every eighth turn each, no more."""

    async def main() -> list[int]:
        limiter = make(100.0)
        order: list[int] = []

        def again(priority: int) -> None:
            order.append(priority)
            limiter.done()
            limiter.when_free(lambda: again(priority), priority)

        for priority in (POLL, CALL, SUBMIT):
            for _ in range(20):
                limiter.when_free(lambda priority=priority: again(priority), priority)
        await asyncio.sleep(8.2)
        return order[:800]

    order = run_virtual(main)
    assert order.count(POLL) in (99, 100)
    assert order.count(CALL) in (99, 100)
    gaps = [at for at, priority in enumerate(order) if priority == POLL]
    assert max(b - a for a, b in pairwise(gaps)) <= 9


def test_requests_in_progress_are_bounded_and_done_lets_the_next_in() -> None:
    """With three places and no rate, three run at a time, and all thirty finish."""

    async def main() -> tuple[int, int]:
        limiter = make(in_progress=3)
        most = ended = 0

        async def call() -> None:
            nonlocal most, ended
            await limiter.start()
            most = max(most, limiter.in_progress)
            await asyncio.sleep(1)
            limiter.done()
            ended += 1

        await asyncio.gather(*(call() for _ in range(30)))
        assert asyncio.get_running_loop().time() == pytest.approx(10, abs=0.01)
        assert limiter.in_progress == 0
        return most, ended

    assert run_virtual(main) == (3, 30)


def test_cool_down_holds_everybody_and_keeps_the_longer_one() -> None:
    """Nobody starts before the cool-down ends, whether waiting or new, and a shorter one does not end it."""

    async def main() -> list[float]:
        limiter = make(100.0)
        loop = asyncio.get_running_loop()
        starts: list[float] = []
        assert limiter.try_start()
        limiter.when_free(lambda: starts.append(loop.time()))
        limiter.cool_down(7.0)
        limiter.cool_down(2.0)
        limiter.cool_down(-1.0)
        assert not limiter.try_start()
        await asyncio.sleep(6.99)
        assert not starts
        await limiter.start()
        starts.append(loop.time())
        return starts

    assert run_virtual(main) == pytest.approx([7.0, 7.01], abs=1e-4)


def test_a_waiter_cancelled_at_the_moment_of_its_turn_hands_it_on() -> None:
    """Cancelling between the grant and the waking of the waiter passes place and slot to the next."""

    async def main() -> None:
        limiter = make(10.0, in_progress=1)
        assert limiter.try_start()
        first = asyncio.create_task(limiter.start())
        second = asyncio.create_task(limiter.start())
        await asyncio.sleep(0.5)
        limiter.done()
        first.cancel()
        await asyncio.sleep(0.001)
        assert first.cancelled()
        assert second.done()
        assert limiter.in_progress == 1
        limiter.done()
        assert limiter.in_progress == 0

    run_virtual(main)


def test_a_handed_on_turn_costs_no_second_slot_of_the_rate() -> None:
    """At one a second the next in line starts when the cancelled one would have, not a second later."""

    async def main() -> None:
        limiter = make(1.0, in_progress=1)
        assert limiter.try_start()
        first, second, third = (asyncio.create_task(limiter.start()) for _ in range(3))
        await asyncio.sleep(5)
        limiter.done()
        first.cancel()
        assert await second == pytest.approx(5.0, abs=0.01)
        limiter.done()
        assert await third == pytest.approx(6.0, abs=0.01)

    run_virtual(main)


def test_a_callback_cancelled_between_grant_and_call_is_not_called() -> None:
    """Turn.cancel() after the grant suppresses the call and gives the place back; after the call it does nothing."""

    async def main() -> None:
        limiter = make(in_progress=1)
        called: list[str] = []
        assert limiter.try_start()
        first = limiter.when_free(lambda: called.append("first"))
        second = limiter.when_free(lambda: called.append("second"))
        limiter.done()
        first.cancel()
        first.cancel()
        await asyncio.sleep(0.001)
        assert called == ["second"]
        second.cancel()
        assert limiter.in_progress == 1

    run_virtual(main)


def test_an_error_in_a_callback_reaches_the_loop_and_stops_nobody_else() -> None:
    """The loop's exception handler gets it; the next waiter is served."""

    async def main() -> tuple[list[str], list[str]]:
        limiter = make(100.0)
        seen: list[str] = []
        called: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: seen.append(str(told["exception"])))

        def bad() -> None:
            limiter.done()
            raise ValueError("mine")

        limiter.when_free(bad)
        limiter.when_free(lambda: called.append("next"))
        await asyncio.sleep(1)
        return seen, called

    assert run_virtual(main) == (["mine"], ["next"])


def test_anyio_scopes_cancel_waiters_cleanly() -> None:
    """A waiter under move_on_after leaves no trace, and a later one gets its turn."""

    async def main() -> None:
        limiter = make(0.1)
        assert limiter.try_start()
        limiter.done()
        with anyio.move_on_after(1) as scope:
            await limiter.start()
        assert scope.cancelled_caught
        assert (limiter.waiting, limiter.in_progress) == (0, 0)
        assert await limiter.start() == pytest.approx(9.01, abs=0.01)

    run_virtual(main)


def test_one_timer_for_all_waiters() -> None:
    """A thousand waiters set one timer between them."""

    async def main() -> int:
        limiter = make(10.0)
        for _ in range(1000):
            limiter.when_free(lambda: None)
        await asyncio.sleep(0.05)
        loop = asyncio.get_running_loop()
        return len([handle for handle in loop._scheduled if not handle.cancelled()])  # type: ignore[attr-defined]

    assert run_virtual(main) == 1


def test_cancelled_waiters_do_not_pile_up() -> None:
    """Ten thousand waiters that come and go behind one that stays leave a short queue."""

    async def main() -> int:
        limiter = make(in_progress=1)
        assert limiter.try_start()
        limiter.when_free(lambda: None)
        for _ in range(10_000):
            limiter.when_free(lambda: None).cancel()
        assert limiter.waiting == 1
        return sum(len(queue) for queue in limiter._queues)

    assert run_virtual(main) < 100


def abandoned(main: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run *main* on a virtual loop and close it with everything still pending."""
    loop = VirtualTimeLoop()
    loop.run_until_complete(main())
    loop.close()


def test_a_limiter_outlives_its_loop() -> None:
    """Waiters, places and the timer of a dead loop do not block the next one; the cool-down stays."""
    clock = VirtualClock()
    limiter = make(10.0, in_progress=2, clock=clock)

    async def first() -> None:
        await limiter.start()
        limiter.when_free(lambda: None)
        limiter.when_free(lambda: None)
        await asyncio.sleep(0.2)
        limiter.cool_down(5.0)

    async def second() -> float:
        waited = await limiter.start()
        assert limiter.in_progress == 1
        return waited

    abandoned(first)
    assert run_virtual(second) == pytest.approx(5.2, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 2),
            st.sampled_from([SUBMIT, CALL, POLL]),
            st.none() | st.floats(0, 1.5),
            st.floats(0, 0.3),
            st.booleans(),
        ),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from([None, 7.0, 100.0]),
    st.integers(1, 4),
)
def test_storms_of_cancels_never_lose_or_leak_a_turn(
    plan: list[tuple[float, int, float | None, float, bool]], per_second: float | None, places: int
) -> None:
    """Whatever is cancelled whenever: places and rate hold, all others are served, and nothing stays taken."""

    async def main() -> None:
        limiter = make(per_second, in_progress=places)
        loop = asyncio.get_running_loop()
        starts: list[float] = []
        served = 0

        async def call(at: float, priority: int, lasts: float) -> None:
            nonlocal served
            await asyncio.sleep(at)
            await limiter.start(priority)
            starts.append(loop.time())
            assert limiter.in_progress <= places
            try:
                await asyncio.sleep(lasts)
            finally:
                limiter.done()
            served += 1

        def by_callback(priority: int, lasts: float, give_up: float | None) -> None:
            def go() -> None:
                starts.append(loop.time())
                assert limiter.in_progress <= places
                loop.call_later(lasts, limiter.done)

            turn = limiter.when_free(go, priority)
            if give_up is not None:
                loop.call_later(give_up, turn.cancel)

        patient = 0
        tasks = []
        for at, priority, give_up, lasts, callback in plan:
            if callback:
                loop.call_later(at, by_callback, priority, lasts, give_up)
                continue
            task = asyncio.create_task(call(at, priority, lasts))
            tasks.append(task)
            if give_up is None:
                patient += 1
            else:
                loop.call_later(at + give_up, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(60)
        assert served >= patient
        assert (limiter.waiting, limiter.in_progress) == (0, 0)
        assert limiter.try_start()
        if per_second and starts:
            assert worst_second(starts) <= per_second

    run_virtual(main)


def test_a_claim_counts_and_needs_no_place() -> None:
    """A claimed start takes a slot of the rate, waits for no place, and moves the others back."""

    async def main() -> None:
        clock = VirtualClock()
        limiter = RequestLimiter(RateLimit(per_second=10), in_progress=1, clock=clock)
        assert limiter.try_start()  # the only place is taken
        first, second = limiter.claim(), limiter.claim()
        assert 0.09 < first < 0.12
        assert 0.19 < second < 0.23
        limiter.done()
        began = clock.monotonic()
        await limiter.start()
        assert 0.28 < clock.monotonic() - began < 0.35

    run_virtual(main)
