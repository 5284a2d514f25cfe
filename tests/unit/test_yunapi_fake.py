"""YunApi's fake: the vendor's quirks, one by one, called as plain code."""

from __future__ import annotations

import orjson
import pytest

from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeAccount, FakeFailure, FakeRequest
from avatarkit.protocol.samples import wav
from avatarkit.providers.yunapi.fake import FAKE
from avatarkit.providers.yunapi.forms import Form
from avatarkit.sandbox.world import SandboxWorld

URL = "https://media.example.com/a.mp4"


class Vendor:
    """A world with one account, and short ways to ask the fake."""

    def __init__(self):
        self.time = 1_790_000_000.0
        self.world = SandboxWorld(now=lambda: self.time, fakes={"yunapi": FAKE})
        self.account = FakeAccount(provider="yunapi", key="sk-1", credits=1000.0)
        self.world.add_account(self.account)
        self.world.on_accept = self.render

    def render(self, task):
        task.rendered_at = task.created
        if task.order is not None:
            task.result = self.world.add_result(task, extension="mp4", content_type="video/mp4")
            task.seconds = task.order.seconds

    def ask(self, method, path, body=b"", content_type="application/json", key="sk-1", **headers):
        headers = {"authorization": f"Bearer {key}", "content-type": content_type, **headers}
        return FAKE.handle(FakeRequest(method=method, path=path, headers=headers, body=body), self.world)

    def post(self, path, body, **headers):
        return self.ask("POST", path, orjson.dumps(body), **headers)

    def act(self, act, **fields):
        form = Form({"act": act, **fields})
        return orjson.loads(self.ask("POST", "/agent_api.php", form._body, form.content_type).body)

    def switch(self, **switches):
        self.account.switches.update(switches)


@pytest.fixture
def vendor():
    return Vendor()


WORK = {"avatar_url": URL, "audio_url": URL}


@pytest.mark.parametrize(
    ("envelope", "code", "done"),
    [("gateway", "success", "SUCCESS"), ("document", 0, 200), ("document200", 200, 200)],
)
def test_standard_works_speak_both_envelopes(vendor, envelope, code, done):
    """The document's object and the twins' bare id, and each form's own status."""
    vendor.switch(envelope=envelope)
    made = orjson.loads(vendor.post("/avatar/generation", WORK).body)
    assert made["code"] == code
    own = made["data"] if envelope == "gateway" else made["data"]["id"]
    assert len(own) == 32
    early = orjson.loads(vendor.ask("GET", f"/avatar/task/{own}").body)["data"]
    vendor.time += 60
    data = orjson.loads(vendor.ask("GET", f"/avatar/task/{own}").body)["data"]
    assert data["status" if envelope == "gateway" else "web_work_status"] == done
    assert early != data
    film = data["data"] if envelope == "gateway" else data
    assert film["work_video_path"].startswith("http")


def test_codes_of_agent_api_are_numbers_on_two_acts(vendor):
    """``create_v2`` prints the number 1, the checks the text "1", as the samples do; a switch makes them alike."""
    made = vendor.act("create_v2", audio_url=URL, video_url=URL)
    assert (made["code"], made["data"]) == (1, {"task_id": "32"})
    assert vendor.act("chk_v2", task_id="32")["code"] == "1"
    vendor.switch(agent_code="number")
    assert vendor.act("chk_v2", task_id="32")["code"] == 1


def test_lines_and_families_have_ids_of_their_own(vendor):
    """The same number on another line or in another family is another thing, or nothing."""
    for line in "01":
        assert (
            vendor.act("create_v2", audio_url=URL, video_url=URL, line_type=line)["data"]["task_id"] == "32"
        )
    assert vendor.act("chk_v2", task_id="32", line_type="1")["data"]["zstatus"] == "1"
    assert vendor.act("chk_v2", task_id="32")["code"] == "0"
    assert vendor.act("chk_video_fast", task_id="32", line_type="1") == {"code": "0", "msg": "任务不存在"}


