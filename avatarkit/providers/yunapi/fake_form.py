"""Reading a ``multipart/form-data`` body, in plain code: what the fake needs of it and no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from avatarkit.protocol.fakewire import FakeRequest

_BOUNDARY = re.compile(r'boundary="?([^";]{1,70})"?', re.IGNORECASE)
_NAME = re.compile(r'[;\s]name="([^"]*)"')
_FILENAME = re.compile(r'filename="([^"]*)"')


@attrs.frozen(kw_only=True)
class Part:
    """One part of a form; *filename* is None for a text field."""

    name: str
    content: bytes
    filename: str | None = None
    content_type: str = ""

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode("utf-8", "replace")


def read_form(content_type: str, body: bytes) -> list[Part]:
    """The parts of a form in their order.

    Raises:
        ValueError: it is no whole form.

    """
    mark = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/form-data") or mark is None:
        raise ValueError("no form")
    fence = b"--" + mark[1].encode()
    first, *rest = (b"\r\n" + body).split(b"\r\n" + fence)
    if first or not rest or not rest[-1].startswith(b"--"):
        raise ValueError("the form is cut off")
    return [_part(chunk) for chunk in rest[:-1]]


def _part(chunk: bytes) -> Part:
    head, gap, content = chunk.partition(b"\r\n\r\n")
    text = head.decode("utf-8", "replace")
    name = _NAME.search(text)
    if not gap or name is None:
        raise ValueError("a part without a name")
    filename = _FILENAME.search(text)
    kind = re.search(r"content-type:\s*([^\r\n]+)", text, re.IGNORECASE)
    return Part(
        name=name[1],
        content=content,
        filename=filename[1] if filename else None,
        content_type=kind[1].strip() if kind else "",
    )


def fields_of(request: FakeRequest) -> Mapping[str, Any]:
    """The body as a mapping, whether JSON or a form: repeated fields as lists, files by their sizes.

    Raises:
        ValueError: it is neither.

    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        body = request.json()
        if not isinstance(body, dict):
            raise ValueError("no object")
        return body
    found: dict[str, Any] = {}
    for part in read_form(kind, request.body):
        value: Any = part.text if part.filename is None else len(part.content)
        if part.name in found:
            before = found[part.name]
            value = [*before, value] if isinstance(before, list) else [before, value]
        found[part.name] = value
    return found
