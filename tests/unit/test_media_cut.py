"""Files that were cut off are found by what their own format says, and nothing that is whole is taken for one."""

from __future__ import annotations

import io
import struct
import tempfile
import wave
from functools import cache, partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from avatarkit.bulk.checking import Files, Use
from avatarkit.protocol import samples
from avatarkit.protocol.limits import MediaRule
from avatarkit.studio.material import sample_picture, sample_video, sample_voice
from avatarkit.studio.plain import plain_audio, plain_video
from avatarkit.testing import run_virtual
from avatarkit.transport.preflight import check_media
from avatarkit.transport.sniff import cut_off, sniff
from avatarkit.transport.sources import Media, as_source

ANY = MediaRule()


def cut(data: bytes, kind: str | None = None) -> str:
    """What is said of *data*; reading beyond its end, or from before its start, is a failure of the test."""

    def read(offset: int, size: int) -> bytes:
        assert 0 <= offset <= len(data)
        assert size >= 0
        return data[offset : offset + size]

    return cut_off(sniff(data) if kind is None else kind, read, len(data))


def problems(media: Media, rule: MediaRule = ANY) -> list[str]:
    async def look() -> list[str]:
        return await check_media("f", await as_source(media), rule)

    found: list[str] = run_virtual(look)
    return found


@cache
def film(form: str = "mp4", movflags: str = "", *, sound: bool = False) -> bytes:
    """A real video of two seconds, noisy so that it is not tiny, or as much sound."""
    options = {"movflags": movflags} if movflags else {}
    noise = np.random.default_rng(1)
    # Muxers that move the index to the front read the file once more, by its name.
    with (
        tempfile.NamedTemporaryFile() as target,
        av.open(target.name, "w", format=form, options=options) as container,
    ):
        stream: Any = container.add_stream("aac" if sound else "libx264", rate=44100 if sound else 25)
        if not sound:
            stream.width, stream.height, stream.pix_fmt, stream.gop_size = 160, 120, "yuv420p", 10
        for number in range(86 if sound else 50):
            if sound:
                tone = noise.random((1, 1024), np.float32) - 0.5
                frame: Any = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 44100, number * 1024
            else:
                pixels = noise.integers(0, 255, (120, 160, 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        container.close()
        return Path(target.name).read_bytes()


@cache
def photo(side: int = 200) -> Image.Image:
    pixels = np.random.default_rng(2).integers(0, 255, (side, side + 20, 3), np.uint8)
    return Image.fromarray(pixels)


def picture(form: str, **options: Any) -> bytes:
    target = io.BytesIO()
    photo().save(target, form, **options)
    return target.getvalue()


def exif_with_thumbnail() -> bytes:
    """An EXIF block with a JPEG of its own inside, end marker and all, as cameras write it."""
    small = io.BytesIO()
    photo(60).save(small, "jpeg")
    return b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + small.getvalue()


def recording(seconds: float = 1.0, claimed: int | None = None, extra: bytes = b"") -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\1\0" * int(8000 * seconds))
    data = target.getvalue()
    length = data[40:44] if claimed is None else struct.pack("<I", claimed)
    return data[:36] + extra + b"data" + length + data[44:]


def box(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(body)) + name + body


FTYP = box(b"ftyp", b"isom\0\0\2\0isom")
FAST = "faststart"
FRAGMENTS = ("frag_keyframe+empty_moov", "frag_keyframe", "dash+frag_keyframe", "cmaf+frag_every_frame")
FILMS = [
    ("mp4", ""), ("mp4", FAST), ("mov", ""), ("mov", FAST), ("3gp", ""), *(("mp4", each) for each in FRAGMENTS),
]  # fmt: skip
PICTURES: list[tuple[str, dict[str, Any]]] = [
    ("jpeg", {}),
    ("jpeg", {"progressive": True, "quality": 95}),
    ("jpeg", {"exif": exif_with_thumbnail()}),
    ("jpeg", {"optimize": True, "comment": b"\xff\xd8\xff\xd9" * 9, "icc_profile": b"\xff\xd9" * 50_000}),
    ("jpeg", {"restart_marker_blocks": 4}),
    ("mpo", {"save_all": True, "append_images": [photo(90)]}),
    ("png", {}),
    ("png", {"save_all": True, "append_images": [Image.new("RGB", (220, 200), "red")]}),
    ("webp", {"lossless": True}),
    ("webp", {"exif": exif_with_thumbnail(), "save_all": True, "append_images": [photo().rotate(180)]}),
    ("gif", {}),
]


@pytest.mark.parametrize(("form", "flags"), FILMS)
def test_whole_films_pass(form: str, flags: str) -> None:
    """MP4, MOV and 3GP as a real muxer writes them, index in front, behind or in fragments, with appendices."""
    data = film(form, flags)
    for tail in (b"", b"\0", b"\0" * 7, b"\0" * 5000, b"TAG" + b"a title" * 18, box(b"free", b"\0" * 99)):
        assert cut(data + tail) == ""
    assert problems(data) == []


def test_whole_sounds_pass() -> None:
    """M4A, and every other sound, whose formats do not tell their length; also when the latter are cut."""
    assert cut(film("ipod", sound=True)) == cut(film("ipod", FAST, sound=True)) == ""
    for form in ("adts", "flac", "ogg"):
        target = io.BytesIO()
        with av.open(target, "w", format=form) as container:
            stream: Any = container.add_stream("aac" if form == "adts" else "flac", rate=44100)
            frame: Any = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.int16), format="s16", layout="mono"
            )
            frame.sample_rate = 44100
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        assert cut(target.getvalue()) == cut(target.getvalue()[:-20]) == ""


