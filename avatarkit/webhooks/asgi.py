"""Callbacks through ASGI: standalone under any ASGI server, or mounted in FastAPI and Starlette. Needs neither."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from avatarkit.webhooks.receiver import LARGEST_BODY, NOT_ALLOWED, NOT_FOUND, TOO_LARGE, Reply, Webhooks

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


def app(webhooks: Webhooks) -> Application:
    """An ASGI application that answers at the paths of *webhooks*, and 404 everywhere else.

    Mount it at ``webhooks.prefix``, then the paths are those that ``webhooks.path`` gives; mounted elsewhere, the
    mount's path comes before them. Lifespan events are answered and do nothing.
    """

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _send(send, await _answer(webhooks, scope, receive))
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})

    return application


async def _answer(webhooks: Webhooks, scope: Message, receive: Receive) -> Reply:
    # Servers and frameworks disagree whether "path" contains "root_path".
    path, root = scope["path"], scope.get("root_path", "")
    provider = webhooks.provider_at(path, path.removeprefix(root), root + path)
    if provider is None:
        return NOT_FOUND
    if scope["method"] != "POST":
        return NOT_ALLOWED
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body = await _body(receive)
    return TOO_LARGE if body is None else await webhooks.handle(provider, headers, body)


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when it is too large or never came to its end."""
    pieces: list[bytes] = []
    left = LARGEST_BODY
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        piece = message.get("body", b"")
        left -= len(piece)
        if left < 0:
            return None
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


async def _send(send: Send, reply: Reply) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers.items()]
    headers.append((b"content-length", str(len(reply.body)).encode("ascii")))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _live(receive: Receive, send: Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return
