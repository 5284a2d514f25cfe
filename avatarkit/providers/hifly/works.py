"""HiFly's videos and audio."""

from __future__ import annotations

from avatarkit.artifacts import AsyncAudio, AsyncVideo
from avatarkit.events import ProgressHook
from avatarkit.models import Avatar, Snapshot, Subtitle, Voice
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.speech import spoken_seconds
from avatarkit.providers.hifly import checks, limits
from avatarkit.providers.hifly import operations as ops
from avatarkit.providers.hifly.material import body_fields
from avatarkit.providers.hifly.resource import AsyncHiFlyResource, look_once
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.sources import Media


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
        return await self._create(ops.VIDEO_BY_TTS, body, None, options, spoken_seconds(text))

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
        return await self._create(ops.VIDEO_BY_AUDIO, body, material, options, material.seconds)

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
        return await self._create(ops.VIDEO_BY_IMAGE, body, None, options, spoken_seconds(text))

    async def task(self, task_id: str, *, options: CallOptions | None = None) -> Snapshot:
        """Look at a video or audio task once. Free.

        Args:
            task_id: the vendor's id of the task.

        Raises:
            NotFound: there is no such task.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, "query creation task status".

        """
        return await look_once(self, ops.VIDEO_TASK, task_id, options)


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
        return await self._create(ops.AUDIO_BY_TTS, body, None, options, spoken_seconds(text))
