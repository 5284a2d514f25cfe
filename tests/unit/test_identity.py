"""What tells one request from another: a hash that knows the files of a streamed body, and never fails or blocks."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

from avatarkit.protocol.endpoint import Endpoint, Request
from avatarkit.testing import run_virtual
from avatarkit.transport.encode import Base64JsonBody, Base64Of, FilePart, MultipartBody, RawBody, identity
from avatarkit.transport.sources import Source, as_source

ENDPOINT = Endpoint(name="videos.create", method="POST", path="/x")
EMPTY = hashlib.sha256(b"{}").hexdigest()


def make(media: Any, **options: Any) -> Source:
    source: Source = run_virtual(lambda: as_source(media, **options))
    return source


def asked(stream: Any = None, body: Any = None, **options: Any) -> str:
    request: Request[Any] = Request(ENDPOINT, lambda response: response, body=body, stream=stream)
    found: str = run_virtual(lambda: identity(request, **options))
    assert len(found) == 64
    return found


def test_a_json_body_is_told_by_its_bytes() -> None:
    """Without a stream it is the hash of what is sent; fields beside a stream stand for it."""
    fields = {"title": "早安", "n": 1}
    wanted = hashlib.sha256(orjson.dumps(fields)).hexdigest()
    assert asked(body=fields) == wanted
    assert asked(body=fields, stream=MultipartBody(fields={"title": "早安"})) == wanted
    assert asked() == EMPTY


def image(content: bytes, **fields: Any) -> Base64JsonBody:
    return Base64JsonBody({"image": Base64Of(make(content)), "prompt": "", **fields})


def test_a_streamed_document_is_told_by_its_fields_and_contents() -> None:
    """The same picture and fields: the same hash. Another byte, field, prefix or place of a file: another one."""
    first = asked(image(b"face" * 999))
    assert first == asked(image(b"face" * 999))
    changed = [
        image(b"face" * 998 + b"fact"),
        image(b"face" * 999, prompt="nods"),
        Base64JsonBody({"sound": Base64Of(make(b"face" * 999)), "prompt": ""}),
        Base64JsonBody({"image": Base64Of(make(b"face" * 999), prefix="data:"), "prompt": ""}),
        Base64JsonBody({"image": [{"deep": Base64Of(make(b"face" * 999))}], "prompt": ""}),
    ]
    hashes = {first, EMPTY, *map(asked, changed)}
    assert len(hashes) == 2 + len(changed)


def test_a_form_is_told_without_its_boundary() -> None:
    """Two forms of the same fields and files are the same request, though each has a boundary of its own."""

    def form(content: bytes = b"voice", title: str = "t") -> MultipartBody:
        return MultipartBody(
            [("title", title)], [FilePart(field="voices", source=make(content, name="a.wav"))]
        )

    assert form().content_type != form().content_type
    assert asked(form()) == asked(form())
    assert len({asked(form()), asked(form(b"other")), asked(form(title="u")), EMPTY}) == 4


def test_a_raw_file_is_told_by_its_content() -> None:
    """A body that is a file has the file's content for its identity, whatever its name."""
    one, two = make(b"x" * 10, name="a.wav"), make(b"x" * 10, name="b.wav")
    assert asked(RawBody(one, "audio/wav")) == asked(RawBody(two, "audio/wav"))
    assert asked(RawBody(one, "audio/wav")) != asked(RawBody(make(b"y" * 10), "audio/wav"))


def test_a_body_of_another_make_is_told_by_its_size() -> None:
    """A stream that shows nothing of itself still has an identity."""

    class Other:
        content_type = "text/plain"
        size = 5

    assert asked(Other()) == asked(Other()) != EMPTY


def test_a_known_hash_is_not_read_again(tmp_path: Path) -> None:
    """Once a file's content was hashed, the file may be gone: the identity stays what it was."""
    path = tmp_path / "face.png"
    path.write_bytes(b"face")
    source = make(path)
    body = Base64JsonBody({"image": Base64Of(source)})
    first = asked(body)
    path.unlink()
    assert asked(body) == first


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file that is gone, became shorter, or an object that was closed raises nothing; its name stands for it."""
    gone, short = tmp_path / "gone.png", tmp_path / "short.png"
    file = io.BytesIO(b"content")
    sources = []
    for path in (gone, short):
        path.write_bytes(b"four")
        sources.append(make(path))
    sources.append(make(file))
    gone.unlink()
    short.write_bytes(b"x")
    file.close()
    found = [asked(Base64JsonBody({"image": Base64Of(source)})) for source in sources]
    assert len({*found, EMPTY}) == 4
    assert found == [asked(Base64JsonBody({"image": Base64Of(source)})) for source in sources]


@pytest.mark.asyncio
async def test_a_file_that_hangs_holds_up_neither_loop_nor_caller() -> None:
    """Reading happens in a thread, and only for the seconds given; then the name stands in."""
    freed, entered = threading.Event(), threading.Event()

    class Hanging:
        def read(self, offset: int, size: int) -> bytes:
            entered.set()
            freed.wait(10)
            return b"x" * size

        def close(self) -> None:
            pass

    source = Source(lambda: Hanging(), name="far.png", extension="png", size=5)
    body = Base64JsonBody({"image": Base64Of(source)})
    request: Request[Any] = Request(ENDPOINT, lambda response: response, stream=body)
    work = asyncio.create_task(identity(request, seconds=0.03))
    try:
        while not entered.is_set():
            await asyncio.sleep(0)
        found = await work
    finally:
        freed.set()
    named = Source(source.open, name="far.png", extension="png", size=5)
    named.memo["sha256"] = "far.png of 5 bytes"
    stand_in = Base64JsonBody({"image": Base64Of(named)})
    assert found == await identity(Request(ENDPOINT, lambda response: response, stream=stand_in))
    assert "sha256" not in source.memo
