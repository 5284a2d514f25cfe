"""Remembering which files lie at the provider already, so that the same content is sent once."""

from __future__ import annotations

import asyncio
import weakref
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

import attrs

from avatarkit.models import UploadedFile
from avatarkit.transport.clock import Clock

ContentKey: TypeAlias = tuple[str, str]
"""SHA-256 of the content (hexadecimal) and file extension."""

DEFAULT_TTL = 1800.0
"""Seconds for which an upload is used again. No vendor says how long it keeps a file nobody refers to."""

_MAX_KEPT = 10_000


class UploadStore(Protocol):
    """Where uploads are remembered beyond this process, such as a bulk run's ledger."""

    async def recall(self, sha256: str, extension: str) -> UploadedFile | None:
        """The file with this content, if it was uploaded lately."""
        ...

    async def remember(self, extension: str, file: UploadedFile) -> None:
        """Keep *file*, which was uploaded just now."""
        ...


class _Flight:
    """One upload under way on one loop, and those who wait for it."""

    def __init__(self) -> None:
        self.waiters: list[asyncio.Future[UploadedFile | None]] = []

    def land(self, file: UploadedFile) -> None:
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(file)
        self.waiters.clear()

    def hand_over(self) -> bool:
        """Wake one waiter to upload in our stead; False when nobody waits."""
        while self.waiters:
            waiter = self.waiters.pop(0)
            if not waiter.done():
                waiter.set_result(None)
                return True
        return False


class UploadCache:
    """One account's uploads by content. May outlive event loops; use it from one loop at a time.

    *ttl* is in seconds; 0 keeps nothing, but concurrent uploads of the same content are still shared. Where there is
    a *store*, it is asked before anything is uploaded.
    """

    store: UploadStore | None = None

    def __init__(self, *, clock: Clock, ttl: float = DEFAULT_TTL) -> None:
        self._clock = clock
        self._ttl = ttl
        self._kept: OrderedDict[ContentKey, tuple[UploadedFile, float]] = OrderedDict()
        # Futures belong to a loop, so flights go when their loop goes.
        self._flights: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[ContentKey, _Flight]] = (
            weakref.WeakKeyDictionary()
        )

    def find(self, key: ContentKey) -> UploadedFile | None:
        """The file kept for *key*, if it is not too old."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        file, since = kept
        # A negative age means another clock than the one it was kept under.
        if 0 <= self._clock.monotonic() - since < self._ttl:
            return file
        self._kept.pop(key, None)
        return None

    async def get(
        self, sha256: str, extension: str, upload: Callable[[], Awaitable[UploadedFile]]
    ) -> UploadedFile:
        """The file with this content: kept, being uploaded by another call, or uploaded now by *upload*.

        When the upload under way fails or its caller is cancelled, that caller alone gets the error and one
        of those who wait uploads in its stead. A cancelled waiter leaves the others alone. Raises what
        *upload* raises.
        """
        key = (sha256, extension)
        flights = self._flights.setdefault(asyncio.get_running_loop(), {})
        file = self.find(key)
        if file is not None:
            return file
        flight = flights.get(key)
        if flight is not None:
            file = await self._wait(flight, flights, key)
            if file is not None:
                return file
        else:
            flight = flights[key] = _Flight()
        return await self._run(flight, flights, key, upload)

    def forget(self, file_id: str) -> None:
        """Use the file with this id no more: the provider could not fetch it, or it is spent."""
        for key in [key for key, (file, _) in self._kept.items() if file.id == file_id]:
            self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget every file."""
        self._kept.clear()

    async def _wait(
        self, flight: _Flight, flights: dict[ContentKey, _Flight], key: ContentKey
    ) -> UploadedFile | None:
        """The uploaded file, or None when it is our turn to upload."""
        waiter: asyncio.Future[UploadedFile | None] = asyncio.get_running_loop().create_future()
        flight.waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # Our turn may have come in the same moment: pass it on.
            if waiter.done() and not waiter.cancelled() and waiter.result() is None:
                self._leave(flight, flights, key)
            raise

    async def _run(
        self,
        flight: _Flight,
        flights: dict[ContentKey, _Flight],
        key: ContentKey,
        upload: Callable[[], Awaitable[UploadedFile]],
    ) -> UploadedFile:
        try:
            file = await self._stored(key, upload)
        except BaseException:
            self._leave(flight, flights, key)
            raise
        flights.pop(key, None)
        if self._ttl > 0:
            self._kept[key] = (file, self._clock.monotonic())
            while len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
        flight.land(file)
        return file

    async def _stored(self, key: ContentKey, upload: Callable[[], Awaitable[UploadedFile]]) -> UploadedFile:
        if self.store is None:
            return await upload()
        known = await self.store.recall(*key)
        if known is not None:
            return known
        file = await upload()
        await self.store.remember(key[1], attrs.evolve(file, sha256=file.sha256 or key[0]))
        return file

    def _leave(self, flight: _Flight, flights: dict[ContentKey, _Flight], key: ContentKey) -> None:
        if not flight.hand_over():
            flights.pop(key, None)
