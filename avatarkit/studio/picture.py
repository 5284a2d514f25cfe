"""Reading the avatar's material: a portrait, or a video of one, fitted to the frame with its face located."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps

from avatarkit.errors import InvalidRequest
from avatarkit.studio.face import KEY, Face, estimate_face, face_from_text
from avatarkit.studio.mouth import Pixels

_LONG_SIDE, _SHORT_SIDE, _LEAST = 1280, 720, 64
_REEL_BYTES = 160_000_000  # of decoded frames kept per video; 115 of them at 720x1280


def frame_size(material: tuple[int, int], asked: tuple[int, int] | None) -> tuple[int, int]:
    """The size of the film: *asked*, or else the material's, reduced to at most 720x1280 (either way round).

    H.264 needs even sides, so odd ones lose a pixel. Raises :class:`~avatarkit.errors.InvalidRequest` if
    *asked* has a side under 64 or over 2160 pixels.
    """
    if asked is not None:
        if not all(_LEAST <= side <= 2160 for side in asked):
            raise InvalidRequest(f"size: found {asked[0]}x{asked[1]}, allowed {_LEAST} to 2160 pixels a side")
        return asked[0] & ~1, asked[1] & ~1
    width, height = material
    factor = min(1.0, _LONG_SIDE / max(width, height), _SHORT_SIDE / min(width, height))
    return max(_LEAST, round(width * factor) & ~1), max(_LEAST, round(height * factor) & ~1)


def load_picture(path: Path) -> tuple[Image.Image, Face]:
    """The picture as RGB, upright, and where its face is: from our own mark if there is one, else estimated.

    Raises :class:`~avatarkit.errors.InvalidRequest` if it is no picture, or larger than Pillow's safety
    limit.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as opened:
                about = {str(key): value for key, value in opened.info.items()}
                opened.draft("RGB", (2 * _SHORT_SIDE, 2 * _LONG_SIDE))
                upright = ImageOps.exif_transpose(opened)
                image = _on_white(upright)
    except FileNotFoundError:
        raise
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:
        raise InvalidRequest(
            f"picture: found a file that cannot be read as one ({type(error).__name__})"
        ) from error
    return image, face_from_text(about, image.size) or estimate_face(image)


def _on_white(image: Image.Image) -> Image.Image:
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, layer).convert("RGB")


def cover(image: Image.Image, face: Face, size: tuple[int, int]) -> tuple[Image.Image, Face]:
    """*image* scaled and cropped to fill *size*, its face moved along. Of a tall picture more top is kept."""
    factor, dx, dy = _covering(image.size, size)
    scaled = (max(size[0], round(image.width * factor)), max(size[1], round(image.height * factor)))
    resized = image.resize(scaled, Image.Resampling.LANCZOS) if scaled != image.size else image
    left, top = round(-dx), round(-dy)
    return resized.crop((left, top, left + size[0], top + size[1])), face.scaled(factor, -left, -top)


def _covering(material: tuple[int, int], size: tuple[int, int]) -> tuple[float, float, float]:
    factor = max(size[0] / material[0], size[1] / material[1])
    return factor, (size[0] - material[0] * factor) / 2, (size[1] - material[1] * factor) * 0.3


class Reel:
    """The first seconds of a video, kept decoded and shown forward and backward without a jump.

    About 160 MB of frames are kept at most (4 to 5 seconds at 720x1280 and 25 frames a second).
    """

    def __init__(self, path: Path, asked: tuple[int, int] | None = None) -> None:
        try:
            with av.open(str(path)) as container:
                self._read(container, asked)
        except FileNotFoundError:
            raise
        except (av.FFmpegError, IndexError, ValueError) as error:
            raise InvalidRequest(
                f"source_video: found a file without a readable picture ({type(error).__name__})"
            ) from error

    def _read(self, container: Any, asked: tuple[int, int] | None) -> None:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        self._fps = float(stream.average_rate or 25)
        frames = container.decode(stream)
        first = next(frames, None)
        if first is None:
            raise ValueError("no frames")
        self._turns = round(first.rotation / 90) % 4
        upright = (first.height, first.width) if self._turns % 2 else (first.width, first.height)
        self.size = frame_size(upright, asked)
        factor, dx, dy = _covering(upright, self.size)
        fitted = tuple(max(s, round(u * factor)) for u, s in zip(upright, self.size, strict=True))
        self._corner = round(-dx), round(-dy)
        self._fitted = (fitted[1], fitted[0]) if self._turns % 2 else (fitted[0], fitted[1])
        limit = max(1, int(_REEL_BYTES / (1.5 * fitted[0] * fitted[1])))
        self._frames = [self._kept(first)]
        for frame in frames:
            if len(self._frames) >= limit:
                break
            self._frames.append(self._kept(frame))
        known = face_from_text({KEY: container.metadata.get("comment")}, upright)
        face = known.scaled(factor, dx, dy) if known else estimate_face(Image.fromarray(self.at(0)))
        self.face = face

    def _kept(self, frame: Any) -> Any:
        return frame.reformat(width=self._fitted[0], height=self._fitted[1], format="yuv420p")

    def at(self, time_s: float) -> Pixels:
        """The frame shown at *time_s*: forward to the last one kept, back to the first, and so on."""
        count = len(self._frames)
        step = int(time_s * self._fps) % max(1, 2 * count - 2)
        frame = self._frames[step if step < count else 2 * count - 2 - step]
        pixels: Pixels = np.rot90(frame.to_ndarray(format="rgb24"), self._turns)
        left, top = self._corner
        return np.ascontiguousarray(pixels[top : top + self.size[1], left : left + self.size[0]])
