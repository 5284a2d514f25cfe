"""Plain but valid media, made with the standard library alone: for a sandbox without the extra.

The MP4 holds one hand-written H.264 baseline picture (I_PCM macroblocks, so no transform is needed),
repeated by "nothing changed" frames of about ten bytes, and a track of AAC silence. Layouts follow ISO/IEC
14496-3 (AAC), 14496-10 (H.264), 14496-12 and -14 (MP4) and 11172-3 (MP3).
"""

from __future__ import annotations

import array
import math
import struct
import sys
import wave
from pathlib import Path
from typing import Literal

from avatarkit.errors import InvalidRequest
from avatarkit.studio.models import Rendered

_FPS = 5
_AAC_RATE, _AAC_FRAME = 16000, 1024
_MP3_RATE, _MP3_FRAME = 48000, 1152
_WAV_RATE = 16000
_LONGEST_S = 24 * 3600.0
_UNITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


class _Bits:
    """Bits written most significant first, with the Exp-Golomb codes of H.264."""

    def __init__(self) -> None:
        self._value, self._count = 0, 0
        self._done = bytearray()

    def put(self, value: int, width: int) -> _Bits:
        self._value, self._count = (self._value << width) | value, self._count + width
        while self._count >= 8:
            self._count -= 8
            self._done.append((self._value >> self._count) & 0xFF)
        self._value &= (1 << self._count) - 1
        return self

    def ue(self, value: int) -> _Bits:
        return self.put(value + 1, 2 * (value + 1).bit_length() - 1)

    def align(self, bit: int = 0) -> _Bits:
        while self._count:
            self.put(bit, 1)
        return self

    def raw(self, data: bytes) -> _Bits:
        self._done += data
        return self

    def trailing(self) -> bytes:
        self.put(1, 1)
        return self.bytes()

    def bytes(self) -> bytes:
        self.align()
        return bytes(self._done)


def plain_video(target: Path, *, seconds: float, width: int = 180, height: int = 320) -> Rendered:
    """Write an MP4 of *seconds* (at most a day): a still in H.264, and silence in AAC.

    There are 5 frames a second. *width* and *height* are in pixels, 16 to 1920, rounded down to even. Raises
    :class:`~avatarkit.errors.InvalidRequest` outside these limits, :class:`OSError` if *target* cannot be
    written.
    """
    seconds = _checked(seconds)
    if not (16 <= width <= 1920 and 16 <= height <= 1920):
        raise InvalidRequest(f"size: found {width}x{height}, allowed 16 to 1920 pixels a side")
    width, height = width & ~1, height & ~1
    count = max(1, round(seconds * _FPS))
    columns, rows = (width + 15) // 16, (height + 15) // 16
    first = _nal(0x65, _picture(columns, rows))
    pictures = [first] + [_nal(0x61, _unchanged(columns * rows, n % 16)) for n in range(1, count)]
    silence = [_silent_aac()] * max(1, round(seconds * _AAC_RATE / _AAC_FRAME))
    tracks = [
        _Track(
            b"vide",
            _FPS * 1000,
            1000,
            [len(p).to_bytes(4, "big") + p for p in pictures],
            _avc1(width, height),
        ),
        _Track(b"soun", _AAC_RATE, _AAC_FRAME, silence, _mp4a()),
    ]
    target.write_bytes(_mp4(tracks, width, height))
    return Rendered(
        duration_s=count / _FPS, width=width, height=height, fps=_FPS, size_bytes=target.stat().st_size
    )


def plain_audio(
    target: Path,
    seconds: float,
    format: Literal["mp3", "wav", "m4a"] = "mp3",  # noqa: A002
) -> Rendered:
    """Write *seconds* (at most a day) of sound: a soft tone as ``wav``, silence as ``mp3`` or ``m4a``.

    Raises :class:`~avatarkit.errors.InvalidRequest` for another format or length, :class:`OSError` if
    *target* cannot be written.
    """
    seconds = _checked(seconds)
    if format == "wav":
        length = _plain_wav(target, seconds)
    elif format == "mp3":
        count = max(1, round(seconds * _MP3_RATE / _MP3_FRAME))
        # MPEG-1 layer III, 32 kbit/s, 48 kHz, mono: exactly 96 bytes a frame; zeros after the header are
        # silence.
        target.write_bytes((b"\xff\xfb\x14\xc0" + bytes(92)) * count)
        length = count * _MP3_FRAME / _MP3_RATE
    elif format == "m4a":
        silence = [_silent_aac()] * max(1, round(seconds * _AAC_RATE / _AAC_FRAME))
        target.write_bytes(_mp4([_Track(b"soun", _AAC_RATE, _AAC_FRAME, silence, _mp4a())], 0, 0))
        length = len(silence) * _AAC_FRAME / _AAC_RATE
    else:
        raise InvalidRequest(f"format: found {format!r}, allowed mp3, wav, m4a")
    return Rendered(duration_s=length, size_bytes=target.stat().st_size)


