"""Events for the customer's server: sent when a task changes, tried again as the vendor does."""

from __future__ import annotations

import asyncio
import ipaddress
import math
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeCallback, FakeTask
from avatarkit.sandbox.seen import Seen
from avatarkit.sandbox.world import SandboxWorld
from avatarkit.transport.clock import Clock

if TYPE_CHECKING:
    import aiohttp

_TIMEOUT = 10.0


class Callbacks:
    """Watches tasks whose account has a callback URL when they are accepted, and delivers their events.

    Only loopback addresses are called: the sandbox must not reach into anybody's network.
    """

    def __init__(self, world: SandboxWorld, seen: Seen, clock: Clock) -> None:
        self._world = world
        self._seen = seen
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._watched: dict[str, set[Status]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._senders: set[asyncio.Task[None]] = set()

    def watch(self, task: FakeTask) -> None:
        """Follow a task that was just accepted."""
        account = self._world.account(task.provider, task.account)
        if task.callback_url or (account is not None and account.callback_url):
            self._watched[task.id] = set()
            self.check(task)

    def check(self, task: FakeTask) -> None:
        """Send what is due for a watched task and set the timer for what comes next."""
        told = self._watched.get(task.id)
        if told is None:
            return
        if timer := self._timers.pop(task.id, None):
            timer.cancel()
        status = self._world.status(task)
        if status in self._world.fakes[task.provider].callback_statuses and status not in told:
            told.add(status)
            self._send(task, status)
        if status.terminal:
            del self._watched[task.id]
            return
        due = min(task.runs_at, task.ready_at) if status is Status.QUEUED else task.finished_at
        if due < math.inf:
            # A millisecond at least: a wall clock may still be a rounding error short of the mark.
            wait = max(0.001, due - self._world.now())
            self._timers[task.id] = self._clock.call_later(wait, lambda: self.check(task))

    def _send(self, task: FakeTask, status: Status) -> None:
        event = self._world.fakes[task.provider].callback(task, status, self._world)
        for _ in range(event.copies if event else 0):
            assert event is not None
            sender = asyncio.get_running_loop().create_task(self._deliver(task, event))
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)

    async def _deliver(self, task: FakeTask, event: FakeCallback) -> None:
        for attempt, delay in enumerate((0.0, *event.delays), start=1):
            if delay:
                await self._clock.sleep(delay)
            if await self._try(task, event, attempt):
                return

    async def _try(self, task: FakeTask, event: FakeCallback, attempt: int) -> bool:
        status, error, done = 0, "", False
        if not _is_loopback(event.url):
            error, done = "refused: not a loopback address", True
        else:
            try:
                status, answer = await self._post(event)
                done = event.acknowledged(status, answer)
            except (OSError, TimeoutError, ValueError) as failure:
                error = type(failure).__name__
        self._seen.callbacks.append(
            {
                "task": task.id,
                "url": event.url,
                "attempt": attempt,
                "status": status,
                "error": error,
                "at": self._world.now(),
                "body": event.body.decode(),
            }
        )
        return done

    async def _post(self, event: FakeCallback) -> tuple[int, bytes]:
        import aiohttp

        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
            self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        try:
            async with self._session.post(
                event.url, data=event.body, headers=event.headers, allow_redirects=False
            ) as response:
                return response.status, await response.content.read(65536)
        except aiohttp.ClientError as failure:
            raise ConnectionError(type(failure).__name__) from failure

    async def aclose(self) -> None:
        """Stop all timers and tries."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for sender in list(self._senders):
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None


def _is_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
