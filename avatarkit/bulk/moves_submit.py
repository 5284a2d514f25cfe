"""Moves around a submission: before it, with its answer, and when there was none. No I/O."""

# ruff: noqa: S608 - statements are put together from constants of ours; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avatarkit.bulk.moves import (
    COLUMNS,
    LOCK_RUN,
    Again,
    Bill,
    Move,
    Standing,
    changed,
    from_micros,
    standing,
    to_job,
    to_micros,
    to_text,
)
from avatarkit.bulk.moves_parts import parts_back
from avatarkit.bulk.records import Intent, Job, JobState, OpenAnswer, Opened, ticket_to_json

SLOT_WAIT = 1.0
"""Seconds after which somebody who found no slot may ask again: nobody knows when a task will end."""

# "state || ''" keeps PostgreSQL, while it knows nothing of many new rows, from reading all that are in one state.
_CHECK = """SELECT r.state, r.reason, j.state, j.attempt, r.budget, r.spent, r.reserved,
    a.cool_until, a.running, a.most_running, a.cap, a.per_second, a.next_turn, {now}
    FROM runs AS r JOIN accounts AS a ON a.account = r.account LEFT JOIN jobs AS j ON j.run = r.id AND j.key = :key
    WHERE r.id = :run"""

_ACCOUNT = "account = (SELECT account FROM runs WHERE id = :run)"

# A turn taken a little late lets the next come a little early: at most a tenth, or the rate would never be reached.
_TAKE_SLOT = f"""UPDATE accounts SET running = running + 1, next_turn = CASE
        WHEN per_second IS NULL OR :turn = 0 THEN next_turn
        WHEN next_turn > {{now}} - 0.1 / per_second THEN next_turn + 1.0 / per_second
        ELSE {{now}} + 0.9 / per_second END
    WHERE {_ACCOUNT} AND cool_until <= {{now}} AND (:turn = 0 OR per_second IS NULL OR next_turn <= {{now}})
        AND (most_running IS NULL OR running < most_running) AND (cap IS NULL OR running < cap) RETURNING 1"""
_LEAVE_SLOT = f"UPDATE accounts SET running = running - 1 WHERE {_ACCOUNT}"

_SET_ASIDE = """UPDATE runs SET reserved = reserved + :cost
    WHERE id = :run AND state = 'active' AND (budget IS NULL OR spent + reserved + :cost <= budget) RETURNING 1"""
_TAKE_BACK = "UPDATE runs SET reserved = reserved - :cost WHERE id = :run"

_INTEND = """UPDATE jobs SET state = 'intent', attempt = :attempt, ticket = :ticket, marker = :marker, owner = :owner,
        send_by = {now} + :send_seconds, reserved = :cost, charged = 0, told = 0, absent_at = NULL, doubted = 0,
        error = '{}', task_id = '', token = '', submitted_at = NULL, ended_at = NULL, looks = 0
    WHERE run = :run AND key = :key AND state || '' = 'new' AND attempt = :attempt - 1 RETURNING 1"""


def open_intent(intent: Intent) -> Move[OpenAnswer]:
    """A slot, a turn, the money, and the job from new to intent: all or nothing.

    What is in the way is asked for only when something is: nearly always nothing is, and the account's row is locked
    from the first statement on. A turn that was taken in vain is lost.
    """
    run, cost = intent.run, to_micros(intent.cost) or 0
    if not (yield _TAKE_SLOT, {"run": run, "turn": int(intent.turn)}):
        return (yield from _in_the_way(intent, cost))
    if not (yield _SET_ASIDE, {"run": run, "cost": cost}):
        yield _LEAVE_SLOT, {"run": run}
        return (yield from _in_the_way(intent, cost))
    facts = {
        "run": run,
        "key": intent.key,
        "attempt": intent.attempt,
        "ticket": to_text(ticket_to_json(intent.ticket)),
        "marker": intent.ticket.marker,
        "owner": intent.owner,
        "send_seconds": float(intent.send_seconds),
        "cost": cost,
    }
    if not (yield _INTEND, facts):
        yield _LEAVE_SLOT, {"run": run}
        yield _TAKE_BACK, {"run": run, "cost": cost}
        return (yield from _in_the_way(intent, cost))
    return OpenAnswer(Opened.YES)


def _in_the_way(intent: Intent, cost: int) -> Move[OpenAnswer]:
    rows = yield _CHECK, {"run": intent.run, "key": intent.key}
    answer = _answer(rows[0], intent, cost) if rows else OpenAnswer(Opened.STOPPED, 0.0, "no such run")
    if answer.opened is Opened.YES:
        raise Again  # it went out of the way meanwhile
    return answer


