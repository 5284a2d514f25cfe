"""Kling's answers as attrs classes.

Two generations share one envelope ``{code, message, request_id, data}``: the records of ``/v1`` (``task_id``,
``task_status``, ``succeed``) and those of ``/tasks`` (``id``, ``status``, ``succeeded``). What is nested comes absent,
null or empty before a task is done, so nested members are read by hand. No repr shows values, for signed URLs are among
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from avatarkit.protocol.codec import wire


@attrs.define(repr=False)
class Envelope:
    """What every answer of the vendor has; ``data`` is absent from refusals."""

    code: Any = None
    message: str = wire("message", "msg", default="")
    request_id: str = ""
    data: Any = None


@attrs.define(repr=False)
class TaskRow:
    """A task, in either generation's spelling. Times are Unix milliseconds, deductions decimal strings."""

    task_id: str = wire("task_id", "id", default="")
    task_status: str | None = wire("task_status", "status")
    task_status_msg: str | None = wire("task_status_msg", "message")
    task_info: Any = None
    task_result: Any = None
    outputs: Any = None
    external_id: str | None = None
    final_unit_deduction: float | None = None
    final_balance_deduction: Any = None
    billing: Any = None
    created_at: int | None = wire("created_at", "create_time")
    updated_at: int | None = wire("updated_at", "update_time")
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class MediaRow:
    """A result: of ``task_result.videos``, ``task_result.audios`` or ``outputs``; *duration* is seconds as text."""

    id: str = ""
    url: str = wire("url", "mp3_url", "wav_url", default="")
    watermark_url: str = ""
    duration: float | None = wire("duration", "mp3_duration", "wav_duration")
    type: str = ""


@attrs.define(repr=False)
class FaceRow:
    """A face of ``identify-face``; times are milliseconds into the video."""

    face_id: str = ""
    face_image: str = ""
    start_time: int | None = None
    end_time: int | None = None
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class PackRow:
    """A resource pack of ``account/costs``; times are Unix milliseconds."""

    resource_pack_name: str = ""
    resource_pack_id: str = ""
    resource_pack_type: str = ""
    total_quantity: float | None = None
    remaining_quantity: float | None = None
    purchase_time: int | None = None
    effective_time: int | None = None
    invalid_time: int | None = None
    status: str = ""
    extra: dict[str, Any] = attrs.field(factory=dict)


def mapping(value: Any) -> Mapping[str, Any]:
    """*value* when it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def rows(value: Any) -> list[Mapping[str, Any]]:
    """The objects in *value* when it is a list, else nothing."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
