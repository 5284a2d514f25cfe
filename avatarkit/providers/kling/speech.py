"""Kling's speech, and lip-sync of its own videos."""

from __future__ import annotations

from typing import Any

from avatarkit.artifacts import AsyncVideo
from avatarkit.models import Kind, Page
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.endpoint import Request
from avatarkit.providers.kling import checks, limits, reading
from avatarkit.providers.kling import endpoints as ep
from avatarkit.providers.kling.models import Face, FaceSession, TaskRecord, TtsAudio
from avatarkit.providers.kling.resources import AsyncKlingResource
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.once import once
from avatarkit.transport.sources import Media


class AsyncKlingAudios(AsyncKlingResource):
    """Speech."""

    async def create_by_tts(
        self,
        *,
        text: str,
        voice_id: str,
        voice_language: str = "zh",
        voice_speed: float | None = None,
        options: CallOptions | None = None,
    ) -> TtsAudio:
        """Speak a text, at once. **Billed**: 0.05 units.

        There is no task: the answer is the speech. It is sent once; when no answer comes back, nothing can be asked
        about it.

        Args:
            text: at most 1,000 characters.
            voice_id: a voice that speaks the language, see ``limits.VOICES`` for those that are known.
            voice_language: ``zh`` or ``en``.
            voice_speed: 0.8 to 2.0, one decimal; the vendor's default is 1.0.

        Raises:
            InvalidRequest: nothing was sent.
            NotFound: the vendor does not know the voice.
            InsufficientCredits, ModerationRefused, ProviderError: refused, not billed.
            SubmissionInDoubt: it may have been made and billed; it is lost.

        Source: the vendor's document, "Text to speech".

        """
        problems: list[str] = []
        if not isinstance(text, str):
            problems.append("text: text is needed")
        else:
            problems += limits.TEXT.check("text", text)
        body = without_none(
            text=text,
            voice_id=checks.identifier("voice_id", voice_id, problems),
            voice_language=checks.choice("voice_language", voice_language, limits.LANGUAGES, problems),
            voice_speed=checks.number("voice_speed", voice_speed, limits.SPEED, problems),
        )
        problems += _wrong_language(body["voice_id"], voice_language)
        checks.settle(problems)
        request = Request(ep.TTS, reading.speech(ep.TTS), body=body)
        return await once(self._account, request, options, Kind.AUDIO)


def _wrong_language(voice_id: str, language: str) -> list[str]:
    for voice in limits.VOICES:
        if voice.id == voice_id and language in limits.LANGUAGES and language not in voice.languages:
            spoken = " and ".join(voice.languages)
            return [f"voice_id: {voice_id} with {language} found, {spoken} allowed"]
    return []


