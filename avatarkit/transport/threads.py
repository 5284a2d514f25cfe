"""Blocking file work off the event loop, in threads that all loops of the process share.

Not ``loop.run_in_executor``: its way there and back takes a condition, five locks and a wake-up of the loop for each
piece of work. Here what comes back together shares a wake-up.

Each system call of a thread lets go of the interpreter's lock and has to win it back from a loop that is busy, which
costs more than most of these calls. So there are two kinds of work: what may take long has a thread to itself
(:func:`in_a_thread`), and what is short waits until the loop has given all that it has to give now, and then shares a
thread (:func:`in_file_thread`).

Threads are made when they are needed and end when they are not. They are daemons: a write that the interpreter's end
cuts off is like one that a crash cuts off, and nothing that was promised depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import attrs

_MOST = 32  # threads; disks are slow, and some calls read what a user's generator gives
_IDLE = 5.0  # seconds after which a thread that has nothing to do ends
_SLOW = 0.02  # seconds of short work after which results are told, and another thread helps
_WATCH = 0.1  # seconds after which a loop looks by itself what became of its short work
_TURNS = 3  # of a loop, for which work waits for more at most

_Ended = tuple[asyncio.Future[Any], Any, BaseException | None]


class _Mailbox:
    """What was done for one loop and is still to be told to it; and the short work that it has begun."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._ended: deque[_Ended] = deque()
        self._called = False
        self._short: set[asyncio.Future[Any]] = set()
        self._watched = False
        self._turns = Turns(lambda: _files.call_for_all())

    def put(self, ended: _Ended) -> None:
        """Have something to tell when the loop looks again. From any thread."""
        self._ended.append(ended)

    def call(self) -> None:
        """Have the loop look soon. From any thread."""
        if self._called or not self._ended:
            return  # it has not begun to look yet, and will find everything
        self._called = True
        loop = self._loop()
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            if loop is not None:
                loop.call_soon_threadsafe(self._deliver)

    def began(self, future: asyncio.Future[Any]) -> None:
        """Short work was laid. In the loop's thread."""
        self._short.add(future)
        self._turns.more()
        if not self._watched:
            self._watched = True
            future.get_loop().call_later(_WATCH, self._watch)

    def _watch(self) -> None:
        """Work that hangs must hold up neither what was done before it nor what waits behind it."""
        self._deliver()
        self._watched = bool(self._short)
        if self._watched:
            _files.call_for_all()
            asyncio.get_running_loop().call_later(_WATCH, self._watch)

    def _deliver(self) -> None:
        self._called = False  # before the first look: what comes from now on calls again
        while self._ended:
            future, value, error = self._ended.popleft()
            self._short.discard(future)
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
        """Do it, unless nobody waits any more, and leave what came of it in the mailbox."""
        value: Any = None
        error: BaseException | None = None
        try:
            if not self.future.cancelled():
                value = self.function(*self.args)
        except StopIteration as stop:
            error = RuntimeError(f"StopIteration came out of a thread: {stop}")  # no future takes it as it is
        except BaseException as raised:  # noqa: BLE001 - it is told to whoever waits
            error = raised
        self.mailbox.put((self.future, value, error))


class Turns:
    """Calls *then* when a turn of the running loop brought nothing more, or after three turns.

    What is handed on together costs less, and in three turns of a loop all is said that one message gave rise to.
    """

    def __init__(self, then: Callable[[], object]) -> None:
        self._then = then
        self._came = self._seen = self._left = 0
        self._waits = False

    def more(self) -> None:
        """There is something to hand on. In the loop's thread."""
        self._came += 1
        if not self._waits:
            self._waits, self._left = True, _TURNS
            self._wait()

    def _wait(self) -> None:
        self._seen = self._came
        self._left -= 1
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        if self._came != self._seen and self._left:
            self._wait()
        else:
            self._waits = False
            self._then()


