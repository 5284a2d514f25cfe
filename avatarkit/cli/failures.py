"""Exit codes, and how an error is told: one line what, one line what to do."""

from __future__ import annotations

import contextlib
import enum
import os
import re
import sys
import traceback
from typing import Any, Final

import attrs
import orjson

from avatarkit import errors, providers
from avatarkit.cli import output
from avatarkit.cli.invocation import Invocation, Ledger
from avatarkit.models import Reconciliation
from avatarkit.protocol.redact import Secret, scrub


class Exit(enum.IntEnum):
    """The exit codes of every command."""

    OK = 0
    OTHER = 1
    USAGE = 2
    CREDENTIALS = 3
    NO_CREDITS = 4
    REFUSED = 5
    NETWORK = 6
    TIMEOUT = 7
    IN_DOUBT = 8
    PARTLY = 9
    STOPPED = 10
    INTERRUPTED = 130
    TERMINATED = 143


EXIT_CODES: Final = {
    Exit.OK: "done",
    Exit.OTHER: "another error",
    Exit.USAGE: "wrong usage or request; nothing was sent",
    Exit.CREDENTIALS: "credentials or plan",
    Exit.NO_CREDITS: "no credits left",
    Exit.REFUSED: "refused by the provider, or the task failed",
    Exit.NETWORK: "network, transfer or unexpected answer",
    Exit.TIMEOUT: "time ran out; a submitted task goes on, its token is printed",
    Exit.IN_DOUBT: "submission in doubt: it may have been paid for",
    Exit.PARTLY: "a bulk run is over, but jobs failed or are held",
    Exit.STOPPED: "a bulk run stopped before its end: its budget, or too many failures in a row",
    Exit.INTERRUPTED: "Ctrl-C; tokens to go on with are printed (SIGTERM: 143)",
}

# The first class that fits decides, so special ones stand before their bases.
_TABLE: Final[tuple[tuple[type[BaseException], Exit], ...]] = (
    (errors.SubmissionInDoubt, Exit.IN_DOUBT),
    (errors.DeadlineExceeded, Exit.TIMEOUT),
    (errors.InsufficientCredits, Exit.NO_CREDITS),
    (errors.MissingCredentials, Exit.CREDENTIALS),
    (errors.AuthenticationError, Exit.CREDENTIALS),
    (errors.EntitlementError, Exit.CREDENTIALS),
    (errors.UnexpectedResponse, Exit.NETWORK),
    (errors.ProviderError, Exit.REFUSED),
    (errors.TaskFailed, Exit.REFUSED),
    (errors.TransportError, Exit.NETWORK),
    (errors.TransferError, Exit.NETWORK),
    (errors.MissingExtra, Exit.OTHER),
    (errors.ConfigurationError, Exit.USAGE),
    (errors.InvalidRequest, Exit.USAGE),
    (errors.InvalidHandle, Exit.USAGE),
    (errors.UnsupportedOperation, Exit.USAGE),
)
# What to do when the error itself does not say.
_ADVICE: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (errors.NotFound, "Check the ids: avatarkit avatars list, avatarkit voices list."),
    (errors.AuthenticationError, "Check the credentials: avatarkit doctor"),
    (errors.EntitlementError, "Change the plan in the provider's console."),
    (errors.InsufficientCredits, "Recharge the account in the provider's console."),
    (errors.ModerationRefused, "Change the material; it was refused by the provider's review."),
    (errors.BadRequest, "Change what the provider names, and try again."),
    (
        errors.UnexpectedResponse,
        "Try again; if it stays, is --base-url right, is a proxy in between? avatarkit doctor",
    ),
    (errors.ProviderError, "The trouble is the provider's: try again later."),
    (errors.TransportError, "Check network, proxy and address: avatarkit doctor"),
    (errors.UploadFailed, "Nothing was billed; try again."),
    (errors.DownloadFailed, "Try again: it goes on where it stopped."),
    (errors.DeadlineExceeded, "Try again later; nothing is running."),
)
# Problems of something that was given, as ``field: figure found, figure allowed``; others are of what is missing.
_GIVEN: Final = re.compile(r"\bno (such )?file\b|\bfound\b.*\ballowed\b", re.DOTALL)
_OPTION: Final = re.compile(
    r"account='([\w.-]+)' for the client, or the variable (\w+); or same_account=False\."
)
_MISSING: Final = re.compile(r"\bnone (found|given)\b|\bfound 0\b")
_SIMPLE_FIELDS: Final = (
    "code", "provider", "endpoint", "kind", "http_status", "request_id", "retry_after", "task_id", "token",
)  # fmt: skip


