"""How Guiji's answers are read: the envelope, and rows of its lists as data.

- HTTP 200 says nothing: an answer is good when ``code`` is ``"0"`` (as text or number) and ``success`` is not false.
  One without a code counts as good when ``success`` is true and ``data`` is there, as one client in use has it.
- Nobody documents the HTTP status of refusals; 401 is taken for refused credentials, whatever its body.
- ``data`` that is null where one thing was asked for means that there is no such thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from avatarkit.errors import (
    AuthenticationError,
    NotFound,
    ProviderError,
    ProviderFault,
    RateLimited,
    UnexpectedResponse,
)
from avatarkit.models import FailureReason, Kind, RawResponse, Snapshot, Status
from avatarkit.protocol.codec import decode, structure
from avatarkit.protocol.endpoint import Effect, Endpoint
from avatarkit.protocol.outcome import retry_after
from avatarkit.providers.guiji import codes, wire
from avatarkit.providers.guiji.models import AudioWork, AvatarClone, VideoWork, VoiceClone
from avatarkit.providers.guiji.values import flag, ident, moment, seconds_of, status_rule, word, words

T = TypeVar("T")
PROVIDER = "guiji"


# -- the envelope -------------------------------------------------------------------------------------------------


def outside(endpoint: Endpoint, response: RawResponse, what: str) -> ProviderError:
    """The error for an answer in none of the vendor's shapes."""
    facts: dict[str, Any] = {
        "provider": PROVIDER,
        "endpoint": endpoint.name,
        "http_status": response.status,
        "retry_after": retry_after(response),
        "response": response,
    }
    if response.status == 401:
        rule = codes.ERRORS["40002"]
        return AuthenticationError(rule.meaning, hint=rule.hint, **facts)
    if response.status == 429 and endpoint.effect is not Effect.SUBMIT:
        return RateLimited("too many requests", **facts)
    if response.status >= 500:
        return ProviderFault(f"HTTP {response.status} without a readable answer", **facts)
    return UnexpectedResponse(what, **facts)


def refused(
    endpoint: Endpoint, response: RawResponse, code: str, said: str, rule: codes.ErrorRule | None = None
) -> ProviderError:
    """The error for a refusal with *code*; *rule* goes before the table."""
    rule = rule or codes.ERRORS.get(code)
    if rule is None and response.status == 401:
        rule = codes.ERRORS["40002"]
    if rule is None and response.status == 429:
        rule = codes.ErrorRule(RateLimited, "too many requests")
    rule = rule or codes.UNKNOWN
    error, meaning, retryable = rule.error, rule.meaning, rule.retryable
    if code == codes.INTERNAL and endpoint.effect is Effect.SUBMIT:
        # The vendor broke down somewhere in between: the task may exist. Only an answer outside the vendor's shapes
        # is judged as a doubt, and that is what this one is worth.
        error, retryable = UnexpectedResponse, False
        meaning = f"{meaning}; whether the task was made is not known"
    return error(
        f"{meaning}: {said}" if said and said != meaning else meaning,
        provider=PROVIDER,
        endpoint=endpoint.name,
        code=code,
        http_status=response.status,
        retry_after=retry_after(response),
        retryable=retryable or None,
        response=response,
        hint=rule.hint,
    )


