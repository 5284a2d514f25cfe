"""The Guiji fake by calling it: no sockets, and a clock that is a number."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeAccount, FakeFailure, FakeRequest, FakeResponse
from avatarkit.providers.guiji import fake_rows
from avatarkit.providers.guiji.fake import FAKE, public_avatar, public_voice
from avatarkit.sandbox.world import SandboxWorld

AVATAR, VOICE = public_avatar(1), public_voice(1)
CONSENT = {"authorizeUrl": "https://e.com/c.mp4", "authorizeText": "I consent"}
VIDEO = {"videoName": "job", "sceneId": AVATAR, "text": "hello world", "speakerId": VOICE}
CREATE, GET = "/openapi/video/v3/simpleCreate", "/openapi/video/v2/get/"


class Vendor:
    """The fake with one account and a clock."""

    def __init__(self) -> None:
        self.now = 1_741_572_705.0
        self.world = SandboxWorld(now=lambda: self.now, fakes={"guiji": FAKE})
        self.account = FakeAccount(provider="guiji", key="AK", secret="SK", credits=1000.0)
        self.world.add_account(self.account)
        self._token = ""

    def lend(self, **changes: str) -> dict[str, Any]:
        stamp = str(int(self.now * 1000))
        sign = hashlib.md5(f"AK{stamp}SK".encode()).hexdigest()
        query = {"grant_type": "sign", "appId": "AK", "timestamp": stamp, "sign": sign, **changes}
        return self.send("GET", "/openapi/oauth/token", None, query)

    def send(self, method: str, path: str, body: Any, query: dict[str, str]) -> dict[str, Any]:
        answer = self.raw(method, path, body, query)
        assert answer.status == 200
        decoded: dict[str, Any] = orjson.loads(answer.body)
        return decoded

    def raw(self, method: str, path: str, body: Any, query: dict[str, str]) -> FakeResponse:
        request = FakeRequest(
            method=method,
            path=path,
            query=query,
            headers={"content-type": "application/json"},
            body=b"" if body is None else orjson.dumps(body),
        )
        return FAKE.handle(request, self.world)

    def token(self) -> str:
        if not self._token:
            self._token = self.lend()["data"]["access_token"]
        return self._token

    def __call__(self, path: str, body: Any = None) -> dict[str, Any]:
        method = "GET" if body is None else "POST"
        return self.send(method, path, body, {"access_token": self.token()})

    def code(self, path: str, body: Any = None) -> str:
        return str(self(path, body)["code"])

    def switch(self, **switches: Any) -> None:
        self.account.switches.update(switches)


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


def test_a_right_signature_is_lent_a_token(vendor: Vendor) -> None:
    """A UUID for 7199 seconds; codes are text."""
    answer = vendor.lend()
    assert (answer["code"], answer["success"]) == ("0", True)
    assert answer["data"]["expires_in"] == 7199
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}", answer["data"]["access_token"]
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"sign": "0" * 32}, "40002"),
        ({"sign": ""}, "40002"),
        ({"appId": "XX"}, "40002"),
        ({"timestamp": "1741572705"}, "40015"),
        ({"timestamp": "1741572705001"}, "40002"),
        ({"grant_type": "password"}, "40015"),
    ],
)
def test_a_wrong_signature_is_refused(vendor: Vendor, change: dict[str, str], code: str) -> None:
    """Each parameter counts: the signature is over exactly what was sent."""
    assert vendor.lend(**change)["code"] == code


def test_an_upper_case_signature_is_refused(vendor: Vendor) -> None:
    """Lower case is documented."""
    stamp = str(int(vendor.now * 1000))
    sign = hashlib.md5(f"AK{stamp}SK".encode()).hexdigest().upper()
    assert vendor.lend(sign=sign)["code"] == "40002"


def test_tokens_end_and_can_be_ended_early(vendor: Vendor) -> None:
    """40003 after expires_in, or after ``token_life``; 40002 for one that was never lent or was replaced."""
    assert vendor.code("/openapi/user/v2/get") == "0"
    vendor.now += 7199
    assert vendor.code("/openapi/user/v2/get") == "40003"
    vendor._token = ""
    assert vendor.code("/openapi/user/v2/get") == "0"
    vendor.switch(token_life=10)
    vendor.now += 10
    assert vendor.code("/openapi/user/v2/get") == "40003"
    vendor.switch(token_life=None, single_token=True)
    vendor.lend()
    assert vendor.code("/openapi/user/v2/get") == "40002"
    assert vendor.send("GET", "/openapi/user/v2/get", None, {})["code"] == "40002"


@pytest.mark.parametrize(("way", "status"), [("401", 401), ("text", 401), ("ok", 200)])
def test_refused_tokens_in_three_forms(vendor: Vendor, way: str, status: int) -> None:
    """HTTP 200 with a code, the same with 401, or 401 in words; other refusals stay 200."""
    vendor.world.switches["guiji", "auth_failure"] = way
    assert vendor.raw("GET", "/openapi/user/v2/get", None, {"access_token": "x"}).status == status
    assert vendor.code(GET + "-1") == "40018"


def test_a_video_from_submission_to_deletion(vendor: Vendor) -> None:
    """Negative ids, its own statuses, text durations, zone-less times in China, extra fields; gone after a day."""
    answer = vendor(CREATE, VIDEO)
    number = answer["data"]["videoId"]
    assert number < 0
    row = vendor(f"{GET}{number}")["data"]
    assert (row["synthesisStatus"], row["videoUrl"], row["durationMs"]) == (1, None, None)
    assert (row["createTime"], row["level"]) == ("2025-03-10 10:11:45", 1)
    vendor.now += 1
    assert vendor(f"{GET}{number}")["data"]["synthesisStatus"] == 2
    vendor.now += 10
    row = vendor(f"{GET}{number}")["data"]
    assert (row["synthesisStatus"], row["failReason"]) == (3, None)
    assert float(row["duration"]) == int(row["durationMs"]) / 1000
    vendor.now += 24 * 3600
    vendor._token = ""
    assert vendor.code(f"{GET}{number}") == "40018"
    assert vendor("/openapi/video/v2/pageList", {"page": 1, "size": 10})["data"]["totalRecord"] == 0


def test_lists_have_the_newest_first(vendor: Vendor) -> None:
    """Pages from 1, with the total."""
    made = [vendor(CREATE, VIDEO)["data"]["videoId"] for _ in range(5)]
    data = vendor("/openapi/video/v2/pageList", {"page": 2, "size": 2})["data"]
    assert [row["id"] for row in data["records"]] == [made[2], made[1]]
    assert (data["pageNo"], data["pageSize"], data["totalRecord"]) == (2, 2, 5)


def test_an_avatar_is_trained_and_used(vendor: Vendor) -> None:
    """A training's id is positive and is not the scene's, which comes only with success."""
    body = {"name": "anchor", "videoUrl": "https://e.com/a.mp4", "level": 1, **CONSENT}
    training = vendor("/openapi/video/v3/create/training", body)["data"]["trainingId"]
    row = vendor(f"/openapi/video/v2/training/get/{training}")["data"]
    assert training > 0
    assert (row["status"], row["sceneId"], row["title"]) == (0, None, "anchor")
    assert "authorizeStatus" not in row
    vendor.now += 10
    vendor.switch(authorize_status=True)
    row = vendor(f"/openapi/video/v2/training/get/{training}")["data"]
    assert (row["status"], row["authorizeStatus"]) == (2, 1)
    assert row["sceneId"] < 0
    assert vendor.code(CREATE, {**VIDEO, "sceneId": str(row["sceneId"])}) == "0"
    assert vendor.code(CREATE, {**VIDEO, "sceneId": str(training)}) == "40025"


def test_a_cloned_voice_is_its_own_task_and_expires(vendor: Vendor) -> None:
    """The answer is the whole voice; after its time the status is 4 and using it is 40026."""
    body = {"name": "mine", "audioUrl": "https://e.com/a.wav", **CONSENT}
    voice = vendor("/openapi/speaker/v3/clone", body)["data"]
    assert (voice["status"], voice["ttsAudition"], voice["sex"], voice["expireTime"]) == (0, "", None, None)
    vendor.now += 10
    row = vendor(f"/openapi/speaker/v2/clone/{voice['speakerId']}")["data"]
    assert (row["status"], row["languages"]) == (2, ["zh", "en"])
    expires = {"page": 1, "size": 9, "expireStartTime": row["expireTime"], "expireEndTime": row["expireTime"]}
    assert vendor("/openapi/speaker/v2/clonePageList", expires)["data"]["totalRecord"] == 1
    assert vendor("/openapi/speaker/v2/clonePageList", {**expires, "sex": 1})["data"]["totalRecord"] == 0
    speech = {"speakerId": voice["speakerId"], "content": "hello"}
    assert vendor.code("/openapi/speaker/v3/fastTts", speech) == "0"
    vendor.now += 181 * 86400
    vendor._token = ""
    assert vendor(f"/openapi/speaker/v2/clone/{voice['speakerId']}")["data"]["status"] == 4
    assert vendor.code("/openapi/speaker/v3/fastTts", speech) == "40026"


def test_public_voices_speak_of_languages_as_the_table_or_as_the_sample(vendor: Vendor) -> None:
    """Text by default, a list when switched; the last voice has expired."""
    path, page = "/openapi/speaker/v2/fastPublicPageList", {"page": 1, "size": 100}
    rows = vendor(path, page)["data"]["records"]
    assert (rows[0]["languages"], rows[-1]["status"]) == ("zh,en", 4)
    vendor.switch(languages="list")
    assert vendor(path, {**page, "sex": 1})["data"]["records"][0]["languages"] == ["zh", "en"]


@pytest.mark.parametrize(
    ("path", "change", "code"),
    [
        (CREATE, {"sceneId": int(AVATAR)}, "40015"),
        (CREATE, {"sceneId": "-1"}, "40025"),
        (CREATE, {"speakerId": None}, "40015"),
        (CREATE, {"text": ""}, "40015"),
        (CREATE, {"pn": "1"}, "40015"),
        (CREATE, {"audioUrl": "nowhere"}, "40017"),
        (CREATE, {"callbackUrl": "here"}, "40017"),
        ("/openapi/speaker/v3/clone", {"name": "n", "audioUrl": "https://e.com/a.mp3", **CONSENT}, "40011"),
        ("/openapi/speaker/v3/clone", {"name": "n", "audioUrl": "https://e.com/a.wav"}, "40015"),
        ("/openapi/video/v3/create/training", {"name": "n", "level": 1, **CONSENT}, "40014"),
        ("/openapi/video/v3/authorize", {"sceneId": AVATAR, **CONSENT}, "40015"),
        ("/openapi/video/v2/pageList", {"page": "1", "size": 10}, "40015"),
        ("/openapi/video/v2/pageList", {"page": 0, "size": 10}, "40015"),
    ],
)
def test_other_types_than_the_documented_ones_are_refused(
    vendor: Vendor, path: str, change: dict[str, Any], code: str
) -> None:
    """So that a client which sends a number for text is found out."""
    assert vendor.code(path, {**VIDEO, **change} if path == CREATE else change) == code


def test_the_package_is_counted_and_the_cap_kept(vendor: Vendor) -> None:
    """Milliseconds, clonings and characters go down; one video too many is 40019, no money 40010."""
    account = vendor("/openapi/user/v2/get")["data"]["account"]
    assert account["fastDuration"] == 1_000_000 > account["totalFastDuration"]
    vendor.account.max_running = 1
    assert vendor.code(CREATE, VIDEO) == "0"
    assert vendor.code(CREATE, VIDEO) == "40019"
    assert vendor.code("/openapi/speaker/v3/fastTts", {"speakerId": VOICE, "content": "hello"}) == "0"
    vendor.now += 10
    account = vendor("/openapi/user/v2/get")["data"]["account"]
    assert account["ttsWordsAmount"] == account["totalTtsWordsAmount"] - 5
    assert account["fastDuration"] < 1_000_000
    vendor.account.credits = 0
    assert vendor.code(CREATE, VIDEO) == "40010"
    assert vendor.code("/openapi/speaker/v3/fastTts", {"speakerId": VOICE, "content": "hello"}) == "40010"


@pytest.mark.parametrize("said", [b'{"code":"0","success":true,"message":"ok"}', b"", b"[]", b'{"code":0}'])
def test_events_of_a_request_s_own_url(vendor: Vendor, said: bytes) -> None:
    """The documented fields and the sample's; a training remembers whether its event was taken."""
    body = {"name": "anchor", "videoUrl": "https://e.com/a.mp4", "level": 1, **CONSENT}
    body["callbackUrl"] = "http://127.0.0.1:9/hook"
    training = str(vendor("/openapi/video/v3/create/training", body)["data"]["trainingId"])
    task = vendor.world.task(vendor.account, training)
    assert task is not None
    vendor.now += 10
    event = FAKE.callback(task, Status.SUCCEEDED, vendor.world)
    assert event is not None
    told = orjson.loads(event.body)
    assert (event.url, told["taskType"]) == ("http://127.0.0.1:9/hook", "video-training")
    assert told["data"]["id"] == int(training)
    assert told["data"]["createTime"] == 1741572705000
    taken = event.acknowledged(200, said)
    assert taken is said.startswith(b'{"code":"0"')
    row = vendor(f"/openapi/video/v2/training/get/{training}")["data"]
    assert row["callbackStatus"] == (1 if taken else 2)


