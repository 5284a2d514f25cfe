"""One task on the loop, and the bell its caller listens for."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import queue
import sys
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any

from avatarkit._bridge.naming import keep_notes
from avatarkit.errors import BridgeError, ClientClosed

if TYPE_CHECKING:
    from avatarkit._bridge.loop import Bridge, Tenant

_logger = logging.getLogger("avatarkit")

Job = Callable[[], object]

# Windows does not deliver Ctrl-C to a thread that waits for a lock without a time-out.
_POLL_SECONDS = 0.1 if sys.platform == "win32" else None
# A call that is over rings no more if the loop ends first, so its caller must look now and then.
_LOOK_SECONDS = 0.05

current: contextvars.ContextVar[Call] = contextvars.ContextVar("avatarkit_bridge_call")
"""The call a coroutine runs for; the tasks it starts inherit it."""


class Call:
    """One coroutine run on the loop for one caller.

    *main* makes the awaitable, in the loop. *tenant* is the client the call is made for, or
    None when the bridge itself calls. Methods say which thread they belong to.
    """

    __slots__ = (
        "aborted",
        "begun",
        "bell",
        "bridge",
        "done",
        "error",
        "expelled",
        "forsaken",
        "items",
        "main",
        "questions",
        "task",
        "tenant",
        "turn",
        "value",
    )

    def __init__(self, bridge: Bridge, tenant: Tenant | None, main: Callable[[], Awaitable[Any]]) -> None:
        self.bridge = bridge
        self.tenant = tenant
        self.main: Callable[[], Awaitable[Any]] | None = main
        self.bell: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.task: asyncio.Task[None] | None = None
        self.begun = self.done = self.aborted = self.expelled = self.forsaken = False
        self.value: Any = None
        self.error: BaseException | None = None
        # What an iterator or a context manager has handed over; a plain call never does.
        self.items: list[Any] | tuple[()] = ()
        self.turn: asyncio.Future[Any] | None = None
        self.questions: Collection[asyncio.Future[Any]] = ()

    def __del__(self) -> None:
        # The net under `settle`: a second interrupt may have come before it could do anything.
        if self.value is None or self.bridge.inherited or not _is_owed(self.value):
            return
        try:
            self.bridge.post(self.forsake)
        except ClientClosed:
            self._hand_back()

    # ---- in the loop's thread

    def start(self) -> None:
        """Make the task, unless the call was ended before it could begin."""
        if not self.done:
            self.task = self.bridge.loop.create_task(self._host())

    async def _host(self) -> None:
        main, self.main = self.main, None
        self.begun = True
        current.set(self)
        try:
            assert main is not None
            self.value = await main()
        except BaseException as exc:  # noqa: BLE001 - a KeyboardInterrupt in here is the caller's, not the loop's
            self.error = exc
        finally:
            self.finish()

    def finish(self) -> None:
        """Note that the call is over and ring. Harmless when repeated."""
        if self.forsaken:
            self._hand_back()  # before `done`: the caller that leaves goes on when it sees that
        self.done = True
        self.main = None
        self.bridge.calls.discard(self)
        for question in tuple(self.questions):
            question.cancel()
        self.bell.put(None)

    def abort(self) -> None:
        """Cancel the task, once: a second cancel would break into its clean-up. Always ring."""
        if self.done or self.aborted:
            self.bell.put(None)
            return
        self.aborted = True
        if self.task is not None:
            self.task.cancel()
        if not self.begun:
            self.finish()  # a task cancelled before its first step never runs a line of ours

    def expel(self) -> None:
        """Abort because the client is being closed, which the caller is told."""
        self.expelled = True
        self.abort()

    def forsake(self) -> None:
        """Abort because the caller is leaving; what the call made, or still makes, is handed back."""
        self.forsaken = True
        if self.done:
            self._hand_back()
        self.abort()

    def _hand_back(self) -> None:
        """Tell what the call made that nobody got it. Only on the loop, hence once; or where nothing else can."""
        value = self.value
        for item in value if isinstance(value, list | tuple) else (value,):
            if _is_owed(item):
                try:
                    item.abandoned()
                except Exception:
                    _logger.exception("what a call made could not be told that its caller has gone")
        self.value = None

    async def hand_over(self, value: Any) -> Any:
        """Give *value* to the caller and wait for the answer it gives with `reply`."""
        assert isinstance(self.items, list)
        self.turn = self.bridge.loop.create_future()
        self.items.append(value)
        self.bell.put(None)
        return await self.turn

    def reply(self, answer: Any = None) -> None:
        """Let the task go on after `hand_over`."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(answer)

    # ---- in the caller's thread

    def launch(self) -> None:
        """Send the call to the loop. From here on, whatever happens must end in `wait` or `settle`."""
        # Known to the loop before it is posted: if the loop ends in between, it still rings.
        self.bridge.calls.add(self)
        self.bridge.post(self.start)

    def wait(self) -> None:
        """Serve the bell until the call is over or has handed something over."""
        listen = self.bell.get
        while not self.done and not self.items:
            try:
                job = listen(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if job is not None:
                job()
        while self.done and not self.bell.empty():
            job = self.bell.get()
            if job is not None:
                job()

    def out_of_reach(self) -> bool:
        """Whether nobody could wait for the call: in a forked child, on the loop's thread, at the very end."""
        return self.bridge.inherited or self.bridge.is_here() or sys.is_finalizing()

    def settle(self, exc: BaseException) -> None:
        """End the call for a caller that is leaving with *exc*, and wait for its clean-up.

        A value the caller does not get any more (a task the provider has accepted) is told so, by its method
        ``abandoned``, exactly once. What the clean-up raised (a submission in doubt, say) becomes the context
        of *exc*.
        """
        if self.done and not _is_owed(self.value):
            return
        if self.out_of_reach():
            if self.bridge.is_here():  # a forgotten iterator, collected on the loop's thread
                self.bridge.loop.call_soon(self.forsake)
            return
        try:
            self._request_end()
            while not self.done or _is_owed(self.value):
                try:  # the user's functions are not run any more
                    self.bell.get(timeout=_LOOK_SECONDS if self.done else _POLL_SECONDS)
                except queue.Empty:
                    if self.bridge.ended:
                        self.forsake()
        except BaseException:
            self._request_end()  # the interrupt may have come before the first request went out
            raise
        error, self.error = self.error, None
        if error is not None:
            keep_notes(exc, error)  # which task goes on, say: the user sees *exc*, not the cancellation
        if error is not None and error is not exc and not isinstance(error, asyncio.CancelledError):
            exc.__context__ = exc.__context__ or error

    def _request_end(self) -> None:
        try:
            self.bridge.post(self.forsake)
        except ClientClosed:  # no loop is left, so nothing runs
            self.forsaken = True
            self.finish()

    def result(self) -> Any:
        """The value, or the error raised. Only for a call that is over."""
        if not self.begun:
            raise ClientClosed("the client was closed before the call could begin")
        if self.error is None:
            return self.value
        error, self.error = self.error, None
        try:
            if not isinstance(error, asyncio.CancelledError):
                raise error
            if self.expelled:
                closed = ClientClosed("the client was closed while this call was under way")
                keep_notes(closed, error)
                raise closed from None
            raise BridgeError("the call was cancelled from inside the event loop") from error
        finally:
            del error  # else the traceback holds this frame, and this frame the traceback


def _is_owed(value: Any) -> bool:
    """Whether *value*, or something in a list or tuple, must be told when no caller gets it."""
    if isinstance(value, list | tuple):
        return any(map(_is_owed, value))
    return hasattr(type(value), "abandoned")


async def ask_caller(function: Callable[[], Any]) -> Any:
    """Run *function* in the blocked caller's thread and give its result.

    Raises BridgeError when that caller has gone (its call is over or was cancelled).
    """
    call = current.get(None)
    if call is None or call.done or call.aborted:
        raise BridgeError("no blocking call is waiting that could run the function")
    loop = asyncio.get_running_loop()
    question: asyncio.Future[Any] = loop.create_future()

    def settle(value: Any, error: BaseException | None) -> None:
        if question.done():
            return
        if error is None:
            question.set_result(value)
        else:
            question.set_exception(error)

    def answer() -> None:
        value: Any = None
        error: Exception | None = None
        try:
            value = function()
        except StopIteration as exc:  # a future cannot carry it
            error = RuntimeError("the function raised StopIteration")
            error.__cause__ = exc
        except Exception as exc:  # noqa: BLE001 - it goes to the coroutine, which may handle it
            error = exc
        loop.call_soon_threadsafe(settle, value, error)

    if not isinstance(call.questions, set):
        call.questions = set()
    call.questions.add(question)
    call.bell.put(answer)
    try:
        return await question
    finally:
        call.questions.discard(question)
