"""What was given wrongly is named in words of the command line, each once, before anything is sent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import REPOSITORY, SECRET, Box, Ran

from avatarkit import providers
from avatarkit.cli.failures import EXIT_CODES
from avatarkit.protocol.samples import png

Run = Callable[..., Ran]
NO_TEXT = os.fsdecode(b"\xff")
FILES_ONLY = ("--out", "report", "export")
SPEAK = ("generate", "--avatar", "a", "--voice", "v", "--text", "Hello")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of any provider."""
    for name in providers.names():
        for variable in providers.spec(name).credentials:
            monkeypatch.delenv(variable, raising=False)


# -- bytes that are no text


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["generate", "--avatar", NO_TEXT, "--voice", "v", "--text", "t"], "--avatar"),
        (["generate", "--avatar", "a", "--voice", "v", "--text", f"t{NO_TEXT}"], "--text"),
        ([*SPEAK, "--option", "a=1", "--option", f"b={NO_TEXT}"], "--option"),
        ([*SPEAK, "--title", NO_TEXT], "--title"),
        (["check", "--text", NO_TEXT], "--text"),
        (["credits", "--provider", NO_TEXT], "--provider"),
        (["credits", "--base-url", f"http://{NO_TEXT}"], "--base-url"),
        (["task", "show", f"avk1.{NO_TEXT}"], "TOKEN"),
        (["bulk", "run", f"{NO_TEXT}.csv", "--provider", "hifly", "--out", "o"], "MANIFEST"),
        (["bulk", "run", "j.csv", "--provider", "hifly", "--out", NO_TEXT], "--out"),
        (["bulk", "status", NO_TEXT], "JOURNAL"),
        (["bulk", "resend", "j.db", "k", NO_TEXT], "KEY"),
    ],
)
def test_bytes_that_are_no_text(run: Run, box: Box, arguments: list[str], name: str) -> None:
    """Any option or argument that holds bytes that are not UTF-8 is a usage error that names it."""
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("avatarkit: Invalid value for ")
    assert name in ran.err
    assert "not UTF-8" in ran.err
    told = run(*arguments, "--json")
    assert (told.code, told.error["type"]) == (2, "UsageError")
    assert not box.sandbox.seen.requests


def test_bytes_that_are_no_text_come_so_from_a_shell(tmp_path: Path) -> None:
    """As a program, too, which gets its arguments as bytes."""
    ended = subprocess.run(
        [sys.executable, "-m", "avatarkit", "credits", "--provider", b"\xff"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert "'--provider': it holds bytes that are not UTF-8" in ended.stderr


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_files_may_have_such_names(run: Run, box: Box, tmp_path: Path, flags: list[str]) -> None:
    """A file system takes any bytes: a text is read from such a file, and the video saved to one."""
    source, target = tmp_path / f"t{NO_TEXT}.txt", tmp_path / f"v{NO_TEXT}.mp4"
    source.write_text("Hello")
    faces = ("--avatar", box.stock("avatar"), "--voice", box.stock("voice"))
    ran = run("generate", *faces, "--text-file", str(source), "-o", str(target), *flags)
    assert ran.code == 0, ran.err
    assert target.stat().st_size
    if flags:
        assert ran.document["path"] == str(target)
    ran = run("generate", *faces, "--text-file", str(source), "-o", str(target), *flags)
    assert ran.code == 2
    assert "should not happen" not in ran.err


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_picture_may_not(run: Run, box: Box, tmp_path: Path, flags: list[str]) -> None:
    """A chain's token names its material: that this cannot be written down is said before the first step is billed."""
    picture = tmp_path / f"me{NO_TEXT}.png"
    picture.write_bytes(png(320, 400))
    assert run("check", str(picture), *flags).code == 0
    for option in ("--image", "--video", "--audio"):
        ran = run(
            "generate",
            option,
            str(picture),
            "--voice",
            box.stock("voice"),
            "--text",
            "Hi",
            "--no-wait",
            *flags,
        )
        assert ran.code == 2
        assert f"'{option}': it holds bytes that are not UTF-8" in ran.err
    assert not box.sandbox.seen.requests


# -- what is empty, or no file


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--avatar", "a", "--voice", "v", "--text", ""], "text: it is empty"),
        (["--avatar", "a", "--voice", "v", "--text", " \n"], "text: it is empty"),
        (["--avatar", "a", "--voice", "v", "--text", "-"], "text: standard input is empty"),
        (["--avatar", "", "--voice", "v", "--text", "t"], "avatar: it is empty"),
        (["--image", "", "--voice", "v", "--text", "t"], "image: it is empty"),
        (
            ["--image", ".", "--voice", "v", "--text", "t"],
            "image: . found, which is a folder, a file allowed",
        ),
        (
            ["--video", "/dev/zero", "--voice", "v", "--text", "t"],
            "video: /dev/zero found, which is no regular file, a file allowed",
        ),
        (["--image", "no.png", "--voice", "v", "--text", "t"], "image: there is no file no.png"),
        (
            ["--avatar", "a", "--voice", "v", "--text-file", "/dev/zero"],
            "text: /dev/zero found with more than 4 MB, less allowed",
        ),
    ],
)
def test_one_mistake_is_told_once(run: Run, box: Box, arguments: list[str], words: str) -> None:
    """What is empty is called so, a folder a folder, and nothing else is said of it."""
    ran = run("generate", *arguments)
    assert ran.code == 2
    assert ran.err.splitlines()[0] == f"avatarkit: {words}"
    assert not box.sandbox.seen.requests


