"""YunApi's operations on videos and presenters, with tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avatarkit.artifacts import AsyncVideo
from avatarkit.client import AsyncResource
from avatarkit.events import ProgressHook
from avatarkit.models import Avatar, Kind, Snapshot
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.endpoint import Endpoint
from avatarkit.protocol.limits import MediaRule
from avatarkit.protocol.speech import spoken_seconds
from avatarkit.providers.yunapi import checks, limits
from avatarkit.providers.yunapi import endpoints as ep
from avatarkit.providers.yunapi import operations as op
from avatarkit.providers.yunapi.models import CreateVoice, UseVoice
from avatarkit.providers.yunapi.refs import FAST, MODEL, V2, Ref
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.material import UrlMaterial, prepare_url, url_for
from avatarkit.transport.sources import Media


class AsyncYunApiResource(AsyncResource):
    """What the groups share."""

    async def _act(
        self,
        endpoint: Endpoint,
        fields: Mapping[str, str | None],
        options: CallOptions | None,
        *,
        marker: str = "",
        size: float | None = None,
    ) -> AsyncTask[Any]:
        return await self._submit(ep.submit_form(endpoint, fields), options, marker=marker, size=size)

    async def _material(
        self,
        field: str,
        media: Media | None,
        rule: MediaRule,
        problems: list[str],
        options: CallOptions | None,
        progress: ProgressHook | None = None,
    ) -> UrlMaterial:
        """Look at material that the vendor will fetch; sends nothing."""
        return await prepare_url(
            self._account, media, None, rule, f"{field}_url", problems, options=options, progress=progress
        )

    async def _url(self, material: UrlMaterial) -> str:
        """Where the vendor fetches *material*: the URL given, or that of the staged file."""
        return await url_for(self._account, material)

    async def _look(self, ref: Ref, options: CallOptions | None) -> Snapshot:
        return await self._account.call(ep.look_at(ref), options)


class AsyncYunApiVideos(AsyncYunApiResource):
    """Talking videos: standard works, the V2 API, and the fast API with trained models."""

    async def create(
        self,
        avatar: Media,
        *,
        audio: Media | None = None,
        create_voice: CreateVoice | None = None,
        use_voice: UseVoice | None = None,
        no_watermark: bool | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Have a picture or a video of a person speak (a standard work). **Billed**, as far as is known.

        Exactly one of *audio*, *create_voice* and *use_voice* is given. The vendor takes URLs only and has no upload:
        local material (a path, bytes, a file object) goes through the client's staging.

        Args:
            avatar: a picture or video with a face to be seen, at most 100 MB: its address, or local material.
            audio: the speech, at most 100 MB: its address, or local material.
            create_voice: clone a voice from a recording of at least 20 s, and speak a text with it.
            use_voice: speak a text with a voice that the vendor has.
            no_watermark: True asks for a video without watermark. In the vendor's example only, not in its table of
                fields, so whether it is honoured is not known. A task made so prefers the clean URL.
            progress: called with bytes staged and bytes in all.
            options: what this call does differently.

        Raises:
            InvalidRequest: the request breaks published limits. Nothing was sent.
            UnsupportedOperation: material is local and the client has no staging. Nothing was sent.
            UploadFailed: local material did not arrive at the staging. Nothing was sent.
            InsufficientCredits, AuthenticationError, ProviderError: refused.
            SubmissionInDoubt: it may have been accepted; carries the ticket. It was not sent again, and YunApi offers
                nothing to find it by.

        Source: the vendor's document, 标准版数字人合成 / 生成数字人视频. Answers with ``code`` 0, 200 and ``"success"``
        and the id at ``data.id`` or ``data`` are all taken.

        """
        problems: list[str] = []
        face = await self._material("avatar", avatar, limits.AVATAR, problems, options, progress)
        sound: UrlMaterial | None = None
        if audio is not None:
            sound = await self._material("audio", audio, limits.SPEECH, problems, options, progress)
        elif isinstance(create_voice, CreateVoice):
            sample = create_voice.audio
            sound = await self._material("create_voice.audio", sample, limits.VOICE_SAMPLE, problems, options)
        body = checks.voice_part(audio, create_voice, use_voice, problems)
        clean = checks.truth("no_watermark", no_watermark, problems)
        checks.settle(problems)
        voice = create_voice or use_voice
        size = spoken_seconds(voice.text) if voice is not None else sound and sound.seconds
        if sound is not None:
            body.get("create_voice", body)["audio_url"] = await self._url(sound)
        body = {"avatar_url": await self._url(face), **body, **without_none(no_watermark=clean)}
        return await self._submit(ep.create_work(body), options, marker="", size=size or None)

    async def task(self, task_id: str, *, options: CallOptions | None = None) -> Snapshot:
        """Look at a video task once, whichever operation made it. Free.

        Args:
            task_id: the id of a handle, such as ``v2:1:32``; a bare id is that of a standard work.

        Raises:
            NotFound: there is no such task.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, 标准版数字人合成 / 获取任务详情; the twins' form with ``status`` words and
        ``progress`` is read as well.

        """
        problems: list[str] = []
        checks.words("task_id", task_id, problems)
        checks.settle(problems)
        return await self._account.call(ep.look(Kind.VIDEO)(task_id.strip()), options)

    async def create_v2(
        self,
        video: Media,
        *,
        audio: Media,
        line_type: str | int | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Have the person in a video speak a recording, without training (V2). **Billed**, as far as is known.

        Args:
            video: the video: its address, or local material.
            audio: the speech: its address, or local material.
            line_type: 1 the fast line, 0 the ordinary one; None leaves it to the vendor, whose default is not
                documented. It is kept in the task's id and sent again with every look.

        Raises:
            InvalidRequest, ProviderError, SubmissionInDoubt: as for :meth:`create`.

        Source: the vendor's document, 高质量视频合成 / 创建V2视频任务.

        """
        problems: list[str] = []
        sound = await self._material("audio", audio, limits.MATERIAL, problems, options, progress)
        face = await self._material("video", video, limits.MATERIAL, problems, options, progress)
        line = checks.line(line_type, problems)
        checks.settle(problems)
        urls = {"audio_url": await self._url(sound), "video_url": await self._url(face)}
        return await self._act(op.V2_CREATE, {**urls, "line_type": line}, options, size=sound.seconds)

    async def check_v2(
        self, task_id: str, *, line_type: str | int | None = None, options: CallOptions | None = None
    ) -> Snapshot:
        """Look at a V2 task once. Free.

        Args:
            task_id: ``v2:1:32``, or the vendor's own ``32``.
            line_type: the line it was made on, for a bare id.

        Raises:
            InvalidRequest: nothing was sent.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, 高质量视频合成 / 查询V2合成进度.

        """
        return await self._look(checks.task_ref(task_id, V2, line_type), options)

    async def create_fast(
        self,
        avatar: str | Avatar,
        *,
        audio: Media,
        line_type: str | int | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Have a trained model speak a recording (fast API). **Billed**, as far as is known.

        Args:
            avatar: a model that :meth:`AsyncYunApiAvatars.create_fast` trained, or its id: ``model:1:28``, which knows
                its line, or the vendor's own ``28``.
            audio: the speech: its address, or local material.
            line_type: as for :meth:`create_v2`; must be the line that the model was trained on.

        Raises:
            InvalidRequest, ProviderError, SubmissionInDoubt: as for :meth:`create`.

        Source: the vendor's document, 高速视频合成接口 / 创建高速视频任务.

        """
        problems: list[str] = []
        model, line = checks.ref("avatar", avatar, MODEL, line_type, problems)
        sound = await self._material("audio", audio, limits.MATERIAL, problems, options, progress)
        checks.settle(problems)
        fields = {"model_id": model, "audio_url": await self._url(sound), "line_type": line}
        return await self._act(op.FAST_CREATE, fields, options, size=sound.seconds)

    async def check_fast(
        self, task_id: str, *, line_type: str | int | None = None, options: CallOptions | None = None
    ) -> Snapshot:
        """Look at a fast task once. Free.

        Args:
            task_id: ``fast:1:32``, or the vendor's own ``32``.
            line_type: the line it was made on, for a bare id.

        Raises:
            InvalidRequest: nothing was sent.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, 高速视频合成接口 / 查询pro视频进度.

        """
        return await self._look(checks.task_ref(task_id, FAST, line_type), options)


class AsyncYunApiAvatars(AsyncYunApiResource):
    """Presenters of the fast API: models trained from a video."""

    async def create_fast(
        self,
        video: Media,
        *,
        model_name: str | None = None,
        line_type: str | int | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[Avatar]:
        """Train a model from a video. **Billed**, as far as is known.

        The task yields an :class:`Avatar` whose id, such as ``model:1:28``, carries the line it was trained on.

        Args:
            video: the clip, 30 s to 300 s, at most 1 GB: its address, or local material, which is checked.
            model_name: None sends a unique name, since the vendor requires one.
            line_type: 1 the fast line, 0 the ordinary one; None leaves it to the vendor.

        Raises:
            InvalidRequest, ProviderError, SubmissionInDoubt: as for videos.

        Source: the vendor's document, 高速视频合成接口 / 创建并训练形象模特.

        """
        problems: list[str] = []
        name = (
            self._account.marker() if model_name is None else checks.words("model_name", model_name, problems)
        )
        clip = await self._material("video", video, limits.TRAINING_CLIP, problems, options, progress)
        line = checks.line(line_type, problems)
        checks.settle(problems)
        fields = {"model_name": name, "video_url": await self._url(clip), "line_type": line}
        return await self._act(op.MODEL_CREATE, fields, options, marker=name)

    async def check_fast(
        self,
        model_id: str | Avatar,
        *,
        line_type: str | int | None = None,
        options: CallOptions | None = None,
    ) -> Snapshot:
        """Look at a model's training once. Free.

        Args:
            model_id: ``model:1:28``, or the vendor's own ``28``: this check goes by the model, there is no task id.
            line_type: the line it is trained on, for a bare id.

        Raises:
            InvalidRequest: nothing was sent.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, 高速视频合成接口 / 查询模特训练进度.

        """
        problems: list[str] = []
        own, line = checks.ref("model_id", model_id, MODEL, line_type, problems)
        checks.settle(problems)
        return await self._look(Ref(MODEL, own, line or ""), options)
