"""A bulk run is killed twenty times, and ends as if it had not been: nothing lost, nothing made twice."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import attrs
import pytest

import avatarkit
from avatarkit.protocol.fakewire import FakeFile
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.sandbox.files import made_up

JOBS, KILLS, CAP, SUBMITS = 600, 20, 24, 15
RATE, TOLD = (
    120.0,
    100.0,
)  # between what the client is told and the sandbox's count is a machine with much to do
BYTES = 4096  # of each video
CHILD = Path(__file__).with_name("bulk_child.py")
IMAGE, SOUND = "https://example.com/face.jpg", "https://example.com/words.mp3"

# Where a child kills itself, and at the how-manieth time at most; "": it is killed from outside at any moment.
TRAPS = {"open_intent": 12, "accepted": 12, "settle": 3, "finish": 12, "rename": 24, "": 0}
WHERE = ("", "open_intent", "accepted", "", "settle", "finish", "rename")

# The doubts of a run are looked up two minutes after they arose; here the vendor's list is right after a second.
PATCH = {
    "avatarkit.bulk.doubts": {"_ABSENT_APART": 0.3},
    "avatarkit.bulk.local": {"_RECONCILE_EVERY": 0.3},
    "avatarkit.bulk.gate": {"SEND_SECONDS": 1.0},
    "avatarkit.providers.guiji.limits": {"SETTLE_SECONDS": 1.0},
    "avatarkit.providers.kling.client": {"_SETTLED": 1.0},
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


@attrs.frozen
class Row:
    """What the journal says of a job in the end."""

    key: str
    state: str
    task_id: str
    file: str


class Ordeal:
    """A sandbox here, and processes that work on one journal there."""

    def __init__(self, box: avatarkit.Sandbox, provider: str, folder: Path) -> None:
        self.box = box
        self.provider = provider
        self.journal = folder / "run.db"
        self.out = folder / "videos"
        self.request = SEMANTICS[provider](box)
        self.before = len(box.seen.tasks)
        self.chance = random.Random(f"{provider}-7")
        self.trapped: Counter[str] = Counter()

    def start(self, kill: str) -> subprocess.Popen[str]:
        plan = {
            "provider": self.provider,
            "credentials": (self.box.token, self.box.secret)
            if self.provider == "guiji"
            else (self.box.token,),
            "base_url": self.box.base_url(self.provider),
            "journal": str(self.journal),
            "out": str(self.out),
            "jobs": JOBS,
            "words": WORDS[self.provider],
            "cap": CAP,
            "rate": TOLD,
            "submits": SUBMITS,
            "request": self.request,
            "kill": kill,
            "left": self.chance.randint(1, TRAPS[kill] or 1),
            "before": self.chance.random() < 0.5,
            "patch": PATCH,
        }
        return subprocess.Popen(
            [sys.executable, str(CHILD), json.dumps(plan)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def killed(self, number: int) -> None:
        """Start the run and have it die: in its trap, or else at a random moment when it is at work."""
        where = WHERE[number % len(WHERE)]
        child = self.start(where)
        seen, deadline = len(self.box.seen.tasks), time.monotonic() + 30
        while child.poll() is None and len(self.box.seen.tasks) == seen and time.monotonic() < deadline:
            time.sleep(0.01)  # it is at work once it has made something
        try:
            child.wait(3.0 if where else self.chance.uniform(0.0, 0.3))
            self.trapped[where] += 1
        except subprocess.TimeoutExpired:
            child.kill()
        _, errors = child.communicate(timeout=30)
        assert child.returncode == -9, f"kill {number} {where}: {child.returncode} {errors}"

    def finished(self) -> dict[str, int]:
        child = self.start("")
        out, errors = child.communicate(timeout=120)
        assert child.returncode == 0, errors
        counts: dict[str, int] = json.loads(out)
        return counts

    def made(self) -> list[tuple[str, str]]:
        """The key and the task of each video that the vendor was paid for."""
        tasks = list(self.box.seen.tasks)[self.before :]
        return [(str(task["body"].get(WORDS[self.provider])), task["id"]) for task in tasks]

    def rows(self) -> list[Row]:
        database = sqlite3.connect(self.journal)
        try:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            found = database.execute("SELECT key, state, task_id, result FROM jobs")
            return [Row(*row[:3], json.loads(row[3]).get("file", "")) for row in found]
        finally:
            database.close()

    def slots(self) -> int:
        """How many slots the journal takes for occupied."""
        database = sqlite3.connect(self.journal)
        try:
            return int(database.execute("SELECT sum(running) FROM accounts").fetchone()[0])
        finally:
            database.close()

    def video(self, task_id: str) -> bytes:
        """What the sandbox made for a task."""
        name = hashlib.sha256(f"result {self.provider} {task_id}".encode()).hexdigest()[:32]
        file = FakeFile(id=name, provider="", account="", extension="mp4", content_type="", size=BYTES)
        return made_up(file, 0, BYTES)


@pytest.mark.parametrize("provider", SEMANTICS)
def test_twenty_kills_lose_nothing_and_pay_nothing_twice(provider: str, tmp_path: Path) -> None:
    """600 jobs, killed 20 times at random moments, in submissions, commits and renames: each ends exactly once.

    Where the vendor can be asked (Guiji, Kling) all are done. Where it cannot (HiFly) the doubtful ones are held, and
    counted: a kill leaves no more in doubt than submissions were under way, 15 at most, which makes 300 after 20 kills.
    The sandbox itself refuses nothing, so that its counts show whether cap and rate were kept.
    """
    begun = time.monotonic()
    with avatarkit.Sandbox(
        render="tiny", result_bytes=BYTES, queue_seconds=0.05, run_seconds=0.2, credits=1e7
    ) as box:
        ordeal = Ordeal(box, provider, tmp_path)
        slow = Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=0.1)
        box.faults.add(SUBMISSION[provider], slow, times=1_000_000)
        for number in range(KILLS):
            ordeal.killed(number)
        killed_at = len(ordeal.made())
        counts = ordeal.finished()
        judge(
            ordeal, counts, f"{provider} {time.monotonic() - begun:.0f} s, made {killed_at} when killed last"
        )


def judge(ordeal: Ordeal, counts: dict[str, int], what: str) -> None:
    """Each job ended once, was paid for once and has its own video; the account's limits were kept."""
    rows, made, seen = ordeal.rows(), ordeal.made(), ordeal.box.seen
    done = {row.key: row.task_id for row in rows if row.state == "done"}
    held = {row.key for row in rows if row.state == "held"}
    told = (
        f"{what}, {dict(Counter(row.state for row in rows))}, {len(made)} in the end, trapped {dict(ordeal.trapped)},"
        f" running {seen.peak_running}/{CAP}, rate {seen.peak_per_second}/{RATE:g}, requests {dict(seen.requests)}"
    )
    print(told)
    assert ordeal.trapped.total() >= KILLS // 3, told
    assert len(rows) == len({row.key for row in rows}) == len(done) + len(held) == JOBS, told
    assert counts == {state: many for state, many in (("done", len(done)), ("held", len(held))) if many}, told
    assert [key for key, times in Counter(key for key, _ in made).items() if times > 1] == [], told
    assert {key: task for key, task in made if key not in held} == done, told
    assert len(held) <= (KILLS * SUBMITS if ordeal.provider == "hifly" else 0), told
    assert ordeal.slots() == 0, told
    assert seen.peak_running <= CAP, told
    assert seen.peak_per_second <= RATE, told
    # Beside the videos there may be notes of a process that was killed between a job's end and removing its own.
    files = {row.key: row.file for row in rows if row.state == "done"}
    # With the folder of claims, in which killed processes left some: a run that is over drops them.
    assert {path.name for path in ordeal.out.iterdir()} == set(files.values()), told
    assert files == {key: f"{key}.mp4" for key in files}, told
    wrong = [k for k, task in done.items() if (ordeal.out / files[k]).read_bytes() != ordeal.video(task)]
    assert wrong == [], told
