"""Goals G1 to G7 and G10: what the whole path of a task costs, against aiohttp by hand.

A task is one submission and three looks with nothing between them. avatarkit's public calls and a hand-written loop
on aiohttp + orjson + an attrs object do it in alternating blocks of one process; the ratio of each block to the mean
of the two baseline blocks around it is one sample. CPU is the process's own, so a busy neighbour costs time but not
figures. Memory, throughput and peers run in a process each.

    python -m benchmarks throughput [--quick] [--in-flight 50,500,5000] [--no-peers]
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.clients import CONTENDERS, Contender
from benchmarks.report import Line, show
from benchmarks.server import fetch_stats, pin, running

PEERS = {"openai": 13.0, "httpx": 9.0, "httpx2": 6.5}


def resident(field: str = "VmRSS") -> int:
    """Bytes of this process by /proc: ``VmRSS`` now, ``VmHWM`` at its peak; 0 where there is no /proc."""
    try:
        with open("/proc/self/status") as lines:
            found = next(line for line in lines if line.startswith(field))
    except (OSError, StopIteration):
        return 0
    return int(found.split()[1]) * 1024


def forget_peak() -> None:
    """Start counting the peak anew."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


# -- inside a cell's process


def _timed(contender: Contender, tasks: int, in_flight: int) -> tuple[float, list[str]]:
    gc.collect()
    began = time.process_time()
    failed = contender.block(tasks, in_flight)
    return time.process_time() - began, failed


