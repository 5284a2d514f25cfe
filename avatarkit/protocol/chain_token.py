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
import zlib
from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from avatarkit.errors import InvalidHandle, SubmissionInDoubt
from avatarkit.models import Guard, Ticket
from avatarkit.protocol.plan import Step
from avatarkit.protocol.step_json import step_from_json, step_to_json

PREFIX = "avkc1."
_LONGEST = 256 * 1024
_UNPACKED = 1 << 20
_SIGNATURE = 16  # bytes
_WRONG = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What reading data of another shape than ours may raise."""


@attrs.frozen(kw_only=True)
class ChainHandle:
    """A chain as data.

    Attributes:
        name: unique; the steps' names are made from it.
        born: when its first step was submitted, seconds since 1970 (UTC).
        at: the step that is under way, from 0.
        task: the token of that step's task.
        made: what earlier steps made, by step.
        doubt: of a next step whose submission ended in doubt; it must not be sent again.

    """

    provider: str
    account: str
    name: str
    born: float
    steps: tuple[Step, ...]
    at: int = 0
    task: str = ""
    made: Mapping[int, Mapping[str, Any]] = attrs.field(factory=dict)
    doubt: Ticket | None = None

    def name_of(self, step: int) -> str:
        """What *step* is sent with where its arguments have no name."""
        return f"{self.name}-{step + 1}"

    def in_doubt(self) -> SubmissionInDoubt | None:
        """The doubt as an error, for whoever goes on with the chain."""
        ticket = self.doubt
        if ticket is None:
            return None
        return SubmissionInDoubt(
            f"{ticket.provider} {ticket.endpoint} may have been accepted before this token was made; "
            "it is not sent again",
            ticket=ticket,
            reason="as the chain's token says",
            hint="Look for it in the provider's console, by its name.",
        )


def to_chain_token(handle: ChainHandle, key: bytes) -> str:
    """*handle*, signed with *key*, as one word of letters, digits, ``.``, ``-`` and ``_``.

    Raises:
        InvalidHandle: a step holds material that cannot be written down, or is too long.

    """
    steps = [step_to_json(step) for step in handle.steps]
    made = {str(step): dict(things) for step, things in handle.made.items()}
    ticket = handle.doubt
    doubt = ticket and [ticket.endpoint, ticket.kind, ticket.marker, ticket.guard.value, ticket.sent_at]
    fields = [
        handle.provider,
        handle.account,
        handle.name,
        round(handle.born, 3),
        steps,
        handle.at,
        handle.task,
        made,
        doubt,
    ]
    try:
        body = orjson.dumps(fields)
    except TypeError:  # surrogates, numbers beyond 64 bits
        raise InvalidHandle("a later step holds a value that cannot be written down") from None
    packed = zlib.compress(body, 9)
    token = PREFIX + base64.urlsafe_b64encode(_sign(packed, key) + packed).decode("ascii").rstrip("=")
    if len(body) > _UNPACKED or len(token) > _LONGEST:
        raise InvalidHandle("this chain is too long for a token")
    return token


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
    except (*_WRONG, binascii.Error, zlib.error):
        raise InvalidHandle(
            "this token is damaged, was cut, or was made with other credentials",
            hint="Copy it whole from task.to_token(), and use the credentials it was made with.",
        ) from None


def claimed_provider(token: str) -> str:
    """Whose token it says it is, unchecked: enough to choose the client that then checks it.

    Raises:
        InvalidHandle: it does not say.

    """
    text = token.strip()
    data = text[len(PREFIX) :] if text.startswith(PREFIX) and len(text) <= _LONGEST else ""
    try:
        raw = base64.b64decode(data + "=" * (-len(data) % 4), altchars=b"-_", validate=True)
        return str(orjson.loads(zlib.decompressobj().decompress(raw[_SIGNATURE:], _UNPACKED))[0])
    except (*_WRONG, binascii.Error, zlib.error):
        raise InvalidHandle(
            "this token is damaged or was cut", hint="Copy it whole from task.to_token()."
        ) from None


def _handle(fields: list[Any]) -> ChainHandle:
    provider, account, name, born, steps, at, task, made, doubt = fields
    handle = ChainHandle(
        provider=str(provider),
        account=str(account),
        name=str(name),
        born=float(born),
        steps=tuple(map(step_from_json, steps)),
        at=int(at),
        task=str(task),
        made={int(step): dict(things) for step, things in made.items()},
        doubt=None if doubt is None else _ticket(str(provider), str(account), *doubt),
    )
    if not 0 <= handle.at < len(handle.steps):
        raise ValueError("no such step")
    return handle


def _ticket(
    provider: str, account: str, endpoint: Any, kind: Any, marker: Any, guard: Any, sent_at: Any
) -> Ticket:
    return Ticket(
        provider=provider,
        endpoint=str(endpoint),
        kind=str(kind),
        account=account,
        marker=str(marker),
        guard=Guard(guard),
        sent_at=float(sent_at),
    )
