"""What a file is, from its first bytes, and whether its end is there, from what its format says of its length."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from avatarkit.protocol.limits import CUT_OFF

HEAD_BYTES = 4096
"""How much of a file :func:`sniff` wants to see."""

Read: TypeAlias = Callable[[int, int], bytes]
"""Gives up to so many bytes (second) from an offset (first); fewer only at the end."""

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpg"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
    (0, b"BM", "bmp"),
    (0, b"\x1aE\xdf\xa3", "webm"),
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (0, b"#!AMR", "amr"),
    (0, b"ID3", "mp3"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (4, b"wide", "mov"),
)
_RIFF = {b"WAVE": "wav", b"WEBP": "webp", b"AVI ": "avi"}
_BRANDS = {b"qt  ": "mov", b"M4A ": "m4a", b"M4B ": "m4a", b"avif": "avif", b"heic": "heic", b"mif1": "heic"}
_FAMILIES = ({"mp4", "mov", "m4a", "m4v", "3gp"}, {"jpg", "jpeg"}, {"webm", "mkv"}, {"ogg", "oga", "opus"})

_ISO_MEDIA = frozenset({"mp4", "mov", "m4a"})
_TOP_BOXES = frozenset(
    b"ftyp styp moov moof mdat imda mfra sidx ssix free skip wide uuid meta meco udta emsg prft pdin pnot".split()
)
_SAMPLES = frozenset({b"mdat", b"imda", b"moof"})
_TEXT = frozenset(range(0x20, 0x7F)) | {0xA9}
# Writers that stream do not know the length yet: 0, 2**32 - 1, and with SoX, arecord and others just below 2**31.
_NOT_KNOWN = 0x7FFF0000
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_MOST_BOXES = 10_000
_MOST_CHUNKS = 20_000
_MOST_SEGMENTS = 500
_TAIL = 1 << 16
_PIECE = 1 << 20
_MOST_SCANNED = 64 << 20
_NO_END = f"{CUT_OFF}: a picture without its end"


def sniff(head: bytes) -> str:
    """The usual extension (lower case, no dot) of a file that begins with *head*, or ``""``."""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "mp4")
    if head[:4] in (b"RIFF", b"RF64"):
        return _RIFF.get(head[8:12], "")
    for at, magic, extension in _MAGIC:
        if head.startswith(magic, at):
            return extension
    if len(head) > 3 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return _mpeg_audio(head)
    return ""


def family(extension: str) -> frozenset[str]:
    """The extensions that share *extension*'s container, itself included."""
    for members in _FAMILIES:
        if extension in members:
            return frozenset(members)
    return frozenset({extension})


