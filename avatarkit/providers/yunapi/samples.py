"""YunApi's operations, answers and mistakes as data, for the suites that loop over all providers."""

from __future__ import annotations

from typing import Final

from avatarkit.errors import ProviderError
from avatarkit.protocol.samples import (
    LocalFile,
    Need,
    Operation,
    Refusal,
    Samples,
    Something,
    png,
    wav,
)
from avatarkit.providers.yunapi import codes
from avatarkit.providers.yunapi import operations as op
from avatarkit.providers.yunapi.models import CreateVoice, UseVoice
from avatarkit.providers.yunapi.sample_answers import ANSWERS
from avatarkit.providers.yunapi.sample_mistakes import MISTAKES

_CLIP: Final = "https://media.example.com/clips/presenter.mp4"
_SOUND: Final = "https://media.example.com/sounds/speech.mp3"
_PICTURE: Final = "https://media.example.com/pictures/face.jpg"
_CLONED: Final = CreateVoice(audio=_SOUND, language="zh", text="早上好")
_STOCK: Final = UseVoice(voice_engine_id="nina", audio_id="0" * 32, language="en", text="Good morning.")

_WORKS: Final = (
    Operation(
        method="videos.create",
        endpoint=op.VIDEO_CREATE,
        arguments={"avatar": _PICTURE, "audio": _SOUND},
        sends={"avatar_url": _PICTURE, "audio_url": _SOUND},
        yields="video",
        task="video task",
    ),
    Operation(
        method="videos.create",
        endpoint=op.VIDEO_CREATE,
        arguments={"avatar": _CLIP, "create_voice": _CLONED, "no_watermark": True},
        sends={
            "avatar_url": _CLIP,
            "create_voice": {"audio_url": _SOUND, "language": "zh", "text": "早上好"},
            "no_watermark": True,
        },
        yields="video",
        label="a cloned voice",
    ),
    Operation(
        method="videos.create",
        endpoint=op.VIDEO_CREATE,
        arguments={"avatar": _CLIP, "use_voice": _STOCK, "no_watermark": False},
        sends={
            "avatar_url": _CLIP,
            "use_voice": {
                "voice_engine_id": "nina",
                "audio_id": "0" * 32,
                "language": "en",
                "text": "Good morning.",
            },
            "no_watermark": False,
        },
        yields="video",
        label="a stock voice",
    ),
    Operation(
        method="videos.create_v2",
        endpoint=op.V2_CREATE,
        arguments={"video": _CLIP, "audio": _SOUND, "line_type": 1},
        sends={"act": "create_v2", "audio_url": _SOUND, "video_url": _CLIP, "line_type": "1"},
        yields="video",
        task="v2 task",
    ),
    Operation(
        method="videos.create_v2",
        endpoint=op.V2_CREATE,
        arguments={"video": _CLIP, "audio": _SOUND},
        sends={"act": "create_v2", "audio_url": _SOUND, "video_url": _CLIP},
        yields="video",
        label="no line",
    ),
    Operation(
        method="videos.create_fast",
        endpoint=op.FAST_CREATE,
        arguments={"avatar": Need("own avatar"), "audio": _SOUND},
        sends={
            "act": "create_video_fast",
            "model_id": Something(),
            "audio_url": _SOUND,
            "line_type": "0",
        },
        yields="video",
        task="fast task",
    ),
    Operation(
        method="avatars.create_fast",
        endpoint=op.MODEL_CREATE,
        arguments={"video": _CLIP, "model_name": "Presenter", "line_type": "0"},
        sends={
            "act": "create_model_fast",
            "model_name": "Presenter",
            "video_url": _CLIP,
            "line_type": "0",
        },
        yields="avatar",
        makes="own avatar",
        task="avatar task",
    ),
    Operation(
        method="remakes.create",
        endpoint=op.REMAKE_CREATE,
        arguments={"video": _CLIP, "text": "Subtitles.", "floating_text": ["a {word}"]},
        sends={"video_url": _CLIP, "text_content": "Subtitles.", "custom_floating_text": ["a {word}"]},
        yields="video",
        task="remake task",
    ),
)

_LEGACY: Final = (
    Operation(
        method="legacy_voices.create_model",
        endpoint=op.OLD_MODEL,
        arguments={"model_name": "Narrator", "line_type": 1},
        sends={"act": "create_model", "model_name": "Narrator", "line_type": "1"},
        gives="Voice",
        makes="empty voice",
    ),
    Operation(
        method="legacy_voices.create_model_audio",
        endpoint=op.OLD_TRAIN,
        arguments={"model": Need("empty voice"), "audio": _SOUND},
        sends={
            "act": "create_model_audio",
            "model_id": Something(),
            "model_audio_url": _SOUND,
            "line_type": "1",
        },
        yields="voice",
        makes="own voice",
        task="voice task",
    ),
    Operation(
        method="legacy_voices.create_audio",
        endpoint=op.OLD_SPEECH,
        arguments={"text": "Only sound.", "voice": Need("own voice")},
        sends={
            "act": "create_audio",
            "task_text": "Only sound.",
            "people_id": Something(),
            "line_type": "1",
        },
        yields="audio",
        task="audio task",
    ),
    Operation(
        method="legacy_voices.check_model_audio",
        endpoint=op.OLD_TRAIN_CHECK,
        arguments={"task_id": Need("voice task")},
        sends={"act": "chk_model_audio", "task_id": Something(), "line_type": "1"},
        gives="Snapshot",
    ),
    Operation(
        method="legacy_voices.check_audio",
        endpoint=op.OLD_SPEECH_CHECK,
        arguments={"task_id": Need("audio task")},
        sends={"act": "chk_audio", "task_id": Something(), "line_type": "1"},
        gives="Snapshot",
    ),
)

