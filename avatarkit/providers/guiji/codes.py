"""Guiji's status and error tables.

Sources: the status words stand in the vendor's "API Integration" document, in the tables of each list; the error codes
in its older "video" and "training" documents. Codes that are not listed count as the provider's fault and are not
retried.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from avatarkit.errors import (
    AuthenticationError,
    BadRequest,
    InsufficientCredits,
    MediaRejected,
    NotFound,
    ProviderError,
    ProviderFault,
    TooManyRunning,
)
from avatarkit.models import FailureReason, Status


@attrs.frozen
class StatusRule:
    """What one status value of one resource means; *reason* says why it is a failure."""

    status: Status
    meaning: str
    reason: FailureReason | None = None


_FAULT = FailureReason.PROVIDER_FAULT

# Four enumerations that must never be mixed: 2 is success for three of them and "processing" for videos.
TRAINING: Mapping[str, StatusRule] = {
    "0": StatusRule(Status.QUEUED, "pending"),
    "1": StatusRule(Status.RUNNING, "training"),
    "2": StatusRule(Status.SUCCEEDED, "success"),
    "3": StatusRule(Status.FAILED, "the training failed", _FAULT),
    "4": StatusRule(Status.FAILED, "rejected by the vendor's review", FailureReason.MODERATION),
}
"""``status`` of avatar trainings (document, 3.3 and 3.4)."""

VOICE: Mapping[str, StatusRule] = {
    "0": StatusRule(Status.QUEUED, "pending"),
    "1": StatusRule(Status.RUNNING, "training"),
    "2": StatusRule(Status.SUCCEEDED, "success"),
    "3": StatusRule(Status.FAILED, "the cloning failed", _FAULT),
    "4": StatusRule(Status.FAILED, "the voice has expired", FailureReason.NO_RESULT),
}
"""``status`` of voice clones (4.1 to 4.4). 4 can follow 2 when the licence runs out."""

VIDEO: Mapping[str, StatusRule] = {
    "-1": StatusRule(Status.QUEUED, "a draft that is being edited"),
    "1": StatusRule(Status.QUEUED, "queued"),
    "2": StatusRule(Status.RUNNING, "processing"),
    "3": StatusRule(Status.SUCCEEDED, "success"),
    "4": StatusRule(Status.FAILED, "the synthesis failed", _FAULT),
    "6": StatusRule(Status.FAILED, "cancelled", FailureReason.CANCELLED),
    "7": StatusRule(Status.FAILED, "the task failed", _FAULT),
}
"""``synthesisStatus`` of videos (5.3 and 5.4). 5 is not documented."""

TTS: Mapping[str, StatusRule] = {
    "0": StatusRule(Status.QUEUED, "preparing"),
    "1": StatusRule(Status.RUNNING, "processing"),
    "2": StatusRule(Status.SUCCEEDED, "success"),
    "3": StatusRule(Status.FAILED, "the synthesis failed", _FAULT),
}
"""``status`` of speech (6.1 to 6.4)."""

UNKNOWN_STATUS = StatusRule(Status.UNKNOWN, "a status that the vendor does not document")

_REVIEW = ("审核", "违规", "敏感", "moderation", "sensitive", "violat", "prohibited")
_INPUT = ("下载", "格式", "分辨率", "码率", "帧率", "时长", "授权", "人脸")
_INPUT_EN = (
    "download",
    "format",
    "resolution",
    "bit rate",
    "bitrate",
    "fps",
    "authoriz",
    "invalid",
    "no face",
)


def reason_of(text: str, usual: FailureReason | None) -> FailureReason:
    """Why a task failed, as far as the vendor's words tell; else *usual*. No codes come with a failed task."""
    plain = text.casefold()
    if usual is FailureReason.CANCELLED or usual is FailureReason.NO_RESULT:
        return usual
    if any(word in plain for word in _REVIEW):
        return FailureReason.MODERATION
    if usual is not FailureReason.MODERATION and any(word in plain for word in (*_INPUT, *_INPUT_EN)):
        return FailureReason.BAD_INPUT
    return usual or _FAULT


@attrs.frozen
class ErrorRule:
    """What one of the vendor's codes means: the error raised, and what to do.

    *retryable* says whether the same request may succeed later; a submission is never repeated for it.
    """

    error: type[ProviderError]
    meaning: str
    hint: str = ""
    retryable: bool = False


_REACH = "Is the URL public, and does it stay valid until the task leaves the queue?"
_KEYS = "Check GUIJI_APP_ID and GUIJI_SECRET (API Key and API Secret of the open platform's package)."
_RECHARGE = "See client.account.benefits() for what is left, and buy a package."

INTERNAL = "40001"
"""On a read: try again. On a submission: nobody knows whether the task was made."""

TOKEN_CODES = frozenset({"40002", "40003"})
"""The access token was not accepted, which is found out before anything is done: renew it and send again, once."""

ERRORS: Mapping[str, ErrorRule] = {
    INTERNAL: ErrorRule(ProviderFault, "an exception inside the vendor's system", retryable=True),
    "40002": ErrorRule(AuthenticationError, "the access token is invalid", _KEYS),
    "40003": ErrorRule(AuthenticationError, "the access token has expired", _KEYS),
    "40010": ErrorRule(InsufficientCredits, "the balance is not sufficient", _RECHARGE),
    "40011": ErrorRule(MediaRejected, "the audio URL is invalid", _REACH),
    "40012": ErrorRule(MediaRejected, "the audio's duration is not allowed"),
    "40013": ErrorRule(MediaRejected, "the file's size is not allowed"),
    "40014": ErrorRule(BadRequest, "a required file is missing"),
    "40015": ErrorRule(BadRequest, "a required parameter is missing"),
    "40016": ErrorRule(ProviderFault, "the vendor could not store the file", retryable=True),
    "40017": ErrorRule(
        MediaRejected, "the file could not be downloaded by the vendor", _REACH, retryable=True
    ),
    "40018": ErrorRule(NotFound, "not found", "Works are deleted 24 hours after they are done."),
    "40019": ErrorRule(TooManyRunning, "too many tasks are running"),
    "40020": ErrorRule(MediaRejected, "the background picture's format is not supported"),
    "40021": ErrorRule(ProviderFault, "handing in the training video failed"),
    "40022": ErrorRule(MediaRejected, "the bit rate is not allowed"),
    "40023": ErrorRule(MediaRejected, "the resolution is not allowed"),
    "40024": ErrorRule(MediaRejected, "the frame rate is not allowed"),
    "40025": ErrorRule(NotFound, "there is no such avatar or voice"),
    "40026": ErrorRule(NotFound, "the avatar or voice has expired", "Clone it again, or extend the package."),
    "40027": ErrorRule(MediaRejected, "the video's format is not allowed"),
}

UNKNOWN = ErrorRule(ProviderFault, "an error that the vendor does not document")
REFUSED_KEYS = ErrorRule(AuthenticationError, "the vendor gives no access token for these credentials", _KEYS)
"""For the token operation, whose own codes are not documented: what else could it refuse?"""
