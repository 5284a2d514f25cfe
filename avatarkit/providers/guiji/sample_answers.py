"""Guiji's answers as data, good and odd ones: composed, no sentence or id of the vendor's."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from avatarkit.errors import (
    AuthenticationError,
    InsufficientCredits,
    NotFound,
    ProviderFault,
    RateLimited,
    TooManyRunning,
    UnexpectedResponse,
)
from avatarkit.models import FailureReason, Status
from avatarkit.protocol.samples import Answer
from avatarkit.providers.guiji import operations as ops
from avatarkit.providers.guiji.values import CHINA


def good(data: Any) -> dict[str, Any]:
    """A good answer."""
    return {"code": "0", "success": True, "message": "fine", "data": data}


def refused(code: str, message: str = "because") -> dict[str, Any]:
    """An answer that refuses with *code*."""
    return {"code": code, "success": False, "message": message, "data": None}


_URL: Final = "http://127.0.0.1/films/film.mp4"
_PAGE: Final = b"<html><head><title>502 Bad Gateway</title></head></html>"
_IDS: Final = {
    ops.VIDEO_CREATE: "videoId",
    ops.AVATAR_CREATE: "trainingId",
    ops.VOICE_CREATE: "speakerId",
    ops.AUDIO_CREATE: "id",
}

_CREATED: Final = tuple(
    Answer(
        label=f"{endpoint.name} {label}",
        endpoint=endpoint,
        body=body,
        status=status,
        gives=gives,
        raises=raises,
    )
    for endpoint, name in _IDS.items()
    for label, body, status, gives, raises in (
        ("accepted", good({name: -88}), 200, {"task_id": "-88"}, None),
        ("text for an id", good({name: " C_9 "}), 200, {"task_id": "C_9"}, None),
        ("code as a number", {**good({name: 7}), "code": 0}, 200, {"task_id": "7"}, None),
        ("no code, but success", {"success": True, "data": {name: 7}}, 200, {"task_id": "7"}, None),
        ("no success field", {"code": "0", "data": {name: 7}}, 200, {"task_id": "7"}, None),
        ("unknown fields", {**good({name: 7, "eta": [1]}), "trace": {}}, 200, {"task_id": "7"}, None),
        ("no message", {"code": "0", "success": True, "data": {name: 0}}, 200, {"task_id": "0"}, None),
        ("another id", good({"taskId": 7}), 200, None, UnexpectedResponse),
        ("null id", good({name: None}), 200, None, UnexpectedResponse),
        ("boolean id", good({name: True}), 200, None, UnexpectedResponse),
        ("empty id", good({name: ""}), 200, None, UnexpectedResponse),
        ("data is true", good(data=True), 200, None, UnexpectedResponse),
        ("data is null", good(None), 200, None, UnexpectedResponse),
        ("code only", {"code": "0"}, 200, None, UnexpectedResponse),
        ("neither code nor success", {"data": {name: 7}}, 200, None, UnexpectedResponse),
        ("code 0 but no success", {**good({name: 7}), "success": False}, 200, None, UnexpectedResponse),
        ("a list", [], 200, None, UnexpectedResponse),
        ("nothing", b"", 200, None, UnexpectedResponse),
        ("a page", _PAGE, 200, None, UnexpectedResponse),
        ("201", good({name: 7}), 201, None, UnexpectedResponse),
        ("internal exception", refused("40001"), 200, None, UnexpectedResponse),
        ("no money", refused("40010"), 200, None, InsufficientCredits),
        ("too many", {**refused("40019"), "code": 40019}, 200, None, TooManyRunning),
        ("unknown code", refused("49999"), 200, None, ProviderFault),
        ("token refused", refused("40003"), 200, None, AuthenticationError),
        ("token refused with 401", refused("40002"), 401, None, AuthenticationError),
        ("401 in words", b"Unauthorized", 401, None, AuthenticationError),
        ("429 without a body", b"", 429, None, UnexpectedResponse),
        ("429 in the vendor's shape", refused("429"), 429, None, RateLimited),
        ("502 page", _PAGE, 502, None, ProviderFault),
        ("404 page", _PAGE, 404, None, UnexpectedResponse),
    )
)

_VIDEO: Final = {"id": -88, "videoName": "n", "synthesisStatus": 3, "videoUrl": _URL}
_DONE: Final = {"url": _URL, "duration": None, "srt_url": "", "cover_url": ""}

_LOOKS: Final = tuple(
    Answer(label=f"look: {label}", endpoint=endpoint, body=body, gives=gives, raises=raises)
    for label, endpoint, body, gives, raises in (
        ("draft", ops.VIDEO_GET, good({**_VIDEO, "synthesisStatus": -1}), {"status": Status.QUEUED}, None),
        (
            "1 is queued",
            ops.VIDEO_GET,
            good({**_VIDEO, "synthesisStatus": 1}),
            {"status": Status.QUEUED},
            None,
        ),
        (
            "2 is running",
            ops.VIDEO_GET,
            good({**_VIDEO, "synthesisStatus": "2"}),
            {"status": Status.RUNNING},
            None,
        ),
        ("video", ops.VIDEO_GET, good(_VIDEO), {"status": Status.SUCCEEDED, "result": _DONE}, None),
        (
            "durations as text",
            ops.VIDEO_GET,
            good({**_VIDEO, "duration": "6.9", "durationMs": "6966"}),
            {"result": {**_DONE, "duration": 6.966}},
            None,
        ),
        (
            "seconds alone",
            ops.VIDEO_GET,
            good({**_VIDEO, "duration": "22.75"}),
            {"result": {**_DONE, "duration": 22.75}},
            None,
        ),
        (
            "a video without a URL",
            ops.VIDEO_GET,
            good({**_VIDEO, "videoUrl": None}),
            {"status": Status.UNKNOWN, "reason": FailureReason.NO_RESULT},
            None,
        ),
        (
            "5 is nothing",
            ops.VIDEO_GET,
            good({**_VIDEO, "synthesisStatus": 5}),
            {"status": Status.UNKNOWN},
            None,
        ),
        (
            "4 is a failure",
            ops.VIDEO_GET,
            good({**_VIDEO, "synthesisStatus": 4, "failReason": "lost"}),
            {"status": Status.FAILED, "reason": FailureReason.PROVIDER_FAULT, "message": "lost"},
            None,
        ),
        (
            "a failure that speaks of the material",
            ops.VIDEO_GET,
            good({**_VIDEO, "synthesisStatus": 7, "failReason": "audio download failed"}),
            {"status": Status.FAILED, "reason": FailureReason.BAD_INPUT},
            None,
        ),
        (
            "6 is cancelled",
            ops.VIDEO_GET,
            good({**_VIDEO, "synthesisStatus": 6}),
            {"status": Status.FAILED, "reason": FailureReason.CANCELLED},
            None,
        ),
        (
            "2 is a voice",
            ops.VOICE_GET,
            good({"speakerId": "C_1", "status": 2, "ttsAudition": "", "sex": None}),
            {"status": Status.SUCCEEDED, "result": {"id": "C_1", "demo_url": ""}},
            None,
        ),
        (
            "an expired voice",
            ops.VOICE_GET,
            good({"speakerId": "C_1", "status": 4}),
            {"status": Status.FAILED, "reason": FailureReason.NO_RESULT},
            None,
        ),
        (
            "2 is an avatar",
            ops.AVATAR_GET,
            good({"id": 5, "status": 2, "sceneId": -77}),
            {"status": Status.SUCCEEDED, "result": {"id": "-77"}},
            None,
        ),
        (
            "an avatar of older days",
            ops.AVATAR_GET,
            good({"id": 5, "status": 2, "robot": {"sceneList": [{"id": "-78"}]}}),
            {"result": {"id": "-78"}},
            None,
        ),
        (
            "an avatar without a scene",
            ops.AVATAR_GET,
            good({"id": 5, "status": 2, "sceneId": None}),
            {"status": Status.UNKNOWN, "reason": FailureReason.NO_RESULT},
            None,
        ),
        (
            "a rejected training",
            ops.AVATAR_GET,
            good({"id": 5, "status": 4, "comment": "x"}),
            {"status": Status.FAILED, "reason": FailureReason.MODERATION, "message": "x"},
            None,
        ),
        (
            "2 is a sound",
            ops.AUDIO_GET,
            good({"id": 5, "status": "2", "ttsUrl": _URL, "duration": 1539}),
            {"result": {"url": _URL, "duration": 1.539, "srt_url": ""}},
            None,
        ),
        ("a sound that failed", ops.AUDIO_GET, good({"id": 5, "status": 3}), {"status": Status.FAILED}, None),
        ("no status", ops.VIDEO_GET, good({"id": -1}), None, UnexpectedResponse),
        ("no data", ops.VIDEO_GET, {"code": "0", "success": True}, None, UnexpectedResponse),
        ("null", ops.VIDEO_GET, good(None), None, NotFound),
        ("not there", ops.VIDEO_GET, refused("40018"), None, NotFound),
        ("internal exception", ops.VIDEO_GET, refused("40001"), None, ProviderFault),
        ("text for data", ops.VIDEO_GET, good("x"), None, UnexpectedResponse),
    )
)


def _rows(*rows: Any, **more: Any) -> dict[str, Any]:
    return good({"pageSize": 20, "pageNo": 1, "totalRecord": len(rows), "records": list(rows), **more})


_OTHERS: Final = (
    Answer(
        label="benefits",
        endpoint=ops.BENEFITS,
        body=good(
            {"user": {"id": 5, "corpId": 6}, "account": {"fastDuration": "4894626", "totalFastDuration": 2}}
        ),
        gives={
            "user_id": "5",
            "corp_id": "6",
            "video_seconds": 4894.626,
            "video_seconds_total": 0.002,
            "avatars": None,
        },
    ),
    Answer(label="no account", endpoint=ops.BENEFITS, body=good({"user": {}}), raises=UnexpectedResponse),
    Answer(
        label="videos",
        endpoint=ops.VIDEO_LIST,
        body=_rows(_VIDEO, {"id": None}, totalRecord="41"),
        gives={"more": True, "total": 41},
    ),
    Answer(
        label="no records",
        endpoint=ops.VIDEO_LIST,
        body=_rows(records=None),
        gives={"items": (), "more": False},
    ),
    Answer(
        label="a list without data",
        endpoint=ops.VIDEO_LIST,
        body=good(None),
        gives={"items": (), "total": None},
    ),
    Answer(
        label="records as text", endpoint=ops.VIDEO_LIST, body=_rows(records="x"), raises=UnexpectedResponse
    ),
    Answer(label="a row as text", endpoint=ops.VIDEO_LIST, body=_rows("x"), raises=UnexpectedResponse),
    Answer(label="sounds", endpoint=ops.AUDIO_LIST, body=_rows({"id": 1}), gives={"more": False, "total": 1}),
    Answer(label="trainings", endpoint=ops.AVATAR_LIST, body=_rows({"id": 1}), gives={"more": False}),
    Answer(label="voices", endpoint=ops.VOICE_LIST, body=_rows({"speakerId": 1}), gives={"more": False}),
    Answer(label="scenes", endpoint=ops.AVATAR_PUBLIC, body=_rows({"id": -1}), gives={"total": 1}),
    Answer(
        label="only an expired voice",
        endpoint=ops.VOICE_PUBLIC,
        body=_rows({"speakerId": "C_1", "status": 4}),
        gives={"items": (), "total": 1},
    ),
    Answer(label="authorized", endpoint=ops.AVATAR_AUTHORIZE, body=good(data=True)),
    Answer(label="not authorized", endpoint=ops.VOICE_AUTHORIZE, body=refused("40025"), raises=NotFound),
)

ANSWERS: Final = (*_CREATED, *_LOOKS, *_OTHERS)
"""Every answer."""

SAMPLE_TIME: Final = datetime(2025, 3, 10, 10, 11, 45, tzinfo=CHINA)
"""One moment that the vendor's samples show as "2025-03-10 10:11:45" and as 1741572705000."""
