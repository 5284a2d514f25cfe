"""The bridge: what a blocking caller may rely on. Interrupts at random moments are in faults/."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import dis
import gc
import queue
import signal
import sys
import threading
import types
import warnings
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import anyio.to_thread
import pytest

from avatarkit._bridge import (
    Blocking,
    Lease,
    shutdown,
    unwrap,
    use_loop_factory,
    wrap,
    wrapping,
)
from avatarkit._bridge import (
    lease as lease_module,
)
from avatarkit._bridge import (
    twins as twins_module,
)
from avatarkit.errors import BridgeError, ClientClosed, WouldDeadlock


def bridge_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("avatarkit")]


@pytest.fixture
def lease() -> Iterator[Lease]:
    lease = Lease()
    yield lease
    lease.close()
    assert bridge_threads() == []


async def answer(value: int = 42) -> int:
    return value


async def here() -> int:
    return threading.get_ident()


class Client:
    """An async client that notes whether it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


# ---- one call


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


# ---- the life of the bridge


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


# ---- functions and iterables that are passed in


async def report(progress: Any, times: int = 3) -> str:
    for i in range(times):
        progress(i, times)
        await asyncio.sleep(0)
    return "done"


def test_a_callback_runs_in_the_callers_thread(lease: Lease) -> None:
    """A function given to a call runs in the thread that is blocked in it, in order, before it returns."""
    seen: list[tuple[int, int]] = []
    idents: set[int] = set()

    def progress(done: int, total: int) -> None:
        idents.add(threading.get_ident())
        seen.append((done, total))

    assert lease.run(report, lease.callback(progress)) == "done"
    assert seen == [(0, 3), (1, 3), (2, 3)]
    assert idents == {threading.get_ident()}
    assert lease.callback(None) is None


def test_a_callback_may_call_the_client(lease: Lease) -> None:
    """The function may make blocking calls itself; they do not mix with the outer one."""
    seen: list[int] = []

    def progress(done: int, total: int) -> None:
        seen.append(lease.run(answer, done) + sum(lease.iterate(count, 3)))

    assert lease.run(report, lease.callback(progress)) == "done"
    assert seen == [3, 4, 5]


def test_an_error_in_a_callback_cancels_the_call_and_waits_for_its_clean_up(lease: Lease) -> None:
    """The error reaches the caller after the coroutine's own clean-up; later callbacks are dropped."""
    order: list[str] = []

    async def work(progress: Any) -> None:
        try:
            progress("first")
            await asyncio.Event().wait()
        finally:
            progress("late")
            await asyncio.sleep(0)
            order.append("clean-up")

    def progress(text: str) -> None:
        order.append(text)
        raise LookupError("stop")

    with pytest.raises(LookupError, match="stop"):
        lease.run(work, lease.callback(progress))
    assert order == ["first", "clean-up"]


def test_what_the_clean_up_raises_becomes_the_context(lease: Lease) -> None:
    """An error out of the cancelled coroutine (a submission in doubt) is not lost: it is the context."""

    async def submit(progress: Any) -> None:
        progress()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RuntimeError("in doubt") from None

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        lease.run(submit, lease.callback(interrupt))
    assert str(caught.value.__context__) == "in doubt"


def test_a_hook_that_fires_while_no_call_waits_runs_in_place(lease: Lease) -> None:
    """A client's hook called by a background task, after its call has ended, is not lost."""
    idents: list[int] = []
    hook = lease.callback(lambda: idents.append(threading.get_ident()))
    fire = queue.SimpleQueue[asyncio.Event]()

    async def start() -> None:
        event = asyncio.Event()

        async def background() -> None:
            await event.wait()
            hook()

        fire.put(event)
        tasks.append(asyncio.create_task(background()))

    async def trigger(event: asyncio.Event) -> None:
        event.set()
        await tasks[0]

    tasks: list[asyncio.Task[None]] = []
    lease.run(start)
    lease.run(trigger, fire.get())
    assert idents == [lease.run(here)]
    hook()
    assert idents[1] == threading.get_ident()


