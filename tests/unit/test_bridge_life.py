"""The life of the bridge: when it begins, when it ends, and what its end does to those who use it."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
import warnings
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bridge_ground import Client, answer, bridge_threads, count, here, opened

from avatarkit._bridge import Lease, shutdown, use_loop_factory
from avatarkit.errors import BridgeError, ClientClosed


def test_nothing_starts_before_the_first_call() -> None:
    """A lease alone starts no thread, so a client may be made at import time."""
    lease = Lease()
    assert bridge_threads() == []
    lease.run(answer)
    assert len(bridge_threads()) == 1
    lease.close()


def test_clients_share_one_bridge_and_the_last_one_ends_it() -> None:
    """Two leases use one thread; it ends with the second close, not the first."""
    first, second = Lease(), Lease()
    assert first.run(here) == second.run(here)
    first.close()
    assert second.run(answer) == 42
    second.close()
    assert bridge_threads() == []


def test_a_new_bridge_follows_the_old_one() -> None:
    """After the last close a new client works."""
    for _ in range(3):
        lease = Lease()
        assert lease.run(answer) == 42
        lease.close()


def test_close_runs_the_closer_once_and_calls_are_refused_after_it() -> None:
    """`close` awaits the closer on the loop, once; a later call raises ClientClosed."""
    client = Client()
    lease = Lease(client.aclose)
    lease.run(answer)
    lease.close()
    lease.close()
    assert client.closed == 1
    assert lease.closed
    with pytest.raises(ClientClosed):
        lease.run(answer)
    with pytest.raises(ClientClosed):
        next(lease.iterate(count, 1))
    with pytest.raises(ClientClosed), lease.enter(opened, []):
        pass


def test_a_client_never_used_is_closed_all_the_same() -> None:
    """`close` before the first call runs the closer too, so that the async client knows."""
    client = Client()
    Lease(client.aclose).close()
    assert client.closed == 1
    assert bridge_threads() == []


def test_a_closer_that_fails_still_gives_the_bridge_up() -> None:
    """The closer's error reaches the caller of `close`; the loop ends nevertheless."""

    async def fail() -> None:
        raise OSError("cannot close")

    lease = Lease(fail)
    lease.run(answer)
    with pytest.raises(OSError, match="cannot close"):
        lease.close()
    assert bridge_threads() == []


def test_close_ends_the_calls_of_other_threads_first() -> None:
    """A thread in a call gets ClientClosed, after its coroutine's clean-up and before the closer."""
    order: list[str] = []
    started: queue.SimpleQueue[None] = queue.SimpleQueue()
    errors: list[BaseException] = []

    async def wait_long() -> None:
        started.put(None)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order.append("clean-up")

    async def closer() -> None:
        order.append("closer")

    lease = Lease(closer)

    def work() -> None:
        try:
            lease.run(wait_long)
        except BaseException as exc:  # noqa: BLE001
            errors.append(exc)

    thread = threading.Thread(target=work)
    thread.start()
    started.get()
    lease.close()
    thread.join()
    assert order == ["clean-up", "closer"]
    assert [type(e) for e in errors] == [ClientClosed]


def test_close_leaves_the_calls_of_other_clients_alone(lease: Lease) -> None:
    """Closing one client does not touch a call another client has under way."""
    other = Lease()
    go: queue.SimpleQueue[asyncio.Event] = queue.SimpleQueue()
    results: list[int] = []

    async def wait() -> int:
        event = asyncio.Event()
        go.put(event)
        await event.wait()
        return 1

    async def fire(event: asyncio.Event) -> None:
        event.set()

    thread = threading.Thread(target=lambda: results.append(lease.run(wait)))
    thread.start()
    event = go.get()
    other.run(answer)
    other.close()
    lease.run(fire, event)
    thread.join()
    assert results == [1]


def test_closing_from_a_callback_ends_the_own_call() -> None:
    """A progress function may close the client: its call ends with ClientClosed, nothing hangs."""
    lease = Lease()

    async def work(progress: Any) -> None:
        progress()
        await asyncio.Event().wait()

    with pytest.raises(ClientClosed):
        lease.run(work, lease.callback(lease.close))
    assert bridge_threads() == []


def test_a_forgotten_client_is_closed() -> None:
    """When nobody holds the lease any more the closer runs, without anybody waiting for it."""
    closed: queue.SimpleQueue[int] = queue.SimpleQueue()

    async def closer() -> None:
        closed.put(threading.get_ident())

    lease = Lease(closer)
    ident = lease.run(here)
    del lease
    gc.collect()
    assert closed.get(timeout=10) == ident
    shutdown()
    assert bridge_threads() == []


def test_shutdown_closes_what_is_open_and_ends_the_loop() -> None:
    """`shutdown` runs every closer; those clients refuse calls, new ones get a new loop."""
    clients = [Client(), Client()]
    leases = [Lease(client.aclose) for client in clients]
    for lease in leases:
        lease.run(answer)
    shutdown()
    assert [client.closed for client in clients] == [1, 1]
    assert bridge_threads() == []
    with pytest.raises(ClientClosed):
        leases[0].run(answer)
    leases[0].close()  # nothing left to do, and no error
    assert clients[0].closed == 1
    again = Lease()
    assert again.run(answer) == 42
    again.close()


def test_shutdown_waits_no_longer_than_the_grace() -> None:
    """A closer that never ends is cancelled when the grace is over."""
    seen: list[str] = []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    lease = Lease(never)
    lease.run(answer)
    shutdown(grace=0.01)
    lease.close()
    for thread in bridge_threads():
        thread.join(10)
    assert seen == ["cancelled"]


def test_the_loop_comes_from_the_factory() -> None:
    """`use_loop_factory` decides what the next loop is; None restores asyncio's own."""
    made: list[asyncio.AbstractEventLoop] = []

    def factory() -> asyncio.AbstractEventLoop:
        made.append(asyncio.new_event_loop())
        return made[-1]

    async def running() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    use_loop_factory(factory)
    try:
        lease = Lease()
        assert lease.run(running) is made[0]
        lease.close()
    finally:
        use_loop_factory(None)
    other = Lease()
    assert other.run(running) is not made[0]
    other.close()
    assert made[0].is_closed()
    assert len(made) == 1


def test_a_factory_that_fails_is_an_error_not_a_hang() -> None:
    """The first call raises BridgeError with the factory's error as its cause; the next may work."""

    def factory() -> asyncio.AbstractEventLoop:
        raise OSError("no descriptors left")

    use_loop_factory(factory)
    lease = Lease()
    try:
        with pytest.raises(BridgeError, match="cannot be made") as caught:
            lease.run(answer)
    finally:
        use_loop_factory(None)
    assert isinstance(caught.value.__cause__, OSError)
    assert lease.run(answer) == 42
    lease.close()


def test_tasks_and_generators_left_behind_are_closed_at_the_end() -> None:
    """A background task is cancelled and an unfinished async generator closed when the loop ends."""
    order: list[str] = []
    kept: list[Any] = []

    async def background() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("task")

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            order.append("generator")

    async def start() -> None:
        kept.append(asyncio.create_task(background()))
        kept.append(items())
        await anext(kept[1])

    lease = Lease()
    lease.run(start)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lease.close()
        kept.clear()
        gc.collect()
    assert sorted(order) == ["generator", "task"]
    assert [str(w.message) for w in caught] == []
