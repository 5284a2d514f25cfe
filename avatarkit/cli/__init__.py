"""The command line: ``avatarkit`` and ``python -m avatarkit``. The only part that knows typer and rich."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from avatarkit.cli.extras import install
from avatarkit.cli.streams import settle_streams


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with *arguments* (None: those of the process) and give the exit code.

    Never raises for anything a command does wrong; without typer and rich it says what to install and gives 1.
    """
    settle_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    lacking = _lacking()
    if lacking:
        advice = install("cli")
        message = f"the command line needs {' and '.join(lacking)}"
        sys.stderr.write(f"avatarkit: {message}; run: {advice}\n")
        if "--json" in given:
            error = {"type": "MissingExtra", "message": message, "hint": advice}
            sys.stdout.write(json.dumps({"error": error}) + "\n")
        return 1
    try:
        from avatarkit.cli.app import run
    except KeyboardInterrupt:  # in the first moments, when nothing was begun
        sys.stderr.write("avatarkit: stopped\n")
        return 130
    return run(given)


def _lacking() -> list[str]:
    lacking = []
    for name in ("typer", "rich"):
        try:
            __import__(name)
        except ImportError:
            lacking.append(name)
    return lacking