@pytest.mark.parametrize(("form", "options"), PICTURES)
def test_whole_pictures_pass(form: str, options: dict[str, Any]) -> None:
    """Baseline, progressive, with a thumbnail, with a second picture behind, moving: all of them, padded or not."""
    data = picture(form, **options)
    for tail in (b"", b"\0", b"\0" * 5000, bytes(range(251)) * 4):
        assert cut(data + tail) == ""
    assert problems(data) == []


def test_pictures_with_a_film_behind_pass() -> None:
    """A phone's moving photo has megabytes behind the picture, which may hold no end marker at all."""
    for size in (100_000, 1 << 20, (1 << 20) + 1, 3 << 20):
        assert cut(picture("jpeg") + b"\0" * size) == ""
        assert cut(picture("png") + b"\0" * size) == ""
    body = picture("jpeg")[:-2]
    start = next(at for at in range(len(body)) if body[at : at + 2] == b"\xff\xda") + 14
    # The two bytes of the end marker lie on both sides of where one piece ends and the next begins.
    filled = body + b"\0" * (start + (1 << 20) - 1 - len(body))
    assert cut(filled + b"\xff\xd9" + b"\0" * 200_000) == ""
    assert cut(filled + b"\xff\0" + b"\0" * 200_000) == "cut off: a picture without its end"


def test_our_own_material_passes(tmp_path: Path) -> None:
    """Samples of the suites, and what the studio draws, films and speaks, with encoders and without."""
    assert cut(samples.png(300, 400)) == cut(samples.wav()) == cut(samples.wav(0.01)) == ""
    sample_picture(tmp_path / "a.png", size=(180, 320))
    sample_picture(tmp_path / "a.jpg", size=(180, 320))
    sample_video(tmp_path / "a.mp4", 1, size=(180, 320))
    sample_voice(tmp_path / "a.wav", 1)
    plain_video(tmp_path / "b.mp4", seconds=1)
    plain_audio(tmp_path / "b.m4a", seconds=1)
    for path in tmp_path.iterdir():
        assert problems(path) == []


@pytest.mark.parametrize(
    "data",
    [
        recording(claimed=0),
        recording(claimed=0xFFFFFFFF),
        recording(claimed=0x7FFFFFFF),
        recording(claimed=0x7FFFF000),
        recording(claimed=0xFFFFFFFF - 36),
        recording(claimed=16_001),
        recording(claimed=16_044),
        recording(claimed=15_000),
        recording(extra=b"LIST\x05\0\0\0INFOx\0"),
        recording() + b"LIST\xff\xff\0\0INFO",
        b"RF64\xff\xff\xff\xff" + recording(claimed=0xFFFFFFFF)[8:],
        recording()[:40],
        recording()[:30],
    ],
)
def test_recordings_that_pass(data: bytes) -> None:
    """Lengths that a writer did not know yet, with the header counted in, odd ones, and chunks before and behind."""
    assert cut(data) == ""


def test_cut_recordings_are_found() -> None:
    """Of a WAV it is told how much is there."""
    assert problems(recording(10)[:50_000]) == [
        "f: cut off: 50,000 of at least 160,044 bytes found, a whole file allowed"
    ]
    listed = recording(2, extra=b"LIST\x05\0\0\0INFOx\0")
    assert cut(listed[:20_000]) == "cut off: 20,000 of at least 32,058 bytes"


