"""What a manifest's columns mean, and rows made of their cells."""

from __future__ import annotations

import difflib
import enum
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from avatarkit import providers
from avatarkit.bulk.manifest_cells import (
    key_cell,
    loaded_cell,
    mistake_of,
    option_cell,
    shown_cell,
    subtitles_cell,
    text_cell,
)
from avatarkit.bulk.manifest_csv import CELL_LIMIT
from avatarkit.bulk.seen import Seen
from avatarkit.bulk.specs import MEDIA, WORDS, Mistake, PlainRow, Row, content_key, spec_of, values_key
from avatarkit.errors import InvalidRequest
from avatarkit.models import Subtitle
from avatarkit.protocol.plan import Capabilities
from avatarkit.request import VideoRequest
from avatarkit.transport.sources import is_url

_MOST_NAMES = 2000
_ALIKE = 0.8


class Use(enum.Enum):
    """What the cells of a column are for."""

    WORD = "word"
    MEDIA = "media"
    SUBTITLES = "subtitles"
    KEY = "key"
    OPTION = "option"
    OPTIONS = "options"
    OTHER = "other"
    NOTHING = "nothing"


@attrs.frozen
class Meaning:
    """What one column is for: its use, the field's, option's or column's name, and the option's provider."""

    use: Use
    name: str
    provider: str = ""
    title: str = ""

    @property
    def target(self) -> tuple[str, str]:
        """What two columns must not both fill; ``("", "")`` when several may."""
        return ("", "") if self.use in (Use.OTHER, Use.NOTHING, Use.OPTIONS) else (self.provider, self.name)


_OTHER = Use.OTHER
_TEXTS = (Use.WORD, _OTHER, Use.MEDIA)
_KEY = frozenset({"key"})
_UNREAD: Mapping[Use, str] = {Use.WORD: "unread", Use.MEDIA: "https://unread.invalid/unread"}
"""What stands for a cell that was given and could not be read."""

_FIELDS: Mapping[str, Meaning] = {
    **{name: Meaning(Use.WORD, name, title=name) for name in WORDS},
    **{name: Meaning(Use.MEDIA, name, title=name) for name in MEDIA},
    "subtitles": Meaning(Use.SUBTITLES, "subtitles", title="subtitles"),
    "options": Meaning(Use.OPTIONS, "options", title="options"),
    "key": Meaning(Use.KEY, "key", title="key"),
}


def plain_name(name: str) -> str:
    """*name* as fields and options are spelt: ``" Avatar "`` is ``avatar``."""
    return name.strip().strip("\ufeff").casefold().replace(" ", "_").replace("-", "_")


class Columns:
    """Tells what columns mean.

    Args:
        capabilities: of the provider whose options may stand without its name before them.

    """

    def __init__(self, capabilities: Capabilities | None = None) -> None:
        self._providers = providers.names()
        self._own = capabilities.provider if capabilities is not None else ""
        routes = capabilities.routes if capabilities is not None else ()
        self._options = frozenset[str]().union(*(route.options for route in routes))
        self._known: dict[str, tuple[Meaning, str]] = {}

    def known(self, name: str) -> bool:
        """Whether *name* is a field's or an option's."""
        return self._exact(plain_name(name)) is not None

    def meaning(self, name: str, present: Iterable[str] = ()) -> tuple[Meaning, str]:
        """What the column *name* is for, and a message when it looks misspelt; it then has the meaning intended.

        *present* are all columns: next to ``text`` a column ``text2`` is no misspelling.
        """
        found = self._known.get(name)
        if found is None:
            found = self._told(name, present)
            if len(self._known) < _MOST_NAMES:
                self._known[name] = found
        return found

    def _told(self, name: str, present: Iterable[str]) -> tuple[Meaning, str]:
        title, plain = name.strip().strip("\ufeff"), plain_name(name)
        if not title:
            return Meaning(Use.NOTHING, ""), ""
        exact = self._exact(plain)
        other = Meaning(Use.OTHER, title[:200], title=title[:80])
        if exact is not None or len(self._known) >= _MOST_NAMES or len(plain) > 80:
            return exact or other, ""
        near = self._near(plain, {plain_name(each) for each in present})
        meaning = self._exact(near) if near else None
        if meaning is None:
            return other, ""
        return attrs.evolve(meaning, title=title), f"no such column is known; is {near!r} meant?"

    def _exact(self, plain: str) -> Meaning | None:
        if plain in _FIELDS:
            return _FIELDS[plain]
        provider, dot, option = plain.partition(".")
        if dot and option and provider in self._providers:
            if provider == self._own and option not in self._options:
                return None
            return Meaning(Use.OPTION, option, provider, plain)
        return Meaning(Use.OPTION, plain, self._own, plain) if plain in self._options else None

    def _near(self, plain: str, present: set[str]) -> str:
        provider, dot, option = plain.partition(".")
        if dot:
            owners = difflib.get_close_matches(provider, self._providers, 1, _ALIKE)
            owner = owners[0] if owners else ""
            if owner and owner == self._own:
                matches = difflib.get_close_matches(option, sorted(self._options), 1, _ALIKE)
                option = matches[0] if matches else option
            near = f"{owner}.{option}" if owner else ""
        else:
            candidates = [*_FIELDS, *sorted(self._options)]
            swapped = [each for each in candidates if sorted(each) == sorted(plain)]
            near = next(iter(swapped or difflib.get_close_matches(plain, candidates, 1, _ALIKE)), "")
        return "" if near in present else near


