"""A worker of a fleet that is killed and frozen: run as a program by ``test_bulk_fleet.py``.

Its one argument is a JSON object that says what to do. A worker may be told to freeze itself where it hurts most: when
its intent is written and its submission has not gone out, or when it has, and the answer is not written down.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import signal
import sys
from typing import Any


def mine(ledger: Any, name: str, calls: int, *, before: bool) -> None:
    """Freeze this process once: at so many calls of a method of the ledger, before it is called or after its answer."""
    original, left = getattr(ledger, name), calls

    async def around(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        due = left == 0
        if due and before:
            os.kill(os.getpid(), signal.SIGSTOP)
        answer = await original(*args, **kwargs)
        if due and not before:
            os.kill(os.getpid(), signal.SIGSTOP)
        return answer

    setattr(ledger, name, around)


async def work(plan: dict[str, Any]) -> None:
    import avatarkit
    from avatarkit.bulk.fleet import FleetOptions, open_engine
    from avatarkit.bulk.fleet_worker import FleetWorker, set_rate
    from avatarkit.bulk.postgres import PostgresLedger

    for module, values in plan["patch"].items():
        for name, value in values.items():
            setattr(importlib.import_module(module), name, value)
    cls = avatarkit.providers.client_class(plan["provider"])
    client = cls(
        *plan["credentials"],
        base_url=plan["base_url"],
        rate_limit=None,
        polling=avatarkit.Polling(shortest=0.3, longest=1.0),
        timeouts=avatarkit.Timeouts(submit=2.0),
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    ledger = await PostgresLedger.open(plan["dsn"], schema=plan["schema"])
    if plan.get("freeze"):
        mine(ledger, **plan["freeze"])
    engine = await open_engine(plan["engine"], plan["dsn"], schema=plan["schema"])
    run = await ledger.get_run("main")
    assert run is not None
    async with client:
        await set_rate(ledger, client, plan["rate"])
        await FleetWorker(client, ledger, run, engine, FleetOptions(**plan["options"])).work(stop)
    await engine.aclose()
    await ledger.aclose()


if __name__ == "__main__":
    logging.basicConfig(level=os.environ.get("FLEET_LOG", "ERROR"), format="%(asctime)s %(name)s %(message)s")
    asyncio.run(work(json.loads(sys.argv[1])))
