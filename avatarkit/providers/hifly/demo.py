"""What the demonstration asks HiFly for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.protocol.props import FirstOf, Prop

DEMO: Final[Mapping[str, Any]] = {
    "image": Prop("picture"),
    "text": "Hello! HiFly made an avatar of my picture first, and then it let me speak.",
    "voice": FirstOf("voices.list", {"kind": 2}),
    "subtitles": True,
}
"""Keyword arguments of :class:`VideoRequest`: a clone, then a video."""
