"""YunApi's answers as data, good and odd ones: composed, no sentence or id of the vendor's."""

from __future__ import annotations

from typing import Any, Final

from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    BadRequest,
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
from avatarkit.providers.yunapi import operations as op

_URL: Final = "https://cdn.example.com/a1/film.mp4?sig=zzz"
_PAGE: Final = b"<html><head><title>502 Bad Gateway</title></head></html>"
_ERROR: Final = {"message": "no such channel (request id: 2026abc)", "type": "new_api_error", "code": "x"}


def _row(
    endpoint: Endpoint,
    label: str,
    body: Any,
    gives: dict[str, Any] | None = None,
    raises: type[AvatarKitError] | None = None,
    status: int = 200,
) -> Answer:
    return Answer(
        label=f"{endpoint.name} {label}",
        endpoint=endpoint,
        body=body,
        status=status,
        gives=gives,
        raises=raises,
    )


def _no(endpoint: Endpoint, label: str, body: Any, raises: type[AvatarKitError], status: int = 200) -> Answer:
    return _row(endpoint, label, body, None, raises, status)


_ODD: Final = tuple(
    _no(endpoint, label, body, raises, status)
    for endpoint in (
        op.VIDEO_CREATE,
        op.V2_CREATE,
        op.REMAKE_CREATE,
        op.VIDEO_TASK,
        op.FAST_CHECK,
        op.REWRITE,
    )
    for label, body, raises, status in (
        ("a list", [], UnexpectedResponse, 200),
        ("null", None, UnexpectedResponse, 200),
        ("nothing", b"", UnexpectedResponse, 200),
        ("a page", _PAGE, UnexpectedResponse, 200),
        ("half an answer", b'{"code":1,"data":{"task_', UnexpectedResponse, 200),
        ("boolean code", {"code": True, "data": "t"}, UnexpectedResponse, 200),
        ("an object for a code", {"code": {}, "data": "t"}, UnexpectedResponse, 200),
        ("502 page", _PAGE, ProviderFault, 502),
        ("401 in words", b"Unauthorized", AuthenticationError, 401),
        ("401 without words", b"", AuthenticationError, 401),
        ("401 with an error", {"error": {"message": "无效的令牌"}}, AuthenticationError, 401),
        ("402 without words", b"", InsufficientCredits, 402),
        ("403 page", b"<html>no</html>", UnexpectedResponse, 403),
        ("403 for the key", {"error": {"message": "no access", "code": ""}}, AuthenticationError, 403),
        ("403 for money", {"code": "insufficient_user_quota", "message": "x"}, InsufficientCredits, 403),
        ("403 for money in words", {"error": {"message": "用户额度不足"}}, InsufficientCredits, 403),
        ("403 for review", {"error": {"message": "内容违规"}}, ModerationRefused, 403),
        ("an unknown error", {"error": _ERROR}, ProviderFault, 200),
        ("an error in words", {"error": "broken"}, ProviderFault, 200),
        ("not there", {"code": "task_not_exist", "message": "x"}, NotFound, 400),
        ("400 without a code", {"detail": "face not found: no face"}, MediaRejected, 400),
        ("422 in the gateway's shape", {"code": "bad", "message": "x"}, BadRequest, 422),
        ("429 in the gateway's shape", {"code": "slow", "message": "x"}, RateLimited, 429),
        ("too many at once", {"code": "busy", "message": "并发任务数达到上限"}, TooManyRunning, 429),
        ("fish error", {"message": "Invalid Token", "status": 401}, AuthenticationError, 401),
        ("fish error, no scope", {"message": "no scope", "status": 403}, AuthenticationError, 403),
        ("fish error with HTTP 200", {"message": "not enough credit", "status": "500"}, ProviderFault, 200),
    )
)

