"""Staging in an object store."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from avatarkit.errors import AvatarKitError, ConfigurationError, InvalidRequest, UploadFailed
from avatarkit.events import ProgressHook
from avatarkit.models import UploadedFile
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock
from avatarkit.transport.progress import Meter
from avatarkit.transport.sources import Source, fingerprint
from avatarkit.transport.staging import STAY, StagedFile, stage_name
from avatarkit.transport.store_urls import parse_location
from avatarkit.transport.stores import Bucket, content_type_of
from avatarkit.transport.uploads_cache import UploadCache

_LONGEST = 7 * 86400.0  # the most that S3 and Google sign for
_URL_OPTIONS = frozenset({"lifetime", "discard_after", "renew_after"})
_logger = logging.getLogger("avatarkit")


class ObjectStaging:
    """Staging in an object store: S3 and its kin (Aliyun OSS, MinIO, R2, …), Google Cloud Storage, Azure.

    Objects are named by their content, so that nothing is uploaded twice, also by other processes: it is looked for
    first. They are private; the provider gets a signed URL. One staging may serve many clients.

    Args:
        store: ``s3://bucket/prefix?endpoint=https://…``, see :func:`parse_location`; or a store object of obstore's.
            A URL's credentials come from the environment (``AWS_ACCESS_KEY_ID``, …).
        prefix: what keys begin with; by default the URL's path, else ``avatarkit/``.
        lifetime: seconds that signed URLs work, at most 7 days. With temporary credentials they end with those.
        discard_after: delete at :meth:`aclose` what this object uploaded. Objects that were there before stay.
        renew_after: upload an object again when it is older than so many seconds. Set it, well below the age at which
            the bucket's own rules delete, so that nothing vanishes between staging and fetching.
        clock: another time, for tests.

    Raises:
        ConfigurationError: the URL is wrong. MissingExtra: the ``storage`` extra is not installed.

    """

    def __init__(
        self,
        store: str | Any,
        *,
        prefix: str | None = None,
        lifetime: float = 86400.0,
        discard_after: bool = False,
        renew_after: float | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        where = parse_location(store, _URL_OPTIONS) if isinstance(store, str) else None
        if where is not None:
            lifetime = _number(where.options, "lifetime", lifetime)
            renew_after = _number(where.options, "renew_after", renew_after)
            discard_after = where.options.get("discard_after", str(discard_after)).lower() in ("1", "true")
            prefix = where.path if prefix is None and where.path else prefix
        if not 0 < lifetime <= _LONGEST:
            raise ConfigurationError(
                f"a lifetime of {lifetime:g} s found, up to {_LONGEST:g} s (7 days) allowed"
            )
        prefix = "avatarkit/" if prefix is None else prefix
        self._prefix = prefix if prefix.endswith("/") or not prefix else f"{prefix}/"
        self._bucket = Bucket(where if where is not None else store)
        self._lifetime = lifetime
        self._discard_after = discard_after
        self._renew_after = renew_after
        self._clock = clock
        self._known = UploadCache(clock=clock)
        self._own: set[str] = set()

    def __repr__(self) -> str:
        return f"<ObjectStaging {self._bucket}/{self._prefix}>"

    async def stage(
        self, source: Source, *, seconds: float = STAY, progress: ProgressHook | None = None
    ) -> StagedFile:
        """Upload *source* unless its content is there already, and sign a URL.

        Args:
            seconds: how long the URL must work at least; it works for the staging's lifetime or longer.
            progress: called with bytes uploaded and bytes in all.

        Raises:
            UploadFailed: it did not arrive, or changed meanwhile.
            ConfigurationError, MissingCredentials: the store cannot be used like this, or not for so long.
            InvalidRequest: the file cannot be read.

        """
        lifetime = max(self._lifetime, seconds)
        if lifetime > _LONGEST:
            raise ConfigurationError(
                f"object stores sign URLs for at most 7 days, {seconds:g} s were asked for"
            )
        sha256 = await fingerprint(source)
        key = self._prefix + stage_name(source, sha256)
        extension = key.rpartition(".")[2]
        await self._known.get(sha256, extension, lambda: self._put(source, key, extension, progress))
        signed_at = self._clock.time()
        url = await self._bucket.sign(key, lifetime)
        return StagedFile(url=url, key=key, expires_at=signed_at + lifetime)

    async def discard(self, staged: StagedFile) -> None:
        """Delete a staged file; later stagings upload it again.

        Raises:
            InvalidRequest: it was not staged here.
            UploadFailed: the store refused.

        """
        if not staged.key.startswith(self._prefix):
            raise InvalidRequest("this file was staged elsewhere")
        self._known.forget(staged.key)
        await self._bucket.delete(staged.key)
        self._own.discard(staged.key)

    async def aclose(self) -> None:
        """Delete what was uploaded, if that was asked for, and let go of threads. It may be used again."""
        if self._discard_after:
            for key in sorted(self._own):
                self._known.forget(key)
                try:
                    await self._bucket.delete(key)
                except AvatarKitError as error:
                    _logger.warning("staged file %s could not be deleted: %s", key, error)
            self._own.clear()
        await self._bucket.aclose()

    async def _put(
        self, source: Source, key: str, extension: str, progress: ProgressHook | None
    ) -> UploadedFile:
        if not await self._there(source, key):
            meter = Meter("up", source.name, source.size, progress=progress)
            self._own.add(key)
            await self._bucket.put(key, source.pieces(), content_type_of(extension), meter.moved)
            if await source.changed():
                # What lies there now has another content than its name says.
                await self._bucket.delete(key)
                error = UploadFailed(f"{source.name}: the file changed while it was sent")
                error.retryable = False
                raise error
        return UploadedFile(id=key, size=source.size)

    async def _there(self, source: Source, key: str) -> bool:
        try:
            found = await self._bucket.head(key)
        except UploadFailed as error:
            # Without the right to list, stores say 403 instead of 404.
            if error.http_status != 403:
                raise
            return False
        if found is None or found.size != source.size:
            return False
        return self._renew_after is None or self._clock.time() - found.modified < self._renew_after


def _number(options: Mapping[str, str], name: str, default: Any) -> Any:
    try:
        return float(options[name]) if name in options else default
    except ValueError:
        raise ConfigurationError(f"{name} in the staging URL is no number of seconds") from None
