"""Guiji's access token: how it is asked for, kept, renewed and forgotten."""

from __future__ import annotations

import pickle

import orjson
import pytest

from avatarkit.errors import AuthenticationError, ProviderError, ProviderFault, UnexpectedResponse
from avatarkit.models import RawResponse
from avatarkit.protocol.auth import Grant
from avatarkit.protocol.redact import Secret, scrub
from avatarkit.providers.guiji import answers
from avatarkit.providers.guiji import operations as ops
from avatarkit.providers.guiji.auth import GuijiAuth

NOW = 1_700_000_000.0
TOKEN = "3b0c7f5e-1c0a-4f9c-9a52-0d8f3f7a1b11"


def _auth(seconds: float = 7199.0) -> GuijiAuth:
    auth = GuijiAuth("AK_TEST", "SK_TEST")
    auth.granted(Grant(text=Secret(TOKEN), seconds=seconds), NOW)
    return auth


def _answer(data: object, status: int = 200, **more: object) -> RawResponse:
    return RawResponse(status, {}, orjson.dumps({"code": "0", "success": True, "data": data, **more}))


def test_the_request_for_a_token_is_the_documented_one() -> None:
    """A GET with four parameters; the signature is the specification's test vector."""
    request = GuijiAuth("AK_TEST", "SK_TEST").renewal(NOW)
    assert request is not None
    assert (request.endpoint.method, request.endpoint.path) == ("GET", "/openapi/oauth/token")
    assert request.query == (
        "grant_type=sign&appId=AK_TEST&timestamp=1700000000000&sign=997174d9d3b64238ae54744e97d0fceb"
    )
    assert request.body is None


def test_an_app_id_with_signs_of_its_own_is_quoted() -> None:
    """What is special in a query string does not break it."""
    request = GuijiAuth("a&b=c", "s").renewal(NOW)
    assert request is not None
    assert "appId=a%26b%3Dc&" in request.query


def test_a_token_travels_in_the_query_and_nowhere_else() -> None:
    """``access_token=`` in every query, no header."""
    assert _auth().query(NOW) == f"access_token={TOKEN}"
    assert _auth().headers(NOW) == {}


def test_a_token_is_renewed_five_minutes_before_its_end() -> None:
    """Not a second earlier."""
    auth = _auth()
    assert auth.renewal(NOW + 7199 - 301) is None
    assert auth.renewal(NOW + 7199 - 299) is not None


def test_a_short_token_is_used_for_three_quarters_and_a_dead_one_for_a_while() -> None:
    """A life below the five minutes does not mean a renewal before each request."""
    assert _auth(400).renewal(NOW + 299) is None
    assert _auth(400).renewal(NOW + 301) is not None
    assert _auth(0.001).renewal(NOW + 29) is None


@pytest.mark.parametrize(("code", "status"), [("40002", 200), ("40003", 200), ("", 401), ("9", 401)])
def test_a_refused_token_is_forgotten(code: str, status: int) -> None:
    """The next request asks for a new one; a second refusal for the old one changes nothing."""
    auth = _auth()
    error = AuthenticationError("no", endpoint="videos.get", code=code, http_status=status)
    assert auth.rejected(error)
    assert auth.renewal(NOW) is not None
    assert auth.rejected(error)


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("no", endpoint=ops.TOKEN.name, code="40002", http_status=200),
        AuthenticationError("no", endpoint="videos.get", code="40099", http_status=200),
        ProviderFault("no", endpoint="videos.get", code="40001", http_status=200),
    ],
)
def test_other_refusals_leave_the_token_alone(error: ProviderError) -> None:
    """Refused credentials, and faults, are not cured by another token."""
    auth = _auth()
    assert not auth.rejected(error)
    assert auth.renewal(NOW) is None


def test_everything_secret_is_scrubbed_also_the_token_before() -> None:
    """App id, secret, the present and the previous token are gone from any text."""
    auth = _auth()
    auth.granted(Grant(text=Secret("another-token-1"), seconds=7199), NOW)
    shown = scrub(f"AK_TEST SK_TEST {TOKEN} another-token-1", auth.secrets())
    assert shown == "*** *** *** ***"
    assert "TEST" not in repr(auth)


def test_the_answer_is_read_as_other_clients_read_it() -> None:
    """Seconds as number or text; without them the documented two hours."""
    read = answers.read_token
    assert read(_answer({"access_token": TOKEN, "expires_in": "7199"})) == Grant(
        text=Secret(TOKEN), seconds=7199
    )
    assert read(_answer({"access_token": TOKEN})).seconds == 7200
    assert read(_answer({"access_token": TOKEN, "expires_in": 0})).seconds == 7200


@pytest.mark.parametrize(
    ("body", "status", "cls"),
    [
        ({"code": "40002", "success": False}, 200, AuthenticationError),
        ({"code": "40555", "success": False}, 200, AuthenticationError),
        ({"code": "40001", "success": False}, 200, ProviderFault),
        ({"code": "0", "success": True, "data": {"access_token": " "}}, 200, UnexpectedResponse),
        ({"code": "0", "success": True, "data": {"access_token": "a\nb"}}, 200, UnexpectedResponse),
        ({"code": "0", "success": True, "data": None}, 200, UnexpectedResponse),
        ({"code": "0", "success": True, "data": {"access_token": TOKEN}}, 201, UnexpectedResponse),
    ],
)
def test_no_token_is_a_clear_error(body: object, status: int, cls: type[ProviderError]) -> None:
    """A code of no table means refused credentials here; the error keeps no answer that may hold a token."""
    with pytest.raises(ProviderError) as caught:
        answers.read_token(RawResponse(status, {}, orjson.dumps(body)))
    assert type(caught.value) is cls
    assert caught.value.endpoint == "token"
    assert TOKEN.encode() not in pickle.dumps(caught.value)


def test_a_cut_answer_does_not_show_its_token() -> None:
    """Half an answer is quoted in most errors, but not here."""
    with pytest.raises(UnexpectedResponse) as caught:
        answers.read_token(RawResponse(200, {}, b'{"data":{"access_token":"' + TOKEN.encode()))
    assert TOKEN[:8] not in str(caught.value)
    assert TOKEN[:8].encode() not in pickle.dumps(caught.value)
