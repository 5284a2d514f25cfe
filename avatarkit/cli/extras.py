"""What is installed beyond the base, and the command that brings the rest."""

from __future__ import annotations

import importlib.util

from avatarkit import studio

_FONT = "pylopdf-fonts-zh-cn"
_HANZI = "汉"


def install(extra: str) -> str:
    """The command that installs *extra*. From the checkout: on the index the name belongs to another project."""
    return f'python -m pip install ".[{extra}]" (in the checkout of avatarkit)'


def studio_lacks() -> list[str]:
    """Packages that talking avatars with English and Chinese subtitles need and that are not here."""
    return [*studio.missing(), *([] if draws_chinese() else [_FONT])]


def draws_chinese() -> bool:
    """Whether some font here, packaged or the system's, has Chinese characters for subtitles."""
    try:
        from avatarkit.studio import fonts
    except ImportError:  # without Pillow the system's fonts cannot be looked into
        return importlib.util.find_spec(_FONT.replace("-", "_")) is not None
    return fonts.has_glyph(fonts.font_for(_HANZI, 16), _HANZI)


def studio_remark() -> str:
    """One line on what results of the sandbox will lack here, and how to change that; ``""`` if nothing."""
    lacking = studio_lacks()
    if not lacking:
        return ""
    named = f"(missing: {', '.join(lacking)})"
    if lacking == [_FONT]:
        return f"Chinese subtitles will lack their characters {named}. For the font: {install('studio')}"
    return f"results are plain test pictures {named}. For talking avatars: {install('studio')}"
