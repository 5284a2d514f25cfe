"""Procrastinate as the engine of a fleet: its tables, too, are in the ledger's database.

It does nothing by itself about messages that a dead worker had in hand; the reaper here is the one its documents
describe. Fetching gets slow with many messages, so several keys travel in one.
"""

from __future__ import annotations

import asyncio
import logging
import random
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psycopg

from avatarkit.bulk.fleet import Handler, Stage, cut, queue_name, resting
from avatarkit.bulk.postgres_links import Links, Trouble
from avatarkit.errors import ConfigurationError, MissingExtra, TransportError
from avatarkit.transport.threads import in_thread

try:
    from procrastinate import App, PsycopgConnector
    from procrastinate.exceptions import ConnectorException
    from procrastinate.schema import SchemaManager
    from procrastinate.worker import Worker
except ImportError:
    raise MissingExtra(
        "this engine needs the package procrastinate",
        hint='Install it: pip install ".[procrastinate]"',
    ) from None

_logger = logging.getLogger("avatarkit")
HEARTBEAT = 30.0
"""Seconds after which a message that a silent worker had in hand goes to another one."""

_LOOK = 5.0  # seconds between two looks for messages, should no notification come
_KEYS = 4  # in one message
_LINKS = 5
_PATIENCE = 10.0  # seconds that a database that is away is waited for
_LONGEST_PAUSE = 15.0
_MARK = "avatarkit engine procrastinate "
_CONNECT = {
    "application_name": "avatarkit",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
    "target_session_attrs": "read-write",
}


