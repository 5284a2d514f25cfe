"""Callbacks over real sockets, in virtual time: they wake tasks, and nothing that comes is believed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from conftest_webhooks import Scene, run

import avatarkit
from avatarkit.models import Status
from avatarkit.protocol.callback import CallbackEvent
from avatarkit.sandbox.faults import Fault
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.webhooks import Webhooks
from avatarkit.webhooks.aiohttp import routes, serving


def test_callback_wakes_the_waiter_at_once() -> None:
    """A waiter whose next look is minutes away is done within 10 ms of the task's end, with one look."""

    async def test(stage: Scene) -> None:
        task = await stage.submit()
        born = stage.now()
        await task.wait()
        assert stage.now() - born - 98.3 < 0.01
        assert stage.looks[-1].status == "succeeded"
        assert stage.hooks.counts.known == 1
        assert [(event.task_id, event.status) for event in stage.events] == [(task.id, Status.SUCCEEDED)]

    run(test, polling=avatarkit.Polling(shortest=500, longest=1000))


def test_failure_is_told_too() -> None:
    """A task that fails wakes its waiter with the error that a look gives."""

    async def test(stage: Scene) -> None:
        stage.sandbox.fail_next(code=2013, message="cannot fetch")
        task = await stage.submit()
        with pytest.raises(avatarkit.TaskFailed, match="cannot fetch"):
            await task.wait()
        assert stage.now() < 99

    run(test, polling=avatarkit.Polling(shortest=500, longest=1000))


@pytest.mark.parametrize(
    "switches",
    [{"callback_copies": 3}, {"callback_task_id": False}, {"callback_copies": 2, "callback_task_id": False}],
    ids=["copies", "no id", "copies without id"],
)
def test_quirks_of_the_vendor(switches: dict[str, Any]) -> None:
    """Copies cost no further look, and an event without an id finds its task by its title."""

    async def test(stage: Scene) -> None:
        task = await stage.submit("my title")
        other = await stage.submit("other title")
        await task.wait()
        assert 98.3 <= stage.now() < 98.6
        await other.wait()
        assert len(stage.looks) == 2
        assert stage.hooks.counts.copies == 2 * (switches.get("callback_copies", 1) - 1)

    run(test, {"switches": {"hifly": switches}}, polling=avatarkit.Polling(shortest=500, longest=1000))


def test_clone_without_id_and_title() -> None:
    """The oldest form of a clone's event names nothing but its kind: the open tasks of that kind are looked at."""

    async def test(stage: Scene) -> None:
        task = await stage.client.avatars.create_by_video(
            video_url="https://media.example.com/a.mp4", title="x"
        )
        video = await stage.submit()
        waiting = asyncio.create_task(video.wait())
        await task.wait()
        assert stage.now() < 99
        assert [look.kind for look in stage.looks] == ["avatar"]
        await waiting

    switches = {"hifly": {"callback_events": True, "callback_task_id": False}}
    run(
        test,
        {"switches": switches, "run_seconds": {"avatar": 97.3, "video": 200.0}},
        polling=avatarkit.Polling(shortest=500, longest=1000),
    )


def test_forged_event_makes_nothing_done() -> None:
    """An unsigned "done" about a running task costs a few looks; the task stays running and its real end is seen."""

    async def test(stage: Scene) -> None:
        task = await stage.submit()
        waiting = asyncio.create_task(task.wait())
        await asyncio.sleep(5)
        for number in range(50):
            forged = {
                "task_id": task.id,
                "type": 1,
                "status": 3,
                "code": 0,
                "video_Url": f"https://evil.example/{number}",
            }
            assert await stage.post(**forged) == 200
        assert await stage.post(task_id=task.id, type=1, status=4, code=2013) == 200
        await asyncio.sleep(30)
        assert not waiting.done()
        assert task.status is Status.RUNNING
        assert len(stage.looks) <= 8
        video = await waiting
        assert b"evil" not in (video.response.body if video.response else b"")

    run(test, polling=avatarkit.Polling(shortest=50, longest=1000))