_AT_ONCE: Final = (
    Operation(
        method="voices.create_model",
        endpoint=op.VOICE_MODEL,
        arguments={"voices": wav(), "title": "Narrator", "texts": ["hum"]},
        sends={
            "type": "tts",
            "title": "Narrator",
            "train_mode": "fast",
            "visibility": "private",
            "texts": "hum",
            "voices": len(wav()),
        },
        gives="Voice",
        makes="fish voice",
    ),
    Operation(
        method="voices.create_model",
        endpoint=op.VOICE_MODEL,
        arguments={
            "voices": [wav(), wav(7.0)],
            "title": "Narrator",
            "train_mode": "full",
            "visibility": "public",
            "description": "Low.",
            "cover_image": png(),
            "tags": ["low", "calm"],
            "enhance_audio_quality": True,
        },
        sends={
            "type": "tts",
            "title": "Narrator",
            "train_mode": "full",
            "visibility": "public",
            "description": "Low.",
            "tags": ["low", "calm"],
            "enhance_audio_quality": "true",
            "voices": [len(wav()), len(wav(7.0))],
            "cover_image": len(png()),
        },
        gives="Voice",
        label="everything",
    ),
    Operation(
        method="audios.tts",
        endpoint=op.TTS,
        arguments={
            "text": "Only sound.",
            "path": LocalFile(name="spoken.wav"),
            "voice": Need("fish voice"),
            "format": "wav",
            "chunk_length": 150,
            "temperature": 0.5,
        },
        sends={
            "text": "Only sound.",
            "reference_id": Need("fish voice"),
            "format": "wav",
            "chunk_length": 150,
            "temperature": 0.5,
        },
        gives="Downloaded",
    ),
    Operation(
        method="scripts.rewrite",
        endpoint=op.REWRITE,
        arguments={"text": "A shared link.", "model": "gpt-4o-image", "temperature": 0.3},
        sends={
            "model": "gpt-4o-image",
            "messages": [{"role": "user", "content": "A shared link."}],
            "temperature": 0.3,
        },
        gives="Script",
    ),
)

_LOOKS: Final = (
    Operation(
        method="videos.task",
        endpoint=op.VIDEO_TASK,
        arguments={"task_id": Need("video task")},
        gives="Snapshot",
    ),
    Operation(
        method="videos.check_v2",
        endpoint=op.V2_CHECK,
        arguments={"task_id": Need("v2 task")},
        sends={"act": "chk_v2", "task_id": Something(), "line_type": "1"},
        gives="Snapshot",
    ),
    Operation(
        method="videos.check_fast",
        endpoint=op.FAST_CHECK,
        arguments={"task_id": Need("fast task")},
        sends={"act": "chk_video_fast", "task_id": Something(), "line_type": "0"},
        gives="Snapshot",
    ),
    Operation(
        method="avatars.check_fast",
        endpoint=op.MODEL_CHECK,
        arguments={"model_id": Need("avatar task")},
        sends={"act": "chk_model_fast", "model_id": Something(), "line_type": "0"},
        gives="Snapshot",
    ),
    Operation(
        method="remakes.get",
        endpoint=op.REMAKE_TASK,
        arguments={"task_id": Need("remake task")},
        gives="Snapshot",
    ),
)


def _refusal(code: str, text: str, status: int, error: type[ProviderError]) -> Refusal:
    request_id = f"rid-{status}{len(text)}"
    body = {"code": code, "message": f"{text} (request id: {request_id})", "data": None}
    return Refusal(code=code, body=body, error=error, status=status, request_id=request_id)


SAMPLES: Final = Samples(
    operations=(*_WORKS, *_LEGACY, *_AT_ONCE, *_LOOKS),
    submission="videos.create",
    look=op.VIDEO_TASK,
    answers=ANSWERS,
    mistakes=MISTAKES,
    refusals=(
        *(_refusal(code, "no", 403, rule.error) for code, rule in codes.ERRORS.items()),
        _refusal("invalid_request", "参数错误", 400, codes.PARAMETER.error),
        _refusal("bad_media", "未检测到人脸", 400, codes.MEDIA.error),
        _refusal("rejected", "内容违规", 400, codes.REVIEW.error),
        _refusal("rate_limit_exceeded", "slower", 429, codes.TOO_FAST.error),
        _refusal("concurrency_limit", "并发任务数达到上限", 429, codes.TOO_MANY.error),
        _refusal("nobody_knows", "odd", 418, codes.UNKNOWN.error),
    ),
    bad_credentials=tuple({"auth_failure": way} for way in ("json", "text", "ok", "forbidden")),
    too_many_running={"code": "concurrency_limit", "message": "并发任务数达到上限", "data": None},
    marked=False,
    timed=False,
    no_credits={"code": "insufficient_user_quota", "message": "余额不足", "data": None},
)
"""Everything the suites need to know of YunApi."""
