"""Three workers share a run in PostgreSQL, are killed and frozen, and the run ends as if nothing had been."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import psutil
import pytest

import avatarkit
from avatarkit.bulk.options import BulkOptions
from avatarkit.bulk.output_places import NOTES
from avatarkit.bulk.postgres import PostgresLedger
from avatarkit.bulk.run import BulkRun
from avatarkit.protocol.fakewire import FakeFile
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.sandbox.files import made_up

if TYPE_CHECKING:
    from postgres_server import Database

pytest_plugins = ("postgres_server",)

JOBS, KILLS, FREEZES = 600, 10, 3
ENGINES = ("pgqueuer", "procrastinate")
CAP, RATE, SUBMITS = 30, 60.0, 8
TOLD = 50.0  # the workers' --per-second: between them and the sandbox's count is a machine with more work than cores
FROZEN, LONGEST = 13.0, 240.0
BYTES = 4096  # of each video
CHILD = Path(__file__).with_name("fleet_child.py")
IMAGE, SOUND = "https://example.com/face.jpg", "https://example.com/words.mp3"

# Every window is much shorter than the 13 s of a freeze: lease, send window and time limit, heartbeats, hand-outs; the
# database's own is, too, after which it ends what a frozen worker has locked. So the others have gone on for long when
# it goes on.
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
    "submits": SUBMITS,
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


def _kling(_: avatarkit.Sandbox) -> dict[str, Any]:
    return {"image": IMAGE, "audio": SOUND}


SEMANTICS = {"hifly": _hifly, "guiji": _guiji, "kling": _kling}
SUBMISSION = {"hifly": "POST *create_by_tts", "guiji": "POST *simpleCreate", "kling": "POST *image2video"}
WORDS = {"hifly": "text", "guiji": "text", "kling": "prompt"}  # what tells a task's job

# The first two workers freeze where it hurts: with an intent that was not sent yet, and with a task that was accepted
# and is not written down. The third freeze comes at a random moment.
TRAPS = (
    {"name": "open_intent", "calls": 12, "before": False},
    {"name": "accepted", "calls": 12, "before": True},
    None,
)


@attrs.frozen
class Row:
    """What the ledger says of a job in the end."""

    key: str
    state: str
    task_id: str
    attempt: int


class Fleet:
    """A sandbox here, a database, and workers that come and go."""

    def __init__(
        self, box: avatarkit.Sandbox, database: Database, engine: str, provider: str, folder: Path
    ) -> None:
        self.box = box
        self.database = database
        self.engine = engine
        self.provider = provider
        self.out = folder / "videos"
        self.chance = random.Random(f"{engine}-{provider}")
        self.credentials = (box.token, box.secret) if provider == "guiji" else (box.token,)
        self.request = SEMANTICS[provider](box)
        self.before = len(box.seen.tasks)
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
        cls = avatarkit.providers.client_class(self.provider)
        words = WORDS[self.provider]
        jobs = [(f"job-{n:04d}", {**self.request, words: f"job-{n:04d}"}) for n in range(JOBS)]
        ledger = await PostgresLedger.open(self.database.dsn, schema=self.database.schema)
        options = BulkOptions(out=self.out, max_failures=0)
        client = cls(*self.credentials, base_url=self.box.base_url(self.provider), max_running=CAP)
        async with client, BulkRun(client, jobs, ledger, options) as run:
            assert await run.feed() == JOBS
        await ledger.aclose()

    def start(self, trap: dict[str, Any] | None = None) -> subprocess.Popen[bytes]:
        with self.logs.open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, str(CHILD), json.dumps({**self.plan, "freeze": trap})],
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    def alive(self) -> list[subprocess.Popen[bytes]]:
        """Workers that run and are not frozen."""
        return [w for w in self.workers if w.poll() is None and not is_frozen(w.pid)]

    def unfinished(self) -> bool:
        return any(worker.poll() is None for worker in self.workers)

    def submitted(self) -> int:
        """How many videos the vendor was paid for."""
        return len(self.box.seen.tasks) - self.before

    def made(self) -> list[tuple[str, str]]:
        """The key and the task of each video that the vendor was paid for."""
        tasks = list(self.box.seen.tasks)[self.before :]
        return [(str(task["body"].get(WORDS[self.provider])), task["id"]) for task in tasks]

    def rows(self, where: str = "true") -> list[Row]:
        found = self.database.run(
            f'select key, state, task_id, attempt from "{self.database.schema}".jobs where {where}'
        )
        return [Row(*row) for row in found]

    def slots(self) -> int:
        """How many slots the ledger takes for occupied."""
        return int(self.database.run(f'select sum(running) from "{self.database.schema}".accounts')[0][0])

    def left_by(self, pid: int) -> list[Row]:
        """What a worker that is dead now had sent, or was about to send: nobody else knows."""
        return self.rows(f"state = 'intent' and owner like '%:{pid}:%'")

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
        self.thawed: list[int] = []

    def run(self) -> None:
        while not self.over.wait(0.05):
            for worker in list(self._fleet.workers):
                if worker.poll() is None and is_frozen(worker.pid):
                    since = self._since.setdefault(worker.pid, time.monotonic())
                    if time.monotonic() - since >= FROZEN:
                        worker.send_signal(signal.SIGCONT)
                        self.thawed.append(worker.pid)
                        del self._since[worker.pid]

    def met(self, worker: subprocess.Popen[bytes]) -> bool:
        """Whether this one has been frozen."""
        return worker.pid in self._since or worker.pid in self.thawed


@attrs.frozen
class Ordeal:
    """What a fleet went through."""

    kills: int
    freezes: int
    seconds: float
    doubts: list[Row]


def ordeal(fleet: Fleet) -> Ordeal:
    """Three workers; two freeze themselves where it hurts, one is frozen; ten are killed and replaced."""
    begun = time.monotonic()
    trapped = [worker for trap in TRAPS if (worker := fleet.start(trap)) and trap]
    freezer = Freezer(fleet)
    freezer.start()
    # At random moments of the run, however fast the machine is.
    moments = sorted(fleet.chance.sample(range(20, JOBS - 120), KILLS))
    freeze_at: int | None = fleet.chance.randrange(100, JOBS // 2)
    kills, doubts = 0, list[Row]()
    try:
        while time.monotonic() - begun < LONGEST and fleet.unfinished():
            time.sleep(0.05)
            running = [w for w in fleet.alive() if w not in trapped or freezer.met(w)]
            if freeze_at is not None and fleet.submitted() >= freeze_at and len(running) > 1:
                freeze_at = None
                frozen = fleet.chance.choice(running)
                frozen.send_signal(signal.SIGSTOP)
                running.remove(frozen)
            if kills < KILLS and fleet.submitted() >= moments[kills] and running:
                victim = fleet.chance.choice(running)
                victim.kill()
                victim.wait(10)
                kills += 1
                fleet.start()
                doubts += fleet.left_by(victim.pid)
    finally:
        freezer.over.set()
        freezer.join()
    return Ordeal(kills, len(freezer.thawed), time.monotonic() - begun, doubts)


def suffer(database: Database, engine: str, provider: str, folder: Path) -> None:
    """One ordeal, and what must hold after it."""
    folder.mkdir()
    with avatarkit.Sandbox(
        render="tiny", result_bytes=BYTES, queue_seconds=0.2, run_seconds=0.6, credits=1e7
    ) as box:
        fleet = Fleet(box, database, engine, provider, folder)
        slow = Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=0.1)
        box.faults.add(SUBMISSION[provider], slow, times=1_000_000)
        asyncio.run(fleet.feed())
        try:
            suffered = ordeal(fleet)
        finally:
            fleet.end()
        judge(fleet, suffered)


def judge(fleet: Fleet, suffered: Ordeal) -> None:
    """Each job ended once, was paid for once and has its file; the account's limits were kept."""
    rows, made, seen = fleet.rows(), fleet.made(), fleet.box.seen
    states = Counter(row.state for row in rows)
    done = {row.key: row.task_id for row in rows if row.state == "done"}
    held = {row.key for row in rows if row.state == "held"}
    attempts = {row.key: row.attempt for row in rows}
    # The submission that a killed worker left behind was accepted, and was found again.
    found = [row.key for row in suffered.doubts if row.key in done and attempts[row.key] == row.attempt]
    what = (
        f"{fleet.engine} {fleet.provider}: {suffered.seconds:.0f} s, kills {suffered.kills}, freezes"
        f" {suffered.freezes}, in doubt {len(suffered.doubts)}, found {len(found)}, {dict(states)},"
        f" made {len(made)}, running {seen.peak_running}/{CAP}, rate {seen.peak_per_second}/{RATE:g},"
        f" requests {dict(seen.requests)}"
    )
    print(what)
    told = f"{what}\n{fleet.logs.read_text()[-3000:]}"
    assert (suffered.kills, suffered.freezes) == (KILLS, FREEZES), told
    assert len(rows) == len({row.key for row in rows}) == len(done) + len(held) == JOBS, told
    assert [key for key, times in Counter(key for key, _ in made).items() if times > 1] == [], told
    assert {key: task for key, task in made if key not in held} == done, told
    assert len(held) <= ((KILLS + FREEZES) * SUBMITS if fleet.provider == "hifly" else 0), told
    assert fleet.slots() == 0, told
    assert suffered.doubts, told
    assert found or fleet.provider == "hifly", told
    assert seen.faults[FaultKind.SLOW_FIRST_BYTE] >= len(done), told
    assert seen.peak_running <= CAP, told
    assert seen.peak_per_second <= RATE, told
    # Beside the videos there may be notes of a worker that was killed between a job's end and removing its own.
    left = {path.name for path in fleet.out.iterdir()} - {NOTES}
    assert left == {f"{key}.mp4" for key in done}, told
    assert len({whole(fleet.out / f"{key}.mp4") for key in done}) == len(done), told
    assert not any(psutil.pid_exists(worker.pid) for worker in fleet.workers), told


