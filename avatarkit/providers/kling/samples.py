"""Kling's operations, answers and mistakes as data, for the suites that loop over all providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.errors import AuthenticationError, SubmissionInDoubt
from avatarkit.protocol.samples import (
    LocalFile,
    Login,
    Mistake,
    Need,
    Operation,
    Refusal,
    Samples,
    Something,
    png,
    wav,
)
from avatarkit.providers.kling import auth, codes
from avatarkit.providers.kling import endpoints as ep
from avatarkit.providers.kling.sample_answers import ANSWERS, refused

_PICTURE: Final = "https://media.example.com/pictures/face.png"
_SOUND: Final = "https://media.example.com/sounds/sample.mp3"
_CLIP: Final = "https://media.example.com/clips/presenter.mp4"
_FACE: Final = png(320, 320)

_AVATARS: Final = (
    Operation(
        method="videos.create_avatar",
        endpoint=ep.AVATAR_CREATE,
        arguments={"image": _PICTURE, "sound_file": _SOUND},
        sends={"image": _PICTURE, "sound_file": _SOUND, "external_task_id": Something()},
        yields="video",
        task="avatar task",
        label="urls",
    ),
    Operation(
        method="videos.create_avatar",
        endpoint=ep.AVATAR_CREATE,
        arguments={
            "image": _PICTURE,
            "audio_id": Need("speech"),
            "prompt": "nods and smiles",
            "mode": "pro",
            "watermark": True,
            "callback_url": "http://127.0.0.1:9/events",
            "external_task_id": "job-42",
        },
        sends={
            "image": _PICTURE,
            "audio_id": Need("speech"),
            "prompt": "nods and smiles",
            "mode": "pro",
            "watermark_info": {"enabled": True},
            "callback_url": "http://127.0.0.1:9/events",
            "external_task_id": "job-42",
        },
        yields="video",
        label="everything",
    ),
    Operation(
        method="videos.create_avatar",
        endpoint=ep.AVATAR_CREATE,
        arguments={"image": _FACE, "sound_file": wav()},
        sends={"image": Something(), "sound_file": Something(), "external_task_id": Something()},
        yields="video",
        label="bytes",
    ),
)

_SPEECH: Final = (
    Operation(
        method="audios.create_by_tts",
        endpoint=ep.TTS,
        arguments={"text": "早上好 欢迎收看今天的天气预报", "voice_id": "genshin_vindi2"},
        sends={
            "text": "早上好 欢迎收看今天的天气预报",
            "voice_id": "genshin_vindi2",
            "voice_language": "zh",
        },
        gives="TtsAudio",
        makes="speech",
    ),
    Operation(
        method="audios.create_by_tts",
        endpoint=ep.TTS,
        arguments={"text": "Good morning.", "voice_id": "AOT", "voice_language": "en", "voice_speed": 1.25},
        sends={"text": "Good morning.", "voice_id": "AOT", "voice_language": "en", "voice_speed": 1.2},
        gives="TtsAudio",
        label="everything",
    ),
    Operation(
        method="lip_sync.identify_face",
        endpoint=ep.IDENTIFY_FACE,
        arguments={"video_url": _CLIP},
        sends={"video_url": _CLIP},
        gives="FaceSession",
        makes="session",
    ),
)

_LIP_SYNC: Final = (
    Operation(
        method="lip_sync.create",
        endpoint=ep.LIP_CREATE,
        arguments={"session": Need("session"), "face": "0", "sound_file": _SOUND, "sound_end": 4.5},
        sends={
            "session_id": Need("session"),
            "face_choose": [
                {
                    "face_id": "0",
                    "sound_file": _SOUND,
                    "sound_start_time": 0,
                    "sound_end_time": 4500,
                    "sound_insert_time": 0,
                }
            ],
            "external_task_id": Something(),
        },
        yields="video",
        task="lip-sync task",
        label="url",
    ),
    Operation(
        method="lip_sync.create",
        endpoint=ep.LIP_CREATE,
        arguments={
            "session": Need("session"),
            "face": "0",
            "sound_file": _SOUND,
            "sound_start": 1.5,
            "sound_end": 5,
            "insert_at": 2,
            "sound_volume": 2,
            "original_audio_volume": 0.5,
            "watermark": False,
            "external_task_id": "lips-42",
        },
        sends={
            "session_id": Need("session"),
            "face_choose": [
                {
                    "face_id": "0",
                    "sound_file": _SOUND,
                    "sound_start_time": 1500,
                    "sound_end_time": 5000,
                    "sound_insert_time": 2000,
                    "sound_volume": 2.0,
                    "original_audio_volume": 0.5,
                }
            ],
            "watermark_info": {"enabled": False},
            "external_task_id": "lips-42",
        },
        yields="video",
        label="everything",
    ),
)

_FREE: Final = (
    Operation(
        method="videos.get",
        endpoint=ep.AVATAR_GET,
        arguments={"task_id": Need("avatar task")},
        gives="TaskRecord",
    ),
    Operation(
        method="videos.list",
        endpoint=ep.AVATAR_LIST,
        arguments={"page": 2, "size": 10},
        sends={"pageNum": "2", "pageSize": "10"},
        gives="Page",
    ),
    Operation(
        method="videos.iterate",
        endpoint=ep.AVATAR_LIST,
        arguments={"size": 100},
        sends={"pageNum": "1", "pageSize": "100"},
        needs=("avatar task",),
        gives="TaskRecord",
        iterates=True,
    ),
    Operation(
        method="lip_sync.get",
        endpoint=ep.LIP_GET,
        arguments={"task_id": Need("lip-sync task")},
        gives="TaskRecord",
    ),
    Operation(
        method="lip_sync.list",
        endpoint=ep.LIP_LIST,
        sends={"pageNum": "1", "pageSize": "30"},
        gives="Page",
    ),
    Operation(
        method="tasks.query",
        endpoint=ep.TASKS,
        arguments={"external_task_ids": ["job-1", "job-2"]},
        sends={"external_task_ids": "job-1,job-2"},
        gives="tuple",
    ),
    Operation(
        method="account.costs",
        endpoint=ep.COSTS,
        arguments={"start": 1_700_000_000, "end": 1_700_000_600.5, "resource_pack_name": "Video"},
        sends={"start_time": "1700000000000", "end_time": "1700000600500", "resource_pack_name": "Video"},
        gives="Costs",
    ),
    Operation(
        method="account.credit",
        endpoint=ep.COSTS,
        sends={"start_time": Something(), "end_time": Something()},
        gives="Credit",
    ),
)


# -- mistakes ------------------------------------------------------------------------------------------------------

_GOOD: Final[Mapping[str, Any]] = {"image": _PICTURE, "sound_file": _SOUND}
_LIPS: Final[Mapping[str, Any]] = {"session": "s", "face": "0", "audio_id": "a", "sound_end": 5}
_AVATAR: Final = "videos.create_avatar"


def _mistake(label: str, method: str, names: str, **arguments: Any) -> Mistake:
    return Mistake(label=label, method=method, arguments=arguments, names=tuple(names.split()))


_MISTAKES: Final = (
    _mistake("no sound", _AVATAR, "sound_file", image=_PICTURE),
    _mistake("two sounds", _AVATAR, "sound_file", audio_id="a", **_GOOD),
    _mistake("an empty audio id", _AVATAR, "audio_id", image=_PICTURE, audio_id=" "),
    _mistake("a data address", _AVATAR, "image", image="data:image/png;base64,aa", sound_file=_SOUND),
    _mistake("a URL with a blank", _AVATAR, "image", image="https://x.example/a b", sound_file=_SOUND),
    _mistake("a small picture", _AVATAR, "image", image=png(299, 400), sound_file=_SOUND),
    _mistake("a long picture", _AVATAR, "image", image=png(300, 800), sound_file=_SOUND),
    _mistake(
        "a picture of another type",
        _AVATAR,
        "image",
        image=LocalFile(name="a.webp", content=b"RIFF\x20\0\0\0WEBPVP8 "),
        sound_file=_SOUND,
    ),
    _mistake(
        "a picture that is too large",
        _AVATAR,
        "image",
        image=LocalFile(name="big.png", size=10 * 1024 * 1024 + 1),
        sound_file=_SOUND,
    ),
    _mistake("no such picture", _AVATAR, "image", image=LocalFile(name="none.png"), sound_file=_SOUND),
    _mistake("a short sound", _AVATAR, "sound_file", image=_PICTURE, sound_file=wav(1.5)),
    _mistake("a long sound", _AVATAR, "sound_file", image=_PICTURE, sound_file=wav(301.0, rate=100)),
    _mistake(
        "a large sound",
        _AVATAR,
        "sound_file",
        image=_PICTURE,
        sound_file=LocalFile(name="big.mp3", size=5 * 1024 * 1024 + 1),
    ),
    _mistake("a picture for a sound", _AVATAR, "sound_file", image=_PICTURE, sound_file=_FACE),
    _mistake("no bytes", _AVATAR, "image", image=b"", sound_file=_SOUND),
    _mistake("a long prompt", _AVATAR, "prompt", prompt="字" * 2501, **_GOOD),
    _mistake("another mode", _AVATAR, "mode", mode="ultra", **_GOOD),
    _mistake("an empty external id", _AVATAR, "external_task_id", external_task_id="", **_GOOD),
    _mistake("a callback to nowhere", _AVATAR, "callback_url", callback_url="example.com", **_GOOD),
    _mistake("a long text", "audios.create_by_tts", "text", text="x" * 1001, voice_id="AOT"),
    _mistake("no text", "audios.create_by_tts", "text", text=" ", voice_id="genshin_vindi2"),
    _mistake("no voice", "audios.create_by_tts", "voice_id", text="x", voice_id=""),
    _mistake(
        "another language",
        "audios.create_by_tts",
        "voice_language",
        text="x",
        voice_id="v",
        voice_language="fr",
    ),
    _mistake(
        "a voice that speaks English only", "audios.create_by_tts", "voice_id", text="x", voice_id="AOT"
    ),
    _mistake("too fast", "audios.create_by_tts", "voice_speed", text="x", voice_id="v", voice_speed=2.1),
    _mistake("no video", "lip_sync.identify_face", "video_url"),
    _mistake("two videos", "lip_sync.identify_face", "video_url", video_id="1", video_url=_CLIP),
    _mistake("a path for a video", "lip_sync.identify_face", "video_url", video_url="clip.mp4"),
    _mistake("too little sound", "lip_sync.create", "sound_end", **{**_LIPS, "sound_end": 1.9}),
    _mistake("a negative start", "lip_sync.create", "sound_start", sound_start=-1, **_LIPS),
    _mistake("too loud", "lip_sync.create", "sound_volume", sound_volume=2.1, **_LIPS),
    _mistake(
        "no session and no face", "lip_sync.create", "session face", **{**_LIPS, "session": "", "face": ""}
    ),
    _mistake("page zero", "videos.list", "page size", page=0, size=501),
    _mistake("no ids", "tasks.query", "task_ids"),
    _mistake("too many ids", "tasks.query", "task_ids", task_ids=["1"] * 21),
    _mistake("no task id", "videos.get", "task_id", task_id=""),
    _mistake("times the wrong way round", "account.costs", "start", start=2_000_000_000, end=1_000_000_000),
    _mistake(
        "everything at once",
        _AVATAR,
        "image sound_file prompt mode external_task_id callback_url",
        image=png(10, 10),
        prompt="x" * 2501,
        mode="",
        external_task_id=" ",
        callback_url="ftp://x",
    ),
)

SAMPLES: Final = Samples(
    operations=(*_AVATARS, *_SPEECH, *_LIP_SYNC, *_FREE),
    submission=_AVATAR,
    look=ep.AVATAR_GET,
    answers=ANSWERS,
    mistakes=_MISTAKES,
    refusals=tuple(
        Refusal(
            code=code,
            body={"code": int(code), "message": "because", "request_id": f"rid-{code}"},
            error=rule.error,
            submission=SubmissionInDoubt if rule.http_status >= 500 else None,
            status=rule.http_status,
            request_id=f"rid-{code}",
        )
        for code, rule in codes.ERRORS.items()
    ),
    bad_credentials=({"auth_code": 1002}, {"auth_code": 1000}),
    logins=(
        Login(
            label="key-pair",
            arguments={"access_key": "key", "secret_key": "secret"},
            refused={"tasks.query": AuthenticationError},
            seconds=auth.LIFETIME,
        ),
    ),
    page_size=30,
    too_many_running=refused(1303),
    no_credits=refused(1102),
)
"""Everything the suites need to know of Kling."""
