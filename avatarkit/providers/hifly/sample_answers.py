"""HiFly's answers as data, good and odd ones: composed, no sentence or id of the vendor's."""

from __future__ import annotations

from typing import Any, Final

from avatarkit.errors import (
    AuthenticationError,
    InsufficientCredits,
    ModerationRefused,
    ProviderFault,
    RateLimited,
    TooManyRunning,
    UnexpectedResponse,
)
from avatarkit.models import FailureReason, Status
from avatarkit.protocol.samples import Answer
from avatarkit.providers.hifly import codes
from avatarkit.providers.hifly import operations as ops


def _ok(**fields: Any) -> dict[str, Any]:
    return {"code": 0, "message": "", **fields, "request_id": "rid-7"}


def refused(code: int | str, message: str = "no") -> dict[str, Any]:
    """An answer that refuses with *code*."""
    return {"code": code, "message": message, "request_id": "rid-8"}


_URL: Final = "https://cdn.example.com/a1/6aa0/film.mp4?sig=zzz"
_DONE: Final = {"status": Status.SUCCEEDED, "raw_status": "3"}
_PAGE: Final = b"<html><head><title>502 Bad Gateway</title></head></html>"

_CREATED: Final = tuple(
    Answer(
        label=f"{endpoint.name} {label}",
        endpoint=endpoint,
        body=body,
        status=status,
        gives=gives,
        raises=raises,
    )
    for endpoint in (ops.VIDEO_BY_TTS, ops.AVATAR_BY_VIDEO, ops.VOICE_CREATE)
    for label, body, status, gives, raises in (
        ("accepted", _ok(task_id="Tz_1-x"), 200, {"task_id": "Tz_1-x"}, None),
        ("number for an id", _ok(task_id=1234567890123456), 200, {"task_id": "1234567890123456"}, None),
        ("code as text", {"code": "0", "task_id": "t"}, 200, {"task_id": "t"}, None),
        ("code as a fraction", {"code": 0.0, "task_id": "t"}, 200, {"task_id": "t"}, None),
        ("one level deeper", {"code": 0, "data": {"task_id": "t"}}, 200, {"task_id": "t"}, None),
        ("unknown fields", _ok(task_id="t", eta=[1, {"a": None}]), 200, {"task_id": "t"}, None),
        ("no id", _ok(), 200, None, UnexpectedResponse),
        ("empty id", _ok(task_id=""), 200, None, UnexpectedResponse),
        ("null id", _ok(task_id=None), 200, None, UnexpectedResponse),
        ("no code", {"task_id": "t"}, 200, None, UnexpectedResponse),
        ("null code", {"code": None, "task_id": "t"}, 200, None, UnexpectedResponse),
        ("boolean code", {"code": False, "task_id": "t"}, 200, None, UnexpectedResponse),
        ("a list", [], 200, None, UnexpectedResponse),
        ("null", None, 200, None, UnexpectedResponse),
        ("nothing", b"", 200, None, UnexpectedResponse),
        ("a page", _PAGE, 200, None, UnexpectedResponse),
        ("half an answer", b'{"code":0,"task_', 200, None, UnexpectedResponse),
        ("created, says 201", _ok(task_id="t"), 201, None, UnexpectedResponse),
        ("no money", refused(1002), 200, None, InsufficientCredits),
        ("no money, code as text", refused("1002"), 200, None, InsufficientCredits),
        ("too many", refused(1001), 200, None, TooManyRunning),
        ("too many submitted", refused(1015), 200, None, TooManyRunning),
        ("unknown code", refused(77001), 200, None, ProviderFault),
        ("unknown code in words", refused("overload"), 200, None, ProviderFault),
        ("401 in words", b"Unauthorized", 401, None, AuthenticationError),
        ("401 without words", b"", 401, None, AuthenticationError),
        ("401 as JSON", refused(2003), 401, None, AuthenticationError),
        ("401 with another code", refused(9), 401, None, AuthenticationError),
        ("401 with code 0", refused(0), 401, None, AuthenticationError),
        ("200 with the code for credentials", refused(2003), 200, None, AuthenticationError),
        ("429 without a body", b"", 429, None, UnexpectedResponse),
        ("429 with code 0", refused(0), 429, None, UnexpectedResponse),
        ("429 in the vendor's shape", refused(429), 429, None, RateLimited),
        ("429 with a code of the table", refused(1001), 429, None, TooManyRunning),
        ("502 page", _PAGE, 502, None, ProviderFault),
        ("500 with a code", refused(11), 500, None, codes.ERRORS["11"].error),
        ("404 page", _PAGE, 404, None, UnexpectedResponse),
        ("celebrity", refused(1011), 200, None, ModerationRefused),
    )
)

