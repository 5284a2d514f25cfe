"""HiFly's requests for ``generate`` as data, one for each of its routes, for suites that loop over all providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.protocol.samples import LocalFile, Need, png, wav

_CLIP: Final = "https://media.example.com/clips/presenter.mp4"
_FACE: Final = LocalFile(name="face.png", content=png())
_SOUND: Final = LocalFile(name="speech.wav", content=wav())
_WORDS: Final[Mapping[str, Any]] = {
    "text": "Good morning, and welcome to the forecast.",
    "voice": Need("voice"),
    "subtitles": True,
    "title": "forecast",
}

REQUESTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"avatar": Need("avatar"), **_WORDS},
    {"avatar": Need("avatar"), "audio": _SOUND},
    {"image": _FACE, **_WORDS, "options": {"hifly": {"model": 2}}},
    {"image": _FACE, "audio": _SOUND},
    {"video": _CLIP, **_WORDS},
    {"video": _CLIP, "audio": _SOUND},
)
"""Keyword arguments of :class:`VideoRequest`."""
