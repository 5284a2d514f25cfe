"""Readers of Guiji's answers, one for each shape: created, a page, many looks, a boolean, counters, a token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from avatarkit.errors import ProviderError, UnexpectedResponse
from avatarkit.models import Avatar, Page, RawResponse, Snapshot, Voice
from avatarkit.protocol.auth import Grant
from avatarkit.protocol.codec import structure, without_none
from avatarkit.protocol.endpoint import Accepted, BatchPage, Endpoint
from avatarkit.protocol.redact import Secret
from avatarkit.providers.guiji import codes, limits, reading, wire
from avatarkit.providers.guiji import operations as ops
from avatarkit.providers.guiji.models import Benefits
from avatarkit.providers.guiji.values import ident, word, words

Convert = Callable[[Any, RawResponse], Any]

# -- rows: which class, what they become -----------------------------------------------------------------------------


def _public_avatar(row: wire.SceneRow, response: RawResponse) -> Avatar:
    return Avatar(id=ident(row.id), title=row.title or "", public=True, extra=row.extra, response=response)


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


ROWS: Mapping[str, tuple[type[Any], Convert]] = {
    ops.AVATAR_PUBLIC.name: (wire.SceneRow, _public_avatar),
    ops.VOICE_PUBLIC.name: (wire.VoiceRow, _public_voice),
    ops.AVATAR_LIST.name: (wire.TrainingRow, reading.avatar_clone),
    ops.VOICE_LIST.name: (wire.VoiceRow, reading.voice_clone),
    ops.VIDEO_LIST.name: (wire.VideoRow, reading.video_work),
    ops.AUDIO_LIST.name: (wire.AudioRow, reading.audio_work),
    ops.AVATAR_GET.name: (wire.TrainingRow, reading.avatar_clone),
    ops.VOICE_GET.name: (wire.VoiceRow, reading.voice_clone),
    ops.VIDEO_GET.name: (wire.VideoRow, reading.video_work),
    ops.AUDIO_GET.name: (wire.AudioRow, reading.audio_work),
}


# -- reading ------------------------------------------------------------------------------------------------------

CREATED: Mapping[str, str] = {
    ops.AVATAR_CREATE.name: "trainingId",
    ops.VOICE_CREATE.name: "speakerId",
    ops.VIDEO_CREATE.name: "videoId",
    ops.AUDIO_CREATE.name: "id",
}


def read_created(endpoint: Endpoint) -> Callable[[RawResponse], Accepted]:
    """Reads the answer of an operation that makes a task; each names the id in another way."""
    name = CREATED[endpoint.name]

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
    data = reading.good(ops.BENEFITS, response)
    account = data.get("account") if isinstance(data, dict) else None
    if not isinstance(account, dict):
        raise reading.outside(ops.BENEFITS, response, "the answer has no account")
    left = reading.shaped(ops.BENEFITS, response, account, wire.AccountData)
    user = data.get("user")
    who = reading.shaped(ops.BENEFITS, response, user if isinstance(user, dict) else {}, wire.UserData)
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
    """Reads the answer of the token operation. A refusal with a code of no table counts as refused credentials.

    Errors carry neither the answer nor a piece of it, for it may hold a token.
    """
    try:
        data = reading.good(ops.TOKEN, response, unknown=codes.REFUSED_KEYS)
        token = reading.shaped(ops.TOKEN, response, data, wire.TokenData)
    except UnexpectedResponse:
        raise _no_token(response) from None
    except ProviderError as error:
        error.response = None
        raise
    text = (token.access_token or "").strip()
    if not text.isascii() or not text.isprintable() or not text:
        raise _no_token(response)
    seconds = token.expires_in if token.expires_in and token.expires_in > 0 else limits.TOKEN_SECONDS
    return Grant(text=Secret(text), seconds=float(seconds))


def _no_token(response: RawResponse) -> ProviderError:
    bare = RawResponse(response.status, response.headers)
    return reading.outside(ops.TOKEN, bare, "the answer to the request for an access token has none")


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
    cls, convert = ROWS[endpoint.name]
    public = endpoint is ops.VOICE_PUBLIC

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


_STATUS: Mapping[type[Any], tuple[str, Mapping[str, codes.StatusRule]]] = {
    wire.TrainingRow: ("status", codes.TRAINING),
    wire.VoiceRow: ("status", codes.VOICE),
    wire.VideoRow: ("synthesisStatus", codes.VIDEO),
    wire.AudioRow: ("status", codes.TTS),
}


def read_batch(endpoint: Endpoint, ids: Sequence[str], page: int) -> Callable[[RawResponse], BatchPage]:
    """Reads a page of a list as looks at the tasks *ids*; rows that cannot be read are left to a look of their own."""
    cls, convert = ROWS[endpoint.name]
    name = "speakerId" if cls is wire.VoiceRow else "id"
    status, table = _STATUS[cls]

    def read(response: RawResponse) -> BatchPage:
        found, rows = _page_data(endpoint, response)
        wanted, shown = frozenset(ids), dict[str, Snapshot]()
        # Nearly all rows say no more than that their task goes on: one snapshot serves all of a status.
        going = {
            raw: Snapshot(status=rule.status, raw_status=raw, response=response)
            for raw, rule in table.items()
            if not rule.status.terminal
        }
        for row in rows:
            if not isinstance(row, dict):
                continue
            # The vendor sends numbers; the other forms are taken too.
            value, said = row.get(name), row.get(status)
            task_id = str(value) if value.__class__ is int else ident(value)
            if task_id not in wanted or task_id in shown:
                continue
            raw = str(said) if said.__class__ is int else word(said)
            snapshot = going.get(raw) or _ended(row, cls, convert, response)
            if snapshot is not None:
                shown[task_id] = snapshot
        return BatchPage(found=shown, more=_more(found, len(rows), page, limits.PAGE_SIZE))

    return read


def _ended(row: Any, cls: type[Any], convert: Convert, response: RawResponse) -> Snapshot | None:
    try:
        thing = convert(structure(row, cls), response)
    except UnexpectedResponse:
        return None
    return reading.snapshot(thing) if thing.raw_status != "" else None