_LOOKS: Final = tuple(
    Answer(label=f"look: {label}", endpoint=endpoint, body=body, status=status, gives=gives, raises=raises)
    for label, endpoint, body, status, gives, raises in (
        ("queued", ops.VIDEO_TASK, _ok(status=1), 200, {"status": Status.QUEUED}, None),
        ("running", ops.VIDEO_TASK, _ok(status=2, video_Url=None), 200, {"status": Status.RUNNING}, None),
        (
            "status as text",
            ops.VIDEO_TASK,
            _ok(status="2", video_Url=""),
            200,
            {"status": Status.RUNNING},
            None,
        ),
        (
            "video",
            ops.VIDEO_TASK,
            _ok(status=3, video_Url=_URL, duration=45),
            200,
            {**_DONE, "result": {"url": _URL, "duration": 45.0}},
            None,
        ),
        (
            "video, small u, text numbers",
            ops.VIDEO_TASK,
            _ok(status="3", video_url=_URL, duration="45.5"),
            200,
            {**_DONE, "result": {"url": _URL, "duration": 45.5}},
            None,
        ),
        (
            "audio url",
            ops.VIDEO_TASK,
            _ok(status=3, audio_url=_URL),
            200,
            {**_DONE, "result": {"url": _URL, "duration": None}},
            None,
        ),
        (
            "done without a film",
            ops.VIDEO_TASK,
            _ok(status=3, video_Url=""),
            200,
            {"status": Status.UNKNOWN, "reason": FailureReason.NO_RESULT},
            None,
        ),
        ("avatar", ops.AVATAR_TASK, _ok(status=3, avatar="av"), 200, {**_DONE, "result": {"id": "av"}}, None),
        ("avatar number", ops.AVATAR_TASK, _ok(status=3, avatar=17), 200, {"result": {"id": "17"}}, None),
        (
            "voice",
            ops.VOICE_TASK,
            _ok(status=3, voice="vo", demo_url=_URL),
            200,
            {"result": {"id": "vo", "demo_url": _URL}},
            None,
        ),
        (
            "failed with a code",
            ops.AVATAR_TASK,
            {"code": 2015, "message": "m", "status": 4, "avatar": ""},
            200,
            {"status": Status.FAILED, "code": "2015", "reason": FailureReason.PROVIDER_FAULT},
            None,
        ),
        (
            "failed with code 0",
            ops.VIDEO_TASK,
            _ok(status=4),
            200,
            {"status": Status.FAILED, "code": "", "message": "the vendor gave no reason"},
            None,
        ),
        (
            "failed, celebrity",
            ops.VOICE_TASK,
            {"code": "1011", "message": "m", "status": "4"},
            200,
            {"status": Status.FAILED, "reason": FailureReason.MODERATION},
            None,
        ),
        (
            "running with a code",
            ops.VIDEO_TASK,
            {"code": 11, "status": 2},
            200,
            {"status": Status.RUNNING},
            None,
        ),
        (
            "new status",
            ops.VIDEO_TASK,
            _ok(status=9),
            200,
            {"status": Status.UNKNOWN, "raw_status": "9"},
            None,
        ),
        ("no code", ops.VIDEO_TASK, {"status": 1}, 200, {"status": Status.QUEUED}, None),
        ("unknown task", ops.VIDEO_TASK, refused(14), 200, None, codes.ERRORS["14"].error),
        ("no status", ops.VIDEO_TASK, _ok(), 200, None, UnexpectedResponse),
        ("page", ops.VIDEO_TASK, _PAGE, 200, None, UnexpectedResponse),
        ("503", ops.VIDEO_TASK, _PAGE, 503, None, ProviderFault),
        ("429", ops.VIDEO_TASK, b"", 429, None, RateLimited),
        ("401", ops.VIDEO_TASK, b"Unauthorized", 401, None, AuthenticationError),
    )
)

_OTHERS: Final = (
    Answer(
        label="avatars without a total",
        endpoint=ops.AVATAR_LIST,
        body=_ok(
            data=[{"avatar": "a1", "kind": 2, "title": "One"}, {"avatar": 5, "x": 1}, {"title": "no id"}]
        ),
        gives={"total": None, "more": False},
    ),
    Answer(label="no avatars", endpoint=ops.AVATAR_LIST, body=_ok(data=None), gives={"items": ()}),
    Answer(label="avatars missing", endpoint=ops.AVATAR_LIST, body=_ok(), gives={"items": ()}),
    Answer(
        label="avatars that are text", endpoint=ops.AVATAR_LIST, body=_ok(data="x"), raises=UnexpectedResponse
    ),
    Answer(
        label="the other kind of avatars",
        endpoint=ops.AVATAR_LIST,
        body=refused(11),
        raises=codes.ERRORS["11"].error,
    ),
    Answer(
        label="voices",
        endpoint=ops.VOICE_LIST,
        body=_ok(
            data=[{"voice": "v", "type": "8", "title": "V", "rate": "1.5", "volume": "0.1", "pitch": 1}]
        ),
        gives={"total": None},
    ),
    Answer(label="edited", endpoint=ops.VOICE_EDIT, body={"code": "0"}, gives=None),
    Answer(
        label="upload without a code",
        endpoint=ops.UPLOAD_URL,
        body={"upload_url": "https://up.example.com/a%2Fb?Expires=1", "content_type": "x/y", "file_id": 12},
        gives={
            "upload_url": "https://up.example.com/a%2Fb?Expires=1",
            "content_type": "x/y",
            "file_id": "12",
        },
    ),
    Answer(
        label="upload refused", endpoint=ops.UPLOAD_URL, body=refused(11), raises=codes.ERRORS["11"].error
    ),
    Answer(
        label="upload to nowhere",
        endpoint=ops.UPLOAD_URL,
        body={"upload_url": "ftp://up", "file_id": "f"},
        raises=UnexpectedResponse,
    ),
    Answer(label="credits", endpoint=ops.CREDIT, body=_ok(left=12), gives={"left": 12.0}),
    Answer(label="credits as text", endpoint=ops.CREDIT, body=_ok(left="12.5"), gives={"left": 12.5}),
    Answer(label="credits by another name", endpoint=ops.CREDIT, body=_ok(credit=3), gives={"left": 3.0}),
    Answer(label="no credits field", endpoint=ops.CREDIT, body=_ok(), raises=UnexpectedResponse),
)

ANSWERS: Final = (*_CREATED, *_LOOKS, *_OTHERS)
"""Every answer."""
