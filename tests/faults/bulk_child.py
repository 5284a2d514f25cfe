"""A process that works on a bulk run and is killed: once at a random moment, once exactly where it hurts.

Run as a program by ``test_bulk_kill.py``: its one argument is a JSON object that says what to do.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import signal
import sys
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def mine(plan: dict[str, Any]) -> None:
    """Set a trap that kills this process before one of many renames or links, or after it."""
    left = plan["left"]

    def trapped(original: Any) -> Any:
        def around(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            due = left == 0
            if due and plan["before"]:
                die()
            original(*args, **kwargs)
            if due:
                die()

        return around

    os.replace, os.link = trapped(os.replace), trapped(os.link)


def mine_ledger(plan: dict[str, Any], ledger: Any) -> None:
    """The same around a method of the ledger: before it, or after its commit and before anyone knows of it."""
    original, left = getattr(ledger, plan["kill"]), plan["left"]

    async def around(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        due = left == 0
        if due and plan["before"]:
            die()
        answer = await original(*args, **kwargs)
        if due:
            die()
        return answer

    setattr(ledger, plan["kill"], around)


async def work(plan: dict[str, Any]) -> None:
    import avatarkit
    from avatarkit.bulk.journal import open_ledger
    from avatarkit.bulk.options import BulkOptions
    from avatarkit.bulk.run import BulkRun

    for module, values in plan["patch"].items():
        for name, value in values.items():
            setattr(importlib.import_module(module), name, value)
    cls = avatarkit.providers.client_class(plan["provider"])
    client = cls(
        *plan["credentials"],
        base_url=plan["base_url"],
        rate_limit=avatarkit.RateLimit(per_second=plan["rate"]),
        max_running=plan["cap"],
        polling=avatarkit.Polling(shortest=0.03, longest=0.15),
        timeouts=avatarkit.Timeouts(submit=2.0),
    )
    ledger = await open_ledger(plan["journal"])
    if plan["kill"] not in ("", "rename"):
        mine_ledger(plan, ledger)
    counts: dict[str, int] = {}
    async with client:
        keys = [f"job-{n:04d}" for n in range(plan["jobs"])]
        jobs = [(key, {**plan["request"], plan["words"]: key}) for key in keys]
        options = BulkOptions(out=plan["out"], submits=plan["submits"], max_failures=0)
        async with BulkRun(client, jobs, ledger, options) as run:
            async for outcome in run.outcomes():
                counts[outcome.state.value] = counts.get(outcome.state.value, 0) + 1
    await ledger.aclose()
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    plan = json.loads(sys.argv[1])
    if plan["kill"] == "rename":
        mine(plan)
    asyncio.run(work(plan))
