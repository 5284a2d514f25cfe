"""Every operation of HiFly's documents, as data, and how its answers are read.

Rules of reading, each from the vendor's documents or seen in use:

- HTTP 200 says nothing: ``code`` decides, and it may come as ``0`` or ``"0"``.
- On the three task endpoints ``status`` is read before ``code``: status 4 with a code is a failed task, not a failed
  request; a code without a status is a failed request.
- 401 may carry JSON, nothing, or the bare word ``Unauthorized``.
- A field that is missing at the top is looked for inside ``data``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from avatarkit.errors import (
    AuthenticationError,
    ProviderError,
    ProviderFault,
    RateLimited,
    UnexpectedResponse,
)
from avatarkit.models import (
    Avatar,
    Credit,
    FailureReason,
    Guard,
    Kind,
    Page,
    RawResponse,
    Snapshot,
    Status,
    UploadSlot,
    Voice,
)
from avatarkit.protocol.codec import decode, structure
from avatarkit.protocol.endpoint import Accepted, Effect, Endpoint, ProviderSpec, Request, TaskKind
from avatarkit.protocol.outcome import retry_after
from avatarkit.providers.hifly import codes, wire

T = TypeVar("T", bound=wire.Envelope)

# -- the operations -----------------------------------------------------------------------------------------------

_WORKS = "works"

AVATAR_BY_VIDEO = Endpoint(
    name="avatars.create_by_video",
    method="POST",
    path="/avatar/create_by_video",
    effect=Effect.SUBMIT,
    kind=Kind.AVATAR,
    source="create video avatar",
)
AVATAR_BY_IMAGE = Endpoint(
    name="avatars.create_by_image",
    method="POST",
    path="/avatar/create_by_image",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.AVATAR,
    source="create image avatar",
)
AVATAR_TASK = Endpoint(
    name="avatars.task", method="GET", path="/avatar/task", kind=Kind.AVATAR, source="avatar: query task"
)
AVATAR_LIST = Endpoint(name="avatars.list", method="GET", path="/avatar/list", source="query public avatars")
VOICE_CREATE = Endpoint(
    name="voices.create",
    method="POST",
    path="/voice/create",
    effect=Effect.SUBMIT,
    kind=Kind.VOICE,
    guard=Guard.TITLE,
    source="create voice",
)
VOICE_EDIT = Endpoint(
    name="voices.edit", method="POST", path="/voice/edit", effect=Effect.WRITE, source="edit voice parameters"
)
VOICE_LIST = Endpoint(name="voices.list", method="GET", path="/voice/list", source="query voices")
VOICE_TASK = Endpoint(
    name="voices.task", method="GET", path="/voice/task", kind=Kind.VOICE, source="voice: query task"
)
VIDEO_BY_AUDIO = Endpoint(
    name="videos.create_by_audio",
    method="POST",
    path="/video/create_by_audio",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=_WORKS,
    source="video, audio-driven",
)
VIDEO_BY_TTS = Endpoint(
    name="videos.create_by_tts",
    method="POST",
    path="/video/create_by_tts",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=_WORKS,
    source="video, text-driven",
)
VIDEO_BY_IMAGE = Endpoint(
    name="videos.create_by_image",
    method="POST",
    path="/video/create_by_image",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=_WORKS,
    source="not in the vendor's documents; one project's contract",
    experimental=True,
)
AUDIO_BY_TTS = Endpoint(
    name="audios.create_by_tts",
    method="POST",
    path="/audio/create_by_tts",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.AUDIO,
    pool=_WORKS,
    source="audio creation",
)
VIDEO_TASK = Endpoint(
    name="videos.task", method="GET", path="/video/task", kind=Kind.VIDEO, source="query creation task"
)
UPLOAD_URL = Endpoint(
    name="files.create_upload_url",
    method="POST",
    path="/tool/create_upload_url",
    effect=Effect.WRITE,
    source="get upload address",
)
CREDIT = Endpoint(name="account.credit", method="GET", path="/account/credit", source="query account credits")


# -- reading ------------------------------------------------------------------------------------------------------


def _error(
    endpoint: Endpoint, response: RawResponse, rule: codes.ErrorRule, envelope: wire.Envelope, code: str
) -> ProviderError:
    said = envelope.message.strip()
    return rule.error(
        f"{rule.meaning}: {said}" if said and said != rule.meaning else rule.meaning,
        provider="hifly",
        endpoint=endpoint.name,
        code=code,
        http_status=response.status,
        request_id=envelope.request_id,
        retry_after=retry_after(response),
        response=response,
        hint=rule.hint,
    )


def _outside_shape(endpoint: Endpoint, response: RawResponse, what: str) -> ProviderError:
    facts: dict[str, Any] = {
        "provider": "hifly",
        "endpoint": endpoint.name,
        "http_status": response.status,
        "retry_after": retry_after(response),
        "response": response,
    }
    if response.status == 401:
        rule = codes.ERRORS["2003"]
        return AuthenticationError(rule.meaning, hint=rule.hint, **facts)
    if response.status == 429 and endpoint.effect is not Effect.SUBMIT:
        return RateLimited("too many requests", **facts)
    if response.status >= 500:
        return ProviderFault(f"HTTP {response.status} without a readable answer", **facts)
    return UnexpectedResponse(what, **facts)


def _payload(endpoint: Endpoint, response: RawResponse) -> dict[str, Any]:
    try:
        payload = decode(response.body)
    except UnexpectedResponse as error:
        raise _outside_shape(endpoint, response, str(error)) from None
    if not isinstance(payload, dict):
        raise _outside_shape(endpoint, response, "the answer is not a JSON object")
    inner = payload.get("data")
    return {**inner, **payload} if isinstance(inner, dict) else payload


def _envelope(
    endpoint: Endpoint, response: RawResponse, cls: type[T], *, code_needed: bool = True
) -> tuple[T, str]:
    return _fit(endpoint, response, _payload(endpoint, response), cls, code_needed=code_needed)


def _fit(
    endpoint: Endpoint, response: RawResponse, payload: dict[str, Any], cls: type[T], *, code_needed: bool
) -> tuple[T, str]:
    try:
        envelope = structure(payload, cls)
    except UnexpectedResponse as error:
        raise _outside_shape(endpoint, response, str(error)) from None
    if envelope.code.__class__ is int and envelope.code == 0 and response.status == 200:
        return envelope, "0"
    if isinstance(envelope.code, bool) or not isinstance(envelope.code, int | str | float | None):
        raise _outside_shape(endpoint, response, "the answer's code is neither number nor text")
    code = "" if envelope.code is None else str(envelope.code).strip().removesuffix(".0")
    if code == "" and (code_needed or response.status != 200):
        raise _outside_shape(endpoint, response, "the answer has no code")
    if code in ("0", "") and response.status != 200:
        raise _outside_shape(endpoint, response, f"HTTP {response.status} with code {code or 'missing'}")
    return envelope, code


def _refused(endpoint: Endpoint, response: RawResponse, envelope: wire.Envelope, code: str) -> ProviderError:
    rule = codes.ERRORS.get(code)
    if rule is None and response.status == 401:
        rule = codes.ERRORS["2003"]
    if rule is None and response.status == 429:
        rule = codes.ErrorRule(RateLimited, "too many requests")
    return _error(endpoint, response, rule or codes.UNKNOWN, envelope, code)


def _good(endpoint: Endpoint, response: RawResponse, cls: type[T], *, code_needed: bool = True) -> T:
    envelope, code = _envelope(endpoint, response, cls, code_needed=code_needed)
    if code not in ("0", ""):
        raise _refused(endpoint, response, envelope, code)
    return envelope


def read_created(endpoint: Endpoint) -> Callable[[RawResponse], Accepted]:
    """Reads the answer of an operation that makes a task."""

    def read(response: RawResponse) -> Accepted:
        created = _good(endpoint, response, wire.Created)
        if not created.task_id:
            raise _outside_shape(endpoint, response, "accepted, but the answer has no task_id")
        return Accepted(task_id=created.task_id, response=response)

    return read


_UNFINISHED = {int(raw): status for raw, status in codes.STATUSES.items() if not status.terminal}


def _snapshot(endpoint: Endpoint, kind: Kind) -> Callable[[RawResponse], Snapshot]:
    def read(response: RawResponse) -> Snapshot:
        payload = _payload(endpoint, response)
        number, code = payload.get("status"), payload.get("code")
        plain = number.__class__ is int and code.__class__ is int and response.status == 200
        if plain and code == 0 and number in _UNFINISHED:
            # By far the commonest answer. Anything but exactly this shape is read field by field.
            return Snapshot(status=_UNFINISHED[number], raw_status=str(number), response=response)
        state, code = _fit(endpoint, response, payload, wire.TaskState, code_needed=False)
        raw = "" if state.status is None else str(state.status).strip().removesuffix(".0")
        if raw == "":
            if code not in ("0", ""):
                raise _refused(endpoint, response, state, code)
            raise _outside_shape(endpoint, response, "the answer has no status")
        status = codes.STATUSES.get(raw, Status.UNKNOWN)
        if status is Status.FAILED:
            rule = codes.ERRORS.get(code, codes.UNKNOWN)
            said = state.message.strip() or (rule.meaning if code not in ("0", "") else "")
            return Snapshot(
                status=status,
                raw_status=raw,
                reason=rule.reason,
                code="" if code == "0" else code,
                message=said or "the vendor gave no reason",
                response=response,
            )
        if status is not Status.SUCCEEDED:
            return Snapshot(status=status, raw_status=raw, response=response)
        return _success(state, kind, raw, response)

    return read


def _success(state: wire.TaskState, kind: Kind, raw: str, response: RawResponse) -> Snapshot:
    result: dict[str, Any]
    if kind is Kind.AVATAR:
        result, needed = {"id": state.avatar or ""}, state.avatar
    elif kind is Kind.VOICE:
        result, needed = {"id": state.voice or "", "demo_url": state.demo_url or ""}, state.voice
    else:
        result, needed = {"url": state.video_url or "", "duration": state.duration}, state.video_url
    if not needed:
        # Paid for and not there: not a result yet, not a failure yet. The poll hub looks again, a few times.
        return Snapshot(
            status=Status.UNKNOWN,
            raw_status=raw,
            reason=FailureReason.NO_RESULT,
            message="the vendor says the task is done but gives no result",
            response=response,
        )
    return Snapshot(status=Status.SUCCEEDED, raw_status=raw, result=result, response=response)


def read_edited(response: RawResponse) -> None:
    """Reads the answer of ``voice/edit``."""
    _good(VOICE_EDIT, response, wire.Envelope)


def read_credit(response: RawResponse) -> Credit:
    """Reads the answer of ``account/credit``."""
    answer = _good(CREDIT, response, wire.CreditAnswer)
    if answer.left is None:
        raise _outside_shape(CREDIT, response, "the answer has no credits")
    return Credit(left=answer.left, extra=answer.extra, response=response)


def read_upload(response: RawResponse) -> UploadSlot:
    """Reads the answer of ``tool/create_upload_url``, the one answer without a code."""
    answer = _good(UPLOAD_URL, response, wire.UploadAnswer, code_needed=False)
    if not (answer.upload_url.startswith(("https://", "http://")) and answer.file_id):
        raise _outside_shape(UPLOAD_URL, response, "the answer has no upload_url or no file_id")
    return UploadSlot(
        upload_url=answer.upload_url,
        content_type=answer.content_type or "application/octet-stream",
        file_id=answer.file_id,
        extra=answer.extra,
        response=response,
    )


def _rows(endpoint: Endpoint, response: RawResponse) -> list[Any]:
    _good(endpoint, response, wire.Envelope)
    rows = _payload(endpoint, response).get("data")
    if isinstance(rows, dict):  # one source saw the rows one level deeper
        rows = rows.get("list")
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise _outside_shape(endpoint, response, "the answer's data is not a list")
    return rows


def read_avatars(page: int, size: int) -> Callable[[RawResponse], Page[Avatar]]:
    """Reads a page of ``avatar/list``; rows without an id are left out."""

    def read(response: RawResponse) -> Page[Avatar]:
        rows = _structured(AVATAR_LIST, response, wire.AvatarRow)
        items = tuple(
            Avatar(
                id=row.avatar,
                title=row.title,
                public=row.kind in (2, None),
                extra=row.extra,
                response=response,
            )
            for row in rows
            if row.avatar
        )
        return Page(items=items, page=page, size=size, more=len(rows) >= size, response=response)

    return read


def read_voices(page: int, size: int) -> Callable[[RawResponse], Page[Voice]]:
    """Reads a page of ``voice/list``; rows without an id are left out."""

    def read(response: RawResponse) -> Page[Voice]:
        rows = _structured(VOICE_LIST, response, wire.VoiceRow)
        items = tuple(
            Voice(
                id=row.voice,
                title=row.title,
                public=row.type == 10,
                rate=row.rate,
                volume=row.volume,
                pitch=row.pitch,
                languages=_languages(row.languages),
                raw_type=row.type,
                extra=row.extra,
                response=response,
            )
            for row in rows
            if row.voice
        )
        return Page(items=items, page=page, size=size, more=len(rows) >= size, response=response)

    return read


R = TypeVar("R")


def _structured(endpoint: Endpoint, response: RawResponse, cls: type[R]) -> list[R]:
    try:
        return [structure(row, cls) for row in _rows(endpoint, response)]
    except UnexpectedResponse as error:
        if error.endpoint:
            raise
        raise _outside_shape(endpoint, response, str(error)) from None


def _languages(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, list):
        return tuple(str(part) for part in value if isinstance(part, str | int))
    return ()


# -- requests -----------------------------------------------------------------------------------------------------


def look(endpoint: Endpoint, kind: Kind) -> Callable[[str], Request[Snapshot]]:
    """The request that asks for the state of one task of *kind*."""
    read = _snapshot(endpoint, kind)

    def request(task_id: str) -> Request[Snapshot]:
        plain = task_id.isascii() and task_id.isalnum()
        return Request(endpoint, read, query="task_id=" + (task_id if plain else quote(task_id, safe="")))

    return request


def create(endpoint: Endpoint, body: Mapping[str, Any]) -> Request[Accepted]:
    """A submission."""
    return Request(endpoint, read_created(endpoint), body=body)


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
        Kind.AVATAR: TaskKind(kind=Kind.AVATAR, look=look(AVATAR_TASK, Kind.AVATAR), median=90, p95=600),
        Kind.VOICE: TaskKind(kind=Kind.VOICE, look=look(VOICE_TASK, Kind.VOICE), median=30, p95=180),
        Kind.VIDEO: TaskKind(
            kind=Kind.VIDEO, look=look(VIDEO_TASK, Kind.VIDEO), pool=_WORKS, median=90, p95=300
        ),
        Kind.AUDIO: TaskKind(
            kind=Kind.AUDIO, look=look(VIDEO_TASK, Kind.AUDIO), pool=_WORKS, median=20, p95=90
        ),
    },
    endpoints=(
        AVATAR_BY_VIDEO,
        AVATAR_BY_IMAGE,
        AVATAR_TASK,
        AVATAR_LIST,
        VOICE_CREATE,
        VOICE_EDIT,
        VOICE_LIST,
        VOICE_TASK,
        VIDEO_BY_AUDIO,
        VIDEO_BY_TTS,
        VIDEO_BY_IMAGE,
        AUDIO_BY_TTS,
        VIDEO_TASK,
        UPLOAD_URL,
        CREDIT,
    ),
    # The vendor documents no limit on requests; twenty a second keeps a fleet of pollers polite.
    per_second=20.0,
)


def read_any(endpoint: Endpoint) -> Callable[[RawResponse], Any]:
    """The reader of *endpoint*'s answers, with neutral values where it needs some (for tests over all endpoints)."""
    readers: dict[str, Callable[[RawResponse], Any]] = {
        AVATAR_TASK.name: _snapshot(AVATAR_TASK, Kind.AVATAR),
        VOICE_TASK.name: _snapshot(VOICE_TASK, Kind.VOICE),
        VIDEO_TASK.name: _snapshot(VIDEO_TASK, Kind.VIDEO),
        AVATAR_LIST.name: read_avatars(1, 20),
        VOICE_LIST.name: read_voices(1, 20),
        VOICE_EDIT.name: read_edited,
        UPLOAD_URL.name: read_upload,
        CREDIT.name: read_credit,
    }
    return readers.get(endpoint.name) or read_created(endpoint)
