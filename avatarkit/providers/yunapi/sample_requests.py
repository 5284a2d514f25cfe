"""YunApi's requests for ``generate`` as data, one for each of its routes, for suites that loop over all providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.protocol.samples import LocalFile, Need, png, wav

_CLIP: Final = "https://media.example.com/clips/presenter.mp4"
_FACE: Final = LocalFile(name="face.png", content=png())
_SOUND: Final = LocalFile(name="speech.wav", content=wav())
_WORDS: Final[Mapping[str, Any]] = {
    "text": "Good morning, and welcome to the forecast.",
    "voice": "nina:0a1b",
}

REQUESTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"image": _FACE, "audio": _SOUND},
    {"image": _FACE, **_WORDS},
    {"video": _CLIP, "audio": _SOUND, "options": {"yunapi": {"no_watermark": True}}},
    {"video": _CLIP, **_WORDS},
    {"avatar": Need("own avatar"), "audio": _SOUND},
)
"""Keyword arguments of :class:`VideoRequest`."""
