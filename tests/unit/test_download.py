"""Downloads against a small server that misbehaves in every way a result host can, in virtual time."""

from __future__ import annotations

import asyncio
import functools
import gc
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from avatarkit.errors import DownloadFailed, InvalidRequest, LinkExpired, ProviderFault
from avatarkit.settings import Timeouts
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport import bare, threads
from avatarkit.transport.download import Downloaded, download, read_bytes, safe_name
from avatarkit.transport.partfile import Identity, PartFile

BODY = hashlib.sha256(b"seed").digest() * 100_000  # 3.2 MB
SECRET = "s3cr3t-signature"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def virtual(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs an async test on a virtual-time loop."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        run_virtual(lambda: test(**fixtures))
        gc.collect()

    return run


class Origin:
    """A result host that serves BODY with ranges; a script of faults is used up one request at a time."""

    def __init__(self) -> None:
        self.body = BODY
        self.etag = '"one"'
        self.faults: list[Handler] = []
        self.seen: list[web.Request] = []
        self.url = ""
        self.session: aiohttp.ClientSession

    def at(self, path: str) -> str:
        return f"{self.url}{path}?Signature={SECRET}"

    @property
    def ranges(self) -> list[str]:
        return [request.headers.get("Range", "") for request in self.seen]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if self.faults:
            return await self.faults.pop(0)(request)
        return await self.serve(request)

    async def serve(self, request: web.Request, cut: int | None = None) -> web.StreamResponse:
        start = 0
        wanted = request.headers.get("Range", "")
        if wanted and request.headers.get("If-Range", self.etag) == self.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        headers = {
            "ETag": self.etag,
            "Content-Length": str(len(self.body) - start),
            "Content-Type": "video/mp4",
        }
        if start >= len(self.body):
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(self.body)}"})
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        answer = web.StreamResponse(status=206 if start else 200, headers=headers)
        await answer.prepare(request)
        await answer.write(self.body[start:cut])
        if cut is not None:
            # The clock moves once the client has read everything: only then is the connection cut.
            await asyncio.sleep(5)
            assert request.transport is not None
            request.transport.close()
        return answer

    def cut(self, at: int) -> Handler:
        return lambda request: self.serve(request, cut=at)

    async def get(self, path: str, target: Path | str, **options: Any) -> Downloaded:
        options = {"clock": VirtualClock(), "timeouts": Timeouts(), "digest": True} | options
        return await download(self.session, self.at(path), target, **options)


@asynccontextmanager
async def origin(**session: Any) -> AsyncIterator[Origin]:
    host = Origin()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", host.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with aiohttp.ClientSession(**session) as host.session:
            yield host
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)


