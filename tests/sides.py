"""Two ways to use avatarkit behind one face, so that each behaviour is written down once.

:class:`BlockingSide` uses the blocking classes on their bridge. :class:`AsyncSide` drives the async classes on a loop
of its own and makes their methods look blocking, without any of the bridge's code. On both, client and sandbox live on
one loop in virtual time, behind real sockets; time passes only while a call is under way.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import avatarkit
from avatarkit import _bridge, providers
from avatarkit._bridge.call import Call, current
from avatarkit._bridge.lease import Lease
from avatarkit.client import AsyncClient, AsyncResource
from avatarkit.testing import VirtualClock, VirtualTimeLoop

EPOCH = 1_790_000_000.0


class _CalmLoop(VirtualTimeLoop):
    """A virtual-time loop whose clock stands still while no blocking call is under way."""

    bridge: Any = None

    def advance(self, seconds: float) -> None:
        if self.bridge is None or any(map(_waits, tuple(self.bridge.calls))):
            super().advance(seconds)


def _waits(call: Call) -> bool:
    """Whether the caller waits for the loop, and not the loop for the caller."""
    thinking = call.turn is not None and not call.turn.done()
    return call.begun and not call.done and not thinking and not call.questions


class SideClock(VirtualClock):
    """The virtual time of one side's loop, readable from any thread."""

    loop: VirtualTimeLoop

    def monotonic(self) -> float:
        return self.loop.time()

    def time(self) -> float:
        return EPOCH + self.loop.time()


class Side:
    """What tests use of both sides."""

    name: str

    def __init__(self) -> None:
        self.clock = SideClock()

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run a coroutine function on the loop."""
        raise NotImplementedError

    def inside(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a plain function on the loop."""

        async def call() -> Any:
            return function(*args)

        return self.run(call)

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.run(asyncio.sleep, seconds)

    def now(self) -> float:
        """Virtual seconds since the loop began."""
        return self.clock.monotonic()

    def client(self, provider: str, *credentials: str, **options: Any) -> Any:
        raise NotImplementedError

    def sandbox(self, **options: Any) -> Any:
        raise NotImplementedError

    def together(self, *calls: partial[Any]) -> list[Any]:
        """Make calls at the same time; results and errors in their order."""
        raise NotImplementedError

    def cut_off(
        self, call: partial[Any], when: Callable[[], bool], step: float = 0.001
    ) -> BaseException | Any:
        """Start a call and cancel it as soon as *when*, asked every *step* seconds, says so; what it ended with."""
        raise NotImplementedError

    def original(self, value: Any) -> Any:
        """The async object behind one of this side."""
        raise NotImplementedError

    def close(self) -> list[str]:
        """End the loop; names of tasks that were left on it."""
        raise NotImplementedError


# -- blocking ------------------------------------------------------------------------------------------------------


class BlockingSide(Side):
    """The generated classes on the bridge."""

    name = "blocking"

    def __init__(self) -> None:
        super().__init__()
        _bridge.shutdown()
        _bridge.use_loop_factory(self._make_loop)
        self._lease = Lease()  # keeps the loop alive while clients come and go
        self._lease.run(asyncio.sleep, 0)
        tenant = self._lease._tenant
        assert tenant is not None
        self._bridge = tenant.bridge
        self._loop.bridge = tenant.bridge

    def _make_loop(self) -> asyncio.AbstractEventLoop:
        self._loop = self.clock.loop = _CalmLoop()
        return self._loop

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        return self._lease.run(function, *args)

    def client(self, provider: str, *credentials: str, **options: Any) -> Any:
        # Where it is generated, not where it is exported: a new folder is tried before anybody exports it.
        original = providers.client_class(provider)
        module = importlib.import_module(original.__module__.replace("avatarkit.", "avatarkit._sync.", 1))
        twin = getattr(module, original.__name__.removeprefix("Async"))
        return twin(*credentials, clock=self.clock, **options)

    def sandbox(self, **options: Any) -> Any:
        return avatarkit.Sandbox(clock=self.clock, **options)

    def together(self, *calls: partial[Any]) -> list[Any]:
        results: list[Any] = [None] * len(calls)
        threads = [
            threading.Thread(target=_keep, args=(results, index, call)) for index, call in enumerate(calls)
        ]
        self._lease.run(_Held(self._bridge, threads).start)
        for thread in threads:
            thread.join()
        return results

    def cut_off(
        self, call: partial[Any], when: Callable[[], bool], step: float = 0.001
    ) -> BaseException | Any:
        results: list[Any] = [None]
        thread = threading.Thread(target=_keep, args=(results, 0, call))

        async def cut() -> None:
            mine = set(self._bridge.calls)
            thread.start()
            while not (others := self._bridge.calls - mine) and thread.is_alive():
                await asyncio.sleep(0)
            while not when() and thread.is_alive():
                await asyncio.sleep(step)
            for other in others:
                other.abort()  # what Ctrl-C in the calling thread comes down to

        self._lease.run(cut)
        thread.join()
        return results[0]

    def original(self, value: Any) -> Any:
        return _bridge.unwrap(value)

    def close(self) -> list[str]:
        async def rest() -> list[str]:
            for _ in range(10):
                await asyncio.sleep(0)
            mine = {call.task for call in self._bridge.calls}
            stop = [task for task in asyncio.all_tasks() if "_until_stopped" in repr(task)]
            return [repr(task) for task in asyncio.all_tasks() - mine - set(stop)]

        left: list[str] = self._lease.run(rest)
        self._lease.close()
        _bridge.shutdown()
        _bridge.use_loop_factory(None)
        return left


