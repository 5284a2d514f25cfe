"""The bridge: one background event loop that every blocking client of the process runs on.

A blocking class holds its async original and a `Lease`. Each of its methods is one call on
the lease: `Lease.run` for a coroutine, `Lease.iterate` for an async iterator, `Lease.enter`
for an async context manager. The loop runs in a daemon thread that the first call starts
and the last `Lease.close` ends.

What holds, whatever happens to the caller (`tests/faults/test_bridge_*.py` try to break it):

1. A caller waits on the *state* of its call; the queue is only a bell. An interrupt may
   swallow a ring, so whoever aborts a call rings again.
2. An exception in the waiting caller (Ctrl-C is one) cancels the call's task and waits for
   the task's own clean-up before it goes on. A second Ctrl-C gives up that wait.
3. Code on the loop takes no Python lock that a caller can hold: an interrupted caller may
   never let it go, and the loop would stop for everybody. Hence no futures from
   `concurrent`, no events; `queue.SimpleQueue` and sets are atomic without one.
4. Iterators and context managers live in one task each, so that task groups, time-outs and
   cancel scopes inside them stay legal.
5. Functions a user passes in run in that user's own blocked thread: they may print, raise,
   and call the client again.
6. After a fork the child has no loop thread. Clients that were in use say so, new ones work.
7. What a call made reaches the caller, or its method ``abandoned`` is called, once: Ctrl-C
   at the moment of the answer loses no task that is paid for.
8. At exit the clients still open are closed first, then the loop, and no thread is started.

`call` is one task and its bell, `loop` the thread, `process` the one bridge per process,
`lease` what clients hold, `naming` which task a refused call was about, `twins` the base of the generated classes.
"""

from __future__ import annotations

from avatarkit._bridge.lease import Lease
from avatarkit._bridge.process import shutdown, use_loop_factory
from avatarkit._bridge.twins import Blocking, unwrap, wrap, wrapping

__all__ = ["Blocking", "Lease", "shutdown", "unwrap", "use_loop_factory", "wrap", "wrapping"]