def test_failures_are_minus_one_and_four(vendor):
    """A failed check is a good call with a bad status: -1 everywhere, 4 for speech."""
    vendor.world.fail_next("*", FakeFailure(), 9)
    vendor.act("create_v2", audio_url=URL, video_url=URL)
    vendor.time += 60
    assert vendor.act("chk_v2", task_id="32") == {"code": "1", "msg": "success", "data": {"zstatus": "-1"}}
    vendor.world._failures.clear()
    vendor.act("create_model", model_name="n")
    vendor.act("create_model_audio", model_id="32", model_audio_url=URL)
    vendor.time += 60
    assert vendor.act("chk_model_audio", task_id="32")["data"] == {"zstatus": "3", "model_id": "32"}
    vendor.world.fail_next("*", FakeFailure(), 1)
    assert vendor.act("create_audio", task_text="hi", people_id="32")["data"]["task_id"] == "32"
    vendor.time += 60
    assert vendor.act("chk_audio", task_id="32")["data"] == {"zstatus": "4"}


def test_a_model_is_usable_after_its_training_only(vendor):
    """A fast video needs a trained model of the same line."""
    model = vendor.act("create_model_fast", model_name="n", video_url=URL, line_type="1")["data"]["model"]
    assert model["model_status"] == "0"
    early = vendor.act("create_video_fast", model_id="32", audio_url=URL, line_type="1")
    vendor.time += 60
    assert vendor.act("chk_model_fast", model_id="32", line_type="1")["data"]["zstatus"] == "3"
    other = vendor.act("create_video_fast", model_id="32", audio_url=URL, line_type="0")
    made = vendor.act("create_video_fast", model_id="32", audio_url=URL, line_type="1")
    assert [early["code"], other["code"], made["code"]] == ["0", "0", 1]


def test_agent_api_refuses_with_http_200(vendor):
    """No money is ``code`` "0" with HTTP 200 there, and HTTP 403 in words at the gateway."""
    vendor.account.credits = 0
    form = Form({"act": "create_v2", "audio_url": URL, "video_url": URL})
    reply = vendor.ask("POST", "/agent_api.php", form._body, form.content_type)
    assert (reply.status, orjson.loads(reply.body)) == (200, {"code": "0", "msg": "余额不足"})
    reply = vendor.post("/avatar/generation", WORK)
    assert (reply.status, orjson.loads(reply.body)["code"]) == (403, "insufficient_user_quota")
    reply = vendor.post("/v1/tts", {"text": "x"})
    assert (reply.status, orjson.loads(reply.body)) == (
        402,
        {"message": "Insufficient balance", "status": 402},
    )
    reply = vendor.post("/chat/completions", {"messages": [{"role": "user", "content": "x"}]})
    assert (reply.status, orjson.loads(reply.body)["error"]["code"]) == (403, "insufficient_user_quota")


@pytest.mark.parametrize(
    ("body", "good"),
    [
        (WORK, True),
        ({"avatar_url": URL}, False),
        ({**WORK, "use_voice": {}}, False),
        ({**WORK, "avatar_url": "ftp://x"}, False),
        ({**WORK, "no_watermark": "yes"}, False),
        (
            {"avatar_url": URL, "use_voice": {"voice_engine_id": "nina", "audio_id": "a", "language": "en"}},
            False,
        ),
        ({"avatar_url": URL, "create_voice": {"audio_url": URL, "language": "en", "text": "t"}}, True),
        ([], False),
    ],
)
def test_exactly_one_voice(vendor, body, good):
    """The fake insists on one of the three, whole, and charges only for what it accepts."""
    reply = vendor.post("/avatar/generation", body)
    assert (reply.status == 200) is good
    assert vendor.account.credits == (990.0 if good else 1000.0)