def test_a_text_file_that_is_not_utf_8_is_one_problem(run: Run, box: Box, tmp_path: Path) -> None:
    """It is not counted as a missing text, too; what else is wrong is told with it."""
    path = tmp_path / "latin.txt"
    path.write_bytes("Café".encode("latin-1"))
    arguments = ("generate", "--avatar", "a", "--voice", "v", "--text-file", str(path))
    assert run(*arguments).err.splitlines()[0] == f"avatarkit: text: {path} is not UTF-8"
    ran = run(*arguments, "--title", "x" * 400)
    assert ran.err.startswith(f"avatarkit: 2 problems: text: {path} is not UTF-8; title: 400 characters")


@pytest.mark.parametrize(
    ("command", "which"),
    [("resend", "--all-held or --failed"), ("abandon", "--all-held"), ("cancel", "--all")],
)
def test_no_jobs_named(run: Run, command: str, which: str) -> None:
    """Without keys the options are named; with both it is said that both were given."""
    assert run("bulk", command, "j.db").err.splitlines()[0] == (f"avatarkit: give keys of jobs, or {which}")
    ran = run("bulk", command, "j.db", "k", which.split()[0])
    assert ran.code == 2
    assert "not both" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["voices", "list", "--public", "--own"],
        ["avatars", "list", "--own", "--public"],
        ["voices", "list", "--public", "--kind", "own"],
    ],
)
def test_both_lists_at_once(run: Run, box: Box, arguments: list[str]) -> None:
    """--public and --own together are refused, in either order; none of them wins silently."""
    ran = run(*arguments)
    assert ran.code == 2
    assert "--public and --own" in ran.err
    assert not box.sandbox.seen.requests


# -- places that cannot be written to


