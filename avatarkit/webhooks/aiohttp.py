"""Callbacks through an aiohttp server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from avatarkit.webhooks.receiver import LARGEST_BODY, NOT_ALLOWED, NOT_FOUND, TOO_LARGE, Reply, Webhooks


def routes(webhooks: Webhooks) -> web.RouteTableDef:
    """Routes for ``app.add_routes(routes(webhooks))``; they answer at the paths that ``webhooks.path`` gives."""
    table = web.RouteTableDef()

    @table.route("*", webhooks.prefix + "/{provider}/{token}")
    async def callback(request: web.Request) -> web.Response:
        reply = await _answer(webhooks, request)
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    return table


@asynccontextmanager
async def serving(webhooks: Webhooks, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """A server of its own for *webhooks*, for scripts and try-outs; gives its base URL, without a slash at the end.

    Args:
        host: address to listen on.
        port: 0 picks a free one.

    Raises:
        OSError: the port cannot be had.

    """
    application = web.Application()
    application.add_routes(routes(webhooks))
    runner = web.AppRunner(application, access_log=None)  # an access log would hold the secret paths
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _answer(webhooks: Webhooks, request: web.Request) -> Reply:
    # A sub-application's requests have the whole path; what comes before the prefix is the mount's.
    names = request.match_info
    provider = webhooks.provider_at(f"{webhooks.prefix}/{names['provider']}/{names['token']}")
    if provider is None:
        return NOT_FOUND
    if request.method != "POST":
        return NOT_ALLOWED
    body = await _body(request)
    return TOO_LARGE if body is None else await webhooks.handle(provider, request.headers, body)


async def _body(request: web.Request) -> bytes | None:
    """The whole body; None when it is too large. The application's own limit does not matter here."""
    pieces, left = [], LARGEST_BODY
    async for piece in request.content.iter_chunked(65536):
        left -= len(piece)
        if left < 0:
            return None
        pieces.append(piece)
    return b"".join(pieces)
