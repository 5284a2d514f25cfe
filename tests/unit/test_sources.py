"""Local material: what is accepted, what is refused before anything is sent, and how it is read."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.errors import InvalidRequest
from avatarkit.models import UploadedFile
from avatarkit.testing import run_virtual
from avatarkit.transport import sources
from avatarkit.transport.sniff import sniff
from avatarkit.transport.sources import Source, as_source, fingerprint, is_url

DATA = bytes(range(256)) * 10_000  # 2.56 MB, three pieces


def make(media: Any, **options: Any) -> Source:
    source: Source = run_virtual(lambda: as_source(media, **options))
    return source


def content(source: Source) -> bytes:
    async def read() -> bytes:
        return b"".join([piece async for piece in source.pieces()])

    data: bytes = run_virtual(read)
    return data


def test_urls_and_paths() -> None:
    """Only strings that begin with http:// or https:// are URLs; everything else is a path."""
    assert is_url("https://h/x")
    assert is_url("HTTP://h/x")
    assert not any(map(is_url, ["http.mp4", "httpx://h", "ftp://h", "", b"http://h", Path("http://h")]))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO])
def test_in_memory(kind: Callable[[bytes], Any]) -> None:
    """Bytes in any form are read whole, twice, and named after what they hold."""
    source = make(kind(b"\x89PNG\r\n\x1a\n" + DATA))
    assert content(source) == content(source) == b"\x89PNG\r\n\x1a\n" + DATA
    assert (source.extension, source.size) == ("png", len(DATA) + 8)


def test_strided_memoryview() -> None:
    """A view that is not contiguous or not of bytes counts in bytes, in its logical order."""
    assert content(make(memoryview(b"abcdef")[::2])) == b"ace"
    assert make(memoryview(b"abcdefgh").cast("I")).size == 8


def test_path(tmp_path: Path) -> None:
    """A path gives its name, its extension in lower case, and a key; as text or as Path."""
    path = tmp_path / "Clip One.MP4"
    path.write_bytes(DATA)
    for given_path in (path, str(path)):
        source = make(given_path)
        assert (source.name, source.extension, source.size) == ("Clip One.MP4", "mp4", len(DATA))
        assert content(source) == DATA
    assert make(path, name="other.mov").extension == "mov"


def test_extension_from_content(tmp_path: Path) -> None:
    """A file without an extension is named by its first bytes, or not at all."""
    path = tmp_path / "clip"
    path.write_bytes(b"\0\0\0\x20ftypisom" + DATA)
    assert make(path).extension == "mp4"
    path.write_bytes(b"who knows")
    assert make(path).extension == ""


def test_refused_paths(tmp_path: Path) -> None:
    """Missing, empty, unreadable and special files are refused with the path and the reason."""
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    cases: list[tuple[Any, str]] = [
        (tmp_path / "none", "no such file"),
        (tmp_path, "is a directory"),
        (tmp_path / "empty", "is empty"),
        (tmp_path / "pipe", "not a regular file"),
        ("nul\0byte", "cannot be read"),
        (tmp_path / ("x" * 300), "cannot be read"),
        (tmp_path / "empty" / "x", "cannot be read"),
        ("", "is a directory"),
        (b"", "empty"),
        (io.BytesIO(), "nothing is left"),
        (io.StringIO("text"), "binary mode"),
        (42, "binary mode"),
        (None, "binary mode"),
        ("http://h/x", "no local material"),
        (UploadedFile(id="f"), "no local material"),
    ]
    for media, words in cases:
        with pytest.raises(InvalidRequest, match=words):
            make(media)
    with pytest.raises(InvalidRequest, match="no such file") as caught:
        make("s3://bucket/x.mp4")
    assert "http and https" in caught.value.hint


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without read permission is refused with the system's reason."""
    path = tmp_path / "v.mp4"
    path.write_bytes(DATA)

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InvalidRequest, match="Permission denied"):
        make(path)


def test_file_object_keeps_its_position(tmp_path: Path) -> None:
    """A file object is read from where it stands, again and again, and is left standing there, open."""
    path = tmp_path / "v.mp4"
    path.write_bytes(b"head" + DATA)
    with path.open("rb") as file:
        file.seek(4)
        source = make(file)
        assert (source.name, source.size) == ("v.mp4", len(DATA))
        assert content(source) == content(source) == DATA
        assert file.tell() == 4
        assert not file.closed
    with pytest.raises(InvalidRequest, match="cannot be read"):
        make(file)


