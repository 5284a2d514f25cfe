"""The data avatarkit hands out: frozen classes without I/O, the same on both sides.

Every object that came from a provider keeps what the provider said: ``extra`` has the fields avatarkit does not
know, ``response`` the raw answer.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import attrs
import orjson

T = TypeVar("T")


class Status(enum.StrEnum):
    """Where a task is. The provider's own value is kept beside it as ``raw_status``."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"

    terminal: bool
    """Whether the provider is done with the task. ``unknown`` never is."""

    def __init__(self, value: str) -> None:
        self.terminal = value in (
            "succeeded",
            "failed",
        )  # a property costs seven times as much, and lists ask often


class FailureReason(enum.StrEnum):
    """Why a task failed, in words a program can act on."""

    MODERATION = "moderation"
    BAD_INPUT = "bad_input"
    PROVIDER_FAULT = "provider_fault"
    CANCELLED = "cancelled"
    NO_RESULT = "no_result"


class Kind(enum.StrEnum):
    """What a task makes."""

    VIDEO = "video"
    AUDIO = "audio"
    AVATAR = "avatar"
    VOICE = "voice"


@attrs.frozen(slots=True)
class RawResponse:
    """One HTTP answer as it came: status, headers with lower-case names, body.

    Its repr shows neither headers nor body, for they may hold signed URLs.
    """

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes = attrs.field(default=b"", repr=lambda body: f"<{len(body)} bytes>")

    def __reduce__(self) -> tuple[Any, ...]:
        # The headers may be a live view of the HTTP client's; in another process they are a plain dict.
        lowered = {str(name).lower(): str(value) for name, value in self.headers.items()}
        return (RawResponse, (self.status, lowered, self.body))

    def json(self) -> Any:
        """The body decoded as JSON; raises ValueError when it is none."""
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 become replacement characters."""
        return self.body.decode("utf-8", "replace")


def _raw() -> Any:
    return attrs.field(default=None, repr=False, eq=False)


def _extra() -> Any:
    return attrs.field(factory=dict, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Avatar:
    """A presenter that videos can be made with.

    Attributes:
        id: what the provider calls it; give it back as ``avatar=``.
        title: its name, ``""`` when the provider gives none.
        public: whether it belongs to the provider's public stock.

    """

    id: str
    title: str = ""
    public: bool = False
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()

    def __str__(self) -> str:
        return self.id


@attrs.frozen(kw_only=True)
class Voice:
    """A voice that text can be spoken with.

    Attributes:
        id: what the provider calls it; give it back as ``voice=``.
        title: its name.
        public: whether it belongs to the provider's public stock.
        rate: persistent speech rate, 1.0 is normal; None when unknown.
        volume: persistent volume, 1.0 is normal; None when unknown.
        pitch: persistent pitch, 1.0 is normal; None when unknown.
        languages: language tags as the provider spells them.
        demo_url: URL of a spoken sample; temporary. ``""`` when there is none.
        raw_type: the provider's own type value.

    """

    id: str
    title: str = ""
    public: bool = False
    rate: float | None = None
    volume: float | None = None
    pitch: float | None = None
    languages: tuple[str, ...] = ()
    demo_url: str = attrs.field(default="", repr=False)
    raw_type: int | None = None
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()

    def __str__(self) -> str:
        return self.id


@attrs.frozen(kw_only=True)
class Credit:
    """What is left on the account, in the provider's unit."""

    left: float
    unit: str = "credits"
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()


@attrs.frozen(kw_only=True)
class UploadedFile:
    """A file that lies at the provider; give it wherever media are accepted.

    Attributes:
        id: the provider's ``file_id``.
        sha256: hash of the content, hexadecimal; ``""`` when it was not computed.
        size: bytes sent.

    """

    id: str
    sha256: str = ""
    size: int = 0
    response: RawResponse | None = _raw()

    def __str__(self) -> str:
        return self.id


@attrs.frozen(kw_only=True)
class UploadSlot:
    """Permission to PUT one file: the signed URL is to be used verbatim, with exactly this content type."""

    upload_url: str = attrs.field(repr=False)
    content_type: str
    file_id: str
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()


@attrs.frozen(kw_only=True)
class Page(Generic[T]):
    """One page of a list. ``more`` is a guess where the provider gives no total: the page was full."""

    items: tuple[T, ...]
    page: int
    size: int
    more: bool
    total: int | None = None
    response: RawResponse | None = _raw()

    def __iter__(self) -> Any:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@attrs.frozen(kw_only=True)