def looks_like_page(head: bytes) -> bool:
    """Whether *head* begins an HTML, XML or JSON text, which is how stores and gateways report errors."""
    start = head[:256].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype", b"<html", b"<?xml", b"<error", b"<head", b"<body", b"{"))


def cut_off(kind: str, read: Read, size: int) -> str:
    """How a file of *size* bytes shows that its end is missing, as "cut off: 50 of 90 bytes"; ``""`` when it does not.

    Only what is certain is said: a damaged file, one with an appendix, and one whose writer did not know its length
    pass. Takes a few small reads, bounded also for hostile files; a picture without an end in sight is read as far as
    64 MiB. Never raises but for what *read* raises.

    Args:
        kind: what :func:`sniff` said; formats that do not tell their length always pass.
        read: gives bytes of it.
        size: how many there are.

    """
    if kind in _ISO_MEDIA:
        return _cut_boxes(read, size)
    if kind in ("wav", "webp"):
        return _cut_wav(read, size) if kind == "wav" else _cut_webp(read, size)
    if kind == "png":
        return _cut_png(read, size)
    return _cut_jpeg(read, size) if kind == "jpg" else ""


def _cut_boxes(read: Read, size: int) -> str:
    """Walk the boxes at the top (ISO/IEC 14496-12, section 4.2)."""
    seen: set[bytes] = set()
    at = 0
    for _ in range(_MOST_BOXES):
        head = read(at, 16)
        if len(head) < 8:
            # A few bytes behind the last box are nobody's.
            return _lacking(seen) if at + len(head) == size else ""
        length, name = int.from_bytes(head[:4], "big"), head[4:8]
        if length == 0:
            return _lacking(seen | {name}) if name in _TOP_BOXES and name != b"ftyp" else ""
        least = 16 if length == 1 else 8
        if length == 1:
            length = int.from_bytes(head[8:16], "big") if len(head) == 16 else least
        if length < least or not _TEXT.issuperset(name):
            return ""
        if at + length > size:
            # Only of known boxes: tags that are put behind the last one look like a box of any length.
            return _cut_at(size, at + length, "at least ") if name in _TOP_BOXES else ""
        seen.add(name)
        at += length
    return ""


def _lacking(seen: set[bytes]) -> str:
    """What a film has to have and this one, which was walked to its end, has not; pictures (HEIF) have ``meta``."""
    if b"meta" in seen:
        return ""
    if b"moov" not in seen:
        return f"{CUT_OFF} or never finished: a file without index (moov)"
    return "" if seen & _SAMPLES else f"{CUT_OFF}: a file without sound and pictures (mdat)"


def _cut_wav(read: Read, size: int) -> str:
    at = 12
    for _ in range(_MOST_CHUNKS):
        head = read(at, 8)
        if len(head) < 8:
            break
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            # Some writers count the header in; what a cut of so few bytes takes away is not heard.
            cut = size + 1 < length < _NOT_KNOWN
            return _cut_at(size, at + 8 + length, "at least ") if cut else ""
        at += 8 + length + (length & 1)
        if at > size:
            break
    return ""


def _cut_webp(read: Read, size: int) -> str:
    length = int.from_bytes(read(4, 4), "little")
    return _cut_at(size, length + 8) if size < length + 7 and length < _NOT_KNOWN else ""


def _cut_png(read: Read, size: int) -> str:
    start = max(8, size - HEAD_BYTES)
    if _PNG_END in read(start, size - start):
        return ""
    at = 8
    for _ in range(_MOST_CHUNKS):
        head = read(at, 8)
        if len(head) < 8:
            return _NO_END if at + len(head) == size else ""
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        if name == b"IEND" or not name.isalpha() or length >> 31:
            return ""
        at += 12 + length
        if at > size:
            return _NO_END
    return ""


def _cut_jpeg(read: Read, size: int) -> str:
    """Look for an end marker behind the header, where thumbnails have theirs; within a scan none comes by chance."""
    start = _jpeg_scan(read, size)
    if start is None:
        return ""
    tail = max(start, size - _TAIL)
    if b"\xff\xd9" in read(tail, size - tail):
        return ""
    # Phones put whole films behind the picture.
    stop = min(size, start + _MOST_SCANNED)
    for at in range(start, stop, _PIECE):
        if b"\xff\xd9" in read(at, min(_PIECE + 1, size - at)):
            return ""
    return _NO_END if stop == size else ""


def _jpeg_scan(read: Read, size: int) -> int | None:
    """Where the first scan begins, at most *size*; None for a header that is none or has the end marker."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        head = read(at, 4)
        if len(head) < 4:
            return size if at + len(head) == size else None
        if head[0] != 0xFF or head[1] in (0x00, 0xD9):
            return None
        if head[1] == 0xFF:
            at += 1
        elif head[1] == 0x01 or 0xD0 <= head[1] <= 0xD8:
            at += 2
        else:
            length = int.from_bytes(head[2:], "big")
            if length < 2:
                return None
            at = min(size, at + 2 + length)
            if head[1] == 0xDA:
                return at
    return None


def _cut_at(size: int, whole: int, least: str = "") -> str:
    return f"{CUT_OFF}: {size:,} of {least}{whole:,} bytes"


def _mpeg_audio(head: bytes) -> str:
    if head[1] & 0xF6 == 0xF0:
        return "aac"
    valid = head[1] & 0x18 != 0x08 and head[1] & 0x06 and head[2] & 0xF0 != 0xF0 and head[2] & 0x0C != 0x0C
    return "mp3" if valid else ""