class ProcrastinateEngine:
    """An :class:`~avatarkit.bulk.fleet.Engine`; made by :meth:`open`, used on one event loop."""

    def __init__(self, connector: PsycopgConnector, name: str) -> None:
        self._connector = connector
        self._name = name
        self._app = App(connector=connector)

    def __repr__(self) -> str:
        return f"<ProcrastinateEngine {self._name}>"

    @classmethod
    async def open(cls, dsn: str, *, schema: str = "avatarkit") -> Self:
        """The engine in *schema*``_procrastinate``; its tables are made, or brought up to date, when that is needed.

        Raises:
            ConfigurationError: the database does not let us in, or the schema holds something else.
            TransportError: it cannot be reached.

        """
        own = f"{schema}_procrastinate"
        links = Links(
            dsn, schema=own, most=1
        )  # it also says what is wrong with the address, without quoting it
        await _install(links, own)
        given = psycopg.conninfo.conninfo_to_dict(dsn)

        async def configure(connection: psycopg.AsyncConnection[Any]) -> None:
            await connection.execute(
                "SELECT set_config('search_path', %s, false), set_config('synchronous_commit', 'off', false)",
                (own,),
            )
            await connection.commit()

        connector = PsycopgConnector(
            conninfo=dsn,
            kwargs={name: value for name, value in _CONNECT.items() if name not in given},
            configure=configure,
            min_size=1,
            max_size=_LINKS,
            timeout=_PATIENCE,
        )
        engine = cls(connector, repr(links))
        async with engine._translated():
            await engine._app.open_async()
        return engine

    async def aclose(self) -> None:
        """Close the connections."""
        await self._app.close_async()

    # -- messages

    async def enqueue(self, stage: Stage, run: str, keys: Sequence[str], *, delay: float = 0.0) -> None:
        """See :class:`~avatarkit.bulk.fleet.Engine`."""
        options: dict[str, Any] = {"schedule_in": {"seconds": delay}} if delay > 0 else {}
        task = self._app.configure_task(_task(stage), queue=queue_name(stage, run), **options)
        messages: list[Any] = [{"run": run, "keys": list(some)} for some in cut(keys, _KEYS)]
        async with self._translated():
            for part in cut(messages, 200):
                await task.batch_defer_async(*part)

    async def backlog(self, stage: Stage, run: str) -> int:
        """See :class:`~avatarkit.bulk.fleet.Engine`."""
        async with self._translated():
            row = await self._connector.execute_query_one_async(
                "SELECT coalesce(sum(jsonb_array_length(args->'keys')), 0)::bigint AS many"
                " FROM procrastinate_jobs WHERE queue_name = %(queue)s AND status = 'todo'",
                queue=queue_name(stage, run),
            )
        return int(row["many"])

    # -- working

    async def work(
        self,
        run: str,
        handlers: Mapping[Stage, Handler],
        concurrency: Mapping[Stage, int],
        stop: asyncio.Event,
    ) -> None:
        """See :class:`~avatarkit.bulk.fleet.Engine`. Each stage has a worker of its own."""
        app = App(connector=self._connector)
        for stage, handler in handlers.items():
            app.task(name=_task(stage), queue=queue_name(stage, run))(_handling(run, handler))
        reaping = asyncio.get_running_loop().create_task(self._reaping(run, tuple(handlers), stop))
        try:
            await asyncio.gather(
                *(
                    self._serve(app, stage, run, max(1, concurrency[stage] // _KEYS), stop)
                    for stage in handlers
                )
            )
        finally:
            reaping.cancel()

    async def _serve(self, app: App, stage: Stage, run: str, most: int, stop: asyncio.Event) -> None:
        pause = 0.5
        while not stop.is_set():
            began = asyncio.get_running_loop().time()
            worker = Worker(
                app,
                queues=[queue_name(stage, run)],
                name=f"{stage}:{run}",
                concurrency=most,
                fetch_job_polling_interval=_LOOK,
                abort_job_polling_interval=60.0,
                delete_jobs="always",
                install_signal_handlers=False,
                update_heartbeat_interval=HEARTBEAT / 3,
                stalled_worker_timeout=HEARTBEAT,
            )
            stopping = asyncio.get_running_loop().create_task(_shut(worker, stop))
            try:
                await worker.run()  # type: ignore[no-untyped-call]
            except Exception as error:  # noqa: BLE001 - whatever ends a worker, another one goes on
                _logger.warning("%s: %s of run %s: %s", self, stage, run, _said(error))
            finally:
                stopping.cancel()
            if asyncio.get_running_loop().time() - began > 60.0:
                pause = 0.5
            await resting(stop, pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _reaping(self, run: str, stages: Sequence[Stage], stop: asyncio.Event) -> None:
        """Have messages of workers that are gone done by others."""
        while not await resting(stop, HEARTBEAT / 3 * random.uniform(0.8, 1.2)):  # noqa: S311 - it spreads
            with suppress(ConnectorException):
                for stage in stages:
                    await self._reap(queue_name(stage, run))

    async def _reap(self, queue: str) -> None:
        manager = self._app.job_manager
        for job in await manager.get_stalled_jobs(queue=queue, seconds_since_heartbeat=HEARTBEAT):
            with suppress(ConnectorException):  # another reaper was quicker, or the worker came back
                await manager.retry_job(job)

    @asynccontextmanager
    async def _translated(self) -> AsyncIterator[None]:
        try:
            yield
        except (ConnectorException, psycopg.Error, OSError) as error:
            raise TransportError(
                f"the engine's database {self._name} could not be used: {_said(error)}"
            ) from None


def _task(stage: Stage) -> str:
    return f"avatarkit:{stage}"


def _handling(mine: str, handler: Handler) -> Any:
    async def handle(run: str, keys: list[str]) -> None:
        if run == mine:
            await handler(keys)

    return handle


async def _shut(worker: Worker, stop: asyncio.Event) -> None:
    await stop.wait()
    worker.stop()  # type: ignore[no-untyped-call]


def _said(error: BaseException) -> str:
    """What happened; procrastinate hides the reason behind an error of its own."""
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    return Trouble.of(cause).text if isinstance(cause, Exception) else type(error).__name__


async def _install(links: Links, schema: str) -> None:
    """Make the tables, or apply the migrations that came since, in one transaction; one of several workers does it."""
    try:
        link = await links.take()
    except (psycopg.Error, OSError) as error:
        raise Trouble.of(error, connecting=True).as_error(repr(links)) from None
    try:
        async with link.connection.transaction():
            lock = zlib.crc32(f"avatarkit engine {schema}".encode())
            await link.connection.execute("SELECT pg_advisory_xact_lock(%s::bigint)", (lock,))
            await _upgrade(link.connection, schema)
    except psycopg.Error as error:
        raise Trouble.of(error).as_error(repr(links)) from None
    finally:
        await links.give(link, usable=False)


async def _upgrade(connection: psycopg.AsyncConnection[Any], schema: str) -> None:
    cursor = await connection.execute(
        "SELECT obj_description(oid, 'pg_namespace'), to_regclass(nspname || '.procrastinate_jobs') IS NOT NULL"
        " FROM pg_namespace WHERE nspname = %s",
        (schema,),
    )
    found = await cursor.fetchone()
    steps = await in_thread(_migrations)
    if found is None:
        await connection.execute(f'CREATE SCHEMA "{schema}"'.encode())
    if found is None or not found[1]:
        await connection.execute(SchemaManager.get_schema())
    elif not str(found[0] or "").startswith(_MARK):
        raise ConfigurationError(
            f"the schema {schema} holds a procrastinate of somebody else's", hint="Name another schema."
        )
    else:
        for name, sql in steps.items():
            if name > str(found[0]).removeprefix(_MARK):
                await connection.execute(sql)
    # Both are ours: a name that was checked, and the name of a file of procrastinate's.
    await connection.execute(f"COMMENT ON SCHEMA \"{schema}\" IS '{_MARK}{max(steps)}'".encode())


def _migrations() -> dict[str, bytes]:
    """What procrastinate brings to get from one version of its tables to the next, in order, by name."""
    files = sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    return {file.name: file.read_bytes() for file in files}
