"""What every move of a ledger is made of. No I/O.

A *move* is a generator: it yields ``(sql, parameters)``, is sent the rows that gave as a list of tuples, and returns
the result of one method of :class:`~avatarkit.bulk.ledger.Ledger`. A store runs it inside one transaction: it commits
when the move returns, rolls back when it raises, and on :class:`Again` rolls back and runs it anew. Tokens in the SQL
are explained in ``schema.py``.

Of an UPDATE that ends in ``RETURNING 1`` only the number of rows is wanted, which some stores can ask for at less cost.

Moves first read without a lock, then change with a condition that repeats what they read. Locks are taken in one order,
account, run, jobs, so that two workers never wait for each other in a circle.
"""

# ruff: noqa: S608 - statements are put together from constants of ours; every value is a parameter

from __future__ import annotations

import json
import math
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import attrs
import orjson

from avatarkit.bulk.records import Job, JobState, ticket_from_json

T = TypeVar("T")

Statement: TypeAlias = tuple[str, dict[str, Any]]
Rows: TypeAlias = list[tuple[Any, ...]]
Move: TypeAlias = Generator[Statement, Rows, T]

CHUNK = 200
"""Parameters that one statement is given at most: SQLite looks for each among all before it."""

_MILLION = 1_000_000


class Again(Exception):
    """Another worker was quicker: roll back, and run the move once more from its beginning."""


def to_micros(amount: float | None) -> int | None:
    """Money as a ledger keeps it; without a bound is the same as not told."""
    return None if amount is None or not math.isfinite(amount) else round(amount * _MILLION)


def from_micros(amount: int | None) -> float | None:
    """Money as callers see it."""
    return None if amount is None else amount / _MILLION


def to_text(value: Mapping[str, Any]) -> str:
    """Plain data as it is kept. Odd values become text: they must not keep a failure from being recorded."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return json.dumps(value, default=str, ensure_ascii=False).encode("utf-8", "replace").decode()


def pieces(items: Sequence[T], width: int = 1) -> Iterator[Sequence[T]]:
    """*items* in runs that fit one statement, with *width* parameters for each."""
    size = max(1, CHUNK // width)
    for start in range(0, len(items), size):
        yield items[start : start + size]


def names(prefix: str, values: Iterable[Any], into: dict[str, Any]) -> str:
    """Put *values* into the parameters one by one, and give the list for ``IN (…)``."""
    given = []
    for number, value in enumerate(values):
        into[f"{prefix}{number}"] = value
        given.append(f":{prefix}{number}")
    return ", ".join(given)


COLUMNS = (
    "seq, run, key, part, state, spec, attempt, tries, marker, ticket, send_by, absent_at, token, task_id, created,"
    " submitted_at, ended_at, finished_at, not_before, look_at, looks, estimate, cost, result, error"
)


def to_job(row: tuple[Any, ...]) -> Job:
    """The job in a row of :data:`COLUMNS`."""
    ticket, result, error = row[9], row[23], row[24]
    return Job(
        seq=row[0],
        run=row[1],
        key=row[2],
        part=bool(row[3]),
        state=JobState(row[4]),
        spec=row[5],
        attempt=row[6],
        tries=row[7],
        marker=row[8],
        ticket=None if ticket is None else ticket_from_json(orjson.loads(ticket)),
        send_by=row[10],
        absent_at=row[11],
        token=row[12],
        task_id=row[13],
        created=row[14],
        submitted_at=row[15],
        ended_at=row[16],
        finished_at=row[17],
        not_before=row[18],
        look_at=row[19],
        looks=row[20],
        estimate=from_micros(row[21]),
        cost=from_micros(row[22]),
        result={} if result == "{}" else orjson.loads(result),
        error={} if error == "{}" else orjson.loads(error),
    )


@attrs.frozen
class Standing:
    """What a move has to know of a job before it changes it; money in millionths."""

    seq: int
    key: str
    state: str
    attempt: int
    reserved: int
    charged: int
    part: bool
    broken_by: int | None

    @property
    def slots(self) -> int:
        """How many slots it holds: one exactly while it is an intent or runs."""
        return 1 if self.state in ("intent", "running") else 0


_STANDING = "seq, key, state, attempt, reserved, charged, part, broken_by"
_ONE = f"SELECT {_STANDING} FROM jobs WHERE run = :run AND key = :key"


def standing(run: str, key: str) -> Move[Standing | None]:
    """Where one job stands."""
    rows = yield _ONE, {"run": run, "key": key}
    return Standing(*rows[0]) if rows else None


def standings(run: str, keys: Sequence[str]) -> Move[dict[str, Standing]]:
    """Where many jobs stand, by key, in the order they were added; unknown keys are left out."""
    found: list[Standing] = []
    for piece in pieces(list(dict.fromkeys(keys))):
        params: dict[str, Any] = {"run": run}
        given = names("key", piece, params)
        rows = yield f"SELECT {_STANDING} FROM jobs WHERE run = :run AND key IN ({given})", params
        found += [Standing(*row) for row in rows]
    return {each.key: each for each in sorted(found, key=lambda each: each.seq)}


# A learned cap grows by one for each tenth of it that ended well, and at least one task.
_TENTH = "(CASE WHEN cap < 20 THEN 1 ELSE cap / 10 END)"
_SLOTS = f"""UPDATE accounts SET running = running + :slots,
    went_well = CASE WHEN cap IS NULL THEN 0 ELSE went_well + :well - (went_well + :well) / {_TENTH} * {_TENTH} END,
    cap = cap + (went_well + :well) / {_TENTH}
    WHERE account = (SELECT account FROM runs WHERE id = :run)"""

_MONEY = """UPDATE runs SET reserved = reserved + :reserved, spent = spent + :spent,
    failures_in_row = failures_in_row * :keep + :failures WHERE id = :run"""


@attrs.define
class Bill:
    """What a move changes on the account and on the run, summed up over its jobs; money in millionths."""

    slots: int = 0
    well: int = 0
    reserved: int = 0
    spent: int = 0
    failures: int = 0
    reset: bool = False

    def give_back(self, job: Standing, *, slot: bool = True, money: bool = True) -> None:
        """Give back the slot the job holds, if any, and what is set aside for it."""
        self.slots -= job.slots if slot else 0
        self.reserved -= job.reserved if money else 0

    def pay(self, run: str) -> Move[None]:
        """Write it down: the account's row first, then the run's. The jobs come after that."""
        if self.slots or self.well:
            yield _SLOTS, {"run": run, "slots": self.slots, "well": self.well}
        if self.reserved or self.spent or self.failures or self.reset:
            yield (
                _MONEY,
                {
                    "run": run,
                    "reserved": self.reserved,
                    "spent": self.spent,
                    "keep": 0 if self.reset else 1,
                    "failures": self.failures,
                },
            )


LOCK_RUN = "SELECT state, account FROM runs WHERE id = :run {for_update}"
"""Has others wait who would change the run's jobs in bulk, or finish one of its parts."""


def changed(rows: Rows, many: int = 1) -> None:
    """Raise :class:`Again` unless a change met as many rows as were read before it."""
    if len(rows) != many:
        raise Again
