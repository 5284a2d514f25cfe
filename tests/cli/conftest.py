"""The fixtures of the command line's tests."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import Box, Program, Ran, checked

from avatarkit import cli


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, proxies or colours from outside."""
    for name in list(os.environ):
        if name.upper().endswith("_PROXY") or name.startswith(("HIFLY_", "AVATARKIT_")):
            monkeypatch.delenv(name)
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Run a command in this process."""

    def run(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsys.readouterr()
        code = cli.main(arguments)
        out, err = capsys.readouterr()
        return checked(Ran(int(code), out, err))

    return run


@pytest.fixture
def start_box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Box]]:
    """Start a sandbox and lead this process's commands to it."""
    started: list[Box] = []

    def start(**options: Any) -> Box:
        box = Box(**options)
        started.append(box)
        for name, value in box.environment.items():
            monkeypatch.setenv(name, value)
        return box

    yield start
    for box in started:
        box.close()


@pytest.fixture
def box(start_box: Callable[..., Box]) -> Box:
    """A sandbox whose tasks end at once."""
    return start_box()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Start the command line as a program."""
    started: list[Program] = []

    def launch(*arguments: str, environment: dict[str, str] | None = None) -> Program:
        program = Program(*arguments, environment=environment or {}, cwd=tmp_path)
        started.append(program)
        return program

    yield launch
    for program in started:
        program.kill()