@pytest.mark.parametrize(("form", "flags"), [("mp4", FAST), ("mov", FAST), ("mp4", "")])
def test_every_cut_of_a_film_is_found(form: str, flags: str) -> None:
    """Wherever a film ends too early, but where what is gone is no more than a few bytes behind its last box."""
    data = film(form, flags)
    for size in [*range(12, 3000), *range(3000, len(data), 997), *range(len(data) - 3000, len(data))]:
        assert cut(data[:size]).startswith("cut off"), size
    half = len(data) // 2
    first = problems(data[:half])[0]
    assert (
        first.startswith(f"f: cut off: {half:,} of at least ") if flags else first.startswith("f: cut off: ")
    )


@pytest.mark.parametrize("flags", FRAGMENTS)
def test_a_cut_fragment_is_found(flags: str) -> None:
    """What ends within a fragment is cut; what ends with one can be played and passes."""
    data = film("mp4", flags)
    last = data.rindex(b"mdat") - 4
    assert cut(data[: last + 100]).startswith("cut off: ")
    assert cut(data[:last]) == ""


@pytest.mark.parametrize("large", [False, True])
def test_how_much_of_a_film_is_there(large: bool) -> None:
    """Both figures are told, for lengths of 32 and of 64 bits; a length that is cut itself is a cut, too."""
    head = FTYP + box(b"moov", b"\0" * 50)
    data = head + (
        b"\0\0\0\1mdat" + struct.pack(">Q", 10_016) if large else struct.pack(">I", 10_008) + b"mdat"
    )
    whole = len(head) + (10_016 if large else 10_008)
    assert cut(data + b"\0" * 10_000) == ""
    assert cut(data + b"\0" * 4000) == f"cut off: {len(data) + 4000:,} of at least {whole:,} bytes"
    assert cut(head + b"\0\0\0\1mdat\0") == f"cut off: {len(head) + 9} of at least {len(head) + 16} bytes"


def test_films_without_index_or_content() -> None:
    """A recording that was never finished has no index; one that ends behind its index has nothing else."""
    never = "cut off or never finished: a file without index (moov)"
    assert cut(FTYP + box(b"mdat", b"x" * 99)) == never
    assert cut(FTYP + b"\0\0\0\0mdat" + b"x" * 99) == cut(b"\0\0\0\0mdat" + b"x" * 99) == never
    assert cut(box(b"mdat", b"x" * 99)) == cut(FTYP) == cut(FTYP + b"\0\0\0") == never
    assert cut(FTYP + box(b"moov", b"x")) == "cut off: a file without sound and pictures (mdat)"
    assert cut(FTYP + box(b"moov", b"x") + b"\0\0\0\0mdat" + b"x" * 99) == ""
    assert problems(FTYP + box(b"mdat", b"x" * 99), MediaRule(extensions=("mp4", "mov"))) == [
        f"f: {never} found, a whole file allowed"
    ]


@pytest.mark.parametrize(
    "data",
    [
        box(b"ftyp", b"heix\0\0\0\0") + box(b"meta", b"x") + box(b"mdat", b"x"),
        FTYP + b"\0\0\0\5moov" + b"x" * 99,
        FTYP + b"\0\0\0\1mdat" + struct.pack(">Q", 3) + b"x" * 99,
        FTYP + box(b"mdat", b"x") + b"\0" * 99,
        FTYP + box(b"mdat", b"x") + b"\xff" * 99,
        b"\0\0\0\0ftypisom" + b"x" * 99,
        FTYP + box(b"free") * 20_000,
    ],
)
def test_what_is_not_certain_passes(data: bytes) -> None:
    """Pictures in the same boxes, damage, padding, and more boxes than are looked at, are left to others."""
    assert cut(data) == ""


@pytest.mark.parametrize(
    ("form", "options"), [each for each in PICTURES if each[0] in ("jpeg", "png", "webp")]
)
def test_every_cut_of_a_picture_is_found(form: str, options: dict[str, Any]) -> None:
    """Wherever a picture ends too early it is said, also when its thumbnail is whole; one byte may lack."""
    data = picture(form, **options)
    kind = sniff(data)
    for size in [*range(12, 2000), *range(2000, len(data), 997), *range(len(data) - 500, len(data) - 12)]:
        assert cut(data[:size], kind).startswith("cut off: "), size


