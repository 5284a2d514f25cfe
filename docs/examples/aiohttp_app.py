"""An aiohttp service that makes videos: submit, ask, and be woken by the vendor's callback.

    pip install avatarkit
    export HIFLY_TOKEN=… WEBHOOK_SECRET=$(python -c "import secrets; print(secrets.token_urlsafe(32))")
    python docs/examples/aiohttp_app.py

Set the printed address in HiFly's console.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from avatarkit import (
    AsyncHiFly,
    AvatarKitError,
    BadRequest,
    DeadlineExceeded,
    InvalidHandle,
    InvalidRequest,
    ModerationRefused,
    NotFound,
    NotSent,
    RateLimited,
    TaskFailed,
    TooManyRunning,
    WaitTimeout,
)
from avatarkit.webhooks import Webhooks
from avatarkit.webhooks.aiohttp import routes

CLIENT = web.AppKey("client", AsyncHiFly)
LOG = logging.getLogger("videos")


def answer_to(error: AvatarKitError) -> tuple[dict[str, str], int]:
    """What a customer is told, and the HTTP status: 404 or 422 for mistakes of theirs, 503 where they may try again.

    502 is for the rest, a submission in doubt among them: nobody should repeat that unasked, it may be paid already.
    """
    status = 502
    if isinstance(error, InvalidHandle | NotFound):
        status = 404
    elif isinstance(error, InvalidRequest | BadRequest | ModerationRefused):
        status = 422
    elif isinstance(error, NotSent | RateLimited | TooManyRunning | DeadlineExceeded):
        status = 503
    if status > 500:
        # With the ticket of a doubt client.reconcile() can ask the vendor.
        LOG.error("%r %s", error, getattr(error, "ticket", ""))
    return {"detail": str(error)}, status


@web.middleware
async def refusals(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer with what went wrong, as JSON."""
    try:
        return await handler(request)
    except AvatarKitError as error:
        body, status = answer_to(error)
        return web.json_response(body, status=status)


async def submit(request: web.Request) -> web.Response:
    """Submit a video: ``{"text": …, "avatar": …, "voice": …}``."""
    try:
        order = await request.json()
        words = {name: order[name] for name in ("text", "avatar", "voice")}
    except (ValueError, KeyError, TypeError):
        raise web.HTTPUnprocessableEntity(text="an object with text, avatar and voice is needed") from None
    task = await request.app[CLIENT].videos.create_by_tts(**words)
    return web.json_response({"token": task.to_token()}, status=202)


async def show(request: web.Request) -> web.Response:
    """Where a video is; waits up to ``?wait=`` seconds for its end, which the callback announces."""
    wait = request.query.get("wait", "20")
    if not wait.isdecimal() or len(wait) > 3:
        raise web.HTTPUnprocessableEntity(text="wait: whole seconds, below 1000")
    task = request.app[CLIENT].task(request.match_info["token"])
    try:
        video = await task.wait(timeout=float(wait))
    except TaskFailed as error:
        return web.json_response({"status": "failed", "reason": error.reason})
    except WaitTimeout:
        return web.json_response({"status": task.status})
    return web.json_response({"status": task.status, "url": video.url})


def create_app(**options: Any) -> web.Application:
    """The service; *options* go to the client."""
    client = AsyncHiFly(**options)
    webhooks = Webhooks(client, secret_path=os.environ["WEBHOOK_SECRET"])

    async def living(app: web.Application) -> AsyncIterator[None]:
        async with client:
            print("callbacks:", webhooks.url("hifly", os.environ.get("PUBLIC_URL", "https://example.com")))
            yield

    app = web.Application(middlewares=[refusals])
    app[CLIENT] = client
    app.cleanup_ctx.append(living)
    app.add_routes([web.post("/videos", submit), web.get("/videos/{token}", show), *routes(webhooks)])
    return app


if __name__ == "__main__":
    web.run_app(create_app(), port=8000, access_log=None)  # an access log would hold the secret path
