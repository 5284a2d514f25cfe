"""What a vendor's callback says, and how each vendor wants it answered. No I/O; time is passed in.

A callback is a hint: most vendors sign nothing, all of them repeat, re-order and lose events. So an event never changes
what is known of a task; it only says which task to look at. ``providers/<name>/callbacks.py`` offers one
:class:`CallbackFormat` as ``FORMAT``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import attrs
import orjson

from avatarkit.errors import InvalidCallback
from avatarkit.models import Kind, Snapshot, Status
from avatarkit.protocol.signing import webhook_key, webhook_verified

JSON = "application/json; charset=utf-8"


@attrs.frozen(kw_only=True)
class CallbackEvent:
    """One callback, read.

    Attributes:
        provider: the provider's name.
        kind: what the task makes; None when the event does not tell (HiFly's "work" is a video or an audio).
        task_id: as the vendor sent it; ``""`` when it sent none.
        status: mapped onto the five words; ``unknown`` for values nobody documents.
        raw_status: the vendor's own value as text.
        marker: the title or external id the task was submitted with, ``""`` when the event has none.
        snapshot: what the event claims, in the form of a look. Never believed: the task itself is asked.
        message_id: the vendor's id of this message (Kling's ``webhook-id``); ``""`` when it has none. Copies share it.
        signed: whether a signature was there and fits.
        raw: the whole body, decoded.

    """

    provider: str
    kind: Kind | None = None
    task_id: str = ""
    status: Status = Status.UNKNOWN
    raw_status: str = ""
    marker: str = ""
    snapshot: Snapshot | None = attrs.field(default=None, repr=False)
    message_id: str = ""
    signed: bool = False
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False, eq=False)

    @property
    def task_key(self) -> str:
        """What tells this event's task from others at the provider; ``""`` when the event names none."""
        name = self.task_id or self.marker
        return f"{self.kind or ''}/{'id' if self.task_id else 'marker'}/{name}" if name else ""

    @property
    def message_key(self) -> str:
        """The same for all copies of one event; ``""`` when the event cannot be told from others."""
        if self.message_id:
            return f"message/{self.message_id}"
        return f"{self.task_key}/{self.raw_status}" if self.task_key else ""


class CallbackAnswer(NamedTuple):
    """What to answer the vendor with."""

    status: int
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = b""


class CallbackFormat(Protocol):
    """A vendor's callbacks. Stateless.

    Attributes:
        provider: the provider's name.
        signed: whether the vendor can sign its callbacks, given a secret.

    """

    provider: str
    signed: bool

    def parse(
        self, headers: Mapping[str, str], body: bytes, *, now: float, secret: str | None = None
    ) -> CallbackEvent:
        """Read one callback.

        A JSON object that the format does not know (a console's test message) gives an event without a task id.

        Args:
            headers: names in lower case.
            body: the raw bytes.
            now: seconds since 1970, to check the signature's age.
            secret: the signing secret; None accepts unsigned events. Formats that are not ``signed`` ignore it.

        Raises:
            InvalidCallback: not a JSON object; or *secret* is given and the signature is missing, old or wrong
                (then ``forged`` is set).

        """
        ...

    def answer(self, event: CallbackEvent) -> CallbackAnswer:
        """What the vendor takes for "delivered"."""
        ...


def callback_object(provider: str, body: bytes) -> dict[str, Any]:
    """The body as a JSON object with text keys.

    Raises:
        InvalidCallback: it is none.

    """
    try:
        payload = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidCallback("the callback's body is not JSON", provider=provider) from None
    if not isinstance(payload, dict):
        raise InvalidCallback("the callback's body is not a JSON object", provider=provider)
    return payload


def callback_text(value: Any) -> str:
    """A JSON value that may be an id, a status or a title, as text; ``""`` for null, lists, objects and booleans.

    Whole floats lose their ``.0``: some senders turn numbers into floats.
    """
    if isinstance(value, str):
        return value.strip()[:512]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return str(value).removesuffix(".0")


def signed_message_id(
    provider: str, headers: Mapping[str, str], body: bytes, *, now: float, secret: str
) -> str:
    """Check a Standard Webhooks signature (``webhook-id``, ``-timestamp``, ``-signature``) and give the message's id.

    Raises:
        InvalidCallback: a header is missing, the timestamp is more than five minutes off, or no signature fits.
        ValueError: *secret* is not ``whsec_`` and base64.

    """
    message_id = headers.get("webhook-id", "")
    fits = webhook_verified(
        webhook_key(secret),
        message_id=message_id,
        timestamp=headers.get("webhook-timestamp", ""),
        signatures=headers.get("webhook-signature", ""),
        body=body,
        now=now,
    )
    if not fits:
        raise InvalidCallback(
            "the callback's signature is missing, old or wrong", provider=provider, forged=True
        )
    return message_id
