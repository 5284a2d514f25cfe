"""A provider's published limits as data, and pure checks against them.

Every check returns a list of problems in one form, ``field: figure found, figure allowed``, so that a caller
can collect all of them. Where a figure can be read in two ways the larger reading is allowed: the provider
decides in the end, and a good file must not be refused here. ``source`` names the vendor's document.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

import attrs

MB = 1024 * 1024
"""A vendor's "M" or "MB", read as 2**20 bytes, the larger of its two meanings."""

CUT_OFF = "cut off"
"""What ``MediaFacts.broken`` begins with where the end of a file is missing."""

# Encoders round to whole frames; a clip cut at five seconds may measure 4.96.
_SLACK_SECONDS = 0.1

# A tag begins with a letter right after "<" or "</", and what follows its name looks like attributes:
# "a < b", "5<6", "<3" and "if a<b then c>d" are text, "<b>", "<br/>" and "<a href='x'>" are tags.
_TAG = re.compile(
    r"</?[a-z][a-z0-9:-]*(?:\s+[a-z_:][\w:.-]*\s*=\s*[\"'\w#][^<>]*)?\s*/?>|<!--|<!\[cdata\[|<!doctype\b",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")


@attrs.frozen(kw_only=True)
class MediaFacts:
    """What was found inside a file; None or ``""`` means that it could not be told.

    Attributes:
        containers: extensions that the container goes by, e.g. mp4 and mov; empty when unknown.
        seconds: duration.
        width: picture width in pixels, as stored.
        height: picture height in pixels, as stored.
        video_codec: ``h264``, ``hevc``, …
        audio_codec: ``aac``, ``mp3``, …
        has_video: whether there is a moving picture (cover art is none).
        has_audio: whether there is sound.
        broken: says how the file cannot be read, when that is sure; a file without its end is :data:`CUT_OFF`.
    """

    containers: frozenset[str] = frozenset()
    seconds: float | None = None
    width: int | None = None
    height: int | None = None
    video_codec: str = ""
    audio_codec: str = ""
    has_video: bool | None = None
    has_audio: bool | None = None
    broken: str = ""


@attrs.frozen(kw_only=True)
class MediaRule:
    """What a provider accepts as one kind of material. None or empty means that no limit is published.

    Attributes:
        extensions: accepted file extensions, lower case without dot.
        max_bytes: largest file.
        min_seconds: shortest duration.
        max_seconds: longest duration.
        min_short_side: fewest pixels along the shorter side.
        max_long_side: most pixels along the longer side.
        codecs: accepted video codecs.
        needs_video: the file must hold a moving picture.
        needs_audio: the file must hold sound.
        max_url_chars: longest URL when the material is given as one.
        note: what a reader should know besides.
        source: the vendor's document and section.
    """

    extensions: tuple[str, ...] = ()
    max_bytes: int | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None
    min_short_side: int | None = None
    max_long_side: int | None = None
    codecs: tuple[str, ...] = ()
    needs_video: bool = False
    needs_audio: bool = False
    max_url_chars: int | None = None
    note: str = ""
    source: str = ""

    def check_url(self, field: str, url: str) -> list[str]:
        """Problems of a URL given as this material; what lies behind it is not looked at."""
        problems = []
        if self.max_url_chars is not None and len(url) > self.max_url_chars:
            problems.append(
                f"{field}: URL of {len(url)} characters found, at most {self.max_url_chars} allowed"
            )
        return problems

    def check_file(self, field: str, *, extension: str, size: int) -> list[str]:
        """Problems that show without opening the file. An unknown extension (``""``) is one."""
        problems = []
        if self.extensions and extension not in self.extensions:
            found = f"{extension} file" if extension else "file of unknown type"
            problems.append(f"{field}: {found} found, {_either(self.extensions)} allowed")
        if size == 0:
            problems.append(f"{field}: 0 bytes found, at least 1 byte allowed")
        if self.max_bytes is not None and size > self.max_bytes:
            problems.append(
                f"{field}: {_megabytes(size)} found, at most {_megabytes(self.max_bytes)} allowed"
            )
        return problems

    def check_facts(self, field: str, facts: MediaFacts) -> list[str]:
        """Problems of what was found inside; facts that could not be told are no problem."""
        if facts.broken:
            whole = "a whole file" if facts.broken.startswith(CUT_OFF) else _either(self.extensions)
            return [f"{field}: {facts.broken} found, {whole or 'a readable file'} allowed"]
        problems = []
        if self.extensions and facts.containers and not facts.containers & set(self.extensions):
            inside = "/".join(sorted(facts.containers))
            problems.append(f"{field}: {inside} content found, {_either(self.extensions)} allowed")
        problems += self._check_seconds(field, facts.seconds)
        problems += self._check_sides(field, facts)
        if self.codecs and facts.video_codec and facts.video_codec not in self.codecs:
            problems.append(f"{field}: {facts.video_codec} video found, {_either(self.codecs)} allowed")
        if self.needs_video and facts.has_video is False:
            problems.append(f"{field}: no moving picture found, at least 1 allowed")
        if self.needs_audio and facts.has_audio is False:
            problems.append(f"{field}: no sound found, at least 1 sound track allowed")
        return problems

    def _check_seconds(self, field: str, seconds: float | None) -> list[str]:
        if seconds is None:
            return []
        if self.min_seconds is not None and seconds < self.min_seconds - _SLACK_SECONDS:
            return [f"{field}: {seconds:.1f} s found, at least {self.min_seconds:g} s allowed"]
        if self.max_seconds is not None and seconds > self.max_seconds + _SLACK_SECONDS:
            return [f"{field}: {seconds:.1f} s found, at most {self.max_seconds:g} s allowed"]
        return []

    def _check_sides(self, field: str, facts: MediaFacts) -> list[str]:
        if not facts.width or not facts.height:
            return []
        short, long = sorted((facts.width, facts.height))
        found = f"{field}: {facts.width}x{facts.height} found"
        if self.min_short_side is not None and short < self.min_short_side:
            return [f"{found}, shorter side at least {self.min_short_side} allowed"]
        if self.max_long_side is not None and long > self.max_long_side:
            return [f"{found}, longer side at most {self.max_long_side} allowed"]
        return []


@attrs.frozen(kw_only=True)
class TextRule:
    """A text's limits. Characters are Unicode code points, not bytes.

    Attributes:
        max_chars: longest text.
        min_chars: shortest text, blanks at its ends not counted.
        html_allowed: False refuses anything that looks like a tag; a lone ``<`` is text.
        source: the vendor's document and section.
    """

    max_chars: int | None = None
    min_chars: int = 0
    html_allowed: bool = True
    note: str = ""
    source: str = ""

    def check(self, field: str, text: str) -> list[str]:
        """Everything wrong with *text*."""
        problems = []
        if self.min_chars and len(text.strip()) < self.min_chars:
            problems.append(f"{field}: {_count(len(text.strip()))} found, at least {self.min_chars} allowed")
        if self.max_chars is not None and len(text) > self.max_chars:
            problems.append(f"{field}: {_count(len(text))} found, at most {self.max_chars} allowed")
        odd = next((char for char in text if char == "\0" or "\ud800" <= char <= "\udfff"), None)
        if odd is not None:
            problems.append(f"{field}: character U+{ord(odd):04X} found, only text that can be sent allowed")
        tag = None if self.html_allowed else _TAG.search(text)
        if tag is not None:
            shown = tag[0] if len(tag[0]) <= 40 else f"{tag[0][:40]}…"
            problems.append(f"{field}: HTML tag {shown} found at character {tag.start() + 1}, none allowed")
        return problems


@attrs.frozen(kw_only=True)
class RangeRule:
    """A number's limits.

    Attributes:
        low: smallest value.
        high: largest value.
        decimals: digits after the point that are sent.
        as_text: whether the provider wants the number as a string.
        source: the vendor's document and section.
    """

    low: float
    high: float
    decimals: int = 2
    as_text: bool = False
    note: str = ""
    source: str = ""

    def check(self, field: str, value: float | str | Decimal) -> list[str]:
        """Everything wrong with *value*; text and Decimal are read as decimal numbers."""
        number = _decimal(value)
        if number is None:
            return [
                f"{field}: {str(value)[:40]!r} found, a number from {self.low:g} to {self.high:g} allowed"
            ]
        if not Decimal(str(self.low)) <= number <= Decimal(str(self.high)):
            return [f"{field}: {number:f} found, {self.low:g} to {self.high:g} allowed"]
        return []

    def encode(self, value: float | str | Decimal) -> str | float:
        """*value* as the provider wants it: ``1`` becomes ``"1.0"`` when it wants text. Raises ValueError."""
        number = _decimal(value)
        if number is None:
            raise ValueError(f"{str(value)[:40]!r} is no number")
        rounded = round(number, self.decimals).normalize()
        return (f"{rounded:f}" if rounded % 1 else f"{rounded:.1f}") if self.as_text else float(rounded)


@attrs.frozen(kw_only=True)
class ColourRule:
    """A colour written as ``#rrggbb``."""

    note: str = ""
    source: str = ""

    def check(self, field: str, text: str) -> list[str]:
        """Everything wrong with *text*."""
        if _COLOUR.fullmatch(text):
            return []
        return [f"{field}: {text[:40]!r} found, six hexadecimal digits as #rrggbb allowed"]


def _decimal(value: float | str | Decimal) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < Decimal(10) ** 9 else None


def _count(chars: int) -> str:
    return f"{chars:,} character{'' if chars == 1 else 's'}"


def _megabytes(size: int) -> str:
    return f"{size / MB:.1f} MB" if size >= MB // 10 else f"{size:,} bytes"


def _either(names: tuple[str, ...]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} or {names[-1]}"
