"""``agent_api.php`` seen from the other side: eleven acts on one path, all values as parts of a form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from avatarkit.models import Status
from avatarkit.protocol.fakewire import (
    FakeAsset,
    FakeResponse,
    FakeTask,
    MediaOrder,
    json_response,
    speech_seconds,
)
from avatarkit.providers.yunapi.fake_call import PROVIDER, Call, Refused

_STATUS: Final = {Status.QUEUED: "1", Status.RUNNING: "2", Status.SUCCEEDED: "3", Status.FAILED: "-1"}
# In the vendor's samples these two print a number where the others print text.
_NUMBER_CODES: Final = frozenset({"create_v2", "create_video_fast"})


def _good(call: Call, data: Mapping[str, Any], task: FakeTask | None = None, looks: str = "") -> FakeResponse:
    form = call.switch("agent_code")
    number = form == "number" or (form == "mixed" and call.fields.get("act") in _NUMBER_CODES)
    return json_response(
        {"code": 1 if number else "1", "msg": "success", "data": dict(data)},
        accepted=task,
        looked_at=(looks,) if looks else (),
    )


def _name(call: Call, family: str, own: str) -> str:
    return f"{family}:{call.line()}:{own}"


def _create_video(call: Call, family: str, presenter: str, face: Any) -> FakeResponse:
    audio = call.url("audio_url")
    seconds = (audio.seconds if audio else 0.0) or 10.0
    order = MediaOrder(media="video", audio=audio, seconds=seconds, presenter=presenter, face=face)
    own = call.number(family)
    task = call.accept("video", _name(call, family, own), order=order, price="price_video")
    return _good(call, {"task_id": own}, task)


def _create_v2(call: Call) -> FakeResponse:
    face = call.url("video_url")
    return _create_video(call, "v2", call.text("video_url"), face)


def _create_fast(call: Call) -> FakeResponse:
    model = call.world.asset(call.account, "avatar", _name(call, "model", call.text("model_id")))
    if model is None:
        raise Refused("missing")
    return _create_video(call, "fast", model.id, model.source)


def _create_model_fast(call: Call) -> FakeResponse:
    name, source, own = call.text("model_name"), call.url("video_url"), call.number("model")
    asset = FakeAsset(
        id=_name(call, "model", own),
        provider=PROVIDER,
        kind="avatar",
        title=name,
        account=call.account.key,
        source=source,
    )
    task = call.accept("avatar", asset.id, price="price_model", title=name, asset=asset)
    return _good(call, {"model": {"model_name": name, "model_id": own, "model_status": "0"}}, task)


def _create_model(call: Call) -> FakeResponse:
    name, own = call.text("model_name"), call.number("people")
    asset = FakeAsset(
        id=_name(call, "people", own),
        provider=PROVIDER,
        kind="voice",
        title=name,
        account=call.account.key,
    )
    call.world.add_asset(asset)
    model = {"model_name": name, "model_type": "0", "model_id": own, "model_status": "0"}
    return _good(call, {"model": model})


def _create_model_audio(call: Call) -> FakeResponse:
    wanted = _name(call, "people", call.text("model_id"))
    own_voices = call.world.assets(call.account, "voice", usable=False)
    model = next((asset for asset in own_voices if asset.id == wanted), None)
    if model is None:
        raise Refused("missing")
    call.url("model_audio_url")
    own = call.number("timbre")
    task = call.accept("voice", _name(call, "timbre", own), price="price_model", asset=model)
    return _good(call, {"task_id": own}, task)


def _create_audio(call: Call) -> FakeResponse:
    text = call.text("task_text")
    voice = call.world.asset(call.account, "voice", _name(call, "people", call.text("people_id")))
    if voice is None:
        raise Refused("missing")
    order = MediaOrder(media="audio", text=text, voice=voice.id, seconds=speech_seconds(text))
    own = call.number("speech")
    task = call.accept("audio", _name(call, "speech", own), order=order, price="price_audio", text=text)
    return _good(call, {"task_id": own}, task)


def _check(call: Call, family: str, key: str = "task_id") -> FakeResponse:
    own = call.text(key)
    task = call.world.task(call.account, _name(call, family, own))
    if task is None:
        raise Refused("missing")
    status = task.status(call.world.now())
    raw = _STATUS[status]
    if status is Status.FAILED and family == "speech":
        raw = "4"
    if status is Status.QUEUED and family == "timbre":
        raw = "0"
    data: dict[str, Any] = {"zstatus": raw}
    if status is Status.SUCCEEDED:
        data.update(_result(call, task, family, own))
    reply = _good(call, data, looks=task.id)
    said = task.failure.message if status is Status.FAILED and task.failure else ""
    return json_response({**_json(reply), "msg": said}, looked_at=(task.id,)) if said else reply


def _json(reply: FakeResponse) -> dict[str, Any]:
    import orjson

    found: dict[str, Any] = orjson.loads(reply.body)
    return found


def _result(call: Call, task: FakeTask, family: str, own: str) -> dict[str, Any]:
    link = call.world.link(task.result) if task.result else ""
    if family == "model":
        return {"model_pic": "https://cdn.example.com/model.jpg", "model_id": own}
    if family == "timbre":
        return {"model_id": task.yields.rpartition(":")[2]}
    if family == "speech":
        return {"audio_url": link}
    seconds = str(max(1, int(task.seconds + 0.5)))
    return {"video_url": link, "video_pic": "https://cdn.example.com/film.jpg", "video_time": seconds}


ACTS: Final[Mapping[str, Callable[[Call], FakeResponse]]] = {
    "create_v2": _create_v2,
    "chk_v2": lambda call: _check(call, "v2"),
    "create_model_fast": _create_model_fast,
    "chk_model_fast": lambda call: _check(call, "model", "model_id"),
    "create_video_fast": _create_fast,
    "chk_video_fast": lambda call: _check(call, "fast"),
    "create_model": _create_model,
    "create_model_audio": _create_model_audio,
    "chk_model_audio": lambda call: _check(call, "timbre"),
    "create_audio": _create_audio,
    "chk_audio": lambda call: _check(call, "speech"),
}


def agent(call: Call) -> FakeResponse:
    """Any act."""
    if not call.request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise Refused("invalid")
    act = ACTS.get(call.text("act"))
    if act is None:
        raise Refused("invalid")
    return act(call)
