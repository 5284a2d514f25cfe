"""Checking a whole manifest before anything is sent: every row is planned, every file looked into once."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from avatarkit import providers
from avatarkit.bulk.manifest_cells import mistake_of
from avatarkit.bulk.manifest_columns import TornRow
from avatarkit.bulk.manifest_text import Reading, Sample
from avatarkit.bulk.naming import NameTemplate
from avatarkit.bulk.seen import Seen
from avatarkit.bulk.specs import MEDIA, WORDS, Mistake, Row
from avatarkit.errors import InvalidRequest, UnsupportedOperation
from avatarkit.models import Kind
from avatarkit.protocol.limits import MediaRule
from avatarkit.protocol.plan import Capabilities, Plan, Step
from avatarkit.request import VideoRequest
from avatarkit.transport.preflight import check_media
from avatarkit.transport.sources import as_source, is_url

MOST_MISTAKES = 1000
"""Mistakes that a report lists; the others are only counted."""

_AT_A_TIME = 256
_FILES_AT_ONCE = 8
_REMEMBERED = 50_000
# As the manifest's reader makes them of what a row asks for, with a number where an earlier row has the same.
_MADE_KEY = re.compile(r"([0-9a-f]{20})(?:-\d+)?")
_FIELDS = frozenset({*WORDS, *MEDIA, "subtitles", "key"})


@attrs.frozen(kw_only=True)
class CheckReport:
    """What checking a manifest showed. Nothing was sent.

    Attributes:
        rows: rows that could be read, right and wrong.
        jobs: rows that are right: so many videos.
        parts: tasks and calls that have to come before, each counted once however many videos need it.
        mistakes: in the manifest's order, at most 1,000.
        more: mistakes beyond those.
        cost: what the right rows are expected to cost, in *unit*; those of unknown cost are left out.
        unknown_costs: right rows whose cost is not known.
        unit: what costs are counted in, ``""`` where the provider publishes none.
        seconds: how long the run is expected to take, None when it is not known how many tasks run at once.
        files: local files that were looked into.
        encoding: what the manifest's text was read as; ``""`` where there is none.
        guessed: whether that was guessed by its looks.
        sample: the first cell that is not ASCII, where a wrong guess shows.
        repeats: right rows without a key of their own that say in every column what an earlier one says; each is made,
            and paid for, all the same.
        first_repeat: the line of the first of them, 0 when there is none.

    """

    rows: int
    jobs: int
    parts: int
    mistakes: tuple[Mistake, ...]
    more: int = 0
    cost: float = 0.0
    unknown_costs: int = 0
    unit: str = ""
    seconds: float | None = None
    files: int = 0
    encoding: str = ""
    guessed: bool = False
    sample: Sample | None = None
    repeats: int = 0
    first_repeat: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is at least one job and no mistake."""
        return self.jobs > 0 and not self.mistakes


async def check_rows(
    rows: Iterable[Row | TornRow | Mistake],
    *,
    provider: str,
    others: Iterable[Capabilities] = (),
    preflight: bool = True,
    most_running: int | None = None,
    name: NameTemplate | None = None,
    reading: Reading | None = None,
) -> CheckReport:
    """Look at every row as far as that is possible without the provider. Holds none of them.

    Args:
        rows: as :func:`~avatarkit.bulk.manifest.read_manifest` gives them, or
            :func:`~avatarkit.bulk.manifest.read_to_check`, which shows more mistakes of a row at once.
        provider: the provider's name.
        others: capabilities of other providers, for the hint which of them could.
        preflight: whether local files are looked into; that they are there is checked always.
        most_running: tasks that run at once, for the time.
        name: the template of file names, whose fields are looked for in the columns.
        reading: how the rows were read, for the report.

    Raises:
        ConfigurationError: there is no such provider, or the manifest cannot be read.

    """
    checker = _Checker(provider, tuple(others), Files(enabled=preflight), name)
    given = iter(rows)
    while batch := list(itertools.islice(given, _AT_A_TIME)):
        await checker.look(batch)
        await asyncio.sleep(0)
    report = checker.report(most_running)
    if reading is None:
        return report
    return attrs.evolve(report, encoding=reading.encoding, guessed=reading.guessed, sample=reading.sample)


@attrs.frozen
class Use:
    """One file or URL of a row: the request's field, or the option, that names it, and what holds for it."""

    field: str
    media: str
    rule: MediaRule


