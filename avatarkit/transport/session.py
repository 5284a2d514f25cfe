"""Owning aiohttp: three pools per running loop, made on first use, closed with the loop at the latest.

- *api*: polls and other small requests, connections kept alive;
- *submit*: billed requests. A connection that was idle for more than two seconds is not used, since a stale
  keep-alive socket is the commonest needless doubt; the send deadline is checked when the connection is ready, the
  last moment before bytes go out;
- *files*: signed URLs on foreign hosts; never sees a credential.

aiohttp is imported here on first use, for it costs more than the rest of avatarkit together.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import ssl
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import attrs

from avatarkit._version import __version__
from avatarkit.errors import ClientClosed, ConfigurationError, NotSent
from avatarkit.settings import Timeouts
from avatarkit.transport.wire import Wire, WireSession

if TYPE_CHECKING:
    import aiohttp

    from avatarkit.transport.clock import Clock

_FRESH = 2.0
# Fixed headers in place of aiohttp's own: to skip those by name costs a merge of two dictionaries for each request.
_HEADERS = {"User-Agent": f"avatarkit/{__version__}", "Accept-Encoding": "identity"}


@attrs.define
class SendMark:
    """Tells whether a submission may have left, and until when it may leave.

    Attributes:
        deadline: monotonic second after which it must not go out any more.
        wall_deadline: the same in seconds since 1970: the monotonic clock stands still while a machine sleeps.
        sent: set when a connection was handed to it: from then on a byte may be on its way.

    """

    deadline: float
    sent: bool = False
    wall_deadline: float = math.inf

    def too_late(self, clock: Clock) -> bool:
        """Whether its time is over, by either clock."""
        return clock.monotonic() > self.deadline or clock.time() > self.wall_deadline


send_mark: ContextVar[SendMark | None] = ContextVar("avatarkit-send-mark", default=None)


@attrs.frozen(kw_only=True)
class Network:
    """How to reach the network.

    Attributes:
        proxy: URL of a proxy; None takes HTTPS_PROXY, HTTP_PROXY and NO_PROXY from the environment; ``""`` uses none.
        ca_file: PEM file with the certificate authorities to trust in place of the system's.
        connections: the most open connections to the API, and so the most requests in progress.
        wire: requests go straight to this object, no sockets; the rest means nothing then.

    """

    proxy: str | None = attrs.field(default=None, repr=False)
    ca_file: str | None = None
    connections: int = attrs.field(default=100, validator=attrs.validators.ge(1))
    wire: Wire | None = attrs.field(default=None, repr=False)

    def proxy_for(self, url: str) -> str | None:
        """The proxy for *url*. Decided by us: aiohttp's own look at the environment would also read ~/.netrc."""
        if self.wire is not None:
            return None
        if self.proxy is not None:
            return self.proxy or None
        from urllib.request import getproxies, proxy_bypass

        host = urlsplit(url).hostname
        if not host or proxy_bypass(host) or host in ("localhost", "::1") or host.startswith("127."):
            return None  # no proxy can reach this machine's own loopback for us
        return getproxies().get(urlsplit(url).scheme)

    def ssl_context(self) -> ssl.SSLContext | bool:
        """Certificates are always checked; with the authorities of *ca_file* when given."""
        if self.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"the CA file {self.ca_file!r} cannot be used: {error}") from None


def _submit_connector(clock: Clock, **options: Any) -> aiohttp.TCPConnector:
    import aiohttp

    class SubmitConnector(aiohttp.TCPConnector):
        """Marks a submission as sent once it has a connection, and refuses one that is too late."""

        async def connect(self, req: Any, traces: Any, timeout: Any) -> Any:
            connection = await super().connect(req, traces, timeout)
            mark = send_mark.get()
            if mark is not None:
                if mark.too_late(clock):
                    connection.release()
                    raise NotSent("the time given ran out before the request could go out")
                mark.sent = True
            return connection

    return SubmitConnector(**options)


class Sessions:
    """The sessions of one client on one running loop."""

    def __init__(
        self, network: Network, timeouts: Timeouts, clock: Clock, headers: Mapping[str, str] | None = None
    ) -> None:
        """*headers* go with every request to the provider, and never to the hosts of files."""
        self._headers = {**_HEADERS, **(headers or {})}
        self._network = network
        self._timeouts = timeouts
        self._clock = clock
        self._open: dict[str, aiohttp.ClientSession] = {}
        self._closed = False

    @property
    def api(self) -> aiohttp.ClientSession:
        """For small requests to the provider."""
        session = self._open.get("api")
        return session if session is not None and not session.closed else self._make_api()

    @property
    def submit(self) -> aiohttp.ClientSession:
        """For billed requests to the provider."""
        session = self._open.get("submit")
        return session if session is not None and not session.closed else self._make_submit()

    @property
    def files(self) -> aiohttp.ClientSession:
        """For signed URLs on any host."""
        session = self._open.get("files")
        return session if session is not None and not session.closed else self._make_files()

    def _make(
        self,
        name: str,
        connector: Callable[[], aiohttp.TCPConnector],
        timeout: aiohttp.ClientTimeout,
        **options: Any,
    ) -> aiohttp.ClientSession:
        import aiohttp

        if self._closed:  # a call that was still repeating itself; nobody would close what it opens
            raise ClientClosed("the client was closed while this call was under way")
        if self._network.wire is not None:
            # It has what we use of a session, and nobody else sees it.
            self._open[name] = wired = cast("aiohttp.ClientSession", self._wired(name, timeout, options))
            return wired
        session = self._open[name] = aiohttp.ClientSession(
            connector=connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=timeout,
            auto_decompress=True,
            trust_env=False,
            **options,
        )
        return session

    def _wired(self, name: str, timeout: aiohttp.ClientTimeout, options: Mapping[str, Any]) -> WireSession:
        assert self._network.wire is not None
        mark = send_mark if name == "submit" else None
        return WireSession(self._network.wire, self._clock, options.get("headers", {}), timeout, mark)

    def _make_api(self) -> aiohttp.ClientSession:
        import aiohttp

        session = self._make(
            "api",
            lambda: aiohttp.TCPConnector(
                limit=self._network.connections,
                keepalive_timeout=30,
                ssl=self._network.ssl_context(),
            ),
            aiohttp.ClientTimeout(total=self._timeouts.request, sock_connect=self._timeouts.connect),
            headers=self._headers,
        )
        # Else aiohttp sends a GET again by itself: past the limiter, the retry policy and the hooks.
        session._retry_connection = False  # noqa: SLF001
        return session

    def _make_submit(self) -> aiohttp.ClientSession:
        import aiohttp

        return self._make(
            "submit",
            lambda: _submit_connector(
                self._clock,
                limit=self._network.connections,
                keepalive_timeout=_FRESH,
                ssl=self._network.ssl_context(),
            ),
            aiohttp.ClientTimeout(total=self._timeouts.submit, sock_connect=self._timeouts.connect),
            headers=self._headers,
        )

    def _make_files(self) -> aiohttp.ClientSession:
        import aiohttp

        return self._make(
            "files",
            lambda: aiohttp.TCPConnector(limit=32, keepalive_timeout=5, ssl=self._network.ssl_context()),
            aiohttp.ClientTimeout(
                total=None, sock_connect=self._timeouts.connect, sock_read=self._timeouts.read
            ),
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
        )

    async def aclose(self) -> None:
        """Close every connection, for good."""
        self._closed = True
        sessions, self._open = list(self._open.values()), {}
        for session in sessions:
            with contextlib.suppress(OSError):
                await session.close()
        if sessions:
            # Transports close on the loop's next turns; without them Python reports unclosed sockets.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
