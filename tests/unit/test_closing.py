"""Closing, cancelling and changing loops: nothing is lost and nothing is left behind."""

import asyncio
import gc
from typing import Any

import anyio
import pytest

import avatarkit
from avatarkit.testing import VirtualClock, VirtualTimeLoop, run_virtual

FAST: dict[str, Any] = {"render": "tiny", "queue_seconds": 1.0, "run_seconds": 5.0}


def client(sandbox: avatarkit.AsyncSandbox, **options: Any) -> avatarkit.AsyncHiFly:
    settings: dict[str, Any] = {
        "base_url": sandbox.base_url("hifly"),
        "clock": VirtualClock(),
        "seed": 1,
        **options,
    }
    return avatarkit.AsyncHiFly(sandbox.token, **settings)


async def ids(hifly: avatarkit.AsyncHiFly) -> dict[str, str]:
    avatar = (await hifly.avatars.list(size=1)).items[0].id
    voice = (await hifly.voices.list(size=1, kind=2)).items[0].id
    return {"avatar": avatar, "voice": voice}


def test_client_closes_inside_a_cancelled_anyio_scope() -> None:
    """Leaving the client inside a scope that is cancelled closes its connections all the same."""

    async def main() -> None:
        async with avatarkit.AsyncSandbox(clock=VirtualClock(), **FAST) as sandbox:
            hifly = client(sandbox)
            with anyio.move_on_after(2) as scope:
                async with hifly:
                    task = await hifly.videos.create_by_tts(text="x", **await ids(hifly))
                    await task.wait(timeout=None)
            assert scope.cancelled_caught
            assert hifly.closed
        await asyncio.sleep(0)
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    run_virtual(main)
    gc.collect()  # an unclosed session would warn here, and warnings are errors


def test_submission_under_way_survives_its_cancelled_caller() -> None:
    """A caller that goes away during the POST leaves a detached submission with a token that works."""

    async def main() -> None:
        async with avatarkit.AsyncSandbox(clock=VirtualClock(), **FAST) as sandbox:
            events: list[avatarkit.Event] = []
            async with client(sandbox, hooks=events.append) as hifly:
                known = await ids(hifly)
                sandbox.faults.add(endpoint="POST /video/create_by_tts", fault="slow_first_byte", times=1)
                caller = asyncio.create_task(hifly.videos.create_by_tts(text="x", **known))
                await asyncio.sleep(0.1)
                caller.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await caller
                assert [one.outcome for one in hifly.detached_submissions] == ["pending"]
            (lost,) = hifly.detached_submissions
            assert lost.outcome == "accepted"
            settled = [event for event in events if isinstance(event, avatarkit.SubmissionSettled)]
            assert [(event.detached, event.token) for event in settled] == [(True, lost.token)]
            async with client(sandbox) as again:
                video = await again.task(lost.token).wait()
                assert len(await video.read()) > 0
            assert len(sandbox.seen.tasks) == 1

    run_virtual(main)


def test_one_client_lives_through_two_loops() -> None:
    """Handles and learned limits go with the client into a second event loop; nothing of the first one leaks."""
    clock = VirtualClock()
    tokens: list[str] = []
    hifly: list[avatarkit.AsyncHiFly] = []

    async def first() -> str:
        async with avatarkit.AsyncSandbox(clock=clock, **FAST) as sandbox:
            hifly.append(client(sandbox, max_running=2))
            task = await hifly[0].videos.create_by_tts(text="x", **await ids(hifly[0]))
            tokens.append(task.to_token())
            with pytest.raises(avatarkit.WaitTimeout) as caught:
                await task.wait(timeout=0.5)
            assert caught.value.token == tokens[0]
            return sandbox.base_url("hifly")

    async def second() -> None:
        with pytest.raises(avatarkit.NotSent):  # the sandbox went with the first loop
            await hifly[0].account.credit(options=avatarkit.CallOptions(retries=0))
        await hifly[0].aclose()
        with pytest.raises(avatarkit.ClientClosed):
            await hifly[0].account.credit()

    run_virtual(first)
    run_virtual(second)
    gc.collect()


def test_two_running_loops_are_refused() -> None:
    """A client that is used on one running loop says so when another one calls it."""

    async def main() -> None:
        hifly = avatarkit.AsyncHiFly("x", base_url="http://127.0.0.1:9", clock=VirtualClock())
        async with hifly:

            def elsewhere() -> None:
                with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
                    runner.run(hifly.account.credit())

            with pytest.raises(avatarkit.ConfigurationError, match="another running event loop"):
                await asyncio.get_running_loop().run_in_executor(None, elsewhere)

    run_virtual(main)


def test_credentials_stay_out_of_sight() -> None:
    """The client's repr names the account by a fingerprint; missing credentials name their variable."""
    hifly = avatarkit.AsyncHiFly("very-secret-token")

    assert "very-secret-token" not in repr(hifly)
    assert hifly.account_id in repr(hifly)


def test_missing_credentials_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token the error says which variable to set."""
    monkeypatch.delenv("HIFLY_TOKEN", raising=False)

    with pytest.raises(avatarkit.MissingCredentials, match="HIFLY_TOKEN"):
        avatarkit.AsyncHiFly()


def test_caller_cancelled_before_a_connection_sends_nothing() -> None:
    """A caller that goes away while the connection is still being made keeps its request from going out."""

    async def main() -> None:
        async with avatarkit.AsyncSandbox(clock=VirtualClock(), **FAST) as sandbox, client(sandbox) as hifly:
            known = await ids(hifly)
            caller = asyncio.create_task(hifly.videos.create_by_tts(text="x", **known))
            for _ in range(2):  # the exchange has begun, and no connection stands yet
                await asyncio.sleep(0)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            await asyncio.sleep(5)
            assert sandbox.seen.tasks == []
            assert hifly.detached_submissions == ()

    run_virtual(main)


def test_closing_ends_waits_with_a_clear_error() -> None:
    """Whoever waits when the client is closed gets ClientClosed, whatever the hub was doing."""

    async def main() -> None:
        async with avatarkit.AsyncSandbox(clock=VirtualClock(), render="tiny", run_seconds=900.0) as sandbox:
            hifly = client(sandbox)
            known = await ids(hifly)
            tasks = [await hifly.videos.create_by_tts(text="x", **known) for _ in range(3)]
            waits = [asyncio.create_task(task.wait()) for task in (*tasks, tasks[0])]
            await asyncio.sleep(20)
            await hifly.aclose()
            results = await asyncio.gather(*waits, return_exceptions=True)
            assert [type(result) for result in results] == [avatarkit.ClientClosed] * 4

    run_virtual(main)


def test_two_handles_of_one_task_are_looked_at_once() -> None:
    """Handles made from the same token share the looks, so that a backend does not multiply its polls."""

    async def main() -> None:
        async with avatarkit.AsyncSandbox(clock=VirtualClock(), **FAST) as sandbox, client(sandbox) as hifly:
            token = (await hifly.videos.create_by_tts(text="x", **await ids(hifly))).to_token()
            async with client(sandbox) as other:
                handles = [other.task(token) for _ in range(20)]
                await asyncio.gather(*(handle.wait() for handle in handles))
                assert len(set(handles)) == 1
            assert max(sandbox.seen.polls.values()) < 8

    run_virtual(main)
