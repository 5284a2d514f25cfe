"""PgQueuer as the engine of a fleet: its tables are in the ledger's database, so there is nothing else to run.

What is in its tables may be lost at any time: the ledger sends the messages again. So its transactions need not wait
for the disk.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Self

import orjson
import psycopg

from avatarkit.bulk.fleet import Handler, Stage, cut, queue_name, resting
from avatarkit.bulk.postgres_links import Link, Links, Trouble
from avatarkit.errors import MissingExtra

try:
    from pgqueuer.adapters.drivers.psycopg import PsycopgDriver
    from pgqueuer.adapters.persistence.qb import (
        QueryBuilderEnvironment,
        QueryQueueBuilder,
        QuerySchedulerBuilder,
    )
    from pgqueuer.core.qm import QueueManager
    from pgqueuer.domain.models import Job
    from pgqueuer.domain.settings import DBSettings
    from pgqueuer.domain.types import Channel
    from pgqueuer.queries import Queries
except ImportError:
    raise MissingExtra(
        "this engine needs the package pgqueuer",
        hint='Install it: pip install ".[pgqueuer]"',
    ) from None

_logger = logging.getLogger("avatarkit")
HEARTBEAT = 30.0
"""Seconds after which a message that a silent worker had in hand goes to another one."""

_LOOK = 5.0  # seconds between two looks for messages, should no notification come
_LINKS = 6
_LONGEST_PAUSE = 15.0
_TIDY = 600.0  # seconds between two clearings of its log, of which nothing is needed
_OLD = "interval '1 hour'"


class _Driver(PsycopgDriver):
    """PgQueuer's own driver, with a second connection: on its one, a query waits while notifications are waited for."""

    def __init__(self, listening: Link, working: Link) -> None:
        super().__init__(listening.connection)
        self._working = PsycopgDriver(working.connection)

    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]:
        return await self._working.fetch(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        return await self._working.execute(query, *args)


class PgQueuerEngine:
    """An :class:`~avatarkit.bulk.fleet.Engine`; made by :meth:`open`, used on one event loop."""

    def __init__(self, links: Links, settings: DBSettings) -> None:
        self._links = links
        self._settings = settings

    def __repr__(self) -> str:
        return f"<PgQueuerEngine {self._links!r}>"

    @classmethod
    async def open(cls, dsn: str, *, schema: str = "avatarkit") -> Self:
        """The engine in *schema*``_pgqueuer``; its tables are made, or brought up to date, when that is needed.

        Raises:
            ConfigurationError: the database does not let us in.
            TransportError: it cannot be reached.

        """
        own = f"{schema}_pgqueuer"
        # Every name is said here: what PGQUEUER_… variables say would have to be the same on every host.
        settings = DBSettings(
            prefix="",
            db_schema=own,
            channel=Channel(own),
            queue_table="pgqueuer",
            queue_table_log="pgqueuer_log",
            statistics_table="pgqueuer_statistics",
            schedules_table="pgqueuer_schedules",
            queue_status_type="pgqueuer_status",
            function="fn_pgqueuer_changed",
            trigger="tg_pgqueuer_changed",
        )
        engine = cls(Links(dsn, schema=own, most=_LINKS), settings)
        try:
            await engine._install()
        except BaseException:
            await engine.aclose()
            raise
        return engine

    async def aclose(self) -> None:
        """Close the connections that are not in use."""
        await self._links.aclose()

    async def _install(self) -> None:
        async with self._queries() as queries:
            lock = zlib.crc32(f"avatarkit engine {self._settings.db_schema}".encode())
            await queries.driver.execute("SELECT pg_advisory_lock($1::bigint)", lock)
            try:
                if not await queries.schema_is_installed():
                    await queries.install()
                elif (await queries.plan_upgrade()).statements:
                    await queries.apply_upgrade()
            finally:
                await queries.driver.execute("SELECT pg_advisory_unlock($1::bigint)", lock)

    # -- messages

    async def enqueue(self, stage: Stage, run: str, keys: Sequence[str], *, delay: float = 0.0) -> None:
        """See :class:`~avatarkit.bulk.fleet.Engine`. Here each key is a message."""
        name, after = queue_name(stage, run), timedelta(seconds=max(0.0, delay))
        async with self._queries() as queries:
            for some in cut(keys, 500):
                payloads: list[bytes | None] = [orjson.dumps({"run": run, "keys": [key]}) for key in some]
                many = len(some)
                await queries.enqueue([name] * many, payloads, [0] * many, [after] * many)

    async def backlog(self, stage: Stage, run: str) -> int:
        """See :class:`~avatarkit.bulk.fleet.Engine`."""
        table = self._settings.qualified.queue_table
        async with self._queries() as queries:
            rows = await queries.driver.fetch(
                f"SELECT count(*) AS many FROM {table} WHERE entrypoint = $1 AND status = 'queued'",  # noqa: S608
                queue_name(stage, run),
            )
        return int(str(rows[0]["many"]))

    # -- working

    async def work(
        self,
        run: str,
        handlers: Mapping[Stage, Handler],
        concurrency: Mapping[Stage, int],
        stop: asyncio.Event,
    ) -> None:
        """See :class:`~avatarkit.bulk.fleet.Engine`. Each stage has a queue manager of its own."""
        tidying = asyncio.get_running_loop().create_task(self._tidying(stop))
        try:
            await asyncio.gather(
                *(
                    self._serve(run, stage, handler, concurrency[stage], stop)
                    for stage, handler in handlers.items()
                )
            )
        finally:
            tidying.cancel()

    async def _serve(self, run: str, stage: Stage, handler: Handler, most: int, stop: asyncio.Event) -> None:
        pause = 0.5
        while not stop.is_set():
            began = asyncio.get_running_loop().time()
            try:
                await self._serve_once(run, stage, handler, most, stop)
            except Exception as error:  # noqa: BLE001 - whatever ends a queue manager, another one goes on
                _logger.warning("%s: %s of run %s: %s", self, stage, run, Trouble.of(error).text)
            if asyncio.get_running_loop().time() - began > 60.0:
                pause = 0.5
            await resting(stop, pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _serve_once(
        self, run: str, stage: Stage, handler: Handler, most: int, stop: asyncio.Event
    ) -> None:
        async with self._link(listens=True) as listening, self._link() as working:
            manager = QueueManager(
                self._made_queries(_Driver(listening, working)), channel=self._settings.channel
            )

            async def handle(job: Job) -> None:
                message = orjson.loads(job.payload or b"{}")
                if message.get("run") == run:
                    await handler(message["keys"])

            manager.entrypoint(queue_name(stage, run), accepts_context=False)(handle)
            stopping = asyncio.get_running_loop().create_task(_shut(manager, stop))
            try:
                await manager.run(
                    dequeue_timeout=timedelta(seconds=_LOOK),
                    batch_size=max(1, most // 2),
                    max_concurrent_tasks=max(2, most),
                    shutdown_on_listener_failure=True,
                    heartbeat_timeout=timedelta(seconds=HEARTBEAT),
                    log_aggregation_interval=timedelta(0),
                )
            finally:
                stopping.cancel()

    async def _tidying(self, stop: asyncio.Event) -> None:
        table = self._settings.qualified.queue_table_log
        while not stop.is_set():
            try:
                async with self._queries() as queries:
                    await queries.driver.execute(
                        f"DELETE FROM {table} WHERE created < now() - {_OLD}"  # noqa: S608
                    )
            except Exception as error:  # noqa: BLE001 - it can wait
                _logger.info("%s: its log was not cleared: %s", self, Trouble.of(error).text)
            await resting(stop, _TIDY)

    # -- connections

    @asynccontextmanager
    async def _link(self, *, listens: bool = False) -> AsyncIterator[Link]:
        """One that *listens* is not used again: notifications would pile up in it."""
        try:
            link = await self._links.take()
        except (psycopg.Error, OSError) as error:
            trouble = Trouble.of(error, connecting=True)
            raise trouble.as_error(repr(self._links)) from None
        usable = False
        try:
            await link.connection.execute("SET synchronous_commit = off")
            yield link
            usable = not listens
        finally:
            await self._links.give(link, usable=usable and not link.connection.closed)

    @asynccontextmanager
    async def _queries(self) -> AsyncIterator[Queries]:
        """For a few statements. Raises TransportError in place of psycopg's errors."""
        try:
            async with self._link() as link:
                yield self._made_queries(PsycopgDriver(link.connection))
        except psycopg.Error as error:
            raise Trouble.of(error).as_error(repr(self._links)) from None

    def _made_queries(self, driver: Any) -> Queries:
        settings = self._settings
        return Queries(
            driver,
            qbe=QueryBuilderEnvironment(settings),
            qbq=QueryQueueBuilder(settings),
            qbs=QuerySchedulerBuilder(settings),
        )


async def _shut(manager: QueueManager, stop: asyncio.Event) -> None:
    await stop.wait()
    manager.shutdown.set()
