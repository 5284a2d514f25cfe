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
        assert_type(task.updates(), Iterator[avatarkit.TaskUpdate])
        assert_type(hifly.account.credit(), avatarkit.Credit)
        assert_type(hifly.avatars.create_by_video("a.mp4").wait(), avatarkit.Avatar)
        assert_type(hifly.avatars.list(), avatarkit.Page[avatarkit.Avatar])
        for voice in hifly.voices.iterate(kind=2):
            assert_type(voice, avatarkit.Voice)
