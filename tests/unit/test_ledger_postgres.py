"""The ledger in PostgreSQL: several workers at once, restarts, and what a user who sets it up can get wrong."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import itertools
from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from ledger_suite import LedgerSuite

from avatarkit.bulk import postgres_moving, schema
from avatarkit.bulk.postgres import PostgresLedger
from avatarkit.bulk.postgres_moving import Kind
from avatarkit.bulk.records import Intent, JobState, Look, NewJob, OpenAnswer, Opened, RunSettings
from avatarkit.errors import ClientClosed, ConfigurationError, TransportError
from avatarkit.models import Guard, Ticket

if TYPE_CHECKING:
    from postgres_server import Database, Server

pytest_plugins = ("postgres_server",)

SETTINGS = RunSettings(provider="hifly", account="acc")


def intent(key: str, attempt: int = 1, *, owner: str = "", cost: float = 0.0) -> Intent:
    ticket = Ticket(
        provider="hifly",
        endpoint="videos.create",
        kind="video",
        account="acc",
        marker=f"m-{key}",
        guard=Guard.TITLE,
    )
    return Intent(run="r", key=key, attempt=attempt, ticket=ticket, send_seconds=5.0, owner=owner, cost=cost)


def jobs(many: int) -> list[NewJob]:
    return [NewJob(key=f"k{n}", spec=b"{}") for n in range(many)]


@contextlib.asynccontextmanager
async def workers(database: Database, many: int, **options: Any) -> AsyncIterator[list[PostgresLedger]]:
    """Ledgers on one database, as so many processes would have them; they start together."""
    opening = [PostgresLedger.open(database.dsn, schema=database.schema, **options) for _ in range(many)]
    opened = await asyncio.gather(*opening)
    try:
        yield opened
    finally:
        await asyncio.gather(*(ledger.aclose() for ledger in opened))


@pytest_asyncio.fixture
async def ledger(postgres: Database) -> AsyncIterator[PostgresLedger]:
    async with workers(postgres, 1) as (opened,):
        yield opened


class TestPostgresLedger(LedgerSuite):
    """The suite of all ledgers."""


@pytest_asyncio.fixture
async def two(postgres: Database) -> AsyncIterator[list[PostgresLedger]]:
    async with workers(postgres, 2) as opened:
        await opened[0].open_run("r", SETTINGS)
        yield opened


async def begun(ledger: PostgresLedger, key: str, attempt: int = 1) -> None:
    """Bring a new job to running."""
    assert (await ledger.open_intent(intent(key, attempt))).opened is Opened.YES
    assert await ledger.accepted("r", key, attempt, task_id=f"t-{key}", token="tok", look_at=0.0)


@pytest.mark.asyncio
async def test_one_of_two_wins_the_intent(two: list[PostgresLedger]) -> None:
    """Of two workers that open the same intent at once, exactly one may send, in each of 100 rounds."""
    await two[0].add("r", jobs(100))
    wins: collections.Counter[int] = collections.Counter()
    for n in range(100):
        answers = await asyncio.gather(*(ledger.open_intent(intent(f"k{n}")) for ledger in two))
        assert sorted(answer.opened for answer in answers) == [Opened.NOT_YOURS, Opened.YES]
        wins[[answer.opened for answer in answers].index(Opened.YES)] += 1
    assert (await two[0].limits("acc")).running == 100
    assert sum(wins.values()) == 100


@pytest.mark.asyncio
async def test_one_of_two_answers_is_recorded(two: list[PostgresLedger]) -> None:
    """When two workers record an answer to the same attempt, one is told that its task is an orphan."""
    await two[0].add("r", jobs(20))
    for n in range(20):
        await two[0].open_intent(intent(f"k{n}"))
        both = [
            ledger.accepted("r", f"k{n}", 1, task_id=f"{n}-{who}", token="tok", look_at=0.0)
            for who, ledger in enumerate(two)
        ]
        assert sorted(await asyncio.gather(*both)) == [False, True]
    assert (await two[0].limits("acc")).running == 20


@pytest.mark.asyncio
async def test_the_cap_holds_over_all_workers(postgres: Database) -> None:
    """Eight workers that open, record and settle as fast as they can never hold more slots than the account has."""
    async with workers(postgres, 8, connections=1) as opened:
        await opened[0].open_run("r", SETTINGS)
        await opened[0].add("r", jobs(60))
        await opened[0].set_limits("acc", most_running=5)
        keys = iter([f"k{n}" for n in range(60)])
        held: set[str] = set()
        most = 0

        async def work(ledger: PostgresLedger) -> None:
            nonlocal most
            for key in keys:
                while (await ledger.open_intent(intent(key))).opened is not Opened.YES:
                    await asyncio.sleep(0.002)
                held.add(key)
                most = max(most, len(held))
                await asyncio.sleep(0.003)
                held.remove(key)  # before the slot is given back: another may have it a moment later
                assert await ledger.put_back("r", key, 1, error={})

        await asyncio.gather(*map(work, opened))
        assert 2 <= most <= 5
        assert (await opened[0].limits("acc")).running == 0


@pytest.mark.asyncio
async def test_the_cap_is_reached_and_not_passed(postgres: Database) -> None:
    """Of 24 openings at once under a cap of 7, exactly 7 are let through, and the others are told to wait."""
    async with workers(postgres, 8, connections=1) as opened:
        await opened[0].open_run("r", SETTINGS)
        await opened[0].add("r", jobs(24))
        await opened[0].set_limits("acc", most_running=7)
        many = zip(itertools.cycle(opened), range(24), strict=False)
        answers = await asyncio.gather(*(ledger.open_intent(intent(f"k{n}")) for ledger, n in many))
        assert _tally(answers) == {Opened.YES: 7, Opened.WAIT: 17}
        assert (await opened[0].limits("acc")).running == 7


@pytest.mark.asyncio
async def test_the_budget_holds_over_all_workers(postgres: Database) -> None:
    """Of 24 openings at once with money for 9, exactly 9 are let through."""
    async with workers(postgres, 8, connections=1) as opened:
        await opened[0].open_run("r", RunSettings(provider="hifly", account="acc", budget=0.9))
        await opened[0].add("r", jobs(24))
        many = zip(itertools.cycle(opened), range(24), strict=False)
        answers = await asyncio.gather(*(ledger.open_intent(intent(f"k{n}", cost=0.1)) for ledger, n in many))
        assert _tally(answers) == {Opened.YES: 9, Opened.BUDGET: 15}


@pytest.mark.asyncio
async def test_the_rate_holds_over_all_workers(postgres: Database) -> None:
    """Eight workers that ask all the time get no more turns than the account's rate allows for the time it took."""
    rate = 200.0
    async with workers(postgres, 8, connections=1) as opened:
        await opened[0].open_run("r", SETTINGS)
        await opened[0].add("r", jobs(40))
        await opened[0].set_limits("acc", per_second=rate)
        keys = iter([f"k{n}" for n in range(40)])
        begun_at = await opened[0].now()

        async def work(ledger: PostgresLedger) -> None:
            for key in keys:
                while (answer := await ledger.open_intent(intent(key))).opened is not Opened.YES:
                    assert answer.opened is Opened.WAIT
                    await asyncio.sleep(answer.seconds)

        await asyncio.gather(*map(work, opened))
        took = await opened[0].now() - begun_at
        # The first turn is free, and one may come a tenth of a turn early.
        assert took >= (40 - 1 - 0.1) / rate


