"""YunApi seen from the other side: the five stacked APIs, each with its own envelope.

The vendor documents no refusals, no prices and no caps. Where it is silent this fake decides, and says so here:

* Refusals take the shape of the software behind each group: the gateway's ``code`` in words with HTTP 4xx (403 for want
  of money), ``code`` "0" with HTTP 200 on ``agent_api.php``, ``message`` and ``status`` for voices, OpenAI's ``error``.
* Every work has one price, taken when it is accepted and not given back when it fails.
* A cap counts videos and sounds that have not ended; training of models and voices is not counted.
* Ids of ``agent_api.php`` are small numbers, counted for each family and line: the same number means several things.
* Sound from ``/v1/tts`` is silence in the format asked for (``opus``: made-up bytes).

``[fail]`` in a text or name makes a task fail later, ``[moderation]`` in a text lets review refuse it later.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs

from avatarkit.models import Status
from avatarkit.protocol.fakewire import (
    FakeAsset,
    FakeCallback,
    FakeRequest,
    FakeResponse,
    FakeTask,
    MediaOrder,
    World,
    json_response,
    speech_seconds,
)
from avatarkit.providers.yunapi.fake_agent import agent
from avatarkit.providers.yunapi.fake_call import (
    AGENT,
    GATEWAY,
    OPENAI,
    PROVIDER,
    VOICE,
    Call,
    Refused,
    refusal,
)
from avatarkit.providers.yunapi.fake_form import fields_of
from avatarkit.providers.yunapi.fake_voices import rewrite, tts, voice_model

_GATEWAY_PAGE: Final = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
)
_GATEWAY_WORDS: Final = {
    Status.QUEUED: ("SUBMITTED", "0%"),
    Status.RUNNING: ("IN_PROGRESS", "50%"),
    Status.SUCCEEDED: ("SUCCESS", "100%"),
    Status.FAILED: ("FAILURE", "100%"),
}
_WORK_STATUS: Final = {Status.QUEUED: 0, Status.RUNNING: 100, Status.SUCCEEDED: 200, Status.FAILED: -1}
_REMAKE_WORDS: Final = {
    Status.QUEUED: "pending",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "completed",
    Status.FAILED: "failed",
}


class YunApiFake:
    """The vendor's side of YunApi. Stateless: everything lives in the world."""

    name = PROVIDER
    base_path = ""
    callback_statuses: frozenset[Status] = frozenset()
    switches: Mapping[str, Any] = {
        "envelope": "gateway",  # /avatar/*: the twins' form; "document" (code 0) or "document200": the vendor's page
        "agent_code": "mixed",  # code as in the samples; "text" or "number" everywhere
        "auth_failure": "json",  # 401 in the group's shape; "text", "forbidden" (403) or "ok" (the shape with HTTP 200)
        "bad_gateway": False,  # True: every request gets a gateway's page with HTTP 502
        "tts_json": False,  # True: /v1/tts answers HTTP 200 with JSON
        "train_state": "trained",  # state of new voice models
        "empty_paths": False,  # True: finished standard works have no URL yet
        "price_video": 10.0,
        "price_audio": 1.0,
        "price_model": 50.0,
        "price_remake": 20.0,
        "price_script": 0.5,
    }

    def stock(self) -> Sequence[FakeAsset]:
        """Nothing: the vendor publishes neither avatars nor voices."""
        return ()

    def decode(self, request: FakeRequest) -> Mapping[str, Any]:
        """A request's body as data, whether JSON or a form; ValueError for neither."""
        return fields_of(request)

    def handle(self, request: FakeRequest, world: World) -> FakeResponse:
        """Answer one request the way the vendor does."""
        found = _route(request)
        if found is None:
            return FakeResponse(
                status=404, headers={"content-type": "text/plain"}, body=b"404 page not found"
            )
        group, operation = found
        if world.switch(self.name, "bad_gateway"):
            return FakeResponse(status=502, headers={"content-type": "text/html"}, body=_GATEWAY_PAGE)
        request_id = "20260101" + world.new_id().hex()[:12]
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        account = world.account(self.name, token.strip()) if scheme.lower() == "bearer" else None
        if account is None:
            return _unauthorized(str(world.switch(self.name, "auth_failure")), group, request_id)
        wait = world.throttle(account)
        if wait is not None:
            return refusal("rate", group, request_id, wait=wait)
        try:
            return operation(Call(request, account, world, request_id))
        except Refused as error:
            return refusal(error.reason, group, request_id)

    def callback(self, task: FakeTask, status: Status, world: World) -> FakeCallback | None:
        """None: callbacks are not documented."""
        return None


def _unauthorized(variant: str, group: str, request_id: str) -> FakeResponse:
    if variant == "text":
        return FakeResponse(status=401, headers={"content-type": "text/plain"}, body=b"Unauthorized")
    if variant == "ok":
        return attrs.evolve(refusal("auth", group, request_id), status=200)
    if variant == "forbidden":
        error = {"message": f"该令牌无权访问 (request id: {request_id})", "type": "new_api_error", "code": ""}
        return json_response({"error": error}, status=403)
    return refusal("auth", group, request_id)


# -- standard works


