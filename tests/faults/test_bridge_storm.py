"""Ctrl-C at random moments: the task has ended when the caller sees it, and the bridge is whole afterwards."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# A SIGALRM that raises KeyboardInterrupt at a random moment of each call, from its very first
# byte code on. A dead-lock is ended by faulthandler with the stacks of all threads.
STORM = """
import faulthandler; faulthandler.dump_traceback_later(60, exit=True)
import asyncio, contextlib, random, signal, sys, threading, time
from avatarkit._bridge import Lease
mode, calls, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
lease = Lease()

async def ok():
    return 1

async def tasks():
    await asyncio.sleep(0.05)  # a task whose call has ended is gone after the next round of the loop
    return len(asyncio.all_tasks())

def one(state):
    async def work():
        state[0] = 1
        try:
            await asyncio.sleep(0.001)
        finally:
            try:
                await asyncio.sleep(0)  # the clean-up awaits
            finally:
                state[1] = 1

    async def items():
        state[0] = 1
        try:
            for i in range(4):
                await asyncio.sleep(0.0003)
                yield i
        finally:
            try:
                await asyncio.sleep(0)  # the clean-up awaits
            finally:
                state[1] = 1

    @contextlib.asynccontextmanager
    async def manager():
        state[0] = 1
        try:
            await asyncio.sleep(0.0003)
            yield 1
        finally:
            try:
                await asyncio.sleep(0)  # the clean-up awaits
            finally:
                state[1] = 1

    async def progress(report):
        state[0] = 1
        try:
            for i in range(4):
                report(i)
                await asyncio.sleep(0.0003)
        finally:
            try:
                await asyncio.sleep(0)  # the clean-up awaits
            finally:
                state[1] = 1

    if mode == "run":
        lease.run(work)
    elif mode == "iterate":
        for _ in lease.iterate(items):
            pass
    elif mode == "enter":
        with lease.enter(manager):
            time.sleep(0.0005)
    else:
        lease.run(progress, lease.callback(lambda i: lease.run(ok)))

before = lease.run(tasks)
signal.signal(signal.SIGALRM, signal.default_int_handler)
interrupted = left = 0
other = []
for _ in range(calls):
    state, hit = [0, 0], False
    try:
        delay = random.choice([random.uniform(1e-6, 3e-4), random.uniform(1e-6, 3e-3)])
        signal.setitimer(signal.ITIMER_REAL, delay)
        try:
            one(state)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        hit = True
    except BaseException as exc:
        other.append(repr(exc))
    if hit:
        interrupted += 1
        left += state[0] != state[1]
assert not other, other[:5]
assert interrupted > calls // 10, interrupted
assert left == 0, f"{left} of {interrupted} tasks were still running when the caller saw Ctrl-C"
assert lease.run(ok) == 1
assert lease.run(tasks) == before, "tasks were left behind"
threads = [t for t in threading.enumerate() if t.name == "avatarkit-bridge"]
assert len(threads) == 1, threads
lease.close()
assert threading.active_count() == 1, threading.enumerate()
print("interrupted", interrupted)
"""


@pytest.mark.parametrize(
    ("mode", "calls"), [("run", 2000), ("iterate", 2000), ("enter", 2000), ("progress", 1000)]
)
def test_no_interrupt_leaves_a_task_or_locks_the_process(mode: str, calls: int) -> None:
    """Whenever Ctrl-C comes, the call's clean-up has run before the caller sees it; the next call works."""
    seed = os.environ.get("STORM_SEED", "7")
    done = subprocess.run(
        [sys.executable, "-c", STORM, mode, str(calls), seed],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr


CLOSE_STORM = """
import faulthandler; faulthandler.dump_traceback_later(60, exit=True)
import asyncio, random, signal, sys, threading
from avatarkit._bridge import Lease, shutdown
random.seed(int(sys.argv[1]))

async def ok():
    return 1

signal.signal(signal.SIGALRM, signal.default_int_handler)
interrupted = 0
for _ in range(1000):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 5e-4))
        try:
            lease = Lease(ok)
            lease.run(ok)
            lease.close()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupted += 1
assert interrupted > 100, interrupted
lease = Lease(ok)
assert lease.run(ok) == 1
lease.close()
shutdown()
print("interrupted", interrupted)
"""


def test_interrupts_while_the_bridge_starts_or_ends_do_not_lock_the_process() -> None:
    """Ctrl-C during the first call or during `close` leaves a process in which a new client works and exit is quick."""
    seed = os.environ.get("STORM_SEED", "7")
    done = subprocess.run(
        [sys.executable, "-c", CLOSE_STORM, seed], capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
