"""How long a text takes to speak, roughly."""

from __future__ import annotations

import re

_WIDE = re.compile("[\u3000-\u9fff\uac00-\ud7af]")
_CJK_PER_SECOND = 4.5
_OTHER_PER_SECOND = 15.0


def spoken_seconds(text: str) -> float:
    """An estimate in seconds: about 270 Chinese characters or 170 English words a minute. At least half a second.

    It scales what is learned of durations, and estimates credits; nothing is decided by it alone.
    """
    wide = 0 if text.isascii() else len(_WIDE.findall(text))
    return max(0.5, wide / _CJK_PER_SECOND + (len(text) - wide) / _OTHER_PER_SECOND)
