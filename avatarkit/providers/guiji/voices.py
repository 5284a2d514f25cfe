"""Guiji's operations on voices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from functools import partial

from avatarkit.events import ProgressHook
from avatarkit.models import Page, Voice
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.endpoint import Request
from avatarkit.providers.guiji import answers, checks, limits
from avatarkit.providers.guiji import endpoints as ep
from avatarkit.providers.guiji import operations as ops
from avatarkit.providers.guiji.models import VoiceClone
from avatarkit.providers.guiji.resource import AsyncGuijiResource, walk
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.material import prepare_url, url_for
from avatarkit.transport.sources import Media

_SEXES = (1, 2)
_STATUSES = (0, 1, 2, 3, 4)


class AsyncGuijiVoices(AsyncGuijiResource):
    """Voices: clone them from a recording, list them, add a consent to old ones."""

    async def create(
        self,
        audio: Media | None = None,
        *,
        audio_url: str | None = None,
        authorize: Media | None = None,
        authorize_url: str | None = None,
        authorize_text: str,
        title: str | None = None,
        sex: int | None = None,
        callback_url: str | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[Voice]:
        """Clone a voice from a recording. **Billed**: takes one of the package's voice clonings.

        The task's id is the voice's own, for good. Voices expire: ``expires`` of :meth:`get` says when.

        Args:
            audio: the material, WAV only: a URL, or a path, bytes or file object where a staging is configured. 10 to
                30 s are recommended: one speaker, a quiet room, nothing stitched together.
            audio_url: its address, instead of *audio*.
            authorize: a recording in which the person speaks the consent.
            authorize_url: its address, instead of *authorize*.
            authorize_text: what is spoken there; ``limits.CONSENT_TEMPLATES`` has the vendor's wording.
            title: the voice's name; None sends a unique one, by which a lost submission can be found again.
            sex: 1 male, 2 female.
            callback_url: where the vendor reports the end of this task.
            progress: called with bytes uploaded and bytes in all.

        Raises:
            InvalidRequest: something is missing or wrong; everything is listed. Nothing was sent.
            UnsupportedOperation: a local file, and no staging.
            InsufficientCredits, MediaRejected, ProviderError: refused.
            SubmissionInDoubt: it may have been accepted (also when the vendor answers 40001); carries the ticket.

        Source: the vendor's document, 4.1.

        """
        problems: list[str] = []
        prepare = partial(prepare_url, self._account, options=options, progress=progress)
        sample = await prepare(audio, audio_url, limits.VOICE_SAMPLE, "audio_url", problems)
        checks.wav_only("audio_url", audio_url or audio, problems)
        consent = await prepare(authorize, authorize_url, limits.CONSENT_AUDIO, "authorize_url", problems)
        marker = checks.title_or_none(title, problems) or self._account.marker()
        body = without_none(
            name=marker,
            authorizeText=checks.text("authorize_text", authorize_text, problems),
            sex=checks.one_of("sex", sex, _SEXES, problems),
            callbackUrl=checks.web_address("callback_url", callback_url, problems),
        )
        checks.settle(problems)
        body["audioUrl"] = await url_for(self._account, sample)
        body["authorizeUrl"] = await url_for(self._account, consent)
        return await self._submit(ep.create(ops.VOICE_CREATE, body), options, marker=marker)

    async def list(
        self,
        *,
        page: int = 1,
        size: int = 20,
        sex: int | None = None,
        status: int | None = None,
        expires_from: datetime | str | None = None,
        expires_to: datetime | str | None = None,
        options: CallOptions | None = None,
    ) -> Page[VoiceClone]:
        """One page of the account's cloned voices, in every status unless filtered. Free.

        Args:
            page: from 1.
            size: rows a page; no maximum is published, 100 is in use.
            sex: 1 male, 2 female.
            status: 0 pending, 1 training, 2 good, 3 failed, 4 expired.
            expires_from: only voices that expire at this time or later; without a zone it is China's time.
            expires_to: only voices that expire at this time or earlier.

        Raises:
            InvalidRequest, ProviderError, TransportError: no page.

        Source: the vendor's document, 4.3. Whether the times' ends are included it does not say.

        """
        problems: list[str] = []
        return await self._page(
            ops.VOICE_LIST,
            page,
            size,
            options,
            problems,
            sex=checks.one_of("sex", sex, _SEXES, problems),
            status=checks.one_of("status", status, _STATUSES, problems),
            expireStartTime=checks.when("expires_from", expires_from, problems),
            expireEndTime=checks.when("expires_to", expires_to, problems),
        )

    async def iterate(
        self,
        *,
        size: int = 100,
        sex: int | None = None,
        status: int | None = None,
        expires_from: datetime | str | None = None,
        expires_to: datetime | str | None = None,
        options: CallOptions | None = None,
    ) -> AsyncIterator[VoiceClone]:
        """Every cloned voice of the account, page by page, none twice. Free.

        Args:
            size: rows asked for at once.
            sex: as for :meth:`list`, and so the other filters.
            status: see there.
            expires_from: see there.
            expires_to: see there.

        Raises:
            InvalidRequest, ProviderError, TransportError: a page could not be had.

        """
        pages = partial(
            self.list,
            size=size,
            sex=sex,
            status=status,
            expires_from=expires_from,
            expires_to=expires_to,
            options=options,
        )
        async with aclosing(walk(lambda page: pages(page=page))) as rows:
            async for row in rows:
                yield row

    async def get(self, voice: str | Voice | VoiceClone, *, options: CallOptions | None = None) -> VoiceClone:
        """One cloned voice, by its id, which is also its task's. Free.

        Raises:
            NotFound: there is no such voice.
            InvalidRequest, ProviderError, TransportError: no answer.

        Source: the vendor's document, 4.4.

        """
        found: VoiceClone = await self._get(ops.VOICE_GET, "voice", voice, options)
        return found

    async def list_public(
        self,
        *,
        page: int = 1,
        size: int = 20,
        name: str | None = None,
        sex: int | None = None,
        options: CallOptions | None = None,
    ) -> Page[Voice]:
        """One page of the public voices that can be used; ``extra`` has sex, features and sample. Free.

        Rows whose status is not 2 are left out, so a page may hold fewer than *size*.

        Args:
            page: from 1.
            size: rows a page; no maximum is published, 100 is in use.
            name: only voices with this in their name.
            sex: 1 male, 2 female.

        Raises:
            InvalidRequest, ProviderError, TransportError: no page.

        Source: the vendor's document, 2.2.

        """
        problems: list[str] = []
        sex = checks.one_of("sex", sex, _SEXES, problems)
        return await self._page(ops.VOICE_PUBLIC, page, size, options, problems, name=name, sex=sex)

    async def iterate_public(
        self,
        *,
        size: int = 100,
        name: str | None = None,
        sex: int | None = None,
        options: CallOptions | None = None,
    ) -> AsyncIterator[Voice]:
        """Every public voice that can be used, page by page. Free.

        Args:
            size: rows asked for at once.
            name: as for :meth:`list_public`.
            sex: see there.

        Raises:
            InvalidRequest, ProviderError, TransportError: a page could not be had.

        """
        pages = partial(self.list_public, size=size, name=name, sex=sex, options=options)
        async with aclosing(walk(lambda page: pages(page=page))) as rows:
            async for row in rows:
                yield row

    async def authorize(
        self,
        voice: str | Voice | VoiceClone,
        authorize: Media | None = None,
        *,
        authorize_url: str | None = None,
        authorize_text: str,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> bool:
        """Add the consent to a voice that was cloned without one. Free.

        True means that the vendor will check it, not that it was found good: that shows later, as ``authorized`` of
        :meth:`get`.

        Args:
            voice: the voice or its id.
            authorize: a recording in which the person speaks the consent.
            authorize_url: its address, instead of *authorize*.
            authorize_text: what is spoken there.
            progress: called with bytes uploaded and bytes in all.

        Raises:
            InvalidRequest: nothing was sent.
            UnsupportedOperation: a local file, and no staging.
            NotFound, ProviderError, TransportError: not taken.

        Source: the vendor's document, 7.2.

        """
        problems: list[str] = []
        consent = await prepare_url(
            self._account,
            authorize,
            authorize_url,
            limits.CONSENT_AUDIO,
            "authorize_url",
            problems,
            options=options,
            progress=progress,
        )
        body = {
            "speakerId": checks.voice_id(voice, problems),
            "authorizeText": checks.text("authorize_text", authorize_text, problems),
        }
        checks.settle(problems)
        body["authorizeUrl"] = await url_for(self._account, consent)
        request = Request(ops.VOICE_AUTHORIZE, answers.read_authorized(ops.VOICE_AUTHORIZE), body=body)
        return await self._account.call(request, options)
