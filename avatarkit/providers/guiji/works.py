"""Guiji's operations on videos and speech."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from avatarkit.artifacts import AsyncAudio, AsyncVideo
from avatarkit.events import ProgressHook
from avatarkit.models import Avatar, Page, Voice
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.speech import spoken_seconds
from avatarkit.providers.guiji import checks, limits
from avatarkit.providers.guiji import endpoints as ep
from avatarkit.providers.guiji import operations as ops
from avatarkit.providers.guiji.models import AudioWork, AvatarClone, VideoWork, VoiceClone
from avatarkit.providers.guiji.resource import AsyncGuijiResource, walk
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.material import prepare_url, url_for
from avatarkit.transport.sources import Media


class AsyncGuijiVideos(AsyncGuijiResource):
    """Talking videos. The vendor deletes them 24 hours after they are done: save them at once."""

    async def create(
        self,
        audio: Media | None = None,
        *,
        avatar: str | int | Avatar | AvatarClone,
        text: str | None = None,
        voice: str | Voice | VoiceClone | None = None,
        audio_url: str | None = None,
        title: str | None = None,
        pn: int | None = None,
        callback_url: str | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Have an avatar speak a recording, or a text with a voice. **Billed** by length, in milliseconds.

        Exactly one of *audio*, *audio_url* and *text* is given; the vendor would ignore the text beside a recording.
        The work is deleted at the vendor 24 hours after it is done (``limits.RESULT_SECONDS``).

        Args:
            audio: a recording: a URL, or a path, bytes or file object where a staging is configured.
            avatar: the avatar or its ``sceneId``, public or own; ids may be negative.
            text: what is to be said; no maximum is published.
            voice: who says it; needed with *text*, and only then.
            audio_url: the recording's address, instead of *audio*.
            title: the video's name; None sends a unique one, by which a lost submission can be found again.
            pn: how the avatar's footage is looped: 0 forward, 1 in reverse.
            callback_url: where the vendor reports the end of this task.
            progress: called with bytes uploaded and bytes in all.

        Raises:
            InvalidRequest: something is missing or wrong; everything is listed. Nothing was sent.
            UnsupportedOperation: a local file, and no staging.
            InsufficientCredits, MediaRejected, NotFound, ProviderError: refused, not billed.
            SubmissionInDoubt: it may have been accepted (also when the vendor answers 40001); carries the ticket.
            TooManyRunning, DeadlineExceeded: no free slot in time; nothing is running.

        Source: the vendor's document, 5.1. ``sceneId`` is sent as text, as this one table has it.

        """
        problems: list[str] = []
        recording = await prepare_url(
            self._account,
            audio,
            audio_url,
            limits.DRIVING_AUDIO,
            "audio_url",
            problems,
            options=options,
            progress=progress,
            required=False,
        )
        if (text is None) == (audio is None and audio_url is None):
            found = "neither" if text is None else "both"
            problems.append(f"audio, text: {found} given, exactly one of them allowed")
        if text is None and voice is not None:
            problems.append("voice: given without a text to speak")
        marker = checks.title_or_none(title, problems) or self._account.marker()
        body = without_none(
            videoName=marker,
            sceneId=checks.avatar_id(avatar, problems),
            text=None if text is None else checks.text("text", text, problems),
            speakerId=None if text is None else checks.voice_id(voice or "", problems),
            pn=checks.one_of("pn", pn, (0, 1), problems),
            callbackUrl=checks.web_address("callback_url", callback_url, problems),
        )
        checks.settle(problems)
        if recording.given:
            body["audioUrl"] = await url_for(self._account, recording)
        size = recording.seconds if text is None else spoken_seconds(text)
        return await self._submit(ep.create(ops.VIDEO_CREATE, body), options, marker=marker, size=size)

    async def list(
        self, *, page: int = 1, size: int = 20, options: CallOptions | None = None
    ) -> Page[VideoWork]:
        """One page of the account's videos, in every status. Free.

        Args:
            page: from 1.
            size: rows a page; no maximum is published, 100 is in use.

        Raises:
            InvalidRequest, ProviderError, TransportError: no page.

        Source: the vendor's document, 5.3. The order is not documented; the newest are expected first.

        """
        return await self._page(ops.VIDEO_LIST, page, size, options)

    async def iterate(
        self, *, size: int = 100, options: CallOptions | None = None
    ) -> AsyncIterator[VideoWork]:
        """Every video of the account, page by page, none twice. Free.

        Args:
            size: rows asked for at once.

        Raises:
            InvalidRequest, ProviderError, TransportError: a page could not be had.

        """
        async with aclosing(walk(lambda page: self.list(page=page, size=size, options=options))) as rows:
            async for row in rows:
                yield row

    async def get(self, video_id: str | int | VideoWork, *, options: CallOptions | None = None) -> VideoWork:
        """One video, by its id (a task's id). Free. ``srt_url`` has its subtitles.

        Raises:
            NotFound: there is no such video, or it was deleted, 24 hours after it was done.
            InvalidRequest, ProviderError, TransportError: no answer.

        Source: the vendor's document, 5.4.

        """
        found: VideoWork = await self._get(ops.VIDEO_GET, "video_id", video_id, options)
        return found


