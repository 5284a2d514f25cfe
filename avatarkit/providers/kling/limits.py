"""Kling's published limits, as data.

Sizes are given as "10MB" and "5MB"; they are read as 2**20 bytes, and as the size of the file, not of its base64 text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import attrs

from avatarkit.models import Voice
from avatarkit.protocol.limits import MB, MediaFacts, MediaRule, RangeRule, TextRule
from avatarkit.protocol.shown import Balance, Shelf

Region = Literal["singapore", "beijing"]

HOSTS: Final[Mapping[str, str]] = {
    "singapore": "https://api-singapore.klingai.com",
    "beijing": "https://api-beijing.klingai.com",
}
"""Where the API lives, outside and inside China. Keys belong to a region. The former ``api.klingai.com`` still answers,
but the vendor tells users to leave it."""

IMAGE: Final = MediaRule(
    extensions=("jpg", "jpeg", "png"),
    max_bytes=10 * MB,
    min_short_side=300,
    note="Width and height at least 300 pixels, their ratio from 1:2.5 to 2.5:1, see check_ratio.",
    source="Avatar, create task, field image",
)
"""The picture that is to speak: a URL, or base64 without a ``data:`` prefix."""

IMAGE_RATIO: Final = RangeRule(low=1 / 2.5, high=2.5, source="Avatar, create task, field image")
"""Width by height."""

SOUND: Final = MediaRule(
    extensions=("mp3", "wav", "m4a", "aac"),
    max_bytes=5 * MB,
    min_seconds=2,
    max_seconds=300,
    needs_audio=True,
    source="Avatar, create task, field sound_file",
)
"""What the picture says: a URL, or base64. The same lengths hold for an ``audio_id``, which lives for 30 days."""

LIP_SOUND: Final = MediaRule(
    extensions=("mp3", "wav", "m4a", "aac"),
    max_bytes=5 * MB,
    min_seconds=2,
    max_seconds=60,
    needs_audio=True,
    source="Lip-sync, create task, field sound_file",
)
"""What a face in a video is to say."""

LIP_VIDEO: Final = MediaRule(
    extensions=("mp4", "mov"),
    max_bytes=100 * MB,
    min_seconds=2,
    max_seconds=60,
    min_short_side=512,
    max_long_side=2160,
    needs_video=True,
    note="720p or 1080p. Only a URL or one of Kling's own videos (at most 30 days old) is taken: nothing is checked.",
    source="Lip-sync, identify face, field video_url",
)
"""A video whose faces are looked for."""

PROMPT: Final = TextRule(max_chars=2500, source="Avatar, create task, field prompt")
"""What the avatar does, how it feels, how the camera moves."""

MODES: Final[Mapping[str, str]] = {"std": "720p", "pro": "1080p"}
"""Modes of an avatar video, and what they are taken to yield."""

UNITS_PER_SECOND: Final[Mapping[str, float]] = {"std": 0.4, "pro": 0.8}
"""Price list of 2026. What is charged differs a little from length times price: a task's ``cost`` is the truth."""

SPEECH_UNITS: Final = 0.05
"""Units that one ``audio/tts`` or one ``identify-face`` costs."""

LIP_SYNC_UNITS: Final = 0.5
"""Units per five seconds of lip-sync."""

TEXT: Final = TextRule(max_chars=1000, min_chars=1, source="Text to speech, field text")
"""Text to be spoken."""

SPEED: Final = RangeRule(low=0.8, high=2.0, decimals=1, source="Text to speech, field voice_speed")
"""Speed of speech, one decimal."""

VOLUME: Final = RangeRule(low=0.0, high=2.0, source="Lip-sync, fields sound_volume and original_audio_volume")

OVERLAP_MS: Final = 2000
"""What is cropped from a sound, and its share of the face's time, must be at least this long, in milliseconds."""

PAGE: Final = 1000
"""The last page of a list; pages count from 1."""

PAGE_SIZE: Final = 500
"""The most tasks on a page; the vendor's default is 30."""

