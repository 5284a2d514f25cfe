"""Guiji seen from the other side: the 17 operations of the vendor's document and its token, with their quirks.

Where the documents are silent this fake decides, and says so here:

* A refusal is HTTP 200 unless the switch ``auth_failure`` says otherwise for refused tokens.
* The account's credits are seconds of video; clonings and characters are counted beside it (``trainings``, ``voices``,
  ``words``). Without any credits everything that is billed is refused with 40010. Nothing is given back.
* Order of checks: token, rate, body, avatar and voice, files, cap, balance.
* The cap (40019) counts videos that have not ended.
* What is not there, or was deleted a day after its end, is 40018.
* Times of a token count from when it was given; ``token_life`` ends them earlier than ``expires_in`` says.
* ``simpleCreate`` takes ``sceneId`` as text only, ``authorize`` as a number only: each as its own table has it.
* Handing an existing training in again gives a new training.
* A public avatar can be authorised too; consents are found good at once.

Markers in a name or text make failures happen: ``[fail]``, and ``[moderation]`` (a training then ends with status 4).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import orjson

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
from avatarkit.providers.guiji.fake_call import (
    MESSAGES,
    PROVIDER,
    Call,
    Refused,
    account_of,
    counters,
    new_token,
    next_number,
    reply,
)
from avatarkit.providers.guiji.fake_rows import Rows, voice_fields

_TOKEN: Final = ("GET", "/openapi/oauth/token")


def public_avatar(number: int) -> str:
    """``sceneId`` of the *number*-th public avatar, counted from 1; the same in every sandbox."""
    return str(-290 - number)


def public_voice(number: int) -> str:
    """``speakerId`` of the *number*-th public voice, counted from 1."""
    return f"C_{100 + number}"


class GuijiFake:
    """The vendor's side of Guiji. Stateless: everything lives in the world."""

    name = PROVIDER
    base_path = ""
    callback_statuses = frozenset({Status.SUCCEEDED, Status.FAILED})
    switches: Mapping[str, Any] = {
        "auth_failure": "ok",  # HTTP 200 with a code; "401": the same with 401; "text": 401 in words
        "token_seconds": 7199,  # expires_in
        "token_life": None,  # seconds a token really lives, where that differs
        "single_token": False,  # True: a new token ends the one before
        "skew_seconds": None,  # how far a timestamp may be off
        "pending_url": "null",  # URLs of what is not done: "missing", "null" or "empty"
        "languages": "text",  # of public voices: "text" as in the table, "list" as in the samples
        "authorize_status": False,  # True: rows have authorizeStatus, as tables say and samples deny
        "strict_urls": False,  # True: URLs outside the sandbox count as not reachable
        "largest_page": 1000,
        "voice_days": 180.0,
        "trainings": 1000,
        "voices": 1000,
        "words": 1_000_000,
        "callback_delays": (60.0, 180.0),
        "callback_reads_answer": True,  # False: HTTP 200 is enough
    }

    def stock(self) -> Sequence[FakeAsset]:
        """30 public avatars and 30 public voices, the last of which has expired; the same in every sandbox."""
        avatars = [
            FakeAsset(
                id=public_avatar(n), provider=PROVIDER, kind="avatar", title=f"公共形象{n}", public=True
            )
            for n in range(1, 31)
        ]
        voices = [
            FakeAsset(
                id=public_voice(n),
                provider=PROVIDER,
                kind="voice",
                title=f"公共声音{n}",
                public=True,
                data={"ttsFeatures": "Calm|Gentle", "ttsAudition": "", "sex": 1 + n % 2, "status": 2},
            )
            for n in range(1, 31)
        ]
        voices[-1].data["status"] = 4
        return [*avatars, *voices]

    def handle(self, request: FakeRequest, world: World) -> FakeResponse:
        """Answer one request the way the vendor does."""
        operation = _operation(request)
        if operation is None:
            return FakeResponse(
                status=404, headers={"content-type": "text/plain"}, body=b"404 page not found"
            )
        try:
            if operation is new_token:
                return new_token(request, world)
            account = account_of(request, world)
            wait = world.throttle(account)
            if wait is not None:
                seconds = {"retry-after": str(max(1, math.ceil(wait)))}
                return json_response({"message": "Too Many Requests"}, status=429, headers=seconds)
            answer: FakeResponse = operation(Call(request, account, world))
        except Refused as refusal:
            return self._refusal(refusal.code, world)
        return answer

    def _refusal(self, code: str, world: World) -> FakeResponse:
        variant = world.switch(PROVIDER, "auth_failure") if code in ("40002", "40003") else "ok"
        if variant == "text":
            return FakeResponse(status=401, headers={"content-type": "text/plain"}, body=b"Unauthorized")
        body = {"code": code, "success": False, "message": MESSAGES[code], "data": None}
        return json_response(body, status=401 if variant == "401" else 200)

    def callback(self, task: FakeTask, status: Status, world: World) -> FakeCallback | None:
        """The event of a task that has ended, to the request's own URL or else the account's."""
        account = world.account(PROVIDER, task.account)
        url = task.callback_url or (account.callback_url if account else "")
        if account is None or not url:
            return None
        strict = bool(world.switch(PROVIDER, "callback_reads_answer", account))

        def acknowledged(http_status: int, body: bytes) -> bool:
            taken = http_status == 200 and (not strict or _says_ok(body))
            task.data["callbackStatus"] = 1 if taken else 2
            return taken

        return FakeCallback(
            url=url,
            body=orjson.dumps(Rows(world, account).event(task, status)),
            headers={"content-type": "application/json"},
            delays=tuple(world.switch(PROVIDER, "callback_delays", account)),
            acknowledged=acknowledged,
        )


