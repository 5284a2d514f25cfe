"""A bulk run in trouble: nothing is lost, nothing is paid twice, and it says what is wrong."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from bulk_house import Bulk, bulk_house, in_virtual_time, states

from avatarkit import errors
from avatarkit.sandbox.faults import Fault, FaultKind, answer

SUBMISSIONS = {"guiji": "POST */simpleCreate", "hifly": "POST */create_by_tts", "kling": "POST */image2video"}
ALL = tuple(SUBMISSIONS)


def world(tmp_path: Path, provider: str, **options: Any) -> Callable[[Callable[[Bulk], Awaitable[Any]]], Any]:
    def run(main: Callable[[Bulk], Awaitable[Any]]) -> Any:
        async def inside() -> Any:
            async with bulk_house(tmp_path, provider, **options) as bulk:
                return await main(bulk)

        return in_virtual_time(inside)

    return run


@pytest.mark.parametrize("provider", ALL)
def test_a_provider_that_is_down_for_an_hour_loses_no_job(provider: str, tmp_path: Path) -> None:
    """Everything is refused at the door for an hour: the run waits, and every job is done once afterwards."""

    async def main(bulk: Bulk) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(40, lambda: bulk.box.refuse(3600.0))
        began = loop.time()
        outcomes = await bulk.run(bulk.jobs(60))
        assert states(outcomes) == {"done": 60}
        assert loop.time() - began > 3600
        assert set(bulk.made().values()) == {1}
        assert len(bulk.made()) == 60

    world(tmp_path, provider)(main)


@pytest.mark.parametrize("provider", ALL)
def test_answers_that_get_lost_are_looked_up_or_held(provider: str, tmp_path: Path) -> None:
    """Ten accepted submissions lose their answers: found where the vendor can be asked, else held, never resent."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add(SUBMISSIONS[provider], "reset_after", times=10)
        outcomes = await bulk.run(bulk.jobs(40))
        counted = states(outcomes)
        assert set(bulk.made().values()) == {1}
        assert len(bulk.made()) == 40
        assert counted == ({"done": 30, "held": 10} if provider == "hifly" else {"done": 40})

    world(tmp_path, provider)(main)


@pytest.mark.parametrize("provider", ["guiji", "kling"])
def test_submissions_that_never_arrived_are_shown_absent_and_sent_again(
    provider: str, tmp_path: Path
) -> None:
    """The connection broke before the vendor read anything: its list proves it twice, and the job is submitted anew."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add(SUBMISSIONS[provider], "hang_before", times=5)
        outcomes = await bulk.run(bulk.jobs(20))
        assert states(outcomes) == {"done": 20}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, provider)(main)


@pytest.mark.parametrize("provider", ALL)
def test_no_money_left_stops_submitting_and_collects_the_rest(provider: str, tmp_path: Path) -> None:
    """The balance runs out in the middle: what was accepted is fetched, the rest stays new, and a later run goes on."""

    async def main(bulk: Bulk) -> None:
        token = bulk.box.token
        first = await bulk.run(bulk.jobs(3))
        assert states(first) == {"done": 3}
        bulk.box.set_account(token, provider=provider, credits=0)
        second = await bulk.run(bulk.jobs(30))
        assert {key for key, outcome in second.items() if outcome.ok} == {"j0", "j1", "j2"}
        bulk.box.set_account(token, provider=provider, credits=1e9)
        await asyncio.sleep(60)
        third = await bulk.run(bulk.jobs(30))
        assert states(third) == {"done": 30}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, provider)(main)


def test_a_full_disk_ends_the_run_and_a_later_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger cannot grow: the run ends with an error that says so, nothing was submitted twice, and it resumes."""

    async def main(bulk: Bulk) -> None:
        assert states(await bulk.run(bulk.jobs(5))) == {"done": 5}
        from avatarkit.bulk import sqlite_worker

        original = sqlite_worker.Worker.submit
        left = 40

        def full(worker: Any, move: Any, now: float) -> Any:
            nonlocal left
            left -= 1
            if left > 0:
                return original(worker, move, now)

            def broken() -> Any:
                raise sqlite3.OperationalError("database or disk is full")

            return original(worker, broken, now)

        monkeypatch.setattr(sqlite_worker.Worker, "submit", full)
        with pytest.raises(errors.AvatarKitError, match=r"(?i)disk|full|space"):
            await bulk.run(bulk.jobs(60))
        monkeypatch.setattr(sqlite_worker.Worker, "submit", original)
        assert states(await bulk.run(bulk.jobs(60))) == {"done": 60}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, "guiji")(main)


def test_a_journal_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    """A file of somebody else's is refused with its name, and not changed."""
    (tmp_path / "run.db").write_bytes(b"important, and nothing to do with us" * 300)

    async def main(bulk: Bulk) -> None:
        before = bulk.journal.read_bytes()
        with pytest.raises(errors.ConfigurationError, match=r"run\.db"):
            await bulk.run(bulk.jobs(2))
        assert bulk.journal.read_bytes() == before
        assert not bulk.made()

    world(tmp_path, "guiji")(main)


