"""HiFly seen from the other side: every operation of the vendor's two documents, with its quirks.

Where the documents are silent this fake decides, and says so here:

* Billing: a task is charged when it is accepted, by an estimate of its length (text: 4.5 Chinese characters
  or 15 Latin ones a second; sound: the file's own length where it can be told, else ten seconds), in whole
  credits, and nothing is given back when it fails.
* Order of checks: token, rate, body, plan, avatar and voice, file, moderation, caps (1015 before 1001),
  credits.
* ``duration`` is the result's length rounded half up to whole seconds, at least 1.
* A cap counts videos and sounds that have not ended; clones are not counted.
* A repeated ``video_url`` gives a new task that yields the same avatar.
* Public voices cannot be edited (14); an unknown path is 404; an avatar's title may be longer than 20.

Markers in a text or title make moderation and failures happen: ``[celebrity]`` in a voice's title is refused
with 1011, ``[moderation]`` in a text is accepted and fails later, ``[fail]`` in a title or text fails later.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs
import orjson

from avatarkit.models import Status
from avatarkit.protocol.fakewire import (
    FakeAsset,
    FakeCallback,
    FakeFile,
    FakeRequest,
    FakeResponse,
    FakeTask,
    MediaOrder,
    World,
    json_response,
    short_id,
    speech_seconds,
)
from avatarkit.providers.hifly.fake_call import (
    AVATAR_IMAGE,
    AVATAR_VIDEO,
    DRIVING_AUDIO,
    EVENT,
    LANGUAGES,
    MESSAGES,
    PROVIDER,
    TYPES,
    VOICE_SAMPLE,
    WORKS,
    Call,
    Refused,
    integer,
    outcome,
    page_of,
    spoken,
    subtitle_of,
    text_of,
    voice_data,
)

_DECIMAL: Final = re.compile(r"\d+(\.\d+)?")
_EXTENSION: Final = re.compile(r"[A-Za-z0-9]{1,8}")


def public_id(kind: str, number: int) -> str:
    """Id of the *number*-th public avatar or voice, counted from 1; the same in every sandbox."""
    return short_id(hashlib.sha256(f"hifly {kind} {number}".encode()).digest()[:16])


class HiFlyFake:
    """The vendor's side of HiFly. Stateless: everything lives in the world."""

    name = "hifly"
    base_path = "/api/v2/hifly"
    callback_statuses = frozenset({Status.SUCCEEDED, Status.FAILED})
    switches: Mapping[str, Any] = {
        "auth_failure": "text",  # 401 with bare text; "json", "empty", or "ok": HTTP 200 with code 2003
        "failed_code_zero": False,  # a failed task answers status 4 with code 0
        "pending_url": "missing",  # video_Url before the end: "missing", "null" or "empty"
        "plan": "enterprise",  # "member": no picture avatars (1006); "none": no creation at all (1005)
        "strict_urls": False,  # True: URLs outside the sandbox count as not reachable
        "callback_events": False,  # the console's "V2 event callback": clones send events too
        "callback_task_id": True,  # False: the older document's events, without task_id
        "callback_delays": (5.0, 30.0, 120.0),
        "callback_copies": 1,  # 2: every event arrives twice
        "price_video": 10.0,  # credits a second
        "price_audio_driven": 9.0,  # credits a second
        "price_audio": 1.0,  # credits a second
        "price_image_avatar": 350.0,
    }

    def stock(self) -> Sequence[FakeAsset]:
        """45 public avatars and 30 public voices, the same in every sandbox."""
        avatars = [
            FakeAsset(
                id=public_id("avatar", n),
                provider=self.name,
                kind="avatar",
                title=f"公共数字人{n}",
                public=True,
            )
            for n in range(1, 46)
        ]
        voices = [
            FakeAsset(
                id=public_id("voice", n), provider=self.name, kind="voice", title=f"公共声音{n}", public=True,
                data=voice_data(10),
            )
            for n in range(1, 31)
        ]  # fmt: skip
        return [*avatars, *voices]

    def handle(self, request: FakeRequest, world: World) -> FakeResponse:
        """Answer one request the way the vendor does."""
        operation = _OPERATIONS.get((request.method, request.path))
        if operation is None:
            return FakeResponse(
                status=404, headers={"content-type": "text/plain"}, body=b"404 page not found"
            )
        request_id = "req-" + world.new_id().hex()[:16]
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        account = world.account(self.name, token.strip()) if scheme.lower() == "bearer" else None
        if account is None:
            return self._unauthorized(request_id, world)
        wait = world.throttle(account)
        if wait is not None:
            seconds = {"retry-after": str(max(1, math.ceil(wait)))}
            # Undocumented; in the vendor's own error shape it is a clear refusal. What a gateway would say is a fault.
            body = {"code": 429, "message": "Too Many Requests", "request_id": ""}
            return json_response(body, status=429, headers=seconds)
        try:
            return operation(Call(request, account, world, request_id))
        except Refused as refusal:
            return json_response(
                {"code": refusal.code, "message": MESSAGES[refusal.code], "request_id": request_id}
            )

    def _unauthorized(self, request_id: str, world: World) -> FakeResponse:
        variant = world.switch(self.name, "auth_failure")
        if variant in ("json", "ok"):
            body = {"code": 2003, "message": MESSAGES[2003], "request_id": request_id}
            return json_response(body, status=200 if variant == "ok" else 401)
        if variant == "empty":
            return FakeResponse(status=401, headers={"content-type": "application/json"})
        return FakeResponse(status=401, headers={"content-type": "text/plain"}, body=b"Unauthorized")

    def callback(self, task: FakeTask, status: Status, world: World) -> FakeCallback | None:
        """The event of a task that has ended; clones send one only when the switch is on."""
        account = world.account(self.name, task.account)
        if account is None or not account.callback_url:
            return None
        if task.kind not in WORKS and not world.switch(self.name, "callback_events", account):
            return None
        body: dict[str, Any] = {**outcome(task, status, world, account), "type": EVENT[task.kind]}
        if task.kind in WORKS:
            body["title"] = task.title
        if world.switch(self.name, "callback_task_id", account):
            body["task_id"] = task.id
        return FakeCallback(
            url=account.callback_url,
            body=orjson.dumps(body),
            headers={"content-type": "application/json"},
            delays=tuple(world.switch(self.name, "callback_delays", account)),
            copies=int(world.switch(self.name, "callback_copies", account)),
        )


