"""An operation of a provider, and a whole provider, as data."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar

import attrs

from avatarkit.errors import AvatarKitError
from avatarkit.models import Guard, Kind, RawResponse, Snapshot

T = TypeVar("T")


class Effect(enum.Enum):
    """What sending an operation does at the provider, and so whether it may be sent again."""

    READ = "read"
    """Changes nothing: repeat at will."""
    WRITE = "write"
    """Sets a value or makes something free: repeating ends in the same state."""
    SUBMIT = "submit"
    """Makes a task: sent again only when it surely was not accepted."""


@attrs.frozen(kw_only=True, eq=False)
class Endpoint:
    """One HTTP operation.

    Attributes:
        name: avatarkit's name, resource and method: ``videos.create_by_tts``.
        path: below the base URL. A ``{name}`` in it is filled by the request (``attrs.evolve(endpoint, path=...)``).
        effect: see :class:`Effect`.
        billed: whether the vendor's document flags it as consuming credits.
        kind: what the task it makes or looks at yields.
        pool: name of the running-task cap it counts against, ``""`` for none.
        guard: what helps to find a lost submission again.
        source: where the vendor describes it.
        experimental: known from one source only.

    """

    name: str
    method: Literal["GET", "POST"]
    path: str
    effect: Effect = Effect.READ
    billed: bool = False
    kind: Kind | None = None
    pool: str = ""
    guard: Guard = Guard.NONE
    source: str = ""
    experimental: bool = False


@attrs.define(slots=True)
class Request(Generic[T]):
    """One operation with its values: what to send, and how to read the answer.

    Its repr shows no values: tools that report crashes keep what they see, and a query may hold credentials.

    Attributes:
        endpoint: which operation.
        read: turns the answer into data, or raises an AvatarKitError.
        query: the query string, ready and encoded, without ``?``.
        body: a JSON object, or None for no body.

    """

    endpoint: Endpoint
    read: Callable[[RawResponse], T]
    query: str = ""
    body: Mapping[str, Any] | None = None
    stream: Any = None
    headers: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        facts = [f"{self.endpoint.name}: {self.endpoint.method} {self.endpoint.path}"]
        if self.query:
            facts.append(f"query of {_names(pair.partition('=')[0] for pair in self.query.split('&'))}")
        if self.headers:
            facts.append(f"headers {_names(self.headers)}")
        if self.body is not None:
            facts.append(f"body of {len(self.body)} fields")
        if self.stream is not None:
            facts.append(f"stream of {type(self.stream).__name__}")
        return f"<{type(self).__name__} {', '.join(facts)}>"


def _names(names: Iterable[str]) -> str:
    return "/".join(names)


@attrs.frozen(kw_only=True)
class Accepted:
    """A submission's good answer."""

    task_id: str
    response: RawResponse = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class BatchPage:
    """What one request showed of many tasks.

    Attributes:
        found: snapshots by task id; ids that were not asked for may be among them.
        more: whether a next page may hold more.
    """

    found: Mapping[str, Snapshot]
    more: bool = False


@attrs.frozen(kw_only=True, eq=False)
class Batch:
    """How many tasks of a kind are looked at with one request.

    Attributes:
        request: the request for the ids still looked for, and a page number from 1.
        most: the most ids one request may ask for; 0 when the provider lists without being given ids.
        pages: the most pages that are walked through in one round; ids not found by then are looked at one by one. With
            *most* above 0 and more than one page, a request for more than *most* ids is a page of a list.
    """

    request: Callable[[Sequence[str], int], Request[BatchPage]]
    most: int = 0
    pages: int = 1


@attrs.frozen(kw_only=True, eq=False)
class TaskKind:
    """How tasks of one kind are looked at.

    Attributes:
        look: the request that asks for one task's state.
        pool: the running-task cap its tasks count against, ``""`` for none.
        median, p95: seconds such a task usually takes, before anything is learned.

    """

    kind: Kind
    look: Callable[[str], Request[Snapshot]]
    pool: str = ""
    median: float = 60.0
    p95: float = 300.0
    batch: Batch | None = None


@attrs.frozen(kw_only=True, eq=False)
class ProviderSpec:
    """A provider as the engine sees it.

    Attributes:
        name: ``hifly``.
        title: the name people know it by.
        base_url: where its API lives.
        base_url_variable: environment variable that overrides *base_url*.
        credentials: environment variables that hold its credentials, in the order of the client's arguments.
        kinds: what its tasks can make.
        endpoints: every operation.
        per_second: requests a second the client allows itself unless told otherwise.

    """

    name: str
    title: str
    base_url: str
    base_url_variable: str
    credentials: tuple[str, ...]
    kinds: Mapping[Kind, TaskKind]
    endpoints: tuple[Endpoint, ...]
    per_second: float


ReadError = Callable[[Endpoint, RawResponse], AvatarKitError | None]
