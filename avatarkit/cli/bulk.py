"""``avatarkit bulk``: many videos from one manifest, with a journal that survives every way of ending."""

from __future__ import annotations

import typer

from avatarkit.cli import bulk_adopt, bulk_move, bulk_resolve, bulk_run, bulk_show, bulk_worker
from avatarkit.cli.invocation import command


def register(app: typer.Typer) -> None:
    """Add the commands of this group to *app*."""
    group = typer.Typer(
        help="Many videos from a CSV or JSON lines; what was paid for is never lost.", no_args_is_help=True
    )
    command(group, "run")(bulk_run.bulk_run)
    command(group, "feed")(bulk_worker.feed)
    command(group, "worker")(bulk_worker.worker)
    command(group, "status")(bulk_show.status)
    command(group, "report")(bulk_show.report)
    command(group, "doubts")(bulk_show.doubts)
    command(group, "adopt")(bulk_adopt.adopt)
    command(group, "resend")(bulk_resolve.resend)
    command(group, "abandon")(bulk_resolve.abandon)
    command(group, "cancel")(bulk_resolve.cancel)
    command(group, "export")(bulk_show.export)
    command(group, "move")(bulk_move.move)
    app.add_typer(group, name="bulk")
