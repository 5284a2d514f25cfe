"""Before a bulk run: every row looked at, and what the run will do, in words."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import typer

from avatarkit.bulk.checking import CheckReport, check_rows
from avatarkit.bulk.feeding import digest_of
from avatarkit.bulk.manifest import read_rows, read_to_check
from avatarkit.bulk.manifest_text import Reading
from avatarkit.bulk.naming import NameTemplate
from avatarkit.bulk.planning import Planner
from avatarkit.bulk.progress import money_text, seconds_text
from avatarkit.bulk.records import Run, RunSettings
from avatarkit.bulk.specs import Mistake, PlainRow, Row
from avatarkit.cli import output
from avatarkit.cli.bulk_journal import looked_into
from avatarkit.cli.failures import Exit
from avatarkit.cli.invocation import Invocation
from avatarkit.errors import InvalidRequest
from avatarkit.generation import all_capabilities
from avatarkit.transport.threads import in_thread

_WRITTEN = re.compile(r"(?:manifest|line (\d+))(?:, ([^:]+))?: (.*)", re.DOTALL)
"""How a mistake is written."""


@attrs.frozen(kw_only=True)
class Checked(CheckReport):
    """What checking a manifest file showed.

    Attributes:
        first_repeated: the line of the earlier row that the first repeat says again, 0 when there is none.

    """

    first_repeated: int = 0


async def check(
    manifest: Path, settings: RunSettings, *, most_running: int | None, encoding: str | None = None
) -> Checked:
    """Look at every row of *manifest*, whose text has this *encoding*. Sends nothing, needs no credentials.

    Raises:
        ConfigurationError: the manifest cannot be read, the provider is not known, the template is wrong.

    """
    provider = settings.provider
    template = NameTemplate(settings.name, provider)
    reading = Reading(given=encoding)
    rows = read_to_check(manifest, capabilities=Planner(provider).capabilities, reading=reading)
    found = await check_rows(
        rows,
        provider=provider,
        others=all_capabilities(),
        most_running=most_running,
        name=template,
        reading=reading,
    )
    earlier = 0
    if found.ok and found.repeats:
        earlier = await in_thread(_said_before, manifest, provider, encoding, found.first_repeat)
    return Checked(**attrs.asdict(found, recurse=False), first_repeated=earlier)


def _said_before(manifest: Path, provider: str, encoding: str | None, line: int) -> int:
    """The line of the first row that says what the one of *line* says. Read again for it, as rows are not held."""
    capabilities = Planner(provider).capabilities

    def rows() -> Iterator[Row | PlainRow]:
        every = read_rows(manifest, capabilities=capabilities, encoding=encoding)
        return (row for row in every if not isinstance(row, Mistake))

    def said(row: Row | PlainRow) -> tuple[str, Mapping[str, str]]:
        return row.key.partition("-")[0], row.columns  # without the number that makes the key unique

    again = next((said(row) for row in rows() if row.line == line), None)
    return next((row.line for row in rows() if said(row) == again), 0)


def settled_encoding(
    invocation: Invocation, given: str | None, journal: str, earlier: Run | None
) -> Callable[[], Coroutine[Any, Any, str | None]]:
    """Asks for the encoding that was given, or else the one that the run was fed with."""

    async def main() -> str | None:
        if given is not None:
            return given
        return None if earlier is None else (await _fed_before(invocation, journal, earlier)).get("encoding")

    return main


def is_known(
    invocation: Invocation, journal: str, manifest: Path, earlier: Run, encoding: str | None
) -> Callable[[], Coroutine[Any, Any, bool]]:
    """Asks whether the journal has the rows of *manifest* as it is now, so that they need not be checked again."""

    async def main() -> bool:
        kept = await _fed_before(invocation, journal, earlier)
        same = encoding in (None, kept.get("encoding"))
        return same and kept.get("digest") == await in_thread(digest_of, manifest)

    return main


async def _fed_before(invocation: Invocation, journal: str, earlier: Run) -> Mapping[str, Any]:
    """What the journal knows of the manifest that was fed last."""
    async with looked_into(journal, invocation, patient=True) as ledger:
        name, account = f"manifest:{earlier.id}", earlier.settings.account
        return await ledger.recall(account, name, younger_than=math.inf) or {}


def document(found: CheckReport) -> dict[str, Any]:
    """*found* as plain data."""
    told = attrs.asdict(found)
    told["mistakes"] = [attrs.asdict(each) for each in found.mistakes]
    return {"type": "check", "ok": found.ok, **told}


def refuse(invocation: Invocation, manifest: Path, found: CheckReport) -> None:
    """List every mistake.

    Raises:
        typer.Exit: with the code for a wrong request, when there is a mistake or nothing to do.

    """
    if found.ok:
        return
    if invocation.json:
        output.write_json(document(found), lines=True)
    mistakes = [str(mistake) for mistake in found.mistakes]
    raise _refused(manifest, mistakes, found.more, reading_lines(found))


def refused(invocation: Invocation, manifest: Path, error: InvalidRequest) -> typer.Exit:
    """What to raise when the rows do not go with what the journal has; every mistake was listed."""
    if invocation.json:
        mistakes = [_mistake(each) for each in error.problems]
        output.write_json({"type": "check", "ok": False, "mistakes": mistakes}, lines=True)
    return _refused(manifest, error.problems, 0)


def _mistake(text: str) -> dict[str, Any]:
    """A mistake as plain data, out of how it is written for people."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return {"line": 0, "column": "", "message": text}
    return {"line": int(found[1] or 0), "column": found[2] or "", "message": found[3]}