class Interrupted(Exception):
    """The run was stopped from outside; ``exit`` says how."""

    def __init__(self, code: Exit) -> None:
        super().__init__("interrupted")
        self.exit = code


def exit_code(error: BaseException, ledger: Ledger | None = None) -> Exit:
    """The exit code that *error* ends the program with; 2 never once something was accepted."""
    code = next((code for cls, code in _TABLE if isinstance(error, cls)), Exit.OTHER)
    sent = ledger is not None and (ledger.accepted or ledger.open)
    return Exit.NETWORK if code is Exit.USAGE and sent else code


def clean(text: str) -> str:
    """*text* without the environment's credentials, signed URLs and the like."""
    found = []
    for name in providers.names():
        try:
            variables = providers.spec(name).credentials
        except ImportError:
            continue
        found += [Secret(os.environ[each]) for each in variables if os.environ.get(each)]
    return scrub(text, found)


def describe(error: BaseException, ledger: Ledger, *, command: str = "avatarkit") -> dict[str, Any]:
    """*error* of *command* as the ``error`` object of a JSON document; empty fields are left out."""
    told: dict[str, Any] = {
        "type": type(error).__name__,
        "message": clean(str(error)),
        "hint": hint(error, ledger, command=command),
    }
    told |= {name: getattr(error, name, None) for name in _SIMPLE_FIELDS}
    if isinstance(error, errors.TaskFailed):
        told["reason"] = error.reason.value
    if isinstance(error, errors.InvalidRequest):
        told["problems"] = [clean(problem) for problem in error.problems]
    if isinstance(error, errors.SubmissionInDoubt):
        told["reason"] = clean(error.reason)
        told["ticket"] = attrs.asdict(error.ticket)
        found = getattr(error, "finding", None)
        told["reconciliation"] = attrs.asdict(found) if isinstance(found, Reconciliation) else None
    told["tokens"] = list(ledger.open)
    told["made"] = dict(ledger.made)
    return {name: value for name, value in told.items() if value or name in ("type", "message", "hint")}


def hint(error: BaseException, ledger: Ledger | None = None, *, command: str = "avatarkit") -> str:
    """What to do about *error* of *command*, in the command line's own terms; never to pay for the same thing again."""
    if isinstance(error, errors.WaitTimeout):
        return f"Go on waiting with: avatarkit task wait {error.token}"
    if isinstance(error, errors.SubmissionInDoubt):
        return _doubt_hint(error)
    if isinstance(error, errors.MissingCredentials):
        return "Set it in the environment. To try things without an account: avatarkit demo"
    if isinstance(error, errors.InvalidHandle) and "to_token" in error.hint:
        return "Copy it whole, as it was printed."
    if isinstance(error, errors.MissingExtra):
        return error.hint
    own = _OPTION.sub(r"set \2=\1.", clean(getattr(error, "hint", "")))
    paid = _paid_hint(ledger) if ledger is not None else ""
    if paid:
        kept = own if isinstance(error, errors.ProviderError | errors.TaskFailed) else ""
        return f"{kept} {paid}".strip()
    if isinstance(error, errors.InvalidRequest):
        return own or _correction(error, command)
    return own or next((advice for cls, advice in _ADVICE if isinstance(error, cls)), "")


def _correction(error: errors.InvalidRequest, command: str) -> str:
    """What to do about a wrong request: change what was given, or look up what may be."""
    given = any(_GIVEN.search(problem) and not _MISSING.search(problem) for problem in error.problems)
    return "Change what is named here, and try again." if given else f"See: {command} --help"


def _paid_hint(ledger: Ledger) -> str:
    """How to go on with what is there already; ``""`` when there is nothing."""
    for token in ledger.open:
        return _going_on(token, ledger)
    if "avatar" in ledger.made:
        return (
            f"The avatar is made: go on with --avatar {ledger.made['avatar']} in place of --image or --video."
        )
    return ""


def _going_on(token: str, ledger: Ledger) -> str:
    if token in ledger.ended:
        return f"The task is finished. Save its result: avatarkit task download {token} -o FILE"
    return f"The task goes on. Resume: avatarkit task wait {token}"


