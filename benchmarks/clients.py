"""The contenders: the same four requests a task, by hand on aiohttp, through avatarkit, and through peers.

Each contender keeps one client on one event loop of its own for its whole life. ``block(tasks, in_flight)`` runs that
many tasks by ``in_flight`` coroutines and gives the tasks that did not end with the right result.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import attrs
import orjson

from benchmarks.server import LOOKS, new_loop

TEXT = "The benchmark speaks one sentence, neither short nor long."
PATIENCE = 120.0  # seconds a block may take


@attrs.define
class Clip:
    """What the hand-written baseline builds from an answer."""

    task_id: str
    status: int
    url: str | None
    duration: float | None


class Contender:
    """One way to run tasks. Subclasses open a client and run one task to its end."""

    requests_per_task = 1 + LOOKS

    def __init__(
        self, base: str, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    ) -> None:
        self.base = base
        self._runner = asyncio.Runner(loop_factory=loop_factory)
        self._runner.run(self.open())

    async def open(self) -> None:
        raise NotImplementedError

    async def shut(self) -> None:
        raise NotImplementedError

    async def task(self) -> str | None:
        """One task; gives the result's URL."""
        raise NotImplementedError

    async def _worker(self, numbers: itertools.count[int], tasks: int, failed: list[str]) -> None:
        while next(numbers) < tasks:
            try:
                url = await self.task()
            except Exception as error:
                failed.append(type(error).__name__)
            else:
                if not url:
                    failed.append("no result")

    async def _block(self, tasks: int, in_flight: int) -> list[str]:
        failed: list[str] = []
        numbers = itertools.count()
        workers = [
            asyncio.ensure_future(self._worker(numbers, tasks, failed)) for _ in range(min(in_flight, tasks))
        ]
        _, late = await asyncio.wait(workers, timeout=PATIENCE)
        for worker in late:
            worker.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return failed + ["cut off"] * len(late)

    def block(self, tasks: int, in_flight: int) -> list[str]:
        """Run *tasks*, *in_flight* at a time; the names of what went wrong."""
        return self._runner.run(self._block(tasks, in_flight))

    def close(self) -> None:
        self._runner.run(self.shut())
        self._runner.close()


class Raw(Contender):
    """aiohttp + orjson + an attrs object built by hand, default options: the unit of all ratios."""

    async def open(self) -> None:
        import aiohttp

        self._session = aiohttp.ClientSession(headers={"Authorization": "Bearer t"})

    async def shut(self) -> None:
        await self._session.close()

    async def task(self) -> str | None:
        body = orjson.dumps({"avatar": "a1", "voice": "v1", "text": TEXT, "title": "bench"})
        headers = {"Content-Type": "application/json"}
        async with self._session.post(
            f"{self.base}/video/create_by_tts", data=body, headers=headers
        ) as answer:
            task_id = orjson.loads(await answer.read())["task_id"]
        while True:
            async with self._session.get(f"{self.base}/video/task?task_id={task_id}") as answer:
                found = orjson.loads(await answer.read())
            clip = Clip(task_id, found["status"], found.get("video_Url"), found.get("duration"))
            if clip.status == 3:
                return clip.url


class Sdk(Contender):
    """avatarkit's public path: submit, then wait. Nothing between two looks, no rate limit, checks of the text on."""

    async def open(self) -> None:
        from avatarkit import AsyncHiFly, Polling

        polling = Polling(shortest=0, longest=1e-9)
        self._client = AsyncHiFly("bench-token", base_url=self.base, rate_limit=None, polling=polling)

    async def shut(self) -> None:
        await self._client.aclose()

    async def task(self) -> str | None:
        task = await self._client.videos.create_by_tts(avatar="a1", voice="v1", text=TEXT)
        video = await task.wait()
        return video.url


class Httpx(Contender):
    """httpx as its documents show it: one AsyncClient, answers through ``.json()``."""

    async def open(self) -> None:
        import httpx

        self._client: Any = httpx.AsyncClient(base_url=self.base, headers={"Authorization": "Bearer t"})

    async def shut(self) -> None:
        await self._client.aclose()

    async def task(self) -> str | None:
        body = {"avatar": "a1", "voice": "v1", "text": TEXT, "title": "bench"}
        task_id = (await self._client.post("/video/create_by_tts", json=body)).json()["task_id"]
        while True:
            found = (await self._client.get("/video/task", params={"task_id": task_id})).json()
            if found["status"] == 3:
                return Clip(task_id, 3, found["video_Url"], found["duration"]).url


class Httpx2(Httpx):
    """httpx2, the same way."""

    async def open(self) -> None:
        import httpx2

        self._client = httpx2.AsyncClient(base_url=self.base, headers={"Authorization": "Bearer t"})


class OpenAI(Contender):
    """openai-python's ``videos``: create, then retrieve until it is completed, as its own poll helper does."""

    async def open(self) -> None:
        import openai

        self._client: Any = openai.AsyncOpenAI(api_key="t", base_url=self.base, max_retries=0)

    async def shut(self) -> None:
        await self._client.close()

    async def task(self) -> str | None:
        video = await self._client.videos.create(model="sora-2", prompt=TEXT)
        while video.status != "completed":
            video = await self._client.videos.retrieve(video.id)
        return str(video.id)


CONTENDERS: dict[str, Callable[[str], Contender]] = {
    "raw": Raw,
    "raw-uvloop": lambda base: Raw(base, new_loop),
    "sdk": Sdk,
    "sdk-uvloop": lambda base: Sdk(base, new_loop),
    "httpx": Httpx,
    "httpx2": Httpx2,
    "openai": OpenAI,
}
