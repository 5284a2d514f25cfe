"""What callbacks said about an account's tasks: which task an event means, and how far callbacks can be relied on.

Invariants:

1. Events never change what is known of a task; they only bring the next look forward.
2. An event that comes before its task is known (the submission's answer is slower) waits here for the task: ten
   thousand events at most, for ten minutes.
3. While callbacks announce every end of a kind's tasks, looks that nobody asked for become rare; one end that such a
   look found by itself makes them frequent again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from avatarkit.models import Kind

if TYPE_CHECKING:
    from avatarkit.transport.watched import Watched

_MOST = 10_000  # early events kept
_KEEP = 600.0  # seconds they are kept
_STREAK = 3  # ends in a row that callbacks announced, before they are relied on
_RELAXED = 4.0  # the schedule's tightness then: about a quarter of the looks
_UNNAMED = 32  # tasks looked at for an event that names none


class Hints:
    """The callbacks of one account on one loop. Loop thread only."""

    __slots__ = ("_early", "_known", "_streaks")

    def __init__(self) -> None:
        self._known: WeakValueDictionary[tuple[Kind, str], Watched] = WeakValueDictionary()
        self._early: dict[tuple[str, str, str], float] = {}
        self._streaks: dict[Kind, int] = {}

    # -- which task

    def meet(self, record: Watched, now: float) -> bool:
        """Know *record* from now on; whether an event that said it ended came before."""
        kind = record.kind.kind
        self._known[kind, _bare(record.task_id)] = record
        if not self._early:
            return False
        names = [("id", _bare(record.task_id)), ("marker", record.marker)]
        times = [
            self._early.pop((kind_, *name), None) for kind_ in (kind.value, "") for name in names if name[1]
        ]
        return any(at is not None and now - at <= _KEEP for at in times)

    def find(self, kind: Kind | None, task_id: str, marker: str) -> list[Watched]:
        """The tasks that an event means, ended ones too.

        By id; else, for events without ids, all with this marker; else the unfinished ones of this kind, up to a few.
        """
        kinds = (kind,) if kind is not None else tuple(Kind)
        if task_id:
            found = [self._known.get((each, _bare(task_id))) for each in kinds]
            return [record for record in found if record is not None]
        if not marker and kind is None:
            return []
        every = [record for record in self._known.values() if record.kind.kind in kinds]
        if marker:
            return [record for record in every if record.marker == marker]
        return [record for record in every if not record.terminal][:_UNNAMED]

    def keep(self, kind: Kind | None, task_id: str, marker: str, now: float) -> None:
        """Keep an event that said that a task ended which is not known (yet)."""
        name = ("id", _bare(task_id)) if task_id else ("marker", marker)
        if not name[1]:
            return
        early = self._early
        early.pop((key := (kind.value if kind else "", *name)), None)
        early[key] = now
        while len(early) > _MOST or now - early[next(iter(early))] > _KEEP:
            del early[next(iter(early))]

    # -- how reliable

    def ended(self, kind: Kind, *, told: bool) -> None:
        """A task of *kind* was found ended; *told* says whether a callback had announced it."""
        self._streaks[kind] = min(_STREAK, self._streaks.get(kind, 0) + 1) if told else 0

    def tightness(self, kind: Kind) -> float:
        """How scarce looks that nobody asked for may be, for ``next_delay``."""
        return _RELAXED if self._streaks.get(kind, 0) >= _STREAK else 1.0


def _bare(task_id: str) -> str:
    # Where two products make one kind, the handle's id has the product before it, and the event has not.
    return task_id.rpartition("/")[2]