def good(endpoint: Endpoint, response: RawResponse, *, unknown: codes.ErrorRule | None = None) -> Any:
    """``data`` of a good answer, :data:`wire.ABSENT` where it has none.

    *unknown* is the rule for codes that are in no table.

    Raises:
        ProviderError: the vendor refused, or the answer is none of its shapes.

    """
    try:
        payload = decode(response.body)
        if not isinstance(payload, dict):
            raise UnexpectedResponse("the answer is not a JSON object")
        envelope = structure(payload, wire.Envelope)
    except UnexpectedResponse as error:
        raise outside(endpoint, response, str(error)) from None
    code, denied = word(envelope.code), _is(envelope.success, wanted=False)
    if code not in ("", "0"):
        known = codes.ERRORS.get(code)
        raise refused(
            endpoint, response, code, (envelope.message or "").strip(), known or _usual(response, unknown)
        )
    if response.status != 200:
        raise outside(endpoint, response, f"HTTP {response.status} with code {code or 'missing'}")
    if denied:
        raise outside(endpoint, response, f"success is false, yet the code is {code or 'missing'}")
    if code == "" and not (_is(envelope.success, wanted=True) and envelope.data not in (None, wire.ABSENT)):
        raise outside(endpoint, response, "the answer has no code")
    return envelope.data


def _usual(response: RawResponse, unknown: codes.ErrorRule | None) -> codes.ErrorRule | None:
    return None if response.status in (401, 429) else unknown


def _is(value: Any, *, wanted: bool) -> bool:
    if isinstance(value, str):
        return value.strip().lower() == ("true" if wanted else "false")
    return value is wanted


def fields(endpoint: Endpoint, response: RawResponse, cls: type[T]) -> T:
    """``data`` of a good answer, an object, as *cls*.

    Raises:
        NotFound: it is null.
        ProviderError: as of :func:`good`.

    """
    data = good(endpoint, response)
    if data is None:
        raise NotFound(
            "the answer is empty: there is nothing of this id (any more)",
            provider=PROVIDER,
            endpoint=endpoint.name,
            http_status=response.status,
            response=response,
            hint=codes.ERRORS["40018"].hint,
        )
    return shaped(endpoint, response, data, cls)


def shaped(endpoint: Endpoint, response: RawResponse, data: Any, cls: type[T]) -> T:
    """*data* as *cls*.

    Raises:
        ProviderError: it does not fit.

    """
    try:
        return structure(data, cls)
    except UnexpectedResponse as error:
        raise outside(endpoint, response, str(error)) from None


# -- rows as data -------------------------------------------------------------------------------------------------


def avatar_clone(row: wire.TrainingRow, response: RawResponse | None = None) -> AvatarClone:
    """A training as data; its id may be ``""``."""
    raw, rule = status_rule(codes.TRAINING, row.status)
    return AvatarClone(
        id=ident(row.id),
        title=row.title or "",
        status=rule.status,
        raw_status=raw,
        avatar_id=ident(row.scene_id) or _nested_scene(row.robot),
        video_url=row.video_url or "",
        cover_url=row.cover_url or "",
        comment=row.comment or "",
        authorized=flag(row.authorize_status),
        callback_status=row.callback_status,
        created=moment(row.created),
        updated=moment(row.updated),
        extra=row.extra,
        response=response,
    )


def _nested_scene(robot: Any) -> str:
    if not isinstance(robot, Mapping):
        return ""
    scenes = robot.get("sceneList")
    found = [robot.get("scene"), *(scenes if isinstance(scenes, list) else ())]
    ids = (ident(scene.get("id")) for scene in found if isinstance(scene, Mapping))
    return next(filter(None, ids), "")


def voice_clone(row: wire.VoiceRow, response: RawResponse | None = None) -> VoiceClone:
    """A cloned voice as data; its id may be ``""``."""
    raw, rule = status_rule(codes.VOICE, row.status)
    return VoiceClone(
        id=ident(row.speaker_id),
        title=row.title or "",
        status=rule.status,
        raw_status=raw,
        features=words(row.features, "|"),
        languages=words(row.languages),
        sex=row.sex,
        sample_url=row.sample_url or "",
        demo_url=row.demo_url or "",
        authorized=flag(row.authorize_status),
        reason=row.reason or "",
        expires=moment(row.expires),
        extra=row.extra,
        response=response,
    )


