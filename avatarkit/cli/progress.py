"""Progress on standard error: bars on a terminal, one line per change elsewhere, nothing with ``--quiet``."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import Any

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from avatarkit.cli.invocation import Invocation
from avatarkit.cli.output import console, note, printable, size_text
from avatarkit.errors import TaskFailed
from avatarkit.events import ProgressHook

_EVERY = 0.2  # seconds between two redrawings of estimates
_NARROW = 60


class _State(ProgressColumn):
    """What a row is doing, in its own words."""

    def render(self, task: Task) -> Text:
        return Text(printable(str(task.fields.get("state", ""))), no_wrap=True)


class Board:
    """The running tasks and transfers of one command; an async context manager."""

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation
        screen = console(error=True)
        self._bars: Progress | None = None
        if screen.is_terminal and not screen.is_dumb_terminal and not invocation.quiet:
            name = TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(overflow="ellipsis", no_wrap=True, ratio=1),
            )
            bars = (BarColumn(bar_width=24),) if screen.width >= _NARROW else ()
            self._bars = Progress(name, *bars, _State(), TimeElapsedColumn(), console=screen, expand=True)
        self._followed: dict[TaskID, Any] = {}
        self._ticker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Board:
        if self._bars is not None:
            self._bars.start()
            self._ticker = asyncio.get_running_loop().create_task(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
        if self._bars is not None:
            self._bars.stop()

    async def _tick(self) -> None:
        while True:
            for row, task in self._followed.items():
                self._update(row, completed=task.progress)
            await asyncio.sleep(_EVERY)

    def say(self, text: str) -> None:
        """A remark that stays above the bars."""
        if self._bars is None:
            note(self._invocation, text)
        else:
            self._bars.console.print(Text(printable(text)), soft_wrap=True)

    def row(self, label: str) -> TaskID | None:
        """A new row; None where there are no bars."""
        return None if self._bars is None else self._bars.add_task(printable(label), total=1.0, state="")

    def _update(self, row: TaskID | None, **fields: Any) -> None:
        if self._bars is not None and row is not None:
            self._bars.update(row, **fields)

    def transfer(self, row: TaskID | None, verb: str) -> ProgressHook:
        """A hook that shows bytes going up or down in *row*."""

        def hook(done: int, total: int | None) -> None:
            state = f"{verb} {size_text(done)}"
            self._update(row, completed=done / total if total else 0.0, state=state)

        return hook

    async def follow(self, task: Any, label: str, row: TaskID | None, *, timeout: float | None) -> Any:
        """Wait for *task* as ``task.wait()`` does, showing what it does; gives its artifact."""
        if self._bars is not None and row is not None:
            self._bars.reset(
                row, total=1.0
            )  # an upload that was shown here ended, and stopped the row's clock
            self._followed[row] = task
        try:
            async with aclosing(task.updates(timeout=timeout)) as updates:
                async for update in updates:
                    self._update(row, state=update.status.value)
                    if row is None:
                        note(self._invocation, f"{label}: {update.status.value} ({update.elapsed:.1f} s)")
            return await task.wait(timeout)
        except TaskFailed:
            self._invocation.ledger.done(task.to_token())
            self._update(row, state="failed")
            raise
        finally:
            if task.done:
                self._invocation.ledger.ended.add(task.to_token())
            if row is not None:
                self._followed.pop(row, None)

    def finish(self, row: TaskID | None, state: str) -> None:
        """Fill *row* up and say how it ended."""
        self._update(row, completed=1.0, state=state)
