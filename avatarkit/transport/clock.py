"""Time as the client sees it, so that tests can bend it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """What the client asks about time. Must be called from code that runs on an event loop."""

    def monotonic(self) -> float:
        """Seconds that only ever grow; the zero is arbitrary."""
        ...

    def time(self) -> float:
        """Seconds since 1970 (UTC)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a negative number counts as zero."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Run *callback* on the loop after *seconds*."""
        ...


class SystemClock:
    """The machine's own clocks and the running loop's timers."""

    # The functions themselves: they are asked several times for each request.
    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        """``asyncio.sleep``."""
        await asyncio.sleep(max(0.0, seconds))

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """A timer of the running loop."""
        return asyncio.get_running_loop().call_later(max(0.0, seconds), callback)


SYSTEM_CLOCK = SystemClock()
