"""Moves that take a run out of one ledger and put it into another, page by page. No I/O.

While it is on its way, and for ever in the ledger it left, a run does not submit and cannot be opened: its settings
name no account there. What it was is kept under a name of its own, so that a transfer that was cut off goes on.
"""

# ruff: noqa: S608 - statements are put together from constants of ours; every value is a parameter

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import orjson

from avatarkit.bulk.moves import LOCK_RUN, Bill, Move, Rows, names, pieces, to_text
from avatarkit.errors import ConfigurationError

PAGE = 100
"""Jobs that are copied in one statement: SQLite and PostgreSQL allow some ten thousand parameters."""

COPIED = (
    "key, part, state, due, pending, attempt, tries, doubted, looks, send_by, not_before, look_at, created, absent_at,"
    " submitted_at, ended_at, finished_at, estimate, cost, reserved, charged, told, marker, owner, task_id, token,"
    " ticket, result, error, spec"
)
"""Columns of a job that mean the same in every ledger: all but its number, its run, and the part that broke it."""

_FIELDS = tuple(COPIED.split(", "))
_RUN_FIELDS = ("settings", "budget", "state", "reason", "created", "spent", "reserved", "failures_in_row")
_LIMITS = ("most_running", "cap", "per_second")

_LEFT = "moved to another ledger"
_ARRIVING = "on its way from another ledger"


class Arrival(enum.Enum):
    """What there is where a run should go."""

    ROOM = "room"
    WHOLE = "whole"
    """It is there already."""
    TAKEN = "taken"
    """Another run of that name is."""


@attrs.frozen(kw_only=True)
class Parcel:
    """A run that is on its way: names of its transfer and of the ledger it goes to, its account, its rows as they were.

    No two ledgers can both be given one run: that would be paying for its jobs twice.
    """

    transfer: str
    target: str
    account: str
    run: Mapping[str, Any]
    limits: Mapping[str, Any]


def _mark(run: str) -> str:
    return f"transfer:{run}"


def _kept(account: str, run: str) -> Move[dict[str, Any] | None]:
    rows = yield (
        "SELECT value FROM kept WHERE account = :account AND name = :name",
        {"account": account, "name": _mark(run)},
    )
    return dict(orjson.loads(rows[0][0])) if rows else None


def _keep(account: str, run: str, value: Mapping[str, Any]) -> Move[None]:
    yield (
        (
            "INSERT INTO kept (account, name, value, at) VALUES (:account, :name, :value, {now})"
            " ON CONFLICT (account, name) DO UPDATE SET value = excluded.value"
        ),
        {"account": account, "name": _mark(run), "value": to_text(value)},
    )


_RESTORE = "UPDATE runs SET settings = :settings, state = :state, reason = :reason WHERE id = :run"


def _was(parcel: Parcel) -> dict[str, Any]:
    return {name: parcel.run[name] for name in ("settings", "state", "reason")}


def _fenced(settings: str, why: str) -> str:
    return to_text({**orjson.loads(settings), "account": f"none, since it is {why}"})


def leave(run: str, transfer: str, target: str) -> Move[Parcel]:
    """Close the run here for good, unless that was done before; its slots are given back.

    Raises ConfigurationError when it has gone, or was to go, to another ledger than *target*.
    """
    rows = yield LOCK_RUN, {"run": run}
    if not rows:
        raise ConfigurationError(f"there is no run {run}")
    account = rows[0][1]
    if kept := (yield from _kept(account, run)):
        if kept["target"] != target:
            raise ConfigurationError(
                f"the run {run} was moved to another ledger, or was to be", hint="Use that one."
            )
        return Parcel(**kept)
    rows = yield f"SELECT {', '.join(_RUN_FIELDS)} FROM runs WHERE id = :run", {"run": run}
    row = dict(zip(_RUN_FIELDS, rows[0], strict=True))
    limits = yield f"SELECT {', '.join(_LIMITS)} FROM accounts WHERE account = :account", {"account": account}
    parcel = Parcel(
        transfer=transfer,
        target=target,
        account=account,
        run=row,
        limits=dict(zip(_LIMITS, limits[0], strict=True)),
    )
    yield from _keep(account, run, attrs.asdict(parcel))
    slots = yield from _slots(run)
    yield from Bill(slots=-slots).pay(run)
    fence = {"run": run, "settings": _fenced(row["settings"], _LEFT), "reason": _LEFT}
    yield "UPDATE runs SET settings = :settings, state = 'stopped', reason = :reason WHERE id = :run", fence
    return parcel


