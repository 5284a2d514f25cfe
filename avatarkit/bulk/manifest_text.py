"""Text files as spreadsheets write them: which encoding, and physical lines of bounded length."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import attrs

from avatarkit.bulk.specs import Mistake
from avatarkit.errors import ConfigurationError

LINE_LIMIT = 8 << 20
"""The longest line that is read, in characters (or bytes, of JSON)."""

_PIECE = 1 << 18
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like UTF-16's, so it is looked for first
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)")
_HIGH = re.compile(rb"[\x80-\xff]+")
_ADVICE = "Save it as CSV UTF-8, or say which encoding it has (--encoding)."
_FEW = 12
_SHOWN = 60
_BEFORE = 20


@attrs.frozen(kw_only=True)
class Sample:
    """A piece of text as it was read.

    Attributes:
        line: where it stands, from 1.
        column: its column's name; ``""`` in the header.
        text: at most about 60 characters of it.

    """

    line: int
    column: str
    text: str

    def __str__(self) -> str:
        where = f"line {self.line}, {self.column}" if self.column else f"line {self.line}"
        return f'{where}: "{self.text}"'


@attrs.define(kw_only=True)
class Reading:
    """How a manifest was read, filled while it is.

    Attributes:
        given: the encoding that was said, or None.
        encoding: the one it was read with; ``""`` where there is no text.
        guessed: whether that was guessed by the text's looks, which can be wrong.
        sample: the first cell that is not ASCII, where a wrong encoding shows; a CSV's only.
        sampled: whether no sample is looked for (any more).

    """

    given: str | None = None
    encoding: str = ""
    guessed: bool = False
    sample: Sample | None = None
    sampled: bool = True

    def see_header(self, line: int, names: Sequence[str]) -> None:
        """Look at the header; a cell below it says more."""
        if not self.sampled:
            self.see(line, (), names)
            self.sampled = False

    def see(self, line: int, names: Sequence[str], cells: Sequence[str]) -> None:
        """Look at one row."""
        for at, cell in enumerate(cells):
            if not cell.isascii():
                column = names[at].strip()[:80] if at < len(names) else ""
                self.sample = Sample(line=line, column=column, text=_around(cell))
                self.sampled = True
                return


def _around(cell: str) -> str:
    """The piece of *cell* about its first character that is not ASCII, on one line."""
    text = " ".join(cell.split())
    first = next((at for at, char in enumerate(text) if not char.isascii()), 0)
    begin = max(0, first - _BEFORE)
    piece = text[begin : begin + _SHOWN]
    return f"{'…' if begin else ''}{piece}{'…' if begin + _SHOWN < len(text) else ''}"


def detect_encoding(file: BinaryIO) -> str:
    """The encoding of *file*, which is then positioned at its first character.

    Told by its mark, else by its first bytes that are not ASCII: UTF-8, then GB18030 and Windows-1252.

    Raises:
        ConfigurationError: it is none of them as far as one can tell; guessing would have garbage spoken.

    """
    head = file.read(_PIECE)
    for mark, name in _BOMS:
        if head.startswith(mark):
            file.seek(len(mark))
            return name
    if nul := _unmarked_utf16(head):
        file.seek(0)
        return nul
    while head.isascii() and (following := file.read(_PIECE)):
        head = following
    head += file.read(8)  # a character may lie across the pieces' border
    file.seek(0)
    return _by_statistics(head)


def _unmarked_utf16(head: bytes) -> str:
    even, odd, half = head[0:2000:2].count(0), head[1:2000:2].count(0), len(head[:2000]) // 2
    if half > 4 and odd * 2 > half and not even:
        return "utf-16-le"
    return "utf-16-be" if half > 4 and even * 2 > half and not odd else ""


def _by_statistics(sample: bytes) -> str:
    if _decodes(sample, "utf-8"):
        return "utf-8"
    runs: list[bytes] = _HIGH.findall(sample)
    if _decodes(sample, "gb18030") and _looks_chinese(runs):
        return "gb18030"
    # Western text has a letter with an accent here and there; other alphabets have whole words of high bytes.
    lonely = sum(len(run) for run in runs if len(run) <= 2)
    if _decodes(sample, "cp1252") and lonely * 10 >= 9 * sum(map(len, runs)):
        return "cp1252"
    raise ConfigurationError(
        "the manifest's encoding cannot be told: it is neither UTF-8 nor UTF-16, GB18030 or Windows-1252",
        hint=_ADVICE,
    )


def _looks_chinese(runs: list[bytes]) -> bool:
    """Whether most pairs of high bytes are everyday characters or punctuation of GB 2312."""
    pairs = [run[at : at + 2] for run in runs for at in range(0, len(run) - 1, 2)]
    usual = [p for p in pairs if p[1] >= 0xA1 and (0xB0 <= p[0] <= 0xD7 or 0xA1 <= p[0] <= 0xA3)]
    whole = sum((len(run) + 1) // 2 for run in runs)
    if not usual or len(usual) * 10 < whole * 6:
        return False
    # Hangul in EUC-KR looks like this too, but never goes beyond C8.
    return len(usual) < _FEW or any(p[0] > 0xC8 for p in usual)


def _decodes(sample: bytes, name: str) -> bool:
    try:
        codecs.getincrementaldecoder(name)("strict").decode(sample, final=False)
    except UnicodeDecodeError:
        return False
    return True


class Lines:
    """The physical lines of a text file with their endings, decoded strictly and piece by piece.

    Attributes:
        number: lines given so far.
        fed: characters given since it was last set to 0.
        mistake: why the lines ended before the file did.

    """

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self.number = 0
        self.fed = 0
        self.mistake: Mistake | None = None
        self._file = file
        self._encoding = encoding

    def __iter__(self) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self._encoding)("strict")
        left = ""
        final = False
        while not final and self.mistake is None:
            data = self._file.read(_PIECE)
            final = not data
            try:
                text = left + decoder.decode(data, final)
            except UnicodeDecodeError as error:
                text = left + error.object[: error.start].decode(self._encoding, "ignore")
                self.mistake = Mistake(line=0, column="", message=self._undecodable(error))
            # A carriage return at the end may be half of a line's end. Beyond the last end nothing is searched:
            # a file that is one endless line would take the expression quadratic time.
            last = len(text) - (text.endswith("\r") and not final)
            end = max(text.rfind("\n", 0, last), text.rfind("\r", 0, last)) + 1
            lines, left = _LINE.findall(text, 0, end), text[end:]
            yield from self._given(lines)
            if len(left) > LINE_LIMIT:
                self.mistake = self._too_long()
        if self.mistake is not None:
            self.mistake = Mistake(line=self.number + 1, column="", message=self.mistake.message)
        elif left:
            yield from self._given([left])

    def _given(self, lines: list[str]) -> Iterator[str]:
        for line in lines:
            self.number += 1
            self.fed += len(line)
            if self.fed > LINE_LIMIT:
                self.mistake = self._too_long()
                return
            yield line

    def _too_long(self) -> Mistake:
        text = f"a row longer than {LINE_LIMIT >> 20} MB found; is a quote not closed? Reading ends here"
        return Mistake(line=0, column="", message=text)

    def _undecodable(self, error: UnicodeDecodeError) -> str:
        return (
            f"bytes that are no {self._encoding.upper()} found ({error.reason}). {_ADVICE} Reading ends here"
        )
