"""``avatarkit bulk resend``, ``abandon`` and ``cancel``: the user's word about single jobs.

They send nothing: what they decide is done when the run is started again.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.records import Job, JobState, RunState
from avatarkit.cli import output
from avatarkit.cli.bulk_journal import Journal, RunName, every, found, going_on, opened_ledger, the_run
from avatarkit.cli.failures import Exit
from avatarkit.cli.invocation import Invocation
from avatarkit.cli.running import run as run_loop
from avatarkit.errors import InvalidRequest

Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY…", help="Keys of jobs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_AT_ONCE = 500


def resend(
    invocation: Invocation,
    *,
    journal: Journal,
    keys: Keys = None,
    all_held: Annotated[bool, typer.Option("--all-held", help="Every held job.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Every failed job.")] = False,
    run: RunName = None,
    yes: Yes = False,
) -> None:
    """Submit jobs again when the run is started again. Billed then, and a held one perhaps for the second time."""
    states = (*((JobState.HELD,) if all_held else ()), *((JobState.FAILED,) if failed else ()))
    if all_held or (keys and not failed):
        _ask("A held job may have been accepted, and would be paid for twice. Submit again?", yes=yes)
    allowed = (JobState.HELD, JobState.FAILED)
    which = "--all-held or --failed"
    _decide(
        invocation,
        journal,
        run,
        keys,
        states,
        allowed,
        which,
        "will be submitted again",
        lambda it: it.resend,
    )


def abandon(
    invocation: Invocation,
    *,
    journal: Journal,
    keys: Keys = None,
    all_held: Annotated[bool, typer.Option("--all-held", help="Every held job.")] = False,
    run: RunName = None,
) -> None:
    """Give held jobs up: they are never sent again, and nothing is set aside for them any more."""
    states = (JobState.HELD,) if all_held else ()
    held = (JobState.HELD,)
    _decide(invocation, journal, run, keys, states, held, "--all-held", "abandoned", lambda it: it.abandon)


def cancel(
    invocation: Invocation,
    *,
    journal: Journal,
    keys: Keys = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that was not submitted; ends the run.")
    ] = False,
    run: RunName = None,
) -> None:
    """Cancel jobs that were not submitted yet. What runs goes on; its video is fetched by the next start."""
    allowed = (JobState.NEW, JobState.BLOCKED)
    if not everything:
        _decide(invocation, journal, run, keys, (), allowed, "--all", "cancelled", lambda it: it.cancel)
        return
    if keys:
        raise InvalidRequest("give keys, or --all, not both")

    async def main() -> int:
        async with opened_ledger(journal, invocation) as ledger:
            each = await the_run(ledger, run)
            before = (await ledger.counts(each.id)).of(*allowed)
            await ledger.set_run_state(each.id, RunState.CANCELLED, "by the user")
            return before - (await ledger.counts(each.id)).of(*allowed)

    _said(invocation, run_loop(invocation, main), "cancelled")


def _decide(
    invocation: Invocation,
    journal: str,
    run: str | None,
    keys: Sequence[str] | None,
    states: Sequence[JobState],
    allowed: Sequence[JobState],
    which: str,
    word: str,
    how: Callable[[Ledger], Callable[[str, Sequence[str]], Awaitable[int]]],
) -> None:
    """Do one thing with the jobs named, or with all in *states*, as the option *which* says."""
    if keys and states:
        raise InvalidRequest(f"give keys of jobs, or {which}, not both")
    if not keys and not states:
        raise InvalidRequest(f"give keys of jobs, or {which}")

    async def main() -> tuple[int, str]:
        async with opened_ledger(journal, invocation) as ledger:
            each = await the_run(ledger, run)
            if keys:
                jobs = await found(ledger, each.id, keys)
                _check_states(jobs, allowed)
                names = [job.key for job in jobs]
            else:
                names = [job.key async for job in every(ledger, each.id, states)]
            count = 0
            for at in range(0, len(names), _AT_ONCE):
                count += await how(ledger)(each.id, names[at : at + _AT_ONCE])
            return count, await going_on(ledger, journal, each)

    count, again = run_loop(invocation, main)
    _said(invocation, count, word)
    if count and again and word != "abandoned":
        output.note(invocation, f"to go on: {again}")


def _check_states(jobs: Sequence[Job], allowed: Sequence[JobState]) -> None:
    names = " or ".join(state.value for state in allowed)
    wrong = [
        f"{job.key}: {job.state.value} found, {names} allowed" for job in jobs if job.state not in allowed
    ]
    if wrong:
        raise InvalidRequest(wrong, hint="Where jobs are: avatarkit bulk export JOURNAL -o FILE.csv")


def _ask(question: str, *, yes: bool) -> None:
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not typer.confirm(question, default=False, err=True):
        output.warn("avatarkit: nothing was changed")
        raise typer.Exit(Exit.INTERRUPTED)


def _said(invocation: Invocation, count: int, word: str) -> None:
    if invocation.json:
        output.write_json({"jobs": count})
    else:
        output.line(f"{count:,} {'job' if count == 1 else 'jobs'} {word}")
