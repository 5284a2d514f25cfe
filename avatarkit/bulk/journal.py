"""Opening a ledger by its name, and what else is kept in one."""

from __future__ import annotations

import os
from collections.abc import Callable

from avatarkit.bulk.ledger import Ledger
from avatarkit.models import UploadedFile
from avatarkit.transport.clock import SYSTEM_CLOCK, Clock

PATIENCE = 60.0
"""Seconds for which a database that cannot be reached is waited for, unless something else is said."""

_KEPT_SECONDS = 1800.0
"""For how long an upload is used again. No vendor says how long it keeps a file nobody refers to."""


def is_address(journal: str | os.PathLike[str]) -> bool:
    """Whether *journal* is a PostgreSQL address and not a file."""
    return isinstance(journal, str) and journal.startswith(("postgresql://", "postgres://"))


async def open_ledger(
    journal: str | os.PathLike[str],
    *,
    clock: Clock = SYSTEM_CLOCK,
    opening: float | None = None,
    patience: float = PATIENCE,
    say: Callable[[str], None] | None = None,
) -> Ledger:
    """The ledger in a file (SQLite, by *clock*), or at a PostgreSQL address (by the database's clock).

    Args:
        journal: the file or address.
        clock: a file's clock.
        opening: seconds for which a database that cannot be reached is waited for here; None: *patience*.
        patience: the same for each later call.
        say: gets a sentence for people when a database has been away for 2 s, and when it is back.

    Raises:
        ConfigurationError: it is in use by another process, is no ledger of ours, or cannot be opened.
        TransportError: the database stays away.
        MissingExtra: the address needs the ``postgres`` extra.

    """
    if is_address(journal):
        from avatarkit.bulk.postgres import PostgresLedger

        return await PostgresLedger.open(str(journal), opening=opening, patience=patience, say=say)
    from avatarkit.bulk.sqlite import SqliteLedger

    return await SqliteLedger.open(journal, clock=clock)


class LedgerUploads:
    """An account's uploads, remembered in a ledger: a file that many jobs use goes up once, also after a restart."""

    def __init__(self, ledger: Ledger, account: str) -> None:
        self._ledger = ledger
        self._account = account

    async def recall(self, sha256: str, extension: str) -> UploadedFile | None:
        """The file with this content, if it was uploaded lately."""
        kept = await self._ledger.recall(
            self._account, f"upload:{sha256}.{extension}", younger_than=_KEPT_SECONDS
        )
        if kept is None:
            return None
        return UploadedFile(id=str(kept["id"]), sha256=sha256, size=int(kept["size"]))

    async def remember(self, extension: str, file: UploadedFile) -> None:
        """Keep *file*, which was uploaded just now."""
        name = f"upload:{file.sha256}.{extension}"
        await self._ledger.remember(self._account, name, {"id": file.id, "size": file.size})
