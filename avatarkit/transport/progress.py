"""Telling the user how far a transfer is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal

from avatarkit.events import BytesMoved, Event, ProgressHook

_log = logging.getLogger("avatarkit.transfer")


class Meter:
    """Counts the bytes of one transfer and reports each step.

    The count goes back when a transfer has to start again. An error in the progress hook is logged once and
    the hook is not called again; it never ends the transfer.
    """

    def __init__(
        self,
        direction: Literal["up", "down"],
        name: str,
        total: int | None,
        *,
        progress: ProgressHook | None = None,
        emit: Callable[[Event], None] | None = None,
    ) -> None:
        self.direction = direction
        self.name = name
        self.total = total
        self.done = 0
        self._progress = progress
        self._emit = emit

    def moved(self, count: int) -> None:
        """*count* more bytes are through."""
        self.at(self.done + count)

    def at(self, done: int) -> None:
        """*done* bytes are through in all."""
        self.done = done
        if self._emit is not None:
            self._emit(BytesMoved(direction=self.direction, name=self.name, done=done, total=self.total))
        if self._progress is not None:
            try:
                self._progress(done, self.total)
            except Exception:  # noqa: BLE001 - a hook may raise anything
                _log.exception("the progress hook failed; it is not called again for %s", self.name)
                self._progress = None
