"""A ledger in PostgreSQL, which any number of workers on any number of machines share."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs

from avatarkit.bulk import moves_ends, moves_runs, moves_submit, schema
from avatarkit.bulk.moves import Move
from avatarkit.bulk.moves_store import MovesLedger
from avatarkit.bulk.postgres_links import RECEIPTS, Links
from avatarkit.bulk.postgres_moving import Kind, Moving, storable
from avatarkit.bulk.records import Added, NewJob

T = TypeVar("T")

# Moves that nearly always write the account's row.
_OF_THE_ACCOUNT: frozenset[Callable[..., Any]] = frozenset(
    (
        moves_submit.open_intent,
        moves_submit.put_back,
        moves_submit.hold,
        moves_submit.adopt,
        moves_runs.turns,
        moves_runs.too_many,
        moves_runs.set_limits,
        moves_ends.settle,
        moves_ends.fail,
    )
)

_FIRST_COUNT = 500
"""Jobs after whose adding the planner is told what is in the table; the next time is after twice as many."""


class PostgresLedger(MovesLedger):
    """Implements :class:`~avatarkit.bulk.ledger.Ledger`; made by :meth:`open`, used on one event loop.

    Every change is one transaction that the server has on disk (``synchronous_commit`` is on, whatever the database's
    default) before it counts. When the connection breaks, it is made again, and what happened to the transaction is
    found out: a change is made exactly once, and its caller gets its answer, for as long as *patience* lasts. A caller
    who is cancelled does not learn whether the change was made.

    An answer may therefore be late by as much as *patience*. Whoever opens an intent must count its time to go out
    from before the call.

    Connect to the server itself or to a pooler in session mode: the settings of a session are relied on. Ages are by
    the server's clock; when that is set back, everything waits longer, nothing is taken for older than it is.
    """

    def __init__(self, links: Links, moving: Moving) -> None:
        self._where = repr(links)
        self._moving = moving
        self._latest = 0.0
        self._since_counted = 0
        self._count_after = _FIRST_COUNT

    def __repr__(self) -> str:
        return f"<PostgresLedger {self._where}>"

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        schema: str = "avatarkit",
        connections: int = 8,
        patience: float = 60.0,
        opening: float | None = None,
        say: Callable[[str], None] | None = None,
    ) -> Self:
        """The ledger in *schema* of a database; its tables are made, or brought up to date, when that is needed.

        Args:
            dsn: ``postgresql://user:password@host:5432/database`` or libpq's ``key=value`` form. What it leaves out
                is taken from libpq's environment variables, the password also from ``~/.pgpass``.
            schema: where the tables are; small letters, digits and ``_``. The user must be allowed to create it, or
                to create tables in it.
            connections: at most so many at once, made when they are needed.
            patience: seconds for which a database that is away or busy is waited for, in each call.
            opening: the same for opening; None: *patience*.
            say: gets a sentence for people when the database has been away for 2 s, and when it is back.

        Raises:
            ConfigurationError: the address cannot be read, the server does not let us in, or the tables are somebody
                else's or of a newer avatarkit.
            TransportError: the database cannot be reached.

        """
        links = Links(dsn, schema=schema, most=connections, say=say)
        moving = Moving(links, patience=patience if opening is None else opening)
        try:
            if not await moving.run(partial(_is_there, schema), Kind.MAKES_TABLES):
                await moving.run(partial(_make, schema), Kind.MAKES_TABLES)
            await links.tidy()
        except BaseException:
            await moving.aclose()
            raise
        return cls(links, Moving(links, patience=patience))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections; calls under way come to their end first, new ones raise ClientClosed."""
        await self._moving.aclose()

    async def change(self, move: Callable[[], Move[T]]) -> T:
        """Run a move in one durable transaction, exactly once.

        Raises TransportError when the database stays away, ClientClosed when the ledger is closed.
        """
        made_by = move.func if isinstance(move, partial) else move
        kind = Kind.WRITES_ACCOUNT if made_by in _OF_THE_ACCOUNT else Kind.WRITES
        return await self._moving.run(move, kind)

    async def read(self, move: Callable[[], Move[T]]) -> T:
        """Run a move that changes nothing; all of it sees the same moment."""
        return await self._moving.run(move, Kind.READS)

    async def now(self) -> float:
        """The server's time, seconds since 1970; here it never goes back."""
        self._latest = max(self._latest, await self.read(moves_runs.now))
        return self._latest

    async def add(self, run: str, jobs: Sequence[NewJob]) -> Added:
        """Add jobs. A NUL in a key, which PostgreSQL cannot keep, becomes U+FFFD."""
        added = await super().add(run, [_storable(job) for job in jobs])
        self._since_counted += added.new
        if self._since_counted >= self._count_after:
            self._since_counted, self._count_after = 0, self._count_after * 2
            await self._moving.run(_count)
        return added


def _storable(job: NewJob) -> NewJob:
    key, needs = storable(job.key), tuple(map(storable, job.needs))
    return job if (key, needs) == (job.key, job.needs) else attrs.evolve(job, key=key, needs=needs)


def _count() -> Move[None]:
    """Without it, for a minute after a large run was added, the planner reads through a state to find one job."""
    yield "ANALYZE (SKIP_LOCKED) jobs", {}


def _is_there(name: str) -> Move[bool]:
    """Whether the tables are there, and of this version: then a user without the right to make any will do."""
    tables = f"{name}.meta", f"{name}.receipts"
    rows = yield (
        "SELECT to_regclass(:meta) IS NOT NULL AND to_regclass(:receipts) IS NOT NULL",
        {"meta": tables[0], "receipts": tables[1]},
    )
    if not rows[0][0]:
        return False
    rows = yield "SELECT value FROM meta WHERE name = 'version'", {}
    return rows == [(str(schema.VERSION),)]


def _make(name: str) -> Move[None]:
    """Make the tables or bring them up to date; of several workers that start together, one does it."""
    lock = zlib.crc32(f"avatarkit ledger {name}".encode())
    yield "SELECT pg_advisory_xact_lock(:number)", {"number": lock}
    if not (yield "SELECT 1 FROM pg_namespace WHERE nspname = :name", {"name": name}):
        yield f'CREATE SCHEMA "{name}"', {}
    yield RECEIPTS, {}
    yield from schema.upgrade()
