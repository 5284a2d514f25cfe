"""What the tests of the bridge share. Interrupts at random moments are in faults/."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


def bridge_threads() -> list[threading.Thread]:
    """Those that carry the blocking clients' loop; threads for files end by themselves when they have been idle."""
    return [t for t in threading.enumerate() if t.name == "avatarkit-bridge"]


async def answer(value: int = 42) -> int:
    return value


async def here() -> int:
    return threading.get_ident()


class Client:
    """An async client that notes whether it was closed."""

    def __init__(self) -> None:
        self.closed = 0

    async def aclose(self) -> None:
        self.closed += 1


async def count(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


@asynccontextmanager
async def opened(order: list[Any], *, swallow: bool = False) -> AsyncIterator[str]:
    order.append(asyncio.current_task())
    try:
        yield "value"
    except ValueError as exc:
        order.append(exc)
        if not swallow:
            raise
    finally:
        await asyncio.sleep(0)
        order.append(asyncio.current_task())
