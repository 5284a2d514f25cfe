"""Signed URLs of the sandbox's second origin: one to PUT each upload to, one that expires for each result."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import attrs

from avatarkit.protocol.fakewire import FakeFile

_ACCESS_KEY = "SANDBOXKEY"
_LATEST = 2000  # a page of a list has a thousand at most
# A page of a list signs a thousand URLs, and of base64 nothing else needs to be quoted.
_QUOTED = str.maketrans({"+": "%2B", "/": "%2F", "=": "%3D"})


@attrs.frozen(kw_only=True)
class Refusal:
    """Why the storage refuses: HTTP status, its code and its words, answered as XML."""

    status: int
    code: str
    message: str

    def xml(self) -> bytes:
        """The body, in the shape of the object stores the vendors use."""
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>\n  <Code>{self.code}</Code>\n'
            f"  <Message>{self.message}</Message>\n  <RequestId>SANDBOX</RequestId>\n</Error>\n"
        ).encode()


_EXPIRED = Refusal(status=403, code="AccessDenied", message="Request has expired.")
_MISMATCH = Refusal(
    status=403,
    code="SignatureDoesNotMatch",
    message="The request signature we calculated does not match the signature you provided.",
)
NO_SUCH_KEY = Refusal(status=404, code="NoSuchKey", message="The specified key does not exist.")
WRONG_METHOD = Refusal(status=405, code="MethodNotAllowed", message="The method is not allowed here.")
TOO_LARGE = Refusal(status=400, code="EntityTooLarge", message="Your proposed upload is too large.")


class Links:
    """Signs and checks the URLs of one sandbox. *secret* never leaves the process."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._latest: dict[
            str, int
        ] = {}  # results' URLs that need no check: they were signed here a moment ago

    def _signature(self, *parts: str) -> str:
        digest = hmac.digest(self._secret, "\n".join(parts).encode(), "sha1")
        return base64.b64encode(digest).decode()

    def upload_path(self, file: FakeFile, expires: float) -> str:
        """Path and query to PUT *file* to. The key is percent-encoded and must come back exactly so."""
        signature = self._signature("PUT", file.content_type, str(int(expires)), file.raw_path)
        return _path(file.raw_path, expires, signature)

    def result_path(self, file: FakeFile, expires: float) -> str:
        """Path and query that serve *file* until *expires*."""
        path = f"/results/{file.id}.{file.extension}"
        signature = self._signature("GET", str(int(expires)), path)
        signed = _path(path, expires, signature)
        if len(self._latest) >= _LATEST:
            self._latest.clear()
        self._latest[signed] = int(expires)
        return signed

    def check_upload(
        self, file: FakeFile, raw: str, headers: Mapping[str, str], now: float
    ) -> Refusal | None:
        """Whether a PUT to *raw* (path and query as they came) may write *file*."""
        path, _, query = raw.partition("?")
        expires, signature = _signed(query)
        # A header of one's own becomes part of what the store would sign, so the signature cannot match.
        if "authorization" in headers or path != file.raw_path:
            return _MISMATCH
        sent_type = headers.get("content-type", "")
        wanted = self._signature("PUT", sent_type, str(expires), path)
        if not hmac.compare_digest(wanted.encode(), signature.encode()):
            return _MISMATCH
        return _EXPIRED if now > expires else None

    def check_result(self, raw: str, now: float) -> Refusal | None:
        """Whether a GET of *raw* may be served."""
        latest = self._latest.get(raw)
        if latest is not None:
            return _EXPIRED if now > latest else None
        path, _, query = raw.partition("?")
        expires, signature = _signed(query)
        wanted = self._signature("GET", str(expires), path)
        if not hmac.compare_digest(wanted.encode(), signature.encode()):
            return _MISMATCH
        return _EXPIRED if now > expires else None


def _path(path: str, expires: float, signature: str) -> str:
    return (
        f"{path}?Expires={int(expires)}&OSSAccessKeyId={_ACCESS_KEY}&Signature={signature.translate(_QUOTED)}"
    )


def _signed(query: str) -> tuple[int, str]:
    found = parse_qs(query)
    raw = found.get("Expires", ["0"])[-1]
    expires = int(raw) if raw.isascii() and raw.isdigit() and len(raw) < 15 else 0
    return expires, found.get("Signature", [""])[-1]


def result_id(path: str) -> str:
    """The file id in a result's path, ``""`` when it is none."""
    folder, _, name = urlsplit(path).path.rpartition("/")
    return name.rpartition(".")[0] if folder == "/results" else ""
