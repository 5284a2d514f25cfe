"""File work in threads: what comes back, when threads begin and end, and what many loops and forks do to them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from avatarkit.testing import VirtualTimeLoop, run_virtual
from avatarkit.transport import threads
from avatarkit.transport.threads import in_a_thread, in_file_thread, in_thread


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> threads._Threads:
    """Threads of this test's own, two at most."""
    mine = threads._Threads(most=2, idle=0.02)
    monkeypatch.setattr(threads, "_threads", mine)
    return mine


def boom(error: BaseException) -> None:
    raise error


@pytest.mark.asyncio
async def test_what_a_function_returns_and_raises_comes_back() -> None:
    """Values and exceptions reach who waits; StopIteration, which no future takes, as a RuntimeError."""
    assert await in_thread(divmod, 7, 2) == (3, 1)
    assert await in_thread(threading.get_ident) != threading.get_ident()
    with pytest.raises(KeyError, match="gone"):
        await in_thread(boom, KeyError("gone"))
    with pytest.raises(SystemExit):
        await in_a_thread(boom, SystemExit(3))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await in_thread(next, iter(()))


@pytest.mark.asyncio
async def test_what_comes_back_together_shares_a_wake_up(
    own: threads._Threads, wake_ups: list[object]
) -> None:
    """Twenty results that are there when the loop looks again cost one call of the loop, not twenty."""
    futures = [in_a_thread(int, str(number)) for number in range(20)]
    while own._called or own._works or own._idle < own._count:  # the loop stands still until all is done
        time.sleep(0.001)
    assert await asyncio.gather(*futures) == list(range(20))
    assert len(wake_ups) == 1


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> threads._Threads:
    """Threads for short work, of this test's own, two at most."""
    mine = threads._Threads(most=2, idle=0.02, together=True)
    monkeypatch.setattr(threads, "_files", mine)
    return mine


