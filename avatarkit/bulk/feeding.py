"""From a manifest to a ledger: every row is read, planned and looked into before anything is submitted."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeAlias

import attrs

from avatarkit.bulk.checking import Files, Use, place_of
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.manifest import AnyRow, Item, open_manifest, read_rows
from avatarkit.bulk.manifest_cells import mistake_of
from avatarkit.bulk.naming import Namer, NameTemplate
from avatarkit.bulk.planning import Planner, check_key, job_of
from avatarkit.bulk.records import NewJob
from avatarkit.bulk.shapes import Shapes
from avatarkit.bulk.specs import Mistake, PlainRow, Row, spec_of
from avatarkit.errors import ConfigurationError, InvalidRequest, UnsupportedOperation
from avatarkit.transport.threads import in_thread

_BATCH = 5000
_MOST_MISTAKES = 1000


class JobSource(Protocol):
    """Anything that yields jobs: a list, a generator. It is read in a worker thread, never on an event loop."""

    def __iter__(self) -> Iterator[Item]:
        """The jobs, one by one."""
        ...


Jobs: TypeAlias = str | os.PathLike[str] | JobSource
"""Where jobs come from: a manifest's path, or anything that yields requests, rows or mappings."""


async def add_all(
    ledger: Ledger,
    run: str,
    jobs: Jobs,
    planner: Planner,
    template: NameTemplate,
    *,
    base: Path | None,
    preflight: bool,
    staging: bool,
    priced: bool = False,
    encoding: str | None = None,
) -> int:
    """Read, plan and check every job and add it to the ledger; gives how many rows there were.

    Raises:
        InvalidRequest: with every mistake found (the first 1,000), each with its line and column.
        ConfigurationError: the manifest cannot be read.

    """
    feeder = _Feeder(planner, Namer(template), template.needs_line, staging)
    files = Files(enabled=preflight)
    items = read_rows(jobs, base=base, capabilities=planner.capabilities, encoding=encoding)
    mistakes: list[Mistake] = []
    rows, since = 0, await _begin(ledger, run)
    while (batch := await in_thread(feeder.next, items)).rows:
        problems = await files.problems(use for _, use in batch.uses)
        mistakes += batch.wrong
        if problems:
            mistakes += [
                mistake_of(problem, line)
                for line, use in batch.uses
                for problem in problems.get(place_of(use), ())
            ]
        if priced:
            mistakes += [_unpriced(line) for line in batch.unpriced]
        if batch.jobs and not mistakes:
            added = await ledger.add(run, batch.jobs)
            mistakes += [_changed(key, batch.lines.get(key, 0)) for key in added.changed]
        rows += batch.rows
        if len(mistakes) >= _MOST_MISTAKES:
            break
    if mistakes:
        await ledger.retract(run, since)
        await ledger.remember("", f"feeding:{run}", {"since": None})
        mistakes.sort(key=lambda mistake: mistake.line)
        raise InvalidRequest([str(mistake) for mistake in mistakes[:_MOST_MISTAKES]])
    await ledger.remember("", f"feeding:{run}", {"since": None})
    return rows


async def is_being_fed(ledger: Ledger, run: str) -> bool:
    """Whether somebody is adding jobs, or was cut off at it: until all were found good, none of them is submitted."""
    left = await ledger.recall("", f"feeding:{run}", younger_than=math.inf)
    return left is not None and left.get("since") is not None


async def _begin(ledger: Ledger, run: str) -> float:
    """When this feeding began. What an earlier one left half-way is taken back: its manifest may have been wrong."""
    left = await ledger.recall("", f"feeding:{run}", younger_than=math.inf)
    if left is not None and left.get("since") is not None:
        await ledger.retract(run, float(left["since"]))
    since = await ledger.now()
    await ledger.remember("", f"feeding:{run}", {"since": since})
    return since


def digest_of(jobs: Jobs) -> str:
    """What tells this manifest from a changed one; ``""`` when it is no file.

    Raises ConfigurationError when it cannot be read.
    """
    if not isinstance(jobs, str | os.PathLike):
        return ""
    digest = hashlib.sha256()
    try:
        with open_manifest(Path(jobs)) as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise ConfigurationError(
            f"the manifest {os.fspath(jobs)} cannot be read: {error.strerror or error}"
        ) from None
    return digest.hexdigest()


@attrs.define
class _Batch:
    """Some rows, planned.

    Attributes:
        rows: how many there were, right and wrong.
        jobs: what the right ones need, each part once.
        uses: the material to look into, with the line that names it.
        unpriced: lines of rows of which nobody knows what they cost.
        lines: where the jobs' rows are, by key.
        wrong: what is wrong with the others.

    """

    rows: int = 0
    jobs: list[NewJob] = attrs.field(factory=list)
    uses: list[tuple[int, Use]] = attrs.field(factory=list)
    unpriced: list[int] = attrs.field(factory=list)
    lines: dict[str, int] = attrs.field(factory=dict)
    wrong: list[Mistake] = attrs.field(factory=list)


class _Feeder:
    """Reads rows and plans them, in a worker thread."""

    def __init__(self, planner: Planner, namer: Namer, with_line: bool, staging: bool) -> None:  # noqa: FBT001
        self._planner = planner
        self._namer = namer
        self._with_line = with_line
        self._staging = staging
        self._shapes = Shapes(planner.free)

    def next(self, items: Iterator[AnyRow]) -> _Batch:
        """The next rows; none at the end."""
        batch = _Batch()
        parts: dict[str, NewJob] = {}
        for item in itertools.islice(items, _BATCH):
            batch.rows += 1
            if isinstance(item, Mistake):
                batch.wrong.append(item)
                continue
            try:
                self._plan(item, batch, parts)
            except InvalidRequest as error:
                batch.wrong += [mistake_of(problem, item.line) for problem in error.problems]
            except UnsupportedOperation as error:
                text = f"{error} {error.hint}".strip()
                batch.wrong.append(Mistake(line=item.line, column="", message=text))
        return batch

    def _plan(self, row: Row | PlainRow, batch: _Batch, known: dict[str, NewJob]) -> None:
        planner = self._planner
        mark = self._shapes.mark(row)
        shape = self._shapes.get(mark, row)
        if shape is None:
            steps = planner.steps(row.request)
            if not self._staging and (problems := planner.unstaged(steps)):
                raise InvalidRequest(problems)
            uses = planner.files(row.request, steps)
        else:
            uses = shape.uses(row)
        spec = spec_of(self._namer.settled(row), with_line=self._with_line)
        check_key(row.key)
        if shape is None:
            parts = planner.parts(steps)
            cost = planner.cost(row.request, parts)
            self._shapes.learn(mark, row, steps, uses, parts)
        else:
            parts = shape.parts
            cost = shape.cost(row, planner)
        for part in parts:
            if part.key not in known:
                known[part.key] = part
                batch.jobs.append(part)
        batch.jobs.append(job_of(row.key, spec, parts, cost))
        batch.lines[row.key] = row.line
        if uses:
            batch.uses += [(row.line, use) for use in uses]
        if cost is None:
            batch.unpriced.append(row.line)


def _changed(key: str, line: int) -> Mistake:
    return Mistake(
        line=line,
        column="key",
        message=f"{key!r} is in the ledger with another content; give the changed job another key",
    )


def _unpriced(line: int) -> Mistake:
    return Mistake(
        line=line,
        column="",
        message="nobody publishes what this costs, so a budget cannot hold it; say default_cost (--default-cost)",
    )
