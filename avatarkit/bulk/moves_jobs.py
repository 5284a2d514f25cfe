"""Moves that add jobs, hand them out and show them. No I/O."""

# ruff: noqa: S608 - statements are put together from constants of ours; every value is a parameter

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from avatarkit.bulk.moves import (
    COLUMNS,
    LOCK_RUN,
    Move,
    Statement,
    from_micros,
    names,
    pieces,
    to_job,
    to_micros,
)
from avatarkit.bulk.moves_parts import parts_lost
from avatarkit.bulk.records import Added, Counts, Job, JobState, NewJob
from avatarkit.errors import ConfigurationError

_AT_ONCE = 33  # jobs in one statement
_LAST = "SELECT coalesce(max(seq), 0) FROM jobs"
# Written so that no index on "run" is taken for it: only what is behind is read.
_FROM_BEHIND = "FROM jobs WHERE run || '' = :run AND seq > :before"
_HOW_MANY_BEHIND = f"SELECT count(*) {_FROM_BEHIND}"
_BEHIND = f"SELECT key, seq {_FROM_BEHIND}"
_LOST = frozenset({"failed", "abandoned", "cancelled"})
_PREFIXED = ", ".join(f"jobs.{name}" for name in COLUMNS.split(", "))


def add(run: str, jobs: Sequence[NewJob]) -> Move[Added]:
    """Add jobs; those whose key is there are left alone."""
    # Parts that end now are waited for, or wait: a dependant added in between would never hear of it.
    rows = yield LOCK_RUN, {"run": run}
    if not rows:
        raise ConfigurationError(f"there is no run {run}")
    parts = yield from _parts(run, jobs)
    first: dict[str, NewJob] = {}
    for job in jobs:
        first.setdefault(job.key, job)
    unique = list(first.values())
    before = (yield _LAST, {})[0][0]
    for start in range(0, len(unique), _AT_ONCE):
        yield _insertion(run, unique[start : start + _AT_ONCE], parts)
    # Nobody else adds to a run whose row is locked: what is behind the last one is all ours.
    behind = {"run": run, "before": before}
    many: int = (yield _HOW_MANY_BEHIND, behind)[0][0]
    dependants = [job for job in unique if job.needs]
    if many == len(jobs) and not dependants:
        return Added(new=many, known=0)
    fresh: dict[str, int] = dict((yield _BEHIND, behind))
    numbers = {**{key: at[0] for key, at in parts.items()}, **fresh}
    yield from _link([(fresh[job.key], job) for job in dependants if job.key in fresh], numbers, parts)
    again = [job for job in jobs if job.key not in fresh or first[job.key] is not job]
    changed = yield from _changed(run, again, {key: first[key].spec for key in fresh})
    return Added(new=many, known=len(jobs) - many, changed=changed)


def _parts(run: str, jobs: Sequence[NewJob]) -> Move[dict[str, tuple[int, str]]]:
    """The parts the jobs need and the ledger has, by key: number and state."""
    wanted = dict.fromkeys(key for job in jobs if job.needs for key in job.needs)
    known: dict[str, tuple[int, str]] = {}
    if not wanted:
        return known
    for piece in pieces(list(wanted)):
        params: dict[str, Any] = {"run": run}
        given = names("key", piece, params)
        rows = yield f"SELECT key, seq, state FROM jobs WHERE run = :run AND key IN ({given})", params
        known.update({key: (seq, state) for key, seq, state in rows})
    missing = wanted.keys() - known.keys() - {job.key for job in jobs}
    if missing:
        raise ConfigurationError(
            f"{len(missing)} parts are needed that were never added: {min(missing)} …",
            hint="Add parts before the jobs that need them, or with them.",
        )
    return known


def _insertion(run: str, jobs: Sequence[NewJob], parts: Mapping[str, tuple[int, str]]) -> Statement:
    lacking = [_lacking(job, parts) if job.needs else 0 for job in jobs]
    same = lacking.count(lacking[0]) == len(jobs) and len({job.part for job in jobs}) == 1
    values: list[Any] = []
    for job, lacks in zip(jobs, lacking, strict=True):
        values += (job.key, to_micros(job.estimate), job.spec)
        if not same:
            values += (int(job.part), _state(lacks), lacks)
    sql, given = _insert_sql(len(jobs), same=same)
    params = dict(zip(given, values, strict=True))
    params["run"] = run
    if same:
        params |= {"part": int(jobs[0].part), "state": _state(lacking[0]), "pending": lacking[0]}
    return sql, params


