"""Names of result files, from templates such as ``{team}/{title}``. Titles and columns are hostile input.

A template's fields are names and nothing else: no attributes, no indexing, no formatting but ``{row:06}``. What a field
holds never makes a folder, and every part of a name is safe on every system.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote, urlsplit

import attrs

from avatarkit.bulk.manifest_columns import plain_name
from avatarkit.bulk.seen import Seen
from avatarkit.bulk.specs import MEDIA, WORDS, PlainRow, Row
from avatarkit.errors import ConfigurationError
from avatarkit.transport.names import safe_name
from avatarkit.transport.sources import is_url

EXTENSIONS = frozenset({"mp4", "mov", "webm", "mkv", "mp3", "wav", "m4a", "aac", "ogg"})
"""Endings that a template may have; without one the file gets the result's own."""

_LONGEST_TEMPLATE = 1000
_DEEPEST = 12
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ROW = re.compile(r"row(?::0?(\d{1,2}))?")
_DRIVE = re.compile(r"[A-Za-z]:")
# What safe_name gives back as it is: short, nothing but these characters, and longer than any reserved name.
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{4,99}")


@attrs.frozen
class Field:
    """A place in a template: the name that stood there, the same as fields are spelt, and digits for a row's number."""

    name: str
    plain: str = ""
    width: int = 0


class NameTemplate:
    """A template for file names, parsed.

    Fields: ``{key}``, ``{row}`` (its line, ``{row:06}`` with zeros), ``{provider}``, the request's own (``{title}``,
    ``{avatar}``, ``{image}`` without folder and ending, …) and every other column. ``{{`` is a brace, ``/`` makes a
    folder.

    Args:
        text: the template.
        provider: what ``{provider}`` stands for.

    Raises:
        ConfigurationError: it is none, is absolute, or leaves its folder.

    """

    def __init__(self, text: str, provider: str = "") -> None:
        self.text = text
        self._provider = provider
        body, dot, ending = text.rpartition(".")
        self.extension = ending.lower() if dot and ending.lower() in EXTENSIONS else ""
        *folders, self._last = _parsed(body if self.extension else text)
        self._folders = tuple(folders)

    @property
    def fields(self) -> frozenset[str]:
        """The names of its fields."""
        parts = (*self._folders, self._last)
        return frozenset(each.name for part in parts for each in part if isinstance(each, Field))

    @property
    def needs_line(self) -> bool:
        """Whether the spec has to keep the row's line."""
        return "row" in self.fields

    def stem(self, row: Row | PlainRow) -> str:
        """The name for *row*, relative, with ``/`` between its parts, without extension. Two rows may get the same."""
        last = self._part(self._last, row)
        # Most names are safe as they are, which is quickly seen.
        if not _SAFE.fullmatch(last):
            last = safe_name(last, default=f"video-{_hash(row.key, 10)}")
        if not self._folders:
            return last
        folders = [safe_name(self._part(part, row), default="_") for part in self._folders]
        return "/".join([*folders, last])

    def names(self, row: Row | PlainRow, *, run: str = "", extension: str = "mp4") -> Iterator[str]:
        """Names for *row* in the order of preference: the plain one, then some that only this job of this run can have.

        A twin has no plain one. *extension* counts where the template has none.
        """
        stem, ending = self.stem(row), self.extension or extension
        owner = f"{run}\0{row.key}"
        if not row.twin:
            yield f"{stem}.{ending}"
        for digits in (10, 20, 40):
            yield f"{stem}-{_hash(owner, digits)}.{ending}"

    def unknown(self, columns: Iterable[str]) -> list[str]:
        """Fields that are neither a request's nor among *columns*."""
        known = {"key", "row", "provider", *WORDS, *MEDIA, *map(plain_name, columns)}
        return sorted(name for name in self.fields if plain_name(name) not in known)

    def _part(self, part: tuple[str | Field, ...], row: Row | PlainRow) -> str:
        if len(part) == 1:
            return self._filled(part[0], row)
        return "".join([self._filled(each, row) for each in part])

    def _filled(self, piece: str | Field, row: Row | PlainRow) -> str:
        if isinstance(piece, str):
            return piece
        name = piece.plain
        if name == "key":
            return row.key
        if piece.name == "row":
            return str(row.line).zfill(piece.width)
        if name == "provider":
            return self._provider
        if name in WORDS:
            value = _value(row, name)
            return "" if value is None else str(value)
        if name in MEDIA:
            return _stem_of(_value(row, name))
        return _column(row, piece.name)


