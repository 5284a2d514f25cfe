"""The Kling fake by calling it: no sockets, and a clock that is a number."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeAccount, FakeRequest, FakeResponse
from avatarkit.protocol.samples import png, wav
from avatarkit.protocol.signing import jwt_hs256
from avatarkit.providers.kling.callbacks import FORMAT
from avatarkit.providers.kling.fake import FAKE
from avatarkit.sandbox.world import SandboxWorld

AVATAR = "/v1/videos/avatar/image2video"
LIPS = "/v1/videos/advanced-lip-sync"
IMAGE, SOUND = "https://e.com/a.png", "https://e.com/a.mp3"
BODY = {"image": IMAGE, "sound_file": SOUND}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def mp3(seconds: float) -> bytes:
    """Frames of 32 kbit/s at 44,100 a second behind a tag, with an older tag at the end: a quarter of 128 kbit/s."""
    frame = b"\xff\xfb\x10\xc0" + bytes(100)
    count = round(seconds * 44100 / 1152)
    return b"ID3\x04\0\0\0\0\x01\x00" + bytes(128) + frame * count + b"TAG" + bytes(125)


def mp3_of_speech(seconds: float) -> bytes:
    """Frames of 64 kbit/s at 24,000 a second, MPEG-2, as speech has them."""
    return (b"\xff\xf3\x84\xc4" + bytes(188)) * round(seconds * 24000 / 576)


def aac(seconds: float) -> bytes:
    """ADTS frames of 300 bytes at 16,000 a second."""
    return (b"\xff\xf1\x60\x40\x25\x9f\xfc" + bytes(293)) * round(seconds * 16000 / 1024)


def m4a(seconds: float) -> bytes:
    """A movie whose header says how long it is, behind its sound."""
    header = struct.pack(">IIIII", 0, 0, 0, 600, round(seconds * 600)) + bytes(80)
    return (
        _box(b"ftyp", b"M4A \0\0\0\0")
        + _box(b"mdat", bytes(4000))
        + _box(b"moov", _box(b"free", b"") + _box(b"mvhd", header))
    )


def _box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", 8 + len(data)) + name + data


def wav_of_floats(seconds: float) -> bytes:
    """Samples of 32 bits, with a chunk of odd size before them, and a length that was not known yet."""
    what = struct.pack("<HHIIHH", 3, 2, 8000, 64000, 8, 32)
    chunks = b"fmt " + struct.pack("<I", 16) + what + b"LIST" + struct.pack("<I", 5) + b"hello\0"
    return b"RIFF\xff\xff\xff\xffWAVE" + chunks + b"data\xff\xff\xff\xff" + bytes(round(seconds * 64000))


SOUNDS = [mp3, mp3_of_speech, aac, m4a, wav_of_floats, lambda seconds: wav(seconds, rate=8000)]


class Vendor:
    """The fake, its world and one account, with short ways to call it."""

    def __init__(self) -> None:
        self.time = 1_790_000_000.0
        self.world = SandboxWorld(now=lambda: self.time, fakes={"kling": FAKE})
        self.account = FakeAccount(provider="kling", key="k", secret="s", credits=10_000.0)
        self.world.add_account(self.account)

    def raw(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        authorization: str | None = "Bearer k",
        **query: str,
    ) -> FakeResponse:
        headers = {"content-type": "application/json"}
        if authorization is not None:
            headers["authorization"] = authorization
        sent = orjson.dumps(body) if body is not None else b""
        request = FakeRequest(method=method, path=path, query=query, headers=headers, body=sent)
        return FAKE.handle(request, self.world)

    def code(self, *args: Any, **more: Any) -> tuple[int, int]:
        answer = self.raw(*args, **more)
        return answer.status, orjson.loads(answer.body)["code"]

    def post(self, path: str, body: Any) -> Any:
        answer = orjson.loads(self.raw("POST", path, body).body)
        assert answer["code"] == 0, answer
        return answer["data"]

    def get(self, path: str, **query: str) -> Any:
        answer = orjson.loads(self.raw("GET", path, **query).body)
        assert answer["code"] == 0, answer
        return answer["data"]

    def token(self, **claims: Any) -> str:
        now = int(self.time)
        return "Bearer " + jwt_hs256({"iss": "k", "exp": now + 1800, "nbf": now - 5, **claims}, "s")

    def session(self) -> str:
        return str(self.post("/v1/videos/identify-face", {"video_url": "https://e.com/v.mp4"})["session_id"])


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


def test_credentials(vendor: Vendor) -> None:
    """An API key and a signed token are accepted; everything else is 401 with its own code."""
    now = int(vendor.time)
    assert vendor.code("GET", AVATAR) == (200, 0)
    assert vendor.code("GET", AVATAR, authorization=vendor.token()) == (200, 0)
    assert vendor.code("GET", AVATAR, authorization=None) == (401, 1001)
    assert vendor.code("GET", AVATAR, authorization="Bearer api-key-kling-x") == (401, 1002)
    assert vendor.code("GET", AVATAR, authorization="Basic k") == (401, 1002)
    assert vendor.code("GET", AVATAR, authorization="Bearer a.b.c") == (401, 1002)
    assert vendor.code("GET", AVATAR, authorization=vendor.token(iss="other")) == (401, 1002)
    assert vendor.code("GET", AVATAR, authorization=vendor.token()[:-3] + "AAA") == (401, 1002)
    assert vendor.code("GET", AVATAR, authorization=vendor.token(nbf=now + 2)) == (401, 1003)
    assert vendor.code("GET", AVATAR, authorization=vendor.token(exp=now)) == (401, 1004)
    assert vendor.code("GET", "/tasks", authorization=vendor.token(), task_ids="1") == (401, 1002)


def test_addresses_that_are_none(vendor: Vendor) -> None:
    """An unknown path is the framework's own 404 without a code; a wrong method is 1202."""
    answer = vendor.raw("GET", "/v1/nothing")
    assert answer.status == 404
    assert "code" not in orjson.loads(answer.body)
    assert vendor.code("POST", "/tasks", {}) == (404, 1202)


