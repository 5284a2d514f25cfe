"""What callbacks cost and how fast they wake a task.

Three parts, on one core:

1. The price of one callback through ASGI: known tasks, half of the messages copies, against a bare ASGI handler that
   only reads the body and parses its JSON. Both in alternating blocks of one process, CPU time.
2. 2,000 callbacks a second, at even pace, for tasks that somebody waits for: none lost, copies collapsed, time from
   the request to the waiter going on. Looks are answered from memory: this is the engine without the network.
3. The same over sockets: a sandbox in this process ends tasks and posts its events; the look is a real request.

    python -m benchmarks.webhooks [--quick]
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson

import avatarkit
from avatarkit.models import Kind, RawResponse
from avatarkit.webhooks import Webhooks
from avatarkit.webhooks.asgi import app
from benchmarks.report import Line, show

RATE = 2000
DONE = b'{"code":0,"message":"","status":3,"video_Url":"https://cdn.example/v.mp4","duration":45,"request_id":"r"}'
HEADERS = [(b"host", b"x.example"), (b"content-type", b"application/json"), (b"content-length", b"190")]
Application = Callable[[Any, Any, Any], Awaitable[None]]


def event(task_id: str) -> bytes:
    return orjson.dumps(
        {
            "task_id": task_id,
            "message": "",
            "code": 0,
            "type": 1,
            "status": 3,
            "video_Url": "https://cdn.example/v.mp4",
            "duration": 45,
            "title": "job",
        }
    )


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """The least a receiver can do."""
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    orjson.loads(body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def post(application: Application, path: str, body: bytes) -> int:
    status = 0

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {"type": "http", "method": "POST", "path": path, "headers": HEADERS, "root_path": ""}
    await application(scope, receive, send)
    return status


class Stage:
    """A client that waits for tasks, whose looks are answered from memory."""

    def __init__(self) -> None:
        self.client = avatarkit.AsyncHiFly("x", base_url="http://127.0.0.1:9", rate_limit=None)
        self.hooks = Webhooks(self.client)
        self.app = app(self.hooks)
        self.path = self.hooks.path("hifly")
        self.looks = 0
        self.account = self.client._account
        driver: Any = self.account.engine().driver

        async def send(request: Any, *args: Any, **kwargs: Any) -> RawResponse:
            self.looks += 1
            await asyncio.sleep(0)
            return RawResponse(200, {}, DONE)

        driver.send = send

    def known(self, names: Iterable[str]) -> list[Any]:
        hub = self.account.engine().hub
        records = [self.account.remember(name, Kind.VIDEO) for name in names]
        for record in records:
            hub.adopt(record)
        return records


async def block(application: Application, path: str, bodies: list[bytes]) -> float:
    gc.collect()
    began = time.process_time()
    for body in bodies:
        assert await post(application, path, body) == 200
    return (time.process_time() - began) / len(bodies) * 1e6


async def price(rounds: int, count: int) -> list[Line]:
    stage, ratios, costs, units = Stage(), [], [], []
    keep = []
    for turn in range(rounds):
        names = [f"task-{turn}-{number:06}" for number in range(count // 2)]
        keep.append(stage.known(names))
        bodies = [event(name) for name in names for _ in range(2)]
        before = await block(bare, "/", bodies)
        cost = await block(stage.app, stage.path, bodies)
        after = await block(bare, "/", bodies)
        costs.append(cost)
        units.append((before + after) / 2)
        ratios.append(cost / units[-1])
        await asyncio.sleep(0.2)  # the looks, which are not what is measured here
    counts = stage.hooks.counts
    good = (counts.received, counts.copies, counts.known) == (
        rounds * count,
        rounds * count // 2,
        rounds * count // 2,
    )
    await stage.client.aclose()
    cost, most = statistics.median(costs), 1e6 / RATE
    return [
        Line("-", "one callback through ASGI", f"{cost:.1f} us", f"<= {most:.0f} us", cost <= most),
        Line("-", "a bare handler that parses JSON", f"{statistics.median(units):.1f} us"),
        Line("-", "ratio", f"{statistics.median(ratios):.1f} x", note="of one callback; half of them copies"),
        Line("-", "callbacks a second on one core", f"{1e6 / cost:,.0f}", f">= {RATE:,}", 1e6 / cost >= RATE),
        Line("-", "each counted, each copy collapsed", "yes" if good else "no", "yes", good),
    ]


async def pace(seconds: float) -> list[Line]:
    stage, loop = Stage(), asyncio.get_running_loop()
    names = [f"task-{number:06}" for number in range(int(RATE * seconds) // 2)]
    records = stage.known(names)
    sent: dict[str, float] = {}
    woken: dict[str, float] = {}
    hub = stage.account.engine().hub

    async def wait(record: Any) -> None:
        await hub.wait(record, None)
        woken[record.task_id] = loop.time() - sent[record.task_id]

    waiters = [asyncio.create_task(wait(record)) for record in records]
    await asyncio.sleep(0.1)
    bodies = [(name, event(name)) for name in names]
    began, cpu, late = loop.time(), time.process_time(), 0.0
    for number, (name, body) in enumerate([pair for pair in bodies for _ in range(2)]):
        due = began + number / RATE
        if (left := due - loop.time()) > 0:
            await asyncio.sleep(left)
        late = max(late, loop.time() - due)
        sent.setdefault(name, loop.time())
        assert await post(stage.app, stage.path, body) == 200
    took, busy = loop.time() - began, time.process_time() - cpu
    done, lost = await asyncio.wait(waiters, timeout=5)
    for waiter in lost:
        waiter.cancel()
    await stage.client.aclose()
    delays = sorted(woken.values())
    p99 = delays[int(len(delays) * 0.99)] * 1000
    rate = len(names) * 2 / took
    return [
        Line("-", "callbacks a second, paced", f"{rate:,.0f}", f">= {RATE * 0.98:,.0f}", rate >= RATE * 0.98),
        Line("-", "of one core", f"{busy / took:.0%}", note="looks and waiters included"),
        Line("-", "waiters that were woken", f"{len(done):,} of {len(names):,}", "all", not lost),
        Line("-", "looks per task", f"{stage.looks / len(names):.2f}", "1.00", stage.looks == len(names)),
        Line("-", "request to waiter, median", f"{statistics.median(delays) * 1000:.2f} ms"),
        Line(
            "-",
            "request to waiter, 99 %",
            f"{p99:.2f} ms",
            "< 10 ms",
            p99 < 10,
            f"worst {delays[-1] * 1000:.1f} ms",
        ),
    ]


async def sockets(count: int) -> list[Line]:
    from aiohttp import web

    from avatarkit.webhooks.aiohttp import routes

    heard: dict[str, float] = {}
    loop = asyncio.get_running_loop()
    async with avatarkit.AsyncSandbox(render="tiny", queue_seconds=0.05, run_seconds=0.25) as sandbox:
        slow = avatarkit.Polling(shortest=100, longest=100)
        async with avatarkit.AsyncHiFly(
            sandbox.token, base_url=sandbox.base_url("hifly"), rate_limit=None, polling=slow
        ) as client:
            hooks = Webhooks(client, on_event=lambda event: heard.__setitem__(event.task_id, loop.time()))
            server = web.Application()
            server.add_routes(routes(hooks))
            runner = web.AppRunner(server, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = hooks.url("hifly", f"http://127.0.0.1:{runner.addresses[0][1]}")
            sandbox.set_account(callback_url=url)
            avatar = (await client.avatars.list(size=1)).items[0].id
            voice = (await client.voices.list(size=1, kind=2)).items[0].id
            delays = []
            for _ in range(count):
                task = await client.videos.create_by_tts(text="x", avatar=avatar, voice=voice)
                await task.wait(timeout=10)
                delays.append((loop.time() - heard[task.id]) * 1000)
            await runner.cleanup()
    delays.sort()
    middle, p90 = statistics.median(delays), delays[int(len(delays) * 0.9)]
    return [
        Line("-", "callback to waiter over sockets, median", f"{middle:.1f} ms", "< 10 ms", middle < 10),
        Line(
            "-",
            "callback to waiter over sockets, 90 %",
            f"{p90:.1f} ms",
            note=f"{count} tasks; the look included",
        ),
    ]


def main(arguments: list[str]) -> int:
    quick = "--quick" in arguments
    lines = asyncio.run(price(3 if quick else 9, 4000))
    lines += asyncio.run(pace(1.0 if quick else 5.0))
    lines += asyncio.run(sockets(10 if quick else 40))
    return show("webhooks", lines)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
