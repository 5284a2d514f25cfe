"""A bulk run as it goes: a bar with figures on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.progress import Meter, measure
from avatarkit.bulk.progress import Progress as Seen
from avatarkit.cli import output
from avatarkit.cli.invocation import Invocation
from avatarkit.errors import AvatarKitError

_EVERY = 0.5  # seconds between two looks into the ledger; the meter makes it more where that is dear
_LINE_EVERY = 10.0
_NARROW = 60


class Live:
    """Shows one run while it goes; an async context manager.

    Args:
        invocation: whose command it is.
        ledger: where the run is.
        run: the run's name.

    """

    def __init__(self, invocation: Invocation, ledger: Ledger, run: str) -> None:
        self._invocation = invocation
        self._ledger, self._run = ledger, run
        self._meter = Meter(ledger, run)
        self._told, self._told_at = "", 0.0
        self._ticker: asyncio.Task[None] | None = None
        screen = output.console(error=True)
        self._bars: Progress | None = None
        self._row = TaskID(0)
        if screen.is_terminal and not screen.is_dumb_terminal and not invocation.quiet:
            figures = TextColumn("{task.fields[figures]}", markup=False, table_column=Column(ratio=1))
            bars = (BarColumn(bar_width=20),) if screen.width >= _NARROW else ()
            self._bars = Progress(*bars, figures, console=screen, expand=True)

    async def __aenter__(self) -> Live:
        if self._bars is not None:
            self._bars.start()
            self._row = self._bars.add_task("", total=None, figures="reading the manifest")
        self._ticker = asyncio.get_running_loop().create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        if self._bars is not None:
            with suppress(AvatarKitError):
                self._show(await measure(self._ledger, self._run))
            self._bars.stop()

    def say(self, text: str) -> None:
        """A remark that stays above the bar."""
        if self._bars is None:
            output.note(self._invocation, text)
        else:
            self._bars.console.print(Text(output.printable(text)), soft_wrap=True)

    async def _tick(self) -> None:
        while not self._invocation.quiet:
            with suppress(AvatarKitError):  # the run itself says when its ledger is in trouble
                self._show(await self._meter.measure())
            await asyncio.sleep(_EVERY)

    def _show(self, seen: Seen) -> None:
        if not seen.total:
            return
        text, now = seen.line(), time.monotonic()
        if self._bars is not None:
            figures = output.printable(text)
            self._bars.update(self._row, total=1.0, completed=seen.share, figures=figures)
        elif text != self._told and now - self._told_at >= _LINE_EVERY:
            self._told, self._told_at = text, now
            output.note(self._invocation, text)
