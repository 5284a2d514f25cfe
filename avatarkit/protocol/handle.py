"""The string form of a task handle: ``avk1.`` and base64url of a small JSON array.

It names provider, account (a fingerprint), kind, task id, submission time and size hint. It holds no secret; whoever
has the account's credentials can go on with the task.
"""

from __future__ import annotations

import base64
import binascii
import zlib

import attrs
import orjson

from avatarkit.errors import InvalidHandle
from avatarkit.models import Kind

_PREFIX = "avk1."
_LONGEST = 4096


@attrs.frozen(kw_only=True)
class Handle:
    """What a task token says.

    Attributes:
        born: when the task was submitted, seconds since 1970 (UTC).
        size: what its duration scales with (seconds of speech), or None.
        marker: the title or external id it was sent with.

    """

    provider: str
    account: str
    kind: Kind
    task_id: str
    born: float
    size: float | None = None
    marker: str = ""


def to_token(handle: Handle) -> str:
    """*handle* as one word of letters, digits, ``.``, ``-`` and ``_``."""
    fields = [
        handle.provider,
        handle.account,
        handle.kind.value,
        handle.task_id,
        round(handle.born, 3),
        handle.size,
        handle.marker,
    ]
    body = orjson.dumps(fields)
    check = zlib.crc32(body).to_bytes(4, "big")
    return _PREFIX + base64.urlsafe_b64encode(check + body).decode("ascii").rstrip("=")


def from_token(token: str) -> Handle:
    """What *token* says.

    Raises:
        InvalidHandle: it is no token, was cut or mistyped, or comes from a newer avatarkit.

    """
    text = token.strip() if isinstance(token, str) else ""
    if not text.startswith(_PREFIX) or len(text) > _LONGEST:
        raise InvalidHandle(
            "this is no task token: it must begin with avk1.", hint="Copy it whole from task.to_token()."
        )
    data = text[len(_PREFIX) :]
    try:
        raw = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
        if zlib.crc32(raw[4:]).to_bytes(4, "big") != raw[:4]:
            raise ValueError("checksum")
        provider, account, kind, task_id, born, size, marker = orjson.loads(raw[4:])
        return Handle(
            provider=str(provider),
            account=str(account),
            kind=Kind(kind),
            task_id=str(task_id),
            born=float(born),
            size=None if size is None else float(size),
            marker=str(marker),
        )
    except (ValueError, TypeError, binascii.Error):
        raise InvalidHandle(
            "this task token is damaged or was cut", hint="Copy it whole from task.to_token()."
        ) from None