def _tally(answers: list[OpenAnswer]) -> dict[Opened, int]:
    return dict(collections.Counter(answer.opened for answer in answers))


@pytest.mark.asyncio
async def test_no_job_is_handed_out_twice(postgres: Database) -> None:
    """Eight workers that take jobs at the same time share them out without overlap and without waiting."""
    async with workers(postgres, 8, connections=1) as opened:
        await opened[0].open_run("r", SETTINGS)
        await opened[0].add("r", jobs(200))
        taken: list[str] = []

        async def work(ledger: PostgresLedger) -> None:
            while found := await ledger.take("r", JobState.NEW, 7, seconds=60):
                taken.extend(job.key for job in found)

        await asyncio.gather(*map(work, opened))
        assert len(taken) == len(set(taken))
        # Who finds the rest locked may stop early; nothing may be forgotten.
        taken.extend(job.key for job in await opened[0].take("r", JobState.NEW, 200, seconds=60))
        assert sorted(taken) == sorted(job.key for job in jobs(200))


@pytest.mark.asyncio
async def test_jobs_that_another_has_locked_are_passed_over(
    two: list[PostgresLedger], postgres: Database
) -> None:
    """A worker that stands still in the middle of a move does not keep the others from taking other jobs."""
    import psycopg

    await two[0].add("r", jobs(4))
    async with await psycopg.AsyncConnection.connect(postgres.dsn) as frozen:
        await frozen.execute(
            f"select * from {postgres.schema}.jobs where key in ('k0', 'k1') for update".encode()
        )
        assert [job.key for job in await two[1].take("r", JobState.NEW, 9, seconds=60)] == ["k2", "k3"]


