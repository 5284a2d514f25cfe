"""Ctrl-C: nothing that was paid for is lost, and a second one quits at once."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import SECRET, Box, Program, Ran, checked, token_in

from avatarkit import providers
from avatarkit.sandbox import Fault

Launch = Callable[..., Program]
Start = Callable[..., Box]
SUBMIT = "POST /video/create_by_tts"


def _wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_while_waiting(launch: Launch, start_box: Start, number: int, code: int) -> None:
    """Ctrl-C (or SIGTERM) while waiting says how to go on; the task lives."""
    box = start_box(run_seconds=float("inf"))
    program = launch(*box.speak(), "-o", "out.mp4", environment=box.environment)
    token = token_in(program.until("submitted, token"))
    program.stop(number)
    ran = checked(program.end())
    assert ran.code == code
    assert f"Resume: avatarkit task wait {token}" in ran.err
    assert [task["status"] for task in box.sandbox.tasks()] == ["running"]


def test_while_waiting_as_json(launch: Launch, start_box: Start) -> None:
    """With --json the tokens are in the document on standard output."""
    box = start_box(run_seconds=float("inf"))
    program = launch(*box.speak(), "--json", environment=box.environment)
    token = token_in(program.until("submitted, token"))
    program.stop()
    ran = checked(program.end())
    assert ran.code == 130
    assert json.loads(ran.out)["error"]["tokens"] == [token]


def test_task_wait(launch: Launch, start_box: Start, run: Callable[..., Ran]) -> None:
    """``task wait`` that is stopped names its token again."""
    box = start_box(run_seconds=float("inf"))
    token = token_in(run(*box.speak(), "--no-wait").out)
    program = launch("task", "wait", token, environment=box.environment)
    program.until("running")
    program.stop()
    ran = checked(program.end())
    assert ran.code == 130
    assert f"avatarkit task wait {token}" in ran.err


def test_submission_in_flight_is_carried_to_its_end(launch: Launch, start_box: Start) -> None:
    """Ctrl-C during the submission waits for the answer, and gives the token of what was accepted."""
    box = start_box(run_seconds=float("inf"))
    box.sandbox.faults.add(SUBMIT, Fault(kind="slow_first_byte", seconds=1.0))
    program = launch(*box.speak(), environment=box.environment)
    _wait_for(box.sandbox.tasks)
    program.stop()
    ran = checked(program.end())
    assert ran.code == 130
    assert ran.err.count("Resume: avatarkit task wait avk1.") == 1
    assert len(box.sandbox.tasks()) == 1


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_second_quits_at_once(launch: Launch, box: Box, flags: list[str]) -> None:
    """A second Ctrl-C ends the program while the answer still hangs, and says that it may have been paid for."""
    box.sandbox.faults.add(SUBMIT, "hang_after")
    program = launch(*box.speak(), "--title", "hanging", *flags, environment=box.environment)
    _wait_for(box.sandbox.tasks)
    program.stop()
    program.until("stopping")
    program.stop()
    ran = checked(program.end())
    assert ran.code == 130
    assert "'hanging'" in ran.err
    assert "may have been accepted and paid for" in ran.err
    if flags:
        assert json.loads(ran.out)["error"]["in_doubt"][0]["marker"] == "hanging"


def test_a_doubled_signal_counts_once(launch: Launch, start_box: Start) -> None:
    """A wrapper that passes on the Ctrl-C that the terminal sent already does not cut the submission off."""
    box = start_box(run_seconds=float("inf"))
    box.sandbox.faults.add(SUBMIT, Fault(kind="slow_first_byte", seconds=0.8))
    program = launch(*box.speak(), environment=box.environment)
    _wait_for(box.sandbox.tasks)
    program.stop()
    time.sleep(0.02)
    program.stop()
    ran = checked(program.end())
    assert ran.code == 130
    assert "Resume: avatarkit task wait avk1." in ran.err


def test_sandbox_command(launch: Launch, run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """``avatarkit sandbox`` prints the page and the providers' variables, serves, and ends well on Ctrl-C."""
    program = launch("sandbox", "--port", "0", "--credits", "77", "--render", "tiny")
    assert program.line().startswith("sandbox page: http://127.0.0.1:")
    specs = [providers.spec(name) for name in providers.names()]
    for _ in range(sum(1 + len(spec.credentials) for spec in specs)):
        name, _, value = program.line().strip().removeprefix("export ").partition("=")
        monkeypatch.setenv(name, value)
    assert run("credits").out == "77 credits\n"
    program.stop()
    ran = program.end()
    assert ran.code == 0
    assert "Traceback" not in ran.err


def test_sandbox_command_as_json(launch: Launch) -> None:
    """With --json its addresses and variables are one document."""
    program = launch("sandbox", "--port", "0", "--json", "--token", SECRET)
    text = ""
    while not text.endswith("\n}\n"):
        text += program.line()
    told = json.loads(text)
    assert told["environment"]["HIFLY_TOKEN"] == SECRET
    for spec in map(providers.spec, providers.names()):
        assert told["environment"][spec.base_url_variable].startswith(told["page"])
        assert [told["environment"][name] for name in spec.credentials[:2]] == [SECRET, "sandbox-secret"][
            : len(spec.credentials)
        ]
    program.stop()
    assert program.end().code == 0


def test_demo_is_stopped(launch: Launch, tmp_path: Path) -> None:
    """Ctrl-C during the demo ends with 130 and offers no token, for its sandbox is gone."""
    program = launch("demo", "--out", str(tmp_path / "out"), "--text", "Hello")
    program.until("avatar: ")
    program.stop()
    ran = checked(program.end())
    assert ran.code == 130
    assert "avk1." not in ran.err
