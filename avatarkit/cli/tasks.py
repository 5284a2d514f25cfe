"""``avatarkit task show``, ``wait`` and ``download``: going on with a task that was submitted before."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from avatarkit.cli import output
from avatarkit.cli.invocation import Invocation, command
from avatarkit.cli.options import (
    BaseUrl,
    Force,
    Output,
    Target,
    Timeout,
    Token,
    as_target,
    check_target,
    settle,
)
from avatarkit.cli.progress import Board
from avatarkit.cli.running import opened, run
from avatarkit.errors import AvatarKitError, DownloadFailed, InvalidRequest, WaitTimeout
from avatarkit.events import ProgressHook
from avatarkit.models import Avatar, Kind, Voice
from avatarkit.protocol.handle import from_token
from avatarkit.transport.download import Downloaded

_FILES = (Kind.VIDEO, Kind.AUDIO)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    group = typer.Typer(help="Go on with a task by its token.", no_args_is_help=True)
    command(group, "show")(show)
    command(group, "wait")(wait)
    command(group, "download")(download)
    app.add_typer(group, name="task")


def show(invocation: Invocation, *, token: Token, base_url: BaseUrl = None) -> None:
    """Look at a task once. Free."""
    handle = from_token(token)

    async def main() -> dict[str, Any]:
        async with opened(invocation, handle.provider, base_url=base_url) as client:
            task = client.task(token)
            await task.refresh()
            return about(task)

    told = run(invocation, main)
    if invocation.json:
        output.write_json(told)
        return
    progress = f"{told['progress']:.0%} (estimated)" if told["status"] in ("queued", "running") else ""
    output.facts(
        [(name, str(told[name])) for name in ("provider", "kind", "task_id", "title", "status", "raw_status")]
        + [("progress", progress), ("age", f"{told['elapsed']:.0f} s")]
    )


def about(task: Any) -> dict[str, Any]:
    """What is known of a task, as plain data."""
    return {
        "provider": task.provider,
        "token": task.to_token(),
        "kind": task.kind.value,
        "task_id": task.id,
        "title": task.marker,
        "status": task.status.value,
        "raw_status": task.raw_status,
        "progress": round(task.progress, 3),
        "elapsed": round(task.elapsed, 1),
    }


def wait(
    invocation: Invocation,
    *,
    token: Token,
    timeout: Timeout = 3600.0,
    output_to: Annotated[str | None, Output] = None,
    force: Force = False,
    base_url: BaseUrl = None,
) -> None:
    """Wait until a task ends; with -o save what it made. Free."""
    handle = from_token(token)
    target = None if output_to is None else as_target(output_to)
    if target is not None:
        _check(handle.kind, target, handle.marker, force=force)

    async def main() -> dict[str, Any]:
        async with opened(invocation, handle.provider, base_url=base_url) as client:
            task = client.task(token)
            invocation.ledger.open.append(task.to_token())
            async with Board(invocation) as board:
                row = board.row(task.marker or task.id)
                made = await board.follow(task, task.marker or task.id, row, timeout=timeout)
                told = about(task) | result(made)
                if target is not None:
                    saved = await save(made, target, force=force, progress=board.transfer(row, "down"))
                    told |= file_facts(saved)
            invocation.ledger.done(task.to_token())
            return told

    told = run(invocation, main)
    if invocation.json:
        output.write_json(told)
        return
    output.line(told.get("path") or told.get("avatar") or told.get("voice") or told["status"])
    if handle.kind in _FILES and target is None:
        output.note(invocation, f"Save it with: avatarkit task download {token} -o FILE")


def download(
    invocation: Invocation,
    *,
    token: Token,
    output_to: Annotated[str, Output],
    force: Force = False,
    base_url: BaseUrl = None,
) -> None:
    """Save what a finished task made. Free; works again as long as the provider keeps the result."""
    handle = from_token(token)
    target = as_target(output_to)
    _check(handle.kind, target, handle.marker, force=force)

    async def main() -> dict[str, Any]:
        async with opened(invocation, handle.provider, base_url=base_url) as client:
            task = client.task(token)
            await task.refresh()
            if not task.done:
                raise WaitTimeout(
                    f"the {task.kind} is not finished: {task.status}", token=task.to_token(), task_id=task.id
                )
            made = await task.wait()
            invocation.ledger.open.append(task.to_token())
            invocation.ledger.ended.add(task.to_token())
            async with Board(invocation) as board:
                hook = board.transfer(board.row(task.marker or task.id), "down")
                saved = await save(made, target, force=force, progress=hook)
            invocation.ledger.done(task.to_token())
            return about(task) | result(made) | file_facts(saved)

    told = run(invocation, main)
    if invocation.json:
        output.write_json(told)
    else:
        output.line(told["path"])


def _check(kind: Kind, target: Target, title: str, *, force: bool) -> None:
    if kind not in _FILES:
        raise InvalidRequest(
            f"the task makes {'an' if kind is Kind.AVATAR else 'a'} {kind}, which is no file to save",
            hint="Leave -o away: avatarkit task wait TOKEN prints its id.",
        )
    settle(check_target(target, force=force, title=title))


async def save(made: Any, target: Target, *, force: bool, progress: ProgressHook) -> Downloaded:
    """Save what a task made; a folder is made if it is new.

    Raises:
        DownloadFailed: also for what :meth:`AsyncArtifact.save` calls an invalid request. The task was paid for and
            asked for its result by then, so nobody may be told that nothing was sent.

    """
    try:
        if target.folder:
            target.path.mkdir(parents=True, exist_ok=True)
        saved: Downloaded = await made.save(target.path, overwrite=force, progress=progress)
    except (InvalidRequest, OSError) as error:
        if isinstance(error, AvatarKitError) and not isinstance(error, InvalidRequest):
            raise
        raise DownloadFailed(f"the result is not saved: {error}") from error
    return saved


def result(made: Any) -> dict[str, Any]:
    """What a task made, as plain data; never its URL, which is signed."""
    if isinstance(made, Avatar):
        return {"avatar": made.id}
    if isinstance(made, Voice):
        return {"voice": made.id}
    return {"duration": made.duration, "cost": made.cost}


def file_facts(saved: Downloaded) -> dict[str, Any]:
    """A finished download as plain data."""
    return {"path": str(saved.path), "size": saved.size}
