"""A prefix in an object store as a place for results."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, TypeVar

from avatarkit.bulk.output_places import (
    NOTES,
    SIDECAR,
    Claim,
    Held,
    Kept,
    Note,
    Owner,
    judged,
    note_of,
)
from avatarkit.errors import AvatarKitError, DownloadFailed, InvalidRequest, UploadFailed
from avatarkit.transport.download import Downloaded
from avatarkit.transport.store_urls import parse_location
from avatarkit.transport.stores import Bucket, translated
from avatarkit.transport.threads import in_thread

_MOST_TIDIED = 200
_UNKNOWN_CONDITION = (400, 405, 501)
T = TypeVar("T")


class StoreFolder:
    """A prefix in an object store.

    Args:
        out: URL as ``AsyncVideo.save`` takes it, or a prefix when *store* is given.
        store: a store object of obstore's.

    Raises:
        ConfigurationError, MissingExtra: it cannot be used.

    """

    def __init__(self, out: str, store: Any = None) -> None:
        self._base, mark, query = out.partition("?")
        self._base = self._base.rstrip("/") + "/" if self._base.strip("/") else ""
        self._query = mark + query
        self._given = store
        where = None if store is not None else parse_location(out)
        self._prefix = self._base if where is None else where.path.rstrip("/") + "/" if where.path else ""
        self._bucket = Bucket(store if where is None else where)

    async def put(self, artifact: Any, names: Sequence[str], owner: Owner) -> Kept:
        """See :class:`Place`. Each name is claimed before anything is fetched, and what lies there is looked at."""
        for name in names:
            claim = await self.claim(name, owner)
            if claim.held is Held.TAKEN:
                continue
            if claim.held is Held.THERE:
                return Kept(name, claim.size)
            try:
                saved = await self._save(artifact, name, overwrite=claim.held is Held.OLDER)
            except InvalidRequest as error:
                claim = await self.claim(name, owner)
                if claim.held is Held.FREE:
                    raise DownloadFailed(str(error)) from None  # later it may go
                if claim.held is not Held.TAKEN:
                    await self.release(name, owner)
                continue
            return Kept(name, saved.size, saved.sha256)
        raise DownloadFailed(f"every name for the result is taken, the last was {names[-1]}")

    async def claim(self, name: str, owner: Owner) -> Claim:
        """See :class:`Place`."""
        claim: Claim = await self._guarded(lambda: self._claim(name, owner))
        return claim

    async def _save(self, artifact: Any, name: str, *, overwrite: bool) -> Downloaded:
        path = f"{self._base}{name}{self._query}"
        saved: Downloaded = await artifact.save(path, store=self._given, overwrite=overwrite)
        return saved

    async def write(self, name: str, data: bytes) -> None:
        """See :class:`Place`."""

        async def pieces() -> AsyncGenerator[bytes, None]:
            yield data

        try:
            await self._bucket.put(f"{self._prefix}{name}", pieces(), "application/json")
        except UploadFailed as error:
            raise DownloadFailed(str(error)) from None

    async def release(self, name: str, owner: Owner) -> None:
        """See :class:`Place`."""

        def release() -> None:
            store, _ = self._bucket.stores()
            key = f"{self._prefix}{note_of(name)}"
            if Note.of(bytes(store.get(key).bytes())).owner.job == owner.job:
                store.delete(key)

        with contextlib.suppress(AvatarKitError):
            await self._guarded(release)

    async def remove(self, name: str, owner: Owner) -> None:
        """See :class:`Place`."""

        def remove() -> None:
            store, _ = self._bucket.stores()
            note = f"{self._prefix}{note_of(name)}"
            if Note.of(bytes(store.get(note).bytes())).owner == owner:
                store.delete([f"{self._prefix}{name}", f"{self._prefix}{name}{SIDECAR}", note])

        with contextlib.suppress(AvatarKitError):
            await self._guarded(remove)

    async def tidy(self, run: str) -> None:
        """See :class:`Place`. Of very many claims, not all."""

        def tidy() -> None:
            store, _ = self._bucket.stores()
            page: list[Any] = next(iter(store.list(f"{self._prefix}{NOTES}", chunk_size=_MOST_TIDIED)), [])
            for key in [str(each["path"]) for each in page]:
                with contextlib.suppress(FileNotFoundError):
                    if _got(store, key)[0].owner.run == run:
                        store.delete(key)

        with contextlib.suppress(AvatarKitError):
            await self._guarded(tidy)

    def location(self, name: str) -> str:
        """See :class:`Place`."""
        return f"{self._bucket}/{self._prefix}{name}"

    async def aclose(self) -> None:
        """Let the store's threads go."""
        await self._bucket.aclose()

    def _claim(self, name: str, owner: Owner) -> Claim:
        store, _ = self._bucket.stores()
        target, note = f"{self._prefix}{name}", f"{self._prefix}{note_of(name)}"
        held, made = _got(store, note)
        found = _headed(store, target)
        if made is None:
            if found is not None:
                return Claim(Held.TAKEN)
            if self._create(store, note, owner):
                return Claim(Held.FREE)
            held, made = _got(store, note)
        if made is None:
            return Claim(Held.TAKEN)
        younger = None if found is None else found["last_modified"] >= made["last_modified"]
        claim = judged(held, owner, younger=younger, size=int(found["size"]) if found else 0)
        if claim.held in (Held.FREE, Held.OLDER) and held.owner != owner:
            store.put(note, Note(owner).to_bytes())
        return claim

    def _create(self, store: Any, note: str, owner: Owner) -> bool:
        """Write the claim unless there is one; where the store knows no such condition, write it and look."""
        from obstore.exceptions import AlreadyExistsError, NotSupportedError

        try:
            store.put(note, Note(owner).to_bytes(), mode="create")
        except AlreadyExistsError:
            return False
        except NotSupportedError:
            pass
        except Exception as error:
            failure = translated(error, str(self._bucket))
            if getattr(failure, "http_status", 0) not in _UNKNOWN_CONDITION:
                raise
        else:
            return True
        store.put(note, Note(owner).to_bytes())
        return _got(store, note)[0].owner == owner

    async def _guarded(self, action: Callable[[], T]) -> T:
        """*action* in a thread. obstore's errors quote requests, so they are replaced."""
        failure: AvatarKitError
        try:
            result: T = await in_thread(action)
        except AvatarKitError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever obstore raises
            failure = translated(error, str(self._bucket))
            if isinstance(failure, UploadFailed):
                failure = DownloadFailed(str(failure))
        else:
            return result
        raise failure


def _got(store: Any, key: str) -> tuple[Note, Any]:
    try:
        found = store.get(key)
    except FileNotFoundError:
        return Note(), None
    return Note.of(bytes(found.bytes())), found.meta


def _headed(store: Any, key: str) -> Any:
    try:
        return store.head(key)
    except FileNotFoundError:
        return None
