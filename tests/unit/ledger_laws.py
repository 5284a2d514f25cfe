"""Random sequences of everything a ledger can do, beside a small model of it: for every ledger, as the suite.

The model says for each job where it is and what is set aside for it; slots, money and counts follow from that alone,
and the ledger's counters have to agree with it after every step.
"""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ledger_suite import ERROR, RUN, SETTINGS, intent

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.records import JobState, Look, NewJob, Opened, RunState

NEEDS: dict[str, tuple[str, ...]] = {
    "p": (),
    "q": (),
    "r": ("p",),
    "a": ("p",),
    "b": ("p", "q"),
    "c": ("r",),
    "d": (),
    "e": (),
}
PARTS = frozenset("pqr")
LOST = (JobState.FAILED, JobState.ABANDONED, JobState.CANCELLED)
ENDS = (JobState.READY, JobState.READY, JobState.FAILED, JobState.NEW, JobState.RUNNING)
BUDGET, CAP = 6_000_000, 4

some = st.lists(st.sampled_from(sorted(NEEDS)), min_size=1, max_size=4)
costs = st.sampled_from([0.0, 0.1, 0.7, 1.3])
told = st.none() | costs
attempts = st.sampled_from([0] * 8 + [1, -1])  # mostly the right one


def micros(amount: float) -> int:
    return round(amount * 1_000_000)


@attrs.define
class Model:
    """One job, as the model has it."""

    key: str
    state: JobState
    attempt: int = 0
    tries: int = 0
    reserved: int = 0
    charged: int = 0
    told: int = 0
    cost: int | None = None
    blame: str | None = None

    @property
    def slot(self) -> bool:
        return self.state in (JobState.INTENT, JobState.RUNNING)


