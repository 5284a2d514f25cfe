"""What the demonstration asks Guiji for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.protocol.props import FirstOf

DEMO: Final[Mapping[str, Any]] = {
    "avatar": FirstOf("avatars.list_public"),
    "voice": FirstOf("voices.list_public"),
    "text": "大家好，我是公共形象库里的主播，这段视频没有花一分钱。",  # noqa: RUF001
}
"""Keyword arguments of :class:`VideoRequest`: a public avatar with a public voice."""
