"""What only Guiji has: rows of its lists, and the package's counters. Frozen data; times are aware, in China's zone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from avatarkit.models import RawResponse, Status


def _raw() -> Any:
    return attrs.field(default=None, repr=False, eq=False)


def _extra() -> Any:
    return attrs.field(factory=dict, repr=False, eq=False)


def _url() -> Any:
    return attrs.field(default="", repr=False)


@attrs.frozen(kw_only=True)
class Benefits:
    """What is left of the package and what was bought. None: the vendor did not say.

    What is left may be more than what was bought: the vendor's own sample shows it.

    Attributes:
        user_id: the vendor's id of the user.
        corp_id: the vendor's id of the enterprise.
        avatars: avatar clonings left, out of ``avatars_total``.
        voices: voice clonings left, out of ``voices_total``.
        video_seconds: seconds of video left (the vendor counts milliseconds), out of ``video_seconds_total``.
        characters: characters of speech left, out of ``characters_total``.

    """

    user_id: str = ""
    corp_id: str = ""
    avatars: int | None = None
    avatars_total: int | None = None
    voices: int | None = None
    voices_total: int | None = None
    video_seconds: float | None = None
    video_seconds_total: float | None = None
    characters: int | None = None
    characters_total: int | None = None
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()


@attrs.frozen(kw_only=True)
class AvatarClone:
    """An avatar's training, as the vendor lists it.

    Attributes:
        id: id of the training (not of the avatar).
        title: its name.
        status: mapped onto the five words; ``raw_status`` is the vendor's (0 to 4).
        avatar_id: the ``sceneId`` that videos are made with; ``""`` until it is trained.
        video_url: the material.
        cover_url: a picture.
        comment: why it failed or was rejected.
        authorized: whether the consent was verified; None when the vendor does not say.
        callback_status: 0 none yet, 1 delivered, 2 failed.
        created, updated: when.

    """

    id: str
    title: str = ""
    status: Status = Status.UNKNOWN
    raw_status: str = ""
    avatar_id: str = ""
    video_url: str = _url()
    cover_url: str = _url()
    comment: str = ""
    authorized: bool | None = None
    callback_status: int | None = None
    created: datetime | None = None
    updated: datetime | None = None
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()

    def __str__(self) -> str:
        return self.id


@attrs.frozen(kw_only=True)
class VoiceClone:
    """A cloned voice, as the vendor lists it.

    Attributes:
        id: the ``speakerId``: names the cloning and, for good, the voice.
        title: its name.
        status: mapped onto the five words; ``raw_status`` is the vendor's (0 to 4, 4 is expired).
        features: words that describe it.
        languages: language tags as the vendor spells them.
        sex: 1 male, 2 female, None unknown.
        sample_url: the material.
        demo_url: a spoken sample, ``""`` until it is trained.
        authorized: whether the consent was verified; None when the vendor does not say.
        reason: why it failed.
        expires: when it can no longer be used.

    """

    id: str
    title: str = ""
    status: Status = Status.UNKNOWN
    raw_status: str = ""
    features: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    sex: int | None = None
    sample_url: str = _url()
    demo_url: str = _url()
    authorized: bool | None = None
    reason: str = ""
    expires: datetime | None = None
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()

    def __str__(self) -> str:
        return self.id


@attrs.frozen(kw_only=True)
class VideoWork:
    """A video, as the vendor lists it. It is deleted there 24 hours after it is done.

    Attributes:
        id: the vendor's id, often negative; it is not a ``sceneId``, whatever the vendor's table says.
        title: the ``videoName``.
        status: mapped onto the five words; ``raw_status`` is the vendor's ``synthesisStatus`` (-1 to 7).
        url: the file.
        srt_url: its subtitles as an SRT file.
        cover_url: a picture.
        format: such as ``mp4``.
        duration: seconds, with milliseconds.
        reason: why it failed.
        created, updated: when.

    """

    id: str
    title: str = ""
    status: Status = Status.UNKNOWN
    raw_status: str = ""
    url: str = _url()
    srt_url: str = _url()
    cover_url: str = _url()
    format: str = ""
    duration: float | None = None
    reason: str = ""
    created: datetime | None = None
    updated: datetime | None = None
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()

    def __str__(self) -> str:
        return self.id


@attrs.frozen(kw_only=True)
class AudioWork:
    """Speech, as the vendor lists it: no name, no times, no failure text. Deleted 24 hours after it is done.

    Attributes:
        id: the vendor's id.
        status: mapped onto the five words; ``raw_status`` is the vendor's (0 to 3).
        url: the file.
        srt_url: its subtitles as an SRT file.
        duration: seconds (the vendor counts milliseconds).

    """

    id: str
    status: Status = Status.UNKNOWN
    raw_status: str = ""
    url: str = _url()
    srt_url: str = _url()
    duration: float | None = None
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()

    def __str__(self) -> str:
        return self.id
