"""``avatarkit webhooks serve``: what it listens to and what it shows."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest
from commandline import Box, Program, Ran, checked, token_in

Launch = Callable[..., Program]
STABLE = {"AVATARKIT_WEBHOOK_SECRET": "a secret that is long enough"}


def post(url: str, document: Any) -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, json.dumps(document).encode(), {"content-type": "application/json"})
    with opener.open(request, timeout=20) as answer:
        return int(answer.status)


def address(program: Program, provider: str = "hifly") -> str:
    """The provider's address, from the lines at the start."""
    while not (line := program.line()).startswith(provider):
        assert line
    return line.split()[1]


def test_events_are_shown(launch: Launch) -> None:
    """Each event is one line; a guessed path is 404; Ctrl-C ends it well."""
    program = launch("webhooks", "serve", "--port", "0", environment=STABLE)
    url = address(program)

    assert post(url, {"task_id": "abc", "type": 2, "status": 3}) == 200
    assert post(url, {"task_id": "abc", "type": 2, "status": 3}) == 200
    assert post(url, {"task_id": "\x1b[31mred", "type": 1, "status": 4}) == 200
    with pytest.raises(urllib.error.HTTPError, match="404"):
        post(url[:-4] + "0000", {})
    while not (shown := program.line()).startswith("hifly  avatar"):
        assert shown
    assert shown == "hifly  avatar  abc  succeeded  (not signed)\n"
    assert program.line() == "hifly  task  \ufffd[31mred  failed  (not signed)\n"
    program.until("Ctrl-C ends it")
    program.stop()
    ran = checked(program.end())
    assert ran.code == 0
    assert "the receiver is closed" in ran.err


def test_paths_stay_with_a_secret(launch: Launch) -> None:
    """With the secret in the environment the path is the same at every start; --public-url comes before it."""
    paths = []
    for _ in range(2):
        program = launch(
            "webhooks", "serve", "--port", "0", "--public-url", "https://tunnel.example/", environment=STABLE
        )
        paths.append(address(program))
        program.until("Ctrl-C ends it")
        program.stop()
        program.end()

    assert paths[0] == paths[1]
    assert paths[0].startswith("https://tunnel.example/avatarkit/hifly/")


def test_callback_ends_the_wait(
    launch: Launch, start_box: Callable[..., Box], run: Callable[..., Ran]
) -> None:
    """A task given on the line is waited for, and its callback makes it known at once; JSON stays one document."""
    box = start_box(run_seconds=float("inf"))
    token = token_in(run(*box.speak(), "--no-wait").out)
    program = launch(
        "webhooks", "serve", token, "--port", "0", "--json", environment={**STABLE, **box.environment}
    )
    program.until("Ctrl-C ends it")
    task = box.sandbox.tasks()[0]["id"]
    deadline = time.monotonic() + 20
    while not box.sandbox.seen.polls.get(task):  # the first look, which shows it running
        assert time.monotonic() < deadline
        time.sleep(0.02)
    box.sandbox.finish(task)
    text = ""
    while text.count("}") < 2:
        text += program.line()
    url = json.loads(text)["callbacks"]["hifly"]

    assert post(url, {"task_id": task, "type": 1, "status": 3}) == 200
    program.until("succeeded")
    program.until("is done")
    program.stop()
    assert checked(program.end()).code == 0


def test_port_in_use(run: Callable[..., Ran], launch: Launch) -> None:
    """A taken port and a secret that is too short are told in one line, with what to do."""
    program = launch("webhooks", "serve", "--port", "0", environment=STABLE)
    port = address(program).split(":")[2].split("/")[0]

    ran = run("webhooks", "serve", "--port", port)
    assert ran.code != 0
    assert "cannot listen" in ran.err
    program.until("Ctrl-C ends it")
    program.stop()
    program.end()


def test_short_secret(run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that can be guessed is refused before anything listens."""
    monkeypatch.setenv("AVATARKIT_WEBHOOK_SECRET", "short")

    ran = run("webhooks", "serve", "--port", "0", "--json")
    assert ran.code != 0
    assert ran.error["type"] == "ConfigurationError"
