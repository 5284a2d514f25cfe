"""Three workers share a run in PostgreSQL, are killed and frozen, and the run ends as if nothing had been."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import avatarkit
from avatarkit.bulk.postgres import PostgresLedger
from avatarkit.bulk.records import Counts, JobState
from avatarkit.bulk.run import BulkOptions, BulkRun
from avatarkit.sandbox.faults import Fault, FaultKind

if TYPE_CHECKING:
    from postgres_server import Database

pytest_plugins = ("postgres_server",)

JOBS, KILLS, FREEZES, WORKERS = 600, 10, 3, 3
CAP, RATE = 30, 60.0
TOLD = 50.0  # the workers' --per-second: between them and the sandbox's count is a machine with more work than cores
FROZEN = 13.0
CHILD = Path(__file__).with_name("fleet_child.py")
IMAGE, SOUND = "https://example.com/face.jpg", "https://example.com/words.mp3"

# Every window is shorter than the 13 s of a freeze: lease, send window and time limit, heartbeats, hand-outs.
PATCH = {
    "avatarkit.bulk.doubts": {"_ABSENT_APART": 0.5},
    "avatarkit.bulk.gate": {"SEND_SECONDS": 3.0},
    "avatarkit.bulk.moves_submit": {"SLOT_WAIT": 0.2},
    "avatarkit.bulk.pgqueuer_engine": {"HEARTBEAT": 4.0, "_LOOK": 0.5},
    "avatarkit.bulk.procrastinate_engine": {"HEARTBEAT": 4.0, "_LOOK": 0.5},
    "avatarkit.providers.guiji.limits": {"SETTLE_SECONDS": 1.0},
    "avatarkit.providers.kling.client": {"_SETTLED": 1.0},
}
OPTIONS = {
    "submits": 8,
    "downloads": 4,
    "until_done": True,
    "tick": 0.3,
    "lease": 3.0,
    "patience": 3.0,
    "hand_new": 8.0,
    "hand_ready": 8.0,
    "reconcile": 0.5,
    "margin": 1.0,
    "backlog": 60,
}


def _hifly(box: avatarkit.Sandbox) -> dict[str, Any]:
    with avatarkit.HiFly(
        box.token, base_url=box.base_url("hifly"), polling=avatarkit.Polling(shortest=0.05, longest=0.2)
    ) as c:
        avatar = c.avatars.create_by_image(IMAGE).wait().id
        voice = c.voices.create(SOUND, title="v").wait().id
    return {"avatar": avatar, "voice": voice}


def _guiji(box: avatarkit.Sandbox) -> dict[str, Any]:
    with avatarkit.Guiji(box.token, box.secret, base_url=box.base_url("guiji")) as c:
        return {"avatar": c.avatars.list_public().items[0].id, "voice": c.voices.list_public().items[0].id}


SEMANTICS = {"hifly": _hifly, "guiji": _guiji}
SUBMISSION = {"hifly": "POST /api/v2/hifly/video/create_by_tts", "guiji": "simpleCreate"}


class Fleet:
    """A sandbox here, a database, and workers that come and go."""

    def __init__(
        self, box: avatarkit.Sandbox, database: Database, engine: str, provider: str, folder: Path
    ) -> None:
        self.box = box
        self.database = database
        self.out = folder / "videos"
        self.chance = random.Random(f"{engine}-{provider}")
        self.credentials = (box.token, box.secret) if provider == "guiji" else (box.token,)
        self.provider = provider
        self.request = SEMANTICS[provider](box)
        self.before = len(box.seen.tasks)
        self.requests_before = Counter(box.seen.requests)
        self.logs = folder / "log.txt"
        self.plan = {
            "provider": provider,
            "credentials": self.credentials,
            "base_url": box.base_url(provider),
            "dsn": database.dsn,
            "schema": database.schema,
            "engine": engine,
            "rate": TOLD,
            "patch": PATCH,
            "options": OPTIONS,
        }
        self.workers: list[subprocess.Popen[bytes]] = []

    async def feed(self) -> None:
        cls = getattr(avatarkit, {"hifly": "AsyncHiFly", "guiji": "AsyncGuiji"}[self.provider])
        jobs = [(f"job-{n:04d}", {**self.request, "text": f"{n}: Hello"}) for n in range(JOBS)]
        ledger = await PostgresLedger.open(self.database.dsn, schema=self.database.schema)
        options = BulkOptions(out=self.out, max_failures=0)
        client = cls(*self.credentials, base_url=self.box.base_url(self.provider), max_running=CAP)
        async with client, BulkRun(client, jobs, ledger, options) as run:
            assert await run.feed() == JOBS
        await ledger.aclose()

    def start(self, **more: Any) -> subprocess.Popen[bytes]:
        with self.logs.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, str(CHILD), json.dumps({**self.plan, **more})], stdout=log, stderr=log
            )
        self.workers.append(worker)
        return worker

    def alive(self) -> list[subprocess.Popen[bytes]]:
        """Workers that run and are not frozen."""
        return [w for w in self.workers if w.poll() is None and not is_frozen(w.pid)]

    def unfinished(self) -> bool:
        return any(worker.poll() is None for worker in self.workers)

    async def counts(self) -> Counts:
        ledger = await PostgresLedger.open(self.database.dsn, schema=self.database.schema, connections=1)
        try:
            return await ledger.counts("main")
        finally:
            await ledger.aclose()

    def end(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
                worker.send_signal(signal.SIGCONT)
            worker.wait(10)


def is_frozen(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


class Freezer(threading.Thread):
    """Thaws whatever is found frozen, 13 seconds later."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(daemon=True)
        self._fleet = fleet
        self._since: dict[int, float] = {}
        self.over = threading.Event()
        self.thawed = 0

    def run(self) -> None:
        while not self.over.wait(0.05):
            for worker in list(self._fleet.workers):
                if worker.poll() is None and is_frozen(worker.pid):
                    since = self._since.setdefault(worker.pid, time.monotonic())
                    if time.monotonic() - since >= FROZEN:
                        worker.send_signal(signal.SIGCONT)
                        self.thawed += 1
                        del self._since[worker.pid]


