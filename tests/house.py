"""A sandbox and clients of one provider on one side, and what tests ask of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sides import Side

from avatarkit import providers
from avatarkit.protocol.endpoint import Endpoint
from avatarkit.protocol.fakewire import FakeRequest, FakeResponse
from avatarkit.protocol.samples import LocalFile, Login, Need, Operation, Samples
from avatarkit.sandbox.discovery import path_labels
from avatarkit.transport.sandbox_staging import SandboxStaging


def keys(provider: str, box: Any, *given: str) -> tuple[str, ...]:
    """Credentials of *provider* for the sandbox, as many as it takes; those *given* go first."""
    return (*(given or (box.token,)), box.secret)[: len(providers.spec(provider).credentials)]


def harmless(provider: str) -> str:
    """A path that can be asked with GET without anything being made, billed or repeated."""
    look: Endpoint = providers.part(provider, "samples").SAMPLES.look
    return re.sub(r"\{[^}]*\}", "no-such-task", look.path)


def named(endpoint: Endpoint) -> str:
    """An endpoint as the sandbox names it: ``POST /video/create_by_tts``."""
    return f"{endpoint.method} {endpoint.path}"


class Listening:
    """A provider's fake that keeps the requests it gets."""

    def __init__(self, fake: Any) -> None:
        self._fake = fake
        self.heard: list[FakeRequest] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fake, name)

    def handle(self, request: FakeRequest, world: Any) -> FakeResponse:
        self.heard.append(request)
        answer: FakeResponse = self._fake.handle(request, world)
        return answer


