"""An aiohttp service that makes videos: submit, ask, and be woken by the vendor's callback.

    pip install avatarkit
    export HIFLY_TOKEN=… WEBHOOK_SECRET=$(python -c "import secrets; print(secrets.token_urlsafe(32))")
    python docs/examples/aiohttp_app.py

Set the printed address in HiFly's console.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from avatarkit import AsyncHiFly, InvalidHandle, TaskFailed, WaitTimeout
from avatarkit.webhooks import Webhooks
from avatarkit.webhooks.aiohttp import routes

CLIENT = web.AppKey("client", AsyncHiFly)


async def submit(request: web.Request) -> web.Response:
    """Submit a video: ``{"text": …, "avatar": …, "voice": …}``."""
    order = await request.json()
    task = await request.app[CLIENT].videos.create_by_tts(
        text=order["text"], avatar=order["avatar"], voice=order["voice"]
    )
    return web.json_response({"token": task.to_token()}, status=202)


async def show(request: web.Request) -> web.Response:
    """Where a video is; waits up to ``?wait=`` seconds for its end, which the callback announces."""
    try:
        task = request.app[CLIENT].task(request.match_info["token"])
        video = await task.wait(timeout=float(request.query.get("wait", "20")))
    except InvalidHandle as error:
        raise web.HTTPNotFound(text=str(error)) from None
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

    app = web.Application()
    app[CLIENT] = client
    app.cleanup_ctx.append(living)
    app.add_routes([web.post("/videos", submit), web.get("/videos/{token}", show), *routes(webhooks)])
    return app


if __name__ == "__main__":
    web.run_app(create_app(), port=8000, access_log=None)  # an access log would hold the secret path
