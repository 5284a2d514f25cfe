"""Kling's talking avatars, and queries over tasks of every product."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from avatarkit.artifacts import AsyncVideo
from avatarkit.models import Page
from avatarkit.protocol.codec import without_none
from avatarkit.providers.kling import checks, limits
from avatarkit.providers.kling import endpoints as ep
from avatarkit.providers.kling.models import TaskRecord, TtsAudio
from avatarkit.providers.kling.resources import AsyncKlingResource
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.sources import Media


class AsyncKlingVideos(AsyncKlingResource):
    """A picture that speaks."""

    async def create_avatar(
        self,
        image: Media,
        *,
        sound_file: Media | None = None,
        audio_id: str | TtsAudio | None = None,
        prompt: str | None = None,
        mode: str | None = None,
        watermark: bool | None = None,
        callback_url: str | None = None,
        external_task_id: str | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncVideo]:
        """Have a picture speak a recording. **Billed**: about 0.4 units a second, 0.8 in mode ``pro``.

        Exactly one of *sound_file* and *audio_id* is given. Local files go into the request as base64, encoded while
        they are sent: they are never held in memory whole.

        Args:
            image: a path, bytes or file object, or a URL that the vendor can fetch. JPEG or PNG, at most 10 MB, both
                sides at least 300 pixels, width to height from 1:2.5 to 2.5:1.
            sound_file: a path, bytes or file object, or a URL. MP3, WAV, M4A or AAC, at most 5 MB, 2 to 300 s.
            audio_id: speech of :meth:`AsyncKlingAudios.create_by_tts`, at most 30 days old, 2 to 300 s.
            prompt: what the avatar does and feels, how the camera moves; at most 2,500 characters.
            mode: ``std``, the vendor's default, or ``pro``, of higher quality.
            watermark: True adds a watermarked copy beside the clean one. In the vendor's newer documents only; sent
                only when given.
            callback_url: where the vendor tells of changes; a hint only, the task is still looked at.
            external_task_id: your own id, unique for the account for good; None sends one of avatarkit's. By it a
                lost submission is found again, and the vendor refuses a second one.

        Raises:
            InvalidRequest: the request breaks published limits; everything wrong is listed. Nothing was sent.
            InsufficientCredits, MediaRejected, ModerationRefused, ProviderError: refused, not billed.
            SubmissionInDoubt: it may have been accepted; carries the ticket. It was not sent again.
            TooManyRunning, DeadlineExceeded: no free slot in time; nothing is running.

        Source: the vendor's document, "Avatar", create task.

        """
        problems: list[str] = []
        picture = await self._material("image", image, limits.IMAGE, problems, options)
        sound, seconds = await self._sound(audio_id, sound_file, limits.SOUND, problems, options)
        body = without_none(
            image=picture.value if picture is not None else None,
            **sound,
            prompt=checks.prompt(prompt, problems),
            mode=checks.choice("mode", mode, tuple(limits.MODES), problems),
            watermark_info=checks.watermark(watermark, problems),
            callback_url=checks.web_address("callback_url", callback_url, problems),
        )
        external = checks.external_id(external_task_id, problems)
        checks.settle(problems)
        return await self._create(ep.AVATAR_CREATE, body, external, options, seconds)

    async def get(self, task_id: str | TaskRecord, *, options: CallOptions | None = None) -> TaskRecord:
        """Look at an avatar task once. Free.

        Args:
            task_id: the vendor's id, or the ``external_task_id`` (in the vendor's newer documents only).

        Raises:
            NotFound: there is no such task. (The vendor says 400 with code 1201; its text tells.)
            ProviderError, TransportError: no answer.

        Source: the vendor's document, "Avatar", query task (single).

        """
        return await self._record(ep.AVATAR_GET, task_id, options)

    async def list(
        self, *, page: int = 1, size: int = 30, options: CallOptions | None = None
    ) -> Page[TaskRecord]:
        """One page of avatar tasks. Free. The order is not documented; there is no total, a full page may be the last.

        Args:
            page: 1 to 1,000.
            size: rows a page, 1 to 500.

        Raises:
            InvalidRequest, ProviderError, TransportError: no page.

        Source: the vendor's document, "Avatar", query task (list).

        """
        return await self._page(ep.AVATAR_LIST, page, size, options)

    async def iterate(
        self, *, size: int = 500, options: CallOptions | None = None
    ) -> AsyncIterator[TaskRecord]:
        """Every avatar task, page by page, each once although pages shift while tasks are being made. Free.

        Args:
            size: rows asked for at once, 1 to 500.

        Raises:
            ProviderError, TransportError: a page could not be had.

        """
        seen: set[str] = set()
        for number in range(1, limits.PAGE + 1):
            found = await self.list(page=number, size=size, options=options)
            for record in found.items:
                if record.id not in seen:
                    seen.add(record.id)
                    yield record
            if not found.more:
                return


class AsyncKlingTasks(AsyncKlingResource):
    """Tasks of every product at once."""

    async def query(
        self,
        *,
        task_ids: Sequence[str] = (),
        external_task_ids: Sequence[str] = (),
        options: CallOptions | None = None,
    ) -> tuple[TaskRecord, ...]:
        """Look at up to 20 tasks with one request. Free. **Experimental**; needs an API key.

        Exactly one of the two is given. Ids that the vendor does not know are missing from the result. Ids come back
        bare, without the product that handles of lip-sync tasks have in front.

        Args:
            task_ids: the vendor's ids.
            external_task_ids: the ids they were submitted with.

        Raises:
            InvalidRequest: none, both, or too many were given.
            AuthenticationError: the client was made with an access key and a secret key, which this does not take.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, "3.0 Omni", query tasks. That it takes 20 ids is documented for a sister
        operation; that it shows avatar and lip-sync tasks is known from one published probe.

        """
        problems: list[str] = []
        ids = checks.identifiers("task_ids", task_ids, problems)
        external = checks.identifiers("external_task_ids", external_task_ids, problems)
        if bool(ids) == bool(external):
            problems.append("task_ids: exactly one of task_ids and external_task_ids allowed")
        checks.settle(problems)
        return await self._account.call(ep.query(task_ids=ids, external_ids=external), options)