def _doubt_hint(error: errors.SubmissionInDoubt) -> str:
    found = getattr(error, "finding", None)
    if isinstance(found, Reconciliation) and found.token:
        return f"It was accepted. Go on with: avatarkit task wait {found.token}"
    marker = f" {error.ticket.marker!r}" if error.ticket.marker else ""
    said = f" ({found.explanation})" if isinstance(found, Reconciliation) and found.explanation else ""
    return f"Look for{marker} in the provider's console before you submit it again{said}."


def tell(error: BaseException, invocation: Invocation, *, command: str = "avatarkit") -> Exit:
    """Print *error* of *command* in the form that was asked for; the exit code to end with."""
    advice = hint(error, invocation.ledger, command=command)
    if invocation.debug:
        with contextlib.suppress(OSError):  # nobody reads it: that must not hide how it ends
            sys.stderr.write(clean(_traceback(error, told=advice)))
    if invocation.json:
        told = describe(error, invocation.ledger, command=command)
        output.write_json({"error": told}, lines=invocation.lines)
    known = isinstance(error, errors.AvatarKitError | OSError)
    what = clean(str(error)) or type(error).__name__
    output.warn(f"avatarkit: {what}" if known else f"avatarkit: {type(error).__name__}: {what}")
    if not known and not invocation.debug:
        report = (
            "Report it"
            if invocation.ledger.accepted
            else "Run it again with --debug and report what it shows"
        )
        advice = f"This should not happen. {report}. {advice}".rstrip()
    if advice:
        output.warn(f"  {advice}")
    _tell_ledger(invocation.ledger, told=advice)
    return exit_code(error, invocation.ledger)


def _traceback(error: BaseException, *, told: str) -> str:
    """The traceback of *error* without those of its notes that *told*, which is printed below it, says as well."""
    shown = traceback.TracebackException.from_exception(error)
    said = {getattr(error, "hint", "")} if getattr(error, "hint", "") in told else set()
    if isinstance(error, errors.SubmissionInDoubt):
        said.add(error.where_to_look)
    if shown.__notes__:
        shown.__notes__ = [note for note in shown.__notes__ if note not in said]
    return "".join(shown.format())


def _tell_ledger(ledger: Ledger, *, told: str = "") -> None:
    for text in ledger_lines(ledger, told=told):
        output.warn(f"  {text}")


def ledger_lines(ledger: Ledger, *, told: str = "") -> list[str]:
    """What was paid for or may have been, and how to go on with it; *told* was said already."""
    lines = [f"The new {name} is {value}" for name, value in ledger.made.items()]
    lines += [_going_on(token, ledger) for token in ledger.open if token not in told]
    for cut in ledger.cut_off:
        if cut.token and cut.token not in ledger.open:
            lines.append(f"The task goes on. Resume: avatarkit task wait {cut.token}")
        elif not cut.token:
            name = f" {cut.ticket.marker!r}" if cut.ticket.marker else ""
            lines.append(
                f"A submission ({cut.ticket.endpoint}{name}) was cut off and may have been accepted and paid for: "
                "look for it in the provider's console before you submit it again."
            )
    return [*lines, f"Go on with: {ledger.going_on}"] if ledger.going_on else lines


def interrupted_document(ledger: Ledger) -> dict[str, Any]:
    """The JSON document of a run that was stopped."""
    in_doubt = [attrs.asdict(cut.ticket) for cut in ledger.cut_off if not cut.token]
    tokens = [*ledger.open, *(cut.token for cut in ledger.cut_off if cut.token not in ("", *ledger.open))]
    how = ledger.going_on or "avatarkit task wait TOKEN"
    error = {"type": "Interrupted", "message": "stopped", "hint": f"Resume: {how}"}
    return {"error": {**error, "tokens": tokens, "in_doubt": in_doubt, "made": dict(ledger.made)}}


def tell_interrupted(invocation: Invocation) -> None:
    """Say that the run was stopped, and what goes on without it."""
    if invocation.json:
        output.write_json(interrupted_document(invocation.ledger), lines=invocation.lines)
    output.warn("avatarkit: stopped")
    _tell_ledger(invocation.ledger)


def interrupted_bytes(invocation: Invocation) -> tuple[bytes, bytes]:
    """The same as bytes for standard output and standard error, for the moment when nothing else can be trusted."""
    out = orjson.dumps(interrupted_document(invocation.ledger)) + b"\n" if invocation.json else b""
    lines = ["avatarkit: stopped at once", *(f"  {text}" for text in ledger_lines(invocation.ledger))]
    return out, ("\n" + "\n".join(map(output.printable, lines)) + "\n").encode()
