"""Clients of one account on a sandbox: what the tests of shared limits and of accounts' names have in common."""

from __future__ import annotations

from typing import Any

from avatarkit import AsyncHiFly, AsyncTask, AsyncVideo
from avatarkit.client import AsyncClient
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.testing import VirtualClock
from avatarkit.transport.slot_pass import PassedSlots

PASSWORD = "s3cret-pass-w0rd"
NOWHERE = "http://127.0.0.1:9"


def hifly(token: str = "t", **options: Any) -> AsyncHiFly:
    """A client that reaches nobody."""
    return AsyncHiFly(token, **{"base_url": NOWHERE, **options})


def client(box: AsyncSandbox, clock: VirtualClock, token: str = "", **options: Any) -> AsyncHiFly:
    """A client of the sandbox's account, or of the one with *token*."""
    return AsyncHiFly(
        token or box.token, **{"base_url": box.base_url("hifly"), "clock": clock, "seed": 1, **options}
    )


async def submit(one: AsyncHiFly, **more: Any) -> AsyncTask[AsyncVideo]:
    """Any video."""
    avatar = (await one.avatars.list(size=1)).items[0].id
    voice = (await one.voices.list(size=1, kind=2)).items[0].id
    return await one.videos.create_by_tts(text="Hello", avatar=avatar, voice=voice, **more)


def slots(one: AsyncClient) -> PassedSlots:
    """The slots that its videos need."""
    return one._account.slots["works"]
