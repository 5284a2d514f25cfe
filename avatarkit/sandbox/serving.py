"""The sandbox as a program: ``python -m avatarkit.sandbox``, and what the command line calls."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
import time
from typing import Literal

from avatarkit.sandbox.local import AsyncSandbox

_Render = Literal["auto", "studio", "plain", "tiny"]


async def run(sandbox: AsyncSandbox) -> None:
    """Serve until SIGINT or SIGTERM, saying on standard output where."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Windows has no such handlers; there KeyboardInterrupt ends the program.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    async with sandbox:
        lines = [f"sandbox  {sandbox.url}/", f"files    {sandbox.files_url}", f"token    {sandbox.token}"]
        lines.append(f"secret   {sandbox.secret}")
        lines += [f"{provider:8s} {sandbox.base_url(provider)}" for provider in sandbox.providers]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        await stop.wait()


def serve(
    *,
    port: int = 8765,
    host: str = "127.0.0.1",
    token: str = "sandbox-token",  # noqa: S107 - it opens nothing
    credits: float = 10000.0,  # noqa: A002 - the word every provider uses
    queue_seconds: float = 0.3,
    run_seconds: float = 1.5,
    max_running: int | None = None,
    requests_per_second: float | None = None,
    render: _Render = "auto",
    callback_url: str = "",
) -> None:
    """Run a sandbox in this process until it is interrupted; the parameters are those of AsyncSandbox.

    Raises OSError when the port is taken.
    """
    sandbox = AsyncSandbox(
        port=port,
        host=host,
        token=token,
        credits=credits,
        queue_seconds=queue_seconds,
        run_seconds=run_seconds,
        max_running=max_running,
        requests_per_second=requests_per_second,
        render=render,
        callback_url=callback_url,
        # Ids must differ from those of an earlier run, which a ledger may still hold.
        seed=time.time_ns(),
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(sandbox))


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m avatarkit.sandbox``; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m avatarkit.sandbox", description="A local provider to test with."
    )
    parser.add_argument("--port", type=int, default=8765, help="port of the page and the API (0: any)")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind")
    parser.add_argument("--token", default="sandbox-token", help="token of the first account")
    parser.add_argument("--credits", type=float, default=10000.0, help="its balance")
    parser.add_argument("--queue-seconds", type=float, default=0.3, help="how long a task is queued")
    parser.add_argument("--run-seconds", type=float, default=1.5, help="how long it runs, at least")
    parser.add_argument("--max-running", type=int, default=None, help="most unfinished tasks")
    parser.add_argument("--requests-per-second", type=float, default=None, help="cap, answered with HTTP 429")
    parser.add_argument("--render", choices=("auto", "studio", "plain", "tiny"), default="auto")
    parser.add_argument("--callback-url", default="", help="where events go (loopback only)")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        serve(**vars(parser.parse_args(arguments)))
    except OSError as problem:
        sys.stderr.write(f"the sandbox cannot start: {problem}\n")
        return 1
    return 0
