"""``avatarkit check``: what a file is, what it is fit for, every problem with both figures, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from commandline import Ran

from avatarkit import providers
from avatarkit.cli.listing import said
from avatarkit.protocol.limits import MediaRule, TextRule
from avatarkit.protocol.samples import MP4_HEAD, png, wav

Run = Callable[..., Ran]
NAMES = providers.names()


@pytest.fixture
def face(tmp_path: Path) -> str:
    return _write(tmp_path / "face.png", png(320, 400))


@pytest.fixture
def speech(tmp_path: Path) -> str:
    return _write(tmp_path / "speech.wav", wav(6.0))


def _write(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def _film(
    path: Path, *, seconds: int = 6, codec: str = "libx264", sides: tuple[int, int] = (640, 360)
) -> str:
    """A real video, without sound."""
    import av
    import numpy as np

    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream(codec, rate=5)
        stream.width, stream.height = sides
        stream.pix_fmt = "yuv420p"
        for shade in range(seconds * 5):
            picture = np.full((sides[1], sides[0], 3), shade, dtype=np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    return str(path)


def fits(document: Any, index: int = 0) -> set[tuple[str, str]]:
    return {(use["use"], use["provider"]) for use in document["files"][index]["uses"] if use["fits"]}


def problems(document: Any, use: str, provider: str) -> list[str]:
    rows = document["files"][0]["uses"]
    (found,) = [row for row in rows if (row["use"], row["provider"]) == (use, provider)]
    told: list[str] = found["problems"]
    return told


@pytest.mark.parametrize("provider", NAMES)
def test_every_provider_names_its_uses(provider: str) -> None:
    """Each limits.py has uses with rules that name their source, and texts; the command finds them there."""
    none: Mapping[str, Any] = {}
    uses, texts = said(provider, "USES", none), said(provider, "TEXTS", none)
    assert uses
    assert all(isinstance(rule, MediaRule) and rule.source for rule in uses.values())
    assert all(isinstance(rule, TextRule) for rule in texts.values())
    assert set(said(provider, "USE_CHECKS", none)) <= set(uses)


def test_a_picture(run: Run, face: str) -> None:
    """A picture is told by format, size and pixels, and is fit for pictures only, wherever they are taken."""
    ran = run("check", face, "--json")
    assert ran.code == 0
    (told,) = ran.document["files"]
    assert (told["file"], told["format"], told["width"], told["height"]) == (face, "png", 320, 400)
    assert told["bytes"] == Path(face).stat().st_size
    assert told["unseen"] == []
    assert {use for use, _ in fits(ran.document)} == {"avatar picture"}
    shown = run("check", face).out
    assert "320x400" in shown
    assert "png" in shown


def test_a_recording(run: Run, speech: str) -> None:
    """A recording is told by its seconds; it is fit for sounds only, and where it is too short both figures stand."""
    document = run("check", speech, "--json").document
    assert document["files"][0]["seconds"] == 6.0
    found = fits(document)
    assert {("driving audio", "hifly"), ("driving audio", "kling"), ("voice sample", "guiji")} <= found
    assert not [use for use, _ in found if "video" in use or "picture" in use]
    assert problems(document, "voice sample", "yunapi") == ["6.0 s found, at least 20 s allowed"]
    assert "6.0 s found, at least 20 s allowed" in run("check", speech).out


def test_a_video(run: Run, tmp_path: Path) -> None:
    """A video is told by seconds, pixels and codec; another codec or too few pixels are named with what is allowed."""
    good = run("check", _film(tmp_path / "good.mp4"), "--json").document
    told = good["files"][0]
    assert (round(told["seconds"]), told["width"], told["video_codec"]) == (6, 640, "h264")
    assert ("avatar video", "hifly") in fits(good)
    bad = _film(tmp_path / "bad.mp4", codec="mpeg4", sides=(320, 240), seconds=2)
    ran = run("check", bad, "--provider", "hifly", "--as", "avatar video", "--json")
    assert ran.code == 2
    assert problems(ran.document, "avatar video", "hifly") == [
        "2.0 s found, at least 5 s allowed",
        "320x240 found, shorter side at least 360 allowed",
        "mpeg4 video found, h264 allowed",
    ]


def test_what_a_rule_cannot_say(run: Run, tmp_path: Path) -> None:
    """A provider's own check counts: a picture too long for Kling is fit elsewhere."""
    long = _write(tmp_path / "long.png", png(300, 800))
    document = run("check", long, "--json").document
    assert problems(document, "avatar picture", "kling") == [
        "300x800 found, width to height from 1:2.5 to 2.5:1 allowed"
    ]
    assert ("avatar picture", "hifly") in fits(document)
    assert run("check", long, "--provider", "kling").code == 2


def test_provider_and_use_narrow_what_is_asked(run: Run, speech: str) -> None:
    """--provider and --as may be repeated; hyphens and capitals do not matter; exit code 0 takes one that fits."""
    ran = run("check", speech, "--provider", "yunapi", "--as", "Voice-Sample", "--json")
    assert (ran.code, len(ran.document["files"][0]["uses"]), ran.document["ok"]) == (2, 1, False)
    both = ("--provider", "yunapi", "--provider", "guiji", "--as", "voice sample", "--as", "driving-audio")
    ran = run("check", speech, *both, "--json")
    assert (ran.code, len(ran.document["files"][0]["uses"])) == (0, 4)


