"""A folder of the file system as a place for results. What is written there survives a power cut, with its folders."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from avatarkit.bulk.output_arrival import Arrival, Begun
from avatarkit.bulk.output_claims import FolderClaims, make_folder, write_over
from avatarkit.bulk.output_places import Claim, Held, Kept, Owner, note_of
from avatarkit.errors import DownloadFailed, InvalidRequest
from avatarkit.transport.fetch import finished
from avatarkit.transport.threads import in_file_thread

T = TypeVar("T")


class Folder:
    """A folder of the file system. Files are made durable with their folders."""

    def __init__(self, path: str | os.PathLike[str], *, sidecar: bool = False) -> None:
        self._path = Path(path)
        self._sidecar = sidecar
        self._known: FolderClaims | None = None
        self._dropped: deque[tuple[str, Owner]] = deque()
        self._dropping: asyncio.Future[None] | None = None

    async def put(self, artifact: Any, names: Sequence[str], owner: Owner) -> Kept:
        """See :class:`Place`. What nobody is known to have begun is fetched first, and claimed when its bytes came.

        Where that does not work, or an earlier attempt shows itself, what lies there is looked at first: at once, or
        in the next try.
        """
        claims = self._known if self._known is not None else await _guarded(self._claims)
        plain = note_of(names[0])
        if plain not in claims.begun:
            arrival = Arrival(claims, names, owner)
            try:
                await artifact._land(arrival)  # noqa: SLF001 - for users it would be one way too many
            except Begun:
                pass
            except BaseException:
                claims.begun.add(plain)
                raise
            else:
                claims.begun.add(note_of(arrival.name))
                return Kept(arrival.name, arrival.have)
        kept = await self._put_with_care(claims, artifact, names, owner)
        claims.begun.discard(plain)
        claims.begun.add(note_of(kept.name))
        return kept

    async def _put_with_care(
        self, claims: FolderClaims, artifact: Any, names: Sequence[str], owner: Owner
    ) -> Kept:
        """Claim each name before anything is fetched, look at what lies there, and go on with what came of it."""
        stuck: InvalidRequest | None = None
        for at, name in enumerate(names):
            claim = await self.claim(name, owner)
            if claim.held is Held.TAKEN:
                await self.release(name, owner)  # if it was ours, of a try in vain
                continue
            if claim.held is Held.THERE:
                return Kept(name, claim.size)
            arrival = Arrival(claims, names[at:], owner)
            try:
                resume = partial(arrival.resume, name, overwrite=claim.held is Held.OLDER)
                await finished(in_file_thread(resume))
                await artifact._land(arrival)  # noqa: SLF001 - see above
            except InvalidRequest as error:
                if (await self.claim(name, owner)).held is Held.TAKEN:
                    await self.release(name, owner)
                    continue
                if await _guarded(partial(claims.is_forgotten, name)):
                    stuck = error  # the claim stays: should the other one go on, its file is removed
                    continue
                # It is being written by another worker, or the disk is full: later it may go.
                raise DownloadFailed(str(error)) from None
            except Begun:
                raise DownloadFailed(f"the result of job {owner.job} is being stored elsewhere") from None
            finally:
                if not arrival.finished:
                    await finished(in_file_thread(arrival.close))
            return Kept(arrival.name, arrival.have)
        raise DownloadFailed(str(stuck or f"every name for the result is taken, the last was {names[-1]}"))

    async def claim(self, name: str, owner: Owner) -> Claim:
        """See :class:`Place`. A name whose folder leads out of ours through a link is taken."""
        claim: Claim = await _guarded(lambda: self._claims().claim(name, owner))
        return claim

    async def write(self, name: str, data: bytes) -> None:
        """See :class:`Place`."""
        await _guarded(lambda: write_over(self._claims().root / name, data))

    async def release(self, name: str, owner: Owner) -> None:
        """See :class:`Place`. Claims that are dropped together share a way to a thread."""
        self._dropped.append((name, owner))
        while self._dropped:  # what came when the thread was about to end is for the next one
            if self._dropping is None or self._dropping.done():
                self._dropping = in_file_thread(self._drop)
            await asyncio.shield(self._dropping)

    def _drop(self) -> None:
        while self._dropped:
            name, owner = self._dropped.popleft()
            with contextlib.suppress(OSError):
                self._claims().drop(name, owner)

    async def remove(self, name: str, owner: Owner) -> None:
        """See :class:`Place`."""

        def remove() -> None:
            with contextlib.suppress(OSError):
                self._claims().remove(name, owner)

        await in_file_thread(remove)

    async def tidy(self, run: str) -> None:
        """See :class:`Place`."""
        if self._known is not None:
            await in_file_thread(self._known.tidy, run)

    def location(self, name: str) -> str:
        """See :class:`Place`."""
        return ""

    async def aclose(self) -> None:
        """Remove the folder of claims when it is empty."""
        if self._known is not None:
            await in_file_thread(self._known.close)

    def _claims(self) -> FolderClaims:
        """Those of the folder, which is made. In a thread."""
        if self._known is None:
            make_folder(self._path)
            self._known = FolderClaims(self._path.resolve(), sidecar=self._sidecar)
        return self._known


async def _guarded(action: Callable[[], T]) -> T:
    """*action* in a thread; trouble with the disk may pass, and what was paid for is still at the provider."""
    try:
        result: T = await in_file_thread(action)
    except OSError as error:
        raise DownloadFailed(f"the result cannot be written ({error.strerror or error})") from None
    return result
