"""Moves that end a job, and those that take an end back. No I/O."""

# ruff: noqa: S608 - statements are put together from constants of ours; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from avatarkit.bulk.moves import (
    LOCK_RUN,
    Bill,
    Move,
    Standing,
    changed,
    names,
    pieces,
    standing,
    standings,
    to_micros,
    to_text,
)
from avatarkit.bulk.moves_parts import part_done, parts_back, parts_lost
from avatarkit.bulk.records import JobState, Look

_FINAL = frozenset(state.value for state in JobState if state.final)

# What this attempt counts for: "charged" in the run's "spent", known or taken to be; "told" in the job's "cost".
_COST = """charged = charged + :spent, told = CASE WHEN :is_told = 1 THEN :cost ELSE told END,
        cost = CASE WHEN :is_told = 1 THEN coalesce(cost, 0) - told + :cost ELSE cost END"""

# A job that was adopted anew meanwhile is in the state and the attempt of before; what is set aside tells it apart.
_AS_READ = "state = :state AND reserved = :aside AND charged = :charged"


_FAIL = f"""UPDATE jobs SET state = 'failed', error = :error, finished_at = {{now}}, reserved = 0, {_COST}
    WHERE seq = :seq AND attempt = :attempt AND {_AS_READ} RETURNING 1"""


def fail(
    run: str, key: str, attempt: int, *, error: Mapping[str, Any], cost: float | None = None
) -> Move[bool]:
    """From any state that is not final to failed, and what needs it with it."""
    job = yield from standing(run, key)
    if job is None or job.attempt != attempt or job.state in _FINAL:
        return False
    # What a ready job cost was counted when its task ended well; only a difference is new.
    told = to_micros(cost)
    spent = 0 if told is None else told - job.charged
    bill = Bill(failures=1, spent=spent)
    bill.give_back(job)
    yield from bill.pay(run)
    params = {"seq": job.seq, "attempt": attempt, "error": to_text(error)}
    changed((yield _FAIL, {**params, **_as_read(job), **_costs(spent, told)}))
    if job.part:
        yield from parts_lost([(job.seq, key)])
    return True


_FINISH = f"""UPDATE jobs SET state = 'done', result = :result, error = '{{}}', finished_at = {{now}},
        ended_at = coalesce(ended_at, {{now}}), reserved = 0, {_COST}
    WHERE seq = :seq AND attempt = :attempt AND {_AS_READ} RETURNING 1"""


# What nearly all jobs do: what they cost was told when their task ended, nothing waits for them, no failure is to be
# forgotten. So nothing is to be written but this.
_FINISH_PLAIN = """UPDATE jobs SET state = 'done', result = :result, error = '{}', finished_at = {now},
        ended_at = coalesce(ended_at, {now})
    WHERE run = :run AND key = :key AND attempt = :attempt AND state || '' = 'ready' AND part = 0 AND reserved = 0
        AND (:is_told = 0 OR (charged = :cost AND told = :cost AND cost IS NOT NULL))
        AND NOT EXISTS (SELECT 1 FROM runs WHERE id = :run AND failures_in_row > 0)
    RETURNING 1"""


def finish(
    run: str,
    key: str,
    attempt: int,
    *,
    result: Mapping[str, Any],
    cost: float | None = None,
    from_states: Sequence[JobState] = (JobState.READY,),
) -> Move[bool]:
    """To done; what waited for this part and lacks no other is new."""
    told, text = to_micros(cost), to_text(result)
    if JobState.READY in from_states:
        facts = {"run": run, "key": key, "attempt": attempt, "result": text}
        if (yield _FINISH_PLAIN, {**facts, "is_told": int(told is not None), "cost": told or 0}):
            return True
    job = yield from standing(run, key)
    if job is None or job.attempt != attempt or job.state not in [state.value for state in from_states]:
        return False
    spent = job.reserved if told is None else told - job.charged
    bill = Bill(spent=spent, well=job.slots, reset=True)
    bill.give_back(job)
    yield from bill.pay(run)
    params = {"seq": job.seq, "attempt": attempt, "result": text}
    changed((yield _FINISH, {**params, **_as_read(job), **_costs(spent, told)}))
    if job.part:
        yield from part_done(job.seq)
    return True


