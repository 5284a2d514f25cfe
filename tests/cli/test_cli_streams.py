"""Standard streams that are closed, or whose reader has gone: no paid work ends for it, no file is written into."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import REPOSITORY, Box, token_in

ENDED = subprocess.CompletedProcess[str]


def closed(
    streams: str,
    *arguments: str,
    box: Box | None = None,
    cwd: Path,
    python: tuple[str, ...] = ("-m", "avatarkit"),
) -> ENDED:
    """Run the command line as a program, with *streams* closed as a shell does it."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("HIFLY_")}
    environment = {**plain, "PYTHONPATH": str(REPOSITORY), **(box.environment if box is not None else {})}
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {streams}', sys.executable, "-W", "error", *python, *arguments],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_paid_video_is_saved(box: Box, tmp_path: Path, streams: str, flags: list[str]) -> None:
    """Whatever is closed, the video is paid for once and saved whole, and the streams that are open have their part."""
    ended = closed(streams, *box.speak("Hello"), "-o", "c1.mp4", *flags, box=box, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    (task,) = box.sandbox.tasks()
    data = (tmp_path / "c1.mp4").read_bytes()
    assert data[4:8] == b"ftyp"
    assert b"submitted" not in data
    assert [path.name for path in tmp_path.iterdir()] == ["c1.mp4"]
    if "2>" not in streams:
        assert token_in(ended.stderr)
        assert "should not happen" not in ended.stderr
    if streams == "2>&-":
        assert (json.loads(ended.stdout)["path"] if flags else ended.stdout.strip()).endswith("c1.mp4")
    assert task


@pytest.mark.parametrize("streams", [">&-", "2>&-"])
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["credits"], 0),
        (["doctor"], 0),
        (["check", "--text", "Hello"], 0),
        (["avatars", "list", "--public"], 0),
        (["--help"], 0),
        (["--version"], 0),
        (["nonsense"], 2),
        (["task", "show", "nonsense", "--debug"], 2),
    ],
)
def test_every_command_ends_as_ever(
    box: Box, tmp_path: Path, streams: str, arguments: list[str], code: int
) -> None:
    """Looking, checking, help and mistakes end with their own code, and nobody hears of None."""
    ended = closed(streams, *arguments, box=box, cwd=tmp_path)
    assert ended.returncode == code, ended.stderr
    assert "NoneType" not in ended.stdout + ended.stderr


def test_a_text_from_a_closed_standard_input_is_empty(box: Box, tmp_path: Path) -> None:
    """It is told as a text that is not there, before anything is sent."""
    arguments = box.speak("-")
    ended = closed("<&-", *arguments, box=box, cwd=tmp_path)
    assert ended.returncode == 2
    assert "text: standard input is empty" in ended.stderr
    assert not box.sandbox.seen.requests


_OPENS = """
import os, sys
from avatarkit import cli
code = cli.main(["--version"])
file = os.open("opened", os.O_CREAT | os.O_WRONLY)
os.write(file, str(file).encode())
sys.exit(code)
"""


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_the_number_of_a_standard_stream(tmp_path: Path, streams: str) -> None:
    """What is opened later has a number beyond 2, so that what goes to 1 and 2 does not end up in it."""
    ended = closed(streams, cwd=tmp_path, python=("-c", _OPENS))
    assert ended.returncode == 0, ended.stderr
    assert int((tmp_path / "opened").read_text()) > 2


_OPENED = """
import os, sys
file = os.open("mine", os.O_CREAT | os.O_WRONLY)
assert file == 1
from avatarkit import cli
sys.exit(cli.main(["--version"]))
"""


def test_a_file_that_has_the_number_is_left_alone(tmp_path: Path) -> None:
    """A program that opened a file as number 1 before it calls the command line finds nothing in it."""
    ended = closed(">&-", cwd=tmp_path, python=("-c", _OPENED))
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "mine").read_bytes() == b""


def test_a_reader_of_remarks_that_has_gone(box: Box, tmp_path: Path) -> None:
    """``2>&1 >/dev/null | head -1``: a remark that nobody reads does not end a paid task before its video is saved."""
    program = [sys.executable, "-m", "avatarkit", *box.speak("Hello"), "-o", "c1.mp4", "--json"]
    environment = {**os.environ, **box.environment, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        program, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        told = json.loads(process.stdout.read())
        assert process.wait(60) == 0
    assert told["path"].endswith("c1.mp4")
    assert (tmp_path / "c1.mp4").stat().st_size == told["size"]
