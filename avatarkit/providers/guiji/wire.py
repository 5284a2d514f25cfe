"""Guiji's answers as attrs classes: the envelope, and one row class per resource.

List rows, by-id answers and callbacks of a resource share most fields; what one of them lacks stays None. Ids and
statuses come as numbers or text and are read by hand. No repr shows values, for a token and signed URLs are among them.
"""

from __future__ import annotations

from typing import Any

import attrs

from avatarkit.protocol.codec import wire

ABSENT: Any = object()
"""Stands for ``data`` where the answer has none, as against one that is null."""


def _extra() -> Any:
    return attrs.field(factory=dict)


@attrs.define(repr=False)
class Envelope:
    """What every answer has. ``code`` is text, ``"0"`` when all is well; other vendors' numbers are accepted."""

    code: Any = None
    success: Any = None
    message: str | None = wire("message", "msg")
    data: Any = ABSENT


@attrs.define(repr=False)
class PageData:
    """``data`` of a list."""

    page_size: int | None = wire("pageSize")
    total: int | None = wire("totalRecord")
    records: Any = None


@attrs.define(repr=False)
class TokenData:
    """``data`` of the token operation."""

    access_token: str | None = None
    expires_in: float | None = None


@attrs.define(repr=False)
class AccountData:
    """``data.account``: what is left and what was bought; videos in milliseconds, speech in characters."""

    avatars: int | None = wire("fastTrainingAmount")
    avatars_total: int | None = wire("totalFastTrainingAmount")
    voices: int | None = wire("voiceCloneAmount")
    voices_total: int | None = wire("totalVoiceCloneAmount")
    video_ms: float | None = wire("fastDuration")
    video_ms_total: float | None = wire("totalFastDuration")
    characters: int | None = wire("ttsWordsAmount")
    characters_total: int | None = wire("totalTtsWordsAmount")
    extra: dict[str, Any] = _extra()


@attrs.define(repr=False)
class UserData:
    """``data.user``."""

    id: Any = None
    corp_id: Any = wire("corpId")


@attrs.define(repr=False)
class SceneRow:
    """A public avatar."""

    id: Any = None
    title: str | None = wire("sceneName")
    extra: dict[str, Any] = _extra()


@attrs.define(repr=False)
class TrainingRow:
    """An avatar training. Older answers nest the scene's id in ``robot``."""

    id: Any = None
    title: str | None = wire("title", "name")
    video_url: str | None = wire("videoUrl")
    status: Any = None
    callback_status: int | None = wire("callbackStatus")
    comment: str | None = wire("comment", "reason")
    scene_id: Any = wire("sceneId")
    robot: Any = None
    cover_url: str | None = wire("coverUrl")
    authorize_status: int | None = wire("authorizeStatus")
    created: Any = wire("createTime")
    updated: Any = wire("updateTime")
    result: str | None = None
    extra: dict[str, Any] = _extra()


@attrs.define(repr=False)
class VoiceRow:
    """A voice, public or cloned. ``languages`` is text in one table and a list in every sample."""

    speaker_id: Any = wire("speakerId")
    title: str | None = wire("ttsName")
    features: Any = wire("ttsFeatures")
    sample_url: str | None = wire("audioUrl")
    demo_url: str | None = wire("ttsAudition")
    languages: Any = None
    sex: int | None = None
    status: Any = None
    authorize_status: int | None = wire("authorizeStatus")
    reason: str | None = None
    expires: Any = wire("expireTime")
    result: str | None = None
    extra: dict[str, Any] = _extra()


@attrs.define(repr=False)
class VideoRow:
    """A video. Durations are text: seconds in one field, milliseconds in the other."""

    id: Any = None
    title: str | None = wire("videoName")
    format: str | None = wire("videoFormat")
    status: Any = wire("synthesisStatus")
    url: str | None = wire("videoUrl")
    srt_url: str | None = wire("srtUrl")
    cover_url: str | None = wire("coverUrl")
    seconds: float | None = wire("duration")
    milliseconds: float | None = wire("durationMs")
    created: Any = wire("createTime")
    updated: Any = wire("updateTime")
    reason: str | None = wire("failReason")
    result: str | None = None
    extra: dict[str, Any] = _extra()


@attrs.define(repr=False)
class AudioRow:
    """Speech. It has neither a name nor times nor a failure text; its duration is a number of milliseconds."""

    id: Any = None
    status: Any = None
    url: str | None = wire("ttsUrl")
    srt_url: str | None = wire("srtUrl")
    milliseconds: float | None = wire("duration")
    extra: dict[str, Any] = _extra()