def test_a_picture_of_which_little_is_there() -> None:
    """A JPEG says nothing of its length, a WebP does."""
    jpeg, webp = picture("jpeg"), picture("webp", lossless=True)
    rule = MediaRule(extensions=("jpg", "png"))
    assert problems(jpeg[:5000], rule) == [
        "f: cut off: a picture without its end found, a whole file allowed"
    ]
    assert cut(webp[:5000]) == f"cut off: 5,000 of {len(webp):,} bytes"
    assert cut(b"RIFF\xff\xff\xff\xff" + webp[8:]) == cut(b"RIFF\0\0\0\0" + webp[8:]) == ""


def test_paths_bytes_and_files_alike(tmp_path: Path) -> None:
    """Where a file object begins in the middle of something longer, only what follows counts; pipes are read whole."""
    whole, part = film("mp4", FAST), film("mp4", FAST)[:20_000]
    path = tmp_path / "a.mp4"
    path.write_bytes(part)
    behind = io.BytesIO(b"x" * 30_000 + part)
    behind.seek(30_000)
    for media in (part, path, behind):
        assert problems(media)[0].startswith("f: cut off: 20,000 of ")

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    assert problems(Pipe(whole)) == []
    assert problems(Pipe(part))[0].startswith("f: cut off: 20,000 of ")
    before = io.BytesIO(b"x" * 30_000 + whole)
    before.seek(30_000)
    assert problems(before) == []


@pytest.mark.asyncio
async def test_a_manifest_s_check_tells_of_it(tmp_path: Path) -> None:
    """A file that many rows name is looked into once, and each row is told."""
    path = tmp_path / "a.png"
    path.write_bytes(picture("png")[:5000])
    files, use = Files(enabled=True), Use("image", str(path), ANY)
    for _ in range(2):
        (found,) = (await files.problems([use])).values()
        assert found == ("image: cut off: a picture without its end found, a whole file allowed",)
    assert files.looked == 1


def test_looking_is_cheap() -> None:
    """Of 500 MB only headers are read; of hostile files no more than a bounded number of pieces."""
    head = FTYP + box(b"moov", b"\0" * 50) + struct.pack(">I", (500 << 20) - len(FTYP) - 58) + b"mdat"
    reads: list[int] = []

    def sparse(offset: int, size: int, start: bytes = head, whole: int = 500 << 20) -> bytes:
        reads.append(size)
        part = start[offset : offset + size]
        return part + b"\0" * (min(size, whole - offset) - len(part))

    assert cut_off("mp4", sparse, 500 << 20) == ""
    assert len(reads) <= 4
    assert sum(reads) <= 64
    reads.clear()
    scan = b"\xff\xd8\xff\xda\0\2"
    assert cut_off("jpg", partial(sparse, start=scan), 500 << 20) == ""
    assert sum(reads) < 70 << 20
    hostile = {
        "mp4": FTYP + box(b"free") * 100_000,
        "png": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0tEXt\0\0\0\0" * 100_000,
        "wav": b"RIFF\0\0\0\0WAVE" + b"LIST\0\0\0\0" * 100_000,
    }
    for kind, data in hostile.items():
        reads.clear()
        assert cut_off(kind, partial(sparse, start=data, whole=len(data)), len(data)) == ""
        assert len(reads) <= 20_001


GOOD = [film("mp4", FAST), film("mp4", FRAGMENTS[0]), recording()]
GOOD += [picture(form) for form in ("jpeg", "png", "webp")]


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.builds(
            lambda good, at, end: good[:at] + end, st.sampled_from(GOOD), st.integers(0, 9999), st.binary()
        ),
    ),
    flips=st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 255)), max_size=6),
    kind=st.sampled_from(["mp4", "mov", "m4a", "wav", "webp", "png", "jpg", "gif", "mp3", ""]),
)
@example(data=b"", flips=[], kind="")
@example(data=b"\xff\xd8\xff" * 9, flips=[], kind="jpg")
def test_hostile_bytes(data: bytes, flips: list[tuple[int, int]], kind: str) -> None:
    """Whatever is looked at as whatever: nothing is raised, nothing read beyond the end, and a finding is one line."""
    changed = bytearray(data)
    for at, value in flips:
        if changed:
            changed[at % len(changed)] = value
    # No kind is said of what is shorter than its mark.
    for each in (kind, None) if len(changed) >= 12 else (None,):
        found = cut(bytes(changed), each)
        assert found == "" or (found.startswith("cut off") and found.isprintable() and len(found) < 80)
