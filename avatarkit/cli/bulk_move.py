"""``avatarkit bulk move``: a run from its file into PostgreSQL, where many workers share it. Sends nothing."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from avatarkit.bulk.journal import is_address, open_ledger
from avatarkit.bulk.records import Run
from avatarkit.bulk.transfer import Moved, move_run
from avatarkit.cli import output
from avatarkit.cli.bulk_journal import (
    LOOKING,
    RunName,
    check_address,
    keep_fleet,
    opened_ledger,
    shown,
    the_run,
)
from avatarkit.cli.invocation import Invocation
from avatarkit.cli.running import run as run_loop
from avatarkit.errors import InvalidRequest
from avatarkit.transport.store_urls import is_store_url


def move(
    invocation: Invocation,
    *,
    journal: Annotated[str, typer.Argument(metavar="JOURNAL", help="The run's file (….run.db).")],
    dsn: Annotated[
        str,
        typer.Option("--dsn", metavar="ADDRESS", help="Where to: postgresql://user:password@host/database."),
    ],
    run: RunName = None,
) -> None:
    """Move a run that nobody works on into PostgreSQL, every job as it is; workers go on with it there.

    From then on its file submits nothing. When this is cut off, do it again: it goes on.
    """
    if is_address(journal):
        raise InvalidRequest("JOURNAL: an address found, a file allowed")
    check_address(dsn)

    async def main() -> tuple[Run, Moved]:
        async with opened_ledger(journal, invocation) as source:
            each = await the_run(source, run)
            target: Any = await open_ledger(dsn, opening=LOOKING, say=partial(output.note, invocation))
            try:
                moved = await move_run(source, target, each.id)  # type: ignore[arg-type]  # a file's ledger
                there = await target.get_run(each.id)
                await keep_fleet(target, each.id)
            finally:
                await target.aclose()
            assert there is not None
            return there, moved

    there, moved = run_loop(invocation, main)
    if invocation.json:
        told = {"run": there.id, "jobs": moved.jobs, "in_doubt": moved.intents, "journal": shown(dsn)}
        output.write_json({"type": "moved", **told})
        return
    output.line(f"the run {there.id} is in {shown(dsn)}: {moved.jobs:,} jobs, parts counted")
    if moved.intents:
        output.note(invocation, f"{moved.intents:,} of them are in doubt; the workers find out about them")
    if not is_store_url(there.settings.out):
        output.note(
            invocation,
            f"its videos go to {there.settings.out} on whichever machine fetches them; "
            "feed the run again with another --out to change that",
        )
    output.note(invocation, f"start workers with the same --dsn: avatarkit bulk worker --run {there.id}")
