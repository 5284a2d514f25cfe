"""CSV as spreadsheets write it: rows of cells with the lines on which they begin."""

from __future__ import annotations

import codecs
import csv
import itertools
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO, TypeAlias

from avatarkit.bulk.manifest_text import Lines, Reading, detect_encoding
from avatarkit.bulk.specs import Mistake
from avatarkit.errors import ConfigurationError

CELL_LIMIT = 1 << 20
"""The longest cell that is taken, in characters."""

_SEPARATORS = (",", ";", "\t")
_DECLARED = re.compile(r'"?sep=(.)"?\r?\n?', re.IGNORECASE)


Cells: TypeAlias = tuple[int, list[str]]
"""One row: the line it begins on, from 1, and its cells."""


def csv_rows(file: BinaryIO, reading: Reading, known: Callable[[str], bool]) -> Iterator[Cells | Mistake]:
    """The rows of *file*, the header first; those of nothing but blanks are left out. *reading* gets the encoding.

    Comma, semicolon or tab is told by the header: that one counts which gives most names that are *known*. Where the
    text is damaged a mistake says so, and the rows end.

    Raises:
        ConfigurationError: the encoding cannot be told, or there is no such encoding.

    """
    # The limit is the process's; it is only ever raised, for others may need more.
    if csv.field_size_limit() < CELL_LIMIT:
        csv.field_size_limit(CELL_LIMIT)
    lines = Lines(file, _encoding(file, reading))
    feed = iter(lines)
    first = next(feed, "").removeprefix("\ufeff")
    declared = _DECLARED.fullmatch(first)
    if declared:
        first = next(feed, "")
    separator = declared[1] if declared else _separator(first, known)
    if separator in '"\r\n\0 ':
        separator = ","
    reader = csv.reader(itertools.chain([first] if first else [], feed), delimiter=separator, strict=True)
    begins = 2 if declared else 1
    while True:
        lines.fed = 0
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            cut = lines.mistake is not None and "unexpected end" in str(error)
            if not cut:
                yield Mistake(line=begins, column="", message=_damaged(error))
                return
            break
        if any(map(str.strip, cells)):
            yield begins, cells
        begins = lines.number + 1
    if lines.mistake is not None:
        yield lines.mistake


def _encoding(file: BinaryIO, reading: Reading) -> str:
    detected = detect_encoding(file) if reading.given is None else reading.given
    try:
        b"a,b".decode(detected, "replace")  # not every codec makes text of bytes
        codecs.getincrementaldecoder(detected)
    except (LookupError, ValueError):
        raise ConfigurationError(f"there is no text encoding {detected[:40]!r}") from None
    reading.encoding = detected
    # UTF-8 is told by its form, others by their mark, behind which the file stands then.
    reading.guessed = reading.given is None and detected != "utf-8" and file.tell() == 0
    return detected


def _separator(header: str, known: Callable[[str], bool]) -> str:
    def worth(separator: str) -> tuple[int, int]:
        try:
            names = next(csv.reader([header], delimiter=separator), [])
        except csv.Error:
            names = header.split(separator)
        return sum(map(known, names)), len(names)

    return max(_SEPARATORS, key=worth)


def _damaged(error: csv.Error) -> str:
    text = str(error)
    if "larger than field limit" in text:
        return f"a cell longer than {CELL_LIMIT >> 20} MB found; is a quote not closed? Reading ends here"
    if "unexpected end of data" in text:
        return "a quote that is never closed found. Reading ends here"
    return f"no CSV found ({text}). Reading ends here"
