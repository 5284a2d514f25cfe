"""An adversary's look at bulk runs and chains: whatever pays twice, loses what was paid for, overspends, or hangs."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from bulk_house import IMAGE, SOUND, Bulk, bulk_house, in_virtual_time, states

import avatarkit
from avatarkit import CallOptions, RateLimit, VideoRequest, errors, providers
from avatarkit.bulk.doubts import Doubts
from avatarkit.bulk.journal import open_ledger
from avatarkit.bulk.moves_store import MovesLedger
from avatarkit.bulk.options import BulkOptions
from avatarkit.bulk.output import Output
from avatarkit.bulk.records import Job, Run
from avatarkit.bulk.run import BulkRun
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.bulk.stages import Stages
from avatarkit.sandbox.faults import answer
from avatarkit.testing.virtual import VirtualClock

DAY = 86400.0
SPEAK = "POST */create_by_tts"


def world(tmp_path: Path, provider: str, main: Callable[[Bulk], Awaitable[Any]], **options: Any) -> None:
    async def inside() -> None:
        async with bulk_house(tmp_path, provider, **options) as bulk:
            await main(bulk)

    in_virtual_time(inside)


async def kept(bulk: Bulk, journal: Path | None = None) -> tuple[Run, Mapping[str, Job]]:
    """What the ledger says of the run and of its jobs."""
    ledger = await open_ledger(journal or bulk.journal, clock=bulk.client.clock)
    try:
        run = await ledger.get_run("main")
        assert run is not None
        return run, {job.key: job for job in await ledger.select("main")}
    finally:
        await ledger.aclose()


async def begun(bulk: Bulk, jobs: Any) -> None:
    """A run that was left after its first outcome."""
    outcomes = bulk.client.bulk(jobs, journal=bulk.journal, out=bulk.out)
    await anext(outcomes)
    await outcomes.aclose()


def another(bulk: Bulk, provider: str) -> Any:
    """A second client of the same account."""
    box = bulk.box
    credentials = (box.token, box.secret) if provider == "guiji" else (box.token,)
    return providers.client_class(provider)(
        *credentials,
        base_url=box.base_url(provider),
        wire=box.wire(),
        clock=bulk.client.clock,
        seed=2,
        rate_limit=None,
    )


# -- what was paid for is not lost -----------------------------------------------------------------


def test_closing_the_client_first_fails_no_job(tmp_path: Path) -> None:
    """The client is closed under a run, as when an exception leaves both blocks: running tasks stay running."""

    async def main(bulk: Bulk) -> None:
        outcomes = bulk.client.bulk(bulk.jobs(10), journal=bulk.journal, out=bulk.out)
        await anext(outcomes)
        await bulk.client.aclose()
        await outcomes.aclose()
        _, jobs = await kept(bulk)
        assert {job.state.value for job in jobs.values()} <= {"done", "running", "ready", "new"}

    world(tmp_path, "guiji", main, max_running=5)


def test_an_accepted_task_that_the_ledger_could_not_take_down_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger fails in the moment of acceptance: the process knows the task, so it is not held as unknown."""

    async def main(bulk: Bulk) -> None:
        original, calls = MovesLedger.accepted, 0

        async def accepted(ledger: MovesLedger, *args: Any, **facts: Any) -> bool:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise errors.AvatarKitError("the disk is full")
            return await original(ledger, *args, **facts)

        monkeypatch.setattr(MovesLedger, "accepted", accepted)
        outcomes = await bulk.run(bulk.jobs(10))
        assert states(outcomes) == {"done": 10}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, "hifly", main)


