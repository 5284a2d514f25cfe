"""Kling's speech, and lip-sync of its own videos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avatarkit.artifacts import AsyncVideo
from avatarkit.events import ProgressHook
from avatarkit.models import Kind, Page
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.endpoint import Request
from avatarkit.providers.kling import checks, limits, reading
from avatarkit.providers.kling import endpoints as ep
from avatarkit.providers.kling.models import Face, FaceSession, TaskRecord, TtsAudio
from avatarkit.providers.kling.resources import AsyncKlingResource
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.encode import Base64Of
from avatarkit.transport.material import prepare_url, url_for
from avatarkit.transport.once import once
from avatarkit.transport.preflight import inspect
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
        body = without_none(
            text=checks.spoken_text(text, problems),
            voice_id=checks.identifier("voice_id", voice_id, problems),
            voice_language=checks.choice("voice_language", voice_language, limits.LANGUAGES, problems),
            voice_speed=checks.number("voice_speed", voice_speed, limits.SPEED, problems),
        )
        checks.spoken_by("voice_id", body["voice_id"], voice_language, problems)
        checks.settle(problems)
        request = Request(ep.TTS, reading.speech(ep.TTS), body=body)
        return await once(self._account, request, options, Kind.AUDIO)


class AsyncKlingLipSync(AsyncKlingResource):
    """New words for a face in a video: find the faces, then make one of them speak."""

    async def identify_face(
        self,
        *,
        video: Media | None = None,
        video_id: str | None = None,
        video_url: str | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> FaceSession:
        """Find the faces in a video, at once. **Billed**: 0.05 units.

        Exactly one of *video*, *video_id* and *video_url* is given. Sent once, as
        :meth:`AsyncKlingAudios.create_by_tts`. The vendor takes no uploads here: a local file needs a staging (client
        option ``staging``).

        Args:
            video: a URL, or a path, bytes or file object where a staging is configured. MP4 or MOV, at most 100 MB, 2
                to 60 s, 720p or 1080p, sides from 512 to 2,160 pixels.
            video_id: a video of Kling's own (``videos.get(…).snapshot.result["id"]``), at most 30 days old, 60 s long.
            video_url: its address, instead of *video*.
            progress: called with bytes staged and bytes in all.

        Raises:
            InvalidRequest: nothing was sent.
            UnsupportedOperation: a local file, and no staging. Nothing was sent.
            UploadFailed: a local file did not arrive at the staging. Nothing was sent.
            ProviderError: refused.
            SubmissionInDoubt: it may have been carried out and billed.

        Source: the vendor's document, "Lip-sync", identify face.

        """
        problems: list[str] = []
        if sum(given is not None for given in (video, video_id, video_url)) != 1:
            problems.append("video_url: exactly one of video, video_id and video_url allowed")
        film = await prepare_url(
            self._account,
            video,
            video_url,
            limits.LIP_VIDEO,
            "video_url",
            problems,
            options=options,
            progress=progress,
            required=False,
        )
        body: dict[str, Any] = without_none(
            video_id=None if video_id is None else checks.identifier("video_id", video_id, problems)
        )
        checks.settle(problems)
        if film.given:
            body["video_url"] = await url_for(self._account, film)
        request = Request(ep.IDENTIFY_FACE, reading.faces(ep.IDENTIFY_FACE), body=body)
        return await once(self._account, request, options)

    async def create(
        self,
        *,
        session: str | FaceSession,
        face: str | Face,
        sound_end: float | None = None,
        sound_start: float = 0.0,
        insert_at: float = 0.0,
        sound_file: Media | None = None,
        audio_id: str | TtsAudio | None = None,
        sound_seconds: float | None = None,
        face_end: float | None = None,
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
                than its end. *sound_end* None goes on to the recording's end, but no further than 60 s, nor longer
                than the face is to be seen.
            insert_at: when in the video it begins, in seconds. It must share 2 s with the face's own time.
            sound_seconds: how long the recording is, for *sound_end* None where avatarkit cannot tell: a sound behind
                a URL, an *audio_id* given as text.
            face_end: when the face is last seen, in seconds from the video's start, for *sound_end* None and a *face*
                given as text.
            sound_volume, original_audio_volume: 0 to 2; the vendor's default is 1.
            watermark, callback_url, external_task_id: as for an avatar. The vendor's answers do not repeat the
                external id of lip-sync tasks, so a lost one may not be found again.

        Raises:
            InvalidRequest, ProviderError, SubmissionInDoubt, DeadlineExceeded: as for an avatar. InvalidRequest also
                where *sound_end* is None and the recording's length cannot be told.

        Source: the vendor's document, "Lip-sync", create task.

        """
        problems: list[str] = []
        sound, seconds = await self._sound(audio_id, sound_file, limits.LIP_SOUND, problems, options)
        begin = checks.milliseconds("sound_start", sound_start, problems)
        insert = checks.milliseconds("insert_at", insert_at, problems)
        if sound_end is not None:
            end = checks.sound_end(sound_end, begin, problems)
        elif not sound:
            end = begin
        else:
            known = seconds or sound_seconds or await _measured(sound)
            last = face.end if face_end is None and isinstance(face, Face) else face_end
            end = checks.whole_sound(known, begin, insert, last, problems)
        chosen: dict[str, Any] = without_none(
            face_id=checks.identifier("face", face, problems),
            **sound,
            sound_start_time=begin,
            sound_end_time=end,
            sound_insert_time=insert,
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


async def _measured(sound: Mapping[str, Any]) -> float | None:
    """How long a local sound is, also where preflight is off; None when that cannot be told."""
    local = sound.get("sound_file")
    facts = await inspect(local.source) if isinstance(local, Base64Of) else None
    return facts.seconds if facts is not None else None
