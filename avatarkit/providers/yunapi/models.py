"""Data that only YunApi has: frozen classes without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from avatarkit.models import RawResponse


@attrs.frozen(kw_only=True)
class CreateVoice:
    """A voice to be cloned from a recording and to speak at once (``create_voice`` of ``/avatar/generation``).

    Attributes:
        audio: the recording, at least 20 s (a twin's document): an address that the vendor fetches, or local material,
            which is staged.
        language: of the text; ``en``, ``zh`` and ``cn`` were seen, the vendor lists none. Sent as given.
        text: what is said.

    """

    audio: Any
    language: str
    text: str


@attrs.frozen(kw_only=True)
class UseVoice:
    """A voice that the vendor has already (``use_voice`` of ``/avatar/generation``).

    Attributes:
        voice_engine_id: ``nina`` in the vendor's example; no list of engines is published.
        audio_id: the voice, 32 hexadecimal digits in the vendor's example.
        language: of the text, see :class:`CreateVoice`.
        text: what is said.

    """

    voice_engine_id: str
    audio_id: str
    language: str
    text: str


@attrs.frozen(kw_only=True)
class Script:
    """A rewritten script.

    Attributes:
        text: what the model wrote.
        model: the model that wrote it, as the vendor says; ``""`` when it does not.
        extra: fields of the answer that avatarkit does not know, such as ``usage``.
        response: the raw answer.

    """

    text: str
    model: str = ""
    extra: Mapping[str, Any] = attrs.field(factory=dict, repr=False, eq=False)
    response: RawResponse | None = attrs.field(default=None, repr=False, eq=False)

    def __str__(self) -> str:
        return self.text
