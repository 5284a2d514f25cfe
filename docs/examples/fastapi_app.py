"""A FastAPI service that makes videos: submit, ask, and be woken by the vendor's callback.

    pip install avatarkit fastapi uvicorn
    export HIFLY_TOKEN=… WEBHOOK_SECRET=$(python -c "import secrets; print(secrets.token_urlsafe(32))")
    uvicorn --factory docs.examples.fastapi_app:create_app --no-access-log

Set the printed address in HiFly's console. Run one worker process, or see docs/webhooks.md on several.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

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
from avatarkit.webhooks.asgi import app as callbacks

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

    @service.exception_handler(AvatarKitError)
    async def refused(_: Request, error: AvatarKitError) -> JSONResponse:
        return JSONResponse(*answer_to(error))

    @service.post("/videos", status_code=202)
    async def submit(order: Order) -> dict[str, str]:
        task = await client.videos.create_by_tts(text=order.text, avatar=order.avatar, voice=order.voice)
        return {"token": task.to_token()}  # keep it: whoever has it can go on with the task after a restart

    @service.get("/videos/{token}")
    async def show(token: str, wait: Annotated[float, Query(ge=0, le=600)] = 20.0) -> dict[str, str]:
        task = client.task(token)
        try:
            video = await task.wait(timeout=wait)  # no polling of yours: the callback ends the wait at once
        except TaskFailed as error:
            return {"status": "failed", "reason": error.reason}
        except WaitTimeout:
            return {"status": task.status}
        return {"status": task.status, "url": video.url}

    return service
