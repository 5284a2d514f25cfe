"""What an error says when nobody looks into its attributes: in a traceback, in the log, in a repr."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import re
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import avatarkit
from avatarkit.cli import failures
from avatarkit.cli.invocation import Invocation
from avatarkit.errors import (
    AvatarKitError,
    ConfigurationError,
    InsufficientCredits,
    InvalidRequest,
    MissingExtra,
    SubmissionInDoubt,
    TransportError,
    WaitTimeout,
)
from avatarkit.models import Guard, Ticket
from avatarkit.protocol.endpoint import Effect, Endpoint, Request
from avatarkit.providers.guiji import wire
from avatarkit.providers.guiji.auth import GuijiAuth
from avatarkit.providers.guiji.endpoints import token_request
from avatarkit.routing import _again
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.testing import VirtualClock, run_virtual

TTS = "POST /video/create_by_tts"


def told(error: BaseException) -> str:
    """What Python itself prints of *error*."""
    return "".join(traceback.format_exception(error))


def ticket(**changes: Any) -> Ticket:
    given: dict[str, Any] = {
        "provider": "guiji",
        "endpoint": "videos.create",
        "kind": "video",
        "account": "0123456789",
        "marker": "ak-3ngu4v9znj",
        "guard": Guard.TITLE,
        "sent_at": 1_790_000_000.0,
    }
    return Ticket(**{**given, **changes})


# -- hints


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("no key", hint="Set the key."),
        InvalidRequest(["one", "two"], hint="Set the key."),
        MissingExtra("no obstore", hint="Set the key."),
        InsufficientCredits("none left", provider="hifly", hint="Set the key."),
        TransportError("reset", hint="Set the key."),
    ],
)
def test_a_hint_shows_in_the_traceback_and_not_in_the_text(error: AvatarKitError) -> None:
    """A hint is one note of its error, once, and no part of its text."""
    assert error.__notes__ == ["Set the key."]
    assert "Set the key." not in str(error)
    assert told(error).count("Set the key.") == 1


def test_no_hint_no_note() -> None:
    """An error without a hint has no notes, and says nothing instead of one."""
    error = ConfigurationError("wrong")
    assert error.hint == ""
    assert not hasattr(error, "__notes__")
    error.hint = ""
    assert not hasattr(error, "__notes__")


def test_a_hint_that_comes_later_takes_the_place_of_the_first() -> None:
    """Set anew, a hint is told in its latest form only; other notes stay, and so does their order."""
    error = ConfigurationError("wrong", hint="Do this.")
    error.add_note("hifly task 7: go on with the token avk1.x")
    error.hint = "Do that."
    error.hint = "Do that."
    assert error.hint == "Do that."
    assert error.__notes__ == ["Do that.", "hifly task 7: go on with the token avk1.x"]
    error.hint = ""
    assert error.__notes__ == ["hifly task 7: go on with the token avk1.x"]
    late = ConfigurationError("wrong")
    late.add_note("first")
    late.hint = "Do this."
    assert late.__notes__ == ["first", "Do this."]


def test_a_hint_is_one_line() -> None:
    """Lines are joined: a hint cannot make a traceback look like something else."""
    error = ConfigurationError("wrong", hint="Do this.\n  File x\r\nthen that.\n")
    assert error.hint == "Do this. File x then that."
    assert error.__notes__ == [error.hint]


@pytest.mark.parametrize(
    "rebuilt",
    [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_a_copy_tells_its_hint_once_and_has_notes_of_its_own(rebuilt: Callable[[Any], Any]) -> None:
    """Notes and hint cross borders once; what is added to the copy is not told by the first."""
    error = SubmissionInDoubt("who knows", ticket=ticket(), hint="Look.")
    error.add_note("more")
    other = rebuilt(rebuilt(error))
    assert other.__notes__ == error.__notes__
    assert other.hint == "Look."
    other.hint = "Look again."
    other.add_note("mine")
    assert error.__notes__[0] == "Look."
    assert "mine" not in error.__notes__
    assert other.__notes__.count("Look again.") == 1
    assert "Look." not in other.__notes__


def test_raised_again_a_hint_is_told_once() -> None:
    """Raising an error a second time does not repeat its hint."""
    error = ConfigurationError("wrong", hint="Do this.")
    for _ in range(2):
        with pytest.raises(ConfigurationError) as caught:
            raise error
    assert told(caught.value).count("Do this.") == 1


def test_a_token_is_not_told_twice() -> None:
    """A hint that only names the token gives way to the note that names the task and its token."""
    error = WaitTimeout("still running", token="avk1.abc", task_id="7", hint="Resume with the token avk1.abc")
    assert error.__notes__ == ["Resume with the token avk1.abc"]
    error.add_note("hifly task 7: go on with the token avk1.abc")
    assert error.__notes__ == ["hifly task 7: go on with the token avk1.abc"]
    assert error.hint == "Resume with the token avk1.abc"


def test_what_a_pool_says_again_keeps_its_hint() -> None:
    """The copy of an error that ended another call has the hint, and none of that call's own notes."""
    error = InsufficientCredits("none left", provider="hifly", hint="Recharge.")
    error.add_note("before that, hifly account x: …")
    assert _again(error).__notes__ == ["Recharge."]
    bare = InsufficientCredits("none left", provider="hifly")
    assert not getattr(_again(bare), "__notes__", [])