class Files:
    """Looks into files, each once as long as it is remembered."""

    def __init__(self, *, enabled: bool) -> None:
        self.looked = 0
        self._enabled = enabled
        self._known: OrderedDict[tuple[str, str, int], tuple[str, ...]] = OrderedDict()

    async def problems(self, uses: Iterable[Use]) -> Mapping[tuple[str, str, int], tuple[str, ...]]:
        """Everything wrong with the files of *uses*, by :func:`place_of`; what is right is left out."""
        found: dict[tuple[str, str, int], tuple[str, ...]] = {}
        missing: dict[tuple[str, str, int], Use] = {}
        for use in uses:
            place = place_of(use)
            known = self._known.get(place)
            if known is not None:
                self._known.move_to_end(place)
            elif is_url(use.media):
                known = _url_problems(use)
            else:
                missing[place] = use
            if known:
                found[place] = known
        waiting = iter(missing.items())

        async def work() -> None:
            for place, use in waiting:
                self._known[place] = problems = await self._look(use)
                if problems:
                    found[place] = problems

        await asyncio.gather(*(work() for _ in range(min(_FILES_AT_ONCE, len(missing)))))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _look(self, use: Use) -> tuple[str, ...]:
        self.looked += 1
        try:
            source = await as_source(use.media)
            return tuple(await check_media(use.field, source, use.rule)) if self._enabled else ()
        except InvalidRequest as error:
            return tuple(f"{use.field}: {problem}" for problem in error.problems)
        except OSError as error:
            return (f"{use.field}: file that cannot be read found ({error.strerror}), a file allowed",)


def _url_problems(use: Use) -> tuple[str, ...]:
    if len(use.media.split(None, 1)) != 1 or use.media[-1].isspace():
        return (f"{use.field}: not an http(s) URL",)
    return tuple(use.rule.check_url(use.field, use.media))


_ANYTHING = "anything"
_ANY_FILE = MediaRule()
"""What holds for a file of a row that cannot be planned: that it is there."""


@attrs.define
class _Seen:
    """One row after planning: what is wrong so far, what to look into, and what it will be if all is well."""

    wrong: list[Mistake]
    uses: list[Use] = attrs.field(factory=list)
    line: int = 0
    right: tuple[Row, Plan] | None = None
    unread: frozenset[str] = frozenset()


