"""HiFly's avatars and voices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from avatarkit.events import ProgressHook
from avatarkit.models import Avatar, Page, Snapshot, Voice
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.endpoint import Request
from avatarkit.providers.hifly import checks, limits, reading
from avatarkit.providers.hifly import endpoints as ep
from avatarkit.providers.hifly import operations as ops
from avatarkit.providers.hifly.resource import AsyncHiFlyResource, look_once
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.sources import Media


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
        return await self._create(ops.AVATAR_BY_VIDEO, body, material, options)

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
        return await self._create(ops.AVATAR_BY_IMAGE, body, material, options)

    async def task(self, task_id: str, *, options: CallOptions | None = None) -> Snapshot:
        """Look at an avatar task once. Free.

        Args:
            task_id: the vendor's id of the task.

        Raises:
            NotFound: there is no such task.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, "avatar: query task status".

        """
        return await look_once(self, ops.AVATAR_TASK, task_id, options)

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
        checks.page_numbers(page, size, kind)
        request = Request(ops.AVATAR_LIST, reading.read_avatars(page, size), ep.page_query(page, size, kind))
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
        return await self._create(ops.VOICE_CREATE, body, material, options)

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
        await self._account.call(Request(ops.VOICE_EDIT, reading.read_edited, body=body), options)

    async def task(self, task_id: str, *, options: CallOptions | None = None) -> Snapshot:
        """Look at a voice task once. Free.

        Args:
            task_id: the vendor's id of the task.

        Raises:
            NotFound: there is no such task.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, "voice: query task status".

        """
        return await look_once(self, ops.VOICE_TASK, task_id, options)

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
        checks.page_numbers(page, size, kind)
        request = Request(ops.VOICE_LIST, reading.read_voices(page, size), ep.page_query(page, size, kind))
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
