"""Never run: mypy checks here that both faces have the types users see."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import avatarkit


async def async_side() -> None:
    """The async face."""
    async with avatarkit.AsyncHiFly(token="x", timeouts=avatarkit.Timeouts(request=5)) as hifly:
        task = await hifly.videos.create_by_tts(
            avatar="a", voice="v", text="t", subtitle=avatarkit.Subtitle()
        )
        assert_type(task, avatarkit.AsyncTask[avatarkit.AsyncVideo])
        video = await task.wait(timeout=1)
        assert_type(video, avatarkit.AsyncVideo)
        assert_type(await video.save("x.mp4"), avatarkit.Downloaded)
        assert_type((await video.save("s3://bucket/x.mp4")).location, str)
        assert_type(task.updates(), AsyncIterator[avatarkit.TaskUpdate])
        assert_type(await hifly.account.credit(), avatarkit.Credit)
        assert_type(await (await hifly.avatars.create_by_video("a.mp4")).wait(), avatarkit.Avatar)
        assert_type(await hifly.avatars.list(), avatarkit.Page[avatarkit.Avatar])
        async for voice in hifly.voices.iterate(kind=2):
            assert_type(voice, avatarkit.Voice)


def blocking_side() -> None:
    """The blocking face."""
    with avatarkit.HiFly(token="x", timeouts=avatarkit.Timeouts(request=5)) as hifly:
        task = hifly.videos.create_by_tts(avatar="a", voice="v", text="t", subtitle=True)
        assert_type(task, avatarkit.Task[avatarkit.Video])
        video = task.wait(timeout=1)
        assert_type(video, avatarkit.Video)
        assert_type(video.save("x.mp4"), avatarkit.Downloaded)
        assert_type(video.save("s3://bucket/x.mp4").location, str)
        assert_type(task.updates(), Iterator[avatarkit.TaskUpdate])
        assert_type(hifly.account.credit(), avatarkit.Credit)
        assert_type(hifly.avatars.create_by_video("a.mp4").wait(), avatarkit.Avatar)
        assert_type(hifly.avatars.list(), avatarkit.Page[avatarkit.Avatar])
        for voice in hifly.voices.iterate(kind=2):
            assert_type(voice, avatarkit.Voice)


class Gate:
    """A gate of somebody's own."""

    async def open(self, ticket: avatarkit.Ticket) -> float | None:
        """Let everything out within a minute."""
        return 60.0

    async def settled(
        self,
        ticket: avatarkit.Ticket,
        outcome: str,
        *,
        task_id: str,
        token: str,
        error: avatarkit.AvatarKitError | None,
    ) -> None:
        """Take no note."""


REQUEST = avatarkit.VideoRequest(
    avatar="a", voice="v", text="t", subtitles=avatarkit.Subtitle(), options={"kling": {"watermark": False}}
)
GATE: avatarkit.SubmissionGate = Gate()
OPTIONS = avatarkit.CallOptions(timeout=60, gate=GATE)


async def async_requests() -> None:
    """One request for all vendors, one account or several, one video or many: the async face."""
    async with avatarkit.AsyncHiFly(token="x") as hifly, avatarkit.AsyncKling(api_key="x") as kling:
        assert_type(hifly.capabilities, avatarkit.Capabilities)
        assert_type(hifly.capabilities.can(REQUEST), bool)
        assert_type(hifly.capabilities.lacks(REQUEST), list[str])
        task = await hifly.generate(REQUEST, options=OPTIONS)
        assert_type(task, avatarkit.AsyncTask[avatarkit.AsyncVideo])
        assert_type(await task.wait(), avatarkit.AsyncVideo)
        async with avatarkit.AsyncPool([hifly, kling], close_clients=False) as pool:
            assert_type(pool.capabilities, tuple[avatarkit.Capabilities, ...])
            pooled = await pool.generate(REQUEST, only={"hifly"}, options=OPTIONS)
            assert_type(pooled, avatarkit.AsyncTask[avatarkit.AsyncVideo])
        jobs = [("k1", REQUEST)]
        outcomes = hifly.bulk(jobs, journal="run.db", out="videos", budget=100)
        assert_type(outcomes, AsyncIterator[avatarkit.JobOutcome])
        async for outcome in outcomes:
            assert_type(outcome.ok, bool)
            assert_type(outcome.file, str)
            assert_type(outcome.cost, float | None)


def blocking_requests() -> None:
    """The same, blocking."""
    with avatarkit.HiFly(token="x") as hifly, avatarkit.Kling(api_key="x") as kling:
        assert_type(hifly.capabilities, avatarkit.Capabilities)
        task = hifly.generate(REQUEST, options=OPTIONS)
        assert_type(task, avatarkit.Task[avatarkit.Video])
        assert_type(task.wait(), avatarkit.Video)
        with avatarkit.Pool([hifly, kling], close_clients=False) as pool:
            assert_type(pool.capabilities, tuple[avatarkit.Capabilities, ...])
            assert_type(pool.generate(REQUEST, only="kling"), avatarkit.Task[avatarkit.Video])
        outcomes = hifly.bulk("jobs.csv", journal="run.db")
        assert_type(outcomes, Iterator[avatarkit.JobOutcome])
        for outcome in outcomes:
            assert_type(outcome.seconds, float | None)
