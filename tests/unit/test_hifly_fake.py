"""The HiFly fake by calling it: no sockets, and a clock that is a number."""

from __future__ import annotations

import attrs
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeAccount, FakeFailure, FakeRequest, speech_seconds
from avatarkit.providers.hifly.fake import FAKE, public_id
from avatarkit.sandbox.world import SandboxWorld

AVATAR, VOICE = public_id("avatar", 1), public_id("voice", 1)
TTS = {"voice": VOICE, "avatar": AVATAR, "text": "hello world", "title": "job"}


_FIELDS = [
    "title",
    "voice",
    "avatar",
    "text",
    "video_url",
    "image_url",
    "audio_url",
    "file_id",
    "audio_file_id",
    "video_file_id",
    "image_file_id",
    "voice_type",
    "languages",
    "model",
    "aigc_flag",
    "pipeline",
    "rate",
    "volume",
    "pitch",
    "file_extension",
    "st_show",
    "st_font_size",
    "st_primary_color",
    "st_font_name",
]
_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
    st.sampled_from(
        [VOICE, AVATAR, "8", "1.0", "https://e.com/a.mp4", "http://[", "http://sandbox.invalid/x"]
    ),
    st.lists(st.integers(0, 9), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2),
)
_PATHS = [
    "/avatar/create_by_video",
    "/avatar/create_by_image",
    "/voice/create",
    "/voice/edit",
    "/video/create_by_audio",
    "/video/create_by_tts",
    "/video/create_by_image",
    "/audio/create_by_tts",
    "/tool/create_upload_url",
]


