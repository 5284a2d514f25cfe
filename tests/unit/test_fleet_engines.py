"""The engines of a fleet on a real PostgreSQL: their tables, their messages, and a database that goes away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from avatarkit.bulk import pgqueuer_engine, procrastinate_engine
from avatarkit.bulk.fleet import Engine, Stage, open_engine
from avatarkit.errors import ConfigurationError, TransportError
from avatarkit.transport.threads import in_thread

if TYPE_CHECKING:
    from postgres_server import Database, Server

pytest_plugins = ("postgres_server",)

ENGINES = ("pgqueuer", "procrastinate")
KEYS = [f"k{n}" for n in range(40)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notifications may come late on a busy machine; then the next look finds the message."""
    for module in (pgqueuer_engine, procrastinate_engine):
        monkeypatch.setattr(module, "_LOOK", 0.2)
        monkeypatch.setattr(module, "HEARTBEAT", 1.5)
    monkeypatch.setattr(procrastinate_engine, "_PATIENCE", 1.0)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def place(own_postgres: Database) -> Iterator[Database]:
    """A schema's name whose engines' schemas go with it."""
    yield own_postgres
    for name in ENGINES:
        own_postgres.run(f'drop schema if exists "{own_postgres.schema}_{name}" cascade')


class Worked:
    """Notes what was asked for; *seconds* it takes."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.keys: Counter[str] = Counter()
        self.most = self.now = 0
        self._seconds = seconds

    async def __call__(self, keys: Sequence[str]) -> None:
        self.now += len(keys)
        self.most = max(self.most, self.now)
        await asyncio.sleep(self._seconds)
        self.keys.update(keys)
        self.now -= len(keys)

    async def has(self, keys: Sequence[str]) -> None:
        async with asyncio.timeout(30):
            while not set(keys) <= self.keys.keys():
                await asyncio.sleep(0.02)


@asynccontextmanager
async def opened(name: str, place: Database) -> AsyncIterator[Engine]:
    found = await open_engine(name, place.dsn, schema=place.schema)
    try:
        yield found
    finally:
        await found.aclose()


@asynccontextmanager
async def working(
    found: Engine, handlers: dict[Stage, Any], *, run: str = "r", most: int = 8
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(found.work(run, handlers, dict.fromkeys(handlers, most), stop))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await task


@pytest.mark.asyncio
async def test_several_workers_install_it_at_the_same_time(engine: str, place: Database) -> None:
    """Four that start together, and one that comes later, find one set of tables that works."""
    found = await asyncio.gather(*(open_engine(engine, place.dsn, schema=place.schema) for _ in range(4)))
    await found[0].enqueue(Stage.SUBMIT, "r", ["a"])
    for each in found:
        assert await each.backlog(Stage.SUBMIT, "r") == 1
        await each.aclose()
    async with opened(engine, place) as later:
        assert await later.backlog(Stage.SUBMIT, "r") == 1


@pytest.mark.asyncio
async def test_every_key_is_done_by_its_stage_and_run(engine: str, place: Database) -> None:
    """Two workers share the messages; another run's and another stage's are not theirs; concurrency is kept."""
    async with opened(engine, place) as one, opened(engine, place) as two:
        submit, collect = Worked(0.01), Worked()
        await one.enqueue(Stage.SUBMIT, "other", ["not mine"])
        await one.enqueue(Stage.SUBMIT, "r", KEYS)
        await two.enqueue(Stage.COLLECT, "r", ["c"])
        handlers = {Stage.SUBMIT: submit, Stage.COLLECT: collect}
        async with working(one, handlers), working(two, handlers):
            await submit.has(KEYS)
            await collect.has(["c"])
        assert set(submit.keys) == set(KEYS)
        assert set(collect.keys) == {"c"}
        assert submit.most <= 16
        assert await one.backlog(Stage.SUBMIT, "r") == 0
        assert await one.backlog(Stage.SUBMIT, "other") == 1


@pytest.mark.asyncio
async def test_a_delay_is_kept(engine: str, place: Database) -> None:
    """A message for later waits, while one for now goes."""
    async with opened(engine, place) as found:
        worked = Worked()
        await found.enqueue(Stage.SUBMIT, "r", ["later"], delay=0.8)
        await found.enqueue(Stage.SUBMIT, "r", ["now"])
        began = asyncio.get_running_loop().time()
        async with working(found, {Stage.SUBMIT: worked}):
            await worked.has(["now"])
            assert "later" not in worked.keys
            await worked.has(["later"])
        assert asyncio.get_running_loop().time() - began >= 0.6


@pytest.mark.asyncio
async def test_told_to_stop_it_finishes_what_it_has_in_hand(engine: str, place: Database) -> None:
    """What was begun is done when the worker has ended; what was not begun waits for another one."""
    async with opened(engine, place) as found:
        worked = Worked(0.3)
        await found.enqueue(Stage.SUBMIT, "r", KEYS)
        async with working(found, {Stage.SUBMIT: worked}):
            async with asyncio.timeout(20):
                while not worked.now:
                    await asyncio.sleep(0.01)
        assert worked.now == 0
        assert worked.keys
        assert len(worked.keys) < len(KEYS)


@pytest.mark.asyncio
async def test_messages_of_a_dead_worker_are_done_by_another(engine: str, place: Database) -> None:
    """A worker that vanished with messages in hand: after its heartbeats stopped, another one does them."""
    async with opened(engine, place) as found:
        await found.enqueue(Stage.SUBMIT, "r", ["a"])
        # What a killed process leaves: taken, by nobody that lives.
        table = f"{place.schema}_{engine}"
        if engine == "pgqueuer":
            place.run(
                f"update {table}.pgqueuer set status = 'picked', queue_manager_id = gen_random_uuid(),"
                " heartbeat = now() - interval '1 minute', updated = now() - interval '1 minute'"
            )
        else:
            place.run(f"set search_path to {table}; update procrastinate_jobs set status = 'doing'")
        worked = Worked()
        async with working(found, {Stage.SUBMIT: worked}):
            await worked.has(["a"])


@pytest.mark.asyncio
async def test_it_survives_a_database_that_restarts(
    engine: str, place: Database, postgres_server: Server
) -> None:
    """Stopped under a worker, whose handler ends in the meantime; back again, the next messages are done."""
    async with opened(engine, place) as found:
        worked = Worked(0.2)
        await found.enqueue(Stage.SUBMIT, "r", ["before"])
        async with working(found, {Stage.SUBMIT: worked}):
            async with asyncio.timeout(20):
                while not worked.now:
                    await asyncio.sleep(0.01)
            await in_thread(postgres_server.stop)
            try:
                await worked.has(["before"])
                with pytest.raises(TransportError):
                    await found.enqueue(Stage.SUBMIT, "r", ["lost"])
            finally:
                await in_thread(postgres_server.start)
            async with asyncio.timeout(30):
                while True:
                    try:
                        await found.enqueue(Stage.SUBMIT, "r", ["after"])
                        break
                    except TransportError:
                        await asyncio.sleep(0.1)
            await worked.has(["after"])


@pytest.mark.asyncio
async def test_connections_that_are_cut_are_made_again(engine: str, place: Database) -> None:
    """An administrator ends all sessions: a message sent afterwards is done all the same."""
    async with opened(engine, place) as found:
        worked = Worked()
        async with working(found, {Stage.SUBMIT: worked}):
            await found.enqueue(Stage.SUBMIT, "r", ["a"])
            await worked.has(["a"])
            await in_thread(place.cut)
            async with asyncio.timeout(20):
                while True:
                    try:
                        await found.enqueue(Stage.SUBMIT, "r", ["b"])
                        break
                    except TransportError:
                        await asyncio.sleep(0.05)
            await worked.has(["b"])


@pytest.mark.asyncio
async def test_a_wrong_password_is_said_at_once_and_not_repeated(engine: str, own_postgres: Database) -> None:
    """The error is a ConfigurationError, without the password in it."""
    address = own_postgres.dsn.replace("postgres:@", "visitor:hush-hush@")
    assert address != own_postgres.dsn
    with pytest.raises(ConfigurationError) as caught:
        await open_engine(engine, address, schema=own_postgres.schema)
    assert "hush" not in str(caught.value) + repr(caught.value)


@pytest.mark.asyncio
async def test_somebody_elses_procrastinate_is_left_alone(place: Database) -> None:
    """Tables that are not ours are not migrated."""
    async with opened("procrastinate", place):
        pass
    place.run(f"comment on schema \"{place.schema}_procrastinate\" is 'of the other team'")
    with pytest.raises(ConfigurationError, match="somebody else"):
        await open_engine("procrastinate", place.dsn, schema=place.schema)
