"""New files: whole or not there, whatever the file system can do."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from avatarkit.transport import newfile
from avatarkit.transport.newfile import write_new, write_pieces

Breaks = Callable[[pytest.MonkeyPatch], None]


def fails_with(number: int, *, when: Callable[..., bool] = lambda *_, **__: True, then: Any = None) -> Any:
    """A system call that fails with *number* when *when* says so, else does what *then* does."""

    def call(*args: Any, **more: Any) -> Any:
        if when(*args, **more):
            raise OSError(number, os.strerror(number))
        return then(*args, **more)

    return call


def no_unnamed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(newfile, "_UNNAMED", 0)


def unnamed_refused(patch: pytest.MonkeyPatch) -> None:
    unnamed = newfile._UNNAMED

    def asks(path: object, flags: int, *_: Any) -> bool:
        return flags & unnamed == unnamed

    patch.setattr(os, "open", fails_with(errno.EOPNOTSUPP, when=asks, then=os.open))


def no_proc(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(newfile, "_OPEN_FILES", "/nowhere/fd")


def no_links(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "link", fails_with(errno.EPERM))


def no_vectors(patch: pytest.MonkeyPatch) -> None:
    patch.delattr(os, "writev")


ways = pytest.mark.parametrize(
    "breaks", [lambda _: None, no_unnamed, unnamed_refused, no_proc, no_links, no_vectors]
)


@ways
def test_a_new_file_on_any_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: Breaks
) -> None:
    """Its bytes, its mode as any file's, nothing beside it, and what has the name already stays."""
    breaks(monkeypatch)
    target = tmp_path / "a.mp4"
    write_new(target, [b"ab", b"", b"c"], tmp_path / "part")
    assert target.read_bytes() == b"abc"
    plain = tmp_path / "plain"
    plain.touch()
    assert target.stat().st_mode == plain.stat().st_mode
    plain.unlink()
    with pytest.raises(FileExistsError):
        write_new(target, [b"other"], tmp_path / "part")
    assert target.read_bytes() == b"abc"
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "link", [b"x"], tmp_path / "part")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "link"]


@ways
@pytest.mark.parametrize("call", ["fsync", "writev"])
def test_a_disk_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, breaks: Breaks, call: str
) -> None:
    """The error of the disk comes out, and nothing is left."""
    with monkeypatch.context() as patch:
        breaks(patch)
        for name in {call, "write"} if hasattr(os, call) else {"write"}:
            patch.setattr(os, name, fails_with(errno.ENOSPC))
        with pytest.raises(OSError, match="No space left"):
            write_new(tmp_path / "a.mp4", [b"abc"], tmp_path / "part")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """That is an error too."""
    with pytest.raises(FileNotFoundError):
        write_new(tmp_path / "none" / "a.mp4", [b"abc"], tmp_path / "part")


def test_a_disk_that_takes_a_little_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every byte is written once, in order, however few a call takes; also thousands of pieces."""
    vector, single = os.writev, os.write
    monkeypatch.setattr(os, "writev", lambda fd, pieces: vector(fd, [b"".join(pieces)[:5]]))
    monkeypatch.setattr(os, "write", lambda fd, data: single(fd, data[:3]))
    pieces = [bytes([65 + n]) * n for n in range(20)]
    write_new(tmp_path / "a", pieces, tmp_path / "part")
    assert (tmp_path / "a").read_bytes() == b"".join(pieces)
    monkeypatch.undo()
    many = [b"x"] * 5000
    with (tmp_path / "b").open("wb") as file:
        write_pieces(file.fileno(), many)
    assert (tmp_path / "b").read_bytes() == b"".join(many)


def test_a_part_that_a_killed_process_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is replaced, and what it was another name of stays as it is."""
    no_unnamed(monkeypatch)
    finished, part = tmp_path / "finished", tmp_path / "part"
    finished.write_bytes(b"whole")
    part.hardlink_to(finished)
    write_new(tmp_path / "a", [b"new"], part)
    assert (finished.read_bytes(), (tmp_path / "a").read_bytes()) == (b"whole", b"new")
    assert not part.exists()
