"""The truth table of submissions: when may money be spent again."""

from __future__ import annotations

import pytest

from avatarkit import errors
from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    BadRequest,
    ClientClosed,
    DeadlineExceeded,
    EntitlementError,
    InsufficientCredits,
    InvalidRequest,
    MediaRejected,
    ModerationRefused,
    NotFound,
    NotSent,
    ProviderError,
    ProviderFault,
    RateLimited,
    TooManyRunning,
    TransportError,
    UnexpectedResponse,
)
from avatarkit.models import RawResponse
from avatarkit.protocol.outcome import Outcome, judge, repeatable, retry_after

_REFUSING = (
    AuthenticationError,
    EntitlementError,
    InsufficientCredits,
    BadRequest,
    MediaRejected,
    ModerationRefused,
    NotFound,
    ProviderFault,
)
_STATUSES = (200, 201, 301, 400, 401, 403, 404, 409, 413, 422, 429, 499)
_FAULTS = (500, 501, 502, 503, 504, 520, 599)


def test_credentials_refused_before_the_submission_went_out_are_a_refusal() -> None:
    """No token is lent for these keys: sending again would ask with the same keys, and nothing is in doubt."""
    assert judge(AuthenticationError("x", http_status=401), sent=False) is Outcome.REFUSED
    assert judge(RateLimited("x", http_status=429), sent=False) is Outcome.NOT_SENT


def test_a_good_answer_is_accepted_whatever_else() -> None:
    """No error: accepted."""
    assert judge(None, sent=True) is Outcome.ACCEPTED


@pytest.mark.parametrize(
    "error",
    [
        *(
            cls("x", http_status=500)
            for cls in (*_REFUSING[1:], RateLimited, TooManyRunning, UnexpectedResponse)
        ),
        TransportError("x"),
        NotSent("x"),
        AvatarKitError("x"),
        DeadlineExceeded("x"),
        ClientClosed("x"),
        InvalidRequest("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_nothing_sent_is_nothing_sent(error: AvatarKitError) -> None:
    """As long as no byte left, no error makes a doubt."""
    assert judge(error, sent=False) is Outcome.NOT_SENT


@pytest.mark.parametrize("cls", _REFUSING, ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("status", _STATUSES)
def test_a_clear_refusal_is_one(cls: type[ProviderError], status: int) -> None:
    """In the provider's own shape and below 500: refused, also with HTTP 200 or 401."""
    assert judge(cls("x", http_status=status), sent=True) is Outcome.REFUSED


@pytest.mark.parametrize("cls", [RateLimited, TooManyRunning], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("status", _STATUSES)
def test_full_and_fast_are_tried_later(cls: type[ProviderError], status: int) -> None:
    """Too many running and too many requests: the same request may be sent again later."""
    assert judge(cls("x", http_status=status), sent=True) is Outcome.TRY_LATER


@pytest.mark.parametrize(
    "cls", [*_REFUSING, RateLimited, TooManyRunning, UnexpectedResponse], ids=lambda cls: cls.__name__
)
@pytest.mark.parametrize("status", _FAULTS)
def test_a_server_s_fault_is_always_a_doubt(cls: type[ProviderError], status: int) -> None:
    """From 500 up the provider behind the gateway may have accepted, whatever the body claims."""
    assert judge(cls("x", http_status=status), sent=True) is Outcome.IN_DOUBT


@pytest.mark.parametrize("status", [0, *_STATUSES, *_FAULTS])
def test_an_answer_in_no_known_shape_is_always_a_doubt(status: int) -> None:
    """HTML, cut JSON, a missing id: nobody knows."""
    assert judge(UnexpectedResponse("x", http_status=status), sent=True) is Outcome.IN_DOUBT


@pytest.mark.parametrize(
    "error",
    [TransportError("x"), AvatarKitError("x"), DeadlineExceeded("x"), ClientClosed("x"), InvalidRequest("x")],
    ids=lambda error: type(error).__name__,
)
def test_no_answer_is_a_doubt(error: AvatarKitError) -> None:
    """Whatever kept the answer away: the request may have arrived."""
    assert judge(error, sent=True) is Outcome.IN_DOUBT


def test_no_error_class_is_forgotten() -> None:
    """Each class an exchange can end in has an outcome, and only two may be sent again after they went out."""
    classes = [
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, ProviderError) and cls is not ProviderError
    ]
    again = {cls for cls in classes if judge(cls("x", http_status=200), sent=True) is Outcome.TRY_LATER}
    assert again == {RateLimited, TooManyRunning}
    assert len(classes) >= 11


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (TransportError("x"), True),
        (NotSent("x"), True),
        (RateLimited("x", http_status=429), True),
        (RateLimited("x", http_status=200), True),
        (UnexpectedResponse("x", http_status=200), True),
        (UnexpectedResponse("x", http_status=404), False),
        (UnexpectedResponse("x", http_status=413), False),
        (ProviderFault("x", http_status=503), True),
        (ProviderFault("x", http_status=200), False),
        (ProviderFault("x", http_status=200, retryable=True), True),
        (AuthenticationError("x", http_status=401), False),
        (NotFound("x", http_status=200), False),
        (InsufficientCredits("x", http_status=200), False),
        (InvalidRequest("x"), False),
        (ClientClosed("x"), False),
    ],
)
def test_what_is_safe_is_repeated_only_when_it_can_help(error: AvatarKitError, wanted: bool) -> None:
    """Faults of the line and the server are repeated, refusals are not."""
    assert repeatable(error) is wanted


_DATE = "Sat, 21 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "99999999"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "3"}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": _DATE}, 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": _DATE}, 0.0),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "Sat, 99 Nov 2026 10:00:30 GMT", "date": _DATE}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds, a date measured by the server's own clock; nonsense counts as nothing."""
    assert retry_after(RawResponse(429, headers, b"")) == seconds