def _as_read(job: Standing) -> dict[str, Any]:
    return {"state": job.state, "aside": job.reserved, "charged": job.charged}


def _costs(spent: int, told: int | None) -> dict[str, int]:
    return {"spent": spent, "is_told": int(told is not None), "cost": told or 0}


# -- what looks showed

_LOOKED = """UPDATE jobs SET look_at = seen.column3, due = seen.column3, looks = looks + seen.column4
    FROM (VALUES {values}) AS seen
    WHERE jobs.seq = seen.column1 AND jobs.attempt = seen.column2 AND jobs.state = 'running' RETURNING 1"""

_ENDED = """UPDATE jobs SET state = seen.column3, looks = looks + seen.column4, tries = tries + seen.column5,
        not_before = seen.column6, due = seen.column6, error = seen.column7, reserved = 0, ended_at = {{now}},
        finished_at = CASE WHEN seen.column3 = 'failed' THEN {{now}} ELSE NULL END, charged = seen.column8,
        told = CASE WHEN seen.column9 = 1 THEN seen.column8 ELSE 0 END,
        cost = CASE WHEN seen.column9 = 1 THEN coalesce(cost, 0) + seen.column8 ELSE cost END
    FROM (VALUES {values}) AS seen
    WHERE jobs.seq = seen.column1 AND jobs.attempt = seen.column2 AND jobs.state = 'running'
        AND jobs.reserved = seen.column10
    RETURNING 1"""


@attrs.frozen
class _Ended:
    """A job whose task ended, and how."""

    job: Standing
    look: Look

    @property
    def charge(self) -> int:
        """What it cost; a task that was accepted and does not say is taken to cost what was set aside."""
        told = to_micros(self.look.cost)
        return self.job.reserved if told is None else told

    def row(self) -> tuple[Any, ...]:
        """The values of ``_ENDED``."""
        look = self.look
        again = look.state is JobState.NEW
        return (
            self.job.seq,
            look.attempt,
            look.state.value,
            int(look.counted),
            int(again),
            float(look.not_before) if again else 0.0,
            to_text(look.error),
            self.charge,
            int(look.cost is not None),
            self.job.reserved,
        )


def settle(run: str, looks: Sequence[Look]) -> Move[list[str]]:
    """What a round of looks showed; gives the keys that became ready."""
    known = yield from standings(run, [look.key for look in looks])
    going: list[tuple[Any, ...]] = []
    ended: list[_Ended] = []
    for look in looks:
        job = known.get(look.key)
        if job is None or (job.state, job.attempt) != ("running", look.attempt):
            continue
        if look.state is JobState.RUNNING:
            going.append((job.seq, look.attempt, float(look.look_at), int(look.counted)))
        elif look.state in (JobState.READY, JobState.FAILED, JobState.NEW):
            ended.append(_Ended(job, look))
            del known[look.key]  # what is said of it a second time comes too late
    yield from _settle_bill(ended).pay(run)
    lost = {each.job.seq for each in ended}
    yield from _apply(_LOOKED, sorted({row[0]: row for row in going if row[0] not in lost}.values()))
    yield from _apply(_ENDED, sorted(each.row() for each in ended))
    broken = [each.job for each in ended if each.look.state is JobState.FAILED and each.job.part]
    yield from parts_lost([(part.seq, part.key) for part in broken])
    return [each.job.key for each in ended if each.look.state is JobState.READY]


def _settle_bill(ended: Sequence[_Ended]) -> Bill:
    bill = Bill()
    for each in ended:
        bill.give_back(each.job)
        bill.spent += each.charge
        bill.well += each.look.state is JobState.READY
        bill.failures += each.look.state is JobState.FAILED
    return bill


def _apply(sql: str, rows: Sequence[tuple[Any, ...]]) -> Move[None]:
    for piece in pieces(rows, len(rows[0]) if rows else 1):
        params: dict[str, Any] = {}
        values = ", ".join(f"({names(f'v{n}x', row, params)})" for n, row in enumerate(piece))
        changed((yield sql.format(values=values), params), len(piece))


# -- at the user's word

