"""One bulk run on many machines: what a task engine has to do for it, and no more.

An engine carries messages that say "do stage S for keys K of run R". Everything that matters is in the ledger: a
message that is lost is sent again, one that comes twice finds its work done. So any engine will do, also one that loses
work or repeats it when a worker dies.
"""

from __future__ import annotations

import asyncio
import enum
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar

import attrs

from avatarkit.errors import ConfigurationError

T = TypeVar("T")
_LONGEST_NAME = 40  # bytes; engines listen on channels of PostgreSQL, whose names end at 63


class Stage(enum.StrEnum):
    """What a message asks for."""

    SUBMIT = "submit"
    COLLECT = "collect"


Handler: TypeAlias = Callable[[Sequence[str]], Awaitable[None]]
"""Does its stage for the jobs of these keys. Short, safe to run twice, raises nothing but CancelledError."""


class Engine(Protocol):
    """Carries messages between workers; each stage of each run has a queue of its own."""

    async def enqueue(self, stage: Stage, run: str, keys: Sequence[str], *, delay: float = 0.0) -> None:
        """Have some worker do *stage* for each of *keys*, not before *delay* seconds have passed.

        Raises TransportError when the engine cannot be reached; some of the messages may have gone out then.
        """
        ...

    async def backlog(self, stage: Stage, run: str) -> int:
        """About how many keys wait for a worker. Raises as :meth:`enqueue`."""
        ...

    async def work(
        self,
        run: str,
        handlers: Mapping[Stage, Handler],
        concurrency: Mapping[Stage, int],
        stop: asyncio.Event,
    ) -> None:
        """Take messages of *run* and call the handlers until *stop*, then let those under way come to their end.

        It goes on through outages of whatever the engine is kept in.

        Args:
            run: whose messages.
            handlers: what to call, for each stage.
            concurrency: keys in hand at once in this process, for each stage.
            stop: no more messages are taken once it is set.

        Raises:
            ConfigurationError: the engine does not let us in.

        """
        ...

    async def aclose(self) -> None:
        """Let everything go."""
        ...


@attrs.frozen(kw_only=True)
class FleetOptions:
    """How a worker works. The defaults suit tasks that run for minutes.

    Attributes:
        submits: uploads and submissions at once in this worker.
        downloads: downloads at once in this worker.
        until_done: end when the run is over, instead of waiting for more.
        tick: seconds between two looks at what is to be done.
        lease: seconds for which one worker leads: looks at running tasks, finds out about doubts, fills the queues. The
            others ask for the lead every three quarters of that.
        backlog: the most keys that are kept waiting in the engine for each stage. Engines get slow with many.
        patience: seconds for which a submission waits for a slot before its message is given back, and after which
            who leads takes a message for lost.
        hand_new: seconds after which a job that is still not submitted gets another message.
        hand_ready: seconds after which one that is still not collected does; more than a download takes.
        reconcile: seconds between two looks for doubts.
        margin: seconds beyond its own time limit that a submission of another worker is taken to be under way.

    """

    submits: int = 16
    downloads: int = 8
    until_done: bool = False
    tick: float = 2.0
    lease: float = 10.0
    backlog: int = 200
    patience: float = 10.0
    hand_new: float = 60.0
    hand_ready: float = 300.0
    reconcile: float = 10.0
    margin: float = 5.0


def queue_name(stage: Stage, run: str) -> str:
    """The name of a queue: readable, of letters every engine takes, different for each run."""
    name = f"{stage}:{run}"
    if len(name.encode()) <= _LONGEST_NAME and name.isascii() and name.isprintable():
        return name
    readable = "".join(letter for letter in run if letter.isascii() and letter.isalnum())[:12]
    return f"{stage}:{readable}.{hashlib.sha256(run.encode('utf-8', 'replace')).hexdigest()[:16]}"


def cut(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """*items* in pieces of at most *most*."""
    for start in range(0, len(items), most):
        yield items[start : start + most]


async def open_engine(name: str, dsn: str, *, schema: str = "avatarkit") -> Engine:
    """The engine of this name, ``pgqueuer`` or ``procrastinate``, in the database of a PostgreSQL ledger.

    Its tables are made, or brought up to date, in a schema beside the ledger's, which also has its name.

    Raises:
        ConfigurationError: there is no such engine, or the database does not let us in.
        MissingExtra: the engine is not installed.
        TransportError: the database cannot be reached.

    """
    if name == "pgqueuer":
        from avatarkit.bulk.pgqueuer_engine import PgQueuerEngine

        return await PgQueuerEngine.open(dsn, schema=schema)
    if name == "procrastinate":
        from avatarkit.bulk.procrastinate_engine import ProcrastinateEngine

        return await ProcrastinateEngine.open(dsn, schema=schema)
    raise ConfigurationError(f"{name!r} is no engine", hint="There are pgqueuer and procrastinate.")


async def resting(stop: asyncio.Event, seconds: float) -> bool:
    """Wait *seconds*, or until *stop* is set; whether it is."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return stop.is_set()
    return True
