"""``avatarkit bulk run``: checks, runs, resumes, stops, and what the exit code says."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commandline import Box, Program, Ran, checked

from avatarkit.sandbox import Fault

Run = Callable[..., Ran]
Start = Callable[..., Box]
Launch = Callable[..., Program]
SUBMIT = "POST /video/create_by_tts"


def manifest(box: Box, folder: Path, count: int, *, text: str = "Hello number {}") -> Path:
    """A CSV of *count* rows that the sandbox accepts."""
    avatar, voice = box.stock("avatar"), box.stock("voice")
    rows = [f"k{number},{avatar},{voice},{text.format(number)}" for number in range(count)]
    path = folder / "jobs.csv"
    path.write_text("\n".join(["key,avatar,voice,text", *rows, ""]), encoding="utf-8")
    return path


def begin(path: Path, *more: str) -> list[str]:
    """Arguments that run a manifest for the first time."""
    return ["bulk", "run", str(path), "--provider", "hifly", "--out", str(path.parent / "videos"), *more]


def lines(ran: Ran) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The outcomes and the summary of ``--json``: each is one line."""
    told = [json.loads(line) for line in ran.out.splitlines()]
    return [each for each in told if each.get("type") == "outcome"], told[-1]


def test_a_run_makes_every_video(run: Run, box: Box, tmp_path: Path) -> None:
    """Every row becomes a whole file under its key, nothing is submitted twice, and the end is told on one line."""
    path = manifest(box, tmp_path, 4)
    ran = run(*begin(path))
    assert ran.code == 0, ran.err
    assert sorted(each.name for each in (tmp_path / "videos").iterdir()) == [f"k{n}.mp4" for n in range(4)]
    assert len(box.sandbox.tasks()) == 4
    assert ran.out == f"4 of 4 videos are in {tmp_path / 'videos'}\n"
    assert "4 videos by hifly" in ran.err
    assert (tmp_path / "jobs.csv.run.db").is_file()


def test_a_folder_that_does_not_do_is_not_remembered(run: Run, box: Box, tmp_path: Path) -> None:
    """Given by mistake when the run is gone on with, it is refused; the next start has the folder of before."""
    path = manifest(box, tmp_path, 2)
    run(*begin(path))
    (tmp_path / "file").write_text("no folder")
    ran = run("bulk", "run", str(path), "--out", str(tmp_path / "file" / "videos"))
    assert ran.code == 2
    assert "cannot be written" in ran.err
    ran = run("bulk", "run", str(path))
    assert ran.code == 0, ran.err
    assert ran.out == f"2 of 2 videos are in {tmp_path / 'videos'}\n"


def test_what_a_stopped_run_did_not_submit_is_summed_up(run: Run, box: Box, tmp_path: Path) -> None:
    """Not a line for each of hundreds of rows; ``--json`` has them all."""
    path = manifest(box, tmp_path, 90)
    path.write_text(path.read_text().replace(box.stock("avatar"), "nobody"))
    ran = run(*begin(path, "--max-failures", "5"))
    waiting = sum(": new: " in line for line in ran.err.splitlines())
    assert waiting == 20
    assert "more that were not submitted" in ran.err
    outcomes, _ = lines(run("bulk", "run", str(path), "--json", "--max-failures", "5"))
    assert len(outcomes) == 90
    assert {each["state"] for each in outcomes} == {"failed", "new"}


def test_again_submits_nothing(run: Run, box: Box, tmp_path: Path) -> None:
    """A run that is over needs nothing but its manifest to be looked at again, and says that it goes on."""
    path = manifest(box, tmp_path, 2)
    run(*begin(path))
    ran = run("bulk", "run", str(path))
    assert ran.code == 0, ran.err
    assert "going on with the run" in ran.err
    assert "2 of 2 done" in ran.err
    assert len(box.sandbox.tasks()) == 2


def test_another_name_is_checked_against_the_columns(run: Run, box: Box, tmp_path: Path) -> None:
    """Also when the rows are known and done: a template with a column that is not there is refused, and forgotten."""
    path = manifest(box, tmp_path, 2)
    run(*begin(path))
    ran = run("bulk", "run", str(path), "--name", "{nope}")
    assert ran.code == 2
    assert "nope" in ran.err
    assert run("bulk", "run", str(path)).code == 0
    assert run("bulk", "run", str(path), "--name", "{key}-b").code == 0
    assert sorted(each.name for each in (tmp_path / "videos").iterdir()) == ["k0.mp4", "k1.mp4"]