@pytest.mark.parametrize(
    "body",
    [
        {"image": IMAGE},
        {**BODY, "audio_id": "1"},
        {"image": IMAGE, "audio_id": "1"},
        {"sound_file": SOUND},
        {**BODY, "image": "data:image/png;base64," + b64(png(320, 320))},
        {**BODY, "image": b64(png(320, 320))[:-3]},
        {**BODY, "image": b64(png(200, 320))},
        {**BODY, "image": b64(png(300, 900))},
        {**BODY, "image": b64(b"GIF89a" + bytes(40))},
        {**BODY, "sound_file": b64(wav(1.0))},
        {**BODY, "sound_file": b64(wav(301.0, rate=100))},
        {**BODY, "sound_file": b64(png(320, 320))},
        {**BODY, "sound_file": b64(b"ID3" + bytes(5 * 1024 * 1024))},
        {**BODY, "image": b64(b"\xff\xd8\xff" + bytes(10 * 1024 * 1024))},
        {**BODY, "prompt": "x" * 2501},
        {**BODY, "mode": "ultra"},
        {**BODY, "watermark_info": True},
        {**BODY, "external_task_id": 7},
    ],
)
def test_bad_bodies(vendor: Vendor, body: dict[str, Any]) -> None:
    """Exactly one sound, bare base64, published types, sizes, sides and lengths: else 400 with 1201, and no task."""
    assert vendor.code("POST", AVATAR, body) == (400, 1201)
    assert vendor.world.tasks(vendor.account) == []


def test_files_in_the_body(vendor: Vendor) -> None:
    """A picture and a sound as bare base64 make a task as long as the sound, charged by its length."""
    body = {"image": b64(png(320, 320)), "sound_file": b64(wav(5.0)), "mode": "pro", "prompt": ""}
    data = vendor.post(AVATAR, body)
    assert data["task_status"] == "submitted"
    assert data["task_info"] == {}
    task = vendor.world.tasks(vendor.account)[0]
    assert task.order is not None
    assert (task.order.seconds, task.cost, vendor.account.credits) == (5.0, 4.0, 9996.0)


@pytest.mark.parametrize("sound", SOUNDS)
def test_a_sound_in_the_body_is_as_long_as_its_frames(
    vendor: Vendor, sound: Callable[[float], bytes]
) -> None:
    """Every format's length is measured: 2 to 300 seconds make a video, charged for as long; others make none."""
    for seconds in (0.5, 1.7, 301.0):
        if len(sound(seconds)) < 5 * 1024 * 1024:  # else its size is refused, not its length
            answer = vendor.raw("POST", AVATAR, {**BODY, "sound_file": b64(sound(seconds))})
            assert (answer.status, b"duration" in answer.body) == (400, True)
    assert vendor.world.tasks(vendor.account) == []
    for seconds in (2.0, 30.0):
        vendor.post(AVATAR, {**BODY, "sound_file": b64(sound(seconds))})
        task = vendor.world.tasks(vendor.account)[-1]
        assert task.order is not None
        assert task.order.seconds == pytest.approx(seconds, abs=0.05)
        assert task.cost == pytest.approx(0.4 * seconds, abs=0.05)


