"""HiFly's bodies as attrs classes.

Requests are plain keyword functions in ``endpoints.py``; what comes back is described here. The envelope is flat:
results stand beside ``code``, ``message`` and ``request_id``. Fields that any source has seen missing are optional.
No repr shows values, for signed URLs are among them.
"""

from __future__ import annotations

from typing import Any

import attrs

from avatarkit.protocol.codec import wire


@attrs.define(repr=False)
class Envelope:
    """What every answer has, but for ``tool/create_upload_url`` (no ``code``) and callbacks (no ``request_id``)."""

    code: Any = None
    message: str = wire("message", "msg", default="")
    request_id: str = ""


@attrs.define(repr=False)
class Created(Envelope):
    """The answer of every operation that makes a task."""

    task_id: str = ""


@attrs.define(repr=False)
class TaskState(Envelope):
    """The answer of the three task endpoints, as one class: what a kind does not have stays empty.

    ``video_Url`` has a capital U in the vendor's documents; audio works come in the same field.
    """

    status: Any = None
    avatar: str | None = None
    voice: str | None = None
    demo_url: str | None = None
    video_url: str | None = wire("video_Url", "video_url", "audio_url")
    duration: float | None = None
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class AvatarRow:
    """A row of ``avatar/list``."""

    avatar: str = ""
    kind: int | None = None
    title: str = ""
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class VoiceRow:
    """A row of ``voice/list``; rate, volume and pitch are decimal strings there."""

    voice: str = ""
    type: int | None = None
    title: str = ""
    rate: float | None = None
    volume: float | None = None
    pitch: float | None = None
    languages: Any = wire("languages", "language")
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class UploadAnswer(Envelope):
    """The answer of ``tool/create_upload_url``."""

    upload_url: str = ""
    content_type: str = ""
    file_id: str = ""
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class CreditAnswer(Envelope):
    """The answer of ``account/credit``."""

    left: float | None = wire("left", "credit")
    extra: dict[str, Any] = attrs.field(factory=dict)
