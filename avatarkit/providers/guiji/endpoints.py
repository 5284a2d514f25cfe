"""Every operation of Guiji's document, as data, with the requests and what their answers become.

Paths mix two versions on purpose, as the document does: v3 for what creates (it takes the consent), v2 for what reads.
Every request carries the access token in its query; ``auth.py`` adds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

from avatarkit.errors import UnexpectedResponse
from avatarkit.models import Avatar, Guard, Kind, Page, RawResponse, Snapshot, Voice
from avatarkit.protocol.auth import Grant
from avatarkit.protocol.codec import structure, without_none
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
from avatarkit.protocol.redact import Secret
from avatarkit.providers.guiji import codes, limits, reading, wire
from avatarkit.providers.guiji.models import Benefits
from avatarkit.providers.guiji.values import ident, words

T = TypeVar("T")
Convert = Callable[[Any, RawResponse], Any]

# Four pools: the document knows one refusal for too many tasks (40019) and does not say which tasks count together.
_WORKS, _SPEECH, _AVATARS, _VOICES = "works", "speech", "avatars", "voices"

TOKEN = Endpoint(
    name="token", method="GET", path="/openapi/oauth/token", source="interface page, access_token"
)
BENEFITS = Endpoint(
    name="account.benefits", method="GET", path="/openapi/user/v2/get", source="document, 1"
)
AVATAR_PUBLIC = Endpoint(
    name="avatars.list_public",
    method="POST",
    path="/openapi/robot/v2/fastPublicPageList",
    source="document, 2.1",
)
VOICE_PUBLIC = Endpoint(
    name="voices.list_public",
    method="POST",
    path="/openapi/speaker/v2/fastPublicPageList",
    source="document, 2.2",
)
AVATAR_CREATE = Endpoint(
    name="avatars.create",
    method="POST",
    path="/openapi/video/v3/create/training",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.AVATAR,
    pool=_AVATARS,
    guard=Guard.TITLE,
    source="document, 3.1",
)
AVATAR_LIST = Endpoint(
    name="avatars.list",
    method="POST",
    path="/openapi/video/v2/training/pageList",
    kind=Kind.AVATAR,
    source="document, 3.3",
)
AVATAR_GET = Endpoint(
    name="avatars.get",
    method="GET",
    path="/openapi/video/v2/training/get/{id}",
    kind=Kind.AVATAR,
    source="document, 3.4",
)
AVATAR_AUTHORIZE = Endpoint(
    name="avatars.authorize",
    method="POST",
    path="/openapi/video/v3/authorize",
    effect=Effect.WRITE,
    source="document, 7.1",
)
VOICE_CREATE = Endpoint(
    name="voices.create",
    method="POST",
    path="/openapi/speaker/v3/clone",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VOICE,
    pool=_VOICES,
    guard=Guard.TITLE,
    source="document, 4.1",
)
VOICE_LIST = Endpoint(
    name="voices.list",
    method="POST",
    path="/openapi/speaker/v2/clonePageList",
    kind=Kind.VOICE,
    source="document, 4.3",
)
VOICE_GET = Endpoint(
    name="voices.get",
    method="GET",
    path="/openapi/speaker/v2/clone/{id}",
    kind=Kind.VOICE,
    source="document, 4.4",
)
VOICE_AUTHORIZE = Endpoint(
    name="voices.authorize",
    method="POST",
    path="/openapi/speaker/v3/authorize",
    effect=Effect.WRITE,
    source="document, 7.2",
)
VIDEO_CREATE = Endpoint(
    name="videos.create",
    method="POST",
    path="/openapi/video/v3/simpleCreate",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=_WORKS,
    guard=Guard.TITLE,
    source="document, 5.1",
)
VIDEO_LIST = Endpoint(
    name="videos.list",
    method="POST",
    path="/openapi/video/v2/pageList",
    kind=Kind.VIDEO,
    source="document, 5.3",
)
VIDEO_GET = Endpoint(
    name="videos.get",
    method="GET",
    path="/openapi/video/v2/get/{id}",
    kind=Kind.VIDEO,
    source="document, 5.4",
)
AUDIO_CREATE = Endpoint(
    name="audios.create",
    method="POST",
    path="/openapi/speaker/v3/fastTts",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.AUDIO,
    pool=_SPEECH,
    source="document, 6.1",
)
AUDIO_LIST = Endpoint(
    name="audios.list",
    method="POST",
    path="/openapi/speaker/v2/tts/pageList",
    kind=Kind.AUDIO,
    source="document, 6.3",
)
AUDIO_GET = Endpoint(
    name="audios.get",
    method="GET",
    path="/openapi/speaker/v2/tts/{id}",
    kind=Kind.AUDIO,
    source="document, 6.4",
)

# -- rows: which class, what they become -----------------------------------------------------------------------------


def _public_avatar(row: wire.SceneRow, response: RawResponse) -> Avatar:
    return Avatar(
        id=ident(row.id), title=row.title or "", public=True, extra=row.extra, response=response
    )


def _public_voice(row: wire.VoiceRow, response: RawResponse) -> Voice:
    known = {
        "sex": row.sex,
        "status": row.status,
        "ttsFeatures": row.features,
        "audioUrl": row.sample_url,
        "expireTime": row.expires,
    }
    return Voice(
        id=ident(row.speaker_id),
        title=row.title or "",
        public=True,
        languages=words(row.languages),
        demo_url=row.demo_url or "",
        extra={**row.extra, **without_none(**known)},
        response=response,
    )


_ROWS: Mapping[str, tuple[type[Any], Convert]] = {
    AVATAR_PUBLIC.name: (wire.SceneRow, _public_avatar),
    VOICE_PUBLIC.name: (wire.VoiceRow, _public_voice),
    AVATAR_LIST.name: (wire.TrainingRow, reading.avatar_clone),
    VOICE_LIST.name: (wire.VoiceRow, reading.voice_clone),
    VIDEO_LIST.name: (wire.VideoRow, reading.video_work),
    AUDIO_LIST.name: (wire.AudioRow, reading.audio_work),
    AVATAR_GET.name: (wire.TrainingRow, reading.avatar_clone),
    VOICE_GET.name: (wire.VoiceRow, reading.voice_clone),
    VIDEO_GET.name: (wire.VideoRow, reading.video_work),
    AUDIO_GET.name: (wire.AudioRow, reading.audio_work),
}


# -- reading ------------------------------------------------------------------------------------------------------

_CREATED: Mapping[str, str] = {
    AVATAR_CREATE.name: "trainingId",
    VOICE_CREATE.name: "speakerId",
    VIDEO_CREATE.name: "videoId",
    AUDIO_CREATE.name: "id",
}


def read_created(endpoint: Endpoint) -> Callable[[RawResponse], Accepted]:
    """Reads the answer of an operation that makes a task; each names the id in another way."""
    name = _CREATED[endpoint.name]

    def read(response: RawResponse) -> Accepted:
        data = reading.good(endpoint, response)
        task_id = ident(data.get(name)) if isinstance(data, dict) else ""
        if not task_id:
            raise reading.outside(endpoint, response, f"accepted, but the answer has no {name}")
        return Accepted(task_id=task_id, response=response)

    return read


def read_authorized(endpoint: Endpoint) -> Callable[[RawResponse], bool]:
    """Reads the answer of the two ``authorize`` operations: a bare boolean."""

    def read(response: RawResponse) -> bool:
        data = reading.good(endpoint, response)
        return data is not False and str(data).strip().lower() != "false"

    return read


def read_benefits(response: RawResponse) -> Benefits:
    """Reads the answer of ``user/v2/get``."""
    data = reading.good(BENEFITS, response)
    account = data.get("account") if isinstance(data, dict) else None
    if not isinstance(account, dict):
        raise reading.outside(BENEFITS, response, "the answer has no account")
    left = reading.shaped(BENEFITS, response, account, wire.AccountData)
    user = data.get("user")
    who = reading.shaped(BENEFITS, response, user if isinstance(user, dict) else {}, wire.UserData)
    return Benefits(
        user_id=ident(who.id),
        corp_id=ident(who.corp_id),
        avatars=left.avatars,
        avatars_total=left.avatars_total,
        voices=left.voices,
        voices_total=left.voices_total,
        video_seconds=None if left.video_ms is None else left.video_ms / 1000,
        video_seconds_total=None if left.video_ms_total is None else left.video_ms_total / 1000,
        characters=left.characters,
        characters_total=left.characters_total,
        extra=left.extra,
        response=response,
    )


def read_token(response: RawResponse) -> Grant:
    """Reads the answer of the token operation. A refusal with a code of no table counts as refused credentials."""
    data = reading.good(TOKEN, response, unknown=codes.REFUSED_KEYS)
    token = reading.shaped(TOKEN, response, data, wire.TokenData)
    text = (token.access_token or "").strip()
    if not text.isascii() or not text.isprintable() or not text:
        raise reading.outside(TOKEN, response, "the answer has no access_token")
    seconds = token.expires_in if token.expires_in and token.expires_in > 0 else limits.TOKEN_SECONDS
    return Grant(text=Secret(text), seconds=float(seconds))


def _page_data(endpoint: Endpoint, response: RawResponse) -> tuple[wire.PageData, list[Any]]:
    data = reading.good(endpoint, response)
    if data is None or data is wire.ABSENT:
        return wire.PageData(), []
    page = reading.shaped(endpoint, response, data, wire.PageData)
    rows = [] if page.records is None else page.records
    if not isinstance(rows, list):
        raise reading.outside(endpoint, response, "the answer's records are not a list")
    return page, rows


def _more(found: wire.PageData, rows: int, page: int, size: int) -> bool:
    # The vendor may give fewer rows a page than were asked for, and says so in pageSize.
    step = found.page_size if found.page_size and 0 < found.page_size <= size else size
    if found.total is None:
        return rows >= step
    return rows > 0 and page * step < found.total


def read_page(endpoint: Endpoint, page: int, size: int) -> Callable[[RawResponse], Page[Any]]:
    """Reads a page of a list. Rows without an id are left out, and public voices that cannot be used."""
    cls, convert = _ROWS[endpoint.name]
    public = endpoint is VOICE_PUBLIC

    def read(response: RawResponse) -> Page[Any]:
        found, rows = _page_data(endpoint, response)
        items = (convert(reading.shaped(endpoint, response, row, cls), response) for row in rows)
        return Page(
            items=tuple(item for item in items if item.id and not (public and _unusable(item))),
            page=page,
            size=size,
            more=_more(found, len(rows), page, size),
            total=found.total,
            response=response,
        )

    return read


def _unusable(voice: Voice) -> bool:
    # Other clients saw expired voices among the public ones; without a status a voice is taken for good.
    return voice.extra.get("status") is not None and ident(voice.extra["status"]) != "2"


def read_batch(endpoint: Endpoint, ids: Sequence[str], page: int) -> Callable[[RawResponse], BatchPage]:
    """Reads a page of a list as looks at the tasks *ids*; rows that cannot be read are left to a look of their own."""
    cls, convert = _ROWS[endpoint.name]
    name = "speakerId" if cls is wire.VoiceRow else "id"
    wanted = frozenset(ids)

    def read(response: RawResponse) -> BatchPage:
        found, rows = _page_data(endpoint, response)
        shown: dict[str, Snapshot] = {}
        for row in rows:
            task_id = ident(row.get(name)) if isinstance(row, dict) else ""
            if task_id not in wanted or task_id in shown:
                continue
            try:
                thing = convert(structure(row, cls), response)
            except UnexpectedResponse:
                continue
            if thing.raw_status != "":
                shown[task_id] = reading.snapshot(thing)
        return BatchPage(found=shown, more=_more(found, len(rows), page, limits.PAGE_SIZE))

    return read


# -- requests -----------------------------------------------------------------------------------------------------


def token_request(app_id: str, timestamp_ms: int, sign: str) -> Request[Grant]:
    """The request for an access token."""
    query = f"grant_type=sign&appId={quote(app_id, safe='')}&timestamp={timestamp_ms}&sign={sign}"
    return Request(TOKEN, read_token, query=query)


def create(endpoint: Endpoint, body: Mapping[str, Any]) -> Request[Accepted]:
    """A submission."""
    return Request(endpoint, read_created(endpoint), body=body)


def page(endpoint: Endpoint, number: int, size: int, **filters: Any) -> Request[Page[Any]]:
    """One page of a list; filters that are None are not sent."""
    body = {"page": number, "size": size, **without_none(**filters)}
    return Request(endpoint, read_page(endpoint, number, size), body=body)


def get(endpoint: Endpoint, thing_id: str) -> Request[Any]:
    """The request for one thing by its id, as the vendor's row."""
    return Request(endpoint, reading.one(endpoint, *_ROWS[endpoint.name]), path=_filled(endpoint, thing_id))


