"""Which page of a list is read: where tasks are learned to be, what reading a page is worth, and what a guess costs."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import attrs
import pytest

from avatarkit import AsyncGuiji, AsyncSandbox
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.pages import Outlook, Pages
from avatarkit.transport.rounds import Rounds

EVERY = 0.5  # seconds between two submissions
SIZE = 20  # rows of a page


@attrs.define
class Listing:
    """A list of tasks, one added every half second, newest first or last; all of them go on."""

    newest_first: bool = True
    pages: Pages = attrs.field(factory=lambda: Pages(10))
    born: dict[str, float] = attrs.field(factory=dict)
    now: float = 0.0

    def until(self, now: float) -> None:
        while (at := len(self.born) * EVERY) <= now:
            key = f"t{len(self.born)}"
            self.born[key] = at
            self.pages.expect(key, now=at)
        self.now = now

    def page(self, number: int) -> dict[str, float]:
        order = list(reversed(self.born)) if self.newest_first else list(self.born)
        return {key: self.born[key] for key in order[(number - 1) * SIZE : number * SIZE]}

    def outlook(self, pull: float = 0.01) -> Outlook:
        return self.pages.outlook(dict.fromkeys(self.born, pull), now=self.now)

    def read(self, number: int) -> None:
        self.pages.shown(number, self.page(number), self.outlook().tasks.get(number, ()), now=self.now)

    def right(self) -> float:
        """The share of all tasks that are expected on the page where they are."""
        tasks = self.outlook().tasks
        pages = range(1, len(self.born) // SIZE + 2)
        return sum(len(self.page(n).keys() & set(tasks.get(n, ()))) for n in pages) / len(self.born)


@pytest.mark.parametrize("newest_first", [True, False])
def test_where_tasks_are_is_learned_whatever_the_order(newest_first: bool) -> None:
    """While tasks are added and one page a second is read, nearly all are expected on the page where they are."""
    listing = Listing(newest_first)
    listing.until(60.0)
    for number in range(1, 8):
        listing.read(number)
    for second in range(61, 120):
        listing.until(float(second))
        outlook = listing.outlook()
        (number,) = outlook.best(1, worth=0.0)
        listing.read(number)
        assert listing.right() > 0.6
    assert listing.right() > 0.8


def test_the_page_with_the_largest_chance_of_ends_is_worth_most() -> None:
    """Of pages that were shown at the same time the one with the steepest schedules goes first; then the others."""
    pages = Pages(10)
    for number in (1, 2, 3):
        pages.shown(number, {f"{number}{n}": -100.0 for n in range(10)}, (), now=0.0)
    pull = {
        f"{number}{n}": weight for number, weight in ((1, 0.001), (2, 0.04), (3, 0.01)) for n in range(10)
    }
    outlook = pages.outlook(pull, now=4.0)
    assert outlook.best(3, worth=0.0) == [2, 3, 1]
    assert outlook.best(3, worth=1.0) == [2, 3]
    assert outlook.best(1, worth=7.0) == []
    # 10 tasks of pull 0.04, none of them looked at for t seconds: 0.4 · t² is 6.4 after four.
    assert outlook.later([], worth=6.4) == pytest.approx(4.0)
    # That page having been read now, the next one is worth as much when 0.1 · t² is.
    assert outlook.later([2], worth=6.4) == pytest.approx(8.0)


def test_what_is_on_no_page_is_given_up_after_two_guesses() -> None:
    """A task that was deleted is expected on its page, then on the next one, then nowhere; the others stay known."""
    pages = Pages(10)
    here = {f"a{n}": -100.0 for n in range(10)}
    pages.shown(1, {**here, "gone": -100.0}, (), now=0.0)
    pages.shown(2, {f"b{n}": -100.0 for n in range(10)}, (), now=0.0)
    for number in (1, 2):
        outlook = pages.outlook({"gone": 1.0}, now=float(number))
        assert list(outlook.tasks) == [number]
        shown = here if number == 1 else {f"b{n}": -100.0 for n in range(10)}
        pages.shown(number, shown, outlook.tasks[number], now=float(number))
    assert not pages.page("gone", now=3.0)
    assert pages.page("a1", now=3.0)
    assert not pages.outlook({"gone": 1.0}, now=3.0).tasks
    assert outlook.best(1, worth=9.9) == []
    assert outlook.best(1, worth=9.9, due=(2,)) == [2]


def test_what_lies_behind_the_last_page_that_can_be_read_is_not_waited_for() -> None:
    """Tasks that drift beyond it are no longer expected on any page, so that they are looked at by themselves."""
    listing = Listing(pages=Pages(3))
    for second in range(30):
        listing.until(float(second))
        for number in (1, 2, 3):
            listing.read(number)
    # Two tasks a second, twenty on a page: the first one is on page 3 after 20 s, and on page 4 after 30.
    assert listing.pages.page("t5", now=27.0)
    assert not listing.pages.page("t5", now=40.0)
    assert not listing.pages.outlook({"t5": 1.0}, now=40.0).tasks


def test_places_of_tasks_that_nobody_waits_for_are_forgotten() -> None:
    """Of a million tasks only those are remembered that wait."""
    pages = Pages(10)
    for second in range(500):
        born = {f"{second}-{n}": float(second) for n in range(10)}
        pages.shown(1, born, (), now=float(second))
        pages.keep(born)
    assert len(pages._places) <= 40
    pages.clear()
    assert not pages._places


def _waited(
    monkeypatch: pytest.MonkeyPatch, switches: dict[str, Any]
) -> tuple[list[float], Counter[Any], int]:
    """Four hundred tasks of one to three minutes, one every half second, in pages of 50.

    Gives how late each end was noticed, how often each page was read from the second minute on until the last
    submission, and the most requests in one second.
    """
    read: Counter[Any] = Counter()
    ask = Rounds._ask

    async def counted(self: Rounds, ids: Any, number: int) -> Any:
        read[number] += 120.0 < self._hub.clock.monotonic() < 200.0
        return await ask(self, ids, number)

    begin = Rounds._round

    async def begun(self: Rounds) -> None:
        read["rounds"] += 120.0 < self._hub.clock.monotonic() < 200.0
        await begin(self)

    monkeypatch.setattr(Rounds, "_ask", counted)
    monkeypatch.setattr(Rounds, "_round", begun)
    noticed: dict[str, float] = {}
    delays: list[float] = []
    peak = 0

    async def main() -> None:
        nonlocal peak
        rng, clock = random.Random(3), VirtualClock()

        async def one(client: Any, number: int) -> None:
            await asyncio.sleep(number * EVERY)
            box.set_delays(queue_seconds=0.0, run_seconds=rng.uniform(60.0, 180.0))
            task = await client.videos.create(avatar="-291", voice="C_101", text="good morning")
            await task.wait()
            noticed[task.id] = clock.time()

        async with AsyncSandbox(
            clock=clock,
            listen=False,
            render="tiny",
            result_bytes=16,
            credits=1e9,
            switches={"guiji": switches},
        ) as box:
            wire = box.wire()
            options: dict[str, Any] = {"clock": clock, "rate_limit": None, "wire": wire, "seed": 1}
            async with AsyncGuiji(
                box.token, box.secret, base_url=box.base_url("guiji"), max_running=1000, **options
            ) as client:
                await asyncio.gather(*(one(client, number) for number in range(400)))
            delays.extend(noticed[row["id"]] - row["finished"] for row in box.tasks())
            peak = box.seen.peak_per_second

    run_virtual(main)
    return delays, read, peak


def test_pages_where_tasks_end_are_read_and_the_others_hardly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newest first, page 1 holds tasks of the last 25 s, of which none ends: most requests go where tasks do end."""
    delays, read, peak = _waited(monkeypatch, {"largest_page": 50})
    assert len(delays) == 400
    assert sum(delays) / len(delays) < 2.6
    assert max(delays) < 30.0
    assert read.pop("rounds") <= 80 * 4  # none that finds nothing to do and begins anew at once
    assert max(read, key=read.__getitem__) >= 3
    assert read[1] < 0.5 * max(read.values())
    assert peak <= 6  # two looks, and submissions


def test_a_single_page_is_read_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one page shows all, there is nothing to choose."""
    delays, read, _ = _waited(monkeypatch, {"largest_page": 1000})
    assert sum(delays) / len(delays) < 2.6
    assert read.total() > 100
