"""The one bridge of the process: made by the first call, ended by the last close, lost in a fork."""

from __future__ import annotations

import atexit
import os
import threading
from functools import partial

from avatarkit._bridge.call import Call
from avatarkit._bridge.loop import Bridge, Closer, LoopFactory, Tenant

# How long clients may take to close at interpreter exit, in seconds. Closing is quick but for a submission under
# way, whose answer tells whether it was paid for; Ctrl-C gives that up.
EXIT_GRACE = 60.0
# How long the loop may take to end after that.
_END_GRACE = 5.0


class _Process:
    """The state of the process. Only callers take the lock, never the loop's thread."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.bridge: Bridge | None = None
        self.factory: LoopFactory | None = None
        # Every bridge whose loop may still run, and in a child those of the parent: they are
        # kept, because collecting a loop would close the parent's selector.
        self.bridges: set[Bridge] = set()


_process = _Process()


def one_at_a_time() -> threading.RLock:
    """The lock of the process, for callers that change a lease. Not for the loop's thread."""
    return _process.lock


def move_in(closer: Closer | None) -> Tenant:
    """Make a client a tenant of the bridge, which is started if there is none."""
    with _process.lock:
        bridge = _process.bridge
        if bridge is None or bridge.ended:
            bridge = Bridge(_process.factory)
            bridge.start()
            _process.bridges = {b for b in _process.bridges if not b.ended} | {bridge}
            _process.bridge = bridge
        tenant = Tenant(bridge, closer)
        bridge.tenants.add(tenant)
        return tenant


def move_out(tenant: Tenant) -> None:
    """Give the tenancy up; the last tenant to go ends the bridge and waits for its end."""
    bridge = tenant.bridge
    with _process.lock:
        tenant.closed = True
        bridge.tenants.discard(tenant)
        if bridge.tenants or _process.bridge is not bridge:
            return
        _process.bridge = None
    bridge.request_stop()
    bridge.join()


def shutdown(grace: float = EXIT_GRACE) -> None:
    """Close every blocking client that is still open, then end the background loop, now.

    *grace* is how many seconds the clients get; Ctrl-C ends the wait. Clients closed this way raise ClientClosed
    when they are used again; a new client starts a new loop. Runs by itself at interpreter
    exit. Does nothing when no loop runs.
    """
    with _process.lock:
        bridge, _process.bridge = _process.bridge, None
    if bridge is None or bridge.inherited or bridge.is_here():
        return
    call = Call(bridge, None, partial(bridge.vacate_all, grace))
    try:
        call.launch()
        call.wait()
    finally:
        bridge.request_stop()
        bridge.join(min(grace, _END_GRACE))


def use_loop_factory(factory: LoopFactory | None) -> None:
    """Have the next background loop made by *factory*; None means asyncio's own.

    A loop that already runs is not touched: call `shutdown` first. For tests (a loop with a
    virtual clock) and for uvloop: ``use_loop_factory(uvloop.new_event_loop)``.
    """
    with _process.lock:
        _process.factory = factory


def _forget_in_child() -> None:
    for bridge in _process.bridges:
        bridge.inherited = True
    _process.lock = threading.RLock()
    _process.bridge = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
atexit.register(shutdown)
