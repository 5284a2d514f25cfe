"""A sandbox whose tasks, avatars and files outlive it, for a demo that is interrupted and goes on.

What it knows is written down before any answer that changed it goes out, so that also a killed sandbox remembers every
task whose acceptance a client has seen.
"""

# ruff: noqa: SLF001 - what has to be kept is what the world keeps to itself

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import orjson

from avatarkit.protocol.fakewire import (
    Fake,
    FakeAsset,
    FakeFailure,
    FakeFile,
    FakeRequest,
    FakeResponse,
    FakeTask,
    MediaOrder,
    World,
)
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.sandbox.world import SandboxWorld, _Unfinished

_STATE = "world.json"


class KeptSandbox(AsyncSandbox):
    """A sandbox that goes on where the last one in its folder ended. One at a time; the caller sees to that.

    Args:
        folder: what it keeps; made when it is missing. Only files that it wrote itself belong there.
        options: as for :class:`AsyncSandbox`; the account has to be the same each time.

    """

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(**options)
        self._folder = folder
        fakes = {name: _Watched(fake, self._save) for name, fake in self._world.fakes.items()}
        self._world.fakes = fakes

    async def start(self) -> None:
        """Listen, with what is remembered. Raises OSError when a port is taken or the folder cannot be written."""
        if self._wire is not None:
            return
        files = self._folder / "files"
        files.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            _restore(self._world, orjson.loads((self._folder / _STATE).read_bytes()), files)
        await super().start()
        assert self._store is not None
        assert self._renderer is not None
        with contextlib.suppress(OSError):
            self._store.folder.rmdir()
        self._store.folder = files
        self._store._names = max((int(path.stem) for path in files.glob("[0-9]*")), default=0)
        for task in self._world.all_tasks.values():
            if task.rendered_at is None and task.failure is None:
                self._renderer.start(task)

    async def aclose(self) -> None:
        """Stop, and keep everything."""
        if self._wire is not None:
            self._store = None  # what is in it stays
            await super().aclose()
            self._save()

    def stock(self, kind: str, *, provider: str = "hifly") -> list[str]:
        """Ids of the public avatars or voices."""
        return [asset.id for asset in self._world.public_assets(provider, kind)]

    def _save(self) -> None:
        draft = self._folder / f"{_STATE}.part"
        draft.write_bytes(orjson.dumps(_state(self._world)))
        draft.replace(self._folder / _STATE)


class _Watched:
    """A fake that has the world saved before it answers what may have changed it."""

    def __init__(self, fake: Fake, save: Callable[[], None]) -> None:
        self._fake = fake
        self._save = save

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fake, name)

    def handle(self, request: FakeRequest, world: World) -> FakeResponse:
        """Answer one request."""
        reply = self._fake.handle(request, world)
        if request.method != "GET":
            self._save()
        return reply


def _state(world: SandboxWorld) -> dict[str, Any]:
    return {
        "ids": world._ids,
        "memory": world._memory,
        "credits": [[provider, key, each.credits] for (provider, key), each in world.accounts.items()],
        "files": [_plain(file, path=file.path and file.path.name) for file in world.files.values()],
        "tasks": [_task(task) for task in world.all_tasks.values()],
        "assets": [
            _plain(asset, source=asset.source and asset.source.id, tasks=[task.id for task in asset.tasks])
            for asset in world._assets.values()
            if not asset.public
        ],
    }


def _plain(thing: Any, **changed: Any) -> dict[str, Any]:
    return {each.name: getattr(thing, each.name) for each in attrs.fields(type(thing))} | changed


def _task(task: FakeTask) -> dict[str, Any]:
    order = task.order
    plain = order and _plain(order, face=order.face and order.face.id, audio=order.audio and order.audio.id)
    return _plain(
        task,
        order=plain,
        result=task.result and task.result.id,
        failure=task.failure and _plain(task.failure),
    )


def _restore(world: SandboxWorld, state: Mapping[str, Any], folder: Path) -> None:
    world._ids, world._memory = state["ids"], state["memory"]
    for provider, key, left in state["credits"]:
        if account := world.account(provider, key):
            account.credits = left
    for plain in state["files"]:
        name = plain["path"]
        file = FakeFile(**plain | {"path": folder / Path(name).name if name else None})
        world.files[file.id] = file
    for plain in state["tasks"]:
        task = _restored(world, plain)
        world.all_tasks[task.provider, task.id] = task
        if not task.status(world.now()).terminal:
            world._unfinished.setdefault((task.provider, task.account), _Unfinished()).add(task)
    for plain in state["assets"]:
        tasks = [world.all_tasks[plain["provider"], each] for each in plain["tasks"]]
        world.add_asset(FakeAsset(**plain | {"source": world.files.get(plain["source"]), "tasks": tasks}))


def _restored(world: SandboxWorld, plain: dict[str, Any]) -> FakeTask:
    order = plain["order"]
    if order is not None:
        material = {name: world.files.get(order[name]) for name in ("face", "audio")}
        plain["order"] = MediaOrder(**order | material)
    if plain["failure"] is not None:
        plain["failure"] = FakeFailure(**plain["failure"])
    plain["result"] = world.files.get(plain["result"])
    return FakeTask(**plain)
