"""One way to print what a program found."""

from __future__ import annotations

import attrs


@attrs.frozen
class Line:
    """A goal and what became of it.

    Attributes:
        goal: its number in the README's table, ``-`` for a figure without a goal.
        what: in words.
        figure: what was measured, as text.
        target: what it is to be, as text.
        reached: None when there is nothing to reach.
        note: anything else.

    """

    goal: str
    what: str
    figure: str
    target: str = ""
    reached: bool | None = None
    note: str = ""


_WORDS = {True: "yes", False: "NO", None: "-"}


def show(title: str, lines: list[Line]) -> int:
    """Print a table and give the exit status: 1 when a goal was missed."""
    rows = [("goal", "what", "figure", "target", "reached", "note")]
    rows += [(x.goal, x.what, x.figure, x.target, _WORDS[x.reached], x.note) for x in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    print(f"\n{title}")
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row[:5], widths, strict=True)]
        print("  ".join([*cells, row[5]]).rstrip())
    return int(any(line.reached is False for line in lines))