@pytest.mark.parametrize(
    "place", ["http://u:hush-hush@b/x.mp4", "file:///tmp/u.mp4", "ftp://b/", "S4://b/x.mp4"]
)
def test_a_url_that_is_no_object_store(
    run: Run, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """It is refused before anything is sent or written, with the schemes that do; it is not quoted."""
    monkeypatch.chdir(tmp_path)
    token = run(*box.speak(), "--no-wait").out.strip()
    (tmp_path / "j.csv").write_text("avatar,voice,text\na,v,hello\n")
    seen = len(box.sandbox.seen.requests)
    for arguments in (
        [*box.speak(), "-o", place],
        ["task", "wait", token, "-o", place],
        ["task", "download", token, "-o", place],
        ["bulk", "run", "j.csv", "--provider", "hifly", "--out", place],
        [
            "bulk",
            "feed",
            "j.csv",
            "--dsn",
            "postgresql://127.0.0.1:1/x",
            "--provider",
            "hifly",
            "--out",
            place,
        ],
        ["demo", "--out", place],
        ["bulk", "report", "run.db", "-o", place],
        ["bulk", "export", "run.db", "-o", place],
    ):
        ran = run(*arguments)
        assert ran.code == 2, arguments
        stores = " or a URL of s3://, oss://, gs:// or az://" if arguments[1] not in FILES_ONLY else ""
        assert f"found, a path{stores} allowed" in ran.err
        assert "hush-hush" not in ran.err
    assert [path.name for path in tmp_path.iterdir()] == ["j.csv"]
    assert len(box.sandbox.seen.requests) == seen


# -- doctor


@pytest.mark.usefixtures("bare")
def test_doctor_without_any_credentials(run: Run) -> None:
    """It names what to set and ends with the code for missing credentials; other faults have their own code."""
    ran = run("doctor")
    assert ran.code == 3
    (problem,) = [line for line in ran.out.splitlines() if line.startswith("problem:")]
    assert problem.startswith(
        "problem: no provider has credentials: set GUIJI_APP_ID and GUIJI_SECRET, or HIFLY_TOKEN"
    )
    assert "all well" not in ran.out
    told = run("doctor", "--json")
    assert (told.code, told.document["ok"], len(told.document["problems"])) == (3, False, 1)
    assert {each["answer"] for each in told.document["providers"]} == {"not asked"}


@pytest.mark.usefixtures("bare")
def test_doctor_offline_without_any_credentials(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody is asked none are needed: it is said, and the code is that of the installation."""
    ran = run("doctor", "--offline")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "all well")
    assert "no provider has credentials: set" in ran.err
    assert run("doctor", "--offline", "--json").document["ok"] is True
    monkeypatch.setenv("GUIJI_APP_ID", SECRET)
    ran = run("doctor", "--offline")
    assert ran.code == 1
    assert "GUIJI_SECRET is not set" in ran.out
    assert "no provider has credentials" not in ran.out + ran.err


def test_doctor_shows_the_account_by_its_name(run: Run, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """HIFLY_ACCOUNT says which account it is; a credential put there by mistake is not shown."""
    for name, shown in (("first-key", "first-key"), (SECRET, "***")):
        monkeypatch.setenv("HIFLY_ACCOUNT", name)
        told = run("doctor", "--offline", "--json").document
        assert [each["account"] for each in told["providers"] if each["name"] == "hifly"] == [shown]


# -- help


@pytest.mark.parametrize("rich", [True, False])
def test_exit_codes_stand_one_a_line(run: Run, monkeypatch: pytest.MonkeyPatch, rich: bool) -> None:
    """Without blank lines between them, each with its text, with and without rich."""
    monkeypatch.setattr("typer.core.HAS_RICH", rich)
    lines = run("--help").out.splitlines()
    at = lines.index("Exit codes:")
    table = [line.strip() for line in lines[at + 1 :] if line.strip()]
    assert len(lines) - at - 1 == len(table)
    assert " ".join(table) == " ".join(f"{code.value}  {text}" for code, text in EXIT_CODES.items())
    assert max(map(len, lines[at:])) <= 80


@pytest.mark.parametrize("rich", [True, False])
@pytest.mark.parametrize(
    "group", [[], ["bulk"], ["bulk", "resend"], ["task"], ["voices", "list"], ["doctor"]]
)
def test_help_shows_no_markup(
    run: Run, monkeypatch: pytest.MonkeyPatch, group: list[str], rich: bool
) -> None:
    """No asterisks and no backquotes of docstrings; a group's help has no exit codes of its own."""
    monkeypatch.setattr("typer.core.HAS_RICH", rich)
    text = run(*group, "--help").out
    assert "**" not in text
    assert "``" not in text
    assert ("Exit codes:" in text) is (not group)


# -- rows of a manifest


def test_a_row_of_blanks_is_no_row(run: Run, tmp_path: Path) -> None:
    """A line of spaces, of tabs, or of separators with spaces between them is skipped as an empty one is."""
    path = tmp_path / "j.csv"
    path.write_text("avatar,voice,text\na,v,one\n   \n\n\t\n,,\n , ,\t\na,v,two\n")
    told = run("bulk", "run", str(path), "--provider", "hifly", "--out", "o", "--dry-run", "--json")
    assert told.code == 0, told.err
    assert (told.document["rows"], told.document["mistakes"]) == (2, [])
    path.write_text("avatar,voice,text\na,v,one\n   \na,,two\n")
    ran = run("bulk", "run", str(path), "--provider", "hifly", "--out", "o", "--dry-run")
    assert ran.code == 2
    assert ran.err.startswith("line 4, ")


def test_rows_that_are_made_again_are_told(run: Run, tmp_path: Path) -> None:
    """Of equal rows without keys a note says how many and where the first are; it is no mistake."""
    path = tmp_path / "j.csv"
    dry = ("bulk", "run", str(path), "--provider", "hifly", "--out", "o", "--dry-run")
    path.write_text("avatar,voice,text\na,v,one\na,v,two\na,v,two\na,v,one\na,v,two\n")
    ran = run(*dry)
    assert ran.code == 0
    assert "3 rows are the same as an earlier row, and are made again: first line 3 and 4\n" in ran.err
    told = run(*dry, "--json").document
    assert (told["repeats"], told["first_repeated"], told["first_repeat"]) == (3, 3, 4)
    path.write_text("avatar,voice,text\na,v,one\na,v,one\n")
    assert "1 row is the same as an earlier row, and is made again: line 2 and 3\n" in run(*dry).err
    path.write_text("avatar,voice,text,who\na,v,one,x\na,v,one,y\n")
    assert "same as an earlier" not in run(*dry).err
    path.write_text("key,avatar,voice,text\nk1,a,v,one\nk2,a,v,one\n")
    assert "same as an earlier" not in run(*dry).err
