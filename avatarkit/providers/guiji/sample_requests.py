"""Guiji's requests for ``generate`` as data, one for each of its routes, for suites that loop over all providers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.protocol.samples import LocalFile, Need, wav

_CLIP: Final = "https://media.example.com/clips/presenter.mp4"
_SOUND: Final = LocalFile(name="speech.wav", content=wav())
_WORDS: Final[Mapping[str, Any]] = {
    "text": "Good morning, and welcome to the forecast.",
    "voice": Need("voice"),
}
_AGREED: Final[Mapping[str, Any]] = {
    "authorize_url": "https://media.example.com/clips/consent.mp4",
    "authorize_text": "I consent to the clone of my likeness.",
}

REQUESTS: Final[tuple[Mapping[str, Any], ...]] = (
    {"avatar": Need("avatar"), **_WORDS, "title": "forecast"},
    {"avatar": Need("avatar"), "audio": _SOUND},
    {"video": _CLIP, **_WORDS, "options": {"guiji": _AGREED}},
    {"video": _CLIP, "audio": _SOUND, "options": {"guiji": _AGREED}},
)
"""Keyword arguments of :class:`VideoRequest`."""
