"""YunApi's videos made over (视频二创)."""

from __future__ import annotations

from typing import Any

from avatarkit.artifacts import AsyncVideo
from avatarkit.events import ProgressHook
from avatarkit.models import Snapshot
from avatarkit.providers.yunapi import checks, limits
from avatarkit.providers.yunapi import endpoints as ep
from avatarkit.providers.yunapi.refs import REMAKE
from avatarkit.providers.yunapi.resources import AsyncYunApiResource
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.sources import Media


class AsyncYunApiRemakes(AsyncYunApiResource):
    """Videos made over: new subtitles and floating texts on somebody's video (视频二创)."""

    async def create(
        self,
        video: Media,
        *,
        text: str,
        floating_text: list[str] | tuple[str, ...] | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Make a video over. **Billed**, as far as is known.

        Args:
            video: the video: its address, or local material.
            text: the subtitles (``text_content``).
            floating_text: texts that float over the picture (``custom_floating_text``); what stands in ``{}`` is
                highlighted.

        Raises:
            InvalidRequest, ProviderError, SubmissionInDoubt: as for videos.

        Source: the vendor's document, 视频二创 / 创建视频生成任务. The result's URL lives for about a quarter of an
        hour: save it at once. Saving later asks the task for a fresh one.

        """
        problems: list[str] = []
        if floating_text is not None and not isinstance(floating_text, list | tuple):
            problems.append(f"floating_text: {type(floating_text).__name__} found, a list of texts allowed")
            floating_text = None
        texts = [checks.words("floating_text", one, problems) for one in floating_text or ()]
        clip = await self._material("video", video, limits.MATERIAL, problems, options, progress)
        content = checks.words("text", text, problems)
        checks.settle(problems)
        body: dict[str, Any] = {"video_url": await self._url(clip), "text_content": content}
        if floating_text is not None:
            body["custom_floating_text"] = texts
        return await self._submit(ep.create_remake(body), options, marker="", size=None)

    async def get(self, task_id: str, *, options: CallOptions | None = None) -> Snapshot:
        """Look at a remake once, for its state and a freshly signed URL. Free.

        Args:
            task_id: ``remake:854269f4-…``, or the vendor's own id.

        Raises:
            InvalidRequest: nothing was sent.
            NotFound: there is no such task.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, 视频二创 / 查询视频任务状态.

        """
        return await self._look(checks.task_ref(task_id, REMAKE, None), options)