@pytest.mark.parametrize("what", ["the output", "the vendor's files"])
def test_results_outlast_an_hour_in_which_they_cannot_be_fetched_or_stored(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trouble on the way to the file is no failure of the job: the result lives a day, and is asked for as long."""

    async def main(bulk: Bulk) -> None:
        original, loop = Output.put, asyncio.get_running_loop()

        async def put(output: Output, *args: Any) -> Mapping[str, Any]:
            if loop.time() < 3600:
                raise errors.DownloadFailed("the disk is full")
            return await original(output, *args)

        if what == "the output":
            monkeypatch.setattr(Output, "put", put)
        else:
            loop.call_later(20, lambda: bulk.box.refuse(3600.0, origin="files"))
        outcomes = await asyncio.wait_for(bulk.run(bulk.jobs(10)), DAY)
        assert states(outcomes) == {"done": 10}

    world(tmp_path, "guiji", main)


def test_a_result_that_waited_a_weekend_is_not_given_up_at_the_first_hitch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kling keeps results for a month: stopped with a full disk, gone on with three days later, one hitch more."""

    async def main(bulk: Bulk) -> None:
        original, full = Output.put, 1000

        async def put(output: Output, *args: Any) -> Mapping[str, Any]:
            nonlocal full
            full -= 1
            if full >= 0:
                raise errors.DownloadFailed("the disk is full")
            return await original(output, *args)

        monkeypatch.setattr(Output, "put", put)
        working = asyncio.ensure_future(bulk.run(bulk.jobs(3)))
        await asyncio.sleep(600)
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await asyncio.sleep(3 * DAY)
        full = 3
        assert states(await asyncio.wait_for(bulk.run(bulk.jobs(3)), DAY / 4)) == {"done": 3}

    world(tmp_path, "kling", main)


@pytest.mark.parametrize(
    ("provider", "data"),
    [
        ("hifly", {"code": 14, "message": "no such task", "request_id": "r"}),
        ("guiji", {"code": "40018", "message": "file not found", "success": False}),
    ],
)
def test_a_task_that_is_not_shown_for_a_moment_is_not_lost(
    provider: str, data: dict[str, Any], tmp_path: Path
) -> None:
    """Three looks in its first seconds say "not found", as a copy of a database that lags does: it is done later."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add("GET *", answer(200, data=data), times=3)
        bulk.box.faults.add("POST */page*", answer(200, data=data), times=3)
        assert states(await asyncio.wait_for(bulk.run(bulk.jobs(1)), DAY)) == {"done": 1}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, provider, main)


def test_a_sure_refusal_that_the_ledger_could_not_take_down_is_no_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor said "too many", the ledger was busy: nothing was made, so the job is sent again and not held."""

    async def main(bulk: Bulk) -> None:
        original, calls = MovesLedger.put_back, 0

        async def put_back(ledger: MovesLedger, *args: Any, **more: Any) -> bool:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise errors.AvatarKitError("another program holds run.db")
            return await original(ledger, *args, **more)

        monkeypatch.setattr(MovesLedger, "put_back", put_back)
        bulk.box.faults.add(SPEAK, answer(200, data={"code": 1001, "message": "busy", "request_id": "r"}))
        assert states(await bulk.run(bulk.jobs(3))) == {"done": 3}
        assert calls > 1

    world(tmp_path, "hifly", main)


def test_an_answer_at_once_that_the_ledger_could_not_take_down_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kling spoke the text, the ledger was busy for a moment: the sound is used, and not held as unknown."""

    async def main(bulk: Bulk) -> None:
        original, calls = MovesLedger.finish, 0

        async def finish(ledger: MovesLedger, *args: Any, **more: Any) -> bool:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise errors.AvatarKitError("another program holds run.db")
            return await original(ledger, *args, **more)

        monkeypatch.setattr(MovesLedger, "finish", finish)
        words = "Good morning, and welcome to all of you who are here today."
        jobs = [("k", {"text": words, "voice": "oversea_male1", "image": IMAGE})]
        with contextlib.suppress(errors.AvatarKitError):
            await bulk.run(jobs)
        assert states(await bulk.run(jobs)) == {"done": 1}
        assert bulk.box.seen.requests["POST /v1/audio/tts"] == 1

    world(tmp_path, "kling", main)


def test_cancelling_again_and_again_loses_no_answer(tmp_path: Path) -> None:
    """Cancelled three times while answers are on the way, as anyio's scopes do: each is taken down all the same."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add(SPEAK, "slow_first_byte", times=5)
        working = asyncio.ensure_future(bulk.run(bulk.jobs(5)))
        await asyncio.sleep(10)
        for _ in range(3):
            working.cancel()
            await asyncio.sleep(0.1)
        with pytest.raises(asyncio.CancelledError):
            await working
        await asyncio.sleep(1000)
        assert states(await bulk.run(bulk.jobs(5))) == {"done": 5}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, "hifly", main)


