"""What the suites over all providers share: two sides, a sandbox, clients, and a check that nothing is left over."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401 - its plugins look at the garbage collector's lists, so before we freeze them
import pytest
from house import House
from sides import SIDES, Side

from avatarkit import providers
from avatarkit.protocol.endpoint import Effect
from avatarkit.protocol.samples import Login, Operation, Samples


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


def _logins(metafunc: pytest.Metafunc, provider: str) -> tuple[Login | None, ...]:
    """None is the usual way to authenticate; the others too for those who use the fixture ``every_login``."""
    if {"every_login", "house"} <= set(metafunc.fixturenames):
        return (None, *_samples(provider).logins)
    return (None,)


def _allowed(login: Login | None, row: Any) -> bool:
    return login is None or getattr(row, "method", "") not in login.refused


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for a ``house`` runs for each provider and side; some for each row of a table.

    Those that use the fixture ``every_login`` run for each way to authenticate as well.
    """
    wanted = metafunc.fixturenames
    if metafunc.definition.path.parent.name not in ("conformance", "faults"):
        return  # elsewhere "provider" and "answer" are other words
    tables = [name for name in _TABLES if name in wanted]
    doors = [(name, login) for name in providers.names() for login in _logins(metafunc, name)]
    if tables:
        (table,) = tables
        rows = [
            (name, login, row)
            for name, login in doors
            for row in _TABLES[table](_samples(name))
            if _allowed(login, row)
        ]
        names = [f"{_door(name, login)}-{_label(row)}" for name, login, row in rows]
        _fill_in(metafunc, ("provider", "login", table), rows, names)
    elif "provider" in wanted and "provider" not in _said(metafunc):
        _fill_in(metafunc, ("provider", "login"), doors, [_door(*door) for door in doors])
    if "side_name" in wanted:
        metafunc.parametrize("side_name", list(SIDES))


def _fill_in(
    metafunc: pytest.Metafunc, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]], ids: list[str]
) -> None:
    """Parametrize with those *columns* that the test asks for, directly or through a fixture."""
    used = [index for index, name in enumerate(columns) if name in metafunc.fixturenames]
    kept = [tuple(row[index] for index in used) for row in rows]
    metafunc.parametrize([columns[index] for index in used], kept, ids=ids)


def _said(metafunc: pytest.Metafunc) -> set[str]:
    """What a file fills in itself."""
    names: set[str] = set()
    for mark in metafunc.definition.iter_markers("parametrize"):
        given = mark.args[0]
        names |= set(given.replace(" ", "").split(",") if isinstance(given, str) else given)
    return names


def _door(provider: str, login: Login | None) -> str:
    return provider if login is None else f"{provider}-{login.label}"


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
def login() -> Login | None:
    """The usual way to authenticate."""
    return None


@pytest.fixture
def every_login() -> None:
    """Makes a test run for each way to authenticate (``pytest.mark.usefixtures``)."""


@pytest.fixture
def house(side: Side, provider: str, login: Login | None, tmp_path: Path) -> Iterator[House]:
    """A sandbox and clients, closed at the end."""
    house = House(side, provider, tmp_path, login)
    try:
        yield house
    finally:
        house.close()