@attrs.frozen(kw_only=True)
class TornRow:
    """A row with mistakes, and what could be read of it, so that the rest of it can be looked at, too.

    Attributes:
        mistakes: what is wrong with its cells or its key; at least one.
        row: the row without what could not be read; None when looking further is of no use.
        unread: names of the fields and options that could not be read: what else is said of them follows from that.

    """

    mistakes: tuple[Mistake, ...]
    row: Row | None = None
    unread: frozenset[str] = frozenset()


class Builder:
    """Makes rows of cells, and sees that their keys are unique.

    Args:
        columns: what the columns mean.
        base: where relative paths begin; None leaves them as they are.
        strict: whether every value is looked at: a program may give what no file can hold. No row is plain then.

    """

    def __init__(self, columns: Columns, base: Path | None, *, strict: bool = False) -> None:
        self._strict = strict
        self._columns = columns
        self._base = None if base is None else os.fspath(base.absolute())
        self._keys = Seen()
        self._repeats: dict[str, int] = {}
        self._files = _material_options()

    def row(self, cells: Iterable[tuple[Meaning, Any]], line: int) -> Row | PlainRow | TornRow:
        """One row, or everything wrong with its cells."""
        values: dict[str, Any] = {}
        columns: dict[str, str] = {}
        options: dict[str, dict[str, Any]] = {}
        wrong: list[tuple[Meaning, str]] = []
        for meaning, value in cells:
            if value is None or value == "":
                continue
            use = meaning.use
            # Nearly every cell is one of these: the same as below, without the calls.
            if value.__class__ is str and use in _TEXTS and len(value) <= CELL_LIMIT and "\0" not in value:
                if use is _OTHER:
                    columns[meaning.name] = value.strip()
                elif text := value.strip():
                    values[meaning.name] = text
                continue
            try:
                self._cell(meaning, value, values, columns, options)
            except ValueError as error:
                wrong.append((meaning, str(error)))
        key = values.pop("key", "")
        if wrong:
            return self._torn(wrong, values, options, key, columns, line)
        if not options and "subtitles" not in values and not self._strict:
            return self._plain(values, key, columns, line)
        if options:
            values["options"] = options
        return self.finished(VideoRequest(**values), key, columns, line)

    def _cell(
        self,
        meaning: Meaning,
        value: Any,
        values: dict[str, Any],
        columns: dict[str, str],
        options: dict[str, dict[str, Any]],
    ) -> None:
        """Put any cell where it belongs. Raises ValueError."""
        use = meaning.use
        if use is Use.OTHER:
            columns[meaning.name] = shown_cell(value)
        elif use is Use.OPTION:
            options.setdefault(meaning.provider, {})[meaning.name] = option_cell(value)
        elif use is Use.OPTIONS:
            self._merge(options, value)
        elif use is not Use.NOTHING and (found := _field_value(use, value)) != "":
            values[meaning.name] = found

    def _torn(
        self,
        wrong: list[tuple[Meaning, str]],
        values: dict[str, Any],
        options: dict[str, dict[str, Any]],
        key: str,
        columns: dict[str, str],
        line: int,
    ) -> TornRow:
        """A row some of whose cells are *wrong*."""
        mistakes = tuple(
            Mistake(line=line, column=meaning.title, message=message) for meaning, message in wrong
        )
        # What stands there was given, whatever it was: with anything in its place the others are seen as they are.
        values |= {meaning.name: _UNREAD[meaning.use] for meaning, _ in wrong if meaning.use in _UNREAD}
        unread = frozenset(meaning.name for meaning, _ in wrong if meaning.use is not _OTHER)
        found = self.finished(VideoRequest(**values, options=options), key, columns, line)
        if isinstance(found, Row):
            return TornRow(mistakes=mistakes, row=found, unread=unread)
        return TornRow(mistakes=mistakes + found.mistakes, row=found.row, unread=unread)

    def _plain(
        self, values: dict[str, str], key: str, columns: dict[str, str], line: int
    ) -> PlainRow | TornRow:
        """As :meth:`finished`, for a request of nothing but text."""
        try:
            key = self._unique(key, values_key(values) if not key else "")
        except InvalidRequest as error:
            mistakes = tuple(mistake_of(text, line) for text in error.problems)
            request = self._placed(VideoRequest(**values))  # type: ignore[arg-type]
            return TornRow(
                mistakes=mistakes, row=Row(key=key, request=request, columns=columns, line=line), unread=_KEY
            )
        for name in MEDIA:
            if name in values:
                values[name] = self._place(values[name])
        return PlainRow(key, values, columns, line)

    def finished(
        self, request: VideoRequest, key: str, columns: Mapping[str, str], line: int
    ) -> Row | TornRow:
        """*request* as a row with a unique key and paths that hold everywhere."""
        row: Row | None = None
        problems: list[str] = []
        try:
            key = self._unique(key, content_key(request) if not key else "")
        except InvalidRequest as error:
            problems += error.problems
        try:
            row = Row(key=key, request=self._placed(request), columns=columns, line=line)
            if self._strict or request.options or isinstance(request.subtitles, Subtitle):
                spec_of(row)
        except InvalidRequest as error:
            problems += error.problems
            row = None
        if row is not None and not problems:
            return row
        mistakes = tuple(mistake_of(text, line) for text in dict.fromkeys(problems))
        return TornRow(mistakes=mistakes, row=row, unread=_KEY)

    def _unique(self, key: str, made: str) -> str:
        """*key*, or when it is empty *made*, with a number where an earlier row has it."""
        if key:
            if not self._keys.add(key):
                raise InvalidRequest(f"key: {key[:80]!r} stands in an earlier row, unique keys allowed")
            return key
        if self._keys.add(made):
            return made
        while True:
            count = self._repeats[made] = self._repeats.get(made, 1) + 1
            if self._keys.add(f"{made}-{count}"):
                return f"{made}-{count}"

    def _placed(self, request: VideoRequest) -> VideoRequest:
        changes: dict[str, Any] = {}
        for name in MEDIA:
            value = getattr(request, name)
            if value is not None and isinstance(value, str | os.PathLike):
                placed = self._place(os.fspath(value))
                if placed is not value:
                    changes[name] = placed
        for provider in self._files.keys() & request.options.keys() if request.options else ():
            options = request.options[provider]
            for name in self._files[provider] & options.keys():
                value = options[name]
                if isinstance(value, str | os.PathLike):
                    placed = {**options, name: self._place(os.fspath(value))}
                    changes["options"] = {**changes.get("options", request.options), provider: placed}
        return attrs.evolve(request, **changes) if changes else request

    def _place(self, path: Any) -> Any:
        if self._base is None or is_url(path) or "://" in path or path[:5].lower() == "data:":
            return path
        return os.path.normpath(os.path.join(self._base, path)) if "\0" not in path else path  # noqa: PTH118

    def _merge(self, options: dict[str, dict[str, Any]], value: Any) -> None:
        found = loaded_cell(value) if isinstance(value, str) else value
        if not isinstance(found, Mapping):
            raise ValueError("a JSON object of arguments by provider allowed")
        for name, given in found.items():
            meaning, _ = self._columns.meaning(str(name))
            if isinstance(given, Mapping) and (meaning.use is not Use.OPTION):
                options.setdefault(str(name), {}).update(given)
            elif meaning.use is Use.OPTION:
                options.setdefault(meaning.provider, {})[meaning.name] = given
            else:
                raise ValueError(f"{str(name)[:40]!r} found, a provider with its arguments allowed")


def _material_options() -> Mapping[str, frozenset[str]]:
    """Options that name a file, by provider: what its operations take as material besides the request's own."""
    found = {}
    for name in providers.names():
        try:
            part = providers.part(name, "generate")
        except ModuleNotFoundError:
            continue  # it offers its own operations only
        options = frozenset[str]().union(*(route.options for route in part.CAPABILITIES.routes))
        found[name] = options & frozenset[str]().union(*getattr(part, "MEDIA", {}).values())
    return {name: files for name, files in found.items() if files}


def _field_value(use: Use, value: Any) -> Any:
    if use is Use.SUBTITLES:
        return subtitles_cell(value)
    text = text_cell(value)
    return key_cell(text) if use is Use.KEY else text
