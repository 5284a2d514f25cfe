"""What a provider's fake and the sandbox say to each other.

A fake is the provider's wire seen from the other side: it reads a :class:`FakeRequest`, looks at and
changes the :class:`World`, and returns a :class:`FakeResponse`. It opens no socket, reads no file and asks
no clock; the world says what time it is. So a fake is tested by calling it, and the sandbox can put it behind
real sockets.

Times are seconds since 1970 (UTC), durations are seconds, sizes are bytes, money is in the provider's unit.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import attrs
import orjson

from avatarkit.models import Status

HostKind = Literal["api", "upload", "cdn"]
_QUEUED, _RUNNING = Status.QUEUED, Status.RUNNING


@attrs.frozen(kw_only=True)
class FakeRequest:
    """One HTTP request as a fake sees it.

    Attributes:
        method: upper-case.
        path: without the fake's ``base_path``, percent-encoding as it came.
        query: decoded query parameters; of repeated names the last one counts.
        headers: names in lower case.
        body: the whole body.
        host: which of the provider's hosts it came to.
    """

    method: str
    path: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    host: HostKind = "api"

    def json(self) -> Any:
        """The body decoded; raises ValueError when it is not JSON."""
        return orjson.loads(self.body)


@attrs.frozen(kw_only=True)
class FakeResponse:
    """What a fake answers.

    Attributes:
        headers: ``Content-Length`` is added by the sandbox.
        accepted: the task this request created, if any.
        looked_at: ids of the tasks this answer tells the state of.
    """

    status: int = 200
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""
    accepted: FakeTask | None = None
    looked_at: Sequence[str] = ()


def json_response(
    data: object,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    accepted: FakeTask | None = None,
    looked_at: Sequence[str] = (),
) -> FakeResponse:
    """An answer that holds *data* as JSON."""
    return FakeResponse(
        status=status,
        headers={"content-type": "application/json; charset=utf-8", **(headers or {})},
        body=orjson.dumps(data),
        accepted=accepted,
        looked_at=looked_at,
    )


@attrs.define(kw_only=True, eq=False)
class FakeAccount:
    """An account at a provider, as the sandbox keeps it.

    Attributes:
        key: what identifies it on the wire (a bearer token, an app id, an access key).
        secret: the signing secret, where the provider has one.
        credits: the balance.
        max_running: the most unfinished tasks, None for no cap.
        max_submitted: the most submitted and unfinished tasks where the provider has a second cap.
        requests_per_second: None for no cap.
        callback_url: where events go, ``""`` for nowhere; a task's own URL goes first.
        switches: the provider's quirks; each fake documents its own.
    """

    provider: str
    key: str
    secret: str = ""
    credits: float = 0.0
    max_running: int | None = None
    max_submitted: int | None = None
    requests_per_second: float | None = None
    callback_url: str = ""
    switches: dict[str, Any] = attrs.field(factory=dict)


@attrs.define(kw_only=True, eq=False)
class FakeFile:
    """A file in the sandbox: an upload slot before and after its PUT, or the result of a task.

    Attributes:
        uploaded: False for a slot whose PUT has not finished.
        path: where the bytes are; None when they are made up on the fly.
        raw_path: the percent-encoded path of its upload URL.
        extension: without a dot.
    """

    id: str
    provider: str
    account: str
    extension: str
    content_type: str
    uploaded: bool = False
    size: int = 0
    sha256: str = ""
    path: Path | None = None
    raw_path: str = ""
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class MediaOrder:
    """What a task renders.

    Attributes:
        media: a talking video, or sound alone.
        text: what is said; ``""`` when *audio* drives.
        voice: id of the voice, which decides the timbre.
        rate: 1.0 is normal; so are *volume* and *pitch*.
        presenter: id of the avatar, which decides the looks where there is no *face*.
        face: the picture or clip the avatar was cloned from; its content type says which.
        audio: the sound that drives the lips.
        subtitle: the provider-neutral style, or None for no subtitle.
        seconds: how long the result is expected to be.
    """

    media: Literal["video", "audio"]
    text: str = ""
    language: str | None = None
    voice: str = ""
    rate: float = 1.0
    volume: float = 1.0
    pitch: float = 1.0
    presenter: str = ""
    face: FakeFile | None = None
    audio: FakeFile | None = None
    subtitle: Mapping[str, Any] | None = None
    seconds: float = 1.0


@attrs.frozen(kw_only=True)
class FakeFailure:
    """Why a task ends without a result; code None lets the fake choose the usual one for the kind."""

    code: int | str | None = None
    message: str = ""


@attrs.define(kw_only=True, eq=False)
class FakeTask:
    """A task. Where it stands is computed from the time, nothing ticks.

    Attributes:
        kind: ``video``, ``audio``, ``avatar`` or ``voice``.
        endpoint: method and path it was created with.
        request: the decoded request body.
        runs_at: when it turns from queued to running.
        ready_at: when it ends, at the earliest; infinite until it is told to.
        rendered_at: when its result file was complete, None while it is being made.
        failure: set when it ends (or will end) without a result.
        result: the file it yields, None for none.
        yields: id of the avatar or voice it yields.
    """

    id: str
    provider: str
    account: str
    kind: str
    endpoint: str
    created: float
    runs_at: float
    ready_at: float
    title: str = ""
    request: Mapping[str, Any] = attrs.field(factory=dict)
    cost: float = 0.0
    callback_url: str = ""
    order: MediaOrder | None = None
    result: FakeFile | None = None
    rendered_at: float | None = None
    failure: FakeFailure | None = None
    yields: str = ""
    seconds: float = 0.0
    data: dict[str, Any] = attrs.field(factory=dict)

    def status(self, now: float) -> Status:
        """Where the task stands at *now*."""
        # Asked for every row of every list: what is usual comes first, and a name of an enumeration is not cheap.
        if now < self.ready_at:
            return _QUEUED if now < self.runs_at else _RUNNING
        if self.failure is not None:
            return Status.FAILED
        rendered = self.rendered_at
        return _RUNNING if rendered is None or now < rendered else Status.SUCCEEDED

    @property
    def finished_at(self) -> float:
        """When it ended or will end; infinite while that is not known. A failure waits for no rendering."""
        if self.failure is not None:
            return self.ready_at
        return math.inf if self.rendered_at is None else max(self.ready_at, self.rendered_at)


@attrs.define(kw_only=True, eq=False)
class FakeAsset:
    """An avatar or a voice. It can be used when it is public or one of its tasks succeeded.

    Attributes:
        kind: ``avatar`` or ``voice``.
        source: the file it was cloned from, None for foreign URLs and the public stock.
        source_key: what makes two clones the same (a URL); ``""`` for nothing.
        data: the provider's own fields, such as a voice's rate.
    """

    id: str
    provider: str
    kind: str
    title: str
    account: str = ""
    public: bool = False
    source: FakeFile | None = None
    source_key: str = ""
    tasks: list[FakeTask] = attrs.field(factory=list)
    data: dict[str, Any] = attrs.field(factory=dict)

    def usable(self, now: float) -> bool:
        """Whether it can be used at *now*."""
        return self.public or any(task.status(now) is Status.SUCCEEDED for task in self.tasks)


@attrs.frozen(kw_only=True)
class FakeCallback:
    """One event for the customer's server.

    Attributes:
        delays: seconds from each failed try to the next one.
        copies: how often the event is sent, for vendors that repeat themselves.
        acknowledged: whether an answer (status, body) ends the tries.
    """

    url: str
    body: bytes
    headers: Mapping[str, str] = attrs.field(factory=dict)
    delays: Sequence[float] = ()
    copies: int = 1
    acknowledged: Callable[[int, bytes], bool] = lambda status, _body: status == 200


@attrs.frozen(kw_only=True)
class Resolved:
    """Where a URL leads: ``own`` says whether to this sandbox, ``file`` to what (None: nothing)."""

    own: bool
    file: FakeFile | None = None


class World(Protocol):
    """What a fake may ask of the sandbox. The sandbox's own is ``avatarkit.sandbox.world.SandboxWorld``."""

    def now(self) -> float:
        """Seconds since 1970 (UTC)."""

    def new_id(self) -> bytes:
        """Sixteen bytes not handed out before; the same ones in the same order for the same seed."""

    def switch(self, provider: str, name: str, account: FakeAccount | None = None) -> Any:
        """A quirk's setting: the account's, else the sandbox's, else the fake's default."""

    def memory(self, provider: str) -> dict[str, Any]:
        """What the fake itself wants to remember, such as tokens it issued; empty at the start."""

    def scratch(self, provider: str) -> dict[Any, Any]:
        """What the fake would have to make anew; lost when the sandbox ends. The fake keeps it small."""

    def account(self, provider: str, key: str) -> FakeAccount | None:
        """The account with this key."""

    def throttle(self, account: FakeAccount) -> float | None:
        """Count a request against the account's cap; seconds to wait when it is over, else None."""

    def unfinished(self, account: FakeAccount, kinds: Sequence[str]) -> int:
        """How many of the account's tasks of these kinds have not ended."""

    def accept(
        self,
        account: FakeAccount,
        *,
        task_id: str,
        endpoint: str,
        kind: str,
        request: Mapping[str, Any],
        order: MediaOrder | None = None,
        title: str = "",
        cost: float = 0.0,
        callback_url: str = "",
        failure: FakeFailure | None = None,
    ) -> FakeTask:
        """Create a task, take its cost off the balance, and start rendering *order*.

        *task_id* must be new at this provider, whatever the kind.
        """

    def task(self, account: FakeAccount, task_id: str) -> FakeTask | None:
        """The account's task with this id."""

    def tasks(self, account: FakeAccount) -> list[FakeTask]:
        """The account's tasks, oldest first."""

    def add_asset(self, asset: FakeAsset) -> None:
        """Keep an avatar or a voice; adding one again changes nothing."""

    def asset(self, account: FakeAccount, kind: str, asset_id: str) -> FakeAsset | None:
        """An avatar or voice that the account may use now, public ones included."""

    def assets(self, account: FakeAccount, kind: str, *, usable: bool = True) -> list[FakeAsset]:
        """The account's own avatars or voices, oldest first; *usable* leaves out unfinished ones."""

    def public_assets(self, provider: str, kind: str) -> list[FakeAsset]:
        """The provider's stock of avatars or voices."""

    def new_upload(
        self, account: FakeAccount, *, file_id: str, extension: str, content_type: str
    ) -> tuple[FakeFile, str]:
        """A slot for one file, and the signed URL it is PUT to."""

    def file(self, account: FakeAccount, file_id: str) -> FakeFile | None:
        """The account's file or upload slot with this id."""

    def link(self, file: FakeFile) -> str:
        """A freshly signed URL that serves the file for a while."""

    def resolve(self, url: str) -> Resolved:
        """Where a URL leads, without touching the network."""