def test_failures_have_their_own_words_and_values(vendor: Vendor) -> None:
    """A rejected training is 4, a cancelled video 6, and speech fails without a word."""
    body = {"name": "[moderation]", "videoUrl": "https://e.com/a.mp4", "level": 1, **CONSENT}
    training = vendor("/openapi/video/v3/create/training", body)["data"]["trainingId"]
    vendor.world.fail_next("*", FakeFailure(code=6), 1)
    video = vendor(CREATE, VIDEO)["data"]["videoId"]
    speech = vendor("/openapi/speaker/v3/fastTts", {"speakerId": VOICE, "content": "[fail]"})["data"]["id"]
    vendor.now += 10
    assert vendor(f"/openapi/video/v2/training/get/{training}")["data"]["status"] == 4
    assert vendor(f"{GET}{video}")["data"]["synthesisStatus"] == 6
    row = vendor(f"/openapi/speaker/v2/tts/{speech}")["data"]
    assert row["status"] == 3
    assert "reason" not in row
    task = vendor.world.task(vendor.account, str(speech))
    assert task is not None
    vendor.account.callback_url = "http://127.0.0.1:9/all"
    event = FAKE.callback(task, Status.FAILED, vendor.world)
    assert event is not None
    assert orjson.loads(event.body)["data"] == {"duration": 0, "ttsUrl": "", "id": speech, "status": 3}


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.text(max_size=8),
    st.sampled_from([AVATAR, VOICE, int(AVATAR), "https://e.com/a.wav", "http://[", 1]),
    st.lists(st.integers(0, 9), max_size=1),
)
_FIELDS = [
    "name",
    "videoUrl",
    "authorizeUrl",
    "authorizeText",
    "level",
    "compress",
    "id",
    "audioUrl",
    "sex",
    "status",
]
_FIELDS += ["sceneId", "speakerId", "text", "content", "pn", "callbackUrl", "page", "size", "expireStartTime"]
_PATHS = [CREATE, GET + "1", "/openapi/video/v3/create/training", "/openapi/speaker/v3/clone", "/nowhere"]
_PATHS += [
    "/openapi/speaker/v2/clonePageList",
    "/openapi/video/v3/authorize",
    "/openapi/speaker/v3/fastTts",
    "/",
]