def _create_work(call: Call) -> FakeResponse:
    face = call.url("avatar_url")
    given = [name for name in ("audio_url", "create_voice", "use_voice") if call.fields.get(name) is not None]
    if len(given) != 1 or not isinstance(call.fields.get("no_watermark", False), bool):
        raise Refused("invalid")
    audio, text, voice = None, "", ""
    if given == ["audio_url"]:
        audio = call.url("audio_url")
    else:
        holder = call.fields[given[0]]
        if not isinstance(holder, dict):
            raise Refused("invalid")
        text = call.text("text", holder=holder)
        call.text("language", holder=holder)
        if given == ["create_voice"]:
            call.url("audio_url", holder=holder)
        else:
            call.text("voice_engine_id", holder=holder)
            voice = call.text("audio_id", holder=holder)
    seconds = (audio.seconds if audio else 0.0) or (speech_seconds(text) if text else 10.0)
    order = MediaOrder(
        media="video",
        text=text,
        voice=voice,
        audio=audio,
        face=face,
        presenter=call.text("avatar_url"),
        seconds=seconds,
    )
    own = call.world.new_id().hex()
    prefix = "clean:" if call.fields.get("no_watermark") else ""
    task = call.accept("video", prefix + own, order=order, price="price_video", text=text)
    form = call.switch("envelope")
    if form == "gateway":
        return json_response({"code": "success", "message": "", "data": own}, accepted=task)
    code = 200 if form == "document200" else 0
    return json_response({"code": code, "data": {"id": own}}, accepted=task)


def _look_work(call: Call) -> FakeResponse:
    own = call.request.path.rpartition("/")[2]
    task = call.world.task(call.account, own) or call.world.task(call.account, f"clean:{own}")
    if task is None or not own:
        raise Refused("missing")
    status = task.status(call.world.now())
    work: dict[str, Any] = {
        "id": own,
        "work_name": "work",
        "work_webp_path": "",
        "web_work_status": _WORK_STATUS[status],
        "create_time": int(task.created * 1000),
    }
    if status is Status.SUCCEEDED and task.result and not call.switch("empty_paths"):
        clean = bool(task.request.get("no_watermark"))
        names = ("work_video_path", "no_wm_work_video_path" if clean else "wm_work_video_path")
        work.update({name: call.world.link(task.result) for name in names})
    form = call.switch("envelope")
    if form != "gateway":
        code = 200 if form == "document200" else 0
        said = task.failure.message if status is Status.FAILED and task.failure else ""
        return json_response({"code": code, "message": said, "data": work}, looked_at=(task.id,))
    word, progress = _GATEWAY_WORDS[status]
    done = status.terminal
    data = {
        "task_id": own,
        "notify_hook": "",
        "action": "avatar-generate",
        "status": word,
        "fail_reason": _why(task) if status is Status.FAILED else "",
        "submit_time": int(task.created),
        "start_time": 0 if status is Status.QUEUED else int(task.runs_at),
        "finish_time": int(task.finished_at) if done and task.finished_at < math.inf else 0,
        "progress": progress,
        "data": work if status is Status.SUCCEEDED else None,
    }
    return json_response({"code": "success", "message": "", "data": data}, looked_at=(task.id,))


def _why(task: FakeTask) -> str:
    return (task.failure.message if task.failure else "") or "generate failed"


# -- remakes


def _create_remake(call: Call) -> FakeResponse:
    face, text = call.url("video_url"), call.text("text_content")
    floating = call.fields.get("custom_floating_text", [])
    if not isinstance(floating, list) or not all(isinstance(one, str) for one in floating):
        raise Refused("invalid")
    order = MediaOrder(media="video", text=text, face=face, seconds=speech_seconds(text))
    raw = call.world.new_id().hex()
    own = "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))
    task = call.accept("video", f"remake:{own}", order=order, price="price_remake", text=text)
    return json_response({"task_id": own}, accepted=task)


def _look_remake(call: Call) -> FakeResponse:
    own = call.request.path.rpartition("/")[2]
    task = call.world.task(call.account, f"remake:{own}")
    if task is None:
        raise Refused("missing")
    status = task.status(call.world.now())
    urls = None
    if status is Status.SUCCEEDED and task.result is not None:
        urls = {"oss_path": f"dhuman/output/{own}.mp4", "public_url": call.world.link(task.result)}
    data = {
        "task_id": own,
        "status": _REMAKE_WORDS[status],
        "error_message": _why(task) if status is Status.FAILED else None,
        "created_at": "2026-01-01T03:16:23",
        "updated_at": "2026-01-01T03:20:10",
        "result_urls": urls,
    }
    return json_response({"code": 200, "data": data}, looked_at=(task.id,))


_Operation = Callable[[Call], FakeResponse]
_OPERATIONS: Final[Mapping[tuple[str, str], tuple[str, _Operation]]] = {
    ("POST", "/avatar/generation"): (GATEWAY, _create_work),
    ("POST", "/agent_api.php"): (AGENT, agent),
    ("POST", "/model"): (VOICE, voice_model),
    ("POST", "/v1/tts"): (VOICE, tts),
    ("POST", "/chat/completions"): (OPENAI, rewrite),
    ("POST", "/generate_video"): (OPENAI, _create_remake),
}
_LOOKS: Final[Mapping[str, tuple[str, _Operation]]] = {
    "/avatar/task/": (GATEWAY, _look_work),
    "/query_video/": (OPENAI, _look_remake),
}


def _route(request: FakeRequest) -> tuple[str, _Operation] | None:
    folder, slash, own = request.path.rpartition("/")
    if request.method == "GET" and own:
        return _LOOKS.get(folder + slash)
    return _OPERATIONS.get((request.method, request.path))


FAKE = YunApiFake()
