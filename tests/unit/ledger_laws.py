"""Random sequences of everything a ledger can do, beside a small model of it: for every ledger, as the suite.

The model says for each job where it is and what is set aside for it; slots, money and counts follow from that alone,
and the ledger's counters have to agree with it after every step.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
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
    **dict.fromkeys("efghijklmn", ()),
}
PARTS = frozenset("pqr")
LOST = (JobState.FAILED, JobState.ABANDONED, JobState.CANCELLED)
ENDS = (JobState.READY, JobState.READY, JobState.FAILED, JobState.NEW, JobState.RUNNING)
BUDGET, CAP = 9_000_000, 5

COSTS = (0.0, 0.1, 0.7, 1.3)
TOLD = (None, *COSTS)
OFF = (0, 0, 0, 0, 0, 0, 0, 0, 1, -1)  # the attempt is mostly the right one


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
        self.dice = random.Random(0)

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
        self.settings = attrs.evolve(SETTINGS, budget=9.0 if budget else None)
        self.do("open_run", RUN, self.settings)
        if cap:
            self.do("set_limits", "acc", most_running=CAP)
        self.add("pqrabcdefgh")

    @rule(dice=st.randoms(use_true_random=True))
    def walk(self, dice: random.Random) -> None:
        """Ten steps. Hypothesis' own choices are too even to come far: most jobs would never be sent."""
        self.dice = dice
        for step in dice.choices([step for step, _ in STEPS], [weight for _, weight in STEPS], k=10):
            step(self)
            self.agree()

    def add(self, names: str = "") -> None:
        for key in names or self.dice.choices(sorted(NEEDS), k=2):
            new = key not in self.jobs
            job = NewJob(key=key, spec=b"{}", needs=NEEDS[key], part=key in PARTS)
            assert self.do("add", RUN, [job]).new == new
            if new:
                self.jobs[key] = Model(key=key, state=JobState.BLOCKED if NEEDS[key] else JobState.NEW)

    def open_intent(self) -> None:
        key, off, cost = self.pick(JobState.NEW), self.dice.choice(OFF), self.dice.choice(COSTS)
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

    def pick(self, *states: JobState) -> str:
        """Mostly a job that is in one of *states*."""
        fit = [key for key, job in self.jobs.items() if job.state in states]
        return self.dice.choice(fit if fit and self.dice.random() < 0.9 else sorted(NEEDS))

    def change(
        self, name: str, *states: JobState, likely: tuple[JobState, ...] = (), **options: Any
    ) -> Model | None:
        """Do a compare-and-set; gives the model's job if it happened, which the ledger has to agree with."""
        key, off = self.pick(*(likely or states)), self.dice.choice(OFF)
        if key not in self.jobs:
            return None
        job = self.known(key, off, *states)
        happened = self.do(name, RUN, key, self.jobs[key].attempt + off, **options)
        assert happened is (job is not None)
        return job

    def accepted(self) -> None:
        if job := self.change("accepted", JobState.INTENT, **self.task()):
            job.state = JobState.RUNNING

    def adopt(self) -> None:
        if job := self.change(
            "adopt", JobState.INTENT, JobState.HELD, likely=(JobState.HELD,), **self.task()
        ):
            job.state = JobState.RUNNING

    def task(self) -> dict[str, Any]:
        self.tasks += 1
        return {"task_id": f"t{self.tasks}", "token": "x", "look_at": 0.0}

    def put_back(self) -> None:
        counts = self.dice.random() < 0.5
        if job := self.change("put_back", JobState.INTENT, error=ERROR, counts=counts):
            job.state, job.reserved = JobState.NEW, 0
            job.tries += counts

    def hold(self) -> None:
        if job := self.change("hold", JobState.INTENT, error=ERROR):
            job.state = JobState.HELD

    def fail(self) -> None:
        states = [state for state in JobState if not state.final]
        likely = (JobState.INTENT, JobState.RUNNING, JobState.READY, JobState.HELD)
        cost = self.dice.choice(TOLD)
        if job := self.change("fail", *states, likely=likely, error=ERROR, cost=cost):
            self.end(job, JobState.FAILED, cost, job.charged)
            self.failures += 1
            if job.key in PARTS:
                self.lose(job.key)

    def finish(self) -> None:
        state, cost = (
            self.dice.choice((JobState.INTENT, JobState.READY, JobState.READY)),
            self.dice.choice(TOLD),
        )
        if job := self.change("finish", state, result={}, cost=cost, from_states=[state]):
            self.end(job, JobState.DONE, cost, job.reserved + job.charged)
            self.failures = 0
            if job.key in PARTS:
                self.win(job.key)

    def settle(self) -> None:
        dice = self.dice
        seen = [
            (key, dice.choice(OFF), dice.choice(ENDS), dice.choice(TOLD))
            for key in (self.pick(JobState.RUNNING) for _ in range(3))
            if key in self.jobs
        ]
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
            self.end(job, state, cost, job.reserved)
            job.tries += state is JobState.NEW
            self.failures += state is JobState.FAILED
            ready += [key] if state is JobState.READY else []
            failed += [key] if state is JobState.FAILED and key in PARTS else []
        for key in failed:
            self.lose(key)
        assert self.do("settle", RUN, given) == ready

    def resend(self) -> None:
        names = [self.pick(JobState.HELD, JobState.FAILED) for _ in range(self.dice.randint(1, 3))]
        roots = dict.fromkeys(self._root(key) for key in names if key in self.jobs)
        chosen = [key for key in roots if self.jobs[key].state in (JobState.HELD, JobState.FAILED)]
        parts = [key for key in chosen if key in PARTS and self.jobs[key].state is JobState.FAILED]
        for key in chosen:
            job = self.jobs[key]
            waits = any(self.jobs[need].state is not JobState.DONE for need in NEEDS[key])
            self.spent += job.reserved if job.state is JobState.HELD else 0
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

    def abandon(self) -> None:
        names = [self.pick(JobState.HELD) for _ in range(self.dice.randint(1, 3))]
        chosen = [
            key for key in dict.fromkeys(names) if key in self.jobs and self.jobs[key].state is JobState.HELD
        ]
        for key in chosen:
            self.spent += self.jobs[key].reserved
            self.jobs[key].state, self.jobs[key].reserved = JobState.ABANDONED, 0
        for key in chosen:
            if key in PARTS:
                self.lose(key)
        assert self.do("abandon", RUN, names) == len(chosen)

    def cancel(self) -> None:
        names = [self.pick(JobState.NEW, JobState.BLOCKED) for _ in range(self.dice.randint(1, 3))]
        waiting = (JobState.BLOCKED, JobState.NEW)
        chosen = [key for key in dict.fromkeys(names) if key in self.jobs and self.jobs[key].state in waiting]
        for key in chosen:
            self.jobs[key].state = JobState.CANCELLED
        lost = sum(self.lose(key, JobState.CANCELLED) for key in chosen if key in PARTS)
        assert self.do("cancel", RUN, names) == len(chosen) + lost

    def stop(self) -> None:
        self.do("set_run_state", RUN, RunState.STOPPED, "why")
        self.run_state = RunState.STOPPED

    def open_again(self) -> None:
        self.do("open_run", RUN, self.settings)
        self.run_state, self.failures = RunState.ACTIVE, 0

    def process_ends(self) -> None:
        async def again() -> Ledger:
            return await self.reopen(self.ledger)

        self.ledger = self.runner.run(again())

    # -- what must always be so

    def agree(self) -> None:
        self.slots_money_and_states_agree()
        self.counts_agree()
        self.nothing_waits_for_what_will_not_come()

    def slots_money_and_states_agree(self) -> None:
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

    def counts_agree(self) -> None:
        counts = self.do("counts", RUN)
        for of, parts in ((counts.jobs, False), (counts.parts, True)):
            states = [job.state for key, job in self.jobs.items() if (key in PARTS) is parts]
            assert dict(of) == {state: states.count(state) for state in set(states)}

    def nothing_waits_for_what_will_not_come(self) -> None:
        for key, job in self.jobs.items():
            if job.state is JobState.BLOCKED:
                assert not any(self.jobs[need].state in LOST for need in NEEDS[key])


STEPS: list[tuple[Callable[[LedgerMachine], None], int]] = [
    (LedgerMachine.add, 2),
    (LedgerMachine.open_intent, 12),
    (LedgerMachine.accepted, 7),
    (LedgerMachine.settle, 6),
    (LedgerMachine.finish, 6),
    (LedgerMachine.put_back, 2),
    (LedgerMachine.hold, 3),
    (LedgerMachine.adopt, 2),
    (LedgerMachine.fail, 2),
    (LedgerMachine.resend, 3),
    (LedgerMachine.abandon, 1),
    (LedgerMachine.cancel, 1),
    (LedgerMachine.stop, 1),
    (LedgerMachine.open_again, 5),
    (LedgerMachine.process_ends, 1),
]