class LedgerMachine(RuleBasedStateMachine):
    """Subclasses say how a fresh ledger is opened."""

    async def begin(self) -> Ledger:
        """A fresh, empty ledger."""
        raise NotImplementedError

    async def reopen(self, ledger: Ledger) -> Ledger:
        """The same ledger after its process ended; a server's is just gone on with."""
        return ledger

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.ledger = self.runner.run(self.begin())
        self.jobs: dict[str, Model] = {}
        self.run_state = RunState.ACTIVE
        self.spent = self.failures = 0
        self.tasks = 0
        self.led: str | None = None

    def teardown(self) -> None:
        self.runner.run(self.ledger.aclose())
        self.runner.close()

    def do(self, name: str, *args: Any, **options: Any) -> Any:
        async def call() -> Any:
            return await getattr(self.ledger, name)(*args, **options)

        return self.runner.run(call())

    # -- the model's own rules

    def lose(self, part: str, state: JobState = JobState.FAILED) -> int:
        """Whoever waits for *part* is lost with it."""
        lost = 0
        for key, needs in NEEDS.items():
            job = self.jobs.get(key)
            if job is not None and part in needs and job.state is JobState.BLOCKED:
                job.state, job.blame = state, part
                lost += 1 + (self.lose(key, state) if key in PARTS else 0)
        return lost

    def win(self, part: str) -> None:
        for key, needs in NEEDS.items():
            job = self.jobs.get(key)
            if job is None or part not in needs or job.state is not JobState.BLOCKED:
                continue
            if all(self.jobs[need].state is JobState.DONE for need in needs):
                job.state = JobState.NEW

    def revive(self, part: str) -> int:
        back = 0
        for key in NEEDS:
            job = self.jobs.get(key)
            if job is not None and job.blame == part and job.state is JobState.FAILED:
                job.state, job.blame = JobState.BLOCKED, None
                back += 1 + (self.revive(key) if key in PARTS else 0)
        return back

    def end(self, job: Model, state: JobState, cost: float | None, taken: int) -> None:
        amount = taken if cost is None else micros(cost)
        if cost is not None:
            job.cost = (job.cost or 0) - job.told + amount
            job.told = amount
        self.spent += amount - job.charged
        job.state, job.charged, job.reserved = state, amount, 0

    def known(self, key: str, off: int, *states: JobState) -> Model | None:
        """The job, when a change with that attempt may happen in the model."""
        job = self.jobs[key]
        return job if not off and job.state in states else None

    # -- everything that can be done

    @initialize(cap=st.booleans(), budget=st.booleans())
    def start(self, *, cap: bool, budget: bool) -> None:
        self.budget = BUDGET if budget else None
        self.cap = CAP if cap else None
        self.settings = attrs.evolve(SETTINGS, budget=6.0 if budget else None)
        self.do("open_run", RUN, self.settings)
        if cap:
            self.do("set_limits", "acc", most_running=CAP)
        self.add(list("pqrabcd"))

    @rule(names=some)
    def add(self, names: list[str]) -> None:
        for key in names:
            new = key not in self.jobs
            job = NewJob(key=key, spec=b"{}", needs=NEEDS[key], part=key in PARTS)
            assert self.do("add", RUN, [job]).new == new
            if new:
                self.jobs[key] = Model(key=key, state=JobState.BLOCKED if NEEDS[key] else JobState.NEW)

    @rule(data=st.data(), off=attempts, cost=costs)
    def open_intent(self, data: st.DataObject, off: int, cost: float) -> None:
        key = self.pick(data, JobState.NEW)
        job = self.jobs.get(key)
        attempt = (job.attempt if job else 0) + 1 + off
        answer = self.do("open_intent", intent(key, attempt, cost=cost)).opened
        reserved = sum(each.reserved for each in self.jobs.values())
        if self.run_state is not RunState.ACTIVE:
            assert answer is Opened.STOPPED
        elif job is None or job.state is not JobState.NEW or off:
            assert answer is Opened.NOT_YOURS
        elif self.budget is not None and self.spent + reserved + micros(cost) > self.budget:
            assert answer is Opened.BUDGET
        elif self.cap is not None and sum(each.slot for each in self.jobs.values()) >= self.cap:
            assert answer is Opened.WAIT
        else:
            assert answer is Opened.YES
            job.state, job.attempt, job.reserved = JobState.INTENT, attempt, micros(cost)
            job.charged = job.told = 0

    def pick(self, data: st.DataObject, *states: JobState) -> str:
        """Mostly a job that is in one of *states*."""
        if self.led is not None:
            return self.led
        fit = [key for key, job in self.jobs.items() if job.state in states]
        names = fit if fit and data.draw(st.integers(0, 7)) < 7 else sorted(NEEDS)
        return data.draw(st.sampled_from(names))

    def change(
        self, name: str, data: st.DataObject, off: int, states: tuple[JobState, ...], **options: Any
    ) -> Model | None:
        """Do a compare-and-set; gives the model's job if it happened, which the ledger has to agree with."""
        key = self.pick(data, *states)
        if key not in self.jobs:
            return None
        job = self.known(key, off, *states)
        happened = self.do(name, RUN, key, self.jobs[key].attempt + off, **options)
        assert happened is (job is not None)
        return job

    @rule(data=st.data(), off=attempts, adopts=st.booleans())
    def accepted(self, data: st.DataObject, off: int, *, adopts: bool) -> None:
        self.tasks += 1
        states = (JobState.INTENT, JobState.HELD) if adopts else (JobState.INTENT,)
        facts = {"task_id": f"t{self.tasks}", "token": "x", "look_at": 0.0}
        if job := self.change("adopt" if adopts else "accepted", data, off, states, **facts):
            job.state = JobState.RUNNING

    @rule(data=st.data(), off=attempts, counts=st.booleans())
    def put_back(self, data: st.DataObject, off: int, *, counts: bool) -> None:
        if job := self.change("put_back", data, off, (JobState.INTENT,), error=ERROR, counts=counts):
            job.state, job.reserved = JobState.NEW, 0
            job.tries += counts

    @rule(data=st.data(), off=attempts)
    def hold(self, data: st.DataObject, off: int) -> None:
        if job := self.change("hold", data, off, (JobState.INTENT,), error=ERROR):
            job.state = JobState.HELD

    @rule(data=st.data(), off=attempts, cost=told)
    def fail(self, data: st.DataObject, off: int, cost: float | None) -> None:
        states = tuple(state for state in JobState if not state.final)
        if off == 0 and self.led is None and data.draw(st.integers(0, 3)) < 3:
            self.led = self.pick(data, JobState.RUNNING, JobState.READY, JobState.HELD)
        job = self.change("fail", data, off, states, error=ERROR, cost=cost)
        self.led = None
        if job is not None:
            self.end(job, JobState.FAILED, cost, job.charged)
            self.failures += 1
            if job.key in PARTS:
                self.lose(job.key)

    @rule(
        data=st.data(),
        cost=costs,
        seen=told,
        to=st.sampled_from([JobState.RUNNING, JobState.HELD, JobState.DONE]),
    )
    def lead(self, data: st.DataObject, cost: float, seen: float | None, to: JobState) -> None:
        """Some way at once, or random steps would seldom come far."""
        self.led = self.pick(data, JobState.NEW)
        self.open_intent(data, 0, cost)
        if to is JobState.HELD:
            self.hold(data, 0)
        else:
            self.accepted(data, 0, adopts=False)
        if to is JobState.DONE:
            self.settle(data, [(0, JobState.READY, seen)])
            self.finish(data, 0, cost if seen is None else None, at_once=False)
        self.led = None

    @rule(data=st.data(), off=attempts, cost=told, at_once=st.booleans())
    def finish(self, data: st.DataObject, off: int, cost: float | None, *, at_once: bool) -> None:
        states = (JobState.INTENT,) if at_once else (JobState.READY,)
        if job := self.change("finish", data, off, states, result={}, cost=cost, from_states=states):
            self.end(job, JobState.DONE, cost, job.reserved + job.charged)
            self.failures = 0
            if job.key in PARTS:
                self.win(job.key)

    @rule(data=st.data(), ends=st.lists(st.tuples(attempts, st.sampled_from(ENDS), told), max_size=5))
    def settle(self, data: st.DataObject, ends: list[tuple[int, JobState, float | None]]) -> None:
        drawn = [(self.pick(data, JobState.RUNNING), *end) for end in ends]
        seen = [each for each in drawn if each[0] in self.jobs]
        given = [
            Look(key=key, attempt=self.jobs[key].attempt + off, state=state, cost=cost)
            for key, off, state, cost in seen
        ]
        ready = []
        failed = []
        for key, off, state, cost in seen:
            job = self.known(key, off, JobState.RUNNING)
            if job is None or state is JobState.RUNNING:
                continue
            self.end(job, state, cost, job.reserved if state is JobState.READY else 0)
            job.tries += state is JobState.NEW
            self.failures += state is JobState.FAILED
            ready += [key] if state is JobState.READY else []
            failed += [key] if state is JobState.FAILED and key in PARTS else []
        for key in failed:
            self.lose(key)
        assert self.do("settle", RUN, given) == ready

    @rule(data=st.data(), many=st.integers(1, 3))
    def resend(self, data: st.DataObject, many: int) -> None:
        names = [self.pick(data, JobState.HELD, JobState.FAILED) for _ in range(many)]
        roots = dict.fromkeys(self._root(key) for key in names if key in self.jobs)
        chosen = [key for key in roots if self.jobs[key].state in (JobState.HELD, JobState.FAILED)]
        parts = [key for key in chosen if key in PARTS and self.jobs[key].state is JobState.FAILED]
        for key in chosen:
            job = self.jobs[key]
            waits = any(self.jobs[need].state is not JobState.DONE for need in NEEDS[key])
            job.state = JobState.BLOCKED if waits else JobState.NEW
            job.reserved = job.tries = 0
        back = len(chosen) + sum(map(self.revive, parts))
        for part in sorted(PARTS, key=list(self.jobs).index) if self.jobs.keys() >= PARTS else ():
            if self.jobs[part].state in LOST:
                state = self.jobs[part].state
                back -= self.lose(part, state if state is JobState.CANCELLED else JobState.FAILED)
        assert self.do("resend", RUN, names) == back

    def _root(self, key: str) -> str:
        job = self.jobs[key]
        if job.state is JobState.FAILED and job.blame is not None:
            return self._root(job.blame)
        return key

    @rule(data=st.data(), many=st.integers(1, 3))
    def abandon(self, data: st.DataObject, many: int) -> None:
        names = [self.pick(data, JobState.HELD) for _ in range(many)]
        chosen = [
            key for key in dict.fromkeys(names) if key in self.jobs and self.jobs[key].state is JobState.HELD
        ]
        for key in chosen:
            self.jobs[key].state, self.jobs[key].reserved = JobState.ABANDONED, 0
        for key in chosen:
            if key in PARTS:
                self.lose(key)
        assert self.do("abandon", RUN, names) == len(chosen)

    @rule(data=st.data(), many=st.integers(0, 2))
    def cancel(self, data: st.DataObject, many: int) -> None:
        names = [self.pick(data, JobState.NEW, JobState.BLOCKED) for _ in range(many)]
        waiting = (JobState.BLOCKED, JobState.NEW)
        chosen = [key for key in dict.fromkeys(names) if key in self.jobs and self.jobs[key].state in waiting]
        for key in chosen:
            self.jobs[key].state = JobState.CANCELLED
        lost = sum(self.lose(key, JobState.CANCELLED) for key in chosen if key in PARTS)
        assert self.do("cancel", RUN, names) == len(chosen) + lost

    @rule(chance=st.integers(0, 5))
    def stop(self, chance: int) -> None:
        if chance < 5:
            return
        self.do("set_run_state", RUN, RunState.STOPPED, "why")
        self.run_state = RunState.STOPPED

    @rule()
    def open_again(self) -> None:
        self.do("open_run", RUN, self.settings)
        self.run_state, self.failures = RunState.ACTIVE, 0

    @rule()
    def process_ends(self) -> None:
        async def again() -> Ledger:
            return await self.reopen(self.ledger)

        self.ledger = self.runner.run(again())

    # -- what must always be so

    @invariant()
    def slots_money_and_states_agree(self) -> None:
        if not self.jobs:
            return
        stored = {job.key: job for job in self.do("select", RUN)}
        found = {key: (job.state, job.attempt, job.tries, job.cost) for key, job in stored.items()}
        expected: dict[str, Any] = {
            key: (job.state, job.attempt, job.tries, None if job.cost is None else job.cost / 1e6)
            for key, job in self.jobs.items()
        }
        assert found == expected
        assert self.do("limits", "acc").running == sum(job.slot for job in self.jobs.values())
        run = self.do("get_run", RUN)
        reserved = sum(job.reserved for job in self.jobs.values())
        assert (micros(run.spent), micros(run.reserved)) == (self.spent, reserved)
        assert (run.failures_in_row, run.state) == (self.failures, self.run_state)

    @invariant()
    def counts_agree(self) -> None:
        if not self.jobs:
            return
        counts = self.do("counts", RUN)
        for of, parts in ((counts.jobs, False), (counts.parts, True)):
            states = [job.state for key, job in self.jobs.items() if (key in PARTS) is parts]
            assert dict(of) == {state: states.count(state) for state in set(states)}

    @invariant()
    def nothing_waits_for_what_will_not_come(self) -> None:
        for key, job in self.jobs.items():
            if job.state is JobState.BLOCKED:
                assert not any(self.jobs[need].state in LOST for need in NEEDS[key])
