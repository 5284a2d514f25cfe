"""Disturbances on demand: scripts that say which request goes wrong, how, and how often.

A fault either happens *before* the provider's own logic runs (``accept=False``: nothing is created or billed),
or *after* it (``accept=True``: the task exists and is paid for, only the answer is disturbed).
"""

from __future__ import annotations

import enum
import math
import threading
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

import attrs
import orjson

from avatarkit.errors import InvalidRequest

UPLOAD = "PUT /upload"
DOWNLOAD = "GET /result"


class FaultKind(enum.StrEnum):
    """What goes wrong."""

    REFUSE = "refuse"
    """The origin stops listening for ``seconds`` (default 5): connections are refused, from now on."""
    RESET = "reset"
    """The connection is reset (RST) instead of an answer; with ``accept=False`` before the body is read."""
    CLOSE = "close"
    """The connection is closed (FIN) without an answer."""
    HANG = "hang"
    """No answer for ``seconds`` (infinite by default), then a reset."""
    ANSWER = "answer"
    """``status`` with ``body`` and ``retry_after`` in place of the answer."""
    REDIRECT = "redirect"
    """307 to ``location``."""
    TRUNCATED = "truncated"
    """The body stops half-way, and the length header agrees with that."""
    CUT = "cut"
    """The length header promises the whole body; after ``size`` bytes (default: half) the connection closes."""
    JSON_AS_HTML = "json_as_html"
    """The right body, labelled ``text/html``."""
    HTML_AS_JSON = "html_as_json"
    """A gateway's page, labelled ``application/json``."""
    INVALID_UTF8 = "invalid_utf8"
    """The body with a byte in it that is no UTF-8."""
    DRIP = "drip"
    """The body in pieces of ``size`` bytes (default 1), ``seconds`` apart (default 1)."""
    SLOW_FIRST_BYTE = "slow_first_byte"
    """``seconds`` (default 30) of silence before the answer."""
    HUGE = "huge"
    """The answer with an extra field of ``size`` bytes (default 64 MB)."""
    UNKNOWN_STATUS = "unknown_status"
    """The task's status becomes ``value`` (default 99)."""
    EMPTY_URL = "empty_url"
    """URLs in the answer become empty strings."""
    EXPIRED_URL = "expired_url"
    """URLs of results in the answer are already expired."""
    NUMBERS_AS_STRINGS = "numbers_as_strings"
    """Every number becomes a string."""
    STRINGS_AS_NUMBERS = "strings_as_numbers"
    """Every string of digits becomes a number."""
    CODE_AS_STRING = "code_as_string"
    """``code`` becomes a string."""
    EXTRA_FIELDS = "extra_fields"
    """Fields that no document knows, at every level."""
    CHANGE_FIELDS = "change_fields"
    """Top-level fields are replaced by ``fields``; a field that is None there is removed."""
    NO_LENGTH = "no_length"
    """A download without Content-Length."""
    IGNORE_RANGE = "ignore_range"
    """A download answers 200 and the whole file to a Range."""


DEFAULT_SECONDS: Mapping[FaultKind, float] = {
    FaultKind.REFUSE: 5.0,
    FaultKind.HANG: math.inf,
    FaultKind.DRIP: 1.0,
    FaultKind.SLOW_FIRST_BYTE: 30.0,
}

GATEWAY_PAGE = (
    b"<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>nginx</body>\r\n</html>\r\n"
)


@attrs.frozen(kw_only=True)
class Fault:
    """One disturbance.

    Attributes:
        kind: what goes wrong.
        accept: whether the provider's logic runs first, so that a task is created and paid for.
        status: HTTP status, for ``answer``.
        body: body of the ``answer``.
        content_type: of the ``answer``.
        retry_after: value of the Retry-After header, for ``answer``.
        location: target of the ``redirect``.
        seconds: see the kind; None takes its default.
        size: bytes, see the kind; None takes its default.
        value: for ``unknown_status``.
        fields: for ``change_fields``.
        origin: which origin ``refuse`` closes.
    """

    kind: FaultKind = attrs.field(converter=FaultKind)
    accept: bool = True
    status: int = 500
    body: bytes = b""
    content_type: str = "text/plain"
    retry_after: str | None = None
    location: str = "http://127.0.0.1:9/elsewhere"
    seconds: float | None = None
    size: int | None = None
    value: Any = 99
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    origin: Literal["api", "files"] = "api"

    @property
    def delay(self) -> float:
        """``seconds``, or the kind's default."""
        return DEFAULT_SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds


def answer(
    status: int,
    *,
    accept: bool = False,
    retry_after: float | None = None,
    html: bool = False,
    data: Any = None,
) -> Fault:
    """An HTTP *status* in place of the provider's answer, by default without creating anything.

    The body is *data* as JSON, so that ``answer(200, data={"code": 1009})`` injects any of a provider's own
    codes; else a gateway's page where *html*, else nothing. *retry_after* is in seconds.
    """
    body, content_type = (GATEWAY_PAGE, "text/html") if html else (b"", "text/plain")
    if data is not None:
        body, content_type = orjson.dumps(data), "application/json"
    return Fault(
        kind=FaultKind.ANSWER,
        accept=accept,
        status=status,
        body=body,
        content_type=content_type,
        retry_after=None if retry_after is None else f"{retry_after:g}",
    )


