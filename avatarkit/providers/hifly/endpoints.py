"""HiFly's requests, and the provider as the engine sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from avatarkit.models import Kind, RawResponse, Snapshot
from avatarkit.protocol.endpoint import Accepted, Endpoint, ProviderSpec, Request, TaskKind
from avatarkit.providers.hifly import operations as ops
from avatarkit.providers.hifly import reading


def look(endpoint: Endpoint, kind: Kind) -> Callable[[str], Request[Snapshot]]:
    """The request that asks for the state of one task of *kind*."""
    read = reading.read_snapshot(endpoint, kind)

    def request(task_id: str) -> Request[Snapshot]:
        plain = task_id.isascii() and task_id.isalnum()
        return Request(endpoint, read, query="task_id=" + (task_id if plain else quote(task_id, safe="")))

    return request


def create(endpoint: Endpoint, body: Mapping[str, Any]) -> Request[Accepted]:
    """A submission."""
    return Request(endpoint, reading.read_created(endpoint), body=body)


def page_query(page: int, size: int, kind: int) -> str:
    """The query of the two lists."""
    return f"page={page}&size={size}&kind={kind}"


SPEC = ProviderSpec(
    name="hifly",
    title="HiFly",
    base_url="https://hfw-api.hifly.cc/api/v2/hifly",
    base_url_variable="HIFLY_BASE_URL",
    credentials=("HIFLY_TOKEN",),
    kinds={
        Kind.AVATAR: TaskKind(kind=Kind.AVATAR, look=look(ops.AVATAR_TASK, Kind.AVATAR), median=90, p95=600),
        Kind.VOICE: TaskKind(kind=Kind.VOICE, look=look(ops.VOICE_TASK, Kind.VOICE), median=30, p95=180),
        Kind.VIDEO: TaskKind(
            kind=Kind.VIDEO, look=look(ops.VIDEO_TASK, Kind.VIDEO), pool=ops.WORKS, median=90, p95=300
        ),
        Kind.AUDIO: TaskKind(
            kind=Kind.AUDIO, look=look(ops.VIDEO_TASK, Kind.AUDIO), pool=ops.WORKS, median=20, p95=90
        ),
    },
    endpoints=(
        ops.AVATAR_BY_VIDEO,
        ops.AVATAR_BY_IMAGE,
        ops.AVATAR_TASK,
        ops.AVATAR_LIST,
        ops.VOICE_CREATE,
        ops.VOICE_EDIT,
        ops.VOICE_LIST,
        ops.VOICE_TASK,
        ops.VIDEO_BY_AUDIO,
        ops.VIDEO_BY_TTS,
        ops.VIDEO_BY_IMAGE,
        ops.AUDIO_BY_TTS,
        ops.VIDEO_TASK,
        ops.UPLOAD_URL,
        ops.CREDIT,
    ),
    # The vendor documents no limit on requests; twenty a second keeps a fleet of pollers polite.
    per_second=20.0,
)


def read_any(endpoint: Endpoint) -> Callable[[RawResponse], Any]:
    """The reader of *endpoint*'s answers, with neutral values where it needs some (for tests over all endpoints)."""
    readers: dict[str, Callable[[RawResponse], Any]] = {
        ops.AVATAR_TASK.name: reading.read_snapshot(ops.AVATAR_TASK, Kind.AVATAR),
        ops.VOICE_TASK.name: reading.read_snapshot(ops.VOICE_TASK, Kind.VOICE),
        ops.VIDEO_TASK.name: reading.read_snapshot(ops.VIDEO_TASK, Kind.VIDEO),
        ops.AVATAR_LIST.name: reading.read_avatars(1, 20),
        ops.VOICE_LIST.name: reading.read_voices(1, 20),
        ops.VOICE_EDIT.name: reading.read_edited,
        ops.UPLOAD_URL.name: reading.read_upload,
        ops.CREDIT.name: reading.read_credit,
    }
    return readers.get(endpoint.name) or reading.read_created(endpoint)
