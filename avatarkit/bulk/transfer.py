"""Moving a run from one ledger to another: from the SQLite file it began in to the PostgreSQL that a fleet shares."""

from __future__ import annotations

import uuid
from functools import partial

import attrs

from avatarkit.bulk import moves_transfer
from avatarkit.bulk.moves_store import MovesLedger
from avatarkit.bulk.worktime import keep_work_time, work_time
from avatarkit.errors import ConfigurationError

_TIES = 1000  # pairs of each sort in one transaction


@attrs.frozen(kw_only=True)
class Moved:
    """What was moved: *jobs* and parts, and how many of them are submissions whose outcome is not known yet."""

    jobs: int
    intents: int


async def move_run(source: MovesLedger, target: MovesLedger, run: str) -> Moved:
    """Move a run, with every job as it is, from *source* to *target*.

    Nobody may be working on the run. From the first step on it does not submit in *source* any more, and cannot be
    opened there again, so that no job can be paid for in both; in *target* it appears when it is whole, all at once.
    When this is cut off, do it again: it goes on. Submissions whose outcome is not known are reconciled in *target*.
    What an account's uploads are called, when the run was worked on, and limits that *target* does not have, go with
    it; other runs stay.

    Raises:
        ConfigurationError: there is no such run, it was moved elsewhere, or *target* has another one of that name;
            then *source* is as it was.

    """
    fresh = uuid.uuid4().hex
    where = await target.change(partial(moves_transfer.identity, fresh))
    parcel = await source.change(partial(moves_transfer.leave, run, fresh, where))
    arrival = await target.change(partial(moves_transfer.arrive, run, parcel))
    if arrival is moves_transfer.Arrival.TAKEN:
        await source.change(partial(moves_transfer.stay, run))
        raise ConfigurationError(
            f"there is a run {run} already where it should go", hint="Two runs cannot be made one."
        )
    if arrival is moves_transfer.Arrival.ROOM:
        await _copy(source, target, run, parcel)
    counts = await target.counts(run)
    both = [*counts.jobs.items(), *counts.parts.items()]
    return Moved(
        jobs=sum(many for _, many in both), intents=sum(many for state, many in both if state == "intent")
    )


async def _copy(source: MovesLedger, target: MovesLedger, run: str, parcel: moves_transfer.Parcel) -> None:
    after = 0
    while rows := await source.read(partial(moves_transfer.page, run, after)):
        await target.change(partial(moves_transfer.put, run, rows))
        after = rows[-1][-1]
    needs, broken = await source.read(partial(moves_transfer.ties, run))
    for start in range(0, max(len(needs), len(broken)), _TIES):
        some = slice(start, start + _TIES)
        await target.change(partial(moves_transfer.tie, run, needs[some], broken[some]))
    if (work := await work_time(source, run)).known:
        await keep_work_time(target, run, work)
    kept = await source.read(partial(moves_transfer.uploads, parcel.account))
    await target.change(partial(moves_transfer.keep_uploads, parcel.account, kept))
    wanted = await source.read(partial(moves_transfer.size, run))
    await target.change(partial(moves_transfer.open_up, run, parcel, wanted))
