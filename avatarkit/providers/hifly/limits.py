"""HiFly's published limits, as data.

"English" is the older document of API V2 (api.hifly.cc/hifly_en.html), "Chinese" the newer one
(api.hifly.cc/hifly.html). Sizes are given there as "20M", "100M" and "500M"; they are read as 2**20 bytes, as
a file between the two readings may well be accepted, and trying it costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from avatarkit.protocol.limits import MB, ColourRule, MediaRule, RangeRule, TextRule
from avatarkit.protocol.shown import Shelf

AVATAR_VIDEO: Final = MediaRule(
    extensions=("mp4", "mov"),
    max_bytes=500 * MB,
    min_seconds=5,
    max_seconds=30 * 60,
    min_short_side=360,
    max_long_side=4096,
    codecs=("h264",),
    needs_video=True,
    max_url_chars=500,
    note="360p to 4K is read as a shorter side of 360 and a longer side of 4096 pixels (DCI 4K), either way "
    "up. The same URL denotes the same avatar: another video needs another URL.",
    source="Chinese document, avatar/create_by_video",
)
"""A video that an avatar is cloned from."""

AVATAR_IMAGE: Final = MediaRule(
    extensions=("png", "jpg", "jpeg", "webp"),
    note="The documents state neither format nor size; the formats are those that other clients send.",
    source="avatar/create_by_image, no figures in either document",
)
"""A picture that an avatar is cloned from (enterprise plans)."""

VOICE_SAMPLE: Final = MediaRule(
    extensions=("mp3", "m4a", "wav"),
    max_bytes=20 * MB,
    min_seconds=5,
    max_seconds=3 * 60,
    needs_audio=True,
    source="English and Chinese document, voice/create",
)
"""A recording that a voice is cloned from."""

DRIVING_AUDIO: Final = MediaRule(
    extensions=("mp3", "m4a", "wav"),
    max_bytes=100 * MB,
    min_seconds=5,
    max_seconds=30 * 60,
    needs_audio=True,
    note='The Chinese document lists the formats with an "etc.", without naming others.',
    source="English and Chinese document, video/create_by_audio",
)
"""A recording that an avatar speaks."""

TITLE: Final = TextRule(
    max_chars=20, source="English and Chinese document, voice/create and video/create_by_*"
)
"""Titles of works, avatars and voices. Counted in characters, not bytes."""

TEXT: Final = TextRule(
    max_chars=10_000,
    min_chars=1,
    html_allowed=False,
    source="English and Chinese document, video/create_by_tts and audio/create_by_tts",
)
"""Text to be spoken."""

RATE: Final = RangeRule(
    low=0.5, high=2.0, as_text=True, source="English and Chinese document, voice/edit, field rate"
)
VOLUME: Final = RangeRule(
    low=0.1, high=2.0, as_text=True, source="English and Chinese document, voice/edit, field volume"
)
PITCH: Final = RangeRule(
    low=0.1, high=2.0, as_text=True, source="English and Chinese document, voice/edit, field pitch"
)
COLOUR: Final = ColourRule(
    source="Chinese document, video/create_by_tts, st_primary_color and st_outline_color"
)

PAGE_SIZE: Final = 100
"""Rows asked for per page. The default is 20, no maximum is published; other clients use 100 and 300."""

RESULT_URL_SECONDS: Final = 24 * 3600
"""How long a result's URL may be counted on, in seconds. The documents call it temporary and give no figure;
the times inside recorded URLs lie 24 to 48 hours ahead. Fetch at once."""

UPLOAD_URL_SECONDS: Final = 300
"""How long an upload URL may be counted on, in seconds, when it names no ``Expires``. No figure is given."""


@attrs.frozen
class DurationPrior:
    """What is believed about a task's running time in seconds, before any was measured."""

    median: float
    p95: float


DURATIONS: Final[Mapping[str, DurationPrior]] = {
    "video": DurationPrior(90, 300),
    "audio": DurationPrior(20, 90),
    "avatar": DurationPrior(90, 300),
    "voice": DurationPrior(60, 240),
}
"""Prior per kind. Nothing is published; others saw 1 to 5 minutes per video, 30 s for a clip of 15 s."""

USES: Final[Mapping[str, MediaRule]] = {
    "avatar video": AVATAR_VIDEO,
    "avatar picture": AVATAR_IMAGE,
    "driving audio": DRIVING_AUDIO,
    "voice sample": VOICE_SAMPLE,
}
"""What files can be used for here, in words that all providers share."""

TEXTS: Final[Mapping[str, TextRule]] = {"text": TEXT, "title": TITLE}
"""What words can be used for here."""

SHELVES: Final = (
    Shelf(group="avatars", public=True, arguments={"kind": 2}),
    Shelf(group="voices", public=False, arguments={"kind": 1}),
    Shelf(group="voices", public=True, arguments={"kind": 2}),
)
"""The vendor's lists; it has none of one's own avatars."""

_EXTENSION = re.compile(r"[a-z0-9]{1,10}")


def file_extension(extension: str) -> str:
    """*extension* as ``tool/create_upload_url`` wants it: lower case, no dot; else ValueError."""
    plain = extension.strip().removeprefix(".").lower()
    if not _EXTENSION.fullmatch(plain):
        raise ValueError(f"{extension[:40]!r} is no file extension such as mp4")
    return plain
