"""Staging: a local file put where a provider that takes only URLs can fetch it."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Protocol

import attrs

from avatarkit.errors import ConfigurationError, UnsupportedOperation
from avatarkit.events import ProgressHook
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock
from avatarkit.transport.progress import Meter
from avatarkit.transport.sources import Source
from avatarkit.transport.store_urls import is_store_url
from avatarkit.transport.stores import CONTENT_TYPES

if TYPE_CHECKING:
    from avatarkit.transport.account import Account

VARIABLE = "AVATARKIT_STAGING"
"""The environment variable that names a staging by its URL."""

STAY = 6 * 3600.0
"""Seconds that a staged URL must work for at least: tasks queue before the provider fetches their material."""


@attrs.frozen(kw_only=True)
class StagedFile:
    """A file that others can fetch for a while.

    Attributes:
        url: where; whoever has it can fetch the file, so do not log it.
        key: its name in the store, made from its content.
        expires_at: when *url* stops working, seconds since 1970.

    """

    url: str = attrs.field(repr=False)
    key: str
    expires_at: float


class Staging(Protocol):
    """Anything that makes a local file fetchable. Write your own where object stores do not fit."""

    async def stage(
        self, source: Source, *, seconds: float, progress: ProgressHook | None = None
    ) -> StagedFile:
        """Put *source* where its URL works for at least *seconds*.

        Raises:
            UploadFailed: it did not arrive.
            ConfigurationError: the staging cannot work as it is set up.

        """
        ...

    async def discard(self, staged: StagedFile) -> None:
        """Delete a staged file. One that is gone already is no error."""
        ...

    async def aclose(self) -> None:
        """Let go of threads and connections."""
        ...


def stage_name(source: Source, sha256: str) -> str:
    """``<sha256>.<extension>``: nothing of the user's file name but an extension that is known."""
    extension = source.extension if source.extension in CONTENT_TYPES else "bin"
    return f"{sha256}.{extension}"


def from_url(url: str, *, clock: Clock = SYSTEM_CLOCK) -> Staging:
    """The staging that *url* names.

    ``s3://bucket/prefix?endpoint=…``, ``oss://bucket/prefix?region=cn-hangzhou``, ``gs://bucket/prefix``,
    ``az://container/prefix?account=…`` (with ``lifetime``, ``renew_after`` and ``discard_after`` as further options),
    or ``sandbox+http://127.0.0.1:8765`` for a running sandbox.

    Raises:
        ConfigurationError: it names none. MissingExtra: the ``storage`` extra is not installed.

    """
    if is_store_url(url):
        from avatarkit.transport.object_staging import ObjectStaging

        return ObjectStaging(url, clock=clock)
    if url.startswith("sandbox+http://"):
        from avatarkit.transport.sandbox_staging import SandboxStaging

        return SandboxStaging(url.removeprefix("sandbox+"), clock=clock)
    raise ConfigurationError(
        "the staging is no URL of an object store",
        hint="For example s3://bucket/prefix or oss://bucket?region=cn-hangzhou",
    )


# -- which account stages where ---------------------------------------------------------------------------------------


@attrs.define
class _Chosen:
    """An account's staging, made on first use where the environment names it; *owned* ones end with the client."""

    staging: Staging | None = None
    url: str = ""
    owned: bool = False


# Weak, so that accounts go when their clients go.
_chosen: weakref.WeakKeyDictionary[Account, _Chosen] = weakref.WeakKeyDictionary()


def use_staging(account: Account, staging: Staging | str | None) -> None:
    """Let *account* stage with *staging*: an object, a URL (made, and later closed, by us), ``""`` for none.

    None leaves it to the environment variable, which is read when a file has to be staged.

    Raises ConfigurationError or MissingExtra for a URL that cannot work.
    """
    if staging is None:
        return
    if isinstance(staging, str):
        made = from_url(staging, clock=account.clock) if staging else None
        _chosen[account] = _Chosen(staging=made, owned=True)
    else:
        _chosen[account] = _Chosen(staging=staging)


def staging_of(account: Account) -> Staging | None:
    """The account's staging, the environment's, or None. Raises ConfigurationError or MissingExtra."""
    chosen = _chosen.get(account)
    if chosen is None and (url := os.environ.get(VARIABLE, "").strip()):
        chosen = _chosen[account] = _Chosen(staging=from_url(url, clock=account.clock), owned=True)
    return chosen.staging if chosen is not None else None


async def close_staging(account: Account) -> None:
    """Close the account's staging if it was made for it alone."""
    chosen = _chosen.pop(account, None)
    if chosen is not None and chosen.owned and chosen.staging is not None:
        await chosen.staging.aclose()


async def staged_url(
    account: Account,
    source: Source,
    field: str,
    *,
    seconds: float = STAY,
    progress: ProgressHook | None = None,
) -> str:
    """A URL from which the provider can fetch the local file *source*, given for *field*, for at least *seconds*.

    Raises:
        UnsupportedOperation: no staging is configured; the hint says how to. Nothing was sent.
        UploadFailed: the file did not arrive.
        ConfigurationError, MissingExtra: the staging cannot work as it is set up.

    """
    staging = staging_of(account)
    if staging is None:
        raise UnsupportedOperation(
            f"{field}: {account.spec.title} takes only URLs, and {source.name} is a local file",
            hint=f"Give a URL, or say where local files may be put: staging='s3://bucket/prefix' or {VARIABLE}.",
        )
    meter = Meter("up", source.name, source.size, progress=progress, emit=account.emit)
    staged = await staging.stage(source, seconds=seconds, progress=lambda done, _total: meter.at(done))
    return staged.url
