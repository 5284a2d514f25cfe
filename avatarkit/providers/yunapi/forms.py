"""Small ``multipart/form-data`` bodies without files, sans-I/O.

``agent_api.php`` takes all its values this way, looks included, and looks are made where nothing may touch a file.
Forms with files are made by ``transport.encode.MultipartBody``.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping

import orjson


class Form:
    """Text fields as a ``multipart/form-data`` body. The same fields give the same bytes.

    Attributes:
        content_type: with the boundary.
        size: bytes of the body.

    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        # A hash over the content cannot occur inside the content by accident.
        mark = hashlib.sha256(orjson.dumps(sorted(fields.items()))).hexdigest()[:32]
        lines = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        self._body = ("".join(lines) + f"--{mark}--\r\n").encode("utf-8", "replace")
        self.size = len(self._body)
        self.content_type = f"multipart/form-data; boundary={mark}"

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body in one piece; each call begins anew."""
        yield self._body
