"""Every operation of YunApi's document, as data. The acts of ``agent_api.php`` share one path.

No page says what is billed; everything that makes sound, pictures or text is taken to be. What is made at once, without
a task, has the effect ``WRITE``; the client sends it only once all the same.
"""

from __future__ import annotations

from avatarkit.models import Kind
from avatarkit.protocol.endpoint import Effect, Endpoint

WORKS = "works"
"""The cap on running tasks, where there is one: the vendor publishes none."""

_AGENT = "/agent_api.php"


def _act(name: str, source: str, kind: Kind, *, submits: bool = False, pool: str = "") -> Endpoint:
    return Endpoint(
        name=name,
        method="POST",
        path=_AGENT,
        effect=Effect.SUBMIT if submits else Effect.READ,
        billed=submits,
        kind=kind,
        pool=pool,
        source=source,
    )


# -- standard works

VIDEO_CREATE = Endpoint(
    name="videos.create",
    method="POST",
    path="/avatar/generation",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=WORKS,
    source="标准版数字人合成 / 生成数字人视频",
)
VIDEO_TASK = Endpoint(
    name="videos.task",
    method="GET",
    path="/avatar/task/{id}",
    kind=Kind.VIDEO,
    source="标准版数字人合成 / 获取任务详情",
)

# -- agent_api.php

V2_CREATE = _act(
    "videos.create_v2", "高质量视频合成 / 创建V2视频任务, create_v2", Kind.VIDEO, submits=True, pool=WORKS
)
V2_CHECK = _act("videos.check_v2", "高质量视频合成 / 查询V2合成进度, chk_v2", Kind.VIDEO)
FAST_CREATE = _act(
    "videos.create_fast",
    "高速视频合成接口 / 创建高速视频任务, create_video_fast",
    Kind.VIDEO,
    submits=True,
    pool=WORKS,
)
FAST_CHECK = _act("videos.check_fast", "高速视频合成接口 / 查询pro视频进度, chk_video_fast", Kind.VIDEO)
MODEL_CREATE = _act(
    "avatars.create_fast",
    "高速视频合成接口 / 创建并训练形象模特, create_model_fast",
    Kind.AVATAR,
    submits=True,
)
MODEL_CHECK = _act("avatars.check_fast", "高速视频合成接口 / 查询模特训练进度, chk_model_fast", Kind.AVATAR)
OLD_MODEL = Endpoint(
    name="legacy_voices.create_model",
    method="POST",
    path=_AGENT,
    effect=Effect.WRITE,
    source="声音克隆(废弃) / 创建音色模型, create_model",
)
OLD_TRAIN = _act(
    "legacy_voices.create_model_audio",
    "声音克隆(废弃) / 训练模型音色, create_model_audio",
    Kind.VOICE,
    submits=True,
)
OLD_TRAIN_CHECK = _act(
    "legacy_voices.check_model_audio", "声音克隆(废弃) / 查询音色训练进度, chk_model_audio", Kind.VOICE
)
OLD_SPEECH = _act(
    "legacy_voices.create_audio",
    "声音克隆(废弃) / 创建文本转音频任务, create_audio",
    Kind.AUDIO,
    submits=True,
    pool=WORKS,
)
OLD_SPEECH_CHECK = _act(
    "legacy_voices.check_audio", "声音克隆(废弃) / 查询音频合成进度, chk_audio", Kind.AUDIO
)

# -- voices, speech, scripts

VOICE_MODEL = Endpoint(
    name="voices.create_model",
    method="POST",
    path="/model",
    effect=Effect.WRITE,
    billed=True,
    source="自研声音克隆 / 创建新的语音模型",
)
TTS = Endpoint(
    name="audios.tts",
    method="POST",
    path="/v1/tts",
    effect=Effect.WRITE,
    billed=True,
    source="自研声音克隆 / 将文本转换为语音",
)
REWRITE = Endpoint(
    name="scripts.rewrite",
    method="POST",
    path="/chat/completions",
    effect=Effect.WRITE,
    billed=True,
    source="文案二创",
)

# -- remakes

REMAKE_CREATE = Endpoint(
    name="remakes.create",
    method="POST",
    path="/generate_video",
    effect=Effect.SUBMIT,
    billed=True,
    kind=Kind.VIDEO,
    pool=WORKS,
    source="视频二创 / 创建视频生成任务",
)
REMAKE_TASK = Endpoint(
    name="remakes.get",
    method="GET",
    path="/query_video/{task_id}",
    kind=Kind.VIDEO,
    source="视频二创 / 查询视频任务状态",
)

ALL = (
    VIDEO_CREATE,
    VIDEO_TASK,
    V2_CREATE,
    V2_CHECK,
    FAST_CREATE,
    FAST_CHECK,
    MODEL_CREATE,
    MODEL_CHECK,
    OLD_MODEL,
    OLD_TRAIN,
    OLD_TRAIN_CHECK,
    OLD_SPEECH,
    OLD_SPEECH_CHECK,
    VOICE_MODEL,
    TTS,
    REWRITE,
    REMAKE_CREATE,
    REMAKE_TASK,
)