def test_one_file_object_twice_at_once() -> None:
    """Two sources over one file object, read at the same time, do not disturb each other."""
    file = io.BytesIO(DATA)

    async def both() -> list[str]:
        first, second = await as_source(file), await as_source(file)
        return await asyncio.gather(fingerprint(first), fingerprint(second))

    assert run_virtual(both) == [hashlib.sha256(DATA).hexdigest()] * 2


def test_stream_that_cannot_seek() -> None:
    """A pipe is copied to a temporary file off the loop, can be read again, and leaves nothing open."""
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as sink:
            sink.write(DATA)

    feeder = threading.Thread(target=feed)
    feeder.start()
    with os.fdopen(reading, "rb") as pipe:
        source = make(pipe)
    feeder.join()
    assert content(source) == content(source) == DATA
    del source
    gc.collect()


def test_stream_that_yields_text() -> None:
    """An object whose read gives text is refused, not encoded."""

    class Text:
        def read(self, size: int = -1) -> str:
            return "text"

    with pytest.raises(InvalidRequest, match="yields str"):
        make(Text())


def test_file_that_shrinks(tmp_path: Path) -> None:
    """A file that became shorter is reported instead of being sent in part; one that changed is noticed."""
    path = tmp_path / "v.mp4"
    path.write_bytes(DATA)
    source = make(path)
    assert run_virtual(source.changed) is False
    path.write_bytes(DATA[:1000])
    with pytest.raises(InvalidRequest, match="became shorter"):
        content(source)
    with pytest.raises(InvalidRequest, match="became shorter"):
        run_virtual(lambda: fingerprint(source))
    assert run_virtual(source.changed) is True
    path.unlink()
    assert run_virtual(source.changed) is True


def test_fingerprint_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settled file is hashed once; one that changed, or may still change unseen, is hashed again."""
    path = tmp_path / "v.mp4"
    path.write_bytes(DATA)
    hashed: list[str] = []
    digest = sources._digest

    def counted(source: Source, stop: threading.Event) -> str:
        hashed.append(source.name)
        return digest(source, stop)

    monkeypatch.setattr(sources, "_digest", counted)

    def of_path() -> str:
        source = make(path)
        found: str = run_virtual(lambda: fingerprint(source))
        return found

    assert of_path() == of_path() == hashlib.sha256(DATA).hexdigest()
    assert len(hashed) == 2
    os.utime(path, (time.time() - 100, time.time() - 100))
    assert of_path() == of_path() == hashlib.sha256(DATA).hexdigest()
    assert len(hashed) == 3
    path.write_bytes(DATA[::-1])
    os.utime(path, (time.time() - 50, time.time() - 50))
    assert of_path() == hashlib.sha256(DATA[::-1]).hexdigest()


def test_reading_stops_early(tmp_path: Path) -> None:
    """A reader that stops in the middle leaves no open file behind."""
    path = tmp_path / "v.mp4"
    path.write_bytes(DATA)

    async def first_piece() -> bytes:
        pieces = (await as_source(path)).pieces()
        piece = await anext(pieces)
        await pieces.aclose()
        return piece

    assert run_virtual(first_piece) == DATA[: 1 << 20]
    gc.collect()


@pytest.mark.parametrize(
    ("head", "extension"),
    [
        (b"\0\0\0\x14ftypqt  ", "mov"),
        (b"\0\0\0\x14ftypM4A ", "m4a"),
        (b"\0\0\0\x14ftypmp42", "mp4"),
        (b"RIFF\0\0\0\0WAVEfmt ", "wav"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "webp"),
        (b"RIFF\0\0\0\0oops", ""),
        (b"ID3\x04", "mp3"),
        (b"\xff\xfb\x90\x00", "mp3"),
        (b"\xff\xf1\x50\x80", "aac"),
        (b"\xff\xff\xff\xff", ""),
        (b"\xff\xd8\xff\xe0", "jpg"),
        (b"\x1aE\xdf\xa3", "webm"),
        (b"", ""),
    ],
)
def test_sniff(head: bytes, extension: str) -> None:
    """The common containers are told from their first bytes."""
    assert sniff(head) == extension


@given(st.binary(max_size=64))
def test_sniff_takes_any_bytes(head: bytes) -> None:
    """No bytes trip the sniffer, and what it says is a plain extension."""
    found = sniff(head)
    assert found == "" or found.isalnum()
