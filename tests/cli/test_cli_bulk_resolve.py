"""``avatarkit bulk``: looking at a run, and deciding about jobs that are held, failed or waiting."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import attrs
import orjson
import pytest
from commandline import Box, Ran
from test_cli_bulk import SUBMIT, begin, manifest

from avatarkit.bulk import local, stages
from avatarkit.models import Kind
from avatarkit.protocol.handle import from_token, to_token
from avatarkit.sandbox import Fault

Run = Callable[..., Ran]
LOOK = "GET /video/task"


@pytest.fixture
def held(run: Run, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A journal in which one of two jobs is held: its answer was lost, and HiFly has nothing to look it up with."""
    monkeypatch.setattr(local, "_RECONCILE_EVERY", 0.05)
    box.sandbox.faults.add(SUBMIT, "close_after")
    ran = run(*begin(manifest(box, tmp_path, 2), "--submits", "1"))
    assert ran.code == 9, ran.err
    assert "held" in ran.out
    return str(tmp_path / "jobs.csv.run.db")


def go_on(run: Run, tmp_path: Path) -> Ran:
    """Start the run again."""
    return run("bulk", "run", str(tmp_path / "jobs.csv"))


def lost_task(box: Box, run: Run, journal: str) -> str:
    """The id of the task whose answer was lost."""
    marker = run("bulk", "doubts", journal, "--json").document["doubts"][0]["marker"]
    return next(str(task["id"]) for task in box.sandbox.tasks() if task["title"] == marker)


def test_doubts_say_what_to_look_for(run: Run, held: str) -> None:
    """``doubts`` shows when it was sent, under which title, and the commands that settle it."""
    (doubt,) = run("bulk", "doubts", held, "--json").document["doubts"]
    assert doubt.keys() >= {"key", "state", "marker", "endpoint", "sent_at", "error", "attempt"}
    assert doubt["state"] == "held"
    ran = run("bulk", "doubts", held)
    assert doubt["marker"] in ran.out
    for name in ("adopt", "resend", "abandon"):
        assert f"avatarkit bulk {name} {held}" in ran.err


def test_adopt_by_task_id(run: Run, box: Box, held: str, tmp_path: Path) -> None:
    """A task found in the vendor's console is taken over by its id, without credentials, and nothing is paid again."""
    (doubt,) = run("bulk", "doubts", held, "--json").document["doubts"]
    ran = run("bulk", "adopt", held, doubt["key"], lost_task(box, run, held))
    assert ran.code == 0, ran.err
    assert "this task is its own now" in ran.out
    assert "avatarkit bulk run" in ran.err
    assert go_on(run, tmp_path).code == 0
    assert len(box.sandbox.tasks()) == 2
    assert len(list((tmp_path / "videos").glob("*.mp4"))) == 2


def test_adopt_by_token(run: Run, box: Box, held: str, tmp_path: Path) -> None:
    """A token does as well, but not one of another account or of another kind."""
    (doubt,) = run("bulk", "doubts", held, "--json").document["doubts"]
    outcomes = map(json.loads, run("bulk", "run", str(tmp_path / "jobs.csv"), "--json").out.splitlines())
    mine = from_token(next(each["token"] for each in outcomes if each.get("token")))
    for wrong, words in (
        (attrs.evolve(mine, account="ffff"), "account ffff found"),
        (attrs.evolve(mine, provider="kling"), "a token of kling found, one of hifly allowed"),
        (attrs.evolve(mine, kind=Kind.AVATAR), "makes an avatar found, one that makes a video allowed"),
    ):
        ran = run("bulk", "adopt", held, doubt["key"], to_token(wrong))
        assert ran.code == 2
        assert words in ran.err
    right = attrs.evolve(mine, task_id=lost_task(box, run, held))
    told = run("bulk", "adopt", held, doubt["key"], to_token(right), "--json").document
    assert told == {"key": doubt["key"], "state": "running", "token": to_token(right)}
    ran = run("bulk", "adopt", held, doubt["key"], to_token(right))
    assert ran.code == 2
    assert "running found" in ran.err
    assert go_on(run, tmp_path).code == 0
    assert len(box.sandbox.tasks()) == 2