class Vendor:
    """The fake, its world and one account, with short ways to call it."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.world = SandboxWorld(now=lambda: self.time, fakes={"hifly": FAKE})
        self.account = FakeAccount(provider="hifly", key="k", credits=10_000.0)
        self.world.add_account(self.account)

    def raw(self, method, path, *, json=None, query=None, headers=None, body=None):
        sent = {"authorization": "Bearer k", "content-type": "application/json", **(headers or {})}
        payload = orjson.dumps(json) if body is None else body
        return FAKE.handle(
            FakeRequest(method=method, path=path, query=query or {}, headers=sent, body=payload), self.world
        )

    def post(self, path, json):
        return orjson.loads(self.raw("POST", path, json=json).body)

    def get(self, path, **query):
        return orjson.loads(self.raw("GET", path, query=query).body)

    def task(self, task_id):
        return self.world.find_task(task_id)

    def uploaded(self, extension, size=1000):
        slot = self.post("/tool/create_upload_url", {"file_extension": extension})
        file = self.world.files[slot["file_id"]]
        file.uploaded, file.size = True, size
        return slot["file_id"]


@pytest.fixture
def vendor():
    return Vendor()


@pytest.mark.parametrize(
    ("variant", "status", "body"),
    [("text", 401, b"Unauthorized"), ("empty", 401, b""), ("json", 401, None), ("ok", 200, None)],
)
def test_a_wrong_token_is_answered_in_each_documented_or_seen_form(vendor, variant, status, body):
    """A bad bearer token is 401 with text, nothing or code 2003, or HTTP 200 with code 2003."""
    vendor.world.switches["hifly", "auth_failure"] = variant
    answer = vendor.raw("GET", "/account/credit", headers={"authorization": "Bearer wrong"})
    assert answer.status == status
    assert answer.body == body if body is not None else orjson.loads(answer.body)["code"] == 2003


@pytest.mark.parametrize("header", ["", "k", "Basic k", "Bearer", "Bearer "])
def test_only_the_bearer_scheme_with_the_token_gets_in(vendor, header):
    """Anything but ``Bearer <token>`` is refused."""
    assert vendor.raw("GET", "/account/credit", headers={"authorization": header}).status == 401


def test_credit_is_a_whole_number_in_a_flat_envelope(vendor):
    """``left`` is an int beside ``code``, not below ``data``."""
    vendor.account.credits = 12.7
    answer = vendor.get("/account/credit")
    assert (answer["code"], answer["message"], answer["left"]) == (0, "", 12)
    assert answer["request_id"]


def test_a_task_goes_from_1_to_2_to_3_by_the_clock_and_says_video_url_with_a_capital_u(vendor):
    """Status follows the clock, and the result is in ``video_Url`` with whole seconds of duration."""
    task_id = vendor.post("/video/create_by_tts", {**TTS, "text": "你好" * 9})["task_id"]
    assert len(task_id) == 22
    first = vendor.get("/video/task", task_id=task_id)
    assert first["status"] == 1
    assert "video_Url" not in first
    vendor.time += 0.3
    assert vendor.get("/video/task", task_id=task_id)["status"] == 2
    task = vendor.task(task_id)
    task.result = vendor.world.add_result(task, extension="mp4", content_type="video/mp4")
    vendor.time += 1.5
    done = vendor.get("/video/task", task_id=task_id)
    assert done["status"] == 3
    assert done["video_Url"].startswith(vendor.world.files_url)
    assert done["duration"] == 4
    assert type(done["duration"]) is int


@pytest.mark.parametrize(("setting", "shown"), [("null", None), ("empty", "")])
def test_before_the_end_the_url_can_be_null_or_empty(vendor, setting, shown):
    """The switch ``pending_url`` shows the other two forms of "not yet"."""
    vendor.account.switches["pending_url"] = setting
    task_id = vendor.post("/video/create_by_tts", TTS)["task_id"]
    assert vendor.get("/video/task", task_id=task_id)["video_Url"] == shown


@pytest.mark.parametrize(
    "change",
    [
        {"text": ""},
        {"text": "x" * 10_001},
        {"text": "a <b>bold</b> word"},
        {"text": 5},
        {"voice": None},
        {"avatar": ""},
        {"title": "x" * 21},
        {"title": 7},
        {"aigc_flag": True},
        {"aigc_flag": 3},
        {"st_show": True},
        {"st_show": "1"},
        {"st_font_size": "100"},
        {"st_primary_color": "red"},
        {"st_outline_color": "#ff00"},
        {"st_primary_color": "0xff0000"},
    ],
)
def test_text_driven_video_refuses_bad_parameters_with_11(vendor, change):
    """Every documented limit of the text-driven video is enforced, and nothing is charged."""
    assert vendor.post("/video/create_by_tts", {**TTS, **change})["code"] == 11
    assert vendor.account.credits == 10_000
    assert vendor.world.all_tasks == {}


def test_text_that_only_looks_a_little_like_a_tag_is_fine(vendor):
    """A comparison sign is no HTML, 20 Chinese characters are a title, 10,000 characters a text."""
    body = {**TTS, "title": "数" * 20, "text": "1 < 2 and 3 > 2 " + "x" * 9_984}
    assert vendor.post("/video/create_by_tts", body)["code"] == 0


def test_a_subtitle_is_ordered_only_when_it_is_switched_on(vendor):
    """``st_show`` 1 orders the style without its prefix; without it the style is checked and dropped."""
    style = {"st_font_size": 80, "st_primary_color": "#ff0000"}
    shown = vendor.post("/video/create_by_tts", {**TTS, **style, "st_show": 1})["task_id"]
    hidden = vendor.post("/video/create_by_tts", {**TTS, **style})["task_id"]
    assert vendor.task(shown).order.subtitle == {
        "font_size": 80,
        "primary_color": "#ff0000",
        "show": 1,
    }
    assert vendor.task(hidden).order.subtitle is None


def test_unknown_avatar_and_voice_are_14(vendor):
    """An id nobody owns is "resource not found"."""
    assert vendor.post("/video/create_by_tts", {**TTS, "voice": "nobody"})["code"] == 14
    assert vendor.post("/video/create_by_tts", {**TTS, "avatar": "nobody"})["code"] == 14


@pytest.mark.parametrize(
    ("path", "body", "bad", "code"),
    [
        ("/avatar/create_by_video", {}, "mp3", 2014),
        ("/avatar/create_by_image", {}, "mp4", 2016),
        ("/voice/create", {"title": "v", "voice_type": 8}, "mp4", 2013),
        ("/video/create_by_audio", {"avatar": AVATAR}, "png", 2013),
    ],
)
def test_a_file_must_be_there_and_of_the_right_type_and_size(vendor, path, body, bad, code):
    """Unknown id 14, PUT never happened 2013/2014/2016, wrong type 2012, too big 2011, both or neither 11."""
    good = {2014: "mp4", 2016: "png", 2013: "mp3"}[code]
    assert vendor.post(path, body)["code"] == 11
    url = {2014: "video_url", 2016: "image_url", 2013: "audio_url"}[code]
    both = {**body, "file_id": vendor.uploaded(good), url: "https://example.com/a"}
    assert vendor.post(path, both)["code"] == 11
    assert vendor.post(path, {**body, "file_id": "unknown"})["code"] == 14
    never = vendor.post("/tool/create_upload_url", {"file_extension": good})["file_id"]
    assert vendor.post(path, {**body, "file_id": never})["code"] == code
    assert vendor.post(path, {**body, "file_id": vendor.uploaded(bad)})["code"] == 2012
    assert vendor.post(path, {**body, "file_id": vendor.uploaded(good, 501 * 1024**2)})["code"] == 2011
    assert vendor.post(path, {**body, "file_id": vendor.uploaded(good)})["code"] == 0


def test_foreign_urls_are_taken_on_trust_unless_told_otherwise(vendor):
    """A foreign URL is accepted without a look; with ``strict_urls`` it counts as unreachable."""
    body = {"video_url": "https://cdn.example.com/a.mp4"}
    assert vendor.post("/avatar/create_by_video", body)["code"] == 0
    assert vendor.post("/avatar/create_by_video", {"video_url": "https://e.com/a.mp3"})["code"] == 2012
    assert vendor.post("/avatar/create_by_video", {"video_url": "ftp://e.com/a.mp4"})["code"] == 11
    assert vendor.post("/avatar/create_by_video", {"video_url": "https://e.com/" + "a" * 490})["code"] == 11
    vendor.account.switches["strict_urls"] = True
    assert vendor.post("/avatar/create_by_video", body)["code"] == 2014


def test_the_same_video_url_is_the_same_avatar_in_a_new_task(vendor):
    """Two clones of one URL are two tasks that yield one avatar; another URL yields another."""
    tasks = [
        vendor.post("/avatar/create_by_video", {"video_url": f"https://e.com/{name}.mp4"})["task_id"]
        for name in ("a", "a", "b")
    ]
    vendor.time += 10
    avatars = [vendor.get("/avatar/task", task_id=task)["avatar"] for task in tasks]
    assert len(set(tasks)) == 3
    assert avatars[0] == avatars[1] != avatars[2]


def test_a_cloned_avatar_can_be_used_only_when_its_task_succeeded(vendor):
    """Before that it is 14; a failed clone never becomes usable."""
    file_id = vendor.uploaded("mp4")
    task_id = vendor.post("/avatar/create_by_video", {"file_id": file_id})["task_id"]
    avatar = vendor.task(task_id).yields
    assert vendor.post("/video/create_by_tts", {**TTS, "avatar": avatar})["code"] == 14
    vendor.time += 10
    task = vendor.post("/video/create_by_tts", {**TTS, "avatar": avatar})["task_id"]
    assert vendor.task(task).order.face is vendor.world.files[file_id]
    vendor.world.fail_next("*", FakeFailure(), 1)
    failed = vendor.post("/avatar/create_by_video", {"file_id": file_id})["task_id"]
    vendor.time += 10
    assert vendor.get("/avatar/task", task_id=failed)["status"] == 4
    bad = vendor.task(failed).yields
    assert vendor.post("/video/create_by_tts", {**TTS, "avatar": bad})["code"] == 14


def test_a_failed_task_carries_status_4_and_a_code_or_code_0(vendor):
    """Both forms of failure exist: status 4 with code != 0, and with code 0."""
    vendor.world.fail_next("POST /avatar/create_by_video", FakeFailure(), 1)
    task_id = vendor.post("/avatar/create_by_video", {"video_url": "https://e.com/a.mp4"})["task_id"]
    vendor.time += 10
    failed = vendor.get("/avatar/task", task_id=task_id)
    assert (failed["status"], failed["code"], failed["avatar"]) == (4, 2015, "")
    vendor.account.switches["failed_code_zero"] = True
    silent = vendor.get("/avatar/task", task_id=task_id)
    assert (silent["status"], silent["code"], silent["message"]) == (4, 0, "")


def test_each_task_query_knows_only_its_own_kinds(vendor):
    """``video/task`` serves videos and sounds; other kinds, other accounts and unknown ids are 14."""
    sound = vendor.post("/audio/create_by_tts", {"voice": VOICE, "text": "hi"})["task_id"]
    clone = vendor.post("/avatar/create_by_video", {"video_url": "https://e.com/a.mp4"})["task_id"]
    assert vendor.get("/video/task", task_id=sound)["code"] == 0
    assert vendor.get("/video/task", task_id=clone)["code"] == 14
    assert vendor.get("/voice/task", task_id=sound)["code"] == 14
    assert vendor.get("/video/task", task_id="unknown")["code"] == 14
    assert vendor.get("/video/task")["code"] == 11
    vendor.world.add_account(FakeAccount(provider="hifly", key="other"))
    other = vendor.raw(
        "GET", "/video/task", query={"task_id": sound}, headers={"authorization": "Bearer other"}
    )
    assert orjson.loads(other.body)["code"] == 14


def test_voice_create_wants_type_8_a_title_and_a_known_language(vendor):
    """voice_type other than the integer 8, no title, a long title or ``ja`` are 11; a celebrity is 1011."""
    body = {"title": "mine", "voice_type": 8, "file_id": vendor.uploaded("wav")}
    wrong = ({"voice_type": 20}, {"voice_type": "8"}, {"voice_type": None}, {"title": ""}, {"title": None})
    for change in (*wrong, {"title": "x" * 21}, {"languages": "ja"}, {"languages": ["zh"]}):
        assert vendor.post("/voice/create", {**body, **change})["code"] == 11, change
    assert vendor.post("/voice/create", {**body, "languages": "jp"})["code"] == 0
    assert vendor.post("/voice/create", {**body, "title": "a [celebrity]"})["code"] == 1011


def test_a_cloned_voice_is_listed_edited_and_used(vendor):
    """It appears under kind 1 once finished, with its edits, which then shape what is rendered."""
    body = {"title": "mine", "voice_type": 8, "file_id": vendor.uploaded("wav")}
    task_id = vendor.post("/voice/create", body)["task_id"]
    assert vendor.get("/voice/list")["data"] == []
    vendor.time += 10
    voice = vendor.get("/voice/task", task_id=task_id)["voice"]
    edit = {"voice": voice, "rate": "1.2", "volume": "0.5", "pitch": "2.0"}
    assert vendor.post("/voice/edit", edit)["code"] == 0
    rows = vendor.get("/voice/list")["data"]
    assert rows == [
        {"voice": voice, "title": "mine", "type": 8, "rate": "1.2", "volume": "0.5", "pitch": "2.0"}
    ]
    order = vendor.task(vendor.post("/video/create_by_tts", {**TTS, "voice": voice})["task_id"]).order
    assert (order.rate, order.volume, order.pitch) == (1.2, 0.5, 2.0)


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 1.0},
        {"rate": None},
        {"rate": "0.4"},
        {"rate": "2.1"},
        {"rate": "nan"},
        {"rate": "fast"},
        {"volume": "0.05"},
        {"pitch": "-1"},
        {"pitch": "1e0"},
    ],
)
def test_voice_edit_takes_only_decimal_strings_in_range(vendor, change):
    """Numbers, missing fields and values out of range are 11."""
    body = {"voice": VOICE, "rate": "1.0", "volume": "1.0", "pitch": "1.0", **change}
    assert vendor.post("/voice/edit", body)["code"] == 11


def test_lists_have_no_total_and_opposite_default_kinds(vendor):
    """avatar/list defaults to the public kind 2 and refuses 1; voice/list defaults to the own kind 1."""
    page = vendor.get("/avatar/list")
    assert set(page) == {"code", "message", "data", "request_id"}
    assert [row["avatar"] for row in page["data"]] == [public_id("avatar", n) for n in range(1, 21)]
    assert len(vendor.get("/avatar/list", page="3")["data"]) == 5
    assert vendor.get("/avatar/list", page="4")["data"] == []
    assert vendor.get("/avatar/list", kind="1")["code"] == 11
    assert vendor.get("/voice/list")["data"] == []
    assert len(vendor.get("/voice/list", kind="2", size="100")["data"]) == 30
    for query in ({"page": "0"}, {"size": "x"}, {"size": "-1"}, {"kind": "3"}, {"page": "²"}):
        assert vendor.get("/voice/list", **query)["code"] == 11, query


def test_the_upload_answer_has_no_code(vendor):
    """``tool/create_upload_url`` answers four fields; an extension with a dot, or none, is 11."""
    slot = vendor.post("/tool/create_upload_url", {"file_extension": "mov"})
    assert set(slot) == {"upload_url", "content_type", "file_id", "request_id"}
    assert slot["content_type"] == "video/quicktime"
    assert "%2F" in slot["upload_url"]
    for extension in (".mp4", "", None, 4, "../etc"):
        assert vendor.post("/tool/create_upload_url", {"file_extension": extension})["code"] == 11


def test_works_are_charged_when_accepted_by_their_estimated_length(vendor):
    """Text costs 10 a second, foreign sound 9 a second for ten seconds, speech 1 a second, a picture 350."""
    vendor.post("/video/create_by_tts", {**TTS, "text": "好" * 9})
    assert vendor.account.credits == 10_000 - 20
    vendor.post("/video/create_by_audio", {"avatar": AVATAR, "audio_url": "https://e.com/a.mp3"})
    assert vendor.account.credits == 9_980 - 90
    vendor.post("/audio/create_by_tts", {"voice": VOICE, "text": "好" * 9})
    assert vendor.account.credits == 9_890 - 2
    vendor.post("/avatar/create_by_image", {"image_url": "https://e.com/a.png"})
    assert vendor.account.credits == 9_888 - 350
    vendor.account.credits = 19.0
    assert vendor.post("/video/create_by_tts", {**TTS, "text": "好" * 9})["code"] == 1002


def test_caps_refuse_works_until_earlier_ones_end(vendor):
    """1001 at the running cap, 1015 at the submitted cap, clones not counted, free again after the end."""
    vendor.account.max_running = 1
    assert vendor.post("/video/create_by_tts", TTS)["code"] == 0
    assert vendor.post("/video/create_by_tts", TTS)["code"] == 1001
    assert vendor.post("/avatar/create_by_video", {"video_url": "https://e.com/a.mp4"})["code"] == 0
    vendor.account.max_submitted = 1
    assert vendor.post("/audio/create_by_tts", {"voice": VOICE, "text": "hi"})["code"] == 1015
    vendor.time += 10
    assert vendor.post("/video/create_by_tts", TTS)["code"] == 0


def test_the_second_cap_is_http_429_with_retry_after(vendor):
    """The third request in a second is refused at two a second, and one second later all is well."""
    vendor.account.requests_per_second = 2
    assert [vendor.raw("GET", "/account/credit").status for _ in range(3)] == [200, 200, 429]
    refused = vendor.raw("GET", "/account/credit")
    assert int(refused.headers["retry-after"]) >= 1
    vendor.time += 1.0
    assert vendor.raw("GET", "/account/credit").status == 200


def test_a_low_plan_is_refused_with_1005_and_1006(vendor):
    """No membership refuses creation, a lower one only the picture avatar; reading goes on."""
    vendor.account.switches["plan"] = "member"
    assert vendor.post("/avatar/create_by_image", {"image_url": "https://e.com/a.png"})["code"] == 1006
    assert vendor.post("/video/create_by_tts", TTS)["code"] == 0
    vendor.account.switches["plan"] = "none"
    assert vendor.post("/video/create_by_tts", TTS)["code"] == 1005
    assert vendor.get("/account/credit")["code"] == 0


def test_moderation_accepts_and_charges_then_fails(vendor):
    """A marked text is accepted, and its task ends with status 4 and a message about review."""
    task_id = vendor.post("/video/create_by_tts", {**TTS, "text": "bad [moderation] words"})["task_id"]
    vendor.time += 10
    failed = vendor.get("/video/task", task_id=task_id)
    assert (failed["status"], failed["code"]) == (4, 11)
    assert "审核" in failed["message"]
    assert vendor.account.credits < 10_000


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff", b"null"])
def test_a_body_that_is_no_json_object_is_11(vendor, body):
    """Broken bodies are refused in the vendor's own shape."""
    assert orjson.loads(vendor.raw("POST", "/video/create_by_tts", body=body).body)["code"] == 11


