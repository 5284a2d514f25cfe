"""YunApi's client against its fake, behind real sockets, in virtual time."""

from __future__ import annotations

import warnings

import pytest

from avatarkit.errors import (
    InsufficientCredits,
    InvalidRequest,
    MissingCredentials,
    NotSent,
    SubmissionInDoubt,
    UnsupportedOperation,
)
from avatarkit.models import Finding, Status
from avatarkit.protocol.samples import png, wav
from avatarkit.providers.yunapi.client import AsyncYunApi
from avatarkit.providers.yunapi.models import CreateVoice
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.testing import VirtualClock, run_virtual

URL = "https://media.example.com/clip.mp4"


def _with_client(body, **options):
    """Run *body* with a client and its sandbox."""

    async def main():
        clock = VirtualClock()
        async with (
            AsyncSandbox(render="tiny", clock=clock) as box,
            AsyncYunApi(box.token, base_url=box.base_url("yunapi"), clock=clock, seed=7, **options) as client,
        ):
            await body(client, box)

    run_virtual(main)


def test_the_line_goes_along_to_every_look():
    """A V2 task on line 1 is looked at on line 1, also through its token; another line does not know it."""

    async def body(client, box):
        task = await client.videos.create_v2(URL, audio=URL, line_type=1)
        assert task.id == "v2:1:32"
        video = await client.task(task.to_token()).wait()
        assert (video.duration, len(await video.read())) == (10.0, 4096)
        assert (await client.videos.check_v2("32", line_type="1")).status is Status.SUCCEEDED
        assert (await client.videos.task("v2:1:32")).status is Status.SUCCEEDED

    _with_client(body)


def test_a_trained_model_brings_its_line_along():
    """From training to the video the line is named once."""

    async def body(client, box):
        avatar = await (await client.avatars.create_fast(URL, model_name="Anna", line_type=1)).wait()
        assert (avatar.id, avatar.title) == ("model:1:32", "Anna")
        task = await client.videos.create_fast(avatar, audio=URL)
        assert box.seen.tasks[-1]["body"]["line_type"] == "1"
        assert (await task.wait()).url

    _with_client(body)


@pytest.mark.parametrize("envelope", ["gateway", "document", "document200"])
def test_both_envelopes_lead_to_a_film(envelope):
    """A standard work ends well whichever form the vendor's host speaks."""

    async def body(client, box):
        box.set_account(provider="yunapi", switches={"envelope": envelope})
        video = await (await client.videos.create(URL, audio=URL)).wait()
        assert len(await video.read()) == 4096

    _with_client(body)


def test_local_material_needs_a_staging():
    """A local file is refused before anything is sent, and the hint says what helps."""

    async def body(client, box):
        calls = (
            lambda: client.videos.create(png(), audio=URL),
            lambda: client.videos.create(URL, audio=wav()),
            lambda: client.videos.create(
                URL, create_voice=CreateVoice(audio=wav(21.0), language="zh", text="x")
            ),
            lambda: client.remakes.create(png(), text="x"),
        )
        for call in calls:
            with pytest.raises(UnsupportedOperation) as caught:
                await call()
            assert "staging" in caught.value.hint.lower()
        assert box.seen.requests == {}

    _with_client(body)


def test_nothing_can_be_found_again():
    """A lost submission is in doubt for good: no guard, no list, and reconcile says that it cannot tell."""

    async def body(client, box):
        box.faults.add("POST /avatar/generation", "reset_after")
        with pytest.raises(SubmissionInDoubt) as caught:
            await client.videos.create(URL, audio=URL)
        found = await client.reconcile(caught.value.ticket)
        assert found.finding is Finding.CANNOT_TELL
        assert len(box.seen.tasks) == 1

    _with_client(body)


@pytest.mark.parametrize("fault", ["reset_after", "504_html_after", "truncated", "hang_after", "429_after"])
def test_what_is_paid_at_once_is_sent_once(fault):
    """A script or a voice whose answer is lost is in doubt, not sent again."""

    async def body(client, box):
        for path, call in (
            ("POST /chat/completions", lambda: client.scripts.rewrite("x")),
            ("POST /model", lambda: client.voices.create_model(wav(), title="N")),
        ):
            box.faults.add(path, fault)
            with pytest.raises(SubmissionInDoubt) as caught:
                await call()
            assert box.seen.requests[path] == 1
            assert (await client.reconcile(caught.value.ticket)).finding is Finding.CANNOT_TELL

    _with_client(body)