def test_a_truncated_journal_is_refused(tmp_path: Path) -> None:
    """A journal that lost its end is not gone on with: nobody could say what was paid for."""

    async def main(bulk: Bulk) -> None:
        await bulk.run(bulk.jobs(50))
        whole = bulk.journal.read_bytes()
        bulk.journal.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(errors.ConfigurationError):
            await bulk.run(bulk.jobs(50))
        assert set(bulk.made().values()) == {1}

    world(tmp_path, "guiji")(main)


def test_an_edited_manifest_adds_what_is_new_and_names_what_changed(tmp_path: Path) -> None:
    """New rows are made; a row that changed under its key is named, for the ledger cannot know which one is meant."""

    async def main(bulk: Bulk) -> None:
        assert states(await bulk.run(bulk.jobs(3))) == {"done": 3}
        assert states(await bulk.run(bulk.jobs(5))) == {"done": 5}
        changed = bulk.jobs(5)
        changed[1] = ("j1", {**changed[1][1], "text": "something else"})
        with pytest.raises(errors.InvalidRequest, match="j1"):
            await bulk.run(changed)
        assert sum(bulk.made().values()) == 5

    world(tmp_path, "guiji")(main)


def test_a_clock_that_is_set_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's clock jumps back a day between two runs and during one: every job is done once."""
    from avatarkit.testing.virtual import VirtualClock

    original = VirtualClock.time
    shift = 0.0

    async def main(bulk: Bulk) -> None:
        nonlocal shift
        monkeypatch.setattr(VirtualClock, "time", lambda clock: original(clock) - shift)
        asyncio.get_running_loop().call_later(45, lambda: shifted(3600.0))
        assert states(await bulk.run(bulk.jobs(40))) == {"done": 40}
        shifted(86400.0)
        assert states(await bulk.run(bulk.jobs(60))) == {"done": 60}
        assert set(bulk.made().values()) == {1}

    def shifted(seconds: float) -> None:
        nonlocal shift
        shift = seconds

    world(tmp_path, "hifly")(main)


def test_another_account_cannot_go_on_with_a_run(tmp_path: Path) -> None:
    """A journal belongs to the account that paid: other credentials are refused before anything is sent."""

    async def main(bulk: Bulk) -> None:
        await bulk.run(bulk.jobs(2))
        async with bulk_house(tmp_path, "hifly") as other:
            with pytest.raises(errors.ConfigurationError):
                await other.run(other.jobs(2), journal=bulk.journal)

    world(tmp_path, "guiji")(main)


def test_failures_in_a_row_stop_the_run(tmp_path: Path) -> None:
    """When everything is refused as bad, a run does not try all its jobs: it stops after as many as it was told."""

    async def main(bulk: Bulk) -> None:
        outcomes = await bulk.run(bulk.jobs(200, voice="no-such-voice"), max_failures=10, submits=4)
        failed = states(outcomes)["failed"]
        assert 10 <= failed <= 16
        assert not bulk.made()

    world(tmp_path, "hifly")(main)


def test_a_budget_is_kept(tmp_path: Path) -> None:
    """What a job may cost is set aside before it is submitted: the budget is never exceeded, and the run says why."""

    async def main(bulk: Bulk) -> None:
        outcomes = await bulk.run(bulk.jobs(40), budget=22.0, default_cost=5.0)
        cost = sum(outcome.cost or 0.0 for outcome in outcomes.values())
        assert 16 <= cost <= 22
        made = sum(bulk.made().values())
        assert states(outcomes) == {"done": made, "new": 40 - made}
        assert {o.error.get("type") for o in outcomes.values() if not o.ok} == {"Stopped"}
        more = await bulk.run(bulk.jobs(40), budget=1000.0)
        assert states(more) == {"done": 40}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, "kling")(main)


def test_what_a_job_costs_is_learned_where_it_was_said_to_cost_less(tmp_path: Path) -> None:
    """A price that was given too low holds for what was under way at once only; then the dearest one seen counts."""

    async def main(bulk: Bulk) -> None:
        outcomes = await bulk.run(bulk.jobs(40), budget=22.0, default_cost=0.1, submits=2)
        assert sum(outcome.cost or 0.0 for outcome in outcomes.values()) <= 22 + 20 * 4

    world(tmp_path, "kling", max_running=20)(main)


def test_a_task_that_failed_by_the_providers_fault_is_made_again_within_limits(tmp_path: Path) -> None:
    """A provider's fault is tried again as often as was allowed; a refusal by moderation is final."""

    async def main(bulk: Bulk) -> None:
        busy = Fault(kind=FaultKind.ANSWER, accept=False, status=503, body=b"busy")
        bulk.box.faults.add(SUBMISSIONS["guiji"], answer(429, retry_after=2), times=3)
        bulk.box.faults.add("GET *", busy, times=5)
        outcomes = await bulk.run(bulk.jobs(10))
        assert states(outcomes) == {"done": 10}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, "guiji")(main)
