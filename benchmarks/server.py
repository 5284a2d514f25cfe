"""A server fast enough not to be what is measured: just enough of HiFly's wire, by hand on asyncio.Protocol.

It runs in a process of its own, on the second core when there is one, and on uvloop when that is installed. A task
is done at its third look. What it knows beside HiFly: the shape of openai's ``videos`` resource, for peers, and
``GET /_stats``, which counts requests and connections and forgets the tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

LOOKS = 3  # a task is done at this look
_HEAD = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    b"Content-Type: application/json; charset=utf-8\r\nConnection: keep-alive\r\nX-Request-Id: 0123456789abcdef\r\n"
    b"Cache-Control: no-store\r\nVary: Accept-Encoding\r\nContent-Length: "
)
_RUNNING = b'{"code":0,"message":"success","request_id":"r-1","status":2}'
_DONE = (
    b'{"code":0,"message":"success","request_id":"r-1","status":3,'
    b'"video_Url":"http://127.0.0.1/v/%s.mp4","duration":12.5}'
)


def pin(core: int) -> None:
    """Keep this process on *core*, where the machine has it."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        if core in os.sched_getaffinity(0) and len(os.sched_getaffinity(0)) > 1:
            os.sched_setaffinity(0, {core})


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop of uvloop's when it is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class State:
    """What all connections share."""

    def __init__(self) -> None:
        self.looks: dict[bytes, int] = {}
        self.numbers = itertools.count(1)
        self.requests = self.connections = 0

    def stats(self) -> bytes:
        body = b'{"requests":%d,"connections":%d,"cpu":%.4f}' % (
            self.requests,
            self.connections,
            time.process_time(),
        )
        self.looks.clear()
        self.requests = 0
        return body

    def answer(self, method: bytes, path: bytes) -> bytes:
        if method == b"POST":
            number = b"t%d" % next(self.numbers)
            self.looks[number] = 0
            if path.endswith(b"/videos"):
                return _openai(number, b"queued")
            return b'{"code":0,"message":"success","request_id":"r-1","task_id":"%s"}' % number
        if path.endswith(b"/_stats"):
            return self.stats()
        if path.endswith(b"/account/credit"):
            return b'{"code":0,"message":"","left":10000,"request_id":"r-1"}'
        openai = b"/videos/" in path
        number = path.rsplit(b"/", 1)[1] if openai else path.rsplit(b"=", 1)[1]
        seen = self.looks.get(number, 0) + 1
        if seen < LOOKS:
            self.looks[number] = seen
            return _openai(number, b"in_progress") if openai else _RUNNING
        self.looks.pop(number, None)
        return _openai(number, b"completed") if openai else _DONE % number


def _openai(number: bytes, status: bytes) -> bytes:
    return (
        b'{"id":"%s","object":"video","created_at":1767225600,"model":"sora-2","status":"%s","progress":0,'
        b'"prompt":"hello","seconds":"4","size":"720x1280"}' % (number, status)
    )


class Talk(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._state.connections += 1

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        out: list[bytes] = []
        while True:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                break
            whole = end + 4 + _length(buffer, end)
            if len(buffer) < whole:
                break
            method, path, _ = buffer[: buffer.index(b"\r\n")].split(b" ", 2)
            self._state.requests += 1
            body = self._state.answer(method, path)
            out += (_HEAD, b"%d\r\n\r\n" % len(body), body)
            buffer = buffer[whole:]
        self._buffer = buffer
        if out:
            self._transport.write(b"".join(out))


def _length(buffer: bytes, end: int) -> int:
    if buffer.startswith(b"GET"):
        return 0
    at = buffer[:end].lower().find(b"content-length:")
    return int(buffer[at + 15 : end].split(b"\r", 1)[0]) if at >= 0 else 0


async def _serve() -> None:
    state = State()
    server = await asyncio.get_running_loop().create_server(lambda: Talk(state), "127.0.0.1", 0, backlog=8192)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The parent holds our standard input: at its end, however it came about, nobody needs us any more.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> int:
    pin(1)
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_serve())
    return 0


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Start the server in its own process and give its base URL; stop it at the end."""
    command = [sys.executable, "-m", "benchmarks.server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def fetch_stats(base: str) -> dict[str, float]:
    """Requests since the last call, connections so far, CPU seconds so far; forgets unfinished tasks."""
    import json
    from urllib.request import urlopen

    with urlopen(f"{base}/_stats", timeout=30) as answer:
        found: dict[str, float] = json.load(answer)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
