"""Looking into material before it is sent, so that a bad file costs nothing.

WAV files and pictures are read with the standard library; other sound and video need the ``media`` extra
(PyAV). That a file was cut off is told by its own format, also without the extra. What cannot be told is left
open and is no problem. Files are hostile until proven otherwise: a decoder is chosen by us from the first
bytes, never by ffmpeg's guess, which may follow play lists to other files.
"""

from __future__ import annotations

import contextlib
import io
import struct
import threading
import wave
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import attrs

from avatarkit.protocol.limits import MediaFacts, MediaRule
from avatarkit.transport.readers import Reader
from avatarkit.transport.sniff import HEAD_BYTES, cut_off, family, sniff
from avatarkit.transport.sources import Source, StatKey
from avatarkit.transport.threads import in_thread

_DEMUXERS: Mapping[str, str] = {
    "mp4": "mov",
    "mov": "mov",
    "m4a": "mov",
    "m4v": "mov",
    "3gp": "mov",
    "webm": "matroska",
    "mkv": "matroska",
    "avi": "avi",
    "mp3": "mp3",
    "aac": "aac",
    "ogg": "ogg",
    "opus": "ogg",
    "flac": "flac",
    "wav": "wav",
    "amr": "amr",
}
_PICTURES = frozenset({"png", "jpg", "jpeg", "gif", "webp"})
_CACHED = 1024
_facts: OrderedDict[StatKey, MediaFacts | None] = OrderedDict()
_facts_lock = threading.Lock()


async def inspect(source: Source) -> MediaFacts | None:
    """What is inside *source*, as far as it can be told; None when nothing can. Remembered per file.

    Never raises because of a file's content. Raises InvalidRequest or OSError when it can no longer be read.
    """
    if "facts" in source.memo:
        facts: MediaFacts | None = source.memo["facts"]
        return facts
    if source.key is not None and source.key in _facts:
        return _facts[source.key]
    found: MediaFacts | None = await in_thread(_inspect, source)
    source.memo["facts"] = found
    if source.key is not None:
        with _facts_lock:
            _facts[source.key] = found
            while len(_facts) > _CACHED:
                _facts.popitem(last=False)
    return found


async def check_media(field: str, source: Source, rule: MediaRule) -> list[str]:
    """Everything about *source* that breaks *rule*: extension and size first, then what is inside."""
    problems = rule.check_file(field, extension=source.extension, size=source.size)
    try:
        facts = await inspect(source)
    except OSError as error:
        return [
            *problems,
            f"{field}: file that cannot be read found ({error.strerror or error}), a file allowed",
        ]
    return problems if facts is None else problems + rule.check_facts(field, facts)


def _inspect(source: Source) -> MediaFacts | None:
    reader = source.open()
    try:
        head = reader.read(0, HEAD_BYTES)
        kind = sniff(head)
        known = family(kind) if kind else frozenset[str]()
        if cut := cut_off(kind, reader.read, source.size):
            return MediaFacts(containers=known, broken=cut)
        if kind in _PICTURES:
            sides = _picture_size(kind, reader, head, source.size)
            width, height = sides or (None, None)
            return MediaFacts(containers=known, width=width, height=height)
        facts = _wav(reader, source.size) if kind == "wav" else None
        if facts is None:
            facts = _decoded(reader, source.size, kind or source.extension)
        if facts is None:
            return MediaFacts(containers=known) if known else None
        return attrs.evolve(facts, containers=known)
    finally:
        reader.close()


def _wav(reader: Reader, size: int) -> MediaFacts | None:
    """Facts of a WAV file in PCM; None for other codecs and damaged headers."""
    try:
        window: Any = _Window(reader, size)
        with wave.open(window, "rb") as sound:
            frame = sound.getnchannels() * sound.getsampwidth()
            # Recorders that stream write a length of 2**32 or 0; the file itself knows better.
            frames = min(sound.getnframes(), size // frame)
            seconds = frames / sound.getframerate()
    except Exception:  # noqa: BLE001 - a hostile file may trip the parser in any way
        return None
    return MediaFacts(seconds=seconds, audio_codec="pcm", has_audio=frames > 0, has_video=False)


def _decoded(reader: Reader, size: int, kind: str) -> MediaFacts | None:
    """Facts by PyAV; None when it is not installed or does not know the container."""
    demuxer = _DEMUXERS.get(kind)
    if demuxer is None:
        return None
    try:
        import av
    except ImportError:
        return None
    try:
        with av.open(_Window(reader, size), mode="r", format=demuxer, metadata_errors="ignore") as container:
            return _streams(container)
    except av.FFmpegError:
        return MediaFacts(broken=f"file that cannot be read as {kind}")
    except Exception:  # noqa: BLE001 - a hostile file may trip the binding in any way
        return None


def _streams(container: Any) -> MediaFacts:
    pictures = [s for s in container.streams.video if not _is_cover(s)]
    sounds = list(container.streams.audio)
    video = pictures[0] if pictures else None
    sound = sounds[0] if sounds else None
    lead = video or sound
    seconds = container.duration / 1_000_000 if container.duration and container.duration > 0 else None
    if seconds is None and lead is not None and lead.duration and lead.time_base:
        seconds = float(lead.duration * lead.time_base)
    return MediaFacts(
        seconds=seconds,
        width=video.codec_context.width or None if video is not None else None,
        height=video.codec_context.height or None if video is not None else None,
        video_codec=video.codec_context.name if video is not None else "",
        audio_codec=sound.codec_context.name if sound is not None else "",
        has_video=video is not None,
        has_audio=sound is not None,
    )


def _is_cover(stream: Any) -> bool:
    with contextlib.suppress(AttributeError, TypeError, ValueError):
        return bool(int(stream.disposition) & 0x0400)
    return False


def _picture_size(kind: str, reader: Reader, head: bytes, size: int) -> tuple[int, int] | None:
    """Width and height from a picture's header, or None."""
    with contextlib.suppress(struct.error, IndexError):
        if kind == "png" and head[12:16] == b"IHDR":
            return _sides(*struct.unpack(">II", head[16:24]))
        if kind == "gif":
            return _sides(*struct.unpack("<HH", head[6:10]))
        if kind == "webp":
            return _webp_size(head)
        if kind == "jpg":
            return _jpeg_size(reader, size)
    return None


def _sides(width: int, height: int) -> tuple[int, int] | None:
    return (width, height) if width and height else None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    form = head[12:16]
    if form == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if form == b"VP8L":
        bits = struct.unpack("<I", head[21:25])[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if form == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return _sides(width & 0x3FFF, height & 0x3FFF)
    return None


def _jpeg_size(reader: Reader, size: int) -> tuple[int, int] | None:
    """Walk the markers to the frame header. Thumbnails inside EXIF are skipped with their segment."""
    at = 2
    for _ in range(500):
        marker = reader.read(at, 9)
        if len(marker) < 9 or marker[0] != 0xFF or at > size:
            return None
        code = marker[1]
        if code == 0xFF:
            at += 1
        elif 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", marker[5:9])
            return _sides(width, height)
        else:
            at += 2 + int(struct.unpack(">H", marker[2:4])[0])
    return None


class _Window(io.RawIOBase):
    """A reader as a seekable file, for parsers that want one."""

    def __init__(self, reader: Reader, size: int) -> None:
        self._reader = reader
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        data = self._reader.read(self._at, left if size is None or size < 0 else min(size, left))
        self._at += len(data)
        return data
