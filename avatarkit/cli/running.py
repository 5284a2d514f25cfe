"""Running a command's coroutine so that Ctrl-C ends it cleanly, and a second Ctrl-C ends it at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from avatarkit import providers
from avatarkit.chain import AsyncChain
from avatarkit.cli import output
from avatarkit.cli.failures import Exit, Interrupted, interrupted_bytes
from avatarkit.cli.invocation import Invocation
from avatarkit.cli.progress import Board
from avatarkit.errors import (
    AvatarKitError,
    ConfigurationError,
    SubmissionInDoubt,
    TaskFailed,
    UnsupportedOperation,
)
from avatarkit.events import Hook
from avatarkit.protocol.endpoint import ProviderSpec
from avatarkit.settings import Polling

T = TypeVar("T")
_TWITCH = 0.3
"""Seconds in which further signals count as the first: a terminal and a wrapper often send the same Ctrl-C twice."""


def run(invocation: Invocation, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main()`` on a fresh event loop.

    The first SIGINT or SIGTERM cancels it, which lets submissions under way come to their end; the second ends the
    process, after saying what is known.

    Raises:
        Interrupted: it was stopped.

    """
    stop = _Stop(invocation)
    try:
        with asyncio.Runner() as runner:
            return runner.run(stop.guard(main))
    except (KeyboardInterrupt, asyncio.CancelledError):
        if stop.number is None:
            raise
        raise Interrupted(Exit.TERMINATED if stop.number == signal.SIGTERM else Exit.INTERRUPTED) from None


class _Stop:
    """The signal handlers of one run."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        self._cancel: Callable[[], object] = lambda: None
        self._since = 0.0
        self.number: int | None = None

    async def guard(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if threading.current_thread() is not threading.main_thread():
            return await main()
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def cancel() -> None:
            task.cancel()
            loop.call_later(_TWITCH, output.note, self._invocation, "stopping … (Ctrl-C again: at once)")

        self._cancel = lambda: loop.call_soon_threadsafe(cancel)
        before = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            return await main()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if self.number is None:
            self.number, self._since = number, now
            self._cancel()
            return
        if now - self._since < _TWITCH:
            return
        # Whatever hangs now is not waited for: no locks, no buffers, only what the operating system offers.
        out, error = interrupted_bytes(self._invocation)
        with suppress(OSError):
            os.write(1, out)
            os.write(2, b"\x1b[?25h" + error if sys.stderr.isatty() else error)
        os._exit(Exit.TERMINATED if number == signal.SIGTERM else Exit.INTERRUPTED)


@asynccontextmanager
async def opened(
    invocation: Invocation,
    provider: str,
    *,
    credentials: Sequence[str] = (),
    base_url: str | None = None,
    hook: Hook | None = None,
    staging: str | None = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """A client of *provider*, by default with the environment's credentials, whose submissions the ledger hears of.

    *hook* hears of everything besides the ledger. An in-doubt submission is looked up at the provider once, for free,
    before its error goes on.

    Raises:
        ConfigurationError: there is no such provider; the hint names those that there are.
        MissingCredentials: a variable is not set.

    """
    if base_url:
        options["base_url"] = base_url
    if staging is not None:
        options["staging"] = staging
    client_class = providers.client_class(provider)
    options = _pace(providers.spec(provider), base_url) | options
    hooks = [invocation.ledger.heard, *filter(None, [hook])]
    client = client_class(*credentials, hooks=hooks, **options)
    invocation.ledger.clients.append(client)
    async with client:
        try:
            yield client
        except SubmissionInDoubt as error:
            with suppress(AvatarKitError):
                error.finding = await client.reconcile(error.ticket)  # type: ignore[attr-defined]
            raise


def _pace(spec: ProviderSpec, base_url: str | None) -> dict[str, Any]:
    """One person waits for one task: look more often than a fleet would. A sandbox is done within seconds."""
    address = base_url or os.environ.get(spec.base_url_variable) or spec.base_url
    try:
        host = urlsplit(address).hostname or ""
    except ValueError as error:
        raise ConfigurationError(f"the base URL is no URL: {error}") from None
    if host == "localhost" or host.startswith("127.") or host == "::1":
        # Proxies from the environment lead away from this machine, never back to it.
        return {"polling": Polling(shortest=0.2, longest=0.5), "proxy": ""}
    return {"polling": Polling(longest=5.0)}


def operation(client: Any, name: str) -> Callable[..., Any]:
    """A client's operation by its name, e.g. ``avatars.create_by_image``.

    Raises:
        UnsupportedOperation: the provider has none; names those that have.

    """
    group, _, method = name.partition(".")
    found: Callable[..., Any] | None = getattr(getattr(client, group, None), method, None)
    if found is not None:
        return found
    able = [each for each in providers.names() if any(e.name == name for e in providers.spec(each).endpoints)]
    who = f"Providers that can: {', '.join(able)}." if able else ""
    raise UnsupportedOperation(f"{client.spec.title} cannot do {name}", providers=able, hint=who)


# -- following a task, step by step ------------------------------------------------------------------------------------


async def follow(
    invocation: Invocation, board: Board, task: Any, label: str, *, timeout: float
) -> tuple[Any, Any]:
    """Wait for *task* as its ``wait`` does, with a row for each step; what it made, and the last row.

    A chain's next steps are submitted, which is billed. The ledger always has the token that goes on from where it is.
    """
    if not isinstance(task, AsyncChain):
        row = board.row(label)
        return await board.follow(task, label, row, timeout=timeout), row
    deadline = time.monotonic() + timeout
    while True:
        token, at, steps = task.to_token(), task.step, task.steps
        name = f"{label}, step {at + 1} of {len(steps)} ({steps[at]})"
        row = board.row(name)
        try:
            left = max(0.001, deadline - time.monotonic())
            made = await board.follow(task.current, name, row, timeout=left)
        except AvatarKitError as error:
            error.token = token
            if isinstance(error, TaskFailed):
                invocation.ledger.done(token)
            raise
        if at == len(steps) - 1:
            return made, row
        kind = task.current.kind.value
        invocation.ledger.made[kind] = made.id
        board.finish(row, "ready")
        board.say(f"{kind} {made.id} (use it again with --{kind} {made.id})")
        await _go_on(invocation, task, token)


async def _go_on(invocation: Invocation, task: AsyncChain, token: str) -> None:
    """Submit the next step, and see to it that the ledger has the token that is right after it, whatever happens."""
    ledger = invocation.ledger
    # With the old token another process would submit the step a second time.
    ledger.done(token)
    at = task.step
    moving = asyncio.ensure_future(task.refresh())
    try:
        await asyncio.wait([moving])
    except asyncio.CancelledError:
        await asyncio.wait([moving], timeout=ledger.clients[-1].submit_seconds)
        raise
    finally:
        if moving.done():
            now = task.to_token()
            if now not in ledger.open:
                ledger.open.append(now)
                if task.step != at:  # the provider showed that it was submitted elsewhere
                    ledger.tell(now)
            moving.cancelled() or moving.exception()
    moving.result()