@pytest_asyncio.fixture
async def wake_ups() -> AsyncIterator[list[object]]:
    """Calls of the running loop from other threads."""
    loop = asyncio.get_running_loop()
    calls: list[object] = []
    original = loop.call_soon_threadsafe

    def counted(callback: Any, *args: Any, **more: Any) -> Any:
        calls.append(callback)
        return original(callback, *args, **more)

    loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
    yield calls
    del loop.call_soon_threadsafe  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_short_work_shares_a_thread_and_the_way_back(
    files: threads._Threads, wake_ups: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What tasks begin in one turn of the loop, or in the next two, is done by one thread and told by one call."""
    monkeypatch.setattr(threads, "_SLOW", 60.0)

    async def one(turns: int) -> int:
        for _ in range(turns):
            await asyncio.sleep(0)
        return int(await in_file_thread(threading.get_ident))

    found = await asyncio.gather(*(one(turns) for turns in (0, 0, 0, 1, 1, 2)))
    assert len(set(found)) == 1
    assert len(wake_ups) == 1
    with pytest.raises(KeyError, match="gone"):
        await in_file_thread(boom, KeyError("gone"))


@pytest.mark.asyncio
async def test_short_work_that_hangs_holds_nothing_up(
    files: threads._Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done before it in its thread is told all the same, and what waits behind it gets another thread."""
    monkeypatch.setattr(threads, "_WATCH", 0.01)
    gate = threading.Event()
    first, held, last = (in_file_thread(*each) for each in ((len, "a"), (gate.wait,), (len, "abc")))
    assert await asyncio.wait_for(first, 5) == 1
    assert await asyncio.wait_for(last, 5) == 3
    assert not held.done()
    gate.set()
    assert await held is True


def test_an_interrupt_while_a_thread_begins(files: threads._Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C in that very moment comes out of the loop; the work is done when the loop goes on."""
    original, left = threading.Thread.start, [KeyboardInterrupt]

    def start(thread: threading.Thread) -> None:
        if left and thread.name.startswith("avatarkit"):
            raise left.pop()
        original(thread)

    async def work() -> int:
        return int(await in_file_thread(len, "abc"))

    monkeypatch.setattr(threads, "_WATCH", 0.01)
    monkeypatch.setattr(threading.Thread, "start", start)
    loop = asyncio.new_event_loop()
    task = loop.create_task(work())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    assert loop.run_until_complete(asyncio.wait_for(task, 5)) == 3
    loop.close()
    assert asyncio.run(work()) == 3


@pytest.mark.asyncio
async def test_a_stream_of_short_work_is_not_put_off(files: threads._Threads) -> None:
    """Work that comes in every turn keeps none of it waiting: after three turns a thread is called."""
    futures = []
    for _ in range(8):
        futures.append(in_file_thread(len, "a"))
        await asyncio.sleep(0)
    assert files._count == 1
    assert await asyncio.gather(*futures) == [1] * 8


@pytest.mark.asyncio
async def test_work_that_is_not_short_holds_up_little(
    files: threads._Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a piece was slow another thread helps, and what is done is told without waiting for the rest."""
    monkeypatch.setattr(threads, "_SLOW", 0.0)
    gate = threading.Event()
    first = in_file_thread(len, "a")
    held = in_file_thread(gate.wait)
    last = in_file_thread(len, "abc")
    assert await first == 1
    assert await last == 3
    assert not held.done()
    gate.set()
    assert await held is True


@pytest.mark.asyncio
async def test_short_work_where_no_thread_can_be_had(
    files: threads._Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits is told, and later there are threads again."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        waiting = [in_file_thread(len, "a") for _ in range(3)]
        for each in waiting:
            with pytest.raises(RuntimeError, match="new thread"):
                await each
    assert (files._count, files._called) == (0, 0)
    assert await in_file_thread(len, "ab") == 2


@pytest.mark.asyncio
async def test_no_more_threads_than_allowed_and_none_that_idles(own: threads._Threads) -> None:
    """Work beyond the limit waits, what was cancelled by then never begins, and idle threads end."""
    gate, begun = threading.Event(), []
    held = [in_a_thread(gate.wait) for _ in range(2)]
    waiting = [in_a_thread(begun.append, number) for number in range(3)]
    assert own._count == 2
    waiting[1].cancel()
    assert not begun
    gate.set()
    await asyncio.gather(*held, waiting[0], waiting[2])
    assert sorted(begun) == [0, 2]
    for _ in range(200):
        if not own._count:
            break
        await asyncio.sleep(0.005)
    assert (own._count, own._idle, own._called) == (0, 0, 0)
    assert await in_thread(len, "anew") == 4


def test_many_loops_in_many_threads_share_them() -> None:
    """Eight loops with 200 pieces of work each: every result reaches its own loop, none is lost or mixed up."""
    found: dict[int, list[int]] = {}

    async def work(name: int) -> list[int]:
        loops = [in_thread(lambda number=number: name * 1000 + number) for number in range(200)]
        return list(await asyncio.gather(*loops))

    def run(name: int) -> None:
        found[name] = asyncio.run(work(name))

    runners = [threading.Thread(target=run, args=(name,)) for name in range(8)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert found == {name: [name * 1000 + number for number in range(200)] for name in range(8)}


def test_a_loop_that_was_closed_hears_nothing(own: threads._Threads) -> None:
    """Work that outlives its loop ends quietly, and its thread goes on to serve others."""
    gate = threading.Event()
    loop = asyncio.new_event_loop()

    async def begin() -> None:
        in_a_thread(gate.wait)

    loop.run_until_complete(begin())
    loop.close()
    gate.set()
    assert asyncio.run(in_thread(len, "abc")) == 3


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # that is what is tried here
def test_a_forked_child_has_threads_of_its_own() -> None:
    """A child whose parent used threads can use them too, though its parent's are not there."""
    assert asyncio.run(in_thread(len, "ab")) == 2
    child = os.fork()
    if not child:  # pragma: no cover - in the child
        os._exit(asyncio.run(in_thread(len, "abcde")))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5


def test_virtual_time_stands_still_meanwhile() -> None:
    """A minute's timer does not go off while a thread works for a moment of real time."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        timer = asyncio.ensure_future(asyncio.sleep(60))
        await in_thread(time.sleep, 0.02)
        assert not timer.done()
        await timer
        return loop.time()

    assert 60 <= run_virtual(main) < 61


@pytest.mark.asyncio
async def test_a_system_that_allows_no_more_threads(
    own: threads._Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any thread it is said at once, and none is counted; with one, that one does all; later there are more."""

    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for _ in range(5):
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refused)
            with pytest.raises(RuntimeError, match="new thread"):
                await in_thread(len, "a")
    assert (own._count, own._called) == (0, 0)
    gate = threading.Event()
    held = in_a_thread(gate.wait)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        waiting = in_a_thread(len, "ab")
    assert own._count == 1
    gate.set()
    assert (await held, await waiting) == (True, 2)
