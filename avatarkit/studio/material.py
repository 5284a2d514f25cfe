"""Sample material: a presenter's portrait, a clip of the same, a voice. All drawn or synthesised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL.PngImagePlugin import PngInfo

from avatarkit.errors import InvalidRequest
from avatarkit.studio.animate import Puppet, blinks
from avatarkit.studio.face import KEY
from avatarkit.studio.film import Film, write_sound
from avatarkit.studio.models import Rendered, Timbre
from avatarkit.studio.picture import frame_size
from avatarkit.studio.portrait import draw_portrait
from avatarkit.studio.speech import speak

_FPS = 25
_RATE = 22050
_SCRIPT = (
    "Hello, this is a short recording of my voice. I speak clearly and evenly, at a comfortable pace, "
    "in a quiet room. A few more sentences help the system to learn how I sound. "
    "Thank you for listening, and see you in the video. "
)


def sample_picture(target: Path, *, seed: int = 1, size: tuple[int, int] = (720, 1280)) -> None:
    """Draw a presenter and save it as PNG, or as JPEG where *target* ends in ``.jpg``.

    The file remembers where the face is, so that a film made from it moves the mouth in the right place.
    *seed* chooses the looks (odd: long hair), *size* is in pixels, 64 to 2160 a side, made even. Raises
    :class:`~avatarkit.errors.InvalidRequest` for another size.
    """
    size = frame_size(size, size)
    image, face = draw_portrait(seed, size)
    if target.suffix.lower() in {".jpg", ".jpeg"}:
        image.save(target, "JPEG", quality=92, comment=face.to_text(size))
        return
    about = PngInfo()
    about.add_text(KEY, face.to_text(size))
    image.save(target, "PNG", pnginfo=about, compress_level=6)


def sample_video(
    target: Path, seconds: float = 6, *, seed: int = 1, size: tuple[int, int] = (720, 1280)
) -> Rendered:
    """Film the presenter of *seed* for *seconds* (up to 60), blinking, not talking.

    Material for an avatar: H.264 and AAC; the sound is the faint noise of a quiet room. Raises
    :class:`~avatarkit.errors.InvalidRequest` for another length or size.
    """
    if not 0 < seconds <= 60:
        raise InvalidRequest(f"seconds: found {seconds}, allowed more than 0 and at most 60")
    size = frame_size(size, size)
    image, face = draw_portrait(seed, size)
    frames = max(1, round(seconds * _FPS))
    # Little sway: a mouth laid over this clip later stays where the face is.
    puppet, shut = Puppet(image, face, seed=seed, sway=0.3), blinks(frames, _FPS, seed)
    noise = np.random.default_rng(seed).normal(0, 12, round(frames / _FPS * _RATE)).astype(np.int16)
    with Film(target, size, _FPS, noise, _RATE, {"comment": face.to_text(size)}) as film:
        for index in range(frames):
            film.add(puppet.frame(index / _FPS, 0.0, 0.0, float(shut[index]), 0.3))
        return film.finish()


def sample_voice(target: Path, seconds: float = 8, *, seed: int = 1) -> Rendered:
    """Record a synthetic speaker for *seconds* (up to 300) as WAV: a voice sample to clone.

    Raises :class:`~avatarkit.errors.InvalidRequest` for another length.
    """
    if not 0 < seconds <= 300:
        raise InvalidRequest(f"seconds: found {seconds}, allowed more than 0 and at most 300")
    spoken = speak(_SCRIPT, timbre=Timbre(seed))
    samples = np.resize(spoken.samples, round(seconds * spoken.sample_rate))
    return write_sound(target, samples, spoken.sample_rate, "wav")
