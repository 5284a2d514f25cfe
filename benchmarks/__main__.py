"""``python -m benchmarks [NAME …] [--quick] [--list]``: run programs and print what became of the goals."""

from __future__ import annotations

import importlib
import inspect
import sys

PROGRAMS = (
    "throughput",
    "waiting",
    "imports",
    "codec",
    "transfer",
    "limiter",
    "polling",
    "rounds",
    "bridge",
    "webhooks",
    "ledger",
    "bulk",
)
QUICK = ("throughput", "waiting", "imports", "codec", "rounds", "bulk")  # those that know --quick


def _run(name: str, options: list[str]) -> int:
    try:
        module = importlib.import_module(f"benchmarks.{name}")
    except ModuleNotFoundError as error:
        print(f"\n{name}: not here ({error})")
        return 1
    if name not in QUICK:
        options = [option for option in options if option != "--quick"]
    # A program that takes no arguments reads the command line, which then must hold nothing of ours.
    sys.argv = [f"benchmarks.{name}"]
    takes = bool(inspect.signature(module.main).parameters)
    return int((module.main(options) if takes else module.main()) or 0)


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if "--list" in arguments:
        for name in PROGRAMS:
            module = importlib.import_module(f"benchmarks.{name}")
            print(f"{name:11} {(module.__doc__ or '').strip().splitlines()[0]}")
        return 0
    options = [text for text in arguments if text.startswith("-")]
    names = [text for text in arguments if not text.startswith("-")] or list(PROGRAMS)
    unknown = [name for name in names if name not in PROGRAMS]
    if unknown:
        print(f"no such program: {', '.join(unknown)}; there are {', '.join(PROGRAMS)}")
        return 2
    return max(_run(name, options) for name in names)


if __name__ == "__main__":
    raise SystemExit(main())