class Fake(Protocol):
    """A provider seen from the other side. ``providers/<name>/fake.py`` offers one as ``FAKE``.

    Attributes:
        name: the provider's name, and the first part of the path in the sandbox.
        base_path: what follows the name, e.g. ``/api/v2/hifly``; ``""`` when paths start at the root.
        switches: the quirks it knows with their defaults.
        callback_statuses: the statuses it sends events for.
    """

    name: str
    base_path: str
    switches: Mapping[str, Any]
    callback_statuses: frozenset[Status]

    def stock(self) -> Sequence[FakeAsset]:
        """Its public avatars and voices."""

    def handle(self, request: FakeRequest, world: World) -> FakeResponse:
        """Answer one request. Must not raise for anything a client may send."""

    def callback(self, task: FakeTask, status: Status, world: World) -> FakeCallback | None:
        """The event for a task that has just reached *status*, or None for no event."""


def short_id(raw: bytes) -> str:
    """Sixteen bytes as 22 characters of URL-safe base64, the shape of many vendors' ids."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def speech_seconds(text: str) -> float:
    """About how long a text takes to say: 4.5 Chinese characters or 15 Latin ones a second, at least one."""
    wide = 0 if text.isascii() else sum(1 for char in text if ord(char) >= 0x2E80)
    return max(1.0, wide / 4.5 + (len(text) - wide) / 15.0)
