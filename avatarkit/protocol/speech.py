"""How long a text takes to speak, roughly."""

from __future__ import annotations

_CJK_PER_SECOND = 4.5
_OTHER_PER_SECOND = 15.0


def spoken_seconds(text: str) -> float:
    """An estimate in seconds: about 270 Chinese characters or 170 English words a minute. At least half a second.

    It scales what is learned of durations, and estimates credits; nothing is decided by it alone.
    """
    wide = sum(1 for char in text if "\u3000" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7af")
    return max(0.5, wide / _CJK_PER_SECOND + (len(text) - wide) / _OTHER_PER_SECOND)
