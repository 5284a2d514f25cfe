"""Looking into real, damaged, lying and hostile files."""

from __future__ import annotations

import builtins
import io
import os
import struct
import time
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from avatarkit.protocol.limits import MediaFacts, MediaRule
from avatarkit.providers.hifly.limits import AVATAR_IMAGE, AVATAR_VIDEO, DRIVING_AUDIO, VOICE_SAMPLE
from avatarkit.testing import run_virtual
from avatarkit.transport import preflight
from avatarkit.transport.preflight import check_media, inspect
from avatarkit.transport.sources import as_source


def video(
    codec: str = "libx264", form: str = "mp4", width: int = 640, height: int = 360, frames: int = 150
) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=form) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            pixels = np.full((height, width, 3), number % 255, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return target.getvalue()


def sound(seconds: float, rate: int = 8000) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\0\0" * int(rate * seconds))
    return target.getvalue()


def encoded(codec: str, form: str, seconds: float) -> bytes:
    target = io.BytesIO()
    with av.open(target, "w", format=form) as container:
        stream = container.add_stream(codec, rate=44100)
        for number in range(int(seconds * 44100 / 1024)):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, number * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return target.getvalue()


VIDEO = video()
MP3 = encoded("mp3", "mp3", 8)
M4A = encoded("aac", "ipod", 8)


def facts(data: bytes, name: str | None = None) -> MediaFacts | None:
    async def look() -> MediaFacts | None:
        return await inspect(await as_source(data, name=name))

    found: MediaFacts | None = run_virtual(look)
    return found


def problems(data: bytes | Path, rule: MediaRule, name: str | None = None) -> list[str]:
    async def look() -> list[str]:
        return await check_media("f", await as_source(data, name=name), rule)

    found: list[str] = run_virtual(look)
    return found


def test_good_video() -> None:
    """A video's codec, size and length are found, and nothing is wrong with it."""
    found = facts(VIDEO)
    assert found is not None
    assert (found.video_codec, found.width, found.height) == ("h264", 640, 360)
    assert found.seconds == pytest.approx(6.0, abs=0.05)
    assert found.has_video is True
    assert found.has_audio is False
    assert problems(VIDEO, AVATAR_VIDEO, "v.mov") == []


def test_bad_videos() -> None:
    """A wrong codec, a short clip and a small picture are each said."""
    assert problems(video("mpeg4"), AVATAR_VIDEO) == ["f: mpeg4 video found, h264 allowed"]
    assert problems(video(width=320, height=240, frames=50), AVATAR_VIDEO) == [
        "f: 2.0 s found, at least 5 s allowed",
        "f: 320x240 found, shorter side at least 360 allowed",
    ]


@pytest.mark.parametrize(("data", "codec", "extension"), [(MP3, "mp3", "mp3"), (M4A, "aac", "m4a")])
def test_encoded_sound(data: bytes, codec: str, extension: str) -> None:
    """MP3 and M4A are measured; sound is no video and a video without sound is no voice."""
    found = facts(data)
    assert found is not None
    assert found.audio_codec.startswith(codec)
    assert found.seconds == pytest.approx(8, abs=0.3)
    assert problems(data, VOICE_SAMPLE, f"a.{extension}") == []
    assert any("no moving picture" in problem for problem in problems(data, AVATAR_VIDEO, "a.mp4"))
    assert problems(VIDEO, VOICE_SAMPLE, "v.m4a") == ["f: no sound found, at least 1 sound track allowed"]


def test_wav_needs_no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """WAV and pictures are read without PyAV, and what was cut off is seen; without it nothing else is a problem."""
    real = builtins.__import__

    def without_av(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_av)
    assert problems(sound(4), DRIVING_AUDIO) == ["f: 4.0 s found, at least 5 s allowed"]
    assert problems(sound(6), DRIVING_AUDIO) == []
    assert problems(VIDEO, AVATAR_VIDEO) == []
    assert problems(VIDEO[:5000], AVATAR_VIDEO)[0].startswith("f: cut off: 5,000 of at least ")
    assert problems(MP3[:2000], VOICE_SAMPLE) == []


def test_wav_with_a_wrong_length() -> None:
    """A WAV whose writer put in hours because it did not know counts for what is there; one that was cut is broken."""
    data = bytearray(sound(6))
    data[40:44] = struct.pack("<I", 0x7FFFFFF0)
    found = facts(bytes(data))
    assert found is not None
    assert found.seconds == pytest.approx(6, abs=0.1)
    cut = "f: cut off: 50,000 of at least 160,044 bytes found, a whole file allowed"
    assert problems(sound(10)[:50_000], DRIVING_AUDIO) == [cut]


@pytest.mark.parametrize("form", ["png", "jpeg", "webp", "gif"])
def test_pictures(form: str) -> None:
    """The size of a picture is read from its header."""
    target = io.BytesIO()
    Image.new("RGB", (333, 222), "red").save(target, form, **({"lossless": True} if form == "webp" else {}))
    found = facts(target.getvalue())
    assert found is not None
    assert (found.width, found.height) == (333, 222)
    expected = [] if form != "gif" else ["gif file found", "gif content found"]
    assert [p.split(": ")[1].split(",")[0] for p in problems(target.getvalue(), AVATAR_IMAGE)] == expected


def test_broken_files() -> None:
    """What a decoder cannot open is a problem; a name that lies about the content is another."""
    assert problems(VIDEO.replace(b"moov", b"\0\0\0\0"), AVATAR_VIDEO) == [
        "f: file that cannot be read as mp4 found, mp4 or mov allowed"
    ]
    assert problems(b"\x89PNG\r\n\x1a\n" + b"\0" * 100, AVATAR_VIDEO, "v.mp4") == [
        "f: png content found, mp4 or mov allowed"
    ]
    assert problems(b"hello", VOICE_SAMPLE, "notes.txt") == ["f: txt file found, mp3, m4a or wav allowed"]


def test_play_lists_are_not_followed(tmp_path: Path) -> None:
    """A play list dressed up as a video opens no other file: ffmpeg is told the container."""
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(VIDEO)
    for text in (
        f"ffconcat version 1.0\nfile '{secret}'\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\n{secret}\n",
    ):
        for name in ("v.mp4", "v.m3u8", "v.mp3"):
            found = facts(text.encode(), name)
            assert found is None or found.seconds is None


def test_facts_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is looked into once, until it changes; one that vanished is a problem, not a crash."""
    path = tmp_path / "v.wav"
    path.write_bytes(sound(4))
    looked: list[str] = []
    look = preflight._inspect

    def counted(source: Any) -> Any:
        looked.append(source.name)
        return look(source)

    monkeypatch.setattr(preflight, "_inspect", counted)
    assert problems(path, DRIVING_AUDIO) == problems(path, DRIVING_AUDIO) != []
    assert len(looked) == 1
    path.write_bytes(sound(6))
    os.utime(path, (time.time() - 9, time.time() - 9))
    assert problems(path, DRIVING_AUDIO) == []

    async def vanish() -> list[str]:
        other = tmp_path / "w.wav"
        other.write_bytes(sound(6))
        source = await as_source(other)
        other.unlink()
        return await check_media("f", source, DRIVING_AUDIO)

    assert run_virtual(vanish) == [
        "f: file that cannot be read found (No such file or directory), a file allowed"
    ]


HEADS = [
    VIDEO,
    MP3,
    M4A,
    sound(1),
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"\xff\xd8\xff\xe0\0\x10JFIF",
    b"GIF89a",
]
HEADS += [
    b"RIFF\0\0\0\0WEBPVP8X",
    b"RIFF\0\0\0\0WEBPVP8L",
    b"\x1aE\xdf\xa3",
    b"OggS",
    b"fLaC",
    b"RIFF\0\0\0\0AVI ",
]


@settings(max_examples=150, deadline=None)
@given(
    head=st.sampled_from(HEADS),
    cut=st.integers(0, 4000),
    tail=st.binary(max_size=200),
    flips=st.lists(st.tuples(st.integers(0, 3999), st.integers(0, 255)), max_size=8),
    name=st.sampled_from(["v.mp4", "a.mp3", "a.wav", "i.webp", "v.webm", "x"]),
)
@example(head=b"", cut=0, tail=b"\xff\xd8\xff" + b"\xff" * 100, flips=[], name="x")
def test_hostile_files(head: bytes, cut: int, tail: bytes, flips: list[tuple[int, int]], name: str) -> None:
    """Cut, flipped and made-up files never raise, whatever their name says."""
    data = bytearray(head[:cut] + tail or b"\0")
    for at, value in flips:
        data[at % len(data)] = value
    assert all(problem.startswith("f: ") for problem in problems(bytes(data), AVATAR_VIDEO, name))