def western(box: Box, folder: Path, count: int) -> Path:
    """A CSV in Windows-1251, which nobody can tell from other Western encodings."""
    path = manifest(box, folder, count, text="Доброе утро {}")
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1251"))
    return path


def test_a_manifest_in_an_encoding_that_cannot_be_told(run: Run, box: Box, tmp_path: Path) -> None:
    """``--encoding`` says it, for the check and for the run; it is remembered, and another one is another content."""
    path = western(box, tmp_path, 2)
    told = run(*begin(path))
    assert told.code == 2
    assert "encoding cannot be told" in told.err
    assert "--encoding" in told.err
    assert run(*begin(path, "--encoding", "cp1251", "--dry-run")).code == 0
    assert run(*begin(path, "--encoding", "cp1251")).code == 0
    assert sorted(task["body"]["text"] for task in box.sandbox.seen.tasks) == [
        "Доброе утро 0",
        "Доброе утро 1",
    ]
    western(box, tmp_path, 3)
    assert run("bulk", "run", str(path)).code == 0
    assert len(box.sandbox.tasks()) == 3
    changed = run("bulk", "run", str(path), "--encoding", "koi8-r")
    assert changed.code == 2
    assert "another content" in changed.err
    assert len(box.sandbox.tasks()) == 3


def test_a_wrong_encoding(run: Run, box: Box, tmp_path: Path) -> None:
    """A name that is none is wrong usage; UTF-8 may be said of a file with its mark."""
    path = manifest(box, tmp_path, 1)
    ran = run(*begin(path, "--encoding", "klingon"))
    assert ran.code == 2
    assert "no text encoding 'klingon'" in ran.err
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert run(*begin(path, "--encoding", "UTF-8")).code == 0


def test_rows_that_were_added_later(run: Run, box: Box, tmp_path: Path) -> None:
    """A manifest that has grown gets its new rows made, the old ones stay as they are."""
    path = manifest(box, tmp_path, 2)
    run(*begin(path))
    manifest(box, tmp_path, 3)
    ran = run("bulk", "run", str(path), "--json")
    outcomes, summary = lines(ran)
    assert ran.code == 0, ran.err
    assert {each["key"]: each.get("earlier", False) for each in outcomes} == {
        "k0": True,
        "k1": True,
        "k2": False,
    }
    assert summary["done"] == 3
    assert len(box.sandbox.tasks()) == 3


def test_a_row_that_was_changed_is_refused(run: Run, box: Box, tmp_path: Path) -> None:
    """A key whose row says something else now is a mistake, since its video was paid for as it was."""
    path = manifest(box, tmp_path, 2)
    run(*begin(path))
    manifest(box, tmp_path, 2, text="Good evening {}")
    ran = run("bulk", "run", str(path))
    assert ran.code == 2
    assert "'k0' is in the ledger with another content" in ran.err
    assert len(box.sandbox.tasks()) == 2
    told = json.loads(run("bulk", "run", str(path), "--json").out.splitlines()[-1])
    assert [(each["line"], each["column"]) for each in told["mistakes"]] == [(2, "key"), (3, "key")]
    assert told["mistakes"][0]["message"].startswith("'k0' is in the ledger")


def test_json_schema(run: Run, box: Box, tmp_path: Path) -> None:
    """``--json`` prints one object a line: outcomes, then the summary; no signed URL among them."""
    path = manifest(box, tmp_path, 2)
    ran = run(*begin(path, "--json"))
    outcomes, summary = lines(ran)
    for each in outcomes:
        assert each.keys() >= {"type", "key", "state", "ok", "file", "token", "seconds"}
        assert each["state"] == "done"
        assert Path(each["file"]).is_file()
    assert summary.keys() >= {
        "type", "run", "state", "reason", "total", "done", "failed", "held", "left", "spent", "reserved", "budget",
        "unit", "elapsed", "out", "journal",
    }  # fmt: skip
    assert (summary["type"], summary["total"], summary["done"]) == ("summary", 2, 2)


