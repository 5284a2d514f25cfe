"""Guiji's credentials: an access token, got with a signature, that travels in every request's query.

The token is good for two hours and renewed five minutes before its end. When the vendor refuses it all the same (40002,
40003, HTTP 401), it is forgotten and the request goes out once more with a new one: such a refusal comes before
anything is done. Whether a new token ends the old one is not documented, so all of an account's requests share one.

Source: the vendor's "Interface Documentation", section on access tokens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from avatarkit.errors import AuthenticationError, ProviderError
from avatarkit.protocol.auth import Grant
from avatarkit.protocol.endpoint import Request
from avatarkit.protocol.redact import Secret
from avatarkit.protocol.signing import guiji_sign
from avatarkit.providers.guiji import codes, limits
from avatarkit.providers.guiji import endpoints as ep
from avatarkit.providers.guiji import operations as ops

_SHORTEST: Final = (
    30.0  # seconds a token is used at least: one that is dead on arrival must not be renewed for ever
)


class GuijiAuth:
    """App id and secret, and the access token they were lent for. Used from one event loop at a time."""

    constant = False

    def __init__(self, app_id: str, secret: str) -> None:
        self._app_id = Secret(app_id)
        self._secret = Secret(secret)
        self._token: Secret | None = None
        self._latest: deque[Secret] = deque(maxlen=3)
        self._query = ""
        self._renew_at = 0.0

    def secrets(self) -> tuple[Secret, ...]:
        """App id, secret and the latest tokens: an error may still speak of the one before."""
        return (self._secret, self._app_id, *self._latest)

    def headers(self, now: float) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def query(self, now: float) -> str:
        """The access token."""
        return self._query

    def renewal(self, now: float) -> Request[Grant] | None:
        """The request for a token when there is none or the present one ends within five minutes."""
        if self._token is not None and now < self._renew_at:
            return None
        app_id, stamp = self._app_id.reveal(), int(now * 1000)
        return ep.token_request(app_id, stamp, guiji_sign(app_id, stamp, self._secret.reveal()))

    def granted(self, grant: Grant, now: float) -> None:
        """Take the new token. Of one with a short life the last quarter is left unused, not five minutes."""
        self._token = grant.text
        self._latest.append(grant.text)
        self._query = "access_token=" + quote(grant.text.reveal(), safe="")
        early = min(limits.TOKEN_EARLY_SECONDS, grant.seconds / 4)
        self._renew_at = now + max(_SHORTEST, grant.seconds - early)

    def rejected(self, error: ProviderError) -> bool:
        """Whether *error* refuses the token, not the credentials themselves; the token is then forgotten."""
        if error.endpoint == ops.TOKEN.name or not isinstance(error, AuthenticationError):
            return False
        if error.code not in codes.TOKEN_CODES and error.http_status != 401:
            return False
        self._token = None
        return True
