"""File names that are safe on every system, made from titles and URLs that nobody checked."""

from __future__ import annotations

import re
import unicodedata

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+')
_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?$")
_MAX_BYTES = 150
_MAX_EXTENSION = 16


def safe_name(text: str, *, default: str) -> str:
    """*text* as one file name: no separators, control or direction marks, no reserved or hidden name.

    At most 150 bytes of UTF-8 (a suffix like ``.part`` still fits everywhere), the extension kept. *default*
    is returned when nothing is left; it is not checked.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", text))
    name = name.strip().lstrip(".").rstrip(". ")
    if not name.strip("_ ."):
        return default
    if _RESERVED.match(name):
        name = f"_{name}"
    return _cut(name)


def extension_of(name: str) -> str:
    """The file name's extension in lower case without the dot; ``""`` when it has no plausible one."""
    stem, dot, tail = name.rpartition(".")
    plain = tail.isascii() and tail.isalnum() and len(tail) <= _MAX_EXTENSION
    return tail.lower() if stem and dot and plain else ""


def _cut(name: str) -> str:
    if len(name.encode()) <= _MAX_BYTES:
        return name
    extension = extension_of(name)
    tail = name[len(name) - len(extension) - 1 :] if extension else ""
    room = _MAX_BYTES - len(tail)
    stem = name[: len(name) - len(tail)].encode()[:room].decode("utf-8", "ignore")
    return stem.rstrip(". ") + tail
