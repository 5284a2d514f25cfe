"""How the fake makes things: avatar videos, speech, face sessions, lip-sync."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from avatarkit.protocol.fakewire import (
    FakeAccount,
    FakeFailure,
    FakeRequest,
    FakeResponse,
    FakeTask,
    MediaOrder,
    World,
    json_response,
    speech_seconds,
)
from avatarkit.providers.kling import limits
from avatarkit.providers.kling.fake_call import (
    PICTURE_BYTES,
    PROVIDER,
    SOUND_BYTES,
    Caller,
    Given,
    Refused,
    bad,
    check_picture,
    digits,
    media_of,
    millis_of,
    number_of,
    picture_kind,
    sound_seconds,
    text_of,
)
from avatarkit.providers.kling.fake_sound import sound_kind

AVATAR: Final = ""
LIP: Final = "advanced-lip-sync/"
_MONTH: Final = 30 * 86400.0
_PRICE: Final = {"std": 0.4, "pro": 0.8}
_AT_ONCE: Final = 0.05
_FAILURES: Final = {
    "[moderation]": "Failure to pass the risk control system",
    "[fail]": "Generation failed, please try again",
}


@attrs.frozen
class Sound:
    """What drives the lips: *seconds* long, spoken *text* or a file."""

    seconds: float
    text: str = ""
    voice: str = ""
    rate: float = 1.0
    given: Given = Given()

    def order(self) -> MediaOrder:
        """The video that speaks it."""
        return MediaOrder(
            media="video",
            text=self.text,
            voice=self.voice,
            rate=self.rate,
            audio=self.given.file,
            seconds=self.seconds,
        )


class Call:
    """One authorised request on its way through an operation."""

    def __init__(self, request: FakeRequest, caller: Caller, world: World, request_id: str) -> None:
        self.request = request
        self.account: FakeAccount = caller.account
        self.signed = caller.signed
        self.world = world
        self.request_id = request_id
        self.body: Mapping[str, Any] = {}
        if request.method == "POST":
            self.body = self._decode()

    def _decode(self) -> Mapping[str, Any]:
        if not self.request.headers.get("content-type", "").lower().startswith("application/json"):
            raise Refused(1200)
        try:
            body = self.request.json()
        except ValueError:
            raise Refused(1200) from None
        if not isinstance(body, dict):
            raise Refused(1200)
        return body

    def reply(
        self, data: object, *, accepted: FakeTask | None = None, looked_at: Sequence[str] = ()
    ) -> FakeResponse:
        """A good answer."""
        body = {"code": 0, "message": "SUCCEED", "request_id": self.request_id, "data": data}
        return json_response(body, accepted=accepted, looked_at=looked_at)

    def memory(self, name: str) -> dict[str, Any]:
        """A table of the account's own."""
        table: dict[str, Any] = self.world.memory(PROVIDER).setdefault(f"{name} {self.account.key}", {})
        return table

    def new_id(self) -> str:
        """Eighteen digits."""
        return digits(self.world.new_id())

    def task(self, product: str, task_id: str) -> FakeTask | None:
        """A task of this product by its id, or an avatar's by its external id."""
        found = self.world.task(self.account, product + task_id)
        if found is not None and found.data.get("product") == product and found.kind == "video":
            return found
        if product != AVATAR or not self.world.switch(PROVIDER, "external_query", self.account):
            return None
        other = self.by_external(task_id)
        return other if other is not None and other.data["product"] == product else None

    def by_external(self, external_id: str) -> FakeTask | None:
        """The task that was submitted with this external id."""
        task_id = self.memory("external ids").get(external_id)
        return self.world.task(self.account, task_id) if task_id else None

    def sound(self, body: Mapping[str, Any], most: float) -> Sound:
        """The sound that a body names in one of two ways."""
        audio_id, file = text_of(body, "audio_id", 200), body.get("sound_file")
        if bool(audio_id) == bool(file):
            raise Refused(1201, "Exactly one of audio_id and sound_file is required")
        if audio_id:
            known = self.memory("audios").get(audio_id)
            if known is None or self.world.now() - known[0] > _MONTH:
                raise Refused(1201, "Audio id not found")
            sound: Sound = known[1]
        else:
            given = media_of(self.world, body, "sound_file", SOUND_BYTES, sound_kind)
            sound = Sound(sound_seconds(given), given=given)
        if not 1.9 <= sound.seconds <= most + 0.1:
            raise Refused(1201, f"The audio duration must be 2 to {most:g} seconds")
        return sound

    def charge(self, cost: float) -> None:
        """Refuse what cannot be paid."""
        if cost > self.account.credits:
            raise Refused(1102)

    def make(self, product: str, order: MediaOrder, cost: float, info: Mapping[str, Any]) -> FakeResponse:
        """Accept a video, unless its external id was used, the cap is reached, or it cannot be paid."""
        external = text_of(self.body, "external_task_id", 500)
        callback_url = text_of(self.body, "callback_url", 2000)
        watermark = self._watermark()
        if external and external in self.memory("external ids"):
            raise Refused(1201, f"External task id {external[:40]} already exists")
        running = self.world.unfinished(self.account, ("video",))
        caps = [c for c in (self.account.max_running, self.account.max_submitted) if c is not None]
        if any(running >= cap for cap in caps):
            raise Refused(1303)
        self.charge(cost)
        number = self.new_id()
        task = self.world.accept(
            self.account,
            task_id=product + number,
            endpoint=f"{self.request.method} {self.request.path}",
            kind="video",
            request=self.body,
            order=order,
            title=external,
            cost=cost,
            callback_url=callback_url,
            failure=self._failure(external),
        )
        task.data.update(
            id=number,
            video_id=self.new_id(),
            product=product,
            external_id=external,
            hides_external_id=product == LIP,
            info=dict(info),
            watermark=watermark,
        )
        if external:
            self.memory("external ids")[external] = task.id
        self.memory("videos")[task.data["video_id"]] = task.id
        return self._created(task, external)

    def _created(self, task: FakeTask, external: str) -> FakeResponse:
        stamp = int(task.created * 1000)
        data = {
            "task_id": task.data["id"],
            "task_status": "submitted",
            "task_info": {"external_task_id": external} if external else {},
            "created_at": stamp,
            "updated_at": stamp,
        }
        return self.reply(data, accepted=task)

    def _watermark(self) -> bool:
        info = self.body.get("watermark_info")
        if info is None:
            return False
        if not isinstance(info, dict) or not isinstance(info.get("enabled", False), bool):
            raise bad("watermark_info")
        return bool(info.get("enabled"))

    def _failure(self, external: str) -> FakeFailure | None:
        text = f"{self.body.get('prompt') or ''} {external}"
        for marker, message in _FAILURES.items():
            if marker in text:
                return FakeFailure(message=message)
        return None


