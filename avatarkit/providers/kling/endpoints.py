"""Kling's operations as data, and their requests. How answers are read is in ``reading.py``.

A task is looked at below the path it was made at, and an avatar's and a lip-sync's are different paths. So that a
handle alone is enough, ids of lip-sync tasks are kept with the product in front: ``advanced-lip-sync/8319223457``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import attrs

from avatarkit.models import Guard, Kind, Page, RawResponse, Snapshot
from avatarkit.protocol.endpoint import (
    Accepted,
    Batch,
    BatchPage,
    Effect,
    Endpoint,
    ProviderSpec,
    Request,
    TaskKind,
)
from avatarkit.providers.kling import limits, reading
from avatarkit.providers.kling.models import TaskRecord

_VIDEOS: Final = "videos"
LIP_SYNC: Final = "advanced-lip-sync/"
"""What the ids of lip-sync tasks begin with."""

AVATAR_CREATE = Endpoint(
    name="videos.create_avatar",
    method="POST",
    path="/v1/videos/avatar/image2video",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=_VIDEOS,
    guard=Guard.EXTERNAL_ID,
    source="Avatar, create task",
)
AVATAR_GET = Endpoint(
    name="videos.get",
    method="GET",
    path="/v1/videos/avatar/image2video/{id}",
    kind=Kind.VIDEO,
    source="Avatar, query task (single)",
)
AVATAR_LIST = Endpoint(
    name="videos.list",
    method="GET",
    path="/v1/videos/avatar/image2video",
    source="Avatar, query task (list)",
)
TTS = Endpoint(
    name="audios.create_by_tts",
    method="POST",
    path="/v1/audio/tts",
    effect=Effect.WRITE,
    billed=True,
    source="Text to speech",
)
IDENTIFY_FACE = Endpoint(
    name="lip_sync.identify_face",
    method="POST",
    path="/v1/videos/identify-face",
    effect=Effect.WRITE,
    billed=True,
    source="Lip-sync, identify face",
)
LIP_CREATE = Endpoint(
    name="lip_sync.create",
    method="POST",
    path="/v1/videos/advanced-lip-sync",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=_VIDEOS,
    guard=Guard.EXTERNAL_ID,
    source="Lip-sync, create task",
)
LIP_GET = Endpoint(
    name="lip_sync.get",
    method="GET",
    path="/v1/videos/advanced-lip-sync/{id}",
    kind=Kind.VIDEO,
    source="Lip-sync, query task (single)",
)
LIP_LIST = Endpoint(
    name="lip_sync.list",
    method="GET",
    path="/v1/videos/advanced-lip-sync",
    source="Lip-sync, query task (list)",
)
TASKS = Endpoint(
    name="tasks.query",
    method="GET",
    path="/tasks",
    source="3.0 Omni, query tasks; that it shows avatar tasks is known from one published probe",
    experimental=True,
)
COSTS = Endpoint(name="account.costs", method="GET", path="/account/costs", source="Account usage")


# -- requests -----------------------------------------------------------------------------------------------------


def vendor_id(task_id: str) -> str:
    """The id as the vendor writes it."""
    return task_id.removeprefix(LIP_SYNC)


def _at(endpoint: Endpoint, task_id: str) -> Endpoint:
    bare = vendor_id(task_id)
    filled = bare if bare.isascii() and bare.isalnum() else quote(bare, safe="")
    if filled in (".", ".."):  # steps in a path, not names
        filled = filled.replace(".", "%2E")
    return attrs.evolve(endpoint, path=endpoint.path.replace("{id}", filled))


def look(task_id: str) -> Request[Snapshot]:
    """The request that asks for the state of a task, under the path it was made at."""
    endpoint = LIP_GET if task_id.startswith(LIP_SYNC) else AVATAR_GET
    return Request(_at(endpoint, task_id), reading.snapshot(endpoint))


def get(endpoint: Endpoint, task_id: str) -> Request[TaskRecord]:
    """The request for one task's record; *task_id* may be an avatar task's external id."""
    prefix = LIP_SYNC if endpoint is LIP_GET else ""
    return Request(_at(endpoint, task_id), reading.record(endpoint, prefix))


def create(endpoint: Endpoint, body: Mapping[str, Any] | None, stream: Any = None) -> Request[Accepted]:
    """A submission, its body either whole or streamed."""
    read = reading.accepted(endpoint, LIP_SYNC if endpoint is LIP_CREATE else "")
    return Request(endpoint, read, body=body, stream=stream)


def page(endpoint: Endpoint, number: int, size: int) -> Request[Page[TaskRecord]]:
    """One page of a product's tasks."""
    prefix = LIP_SYNC if endpoint is LIP_LIST else ""
    return Request(endpoint, reading.page(endpoint, prefix, number, size), query=_page_query(number, size))


