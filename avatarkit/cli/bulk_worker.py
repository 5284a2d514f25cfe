"""``avatarkit bulk feed`` and ``bulk worker``: one run, put into PostgreSQL here, worked on by many machines."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from avatarkit import providers
from avatarkit.bulk.fleet import FleetOptions, open_engine
from avatarkit.bulk.fleet_worker import FleetWorker, set_rate
from avatarkit.bulk.ledger import Ledger as RunLedger
from avatarkit.bulk.progress import measure
from avatarkit.bulk.records import Run
from avatarkit.bulk.run import BulkRun
from avatarkit.cli import bulk_check, output
from avatarkit.cli.bulk_journal import (
    ENGINE,
    MAIN,
    check_address,
    keep_fleet,
    open_patiently,
    same_account,
    shown,
    the_run,
)
from avatarkit.cli.bulk_places import places_in
from avatarkit.cli.bulk_tell import exit_of, summary, summary_lines
from avatarkit.cli.bulk_wanted import Wanted, options_of, settled
from avatarkit.cli.failures import Exit
from avatarkit.cli.invocation import Invocation, Ledger
from avatarkit.cli.options import (
    BaseUrl,
    Budget,
    DefaultCost,
    Encoding,
    FileNames,
    MaxFailures,
    Retries,
    Sidecar,
    address_problems,
    settle,
)
from avatarkit.cli.running import opened, run
from avatarkit.errors import ConfigurationError, InvalidRequest
from avatarkit.events import Event
from avatarkit.settings import Polling
from avatarkit.transport.store_urls import is_store_url

Dsn = Annotated[
    str,
    typer.Option(
        "--dsn", metavar="ADDRESS", help="postgresql://user:password@host/database, as for all workers."
    ),
]
_AGAIN = "Else as the run has it."


class _Apart(Ledger):
    """The run's ledger knows every token: nothing of it is this process's to tell."""

    def heard(self, event: Event) -> None:
        """A client's hook."""


# -- feeding


