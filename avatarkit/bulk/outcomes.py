"""What became of the jobs of a run, as a table for spreadsheets or as JSON lines, written as they are read."""

from __future__ import annotations

import contextlib
import csv
import datetime
import itertools
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal

import orjson

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.output import unsigned
from avatarkit.bulk.records import Job, JobState
from avatarkit.bulk.specs import MEDIA, WORDS, Row, row_from
from avatarkit.errors import ConfigurationError, InvalidRequest
from avatarkit.transport.threads import in_thread

Form = Literal["csv", "tsv", "jsonl"]

FIELDS = (
    "key", "state", "file", "location", "bytes", "seconds", "sha256", "cost", "estimate", "task_id", "attempt", "tries",
    "created", "submitted_at", "ended_at", "finished_at", "error", "code", "message", "reason",
)  # fmt: skip
"""What is told of every job, in this order; the request's fields and the manifest's columns follow."""

ENDINGS: Mapping[str, Form] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""What a file's ending says of its form."""

_PAGE = 500
_RESULT = ("file", "location", "bytes", "seconds", "sha256")
_TIMES = ("created", "submitted_at", "ended_at", "finished_at")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets take them too
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def export_row(job: Job) -> dict[str, Any]:
    """What became of *job*, flat: :data:`FIELDS`, ``request`` and ``columns``. Times are ISO 8601 in UTC.

    Holds no signed URL: every URL in it is bare of its query.
    """
    result, error = job.result, job.error
    outcome = {
        "key": job.key,
        "state": job.state.value,
        **{name: result.get(name) for name in _RESULT},
        "cost": job.cost,
        "estimate": job.estimate,
        "task_id": job.task_id or None,
        "attempt": job.attempt,
        "tries": job.tries,
        **{name: _moment(getattr(job, name)) for name in _TIMES},
        "error": error.get("type"),
        "code": error.get("code") or None,
        "message": error.get("message"),
        "reason": error.get("reason"),
    }
    row = _row(job)
    request = {} if row is None else {name: _plain(getattr(row.request, name)) for name in (*WORDS, *MEDIA)}
    outcome["request"] = {name: value for name, value in request.items() if value is not None}
    outcome["columns"] = {} if row is None else dict(row.columns)
    flat: dict[str, Any] = unsigned(outcome)
    return flat


def form_of(path: str | os.PathLike[str]) -> Form:
    """The form that the ending of *path* says, one of :data:`ENDINGS` in large or small letters.

    Raises:
        InvalidRequest: it says none of them.

    """
    target = Path(path)
    form = ENDINGS.get(target.suffix.lower())
    if form is None:
        *most, last = ENDINGS
        raise InvalidRequest(
            f"output: {target.name} found, a name ending with {', '.join(most)} or {last} allowed",
            hint="Or say the form (--format csv, tsv or jsonl); any name will do then.",
        )
    return form


def write_outcomes(
    jobs: Iterable[Job],
    to: IO[bytes],
    form: Form = "csv",
    *,
    columns: Sequence[str] | None = None,
    guarded: bool = True,
) -> int:
    """Write what became of *jobs*, parts left out, to *to*; gives how many.

    Args:
        jobs: read once, and not held but for 500 at a time.
        to: a file opened in binary mode.
        form: ``csv`` or ``tsv`` (UTF-8 with its mark, as spreadsheets read it), or ``jsonl``.
        columns: the manifest's columns that a table gets; None takes those of the first 500 jobs.
        guarded: whether cells of a table that a spreadsheet would run as a formula get a quote before them.

    Raises:
        OSError: the file cannot be written.

    """
    writer = _Writer(to, form, columns, guarded=guarded)
    given = iter(jobs)
    while page := list(itertools.islice(given, _PAGE)):
        writer.write(page)
    writer.close()
    return writer.count


async def export(
    ledger: Ledger,
    run: str,
    path: str | os.PathLike[str],
    *,
    form: Form | None = None,
    states: Sequence[JobState] = (),
    columns: Sequence[str] | None = None,
    guarded: bool = True,
    overwrite: bool = False,
) -> int:
    """Write what became of a run's jobs to the file *path*, whole or not at all; gives how many.

    Args:
        form: None tells it by the file's ending, see :data:`ENDINGS`.
        states: only jobs in one of these.
        columns: see :func:`write_outcomes`, as for *guarded*.
        overwrite: whether an existing file may be replaced.

    Raises:
        InvalidRequest: the file exists, or its ending says no form.
        ConfigurationError: it cannot be written.

    """
    target, form = Path(path), form or form_of(path)
    await in_thread(_spare, target, getattr(ledger, "path", None))
    if not overwrite and await in_thread(os.path.lexists, target):
        raise InvalidRequest(f"{target}: exists already", hint="Replace it with --force (overwrite=True).")
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            writer = _Writer(file, form, columns, guarded=guarded)
            async for page in _pages(ledger, run, states):
                await in_thread(writer.write, page)
            writer.close()
            file.flush()
            await in_thread(os.fsync, file.fileno())
        part.replace(target)
    except OSError as error:
        raise ConfigurationError(f"{target}: cannot be written ({error.strerror or error})") from None
    finally:
        part.unlink(missing_ok=True)
    return writer.count


