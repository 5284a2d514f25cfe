"""A worker of a fleet: one process that works on one run together with any number of others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from typing import TYPE_CHECKING, Any

from avatarkit.bulk.feeding import is_being_fed
from avatarkit.bulk.fleet import Engine, FleetOptions, Stage
from avatarkit.bulk.fleet_hands import Files, Hands
from avatarkit.bulk.fleet_lead import Leader
from avatarkit.bulk.fleet_turns import Turnstile
from avatarkit.bulk.journal import LedgerUploads
from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.output import Output, tidy_up
from avatarkit.bulk.planning import Planner
from avatarkit.bulk.records import JobState, Run, RunState
from avatarkit.bulk.stages import Sink, Stages
from avatarkit.bulk.worktime import AtWork
from avatarkit.errors import AvatarKitError, ClientClosed, ConfigurationError

if TYPE_CHECKING:
    from avatarkit.client import AsyncClient

_logger = logging.getLogger("avatarkit")
_KEPT_BACK = 0.85
"""Part of the account's rate that the fleet uses: between a turn and the wire there are networks and busy machines."""

_AGAIN = 0.2  # seconds between two ticks at least
_GOING = (JobState.INTENT, JobState.RUNNING, JobState.READY)
_LOOKS_OVER = 2  # ticks between two looks whether the run is over


class FleetWorker:
    """Works on *run* until it is told to stop.

    The client should have no rate of its own (``rate_limit=None``): the ledger keeps the account's, over all workers.
    It must be used for nothing else.

    Args:
        client: whose account pays; each worker has one of its own.
        ledger: where the run is, in a store that all workers reach.
        run: the run, as the ledger knows it.
        engine: what carries the messages.
        options: how.
        sink: where videos go, in place of what the run says.

    """

    def __init__(
        self,
        client: AsyncClient,
        ledger: Ledger,
        run: Run,
        engine: Engine,
        options: FleetOptions | None = None,
        *,
        sink: Sink | None = None,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._run = run
        self._engine = engine
        self._options = options or FleetOptions()
        self._sink = sink
        self._wake = asyncio.Event()

    async def work(self, stop: asyncio.Event) -> None:
        """Work until *stop* is set, or with ``until_done`` until the run is over; submissions under way are finished.

        Raises:
            ConfigurationError: the run is another account's, or ledger or engine do not let us in.

        """
        settings = self._run.settings
        if settings.account != self._client.account_id:
            raise ConfigurationError(
                f"the run {self._run.id} was begun with {settings.provider}, account {settings.account}; this is "
                f"account {self._client.account_id}",
                hint="Use the credentials it was begun with. If only the account's key was changed, give the client "
                f"account={settings.account!r}.",
            )
        sink: Sink = self._sink if self._sink is not None else Files(Output.of(self._run))
        account = self._client._account  # noqa: SLF001 - of one package
        self._client.uploads.store = LedgerUploads(self._ledger, settings.account)
        account.turnstile = Turnstile(self._ledger, settings.account)
        try:
            await sink.check()
            async with AtWork(self._ledger, self._run.id):
                await self._work(stop, sink)
        finally:
            self._client.uploads.store = account.turnstile = None
            if self._sink is None:
                await tidy_up(sink, self._ledger, self._run)
                await sink.aclose()

    async def _work(self, stop: asyncio.Event, sink: Sink) -> None:
        stages = Stages(
            client=self._client,
            ledger=self._ledger,
            run=self._run,
            sink=sink,
            planner=Planner(self._run.settings.provider),
            owner=f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
            turns=False,
        )
        ending = asyncio.Event()  # ours: whoever gave *stop* may use it for more than this worker
        hands = Hands(stages, self._options, ending)
        leader = Leader(stages, self._engine, self._options, self._wake.set, collect=hands.collect_own)
        loop = asyncio.get_running_loop()
        serving = loop.create_task(
            self._engine.work(
                self._run.id,
                {Stage.SUBMIT: hands.submit, Stage.COLLECT: hands.collect},
                {Stage.SUBMIT: self._options.submits, Stage.COLLECT: self._options.downloads},
                ending,
            )
        )
        ticking = loop.create_task(self._ticking(stages, hands, leader))
        stopping = loop.create_task(stop.wait())
        try:
            await asyncio.wait({serving, ticking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.set()
            over = ticking.done()
            for task in (ticking, stopping):
                task.cancel()
            await leader.aclose()
            # What the handlers have in hand is money: it is waited for also when this is cancelled.
            await asyncio.shield(_ended(hands, {serving, ticking, stopping}))
        serving.result()
        if over:
            ticking.result()

    async def _ticking(self, stages: Stages, hands: Hands, leader: Leader) -> None:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            self._wake.clear()
            try:
                await self._look_whether_it_goes_on(stages)
                await leader.tick()
                if hands.budget_short:
                    hands.budget_short = False
                    await self._budget_is_used_up(stages)
                often = max(leader.pause, self._options.tick * _LOOKS_OVER)
                if self._options.until_done and loop.time() - looked >= often:
                    looked = loop.time()
                    # Who has something to do need not ask whether there is something to do.
                    if not hands.worked() and await is_over(self._ledger, self._run.id):
                        return
            except (ConfigurationError, ClientClosed):
                raise
            except AvatarKitError as error:
                _logger.warning("run %s: %s", self._run.id, error)
            await asyncio.sleep(min(_AGAIN, self._options.tick))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), leader.pause)

    async def _look_whether_it_goes_on(self, stages: Stages) -> None:
        """A run that was stopped may be fed again while its workers live: then it may have to be stopped again, too."""
        if stages.stopped:
            now = await self._ledger.get_run(self._run.id)
            if now is not None and now.state is RunState.ACTIVE:
                stages.stopped = ""

    async def _budget_is_used_up(self, stages: Stages) -> None:
        """Stop the run when nothing runs any more whose end could leave money for another job."""
        if not await self._ledger.select(self._run.id, _GOING, most=1):
            await stages.stop("the budget does not hold another job")


async def _ended(hands: Hands, tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks)
    await hands.aclose()


async def set_rate(ledger: Ledger, client: AsyncClient, per_second: float | None = None) -> float | None:
    """Have the ledger keep the account's rate: *per_second*, else what it has, else the provider's default.

    A part of it (15 percent) is kept back. Gives what the fleet now uses a second, None for no bound.
    """
    known = (await ledger.limits(client.account_id)).per_second
    wanted = per_second if per_second is not None or known is not None else client.spec.per_second
    if wanted is not None:
        known = wanted * _KEPT_BACK
        await ledger.set_limits(client.account_id, per_second=known)
    return known


async def is_over(ledger: Ledger, run: str) -> bool:
    """Whether nothing of the run moves any more by itself, and nobody is adding to it."""
    if await ledger.select(run, _GOING, most=1):
        return False  # nearly always, and more need not be asked then
    now = await ledger.get_run(run)
    if now is None:
        return True
    active = now.state is RunState.ACTIVE
    if active and await is_being_fed(ledger, run):
        return False
    # Not by counting: that takes long where there are a million, and only one is needed.
    return not await ledger.select(run, (*_GOING, JobState.NEW) if active else _GOING, most=1)