def feed(
    invocation: Invocation,
    *,
    manifest: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="CSV, JSON lines or Parquet: one row, one video.")
    ],
    dsn: Dsn,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help=f"Whose API, e.g. hifly. {_AGAIN}")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", metavar="DIR", help=f"s3://bucket/prefix, or a folder all workers share. {_AGAIN}"
        ),
    ] = None,
    name: FileNames = None,
    budget: Budget = None,
    default_cost: DefaultCost = None,
    sidecar: Sidecar = None,
    retries: Retries = None,
    max_failures: MaxFailures = None,
    max_running: Annotated[
        int | None,
        typer.Option("--max-running", min=1, help="Tasks at once over all workers; else learned."),
    ] = None,
    staging: Annotated[
        str | None,
        typer.Option("--staging", metavar="URL", help="Where files go for providers that take only URLs."),
    ] = None,
    base_url: BaseUrl = None,
    encoding: Encoding = None,
    run_name: Annotated[str, typer.Option("--run", metavar="NAME", help="The run's name.")] = MAIN,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Check every row and put the run into PostgreSQL, where workers find it. They submit it, which is billed."""
    if out is not None and not is_store_url(out):
        settle(address_problems("out", out))
        out = str(Path(out).absolute())  # workers are started elsewhere
    given = {
        "provider": provider, "out": out, "name": name, "budget": budget, "default_cost": default_cost,
        "sidecar": sidecar, "retries": retries, "max_failures": max_failures,
    }  # fmt: skip
    check_address(dsn)
    earlier = run(invocation, lambda: _earlier(invocation, dsn, run_name))
    encoding = run(invocation, bulk_check.settled_encoding(invocation, encoding, dsn, earlier))
    wanted = Wanted(
        manifest=manifest, journal=dsn, run=run_name, settings=settled(given, manifest, earlier),
        max_running=max_running, staging=staging, base_url=base_url,
        encoding=encoding, earlier=earlier,
    )  # fmt: skip
    found = run(
        invocation,
        lambda: bulk_check.check(manifest, wanted.settings, most_running=max_running, encoding=encoding),
    )
    bulk_check.refuse(invocation, manifest, found)
    for text in bulk_check.plan_lines(found, wanted.settings):
        output.note(invocation, text)
    bulk_check.confirm(yes=yes)
    rows = run(invocation, lambda: _fed(invocation, wanted))
    if invocation.json:
        output.write_json({"type": "fed", "rows": rows, "run": run_name, "journal": shown(dsn)})
        return
    output.line(
        f"{rows:,} rows are in the run {run_name}; start workers with the same --dsn: avatarkit bulk worker"
    )


async def _earlier(invocation: Invocation, dsn: str, name: str) -> Run | None:
    async with _ledger(invocation, dsn) as ledger:
        return await ledger.get_run(name)


async def _fed(invocation: Invocation, wanted: Wanted) -> int:
    async with AsyncExitStack() as stack:
        options = {"max_running": wanted.max_running} if wanted.max_running is not None else {}
        client = await stack.enter_async_context(
            _client(invocation, wanted.settings.provider, wanted.base_url, wanted.staging, **options)
        )
        ledger = await stack.enter_async_context(_ledger(invocation, wanted.journal))
        if (unbound := wanted.unbound) is not None and unbound.account == client.account_id:
            await ledger.open_run(wanted.run, unbound)  # the run itself takes "no budget" for "as before"
        bulk = BulkRun(client, wanted.manifest, ledger, options_of(wanted))
        try:
            bulk = await stack.enter_async_context(bulk)
        except ConfigurationError as error:
            raise same_account(error, wanted.earlier, client) from None
        await keep_fleet(ledger, wanted.run)
        try:
            return await bulk.feed()
        except InvalidRequest as error:  # rows that the ledger has with another content
            raise bulk_check.refused(invocation, wanted.manifest, error) from None


# -- working


def worker(
    invocation: Invocation,
    *,
    dsn: Dsn,
    run_name: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="Which run, where there are several.")
    ] = None,
    engine: Annotated[
        str,
        typer.Option("--engine", metavar="NAME", help="pgqueuer or procrastinate; the same for all workers."),
    ] = ENGINE,
    submits: Annotated[int, typer.Option("--submits", min=1, help="Uploads and submissions at once.")] = 16,
    downloads: Annotated[int, typer.Option("--downloads", min=1, help="Downloads at once.")] = 8,
    per_second: Annotated[
        float | None,
        typer.Option(
            "--per-second",
            min=0.001,
            help="The account's requests a second, over all workers; else the provider's default.",
        ),
    ] = None,
    max_running: Annotated[
        int | None,
        typer.Option("--max-running", min=1, help="Tasks at once over all workers; else learned."),
    ] = None,
    until_done: Annotated[bool, typer.Option("--until-done", help="End when the run is over.")] = False,
    staging: Annotated[
        str | None,
        typer.Option("--staging", metavar="URL", help="Where files go for providers that take only URLs."),
    ] = None,
    base_url: BaseUrl = None,
) -> None:
    """Work on a run together with any number of other workers. Billed: it submits the run's jobs.

    Ctrl-C or SIGTERM finishes what is under way, and the others go on. Start as many as you like, wherever the database
    can be reached.
    """
    options = FleetOptions(submits=submits, downloads=downloads, until_done=until_done)
    invocation.lines = True
    check_address(dsn)
    if not invocation.debug:
        for each in ("pgqueuer", "procrastinate", "psycopg.pool"):  # what matters of theirs is said by us
            logging.getLogger(each).setLevel(logging.CRITICAL)

    async def main() -> Exit:
        async with AsyncExitStack() as stack:
            ledger = await stack.enter_async_context(_ledger(invocation, dsn))
            found = await the_run(ledger, run_name)
            client = await stack.enter_async_context(
                _client(invocation, found.settings.provider, base_url, staging, rate_limit=None)
            )
            carrying = await open_engine(engine, dsn)
            stack.push_async_callback(carrying.aclose)
            rate = await set_rate(ledger, client, per_second)
            if max_running is not None:
                await ledger.set_limits(client.account_id, most_running=max_running)
            pace = "" if rate is None else f", at most {rate:g} requests a second over all workers"
            output.note(invocation, f"working on the run {found.id} in {shown(dsn)} with {engine}{pace}")
            await keep_fleet(ledger, found.id, engine)
            try:
                await _carried(invocation, FleetWorker(client, ledger, found, carrying, options))
            except ConfigurationError as error:
                raise same_account(error, found, client) from None
            return await _summed_up(invocation, ledger, found.id, dsn, over=until_done)

    code = run(invocation, main)
    if code is not Exit.OK:
        raise typer.Exit(code)


async def _carried(invocation: Invocation, working: FleetWorker) -> None:
    """Work until the end, or until the first signal; that one is how a worker is meant to be stopped."""
    stop = asyncio.Event()
    task = asyncio.get_running_loop().create_task(working.work(stop))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.done():
            raise
        output.note(invocation, "taking no more work; what is under way is finished first")
        stop.set()
        await task
    finally:
        task.cancel()


async def _summed_up(invocation: Invocation, ledger: RunLedger, name: str, dsn: str, *, over: bool) -> Exit:
    """Tell where the run is; the exit code is the run's when it was waited for, else that of this worker's own end."""
    now = await ledger.get_run(name)
    assert now is not None
    seen = await measure(ledger, name)
    told = summary(now, seen, shown(dsn), await places_in(ledger, now, seen.done))
    if invocation.json:
        output.write_json(told, lines=True)
    else:
        first, *rest = summary_lines(told)
        output.line(first)
        for text in rest:
            output.note(invocation, text)
    return exit_of(now, await ledger.counts(name)) if over and not told["left"] else Exit.OK


# -- what both open


@asynccontextmanager
async def _ledger(invocation: Invocation, dsn: str) -> AsyncIterator[RunLedger]:
    ledger = await open_patiently(dsn, invocation)
    try:
        yield ledger
    finally:
        await ledger.aclose()


@asynccontextmanager
async def _client(
    invocation: Invocation, provider: str, base_url: str | None, staging: str | None, **options: Any
) -> AsyncIterator[Any]:
    """A client that looks at its tasks as a program does, not as often as a person would."""
    if base_url is None and not os.environ.get(providers.spec(provider).base_url_variable):
        options["polling"] = Polling()
    apart = attrs.evolve(invocation, ledger=_Apart())
    async with opened(apart, provider, base_url=base_url, staging=staging, **options) as client:
        yield client
