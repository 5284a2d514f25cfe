"""What the suites over all providers share: two sides, a sandbox, clients, and a check that nothing is left over."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from house import House
from sides import SIDES, Side

from avatarkit import providers
from avatarkit.protocol.endpoint import Effect
from avatarkit.protocol.samples import Operation, Samples


def _samples(provider: str) -> Samples:
    found: Samples = providers.part(provider, "samples").SAMPLES
    return found


def _submissions(samples: Samples) -> Iterable[Operation]:
    """One operation for each endpoint that makes a task."""
    found = {o.endpoint.name: o for o in reversed(samples.operations) if o.endpoint.effect is Effect.SUBMIT}
    return reversed(found.values())


_TABLES: Mapping[str, Callable[[Samples], Iterable[Any]]] = {
    "operation": lambda samples: samples.operations,
    "submission": _submissions,
    "uploading": lambda samples: (o for o in samples.operations if o.gives == "UploadedFile"),
    "mistake": lambda samples: samples.mistakes,
    "refusal": lambda samples: samples.refusals,
    "answer": lambda samples: samples.answers,
    "lending": lambda samples: [samples.token] if samples.token is not None else [],
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for a ``house`` runs for each provider and side; some for each row of a table."""
    wanted = metafunc.fixturenames
    if metafunc.definition.path.parent.name not in ("conformance", "faults"):
        return  # elsewhere "provider" and "answer" are other words
    tables = [name for name in _TABLES if name in wanted]
    if tables:
        (table,) = tables
        rows = [(name, row) for name in providers.names() for row in _TABLES[table](_samples(name))]
        names = [f"{name}-{_label(row)}" for name, row in rows]
        metafunc.parametrize(("provider", table), rows, ids=names)
    elif "provider" in wanted and "provider" not in _said(metafunc):
        metafunc.parametrize("provider", providers.names())
    if "side_name" in wanted:
        metafunc.parametrize("side_name", list(SIDES))


def _said(metafunc: pytest.Metafunc) -> set[str]:
    """What a file fills in itself."""
    names: set[str] = set()
    for mark in metafunc.definition.iter_markers("parametrize"):
        given = mark.args[0]
        names |= set(given.replace(" ", "").split(",") if isinstance(given, str) else given)
    return names


def _label(row: Any) -> str:
    for name in ("name", "label", "code"):
        if hasattr(row, name):
            return str(getattr(row, name))
    return ""


@pytest.fixture(scope="session")
def _frozen_garbage() -> None:
    """What the imports left need not be gone through after each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def side(side_name: str, _frozen_garbage: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Side]:
    """One side, on a fresh loop; at the end no task and no socket may be left."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    # Client and sandbox share a thread, so what one wrote the other can read at once.
    monkeypatch.setattr("avatarkit.testing.virtual._GRACE", 0.0005)
    side = SIDES[side_name]()
    try:
        yield side
    finally:
        left = side.close()
        del side
        gc.collect()
    assert left == []


@pytest.fixture
def house(side: Side, provider: str, tmp_path: Path) -> Iterator[House]:
    """A sandbox and clients, closed at the end."""
    house = House(side, provider, tmp_path)
    try:
        yield house
    finally:
        house.close()
