"""Goals G8 and G9: what a waiting task costs in memory, and what waking one costs in CPU.

Nothing is sent: a look is replaced by putting the task back into the wheel. Each case runs in a process of its own;
the wake-ups take turns with asyncio's own sleeping tasks.

    python -m benchmarks waiting [--quick]
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.report import Line, show
from benchmarks.server import pin
from benchmarks.throughput import resident


def _client() -> Any:
    from avatarkit import AsyncHiFly, Polling

    polling = Polling(shortest=600, longest=3600)
    return AsyncHiFly("bench-token", base_url="http://127.0.0.1:9", rate_limit=None, polling=polling)


def _records(account: Any, count: int) -> list[Any]:
    from avatarkit import Kind

    return [account.remember(f"task-{number}", Kind.VIDEO, size=8.0) for number in range(count)]


async def parked(count: int) -> float:
    """Bytes for each: record, wheel entries and future, as they are while a caller waits."""
    client = _client()
    account = client._account
    hub, loop = account.engine().hub, asyncio.get_running_loop()
    gc.collect()
    before = resident()
    records = _records(account, count)
    for record in records:
        hub.adopt(record)
        record.enlist(loop.create_future(), change=False)
        hub.watch(record)
    grown = resident() - before - count * 8  # the list is ours
    return grown / count


async def awaited(count: int) -> float:
    """The same with the handle, and a caller's own task that awaits it."""
    from avatarkit import AsyncTask

    client = _client()
    account = client._account
    account.engine()
    gc.collect()
    before = resident()
    waits: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(AsyncTask(account, record).wait()) for record in _records(account, count)
    ]
    await asyncio.sleep(0)
    grown = resident() - before - count * 8
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    await client.aclose()
    return grown / count


async def asleep(count: int) -> float:
    """What asyncio has: a task in ``asyncio.sleep``."""
    gc.collect()
    before = resident()
    waits = [asyncio.ensure_future(asyncio.sleep(3600)) for _ in range(count)]
    await asyncio.sleep(0)
    grown = resident() - before - count * 8
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    return grown / count


async def _woken_hub(count: int) -> float:
    client = _client()
    account = client._account
    hub, loop = account.engine().hub, asyncio.get_running_loop()
    records = _records(account, count)
    left, done = count, loop.create_future()

    async def look(record: Any) -> None:
        nonlocal left
        hub._agenda.put_off(record, 600.0)
        left -= 1
        if not left:
            done.set_result(None)

    hub._crew._do = look
    for record in records:
        record.waiter, record.scheduled = done, True
        hub._agenda.put_off(record, 0.2)
    gc.collect()
    began = time.process_time()
    await done
    used = time.process_time() - began
    for record in records:
        record.waiter = None
    await client.aclose()
    return used / count


async def _woken_tasks(count: int) -> float:
    async def sleeper() -> None:
        await asyncio.sleep(1.0)
        await asyncio.sleep(600.0)

    waits = [asyncio.ensure_future(sleeper()) for _ in range(count)]
    await asyncio.sleep(0)
    gc.collect()
    began = time.process_time()
    await asyncio.sleep(1.5)
    used = time.process_time() - began
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)
    return used / count


def woken(count: int) -> dict[str, list[float]]:
    """Seconds of CPU for each wake-up, in turns."""
    found: dict[str, list[float]] = {"hub": [], "tasks": []}
    for _ in range(5):
        found["hub"].append(asyncio.run(_woken_hub(count)))
        found["tasks"].append(asyncio.run(_woken_tasks(count // 5)))
    return found


def _cell(name: str, count: int) -> Any:
    command = [sys.executable, "-m", "benchmarks.waiting", "--cell", name, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["--cell"]:
        pin(0)
        count = int(arguments[2])
        cells = {"parked": parked, "awaited": awaited, "asleep": asleep}
        name = arguments[1]
        print(json.dumps(woken(count) if name == "woken" else asyncio.run(cells[name](count))))
        return 0
    count = 20_000 if "--quick" in arguments else 100_000
    own, with_task, bare = (_cell(name, count) for name in ("parked", "awaited", "asleep"))
    wakes = _cell("woken", count)
    hub, tasks = (statistics.median(wakes[name]) * 1e6 for name in ("hub", "tasks"))
    return show(
        f"waiting, {count:,} tasks",
        [
            Line("G8", "bytes a parked task, owned by the SDK", f"{own:.0f}", "<= 600", own <= 600),
            Line(
                "G8",
                "bytes with the caller's task awaiting it",
                f"{with_task:.0f}",
                "<= 1741",
                with_task <= 1741,
                f"a bare asyncio task in sleep(): {bare:.0f}",
            ),
            Line(
                "G9", "CPU a wake-up, us", f"{hub:.2f}", "<= 3", hub <= 3, f"asyncio's sleep(): {tasks:.1f}"
            ),
        ],
    )


if __name__ == "__main__":
    raise SystemExit(main())
