"""HiFly's client: the vendor's whole surface.

Sources: the vendor's API V2 documents, the newer Chinese one (``api.hifly.cc/hifly.html``) before the older English
one. What only other sources say is marked.
"""

from __future__ import annotations

from typing import ClassVar, Unpack

from avatarkit.client import AsyncClient, AsyncResource, ClientOptions, read_credentials
from avatarkit.events import ProgressHook
from avatarkit.models import (
    Credit,
    Finding,
    Guard,
    Reconciliation,
    Ticket,
    UploadedFile,
    UploadSlot,
)
from avatarkit.protocol.auth import BearerAuth
from avatarkit.protocol.endpoint import ProviderSpec, Request
from avatarkit.protocol.plan import Capabilities
from avatarkit.providers.hifly import checks, limits, reading
from avatarkit.providers.hifly import endpoints as ep
from avatarkit.providers.hifly import operations as ops
from avatarkit.providers.hifly.clones import AsyncHiFlyAvatars, AsyncHiFlyVoices
from avatarkit.providers.hifly.generate import CAPABILITIES
from avatarkit.providers.hifly.material import upload, upload_slot
from avatarkit.providers.hifly.works import AsyncHiFlyAudios, AsyncHiFlyVideos
from avatarkit.settings import CallOptions
from avatarkit.transport.sources import Media, as_source


class AsyncHiFlyFiles(AsyncResource):
    """Uploading files. The methods that take material upload local files by themselves; use this to do it ahead."""

    async def create_upload_url(
        self, file_extension: str, *, options: CallOptions | None = None
    ) -> UploadSlot:
        """Ask for a signed address to PUT one file to. Free.

        The URL is to be used verbatim, with exactly the content type it comes with, and without credentials; how long
        it lives the vendor does not say.

        Args:
            file_extension: such as ``mp4`` or ``mp3``.

        Raises:
            InvalidRequest: it is no file extension.
            ProviderError, TransportError: no address was given.

        Source: the vendor's document, "get upload address".

        """
        try:
            extension = limits.file_extension(file_extension)
        except ValueError as error:
            problems = [f"file_extension: {error}"]
            checks.settle(problems)
        return await upload_slot(self._account, extension, options)

    async def upload(
        self,
        media: Media,
        *,
        name: str | None = None,
        dedupe: bool = True,
        progress: ProgressHook | None = None,
        options: CallOptions | None = None,
    ) -> UploadedFile:
        """Upload one local file and give its ``file_id``. Free.

        The file is streamed with constant memory. The same content is not sent again within half an hour, also when
        several calls ask at once. Limits on size and type are the operation's that uses it.

        Args:
            media: a path, bytes, or a binary file object.
            name: a file name for bytes and file objects; its extension tells the type.
            dedupe: False sends the file even if its content was sent lately.
            progress: called with bytes done and bytes in all.

        Raises:
            InvalidRequest: the file is missing, empty, a folder, or of no recognisable type.
            UploadFailed: it did not arrive, after three tries with fresh addresses.

        Source: the vendor's document, "upload file".

        """
        source = await as_source(media, name=name)
        return await upload(self._account, source, progress=progress, dedupe=dedupe, options=options)


class AsyncHiFlyAccount(AsyncResource):
    """The account itself."""

    async def credit(self, *, options: CallOptions | None = None) -> Credit:
        """Credits that are left. Free; the cheapest way to test a token.

        Raises:
            AuthenticationError: the token is not accepted.
            ProviderError, TransportError: no answer.

        Source: the vendor's document, "query account credits".

        """
        credit: Credit = await self._account.call(Request(ops.CREDIT, reading.read_credit), options)
        return credit


class AsyncHiFly(AsyncClient):
    """A client for HiFly (飞影数字人, Flyworks).

    Example:
        async with AsyncHiFly() as hifly:
            task = await hifly.videos.create_by_tts(avatar="...", voice="...", text="Hello")
            video = await task.wait()
            await video.save("hello.mp4")

    Args:
        token: API token from https://hifly.cc/setting; None takes the environment variable HIFLY_TOKEN.
        options: see :class:`ClientOptions`.

    Raises:
        MissingCredentials: no token was given or found.

    """

    spec: ClassVar[ProviderSpec] = ep.SPEC
    capabilities: ClassVar[Capabilities] = CAPABILITIES

    def __init__(self, token: str | None = None, **options: Unpack[ClientOptions]) -> None:
        credentials = read_credentials(self.spec, token)
        super().__init__(self._open_account(credentials, BearerAuth(credentials[0]), options))
        self._avatars = AsyncHiFlyAvatars(self._account)
        self._voices = AsyncHiFlyVoices(self._account)
        self._videos = AsyncHiFlyVideos(self._account)
        self._audios = AsyncHiFlyAudios(self._account)
        self._files = AsyncHiFlyFiles(self._account)
        self._credit = AsyncHiFlyAccount(self._account)

    @property
    def avatars(self) -> AsyncHiFlyAvatars:
        """Presenters: clone them, list the public ones."""
        return self._avatars

    @property
    def voices(self) -> AsyncHiFlyVoices:
        """Voices: clone, edit, list."""
        return self._voices

    @property
    def videos(self) -> AsyncHiFlyVideos:
        """Talking videos."""
        return self._videos

    @property
    def audios(self) -> AsyncHiFlyAudios:
        """Speech without a picture."""
        return self._audios

    @property
    def files(self) -> AsyncHiFlyFiles:
        """Uploads."""
        return self._files

    @property
    def account(self) -> AsyncHiFlyAccount:
        """Credits."""
        return self._credit

    async def _find(self, ticket: Ticket) -> Reconciliation:
        # The vendor lists neither tasks nor works. Finished own voices are listed, so a voice can be found by its name
        # when the name is surely ours; works and avatars can only be recognised in a later callback.
        if ticket.guard is not Guard.TITLE:
            return await super()._find(ticket)
        found = [voice.id async for voice in self._voices.iterate(kind=1) if voice.title == ticket.marker]
        if len(found) == 1 and ticket.marker.startswith("ak-"):
            return Reconciliation(
                finding=Finding.FOUND,
                artifact_id=found[0],
                explanation="a finished voice has the unique name that was sent",
            )
        text = (
            "voices have this name"
            if found
            else "no finished voice has this name (it may still be in the making)"
        )
        return Reconciliation(
            finding=Finding.CANNOT_TELL,
            candidates=tuple(found),
            explanation=f"{len(found) or ''} {text}".strip(),
        )


CLIENT = AsyncHiFly
