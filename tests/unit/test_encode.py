"""Streamed bodies: what they yield, byte for byte, and that they know their length beforehand."""

from __future__ import annotations

import asyncio
import base64
import gc
import io
import json
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.testing import run_virtual
from avatarkit.transport.encode import Base64JsonBody, Base64Of, FilePart, MultipartBody
from avatarkit.transport.payload import BodyPayload
from avatarkit.transport.sources import Source, as_source

PIECE = 192 * 1024  # what is encoded at a time


def make(data: bytes, **options: Any) -> Source:
    source: Source = run_virtual(lambda: as_source(data, **options))
    return source


def whole(body: Any) -> bytes:
    async def read() -> bytes:
        return b"".join([piece async for piece in body.pieces()])

    data: bytes = run_virtual(read)
    assert len(data) == body.size
    return data


@pytest.mark.parametrize("size", [1, 2, 3, 4, PIECE - 1, PIECE, PIECE + 1, 9 * PIECE + 2])
def test_base64_member(size: int) -> None:
    """A document with a file inside is what json would have made of it, whatever the file's length."""
    data = bytes(range(256)) * (size // 256 + 1)
    document = {"model": "kling", "image": Base64Of(make(data[:size])), "n": [1, None, "日本"]}
    body = Base64JsonBody(document)
    read = json.loads(whole(body))
    assert base64.b64decode(read.pop("image"), validate=True) == data[:size]
    assert read == {"model": "kling", "n": [1, None, "日本"]}
    assert whole(body) == whole(body)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=8
    )
)
def test_base64_anywhere(around: Any) -> None:
    """Files may stand at any depth, several of them, with a prefix, beside any text."""
    data = make(b"\x00\xff\xfe")
    body = Base64JsonBody(
        {"a": around, "b": [Base64Of(data), {"c": Base64Of(data, prefix='data:x/"y";base64,')}], "d": around}
    )
    assert json.loads(whole(body)) == {
        "a": around,
        "b": ["AP/+", {"c": 'data:x/"y";base64,AP/+'}],
        "d": around,
    }


def test_document_of_wrong_types() -> None:
    """What JSON cannot hold is refused when the body is made, not when half of it is sent."""
    with pytest.raises(TypeError):
        Base64JsonBody({"when": object()})


def test_multipart_over_the_wire() -> None:
    """A server reads the form back: fields, files, awkward names; the length was given, not chunked."""
    files = [
        FilePart(field="video", source=make(b"v" * 3_000_000, name="日报.mp4"), content_type="video/mp4"),
        FilePart(field='a"b', source=make(b"\r\n--x"), filename='q"\r\nX: 1.bin'),
    ]
    found: dict[str, tuple[str | None, str, bytes]] = {}
    heads: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        heads.append(request.headers)
        async for part in await request.multipart():
            assert isinstance(part, aiohttp.BodyPartReader)
            found[str(part.name)] = (
                part.filename,
                part.headers.get("Content-Type", ""),
                bytes(await part.read()),
            )
        return web.Response()

    async def scenario() -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_post("/", take)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        body = MultipartBody([("title", "标题"), ("empty", "")], files)
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
            async with session.post(url, data=BodyPayload(body)) as answer:
                assert answer.status == 200
        await runner.cleanup()
        await asyncio.sleep(0)
        assert heads[0]["Content-Length"] == str(body.size)
        assert heads[0]["Content-Type"] == body.content_type
        assert "Transfer-Encoding" not in heads[0]

    run_virtual(scenario)
    gc.collect()
    assert found["title"] == (None, "", "标题".encode())
    assert found["empty"] == (None, "", b"")
    assert found["video"] == ("日报.mp4", "video/mp4", b"v" * 3_000_000)
    assert found["a%22b"][2] == b"\r\n--x"
    assert found["a%22b"][0] == "q%22%0D%0AX: 1.bin"


def test_multipart_repeats() -> None:
    """A form can be sent again, also when it was made from a file object."""
    file = io.BytesIO(b"abc" * 1000)
    source: Source = run_virtual(lambda: as_source(file))
    body = MultipartBody({"k": "v"}, [FilePart(field="f", source=source)])
    assert whole(body) == whole(body)
    assert whole(MultipartBody()).startswith(b"--")