@pytest.mark.asyncio
async def test_a_lease_has_one_owner(postgres: Database) -> None:
    """Of eight workers that want a lease at once one has it; it may renew it, and others get it when it is given up."""
    async with workers(postgres, 8, connections=1) as opened:
        for n in range(10):
            asked = [ledger.lease(f"poll-{n}", f"w{who}", 60) for who, ledger in enumerate(opened)]
            got = await asyncio.gather(*asked)
            assert sum(got) == 1
            owner = got.index(True)
            assert await opened[owner].lease(f"poll-{n}", f"w{owner}", 0.0)
            assert await opened[(owner + 1) % 8].lease(f"poll-{n}", "another", 60)
            assert not await opened[owner].lease(f"poll-{n}", f"w{owner}", 60)


@pytest.mark.asyncio
async def test_a_run_goes_on_over_restarts_of_the_server(
    own_postgres: Database, postgres_server: Server
) -> None:
    """Workers whose server is stopped and started, and whose connections are killed, submit each job exactly once."""
    async with workers(own_postgres, 2, patience=30.0, connections=2) as opened:
        await opened[0].open_run("r", SETTINGS)
        await opened[0].add("r", jobs(120))
        sent: collections.Counter[str] = collections.Counter()
        keys = iter([f"k{n}" for n in range(120)])

        async def work(ledger: PostgresLedger) -> None:
            for key in keys:
                assert (await ledger.open_intent(intent(key))).opened is Opened.YES
                sent[key] += 1
                assert await ledger.accepted("r", key, 1, task_id=f"t-{key}", token="tok", look_at=0.0)

        working = [asyncio.ensure_future(work(ledger)) for ledger in opened for _ in range(2)]
        for _ in range(2):
            await asyncio.sleep(0.01)
            await asyncio.to_thread(postgres_server.stop)
            assert not all(task.done() for task in working)
            await asyncio.to_thread(postgres_server.start)
            await asyncio.to_thread(own_postgres.cut)
        await asyncio.gather(*working)
        assert set(sent.values()) == {1}
        assert len(sent) == 120
        assert (await opened[0].counts("r")).jobs == {JobState.RUNNING: 120}
        assert (await opened[0].limits("acc")).running == 120


@pytest.mark.asyncio
async def test_what_was_answered_survives_a_crash_of_the_server(
    own_postgres: Database, postgres_server: Server
) -> None:
    """After the server is killed hard, all that the ledger said was done is done."""
    async with workers(own_postgres, 1) as opened:
        await opened[0].open_run("r", SETTINGS)
        await opened[0].add("r", jobs(10))
        for n in range(10):
            await begun(opened[0], f"k{n}")
        postgres_server.crash()
        await asyncio.to_thread(postgres_server.start)
        assert (await opened[0].counts("r")).jobs == {JobState.RUNNING: 10}


@pytest.mark.asyncio
async def test_a_thousand_jobs_are_added_in_few_statements(postgres: Database) -> None:
    """Adding and settling in bulk costs a round trip for some dozens of jobs, not for each."""
    async with workers(postgres, 1, connections=1) as (ledger,):
        await ledger.open_run("r", SETTINGS)
        statements = 0
        from avatarkit.bulk import postgres_moving

        real = postgres_moving._execute

        async def counting(*args: Any) -> Any:
            nonlocal statements
            statements += 1
            return await real(*args)

        postgres_moving._execute = counting
        try:
            assert (await ledger.add("r", jobs(1000))).new == 1000
        finally:
            postgres_moving._execute = real
        assert statements <= 50
        assert (await ledger.add("r", jobs(1000))).known == 1000


@pytest.mark.asyncio
async def test_the_planner_knows_of_a_large_run_at_once(
    two: list[PostgresLedger], postgres: Database
) -> None:
    """A job is found by its key, not by going through all that are in its state, as soon as the run was added."""
    await two[0].add("r", jobs(2000))
    plan = postgres.run(
        f"explain select * from {postgres.schema}.jobs where run = 'r' and key = 'k5' and state = 'new'"
    )
    assert "key = 'k5'" in str(plan[1])
    assert "jobs_run_key_key" in str(plan[0])


@pytest.mark.asyncio
async def test_a_key_with_a_nul_is_the_same_job_each_time(two: list[PostgresLedger]) -> None:
    """A key that PostgreSQL cannot keep is kept as near as it can, and is known again."""
    odd = [NewJob(key="a\0b", spec=b"\0{}")]
    assert (await two[0].add("r", odd)).new == 1
    assert (await two[0].add("r", odd)).known == 1
    job = await two[0].get("r", "a\0b")
    assert job is not None
    assert job.spec == b"\0{}"