def test_a_sound_of_lips_in_the_body_is_as_long_as_its_frames(vendor: Vendor) -> None:
    """Of 60 seconds at most, and what is said to be its end lies within it."""
    session = vendor.session()
    made = _lips(session, sound_file=b64(mp3(6.0)))
    assert vendor.post(LIPS, made)["task_status"] == "submitted"
    for wrong in (
        {"sound_file": b64(mp3(61.0))},
        {"sound_file": b64(m4a(61.0))},
        {"sound_file": b64(mp3(3.0)), "sound_end_time": 4000},
    ):
        assert vendor.code("POST", LIPS, _lips(session, **wrong)) == (400, 1201)


@pytest.mark.parametrize(
    "data",
    [
        b"ID3\x04\0\0\0\0\x7f\x7f" + bytes(90000),
        b"\xff\xfb\x90\x00" + bytes(9),
        b"\xff\xf1\x50\x80\0\0\0" + bytes(90000),
        _box(b"ftyp", b"M4A \0\0\0\0") + _box(b"mdat", bytes(90000)),
        _box(b"ftyp", b"M4A \0\0\0\0") + _box(b"moov", _box(b"mvhd", b"")),
        _box(b"ftyp", b"M4A \0\0\0\0") + _box(b"moov", _box(b"mvhd", bytes(100))),
        _box(b"ftyp", b"M4A \0\0\0\0") + b"\0\0\0\x03moov" + bytes(90000),
        b"RIFF\0\0\0\0WAVEdata\xff\xff\0\0" + bytes(90000),
        b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0\0\0",
    ],
)
def test_a_sound_that_only_begins_like_one(vendor: Vendor, data: bytes) -> None:
    """Without a frame, a header or an end in sight it is refused, and no task is made."""
    assert vendor.code("POST", AVATAR, {**BODY, "sound_file": b64(data)}) == (400, 1201)
    assert vendor.world.tasks(vendor.account) == []


def test_a_sound_in_fragments_counts_by_its_size(vendor: Vendor) -> None:
    """A header that was written before the sound does not tell its length: it is taken for 128 kbit/s."""
    header = _box(b"moov", _box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 0)))
    data = _box(b"ftyp", b"M4A \0\0\0\0") + header + _box(b"mdat", bytes(80_000))
    vendor.post(AVATAR, {**BODY, "sound_file": b64(data)})
    order = vendor.world.tasks(vendor.account)[-1].order
    assert order is not None
    assert order.seconds == pytest.approx(5.0, abs=0.1)


def test_a_task_from_start_to_end(vendor: Vendor) -> None:
    """submitted, processing, succeed, under either id, with text for the numbers; and by /tasks ``succeeded``."""
    made = vendor.post(AVATAR, {**BODY, "external_task_id": "job-42", "watermark_info": {"enabled": True}})
    seen = []
    for _ in range(3):
        seen.append(vendor.get(f"{AVATAR}/job-42")["task_status"])
        vendor.time += 1.0
    assert seen == ["submitted", "processing", "succeed"]
    found = vendor.get(f"{AVATAR}/{made['task_id']}")
    assert found["final_unit_deduction"] == "4"
    assert found["task_result"]["videos"][0]["duration"] == "10.000"
    assert found["task_info"] == {"external_task_id": "job-42"}
    (row,) = vendor.get("/tasks", external_task_ids="job-42,nobody")
    assert (row["id"], row["status"], row["external_id"]) == (made["task_id"], "succeeded", "job-42")
    assert row["billing"] == [{"charge_type": "unit", "package_type": "video", "amount": "4"}]


def test_an_external_id_is_used_once(vendor: Vendor) -> None:
    """The second task with an id is refused, for ever and for every product; an empty one is none."""
    vendor.post(AVATAR, {**BODY, "external_task_id": "x"})
    vendor.time += 1000
    before = vendor.account.credits
    answer = vendor.raw("POST", AVATAR, {**BODY, "external_task_id": "x"})
    assert b"already exists" in answer.body
    assert answer.status == 400
    assert vendor.account.credits == before
    for _ in range(2):
        vendor.post(AVATAR, {**BODY, "external_task_id": ""})


def test_a_slot_is_held_to_the_end(vendor: Vendor) -> None:
    """The cap counts unfinished videos of both products; a failure gives the slot back too."""
    vendor.account.max_running = 1
    vendor.post(AVATAR, {**BODY, "prompt": "[fail]"})
    assert vendor.code("POST", AVATAR, BODY) == (429, 1303)
    vendor.time += 1.0
    assert vendor.code("POST", AVATAR, BODY) == (429, 1303)
    vendor.time += 1.0
    assert vendor.code("POST", AVATAR, BODY) == (200, 0)