def whole(path: Path) -> bytes:
    """What a file that the sandbox served holds, after seeing that nothing of it is missing or another's."""
    data = path.read_bytes()
    name = data[32:64].decode()
    file = FakeFile(id=name, provider="", account="", extension="mp4", content_type="", size=BYTES)
    assert data == made_up(file, 0, BYTES), path
    return hashlib.sha256(data).digest()


@pytest.fixture
def databases(postgres: Database) -> Iterator[dict[str, Database]]:
    """A schema for each engine's ledger; the engine keeps its own tables in another beside it."""
    found = {engine: attrs.evolve(postgres, schema=f"{postgres.schema}_of_{engine}") for engine in ENGINES}
    yield found
    for engine, database in found.items():
        attrs.evolve(database, schema=f"{database.schema}_{engine}").drop()
        database.drop()


@pytest.mark.parametrize("provider", SEMANTICS)
def test_kills_and_freezes_lose_nothing_and_pay_nothing_twice(
    provider: str, databases: dict[str, Database], tmp_path: Path
) -> None:
    """600 jobs, 3 workers, 10 killed, 3 frozen beyond every window: each job ends once, inside the account's limits.

    PgQueuer's fleet and Procrastinate's suffer at the same time, each with a vendor and a database of its own: mostly
    they wait.
    """
    with ThreadPoolExecutor(len(databases)) as pool:
        fleets = [
            pool.submit(suffer, database, engine, provider, tmp_path / engine)
            for engine, database in databases.items()
        ]
    for fleet in fleets:
        fleet.result()