def test_unknown_paths_and_methods_are_404(vendor):
    """The vendor has no such operation."""
    assert vendor.raw("POST", "/video/delete").status == 404
    assert vendor.raw("GET", "/video/create_by_tts").status == 404


def test_photo_talk_needs_a_picture_by_file_id(vendor):
    """The undocumented photo-talk operation takes ``image_file_id``, voice and text, no avatar."""
    body = {"voice": VOICE, "text": "hi", "image_file_id": vendor.uploaded("png")}
    task_id = vendor.post("/video/create_by_image", body)["task_id"]
    assert vendor.task(task_id).order.face.content_type == "image/png"
    assert vendor.post("/video/create_by_image", {**body, "model": 2})["code"] == 11


def test_an_event_has_the_newer_form_and_clones_only_by_switch(vendor):
    """Works send type 1 with task_id and title; avatars and voices only with the switch; S0 drops task_id."""
    vendor.account.callback_url = "http://127.0.0.1/hook"
    work = vendor.task(vendor.post("/video/create_by_tts", TTS)["task_id"])
    clone_id = vendor.post("/avatar/create_by_video", {"video_url": "https://e.com/a.mp4"})["task_id"]
    clone = vendor.task(clone_id)
    vendor.time += 10
    event = orjson.loads(FAKE.callback(work, Status.SUCCEEDED, vendor.world).body)
    assert (event["type"], event["status"], event["task_id"], event["title"]) == (1, 3, work.id, "job")
    assert "request_id" not in event
    assert FAKE.callback(clone, Status.SUCCEEDED, vendor.world) is None
    vendor.account.switches.update(callback_events=True, callback_task_id=False)
    old = orjson.loads(FAKE.callback(clone, Status.SUCCEEDED, vendor.world).body)
    assert old == {"code": 0, "message": "", "status": 3, "type": 2, "avatar": clone.yields}


