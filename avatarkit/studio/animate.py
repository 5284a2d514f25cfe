"""From sound to movement: how far the mouth opens in each frame, when the eyes blink, how the head sways."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image

from avatarkit.studio.face import Face
from avatarkit.studio.mouth import LEVELS, WIDTHS, Area, Eyelid, Mouth, Pixels, area_of

if TYPE_CHECKING:
    from avatarkit.studio.models import Speech

_BLINK = (0.45, 0.9, 1.0, 0.85, 0.4)  # at 25 frames a second
_GRID_X, _GRID_Y = 7, 8
_BLOCK_FRAMES = 500  # frames analysed at once, so that a long speech needs little memory


@attrs.frozen
class Track:
    """Per frame: mouth opening (0 to 1), width (-1 to 1), and the slow energy that makes the head nod."""

    opening: npt.NDArray[np.float32]
    width: npt.NDArray[np.float32]
    energy: npt.NDArray[np.float32]


def follow(speech: Speech, frames: int, fps: int) -> Track:
    """Mouth movement for *frames* frames of *speech*. Silence gives exactly 0."""
    loudness, bright = _analyse(speech, frames, fps)
    voiced = loudness[loudness > 150]
    full = max(float(np.percentile(voiced, 92)), 600.0) if len(voiced) else 1.0
    opening = np.clip((loudness - 90) / full, 0, 1) ** 0.9 if len(voiced) else np.zeros(frames, np.float32)
    opening[loudness <= 90] = 0
    # A mouth opens faster than it closes, and never jumps.
    eased, last = np.zeros(frames, np.float32), 0.0
    for index, value in enumerate(opening):
        last += (float(value) - last) * (0.85 if value > last else 0.6)
        eased[index] = last = last if last > 0.03 else 0.0
    width = np.convolve(np.clip((bright - 0.32) * 3.2, -1, 1), np.ones(3) / 3, "same")[:frames]
    energy = np.convolve(eased, np.hanning(fps) / max(1.0, np.hanning(fps).sum()), "same")[:frames]
    return Track(eased, width.astype(np.float32), energy.astype(np.float32))


def _analyse(
    speech: Speech, frames: int, fps: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """RMS and share of energy above 1.4 kHz around each frame's moment."""
    rate = speech.sample_rate
    window = max(32, round(1.6 * rate / fps))
    samples = np.concatenate([np.zeros(window // 2, np.int16), speech.samples, np.zeros(window, np.int16)])
    loudness, bright = np.zeros(frames, np.float32), np.zeros(frames, np.float32)
    cut = max(1, round(1400 * window / rate))
    shape = np.hanning(window).astype(np.float32)
    for begin in range(0, frames, _BLOCK_FRAMES):
        count = min(_BLOCK_FRAMES, frames - begin)
        at = ((np.arange(begin, begin + count) + 0.5) * rate / fps).astype(np.intp)
        at = np.minimum(at, len(samples) - window)
        block = samples[at[:, None] + np.arange(window)].astype(np.float32)
        loudness[begin : begin + count] = np.sqrt((block**2).mean(1))
        spectrum = np.abs(np.fft.rfft(block * shape, axis=1))
        bright[begin : begin + count] = spectrum[:, cut:].sum(1) / (spectrum.sum(1) + 1e-3)
    return loudness, bright


def blinks(frames: int, fps: int, seed: int) -> npt.NDArray[np.float32]:
    """How far the eyes are shut in each frame: a blink every two to five seconds, the first after one."""
    chance = random.Random(seed)  # noqa: S311 - looks, not secrets
    shut = np.zeros(frames, np.float32)
    at = chance.uniform(0.6, 1.2)
    length = len(_BLINK) / 25
    while at * fps < frames:
        for index in range(math.ceil(at * fps), min(frames, math.ceil((at + length) * fps))):
            shut[index] = _BLINK[min(len(_BLINK) - 1, int((index / fps - at) * 25))]
        at += chance.uniform(2.0, 4.8)
    return shut


class Puppet:
    """A still picture brought to life. Only the head's rectangle is computed anew for each frame.

    Use one per video: :meth:`frame` reuses one buffer, and the next call overwrites what the last one
    returned.
    """

    def __init__(self, picture: Image.Image, face: Face, *, seed: int = 1, sway: float = 1.0) -> None:
        self._base: Pixels = np.asarray(picture.convert("RGB")).copy()
        self._out = self._base.copy()
        size = picture.size
        self._mouth = Mouth(face.mouth, size, curved=face.drawn)
        self._lids = [Eyelid(eye, size) for eye in face.eyes]
        self._drawn: dict[tuple[int, int], Pixels] = {}
        chance = random.Random(seed)  # noqa: S311 - looks, not secrets
        self._phases = [chance.uniform(0, math.tau) for _ in range(6)]
        head = face.head
        margin_x, margin_y = head.width * 0.36, head.height * 0.22
        self._area = area_of(
            head.left - margin_x,
            head.top - margin_y,
            head.left + head.width + margin_x,
            head.top + head.height + margin_y,
            size,
        )
        self._unit, self._sway = sway * head.height / 400, sway
        self._pivot = (head.centre[0] - self._area.left, head.top + head.height - self._area.top)
        self._grid(face)

    def _grid(self, face: Face) -> None:
        width, height = self._area.right - self._area.left, self._area.bottom - self._area.top
        columns = np.linspace(0, width, _GRID_X + 1).round().astype(int)
        rows = np.linspace(0, height, _GRID_Y + 1).round().astype(int)
        self._vx, self._vy = np.meshgrid(columns.astype(float), rows.astype(float))
        # Full movement over the face, none at the rectangle's border: nothing tears, the neck just gives way.
        across = np.clip((0.5 - np.abs(self._vx / width - 0.5)) / 0.22, 0, 1)
        down = np.clip((0.5 - np.abs(self._vy / height - 0.5)) / 0.22, 0, 1)
        self._weight = across * across * (3 - 2 * across) * down * down * (3 - 2 * down)
        self._cells = [
            (int(columns[c]), int(rows[r]), int(columns[c + 1]), int(rows[r + 1]))
            for r in range(_GRID_Y)
            for c in range(_GRID_X)
        ]

    def frame(self, time_s: float, opening: float, width: float, shut: float, energy: float) -> Pixels:
        """The picture at *time_s*; the other values are those of :class:`Track` and :func:`blinks`."""
        still = self._base
        if self._area.right - self._area.left < 32 or self._area.bottom - self._area.top < 32:
            return still
        patches: list[tuple[Area, Pixels]] = [
            (lid.area, lid.draw(lid.area.of(still), shut)) for lid in self._lids if shut > 0
        ]
        if opening > 0:
            patches.append((self._mouth.area, self._open_mouth(opening, width)))
        out = self._out
        self._area.of(out)[:] = self._area.of(still)
        for area, pixels in patches:
            area.of(out)[:] = pixels
        head = Image.fromarray(self._area.of(out))
        moved = head.transform(
            head.size, Image.Transform.MESH, self._mesh(time_s, energy), Image.Resampling.BILINEAR
        )
        self._area.of(out)[:] = np.asarray(moved)
        return out

    def _open_mouth(self, opening: float, width: float) -> Pixels:
        key = (math.ceil(opening * LEVELS), round((width + 1) / 2 * (WIDTHS - 1)))
        if key not in self._drawn:
            pixels = self._mouth.area.of(self._base)
            self._drawn[key] = self._mouth.draw(pixels, key[0] / LEVELS, key[1] / (WIDTHS - 1) * 2 - 1)
        return self._drawn[key]

    def _mesh(
        self, time_s: float, energy: float
    ) -> list[tuple[tuple[int, int, int, int], tuple[float, ...]]]:
        p, t = self._phases, time_s
        turn = self._sway * math.radians(0.75 * math.sin(1.15 * t + p[0]) + 0.45 * math.sin(2.3 * t + p[1]))
        dx = self._unit * (2.6 * math.sin(0.9 * t + p[2]) + 1.2 * math.sin(2.1 * t + p[3]))
        dy = self._unit * (1.6 * math.sin(1.4 * t + p[4]) + 7.0 * (energy - 0.3) * math.sin(3.1 * t + p[5]))
        rx, ry = self._vx - self._pivot[0], self._vy - self._pivot[1]
        x = self._vx - self._weight * (dx - turn * ry)
        y = self._vy - self._weight * (dy + turn * rx)
        mesh = []
        for number, cell in enumerate(self._cells):
            r, c = divmod(number, _GRID_X)
            corners = ((r, c), (r + 1, c), (r + 1, c + 1), (r, c + 1))
            mesh.append((cell, tuple(float(v) for i, j in corners for v in (x[i, j], y[i, j]))))
        return mesh
