"""What a file is, from its first bytes."""

from __future__ import annotations

HEAD_BYTES = 4096
"""How much of a file :func:`sniff` wants to see."""

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


def _mpeg_audio(head: bytes) -> str:
    if head[1] & 0xF6 == 0xF0:
        return "aac"
    valid = head[1] & 0x18 != 0x08 and head[1] & 0x06 and head[2] & 0xF0 != 0xF0 and head[2] & 0x0C != 0x0C
    return "mp3" if valid else ""
