"""Runs a ledger's moves on PostgreSQL: each in one transaction, and again when that is needed and safe.

A move is made again after a serialization failure, a dead-lock, or when the connection broke before COMMIT was sent:
then nothing of it happened. When the answer to COMMIT itself was lost, the link's receipt says whether it happened.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import os
import random
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psycopg

from avatarkit.bulk.moves import Again, Move, Rows
from avatarkit.bulk.postgres_links import Link, Links, Trouble
from avatarkit.bulk.schema import POSTGRESQL
from avatarkit.errors import ClientClosed, ForkedClient, TransportError

T = TypeVar("T")

# Seconds a statement may take: one that cancels a million jobs takes long, and none waits longer for a lock than the
# server allows. A dead network is noticed sooner; this is for a server that stands still.
_STATEMENT = 120.0
_LONGEST_PAUSE = 1.0
# Moves of one process that may stand in the line for an account's row. One works while the other one is on its way to
# the server; more would make nothing faster, and on a slow network the line so long that it is not got through in time.
_IN_LINE = 2

# Text in quotes, a cast, or a parameter.
_TOKEN = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"|::|:([a-z_][a-z0-9_]*)|%", re.IGNORECASE)


class Kind(enum.Enum):
    """What a move does to the database."""

    READS = "reads"
    WRITES = "writes"
    WRITES_ACCOUNT = "writes the account"
    """It locks the account's row, for which all workers of the account stand in line."""
    MAKES_TABLES = "makes tables"
    """It may be made twice; there is no place for a receipt yet."""


@functools.lru_cache(maxsize=512)
def translated(sql: str) -> bytes:
    """*sql* as psycopg wants it: tokens filled in, and ``:name`` written ``%(name)s``."""

    def one(found: re.Match[str]) -> str:
        if found[1]:
            return f"%({found[1]})s"
        return found[0].replace("%", "%%")

    return _TOKEN.sub(one, POSTGRESQL.fill(sql)).encode()


def storable(value: Any) -> Any:
    """*value*, or for text with what PostgreSQL cannot keep (NUL, half a surrogate pair) the nearest it can."""
    if not isinstance(value, str) or (value.isascii() and "\0" not in value):
        return value
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