def _clone(call: Call, kind: str, source: FakeFile | None, key: str, title: str, cost: float) -> FakeResponse:
    world, account = call.world, call.account
    for known in world.assets(account, kind, usable=False):
        if key and known.source_key == key:
            return call.accept(kind, title=title, cost=cost, asset=known)
    asset = FakeAsset(
        id=short_id(world.new_id()),
        provider=PROVIDER,
        kind=kind,
        title=title,
        account=account.key,
        source=source,
        source_key=key,
        data=voice_data(8) if kind == "voice" else {},
    )
    demo = MediaOrder(media="audio", text="你好 很高兴认识你", voice=asset.id, seconds=2.0)
    order = demo if kind == "voice" else None
    return call.accept(kind, order=order, title=title, cost=cost, asset=asset)


def _avatar_by_video(call: Call) -> FakeResponse:
    title = text_of(call.body, "title", 1000) or "未命名"
    integer(call.body, "aigc_flag", (0, 1, 2))
    call.need_plan()
    source, url = call.media(AVATAR_VIDEO, url_limit=500)
    return _clone(call, "avatar", source, url, title, 0.0)


def _avatar_by_image(call: Call) -> FakeResponse:
    title = text_of(call.body, "title", 1000) or "未命名"
    integer(call.body, "aigc_flag", (0, 1, 2))
    integer(call.body, "model", (1, 2))
    call.need_plan(enterprise=True)
    source, _ = call.media(AVATAR_IMAGE)
    return _clone(call, "avatar", source, "", title, float(call.switch("price_image_avatar")))


def _avatar_list(call: Call) -> FakeResponse:
    page, size, kind = page_of(call.request.query, 2)
    if kind != 2:
        raise Refused(11)
    rows = call.world.public_assets(PROVIDER, "avatar")[(page - 1) * size : page * size]
    return call.reply(data=[{"avatar": a.id, "kind": 2, "title": a.title} for a in rows])


def _voice_create(call: Call) -> FakeResponse:
    title = text_of(call.body, "title", 20, required=True)
    language = text_of(call.body, "languages", 40) or "zh"
    if integer(call.body, "voice_type", (8,)) is None or language not in LANGUAGES:
        raise Refused(11)
    call.need_plan()
    source, _ = call.media(VOICE_SAMPLE)
    if "[celebrity]" in title:
        raise Refused(1011)
    return _clone(call, "voice", source, "", title, 0.0)


