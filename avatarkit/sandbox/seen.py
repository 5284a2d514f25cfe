"""What the sandbox saw, so that a test can ask whether anything was paid for twice or asked for too often."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, overload

import attrs

from avatarkit.protocol.fakewire import FakeTask


class Created(Sequence[dict[str, Any]]):
    """The tasks that were created, oldest first, as plain data. A record is made when it is looked at."""

    def __init__(self) -> None:
        self._digests: dict[FakeTask, bytes] = {}

    def add(self, task: FakeTask, digest: bytes) -> None:
        """Record a task and the hash of its request's body."""
        self._digests[task] = digest

    def forget(self, task: FakeTask) -> bool:
        """Drop a task's record; whether there was one."""
        return self._digests.pop(task, None) is not None

    def digests(self) -> list[tuple[FakeTask, bytes]]:
        """The tasks with the hashes of their bodies."""
        return list(self._digests.items())

    def clear(self) -> None:
        """Drop all records."""
        self._digests.clear()

    def __len__(self) -> int:
        return len(self._digests)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (_record(task, digest) for task, digest in self.digests())

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        tasks = list(self._digests)[index]
        if isinstance(tasks, list):
            return [_record(task, self._digests[task]) for task in tasks]
        return _record(tasks, self._digests[tasks])

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | Created) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))


def _record(task: FakeTask, digest: bytes) -> dict[str, Any]:
    return {
        "id": task.id,
        "provider": task.provider,
        "account": task.account,
        "endpoint": task.endpoint,
        "kind": task.kind,
        "title": task.title,
        "cost": task.cost,
        "created": task.created,
        "body": dict(task.request),
        "body_hash": digest.hex(),
    }


def _sent(task: FakeTask, digest: bytes) -> bytes:
    # Twelve bytes tell a million bodies apart, and are kept for every task there ever was.
    owner = f"{task.account}\n{task.endpoint}\n".encode()
    return hashlib.blake2b(owner + digest, digest_size=12).digest()


@attrs.define(kw_only=True, eq=False)
class Seen:
    """Counts and records since the sandbox started. Everything is plain data.

    A sandbox that forgets tasks (``keep_tasks``) forgets their records in ``tasks`` and ``polls`` as well; what was
    counted stays counted, and :attr:`duplicates` still finds a body that was sent long after it was sent first.

    Attributes:
        tasks: one record per task created: ``id``, ``provider``, ``account``, ``endpoint``, ``kind``,
            ``title``, ``cost``, ``created``, ``body`` (the decoded request) and ``body_hash``.
        requests: API requests per endpoint, such as ``POST /video/create_by_tts``; refused and disturbed
            ones count.
        statuses: API answers per HTTP status that were given (none for a reset).
        polls: looks per task id.
        uploads: finished uploads per SHA-256 of the content.
        authorization: ``METHOD path`` of requests that brought an Authorization header to the second
            origin.
        callbacks: one record per try to deliver an event: ``task``, ``url``, ``status`` (0: no answer),
            ``at``, ``attempt``, ``body``, ``error``.
        faults: how often each fault happened.
        bytes_served: bytes of results sent.
        bytes_received: bytes of uploads received.
        peak_running: the most unfinished tasks at once, all accounts together.
        peak_per_second: the most API requests in any second.
    """

    tasks: Created = attrs.field(factory=Created)
    requests: Counter[str] = attrs.field(factory=Counter)
    statuses: Counter[int] = attrs.field(factory=Counter)
    polls: Counter[str] = attrs.field(factory=Counter)
    uploads: Counter[str] = attrs.field(factory=Counter)
    authorization: list[str] = attrs.field(factory=list)
    callbacks: list[dict[str, Any]] = attrs.field(factory=list)
    faults: Counter[str] = attrs.field(factory=Counter)
    bytes_served: int = 0
    bytes_received: int = 0
    downloads: int = 0
    peak_running: int = 0
    peak_per_second: int = 0
    _window: deque[float] = attrs.field(factory=deque)
    _sent: dict[bytes, int] = attrs.field(factory=dict)
    _forgotten: Counter[str] = attrs.field(factory=Counter)

    def request(self, endpoint: str, monotonic: float) -> None:
        """Count one API request."""
        self.requests[endpoint] += 1
        window = self._window
        window.append(monotonic)
        while window[0] <= monotonic - 1.0:
            window.popleft()
        self.peak_per_second = max(self.peak_per_second, len(window))

    def accepted(self, task: FakeTask, body: bytes, running: int) -> None:
        """Record a task that was created."""
        digest = hashlib.sha256(body).digest()
        sent = _sent(task, digest)
        self._sent[sent] = self._sent.get(sent, 0) + 1
        self.peak_running = max(self.peak_running, running)
        self.tasks.add(task, digest)

    def forget(self, task: FakeTask) -> None:
        """Drop a task's records; it stays counted."""
        self.polls.pop(task.id, None)
        if self.tasks.forget(task):
            self._forgotten[task.endpoint] += 1

    @property
    def duplicates(self) -> list[dict[str, Any]]:
        """Tasks that were paid for twice: same account, endpoint and body bytes accepted more than once.

        One record per repeated body: ``endpoint``, ``count``, ``body_hash`` and the ``ids`` of its tasks; the words are
        empty when the sandbox has forgotten all of them.
        """
        twice = {sent: count for sent, count in list(self._sent.items()) if count > 1}
        if not twice:
            return []
        found: dict[bytes, dict[str, Any]] = {
            sent: {"endpoint": "", "count": count, "body_hash": "", "ids": []}
            for sent, count in twice.items()
        }
        for task, digest in self.tasks.digests():
            row = found.get(_sent(task, digest))
            if row is not None:
                row |= {"endpoint": task.endpoint, "body_hash": digest.hex()}
                row["ids"].append(task.id)
        return list(found.values())

    def created(self, endpoint: str = "") -> int:
        """How many tasks were created, at this endpoint or at all, forgotten ones included."""
        if not endpoint:
            return len(self.tasks) + self._forgotten.total()
        return self._forgotten[endpoint] + sum(task.endpoint == endpoint for task, _ in self.tasks.digests())

    def as_dict(self) -> dict[str, Any]:
        """Everything but the tasks' bodies, ready for JSON."""
        return {
            "tasks_created": self.created(),
            "duplicates": self.duplicates,
            "requests": dict(self.requests),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "polls": dict(self.polls),
            "uploads": dict(self.uploads),
            "authorization": list(self.authorization),
            "callbacks": list(self.callbacks),
            "faults": {str(kind): count for kind, count in self.faults.items()},
            "bytes_served": self.bytes_served,
            "bytes_received": self.bytes_received,
            "downloads": self.downloads,
            "peak_running": self.peak_running,
            "peak_per_second": self.peak_per_second,
        }
