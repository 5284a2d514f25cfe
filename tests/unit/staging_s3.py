"""A small object store that speaks S3 over real sockets: what obstore needs of it, and proper checks of signed URLs."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import hmac
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from aiohttp import web

KEY, SECRET, REGION = "AKIATEST", "s3cr3t-access-key", "us-east-1"


class S3:
    """Objects in memory. Requests need an Authorization header of KEY's, or a signature in the query that fits."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.acls: list[str] = []
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.pending: dict[str, str] = {}
        self.log: list[str] = []
        self.late = 0.0  # how many seconds its clock is ahead
        self.fail: dict[str, tuple[int, str]] = {}
        self.hold: asyncio.Event | None = None
        self.url = ""
        self._ids = itertools.count(1)

    def count(self, what: str) -> int:
        return sum(line.startswith(what) for line in self.log)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path, query = request.path.removeprefix("/bkt/"), request.query
        what = "PART" if "partNumber" in query else request.method
        self.log.append(f"{what} {path}")
        self.acls += request.headers.getall("x-amz-acl", [])
        if self.hold is not None and what in ("PUT", "PART"):
            await self.hold.wait()
        if what in self.fail:
            status, code = self.fail[what]
            return _error(status, code, f"StringToSign {request.headers.get('Authorization')} {SECRET}")
        if not self._allowed(request):
            return _error(403, "SignatureDoesNotMatch", SECRET)
        if request.method == "POST":
            return self._post(path, request, body)
        if request.method == "PUT":
            if "partNumber" in query:
                self.uploads[query["uploadId"]][int(query["partNumber"])] = body
            else:
                self._keep(path, body, request.headers.get("Content-Type", ""))
            return web.Response(headers={"ETag": f'"{len(body)}"'})
        if request.method == "DELETE":
            if "uploadId" in query:
                self.uploads.pop(query["uploadId"], None)
            else:
                self.objects.pop(path, None)
            return web.Response(status=204)
        return self._get(path)

    def _get(self, path: str) -> web.StreamResponse:
        if path not in self.objects:
            return _error(404, "NoSuchKey", path)
        headers = {
            "ETag": '"x"',
            "Last-Modified": "Tue, 22 Sep 2026 00:00:00 GMT",
            "Content-Type": self.types[path],
        }
        return web.Response(body=self.objects[path], headers=headers)

    def _post(self, path: str, request: web.Request, body: bytes) -> web.StreamResponse:
        root = '<?xml version="1.0" encoding="UTF-8"?>'
        if "uploads" in request.query:
            upload = f"up{next(self._ids)}"
            self.uploads[upload] = {}
            self.pending[upload] = request.headers.get("Content-Type", "")
            name = "InitiateMultipartUploadResult"
            text = f"<{name}><Bucket>bkt</Bucket><Key>k</Key><UploadId>{upload}</UploadId></{name}>"
        else:
            upload = request.query["uploadId"]
            parts = self.uploads.pop(upload)
            numbers = [int(n) for n in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
            assert numbers == sorted(parts)
            assert all(len(parts[number]) >= 5 << 20 for number in numbers[:-1])
            self._keep(path, b"".join(parts[number] for number in numbers), self.pending[upload])
            name = "CompleteMultipartUploadResult"
            text = f'<{name}><Location>x</Location><Bucket>bkt</Bucket><Key>k</Key><ETag>"e"</ETag></{name}>'
        return web.Response(text=root + text, content_type="application/xml")

    def _keep(self, path: str, body: bytes, content_type: str) -> None:
        self.objects[path], self.types[path] = body, content_type

    def _allowed(self, request: web.Request) -> bool:
        if "X-Amz-Signature" not in request.query:
            return f"Credential={KEY}/" in request.headers.get("Authorization", "")
        query = dict(request.query)
        signature = query.pop("X-Amz-Signature")
        stamp = query["X-Amz-Date"]
        signed_at = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
        age = datetime.datetime.now(datetime.UTC).timestamp() + self.late - signed_at.timestamp()
        names = "&".join(f"{quote(k, '')}={quote(v, '')}" for k, v in sorted(query.items()))
        path = request.rel_url.raw_path
        canonical = f"{request.method}\n{path}\n{names}\nhost:{request.host}\n\nhost\nUNSIGNED-PAYLOAD"
        scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{SECRET}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        wanted = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted, signature) and age <= int(query["X-Amz-Expires"])


def _error(status: int, code: str, message: str) -> web.Response:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return web.Response(status=status, text=text, content_type="application/xml")


@asynccontextmanager
async def s3_server() -> AsyncIterator[S3]:
    """The store, listening on loopback."""
    s3 = S3()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", s3.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    s3.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield s3
    finally:
        await runner.cleanup()
