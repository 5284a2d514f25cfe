"""How a Kling account proves itself with an access key and a secret key: a token signed here, from the clock.

An API key needs none of this: it is a :class:`~avatarkit.protocol.auth.BearerAuth`. Source: the vendor's document,
"Authentication" (header HS256, claims ``iss``, ``exp``, ``nbf``), and for the refusals 1003 and 1004 "Error codes".
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from avatarkit.protocol.redact import Secret
from avatarkit.protocol.signing import jwt_hs256

if TYPE_CHECKING:
    from avatarkit.errors import ProviderError
    from avatarkit.protocol.auth import Grant
    from avatarkit.protocol.endpoint import Request

LIFETIME: Final = 1800
"""Seconds a token is good for: the figure of the vendor's example; no maximum is published."""

MARGIN: Final = 5
"""Seconds that a token begins before now: the figure of the vendor's example."""

_WIDE_MARGIN: Final = 300
_RENEW_BEFORE: Final = 60.0
_IN_FLIGHT: Final = 5.0
_NOTICEABLE: Final = 2.0
_NOT_YET, _EXPIRED = "1003", "1004"


class KeyPairAuth:
    """An access key and a secret key. Each token is used for 29 minutes of its 30.

    When the vendor says that a token is not valid yet or has expired though it is fresh, this machine's clock is wrong:
    the answer's own Date header corrects it for this account, and tokens begin five minutes earlier from then on.
    """

    constant = False

    def __init__(self, access_key: str, secret_key: str) -> None:
        self._access_key = access_key
        self._secret_key = Secret(secret_key)
        self._headers: Mapping[str, str] = {}
        self._token: Secret | None = None
        self._begins = self._renew_at = self._asked_at = 0.0
        self._corrected_at = -_IN_FLIGHT
        self._ahead = 0.0  # the provider's clock minus ours, in seconds
        self._margin = MARGIN

    def secrets(self) -> tuple[Secret, ...]:
        """Both keys and the present token."""
        keys = (Secret(self._access_key), self._secret_key)
        return keys if self._token is None else (*keys, self._token)

    def headers(self, now: float) -> Mapping[str, str]:
        """The Authorization header, with a new token when the present one nears its end or the clock was put back."""
        self._asked_at = now
        if self._token is None or not self._begins <= now < self._renew_at:
            self._sign(now)
        return self._headers

    def _sign(self, now: float) -> None:
        moment = int(now + self._ahead)
        claims: dict[str, str | int] = {
            "iss": self._access_key,
            "exp": moment + LIFETIME,
            "nbf": moment - self._margin,
        }
        text = jwt_hs256(claims, self._secret_key.reveal())
        self._token = Secret(text)
        self._headers = {"Authorization": f"Bearer {text}"}
        # A second of tolerance: requests may ask for headers slightly out of order.
        self._begins, self._renew_at = now - 1.0, now + LIFETIME - _RENEW_BEFORE

    def query(self, now: float) -> str:
        """Nothing."""
        return ""

    def renewal(self, now: float) -> Request[Grant] | None:
        """Nothing has to be asked for: tokens are made here."""
        return None

    def granted(self, grant: Grant, now: float) -> None:
        """Not called."""

    def rejected(self, error: ProviderError) -> bool:
        """Whether a new token may cure *error*: only for "not valid yet" (1003) and "expired" (1004).

        Once nothing is left to correct, it does not: the same token made again would be refused again.
        """
        if error.code not in (_NOT_YET, _EXPIRED):
            return False
        before = (self._ahead, self._margin)
        told = _date(error)
        if told is not None:
            self._ahead = told - self._asked_at
        if error.code == _NOT_YET:
            self._margin = _WIDE_MARGIN
        changed = abs(self._ahead - before[0]) > _NOTICEABLE or self._margin != before[1]
        if changed or self._asked_at > self._begins + _RENEW_BEFORE:
            self._corrected_at = self._asked_at
        self._token = None
        # Requests that were under way with the old token are refused a moment later, and cured all the same.
        return self._asked_at - self._corrected_at < _IN_FLIGHT


def _date(error: ProviderError) -> float | None:
    text = error.response.headers.get("date") if error.response is not None else None
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