PRESETS: Mapping[str, Fault] = {
    "refuse": Fault(kind=FaultKind.REFUSE, accept=False),
    "reset_before": Fault(kind=FaultKind.RESET, accept=False),
    "reset_after": Fault(kind=FaultKind.RESET),
    "close_after": Fault(kind=FaultKind.CLOSE),
    "hang_before": Fault(kind=FaultKind.HANG, accept=False),
    "hang_after": Fault(kind=FaultKind.HANG),
    "504_html_after": answer(504, accept=True, html=True),
    "500_after": answer(500, accept=True),
    "429_after": answer(429, accept=True, retry_after=2),
    "500_before": answer(500),
    "502_html_before": answer(502, html=True),
    "503_before": answer(503, retry_after=2),
    "429_before": answer(429, retry_after=2),
    "redirect": Fault(kind=FaultKind.REDIRECT, accept=False),
    **{
        kind.value: Fault(kind=kind)
        for kind in FaultKind
        if kind not in (FaultKind.REFUSE, FaultKind.RESET, FaultKind.CLOSE, FaultKind.HANG, FaultKind.ANSWER)
        and kind is not FaultKind.REDIRECT
    },
}
"""Ready-made faults by name, as the page offers them and ``faults.add`` takes them."""


@attrs.define(kw_only=True, eq=False)
class Scripted:
    """A fault in the queue: it strikes matching requests after ``after`` of them, ``left`` times."""

    endpoint: str
    fault: Fault
    left: int
    after: int
    provider: str = "*"

    def matches(self, endpoint: str, provider: str) -> bool:
        """Whether it is meant for this request."""
        return fnmatchcase(endpoint, self.endpoint) and fnmatchcase(provider, self.provider)

    def as_dict(self) -> dict[str, Any]:
        """For the page."""
        return {
            "endpoint": self.endpoint,
            "provider": self.provider,
            "kind": self.fault.kind.value,
            "accept": self.fault.accept,
            "status": self.fault.status if self.fault.kind is FaultKind.ANSWER else None,
            "left": self.left,
            "after": self.after,
        }


class Faults:
    """The queue of scripted faults. Safe to use from any thread."""

    def __init__(self) -> None:
        self._queue: list[Scripted] = []
        self._lock = threading.Lock()
        self.on_refuse: Callable[[Fault], None] = lambda _fault: None

    def add(
        self,
        endpoint: str = "*",
        fault: Fault | FaultKind | str = "reset_after",
        *,
        times: int = 1,
        after: int = 0,
        provider: str = "*",
    ) -> None:
        """Let something go wrong.

        Args:
            endpoint: ``METHOD /path`` without the provider's prefix, shell wildcards allowed (``GET /*/task``);
                ``PUT /upload`` and ``GET /result`` are the uploads and downloads on the second origin.
            fault: a :class:`Fault`, a :class:`FaultKind`, or a name out of :data:`PRESETS`.
            times: how many requests it strikes. Kinds that change fields strike only answers they change;
                ``refuse`` begins at once and counts no requests.
            after: how many matching requests go through first.
            provider: only this provider's requests, wildcards allowed.

        Raises:
            InvalidRequest: there is no fault of that name.
        """
        chosen = _as_fault(fault)
        if chosen.kind is FaultKind.REFUSE:
            self.on_refuse(chosen)
            return
        with self._lock:
            self._queue.append(
                Scripted(endpoint=endpoint, fault=chosen, left=times, after=after, provider=provider)
            )

    def clear(self) -> None:
        """Forget all scripted faults. An origin that refuses connections keeps on until its time is over."""
        with self._lock:
            self._queue.clear()

    def take(self, endpoint: str, provider: str) -> Scripted | None:
        """The fault for this request, counted as used."""
        with self._lock:
            for scripted in self._queue:
                if not scripted.matches(endpoint, provider):
                    continue
                if scripted.after > 0:
                    scripted.after -= 1
                    continue
                if scripted.left > 0:
                    scripted.left -= 1
                    return scripted
        return None

    def give_back(self, scripted: Scripted) -> None:
        """It changed nothing, so it counts as unused."""
        with self._lock:
            scripted.left += 1

    def pending(self) -> list[dict[str, Any]]:
        """What is still to come."""
        with self._lock:
            return [scripted.as_dict() for scripted in self._queue if scripted.left > 0]


def _as_fault(fault: Fault | FaultKind | str) -> Fault:
    if isinstance(fault, Fault):
        return fault
    if fault in PRESETS:
        return PRESETS[fault]
    try:
        return Fault(kind=FaultKind(fault))
    except ValueError:
        raise InvalidRequest(
            f"fault: found {fault!r}, allowed one of {', '.join(sorted(PRESETS))}, a FaultKind or a Fault"
        ) from None
