"""Keeping secrets out of logs, reprs and messages."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

_QUERY = re.compile(r"(?i)(https?://[^\s\"'<>?#]+)[?#][^\s\"'<>]*")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{4,}")
_PAIR = re.compile(
    r"(?i)\b(access_token|token|api[_-]?key|secret|signature|sign|ossaccesskeyid|authorization)"
    r"([\"']?=[\"']?|[\"']?\s*:\s*[\"'])[^\s&\"',;}]+"
)
_USERINFO = re.compile(r"(?i)(https?://)[^/\s@]+@")


class Secret:
    """A credential that prints as ``***``. ``reveal()`` gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself; only for building a request."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> Any:
        raise TypeError("a credential cannot be pickled")


def scrub(text: str, secrets: Iterable[Secret] = ()) -> str:
    """*text* without query strings, bearer tokens, user names in URLs and the given secrets."""
    for secret in secrets:
        if len(secret.reveal()) >= 6:  # a shorter one would garble plain words, and no vendor gives such
            text = text.replace(secret.reveal(), "***")
    text = _USERINFO.sub(r"\1***@", text)
    text = _QUERY.sub(r"\1?***", text)
    text = _BEARER.sub(r"\1 ***", text)
    return _PAIR.sub(r"\1\2***", text)


def fingerprint(provider: str, *credentials: str) -> str:
    """Ten hexadecimal digits that tell accounts apart and reveal nothing of the credentials."""
    text = "\0".join(("avatarkit", provider, *credentials))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def signing_key(provider: str, *credentials: str) -> bytes:
    """The key that signs what the account hands out and takes back; only its credentials make it."""
    text = "\0".join(("avatarkit tokens", provider, *credentials))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
