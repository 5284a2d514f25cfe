"""HiFly's callbacks.

Source: the vendor's document, section on callbacks, both editions. The URL is set for the whole account in the web
console; no request names one. Works (type 1) are sent by default, clones (types 2 and 3) only with "V2 event callback"
switched on. Events come when a task has ended, never before.

- Nothing is signed and there is no message id: copies are told by type, task and status.
- The older edition's events have no ``task_id``: a work is then known by its title, a clone by nothing but its kind.
- "Delivered" is HTTP 200 exactly; anything else is tried again within five minutes, then never.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from avatarkit.errors import AvatarKitError
from avatarkit.models import Kind, RawResponse, Snapshot, Status
from avatarkit.protocol.callback import CallbackAnswer, CallbackEvent, callback_object, callback_text
from avatarkit.providers.hifly import codes
from avatarkit.providers.hifly import endpoints as ep
from avatarkit.providers.hifly import operations as ops

_KINDS: Final[Mapping[str, Kind | None]] = {"1": None, "2": Kind.AVATAR, "3": Kind.VOICE}
_LOOKS: Final = {"1": ops.VIDEO_TASK, "2": ops.AVATAR_TASK, "3": ops.VOICE_TASK}


class HiFlyCallbacks:
    """Reads HiFly's callbacks."""

    provider = "hifly"
    signed = False

    def parse(
        self, headers: Mapping[str, str], body: bytes, *, now: float, secret: str | None = None
    ) -> CallbackEvent:
        """Read one callback; *headers*, *now* and *secret* do not matter, for nothing is signed.

        Raises:
            InvalidCallback: not a JSON object.

        """
        payload = callback_object(self.provider, body)
        kind, raw = callback_text(payload.get("type")), callback_text(payload.get("status"))
        if kind not in _KINDS:
            return CallbackEvent(provider=self.provider, raw_status=raw, raw=payload)
        status = codes.STATUSES.get(raw, Status.UNKNOWN)
        return CallbackEvent(
            provider=self.provider,
            kind=_KINDS[kind],
            task_id=callback_text(payload.get("task_id")),
            status=status,
            raw_status=raw,
            marker=callback_text(payload.get("title")) if kind == "1" else "",
            snapshot=_claim(kind, body) if status.terminal else None,
            raw=payload,
        )

    def answer(self, event: CallbackEvent) -> CallbackAnswer:
        """HTTP 200; the vendor does not look at the body."""
        return CallbackAnswer(200, body=b"ok")


def _claim(kind: str, body: bytes) -> Snapshot | None:
    """An event has the fields of a look's answer; one that does not read as such claims nothing."""
    try:
        snapshot = ep.read_any(_LOOKS[kind])(RawResponse(200, {}, body))
    except AvatarKitError:
        return None
    return snapshot if isinstance(snapshot, Snapshot) else None


FORMAT: Final = HiFlyCallbacks()
