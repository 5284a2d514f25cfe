"""How long a sound is that came inside a body, as the vendor finds out: by its frames, not by what its size suggests.

Layouts follow ISO/IEC 11172-3 and 13818-3 (MP3), 13818-7 (ADTS), 14496-12 (M4A), and the RIFF of WAV.
"""

from __future__ import annotations

import struct
from typing import Final

_ENOUGH: Final = 3600.0  # seconds; whatever is longer is too long for every use
_PER_SECOND: Final = 16000  # bytes of what nothing else is known of
_FRONT: Final = 65536  # bytes before the first frame at most
_MP3_KBITS: Final = {
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MP3_RATES: Final = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_AAC_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
_AAC_SAMPLES: Final = 1024


def sound_kind(data: bytes) -> str:
    """``wav``, ``m4a``, ``mp3`` or ``aac``, or ``""``."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[4:8] == b"ftyp":
        return "m4a"
    if data.startswith(b"ID3"):
        return "aac" if _is_adts(data, _after_tag(data)) else "mp3"
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:
        return "aac" if _is_adts(data, 0) else "mp3"
    return ""


def length_of(data: bytes) -> float | None:
    """Seconds of sound in *data*, or None when it cannot be read as what it begins like."""
    try:
        return _READERS[sound_kind(data)](data)
    except (LookupError, struct.error, ZeroDivisionError):
        return None


def _wav(data: bytes) -> float | None:
    """By the bytes that are there: a header written before its sound was known may promise anything."""
    at, per_second = 12, 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if name == b"fmt ":
            rate, _, align = struct.unpack_from("<IIH", data, at + 12)
            per_second = rate * align
        elif name == b"data":
            return float(min(size, len(data) - at - 8) / per_second)
        at += 8 + size + size % 2
    return None


def _after_tag(data: bytes) -> int:
    """Where the sound begins behind an ID3 tag, whose size is four times seven bits."""
    if len(data) < 10 or not data.startswith(b"ID3"):
        return 0
    size = 0
    for byte in data[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if data[5] & 0x10 else 0)


def _mp3(data: bytes) -> float | None:
    at = _after_tag(data)
    seconds, end = 0.0, at + _FRONT
    while at + 4 <= len(data) and seconds < _ENOUGH:
        frame = _mp3_frame(data, at)
        if frame is not None:
            at, seconds = at + frame[0], seconds + frame[1]
        elif seconds == 0.0 and at < end:
            at += 1
        else:
            break  # what follows the frames: an older tag, or nothing
    return seconds or None


def _mp3_frame(data: bytes, at: int) -> tuple[int, float] | None:
    """Bytes and seconds of the frame that begins there."""
    _, second, third, _ = data[at : at + 4]
    version, kbits, rate = second >> 3 & 3, third >> 4, third >> 2 & 3
    synchronous = data[at] == 0xFF and second & 0xE6 == 0xE2  # of the three layers only the third
    if not synchronous or version == 1 or kbits in (0, 15) or rate == 3:
        return None
    per_second = _MP3_RATES[version][rate]
    samples = 1152 if version == 3 else 576
    bits = _MP3_KBITS[3 if version == 3 else 2][kbits - 1] * 1000
    return samples // 8 * bits // per_second + (third >> 1 & 1), samples / per_second


def _is_adts(data: bytes, at: int) -> bool:
    return len(data) > at + 1 and data[at] == 0xFF and data[at + 1] & 0xF6 == 0xF0


def _aac(data: bytes) -> float | None:
    at, seconds = _after_tag(data), 0.0
    while at + 7 <= len(data) and _is_adts(data, at) and seconds < _ENOUGH:
        rate = data[at + 2] >> 2 & 0xF
        size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        if rate >= len(_AAC_RATES) or size < 7:
            break
        seconds += _AAC_SAMPLES * ((data[at + 6] & 3) + 1) / _AAC_RATES[rate]
        at += size
    return seconds or None


def _m4a(data: bytes) -> float | None:
    """What the movie's header says; where it was written before its fragments and says nothing, 128 kbit/s."""
    movie = _box(data, b"moov", 0, len(data))
    header = _box(data, b"mvhd", *movie) if movie else None
    if header is None:
        return None
    at = header[0]
    if data[at] == 1:
        scale, length = struct.unpack_from(">IQ", data, at + 20)
    else:
        scale, length = struct.unpack_from(">II", data, at + 12)
    return float(length / scale) or len(data) / _PER_SECOND


def _box(data: bytes, wanted: bytes, at: int, end: int) -> tuple[int, int] | None:
    """Where what a box of this name holds begins and ends."""
    while at + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            head, (size,) = 16, struct.unpack_from(">Q", data, at + 8)
        size = size or end - at
        if size < head:
            return None
        if name == wanted:
            return at + head, min(at + size, end)
        at += size
    return None


_READERS: Final = {"wav": _wav, "mp3": _mp3, "aac": _aac, "m4a": _m4a}
