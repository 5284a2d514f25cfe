"""What was paid for is never lost with an error: every error about a task says how to go on with it."""

import asyncio
import math
import traceback
from pathlib import Path
from typing import Any

import pytest

import avatarkit
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.testing import VirtualClock, run_virtual


def client(sandbox: AsyncSandbox, **options: Any) -> avatarkit.AsyncHiFly:
    settings: dict[str, Any] = {
        "base_url": sandbox.base_url("hifly"),
        "clock": VirtualClock(),
        "seed": 1,
        **options,
    }
    return avatarkit.AsyncHiFly(sandbox.token, **settings)


async def submit(hifly: avatarkit.AsyncHiFly, text: str = "x") -> avatarkit.AsyncTask[avatarkit.AsyncVideo]:
    avatar = (await hifly.avatars.list(size=1)).items[0].id
    voice = (await hifly.voices.list(size=1, kind=2)).items[0].id
    return await hifly.videos.create_by_tts(text=text, avatar=avatar, voice=voice)


def test_a_cancelled_wait_names_the_task() -> None:
    """The cancellation that leaves a wait has a note with the token."""

    async def main() -> None:
        async with (
            AsyncSandbox(clock=VirtualClock(), render="tiny", run_seconds=500.0) as box,
            client(box) as hifly,
        ):
            task = await submit(hifly)
            waiting = asyncio.create_task(task.wait())
            await asyncio.sleep(30)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await waiting
            assert task.to_token() in "".join(caught.value.__notes__)

    run_virtual(main)


def test_a_save_that_fails_names_the_task(tmp_path: Path) -> None:
    """A target that exists, or a name that is none, costs no result: the error has the token, which works."""

    async def main() -> None:
        async with AsyncSandbox(clock=VirtualClock(), render="tiny") as box, client(box) as hifly:
            task = await submit(hifly)
            video = await task.wait()
            (tmp_path / "there.mp4").write_bytes(b"x")
            for target in (tmp_path / "there.mp4", tmp_path / ("n" * 300)):
                with pytest.raises(avatarkit.InvalidRequest) as caught:
                    await video.save(target)
                again = await hifly.task(caught.value.token).wait()
                assert len(await again.read()) > 0

    run_virtual(main)


def test_a_failed_task_names_itself() -> None:
    """TaskFailed carries the token too."""

    async def main() -> None:
        async with AsyncSandbox(clock=VirtualClock(), render="tiny") as box, client(box) as hifly:
            task = await submit(hifly, "[fail] x")
            with pytest.raises(avatarkit.TaskFailed) as caught:
                await task.wait()
            assert caught.value.token == task.to_token()

    run_virtual(main)


@pytest.mark.parametrize("timeout", [math.nan, "5", True])
def test_a_timeout_that_is_no_number_is_refused(timeout: Any) -> None:
    """It is an InvalidRequest with the token, and leaves nothing behind; infinity means for ever."""

    async def main() -> None:
        async with AsyncSandbox(clock=VirtualClock(), render="tiny") as box, client(box) as hifly:
            task = await submit(hifly)
            with pytest.raises(avatarkit.InvalidRequest) as caught:
                await task.wait(timeout)
            assert caught.value.token == task.to_token()
            assert await task.wait(math.inf)

    run_virtual(main)


def test_more_than_the_rate_is_waited_out() -> None:
    """A vendor's own refusal for too many requests holds nobody up for good: all go through, none twice."""

    async def main() -> None:
        options: dict[str, Any] = {"clock": VirtualClock(), "render": "tiny", "requests_per_second": 5}
        async with AsyncSandbox(**options) as box, client(box) as hifly:
            avatar, voice = (
                (await hifly.avatars.list(size=1)).items[0],
                (await hifly.voices.list(kind=2)).items[0],
            )
            create = hifly.videos.create_by_tts
            await asyncio.gather(*(create(text=f"{n}", avatar=avatar, voice=voice) for n in range(30)))
            assert len(box.seen.tasks) == 30

    run_virtual(main)


