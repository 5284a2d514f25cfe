"""YunApi's client: five stacked APIs under one key.

Source: the vendor's document, the Apifox share "数字人". What only other sources say is marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Unpack

from avatarkit.client import AsyncClient, ClientOptions, read_credentials
from avatarkit.protocol.auth import BearerAuth
from avatarkit.protocol.codec import without_none
from avatarkit.protocol.endpoint import ProviderSpec, Request
from avatarkit.protocol.plan import Capabilities
from avatarkit.providers.yunapi import checks, limits
from avatarkit.providers.yunapi import endpoints as ep
from avatarkit.providers.yunapi import operations as op
from avatarkit.providers.yunapi.generate import CAPABILITIES
from avatarkit.providers.yunapi.legacy import AsyncYunApiLegacyVoices
from avatarkit.providers.yunapi.models import Script
from avatarkit.providers.yunapi.remakes import AsyncYunApiRemakes
from avatarkit.providers.yunapi.resources import AsyncYunApiAvatars, AsyncYunApiResource, AsyncYunApiVideos
from avatarkit.providers.yunapi.voices import AsyncYunApiAudios, AsyncYunApiVoices
from avatarkit.settings import CallOptions
from avatarkit.transport.once import once


class AsyncYunApiScripts(AsyncYunApiResource):
    """Scripts, rewritten by a language model (文案二创)."""

    async def rewrite(
        self,
        text: str | None = None,
        *,
        messages: Sequence[Mapping[str, Any]] | None = None,
        model: str | None = None,
        temperature: float | None = None,
        options: CallOptions | None = None,
    ) -> Script:
        """Have a script rewritten. **Billed**, as far as is known.

        Exactly one of *text* and *messages* is given. The vendor's example sends the text that a video platform shares,
        with a short link in it; the relay follows the link.

        Args:
            text: what the user says: instructions, a script, or a shared link.
            messages: a whole conversation, each with ``role`` and ``content``.
            model: ``gpt-4o-image`` in the vendor's example; None leaves it to the vendor.
            temperature: 0 to 1.

        Raises:
            InvalidRequest: nothing was sent.
            ProviderError: refused.
            UnexpectedResponse, SubmissionInDoubt: no readable answer; it may have been billed and was not sent again.

        Source: the vendor's document, 文案二创. Its answer is not documented and read as OpenAI's.

        """
        problems: list[str] = []
        if (text is None) == (messages is None):
            problems.append("text: exactly one of text and messages allowed")
        elif text is not None:
            messages = [{"role": "user", "content": checks.words("text", text, problems)}]
        if any(not isinstance(one, Mapping) or not {"role", "content"} <= set(one) for one in messages or ()):
            problems.append("messages: something else found, role and content allowed in each")
        if messages is not None and not messages:
            problems.append("messages: none found, at least 1 allowed")
        checks.number("temperature", temperature, limits.CHAT_TEMPERATURE, problems)
        checks.settle(problems)
        body = without_none(model=model, messages=list(map(dict, messages or ())), temperature=temperature)
        script: Script = await once(self._account, Request(op.REWRITE, ep.read_script, body=body), options)
        return script


class AsyncYunApi(AsyncClient):
    """A client for YunApi (数字人).

    Example:
        async with AsyncYunApi() as yunapi:
            task = await yunapi.videos.create("https://.../face.jpg", audio="https://.../speech.mp3")
            video = await task.wait()
            await video.save("hello.mp4")

    The vendor takes material by URL only; local material needs the option ``staging``. Nothing can be found again after
    a lost submission: YunApi has no list and no field for a mark, so ``reconcile`` always answers "cannot tell".

    Args:
        api_key: the key (``sk-…``); None takes the environment variable YUNAPI_KEY.
        options: see :class:`ClientOptions`. Half of the vendor's pages name no host; the base URL is theirs that do,
            ``https://api.yunai.xyz``, unless YUNAPI_BASE_URL or ``base_url`` says otherwise.

    Raises:
        MissingCredentials: no key was given or found.

    """

    spec: ClassVar[ProviderSpec] = ep.SPEC
    capabilities: ClassVar[Capabilities] = CAPABILITIES

    def __init__(self, api_key: str | None = None, **options: Unpack[ClientOptions]) -> None:
        credentials = read_credentials(self.spec, api_key)
        super().__init__(self._open_account(credentials, BearerAuth(credentials[0]), options))
        self._videos = AsyncYunApiVideos(self._account)
        self._avatars = AsyncYunApiAvatars(self._account)
        self._voices = AsyncYunApiVoices(self._account)
        self._audios = AsyncYunApiAudios(self._account)
        self._scripts = AsyncYunApiScripts(self._account)
        self._remakes = AsyncYunApiRemakes(self._account)
        self._legacy_voices = AsyncYunApiLegacyVoices(self._account)

    @property
    def videos(self) -> AsyncYunApiVideos:
        """Talking videos."""
        return self._videos

    @property
    def avatars(self) -> AsyncYunApiAvatars:
        """Models of the fast API."""
        return self._avatars

    @property
    def voices(self) -> AsyncYunApiVoices:
        """Voice models."""
        return self._voices

    @property
    def audios(self) -> AsyncYunApiAudios:
        """Speech without a picture."""
        return self._audios

    @property
    def scripts(self) -> AsyncYunApiScripts:
        """Scripts, rewritten."""
        return self._scripts

    @property
    def remakes(self) -> AsyncYunApiRemakes:
        """Videos made over."""
        return self._remakes

    @property
    def legacy_voices(self) -> AsyncYunApiLegacyVoices:
        """The vendor's deprecated voice cloning."""
        return self._legacy_voices


CLIENT = AsyncYunApi
