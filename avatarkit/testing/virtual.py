"""Virtual time: an event loop whose clock jumps to the next timer as soon as nothing else is left to do.

Sockets stay real, so a client and an in-process sandbox can live an hour of polling in milliseconds. Without sockets,
as with a sandbox's ``wire()``, the clock jumps at once. Work in threads holds the clock when it was started with
``run_in_executor`` or ``asyncio.to_thread``; what waits for other threads has to :meth:`VirtualTimeLoop.hold` it.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable
from typing import Any

# Loopback data is nearly always readable at once; this much real time is given to it before the clock jumps.
_GRACE = 0.002
_EPOCH = 1_790_000_000.0


class _Here(threading.local):
    """The virtual loop that runs in this thread: asyncio's own answer costs a system call each time."""

    loop: VirtualTimeLoop | None = None


_here = _Here()


def _time() -> float:
    return asyncio.get_running_loop().time()


class _JumpingSelector(selectors.DefaultSelector):
    """Looks without waiting; when nothing is ready, moves the loop's clock instead of sleeping."""

    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        """Ready sockets, or none after the clock jumped by *timeout*."""
        sockets = len(self.get_map()) > 1  # the loop's own wake-up pipe is one
        if timeout == 0 and not sockets:
            return []  # what a thread had to say is among what is ready
        if timeout is not None and timeout != 0 and self.loop.jobs:
            return super().select(0.05)
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            return super().select(None)
        if sockets:  # only they can still be on their way
            events = super().select(_GRACE)
        if not events and not self.loop.jobs:
            before = self.loop.time()
            self.loop.advance(timeout)
            if self.loop.time() == before:  # a loop that does not let time pass now must not spin either
                return super().select(_GRACE)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop in virtual time. Work in its thread pool holds the clock."""

    def __init__(self) -> None:
        self.now = 0.0  # what time() says, for those who ask often
        self.jobs = 0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.now

    def run_forever(self) -> None:
        """As asyncio's."""
        outer, _here.loop = _here.loop, self
        try:
            super().run_forever()
        finally:
            _here.loop = outer

    def advance(self, seconds: float) -> None:
        """Move the clock; timers that are due fire on the loop's next turn."""
        # A hair more, so that rounding never leaves the timer just short of due.
        self.now += seconds + 1e-9

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """As asyncio's, and the clock stands still while the job runs."""
        future = super().run_in_executor(executor, func, *args)
        self.hold(future)
        return future

    def hold(self, future: asyncio.Future[Any]) -> None:
        """Let the clock stand still until *future* is done: what it waits for takes real time."""
        self.jobs += 1
        future.add_done_callback(self._job_done)

    def _job_done(self, _: object) -> None:
        self.jobs -= 1


class VirtualClock:
    """A clock for clients and sandboxes that run on a :class:`VirtualTimeLoop`."""

    def monotonic(self) -> float:
        """The running loop's virtual seconds."""
        loop = _here.loop
        return _time() if loop is None else loop.now

    def time(self) -> float:
        """A fixed day in 2026 plus the running loop's virtual seconds."""
        loop = _here.loop
        return _EPOCH + (_time() if loop is None else loop.now)

    async def sleep(self, seconds: float) -> None:
        """``asyncio.sleep`` on the virtual loop."""
        await asyncio.sleep(max(0.0, seconds))

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """A timer of the running loop."""
        return asyncio.get_running_loop().call_later(max(0.0, seconds), callback)


def run_virtual(main: Callable[[], Any]) -> Any:
    """Run ``main()`` (an async function) to its end on a fresh virtual-time loop."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())
