"""Takes callbacks in: an unguessable path, a check, one look at the task that the event means."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import secrets as random_source
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import attrs

from avatarkit import providers
from avatarkit.client import AsyncClient
from avatarkit.errors import (
    ClientClosed,
    ConfigurationError,
    InvalidCallback,
    UnsupportedOperation,
)
from avatarkit.protocol.callback import CallbackEvent, CallbackFormat
from avatarkit.protocol.signing import webhook_key
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock
from avatarkit.webhooks.inbox import Inbox, Verdict

_logger = logging.getLogger("avatarkit")

LARGEST_BODY: Final = 256 * 1024
"""Bytes; larger callbacks are answered with 413. Real ones have a few kilobytes."""
_SHORTEST_SECRET: Final = 16
_PLAIN: Final = {"content-type": "text/plain; charset=utf-8"}


class Reply(NamedTuple):
    """What to answer: HTTP status, headers with lower-case names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


NOT_FOUND: Final = Reply(404, _PLAIN, b"not found")
TOO_LARGE: Final = Reply(413, _PLAIN, b"too large")
NOT_ALLOWED: Final = Reply(405, {**_PLAIN, "allow": "POST"}, b"POST only")
_UNREADABLE: Final = Reply(400, _PLAIN, b"unreadable")
_FORGED: Final = Reply(401, _PLAIN, b"bad signature")


@attrs.define
class WebhookCounts:
    """How many callbacks came, and what they were.

    Attributes:
        received: bodies that were read and accepted, copies and late ones included.
        known: events about tasks that are unfinished here; those that tell an end bring a look at once.
        unknown: events about tasks that are not known here (yet), or that have ended.
        copies: the same message again.
        late: said that a task goes on after its end was announced.
        forged: the signature was missing, old or wrong.
        unreadable: not what the vendor sends.

    """

    received: int = 0
    known: int = 0
    unknown: int = 0
    copies: int = 0
    late: int = 0
    forged: int = 0
    unreadable: int = 0