def _answer(row: tuple[Any, ...], intent: Intent, cost: int) -> OpenAnswer:
    run_state, reason, state, known_attempt, budget, spent, reserved = row[:7]
    if run_state != "active":
        return OpenAnswer(Opened.STOPPED, 0.0, reason or f"the run is {run_state}")
    if state != "new" or known_attempt != intent.attempt - 1:
        found = "not there" if state is None else f"{state}, attempt {known_attempt}"
        return OpenAnswer(Opened.NOT_YOURS, 0.0, f"the job is {found}")
    if budget is not None and spent + reserved + cost > budget:
        left = from_micros(max(0, budget - spent - reserved))
        return OpenAnswer(Opened.BUDGET, 0.0, f"it costs {from_micros(cost):g}, and {left:g} are left")
    return _turn(*row[7:14], wanted=intent.turn)


def _turn(
    cool_until: float,
    running: int,
    most_running: int | None,
    cap: int | None,
    per_second: float | None,
    next_turn: float,
    now: float,
    *,
    wanted: bool,
) -> OpenAnswer:
    if cool_until > now:
        return OpenAnswer(Opened.WAIT, cool_until - now, "the provider said: too many running")
    most = min((each for each in (most_running, cap) if each is not None), default=None)
    if most is not None and running >= most:
        return OpenAnswer(Opened.WAIT, SLOT_WAIT, f"{running} tasks run, and no more than {most} may")
    if wanted and per_second is not None and next_turn > now:
        return OpenAnswer(Opened.WAIT, next_turn - now, f"{per_second:g} submissions a second")
    return OpenAnswer(Opened.YES)


_ACCEPT = """UPDATE jobs SET state = 'running', task_id = :task_id, token = :token, submitted_at = {now},
        look_at = :look_at, due = :look_at, doubted = 0, absent_at = NULL, error = '{}', looks = 0
    WHERE run = :run AND key = :key AND attempt = :attempt AND state || '' = :state RETURNING 1"""


def accepted(run: str, key: str, attempt: int, *, task_id: str, token: str, look_at: float) -> Move[bool]:
    """From intent to running."""
    params = _acceptance(run, key, attempt, task_id, token, look_at)
    if (yield _ACCEPT, {**params, "state": "intent"}):
        return True
    return (yield from _is_known(run, key, attempt, task_id))


def _acceptance(run: str, key: str, attempt: int, task_id: str, token: str, look_at: float) -> dict[str, Any]:
    return {
        "run": run,
        "key": key,
        "attempt": attempt,
        "task_id": task_id,
        "token": token,
        "look_at": float(look_at),
    }


def _is_known(run: str, key: str, attempt: int, task_id: str) -> Move[bool]:
    """Whether this very task was recorded before: by a webhook, or by ourselves when an answer was lost."""
    rows = yield (
        (
            "SELECT seq FROM jobs WHERE run = :run AND key = :key AND attempt = :attempt AND task_id = :task_id"
            " AND task_id <> ''"
        ),
        {"run": run, "key": key, "attempt": attempt, "task_id": task_id},
    )
    return bool(rows)


_PUT_BACK = """UPDATE jobs SET state = 'new', reserved = 0, doubted = 0, absent_at = NULL, tries = tries + :tries,
        error = :error, not_before = :not_before, due = :not_before
    WHERE seq = :seq AND attempt = :attempt AND state = 'intent' RETURNING 1"""


_POSTPONE = """UPDATE jobs SET not_before = :not_before, due = :not_before, error = :error, tries = tries + :tries
    WHERE run = :run AND key = :key AND state || '' = :state RETURNING 1"""


def put_back(
    run: str,
    key: str,
    attempt: int,
    *,
    error: Mapping[str, Any],
    not_before: float = 0.0,
    counts: bool = False,
) -> Move[bool]:
    """From intent to new; slot and money are given back."""
    job = yield from standing(run, key)
    if job is None or (job.state, job.attempt) != ("intent", attempt):
        return False
    bill = Bill()
    bill.give_back(job)
    yield from bill.pay(run)
    params = {"seq": job.seq, "attempt": attempt, "tries": int(counts), "not_before": float(not_before)}
    changed((yield _PUT_BACK, {**params, "error": to_text(error)}))
    return True