def look(endpoint: Endpoint) -> Callable[[str], Request[Snapshot]]:
    """The request that asks for the state of one task."""
    read_row = reading.one(endpoint, *_ROWS[endpoint.name])

    def read(response: RawResponse) -> Snapshot:
        return reading.snapshot(read_row(response))

    def request(task_id: str) -> Request[Snapshot]:
        return Request(endpoint, read, path=_filled(endpoint, task_id))

    return request


def _filled(endpoint: Endpoint, thing_id: str) -> str:
    # "." and ".." are the two ids that quoting leaves alone and a path would swallow.
    safe = quote(thing_id, safe="").replace(".", "%2E") if thing_id.strip(".") == "" else quote(thing_id, safe="")
    return endpoint.path.replace("{id}", safe)


def _batch(endpoint: Endpoint) -> Batch:
    def request(ids: Sequence[str], number: int) -> Request[BatchPage]:
        body = {"page": number, "size": limits.PAGE_SIZE}
        return Request(endpoint, read_batch(endpoint, ids, number), body=body)

    return Batch(request=request, pages=limits.BATCH_PAGES)


def _kind(
    one: Endpoint, many: Endpoint, pool: str, median: float, p95: float
) -> TaskKind:
    assert one.kind is not None
    return TaskKind(
        kind=one.kind, look=look(one), pool=pool, median=median, p95=p95, batch=_batch(many)
    )


