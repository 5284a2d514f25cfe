"""What the studio takes and gives: plain data, importable without the ``studio`` extra."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.int16]

# Voices of espeak-ng that stay pleasant on both English and Mandarin; "" is the default speaker.
_VARIANTS = ("", "f2", "f3", "f4", "m3", "m5", "m7", "steph", "Andy", "belinda")


@attrs.frozen(kw_only=True)
class Rendered:
    """What was written: seconds, picture size in pixels (0 for sound alone), frames a second, bytes."""

    duration_s: float
    width: int = 0
    height: int = 0
    fps: float = 0.0
    size_bytes: int = 0


@attrs.frozen
class Word:
    """A stretch of the spoken text with its punctuation, and when it is heard (seconds from the start)."""

    text: str
    start_s: float
    end_s: float


@attrs.frozen(kw_only=True, eq=False)
class Speech:
    """Mono sound and the words in it; ``samples`` is a numpy array of int16, ``sample_rate`` in Hz."""

    samples: Samples
    sample_rate: int
    words: tuple[Word, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate


@attrs.frozen(kw_only=True)
class SubtitleStyle:
    """How subtitles are drawn, in the coordinates of a 1080x1920 frame (scaled to the real one).

    ``width``, ``height``, ``pos_x`` and ``pos_y`` give the box that holds the text: one phrase at a time, as
    many lines as fit, centred. Colours are ``#rrggbb``; ``outline_color=None`` draws no outline.
    ``font_name`` is used when a font of that name is installed and has the glyphs.
    """

    font_name: str | None = None
    font_size: float = 100
    primary_color: str = "#ffffff"
    outline_color: str | None = "#000000"
    width: float = 600
    height: float = 100
    pos_x: float = 60
    pos_y: float = 900


@attrs.frozen
class Timbre:
    """The sound of one cloned voice, derived from its id: one id always sounds the same, two ids differ."""

    seed: str | int

    def _byte(self, index: int) -> int:
        return hashlib.sha256(str(self.seed).encode("utf-8", "replace")).digest()[index]

    @property
    def variant(self) -> str:
        """Name of the espeak-ng voice variant, ``""`` for the plain voice."""
        return _VARIANTS[self._byte(0) % len(_VARIANTS)]

    @property
    def pitch(self) -> float:
        """Factor on the pitch asked for, 0.8 to 1.2."""
        return 0.8 + 0.4 * self._byte(1) / 255

    @property
    def rate(self) -> float:
        """Factor on the speaking rate asked for, 0.92 to 1.08."""
        return 0.92 + 0.16 * self._byte(2) / 255