class Namer:
    """Sees, while a manifest is read, which rows would get one name. Holds a few bytes a row."""

    def __init__(self, template: NameTemplate) -> None:
        self._template = template
        self._seen = Seen()

    def settled(self, row: Row | PlainRow) -> Row | PlainRow:
        """*row*, marked as a twin when an earlier one has its name, also where only the case of letters differs."""
        if self._seen.add(folded(self._template.stem(row))):
            return row
        return attrs.evolve(row, twin=True)


def folded(name: str) -> str:
    """*name* as file systems compare names that do not care for case or for how accents are written."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _parsed(text: str) -> tuple[tuple[str | Field, ...], ...]:
    if not text or len(text) > _LONGEST_TEMPLATE or "\0" in text:
        raise ConfigurationError(f"a name template has 1 to {_LONGEST_TEMPLATE} characters")
    if text[0] in "/\\" or _DRIVE.match(text):
        raise ConfigurationError(f"name template {text[:80]!r}: absolute, a relative one allowed")
    parts: list[list[str | Field]] = [[]]
    at = 0
    for token in _TOKEN.finditer(text):
        _literal(text[at : token.start()], parts)
        at = token.end()
        if token[0] in ("{{", "}}"):
            _literal(token[0][0], parts)
        elif token[1] is None or not token[1].strip():
            raise ConfigurationError(
                f"name template {text[:80]!r}: a brace without its pair at character {token.start() + 1}",
                hint="Write {{ or }} for a brace.",
            )
        else:
            parts[-1].append(_field(token[1].strip()))
    _literal(text[at:], parts)
    found = tuple(tuple(part) for part in parts if part and not _is_dots(part, "."))
    if any(_is_dots(part, "..") for part in found):
        raise ConfigurationError(f"name template {text[:80]!r}: '..' found, a name below the folder allowed")
    if not found or tuple(parts[-1]) != found[-1] or len(found) > _DEEPEST:
        raise ConfigurationError(
            f"name template {text[:80]!r}: a file name in at most {_DEEPEST} parts allowed"
        )
    return found


def _literal(text: str, parts: list[list[str | Field]]) -> None:
    for number, piece in enumerate(text.replace("\\", "/").split("/")):
        if number:
            parts.append([])
        if piece:
            parts[-1].append(piece)


def _field(name: str) -> Field:
    row = _ROW.fullmatch(plain_name(name))
    return Field("row", "row", int(row[1] or 0)) if row else Field(name, plain_name(name))


def _is_dots(part: Sequence[str | Field], dots: str) -> bool:
    return all(isinstance(each, str) for each in part) and "".join(map(str, part)).strip() == dots


def _value(row: Row | PlainRow, name: str) -> object:
    return row.values.get(name) if isinstance(row, PlainRow) else getattr(row.request, name)


def _stem_of(media: object) -> str:
    if not isinstance(media, str | os.PathLike):
        return "" if media is None else str(media)
    path = str(media)
    if is_url(path):
        try:
            path = unquote(urlsplit(path).path)
        except ValueError:
            return ""
    name = path.replace("\\", "/").rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _column(row: Row | PlainRow, name: str) -> str:
    if name in row.columns:
        return row.columns[name]
    wanted = plain_name(name)
    return next((value for title, value in row.columns.items() if plain_name(title) == wanted), "")


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
