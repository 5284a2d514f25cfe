"""Subtitles burned into the picture: phrases cut to fit their box, each shown while it is spoken."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

from avatarkit.studio.fonts import Font, font_for, has_glyph
from avatarkit.studio.models import SubtitleStyle, Word
from avatarkit.studio.mouth import Area, Pixels, area_of

if TYPE_CHECKING:
    from avatarkit.studio.models import Speech

_FRAME_WIDTH, _FRAME_HEIGHT = 1080, 1920  # the coordinates of SubtitleStyle
_LINE = 1.3  # line height as a share of the font size
_STAYS_S = 0.5  # a phrase stays this long after its last word if nothing follows at once
_SMALLEST = 8  # pixels; below that text is no longer readable anyway
_SENTENCE_END = "。！？!?；;…"  # noqa: RUF001 - Chinese marks are meant
_PAUSE_MARKS = ".,，、：:" + _SENTENCE_END  # noqa: RUF001
# One Chinese character with the marks that follow it, or one word with its punctuation and space.
_TOKENS = re.compile(
    r"[\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff][^\w\s]*\s*|[^\s\u2e80-\u9fff\uf900-\ufaff]+\s*"
)


@attrs.frozen
class Cue:
    """Lines of text and the time they are shown, in seconds."""

    lines: tuple[str, ...]
    start_s: float
    end_s: float


@attrs.frozen
class _Drawn:
    """A cue as pixels: colour and coverage for one area of the frame."""

    cue: Cue
    area: Area
    color: npt.NDArray[np.floating[Any]]
    alpha: npt.NDArray[np.floating[Any]]


def timed_words(speech: Speech, text: str) -> tuple[Word, ...]:
    """The words to show: the speech's own if they are those of *text*, else *text* spread over the sound."""
    if speech.words and (not text or _bare(text) == _bare("".join(word.text for word in speech.words))):
        return speech.words
    tokens = _TOKENS.findall(text)
    if not tokens:
        return ()
    loud = np.flatnonzero(np.abs(speech.samples.astype(np.int32)) > 300)
    begin, end = (float(loud[0]), float(loud[-1])) if len(loud) else (0.0, float(len(speech.samples)))
    weights = np.array([_weight(token) for token in tokens])
    edges = (
        begin + np.concatenate([[0], weights.cumsum()]) / weights.sum() * (end - begin)
    ) / speech.sample_rate
    return tuple(Word(token, float(edges[i]), float(edges[i + 1])) for i, token in enumerate(tokens))


def _bare(text: str) -> str:
    return "".join(c for c in text if c.isalnum())


def _weight(token: str) -> float:
    letters = sum(c.isalnum() for c in token)
    pause = 1.2 if any(c in _PAUSE_MARKS for c in token) else 0.0
    return (1.0 if _wide(token[0]) else 0.6 + 0.28 * letters) + pause


def _wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def cut(words: Sequence[Word], fits: Callable[[str], tuple[str, ...] | None]) -> list[Cue]:
    """Join words into phrases that fit. *fits* gives a phrase's lines, or None if it is too long."""
    cues: list[Cue] = []
    held: list[Word] = []

    def close() -> None:
        phrase = "".join(word.text for word in held).strip()
        if phrase:
            cues.append(Cue(fits(phrase) or (phrase,), held[0].start_s, held[-1].end_s + _STAYS_S))
        held.clear()

    for word in words:
        if held and fits("".join(w.text for w in (*held, word)).strip()) is None:
            close()
        held.append(word)
        if word.text.rstrip()[-1:] in _SENTENCE_END or word.text.rstrip().endswith("."):
            close()
    close()
    # One phrase leaves when the next one comes.
    following = [*(cue.start_s for cue in cues[1:]), math.inf][: len(cues)]
    return [
        attrs.evolve(cue, end_s=min(cue.end_s, start)) for cue, start in zip(cues, following, strict=True)
    ]


