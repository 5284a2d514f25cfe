"""``avatarkit demo --bulk``: a whole run on a sandbox that outlives its process."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from commandline import Program, Ran, checked

from avatarkit.bulk.sqlite_file import FileLock
from avatarkit.sandbox.kept import KeptSandbox

Run = Callable[..., Ran]
Launch = Callable[..., Program]


def tasks(out: Path) -> list[dict[str, Any]]:
    """What the demo's sandbox has accepted so far."""
    try:
        found: list[dict[str, Any]] = orjson.loads((out / ".sandbox" / "world.json").read_bytes())["tasks"]
    except FileNotFoundError:
        return []
    return found


def check_whole(out: Path, count: int) -> None:
    """Every video is there, and each was accepted exactly once."""
    kinds = [task["kind"] for task in tasks(out)]
    assert (kinds.count("avatar"), kinds.count("video")) == (1, count)
    videos = sorted((out / "videos").glob("*.mp4"))
    assert len(videos) == count
    assert all(b"ftyp" in path.read_bytes()[:16] for path in videos)
    assert (out / "report.html").stat().st_size > 10_000


def test_the_whole(run: Run, tmp_path: Path) -> None:
    """One command makes the videos and a report; the same command again has nothing left to do."""
    out = tmp_path / "out"
    ran = run("demo", "--bulk", "3", "--out", str(out))
    assert ran.code == 0, ran.err
    assert f"3 of 3 videos are in {out / 'videos'}" in ran.out
    assert f"report: {out / 'report.html'}" in ran.out
    check_whole(out, 3)
    assert run("demo", "--bulk", "3", "--out", str(out)).code == 0
    check_whole(out, 3)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_interrupted(launch: Launch, run: Run, tmp_path: Path, number: int, code: int) -> None:
    """Stopped in the middle, also by ``kill -9``, it leaves nothing running, and goes on with the same tasks.

    Eight submissions at most may be in the air when it is killed. HiFly cannot be asked about those, so they are held.
    """
    out = tmp_path / "out"
    program = launch("demo", "--bulk", "12", "--out", str(out))
    deadline = time.monotonic() + 60
    while len(tasks(out)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    program.stop(number)
    ran = checked(program.end())
    assert ran.code == code
    if number == signal.SIGINT:
        assert f"Go on with: avatarkit demo --bulk 12 --out {out}" in ran.err
    before = [task["id"] for task in tasks(out)]
    again = run("demo", "--bulk", "12", "--out", str(out))
    after = [task["id"] for task in tasks(out)]
    assert after[: len(before)] == before
    assert len(set(after)) == len(after) <= 13
    if number == signal.SIGINT:
        assert again.code == 0, again.err
        check_whole(out, 12)
    assert again.code in (0, 9)


def test_one_at_a_time(run: Run, tmp_path: Path) -> None:
    """A second demo in the same folder is refused, since two sandboxes would forget each other's tasks."""
    out = tmp_path / "out"
    (out / ".sandbox").mkdir(parents=True)
    lock = FileLock(out / ".sandbox" / "world")
    try:
        ran = run("demo", "--bulk", "2", "--out", str(out))
    finally:
        lock.release()
    assert ran.code == 2
    assert "another demo is running" in ran.err


def test_other_providers(run: Run, tmp_path: Path) -> None:
    """The bulk demo is HiFly's; for another provider it says so."""
    ran = run("demo", "--bulk", "2", "--provider", "kling", "--out", str(tmp_path))
    assert ran.code == 2
    assert "hifly allowed with --bulk" in ran.err


@pytest.mark.asyncio
async def test_kept_sandbox_goes_on(tmp_path: Path) -> None:
    """What a kept sandbox hands out after a restart is new, and its account is as it was."""
    from avatarkit import AsyncHiFly

    async def video(sandbox: KeptSandbox) -> str:
        async with AsyncHiFly(sandbox.token, base_url=sandbox.base_url()) as hifly:
            avatar, voice = sandbox.stock("avatar")[0], sandbox.stock("voice")[0]
            task = await hifly.videos.create_by_tts(avatar=avatar, voice=voice, text="Hello")
            await task.refresh()
            return task.to_token()

    first = KeptSandbox(tmp_path, render="tiny", credits=500.0)
    async with first:
        token = await video(first)
        left = first.credits()
    second = KeptSandbox(tmp_path, render="tiny", credits=500.0, queue_seconds=0.0, run_seconds=0.0)
    async with second:
        assert second.credits() == left < 500.0
        second.finish()
        async with AsyncHiFly(second.token, base_url=second.base_url()) as hifly:
            made = await hifly.task(token).wait(5.0)
            saved = await made.save(tmp_path / "film.mp4")
            assert saved.size > 0
        assert await video(second) != token
        assert len(second.tasks()) == 2
