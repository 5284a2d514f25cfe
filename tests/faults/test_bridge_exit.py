"""The end of the program: it comes at once, quietly, and after the clients were closed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from avatarkit._bridge import process
from avatarkit.settings import Timeouts

PRELUDE = """
import faulthandler; faulthandler.dump_traceback_later(30, exit=True)
import asyncio, atexit, os, sys, threading, time
from avatarkit._bridge import Lease
from avatarkit.errors import BridgeError, ClientClosed

def say(*words):
    print(*words, flush=True)

async def ok():
    return 1

async def work_until_cancelled(started=None):
    if started is not None:
        started.release()
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        say("clean-up")

async def closer():
    await asyncio.sleep(0)
    say("closed")

lease = Lease(closer)
"""


def run(script: str, *, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PRELUDE + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("keep", ["lease", "holder = [lease]; lease = None", "sys.kept = lease"])
def test_a_client_left_open_is_closed_at_exit(keep: str) -> None:
    """Without `close` the program still ends, the client's closer runs, and nothing is printed about it."""
    done = run(f"lease.run(ok)\n{keep}\n")
    assert done.stdout.split() == ["closed"]
    assert done.stderr == ""


def test_a_client_never_used_starts_nothing_at_exit() -> None:
    """A client that made no call has nothing to close."""
    done = run("")
    assert (done.stdout, done.stderr) == ("", "")


def test_clients_are_closed_before_background_tasks_are_cancelled() -> None:
    """The order at exit: clients first, while their tasks still run, then the rest of the loop."""
    done = run("""
async def background():
    try:
        await asyncio.Event().wait()
    finally:
        say("background ended")
async def start():
    sys.kept = asyncio.create_task(background())
lease.run(start)
""")
    assert done.stdout.splitlines() == ["closed", "background ended"]
    assert done.stderr == ""


def test_exit_during_a_call_of_a_daemon_thread() -> None:
    """The call is cancelled and cleaned up, its thread is told, and the program ends."""
    done = run("""
started, told = threading.Semaphore(0), threading.Semaphore(0)
def call():
    try:
        lease.run(work_until_cancelled, started)
    except ClientClosed:
        say("told")
        told.release()
async def closer_that_waits():
    while not told.acquire(blocking=False):
        await asyncio.sleep(0.001)
    say("closed")
lease.close_with(closer_that_waits)
threading.Thread(target=call, daemon=True).start()
started.acquire()
""")
    assert done.stdout.splitlines() == ["clean-up", "told", "closed"]
    assert done.stderr == ""


def test_exit_waits_for_a_call_of_a_normal_thread() -> None:
    """A thread that is no daemon finishes its call before the client is closed."""
    done = run("""
async def work():
    started.release()
    await asyncio.sleep(0.05)
    say("finished")
started = threading.Semaphore(0)
threading.Thread(target=lambda: lease.run(work)).start()
started.acquire()
""")
    assert done.stdout.splitlines() == ["finished", "closed"]
    assert done.stderr == ""


@pytest.mark.parametrize("where", ["coroutine", "callback", "iterator", "block"])
def test_sys_exit_inside_a_call_ends_the_program(where: str) -> None:
    """`sys.exit` in the coroutine, a callback, a loop body or a block ends the program with its code."""
    script = {
        "coroutine": """
async def leave():
    sys.exit(3)
lease.run(leave)
""",
        "callback": """
async def work(progress):
    try:
        progress()
        await asyncio.Event().wait()
    finally:
        say("clean-up")
lease.run(work, lease.callback(lambda: sys.exit(3)))
""",
        "iterator": """
async def items():
    try:
        yield 1
    finally:
        say("clean-up")
for _ in lease.iterate(items):
    sys.exit(3)
""",
        "block": """
import contextlib
@contextlib.asynccontextmanager
async def manager():
    try:
        yield
    finally:
        say("clean-up")
with lease.enter(manager):
    sys.exit(3)
""",
    }[where]
    done = run(script, code=3)
    assert done.stdout.split() == ["clean-up"] * (where != "coroutine") + ["closed"]
    assert done.stderr == ""


def test_a_client_may_be_used_in_an_exit_hook() -> None:
    """Hooks registered by the program run before the bridge's own: they can still call and close."""
    done = run("""
atexit.register(lambda: say("hook", lease.run(ok)))
lease.run(ok)
""")
    assert done.stdout.splitlines() == ["hook 1", "closed"]
    assert done.stderr == ""


def test_closing_at_exit_needs_no_new_thread() -> None:
    """A loop whose executor was used ends at exit too, where Python starts no threads any more."""
    done = run("""
async def read():
    return await asyncio.to_thread(ok.__class__.__name__.upper)
assert lease.run(read) == "FUNCTION"
""")
    assert done.stdout.split() == ["closed"]
    assert done.stderr == ""


def test_a_closer_that_hangs_does_not_keep_the_program() -> None:
    """After the grace of `shutdown` the program ends, whatever the closer does."""
    done = run("""
from avatarkit._bridge import process
shutdown = process.shutdown
atexit.unregister(shutdown)
atexit.register(shutdown, 0.05)
async def never():
    say("closing")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("ignored")
lease.close_with(never)
lease.run(ok)
""")
    assert done.stdout.split() == ["closing", "ignored"]


def test_a_closer_that_fails_at_exit_is_reported() -> None:
    """Its error goes to the loop's exception handler, and the other clients are closed all the same."""
    done = run("""
async def fail():
    raise OSError("cannot close")
other = Lease(fail)
other.run(ok)
lease.run(ok)
""")
    assert done.stdout.split() == ["closed"]
    assert "avatarkit: closing a client failed" in done.stderr
    assert "cannot close" in done.stderr


def test_blocking_clients_do_not_mind_the_programs_own_loops() -> None:
    """One client serves before, inside (with a warning) and after several `asyncio.run`."""
    done = run("""
import warnings
warnings.simplefilter("ignore", RuntimeWarning)
async def main():
    return lease.run(ok) + await ok()
assert lease.run(ok) == 1
assert asyncio.run(main()) == 2
assert asyncio.run(main()) == 2
assert lease.run(ok) == 1
""")
    assert done.stdout.split() == ["closed"]
    assert done.stderr == ""


def test_ctrl_c_in_the_main_thread_ends_a_program_in_a_call() -> None:
    """SIGINT during a call: clean-up, close, and the usual traceback; not a hang."""
    done = run(
        """
import signal
main = threading.main_thread().ident
async def work():
    signal.pthread_kill(main, signal.SIGINT)
    await work_until_cancelled()
lease.run(work)
""",
        code=-2,
    )
    assert done.stdout.splitlines() == ["clean-up", "closed"]
    assert "KeyboardInterrupt" in done.stderr


def test_exit_waits_as_long_as_a_submission_may_take() -> None:
    """A program that ends during a submission does not leave a doubt where an answer was still to come."""
    assert Timeouts().submit <= process.EXIT_GRACE


def test_ctrl_c_ends_the_wait_at_exit() -> None:
    """SIGINT while a closer hangs at exit: what still runs is cancelled, and the program ends at once."""
    done = run("""
import signal
main = threading.main_thread().ident
async def never():
    try:
        signal.pthread_kill(main, signal.SIGINT)
        await asyncio.Event().wait()
    finally:
        say("cancelled")
lease.close_with(never)
lease.run(ok)
""")
    assert done.stdout.split() == ["cancelled"]
