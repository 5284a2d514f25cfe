"""What tasks yield and can be fetched: videos and audio."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self

from avatarkit.errors import LinkExpired
from avatarkit.events import ProgressHook
from avatarkit.models import RawResponse, Snapshot
from avatarkit.transport.download import MAX_BYTES, Downloaded, Landing, download, land, read_bytes
from avatarkit.transport.fetch import Fetching
from avatarkit.transport.names import safe_name
from avatarkit.transport.progress import Meter
from avatarkit.transport.saving import Stored, check_key, save_to_bucket
from avatarkit.transport.store_urls import is_store_url, parse_location
from avatarkit.transport.stores import Bucket

if TYPE_CHECKING:
    from avatarkit.transport.account import Account
    from avatarkit.transport.polling import Watched

_SUFFIXES = {"mp4", "mov", "webm", "mp3", "wav", "m4a", "aac", "ogg"}


class AsyncArtifact:
    """A finished file at the provider. Its URL is temporary: save it soon.

    Made by :meth:`AsyncTask.wait`; saving again later works as long as the provider still knows the task, for an
    expired URL is renewed by asking the task.
    """

    _suffix = "bin"

    def __init__(
        self,
        account: Account,
        record: Watched,
        snapshot: Snapshot,
        renew: Callable[[], Awaitable[Snapshot]],
    ) -> None:
        self._account = account
        self._record = record
        self._snapshot = snapshot
        self._renew = renew

    @property
    def url(self) -> str:
        """Where the file lies for now: a signed, temporary URL. Do not log it."""
        return str(self._snapshot.result.get("url") or "")

    @property
    def duration(self) -> float | None:
        """Seconds, as the provider says (HiFly: whole seconds); None when it does not say."""
        value = self._snapshot.result.get("duration")
        return None if value is None else float(value)

    @property
    def task_id(self) -> str:
        """The provider's id of the task that made it."""
        return self._record.task_id

    @property
    def cost(self) -> float | None:
        """What it cost, in the provider's unit, where the provider tells; else None."""
        return self._snapshot.cost

    @property
    def response(self) -> RawResponse | None:
        """The provider's raw answer that named the file."""
        return self._snapshot.response

    async def save(
        self,
        path: str | os.PathLike[str],
        *,
        store: object | None = None,
        overwrite: bool = False,
        progress: ProgressHook | None = None,
        max_bytes: int = 8 << 30,
    ) -> Downloaded:
        """Download the file, whole or not at all.

        It is written to a ``.part`` file beside *path*, resumed where it stopped when the connection breaks or an
        earlier call was interrupted, checked for its length, flushed to disk and renamed. An expired URL is renewed.

        Into an object store it is streamed, and visible there once it is whole; the answer then is a
        :class:`~avatarkit.transport.saving.Stored`. That needs the ``storage`` extra. ``location`` of either answer
        says where the result lies: the file's absolute path, or the object's URL.

        Args:
            path: the file to write, missing folders are made; a folder, one that exists or a path that ends in ``/``,
                gets a file named after the task. Or a URL, ``s3://bucket/key``, ``oss://``, ``gs://`` or ``az://``;
                one that ends in ``/`` gets an object named after the task.
            store: a store object of obstore's; *path* then is the key in it.
            overwrite: whether an existing file may be replaced.
            progress: called with bytes done and bytes in all (or None).
            max_bytes: the largest file accepted, in bytes.

        Raises:
            InvalidRequest: the file exists, the path cannot be written, or is a URL of anything but an object store.
            LinkExpired: the URL is dead and the task gives no working one.
            DownloadFailed: it could not be fetched whole; what came stays in the ``.part`` file.
            ConfigurationError, MissingCredentials, MissingExtra: the object store cannot be used like this.

        Each of them has the task's token as ``error.token``: what was paid for can be fetched again.
        """
        try:
            if store is not None or is_store_url(path):
                return await self._store(
                    str(path), store, overwrite=overwrite, progress=progress, max_bytes=max_bytes
                )
            return await download(
                self._account.engine().sessions.files,
                self.url,
                path,
                refresh=self._fresh_url,
                clock=self._account.clock,
                timeouts=self._account.timeouts,
                max_bytes=max_bytes,
                progress=progress,
                emit=self._account.emit,
                overwrite=overwrite,
                proxy_for=self._account.network.proxy_for,
                inside=self._name(),
            )
        except BaseException as error:
            self._account.name_task(error, self._record)
            raise

    async def read(self, *, max_bytes: int = 256 << 20) -> bytes:
        """The file's content in memory.

        Args:
            max_bytes: the largest file accepted, in bytes.

        Raises:
            LinkExpired, DownloadFailed: as for :meth:`save`.

        """
        engine = self._account.engine()
        return await read_bytes(
            engine.sessions.files,
            self.url,
            refresh=self._fresh_url,
            clock=self._account.clock,
            timeouts=self._account.timeouts,
            max_bytes=max_bytes,
            proxy_for=self._account.network.proxy_for,
        )

    async def renew(self) -> Self:
        """Ask the task again, for a fresh URL.

        Raises:
            LinkExpired: the provider no longer gives one.

        """
        await self._fresh_url()
        return self

    async def _fresh_url(self) -> str:
        snapshot = await self._renew()
        if not snapshot.result.get("url"):
            raise LinkExpired(f"task {self._record.task_id} no longer gives a URL")
        self._snapshot = snapshot
        return self.url

    async def _land(self, landing: Landing) -> None:
        """Fetch the file into *landing*; raises as :meth:`save` does, and what *landing* raises."""
        try:
            await land(self._fetching(MAX_BYTES), self.url, landing, emit=self._account.emit)
        except BaseException as error:
            self._account.name_task(error, self._record)
            raise

    def _fetching(self, max_bytes: int) -> Fetching:
        account = self._account
        return Fetching(
            session=account.engine().sessions.files,
            clock=account.clock,
            timeouts=account.timeouts,
            refresh=self._fresh_url,
            max_bytes=max_bytes,
            proxy_for=account.network.proxy_for,
        )

    async def _store(
        self,
        path: str,
        store: object | None,
        *,
        overwrite: bool,
        progress: ProgressHook | None,
        max_bytes: int,
    ) -> Stored:
        if store is None:
            store = where = parse_location(path)
            path = where.path
        else:
            check_key(path)
        key = f"{path}{self._name()}" if not path or path.endswith("/") else path
        bucket = Bucket(store)
        meter = Meter("down", key.rpartition("/")[2], None, progress=progress, emit=self._account.emit)
        try:
            how = self._fetching(max_bytes)
            return await save_to_bucket(how, self.url, bucket, key, meter, overwrite=overwrite)
        finally:
            await bucket.aclose()

    def _name(self) -> str:
        stem = safe_name(self._record.marker or self._record.task_id, default="result")
        ending = self.url.split("?")[0].rpartition(".")[2].lower()
        return f"{stem}.{ending if ending in _SUFFIXES else self._suffix}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of task {self._record.task_id}, {self.duration} s>"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._record is self._record

    def __hash__(self) -> int:
        return hash((type(self), id(self._record)))


class AsyncVideo(AsyncArtifact):
    """A finished video."""

    _suffix = "mp4"


class AsyncAudio(AsyncArtifact):
    """A finished sound file."""

    _suffix = "mp3"