def stay(run: str) -> Move[None]:
    """Take :func:`leave` back: the run could not go where it should."""
    rows = yield LOCK_RUN, {"run": run}
    account = rows[0][1]
    if kept := (yield from _kept(account, run)):
        slots = yield from _slots(run)
        yield from Bill(slots=slots).pay(run)
        yield _RESTORE, {**_was(Parcel(**kept)), "run": run}
        yield (
            "DELETE FROM kept WHERE account = :account AND name = :name",
            {"account": account, "name": _mark(run)},
        )


def identity(fresh: str) -> Move[str]:
    """The name of this ledger among ledgers; *fresh* if it has none yet."""
    yield (
        (
            "INSERT INTO kept (account, name, value, at) VALUES ('', 'identity', :fresh, {now})"
            " ON CONFLICT (account, name) DO NOTHING"
        ),
        {"fresh": fresh},
    )
    rows = yield "SELECT value FROM kept WHERE account = '' AND name = 'identity'", {}
    return str(rows[0][0])


def arrive(run: str, parcel: Parcel) -> Move[Arrival]:
    """Make room for the run here."""
    yield (
        "INSERT INTO accounts (account) VALUES (:account) ON CONFLICT (account) DO NOTHING",
        {"account": parcel.account},
    )
    made = yield (
        (
            "INSERT INTO runs (id, account, settings, budget, state, reason, created, spent, reserved, failures_in_row)"
            " VALUES (:run, :account, :settings, :budget, 'stopped', :reason, :created, :spent, :reserved,"
            " :failures_in_row) ON CONFLICT (id) DO NOTHING RETURNING id"
        ),
        {
            **parcel.run,
            "run": run,
            "account": parcel.account,
            "reason": _ARRIVING,
            "settings": _fenced(parcel.run["settings"], _ARRIVING),
        },
    )
    known = yield from _kept(parcel.account, run)
    if not made:
        if known is None or known["arriving"] != parcel.transfer:
            return Arrival.TAKEN
        return Arrival.WHOLE if known["whole"] else Arrival.ROOM
    yield from _keep(parcel.account, run, {"arriving": parcel.transfer, "whole": False})
    return Arrival.ROOM


# What was handed out by the old ledger is due again here.
_DUE = """CASE state WHEN 'new' THEN not_before WHEN 'running' THEN look_at WHEN 'ready' THEN 0 ELSE due END AS due"""
_PAGE = f"""SELECT {COPIED.replace(" due,", f" {_DUE},")}, seq FROM jobs
    WHERE run = :run AND seq > :after ORDER BY seq LIMIT :most"""


def page(run: str, after: int) -> Move[Rows]:
    """The next jobs behind number *after*: the copied columns, and the number."""
    return (yield _PAGE, {"run": run, "after": after, "most": PAGE})


def put(run: str, rows: Rows) -> Move[None]:
    """Add copied jobs; those that are there already are left alone."""
    yield LOCK_RUN, {"run": run}  # whoever feeds the run meanwhile counts what is new by the jobs' numbers
    clock = float((yield "SELECT {now}", {})[0][0])
    params: dict[str, Any] = {"run": run}
    values = []
    for n, row in enumerate(rows):
        job = dict(zip(_FIELDS, row, strict=False))
        if job["state"] == "intent":
            # The old ledger's clock may have been ahead: its doubts ripen, and are looked for, by this one's.
            job.update(send_by=max(job["send_by"], clock), absent_at=None)
        values.append(f"(:run, {names(f'v{n}x', job.values(), params)})")
    yield (
        f"INSERT INTO jobs (run, {COPIED}) VALUES {', '.join(values)} ON CONFLICT (run, key) DO NOTHING",
        params,
    )


