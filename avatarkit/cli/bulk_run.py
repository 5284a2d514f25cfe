"""``avatarkit bulk run``: a manifest in, videos out; started again, it goes on where it was."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from avatarkit.bulk.checking import CheckReport
from avatarkit.bulk.journal import is_address
from avatarkit.bulk.ledger import Ledger as SomeLedger
from avatarkit.bulk.progress import measure
from avatarkit.bulk.records import Run
from avatarkit.bulk.run import BulkRun, JobOutcome
from avatarkit.cli import bulk_check, output
from avatarkit.cli.bulk_journal import (
    MAIN,
    command_line,
    exists,
    looked_into,
    open_patiently,
    same_account,
    shown,
)
from avatarkit.cli.bulk_live import Live
from avatarkit.cli.bulk_places import Places
from avatarkit.cli.bulk_tell import exit_of, outcome_document, outcome_line, summary, summary_lines
from avatarkit.cli.bulk_wanted import Wanted, journal_beside, options_of, settled
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
)
from avatarkit.cli.running import opened, run
from avatarkit.errors import ConfigurationError, InvalidRequest
from avatarkit.events import Event, SubmissionSettled

Manifest = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="CSV, JSON lines or Parquet: one row, one video.")
]
_MOST_NAMED = 20  # jobs that were not submitted
_AGAIN = "Else as in the run that is gone on with."


def bulk_run(
    invocation: Invocation,
    *,
    manifest: Manifest,
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="NAME", help=f"Whose API, e.g. hifly. {_AGAIN}")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="DIR", help=f"Folder, or s3://bucket/prefix, for the videos. {_AGAIN}"),
    ] = None,
    journal: Annotated[
        str | None,
        typer.Option(
            "--journal",
            metavar="FILE",
            help="The run's record, or a PostgreSQL address; else MANIFEST.run.db.",
        ),
    ] = None,
    name: FileNames = None,
    budget: Budget = None,
    default_cost: DefaultCost = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every row, send nothing.")] = False,
    sidecar: Sidecar = None,
    retries: Retries = None,
    max_failures: MaxFailures = None,
    submits: Annotated[int, typer.Option("--submits", min=1, help="Uploads and submissions at once.")] = 16,
    downloads: Annotated[int, typer.Option("--downloads", min=1, help="Downloads at once.")] = 8,
    max_running: Annotated[
        int | None,
        typer.Option("--max-running", min=1, help="Tasks at once, as your plan says; else learned."),
    ] = None,
    staging: Annotated[
        str | None,
        typer.Option("--staging", metavar="URL", help="Where files go for providers that take only URLs."),
    ] = None,
    base_url: BaseUrl = None,
    encoding: Encoding = None,
    run_name: Annotated[
        str, typer.Option("--run", metavar="NAME", help="The run's name, for several in one journal.")
    ] = MAIN,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make a video of every row, and save them. Billed. Started again, it goes on where it was.

    Every row is checked first, and nothing is sent when there is a mistake. Ctrl-C finishes what is under way.
    """
    place = journal or journal_beside(manifest, out)
    given = {
        "provider": provider, "out": out, "name": name, "budget": budget, "default_cost": default_cost,
        "sidecar": sidecar, "retries": retries, "max_failures": max_failures,
    }  # fmt: skip
    earlier = run(invocation, lambda: _earlier(invocation, place, run_name)) if exists(place) else None
    encoding = run(invocation, bulk_check.settled_encoding(invocation, encoding, place, earlier))
    wanted = Wanted(
        manifest=manifest, journal=place, run=run_name, settings=settled(given, manifest, earlier),
        submits=submits, downloads=downloads, max_running=max_running, staging=staging, base_url=base_url,
        encoding=encoding, earlier=earlier,
    )  # fmt: skip
    invocation.lines = True
    if (
        dry_run
        or earlier is None
        or wanted.settings.name != earlier.settings.name  # it may name a column that is not there
        or not run(invocation, bulk_check.is_known(invocation, place, manifest, earlier, encoding))
    ):
        found = run(invocation, lambda: _checked(wanted))
        bulk_check.refuse(invocation, manifest, found)
        for text in bulk_check.plan_lines(found, wanted.settings):
            output.note(invocation, text)
        if dry_run:
            _dry(invocation, found)
            return
        bulk_check.confirm(yes=yes)
    if not is_address(place):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
    code = run(invocation, lambda: Going(invocation, wanted).go())
    if code is not Exit.OK:
        raise typer.Exit(code)


async def _checked(wanted: Wanted) -> CheckReport:
    return await bulk_check.check(
        wanted.manifest, wanted.settings, most_running=wanted.max_running, encoding=wanted.encoding
    )


async def _earlier(invocation: Invocation, journal: str, name: str) -> Run | None:
    """The run as it was left, if it was begun."""
    async with looked_into(journal, invocation, patient=True) as ledger:
        return await ledger.get_run(name)