def _voice_edit(call: Call) -> FakeResponse:
    values: dict[str, str] = {}
    for name, least in (("rate", 0.5), ("volume", 0.1), ("pitch", 0.1)):
        values[name] = text_of(call.body, name, 10, required=True)
        if not _DECIMAL.fullmatch(values[name]) or not least <= float(values[name]) <= 2.0:
            raise Refused(11)
    voice = call.usable("voice")
    if voice.public:
        raise Refused(14)
    voice.data.update(values)
    return call.reply()


def _voice_list(call: Call) -> FakeResponse:
    page, size, kind = page_of(call.request.query, 1)
    if kind not in (1, 2):
        raise Refused(11)
    own = kind == 1
    voices = call.world.assets(call.account, "voice") if own else call.world.public_assets(PROVIDER, "voice")
    rows = voices[(page - 1) * size : page * size]
    return call.reply(data=[{"voice": v.id, "title": v.title, **v.data} for v in rows])


def _spoken_order(
    call: Call, media: Literal["video", "audio"], avatar: FakeAsset | None, subtitle: Any = None
) -> MediaOrder:
    text, voice = spoken(call.body), call.usable("voice")
    return MediaOrder(
        media=media,
        text=text,
        voice=voice.id,
        rate=float(voice.data["rate"]),
        volume=float(voice.data["volume"]),
        pitch=float(voice.data["pitch"]),
        subtitle=subtitle,
        seconds=speech_seconds(text) / float(voice.data["rate"]),
        presenter=avatar.id if avatar else "",
        face=avatar.source if avatar else None,
    )


def _common(call: Call) -> None:
    text_of(call.body, "title", 20)
    text_of(call.body, "pipeline", 20)
    integer(call.body, "aigc_flag", (0, 1, 2))


def _video_by_audio(call: Call) -> FakeResponse:
    _common(call)
    call.need_plan()
    avatar = call.usable("avatar")
    audio, _ = call.media(DRIVING_AUDIO)
    order = MediaOrder(
        media="video",
        audio=audio,
        seconds=(audio.seconds if audio else 0.0) or 10.0,
        presenter=avatar.id,
        face=avatar.source,
    )
    return call.work("video", order, "price_audio_driven")


def _video_by_tts(call: Call) -> FakeResponse:
    _common(call)
    spoken(call.body)
    subtitle = subtitle_of(call.body)
    call.need_plan()
    return call.work("video", _spoken_order(call, "video", call.usable("avatar"), subtitle), "price_video")


def _video_by_image(call: Call) -> FakeResponse:
    spoken(call.body)
    integer(call.body, "model", (5, 6))
    call.need_plan(enterprise=True)
    order = _spoken_order(call, "video", None)
    picture, _ = call.media(AVATAR_IMAGE)
    return call.work("video", attrs.evolve(order, face=picture), "price_video")


def _audio_by_tts(call: Call) -> FakeResponse:
    _common(call)
    spoken(call.body)
    call.need_plan()
    return call.work("audio", _spoken_order(call, "audio", None), "price_audio")


def _upload_url(call: Call) -> FakeResponse:
    extension = text_of(call.body, "file_extension", 8, required=True)
    if not _EXTENSION.fullmatch(extension):
        raise Refused(11)
    content_type = TYPES.get(extension.lower(), "application/octet-stream")
    file, url = call.world.new_upload(
        call.account, file_id=short_id(call.world.new_id()), extension=extension, content_type=content_type
    )
    # The vendor's table and sample of this one answer have no code and no message.
    return json_response(
        {"upload_url": url, "content_type": content_type, "file_id": file.id, "request_id": call.request_id}
    )


_OPERATIONS: Final[Mapping[tuple[str, str], Callable[[Call], FakeResponse]]] = {
    ("POST", "/avatar/create_by_video"): _avatar_by_video,
    ("POST", "/avatar/create_by_image"): _avatar_by_image,
    ("GET", "/avatar/task"): lambda call: call.look(("avatar",)),
    ("GET", "/avatar/list"): _avatar_list,
    ("POST", "/voice/create"): _voice_create,
    ("POST", "/voice/edit"): _voice_edit,
    ("GET", "/voice/list"): _voice_list,
    ("GET", "/voice/task"): lambda call: call.look(("voice",)),
    ("POST", "/video/create_by_audio"): _video_by_audio,
    ("POST", "/video/create_by_tts"): _video_by_tts,
    ("POST", "/video/create_by_image"): _video_by_image,
    ("POST", "/audio/create_by_tts"): _audio_by_tts,
    ("GET", "/video/task"): lambda call: call.look(WORKS),
    ("POST", "/tool/create_upload_url"): _upload_url,
    ("GET", "/account/credit"): lambda call: call.reply(left=int(call.account.credits)),
}

FAKE = HiFlyFake()