def test_a_second_interrupt_gives_up_waiting(lease: Lease) -> None:
    """Ctrl-C waits for the clean-up; a second Ctrl-C does not, and the loop lives on."""
    main = threading.main_thread().ident
    assert main is not None
    events: queue.SimpleQueue[asyncio.Event] = queue.SimpleQueue()
    ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    async def stubborn() -> None:
        event = asyncio.Event()
        events.put(event)
        signal.pthread_kill(main, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            signal.pthread_kill(main, signal.SIGINT)
            await event.wait()
            ended.put("clean-up")

    async def release(event: asyncio.Event) -> None:
        event.set()

    with pytest.raises(KeyboardInterrupt):
        lease.run(stubborn)
    assert ended.empty()
    lease.run(release, events.get())
    assert ended.get(timeout=10) == "clean-up"


def test_an_answer_is_awaited_from_the_callers_thread(lease: Lease) -> None:
    """`ask` turns a plain function into a coroutine function that runs in the caller's thread."""

    def approve(price: int) -> tuple[int, bool]:
        return threading.get_ident(), price < 10

    async def work(ask: Any) -> list[tuple[int, bool]]:
        return [await ask(5), await ask(price=15)]

    me = threading.get_ident()
    assert lease.run(work, lease.ask(approve)) == [(me, True), (me, False)]
    assert lease.ask(None) is None


@pytest.mark.parametrize(("error", "seen"), [(ValueError, ValueError), (StopIteration, RuntimeError)])
def test_an_error_in_an_answer_is_raised_in_the_coroutine(
    lease: Lease, error: type[Exception], seen: type[Exception]
) -> None:
    """The coroutine can handle what the function raised; StopIteration, which it cannot carry, is renamed."""

    def refuse() -> None:
        raise error("no")

    async def work(ask: Any) -> str:
        try:
            await ask()
        except seen as exc:
            return type(exc).__name__
        return "nothing"

    assert lease.run(work, lease.ask(refuse)) == seen.__name__


def test_nobody_left_to_answer_is_an_error(lease: Lease) -> None:
    """A clean-up that asks a caller who has gone gets BridgeError at once; it does not hang."""
    seen: list[str] = []

    async def work(ask: Any) -> None:
        try:
            await ask()
        finally:
            try:
                await ask()
            except BridgeError as exc:
                seen.append(str(exc))

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lease.run(work, lease.ask(interrupt))
    assert seen == ["no blocking call is waiting that could run the function"]


def test_a_question_left_open_by_the_end_of_the_call_is_cancelled(lease: Lease) -> None:
    """A detached task that waits for an answer when the call ends does not wait for ever."""
    tasks: list[asyncio.Task[Any]] = []

    async def work(ask: Any) -> None:
        tasks.append(asyncio.ensure_future(ask()))
        await asyncio.sleep(0)

    async def outcome() -> bool:
        await asyncio.wait(tasks)
        return tasks[0].cancelled()

    calls: list[int] = []
    lease.run(work, lease.ask(lambda: calls.append(1)))
    assert lease.run(outcome)


async def collect(items: AsyncIterator[Any], limit: int = 100) -> list[Any]:
    out: list[Any] = []
    async for item in items:
        out.append(item)
        if len(out) == limit:
            break
    return out


def test_a_lazy_iterable_is_read_in_the_callers_thread(lease: Lease) -> None:
    """`feed` asks a generator for one item at a time, in the caller's thread, and no further than needed."""
    made: list[int] = []

    def jobs() -> Iterator[int]:
        for i in range(10):
            made.append(threading.get_ident())
            yield lease.run(answer, i)  # it may use the client

    assert lease.run(collect, lease.feed(jobs()), 3) == [0, 1, 2]
    assert made == [threading.get_ident()] * 3


def test_collections_are_fed_as_they_are(lease: Lease) -> None:
    """Lists and tuples come through whole, empty ones and None items included."""
    assert lease.run(collect, lease.feed([1, None, 3])) == [1, None, 3]
    assert lease.run(collect, lease.feed(())) == []
    with pytest.raises(TypeError):
        lease.feed(count(1))  # type: ignore[arg-type]


def test_an_error_in_a_lazy_iterable_reaches_the_caller(lease: Lease) -> None:
    """What the generator raises goes through the coroutine, which may clean up, to the caller."""

    def jobs() -> Iterator[int]:
        yield 1
        raise ValueError("line 2 is bad")

    with pytest.raises(ValueError, match="line 2"):
        lease.run(collect, lease.feed(jobs()))


# ---- iterators and context managers


async def count(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


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


@asynccontextmanager
async def opened(order: list[Any], *, swallow: bool = False) -> AsyncIterator[str]:
    order.append(asyncio.current_task())
    try:
        yield "value"
    except ValueError as exc:
        order.append(exc)
        if not swallow:
            raise
    finally:
        await asyncio.sleep(0)
        order.append(asyncio.current_task())


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


# ---- twins


class AsyncThing(Client):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncThing) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"AsyncThing({self.name!r})"

    async def fail(self) -> None:
        raise OSError("cannot enter")


class AsyncSpecialThing(AsyncThing):
    pass


class Thing(Blocking):
    __slots__ = ()
    _twin_of: ClassVar[type[AsyncThing]] = AsyncThing


def test_wrapping_finds_the_twin_by_type(lease: Lease) -> None:
    """Async objects become their twins, of a base class if need be, in lists and tuples too; the rest stays."""
    thing = wrap(AsyncThing("a"), lease)
    assert type(thing) is Thing
    assert type(wrap(AsyncSpecialThing("a"), lease)) is Thing
    assert wrap([AsyncThing("a"), 1], lease) == [thing, 1]
    assert wrap((AsyncThing("a"), None), lease) == (thing, None)
    assert wrap("text", lease) == "text"
    assert unwrap(thing) is thing._async
    assert unwrap("text") == "text"


def test_an_async_class_of_somebody_else_is_left_alone(lease: Lease) -> None:
    """A class that merely is called Async… and has no generated module passes through."""
    foreign = type("AsyncForeign", (), {})()
    assert wrap(foreign, lease) is foreign


def test_twins_are_equal_when_their_originals_are(lease: Lease) -> None:
    """Equality and hash are those of the async objects; a twin never equals an async object."""
    assert wrap(AsyncThing("a"), lease) == wrap(AsyncThing("a"), lease)
    assert wrap(AsyncThing("a"), lease) != wrap(AsyncThing("b"), lease)
    assert wrap(AsyncThing("a"), lease) != AsyncThing("a")
    assert len({wrap(AsyncThing("a"), lease), wrap(AsyncThing("a"), lease)}) == 1


def test_the_repr_says_the_blocking_name(lease: Lease) -> None:
    """The repr is the async one under the blocking name; one that names nothing is marked."""

    class Silent(AsyncThing):
        def __repr__(self) -> str:
            return "silent"

    assert repr(wrap(AsyncThing("a"), lease)) == "Thing('a')"
    assert repr(wrap(Silent("a"), lease)) == "<blocking silent>"


def test_functions_can_be_given_twins(lease: Lease) -> None:
    """`wrapping` gives a user's function the twin of what the async side passes it."""
    seen: list[Any] = []
    wrapped = wrapping(lambda thing, text: seen.append((thing, text)), lease)
    wrapped(AsyncThing("a"), "text")
    assert seen == [(wrap(AsyncThing("a"), lease), "text")]
    assert wrapping(None, lease) is None


def test_closing_a_derived_object_leaves_the_owners_lease_open() -> None:
    """Only the object a lease was made for closes it; another one made by it closes just itself."""
    owner, derived = AsyncThing("owner"), AsyncThing("derived")
    lease = Lease(owner.aclose)
    wrap(derived, lease)._leave(derived.aclose)
    assert (owner.closed, derived.closed) == (0, 1)
    assert lease.run(answer) == 42
    wrap(owner, lease)._leave(owner.aclose)
    assert owner.closed == 1
    assert lease.closed


def test_a_client_that_cannot_be_entered_is_closed() -> None:
    """When ``__aenter__`` fails there is no ``__exit__``: the lease is given up at once."""
    thing = AsyncThing("a")
    lease = Lease(thing.aclose)
    with pytest.raises(OSError, match="cannot enter"):
        wrap(thing, lease)._arrive(thing.fail)
    assert thing.closed == 1
    assert bridge_threads() == []


# ---- what a call made for a caller that leaves


class Made:
    """What a submission gives: it must be kept, or told that nobody keeps it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.told: list[int] = []
        self.error = error

    def abandoned(self) -> None:
        self.told.append(threading.get_ident())
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("shape", ["alone", "list", "tuple"])
@pytest.mark.parametrize("error", [None, OSError("no books")])
def test_a_caller_that_leaves_hands_over_what_was_made(
    lease: Lease, shape: str, error: Exception | None
) -> None:
    """An error in the caller after the coroutine's end: the value is told, once, on the loop, and may fail at it."""
    made = Made(error)

    async def submit(hook: Any) -> Any:
        hook()
        return {"alone": made, "list": [1, made], "tuple": (made,)}[shape]

    def leave() -> None:
        lease.run(answer)  # when this is done so is the call, whose value is there
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lease.run(submit, lease.callback(leave))
    assert made.told == [lease.run(here)]


def test_a_value_that_comes_in_spite_of_the_cancellation_is_handed_over(lease: Lease) -> None:
    """A coroutine that answers after its caller left: the value is told before the caller goes on."""
    made = Made()

    async def submit(hook: Any) -> Made:
        hook()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return made

    def leave() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lease.run(submit, lease.callback(leave))
    assert len(made.told) == 1


def test_a_value_that_comes_after_a_second_interrupt_is_handed_over(lease: Lease) -> None:
    """The caller gave up waiting even for the clean-up: what comes then is told all the same."""
    main = threading.main_thread().ident
    assert main is not None
    made = Made()
    events: queue.SimpleQueue[asyncio.Event] = queue.SimpleQueue()

    async def stubborn() -> Made:
        event = asyncio.Event()
        events.put(event)
        signal.pthread_kill(main, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            signal.pthread_kill(main, signal.SIGINT)
            await event.wait()
        return made

    async def release(event: asyncio.Event) -> None:
        event.set()

    with pytest.raises(KeyboardInterrupt):
        lease.run(stubborn)
    assert made.told == []
    lease.run(release, events.get())
    lease.run(asyncio.sleep, 0)
    assert len(made.told) == 1


def test_a_value_that_was_returned_is_not_told(lease: Lease) -> None:
    """What the caller got is the caller's, dropped or not, whatever ends the client."""
    made = Made()

    async def submit() -> Made:
        return made

    assert lease.run(submit) is made
    lease.close()
    assert made.told == []


def test_what_cannot_be_wrapped_is_handed_over(lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error between the answer and its blocking twin: the caller has nothing, so the value is told."""
    made = Made()

    class AsyncMaker:
        async def make(self) -> Made:
            return made

    class Maker(Blocking):
        _twin_of: ClassVar[Any] = AsyncMaker

    def broken(value: Any, lease: Lease) -> Any:
        raise KeyboardInterrupt

    maker = Maker._wrap(AsyncMaker(), lease)
    assert maker._obtain(maker._async.make) is made
    assert made.told == []
    monkeypatch.setattr(twins_module, "wrap", broken)
    with pytest.raises(KeyboardInterrupt):
        maker._obtain(maker._async.make)
    assert len(made.told) == 1
