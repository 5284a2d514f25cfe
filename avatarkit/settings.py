"""How a client behaves: frozen settings with safe defaults."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs
from attrs import validators as v

if TYPE_CHECKING:
    from avatarkit.errors import AvatarKitError
    from avatarkit.models import Ticket


# A comparison with NaN never holds, so that is refused as well.
_FINITE: Final[Callable[[Any, Any, Any], Any]] = v.and_(v.gt(0), v.lt(math.inf))
_COUNT: Final[Callable[[Any, Any, Any], Any]] = v.and_(v.instance_of(int), v.ge(1))


class SubmissionGate(Protocol):
    """What stands between a billed request and the wire: a ledger that must know before the provider does.

    With a gate the client neither waits for a task slot nor keeps one: what may run is the gate's business. A refusal
    for now ("too many running") is raised at once.
    """

    async def open(self, ticket: Ticket) -> float | None:
        """Called before every send; once it returns, the request may go out.

        Returns:
            Seconds within which it must have gone out, else it will not be sent; None for no such limit.

        Raises:
            AvatarKitError: it must not go out; handed on to the caller.

        """
        ...

    async def settled(
        self, ticket: Ticket, outcome: str, *, task_id: str, token: str, error: AvatarKitError | None
    ) -> None:
        """Called with the outcome of every send, before the caller learns of it, also when the caller went away.

        Args:
            ticket: as given to :meth:`open`.
            outcome: ``accepted``, ``rejected``, ``try later``, ``not sent`` or ``in doubt``.
            task_id: the provider's id of the accepted task, else ``""``; an answer without a task has none.
            token: that task's token, else ``""``.
            error: why not, when it was not accepted.

        """
        ...


@attrs.frozen(kw_only=True)
class Timeouts:
    """Bounds in seconds.

    Attributes:
        connect: for DNS, TCP and TLS together, per connection.
        request: for one small JSON request and its answer, connecting included.
        submit: for one billed request and its answer. Longer than *request*, since giving up leaves a doubt. With files
            of more than 256 KB inside the request it is added to the upload, in which nothing but silence is bounded,
            by *read*, so that a slow line (5 KB/s and more) may take its time. With a gate it bounds all of it.
        call: for a whole call with all its retries and waits (``None``: the retries bound it).
        slot: how long a submission may wait for a free task slot (``None``: as long as the call may take).
        read: the longest silence while a file is being transferred.

    Raises:
        ValueError: one is not above 0, is NaN, or is infinite where there must be a bound.

    """

    connect: float = attrs.field(default=10.0, validator=_FINITE)
    request: float = attrs.field(default=30.0, validator=_FINITE)
    submit: float = attrs.field(default=60.0, validator=_FINITE)
    call: float | None = attrs.field(default=None, validator=v.optional(v.gt(0)))
    slot: float | None = attrs.field(default=None, validator=v.optional(v.gt(0)))
    read: float = attrs.field(default=60.0, validator=_FINITE)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When a request that is safe to repeat is repeated.

    Billed requests are repeated only when they surely were not accepted.

    Attributes:
        attempts: the most sends in all, the first included. 1 switches retries off.
        first_delay: seconds before the first retry, halved to full by jitter; doubles each time.
        max_delay: the longest delay in seconds, the first one's too; a longer Retry-After ends the retries.

    Raises:
        ValueError: *attempts* is below 1, a delay not above 0 or NaN, or *first_delay* infinite.
        TypeError: *attempts* is no whole number.

    """

    attempts: int = attrs.field(default=4, validator=_COUNT)
    first_delay: float = attrs.field(default=0.5, validator=_FINITE)
    max_delay: float = attrs.field(default=30.0, validator=v.gt(0))


@attrs.frozen(kw_only=True)
class RateLimit:
    """The most requests a second that one account sends, evenly spaced.

    Attributes:
        per_second: requests a second, averaged over any second.
        burst: how many may go out at once after a silence.

    Raises:
        ValueError: *per_second* is not above 0, infinite or NaN, or *burst* below 1.
        TypeError: *burst* is no whole number.

    """

    per_second: float = attrs.field(validator=_FINITE)
    burst: int = attrs.field(default=1, validator=_COUNT)


@attrs.frozen(kw_only=True)
class Polling:
    """How often waiting tasks are looked at; within these bounds learned durations decide.

    Attributes:
        shortest: the least seconds between two looks at one task.
        longest: the most seconds between two looks at one task.

    Raises:
        ValueError: *shortest* is negative or above *longest*, *longest* not above 0 or infinite, or one is NaN.

    """

    shortest: float = attrs.field(default=1.0, validator=v.ge(0))
    longest: float = attrs.field(default=120.0, validator=_FINITE)

    def __attrs_post_init__(self) -> None:
        if self.shortest > self.longest:
            raise ValueError(f"shortest: {self.shortest!r} found, at most longest ({self.longest!r}) allowed")


@attrs.frozen(kw_only=True)
class CallOptions:
    """What one call does differently from its client.

    Attributes:
        timeout: seconds for the whole call, waits and retries included.
        headers: sent in addition; the Authorization header cannot be replaced this way.
        retries: the most repeats of a safe request (0: none).
        preflight: False skips the local check of media and limits.
        gate: asked before a billed request goes out, and told what became of it, see :class:`SubmissionGate`.

    """

    timeout: float | None = attrs.field(default=None, validator=v.optional(v.gt(0)))
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=lambda h: f"<{len(h)} headers>")
    retries: int | None = attrs.field(default=None, validator=v.optional(v.ge(0)))
    preflight: bool | None = None
    gate: SubmissionGate | None = attrs.field(default=None, repr=False)


DEFAULT_OPTIONS = CallOptions()
