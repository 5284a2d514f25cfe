"""Goal G11: what importing avatarkit costs, and what a client that is ready costs, against ``import aiohttp``.

CPU of a fresh interpreter from its first line on, so the interpreter itself is not in it. Cases take turns.

    python -m benchmarks imports [--quick]
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from benchmarks.report import Line, show

_READY = """
import asyncio, avatarkit
async def main():
    client = avatarkit.AsyncHiFly("x", base_url="http://127.0.0.1:9")
    client._account.engine().sessions.api
    global used
    used = time.process_time() - began
    await client.aclose()
asyncio.run(main())
"""
CASES = {
    "aiohttp": "import aiohttp",
    "avatarkit": "import avatarkit",
    "a name": "from avatarkit import AsyncHiFly",
    "ready": _READY,
    "attrs, cattrs, orjson": "import attrs, cattrs, orjson",
}


def measure(code: str) -> float:
    """Seconds of CPU that *code* takes in a fresh interpreter."""
    head, tail = (
        "import time\nbegan = time.process_time()\nused = None",
        "print(used or time.process_time() - began)",
    )
    program = f"{head}\n{code}\n{tail}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return float(done.stdout)


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    rounds = 5 if "--quick" in arguments else 15
    samples: dict[str, list[float]] = {name: [] for name in CASES}
    for code in CASES.values():
        measure(code)  # writes the .pyc files
    for _ in range(rounds):
        for name, code in CASES.items():
            samples[name].append(measure(code))
    unit = samples["aiohttp"]
    ratios = {
        name: statistics.median(own / base for own, base in zip(found, unit, strict=True))
        for name, found in samples.items()
    }
    spent = {name: f"{statistics.median(found) * 1e3:.0f} ms" for name, found in samples.items()}
    return show(
        f"imports over `import aiohttp` ({spent['aiohttp']})",
        [
            Line(
                "G11",
                "import avatarkit",
                f"{ratios['avatarkit']:.2f}",
                "<= 0.60",
                ratios["avatarkit"] <= 0.6,
                f"{spent['avatarkit']}; names load on first use",
            ),
            Line(
                "G11",
                "from avatarkit import AsyncHiFly",
                f"{ratios['a name']:.2f}",
                "<= 0.60",
                ratios["a name"] <= 0.6,
                f"{spent['a name']}; attrs, cattrs, orjson alone: {spent['attrs, cattrs, orjson']}",
            ),
            Line(
                "G11",
                "client ready, aiohttp loaded",
                f"{ratios['ready']:.2f}",
                "<= 1.15",
                ratios["ready"] <= 1.15,
                spent["ready"],
            ),
        ],
    )


if __name__ == "__main__":
    raise SystemExit(main())