QUERY_IDS: Final = 20
"""The most ids of one ``GET /tasks``. Published for a sister endpoint, and seen to hold here."""

RESULT_DAYS: Final = 30
"""Days until the vendor deletes results, speech and videos. Links may die sooner."""

COSTS_SECONDS: Final = 1.0
"""Seconds between two queries of ``account/costs``."""


def check_ratio(field: str, facts: MediaFacts) -> list[str]:
    """Whether the picture is too long or too wide; a hundredth of tolerance, for cameras round to whole pixels."""
    if not facts.width or not facts.height:
        return []
    ratio = facts.width / facts.height
    if IMAGE_RATIO.low * 0.99 <= ratio <= IMAGE_RATIO.high * 1.01:
        return []
    return [f"{field}: {facts.width}x{facts.height} found, width to height from 1:2.5 to 2.5:1 allowed"]


@attrs.frozen
class SpeechVoice:
    """A voice of ``audio/tts``, and the languages it speaks: ``zh``, ``en``."""

    id: str
    languages: tuple[str, ...]


_BOTH: Final = (
    "genshin_vindi2 zhinen_xuesheng ai_shatang genshin_klee2 genshin_kirara ai_kaiya ai_chenjiahao_712 "
    "chat1_female_new-3 cartoon-boy-07 cartoon-girl-01 ai_huangyaoshi_712 you_pingjing ai_laoguowang_712 "
    "chengshu_jiejie laopopo_speech02 heainainai_speech02"
)
_CHINESE: Final = (
    "tiyuxi_xuedi tiexin_nanyou girlfriend_1_speech02 girlfriend_2_speech02 zhuxi_speech02 uk_oldman3 "
    "dongbeilaotie_speech02 chongqingxiaohuo_speech02 chuanmeizi_speech02 chaoshandashu_speech02 "
    "ai_taiwan_man2_speech02 xianzhanggui_speech02 tianjinjiejie_speech02 diyinnansang_DB_CN_M_04-v2 "
    "yizhipiannan-v1 guanxiaofang-v2 tianmeixuemei-v1 daopianyansang-v1 mengwa-v1"
)
_ENGLISH: Final = (
    "AOT oversea_male1 girlfriend_4_speech02 chat_0407_5-1 uk_boy1 PeppaPig_platform ai_huangzhong_712 "
    "calm_story1 uk_man2 reader_en_m-v1 commercial_lady_en_f-v1"
)

VOICES: Final[tuple[SpeechVoice, ...]] = (
    *(SpeechVoice(name, ("zh", "en")) for name in _BOTH.split()),
    *(SpeechVoice(name, ("zh",)) for name in _CHINESE.split()),
    *(SpeechVoice(name, ("en",)) for name in _ENGLISH.split()),
)
"""Voices that the vendor's own plug-in for ComfyUI offers. There may be others: an unknown id is sent all the same."""

LANGUAGES: Final = ("zh", "en")

USES: Final[Mapping[str, MediaRule]] = {
    "avatar picture": IMAGE,
    "driving audio": SOUND,
    "lip-sync video": LIP_VIDEO,
    "lip-sync audio": LIP_SOUND,
}
"""What files can be used for here, in words that all providers share."""

USE_CHECKS: Final[Mapping[str, Callable[[str, MediaFacts], list[str]]]] = {"avatar picture": check_ratio}
"""What the rules of :data:`USES` cannot say."""

TEXTS: Final[Mapping[str, TextRule]] = {"text": TEXT, "prompt": PROMPT}
"""What words can be used for here; works have no titles."""

SHELVES: Final = (
    Shelf(
        group="voices",
        public=True,
        rows=tuple(Voice(id=voice.id, languages=voice.languages, public=True) for voice in VOICES),
        note="The vendor has no list to ask for: these are the voices that its own plug-in offers.",
    ),
)
"""The vendor's lists."""

BALANCE: Final = Balance(
    note="What is left in resource packs, up to 12 hours late; an account that pays by its balance shows 0."
)
"""What is left on the account."""
