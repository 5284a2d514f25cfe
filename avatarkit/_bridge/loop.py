"""The thread that runs the event loop, from its start to its orderly end."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from avatarkit._bridge.call import Call
from avatarkit.errors import BridgeError, ClientClosed, ForkedClient

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
Closer = Callable[[], Awaitable[Any]]

_FORKED = (
    "this client was in use before os.fork(), and its event loop stayed behind in the parent process; "
    "make a new client in the child"
)


class Tenant:
    """What the bridge keeps of one client: how to close it, and whether that has happened.

    It must not refer to the `Lease`, so that a client nobody holds any more can be noticed.
    """

    __slots__ = ("bridge", "closed", "closer")

    def __init__(self, bridge: Bridge, closer: Closer | None) -> None:
        self.bridge = bridge
        self.closer = closer
        self.closed = False


class Bridge:
    """One event loop in one daemon thread. `start` it before use; it cannot be started twice."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, loop_factory: LoopFactory | None) -> None:
        self.calls: set[Call] = set()
        self.tenants: set[Tenant] = set()
        self.inherited = False  # set in the child after a fork
        self.ended = False
        self._factory = loop_factory or asyncio.new_event_loop
        self._failure: BaseException | None = None
        self._unwanted = False
        self._stop: asyncio.Future[None] | None = None
        self._ident: int | None = None
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._chores: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self._thread_main, name="avatarkit-bridge", daemon=True)

    # ---- in a caller's thread

    def start(self) -> None:
        """Start the thread and wait until its loop runs. Raises BridgeError when it cannot."""
        try:
            self._thread.start()
            while self._stop is None and not self.ended:
                self._bell.get()
        except RuntimeError as exc:
            if isinstance(exc.__context__, KeyboardInterrupt):
                # Ctrl-C inside Thread.start() comes out as the complaint of a lock that it tore open.
                self._unwanted = True
                self.request_stop()
                raise exc.__context__ from None
            self.ended = True  # the interpreter is on its way out
            raise BridgeError(f"the background event loop cannot be started: {exc}") from exc
        except BaseException:
            self._unwanted = True
            self.request_stop()
            raise
        if self._failure is not None:
            raise BridgeError("the background event loop cannot be made") from self._failure

    def is_here(self) -> bool:
        """Whether the calling thread is the loop's own."""
        return threading.get_ident() == self._ident

    def refuse_if_inherited(self) -> None:
        """Raise ForkedClient in a child of the process the loop runs in."""
        if self.inherited:
            raise ForkedClient(_FORKED)

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Have the loop call *function*. Raises ForkedClient or ClientClosed."""
        self.refuse_if_inherited()
        try:
            self.loop.call_soon_threadsafe(function, *args)
        except RuntimeError:
            raise ClientClosed("the client is closed") from None

    def request_stop(self) -> None:
        """Ask the loop to end; `join` waits for it."""

        def stop() -> None:
            if self._stop is not None and not self._stop.done():
                self._stop.set_result(None)

        if self._stop is not None and not self.inherited:
            try:
                self.loop.call_soon_threadsafe(stop)
            except RuntimeError:
                return  # it has ended already

    def join(self, timeout: float | None = None) -> None:
        """Wait until the loop has ended, for *timeout* seconds at most."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self.ended:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return
            try:
                self._bell.get(timeout=left)
            except queue.Empty:
                return
        self._thread.join(timeout)

    # ---- in the loop's thread

    async def vacate(self, tenant: Tenant, closer: Closer | None) -> Any:
        """End the calls of *tenant*, wait for their clean-up, then close the client itself."""
        under_way = [call for call in tuple(self.calls) if call.tenant is tenant]
        for call in under_way:
            call.expel()
        tasks = [call.task for call in under_way if call.task is not None and not call.task.done()]
        if tasks:
            await asyncio.wait(tasks)
        return None if closer is None else await closer()

    async def vacate_all(self, grace: float) -> None:
        """Close every client that is still open; those not closed after *grace* seconds are left."""
        tenants = [tenant for tenant in tuple(self.tenants) if not tenant.closed]
        for tenant in tenants:
            tenant.closed = True
        tasks = [self.loop.create_task(self.vacate(tenant, tenant.closer)) for tenant in tenants]
        if not tasks:
            return
        done, _ = await asyncio.wait(tasks, timeout=grace)
        for task in done:
            self._report(task)

    def abandon(self, tenant: Tenant) -> None:
        """Close a client that was forgotten, not closed; nobody waits for it."""
        if tenant.closed:
            return
        tenant.closed = True
        chore = self.loop.create_task(self.vacate(tenant, tenant.closer))
        self._chores.add(chore)

        def gone(task: asyncio.Task[Any]) -> None:
            self._chores.discard(task)
            self.tenants.discard(tenant)
            self._report(task)

        chore.add_done_callback(gone)

    def _report(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "avatarkit: closing a client failed", "exception": error, "task": task}
            self.loop.call_exception_handler(context)

    def _thread_main(self) -> None:
        self._ident = threading.get_ident()
        if self._unwanted:
            self.ended = True
            return
        try:
            self.loop = self._factory()
        except BaseException as exc:  # noqa: BLE001 - raised by `start`, in the thread that waits
            self._failure = exc
            self.ended = True
            self._bell.put(None)
            return
        # Our own executor, because the loop ends its own one with a new thread, and at
        # interpreter exit there are none to be had.
        executor = ThreadPoolExecutor(thread_name_prefix="avatarkit-io")
        self.loop.set_default_executor(executor)
        self._stop = self.loop.create_future()
        self._bell.put(None)
        try:
            self._complete(self._until_stopped(self._stop))
            self._complete(_cancel_the_rest(self.loop))
            self._complete(self.loop.shutdown_asyncgens())
        finally:
            executor.shutdown(wait=True)
            self.loop.close()
            self.ended = True
            for call in tuple(self.calls):
                call.finish()
            self._bell.put(None)

    async def _until_stopped(self, stop: asyncio.Future[None]) -> None:
        while not stop.done() and not self._unwanted:
            try:
                await asyncio.shield(stop)
            except asyncio.CancelledError:
                continue  # somebody cancelled every task of the loop; the loop itself stays

    def _complete(self, main: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(main)
        while not task.done():
            try:
                self.loop.run_until_complete(task)
            except (KeyboardInterrupt, SystemExit):
                continue  # raised in a child task, whose parent passes it on to the caller


async def _cancel_the_rest(loop: asyncio.AbstractEventLoop) -> None:
    rest = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for task in rest:
        task.cancel()
    if not rest:
        return
    await asyncio.wait(rest)
    for task in rest:
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "avatarkit: a task failed while the loop ended", "exception": error}
            loop.call_exception_handler(context)
