"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from avatarkit.errors import InvalidRequest
from avatarkit.transport.names import safe_name

Provider = Annotated[str, typer.Option("--provider", metavar="NAME", help="Whose API, e.g. hifly.")]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Another address of the API, e.g. a sandbox.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.001, metavar="S", help="Seconds to wait for the task to end.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]
Token = Annotated[str, typer.Argument(metavar="TOKEN", help="What a submission printed; begins with avk1.")]


def check_target(path: Path, *, force: bool, title: str | None = None) -> list[str]:
    """What speaks against saving to *path*, found before anything is paid for.

    *path* may be a folder; then the file is named after *title*, if there is one.
    """
    target = path
    if path.is_dir():
        if not title:
            return [] if os.access(path, os.W_OK) else [f"output: {path} cannot be written to"]
        target = path / f"{safe_name(title, default='result')}.mp4"
    if target.exists() and not force:
        return [f"output: {target} exists; --force replaces it"]
    parent = target.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        return [f"output: {parent} is not a folder"]
    return [] if os.access(parent, os.W_OK) else [f"output: {parent} cannot be written to"]


def settle(problems: list[str]) -> None:
    """Raise everything that was found, together.

    Raises:
        InvalidRequest: something was found. Nothing was sent.

    """
    if problems:
        raise InvalidRequest(problems)
