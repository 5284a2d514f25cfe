"""Options that several commands share."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Annotated

import attrs
import typer

from avatarkit.errors import InvalidRequest
from avatarkit.transport.names import safe_name
from avatarkit.transport.partfile import PartFile

Provider = Annotated[str, typer.Option("--provider", metavar="NAME", help="Whose API, e.g. hifly.")]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Another address of the API, e.g. a sandbox.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.001, metavar="S", help="Seconds to wait for the task to end.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]
Token = Annotated[str, typer.Argument(metavar="TOKEN", help="What a submission printed; begins with avk1.")]
Output = typer.Option(
    "--output", "-o", metavar="FILE", help="File, or folder (with a slash at its end if new)."
)


@attrs.frozen
class Target:
    """Where to save to: a file, or a folder in which the file gets a name of its own."""

    path: Path
    folder: bool


def as_target(text: str) -> Target:
    """*text* as a target; one that exists as a folder, or ends with a slash, is a folder."""
    folder = text.endswith(("/", os.sep))
    with contextlib.suppress(OSError):  # a name that is too long, for one; the trial tells
        folder = folder or Path(text).is_dir()
    return Target(Path(text), folder)


def check_target(target: Target, *, force: bool, title: str | None = None) -> list[str]:
    """What speaks against saving to *target*, found by really trying it before anything is paid for.

    In a folder the file is named after *title*, if there is one. What the trial makes is removed again.
    """
    path = target.path
    if target.folder:
        path /= f"{safe_name(title or '', default=f'avatarkit-{uuid.uuid4().hex}')}.mp4"
    if os.path.lexists(path) and not force:
        return [f"output: {path} exists; --force replaces it"]
    absent: list[Path] = []
    try:
        absent += [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
        # Permission bits do not tell what a mount, a quota or /proc will say.
        PartFile.acquire(path, overwrite=force, digest=False).close()
    except (InvalidRequest, OSError) as error:
        return [f"output: {error}"]
    finally:
        for folder in absent:
            with contextlib.suppress(OSError):
                folder.rmdir()
    return []


def settle(problems: list[str]) -> None:
    """Raise everything that was found, together.

    Raises:
        InvalidRequest: something was found. Nothing was sent.

    """
    if problems:
        raise InvalidRequest(problems)