def video_work(row: wire.VideoRow, response: RawResponse | None = None) -> VideoWork:
    """A video as data; its id may be ``""``."""
    raw, rule = status_rule(codes.VIDEO, row.status)
    return VideoWork(
        id=ident(row.id),
        title=row.title or "",
        status=rule.status,
        raw_status=raw,
        url=row.url or "",
        srt_url=row.srt_url or "",
        cover_url=row.cover_url or "",
        format=row.format or "",
        duration=seconds_of(row.milliseconds, row.seconds),
        reason=row.reason or "",
        created=moment(row.created),
        updated=moment(row.updated),
        extra=row.extra,
        response=response,
    )


def audio_work(row: wire.AudioRow, response: RawResponse | None = None) -> AudioWork:
    """Speech as data; its id may be ``""``."""
    raw, rule = status_rule(codes.TTS, row.status)
    return AudioWork(
        id=ident(row.id),
        status=rule.status,
        raw_status=raw,
        url=row.url or "",
        srt_url=row.srt_url or "",
        duration=seconds_of(row.milliseconds),
        extra=row.extra,
        response=response,
    )


# -- data as a look ------------------------------------------------------------------------------------------------

Row = AvatarClone | VoiceClone | VideoWork | AudioWork


def _told(row: Row) -> tuple[Mapping[str, codes.StatusRule], str, str, dict[str, Any]]:
    """The status table, the failure text, what must be there on success, and the artifact's fields."""
    if isinstance(row, AvatarClone):
        return codes.TRAINING, row.comment, row.avatar_id, {"id": row.avatar_id}
    if isinstance(row, VoiceClone):
        return codes.VOICE, row.reason, row.id, {"id": row.id, "demo_url": row.demo_url}
    result = {"url": row.url, "duration": row.duration, "srt_url": row.srt_url}
    if isinstance(row, VideoWork):
        return codes.VIDEO, row.reason, row.url, {**result, "cover_url": row.cover_url}
    return codes.TTS, "", row.url, result


_TABLES: Mapping[Kind, Mapping[str, codes.StatusRule]] = {
    Kind.AVATAR: codes.TRAINING,
    Kind.VOICE: codes.VOICE,
    Kind.VIDEO: codes.VIDEO,
    Kind.AUDIO: codes.TTS,
}


def agrees(kind: Kind, value: Any, told: str) -> bool:
    """Whether the status *value* of a kind means the same as *told*: 4 and 7 are both failures of a video."""
    table = _TABLES[kind]
    return status_rule(table, value)[1].status is table[told].status


def snapshot(row: Row) -> Snapshot:
    """What a row says about the task that makes it."""
    table, said, needed, result = _told(row)
    rule = table.get(row.raw_status, codes.UNKNOWN_STATUS)
    if rule.status is Status.FAILED:
        return Snapshot(
            status=rule.status,
            raw_status=row.raw_status,
            reason=codes.reason_of(said, rule.reason),
            message=said.strip() or f"{rule.meaning} (the vendor gave no reason)",
            response=row.response,
        )
    if rule.status is not Status.SUCCEEDED:
        return Snapshot(status=rule.status, raw_status=row.raw_status, response=row.response)
    if not needed:
        # Paid for and not there: not a result yet, not a failure yet. The poll hub looks again, a few times.
        return Snapshot(
            status=Status.UNKNOWN,
            raw_status=row.raw_status,
            reason=FailureReason.NO_RESULT,
            message="the vendor says the task is done but gives no result",
            response=row.response,
        )
    return Snapshot(status=rule.status, raw_status=row.raw_status, result=result, response=row.response)


def one(
    endpoint: Endpoint, cls: type[T], convert: Callable[[T, RawResponse], Any]
) -> Callable[[RawResponse], Any]:
    """Reads the answer that describes one thing by its id."""

    def read(response: RawResponse) -> Any:
        found = convert(fields(endpoint, response, cls), response)
        if found.raw_status == "":
            raise outside(endpoint, response, "the answer has no status")
        return found

    return read
