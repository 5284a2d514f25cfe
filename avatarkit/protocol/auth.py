"""How an account proves itself, sans-I/O: what each request carries, and how a short-lived grant is renewed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import attrs

from avatarkit.protocol.redact import Secret

if TYPE_CHECKING:
    from avatarkit.errors import ProviderError
    from avatarkit.protocol.endpoint import Request


@attrs.frozen(kw_only=True)
class Grant:
    """A credential that the provider lends for a while.

    Attributes:
        text: the credential.
        seconds: how long it is good, from when it was given.
    """

    text: Secret
    seconds: float


class Auth(Protocol):
    """One account's credentials. *now* is always seconds since 1970, from the account's clock."""

    @property
    def constant(self) -> bool:
        """Whether :meth:`headers` never change, and nothing else is needed."""
        ...

    def secrets(self) -> tuple[Secret, ...]:
        """Everything that must not be shown, grants included."""
        ...

    def headers(self, now: float) -> Mapping[str, str]:
        """Headers that every request carries."""
        ...

    def query(self, now: float) -> str:
        """Query parameters that every request carries, ready and encoded, without ``?`` or ``&``; ``""`` for none."""
        ...

    def renewal(self, now: float) -> Request[Grant] | None:
        """The request that has to be answered before others can go out, or None when nothing is to be renewed.

        It goes out without :meth:`headers` and :meth:`query`.
        """
        ...

    def granted(self, grant: Grant, now: float) -> None:
        """Take a grant that :meth:`renewal` brought."""
        ...

    def rejected(self, error: ProviderError) -> bool:
        """The provider refused the credentials with *error*: whether renewing the grant may cure it.

        A True forgets the grant, so that :meth:`renewal` asks for one.
        """
        ...


class BearerAuth:
    """A token that never changes, in the Authorization header."""

    constant = True

    def __init__(self, token: str) -> None:
        self._secrets = (Secret(token),)
        self._headers = {"Authorization": f"Bearer {token}"}

    def secrets(self) -> tuple[Secret, ...]:
        """The token."""
        return self._secrets

    def headers(self, now: float) -> Mapping[str, str]:
        """The Authorization header."""
        return self._headers

    def query(self, now: float) -> str:
        """Nothing."""
        return ""

    def renewal(self, now: float) -> Request[Grant] | None:
        """Nothing is ever renewed."""
        return None

    def granted(self, grant: Grant, now: float) -> None:
        """Not called."""

    def rejected(self, error: ProviderError) -> bool:
        """A static token cannot be cured."""
        return False