def _checked(seconds: float) -> float:
    if not 0 < seconds <= _LONGEST_S:
        raise InvalidRequest(f"seconds: found {seconds}, allowed more than 0 and at most {_LONGEST_S:.0f}")
    return seconds


def _plain_wav(target: Path, seconds: float) -> float:
    # One second of tone holds whole periods, so repeating it makes no click.
    tone = array.array(
        "h", (round(1200 * math.sin(math.tau * 440 * n / _WAV_RATE)) for n in range(_WAV_RATE))
    )
    if sys.byteorder == "big":
        tone.byteswap()
    second, count = tone.tobytes(), max(1, round(seconds * _WAV_RATE))
    with wave.open(str(target), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(_WAV_RATE)
        for begin in range(0, count, _WAV_RATE):
            out.writeframes(second[: 2 * min(_WAV_RATE, count - begin)])
    return count / _WAV_RATE


# --- H.264 ---


def _nal(header: int, payload: bytes) -> bytes:
    """A NAL unit; a byte 3 keeps any run of zeros from looking like a start code."""
    out, zeros = bytearray([header]), 0
    for byte in payload:
        if zeros == 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


def _parameter_sets(width: int, height: int) -> tuple[bytes, bytes]:
    columns, rows = (width + 15) // 16, (height + 15) // 16
    sps = _Bits().put(66, 8).put(0xC0, 8).put(40, 8)  # constrained baseline, level 4
    sps.ue(0).ue(0).ue(2).ue(1).put(0, 1)  # id, frame_num of 4 bits, output in decoding order, one reference
    sps.ue(columns - 1).ue(rows - 1).put(1, 1).put(1, 1)
    sps.put(1, 1).ue(0).ue((columns * 16 - width) // 2).ue(0).ue((rows * 16 - height) // 2).put(0, 1)
    # id, sps id, CAVLC, one slice group, one reference, no weights, quantiser 26, deblocking told per slice
    pps = _Bits().ue(0).ue(0).put(0, 2).ue(0).ue(0).ue(0).put(0, 3).ue(0).ue(0).ue(0).put(0b100, 3)
    return _nal(0x67, sps.trailing()), _nal(0x68, pps.trailing())


def _picture(columns: int, rows: int) -> bytes:
    """An IDR slice of I_PCM macroblocks: a calm gradient with a play triangle in the middle."""
    # first macroblock, I slices only, pps, frame_num, idr id, no long-term use, quantiser as in pps, no
    # deblocking
    bits = _Bits().ue(0).ue(7).ue(0).put(0, 4).ue(0).put(0, 2).ue(0).ue(1)
    middle_x, middle_y, reach = columns * 8, rows * 8, min(columns, rows) * 3
    for row in range(rows):
        chroma = bytes([150 - 16 * row // rows]) * 64 + bytes([112 + 8 * row // rows]) * 64
        for column in range(columns):
            luma = bytearray()
            for y in range(row * 16, row * 16 + 16):
                shade, half = 60 + 70 * y // (rows * 16), (reach - abs(y - middle_y)) * 3 // 2
                for x in range(column * 16, column * 16 + 16):
                    luma.append(225 if 0 <= x - middle_x + reach * 2 // 3 < half else shade)
            bits.ue(25).align().raw(bytes(luma)).raw(chroma)
    return bits.trailing()


def _unchanged(macroblocks: int, frame_number: int) -> bytes:
    """A P slice that skips every macroblock: the picture before, once more."""
    # first macroblock, P slices only, pps, frame_num, default reference count and order, sliding window, as
    # above
    return _Bits().ue(0).ue(5).ue(0).put(frame_number, 4).put(0, 3).ue(0).ue(1).ue(macroblocks).trailing()


# --- AAC and MP4 ---


def _silent_aac() -> bytes:
    # One channel element, tag 0, any gain, a long window with no band in use, no tools; then the end mark.
    return _Bits().put(0, 3).put(0, 4).put(0, 8).put(0, 11).put(0, 3).put(7, 3).bytes()


class _Track:
    """One track: its samples, all of the same length in ticks, and its sample entry."""

    def __init__(self, kind: bytes, timescale: int, ticks: int, samples: list[bytes], entry: bytes) -> None:
        self.kind, self.entry = kind, entry
        self.timescale, self.ticks, self.samples = timescale, ticks, samples
        self.picture = kind == b"vide"

    @property
    def milliseconds(self) -> int:
        return round(1000 * self.ticks * len(self.samples) / self.timescale)


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", len(body) + 8, kind) + body


def _full(kind: bytes, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", flags), *parts)


def _avc1(width: int, height: int) -> bytes:
    sps, pps = _parameter_sets(width, height)
    config = _box(
        b"avcC",
        b"\x01" + sps[1:4] + b"\xff\xe1",
        struct.pack(">H", len(sps)),
        sps,
        struct.pack(">BH", 1, len(pps)),
        pps,
    )
    fixed = struct.pack(">6xH16xHHIIIH32sHh", 1, width, height, 0x480000, 0x480000, 0, 1, b"", 24, -1)
    return _box(b"avc1", fixed, config)


def _mp4a() -> bytes:
    # AAC-LC (2), 16 kHz (index 8), one channel, wrapped in the descriptors of 14496-1.
    specific = b"\x05\x02" + struct.pack(">H", (2 << 11) | (8 << 7) | (1 << 3))
    decoder = struct.pack(">BBBB3sII", 4, 13 + len(specific), 0x40, 0x15, b"\0\0\0", 8000, 8000) + specific
    stream = struct.pack(">BBHB", 3, 3 + len(decoder) + 3, 1, 0) + decoder + b"\x06\x01\x02"
    fixed = struct.pack(">6xH8xHHHHI", 1, 1, 16, 0, 0, _AAC_RATE << 16)
    return _box(b"mp4a", fixed, _full(b"esds", 0, stream))


def _mp4(tracks: list[_Track], width: int, height: int) -> bytes:
    """The whole file, index first, each track's samples as one chunk."""
    kind = _box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41" if width else b"M4A \0\0\2\0M4A isomiso2")
    data = [b"".join(track.samples) for track in tracks]
    size = len(_moov(tracks, [0] * len(tracks), width, height))
    begin, offsets = len(kind) + size + 8, []
    for chunk in data:
        offsets.append(begin)
        begin += len(chunk)
    return b"".join((kind, _moov(tracks, offsets, width, height), _box(b"mdat", *data)))


def _moov(tracks: list[_Track], offsets: list[int], width: int, height: int) -> bytes:
    longest = max(track.milliseconds for track in tracks)
    head = struct.pack(">IIIIIH10x36s24xI", 0, 0, 1000, longest, 0x10000, 0x100, _UNITY, len(tracks) + 1)
    traks = (_trak(n + 1, track, offsets[n], width, height) for n, track in enumerate(tracks))
    return _box(b"moov", _full(b"mvhd", 0, head), *traks)


def _trak(number: int, track: _Track, offset: int, width: int, height: int) -> bytes:
    size = (width << 16, height << 16) if track.picture else (0, 0)
    volume = 0 if track.picture else 0x100
    head = struct.pack(
        ">IIIIIQhhHH36sII", 0, 0, number, 0, track.milliseconds, 0, 0, 0, volume, 0, _UNITY, *size
    )
    ticks = track.ticks * len(track.samples)
    media = _full(
        b"mdhd", 0, struct.pack(">IIIIHH", 0, 0, track.timescale, ticks, 0x55C4, 0)
    )  # language: undetermined
    handler = _full(b"hdlr", 0, struct.pack(">I4s12xB", 0, track.kind, 0))
    about = _full(b"vmhd", 1, bytes(8)) if track.picture else _full(b"smhd", 0, bytes(4))
    here = _box(b"dinf", _full(b"dref", 0, struct.pack(">I", 1), _full(b"url ", 1)))
    info = _box(b"minf", about, here, _stbl(track, offset))
    return _box(b"trak", _full(b"tkhd", 3, head), _box(b"mdia", media, handler, info))


def _stbl(track: _Track, offset: int) -> bytes:
    count = len(track.samples)
    sizes = struct.pack(f">II{count}I", 0, count, *map(len, track.samples))
    parts = [
        _full(b"stsd", 0, struct.pack(">I", 1), track.entry),
        _full(b"stts", 0, struct.pack(">III", 1, count, track.ticks)),
        _full(b"stsc", 0, struct.pack(">IIII", 1, 1, count, 1)),
        _full(b"stsz", 0, sizes),
        _full(b"stco", 0, struct.pack(">II", 1, offset)),
    ]
    if track.picture:
        parts.append(_full(b"stss", 0, struct.pack(">II", 1, 1)))  # only the first can be decoded alone
    return _box(b"stbl", *parts)
