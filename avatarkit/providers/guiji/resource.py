"""What Guiji's groups of operations share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

from avatarkit.client import AsyncResource
from avatarkit.models import Page
from avatarkit.protocol.endpoint import Endpoint
from avatarkit.providers.guiji import checks
from avatarkit.providers.guiji import endpoints as ep
from avatarkit.settings import CallOptions


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_HasId)


async def walk(fetch: Callable[[int], Awaitable[Page[R]]]) -> AsyncGenerator[R, None]:
    """Every row of a list, page by page, none twice: new rows push others onto the next page meanwhile."""
    seen: set[str] = set()
    number = 1
    while True:
        page = await fetch(number)
        fresh = [item for item in page.items if item.id not in seen]
        seen.update(item.id for item in fresh)
        for item in fresh:
            yield item
        # A page without anything new: the vendor ignores the number, or rows left the list as fast as we walked.
        if not page.more or (page.items and not fresh):
            return
        number += 1


class AsyncGuijiResource(AsyncResource):
    """Lists and single rows."""

    async def _page(
        self,
        endpoint: Endpoint,
        page: int,
        size: int,
        options: CallOptions | None,
        problems: list[str] | None = None,
        **filters: Any,
    ) -> Page[Any]:
        found = problems or []
        checks.page_numbers(page, size, found)
        checks.settle(found)
        return await self._account.call(ep.page(endpoint, page, size, **filters), options)

    async def _get(self, endpoint: Endpoint, field: str, value: Any, options: CallOptions | None) -> Any:
        problems: list[str] = []
        thing_id = checks.task_id(value, problems, field=field)
        checks.settle(problems)
        return await self._account.call(ep.get(endpoint, thing_id), options)