def test_two_drivers_of_one_ledger_do_not_take_each_others_answers(tmp_path: Path) -> None:
    """One run started twice on a shared ledger: refused, or at least nothing that is under way is given up."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add(SPEAK, "slow_first_byte", times=5)
        ledger = await open_ledger(bulk.journal, clock=bulk.client.clock)

        async def one() -> dict[str, Any]:
            options = BulkOptions(out=bulk.out)
            async with BulkRun(bulk.client, bulk.jobs(5), ledger, options) as run:
                return {outcome.key: outcome async for outcome in run.outcomes()}

        first = asyncio.ensure_future(one())
        await asyncio.sleep(5)
        second = asyncio.ensure_future(one())
        await asyncio.wait((first, second), timeout=DAY)
        assert states(first.result()) == {"done": 5}
        error = second.exception()
        assert error is None or isinstance(error, errors.ConfigurationError)
        await ledger.aclose()

    world(tmp_path, "hifly", main)


def test_an_answer_that_comes_after_its_job_was_held_is_adopted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker held the job while the answer was on its way: the task is the job's all the same."""

    async def main(bulk: Bulk) -> None:
        original = MovesLedger.accepted

        async def accepted(ledger: MovesLedger, run: str, key: str, attempt: int, **facts: Any) -> bool:
            await ledger.hold(run, key, attempt, error={"type": "Test"})
            return await original(ledger, run, key, attempt, **facts)

        monkeypatch.setattr(MovesLedger, "accepted", accepted)
        assert states(await bulk.run(bulk.jobs(1))) == {"done": 1}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, "hifly", main)


# -- nothing is paid twice -------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["guiji", "kling"])
def test_two_journals_with_the_same_keys_do_not_meet(provider: str, tmp_path: Path) -> None:
    """Last week's run had the same name and keys: this week's lost submissions are not taken for its videos."""

    async def main(bulk: Bulk) -> None:
        await bulk.run(bulk.jobs(5))
        await asyncio.sleep(5000)
        path = "POST */simpleCreate" if provider == "guiji" else "POST */image2video"
        bulk.box.faults.add(path, "hang_before", times=3)
        other = tmp_path / "other.db"
        outcomes = await bulk.run(bulk.jobs(5), journal=other, out=tmp_path / "other")
        assert states(outcomes) == {"done": 5}
        assert set(bulk.made().values()) == {2}

    world(tmp_path, provider, main)


def test_what_is_sent_again_after_a_doubt_keeps_its_external_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kling carries a request out long after it was shown absent: one id for both, so the vendor refuses the second."""

    async def main(bulk: Bulk) -> None:
        original = MovesLedger.put_back

        async def put_back(
            ledger: MovesLedger, run: str, key: str, attempt: int, *, error: Mapping[str, Any], **more: Any
        ) -> bool:
            job = await ledger.get(run, key)
            if error.get("type") == "Absent" and job is not None:
                await bulk.client.videos.create_avatar(
                    IMAGE, sound_file=SOUND, prompt=f"say {key[1:]}", external_task_id=job.marker
                )
            return await original(ledger, run, key, attempt, error=error, **more)

        monkeypatch.setattr(MovesLedger, "put_back", put_back)
        bulk.box.faults.add("POST */image2video", "hang_before")
        outcomes = await bulk.run(bulk.jobs(4))
        assert set(bulk.made().values()) == {1}
        assert states(outcomes) == {"done": 4}

    world(tmp_path, "kling", main)


def test_a_fast_clock_does_not_hide_a_task_in_a_long_list(tmp_path: Path) -> None:
    """Our clock is an hour fast and the task is not on the first page: it is found, not made again."""

    class Fast(VirtualClock):
        def time(self) -> float:
            return super().time() + 3600.0

    async def main(bulk: Bulk) -> None:
        bulk.client._account.clock = Fast()
        bulk.box.faults.add("POST */simpleCreate", "hang_after")
        outcomes = await bulk.run(bulk.jobs(250), submits=50)
        assert set(bulk.made().values()) == {1}
        assert states(outcomes)["done"] >= 249

    world(tmp_path, "guiji", main, max_running=None)


def test_a_code_that_nobody_documents_is_no_sure_refusal(tmp_path: Path) -> None:
    """The vendor made the task and answered "system error": a bulk run does not send it again by itself."""

    async def main(bulk: Bulk) -> None:
        broken = answer(200, accept=True, data={"code": 99, "message": "system error", "request_id": "r"})
        bulk.box.faults.add(SPEAK, broken)
        outcomes = await bulk.run(bulk.jobs(4))
        assert set(bulk.made().values()) == {1}
        assert states(outcomes)["done"] == 3

    world(tmp_path, "hifly", main)


def test_a_machine_that_slept_after_the_intent_does_not_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The monotonic clock stands still in a suspended machine; the time of day tells that the turn is long over."""
    original, slept = VirtualClock.time, 0.0
    monkeypatch.setattr(VirtualClock, "time", lambda clock: original(clock) + slept)

    class Gate:
        async def open(self, ticket: Any) -> float:
            nonlocal slept
            slept = 3600.0
            return 30.0

        async def settled(self, ticket: Any, outcome: str, **facts: Any) -> None:
            assert outcome == "not sent"

    async def main(bulk: Bulk) -> None:
        options = CallOptions(gate=Gate(), retries=0)
        with pytest.raises(errors.NotSent):
            await bulk.client.videos.create_by_tts(**bulk.base, text="Hello", options=options)
        assert not bulk.made()

    world(tmp_path, "hifly", main)