def test_sound_comes_as_bytes_or_as_json_in_disguise(vendor):
    """``/v1/tts`` answers with sound of the format asked for; switched, with JSON and HTTP 200."""
    heads = {"wav": b"RIFF", "mp3": b"\xff\xfb", "opus": b"OggS", "pcm": b"\0"}
    for form, head in heads.items():
        reply = vendor.post("/v1/tts", {"text": "hello", "format": form})
        assert reply.headers["content-type"].startswith("audio/")
        assert reply.body.startswith(head)
    assert vendor.post("/v1/tts", {"text": "hello"}, model="s9").status == 400
    assert vendor.post("/v1/tts", {"text": "hello", "reference_id": "nobody"}).status == 400
    vendor.switch(tts_json=True)
    assert vendor.post("/v1/tts", {"text": "hello"}).headers["content-type"].startswith("application/json")


def test_a_remake_gives_a_signed_link_that_changes(vendor):
    """The query's link is signed anew each time; the submission's answer has no envelope."""
    made = orjson.loads(vendor.post("/generate_video", {"video_url": URL, "text_content": "t"}).body)
    assert set(made) == {"task_id"}
    path = f"/query_video/{made['task_id']}"
    assert orjson.loads(vendor.ask("GET", path).body)["data"]["result_urls"] is None
    links = set()
    for _ in range(2):
        vendor.time += 600
        data = orjson.loads(vendor.ask("GET", path).body)["data"]
        links.add(data["result_urls"]["public_url"])
    assert (data["status"], len(links)) == ("completed", 2)
    assert "Signature=" in links.pop()


def test_the_gateway_s_page(vendor):
    """Switched, every request gets HTML with HTTP 502."""
    vendor.world.switches["yunapi", "bad_gateway"] = True
    reply = vendor.post("/avatar/generation", WORK)
    assert (reply.status, reply.body[:6]) == (502, b"<html>")
    assert vendor.world.tasks(vendor.account) == []


@pytest.mark.parametrize(("way", "status"), [("json", 401), ("text", 401), ("ok", 200), ("forbidden", 403)])
def test_ways_of_refusing_a_key(vendor, way, status):
    """Each switch, at the gateway's group."""
    vendor.world.switches["yunapi", "auth_failure"] = way
    reply = vendor.ask("POST", "/avatar/generation", orjson.dumps(WORK), key="sk-2")
    assert reply.status == status


def test_a_public_voice_needs_a_cover(vendor):
    """Without ``visibility`` a voice is public, and a public one without a cover is refused."""

    def send(*fields, files=("voices",)):
        mark = "x"
        lines = [
            f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields
        ]
        for name in files:
            head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a.wav"\r\n'
            lines.append(head.encode() + b"Content-Type: audio/wav\r\n\r\n" + wav() + b"\r\n")
        body = b"".join(lines) + b"--x--\r\n"
        return vendor.ask("POST", "/model", body, f"multipart/form-data; boundary={mark}")

    base = (("type", "tts"), ("title", "N"), ("train_mode", "fast"))
    assert send(*base).status == 400
    assert send(*base, files=("voices", "cover_image")).status == 201
    assert send(*base, ("visibility", "private"), files=()).status == 400
    made = send(*base, ("visibility", "private"))
    assert (made.status, orjson.loads(made.body)["state"]) == (201, "trained")
    assert send(*base, ("visibility", "private"), ("texts", "a"), ("texts", "b")).status == 400


def test_garbage_never_raises(vendor):
    """Whatever comes, the fake answers."""
    for path in (
        "/agent_api.php",
        "/avatar/generation",
        "/model",
        "/v1/tts",
        "/chat/completions",
        "/generate_video",
    ):
        for body in (b"", b"[]", b"{", b"null", b'{"act":1}', b'{"messages":[1]}', b"\xff" * 9):
            for kind in ("application/json", "multipart/form-data; boundary=q", "multipart/form-data", ""):
                assert 200 <= vendor.ask("POST", path, body, kind).status < 500
    for path in ("/avatar/task/", "/avatar/task/x/y", "/query_video/", "/nothing"):
        assert vendor.ask("GET", path).status == 404
    assert [
        task for task in vendor.world.tasks(vendor.account) if vendor.world.status(task) is Status.FAILED
    ] == []
