"""Kling's signed tokens: the published form, their renewal, and a wrong clock."""

from __future__ import annotations

import base64
from email.utils import formatdate
from typing import Any

import orjson
import pytest

from avatarkit.errors import AuthenticationError, ProviderError
from avatarkit.models import RawResponse
from avatarkit.providers.kling.auth import KeyPairAuth

NOW = 1_700_000_000.0
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJBS19URVNUIiwiZXhwIjoxNzAwMDAxODAwLCJuYmYiOjE2OTk5OTk5OTV9"
    ".jGFg7t7xuWW8R776LhuKfuKvrAvUN-3uOwqWxOlyj_c"
)


def auth() -> KeyPairAuth:
    return KeyPairAuth("AK_TEST", "SK_TEST_0123456789abcdef01234567")


def claims(headers: Any) -> dict[str, Any]:
    body = headers["Authorization"].split(".")[1]
    found: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def refusal(code: str, server_time: float | None = None) -> ProviderError:
    headers = {} if server_time is None else {"date": formatdate(server_time, usegmt=True)}
    return AuthenticationError("no", code=code, http_status=401, response=RawResponse(401, headers, b""))


def test_a_token_has_the_published_form() -> None:
    """Header, claims iss, exp = now + 1800, nbf = now - 5, and the signature, byte for byte."""
    assert auth().headers(NOW) == {"Authorization": f"Bearer {VECTOR}"}


def test_a_token_is_used_until_a_minute_before_its_end() -> None:
    """The same headers serve 29 minutes; then there are new ones, good for 30 minutes again."""
    keys = auth()
    first = keys.headers(NOW)
    assert keys.headers(NOW + 1739.9) is first
    second = keys.headers(NOW + 1740)
    assert second != first
    assert claims(second)["exp"] == NOW + 1740 + 1800


def test_a_clock_that_was_put_back_makes_a_new_token() -> None:
    """A token from the future is not used on: the vendor would say that it is not valid yet."""
    keys = auth()
    keys.headers(NOW)
    assert claims(keys.headers(NOW - 3600))["nbf"] == NOW - 3600 - 5


@pytest.mark.parametrize(("code", "wrong"), [("1003", 420.0), ("1004", -7200.0)])
def test_the_vendor_s_own_clock_corrects_ours(code: str, wrong: float) -> None:
    """With our clock minutes ahead or hours behind, the next token is good at the time that the answer's Date told."""
    keys = auth()
    keys.headers(NOW + wrong)
    assert keys.rejected(refusal(code, NOW))
    found = claims(keys.headers(NOW + wrong + 1))
    assert found["nbf"] < NOW < found["exp"] - 1700


def test_without_a_date_a_token_begins_earlier() -> None:
    """After a 1003 whose answer has no Date the next token begins five minutes ago."""
    keys = auth()
    keys.headers(NOW)
    assert keys.rejected(refusal("1003"))
    assert claims(keys.headers(NOW))["nbf"] == NOW - 300


def test_what_cannot_be_corrected_is_not_tried_for_ever() -> None:
    """Requests in flight at the correction are cured too; a fresh token that is refused later is a refusal."""
    keys = auth()
    keys.headers(NOW)
    assert keys.rejected(refusal("1003"))
    keys.headers(NOW + 1)
    assert keys.rejected(refusal("1003"))
    keys.headers(NOW + 7)
    assert not keys.rejected(refusal("1003"))


def test_an_expired_token_that_was_used_for_a_while_is_replaced() -> None:
    """1004 on a token that is minutes old is cured by a new one, with no clock at fault."""
    keys = auth()
    keys.headers(NOW)
    keys.headers(NOW + 600)
    assert keys.rejected(refusal("1004", NOW + 600))
    assert claims(keys.headers(NOW + 600))["exp"] == NOW + 2400


@pytest.mark.parametrize("code", ["1000", "1001", "1002", "1100", "1304", ""])
def test_other_refusals_are_final(code: str) -> None:
    """Unknown keys are not cured by signing again."""
    keys = auth()
    keys.headers(NOW)
    assert not keys.rejected(refusal(code, NOW + 9999))


def test_keys_and_token_are_secrets() -> None:
    """Both keys and the present token are named as secrets, and none is shown."""
    keys = auth()
    keys.headers(NOW)
    secrets = [secret.reveal() for secret in keys.secrets()]
    assert secrets == ["AK_TEST", "SK_TEST_0123456789abcdef01234567", VECTOR]
    assert VECTOR not in repr(keys)
    assert keys.renewal(NOW) is None
    assert keys.query(NOW) == ""
