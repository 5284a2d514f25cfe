"""Kling's requests for ``generate`` as data, one for each of its routes, for suites that loop over all providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.protocol.samples import LocalFile, png, wav

_CLIP: Final = "https://media.example.com/clips/presenter.mp4"
_FACE: Final = LocalFile(name="face.png", content=png(320, 320))
_SOUND: Final = LocalFile(name="speech.wav", content=wav())
_WORDS: Final[Mapping[str, Any]] = {
    "text": "Good morning, and welcome to the forecast for all of the coast.",
    "voice": "AOT",
}

REQUESTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"image": _FACE, "audio": _SOUND, "prompt": "nods and smiles", "size": "1080p"},
    {"image": _FACE, **_WORDS, "options": {"kling": {"voice_speed": 1.2}}},
    {"video": _CLIP, "audio": _SOUND},
    {"video": _CLIP, **_WORDS},
)
"""Keyword arguments of :class:`VideoRequest`."""
