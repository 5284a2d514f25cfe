"""Results saved into object stores, from the sandbox, in virtual time."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import LocalStore, MemoryStore
from staging_s3 import KEY, S3, SECRET, s3_server

import avatarkit
from avatarkit.errors import ConfigurationError, DownloadFailed, InvalidRequest
from avatarkit.sandbox.faults import DOWNLOAD
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.partfile import Identity
from avatarkit.transport.saving import Stored, StoreSink
from avatarkit.transport.stores import Bucket

SIZE = 12_000_000


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as obstore finds them; no proxy."""
    for name in ("HTTP_PROXY", "http_proxy", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def with_video(test: Callable[[Any, avatarkit.AsyncSandbox, S3], Awaitable[None]], size: int = SIZE) -> None:
    """Run *test* with a finished video of *size* bytes, the sandbox that made it, and an object store."""

    async def main() -> None:
        clock = VirtualClock()
        async with (
            avatarkit.AsyncSandbox(clock=clock, render="tiny", result_bytes=size) as sandbox,
            s3_server() as s3,
        ):
            base = sandbox.base_url("hifly")
            async with avatarkit.AsyncHiFly(sandbox.token, base_url=base, clock=clock, seed=3) as hifly:
                avatar = (await hifly.avatars.list(size=1)).items[0].id
                voice = (await hifly.voices.list(size=1, kind=2)).items[0].id
                task = await hifly.videos.create_by_tts(text="x", avatar=avatar, voice=voice, title="film")
                await test(await task.wait(timeout=None), sandbox, s3)

    run_virtual(main)
    gc.collect()


def test_a_result_is_streamed_into_the_store() -> None:
    """12 MB go through in parts, whole, with content type and progress; the answer says where and how much."""
    steps: list[tuple[int, int | None]] = []

    async def test(video: Any, _: avatarkit.AsyncSandbox, s3: S3) -> None:
        stored = await video.save(
            f"s3://bkt/out/影片.mp4?endpoint={s3.url}", progress=lambda *step: steps.append(step)
        )
        assert isinstance(stored, Stored)
        assert (stored.location, stored.path, stored.size) == (
            "s3://bkt/out/影片.mp4",
            Path("out/影片.mp4"),
            SIZE,
        )
        assert s3.objects["out/影片.mp4"] == await video.read()
        assert s3.types["out/影片.mp4"] == "video/mp4"
        assert s3.count("PART") == 2
        assert steps[-1] == (SIZE, SIZE)
        assert SECRET not in repr(stored)

    with_video(test)


@pytest.mark.parametrize("fault", ["cut", "ignore_range", "no_length"])
def test_a_transfer_that_is_disturbed_arrives_whole(fault: str) -> None:
    """A cut, a server that restarts, and one that tells no length end in the same bytes."""

    async def test(video: Any, sandbox: avatarkit.AsyncSandbox, s3: S3) -> None:
        sandbox.faults.add(endpoint=DOWNLOAD, fault="cut", times=1)
        if fault != "cut":
            sandbox.faults.add(endpoint=DOWNLOAD, fault=fault, times=1)
        await video.save(f"s3://bkt/a.mp4?endpoint={s3.url}")
        assert s3.objects == {"a.mp4": await video.read()}
        assert s3.uploads == {}

    with_video(test)


def test_what_exists_is_not_replaced_unless_asked() -> None:
    """An object in the way is an invalid request before anything is fetched; overwrite replaces it."""

    async def test(video: Any, sandbox: avatarkit.AsyncSandbox, s3: S3) -> None:
        where = f"s3://bkt/a.mp4?endpoint={s3.url}"
        s3.objects["a.mp4"], s3.types["a.mp4"] = b"mine", ""
        with pytest.raises(InvalidRequest, match="exists already"):
            await video.save(where)
        assert sandbox.seen.downloads == 0
        await video.save(where, overwrite=True)
        assert len(s3.objects["a.mp4"]) == 4096
        s3.fail["HEAD"] = (403, "AccessDenied")
        with pytest.raises(InvalidRequest, match="do not let us see"):
            await video.save(where)
        await video.save(where, overwrite=True)

    with_video(test, size=4096)


def test_a_folder_gets_an_object_named_after_the_task() -> None:
    """A URL that ends in a slash, or at the bucket, takes the task's name."""

    async def test(video: Any, _: avatarkit.AsyncSandbox, s3: S3) -> None:
        await video.save(f"s3://bkt/out/?endpoint={s3.url}")
        await video.save(f"s3://bkt?endpoint={s3.url}")
        assert sorted(s3.objects) == ["film.mp4", "out/film.mp4"]

    with_video(test, size=4096)


def test_stores_of_obstore(tmp_path: Path) -> None:
    """Store objects of the user's take results too: in memory, and on disk."""

    async def test(video: Any, _: avatarkit.AsyncSandbox, __: S3) -> None:
        memory, disk = MemoryStore(), LocalStore(tmp_path)
        stored = await video.save("a/b.mp4", store=memory)
        await video.save("a/b.mp4", store=disk)
        assert stored.location == "MemoryStore/a/b.mp4"
        assert (
            bytes(memory.get("a/b.mp4").bytes()) == (tmp_path / "a/b.mp4").read_bytes() == await video.read()
        )

    with_video(test)


def test_nothing_partial_is_left_when_the_store_fails() -> None:
    """Refused parts are DownloadFailed without the store's words; no object, no upload, no secret."""

    async def test(video: Any, _: avatarkit.AsyncSandbox, s3: S3) -> None:
        s3.fail["PART"] = (403, "AccessDenied")
        with pytest.raises(DownloadFailed) as caught:
            await video.save(f"s3://bkt/a.mp4?endpoint={s3.url}")
        told = "".join(traceback.format_exception(caught.value))
        assert "AccessDenied" in told
        assert SECRET not in told
        assert KEY not in told
        assert s3.objects == {}
        assert s3.uploads == {}

    with_video(test)


def test_nothing_partial_is_left_when_the_source_fails() -> None:
    """A result too large, and one that never comes whole, leave no object and no parts."""

    async def test(video: Any, sandbox: avatarkit.AsyncSandbox, s3: S3) -> None:
        where = f"s3://bkt/a.mp4?endpoint={s3.url}"
        with pytest.raises(DownloadFailed, match="at most"):
            await video.save(where, max_bytes=1000)
        sandbox.faults.add(endpoint=DOWNLOAD, fault="no_length", times=1)
        with pytest.raises(DownloadFailed, match="at most"):
            await video.save(where, max_bytes=9_000_000)
        assert s3.objects == {}
        assert s3.uploads == {}

    with_video(test)


def test_an_object_of_the_wrong_length_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that keeps less than it was given is caught, and the object is deleted."""

    async def test(video: Any, _: avatarkit.AsyncSandbox, s3: S3) -> None:
        keep = s3._keep
        monkeypatch.setattr(s3, "_keep", lambda path, body, kind: keep(path, body[:-1], kind))
        with pytest.raises(DownloadFailed, match="4096 bytes were stored, 4095 arrived"):
            await video.save(f"s3://bkt/a.mp4?endpoint={s3.url}")
        assert s3.objects == {}

    with_video(test, size=4096)


def test_the_last_byte_can_be_taken_back() -> None:
    """A download that asks for its last byte again ends with the same object; more taken back starts it anew."""
    store = MemoryStore()
    sink = StoreSink(Bucket(store), "x", "video/mp4")
    identity = Identity('"tag"', 5)
    sink.begin(identity)
    sink.write([b"ab", b"", b"cde"])
    sink.back(1)
    assert (sink.have, sink.identity) == (4, identity)
    sink.write([b"e"])
    sink.finish()
    assert bytes(store.get("x").bytes()) == b"abcde"
    again = StoreSink(Bucket(store), "y", "video/mp4")
    again.begin(identity)
    again.write([b"abc"])
    again.back(2)
    assert (again.have, again.identity) == (0, Identity())
    again.abandon()
    assert [item["path"] for item in store.list().collect()] == ["x"]


def test_bad_places_are_refused_before_fetching() -> None:
    """Credentials in the URL and hostile keys are configuration errors, and nothing is fetched."""

    async def test(video: Any, sandbox: avatarkit.AsyncSandbox, _: S3) -> None:
        for url in ("s3://key:secret@bkt/a.mp4", "s3://bkt/../a.mp4", "s3://bkt/a.mp4?secret_access_key=x"):
            with pytest.raises(ConfigurationError):
                await video.save(url)
        assert sandbox.seen.downloads == 0

    with_video(test, size=4096)
