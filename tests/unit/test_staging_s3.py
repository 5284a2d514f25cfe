"""Staging in an S3-compatible store over real sockets, in virtual time."""

from __future__ import annotations

import asyncio
import functools
import gc
import hashlib
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from staging_s3 import KEY, S3, SECRET, s3_server

from avatarkit.errors import ConfigurationError, InvalidRequest, LinkExpired, UploadFailed
from avatarkit.settings import Timeouts
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.download import read_bytes
from avatarkit.transport.object_staging import ObjectStaging
from avatarkit.transport.sources import as_source
from avatarkit.transport.staging import StagedFile, from_url

MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42" + bytes(range(256)) * 8
SHA = hashlib.sha256(MP4).hexdigest()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as obstore finds them; no proxy."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def with_s3(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Runs an async test, given a store, on a virtual-time loop."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        async def main() -> None:
            async with s3_server() as s3:
                await test(s3, **fixtures)

        run_virtual(main)
        gc.collect()

    del run.__wrapped__  # type: ignore[attr-defined]
    run.__signature__ = _without_first(test)  # type: ignore[attr-defined]
    return run


def _without_first(test: Callable[..., Any]) -> Any:
    import inspect

    found = inspect.signature(test)
    return found.replace(parameters=list(found.parameters.values())[1:])


def staging(s3: S3, path: str = "stage", query: str = "", **options: Any) -> ObjectStaging:
    url = f"s3://bkt/{path}?endpoint={s3.url}{query}"
    return ObjectStaging(url, clock=VirtualClock(), **options)


async def fetch(url: str) -> bytes:
    async with aiohttp.ClientSession() as session:
        return await read_bytes(session, url, clock=VirtualClock(), timeouts=Timeouts())


@with_s3
async def test_a_staged_file_is_served_by_its_signed_url(s3: S3) -> None:
    """What was staged comes back, byte for byte, from the signed URL alone, with the right content type."""
    store = staging(s3)
    staged = await store.stage(await as_source(MP4), seconds=60)
    assert await fetch(staged.url) == MP4
    assert s3.types[f"stage/{SHA}.mp4"] == "video/mp4"
    assert s3.acls == []
    await store.aclose()


@with_s3
async def test_the_same_content_is_uploaded_once(s3: S3, tmp_path: Path) -> None:
    """Ten calls at once, a later one, and another process's staging put one object."""
    store = staging(s3)
    path = tmp_path / "a.mp4"
    path.write_bytes(MP4)
    sources = [await as_source(MP4 if n % 2 else path) for n in range(10)]
    found = await asyncio.gather(*(store.stage(source, seconds=60) for source in sources))
    found.append(await store.stage(sources[0], seconds=60))
    found.append(await staging(s3).stage(sources[1], seconds=60))
    assert {staged.key for staged in found} == {f"stage/{SHA}.mp4"}
    assert s3.count("PUT") == 1
    assert s3.count("HEAD") == 2


@with_s3
async def test_an_object_of_another_length_is_replaced(s3: S3) -> None:
    """A name that is taken by something of another size is not trusted."""
    s3.objects[f"stage/{SHA}.mp4"], s3.types[f"stage/{SHA}.mp4"] = b"short", ""
    staged = await staging(s3).stage(await as_source(MP4), seconds=60)
    assert await fetch(staged.url) == MP4


@with_s3
async def test_objects_near_their_end_are_renewed(s3: S3) -> None:
    """An object older than renew_after is uploaded again, so that a bucket's rule cannot delete it under way."""
    key = f"stage/{SHA}.mp4"
    s3.objects[key], s3.types[key] = MP4, "video/mp4"  # of 22 September 2026; the virtual day is the 21st
    assert await staging(s3, query="&renew_after=3600").stage(await as_source(MP4), seconds=60)
    assert s3.count("PUT") == 0
    later = staging(s3, query="&renew_after=3600")
    await asyncio.sleep(5 * 86400)
    await later.stage(await as_source(MP4), seconds=60)
    assert s3.count("PUT") == 1


@with_s3
async def test_large_files_go_in_parts(s3: S3) -> None:
    """20 MB arrive whole in three parts, and progress ends at the last byte."""
    body = MP4 * 10_000
    steps: list[tuple[int, int | None]] = []
    source = await as_source(body)
    staged = await staging(s3).stage(source, seconds=60, progress=lambda *step: steps.append(step))
    assert s3.count("PART") == 3
    assert hashlib.sha256(await fetch(staged.url)).digest() == hashlib.sha256(body).digest()
    assert steps[-1] == (len(body), len(body))
    assert s3.types[staged.key] == "video/mp4"


@with_s3
async def test_a_cancelled_upload_leaves_nothing(s3: S3) -> None:
    """A caller that goes away while the store hangs is let go at once; no object appears, and the parts are dropped."""
    s3.hold = asyncio.Event()
    job = asyncio.create_task(staging(s3).stage(await as_source(MP4 * 40_000), seconds=60))
    while s3.count("PART") < 3:
        await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert len(s3.uploads) == 1
    s3.hold.set()
    while s3.uploads:
        await asyncio.sleep(0)
    assert s3.objects == {}


@with_s3
async def test_a_store_that_fails_half_way_leaves_nothing(s3: S3) -> None:
    """Parts that are refused end the call, and those that arrived are dropped."""
    s3.fail["PART"] = (403, "AccessDenied")
    with pytest.raises(UploadFailed):
        await staging(s3).stage(await as_source(MP4 * 10_000), seconds=60)
    while s3.uploads:
        await asyncio.sleep(0)
    assert s3.objects == {}


