"""Fonts for subtitles, Chinese included, on machines that may have none.

The ``studio`` extra brings Noto Sans SC (SIL Open Font License 1.1) inside the data-only wheel
``pylopdf-fonts-zh-cn``. Where it is absent, system fonts at the usual places are tried (Noto CJK, WenQuanYi,
PingFang, Microsoft YaHei, SimHei), and at last the Latin font inside Pillow. With that one alone Chinese
cannot be drawn: characters without a glyph are then left out rather than shown as boxes.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
from pathlib import Path

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_PACKAGED = (("pylopdf_fonts_zh_cn", "NotoSansSC-Regular.otf"),)
_SYSTEM = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/usr/share/fonts/wenquanyi/wqy-microhei/wqy-microhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/STHeiti Medium.ttc",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/simhei.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
)
_NO_CHARACTER = "\uffff"  # guaranteed not to be one, so every font draws its "missing" glyph


def font_for(text: str, size: float, name: str | None = None) -> Font:
    """The first font with every character of *text*, or else the one with most; *name* is tried first.

    *size* is in pixels. Never fails: Pillow's own Latin font is the last resort.
    """
    best: tuple[int, Font] | None = None
    wanted = {c for c in text if not c.isspace()}
    for source in (*_named(name), *_files()):
        try:
            font = ImageFont.truetype(source, max(4.0, size))
        except (OSError, ValueError):  # a name may hold anything, a NUL too
            continue
        lacking = sum(not has_glyph(font, c) for c in wanted)
        if lacking == 0:
            return font
        if best is None or lacking < best[0]:
            best = lacking, font
    return best[1] if best else ImageFont.load_default(max(4.0, size))


def has_glyph(font: Font, character: str) -> bool:
    """Whether *font* draws *character* as itself and not as its box for missing ones."""
    with contextlib.suppress(OSError, ValueError, UnicodeError):
        drawn, absent = font.getmask(character), font.getmask(_NO_CHARACTER)
        return drawn.size != absent.size or bytes(drawn) != bytes(absent)
    return False


def _named(name: str | None) -> tuple[str, ...]:
    # A bare name lets Pillow search the system's font folders; a path in a request must not open files here.
    if not name or os.sep in name or "/" in name:
        return ()
    return (
        (name,)
        if name.lower().endswith((".ttf", ".otf", ".ttc"))
        else (f"{name}.ttf", f"{name}.otf", f"{name}.ttc")
    )


@functools.cache
def _files() -> tuple[str, ...]:
    found = []
    for package, file in _PACKAGED:
        spec = importlib.util.find_spec(package)
        found += (
            [str(Path(folder) / file) for folder in (spec.submodule_search_locations or ())] if spec else []
        )
    return tuple(path for path in (*found, *_SYSTEM) if Path(path).is_file())
