"""``avatarkit task show``, ``wait`` and ``download``: going on with a task that was submitted before.

Of a chain, which begins with ``avkc1.``, only ``wait`` submits the next steps.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from avatarkit.chain import AsyncChain
from avatarkit.cli import output
from avatarkit.cli.invocation import Invocation, command
from avatarkit.cli.options import (
    BaseUrl,
    Force,
    Output,
    Staging,
    Target,
    Timeout,
    Token,
    as_target,
    check_store,
    check_target,
    settle,
)
from avatarkit.cli.progress import Board
from avatarkit.cli.running import follow, opened, run
from avatarkit.errors import (
    AvatarKitError,
    ConfigurationError,
    DownloadFailed,
    InvalidRequest,
    WaitTimeout,
)
from avatarkit.events import ProgressHook
from avatarkit.models import Avatar, Kind, Voice
from avatarkit.protocol.chain_token import PREFIX as CHAIN_PREFIX
from avatarkit.protocol.chain_token import claimed_provider
from avatarkit.protocol.handle import Handle, from_token
from avatarkit.transport.download import Downloaded

_FILES = (Kind.VIDEO, Kind.AUDIO)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    group = typer.Typer(help="Go on with a task by its token.", no_args_is_help=True)
    command(group, "show")(show)
    command(group, "wait")(wait)
    command(group, "download")(download)
    app.add_typer(group, name="task")


def _said(token: str) -> Handle:
    """What *token* says of itself; a chain's makes a video. The client checks whether it is true."""
    if token.strip().startswith(CHAIN_PREFIX):
        return Handle(provider=claimed_provider(token), account="", kind=Kind.VIDEO, task_id="", born=0.0)
    return from_token(token)


async def _look(task: Any) -> None:
    """Look at a task once, which never submits anything."""
    await (task.current if isinstance(task, AsyncChain) else task).refresh()


def show(invocation: Invocation, *, token: Token, base_url: BaseUrl = None) -> None:
    """Look at a task once. Free."""
    handle = _said(token)

    async def main() -> dict[str, Any]:
        async with opened(invocation, handle.provider, base_url=base_url) as client:
            task = client.task(token)
            await _look(task)
            return about(task)

    told = run(invocation, main)
    if invocation.json:
        output.write_json(told)
        return
    progress = f"{told['progress']:.0%} (estimated)" if told["status"] in ("queued", "running") else ""
    output.facts(
        [(name, str(told[name])) for name in ("provider", "kind", "task_id", "title", "status", "raw_status")]
        + [("step", told.get("step", "")), ("progress", progress), ("age", f"{told['elapsed']:.0f} s")]
    )


def about(task: Any) -> dict[str, Any]:
    """What is known of a task, as plain data."""
    step = {}
    if isinstance(task, AsyncChain):
        step = {"step": f"{task.step + 1} of {len(task.steps)}: {task.steps[task.step]}"}
    return step | {
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
    staging: Staging = None,
) -> None:
    """Wait until a task ends; with -o save what it made. Free, but for the next steps of a chain (avkc1.)."""
    handle = _said(token)
    target = None if output_to is None else as_target(output_to)
    if target is not None:
        _check(handle.kind, target, handle.marker, force=force)

    async def main() -> dict[str, Any]:
        if target is not None:
            await check_store(target, force=force)
        async with opened(invocation, handle.provider, base_url=base_url, staging=staging) as client:
            task = client.task(token)
            invocation.ledger.open.append(task.to_token())
            async with Board(invocation) as board:
                tell_tokens(invocation, board)
                made, row = await follow(invocation, board, task, task.marker or task.id, timeout=timeout)
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
    handle = _said(token)
    target = as_target(output_to)
    _check(handle.kind, target, handle.marker, force=force)

    async def main() -> dict[str, Any]:
        await check_store(target, force=force)
        async with opened(invocation, handle.provider, base_url=base_url) as client:
            task = client.task(token)
            await _look(task)
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
        if target.folder and not target.url:
            target.path.mkdir(parents=True, exist_ok=True)
        saved: Downloaded = await made.save(target.url or target.path, overwrite=force, progress=progress)
    except (InvalidRequest, ConfigurationError, OSError) as error:
        if isinstance(error, AvatarKitError) and not isinstance(error, InvalidRequest | ConfigurationError):
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
    return {"path": getattr(saved, "location", str(saved.path)), "size": saved.size}


def tell_tokens(invocation: Invocation, board: Board) -> None:
    """From here on, print the token of each video, sound or voice the moment that its task is accepted.

    Those of steps before a chain's last one are only parts: the chain's own token is told in their place.
    """
    # On a terminal the token has to appear above the bars; it is told with --quiet, too.
    say = output.warn if invocation.quiet else board.say

    def tell(token: str) -> None:
        if _said(token).kind is not Kind.AVATAR:
            say(f"submitted, token: {token}")

    invocation.ledger.tell = tell
