"""``avatarkit webhooks serve``: a receiver for vendors' callbacks to try them out with, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from avatarkit.cli import output
from avatarkit.cli.failures import Interrupted
from avatarkit.cli.invocation import Invocation, command
from avatarkit.cli.options import BaseUrl
from avatarkit.cli.running import opened, run
from avatarkit.errors import AvatarKitError, ConfigurationError
from avatarkit.protocol.callback import CallbackEvent
from avatarkit.protocol.handle import from_token

if TYPE_CHECKING:
    from avatarkit.webhooks import Webhooks

_VARIABLE = "AVATARKIT_WEBHOOK_SECRET"
_STOPPED = "the receiver is closed"


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    group = typer.Typer(help="Receive vendors' callbacks.", no_args_is_help=True)
    command(group, "serve")(serve)
    app.add_typer(group, name="webhooks")


def serve(
    invocation: Invocation,
    *,
    tokens: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TOKEN]...", help="Tasks to wait for; callbacks wake them."),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 picks a free one.")] = 8766,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    public_url: Annotated[
        str,
        typer.Option("--public-url", metavar="URL", help="Where vendors reach it, e.g. a tunnel's address."),
    ] = "",
    base_url: BaseUrl = None,
) -> None:
    """Listen for callbacks and show them, until Ctrl-C. For a try-out: a service mounts avatarkit.webhooks itself.

    The paths follow from AVATARKIT_WEBHOOK_SECRET (at least 16 characters); without it they change with every start.
    Signatures are checked when KLING_WEBHOOK_SECRET is set.
    """
    handles = [from_token(token) for token in tokens or ()]

    async def main() -> None:
        hooks = _receiver(invocation)
        async with AsyncExitStack() as stack:
            clients: dict[str, Any] = {}
            for provider in {handle.provider for handle in handles}:
                clients[provider] = await stack.enter_async_context(
                    opened(invocation, provider, base_url=base_url)
                )
                hooks.add(clients[provider])
            tasks = [clients[h.provider].task(t) for h, t in zip(handles, tokens or (), strict=True)]
            base = await stack.enter_async_context(_listening(hooks, host, port))
            _announce(invocation, {name: hooks.url(name, public_url or base) for name in hooks.providers})
            await asyncio.gather(*(_follow(invocation, task) for task in tasks))
            await asyncio.get_running_loop().create_future()

    try:
        run(invocation, main)
    except Interrupted:
        output.note(invocation, _STOPPED)


def _receiver(invocation: Invocation) -> Webhooks:
    from avatarkit.webhooks import Webhooks  # other commands do not need it
    from avatarkit.webhooks.receiver import signing_providers

    variables = {name: os.environ.get(f"{name.upper()}_WEBHOOK_SECRET", "") for name in signing_providers()}
    return Webhooks(
        secret_path=os.environ.get(_VARIABLE) or None,
        secrets={name: secret for name, secret in variables.items() if secret},
        on_event=lambda event: _show(invocation, event),
    )


@asynccontextmanager
async def _listening(hooks: Webhooks, host: str, port: int) -> AsyncIterator[str]:
    """The server's base URL.

    Raises:
        ConfigurationError: its port cannot be had.

    """
    from avatarkit.webhooks.aiohttp import serving

    async with AsyncExitStack() as stack:
        try:
            base = await stack.enter_async_context(serving(hooks, host=host, port=port))
        except OSError as error:
            raise ConfigurationError(
                f"the receiver cannot listen: {error.strerror or error}",
                hint="Choose another port, or --port 0 for any free one.",
            ) from None
        yield base


def _announce(invocation: Invocation, addresses: dict[str, str]) -> None:
    if invocation.json:
        output.write_json({"callbacks": addresses})
    else:
        output.facts(addresses.items())
    if not os.environ.get(_VARIABLE):
        output.note(invocation, f"these addresses change with every start; set {_VARIABLE} to keep them")
    output.note(invocation, "Ctrl-C ends it")


def _show(invocation: Invocation, event: CallbackEvent) -> None:
    name = event.task_id or event.marker or "(no task)"
    trust = "signed" if event.signed else "not signed"
    text = f"{event.provider}  {event.kind or 'task'}  {name}  {event.status}  ({trust})"
    _tell(invocation, text)


async def _follow(invocation: Invocation, task: Any) -> None:
    try:
        await task.wait(timeout=None)
    except AvatarKitError as error:
        _tell(invocation, f"{task.provider}  {task.kind}  {task.id}  {error}")
    else:
        _tell(invocation, f"{task.provider}  {task.kind}  {task.id}  is done (looked at, not believed)")


def _tell(invocation: Invocation, text: str) -> None:
    # With --json standard output holds the addresses, one document, and nothing else.
    if invocation.json:
        output.note(invocation, text)
    else:
        output.line(text)
