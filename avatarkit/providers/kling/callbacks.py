"""What Kling posts to a ``callback_url``: on every change of a task, at most once or many times, in any order.

Two shapes are told apart: the older one of avatar and lip-sync tasks (``task_id``, ``task_status``), and the newer one
(``id``, ``status``), which the console's test message has for everybody. Signatures follow Standard Webhooks, and are
there only when a webhook secret exists in the console. Source: the vendor's document "Callbacks" (get-started); how
often it tries again and how long it waits is not documented.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from avatarkit.errors import UnexpectedResponse
from avatarkit.models import Kind, Snapshot, Status
from avatarkit.protocol.callback import (
    CallbackAnswer,
    CallbackEvent,
    callback_object,
    callback_text,
    signed_message_id,
)
from avatarkit.protocol.codec import structure
from avatarkit.providers.kling import reading, wire


@attrs.frozen
class KlingCallbacks:
    """The vendor's callbacks."""

    provider: str = "kling"
    signed: bool = True

    def parse(
        self, headers: Mapping[str, str], body: bytes, *, now: float, secret: str | None = None
    ) -> CallbackEvent:
        """Read one callback, in either shape. The console's test message is an event of a task that nobody knows.

        Args:
            headers: names in lower case.
            body: the raw bytes.
            now: seconds since 1970; a signature more than five minutes older or newer is refused.
            secret: ``whsec_…`` from the console; None accepts every event.

        Raises:
            InvalidCallback: not a JSON object; or *secret* is given and the signature is missing, old or wrong.
            ValueError: *secret* is not ``whsec_`` and base64.

        """
        message_id = ""
        if secret is not None:
            message_id = signed_message_id(self.provider, headers, body, now=now, secret=secret)
        payload = callback_object(self.provider, body)
        info = wire.mapping(payload.get("task_info"))
        task_id = callback_text(payload.get("task_id")) or callback_text(payload.get("id"))
        snapshot = _claimed(payload) if task_id else None
        return CallbackEvent(
            provider=self.provider,
            kind=Kind.VIDEO if task_id else None,
            task_id=task_id,
            status=snapshot.status if snapshot is not None else Status.UNKNOWN,
            raw_status=snapshot.raw_status if snapshot is not None else "",
            marker=callback_text(info.get("external_task_id")) or callback_text(payload.get("external_id")),
            snapshot=snapshot,
            message_id=message_id,
            signed=secret is not None,
            raw=payload,
        )

    def answer(self, event: CallbackEvent) -> CallbackAnswer:
        """HTTP 200, which the vendor states for its test message."""
        return CallbackAnswer(200)


def _claimed(payload: Mapping[str, object]) -> Snapshot | None:
    try:
        return reading.row_snapshot(structure(payload, wire.TaskRow))
    except UnexpectedResponse:
        return None


FORMAT = KlingCallbacks()
"""Kling's callbacks."""
