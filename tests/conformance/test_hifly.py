"""HiFly's own traps, end to end: what the tables of samples cannot say."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from house import House

from avatarkit.errors import EntitlementError, MediaRejected, ModerationRefused, TaskFailed
from avatarkit.models import FailureReason, Status
from avatarkit.protocol.samples import png, wav
from avatarkit.sandbox.faults import Fault, FaultKind

pytestmark = pytest.mark.parametrize("provider", ["hifly"])


def _refuse(house: House, code: int, times: int = 1) -> None:
    body = orjson.dumps({"code": code, "message": "m", "request_id": "r"})
    house.box.faults.add(
        "POST /video/create_by_audio",
        Fault(kind=FaultKind.ANSWER, accept=False, status=200, body=body, content_type="application/json"),
        times=times,
    )


@pytest.mark.parametrize("pending", ["missing", "null", "empty"])
def test_a_url_that_is_not_there_yet_has_three_forms(house: House, pending: str) -> None:
    """Before the end ``video_Url`` may be missing, null or empty."""
    house.start(queue_seconds=20, run_seconds=20)
    house.switch({"pending_url": pending})
    task = house.submit(house.client())
    assert task.refresh() is Status.QUEUED
    assert task.wait().url


def test_a_capital_u_or_a_small_one(house: House) -> None:
    """``video_url`` is taken for ``video_Url``, also for sound."""
    client = house.client()
    task = client.audios.create_by_tts(voice=house._need(client, "voice"), text="hello")
    house.side.sleep(60)
    link = house.box.tasks()[0]["url"]
    fields = {"video_Url": None, "video_url": link, "duration": "2.5"}
    house.box.faults.add(house.look, Fault(kind=FaultKind.CHANGE_FIELDS, fields=fields))
    sound = task.wait()
    assert (sound.url, sound.duration) == (link, 2.5)
    assert len(sound.read()) == 4096


@pytest.mark.parametrize("zero", [False, True])
def test_status_4_with_and_without_a_code(house: House, zero: bool) -> None:
    """A failed task is one whether its code says so or is 0."""
    house.start().fail_next(code=2015, message="no face")
    house.switch({"failed_code_zero": zero})
    task = house.submit(house.client())
    with pytest.raises(TaskFailed) as caught:
        task.wait()
    assert caught.value.code == ("" if zero else "2015")
    assert caught.value.reason is FailureReason.PROVIDER_FAULT


def test_a_failure_for_moderation_has_that_reason(house: House) -> None:
    """Code 1011 on a task is moderation, and so is the refusal of a voice."""
    house.start().fail_next(code=1011)
    client = house.client()
    with pytest.raises(TaskFailed) as caught:
        house.submit(client).wait()
    assert caught.value.reason is FailureReason.MODERATION
    with pytest.raises(ModerationRefused):
        client.voices.create(wav(), title="[celebrity]")


@pytest.mark.parametrize(("plan", "code"), [("none", "1005"), ("member", "1006")])
def test_plans_that_do_not_include_it(house: House, plan: str, code: str) -> None:
    """Good credentials on a low plan are another error than bad ones."""
    house.start()
    house.account(switches={"plan": plan})
    with pytest.raises(EntitlementError) as caught:
        house.client().avatars.create_by_image(png())
    assert caught.value.code == code


def test_a_file_the_vendor_no_longer_has_is_uploaded_once_more(house: House) -> None:
    """Code 2013 for an uploaded file: a fresh upload, one more submission, one task."""
    client = house.client()
    avatar = house._need(client, "avatar")
    client.videos.create_by_audio(wav(), avatar=avatar)
    _refuse(house, 2013)
    task = client.videos.create_by_audio(wav(), avatar=avatar)
    assert task.wait().url
    assert list(house.box.seen.uploads.values()) == [2]
    assert house.created() == 2
    _refuse(house, 2013, times=2)
    with pytest.raises(MediaRejected):
        client.videos.create_by_audio(wav(), avatar=avatar)


def test_a_url_that_cannot_be_fetched_is_not_uploaded(house: House) -> None:
    """The same code for the caller's own URL is final."""
    client = house.client()
    avatar = house._need(client, "avatar")
    _refuse(house, 2013)
    with pytest.raises(MediaRejected):
        client.videos.create_by_audio(audio_url="https://a.example/x.wav", avatar=avatar)
    assert house.requests() == 1


def test_an_upload_answer_with_a_code_is_fine_too(house: House) -> None:
    """The one answer without a code may get one: 0 is good, anything else a refusal."""
    client = house.client()
    for code in (0, "0"):
        house.box.faults.add(
            "POST /tool/create_upload_url", Fault(kind=FaultKind.CHANGE_FIELDS, fields={"code": code})
        )
        assert client.files.create_upload_url("wav").file_id
    house.box.faults.add(
        "POST /tool/create_upload_url", Fault(kind=FaultKind.CHANGE_FIELDS, fields={"code": 2012})
    )
    with pytest.raises(MediaRejected):
        client.files.create_upload_url("wav")


def test_the_same_url_gives_the_same_avatar(house: House) -> None:
    """Two clones of one URL are two tasks that yield one avatar, as the vendor's document says."""
    client = house.client()
    first = client.avatars.create_by_video(video_url="https://a.example/me.mp4")
    second = client.avatars.create_by_video("https://a.example/me.mp4")
    assert first.id != second.id
    assert first.wait().id == second.wait().id


def test_a_voice_and_an_avatar_cannot_be_mixed_up(house: House) -> None:
    """Objects are accepted for ids, but each only in its place."""
    client = house.client()
    voice: Any = client.voices.list(kind=2).items[0]
    avatar: Any = client.avatars.list().items[0]
    assert client.videos.create_by_tts(avatar=avatar, voice=voice, text="hello").wait()
    with pytest.raises(ValueError, match="avatar"):
        client.videos.create_by_tts(avatar=voice, voice=voice, text="hello")


def test_an_edited_voice_is_listed_with_its_values(house: House) -> None:
    """Values sent as text come back as numbers."""
    client = house.client()
    voice = client.voices.create(wav(), title="Mine").wait()
    client.voices.edit(voice, rate="1.5", volume=0.1, pitch=2)
    (row,) = client.voices.list().items
    assert (row.id, row.rate, row.volume, row.pitch, row.public) == (voice.id, 1.5, 0.1, 2.0, False)
