"""Kling's status and error tables.

Source: the vendor's document "Error codes" (get-started), and the pages of each operation for statuses. The code
decides, never the HTTP status alone: of the six codes that come with HTTP 429 four will not go away by waiting.
Code 1201 is used for three things that only the message's text tells apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

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
    RateLimited,
    TooManyRunning,
)
from avatarkit.models import FailureReason, Status

STATUSES: Final[Mapping[str, Status]] = {
    "submitted": Status.QUEUED,
    "processing": Status.RUNNING,
    "succeed": Status.SUCCEEDED,
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
}
"""One table for both generations of the API: ``/v1`` says ``succeed``, ``/tasks`` and new callbacks ``succeeded``."""


@attrs.frozen
class ErrorRule:
    """What one of the vendor's codes means.

    Attributes:
        error: the class raised.
        http_status: the status it comes with.
        meaning: in our words.
        hint: what to do.
    """

    error: type[ProviderError]
    http_status: int
    meaning: str
    hint: str = ""


_KEYS: Final = (
    "Check the credentials, and that they belong to this region: a Singapore key is unknown in Beijing."
)
_CLOCK: Final = "Check this machine's clock."
_PACK: Final = "Buy a resource pack for the API; credits of the consumer app do not count."
_CHANGE: Final = "The vendor's review refused it: change the material."

ERRORS: Final[Mapping[str, ErrorRule]] = {
    "1000": ErrorRule(AuthenticationError, 401, "authentication failed", _KEYS),
    "1001": ErrorRule(AuthenticationError, 401, "no credentials arrived", _KEYS),
    "1002": ErrorRule(AuthenticationError, 401, "the credentials are not valid", _KEYS),
    "1003": ErrorRule(AuthenticationError, 401, "the token is not valid yet", _CLOCK),
    "1004": ErrorRule(AuthenticationError, 401, "the token has expired", _CLOCK),
    "1100": ErrorRule(
        AuthenticationError, 429, "the account is not in order", "Look into the vendor's console."
    ),
    "1101": ErrorRule(InsufficientCredits, 429, "the account is in arrears", "Settle the vendor's bill."),
    "1102": ErrorRule(InsufficientCredits, 429, "the resource pack is used up or has expired", _PACK),
    "1103": ErrorRule(EntitlementError, 403, "the account may not use this operation or model", _PACK),
    "1200": ErrorRule(BadRequest, 400, "the parameters are not valid"),
    "1201": ErrorRule(BadRequest, 400, "a parameter is not right"),
    "1202": ErrorRule(BadRequest, 404, "the operation does not know this method"),
    "1203": ErrorRule(NotFound, 404, "the resource does not exist"),
    "1300": ErrorRule(ModerationRefused, 400, "refused by the platform's policy", _CHANGE),
    "1301": ErrorRule(ModerationRefused, 400, "refused by content review", _CHANGE),
    "1302": ErrorRule(RateLimited, 429, "too many requests"),
    "1303": ErrorRule(TooManyRunning, 429, "more tasks at once than the resource pack allows"),
    "1304": ErrorRule(AuthenticationError, 429, "this address is not on the account's IP whitelist"),
    "5000": ErrorRule(ProviderFault, 500, "an internal error"),
    "5001": ErrorRule(ProviderFault, 503, "under maintenance"),
    "5002": ErrorRule(ProviderFault, 504, "an internal time-out"),
}
"""The 21 codes of the vendor's table."""

UNAUTHORIZED: Final = ERRORS["1002"]
UNKNOWN: Final = ErrorRule(ProviderFault, 0, "an error that the vendor does not document")
UNKNOWN_429: Final = ErrorRule(RateLimited, 429, "too many requests")
NO_ROUTE: Final = ErrorRule(
    BadRequest, 404, "there is no such operation at this address", "Check the base URL."
)

DUPLICATE: Final = ErrorRule(
    BadRequest,
    400,
    "the external_task_id was used before; nothing was made or billed",
    "videos.get(external_task_id) shows the task that has it.",
)
MISSING: Final = ErrorRule(NotFound, 400, "there is no such task, voice or file")
MEDIA: Final = ErrorRule(MediaRejected, 400, "the file was refused")

_DUPLICATE: Final = re.compile(r"already\s+exist|duplicate", re.IGNORECASE)
_MISSING: Final = re.compile(r"not\s+found|not\s+exist", re.IGNORECASE)
_MEDIA: Final = re.compile(r"\b(file|image|audio|video|picture|resolution|base64)\b", re.IGNORECASE)


def rule_for(code: str, message: str, http_status: int) -> ErrorRule:
    """What *code* means, given what the vendor says with it.

    An unknown code counts as the provider's fault; with HTTP 401 as refused credentials, with 429 as too many requests.
    """
    if code == "1201":
        for pattern, special in ((_DUPLICATE, DUPLICATE), (_MISSING, MISSING), (_MEDIA, MEDIA)):
            if pattern.search(message):
                return special
    rule = ERRORS.get(code)
    if rule is not None:
        return rule
    if http_status == 401:
        return UNAUTHORIZED
    return UNKNOWN_429 if http_status == 429 else UNKNOWN


def is_duplicate(error: ProviderError) -> bool:
    """Whether *error* says that the external id was used before."""
    return error.code == "1201" and _DUPLICATE.search(error.message) is not None


_REASONS: Final = (
    (
        FailureReason.MODERATION,
        re.compile(
            r"risk\s*control|sensitive|moderation|polic(?:y|ies)|content security|审核|风控", re.IGNORECASE
        ),
    ),
    (
        FailureReason.BAD_INPUT,
        re.compile(
            r"invalid|resolution|aspect ratio|unsupported|not supported|no (?:human )?face"
            r"|too (?:long|short|large)",
            re.IGNORECASE,
        ),
    ),
)


def failure_reason(message: str) -> FailureReason:
    """Why a task failed, from its ``task_status_msg``: failed tasks carry no code.

    Only two texts are known: a refusal by the "risk control system", and an image of an invalid resolution or ratio.
    What is not recognised counts as the provider's fault.
    """
    for reason, pattern in _REASONS:
        if pattern.search(message):
            return reason
    return FailureReason.PROVIDER_FAULT