def pairs(base: str, name: str, in_flight: int, blocks: int) -> dict[str, Any]:
    """Alternating blocks of the unit and of *name*."""
    tasks = max(500, in_flight)  # a block long enough to time
    baseline, peer = CONTENDERS["raw"](base), CONTENDERS[name](base)
    failed: list[str] = []
    for contender in (baseline, peer):
        contender.block(max(100, in_flight // 5), in_flight)
    units = [_timed(baseline, tasks, in_flight)[0]]
    costs = []
    for _ in range(blocks):
        cost, errors = _timed(peer, tasks, in_flight)
        failed += errors
        costs.append(cost)
        units.append(_timed(baseline, tasks, in_flight)[0])
    baseline.close()
    peer.close()
    ratios = [2 * cost / (units[at] + units[at + 1]) for at, cost in enumerate(costs)]
    scale = 1e6 / tasks / baseline.requests_per_task
    return {
        "ratios": ratios,
        "unit_us": statistics.median(units) * scale,
        "own_us": statistics.median(costs) * scale,
        "failed": failed,
        "tasks": tasks * blocks,
    }


def single(base: str, name: str, in_flight: int, tasks: int) -> dict[str, Any]:
    """One run of *name* in a process that has done nothing else but a short warm-up."""
    contender = CONTENDERS[name](base)
    contender.block(200, 50)
    gc.collect()
    fetch_stats(base)
    forget_peak()
    before, began, cpu = resident(), time.perf_counter(), time.process_time()
    failed = contender.block(tasks, in_flight)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resident("VmHWM")
    stats = fetch_stats(base)
    contender.close()
    return {
        "seconds": seconds,
        "cpu": cpu,
        "growth": peak - before,
        "peak": peak,
        "failed": failed,
        "requests": stats["requests"],
        "connections": stats["connections"],
    }


def cell(kind: str, base: str, *args: str) -> dict[str, Any]:
    """Run one cell in a process of its own and give what it found."""
    command = [sys.executable, "-m", "benchmarks.throughput", "--cell", kind, base, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{kind} {args}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# -- the tables


def quartiles(samples: list[float]) -> str:
    """Median and quartiles of some samples."""
    if len(samples) < 2:
        return f"{samples[0]:.2f}"
    low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def _cpu(base: str, sizes: list[int], quick: bool, lines: list[Line]) -> float:
    goals = {50: ("G1", 1.15), 500: ("G2", 1.05), 5000: ("G2", 0.95)}
    own: dict[int, float] = {}
    at_50 = 0.0
    for size in sizes:
        blocks = {50: 15, 500: 15}.get(size, 5) // (3 if quick else 1)
        found = cell("pairs", base, "sdk", str(size), str(max(blocks, 2)))
        ratio = statistics.median(found["ratios"])
        # Within one run the machine's speed drifts; the ratio to the unit at 50, times the unit's, stands for cost.
        own[size] = found["own_us"]
        if size == 50:
            at_50 = found["unit_us"]
        number, goal = goals.get(size, ("-", 0.0))
        note = f"{found['own_us']:.0f} against {found['unit_us']:.0f} us a request"
        if found["failed"]:
            note += f"; {len(found['failed'])} failed"
        reached = (ratio <= goal and not found["failed"]) if goal else None
        lines.append(
            Line(
                number,
                f"CPU a request at {size:,} in flight",
                quartiles(found["ratios"]),
                f"<= {goal:.2f}" if goal else "",
                reached,
                note,
            )
        )
    if 50 in own and 5000 in own:
        growth = own[5000] / own[50]
        lines.append(
            Line("G3", "own CPU at 5,000 over own at 50", f"{growth:.2f}", "<= 1.15", growth <= 1.15, "")
        )
    return at_50


def _uvloop(base: str, quick: bool, lines: list[Line]) -> None:
    if importlib.util.find_spec("uvloop") is None:
        lines.append(Line("G4", "with uvloop at 50 in flight", "not installed", "<= 0.90", None, ""))
        return
    found = cell("pairs", base, "sdk-uvloop", "50", "5" if quick else "15")
    ratio = statistics.median(found["ratios"])
    lines.append(
        Line(
            "G4",
            "with uvloop, unit on asyncio, at 50",
            quartiles(found["ratios"]),
            "<= 0.90",
            ratio <= 0.90,
            "",
        )
    )


def _peers(base: str, quick: bool, lines: list[Line], sdk_ratio: float) -> None:
    for name, goal in PEERS.items():
        if importlib.util.find_spec(name) is None:
            lines.append(
                Line("G5", f"{name} over avatarkit at 50", "not installed", f">= {goal:g}", None, "")
            )
            continue
        found = cell("pairs", base, name, "50", "2" if quick else "3")
        ratio = statistics.median(found["ratios"]) / sdk_ratio
        note = f"{name} is {quartiles(found['ratios'])} of the unit"
        lines.append(
            Line("G5", f"{name} over avatarkit at 50", f"{ratio:.1f}", f">= {goal:g}", ratio >= goal, note)
        )


def _whole_runs(base: str, quick: bool, lines: list[Line]) -> None:
    rounds = 1 if quick else 3
    runs: dict[str, list[dict[str, Any]]] = {"raw": [], "sdk": []}
    small: dict[str, list[float]] = {"raw": [], "sdk": []}
    for _ in range(rounds):
        for name, found in runs.items():
            found.append(cell("single", base, name, "5000", "5000"))
            small[name].append(cell("single", base, name, "50", "2000")["peak"])
    speed = statistics.median(
        raw["seconds"] / sdk["seconds"] for raw, sdk in zip(runs["raw"], runs["sdk"], strict=True)
    )
    failed = sum(len(run["failed"]) for run in runs["sdk"])
    rate = 5000 / statistics.median(run["seconds"] for run in runs["sdk"])
    lines.append(
        Line(
            "G6",
            "5,000 tasks at once: tasks/s over the unit's",
            f"{speed:.2f}",
            ">= 0.85",
            speed >= 0.85 and not failed,
            f"{failed} failed, {rate:,.0f} tasks/s",
        )
    )
    growth = {name: statistics.median(run["growth"] for run in found) / 5000 for name, found in runs.items()}
    lines.append(
        Line(
            "G7",
            "memory growth a job of that run, KiB",
            f"{growth['sdk'] / 1024:.1f}",
            "<= 3",
            growth["sdk"] <= 3 * 1024,
            f"the unit: {growth['raw'] / 1024:.1f}; the caller's coroutine included",
        )
    )
    peak = statistics.median(small["sdk"]) / statistics.median(small["raw"])
    lines.append(
        Line(
            "G10",
            "peak memory of the process at 50 in flight",
            f"{peak:.2f}",
            "<= 1.25",
            peak <= 1.25,
            f"{statistics.median(small['sdk']) / 2**20:.0f} MiB",
        )
    )


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["--cell"]:
        pin(0)
        kind, base, name, *numbers = arguments[1:]
        found = (pairs if kind == "pairs" else single)(base, name, int(numbers[0]), int(numbers[1]))
        print(json.dumps(found))
        return 0
    parser = argparse.ArgumentParser(prog="benchmarks throughput")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--in-flight", default="50,500,5000")
    parser.add_argument("--no-peers", action="store_true")
    options = parser.parse_args(arguments)
    sizes = [int(size) for size in options.in_flight.split(",")]
    lines: list[Line] = []
    with running() as base:
        _cpu(base, sizes, options.quick, lines)
        _uvloop(base, options.quick, lines)
        if not options.no_peers:
            first = float(lines[0].figure.split()[0])
            _peers(base, options.quick, lines, first)
        _whole_runs(base, options.quick, lines)
    return show(f"throughput, {os.cpu_count()} cores", lines)


if __name__ == "__main__":
    raise SystemExit(main())