_CREATED: Final = (
    *(
        _row(op.VIDEO_CREATE, label, body, {"task_id": "3f0c"})
        for label, body in (
            ("document, 0", {"code": 0, "data": {"id": "3f0c"}}),
            ("document, 200", {"code": 200, "data": {"id": "3f0c"}}),
            ("document, text", {"code": "200", "data": {"id": "3f0c", "new": [None]}}),
            ("twin", {"code": "success", "message": "", "data": "3f0c"}),
            ("twin, task_id", {"code": "success", "data": {"task_id": "3f0c"}}),
            ("null error", {"code": 0, "error": None, "data": {"id": "3f0c"}}),
        )
    ),
    _row(op.VIDEO_CREATE, "number", {"code": 0, "data": {"id": 77}}, {"task_id": "77"}),
    _row(op.VIDEO_CREATE, "colon", {"code": 0, "data": {"id": "v2:1:3"}}, {"task_id": "std:v2:1:3"}),
    _no(op.VIDEO_CREATE, "no id", {"code": 0, "data": {}}, UnexpectedResponse),
    _no(op.VIDEO_CREATE, "a number with a point", {"code": 0, "data": {"id": 1.5}}, UnexpectedResponse),
    _row(op.VIDEO_CREATE, "201", {"code": 0, "data": {"id": "t"}}, {"task_id": "t"}, status=201),
    _no(op.VIDEO_CREATE, "201 without an id", {"code": 0, "data": {}}, UnexpectedResponse, 201),
    _no(op.VIDEO_CREATE, "429 without a code", {"message": "slow down"}, UnexpectedResponse, 429),
    _no(op.VIDEO_CREATE, "no code", {"data": {"id": "t"}}, UnexpectedResponse),
    _no(op.VIDEO_CREATE, "agent's yes", {"code": 1, "data": {"id": "t"}}, ProviderFault),
    *(
        _row(op.V2_CREATE, f"code {code!r}", {"code": code, "msg": "x", "data": data}, {"task_id": "v2::32"})
        for code in ("1", 1, 1.0, 200, "success")
        for data in ({"task_id": "32"}, {"task_id": 32})
    ),
    _row(
        op.MODEL_CREATE,
        "model",
        {"code": "1", "data": {"model": {"model_id": "28", "model_status": "0"}}},
        {"task_id": "model::28"},
    ),
    _row(op.OLD_TRAIN, "task", {"code": "1", "data": {"task_id": "33"}}, {"task_id": "timbre::33"}),
    _row(op.OLD_SPEECH, "task", {"code": "1", "data": {"task_id": "34"}}, {"task_id": "speech::34"}),
    _row(op.OLD_MODEL, "model", {"code": "1", "data": {"model": {"model_id": "5"}}}, {"id": "people::5"}),
    _no(op.V2_CREATE, "no money", {"code": "0", "msg": "余额不足"}, InsufficientCredits),
    _no(op.V2_CREATE, "no money, number", {"code": 0, "msg": "余额不足"}, InsufficientCredits),
    _no(op.V2_CREATE, "a parameter", {"code": "0", "msg": "video_url 参数不能为空"}, BadRequest),
    _no(op.V2_CREATE, "no face", {"code": "0", "msg": "未检测到人脸"}, MediaRejected),
    _no(op.V2_CREATE, "no words", {"code": "0"}, ProviderFault),
    _row(op.REMAKE_CREATE, "bare", {"task_id": "85-a"}, {"task_id": "remake:85-a"}),
    _row(op.REMAKE_CREATE, "code", {"code": 200, "data": {"task_id": "85"}}, {"task_id": "remake:85"}),
    _no(op.REMAKE_CREATE, "nothing in it", {"task_id": ""}, UnexpectedResponse),
)


def _gateway(status: Any, **fields: Any) -> dict[str, Any]:
    return {"code": "success", "message": "", "data": {"task_id": "t", "status": status, **fields}}


def _work(**fields: Any) -> dict[str, Any]:
    return {"code": 0, "data": {"id": "t", "work_name": "w", **fields}}


