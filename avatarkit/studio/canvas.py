"""Drawing with smooth outlines: polygons through curves, soft edges, tapered strokes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point = tuple[float, float]
Color = tuple[int, int, int]

CENTRE = 360.0  # the middle of the drawing, in design units


def mix(one: Color, other: Color, share: float) -> Color:
    """A colour between *one* (share 0) and *other* (share 1)."""
    first, second, third = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return first, second, third


def smooth(points: Sequence[Point], *, closed: bool = True, steps: int = 14) -> list[Point]:
    """A Catmull-Rom curve through *points*."""
    known = np.asarray(points, dtype=float)
    around = np.roll(known, 1, 0), known, np.roll(known, -1, 0), np.roll(known, -2, 0)
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (p[:, None, :] for p in around)
    curve = 0.5 * (
        2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3
    )
    # An open curve starts at the second point and ends at the last but one.
    flat = curve.reshape(-1, 2) if closed else np.vstack([curve[1:-2].reshape(-1, 2), known[-2]])
    return [(float(x), float(y)) for x, y in flat]


def mirrored(half: Sequence[Point]) -> list[Point]:
    """The whole outline from its right half (x measured from the middle), in design units."""
    right = [(CENTRE + x, y) for x, y in half]
    left = [(CENTRE - x, y) for x, y in reversed(half) if x > 0]
    return right + left


class Canvas:
    """A picture under construction, drawn larger than asked and reduced at the end for smooth edges."""

    def __init__(self, size: tuple[int, int], scale: float, origin: Point) -> None:
        self.image = Image.new("RGB", size)
        self._scale, self._origin = scale, origin

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        (ox, oy), s = self._origin, self._scale
        return [(ox + x * s, oy + y * s) for x, y in points]

    def mask(self, points: Sequence[Point], blur: float = 0.0) -> Image.Image:
        """Where the outline covers the picture, optionally softened by *blur* design units."""
        mask = Image.new("L", self.image.size)
        pixels = self._pixels(points)
        ImageDraw.Draw(mask).polygon(pixels, fill=255)
        if blur:
            reach = 3 * blur * self._scale
            xs, ys = [x for x, _ in pixels], [y for _, y in pixels]
            box = (
                max(0, int(min(xs) - reach)),
                max(0, int(min(ys) - reach)),
                min(mask.width, int(max(xs) + reach)),
                min(mask.height, int(max(ys) + reach)),
            )
            if box[0] < box[2] and box[1] < box[3]:
                soft = mask.crop(box).filter(ImageFilter.GaussianBlur(blur * self._scale))
                mask.paste(soft, box)
        return mask

    def fill(
        self,
        points: Sequence[Point],
        color: Color,
        *,
        blur: float = 0.0,
        within: Image.Image | None = None,
        opacity: float = 1.0,
    ) -> Image.Image:
        """Paint an outline and return its mask; *within* is a mask it must not leave."""
        mask = self.mask(points, blur)
        shown = ImageChops.multiply(mask, within) if within else mask
        if opacity < 1:
            shown = shown.point([round(v * opacity) for v in range(256)])
        box = shown.getbbox()
        if box:
            self.image.paste(color, box, shown.crop(box))
        return mask

    def oval(self, x: float, y: float, rx: float, ry: float) -> list[Point]:
        """Outline of an ellipse around (x, y)."""
        turns = (n * math.tau / 48 for n in range(48))
        return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in turns]

    def line(self, points: Sequence[Point], color: Color, width: float, **how: float) -> None:
        """A stroke with tapered ends along *points*, which are smoothed."""
        path = np.asarray(smooth(with_ends(points), closed=False))
        along = np.gradient(path, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], 1)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
        taper = (width / 2) * np.sin(np.linspace(0.12, math.pi - 0.12, len(path)))[:, None] ** 0.6
        outline = np.concatenate([path + normal * taper, (path - normal * taper)[::-1]])
        self.fill([(float(x), float(y)) for x, y in outline], color, **how)  # type: ignore[arg-type]


def with_ends(points: Sequence[Point]) -> list[Point]:
    """*points* with one more at each end, as an open Catmull-Rom curve needs."""
    (ax, ay), (bx, by), (yx, yy), (zx, zy) = points[0], points[1], points[-2], points[-1]
    return [(2 * ax - bx, 2 * ay - by), *points, (2 * zx - yx, 2 * zy - yy)]
