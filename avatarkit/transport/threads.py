"""Blocking file work off the event loop, in threads that all loops of the process share.

Not ``loop.run_in_executor``: its way there and back takes a condition, five locks and a wake-up of the loop for each
piece of work, which was a quarter of the CPU of a bulk run. Here what comes back together shares a wake-up.

Threads are made when they are needed and end when they are not. They are daemons: a write that the interpreter's end
cuts off is like one that a crash cuts off, and nothing that was promised depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

_MOST = 32  # threads; disks are slow, and some calls read what a user's generator gives
_IDLE = 5.0  # seconds after which a thread that has nothing to do ends

_Ended = tuple[asyncio.Future[Any], Any, BaseException | None]


class _Mailbox:
    """What was done for one loop and is still to be told to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._ended: deque[_Ended] = deque()
        self._called = False

    def put(self, ended: _Ended) -> None:
        """Tell the loop soon. From any thread."""
        self._ended.append(ended)
        if self._called:
            return  # it has not begun to look yet, and will find this too
        self._called = True
        loop = self._loop()
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            if loop is not None:
                loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._called = False  # before the first look: what comes from now on calls again
        while self._ended:
            future, value, error = self._ended.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)


@attrs.frozen(eq=False)
class _Work:
    mailbox: _Mailbox
    future: asyncio.Future[Any]
    function: Callable[..., Any]
    args: tuple[Any, ...]

    def do(self) -> None:
        if self.future.cancelled():
            return
        value: Any = None
        error: BaseException | None = None
        try:
            value = self.function(*self.args)
        except StopIteration as stop:
            error = RuntimeError(f"StopIteration came out of a thread: {stop}")  # no future takes it as it is
        except BaseException as raised:  # noqa: BLE001 - it is told to whoever waits
            error = raised
        self.mailbox.put((self.future, value, error))


class _Threads:
    """As many threads as work waits for, up to *most*; each ends after *idle* seconds without work."""

    def __init__(self, most: int = _MOST, idle: float = _IDLE) -> None:
        self._most = most
        self._patience = idle
        self._work: queue.SimpleQueue[_Work] = queue.SimpleQueue()
        self._mutex = threading.Lock()
        self._waiting = self._idle = self._count = 0

    def add(self, work: _Work) -> None:
        with self._mutex:
            self._waiting += 1
            lacking = self._waiting > self._idle and self._count < self._most
            self._count += lacking
        if lacking:
            self._begin_one()
        self._work.put(work)

    def _begin_one(self) -> None:
        """Make another thread. Where the system allows no more, those that are there have to do."""
        try:
            threading.Thread(target=self._run, name="avatarkit-files", daemon=True).start()
        except RuntimeError:
            with self._mutex:
                self._count -= 1
                if self._count:
                    return
                self._waiting -= 1
            raise

    def _run(self) -> None:
        while True:
            with self._mutex:
                self._idle += 1
            try:
                work = self._work.get(timeout=self._patience)
            except queue.Empty:
                work = None
            with self._mutex:
                self._idle -= 1
                if work is not None:
                    self._waiting -= 1
                elif not self._waiting:
                    self._count -= 1
                    return
            if work is not None:
                work.do()
                del work  # what was given must not live until the next comes


_threads = _Threads()
_mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Mailbox] = weakref.WeakKeyDictionary()


def _begin_anew() -> None:
    """In a forked child: its parent's threads are not there."""
    global _threads
    _threads = _Threads()
    _mailboxes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def in_a_thread(function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
    """Begin *function* in a thread; the future, of the running loop, has what it returns or raises.

    A cancelled future keeps work from beginning, and stops none that has begun.
    """
    loop = asyncio.get_running_loop()
    mailbox = _mailboxes.get(loop)
    if mailbox is None:
        mailbox = _mailboxes[loop] = _Mailbox(loop)
    future: asyncio.Future[Any] = loop.create_future()
    hold_time(future)
    _threads.add(_Work(mailbox, future, function, args))
    return future


def hold_time(future: asyncio.Future[Any]) -> None:
    """Tell a loop in virtual time (``avatarkit.testing``) that work is under way, so that its clock stands still."""
    hold = getattr(future.get_loop(), "hold", None)
    if hold is not None:
        hold(future)


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """What *function* returns, run in a thread. See :func:`in_a_thread`."""
    return await in_a_thread(function, *args)
