"""What hints do to the poll hub's schedule: looks come sooner, and never multiply."""

import asyncio

import pytest
from conftest_webhooks import Scene, run

import avatarkit
from avatarkit.models import Kind, Status
from avatarkit.sandbox.faults import Fault
from avatarkit.testing import VirtualClock


def test_event_ahead_of_the_vendors_own_answers() -> None:
    """When the look that a callback caused still shows "running", the task is looked at again soon, not at leisure."""

    async def test(stage: Scene) -> None:
        task = await stage.submit()
        waiting = asyncio.create_task(task.wait())
        await asyncio.sleep(96)
        assert await stage.post(task_id=task.id, type=1, status=3) == 200  # two seconds early
        await waiting
        assert stage.now() < 99.5
        assert len(stage.looks) <= 4

    run(
        test,
        {"switches": {"hifly": {"callback_delays": ()}}},
        polling=avatarkit.Polling(shortest=500, longest=1000),
    )


def test_polling_slows_down_while_callbacks_come() -> None:
    """Tasks after the first few announced ends are looked at less than half as often; lost callbacks undo that."""

    async def test(stage: Scene) -> None:
        async def batch() -> int:
            before = len(stage.looks)
            for task in [await stage.submit(f"t{n}") for n in range(4)]:
                await task.wait()
            return len(stage.looks) - before

        fresh = await batch()
        relaxed = await batch()
        assert relaxed <= 0.6 * fresh
        stage.sandbox.set_account(callback_url="http://127.0.0.1:9/nowhere")
        await batch()
        assert await batch() > relaxed

    run(test, {"run_seconds": 240.0})


def test_hint_does_not_schedule_twice() -> None:
    """A record in the wheel, in the queue or in hand that is hinted at many times is not looked at many times."""

    async def test(stage: Scene) -> None:
        task = await stage.submit()
        hub = stage.client._account.engine().hub
        waiting = asyncio.create_task(task.wait())
        await asyncio.sleep(1)
        record = task._record
        for _ in range(20):
            hub.look_now(record)  # in the wheel, then in the queue
        assert list(hub._agenda.queue).count(record) == 1
        await asyncio.sleep(0.001)
        while not record.looking and record.looks == 0:
            await asyncio.sleep(0)
        for _ in range(20):
            hub.look_now(record)  # while it is being looked at
        await asyncio.sleep(10)
        assert len(stage.looks) <= 2 + 1
        looks = len(stage.looks)
        await asyncio.sleep(80)
        assert len(stage.looks) - looks <= 80 / 20 + 1  # as its own schedule says: every 20 s
        await waiting

    run(test, {"run_seconds": 97.3}, polling=avatarkit.Polling(shortest=20, longest=20))


def test_hints_are_no_storm() -> None:
    """However fast hints come, one task is looked at once a second at most."""

    async def test(stage: Scene) -> None:
        task = await stage.submit()
        hub = stage.client._account.engine().hub
        waiting = asyncio.create_task(task.wait())
        for _ in range(100):
            await asyncio.sleep(0.1)
            hub.look_now(task._record)
        assert 9 <= len(stage.looks) <= 11
        await waiting

    run(test, rate_limit=None, polling=avatarkit.Polling(shortest=500, longest=1000))


def test_hint_during_a_look() -> None:
    """What a look under way will show may be too old: another one follows it, and never runs beside it."""

    async def test(stage: Scene) -> None:
        task = await stage.submit()
        stage.sandbox.faults.add("GET /video/task", Fault(kind="slow_first_byte", seconds=5.0))
        waiting = asyncio.create_task(task.wait())
        hub, record, before = (
            stage.client._account.engine().hub,
            task._record,
            stage.sandbox.seen.polls[task.id],
        )
        await asyncio.sleep(20.5)  # the look that is due after 20 s has begun
        assert record.looking
        for _ in range(20):
            hub.look_now(record)
            await asyncio.sleep(0.1)
        assert stage.sandbox.seen.polls[task.id] - before == 1
        await asyncio.sleep(3.5)
        assert stage.sandbox.seen.polls[task.id] - before == 2
        await waiting

    run(test, polling=avatarkit.Polling(shortest=20, longest=20))


def test_hint_goes_before_looks_that_wait_for_their_turn() -> None:
    """A hinted record that waits in the queue is looked at next, and its old place there is passed over."""

    async def test(stage: Scene) -> None:
        tasks = [await stage.submit(f"t{n}") for n in range(6)]
        handles = []
        async with avatarkit.AsyncHiFly(
            stage.sandbox.token,
            base_url=stage.sandbox.base_url("hifly"),
            clock=VirtualClock(),
            rate_limit=avatarkit.RateLimit(per_second=1),
            polling=avatarkit.Polling(shortest=500, longest=1000),
        ) as slow:
            handles = [slow.task(task.to_token()) for task in tasks]
            waits = [asyncio.create_task(handle.wait()) for handle in handles]
            await asyncio.sleep(1.5)
            slow._account.engine().hub.look_now(handles[5]._record)
            await asyncio.sleep(1)
            assert handles[5]._record.looks == 1
            assert handles[4]._record.looks == 0
            await asyncio.sleep(15)
            assert [handle._record.looks for handle in handles] == [1] * 6
            for wait in waits:
                wait.cancel()

    run(test, {"run_seconds": 300.0})


def test_husks_of_hints_are_swept() -> None:
    """A thousand hints leave no thousand entries in the wheel."""

    async def test(stage: Scene) -> None:
        tasks = [await stage.submit(f"t{n}") for n in range(5)]
        hub = stage.client._account.engine().hub
        waiting = [asyncio.create_task(task.wait()) for task in tasks]
        for _ in range(200):
            await asyncio.sleep(1.1)
            for task in tasks:
                hub.look_now(task._record)
        assert len(hub._agenda) < 600
        assert len(stage.looks) <= 5 * 220
        await asyncio.gather(*waiting)

    run(test, {"run_seconds": 400.0}, rate_limit=None, polling=avatarkit.Polling(shortest=5000, longest=5000))


def test_end_is_known_though_nobody_waits() -> None:
    """A task that nobody waits for at the moment, but somebody did, is up to date when its callback has come."""

    async def test(stage: Scene) -> None:
        task = await stage.submit()
        with pytest.raises(avatarkit.WaitTimeout):
            await task.wait(timeout=1)
        await asyncio.sleep(98)
        assert task.done
        assert len(stage.looks) == 1

    run(test, polling=avatarkit.Polling(shortest=500, longest=1000))


def test_updates_see_no_needless_looks() -> None:
    """Events that say "running" are looked into only for those who watch changes."""

    async def test(stage: Scene) -> None:
        task = await stage.submit()
        hub = stage.client._account.engine().hub
        waiting = asyncio.create_task(task.wait())
        await asyncio.sleep(2)
        assert hub.hint(Kind.VIDEO, task.id, ended=False)
        await asyncio.sleep(2)
        assert stage.looks == []
        seen = []

        async def follow() -> None:
            async for update in task.updates():
                seen.append((update.status, round(stage.now())))

        following = asyncio.create_task(follow())
        await asyncio.sleep(1)
        hub.hint(Kind.VIDEO, task.id, ended=False)
        await asyncio.gather(waiting, following)
        assert seen == [(Status.QUEUED, 4), (Status.RUNNING, 5), (Status.SUCCEEDED, 98)]

    run(test, polling=avatarkit.Polling(shortest=500, longest=1000))