def test_looks_that_are_older_than_the_request_prove_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow limiter, a lost request: neither look that shows it absent is from before it may have gone out."""
    waits: list[float] = []

    async def main(bulk: Bulk) -> None:
        original = MovesLedger.put_back

        async def put_back(
            ledger: MovesLedger, run: str, key: str, attempt: int, *, error: Mapping[str, Any], **more: Any
        ) -> bool:
            job = await ledger.get(run, key)
            if error.get("type") == "Absent" and job is not None and job.absent_at is not None:
                waits.append(job.absent_at - job.send_by)
            return await original(ledger, run, key, attempt, error=error, **more)

        monkeypatch.setattr(MovesLedger, "put_back", put_back)
        bulk.box.faults.add("POST */image2video", "hang_before", after=14)
        await bulk.run(bulk.jobs(16))
        assert waits
        assert min(waits) >= bulk.client.submit_seconds

    world(tmp_path, "kling", main, rate_limit=RateLimit(per_second=0.1))


def test_a_chain_whose_loop_ended_under_its_submission_does_not_submit_again(tmp_path: Path) -> None:
    """``asyncio.run`` ended while the second step was on its way: in the next one it is a doubt, not a new purchase."""
    quick = avatarkit.Polling(shortest=0.05, longest=0.2)
    with avatarkit.Sandbox(render="tiny", queue_seconds=0.0, run_seconds=0.05) as box:
        client = avatarkit.AsyncHiFly(
            box.token, base_url=box.base_url("hifly"), polling=quick, rate_limit=None
        )

        async def first() -> Any:
            voice = await (await client.voices.create(SOUND, title="v")).wait()
            chain: Any = await client.generate(VideoRequest(image=IMAGE, text="hello", voice=voice.id))
            await chain.current.wait()
            box.faults.add(SPEAK, "slow_first_byte")
            waiting = asyncio.ensure_future(chain.wait())
            while not any(task["kind"] == "video" for task in box.seen.tasks):
                await asyncio.sleep(0.02)
            assert not waiting.done()
            return chain

        chain = asyncio.run(first())

        async def again() -> None:
            async with client:
                with pytest.raises(errors.SubmissionInDoubt):
                    await chain.wait(10)

        asyncio.run(again())
        assert sum(task["kind"] == "video" for task in box.seen.tasks) == 1


def test_a_chain_from_a_token_asks_again_while_the_list_may_lag(tmp_path: Path) -> None:
    """The list does not show the next step yet and says so: the chain asks once more before it pays again."""

    async def main(bulk: Bulk) -> None:
        agreed = {"authorize_url": "https://example.com/consent.mp4", "authorize_text": "I consent."}
        request = VideoRequest(
            video="https://example.com/v.mp4",
            text="hello",
            voice=bulk.base["voice"],
            options={"guiji": agreed},
        )
        chain = await bulk.client.generate(request)
        token = chain.to_token()
        await chain.current.wait()
        await chain.refresh()
        async with another(bulk, "guiji") as other:
            original, lags = other._find, True

            async def find(ticket: Any) -> Any:
                nonlocal lags
                lagging, lags = lags, False
                found = await original(ticket)
                if not lagging:
                    return found
                return avatarkit.Reconciliation(
                    finding=avatarkit.Finding.CANNOT_TELL, explanation="not listed yet", later=True
                )

            other._find = find
            await other.task(token).wait()
        assert sum(bulk.made().values()) == 1

    world(tmp_path, "guiji", main)


def test_credentials_that_are_renewed_in_the_middle_leave_the_ledger_right(tmp_path: Path) -> None:
    """Refused for an old token, cured and sent again behind the same gate: two attempts are counted, one is made."""

    async def main(bulk: Bulk) -> None:
        old = answer(200, data={"code": "40003", "message": "token expired", "success": False})
        bulk.box.faults.add("POST */simpleCreate", old, times=3)
        outcomes = await bulk.run(bulk.jobs(6))
        assert states(outcomes) == {"done": 6}
        assert set(bulk.made().values()) == {1}
        _, jobs = await kept(bulk)
        assert Counter(job.attempt for job in jobs.values()) == {1: 3, 2: 3}

    world(tmp_path, "guiji", main)


# -- the budget ------------------------------------------------------------------------------------


def test_a_budget_holds_where_no_price_is_known(tmp_path: Path) -> None:
    """Recordings at Kling, no price said: the budget is refused at once, or kept but for what one job costs."""

    async def main(bulk: Bulk) -> None:
        with contextlib.suppress(errors.AvatarKitError):
            await bulk.run(bulk.jobs(40), budget=22.0)
        assert 4 * sum(bulk.made().values()) <= 22 + 4

    world(tmp_path, "kling", main, max_running=None)


def test_a_price_that_was_learned_is_known_after_a_restart(tmp_path: Path) -> None:
    """A run that was started four times with one budget spends it once."""

    async def main(bulk: Bulk) -> None:
        await bulk.run(bulk.jobs(40), budget=22.0, submits=1, default_cost=0.1)
        made = sum(bulk.made().values())
        for _ in range(3):
            await bulk.run(bulk.jobs(40), budget=max(22.0, 4.0 * made + 1), submits=1)
        assert sum(bulk.made().values()) == made

    world(tmp_path, "kling", main, max_running=2)


def test_a_budget_that_comes_with_a_later_start_needs_prices_too(tmp_path: Path) -> None:
    """The manifest is known already, so it is not read again: the budget holds all the same, or is refused."""

    async def main(bulk: Bulk) -> None:
        manifest: Any = tmp_path / "jobs.csv"
        lines = [f"k{n},{IMAGE},{SOUND},{n}" for n in range(40)]
        manifest.write_text("\n".join(["key,image,audio,prompt", *lines]), encoding="utf-8")
        await begun(bulk, manifest)
        made = sum(bulk.made().values())
        with contextlib.suppress(errors.AvatarKitError):
            await bulk.run(manifest, budget=4.0 * made + 4)
        assert sum(bulk.made().values()) <= made + 2

    world(tmp_path, "kling", main, max_running=8)


def test_what_was_held_stays_spent(tmp_path: Path) -> None:
    """Four answers were lost, and billed: giving two up and sending two again does not make them free."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add(SPEAK, "reset_after", times=4)
        await bulk.run(bulk.jobs(4), budget=1000.0)
        before, _ = await kept(bulk)
        assert before.reserved > 0
        ledger = await open_ledger(bulk.journal, clock=bulk.client.clock)
        await ledger.abandon("main", ["j0", "j1"])
        await ledger.resend("main", ["j2", "j3"])
        await ledger.aclose()
        after, _ = await kept(bulk)
        assert after.spent + after.reserved == before.spent + before.reserved

    world(tmp_path, "hifly", main)


