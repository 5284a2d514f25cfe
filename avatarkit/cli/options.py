"""Options that several commands share."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Annotated

import attrs
import typer

from avatarkit.errors import InvalidRequest, UploadFailed
from avatarkit.transport.names import safe_name
from avatarkit.transport.partfile import PartFile
from avatarkit.transport.store_urls import is_store_url, parse_location
from avatarkit.transport.stores import Bucket

Provider = Annotated[str, typer.Option("--provider", metavar="NAME", help="Whose API, e.g. hifly.")]
BaseUrl = Annotated[
    str | None, typer.Option("--base-url", metavar="URL", help="Another address of the API, e.g. a sandbox.")
]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.001, metavar="S", help="Seconds to wait for the task to end.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]
Token = Annotated[
    str, typer.Argument(metavar="TOKEN", help="What a submission printed; begins with avk1. or avkc1.")
]
Output = typer.Option(
    "--output",
    "-o",
    metavar="FILE",
    help="File, folder (with a slash at its end if new), or s3://bucket/key.",
)
Staging = Annotated[
    str | None,
    typer.Option(
        "--staging", metavar="URL", help="Where to put local files for providers that take only URLs."
    ),
]


@attrs.frozen
class Target:
    """Where to save to: a file, or a folder in which the file gets a name of its own; *url* is in an object store."""

    path: Path
    folder: bool
    url: str = ""


def address_problems(name: str, text: str) -> list[str]:
    """What speaks against writing to *text*, given as *name*: no other URL than an object store's can be written to.

    As a path it would make folders like ``http:/host``. It is not quoted, since it may hold a password.
    """
    scheme, slashes, _ = text.partition("://")
    if not slashes or is_store_url(text):
        return []
    return [
        f"{name}: a URL of {scheme[:20]!r} found, a path or a URL of s3://, oss://, gs:// or az:// allowed"
    ]


def as_path(text: str) -> Path:
    """*text* as a path, for what is written to files only. Raises BadParameter, which names the option, for a URL."""
    scheme, slashes, _ = str(text).partition("://")
    if slashes:
        raise typer.BadParameter(f"a URL of {scheme[:20]!r} found, a path allowed")
    return Path(text)


def as_target(text: str) -> Target:
    """*text* as a target; one that exists as a folder, or ends with a slash, is a folder.

    Raises:
        ConfigurationError: it is the URL of an object store, but not a good one.
        InvalidRequest: it is another URL.

    """
    if is_store_url(text):
        where = parse_location(text)
        return Target(Path(where.path), not where.path or where.path.endswith("/"), url=text)
    settle(address_problems("output", text))
    folder = text.endswith(("/", os.sep))
    with contextlib.suppress(OSError):  # a name that is too long, for one; the trial tells
        folder = folder or Path(text).is_dir()
    return Target(Path(text), folder)


def check_target(target: Target, *, force: bool, title: str | None = None) -> list[str]:
    """What speaks against saving to *target*, found by really trying it before anything is paid for.

    In a folder the file is named after *title*, if there is one. What the trial makes is removed again.
    """
    if target.url:
        return []  # see check_store
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


async def check_store(target: Target, *, force: bool) -> None:
    """Look into the object store that *target* is in, if it is in one, before anything is paid for.

    Raises:
        InvalidRequest: the object exists, or the store does not answer.
        ConfigurationError, MissingCredentials, MissingExtra: the store cannot be used like this.

    """
    if not target.url:
        return
    where = parse_location(target.url)
    bucket = Bucket(where)
    try:
        # In a folder the name is not known yet; the question shows whether the store can be used at all.
        found = await bucket.head(f"{where.path}{uuid.uuid4().hex}.mp4" if target.folder else where.path)
    except UploadFailed as error:
        if force and error.http_status == 403:
            return  # one may be allowed to write there, and not to look
        raise InvalidRequest(f"output: {error}") from None
    finally:
        await bucket.aclose()
    if found is not None and not force:
        raise InvalidRequest(f"output: {where} exists; --force replaces it")


def settle(problems: list[str]) -> None:
    """Raise everything that was found, together.

    Raises:
        InvalidRequest: something was found. Nothing was sent.

    """
    if problems:
        raise InvalidRequest(problems)


Encoding = Annotated[
    str | None,
    typer.Option("--encoding", metavar="NAME", help="Of a CSV, e.g. gb18030, where it cannot be told."),
]
# What a bulk run is told once, wherever it is begun.
FileNames = Annotated[
    str | None, typer.Option("--name", metavar="TEMPLATE", help="Names of files, e.g. {team}/{key}.")
]
Budget = Annotated[
    float | None, typer.Option("--budget", min=0, metavar="N", help="The most to spend; inf: no bound.")
]
DefaultCost = Annotated[
    float | None,
    typer.Option("--default-cost", min=0, metavar="N", help="What a video of unknown price counts."),
]
Sidecar = Annotated[
    bool | None, typer.Option("--sidecar/--no-sidecar", help="A JSON file beside each video.")
]
Retries = Annotated[
    int | None,
    typer.Option("--retries", min=0, help="Times a job is made again when the provider failed (2). Billed."),
]
MaxFailures = Annotated[
    int | None,
    typer.Option("--max-failures", min=0, help="Failures in a row that stop the run (20); 0: never."),
]
