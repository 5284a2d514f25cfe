"""How many submissions a leader has the workers make: one for each slot that is free, and none that would only wait.

While the account is full nobody asks whether it still is. The leader's looks end the tasks that hold the slots, so it
knows when there is one, and sends a message for it; what is on its way to a worker is counted until it arrives.

The count may be off: another run uses the same account, a message was lost, a submission was given back. Too many
messages wait at a worker's door for a while and then come back; too few are made up for when those that were counted
are looked up, or taken for lost. The cap itself is kept by the ledger alone.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.records import JobState

_SLOW = 1.0  # seconds after which a job is looked up whose message seems to be on its way still
_LOOKED_UP = 8  # of them at once


class Slots:
    """The free slots of an account, as the leader of one run sees them.

    Args:
        ledger: which counts what runs.
        account: whose slots.
        run: whose messages.
        patience: seconds after which a message that has led to nothing is not counted any more.

    """

    def __init__(self, ledger: Ledger, account: str, run: str, *, patience: float) -> None:
        self._ledger = ledger
        self._account = account
        self._run = run
        self._patience = patience
        self._running = 0
        self._freed = 0
        self._sent: dict[str, tuple[float, float]] = {}
        """By key, oldest first: when its message went out, and when it is to be looked up."""

    def __len__(self) -> int:
        """Messages that were sent and have not led to a submission yet, as far as it is known."""
        return len(self._sent)

    def freed(self, many: int) -> None:
        """The ledger was told of the end of so many tasks."""
        self._freed += many

    def sent(self, keys: Iterable[str]) -> None:
        """Messages for these jobs went out."""
        now = asyncio.get_running_loop().time()
        self._sent.update(dict.fromkeys(keys, (now, now + _SLOW)))

    async def free(self) -> float:
        """How many messages there are slots for; infinite where the account has no cap. Raises as the ledger does."""
        freed = self._freed
        limits = await self._ledger.limits(self._account)
        # What runs now ran before or was submitted since: so many of the messages have arrived.
        arrived = max(0, limits.running - self._running + freed)
        for key in list(self._sent)[:arrived]:
            del self._sent[key]
        self._running = limits.running
        self._freed -= freed
        if limits.most_running is None:
            self._sent.clear()  # nothing is counted where nothing is limited
            return math.inf
        await self._look_up()
        return max(0, limits.most_running - limits.running - len(self._sent))

    async def _look_up(self) -> None:
        """Count no longer what was lost, and what came and went between two countings."""
        now = asyncio.get_running_loop().time()
        for key, (sent, _) in list(self._sent.items()):
            if sent + self._patience > now:
                break
            del self._sent[key]
        slow = [key for key, (_, look_up) in self._sent.items() if look_up <= now]
        for key in slow[:_LOOKED_UP]:
            job = await self._ledger.get(self._run, key)
            if job is not None and job.state is JobState.NEW:
                self._sent[key] = (self._sent[key][0], now + _SLOW)
            else:
                del self._sent[key]