class _Checker:
    """Counts while rows go by."""

    def __init__(
        self, provider: str, others: tuple[Capabilities, ...], files: Files, name: NameTemplate | None
    ) -> None:
        self._generation = providers.part(provider, "generate")
        self._medians = {kind: each.median for kind, each in providers.spec(provider).kinds.items()}
        self._part_costs: Mapping[str, float] = getattr(self._generation, "PART_COSTS", {})
        self._others = others
        self._files = files
        self._name = name
        self._unfilled = set(name.unknown(())) if name is not None else set()
        self._parts = Seen()
        self._contents = Seen()
        self._repeats = self._first_repeat = 0
        self._mistakes: list[Mistake] = []
        self._more = self._rows = self._jobs = self._unknown = 0
        self._cost = self._work = self._longest = 0.0

    async def look(self, batch: list[Row | TornRow | Mistake]) -> None:
        """Look at some rows."""
        seen = [self._seen(row) for row in batch]
        problems = await self._files.problems(itertools.chain.from_iterable(each.uses for each in seen))
        for row, each in zip(batch, seen, strict=True):
            self._rows += isinstance(row, Row)
            if problems:
                fields = {mistake.column for mistake in each.wrong} | each.unread
                found = [p for use in each.uses for p in problems.get(place_of(use), ())]
                more = [mistake_of(problem, each.line) for problem in found]
                each.wrong += [mistake for mistake in more if mistake.column not in fields]
            if each.wrong:
                self._wrong(each.wrong)
            elif each.right is not None:
                self._right(*each.right)

    def _seen(self, row: Row | TornRow | Mistake) -> _Seen:
        if isinstance(row, Mistake):
            return _Seen([row])
        if isinstance(row, Row):
            return self._planned(row)
        if row.row is None:
            return _Seen(list(row.mistakes))
        rest = self._planned(row.row)
        rest.wrong = [*row.mistakes, *(each for each in rest.wrong if not _follows(each, row.unread))]
        rest.unread = row.unread
        return rest

    def _planned(self, row: Row) -> _Seen:
        if self._unfilled and self._name is not None:
            self._unfilled.intersection_update(self._name.unknown(row.columns))
        try:
            plan: Plan = self._generation.plan(row.request, self._others)
        except InvalidRequest as error:
            problems = [*error.problems, *self._beyond(row.request)]
            wrong = [mistake_of(problem, row.line) for problem in dict.fromkeys(problems)]
            return _Seen(wrong, _named_files(row.request), row.line)
        except UnsupportedOperation as error:
            text = f"{error}. {error.hint}" if error.hint else str(error)
            wrong = [Mistake(line=row.line, column="", message=text)]
            return _Seen(wrong, _named_files(row.request), row.line)
        uses = list(uses_of(row.request, plan.steps, getattr(self._generation, "MEDIA", {})))
        return _Seen([], uses, row.line, (row, plan))

    def _beyond(self, request: VideoRequest) -> list[str]:
        """What else is wrong with a *request* that is wrong whatever the provider, which then looks no further."""
        changes: dict[str, Any] = {}
        if not request.presenter:
            changes |= {"image": None, "video": None, "avatar": request.avatar or _ANYTHING}
        if not request.speech:
            changes |= {"audio": None, "text": request.text or _ANYTHING}
        speaks = changes.get("text", request.text) is not None
        if speaks != (request.voice is not None):
            changes["voice"] = _ANYTHING if speaks else None
        if not changes:
            return []
        try:
            self._generation.plan(attrs.evolve(request, **changes), self._others)
        except InvalidRequest as error:
            return [each for each in error.problems if mistake_of(each, 0).column not in changes]
        except UnsupportedOperation:
            pass  # what the provider cannot do may come of what was put in
        return []

    def _wrong(self, found: list[Mistake]) -> None:
        room = MOST_MISTAKES - len(self._mistakes)
        self._mistakes += found[:room]
        self._more += len(found[room:])

    def _right(self, row: Row, plan: Plan) -> None:
        self._jobs += 1
        self._compare(row)
        cost = self._generation.estimate(row.request)
        parts = sum(self._part_costs.get(step.operation, 0.0) for step in plan.steps[:-1])
        if cost is None:
            self._unknown += 1
        else:
            self._cost += max(0.0, cost - parts)
        chain = 0.0
        for at, step in enumerate(plan.steps):
            seconds = self._medians.get(step.makes, 0.0) if isinstance(step.makes, Kind) else 0.0
            chain += seconds
            last = at == len(plan.steps) - 1
            if last or self._parts.add(repr((step.operation, step.arguments))):
                self._work += seconds
                self._cost += 0.0 if last else self._part_costs.get(step.operation, 0.0)
        self._longest = max(self._longest, chain)

    def _compare(self, row: Row) -> None:
        """Count *row* when it repeats an earlier one. Who gives keys says that each row is a job of its own."""
        made = _MADE_KEY.fullmatch(row.key)
        if made is None:
            return
        content = repr((made[1], sorted(row.columns.items()))) if row.columns else made[1]
        if not self._contents.add(content):
            self._repeats += 1
            self._first_repeat = self._first_repeat or row.line

    def report(self, most_running: int | None) -> CheckReport:
        """What was seen so far."""
        for field in sorted(self._unfilled) if self._rows else ():
            text = "the template of file names asks for it, but no row has such a column"
            self._wrong([Mistake(line=0, column=field[:80], message=text)])
        return CheckReport(
            rows=self._rows,
            jobs=self._jobs,
            parts=len(self._parts),
            mistakes=tuple(self._mistakes),
            more=self._more,
            cost=self._cost,
            unknown_costs=self._unknown,
            unit=getattr(self._generation, "UNIT", ""),
            seconds=max(self._longest, self._work / most_running) if most_running else None,
            files=self._files.looked,
            repeats=self._repeats,
            first_repeat=self._first_repeat,
        )


def _follows(mistake: Mistake, unread: frozenset[str]) -> bool:
    """Whether *mistake* may well be there only because a cell could not be read."""
    if mistake.column in unread:
        return True
    of_options = bool(mistake.column) and mistake.column not in _FIELDS
    return of_options and not unread <= _FIELDS


def _named_files(request: VideoRequest) -> list[Use]:
    """The local files that a row names which cannot be planned."""
    found = ((name, getattr(request, name)) for name in MEDIA)
    return [
        Use(name, os.fspath(media), _ANY_FILE)
        for name, media in found
        if isinstance(media, str | os.PathLike) and not is_url(media) and os.fspath(media)
    ]


def place_of(use: Use) -> tuple[str, str, int]:
    """What tells one file in one use from every other."""
    return use.field, use.media, id(use.rule)


def uses_of(
    request: VideoRequest, steps: Iterable[Step], rules: Mapping[str, Mapping[str, MediaRule]]
) -> Iterator[Use]:
    """The material that *steps* take, by the name under which the request has it."""
    for step in steps:
        for argument, rule in rules.get(step.operation, {}).items():
            media: Any = step.arguments.get(argument)
            if isinstance(media, str | os.PathLike):
                fields = (name for name in MEDIA if getattr(request, name) is media)
                yield Use(next(fields, argument), str(os.fspath(media)), rule)
