"""Staging at a running sandbox, so that everything works without an object store."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import orjson

from avatarkit.errors import ConfigurationError, UploadFailed
from avatarkit.events import ProgressHook
from avatarkit.models import UploadedFile
from avatarkit.settings import Timeouts
from avatarkit.transport.bare import described, shown_cause
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock
from avatarkit.transport.session import Network, Sessions
from avatarkit.transport.sources import Source, fingerprint
from avatarkit.transport.staging import STAY, StagedFile
from avatarkit.transport.stores import CONTENT_TYPES, content_type_of
from avatarkit.transport.upload import put_file
from avatarkit.transport.uploads_cache import UploadCache
from avatarkit.transport.wire import Wire

_MAX_ANSWER = 64 * 1024


class SandboxStaging:
    """Puts files into a sandbox, whose providers then find them there.

    Args:
        sandbox: a running sandbox, or the address of its page (``http://127.0.0.1:8765``).
        clock: another time, for tests.
        wire: reaches the sandbox without sockets, as in ``ClientOptions``.

    Raises:
        ConfigurationError: it does not run, or the address is none.

    """

    def __init__(self, sandbox: str | Any, *, clock: Clock = SYSTEM_CLOCK, wire: Wire | None = None) -> None:
        url = str(sandbox if isinstance(sandbox, str) else sandbox.url).rstrip("/")
        if urlsplit(url).scheme != "http" or not urlsplit(url).hostname:
            raise ConfigurationError("the sandbox's address is no http URL")
        self._url = url
        self._clock = clock
        self._timeouts = Timeouts()
        self._network = Network(proxy="", wire=wire)
        # Nothing is kept, for the sandbox knows what it has: this only joins equal uploads under way.
        self._flights = UploadCache(clock=clock, ttl=0)

    def __repr__(self) -> str:
        return f"<SandboxStaging {self._url}>"

    async def stage(
        self, source: Source, *, seconds: float = STAY, progress: ProgressHook | None = None
    ) -> StagedFile:
        """Put *source* into the sandbox unless it is there; its URL works for *seconds*.

        Raises UploadFailed.
        """
        sha256 = await fingerprint(source)
        extension = source.extension if source.extension in CONTENT_TYPES else "bin"
        kind = content_type_of(extension)
        asked = {"sha256": sha256, "extension": extension, "content_type": kind, "seconds": seconds}
        sessions = Sessions(self._network, self._timeouts, self._clock)
        try:

            async def upload() -> UploadedFile:
                slot = await self._ask(sessions, asked)
                if not slot["there"]:
                    await put_file(
                        sessions.files,
                        slot["upload_url"],
                        source,
                        kind,
                        clock=self._clock,
                        timeouts=self._timeouts,
                        progress=progress,
                    )
                return UploadedFile(id=slot["key"])

            await self._flights.get(sha256, extension, upload)
            slot = await self._ask(sessions, asked)
        finally:
            await sessions.aclose()
        return StagedFile(url=slot["url"], key=slot["key"], expires_at=float(slot["expires_at"]))

    async def discard(self, staged: StagedFile) -> None:
        """Delete a staged file from the sandbox. Raises UploadFailed when the sandbox does not answer."""
        sessions = Sessions(self._network, self._timeouts, self._clock)
        try:
            await self._ask(sessions, {"discard": staged.key})
        finally:
            await sessions.aclose()

    async def aclose(self) -> None:
        """Nothing is held between calls."""

    async def _ask(self, sessions: Sessions, body: dict[str, Any]) -> dict[str, Any]:
        import aiohttp

        try:
            async with sessions.api.post(
                f"{self._url}/__sandbox__/staging",
                data=orjson.dumps(body),
                headers={"Content-Type": "application/json"},
                allow_redirects=False,
            ) as answer:
                data = await answer.content.read(_MAX_ANSWER)
                if answer.status != 200:
                    raise UploadFailed(f"the sandbox refused to stage a file (HTTP {answer.status})")
        except (OSError, aiohttp.ClientError) as error:
            raise UploadFailed(f"the sandbox cannot be reached ({described(error)})") from shown_cause(error)
        found: dict[str, Any] = orjson.loads(data)
        return found
