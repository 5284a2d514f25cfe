"""A fifth provider, in a package of its own behind the entry point, is found by everything that loops over them."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House
from sides import AsyncSide

import avatarkit
from avatarkit import cli, generation, providers
from avatarkit.sandbox.discovery import find_fakes, path_labels

FOLDERS = Path(providers.__file__).parent
README = (FOLDERS / "README.md").read_text(encoding="utf-8")
URLS = {"image": "https://media.example.com/face.png", "audio": "https://media.example.com/speech.mp3"}


@pytest.fixture
def _fifth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``fifth_vendor`` as ``pip install`` would leave it: a package on the path, and its entry point."""
    facts = tmp_path / "site" / "fifth_vendor-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: fifth-vendor\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{providers.ENTRY_POINTS}]\nfifth = fifth_vendor\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.syspath_prepend(Path(__file__).parent)
    providers._packages.cache_clear()
    yield
    monkeypatch.undo()
    importlib.invalidate_caches()
    providers._packages.cache_clear()
    assert "fifth" not in providers.names()


@pytest.mark.usefixtures("_fifth")
def test_registry() -> None:
    """It stands among the others, with its client and what it can make."""
    assert "fifth" in providers.names()
    assert providers.spec("fifth").title == "Fifth"
    assert providers.client_class("fifth").__name__ == "AsyncFifth"
    assert "fifth" in [each.provider for each in generation.all_capabilities()]


@pytest.mark.usefixtures("_fifth")
def test_sandbox() -> None:
    """The sandbox plays it beside the others, and names its paths by their patterns."""
    assert find_fakes().keys() == set(providers.names())
    assert path_labels("fifth")("/videos/17") == "/videos/{id}"


@pytest.mark.usefixtures("_fifth")
def test_house(tmp_path: Path) -> None:
    """The conformance suites' house makes clients of it, and submits by its samples; generate goes by its plan."""
    side = AsyncSide()
    house = House(side, "fifth", tmp_path)
    try:
        client = house.client()
        assert house.submit(client).wait().url
        assert client.generate(avatarkit.VideoRequest(**URLS)).wait().save(tmp_path / "a.mp4").size
        assert house.box.credits(provider="fifth") == 10_000.0 - 2 * 3.0
    finally:
        house.close()
        assert side.close() == []


@pytest.mark.usefixtures("_fifth")
def test_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Doctor lists it, and generate makes a video with it."""
    with avatarkit.Sandbox(render="tiny", queue_seconds=0, run_seconds=0) as sandbox:
        monkeypatch.setenv("FIFTH_KEY", sandbox.token)
        monkeypatch.setenv("FIFTH_BASE_URL", sandbox.base_url("fifth"))
        target = tmp_path / "out.mp4"
        given = [f"--{name}={url}" for name, url in URLS.items()]
        assert cli.main(["generate", "--provider", "fifth", *given, "-o", str(target)]) == 0
        assert target.stat().st_size == 4096
        capsys.readouterr()
        cli.main(["doctor", "--offline", "--json"])
        told = json.loads(capsys.readouterr().out)
        assert {"FIFTH_KEY": True} in [each["credentials"] for each in told["providers"]]


@pytest.mark.usefixtures("_fifth")
def test_bulk(tmp_path: Path) -> None:
    """A bulk run makes videos with it."""
    manifest = tmp_path / "jobs.csv"
    manifest.write_text("key,image,audio\na,{image},{audio}\nb,{image},{audio}\n".format(**URLS))
    side = AsyncSide()
    house = House(side, "fifth", tmp_path)
    try:
        outcomes = list(house.client().bulk(manifest, journal=tmp_path / "run.db", out=tmp_path / "videos"))
        assert [outcome.ok for outcome in outcomes] == [True, True]
    finally:
        house.close()
        assert side.close() == []


@pytest.mark.parametrize("provider", providers.names())
def test_own_clients_are_exported(provider: str) -> None:
    """Both clients of every folder in the house can be imported from avatarkit."""
    name = providers.client_class(provider).__name__
    assert {name, name.removeprefix("Async")} <= set(avatarkit.__all__)


def test_the_way_to_a_fifth_is_described() -> None:
    """The README of the folders names each file they have, no other, and only names that some folder offers."""
    files = {path.name for path in FOLDERS.glob("*/*.py")} - {"__init__.py"}
    contract, _, division = README.partition("## How a folder is divided")
    rows = "\n".join(line for line in division.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\w+\.py)`", rows)) == files
    file = ""
    for cells in (line.split("|") for line in contract.splitlines() if line.startswith("| ")):
        file = next(iter(re.findall(r"`(\w+)\.py`", cells[1])), file)
        for name in re.findall(r"`(\w+)[`(]", cells[2]):
            assert any(hasattr(_part(one, file), name) for one in providers.names()), (file, name)


def _part(provider: str, file: str) -> object:
    return providers.part(provider, file) if (FOLDERS / provider / f"{file}.py").exists() else None
