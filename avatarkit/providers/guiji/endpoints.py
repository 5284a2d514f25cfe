"""Guiji's requests, and the provider as the engine sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import attrs

from avatarkit.models import Kind, Page, RawResponse, Snapshot
from avatarkit.protocol.auth import Grant
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.endpoint import (
    Accepted,
    Batch,
    BatchPage,
    Endpoint,
    ProviderSpec,
    Request,
    TaskKind,
)
from avatarkit.providers.guiji import answers, limits, reading
from avatarkit.providers.guiji import operations as ops


def token_request(app_id: str, timestamp_ms: int, sign: str) -> Request[Grant]:
    """The request for an access token."""
    query = f"grant_type=sign&appId={quote(app_id, safe='')}&timestamp={timestamp_ms}&sign={sign}"
    return Request(ops.TOKEN, answers.read_token, query=query)


def create(endpoint: Endpoint, body: Mapping[str, Any]) -> Request[Accepted]:
    """A submission."""
    return Request(endpoint, answers.read_created(endpoint), body=body)


def page(endpoint: Endpoint, number: int, size: int, **filters: Any) -> Request[Page[Any]]:
    """One page of a list; filters that are None are not sent."""
    body = {"page": number, "size": size, **without_none(**filters)}
    return Request(endpoint, answers.read_page(endpoint, number, size), body=body)


def get(endpoint: Endpoint, thing_id: str) -> Request[Any]:
    """The request for one thing by its id, as the vendor's row."""
    return Request(_filled(endpoint, thing_id), reading.one(endpoint, *answers.ROWS[endpoint.name]))


def look(endpoint: Endpoint) -> Callable[[str], Request[Snapshot]]:
    """The request that asks for the state of one task."""
    read_row = reading.one(endpoint, *answers.ROWS[endpoint.name])

    def read(response: RawResponse) -> Snapshot:
        return reading.snapshot(read_row(response))

    def request(task_id: str) -> Request[Snapshot]:
        return Request(_filled(endpoint, task_id), read)

    return request


def _filled(endpoint: Endpoint, thing_id: str) -> Endpoint:
    safe = quote(thing_id, safe="")
    if not safe.strip("."):  # "." and ".." are left alone by quoting, and swallowed by a path
        safe = safe.replace(".", "%2E")
    return attrs.evolve(endpoint, path=endpoint.path.replace("{id}", safe))


_FEW = 20  # so many waiting tasks are looked for in pages of the usual size
_LARGE_PAGE = 200  # rows a page where more wait: five pages then show a thousand tasks
_PAGES = 10  # the most that one round of looks reads


def _batch(endpoint: Endpoint) -> Batch:
    def request(ids: Sequence[str], number: int) -> Request[BatchPage]:
        # Where many wait, larger pages than usual are asked for; the vendor may still give less.
        size = limits.PAGE_SIZE if len(ids) <= _FEW else _LARGE_PAGE
        return Request(
            endpoint, answers.read_batch(endpoint, ids, number), body={"page": number, "size": size}
        )

    return Batch(request=request, pages=_PAGES)


def _kind(one: Endpoint, many: Endpoint, pool: str, median: float, p95: float) -> TaskKind:
    assert one.kind is not None
    return TaskKind(kind=one.kind, look=look(one), pool=pool, median=median, p95=p95, batch=_batch(many))


SPEC = ProviderSpec(
    name="guiji",
    title="Guiji",
    base_url="https://meta.guiji.ai",
    base_url_variable="GUIJI_BASE_URL",
    credentials=("GUIJI_APP_ID", "GUIJI_SECRET"),
    # The document's samples: a video of 7 s took 104 s, a training 34 s.
    kinds={
        Kind.AVATAR: _kind(ops.AVATAR_GET, ops.AVATAR_LIST, ops.AVATARS, 40, 300),
        Kind.VOICE: _kind(ops.VOICE_GET, ops.VOICE_LIST, ops.VOICES, 60, 300),
        Kind.VIDEO: _kind(ops.VIDEO_GET, ops.VIDEO_LIST, ops.WORKS, 105, 600),
        Kind.AUDIO: _kind(ops.AUDIO_GET, ops.AUDIO_LIST, ops.SPEECH, 10, 60),
    },
    endpoints=(
        ops.BENEFITS,
        ops.AVATAR_PUBLIC,
        ops.VOICE_PUBLIC,
        ops.AVATAR_CREATE,
        ops.AVATAR_LIST,
        ops.AVATAR_GET,
        ops.AVATAR_AUTHORIZE,
        ops.VOICE_CREATE,
        ops.VOICE_LIST,
        ops.VOICE_GET,
        ops.VOICE_AUTHORIZE,
        ops.VIDEO_CREATE,
        ops.VIDEO_LIST,
        ops.VIDEO_GET,
        ops.AUDIO_CREATE,
        ops.AUDIO_LIST,
        ops.AUDIO_GET,
    ),
    # The vendor documents no limit on requests; ten a second keeps a fleet of pollers polite.
    per_second=10.0,
)

_LOOKS = {
    endpoint.name: endpoint for endpoint in (ops.AVATAR_GET, ops.VOICE_GET, ops.VIDEO_GET, ops.AUDIO_GET)
}


def read_any(endpoint: Endpoint) -> Callable[[RawResponse], Any]:
    """The reader of *endpoint*'s answers, with neutral values where it needs some (for tests over all endpoints)."""
    name = endpoint.name
    if name in answers.CREATED:
        return answers.read_created(endpoint)
    if name in _LOOKS:
        return look(_LOOKS[name])("").read
    if name in answers.ROWS:
        return answers.read_page(endpoint, 1, 20)
    if name in (ops.AVATAR_AUTHORIZE.name, ops.VOICE_AUTHORIZE.name):
        return answers.read_authorized(endpoint)
    return answers.read_benefits if name == ops.BENEFITS.name else answers.read_token
