"""A listening socket that can really go away for a while and come back on the same port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

_BACKLOG = 1024


class Listener:
    """One origin's front door.

    Args:
        protocol: makes the protocol of each connection.
        host: address to bind.
        port: 0 picks a free one, which then stays the same.
    """

    def __init__(self, protocol: Callable[[], asyncio.BaseProtocol], host: str, port: int) -> None:
        self._protocol = protocol
        self._host = host
        self.port = port
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None

    async def open(self) -> None:
        """Start to listen. Raises OSError when the port is taken."""
        if self._server is not None:
            return
        sock, self._held = self._held or self._bound(), None
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._protocol, sock=sock, backlog=_BACKLOG
            )
        except BaseException:
            sock.close()
            raise

    def shut(self) -> None:
        """Stop to listen but keep the port: from now on connections are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
            # Bound but not listening, a socket refuses connections and keeps the port from others.
            self._held = self._bound()

    def close(self) -> None:
        """Stop to listen and give the port up."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._held is not None:
            self._held.close()
            self._held = None

    def _bound(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)  # noqa: FBT003
            sock.bind((self._host, self.port))
        except BaseException:
            sock.close()
            raise
        self.port = sock.getsockname()[1]
        return sock


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Break a connection so that the other side sees a reset, not an end."""
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # Not isinstance: the transports of uvloop are asyncio's by behaviour only.
    cast("asyncio.WriteTransport", transport).abort()
