"""A sandbox and clients of one provider on one side, and what tests ask of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sides import Side

from avatarkit import providers
from avatarkit.protocol.samples import LocalFile, Need, Operation, Samples


class House:
    """A sandbox and clients of one provider on one side."""

    def __init__(self, side: Side, provider: str, folder: Path) -> None:
        self.side = side
        self.provider = provider
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

    def client(self, *credentials: str, **options: Any) -> Any:
        """A client of the sandbox; closed at the end of the test."""
        given = {"base_url": self.box.base_url(self.provider), "seed": 7, **options}
        client = self.side.client(self.provider, *(credentials or (self.box.token,)), **given)
        self._open.append(client)
        return client

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
            operation = next(o for o in self.samples.operations if name in (o.makes, o.task))
            result = self.call(client, operation)
            if operation.task:
                self._made[operation.task] = result.id
            if operation.makes:
                self._made[operation.makes] = str(result.wait().id if operation.yields else result.id)
        return self._made[name]

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

    # -- what the sandbox saw

    def created(self) -> int:
        """Tasks that the sandbox accepted."""
        return len(self.box.seen.tasks)

    def requests(self) -> int:
        """Requests that the sandbox saw."""
        return sum(self.box.seen.requests.values())

    def endpoint(self, operation: Operation) -> str:
        """As the sandbox names it: ``POST /video/create_by_tts``."""
        return f"{operation.endpoint.method} {operation.endpoint.path}"

    @property
    def look(self) -> str:
        """The endpoint where the standard submission's task is looked at."""
        return f"{self.samples.look.method} {self.samples.look.path}"

    def yields(self) -> set[str]:
        """Ids of the avatars and voices that the sandbox's tasks have made."""
        return {task["yields"] for task in self.box.tasks() if task["status"] == "succeeded"}
