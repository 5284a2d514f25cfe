"""Streamed request bodies of known length: raw files, multipart forms, JSON with files inside as base64."""

from __future__ import annotations

import binascii
import secrets
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from typing import Any

import attrs
import orjson

from avatarkit.transport.sources import Source

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
    """Fixed bytes and sources in a row."""

    content_type: str
    size: int

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
        pairs = fields.items() if isinstance(fields, Mapping) else fields
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
