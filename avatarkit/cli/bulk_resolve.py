"""``avatarkit bulk adopt``, ``resend``, ``abandon`` and ``cancel``: the user's word about single jobs.

They send nothing: what they decide is done when the run is started again.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import orjson
import typer

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.records import Job, JobState, Run, RunState
from avatarkit.cli import output
from avatarkit.cli.bulk_journal import Journal, RunName, command_line, every, found, opened_ledger, the_run
from avatarkit.cli.failures import Exit
from avatarkit.cli.invocation import Invocation
from avatarkit.cli.running import run as run_loop
from avatarkit.errors import InvalidHandle, InvalidRequest
from avatarkit.models import Kind
from avatarkit.protocol.handle import Handle, from_token, to_token
from avatarkit.protocol.step_json import step_from_json

Keys = Annotated[list[str] | None, typer.Argument(metavar="KEY…", help="Keys of jobs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_AT_ONCE = 500
_LONGEST_ID = 200


def adopt(
    invocation: Invocation,
    *,
    journal: Journal,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The job.")],
    task: Annotated[
        str, typer.Argument(metavar="TASK_ID|TOKEN", help="The task, as the provider's console names it.")
    ],
    run: RunName = None,
) -> None:
    """Say which task a submission in doubt has made; the run then waits for it and fetches its video."""

    async def main() -> tuple[Run, str]:
        async with opened_ledger(journal) as ledger:
            each = await the_run(ledger, run)
            (job,) = await found(ledger, each.id, [key])
            handle = _handle(each, job, task)
            await _check_free(ledger, each.id, job, handle.task_id)
            token, now = to_token(handle), await ledger.now()
            if job.state not in (JobState.HELD, JobState.INTENT) or not await ledger.adopt(
                each.id, job.key, job.attempt, task_id=handle.task_id, token=token, look_at=now
            ):
                raise InvalidRequest(
                    f"{key}: {job.state.value} found, a job that is held or in doubt allowed"
                )
            return each, token

    each, token = run_loop(invocation, main)
    if invocation.json:
        output.write_json({"key": key, "state": JobState.RUNNING.value, "token": token})
    else:
        output.line(f"{key} is running, token {token}")
        _go_on(invocation, journal, each)


def _handle(run: Run, job: Job, given: str) -> Handle:
    """The handle of the task that was named.

    Raises:
        InvalidHandle: it is no task of this run's account, or of another kind.

    """
    kind, settings = _kind(job), run.settings
    text = given.strip()
    if text.startswith("avk1."):
        handle = from_token(text)
        if (handle.provider, handle.account) != (settings.provider, settings.account):
            raise InvalidHandle("this token belongs to another provider or account than the run")
        if handle.kind is not kind:
            raise InvalidHandle(f"this token is of a task that makes {handle.kind}, the job needs {kind}")
        return handle
    if not text.isprintable() or not 1 <= len(text) <= _LONGEST_ID or any(map(str.isspace, text)):
        raise InvalidHandle("this is no task id", hint="Copy it from the provider's console.")
    sent = job.ticket.sent_at if job.ticket is not None else job.created
    return Handle(
        provider=settings.provider,
        account=settings.account,
        kind=kind,
        task_id=text,
        born=sent,
        marker=job.marker,
    )


def _kind(job: Job) -> Kind:
    if not job.part:
        return Kind.VIDEO
    step = step_from_json(orjson.loads(job.spec)["step"])
    if not isinstance(step.makes, Kind):
        raise InvalidRequest(
            f"{job.key}: {step.operation} makes no task that could be adopted", hint="Resend it."
        )
    return step.makes


async def _check_free(ledger: Ledger, run: str, mine: Job, task_id: str) -> None:
    """One task is one job's: two that wait for it would hide that one of them was never made."""
    async for job in every(ledger, run):
        if job.task_id == task_id and job.key != mine.key:
            raise InvalidRequest(f"the task {task_id} is the job {job.key!r}'s already")


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
    """Submit jobs again when the run is started again. **Billed** then, and a held one perhaps for the second time."""
    states = (*((JobState.HELD,) if all_held else ()), *((JobState.FAILED,) if failed else ()))
    if all_held or (keys and not failed):
        _ask("A held job may have been accepted, and would be paid for twice. Submit again?", yes=yes)
    allowed = (JobState.HELD, JobState.FAILED)
    _decide(invocation, journal, run, keys, states, allowed, "will be submitted again", lambda it: it.resend)


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
    _decide(invocation, journal, run, keys, states, (JobState.HELD,), "abandoned", lambda it: it.abandon)


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
        _decide(invocation, journal, run, keys, (), allowed, "cancelled", lambda it: it.cancel)
        return
    if keys:
        raise InvalidRequest("give keys, or --all, not both")

    async def main() -> int:
        async with opened_ledger(journal) as ledger:
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
    word: str,
    how: Callable[[Ledger], Callable[[str, Sequence[str]], Awaitable[int]]],
) -> None:
    """Do one thing with the jobs named, or with all in *states*."""
    if bool(keys) == bool(states):
        raise InvalidRequest("give keys of jobs, or an option that says which, not both")

    async def main() -> tuple[Run, int]:
        async with opened_ledger(journal) as ledger:
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
            return each, count

    each, count = run_loop(invocation, main)
    _said(invocation, count, word)
    if count and word != "abandoned":
        _go_on(invocation, journal, each)


def _check_states(jobs: Sequence[Job], allowed: Sequence[JobState]) -> None:
    names = " or ".join(state.value for state in allowed)
    wrong = [
        f"{job.key}: {job.state.value} found, {names} allowed" for job in jobs if job.state not in allowed
    ]
    if wrong:
        raise InvalidRequest(wrong)


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


def _go_on(invocation: Invocation, journal: str, run: Run) -> None:
    output.note(invocation, f"to go on: {command_line(journal, run)}")
