"""What every client's constructor takes, options by name and credentials, and the account that comes of it."""

from __future__ import annotations

import inspect
import os
import random
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, TypedDict
from urllib.parse import urlsplit

from avatarkit.errors import ConfigurationError, MissingCredentials
from avatarkit.events import Hook
from avatarkit.models import Kind
from avatarkit.protocol.auth import Auth
from avatarkit.protocol.endpoint import ProviderSpec, TaskKind
from avatarkit.protocol.redact import fingerprint, scrub, signing_key
from avatarkit.settings import Polling, RateLimit, RetryPolicy, Timeouts
from avatarkit.transport.account import Account
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock
from avatarkit.transport.session import Network
from avatarkit.transport.shared import ACCOUNT_NAME, account_variable
from avatarkit.transport.staging import Staging, use_staging
from avatarkit.transport.wire import Wire


class ClientOptions(TypedDict, total=False):
    """Keyword arguments that every client takes. A wrong one raises ConfigurationError when the client is made.

    Attributes:
        base_url: where the API lives, without a slash at the end; else the provider's own, or the environment's. It
            must hold no user name or password, no query and no fragment.
        account: a name for the account in place of the fingerprint made from its credentials, which ``account_id``
            then is: 1 to 64 ASCII letters, digits, ``.``, ``_`` and ``-``; ``""`` takes the environment's
            (``HIFLY_ACCOUNT``) if the credentials are from there, too, else the fingerprint. After its key was changed,
            give the old ``account_id`` to go on with tokens of tasks, tickets and journals; or give a name of your own
            from the beginning. Clients of one name share limits, so give each account its own name. Tokens of chains
            (``avkc1.``) are signed with the credentials: those begun with an old key cannot be gone on with by name.
        timeouts: bounds in seconds, see :class:`Timeouts`.
        retry: for requests that are safe to repeat, see :class:`RetryPolicy`.
        rate_limit: requests a second for the whole account; ``"default"`` is the provider's, None is none.
        max_running: the most tasks to have running at once, at least 1; None learns it from the provider's refusals.
            Clients of one account share their task slots: the smallest ``max_running`` among those that are open
            holds for all. Closing a client ends its wish; what was learned from refusals stays.
        polling: bounds between two looks at one task.
        proxy: URL of a proxy, ``http`` or ``https``; None honours the environment, ``""`` uses none.
        ca_file: PEM file with the authorities to trust.
        connections: the most requests in progress, at least 1.
        preflight: False skips the local check of files and limits.
        hooks: called with every event, see :mod:`avatarkit.events`. Plain functions, none that must be awaited.
        staging: where local files are put for providers that take only URLs: a URL such as ``s3://bucket/prefix``, or
            a :class:`Staging`; None leaves it to the environment (``AVATARKIT_STAGING``), ``""`` is none.
        wire: for tests and benchmarks: requests go straight to this object, no sockets (``AsyncSandbox.wire()``).
        clock: another time, for tests.
        seed: makes jitter and markers repeatable, for tests.

    """

    base_url: str | None
    account: str
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


# -- checking: each gives what is allowed where a value is not, else "" -----------------------------------------------


