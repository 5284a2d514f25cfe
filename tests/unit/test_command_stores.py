"""``-o s3://…``: what the command line makes goes into an object store."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import attrs
import pytest
from staging_s3 import KEY, S3, SECRET, s3_server

from avatarkit import AsyncSandbox, cli


@attrs.frozen
class Place:
    """A sandbox and an object store on a thread of their own."""

    sandbox: AsyncSandbox
    s3: S3

    def url(self, key: str) -> str:
        """Where *key* is."""
        return f"s3://bucket/{key}?endpoint={self.s3.url}&region=us-east-1"

    def speak(self, *more: str) -> list[str]:
        """A ``generate`` that the sandbox accepts."""
        world = self.sandbox._world
        avatar, voice = (world.public_assets("hifly", kind)[0].id for kind in ("avatar", "voice"))
        return ["generate", "--avatar", avatar, "--voice", voice, "--text", "Hi", "--title", "film", *more]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Both, and an environment that leads to them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(20)

    stack = AsyncExitStack()
    sandbox = do(stack.enter_async_context(AsyncSandbox(render="tiny", queue_seconds=0, run_seconds=0)))
    s3 = do(stack.enter_async_context(s3_server()))
    for name in ("HTTP_PROXY", "http_proxy", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("HIFLY_TOKEN", sandbox.token)
    monkeypatch.setenv("HIFLY_BASE_URL", sandbox.base_url("hifly"))
    yield Place(sandbox, s3)
    do(stack.aclose())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)
    loop.close()


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command; its code, and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = int(cli.main(arguments))
        out, err = capsys.readouterr()
        assert SECRET not in out + err
        return code, out, err

    return run


def test_an_object_and_a_folder(place: Place, run: Callable[..., tuple[int, str, str]]) -> None:
    """A key, or a prefix in which the object is named after the title; what is printed is where it lies."""
    code, out, err = run(*place.speak("-o", place.url("out/a.mp4")))
    assert (code, out) == (0, "s3://bucket/out/a.mp4\n"), err
    code, out, err = run(*place.speak("-o", place.url("out/")))
    assert (code, out) == (0, "s3://bucket/out/film.mp4\n"), err
    found = re.search(r"avk1\.[\w-]+", err)
    assert found
    code, out, err = run("task", "wait", found[0], "-o", place.url("b.mp4"))
    assert (code, out) == (0, "s3://bucket/b.mp4\n"), err
    code, out, err = run("task", "download", found[0], "-o", place.url("c.mp4"))
    assert (code, out) == (0, "s3://bucket/c.mp4\n"), err
    assert sorted(len(data) for data in place.s3.objects.values()) == [4096] * 4


def test_what_is_there_stays(place: Place, run: Callable[..., tuple[int, str, str]]) -> None:
    """An object that exists stops the command before anything is sent; --force replaces it."""
    assert run(*place.speak("-o", place.url("a.mp4")))[0] == 0
    before = place.sandbox.seen.requests.total()
    code, _, err = run(*place.speak("-o", place.url("a.mp4")))
    assert code == 2
    assert "s3://bucket/a.mp4 exists; --force" in err
    assert place.sandbox.seen.requests.total() == before
    assert run(*place.speak("-o", place.url("a.mp4"), "--force"))[0] == 0


def test_a_store_that_refuses_is_found_before_paying(
    place: Place, run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that the store does not take: nothing is sent to the provider."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAWRONG")
    for key in ("a.mp4", "folder/"):
        code, _, err = run(*place.speak("-o", place.url(key)))
        assert code == 2, err
        assert "output:" in err
    assert not place.sandbox.seen.requests
