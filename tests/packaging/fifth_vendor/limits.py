"""Its published limits."""

from __future__ import annotations

from collections.abc import Mapping

from avatarkit.protocol.limits import MB, MediaRule

PICTURE = MediaRule(extensions=("png",), max_bytes=10 * MB)
USES: Mapping[str, MediaRule] = {"avatar picture": PICTURE}
