"""Small pictures of videos for the report, by PyAV where it is installed. The videos are not trusted. Blocking."""

from __future__ import annotations

import base64
import time
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

# The demuxer is named, so that a file that says it is a video is not taken for a playlist that opens others.
_DEMUXERS = {"mp4": "mov", "m4v": "mov", "mov": "mov", "webm": "matroska", "mkv": "matroska"}
_SIDE = 300  # pixels, of the longer side
_QUALITY = 7  # of ffmpeg's mjpeg, 2 (best) to 31
_LARGEST = 40_000  # bytes of one picture
_MOST_PIXELS = 40_000_000
_MOST_FRAMES = 40


@cache
def _library() -> Any:
    """PyAV, loaded on first use; None without the extras ``media`` and ``studio``."""
    try:
        import av
    except ImportError:
        return None
    return av


class Posters:
    """Makes pictures until there are enough bytes of them, or it has taken long enough.

    Args:
        most_bytes: of all pictures together.
        patience: seconds for all of them together.

    """

    def __init__(self, *, most_bytes: int = 3_000_000, patience: float = 60.0) -> None:
        self._bytes_left = most_bytes
        self._until = time.monotonic() + patience

    def of(self, path: Path) -> str:
        """A ``data:`` URI with a JPEG of a frame from the middle of the video, or ``""``. Never raises."""
        demuxer = _DEMUXERS.get(path.suffix.lstrip(".").lower())
        av = _library()
        if av is None or demuxer is None or self._bytes_left <= 0 or time.monotonic() > self._until:
            return ""
        try:
            with path.open("rb") as file, av.open(file, mode="r", format=demuxer) as container:
                frame = _middle(container)
                picture = b"" if frame is None else _jpeg(av, frame)
        except Exception:  # noqa: BLE001 - a hostile file may trip the binding in any way
            return ""
        if not picture or len(picture) > min(_LARGEST, self._bytes_left):
            return ""
        self._bytes_left -= len(picture)
        return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def _middle(container: Any) -> Any:
    """The first frame that can be decoded from the last key frame before the middle, else from the start."""
    stream = container.streams.video[0]
    context = stream.codec_context
    if not 0 < (context.width or 0) * (context.height or 0) <= _MOST_PIXELS:
        return None
    if container.duration and container.duration > 0:
        container.seek(container.duration // 2)
    for number, frame in enumerate(container.decode(stream)):
        if not frame.is_corrupt or number >= _MOST_FRAMES:
            return frame
    return None


def _jpeg(av: Any, frame: Any) -> bytes:
    scale = min(1.0, _SIDE / max(frame.width, frame.height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
    small = frame.reformat(width=width, height=height, format="yuvj420p")
    small.pts = 0
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuvj420p"
    encoder.time_base, encoder.options = Fraction(1, 25), {"qmin": str(_QUALITY), "qmax": str(_QUALITY)}
    return b"".join(bytes(packet) for packet in (*encoder.encode(small), *encoder.encode(None)))
