"""The handle of a job's task: from the token that the ledger keeps, or from the task's id where that cannot be read.

A token may come from a newer avatarkit, as while the workers of a fleet are upgraded one by one. The ledger keeps the
task's id as well, and what was paid for must not hang on a spelling.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import orjson

from avatarkit.bulk.records import Job, RunSettings
from avatarkit.errors import InvalidHandle
from avatarkit.models import Kind
from avatarkit.protocol.handle import Handle, to_token
from avatarkit.protocol.step_json import step_from_json
from avatarkit.task import AsyncTask

if TYPE_CHECKING:
    from avatarkit.client import AsyncClient


def kind_of(job: Job) -> Kind | None:
    """What the job's task makes; None for a part that has no task, or whose step nobody here can read."""
    if not job.part:
        return Kind.VIDEO
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        makes = step_from_json(orjson.loads(job.spec)["step"]).makes
        return makes if isinstance(makes, Kind) else None
    return None


def handle_of(settings: RunSettings, job: Job, kind: Kind, task_id: str) -> Handle:
    """The handle of the task *task_id*, which makes a *kind* for *job*."""
    return Handle(
        provider=settings.provider,
        account=settings.account,
        kind=kind,
        task_id=task_id,
        born=job.ticket.sent_at if job.ticket is not None else job.created,
        marker=job.marker,
    )


def task_of(client: AsyncClient, settings: RunSettings, job: Job) -> AsyncTask[Any]:
    """The handle of the task that *job* waits for. Sends nothing.

    Raises:
        InvalidHandle: its token cannot be read here, and there is no id.

    """
    try:
        return client.task(job.token)
    except InvalidHandle:
        kind = kind_of(job)
        if not job.task_id or kind is None:
            raise
        return client.task(to_token(handle_of(settings, job, kind, job.task_id)))