def _says_ok(body: bytes) -> bool:
    try:
        answer = orjson.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("code") == "0" and answer.get("success") is True


# -- operations ----------------------------------------------------------------------------------------------------


def _benefits(call: Call) -> FakeResponse:
    left = counters(call.world, call.account)
    account = {
        "fastTrainingAmount": left["trainings"],
        "totalFastTrainingAmount": int(call.switch("trainings")),
        "voiceCloneAmount": left["voices"],
        "totalVoiceCloneAmount": int(call.switch("voices")),
        "ttsWordsAmount": left["words"],
        "totalTtsWordsAmount": int(call.switch("words")),
        "fastDuration": int(call.account.credits * 1000),
        # The vendor's own sample has less bought than left.
        "totalFastDuration": 20000,
    }
    return reply({"user": {"id": 1005, "corpId": 1004}, "account": account})


def _public_avatars(call: Call) -> FakeResponse:
    name = call.text("name")
    found = [asset for asset in call.world.public_assets(PROVIDER, "avatar") if name in asset.title]
    shown, about = call.page_of(found)
    rows = [
        {"id": int(asset.id), "sceneName": asset.title, "coverUrl": "", "resolution": "1080x1920"}
        for asset in shown
    ]
    return reply({**about, "records": rows})


def _public_voices(call: Call) -> FakeResponse:
    name, sex = call.text("name"), call.integer("sex", (1, 2))
    found = [
        asset
        for asset in call.world.public_assets(PROVIDER, "voice")
        if name in asset.title and sex in (None, asset.data["sex"])
    ]
    shown, about = call.page_of(found)
    languages: Any = "zh,en" if call.switch("languages") == "text" else ["zh", "en"]
    return reply({**about, "records": [{**voice_fields(asset), "languages": languages} for asset in shown]})


def _create_training(call: Call) -> FakeResponse:
    title = call.text("name", required=True)
    call.text("authorizeText", required=True)
    call.integer("level", (1,), required=True)
    if type(call.body.get("compress")) not in (bool, type(None)):
        raise Refused("40015")
    again = call.integer("id")
    if again is not None and _task(call, ("avatar",), str(again)) is None:
        raise Refused("40018")
    source = call.fetched("videoUrl", "40017")
    call.fetched("authorizeUrl", "40017")
    call.url("callbackUrl", required=False)
    call.spend("trainings", 1)
    scene = FakeAsset(
        id=str(-next_number(call.world)),
        provider=PROVIDER,
        kind="avatar",
        title=title,
        account=call.account.key,
        source=source,
        data={"authorizeStatus": 1},
    )
    task = call.accept("avatar", str(next_number(call.world)), title=title, asset=scene)
    return reply({"trainingId": int(task.id)}, accepted=task)


def _clone_voice(call: Call) -> FakeResponse:
    title = call.text("name", required=True)
    call.text("authorizeText", required=True)
    sex = call.integer("sex", (1, 2))
    call.fetched("audioUrl", "40011", only="wav")
    call.fetched("authorizeUrl", "40011")
    call.url("callbackUrl", required=False)
    call.spend("voices", 1)
    voice = FakeAsset(
        id=f"C_{next_number(call.world)}",
        provider=PROVIDER,
        kind="voice",
        title=title,
        account=call.account.key,
        data={
            "ttsFeatures": "Original timbre",
            "audioUrl": call.text("audioUrl"),
            "languages": ["zh", "en"],
            "sex": sex,
            "authorizeStatus": 1,
        },
    )
    demo = MediaOrder(media="audio", text="你好 很高兴认识你", voice=voice.id, seconds=2.0)
    task = call.accept("voice", voice.id, order=demo, title=title, asset=voice)
    return reply(Rows(call.world, call.account).row(task), accepted=task)


