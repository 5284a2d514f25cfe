"""Which events are news: each message counts once, and nothing that comes late undoes an end. No I/O, no clock."""

from __future__ import annotations

import enum

from avatarkit.protocol.callback import CallbackEvent


class Verdict(enum.Enum):
    """What an event is to the inbox."""

    NEW = "new"
    """Not seen before, or not to be told from others."""
    COPY = "copy"
    """The same message again."""
    LATE = "late"
    """It says that a task goes on whose end was announced before."""


class Inbox:
    """Remembers messages and announced ends for a while, within bounded memory.

    Forgetting too early costs one look at a task and nothing else.

    Args:
        most: the most messages remembered (and as many ends); the oldest go first.
        keep: seconds for which they are remembered.

    """

    def __init__(self, *, most: int = 50_000, keep: float = 3600.0) -> None:
        self._most = most
        self._keep = keep
        # Dictionaries keep the order of insertion: the oldest is the first.
        self._seen: dict[tuple[str, str], float] = {}
        self._ended: dict[tuple[str, str], float] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def take(self, event: CallbackEvent, now: float) -> Verdict:
        """What *event* is, at *now* (seconds, never going back); a new one is remembered."""
        message, task = event.message_key, event.task_key
        if message and not self._first((event.provider, message), now):
            return Verdict.COPY
        if not task:
            return Verdict.NEW
        key = (event.provider, task)
        if event.status.terminal:
            self._note(self._ended, key, now)
        elif now - self._ended.get(key, -self._keep - now - 1.0) <= self._keep:
            return Verdict.LATE
        return Verdict.NEW

    def _first(self, key: tuple[str, str], now: float) -> bool:
        at = self._seen.get(key)
        if at is not None and now - at <= self._keep:
            return False
        self._note(self._seen, key, now)
        return True

    def _note(self, kept: dict[tuple[str, str], float], key: tuple[str, str], now: float) -> None:
        kept.pop(key, None)
        kept[key] = now
        while len(kept) > self._most or now - kept[next(iter(kept))] > self._keep:
            del kept[next(iter(kept))]