class AsyncKlingLipSync(AsyncKlingResource):
    """New words for a face in a video: find the faces, then make one of them speak."""

    async def identify_face(
        self,
        *,
        video_id: str | None = None,
        video_url: str | None = None,
        options: CallOptions | None = None,
    ) -> FaceSession:
        """Find the faces in a video, at once. **Billed**: 0.05 units.

        Exactly one of the two is given. Sent once, as :meth:`AsyncKlingAudios.create_by_tts`.

        Args:
            video_id: a video of Kling's own (``videos.get(…).snapshot.result["id"]``), at most 30 days old, 60 s long.
            video_url: an address that the vendor can fetch: MP4 or MOV, at most 100 MB, 2 to 60 s, 720p or 1080p,
                sides from 512 to 2,160 pixels.

        Raises:
            InvalidRequest: nothing was sent.
            ProviderError: refused.
            SubmissionInDoubt: it may have been carried out and billed.

        Source: the vendor's document, "Lip-sync", identify face.

        """
        problems: list[str] = []
        if (video_id is None) == (video_url is None):
            problems.append("video_url: exactly one of video_id and video_url allowed")
        body = without_none(
            video_id=None if video_id is None else checks.identifier("video_id", video_id, problems),
            video_url=checks.web_address("video_url", video_url, problems),
        )
        checks.settle(problems)
        request = Request(ep.IDENTIFY_FACE, reading.faces(ep.IDENTIFY_FACE), body=body)
        return await once(self._account, request, options)

    async def create(
        self,
        *,
        session: str | FaceSession,
        face: str | Face,
        sound_end: float,
        sound_start: float = 0.0,
        insert_at: float = 0.0,
        sound_file: Media | None = None,
        audio_id: str | TtsAudio | None = None,
        sound_volume: float | None = None,
        original_audio_volume: float | None = None,
        watermark: bool | None = None,
        callback_url: str | None = None,
        external_task_id: str | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Make one face speak a recording. **Billed**: 0.5 units for each five seconds.

        Exactly one of *sound_file* and *audio_id* is given; 2 to 60 s, else as for an avatar.

        Args:
            session: what :meth:`identify_face` gave, or its id.
            face: one of its faces, or that face's id. The vendor takes one face for now.
            sound_start, sound_end: the part of the recording that is used, in seconds; at least 2 s, and no further
                than its end.
            insert_at: when in the video it begins, in seconds. It must share 2 s with the face's own time.
            sound_volume, original_audio_volume: 0 to 2; the vendor's default is 1.
            watermark, callback_url, external_task_id: as for an avatar. The vendor's answers do not repeat the
                external id of lip-sync tasks, so a lost one may not be found again.

        Raises:
            InvalidRequest, ProviderError, SubmissionInDoubt, DeadlineExceeded: as for an avatar.

        Source: the vendor's document, "Lip-sync", create task.

        """
        problems: list[str] = []
        sound, _ = await self._sound(audio_id, sound_file, limits.LIP_SOUND, problems, options)
        begin = checks.milliseconds("sound_start", sound_start, problems)
        end = checks.milliseconds("sound_end", sound_end, problems)
        if end - begin < limits.OVERLAP_MS:
            problems.append(f"sound_end: {(end - begin) / 1000:g} s of sound found, at least 2 s allowed")
        chosen: dict[str, Any] = without_none(
            face_id=checks.identifier("face", face, problems),
            **sound,
            sound_start_time=begin,
            sound_end_time=end,
            sound_insert_time=checks.milliseconds("insert_at", insert_at, problems),
            sound_volume=checks.number("sound_volume", sound_volume, limits.VOLUME, problems),
            original_audio_volume=checks.number(
                "original_audio_volume", original_audio_volume, limits.VOLUME, problems
            ),
        )
        body = without_none(
            session_id=checks.identifier("session", session, problems),
            face_choose=[chosen],
            watermark_info=checks.watermark(watermark, problems),
            callback_url=checks.web_address("callback_url", callback_url, problems),
        )
        external = checks.external_id(external_task_id, problems)
        checks.settle(problems)
        return await self._create(ep.LIP_CREATE, body, external, options, (end - begin) / 1000)

    async def get(self, task_id: str | TaskRecord, *, options: CallOptions | None = None) -> TaskRecord:
        """Look at a lip-sync task once. Free.

        Args:
            task_id: the vendor's id, with or without ``advanced-lip-sync/`` in front.

        Raises:
            NotFound: there is no such task.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, "Lip-sync", query task (single).

        """
        return await self._record(ep.LIP_GET, task_id, options)

    async def list(
        self, *, page: int = 1, size: int = 30, options: CallOptions | None = None
    ) -> Page[TaskRecord]:
        """One page of lip-sync tasks. Free. As for avatars.

        Args:
            page: 1 to 1,000.
            size: rows a page, 1 to 500.

        Raises:
            InvalidRequest, ProviderError, TransportError: no page.

        Source: the vendor's document, "Lip-sync", query task (list).

        """
        return await self._page(ep.LIP_LIST, page, size, options)
