"""``avatarkit demo --provider NAME|all``: one request for each provider, and a video from each, offline.

What is asked of a provider stands in its ``demo.py``.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from avatarkit import providers, studio
from avatarkit.cli import output
from avatarkit.cli.invocation import Invocation, Ledger
from avatarkit.cli.progress import Board
from avatarkit.cli.running import follow, opened, operation
from avatarkit.protocol.props import FirstOf, Prop
from avatarkit.protocol.samples import png
from avatarkit.request import VideoRequest

if TYPE_CHECKING:
    from avatarkit.sandbox.local import AsyncSandbox

ALL = "all"
_SPEECH_SECONDS = 5.0
_CLIP_SECONDS = 5.0
_WAIT = 600.0


def chosen(provider: str) -> tuple[str, ...]:
    """The providers that *provider* names: itself, or all.

    Raises:
        ConfigurationError: there is no such provider.

    """
    if provider == ALL:
        return tuple(name for name in providers.names() if _shows(name))
    providers.spec(provider)
    return (provider,)


def _shows(name: str) -> bool:
    """Whether the provider's folder says what its demo is."""
    try:
        providers.part(name, "demo")
    except ModuleNotFoundError:
        return False
    return True


class Round:
    """A video from each of some providers, all at the same time."""

    def __init__(
        self, invocation: Invocation, sandbox: AsyncSandbox, names: tuple[str, ...], out: Path
    ) -> None:
        self._invocation = invocation
        self._sandbox = sandbox
        self._names = names
        self._out = out

    async def make(self) -> dict[str, Any]:
        """Everything, from the first picture to the last file; what came out as plain data."""
        begun = time.monotonic()
        self._out.mkdir(parents=True, exist_ok=True)
        async with Board(self._invocation) as board:
            made = await asyncio.gather(
                *(self._video(board, name) for name in self._names), return_exceptions=True
            )
        for each in made:
            if isinstance(each, BaseException):
                raise each
        return {
            "videos": made,
            "seconds": round(time.monotonic() - begun, 1),
            "studio": studio.available(),
            "page": f"{self._sandbox.url}/",
        }

    async def _video(self, board: Board, name: str) -> dict[str, Any]:
        sandbox, spec = self._sandbox, providers.spec(name)
        keys = (sandbox.token, sandbox.secret)[: len(spec.credentials)]
        # Each has its own ledger: what one submits is not another's to go on with.
        apart = attrs.evolve(self._invocation, ledger=Ledger())
        async with opened(
            apart,
            name,
            credentials=keys,
            base_url=sandbox.base_url(name),
            staging=f"sandbox+{sandbox.url}",
        ) as client:
            asked = providers.part(name, "demo").DEMO
            request = VideoRequest(
                **{field: await self._there(client, name, value) for field, value in asked.items()}
            )
            task = await client.generate(request)
            video, row = await follow(apart, board, task, name, timeout=_WAIT)
            target = self._out / f"{name}.mp4"
            saved = await video.save(target, overwrite=True, progress=board.transfer(row, "down"))
            board.finish(row, output.size_text(saved.size))
        route = client.capabilities.route(request.presenter, request.speech)
        return {
            "provider": name,
            "from": f"{request.presenter} and {request.speech}",
            "operations": list(route.operations) if route is not None else [],
            "text": request.text or "",
            "duration": video.duration,
            "size": saved.size,
            "path": str(saved.path),
        }

    async def _there(self, client: Any, name: str, value: Any) -> Any:
        """*value*, or what stands for it by now: a file, or the id of what the provider lists first."""
        if isinstance(value, Prop):
            return await asyncio.to_thread(self._prop, value.kind, name)
        if isinstance(value, FirstOf):
            rows = (await operation(client, value.operation)(**value.arguments, size=1)).items
            return rows[0].id
        return value

    def _prop(self, kind: str, name: str) -> Path:
        """A file of this kind, with another face and voice for each provider."""
        seed = 1 + self._names.index(name)
        path = self._out / f"{name}-{kind}.{ {'picture': 'png', 'clip': 'mp4', 'speech': 'wav'}[kind] }"
        if not studio.available():
            if kind == "picture":
                path.write_bytes(png(360, 640))
            elif kind == "clip":
                studio.plain_video(path, seconds=_CLIP_SECONDS, width=360, height=640)
            else:
                studio.plain_audio(path, _SPEECH_SECONDS, format="wav")
        elif kind == "picture":
            studio.sample_picture(path, seed=seed)
        elif kind == "clip":
            studio.sample_video(path, _CLIP_SECONDS, seed=seed)
        else:
            studio.sample_voice(path, _SPEECH_SECONDS, seed=seed)
        return path


def show(invocation: Invocation, told: dict[str, Any], out: Path) -> None:
    """Print what came out: a table of the files."""
    if invocation.json:
        output.write_json(told)
        return
    rows = [
        (
            video["provider"],
            video["from"],
            " + ".join(video["operations"]),
            "" if video["duration"] is None else f"{output.number_text(video['duration'])} s",
            output.size_text(video["size"]),
            video["path"],
        )
        for video in told["videos"]
    ]
    output.table(
        ("provider", "made from", "operations", "duration", "size", "path"), rows, right=("duration", "size")
    )
    output.note(invocation, f"{told['seconds']} s; nothing was charged")
    what = "1 video is" if len(rows) == 1 else f"{len(rows)} videos are"
    output.line(f"{what} in {out}. Next, a local API for your own code: avatarkit sandbox")
