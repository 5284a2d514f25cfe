"""What the demonstration asks YunApi for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.protocol.props import Prop

DEMO: Final[Mapping[str, Any]] = {"image": Prop("picture"), "audio": Prop("speech")}
"""Keyword arguments of :class:`VideoRequest`: both files go through a staging, for the vendor takes only URLs."""
