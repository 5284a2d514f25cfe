"""Guiji's client: the vendor's whole surface.

Sources: the vendor's "API Integration" document (``guiji.cn/digital-docs/en/server-api/open-api.html``) and its
"Interface Documentation" for the access token. What only other sources say is marked.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Unpack

from avatarkit.client import AsyncClient, AsyncResource, ClientOptions, read_credentials
from avatarkit.models import Finding, Guard, Kind, Page, RawResponse, Reconciliation, Ticket
from avatarkit.protocol.endpoint import Endpoint, ProviderSpec, Request
from avatarkit.protocol.marks import is_unique
from avatarkit.protocol.plan import Capabilities
from avatarkit.providers.guiji import answers, limits
from avatarkit.providers.guiji import endpoints as ep
from avatarkit.providers.guiji import operations as ops
from avatarkit.providers.guiji.auth import GuijiAuth
from avatarkit.providers.guiji.avatars import AsyncGuijiAvatars
from avatarkit.providers.guiji.generate import CAPABILITIES
from avatarkit.providers.guiji.models import AvatarClone, Benefits, VideoWork, VoiceClone
from avatarkit.providers.guiji.voices import AsyncGuijiVoices
from avatarkit.providers.guiji.works import AsyncGuijiAudios, AsyncGuijiVideos
from avatarkit.settings import CallOptions

_LISTS: dict[str, Endpoint] = {
    Kind.AVATAR.value: ops.AVATAR_LIST,
    Kind.VOICE.value: ops.VOICE_LIST,
    Kind.VIDEO.value: ops.VIDEO_LIST,
}
_SKEW_SECONDS = 600.0  # by which the vendor's clock may differ from ours
_MOVING_SECONDS = 900.0
_SANE_SECONDS = 86400.0  # by which two clocks may differ and still be believed
_MOST_PAGES = 50  # of 100 rows: an older row than these is not looked for

Row = AvatarClone | VoiceClone | VideoWork


class AsyncGuijiAccount(AsyncResource):
    """The account itself."""

    async def benefits(self, *, options: CallOptions | None = None) -> Benefits:
        """What is left of the package: clonings, seconds of video, characters of speech. Free.

        Raises:
            AuthenticationError: the credentials are not accepted.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, 1.

        """
        return await self._account.call(Request(ops.BENEFITS, answers.read_benefits), options)


class AsyncGuiji(AsyncClient):
    """A client for Guiji (硅基智能, Silicon Intelligence), the Digital Human Open Platform.

    Example:
        async with AsyncGuiji() as guiji:
            task = await guiji.videos.create(avatar=-292, voice="C_173", text="Hello")
            video = await task.wait()
            await video.save("hello.mp4")

    Args:
        app_id: API Key (older name: AccessKey); None takes the environment variable GUIJI_APP_ID.
        secret: API Secret (older name: SecretKey); None takes GUIJI_SECRET.
        options: see :class:`ClientOptions`. The base URL can also be set by GUIJI_BASE_URL.

    Raises:
        MissingCredentials: one of the two was neither given nor found.

    """

    spec: ClassVar[ProviderSpec] = ep.SPEC
    capabilities: ClassVar[Capabilities] = CAPABILITIES

    def __init__(
        self, app_id: str | None = None, secret: str | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        credentials = read_credentials(self.spec, app_id, secret)
        super().__init__(self._open_account(credentials, GuijiAuth(*credentials), options))
        self._avatars = AsyncGuijiAvatars(self._account)
        self._voices = AsyncGuijiVoices(self._account)
        self._videos = AsyncGuijiVideos(self._account)
        self._audios = AsyncGuijiAudios(self._account)
        self._package = AsyncGuijiAccount(self._account)
        self._asked: dict[tuple[str, int], asyncio.Task[Page[Any]]] = {}

    @property
    def avatars(self) -> AsyncGuijiAvatars:
        """Presenters: clone, list, authorize."""
        return self._avatars

    @property
    def voices(self) -> AsyncGuijiVoices:
        """Voices: clone, list, authorize."""
        return self._voices

    @property
    def videos(self) -> AsyncGuijiVideos:
        """Talking videos."""
        return self._videos

    @property
    def audios(self) -> AsyncGuijiAudios:
        """Speech without a picture."""
        return self._audios

    @property
    def account(self) -> AsyncGuijiAccount:
        """What is left of the package."""
        return self._package

    async def _find(self, ticket: Ticket) -> Reconciliation:
        # Videos, trainings and voices are listed with the name they were sent with; speech has none.
        endpoint = _LISTS.get(ticket.kind)
        if ticket.guard is not Guard.TITLE or not ticket.marker or endpoint is None:
            return await super()._find(ticket)
        found, complete = await self._named(endpoint, ticket)
        if len(found) == 1 and is_unique(ticket.marker):
            (row,) = found.values()
            return self._found(row, ticket)
        if found:
            return Reconciliation(
                finding=Finding.CANNOT_TELL,
                candidates=tuple(found),
                explanation=f"{len(found)} listed with this name, which was not made to be unique",
            )
        return self._not_found(ticket, complete=complete)

    async def _named(self, endpoint: Endpoint, ticket: Ticket) -> tuple[dict[str, Row], bool]:
        """Rows with the ticket's name, by id, and whether every row that can be it was seen.

        A unique name ends the walk, and so does a page of rows that are all older than the request: lists show the
        newest first.
        """
        found: dict[str, Row] = {}
        seen: set[str] = set()
        for number in range(1, _MOST_PAGES + 1):
            page = await self._rows(endpoint, number)
            seen.update(row.id for row in page.items)
            found |= {row.id: row for row in page.items if row.title == ticket.marker}
            if not page.more:
                return found, page.total is not None and len(seen) >= page.total
            if found and is_unique(ticket.marker):
                break
            ahead = _ahead(page.response, self._account.clock.time())
            if ahead is not None and _all_older(page.items, ticket.sent_at - ahead - _SKEW_SECONDS):
                return found, True
        return found, False

    async def _rows(self, endpoint: Endpoint, number: int) -> Page[Any]:
        """A page of a list. Lookups that go side by side and ask for it in the same moment share the answer.

        Who comes a moment later asks anew: what was listed before somebody asked proves nothing to them.
        """
        key, loop = (endpoint.name, number), asyncio.get_running_loop()
        asked = self._asked.get(key)
        if asked is None or asked.get_loop() is not loop:
            asked = loop.create_task(self._account.call(ep.page(endpoint, number, limits.PAGE_SIZE)))
            self._asked[key] = asked
            loop.call_soon(self._asked.pop, key, None)
        return await asyncio.shield(asked)

    def _found(self, row: Row, ticket: Ticket) -> Reconciliation:
        artifact = row.id if isinstance(row, VoiceClone) else ""
        return Reconciliation(
            finding=Finding.FOUND,
            token=self._token_for(Kind(ticket.kind), row.id, ticket),
            artifact_id=row.avatar_id if isinstance(row, AvatarClone) else artifact,
            explanation=f"listed with the unique name that was sent ({row.status.value})",
        )

    def _not_found(self, ticket: Ticket, *, complete: bool) -> Reconciliation:
        age = self._account.clock.time() - ticket.sent_at
        later = age < limits.SETTLE_SECONDS
        if not complete:
            later = (
                age < _MOVING_SECONDS
            )  # rows that come while pages are turned make it look so; it may be whole soon
            why = "not listed, but the list could not be seen whole"
        elif later:
            why = f"not listed yet; ask again {limits.SETTLE_SECONDS} s after it was sent"
        elif ticket.kind == Kind.VIDEO.value and age > limits.RESULT_SECONDS:
            why = "not listed, but the vendor deletes videos after a day"
        else:
            return Reconciliation(finding=Finding.ABSENT, explanation="nothing is listed with this name")
        return Reconciliation(finding=Finding.CANNOT_TELL, explanation=why, later=later)


def _ahead(response: RawResponse | None, now: float) -> float | None:
    """Seconds by which our clock is ahead of the vendor's, by the Date of an answer; None when it has none."""
    try:
        said = parsedate_to_datetime((response.headers if response is not None else {})["date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None
    return now - said if abs(now - said) < _SANE_SECONDS else None


def _all_older(rows: Sequence[Row], moment: float) -> bool:
    """Whether every row says that it was made before *moment*, and they stand in falling order."""
    made = [getattr(row, "created", None) for row in rows]  # voices say only when they expire
    times = [moment_made.timestamp() if moment_made is not None else math.inf for moment_made in made]
    return bool(times) and max(times) < moment and times == sorted(times, reverse=True)


CLIENT = AsyncGuiji
