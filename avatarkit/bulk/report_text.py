"""Text for the report's page: whatever came from outside becomes plain, visible, harmless characters.

Keys, titles, messages and file names are hostile: they may hold markup, control characters that hide or turn text
round, and URLs with signatures in them.
"""

from __future__ import annotations

import html
import os
import shlex
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from avatarkit.protocol.redact import scrub

_SPACES = {"\n": " ", "\r": " ", "\t": " ", "\u2028": " ", "\u2029": " "}
_UNSEEN = frozenset("\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2800\u3164\ufeff\uffa0") | frozenset(
    chr(point)
    for first, last in ((0x202A, 0x202E), (0x2060, 0x206F), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F))
    for point in range(first, last + 1)
)


def visible(text: str) -> str:
    """*text* on one line, with characters that hide, turn round or are none shown by number: ``⟨U+202E⟩``.

    The joiners that emoji and many scripts need (U+200C, U+200D) stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_seen(char) for char in text)


def _seen(char: str) -> str:
    if char in _SPACES:
        return _SPACES[char]
    if char in _UNSEEN or unicodedata.category(char) in ("Cc", "Cs"):
        return f"⟨U+{ord(char):04X}⟩"
    return char


def clipped(text: str, most: int) -> str:
    """*text*, or its first *most* characters and an ellipsis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def escaped(value: object, most: int = 300) -> str:
    """*value* for HTML, between tags or in quotes: without secrets, visible, at most *most* characters, escaped."""
    # Far more than is shown is looked through, so that no URL is cut where its signature begins.
    return html.escape(clipped(visible(scrub(str(value)[: most + 4_000])), most), quote=True)


def own_words(value: object, most: int = 300, tag: str = "bdi") -> str:
    """*value* as HTML that cannot change the direction of what stands around it."""
    return f"<{tag} dir=auto>{escaped(value, most)}</{tag}>"


def relative_url(path: Path, folder: Path) -> str:
    """How a page in *folder* names the file *path*; both absolute. Never a URL with a scheme of its own making.

    On another drive it is a ``file:`` URL.
    """
    try:
        name = os.path.relpath(path, folder)
    except ValueError:
        return path.as_uri()
    # Every byte that is special in a URL is quoted, the colon too; "./" keeps a name from being taken for more.
    url = quote(os.fsencode(name.replace(os.sep, "/")), safe="/")
    return url if url.startswith("../") else f"./{url}"


def shell_word(text: str) -> str:
    """*text* as one word for a POSIX shell; in pure ASCII where a character could not be seen or typed."""
    if visible(text) == text:
        return shlex.quote(text)
    data = text.encode("utf-8", "surrogateescape" if _is_name(text) else "replace")
    plain = {ord("'"): "\\'", ord("\\"): "\\\\"}
    return "$'" + "".join(plain.get(b) or (chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in data) + "'"


def _is_name(text: str) -> bool:
    """Whether its lone surrogates are bytes of a file name."""
    return all(0xDC80 <= ord(char) <= 0xDCFF for char in text if 0xD800 <= ord(char) <= 0xDFFF)


def moment(at: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time of the ledger's in UTC; ``""`` for one that is none."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return ""


def size_text(count: float) -> str:
    """Bytes for people: ``394 kB``."""
    for unit, digits in (("B", 0), ("kB", 0), ("MB", 1), ("GB", 1)):
        if count < 1000:
            return f"{count:.{digits}f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
