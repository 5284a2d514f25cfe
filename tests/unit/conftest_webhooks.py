"""What the tests of webhooks share: a sandbox that calls webhooks behind an aiohttp server, and a client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
import orjson

import avatarkit
from avatarkit.events import TaskLooked
from avatarkit.protocol.callback import CallbackEvent
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.webhooks import Webhooks
from avatarkit.webhooks.aiohttp import serving

DELAYS: dict[str, Any] = {"queue_seconds": 1.0, "run_seconds": 97.3}


@attrs.define
class Scene:
    """A sandbox, a client, and webhooks behind an aiohttp server that the sandbox calls."""

    sandbox: avatarkit.AsyncSandbox
    client: avatarkit.AsyncHiFly
    hooks: Webhooks
    url: str
    known: dict[str, str]
    looks: list[TaskLooked] = attrs.field(factory=list)
    events: list[CallbackEvent] = attrs.field(factory=list)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def submit(self, title: str = "job") -> Any:
        return await self.client.videos.create_by_tts(text="Hello", title=title, **self.known)

    async def post(self, **body: Any) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(self.url, data=orjson.dumps(body)) as answer,
        ):
            return answer.status


@asynccontextmanager
async def scene(sandbox: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Scene]:
    looks: list[TaskLooked] = []
    events: list[CallbackEvent] = []

    def hook(event: avatarkit.Event) -> None:
        if isinstance(event, TaskLooked):
            looks.append(event)

    clock = VirtualClock()
    async with avatarkit.AsyncSandbox(clock=clock, render="tiny", **{**DELAYS, **(sandbox or {})}) as box:
        given: dict[str, Any] = {
            "base_url": box.base_url("hifly"),
            "clock": clock,
            "seed": 5,
            "hooks": hook,
            **options,
        }
        async with avatarkit.AsyncHiFly(box.token, **given) as client:
            hooks = Webhooks(client, clock=clock, on_event=events.append)
            async with serving(hooks) as base:
                url = hooks.url("hifly", base)
                box.set_account(callback_url=url)
                yield Scene(box, client, hooks, url, await ids(client), looks, events)


def run(
    test: Callable[[Scene], Awaitable[None]], sandbox: dict[str, Any] | None = None, **options: Any
) -> None:
    async def main() -> None:
        async with scene(sandbox, **options) as stage:
            await test(stage)

    run_virtual(main)


async def ids(client: Any) -> dict[str, str]:
    """Ids of an avatar and a voice of the vendor's stock."""
    avatar = (await client.avatars.list(size=1)).items[0].id
    voice = (await client.voices.list(size=1, kind=2)).items[0].id
    return {"avatar": avatar, "voice": voice}
