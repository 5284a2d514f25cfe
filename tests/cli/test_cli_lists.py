"""``avatars list``, ``voices list``, ``credits``, ``doctor`` and what holds for all commands."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Iterator

import pytest
from commandline import REPOSITORY, SECRET, Box, Ran

import avatarkit
from avatarkit.cli import doctor, extras
from avatarkit.cli.extras import EXTRAS, FONT, install
from avatarkit.cli.output import printable

Run = Callable[..., Ran]


def test_version(run: Run) -> None:
    """--version gives the package's version."""
    assert run("--version").out == f"avatarkit {avatarkit.__version__}\n"


def test_credits(run: Run, box: Box) -> None:
    """``credits`` gives number and unit; flags count before and after the command."""
    box.sandbox.set_account(credits=12.0)
    assert run("credits").out == "12 credits\n"
    wanted = {"provider": "hifly", "credits": 12.0, "unit": "credits"}
    assert run("credits", "--json").document == wanted
    assert run("--json", "credits").document == wanted


def test_base_url_option(run: Run, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """--base-url leads elsewhere than the environment."""
    monkeypatch.setenv("HIFLY_BASE_URL", "http://127.0.0.1:9/nobody")
    assert run("credits", "--base-url", box.environment["HIFLY_BASE_URL"]).code == 0


def test_loopback_needs_no_proxy(run: Run, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment does not keep a sandbox on this machine from being reached."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert run("credits").code == 0


def test_avatars(run: Run, box: Box) -> None:
    """``avatars list`` shows a page, says that there is more, and --all shows everything."""
    page = run("avatars", "list", "--size", "3")
    assert box.stock("avatar") in page.out
    assert "--page 2" in page.err
    assert len(run("avatars", "list", "--page", "2", "--size", "3", "--json").document["avatars"]) == 3
    every = run("avatars", "list", "--all", "--json").document
    assert (len(every["avatars"]), every["more"]) == (45, False)


def test_voices(run: Run, box: Box) -> None:
    """``voices list`` shows one's own by default and the public ones on demand."""
    assert run("voices", "list", "--json").document["voices"] == []
    public = run("voices", "list", "--kind", "public", "--all", "--json").document["voices"]
    assert len(public) == 30
    assert public[0]["id"] == box.stock("voice")
    assert "demo_url" not in public[0]
    assert box.stock("voice") in run("voices", "list", "--kind", "public").out


def test_no_voices_of_ones_own(run: Run, box: Box) -> None:
    """An empty list of one's own voices says where the public ones are, on standard error only."""
    assert "--kind public" in run("voices", "list").err
    ran = run("voices", "list", "--json")
    assert (ran.document["voices"], "--kind public" in ran.err) == ([], True)
    assert run("voices", "list", "--quiet").err == ""
    assert "--kind public" not in run("voices", "list", "--kind", "public", "--size", "1", "--page", "99").err


def test_pipes_keep_ids_whole(run: Run, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table in a pipe has a line a row whatever the width; on a narrow terminal nothing is cut off."""
    wide = run("voices", "list", "--kind", "public", "--size", "5").out
    assert len(wide.splitlines()) == 7
    monkeypatch.setenv("COLUMNS", "30")
    narrow = run("avatars", "list", "--size", "1").out.splitlines()
    assert max(map(len, narrow)) <= 30
    assert "".join(line.split()[0] for line in narrow[2:]) == box.stock("avatar")


def test_escape_codes_are_defused() -> None:
    """A title with terminal escape codes is shown without them."""
    assert printable("\x1b[31mred\x07\r") == "\ufffd[31mred\ufffd\ufffd"


def test_doctor_is_well(run: Run, box: Box) -> None:
    """``doctor`` asks the provider, shows that a credential is set but not which, and ends with 0."""
    ran = run("doctor")
    assert ran.code == 0
    assert "HIFLY_TOKEN set" in ran.out
    assert "all well" in ran.out
    told = run("doctor", "--json").document
    (hifly,) = [each for each in told["providers"] if each["name"] == "hifly"]
    assert hifly["answer"] == "ok"
    assert hifly["credentials"] == {"HIFLY_TOKEN": True}
    assert len(hifly["account"]) == 10
    assert told["ok"] is True
    assert told["packages"]["aiohttp"]


def test_doctor_knows_every_extra(run: Run) -> None:
    """It lists the extras of pyproject.toml, each with its packages, and shows their versions."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    listed: dict[str, list[str]] = tomllib.loads(text)["project"]["optional-dependencies"]

    def names(extra: str) -> Iterator[str]:
        for each in listed[extra]:
            if inner := re.match(r"avatarkit\[(.*)\]", each):
                yield from (name for one in inner[1].split(",") for name in names(one))
            else:
                yield re.split(r"[\[<>=!~ ]", each)[0]

    wanted = {extra: tuple(names(extra)) for extra in listed if extra not in ("all", "dev")}
    assert {extra: found.packages for extra, found in EXTRAS.items()} == wanted
    told = run("doctor", "--offline", "--json").document
    assert set(told["extras"]) == set(wanted)
    assert set(told["packages"]) >= {name for each in wanted.values() for name in each} - {FONT}


def test_doctor_says_how_to_get_an_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing is named with the command that installs it; that alone is no illness."""
    monkeypatch.setattr(doctor, "version", lambda name: None if name == "obstore" else "1.0")
    ran = run("doctor", "--offline")
    assert ran.code == 0
    (line,) = [line for line in ran.out.splitlines() if line.startswith("extra storage")]
    assert line.endswith(f"missing obstore; {install('storage')}")
    assert any(
        line.startswith("extra postgres ") and line.endswith("installed") for line in ran.out.splitlines()
    )


def test_doctor_offline(run: Run, box: Box) -> None:
    """--offline sends nothing."""
    assert run("doctor", "--offline").code == 0
    assert not box.sandbox.seen.requests


def test_doctor_is_unwell(run: Run, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that are refused make it end with 1 and say why."""
    monkeypatch.setenv("HIFLY_TOKEN", f"bad-{SECRET}")
    ran = run("doctor")
    assert ran.code == 1
    assert "problem: hifly" in ran.out
    told = run("doctor", "--json")
    assert (told.code, told.document["ok"]) == (1, False)


def test_doctor_hides_the_proxys_password(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy that would be used is shown without its user and password."""
    monkeypatch.setenv("https_proxy", f"http://user:{SECRET}@proxy.example:3128")
    told = run("doctor", "--offline", "--json").document
    (hifly,) = [each for each in told["providers"] if each["name"] == "hifly"]
    assert hifly["proxy"] == "http://***@proxy.example:3128"


def test_doctor_names_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is named with the command that installs it, and is no illness."""
    from avatarkit.cli import doctor

    real = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: None if name == "av" else real(name))
    ran = run("doctor", "--offline")
    assert ran.code == 0
    assert 'missing av; python -m pip install ".[studio]"' in ran.out


def test_doctor_names_the_font(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no font has Chinese characters, the package with one is named; with a font it is not."""
    from avatarkit.studio import fonts

    assert "pylopdf" not in run("doctor", "--offline").out
    monkeypatch.setattr(fonts, "_files", tuple)
    assert "missing pylopdf-fonts-zh-cn; python -m pip" in run("doctor", "--offline").out
    assert extras.studio_remark().startswith(
        "Chinese subtitles will lack their characters (missing: pylopdf-"
    )


def test_reader_that_goes_away(launch: Callable[..., object], box: Box, tmp_path: object) -> None:
    """``… | head -1`` ends without a word about broken pipes."""
    import os
    import subprocess

    program = [sys.executable, "-m", "avatarkit", "voices", "list", "--kind", "public", "--all", "--json"]
    environment = {**os.environ, **box.environment, "PYTHONPATH": str(avatarkit.__path__[0]) + "/.."}
    process = subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert (process.wait(20), error) == (1, b"")
