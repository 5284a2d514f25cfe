"""What HiFly's groups of operations share: checking everything, uploading, submitting, one look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avatarkit.client import AsyncResource
from avatarkit.errors import MediaRejected
from avatarkit.events import ProgressHook
from avatarkit.models import Snapshot
from avatarkit.protocol.endpoint import Endpoint
from avatarkit.protocol.limits import MediaRule
from avatarkit.providers.hifly import checks
from avatarkit.providers.hifly import endpoints as ep
from avatarkit.providers.hifly.material import Material, body_fields, prepare
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.sources import Media

_FETCH_CODES = ("2013", "2014", "2016")


class AsyncHiFlyResource(AsyncResource):
    """What the groups share: checking everything, uploading, submitting."""

    async def _prepare(
        self,
        field: str,
        media: Media | None,
        url: str | None,
        file_id: str | None,
        rule: MediaRule,
        problems: list[str],
        options: CallOptions | None,
        progress: ProgressHook | None,
    ) -> Material:
        wanted = options.preflight if options is not None else None
        check = self._account.preflight if wanted is None else wanted
        return await prepare(field, media, url, file_id, rule, problems, check=check, progress=progress)

    async def _create(
        self,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        material: Material | None,
        options: CallOptions | None,
        size: float | None = None,
    ) -> AsyncTask[Any]:
        marker = str(body.get("title") or "")
        fields = await body_fields(self._account, material, options) if material is not None else {}
        request = ep.create(endpoint, {**body, **fields})
        try:
            return await self._submit(request, options, marker=marker, size=size)
        except MediaRejected as error:
            # Refused for certain. A file that the vendor no longer has is worth one fresh upload.
            if material is None or material.source is None or error.code not in _FETCH_CODES:
                raise
            self._account.uploads.forget(fields["file_id"])
        fields = await body_fields(self._account, material, options)
        return await self._submit(ep.create(endpoint, {**body, **fields}), options, marker=marker, size=size)


async def look_once(
    resource: AsyncResource, endpoint: Endpoint, task_id: str, options: CallOptions | None
) -> Snapshot:
    """One look at a task by its id, outside the poll hub."""
    problems: list[str] = []
    if not isinstance(task_id, str) or not task_id.strip():
        problems.append("task_id: an id is needed")
    checks.settle(problems)
    kind = endpoint.kind
    assert kind is not None
    request = ep.look(endpoint, kind)(task_id.strip())
    return await resource._account.call(request, options)  # noqa: SLF001 - a resource's own function
