"""A sandbox inside this process, for tests, notebooks and the ``sandbox`` command."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal

from avatarkit.errors import ConfigurationError
from avatarkit.protocol.fakewire import FakeAccount, FakeFailure, FakeTask
from avatarkit.sandbox.callbacks import Callbacks
from avatarkit.sandbox.control import Control
from avatarkit.sandbox.discovery import find_fakes
from avatarkit.sandbox.faults import Fault, Faults
from avatarkit.sandbox.files import FileStore
from avatarkit.sandbox.origins import Origins
from avatarkit.sandbox.render import Renderer
from avatarkit.sandbox.seen import Seen
from avatarkit.sandbox.server import SandboxServer
from avatarkit.sandbox.wire import SandboxWire
from avatarkit.sandbox.world import Delay, SandboxWorld
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock
from avatarkit.transport.threads import in_thread
from avatarkit.transport.wire import Wire

# Names that lead nowhere (RFC 6761), for a sandbox without sockets.
_UNHEARD = {"api": "http://sandbox.invalid", "files": "http://files.sandbox.invalid"}


class AsyncSandbox:
    """A local server that speaks the providers' wire protocols. Nothing leaves the machine or costs money.

    ``async with AsyncSandbox() as sandbox:`` starts it; then ``sandbox.base_url("hifly")`` and
    ``sandbox.token`` are what a client needs. A task is queued, runs and ends by the clock; results are real
    files behind signed URLs that expire.

    Args:
        port: of the API and the page; 0 picks a free one.
        files_port: of the second origin, for uploads and results; 0 picks a free one.
        host: address to bind. Anything but loopback lets the network in: the sandbox has no real secrets.
        clock: the client's clock, so that both live in the same virtual time.
        token: key of the account that every provider starts with.
        secret: its signing secret, for the providers that have one.
        credits: that account's balance, in the provider's unit.
        max_running: its cap on unfinished tasks (HiFly 1001); None for no cap.
        max_submitted: its second cap (HiFly 1015).
        requests_per_second: its cap on requests, answered with HTTP 429.
        callback_url: where its events go; only loopback addresses are called.
        queue_seconds: how long a task is queued, for all kinds or per kind (``video``, ``audio``,
            ``avatar``, ``voice``).
        run_seconds: how long it runs then, at least; rendering may take longer. ``math.inf``: until
            :meth:`finish`.
        url_lifetime: seconds that upload and result URLs work.
        render: ``studio`` makes talking avatars, ``plain`` simple valid files, ``tiny`` made-up bytes at once;
            ``auto`` is the studio when its packages are installed, else plain.
        result_bytes: size of each result with ``render="tiny"``.
        upload_limit: the largest upload in bytes.
        listen: False opens no port: only clients with ``wire=sandbox.wire()`` in this process reach it.
        keep_tasks: the most ended tasks to remember; what ended before them is forgotten with its result and its
            records in :attr:`seen` (not its counts), and asking for it finds no such task. None keeps all, at about two
            kilobytes each.
        switches: quirks per provider, such as ``{"hifly": {"auth_failure": "json"}}``; see each ``fake.py``.
        seed: decides the ids that are handed out.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        files_port: int = 0,
        host: str = "127.0.0.1",
        clock: Clock | None = None,
        token: str = "sandbox-token",  # noqa: S107 - it opens nothing
        secret: str = "sandbox-secret",  # noqa: S107 - nor does this
        credits: float = 10000.0,  # noqa: A002 - the word every provider uses
        max_running: int | None = None,
        max_submitted: int | None = None,
        requests_per_second: float | None = None,
        callback_url: str = "",
        queue_seconds: float | Mapping[str, float] = 0.3,
        run_seconds: float | Mapping[str, float] = 1.5,
        url_lifetime: float = 3600.0,
        render: Literal["auto", "studio", "plain", "tiny"] = "auto",
        result_bytes: int = 4096,
        upload_limit: int = 600 * 1024 * 1024,
        listen: bool = True,
        keep_tasks: int | None = None,
        switches: Mapping[str, Mapping[str, Any]] | None = None,
        seed: int = 0,
    ) -> None:
        self._clock: Clock = clock or SYSTEM_CLOCK
        self._host, self._port, self._files_port = host, port, files_port
        self._render: Literal["auto", "studio", "plain", "tiny"] = render
        self._result_bytes, self._upload_limit = result_bytes, upload_limit
        self._token, self._secret = token, secret
        self._faults, self._seen = Faults(), Seen()
        self._listen = listen
        self._world = SandboxWorld(
            now=self._clock.time,
            fakes=find_fakes(),
            seed=seed,
            url_lifetime=url_lifetime,
            keep_tasks=keep_tasks,
        )
        self._world.on_forget = self._seen.forget
        self._control = Control(self._world, self._faults, self._seen, self._poke)
        self.set_delays(queue_seconds=queue_seconds, run_seconds=run_seconds)
        for provider, changed in (switches or {}).items():
            self._control.set_switches(provider, changed)
        for provider in self._world.fakes:
            self.add_account(
                token,
                provider=provider,
                secret=secret,
                credits=credits,
                max_running=max_running,
                max_submitted=max_submitted,
                requests_per_second=requests_per_second,
                callback_url=callback_url,
            )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: SandboxServer | None = None
        self._wire: SandboxWire | None = None
        self._store: FileStore | None = None
        self._renderer: Renderer | None = None
        self._callbacks: Callbacks | None = None

    async def __aenter__(self) -> AsyncSandbox:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> None:
        """Listen. Raises OSError when a port is taken; does nothing when it runs already."""
        if self._wire is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._store = FileStore()
        self._callbacks = Callbacks(self._world, self._seen, self._clock)
        self._renderer = Renderer(
            self._world,
            self._store,
            mode=self._render,
            result_bytes=self._result_bytes,
            on_done=self._callbacks.check,
        )
        self._world.on_accept = self._renderer.start
        origins = Origins(
            world=self._world,
            faults=self._faults,
            seen=self._seen,
            clock=self._clock,
            store=self._store,
            callbacks=self._callbacks,
            upload_limit=self._upload_limit,
        )
        addresses = dict(_UNHEARD)
        if self._listen:
            server = SandboxServer(
                origins, self._control, host=self._host, port=self._port, files_port=self._files_port
            )
            try:
                await server.open()
            except BaseException:
                self._store.remove()
                raise
            self._server = server
            addresses = {origin: server.url(origin) for origin in addresses}
        self._world.files_url = addresses["files"]
        self._wire = SandboxWire(origins, self._control, addresses)
        bases = {provider: self.base_url(provider) for provider in self._world.fakes}
        self._control.addresses = {"page": self.url, "files": self.files_url, **bases}

    async def aclose(self) -> None:
        """Stop: requests under way are broken off, files are deleted. May be called more than once."""
        wire, self._wire = self._wire, None
        if wire is None:
            return
        try:
            wire.close()
            server, self._server = self._server, None
            if server is not None:
                await server.aclose()
            if self._callbacks is not None:
                await self._callbacks.aclose()
            if self._renderer is not None:
                await self._renderer.aclose()
        finally:
            if self._store is not None:
                try:
                    await in_thread(self._store.remove)
                except RuntimeError:  # at interpreter exit there are no threads to be had
                    self._store.remove()

    # --- where it is

    @property
    def url(self) -> str:
        """Address of the page, without a slash at the end. Raises ConfigurationError when it does not run."""
        return self._running().addresses["api"]

    def _running(self) -> SandboxWire:
        if self._wire is None:
            raise ConfigurationError("the sandbox is not running", hint="use it as a context manager")
        return self._wire

    def wire(self) -> Wire:
        """What a client in this process takes as ``wire``, so that its requests come here without sockets.

        Its ``base_url`` stays :meth:`base_url`. The client must run on the sandbox's event loop. Raises
        ConfigurationError when the sandbox does not run.
        """
        return self._running()

    def base_url(self, provider: str = "hifly") -> str:
        """What a client of *provider* takes as its base URL."""
        fake = self._world.fakes.get(provider)
        if fake is None:
            raise ConfigurationError(f"the sandbox does not know {provider!r}")
        return f"{self.url}/{provider}{fake.base_path}"

    @property
    def files_url(self) -> str:
        """Address of the second origin, for uploads and results."""
        _ = self.url
        return self._world.files_url

    @property
    def token(self) -> str:
        """Key of the first account."""
        return self._token

    @property
    def secret(self) -> str:
        """Signing secret of the first account."""
        return self._secret

    @property
    def providers(self) -> tuple[str, ...]:
        """Names of the providers it plays."""
        return tuple(sorted(self._world.fakes))

    # --- what it saw, and what shall go wrong

    @property
    def seen(self) -> Seen:
        """What it saw."""
        return self._seen

    @property
    def faults(self) -> Faults:
        """What shall go wrong."""
        return self._faults

    def state(self) -> dict[str, Any]:
        """What ``GET /__sandbox__/state`` answers."""
        return self._control.state()

    def refuse(self, seconds: float = 5.0, *, origin: Literal["api", "files"] = "api") -> None:
        """Let an origin refuse connections from now on, for *seconds*; idle connections are broken."""
        self._faults.on_refuse(Fault(kind="refuse", accept=False, seconds=seconds, origin=origin))

    # --- accounts

    def add_account(
        self,
        token: str,
        *,
        provider: str = "hifly",
        secret: str = "",
        credits: float = 10000.0,  # noqa: A002 - the word every provider uses
        max_running: int | None = None,
        max_submitted: int | None = None,
        requests_per_second: float | None = None,
        callback_url: str = "",
        switches: Mapping[str, Any] | None = None,
    ) -> None:
        """Open another account. Raises InvalidRequest for an unknown provider or switch."""
        self._control.add_account(
            FakeAccount(
                provider=provider,
                key=token,
                secret=secret,
                credits=credits,
                max_running=max_running,
                max_submitted=max_submitted,
                requests_per_second=requests_per_second,
                callback_url=callback_url,
                switches=dict(switches or {}),
            )
        )

    def set_account(
        self,
        token: str = "",
        *,
        provider: str = "hifly",
        credits: float | Literal["same"] = "same",  # noqa: A002 - the word every provider uses
        max_running: int | Literal["same"] | None = "same",
        max_submitted: int | Literal["same"] | None = "same",
        requests_per_second: float | Literal["same"] | None = "same",
        callback_url: str = "same",
        switches: Mapping[str, Any] | None = None,
    ) -> None:
        """Change an account, by default the first; what is not given stays the same.

        Raises InvalidRequest when there is no such account or switch.
        """
        given = {
            "credits": credits,
            "max_running": max_running,
            "max_submitted": max_submitted,
            "requests_per_second": requests_per_second,
            "callback_url": callback_url,
        }
        changed = {name: value for name, value in given.items() if value != "same"}
        self._control.set_account(provider, token or self._token, switches or {}, changed)

    def credits(self, token: str = "", *, provider: str = "hifly") -> float:
        """What is left on an account, by default the first."""
        return self._control.account(provider, token or self._token).credits

    # --- tasks

    def set_delays(
        self,
        *,
        queue_seconds: float | Mapping[str, float] | None = None,
        run_seconds: float | Mapping[str, float] | None = None,
    ) -> None:
        """Change how long tasks accepted from now on are queued and run, for all kinds or per kind."""
        for kind in ("video", "audio", "avatar", "voice"):
            old = self._world.delays.get(kind, self._world.default_delay)
            self._world.delays[kind] = Delay(
                queue=_delay(queue_seconds, kind, old.queue), run=_delay(run_seconds, kind, old.run)
            )

    def fail_next(
        self, endpoint: str = "*", *, code: int | str | None = None, message: str = "", times: int = 1
    ) -> None:
        """Let the next *times* tasks accepted at *endpoint* (``POST /video/create_by_tts``, ``*``) fail.

        *code* None is the provider's usual one for the kind.
        """
        self._world.fail_next(endpoint, FakeFailure(code=code, message=message), times)

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks as plain data, newest first; a result comes with a freshly signed ``url``."""
        return self._control.tasks()

    def finish(self, task_id: str | None = None) -> int:
        """End one task, or all, now; how many. One that is still being rendered ends when that is done."""
        return self._control.finish(task_id)

    def fail(self, task_id: str, *, code: int | str | None = None, message: str = "") -> None:
        """End a task now, without a result. Raises InvalidRequest when there is none of this id."""
        self._control.fail(task_id, code, message)

    def advance(self, seconds: float) -> int:
        """Let all unfinished tasks be *seconds* further on; how many there are."""
        return self._control.advance(seconds)

    def _poke(self, task: FakeTask) -> None:
        if self._wire is not None and self._loop is not None and self._callbacks is not None:
            self._loop.call_soon_threadsafe(self._callbacks.check, task)


def _delay(given: float | Mapping[str, float] | None, kind: str, old: float) -> float:
    if given is None:
        return old
    return float(given.get(kind, old)) if isinstance(given, Mapping) else float(given)