def test_ids_depend_on_the_seed_and_the_order_only():
    """Two fresh worlds hand out the same ids, so that a failing test can be run again."""
    first, second = Vendor(), Vendor()
    assert first.post("/video/create_by_tts", TTS) == second.post("/video/create_by_tts", TTS)


def test_speech_length_is_estimated_per_script():
    """Chinese counts by character, Latin is faster, and nothing is shorter than a second."""
    assert speech_seconds("") == 1.0
    assert speech_seconds("好" * 45) == 10.0
    assert speech_seconds("a" * 150) == 10.0


def test_requests_and_answers_are_immutable(vendor):
    """What a fake is given cannot be changed by it."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        FakeRequest(method="GET", path="/").method = "POST"


# The first draw loads Unicode tables, which a busy machine takes seconds for.
_patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@_patient
@given(path=st.sampled_from(_PATHS), body=st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=8))
def test_no_json_object_makes_the_fake_raise(path, body):
    """Whatever a client sends, the vendor's side answers HTTP 200 and a JSON object."""
    answer = Vendor().raw("POST", path, json=body)
    assert answer.status == 200
    assert isinstance(orjson.loads(answer.body), dict)


@_patient
@given(query=st.dictionaries(st.sampled_from(["page", "size", "kind", "task_id"]), st.text(max_size=12)))
def test_no_query_makes_the_fake_raise(query):
    """Lists and task queries answer any parameters."""
    vendor = Vendor()
    for path in ("/avatar/list", "/voice/list", "/video/task", "/avatar/task", "/voice/task"):
        assert vendor.raw("GET", path, query=query).status == 200