def test_what_was_surely_not_made_is_sent_again():
    """A refused connection and a refusal for the rate cost a pause; a refusal for money is final."""

    async def body(client, box):
        box.refuse(1.0)
        assert (await client.scripts.rewrite("x")).text.endswith("x")
        slow = Fault(
            kind=FaultKind.ANSWER,
            accept=False,
            status=429,
            body=b'{"error":{"message":"slow"}}',
            content_type="application/json",
        )
        box.faults.add("POST /chat/completions", slow)
        before = box.seen.requests["POST /chat/completions"]
        assert await client.scripts.rewrite("y")
        assert box.seen.requests["POST /chat/completions"] == before + 2
        box.set_account(provider="yunapi", credits=0)
        with pytest.raises(InsufficientCredits):
            await client.scripts.rewrite("z")
        assert box.seen.requests["POST /chat/completions"] == before + 3

    _with_client(body)


def test_a_provider_that_stays_away_is_not_a_doubt():
    """After its tries a request that never got a connection raises NotSent."""

    async def body(client, box):
        box.refuse(10_000.0)
        with pytest.raises(NotSent):
            await client.scripts.rewrite("x")

    _with_client(body)


def test_a_remake_s_dead_link_is_renewed():
    """A remake saved long after its link died asks the task for a fresh one."""

    async def body(client, box):
        task = await client.remakes.create(URL, text="x")
        assert task.id.startswith("remake:")
        video = await task.wait()
        box._world.url_lifetime = 900.0
        await box._clock.sleep(7200)
        assert len(await video.read()) == 4096

    _with_client(body)


def test_the_deprecated_cloning_warns_and_works():
    """Each method warns that the vendor gave it up, at the caller's line, and still does its work."""

    async def body(client, box):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            voice = await client.legacy_voices.create_model("N", line_type=0)
            trained = await (await client.legacy_voices.create_model_audio(voice, audio=URL)).wait()
            task = await client.legacy_voices.create_audio("hi", voice=trained)
            sound = await task.wait()
            await client.legacy_voices.check_audio(task.id)
        assert (voice.id, trained.id, task.id) == ("people:0:32", "people:0:32", "speech:0:32")
        assert len(await sound.read()) == 4096
        texts = [str(one.message) for one in told if one.category is DeprecationWarning]
        assert len(texts) == 4
        assert all("deprecated by YunApi" in text for text in texts)
        assert told[0].filename == __file__

    _with_client(body)


def test_a_failed_review_is_told_as_such():
    """A task that review refuses fails with that reason, in each group."""
    from avatarkit.errors import TaskFailed
    from avatarkit.models import FailureReason

    async def body(client, box):
        box.fail_next(message="内容违规", times=3)
        for call in (
            lambda: client.videos.create(URL, audio=URL),
            lambda: client.videos.create_v2(URL, audio=URL),
            lambda: client.remakes.create(URL, text="x"),
        ):
            with pytest.raises(TaskFailed) as caught:
                await (await call()).wait()
            assert caught.value.reason is FailureReason.MODERATION

    _with_client(body)


def test_the_key_is_needed(monkeypatch):
    """Without a key the client says which variable to set."""
    monkeypatch.delenv("YUNAPI_KEY", raising=False)
    with pytest.raises(MissingCredentials, match="YUNAPI_KEY"):
        AsyncYunApi()


@pytest.fixture
def fetched(monkeypatch):
    """Stands in for the transport's streaming of an answer into a file; collects what it was asked for."""
    from avatarkit.errors import TransportError
    from avatarkit.models import RawResponse
    from avatarkit.providers.yunapi import voices

    asked = []

    async def fetch(account, request, target, **how):
        asked.append((request, target, how))
        if target == "there":
            raise InvalidRequest("the file exists")
        if target == "broken":
            raise TransportError("the connection broke")
        if target == "json":
            body = b'{"message":"Insufficient balance","status":402}'
            request.read(RawResponse(200, {"content-type": "application/json"}, body))
        return "saved"

    monkeypatch.setattr(voices, "fetch", fetch)
    return asked


def test_speech_is_asked_for_as_documented(fetched):
    """The model goes as a header, the other fields as JSON, what was not given not at all; only sound is taken."""

    async def body(client, box):
        assert await client.audios.tts("hello", "a.mp3", voice="v", model="s1", mp3_bitrate=64) == "saved"

    _with_client(body)
    ((request, target, how),) = fetched
    assert request.headers == {"model": "s1"}
    assert request.body == {"text": "hello", "reference_id": "v", "mp3_bitrate": 64}
    assert (target, how["overwrite"]) == ("a.mp3", False)
    assert "audio/" in how["content_types"]


def test_speech_that_is_no_sound_is_a_refusal_and_lost_sound_a_doubt(fetched):
    """JSON with HTTP 200 raises what it says; a broken connection may have been billed, and is not repeated.

    What is wrong on this side, such as a file that exists, is no doubt.
    """

    async def body(client, box):
        with pytest.raises(InsufficientCredits):
            await client.audios.tts("hello", "json")
        with pytest.raises(SubmissionInDoubt) as caught:
            await client.audios.tts("hello", "broken")
        assert caught.value.ticket.kind == "audio"
        with pytest.raises(InvalidRequest):
            await client.audios.tts("hello", "there")

    _with_client(body)
    assert len(fetched) == 3
