"""How HiFly's answers are read.

Rules of reading, each from the vendor's documents or seen in use:

- HTTP 200 says nothing: ``code`` decides, and it may come as ``0`` or ``"0"``.
- On the three task endpoints ``status`` is read before ``code``: status 4 with a code is a failed task, not a failed
  request; a code without a status is a failed request.
- 401 may carry JSON, nothing, or the bare word ``Unauthorized``.
- A field that is missing at the top is looked for inside ``data``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

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
    Kind,
    Page,
    RawResponse,
    Snapshot,
    Status,
    UploadSlot,
    Voice,
)
from avatarkit.protocol.codec import decode, structure
from avatarkit.protocol.endpoint import Accepted, Effect, Endpoint
from avatarkit.protocol.outcome import retry_after
from avatarkit.providers.hifly import codes, wire
from avatarkit.providers.hifly import operations as ops

T = TypeVar("T", bound=wire.Envelope)


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


def read_snapshot(endpoint: Endpoint, kind: Kind) -> Callable[[RawResponse], Snapshot]:
    """Reads the answer of a task endpoint, of whose tasks *kind* come."""

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
    _good(ops.VOICE_EDIT, response, wire.Envelope)


def read_credit(response: RawResponse) -> Credit:
    """Reads the answer of ``account/credit``."""
    answer = _good(ops.CREDIT, response, wire.CreditAnswer)
    if answer.left is None:
        raise _outside_shape(ops.CREDIT, response, "the answer has no credits")
    return Credit(left=answer.left, extra=answer.extra, response=response)


def read_upload(response: RawResponse) -> UploadSlot:
    """Reads the answer of ``tool/create_upload_url``, the one answer without a code."""
    answer = _good(ops.UPLOAD_URL, response, wire.UploadAnswer, code_needed=False)
    if not (answer.upload_url.startswith(("https://", "http://")) and answer.file_id):
        raise _outside_shape(ops.UPLOAD_URL, response, "the answer has no upload_url or no file_id")
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
        rows = _structured(ops.AVATAR_LIST, response, wire.AvatarRow)
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
        rows = _structured(ops.VOICE_LIST, response, wire.VoiceRow)
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
