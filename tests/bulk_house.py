"""A bulk run in virtual time, without sockets: what its unit and fault tests share."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

import avatarkit
from avatarkit import providers
from avatarkit.bulk.run import JobOutcome
from avatarkit.testing.virtual import VirtualClock, VirtualTimeLoop

IMAGE, SOUND = "https://example.com/face.jpg", "https://example.com/words.mp3"
PRESENTERS = {
    "guiji": {"avatar": "", "voice": ""},
    "hifly": {"avatar": "", "voice": ""},
    "kling": {"image": IMAGE},
}


def in_virtual_time(main: Callable[[], Awaitable[Any]]) -> Any:
    """Run *main* to its end where an hour takes no time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        try:
            return runner.run(main())  # type: ignore[arg-type]
        finally:
            gc.collect()


@attrs.define
class Bulk:
    """A sandbox, a client of it, and what a run needs."""

    box: avatarkit.AsyncSandbox
    client: Any
    folder: Path
    base: dict[str, Any]

    @property
    def journal(self) -> Path:
        return self.folder / "run.db"

    @property
    def out(self) -> Path:
        return self.folder / "videos"

    def jobs(self, count: int, **changes: Any) -> list[tuple[str, dict[str, Any]]]:
        """So many jobs that differ."""
        if "image" in self.base:
            return [
                (f"j{n}", {**self.base, "audio": SOUND, "prompt": f"say {n}", **changes})
                for n in range(count)
            ]
        return [(f"j{n}", {**self.base, "text": f"say {n}", **changes}) for n in range(count)]

    async def run(self, jobs: Iterable[Any] | None, **options: Any) -> dict[str, JobOutcome]:
        """Work on them to the end; outcomes by key."""
        options.setdefault("out", self.out)
        journal = options.pop("journal", self.journal)
        return {o.key: o async for o in self.client.bulk(jobs, journal=journal, **options)}

    def made(self) -> Counter[str]:
        """How many videos were accepted, by what tells the jobs apart."""
        bodies = [task["body"] for task in self.box.seen.tasks if task["kind"] == "video"]
        return Counter(str(body.get("prompt") or body.get("text")) for body in bodies)


@asynccontextmanager
async def bulk_house(
    folder: Path,
    provider: str = "guiji",
    *,
    credits: float = 1e9,
    max_running: int | None = 20,
    **options: Any,
) -> AsyncIterator[Bulk]:
    """A world in which *provider* has what a request needs."""
    clock = VirtualClock()
    box = avatarkit.AsyncSandbox(
        clock=clock,
        listen=False,
        render="tiny",
        queue_seconds=2,
        run_seconds=30,
        credits=credits,
        max_running=max_running,
    )
    async with box:
        credentials = (box.token, box.secret) if provider == "guiji" else (box.token,)
        options = {"rate_limit": None, "max_running": max_running, **options}
        client = providers.client_class(provider)(
            *credentials, base_url=box.base_url(provider), wire=box.wire(), clock=clock, seed=1, **options
        )
        async with client:
            base = dict(PRESENTERS[provider])
            if provider == "guiji":
                base = {
                    "avatar": (await client.avatars.list_public()).items[0].id,
                    "voice": (await client.voices.list_public()).items[0].id,
                }
            elif provider == "hifly":
                avatar = await (await client.avatars.create_by_image(IMAGE)).wait()
                voice = await (await client.voices.create(SOUND, title="v")).wait()
                base = {"avatar": avatar.id, "voice": voice.id}
            yield Bulk(box, client, folder, base)


def states(outcomes: dict[str, JobOutcome]) -> dict[str, int]:
    """How many of each."""
    return dict(Counter(outcome.state.value for outcome in outcomes.values()))
