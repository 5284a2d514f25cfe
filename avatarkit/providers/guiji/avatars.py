"""Guiji's operations on avatars."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial

from avatarkit.events import ProgressHook
from avatarkit.models import Avatar, Page
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.endpoint import Request
from avatarkit.providers.guiji import answers, checks, limits
from avatarkit.providers.guiji import endpoints as ep
from avatarkit.providers.guiji import operations as ops
from avatarkit.providers.guiji.models import AvatarClone
from avatarkit.providers.guiji.resource import AsyncGuijiResource, walk
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.material import prepare_url, url_for
from avatarkit.transport.sources import Media


class AsyncGuijiAvatars(AsyncGuijiResource):
    """Presenters: clone them from a video, list them, add a consent to old ones."""

    async def create(
        self,
        video: Media | None = None,
        *,
        video_url: str | None = None,
        authorize: Media | None = None,
        authorize_url: str | None = None,
        authorize_text: str,
        title: str | None = None,
        training_id: str | int | None = None,
        level: int = 1,
        compress: bool | None = None,
        callback_url: str | None = None,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[Avatar]:
        """Clone an avatar from a video. **Billed**: takes one of the package's avatar clonings.

        The vendor takes no uploads, only public URLs; a local file needs a staging (client option ``staging``).

        Args:
            video: the material: a URL, or a path, bytes or file object where a staging is configured. The vendor limits
                size, bit rate, resolution and frame rate, and publishes no figures.
            video_url: its address, instead of *video*.
            authorize: a video in which the person speaks the consent.
            authorize_url: its address, instead of *authorize*.
            authorize_text: what is spoken there; ``limits.CONSENT_TEMPLATES`` has the vendor's wording.
            title: the avatar's name; None sends a unique one, by which a lost submission can be found again.
            training_id: an existing training to be handed in again; None makes a new one.
            level: 1, the only one the vendor documents.
            compress: whether the vendor may compress the video.
            callback_url: where the vendor reports the end of this task.
            progress: called with bytes uploaded and bytes in all.

        Raises:
            InvalidRequest: something is missing or wrong; everything is listed. Nothing was sent.
            UnsupportedOperation: a local file, and no staging.
            InsufficientCredits, MediaRejected, ProviderError: refused.
            SubmissionInDoubt: it may have been accepted (also when the vendor answers 40001); carries the ticket.

        Source: the vendor's document, 3.1. Whether a finished training's consent was verified shows in :meth:`get`.

        """
        problems: list[str] = []
        prepare = partial(prepare_url, self._account, options=options, progress=progress)
        film = await prepare(video, video_url, limits.AVATAR_VIDEO, "video_url", problems)
        consent = await prepare(authorize, authorize_url, limits.AVATAR_VIDEO, "authorize_url", problems)
        marker = checks.title_or_none(title, problems) or self._account.marker()
        body = without_none(
            id=checks.whole("training_id", training_id, problems),
            name=marker,
            authorizeText=checks.text("authorize_text", authorize_text, problems),
            level=checks.one_of("level", level, (1,), problems),
            compress=checks.yes_or_no("compress", compress, problems),
            callbackUrl=checks.web_address("callback_url", callback_url, problems),
        )
        checks.settle(problems)
        body["videoUrl"] = await url_for(self._account, film)
        body["authorizeUrl"] = await url_for(self._account, consent)
        return await self._submit(ep.create(ops.AVATAR_CREATE, body), options, marker=marker)

    async def list(
        self, *, page: int = 1, size: int = 20, options: CallOptions | None = None
    ) -> Page[AvatarClone]:
        """One page of the account's trainings, in every status. Free.

        Args:
            page: from 1.
            size: rows a page; no maximum is published, 100 is in use.

        Raises:
            InvalidRequest, ProviderError, TransportError: no page.

        Source: the vendor's document, 3.3. The order is not documented; the newest are expected first.

        """
        return await self._page(ops.AVATAR_LIST, page, size, options)

    async def iterate(
        self, *, size: int = 100, options: CallOptions | None = None
    ) -> AsyncIterator[AvatarClone]:
        """Every training of the account, page by page, none twice. Free.

        Args:
            size: rows asked for at once.

        Raises:
            InvalidRequest, ProviderError, TransportError: a page could not be had.

        """
        async with aclosing(walk(lambda page: self.list(page=page, size=size, options=options))) as rows:
            async for row in rows:
                yield row

    async def get(
        self, training_id: str | int | AvatarClone, *, options: CallOptions | None = None
    ) -> AvatarClone:
        """One training, by its own id (a task's id), not the avatar's. Free.

        Raises:
            NotFound: there is no such training.
            InvalidRequest, ProviderError, TransportError: no answer.

        Source: the vendor's document, 3.4.

        """
        found: AvatarClone = await self._get(ops.AVATAR_GET, "training_id", training_id, options)
        return found

    async def list_public(
        self,
        *,
        page: int = 1,
        size: int = 20,
        name: str | None = None,
        options: CallOptions | None = None,
    ) -> Page[Avatar]:
        """One page of the public avatars; ``extra`` has cover and resolution. Free.

        Args:
            page: from 1.
            size: rows a page; no maximum is published, 100 is in use.
            name: only avatars with this in their name.

        Raises:
            InvalidRequest, ProviderError, TransportError: no page.

        Source: the vendor's document, 2.1. Ids may be negative.

        """
        return await self._page(ops.AVATAR_PUBLIC, page, size, options, name=name)

    async def iterate_public(
        self, *, size: int = 100, name: str | None = None, options: CallOptions | None = None
    ) -> AsyncIterator[Avatar]:
        """Every public avatar, page by page. Free.

        Args:
            size: rows asked for at once.
            name: as for :meth:`list_public`.

        Raises:
            InvalidRequest, ProviderError, TransportError: a page could not be had.

        """
        pages = partial(self.list_public, size=size, name=name, options=options)
        async with aclosing(walk(lambda page: pages(page=page))) as rows:
            async for row in rows:
                yield row

    async def authorize(
        self,
        avatar: str | int | Avatar | AvatarClone,
        authorize: Media | None = None,
        *,
        authorize_url: str | None = None,
        authorize_text: str,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> bool:
        """Add the consent to an avatar that was cloned without one. Free.

        True means that the vendor will check it, not that it was found good: that shows later, as ``authorized`` of
        :meth:`get` (which takes the training's id, while this takes the avatar's).

        Args:
            avatar: the avatar or its id, a whole number here.
            authorize: a video in which the person speaks the consent.
            authorize_url: its address, instead of *authorize*.
            authorize_text: what is spoken there.
            progress: called with bytes uploaded and bytes in all.

        Raises:
            InvalidRequest: nothing was sent.
            UnsupportedOperation: a local file, and no staging.
            NotFound, ProviderError, TransportError: not taken.

        Source: the vendor's document, 7.1.

        """
        problems: list[str] = []
        consent = await prepare_url(
            self._account,
            authorize,
            authorize_url,
            limits.AVATAR_VIDEO,
            "authorize_url",
            problems,
            options=options,
            progress=progress,
        )
        body: dict[str, object] = {
            "sceneId": checks.scene_number(avatar, problems),
            "authorizeText": checks.text("authorize_text", authorize_text, problems),
        }
        checks.settle(problems)
        body["authorizeUrl"] = await url_for(self._account, consent)
        request = Request(ops.AVATAR_AUTHORIZE, answers.read_authorized(ops.AVATAR_AUTHORIZE), body=body)
        return await self._account.call(request, options)
