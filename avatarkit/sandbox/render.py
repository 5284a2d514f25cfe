"""From an accepted task to its result file: with the studio, plainly, or as a few made-up bytes."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import threading
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import attrs

from avatarkit import studio
from avatarkit.errors import AvatarKitError
from avatarkit.protocol.fakewire import FakeFile, FakeTask, MediaOrder
from avatarkit.sandbox.files import FileStore
from avatarkit.sandbox.world import SandboxWorld
from avatarkit.transport.threads import in_thread

Mode = Literal["auto", "studio", "plain", "tiny"]

_log = logging.getLogger("avatarkit.sandbox")
_AT_ONCE = 2
_PLAIN_LONGEST = 600.0
_STYLE_FIELDS = (
    "font_name",
    "font_size",
    "primary_color",
    "outline_color",
    "width",
    "height",
    "pos_x",
    "pos_y",
)


class Renderer:
    """Renders what accepted tasks order, at most two at once, in worker threads.

    Args:
        mode: ``auto`` takes the studio when its packages are installed, else plain files.
        result_bytes: size of each made-up file in mode ``tiny``.
        on_done: called on the event loop when a task's file is complete.
    """

    def __init__(
        self,
        world: SandboxWorld,
        store: FileStore,
        *,
        mode: Mode,
        result_bytes: int,
        on_done: Callable[[FakeTask], None],
    ) -> None:
        if mode == "auto":
            mode = "studio" if studio.available() else "plain"
            if mode == "plain":
                _log.warning(
                    "results are plain pictures; for talking avatars: "
                    "python -m pip install '.[studio]' (missing: %s)",
                    ", ".join(studio.missing()),
                )
        self.mode: Mode = mode
        self._world = world
        self._store = store
        self._result_bytes = result_bytes
        self._on_done = on_done
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._jobs: set[asyncio.Task[None]] = set()
        self._closed = False

    def start(self, task: FakeTask) -> None:
        """Begin to render a task that was just accepted. Must be called on the event loop."""
        if task.order is None:
            task.rendered_at = task.created
            return
        if task.failure is not None:
            return
        sound = task.order.media == "audio"
        task.result = self._world.add_result(
            task, extension="mp3" if sound else "mp4", content_type="audio/mpeg" if sound else "video/mp4"
        )
        if self.mode == "tiny":
            task.result.size, task.result.uploaded = self._result_bytes, True
            task.rendered_at, task.seconds = task.created, task.order.seconds
            return
        job = asyncio.get_running_loop().create_task(self._run(task, task.order, task.result))
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _run(self, task: FakeTask, order: MediaOrder, result: FakeFile) -> None:
        async with self._turn:
            if self._closed:
                return
            path = self._store.new_path(result.extension)
            task.seconds = await in_thread(_render, self.mode, path, order)
        result.path, result.size, result.uploaded = path, path.stat().st_size, True
        result.seconds = task.seconds
        task.rendered_at = self._world.now()
        self._on_done(task)

    async def aclose(self) -> None:
        """Let what is being rendered finish, for a thread cannot be stopped, and drop the rest."""
        self._closed = True
        if self._jobs:
            await asyncio.gather(*self._jobs, return_exceptions=True)


def _render(mode: Mode, path: Path, order: MediaOrder) -> float:
    """Write the file; its length in seconds. What the studio cannot digest is rendered plainly."""
    if mode == "studio":
        faces = (order, attrs.evolve(order, face=None)) if order.face else (order,)
        for attempt in faces:
            try:
                return _studio(path, attempt)
            except AvatarKitError as problem:
                _log.warning("the studio cannot use what was given, trying something simpler: %s", problem)
            except Exception:  # noqa: BLE001 - uploads are arbitrary bytes; any decoder error means "not this way"
                _log.warning("the studio could not render this; trying something simpler", exc_info=True)
    seconds = min(_PLAIN_LONGEST, max(1.0, order.seconds))
    if order.media == "audio":
        return studio.plain_audio(path, seconds, format="mp3").duration_s
    return studio.plain_video(path, seconds=seconds).duration_s


def _studio(path: Path, order: MediaOrder) -> float:
    if order.audio is not None and order.audio.path is not None:
        return _with_sound(path, order, order.audio.path)
    if order.media == "video" and not order.text:
        return _with_tone(path, order)
    speech = studio.speak(
        order.text or "…",
        language=order.language,
        rate=order.rate,
        volume=order.volume,
        pitch=order.pitch,
        timbre=studio.Timbre(order.voice) if order.voice else None,
    )
    return _with_sound(path, order, speech)


def _with_tone(path: Path, order: MediaOrder) -> float:
    """Of a sound that came inline, or lies elsewhere, only the length is known: a tone stands for it."""
    tone = path.with_suffix(".tone.wav")
    try:
        studio.plain_audio(tone, min(_PLAIN_LONGEST, order.seconds), format="wav")
        return _with_sound(path, order, tone)
    finally:
        tone.unlink(missing_ok=True)


def _with_sound(path: Path, order: MediaOrder, sound: Any) -> float:
    if order.media == "audio":
        return studio.render_audio(path, sound, format="mp3").duration_s
    face = order.face.path if order.face else _portrait(path.parent, order.presenter)
    still = order.face is None or order.face.content_type.startswith("image/")
    rendered = studio.render_video(
        path,
        speech=sound,
        picture=face if still else None,
        source_video=None if still else face,
        subtitle=_style(order),
        text=order.text,
    )
    return rendered.duration_s


def _portrait(folder: Path, presenter: str) -> Path:
    """A picture of this presenter, drawn when it is needed for the first time."""
    seed = 1 + hashlib.sha256(presenter.encode()).digest()[0] % 60
    picture = folder / f"presenter-{seed}.png"
    if not picture.exists():
        # Two threads may draw the same one; each writes its own file, and whole files only are seen.
        draft = folder / f"draft-{seed}-{threading.get_ident()}.png"
        studio.sample_picture(draft, seed=seed)
        draft.replace(picture)
    return picture


def _style(order: MediaOrder) -> studio.SubtitleStyle | None:
    if order.subtitle is None:
        return None
    return studio.SubtitleStyle(
        **{name: order.subtitle[name] for name in _STYLE_FIELDS if order.subtitle.get(name)}
    )


def media_seconds(path: Path) -> float:
    """How long a sound or a clip is; 0.0 when that cannot be told."""
    with contextlib.suppress(wave.Error, EOFError, OSError), wave.open(str(path), "rb") as sound:
        return sound.getnframes() / max(1, sound.getframerate())
    try:
        import av
    except ImportError:
        return 0.0
    try:
        with av.open(str(path)) as container:
            return float(container.duration or 0) / float(av.time_base)
    except (OSError, ValueError):
        return 0.0
