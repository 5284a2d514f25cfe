"""``avatarkit demo``, and progress on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import av
import pytest
from commandline import REPOSITORY, Box, Program, Ran, token_in

from avatarkit import providers, studio

Run = Callable[..., Ran]


def _decoded(path: str) -> tuple[int, float]:
    with av.open(path) as film:
        sound = film.streams.audio[0]
        seconds = float(sound.duration * sound.time_base) if sound.duration and sound.time_base else 0.0
        return sum(1 for _ in film.decode(video=0)), seconds


def test_demo_makes_playable_videos(run: Run, tmp_path: Path) -> None:
    """Two texts in two languages become two videos that decode, with sound, and their price is told."""
    out = tmp_path / "demo"
    ran = run("demo", "--out", str(out), "--text", "Hello to you.", "--text", "你好。", "--json")
    assert ran.code == 0, ran.err
    told = ran.document
    english, chinese = told["videos"]
    assert (english["language"], chinese["language"]) == ("en", "zh")
    for video in told["videos"]:
        frames, seconds = _decoded(video["path"])
        assert frames >= 10
        assert seconds > 0.3
        assert Path(video["path"]).stat().st_size == video["size"]
        assert video["credits"] > 0
    clips = sum(video["credits"] for video in told["videos"])
    assert told["credits"]["spent"] == clips + 350
    assert told["studio"] is True


def test_demo_without_the_studio(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the studio's packages the videos are plain but valid, and the command says what to install."""
    monkeypatch.setattr(studio, "missing", lambda: ["av", "numpy"])
    out = tmp_path / "demo"
    ran = run("demo", "--out", str(out), "--clips", "1")
    assert ran.code == 0, ran.err
    assert 'python -m pip install ".[studio]"' in ran.err
    assert "demo-1-en" in ran.out
    assert ran.out.splitlines()[-1] == (
        f"1 video is in {out}. Next, a local API for your own code: avatarkit sandbox"
    )
    frames, _ = _decoded(str(out / "demo-1-en.mp4"))
    assert frames > 1


def test_demo_into_a_file(run: Run, tmp_path: Path) -> None:
    """A file where the folder should be is found before anything starts."""
    (tmp_path / "taken").write_text("x")
    assert run("demo", "--out", str(tmp_path / "taken")).code == 2
    assert run("demo", "--provider", "nobody", "--out", str(tmp_path / "x")).code == 2
    assert not (tmp_path / "x").exists()


def test_demo_of_every_provider(run: Run, tmp_path: Path) -> None:
    """One kind of request, a playable video from each provider, well within a minute."""
    out = tmp_path / "demo"
    ran = run("demo", "--provider", "all", "--out", str(out), "--json")
    assert ran.code == 0, ran.err
    told = ran.document
    assert [video["provider"] for video in told["videos"]] == list(providers.names())
    assert told["seconds"] < 60
    for video in told["videos"]:
        frames, seconds = _decoded(video["path"])
        assert frames >= 10
        assert seconds > 1
        assert video["operations"]


def test_demo_of_one_provider_without_the_studio(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain, but valid; the table names the file."""
    monkeypatch.setattr(studio, "missing", lambda: ["av", "numpy"])
    out = tmp_path / "demo"
    for provider in providers.names():
        ran = run("demo", "--provider", provider, "--out", str(out))
        assert ran.code == 0, ran.err
        assert provider in ran.out
        assert ran.out.splitlines()[-1].startswith("1 video is in")
        assert _decoded(str(out / f"{provider}.mp4"))[0] > 1


def test_demo_kept_open(
    launch: Callable[..., Program], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--keep-open leaves the sandbox running for the commands it prints; Ctrl-C is its regular end."""
    program = launch("demo", "--out", str(tmp_path / "out"), "--text", "Hi.", "--no-subtitles", "--keep-open")
    for name in ("HIFLY_BASE_URL", "HIFLY_TOKEN"):
        line = program.until(f"export {name}=")
        monkeypatch.setenv(name, line.strip().partition("=")[2])
    assert len(run("voices", "list", "--json").document["voices"]) == 1
    program.stop()
    ran = program.end()
    assert ran.code == 0
    assert "1 video is in" in ran.out


@pytest.mark.parametrize("colour", [True, False])
def test_terminal(box: Box, tmp_path: Path, colour: bool) -> None:
    """On a narrow terminal there are bars, the token stays in one piece, and NO_COLOR means no colours."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(box.environment, TERM="xterm-256color", PYTHONPATH=str(REPOSITORY))
        os.environ.pop("COLUMNS", None)
        if not colour:
            os.environ["NO_COLOR"] = "1"
        os.chdir(tmp_path)
        os.execv(sys.executable, [sys.executable, "-m", "avatarkit", *box.speak(), "-o", "out.mp4"])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 40, 0, 0))
    shown = b""
    try:
        while piece := os.read(terminal, 65536):
            shown += piece
    except OSError:  # the other end is closed
        pass
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    text = shown.decode()
    assert len(token_in(text)) > 60
    assert "\x1b[?25l" in text
    assert text.count("\x1b[?25h") == 1
    assert ("\x1b[3" in text) is colour
