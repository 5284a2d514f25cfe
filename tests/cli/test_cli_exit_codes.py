"""Every exit code, for people and as JSON; never a traceback, never a secret."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commandline import REPOSITORY, SECRET, Box, Ran, token_in

from avatarkit import cli
from avatarkit.cli.failures import Exit, exit_code, hint
from avatarkit.cli.invocation import Ledger
from avatarkit.cli.progress import Board
from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    BadRequest,
    ClientClosed,
    ConfigurationError,
    DeadlineExceeded,
    DownloadFailed,
    EntitlementError,
    InsufficientCredits,
    InvalidHandle,
    InvalidRequest,
    LinkExpired,
    MissingCredentials,
    MissingExtra,
    ModerationRefused,
    NotFound,
    NotSent,
    ProviderFault,
    RateLimited,
    TaskFailed,
    TransportError,
    UnexpectedResponse,
    UnsupportedOperation,
    UploadFailed,
    WaitTimeout,
)
from avatarkit.models import FailureReason
from avatarkit.sandbox import Fault

Run = Callable[..., Ran]
Start = Callable[..., Box]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AvatarKitError("x"), 1),
        (ClientClosed("x"), 1),
        (MissingExtra("x"), 1),
        (RuntimeError("x"), 1),
        (ConfigurationError("x"), 2),
        (InvalidRequest("x"), 2),
        (InvalidHandle("x"), 2),
        (UnsupportedOperation("x"), 2),
        (MissingCredentials("x"), 3),
        (AuthenticationError("x"), 3),
        (EntitlementError("x"), 3),
        (InsufficientCredits("x"), 4),
        (BadRequest("x"), 5),
        (ModerationRefused("x"), 5),
        (RateLimited("x"), 5),
        (TaskFailed("x", reason=FailureReason.BAD_INPUT), 5),
        (UnexpectedResponse("x"), 6),
        (TransportError("x"), 6),
        (NotSent("x"), 6),
        (UploadFailed("x"), 6),
        (DownloadFailed("x"), 6),
        (LinkExpired("x"), 6),
        (DeadlineExceeded("x"), 7),
        (WaitTimeout("x"), 7),
    ],
)
def test_table(error: Exception, code: int) -> None:
    """Each class of the tree has its documented code."""
    assert exit_code(error) == code


@pytest.mark.parametrize(
    "error",
    [
        NotFound("x"), RateLimited("x"), ProviderFault("x"), TransportError("x"), UploadFailed("x"),
        LinkExpired("x"), DeadlineExceeded("x"), InvalidRequest("x"), WaitTimeout("x", token="avk1.x"),
    ],
)  # fmt: skip
def test_each_error_says_what_to_do(error: Exception) -> None:
    """Errors that carry no hint of their own still get a second line."""
    assert hint(error)


def test_help_documents_the_codes(run: Run) -> None:
    """``avatarkit --help`` lists every exit code, and so does the documentation."""
    text = run("--help").out
    documented = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    for code in Exit:
        assert str(code.value) in text
        assert f"{code.value}" in documented
    assert "Exit codes" in text


def test_help_shows_flags_without_a_value(run: Run) -> None:
    """Flags take no value, and the help does not show one; -h stays."""
    for arguments in ([], ["generate"], ["task", "wait"]):
        text = run(*arguments, "--help").out
        assert "bool" not in text.lower()
        assert "-h" in text


def test_unforeseen_error_is_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug gives code 1, its kind, and how to see more; never a traceback."""

    def broken(*_: Any, **__: Any) -> Any:
        raise KeyError(SECRET)

    monkeypatch.setenv("HIFLY_TOKEN", SECRET)
    monkeypatch.setattr("avatarkit.cli.listing.opened", broken)
    ran = run("credits")
    assert ran.code == 1
    assert "KeyError" in ran.err
    assert "--debug" in ran.err
    assert run("credits", "--json").error["type"] == "KeyError"