# -- doubts


def test_a_doubt_names_the_marker_and_who_can_be_asked() -> None:
    """Where the provider can be asked the note says how; the marker is in it, the text has it not."""
    error = SubmissionInDoubt("who knows", ticket=ticket())
    (note,) = error.__notes__
    assert "guiji videos.create" in note
    assert "'ak-3ngu4v9znj'" in note
    assert "client.reconcile(error.ticket)" in note
    assert str(error) == "who knows"


def test_a_doubt_names_the_console_where_nobody_can_be_asked() -> None:
    """Without a guard the console is all there is: the note names the marker to look for, or the time."""
    (note,) = SubmissionInDoubt("?", ticket=ticket(provider="hifly", guard=Guard.NONE)).__notes__
    assert "'ak-3ngu4v9znj'" in note
    assert "console" in note
    assert "reconcile" not in note
    (bare,) = SubmissionInDoubt("?", ticket=ticket(guard=Guard.NONE, marker="")).__notes__
    assert "2026-09-21" in bare
    assert "console" in bare
    for strange in (float("nan"), float("inf"), -1e300, 1e300, 0.0):
        (odd,) = SubmissionInDoubt("?", ticket=ticket(guard=Guard.NONE, marker="", sent_at=strange)).__notes__
        assert " at " not in odd


def test_a_hostile_marker_stays_on_its_line() -> None:
    """A title with line breaks is shown quoted, and a long one cut."""
    (note,) = SubmissionInDoubt("?", ticket=ticket(marker="a\n\x1b[31m" + "x" * 5000)).__notes__
    assert "\n" not in note
    assert "\x1b" not in note
    assert len(note) < 500


async def in_doubt(box: AsyncSandbox, hifly: avatarkit.AsyncHiFly, **options: Any) -> SubmissionInDoubt:
    avatar = (await hifly.avatars.list(size=1)).items[0].id
    voice = (await hifly.voices.list(size=1, kind=2)).items[0].id
    box.faults.add(TTS, Fault(kind=FaultKind.ANSWER, accept=True, status=404, body=b"<html>gone</html>"))
    with pytest.raises(SubmissionInDoubt) as caught:
        await hifly.videos.create_by_tts(avatar=avatar, voice=voice, text="x", **options)
    return caught.value


def client(box: AsyncSandbox, **options: Any) -> avatarkit.AsyncHiFly:
    given: dict[str, Any] = {"base_url": box.base_url("hifly"), "clock": VirtualClock(), "seed": 1, **options}
    return avatarkit.AsyncHiFly(box.token, **given)


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_doubt_is_one_warning_with_the_marker(caplog: pytest.LogCaptureFixture) -> None:
    """The log gets one line that names provider, operation and marker; so does the traceback, with what to do."""
    caplog.set_level(logging.INFO, "avatarkit")

    async def main() -> None:
        async with AsyncSandbox(clock=VirtualClock(), render="tiny") as box, client(box) as hifly:
            error = await in_doubt(box, hifly)
            marker = error.ticket.marker
            assert marker.startswith("ak-")
            (line,) = warnings_of(caplog)
            assert "hifly videos.create_by_tts" in line
            assert marker in line
            assert told(error).count(marker) == 1
            # HiFly lists no works: asking is of no use, and nothing says that it is.
            assert "reconcile" not in told(error)
            assert "console" in error.hint

    run_virtual(main)


class Gate:
    """Opens at once and remembers what it was told."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    async def open(self, ticket: Ticket) -> float | None:
        return None

    async def settled(self, ticket: Ticket, outcome: str, **_: Any) -> None:
        self.outcomes.append(outcome)


def test_a_gate_keeps_its_own_books(caplog: pytest.LogCaptureFixture) -> None:
    """A run that records its doubts is not warned of each; the line is there for who asks for more."""
    caplog.set_level(logging.DEBUG, "avatarkit")

    async def main() -> None:
        async with AsyncSandbox(clock=VirtualClock(), render="tiny") as box, client(box) as hifly:
            gate = Gate()
            error = await in_doubt(box, hifly, options=avatarkit.CallOptions(gate=gate))
            assert gate.outcomes == ["in doubt"]
            assert warnings_of(caplog) == []
            assert any(
                error.ticket.marker in record.getMessage()
                for record in caplog.records
                if record.levelno == logging.DEBUG and "in doubt" in record.getMessage()
            )

    run_virtual(main)


def test_a_doubt_whose_caller_went_away_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A cancelled submission that ends in doubt is one warning, that of its being detached."""

    async def main() -> None:
        async with AsyncSandbox(clock=VirtualClock(), render="tiny") as box, client(box) as hifly:
            avatar = (await hifly.avatars.list(size=1)).items[0].id
            voice = (await hifly.voices.list(size=1, kind=2)).items[0].id
            box.faults.add(TTS, Fault(kind=FaultKind.HANG, accept=True))
            call = asyncio.ensure_future(hifly.videos.create_by_tts(avatar=avatar, voice=voice, text="x"))
            await asyncio.sleep(5)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await asyncio.sleep(100)
            (gone,) = hifly.detached_submissions
            assert gone.outcome == "in doubt"
            (line,) = warnings_of(caplog)
            assert gone.ticket.marker in line

    run_virtual(main)


