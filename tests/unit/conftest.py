"""Fixtures of the unit tests."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
from bridge_ground import bridge_threads

from avatarkit._bridge import Lease


class WholeResponse(aiohttp.ClientResponse):
    """An aiohttp answer that aioresponses can build: aiohttp 3.14 wants one argument more than it passes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[aioresponses.aioresponses]:
    """aioresponses, made to work with the aiohttp that is installed."""
    monkeypatch.setattr(aioresponses.core, "ClientResponse", WholeResponse)
    with aioresponses.aioresponses() as mocked:
        yield mocked


@pytest.fixture
def lease() -> Iterator[Lease]:
    """A lease of the bridge; when it is given back no thread may be left."""
    lease = Lease()
    yield lease
    lease.close()
    assert bridge_threads() == []
