"""Forks: clients that were in use say so in the child, new ones work, and the parent notices nothing."""

from __future__ import annotations

import subprocess
import sys

PRELUDE = """
import asyncio, contextlib, gc, os, signal, sys, threading, warnings
signal.alarm(30)  # ends a process that hangs; faulthandler's own timer would itself hang in a child
# os.fork() in a process with threads warns from Python 3.12 on: that is the case under test.
warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*fork.*")
from avatarkit._bridge import Lease
from avatarkit.errors import ForkedClient

closed = []

class Client:
    async def aclose(self):
        closed.append(os.getpid())

async def ok():
    return os.getpid()

async def count():
    for i in range(3):
        yield i

@contextlib.asynccontextmanager
async def manager():
    yield 1

def in_child(check):
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            check()
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
            code = 1
        sys.stderr.flush()
        os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status

client = Client()
lease = Lease(client.aclose)
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_an_inherited_client_says_what_to_do() -> None:
    """Every kind of call in the child raises ForkedClient, which says to make a new client; none hangs."""
    run("""
lease.run(ok)
def check():
    for call in (lambda: lease.run(ok), lambda: next(lease.iterate(count)), lambda: lease.enter(manager).__enter__()):
        try:
            call()
        except ForkedClient as exc:
            assert "make a new client in the child" in str(exc)
        else:
            raise AssertionError("no error")
in_child(check)
assert lease.run(ok) == os.getpid()
lease.close()
""")


def test_a_new_client_works_in_the_child() -> None:
    """The child gets a bridge of its own, and so does its child; closing it leaves the parent's alone."""
    run("""
lease.run(ok)
def check():
    new = Lease()
    assert new.run(ok) == os.getpid()
    assert list(new.iterate(count)) == [0, 1, 2]
    if len(sys.argv) == 1:
        sys.argv.append("grandchild")
        in_child(check)
        assert new.run(ok) == os.getpid()
    new.close()
    assert threading.active_count() == 1
in_child(check)
assert lease.run(ok) == os.getpid()
assert list(lease.iterate(count)) == [0, 1, 2]
lease.close()
""")


def test_a_client_not_yet_used_works_in_the_child() -> None:
    """A client made before the fork and first used after it is the child's own: pre-forking servers may do so."""
    run("""
def check():
    assert lease.run(ok) == os.getpid()
    lease.close()
    assert closed == [os.getpid()]
in_child(check)
assert lease.run(ok) == os.getpid()
lease.close()
assert closed == [os.getpid()]
""")


def test_closing_or_forgetting_an_inherited_client_is_harmless() -> None:
    """In the child `close` does nothing, garbage collection neither; the parent's client is not closed by it."""
    run("""
lease.run(ok)
def check():
    global lease
    lease.close()
    lease.close()
    del lease
    gc.collect()
    assert closed == []
in_child(check)
assert closed == []
assert lease.run(ok) == os.getpid()
lease.close()
assert closed == [os.getpid()]
""")


def test_what_is_half_done_at_the_fork_can_be_left_in_the_child() -> None:
    """An iterator and a context manager that were open at the fork end in the child without a hang."""
    run("""
def check():
    global items
    try:
        next(items)
    except ForkedClient:
        pass
    else:
        raise AssertionError("no error")
    del items
    gc.collect()
    try:
        entered.__exit__(None, None, None)
    except ForkedClient:
        pass
    else:
        raise AssertionError("no error")
items = lease.iterate(count)
assert next(items) == 0
entered = lease.enter(manager)
entered.__enter__()
in_child(check)
assert list(items) == [1, 2]
entered.__exit__(None, None, None)
lease.close()
""")


def test_a_fork_while_other_threads_call_leaves_no_lock_behind() -> None:
    """Children forked while threads open, use and close clients can all make clients of their own."""
    run("""
stop = False
def work():
    while not stop:
        mine = Lease()
        mine.run(ok)
        mine.close()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
def check():
    mine = Lease()
    assert mine.run(ok) == os.getpid()
    mine.close()
for _ in range(25):
    in_child(check)
stop = True
for thread in threads:
    thread.join()
""")


def test_a_child_that_ends_normally_closes_only_its_own_clients() -> None:
    """At the child's exit the inherited client is left alone, the child's own one is closed."""
    done = run("""
lease.run(ok)
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    signal.alarm(20)
    async def report():
        print("child closed its own", flush=True)
    mine = Lease(report)
    mine.run(ok)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert lease.run(ok) == os.getpid()
lease.close()
print("parent closed", closed == [os.getpid()], flush=True)
""")
    assert done.stdout.splitlines() == ["child closed its own", "parent closed True"]
