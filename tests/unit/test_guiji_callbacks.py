"""Guiji's four callbacks: bytes to events, and nothing an attacker sends does harm."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.errors import InvalidCallback
from avatarkit.models import FailureReason, Kind, Status
from avatarkit.providers.guiji.callbacks import FORMAT, GuijiEvent
from avatarkit.providers.guiji.models import AudioWork, AvatarClone, VideoWork, VoiceClone
from avatarkit.providers.guiji.sample_answers import SAMPLE_TIME

TRAINING = {
    "result": "success",
    "coverUrl": "http://127.0.0.1/c.png",
    "reason": "",
    "createTime": 1741572705000,
    "sceneId": -287,
    "updateTime": 1741572739000,
    "id": 423,
    "title": "anchor",
}
VOICE = {
    "ttsName": "narrator",
    "result": "success",
    "expireTime": "2025-12-02 10:38:14",
    "languages": ["zh", "en"],
    "speakerId": "C_126",
    "ttsAudition": "https://localhost/d.wav",
    "status": 2,
}
VIDEO = {
    "duration": "22.75",
    "result": "success",
    "videoUrl": "http://127.0.0.1/v.mp4",
    "createTime": 1741572705000,
    "level": 1,
    "videoName": "job-1",
    "id": -292,
    "synthesisStatus": 3,
}
SPEECH = {"duration": 0, "ttsUrl": "http://127.0.0.1/1.wav", "id": 1, "status": 2}


def _parse(kind: str, data: Any) -> GuijiEvent:
    return FORMAT.parse({}, orjson.dumps({"taskType": kind, "data": data}), now=0.0)


def test_a_training_s_event_has_no_status_but_a_result() -> None:
    """The result stands for the status, the scene is the avatar, times are milliseconds."""
    event = _parse("video-training", TRAINING)
    assert (event.kind, event.task_id, event.status, event.marker) == (
        Kind.AVATAR,
        "423",
        Status.SUCCEEDED,
        "anchor",
    )
    assert isinstance(event.row, AvatarClone)
    assert (event.row.avatar_id, event.row.created, event.row.authorized) == ("-287", SAMPLE_TIME, None)
    assert event.snapshot is not None
    assert event.snapshot.result == {"id": "-287"}
    failed = _parse("video-training", {**TRAINING, "result": "fail", "reason": "too dark", "sceneId": None})
    assert failed.status is Status.FAILED
    assert failed.snapshot is not None
    assert (failed.snapshot.message, failed.snapshot.reason) == ("too dark", FailureReason.PROVIDER_FAULT)


def test_a_voice_s_event() -> None:
    """It has a result and a status; the speaker is task and voice at once."""
    event = _parse("voice-clone", VOICE)
    assert (event.kind, event.task_id, event.status, event.marker) == (
        Kind.VOICE,
        "C_126",
        Status.SUCCEEDED,
        "narrator",
    )
    assert isinstance(event.row, VoiceClone)
    assert event.row.languages == ("zh", "en")
    assert event.row.expires is not None
    assert event.row.expires.isoformat() == "2025-12-02T10:38:14+08:00"


def test_a_video_s_event() -> None:
    """Seconds as text; a field that the table lacks says more than the result."""
    event = _parse("video-synthesis", VIDEO)
    assert (event.kind, event.task_id, event.status, event.marker) == (
        Kind.VIDEO,
        "-292",
        Status.SUCCEEDED,
        "job-1",
    )
    assert isinstance(event.row, VideoWork)
    assert event.row.duration == 22.75
    cancelled = _parse("video-synthesis", {**VIDEO, "result": "fail", "synthesisStatus": 6})
    assert cancelled.snapshot is not None
    assert cancelled.snapshot.reason is FailureReason.CANCELLED


def test_the_result_wins_over_a_status_that_contradicts_it() -> None:
    """``result`` is the documented field of a video's event."""
    event = _parse("video-synthesis", {**VIDEO, "result": "fail", "failReason": "audio download failed"})
    assert (event.status, event.raw_status) == (Status.FAILED, "4")
    assert event.snapshot is not None
    assert event.snapshot.reason is FailureReason.BAD_INPUT


def test_speech_s_event_has_only_a_status() -> None:
    """No name, no result, and a duration of zero as in the vendor's sample."""
    event = _parse("tts-synthesis", SPEECH)
    assert (event.kind, event.task_id, event.status, event.marker) == (Kind.AUDIO, "1", Status.SUCCEEDED, "")
    assert isinstance(event.row, AudioWork)
    assert event.row.duration == 0.0
    assert _parse("tts-synthesis", {**SPEECH, "status": 3}).status is Status.FAILED


def test_copies_share_a_key_and_kinds_with_one_number_do_not() -> None:
    """Trainings and speech count their ids apart: only the kind tells 7 from 7."""
    first, copy = _parse("tts-synthesis", SPEECH), _parse("tts-synthesis", SPEECH)
    assert first.message_key == copy.message_key != ""
    assert _parse("video-training", {**TRAINING, "id": 1}).task_key != first.task_key


@pytest.mark.parametrize(
    "payload", [{}, {"taskType": "new-kind", "data": {"id": 1}}, {"taskType": 7, "data": []}]
)
def test_events_nobody_documents_name_no_task(payload: Any) -> None:
    """They are taken, and change nothing."""
    event = FORMAT.parse({}, orjson.dumps(payload), now=0.0)
    assert (event.task_id, event.status, event.row) == ("", Status.UNKNOWN, None)
    assert FORMAT.answer(event).status == 200


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"\xff", b"{", b"1" * (2 << 20), b"[" * 100_000])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    """Not JSON, not an object, or too large: InvalidCallback, at once."""
    with pytest.raises(InvalidCallback):
        FORMAT.parse({}, body, now=0.0)


def test_the_answer_is_the_one_the_vendor_s_document_wants() -> None:
    """HTTP 200 and JSON with code, success and message."""
    answer = FORMAT.answer(_parse("tts-synthesis", SPEECH))
    assert answer.status == 200
    assert answer.content_type.startswith("application/json")
    body = orjson.loads(answer.body)
    assert (body["code"], body["success"], type(body["message"])) == ("0", True, str)


_JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    kind=st.sampled_from(["video-training", "voice-clone", "video-synthesis", "tts-synthesis"]),
    data=st.dictionaries(st.sampled_from(sorted({*TRAINING, *VOICE, *VIDEO, *SPEECH, "failReason"})), _JUNK),
)
def test_hostile_data_gives_an_event_or_invalid_callback(kind: str, data: dict[str, Any]) -> None:
    """Any types in any field: an event whose ends have a snapshot, or InvalidCallback; nothing else is raised."""
    try:
        event = _parse(kind, data)
    except InvalidCallback:
        return
    assert isinstance(event.task_id, str)
    assert repr(event)
    if event.status.terminal:
        assert event.snapshot is not None
