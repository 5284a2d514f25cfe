"""Moves that read before another worker wrote: they are made anew, and no money is counted twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger_suite import RUN, begun, brought_to, the

from avatarkit.bulk.moves import Again, Move
from avatarkit.bulk.moves_ends import fail, finish, settle
from avatarkit.bulk.moves_submit import adopt
from avatarkit.bulk.records import JobState, Look
from avatarkit.bulk.sqlite import SqliteLedger

LATE: dict[str, Callable[[], Move[Any]]] = {
    "fail": lambda: fail(RUN, "a", 1, error={"type": "Late"}),
    "finish": lambda: finish(RUN, "a", 1, result={}, from_states=(JobState.RUNNING,)),
    "settle": lambda: settle(RUN, [Look(key="a", attempt=1, state=JobState.READY)]),
}


def meanwhile_taken_up() -> Move[None]:
    """What another worker does: the task failed, and the user names it again, at another price."""
    assert (yield from fail(RUN, "a", 1, error={"type": "Early"}))
    assert (yield from adopt(RUN, "a", 1, task_id="t", token="x", look_at=0.0, anew=3.0))


def interleaved(late: Move[Any]) -> Move[str]:
    """*late* as it goes when another worker's transactions commit after its first statement, which reads the job."""
    rows: Any = yield next(late)
    yield from meanwhile_taken_up()
    try:
        while True:
            rows = yield late.send(rows)
    except Again:
        return "made anew"
    except StopIteration as stop:
        return f"said {stop.value}"


@pytest.mark.asyncio
@pytest.mark.parametrize("move", sorted(LATE))
async def test_a_job_that_was_taken_up_meanwhile_is_not_ended_with_the_money_of_before(
    move: str, tmp_path: Path
) -> None:
    """It runs again in the same attempt, with another amount set aside: what read the first one must not end it."""
    async with await SqliteLedger.open(tmp_path / "run.avk") as ledger:
        await begun(ledger, "a")
        await brought_to(ledger, JobState.RUNNING)
        assert await ledger.change(lambda: interleaved(LATE[move]())) == "made anew"
        assert (await the(ledger)).state is JobState.RUNNING
