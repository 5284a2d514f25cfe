"""Kling's client: avatar videos, speech, lip-sync, and what the account has left.

Source: the vendor's documents at klingai.com (document-api). What only other sources say is marked.
"""

from __future__ import annotations

import datetime
import os
from typing import ClassVar, Final, TypeVar, Unpack

import attrs

from avatarkit.client import AsyncClient, AsyncResource, ClientOptions, read_credentials
from avatarkit.errors import ConfigurationError, MissingCredentials
from avatarkit.models import Credit, Finding, Kind, Reconciliation, Ticket
from avatarkit.protocol.auth import BearerAuth
from avatarkit.protocol.endpoint import ProviderSpec, Request
from avatarkit.protocol.plan import Capabilities
from avatarkit.providers.kling import checks, limits, reading
from avatarkit.providers.kling import endpoints as ep
from avatarkit.providers.kling.auth import KeyPairAuth
from avatarkit.providers.kling.generate import CAPABILITIES
from avatarkit.providers.kling.models import Costs, TaskRecord
from avatarkit.providers.kling.resources import find_external
from avatarkit.providers.kling.speech import AsyncKlingAudios, AsyncKlingLipSync
from avatarkit.providers.kling.videos import AsyncKlingTasks, AsyncKlingVideos
from avatarkit.settings import CallOptions
from avatarkit.transport.account import Account

T = TypeVar("T")
_PAIR: Final = ("KLING_ACCESS_KEY", "KLING_SECRET_KEY")
_YEAR: Final = 365 * 86400.0
_SETTLED: Final = 120.0
_SKEW: Final = 600.0