def postpone(
    run: str,
    key: str,
    state: JobState,
    *,
    not_before: float,
    error: Mapping[str, Any],
    counts: bool = False,
) -> Move[bool]:
    """A job that is new or ready stays so, and is due later."""
    if state not in (JobState.NEW, JobState.READY):
        return False
    params = {"run": run, "key": key, "state": state.value, "error": to_text(error)}
    rows = yield _POSTPONE, {**params, "not_before": float(not_before), "tries": int(counts)}
    return bool(rows)


def doubt(run: str, key: str, attempt: int, *, error: Mapping[str, Any]) -> Move[bool]:
    """The intent stays, marked as a doubt."""
    rows = yield (
        (
            "UPDATE jobs SET doubted = 1, error = :error"
            " WHERE run = :run AND key = :key AND attempt = :attempt AND state || '' = 'intent' RETURNING 1"
        ),
        {"run": run, "key": key, "attempt": attempt, "error": to_text(error)},
    )
    return bool(rows)


_DOUBTS = f"""SELECT {COLUMNS} FROM jobs WHERE run = :run AND state = 'intent'
    AND (doubted = 1 OR send_by < {{now}} - :seconds) ORDER BY seq"""


def doubts(run: str, *, older_than: float) -> Move[list[Job]]:
    """Intents that nobody is sending any more."""
    rows = yield _DOUBTS, {"run": run, "seconds": float(older_than)}
    return [to_job(row) for row in rows]


def absent(run: str, key: str, attempt: int) -> Move[float]:
    """When the provider was first seen not to show it; now, if it is no intent any more."""
    rows = yield (
        (
            "UPDATE jobs SET absent_at = coalesce(absent_at, {now})"
            " WHERE run = :run AND key = :key AND attempt = :attempt AND state || '' = 'intent' RETURNING absent_at"
        ),
        {"run": run, "key": key, "attempt": attempt},
    )
    if not rows:
        rows = yield "SELECT {now}", {}
    return float(rows[0][0])


def hold(run: str, key: str, attempt: int, *, error: Mapping[str, Any]) -> Move[bool]:
    """From intent to held: the slot is given back, the money stays set aside."""
    job = yield from standing(run, key)
    if job is None or (job.state, job.attempt) != ("intent", attempt):
        return False
    bill = Bill()
    bill.give_back(job, money=False)
    yield from bill.pay(run)
    rows = yield (
        (
            "UPDATE jobs SET state = 'held', error = :error"
            " WHERE seq = :seq AND attempt = :attempt AND state = 'intent' RETURNING 1"
        ),
        {"seq": job.seq, "attempt": attempt, "error": to_text(error)},
    )
    changed(rows)
    return True


# What the failure counted for is taken back: the attempt's end is still to come, and will be counted then.
_TAKE_UP = """UPDATE jobs SET state = 'running', task_id = :task_id, token = :token, submitted_at = {now},
        look_at = :look_at, due = :look_at, doubted = 0, absent_at = NULL, error = '{}', looks = 0, ended_at = NULL,
        finished_at = NULL, reserved = :aside, charged = 0, told = 0,
        cost = CASE WHEN cost = told THEN NULL ELSE cost - told END
    WHERE run = :run AND key = :key AND attempt = :attempt AND state || '' = 'failed' AND charged = :charged
    RETURNING 1"""


def adopt(
    run: str, key: str, attempt: int, *, task_id: str, token: str, look_at: float, anew: float | None = None
) -> Move[bool]:
    """From intent or held, with *anew* from failed too, to running, with a slot also beyond the cap: its task runs."""
    job = yield from standing(run, key)
    if job is None or job.attempt != attempt:
        return False
    params = _acceptance(run, key, attempt, task_id, token, look_at)
    # A job that a part broke was not submitted: there is no task of its own that could be found.
    if anew is not None and job.state == "failed" and job.attempt and job.broken_by is None:
        yield from _take_up(run, job, params, to_micros(anew) or 0)
        return True
    if job.state not in ("intent", "held"):
        return (yield from _is_known(run, key, attempt, task_id))
    bill = Bill(slots=1 - job.slots)
    yield from bill.pay(run)
    if not (yield _ACCEPT, {**params, "state": job.state}):
        raise Again
    return True


def _take_up(run: str, job: Standing, params: dict[str, Any], expected: int) -> Move[None]:
    """A failed job runs after all: what it was taken to cost, or *expected* if that is more, is set aside again."""
    aside = max(job.charged, expected)
    yield from Bill(slots=1, reserved=aside, spent=-job.charged).pay(run)
    yield LOCK_RUN, {"run": run}
    changed((yield _TAKE_UP, {**params, "aside": aside, "charged": job.charged}))
    if job.part:
        yield from parts_back(run, [job.seq])
