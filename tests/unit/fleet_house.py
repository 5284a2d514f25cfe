"""A fed run, workers for it, and an engine that loses and repeats messages: what the tests of a fleet share."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
from bulk_house import Bulk, bulk_house

from avatarkit import providers
from avatarkit.bulk.fleet import FleetOptions, Handler, Stage, queue_name, resting
from avatarkit.bulk.fleet_worker import FleetWorker
from avatarkit.bulk.options import BulkOptions
from avatarkit.bulk.run import BulkRun
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.testing.virtual import VirtualClock

OPTIONS = FleetOptions(until_done=True, hand_new=20.0, hand_ready=20.0, backlog=12, submits=6, downloads=3)


class Leaky:
    """An engine in memory that loses every fifth message and delivers every third twice."""

    def __init__(self, *, leaks: bool = True) -> None:
        self.queues: dict[str, deque[str]] = {}
        self.sent = 0
        self.deepest = 0
        self._leaks = leaks

    async def enqueue(self, stage: Stage, run: str, keys: Sequence[str], *, delay: float = 0.0) -> None:
        queue = self.queues.setdefault(queue_name(stage, run), deque())
        for key in keys:
            self.sent += 1
            copies = 1 if not self._leaks else 0 if self.sent % 5 == 0 else 2 if self.sent % 3 == 0 else 1
            queue.extend([key] * copies)
        self.deepest = max(self.deepest, len(queue))

    async def backlog(self, stage: Stage, run: str) -> int:
        return len(self.queues.get(queue_name(stage, run), ()))

    async def work(
        self,
        run: str,
        handlers: Mapping[Stage, Handler],
        concurrency: Mapping[Stage, int],
        stop: asyncio.Event,
    ) -> None:
        await asyncio.gather(
            *(
                self._serve(self.queues.setdefault(queue_name(stage, run), deque()), handler, stop)
                for stage, handler in handlers.items()
                for _ in range(concurrency[stage])
            )
        )

    async def _serve(self, queue: deque[str], handler: Handler, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if queue:
                await handler([queue.popleft()])
            else:
                await resting(stop, 0.5)

    async def aclose(self) -> None:
        pass


@attrs.define
class House:
    """A fed run, and workers for it."""

    bulk: Bulk
    ledger: SqliteLedger
    engine: Leaky = attrs.field(factory=Leaky)
    name: str = "main"
    left: contextlib.AsyncExitStack = attrs.field(factory=contextlib.AsyncExitStack)

    async def worker(self, options: FleetOptions = OPTIONS, **more: Any) -> FleetWorker:
        box, provider = self.bulk.box, self.bulk.client.spec.name
        credentials = (box.token, box.secret) if provider == "guiji" else (box.token,)
        client = providers.client_class(provider)(
            *credentials,
            base_url=box.base_url(provider),
            wire=box.wire(),
            clock=VirtualClock(),
            rate_limit=None,
            **more,
        )
        await self.left.enter_async_context(client)
        run = await self.ledger.get_run(self.name)
        assert run is not None
        return FleetWorker(client, self.ledger, run, self.engine, options)

    async def counts(self) -> dict[str, int]:
        return {state.value: many for state, many in (await self.ledger.counts(self.name)).jobs.items()}

    async def other(self, name: str, count: int) -> House:
        """Another run of the same account in the same ledger, with an engine of its own."""
        options = BulkOptions(out=self.bulk.out / name, run=name)
        async with BulkRun(self.bulk.client, self.bulk.jobs(count), self.ledger, options) as run:
            assert await run.feed() == count
        return House(self.bulk, self.ledger, name=name, left=self.left)


@asynccontextmanager
async def house(folder: Path, count: int, provider: str = "guiji", **options: Any) -> AsyncIterator[House]:
    async with bulk_house(folder, provider, max_running=options.pop("max_running", 20)) as bulk:
        ledger = await SqliteLedger.open(bulk.journal, clock=VirtualClock())
        feeding_options = BulkOptions(out=bulk.out, **options)
        async with BulkRun(bulk.client, bulk.jobs(count), ledger, feeding_options) as run:
            assert await run.feed() == count
        found = House(bulk, ledger)
        try:
            async with found.left:
                yield found
        finally:
            await ledger.aclose()
