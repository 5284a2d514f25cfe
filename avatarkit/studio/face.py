"""Where the face is in a picture: known exactly for our own portraits, estimated for anyone else's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image

KEY = "avatarkit-face"  # tEXt key of a PNG, and metadata key of an MP4


@attrs.frozen
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the rectangle."""
        return self.left + self.width / 2, self.top + self.height / 2

    def scaled(self, factor: float, dx: float, dy: float) -> Box:
        """The same rectangle after the picture was scaled by *factor*, then moved by (dx, dy)."""
        return Box(self.left * factor + dx, self.top * factor + dy, self.width * factor, self.height * factor)


@attrs.frozen(kw_only=True)
class Face:
    """The parts of a face that move; the closed mouth's line runs through the middle of its box.

    ``drawn`` says that the place is known, not estimated.
    """

    head: Box
    mouth: Box
    eyes: tuple[Box, ...] = ()
    drawn: bool = False

    def scaled(self, factor: float, dx: float, dy: float) -> Face:
        """The face after the picture was scaled by *factor*, then moved by (dx, dy)."""
        return Face(
            head=self.head.scaled(factor, dx, dy),
            mouth=self.mouth.scaled(factor, dx, dy),
            eyes=tuple(eye.scaled(factor, dx, dy) for eye in self.eyes),
            drawn=self.drawn,
        )

    def to_text(self, size: tuple[int, int]) -> str:
        """As JSON, with the size of the picture it belongs to."""
        boxes = [[round(v, 2) for v in attrs.astuple(box)] for box in (self.head, self.mouth, *self.eyes)]
        return json.dumps({"size": list(size), "boxes": boxes})


def face_from_text(info: Mapping[str, Any], size: tuple[int, int]) -> Face | None:
    """The face a picture's metadata tells of, scaled to *size*; ``None`` if it tells nothing usable."""
    try:
        found = json.loads(info.get(KEY) or info["comment"])
        width, height = (float(v) for v in found["size"])
        head, mouth, *eyes = (Box(*(float(v) for v in box)) for box in found["boxes"])
        numbers = (width, height, *(v for box in (head, mouth, *eyes) for v in attrs.astuple(box)))
        if not all(-1e5 < v < 1e5 for v in numbers) or min(width, height, mouth.width, head.width) <= 0:
            return None
    except (KeyError, ValueError, TypeError):
        return None
    factor = min(size[0] / width, size[1] / height)
    return Face(head=head, mouth=mouth, eyes=tuple(eyes[:2]), drawn=True).scaled(factor, 0, 0)


def estimate_face(image: Image.Image) -> Face:
    """A sensible guess for a portrait: the largest patch of skin tone in the upper part, or the usual place.

    It needs no model, so it is only good enough to put a moving mouth where a viewer expects one:
    proportions of an upright frontal face are assumed below the top of the patch.
    """
    width, height = image.size
    scale = 96 / max(width, height)
    small = image.convert("YCbCr").resize(
        (max(8, round(width * scale)), max(8, round(height * scale))), Image.Resampling.BOX
    )
    found = _skin_box(np.asarray(small).astype(np.int16))
    if found is None:
        face_width = min(width * 0.42, height * 0.3)
        left, top = (width - face_width) / 2, height * 0.2
    else:
        left, top, face_width = (value / scale for value in found)
    face_height = face_width * 1.35
    centre = left + face_width / 2
    expected = Box(centre - face_width * 0.19, top + face_height * 0.76, face_width * 0.38, face_width * 0.12)
    mouth = _on_lips(image, expected)
    # Lips that were found correct the rest of the face too.
    top += mouth.top - expected.top
    eyes = tuple(
        Box(
            centre + side * face_width * 0.21 - face_width * 0.1,
            top + face_height * 0.4,
            face_width * 0.2,
            face_width * 0.1,
        )
        for side in (-1, 1)
    )
    head = Box(left - face_width * 0.12, top - face_height * 0.2, face_width * 1.24, face_height * 1.25)
    return Face(head=head, mouth=mouth, eyes=eyes)


def _skin_box(ycc: npt.NDArray[np.int16]) -> tuple[float, float, float] | None:
    """(left, top, width) of the skin in the upper 70 % of the picture, or None if there is no likely face."""
    rows = int(ycc.shape[0] * 0.7)
    light, blue, red = ycc[:rows, :, 0], ycc[:rows, :, 1], ycc[:rows, :, 2]
    skin = (light > 50) & (blue > 77) & (blue < 127) & (red > 135) & (red < 175)
    if not 0.02 < skin.mean() < 0.6:
        return None
    # A wall can have the colour of skin: what looks like the border of its row is wall.
    for edge in (slice(0, 3), slice(-3, None)):
        wall = np.median(ycc[:rows, edge], axis=1, keepdims=True)
        skin &= np.abs(ycc[:rows] - wall).sum(2) > 18
    columns = skin.sum(0).astype(float)
    columns *= np.exp(-((np.linspace(-1.6, 1.6, len(columns))) ** 2))
    peak = int(np.convolve(columns, np.ones(7) / 7, "same").argmax())
    # Walk out from the fullest column until skin gets thin: that is the width of the face.
    thin = columns < 0.25 * columns[peak]
    left = peak - int(np.argmax(thin[peak::-1])) if thin[: peak + 1].any() else 0
    right = peak + int(np.argmax(thin[peak:])) if thin[peak:].any() else len(columns)
    in_rows = skin[:, left : right + 1].mean(1) > 0.3
    if not in_rows.any() or not 0.12 < (right - left) / len(columns) < 0.9:
        return None
    return float(left), float(np.argmax(in_rows)), float(right - left)


def _on_lips(image: Image.Image, mouth: Box) -> Box:
    """*mouth* moved up or down onto the row where it is reddest and darkest, if there is one nearby."""
    reach = mouth.width * 0.85
    area = (mouth.left, mouth.centre[1] - reach, mouth.left + mouth.width, mouth.centre[1] + reach)
    box = tuple(round(v) for v in area)
    if box[0] < 0 or box[1] < 0 or box[2] > image.width or box[3] > image.height or box[3] - box[1] < 8:
        return mouth
    ycc = np.asarray(image.crop(box).convert("YCbCr")).astype(float)  # type: ignore[arg-type]
    score = (ycc[..., 2] - 0.25 * ycc[..., 0]).mean(1)
    score = np.convolve(score, np.ones(3) / 3, "same")
    score -= np.median(score)
    if score[1:-1].max() < 2.5:
        return mouth
    score *= np.exp(-0.5 * np.linspace(-1, 1, len(score)) ** 2)
    score[[0, -1]] = 0  # the ends of the smoothing see less than a full window
    middle = box[1] + float(score.argmax())
    return Box(mouth.left, middle - mouth.height / 2, mouth.width, mouth.height)