def test_debug_shows_the_traceback(
    capsys: pytest.CaptureFixture[str], box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--debug and AVATARKIT_DEBUG show the traceback and the requests, still without the credentials."""
    assert cli.main(["task", "show", "nonsense", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("AVATARKIT_DEBUG", "1")
    assert cli.main(["task", "show", "nonsense"]) == 2
    assert "Traceback" in capsys.readouterr().err
    assert cli.main(["credits"]) == 0
    text = capsys.readouterr().err
    assert "account.credit" in text
    assert SECRET not in text
    monkeypatch.setenv("AVATARKIT_DEBUG", "0")
    assert cli.main(["credits"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["credits", "--nonsense"],
        ["voices", "list", "--page", "0"],
        ["task", "show"],
        ["demo", "-x"],
    ],
)
def test_usage_errors_are_two(run: Run, arguments: list[str]) -> None:
    """Wrong usage is told in two lines, or as a document."""
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.err.startswith("avatarkit: ")
    assert "--help" in ran.err
    assert ran.out == ""
    told = run(*arguments, "--json")
    assert (told.code, told.error["type"]) == (2, "UsageError")


@pytest.mark.parametrize("arguments", [["task"], ["voices"], ["avatars"]])
def test_a_group_alone_shows_its_help(run: Run, arguments: list[str]) -> None:
    """A group without a command shows what there is, and counts as wrong usage."""
    ran = run(*arguments)
    assert ran.code == 2
    assert "Usage: avatarkit" in ran.out + ran.err


def test_unknown_provider_names_the_known(run: Run) -> None:
    """An unknown provider is code 2 and the known ones are named."""
    ran = run("credits", "--provider", "nobody")
    assert ran.code == 2
    assert "hifly" in ran.err


@pytest.mark.parametrize("address", ["http://[", "ftp://example.org", "nonsense"])
def test_bad_address_is_two(run: Run, box: Box, address: str) -> None:
    """An address that is no http(s) URL is code 2."""
    ran = run("credits", "--base-url", address)
    assert ran.code == 2
    assert "URL" in ran.err


def test_damaged_token_is_two(run: Run, box: Box) -> None:
    """A token that was cut is told as such, without a request."""
    token = token_in(run(*box.speak(), "--no-wait").out)
    ran = run("task", "show", token[:-3])
    assert ran.code == 2
    assert "damaged or was cut" in ran.err
    assert run("task", "wait", token[:-3], "--json").error["type"] == "InvalidHandle"


def test_token_of_another_account_is_two(run: Run, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token of another account is refused without a request."""
    token = token_in(run(*box.speak(), "--no-wait").out)
    monkeypatch.setenv("HIFLY_TOKEN", "another-token")
    assert run("task", "show", token).code == 2


def test_token_of_the_account_under_another_key(run: Run, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the account's key was changed its id, which the error tells, is given by the variable it names."""
    token = token_in(run(*box.speak(), "--no-wait").out)
    box.sandbox.add_account("another-token")
    monkeypatch.setenv("HIFLY_TOKEN", "another-token")
    error = run("task", "show", token, "--json").error
    account = error["message"].partition("account (")[2].partition(",")[0]
    assert f"set HIFLY_ACCOUNT={account}." in error["hint"]
    assert "same_account" not in error["hint"]
    monkeypatch.setenv("HIFLY_ACCOUNT", account)
    seen = len(box.sandbox.seen.requests)
    ran = run("task", "show", token)
    assert "another hifly account" not in ran.err
    assert len(box.sandbox.seen.requests) > seen


def test_no_credentials_is_three(run: Run) -> None:
    """Without credentials the variable to set is named."""
    ran = run("credits")
    assert ran.code == 3
    assert "HIFLY_TOKEN" in ran.err
    assert run("credits", "--json").error["type"] == "MissingCredentials"


def test_wrong_credentials_are_three(run: Run, box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that are not accepted: code 3 and where to get good ones, without showing them."""
    monkeypatch.setenv("HIFLY_TOKEN", "wrong-" + SECRET)
    ran = run("credits", "--json")
    assert (ran.code, ran.error["type"]) == (3, "AuthenticationError")
    assert ran.error["hint"]


def test_missing_entitlement_is_three(run: Run, box: Box) -> None:
    """A plan that does not include the operation is code 3."""
    box.sandbox.set_account(switches={"plan": "none"})
    assert run(*box.speak(), "--no-wait").code == 3


def test_no_credits_is_four(run: Run, box: Box) -> None:
    """An empty account is code 4, with what to do."""
    box.sandbox.set_account(credits=0.0)
    ran = run(*box.speak(), "--no-wait", "--json")
    assert ran.code == 4
    assert (ran.error["type"], ran.error["code"]) == ("InsufficientCredits", "1002")
    assert ran.error["hint"]


def test_refused_is_five(run: Run, box: Box) -> None:
    """A provider's refusal is code 5; the document has its code and request id."""
    arguments = ["generate", "--avatar", "nobody", "--voice", box.stock("voice"), "--text", "Hi", "--no-wait"]
    assert run(*arguments).code == 5
    error = run(*arguments, "--json").error
    assert error["code"] == "14"
    assert error["request_id"].startswith("req-")
    assert error["provider"] == "hifly"


def test_failed_task_is_five(run: Run, box: Box, tmp_path: Path) -> None:
    """A task that failed is code 5 with its reason, and no advice to wait for it."""
    ran = run(*box.speak("please [fail]"), "-o", str(tmp_path / "x.mp4"), "--json")
    assert ran.code == 5
    assert ran.error["type"] == "TaskFailed"
    assert ran.error["reason"]
    assert "tokens" not in ran.error
    assert "task wait" not in ran.err


def test_unexpected_answer_is_six(run: Run, box: Box) -> None:
    """An answer in no known shape is code 6."""
    box.sandbox.faults.add(
        "GET /account/credit", Fault(kind="answer", status=404, body=b"<html>hello</html>"), times=9
    )
    ran = run("credits", "--json")
    assert (ran.code, ran.error["type"]) == (6, "UnexpectedResponse")


def test_failed_download_is_six_and_keeps_the_token(run: Run, box: Box, tmp_path: Path) -> None:
    """When the file of a paid video cannot be fetched: code 6, and the token to fetch it with later."""
    box.sandbox.faults.add("GET /result", Fault(kind="answer", accept=False, status=400), times=20)
    target = tmp_path / "x.mp4"
    ran = run(*box.speak(), "-o", str(target), "--json")
    assert ran.code == 6
    box.sandbox.faults.clear()
    (token,) = ran.error["tokens"]
    assert run("task", "download", token, "-o", str(target)).code == 0


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_unwritable_after_paying_is_six(
    run: Run, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    """A target that goes bad while the video is made: code 6 and ``task download``, never code 2 or a second try."""
    target = tmp_path / "out" / "x.mp4"
    real = Board.follow

    async def follow(*given: Any, **named: Any) -> Any:
        made = await real(*given, **named)
        (tmp_path / "out").write_text("in the way")
        return made

    monkeypatch.setattr(Board, "follow", follow)
    ran = run(*box.speak(), "-o", str(target), *flags)
    token = token_in(ran.err)
    assert ran.code == 6
    assert (
        ran.err.count(f"The task is finished. Save its result: avatarkit task download {token} -o FILE") == 1
    )
    for words in ("again", "goes on", "nothing was sent"):
        assert words not in ran.err
    if flags:
        assert ran.error["tokens"] == [token]
        assert ran.error["type"] == "DownloadFailed"
        assert f"avatarkit task download {token}" in ran.error["hint"]
    (tmp_path / "out").unlink()
    assert run("task", "download", token, "-o", str(target)).code == 0


def test_local_fault_after_a_clone_is_not_two(run: Run, box: Box, tmp_path: Path) -> None:
    """Once an avatar was accepted no error is code 2, and none advises to clone it again."""
    ledger = Ledger(accepted=["avk1.x"], made={"avatar": "av-1"})
    for error in (InvalidRequest("x"), ConfigurationError("x"), UnsupportedOperation("x"), UploadFailed("x")):
        assert exit_code(error, ledger) == 6
        assert (
            hint(error, ledger)
            == "The avatar is made: go on with --avatar av-1 in place of --image or --video."
        )
    assert exit_code(InvalidRequest("x"), Ledger()) == 2


def test_a_fault_after_paying_is_not_run_again(
    run: Run, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug that shows after the submission does not advise to run the billed command again."""

    async def broken(*_: Any, **__: Any) -> Any:
        raise KeyError("x")

    monkeypatch.setattr(Board, "follow", broken)
    ran = run(*box.speak(), "-o", str(tmp_path / "x.mp4"))
    assert ran.code == 1
    assert "again" not in ran.err
    assert f"Resume: avatarkit task wait {token_in(ran.err)}" in ran.err


def test_timeout_is_seven_and_keeps_the_token(run: Run, start_box: Start, tmp_path: Path) -> None:
    """When the time runs out: code 7 and the command that goes on, told once."""
    box = start_box(run_seconds=float("inf"))
    ran = run(*box.speak(), "--timeout", "0.2", "-o", str(tmp_path / "x.mp4"))
    assert ran.code == 7
    assert ran.err.count(f"avatarkit task wait {token_in(ran.err)}") == 1
    again = run("task", "wait", token_in(ran.err), "--timeout", "0.2", "--json")
    assert again.code == 7
    assert again.error["token"] == token_in(ran.err)
    box.sandbox.finish()
    assert run("task", "wait", token_in(ran.err)).out == "succeeded\n"


def test_doubt_is_eight(run: Run, box: Box) -> None:
    """A submission whose answer was lost: code 8, its marker, and no second submission."""
    box.sandbox.faults.add("POST /video/create_by_tts", "reset_after")
    ran = run(*box.speak(), "--title", "unlucky", "--json")
    assert ran.code == 8
    assert ran.error["ticket"]["marker"] == "unlucky"
    assert ran.error["reconciliation"]["finding"] == "cannot tell"
    assert "'unlucky'" in ran.error["hint"]
    assert len(box.sandbox.tasks()) == 1


def test_doubt_for_people(run: Run, box: Box) -> None:
    """The same in words: it may have been paid for, and where to look before trying again."""
    box.sandbox.faults.add("POST /video/create_by_tts", "504_html_after")
    ran = run(*box.speak(), "--title", "unlucky")
    assert ran.code == 8
    assert "'unlucky'" in ran.err
    assert "before you submit it again" in ran.err


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_missing_packages(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without typer or rich there is one line that says what to install, and code 1."""
    monkeypatch.setitem(sys.modules, missing, None)
    assert cli.main(["credits"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert 'python -m pip install ".[cli]"' in err
    assert cli.main(["credits", "--json"]) == 1
    assert '"MissingExtra"' in capsys.readouterr().out


def test_taken_port(run: Run) -> None:
    """A port that is in use is told in words."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("sandbox", "--port", str(taken.getsockname()[1]))
    assert ran.code == 2
    assert "--port 0" in ran.err
