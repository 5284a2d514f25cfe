"""Uploads to a small object store over real sockets in virtual time, and the memory of what was uploaded."""

from __future__ import annotations

import asyncio
import functools
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from avatarkit.errors import UploadFailed
from avatarkit.events import BytesMoved
from avatarkit.models import UploadedFile
from avatarkit.settings import Timeouts
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.sources import as_source
from avatarkit.transport.upload import can_retry, put_file
from avatarkit.transport.uploads_cache import UploadCache

DATA = bytes(range(256)) * 12_000  # 3 MB
SIGNED = "/bucket/up%2Fload%2fx.mp4?Expires=17&Signature=a%2Bb/c%3D+%7e&x=~"


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs an async test on a virtual-time loop."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        run_virtual(lambda: test(**fixtures))
        gc.collect()

    return run


class Store:
    """Takes files; a script of faults is used up one request at a time."""

    def __init__(self) -> None:
        self.faults: list[Callable[[web.Request], Awaitable[web.StreamResponse]]] = []
        self.seen: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.url = ""
        self.session: aiohttp.ClientSession

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if self.faults:
            return await self.faults.pop(0)(request)
        self.bodies.append(await request.read())
        return web.Response()

    async def put(self, media: Any = DATA, path: str = SIGNED, **options: Any) -> None:
        source = await as_source(media)
        options = {"clock": VirtualClock(), "timeouts": Timeouts()} | options
        await put_file(self.session, self.url + path, source, "video/mp4", **options)


@asynccontextmanager
async def store(**session: Any) -> AsyncIterator[Store]:
    host = Store()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", host.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.socket()
    # Small, so that a server that stops reading is felt by the client.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    listener.bind(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession(**session) as host.session:
            yield host
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)