def _create_video(call: Call) -> FakeResponse:
    title = call.text("videoName")
    avatar = call.asset("avatar", call.text("sceneId", required=True))
    call.integer("pn", (0, 1))
    call.url("callbackUrl", required=False)
    looks: dict[str, Any] = {"media": "video", "presenter": avatar.id, "face": avatar.source}
    if call.text("audioUrl"):
        audio = call.fetched("audioUrl", "40011")
        order = MediaOrder(**looks, audio=audio, seconds=(audio.seconds if audio else 0.0) or 10.0)
    else:
        text = call.text("text", required=True)
        voice = call.asset("voice", call.text("speakerId", required=True))
        order = MediaOrder(**looks, text=text, voice=voice.id, seconds=speech_seconds(text))
    running = call.world.unfinished(call.account, ("video",))
    caps = (call.account.max_running, call.account.max_submitted)
    if any(cap is not None and running >= cap for cap in caps):
        raise Refused("40019")
    if call.account.credits < order.seconds:
        raise Refused("40010")
    number = str(-next_number(call.world))
    task = call.accept("video", number, order=order, title=title, cost=round(order.seconds, 3))
    return reply({"videoId": int(task.id)}, accepted=task)


def _create_audio(call: Call) -> FakeResponse:
    text = call.text("content", required=True)
    voice = call.asset("voice", call.text("speakerId", required=True))
    call.url("callbackUrl", required=False)
    call.spend("words", len(text))
    order = MediaOrder(media="audio", text=text, voice=voice.id, seconds=speech_seconds(text))
    task = call.accept("audio", str(next_number(call.world)), order=order)
    return reply({"id": int(task.id), "status": 0}, accepted=task)


def _authorize(call: Call, kind: str) -> FakeResponse:
    call.text("authorizeText", required=True)
    if kind == "avatar":
        asset = call.asset(kind, str(call.integer("sceneId", required=True)))
    else:
        asset = call.asset(kind, call.text("speakerId", required=True))
    call.fetched("authorizeUrl", "40017")
    if not asset.public:
        asset.data["authorizeStatus"] = 1
    return reply(data=True)


def _task(call: Call, kinds: Sequence[str], task_id: str) -> FakeTask | None:
    task = call.world.task(call.account, task_id)
    return None if task is None or task.kind not in kinds or call.deleted(task) else task


def _list(call: Call, kind: str) -> FakeResponse:
    made = Rows(call.world, call.account)
    tasks = call.own((kind,))
    if kind == "voice":
        sex, status = call.integer("sex", (1, 2)), call.integer("status", (0, 1, 2, 3, 4))
        first, last = call.text("expireStartTime"), call.text("expireEndTime")
        tasks = [task for task in tasks if _passes(made.row(task), sex, status, first, last)]
    shown, about = call.page_of(tasks)
    return reply({**about, "records": made.rows(shown)}, looked_at=[task.id for task in shown])


def _passes(row: Mapping[str, Any], sex: int | None, status: int | None, first: str, last: str) -> bool:
    if sex not in (None, row.get("sex")) or status not in (None, row["status"]):
        return False
    expires = row["expireTime"] or ""
    return (not first or expires >= first) and (not last or "" < expires <= last)


def _get(call: Call, kind: str, prefix: str) -> FakeResponse:
    task = _task(call, (kind,), unquote(call.request.path.removeprefix(prefix)))
    if task is None:
        raise Refused("40018")
    return reply(Rows(call.world, call.account).row(task), looked_at=(task.id,))


Operation = Callable[..., FakeResponse]
_OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    _TOKEN: new_token,
    ("GET", "/openapi/user/v2/get"): _benefits,
    ("POST", "/openapi/robot/v2/fastPublicPageList"): _public_avatars,
    ("POST", "/openapi/speaker/v2/fastPublicPageList"): _public_voices,
    ("POST", "/openapi/video/v3/create/training"): _create_training,
    ("POST", "/openapi/video/v2/training/pageList"): lambda call: _list(call, "avatar"),
    ("POST", "/openapi/speaker/v3/clone"): _clone_voice,
    ("POST", "/openapi/speaker/v2/clonePageList"): lambda call: _list(call, "voice"),
    ("POST", "/openapi/video/v3/simpleCreate"): _create_video,
    ("POST", "/openapi/video/v2/pageList"): lambda call: _list(call, "video"),
    ("POST", "/openapi/speaker/v3/fastTts"): _create_audio,
    ("POST", "/openapi/speaker/v2/tts/pageList"): lambda call: _list(call, "audio"),
    ("POST", "/openapi/video/v3/authorize"): lambda call: _authorize(call, "avatar"),
    ("POST", "/openapi/speaker/v3/authorize"): lambda call: _authorize(call, "voice"),
}
_GETS: Final[Mapping[str, str]] = {
    "/openapi/video/v2/training/get/": "avatar",
    "/openapi/speaker/v2/clone/": "voice",
    "/openapi/video/v2/get/": "video",
    "/openapi/speaker/v2/tts/": "audio",
}


def _operation(request: FakeRequest) -> Operation | None:
    found = _OPERATIONS.get((request.method, request.path))
    if found is not None or request.method != "GET":
        return found
    for prefix, kind in _GETS.items():
        if request.path.startswith(prefix) and "/" not in request.path.removeprefix(prefix):
            return lambda call: _get(call, kind, prefix)
    return None


FAKE = GuijiFake()