class Skewed:
    """A side's clock whose calendar is wrong by *seconds*; intervals are right."""

    def __init__(self, clock: Any, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    def time(self) -> float:
        now: float = self._clock.time()
        return now + self._seconds


class House:
    """A sandbox and clients of one provider on one side, with one of its ways to authenticate."""

    def __init__(self, side: Side, provider: str, folder: Path, login: Login | None = None) -> None:
        self.side = side
        self.provider = provider
        self.login = login
        self.spec = providers.spec(provider)
        self.samples: Samples = providers.part(provider, "samples").SAMPLES
        self.fake = providers.part(provider, "fake").FAKE
        self.folder = folder
        self._box: Any = None
        self._open: list[Any] = []
        self._made: dict[str, Any] = {}

    @property
    def box(self) -> Any:
        """The sandbox; started by the first who asks."""
        return self._box if self._box is not None else self.start()

    def start(self, **options: Any) -> Any:
        """Start the sandbox."""
        assert self._box is None
        self._box = self.side.sandbox(**{"render": "tiny", **options})
        self._box.start()
        return self._box

    def client(self, *credentials: str, skew: float = 0.0, **options: Any) -> Any:
        """A client of the sandbox, whose calendar is wrong by *skew* seconds; closed at the end of the test."""
        given = {"base_url": self.box.base_url(self.provider), "seed": 7, **options}
        given.setdefault("staging", SandboxStaging(self.box.url, clock=self.side.clock))
        named = self.named_keys(*credentials)
        client = self.side.client(self.provider, *self.keys(*credentials), **named, **given)
        if skew:
            self.side.original(client)._account.clock = Skewed(self.side.clock, skew)
        self._open.append(client)
        return client

    def keys(self, *given: str) -> tuple[str, ...]:
        """Positional credentials of the sandbox's account, or those *given*; none for a login that has names."""
        return keys(self.provider, self.box, *given) if self.login is None else ()

    def named_keys(self, *given: str) -> dict[str, str]:
        """The login's keyword arguments for the sandbox's account, or for the key *given*."""
        if self.login is None:
            return {}
        key, secret, *_ = (*given, *(self.box.token, self.box.secret)[len(given) :])
        return self.login.named(key, secret)

    def close(self) -> None:
        """Close what is open."""
        for client in self._open:
            client.close()
        if self._box is not None:
            self._box.close()

    # -- calls

    @property
    def submission(self) -> Operation:
        """The operation that stands for all submissions."""
        return self.samples.operation(self.samples.submission)

    def method(self, client: Any, name: str) -> Any:
        """``videos.create_by_tts`` of *client*."""
        for part in name.split("."):
            client = getattr(client, part)
        return client

    def submit(self, client: Any, **changes: Any) -> Any:
        """The standard submission."""
        return self.call(client, self.submission, **changes)

    def call(self, client: Any, operation: Operation, **changes: Any) -> Any:
        """Make a call; what it needs is made first."""
        arguments = {**self.arguments(client, operation), **changes}
        return self.method(client, operation.method)(**arguments)

    def arguments(self, client: Any, operation: Operation) -> dict[str, Any]:
        """The call's arguments, everything in its place."""
        for name in operation.needs:
            self._need(client, name)
        filled = self.filled(client, operation.arguments)
        assert isinstance(filled, dict)
        return filled

    def filled(self, client: Any, value: Any) -> Any:
        """*value* with ids for needs and paths for local files."""
        if isinstance(value, Mapping):
            return {name: self.filled(client, item) for name, item in value.items()}
        if isinstance(value, Need):
            return self._need(client, value.name)
        if isinstance(value, LocalFile):
            return self._file(value)
        return value

    def _need(self, client: Any, name: str) -> Any:
        if name not in self._made:
            for asset in self.fake.stock():
                self._made.setdefault(asset.kind, asset.id)
        if name not in self._made:
            operation = self.maker(name)
            result = self.call(client, operation)
            if operation.task:
                self._made[operation.task] = result.id
            if operation.makes:
                self._made[operation.makes] = str(result.wait().id if operation.yields else result.id)
        return self._made[name]

    def maker(self, name: str) -> Operation:
        """The operation that makes what the need of this name asks for."""
        return next(o for o in self.samples.operations if name in (o.makes, o.task))

    def _file(self, file: LocalFile) -> Path:
        path = self.folder / file.name
        if file.size is not None:
            with path.open("wb") as out:
                out.truncate(file.size)
        elif file.content is not None:
            path.write_bytes(file.content)
        return path

    # -- changing the sandbox

    def account(self, **fields: Any) -> None:
        """Change the account that the clients use."""
        self.box.set_account(provider=self.provider, **fields)

    def switch(self, switches: Mapping[str, Any]) -> None:
        """Change the provider's quirks for everybody, strangers included."""
        self.side.original(self.box)._control.set_switches(self.provider, switches)

    def fault(self, fault: Any, operation: Operation | None = None, **how: Any) -> None:
        """Disturb a submission, by default the standard one."""
        self.box.faults.add(self.endpoint(operation or self.submission), fault, **how)

    def blind(self, fault: Any, **how: Any) -> None:
        """Disturb looks at tasks, one by one and many at once."""
        for where in self._looks:
            self.box.faults.add(where, fault, **how)

    # -- what the sandbox saw

    def created(self) -> int:
        """Tasks that the sandbox accepted."""
        return len(self.box.seen.tasks)

    def requests(self) -> int:
        """Requests that the sandbox saw, but for those that only get a token."""
        return sum(self.box.seen.requests.values()) - self.loans()

    def loans(self) -> int:
        """Requests for a token that the sandbox saw."""
        token = self.samples.token
        return self.box.seen.requests[named(token)] if token is not None else 0

    def secrets(self) -> set[str]:
        """Everything that the clients must not show: their credentials, and tokens that were lent for them."""
        accounts = [self.side.original(client)._account for client in self._open]
        return {secret.reveal() for account in accounts for secret in account.auth.secrets()}

    def looks(self) -> int:
        """Requests that looked at tasks, one by one or many at once."""
        return sum(self.box.seen.requests[where] for where in self._looks)

    @property
    def _looks(self) -> tuple[str, ...]:
        kind = self.submission.endpoint.kind
        assert kind is not None
        clients = [self.side.original(client)._account.kinds for client in self._open]
        batches = [kinds[kind].batch for kinds in (self.spec.kinds, *clients)]
        found = {named(batch.request(["x"], 1).endpoint) for batch in batches if batch is not None}
        return (self.look, *sorted(found))

    @contextmanager
    def listening(self) -> Iterator[list[FakeRequest]]:
        """The requests that the provider gets meanwhile; those for a token are left out at the end."""
        fakes = self.side.original(self.box)._world.fakes
        before = fakes[self.provider]
        fakes[self.provider] = listening = Listening(before)
        yield listening.heard
        fakes[self.provider] = before
        token = self.samples.token
        listening.heard[:] = [r for r in listening.heard if token is None or r.path != token.path]

    def at(self, request: FakeRequest) -> tuple[str, str]:
        """Method and path of the endpoint that got *request*."""
        return request.method, path_labels(self.provider)(request.path)

    def endpoint(self, operation: Operation) -> str:
        """As the sandbox names it: ``POST /video/create_by_tts``."""
        return named(operation.endpoint)

    @property
    def look(self) -> str:
        """The endpoint where the standard submission's task is looked at."""
        return named(self.samples.look)

    def yields(self) -> set[str]:
        """Ids of the avatars and voices that the sandbox's tasks have made."""
        return {task["yields"] for task in self.box.tasks() if task["status"] == "succeeded"}
