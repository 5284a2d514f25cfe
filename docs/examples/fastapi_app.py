"""A FastAPI service that makes videos: submit, ask, and be woken by the vendor's callback.

    pip install avatarkit fastapi uvicorn
    export HIFLY_TOKEN=… WEBHOOK_SECRET=$(python -c "import secrets; print(secrets.token_urlsafe(32))")
    uvicorn --factory docs.examples.fastapi_app:create_app --no-access-log

Set the printed address in HiFly's console. Run one worker process, or see docs/webhooks.md on several.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from avatarkit import AsyncHiFly, InvalidHandle, TaskFailed, WaitTimeout
from avatarkit.webhooks import Webhooks
from avatarkit.webhooks.asgi import app as callbacks


class Order(BaseModel):
    """What a customer wants said, by whom, in which voice."""

    text: str
    avatar: str
    voice: str


def create_app(**options: Any) -> FastAPI:
    """The service; *options* go to the client."""
    client = AsyncHiFly(**options)  # credentials come from the environment, nothing is opened yet
    webhooks = Webhooks(client, secret_path=os.environ["WEBHOOK_SECRET"])

    @asynccontextmanager
    async def lifespan(service: FastAPI) -> AsyncIterator[None]:
        async with client:
            print("callbacks:", webhooks.url("hifly", os.environ.get("PUBLIC_URL", "https://example.com")))
            yield

    service = FastAPI(lifespan=lifespan)
    service.mount(webhooks.prefix, callbacks(webhooks))

    @service.post("/videos", status_code=202)
    async def submit(order: Order) -> dict[str, str]:
        task = await client.videos.create_by_tts(text=order.text, avatar=order.avatar, voice=order.voice)
        return {"token": task.to_token()}  # keep it: whoever has it can go on with the task after a restart

    @service.get("/videos/{token}")
    async def show(token: str, wait: float = 20.0) -> dict[str, str]:
        try:
            task = client.task(token)
            video = await task.wait(timeout=wait)  # no polling of yours: the callback ends the wait at once
        except InvalidHandle as error:
            raise HTTPException(404, str(error)) from None
        except TaskFailed as error:
            return {"status": "failed", "reason": error.reason}
        except WaitTimeout:
            return {"status": task.status}
        return {"status": task.status, "url": video.url}

    return service