def test_what_is_not_known_is_said(run: Run, speech: str) -> None:
    """Another use, another provider, or nothing to check are wrong usage, and what there is is named."""
    ran = run("check", speech, "--as", "wallpaper")
    assert ran.code == 2
    assert "wallpaper" in ran.err
    assert "driving audio" in ran.err
    assert run("check", speech, "--as", "lip-sync audio", "--provider", "hifly").code == 2
    ran = run("check", speech, "--provider", "nobody")
    assert ran.code == 2
    assert "hifly" in ran.err
    assert run("check").code == 2


def test_one_bad_file_among_good_ones(run: Run, face: str, speech: str, tmp_path: Path) -> None:
    """All files are looked at; a missing, empty, foreign or odd one makes the exit code 2 and hides no other."""
    empty = _write(tmp_path / "empty.png", b"")
    text = _write(tmp_path / "notes.txt", b"hello")
    given = [
        face,
        str(tmp_path / "none.png"),
        empty,
        str(tmp_path),
        "https://example.com/a.png",
        text,
        speech,
    ]
    ran = run("check", *given, "--json")
    assert ran.code == 2
    told = ran.document["files"]
    assert [each["file"] for each in told] == given
    assert [each["fits"] for each in told] == [True, False, False, False, False, False, True]
    assert "no such file" in told[1]["problems"][0]
    assert "empty" in told[2]["problems"][0]
    assert all("no known kind" in use["problems"][-1] for use in told[5]["uses"])
    assert run("check", face, speech).code == 0


def test_a_file_that_lies_about_itself(run: Run, tmp_path: Path) -> None:
    """A picture called mp4 is found out, as is a video that is none."""
    picture = _write(tmp_path / "face.mp4", png(400, 400))
    assert fits(run("check", picture, "--json").document) == set()
    ran = run("check", _write(tmp_path / "film.mp4", MP4_HEAD), "--json")
    assert ran.code == 2
    assert ran.document["files"][0]["broken"] == "cut off or never finished: a file without index (moov)"


def test_a_file_that_was_cut_off(run: Run, tmp_path: Path) -> None:
    """A film, a picture and a recording whose ends are missing are fit for nothing, and it is said why."""
    film = Path(_film(tmp_path / "whole.mp4")).read_bytes()
    for name, whole in (("a.mp4", film), ("a.png", png(400, 400)), ("a.wav", wav(10.0))):
        ran = run("check", _write(tmp_path / name, whole[: len(whole) * 2 // 3]), "--json")
        assert ran.code == 2
        assert fits(ran.document) == set()
        assert ran.document["files"][0]["broken"].startswith("cut off: ")
        shown = run("check", str(tmp_path / name)).out
        assert "cut off: " in shown
        assert " yes " not in shown


def test_words(run: Run) -> None:
    """Text and title are held against every provider's limits; one that takes them is enough."""
    ran = run("check", "--text", "早安 <b>x</b>", "--title", "t" * 21, "--json")
    assert ran.code == 0
    text, title = ran.document["texts"]
    assert (text["name"], text["characters"], title["characters"]) == ("text", 11, 21)
    refused = {use["provider"]: use["problems"] for use in title["uses"] if not use["fits"]}
    assert refused == {"hifly": ["21 characters found, at most 20 allowed"]}
    assert run("check", "--title", "t" * 21, "--provider", "hifly").code == 2
    assert "HTML tag <b> found" in run("check", "--text", "a <b>x</b>", "--provider", "hifly").out
    assert run("check", "--text", " ").code == 2


def test_without_the_media_extra(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be looked at is named, and how to change that; the rest is checked all the same."""
    film = _film(tmp_path / "blind.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    ran = run("check", film, "--json")
    (told,) = ran.document["files"]
    assert told["unseen"] == ["seconds", "pixels", "codec", "sound"]
    assert '".[media]"' in ran.err
    assert ("avatar video", "hifly") in fits(ran.document)
    assert ("avatar picture", "kling") not in fits(ran.document)
    assert "not seen" in run("check", film).out
    assert ".[media]" not in run("check", _write(tmp_path / "a.png", png())).err


def test_nothing_is_sent_and_no_credentials_are_needed(
    run: Run, face: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command opens no connection and no client."""

    def broken(*_: object, **__: object) -> None:
        raise AssertionError("a client was made")

    for name in NAMES:
        monkeypatch.setattr(providers.client_class(name), "__init__", broken)
    assert run("check", face, "--text", "hello").code == 0


def test_names_are_printed_without_escape_codes(run: Run, tmp_path: Path) -> None:
    """A file's name is hostile input: no control character of it reaches the terminal."""
    odd = _write(tmp_path / "\x1b[31mred.png", png(320, 320))
    ran = run("check", odd)
    assert ran.code == 0
    assert "\x1b" not in ran.out