SPEC = ProviderSpec(
    name="guiji",
    title="Guiji",
    base_url="https://meta.guiji.ai",
    base_url_variable="GUIJI_BASE_URL",
    credentials=("GUIJI_APP_ID", "GUIJI_SECRET"),
    # The document's samples: a video of 7 s took 104 s, a training 34 s.
    kinds={
        Kind.AVATAR: _kind(AVATAR_GET, AVATAR_LIST, _AVATARS, 40, 300),
        Kind.VOICE: _kind(VOICE_GET, VOICE_LIST, _VOICES, 60, 300),
        Kind.VIDEO: _kind(VIDEO_GET, VIDEO_LIST, _WORKS, 105, 600),
        Kind.AUDIO: _kind(AUDIO_GET, AUDIO_LIST, _SPEECH, 10, 60),
    },
    endpoints=(
        BENEFITS,
        AVATAR_PUBLIC,
        VOICE_PUBLIC,
        AVATAR_CREATE,
        AVATAR_LIST,
        AVATAR_GET,
        AVATAR_AUTHORIZE,
        VOICE_CREATE,
        VOICE_LIST,
        VOICE_GET,
        VOICE_AUTHORIZE,
        VIDEO_CREATE,
        VIDEO_LIST,
        VIDEO_GET,
        AUDIO_CREATE,
        AUDIO_LIST,
        AUDIO_GET,
    ),
    # The vendor documents no limit on requests; ten a second keeps a fleet of pollers polite.
    per_second=10.0,
)

_LOOKS = {endpoint.name: endpoint for endpoint in (AVATAR_GET, VOICE_GET, VIDEO_GET, AUDIO_GET)}


def read_any(endpoint: Endpoint) -> Callable[[RawResponse], Any]:
    """The reader of *endpoint*'s answers, with neutral values where it needs some (for tests over all endpoints)."""
    name = endpoint.name
    if name in _CREATED:
        return read_created(endpoint)
    if name in _LOOKS:
        return look(_LOOKS[name])("").read
    if name in _ROWS:
        return read_page(endpoint, 1, 20)
    if name in (AVATAR_AUTHORIZE.name, VOICE_AUTHORIZE.name):
        return read_authorized(endpoint)
    return read_benefits if name == BENEFITS.name else read_token
