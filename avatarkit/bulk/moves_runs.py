"""Moves about runs, accounts, and what is shared. No I/O."""

# ruff: noqa: S608 - statements are put together from constants of ours; every value is a parameter

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from avatarkit.bulk.moves import Move, from_micros, to_micros, to_text
from avatarkit.bulk.records import AccountLimits, Run, RunSettings, RunState, Turns
from avatarkit.errors import ConfigurationError

_RUN = "SELECT id, settings, state, reason, created, spent, reserved, failures_in_row FROM runs"


def _to_run(row: tuple[Any, ...]) -> Run:
    return Run(
        id=row[0],
        settings=RunSettings(**orjson.loads(row[1])),
        state=RunState(row[2]),
        reason=row[3],
        created=row[4],
        spent=from_micros(row[5]) or 0.0,
        reserved=from_micros(row[6]) or 0.0,
        failures_in_row=row[7],
    )


def now() -> Move[float]:
    """The store's time."""
    rows = yield "SELECT {now}", {}
    return float(rows[0][0])


def _know_account(account: str) -> Move[None]:
    yield (
        "INSERT INTO accounts (account) VALUES (:account) ON CONFLICT (account) DO NOTHING",
        {"account": account},
    )


# What may have been accepted ties a run to its account; a first start with a mistyped key does not.
_TOUCHED = """SELECT 1 FROM jobs WHERE run = :run
    AND (token <> '' OR state IN ('intent', 'held', 'running', 'ready', 'done')) LIMIT 1"""


def open_run(run: str, settings: RunSettings) -> Move[Run]:
    """Begin a run, or go on with it."""
    yield from _know_account(settings.account)
    params = {
        "run": run,
        "account": settings.account,
        "settings": to_text(attrs.asdict(settings)),
        "budget": to_micros(settings.budget),
    }
    yield (
        (
            "INSERT INTO runs (id, account, settings, budget, created)"
            " VALUES (:run, :account, :settings, :budget, {now}) ON CONFLICT (id) DO NOTHING"
        ),
        params,
    )
    rows = yield f"{_RUN} WHERE id = :run {{for_update}}", {"run": run}
    known = _to_run(rows[0]).settings
    other = (known.provider, known.account) != (settings.provider, settings.account)
    if other and (known.provider != settings.provider or (yield _TOUCHED, {"run": run})):
        raise ConfigurationError(
            f"the run {run} was begun with {known.provider}, account {known.account}; this is"
            f" {settings.provider}, account {settings.account}",
            hint="Use the credentials it was begun with, or another name for the run. If only the account's key was "
            f"changed, give the client account={known.account!r}.",
        )
    # Somebody who starts it again has looked into the failures: they are counted anew.
    yield (
        (
            "UPDATE runs SET settings = :settings, account = :account, budget = :budget, state = 'active',"
            " reason = '', failures_in_row = 0 WHERE id = :run"
        ),
        params,
    )
    return attrs.evolve(
        _to_run(rows[0]), settings=settings, state=RunState.ACTIVE, reason="", failures_in_row=0
    )


def get_run(run: str) -> Move[Run | None]:
    """One run."""
    rows = yield f"{_RUN} WHERE id = :run", {"run": run}
    return _to_run(rows[0]) if rows else None


def runs() -> Move[list[Run]]:
    """Every run, oldest first."""
    rows = yield f"{_RUN} ORDER BY created, id", {}
    return [_to_run(row) for row in rows]


def set_run_state(run: str, state: RunState, reason: str = "") -> Move[None]:
    """Have a run submit, or stop."""
    rows = yield (
        "UPDATE runs SET state = :state, reason = :reason WHERE id = :run RETURNING 1",
        {"run": run, "state": state.value, "reason": reason},
    )
    if not rows:
        raise ConfigurationError(f"there is no run {run}")
    if state is RunState.CANCELLED:
        yield (
            (
                "UPDATE jobs SET state = 'cancelled', finished_at = {now}"
                " WHERE run = :run AND state IN ('blocked', 'new')"
            ),
            {"run": run},
        )


