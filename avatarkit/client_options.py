"""What every client's constructor takes, options by name and credentials, and the account that comes of it."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping
from typing import Literal, TypedDict

from avatarkit.errors import ConfigurationError, MissingCredentials
from avatarkit.events import Hook
from avatarkit.models import Kind
from avatarkit.protocol.auth import Auth
from avatarkit.protocol.endpoint import ProviderSpec, TaskKind
from avatarkit.protocol.redact import fingerprint, signing_key
from avatarkit.settings import Polling, RateLimit, RetryPolicy, Timeouts
from avatarkit.transport.account import Account
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock
from avatarkit.transport.session import Network
from avatarkit.transport.staging import Staging, use_staging
from avatarkit.transport.wire import Wire


class ClientOptions(TypedDict, total=False):
    """Keyword arguments that every client takes.

    Attributes:
        base_url: where the API lives, without a slash at the end; else the provider's own, or the environment's.
        timeouts: bounds in seconds, see :class:`Timeouts`.
        retry: for requests that are safe to repeat, see :class:`RetryPolicy`.
        rate_limit: requests a second for the whole account; ``"default"`` is the provider's, None is none.
        max_running: the most tasks to have running at once; None learns it from the provider's refusals.
        polling: bounds between two looks at one task.
        proxy: URL of a proxy; None honours the environment, ``""`` uses none.
        ca_file: PEM file with the authorities to trust.
        connections: the most requests in progress.
        preflight: False skips the local check of files and limits.
        hooks: called with every event, see :mod:`avatarkit.events`.
        staging: where local files are put for providers that take only URLs: a URL such as ``s3://bucket/prefix``, or
            a :class:`Staging`; None leaves it to the environment (``AVATARKIT_STAGING``), ``""`` is none.
        wire: for tests and benchmarks: requests go straight to this object, no sockets (``AsyncSandbox.wire()``).
        clock: another time, for tests.
        seed: makes jitter and markers repeatable, for tests.

    """

    base_url: str | None
    timeouts: Timeouts
    retry: RetryPolicy
    rate_limit: RateLimit | Literal["default"] | None
    max_running: int | None
    polling: Polling
    proxy: str | None
    ca_file: str | None
    connections: int
    preflight: bool
    hooks: Hook | Iterable[Hook] | None
    staging: Staging | str | None
    wire: Wire | None
    clock: Clock
    seed: int | None


def hooks_of(value: Hook | Iterable[Hook] | None) -> tuple[Hook, ...]:
    """One hook, several, or none, as a tuple."""
    if value is None:
        return ()
    return (value,) if callable(value) else tuple(value)


def read_credentials(spec: ProviderSpec, *given: str | None) -> tuple[str, ...]:
    """The credentials given, else those of the environment.

    Raises:
        MissingCredentials: one is missing; the message names its variable.

    """
    found = [text or os.environ.get(name, "") for text, name in zip(given, spec.credentials, strict=True)]
    missing = [name for text, name in zip(found, spec.credentials, strict=True) if not text.strip()]
    if missing:
        names = " and ".join(missing)
        raise MissingCredentials(
            f"no credentials for {spec.title}: {names} is not set",
            hint=f"Set the environment variable {names}, or pass the credentials to the client.",
        )
    for text in found:
        if not text.strip().isascii() or not text.strip().isprintable():
            raise ConfigurationError(f"the credentials for {spec.title} hold characters that no token has")
    return tuple(text.strip() for text in found)


def account_of(
    spec: ProviderSpec,
    credentials: tuple[str, ...],
    auth: Auth,
    options: ClientOptions,
    kinds: Mapping[Kind, TaskKind] | None = None,
) -> Account:
    """The account of these credentials; *kinds* replaces the provider's own where they depend on them.

    Raises:
        TypeError: there is no such option.
        ConfigurationError, MissingExtra: the staging cannot work as it is set up.

    """
    unknown = options.keys() - ClientOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"unknown client options: {', '.join(sorted(unknown))}")
    rate = options.get("rate_limit", "default")
    polling = options.get("polling", Polling())
    account = Account(
        spec=spec,
        base_url=options.get("base_url") or os.environ.get(spec.base_url_variable) or spec.base_url,
        auth=auth,
        kinds=kinds if kinds is not None else spec.kinds,
        fingerprint=fingerprint(spec.name, *credentials),
        signing_key=signing_key(spec.name, *credentials),
        clock=options.get("clock", SYSTEM_CLOCK),
        network=Network(
            proxy=options.get("proxy"),
            ca_file=options.get("ca_file"),
            connections=options.get("connections", 100),
            wire=options.get("wire"),
        ),
        timeouts=options.get("timeouts", Timeouts()),
        retry=options.get("retry", RetryPolicy()),
        rate=RateLimit(per_second=spec.per_second) if rate == "default" else rate,
        max_running=options.get("max_running"),
        poll_shortest=polling.shortest,
        poll_longest=polling.longest,
        preflight=options.get("preflight", True),
        hooks=hooks_of(options.get("hooks")),
        random=random.Random(options.get("seed")),  # noqa: S311 - jitter and names, no secrets
    )
    use_staging(account, options.get("staging"))
    return account