def _listed(vendor: Vendor) -> bytes:
    body = {"page": 1, "size": 50}
    return vendor.raw("POST", "/openapi/video/v2/pageList", body, {"access_token": vendor.token()}).body


_MOMENTS = st.sampled_from([0.0, 0.4, 1.0, 1.5, 3.0, 90.0])
_STEPS = st.sampled_from(["make", "fail", "move", "break", "pending", "nothing"])


@settings(max_examples=60)
@given(steps=st.lists(st.tuples(_STEPS, _MOMENTS, st.integers(0, 5)), max_size=25))
def test_a_row_that_is_kept_says_what_a_new_one_would(steps: list[tuple[str, float, int]]) -> None:
    """Whatever becomes of tasks and settings: the list is the same, byte for byte, as without what was kept."""
    vendor = Vendor()
    for step, wait, number in steps:
        vendor.now += wait
        tasks = vendor.world.tasks(vendor.account)
        task = tasks[number % len(tasks)] if tasks else None
        if step in ("make", "fail"):
            vendor(CREATE, {**VIDEO, "videoName": f"[{step}]"})
        elif step == "move" and task:
            vendor.world.move(task, vendor.now + number)
        elif step == "break" and task and not task.status(vendor.now).terminal:
            task.failure = FakeFailure(code=number + 3)
        elif step == "pending":
            vendor.switch(pending_url=("missing", "null", "empty")[number % 3])
        shown = _listed(vendor)
        vendor.world.scratch("guiji").clear()
        assert _listed(vendor) == shown


def test_few_rows_are_kept_and_none_of_what_has_ended(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a sandbox does not grow by its rows, however many tasks there were."""
    monkeypatch.setattr(fake_rows, "_KEPT", 3)
    for _ in range(8):
        vendor(CREATE, VIDEO)
        _listed(vendor)
    assert 1 <= len(vendor.world.scratch("guiji")) <= 3
    vendor.now += 60
    _listed(vendor)
    assert vendor.world.scratch("guiji") == {}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(_PATHS),
    method=st.sampled_from(["GET", "POST", "PUT"]),
    body=st.dictionaries(st.sampled_from(_FIELDS), _VALUES) | _VALUES,
)
def test_nothing_a_client_sends_breaks_it(vendor: Vendor, path: str, method: str, body: Any) -> None:
    """Always an answer in the vendor's shape, or 404."""
    answer = vendor.raw(method, path, body, {"access_token": vendor.token()})
    assert answer.status in (200, 404)
    if answer.status == 200:
        assert isinstance(orjson.loads(answer.body)["code"], str)
