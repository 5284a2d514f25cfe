"""Kling's answers as data, good and odd ones: composed, no sentence or id of the vendor's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    BadRequest,
    EntitlementError,
    InsufficientCredits,
    MediaRejected,
    ModerationRefused,
    NotFound,
    ProviderFault,
    RateLimited,
    TooManyRunning,
    UnexpectedResponse,
)
from avatarkit.models import FailureReason, Status
from avatarkit.protocol.endpoint import Endpoint
from avatarkit.protocol.samples import Answer
from avatarkit.providers.kling import endpoints as ep

_ID: Final = "831922345719271433"
_URL: Final = "https://cdn.example.com/a1/film.mp4?sig=zzz"
_PAGE: Final = b"<html><head><title>502 Bad Gateway</title></head></html>"
_SPRING: Final = {"timestamp": 1, "status": 404, "error": "Not Found", "message": "x", "path": "/v9"}


def _ok(data: Any = None, **more: Any) -> dict[str, Any]:
    return {"code": 0, "message": "SUCCEED", "request_id": "rid-7", "data": data, **more}


def refused(code: int | str, message: str = "no") -> dict[str, Any]:
    """An answer that refuses with *code*."""
    return {"code": code, "message": message, "request_id": "rid-8"}


_NEW: Final = {"task_id": _ID, "task_status": "submitted", "task_info": {}, "created_at": 1, "updated_at": 1}
_Row = tuple[str, Endpoint, Any, int, Mapping[str, Any] | None, type[AvatarKitError] | None]


def _answers(rows: tuple[_Row, ...]) -> tuple[Answer, ...]:
    return tuple(
        Answer(
            label=f"{endpoint.name} {label}",
            endpoint=endpoint,
            body=body,
            status=status,
            gives=gives,
            raises=raises,
        )
        for label, endpoint, body, status, gives, raises in rows
    )


_CREATED: Final = _answers(
    tuple(
        (label, endpoint, body, status, None if task_id is None else {"task_id": prefix + task_id}, raises)
        for endpoint, prefix in ((ep.AVATAR_CREATE, ""), (ep.LIP_CREATE, ep.LIP_SYNC))
        for label, body, status, task_id, raises in (
            ("accepted", _ok(_NEW), 200, _ID, None),
            ("number for an id", _ok({"task_id": int(_ID)}), 200, _ID, None),
            ("code as text", _ok(_NEW, code="0"), 200, _ID, None),
            ("unknown fields", _ok({**_NEW, "eta": [1, {}]}, trace=None), 200, _ID, None),
            ("no id", _ok({}), 200, None, UnexpectedResponse),
            ("null data", _ok(None), 200, None, UnexpectedResponse),
            ("a list for data", _ok([_NEW]), 200, None, UnexpectedResponse),
            ("no code", {"data": _NEW}, 200, None, UnexpectedResponse),
            ("boolean code", _ok(_NEW, code=False), 200, None, UnexpectedResponse),
            ("a list", [], 200, None, UnexpectedResponse),
            ("nothing", b"", 200, None, UnexpectedResponse),
            ("a page", _PAGE, 200, None, UnexpectedResponse),
            ("half an answer", b'{"code":0,"data":{"ta', 200, None, UnexpectedResponse),
            ("201", _ok(_NEW), 201, None, UnexpectedResponse),
            ("no money", refused(1102), 429, None, InsufficientCredits),
            ("arrears", refused("1101"), 429, None, InsufficientCredits),
            ("not on the whitelist", refused(1304), 429, None, AuthenticationError),
            ("too many requests", refused(1302), 429, None, RateLimited),
            ("too many running", refused(1303), 429, None, TooManyRunning),
            ("too many running, with 200", refused(1303), 200, None, TooManyRunning),
            ("used before", refused(1201, "External task id already exists"), 400, None, BadRequest),
            ("bad picture", refused(1201, "Image resolution is invalid"), 400, None, MediaRejected),
            ("bad field", refused(1201, "mode is invalid"), 400, None, BadRequest),
            ("no such speech", refused(1201, "Audio id not found"), 400, None, NotFound),
            ("moderation", refused(1301), 400, None, ModerationRefused),
            ("unknown code", refused(77001), 400, None, ProviderFault),
            ("unknown code with 429", refused(1399), 429, None, RateLimited),
            ("unknown code with 401", refused(1099), 401, None, AuthenticationError),
            ("401 in words", b"Unauthorized", 401, None, AuthenticationError),
            ("429 without a body", b"", 429, None, UnexpectedResponse),
            ("time-out inside", refused(5002), 504, None, ProviderFault),
            ("no such address", _SPRING, 404, None, BadRequest),
            ("404 page", _PAGE, 404, None, UnexpectedResponse),
            ("502 page", _PAGE, 502, None, ProviderFault),
        )
    )
)


def _task(status: Any, **more: Any) -> dict[str, Any]:
    return _ok({"task_id": _ID, "task_status": status, "task_status_msg": "", **more})


_VIDEO: Final = {"id": "83192", "url": _URL, "watermark_url": "", "duration": "12.266"}
_FILM: Final = {"id": "83192", "url": _URL, "watermark_url": "", "duration": 12.266}
_DONE: Final = {"status": Status.SUCCEEDED, "raw_status": "succeed"}
_UNITS: Final = {"final_unit_deduction": "4.4", "final_balance_deduction": {"quota": "0", "list_price": "0"}}
_MONEY: Final = {"final_unit_deduction": "0", "final_balance_deduction": {"quota": "1.68"}}
_RISK: Final = "Failure to pass the risk control system"

_LOOKS: Final = _answers(
    tuple(
        (label, endpoint, body, status, gives, raises)
        for endpoint in (ep.AVATAR_GET, ep.LIP_GET)
        for label, body, status, gives, raises in (
            ("queued", _task("submitted"), 200, {"status": Status.QUEUED}, None),
            ("running", _task("processing", task_result=None), 200, {"status": Status.RUNNING}, None),
            ("running, empty", _task("processing", task_result={}), 200, {"status": Status.RUNNING}, None),
            (
                "done",
                _task("succeed", task_result={"videos": [_VIDEO]}, **_UNITS),
                200,
                {**_DONE, "result": _FILM, "cost": 4.4},
                None,
            ),
            (
                "done, by balance",
                _task("succeed", task_result={"videos": [_VIDEO]}, **_MONEY),
                200,
                {**_DONE, "cost": 1.68},
                None,
            ),
            (
                "done, the newer word",
                _task("succeeded", task_result={"videos": [{**_VIDEO, "duration": ""}]}),
                200,
                {"status": Status.SUCCEEDED, "result": {**_FILM, "duration": None}, "cost": None},
                None,
            ),
            (
                "done without a film",
                _task("succeed", task_result={"videos": []}),
                200,
                {"status": Status.UNKNOWN, "reason": FailureReason.NO_RESULT},
                None,
            ),
            (
                "failed, moderation",
                _task("failed", task_status_msg=_RISK, **_UNITS),
                200,
                {"status": Status.FAILED, "reason": FailureReason.MODERATION, "message": _RISK, "cost": 4.4},
                None,
            ),
            (
                "failed, input",
                _task("failed", task_status_msg="The aspect ratio of the image is invalid"),
                200,
                {"status": Status.FAILED, "reason": FailureReason.BAD_INPUT},
                None,
            ),
            (
                "failed without a word",
                _task("failed", task_status_msg=None),
                200,
                {"status": Status.FAILED, "reason": FailureReason.PROVIDER_FAULT, "code": ""},
                None,
            ),
            ("new status", _task("paused"), 200, {"status": Status.UNKNOWN, "raw_status": "paused"}, None),
            ("status as a number", _task(99), 200, {"status": Status.UNKNOWN, "raw_status": "99"}, None),
            ("no status", _task(None), 200, None, UnexpectedResponse),
            ("unknown task", refused(1201, "Task not found by id/external id"), 400, None, NotFound),
            ("unknown resource", refused(1203), 404, None, NotFound),
            ("429", b"", 429, None, RateLimited),
            ("503", _PAGE, 503, None, ProviderFault),
            ("401", refused(1004), 401, None, AuthenticationError),
            ("no such address", _SPRING, 404, None, BadRequest),
        )
    )
)

_SPOKEN: Final = {"audios": [{"id": "77", "url": _URL, "duration": "3.1"}]}
_OTHERS: Final = _answers(
    (
        ("no tasks", ep.AVATAR_LIST, _ok([]), 200, {"items": (), "more": False}, None),
        ("missing", ep.AVATAR_LIST, _ok(), 200, {"items": ()}, None),
        ("text", ep.AVATAR_LIST, _ok("x"), 200, None, UnexpectedResponse),
        ("rows that are none", ep.LIP_LIST, _ok([1, {}, {"task_id": []}]), 200, {"items": ()}, None),
        ("speech", ep.TTS, _task("succeed", task_result=_SPOKEN), 200, {"id": "77", "duration": 3.1}, None),
        ("speech to come", ep.TTS, _task("processing"), 200, None, UnexpectedResponse),
        ("speech failed", ep.TTS, _task("failed"), 200, None, ProviderFault),
        ("speech refused", ep.TTS, _task("failed", task_status_msg=_RISK), 200, None, ModerationRefused),
        ("voice", ep.TTS, refused(1201, "Voice id not found"), 400, None, NotFound),
        ("429", ep.TTS, b"", 429, None, UnexpectedResponse),
        (
            "no faces",
            ep.IDENTIFY_FACE,
            _ok({"session_id": 5, "face_data": None}),
            200,
            {"id": "5", "faces": ()},
            None,
        ),
        ("no session", ep.IDENTIFY_FACE, _ok({"face_data": []}), 200, None, UnexpectedResponse),
        ("nothing for it", ep.TASKS, refused(1201, "task_ids is required"), 400, None, BadRequest),
        ("an object", ep.TASKS, _ok({}), 200, None, UnexpectedResponse),
        ("no packs", ep.COSTS, _ok({"code": 0, "msg": "x"}), 200, {"packs": ()}, None),
        ("refused inside", ep.COSTS, _ok({"code": 1103, "msg": "x"}), 200, None, EntitlementError),
        ("too often", ep.COSTS, refused(1302), 429, None, RateLimited),
    )
)

ANSWERS: Final = (*_CREATED, *_LOOKS, *_OTHERS)
"""Every answer."""
