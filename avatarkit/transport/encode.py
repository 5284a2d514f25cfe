"""Streamed request bodies of known length: raw files, multipart forms, JSON with files inside as base64.

And what tells one request from another, whether its body is streamed or not: :func:`identity`.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any

import attrs
import orjson

from avatarkit.protocol.codec import encode
from avatarkit.protocol.endpoint import Request
from avatarkit.transport.sources import Source, fingerprint

# Multiples of three, so that only the last piece is padded.
_READ = 768 * 1024
_ENCODE = 192 * 1024


@attrs.frozen
class RawBody:
    """A file as it is."""

    source: Source
    content_type: str

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.source.size

    @property
    def outline(self) -> Source:
        """What :func:`identity` takes the hash of."""
        return self.source

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """The file from its start, 1 MiB at a time."""
        return self.source.pieces()


@attrs.frozen(kw_only=True)
class FilePart:
    """One file of a multipart form.

    Attributes:
        field: name of the form field.
        source: the content.
        content_type: its media type.
        filename: the name the server is told; the source's own when empty.

    """

    field: str
    source: Source
    content_type: str = "application/octet-stream"
    filename: str = ""


class _Joined:
    """Fixed bytes and sources in a row.

    Attributes:
        outline: what :func:`identity` takes the hash of: plain data with the files' sources in it.

    """

    content_type: str
    size: int
    outline: Any

    def __init__(self, parts: Iterable[bytes | Callable[[], AsyncGenerator[bytes, None]]]) -> None:
        self._parts = tuple(parts)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body from its start; each call begins anew."""
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            async with aclosing(part()) as stream:
                async for piece in stream:
                    yield piece


class MultipartBody(_Joined):
    """A ``multipart/form-data`` body that is never held in memory.

    *fields* are name and value pairs or a mapping; *files* follow them in the order given.
    """

    def __init__(
        self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = (), files: Iterable[FilePart] = ()
    ) -> None:
        boundary = secrets.token_hex(16)
        parts: list[bytes | Callable[[], AsyncGenerator[bytes, None]]] = []
        size = 0
        pairs = tuple(fields.items() if isinstance(fields, Mapping) else fields)
        files = tuple(files)
        for name, value in pairs:
            parts.append(_part_head(boundary, name) + b"\r\n" + value.encode() + b"\r\n")
        for file in files:
            parts.append(_file_head(boundary, file))
            parts.append(file.source.pieces)
            parts.append(b"\r\n")
            size += file.source.size
        parts.append(f"--{boundary}--\r\n".encode())
        super().__init__(parts)
        self.size = size + sum(len(part) for part in parts if isinstance(part, bytes))
        self.content_type = f"multipart/form-data; boundary={boundary}"
        told = [
            (file.field, file.filename or file.source.name, file.content_type, file.source) for file in files
        ]
        self.outline = (pairs, told)


@attrs.frozen(eq=False)
class Base64Of:
    """Stands in a JSON document for *source* as base64, after *prefix* (``data:image/png;base64,``)."""

    source: Source
    prefix: str = ""


class Base64JsonBody(_Joined):
    """A JSON document with :class:`Base64Of` objects in the place of strings, at any depth.

    Read and encoded piece by piece while it is sent; the length is known beforehand.
    """

    content_type = "application/json"

    def __init__(self, document: Any) -> None:
        token = f"@avk-{secrets.token_hex(16)}@"
        members: list[Base64Of] = []

        def stand_in(value: Any) -> str:
            if not isinstance(value, Base64Of):
                raise TypeError(f"{type(value).__name__} is no JSON value")
            members.append(value)
            return token

        texts = orjson.dumps(document, default=stand_in).split(token.encode())
        parts: list[bytes | Callable[[], AsyncGenerator[bytes, None]]] = [texts[0]]
        size = 0
        for member, text in zip(members, texts[1:], strict=True):
            # The prefix may need escaping like any other JSON text.
            parts.append(orjson.dumps(member.prefix)[1:-1])
            parts.append(_encoder(member.source))
            parts.append(text)
            size += 4 * -(-member.source.size // 3)
        super().__init__(parts)
        self.size = size + sum(len(part) for part in parts if isinstance(part, bytes))
        self.outline = document


async def identity(request: Request[Any], *, seconds: float | None = None) -> str:
    """SHA-256 (hexadecimal) of what *request* asks for; equal for two requests that ask for the same.

    Of a JSON body: of its bytes. Of a streamed one: of its fields, with the SHA-256 of its content in the place of each
    file, which is read in a thread unless its hash is known already. A file that cannot be read, or not within
    *seconds* for all of them, is represented by its name and size. Never raises because of a file.
    """
    stream = request.stream
    if stream is None or request.body is not None:
        return hashlib.sha256(encode(request.body or {})).hexdigest()
    # A body of another make shows no more of itself than this.
    outline = getattr(stream, "outline", [stream.content_type, stream.size])
    sources = _sources(outline)
    known: dict[Source, str] = {}
    try:
        async with asyncio.timeout(seconds):
            for source in sources:
                known[source] = await _content(source)
    except TimeoutError:
        pass  # what is not known by now is named

    def stand_in(value: Any) -> Any:
        if isinstance(value, Base64Of):
            return [value.prefix, value.source]
        return [known.get(value) or _label(value)]

    return hashlib.sha256(orjson.dumps(outline, default=stand_in)).hexdigest()


def _sources(outline: Any) -> list[Source]:
    """Every source in *outline*, however deep."""
    if isinstance(outline, Source):
        return [outline]
    if isinstance(outline, Base64Of):
        return [outline.source]
    inside = outline.values() if isinstance(outline, Mapping) else outline
    return [found for each in inside for found in _sources(each)] if _is_group(outline) else []


def _is_group(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple)


async def _content(source: Source) -> str:
    try:
        return await fingerprint(source)
    except Exception:  # noqa: BLE001 - a user's file object may raise anything; the request matters more
        return _label(source)


def _label(source: Source) -> str:
    return f"{source.name} of {source.size} bytes"


def _encoder(source: Source) -> Callable[[], AsyncGenerator[bytes, None]]:
    return lambda: _base64(source)


async def _base64(source: Source) -> AsyncGenerator[bytes, None]:
    # Encoding holds the interpreter's lock in a thread just as well. Here it costs the loop a fraction of a
    # millisecond at a time, and saves a hop per piece.
    async with aclosing(source.pieces(_READ)) as pieces:
        async for piece in pieces:
            view = memoryview(piece)
            for at in range(0, len(view), _ENCODE):
                yield binascii.b2a_base64(view[at : at + _ENCODE], newline=False)


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _part_head(boundary: str, name: str, more: str = "") -> bytes:
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"{more}\r\n'.encode()


def _file_head(boundary: str, file: FilePart) -> bytes:
    filename = _quoted(file.filename or file.source.name)
    kind = file.content_type.replace("\r", "").replace("\n", "")
    head = _part_head(boundary, file.field, f'; filename="{filename}"')
    return head + f"Content-Type: {kind}\r\n\r\n".encode()