_DONE: Final = {"status": Status.SUCCEEDED}
_EMPTY: Final = {"status": Status.UNKNOWN, "reason": FailureReason.NO_RESULT}
_WORK_ROWS: Final = tuple(
    _row(op.VIDEO_TASK, label, body, gives)
    for label, body, gives in (
        ("done", _work(web_work_status=200, work_video_path=_URL), {**_DONE, "raw_status": "200"}),
        ("done, text", _work(web_work_status="200", wm_work_video_path=_URL), _DONE),
        ("done, empty", _work(web_work_status=200, work_video_path=""), _EMPTY),
        ("running", _work(web_work_status=100), {"status": Status.RUNNING, "raw_status": "100"}),
        ("running, none", _work(), {"status": Status.RUNNING, "raw_status": ""}),
        ("running, null", _work(web_work_status=None), {"status": Status.RUNNING}),
        ("failed", _work(web_work_status=-1), {"status": Status.FAILED, "raw_status": "-1"}),
        ("failed, -2", _work(web_work_status="-2"), {"message": "the vendor gave no reason"}),
        ("in words", _work(web_work_status="soon"), {"status": Status.UNKNOWN, "raw_status": "soon"}),
        ("gateway queued", _gateway("NOT_START", progress="0%"), {"status": Status.QUEUED, "progress": None}),
        ("gateway submitted", _gateway("SUBMITTED"), {"status": Status.QUEUED}),
        ("gateway running", _gateway("IN_PROGRESS", progress="40%", data=None), {"progress": 0.4}),
        ("gateway running, number", _gateway("in_progress", progress=40), {"progress": 0.4}),
        ("gateway full", _gateway("IN_PROGRESS", progress="100%"), {"progress": 0.99}),
        ("gateway odd progress", _gateway("IN_PROGRESS", progress="half"), {"progress": None}),
        ("gateway done", _gateway("SUCCESS", data={"id": "t", "work_video_path": _URL}), _DONE),
        ("gateway done, flat", _gateway("SUCCESS", work_video_path=_URL), _DONE),
        ("gateway done, null", _gateway("SUCCESS", data=None), _EMPTY),
        (
            "gateway failed",
            _gateway("FAILURE", fail_reason="no face found"),
            {"status": Status.FAILED, "reason": FailureReason.BAD_INPUT, "message": "no face found"},
        ),
        ("gateway review", _gateway("FAILED", fail_reason="内容违规"), {"reason": FailureReason.MODERATION}),
        ("gateway unknown", _gateway("UNKNOWN"), {"status": Status.UNKNOWN}),
        ("gateway number", _gateway(77), {"status": Status.UNKNOWN, "raw_status": "77"}),
    )
)
_WORKS: Final = (
    *_WORK_ROWS,
    _no(op.VIDEO_TASK, "no data", {"code": 0}, UnexpectedResponse),
    _no(op.VIDEO_TASK, "empty data", {"code": 0, "data": {}}, UnexpectedResponse),
    _no(op.VIDEO_TASK, "boolean status", _gateway(status=True), UnexpectedResponse),
    _no(op.VIDEO_TASK, "list status", _work(web_work_status=[200]), UnexpectedResponse),
    _no(op.VIDEO_TASK, "429 without a body", b"", RateLimited, 429),
)


def _check(endpoint: Endpoint, label: str, zstatus: Any, gives: dict[str, Any], **fields: Any) -> Answer:
    body = {"code": "1", "msg": "success", "data": {"zstatus": zstatus, **fields}}
    return _row(endpoint, f"{label} {zstatus!r}", body, gives)


_CHECKS: Final = (
    *(
        _check(endpoint, "status", zstatus, {"status": status})
        for endpoint in (op.V2_CHECK, op.FAST_CHECK, op.MODEL_CHECK, op.OLD_TRAIN_CHECK, op.OLD_SPEECH_CHECK)
        for zstatus, status in (
            ("0", Status.QUEUED),
            (0, Status.QUEUED),
            ("1", Status.QUEUED),
            ("2", Status.RUNNING),
            ("-1", Status.FAILED),
            (-1, Status.FAILED),
            ("4", Status.FAILED),
            ("7", Status.UNKNOWN),
            ("3", Status.UNKNOWN),
        )
    ),
    _check(op.V2_CHECK, "film", "3", {**_DONE, "raw_status": "3"}, video_url=_URL, video_time="23"),
    _check(op.FAST_CHECK, "film", 3, _DONE, video_url=_URL, video_time=None),
    _check(op.MODEL_CHECK, "model", "3", {"result": {"id": "model::28", "demo_url": ""}}, model_id=28),
    _check(op.OLD_TRAIN_CHECK, "voice", "3", {"result": {"id": "people::28"}}, model_id="28"),
    _check(op.OLD_SPEECH_CHECK, "sound", "3", _DONE, audio_url=_URL),
    _no(op.V2_CHECK, "nothing in it", {"code": "1", "data": {}}, UnexpectedResponse),
    _no(op.V2_CHECK, "no data", {"code": "1"}, UnexpectedResponse),
    _no(op.V2_CHECK, "unknown task", {"code": "0", "msg": "任务不存在"}, NotFound),
)


