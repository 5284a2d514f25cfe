"""Random sequences on the ledger in a SQLite file, process ends among them, against a model."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from ledger_laws import LedgerMachine

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.sqlite import SqliteLedger


class SqliteMachine(LedgerMachine):
    """On a file of its own."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        super().__init__()

    async def begin(self) -> Ledger:
        return await SqliteLedger.open(Path(self.folder.name) / "run.avk")

    async def reopen(self, ledger: Ledger) -> Ledger:
        await ledger.aclose()
        return await self.begin()

    def teardown(self) -> None:
        super().teardown()
        self.folder.cleanup()


TestSqliteMachine = SqliteMachine.TestCase
TestSqliteMachine.settings = settings(
    max_examples=25,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