class Subtitle:
    """How the spoken text is burned into a HiFly video (``video/create_by_tts``, the nine ``st_*`` fields).

    Attributes:
        show: whether subtitles are shown at all.
        font_name: display name of a font of the vendor's, e.g. ``Alimama FangYuanTi VF``; None leaves the choice to it.
        font_size: in the subtitle's own pixels, default at the vendor 100.
        primary_color: colour of the text as ``#rrggbb``.
        outline_color: colour of its outline as ``#rrggbb``.
        width: width of the box, default at the vendor 600.
        height: height of the box, default at the vendor 100.
        pos_x: left edge of the box, default at the vendor 60.
        pos_y: top edge of the box, default at the vendor 900.

    The vendor does not say which coordinate space the box lives in. Fields left None are not sent.
    Source: the vendor's newer (Chinese) document, section on text-driven video.

    """

    show: bool = True
    font_name: str | None = None
    font_size: int | None = None
    primary_color: str | None = None
    outline_color: str | None = None
    width: int | None = None
    height: int | None = None
    pos_x: int | None = None
    pos_y: int | None = None


@attrs.frozen(kw_only=True)
class Snapshot:
    """What one look at a task showed.

    Attributes:
        status: mapped onto the five words.
        raw_status: the provider's own value, as text.
        progress: 0.0 to 1.0 where the provider tells, else None.
        result: fields of the artifact, when succeeded.
        reason: why it failed, when failed.
        code: the provider's failure code.
        message: the provider's failure text.
        cost: credits it cost, where the provider tells.

    """

    status: Status
    raw_status: str = ""
    progress: float | None = None
    result: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    reason: FailureReason | None = None
    code: str = ""
    message: str = ""
    cost: float | None = None
    response: RawResponse | None = _raw()


@attrs.frozen(kw_only=True)
class TaskUpdate:
    """A change that ``task.updates()`` reports.

    Attributes:
        status: the task's status now.
        raw_status: the provider's own value.
        progress: 0.0 to 1.0 where the provider tells; else an estimate from learned durations, or None.
        elapsed: seconds since the task was submitted.
        looks: how often the provider was asked so far.

    """

    task_id: str
    status: Status
    raw_status: str = ""
    progress: float | None = None
    elapsed: float = 0.0
    looks: int = 0


class Guard(enum.StrEnum):
    """What a provider offers to find a submission again."""

    KEY = "key"
    EXTERNAL_ID = "external_id"
    TITLE = "title"
    NONE = "none"


@attrs.frozen(kw_only=True)
class Ticket:
    """All that is needed to find out later whether an in-doubt submission was accepted.

    Attributes:
        provider: the provider's name.
        endpoint: the operation, e.g. ``videos.create_by_tts``.
        kind: what the task would make.
        account: fingerprint of the account (not a secret).
        marker: the title, name or external id that was sent.
        guard: what kind of marker that is.
        sent_at: when the request went out, seconds since 1970 (UTC).
        request_hash: SHA-256 of the body, hexadecimal; each streamed file in it is represented by its own SHA-256.
        login: fingerprint of the credentials, where the account has a name of its own; ``""`` where that is *account*.

    """

    provider: str
    endpoint: str
    kind: str
    account: str
    marker: str = ""
    guard: Guard = Guard.NONE
    sent_at: float = 0.0
    request_hash: str = ""
    login: str = ""


class Finding(enum.StrEnum):
    """What reconciling a ticket showed."""

    FOUND = "found"
    ABSENT = "absent"
    CANNOT_TELL = "cannot tell"


@attrs.frozen(kw_only=True)
class Reconciliation:
    """What became of an in-doubt submission, as far as the provider can tell.

    Attributes:
        finding: found, absent, or cannot tell.
        token: the task's token, when the task was found: ``client.task(token)`` goes on with it.
        artifact_id: the finished avatar's or voice's id, when that was found.
        candidates: ids of things that may be it, when it cannot be told for sure.
        explanation: one line for a person.
        later: whether asking again some minutes later may tell more.

    """

    finding: Finding
    token: str = ""
    artifact_id: str = ""
    candidates: tuple[str, ...] = ()
    explanation: str = ""
    later: bool = False
