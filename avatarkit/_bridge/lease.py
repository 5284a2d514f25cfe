"""What every blocking client holds: its right to use the bridge."""

from __future__ import annotations

import inspect
import logging
import sys
import warnings
import weakref
from asyncio import _get_running_loop
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast, overload

from avatarkit._bridge import process
from avatarkit._bridge.call import Call, ask_caller, current
from avatarkit._bridge.loop import Bridge, Closer, Tenant
from avatarkit._bridge.naming import name_task
from avatarkit.errors import BridgeError, ClientClosed, WouldDeadlock

_logger = logging.getLogger("avatarkit")

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D", bound=Mapping[str, Any])

_END: Any = object()
_warned = False


class Lease:
    """A client's right to run coroutines on the bridge, until it is closed.

    *closer* closes the async client; it runs in `close`, at interpreter exit, and when the
    client is forgotten. Nothing is started before the first call, so that a client may be
    made at import time, before a fork, or where no thread can be started.

    Every method that calls raises ClientClosed after `close`, ForkedClient in a child process
    when the lease was in use before the fork, WouldDeadlock on the bridge's own thread, and
    what the coroutine raises.
    """

    __slots__ = ("__weakref__", "_closed", "_closer", "_finalizer", "_tenant")

    def __init__(self, closer: Closer | None = None) -> None:
        self._closer = closer
        self._closed = False
        self._tenant: Tenant | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def close_with(self, closer: Closer) -> None:
        """Set what closes the client; for one that needs its lease to be made."""
        self._closer = closer

    @property
    def closed(self) -> bool:
        """Whether calls are refused from now on."""
        return self._closed or (self._tenant is not None and self._tenant.closed)

    def belongs_to(self, client: object) -> bool:
        """Whether closing the lease closes *client*, an async object, and not another one."""
        return self._closer is not None and getattr(self._closer, "__self__", None) is client

    # ---- calls

    def run(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one coroutine to its end and give its result."""
        return self.run_into(None, partial(function, *args, **kwargs))  # type: ignore[no-any-return]

    def run_into(self, convert: Callable[[T], Any] | None, function: Callable[[], Awaitable[T]], /) -> Any:
        """Run one coroutine to its end and give what *convert* makes of its result.

        If an error or an interrupt comes before that is there, the result is told: its method ``abandoned`` is
        called, if it has one.
        """
        tenant = self._admit(function)
        call = Call(tenant.bridge, tenant, function)
        try:
            call.launch()
            call.wait()
            value = call.result()
            answer = value if convert is None else convert(value)
            call.value = None  # delivered: from here to the caller Python looks for no interrupt
            return answer
        except BaseException as exc:
            call.settle(exc)
            name_task(exc, function)
            raise

    def iterate(
        self, make: Callable[P, AsyncIterable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Generator[T, None, None]:
        """Give the items of an async iterator, each asked for when the caller wants it.

        Leaving the loop early closes the async iterator, and waits until that is done.
        """
        tenant = self._admit(make)

        async def host() -> None:
            items = make(*args, **kwargs)
            try:
                async for item in items:
                    await call.hand_over(item)
            finally:
                if hasattr(items, "aclose"):
                    await items.aclose()

        call = Call(tenant.bridge, tenant, host)
        items: list[T] = []
        call.items = items
        try:
            call.launch()
            # Not `while items`: from Python 3.12 on the jump back of such a loop, where an interrupt may
            # come, is outside the `try` it is the last statement of.
            while True:
                call.wait()
                if not items:
                    call.result()
                    return
                yield items.pop()
                call.bridge.post(call.reply)
        except BaseException as exc:
            call.settle(exc)
            name_task(exc, make)
            raise

    @contextmanager
    def enter(
        self, make: Callable[P, AbstractAsyncContextManager[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Generator[T, None, None]:
        """Give an async context manager as a plain one; it is entered and left in one task."""
        tenant = self._admit()
        call = Call(tenant.bridge, tenant, lambda: _hold(call, partial(make, *args, **kwargs)))
        items: list[T] = []
        call.items = items
        error: BaseException | None = None
        try:
            call.launch()
            call.wait()
            if not items:
                call.result()
            try:
                yield items.pop()
            except BaseException as exc:
                if call.out_of_reach():
                    raise
                error = exc
            call.bridge.post(call.reply, error)
            call.wait()
        except BaseException as exc:
            call.settle(exc)
            raise
        swallowed = call.result()
        if error is not None and not swallowed:
            raise error

    # ---- what is passed into a call

    @overload
    @staticmethod
    def callback(function: None) -> None: ...
    @overload
    @staticmethod
    def callback(function: Callable[P, object]) -> Callable[P, None]: ...
    @staticmethod
    def callback(function: Callable[P, object] | None) -> Callable[P, None] | None:
        """Make *function* one the loop may call: it runs later, in the blocked caller's thread.

        An error in it cancels the call and reaches the caller. While no call waits that it
        could run in (a hook of the client that fires between calls) it runs where it is called.
        """
        if function is None:
            return None

        def post(*args: P.args, **kwargs: P.kwargs) -> None:
            call = current.get(None)
            if call is None or call.done:
                function(*args, **kwargs)
            elif not call.aborted:
                call.bell.put(partial(function, *args, **kwargs))

        return post

    @classmethod
    def callbacks(cls, options: D, /, *names: str) -> D:
        """Give a copy of keyword arguments in which the functions called *names* are made by `callback`.

        An entry may be missing, None, one function, or several. They watch what goes on, so an error in one is logged
        and does not end the call. What is none of these stays as it is, for whoever checks it.
        """
        copy: dict[str, Any] = dict(options)
        for name in copy.keys() & set(names):
            given = copy[name]
            if isinstance(given, Iterable) and not callable(given) and not isinstance(given, str | bytes):
                copy[name] = tuple(cls._watched(one) for one in given)
            else:
                copy[name] = cls._watched(given)
        return cast("D", copy)

    @classmethod
    def _watched(cls, given: Any) -> Any:
        plain = callable(given) and not inspect.iscoroutinefunction(given)
        return cls.callback(_watcher(given)) if plain else given

    @overload
    @staticmethod
    def ask(function: None) -> None: ...
    @overload
    @staticmethod
    def ask(function: Callable[P, T]) -> Callable[P, Awaitable[T]]: ...
    @staticmethod
    def ask(function: Callable[P, T] | None) -> Callable[P, Awaitable[T]] | None:
        """Make *function* a coroutine function that runs in the blocked caller's thread.

        An error in it is raised in the coroutine.
        """
        if function is None:
            return None

        async def question(*args: P.args, **kwargs: P.kwargs) -> T:
            return await ask_caller(partial(function, *args, **kwargs))  # type: ignore[no-any-return]

        return question

    @staticmethod
    def feed(items: Iterable[T]) -> AsyncIterator[T]:
        """Make an iterable an async one; each ``next`` runs in the blocked caller's thread.

        Lists and tuples cannot block, so they are read in the loop. Errors in the iterable are
        raised in the coroutine.
        """
        return _read(items) if isinstance(items, list | tuple) else _pull(iter(items))

    # ---- the end

    def close(self, closer: Callable[[], Awaitable[T]] | None = None, /) -> T | None:
        """End the client's calls, close it with *closer* (or the lease's own), give the lease up.

        Calls under way in other threads are cancelled; once their clean-up is done they raise
        ClientClosed there. Gives what the closer gives; None when closed before, and in a child
        process that inherited the client, where there is nothing to close.
        """
        if self.closed:
            return None
        tenant = self._tenant
        if tenant is not None and tenant.bridge.inherited:
            self._closed = True
            return None
        tenant = self._admit()
        with process.one_at_a_time():
            if self._closed:
                return None
            self._closed = True
        if self._finalizer is not None:
            self._finalizer.detach()
        call = Call(tenant.bridge, None, partial(tenant.bridge.vacate, tenant, closer or tenant.closer))
        try:
            call.launch()
            call.wait()
            return call.result()  # type: ignore[no-any-return]
        except BaseException as exc:
            call.settle(exc)
            raise
        finally:
            process.move_out(tenant)

    def _admit(self, function: Callable[..., Any] | None = None) -> Tenant:
        """The tenancy, begun if there is none; errors name the task that *function* is about."""
        try:
            return self._tenancy()
        except BridgeError as exc:
            if function is not None:
                name_task(exc, function)
            raise

    def _tenancy(self) -> Tenant:
        tenant = self._tenant
        if self._closed or (tenant is not None and tenant.closed):
            raise ClientClosed("the client is closed")
        if tenant is None:
            tenant = self._move_in()
        tenant.bridge.refuse_if_inherited()
        if _get_running_loop() is not None:
            _inside_a_loop(tenant.bridge)
        return tenant

    def _move_in(self) -> Tenant:
        with process.one_at_a_time():  # several threads may make the first call at once
            if self._tenant is None:
                self._tenant = process.move_in(self._closer)
                self._finalizer = weakref.finalize(self, _forgotten, self._tenant)
                self._finalizer.atexit = False  # the process closes what is open then, in order
            return self._tenant


async def _hold(call: Call, make: Callable[[], AbstractAsyncContextManager[Any]]) -> bool:
    """Hold a context manager open for *call*; give whether it swallowed the error that left the block."""
    error: BaseException | None = None
    traceback: TracebackType | None = None
    try:
        async with make() as value:
            error = await call.hand_over(value)
            if error is not None:
                traceback = error.__traceback__
                raise error
    except BaseException as exc:
        if exc is not error:
            raise
        error.__traceback__ = traceback  # the block raises it again, with its own
        return False
    return error is not None


async def _read(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item


async def _pull(items: Iterator[T]) -> AsyncIterator[T]:
    step = partial(next, items, _END)
    while (item := await ask_caller(step)) is not _END:
        yield item


def _forgotten(tenant: Tenant) -> None:
    """Close a client that nobody holds any more. Runs in whatever thread collects garbage."""
    if tenant.bridge.inherited or tenant.closed:
        return
    try:
        tenant.bridge.loop.call_soon_threadsafe(tenant.bridge.abandon, tenant)
    except RuntimeError:
        return  # the loop has ended, and has closed the client before


def _inside_a_loop(bridge: Bridge) -> None:
    """The caller's thread runs an event loop: refuse if it is ours, else warn once."""
    global _warned
    if bridge.is_here():
        raise WouldDeadlock(
            "a blocking call was made on the event loop's own thread, where it would wait for itself; "
            "use the Async class there"
        )
    shell = sys.modules.get("IPython")
    if _warned or (shell is not None and shell.get_ipython() is not None):
        return
    _warned = True
    warnings.warn(
        "a blocking avatarkit call inside a running event loop stops that loop until it returns; "
        "use the Async class here",
        RuntimeWarning,
        stacklevel=_outside(),
    )


def _outside() -> int:
    """The stack level, for a warning raised by our caller, of the first frame outside avatarkit."""
    root, level = __name__.partition(".")[0] + ".", 1
    frame = inspect.currentframe()
    frame = frame and frame.f_back
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(root):
        frame, level = frame.f_back, level + 1
    return level


def _watcher(function: Callable[..., object]) -> Callable[..., None]:
    """*function* with its errors logged: what only watches must not break what it watches."""

    def watch(*args: object, **kwargs: object) -> None:
        try:
            function(*args, **kwargs)
        except Exception:
            _logger.exception("a hook failed")

    return watch
