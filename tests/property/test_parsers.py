"""Whatever a vendor, a gateway or an attacker answers: data or an AvatarKitError, never anything else."""

import pickle
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from avatarkit import providers
from avatarkit.errors import AvatarKitError, InvalidHandle, ProviderError
from avatarkit.models import Kind, RawResponse, Snapshot, Status
from avatarkit.protocol.endpoint import Accepted, Effect, Endpoint
from avatarkit.protocol.handle import Handle, from_token, to_token
from avatarkit.protocol.outcome import Outcome, judge, retry_after
from avatarkit.protocol.redact import Secret, scrub

ENDPOINTS = [
    pytest.param(provider, endpoint, id=f"{provider}-{endpoint.name}")
    for provider in providers.names()
    for endpoint in providers.spec(provider).endpoints
]
STATUSES = st.sampled_from(
    [200, 200, 200, 201, 204, 302, 400, 401, 402, 403, 404, 408, 413, 429, 500, 502, 504]
)
WORDS = st.sampled_from(
    [
        "code",
        "message",
        "msg",
        "data",
        "task_id",
        "status",
        "request_id",
        "avatar",
        "voice",
        "video_Url",
        "video_url",
        "demo_url",
        "duration",
        "left",
        "upload_url",
        "content_type",
        "file_id",
        "list",
        "type",
        "title",
        "extra",
        "rate",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(
        ["0", "3", "4", 0, 3, 4, 1001, "1002", "2003", "https://x.example/y", "1e400", "-1", "٣", " 3 "]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=6), inner, max_size=6)
    ),
    max_leaves=20,
)
BODIES = JSON.map(orjson.dumps) | st.binary(max_size=80) | JSON.map(lambda v: orjson.dumps(v)[:-1])


def read(provider: str, endpoint: Endpoint, response: RawResponse) -> Any:
    reader = providers.part(provider, "endpoints").read_any(endpoint)
    try:
        return reader(response)
    except AvatarKitError as error:
        return error


@pytest.mark.parametrize(("provider", "endpoint"), ENDPOINTS)
@settings(max_examples=120, deadline=None)
@given(status=STATUSES, body=BODIES)
@example(status=200, body=b"")
@example(status=200, body=b"null")
@example(status=200, body=b"[]")
@example(status=200, body=b'{"code":0}')
@example(status=200, body=b'{"code":true,"task_id":"x"}')
@example(status=401, body=b"Unauthorized")
@example(status=200, body=b'{"code":0,"task_id":"\xff"}')
@example(status=200, body=b'{"code":0,"data":' + b"[" * 200 + b"]" * 200 + b"}")
def test_any_answer_is_data_or_our_error(provider: str, endpoint: Endpoint, status: int, body: bytes) -> None:
    """A parser gives data or an AvatarKitError that prints, hides the body and survives pickling."""
    found = read(provider, endpoint, RawResponse(status, {"retry-after": "3"}, body))

    if isinstance(found, AvatarKitError):
        assert isinstance(found, ProviderError)
        assert found.provider == provider
        assert found.endpoint == endpoint.name
        assert str(found)
        again = pickle.loads(pickle.dumps(found))
        assert type(again) is type(found)
        assert str(again) == str(found)
        assert again.http_status == status


@pytest.mark.parametrize(
    ("provider", "endpoint"), [e for e in ENDPOINTS if e.values[1].effect is Effect.SUBMIT]
)
@settings(max_examples=150, deadline=None)
@given(status=STATUSES, body=BODIES)
def test_submission_is_accepted_only_with_an_id(
    provider: str, endpoint: Endpoint, status: int, body: bytes
) -> None:
    """No answer but a 200 or 201 with a task id counts as accepted; a 5xx is always in doubt."""
    found = read(provider, endpoint, RawResponse(status, {}, body))
    error = found if isinstance(found, AvatarKitError) else None
    outcome = judge(error, sent=True)

    if outcome is Outcome.ACCEPTED:
        assert isinstance(found, Accepted)
        assert found.task_id
        assert status in (200, 201)
    if status >= 500:
        assert outcome is Outcome.IN_DOUBT


