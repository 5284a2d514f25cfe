"""What the sandbox saw, so that a test can ask whether anything was paid for twice or asked for too often."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from typing import Any

import attrs

from avatarkit.protocol.fakewire import FakeTask


@attrs.define(kw_only=True, eq=False)
class Seen:
    """Counts and records since the sandbox started. Everything is plain data.

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

    tasks: list[dict[str, Any]] = attrs.field(factory=list)
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
    _bodies: Counter[str] = attrs.field(factory=Counter)

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
        digest = hashlib.sha256(body).hexdigest()
        self._bodies[f"{task.account}\n{task.endpoint}\n{digest}"] += 1
        self.peak_running = max(self.peak_running, running)
        self.tasks.append(
            {
                "id": task.id,
                "provider": task.provider,
                "account": task.account,
                "endpoint": task.endpoint,
                "kind": task.kind,
                "title": task.title,
                "cost": task.cost,
                "created": task.created,
                "body": dict(task.request),
                "body_hash": digest,
            }
        )

    @property
    def duplicates(self) -> list[dict[str, Any]]:
        """Tasks that were paid for twice: same account, endpoint and body bytes accepted more than once.

        One record per repeated body: ``endpoint``, ``count``, ``body_hash`` and the ``ids`` of its tasks.
        """
        found = []
        for key, count in list(self._bodies.items()):
            if count > 1:
                account, endpoint, digest = key.split("\n")
                ids = [
                    task["id"]
                    for task in self.tasks
                    if (task["account"], task["endpoint"], task["body_hash"]) == (account, endpoint, digest)
                ]
                found.append({"endpoint": endpoint, "count": count, "body_hash": digest, "ids": ids})
        return found

    def created(self, endpoint: str = "") -> int:
        """How many tasks were created, at this endpoint or at all."""
        return sum(1 for task in self.tasks if not endpoint or task["endpoint"] == endpoint)

    def as_dict(self) -> dict[str, Any]:
        """Everything but the tasks' bodies, ready for JSON."""
        return {
            "tasks_created": len(self.tasks),
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