def test_failed_tasks_of_unknown_cost_are_not_free(tmp_path: Path) -> None:
    """Each job failed once at a vendor that tells no costs: six tasks were made, and six are counted."""

    async def main(bulk: Bulk) -> None:
        bulk.box.fail_next("*", times=3)
        await bulk.run(bulk.jobs(3), budget=1000.0)
        run, jobs = await kept(bulk)
        assert sum(bulk.made().values()) == 6
        assert run.spent == 2 * sum(job.estimate or 0.0 for job in jobs.values())

    world(tmp_path, "hifly", main)


# -- nothing hangs ---------------------------------------------------------------------------------


def test_a_ledger_that_fails_under_a_look_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away for the moment in which a look is told: the run ends with that or goes on, but ends."""

    async def main(bulk: Bulk) -> None:
        original, fails = SqliteLedger.now, False

        async def now(ledger: SqliteLedger) -> float:
            nonlocal fails
            if fails:
                fails = False
                raise errors.TransportError("the database is away")
            return await original(ledger)

        settle = MovesLedger.settle

        async def settled(ledger: MovesLedger, *args: Any) -> list[str]:
            nonlocal fails
            found = await settle(ledger, *args)
            fails = True
            return found

        monkeypatch.setattr(SqliteLedger, "now", now)
        monkeypatch.setattr(MovesLedger, "settle", settled)
        with pytest.raises(errors.TransportError, match="away"):
            await asyncio.wait_for(bulk.run(bulk.jobs(10)), DAY)
        monkeypatch.setattr(MovesLedger, "settle", settle)
        fails = False
        assert states(await bulk.run(bulk.jobs(10))) == {"done": 10}

    world(tmp_path, "guiji", main)


def test_a_defect_in_reconciling_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody thought of ends the run with its error; it does not wait for ever for a doubt to clear."""

    async def main(bulk: Bulk) -> None:
        async def broken(stages: Stages, job: Job) -> Any:
            raise KeyError("a defect")

        monkeypatch.setattr(Doubts, "reconcile", broken)
        bulk.box.faults.add("POST */simpleCreate", "reset_after")
        with pytest.raises(KeyError, match="a defect"):
            await asyncio.wait_for(bulk.run(bulk.jobs(10)), DAY)

    world(tmp_path, "guiji", main)