def test_adopt_looks_at_the_provider_first(
    run: Run, box: Box, held: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id that the provider does not know changes nothing; ``--unchecked`` takes it all the same."""
    (doubt,) = run("bulk", "doubts", held, "--json").document["doubts"]
    for wrong in ("nonsense", "12345678"):
        ran = run("bulk", "adopt", held, doubt["key"], wrong)
        assert ran.code == 2
        assert f"hifly knows no task {wrong}" in ran.err
        assert "--unchecked" in ran.err
    assert run("bulk", "status", held, "--json").document["held"] == 1
    assert run("bulk", "adopt", held, doubt["key"], "nonsense", "--unchecked").code == 0
    assert run("bulk", "status", held, "--json").document["running"] == 1


@pytest.mark.parametrize("lacking", ["credentials", "account", "answer"])
def test_adopt_where_nobody_can_be_asked(
    run: Run, box: Box, held: str, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    """Without credentials, with another account's, or without an answer the id is taken, and that is said."""
    (doubt,) = run("bulk", "doubts", held, "--json").document["doubts"]
    if lacking == "credentials":
        monkeypatch.delenv("HIFLY_TOKEN")
    elif lacking == "account":
        monkeypatch.setenv("HIFLY_TOKEN", "another-key")
    else:
        monkeypatch.setenv("HIFLY_BASE_URL", "http://127.0.0.1:9")
    ran = run("bulk", "adopt", held, doubt["key"], "12345678")
    assert ran.code == 0, ran.err
    assert "was not looked at" in ran.err


def test_adopt_says_what_the_provider_shows(run: Run, box: Box, held: str) -> None:
    """The status at the one look is told with the job's."""
    (doubt,) = run("bulk", "doubts", held, "--json").document["doubts"]
    ran = run("bulk", "adopt", held, doubt["key"], lost_task(box, run, held))
    assert ran.code == 0, ran.err
    assert "hifly shows it: succeeded" in ran.err


@pytest.mark.parametrize("how", ["denied", "failed"])
def test_adopt_a_failed_job(
    run: Run, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A task that the provider denied for so long that its job failed, and shows later, is fetched after all."""
    monkeypatch.setattr(stages, "_MISSING_FOR", 0.0)
    if how == "denied":
        denial = orjson.dumps({"code": 14, "message": "no such task"})
        box.sandbox.faults.add(LOOK, Fault(kind="answer", status=200, body=denial), times=100)
    else:
        box.sandbox.fail_next()
    ran = run(*begin(manifest(box, tmp_path, 1), "--retries", "0"))
    assert ran.code == 9, ran.err
    journal = str(tmp_path / "jobs.csv.run.db")
    box.sandbox.faults.clear()
    before = run("bulk", "status", journal, "--json").document
    assert (before["failed"], before["done"]) == (1, 0)
    task = str(box.sandbox.tasks()[0]["id"])
    ran = run("bulk", "adopt", journal, "k0", task)
    assert ran.code == 0, ran.err
    now = run("bulk", "status", journal, "--json").document
    assert (now["failed"], now["running"]) == (0, 1)
    assert go_on(run, tmp_path).code == (0 if how == "denied" else 9)
    after = run("bulk", "status", journal, "--json").document
    assert len(box.sandbox.tasks()) == 1
    assert (after["done"], after["spent"], after["reserved"]) == (
        int(how == "denied"),
        before["spent"],
        0.0,
    )


def test_adopt_leaves_what_is_done(run: Run, box: Box, held: str) -> None:
    """A job that has its video takes no other task."""
    (doubt,) = run("bulk", "doubts", held, "--json").document["doubts"]
    done = {"k0": "k1", "k1": "k0"}[doubt["key"]]
    ran = run("bulk", "adopt", held, done, lost_task(box, run, held))
    assert ran.code == 2
    assert "done found, a job that is held, in doubt or failed allowed" in ran.err


def test_adopt_takes_no_task_twice(run: Run, box: Box, held: str) -> None:
    """The task of another job is not given to a second one."""
    (doubt,) = run("bulk", "doubts", held, "--json").document["doubts"]
    taken = next(task["id"] for task in box.sandbox.tasks() if task["title"] != doubt["marker"])
    ran = run("bulk", "adopt", held, doubt["key"], taken)
    assert ran.code == 2
    assert "already" in ran.err


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("avk1.broken", "damaged"),
        ("avkc1.eJyLjgUAARUAuQ", "a chain's token found"),
        ("AVK1.abc", "found, a task id or a task's token (avk1.…) allowed"),
        ("avk2.abc", "found, a task id or a task's token (avk1.…) allowed"),
        ("two words", "found, a task id or a task's token (avk1.…) allowed"),
        ("https://hifly.cc/video/123", "found, a task id or a task's token (avk1.…) allowed"),
        ("<task id>", "found, a task id or a task's token (avk1.…) allowed"),
        ("x" * 300, "found, a task id or a task's token (avk1.…) allowed"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--unchecked",)])
def test_adopt_refuses_nonsense(
    run: Run, held: str, monkeypatch: pytest.MonkeyPatch, task: str, words: str, more: tuple[str, ...]
) -> None:
    """What is no id and no token is refused without a question to anybody, and the journal stays as it is."""
    monkeypatch.delenv("HIFLY_TOKEN")
    (doubt,) = run("bulk", "doubts", held, "--json").document["doubts"]
    ran = run("bulk", "adopt", held, doubt["key"], task, *more)
    assert ran.code == 2
    assert words in ran.err
    assert len(run("bulk", "doubts", held, "--json").document["doubts"]) == 1


def test_held_jobs_stay_held(run: Run, box: Box, held: str, tmp_path: Path) -> None:
    """Starting the run again does not send a held job."""
    assert go_on(run, tmp_path).code == 9
    assert len(box.sandbox.tasks()) == 2


def test_resend(run: Run, box: Box, held: str, tmp_path: Path) -> None:
    """At the user's word it is sent once more, by the next start."""
    ran = run("bulk", "resend", held, "--all-held")
    assert ran.out == "1 job will be submitted again\n"
    assert len(box.sandbox.tasks()) == 2
    assert go_on(run, tmp_path).code == 0
    assert len(box.sandbox.tasks()) == 3


def test_abandon(run: Run, box: Box, held: str, tmp_path: Path) -> None:
    """A job that was given up is never sent, and no doubt any more."""
    (doubt,) = run("bulk", "doubts", held, "--json").document["doubts"]
    assert run("bulk", "abandon", held, doubt["key"], "--json").document == {"jobs": 1}
    assert run("bulk", "doubts", held).out == "no doubts\n"
    assert go_on(run, tmp_path).code == 9
    assert len(box.sandbox.tasks()) == 2
    assert run("bulk", "status", held, "--json").document["given_up"] == 1


def test_resend_failed(run: Run, box: Box, tmp_path: Path) -> None:
    """Failed jobs come back with ``--failed``."""
    box.sandbox.fail_next()
    ran = run(*begin(manifest(box, tmp_path, 1), "--retries", "0"))
    assert ran.code == 9, ran.err
    journal = str(tmp_path / "jobs.csv.run.db")
    assert run("bulk", "resend", journal, "--failed").code == 0
    assert go_on(run, tmp_path).code == 0
    assert len(box.sandbox.tasks()) == 2


def test_cancel(run: Run, box: Box, tmp_path: Path) -> None:
    """What a stopped run has not submitted can be cancelled, one by one or all; it is not made any more."""
    ran = run(*begin(manifest(box, tmp_path, 4), "--budget", "11"))
    assert ran.code == 10, ran.err
    made = len(box.sandbox.tasks())
    journal = str(tmp_path / "jobs.csv.run.db")
    assert run("bulk", "cancel", journal, "k3").out == "1 job cancelled\n"
    assert run("bulk", "cancel", journal, "--all").out == f"{3 - made} jobs cancelled\n"
    assert run("bulk", "run", str(tmp_path / "jobs.csv"), "--budget", "inf").code == 9
    assert len(box.sandbox.tasks()) == made


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["resend", "J", "k9"], "no job 'k9'"),
        (["resend", "J"], "give keys"),
        (["abandon", "J", "k1"], "held allowed"),
        (["cancel", "J", "k1"], "allowed"),
        (["status", "missing.db"], "there is no journal"),
        (["cancel", "missing.db", "--all"], "there is no journal"),
        (["status", "jobs.csv"], "ledger"),
        (["status", "J", "--run", "other"], "no run 'other'"),
    ],
)
def test_what_cannot_be_done(
    run: Run, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    """A wrong key, state, run or file ends with 2 and says what is wrong."""
    monkeypatch.chdir(tmp_path)
    run(*begin(manifest(box, tmp_path, 2)))
    ran = run("bulk", *("jobs.csv.run.db" if each == "J" else each for each in arguments))
    assert ran.code == 2
    assert words in ran.err


def test_export(run: Run, held: str, tmp_path: Path) -> None:
    """Outcomes become a CSV or JSON lines; an existing file is replaced only with ``--force``."""
    table, rows = tmp_path / "out.csv", tmp_path / "out.jsonl"
    assert run("bulk", "export", held, "-o", str(table)).code == 0
    with table.open(encoding="utf-8-sig", newline="") as file:
        states = {row["key"]: row["state"] for row in csv.DictReader(file)}
    assert sorted(states) == ["k0", "k1"]
    assert sorted(states.values()) == ["done", "held"]
    assert run("bulk", "export", held, "-o", str(table)).code == 2
    assert run("bulk", "export", held, "-o", str(rows), "--state", "done", "--json").document["jobs"] == 1
    assert json.loads(rows.read_text())["state"] == "done"
    assert run("bulk", "export", held, "-o", str(rows), "--force").code == 0


def test_export_writes_what_the_name_says(run: Run, held: str, tmp_path: Path) -> None:
    """A name that ends like no form is wrong usage and nothing is written; ``--format`` has the last word."""
    sheet = tmp_path / "out.xlsx"
    ran = run("bulk", "export", held, "-o", str(sheet))
    assert ran.code == 2
    assert "out.xlsx found, a name ending with .csv, .tsv, .jsonl or .ndjson allowed" in ran.err
    assert not sheet.exists()
    assert run("bulk", "export", held, "-o", str(sheet), "--format", "xlsx").code == 2
    assert run("bulk", "export", held, "-o", str(sheet), "--format", "tsv").code == 0
    assert sheet.read_text(encoding="utf-8-sig").startswith("key\tstate\t")
    assert run("bulk", "export", held, "-o", str(tmp_path / "o.csv"), "--format", "jsonl").code == 0
    assert json.loads((tmp_path / "o.csv").read_text().splitlines()[0])["key"]


def test_report_and_status(run: Run, held: str, tmp_path: Path) -> None:
    """``report`` writes one page, ``status`` tells the figures and what to do; neither needs credentials."""
    page = tmp_path / "page.html"
    ran = run("bulk", "report", held, "-o", str(page))
    assert ran.code == 0, ran.err
    assert "k0" in page.read_text(encoding="utf-8")
    told = run("bulk", "status", held)
    assert "1 of 2 done, 1 held" in told.out
    assert f"avatarkit bulk doubts {held}" in told.out
    assert "finished, but 1 held job waits for you" in told.out


def test_status_of_a_finished_run(run: Run, box: Box, tmp_path: Path) -> None:
    """It says so, in words and in JSON, and its time does not go on."""
    assert run(*begin(manifest(box, tmp_path, 2))).code == 0
    journal = str(tmp_path / "jobs.csv.run.db")
    told = run("bulk", "status", journal)
    assert re.search(r"^state +finished$", told.out, re.MULTILINE)
    assert "active" not in told.out
    first = run("bulk", "status", journal, "--json").document
    assert (first["state"], first["left"]) == ("finished", 0)
    assert first["elapsed"] == run("bulk", "status", journal, "--json").document["elapsed"] > 0
    assert json.loads(run("bulk", "run", str(tmp_path / "jobs.csv"), "--json").out.splitlines()[-1])[
        "state"
    ] == ("finished")


def test_status_of_a_run_that_stopped_or_was_left(run: Run, box: Box, tmp_path: Path) -> None:
    """Stopped with its reason, and how to go on."""
    run(*begin(manifest(box, tmp_path, 4), "--budget", "11"))
    journal = str(tmp_path / "jobs.csv.run.db")
    told = run("bulk", "status", journal)
    assert re.search(r"^state +stopped: the budget", told.out, re.MULTILINE)
    assert "to go on: avatarkit bulk run" in told.out
    assert run("bulk", "status", journal, "--json").document["state"] == "stopped"
