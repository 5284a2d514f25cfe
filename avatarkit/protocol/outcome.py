"""What became of a submission: the truth table that decides whether money may be spent again.

====================================================  ==============  ==========================
what happened                                         outcome         what the client does
====================================================  ==============  ==========================
DNS, refused connection, TLS, our own send deadline   not sent        may send again
refused before it went out: no token for these keys   refused         raises the mapped error
401; 4xx or 200 with a code, in the provider's shape  refused         raises the mapped error
… of those: too many running, too many requests       try later       waits, may send again
200 in the provider's shape with a task id            accepted        hands out the task
anything else once a byte went out                    in doubt        never sends again: ticket
====================================================  ==============  ==========================
"""

from __future__ import annotations

import enum
from email.utils import parsedate_to_datetime

from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    NotSent,
    ProviderError,
    ProviderFault,
    RateLimited,
    TooManyRunning,
    UnexpectedResponse,
)
from avatarkit.models import RawResponse


class Outcome(enum.Enum):
    """The outcomes of one send of a submission."""

    ACCEPTED = "accepted"
    REFUSED = "rejected"
    TRY_LATER = "try later"
    NOT_SENT = "not sent"
    IN_DOUBT = "in doubt"


def judge(error: AvatarKitError | None, *, sent: bool) -> Outcome:
    """The outcome of one send.

    Args:
        error: what reading the answer or the exchange raised; None for a good answer.
        sent: whether a byte of the request may have reached the provider.

    """
    if error is None:
        return Outcome.ACCEPTED
    if not sent and isinstance(error, AuthenticationError):
        return Outcome.REFUSED  # it was the request for fresh credentials that was refused
    if not sent or isinstance(error, NotSent):
        return Outcome.NOT_SENT
    if isinstance(error, UnexpectedResponse):
        return Outcome.IN_DOUBT
    if isinstance(error, ProviderError):
        if error.http_status >= 500:
            # A gateway can say 502 or 504 while the provider behind it accepts, whatever the body claims.
            return Outcome.IN_DOUBT
        if isinstance(error, RateLimited | TooManyRunning):
            return Outcome.TRY_LATER
        return Outcome.REFUSED
    return Outcome.IN_DOUBT


def repeatable(error: AvatarKitError) -> bool:
    """Whether a request that is safe to repeat may succeed when sent again unchanged."""
    if isinstance(error, ProviderError):
        if isinstance(error, RateLimited | UnexpectedResponse):
            return error.http_status not in (400, 404, 405, 413)
        return error.retryable or (isinstance(error, ProviderFault) and error.http_status >= 500)
    return isinstance(error, ConnectionError | TimeoutError)


def retry_after(response: RawResponse) -> float | None:
    """Seconds the answer asks to wait: Retry-After as seconds or date, or the retry-after-ms some gateways send."""
    headers = response.headers
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            text = headers.get("retry-after")
            if not text:
                return None
            seconds = float(text) if not text[-1:].isalpha() else _until(text, headers.get("date"))
    except (ValueError, TypeError, OverflowError):
        return None
    return seconds if 0 <= seconds < 86400 else None


def _until(text: str, now: str | None) -> float:
    # Both dates come from the same machine, so our clock, which may be wrong, is not needed.
    if not now:
        raise ValueError("no Date header")
    return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(now)).total_seconds())