@pytest.mark.asyncio
async def test_an_opened_ledger_needs_no_rights_to_make_tables(own_postgres: Database) -> None:
    """A worker's database user may be one who can read and write rows and nothing else."""
    async with workers(own_postgres, 1):
        pass
    name = own_postgres.schema
    own_postgres.run(f"grant usage on schema {name} to visitor")
    own_postgres.run(f"grant select, insert, update, delete on all tables in schema {name} to visitor")
    dsn = own_postgres.dsn.replace("postgres:@", "visitor:visitors-password@")
    ledger = await PostgresLedger.open(dsn, schema=name)
    try:
        await ledger.open_run("r", SETTINGS)
        assert (await ledger.add("r", jobs(600))).new == 600
        assert (await ledger.open_intent(intent("k0"))).opened is Opened.YES
    finally:
        await ledger.aclose()


@pytest.mark.asyncio
async def test_a_newer_ledger_is_refused(postgres: Database) -> None:
    """Tables of a newer avatarkit are left alone, with a word on what to do."""
    async with workers(postgres, 1):
        pass
    postgres.run(f"update {postgres.schema}.meta set value = '{schema.VERSION + 1}' where name = 'version'")
    with pytest.raises(ConfigurationError, match="version") as caught:
        await PostgresLedger.open(postgres.dsn, schema=postgres.schema)
    assert "newer" in caught.value.hint


@pytest.mark.asyncio
async def test_closing_waits_for_what_is_under_way(postgres: Database) -> None:
    """Calls that began before the ledger was closed come to their end; later ones are refused; twice is once."""
    dsn = f"{postgres.dsn}&application_name={postgres.schema}"
    ledger = await PostgresLedger.open(dsn, schema=postgres.schema)
    await ledger.open_run("r", SETTINGS)
    adding = [asyncio.ensure_future(ledger.add("r", [job])) for job in jobs(30)]
    await asyncio.sleep(0)
    assert postgres.run(f"select 1 from pg_stat_activity where application_name = '{postgres.schema}'")
    await ledger.aclose()
    await ledger.aclose()
    assert [added.new for added in await asyncio.gather(*adding)] == [1] * 30
    with pytest.raises(ClientClosed):
        await ledger.get("r", "k0")
    for _ in range(100):  # the server takes a moment to see them off
        left = postgres.run(f"select 1 from pg_stat_activity where application_name = '{postgres.schema}'")
        if not left:
            break
        await asyncio.sleep(0.02)
    assert left == []


@pytest.mark.asyncio
async def test_an_unreachable_database_is_said_when_opening() -> None:
    """Opening a ledger whose server is not there gives a TransportError that names it, but no password."""
    with pytest.raises(TransportError, match=r"127\.0\.0\.1") as caught:
        await PostgresLedger.open("postgresql://me:hush-hush@127.0.0.1:1/db", patience=0.02)
    assert "hush" not in str(caught.value) + caught.value.hint


@pytest.mark.asyncio
async def test_moves_that_write_the_account_stand_in_line(
    ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the steps of a job's life those that lock the account's row, and only they, go through the process's line."""
    run, translate, kinds, written = ledger._moving.run, postgres_moving.translated, list[Kind](), list[str]()

    async def spying(move: Any, kind: Kind = Kind.WRITES) -> Any:
        kinds.append(kind)
        return await run(move, kind)

    def reading(sql: str) -> bytes:
        written.append(sql)
        return translate(sql)

    await ledger.open_run("r", SETTINGS)
    await ledger.add("r", jobs(5))
    monkeypatch.setattr(ledger._moving, "run", spying)
    monkeypatch.setattr(postgres_moving, "translated", reading)
    steps = [
        partial(ledger.set_limits, "acc", most_running=50, per_second=1e6),
        *(partial(ledger.open_intent, intent(f"k{n}")) for n in range(5)),
        partial(ledger.accepted, "r", "k0", 1, task_id="t", token="tok", look_at=0.0),
        partial(ledger.settle, "r", [Look(key="k0", attempt=1, state=JobState.READY)]),
        partial(ledger.finish, "r", "k0", 1, result={}),
        partial(ledger.put_back, "r", "k1", 1, error={}),
        partial(ledger.hold, "r", "k2", 1, error={}),
        partial(ledger.adopt, "r", "k2", 1, task_id="t2", token="tok", look_at=0.0),
        partial(ledger.fail, "r", "k4", 1, error={}),
        partial(ledger.turns, "acc", 2),
        partial(ledger.too_many, "acc", 0.0),
    ]
    for step in steps:
        await step()
        locks = any(sql.startswith("UPDATE accounts") for sql in written)
        assert locks is (step.func not in (ledger.accepted, ledger.finish)), step
        assert kinds == [Kind.WRITES_ACCOUNT if locks else Kind.WRITES], step
        kinds.clear()
        written.clear()
