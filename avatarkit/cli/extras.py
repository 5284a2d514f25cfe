"""What is installed beyond the base, and the command that brings the rest."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import attrs

from avatarkit import studio

FONT = "pylopdf-fonts-zh-cn"
"""A font with Chinese characters; the system's own does as well."""
_HANZI = "汉"


@attrs.frozen
class Extra:
    """An extra of the package: what it installs, and what for."""

    packages: tuple[str, ...]
    purpose: str


_POSTGRES = ("psycopg",)
EXTRAS: Mapping[str, Extra] = {
    "cli": Extra(("typer", "rich"), "the command line"),
    "studio": Extra(("av", "numpy", "pillow", "espeakng-loader", FONT), "talking avatars from the sandbox"),
    "media": Extra(("av",), "looking into files before they are sent"),
    "storage": Extra(("obstore",), "object stores, for staging and for results"),
    "postgres": Extra(_POSTGRES, "journals that several machines share"),
    "pgqueuer": Extra((*_POSTGRES, "pgqueuer"), "bulk runs on many machines, by PgQueuer"),
    "procrastinate": Extra((*_POSTGRES, "procrastinate"), "the same, by Procrastinate"),
    "parquet": Extra(("pyarrow",), "Parquet manifests of bulk runs"),
}
"""The extras of pyproject.toml, but for those that only gather others."""


def install(extra: str) -> str:
    """The command that installs *extra*. From the checkout: on the index the name belongs to another project."""
    return f'python -m pip install ".[{extra}]" (in the checkout of avatarkit)'


def studio_lacks() -> list[str]:
    """Packages that talking avatars with English and Chinese subtitles need and that are not here."""
    return [*studio.missing(), *([] if draws_chinese() else [FONT])]


def draws_chinese() -> bool:
    """Whether some font here, packaged or the system's, has Chinese characters for subtitles."""
    try:
        from avatarkit.studio import fonts
    except ImportError:  # without Pillow the system's fonts cannot be looked into
        return importlib.util.find_spec(FONT.replace("-", "_")) is not None
    return fonts.has_glyph(fonts.font_for(_HANZI, 16), _HANZI)


def studio_remark() -> str:
    """One line on what results of the sandbox will lack here, and how to change that; ``""`` if nothing."""
    lacking = studio_lacks()
    if not lacking:
        return ""
    named = f"(missing: {', '.join(lacking)})"
    if lacking == [FONT]:
        return f"Chinese subtitles will lack their characters {named}. For the font: {install('studio')}"
    return f"results are plain test pictures {named}. For talking avatars: {install('studio')}"