def says(status: int, text: str = "", **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            status=status, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return answer


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@virtual
async def test_whole_file(tmp_path: Path) -> None:
    """A download ends in the file alone, with its size and hash, and no credential or cookie goes out."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with origin(headers={"Authorization": "Bearer token"}, cookie_jar=jar) as host:
        jar.update_cookies({"sid": "1"}, response_url=bare.parse_url(host.url))
        steps: list[tuple[int, int | None]] = []
        done = await host.get(
            "/a%2Fb.mp4", tmp_path / "new" / "v.mp4", progress=lambda d, t: steps.append((d, t))
        )
        assert done.path.read_bytes() == BODY
        assert (done.size, done.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())
        assert left_over(tmp_path / "new") == ["v.mp4"]
        assert host.seen[0].raw_path == f"/a%2Fb.mp4?Signature={SECRET}"
        assert not {"Authorization", "Cookie"} & set(host.seen[0].headers)
        assert steps[-1] == (len(BODY), len(BODY))
        assert steps == sorted(steps)


@virtual
async def test_resume_after_cut(tmp_path: Path) -> None:
    """A transfer that is cut goes on from the byte it had, and the hash is that of the whole file."""
    async with origin() as host:
        host.faults = [host.cut(1_500_000)]
        done = await host.get("/v", tmp_path / "v.mp4")
        assert host.ranges == ["", "bytes=1500000-"]
        assert host.seen[1].headers["If-Range"] == '"one"'
        assert done.sha256 == hashlib.sha256(BODY).hexdigest()
        assert done.path.read_bytes() == BODY


@virtual
async def test_changed_object_restarts(tmp_path: Path) -> None:
    """When the object changed between two attempts nothing of the old one is left in the file."""
    async with origin() as host:

        async def cut_and_change(request: web.Request) -> web.StreamResponse:
            answer = await host.serve(request, cut=1_000_000)
            host.body, host.etag = b"new" * 700_000, '"two"'
            return answer

        host.faults = [cut_and_change]
        done = await host.get("/v", tmp_path / "v.mp4")
        assert done.path.read_bytes() == b"new" * 700_000


@virtual
async def test_range_of_another_object_is_not_joined(tmp_path: Path) -> None:
    """A server that ignores If-Range and sends the rest of another object does not get it into the file."""
    async with origin() as host:

        async def careless(request: web.Request) -> web.StreamResponse:
            size = len(BODY)
            headers = {"Content-Range": f"bytes 1000000-{size - 1}/{size}", "ETag": '"other"'}
            return web.Response(status=206, body=b"x" * (size - 1_000_000), headers=headers)

        host.faults = [host.cut(1_000_000), careless]
        done = await host.get("/v", tmp_path / "v.mp4")
        assert host.ranges == ["", "bytes=1000000-", ""]
        assert done.path.read_bytes() == BODY


@pytest.mark.parametrize("content_range", ["bytes 5-9/10", "bytes 0-3199999/3200000", "items 1-2/3", ""])
def test_odd_content_range_restarts(tmp_path: Path, content_range: str) -> None:
    """A 206 that does not go on exactly where we are is dropped and the file fetched anew."""

    @virtual
    async def scenario() -> None:
        async with origin() as host:
            host.faults = [
                host.cut(1_000_000),
                says(206, "junk", Content_Range=content_range, Content_Type="video/mp4"),
            ]
            done = await host.get("/v", tmp_path / "v.mp4")
            assert done.path.read_bytes() == BODY

    scenario()


@virtual
async def test_without_validator_it_restarts(tmp_path: Path) -> None:
    """Without ETag or Last-Modified the rest is not asked for: it might be another object's."""
    async with origin() as host:
        host.etag = 'W/"weak"'
        host.faults = [host.cut(1_000_000)]
        done = await host.get("/v", tmp_path / "v.mp4")
        assert host.ranges == ["", ""]
        assert done.path.read_bytes() == BODY


@virtual
async def test_server_without_ranges(tmp_path: Path) -> None:
    """A 200 in answer to a Range starts the file again instead of being appended."""
    async with origin() as host:
        host.faults = [host.cut(1_000_000), says(200, "all of it", ETag='"one"', Content_Type="video/mp4")]
        done = await host.get("/v", tmp_path / "v.mp4")
        assert done.path.read_bytes() == b"all of it"


@virtual
async def test_416_starts_again(tmp_path: Path) -> None:
    """A refused range drops what was there and fetches the file whole."""
    async with origin() as host:
        host.faults = [host.cut(1_000_000), says(416)]
        done = await host.get("/v", tmp_path / "v.mp4")
        assert host.ranges == ["", "bytes=1000000-", ""]
        assert done.path.read_bytes() == BODY


@virtual
async def test_expired_url_is_renewed_and_goes_on(tmp_path: Path) -> None:
    """An expired URL is renewed, and the transfer goes on from the byte it had under the new signature."""
    async with origin() as host:
        host.faults = [host.cut(2_000_000), says(403, "<Error><Code>AccessDenied</Code></Error>")]
        renewed = []

        async def refresh() -> str:
            renewed.append(True)
            return f"{host.url}/v?Signature=fresh"

        done = await host.get("/v", tmp_path / "v.mp4", refresh=refresh)
        assert host.ranges == ["", "bytes=2000000-", "bytes=2000000-"]
        assert host.seen[-1].query["Signature"] == "fresh"
        assert len(renewed) == 1
        assert done.path.read_bytes() == BODY


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_dead_url(tmp_path: Path, status: int) -> None:
    """Without a refresh a dead URL is LinkExpired at once; with one that yields a dead URL, after one more try."""

    @virtual
    async def scenario() -> None:
        async with origin() as host:
            host.faults = [says(status)] * 3

            async def refresh() -> str:
                return host.at("/also-dead")

            with pytest.raises(LinkExpired, match=str(status)) as caught:
                await host.get("/v", tmp_path / "v.mp4")
            assert SECRET not in str(caught.value)
            with pytest.raises(LinkExpired, match="in its place"):
                await host.get("/v", tmp_path / "v.mp4", refresh=refresh)
            assert len(host.seen) == 3
            assert left_over(tmp_path) == []

    scenario()


@virtual
async def test_failed_refresh(tmp_path: Path) -> None:
    """When no fresh URL can be had the error is LinkExpired and its cause says why."""
    async with origin() as host:
        host.faults = [says(404)]

        async def refresh() -> str:
            raise ProviderFault("down")

        with pytest.raises(LinkExpired) as caught:
            await host.get("/v", tmp_path / "v.mp4", refresh=refresh)
        assert isinstance(caught.value.__cause__, ProviderFault)


@virtual
async def test_short_body(tmp_path: Path) -> None:
    """A body shorter than its Content-Length never becomes the target; the attempts are bounded."""
    async with origin() as host:
        host.etag = ""
        host.faults = [host.cut(1000)] * 5
        with pytest.raises(DownloadFailed, match="5 attempts"):
            await host.get("/v", tmp_path / "v.mp4")
        assert not (tmp_path / "v.mp4").exists()
        assert len(host.seen) == 5


@virtual
async def test_progress_renews_the_attempts(tmp_path: Path) -> None:
    """Attempts are counted between mebibytes of progress, so a long file over a bad line still arrives."""
    async with origin() as host:
        host.body = BODY * 3
        host.faults = [host.cut(1_200_000 * n) for n in range(1, 8)]
        done = await host.get("/v", tmp_path / "v.mp4", attempts=2)
        assert done.size == len(BODY) * 3
        assert len(host.seen) == 8


@virtual
async def test_empty_file(tmp_path: Path) -> None:
    """An empty result is an error and leaves nothing behind."""
    async with origin() as host:
        host.faults = [says(200, "", Content_Type="video/mp4")] * 5
        with pytest.raises(DownloadFailed, match="empty"):
            await host.get("/v", tmp_path / "v.mp4")
        assert left_over(tmp_path) == []


@virtual
async def test_server_trouble_is_outlasted(tmp_path: Path) -> None:
    """5xx and 429 are tried again, after the delay the server asks for, in bounds; a 400 is not."""
    async with origin() as host:
        host.faults = [says(503), says(429, Retry_After="20"), says(429, Retry_After="99999999")]
        begun = VirtualClock().monotonic()
        await host.get("/v", tmp_path / "v.mp4")
        assert 80 <= VirtualClock().monotonic() - begun < 90
        host.faults = [says(400)]
        with pytest.raises(DownloadFailed, match="HTTP 400"):
            await host.get("/v", tmp_path / "w.mp4")
        assert len(host.seen) == 5


@virtual
async def test_silence_is_bounded(tmp_path: Path) -> None:
    """A server that stops sending for longer than the read timeout counts as cut."""
    async with origin() as host:

        async def stall(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse(headers={"ETag": '"one"', "Content-Length": str(len(BODY))})
            await answer.prepare(request)
            await answer.write(BODY[:2_000_000])
            await asyncio.sleep(500)
            return answer

        host.faults = [stall]
        done = await host.get("/v", tmp_path / "v.mp4", timeouts=Timeouts(read=30))
        assert host.ranges == ["", "bytes=2000000-"]
        assert 30 <= done.seconds < 40
        assert done.path.read_bytes() == BODY


@virtual
async def test_size_cap(tmp_path: Path) -> None:
    """Too large a file is refused from its header, and while reading when no length is told."""
    async with origin() as host:

        async def chunked(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse()
            await answer.prepare(request)
            for _ in range(100):
                await answer.write(b"x" * 65536)
            return answer

        with pytest.raises(DownloadFailed, match="at most 1000"):
            await host.get("/v", tmp_path / "v.mp4", max_bytes=1000)
        host.faults = [chunked]
        with pytest.raises(DownloadFailed, match="at most 1000000"):
            await host.get("/v", tmp_path / "w.mp4", max_bytes=1_000_000)
        assert len(host.seen) == 2


@virtual
async def test_chunked_file(tmp_path: Path) -> None:
    """A file whose length is not told arrives when its end is marked, and is refused when it is cut."""
    async with origin() as host:

        async def chunked(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse(headers={"Content-Type": "video/mp4"})
            answer.enable_chunked_encoding()
            await answer.prepare(request)
            await answer.write(b"x" * 100_000)
            if request.path == "/cut":
                assert request.transport is not None
                request.transport.close()
            return answer

        host.faults = [chunked] * 6
        assert (await host.get("/v", tmp_path / "v.mp4")).size == 100_000
        with pytest.raises(DownloadFailed):
            await host.get("/cut", tmp_path / "w.mp4")


@virtual
async def test_redirects(tmp_path: Path) -> None:
    """Redirects are followed, relative ones too, but not for ever and not to other schemes."""
    async with origin() as host:
        host.faults = [says(302, Location="/x/y%2Fz?a=b%2Bc"), says(307, Location=host.at("/v"))]
        done = await host.get("/start", tmp_path / "v.mp4")
        assert [request.raw_path for request in host.seen[:2]] == [
            f"/start?Signature={SECRET}",
            "/x/y%2Fz?a=b%2Bc",
        ]
        assert done.size == len(BODY)
        host.faults = [says(302, Location="/again")] * 6
        with pytest.raises(DownloadFailed, match="redirects"):
            await host.get("/v", tmp_path / "w.mp4")
        for bad in ("ftp://127.0.0.1/x", "file:///etc/passwd", "", "http://", "javascript:alert(1)"):
            host.faults = [says(302, Location=bad)]
            with pytest.raises(DownloadFailed, match="no http or https"):
                await host.get("/v", tmp_path / "w.mp4")
        assert left_over(tmp_path) == ["v.mp4"]


def test_redirect_downgrade() -> None:
    """A redirect from https to http is refused; from http to https it is followed."""
    secure, plain = bare.parse_url("https://a.example/x"), bare.parse_url("http://a.example/x")
    assert secure is not None
    assert plain is not None
    with pytest.raises(DownloadFailed, match="https to http"):
        bare.follow(secure, "http://a.example/y", "v")
    assert str(bare.follow(plain, "https://a.example/%2f?q=%7e", "v")) == "https://a.example/%2f?q=%7e"
    assert str(bare.follow(secure, "//b.example/y", "v")) == "https://b.example/y"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("text/html; charset=utf-8", "<html>gone</html>"),
        ("application/json", '{"code": 1}'),
        ("application/xml", "<Error/>"),
        ("application/octet-stream", "\n<!DOCTYPE html><html></html>"),
        ("video/mp4", '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'),
    ],
)
def test_error_page(tmp_path: Path, kind: str, text: str) -> None:
    """A page in the place of a video is refused, and does not cost the bytes that were there."""

    @virtual
    async def scenario() -> None:
        async with origin() as host:
            host.faults = [host.cut(1_000_000), says(200, text, Content_Type=kind)]
            with pytest.raises(DownloadFailed, match="page"):
                await host.get("/v", tmp_path / "v.mp4")
            assert (tmp_path / "v.mp4.part").stat().st_size == 1_000_000
            host.faults = [says(200, text, Content_Type=kind)]
            assert (await read(host, "/v", media=False)).decode() == text

    scenario()


async def read(host: Origin, path: str, **options: Any) -> bytes:
    options = {"clock": VirtualClock(), "timeouts": Timeouts()} | options
    return await read_bytes(host.session, host.at(path), **options)


@virtual
async def test_encoded_body_is_refused(tmp_path: Path) -> None:
    """A body with a content encoding would land in the file as it is, so it is refused."""
    async with origin() as host:
        host.faults = [says(200, "x", Content_Encoding="br", Content_Type="video/mp4")]
        with pytest.raises(DownloadFailed, match="encoded as br"):
            await host.get("/v", tmp_path / "v.mp4")


@virtual
async def test_cancel_leaves_a_part_file(tmp_path: Path) -> None:
    """A cancelled download leaves no target; the next call, after a restart, fetches only the rest."""
    async with origin() as host:
        half = asyncio.Event()

        async def slow(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse(headers={"ETag": '"one"', "Content-Length": str(len(BODY))})
            await answer.prepare(request)
            await answer.write(BODY[:1_700_000])
            half.set()
            await asyncio.sleep(50)
            return answer

        host.faults = [slow]
        task = asyncio.ensure_future(host.get("/v", tmp_path / "v.mp4"))
        await half.wait()
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left_over(tmp_path) == ["v.mp4.part", "v.mp4.part.json"]
        done = await host.get("/v", tmp_path / "v.mp4")
        assert host.ranges == ["", "bytes=1700000-"]
        assert done.path.read_bytes() == BODY
        assert done.sha256 == hashlib.sha256(BODY).hexdigest()
        assert left_over(tmp_path) == ["v.mp4"]


@virtual
async def test_complete_part_file_is_verified(tmp_path: Path) -> None:
    """A part file that is whole (a crash before the rename) costs one byte, not the whole file."""
    async with origin() as host:
        (tmp_path / "v.mp4.part").write_bytes(BODY)
        (tmp_path / "v.mp4.part.json").write_text(f'{{"validator": "\\"one\\"", "total": {len(BODY)}}}')
        done = await host.get("/v", tmp_path / "v.mp4")
        assert host.ranges == [f"bytes={len(BODY) - 1}-"]
        assert done.path.read_bytes() == BODY


@pytest.mark.parametrize("note", ["", "{", "[]", "null", '{"validator": 1}', '{"validator": "", "total": 9}'])
def test_damaged_note(tmp_path: Path, note: str) -> None:
    """A part file whose note is damaged, or too short for it, is not trusted."""

    @virtual
    async def scenario() -> None:
        async with origin() as host:
            (tmp_path / "v.mp4.part").write_bytes(b"foreign bytes")
            (tmp_path / "v.mp4.part.json").write_text(note)
            done = await host.get("/v", tmp_path / "v.mp4")
            assert host.ranges == [""]
            assert done.path.read_bytes() == BODY

    scenario()


@virtual
async def test_two_downloads_to_one_target(tmp_path: Path) -> None:
    """Of two downloads to one target one is refused at once; the other's file is whole."""
    async with origin() as host:
        calls = [host.get("/v", tmp_path / "v.mp4", overwrite=True) for _ in range(4)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        done = [result for result in results if isinstance(result, Downloaded)]
        refused = [result for result in results if isinstance(result, InvalidRequest)]
        assert len(done) == 1
        assert len(refused) == 3
        assert all("being downloaded" in str(error) for error in refused)
        assert (tmp_path / "v.mp4").read_bytes() == BODY


@virtual
async def test_existing_target(tmp_path: Path) -> None:
    """An existing target costs no request, unless it is to be replaced; then it is there at every moment."""
    async with origin() as host:
        target = tmp_path / "v.mp4"
        target.write_text("old")
        with pytest.raises(InvalidRequest, match="exists already"):
            await host.get("/v", target)
        assert host.seen == []
        host.faults = [says(404)]
        with pytest.raises(LinkExpired):
            await host.get("/v", target, overwrite=True)
        assert target.read_text() == "old"
        await host.get("/v", target, overwrite=True)
        assert target.read_bytes() == BODY


@virtual
async def test_target_that_appears_meanwhile(tmp_path: Path) -> None:
    """A target that another program writes meanwhile is not overwritten; our bytes stay in the part file."""
    async with origin() as host:

        async def meanwhile(request: web.Request) -> web.StreamResponse:
            (tmp_path / "v.mp4").write_text("somebody else's")
            return await host.serve(request)

        host.faults = [meanwhile]
        with pytest.raises(InvalidRequest, match="appeared"):
            await host.get("/v", tmp_path / "v.mp4")
        assert (tmp_path / "v.mp4").read_text() == "somebody else's"
        assert (tmp_path / "v.mp4.part").read_bytes() == BODY


@virtual
async def test_impossible_targets(tmp_path: Path) -> None:
    """Folders, pipes, devices, paths through files and overlong names are refused before any request."""
    async with origin() as host:
        (tmp_path / "file").write_text("x")
        os.mkfifo(tmp_path / "pipe")
        os.mkfifo(tmp_path / "taken.part")
        (tmp_path / "folder").mkdir()
        cases = ["folder", "new/", "pipe", "file/v.mp4", "x" * 300, "nul\0", "taken"]
        for name in cases:
            with pytest.raises(InvalidRequest):
                await host.get("/v", f"{tmp_path}/{name}", overwrite=True)
        for target in ("/dev/null", "/", ".", ""):
            with pytest.raises(InvalidRequest):
                await host.get("/v", target, overwrite=True)
        assert host.seen == []
        assert (tmp_path / "file").read_text() == "x"


@virtual
async def test_long_name(tmp_path: Path) -> None:
    """A target whose name leaves no room for the suffix of the part file still works."""
    async with origin() as host:
        done = await host.get("/v", tmp_path / ("x" * 251 + ".mp4"))
        assert done.path.read_bytes() == BODY
        assert left_over(tmp_path) == ["x" * 251 + ".mp4"]


@virtual
async def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refuses ends the download at once with its reason, and no target."""
    async with origin() as host:

        def refuse(_fd: int, _data: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "writev", lambda fd, pieces: 0)
        monkeypatch.setattr(os, "write", refuse)
        with pytest.raises(DownloadFailed, match="No space left"):
            await host.get("/v", tmp_path / "v.mp4")
        monkeypatch.undo()
        assert len(host.seen) == 1
        assert not (tmp_path / "v.mp4").exists()


@virtual
async def test_disk_that_takes_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes that take only part of what they are given lose nothing and double nothing."""
    write = os.write
    async with origin() as host:
        monkeypatch.setattr(os, "writev", lambda fd, pieces: write(fd, pieces[0][:1000]))
        monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:70_000]))
        done = await host.get("/v", tmp_path / "v.mp4")
        assert done.path.read_bytes() == BODY
        assert done.sha256 == hashlib.sha256(BODY).hexdigest()


@virtual
async def test_cancel_while_the_threads_are_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that still queues when the download is cancelled is made: else the next would stand in its place."""
    monkeypatch.setattr(threads, "_files", threads._Threads(most=1, together=True))
    gate = threading.Event()
    async with origin() as host:

        async def feed(request: web.Request) -> web.StreamResponse:
            answer = web.StreamResponse(headers={"ETag": '"one"', "Content-Length": str(len(BODY))})
            await answer.prepare(request)
            threads.in_file_thread(gate.wait)
            await answer.write(BODY)
            await asyncio.sleep(50)
            return answer

        host.faults = [feed]
        done = [0]
        call = host.get("/v", tmp_path / "v.mp4", progress=lambda count, total: done.append(count))
        task = asyncio.ensure_future(call)
        while done[-1] < 1_500_000:
            await asyncio.sleep(0)
        for _ in range(200):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        had = (tmp_path / "v.mp4.part").read_bytes()
        assert len(had) > 1_500_000
        assert had == BODY[: len(had)]


@virtual
async def test_unreachable_host(tmp_path: Path) -> None:
    """A refused connection is tried again and then reported without the URL."""
    async with origin() as host:
        dead = f"http://127.0.0.1:1/v?Signature={SECRET}"
        with pytest.raises(DownloadFailed, match="5 attempts") as caught:
            await download(host.session, dead, tmp_path / "v.mp4", clock=VirtualClock(), timeouts=Timeouts())
        assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__cause__}"
        for bad in ("ftp://h/x", "nonsense", "", "http://", "http://h:99999/", f"{'h' * 70_000}"):
            with pytest.raises(DownloadFailed, match="no http or https URL"):
                await download(
                    host.session, bad, tmp_path / "v.mp4", clock=VirtualClock(), timeouts=Timeouts()
                )


@virtual
async def test_read_bytes(tmp_path: Path) -> None:
    """Small objects come into memory, resumed too, and never more than allowed."""
    async with origin() as host:
        host.faults = [host.cut(1_000_000)]
        assert await read(host, "/v") == BODY
        assert host.ranges == ["", "bytes=1000000-"]
        with pytest.raises(DownloadFailed, match="at most 5000"):
            await read(host, "/v", max_bytes=5000)


@virtual
async def test_failing_progress_hook(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An error in the progress hook is logged once and does not end the download."""
    async with origin() as host:

        def broken(done: int, total: int | None) -> None:
            raise ZeroDivisionError

        done = await host.get("/v", tmp_path / "v.mp4", progress=broken)
        assert done.size == len(BODY)
        assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('日报 / 第1期: "A"?', "日报 _ 第1期_ _A_"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("", "video"),
        ("...", "video"),
        ("CON.mp4", "_CON.mp4"),
        ("a\x00b\u202etxt.exe", "a_b_txt.exe"),
        (".bashrc", "bashrc"),
        ("name. ", "name"),
        ("\ud800", "video"),
        ("长" * 200 + ".mp4", "长" * 48 + ".mp4"),
    ],
)
def test_safe_name(text: str, name: str) -> None:
    """Titles become one harmless file name of bounded length that keeps its extension."""
    assert safe_name(text, default="video") == name
    assert len(name.encode()) <= 150


def test_a_part_file_that_is_a_finished_target_too_is_left_alone(tmp_path: Path) -> None:
    """Killed between its two names: replacing the target begins with a new part file, and the old content stays."""
    target, part = tmp_path / "v.mp4", tmp_path / "v.mp4.part"
    target.write_bytes(BODY)
    part.hardlink_to(target)
    begun = PartFile.acquire(target, overwrite=True, digest=False)
    begun.begin(Identity())
    begun.write([b"half"])
    begun.close()
    assert target.read_bytes() == BODY
    assert part.read_bytes() == b"half"
