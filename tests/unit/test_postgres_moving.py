"""How moves are run on PostgreSQL: once each, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
import pytest_asyncio

from avatarkit.bulk import postgres_links
from avatarkit.bulk.moves import Again, Move
from avatarkit.bulk.postgres_links import RECEIPTS, Links
from avatarkit.bulk.postgres_moving import Kind, Moving, storable, translated
from avatarkit.errors import AvatarKitError, ConfigurationError, TransportError

if TYPE_CHECKING:
    from postgres_server import Database, Server

pytest_plugins = ("postgres_server",)


class Wire:
    """A wire to the server that can be cut around a COMMIT.

    *before*: the COMMIT does not arrive. *after*: its answer does not. *late*: the client is cut off first, and the
    COMMIT arrives when ``release`` is set.
    """

    def __init__(self, database: Database) -> None:
        self._socket = str(Path(database.dsn.partition("?host=")[2]) / ".s.PGSQL.5432")
        self.cut = ""
        self.cuts = 0
        self.release = asyncio.Event()
        self.pumps: set[asyncio.Task[None]] = set()

    async def open(self) -> str:
        """Begin to listen; gives the DSN."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"host=127.0.0.1 port={port} user=postgres dbname=postgres sslmode=disable gssencmode=disable"

    async def close(self) -> None:
        self._server.close()
        for pump in self.pumps:
            pump.cancel()
        await asyncio.gather(*self.pumps, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._socket)
        up = asyncio.ensure_future(self._up(reader, back, there, writer))
        down = asyncio.ensure_future(self._down(there, writer))
        self.pumps |= {up, down}

    async def _up(
        self,
        reader: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        with contextlib.closing(back):
            while data := await reader.read(65536):
                if b"commit" in data and self.cut:
                    how, self.cut = self.cut, ""
                    self.cuts += 1
                    if how != "after":
                        writer.transport.abort()
                    if how == "before":
                        return
                    if how == "late":
                        await self.release.wait()
                    self.dropping = writer
                back.write(data)

    async def _down(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await there.read(65536):
                if getattr(self, "dropping", None) is writer:
                    writer.transport.abort()
                    return
                writer.write(data)


def _table() -> Move[None]:
    yield RECEIPTS, {}
    yield "CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, n BIGINT NOT NULL)", {}


def adding(name: str = "a", calls: list[str] | None = None) -> Callable[[], Move[int]]:
    """A move that is not idempotent: it adds one, and gives the sum."""

    def move() -> Move[int]:
        if calls is not None:
            calls.append(name)
        rows = yield (
            "INSERT INTO counters VALUES (:name, 1) ON CONFLICT (name) DO UPDATE SET n = counters.n + 1 RETURNING n",
            {"name": name},
        )
        return int(rows[0][0])

    return move


@contextlib.asynccontextmanager
async def moving(
    dsn: str, database: Database, *, most: int = 4, patience: float = 5
) -> AsyncIterator[Moving]:
    database.run(f'create schema if not exists "{database.schema}"')
    links = Links(dsn, schema=database.schema, most=most)
    try:
        made = Moving(links, patience=patience)
        await made.run(_table, Kind.MAKES_TABLES)
        yield made
    finally:
        await links.aclose()


@pytest_asyncio.fixture
async def mover(postgres: Database) -> AsyncIterator[Moving]:
    async with moving(postgres.dsn, postgres) as made:
        yield made


def test_parameters_are_translated() -> None:
    """Parameters become psycopg's; casts, quoted text and percent signs stay what they are."""
    sql = "SELECT :a_1, x::text, ':b', '100%', \"c:d\" FROM t WHERE y LIKE :b AND z % 2 = 0"
    wanted = b"SELECT %(a_1)s, x::text, ':b', '100%%', \"c:d\" FROM t WHERE y LIKE %(b)s AND z %% 2 = 0"
    assert translated(sql) == wanted


def test_tokens_are_filled_in() -> None:
    """What the schema writes as tokens is PostgreSQL's when it gets there."""
    assert translated("SELECT 1 {skip_locked}") == b"SELECT 1 FOR UPDATE SKIP LOCKED"


@pytest.mark.parametrize(
    ("text", "kept"),
    [("plain", "plain"), ("数字人", "数字人"), ("a\0b", "a\ufffdb"), ("x\udc80", "x?"), (7, 7)],
)
def test_text_is_made_storable(text: object, kept: object) -> None:
    """NUL and half a surrogate pair, which PostgreSQL refuses, do not lose a record."""
    assert storable(text) == kept


@pytest.mark.asyncio
async def test_hostile_text_is_recorded(mover: Moving) -> None:
    """A task id with a NUL in it is recorded and found again."""
    assert [await mover.run(adding("id\0'; drop table counters; --")) for _ in range(2)] == [1, 2]


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["before", "after"])
async def test_a_commit_without_an_answer_happens_once(own_postgres: Database, how: str) -> None:
    """When the connection breaks at COMMIT, before or after it arrived, the move is made exactly once and says so."""
    wire = Wire(own_postgres)
    try:
        async with moving(await wire.open(), own_postgres) as mover:
            calls: list[str] = []
            for wanted in range(1, 6):
                wire.cut = how
                assert await mover.run(adding("a", calls)) == wanted
            assert wire.cuts == 5
            assert len(calls) == (10 if how == "before" else 5)
    finally:
        await wire.close()


@pytest.mark.asyncio
async def test_a_commit_that_is_still_under_way_is_waited_for(own_postgres: Database) -> None:
    """A COMMIT that arrives after its client was cut off counts: whoever asks for it waits until it is decided."""
    wire = Wire(own_postgres)
    try:
        async with moving(await wire.open(), own_postgres) as mover:
            calls: list[str] = []
            wire.cut = "late"
            task = asyncio.ensure_future(mover.run(adding("a", calls)))
            done, _ = await asyncio.wait([task], timeout=0.05)
            assert not done
            wire.release.set()
            assert await task == 1
            assert calls == ["a"]
    finally:
        await wire.close()


@pytest.mark.asyncio
async def test_a_killed_connection_is_replaced(mover: Moving, postgres: Database) -> None:
    """Idle connections that an administrator ended are replaced without a word."""
    await asyncio.gather(*(mover.run(adding("a")) for _ in range(8)))
    assert postgres.cut() >= 1
    assert sorted(await asyncio.gather(*(mover.run(adding("a")) for _ in range(8)))) == list(range(9, 17))


@pytest.mark.asyncio
async def test_connections_killed_during_moves_lose_and_double_nothing(postgres: Database) -> None:
    """While connections are killed twenty times, each of 200 moves happens exactly once."""
    ended = 0

    async def kill() -> None:
        nonlocal ended
        for _ in range(20):
            ended += await asyncio.to_thread(postgres.cut)
            await asyncio.sleep(0.01)

    async with moving(postgres.dsn, postgres, patience=60) as mover:
        killer = asyncio.ensure_future(kill())
        given = await asyncio.gather(*(mover.run(adding("a")) for _ in range(200)))
        await killer
        assert sorted(given) == list(range(1, 201))
        assert ended > 5


@pytest.mark.asyncio
async def test_a_restart_of_the_server_is_outlasted(own_postgres: Database, postgres_server: Server) -> None:
    """A move that is made while the server is down waits for it; nothing is lost over the restart."""
    async with moving(own_postgres.dsn, own_postgres, patience=20) as mover:
        assert await mover.run(adding()) == 1
        postgres_server.stop()
        try:
            waiting = [asyncio.ensure_future(mover.run(adding())) for _ in range(8)]
            done, _ = await asyncio.wait(waiting, timeout=0.05)
            assert not done
        finally:
            await asyncio.to_thread(postgres_server.start)
        assert sorted(await asyncio.gather(*waiting)) == list(range(2, 10))


@pytest.mark.asyncio
async def test_patience_ends_with_a_clear_error(own_postgres: Database) -> None:
    """When the database stays away, the error says which, that nothing is lost, and what to do."""
    links = Links("host=127.0.0.1 port=1 user=me password=hush-hush", schema="s", most=2)
    with pytest.raises(TransportError, match=r"host=127\.0\.0\.1.*refused") as caught:
        await Moving(links, patience=0.03).run(adding())
    assert "Nothing that was recorded is lost" in caught.value.hint


@pytest.mark.asyncio
async def test_dead_locks_are_tried_again(postgres: Database) -> None:
    """Two moves that lock each other out are both made in the end."""

    def crossing(one: str, other: str) -> Callable[[], Move[str]]:
        def move() -> Move[str]:
            yield "UPDATE counters SET n = n + 1 WHERE name = :name", {"name": one}
            yield "SELECT pg_sleep(0.03)", {}
            yield "UPDATE counters SET n = n + 1 WHERE name = :name", {"name": other}
            return "made"

        return move

    async with moving(postgres.dsn + "&options=-c%20deadlock_timeout%3D10ms", postgres) as mover:
        await asyncio.gather(mover.run(adding("a")), mover.run(adding("b")))
        both = (mover.run(crossing("a", "b")), mover.run(crossing("b", "a")))
        assert await asyncio.gather(*both) == ["made"] * 2
        assert await mover.run(adding("a")) == 4


@pytest.mark.asyncio
async def test_a_move_that_was_too_slow_is_made_anew(mover: Moving) -> None:
    """What a move did before it said that others were quicker is undone."""
    calls = 0

    def move() -> Move[int]:
        nonlocal calls
        calls += 1
        rows = yield "INSERT INTO counters VALUES ('x', 1) RETURNING n", {}
        if calls < 3:
            raise Again
        return int(rows[0][0])

    assert await mover.run(move) == 1
    assert calls == 3


@pytest.mark.asyncio
async def test_an_error_of_the_move_undoes_it(mover: Moving) -> None:
    """A move that raises leaves nothing behind, and the connection is used again."""

    def move() -> Move[None]:
        yield "INSERT INTO counters VALUES ('x', 1)", {}
        raise ConfigurationError("no")

    with pytest.raises(ConfigurationError, match="no"):
        await mover.run(move)
    assert await mover.run(adding("x")) == 1


@pytest.mark.asyncio
async def test_a_refused_statement_is_not_repeated(mover: Moving) -> None:
    """A statement that cannot work fails at once, with the server's words and without psycopg's error."""

    def move() -> Move[None]:
        yield "SELECT nothing_of_the_kind", {}

    with pytest.raises(AvatarKitError, match=r"refused: column .* \(42703\)") as caught:
        await mover.run(move)
    assert caught.value.__context__ is None


# A worker whose moves all write one row, and that is frozen when one of them has it and others wait for it.
FROZEN = """
import asyncio, os, signal, sys
from avatarkit.bulk import postgres_links
from avatarkit.bulk.postgres_moving import Kind, Moving
dsn, schema, postgres_links.IDLE_SECONDS, postgres_links.LOCK_SECONDS = *sys.argv[1:3], *map(float, sys.argv[3:])

def add(freeze=False):
    yield "UPDATE counters SET n = n + 1", {}
    if freeze:
        while (yield "SELECT count(*) FROM pg_locks WHERE NOT granted", {})[0][0] < 5:
            yield "SELECT pg_sleep(0.01)", {}
        os.kill(os.getpid(), signal.SIGSTOP)

async def main():
    moving = Moving(postgres_links.Links(dsn, schema=schema, most=8), patience=60)
    first = asyncio.ensure_future(moving.run(lambda: add(freeze=True)))
    await asyncio.sleep(0.05)
    await asyncio.gather(first, *(moving.run(add) for _ in range(6)))

asyncio.run(main())
"""


@pytest.mark.asyncio
async def test_a_frozen_worker_stops_the_others_once(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a frozen process locked is free after one timeout; its connections in line do not get it one by one.

    Both timeouts are a fifth of what they are.
    """

    def add() -> Move[None]:
        yield "UPDATE counters SET n = n + 1", {}  # an INSERT … ON CONFLICT may jump the queue

    idle, lock = postgres_links.IDLE_SECONDS / 5, postgres_links.LOCK_SECONDS / 5
    monkeypatch.setattr(postgres_links, "IDLE_SECONDS", idle)
    monkeypatch.setattr(postgres_links, "LOCK_SECONDS", lock)
    async with moving(postgres.dsn, postgres) as mover:
        await mover.run(adding("a"))
        code = [sys.executable, "-c", FROZEN, postgres.dsn, postgres.schema, str(idle), str(lock)]
        with subprocess.Popen(code) as worker:
            try:
                while psutil.Process(worker.pid).status() != psutil.STATUS_STOPPED:
                    assert worker.poll() is None
                    await asyncio.sleep(0.01)
                begun = time.monotonic()
                await mover.run(add)
                assert time.monotonic() - begun < 1.8 * idle
            finally:
                worker.kill()


@pytest.mark.asyncio
async def test_few_moves_of_one_process_stand_in_line_for_the_account(postgres: Database) -> None:
    """However many moves write the account at once, few of them bother the server at a time; all are made."""
    inside, most = 0, 0

    def move() -> Move[int]:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        yield "SELECT 1", {}
        rows = yield from adding("a")()
        inside -= 1
        return rows

    async with moving(postgres.dsn, postgres, most=8) as mover:
        made = await asyncio.gather(*(mover.run(move, Kind.WRITES_ACCOUNT) for _ in range(20)))
        assert sorted(made) == list(range(1, 21))
        assert most == 2
        await asyncio.gather(*(mover.run(move) for _ in range(20)))
        assert most > 2


@pytest.mark.asyncio
async def test_waiting_in_line_ends_with_patience(postgres: Database) -> None:
    """A move that gets no place in line for as long as its patience lasts says so, and leaves the line in order."""
    async with moving(postgres.dsn, postgres, patience=0.2) as mover:

        def slow() -> Move[int]:
            yield "SELECT pg_sleep(0.3)", {}
            return (yield from adding("a")())

        await mover.run(adding("a"))
        holding = [asyncio.ensure_future(mover.run(slow, Kind.WRITES_ACCOUNT)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TransportError, match="does not answer"):
            await mover.run(adding("a"), Kind.WRITES_ACCOUNT)
        assert sorted(await asyncio.gather(*holding)) == [2, 3]
        assert await mover.run(adding("a"), Kind.WRITES_ACCOUNT) == 4


@pytest.mark.asyncio
async def test_a_server_that_stands_still_is_given_up(
    mover: Moving, monkeypatch: pytest.MonkeyPatch, postgres: Database
) -> None:
    """A statement that takes too long is ended, its connection is dropped, and the move is made again."""
    monkeypatch.setattr("avatarkit.bulk.postgres_moving._STATEMENT", 0.05)
    calls = 0

    def move() -> Move[int]:
        nonlocal calls
        calls += 1
        rows = yield "INSERT INTO counters VALUES ('x', 1) RETURNING n", {}
        if calls == 1:
            yield "SELECT pg_sleep(10)", {}
        return int(rows[0][0])

    assert await mover.run(move) == 1
    assert calls == 2


@pytest.mark.asyncio
async def test_a_cancelled_move_frees_its_connection(postgres: Database) -> None:
    """Callers who give up in the middle of a move, or waiting for a connection, take nothing with them."""
    async with moving(postgres.dsn, postgres, most=1) as mover:

        def slow() -> Move[None]:
            yield "INSERT INTO counters VALUES ('x', 1)", {}
            yield "SELECT pg_sleep(10)", {}

        tasks = [asyncio.ensure_future(mover.run(slow)) for _ in range(3)]
        await asyncio.sleep(0.03)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await mover.run(adding("x")) == 1


@pytest.mark.asyncio
async def test_every_connection_waits_for_the_disk(postgres: Database) -> None:
    """A database that answers commits early by default does not do so for a ledger."""
    dsn = postgres.dsn + "&options=-c%20synchronous_commit%3Doff"

    def asking() -> Move[str]:
        rows = yield "SELECT current_setting('synchronous_commit')", {}
        return str(rows[0][0])

    async with moving(dsn, postgres) as mover:
        assert await mover.run(asking, Kind.READS) == "on"


@pytest.mark.asyncio
async def test_a_wrong_password_is_said_at_once_and_never_shown(
    own_postgres: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The server's refusal is a ConfigurationError right away; the password is in no text, repr, chain or log."""
    caplog.set_level(logging.DEBUG)
    password = "hush-hush-4711"
    dsn = own_postgres.dsn.replace("postgres:@", f"visitor:{password}@")
    links = Links(dsn, schema="s", most=1)
    with pytest.raises(ConfigurationError, match="password authentication failed") as caught:
        await Moving(links, patience=60).run(adding())
    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    shown = [
        repr(error),
        repr(error.__dict__),
        "".join(traceback.format_exception(error)),
        repr(links),
        caplog.text,
    ]
    shown += [repr(vars(links))]
    assert not [text for text in shown if password in text]


def test_a_dsn_that_cannot_be_read_is_not_quoted() -> None:
    """The parser's own error would print it, password and all."""
    dsn = f"postgresql//me:{'hush'}-4711@host/db"  # not literal: the traceback shows this line
    with pytest.raises(ConfigurationError, match="cannot be read") as caught:
        Links(dsn, schema="s", most=1)
    assert "hush-4711" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("schema", ["", "Big", 'a"b', "a;b", "1a", "x" * 64])
def test_a_schema_that_needs_quotes_is_refused(schema: str) -> None:
    """Its name stands in statements as it is."""
    with pytest.raises(ConfigurationError, match="is no schema"):
        Links("", schema=schema, most=1)