class AsyncKlingAccount(AsyncResource):
    """The account itself."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._next_query = 0.0

    async def costs(
        self,
        *,
        start: datetime.datetime | float | None = None,
        end: datetime.datetime | float | None = None,
        resource_pack_name: str | None = None,
        options: CallOptions | None = None,
    ) -> Costs:
        """The account's resource packs, and what is left in them (up to 12 hours late). Free.

        The vendor wants at most one of these a second; calls of this client wait for their turn.

        Args:
            start: a datetime or seconds since 1970; None is a year before *end*.
            end: the same; None is now.
            resource_pack_name: shows only the packs of this name.

        Raises:
            InvalidRequest, AuthenticationError, ProviderError, TransportError: no answer.

        Source: the vendor's document, "Account usage".

        """
        query = self._query(start, end, resource_pack_name)
        return await self._in_turn(Request(ep.COSTS, reading.costs(ep.COSTS), query=query), options)

    async def credit(self, *, options: CallOptions | None = None) -> Credit:
        """Units left in the packs that can be used now, from :meth:`costs`. Free; the cheapest test of credentials.

        An account that pays by its balance, without packs, shows 0. ``extra["packs"]`` holds the packs.

        Raises:
            AuthenticationError: the credentials are not accepted.
            ProviderError, TransportError: no answer.

        """
        query = self._query(None, None, None)
        return await self._in_turn(Request(ep.COSTS, reading.credit(ep.COSTS), query=query), options)

    def _query(
        self,
        start: datetime.datetime | float | None,
        end: datetime.datetime | float | None,
        pack: str | None,
    ) -> str:
        problems: list[str] = []
        now = self._account.clock.time()
        last = checks.unix_milliseconds("end", now if end is None else end, problems)
        begin = last / 1000 - _YEAR if start is None else start
        first = checks.unix_milliseconds("start", begin, problems)
        if first > last:
            problems.append("start: it is after the end")
        checks.settle(problems)
        return ep.costs_query(first, last, pack)

    async def _in_turn(self, request: Request[T], options: CallOptions | None) -> T:
        now = self._account.clock.monotonic()
        wait = self._next_query - now
        self._next_query = max(now, self._next_query) + limits.COSTS_SECONDS
        if wait > 0:
            await self._account.clock.sleep(wait)
        return await self._account.call(request, options)


class AsyncKling(AsyncClient):
    """A client for Kling AI (可灵).

    Example:
        async with AsyncKling() as kling:
            task = await kling.videos.create_avatar("face.png", sound_file="hello.wav")
            video = await task.wait()
            await video.save("hello.mp4")

    Args:
        api_key: an API key of the vendor's console; None takes the environment variable KLING_API_KEY.
        access_key, secret_key: the older kind of credentials, from which short-lived tokens are made here; None takes
            KLING_ACCESS_KEY and KLING_SECRET_KEY. What is given goes before the environment, there the API key first.
        region: ``singapore`` (outside China, the default) or ``beijing``; keys belong to one of them.
            ``base_url`` goes before it, it goes before KLING_BASE_URL.
        options: see :class:`ClientOptions`.

    Raises:
        MissingCredentials: neither an API key nor both other keys were given or found.
        ConfigurationError: both kinds of credentials were given, or there is no such region.

    """

    spec: ClassVar[ProviderSpec] = ep.SPEC
    capabilities: ClassVar[Capabilities] = CAPABILITIES

    def __init__(
        self,
        api_key: str | None = None,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        region: limits.Region | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        if region is not None and region not in limits.HOSTS:
            raise ConfigurationError(
                f"there is no region {region!r}", hint=f"Known regions: {', '.join(limits.HOSTS)}."
            )
        if region is not None and not options.get("base_url"):
            options["base_url"] = limits.HOSTS[region]
        self._has_api_key = _chooses_api_key(api_key, access_key, secret_key)
        if self._has_api_key:
            keys = read_credentials(self.spec, api_key)
            account = self._open_account(keys, BearerAuth(keys[0]), options, ep.KINDS_BY_IDS)
        else:
            keys = read_credentials(attrs.evolve(self.spec, credentials=_PAIR), access_key, secret_key)
            account = self._open_account(keys, KeyPairAuth(*keys), options, ep.KINDS_BY_LIST)
        super().__init__(account)
        self._videos = AsyncKlingVideos(account)
        self._audios = AsyncKlingAudios(account)
        self._lip_sync = AsyncKlingLipSync(account)
        self._tasks = AsyncKlingTasks(account)
        self._usage = AsyncKlingAccount(account)

    @property
    def videos(self) -> AsyncKlingVideos:
        """Pictures that speak."""
        return self._videos

    @property
    def audios(self) -> AsyncKlingAudios:
        """Speech."""
        return self._audios

    @property
    def lip_sync(self) -> AsyncKlingLipSync:
        """New words for a face in a video."""
        return self._lip_sync

    @property
    def tasks(self) -> AsyncKlingTasks:
        """Tasks of every product."""
        return self._tasks

    @property
    def account(self) -> AsyncKlingAccount:
        """What is left of what was bought."""
        return self._usage

    async def _find(self, ticket: Ticket) -> Reconciliation:
        endpoints = {endpoint.name: endpoint for endpoint in (ep.AVATAR_CREATE, ep.LIP_CREATE)}
        endpoint = endpoints.get(ticket.endpoint)
        if endpoint is None or not ticket.marker:
            return await super()._find(ticket)
        found = await find_external(self._account, endpoint, ticket.marker, by_query=self._has_api_key)
        if found is None:
            return self._nowhere(ticket)
        if found.external_id not in ("", ticket.marker) or (found.created_at or ticket.sent_at) < (
            ticket.sent_at - _SKEW
        ):
            return _another(found)
        return Reconciliation(
            finding=Finding.FOUND,
            token=self._token_for(Kind.VIDEO, found.id, ticket),
            explanation="the vendor has a task with the external id that was sent",
        )

    def _nowhere(self, ticket: Ticket) -> Reconciliation:
        again = f"submitted again with external_task_id={ticket.marker!r} it cannot be made twice"
        if ticket.endpoint == ep.LIP_CREATE.name:
            text = f"the vendor need not show external ids of lip-sync tasks; {again}"
            return Reconciliation(finding=Finding.CANNOT_TELL, explanation=text)
        age = self._account.clock.time() - ticket.sent_at
        if age < _SETTLED:
            text = (
                f"no task has the external id {age:.0f} s after the request; ask again in a while ({again})"
            )
            return Reconciliation(finding=Finding.CANNOT_TELL, explanation=text, later=True)
        return Reconciliation(finding=Finding.ABSENT, explanation=f"no task has the external id; {again}")


def _another(found: TaskRecord) -> Reconciliation:
    return Reconciliation(
        finding=Finding.CANNOT_TELL,
        candidates=(found.id,),
        explanation="a task with this external id is older than the request; the vendor refuses a second one",
    )


def _chooses_api_key(api_key: str | None, access_key: str | None, secret_key: str | None) -> bool:
    pair = (access_key, secret_key)
    if api_key and any(pair):
        raise ConfigurationError("either an API key or an access key with its secret key, not both")
    if api_key or any(pair):
        return bool(api_key)
    if os.environ.get("KLING_API_KEY", "").strip():
        return True
    if any(os.environ.get(name, "").strip() for name in _PAIR):
        return False
    raise MissingCredentials(
        "no credentials for Kling: neither KLING_API_KEY nor KLING_ACCESS_KEY and KLING_SECRET_KEY are set",
        hint="Set the environment variable KLING_API_KEY, or the other two, or pass the credentials to the client.",
    )


CLIENT = AsyncKling