def ties(run: str) -> Move[tuple[list[tuple[str, str]], list[tuple[str, str]]]]:
    """Who needs which part, and who failed because of which: pairs of keys."""
    needs = yield (
        (
            "SELECT jobs.key, parts.key FROM jobs JOIN needs ON needs.job = jobs.seq"
            " JOIN jobs AS parts ON parts.seq = needs.part WHERE jobs.run = :run ORDER BY jobs.seq, parts.seq"
        ),
        {"run": run},
    )
    broken = yield (
        (
            "SELECT jobs.key, parts.key FROM jobs JOIN jobs AS parts ON parts.seq = jobs.broken_by"
            " WHERE jobs.run = :run ORDER BY jobs.seq"
        ),
        {"run": run},
    )
    return [(key, part) for key, part in needs], [(key, part) for key, part in broken]


def tie(run: str, needs: Sequence[tuple[str, str]], broken: Sequence[tuple[str, str]]) -> Move[None]:
    """Write the pairs of :func:`ties` down here."""
    for piece in pieces(needs, 2):
        params: dict[str, Any] = {"run": run}
        values = ", ".join(f"({names(f'v{n}x', pair, params)})" for n, pair in enumerate(piece))
        yield (
            f"""INSERT INTO needs (part, job) SELECT parts.seq, jobs.seq FROM (VALUES {values}) AS pairs
            JOIN jobs ON jobs.run = :run AND jobs.key = pairs.column1
            JOIN jobs AS parts ON parts.run = :run AND parts.key = pairs.column2
            WHERE 1 = 1 ON CONFLICT (part, job) DO NOTHING""",
            params,
        )
    for key, part in broken:
        yield (
            (
                "UPDATE jobs SET broken_by = (SELECT seq FROM jobs WHERE run = :run AND key = :part)"
                " WHERE run = :run AND key = :key"
            ),
            {"run": run, "key": key, "part": part},
        )


def size(run: str) -> Move[tuple[int, int]]:
    """How many jobs and parts the run has, and how many pairs of who needs what."""
    jobs = yield "SELECT count(*) FROM jobs WHERE run = :run", {"run": run}
    needs = yield (
        "SELECT count(*) FROM needs WHERE job IN (SELECT seq FROM jobs WHERE run = :run)",
        {"run": run},
    )
    return jobs[0][0], needs[0][0]


def uploads(account: str) -> Move[list[tuple[str, str, float]]]:
    """What is kept for the account, transfers left out: name, value, when."""
    rows = yield (
        "SELECT name, value, at FROM kept WHERE account = :account AND name NOT LIKE 'transfer:%'",
        {"account": account},
    )
    return [(name, value, at) for name, value, at in rows]


def keep_uploads(account: str, kept: Sequence[tuple[str, str, float]]) -> Move[None]:
    """Keep them here too, unless something newer is known."""
    for piece in pieces(kept, 3):
        params: dict[str, Any] = {"account": account}
        values = ", ".join(f"(:account, {names(f'v{n}x', row, params)})" for n, row in enumerate(piece))
        yield (
            f"INSERT INTO kept (account, name, value, at) VALUES {values} ON CONFLICT (account, name) DO NOTHING",
            params,
        )


def open_up(run: str, parcel: Parcel, wanted: tuple[int, int]) -> Move[None]:
    """The run is whole: it takes its slots, and is what it was, in one step. Raises ConfigurationError if it is not."""
    yield LOCK_RUN, {"run": run}
    known = yield from _kept(parcel.account, run)
    if known is None or known["whole"]:
        return
    found = yield from size(run)
    if found != wanted:
        raise ConfigurationError(
            f"the run {run} did not arrive whole: {found[0]} jobs and {found[1]} needs of {wanted[0]} and {wanted[1]}",
            hint="Move it once more: what is there is kept.",
        )
    yield from _take_over(parcel)
    yield from Bill(slots=(yield from _slots(run))).pay(run)
    yield _RESTORE, {**_was(parcel), "run": run}
    yield from _keep(parcel.account, run, {"arriving": parcel.transfer, "whole": True})


def _take_over(parcel: Parcel) -> Move[None]:
    """Limits that the account has nothing of here."""
    for name in _LIMITS:
        yield (
            f"UPDATE accounts SET {name} = :value WHERE account = :account AND {name} IS NULL",
            {"value": parcel.limits[name], "account": parcel.account},
        )


def _slots(run: str) -> Move[int]:
    rows = yield (
        "SELECT count(*) FROM jobs WHERE run = :run AND state IN ('intent', 'running')",
        {"run": run},
    )
    return int(rows[0][0])