def limits(account: str) -> Move[AccountLimits]:
    """What the account allows, and how much of it is used."""
    rows = yield (
        "SELECT most_running, cap, per_second, running FROM accounts WHERE account = :account",
        {"account": account},
    )
    if not rows:
        return AccountLimits()
    configured, learned, per_second, running = rows[0]
    known = [cap for cap in (configured, learned) if cap is not None]
    return AccountLimits(most_running=min(known, default=None), per_second=per_second, running=running)


def set_limits(
    account: str, *, most_running: int | None = None, per_second: float | None = None
) -> Move[None]:
    """Set what the account allows; None leaves a value alone."""
    if (most_running is not None and most_running < 1) or (per_second is not None and per_second <= 0):
        raise ConfigurationError(f"limits must be above zero, not {most_running} and {per_second}")
    yield from _know_account(account)
    for name, value in (("most_running", most_running), ("per_second", per_second)):
        if value is not None:
            yield (
                f"UPDATE accounts SET {name} = :value WHERE account = :account",
                {"value": value, "account": account},
            )


# As with submissions (``moves_submit``), what nobody took in time is not made up for, but for a tenth of a turn. The
# first is a little ahead, so that the answer is there in time.
_TURNS = """UPDATE accounts SET next_turn = CASE
        WHEN next_turn > {now} + :ahead - 0.1 / per_second THEN next_turn
        ELSE {now} + :ahead - 0.1 / per_second END + :many / per_second
    WHERE account = :account AND per_second IS NOT NULL
    RETURNING {now}, next_turn - :many / per_second, 1.0 / per_second"""
_AHEAD = 0.05


def turns(account: str, many: int) -> Move[Turns]:
    """Reserve turns; without a rate they are free."""
    rows = yield _TURNS, {"account": account, "many": float(max(1, many)), "ahead": _AHEAD}
    return Turns(now=rows[0][0], first=rows[0][1], every=rows[0][2]) if rows else Turns()


def too_many(account: str, seconds: float) -> Move[None]:
    """The provider runs no more than it does now."""
    yield from _know_account(account)
    # Submissions under way are no proof of what the provider can take, so only accepted tasks count.
    rows = yield (
        (
            "SELECT count(*) FROM jobs WHERE state = 'running'"
            " AND run IN (SELECT id FROM runs WHERE account = :account)"
        ),
        {"account": account},
    )
    yield (
        (
            "UPDATE accounts SET cap = :cap, went_well = 0, cool_until ="
            " CASE WHEN cool_until > {now} + :seconds THEN cool_until ELSE {now} + :seconds END"
            " WHERE account = :account"
        ),
        {"account": account, "cap": max(1, rows[0][0]), "seconds": float(seconds)},
    )


def remember(account: str, name: str, value: Mapping[str, Any]) -> Move[None]:
    """Keep a small thing by name."""
    yield (
        (
            "INSERT INTO kept (account, name, value, at) VALUES (:account, :name, :value, {now})"
            " ON CONFLICT (account, name) DO UPDATE SET value = excluded.value, at = excluded.at"
        ),
        {"account": account, "name": name, "value": to_text(value)},
    )


def recall(account: str, name: str, *, younger_than: float) -> Move[Mapping[str, Any] | None]:
    """What was kept by that name, if it is not too old."""
    rows = yield (
        "SELECT value FROM kept WHERE account = :account AND name = :name AND at > {now} - :seconds",
        {"account": account, "name": name, "seconds": float(younger_than)},
    )
    return dict(orjson.loads(rows[0][0])) if rows else None


def lease(name: str, owner: str, seconds: float) -> Move[bool]:
    """Have something to oneself for a while; no seconds give it back."""
    rows = yield (
        (
            "INSERT INTO leases (name, owner, until) VALUES (:name, :owner, {now} + :seconds)"
            " ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until"
            " WHERE leases.owner = excluded.owner OR leases.until <= {now} RETURNING owner"
        ),
        {"name": name, "owner": owner, "seconds": float(seconds)},
    )
    return bool(rows)
