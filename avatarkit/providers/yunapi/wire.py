"""YunApi's answers as attrs classes. Fields that any source has seen missing are optional; all of them may be.

"Document" is the vendor's own page, "twin" the page of another reseller of the same product. No repr shows values, for
signed URLs are among them.
"""

from __future__ import annotations

from typing import Any

import attrs

from avatarkit.protocol.codec import wire


@attrs.define(repr=False)
class Work:
    """A finished (or unfinished) standard work: the document's ``data``, the twins' ``data.data``."""

    id: str = wire("id", "task_id", default="")
    work_name: str = ""
    work_video_path: str = ""
    wm_work_video_path: str = ""
    no_wm_work_video_path: str = ""
    work_webp_path: str = ""
    web_work_status: Any = None
    create_time: Any = None
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class GatewayTask:
    """The twins' ``data`` of ``/avatar/task/{id}``; *progress* is ``"0%"`` or a bare number."""

    task_id: str = ""
    status: Any = None
    fail_reason: str | None = None
    progress: Any = None
    data: Any = None
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class Check:
    """The ``data`` of every ``chk_*`` act, as one class: what an act does not have stays empty."""

    zstatus: Any = None
    video_url: str | None = None
    video_pic: str | None = None
    video_time: float | None = None
    audio_url: str | None = None
    model_id: str | None = None
    model_pic: str | None = None
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class Remake:
    """The ``data`` of ``/query_video/{task_id}``."""

    task_id: str = ""
    status: Any = None
    error_message: str | None = None
    result_urls: Any = None
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class VoiceModel:
    """The answer of ``/model``; the vendor's sample shows three fields, fish.audio's own document many more."""

    id: str = wire("_id", "id", default="")
    title: str = ""
    state: str = ""
    visibility: str = ""
    languages: Any = None
    extra: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(repr=False)
class Completion:
    """The answer of ``/chat/completions``: not documented by the vendor, read as OpenAI's."""

    choices: Any = None
    model: str | None = None
    extra: dict[str, Any] = attrs.field(factory=dict)


def moment(value: Any) -> float | None:
    """A time in seconds since 1970, from seconds or milliseconds, numbers or digits; None for 0 and anything else.

    Naive ISO times give None: the vendor does not say in which zone they are.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) < 16):
            return None
        value = int(value)
    if not isinstance(value, int | float) or not 0 < value < 1e15:
        return None
    return value / 1000 if value >= 1e11 else float(value)
