"""A process that works on a bulk run and is killed: once at a random moment, once exactly where it hurts.

Run as a program by ``test_bulk_kill.py``: its one argument is a JSON object that says what to do.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import random
import signal
import sys
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def mine(plan: dict[str, Any]) -> None:
    """Set a trap that kills this process around one of many renames, commits or submissions."""
    where, chance = plan["kill"], random.Random(plan["seed"])
    left = chance.randint(3, 40)

    def trap() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            die()

    if where == "rename":
        module, name = os, "replace"
    elif where == "link":
        module, name = os, "link"
    else:
        return
    original = getattr(module, name)

    def around(*args: Any, **kwargs: Any) -> Any:
        trap()
        try:
            return original(*args, **kwargs)
        finally:
            trap()

    setattr(module, name, around)


def mine_ledger(plan: dict[str, Any], ledger: Any) -> None:
    """The same around a method of the ledger: before it, or after its commit and before anyone knows of it."""
    chance, left = random.Random(plan["seed"]), 0
    name = plan["kill"]
    left = chance.randint(2, 30)
    original = getattr(ledger, name)

    async def around(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and plan["seed"] % 2:
            die()
        answer = await original(*args, **kwargs)
        if left == 0:
            die()
        return answer

    setattr(ledger, name, around)


async def work(plan: dict[str, Any]) -> None:
    import avatarkit
    from avatarkit.bulk.journal import open_ledger
    from avatarkit.bulk.run import BulkOptions, BulkRun

    for module, values in plan["patch"].items():
        for name, value in values.items():
            setattr(importlib.import_module(module), name, value)
    cls = avatarkit.providers.client_class(plan["provider"])
    client = cls(
        *plan["credentials"],
        base_url=plan["base_url"],
        rate_limit=None,
        max_running=plan["cap"],
        polling=avatarkit.Polling(shortest=0.05, longest=0.3),
        timeouts=avatarkit.Timeouts(submit=2.0),
    )
    ledger = await open_ledger(plan["journal"])
    if plan["kill"] not in ("", "rename", "link"):
        mine_ledger(plan, ledger)
    counts: dict[str, int] = {}
    async with client:
        jobs = [(f"job-{n:04d}", {**plan["request"], "text": f"{n}: Hello"}) for n in range(plan["jobs"])]
        if "audio" in plan["request"]:
            jobs = [(key, {**plan["request"], "prompt": key}) for key, _ in jobs]
        options = BulkOptions(out=plan["out"], submits=24, max_failures=0)
        async with BulkRun(client, jobs, ledger, options) as run:
            async for outcome in run.outcomes():
                counts[outcome.state.value] = counts.get(outcome.state.value, 0) + 1
    await ledger.aclose()
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    plan = json.loads(sys.argv[1])
    mine(plan)
    asyncio.run(work(plan))
