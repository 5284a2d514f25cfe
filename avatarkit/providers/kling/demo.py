"""What the demonstration asks Kling for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.protocol.props import Prop

DEMO: Final[Mapping[str, Any]] = {
    "image": Prop("picture"),
    "text": "Good evening. Kling spoke this text first, and then it moved my picture to the sound.",
    "voice": "AOT",
    "prompt": "She nods and smiles.",
}
"""Keyword arguments of :class:`VideoRequest`: the text is spoken, then the picture speaks it."""
