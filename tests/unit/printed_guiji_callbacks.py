"""The four callbacks of Guiji's document, each with the answer that it wants. All tell a success."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from printed import Callback

from avatarkit.models import Kind, Status
from avatarkit.providers.guiji.values import CHINA

DOCUMENT: Final = "Guiji"
_PICTURE: Final = "http://127.0.0.1/pictures/mira.png"
_FILM: Final = "http://127.0.0.1/films/808_ff_1.mp4"
_SAMPLE: Final = "https://localhost/mira.wav"
_DEMO: Final = "https://localhost/demo.wav"
_BEGUN, _ENDED = datetime(2026, 4, 2, 9, 30, 5, tzinfo=CHINA), datetime(2026, 4, 2, 9, 41, tzinfo=CHINA)
_BEGUN_MS, _ENDED_MS = 1775093405000, 1775094060000
_TAKEN: Final = {"code": "0", "success": True, "message": "Done"}


def _callback(section: str, kind: str, data: dict[str, Any], gives: dict[str, Any]) -> Callback:
    return Callback(
        documents=(DOCUMENT,),
        section=section,
        body={"taskType": kind, "data": data},
        gives={"status": Status.SUCCEEDED, **gives},
        wants=_TAKEN,
    )


AVATAR_CALLBACK = _callback(
    "3.2",
    "video-training",
    {
        "result": "success",
        "coverUrl": _PICTURE,
        "reason": "",
        "createTime": _BEGUN_MS,
        "sceneId": -78,
        "updateTime": _ENDED_MS,
        "id": 908,
        "title": "Mira",
    },
    {
        "kind": Kind.AVATAR,
        "task_id": "908",
        "marker": "Mira",
        "snapshot.result": {"id": "-78"},
        "row.cover_url": _PICTURE,
        "row.created": _BEGUN,
        "row.updated": _ENDED,
    },
)
VOICE_CALLBACK = _callback(
    "4.2",
    "voice-clone",
    {
        "ttsName": "Mira's voice",
        "result": "success",
        "audioUrl": _SAMPLE,
        "expireTime": "2026-04-02 09:41:00",
        "languages": ["zh", "en"],
        "speakerId": "C_81",
        "ttsFeatures": "As recorded",
        "ttsAudition": _DEMO,
        "status": 2,
    },
    {
        "kind": Kind.VOICE,
        "task_id": "C_81",
        "snapshot.result": {"id": "C_81", "demo_url": _DEMO},
        "row.expires": _ENDED,
        "row.sample_url": _SAMPLE,
    },
)
VIDEO_CALLBACK = _callback(
    "5.2",
    "video-synthesis",
    {
        "duration": "8.25",
        "coverUrl": _PICTURE,
        "result": "success",
        "videoUrl": _FILM,
        "createTime": _BEGUN_MS,
        "level": 1,
        "videoName": "News",
        "updateTime": _BEGUN_MS,
        "id": -51,
        "synthesisStatus": 3,
    },
    {
        "kind": Kind.VIDEO,
        "task_id": "-51",
        "marker": "News",
        "snapshot.result.url": _FILM,
        "snapshot.result.duration": 8.25,
        "row.created": _BEGUN,
        "row.extra": {"level": 1},
    },
)
AUDIO_CALLBACK = _callback(
    "6.2",
    "tts-synthesis",
    {"duration": 0, "ttsUrl": "http://127.0.0.1/s1.wav", "id": 1, "status": 2},
    {"kind": Kind.AUDIO, "task_id": "1", "snapshot.result.url": "http://127.0.0.1/s1.wav"},
)

CALLBACKS: Final = (AVATAR_CALLBACK, VOICE_CALLBACK, VIDEO_CALLBACK, AUDIO_CALLBACK)
