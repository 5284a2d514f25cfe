"""The bridge: one call, its errors, and where calls are refused or warned about."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import queue
import sys
import threading
import types
import weakref

import anyio.to_thread
import pytest
from bridge_ground import answer, here

from avatarkit._bridge import Lease
from avatarkit._bridge import lease as lease_module
from avatarkit.errors import BridgeError, WouldDeadlock


def test_a_call_gives_the_result_and_passes_arguments(lease: Lease) -> None:
    """`run` gives what the coroutine returns, positional and keyword arguments included."""
    assert lease.run(answer) == 42
    assert lease.run(answer, 7) == 7
    assert lease.run(answer, value=8) == 8


def test_an_error_reaches_the_caller_with_the_place_it_came_from(lease: Lease) -> None:
    """The traceback shows the line in the coroutine, though it ran in another thread."""

    async def deep() -> None:
        raise ValueError("deep down")

    with pytest.raises(ValueError, match="deep down") as caught:
        lease.run(deep)
    assert any(entry.name == "deep" for entry in caught.traceback)


def test_an_error_leaves_no_cycle_behind(lease: Lease) -> None:
    """The exception and the call do not hold each other, so memory does not wait for the collector."""

    class Payload:
        pass

    async def fail(payload: Payload) -> None:
        raise ValueError

    payload = Payload()
    alive = weakref.ref(payload)
    gc.disable()
    try:
        with pytest.raises(ValueError):
            lease.run(fail, payload)
        del payload
        lease.run(answer)  # the loop has let go of the first task by now
        assert alive() is None
    finally:
        gc.enable()


def test_context_variables_of_the_caller_are_seen(lease: Lease) -> None:
    """A coroutine sees the caller's context variables, and its own changes stay its own."""
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")

    async def look() -> str:
        seen = var.get()
        var.set("changed inside")
        return seen

    var.set("mine")
    assert lease.run(look) == "mine"
    assert var.get() == "mine"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["coroutine", "child task", "callback"])
def test_exits_raised_inside_do_not_end_the_loop(
    lease: Lease, error: type[BaseException], where: str
) -> None:
    """KeyboardInterrupt and SystemExit inside reach the caller; the loop serves the next call."""

    async def leave() -> None:
        raise error("inside")

    def leave_now() -> None:
        raise error("inside")

    async def child() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(leave())

    async def callback() -> None:
        asyncio.get_running_loop().call_soon(leave_now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    if where == "callback":
        lease.run(callback)  # nobody to tell: asyncio itself would end the loop
    else:
        with pytest.raises(error, match="inside"):
            lease.run(leave if where == "coroutine" else child)
    assert lease.run(answer) == 42


def test_a_cancellation_from_inside_is_no_silent_none(lease: Lease) -> None:
    """A coroutine that cancels itself gives BridgeError, never None and never CancelledError."""

    async def cancel_myself() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(BridgeError, match="cancelled from inside"):
        lease.run(cancel_myself)


def test_cancelling_every_task_does_not_end_the_loop(lease: Lease) -> None:
    """Code that cancels all tasks of the loop hits the calls, not the bridge."""

    async def cancel_all() -> None:
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(BridgeError):
        lease.run(cancel_all)
    assert lease.run(answer) == 42


def test_many_threads_share_one_loop(lease: Lease) -> None:
    """Sixteen threads get their own answers, all from the same loop thread."""
    out: queue.SimpleQueue[tuple[int, int, int]] = queue.SimpleQueue()

    def work(n: int) -> None:
        for i in range(50):
            out.put((n * 100 + i, lease.run(answer, n * 100 + i), lease.run(here)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [out.get() for _ in range(out.qsize())]
    assert len(rows) == 800
    assert all(asked == got for asked, got, _ in rows)
    assert len({ident for _, _, ident in rows}) == 1


def test_anyio_worker_threads_outlive_a_call(lease: Lease) -> None:
    """The library anyio ties its worker threads to the loop's root task, so calls share them."""

    async def worker() -> int:
        return await anyio.to_thread.run_sync(threading.get_ident)

    assert len({lease.run(worker) for _ in range(5)}) == 1


# ---- where calls are refused or warned about


def test_a_call_on_the_loops_own_thread_is_refused(lease: Lease) -> None:
    """A blocking call from a coroutine would wait for itself: WouldDeadlock, for `close` too."""

    async def call_again() -> None:
        lease.run(answer)

    async def close() -> None:
        lease.close()

    with pytest.raises(WouldDeadlock):
        lease.run(call_again)
    with pytest.raises(WouldDeadlock):
        lease.run(close)
    assert lease.run(answer) == 42


def test_inside_a_running_loop_calls_work_and_warn_once(
    lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread with a running loop a call works and warns, the first time, at the line of the call."""
    monkeypatch.setattr(lease_module, "_warned", False)

    async def main() -> list[int]:
        return [lease.run(answer), lease.run(answer)]

    with pytest.warns(RuntimeWarning, match="use the Async class") as caught:
        assert asyncio.run(main()) == [42, 42]
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_a_notebook_is_not_warned(lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    """In IPython a loop always runs and the blocking classes are what its users want: no warning."""
    monkeypatch.setattr(lease_module, "_warned", False)
    shell = types.ModuleType("IPython")
    shell.get_ipython = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", shell)

    async def main() -> int:
        return lease.run(answer)

    assert asyncio.run(main()) == 42