def avatar(call: Call, _argument: str) -> FakeResponse:
    """``POST /v1/videos/avatar/image2video``."""
    picture = media_of(call.world, call.body, "image", PICTURE_BYTES, picture_kind)
    check_picture(picture.data)
    sound = call.sound(call.body, 300)
    prompt = text_of(call.body, "prompt", 2500)
    mode = text_of(call.body, "mode", 10) or "std"
    if mode not in _PRICE:
        raise bad("mode")
    if "[policy]" in prompt:
        raise Refused(1301)
    order = attrs.evolve(sound.order(), face=picture.file)
    return call.make(AVATAR, order, round(sound.seconds * _PRICE[mode], 1), {})


def speech(call: Call, _argument: str) -> FakeResponse:
    """``POST /v1/audio/tts``: the answer is the speech."""
    text = text_of(call.body, "text", 1000, required=True)
    voice = text_of(call.body, "voice_id", 200, required=True)
    language = text_of(call.body, "voice_language", 10) or "zh"
    speed = min(2.0, max(0.8, round(number_of(call.body, "voice_speed", -1e6, 1e6, 1.0), 1)))
    if language not in limits.LANGUAGES:
        raise bad("voice_language")
    if not any(known.id == voice and language in known.languages for known in limits.VOICES):
        raise Refused(1201, "Voice id not found")
    if "[policy]" in text:
        raise Refused(1301)
    call.charge(_AT_ONCE)
    seconds = speech_seconds(text) / speed
    order = MediaOrder(media="audio", text=text, voice=voice, rate=speed, language=language, seconds=seconds)
    task = call.world.accept(
        call.account,
        task_id=call.new_id(),
        endpoint=f"{call.request.method} {call.request.path}",
        kind="audio",
        request=call.body,
        order=order,
        cost=_AT_ONCE,
    )
    task.runs_at = task.ready_at = task.created
    audio_id = call.new_id()
    call.memory("audios")[audio_id] = (
        call.world.now(),
        Sound(seconds, text=text, voice=voice, rate=speed),
    )
    return call.reply(_spoken(call, task, audio_id, seconds))