def test_slots_are_waited_for_as_long_as_it_takes() -> None:
    """Without a deadline of its own no submission fails for the want of a slot, though it takes hours."""

    async def main() -> None:
        options: dict[str, Any] = {"clock": VirtualClock(), "render": "tiny", "run_seconds": 900.0}
        async with AsyncSandbox(max_running=2, **options) as box, client(box) as hifly:
            avatar, voice = (
                (await hifly.avatars.list(size=1)).items[0],
                (await hifly.voices.list(kind=2)).items[0],
            )
            create = hifly.videos.create_by_tts
            await asyncio.gather(*(create(text=f"{n}", avatar=avatar, voice=voice) for n in range(16)))
            assert asyncio.get_running_loop().time() > 3600
            assert box.seen.peak_running == 2

    run_virtual(main)


def test_a_proxy_password_is_nowhere_in_a_traceback() -> None:
    """A proxy that refuses is told without its password, causes and contexts included."""

    async def main() -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        options: dict[str, Any] = {"base_url": "https://vendor.example", "clock": VirtualClock()}
        proxy = f"http://user:geheimnis@127.0.0.1:{port}"
        async with avatarkit.AsyncHiFly("a-token", proxy=proxy, **options) as hifly:
            with pytest.raises(avatarkit.TransportError) as caught:
                await hifly.account.credit(options=avatarkit.CallOptions(retries=0))
        assert "geheimnis" not in "".join(traceback.format_exception(caught.value))
        server.close()
        await server.wait_closed()

    run_virtual(main)


@pytest.mark.parametrize("text", ["nul \0 in it", "half of a pair \ud800"])
def test_text_that_cannot_be_sent_is_refused(text: str) -> None:
    """Characters that JSON or the vendor cannot take are found before anything is sent."""

    async def main() -> None:
        async with AsyncSandbox(clock=VirtualClock(), render="tiny") as box, client(box) as hifly:
            with pytest.raises(avatarkit.InvalidRequest, match=r"U\+"):
                await submit(hifly, text)
            assert box.seen.tasks == []

    run_virtual(main)


def test_ctrl_c_in_a_blocking_wait_names_the_task() -> None:
    """The KeyboardInterrupt that ends a blocking wait has a note with the token."""
    import signal
    import threading

    box = avatarkit.Sandbox(render="tiny", run_seconds=500.0)
    with box, avatarkit.HiFly(box.token, base_url=box.base_url("hifly")) as hifly:
        avatar, voice = hifly.avatars.list().items[0], hifly.voices.list(kind=2).items[0]
        task = hifly.videos.create_by_tts(text="x", avatar=avatar, voice=voice)
        main = threading.main_thread().ident
        assert main is not None
        timer = threading.Timer(0.3, signal.pthread_kill, [main, signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt) as caught:
            task.wait()
        timer.join()
        assert task.to_token() in "".join(caught.value.__notes__)


def test_a_token_outlives_a_changed_key_when_asked_to() -> None:
    """Another key refuses the token by default, naming the way out, and takes it with ``same_account=False``."""
    new = avatarkit.AsyncHiFly("the-new-key-of-the-account", clock=VirtualClock())

    async def submitted() -> None:
        async with AsyncSandbox(clock=VirtualClock(), render="tiny") as box, client(box) as hifly:
            task = await submit(hifly)
            with pytest.raises(avatarkit.InvalidHandle, match="another hifly account") as caught:
                new.task(task.to_token())
            assert "same_account=False" in caught.value.hint
            assert new.task(task.to_token(), same_account=False).id == task.id

    run_virtual(submitted)


@pytest.mark.parametrize("kind", ["public", True, 0])
def test_a_list_kind_that_is_no_number_is_refused(kind: Any) -> None:
    """It is an InvalidRequest that names the field, before anything is sent."""

    async def main() -> None:
        async with AsyncSandbox(clock=VirtualClock(), render="tiny") as box, client(box) as hifly:
            with pytest.raises(avatarkit.InvalidRequest, match="kind"):
                await hifly.voices.list(kind=kind)
            assert sum(box.seen.requests.values()) == 0

    run_virtual(main)
