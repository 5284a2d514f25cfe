"""Records handed to hooks: what the client does, as it does it.

A hook is any callable that takes one record. It runs on the event loop: be quick, do not block. An error in a hook
is logged and does not reach the call. Records hold no credentials and no signed URLs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs


@attrs.frozen(kw_only=True)
class RequestDone:
    """One HTTP request ended, with an answer (``status`` > 0) or without (``error`` names why)."""

    provider: str
    endpoint: str
    method: str
    path: str
    attempt: int
    status: int
    seconds: float
    error: str = ""


@attrs.frozen(kw_only=True)
class RetryScheduled:
    """A request will be sent again in ``delay`` seconds."""

    provider: str
    endpoint: str
    attempt: int
    delay: float
    reason: str


@attrs.frozen(kw_only=True)
class Throttled:
    """A request waited ``seconds`` for its turn; ``why`` is ``rate`` or ``slot``."""

    provider: str
    endpoint: str
    why: Literal["rate", "slot"]
    seconds: float


@attrs.frozen(kw_only=True)
class CapLearned:
    """The provider refused for too many running tasks; the client now runs at most ``cap`` at once."""

    provider: str
    cap: int


@attrs.frozen(kw_only=True)
class SubmissionSettled:
    """A billed submission came to an outcome: ``accepted``, ``rejected``, ``not sent`` or ``in doubt``.

    Handed out also when the caller was cancelled meanwhile, so that no id is lost.
    """

    provider: str
    endpoint: str
    outcome: Literal["accepted", "rejected", "not sent", "in doubt"]
    task_id: str = ""
    token: str = ""
    marker: str = ""
    detached: bool = False


@attrs.frozen(kw_only=True)
class TaskLooked:
    """The poll hub looked at a task; ``error`` names a look that failed (the task goes on)."""

    provider: str
    kind: str
    task_id: str
    status: str
    age: float
    looks: int
    error: str = ""


@attrs.frozen(kw_only=True)
class BytesMoved:
    """Part of a file was sent or received. ``total`` is None when it is not known."""

    direction: Literal["up", "down"]
    name: str
    done: int
    total: int | None


Event: TypeAlias = (
    RequestDone | RetryScheduled | Throttled | CapLearned | SubmissionSettled | TaskLooked | BytesMoved
)
Hook: TypeAlias = Callable[[Event], object]
ProgressHook: TypeAlias = Callable[[int, int | None], object]
"""Called as ``hook(bytes_done, bytes_total_or_None)`` while a file is transferred."""