def test_mistakes_are_listed_together(run: Run, box: Box, tmp_path: Path) -> None:
    """Every mistake is told with line and column, and nothing is sent, not even a journal made."""
    path = manifest(box, tmp_path, 1)
    with path.open("a") as file:
        file.write("k1,,voice,Hello\nk2,avatar,voice,\n")
    ran = run(*begin(path))
    assert ran.code == 2
    assert "line 3" in ran.err
    assert "line 4" in ran.err
    assert "nothing was sent" in ran.err
    assert box.sandbox.tasks() == []
    assert not (tmp_path / "jobs.csv.run.db").exists()
    told = json.loads(run(*begin(path, "--json")).out)
    assert (told["type"], told["ok"], told["rows"]) == ("check", False, 3)
    assert {each["line"] for each in told["mistakes"]} == {3, 4}


def test_dry_run_needs_no_credentials(
    run: Run, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``--dry-run`` tells what would be made and what it is expected to cost, and leaves nothing behind."""
    monkeypatch.delenv("HIFLY_TOKEN")
    path = manifest(box, tmp_path, 3)
    ran = run(*begin(path, "--dry-run", "--json"))
    assert ran.code == 0, ran.err
    told = json.loads(ran.out)
    assert (told["ok"], told["jobs"], told["unit"]) == (True, 3, "credits")
    assert told["cost"] > 0
    assert [each.name for each in tmp_path.iterdir()] == ["jobs.csv"]
    assert "dry run" in run(*begin(path, "--dry-run")).out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "x"], "--provider is missing"),
        (["--provider", "hifly"], "--out is missing"),
        (["--provider", "nobody", "--out", "x"], "nobody"),
        (["--provider", "hifly", "--out", "x", "--name", "../{key}"], "'..' found"),
        (["--provider", "hifly", "--out", "x", "--budget", "nan"], "budget"),
        (["--provider", "hifly", "--out", "x", "--journal", "jobs.csv"], "not an avatarkit ledger"),
    ],
)
def test_wrong_usage(
    run: Run, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    """What cannot work ends with 2 before anything is sent, and names what is wrong."""
    monkeypatch.chdir(tmp_path)
    path = manifest(box, tmp_path, 1)
    ran = run("bulk", "run", path.name, *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert box.sandbox.tasks() == []


def test_failed_jobs(run: Run, box: Box, tmp_path: Path) -> None:
    """Jobs that failed do not stop the others; the exit code is 9, and the reason is told at once."""
    path = manifest(box, tmp_path, 2)
    with path.open("a") as file:
        file.write(f"bad,{box.stock('avatar')},{box.stock('voice')},Hello [moderation]\n")
    ran = run(*begin(path))
    assert ran.code == 9
    assert "bad: failed: " in ran.err
    assert "; 1 failed" in ran.out
    assert "resend" in ran.err
    again = run("bulk", "run", str(path))
    assert again.code == 9
    assert len(box.sandbox.tasks()) == 3


def test_budget_stops(run: Run, box: Box, tmp_path: Path) -> None:
    """A budget too small for all jobs makes some of them, spends no more than it, and ends with 10.

    Started again it is still the same budget; with a larger one the rest is made.
    """
    path = manifest(box, tmp_path, 6)
    ran = run(*begin(path, "--budget", "30", "--json"))
    _, summary = lines(ran)
    assert ran.code == 10, ran.err
    assert 0 < summary["done"] < 6
    assert summary["spent"] <= 30
    assert summary["state"] == "stopped"
    made = len(box.sandbox.tasks())
    again = run("bulk", "run", str(path))
    assert again.code == 10
    assert "budget" in again.err
    assert len(box.sandbox.tasks()) == made
    assert run("bulk", "run", str(path), "--budget", "inf").code == 0
    assert len(box.sandbox.tasks()) == 6


def test_no_credits(run: Run, start_box: Start, tmp_path: Path) -> None:
    """An account without money stops the run, with the exit code that this has everywhere."""
    box = start_box(credits=5.0)
    ran = run(*begin(manifest(box, tmp_path, 3)))
    assert ran.code == 4
    assert "InsufficientCredits" in ran.err


def test_another_account_is_refused(
    run: Run, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal goes on only with the account that it was begun with."""
    path = manifest(box, tmp_path, 1)
    run(*begin(path))
    box.sandbox.add_account("another-key", credits=1000.0)
    monkeypatch.setenv("HIFLY_TOKEN", "another-key")
    ran = run("bulk", "run", str(path))
    assert ran.code == 2
    assert "account" in ran.err
    assert len(box.sandbox.tasks()) == 1


def _wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_interrupted_and_gone_on_with(
    launch: Launch, run: Run, start_box: Start, tmp_path: Path, flags: list[str]
) -> None:
    """Ctrl-C submits no more, ends with 130 and says how to go on; started again, each job ends exactly once."""
    box = start_box(run_seconds=0.5, max_running=3)
    path = manifest(box, tmp_path, 8)
    program = launch(*begin(path, "--max-running", "3", *flags), environment=box.environment)
    _wait_for(lambda: len(box.sandbox.tasks()) >= 2)
    program.stop()
    ran = checked(program.end())
    assert ran.code == 130
    assert "finished first" in ran.err
    assert f"Go on with: avatarkit bulk run {path} --provider hifly" in ran.err
    assert "task wait" not in ran.err
    if flags:
        assert "avatarkit bulk run" in json.loads(ran.out.splitlines()[-1])["error"]["hint"]
    assert len(box.sandbox.tasks()) < 8
    assert run("bulk", "status", f"{path}.run.db", "--json").document["state"] == "paused"
    if flags:
        assert json.loads(ran.out.splitlines()[-2])["state"] == "paused"
    assert run("bulk", "run", str(path)).code == 0
    assert len(box.sandbox.tasks()) == 8
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 8


def test_second_ctrl_c_leaves_at_once(launch: Launch, run: Run, start_box: Start, tmp_path: Path) -> None:
    """A second Ctrl-C does not wait for an answer that hangs; what was in the air is a doubt afterwards."""
    box = start_box()
    box.sandbox.faults.add(SUBMIT, Fault(kind="hang", seconds=60.0))
    path = manifest(box, tmp_path, 1)
    program = launch(*begin(path), environment=box.environment)
    _wait_for(box.sandbox.tasks)
    program.stop()
    program.until("stopping")
    program.stop(signal.SIGINT)
    ran = checked(program.end())
    assert ran.code == 130
    assert "Go on with: avatarkit bulk run" in ran.err
    told = run("bulk", "doubts", str(tmp_path / "jobs.csv.run.db"), "--json").document
    assert [(each["key"], each["state"]) for each in told["doubts"]] == [("k0", "intent")]
    assert run("bulk", "run", str(path)).code == 9
    assert len(box.sandbox.tasks()) == 1


def test_status_while_it_runs(launch: Launch, run: Run, start_box: Start, tmp_path: Path) -> None:
    """``status`` looks into a journal that a run is using; what would change it says that a run has it."""
    box = start_box(run_seconds=float("inf"))
    path = manifest(box, tmp_path, 2)
    program = launch(*begin(path), environment=box.environment)
    _wait_for(lambda: len(box.sandbox.tasks()) == 2)
    journal = str(tmp_path / "jobs.csv.run.db")
    _wait_for(lambda: run("bulk", "status", journal, "--json").document["running"] == 2)
    assert run("bulk", "status", journal, "--json").document["state"] == "waiting"
    assert "waiting for 2 tasks" in run("bulk", "status", journal).out
    ran = run("bulk", "cancel", journal, "--all")
    assert ran.code == 2
    assert "a run is working on it" in ran.err
    assert "avatarkit bulk status" in ran.err
    program.stop()
    assert program.end().code == 130


def test_a_guessed_encoding_shows(run: Run, box: Box, tmp_path: Path) -> None:
    """A dry run, and a check that finds mistakes, say what the text was read as and show the first of it."""
    path = manifest(box, tmp_path, 2, text="Un café número {}")
    path.write_bytes(path.read_text(encoding="utf-8").encode("mac-roman"))
    ran = run(*begin(path, "--dry-run"))
    assert ran.code == 0, ran.err
    shown = 'line 2, text: "Un cafŽ nœmero 0"'
    assert (
        f"read as cp1252, which is a guess (--encoding NAME says another); first such text: {shown}"
        in ran.err
    )
    told = json.loads(run(*begin(path, "--dry-run", "--json")).out)
    assert (told["encoding"], told["guessed"]) == ("cp1252", True)
    assert told["sample"] == {"line": 2, "column": "text", "text": "Un cafŽ nœmero 0"}
    given = run(*begin(path, "--dry-run", "--encoding", "mac-roman"))
    assert 'read as mac-roman; first such text: line 2, text: "Un café número 0"' in given.err
    with path.open("ab") as file:
        file.write(b"k9,,,\n")
    refused = run(*begin(path))
    assert refused.code == 2
    assert shown in refused.err


def test_a_cell_that_cannot_be_read_hides_nothing(run: Run, box: Box, tmp_path: Path) -> None:
    """The other mistakes of its row are listed with it."""
    path = tmp_path / "jobs.csv"
    path.write_text("avatar,voice,text,subtitles,title\na,,hello,maybe,a title that is far too long for it\n")
    ran = run(*begin(path))
    assert ran.code == 2
    assert [line.partition(":")[0] for line in ran.err.splitlines()[:3]] == [
        "line 2, subtitles", "line 2, voice", "line 2, title",
    ]  # fmt: skip
    assert "has 3 mistakes" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words", "advice"),
    [
        (["bulk", "run", "jobs.csv"], "--provider is missing", "See: avatarkit bulk run --help"),
        (["bulk", "run"], "Missing argument", "See: avatarkit bulk run --help"),
        (["bulk", "worker", "--dsn"], "requires an argument", "See: avatarkit bulk worker --help"),
        (["bulk", "worker", "--dsn", "x"], "PostgreSQL address", "See: avatarkit bulk worker --help"),
        (["bulk", "resend", "run.db"], "give keys", "See: avatarkit bulk resend --help"),
        (["bulk", "cancel", "run.db", "k", "--all"], "not both", "See: avatarkit bulk cancel --help"),
        (["bulk", "status", "run.db"], "there is no journal run.db", "It is MANIFEST.run.db beside"),
        (["bulk", "doubts", "run.db", "--run", "x"], "there is no journal", "It is MANIFEST.run.db beside"),
        (["check"], "none found", "See: avatarkit check --help"),
        (["generate", "--text", "hello"], "needs --voice", "See: avatarkit generate --help"),
        (
            ["generate", "--avatar", "a", "--voice", "v", "--text", "x" * 99_999],
            "found",
            "Change what is named here",
        ),
        (
            ["generate", "--avatar", "a", "--audio", "missing.wav"],
            "missing.wav",
            "Change what is named here",
        ),
    ],
)
def test_hints_fit(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str, advice: str
) -> None:
    """What is missing is looked up in the command's own help; only what was given can be changed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HIFLY_TOKEN", "x")
    (tmp_path / "jobs.csv").write_text("text\nx\n")
    ran = run(*arguments)
    assert ran.code == 2
    told, last = ran.err.splitlines()[-2:]
    assert words in told
    assert last.strip().startswith(advice)


def test_another_folder_on_the_way(run: Run, box: Box, tmp_path: Path) -> None:
    """A run that goes on with another ``--out`` says how many videos lie where, in any later start, too."""
    path = manifest(box, tmp_path, 2)
    run(*begin(path))
    manifest(box, tmp_path, 5)
    old, new = tmp_path / "videos", tmp_path / "new"
    ran = run("bulk", "run", str(path), "--out", str(new))
    assert ran.out == f"5 of 5 videos are done: 3 in {new}, 2 in {old}\n"
    assert len(list(new.glob("*.mp4"))) == 3
    again = run("bulk", "run", str(path), "--json")
    assert lines(again)[1]["places"] == {str(new): 3, str(old): 2}
    status = run("bulk", "status", f"{path}.run.db", "--json").document
    assert status["places"] is None


def test_results_that_cannot_be_stored(launch: Launch, run: Run, start_box: Start, tmp_path: Path) -> None:
    """``status`` says why what was made is not there, and how many wait for it, while the run goes and afterwards."""
    box = start_box(run_seconds=1.0)
    path = manifest(box, tmp_path, 3)
    program = launch(*begin(path), environment=box.environment)
    _wait_for(lambda: len(box.sandbox.tasks()) == 3)
    out = tmp_path / "videos"
    shutil.rmtree(out, ignore_errors=True)
    out.write_text("a file in the folder's place, which not even root can write into")
    journal = f"{path}.run.db"
    _wait_for(Path(journal).exists)
    _wait_for(lambda: run("bulk", "status", journal, "--json").document.get("unstored") == 3)
    told = run("bulk", "status", journal)
    assert "not stored  3 results are tried again: " in told.out
    program.stop()
    ran = program.end()
    assert ran.code == 130
    assert "3 results could not be stored yet: " in ran.err
    why = run("bulk", "status", journal, "--json").document["unstored_why"]
    assert why
    assert why in ran.err
    assert why in told.out