def test_money_and_moderation(vendor: Vendor) -> None:
    """No units is 429 with 1102; a policy refusal is 1301; moderation may come late, as a failed task's text."""
    vendor.account.credits = 1.0
    assert vendor.code("POST", AVATAR, BODY) == (429, 1102)
    vendor.account.credits = 100.0
    assert vendor.code("POST", AVATAR, {**BODY, "prompt": "[policy]"}) == (400, 1301)
    made = vendor.post(AVATAR, {**BODY, "prompt": "[moderation]"})
    vendor.time += 10
    found = vendor.get(f"{AVATAR}/{made['task_id']}")
    assert (found["task_status"], "risk control" in found["task_status_msg"]) == ("failed", True)


def test_lists_and_batches(vendor: Vendor) -> None:
    """Newest first, pages without a total, only the path's own product; /tasks takes 1 to 20 ids and skips unknown."""
    ids = [vendor.post(AVATAR, BODY)["task_id"] for _ in range(5)]
    lips = vendor.post(LIPS, _lips(vendor.session()))["task_id"]
    assert [row["task_id"] for row in vendor.get(AVATAR, pageNum="1", pageSize="3")] == ids[:1:-1]
    assert [row["task_id"] for row in vendor.get(AVATAR, pageNum="2", pageSize="3")] == ids[1::-1]
    assert vendor.get(AVATAR, pageNum="3", pageSize="3") == []
    assert [row["task_id"] for row in vendor.get(LIPS)] == [lips]
    assert vendor.code("GET", AVATAR, pageSize="501") == (400, 1200)
    assert vendor.code("GET", AVATAR, pageNum="1001") == (400, 1200)
    assert [row["id"] for row in vendor.get("/tasks", task_ids=f"{ids[0]},9,{lips}")] == [ids[0], lips]
    assert vendor.get("/tasks", task_ids="9") == []
    assert vendor.code("GET", "/tasks") == (400, 1201)
    assert vendor.code("GET", "/tasks", task_ids=",".join("123456789012345678901")) == (400, 1201)
    assert vendor.code("GET", f"{LIPS}/{ids[0]}") == (400, 1201)
    assert vendor.code("GET", f"{AVATAR}/{lips}") == (400, 1201)


def test_speech_drives_an_avatar_for_thirty_days(vendor: Vendor) -> None:
    """The answer is the speech; its id makes a video of its length, until it is gone."""
    body = {"text": "good morning to all of you out there", "voice_id": "AOT", "voice_language": "en"}
    found = vendor.post("/v1/audio/tts", body)
    audio = found["task_result"]["audios"][0]
    assert found["task_status"] == "succeed"
    vendor.post(AVATAR, {"image": IMAGE, "audio_id": audio["id"]})
    order = vendor.world.tasks(vendor.account)[-1].order
    assert order is not None
    assert (order.text, f"{order.seconds:.3f}") == (body["text"], audio["duration"])
    vendor.time += 31 * 86400
    assert vendor.code("POST", AVATAR, {"image": IMAGE, "audio_id": audio["id"]}) == (400, 1201)
    answer = vendor.raw("POST", "/v1/audio/tts", {**body, "voice_language": "zh"})
    assert b"Voice id not found" in answer.body
    assert vendor.code("POST", "/v1/audio/tts", {**body, "text": ""}) == (400, 1201)


def _lips(session: str, **face: Any) -> dict[str, Any]:
    chosen = {
        "face_id": "0",
        "sound_file": SOUND,
        "sound_start_time": 0,
        "sound_end_time": 4000,
        "sound_insert_time": 0,
    }
    return {"session_id": session, "face_choose": [{**chosen, **face}]}


