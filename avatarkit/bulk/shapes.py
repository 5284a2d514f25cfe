"""Planning once for rows that differ in free text only. No I/O.

Of a million rows most have one of a few *shapes*: the same presenter, voice, size and options, and another text and
title. What a provider's ``plan`` makes of one of them holds for all. For that its ``generate.py`` may have ``FREE``,
the rules of those fields that ``plan`` hands on as they are: it looks at nothing of them but the rule, whether they are
given, which language the text is in, and whether material is a URL; and ``estimate`` at nothing but how long the text
takes to speak. Without ``FREE`` every row is planned.

A shape only lets pass what ``plan`` would let pass too. A row that may be refused has none: it is planned, and so
refused in the provider's own words.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import attrs

from avatarkit.bulk.checking import Use
from avatarkit.bulk.planning import Planner
from avatarkit.bulk.records import NewJob
from avatarkit.bulk.specs import MEDIA, WORDS, PlainRow, Row
from avatarkit.models import Avatar, Subtitle, UploadedFile, Voice
from avatarkit.protocol.limits import MediaRule, TextRule
from avatarkit.protocol.plan import Step
from avatarkit.protocol.speech import spoken_seconds
from avatarkit.request import tongue_of
from avatarkit.transport.sources import is_url

_MOST_SHAPES = 1000
_MOST_COSTS = 200  # of each shape; all of them together stay below 20 MB
_UNSENDABLE = re.compile("[\0\ud800-\udfff]")
_PLAIN = frozenset({str, int, float, bool, type(None)})
_NAMES = (*WORDS, *MEDIA)
_ALL = attrgetter(*_NAMES)
_INNOCENT = (int, float, type(None), os.PathLike, UploadedFile, Subtitle, Avatar, Voice)


@attrs.frozen
class Shape:
    """What rows have in common that differ in free fields only.

    Attributes:
        parts: the jobs that come before the video.
        others: material that is no free field's.

    """

    parts: tuple[NewJob, ...]
    others: frozenset[str]
    _uses: tuple[tuple[str, str | None, MediaRule], ...]
    _costs: dict[float, float | None] = attrs.field(factory=dict)

    def uses(self, row: Row | PlainRow) -> list[Use]:
        """The material of *row* to look into."""
        if not self._uses:
            return []
        get = _getter(row)
        return [Use(name, get(name) if media is None else media, rule) for name, media, rule in self._uses]

    def cost(self, row: Row | PlainRow, planner: Planner) -> float | None:
        """What *row* is expected to cost without its parts; *planner* is asked once for each length of speech."""
        text = _getter(row)("text")
        seconds = -1.0 if text is None else spoken_seconds(text)
        if seconds not in self._costs:
            if len(self._costs) >= _MOST_COSTS:
                self._costs.clear()
            self._costs[seconds] = planner.cost(row.request, self.parts)
        return self._costs[seconds]


class Shapes:
    """Knows the shapes of the rows seen so far, the latest thousand at most.

    Args:
        free: the provider's ``FREE``; without any field no row has a shape.

    """

    def __init__(self, free: Mapping[str, TextRule]) -> None:
        self._free = free
        self._media = tuple(name for name in MEDIA if name in free)
        self._known: dict[Hashable, Shape] = {}

    def mark(self, row: Row | PlainRow) -> Hashable | None:
        """What rows of one shape have the same; None for one that has to be planned."""
        marks: list[Any] = []
        values: Iterable[tuple[str, Any]]
        if isinstance(row, PlainRow):
            values = row.values.items()
        else:
            values = zip(_NAMES, _ALL(row.request), strict=True)
            options = _exact(row.request.options)
            if options is None:
                return None
            marks += (options, _shown(row.request.subtitles))
        for name, value in values:
            rule = self._free.get(name)
            if value is None:
                continue
            if rule is None:
                marks += (name, value)
            elif value.__class__ is not str or not surely_allowed(rule, value):
                return None
            elif name == "text":
                marks += (name, tongue_of(value))
            else:
                marks += (name, is_url(value) if name in MEDIA else None)
        return tuple(marks) if self._free else None

    def get(self, mark: Hashable | None, row: Row | PlainRow) -> Shape | None:
        """The shape of *row*, whose mark is *mark*, when it is known."""
        try:
            shape = self._known.get(mark)
        except TypeError:  # a value that cannot be looked up
            return None
        # The same file in two fields: which of them a mistake is about is for the planning to say.
        if (
            shape is not None
            and shape.others
            and any(_getter(row)(name) in shape.others for name in self._media)
        ):
            return None
        return shape

    def learn(
        self,
        mark: Hashable | None,
        row: Row | PlainRow,
        steps: Sequence[Step],
        uses: Sequence[Use],
        parts: Sequence[NewJob],
    ) -> None:
        """Remember what *row* was found to need, unless that is not the same for all with its mark."""
        get = _getter(row)
        own = {get(name): name for name in self._free}
        given = [value for step in steps[:-1] for value in step.arguments.values()]
        if mark is None or not all(_same_for_all(value, own) for value in given):
            return
        found: list[tuple[str, str | None, MediaRule]] = []
        for use in uses:
            name = own.get(use.media)
            if name is not None and (name != use.field or name not in self._media):
                return
            found.append((use.field, use.media if name is None else None, use.rule))
        fixed = (get(name) for name in MEDIA if name not in self._media)
        others = {str(os.fspath(value)) for value in fixed if isinstance(value, str | os.PathLike)}
        others.update(media for _, media, _ in found if media is not None)
        if len(self._known) >= _MOST_SHAPES:
            self._known.clear()
        with contextlib.suppress(TypeError):
            self._known[mark] = Shape(tuple(parts), frozenset(others) if found else frozenset(), tuple(found))


def _getter(row: Row | PlainRow) -> Callable[[str], Any]:
    """Gives the request's fields by name."""
    return row.values.get if isinstance(row, PlainRow) else row.request.__getattribute__


def surely_allowed(rule: TextRule, text: str) -> bool:
    """Whether *rule* finds nothing wrong with *text*. False says only that it has to be asked."""
    if rule.max_chars is not None and len(text) > rule.max_chars:
        return False
    if rule.min_chars and len(text.strip()) < rule.min_chars:
        return False
    if not rule.html_allowed and "<" in text:
        return False
    if text.isascii():
        return "\0" not in text
    return text.isprintable() or _UNSENDABLE.search(text) is None


def _same_for_all(value: Any, own: Mapping[Any, str]) -> bool:
    """Whether a part's argument is surely no free field's."""
    if isinstance(value, str):
        return value not in own
    return isinstance(value, _INNOCENT)


def _shown(subtitles: Any) -> Any:
    # Numbers that are equal are not the same to a provider: 1 is a size where True is none.
    return subtitles if subtitles is None or subtitles.__class__ is bool else repr(subtitles)


def _exact(options: Mapping[str, Mapping[str, Any]]) -> tuple[Any, ...] | None:
    """*options* so that nothing but the very same is equal to it; None when they hold more than plain values."""
    if not options:
        return ()
    try:
        given = [
            (provider, name, value.__class__, repr(value))
            for provider, arguments in options.items()
            for name, value in arguments.items()
        ]
    except AttributeError:
        return None
    return tuple(given) if all(kind in _PLAIN for _, _, kind, _ in given) else None