class Webhooks:
    """Receives vendors' callbacks for *clients* and wakes their waiting tasks.

    An event is a hint: the client looks at the task itself, at once, and only what it sees there counts. So a lost,
    copied, re-ordered or forged callback does no harm. Polling goes on, about a quarter as often while callbacks
    announce every end. Use it on the event loop that the clients run on.

    Args:
        clients: one client or several, also several accounts of one provider.
        secret_path: at least 16 characters from which the unguessable part of the paths is made. Give one where a
            vendor's console keeps the URL (HiFly); without it the paths change with every start.
        kling_secret: Kling's webhook secret (``whsec_…``). With it, unsigned Kling callbacks are refused.
        secrets: signing secrets by provider name, for providers that sign.
        prefix: what all paths begin with.
        on_event: called once with each event that is news, believed or not, known task or not, on the event loop: be
            quick. An error in it is logged.
        clock: another time, for tests.

    Raises:
        ConfigurationError: a secret is too short, is none of the vendor's, or is for a provider that signs nothing;
            or a client is a blocking one.

    """

    def __init__(
        self,
        clients: AsyncClient | Iterable[AsyncClient] = (),
        *,
        secret_path: str | None = None,
        kling_secret: str | None = None,
        secrets: Mapping[str, str] | None = None,
        prefix: str = "/avatarkit",
        on_event: Callable[[CallbackEvent], object] | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if secret_path is not None and len(secret_path) < _SHORTEST_SECRET:
            raise ConfigurationError(
                f"secret_path has fewer than {_SHORTEST_SECRET} characters",
                hint="Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ConfigurationError("prefix begins with / and does not end with one")
        self.prefix = prefix
        self.counts = WebhookCounts()
        self._formats = _formats()
        self._secrets = _checked(self._formats, {**(secrets or {}), **_named("kling", kling_secret)})
        self._paths = self._make_paths(secret_path or random_source.token_urlsafe(32))
        self._clients: list[AsyncClient] = []
        self._on_event = on_event
        self._clock = clock
        self._inbox = Inbox()
        self._warned: set[str] = set()
        for client in clients if isinstance(clients, Iterable) else (clients,):
            self.add(client)

    def add(self, client: AsyncClient) -> None:
        """Wake *client*'s tasks too.

        Raises:
            ConfigurationError: it is a blocking client.

        """
        if not isinstance(client, AsyncClient):
            raise ConfigurationError(
                f"{type(client).__name__} is no async client",
                hint="Callbacks wake tasks of AsyncHiFly, AsyncGuiji, …",
            )
        if client not in self._clients:
            self._clients.append(client)

    # -- paths

    @property
    def providers(self) -> tuple[str, ...]:
        """The providers that send callbacks."""
        return tuple(self._formats)

    def path(self, provider: str) -> str:
        """Where *provider*'s callbacks go: ``/avatarkit/<provider>/<32 characters>``. Treat it as a secret.

        Raises:
            UnsupportedOperation: the provider sends no callbacks.
            ConfigurationError: there is no such provider.

        """
        found = self._paths.get(provider)
        if found is None:
            title = providers.spec(provider).title
            raise UnsupportedOperation(f"{title} sends no callbacks", providers=self.providers)
        return found.decode("ascii")

    def url(self, provider: str, base: str) -> str:
        """The address to give to the vendor, below *base* (``https://example.com``)."""
        return base.rstrip("/") + self.path(provider)

    def provider_at(self, *paths: str) -> str | None:
        """Whose path one of *paths* is; None for nobody's. Takes the same time whether or not much of it is right."""
        found = None
        for text in paths:
            given = text.encode("utf-8", "replace")
            for provider, path in self._paths.items():
                if hmac.compare_digest(given, path):
                    found = provider
        return found

    def _make_paths(self, secret: str) -> dict[str, bytes]:
        made = {}
        for provider in self._formats:
            mark = hmac.new(secret.encode(), f"avatarkit callbacks {provider}".encode(), hashlib.sha256)
            token = base64.b32encode(mark.digest())[:32].decode("ascii").lower()
            made[provider] = f"{self.prefix}/{provider}/{token}".encode()
        return made

    # -- callbacks

    async def handle(self, provider: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Take one callback in and give the answer; what it sets off goes on after this.

        Args:
            provider: whose callback it is, from the path.
            headers: the request's, names in any case.
            body: the raw bytes, exactly as they came: signatures are over them.

        """
        shape = self._formats.get(provider)
        if shape is None:
            return NOT_FOUND
        if len(body) > LARGEST_BODY:
            return TOO_LARGE
        lowered = {name.lower(): value for name, value in headers.items()}
        try:
            event = shape.parse(lowered, body, now=self._clock.time(), secret=self._secrets.get(provider))
        except InvalidCallback as error:
            return self._refuse(error)
        self._take(event)
        status, content_type, answer = shape.answer(event)
        return Reply(status, {"content-type": content_type}, answer)

    def _refuse(self, error: InvalidCallback) -> Reply:
        self._warn_once(f"{error.provider}: {error}")
        if error.forged:
            self.counts.forged += 1
            return _FORGED
        self.counts.unreadable += 1
        return _UNREADABLE

    def _take(self, event: CallbackEvent) -> None:
        self.counts.received += 1
        verdict = self._inbox.take(event, self._clock.monotonic())
        if verdict is Verdict.COPY:
            self.counts.copies += 1
            return
        if verdict is Verdict.LATE:
            self.counts.late += 1
        elif any(self._hint(client, event) for client in self._clients):
            self.counts.known += 1
        else:
            self.counts.unknown += 1
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                _logger.exception("on_event failed on a callback of %s", event.provider)

    def _hint(self, client: AsyncClient, event: CallbackEvent) -> bool:
        account: Any = client._account  # noqa: SLF001 - the engine's own door; users have no business there
        if account.spec.name != event.provider or not (event.kind or event.task_key):
            return False
        try:
            hub = account.engine().hub
        except ClientClosed:
            return False
        except ConfigurationError as error:  # it runs on another loop
            self._warn_once(str(error))
            return False
        woken: bool = hub.hint(event.kind, event.task_id, marker=event.marker, ended=event.status.terminal)
        return woken

    def _warn_once(self, text: str) -> None:
        level = logging.DEBUG if text in self._warned else logging.WARNING
        if len(self._warned) < 100:
            self._warned.add(text)
        _logger.log(level, "a callback was not used: %s", text)

    def __repr__(self) -> str:
        return f"<Webhooks for {', '.join(self.providers)}, {len(self._clients)} clients>"


def signing_providers() -> tuple[str, ...]:
    """The providers that can sign their callbacks."""
    return tuple(name for name, shape in _formats().items() if shape.signed)


def _formats() -> dict[str, CallbackFormat]:
    found = {}
    for name in providers.names():
        try:
            shape = getattr(providers.part(name, "callbacks"), "FORMAT", None)
        except ModuleNotFoundError:
            continue
        if shape is not None:
            found[name] = shape
    return found


def _named(provider: str, secret: str | None) -> dict[str, str]:
    return {} if secret is None else {provider: secret}


def _checked(formats: Mapping[str, CallbackFormat], secrets: Mapping[str, str]) -> dict[str, str]:
    for provider, secret in secrets.items():
        if provider not in formats or not formats[provider].signed:
            raise ConfigurationError(f"{provider} signs no callbacks, so there is no secret for them")
        try:
            usable = len(webhook_key(secret)) >= _SHORTEST_SECRET
        except ValueError:
            usable = False
        if not usable:
            raise ConfigurationError(
                f"this is no webhook secret of {provider}: it is whsec_ and base64",
                hint="Copy it whole from the vendor's console.",
            )
    return dict(secrets)
