"""Writing sound and pictures: MP4 with H.264 and AAC, and sound files, through PyAV."""

from __future__ import annotations

import contextlib
import wave
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import av
import numpy as np

from avatarkit.errors import InvalidRequest
from avatarkit.studio.models import Rendered

if TYPE_CHECKING:
    from avatarkit.studio.models import Samples
    from avatarkit.studio.mouth import Pixels

SoundFormat = Literal["mp3", "wav", "m4a"]

_SOUND_RATE = 44100
_BT709 = 1  # what players assume for pictures of this size; written down so that colours stay as drawn
# Measured on a 6.4 s clip at 720x1280, two cores: ultrafast 2.0 s and 1,220 kB, superfast 2.3 s and 545 kB,
# veryfast 2.4 s and 226 kB. The pictures, not the encoder, take most of the time, so the small file costs
# little.
_X264 = {"preset": "veryfast", "crf": "22", "tune": "animation"}
_CONTAINERS: dict[str, tuple[str, str]] = {"mp3": ("mp3", "libmp3lame"), "m4a": ("ipod", "aac")}


class Film:
    """An MP4 being written, frame by frame, so that a long one needs no more memory than a short one.

    Use it as a context manager; leaving it by an exception removes the unfinished file.
    """

    def __init__(
        self,
        target: Path,
        size: tuple[int, int],
        fps: int,
        sound: Samples,
        rate: int,
        metadata: dict[str, str],
    ) -> None:
        self._target, self._size, self._fps = target, size, fps
        self._count = 0
        self._sound = _Sound(sound, rate)
        self._container = av.open(str(target), "w", format="mp4", options={"movflags": "+faststart"})
        self._container.metadata.update(metadata)
        video: Any = self._container.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        context = video.codec_context
        context.options = dict(_X264)
        context.gop_size = fps * 4
        context.thread_count = 2
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        self._video = video
        self._audio: Any = self._container.add_stream("aac", rate=_SOUND_RATE, layout="mono")
        self._audio.bit_rate = 96_000

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            with contextlib.suppress(av.FFmpegError):
                self._container.close()
            self._target.unlink(missing_ok=True)

    def add(self, pixels: Pixels) -> None:
        """Append one RGB frame and the sound that belongs to it."""
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709)
        frame.pts, frame.time_base = self._count, Fraction(1, self._fps)
        self._container.mux(self._video.encode(frame))
        self._count += 1
        for part in self._sound.until(self._count / self._fps):
            self._container.mux(self._audio.encode(part))

    def finish(self) -> Rendered:
        """Write what is left, close the file and tell what is in it."""
        for part in self._sound.until(None):
            self._container.mux(self._audio.encode(part))
        self._container.mux(self._video.encode(None))
        self._container.mux(self._audio.encode(None))
        self._container.close()
        width, height = self._size
        return Rendered(
            duration_s=self._count / self._fps,
            width=width,
            height=height,
            fps=self._fps,
            size_bytes=self._target.stat().st_size,
        )


class _Sound:
    """Samples handed out as frames for an encoder, in step with the pictures."""

    def __init__(self, samples: Samples, rate: int) -> None:
        self._samples, self._rate, self._given = samples, rate, 0

    def until(self, time_s: float | None) -> list[av.AudioFrame]:
        total = len(self._samples)
        end = total if time_s is None else min(total, round(time_s * self._rate))
        frames = []
        while self._given < end:
            part = self._samples[self._given : min(end, self._given + self._rate)]
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(part)[None, :], format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = self._rate, self._given, Fraction(1, self._rate)
            frames.append(frame)
            self._given += len(part)
        return frames


def write_sound(target: Path, samples: Samples, rate: int, kind: SoundFormat) -> Rendered:
    """Write *samples* (mono, *rate* Hz) as WAV, MP3 or M4A.

    Raises :class:`~avatarkit.errors.InvalidRequest` for another format.
    """
    if kind == "wav":
        with wave.open(str(target), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(rate)
            out.writeframes(samples.astype("<i2", copy=False).tobytes())
    elif kind in _CONTAINERS:
        container_name, codec = _CONTAINERS[kind]
        with av.open(str(target), "w", format=container_name) as container:
            stream: Any = container.add_stream(codec, rate=_SOUND_RATE, layout="mono")
            stream.bit_rate = 96_000
            for part in _Sound(samples, rate).until(None):
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
    else:
        raise InvalidRequest(f"format: found {kind!r}, allowed mp3, wav, m4a")
    return Rendered(duration_s=len(samples) / rate, size_bytes=target.stat().st_size)
