"""What a provider's ``samples.py`` offers, so that one suite can try every provider without knowing any.

Samples are data: calls with what they must send, answers with what they must mean, mistakes that must be found.
Nothing here or in a ``samples.py`` does I/O; material is made by code.
"""

from __future__ import annotations

import io
import struct
import wave
import zlib
from collections.abc import Mapping
from typing import Any

import attrs

from avatarkit.errors import AvatarKitError, InvalidRequest
from avatarkit.protocol.endpoint import Endpoint


@attrs.frozen
class Need:
    """Stands for something that must exist before the call; the suite puts its id there.

    ``avatar`` and ``voice`` come from the sandbox's public stock; anything else from the operation that
    :attr:`Operation.makes` it.
    """

    name: str


@attrs.frozen
class Something:
    """Stands in an expected body for text that the client chose: any, but not empty."""


@attrs.frozen(kw_only=True, eq=False)
class Operation:
    """One call of a client, and what must arrive at the provider.

    Attributes:
        method: resource and method, ``videos.create_by_tts``.
        endpoint: the operation it ends in.
        arguments: keyword arguments; may hold :class:`Need`.
        sends: the whole JSON body (or, for a GET, the whole query); may hold :class:`Need` and :class:`Something`.
        gives: name of the class of the result; ``Task`` for a submission, ``NoneType`` for nothing.
        yields: what the task makes: ``video``, ``audio``, ``avatar`` or ``voice``; ``""`` when it makes none.
        needs: names of :class:`Need` that must be there though no argument holds them: a list of one's own tasks.
        makes: the :class:`Need` that its result (of a task: what the task yields) satisfies.
        task: the :class:`Need` that its task's id satisfies.
        uploads: files that it sends to the store.
        iterates: whether the result is an iterator.
        label: tells variants of one method apart.

    """

    method: str
    endpoint: Endpoint
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    sends: Mapping[str, Any] = attrs.field(factory=dict)
    gives: str = "Task"
    yields: str = ""
    needs: tuple[str, ...] = ()
    makes: str = ""
    task: str = ""
    uploads: int = 0
    iterates: bool = False
    label: str = ""

    @property
    def name(self) -> str:
        """Method and label, for reports."""
        return f"{self.method}[{self.label}]" if self.label else self.method


@attrs.frozen(kw_only=True, eq=False)
class Answer:
    """One answer of the provider, and what it must be read as.

    Attributes:
        endpoint: which operation it answers.
        body: the bytes, or data to be sent as JSON.
        gives: attributes that the data read from it must have; None when it must raise.
        raises: the class of error, exactly.

    """

    label: str
    endpoint: Endpoint
    body: Any
    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    gives: Mapping[str, Any] | None = None
    raises: type[AvatarKitError] | None = None


@attrs.frozen(kw_only=True, eq=False)
class Mistake:
    """A call that must be refused locally.

    Attributes:
        method: as of :class:`Operation`.
        arguments: keyword arguments; ``{"path": ...}`` material is resolved by the suite, see :class:`LocalFile`.
        names: words that the problems must name, one problem for each.

    """

    label: str
    method: str
    arguments: Mapping[str, Any]
    names: tuple[str, ...]
    error: type[AvatarKitError] = InvalidRequest


@attrs.frozen(kw_only=True)
class LocalFile:
    """Stands for the path of a file of this name and content; content None: there is no such file."""

    name: str
    content: bytes | None = None
    size: int | None = None


@attrs.frozen(kw_only=True, eq=False)
class Refusal:
    """How the provider refuses with one of its codes.

    Attributes:
        body: the answer's JSON.
        error: the class it becomes.
        submission: the class it becomes on a submission, None for the same: a server's own failure refuses nothing.
        cured: whether fresh credentials cure it, so that only a second one in a row is the answer.
        request_id: the id that *body* holds.

    """

    code: str
    body: Mapping[str, Any]
    error: type[AvatarKitError]
    submission: type[AvatarKitError] | None = None
    cured: bool = False
    status: int = 200
    request_id: str = ""


@attrs.frozen(kw_only=True, eq=False)
class Login:
    """A further way to authenticate, beside the positional credentials that the provider's spec names.

    Attributes:
        label: tells it apart in reports.
        arguments: the client's keyword arguments, each with what goes there: ``"key"`` or ``"secret"``.
        refused: methods that the provider refuses to those who come this way, with the class of error.
        seconds: how long at most one Authorization header is used; None: for ever.

    """

    label: str
    arguments: Mapping[str, str]
    refused: Mapping[str, type[AvatarKitError]] = attrs.field(factory=dict)
    seconds: float | None = None

    def named(self, key: str, secret: str) -> dict[str, str]:
        """The client's keyword arguments for an account with this key and secret."""
        values = {"key": key, "secret": secret}
        return {name: values[what] for name, what in self.arguments.items()}


@attrs.frozen(kw_only=True, eq=False)
class Samples:
    """Everything of one provider.

    Attributes:
        operations: every operation of the vendor's documents, and variants.
        submission: method of the operation that stands for all submissions.
        look: the endpoint on which the standard submission's task is looked at.
        bad_credentials: the sandbox's switches for each way in which the provider refuses credentials.
        refusals: one for each of the vendor's codes.
        too_many_running, no_credits: bodies that refuse for these reasons.
        token: the request that lends a token for the credentials, where there is one; counts leave it out.
        grant: a good answer to it.
        auth_query: query parameters that carry credentials.
        logins: further ways to authenticate; the suites that matter run once more for each.
        marked: whether a submission's body carries a mark of the client's, so that no two are equal.
        timed: whether a finished work tells its duration.
        totals: whether a list tells how many rows there are in all.
        page_size: rows of a page unless told otherwise.

    """

    operations: tuple[Operation, ...]
    submission: str
    look: Endpoint
    answers: tuple[Answer, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    bad_credentials: tuple[Mapping[str, Any], ...] = ()
    too_many_running: Mapping[str, Any] = attrs.field(factory=dict)
    no_credits: Mapping[str, Any] = attrs.field(factory=dict)
    token: Endpoint | None = None
    grant: Mapping[str, Any] = attrs.field(factory=dict)
    auth_query: tuple[str, ...] = ()
    logins: tuple[Login, ...] = ()
    marked: bool = True
    timed: bool = True
    totals: bool = False
    page_size: int = 20

    def operation(self, name: str) -> Operation:
        """The first operation of this method or name; KeyError when there is none."""
        for operation in self.operations:
            if name in (operation.method, operation.name):
                return operation
        raise KeyError(name)


def wav(seconds: float = 6.0, rate: int = 1000) -> bytes:
    """A WAV file with a low hum: mono, 8 bits."""
    frames = bytes(96 + (index * 7) % 64 for index in range(int(seconds * rate)))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(rate)
        file.writeframes(frames)
    return out.getvalue()


def png(width: int = 8, height: int = 8, shade: int = 128) -> bytes:
    """A grey PNG picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = (b"\0" + bytes([shade]) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


MP4_HEAD = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + b"\x00\x00\x00\x08free" * 8
"""Bytes that begin like an MP4 file and hold no video: for calls without preflight."""