class _Threads:
    """Threads that work off what lies there, as many as were called, up to *most*; each ends after *idle* seconds.

    *together*: whether the results of one thread are told together, as far as each takes no time.
    """

    def __init__(self, most: int = _MOST, idle: float = _IDLE, *, together: bool = False) -> None:
        self._most = most
        self._patience = idle
        self._together = together
        self._works: deque[_Work] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._mutex = threading.Lock()
        self._called = self._idle = self._count = 0

    def add(self, work: _Work) -> None:
        """Lay *work* there, and call a thread for it."""
        self.lay(work)
        try:
            self.call()
        except BaseException:
            with contextlib.suppress(ValueError):
                self._works.remove(work)
            raise

    def lay(self, work: _Work) -> None:
        """Leave *work* for whoever is called next."""
        self._works.append(work)

    def call(self) -> None:
        """Have one more thread work. Raises RuntimeError when there is none and the system allows none."""
        if not self._works or (self._together and not self._bell.empty()):
            return  # who was called and has not heard it yet will find this too
        with self._mutex:
            self._called += 1
            lacking = self._called > self._idle and self._count < self._most
            self._count += lacking
        if lacking:
            self._begin_one()
        self._bell.put(None)

    def call_for_all(self) -> None:
        """:meth:`call`; what lies there is told when there is nobody to do it."""
        try:
            self.call()
        except Exception as error:  # noqa: BLE001 - such as no memory for a thread
            while self._works:
                work = self._works.popleft()
                work.mailbox.put((work.future, None, error))
                work.mailbox.call()

    def _begin_one(self) -> None:
        """Make another thread. Where the system allows no more, those that are there have to do."""
        try:
            threading.Thread(target=self._run, name="avatarkit-files", daemon=True).start()
        except BaseException as error:
            with self._mutex:
                self._count -= 1
                if self._count and isinstance(error, RuntimeError):
                    return
                self._called -= 1
            raise

    def _run(self) -> None:
        while True:
            with self._mutex:
                self._idle += 1
            try:
                self._bell.get(timeout=self._patience)
                called = True
            except queue.Empty:
                called = False
            with self._mutex:
                self._idle -= 1
                if called:
                    self._called -= 1
                elif not self._called:
                    self._count -= 1
                    return
            if called:
                self._work_off()

    def _work_off(self) -> None:
        told: set[_Mailbox] = set()
        since = time.monotonic()
        while True:
            try:
                work = self._works.popleft()
            except IndexError:
                break
            work.do()
            told.add(work.mailbox)
            del work  # what was given must not live until the next comes
            slow = self._together and time.monotonic() - since >= _SLOW
            if slow or not self._together:
                _call(told)
                since = time.monotonic()
            if slow:
                with contextlib.suppress(RuntimeError):
                    self.call()
        _call(told)


def _call(told: set[_Mailbox]) -> None:
    while told:
        told.pop().call()


_threads = _Threads()
_files = _Threads(together=True)
_mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Mailbox] = weakref.WeakKeyDictionary()


def _begin_anew() -> None:
    """In a forked child: its parent's threads are not there."""
    global _threads, _files
    _threads, _files = _Threads(), _Threads(together=True)
    _mailboxes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def in_a_thread(function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
    """Begin *function* in a thread; the future, of the running loop, has what it returns or raises.

    A cancelled future keeps work from beginning, and stops none that has begun.
    """
    work = _work(function, args)
    _threads.add(work)
    return work.future


def in_file_thread(function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
    """:func:`in_a_thread` for short work with files, which begins and is told with other such work.

    Not for what may wait for people, networks or other work: what was begun with it may be a tenth of a second late.
    """
    work = _work(function, args)
    _files.lay(work)
    work.mailbox.began(work.future)
    return work.future


def _work(function: Callable[..., Any], args: tuple[Any, ...]) -> _Work:
    loop = asyncio.get_running_loop()
    mailbox = _mailboxes.get(loop)
    if mailbox is None:
        mailbox = _mailboxes[loop] = _Mailbox(loop)
    future: asyncio.Future[Any] = loop.create_future()
    hold_time(future)
    return _Work(mailbox, future, function, args)


def hold_time(future: asyncio.Future[Any]) -> None:
    """Tell a loop in virtual time (``avatarkit.testing``) that work is under way, so that its clock stands still."""
    hold = getattr(future.get_loop(), "hold", None)
    if hold is not None:
        hold(future)


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """What *function* returns, run in a thread. See :func:`in_a_thread`."""
    return await in_a_thread(function, *args)
