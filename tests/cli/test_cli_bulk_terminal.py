"""``avatarkit bulk`` on a terminal, and the exit codes of runs."""

from __future__ import annotations

import os
import pty
import sys
from pathlib import Path

import pytest
from commandline import REPOSITORY, Box
from test_cli_bulk import begin, manifest

from avatarkit.bulk.records import Counts, JobState, Run, RunSettings, RunState
from avatarkit.cli.bulk_tell import exit_of
from avatarkit.cli.failures import Exit


def on_terminal(box: Box, folder: Path, answer: bytes, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal and answer its question; the exit code, and all that was shown."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(box.environment, TERM="xterm-256color", PYTHONPATH=str(REPOSITORY), COLUMNS="100")
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "avatarkit", *arguments])
    shown, answered = b"", False
    try:
        while piece := os.read(terminal, 65536):
            shown += piece
            if b"[Y/n]" in shown and not answered:
                answered = True
                os.write(terminal, answer)
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


@pytest.mark.parametrize("answer", [b"n\n", b"\x03"])
def test_no_sends_nothing(box: Box, tmp_path: Path, answer: bytes) -> None:
    """On a terminal it says what it will do and asks; no, or Ctrl-C, sends nothing and leaves no journal."""
    path = manifest(box, tmp_path, 2)
    code, shown = on_terminal(box, tmp_path, answer, *begin(path))
    assert code == 130
    assert "2 videos by hifly" in shown
    assert "estimated cost" in shown
    assert box.sandbox.tasks() == []
    assert [each.name for each in tmp_path.iterdir()] == ["jobs.csv"]


def test_live_progress(box: Box, tmp_path: Path) -> None:
    """After a yes there is a bar, which ends with all done, and the cursor is shown again."""
    code, shown = on_terminal(box, tmp_path, b"y\n", *begin(manifest(box, tmp_path, 3)))
    assert code == 0
    assert "3 of 3 done" in shown
    assert "3 of 3 videos are in" in shown
    assert "\x1b[?25l" in shown
    assert shown.count("\x1b[?25h") == 1


def test_yes_does_not_ask(box: Box, tmp_path: Path) -> None:
    """``--yes`` asks nothing."""
    code, shown = on_terminal(box, tmp_path, b"", *begin(manifest(box, tmp_path, 1), "--yes"))
    assert code == 0
    assert "[Y/n]" not in shown


DONE, FAILED, HELD, NEW = JobState.DONE, JobState.FAILED, JobState.HELD, JobState.NEW


@pytest.mark.parametrize(
    ("jobs", "state", "reason", "code"),
    [
        ({DONE: 3}, RunState.ACTIVE, "", Exit.OK),
        ({}, RunState.ACTIVE, "", Exit.OK),
        ({DONE: 3, FAILED: 1}, RunState.ACTIVE, "", Exit.PARTLY),
        ({DONE: 3, HELD: 1}, RunState.ACTIVE, "", Exit.PARTLY),
        ({DONE: 3, JobState.CANCELLED: 1}, RunState.CANCELLED, "by the user", Exit.PARTLY),
        ({DONE: 3}, RunState.STOPPED, "the budget does not hold another job", Exit.OK),
        ({DONE: 3, NEW: 1}, RunState.STOPPED, "the budget does not hold another job", Exit.STOPPED),
        ({FAILED: 3, NEW: 1}, RunState.STOPPED, "20 jobs in a row failed", Exit.STOPPED),
        ({NEW: 1}, RunState.STOPPED, "InsufficientCredits: code 1002", Exit.NO_CREDITS),
        ({NEW: 1}, RunState.STOPPED, "AuthenticationError: code 2", Exit.CREDENTIALS),
        ({NEW: 1}, RunState.STOPPED, "EntitlementError: not in the plan", Exit.CREDENTIALS),
        ({NEW: 1}, RunState.STOPPED, "Sequence: no error of ours", Exit.STOPPED),
    ],
)
def test_exit_codes(jobs: dict[JobState, int], state: RunState, reason: str, code: Exit) -> None:
    """0 only when every video is there; stopped for money or credentials has the codes that these have everywhere."""
    settings = RunSettings(provider="hifly", account="a")
    run = Run(id="main", settings=settings, state=state, reason=reason)
    assert exit_of(run, Counts(jobs=jobs, parts={})) is code