def ordeal(fleet: Fleet) -> tuple[int, int]:
    """Three workers; one freezes itself where it hurts, two are frozen at random; ten are killed and replaced."""
    fleet.start(freeze="open_intent", freeze_after=12)
    fleet.start()
    fleet.start()
    freezer = Freezer(fleet)
    freezer.start()
    begun = time.monotonic()
    while len(fleet.box.seen.tasks) < fleet.before + 20 and time.monotonic() - begun < 30:
        time.sleep(0.05)
    kills, deadline, at_random = 0, time.monotonic() + 120, [3, 6]
    try:
        while time.monotonic() < deadline and fleet.unfinished():
            time.sleep(fleet.chance.uniform(0.6, 1.8))
            if at_random and kills >= at_random[0] and len(running := fleet.alive()) > 1:
                at_random.pop(0)
                fleet.chance.choice(running).send_signal(signal.SIGSTOP)
                time.sleep(0.1)
            running = fleet.alive()
            if kills < KILLS and running:
                victim = fleet.chance.choice(running)
                victim.kill()
                victim.wait(10)
                kills += 1
                fleet.start()
    finally:
        freezer.over.set()
        freezer.join()
    return kills, freezer.thawed


@pytest.fixture
def database(postgres: Database) -> Iterator[Database]:
    """A schema of the tests' own, with those of the engines beside it."""
    yield postgres
    for engine in ("pgqueuer", "procrastinate"):
        postgres.run(f'drop schema if exists "{postgres.schema}_{engine}" cascade')


@pytest.mark.parametrize(
    ("engine", "provider"), [(e, p) for e in ("pgqueuer", "procrastinate") for p in SEMANTICS]
)
def test_kills_and_freezes_lose_nothing_and_pay_nothing_twice(
    engine: str, provider: str, database: Database, tmp_path: Path
) -> None:
    """600 jobs, 3 workers, 10 killed, 3 frozen beyond every window: each job ends once, inside the account's limits."""
    with avatarkit.Sandbox(render="tiny", queue_seconds=0.2, run_seconds=0.6, credits=1e7) as box:
        fleet = Fleet(box, database, engine, provider, tmp_path)
        slow = Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=0.1)
        box.faults.add(f"*{SUBMISSION[provider]}", slow, times=1_000_000)
        asyncio.run(fleet.feed())
        begun = time.monotonic()
        try:
            kills, thawed = ordeal(fleet)
        finally:
            fleet.end()
        counts = asyncio.run(fleet.counts())
        made = Counter(str(task["body"].get("text")) for task in list(box.seen.tasks)[fleet.before :])
        seen = box.seen
    done, held = counts.of(JobState.DONE), counts.of(JobState.HELD)
    print(
        f"{engine} {provider}: {time.monotonic() - begun:.0f} s, kills {kills}, freezes {thawed}, done {done},"
        f" held {held}, made {len(made)}, running {seen.peak_running}/{CAP}, rate {seen.peak_per_second}/{RATE:g},"
        f" requests {dict(seen.requests)}"
    )
    assert (kills, thawed) == (KILLS, FREEZES), fleet.logs.read_text()[-3000:]
    assert done + held == JOBS, (counts, fleet.logs.read_text()[-3000:])
    assert [what for what, times in made.items() if times > 1] == []
    assert done <= len(made) <= done + held
    assert held == 0 if provider != "hifly" else held <= KILLS * 8 + FREEZES * 8
    assert seen.peak_running <= CAP
    assert seen.peak_per_second <= RATE
    files = [path for path in fleet.out.iterdir() if path.suffix == ".mp4"]
    assert len(files) == done
    assert all(path.stat().st_size > 0 for path in files)
    assert not list(fleet.out.glob("*.part"))
    assert not any(psutil.pid_exists(worker.pid) for worker in fleet.workers)
