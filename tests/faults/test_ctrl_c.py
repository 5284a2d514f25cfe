"""Ctrl-C around the answer of a submission: what was made is returned, or handed to who keeps the books."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Interrupts aimed around the answer: at the moment it is there, and a random blink before or after it. Every
# thing made must end up in exactly one of two places: with the caller, or in `given_up`.
STORM = """
import faulthandler; faulthandler.dump_traceback_later(60, exit=True)
import asyncio, random, signal, sys, threading, time
from avatarkit._bridge import Blocking, Lease, wrap
mode, wanted, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
main = threading.main_thread().ident
lease = Lease()
made, kept, given_up = [], [], []

class AsyncThing:
    def __init__(self):
        made.append(self)

    def abandoned(self):
        given_up.append(self)

class Thing(Blocking):
    __slots__ = ()
    _twin_of = AsyncThing

class AsyncMaker:
    async def make(self, when):
        if when == "timer":
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 1.5e-4))
            return AsyncThing()
        await asyncio.sleep(0)
        thing = AsyncThing()
        if when == "now":
            signal.pthread_kill(main, signal.SIGALRM)
        elif when == "soon":
            asyncio.get_running_loop().call_soon(signal.pthread_kill, main, signal.SIGALRM)
        return [1, thing] if when == "list" else thing

class Maker(Blocking):
    __slots__ = ()
    _twin_of = AsyncMaker

    def make(self, when):
        return self._obtain(self._async.make, when)

maker = Maker._wrap(AsyncMaker(), lease)

async def ok():
    return 1

lease.run(ok)
signal.signal(signal.SIGALRM, signal.default_int_handler)
hits = 0
until = time.monotonic() + 20
while hits < wanted and time.monotonic() < until:
    when, thing, hit = random.choice(["now", "soon", "timer", "timer"]), None, False
    try:
        try:
            thing = maker.make(when) if mode == "twin" else lease.run(maker._async.make, when)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        hit = True
    hits += hit
    if thing is not None:
        kept.append(thing._async if mode == "twin" else thing)
assert hits >= wanted, hits
lease.run(ok)
kept_ids, gone = [id(t) for t in kept], [id(t) for t in given_up]
assert len(set(gone)) == len(gone), "given up more than once"
both = set(kept_ids) & set(gone)
lost = {id(t) for t in made} - set(kept_ids) - set(gone)
assert not both and not lost, f"{len(lost)} of {len(made)} lost, {len(both)} both kept and given up"
assert len(gone) > wanted // 10, len(gone)
lease.close()
print("interrupted", hits, "made", len(made), "given up", len(gone))
"""


@pytest.mark.parametrize("mode", ["plain", "twin"])
def test_no_interrupt_around_the_answer_loses_what_was_made(mode: str) -> None:
    """Of 1,000 interrupts none loses a made object: it is with the caller, or was `abandoned` exactly once."""
    seed = os.environ.get("STORM_SEED", "7")
    command = [sys.executable, "-c", STORM, mode, "1000", seed]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr


SUBMISSION = """
import faulthandler; faulthandler.dump_traceback_later(30, exit=True)
import signal
from avatarkit import HiFly, Sandbox
from avatarkit.events import SubmissionSettled
from avatarkit.providers.hifly.fake import public_id
with Sandbox(render="tiny") as sandbox:
    def press(event):
        if isinstance(event, SubmissionSettled):
            signal.raise_signal(signal.SIGINT)
    with HiFly(sandbox.token, base_url=sandbox.base_url(), hooks=press) as client:
        try:
            client.videos.create_by_tts(avatar=public_id("avatar", 1), voice=public_id("voice", 1), text="hello")
        except KeyboardInterrupt:
            print("interrupted")
        print(len(sandbox.tasks()), len(client.detached_submissions))
        print([bool(client.task(one.token).id) for one in client.detached_submissions])
"""


def test_ctrl_c_at_the_moment_of_acceptance_keeps_the_task() -> None:
    """The task the provider has accepted is among the detached submissions, with a token that works, and logged."""
    command = [sys.executable, "-c", SUBMISSION]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["interrupted", "1 1", "[True]"], done.stdout + done.stderr
    assert "with the token" in done.stderr


LEFT_OPEN = """
import faulthandler; faulthandler.dump_traceback_later(30, exit=True)
from avatarkit import Sandbox
sandbox = Sandbox(render="tiny")
sandbox.__enter__()
print(sandbox._async._store.folder)
"""


def test_a_sandbox_left_open_goes_silently_at_exit() -> None:
    """A blocking sandbox that nobody closed says nothing at interpreter exit, and its folder is gone."""
    command = [sys.executable, "-W", "error", "-c", LEFT_OPEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert not Path(done.stdout.strip()).exists()
