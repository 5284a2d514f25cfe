"""YunApi's published limits, as data.

Few figures are published. "Document" is the vendor's own page, "twin" the page of another reseller of the same
product. What only a twin says is kept, since breaking it costs money.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from avatarkit.protocol.limits import MB, MediaRule, RangeRule, TextRule

AVATAR: Final = MediaRule(
    max_bytes=100 * MB,
    note='The page says "100m at most" without saying of which file; it is read as each file. A picture or a video '
    "with a face to be seen (twin).",
    source="document, 生成数字人视频",
)
"""A picture or video of the presenter of a standard work."""

SPEECH: Final = MediaRule(max_bytes=100 * MB, source="document, 生成数字人视频")
"""A recording that a standard work speaks."""

VOICE_SAMPLE: Final = MediaRule(
    max_bytes=100 * MB, min_seconds=20, source="twin of the document, create_voice.audio_url"
)
"""A recording that ``create_voice`` clones."""

MATERIAL: Final = MediaRule(source="document, 高质量视频合成 and 高速视频合成接口: no figures")
"""Video and sound of the V2 and the fast API, and of remakes."""

TRAINING_CLIP: Final = MediaRule(
    max_bytes=1024 * MB, min_seconds=30, max_seconds=300, source="document, 创建并训练形象模特"
)
"""A video that a fast model is trained with."""

TRAINING_SOUND: Final = MediaRule(
    max_bytes=1024 * MB,
    min_seconds=30,
    max_seconds=300,
    note="The text seems to be copied from the training of video models.",
    source="document, 训练模型音色 (deprecated)",
)
"""A recording that a deprecated voice model is trained with."""

VOICE_FILE: Final = MediaRule(
    extensions=("mp3", "wav", "m4a", "ogg", "opus", "flac", "aac"),
    note="No format and no size is published; the formats are common ones.",
    source="document, 创建新的语音模型: no figures",
)
"""A recording that ``/model`` learns a voice from."""

TEXT: Final = TextRule(min_chars=1, source="no figures in any document")
"""Texts, names and scripts: not empty."""

CHUNK_LENGTH: Final = RangeRule(
    low=100, high=300, decimals=0, source="document, 将文本转换为语音, chunk_length"
)
TTS_TEMPERATURE: Final = RangeRule(low=0.1, high=2, source="document, 将文本转换为语音, temperature")
TOP_P: Final = RangeRule(low=0.1, high=1, source="document, 将文本转换为语音, top_p")
CHAT_TEMPERATURE: Final = RangeRule(low=0, high=1, source="document, 文案二创, temperature")
TTS_FORMATS: Final = ("mp3", "wav", "pcm", "opus")
TTS_LATENCIES: Final = ("normal", "balanced")
TTS_MODELS: Final = ("speech-1.5", "speech-1.6", "s1", "s1-mini")
MP3_BITRATES: Final = (64, 128, 192)
TRAIN_MODES: Final = ("fast", "full")
VISIBILITIES: Final = ("public", "unlist", "private")
LINE_TYPES: Final = ("0", "1")
"""``line_type``: 1 is the fast line, 0 the ordinary one. Which is the default the vendor does not say."""

TTS_CONTENT: Final = ("audio/", "application/octet-stream", "binary/octet-stream")
"""How the content type of sound begins; anything else is an error in disguise."""

REMAKE_URL_SECONDS: Final = 15 * 60
"""How long a remake's URL may be counted on: the page's sample expires about 16 minutes after its creation, if its
times are UTC. Fetch at once; asking again gives a fresh signature."""

RESULT_URL_SECONDS: Final = 3600
"""How long other results may be counted on: nothing is published; the product behind it signs for about an hour."""


@attrs.frozen
class DurationPrior:
    """What is believed about a task's running time in seconds, before any was measured."""

    median: float
    p95: float


DURATIONS: Final[Mapping[str, DurationPrior]] = {
    "video": DurationPrior(120, 600),
    "audio": DurationPrior(30, 120),
    "avatar": DurationPrior(600, 3600),
    "voice": DurationPrior(300, 1800),
}
"""Prior per kind. Nothing is published."""

PER_SECOND: Final = 10.0
"""Requests a second. No limit is published; ten keeps a fleet of pollers polite."""


def _with_sound(rule: MediaRule) -> MediaRule:
    return attrs.evolve(rule, needs_audio=True)


USES: Final[Mapping[str, MediaRule]] = {
    "avatar video": attrs.evolve(AVATAR, needs_video=True),
    "avatar picture": attrs.evolve(
        AVATAR,
        extensions=("png", "jpg", "jpeg", "webp"),
        note=f"No format is published; the formats are common ones. {AVATAR.note}",
    ),
    "driving audio": _with_sound(SPEECH),
    "voice sample": _with_sound(VOICE_SAMPLE),
    "voice model recording": _with_sound(VOICE_FILE),
    "training video": attrs.evolve(TRAINING_CLIP, needs_video=True),
}
"""What files can be used for here, in words that all providers share. That a sound must hold sound goes without saying
in the vendor's pages; whoever asks whether a file is fit wants to be told all the same."""

TEXTS: Final[Mapping[str, TextRule]] = {"text": TEXT, "title": TEXT}
"""What words can be used for here."""