def _page_query(number: int, size: int) -> str:
    return f"pageNum={number}&pageSize={size}"


def query(
    *, task_ids: Sequence[str] = (), external_ids: Sequence[str] = ()
) -> Request[tuple[TaskRecord, ...]]:
    """The request for several tasks at once, of any product; takes an API key, and at most 20 ids."""
    name, ids = ("task_ids", task_ids) if task_ids else ("external_task_ids", external_ids)
    return Request(TASKS, reading.records(TASKS), query=_ids_query(name, ids))


def _ids_query(name: str, ids: Sequence[str]) -> str:
    return f"{name}=" + ",".join(quote(vendor_id(each), safe="") for each in ids)


def costs_query(start_ms: int, end_ms: int, pack: str | None) -> str:
    """The query of ``account/costs``; times are Unix milliseconds."""
    fields = {"start_time": str(start_ms), "end_time": str(end_ms)}
    if pack is not None:
        fields["resource_pack_name"] = pack
    return urlencode(fields)


# -- many tasks with one request ----------------------------------------------------------------------------------


def _by_ids(ids: Sequence[str], number: int) -> Request[BatchPage]:
    names = {vendor_id(each): each for each in ids}
    return Request(TASKS, reading.batch(TASKS, names, 0), query=_ids_query("task_ids", ids))


def _by_list(ids: Sequence[str], number: int) -> Request[BatchPage]:
    # A list shows one product. The product of most ids is asked for; the others are looked at one by one.
    lips = sum(each.startswith(LIP_SYNC) for each in ids)
    endpoint, prefix = (LIP_LIST, LIP_SYNC) if lips * 2 > len(ids) else (AVATAR_LIST, "")
    names = {vendor_id(each): each for each in ids if each.startswith(LIP_SYNC) == bool(prefix)}
    read = reading.batch(endpoint, names, limits.PAGE_SIZE)
    return Request(endpoint, read, query=_page_query(number, limits.PAGE_SIZE))


def _by_either(ids: Sequence[str], number: int) -> Request[BatchPage]:
    return (_by_ids if len(ids) <= limits.QUERY_IDS else _by_list)(ids, number)


def _kinds(batch: Batch) -> Mapping[Kind, TaskKind]:
    # Minutes are usual, and the tail is long: other clients had to raise their limits to more than an hour.
    video = TaskKind(kind=Kind.VIDEO, look=look, pool=_VIDEOS, median=180, p95=900, batch=batch)
    return {Kind.VIDEO: video}


_PAGES: Final = 6  # of 500: a thousand tasks, and twice as many that were made after them

KINDS_BY_LIST: Final = _kinds(Batch(request=_by_list, most=0, pages=_PAGES))
"""For signed tokens, which ``GET /tasks`` refuses: a page of 500 shows the latest tasks."""

KINDS_BY_IDS: Final = _kinds(Batch(request=_by_either, most=limits.QUERY_IDS, pages=_PAGES))
"""For API keys: twenty tasks with one request, whatever their product; where very many wait, lists as well."""

SPEC = ProviderSpec(
    name="kling",
    title="Kling",
    base_url=limits.HOSTS["singapore"],
    base_url_variable="KLING_BASE_URL",
    credentials=("KLING_API_KEY",),
    kinds=KINDS_BY_LIST,
    endpoints=(
        AVATAR_CREATE,
        AVATAR_GET,
        AVATAR_LIST,
        TTS,
        IDENTIFY_FACE,
        LIP_CREATE,
        LIP_GET,
        LIP_LIST,
        TASKS,
        COSTS,
    ),
    # The vendor's pages contradict each other on requests a second; ten are modest.
    per_second=10.0,
)


def read_any(endpoint: Endpoint) -> Callable[[RawResponse], Any]:
    """The reader of *endpoint*'s answers, with neutral values where it needs some (for tests over all endpoints)."""
    readers: dict[str, Callable[[RawResponse], Any]] = {
        AVATAR_CREATE.name: reading.accepted(AVATAR_CREATE),
        AVATAR_GET.name: reading.snapshot(AVATAR_GET),
        AVATAR_LIST.name: reading.page(AVATAR_LIST, "", 1, 30),
        TTS.name: reading.speech(TTS),
        IDENTIFY_FACE.name: reading.faces(IDENTIFY_FACE),
        LIP_CREATE.name: reading.accepted(LIP_CREATE, LIP_SYNC),
        LIP_GET.name: reading.snapshot(LIP_GET),
        LIP_LIST.name: reading.page(LIP_LIST, LIP_SYNC, 1, 30),
        TASKS.name: reading.records(TASKS),
        COSTS.name: reading.costs(COSTS),
    }
    return readers[endpoint.name]
