"""Names of result files."""

from __future__ import annotations

import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.bulk.naming import Namer, NameTemplate, folded
from avatarkit.bulk.specs import Row
from avatarkit.errors import ConfigurationError
from avatarkit.request import VideoRequest
from avatarkit.transport.names import safe_name


def row(key: str = "k1", line: int = 7, **columns: str) -> Row:
    request = VideoRequest(
        avatar="av", voice="v", text="x", title="A title", image="https://x.test/p/face%20one.png?sig=secret"
    )
    return Row(key=key, request=request, columns=columns, line=line)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{key}", "k1.mp4"),
        ("{title}.MP4", "A title.mp4"),
        ("{Team}/{row:05}-{key}", "blue/00007-k1.mp4"),
        ("{ team }\\{provider}\\{avatar}", "blue/kling/av.mp4"),
        ("{image}", "face one.mp4"),
        ("{{{key}}}", "{k1}.mp4"),
        ("./{key}", "k1.mp4"),
        ("{key.__class__}", "video-"),
        ("{key[0]}", "video-"),
        ("{key!r}", "video-"),
        ("v1.0-{key}.mov", "v1.0-k1.mov"),
    ],
)
def test_fields_are_filled_in(template: str, name: str) -> None:
    """Fields are names, in any case, and nothing else: no attribute, index or conversion does anything."""
    plain = next(NameTemplate(template, "kling").names(row(team="blue")))
    assert plain.startswith(name)


@pytest.mark.parametrize(
    "template",
    ["", "/a", "\\a", "C:/a", "c:a", "..", "../{key}", "a/../b", "a/..\\b", "{key}/", "a/.", "{", "}", "{}", "{key",
     "key}", "a\0b", "x" * 1001, "/".join("abcdefghijklm"), " .. /x"],
)  # fmt: skip
def test_templates_that_are_none(template: str) -> None:
    """Absolute ones, ones that climb, lone braces and endless ones are refused before anything runs."""
    with pytest.raises(ConfigurationError):
        NameTemplate(template)


@pytest.mark.parametrize(
    "value",
    [
        "../../etc/passwd",
        "..",
        "/etc",
        "C:\\x",
        ".ssh",
        "CON",
        "nul.txt",
        "a\0b",
        "x" * 5000,
        "",
        " ",
        "‮gpj.exe",
    ],
)
def test_what_a_column_holds_is_never_a_path(value: str) -> None:
    """A cell fills one part of a name, made safe, whatever stands in it."""
    for name in NameTemplate("{team}/{key}-{team}").names(row(team=value)):
        _assert_safe(name, 2)


def _assert_safe(name: str, parts: int) -> None:
    assert len(PurePosixPath(name).parts) == parts
    assert not PurePosixPath(name).is_absolute()
    assert not PureWindowsPath(name).is_absolute()
    for part in name.split("/"):
        assert part not in ("", ".", "..")
        assert not part.startswith(".")
        assert not part.endswith((".", " "))
        assert len(part.encode()) <= 230
        assert not any(char in part for char in '\\:*?"<>|\0\n')
        assert not PureWindowsPath(part).is_reserved()


@given(
    st.text(max_size=30)
    | st.sampled_from(["{key}", "{a}/{b}", "{a}{b}.mp4", "{{}}/{a}", "{a}/../{b}", "{row:3}"]),
    st.dictionaries(st.sampled_from(["a", "b", "A b"]), st.text(max_size=20)),
    st.text(min_size=1, max_size=20),
)
def test_no_template_and_no_cell_escapes(template: str, columns: dict[str, str], key: str) -> None:
    """Whatever both hold, names are relative, safe on every system, and of the template's depth."""
    try:
        parsed = NameTemplate(template)
    except ConfigurationError:
        return
    names = list(parsed.names(Row(key=key, request=VideoRequest(), columns=columns), run="r"))
    assert len(set(names)) == 4
    for name in names:
        _assert_safe(name, len(names[0].split("/")))


def test_other_names_belong_to_one_job_of_one_run() -> None:
    """The suffix is made of run and key: the same every time, another for another key or run."""
    template = NameTemplate("{title}")
    one = list(template.names(row("a"), run="r"))
    assert one == list(template.names(row("a"), run="r"))
    others = [*template.names(row("b"), run="r"), *template.names(row("a"), run="s")]
    assert set(one) & set(others) == {"A title.mp4"}


def test_twins_are_told_while_the_manifest_is_read() -> None:
    """The second row with a name has no plain one, also where names differ in case or in how accents are written."""
    namer = Namer(NameTemplate("{team}"))
    names = ["Blue", "blue", "Straße", "STRASSE", "é", unicodedata.normalize("NFD", "É"), "red"]
    settled = [namer.settled(row(str(number), team=name)) for number, name in enumerate(names)]
    assert [each.twin for each in settled] == [False, True, False, True, False, True, False]
    plain = list(NameTemplate("{team}").names(settled[1], run="r"))
    assert "blue.mp4" not in plain
    assert len(plain) == 3
    assert folded("Ǆ") == folded("ǆ")


def test_fields_that_no_column_has() -> None:
    """A template can be compared with the columns; what it needs of the line is told."""
    template = NameTemplate("{Team}/{nope}-{row}-{title}")
    assert template.unknown(["team"]) == ["nope"]
    assert template.needs_line
    assert not NameTemplate("{key}").needs_line


@given(
    st.text(max_size=160)
    | st.text(st.sampled_from("aA0-_. /:"), max_size=8)
    | st.sampled_from(
        ["con", "CON", "lpt1", "conin$", "a" * 99, "a" * 100, "a" * 151, "_____", "-----", "job-1\n"]
    )
)
def test_a_key_is_made_safe_however_quickly(key: str) -> None:
    """What is seen to be safe at one glance is what making it safe leaves alone."""
    stem = NameTemplate("{key}").stem(Row(key=key, request=VideoRequest()))
    made = safe_name(key, default="")
    assert stem == made if made else stem.startswith("video-")


@given(st.text(max_size=20))
def test_names_are_folded_the_same_in_every_alphabet(name: str) -> None:
    """The short way for ASCII comes to the same as the long one."""
    long = unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
    assert folded(name) == long
