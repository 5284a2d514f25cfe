"""HiFly's operations on avatars, voices, videos and audio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from avatarkit.artifacts import AsyncAudio, AsyncVideo
from avatarkit.client import AsyncResource
from avatarkit.errors import MediaRejected
from avatarkit.events import ProgressHook
from avatarkit.models import Avatar, Page, Snapshot, Subtitle, Voice
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.endpoint import Endpoint, Request
from avatarkit.protocol.limits import MediaRule
from avatarkit.protocol.speech import spoken_seconds
from avatarkit.providers.hifly import checks, limits
from avatarkit.providers.hifly import endpoints as ep
from avatarkit.providers.hifly.material import Material, body_fields, prepare
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.sources import Media

_FETCH_CODES = ("2013", "2014", "2016")


class AsyncHiFlyResource(AsyncResource):
    """What the groups share: checking everything, uploading, submitting."""

    async def _prepare(
        self,
        field: str,
        media: Media | None,
        url: str | None,
        file_id: str | None,
        rule: MediaRule,
        problems: list[str],
        options: CallOptions | None,
        progress: ProgressHook | None,
    ) -> Material:
        wanted = options.preflight if options is not None else None
        check = self._account.preflight if wanted is None else wanted
        return await prepare(field, media, url, file_id, rule, problems, check=check, progress=progress)

    async def _create(
        self,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        material: Material | None,
        options: CallOptions | None,
        size: float | None = None,
    ) -> AsyncTask[Any]:
        marker = str(body.get("title") or "")
        fields = await body_fields(self._account, material, options) if material is not None else {}
        request = ep.create(endpoint, {**body, **fields})
        try:
            return await self._submit(request, options, marker=marker, size=size)
        except MediaRejected as error:
            # Refused for certain. A file that the vendor no longer has is worth one fresh upload.
            if material is None or material.source is None or error.code not in _FETCH_CODES:
                raise
            self._account.uploads.forget(fields["file_id"])
        fields = await body_fields(self._account, material, options)
        return await self._submit(ep.create(endpoint, {**body, **fields}), options, marker=marker, size=size)


class AsyncHiFlyAvatars(AsyncHiFlyResource):
    """Presenters: clone them from a video or a picture, list the public ones."""

    async def create_by_video(
        self,
        video: Media | None = None,
        *,
        video_url: str | None = None,
        file_id: str | None = None,
        title: str | None = None,
        aigc_flag: int | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[Avatar]:
        """Clone an avatar from a video. The vendor's document flags no cost.

        Exactly one of *video*, *video_url* and *file_id* is given. The vendor takes one URL for one avatar: the same
        URL again gives the same avatar, whatever lies behind it.

        Args:
            video: a path, bytes or file object (uploaded by streaming, once per content), a URL, or an uploaded file.
                MP4 or MOV, H.264, at most 500 MB, 360p to 4K, 5 s to 30 min.
            video_url: an address that the vendor can fetch, at most 500 characters.
            file_id: a file that was uploaded before.
            title: at most 20 characters (stated for works only; kept here too). None sends a unique name.
            aigc_flag: 0 default marking, 1 mark, 2 suppress the "AI-generated" mark (needs the entitlement). Known from
                other clients, not from the documents; sent only when given.
            progress: called with bytes uploaded and bytes in all.

        Raises:
            InvalidRequest: the request breaks published limits; everything wrong is listed. Nothing was sent.
            UploadFailed: the file did not arrive.
            ProviderError: refused.
            SubmissionInDoubt: it may have been accepted; carries the ticket.

        Source: the vendor's Chinese document, "create video avatar".

        """
        problems: list[str] = []
        material = await self._prepare(
            "video_url", video, video_url, file_id, limits.AVATAR_VIDEO, problems, options, progress
        )
        body = without_none(
            title=checks.title_or_none(title, problems) or self._account.marker(),
            aigc_flag=checks.flag(aigc_flag, problems),
        )
        checks.settle(problems)
        return await self._create(ep.AVATAR_BY_VIDEO, body, material, options)

    async def create_by_image(
        self,
        image: Media | None = None,
        *,
        image_url: str | None = None,
        file_id: str | None = None,
        title: str | None = None,
        model: int | None = None,
        aigc_flag: int | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[Avatar]:
        """Clone an avatar from a picture. **Billed**; enterprise plans only, others are refused with 1005 or 1006.

        Exactly one of *image*, *image_url* and *file_id* is given.

        Args:
            image: a path, bytes or file object, a URL, or an uploaded file. The documents give no limits; PNG, JPEG and
                WebP are accepted here.
            image_url: an address that the vendor can fetch.
            file_id: a file that was uploaded before.
            title: at most 20 characters. None sends a unique name.
            model: 1 is "video 2.0", 2 is "video 2.1", the vendor's default.
            aigc_flag: as for :meth:`create_by_video`.
            progress: called with bytes uploaded and bytes in all.

        Raises:
            InvalidRequest: nothing was sent.
            EntitlementError, InsufficientCredits, ProviderError: refused.
            UploadFailed, SubmissionInDoubt: as for :meth:`create_by_video`.

        Source: the vendor's Chinese document, "create image avatar".

        """
        problems: list[str] = []
        material = await self._prepare(
            "image_url", image, image_url, file_id, limits.AVATAR_IMAGE, problems, options, progress
        )
        body = without_none(
            title=checks.title_or_none(title, problems) or self._account.marker(),
            # One client was seen to send 3; the documents know 1 and 2.
            model=checks.one_of("model", model, (1, 2, 3), problems),
            aigc_flag=checks.flag(aigc_flag, problems),
        )
        checks.settle(problems)
        return await self._create(ep.AVATAR_BY_IMAGE, body, material, options)

    async def task(self, task_id: str, *, options: CallOptions | None = None) -> Snapshot:
        """Look at an avatar task once. Free.

        Args:
            task_id: the vendor's id of the task.

        Raises:
            NotFound: there is no such task.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, "avatar: query task status".

        """
        return await look_once(self, ep.AVATAR_TASK, task_id, options)

    async def list(
        self, *, page: int = 1, size: int = 20, kind: int = 2, options: CallOptions | None = None
    ) -> Page[Avatar]:
        """One page of the public avatars. Free.

        Args:
            page: from 1.
            size: rows a page; the vendor's maximum is not documented, 100 is in use.
            kind: 2, public. The vendor documents nothing else and refuses 1 with code 11.

        Raises:
            InvalidRequest, ProviderError, TransportError: no page.

        Source: the vendor's Chinese document, "query public avatars". There is no total: a full page may be the last.

        """
        checks.page_numbers(page, size)
        request = Request(ep.AVATAR_LIST, ep.read_avatars(page, size), ep.page_query(page, size, int(kind)))
        return await self._account.call(request, options)

    async def iterate(
        self, *, size: int = 100, kind: int = 2, options: CallOptions | None = None
    ) -> AsyncIterator[Avatar]:
        """Every public avatar, page by page. Free.

        Args:
            size: rows asked for at once.
            kind: as for :meth:`list`.

        Raises:
            ProviderError, TransportError: a page could not be had.

        """
        page = 1
        while True:
            found = await self.list(page=page, size=size, kind=kind, options=options)
            for avatar in found.items:
                yield avatar
            if not found.more:
                return
            page += 1


class AsyncHiFlyVoices(AsyncHiFlyResource):
    """Voices: clone, tune, list."""

    async def create(
        self,
        audio: Media | None = None,
        *,
        audio_url: str | None = None,
        file_id: str | None = None,
        title: str | None = None,
        voice_type: int = 8,
        languages: str | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[Voice]:
        """Clone a voice from a recording. The vendor's document flags no cost.

        Exactly one of *audio*, *audio_url* and *file_id* is given.

        Args:
            audio: a path, bytes or file object, a URL, or an uploaded file. MP3, M4A or WAV, at most 20 MB, 5 s to
                3 min.
            audio_url: an address that the vendor can fetch.
            file_id: a file that was uploaded before.
            title: at most 20 characters; the vendor requires one, None sends a unique name.
            voice_type: 8, the only one the vendor accepts ("basic clone v2").
            languages: one tag, the vendor's default is ``zh``; others in use are ``en jp ko zh_cantonese``. Known from
                other clients, not from the documents; sent only when given.
            progress: called with bytes uploaded and bytes in all.

        Raises:
            InvalidRequest: nothing was sent.
            ModerationRefused: the voice resembles a celebrity's (1011).
            UploadFailed, ProviderError, SubmissionInDoubt: as for avatars.

        Source: the vendor's document, "create voice".

        """
        problems: list[str] = []
        material = await self._prepare(
            "audio_url", audio, audio_url, file_id, limits.VOICE_SAMPLE, problems, options, progress
        )
        if languages is not None and not languages.strip():
            problems.append("languages: it is empty")
        body = without_none(
            title=checks.title_or_none(title, problems) or self._account.marker(),
            voice_type=checks.one_of("voice_type", voice_type, (8,), problems),
            languages=languages,
        )
        checks.settle(problems)
        return await self._create(ep.VOICE_CREATE, body, material, options)

    async def edit(
        self,
        voice: str | Voice,
        *,
        rate: float | str = 1.0,
        volume: float | str = 1.0,
        pitch: float | str = 1.0,
        options: CallOptions | None = None,
    ) -> None:
        """Set rate, volume and pitch of a voice, for good. Free.

        The setting belongs to the voice, not to one job: jobs under way on the same voice see it too. All three are
        sent every time, as decimal strings, since the vendor requires them all.

        Args:
            voice: the voice or its id.
            rate: 0.5 to 2.0.
            volume: 0.1 to 2.0.
            pitch: 0.1 to 2.0.

        Raises:
            InvalidRequest: nothing was sent.
            ProviderError, TransportError: not set.

        Source: the vendor's document, "edit voice parameters".

        """
        problems: list[str] = []
        body: dict[str, Any] = {"voice": checks.identifier("voice", voice, problems)}
        rules = (
            ("rate", rate, limits.RATE),
            ("volume", volume, limits.VOLUME),
            ("pitch", pitch, limits.PITCH),
        )
        for name, value, rule in rules:
            wrong = rule.check(name, value)
            problems += wrong
            if not wrong:
                body[name] = rule.encode(value)
        checks.settle(problems)
        await self._account.call(Request(ep.VOICE_EDIT, ep.read_edited, body=body), options)

    async def task(self, task_id: str, *, options: CallOptions | None = None) -> Snapshot:
        """Look at a voice task once. Free.

        Args:
            task_id: the vendor's id of the task.

        Raises:
            NotFound: there is no such task.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, "voice: query task status".

        """
        return await look_once(self, ep.VOICE_TASK, task_id, options)

    async def list(
        self, *, page: int = 1, size: int = 20, kind: int = 1, options: CallOptions | None = None
    ) -> Page[Voice]:
        """One page of finished voices. Free.

        Args:
            page: from 1.
            size: rows a page; the vendor's maximum is not documented, 300 was seen to work.
            kind: 1 own voices, 2 public ones. (For avatars the vendor's default is 2.)

        Raises:
            InvalidRequest, ProviderError, TransportError: no page.

        Source: the vendor's document, "query voices". There is no total: a full page may be the last.

        """
        checks.page_numbers(page, size)
        request = Request(ep.VOICE_LIST, ep.read_voices(page, size), ep.page_query(page, size, int(kind)))
        return await self._account.call(request, options)

    async def iterate(
        self, *, size: int = 100, kind: int = 1, options: CallOptions | None = None
    ) -> AsyncIterator[Voice]:
        """Every voice of a kind, page by page. Free.

        Args:
            size: rows asked for at once.
            kind: as for :meth:`list`.

        Raises:
            ProviderError, TransportError: a page could not be had.

        """
        page = 1
        while True:
            found = await self.list(page=page, size=size, kind=kind, options=options)
            for voice in found.items:
                yield voice
            if not found.more:
                return
            page += 1


class AsyncHiFlyVideos(AsyncHiFlyResource):
    """Talking videos."""

    async def create_by_tts(
        self,
        *,
        avatar: str | Avatar,
        voice: str | Voice,
        text: str,
        title: str | None = None,
        subtitle: Subtitle | bool | None = None,
        pipeline: str | None = None,
        aigc_flag: int | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Have an avatar speak a text. **Billed.**

        Args:
            avatar: the avatar or its id.
            voice: the voice or its id.
            text: at most 10,000 characters, no HTML tags.
            title: at most 20 characters; None sends a unique name, by which the work can be recognised in a callback.
            subtitle: True, or how the text is to be burned in. Only this operation has subtitles.
            pipeline: the model, ``"1.5"`` in the older English document, gone from the newer one; sent only when given.
            aigc_flag: 0 default marking, 1 mark, 2 suppress the "AI-generated" mark (needs the entitlement). Known from
                other clients, not from the documents; sent only when given.
            options: what this call does differently.

        Raises:
            InvalidRequest: the request breaks published limits; everything wrong is listed. Nothing was sent.
            InsufficientCredits, NotFound, ProviderError: refused, not billed.
            SubmissionInDoubt: it may have been accepted; carries the ticket. It was not sent again.
            TooManyRunning, DeadlineExceeded: no free slot in time; nothing is running.

        Source: the vendor's document, "video, text-driven".

        """
        problems: list[str] = []
        body = without_none(
            avatar=checks.identifier("avatar", avatar, problems),
            voice=checks.identifier("voice", voice, problems),
            text=checks.spoken_text(text, problems),
            title=checks.title_or_none(title, problems) or self._account.marker(),
            pipeline=pipeline,
            aigc_flag=checks.flag(aigc_flag, problems),
            **checks.subtitle_fields(subtitle, problems),
        )
        checks.settle(problems)
        return await self._create(ep.VIDEO_BY_TTS, body, None, options, spoken_seconds(text))

    async def create_by_audio(
        self,
        audio: Media | None = None,
        *,
        avatar: str | Avatar,
        audio_url: str | None = None,
        file_id: str | None = None,
        title: str | None = None,
        pipeline: str | None = None,
        aigc_flag: int | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Have an avatar speak a recording. **Billed.**

        Exactly one of *audio*, *audio_url* and *file_id* is given. (One shipped client names the field
        ``audio_file_id``; avatarkit sends the documented ``file_id``.)

        Args:
            audio: a path, bytes or file object, a URL, or an uploaded file. MP3, M4A or WAV, at most 100 MB, 5 s to
                30 min.
            avatar: the avatar or its id.
            audio_url: an address that the vendor can fetch.
            file_id: a file that was uploaded before.
            title: at most 20 characters; None sends a unique name.
            pipeline: as for :meth:`create_by_tts`.
            aigc_flag: as for :meth:`create_by_tts`.
            progress: called with bytes uploaded and bytes in all.

        Raises:
            UploadFailed: the file did not arrive; nothing was billed.
            InvalidRequest, ProviderError, SubmissionInDoubt, DeadlineExceeded: as for :meth:`create_by_tts`.

        Source: the vendor's document, "video, audio-driven".

        """
        problems: list[str] = []
        material = await self._prepare(
            "audio_url", audio, audio_url, file_id, limits.DRIVING_AUDIO, problems, options, progress
        )
        body = without_none(
            avatar=checks.identifier("avatar", avatar, problems),
            title=checks.title_or_none(title, problems) or self._account.marker(),
            pipeline=pipeline,
            aigc_flag=checks.flag(aigc_flag, problems),
        )
        checks.settle(problems)
        return await self._create(ep.VIDEO_BY_AUDIO, body, material, options, material.seconds)

    async def create_by_image(
        self,
        image: Media | None = None,
        *,
        voice: str | Voice,
        text: str,
        file_id: str | None = None,
        model: int | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Have a picture speak a text, without making an avatar first. **Billed. Experimental.**

        Not in the vendor's documents: one project's contract describes it, marked as never tried. The picture must be
        local or uploaded, for the name of a URL field is not known.

        Args:
            image: a path, bytes or file object, or an uploaded file; PNG, JPEG or WebP.
            voice: the voice or its id.
            text: at most 10,000 characters, no HTML tags.
            file_id: a file that was uploaded before, instead of *image*.
            model: 5 is "4.0", the default; 6 is "4.0 cartoon".
            progress: called with bytes uploaded and bytes in all.

        Raises:
            InvalidRequest, UploadFailed, ProviderError, SubmissionInDoubt, DeadlineExceeded: as for
                :meth:`create_by_audio`.

        """
        problems: list[str] = []
        material = await self._prepare(
            "image_url", image, None, file_id, limits.AVATAR_IMAGE, problems, options, progress
        )
        if material.value is not None and material.value[0] == "image_url":
            problems.append("image: a URL was given, a local or uploaded file is needed")
        body = without_none(
            voice=checks.identifier("voice", voice, problems),
            text=checks.spoken_text(text, problems),
            model=checks.one_of("model", model, (5, 6), problems),
        )
        checks.settle(problems)
        fields = await body_fields(self._account, material, options)
        body["image_file_id"] = fields["file_id"]
        return await self._create(ep.VIDEO_BY_IMAGE, body, None, options, spoken_seconds(text))

    async def task(self, task_id: str, *, options: CallOptions | None = None) -> Snapshot:
        """Look at a video or audio task once. Free.

        Args:
            task_id: the vendor's id of the task.

        Raises:
            NotFound: there is no such task.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, "query creation task status".

        """
        return await look_once(self, ep.VIDEO_TASK, task_id, options)


class AsyncHiFlyAudios(AsyncHiFlyResource):
    """Speech without a picture."""

    async def create_by_tts(
        self,
        *,
        voice: str | Voice,
        text: str,
        title: str | None = None,
        aigc_flag: int | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncAudio]:
        """Speak a text. **Billed.**

        The vendor has no task endpoint for audio: the task is looked at where videos are, and the sound's URL comes in
        the field named ``video_Url``.

        Args:
            voice: the voice or its id.
            text: at most 10,000 characters, no HTML tags.
            title: at most 20 characters; None sends a unique name.
            aigc_flag: as for videos; seen with one client only, sent only when given.

        Raises:
            InvalidRequest, ProviderError, SubmissionInDoubt, DeadlineExceeded: as for videos.

        Source: the vendor's document, "audio creation".

        """
        problems: list[str] = []
        body = without_none(
            voice=checks.identifier("voice", voice, problems),
            text=checks.spoken_text(text, problems),
            title=checks.title_or_none(title, problems) or self._account.marker(),
            aigc_flag=checks.flag(aigc_flag, problems),
        )
        checks.settle(problems)
        return await self._create(ep.AUDIO_BY_TTS, body, None, options, spoken_seconds(text))


async def look_once(
    resource: AsyncResource, endpoint: Endpoint, task_id: str, options: CallOptions | None
) -> Snapshot:
    """One look at a task by its id, outside the poll hub."""
    problems: list[str] = []
    if not isinstance(task_id, str) or not task_id.strip():
        problems.append("task_id: an id is needed")
    checks.settle(problems)
    kind = endpoint.kind
    assert kind is not None
    request = ep.look(endpoint, kind)(task_id.strip())
    return await resource._account.call(request, options)  # noqa: SLF001 - a resource's own function