def _lacking(job: NewJob, parts: Mapping[str, tuple[int, str]]) -> int:
    """How many of the parts that it needs are not done."""
    return sum(parts.get(key, (0, ""))[1] != "done" for key in dict.fromkeys(job.needs))


def _state(lacking: int) -> str:
    return "blocked" if lacking else "new"


@functools.lru_cache(maxsize=2 * _AT_ONCE)
def _insert_sql(many: int, *, same: bool) -> tuple[str, list[str]]:
    """The statement that inserts *many* jobs, and its parameters; *same*: all are parts or none, in one state.

    What all have in common is one parameter, for SQLite looks for each among all before it.
    """
    own = ("key", "estimate", "spec") if same else ("key", "estimate", "spec", "part", "state", "pending")
    columns = ("key", "estimate", "spec", "part", "state", "pending")
    rows = ", ".join(
        f"(:run, {', '.join(f':{name}{n}' if name in own else f':{name}' for name in columns)}, {{now}})"
        for n in range(many)
    )
    sql = (
        f"INSERT INTO jobs (run, {', '.join(columns)}, created) VALUES {rows}"
        " ON CONFLICT (run, key) DO NOTHING"
    )
    return sql, [f"{name}{n}" for n in range(many) for name in own]


def _link(
    dependants: Sequence[tuple[int, NewJob]],
    numbers: Mapping[str, int],
    parts: Mapping[str, tuple[int, str]],
) -> Move[None]:
    """Write down who needs what; who needs a part that is lost already fails at once."""
    pairs = [(numbers[key], seq) for seq, job in dependants for key in dict.fromkeys(job.needs)]
    for piece in pieces(pairs, 2):
        params: dict[str, Any] = {}
        for n, (part, seq) in enumerate(piece):
            params[f"p{n}"], params[f"j{n}"] = part, seq
        values = ", ".join(f"(:p{n}, :j{n})" for n in range(len(piece)))
        yield f"INSERT INTO needs (part, job) VALUES {values} ON CONFLICT (part, job) DO NOTHING", params
    lost = {key: parts[key] for _, job in dependants for key in job.needs if key in parts}
    for key, (seq, state) in lost.items():
        if state in _LOST:
            yield from parts_lost([(seq, key)], "failed" if state == "cancelled" else state)


def _changed(run: str, again: Sequence[NewJob], seen: Mapping[str, bytes]) -> Move[tuple[str, ...]]:
    """Keys, among those that were there, whose spec is another now."""
    specs = {job.key: seen[job.key] for job in again if job.key in seen}
    for piece in pieces([job.key for job in again if job.key not in seen]):
        params: dict[str, Any] = {"run": run}
        given = names("key", piece, params)
        rows = yield f"SELECT key, spec FROM jobs WHERE run = :run AND key IN ({given})", params
        specs.update(rows)
    return tuple(dict.fromkeys(job.key for job in again if specs[job.key] != job.spec))


# New ones go out in the order they were added; of the running ones, who has waited longest for a look comes first.
_TAKE = f"""WITH picked AS MATERIALIZED (
        SELECT seq AS number FROM jobs WHERE run = :run AND state = :state AND due <= {{now}} {{active}}
        ORDER BY {{order}} LIMIT :most {{skip_locked}})
    UPDATE jobs SET due = {{now}} + :seconds FROM picked WHERE jobs.seq = picked.number AND jobs.state || '' = :state
    RETURNING {_PREFIXED}"""
_ACTIVE = "AND EXISTS (SELECT 1 FROM runs WHERE id = :run AND state = 'active')"
_TAKE_ANY = _TAKE.replace("{active}", "").replace("{order}", "due, seq")
_TAKE_NEW = _TAKE.replace("{active}", _ACTIVE).replace("{order}", "seq")


def take(run: str, state: JobState, most: int, *, seconds: float) -> Move[list[Job]]:
    """Hand out jobs that are due; no new ones of a run that does not submit."""
    rows = yield (
        _TAKE_NEW if state is JobState.NEW else _TAKE_ANY,
        {"run": run, "state": state.value, "most": most, "seconds": float(seconds)},
    )
    return sorted(map(to_job, rows), key=lambda job: job.seq)


