"""Object stores behind one small face: S3 and its kin, Google Cloud Storage, Azure, through obstore.

obstore's blocking calls run in threads of our own. Its async ones complete outside the event loop's sight, which a
virtual-time loop could not wait for; and a slow store must not take the threads that files are read with. obstore is
imported on first use. Its errors quote requests and answers, so they are replaced and never chained.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import re
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import attrs

from avatarkit.errors import (
    AvatarKitError,
    ConfigurationError,
    MissingCredentials,
    MissingExtra,
    UploadFailed,
)
from avatarkit.transport.store_urls import Location, make_store

CONTENT_TYPES: Mapping[str, str] = {
    "mp4": "video/mp4", "m4v": "video/mp4", "mov": "video/quicktime", "webm": "video/webm",
    "mkv": "video/x-matroska", "avi": "video/x-msvideo", "3gp": "video/3gpp",
    "mp3": "audio/mpeg", "wav": "audio/wav", "m4a": "audio/mp4", "aac": "audio/aac", "ogg": "audio/ogg",
    "opus": "audio/ogg", "flac": "audio/flac", "amr": "audio/amr",
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "gif": "image/gif",
    "bmp": "image/bmp",
}  # fmt: skip
"""Content types by extension; everything else is ``application/octet-stream``."""

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>\s*([A-Za-z0-9_.-]{1,80})\s*</Code>")
_NO_CREDENTIALS = re.compile(
    r"169\.254\.|metadata\.google|Missing\w*(?:Key|Token|Credential)|credential", re.I
)

_THREADS = 8
_PART = 8 << 20
_PARTS_AT_ONCE = 3


def content_type_of(extension: str) -> str:
    """The content type that goes with *extension* (lower case, no dot)."""
    return CONTENT_TYPES.get(extension, "application/octet-stream")


def require_obstore() -> None:
    """Raises MissingExtra unless the ``storage`` extra is installed. Imports nothing."""
    if importlib.util.find_spec("obstore") is None:
        raise MissingExtra(
            "object stores need the package obstore", hint='Install it: pip install ".[storage]"'
        )


@attrs.frozen
class Found:
    """An object that is there: its size in bytes, and when it was written (seconds since 1970)."""

    size: int
    modified: float


class Bucket:
    """One bucket of an object store. Its calls block worker threads only; usable from any event loop.

    Args:
        where: a location, or any store object of obstore's (then *prefix* and credentials are its own business).

    Raises MissingExtra.

    """

    def __init__(self, where: Location | Any) -> None:
        require_obstore()
        self._where = where
        self._lock = threading.Lock()
        self._stores: tuple[Any, Any] | None = None
        self._pool: ThreadPoolExecutor | None = None

    def __str__(self) -> str:
        if isinstance(self._where, Location):
            return f"{self._where.kind}://{self._where.bucket}"
        return type(self._where).__name__

    def stores(self) -> tuple[Any, Any]:
        """The store to work with, and the one that signs. Blocks: for worker threads.

        Raises ConfigurationError when they cannot be made.
        """
        with self._lock:
            if self._stores is None:
                where = self._where
                if not isinstance(where, Location):
                    self._stores = where, where
                else:
                    store = make_store(where, where.options.get("endpoint"))
                    public = where.options.get("public_endpoint")
                    self._stores = store, make_store(where, public) if public else store
            return self._stores

    def writer(self, key: str, content_type: str) -> Any:
        """An obstore writer for *key*. Blocks. Nothing is visible before its ``close``; :func:`abandon` undoes it."""
        import obstore
        from obstore.store import LocalStore

        store, _ = self.stores()
        attributes: Any = None if isinstance(store, LocalStore) else {"Content-Type": content_type}
        return obstore.open_writer(
            store, key, attributes=attributes, buffer_size=_PART, max_concurrency=_PARTS_AT_ONCE
        )

    async def put(
        self,
        key: str,
        pieces: AsyncGenerator[bytes, None],
        content_type: str,
        moved: Callable[[int], object] | None = None,
    ) -> None:
        """Write *pieces* to *key*, whole or not at all. About 32 MiB are in memory at most.

        Raises:
            UploadFailed: the store refused or could not be reached.
            ConfigurationError, MissingCredentials: the store cannot be used like this.

        """
        writing = _Writing(await self._do(self.writer, key, content_type))
        try:
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    await self._do(writing.write, piece)
                    if moved is not None:
                        moved(len(piece))
            await self._do(writing.close)
        except BaseException:
            # Not awaited: a store that no longer answers must not hold up a caller who gave up.
            asyncio.get_running_loop().run_in_executor(self._threads(), writing.drop)
            raise

    async def head(self, key: str) -> Found | None:
        """What lies at *key*, or None. Raises as :meth:`put`."""

        def head() -> Found | None:
            try:
                found = self.stores()[0].head(key)
            except FileNotFoundError:
                return None
            return Found(int(found["size"]), found["last_modified"].timestamp())

        result: Found | None = await self._do(head)
        return result

    async def delete(self, key: str) -> None:
        """Delete *key*; one that is not there is no error. Raises as :meth:`put`."""

        def delete() -> None:
            with contextlib.suppress(FileNotFoundError):
                self.stores()[0].delete(key)

        await self._do(delete)

    async def sign(self, key: str, seconds: float) -> str:
        """A URL that serves *key* to anyone for *seconds*: a secret.

        Raises ConfigurationError when this kind of store cannot sign.
        """

        def sign() -> str:
            import obstore
            from obstore.store import AzureStore, GCSStore, S3Store

            signer = self.stores()[1]
            if not isinstance(signer, S3Store | GCSStore | AzureStore):
                raise ConfigurationError(f"a {type(signer).__name__} cannot sign URLs for others to fetch")
            return obstore.sign(signer, "GET", key, timedelta(seconds=round(seconds)))

        return str(await self._do(sign))

    async def aclose(self) -> None:
        """Let the threads go. The bucket may be used again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _threads(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="avatarkit-store")
        return self._pool

    async def _do(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run *function* in a thread of ours. A cancelled caller leaves it running."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads(), function, *args)
        except AvatarKitError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever obstore raises may quote the request
            failure = translated(error, str(self))
        raise failure


class _Writing:
    """An object on its way, which can be dropped also while a piece of it is being sent. For worker threads."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._lock = threading.Lock()

    def write(self, piece: bytes) -> None:
        with self._lock:
            self._writer.write(piece)

    def close(self) -> None:
        with self._lock:
            self._writer.close()

    def drop(self) -> None:
        """Once what is under way has ended, let nothing of the object appear. Never raises."""
        with self._lock:
            abandon(self._writer)


def abandon(writer: Any) -> None:
    """End *writer* so that nothing of it appears; parts that were sent are dropped. Blocks, never raises."""
    with contextlib.suppress(Exception):
        if not writer.closed():
            error = InterruptedError()
            writer.__exit__(type(error), error, None)


def translated(error: Exception, store: str) -> AvatarKitError:
    """What an error of obstore's comes down to, without its words."""
    text, name = str(error), type(error).__name__
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is None or "169.254." in text:
        if _NO_CREDENTIALS.search(text):
            return MissingCredentials(
                f"no usable credentials for {store} were found",
                hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or what your store uses) in the environment.",
            )
        if name in ("UnknownConfigurationKeyError", "NotSupportedError") or text.startswith("Generic URL"):
            return ConfigurationError(f"{store} cannot be used as it is set up ({name})")
    facts = ([f"HTTP {status[1]}"] if status else []) + ([code[1]] if code else [])
    failure = UploadFailed(f"{store}: the object store failed ({', '.join(facts) or name})")
    failure.http_status = int(status[1]) if status else 0
    failure.code = code[1] if code else ""
    failure.retryable = not (400 <= failure.http_status < 500) and not isinstance(error, ValueError)
    return failure