class Subtitles:
    """All subtitles of one video; :meth:`burn` draws the one due at a given time, if any."""

    def __init__(self, words: Sequence[Word], style: SubtitleStyle, size: tuple[int, int]) -> None:
        self._size = size
        self._x, self._y = size[0] / _FRAME_WIDTH, size[1] / _FRAME_HEIGHT
        self._scale = min(self._x, self._y)
        self._style = style
        self._fill = _rgb(style.primary_color, (255, 255, 255))
        self._edge = _rgb(style.outline_color, (0, 0, 0)) if style.outline_color else None
        text = "".join(word.text for word in words)
        self._pixels = max(float(_SMALLEST), style.font_size * self._scale)
        self._font = font_for(text, self._pixels, style.font_name)
        self._glyphs = {c for c in set(text) if c.isspace() or has_glyph(self._font, c)}
        self._box_width = max(16.0, min(style.width * self._x, size[0] - 4.0))
        self._lines = max(1, int(style.height * self._y / (self._pixels * _LINE) + 0.25))
        self.cues = cut(words, self._fits)
        self._at = 0
        self._now: _Drawn | None = None

    def burn(self, frame: Pixels, time_s: float) -> tuple[Area, Pixels] | None:
        """Draw onto *frame* what is due at *time_s*, which must not go backwards.

        Returns the area drawn on and its pixels as they were, to clean a frame that is used again.
        """
        while self._at < len(self.cues) and self.cues[self._at].end_s <= time_s:
            self._at += 1
        if self._at >= len(self.cues) or self.cues[self._at].start_s > time_s:
            return None
        cue = self.cues[self._at]
        if self._now is None or self._now.cue is not cue:
            self._now = self._draw(cue)
        drawn = self._now
        under = drawn.area.of(frame)
        before = under.copy()
        under[:] = (before + (drawn.color - before) * drawn.alpha).astype(np.uint8)
        return drawn.area, before

    def _shown(self, text: str) -> str:
        return "".join(c for c in text if c in self._glyphs)

    def _fits(self, phrase: str) -> tuple[str, ...] | None:
        """The phrase wrapped into the box's lines; None if there are too many."""
        lines = self._wrapped(phrase, self._box_width)
        return lines if len(lines) <= self._lines else None

    def _wrapped(self, phrase: str, width: float) -> tuple[str, ...]:
        lines, line = [], ""
        for token in _TOKENS.findall(self._shown(phrase)) or [self._shown(phrase)]:
            if line and self._font.getlength((line + token).rstrip()) > width:
                lines.append(line.rstrip())
                line = ""
            line += token
        lines.append(line.rstrip())
        return tuple(lines)

    def _balanced(self, lines: tuple[str, ...]) -> tuple[str, ...]:
        """The same text in as many lines, but of about equal length: no lonely last word."""
        phrase, width = " ".join(lines) if " " in "".join(lines) else "".join(lines), self._box_width
        best = lines
        while len(best) > 1:
            width *= 0.93
            narrower = self._wrapped(phrase, width)
            if len(narrower) != len(lines):
                break
            best = narrower
        return best

    def _draw(self, cue: Cue) -> _Drawn:
        font, pixels = self._font, self._pixels
        lines = self._balanced(cue.lines)
        widest = max(font.getlength(line) for line in lines)
        if widest > self._box_width:
            pixels = max(float(_SMALLEST), pixels * self._box_width / widest)
            font = _resized(font, pixels)
        edge = max(1, round(pixels * 0.06)) if self._edge else 0
        tall = pixels * _LINE
        left, top = self._style.pos_x * self._x, self._style.pos_y * self._y
        box_height = max(self._style.height * self._y, tall * len(lines))
        # A box partly outside the frame is moved inside: a subtitle nobody sees helps no one.
        left = max(0.0, min(left, self._size[0] - self._box_width))
        top = max(0.0, min(top, self._size[1] - box_height))
        pad = edge + 2
        area = area_of(
            left - pad, top - pad, left + self._box_width + pad, top + box_height + pad, self._size
        )
        fill, outline = (Image.new("L", (area.right - area.left, area.bottom - area.top)) for _ in range(2))
        first = top - area.top + (box_height - tall * len(lines)) / 2
        middle = left - area.left + self._box_width / 2
        for number, line in enumerate(lines):
            at = (middle, first + tall * (number + 0.5))
            ImageDraw.Draw(outline).text(
                at, line, 255, font, anchor="mm", stroke_width=edge + 1 if edge else 0
            )
            # Half a pixel of weight keeps thin strokes readable after video compression.
            ImageDraw.Draw(fill).text(at, line, 255, font, anchor="mm", stroke_width=pixels * 0.012)
        inner = np.asarray(fill, np.float32)[..., None] / 255
        outer = np.asarray(outline, np.float32)[..., None] / 255 if self._edge else inner
        color = (
            np.array(self._edge or self._fill, np.float32) * (1 - inner)
            + np.array(self._fill, np.float32) * inner
        )
        return _Drawn(cue, area, color, np.maximum(inner, outer))


def _resized(font: Font, pixels: float) -> Font:
    return font.font_variant(size=pixels) if hasattr(font, "font_variant") else font


def _rgb(color: str | None, default: tuple[int, int, int]) -> tuple[int, int, int]:
    try:
        return ImageColor.getrgb(color or "")[:3]
    except ValueError:
        return default
