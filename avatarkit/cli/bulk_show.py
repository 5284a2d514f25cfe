"""``avatarkit bulk status``, ``report``, ``doubts`` and ``export``: looking at runs, also while they go. Free."""

from __future__ import annotations

import math
import shlex
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.outcomes import Form
from avatarkit.bulk.outcomes import export as export_jobs
from avatarkit.bulk.progress import Progress, measure, money_text, seconds_text
from avatarkit.bulk.records import Job, JobState, Run
from avatarkit.cli import output
from avatarkit.cli.bulk_journal import Journal, RunName, every, going_on, looked_into, shown, the_run
from avatarkit.cli.bulk_tell import advice, job_document, summary
from avatarkit.cli.failures import clean
from avatarkit.cli.invocation import Invocation
from avatarkit.cli.options import Force, as_path
from avatarkit.cli.running import run as run_loop

_MOST_SHOWN = 500


def status(invocation: Invocation, *, journal: Journal, run: RunName = None) -> None:
    """Show how far a run is; every run, when the journal has several. Works while it goes."""

    async def main() -> tuple[list[tuple[Run, Progress]], str]:
        async with looked_into(journal, invocation) as ledger:
            known = await ledger.runs()
            if run is not None or len(known) < 2:
                known = [await the_run(ledger, run)]
            seen = [(each, await measure(ledger, each.id)) for each in known]
            return seen, await going_on(ledger, journal, known[0]) if len(known) == 1 else ""

    found, again = run_loop(invocation, main)
    told = [summary(each, seen, shown(journal)) for each, seen in found]
    if invocation.json:
        output.write_json(told[0] if len(told) == 1 else {"runs": told})
    elif len(found) == 1:
        _facts(journal, *found[0], again)
    else:
        for each, seen in found:
            output.line(f"{each.id}: {seen.line()}")


def _facts(journal: str, run: Run, seen: Progress, again: str) -> None:
    settings = run.settings
    budget = f" of {money_text(seen.budget)}" if seen.budget is not None else ""
    aside = f", {money_text(seen.reserved)} set aside" if seen.reserved else ""
    counts = [
        (f"{count:,} {word}")
        for count, word in (
            (seen.running, "running"),
            (seen.failed, "failed"),
            (seen.held, "held"),
            (seen.given_up, "given up"),
        )
        if count
    ]
    output.facts(
        [
            ("run", run.id),
            ("provider", settings.provider),
            ("manifest", settings.manifest),
            ("out", settings.out),
            ("state", clean(seen.standing)),
            ("videos", ", ".join([f"{seen.done:,} of {seen.total:,} done", *counts])),
            ("not stored", _unstored(seen)),
            ("money", f"{money_text(seen.spent)}{budget} {seen.unit}{aside}"),
            (
                "projected",
                f"{money_text(seen.projected)} {seen.unit}" if seen.projected and seen.left else "",
            ),
            ("time left", seconds_text(seen.eta) if seen.eta else ""),
        ]
    )
    for text in advice(summary(run, seen, shown(journal))):
        output.line(text)
    if seen.left and again:
        output.line(f"to go on: {again}")


def _unstored(seen: Progress) -> str:
    if not seen.unstored:
        return ""
    results = "result is" if seen.unstored == 1 else "results are"
    return f"{seen.unstored:,} {results} tried again: {clean(seen.unstored_why)[:500]}"


def report(
    invocation: Invocation,
    *,
    journal: Journal,
    output_to: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write.", parser=as_path)
    ] = Path("report.html"),
    run: RunName = None,
) -> None:
    """Write one HTML page about a run: totals, timeline, failures, videos, what is held and why."""
    from avatarkit.bulk.report import write_report

    async def main() -> None:
        async with looked_into(journal, invocation) as ledger:
            await write_report(ledger, (await the_run(ledger, run)).id, output_to)

    run_loop(invocation, main)
    if invocation.json:
        output.write_json({"report": str(output_to)})
    else:
        output.line(str(output_to))


def doubts(invocation: Invocation, *, journal: Journal, run: RunName = None) -> None:
    """List submissions of which nobody knows whether they were accepted, and what to look for in the console."""

    async def main() -> tuple[Run, list[Job], int]:
        async with looked_into(journal, invocation) as ledger:
            each = await the_run(ledger, run)
            found = await _doubtful(ledger, each.id)
            return each, found[:_MOST_SHOWN] if not invocation.json else found, len(found)

    each, found, count = run_loop(invocation, main)
    if invocation.json:
        output.write_json({"run": each.id, "doubts": [job_document(job) for job in found]})
        return
    if not found:
        output.line("no doubts")
        return
    columns = ("key", "state", "sent", "look for", "request", "what is known")
    output.table(columns, [_doubt(job) for job in found])
    if count > len(found):
        output.note(invocation, f"{count - len(found)} more: --json lists them all")
    place = shlex.quote(shown(journal))
    for what, how in (
        ("it is there", f"adopt {place} KEY TASK_ID"),
        ("it is not there", f"resend {place} KEY   (pays twice if it is there after all)"),
        ("leave it", f"abandon {place} KEY"),
    ):
        output.note(invocation, f"{what + ':':17}avatarkit bulk {how}")


async def _doubtful(ledger: Ledger, run: str) -> list[Job]:
    held = [job async for job in every(ledger, run, (JobState.HELD,))]
    return held + await ledger.doubts(run, older_than=-math.inf)


def _doubt(job: Job) -> tuple[str, ...]:
    told: dict[str, Any] = job_document(job)
    sent = told.get("sent_at")
    known = clean(str(job.error.get("message", "")))
    if job.error.get("candidates"):
        known += f" (perhaps {', '.join(map(str, job.error['candidates']))})"
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(sent)) if sent else ""
    state = job.state.value
    if job.state is JobState.INTENT:
        # Nothing was said of it yet: whoever sends it may still be there.
        state = "in doubt" if job.error or job.send_by < time.time() else "being sent, or cut off"
    return job.key, state, when, str(told.get("marker", "")), str(told.get("endpoint", "")), known


def export(
    invocation: Invocation,
    *,
    journal: Journal,
    output_to: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="The file to write: .csv, .tsv or .jsonl.",
            parser=as_path,
        ),
    ],
    form: Annotated[
        Form | None, typer.Option("--format", help="Of the file; else its ending says it.")
    ] = None,
    state: Annotated[
        list[JobState] | None, typer.Option("--state", help="Only jobs in this state; may be repeated.")
    ] = None,
    run: RunName = None,
    force: Force = False,
) -> None:
    """Write what became of every job, as CSV or TSV for spreadsheets, or as JSON lines."""

    async def main() -> int:
        async with looked_into(journal, invocation) as ledger:
            name = (await the_run(ledger, run)).id
            return await export_jobs(
                ledger, name, output_to, form=form, states=tuple(state or ()), overwrite=force
            )

    count = run_loop(invocation, main)
    if invocation.json:
        output.write_json({"path": str(output_to), "jobs": count})
    else:
        output.note(invocation, f"{count:,} jobs")
        output.line(str(output_to))
