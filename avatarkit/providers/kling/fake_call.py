"""What every Kling operation of the fake needs: who calls, what is in the body, and the vendor's refusals."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import orjson

from avatarkit.protocol.fakewire import FakeAccount, FakeFile, FakeRequest, FakeResponse, World, json_response
from avatarkit.providers.kling.fake_sound import length_of

PROVIDER: Final = "kling"
_MB: Final = 1024 * 1024

MESSAGES: Final[Mapping[int, tuple[int, str]]] = {
    1000: (401, "Authentication failed"),
    1001: (401, "Authorization is empty"),
    1002: (401, "api key not found"),
    1003: (401, "Authorization is not active yet"),
    1004: (401, "Authorization has expired"),
    1100: (429, "Account status abnormal"),
    1101: (429, "Account in arrears"),
    1102: (429, "Account balance not enough"),
    1103: (403, "No permission for this API"),
    1200: (400, "Invalid request parameters"),
    1201: (400, "Invalid parameter"),
    1202: (404, "Request method is invalid"),
    1203: (404, "Resource not found"),
    1300: (400, "Blocked by the platform"),
    1301: (400, "Content security check not passed"),
    1302: (429, "Too many requests"),
    1303: (429, "parallel task over resource pack limit"),
    1304: (429, "IP is not on the whitelist"),
    5000: (500, "Internal error"),
    5001: (503, "Service under maintenance"),
    5002: (504, "Internal timeout"),
}


class Refused(Exception):
    """The vendor says no: *code*, with its usual HTTP status, and *message* or the usual one."""

    def __init__(self, code: int, message: str = "") -> None:
        self.code = code
        self.message = message


def refusal(request_id: str, code: int, message: str = "") -> FakeResponse:
    """A refusal: there is no ``data``."""
    status, usual = MESSAGES[code]
    body = {"code": code, "message": message or usual, "request_id": request_id}
    return json_response(body, status=status)


def digits(raw: bytes) -> str:
    """Eighteen digits, the shape of the vendor's ids."""
    return str(10**17 + int.from_bytes(raw[:8]) % (9 * 10**17))


# -- who calls ----------------------------------------------------------------------------------------------------


@attrs.frozen
class Caller:
    """An account, and whether it came with an API key or with a signed token."""

    account: FakeAccount
    signed: bool


def caller_of(request: FakeRequest, world: World) -> Caller:
    """Who sent *request*; raises Refused when nobody that is known."""
    header = request.headers.get("authorization", "").strip()
    if not header:
        raise Refused(1001)
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Refused(1002)
    account = world.account(PROVIDER, token)
    if account is not None:
        return Caller(account, signed=False)
    if token.count(".") == 2:
        return Caller(_signer(token, world), signed=True)
    raise Refused(int(world.switch(PROVIDER, "auth_code")))


def _signer(token: str, world: World) -> FakeAccount:
    head, body, mark = token.split(".")
    try:
        header, claims = orjson.loads(_unbase64url(head)), orjson.loads(_unbase64url(body))
        found, issuer = _unbase64url(mark), claims.get("iss")
        begins, ends = float(claims.get("nbf", 0)), float(claims["exp"])
        account = world.account(PROVIDER, issuer) if isinstance(issuer, str) else None
        algorithm = header.get("alg")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Refused(1002, "Authorization is invalid") from None
    if account is None or not account.secret or algorithm != "HS256":
        raise Refused(1002, "Authorization is invalid")
    wanted = hmac.new(account.secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    if not hmac.compare_digest(found, wanted):
        raise Refused(1002, "Authorization signature is invalid")
    leeway = float(world.switch(PROVIDER, "clock_leeway", account))
    if begins > world.now() + leeway:
        raise Refused(1003)
    if ends <= world.now() - leeway:
        raise Refused(1004)
    return account


def _unbase64url(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


# -- what is in the body ------------------------------------------------------------------------------------------


def bad(field: str) -> Refused:
    """A field is wrong."""
    return Refused(1201, f"The {field} parameter is invalid")


def text_of(body: Mapping[str, Any], name: str, limit: int, *, required: bool = False) -> str:
    """A string field; absent, null and empty are all ``""``."""
    value = body.get(name)
    if value is None:
        value = ""
    if not isinstance(value, str) or len(value) > limit or (required and not value.strip()):
        raise bad(name)
    return value


def number_of(
    body: Mapping[str, Any], name: str, low: float, high: float, default: float | None = None
) -> float:
    """A number field within bounds; one without a default is required."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise bad(name)
    return float(value)


def millis_of(body: Mapping[str, Any], name: str) -> int:
    """A required field of whole milliseconds."""
    value = body.get(name)
    if type(value) is not int or not 0 <= value < 10**9:
        raise bad(name)
    return value


def page_of(query: Mapping[str, str]) -> tuple[int, int]:
    """Page number and size of a list."""
    found = []
    for name, default, most in (("pageNum", 1, 1000), ("pageSize", 30, 500)):
        raw = query.get(name) or str(default)
        if len(raw) > 9 or not raw.isascii() or not raw.isdigit() or not 1 <= int(raw) <= most:
            raise Refused(1200, f"The {name} parameter is out of range")
        found.append(int(raw))
    return found[0], found[1]


@attrs.frozen
class Given:
    """A file that a body gave by URL or as base64.

    Attributes:
        file: the sandbox's own file behind a URL, else None.
        data: the decoded bytes, ``b""`` when there was a URL.
    """

    file: FakeFile | None = None
    data: bytes = b""


def media_of(
    world: World, body: Mapping[str, Any], field: str, most: int, kind_of: Callable[[bytes], str]
) -> Given:
    """A URL or bare base64; *kind_of* names what bytes are, ``""`` for what is not taken."""
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise bad(field)
    if value[:8].lower().startswith(("http://", "https://")):
        found = world.resolve(value)
        if found.own and (found.file is None or not found.file.uploaded):
            raise Refused(1201, f"The {field} file could not be fetched")
        return Given(file=found.file)
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(1201, f"The {field} base64 is invalid") from None
    if len(data) > most:
        raise Refused(1201, f"The {field} file is too large")
    if not kind_of(data):
        raise Refused(1201, f"The {field} file format is not supported")
    return Given(data=data)


def picture_kind(data: bytes) -> str:
    """``png`` or ``jpg``, or ``""``."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    return "jpg" if data.startswith(b"\xff\xd8\xff") else ""


def check_picture(data: bytes) -> None:
    """Sides of a PNG; a JPEG's are not looked for."""
    if picture_kind(data) != "png" or len(data) < 24:
        return
    width, height = struct.unpack(">II", data[16:24])
    if min(width, height) < 300 or not 1 / 2.5 <= width / height <= 2.5:
        raise Refused(1201, "The resolution or aspect ratio of the input image is invalid")


def sound_seconds(given: Given) -> float:
    """How long a sound is, by its frames where it came inside the body; ten seconds for foreign URLs."""
    if given.file is not None:
        return given.file.seconds or 10.0
    if not given.data:
        return 10.0
    seconds = length_of(given.data)
    if seconds is None:
        raise Refused(1201, "The sound_file audio cannot be read")
    return seconds


PICTURE_BYTES: Final = 10 * _MB
SOUND_BYTES: Final = 5 * _MB
BODY_BYTES: Final = 21 * _MB
"""A picture and a sound of the largest size as base64, and the rest of the body."""
