"""Functions and iterables that are passed through the bridge: the caller's thread runs them."""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from bridge_ground import answer, count, here

from avatarkit._bridge import Lease
from avatarkit.errors import BridgeError


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
