"""HiFly's status and error tables.

Sources: the vendor's document, sections "error codes" (identical in the Chinese and the English edition) and the
task endpoints. Codes that are not listed count as the provider's fault and are not retried.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from avatarkit.errors import (
    AuthenticationError,
    BadRequest,
    EntitlementError,
    InsufficientCredits,
    MediaRejected,
    ModerationRefused,
    NotFound,
    ProviderError,
    ProviderFault,
    TooManyRunning,
)
from avatarkit.models import FailureReason, Status

STATUSES: Mapping[str, Status] = {
    "1": Status.QUEUED,
    "2": Status.RUNNING,
    "3": Status.SUCCEEDED,
    "4": Status.FAILED,
}
"""The same for avatar, voice, video and audio tasks."""


@attrs.frozen
class ErrorRule:
    """What one of the vendor's codes means: the error raised, why a task fails with it, and what to do."""

    error: type[ProviderError]
    meaning: str
    reason: FailureReason = FailureReason.BAD_INPUT
    hint: str = ""


_RECHARGE = "Recharge or change the plan at https://hifly.cc/setting."
_REACH = "Is the URL reachable from the vendor's network, and was the upload finished?"

ERRORS: Mapping[str, ErrorRule] = {
    "11": ErrorRule(BadRequest, "a parameter is not right"),
    "14": ErrorRule(NotFound, "the resource was not found"),
    "1001": ErrorRule(TooManyRunning, "too many works are being generated", FailureReason.PROVIDER_FAULT),
    "1002": ErrorRule(
        InsufficientCredits, "not enough credits", FailureReason.PROVIDER_FAULT, hint=_RECHARGE
    ),
    "1005": ErrorRule(EntitlementError, "a membership is needed", hint=_RECHARGE),
    "1006": ErrorRule(EntitlementError, "the membership level is too low", hint=_RECHARGE),
    "1009": ErrorRule(EntitlementError, "high-fidelity voices are sold out"),
    "1011": ErrorRule(
        ModerationRefused,
        "the voice resembles a celebrity's",
        FailureReason.MODERATION,
        hint="Use another voice.",
    ),
    "1013": ErrorRule(EntitlementError, "no more high-fidelity voices can be cloned", hint=_RECHARGE),
    "1015": ErrorRule(TooManyRunning, "too many works are submitted", FailureReason.PROVIDER_FAULT),
    "2003": ErrorRule(
        AuthenticationError,
        "the token is invalid",
        hint="Take a token from https://hifly.cc/setting (API details).",
    ),
    "2011": ErrorRule(MediaRejected, "the file is too big"),
    "2012": ErrorRule(MediaRejected, "the file type is not supported"),
    "2013": ErrorRule(MediaRejected, "the audio could not be fetched", hint=_REACH),
    "2014": ErrorRule(MediaRejected, "the video could not be fetched", hint=_REACH),
    "2015": ErrorRule(ProviderFault, "cloning the avatar failed", FailureReason.PROVIDER_FAULT),
    "2016": ErrorRule(MediaRejected, "the picture could not be fetched", hint=_REACH),
}

UNKNOWN = ErrorRule(ProviderFault, "an error that the vendor does not document", FailureReason.PROVIDER_FAULT)
