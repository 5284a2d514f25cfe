"""The string form of a chain in the middle: ``avkc1.`` and base64url of compressed JSON.

It says which steps there are, which one is under way and as which task, what the earlier ones made, and what later ones
are to be sent. Local files go by their path, so such a token resumes where the path means the same.

Whoever resumes it spends money and may send local files, so it is signed with a key that is made from the account's
credentials: nobody else can make one up.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import orjson

from avatarkit.errors import InvalidHandle
from avatarkit.models import Avatar, Kind, Subtitle, UploadedFile, Voice
from avatarkit.protocol.plan import Made, Step

PREFIX = "avkc1."
_LONGEST = 256 * 1024
_UNPACKED = 1 << 20
_SIGNATURE = 16  # bytes


@attrs.frozen(kw_only=True)
class ChainHandle:
    """A chain as data.

    Attributes:
        name: unique; the steps' names are made from it.
        born: when its first step was submitted, seconds since 1970 (UTC).
        at: the step that is under way, from 0.
        task: the token of that step's task.
        made: what earlier steps made, by step.

    """

    provider: str
    account: str
    name: str
    born: float
    steps: tuple[Step, ...]
    at: int = 0
    task: str = ""
    made: Mapping[int, Mapping[str, Any]] = attrs.field(factory=dict)

    def name_of(self, step: int) -> str:
        """What *step* is sent with where its arguments have no name."""
        return f"{self.name}-{step + 1}"


def to_chain_token(handle: ChainHandle, key: bytes) -> str:
    """*handle*, signed with *key*, as one word of letters, digits, ``.``, ``-`` and ``_``.

    Raises:
        InvalidHandle: a step holds material that cannot be written down, or is too long.

    """
    steps = [
        [
            step.operation,
            step.makes and step.makes.value,
            step.named_by,
            _plain(dict(step.arguments)),
            dict(step.keeps),
        ]
        for step in handle.steps
    ]
    made = {str(step): dict(things) for step, things in handle.made.items()}
    fields = [
        handle.provider,
        handle.account,
        handle.name,
        round(handle.born, 3),
        steps,
        handle.at,
        handle.task,
        made,
    ]
    body = orjson.dumps(fields)
    if len(body) > _UNPACKED:
        raise InvalidHandle("this chain is too long for a token")
    packed = zlib.compress(body, 9)
    return PREFIX + base64.urlsafe_b64encode(_sign(packed, key) + packed).decode("ascii").rstrip("=")


def _sign(packed: bytes, key: bytes) -> bytes:
    return hmac.new(key, packed, hashlib.sha256).digest()[:_SIGNATURE]


def from_chain_token(token: str, key: bytes) -> ChainHandle:
    """What *token*, which was signed with *key*, says.

    Raises:
        InvalidHandle: it is no token of a chain, was cut or mistyped, was made with other credentials, or comes from a
            newer avatarkit.

    """
    text = token.strip() if isinstance(token, str) else ""
    if not text.startswith(PREFIX) or len(text) > _LONGEST:
        raise InvalidHandle(f"this is no chain's token: it must begin with {PREFIX}")
    data = text[len(PREFIX) :]
    try:
        raw = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
        if not hmac.compare_digest(_sign(raw[_SIGNATURE:], key), raw[:_SIGNATURE]):
            raise ValueError("signature")
        unpack = zlib.decompressobj()
        body = unpack.decompress(raw[_SIGNATURE:], _UNPACKED)
        if unpack.unconsumed_tail:
            raise ValueError("too long")
        return _handle(orjson.loads(body))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, binascii.Error, zlib.error):
        raise InvalidHandle(
            "this token is damaged, was cut, or was made with other credentials",
            hint="Copy it whole from task.to_token(), and use the credentials it was made with.",
        ) from None


def _handle(fields: list[Any]) -> ChainHandle:
    provider, account, name, born, steps, at, task, made = fields
    handle = ChainHandle(
        provider=str(provider),
        account=str(account),
        name=str(name),
        born=float(born),
        steps=tuple(
            Step(
                operation=str(operation),
                makes=None if makes is None else Kind(makes),
                named_by=str(named_by),
                arguments={str(key): _lively(value) for key, value in arguments.items()},
                keeps={str(key): str(value) for key, value in keeps.items()},
            )
            for operation, makes, named_by, arguments, keeps in steps
        ),
        at=int(at),
        task=str(task),
        made={int(step): dict(things) for step, things in made.items()},
    )
    if not 0 <= handle.at < len(handle.steps):
        raise ValueError("no such step")
    return handle


def _plain(value: Any) -> Any:
    """*value* as JSON; what is no JSON becomes an object with one key that begins with ``$``."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Made):
        return {"$made": [value.step, value.name]}
    if isinstance(value, Avatar | Voice):
        return value.id
    if isinstance(value, UploadedFile):
        return {"$file": [value.id, value.sha256, value.size]}
    if isinstance(value, Subtitle):
        return {"$subtitle": attrs.asdict(value)}
    if isinstance(value, os.PathLike):
        return {"$path": str(Path(os.fspath(value)).absolute())}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    raise InvalidHandle(
        f"a later step of this chain needs a {type(value).__name__}, which no token can hold",
        hint="Give material as a path or a URL.",
    )


def _lively(value: Any) -> Any:
    if isinstance(value, list):
        return [_lively(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$made" in value:
        return Made(int(value["$made"][0]), str(value["$made"][1]))
    if "$file" in value:
        file_id, sha256, size = value["$file"]
        return UploadedFile(id=str(file_id), sha256=str(sha256), size=int(size))
    if "$subtitle" in value:
        return Subtitle(**value["$subtitle"])
    if "$path" in value:
        return Path(str(value["$path"]))
    return {str(key): _lively(item) for key, item in value.items()}