def test_unknown_and_odd_events_are_answered_200() -> None:
    """Events about other people's tasks, and objects that are no event, are delivered as far as the vendor cares."""

    async def test(stage: Scene) -> None:
        assert await stage.post(task_id="nobody's", type=1, status=3) == 200
        assert await stage.post(hello="world") == 200
        assert await stage.post(type=9, status=[]) == 200
        assert stage.looks == []
        assert stage.hooks.counts.unknown == 3

    run(test)


def test_event_before_the_submissions_answer() -> None:
    """An event that overtakes the answer of its own submission is applied as soon as the task is waited for."""

    async def test(stage: Scene) -> None:
        stage.sandbox.faults.add("POST /video/create_by_tts", Fault(kind="slow_first_byte", seconds=20.0))
        task = await stage.submit()
        assert stage.hooks.counts.unknown == 1
        came = stage.now()
        await task.wait()
        assert stage.now() - came < 0.01
        assert len(stage.looks) == 1

    run(
        test,
        {"queue_seconds": 0.5, "run_seconds": 1.0},
        polling=avatarkit.Polling(shortest=500, longest=1000),
    )


def test_polling_is_the_backstop() -> None:
    """With every callback lost, tasks end as if there were no webhooks."""

    async def test(stage: Scene) -> None:
        stage.sandbox.set_account(callback_url="http://127.0.0.1:9/nowhere")
        task = await stage.submit()
        await task.wait()
        assert stage.now() < 130

    run(test)


def test_closed_client_and_other_accounts(caplog: pytest.LogCaptureFixture) -> None:
    """A client that was closed, or belongs to another account, does not disturb the one that is meant."""

    async def test(stage: Scene) -> None:
        closed = avatarkit.AsyncHiFly("another", base_url="http://127.0.0.1:9", clock=VirtualClock())
        await closed.aclose()
        stage.hooks._clients.insert(0, closed)
        task = await stage.submit()
        await task.wait()
        assert stage.now() < 99

    with caplog.at_level(logging.WARNING):
        run(test, polling=avatarkit.Polling(shortest=500, longest=1000))
    assert caplog.records == []


def test_error_in_on_event_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The user's function may fail; the vendor gets its answer and the task wakes."""

    async def test(stage: Scene) -> None:
        def broken(event: CallbackEvent) -> None:
            raise RuntimeError("mine")

        stage.hooks._on_event = broken
        task = await stage.submit()
        await task.wait()
        assert stage.now() < 99
        assert [entry["status"] for entry in stage.sandbox.seen.callbacks] == [200]

    run(test, polling=avatarkit.Polling(shortest=500, longest=1000))
    assert "on_event failed" in caplog.text


@asynccontextmanager
async def mounted(hooks: Webhooks, at: str) -> AsyncIterator[str]:
    """A server of the user's own, with the routes in a sub-application."""
    outer, inner = web.Application(), web.Application()
    inner.add_routes(routes(hooks))
    outer.add_subapp(at, inner)
    runner = web.AppRunner(outer, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}{at}"
    await runner.cleanup()


@pytest.mark.parametrize("mount", ["", "/vendors"])
def test_aiohttp_routes(mount: str) -> None:
    """Wrong path 404, wrong method 405, too large 413, not JSON 400, else 200; also in a sub-application."""

    async def main() -> None:
        hooks = Webhooks(clock=VirtualClock())
        server = mounted(hooks, mount) if mount else serving(hooks)
        async with server as base, aiohttp.ClientSession() as session:
            url = hooks.url("hifly", base)

            async def status(method: str, address: str, data: Any = b"{}") -> int:
                async with session.request(method, address, data=data) as answer:
                    return answer.status

            assert await status("POST", url) == 200
            assert await status("POST", url[:-1] + "0") == 404
            assert await status("GET", url[:-1] + "0") == 404
            assert await status("POST", url + "/more") == 404
            assert await status("GET", url) == 405
            assert await status("POST", url, b"[]") == 400
            assert await status("POST", url, b" " * (256 * 1024 + 1)) == 413

            async def pieces() -> AsyncIterator[bytes]:
                for _ in range(5):
                    yield b" " * 65536

            assert await status("POST", url, pieces()) == 413

    run_virtual(main)
