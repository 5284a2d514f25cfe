"""What happens to the jobs that need a part, when the part is done, fails, or is tried again. No I/O.

A dependant waits as ``blocked`` and counts the parts that it still lacks (``pending``). When a part fails, it fails too
and remembers which part it was (``broken_by``), so that it comes back with that part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from avatarkit.bulk.moves import Move, to_text

_UNBLOCK = """UPDATE jobs SET pending = pending - 1,
    state = CASE WHEN state = 'blocked' AND pending = 1 THEN 'new' ELSE state END
    WHERE seq IN (SELECT job FROM needs WHERE part = :part)"""

_BREAK = """UPDATE jobs SET state = :state, broken_by = :part, error = :error, finished_at = {now}
    WHERE state = 'blocked' AND seq IN (SELECT job FROM needs WHERE part = :part) RETURNING seq, key, part"""

_MEND = """UPDATE jobs SET state = 'blocked', broken_by = NULL, error = '{}', finished_at = NULL
    WHERE state = 'failed' AND broken_by = :part AND seq IN (SELECT job FROM needs WHERE part = :part)
    RETURNING seq, part"""

_BROKEN = """SELECT seq, key, state FROM jobs
    WHERE run = :run AND state IN ('failed', 'abandoned', 'cancelled') AND part = 1 ORDER BY seq"""


def part_done(part: int) -> Move[None]:
    """A part is done: dependants that lack no other are new."""
    yield _UNBLOCK, {"part": part}


def part_error(key: str, how: str = "failed") -> dict[str, Any]:
    """The error of a job whose part *key* will not come."""
    return {"type": "PartFailed", "part": key, "message": f"the part {key} {how}"}


def parts_lost(parts: Iterable[tuple[int, str]], how: str = "failed") -> Move[int]:
    """Parts, as ``(seq, key)``, will not come: what needs them fails or is cancelled too; gives how many did."""
    waiting, lost = list(parts), 0
    state = "cancelled" if how == "cancelled" else "failed"
    while waiting:
        part, key = waiting.pop()
        rows = yield _BREAK, {"part": part, "state": state, "error": to_text(part_error(key, how))}
        lost += len(rows)
        waiting += [(seq, name) for seq, name, is_part in rows if is_part]
    return lost


def parts_back(run: str, parts: Sequence[int]) -> Move[int]:
    """Jobs were taken back, *parts* among them: what failed because of these waits again. Gives how many more do.

    Whoever waits for a part that is still lost fails again, also of those that were taken back themselves.
    """
    waiting, back = list(parts), 0
    while waiting:
        rows = yield _MEND, {"part": waiting.pop()}
        back += len(rows)
        waiting += [seq for seq, is_part in rows if is_part]
    for seq, key, state in (yield _BROKEN, {"run": run}):
        back -= yield from parts_lost([(seq, key)], state)
    return back