def test_revoked_credentials_end_a_run_that_has_tasks_under_way(tmp_path: Path) -> None:
    """Nothing can be looked at any more: the run ends and says so, and a later one with good credentials goes on."""

    async def main(bulk: Bulk) -> None:
        refused = answer(401, data={"code": 2, "message": "no such token"})
        loop = asyncio.get_running_loop()
        loop.call_later(15, lambda: bulk.box.faults.add("* */*", refused, times=10**9))
        with pytest.raises(errors.AuthenticationError):
            await asyncio.wait_for(bulk.run(bulk.jobs(10)), DAY / 4)
        bulk.box.faults.clear()
        assert states(await bulk.run(bulk.jobs(10))) == {"done": 10}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, "hifly", main)


def test_revoked_credentials_end_a_run_that_has_only_a_doubt(tmp_path: Path) -> None:
    """The list cannot be asked any more: the run ends and says so; the doubt is kept for a later one."""

    async def main(bulk: Bulk) -> None:
        original = bulk.client._find

        async def find(ticket: Any) -> Any:
            raise errors.AuthenticationError("revoked", provider="guiji")

        bulk.client._find = find
        bulk.box.faults.add("POST */simpleCreate", "reset_after")
        with pytest.raises(errors.AuthenticationError):
            await asyncio.wait_for(bulk.run(bulk.jobs(1)), DAY / 4)
        bulk.client._find = original
        assert states(await bulk.run(bulk.jobs(1))) == {"done": 1}

    world(tmp_path, "guiji", main)


def test_a_running_job_that_cannot_be_looked_at_does_not_keep_a_run_going(tmp_path: Path) -> None:
    """Its token was damaged in the ledger: the run ends, with the job held, failed or named."""
    import sqlite3

    async def main(bulk: Bulk) -> None:
        await begun(bulk, bulk.jobs(6))
        with sqlite3.connect(bulk.journal) as file:
            assert file.execute("UPDATE jobs SET token = 'avk1.damaged' WHERE state = 'running'").rowcount
        file.close()
        before = asyncio.get_running_loop().time()
        with contextlib.suppress(errors.AvatarKitError):
            await asyncio.wait_for(bulk.run(bulk.jobs(6)), DAY / 4)
        assert asyncio.get_running_loop().time() - before < DAY / 4

    world(tmp_path, "guiji", main, max_running=2)


def test_who_stops_taking_outcomes_can_still_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue of outcomes is full and nobody reads: leaving does not dead-lock, and nothing is made twice."""
    monkeypatch.setattr("avatarkit.bulk.run._WAITING", 3)

    async def main(bulk: Bulk) -> None:
        outcomes = bulk.client.bulk(bulk.jobs(30), journal=bulk.journal, out=bulk.out)
        await anext(outcomes)
        await asyncio.sleep(5000)
        await asyncio.wait_for(outcomes.aclose(), 1000)
        assert states(await bulk.run(bulk.jobs(30))) == {"done": 30}
        assert set(bulk.made().values()) == {1}

    world(tmp_path, "guiji", main)


# -- what it says ----------------------------------------------------------------------------------


def test_every_job_has_an_outcome_also_behind_a_held_part(tmp_path: Path) -> None:
    """The clone's answer was lost: the four jobs that wait for it are told of as blocked, the others as done."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add("POST */create_by_image", "reset_after")
        voice = bulk.base["voice"]
        jobs = [(f"p{n}", VideoRequest(image=IMAGE + "?x", text=f"{n}", voice=voice)) for n in range(4)]
        outcomes = await bulk.run([*jobs, *bulk.jobs(2)])
        assert states(outcomes) == {"blocked": 4, "done": 2}
        assert all(outcomes[key].error for key, _ in jobs)

    world(tmp_path, "hifly", main)


