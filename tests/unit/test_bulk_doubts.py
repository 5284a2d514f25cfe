"""Doubts of a bulk run are looked up a few at a time, none by two at once, and lists are read for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bulk_house import Bulk, bulk_house, in_virtual_time, states

from avatarkit.bulk.doubts import Doubts
from avatarkit.bulk.fleet import FleetOptions
from avatarkit.bulk.fleet_lead import Leader
from avatarkit.bulk.records import Job, JobState
from avatarkit.errors import AvatarKitError, ConfigurationError, SubmissionInDoubt
from avatarkit.models import Finding

CREATE, LIST = "POST /openapi/video/v3/simpleCreate", "POST /openapi/video/v2/pageList"


class Looks:
    """Stands in for the lookup of one doubt: each takes a second."""

    def __init__(self, fails: Callable[[str], Exception | None] = lambda key: None) -> None:
        self.fails = fails
        self.begun: list[str] = []
        self.under_way: set[str] = set()
        self.most = 0

    async def __call__(self, job: Job) -> JobState:
        assert job.key not in self.under_way
        self.begun.append(job.key)
        self.under_way.add(job.key)
        self.most = max(self.most, len(self.under_way))
        await asyncio.sleep(1.0)
        self.under_way.discard(job.key)
        if error := self.fails(job.key):
            raise error
        return JobState.HELD


def _job(key: str) -> Job:
    return Job(seq=1, run="r", key=key, part=False, state=JobState.INTENT, spec=b"", created=0.0)


def _resolve(
    looks: Looks, monkeypatch: pytest.MonkeyPatch, many: int, wanted: Callable[[Job], bool] = lambda job: True
) -> tuple[list[str], float, Exception | None]:
    """Have so many doubts looked up; gives the keys that were told, the seconds it took, and what was raised."""
    told: list[str] = []

    async def tell(job: Job, state: JobState) -> None:
        assert state is JobState.HELD
        told.append(job.key)

    async def main() -> tuple[float, Exception | None]:
        begun, raised = asyncio.get_running_loop().time(), None
        try:
            jobs = [_job(f"j{n}") for n in range(many)]
            await Doubts(None).reconcile_all(jobs, wanted=wanted, told=tell)  # type: ignore[arg-type]
        except AvatarKitError as error:
            raised = error
        assert not looks.under_way
        return asyncio.get_running_loop().time() - begun, raised

    monkeypatch.setattr(Doubts, "reconcile", lambda self, job: looks(job))
    seconds, raised = in_virtual_time(main)
    return told, seconds, raised


def test_doubts_are_looked_up_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty that take a second each take three, eight at once; each is looked up once and told."""
    looks = Looks()
    told, seconds, _ = _resolve(looks, monkeypatch, 20)
    assert sorted(told) == sorted(looks.begun) == sorted(f"j{n}" for n in range(20))
    assert looks.most == 8
    assert seconds == pytest.approx(3.0, abs=0.1)


def test_what_is_not_wanted_any_more_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked right before each lookup: what was taken in hand meanwhile is left alone, as is all after the end."""
    looks = Looks()
    told, _, _ = _resolve(
        looks, monkeypatch, 20, wanted=lambda job: len(looks.begun) < 10 and job.key != "j3"
    )
    assert len(told) == len(looks.begun) == 10
    assert "j3" not in told


def test_the_first_trouble_ends_the_round_when_those_under_way_are_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No further lookup is begun, none is cut off, and the first error is raised."""
    looks = Looks(fails=lambda key: ConfigurationError(key) if key in ("j2", "j5") else None)
    told, seconds, raised = _resolve(looks, monkeypatch, 20)
    assert str(raised) == "j2"
    assert len(looks.begun) <= 10
    assert len(told) == len(looks.begun) - 2
    assert seconds <= 2.1


