"""A sandbox on a thread of its own, and the command line as a program."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import attrs

from avatarkit import AsyncSandbox

SECRET = "a-most-secret-token-0815"
REPOSITORY = Path(__file__).parents[2]
_TOKEN = re.compile(r"avk1\.[A-Za-z0-9_-]+")


@attrs.frozen
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error in it."""
        found: dict[str, Any] = self.document["error"]
        return found


def checked(ran: Ran) -> Ran:
    """What holds for every run: no traceback, no secret, no signed URL, and no stray debug text."""
    for text in (ran.out, ran.err):
        assert "Traceback" not in text
        assert SECRET not in text
        assert "Signature=" not in text
        assert "Expires=" not in text
    return ran


def token_in(text: str) -> str:
    """The first task token in *text*."""
    found = _TOKEN.search(text)
    assert found, text
    return found[0]


class Box:
    """A sandbox that runs on a thread, and what a test does with it."""

    def __init__(self, **options: Any) -> None:
        given = {"token": SECRET, "render": "tiny", "queue_seconds": 0.0, "run_seconds": 0.0, **options}
        self.sandbox = AsyncSandbox(**given)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self.sandbox.start())

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def close(self) -> None:
        """Stop it."""
        self._do(self.sandbox.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that lead the command line here."""
        return {"HIFLY_BASE_URL": self.sandbox.base_url("hifly"), "HIFLY_TOKEN": SECRET}

    def stock(self, kind: str) -> str:
        """Id of the first public avatar or voice."""
        assets = self.sandbox._world.public_assets("hifly", kind)
        return assets[0].id

    def speak(self, text: str = "Hello there", *more: str) -> list[str]:
        """Arguments of a ``generate`` that the sandbox accepts."""
        faces = ["--avatar", self.stock("avatar"), "--voice", self.stock("voice")]
        return ["generate", *faces, "--text", text, *more]


class Program:
    """``python -m avatarkit …`` as a process."""

    def __init__(self, *arguments: str, environment: dict[str, str], cwd: Path) -> None:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("HIFLY_")}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "avatarkit", *arguments],
            env={**plain, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **environment},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._err: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._err.append(line)
            self._lines.put(line)
        self._lines.put(None)

    def until(self, words: str) -> str:
        """The first line on standard error with *words*."""
        while (line := self._lines.get(timeout=20)) is not None:
            if words in line:
                return line
        raise AssertionError(f"it ended without {words!r}: {''.join(self._err)}")

    def line(self) -> str:
        """The next line on standard output."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def stop(self, number: int = signal.SIGINT) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def end(self) -> Ran:
        """Wait for its end."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        out = self._process.stdout.read()
        code = self._process.wait(30)
        self._reader.join(20)
        self._process.stdout.close()
        self._process.stderr.close()
        return Ran(code, out, "".join(self._err))

    def kill(self) -> None:
        """End it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self.end()
