"""Opening a closed mouth and closing an open eye, drawn or photographed: warps of small pixel areas.

The lips are split along the closed mouth's line. The upper lip moves up a little, the lower lip and the chin
move down with a displacement that fades out, and the gap shows teeth, tongue and shadow. An eyelid is the
skin above the eye, stretched down over it. Both work on any face, drawn or not, because all they use are the
picture's own pixels.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from avatarkit.studio.face import Box

Pixels = npt.NDArray[np.uint8]
_Floats = npt.NDArray[np.floating[Any]]

LEVELS = 20  # steps of opening; finer ones cannot be seen
WIDTHS = 5  # steps of width, from rounded ("oo") to spread ("ee")

_INSIDE = np.array((72, 18, 24), np.float32)
_DEPTH = np.array((34, 8, 12), np.float32)
_TEETH = np.array((244, 240, 232), np.float32)
_TONGUE = np.array((196, 92, 92), np.float32)


@attrs.frozen
class Area:
    """A rectangle of whole pixels inside a frame."""

    left: int
    top: int
    right: int
    bottom: int

    def of(self, frame: Pixels) -> Pixels:
        """The pixels of *frame* inside the rectangle: a view, not a copy."""
        return frame[self.top : self.bottom, self.left : self.right]

    @property
    def empty(self) -> bool:
        """Whether there is too little of it to warp."""
        return self.right - self.left < 4 or self.bottom - self.top < 4


def area_of(left: float, top: float, right: float, bottom: float, size: tuple[int, int]) -> Area:
    """The whole-pixel rectangle, cut off at the borders of a frame of *size* (width, height)."""
    return Area(
        max(0, int(left)),
        max(0, int(top)),
        min(size[0], int(np.ceil(right))),
        min(size[1], int(np.ceil(bottom))),
    )


def _ease(value: _Floats) -> _Floats:
    t = np.clip(value, 0, 1)
    return t * t * (3 - 2 * t)


def _sample(pixels: Pixels, x: _Floats, y: _Floats) -> _Floats:
    """Bilinear look-up, clamped at the borders."""
    height, width = pixels.shape[:2]
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    x0, y0 = x.astype(np.intp), y.astype(np.intp)
    fx, fy = (x - x0)[..., None], (y - y0)[..., None]
    flat = pixels.reshape(-1, pixels.shape[2])
    corner = y0 * width + x0
    upper = flat[corner] * (1 - fx) + flat[corner + 1] * fx
    lower = flat[corner + width] * (1 - fx) + flat[corner + width + 1] * fx
    mixed: _Floats = upper * (1 - fy) + lower * fy
    return mixed


class Mouth:
    """The moving mouth of one face; :meth:`draw` is a function of pixels, opening and width alone."""

    def __init__(self, mouth: Box, size: tuple[int, int], *, curved: bool) -> None:
        half, (cx, cy) = mouth.width / 2, mouth.centre
        self.area = area_of(cx - 2.1 * half, cy - 1.0 * half, cx + 2.1 * half, cy + 2.5 * half, size)
        ys, xs = np.mgrid[self.area.top : self.area.bottom, self.area.left : self.area.right].astype(
            np.float32
        )
        self._half = half
        self._x, self._y = xs - self.area.left, ys - self.area.top
        self._u: _Floats = (xs - cx) / half
        # Our own portraits smile: their mouth line bends up towards the corners.
        bend = (0.04 - 0.24 * np.minimum(np.abs(self._u), 1.0) ** 2) * half if curved else 0.0
        self._d: _Floats = ys - cy - bend

    def draw(self, pixels: Pixels, opening: float, width: float) -> Pixels:
        """*pixels* of :attr:`area` with the mouth open by *opening* (0 to 1), spread by *width* (-1 to 1)."""
        if self.area.empty or opening <= 0:
            return pixels
        half, d = self._half, self._d
        spread = 1 + 0.10 * width * min(1.0, 2 * opening) - 0.12 * opening
        near = np.exp(-((self._u / 1.5) ** 2) - (d / half / 1.2) ** 2)
        u = self._u / (1 + (spread - 1) * near)
        gap = half * (0.08 + 0.54 * opening) * min(1.0, 4 * opening)
        lens = np.sqrt(np.clip(1 - (u / 0.88) ** 2, 0, 1))
        up, down = 0.2 * gap * lens, 0.8 * gap * lens
        jaw = lens + (np.exp(-((self._u / 1.5) ** 2)) - lens) * _ease(d / (1.1 * half))
        rise = 0.2 * gap * lens * (1 - _ease((-d - up) / (0.75 * half)))
        drop = 0.8 * gap * jaw * (1 - _ease((d - down) / (2.1 * half)))
        source_y = self._y + np.where(
            d < 0, np.minimum(rise, -np.minimum(d, 0)), -np.minimum(drop, np.maximum(d, 0))
        )
        source_x = self._x + (u - self._u) * half
        lips = _sample(pixels, source_x, source_y)
        inside = np.clip(d + up + 0.5, 0, 1) * np.clip(down - d + 0.5, 0, 1) * (lens > 0)
        shown = self._inside(u, d + up, up + down, gap)
        return (lips + (shown - lips) * inside[..., None]).astype(np.uint8)

    def _inside(self, u: _Floats, below_lip: _Floats, height: _Floats, gap: float) -> _Floats:
        """The colours between the lips: shadow, upper teeth, tongue."""
        deep = np.clip(below_lip / max(gap, 1e-3), 0, 1)[..., None]
        color = _INSIDE + (_DEPTH - _INSIDE) * (1 - deep)
        teeth = np.minimum(0.20 * self._half, 0.42 * height)
        edge = np.clip(teeth * (1 - 0.25 * u**2) - below_lip + 0.5, 0, 1) * np.clip(
            (0.74 - np.abs(u)) * 9, 0, 1
        )
        shade = (0.80 + 0.2 * np.clip(1 - u**2, 0, 1))[..., None]
        color = color + (_TEETH * shade - color) * (edge * min(1.0, gap / (0.2 * self._half)))[..., None]
        tongue_top = height - 0.40 * gap * np.clip(1 - (u / 0.62) ** 2, 0, 1)
        tongue = np.clip((below_lip - tongue_top) / (0.12 * gap + 1), 0, 1) * np.clip(
            gap / (0.5 * self._half), 0, 1
        )
        color = color + (_TONGUE - color) * (0.85 * tongue)[..., None]
        return np.asarray(color)


class Eyelid:
    """The upper lid of one eye."""

    def __init__(self, eye: Box, size: tuple[int, int]) -> None:
        (cx, cy), half, tall = eye.centre, eye.width / 2, eye.height
        self.area = area_of(cx - 1.35 * half, cy - 1.02 * tall, cx + 1.35 * half, cy + 0.9 * tall, size)
        ys, xs = np.mgrid[self.area.top : self.area.bottom, self.area.left : self.area.right].astype(
            np.float32
        )
        self._x, self._y = xs - self.area.left, ys - self.area.top
        u = np.clip((xs - cx) / half, -1.3, 1.3)
        arch = np.clip(1 - (u / 1.12) ** 2, 0, 1)
        self._open: _Floats = cy - self.area.top - 0.57 * tall * np.sqrt(arch) + 0.13 * tall
        self._closed: _Floats = np.maximum(self._open, cy - self.area.top + 0.44 * tall * arch)

    def draw(self, pixels: Pixels, shut: float) -> Pixels:
        """*pixels* of :attr:`area` with the eye *shut* (0 open, 1 closed)."""
        if self.area.empty or shut <= 0:
            return pixels
        lid = self._open + (self._closed - self._open) * shut
        lifted = self._y * (self._open / np.maximum(lid, 1e-3))
        covered = _sample(pixels, self._x, lifted)
        edge = np.clip(lid - self._y + 0.5, 0, 1)[..., None]
        return np.asarray(pixels + (covered - pixels) * edge).astype(np.uint8)
