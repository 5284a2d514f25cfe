"""A provider that the command line has never heard of works through the registry alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commandline import SECRET, Box, Ran, token_in

from avatarkit import providers
from avatarkit.cli.sandbox import environment
from avatarkit.protocol.samples import LocalFile, Need, wav

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
_GENERATE = """
import attrs
from avatarkit.providers.hifly.generate import CAPABILITIES, MEDIA, plan
CAPABILITIES = attrs.evolve(CAPABILITIES, provider="fifth", title="Fifth")
"""


@pytest.fixture
def fifth(box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Box:
    """A fifth provider in a package of its own, played by the sandbox's HiFly."""
    package = tmp_path / "fifth_provider"
    package.mkdir()
    parts = {"__init__": "", "endpoints": _ENDPOINTS, "client": _CLIENT, "limits": "", "generate": _GENERATE}
    for name, text in parts.items():
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


# -- the providers that there are --------------------------------------------------------------------------------------


@pytest.fixture
def everybody(box: Box, monkeypatch: pytest.MonkeyPatch) -> Box:
    """The sandbox as each provider, with credentials in the environment."""
    for name, value in environment(box.sandbox).items():
        monkeypatch.setenv(name, value)
    return box


def _arguments(box: Box, provider: str, folder: Path, sample: dict[str, Any]) -> list[str]:
    """A sample request as the command line has it; empty when it needs what no command makes."""
    stock = {asset.kind: asset.id for asset in providers.part(provider, "fake").FAKE.stock()}
    found = ["generate", "--provider", provider]
    for name, value in sample.items():
        if isinstance(value, Need) and value.name not in stock:
            return []
        if name == "options":
            for key, option in value[provider].items():
                text = option if isinstance(option, str) else json.dumps(option)
                found += ["--option", f"{key}={text}"]
        elif value is True:
            found.append(f"--{name}")
        elif isinstance(value, Need):
            found += [f"--{name}", stock[value.name]]
        elif isinstance(value, LocalFile):
            (folder / value.name).write_bytes(value.content or b"")
            found += [f"--{name}", str(folder / value.name)]
        else:
            found += [f"--{name}", value]
    return found


@pytest.mark.parametrize("provider", providers.names())
def test_every_route_of_every_provider(run: Run, everybody: Box, tmp_path: Path, provider: str) -> None:
    """Each sample request, spelled as options, ends in a file; each token is a plain one in the end."""
    staging, made = f"sandbox+{everybody.sandbox.url}", 0
    for number, sample in enumerate(providers.part(provider, "sample_requests").REQUESTS):
        arguments = _arguments(everybody, provider, tmp_path, sample)
        if not arguments:
            continue
        target = tmp_path / f"{number}.mp4"
        ran = run(*arguments, "-o", str(target), "--staging", staging, "--json")
        assert ran.code == 0, ran.err
        told = ran.document
        assert (told["provider"], told["path"], told["size"]) == (provider, str(target), 4096)
        assert token_in(ran.err) == told["token"]
        again = run("task", "download", told["token"], "-o", str(tmp_path / f"{number}-again.mp4"))
        assert again.code == 0, again.err
        made += 1
    assert made >= 4


@pytest.mark.parametrize("provider", providers.names())
def test_no_credentials(run: Run, tmp_path: Path, provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code 3, and the variable's name."""
    for name in providers.spec(provider).credentials:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("KLING_ACCESS_KEY", raising=False)  # the other way in
    route = providers.part(provider, "generate").CAPABILITIES.routes[0]
    presenter = {"avatar": "28"}.get(route.presenter, "https://media.example.com/a.png")
    speech = ["--text", "Hi", "--voice", "nina:0a1b"] if route.speech == "text" else ["--audio", presenter]
    ran = run("generate", "--provider", provider, f"--{route.presenter}", presenter, *speech)
    assert ran.code == 3, ran.err
    assert providers.spec(provider).credentials[0] in ran.err


def test_no_staging(run: Run, everybody: Box, tmp_path: Path) -> None:
    """A local file for a provider that takes only URLs: code 2, how to set it up, and nothing was sent."""
    sound = tmp_path / "speech.wav"
    sound.write_bytes(wav())
    ran = run(
        "generate",
        "--provider",
        "yunapi",
        "--image",
        "https://media.example.com/a.png",
        "--audio",
        str(sound),
    )
    assert ran.code == 2
    assert "AVATARKIT_STAGING" in ran.err
    assert not everybody.sandbox.seen.requests


def test_who_can(run: Run, everybody: Box) -> None:
    """What the provider cannot do names those that can."""
    words = ["--avatar", "28", "--voice", "v", "--text", "Hi"]
    ran = run("generate", "--provider", "kling", *words)
    assert ran.code == 2
    assert "HiFly" in ran.err
    assert not everybody.sandbox.seen.requests
