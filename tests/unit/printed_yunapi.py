"""The examples of YunApi's document: one operation in full, and the menu that names all of them."""

from __future__ import annotations

from typing import Any, Final

from printed import Count, Exchange, Printed

from avatarkit.models import Kind
from avatarkit.providers.yunapi.models import CreateVoice, UseVoice

DOCUMENT: Final = "YunApi"
_PICTURE: Final = "https://media.example.com/noor.jpg"
_CLIP: Final = "https://media.example.com/noor.mp4"
_SOUND: Final = "https://media.example.com/noor.mp3"
_SAMPLE: Final = "https://media.example.com/noor-speaks.mp3"
_KEY: Final = "5d" * 16


def _made(
    section: str, arguments: dict[str, Any], body: dict[str, Any], task_id: str, **more: Any
) -> Exchange:
    return Exchange(
        documents=(DOCUMENT,),
        section=section,
        call="videos.create",
        arguments=arguments,
        line="POST /avatar/generation",
        body=body,
        # The text calls 200 the good code, the example prints 0.
        answer={"code": 0, "data": {"id": "w0rk17"}},
        gives={"id": task_id, "kind": Kind.VIDEO},
        **more,
    )


FROM_SOUND = _made(
    "example values, first",
    {"avatar": _PICTURE, "audio": _SOUND, "no_watermark": True},
    {"audio_url": _SOUND, "avatar_url": _PICTURE, "no_watermark": True},
    "clean:w0rk17",
    asked=1,
    answered=0,
)
FROM_A_SAMPLE = _made(
    "example values, second",
    {"avatar": _PICTURE, "create_voice": CreateVoice(audio=_SAMPLE, language="en", text="Good day.")},
    {
        "create_voice": {"audio_url": _SAMPLE, "language": "en", "text": "Good day."},
        "avatar_url": _PICTURE,
    },
    "w0rk17",
    asked=1,
    answered=0,
)
FROM_A_VOICE = _made(
    "example values, third",
    {
        "avatar": _CLIP,
        "use_voice": UseVoice(voice_engine_id="noor", audio_id=_KEY, language="en", text="Good day."),
    },
    {
        "use_voice": {"voice_engine_id": "noor", "audio_id": _KEY, "language": "en", "text": "Good day."},
        "avatar_url": _CLIP,
    },
    "w0rk17",
    asked=1,
    answered=0,
)
PLAIN = _made(
    "example and cURL",
    {"avatar": _CLIP, "audio": _SOUND},
    {"audio_url": _SOUND, "avatar_url": _CLIP},
    "w0rk17",
    asked=2,
)

PRINTED: Final = Printed(
    exchanges=(FROM_SOUND, FROM_A_SAMPLE, FROM_A_VOICE, PLAIN),
    # Three example values in one line, the example below them, the same in cURL; one answer.
    counts={DOCUMENT: Count(requests=5, answers=1)},
    named={
        DOCUMENT: {
            "标准版数字人合成 / 生成数字人视频": "videos.create",
            "标准版数字人合成 / 获取任务详情": "videos.task",
            "高质量视频合成 / 创建V2视频任务": "videos.create_v2",
            "高质量视频合成 / 查询V2合成进度": "videos.check_v2",
            "自研声音克隆 / 创建新的语音模型": "voices.create_model",
            "自研声音克隆 / 将文本转换为语音": "audios.tts",
            "文案二创": "scripts.rewrite",
            "视频二创 / 创建视频生成任务": "remakes.create",
            "视频二创 / 查询视频任务状态": "remakes.get",
            "声音克隆(废弃) / 创建音色模型": "legacy_voices.create_model",
            "声音克隆(废弃) / 训练模型音色": "legacy_voices.create_model_audio",
            "声音克隆(废弃) / 创建文本转音频任务": "legacy_voices.create_audio",
            "声音克隆(废弃) / 查询音色训练进度": "legacy_voices.check_model_audio",
            "声音克隆(废弃) / 查询音频合成进度": "legacy_voices.check_audio",
            "高速视频合成接口 / 创建并训练形象模特": "avatars.create_fast",
            "高速视频合成接口 / 创建高速视频任务": "videos.create_fast",
            "高速视频合成接口 / 查询模特训练进度": "avatars.check_fast",
            "高速视频合成接口 / 查询pro视频进度": "videos.check_fast",
        }
    },
)
