"""``avatarkit sandbox``: a local provider to develop against, until Ctrl-C."""

from __future__ import annotations

import asyncio
import enum
import os
import shlex
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatarkit import providers
from avatarkit.cli import output
from avatarkit.cli.extras import studio_remark
from avatarkit.cli.failures import Interrupted
from avatarkit.cli.invocation import Invocation, command
from avatarkit.cli.running import run
from avatarkit.errors import ConfigurationError

if TYPE_CHECKING:
    from avatarkit.sandbox.local import AsyncSandbox


class Render(enum.StrEnum):
    """How results are made."""

    AUTO = "auto"
    STUDIO = "studio"
    PLAIN = "plain"
    TINY = "tiny"


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    command(app, "sandbox")(sandbox)


def sandbox(
    invocation: Invocation,
    *,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 picks a free one.")] = 8765,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    token: Annotated[str, typer.Option("--token", help="Key of the account.")] = "sandbox-token",  # noqa: S107 - it opens nothing
    balance: Annotated[float, typer.Option("--credits", min=0, help="Credits of the account.")] = 10_000.0,
    max_running: Annotated[
        int | None, typer.Option("--max-running", min=1, help="Most unfinished tasks at once.")
    ] = None,
    requests_per_second: Annotated[
        float | None,
        typer.Option("--requests-per-second", min=0.001, help="More are answered with HTTP 429."),
    ] = None,
    queue_seconds: Annotated[
        float, typer.Option("--queue-seconds", min=0, help="How long a task is queued.")
    ] = 0.3,
    run_seconds: Annotated[
        float, typer.Option("--run-seconds", min=0, help="How long it runs, at least.")
    ] = 1.5,
    render: Annotated[Render, typer.Option("--render", help="How results are made.")] = Render.AUTO,
    callback_url: Annotated[
        str, typer.Option("--callback-url", metavar="URL", help="Where events go (loopback only).")
    ] = "",
) -> None:
    """Run a local server that speaks the providers' wire protocols, until Ctrl-C. Nothing costs money."""
    made = new_sandbox(
        port=port, host=host, token=token, credits=balance, max_running=max_running,
        requests_per_second=requests_per_second, queue_seconds=queue_seconds, run_seconds=run_seconds,
        render=render.value, callback_url=callback_url,
    )  # fmt: skip

    async def main() -> None:
        async with listening(made):
            _announce(invocation, made)
            await asyncio.get_running_loop().create_future()

    try:
        run(invocation, main)
    except Interrupted:
        output.note(invocation, "the sandbox is closed")


def new_sandbox(**options: Any) -> AsyncSandbox:
    """A sandbox whose ids differ from those of every earlier run."""
    from avatarkit.sandbox.local import AsyncSandbox  # brings a web server, which other commands do not need

    return AsyncSandbox(seed=time.time_ns(), **options)


@asynccontextmanager
async def listening(made: AsyncSandbox) -> AsyncIterator[AsyncSandbox]:
    """*made*, started.

    Raises:
        ConfigurationError: its port cannot be had.

    """
    try:
        await made.start()
    except OSError as error:
        raise ConfigurationError(
            f"the sandbox cannot listen: {error.strerror or error}",
            hint="Choose another port, or --port 0 for any free one.",
        ) from None
    try:
        yield made
    finally:
        await made.aclose()


def environment(made: AsyncSandbox) -> dict[str, str]:
    """The variables that make the SDK use *made*."""
    found = {}
    for name in made.providers:
        spec = providers.spec(name)
        found[spec.base_url_variable] = made.base_url(name)
        found |= zip(spec.credentials, (made.token, made.secret), strict=False)
    return found


def export_lines(variables: Iterable[tuple[str, str]]) -> list[str]:
    """Shell lines that set *variables*, for this system's usual shell."""
    if os.name == "nt":
        return [f'$env:{name}="{value}"' for name, value in variables]
    return [f"export {name}={shlex.quote(value)}" for name, value in variables]


def _announce(invocation: Invocation, made: AsyncSandbox) -> None:
    variables = environment(made)
    if invocation.json:
        told: dict[str, Any] = {"page": f"{made.url}/", "files": made.files_url, "environment": variables}
        output.write_json(told)
        return
    output.line(f"sandbox page: {made.url}/")
    for text in export_lines(variables.items()):
        output.line(text)
    if remark := studio_remark():
        output.note(invocation, remark)
    output.note(invocation, "Ctrl-C ends it")
