"""What one job of a bulk run is to make: a row of the manifest, and its form in the ledger.

A spec must mean the same after a restart and on another machine, so material is named by path or URL, never held.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from avatarkit.errors import InvalidRequest
from avatarkit.models import Avatar, Subtitle, UploadedFile, Voice
from avatarkit.request import VideoRequest

VERSION = 1
WORDS = ("avatar", "voice", "text", "language", "title", "prompt", "size")
"""Fields of a request that are text."""

MEDIA = ("image", "video", "audio")
"""Fields of a request that are material."""

_KEY_DIGITS = 20
_DEEPEST = 16
_LARGEST_INT = 1 << 63
_UPLOADED = "uploaded"


@attrs.frozen(kw_only=True)
class Row:
    """One job as the manifest asks for it.

    Attributes:
        key: unique in the run: the manifest's own, or made of the request's content.
        request: what is to be made; its material is named by paths and URLs.
        columns: the manifest's other columns, for file names and reports.
        line: where it begins in the manifest, from 1 (a row's number where there are no lines); 0 when not known.
        twin: whether an earlier row has the same file name, so that this one gets a suffix.

    """

    key: str
    request: VideoRequest
    columns: Mapping[str, str] = attrs.field(factory=dict)
    line: int = 0
    twin: bool = False


@attrs.define(eq=False)
class PlainRow:
    """A row whose request is nothing but text, as most are: the request is made only when somebody asks for it.

    Attributes:
        values: the request's fields that were given; none is empty.

    The others are as in :class:`Row`.

    """

    key: str
    values: dict[str, str]
    columns: Mapping[str, str]
    line: int
    twin: bool = False
    _request: VideoRequest | None = None

    @property
    def request(self) -> VideoRequest:
        """What is to be made."""
        if self._request is None:
            self._request = VideoRequest(**self.values)  # type: ignore[arg-type]
        return self._request

    def row(self) -> Row:
        """The same as a :class:`Row`."""
        return Row(key=self.key, request=self.request, columns=self.columns, line=self.line, twin=self.twin)


@attrs.frozen(kw_only=True)
class Mistake:
    """One thing wrong with a manifest.

    Attributes:
        line: where, from 1; 0 when it is about the whole.
        column: the column or field, ``""`` when it is about the whole row.
        message: what was found and what is allowed.

    """

    line: int
    column: str
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}" if self.line else "manifest"
        return f"{where}, {self.column}: {self.message}" if self.column else f"{where}: {self.message}"


def spec_of(row: Row | PlainRow, *, with_line: bool = False) -> bytes:
    """*row* as JSON. Equal rows give equal bytes.

    The line is left out unless *with_line*: it changes with every row that is put before it, and a row that only moved
    is still the same job. File names with ``{row}`` need it.

    Raises:
        InvalidRequest: material is no path or URL, or a value is no plain data.

    """
    request = row.values if isinstance(row, PlainRow) else request_to_json(row.request)
    document: dict[str, Any] = {"v": VERSION, "key": row.key, "request": request}
    if row.columns:
        document["columns"] = dict(row.columns)
    if with_line:
        document["line"] = row.line
    if row.twin:
        document["twin"] = True
    return _dumped(document)


def row_of(spec: bytes) -> Row:
    """The row that :func:`spec_of` wrote.

    Raises:
        InvalidRequest: it is none of ours.

    """
    try:
        return row_from(orjson.loads(spec))
    except ValueError as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest("spec: it cannot be read (no JSON)") from None


def row_from(document: Any) -> Row:
    """The row in what :func:`spec_of` wrote, read as JSON. Raises InvalidRequest: it is none of ours."""
    try:
        if document["v"] != VERSION:
            raise InvalidRequest(f"spec: version {document['v']!r} found, {VERSION} allowed")
        return Row(
            key=str(document["key"]),
            request=request_from_json(document["request"]),
            columns={str(name): str(value) for name, value in document.get("columns", {}).items()},
            line=int(document.get("line", 0)),
            twin=bool(document.get("twin", False)),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest(f"spec: it cannot be read ({type(error).__name__})") from None


def content_key(request: VideoRequest) -> str:
    """Twenty hexadecimal digits made of everything *request* says, the same for equal requests.

    A file counts by its name, not by its content. Raises InvalidRequest as :func:`spec_of`.
    """
    return values_key(request_to_json(request))


def values_key(values: Mapping[str, Any]) -> str:
    """The :func:`content_key` of the request that has *values* as JSON."""
    return hashlib.sha256(_dumped(values)).hexdigest()[:_KEY_DIGITS]


def request_to_json(request: VideoRequest) -> dict[str, Any]:
    """*request* as plain data: only what was given, in one form for all that mean the same.

    Raises:
        InvalidRequest: with everything that cannot be written down, such as bytes and file objects.

    """
    document: dict[str, Any] = {}
    problems: list[str] = []
    for name in WORDS:
        value = getattr(request, name)
        if value is not None:
            document[name] = value if value.__class__ is str else _word(name, value, problems)
    for name in MEDIA:
        value = getattr(request, name)
        if value is not None:
            document[name] = value if value.__class__ is str else _material(name, value, problems)
    subtitles = _subtitles(request.subtitles, problems)
    if subtitles:
        document["subtitles"] = subtitles
    if request.options:
        options = _options(request.options, problems)
        if options:
            document["options"] = options
    if problems:
        raise InvalidRequest(problems)
    return document


def request_from_json(document: Mapping[str, Any]) -> VideoRequest:
    """The request that :func:`request_to_json` wrote; unknown names raise TypeError."""
    values = dict(document)
    for name in MEDIA:
        if isinstance(values.get(name), dict):
            values[name] = UploadedFile(id=values[name][_UPLOADED])
    if isinstance(values.get("subtitles"), dict):
        values["subtitles"] = Subtitle(**values["subtitles"])
    return VideoRequest(**values)


def _dumped(document: Any) -> bytes:
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        # Nothing but lone surrogates comes this far.
        raise InvalidRequest("text that cannot be written as UTF-8 found") from None


def _word(name: str, value: Any, problems: list[str]) -> str:
    if isinstance(value, Avatar | Voice):
        value = value.id
    if not isinstance(value, str):
        problems.append(f"{name}: {type(value).__name__} found, text allowed")
        return ""
    return str(value)


def _material(name: str, value: Any, problems: list[str]) -> Any:
    if isinstance(value, UploadedFile):
        return {_UPLOADED: value.id}
    path = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if isinstance(path, str):
        return path
    problems.append(
        f"{name}: {type(value).__name__} found, a path or URL allowed: a run that is resumed must find it again, so "
        f"write it to a file and give its path"
    )
    return ""


def _subtitles(value: Any, problems: list[str]) -> Any:
    if value is None or value is False:
        return None
    if isinstance(value, Subtitle):
        given = attrs.asdict(value, filter=lambda _, found: found is not None)
        if not given.pop("show"):
            return None
        return _plain("subtitles", given, problems) or True
    if value is not True:
        problems.append(f"subtitles: {type(value).__name__} found, True, False or a Subtitle allowed")
    return True


def _options(value: Any, problems: list[str]) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        problems.append("options: a mapping by provider allowed")
        return {}
    found = {}
    for provider, options in value.items():
        if not isinstance(provider, str) or not isinstance(options, Mapping):
            problems.append(f"options: {str(provider)[:40]!r} has no mapping of arguments")
        elif options:
            found[provider] = _plain(f"options.{provider[:40]}", options, problems)
    return found


def _plain(where: str, value: Any, problems: list[str], depth: int = 0) -> Any:
    """*value* as JSON would give it back."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and -_LARGEST_INT <= value < _LARGEST_INT:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth < _DEEPEST:
        if isinstance(value, os.PathLike):
            return _material(where, value, problems)
        if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
            return {name: _plain(f"{where}.{name[:40]}", v, problems, depth + 1) for name, v in value.items()}
        if isinstance(value, list | tuple):
            return [_plain(where, item, problems, depth + 1) for item in value]
    problems.append(f"{where}: {type(value).__name__} found, plain data as JSON has it allowed")
    return None