# With something due now, the least of all need not be looked for among a million.
_OF_STATE = "FROM jobs WHERE run = :run AND state = '{state}' {active}"
_DUE = f"""coalesce((SELECT due {_OF_STATE} AND due <= {{{{now}}}} ORDER BY seq LIMIT 1),
    (SELECT min(due) {_OF_STATE}))"""
_NEXT_DUE = "SELECT " + ", ".join(
    _DUE.format(state=state, active=_ACTIVE if state == "new" else "")
    for state in ("new", "running", "ready")
)


def next_due(run: str) -> Move[float | None]:
    """When there is something to take."""
    rows = yield _NEXT_DUE, {"run": run}
    return min((due for due in rows[0] if due is not None), default=None)


_GET = f"SELECT {COLUMNS} FROM jobs WHERE run = :run AND key = :key"


def get(run: str, key: str) -> Move[Job | None]:
    """One job."""
    rows = yield _GET, {"run": run, "key": key}
    return to_job(rows[0]) if rows else None


_SOME = f"SELECT {COLUMNS} FROM jobs WHERE run = :run AND state = :state AND seq > :after ORDER BY seq LIMIT :most"
# Written so that no index on "run" is taken for it: the jobs lie in the order of "seq".
_ALL = f"SELECT {COLUMNS} FROM jobs WHERE run || '' = :run AND seq > :after ORDER BY seq LIMIT :most"


def select(run: str, states: Sequence[JobState] = (), *, after: int = 0, most: int = 1000) -> Move[list[Job]]:
    """Jobs and parts in the order they were added."""
    params: dict[str, Any] = {"run": run, "after": after, "most": most}
    if not states:
        rows = yield _ALL, params
        return [to_job(row) for row in rows]
    found: list[tuple[Any, ...]] = []
    for state in dict.fromkeys(states):  # each by itself comes out of the index in order
        found += yield _SOME, {**params, "state": state.value}
    return [to_job(row) for row in sorted(found)[:most]]


_PARTS_OF = f"""SELECT {_PREFIXED} FROM jobs AS mine JOIN needs ON needs.job = mine.seq
    JOIN jobs ON jobs.seq = needs.part WHERE mine.run = :run AND mine.key = :key ORDER BY jobs.seq"""


def parts_of(run: str, key: str) -> Move[Mapping[str, Job]]:
    """The parts a job needs, by key."""
    rows = yield _PARTS_OF, {"run": run, "key": key}
    return {job.key: job for job in map(to_job, rows)}


def counts(run: str) -> Move[Counts]:
    """Where the run's jobs are."""
    # Grouping by state and part would sort a million rows; the index is in the order of the states.
    rows = yield "SELECT state, count(*), sum(part) FROM jobs WHERE run = :run GROUP BY state", {"run": run}
    parts = {JobState(state): int(parts) for state, _, parts in rows if parts}
    jobs = {JobState(state): many - int(parts) for state, many, parts in rows if many > parts}
    return Counts(jobs=jobs, parts=parts)


def unhand() -> Move[None]:
    """Take back what was handed out, when nobody else can have it any more: leases, and jobs not touched since."""
    yield "DELETE FROM leases", {}
    for (run,) in (yield "SELECT id FROM runs", {}):
        for state, due in (("new", "not_before"), ("running", "look_at"), ("ready", "not_before")):
            yield (
                (
                    f"UPDATE jobs SET due = {due} WHERE run = :run AND state = :state AND due > {{now}}"
                    f" AND due <> {due}"
                ),
                {"run": run, "state": state},
            )


_ADDED = "run = :run AND created >= :since AND attempt = 0 AND state IN ('new', 'blocked')"


def retract(run: str, since: float) -> Move[None]:
    """Take back what was added since then and was not touched yet."""
    yield LOCK_RUN, {"run": run}
    params = {"run": run, "since": since}
    yield f"DELETE FROM needs WHERE job IN (SELECT seq FROM jobs WHERE {_ADDED})", params
    yield f"DELETE FROM jobs WHERE {_ADDED}", params


def dearest(run: str) -> Move[float]:
    """The most that one of the run's videos was seen to cost."""
    rows = yield "SELECT max(cost) FROM jobs WHERE run = :run AND part = 0", {"run": run}
    return from_micros(rows[0][0]) or 0.0
