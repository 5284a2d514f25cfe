"""Guiji's published limits, as data. Few are published; what is not is left to the vendor.

"Document" is the vendor's "API Integration" page, "interface page" its "Interface Documentation".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from avatarkit.protocol.limits import MediaRule, TextRule
from avatarkit.protocol.shown import Balance, Counter, Shelf

AVATAR_VIDEO: Final = MediaRule(
    needs_video=True,
    note="Size, bit rate, resolution and frame rate are limited (40013, 40022 to 40024); no figures are given.",
    source="document, 3.1",
)
"""A video that an avatar is cloned from, and the video of the consent."""

VOICE_SAMPLE: Final = MediaRule(
    extensions=("wav",),
    needs_audio=True,
    note="10 to 30 seconds are recommended, one speaker in a quiet room, nothing stitched together; children's and "
    "old people's voices are discouraged. Shorter and longer ones are not refused here.",
    source="document, 4.1",
)
"""A recording that a voice is cloned from."""

CONSENT_AUDIO: Final = MediaRule(needs_audio=True, note="Nothing is published on it.", source="document, 4.1")
"""A recording in which the consent to the clone is spoken."""

DRIVING_AUDIO: Final = MediaRule(
    needs_audio=True, note="Its duration is limited (code 40012); no figure is given.", source="document, 5.1"
)
"""A recording that an avatar speaks."""

NO_WAV: Final = frozenset({"mp3", "m4a", "aac", "ogg", "opus", "flac", "wma", "amr", "mp4", "mov", "webm"})
"""Extensions of a URL that surely name no WAV file; one without any extension may well be one."""

TEXT: Final = TextRule(min_chars=1, source="document, 5.1 and 6.1; no maximum is published")
"""Text to be spoken."""

CONSENT_TEMPLATES: Final = {
    "avatar": "I am {name}. I consent {company} clone my avatar for the synthesis of video.",
    "voice": "I am {name}. I consent {company} clone my voice for the synthesis of audio.",
}
"""What is spoken in the consent, with the real name and the authorised company (document, 3.1 and 4.1)."""

PAGE_SIZE: Final = 100
"""Rows asked for per page. No maximum is published; 100 stands in the document's sample 6.3 and is in use."""

TOKEN_SECONDS: Final = 7200
"""How long an access token is good where its answer does not say (interface page: 2 hours)."""

TOKEN_EARLY_SECONDS: Final = 300
"""How long before its end a token is renewed, so that no request travels with one that dies on the way."""

RESULT_SECONDS: Final = 24 * 3600
"""How long a video or sound is kept, in seconds: works are deleted 24 hours after they are done (interface page)."""

SETTLE_SECONDS: Final = 120
"""How long after a lost submission a list that does not show it proves that nothing was made. Nobody documents how
fast rows appear; creates take a few seconds."""

UTC_OFFSET_HOURS: Final = 8
"""Times without a zone are China's: the document's samples 3.2 and 3.3 show one moment in both forms."""

USES: Final[Mapping[str, MediaRule]] = {
    "avatar video": AVATAR_VIDEO,
    "consent video": AVATAR_VIDEO,
    "driving audio": DRIVING_AUDIO,
    "voice sample": VOICE_SAMPLE,
    "consent audio": CONSENT_AUDIO,
}
"""What files can be used for here, in words that all providers share."""

TEXTS: Final[Mapping[str, TextRule]] = {"text": TEXT}
"""What words can be used for here; nothing is published on titles."""

SHELVES: Final = (
    Shelf(group="avatars", public=False, note="Videos are made with avatar_id; id names the training."),
    Shelf(group="avatars", public=True, method="list_public"),
    Shelf(group="voices", public=False),
    Shelf(group="voices", public=True, method="list_public"),
)
"""The vendor's lists."""

BALANCE: Final = Balance(
    method="account.benefits",
    counters=(
        Counter(left="video_seconds", unit="seconds of video", total="video_seconds_total"),
        Counter(left="characters", unit="characters of speech", total="characters_total"),
        Counter(left="avatars", unit="avatar clonings", total="avatars_total"),
        Counter(left="voices", unit="voice clonings", total="voices_total"),
    ),
)
"""What is left of the package."""
