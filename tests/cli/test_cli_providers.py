"""A provider that the command line has never heard of works through the registry alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import SECRET, Box, Ran, token_in

from avatarkit import providers

Run = Callable[..., Ran]

_ENDPOINTS = """
import attrs
from avatarkit.providers.hifly import endpoints
SPEC = attrs.evolve(
    endpoints.SPEC, name="fifth", title="Fifth", credentials=("FIFTH_KEY",), base_url_variable="FIFTH_BASE_URL"
)
"""
_CLIENT = """
from avatarkit.providers.hifly.client import AsyncHiFly
from fifth_provider.endpoints import SPEC
class AsyncFifth(AsyncHiFly):
    spec = SPEC
    audios = None
    avatars = None
CLIENT = AsyncFifth
"""


@pytest.fixture
def fifth(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """A fifth provider in a package of its own, played by the sandbox's HiFly."""
    package = tmp_path / "fifth_provider"
    package.mkdir()
    for name, text in (("__init__", ""), ("endpoints", _ENDPOINTS), ("client", _CLIENT), ("limits", "")):
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    known = {**providers._packages(), "fifth": "fifth_provider"}
    monkeypatch.setattr(providers, "_packages", lambda: known)
    for name in [name for name in sys.modules if name.startswith("fifth_provider")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delenv("HIFLY_TOKEN")
    monkeypatch.delenv("HIFLY_BASE_URL")
    monkeypatch.setenv("FIFTH_KEY", SECRET)
    monkeypatch.setenv("FIFTH_BASE_URL", box.sandbox.base_url("hifly"))
    return box


def test_from_text_to_file(run: Run, fifth: Box, tmp_path: Path) -> None:
    """generate, task and credits take the newcomer by its name, or by its token."""
    ran = run(*fifth.speak(), "--provider", "fifth", "--no-wait")
    target = tmp_path / "out.mp4"
    assert run("task", "wait", token_in(ran.out), "-o", str(target)).code == 0
    assert target.stat().st_size == 4096
    assert run("credits", "--provider", "fifth").code == 0


def test_its_credentials_are_named(run: Run, fifth: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that is missing is the newcomer's own."""
    monkeypatch.delenv("FIFTH_KEY")
    ran = run("credits", "--provider", "fifth")
    assert ran.code == 3
    assert "FIFTH_KEY" in ran.err


def test_what_it_cannot_do(run: Run, fifth: Box) -> None:
    """What it lacks is said before anything is sent, with the providers that have it."""
    ran = run("avatars", "list", "--provider", "fifth")
    assert ran.code == 2
    assert "hifly" in ran.err
    assert not fifth.sandbox.seen.requests


def test_doctor_sees_it(run: Run, fifth: Box) -> None:
    """Doctor lists it beside the others."""
    told = run("doctor", "--json").document
    found = {each["name"]: each for each in told["providers"]}
    assert found["fifth"]["answer"] == "ok"
    assert found["hifly"]["credentials"] == {"HIFLY_TOKEN": False}