def _dry(invocation: Invocation, found: CheckReport) -> None:
    if invocation.json:
        output.write_json(bulk_check.document(found), lines=True)
    else:
        output.line("nothing was sent: this was a dry run")


class _Counted(Ledger):
    """Of a bulk run the journal knows every token; here it only counts that something was accepted."""

    def __init__(self, outer: Ledger) -> None:
        super().__init__()
        self._outer = outer

    def heard(self, event: Event) -> None:
        """A client's hook."""
        if isinstance(event, SubmissionSettled) and event.token and not self._outer.accepted:
            self._outer.accepted.append(event.token)


class Going:
    """One run while it goes.

    Args:
        invocation: whose command it is.
        wanted: what was asked for.
        credentials: in place of the environment's.
        again: the command that goes on with it, where that is not ``bulk run``.

    """

    def __init__(
        self, invocation: Invocation, wanted: Wanted, credentials: tuple[str, ...] = (), *, again: str = ""
    ) -> None:
        self._invocation = invocation
        self._wanted = wanted
        self._credentials = credentials
        self._again = again
        earlier = wanted.earlier.settings.out if wanted.earlier is not None else ""
        self._places = Places(wanted.settings.out, earlier)
        self._apart = attrs.evolve(invocation, ledger=_Counted(invocation.ledger))
        self._waiting = 0

    async def go(self) -> Exit:
        """The run, to its end or to the first Ctrl-C; gives the code to end with.

        Raises:
            ConfigurationError: the journal is in use, or belongs to another account.

        """
        wanted, settings = self._wanted, self._wanted.settings
        options: dict[str, Any] = {
            name: value
            for name, value in (("max_running", wanted.max_running), ("staging", wanted.staging))
            if value is not None
        }
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                opened(
                    self._apart,
                    settings.provider,
                    credentials=self._credentials,
                    base_url=wanted.base_url,
                    **options,
                )
            )
            ledger = await open_patiently(wanted.journal, self._invocation)
            stack.push_async_callback(ledger.aclose)
            unbound = wanted.unbound
            if unbound is not None and unbound.account == client.account_id:
                await ledger.open_run(wanted.run, unbound)  # the run itself takes "no budget" for "as before"
            bulk = BulkRun(client, wanted.manifest, ledger, options_of(wanted))
            try:
                bulk = await stack.enter_async_context(bulk)
            except ConfigurationError as error:
                raise same_account(error, wanted.earlier, client) from None
            assert bulk.run is not None
            self._invocation.ledger.going_on = self._again or command_line(wanted.journal, bulk.run)
            await self._say_begun(ledger)
            try:
                async with Live(self._invocation, ledger, wanted.run) as live:
                    await self._carried(bulk, live)
            except InvalidRequest as error:  # rows that the journal has with another content
                raise bulk_check.refused(self._invocation, wanted.manifest, error) from None
            except asyncio.CancelledError:
                await self._summed_up(ledger)
                raise
            return exit_of(await self._summed_up(ledger), await ledger.counts(wanted.run))

    async def _summed_up(self, ledger: SomeLedger) -> Run:
        now = await ledger.get_run(self._wanted.run)
        assert now is not None
        seen = await measure(ledger, self._wanted.run)
        self._tell(summary(now, seen, shown(self._wanted.journal), self._places.counts()))
        return now

    async def _say_begun(self, ledger: SomeLedger) -> None:
        seen, place = await measure(ledger, self._wanted.run), shown(self._wanted.journal)
        text = f"going on with the run in {place}: {seen.line()}" if seen.total else f"journal: {place}"
        output.note(self._invocation, text)

    async def _carried(self, bulk: BulkRun, live: Live) -> None:
        """Take outcomes until the end; the first Ctrl-C lets what is under way come to its end."""
        working = asyncio.get_running_loop().create_task(self._outcomes(bulk, live))
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            if working.done():
                raise
            live.say("submitting no more; what is under way is finished first")
            bulk.stop()
            await working
            raise
        finally:
            working.cancel()

    async def _outcomes(self, bulk: BulkRun, live: Live) -> None:
        async with aclosing(bulk.outcomes()) as outcomes:
            async for outcome in outcomes:
                self._told(outcome, live)
        if not self._invocation.json and self._waiting > _MOST_NAMED:
            live.say(f"… and {self._waiting - _MOST_NAMED:,} more that were not submitted")

    def _told(self, outcome: JobOutcome, live: Live) -> None:
        if outcome.ok:
            self._places.add(outcome.file)
        if self._invocation.json:
            output.write_json(outcome_document(outcome), lines=True)
        elif not outcome.ok and not outcome.earlier:
            self._waiting += not outcome.state.over
            if outcome.state.over or self._waiting <= _MOST_NAMED:
                live.say(outcome_line(outcome))

    def _tell(self, told: dict[str, Any]) -> None:
        if self._invocation.json:
            output.write_json(told, lines=True)
            return
        first, *rest = summary_lines(told)
        output.line(first)
        for text in rest:
            output.note(self._invocation, text)
