"""Connections to PostgreSQL for a ledger: made when needed, dropped when they break, never more than so many.

There is no task behind the caller's back. A connection is a *link*: it has a name and counts its moves, and keeps both
in a row of the database (its *receipt*) in the same transaction as what the move does. So when the answer to a COMMIT
is lost, the receipt tells later whether it happened, also after a crash of the server or a switch to its replica.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs

from avatarkit.errors import AvatarKitError, ConfigurationError, MissingExtra, TransportError
from avatarkit.protocol.redact import Secret

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError:
    raise MissingExtra(
        "a ledger in PostgreSQL needs the package psycopg",
        hint='Install it: pip install ".[postgres]"',
    ) from None

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")

_SECRETS = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")

_DEFAULTS: dict[str, Any] = {
    "application_name": "avatarkit",
    "connect_timeout": 10,
    # A machine that vanished without a word is noticed after half a minute, not after two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
    "target_session_attrs": "read-write",  # with several hosts: the one that is no replica
}

# A worker that is frozen in the middle of a move must not hold its locks for long: all others wait for it. A healthy
# one is not that slow even on a bad network, and if it is, its move is made again.
IDLE_SECONDS = 5.0
# Its other connections, which wait in line for the same row, have to be gone when their turn comes, or each would hold
# it for as long again. Two locks are waited for one after the other (the row's line, then who has the row), so that
# this is less than half of the other.
LOCK_SECONDS = 2.0

_SETTINGS = """
select set_config('search_path', %(path)s, false),
       set_config('idle_in_transaction_session_timeout', %(idle)s, false),
       set_config('lock_timeout', %(lock)s, false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('synchronous_commit', case when current_setting('synchronous_commit') = 'remote_apply'
                                             then 'remote_apply' else 'on' end, false)
"""

RECEIPTS = "create table if not exists receipts (link text primary key, moves bigint not null, at timestamptz not null)"

# One message to the server, which therefore takes no parameters; both values are ours.
_BEGIN = """
begin; insert into receipts (link, moves, at) values ('{link}', {moves:d}, now())
on conflict (link) do update set moves = {moves:d}, at = now()
"""

# It waits for whoever still holds the row: the answer is final.
_ASK = """
insert into receipts (link, moves, at) values (%(link)s, 0, now())
on conflict (link) do update set at = now() returning moves
"""

_OLD = "delete from receipts where at < now() - interval '7 days'"

_REFUSED = re.compile(
    r"authentication failed|no pg_hba\.conf entry|does not exist|permission denied|no password supplied"
    r"|certificate|not permitted to log in|root certificate|server does not support SSL",
    re.IGNORECASE,
)


SAY_AFTER = 2.0
"""Seconds for which a database that cannot be reached is waited for without a word."""


class Absence:
    """Says once that the database cannot be reached, when that has lasted, and once that it is back.

    Args:
        say: gets each sentence, on the event loop.
        where: the database, for people.

    """

    def __init__(self, say: Callable[[str], None], where: str) -> None:
        self._say = say
        self._where = where
        self._why = ""
        self._timer: asyncio.TimerHandle | None = None
        self._said = False

    def tried(self) -> None:
        """A connection is being made."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAY_AFTER, self._tell)

    def failed(self, error: Exception) -> None:
        """It could not be made."""
        self._why = f": {Trouble.of(error, connecting=True).text}"

    def over(self) -> None:
        """It was made."""
        self.stop()
        if self._said:
            self._said = False
            self._say("the database is back")

    def stop(self) -> None:
        """Nobody tries any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._why = None, ""

    def _tell(self) -> None:
        if not self._said:
            self._said = True
            self._say(f"waiting for the database {self._where}, which cannot be reached{self._why}")


@attrs.define(eq=False)
class Link:
    """A connection with a name; *moves* is the number of its latest move."""

    connection: psycopg.AsyncConnection[tuple[Any, ...]]
    name: str = attrs.field(factory=lambda: uuid.uuid4().hex)
    moves: int = 0

    async def begin(self) -> None:
        """Begin a move that may write: its receipt is written first, so that who asks for it has to wait."""
        self.moves += 1
        await self.connection.execute(_BEGIN.format(link=self.name, moves=self.moves).encode())

    async def begin_reading(self) -> None:
        """Begin a move that only reads: all of it sees the same moment."""
        await self.connection.execute("begin isolation level repeatable read read only")

    async def commit(self) -> None:
        """End the move."""
        await self.connection.execute("commit")

    async def roll_back(self) -> bool:
        """Undo the move; False: the connection is of no use any more."""
        try:
            await self.connection.execute("rollback")
        except psycopg.Error:
            return False
        return not self.connection.closed


class Links:
    """At most *most* links to one database, and the idle ones among them; *say* is told when it stays away.

    Raises ConfigurationError for a DSN that cannot be read, or a schema's name that needs quotes.
    """

    def __init__(self, dsn: str, *, schema: str, most: int, say: Callable[[str], None] | None = None) -> None:
        if not _SCHEMA.fullmatch(schema):
            raise ConfigurationError(f"{schema!r} is no schema: small letters, digits and _, at most 63")
        given = _parse(dsn)
        self._secrets = {name: Secret(str(given.pop(name))) for name in _SECRETS if name in given}
        self._given = {**_DEFAULTS, **given}
        self.schema = schema
        self._idle: list[Link] = []
        self._free = asyncio.Semaphore(most)
        self._absence = Absence(say or _nobody, repr(self))

    def __repr__(self) -> str:
        shown = ("host", "hostaddr", "port", "dbname", "user", "service")
        where = " ".join(f"{name}={self._given[name]}" for name in shown if name in self._given)
        return f"<{where or 'the default database'} schema={self.schema}>"

    async def take(self) -> Link:
        """An idle link, or a new one. Waits while *most* are out. Raises what psycopg raises."""
        await self._free.acquire()
        try:
            while self._idle:
                link = self._idle.pop()
                if not link.connection.closed:
                    break
            else:
                link = await self._connect()
        except BaseException:
            self._free.release()
            raise
        return link

    async def give(self, link: Link, *, usable: bool) -> None:
        """Give a link back; one that is not usable is closed, and so are the idle ones, which broke with it."""
        self._free.release()
        if usable:
            self._idle.append(link)
            return
        idle, self._idle = self._idle, []
        for each in (link, *idle):
            await each.connection.close()

    async def was_done(self, link: Link) -> bool:
        """Whether the latest move of a link that broke was committed; waits until the server knows."""
        asker = await self.take()
        usable = False
        try:
            cursor = await asker.connection.execute(_ASK, {"link": link.name})
            row = await cursor.fetchone()
            usable = True
        finally:
            await self.give(asker, usable=usable)
        return row is not None and row[0] == link.moves

    async def tidy(self) -> None:
        """Forget receipts that nobody can ask for any more, where the database lets us; it can be done later."""
        with suppress(psycopg.Error, OSError):
            link = await self.take()
            usable = False
            try:
                await link.connection.execute(_OLD)
                usable = True
            finally:
                await self.give(link, usable=usable)

    async def aclose(self) -> None:
        """Close the idle links; none may be out."""
        self._absence.stop()
        idle, self._idle = self._idle, []
        for link in idle:
            await link.connection.close()

    async def _connect(self) -> Link:
        secrets: dict[str, Any] = {name: secret.reveal() for name, secret in self._secrets.items()}
        self._absence.tried()
        try:
            connection = await psycopg.AsyncConnection.connect("", autocommit=True, **self._given, **secrets)
        except (psycopg.Error, OSError) as error:
            self._absence.failed(error)
            raise
        try:
            await connection.execute(_SETTINGS, self._settings())
        except BaseException:
            await connection.close()
            raise
        self._absence.over()
        return Link(connection)

    def _settings(self) -> dict[str, str]:
        idle, lock = (f"{round(seconds * 1000)}ms" for seconds in (IDLE_SECONDS, LOCK_SECONDS))
        return {"path": self.schema, "idle": idle, "lock": lock}


def _nobody(text: str) -> None:
    """Hears what is said where nobody listens."""


def _parse(dsn: str) -> dict[str, Any]:
    try:
        return dict(conninfo_to_dict(dsn))
    except psycopg.Error:
        pass
    # Raised out here, since the parser's own error quotes the whole string, password and all.
    raise ConfigurationError(
        "the database's address cannot be read", hint="Like postgresql://user:password@host:5432/database"
    )


@attrs.frozen
class Trouble:
    """What went wrong at the database, without psycopg's error: that one holds the connection, and so the password.

    Attributes:
        text: for people.
        state: SQLSTATE, or "".
        passes: whether trying again can help.
        refused: whether the server did not let us in.

    """

    text: str
    state: str = ""
    passes: bool = False
    refused: bool = False

    @classmethod
    def of(cls, error: Exception, *, connecting: bool = False) -> Trouble:
        """What *error* means."""
        if isinstance(error, TimeoutError):
            return cls("the database does not answer", passes=True)
        state = getattr(error, "sqlstate", None) or ""
        text = (getattr(getattr(error, "diag", None), "message_primary", None) or str(error)).strip()
        text = text.splitlines()[0] if text else type(error).__name__
        if connecting and not state:
            refused = bool(_REFUSED.search(text))
            return cls(text, passes=not refused, refused=refused)
        return cls(text, state, passes=_passes(error, state))

    def as_error(self, where: str) -> AvatarKitError:
        """The error to raise when trying again does not help."""
        if self.refused:
            return ConfigurationError(f"the ledger's database {where} cannot be used: {self.text}")
        if self.passes:
            return TransportError(
                f"the ledger's database {where} could not be used: {self.text}",
                hint="Nothing that was recorded is lost: try again when the database can be reached.",
            )
        state = f" ({self.state})" if self.state else ""
        return AvatarKitError(f"the ledger's database {where} refused: {self.text}{state}")


# Serialization failure, dead-lock, lock timeout; too many connections, the server going or coming, a replica.
_PASSING = {"40001", "40P01", "55P03", "53300", "57P01", "57P02", "57P03", "57P05", "25P03", "25006"}


def _passes(error: Exception, state: str) -> bool:
    if state:
        return state in _PASSING or state.startswith("08")
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