_COMPANIONS = ("", "-wal", "-shm", ".lock")


def _spare(target: Path, journal: Path | None) -> None:
    """Raise InvalidRequest for what an export must never replace: a journal, this run's or another's."""
    if str(target) == "-":
        raise InvalidRequest("output: - found, a file's name allowed")
    own = journal is not None and target.resolve() in {
        journal.with_name(f"{journal.name}{ending}") for ending in _COMPANIONS
    }
    with contextlib.suppress(OSError):
        if target.is_file():
            with target.open("rb") as file:
                own = own or file.read(16).startswith(b"SQLite format 3")
    if own:
        raise InvalidRequest(f"{target}: a journal found, which is never replaced")


async def _pages(ledger: Ledger, run: str, states: Sequence[JobState]) -> AsyncIterator[list[Job]]:
    after = 0
    while page := await ledger.select(run, states, after=after, most=_PAGE):
        yield page
        after = page[-1].seq


class _Writer:
    """Writes pages of jobs."""

    def __init__(self, to: IO[bytes], form: Form, columns: Sequence[str] | None, *, guarded: bool) -> None:
        self.count = 0
        self._to = to
        self._form = form
        self._columns = columns
        self._guarded = guarded
        self._begun = False

    def write(self, page: Sequence[Job]) -> None:
        outcomes = [export_row(job) for job in page if not job.part]
        self.count += len(outcomes)
        if self._form == "jsonl":
            self._to.write(b"".join(map(_line, outcomes)))
        elif outcomes:
            self._begin(outcomes)
            self._table(outcomes)

    def _table(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        names = self._columns or ()
        self._rows(
            [
                *(outcome[name] for name in FIELDS),
                *(outcome["request"].get(name) for name in (*WORDS, *MEDIA)),
                *(outcome["columns"].get(name) for name in names),
            ]
            for outcome in outcomes
        )

    def close(self) -> None:
        """A table without jobs has its header all the same."""
        if self._form != "jsonl":
            self._begin([])

    def _begin(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        if self._begun:
            return
        self._begun = True
        if self._columns is None:
            self._columns = list(dict.fromkeys(name for each in outcomes for name in each["columns"]))
        self._to.write(b"\xef\xbb\xbf")
        # A column of the manifest may be called as one of ours.
        taken = {*FIELDS, *WORDS, *MEDIA}
        own = [f"column.{name}" if name in taken else name for name in self._columns]
        self._rows([[*FIELDS, *WORDS, *MEDIA, *own]])

    def _rows(self, rows: Iterable[Sequence[Any]]) -> None:
        lines = _Text()
        table = csv.writer(lines, delimiter="\t" if self._form == "tsv" else ",")
        table.writerows([self._cell(value) for value in row] for row in rows)
        self._to.write("".join(lines.pieces).encode("utf-8", "replace"))

    def _cell(self, value: Any) -> Any:
        if not isinstance(value, str):
            return "" if value is None else value
        # Spreadsheets also look behind blanks.
        risky = self._guarded and value.lstrip(" ")[:1] in _FORMULA and not _NUMBER.fullmatch(value)
        return f"'{value}" if risky and value.strip(" ") else value


class _Text:
    """What the csv module writes to."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def write(self, text: str) -> None:
        self.pieces.append(text)


def _line(outcome: Mapping[str, Any]) -> bytes:
    given = {name: value for name, value in outcome.items() if value is not None and value != {}}
    return orjson.dumps(given, option=orjson.OPT_APPEND_NEWLINE)


def _row(job: Job) -> Row | None:
    try:
        return None if job.part else row_from(orjson.loads(job.spec)["row"])
    except (InvalidRequest, ValueError, KeyError, TypeError, AttributeError):
        return None


def _plain(value: Any) -> str | None:
    return None if value is None else str(value)


def _moment(seconds: float | None) -> str | None:
    if not seconds:
        return None
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return None
