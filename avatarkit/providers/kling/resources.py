"""What Kling's groups share: checking, sending what is billed, and finding a task by its external id."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from avatarkit.client import AsyncResource
from avatarkit.errors import (
    BadRequest,
    NotFound,
)
from avatarkit.models import Kind, Page
from avatarkit.protocol.endpoint import Endpoint
from avatarkit.protocol.limits import MediaRule
from avatarkit.providers.kling import checks, codes
from avatarkit.providers.kling import endpoints as ep
from avatarkit.providers.kling.material import Material, prepare, streamed
from avatarkit.providers.kling.models import TaskRecord, TtsAudio
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.account import Account
from avatarkit.transport.sources import Media

T = TypeVar("T")


class AsyncKlingResource(AsyncResource):
    """What the groups share."""

    async def _sound(
        self,
        audio_id: str | TtsAudio | None,
        sound_file: Media | None,
        rule: MediaRule,
        problems: list[str],
        options: CallOptions | None,
    ) -> tuple[dict[str, Any], float | None]:
        """The one field that names the sound, and its seconds where they are known."""
        if (audio_id is None) == (sound_file is None):
            found = "none" if audio_id is None else "both"
            problems.append(f"sound_file: {found} given, exactly one of audio_id and sound_file allowed")
            return {}, None
        if sound_file is None:
            seconds = audio_id.duration if isinstance(audio_id, TtsAudio) else None
            return {"audio_id": checks.identifier("audio_id", audio_id, problems)}, seconds
        sound = await self._material("sound_file", sound_file, rule, problems, options)
        return ({"sound_file": sound.value}, sound.seconds) if sound is not None else ({}, None)

    async def _material(
        self, field: str, media: Media, rule: MediaRule, problems: list[str], options: CallOptions | None
    ) -> Material | None:
        wanted = options.preflight if options is not None else None
        check = self._account.preflight if wanted is None else wanted
        return await prepare(field, media, rule, problems, check=check)

    async def _create(
        self,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        external_task_id: str | None,
        options: CallOptions | None,
        size: float | None,
    ) -> AsyncTask[Any]:
        # The vendor wants it unique for good and among all of the account's programs: more than a marker's letters.
        marker = external_task_id or "ak-" + secrets.token_hex(10)
        whole = {**body, "external_task_id": marker}
        stream = streamed(whole)
        request = ep.create(endpoint, None if stream else whole, stream)
        try:
            return await self._submit(request, options, marker=marker, size=size)
        except BadRequest as error:
            if external_task_id is not None or not codes.is_duplicate(error):
                raise
            # Nobody else makes this id, so something on the way sent our request twice: the first one counted.
            adopted = await find_external(self._account, endpoint, marker)
            if adopted is None:
                raise
        record = self._account.remember(adopted.id, Kind.VIDEO, size=size, marker=marker)
        return AsyncTask(self._account, record)

    async def _record(
        self, endpoint: Endpoint, task_id: str | TaskRecord, options: CallOptions | None
    ) -> TaskRecord:
        problems: list[str] = []
        found = checks.identifier("task_id", task_id, problems)
        checks.settle(problems)
        return await self._account.call(ep.get(endpoint, found), options)

    async def _page(
        self, endpoint: Endpoint, page: int, size: int, options: CallOptions | None
    ) -> Page[TaskRecord]:
        checks.page_numbers(page, size)
        return await self._account.call(ep.page(endpoint, page, size), options)


async def find_external(
    account: Account, endpoint: Endpoint, external_id: str, *, by_query: bool = False
) -> TaskRecord | None:
    """The task that was submitted at *endpoint* with this external id, or None when the vendor shows none.

    Args:
        by_query: ask ``GET /tasks`` as well, which takes an API key.

    Raises:
        ProviderError, TransportError: the vendor did not tell.

    """
    single = ep.LIP_GET if endpoint.name == ep.LIP_CREATE.name else ep.AVATAR_GET
    try:
        return await account.call(ep.get(single, external_id))
    except NotFound:
        if not by_query:
            return None
    prefix = ep.LIP_SYNC if single is ep.LIP_GET else ""
    for record in await account.call(ep.query(external_ids=(external_id,))):
        if record.external_id in (external_id, ""):
            return attrs.evolve(record, id=prefix + record.id)
    return None