# -- the command line


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("guard", [Guard.TITLE, Guard.NONE])
def test_the_command_line_tells_once(guard: Guard, capsys: pytest.CaptureFixture[str], debug: bool) -> None:
    """Marker and hint stand once on the screen, also below the traceback that --debug shows."""
    doubtful = SubmissionInDoubt("who knows", ticket=ticket(guard=guard), hint="Ask before you send again.")
    failures.tell(doubtful, Invocation(debug=debug))
    assert capsys.readouterr().err.count("ak-3ngu4v9znj") == 1
    broke = InsufficientCredits("none left", provider="hifly", hint="Recharge it.")
    broke.add_note("before that, hifly account 1234567890: none left")
    failures.tell(broke, Invocation(debug=debug))
    shown = capsys.readouterr().err
    assert shown.count("Recharge it.") == 1
    assert shown.count("before that") == int(debug)
    assert broke.__notes__[0] == "Recharge it."


# -- blocking clients


def test_a_closed_blocking_client_says_how_to_go_on() -> None:
    """ClientClosed during a wait, after it, and for updates and results, has the token and one note that names it."""
    box = avatarkit.Sandbox(render="tiny", run_seconds=0.3)
    often = avatarkit.Polling(shortest=0.05, longest=0.1)
    with box, avatarkit.HiFly(box.token, base_url=box.base_url("hifly"), polling=often) as hifly:
        avatar, voice = hifly.avatars.list().items[0], hifly.voices.list(kind=2).items[0]
        done = hifly.videos.create_by_tts(text="y", avatar=avatar, voice=voice)
        video = done.wait()
        task = hifly.videos.create_by_tts(text="x", avatar=avatar, voice=voice)
        caught: list[BaseException] = []

        def wait() -> None:
            try:
                task.wait()
            except BaseException as error:  # noqa: BLE001 - looked at below
                caught.append(error)

        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        hifly.close()
        thread.join()
        calls: list[Callable[[], Any]] = [task.wait, task.refresh, lambda: list(task.updates())]
        for call in calls:
            with pytest.raises(avatarkit.ClientClosed) as after:
                call()
            caught.append(after.value)
        assert len(caught) == 4
        for error in caught:
            assert isinstance(error, avatarkit.ClientClosed)
            assert error.token == task.to_token()
            named = [note for note in error.__notes__ if task.to_token() in note]
            assert named == [f"hifly task {task.id}: go on with the token {task.to_token()}"]
        with pytest.raises(avatarkit.ClientClosed) as result:
            video.read()
        assert result.value.token == done.to_token()
        with pytest.raises(avatarkit.ClientClosed) as other:
            hifly.account.credit()
        assert other.value.token == ""


# -- reprs


def test_a_request_shows_no_values() -> None:
    """Crash reporters keep the repr of local variables: a request shows what it is, not what it carries."""
    request = token_request("SECRET-app-id", 1_790_000_000_000, "SECRETsignature")
    assert "SECRET" not in repr(request)
    assert "1790000000000" not in repr(request)
    assert re.search(r"GET|POST", repr(request))
    assert request.endpoint.path in repr(request)
    assert "appId" in repr(request)
    post = Request(
        Endpoint(name="x", method="POST", path="/v1/x", effect=Effect.WRITE),
        lambda _: None,
        body={"audio_url": "https://host/a?sig=SECRET", "n": 1},
        headers={"Authorization": "Bearer SECRET"},
        stream=b"SECRET",
    )
    shown = repr(post)
    assert "SECRET" not in shown
    assert "Authorization" in shown
    assert "POST /v1/x" in shown
    assert "2 fields" in shown
    assert "bytes" in shown


def test_a_request_can_still_be_compared() -> None:
    """Only the repr is other than attrs makes it."""
    endpoint = Endpoint(name="x", method="GET", path="/x")
    assert Request(endpoint, id, query="a=1") == Request(endpoint, id, query="a=1")
    assert Request(endpoint, id, query="a=1") != Request(endpoint, id, query="a=2")


@pytest.mark.parametrize(
    "answer",
    [
        wire.Envelope(data={"access_token": "SECRET"}),
        wire.TokenData(access_token="SECRET"),
        wire.PageData(records=[{"videoUrl": "https://host/a?sig=SECRET"}]),
        wire.VideoRow(url="https://host/a?sig=SECRET"),
        GuijiAuth("SECRET", "SECRET"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_answer_that_is_being_read_shows_no_values(answer: object) -> None:
    """The token that Guiji lends, and the signed URLs in its rows, are in no repr."""
    assert "SECRET" not in repr(answer)
