"""Which page of a list is worth a request: where the waiting tasks stand in it, and how likely they have ended.

A list of a thousand tasks has many pages, and those that end next are on few of them. So it is remembered where each
task stood, and how fast that changes while others are added; nothing is assumed of the list's order. A page's *worth*
is the sum of ``pull · t²`` over the tasks expected on it, where ``t`` is the time since each was shown and ``pull`` one
over the square of the time after which its own schedule wants a look: a single task that is due is worth one. Reading
what is worth most makes a page's rate go with the root of the chance that tasks on it end, which notices ends soonest.

A guess that proves wrong costs a request: who is not shown where it was expected is looked for on the next page at that
end, and then nowhere. No I/O, no clock.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

_FADES = 0.9  # of what was learned of how fast places change, with each page that is read
_NEWEST = 15.0  # seconds of age until which a task's place says where new ones appear
_LEARNED = 0.2  # the weight of what one of them says


class Outlook:
    """What reading each page would be worth, as it was at one moment.

    Attributes:
        tasks: who is expected on a page, by its number, from 1.

    """

    def __init__(self, now: float) -> None:
        self.now = now
        self.tasks: dict[int, list[str]] = {}
        self._sums: dict[int, list[float]] = {}

    def __len__(self) -> int:
        return len(self.tasks)

    def of(self, number: int) -> tuple[list[str], list[float]]:
        """Who is expected on page *number*, and its sums: of pull, of pull · age, of pull · age²."""
        if number not in self.tasks:
            self.tasks[number], self._sums[number] = [], [0.0, 0.0, 0.0]
        return self.tasks[number], self._sums[number]

    def best(self, many: int, *, worth: float, due: Collection[int] = ()) -> list[int]:
        """The pages that are worth most, and that much at least or *due*; so many at most."""
        found = [number for number, sums in self._sums.items() if sums[2] >= worth or number in due]
        return sorted(found, key=lambda number: -self._sums[number][2])[:many]

    def later(self, read: Sequence[int], *, worth: float) -> float:
        """The moment at which a page is worth that much, those of *read* having been read now; infinite for never."""
        seconds = math.inf
        for number, (total, ages, squares) in self._sums.items():
            if total <= 0.0:
                continue
            if number in read:
                ages = squares = 0.0
            # When the sum of pull · (age + seconds)² is enough.
            root = math.sqrt(max(0.0, ages * ages + total * (worth - squares)))
            seconds = min(seconds, (root - ages) / total)
        return self.now + seconds


class Pages:
    """Where tasks stand in one list. Places are counted in pages from its beginning; moments are the caller's.

    Args:
        most: pages that can be read.

    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._places: dict[str, tuple[float, float]] = {}
        """By task: the place, and when it was there."""
        self._strange: set[str] = set()  # were not where they were expected
        self._moved = (0.0, 0.0)  # pages, and the seconds in which tasks moved so far
        self._drift = 0.0  # pages a second
        self._entry = 0.0  # where new tasks appear

    @property
    def known(self) -> bool:
        """Whether any task's place is known."""
        return bool(self._places)

    def expect(self, task_id: str, *, now: float) -> None:
        """A task that was just submitted will be where new ones appear; a known one was looked at by itself now."""
        if not self._places:
            return
        place, at = self._places.get(task_id, (self._entry, now))
        self._places[task_id] = (place + self._drift * (now - at), now)

    def keep(self, task_ids: Mapping[str, object]) -> None:
        """Forget all others, once they are many."""
        if len(self._places) > 1.1 * len(task_ids) + 20:
            self._places = {key: place for key, place in self._places.items() if key in task_ids}
            self._strange.intersection_update(task_ids)

    def clear(self) -> None:
        """Forget all places."""
        self._places.clear()
        self._strange.clear()

    def forget(self, task_id: str) -> None:
        """It will not be looked for any more."""
        self._places.pop(task_id, None)
        self._strange.discard(task_id)

    # -- what a page showed

    def shown(self, number: int, born: Mapping[str, float], expected: Sequence[str], *, now: float) -> None:
        """Page *number* showed these tasks, in this order, and not all that were *expected* on it.

        *born* is when each was submitted.
        """
        places, strange, many = self._places, self._strange, len(born)
        pages, seconds = self._moved[0] * _FADES, self._moved[1] * _FADES
        for index, (task_id, since) in enumerate(born.items()):
            place = number - 1 + (index + 0.5) / many
            before = places.get(task_id)
            if before is not None and task_id not in strange:
                pages += place - before[0]
                seconds += now - before[1]
            if now - since < _NEWEST:
                began = max(0.0, place - self._drift * (now - since))
                self._entry += _LEARNED * (began - self._entry)
            places[task_id] = (place, now)
        strange.difference_update(born)
        self._moved = pages, seconds
        if seconds > 0.0:
            self._drift = pages / seconds
        for task_id in expected:
            if task_id not in born and task_id in places:
                self._not_shown(task_id, number, now)

    def _page(self, spot: tuple[float, float], now: float) -> int:
        return int(max(0.0, spot[0] + self._drift * (now - spot[1]))) + 1

    def _not_shown(self, task_id: str, number: int, now: float) -> None:
        place, at = self._places[task_id]
        moved = self._drift * (now - at)
        expected = place + moved
        other = number + 0.05 if expected > number - 0.5 else number - 1.05
        if task_id in self._strange or other < 0.0:
            self.forget(task_id)
            return
        self._strange.add(task_id)
        self._places[task_id] = (other - moved, at)

    # -- which to read

    def page(self, task_id: str, *, now: float) -> int:
        """The page that can be read on which the task is expected; 0 for none."""
        spot = self._places.get(task_id)
        number = self._page(spot, now) if spot is not None else 0
        return number if number <= self._most else 0

    def outlook(self, pull: Mapping[str, float], *, now: float) -> Outlook:
        """What reading each page is worth now; *pull* is that of all who wait."""
        found, drift, places, most = Outlook(now), self._drift, self._places, self._most
        tasks, sums, last = list[str](), list[float](), 0
        for task_id, weight in pull.items() if places else ():
            spot = places.get(task_id)
            if spot is None:
                continue
            age = now - spot[1]
            place = spot[0] + drift * age
            number = int(place) + 1 if place > 0.0 else 1
            if number > most:
                continue
            if number != last:
                tasks, sums = found.of(number)
                last = number
            tasks.append(task_id)
            sums[0] += weight
            weight *= age
            sums[1] += weight
            sums[2] += weight * age
        return found