class AsyncGuijiAudios(AsyncGuijiResource):
    """Speech without a picture. The vendor deletes it 24 hours after it is done."""

    async def create(
        self,
        *,
        voice: str | Voice | VoiceClone,
        text: str,
        callback_url: str | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncAudio]:
        """Speak a text. **Billed** by characters.

        The vendor keeps no name of it: a submission whose answer is lost cannot be found again.

        Args:
            voice: the voice or its id.
            text: what is to be said (the vendor's ``content``); no maximum is published.
            callback_url: where the vendor reports the end of this task.

        Raises:
            InvalidRequest, InsufficientCredits, NotFound, ProviderError, SubmissionInDoubt: as for videos.

        Source: the vendor's document, 6.1.

        """
        problems: list[str] = []
        body = without_none(
            speakerId=checks.voice_id(voice, problems),
            content=checks.text("text", text, problems),
            callbackUrl=checks.web_address("callback_url", callback_url, problems),
        )
        checks.settle(problems)
        request = ep.create(ops.AUDIO_CREATE, body)
        return await self._submit(request, options, marker="", size=spoken_seconds(text))

    async def list(
        self, *, page: int = 1, size: int = 20, options: CallOptions | None = None
    ) -> Page[AudioWork]:
        """One page of the account's speech, in every status. Free.

        Args:
            page: from 1.
            size: rows a page; no maximum is published, 100 stands in the vendor's sample.

        Raises:
            InvalidRequest, ProviderError, TransportError: no page.

        Source: the vendor's document, 6.3; its sample has the newest first.

        """
        return await self._page(ops.AUDIO_LIST, page, size, options)

    async def iterate(
        self, *, size: int = 100, options: CallOptions | None = None
    ) -> AsyncIterator[AudioWork]:
        """All speech of the account, page by page, none twice. Free.

        Args:
            size: rows asked for at once.

        Raises:
            InvalidRequest, ProviderError, TransportError: a page could not be had.

        """
        async with aclosing(walk(lambda page: self.list(page=page, size=size, options=options))) as rows:
            async for row in rows:
                yield row

    async def get(self, audio_id: str | int | AudioWork, *, options: CallOptions | None = None) -> AudioWork:
        """One sound, by its id (a task's id). Free. ``srt_url`` has its subtitles.

        Raises:
            NotFound: there is no such sound, or it was deleted, 24 hours after it was done.
            InvalidRequest, ProviderError, TransportError: no answer.

        Source: the vendor's document, 6.4.

        """
        found: AudioWork = await self._get(ops.AUDIO_GET, "audio_id", audio_id, options)
        return found
