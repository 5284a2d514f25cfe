"""Async iterators and context managers driven over the bridge, one step at a time."""

from __future__ import annotations

import asyncio
import dis
import queue
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bridge_ground import answer, bridge_threads, count, here, opened

from avatarkit._bridge import Lease
from avatarkit.errors import ClientClosed


def test_iterate_gives_every_item(lease: Lease) -> None:
    """The items come in order; an empty iterator gives none; None is an item like any other."""

    async def nones() -> AsyncIterator[None]:
        yield None
        yield None

    assert list(lease.iterate(count, 4)) == [0, 1, 2, 3]
    assert list(lease.iterate(count, 0)) == []
    assert list(lease.iterate(nones)) == [None, None]


def test_an_iterator_lives_in_one_task(lease: Lease) -> None:
    """Every step runs in the same task, so a task group or a time-out across items is legal."""

    async def steps() -> AsyncIterator[asyncio.Task[Any] | None]:
        async with asyncio.timeout(60), asyncio.TaskGroup():
            for _ in range(3):
                yield asyncio.current_task()

    assert len(set(lease.iterate(steps))) == 1


def test_an_iterator_runs_no_further_than_its_caller(lease: Lease) -> None:
    """Back-pressure: the next item is made when it is asked for, not before; nothing starts before the first."""
    made: list[int] = []

    async def items() -> AsyncIterator[int]:
        for i in range(5):
            made.append(i)
            yield i

    iterator = lease.iterate(items)
    lease.run(answer)
    assert made == []
    assert next(iterator) == 0
    lease.run(answer)
    assert made == [0]
    iterator.close()


def test_leaving_early_closes_the_async_iterator(lease: Lease) -> None:
    """`break` runs the async generator's clean-up to its end before the loop statement is left."""
    order: list[str] = []

    async def items() -> AsyncIterator[int]:
        try:
            for i in range(5):
                yield i
        finally:
            await asyncio.sleep(0)
            order.append("clean-up")

    for item in lease.iterate(items):
        if item == 1:
            break
    order.append("after")
    assert order == ["clean-up", "after"]


def test_an_iterator_that_fails_fails_in_the_loop_statement(lease: Lease) -> None:
    """Items before the error arrive, then the error; callbacks work in between."""
    seen: list[str] = []

    async def items(progress: Any) -> AsyncIterator[int]:
        progress("one")
        yield 1
        raise ValueError("broken")

    iterator = lease.iterate(items, lease.callback(seen.append))
    assert next(iterator) == 1
    with pytest.raises(ValueError, match="broken"):
        next(iterator)
    assert seen == ["one"]


def test_an_interrupt_at_the_end_of_a_round_is_seen_too() -> None:
    """Python checks for Ctrl-C where a loop jumps back; compilers put that jump outside the `try` for some loops."""
    code = dis.Bytecode(Lease.iterate)
    jumps = [i.offset for i in code if i.opname == "JUMP_BACKWARD"]
    guarded = [(e.start, e.end) for e in code.exception_entries]  # type: ignore[attr-defined]
    assert jumps
    assert all(any(start <= jump < end for start, end in guarded) for jump in jumps)


def test_an_iterator_without_aclose_works(lease: Lease) -> None:
    """Any async iterable will do, a class with ``__anext__`` too."""

    class Numbers:
        def __init__(self) -> None:
            self.n = 0

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> int:
            self.n += 1
            if self.n > 2:
                raise StopAsyncIteration
            return self.n

    assert list(lease.iterate(Numbers)) == [1, 2]


def test_an_iterator_collected_on_the_loops_thread_does_not_dead_lock(lease: Lease) -> None:
    """A forgotten iterator may be finalised by the loop's own thread: it is closed without waiting."""
    closed: queue.SimpleQueue[int] = queue.SimpleQueue()

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.put(threading.get_ident())

    box = [lease.iterate(items)]
    assert next(box[0]) == 1

    async def drop() -> None:
        box.clear()

    lease.run(drop)
    assert closed.get(timeout=10) == lease.run(here)


def test_an_iterator_ends_when_the_client_is_closed() -> None:
    """`close` between two items ends the async generator; asking for more raises ClientClosed."""
    lease = Lease()
    iterator = lease.iterate(count, 5)
    next(iterator)
    lease.close()
    with pytest.raises(ClientClosed):
        next(iterator)
    assert bridge_threads() == []


def test_a_context_manager_is_entered_and_left_in_one_task(lease: Lease) -> None:
    """The value comes out, and both ends run in the same task."""
    order: list[Any] = []
    with lease.enter(opened, order) as value:
        assert value == "value"
        assert len(order) == 1
        assert lease.run(answer) == 42
    assert len(order) == 2
    assert order[0] is order[1]


def test_an_error_in_the_block_passes_through_the_manager(lease: Lease) -> None:
    """The manager sees the very exception; unless it swallows it, the block raises it, traceback intact."""
    order: list[Any] = []
    error = ValueError("in the block")
    with pytest.raises(ValueError) as caught, lease.enter(opened, order):
        raise error
    assert caught.value is error
    assert order[1] is error
    assert all("avatarkit" not in str(entry.path) for entry in caught.traceback)
    with lease.enter(opened, [], swallow=True):
        raise ValueError


@pytest.mark.parametrize("error", [StopIteration, GeneratorExit, KeyboardInterrupt, asyncio.CancelledError])
def test_any_exception_may_leave_the_block(lease: Lease, error: type[BaseException]) -> None:
    """Exceptions with a meaning for coroutines and generators leave the block as they are."""
    order: list[Any] = []
    with pytest.raises(error), lease.enter(opened, order):
        raise error
    assert len(order) == 2


def test_a_manager_may_raise_another_error(lease: Lease) -> None:
    """An error the manager raises, on entering or on leaving, replaces that of the block."""

    @asynccontextmanager
    async def translate() -> AsyncIterator[None]:
        try:
            yield
        except ValueError as exc:
            raise LookupError("translated") from exc

    @asynccontextmanager
    async def refuse() -> AsyncIterator[None]:
        raise OSError("cannot open")
        yield

    with pytest.raises(LookupError, match="translated"), lease.enter(translate):
        raise ValueError
    with pytest.raises(OSError, match="cannot open"), lease.enter(refuse):
        pass


def test_a_block_collected_on_the_loops_thread_does_not_dead_lock(lease: Lease) -> None:
    """An entered manager that is forgotten, and finalised by the loop's own thread, is left without waiting."""
    left: queue.SimpleQueue[int] = queue.SimpleQueue()

    @asynccontextmanager
    async def manager() -> AsyncIterator[None]:
        try:
            yield
        finally:
            left.put(threading.get_ident())

    box = [lease.enter(manager)]
    box[0].__enter__()

    async def drop() -> None:
        box.clear()

    lease.run(drop)
    assert left.get(timeout=10) == lease.run(here)


def test_closing_the_client_inside_the_block_leaves_the_manager() -> None:
    """`close` inside the block leaves the context manager first; the block's end raises ClientClosed."""
    lease = Lease()
    order: list[Any] = []
    manager = lease.enter(opened, order)
    manager.__enter__()
    lease.close()
    assert len(order) == 2
    with pytest.raises(ClientClosed):
        manager.__exit__(None, None, None)
