"""What every ledger has to do, whatever it is kept in.

A test file makes a subclass of :class:`LedgerSuite` and a fixture ``ledger``: open, empty, on the machine's clock or
one that runs as fast. ``ledger_laws.py`` has random sequences for the same ledgers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.records import (
    Intent,
    Job,
    JobState,
    Look,
    NewJob,
    Opened,
    RunSettings,
    RunState,
)
from avatarkit.errors import ConfigurationError
from avatarkit.models import Guard, Ticket

RUN = "july"
SETTINGS = RunSettings(provider="hifly", account="acc", budget=100.0)
ERROR = {"type": "Trouble", "message": "没有成功"}
FAR = 4e9


def ticket(marker: str = "[ak:7f3k]") -> Ticket:
    return Ticket(
        provider="hifly",
        endpoint="videos.create_by_tts",
        kind="video",
        account="acc",
        marker=marker,
        guard=Guard.TITLE,
    )


def intent(
    key: str = "a", attempt: int = 1, *, cost: float = 1.5, send: float = 5.0, run: str = RUN
) -> Intent:
    return Intent(
        run=run, key=key, attempt=attempt, ticket=ticket(), send_seconds=send, cost=cost, owner="w1"
    )


def jobs(*keys: str, needs: Sequence[str] = (), part: bool = False) -> list[NewJob]:
    return [
        NewJob(key=key, spec=f'{{"row":"{key}"}}'.encode(), needs=tuple(needs), part=part) for key in keys
    ]


async def begun(ledger: Ledger, *keys: str, settings: RunSettings = SETTINGS) -> None:
    await ledger.open_run(RUN, settings)
    await ledger.add(RUN, jobs(*(keys or ("a",))))


async def brought_to(ledger: Ledger, state: JobState, key: str = "a", attempt: int = 1) -> None:
    """Bring a new job to *state*."""
    if state in (JobState.NEW, JobState.BLOCKED):
        return
    if state is JobState.CANCELLED:
        assert await ledger.cancel(RUN, [key]) == 1
        return
    assert (await ledger.open_intent(intent(key, attempt))).opened is Opened.YES
    if state in (JobState.HELD, JobState.ABANDONED):
        assert await ledger.hold(RUN, key, attempt, error=ERROR)
    elif state is not JobState.INTENT:
        assert await ledger.accepted(RUN, key, attempt, task_id="t1", token="tok", look_at=0.0)
    if state is JobState.ABANDONED:
        assert await ledger.abandon(RUN, [key]) == 1
    if state in (JobState.READY, JobState.DONE):
        assert await ledger.settle(RUN, [Look(key=key, attempt=attempt, state=JobState.READY)]) == [key]
    if state is JobState.DONE:
        assert await ledger.finish(RUN, key, attempt, result={"file": "a.mp4"})
    if state is JobState.FAILED:
        assert await ledger.fail(RUN, key, attempt, error=ERROR)


async def the(ledger: Ledger, key: str = "a") -> Job:
    found = await ledger.get(RUN, key)
    assert found is not None
    return found


async def money(ledger: Ledger) -> tuple[float, float]:
    """What is spent, and what is set aside."""
    run = await ledger.get_run(RUN)
    assert run is not None
    return run.spent, run.reserved


async def running(ledger: Ledger) -> int:
    return (await ledger.limits("acc")).running


MOVES: dict[str, tuple[set[JobState], Any]] = {
    "accepted": (
        {JobState.INTENT},
        lambda ledger, attempt: ledger.accepted(RUN, "a", attempt, task_id="t2", token="x", look_at=0.0),
    ),
    "put_back": ({JobState.INTENT}, lambda ledger, attempt: ledger.put_back(RUN, "a", attempt, error=ERROR)),
    "doubt": ({JobState.INTENT}, lambda ledger, attempt: ledger.doubt(RUN, "a", attempt, error=ERROR)),
    "hold": ({JobState.INTENT}, lambda ledger, attempt: ledger.hold(RUN, "a", attempt, error=ERROR)),
    "adopt": (
        {JobState.INTENT, JobState.HELD},
        lambda ledger, attempt: ledger.adopt(RUN, "a", attempt, task_id="t2", token="x", look_at=0.0),
    ),
    "adopt_anew": (
        {JobState.INTENT, JobState.HELD, JobState.FAILED},
        lambda ledger, attempt: ledger.adopt(
            RUN, "a", attempt, task_id="t2", token="x", look_at=0.0, anew=1.5
        ),
    ),
    "fail": (
        {JobState.NEW, JobState.INTENT, JobState.RUNNING, JobState.READY, JobState.HELD},
        lambda ledger, attempt: ledger.fail(RUN, "a", attempt, error=ERROR),
    ),
    "finish": ({JobState.READY}, lambda ledger, attempt: ledger.finish(RUN, "a", attempt, result={})),
    "settle": (
        {JobState.RUNNING},
        lambda ledger, attempt: ledger.settle(RUN, [Look(key="a", attempt=attempt, state=JobState.READY)]),
    ),
}
STATES = [state for state in JobState if state is not JobState.BLOCKED]


class LedgerSuite:
    """The tests; each is given a fresh ``ledger``."""

    # -- runs

    @pytest.mark.asyncio
    async def test_a_run_is_begun_once_and_gone_on_with(self, ledger: Ledger) -> None:
        """Opening a run again gives new settings, makes it active, and counts failures anew; money stays."""
        assert await ledger.get_run(RUN) is None
        first = await ledger.open_run(RUN, SETTINGS)
        assert (first.state, first.spent, first.settings) == (RunState.ACTIVE, 0.0, SETTINGS)
        await ledger.add(RUN, jobs("a", "b"))
        await brought_to(ledger, JobState.DONE)
        await brought_to(ledger, JobState.FAILED, "b")
        await ledger.set_run_state(RUN, RunState.STOPPED, "no money")
        stopped = await ledger.get_run(RUN)
        assert stopped is not None
        assert (stopped.state, stopped.reason, stopped.failures_in_row) == (RunState.STOPPED, "no money", 1)
        changed = attrs.evolve(SETTINGS, budget=7.25, out="s3://bucket", retries=5)
        again = await ledger.open_run(RUN, changed)
        assert (again.state, again.reason, again.failures_in_row) == (RunState.ACTIVE, "", 0)
        assert (again.settings, again.spent, again.created) == (changed, 1.5, first.created)
        assert await ledger.get_run(RUN) == again

    @pytest.mark.asyncio
    async def test_a_run_belongs_to_one_account(self, ledger: Ledger) -> None:
        """Once something may have been accepted, another provider or account is refused and changes nothing."""
        await begun(ledger)
        await brought_to(ledger, JobState.RUNNING, "a")
        before = await ledger.get_run(RUN)
        for other in (attrs.evolve(SETTINGS, provider="kling"), attrs.evolve(SETTINGS, account="other")):
            with pytest.raises(ConfigurationError, match=RUN):
                await ledger.open_run(RUN, other)
        assert await ledger.get_run(RUN) == before

    @pytest.mark.asyncio
    async def test_a_run_of_which_nothing_was_accepted_may_change_its_account(self, ledger: Ledger) -> None:
        """A first start with a mistyped key ties it to nobody; another provider's it never becomes."""
        await begun(ledger)
        with pytest.raises(ConfigurationError, match=RUN):
            await ledger.open_run(RUN, attrs.evolve(SETTINGS, provider="kling"))
        other = attrs.evolve(SETTINGS, account="other")
        await ledger.open_run(RUN, other)
        now = await ledger.get_run(RUN)
        assert now is not None
        assert now.settings.account == "other"
        assert (await ledger.open_intent(intent())).opened is Opened.YES
        assert (await ledger.limits("other")).running == 1

    @pytest.mark.asyncio
    async def test_runs_are_listed_oldest_first(self, ledger: Ledger) -> None:
        """Each run is in the list, in the order they were begun."""
        for name in ("b", "a"):
            await ledger.open_run(name, SETTINGS)
        assert [run.id for run in await ledger.runs()] == ["b", "a"]

    @pytest.mark.asyncio
    async def test_a_cancelled_run_cancels_what_was_not_sent(self, ledger: Ledger) -> None:
        """New jobs are cancelled; what was sent goes on."""
        await begun(ledger, "a", "b")
        await brought_to(ledger, JobState.RUNNING)
        await ledger.set_run_state(RUN, RunState.CANCELLED)
        assert [(await the(ledger, key)).state for key in "ab"] == [JobState.RUNNING, JobState.CANCELLED]
        with pytest.raises(ConfigurationError):
            await ledger.set_run_state("august", RunState.STOPPED)

    # -- adding and showing

    @pytest.mark.asyncio
    async def test_adding_again_changes_nothing(self, ledger: Ledger) -> None:
        """Known keys are counted, another spec is told and the old one kept; a key twice in one call counts once."""
        await begun(ledger)
        other = NewJob(key="a", spec=b"other")
        twice = NewJob(key="b", spec=b"1", estimate=2.5)
        added = await ledger.add(RUN, [other, twice, twice, attrs.evolve(twice, spec=b"2")])
        assert (added.new, added.known, added.changed) == (1, 3, ("a", "b"))
        assert ((await the(ledger)).spec, (await the(ledger, "b")).spec) == (b'{"row":"a"}', b"1")
        assert (await the(ledger, "b")).estimate == 2.5

    @pytest.mark.asyncio
    async def test_a_large_batch_of_all_kinds_is_added_as_one_by_one(self, ledger: Ledger) -> None:
        """Parts, what needs them, what needs none, what is known and what comes twice: all in their order."""
        await begun(ledger, "job-5", "job-77")
        batch: list[NewJob] = []
        for n in range(120):
            if n % 10 == 0:
                batch += jobs(f"@part-{n}", part=True)
            # A stretch of one kind, as long as a statement, between those of many kinds.
            needs = [f"@part-{n - n % 10}"] if n % 3 == 0 and not 40 <= n < 90 else []
            batch += jobs(f"job-{n}", needs=needs)
        batch[8] = attrs.evolve(batch[8], spec=b"other", estimate=1.25)
        more = [batch[3], attrs.evolve(batch[4], spec=b"again"), NewJob(key="job-77", spec=b"changed")]
        added = await ledger.add(RUN, [*batch, *more])
        assert (added.new, added.known) == (130, 5)
        assert set(added.changed) == {batch[4].key, "job-77"}
        found = await ledger.select(RUN)
        fresh = [job for job in batch if job.key not in ("job-5", "job-77")]
        assert [job.key for job in found] == ["job-5", "job-77", *(job.key for job in fresh)]
        assert [(job.spec, job.part, job.estimate) for job in found[2:]] == [
            (job.spec, job.part, job.estimate) for job in fresh
        ]
        states = [JobState.BLOCKED if job.needs else JobState.NEW for job in fresh]
        assert [job.state for job in found[2:]] == states
        assert list(await ledger.parts_of(RUN, "job-99")) == ["@part-90"]
        assert list(await ledger.parts_of(RUN, "job-42")) == []
        again = await ledger.add(RUN, batch)
        assert (again.new, again.known, again.changed) == (0, len(batch), ())

    @pytest.mark.asyncio
    async def test_an_ended_job_is_not_begun_anew(self, ledger: Ledger) -> None:
        """A failed key that is added again stays failed."""
        await begun(ledger)
        await brought_to(ledger, JobState.FAILED)
        assert (await ledger.add(RUN, jobs("a"))).known == 1
        assert (await the(ledger)).state is JobState.FAILED

    @pytest.mark.asyncio
    async def test_nothing_is_added_halfway(self, ledger: Ledger) -> None:
        """A needed part that is nowhere, or a run that is not there, refuses the whole call."""
        with pytest.raises(ConfigurationError, match="august"):
            await ledger.add("august", jobs("a"))
        await ledger.open_run(RUN, SETTINGS)
        with pytest.raises(ConfigurationError, match="voice"):
            await ledger.add(RUN, [*jobs("a"), *jobs("b", needs=["voice"])])
        assert await ledger.select(RUN) == []

    @pytest.mark.asyncio
    async def test_many_are_added_in_order_and_shown_in_pages(self, ledger: Ledger) -> None:
        """450 jobs keep their order over pages, with and without a choice of states."""
        await ledger.open_run("other", SETTINGS)
        await ledger.add("other", jobs("x"))
        keys = [f"k{number}" for number in range(450)]
        await ledger.open_run(RUN, SETTINGS)
        assert (await ledger.add(RUN, jobs(*keys))).new == 450
        await ledger.cancel(RUN, keys[::2])
        for states in ((), (JobState.NEW, JobState.CANCELLED)):
            shown: list[Job] = []
            while page := await ledger.select(RUN, states, after=shown[-1].seq if shown else 0, most=200):
                shown += page
            assert [job.key for job in shown] == keys
        assert [job.key for job in await ledger.select(RUN, [JobState.NEW])] == keys[1::2]
        assert (await ledger.counts(RUN)).jobs == {JobState.NEW: 225, JobState.CANCELLED: 225}

    @pytest.mark.asyncio
    async def test_a_hostile_key_is_only_text(self, ledger: Ledger) -> None:
        """Quotes, percent signs, colons and brackets in keys, runs and errors come back as they are."""
        run, key = "a'; DROP TABLE jobs; --%s :now {now}", "'\"%s :run {}\n\\;喂"
        await ledger.open_run(run, SETTINGS)
        await ledger.add(run, [NewJob(key=key, spec=b"\x00\xff")])
        await ledger.fail(run, key, 0, error={"message": key})
        found = await ledger.get(run, key)
        assert found is not None
        assert (found.key, found.run, found.spec, found.error) == (key, run, b"\x00\xff", {"message": key})

    # -- handing out

    @pytest.mark.asyncio
    async def test_a_job_is_handed_out_once_for_a_while(self, ledger: Ledger) -> None:
        """Oldest first, no more than asked for, not twice, and again when the time is over."""
        await begun(ledger, "a", "b", "c")
        assert [job.key for job in await ledger.take(RUN, JobState.NEW, 2, seconds=0.03)] == ["a", "b"]
        assert [job.key for job in await ledger.take(RUN, JobState.NEW, 5, seconds=60)] == ["c"]
        assert await ledger.take(RUN, JobState.NEW, 5, seconds=60) == []
        due, now = await ledger.next_due(RUN), await ledger.now()
        assert due is not None
        assert due <= now + 0.03
        await asyncio.sleep(0.04)
        assert [job.key for job in await ledger.take(RUN, JobState.NEW, 5, seconds=60)] == ["a", "b"]

    @pytest.mark.asyncio
    async def test_jobs_are_due_when_they_were_said_to_be(self, ledger: Ledger) -> None:
        """New ones from ``not_before``, running ones from ``look_at``, ready ones at once."""
        await begun(ledger, "a", "b", "c")
        assert (await ledger.open_intent(intent("a"))).opened is Opened.YES
        await ledger.put_back(RUN, "a", 1, error={}, not_before=FAR + 1)
        await brought_to(ledger, JobState.RUNNING, "b")
        await ledger.settle(RUN, [Look(key="b", attempt=1, state=JobState.RUNNING, look_at=FAR)])
        await ledger.cancel(RUN, ["c"])
        for state in (JobState.NEW, JobState.RUNNING):
            assert await ledger.take(RUN, state, 5, seconds=60) == []
        assert await ledger.next_due(RUN) == FAR
        await ledger.settle(RUN, [Look(key="b", attempt=1, state=JobState.READY)])
        assert [job.key for job in await ledger.take(RUN, JobState.READY, 5, seconds=60)] == ["b"]

    @pytest.mark.asyncio
    async def test_a_stopped_run_hands_out_nothing_new(self, ledger: Ledger) -> None:
        """New jobs are neither handed out nor due; what runs is."""
        await begun(ledger, "a", "b")
        await brought_to(ledger, JobState.RUNNING, "b")
        await ledger.set_run_state(RUN, RunState.STOPPED)
        assert await ledger.take(RUN, JobState.NEW, 5, seconds=60) == []
        assert [job.key for job in await ledger.take(RUN, JobState.RUNNING, 5, seconds=0)] == ["b"]
        await brought_to_end(ledger, "b")
        assert await ledger.next_due(RUN) is None

    @pytest.mark.asyncio
    async def test_a_job_can_be_postponed(self, ledger: Ledger) -> None:
        """New and ready ones stay so and are due later; each try is counted; others are left alone."""
        await begun(ledger, "a", "b")
        await brought_to(ledger, JobState.READY, "b")
        for key, state in (("a", JobState.NEW), ("b", JobState.READY)):
            assert await ledger.postpone(RUN, key, state, not_before=FAR, error=ERROR, counts=True)
            found = await the(ledger, key)
            assert (found.state, found.not_before, found.tries, found.error) == (state, FAR, 1, ERROR)
            assert await ledger.take(RUN, state, 5, seconds=60) == []
        assert not await ledger.postpone(RUN, "b", JobState.NEW, not_before=0.0, error={})
        assert not await ledger.postpone(RUN, "b", JobState.RUNNING, not_before=0.0, error={})

    # -- one submission

    @pytest.mark.asyncio
    async def test_a_life_from_new_to_done(self, ledger: Ledger) -> None:
        """Each step leaves its facts; slot and money are held and given back where they should be."""
        await begun(ledger)
        before = await ledger.now()
        assert (await ledger.open_intent(intent())).opened is Opened.YES
        sent = await the(ledger)
        assert (sent.state, sent.attempt, sent.ticket, sent.marker) == (
            JobState.INTENT,
            1,
            ticket(),
            "[ak:7f3k]",
        )
        assert before + 5.0 <= sent.send_by <= await ledger.now() + 5.0
        assert (await running(ledger), await money(ledger)) == (1, (0.0, 1.5))
        assert await ledger.accepted(RUN, "a", 1, task_id="t1", token="tok", look_at=FAR)
        taken = await the(ledger)
        assert (taken.state, taken.task_id, taken.token, taken.look_at) == (
            JobState.RUNNING,
            "t1",
            "tok",
            FAR,
        )
        look = Look(key="a", attempt=1, state=JobState.RUNNING, look_at=FAR + 1, counted=True)
        assert await ledger.settle(RUN, [look]) == []
        assert ((await the(ledger)).looks, (await the(ledger)).look_at) == (1, FAR + 1)
        assert (await running(ledger), await money(ledger)) == (1, (0.0, 1.5))
        assert await ledger.settle(RUN, [Look(key="a", attempt=1, state=JobState.READY, cost=1.25)]) == ["a"]
        assert (await running(ledger), await money(ledger)) == (0, (1.25, 0.0))
        assert await ledger.finish(RUN, "a", 1, result={"file": "a.mp4"}, cost=1.25)
        done = await the(ledger)
        assert (done.state, done.cost, done.result, done.error) == (
            JobState.DONE,
            1.25,
            {"file": "a.mp4"},
            {},
        )
        assert done.submitted_at is not None
        assert done.ended_at is not None
        assert done.finished_at is not None
        assert before <= done.submitted_at <= done.ended_at <= done.finished_at
        assert await money(ledger) == (1.25, 0.0)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("name", MOVES)
    @pytest.mark.parametrize("state", STATES)
    async def test_every_change_happens_only_from_its_states(
        self, ledger: Ledger, name: str, state: JobState
    ) -> None:
        """From any other state, for another attempt and for an unknown key, nothing at all changes."""
        await begun(ledger)
        await brought_to(ledger, state)
        before = (await the(ledger), await ledger.get_run(RUN), await ledger.limits("acc"))
        allowed, move = MOVES[name]
        attempt = before[0].attempt
        assert not await move(ledger, attempt + 1)
        assert not await move(ledger, attempt - 1)
        assert (await the(ledger), await ledger.get_run(RUN), await ledger.limits("acc")) == before
        answer = await move(ledger, attempt)
        assert bool(answer) is (state in allowed)
        if state not in allowed:
            assert (await the(ledger), await ledger.get_run(RUN), await ledger.limits("acc")) == before

    @pytest.mark.asyncio
    async def test_an_answer_that_is_told_twice_is_no_orphan(self, ledger: Ledger) -> None:
        """The same task of the same attempt is accepted again; another task is not."""
        await begun(ledger, "a", "b")
        await brought_to(ledger, JobState.RUNNING)
        assert await ledger.accepted(RUN, "a", 1, task_id="t1", token="tok", look_at=0.0)
        assert await ledger.adopt(RUN, "a", 1, task_id="t1", token="tok", look_at=0.0)
        assert not await ledger.accepted(RUN, "a", 1, task_id="t9", token="tok", look_at=0.0)
        assert not await ledger.accepted(RUN, "b", 0, task_id="", token="tok", look_at=0.0)
        assert await running(ledger) == 1

    @pytest.mark.asyncio
    async def test_an_intent_needs_a_new_job_at_the_attempt_before(self, ledger: Ledger) -> None:
        """A job that is not new, not there, or at another attempt is not to be sent, and nothing changes."""
        await begun(ledger)
        for wrong in (intent(attempt=2), intent(attempt=0), intent("x")):
            assert (await ledger.open_intent(wrong)).opened is Opened.NOT_YOURS
        assert (await ledger.open_intent(intent())).opened is Opened.YES
        for second in (intent(), intent(attempt=2)):
            assert (await ledger.open_intent(second)).opened is Opened.NOT_YOURS
        assert (await running(ledger), await money(ledger)) == (1, (0.0, 1.5))

    @pytest.mark.asyncio
    async def test_a_stopped_run_sends_nothing(self, ledger: Ledger) -> None:
        """The reason is told; so is that a run is not there."""
        await begun(ledger)
        await ledger.set_run_state(RUN, RunState.STOPPED, "no money")
        answer = await ledger.open_intent(intent())
        assert (answer.opened, answer.reason) == (Opened.STOPPED, "no money")
        assert (await ledger.open_intent(intent(run="august"))).opened is Opened.STOPPED
        assert (await the(ledger)).state is JobState.NEW

    @pytest.mark.asyncio
    async def test_the_budget_holds_exactly(self, ledger: Ledger) -> None:
        """Ten times 0.1 fit into 1.0, and no more; money given back can be used again."""
        await begun(ledger, *"abcdefghijk", settings=attrs.evolve(SETTINGS, budget=1.0))
        for key in "abcdefghij":
            assert (await ledger.open_intent(intent(key, cost=0.1))).opened is Opened.YES
        assert (await ledger.open_intent(intent("k", cost=0.1))).opened is Opened.BUDGET
        assert await money(ledger) == (0.0, 1.0)
        await ledger.put_back(RUN, "a", 1, error={})
        assert (await ledger.open_intent(intent("k", cost=0.1))).opened is Opened.YES

    @pytest.mark.asyncio
    async def test_no_more_run_than_may(self, ledger: Ledger) -> None:
        """The cap is the account's, over all runs; nothing is set aside for who has to wait."""
        await begun(ledger, "a", "b")
        await ledger.open_run("june", SETTINGS)
        await ledger.add("june", jobs("a"))
        await ledger.set_limits("acc", most_running=1)
        assert (await ledger.open_intent(intent(run="june"))).opened is Opened.YES
        answer = await ledger.open_intent(intent())
        assert answer.opened is Opened.WAIT
        assert answer.seconds > 0
        assert (await running(ledger), await money(ledger)) == (1, (0.0, 0.0))
        assert (await the(ledger)).state is JobState.NEW
        await ledger.put_back("june", "a", 1, error={})
        assert (await ledger.open_intent(intent())).opened is Opened.YES

    @pytest.mark.asyncio
    async def test_turns_are_evenly_spaced(self, ledger: Ledger) -> None:
        """Who comes before the next turn is told how long to wait, and keeps neither slot nor money."""
        await begun(ledger, "a", "b")
        await ledger.set_limits("acc", per_second=20.0)
        assert (await ledger.open_intent(intent("a"))).opened is Opened.YES
        answer = await ledger.open_intent(intent("b"))
        assert answer.opened is Opened.WAIT
        assert 0 < answer.seconds <= 0.05
        assert (await running(ledger), await money(ledger)) == (1, (0.0, 1.5))
        await asyncio.sleep(answer.seconds + 0.005)
        assert (await ledger.open_intent(intent("b"))).opened is Opened.YES

    @pytest.mark.asyncio
    async def test_too_many_running_is_learned(self, ledger: Ledger) -> None:
        """Nobody submits for a while, no more run than did, and the cap grows as tasks end well."""
        await begun(ledger, *"abcdef")
        for key in "abc":
            await brought_to(ledger, JobState.RUNNING, key)
        assert (await ledger.open_intent(intent("d"))).opened is Opened.YES
        await ledger.too_many("acc", 0.03)
        await ledger.put_back(RUN, "d", 1, error={})
        assert (await ledger.limits("acc")).most_running == 3
        answer = await ledger.open_intent(intent("d", 2))
        assert answer.opened is Opened.WAIT
        assert answer.seconds <= 0.03
        await asyncio.sleep(0.035)
        answer = await ledger.open_intent(intent("d", 2))
        assert (answer.opened, answer.seconds > 0.04) == (Opened.WAIT, True)
        await brought_to_end(ledger, "a")
        assert (await ledger.limits("acc")).most_running == 4
        assert (await ledger.open_intent(intent("d", 2))).opened is Opened.YES

    @pytest.mark.asyncio
    async def test_limits_are_set_apart(self, ledger: Ledger) -> None:
        """None leaves a value alone; numbers that are not above zero are refused; the lower cap counts."""
        assert (await ledger.limits("new")).most_running is None
        await ledger.set_limits("acc", most_running=5)
        await ledger.set_limits("acc", per_second=2.5)
        found = await ledger.limits("acc")
        assert (found.most_running, found.per_second, found.running) == (5, 2.5, 0)
        await ledger.too_many("acc", 0.0)
        assert (await ledger.limits("acc")).most_running == 1
        for wrong in ({"most_running": 0}, {"per_second": 0.0}):
            with pytest.raises(ConfigurationError):
                await ledger.set_limits("acc", **wrong)

    @pytest.mark.asyncio
    async def test_what_was_put_back_gets_another_attempt(self, ledger: Ledger) -> None:
        """No number of an attempt is used twice, so a late answer to the first cannot pass for the second."""
        await begun(ledger)
        await ledger.open_intent(intent())
        assert await ledger.put_back(RUN, "a", 1, error=ERROR, counts=True)
        back = await the(ledger)
        assert (back.state, back.attempt, back.tries, back.error) == (JobState.NEW, 1, 1, ERROR)
        assert (await running(ledger), await money(ledger)) == (0, (0.0, 0.0))
        assert (await ledger.open_intent(intent(attempt=2))).opened is Opened.YES
        assert not await ledger.accepted(RUN, "a", 1, task_id="t1", token="tok", look_at=0.0)
        assert (await the(ledger)).state is JobState.INTENT

    # -- ends

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        ("at_ready", "at_done", "spent", "cost"),
        [
            (None, None, 1.5, None),
            (2.0, None, 2.0, 2.0),
            (None, 2.0, 2.0, 2.0),
            (2.0, 2.0, 2.0, 2.0),
            (1.0, 3.0, 3.0, 3.0),
        ],
    )
    async def test_a_cost_counts_once(
        self, ledger: Ledger, at_ready: float | None, at_done: float | None, spent: float, cost: float | None
    ) -> None:
        """Told with a look, with the end, with both or never: then what was set aside is taken for it."""
        await begun(ledger)
        await brought_to(ledger, JobState.RUNNING)
        await ledger.settle(RUN, [Look(key="a", attempt=1, state=JobState.READY, cost=at_ready)])
        await ledger.finish(RUN, "a", 1, result={}, cost=at_done)
        assert await money(ledger) == (spent, 0.0)
        assert (await the(ledger)).cost == cost

    @pytest.mark.asyncio
    async def test_what_cost_nothing_is_known_to(self, ledger: Ledger) -> None:
        """A cost of 0, told at the very end of a job for which nothing was set aside, is not a cost that is unknown."""
        await begun(ledger)
        assert (await ledger.open_intent(intent("a", 1, cost=0.0))).opened is Opened.YES
        assert await ledger.accepted(RUN, "a", 1, task_id="t1", token="tok", look_at=0.0)
        await ledger.settle(RUN, [Look(key="a", attempt=1, state=JobState.READY)])
        assert await ledger.finish(RUN, "a", 1, result={}, cost=0.0)
        assert (await the(ledger)).cost == 0.0

    @pytest.mark.asyncio
    async def test_failures(self, ledger: Ledger) -> None:
        """Money is given back unless a cost is told; failures in a row count until one is done."""
        await begun(ledger, *"abcd")
        await brought_to(ledger, JobState.FAILED, "a")
        assert await money(ledger) == (0.0, 0.0)
        await brought_to(ledger, JobState.RUNNING, "b")
        look = Look(key="b", attempt=1, state=JobState.FAILED, cost=0.5, error=ERROR)
        assert await ledger.settle(RUN, [look]) == []
        failed = await the(ledger, "b")
        assert (failed.state, failed.cost, failed.error) == (JobState.FAILED, 0.5, ERROR)
        assert failed.finished_at is not None
        assert (await running(ledger), await money(ledger)) == (0, (0.5, 0.0))
        run = await ledger.get_run(RUN)
        assert run is not None
        assert run.failures_in_row == 2
        await brought_to(ledger, JobState.DONE, "c")
        run = await ledger.get_run(RUN)
        assert run is not None
        assert run.failures_in_row == 0

    @pytest.mark.asyncio
    async def test_a_result_that_cannot_be_fetched_was_paid_for(self, ledger: Ledger) -> None:
        """A job that fails when it was ready keeps its money spent."""
        await begun(ledger)
        await brought_to(ledger, JobState.READY)
        await ledger.fail(RUN, "a", 1, error=ERROR)
        assert await money(ledger) == (1.5, 0.0)

    @pytest.mark.asyncio
    async def test_a_providers_fault_is_tried_again(self, ledger: Ledger) -> None:
        """The job is new later, with one more try; costs of all attempts add up."""
        await begun(ledger)
        await brought_to(ledger, JobState.RUNNING)
        again = Look(key="a", attempt=1, state=JobState.NEW, not_before=5.0, cost=0.25, error=ERROR)
        assert await ledger.settle(RUN, [again]) == []
        back = await the(ledger)
        assert (back.state, back.tries, back.not_before, back.attempt) == (JobState.NEW, 1, 5.0, 1)
        assert (await running(ledger), await money(ledger)) == (0, (0.25, 0.0))
        await brought_to(ledger, JobState.DONE, attempt=2)
        assert await money(ledger) == (1.75, 0.0)
        assert (await the(ledger)).cost == 0.25

    @pytest.mark.asyncio
    async def test_a_round_of_looks_is_one_change(self, ledger: Ledger) -> None:
        """Many looks of every kind; unknown keys, old attempts and second opinions are passed over."""
        keys = [f"k{number}" for number in range(120)]
        await begun(ledger, *keys, settings=attrs.evolve(SETTINGS, budget=None))
        await asyncio.gather(*(brought_to(ledger, JobState.RUNNING, key) for key in keys))
        kinds = [JobState.READY, JobState.FAILED, JobState.NEW, JobState.RUNNING]
        looks = [Look(key=key, attempt=1, state=kinds[n % 4], look_at=FAR) for n, key in enumerate(keys)]
        stray = [
            Look(key="x", attempt=1, state=JobState.READY),
            Look(key="k3", attempt=2, state=JobState.READY),
            Look(key="k0", attempt=1, state=JobState.FAILED),
        ]
        assert await ledger.settle(RUN, [*looks, *stray]) == keys[::4]
        counts = await ledger.counts(RUN)
        assert counts.jobs == dict.fromkeys(kinds, 30)
        assert (await running(ledger), await money(ledger)) == (30, (135.0, 45.0))
        assert await ledger.settle(RUN, []) == []

    # -- doubts

    @pytest.mark.asyncio
    async def test_doubts_are_old_intents_and_marked_ones(self, ledger: Ledger) -> None:
        """An intent that may still go out is none."""
        await begun(ledger, *"abc")
        for key, send in (("a", -10.0), ("b", 60.0), ("c", 60.0)):
            await ledger.open_intent(intent(key, send=send))
        assert await ledger.doubt(RUN, "c", 1, error=ERROR)
        assert [job.key for job in await ledger.doubts(RUN, older_than=5.0)] == ["a", "c"]
        assert [job.key for job in await ledger.doubts(RUN, older_than=50.0)] == ["c"]
        assert (await the(ledger, "c")).error == ERROR
        assert await running(ledger) == 3

    @pytest.mark.asyncio
    async def test_absence_is_dated_once(self, ledger: Ledger) -> None:
        """The first time counts; the next attempt begins anew."""
        await begun(ledger)
        await ledger.open_intent(intent())
        first = await ledger.absent(RUN, "a", 1)
        await asyncio.sleep(0.005)
        assert await ledger.absent(RUN, "a", 1) == first
        assert (await the(ledger)).absent_at == first
        await ledger.put_back(RUN, "a", 1, error={})
        await ledger.open_intent(intent(attempt=2))
        assert (await the(ledger)).absent_at is None
        assert await ledger.absent(RUN, "a", 1) > first

    @pytest.mark.asyncio
    async def test_a_held_job_keeps_its_money_and_not_its_slot(self, ledger: Ledger) -> None:
        """Adopted it takes a slot again; abandoned or sent again, what it may have cost counts as spent."""
        await begun(ledger, *"abc")
        for key in "abc":
            await brought_to(ledger, JobState.HELD, key)
        assert (await running(ledger), await money(ledger)) == (0, (0.0, 4.5))
        await ledger.set_limits("acc", most_running=1)
        await ledger.too_many("acc", 0.0)
        assert await ledger.adopt(RUN, "a", 1, task_id="t1", token="tok", look_at=0.0)
        assert (await running(ledger), await money(ledger)) == (1, (0.0, 4.5))
        assert await ledger.abandon(RUN, ["a", "b", "x"]) == 1
        assert await ledger.resend(RUN, ["a", "c", "c"]) == 1
        assert [(await the(ledger, key)).state for key in "abc"] == [
            JobState.RUNNING,
            JobState.ABANDONED,
            JobState.NEW,
        ]
        assert (await running(ledger), await money(ledger)) == (1, (3.0, 1.5))

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        ("failed_at", "anew", "aside", "ends_at", "spent", "cost"),
        [
            (None, 0.0, 1.5, None, 1.5, None),  # what was taken for its cost is set aside again
            (None, 0.0, 1.5, 2.0, 2.0, 2.0),
            (0.0, 1.25, 1.25, None, 1.25, None),  # the failure was free: what a job is expected to cost
            (0.5, 1.25, 1.25, 1.0, 1.0, 1.0),  # what was told of the failure is no part of the end's cost
            (3.0, 1.25, 3.0, 2.0, 2.0, 2.0),
        ],
    )
    async def test_a_failed_job_is_adopted_at_the_users_word(
        self,
        ledger: Ledger,
        failed_at: float | None,
        anew: float,
        aside: float,
        ends_at: float | None,
        spent: float,
        cost: float | None,
    ) -> None:
        """Denied by the provider and shown later: it runs again, holds a slot, and its money counts once."""
        await begun(ledger)
        await brought_to(ledger, JobState.RUNNING)
        look = Look(key="a", attempt=1, state=JobState.FAILED, cost=failed_at, error=ERROR)
        await ledger.settle(RUN, [look])
        assert not await ledger.adopt(RUN, "a", 1, task_id="t2", token="new", look_at=FAR)
        assert await ledger.adopt(RUN, "a", 1, task_id="t2", token="new", look_at=FAR, anew=anew)
        found = await the(ledger)
        assert (found.state, found.task_id, found.token, found.look_at) == (
            JobState.RUNNING,
            "t2",
            "new",
            FAR,
        )
        assert (found.error, found.ended_at, found.finished_at, found.cost) == ({}, None, None, None)
        assert (await running(ledger), await money(ledger)) == (1, (0.0, aside))
        await ledger.settle(RUN, [Look(key="a", attempt=1, state=JobState.READY, cost=ends_at)])
        assert await ledger.finish(RUN, "a", 1, result={}, cost=ends_at)
        assert (await running(ledger), await money(ledger)) == (0, (spent, 0.0))
        assert (await the(ledger)).cost == cost

    @pytest.mark.asyncio
    async def test_an_adopted_failure_keeps_what_earlier_attempts_cost(self, ledger: Ledger) -> None:
        """Only the latest attempt's money is counted anew; what was told of the first stays."""
        await begun(ledger)
        await brought_to(ledger, JobState.RUNNING)
        await ledger.settle(RUN, [Look(key="a", attempt=1, state=JobState.NEW, cost=0.25, error=ERROR)])
        await brought_to(ledger, JobState.RUNNING, attempt=2)
        await ledger.settle(RUN, [Look(key="a", attempt=2, state=JobState.FAILED, cost=0.5, error=ERROR)])
        assert (await money(ledger), (await the(ledger)).cost) == ((0.75, 0.0), 0.75)
        assert not await ledger.adopt(RUN, "a", 1, task_id="t1", token="x", look_at=0.0, anew=1.0)
        assert await ledger.adopt(RUN, "a", 2, task_id="t1", token="x", look_at=0.0, anew=1.0)
        assert (await money(ledger), (await the(ledger)).cost) == ((0.25, 1.0), 0.25)
        await ledger.settle(RUN, [Look(key="a", attempt=2, state=JobState.FAILED, cost=2.0, error=ERROR)])
        assert (await money(ledger), (await the(ledger)).cost) == ((2.25, 0.0), 2.25)

    @pytest.mark.asyncio
    async def test_an_adopted_part_brings_back_what_failed_with_it(self, ledger: Ledger) -> None:
        """They wait for it again, and are new when it is done; what a part broke is not adopted itself."""
        await ledger.open_run(RUN, SETTINGS)
        await ledger.add(RUN, [*jobs("p", part=True), *jobs("a", "b", needs=["p"])])
        await brought_to(ledger, JobState.FAILED, "p")
        assert (await the(ledger, "a")).state is JobState.FAILED
        assert not await ledger.adopt(RUN, "a", 0, task_id="t9", token="x", look_at=0.0, anew=1.0)
        assert await ledger.adopt(RUN, "p", 1, task_id="t9", token="x", look_at=0.0, anew=1.0)
        assert [(await the(ledger, key)).state for key in "pab"] == [
            JobState.RUNNING,
            JobState.BLOCKED,
            JobState.BLOCKED,
        ]
        await ledger.settle(RUN, [Look(key="p", attempt=1, state=JobState.READY)])
        assert await ledger.finish(RUN, "p", 1, result={"id": "x"})
        assert [(await the(ledger, key)).state for key in "ab"] == [JobState.NEW, JobState.NEW]

    @pytest.mark.asyncio
    async def test_of_many_that_adopt_a_failed_job_its_money_counts_once(self, ledger: Ledger) -> None:
        """Ten at once: one slot is taken, and what was spent is set aside once."""
        await begun(ledger)
        await brought_to(ledger, JobState.RUNNING)
        await ledger.settle(RUN, [Look(key="a", attempt=1, state=JobState.FAILED, error=ERROR)])
        adoption = {"task_id": "t1", "token": "x", "look_at": 0.0, "anew": 1.0}
        assert all(await asyncio.gather(*(ledger.adopt(RUN, "a", 1, **adoption) for _ in range(10))))
        assert (await running(ledger), await money(ledger)) == (1, (0.0, 1.5))

    @pytest.mark.asyncio
    async def test_a_failed_job_is_sent_again_at_the_users_word(self, ledger: Ledger) -> None:
        """Its tries begin anew, its attempts go on; what is done or cancelled is left alone."""
        await begun(ledger, *"abc")
        await ledger.open_intent(intent())
        await ledger.put_back(RUN, "a", 1, error=ERROR, counts=True)
        await brought_to(ledger, JobState.FAILED, "a", attempt=2)
        await brought_to(ledger, JobState.DONE, "b")
        await ledger.cancel(RUN, ["c"])
        assert await ledger.resend(RUN, [*"abc"]) == 1
        back = await the(ledger)
        assert (back.state, back.tries, back.attempt, back.error) == (JobState.NEW, 0, 2, {})
        assert back.finished_at is None
        assert (await ledger.open_intent(intent(attempt=3))).opened is Opened.YES

    # -- parts

    @pytest.mark.asyncio
    async def test_a_job_waits_for_its_parts(self, ledger: Ledger) -> None:
        """It is new when the last of them is done; parts are counted apart."""
        await ledger.open_run(RUN, SETTINGS)
        await ledger.add(
            RUN, [*jobs("p", "q", part=True), *jobs("a", needs=["p", "q", "p"]), *jobs("b", needs=["p"])]
        )
        counts = await ledger.counts(RUN)
        assert (counts.jobs, counts.parts) == ({JobState.BLOCKED: 2}, {JobState.NEW: 2})
        assert (await ledger.open_intent(intent("a"))).opened is Opened.NOT_YOURS
        assert (await ledger.open_intent(intent("p"))).opened is Opened.YES
        assert await ledger.finish(RUN, "p", 1, result={"id": "v1"}, from_states=[JobState.INTENT])
        assert (await running(ledger), await money(ledger)) == (0, (1.5, 0.0))
        assert [(await the(ledger, key)).state for key in "ab"] == [JobState.BLOCKED, JobState.NEW]
        await brought_to(ledger, JobState.DONE, "q")
        assert (await the(ledger, "a")).state is JobState.NEW
        parts = await ledger.parts_of(RUN, "a")
        assert {key: part.result for key, part in parts.items()} == {
            "p": {"id": "v1"},
            "q": {"file": "a.mp4"},
        }
        assert await ledger.parts_of(RUN, "p") == {}
        await ledger.add(RUN, jobs("c", needs=["p"]))
        assert (await the(ledger, "c")).state is JobState.NEW

    @pytest.mark.asyncio
    async def test_a_lost_part_fails_what_needs_it(self, ledger: Ledger) -> None:
        """Over several steps, also what is added later; the error names the part; only the part counts as a failure."""
        await ledger.open_run(RUN, SETTINGS)
        added = [*jobs("p", "q", part=True), *jobs("r", needs=["p"], part=True), *jobs("a", needs=["r", "q"])]
        await ledger.add(RUN, added)
        await brought_to(ledger, JobState.FAILED, "p")
        states = {job.key: (job.state, job.error.get("part")) for job in await ledger.select(RUN)}
        assert states["r"] == (JobState.FAILED, "p")
        assert states["a"] == (JobState.FAILED, "r")
        assert states["q"] == (JobState.NEW, None)
        await ledger.add(RUN, [*jobs("b", needs=["s"]), *jobs("s", needs=["p"], part=True)])
        assert [(await the(ledger, key)).state for key in "sb"] == [JobState.FAILED] * 2
        run = await ledger.get_run(RUN)
        assert run is not None
        assert run.failures_in_row == 1

    @pytest.mark.asyncio
    async def test_a_part_that_is_sent_again_brings_back_what_failed_with_it(self, ledger: Ledger) -> None:
        """All of it, over several steps, unless another part is lost; asking for a dependant asks for its part."""
        await ledger.open_run(RUN, SETTINGS)
        added = [*jobs("p", "q", part=True), *jobs("r", needs=["p"], part=True)]
        await ledger.add(RUN, [*added, *jobs("a", needs=["r"]), *jobs("b", needs=["p", "q"]), *jobs("c")])
        await brought_to(ledger, JobState.FAILED, "p")
        await brought_to(ledger, JobState.FAILED, "c")
        assert await ledger.resend(RUN, ["a"]) == 4
        states = {job.key: job.state for job in await ledger.select(RUN)}
        waits, new = JobState.BLOCKED, JobState.NEW
        assert states == {"p": new, "q": new, "r": waits, "a": waits, "b": waits, "c": JobState.FAILED}
        await brought_to(ledger, JobState.FAILED, "p", attempt=2)
        await brought_to(ledger, JobState.FAILED, "q")
        assert await ledger.resend(RUN, ["p"]) == 3
        assert (await the(ledger, "b")).error["part"] == "q"
        assert await ledger.resend(RUN, ["b"]) == 2
        await brought_to(ledger, JobState.DONE, "p", attempt=3)
        await brought_to(ledger, JobState.DONE, "q", attempt=2)
        assert (await the(ledger, "b")).state is JobState.NEW

    @pytest.mark.asyncio
    async def test_who_failed_by_itself_does_not_come_back_with_its_part(self, ledger: Ledger) -> None:
        """Only what failed because of the part does; the other when it is asked for, to wait or to fail again."""
        await ledger.open_run(RUN, SETTINGS)
        await ledger.add(RUN, [*jobs("p", part=True), *jobs("a", "b", needs=["p"])])
        await ledger.fail(RUN, "a", 0, error=ERROR)
        await brought_to(ledger, JobState.FAILED, "p")
        assert await ledger.resend(RUN, ["a"]) == 0
        assert (await the(ledger, "a")).error["part"] == "p"
        await ledger.resend(RUN, ["p"])
        assert [(await the(ledger, key)).state for key in "ab"] == [JobState.BLOCKED] * 2
        await ledger.fail(RUN, "a", 0, error=ERROR)
        await brought_to(ledger, JobState.FAILED, "p", attempt=2)
        assert await ledger.resend(RUN, ["p"]) == 2
        assert [(await the(ledger, key)).state for key in "ab"] == [JobState.FAILED, JobState.BLOCKED]

    @pytest.mark.asyncio
    async def test_a_part_that_is_given_up_takes_along_what_needs_it(self, ledger: Ledger) -> None:
        """Abandoned: it fails. Cancelled: it is cancelled. Neither waits for ever."""
        await ledger.open_run(RUN, SETTINGS)
        await ledger.add(
            RUN, [*jobs("p", "q", part=True), *jobs("a", needs=["p"]), *jobs("b", "c", needs=["q"])]
        )
        await brought_to(ledger, JobState.ABANDONED, "p")
        assert (await the(ledger, "a")).state is JobState.FAILED
        assert await ledger.cancel(RUN, ["q", "c"]) == 3
        assert [(await the(ledger, key)).state for key in "qbc"] == [JobState.CANCELLED] * 3
        assert await ledger.resend(RUN, ["a"]) == 0

    # -- what is shared

    @pytest.mark.asyncio
    async def test_small_things_are_kept_by_name_and_age(self, ledger: Ledger) -> None:
        """By account and name; a newer one replaces an older; too old ones are not given."""
        await ledger.remember("acc", "upload:1", {"id": "f1", "size": 3})
        await ledger.remember("acc", "upload:1", {"id": "f2"})
        assert await ledger.recall("acc", "upload:1", younger_than=60.0) == {"id": "f2"}
        assert await ledger.recall("other", "upload:1", younger_than=60.0) is None
        assert await ledger.recall("acc", "upload:2", younger_than=60.0) is None
        await asyncio.sleep(0.02)
        assert await ledger.recall("acc", "upload:1", younger_than=0.01) is None

    @pytest.mark.asyncio
    async def test_a_lease_has_one_owner_for_a_while(self, ledger: Ledger) -> None:
        """The owner may renew it; others get it when it is over or given back."""
        assert await ledger.lease("poll", "w1", 60.0)
        assert await ledger.lease("poll", "w1", 0.02)
        assert not await ledger.lease("poll", "w2", 60.0)
        assert await ledger.lease("other", "w2", 60.0)
        await asyncio.sleep(0.03)
        assert await ledger.lease("poll", "w2", 60.0)
        assert not await ledger.lease("poll", "w1", 60.0)
        assert await ledger.lease("poll", "w2", 0.0)
        assert await ledger.lease("poll", "w1", 60.0)

    @pytest.mark.asyncio
    async def test_time_goes_on(self, ledger: Ledger) -> None:
        """Asked again, the time is never earlier."""
        times = [await ledger.now() for _ in range(20)]
        assert times == sorted(times)

    # -- at once

    @pytest.mark.asyncio
    async def test_of_many_that_do_the_same_one_succeeds(self, ledger: Ledger) -> None:
        """Twenty want the same intent, twenty the same end: one each, and the counters show one."""
        await begun(ledger)
        answers = await asyncio.gather(*(ledger.open_intent(intent()) for _ in range(20)))
        assert sorted(answer.opened is Opened.YES for answer in answers)[-2:] == [False, True]
        assert (await running(ledger), await money(ledger)) == (1, (0.0, 1.5))
        ends = await asyncio.gather(*(ledger.fail(RUN, "a", 1, error=ERROR) for _ in range(20)))
        assert sum(ends) == 1
        assert (await running(ledger), await money(ledger)) == (0, (0.0, 0.0))

    @pytest.mark.asyncio
    async def test_a_cap_and_a_budget_hold_in_a_crowd(self, ledger: Ledger) -> None:
        """Sixty ask at once where seven may run; after one is over, one more may."""
        keys = [f"k{number}" for number in range(60)]
        await begun(ledger, *keys)
        await ledger.set_limits("acc", most_running=7)
        answers = await asyncio.gather(*(ledger.open_intent(intent(key)) for key in keys))
        assert [answer.opened for answer in answers].count(Opened.YES) == 7
        assert (await running(ledger), await money(ledger)) == (7, (0.0, 10.5))
        assert (await ledger.counts(RUN)).of(JobState.INTENT) == 7

    @pytest.mark.asyncio
    async def test_no_job_is_handed_to_two(self, ledger: Ledger) -> None:
        """Ten take at once from ninety jobs: each job goes to one."""
        await begun(ledger, *(f"k{number}" for number in range(90)))
        taken = await asyncio.gather(*(ledger.take(RUN, JobState.NEW, 10, seconds=60) for _ in range(10)))
        keys = [job.key for batch in taken for job in batch]
        assert len(keys) == len(set(keys))
        rest = await ledger.take(RUN, JobState.NEW, 90, seconds=60)
        assert len(keys) + len(rest) == 90


async def brought_to_end(ledger: Ledger, key: str) -> None:
    """A running job's task ends well."""
    assert await ledger.settle(RUN, [Look(key=key, attempt=1, state=JobState.READY)]) == [key]
    assert await ledger.finish(RUN, key, 1, result={})
