"""``avatarkit bulk adopt``: which task a job's submission has made, when nobody could tell or it was denied."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from avatarkit.bulk.handles import handle_of, kind_of
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.records import Job, JobState, Run
from avatarkit.cli import output
from avatarkit.cli.bulk_journal import (
    Journal,
    RunName,
    account_hint,
    every,
    found,
    going_on,
    opened_ledger,
    the_run,
)
from avatarkit.cli.failures import clean
from avatarkit.cli.invocation import Invocation
from avatarkit.cli.options import BaseUrl
from avatarkit.cli.running import opened
from avatarkit.cli.running import run as run_loop
from avatarkit.errors import AvatarKitError, BadRequest, InvalidHandle, InvalidRequest, NotFound
from avatarkit.models import Kind
from avatarkit.protocol.chain_token import PREFIX as CHAIN_PREFIX
from avatarkit.protocol.handle import Handle, from_token, to_token
from avatarkit.settings import CallOptions

_TASK_ID = re.compile(r"[\w.:=+/@~-]{1,200}", re.ASCII)
_TOKEN_LIKE = re.compile(r"avk\w*\.", re.ASCII | re.IGNORECASE)
_STATES = (JobState.HELD, JobState.INTENT, JobState.FAILED)
_ALLOWED = "a task id or a task's token (avk1.…) allowed"
_LOOK = CallOptions(timeout=20.0, retries=1)


def adopt(
    invocation: Invocation,
    *,
    journal: Journal,
    key: Annotated[str, typer.Argument(metavar="KEY", help="The job.")],
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK_ID|TOKEN", help="The task, as the provider's console names it, or its token."
        ),
    ],
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="Do not ask the provider whether there is such a task.")
    ] = False,
    base_url: BaseUrl = None,
    run: RunName = None,
) -> None:
    """Say which task a submission in doubt has made; the run then waits for it and fetches its video.

    A failed job takes a task, too, as when the provider denied it and shows it now. A task id is looked up at the
    provider once, which is free, where its credentials are set; nothing changes when there is no such task.
    """

    async def main() -> tuple[str, str]:
        async with opened_ledger(journal, invocation) as ledger:
            each = await the_run(ledger, run)
            (job,) = await found(ledger, each.id, [key])
            handle = _handle(each, job, task)
            _check_state(job)
            await _check_free(ledger, each.id, job, handle.task_id)
            if not unchecked and not task.strip().startswith("avk1."):
                await _check_there(invocation, each, handle, base_url)
            token = await _adopted(ledger, each, job, handle)
            return token, await going_on(ledger, journal, each)

    token, again = run_loop(invocation, main)
    if invocation.json:
        output.write_json({"key": key, "state": JobState.RUNNING.value, "token": token})
    else:
        output.line(f"{key}: this task is its own now, token {token}")
        if again:
            output.note(invocation, f"to go on: {again}")


async def _adopted(ledger: Ledger, run: Run, job: Job, handle: Handle) -> str:
    """Tell the ledger; gives the task's token."""
    token, now = to_token(handle), await ledger.now()
    expected = None
    if job.state is JobState.FAILED:  # its money was settled when it failed, and has to be set aside again
        usual = max(run.settings.default_cost or 0.0, await ledger.dearest(run.id))
        expected = job.estimate if job.estimate is not None else usual
    taken = await ledger.adopt(
        run.id, job.key, job.attempt, task_id=handle.task_id, token=token, look_at=now, anew=expected
    )
    if not taken:  # somebody else was quicker
        raise InvalidRequest(f"{job.key}: it has changed meanwhile", hint="Look at it again: bulk status.")
    return token


# -- what was given


def _handle(run: Run, job: Job, given: str) -> Handle:
    """The handle of the task that was named.

    Raises:
        InvalidHandle: it is no task of this run's account, or of another kind.

    """
    kind, text = _kind(job), given.strip()
    if text.startswith("avk1."):
        handle = from_token(text)
        _check_token(run, kind, handle)
        return handle
    if text.startswith(CHAIN_PREFIX):
        raise InvalidHandle(
            f"a chain's token found, {_ALLOWED}",
            hint="avatarkit task show TOKEN names the chain's present task.",
        )
    if not _TASK_ID.fullmatch(text) or "//" in text or _TOKEN_LIKE.match(text):
        raise InvalidHandle(f"{text[:40]!r} found, {_ALLOWED}", hint="Copy it from the provider's console.")
    return handle_of(run.settings, job, kind, text)


def _check_token(run: Run, kind: Kind, handle: Handle) -> None:
    settings = run.settings
    if handle.provider != settings.provider:
        raise InvalidHandle(f"a token of {handle.provider} found, one of {settings.provider} allowed")
    if handle.account != settings.account:
        raise InvalidHandle(
            f"a token of the account {handle.account} found, one of the run's account {settings.account} allowed"
        )
    if handle.kind is not kind:
        raise InvalidHandle(
            f"a token of a task that makes {_a(handle.kind)} found, one that makes {_a(kind)} allowed"
        )
    if not handle.task_id:
        raise InvalidHandle(f"a token without a task id found, {_ALLOWED}")


def _a(kind: Kind) -> str:
    return f"{'an' if kind.value[0] in 'aeiou' else 'a'} {kind.value}"


def _kind(job: Job) -> Kind:
    """What the job's task makes."""
    kind = kind_of(job)
    if kind is None:
        raise InvalidRequest(f"{job.key}: it makes no task that could be adopted", hint="Resend it.")
    return kind


# -- whether it may be taken


def _check_state(job: Job) -> None:
    if job.state not in _STATES:
        raise InvalidRequest(
            f"{job.key}: {job.state.value} found, a job that is held, in doubt or failed allowed",
            hint="Jobs that may be adopted: avatarkit bulk doubts JOURNAL",
        )
    if job.state is JobState.FAILED and job.error.get("type") == "PartFailed":
        raise InvalidRequest(
            f"{job.key}: it failed with its part {job.error.get('part', '')}, and has no task of its own",
            hint="Adopt or resend that part.",
        )
    if not job.attempt:
        raise InvalidRequest(f"{job.key}: it was never submitted, so it has no task", hint="Resend it.")


async def _check_free(ledger: Ledger, run: str, mine: Job, task_id: str) -> None:
    """One task is one job's: two that wait for it would hide that one of them was never made."""
    async for job in every(ledger, run):
        if job.task_id == task_id and job.key != mine.key:
            raise InvalidRequest(f"the task {task_id} is the job {job.key!r}'s already")


async def _check_there(invocation: Invocation, run: Run, handle: Handle, base_url: str | None) -> None:
    """Look at the task once, where that can be done.

    Raises:
        InvalidRequest: the provider says that there is no such task.

    """
    name = handle.provider
    try:
        async with opened(invocation, name, base_url=base_url) as client:
            if client.account_id != run.settings.account:
                why = "the credentials are another account's than the run's"
                _unseen(invocation, handle, f"{why}. {account_hint(name, run.settings.account)}")
                return
            status = await client.task(to_token(handle)).refresh(options=_LOOK)
    except (NotFound, BadRequest) as error:
        raise InvalidRequest(
            f"{name} knows no task {handle.task_id} ({clean(str(error))})",
            hint="Copy the id from the provider's console; --unchecked adopts it all the same.",
        ) from None
    except AvatarKitError as error:
        _unseen(invocation, handle, clean(str(error)))
    else:
        output.note(invocation, f"{name} shows it: {status.value}")


def _unseen(invocation: Invocation, handle: Handle, why: str) -> None:
    output.note(invocation, f"the task {handle.task_id} was not looked at: {why}")
