"""Guiji's callbacks: one for each kind of task, to the ``callbackUrl`` of the request that made it.

Nothing is signed, so an event is a hint: the task is looked at again. ``result`` is "success" or "fail"; speech has
only ``status``, voices have both. The vendor wants a JSON answer; whether it reads it, and how often it tries again, is
not documented. Its samples hold fields that its tables lack, and the other way round; all are optional here.

Source: the vendor's document, 3.2, 4.2, 5.2 and 6.2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from avatarkit.errors import InvalidCallback, UnexpectedResponse
from avatarkit.models import Kind, Status
from avatarkit.protocol.callback import JSON, CallbackAnswer, CallbackEvent, callback_object
from avatarkit.protocol.codec import structure
from avatarkit.providers.guiji import reading, wire
from avatarkit.providers.guiji.models import AudioWork, AvatarClone, VideoWork, VoiceClone

ANSWER: Final = CallbackAnswer(200, JSON, b'{"code":"0","success":true,"message":"success"}')
"""What the vendor's document wants to be answered with."""

_LARGEST: Final = 1 << 20  # bytes; a true event has about one thousand


@attrs.frozen(kw_only=True)
class GuijiEvent(CallbackEvent):
    """One callback with its ``data`` as the row it is; None for a kind of task nobody documents.

    Attributes:
        row: what the event says of the avatar, voice, video or sound. A video's has neither milliseconds nor
            subtitles, a sound's no subtitles: ask for it by its id.

    """

    row: AvatarClone | VoiceClone | VideoWork | AudioWork | None = attrs.field(default=None, repr=False)


_KINDS: Final[Mapping[str, tuple[Kind, type[Any], Callable[[Any], Any]]]] = {
    "video-training": (Kind.AVATAR, wire.TrainingRow, reading.avatar_clone),
    "voice-clone": (Kind.VOICE, wire.VoiceRow, reading.voice_clone),
    "video-synthesis": (Kind.VIDEO, wire.VideoRow, reading.video_work),
    "tts-synthesis": (Kind.AUDIO, wire.AudioRow, reading.audio_work),
}
# The status that stands for a result where an event has no status of its own.
_RESULTS: Final[Mapping[Kind, Mapping[str, str]]] = {
    Kind.AVATAR: {"success": "2", "fail": "3"},
    Kind.VOICE: {"success": "2", "fail": "3"},
    Kind.VIDEO: {"success": "3", "fail": "4"},
    Kind.AUDIO: {},
}
_STATUS_FIELDS: Final = {Kind.VIDEO: "synthesisStatus"}


class GuijiCallbacks:
    """Reads and answers Guiji's callbacks. Stateless."""

    provider = "guiji"
    signed = False

    def parse(
        self, headers: Mapping[str, str], body: bytes, *, now: float, secret: str | None = None
    ) -> GuijiEvent:
        """Read one callback. *headers*, *now* and *secret* are not used: nothing is signed.

        Raises:
            InvalidCallback: not a JSON object, larger than 1 MB, or of the vendor's form but with other types.

        """
        if len(body) > _LARGEST:
            raise InvalidCallback(f"a callback of {len(body):,} bytes is none of Guiji's", provider="guiji")
        payload = callback_object("guiji", body)
        name, data = payload.get("taskType"), payload.get("data")
        known = _KINDS.get(name) if isinstance(name, str) else None
        if known is None or not isinstance(data, dict):
            return GuijiEvent(provider="guiji", kind=known[0] if known else None, raw=payload)
        kind, cls, convert = known
        try:
            row = convert(structure(_with_status(kind, data), cls))
        except UnexpectedResponse as error:
            raise InvalidCallback(
                f"the callback's data has another form: {error}", provider="guiji"
            ) from None
        return GuijiEvent(
            provider="guiji",
            kind=kind,
            task_id=row.id,
            status=row.status,
            raw_status=row.raw_status,
            marker=getattr(row, "title", ""),
            snapshot=reading.snapshot(row) if row.status is not Status.UNKNOWN else None,
            raw=payload,
            row=row,
        )

    def answer(self, event: CallbackEvent) -> CallbackAnswer:
        """The same for every event: taken."""
        return ANSWER


def _with_status(kind: Kind, data: Mapping[str, Any]) -> dict[str, Any]:
    """*data* with a status, made of ``result`` where it has none or one that contradicts it."""
    name, result = _STATUS_FIELDS.get(kind, "status"), data.get("result")
    told = _RESULTS[kind].get(result.strip().lower()) if isinstance(result, str) else None
    if told is None or (data.get(name) is not None and reading.agrees(kind, data[name], told)):
        return dict(data)
    return {**data, name: told}


FORMAT: Final = GuijiCallbacks()
