"""The tables of a ledger, for SQLite and for PostgreSQL, and how an older ledger becomes a newer one. No I/O.

Statements are written once. What the two databases say differently stands in them as a token, which
:meth:`Dialect.fill` replaces: ``{now}``, ``{for_update}``, ``{skip_locked}``, ``{seq}`` and ``{bytes}``. Parameters are
``:name``. Money is kept in millionths of the provider's unit, as whole numbers, so that sums are exact.
"""

from __future__ import annotations

import functools
from typing import Any

import attrs

from avatarkit.bulk.moves import Move
from avatarkit.errors import ConfigurationError

MARK = "avatarkit ledger"
"""What the table ``meta`` says about whose tables these are."""

APPLICATION_ID = 0x61766B4C
"""The same mark in the header of a SQLite file: ``avkL``."""


@attrs.frozen(kw_only=True, eq=False)
class Dialect:
    """How one database says what the other says differently.

    Attributes:
        now: the store's time as an expression, seconds since 1970 as a double.
        for_update: locks the rows that a SELECT read.
        skip_locked: the same, leaving out rows that others have locked.
        seq: the type of a job's number, which the database gives.
        bytes: the type of bytes.

    """

    now: str
    for_update: str
    skip_locked: str
    seq: str
    bytes: str

    def fill(self, sql: str) -> str:
        """*sql* with its tokens replaced; remembered, so that it costs nothing the second time."""
        return _filled(self, sql)


SQLITE = Dialect(
    now=":now", for_update="", skip_locked="", seq="INTEGER PRIMARY KEY AUTOINCREMENT", bytes="BLOB"
)
POSTGRESQL = Dialect(
    now="cast(extract(epoch from clock_timestamp()) as double precision)",
    for_update="FOR UPDATE",
    skip_locked="FOR UPDATE SKIP LOCKED",
    seq="BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    bytes="BYTEA",
)


@functools.lru_cache(maxsize=512)
def _filled(dialect: Dialect, sql: str) -> str:
    for name in ("now", "for_update", "skip_locked", "seq", "bytes"):
        sql = sql.replace(f"{{{name}}}", getattr(dialect, name))
    return sql


_FIRST = (
    """CREATE TABLE accounts (
        account TEXT PRIMARY KEY,
        running BIGINT NOT NULL DEFAULT 0,
        most_running BIGINT,
        cap BIGINT,
        went_well BIGINT NOT NULL DEFAULT 0,
        per_second DOUBLE PRECISION,
        cool_until DOUBLE PRECISION NOT NULL DEFAULT 0,
        next_turn DOUBLE PRECISION NOT NULL DEFAULT 0)""",
    """CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        account TEXT NOT NULL,
        settings TEXT NOT NULL,
        budget BIGINT,
        state TEXT NOT NULL DEFAULT 'active',
        reason TEXT NOT NULL DEFAULT '',
        created DOUBLE PRECISION NOT NULL,
        spent BIGINT NOT NULL DEFAULT 0,
        reserved BIGINT NOT NULL DEFAULT 0,
        failures_in_row BIGINT NOT NULL DEFAULT 0)""",
    """CREATE TABLE jobs (
        seq {seq},
        run TEXT NOT NULL,
        key TEXT NOT NULL,
        part SMALLINT NOT NULL,
        state TEXT NOT NULL,
        due DOUBLE PRECISION NOT NULL DEFAULT 0,
        pending BIGINT NOT NULL DEFAULT 0,
        attempt BIGINT NOT NULL DEFAULT 0,
        tries BIGINT NOT NULL DEFAULT 0,
        doubted SMALLINT NOT NULL DEFAULT 0,
        looks BIGINT NOT NULL DEFAULT 0,
        send_by DOUBLE PRECISION NOT NULL DEFAULT 0,
        not_before DOUBLE PRECISION NOT NULL DEFAULT 0,
        look_at DOUBLE PRECISION NOT NULL DEFAULT 0,
        created DOUBLE PRECISION NOT NULL,
        absent_at DOUBLE PRECISION,
        submitted_at DOUBLE PRECISION,
        ended_at DOUBLE PRECISION,
        finished_at DOUBLE PRECISION,
        estimate BIGINT,
        cost BIGINT,
        reserved BIGINT NOT NULL DEFAULT 0,
        charged BIGINT NOT NULL DEFAULT 0,
        told BIGINT NOT NULL DEFAULT 0,
        broken_by BIGINT,
        marker TEXT NOT NULL DEFAULT '',
        owner TEXT NOT NULL DEFAULT '',
        task_id TEXT NOT NULL DEFAULT '',
        token TEXT NOT NULL DEFAULT '',
        ticket TEXT,
        result TEXT NOT NULL DEFAULT '{}',
        error TEXT NOT NULL DEFAULT '{}',
        spec {bytes} NOT NULL,
        UNIQUE (run, key))""",
    # One index for take, next_due, doubts and select; with "due" and "part" in it, what is not wanted is passed over,
    # and counts are made, without reading a job.
    "CREATE INDEX jobs_by_state ON jobs (run, state, seq, due, part)",
    "CREATE TABLE needs (part BIGINT NOT NULL, job BIGINT NOT NULL, PRIMARY KEY (part, job))",
    "CREATE INDEX needs_job ON needs (job)",
    """CREATE TABLE kept (
        account TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (account, name))""",
    "CREATE TABLE leases (name TEXT PRIMARY KEY, owner TEXT NOT NULL, until DOUBLE PRECISION NOT NULL)",
)

STEPS: tuple[tuple[str, ...], ...] = (_FIRST,)
"""``STEPS[n]`` makes version n + 1 out of version n. Steps that were published are never edited."""

VERSION = len(STEPS)


def upgrade(steps: tuple[tuple[str, ...], ...] = STEPS) -> Move[int]:
    """A move that makes the tables, or brings them up to date; gives the version that was found (0: none).

    Raises ConfigurationError when the tables are somebody else's, or of a newer avatarkit.
    """
    yield "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)", {}
    found: dict[str, Any] = dict((yield "SELECT name, value FROM meta", {}))
    version = int(found.get("version", 0))
    if found.get("application", MARK) != MARK:
        raise ConfigurationError("these tables are not an avatarkit ledger's", hint="Use a place of its own.")
    if version > len(steps):
        raise ConfigurationError(
            f"the ledger has version {version}; this avatarkit knows versions up to {len(steps)}",
            hint="Install the newer avatarkit that wrote it.",
        )
    if version == len(steps):
        return version
    for step in steps[version:]:
        for statement in step:
            yield statement, {}
    for name, text in (("application", MARK), ("version", str(len(steps)))):
        yield (
            (
                "INSERT INTO meta (name, value) VALUES (:name, :text)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            ),
            {"name": name, "text": text},
        )
    return version
