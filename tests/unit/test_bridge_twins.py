"""Blocking twins of async objects, and what a call made for a caller that leaves."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import signal
import threading
from typing import Any, ClassVar

import pytest
from bridge_ground import Client, answer, bridge_threads, here

from avatarkit._bridge import Blocking, Lease, unwrap, wrap, wrapping
from avatarkit._bridge import twins as twins_module


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