def test_every_job_has_an_outcome_also_of_a_run_that_stopped(tmp_path: Path) -> None:
    """Credits for two of twenty: the eighteen others are told of as new, with the reason."""

    async def main(bulk: Bulk) -> None:
        bulk.box.set_account(bulk.box.token, provider="hifly", credits=20)
        outcomes = await bulk.run(bulk.jobs(20))
        assert states(outcomes) == {"done": 2, "new": 18}
        assert all(outcome.error for outcome in outcomes.values() if not outcome.ok)

    world(tmp_path, "hifly", main)


def test_another_folder_does_not_move_what_lies_in_the_first(tmp_path: Path) -> None:
    """A later run writes elsewhere: outcomes of earlier jobs still name files that exist."""

    async def main(bulk: Bulk) -> None:
        await bulk.run(bulk.jobs(2))
        outcomes = await bulk.run(bulk.jobs(3), out=tmp_path / "elsewhere")
        assert [Path(outcome.file).exists() for outcome in outcomes.values()] == [True] * 3

    world(tmp_path, "hifly", main)


def test_a_manifest_that_was_wrong_leaves_nothing_behind(tmp_path: Path) -> None:
    """A mistake in the second batch of rows: what was added before is not made after the manifest was mended."""

    async def main(bulk: Bulk) -> None:
        good = [job for _, job in bulk.jobs(520)]
        bad = [*good, *good[:80], {**good[0], "text": None}]
        bad[3] = {**bad[3], "text": "with a typo"}
        with pytest.raises(errors.InvalidRequest):
            await bulk.run(bad)
        assert states(await bulk.run(good)) == {"done": 520}
        assert "with a typo" not in bulk.made()

    world(tmp_path, "hifly", main, max_running=None)


# -- long pauses and own names ---------------------------------------------------------------------


def test_a_part_that_expired_is_made_again(tmp_path: Path) -> None:
    """Forty days later the spoken text is gone at Kling: it is spoken again for the videos that are left."""

    async def main(bulk: Bulk) -> None:
        words = "Good morning, and welcome to all of you who are here today."
        jobs = [
            (f"k{n}", {"text": words, "voice": "oversea_male1", "image": f"{IMAGE}?{n}"}) for n in range(4)
        ]
        await begun(bulk, jobs)
        await asyncio.sleep(40 * DAY)
        assert states(await asyncio.wait_for(bulk.run(jobs), DAY)) == {"done": 4}
        assert bulk.box.seen.requests["POST /v1/audio/tts"] == 2

    world(tmp_path, "kling", main, max_running=1)


def test_an_upload_host_that_is_down_for_an_hour_loses_no_job(tmp_path: Path) -> None:
    """Nothing can be uploaded for an hour: the jobs wait, as they do when nothing can be submitted."""

    async def main(bulk: Bulk) -> None:
        recording = tmp_path / "words.mp3"
        recording.write_bytes(b"ID3" + b"\0" * 5000)
        jobs = [(f"u{n}", VideoRequest(avatar=bulk.base["avatar"], audio=recording)) for n in range(5)]
        bulk.box.refuse(3600.0)
        bulk.box.refuse(3600.0, origin="files")
        outcomes = await asyncio.wait_for(bulk.run(jobs), DAY)
        assert states(outcomes) == {"done": 5}

    world(tmp_path, "hifly", main, preflight=False)


def test_a_users_own_external_id_does_not_stop_a_retry(tmp_path: Path) -> None:
    """The task failed by the vendor's fault: its second submission is no duplicate of the first."""

    async def main(bulk: Bulk) -> None:
        bulk.box.fail_next("*")
        jobs = [
            (key, {**job, "options": {"kling": {"external_task_id": f"mine-{key}"}}})
            for key, job in bulk.jobs(2)
        ]
        assert states(await bulk.run(jobs)) == {"done": 2}

    world(tmp_path, "kling", main)
