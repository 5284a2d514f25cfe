"""Signatures: of tokens for the vendors, of callbacks from them. Pure functions over bytes; time is passed in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import orjson


def guiji_sign(app_id: str, timestamp_ms: int, secret: str) -> str:
    """Guiji's token signature: MD5 of app id, milliseconds and secret in a row, 32 lower-case hexadecimal digits.

    Source: the vendor's "Interface Documentation", section on access tokens. MD5 is the vendor's choice.
    """
    text = f"{app_id}{timestamp_ms}{secret}"
    return hashlib.md5(text.encode("utf-8"), usedforsecurity=False).hexdigest()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def jwt_hs256(claims: dict[str, str | int], secret: str) -> str:
    """A JSON Web Token with the header ``{"alg":"HS256","typ":"JWT"}``."""
    head = _base64url(b'{"alg":"HS256","typ":"JWT"}')
    body = _base64url(orjson.dumps(claims))
    signed = f"{head}.{body}".encode("ascii")
    mark = hmac.new(secret.encode("utf-8"), signed, hashlib.sha256).digest()
    return f"{head}.{body}.{_base64url(mark)}"


def webhook_key(secret: str) -> bytes:
    """The key inside a Standard Webhooks secret (``whsec_`` and base64). Raises ValueError when it is none."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("a webhook secret is whsec_ followed by base64") from None


def webhook_signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """The ``v1`` signature of Standard Webhooks over the raw body."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    mark = hmac.new(key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(mark).decode("ascii")


def webhook_verified(
    key: bytes,
    *,
    message_id: str,
    timestamp: str,
    signatures: str,
    body: bytes,
    now: float,
    tolerance: float = 300.0,
) -> bool:
    """Whether one of the space-separated *signatures* fits, within *tolerance* seconds of *now*.

    Compared in constant time; during a rotation of the secret the provider sends two signatures.
    """
    if not timestamp.isascii() or not timestamp.isdigit() or len(timestamp) > 12:
        return False
    if abs(now - int(timestamp)) > tolerance or not message_id:
        return False
    expected = webhook_signature(key, message_id, timestamp, body).encode("ascii")
    found = False
    for signature in signatures.split()[:8]:
        found |= hmac.compare_digest(signature.encode("utf-8", "replace"), expected)
    return found
