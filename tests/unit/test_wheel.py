"""The wheel: one timer for many."""

import asyncio
import random

from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.wheel import Wheel


def test_everything_falls_due_once_and_in_time() -> None:
    """Each entry is handed out once, never early, at most two ticks late, in the order of its time."""

    async def main() -> list[tuple[float, float]]:
        clock, due = VirtualClock(), []
        wheel: Wheel[float] = Wheel(clock, lambda items: due.extend((at, clock.monotonic()) for at in items))
        rng = random.Random(5)
        for _ in range(500):
            at = rng.uniform(0, 300)
            wheel.add(at - clock.monotonic(), at)
        await asyncio.sleep(400)
        assert len(wheel) == 0
        return due

    due = run_virtual(main)

    assert len(due) == 500
    for wanted, got in due:
        assert wanted <= got <= wanted + 0.041
    assert [int(at * 50) for at, _ in due] == sorted(int(at * 50) for at, _ in due)


def test_earlier_entry_moves_the_timer() -> None:
    """An entry that is due before the one the timer was set for is not late, and there is one timer."""

    async def main() -> list[str]:
        clock, due = VirtualClock(), []
        wheel: Wheel[str] = Wheel(clock, due.extend)
        wheel.add(100, "late")
        wheel.add(1, "soon")
        await asyncio.sleep(2)
        assert due == ["soon"]
        await asyncio.sleep(100)
        return due

    assert run_virtual(main) == ["soon", "late"]


def test_closing_forgets() -> None:
    """After ``close`` nothing falls due."""

    async def main() -> list[str]:
        due: list[str] = []
        wheel: Wheel[str] = Wheel(VirtualClock(), due.extend)
        wheel.add(1, "x")
        wheel.close()
        await asyncio.sleep(5)
        return due

    assert run_virtual(main) == []


def test_adding_from_inside() -> None:
    """What is added while entries fall due is not lost, also when it is due at once."""

    async def main() -> int:
        seen = 0
        clock = VirtualClock()

        def due(items: list[int]) -> None:
            nonlocal seen
            seen += len(items)
            for item in items:
                if item:
                    wheel.add(0.0, item - 1)

        wheel: Wheel[int] = Wheel(clock, due)
        wheel.add(0.0, 10)
        await asyncio.sleep(5)
        return seen

    assert run_virtual(main) == 11
