"""From a manifest to a ledger: every row is read, planned and looked into before anything is submitted."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, TypeAlias

import attrs

from avatarkit.bulk.checking import Files, Use, place_of
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.manifest import Item, read_manifest
from avatarkit.bulk.manifest_cells import mistake_of
from avatarkit.bulk.naming import Namer, NameTemplate
from avatarkit.bulk.planning import Planner
from avatarkit.bulk.records import NewJob
from avatarkit.bulk.specs import Mistake, Row, spec_of
from avatarkit.errors import ConfigurationError, InvalidRequest, UnsupportedOperation
from avatarkit.transport.clock import in_thread

_BATCH = 500
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
) -> int:
    """Read, plan and check every job and add it to the ledger; gives how many rows there were.

    Raises:
        InvalidRequest: with every mistake found (the first 1,000), each with its line and column.
        ConfigurationError: the manifest cannot be read.

    """
    feeder = _Feeder(planner, Namer(template), template.needs_line, staging)
    files = Files(enabled=preflight)
    items = read_manifest(jobs, base=base, capabilities=planner.capabilities)
    mistakes: list[Mistake] = []
    rows, since = 0, await _begin(ledger, run)
    while batch := await in_thread(_batch, items):
        planned, wrong = await in_thread(feeder.plan, batch)
        problems = await files.problems(use for each in planned for use in each.uses)
        mistakes += wrong
        mistakes += [
            mistake_of(problem, each.line)
            for each in planned
            for use in each.uses
            for problem in problems[place_of(use)]
        ]
        mistakes += [_unpriced(each.line) for each in planned if priced and each.jobs[-1].estimate is None]
        if planned and not mistakes:
            added = await ledger.add(run, [job for each in planned for job in each.jobs])
            mistakes += [_changed(key) for key in added.changed]
        rows += len(batch)
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
        with Path(jobs).open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise ConfigurationError(
            f"the manifest {os.fspath(jobs)} cannot be read: {error.strerror or error}"
        ) from None
    return digest.hexdigest()


def _batch(items: Iterator[Row | Mistake]) -> list[Row | Mistake]:
    found: list[Row | Mistake] = []
    for item in items:
        found.append(item)
        if len(found) >= _BATCH:
            break
    return found


@attrs.frozen
class _Planned:
    """One good row: where it stood, its jobs, and the material to look into."""

    line: int
    jobs: list[NewJob]
    uses: list[Use]


@attrs.frozen
class _Feeder:
    """Plans rows, in a worker thread."""

    planner: Planner
    namer: Namer
    with_line: bool
    staging: bool

    def plan(self, batch: list[Row | Mistake]) -> tuple[list[_Planned], list[Mistake]]:
        """What the good rows need, and what is wrong with the others."""
        planned: list[_Planned] = []
        wrong: list[Mistake] = []
        for item in batch:
            if isinstance(item, Mistake):
                wrong.append(item)
                continue
            try:
                steps = self.planner.steps(item.request)
                if not self.staging and (problems := self.planner.unstaged(steps)):
                    raise InvalidRequest(problems)
                uses = self.planner.files(item.request, steps)
                spec = spec_of(self.namer.settled(item), with_line=self.with_line)
                jobs = self.planner.jobs(item.key, item.request, steps, spec)
            except InvalidRequest as error:
                wrong += [mistake_of(problem, item.line) for problem in error.problems]
            except UnsupportedOperation as error:
                wrong.append(Mistake(line=item.line, column="", message=f"{error} {error.hint}".strip()))
            else:
                planned.append(_Planned(item.line, jobs, uses))
        return planned, wrong


def _changed(key: str) -> Mistake:
    return Mistake(
        line=0,
        column="key",
        message=f"{key!r} is in the ledger with another content; give the changed job another key",
    )


def _unpriced(line: int) -> Mistake:
    return Mistake(
        line=line,
        column="",
        message="nobody publishes what this costs, so a budget cannot hold it; say default_cost (--default-cost)",
    )
