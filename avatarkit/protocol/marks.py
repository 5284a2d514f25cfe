"""Names that tell one submission from every other, so that a lost one can be found in a provider's list."""

from __future__ import annotations

import hashlib
import re

LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0, 1: people read marks aloud
_MARKED = re.compile(r"(?:^| \[)ak[-:][a-z0-9]{8,}(?:-[0-9]+)?\]?$")


def mark_of(*parts: str | int, length: int = 10) -> str:
    """A mark of *length* letters that depends on *parts* alone: the same attempt has the same mark, always."""
    digest = hashlib.sha256("\0".join(map(str, parts)).encode()).digest()
    return "".join(LETTERS[byte % len(LETTERS)] for byte in digest[:length])


def plain(mark: str) -> str:
    """*mark* as a name of its own."""
    return f"ak-{mark}"


def marked(title: str, mark: str) -> str:
    """*title* with *mark* behind it."""
    return f"{title} [ak:{mark}]"


def is_unique(name: str) -> bool:
    """Whether *name* was made by avatarkit to be unique."""
    return _MARKED.search(name) is not None
