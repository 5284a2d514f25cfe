"""Rendering: a speech and a face become a film, or a speech becomes a sound file."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from avatarkit.errors import InvalidRequest
from avatarkit.studio.animate import Puppet, Track, blinks, follow
from avatarkit.studio.film import Film, SoundFormat, write_sound
from avatarkit.studio.models import Rendered, Speech, SubtitleStyle
from avatarkit.studio.mouth import Mouth
from avatarkit.studio.picture import Reel, cover, frame_size, load_picture
from avatarkit.studio.portrait import draw_portrait
from avatarkit.studio.subtitle import Subtitles, timed_words

if TYPE_CHECKING:
    from avatarkit.studio.mouth import Pixels

    _Show = Callable[[int], Pixels]

_RATE = 22050
_DEFAULT_SIZE = (720, 1280)
_LONGEST_S = 3600.0


def render_video(
    target: Path,
    *,
    speech: Speech | Path | str,
    picture: Path | None = None,
    source_video: Path | None = None,
    subtitle: SubtitleStyle | None = None,
    text: str = "",
    size: tuple[int, int] | None = None,
    fps: int = 25,
) -> Rendered:
    """Render a talking avatar to *target*: MP4, H.264 (yuv420p, index first) and AAC.

    *speech* is what :func:`~avatarkit.studio.speak` gave, or an audio file. The face comes from
    *source_video* (its first seconds, forward and backward), else from *picture*, else from a presenter
    drawn on the spot. *subtitle* burns in *text*, or the words of the speech if *text* is empty. *size* is
    in pixels; without it the material's own size is used, at most 720x1280. *fps* is 5 to 60.

    Blocking and mostly without the GIL; call it in a worker thread. It takes about
    0.4 s for each second of speech at 720x1280, half of that at 540x960. At most an hour is rendered.

    Raises :class:`~avatarkit.errors.InvalidRequest` for material that cannot be read or a setting out of
    range, :class:`OSError` for a file that is not there or cannot be written.
    """
    if not 5 <= fps <= 60:
        raise InvalidRequest(f"fps: found {fps}, allowed 5 to 60")
    said = speech if isinstance(speech, Speech) else load_speech(Path(speech))
    if said.duration_s > _LONGEST_S:
        raise InvalidRequest(f"speech: found {said.duration_s:.0f} s, allowed at most {_LONGEST_S:.0f} s")
    frames = max(1, math.ceil(said.duration_s * fps - 1e-6))
    track = follow(said, frames, fps)
    if source_video is not None:
        film_size, show = _from_video(source_video, track, fps, size)
    else:
        film_size, show = _from_picture(picture, track, fps, size)
    words = timed_words(said, text) if subtitle is not None else ()
    titles = Subtitles(words, subtitle, film_size) if subtitle is not None and words else None
    with Film(target, film_size, fps, said.samples, said.sample_rate, {}) as film:
        for index in range(frames):
            pixels = show(index)
            burned = titles.burn(pixels, index / fps) if titles is not None else None
            film.add(pixels)
            if burned is not None:  # the frame's buffer is used again
                burned[0].of(pixels)[:] = burned[1]
        return film.finish()


def _from_picture(
    picture: Path | None, track: Track, fps: int, size: tuple[int, int] | None
) -> tuple[tuple[int, int], _Show]:
    if picture is None:
        film_size = frame_size(_DEFAULT_SIZE, size)
        image, face = draw_portrait(1, film_size)
        seed = 1
    else:
        image, face = load_picture(picture)
        film_size = frame_size(image.size, size)
        image, face = cover(image, face, film_size)
        seed = zlib.crc32(np.asarray(image)[::16, ::16].tobytes())
    puppet = Puppet(image, face, seed=seed)
    shut = blinks(len(track.opening), fps, seed)

    def show(index: int) -> Pixels:
        opening, width, energy = track.opening[index], track.width[index], track.energy[index]
        return puppet.frame(index / fps, float(opening), float(width), float(shut[index]), float(energy))

    return film_size, show


def _from_video(
    source: Path, track: Track, fps: int, size: tuple[int, int] | None
) -> tuple[tuple[int, int], _Show]:
    reel = Reel(source, size)
    mouth = Mouth(reel.face.mouth, reel.size, curved=reel.face.drawn)

    def show(index: int) -> Pixels:
        pixels = reel.at(index / fps)
        opening = float(track.opening[index])
        if opening > 0:
            area = mouth.area.of(pixels)
            area[:] = mouth.draw(area, opening, float(track.width[index]))
        return pixels

    return reel.size, show


def render_audio(target: Path, speech: Speech, *, format: SoundFormat = "mp3") -> Rendered:  # noqa: A002
    """Write *speech* as ``mp3`` (96 kbit/s), ``wav`` (16 bit) or ``m4a`` (AAC), mono.

    Raises :class:`~avatarkit.errors.InvalidRequest` for another format, :class:`OSError` if *target* cannot
    be written.
    """
    return write_sound(target, speech.samples, speech.sample_rate, format)


def load_speech(path: Path) -> Speech:
    """The first sound track of a file, as 22,050 Hz mono, at most an hour of it; no words are known of it.

    Raises :class:`~avatarkit.errors.InvalidRequest` if there is no readable sound.
    """
    resampler = av.AudioResampler(format="s16", layout="mono", rate=_RATE)
    pieces: list[Any] = []
    held = 0.0
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(audio=0):
                pieces += [part.to_ndarray()[0] for part in resampler.resample(frame)]
                held += frame.samples / frame.sample_rate
                if held > _LONGEST_S:
                    break
            pieces += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except FileNotFoundError:
        raise
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise InvalidRequest(
            f"speech: found a file without readable sound ({type(error).__name__})"
        ) from error
    samples = np.concatenate(pieces)[: int(_LONGEST_S * _RATE)] if pieces else np.zeros(0, np.int16)
    if not len(samples):
        raise InvalidRequest("speech: found a file without sound")
    return Speech(samples=samples.astype(np.int16, copy=False), sample_rate=_RATE)
