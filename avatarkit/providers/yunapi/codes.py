"""YunApi's status and error tables.

The vendor documents statuses, and of errors only that ``code`` says whether a call worked. What refusals look like is
known from the software families behind the paths (new-api and one-hub gateways, fish.audio): codes in words, and texts.
So an error is recognised by code, HTTP status and words, in this order of questions: money, review, credentials,
not found, too many, bad input. Money comes before credentials because the gateway says both with HTTP 403.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import attrs

from avatarkit.errors import (
    AuthenticationError,
    BadRequest,
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

GATEWAY_STATUSES: Final[Mapping[str, Status]] = {
    "NOT_START": Status.QUEUED,
    "SUBMITTED": Status.QUEUED,
    "QUEUED": Status.QUEUED,
    "IN_PROGRESS": Status.RUNNING,
    "SUCCESS": Status.SUCCEEDED,
    "FAILURE": Status.FAILED,
    "FAILED": Status.FAILED,
}
"""``status`` of ``/avatar/task/{id}`` in the twins' form. ``FAILED`` is what some clients test for."""

WORK_DONE: Final = "200"
"""``web_work_status`` of a finished work, the only value that is documented. Negative ones were seen on failed works of
the product behind it (-1, -2); any other counts as running."""

CREATED_STATUSES: Final[Mapping[str, Status]] = {
    "0": Status.QUEUED,
    "1": Status.QUEUED,
    "2": Status.RUNNING,
    "3": Status.SUCCEEDED,
    "-1": Status.FAILED,
    "4": Status.FAILED,
}
"""``zstatus`` of all ``chk_*`` acts. ``chk_audio`` fails with 4, the others with -1; both are taken for all."""

REMAKE_STATUSES: Final[Mapping[str, Status]] = {
    "pending": Status.QUEUED,
    "processing": Status.RUNNING,
    "completed": Status.SUCCEEDED,
    "failed": Status.FAILED,
}
"""``status`` of ``/query_video/{task_id}``."""


@attrs.frozen
class ErrorRule:
    """What a refusal means: the error raised, why a task fails with it, and what to do."""

    error: type[ProviderError]
    meaning: str
    reason: FailureReason = FailureReason.PROVIDER_FAULT
    hint: str = ""


QUOTA: Final = ErrorRule(
    InsufficientCredits, "not enough credits", hint="Top up the account, or raise the key's own quota."
)
REVIEW: Final = ErrorRule(
    ModerationRefused,
    "content review refused the material",
    FailureReason.MODERATION,
    hint="Change the material.",
)
CREDENTIALS: Final = ErrorRule(
    AuthenticationError, "the key is not accepted", hint="Take the key that YunApi shows for your account."
)
MISSING: Final = ErrorRule(NotFound, "there is no such task, model or voice", FailureReason.BAD_INPUT)
TOO_MANY: Final = ErrorRule(TooManyRunning, "too many tasks are running")
TOO_FAST: Final = ErrorRule(RateLimited, "too many requests")
MEDIA: Final = ErrorRule(
    MediaRejected,
    "a file was refused",
    FailureReason.BAD_INPUT,
    hint="Can the vendor fetch the URL, is a face to be seen, and is the clip long enough?",
)
PARAMETER: Final = ErrorRule(BadRequest, "a parameter is not right", FailureReason.BAD_INPUT)
BROKEN: Final = ErrorRule(ProviderFault, "the vendor reports trouble of its own")
UNKNOWN: Final = ErrorRule(ProviderFault, "an error that the vendor does not document")

ERRORS: Final[Mapping[str, ErrorRule]] = {
    "insufficient_user_quota": QUOTA,
    "pre_consume_token_quota_failed": QUOTA,
    "invalid_api_key": CREDENTIALS,
    "task_not_exist": MISSING,
}
"""Codes in words that the gateway family uses."""

_STATUSES: Final[Mapping[int, ErrorRule]] = {
    400: PARAMETER,
    401: CREDENTIALS,
    402: QUOTA,
    403: CREDENTIALS,
    404: MISSING,
    413: MEDIA,
    422: PARAMETER,
    429: TOO_FAST,
}


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_QUOTA = _words("余额", "额度", "quota", "credit limit", "insufficient(?! (permission|privilege|scope))")
_REVIEW = _words("敏感", "违规", "审核", "sensitive", "moderation")
_CREDENTIALS = _words("无效的令牌", "令牌无效", "invalid token", "invalid api key")
_MISSING = _words("task[ _]not[ _]exist", "不存在")
_TOO_MANY = _words("并发", "concurren", "排队已满")
_TOO_FAST = _words("上游负载", r"\brate\b", "too many requests", "请求过于频繁", "频率")
_MEDIA = _words(
    "人脸",
    r"\bface\b",
    "时长",
    "下载失败",
    "无法下载",
    "格式不支持",
    "音频",
    r"\b(audio|clip|video) (is )?too",
)
_PARAMETER = _words("参数", "不能为空", "必填", "parameter", r"\bmissing\b", r"\brequired\b", r"\binvalid\b")


def rule_for(http_status: int, code: str, text: str) -> ErrorRule:
    """What a refusal means that came with this HTTP status, code and text (any of them may say nothing)."""
    said = f"{code} {text}"
    if http_status == 402 or ERRORS.get(code) is QUOTA or _QUOTA.search(said):
        return QUOTA
    if code in ERRORS:
        return ERRORS[code]
    if http_status != 401 and _REVIEW.search(said):
        return REVIEW
    if http_status in (401, 403) or _CREDENTIALS.search(said):
        return CREDENTIALS
    if http_status == 404 or _MISSING.search(said):
        return MISSING
    if _TOO_MANY.search(said):
        return TOO_MANY
    if http_status == 429 or _TOO_FAST.search(said):
        return TOO_FAST
    if http_status >= 500:
        return BROKEN
    if _MEDIA.search(said):
        return MEDIA
    if _PARAMETER.search(said):
        return PARAMETER
    return _STATUSES.get(http_status, UNKNOWN)


def reason_for(text: str) -> FailureReason:
    """Why a task failed, judged by the vendor's text."""
    if _REVIEW.search(text):
        return FailureReason.MODERATION
    if _MEDIA.search(text) or _PARAMETER.search(text):
        return FailureReason.BAD_INPUT
    return FailureReason.PROVIDER_FAULT
