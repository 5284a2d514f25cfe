"""The studio: renders a real, playable talking-avatar video, offline.

It is the part of the sandbox that makes artifacts worth looking at: espeak-ng speaks the text, a presenter's
mouth follows the sound, and the result is an ordinary MP4 (H.264, AAC). Everything it needs comes inside the
wheels of the ``studio`` extra; no ffmpeg program, no compiler and no network.

Without the extra this package still imports, and :func:`plain_video` and :func:`plain_audio` write plain but
valid files with the standard library alone. Touching any other name then raises
:class:`avatarkit.errors.MissingExtra`.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from avatarkit.errors import MissingExtra
from avatarkit.studio.models import Rendered, Speech, SubtitleStyle, Timbre, Word
from avatarkit.studio.plain import plain_audio, plain_video

if TYPE_CHECKING:
    from avatarkit.studio.material import sample_picture, sample_video, sample_voice
    from avatarkit.studio.render import load_speech, render_audio, render_video
    from avatarkit.studio.speech import speak

__all__ = [
    "Rendered",
    "Speech",
    "SubtitleStyle",
    "Timbre",
    "Word",
    "available",
    "load_speech",
    "missing",
    "plain_audio",
    "plain_video",
    "render_audio",
    "render_video",
    "sample_picture",
    "sample_video",
    "sample_voice",
    "speak",
]

# import name -> the name it has on the package index
_NEEDS = {"av": "av", "numpy": "numpy", "PIL": "pillow", "espeakng_loader": "espeakng-loader"}

_LAZY = {
    "sample_picture": "material",
    "sample_video": "material",
    "sample_voice": "material",
    "load_speech": "render",
    "render_audio": "render",
    "render_video": "render",
    "speak": "speech",
}


def missing() -> list[str]:
    """Packages, by their names for pip, that the studio needs and this Python lacks. Imports none of them."""
    return [package for module, package in _NEEDS.items() if not _importable(module)]


def available() -> bool:
    """Whether :func:`speak` and :func:`render_video` can work here: the ``studio`` extra is all there."""
    return not missing()


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a half-installed package, or one that a test has blanked out
        return False


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    lacking = missing()
    if lacking:
        raise MissingExtra(
            f"avatarkit.studio.{name} needs {', '.join(lacking)}",
            hint='In avatarkit\'s folder: python -m pip install ".[studio]"',
        )
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