def _refused(manifest: Path, mistakes: Sequence[str], more: int, remarks: Sequence[str] = ()) -> typer.Exit:
    for text in mistakes:
        output.warn(text)
    if more:
        output.warn(f"… and {more} more")
    for text in remarks:
        output.warn(text)
    count = len(mistakes) + more
    what = "has no jobs" if not count else "has 1 mistake" if count == 1 else f"has {count} mistakes"
    output.warn(f"avatarkit: {manifest} {what}; nothing was sent")
    return typer.Exit(Exit.USAGE)


def reading_lines(found: CheckReport) -> list[str]:
    """How the manifest was read: what shows here in a wrong encoding is spoken like that, too."""
    if found.sample is None:
        return []
    guess = ", which is a guess (--encoding NAME says another)" if found.guessed else ""
    return [f"read as {found.encoding}{guess}; first such text: {found.sample}"]


def plan_lines(found: CheckReport, settings: RunSettings) -> list[str]:
    """What the run will do."""
    parts = f", {_count(found.parts, 'shared part')} before" if found.parts else ""
    lines = [f"{_count(found.jobs, 'video')} by {settings.provider}{parts}, into {settings.out}"]
    lines += reading_lines(found)
    lines += _repeat_lines(found)
    cost, unit = found.cost, found.unit or "units"
    unknown = found.unknown_costs
    if settings.default_cost is not None:
        cost, unknown = cost + unknown * settings.default_cost, 0
    if cost:
        lines.append(f"estimated cost: {money_text(cost)} {unit}")
    if unknown:
        lines.append(f"{_count(unknown, 'video')} of unknown cost (--default-cost N counts them)")
    if settings.budget is not None:
        lines.append(_budget(settings.budget, cost, unit, unknown))
    if found.seconds:
        lines.append(f"estimated time: {seconds_text(found.seconds)}")
    return lines


def _repeat_lines(found: CheckReport) -> list[str]:
    if not found.repeats:
        return []
    one = found.repeats == 1
    lines = [found.first_repeat]
    if isinstance(found, Checked) and found.first_repeated:
        lines.insert(0, found.first_repeated)
    rows = f"{_count(found.repeats, 'row')} {'is' if one else 'are'} the same as an earlier row"
    where = f"{'' if one else 'first '}line {' and '.join(map(str, lines))}"
    return [f"{rows}, and {'is' if one else 'are'} made again: {where}"]


def _budget(budget: float, cost: float, unit: str, unknown: int) -> str:
    text = f"budget: {money_text(budget)} {unit}"
    if cost > budget:
        return f"{text}, less than the estimate: the run stops when it is used up"
    return f"{text}; what has no known cost is not held back by it" if unknown else text


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def confirm(*, yes: bool) -> None:
    """Ask on a terminal whether to go on.

    Raises:
        typer.Exit: the answer was no.

    """
    if yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not typer.confirm("Go on?", default=True, err=True):
        output.warn("avatarkit: nothing was sent")
        raise typer.Exit(Exit.INTERRUPTED)