@pytest.mark.parametrize("provider", providers.names())
@settings(max_examples=300, deadline=None)
@given(status=st.integers(-3, 400) | st.text(max_size=5), body=BODIES)
def test_unknown_status_is_never_an_end(provider: str, status: Any, body: bytes) -> None:
    """A status that the vendor does not document never counts as finished."""
    spec = providers.spec(provider)
    for kind in spec.kinds.values():
        request = kind.look("some id / ?&#")
        assert "some id" not in request.query
        payload = {
            "code": 0,
            "status": status,
            "video_Url": "https://x.example/v",
            "avatar": "a",
            "voice": "v",
        }
        found = read(provider, request.endpoint, RawResponse(200, {}, orjson.dumps(payload)))
        if isinstance(found, Snapshot) and found.status.terminal:
            assert str(status).strip() in ("3", "4")
        if isinstance(found, Snapshot) and found.status is Status.SUCCEEDED:
            assert found.result


HANDLES = st.builds(
    Handle,
    provider=st.text(max_size=10),
    account=st.text(max_size=10),
    kind=st.sampled_from(Kind),
    task_id=st.text(max_size=40),
    born=st.floats(0, 4e9).map(lambda x: round(x, 3)),
    size=st.none() | st.floats(0, 1e6),
    marker=st.text(max_size=20),
)


@given(handle=HANDLES)
def test_token_round_trip(handle: Handle) -> None:
    """A handle comes back from its token as it was, and the token is one word."""
    token = to_token(handle)

    assert from_token(token) == handle
    assert from_token(f"  {token}\n") == handle
    assert len(token.split()) == 1


@given(handle=HANDLES, position=st.integers(5, 500), letter=st.sampled_from("aZ0_-"))
def test_damaged_token_is_refused(handle: Handle, position: int, letter: str) -> None:
    """A token with one letter changed, or cut short, is refused instead of naming another task."""
    token = to_token(handle)
    position = position % (len(token) - 6) + 5
    damaged = token[:position] + letter + token[position + 1 :]
    try:
        read_back = from_token(damaged)
    except InvalidHandle:
        pass
    else:
        assert read_back == handle  # only bits of padding differed
    with pytest.raises(InvalidHandle):
        from_token(token[: max(5, position - 4)])


@given(text=st.text(max_size=80) | st.binary(max_size=60).map(lambda b: "avk1." + b.hex()))
def test_any_text_is_no_token(text: str) -> None:
    """Arbitrary text is refused with InvalidHandle."""
    with pytest.raises(InvalidHandle):
        from_token(text)


@given(
    header=st.text(st.characters(codec="ascii"), max_size=40)
    | st.sampled_from(["inf", "nan", "-1", "1e9", "0x1"])
)
def test_retry_after_is_a_sane_number_or_none(header: str) -> None:
    """Retry-After, whatever it says, is None or 0 to 86,400 seconds."""
    for name in ("retry-after", "retry-after-ms"):
        seconds = retry_after(RawResponse(429, {name: header, "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, b""))
        assert seconds is None or 0 <= seconds < 86400


def test_retry_after_date_counts_from_the_servers_clock() -> None:
    """An HTTP date is read against the answer's own Date, so a wrong local clock does no harm."""
    headers = {"retry-after": "Sat, 21 Nov 2026 10:00:07 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}

    assert retry_after(RawResponse(429, headers, b"")) == 7.0
    assert retry_after(RawResponse(429, {"retry-after-ms": "1500"}, b"")) == 1.5


SECRET = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=40)


@given(secret=SECRET, around=st.text(max_size=20))
def test_scrub_removes_secrets(secret: str, around: str) -> None:
    """The credential itself, bearer headers, query strings and user names in URLs are gone."""
    texts = [
        f"{around}{secret}{around}",
        f"Authorization: Bearer {secret}",
        f"GET https://h.example/p?access_token={secret}&x=1 failed",
        f"https://user:{secret}@h.example/p",
    ]
    for text in texts:
        assert secret not in scrub(text, [Secret(secret)]).replace(around, "") or secret in around
    for text in texts[1:]:
        assert secret not in scrub(text)
    assert secret not in repr(Secret(secret))