def says(
    status: int, text: str = "", *, read: bool = True
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        if read:
            await request.read()
        return web.Response(
            status=status, text=text, headers={"Location": "/elsewhere"} if status == 307 else {}
        )

    return answer


@virtual
async def test_what_goes_over_the_wire() -> None:
    """URL and Content-Type go out to the letter, the length is told, and nothing of the account is added."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with store(headers={"Authorization": "Bearer token"}, cookie_jar=jar) as host:
        jar.update_cookies({"sid": "1"})
        events: list[Any] = []
        steps: list[tuple[int, int | None]] = []
        await host.put(progress=lambda done, total: steps.append((done, total)), emit=events.append)
        (request,) = host.seen
        assert request.raw_path == SIGNED
        assert request.headers["Content-Type"] == "video/mp4"
        assert request.headers["Content-Length"] == str(len(DATA))
        assert not {"Authorization", "Cookie", "Transfer-Encoding", "Expect"} & set(request.headers)
        assert host.bodies == [DATA]
        assert steps[-1] == (len(DATA), len(DATA))
        assert steps == sorted(steps)
        assert events[-1] == BytesMoved(direction="up", name="data", done=len(DATA), total=len(DATA))


@pytest.mark.parametrize(
    ("status", "text", "code", "retry"),
    [
        (
            403,
            "<Error><Code>SignatureDoesNotMatch</Code><Message>m</Message></Error>",
            "SignatureDoesNotMatch",
            True,
        ),
        (403, "<Error><Code> AccessDenied </Code></Error>", "AccessDenied", True),
        (400, "<Error><Code>EntityTooLarge</Code></Error>", "EntityTooLarge", False),
        (400, "<Error><Code>RequestTimeout</Code></Error>", "RequestTimeout", True),
        (503, "<html>busy</html>", "", True),
        (413, "", "", False),
        (307, "", "", False),
        (404, "<Code><script></Code>", "", True),
    ],
)
def test_refusals(status: int, text: str, code: str, retry: bool) -> None:
    """A refusal carries status and code, says whether a fresh URL can help, and never holds the URL."""

    @virtual
    async def scenario() -> None:
        async with store() as host:
            host.faults = [says(status, text)]
            with pytest.raises(UploadFailed) as caught:
                await host.put()
            error = caught.value
            assert (error.__dict__["http_status"], error.__dict__["code"]) == (status, code)
            assert can_retry(error) is retry
            assert "Signature=" not in repr(error)
            assert len(host.seen) == 1

    scenario()


@virtual
async def test_early_refusal() -> None:
    """A store that refuses before it has read the file is heard, and the rest is not sent to it."""
    async with store() as host:
        host.faults = [says(403, "<Code>AccessDenied</Code>", read=False)]
        with pytest.raises(UploadFailed):
            await host.put(DATA * 20)
        host.faults = [says(200, read=False)]
        with pytest.raises(UploadFailed):
            await host.put(DATA * 20)


@virtual
async def test_stall() -> None:
    """A store that stops reading, or never answers, ends the upload after the read timeout."""
    async with store() as host:

        async def stop_reading(request: web.Request) -> web.Response:
            await asyncio.sleep(500)
            return web.Response()

        async def never_answer(request: web.Request) -> web.Response:
            await request.read()
            await asyncio.sleep(500)
            return web.Response()

        for fault, media in ((stop_reading, DATA * 20), (never_answer, DATA)):
            host.faults = [fault]
            begun = VirtualClock().monotonic()
            with pytest.raises(UploadFailed, match="stood still") as caught:
                await host.put(media, timeouts=Timeouts(read=30))
            assert 29 < VirtualClock().monotonic() - begun < 35
            assert can_retry(caught.value)


@virtual
async def test_slow_but_steady() -> None:
    """A slow line may take far longer than the read timeout, as long as something moves."""
    async with store() as host:

        async def sip(request: web.Request) -> web.Response:
            count = 0
            async for chunk in request.content.iter_chunked(65536):
                count += len(chunk)
                await asyncio.sleep(1)
            assert count == len(DATA) * 2
            return web.Response()

        host.faults = [sip]
        begun = VirtualClock().monotonic()
        await host.put(DATA * 2, timeouts=Timeouts(read=20))
        assert VirtualClock().monotonic() - begun > 60


@virtual
async def test_dead_kept_alive_connection() -> None:
    """When aiohttp sends the PUT again over a new connection, the whole body arrives once more."""
    async with store() as host:

        async def hang_up(request: web.Request) -> web.Response:
            await request.content.readexactly(1_000_000)
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        await host.put()
        host.faults = [hang_up]
        await host.put()
        assert len(host.seen) == 3
        assert host.bodies == [DATA, DATA]


@virtual
async def test_network_errors() -> None:
    """A lost connection is UploadFailed that can be tried again; its cause shows no URL."""
    async with store() as host:

        async def hang_up(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        host.faults = [hang_up] * 2
        with pytest.raises(UploadFailed) as caught:
            await host.put()
        assert can_retry(caught.value)
        host.url = "http://127.0.0.1:1"
        with pytest.raises(UploadFailed) as refused:
            await host.put()
        assert can_retry(refused.value)
        for error in (caught.value, refused.value):
            assert "Signature=" not in f"{error} {error.__cause__} {error.__cause__!r}"
        host.url = "ftp://127.0.0.1"
        with pytest.raises(UploadFailed, match="no http or https") as wrong:
            await host.put()
        assert not can_retry(wrong.value)


@virtual
async def test_file_that_changes_on_the_way(tmp_path: Path) -> None:
    """A file that changes or shrinks while it is sent never counts as uploaded, and is not tried again."""
    async with store() as host:
        path = tmp_path / "v.mp4"
        meanwhile = [DATA[::-1] * 20, DATA[:1000]]

        async def meddle(request: web.Request) -> web.Response:
            await request.content.readexactly(100)
            path.write_bytes(meanwhile.pop(0))
            await request.read()
            return web.Response()

        for words in ("changed while it was sent", "became shorter"):
            path.write_bytes(DATA * 20)
            host.faults = [meddle]
            with pytest.raises(UploadFailed, match=words) as caught:
                await host.put(path)
            assert not can_retry(caught.value)


@virtual
async def test_cancelled_upload(tmp_path: Path) -> None:
    """A cancelled upload ends at once and leaves no open file and no connection in use."""
    async with store() as host:
        path = tmp_path / "v.mp4"
        path.write_bytes(DATA * 20)

        async def stop_reading(request: web.Request) -> web.Response:
            await asyncio.sleep(5)
            return web.Response()

        host.faults = [stop_reading]
        task = asyncio.ensure_future(host.put(path))
        while not host.seen:
            await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await host.put(path)
        assert host.bodies == [DATA * 20]


class Uploads:
    """Counts uploads; each takes a second."""

    def __init__(self) -> None:
        self.begun = 0
        self.fail_first = 0

    async def __call__(self) -> UploadedFile:
        self.begun += 1
        number = self.begun
        await asyncio.sleep(1)
        if number <= self.fail_first:
            raise UploadFailed(f"number {number}")
        return UploadedFile(id=f"file-{number}")


@virtual
async def test_same_content_is_sent_once() -> None:
    """Concurrent and later uploads of one content share one file; another extension is another file."""
    cache, uploads = UploadCache(clock=VirtualClock(), ttl=100), Uploads()
    files = await asyncio.gather(*(cache.get("a", "mp4", uploads) for _ in range(50)))
    assert {file.id for file in files} == {"file-1"}
    assert (await cache.get("a", "mp4", uploads)).id == "file-1"
    assert (await cache.get("a", "mov", uploads)).id == "file-2"
    assert uploads.begun == 2


@virtual
async def test_kept_for_a_time() -> None:
    """A file is used again until its time is over or it is forgotten."""
    cache, uploads = UploadCache(clock=VirtualClock(), ttl=100), Uploads()
    await cache.get("a", "mp4", uploads)
    await asyncio.sleep(98)
    assert (await cache.get("a", "mp4", uploads)).id == "file-1"
    await asyncio.sleep(2)
    assert (await cache.get("a", "mp4", uploads)).id == "file-2"
    cache.forget("file-1")
    assert (await cache.get("a", "mp4", uploads)).id == "file-2"
    cache.forget("file-2")
    assert (await cache.get("a", "mp4", uploads)).id == "file-3"


@virtual
async def test_failed_upload_is_taken_over() -> None:
    """A failure reaches its own caller alone; one of the waiting takes over for the rest."""
    cache, uploads = UploadCache(clock=VirtualClock()), Uploads()
    uploads.fail_first = 2
    results = await asyncio.gather(
        *(cache.get("a", "mp4", uploads) for _ in range(5)), return_exceptions=True
    )
    assert [str(result) for result in results] == ["number 1", "number 2", "file-3", "file-3", "file-3"]


@virtual
async def test_cancelled_uploader_is_taken_over() -> None:
    """When the caller that uploads is cancelled, a waiting one uploads; cancelled waiters disturb nobody."""
    cache, uploads = UploadCache(clock=VirtualClock()), Uploads()
    tasks = [asyncio.ensure_future(cache.get("a", "mp4", uploads)) for _ in range(4)]
    await asyncio.sleep(0.5)
    tasks[1].cancel()
    tasks[0].cancel()
    # The next in line is cancelled in the very moment in which its turn comes.
    await asyncio.sleep(0)
    tasks[2].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results[:3]] == [asyncio.CancelledError] * 3
    assert isinstance(results[3], UploadedFile)
    assert uploads.begun <= 3


def test_cache_outlives_loops() -> None:
    """Files stay known across event loops; an upload that died with its loop is begun anew."""
    now = [0.0]

    class Clock(VirtualClock):
        def monotonic(self) -> float:
            return now[0]

    cache, uploads = UploadCache(clock=Clock()), Uploads()

    async def abandon() -> None:
        for _ in range(2):
            asyncio.ensure_future(cache.get("a", "mp4", uploads))  # noqa: RUF006 - dies with the loop
        await asyncio.sleep(0.5)

    run_virtual(abandon)
    first = run_virtual(lambda: cache.get("a", "mp4", uploads))
    assert run_virtual(lambda: cache.get("a", "mp4", uploads)) is first
    now[0] = -5.0
    assert run_virtual(lambda: cache.get("a", "mp4", uploads)) is not first
