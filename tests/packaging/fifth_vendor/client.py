"""Its client."""

from __future__ import annotations

from typing import ClassVar, Unpack

from avatarkit.artifacts import AsyncVideo
from avatarkit.client import AsyncClient, AsyncResource, ClientOptions, read_credentials
from avatarkit.protocol.auth import BearerAuth
from avatarkit.protocol.endpoint import ProviderSpec, Request
from avatarkit.protocol.plan import Capabilities
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from fifth_vendor.endpoints import CREATE, SPEC, read_any
from fifth_vendor.generate import CAPABILITIES


class AsyncFifthVideos(AsyncResource):
    """Talking videos."""

    async def create(
        self, image: str, audio: str, *, options: CallOptions | None = None
    ) -> AsyncTask[AsyncVideo]:
        """Make a video of the picture and the recording behind two URLs. **Billed.**"""
        request = Request(CREATE, read_any(CREATE), body={"image": image, "audio": audio})
        return await self._submit(request, options, marker="")


class AsyncFifth(AsyncClient):
    """A client for Fifth."""

    spec: ClassVar[ProviderSpec] = SPEC
    capabilities: ClassVar[Capabilities] = CAPABILITIES

    def __init__(self, key: str | None = None, **options: Unpack[ClientOptions]) -> None:
        credentials = read_credentials(self.spec, key)
        super().__init__(self._open_account(credentials, BearerAuth(credentials[0]), options))
        self._videos = AsyncFifthVideos(self._account)

    @property
    def videos(self) -> AsyncFifthVideos:
        """Talking videos."""
        return self._videos


CLIENT = AsyncFifth
