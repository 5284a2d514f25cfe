"""What Kling tells that no other provider does, as frozen classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from avatarkit.errors import MediaRejected
from avatarkit.models import RawResponse, Snapshot, Status


def _raw() -> Any:
    return attrs.field(default=None, repr=False, eq=False)


def _extra() -> Any:
    return attrs.field(factory=dict, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class TaskRecord:
    """A task as the vendor keeps it.

    Attributes:
        id: the vendor's id; a lip-sync task's begins with ``advanced-lip-sync/``, as handles have it.
        external_id: the id it was submitted with; lip-sync tasks do not tell it.
        snapshot: its state, result and cost.
        created_at, updated_at: seconds since 1970 (UTC); None when not told.

    """

    id: str
    external_id: str = ""
    snapshot: Snapshot
    created_at: float | None = None
    updated_at: float | None = None
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()

    @property
    def status(self) -> Status:
        """Where it stands."""
        return self.snapshot.status

    def __str__(self) -> str:
        return self.id


@attrs.frozen(kw_only=True)
class TtsAudio:
    """Speech that the vendor made. Give it as ``audio_id=``; the vendor deletes it after 30 days.

    Attributes:
        id: what the vendor calls it.
        url: a temporary URL of the sound.
        duration: seconds; None when the vendor does not say.
        cost: units it cost; None when the vendor does not say.

    """

    id: str
    url: str = attrs.field(default="", repr=False)
    duration: float | None = None
    cost: float | None = None
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()

    def __str__(self) -> str:
        return self.id


@attrs.frozen(kw_only=True)
class Face:
    """A face in a video, and when it is to be seen: seconds from the video's start.

    Attributes:
        image_url: a temporary URL of a picture of it.

    """

    id: str
    image_url: str = attrs.field(default="", repr=False)
    start: float | None = None
    end: float | None = None
    extra: Mapping[str, Any] = _extra()

    @property
    def seen_from(self) -> float:
        """When it is first seen, in seconds; 0 when the vendor does not say."""
        return self.start if self.start is not None else 0.0

    def __str__(self) -> str:
        return self.id


@attrs.frozen(kw_only=True)
class FaceSession:
    """What ``lip_sync.identify_face`` found.

    How long it can be used is not in the vendor's present documents; one reseller says 24 hours.

    Attributes:
        id: the session, for ``lip_sync.create``.
        faces: every face that was found.
        cost: units it cost; None when the vendor does not say.

    """

    id: str
    faces: tuple[Face, ...] = ()
    cost: float | None = None
    extra: Mapping[str, Any] = _extra()
    response: RawResponse | None = _raw()

    @property
    def first_face(self) -> Face:
        """The first of its faces.

        Raises:
            MediaRejected: none was found in the video.

        """
        if not self.faces:
            raise MediaRejected(
                "no face was found in the video",
                provider="kling",
                endpoint="lip_sync.identify_face",
                response=self.response,
                hint="Give a video in which a face is to be seen for at least 2 s.",
            )
        return self.faces[0]

    def __str__(self) -> str:
        return self.id


@attrs.frozen(kw_only=True)
class ResourcePack:
    """Units that were bought. *left* may lag behind by up to 12 hours.

    Attributes:
        kind: ``decreasing_total`` or ``constant_period``, the vendor's words.
        total, left: units.
        purchased_at, effective_at, invalid_at: seconds since 1970 (UTC).
        status: ``toBeOnline``, ``online``, ``expired`` or ``runOut``, the vendor's words.

    """

    id: str
    name: str = ""
    kind: str = ""
    total: float | None = None
    left: float | None = None
    purchased_at: float | None = None
    effective_at: float | None = None
    invalid_at: float | None = None
    status: str = ""
    extra: Mapping[str, Any] = _extra()


@attrs.frozen(kw_only=True)
class Costs:
    """An account's resource packs."""

    packs: tuple[ResourcePack, ...] = ()
    response: RawResponse | None = _raw()