def _remake(status: Any, **fields: Any) -> dict[str, Any]:
    return {"code": 200, "data": {"task_id": "85", "status": status, **fields}}


_REMAKE_ROWS: Final = tuple(
    _row(op.REMAKE_TASK, label, body, gives)
    for label, body, gives in (
        ("pending", _remake("pending", result_urls=None), {"status": Status.QUEUED}),
        ("processing", _remake("processing", result_urls={}), {"status": Status.RUNNING}),
        ("completed", _remake("completed", result_urls={"public_url": _URL}), _DONE),
        ("completed, empty", _remake("completed", result_urls={"oss_path": "a/b"}), _EMPTY),
        ("failed", _remake("failed", error_message="内容违规"), {"reason": FailureReason.MODERATION}),
        ("failed, null", _remake("failed", error_message="null"), {"message": "the vendor gave no reason"}),
        ("another word", _remake("paused"), {"status": Status.UNKNOWN, "raw_status": "paused"}),
        ("text code", {**_remake("pending"), "code": "200"}, {"status": Status.QUEUED}),
        ("flat", {"task_id": "85", "status": "pending"}, {"status": Status.QUEUED}),
    )
)
_REMAKES: Final = (
    *_REMAKE_ROWS,
    _no(op.REMAKE_TASK, "no status", {"code": 200, "data": {"task_id": "85"}}, UnexpectedResponse),
)

_CHOICE: Final = {"index": 0, "message": {"role": "assistant", "content": "Hello."}}
_PARTS: Final = {"message": {"content": [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]}}
_OTHERS: Final = (
    Answer(
        label="a voice, short",
        endpoint=op.VOICE_MODEL,
        status=201,
        body={"_id": "a" * 24, "type": "tts", "title": "N"},
        gives={"id": "a" * 24, "title": "N", "public": False},
    ),
    Answer(
        label="a voice, whole",
        endpoint=op.VOICE_MODEL,
        body={"_id": "b", "title": "N", "visibility": "public", "languages": ["zh", 3], "state": "training"},
        gives={"id": "b", "public": True, "languages": ("zh",)},
    ),
    _no(op.VOICE_MODEL, "failed", {"_id": "c", "state": "failed"}, ProviderFault, 201),
    _no(op.VOICE_MODEL, "no id", {"title": "N"}, UnexpectedResponse, 201),
    _no(op.VOICE_MODEL, "no money", {"message": "no balance", "status": 402}, InsufficientCredits, 402),
    _no(op.VOICE_MODEL, "429 without a body", b"", UnexpectedResponse, 429),
    _no(op.TTS, "JSON with HTTP 200", {"message": "broken", "status": 500}, ProviderFault),
    _no(op.TTS, "any JSON", {"ok": 1}, UnexpectedResponse),
    _no(op.TTS, "code 0", {"code": 0, "data": "x"}, ProviderFault),
    _no(op.TTS, "text", b"could not parse", UnexpectedResponse, 400),
    _no(op.TTS, "a voice nobody knows", {"message": "voice not found", "status": 400}, BadRequest, 400),
    _row(op.REWRITE, "one choice", {"choices": [_CHOICE], "model": "m"}, {"text": "Hello.", "model": "m"}),
    _row(op.REWRITE, "parts", {"choices": [_PARTS]}, {"text": "Hello."}),
    _no(op.REWRITE, "no choice", {"choices": []}, UnexpectedResponse),
    _no(op.REWRITE, "null", {"choices": [{"message": {"content": None}}]}, UnexpectedResponse),
)

ANSWERS: Final = (*_ODD, *_CREATED, *_WORKS, *_CHECKS, *_REMAKES, *_OTHERS)
"""Every answer."""