def test_lip_sync(vendor: Vendor) -> None:
    """A session's face speaks; the answer tells the parent video and hides the external id, but /tasks shows it."""
    made = vendor.post(AVATAR, BODY)
    vendor.time += 10
    video = vendor.get(f"{AVATAR}/{made['task_id']}")["task_result"]["videos"][0]["id"]
    session = vendor.post("/v1/videos/identify-face", {"video_id": video, "video_url": ""})["session_id"]
    task = vendor.post(LIPS, {**_lips(session), "external_task_id": "lips-1"})
    info = vendor.get(f"{LIPS}/{task['task_id']}")["task_info"]
    assert (info["parent_video"]["id"], "external_task_id" in info) == (video, False)
    assert vendor.code("GET", f"{LIPS}/lips-1") == (400, 1201)
    assert vendor.get("/tasks", external_task_ids="lips-1")[0]["id"] == task["task_id"]
    for wrong in (
        {"face_id": "1"},
        {"sound_end_time": 1999},
        {"sound_end_time": 99_000},
        {"sound_volume": 3},
    ):
        assert vendor.code("POST", LIPS, _lips(session, **wrong)) == (400, 1201)
    assert vendor.code("POST", LIPS, _lips("9")) == (400, 1201)
    assert vendor.code("POST", "/v1/videos/identify-face", {}) == (400, 1201)


def test_costs(vendor: Vendor) -> None:
    """Wrapped twice, both times required, once a second; an account without packs has no list at all."""
    query = {"start_time": "1", "end_time": "2"}
    found = vendor.get("/account/costs", **query)
    assert (found["code"], found["resource_pack_subscribe_infos"][0]["remaining_quantity"]) == (0, 10_000.0)
    assert vendor.code("GET", "/account/costs", **query) == (429, 1302)
    vendor.time += 1.0
    vendor.account.switches["packs"] = False
    assert "resource_pack_subscribe_infos" not in vendor.get("/account/costs", **query)
    assert vendor.code("GET", "/account/costs", start_time="1") == (400, 1200)


def test_callbacks_are_signed_when_there_is_a_secret(vendor: Vendor) -> None:
    """Every status has its event; with a secret it verifies, without one there are no signature headers."""
    secret = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
    made = vendor.post(AVATAR, {**BODY, "callback_url": "http://127.0.0.1:9/x", "external_task_id": "e"})
    task = vendor.world.task(vendor.account, made["task_id"])
    assert task is not None
    for status, word in (
        (Status.QUEUED, "submitted"),
        (Status.RUNNING, "processing"),
        (Status.SUCCEEDED, "succeed"),
    ):
        vendor.time += 0.8
        plain = FAKE.callback(task, status, vendor.world)
        assert plain is not None
        assert not [name for name in plain.headers if name.startswith("webhook")]
        event = FORMAT.parse(plain.headers, plain.body, now=vendor.time)
        assert (event.task_id, event.raw_status, event.marker) == (made["task_id"], word, "e")
    vendor.account.switches.update(webhook_secret=secret, callback_copies=2, callback_lost=("processing",))
    signed = FAKE.callback(task, Status.SUCCEEDED, vendor.world)
    assert signed is not None
    assert signed.copies == 2
    assert FORMAT.parse(signed.headers, signed.body, now=vendor.time, secret=secret).signed
    assert FAKE.callback(task, Status.RUNNING, vendor.world) is None
    test = FAKE.console_test(vendor.account, "http://127.0.0.1:9/x", vendor.world)
    event = FORMAT.parse(test.headers, test.body, now=vendor.time, secret=secret)
    assert (event.status, event.raw_status) == (Status.QUEUED, "submitted")


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
    st.sampled_from(
        [
            IMAGE,
            "0",
            b64(b"RIFF" + bytes(4) + b"WAVE"),
            b64(png(1, 1))[:40],
            "http://[",
            "http://sandbox.invalid/x",
        ]
    ),
    st.lists(st.dictionaries(st.sampled_from(["face_id", "sound_file"]), st.text(max_size=5)), max_size=2),
)
_FIELDS = [
    *(
        "image",
        "sound_file",
        "audio_id",
        "prompt",
        "mode",
        "watermark_info",
        "callback_url",
        "external_task_id",
    ),
    *(
        "text",
        "voice_id",
        "voice_language",
        "voice_speed",
        "video_id",
        "video_url",
        "session_id",
        "face_choose",
    ),
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from([AVATAR, LIPS, "/v1/audio/tts", "/v1/videos/identify-face"]),
    body=st.dictionaries(st.sampled_from(_FIELDS), _VALUES) | st.integers(0, 9),
    token=st.none()
    | st.text(max_size=20)
    | st.sampled_from(["Bearer k", "Bearer e30.e30.e30", "Bearer W10.W10.W10"]),
)
def test_nothing_a_client_sends_breaks_it(vendor: Vendor, path: str, body: Any, token: str | None) -> None:
    """Any body and any credentials get an answer in one of the vendor's shapes."""
    answer = vendor.raw("POST", path, body, authorization=token)
    found = orjson.loads(answer.body)
    assert isinstance(found["code"], int)
    assert (answer.status == 200) == (found["code"] == 0)
