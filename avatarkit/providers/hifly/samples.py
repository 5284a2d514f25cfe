"""HiFly's operations, answers and mistakes as data, for the suites that loop over all providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.models import Subtitle
from avatarkit.protocol.samples import (
    MP4_HEAD,
    LocalFile,
    Mistake,
    Need,
    Operation,
    Refusal,
    Samples,
    Something,
    png,
    wav,
)
from avatarkit.providers.hifly import codes
from avatarkit.providers.hifly import operations as ops
from avatarkit.providers.hifly.sample_answers import ANSWERS, refused
from avatarkit.settings import CallOptions

_UNCHECKED: Final = CallOptions(preflight=False)
_CLIP: Final = "https://media.example.com/clips/presenter.mp4"
_SOUND: Final = "https://media.example.com/sounds/sample.wav"
_PICTURE: Final = "https://media.example.com/pictures/face.png"
_AVATAR, _VOICE = Need("avatar"), Need("voice")

_CLONES: Final = (
    Operation(
        method="avatars.create_by_video",
        endpoint=ops.AVATAR_BY_VIDEO,
        arguments={"video_url": _CLIP, "title": "Presenter"},
        sends={"video_url": _CLIP, "title": "Presenter"},
        yields="avatar",
        makes="own avatar",
        task="avatar task",
        label="url",
    ),
    Operation(
        method="avatars.create_by_video",
        endpoint=ops.AVATAR_BY_VIDEO,
        arguments={"video": MP4_HEAD, "aigc_flag": 1, "options": _UNCHECKED},
        sends={"file_id": Something(), "title": Something(), "aigc_flag": 1},
        yields="avatar",
        uploads=1,
        label="bytes",
    ),
    Operation(
        method="avatars.create_by_image",
        endpoint=ops.AVATAR_BY_IMAGE,
        arguments={"image_url": _PICTURE, "title": "Face", "model": 1, "aigc_flag": 0},
        sends={"image_url": _PICTURE, "title": "Face", "model": 1, "aigc_flag": 0},
        yields="avatar",
        label="url",
    ),
    Operation(
        method="avatars.create_by_image",
        endpoint=ops.AVATAR_BY_IMAGE,
        arguments={"image": png()},
        sends={"file_id": Something(), "title": Something()},
        yields="avatar",
        uploads=1,
        label="bytes",
    ),
    Operation(
        method="voices.create",
        endpoint=ops.VOICE_CREATE,
        arguments={"audio": wav(), "title": "Narrator", "languages": "en"},
        sends={"file_id": Something(), "title": "Narrator", "voice_type": 8, "languages": "en"},
        yields="voice",
        makes="own voice",
        task="voice task",
        uploads=1,
        label="bytes",
    ),
    Operation(
        method="voices.create",
        endpoint=ops.VOICE_CREATE,
        arguments={"audio_url": _SOUND},
        sends={"audio_url": _SOUND, "title": Something(), "voice_type": 8},
        yields="voice",
        label="url",
    ),
)

_SUBTITLE: Final = Subtitle(
    font_name="Sans",
    font_size=80,
    primary_color="#ffffff",
    outline_color="#000000",
    width=500,
    height=90,
    pos_x=10,
    pos_y=880,
)

_WORKS: Final = (
    Operation(
        method="videos.create_by_tts",
        endpoint=ops.VIDEO_BY_TTS,
        arguments={"avatar": _AVATAR, "voice": _VOICE, "text": "Good morning."},
        sends={"avatar": _AVATAR, "voice": _VOICE, "text": "Good morning.", "title": Something()},
        yields="video",
        task="video task",
    ),
    Operation(
        method="videos.create_by_tts",
        endpoint=ops.VIDEO_BY_TTS,
        arguments={
            "avatar": _AVATAR,
            "voice": _VOICE,
            "text": "早上好 欢迎收看",
            "title": "Weather",
            "subtitle": _SUBTITLE,
            "pipeline": "1.5",
            "aigc_flag": 2,
        },
        sends={
            "avatar": _AVATAR,
            "voice": _VOICE,
            "text": "早上好 欢迎收看",
            "title": "Weather",
            "pipeline": "1.5",
            "aigc_flag": 2,
            "st_show": 1,
            "st_font_name": "Sans",
            "st_font_size": 80,
            "st_primary_color": "#ffffff",
            "st_outline_color": "#000000",
            "st_width": 500,
            "st_height": 90,
            "st_pos_x": 10,
            "st_pos_y": 880,
        },
        yields="video",
        label="everything",
    ),
    Operation(
        method="videos.create_by_audio",
        endpoint=ops.VIDEO_BY_AUDIO,
        arguments={
            "audio_url": _SOUND,
            "avatar": _AVATAR,
            "title": "Spoken",
            "pipeline": "1.5",
            "aigc_flag": 0,
        },
        sends={"audio_url": _SOUND, "avatar": _AVATAR, "title": "Spoken", "pipeline": "1.5", "aigc_flag": 0},
        yields="video",
        label="url",
    ),
    Operation(
        method="videos.create_by_audio",
        endpoint=ops.VIDEO_BY_AUDIO,
        arguments={"audio": wav(), "avatar": _AVATAR},
        sends={"file_id": Something(), "avatar": _AVATAR, "title": Something()},
        yields="video",
        uploads=1,
        label="bytes",
    ),
    Operation(
        method="videos.create_by_audio",
        endpoint=ops.VIDEO_BY_AUDIO,
        arguments={"file_id": Need("file"), "avatar": _AVATAR},
        sends={"file_id": Need("file"), "avatar": _AVATAR, "title": Something()},
        yields="video",
        label="file",
    ),
    Operation(
        method="videos.create_by_image",
        endpoint=ops.VIDEO_BY_IMAGE,
        arguments={"image": png(), "voice": _VOICE, "text": "Hello from a picture.", "model": 6},
        sends={"image_file_id": Something(), "voice": _VOICE, "text": "Hello from a picture.", "model": 6},
        yields="video",
        uploads=1,
    ),
    Operation(
        method="audios.create_by_tts",
        endpoint=ops.AUDIO_BY_TTS,
        arguments={"voice": _VOICE, "text": "Only sound.", "title": "Sound", "aigc_flag": 1},
        sends={"voice": _VOICE, "text": "Only sound.", "title": "Sound", "aigc_flag": 1},
        yields="audio",
    ),
)

_FREE: Final = (
    Operation(
        method="avatars.list",
        endpoint=ops.AVATAR_LIST,
        arguments={"page": 2, "size": 10},
        sends={"page": "2", "size": "10", "kind": "2"},
        gives="Page",
    ),
    Operation(
        method="avatars.iterate",
        endpoint=ops.AVATAR_LIST,
        arguments={"size": 100},
        sends={"page": "1", "size": "100", "kind": "2"},
        gives="Avatar",
        iterates=True,
    ),
    Operation(
        method="voices.list",
        endpoint=ops.VOICE_LIST,
        sends={"page": "1", "size": "20", "kind": "1"},
        gives="Page",
    ),
    Operation(
        method="voices.iterate",
        endpoint=ops.VOICE_LIST,
        arguments={"kind": 2},
        sends={"page": "1", "size": "100", "kind": "2"},
        gives="Voice",
        iterates=True,
    ),
    Operation(
        method="voices.edit",
        endpoint=ops.VOICE_EDIT,
        arguments={"voice": Need("own voice"), "rate": 1.25, "volume": "0.8"},
        sends={"voice": Need("own voice"), "rate": "1.25", "volume": "0.8", "pitch": "1.0"},
        gives="NoneType",
    ),
    Operation(
        method="avatars.task",
        endpoint=ops.AVATAR_TASK,
        arguments={"task_id": Need("avatar task")},
        sends={"task_id": Need("avatar task")},
        gives="Snapshot",
    ),
    Operation(
        method="voices.task",
        endpoint=ops.VOICE_TASK,
        arguments={"task_id": Need("voice task")},
        sends={"task_id": Need("voice task")},
        gives="Snapshot",
    ),
    Operation(
        method="videos.task",
        endpoint=ops.VIDEO_TASK,
        arguments={"task_id": Need("video task")},
        sends={"task_id": Need("video task")},
        gives="Snapshot",
    ),
    Operation(
        method="files.create_upload_url",
        endpoint=ops.UPLOAD_URL,
        arguments={"file_extension": ".MP4"},
        sends={"file_extension": "mp4"},
        gives="UploadSlot",
    ),
    Operation(
        method="files.upload",
        endpoint=ops.UPLOAD_URL,
        arguments={"media": wav(7.0)},
        sends={"file_extension": "wav"},
        gives="UploadedFile",
        makes="file",
        uploads=1,
    ),
    Operation(method="account.credit", endpoint=ops.CREDIT, gives="Credit"),
)


# -- mistakes ------------------------------------------------------------------------------------------------------

_GOOD: Final[Mapping[str, Any]] = {"avatar": "a", "voice": "v", "text": "Hello."}
_LONG: Final = "字" * 21


def _mistake(label: str, method: str, names: str, **arguments: Any) -> Mistake:
    return Mistake(label=label, method=method, arguments=arguments, names=tuple(names.split()))


_MISTAKES: Final = (
    _mistake("neither file nor url", "videos.create_by_audio", "audio", avatar="a"),
    _mistake("file and url", "videos.create_by_audio", "audio", avatar="a", audio_url=_SOUND, file_id="f"),
    _mistake("bytes and url", "voices.create", "audio", audio=wav(), audio_url=_SOUND),
    _mistake("no picture", "avatars.create_by_image", "image"),
    _mistake("no video", "avatars.create_by_video", "video"),
    _mistake("a URL that is none", "voices.create", "audio_url", audio_url="ftp://x/y.wav"),
    _mistake(
        "a long URL", "avatars.create_by_video", "video_url", video_url="https://x.example/" + "a" * 500
    ),
    _mistake("an empty file id", "voices.create", "file_id", file_id=" "),
    _mistake("a URL for a picture", "videos.create_by_image", "image", image=_PICTURE, voice="v", text="x"),
    _mistake("text too long", "videos.create_by_tts", "text", **{**_GOOD, "text": "x" * 10_001}),
    _mistake("text with tags", "audios.create_by_tts", "text", voice="v", text="one <b>two</b>"),
    _mistake("no text", "videos.create_by_tts", "text", **{**_GOOD, "text": "  "}),
    _mistake("title too long", "videos.create_by_tts", "title", title=_LONG, **_GOOD),
    _mistake("voice title too long", "voices.create", "title", title=_LONG, audio_url=_SOUND),
    _mistake("no avatar", "videos.create_by_tts", "avatar", **{**_GOOD, "avatar": ""}),
    _mistake("no voice", "audios.create_by_tts", "voice", voice="", text="x"),
    _mistake("rate too high", "voices.edit", "rate", voice="v", rate=2.01),
    _mistake("rate too low", "voices.edit", "rate", voice="v", rate="0.49"),
    _mistake("volume and pitch", "voices.edit", "volume pitch", voice="v", volume=0, pitch="high"),
    _mistake("not a number", "voices.edit", "rate", voice="v", rate=float("nan")),
    _mistake("wrong extension", "voices.create", "audio", audio=LocalFile(name="a.ogg", content=b"OggS" * 9)),
    _mistake(
        "another content than the name says",
        "voices.create",
        "audio",
        audio=LocalFile(name="a.mp3", content=png()),
    ),
    _mistake("too short", "videos.create_by_audio", "audio", avatar="a", audio=wav(4.0)),
    _mistake("too long", "voices.create", "audio", audio=wav(181.0, rate=100)),
    _mistake(
        "too large", "voices.create", "audio", audio=LocalFile(name="big.mp3", size=20 * 1024 * 1024 + 1)
    ),
    _mistake("missing file", "voices.create", "audio", audio=LocalFile(name="nowhere.wav")),
    _mistake("empty file", "voices.create", "audio", audio=LocalFile(name="empty.wav", content=b"")),
    _mistake("empty bytes", "voices.create", "audio", audio=b""),
    _mistake(
        "bad colours",
        "videos.create_by_tts",
        "primary_color outline_color",
        subtitle=Subtitle(primary_color="red", outline_color="0x000000"),
        **_GOOD,
    ),
    _mistake("bad box", "videos.create_by_tts", "width", subtitle=Subtitle(width=0), **_GOOD),
    _mistake("flag as a boolean", "videos.create_by_tts", "aigc_flag", aigc_flag=True, **_GOOD),
    _mistake("flag out of range", "audios.create_by_tts", "aigc_flag", voice="v", text="x", aigc_flag=3),
    _mistake("model out of range", "avatars.create_by_image", "model", image_url=_PICTURE, model=9),
    _mistake("voice type", "voices.create", "voice_type", audio_url=_SOUND, voice_type=20),
    _mistake("page zero", "avatars.list", "page size", page=0, size=0),
    _mistake("no extension", "files.create_upload_url", "file_extension", file_extension="a/b"),
    _mistake("no task id", "videos.task", "task_id", task_id=""),
    _mistake(
        "everything at once",
        "videos.create_by_tts",
        "avatar voice text title aigc_flag primary_color",
        avatar="",
        voice="",
        text="<p>hi</p>",
        title=_LONG,
        aigc_flag=7,
        subtitle=Subtitle(primary_color="#12"),
    ),
)

SAMPLES: Final = Samples(
    operations=(*_WORKS, *_CLONES, *_FREE),
    submission="videos.create_by_tts",
    look=ops.VIDEO_TASK,
    answers=ANSWERS,
    mistakes=_MISTAKES,
    refusals=tuple(
        Refusal(
            code=code,
            body={"code": int(code), "message": "because", "request_id": f"rid-{code}"},
            error=rule.error,
            request_id=f"rid-{code}",
        )
        for code, rule in codes.ERRORS.items()
    ),
    bad_credentials=tuple({"auth_failure": way} for way in ("text", "json", "empty", "ok")),
    too_many_running=refused(1001),
    no_credits=refused(1002),
)
"""Everything the suites need to know of HiFly."""
