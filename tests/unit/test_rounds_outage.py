"""Rounds of looks while the provider is away: a page that cannot be read makes nobody ask faster."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import attrs
import pytest

from avatarkit.errors import ProviderError, TransportError
from avatarkit.protocol.endpoint import Batch, BatchPage
from avatarkit.testing import run_virtual
from avatarkit.transport.rounds import Rounds

TASKS, SIZE = 100, 20
AWAY = TransportError("down")
BUSY = ProviderError("down", provider="x", endpoint="list", code="1", http_status=503, retry_after=120.0)


@attrs.define(eq=False)
class Task:
    """A record that never ends."""

    task_id: str
    born: float = 0.0
    scheduled: bool = True


class House:
    """A hub, its driver, limiter and clock, as rounds see them; *error* is what every list answers."""

    def __init__(self) -> None:
        self.driver = self.renewal = self.limiter = self.clock = self
        self.error: Exception | None = None
        self.asked: list[tuple[float, int]] = []

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def turn(self, endpoint: object, priority: int) -> None:
        """At once."""

    def done(self) -> None:
        """Nothing to give back."""

    def cool_down(self, seconds: float) -> None:
        """Nobody else asks."""

    def cures(self, error: object, *, since: float) -> bool:
        return False

    async def send(self, request: Any, *, attempt: int) -> BatchPage:
        self.asked.append((self.monotonic(), len(request.ids)))
        if self.error is not None:
            raise self.error
        shown = range((request.number - 1) * SIZE, min(TASKS, request.number * SIZE))
        found: Any = {f"t{number}": "running" for number in shown}
        return BatchPage(found=found, more=request.number * SIZE < TASKS)

    def at(self, delay: float, rounds: Rounds) -> None:
        asyncio.get_running_loop().call_later(max(0.02, delay + 0.02), rounds.fall_due)

    def wanted(self, record: object) -> bool:
        return True

    def delay(self, record: object, now: float) -> float:
        return 60.0 if self.error is not None else 10.0  # patience grows in an outage

    def settle(self, record: object, snapshot: object, now: float) -> bool:
        return False

    def look_singly(self, record: object, delay: float) -> None:
        """Somebody else's work."""


@attrs.frozen
class Asking:
    """A page of the list."""

    ids: tuple[str, ...]
    number: int
    endpoint: Any = attrs.field(factory=lambda: type("Endpoint", (), {"name": "list"})())

    def read(self, answer: BatchPage) -> BatchPage:
        return answer


@pytest.mark.parametrize("error", [AWAY, BUSY])
def test_a_page_that_cannot_be_read_is_not_asked_for_at_once_again(error: Exception) -> None:
    """Two minutes of outage see a handful of requests, each for all that wait; before it there were dozens."""

    async def main() -> None:
        house: Any = House()
        rounds = Rounds(house, None, Batch(request=lambda ids, n: Asking(tuple(ids), n), pages=10))  # type: ignore[arg-type]
        for number in range(TASKS):
            rounds.add(Task(f"t{number}"), delay=5.0 + number * 0.01)  # type: ignore[arg-type]
        await asyncio.sleep(60)
        assert len(house.asked) > 20
        assert {ids for _, ids in house.asked[5:]} == {TASKS}  # a second page is asked for like the first
        house.error, before = error, len(house.asked)
        await asyncio.sleep(110)
        assert 1 <= len(house.asked) - before <= 4
        house.error = None
        await asyncio.sleep(60)
        assert len(house.asked) - before > 10
        assert math.isfinite(rounds._armed)
        await rounds.aclose()

    run_virtual(main)