def test_a_leader_looks_up_doubts_a_few_at_a_time_while_it_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight at once, and no further one once its lease has ended; trouble is no end of its lead."""
    looks = Looks(fails=lambda key: ConfigurationError(key) if key == "j30" else None)
    monkeypatch.setattr(Doubts, "reconcile", lambda self, job: looks(job))
    jobs = [_job(f"j{n}") for n in range(40)]

    async def doubts(run: str, *, older_than: float) -> list[Job]:
        assert older_than == 30.0 + FleetOptions().margin
        return jobs

    stages = SimpleNamespace(
        ledger=SimpleNamespace(doubts=doubts),
        client=SimpleNamespace(submit_seconds=30.0),
        run=SimpleNamespace(id="r", settings=SimpleNamespace(account="acc")),
    )

    async def main() -> None:
        leader: Any = Leader(stages, None, FleetOptions(), lambda: None)  # type: ignore[arg-type]
        leader._until = asyncio.get_running_loop().time() + 1.5
        await leader._reconcile()
        assert (len(looks.begun), looks.most) == (16, 8)
        leader._until += 100
        await leader._reconcile()
        assert "j30" in looks.begun[16:]
        assert not looks.under_way

    in_virtual_time(main)


def test_lookups_that_run_together_read_a_list_once(tmp_path: Path) -> None:
    """Eight lost submissions behind three hundred others: one walk through four pages finds them all."""

    async def main(bulk: Bulk) -> tuple[int, int]:
        client, seen = bulk.client, bulk.box.seen
        tickets = []
        for n in range(8):
            bulk.box.faults.add(CREATE, "reset_after")
            with pytest.raises(SubmissionInDoubt) as caught:
                await client.videos.create(**bulk.base, text=f"lost {n}")
            tickets.append(caught.value.ticket)
        await asyncio.gather(*(client.videos.create(**bulk.base, text=f"say {n}") for n in range(300)))
        before = seen.requests[LIST]
        found = await asyncio.gather(*map(client.reconcile, tickets))
        assert [each.finding for each in found] == [Finding.FOUND] * 8
        assert len({each.token for each in found}) == 8
        together = seen.requests[LIST] - before
        assert (await client.reconcile(tickets[0])).finding is Finding.FOUND
        return together, seen.requests[LIST] - before - together

    assert _guiji(tmp_path, main) == (4, 4)


def test_who_asks_a_moment_later_asks_anew(tmp_path: Path) -> None:
    """A list that was asked for before a lookup began proves nothing to it."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add(CREATE, "reset_after")
        with pytest.raises(SubmissionInDoubt) as caught:
            await bulk.client.videos.create(**bulk.base, text="lost")
        ask = partial(bulk.client.reconcile, caught.value.ticket)
        before = bulk.box.seen.requests[LIST]
        first = asyncio.ensure_future(ask())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.ensure_future(ask())
        assert [each.finding for each in await asyncio.gather(first, second)] == [Finding.FOUND] * 2
        assert bulk.box.seen.requests[LIST] - before == 2

    _guiji(tmp_path, main)


def test_who_stops_asking_does_not_stop_the_others(tmp_path: Path) -> None:
    """One of two lookups that share a page is cancelled: the other has its answer, and nothing is left under way."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add(CREATE, "reset_after")
        with pytest.raises(SubmissionInDoubt) as caught:
            await bulk.client.videos.create(**bulk.base, text="lost")
        asking = [asyncio.ensure_future(bulk.client.reconcile(caught.value.ticket)) for _ in range(2)]
        await asyncio.sleep(0)
        asking[0].cancel()
        first, second = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(first, asyncio.CancelledError)
        assert second.finding is Finding.FOUND
        assert bulk.client._asked == {}

    _guiji(tmp_path, main)


def test_a_run_with_many_doubts_finds_them_all(tmp_path: Path) -> None:
    """Forty of forty answers are lost: each is found at the vendor, none is made twice, by few lists."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add(CREATE, "reset_after", times=40)
        assert states(await bulk.run(bulk.jobs(40))) == {"done": 40}
        assert set(bulk.made().values()) == {1}
        assert len(bulk.made()) == 40

    _guiji(tmp_path, main, max_running=None)


def _guiji(folder: Path, main: Callable[[Bulk], Awaitable[Any]], **options: Any) -> Any:
    async def inside() -> Any:
        async with bulk_house(folder, "guiji", **{"max_running": None, **options}) as bulk:
            return await main(bulk)

    return in_virtual_time(inside)
