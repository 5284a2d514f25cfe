"""A bulk run is killed twenty times, and ends as if it had not been: nothing lost, nothing made twice."""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import avatarkit
from avatarkit.sandbox.faults import Fault, FaultKind

JOBS, KILLS, CAP = 600, 20, 40
CHILD = Path(__file__).with_name("bulk_child.py")
WHERE = ("", "", "open_intent", "accepted", "settle", "finish", "rename", "")

# The doubts of a run are looked up two minutes after they arose; here the vendor's list is right after a second.
PATCH = {
    "avatarkit.bulk.doubts": {"_ABSENT_APART": 0.3},
    "avatarkit.bulk.local": {"_RECONCILE_EVERY": 0.3},
    "avatarkit.bulk.gate": {"SEND_SECONDS": 1.0},
    "avatarkit.providers.guiji.limits": {"SETTLE_SECONDS": 1.0},
    "avatarkit.providers.kling.client": {"_SETTLED": 1.0},
}
IMAGE, SOUND = "https://example.com/face.jpg", "https://example.com/words.mp3"


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

    def start(self, kill: str, number: int) -> subprocess.Popen[str]:
        credentials = (self.box.token, self.box.secret) if self.provider == "guiji" else (self.box.token,)
        plan = {
            "provider": self.provider,
            "credentials": credentials,
            "base_url": self.box.base_url(self.provider),
            "journal": str(self.journal),
            "out": str(self.out),
            "jobs": JOBS,
            "cap": CAP,
            "request": self.request,
            "kill": kill,
            "seed": number,
            "patch": PATCH,
        }
        return subprocess.Popen(
            [sys.executable, str(CHILD), json.dumps(plan)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def killed(self, number: int) -> bool:
        """Start the run and have it die; False when it ended before its time had come."""
        child = self.start(WHERE[number % len(WHERE)], number)
        seen = len(self.box.seen.tasks)
        deadline = time.monotonic() + 30
        while child.poll() is None and len(self.box.seen.tasks) == seen and time.monotonic() < deadline:
            time.sleep(0.01)  # it is at work once it has made something
        try:
            child.wait(self.chance.uniform(0.02, 0.5))
        except subprocess.TimeoutExpired:
            child.kill()
        _, errors = child.communicate(timeout=30)
        assert child.returncode in (-9, 0), errors
        return child.returncode == -9

    def finished(self) -> dict[str, int]:
        child = self.start("", 0)
        out, errors = child.communicate(timeout=180)
        assert child.returncode == 0, errors
        counts: dict[str, int] = json.loads(out)
        return counts

    def made(self) -> Counter[str]:
        """How many videos the vendor was paid for, by what tells the jobs apart."""
        tasks = list(self.box.seen.tasks)[self.before :]
        return Counter(str(t["body"].get("prompt") or t["body"].get("text")) for t in tasks)


@pytest.mark.parametrize("provider", SEMANTICS)
def test_twenty_kills_lose_nothing_and_pay_nothing_twice(provider: str, tmp_path: Path) -> None:
    """600 jobs, killed 20 times at random moments, in submissions, commits and renames: each ends exactly once.

    Where the vendor can be asked (Guiji, Kling) all are done; where it cannot (HiFly) the doubtful ones are held, and
    counted.
    """
    with avatarkit.Sandbox(
        render="tiny", queue_seconds=0.05, run_seconds=0.2, credits=1e7, max_running=CAP
    ) as box:
        ordeal = Ordeal(box, provider, tmp_path)
        submission = {"hifly": "*create_by_tts", "guiji": "*simpleCreate", "kling": "POST *image2video"}[
            provider
        ]
        slow = Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=0.1)
        box.faults.add(submission, slow, times=1_000_000)
        kills = sum(ordeal.killed(number) for number in range(KILLS))
        counts = ordeal.finished()
        made = ordeal.made()
    held = counts.get("held", 0)
    print(provider, "kills", kills, counts, "made", len(made))
    assert kills >= KILLS - 2
    assert counts.get("done", 0) + held == JOBS, counts
    assert [what for what, times in made.items() if times > 1] == []
    assert len(made) >= counts["done"]
    assert len(made) <= counts["done"] + held
    assert held == 0 if provider != "hifly" else held <= KILLS * 24
    files = sorted(self_made(tmp_path / "videos"))
    assert len(files) == counts["done"]
    assert all(path.stat().st_size > 0 for path in files)
    assert not list((tmp_path / "videos").glob("*.part"))
    assert sqlite3.connect(tmp_path / "run.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def self_made(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix == ".mp4"]