class Moving:
    """Runs moves on *links*; *patience*: seconds to go on trying when the database is gone."""

    def __init__(self, links: Links, *, patience: float) -> None:
        self._links = links
        self._patience = patience
        self._pid = os.getpid()
        self._under_way = 0
        self._closed = False
        self._still = asyncio.Event()
        self._line = asyncio.Semaphore(_IN_LINE)

    async def run(self, start: Callable[[], Move[T]], kind: Kind = Kind.WRITES) -> T:
        """Make the move that *start* begins; it is begun anew for each attempt.

        Raises TransportError when the database stays away, ConfigurationError when it does not let us in,
        AvatarKitError when it refuses a statement, ClientClosed after :meth:`aclose`, and what the move raises.
        """
        if self._closed:
            raise ClientClosed(f"the ledger {self._links!r} is closed", hint="Open it again.")
        if os.getpid() != self._pid:  # the connections are the parent's
            raise ForkedClient("this ledger was opened before os.fork()", hint="Open one in the child.")
        self._under_way += 1
        try:
            return await self._made(start, kind)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._still.set()

    async def aclose(self) -> None:
        """Begin no move any more, wait for those under way, and close the links."""
        self._closed = True
        while self._under_way:
            self._still.clear()
            await self._still.wait()
        await self._links.aclose()

    async def _made(self, start: Callable[[], Move[T]], kind: Kind) -> T:
        ends = asyncio.get_running_loop().time() + self._patience
        tries = 0
        while True:
            if kind is Kind.WRITES_ACCOUNT:
                values, trouble = await self._attempt_in_line(start, ends)
            else:
                values, trouble = await self._attempt(start, kind, ends)
            if trouble is None:
                return values[0]
            await self._pause(trouble, tries, ends)
            tries += 1

    async def _pause(self, trouble: Trouble, tries: int, ends: float) -> None:
        left = ends - asyncio.get_running_loop().time()
        if not trouble.passes or left <= 0:
            raise trouble.as_error(repr(self._links))
        if tries:  # the first time is mostly an idle connection that broke, or a dead-lock that is over
            longest = min(_LONGEST_PAUSE, 0.02 * 2**tries, left)
            await asyncio.sleep(longest * random.uniform(0.5, 1))  # noqa: S311 - it spreads, it guards nothing

    async def _attempt_in_line(
        self, start: Callable[[], Move[T]], ends: float
    ) -> tuple[list[T], Trouble | None]:
        # Waiting here costs nobody anything; in a transaction, or with a link in hand, it would.
        try:
            async with asyncio.timeout_at(ends):
                await self._line.acquire()
        except TimeoutError as error:
            return [], Trouble.of(error)
        try:
            return await self._attempt(start, Kind.WRITES, ends)
        finally:
            self._line.release()

    async def _attempt(
        self, start: Callable[[], Move[T]], kind: Kind, ends: float
    ) -> tuple[list[T], Trouble | None]:
        """What the move gave, or what kept it from being made."""
        values: list[T] = []
        try:
            async with asyncio.timeout_at(ends):
                link = await self._links.take()
        except (psycopg.Error, OSError) as error:
            return values, Trouble.of(error, connecting=True)
        usable = False
        trouble: Trouble | None = None
        try:
            await _begin(link, kind)
            values.append(await _drive(link, start()))
            async with asyncio.timeout(_STATEMENT):
                await link.commit()
            usable = True
        except TimeoutError as error:
            trouble = Trouble.of(error)
        except Again:
            trouble = Trouble("other workers were quicker, again and again", passes=True)
            usable = await link.roll_back()
        except psycopg.Error as error:
            trouble = Trouble.of(error)
            usable = await link.roll_back()
        except Exception:
            usable = await link.roll_back()
            raise
        finally:
            await self._links.give(link, usable=usable)
        lost = trouble is not None and values and not usable
        if lost and kind is Kind.WRITES and await self._was_done(link, ends):
            return values, None
        return values, trouble

    async def _was_done(self, link: Link, ends: float) -> bool:
        """Whether the move whose COMMIT was not answered happened."""
        tries = 0
        while True:
            try:
                async with asyncio.timeout(_STATEMENT):
                    return await self._links.was_done(link)
            except (psycopg.Error, OSError) as error:
                trouble = Trouble.of(error)
            left = ends - asyncio.get_running_loop().time()
            if not trouble.passes or left <= 0:
                raise TransportError(
                    f"the ledger's database {self._links!r} was gone while it recorded a step,"
                    f" and has not come back: {trouble.text}",
                    hint="Whether the step was recorded shows when it is back; nothing is sent twice either way.",
                )
            await asyncio.sleep(min(_LONGEST_PAUSE, 0.02 * 2**tries, left))
            tries += 1


async def _begin(link: Link, kind: Kind) -> None:
    async with asyncio.timeout(_STATEMENT):
        if kind is Kind.WRITES:
            await link.begin()
        elif kind is Kind.READS:
            await link.begin_reading()
        else:
            await link.connection.execute("begin")


async def _drive(link: Link, move: Move[T]) -> T:
    """Carry out the statements of *move*; gives what it returns."""
    try:
        statement = next(move)
        while True:
            statement = move.send(await _execute(link, *statement))
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        move.close()


async def _execute(link: Link, sql: str, params: Mapping[str, Any]) -> Rows:
    cursor = link.connection.cursor()
    async with asyncio.timeout(_STATEMENT):
        await cursor.execute(translated(sql), {name: storable(value) for name, value in params.items()})
        return await cursor.fetchall() if cursor.description else []