_RENEW = """UPDATE jobs SET state = CASE WHEN pending > 0 THEN 'blocked' ELSE 'new' END, reserved = 0, tries = 0,
        error = '{}', due = 0, not_before = 0, absent_at = NULL, doubted = 0, ended_at = NULL, finished_at = NULL,
        broken_by = NULL
    WHERE seq = :seq AND state = :state RETURNING 1"""

_BREAKER = "SELECT seq, key, state, attempt, reserved, charged, part, broken_by FROM jobs WHERE seq = :seq"


def resend(run: str, keys: Sequence[str]) -> Move[int]:
    """From held or failed to new. A job that failed because of a part comes back with that part."""
    yield LOCK_RUN, {"run": run}
    roots: dict[int, Standing] = {}
    for job in (yield from standings(run, keys)).values():
        root = yield from _root(job)
        if root.state in ("held", "failed"):
            roots[root.seq] = root
    jobs = [roots[seq] for seq in sorted(roots)]
    yield from _paid_perhaps(jobs).pay(run)
    for job in jobs:
        changed((yield _RENEW, {"seq": job.seq, "state": job.state}))
    back = yield from parts_back(run, [job.seq for job in jobs if job.part and job.state == "failed"])
    return len(jobs) + back


def _root(job: Standing) -> Move[Standing]:
    """The part that is to blame for a job's failure, or the job itself."""
    while job.state == "failed" and job.broken_by is not None:
        rows = yield _BREAKER, {"seq": job.broken_by}
        job = Standing(*rows[0])
    return job


def _paid_perhaps(jobs: Sequence[Standing]) -> Bill:
    """What was set aside is given back, and counts as spent for jobs whose submission may well have been billed."""
    held = sum(job.reserved for job in jobs if job.state == "held")
    return Bill(reserved=-sum(job.reserved for job in jobs), spent=held)


def abandon(run: str, keys: Sequence[str]) -> Move[int]:
    """From held to abandoned; what was set aside counts as spent, and what needs it fails."""
    yield LOCK_RUN, {"run": run}
    jobs = [job for job in (yield from standings(run, keys)).values() if job.state == "held"]
    yield from _paid_perhaps(jobs).pay(run)
    yield from _end(jobs, "abandoned")
    return len(jobs)


def cancel(run: str, keys: Sequence[str]) -> Move[int]:
    """From blocked or new to cancelled, and what needs it too."""
    yield LOCK_RUN, {"run": run}
    found = yield from standings(run, keys)
    jobs = [job for job in found.values() if job.state in ("blocked", "new")]
    # What needs a part that was named is cancelled with it, so it counts once.
    more = yield from _end(jobs, "cancelled")
    return len(jobs) + more


def _end(jobs: Sequence[Standing], state: str) -> Move[int]:
    for piece in pieces(jobs):
        params: dict[str, Any] = {"state": state}
        given = names("seq", [job.seq for job in piece], params)
        params.update(
            {"old0": "held", "old1": "held"} if state == "abandoned" else {"old0": "blocked", "old1": "new"}
        )
        sql = (
            "UPDATE jobs SET state = :state, reserved = 0, finished_at = {now}"
            f" WHERE seq IN ({given}) AND state IN (:old0, :old1) RETURNING 1"
        )
        changed((yield sql, params), len(piece))
    return (yield from parts_lost([(job.seq, job.key) for job in jobs if job.part], state))


_AGAIN_NEW = """UPDATE jobs SET state = 'new', result = '{}', error = '{}', due = 0, not_before = 0, token = '',
        task_id = '', submitted_at = NULL, ended_at = NULL, finished_at = NULL
    WHERE seq = :seq AND state = 'done' RETURNING 1"""
_WAIT_AGAIN = """UPDATE jobs SET state = 'blocked', pending = pending + 1
    WHERE seq IN (SELECT job FROM needs WHERE part = :seq) AND state IN ('new', 'blocked')"""


def renew(run: str, key: str) -> Move[bool]:
    """A part from done to new, since what it made is too old; what needs it waits again."""
    yield LOCK_RUN, {"run": run}
    job = yield from standing(run, key)
    if job is None or not job.part or job.state != "done":
        return False
    changed((yield _AGAIN_NEW, {"seq": job.seq}))
    yield _WAIT_AGAIN, {"seq": job.seq}
    return True