class _Held:
    """Starts threads and waits, without letting time pass, until each has its call on the loop or has ended."""

    def __init__(self, bridge: Any, threads: list[threading.Thread]) -> None:
        self._bridge = bridge
        self._threads = threads

    async def start(self) -> None:
        mine = current.get()
        for thread in self._threads:
            thread.start()  # from here, for time must not run off before the last call is on the loop
        while True:
            begun = sum(call.begun for call in tuple(self._bridge.calls) if call is not mine)
            ended = sum(not thread.is_alive() for thread in self._threads)
            if begun + ended >= len(self._threads):
                return
            await asyncio.sleep(0)


def _keep(results: list[Any], index: int, call: partial[Any]) -> None:
    try:
        results[index] = call()
    except BaseException as error:  # noqa: BLE001 - also what ends a thread
        results[index] = error


# -- async ---------------------------------------------------------------------------------------------------------


class AsyncSide(Side):
    """The async classes on an ``asyncio.Runner``."""

    name = "async"

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner(loop_factory=self._make_loop)
        self._runner.get_loop()

    def _make_loop(self) -> asyncio.AbstractEventLoop:
        self.clock.loop = VirtualTimeLoop()
        return self.clock.loop

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        async def main() -> Any:
            return await function(*args)

        return self._runner.run(main())

    def client(self, provider: str, *credentials: str, **options: Any) -> Any:
        return Plain(self, providers.client_class(provider)(*credentials, clock=self.clock, **options))

    def sandbox(self, **options: Any) -> Any:
        return Plain(self, avatarkit.AsyncSandbox(clock=self.clock, **options))

    def together(self, *calls: partial[Any]) -> list[Any]:
        async def main() -> list[Any]:
            return await asyncio.gather(*(call.func.start(call) for call in calls), return_exceptions=True)  # type: ignore[attr-defined]

        return [self.wrap(result) for result in self.run(main)]

    def cut_off(
        self, call: partial[Any], when: Callable[[], bool], step: float = 0.001
    ) -> BaseException | Any:
        async def main() -> Any:
            task = asyncio.ensure_future(call.func.start(call))  # type: ignore[attr-defined]
            await asyncio.sleep(0)
            while not when() and not task.done():
                await asyncio.sleep(step)
            task.cancel()
            return (await asyncio.gather(task, return_exceptions=True))[0]

        return self.wrap(self.run(main))

    def original(self, value: Any) -> Any:
        return value.__dict__["_original"] if isinstance(value, Plain) else value

    def close(self) -> list[str]:
        async def rest() -> list[str]:
            for _ in range(10):
                await asyncio.sleep(0)
            return [repr(task) for task in asyncio.all_tasks() - {asyncio.current_task()}]

        left: list[str] = self.run(rest)
        self._runner.close()
        return left

    def wrap(self, value: Any) -> Any:
        if type(value) in (tuple, list):
            return type(value)(self.wrap(item) for item in value)
        kind = type(value)
        ours = kind.__module__.startswith("avatarkit") or isinstance(value, AsyncClient | AsyncResource)
        if ours and kind.__name__.startswith("Async"):
            return Plain(self, value)
        return _Method(self, value) if inspect.ismethod(value) else value


class Plain:
    """An async object that looks blocking."""

    def __init__(self, side: AsyncSide, original: Any) -> None:
        self.__dict__.update(_side=side, _original=original)

    def __getattr__(self, name: str) -> Any:
        if name == "close":
            name = "aclose"
        return self._side.wrap(getattr(self._original, name))

    def __enter__(self) -> Any:
        return self._side.wrap(self._side.run(self._original.__aenter__))

    def __exit__(self, *error: Any) -> Any:
        return self._side.run(self._original.__aexit__, *error)

    def __eq__(self, other: object) -> bool:
        return bool(self._original == self._side.original(other))

    def __hash__(self) -> int:
        return hash(self._original)

    def __repr__(self) -> str:
        return repr(self._original)


class _Method:
    """A bound method of an async object, callable from outside the loop."""

    def __init__(self, side: AsyncSide, method: Any) -> None:
        self._side = side
        self._method = method

    def _plain(self, args: Any, named: Any) -> Any:
        plain = self._side.original
        return self._method(*map(plain, args), **{name: plain(value) for name, value in named.items()})

    async def start(self, call: partial[Any]) -> Any:
        """For several calls at once: the coroutine of *call*, which is a partial of this method."""
        result = self._plain(call.args, call.keywords)
        return await result if inspect.isawaitable(result) else result

    def __call__(self, *args: Any, **named: Any) -> Any:
        if inspect.isasyncgenfunction(self._method):
            return self._iterate(self._plain(args, named))

        async def call() -> Any:
            result = self._plain(args, named)
            return await result if inspect.isawaitable(result) else result

        return self._side.wrap(self._side.run(call))

    def _iterate(self, items: Any) -> Iterator[Any]:
        """The items of an async generator, each pulled when it is asked for, all in one host task."""
        loop = self._side.clock.loop
        asked: asyncio.Queue[bool] = asyncio.Queue()
        given: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

        async def host() -> None:
            try:
                while await asked.get():
                    given.put_nowait(("item", await anext(items)))
            except StopAsyncIteration:
                given.put_nowait(("end", None))
            except Exception as error:  # noqa: BLE001 - raised where the item was asked for
                given.put_nowait(("error", error))
            finally:
                await items.aclose()

        task = loop.create_task(host())
        try:
            while True:
                asked.put_nowait(True)
                what, value = self._side.run(given.get)
                if what == "error":
                    raise value
                if what == "end":
                    return
                yield self._side.wrap(value)
        finally:
            asked.put_nowait(False)
            self._side.run(asyncio.wait, [task])


SIDES = {side.name: side for side in (AsyncSide, BlockingSide)}