def found(value: object) -> str:
    """A wrong value in words. Texts are not shown: any of them may be, or hold, a secret."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _refuse(name: str, value: object, allowed: str) -> ConfigurationError:
    return ConfigurationError(f"{name}: {found(value)} found, {allowed} allowed")


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _count(value: Any) -> str:
    if not _number(value):
        return "a whole number"
    return "" if value >= 1 else "at least 1"


def _one_of(cls: type, example: str) -> Callable[[object], str]:
    return lambda value: "" if isinstance(value, cls) else f"{cls.__name__}, such as {example},"


def _has(what: str, *methods: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        good = not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in methods)
        return "" if good else what

    return check


def _or_none(check: Callable[[object], str]) -> Callable[[object], str]:
    def either(value: object) -> str:
        allowed = "" if value is None else check(value)
        return f"{allowed} or None" if allowed and not allowed.startswith("at least") else allowed

    return either


def _rate(value: object) -> str:
    good = value is None or isinstance(value, RateLimit) or value == "default"
    return "" if good else 'RateLimit(per_second=5), "default" or None'


def _ca_file(value: object) -> str:
    return "" if isinstance(value, str | os.PathLike) else "the path of a PEM file"


def _text(value: object) -> str:
    return "" if isinstance(value, str) else "a text"


_CHECKS: Final[Mapping[str, Callable[[Any], str]]] = {
    "base_url": _or_none(_text),
    "account": _text,
    "timeouts": _one_of(Timeouts, "Timeouts(request=30)"),
    "retry": _one_of(RetryPolicy, "RetryPolicy(attempts=3)"),
    "rate_limit": _rate,
    "max_running": _or_none(_count),
    "polling": _one_of(Polling, "Polling(longest=30)"),
    "proxy": _or_none(_text),
    "ca_file": _or_none(_ca_file),
    "connections": _count,
    "preflight": lambda value: "" if isinstance(value, bool) else "True or False",
    "staging": _or_none(lambda value: _text(value) and _has("a URL, a Staging", "stage", "aclose")(value)),
    "wire": _or_none(_has("a Wire", "connect", "exchange")),
    "clock": _has("a Clock", "monotonic", "time", "sleep", "call_later"),
    "seed": _or_none(lambda value: "" if _number(value) else "a whole number"),
}


_LONGEST_PATH: Final = 1000


def _check_proxy(url: str) -> None:
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme if "://" in url else "", parts.port != 0 and parts.hostname
    except ValueError:
        scheme = host = ""
    if url and not (scheme in ("http", "https") and host):
        # Nothing else of it is shown: there may be a password.
        seen = f"scheme {scheme!r}" if scheme and host else "no URL with a host"
        raise ConfigurationError(f"proxy: {seen} found, http:// or https:// with a host allowed")


def _check(options: ClientOptions) -> None:
    unknown = sorted(options.keys() - ClientOptions.__annotations__.keys())
    if unknown:
        close = get_close_matches(unknown[0], ClientOptions.__annotations__, 1)
        meant = f"; is {close[0]!r} meant?" if close else ""
        raise TypeError(f"unknown client options: {', '.join(unknown)}{meant}")
    for name, value in options.items():
        allowed = _CHECKS[name](value) if name in _CHECKS else ""
        if allowed:
            raise _refuse(name, value, allowed)
    _check_proxy(options.get("proxy") or "")
    _check_ca_file(options.get("ca_file") or "")


def _check_ca_file(path: str | os.PathLike[str]) -> None:
    # Whether it holds certificates is seen when it is loaded: that takes long enough to be felt.
    try:
        good = not path or (Path(path).is_file() and os.access(path, os.R_OK))
    except (OSError, ValueError):
        good = False
    if not good:
        text = os.fspath(path)
        # Not shown if it may be the certificate itself, and perhaps a key with it.
        seen = repr(text) if len(text) <= _LONGEST_PATH and text.isprintable() else "a text that is no path"
        raise ConfigurationError(f"ca_file: {seen} found, a file that can be read allowed")


def hooks_of(value: Hook | Iterable[Hook] | None) -> tuple[Hook, ...]:
    """One hook, several, or none, as a tuple.

    Raises:
        ConfigurationError: one cannot be called, or would have to be awaited.

    """
    if value is None:
        return ()
    allowed = "a function that takes an event, or several of them,"
    if callable(value):
        hooks: tuple[Any, ...] = (value,)
    elif isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise _refuse("hooks", value, allowed)
    else:
        hooks = tuple(value)
    for hook in hooks:
        if not callable(hook):
            raise _refuse("hooks", hook, allowed)
        if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(type(hook).__call__):
            raise ConfigurationError(
                "hooks: an async function found, a plain one allowed: nobody would await it"
            )
    return hooks


# -- from the environment, too ----------------------------------------------------------------------------------------


class FromEnvironment(tuple[str, ...]):
    """Credentials none of which was passed to the client."""

    __slots__ = ()


def read_credentials(spec: ProviderSpec, *given: str | None) -> tuple[str, ...]:
    """The credentials given, else those of the environment.

    Raises:
        MissingCredentials: one is missing; the message names its variable.
        ConfigurationError: one is no text, or holds characters that no token has.

    """
    for text, name in zip(given, spec.credentials, strict=True):
        if text is not None and not isinstance(text, str):
            kind = type(text).__name__  # never the value: it may well be the secret
            raise ConfigurationError(
                f"the credentials for {spec.title}: {name} is of type {kind}, text needed"
            )
    texts = [text or os.environ.get(name, "") for text, name in zip(given, spec.credentials, strict=True)]
    missing = [name for text, name in zip(texts, spec.credentials, strict=True) if not text.strip()]
    if missing:
        names = " and ".join(missing)
        raise MissingCredentials(
            f"no credentials for {spec.title}: {names} is not set",
            hint=f"Set the environment variable {names}, or pass the credentials to the client.",
        )
    for text in texts:
        if not text.strip().isascii() or not text.strip().isprintable():
            raise ConfigurationError(f"the credentials for {spec.title} hold characters that no token has")
    credentials = tuple(text.strip() for text in texts)
    return credentials if any(given) else FromEnvironment(credentials)


def _base_url(spec: ProviderSpec, options: ClientOptions) -> str:
    """The base URL to use; one that holds a user name or password is refused without showing it."""
    given, told = options.get("base_url"), os.environ.get(spec.base_url_variable)
    url, name = (given, "base_url") if given else (told or spec.base_url, spec.base_url_variable)
    try:
        parts = urlsplit(url)
        plain = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        told_who, extra = "@" in parts.netloc, bool(parts.query or parts.fragment or set("?#") & set(url))
    except ValueError:
        plain = told_who = extra = False
    # Where it cannot be taken apart, whatever stands before an @ may be a password.
    if told_who or ("@" in url and (extra or not plain)):
        raise ConfigurationError(
            f"{name}: the base URL must not contain credentials",
            hint="Pass the provider's credentials to the client; a password for a proxy belongs into proxy=.",
        )
    if extra:
        raise ConfigurationError(f"{name}: the base URL must not have a query or a fragment")
    if not plain:
        raise ConfigurationError(f"{name}: the base URL {scrub(url)!r} is not an http(s) URL")
    return url


def _account_name(spec: ProviderSpec, credentials: tuple[str, ...], options: ClientOptions) -> str:
    """What the account is called by the option, else by the environment; ``""`` when by neither.

    The environment names the account of the credentials that it holds, and no other.
    """
    given, variable = options.get("account", ""), account_variable(spec.name)
    told = os.environ.get(variable, "").strip() if isinstance(credentials, FromEnvironment) else ""
    name = given or told
    # Not shown, and no credential taken: it may be the key itself, put where its name belongs.
    if name and (name in credentials or not ACCOUNT_NAME.fullmatch(name)):
        raise ConfigurationError(
            f"{'account' if given else variable}: a name that cannot be used found, 1 to 64 letters, digits, "
            "'.', '_' and '-' allowed, and no credential"
        )
    return name


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
        ConfigurationError: an option cannot be what it is; the message names it. Nothing of other clients changed.
        ConfigurationError, MissingExtra: the staging cannot work as it is set up.

    """
    _check(options)
    rate = options.get("rate_limit", "default")
    polling = options.get("polling", Polling())
    name, own = _account_name(spec, credentials, options), fingerprint(spec.name, *credentials)
    account = Account(
        spec=spec,
        base_url=_base_url(spec, options),
        auth=auth,
        kinds=kinds if kinds is not None else spec.kinds,
        fingerprint=name or own,
        login=own if name and name != own else "",
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