def _spoken(call: Call, task: FakeTask, audio_id: str, seconds: float) -> dict[str, Any]:
    stamp = int(task.created * 1000)
    url = call.world.link(task.result) if task.result is not None else ""
    return {
        "task_id": task.id,
        "task_status": "succeed",
        "task_status_msg": "",
        "task_result": {"audios": [{"id": audio_id, "url": url, "duration": f"{seconds:.3f}"}]},
        "final_unit_deduction": f"{_AT_ONCE:g}",
        "final_balance_deduction": {"quota": "0", "list_price": "0"},
        "created_at": stamp,
        "updated_at": stamp,
    }


def identify_face(call: Call, _argument: str) -> FakeResponse:
    """``POST /v1/videos/identify-face``: one face, for the whole length."""
    video_id, url = text_of(call.body, "video_id", 200), text_of(call.body, "video_url", 2000)
    if bool(video_id) == bool(url):
        raise Refused(1201, "Exactly one of video_id and video_url is required")
    seconds, parent = 10.0, {"id": video_id, "url": url, "duration": "10"}
    if video_id:
        task = call.world.task(call.account, call.memory("videos").get(video_id, ""))
        if task is None or not task.status(call.world.now()).terminal or task.failure is not None:
            raise Refused(1201, "Video id not found")
        seconds = max(2.0, task.seconds)
        link = call.world.link(task.result) if task.result is not None else ""
        parent = {"id": video_id, "url": link, "duration": f"{seconds:.3f}"}
    elif not url.startswith(("http://", "https://")):
        raise bad("video_url")
    call.charge(_AT_ONCE)
    call.account.credits -= _AT_ONCE
    session = call.new_id()
    call.memory("sessions")[session] = (seconds, parent)
    face = {"face_id": "0", "face_image": "", "start_time": 0, "end_time": int(seconds * 1000)}
    return call.reply(
        {
            "session_id": session,
            "face_data": [face],
            "final_unit_deduction": f"{_AT_ONCE:g}",
            "final_balance_deduction": {"quota": "0", "list_price": "0"},
        }
    )


def lip_sync(call: Call, _argument: str) -> FakeResponse:
    """``POST /v1/videos/advanced-lip-sync``."""
    session = call.memory("sessions").get(text_of(call.body, "session_id", 200, required=True))
    if session is None:
        raise Refused(1201, "Session id not found")
    seconds, parent = session
    chosen = call.body.get("face_choose")
    if not isinstance(chosen, list) or len(chosen) != 1 or not isinstance(chosen[0], dict):
        raise bad("face_choose")
    face: dict[str, Any] = chosen[0]
    if text_of(face, "face_id", 100, required=True) != "0":
        raise Refused(1201, "Face id not found")
    sound = call.sound(face, 60)
    start, end = millis_of(face, "sound_start_time"), millis_of(face, "sound_end_time")
    if end - start < 2000 or end > sound.seconds * 1000 + 100:
        raise bad("sound_end_time")
    insert = millis_of(face, "sound_insert_time")
    if insert + 2000 > seconds * 1000:
        raise bad("sound_insert_time")
    for name in ("sound_volume", "original_audio_volume"):
        number_of(face, name, 0, 2, 1.0)
    order = attrs.evolve(sound.order(), seconds=seconds)
    return call.make(LIP, order, 0.5 * -(-int(seconds * 1000) // 5000), {"parent_video": parent})
