"""Staging at the sandbox: what providers that take only URLs get in demos and tests, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

import avatarkit
from avatarkit.errors import ConfigurationError, UploadFailed
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.sandbox_staging import SandboxStaging
from avatarkit.transport.sources import as_source
from avatarkit.transport.staging import from_url, staged_url

MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isommp42" + bytes(range(256)) * 4000


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no staging from outside."""
    for name in ("HTTP_PROXY", "http_proxy", "AVATARKIT_STAGING"):
        monkeypatch.delenv(name, raising=False)


def with_sandbox(test: Callable[[avatarkit.AsyncSandbox], Awaitable[None]]) -> None:
    """Run *test* with a running sandbox."""

    async def main() -> None:
        async with avatarkit.AsyncSandbox(clock=VirtualClock(), render="tiny") as sandbox:
            await test(sandbox)

    run_virtual(main)
    gc.collect()


async def get(url: str) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, answer.headers.get("Content-Type", ""), await answer.read()


def test_staged_files_are_served_until_they_expire() -> None:
    """The URL serves the file with its content type, for the seconds asked for and no longer."""

    async def test(sandbox: avatarkit.AsyncSandbox) -> None:
        staging = SandboxStaging(sandbox, clock=VirtualClock())
        staged = await staging.stage(await as_source(MP4), seconds=7200)
        assert await get(staged.url) == (200, "video/mp4", MP4)
        await asyncio.sleep(7100)
        assert (await get(staged.url))[0] == 200
        await asyncio.sleep(200)
        assert (await get(staged.url))[0] == 403
        assert staged.expires_at == pytest.approx(VirtualClock().time() - 100, abs=5)

    with_sandbox(test)


def test_content_is_uploaded_once() -> None:
    """Equal content at once, later and from another staging is one upload; a discarded file is uploaded again."""

    async def test(sandbox: avatarkit.AsyncSandbox) -> None:
        staging = SandboxStaging(sandbox, clock=VirtualClock())
        source = await as_source(MP4)
        await asyncio.gather(*(staging.stage(source, seconds=60) for _ in range(5)))
        other = from_url(f"sandbox+{sandbox.url}", clock=VirtualClock())
        staged = await other.stage(await as_source(MP4), seconds=60)
        digest = hashlib.sha256(MP4).hexdigest()
        assert sandbox.seen.uploads[digest] == 1
        await staging.discard(staged)
        await staging.discard(staged)
        assert (await get(staged.url))[0] == 404
        assert (await get((await staging.stage(source, seconds=60)).url))[0] == 200
        assert sandbox.seen.uploads[digest] == 2

    with_sandbox(test)


def test_a_provider_finds_what_was_staged() -> None:
    """An avatar is cloned from the URL of a staged local file, through the client's own staging."""

    async def test(sandbox: avatarkit.AsyncSandbox) -> None:
        events: list[avatarkit.Event] = []
        async with avatarkit.AsyncHiFly(
            sandbox.token,
            base_url=sandbox.base_url("hifly"),
            clock=VirtualClock(),
            staging=SandboxStaging(sandbox, clock=VirtualClock()),
            hooks=events.append,
        ) as hifly:
            url = await staged_url(hifly._account, await as_source(MP4, name="me.mp4"), "video_url")
            task = await hifly.avatars.create_by_video(video_url=url)
            assert (await task.wait(timeout=None)).id
            moved = [event for event in events if isinstance(event, avatarkit.BytesMoved)]
            assert (moved[-1].direction, moved[-1].done, moved[-1].total) == ("up", len(MP4), len(MP4))

    with_sandbox(test)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"sha256": "0" * 64, "extension": "../x", "content_type": "a/b", "seconds": 1},
        {"sha256": "0" * 63, "extension": "mp4", "content_type": "a/b", "seconds": 1},
        {"sha256": "0" * 64, "extension": "mp4", "content_type": "a/b\r\nx: y", "seconds": 1},
        {"sha256": "0" * 64, "extension": "mp4", "content_type": "a/b", "seconds": -1},
        {"sha256": "0" * 64, "extension": "mp4", "content_type": "a/b", "seconds": [1]},
    ],
)
def test_wrong_questions_are_refused(asked: dict[str, Any]) -> None:
    """The endpoint answers 400 and makes no slot."""

    async def test(sandbox: avatarkit.AsyncSandbox) -> None:
        url = f"{sandbox.url}/__sandbox__/staging"
        async with aiohttp.ClientSession() as session, session.post(url, json=asked) as answer:
            assert answer.status == 400
        assert not any(file.provider == "staging" for file in sandbox._world.files.values())

    with_sandbox(test)


def test_discarding_spares_other_files() -> None:
    """A key of a result or an upload of a provider's deletes nothing."""

    async def test(sandbox: avatarkit.AsyncSandbox) -> None:
        async with avatarkit.AsyncHiFly(
            sandbox.token, base_url=sandbox.base_url("hifly"), clock=VirtualClock()
        ) as hifly:
            file = await hifly.files.upload(MP4, name="a.mp4")
        staging = SandboxStaging(sandbox, clock=VirtualClock())
        staged = await staging.stage(await as_source(MP4), seconds=60)
        await staging.discard(type(staged)(url="", key=file.id, expires_at=0))
        assert file.id in sandbox._world.files

    with_sandbox(test)


def test_a_sandbox_that_is_gone_is_a_failed_upload() -> None:
    """A refused connection is UploadFailed; a sandbox that never ran is a configuration error."""
    with pytest.raises(ConfigurationError):
        SandboxStaging(avatarkit.AsyncSandbox())

    async def test(sandbox: avatarkit.AsyncSandbox) -> None:
        staging = SandboxStaging(sandbox, clock=VirtualClock())
        await sandbox.aclose()
        with pytest.raises(UploadFailed):
            await staging.stage(await as_source(MP4), seconds=60)

    with_sandbox(test)
