"""Fixtures for pytest, found by itself once avatarkit is installed. Loading it costs nothing until one is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from avatarkit import Sandbox


@pytest.fixture
def avatarkit_sandbox() -> Iterator[Sandbox]:
    """A sandbox on loopback with small made-up results and short delays, for blocking tests.

    ``avatarkit.HiFly(sandbox.token, base_url=sandbox.base_url("hifly"))`` is a client for it.
    """
    import avatarkit

    with avatarkit.Sandbox(render="tiny", queue_seconds=0.02, run_seconds=0.05) as sandbox:
        yield sandbox


@pytest.fixture
def avatarkit_virtual() -> Callable[[Callable[[], Any]], Any]:
    """Runs an async function in virtual time: ``avatarkit_virtual(main)``.

    Give its client and its sandbox ``clock=avatarkit.testing.VirtualClock()``.
    """
    from avatarkit.testing.virtual import run_virtual

    return run_virtual
