"""Printing: results on standard output (people's tables or one JSON document), everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avatarkit.cli.invocation import Invocation

_WIDE = 10_000  # a pipe has no width: long ids and tokens must stay in one piece there


def console(*, error: bool = False) -> Console:
    """A console on standard output or standard error; colours only on a terminal, and never with NO_COLOR."""
    made = Console(stderr=error, highlight=False, markup=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDE
    return made


def printable(text: str) -> str:
    """*text* without control characters: titles and messages come from outside and may hold escape codes."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def prepare_streams() -> None:
    """Let no character that the terminal's encoding lacks end a command with an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def write_json(document: Any, *, lines: bool = False) -> None:
    """*document* on standard output, as UTF-8 with a line end; *lines*: all of it on one line."""
    form = orjson.OPT_NON_STR_KEYS | (0 if lines else orjson.OPT_INDENT_2)
    try:
        data = orjson.dumps(document, option=form) + b"\n"
    except TypeError:  # a path with bytes that are no UTF-8; escaped, whoever reads it gets the same path
        data = json.dumps(document, indent=None if lines else 2).encode() + b"\n"
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:
        sys.stdout.write(data.decode())
    else:
        buffer.write(data)
    sys.stdout.flush()


def line(text: str) -> None:
    """One line of a result, never wrapped."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """One line on standard error, also with ``--quiet``. Where nobody reads it any more, nothing happens."""
    with suppress(OSError):  # a remark that is lost is no reason to leave a paid task
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


def note(invocation: Invocation, text: str) -> None:
    """One line for a person, on standard error; nothing with ``--quiet``."""
    if not invocation.quiet:
        warn(text)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = ()) -> None:
    """A table on standard output; *right* names the columns with numbers. Nothing is cut off, only folded."""
    target = console()
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    numbers = set(right)
    for name in columns:
        shown.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(printable(cell)) for cell in row))
    target.print(shown)


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one pair a line; values are never wrapped."""
    known = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in known), default=0)
    for name, value in known:
        line(f"{name:{width}}  {value}")


def size_text(count: int) -> str:
    """Bytes for people: ``394 kB``."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1000:.0f} kB"
    return f"{count / 1_000_000:.1f} MB"


def number_text(value: float | None) -> str:
    """A number without a needless fraction; ``""`` for None."""
    if value is None:
        return ""
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"
