"""How fast, how lean and how smooth files move: uploads (G13), base64 in JSON (G14), downloads (G15).

Each run is a fresh process, cases alternate, ratios are taken between neighbours and their median is shown.
Memory is the growth of the peak resident size over the state right before the transfer; the stall is the longest
time a ticker on the event loop came late. The server is a process of its own that throws bodies away. Files lie
in AVATARKIT_BENCH_DIR, or /dev/shm when it has room, so that the disk does not decide.

    python -m benchmarks.transfer               # everything, about a minute; exit status 1: a goal was missed
    python -m benchmarks.transfer --rounds 3 --only G14
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import importlib.util
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.report import Line, show

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20
LARGE = 512 * MIB
IMAGE = 10 * MIB
IMAGE_REPEATS = 12


# --- the server ------------------------------------------------------------------------------------------------


def serve(ready: Any) -> None:
    """Blocking sockets and threads: cheap, so that the client is what is measured."""
    listener = socket.create_server(("127.0.0.1", 0))
    ready.put(listener.getsockname()[1])
    while True:
        plug, _ = listener.accept()
        threading.Thread(target=_answer, args=(plug,), daemon=True).start()


def _answer(plug: socket.socket) -> None:
    block = memoryview(bytearray(MIB))
    buffer = b""
    with contextlib.suppress(OSError), plug:
        plug.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            while b"\r\n\r\n" not in buffer:
                data = plug.recv(65536)
                if not data:
                    return
                buffer += data
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
            left = int(fields.get("content-length", 0)) - len(buffer)
            buffer = b""
            while left > 0:
                left -= plug.recv_into(block, min(left, MIB))
            size = int(lines[0].split()[1].strip("/") or 0) if lines[0].startswith("GET") else 0
            plug.sendall(
                b'HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nETag: "1"\r\nContent-Length: %d\r\n\r\n'
                % size
            )
            for _ in range(size // MIB):
                plug.sendall(block)


# --- the cases -------------------------------------------------------------------------------------------------


def _kit() -> SimpleNamespace:
    """avatarkit, imported only where it is measured."""
    from avatarkit.settings import Timeouts
    from avatarkit.transport import download, encode, payload, sources, upload
    from avatarkit.transport.clock import SYSTEM_CLOCK

    return SimpleNamespace(
        timeouts=Timeouts(),
        clock=SYSTEM_CLOCK,
        as_source=sources.as_source,
        put_file=upload.put_file,
        download=download.download,
        BodyPayload=payload.BodyPayload,
        MultipartBody=encode.MultipartBody,
        FilePart=encode.FilePart,
        Base64JsonBody=encode.Base64JsonBody,
        Base64Of=encode.Base64Of,
    )


async def put_ours(session: Any, base: str, path: Path) -> None:
    kit = _kit()
    source = await kit.as_source(path)
    await kit.put_file(session, f"{base}/0", source, "video/mp4", clock=kit.clock, timeouts=kit.timeouts)


async def put_aiohttp(session: Any, base: str, path: Path) -> None:
    with path.open("rb") as file:
        async with session.put(f"{base}/0", data=file, headers={"Content-Type": "video/mp4"}) as answer:
            await answer.read()


async def form_ours(session: Any, base: str, path: Path) -> None:
    kit = _kit()
    body = kit.MultipartBody({"title": "x"}, [kit.FilePart(field="file", source=await kit.as_source(path))])
    async with session.post(f"{base}/0", data=kit.BodyPayload(body)) as answer:
        await answer.read()


async def form_aiohttp(session: Any, base: str, path: Path) -> None:
    import aiohttp

    with path.open("rb") as file:
        form = aiohttp.FormData()
        form.add_field("title", "x")
        form.add_field("file", file, filename=path.name, content_type="video/mp4")
        async with session.post(f"{base}/0", data=form) as answer:
            await answer.read()


async def json_ours(session: Any, base: str, path: Path) -> None:
    kit = _kit()
    body = kit.Base64JsonBody({"model": "x", "image": kit.Base64Of(await kit.as_source(path))})
    async with session.post(f"{base}/0", data=kit.BodyPayload(body)) as answer:
        await answer.read()


async def json_naive(session: Any, base: str, path: Path) -> None:
    document = {"model": "x", "image": base64.b64encode(path.read_bytes()).decode()}
    async with session.post(f"{base}/0", json=document) as answer:
        await answer.read()


async def get_ours(session: Any, base: str, path: Path, *, digest: bool = False) -> None:
    kit = _kit()
    target = path.with_name(f"down-{os.getpid()}")
    url = f"{base}/{path.stat().st_size}"
    await kit.download(
        session, url, target, clock=kit.clock, timeouts=kit.timeouts, overwrite=True, digest=digest
    )


async def get_ours_hashed(session: Any, base: str, path: Path) -> None:
    await get_ours(session, base, path, digest=True)


async def get_inline(session: Any, base: str, path: Path) -> None:
    target = path.with_name(f"down-{os.getpid()}")
    async with session.get(f"{base}/{path.stat().st_size}", read_bufsize=MIB) as answer:
        with target.open("wb") as file:
            async for chunk in answer.content.iter_chunked(MIB):
                file.write(chunk)


async def get_httpx(session: Any, base: str, path: Path) -> None:
    import httpx

    target = path.with_name(f"down-{os.getpid()}")
    async with httpx.AsyncClient() as client, client.stream("GET", f"{base}/{path.stat().st_size}") as answer:
        with target.open("wb") as file:
            async for chunk in answer.aiter_bytes(MIB):
                file.write(chunk)


Case = Callable[[Any, str, Path], Awaitable[None]]
CASES: dict[str, tuple[Case, int, int]] = {
    "put ours": (put_ours, LARGE, 1),
    "put aiohttp": (put_aiohttp, LARGE, 1),
    "form ours": (form_ours, LARGE, 1),
    "form aiohttp": (form_aiohttp, LARGE, 1),
    "json ours": (json_ours, IMAGE, IMAGE_REPEATS),
    "json naive": (json_naive, IMAGE, IMAGE_REPEATS),
    "get ours": (get_ours, LARGE, 1),
    "get ours, SHA-256": (get_ours_hashed, LARGE, 1),
    "get inline": (get_inline, LARGE, 1),
    "get httpx": (get_httpx, LARGE, 1),
}


# --- one run in its own process --------------------------------------------------------------------------------


def _status(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return 0.0


async def _measure(name: str, port: int, folder: Path) -> dict[str, float]:
    import aiohttp

    case, size, repeats = CASES[name]
    base = f"http://127.0.0.1:{port}"
    stall, stop = 0.0, False

    async def tick() -> None:
        nonlocal stall
        while not stop:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            stall = max(stall, time.perf_counter() - before - 0.001)

    async with aiohttp.ClientSession() as session:
        await case(session, base, folder / "small")
        await asyncio.sleep(0.02)
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        rss = _status("VmRSS")
        ticker = asyncio.ensure_future(tick())
        await asyncio.sleep(0.01)
        stall, begun = 0.0, time.perf_counter()
        cpu = time.process_time()
        for _ in range(repeats):
            await case(session, base, folder / ("large" if size == LARGE else "image"))
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        peak = _status("VmHWM")
        stop = True
        await ticker
    with contextlib.suppress(OSError):
        folder.joinpath(f"down-{os.getpid()}").unlink()
    return {
        "rate": size * repeats / MIB / seconds,
        "cpu": cpu,
        "growth": peak - rss,
        "stall": stall * 1000,
    }


# --- all runs --------------------------------------------------------------------------------------------------


def _folder() -> Path:
    chosen = os.environ.get("AVATARKIT_BENCH_DIR")
    shm = Path("/dev/shm")
    if not chosen and shm.is_dir() and shutil.disk_usage(shm).free > 3 * LARGE:
        chosen = str(shm)
    return Path(tempfile.mkdtemp(prefix="avatarkit-bench-", dir=chosen))


def _run(name: str, port: int, folder: Path) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.transfer",
        "--case",
        name,
        "--port",
        str(port),
        "--folder",
        str(folder),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _rounds(names: list[str], rounds: int, port: int, folder: Path) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            found[name].append(_run(name, port, folder))
    return found


def _middle(runs: list[dict[str, float]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def _ratio(found: dict[str, list[dict[str, float]]], ours: str, theirs: str) -> float:
    pairs = zip(found[ours], found[theirs], strict=True)
    return statistics.median(mine["rate"] / other["rate"] for mine, other in pairs)


def _figures(found: dict[str, list[dict[str, float]]]) -> list[Line]:
    lines = []
    for name, runs in found.items():
        rate, cpu, growth, stall = (_middle(runs, key) for key in ("rate", "cpu", "growth", "stall"))
        note = f"CPU {cpu:.2f} s, memory {growth:+.1f} MiB, stall {stall:.1f} ms"
        lines.append(Line("-", name, f"{rate:.0f} MiB/s", note=note))
    return lines


def _at_least(goal: str, what: str, ratio: float, target: float) -> Line:
    return Line(goal, what, f"{ratio:.2f}x", f">= {target:g}x", ratio >= target)


def _at_most(goal: str, name: str, runs: list[dict[str, float]], memory: float, stall: float) -> list[Line]:
    grown, late = _middle(runs, "growth"), _middle(runs, "stall")
    return [
        Line(goal, f"{name}, memory", f"{grown:.1f} MiB", f"<= {memory:g} MiB", grown <= memory),
        Line(goal, f"{name}, loop stall", f"{late:.1f} ms", f"<= {stall:g} ms", late <= stall),
    ]


def _uploads(rounds: int, port: int, folder: Path) -> int:
    found = _rounds(["put ours", "put aiohttp", "form ours", "form aiohttp"], rounds, port, folder)
    lines = _figures(found)
    for name in ("put ours", "form ours"):
        ratio = _ratio(found, name, "put aiohttp")
        lines.append(_at_least("G13", f"{name} against aiohttp's raw file object", ratio, 0.9))
        lines += _at_most("G13", name, found[name], 8, 10)
    return show("Upload: 512 MiB from a file", lines)


def _images(rounds: int, port: int, folder: Path) -> int:
    found = _rounds(["json ours", "json naive"], rounds, port, folder)
    ratio = _ratio(found, "json ours", "json naive")
    lines = [*_figures(found), _at_least("G14", "rate against naive aiohttp", ratio, 2.5)]
    lines += _at_most("G14", "json ours", found["json ours"], 2, 20)
    return show(f"Image: 10 MiB as base64 in JSON, {IMAGE_REPEATS} times", lines)


def _downloads(rounds: int, port: int, folder: Path) -> int:
    names = ["get ours", "get ours, SHA-256", "get inline"]
    peer = importlib.util.find_spec("httpx") is not None
    found = _rounds([*names, "get httpx"] if peer else names, rounds, port, folder)
    lines = _figures(found)
    ratio = _ratio(found, "get ours", "get inline")
    lines.append(_at_least("G15", "rate against aiohttp with inline writes", ratio, 0.65))
    if peer:
        lines.append(_at_least("G15", "rate against httpx", _ratio(found, "get ours", "get httpx"), 2))
    lines += _at_most("G15", "get ours", found["get ours"], 8, 10)
    return show("Download: 512 MiB into a file (ours with fsync and rename, the others without)", lines)


def main() -> int:
    """Run everything; 0 when every goal is met."""
    parser = argparse.ArgumentParser(description="file transfer against hand-written aiohttp and httpx")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=("G13", "G14", "G15"))
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(asyncio.run(_measure(options.case, options.port, Path(options.folder)))))
        return 0
    folder = _folder()
    ready: Any = multiprocessing.get_context("spawn").Queue()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(ready,), daemon=True)
    server.start()
    try:
        port = ready.get(timeout=30)
        for name, size in (("large", LARGE), ("image", IMAGE), ("small", 4 * MIB)):
            with folder.joinpath(name).open("wb") as file:
                block = os.urandom(MIB)
                for _ in range(size // MIB):
                    file.write(block)
        # Ours hands pieces to a thread: with other work on the cores, wall clock says more about that work.
        print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        parts = {"G13": _uploads, "G14": _images, "G15": _downloads}
        chosen = [part for goal, part in parts.items() if options.only in (None, goal)]
        return max([part(options.rounds, port, folder) for part in chosen])
    finally:
        server.terminate()
        server.join()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
