"""Keeping an account's short-lived credentials fresh: one renewal at a time, however many requests need it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from avatarkit.errors import AuthenticationError, AvatarKitError
from avatarkit.protocol.outcome import repeatable
from avatarkit.transport.watched import own

if TYPE_CHECKING:
    from avatarkit.protocol.auth import Grant
    from avatarkit.protocol.endpoint import Request
    from avatarkit.transport.account import Account
    from avatarkit.transport.driver import Driver


class Renewal:
    """Renews the account's grant on one running loop. Loop thread only."""

    def __init__(self, account: Account, driver: Driver) -> None:
        self._account = account
        self._driver = driver
        self._task: asyncio.Task[None] | None = None
        self._renewed = float("-inf")

    async def fresh(self) -> None:
        """Return once the credentials are good to go out with.

        Raises:
            AuthenticationError: the provider gives no grant for these credentials.
            TransportError: it cannot be reached.
        """
        account = self._account
        while (request := account.auth.renewal(account.clock.time())) is not None:
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._renew(request))
                self._task.add_done_callback(self._done)
            # The renewal serves everybody: whoever is cancelled leaves it to the others.
            try:
                await asyncio.shield(self._task)
            except AvatarKitError as error:
                raise own(error) from error.__cause__

    async def _renew(self, request: Request[Grant]) -> None:
        account, driver = self._account, self._driver
        attempt = 1
        while True:
            await account.clock.sleep(driver.limiter.claim())
            try:
                grant = request.read(await driver.send(request, attempt=attempt, bare=True))
            except AvatarKitError as error:
                if attempt >= account.retry.attempts or not repeatable(error):
                    raise
                await account.clock.sleep(driver.backoff(attempt))
                attempt += 1
            else:
                account.auth.granted(grant, account.clock.time())
                self._renewed = account.clock.monotonic()
                return

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # seen: whoever waits gets it, and there may be nobody left

    def cures(self, error: AvatarKitError, *, since: float) -> bool:
        """Whether other credentials may cure *error*, on a request that went out at monotonic second *since*."""
        if not isinstance(error, AuthenticationError):
            return False
        # Many requests may be refused for one old grant: only the first of them forgets it.
        return self._renewed > since or self._account.auth.rejected(error)

    async def aclose(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
