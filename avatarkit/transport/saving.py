"""Results into object stores: streamed from the provider, whole or not there at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from avatarkit.errors import AvatarKitError, DownloadFailed, InvalidRequest, UploadFailed
from avatarkit.transport.download import Downloaded
from avatarkit.transport.fetch import Fetch, Fetching, finished
from avatarkit.transport.partfile import Identity
from avatarkit.transport.progress import Meter
from avatarkit.transport.stores import Bucket, abandon, content_type_of, translated
from avatarkit.transport.threads import in_a_thread

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@attrs.frozen(kw_only=True)
class Stored(Downloaded):
    """A result in an object store.

    Attributes:
        path: the object's key, as a path.
        location: where it lies, e.g. ``s3://bucket/key.mp4``; without endpoint or credentials. In a store that was
            given as an object, its class stands for scheme and bucket: ``S3Store/key.mp4``.

    """

    location: str


def check_key(key: str) -> None:
    """Refuse what is no key in a store that was given as an object.

    Raises:
        InvalidRequest: a URL, or parts that no store takes.

    """
    if "://" in key:
        scheme = key.partition("://")[0]
        raise InvalidRequest(
            f"{scheme[:20]}:// found; with a store the path is a key in it, without scheme and bucket"
        )
    parts = key.removeprefix("/").removesuffix("/").split("/") if key.strip("/") else []
    if _CONTROL.search(key) or any(part in ("", ".", "..") for part in parts):
        raise InvalidRequest("the key in the store has empty parts, dotted ones, or control characters")


class StoreSink:
    """What a download writes to: one object, visible when it is finished. For one thread at a time; blocks."""

    def __init__(self, bucket: Bucket, key: str, content_type: str) -> None:
        self.have = 0
        self.identity = Identity()
        self._bucket = bucket
        self._key = key
        self._content_type = content_type
        self._writer: Any = None
        # The last byte waits here: a download may take it back, to see that it still is the same object.
        self._tail = b""

    def begin(self, identity: Identity) -> None:
        """Drop what was written: the bytes that follow are the first ones of *identity*."""
        self.abandon()
        self.have, self.identity, self._tail = 0, identity, b""

    def back(self, count: int) -> None:
        """Take back the last byte, or everything where more is asked for."""
        if count == 1 and self._tail:
            self._tail = b""
            self.have -= 1
        else:
            self.begin(Identity())

    def write(self, pieces: list[bytes]) -> None:
        """Append *pieces*. Raises DownloadFailed when the store refuses."""
        data = b"".join([self._tail, *pieces])
        self.have += len(data) - len(self._tail)
        self._tail = data[-1:]
        if len(data) > 1:
            self._guarded(lambda: self._open().write(data[:-1]))

    def finish(self) -> None:
        """Make the object visible. Raises DownloadFailed when the store refuses."""

        def close() -> None:
            writer = self._open()
            writer.write(self._tail)
            writer.close()

        self._guarded(close)

    def abandon(self) -> None:
        """Let nothing of it appear. Never raises."""
        writer, self._writer = self._writer, None
        if writer is not None:
            abandon(writer)

    def _open(self) -> Any:
        if self._writer is None:
            self._writer = self._bucket.writer(self._key, self._content_type)
        return self._writer

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except AvatarKitError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever obstore raises may quote the request
            failure = translated(error, str(self._bucket))
        else:
            return
        if isinstance(failure, UploadFailed):
            raise DownloadFailed(f"the result could not be stored: {failure}")
        raise failure


async def save_to_bucket(
    how: Fetching, url: str, bucket: Bucket, key: str, meter: Meter, *, overwrite: bool = False
) -> Stored:
    """Fetch *url* into the object *key*, through about 32 MiB of memory, and check its length there.

    A transfer that is cut goes on where it stopped; one that ends without success leaves nothing. It cannot be gone on
    with by a later call.

    Raises:
        InvalidRequest: the object exists (and not *overwrite*), or the store does not let us see whether it does.
        LinkExpired, DownloadFailed: it could not be fetched or stored whole.
        ConfigurationError, MissingCredentials: the store cannot be used like this.

    """
    begun = how.clock.monotonic()
    if not overwrite:
        await _check_free(bucket, key)
    sink = StoreSink(bucket, key, content_type_of(key.rpartition(".")[2].lower()))
    try:
        await Fetch(how, url, sink, meter).run()
        await _finish(sink)
    except BaseException:
        await finished(in_a_thread(sink.abandon))
        raise
    await _check_length(bucket, key, sink.have)
    return Stored(
        path=Path(key),
        location=f"{bucket}/{key}",
        size=sink.have,
        sha256="",
        seconds=how.clock.monotonic() - begun,
    )


async def _finish(sink: StoreSink) -> None:
    await finished(in_a_thread(sink.finish))


async def _check_free(bucket: Bucket, key: str) -> None:
    try:
        found = await bucket.head(key)
    except UploadFailed as error:
        if error.http_status != 403:
            raise DownloadFailed(f"the result cannot be stored: {error}") from None
        raise InvalidRequest(
            f"{bucket}/{key}: the credentials do not let us see whether it exists",
            hint="pass overwrite=True, or allow listing",
        ) from None
    if found is not None:
        raise InvalidRequest(f"{bucket}/{key}: exists already", hint="pass overwrite=True to replace it")


async def _check_length(bucket: Bucket, key: str, size: int) -> None:
    try:
        found = await bucket.head(key)
    except UploadFailed:
        return  # it was accepted whole; without the right to look there is nothing to compare
    if found is None or found.size != size:
        await bucket.delete(key)
        raise DownloadFailed(
            f"{bucket}/{key}: {size} bytes were stored, {found.size if found else 0} arrived"
        )
