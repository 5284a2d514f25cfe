"""YunApi's voices and speech that come at once, without a task (自研声音克隆)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, cast

from avatarkit.errors import InvalidRequest
from avatarkit.events import ProgressHook
from avatarkit.models import Kind, UploadedFile, Voice
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.endpoint import Request
from avatarkit.protocol.limits import MediaRule
from avatarkit.providers.yunapi import checks, limits
from avatarkit.providers.yunapi import endpoints as ep
from avatarkit.providers.yunapi import operations as op
from avatarkit.providers.yunapi.resources import AsyncYunApiResource
from avatarkit.settings import CallOptions
from avatarkit.transport.download import Downloaded
from avatarkit.transport.encode import FilePart, MultipartBody
from avatarkit.transport.once import fetch, guarded, once
from avatarkit.transport.preflight import check_media
from avatarkit.transport.sources import Media, as_source, is_url

_TYPES = {
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "m4a": "audio/mp4",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "flac": "audio/flac",
    "aac": "audio/aac",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}
_PICTURE = MediaRule(source="document, 创建新的语音模型, cover_image: no figures")


class AsyncYunApiVoices(AsyncYunApiResource):
    """Voice models for :meth:`AsyncYunApiAudios.tts`."""

    async def create_model(
        self,
        voices: Media | Sequence[Media],
        *,
        title: str,
        train_mode: str = "fast",
        visibility: str = "private",
        description: str | None = None,
        cover_image: Media | None = None,
        texts: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        enhance_audio_quality: bool | None = None,
        options: CallOptions | None = None,
    ) -> Voice:
        """Make a voice from local recordings, which are streamed. **Billed**, as far as is known.

        It comes in the answer; with ``train_mode="fast"`` it can be used at once. Its state is in ``extra["state"]``;
        nothing is documented to ask for it later.

        Args:
            voices: one recording or several: paths, bytes or file objects. No limits are published.
            title: its name.
            train_mode: ``fast`` or ``full``.
            visibility: ``private``, ``unlist`` or ``public``. The vendor's default is public, which needs a cover;
                avatarkit sends private.
            description: for people.
            cover_image: a picture; required when public.
            texts: what is said in the recordings, as many as there are; else the vendor listens.
            tags: words to find it by.
            enhance_audio_quality: whether to clean the sound; the vendor's default is False.

        Raises:
            InvalidRequest: a recording is missing, empty or given as a URL, or a field is wrong. Nothing was sent.
            ProviderError: refused.
            SubmissionInDoubt: it may have been made; it was not sent again, and nothing can find it.

        Source: the vendor's document, 自研声音克隆 / 创建新的语音模型. An older page of it requires ``visibility``.

        """
        problems: list[str] = []
        fields = [
            ("type", "tts"),
            ("title", checks.words("title", title, problems)),
            ("train_mode", str(checks.one_of("train_mode", train_mode, limits.TRAIN_MODES, problems))),
            ("visibility", str(checks.one_of("visibility", visibility, limits.VISIBILITIES, problems))),
        ]
        if description is not None:
            fields.append(("description", checks.words("description", description, problems)))
        fields += [("texts", checks.words("texts", text, problems)) for text in texts or ()]
        fields += [("tags", checks.words("tags", tag, problems)) for tag in tags or ()]
        if checks.truth("enhance_audio_quality", enhance_audio_quality, problems) is not None:
            fields.append(("enhance_audio_quality", "true" if enhance_audio_quality else "false"))
        recordings = list(voices) if isinstance(voices, list | tuple) else [cast("Media", voices)]
        if not recordings:
            problems.append("voices: none found, at least 1 recording allowed")
        if texts is not None and len(texts) != len(recordings):
            problems.append(f"texts: {len(texts)} found, {len(recordings)} allowed, one for each recording")
        if visibility == "public" and cover_image is None:
            problems.append("cover_image: none found, a picture allowed: public voices need one")
        files = [part for one in recordings if (part := await self._part("voices", one, options, problems))]
        if cover_image is not None:
            cover = await self._part("cover_image", cover_image, options, problems)
            files += [cover] if cover else []
        checks.settle(problems)
        body = MultipartBody(fields, files)
        request = Request(
            op.VOICE_MODEL, ep.read_voice_model, stream=body, headers={"Content-Type": body.content_type}
        )
        voice: Voice = await once(self._account, request, options, Kind.VOICE)
        return voice

    async def _part(
        self, field: str, media: Any, options: CallOptions | None, problems: list[str]
    ) -> FilePart | None:
        """One file of the form; None and a problem when it cannot be sent."""
        if is_url(media) or isinstance(media, UploadedFile):
            problems.append(f"{field}: a URL found, a local file allowed: its content is sent")
            return None
        try:
            source = await as_source(media)
        except InvalidRequest as error:
            problems += [f"{field}: {problem}" for problem in error.problems]
            return None
        wanted = options.preflight if options is not None else None
        if self._account.preflight if wanted is None else wanted:
            rule = limits.VOICE_FILE if field == "voices" else _PICTURE
            problems += await check_media(field, source, rule)
        kind = _TYPES.get(source.extension, "application/octet-stream")
        return FilePart(field=field, source=source, content_type=kind)


class AsyncYunApiAudios(AsyncYunApiResource):
    """Speech without a picture."""

    async def tts(
        self,
        text: str,
        path: str | os.PathLike[str],
        *,
        voice: str | Voice | None = None,
        model: str = "speech-1.5",
        format: str | None = None,  # noqa: A002 - the vendor's word
        chunk_length: int | None = None,
        mp3_bitrate: int | None = None,
        normalize: bool | None = None,
        latency: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        overwrite: bool = False,
        progress: ProgressHook | None = None,
        max_bytes: int = 1 << 30,
        options: CallOptions | None = None,
    ) -> Downloaded:
        """Speak a text into a file. **Billed**, as far as is known.

        The sound is the answer itself: it is streamed to the file and never held in memory. There is no task: when the
        connection breaks, the sound is lost and speaking it again is paid for again. Fields left None are not sent.

        Args:
            text: what is said.
            path: the file to write.
            voice: a model of :meth:`AsyncYunApiVoices.create_model`, or its id; None is the vendor's own choice.
            model: ``speech-1.5``, ``speech-1.6``, ``s1`` or ``s1-mini``; sent as a header.
            format: ``mp3`` (the vendor's default), ``wav``, ``pcm`` or ``opus``.
            chunk_length: characters spoken at a time, 100 to 300, default 200.
            mp3_bitrate: 64, 128 (default) or 192 kbit/s.
            normalize: whether numbers and the like are put into words, default True.
            latency: ``normal`` (default) or ``balanced``.
            temperature: 0.1 to 2, default 0.7.
            top_p: 0.1 to 1, default 0.7.
            overwrite: whether an existing file may be replaced.
            progress: called with bytes done and bytes in all (or None).
            max_bytes: the largest sound accepted, in bytes.

        Raises:
            InvalidRequest: a field is out of range, or the file exists. Nothing was sent.
            ProviderError: refused; an answer that is JSON is a refusal whatever its HTTP status.
            SubmissionInDoubt: the sound may have been made and billed, and did not arrive whole.

        Source: the vendor's document, 自研声音克隆 / 将文本转换为语音.

        """
        problems: list[str] = []
        reference = voice.id if isinstance(voice, Voice) else voice
        body = without_none(
            text=checks.words("text", text, problems),
            reference_id=None if reference is None else checks.words("voice", reference, problems),
            chunk_length=checks.number("chunk_length", chunk_length, limits.CHUNK_LENGTH, problems),
            format=checks.one_of("format", format, limits.TTS_FORMATS, problems),
            mp3_bitrate=checks.one_of("mp3_bitrate", mp3_bitrate, limits.MP3_BITRATES, problems),
            normalize=checks.truth("normalize", normalize, problems),
            latency=checks.one_of("latency", latency, limits.TTS_LATENCIES, problems),
            temperature=checks.number("temperature", temperature, limits.TTS_TEMPERATURE, problems),
            top_p=checks.number("top_p", top_p, limits.TOP_P, problems),
        )
        checks.one_of("model", model, limits.TTS_MODELS, problems)
        checks.settle(problems)
        request = Request(op.TTS, ep.read_not_sound, body=body, headers={"model": model})

        async def send() -> Downloaded:
            return await fetch(
                self._account,
                request,
                path,
                content_types=limits.TTS_CONTENT,
                overwrite=overwrite,
                progress=progress,
                max_bytes=max_bytes,
                options=options,
            )

        return await guarded(self._account, request, options, send, Kind.AUDIO)