@with_s3
async def test_urls_end_with_their_lifetime(s3: S3) -> None:
    """The URL works for as long as was asked for, then it is refused and says so."""
    staged = await staging(s3, lifetime=60.0).stage(await as_source(MP4), seconds=7200)
    assert staged.expires_at == pytest.approx(VirtualClock().time() + 7200, abs=1)
    s3.late = 7000
    assert await fetch(staged.url) == MP4
    s3.late = 7300
    with pytest.raises(LinkExpired):
        await fetch(staged.url)


@with_s3
async def test_longer_than_stores_sign_is_refused_before_uploading(s3: S3) -> None:
    """Eight days are a configuration error, and nothing is sent."""
    with pytest.raises(ConfigurationError, match="7 days"):
        await staging(s3).stage(await as_source(MP4), seconds=8 * 86400)
    assert s3.log == []


@with_s3
async def test_discarded_files_are_gone_and_staged_anew(s3: S3) -> None:
    """Discarding deletes, twice is no error, and the next staging uploads again."""
    store = staging(s3)
    staged = await store.stage(await as_source(MP4), seconds=60)
    await store.discard(staged)
    await store.discard(staged)
    assert s3.objects == {}
    assert await fetch((await store.stage(await as_source(MP4), seconds=60)).url) == MP4
    with pytest.raises(InvalidRequest):
        await store.discard(StagedFile(url="", key="other/x.mp4", expires_at=0))


@with_s3
async def test_discard_after_deletes_only_its_own(s3: S3) -> None:
    """Closing deletes what this staging uploaded and leaves what lay there before."""
    await staging(s3).stage(await as_source(MP4), seconds=60)
    store = staging(s3, query="&discard_after=1")
    await store.stage(await as_source(MP4), seconds=60)
    await store.stage(await as_source(b"RIFF1234WAVEfmt "), seconds=60)
    assert len(s3.objects) == 2
    await store.aclose()
    assert list(s3.objects) == [f"stage/{SHA}.mp4"]


@with_s3
async def test_without_the_right_to_list_it_uploads(s3: S3) -> None:
    """A HEAD that is answered with 403 does not keep the file from being staged."""
    s3.fail["HEAD"] = (403, "AccessDenied")
    assert await fetch((await staging(s3).stage(await as_source(MP4), seconds=60)).url) == MP4


@with_s3
async def test_refusals_keep_the_stores_words_to_themselves(s3: S3) -> None:
    """A refused upload says status and code; no key, signature or URL is in the error, its cause or its traceback."""
    s3.fail["PUT"] = (403, "SignatureDoesNotMatch")
    with pytest.raises(UploadFailed) as caught:
        await staging(s3).stage(await as_source(MP4), seconds=60)
    error = caught.value
    told = "".join(traceback.format_exception(error)) + repr(error.__dict__)
    assert (error.http_status, error.code, error.retryable) == (403, "SignatureDoesNotMatch", False)
    assert SECRET not in told
    assert KEY not in told
    assert s3.url not in told
    assert s3.objects == {}


@with_s3
async def test_signed_urls_show_nowhere(s3: S3) -> None:
    """Neither a staged file's repr nor the staging's holds the signature or the endpoint's options."""
    store = staging(s3)
    staged = await store.stage(await as_source(MP4), seconds=60)
    assert "Signature" in staged.url
    assert "Signature" not in repr(staged)
    assert repr(store) == "<ObjectStaging s3://bkt/stage/>"


@with_s3
async def test_names_come_from_content_alone(s3: S3) -> None:
    """Hostile file names and extensions leave no trace in keys."""
    store = staging(s3)
    for name in ("../../etc/passwd", "a\nb.mp4\x00.exe", "x" * 5000, "?prefix=&acl.html", "кот.<script>"):
        staged = await store.stage(await as_source(b"plain " + name.encode(), name=name), seconds=60)
        digest = hashlib.sha256(b"plain " + name.encode()).hexdigest()
        assert staged.key == f"stage/{digest}.bin"
        assert s3.types[staged.key] == "application/octet-stream"


@with_s3
async def test_a_file_that_changes_meanwhile_is_not_left_there(s3: S3, tmp_path: Path) -> None:
    """Content that no longer fits its name is deleted and the call fails for good."""
    path = tmp_path / "a.mp4"
    path.write_bytes(MP4)
    source = await as_source(path)
    s3.hold = asyncio.Event()
    job = asyncio.create_task(staging(s3).stage(source, seconds=60))
    while not s3.count("PUT"):
        await asyncio.sleep(0)
    path.write_bytes(MP4[::-1] + b"!")
    s3.hold.set()
    with pytest.raises(UploadFailed, match="changed") as caught:
        await job
    assert not caught.value.retryable
    assert s3.objects == {}


@with_s3
async def test_public_endpoint_signs_for_outsiders(s3: S3) -> None:
    """Uploads go to the inner endpoint; the URL handed out names the public one."""
    store = staging(s3, query="&public_endpoint=https://files.example.com")
    staged = await store.stage(await as_source(MP4), seconds=60)
    assert staged.url.startswith(f"https://files.example.com/bkt/stage/{SHA}.mp4?")
    assert s3.count("PUT") == 1


@with_s3
async def test_from_url_makes_it(s3: S3) -> None:
    """A URL is enough; without a path keys begin with avatarkit/."""
    store = from_url(f"s3://bkt?endpoint={s3.url}", clock=VirtualClock())
    staged = await store.stage(await as_source(MP4), seconds=60)
    assert staged.key == f"avatarkit/{SHA}.mp4"
    assert await fetch(staged.url) == MP4
    await store.aclose()
