"""Every error avatarkit raises, as one tree.

::

    AvatarKitError
    ├── ConfigurationError           wrong settings; nothing was sent
    │   ├── MissingCredentials       says which variable or argument to set
    │   └── MissingExtra             an optional package is not installed (also ImportError)
    ├── InvalidRequest               found locally, nothing was sent or billed (also ValueError)
    ├── InvalidHandle                a task token that is not one (also ValueError)
    ├── InvalidCallback              a callback that cannot be read, or whose signature is wrong (also ValueError)
    ├── UnsupportedOperation         this provider cannot do it; nothing was sent
    ├── ProviderError                the provider answered, and said no
    │   ├── AuthenticationError      the credentials were not accepted
    │   ├── EntitlementError         accepted, but the plan does not include this
    │   ├── InsufficientCredits      no money left
    │   ├── BadRequest               a parameter or a file was refused
    │   │   └── MediaRejected        … it was the file (size, type, cannot be fetched)
    │   ├── ModerationRefused        refused by content review
    │   ├── NotFound                 no such task, avatar, voice or file
    │   ├── RateLimited              too many requests a second
    │   ├── TooManyRunning           too many tasks at once
    │   ├── ProviderFault            the provider's own trouble
    │   └── UnexpectedResponse       an answer in none of the provider's shapes
    ├── TransportError               no usable answer (also ConnectionError)
    │   └── NotSent                  … and surely nothing reached the provider
    ├── DeadlineExceeded             the time given ran out (also TimeoutError)
    │   └── WaitTimeout              … while waiting for a task, which goes on; carries its token
    ├── SubmissionInDoubt            a billed request may have been accepted; carries the ticket
    ├── TaskFailed                   the provider ended the task without a result
    ├── TransferError                an upload or a download did not finish
    │   ├── UploadFailed
    │   ├── DownloadFailed
    │   └── LinkExpired              the result's URL is dead and could not be renewed
    └── BridgeError                  the blocking side (also RuntimeError)
        ├── ClientClosed             the client was closed
        ├── ForkedClient             the client was made before os.fork()
        └── WouldDeadlock            a blocking call on the event loop's own thread

No message, note, repr or attribute holds a credential, a signature or a signed URL.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avatarkit.models import FailureReason, RawResponse, Ticket

_YEAR_2500 = 16_725_225_600.0


class AvatarKitError(Exception):
    """Base of everything avatarkit raises on purpose.

    *hint* is one line that says what to do: no part of the text, but a note (PEP 678), so that tracebacks show it; the
    command line prints it below the message. *token* resumes the task that the error is about, where there is one:
    ``client.task(error.token)``.
    """

    token: str = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint

    @property
    def hint(self) -> str:
        """What to do, in one line; ``""`` when there is nothing to say. Setting it changes the note, too."""
        return str(self.__dict__.get("hint", ""))

    @hint.setter
    def hint(self, text: str) -> None:
        """Keep it as one line, and as one note."""
        line = " ".join(each.strip() for each in (text or "").splitlines() if each.strip())
        before, self.__dict__["hint"] = self.hint, line
        if before == line:
            return
        notes: list[str] = getattr(self, "__notes__", [])
        if before in notes:
            at = notes.index(before)
            notes[at : at + 1] = [line] if line and line not in notes else []
        elif line and line not in notes:
            self.add_note(line)

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders in batch work: rebuild from attributes, not from arguments.
        state = self.__dict__.copy()
        if "__notes__" in state:
            state["__notes__"] = list(state["__notes__"])  # what is noted on a copy is the copy's
        return (_rebuild, (type(self), self.args, state))


def _rebuild(cls: type[AvatarKitError], args: tuple[Any, ...], state: dict[str, Any]) -> AvatarKitError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigurationError(AvatarKitError):
    """The client was set up in a way that cannot work. Nothing was sent."""


class MissingCredentials(ConfigurationError):
    """No credentials were given or found; the message names the variable and the argument."""


class MissingExtra(ConfigurationError, ImportError):
    """An optional package is needed for this; the hint says what to install."""


class Problem(str):
    """One thing wrong with a request: ``field: found …, allowed …``."""

    __slots__ = ()


class InvalidRequest(AvatarKitError, ValueError):
    """The request breaks the provider's published limits. Nothing was sent or billed.

    ``problems`` lists everything that is wrong, not only the first thing.
    """

    def __init__(self, problems: Sequence[str] | str, *, hint: str = "") -> None:
        found = (problems,) if isinstance(problems, str) else tuple(problems)
        self.problems: tuple[str, ...] = found
        text = found[0] if len(found) == 1 else f"{len(found)} problems: " + "; ".join(found)
        super().__init__(text, hint=hint)


class InvalidHandle(AvatarKitError, ValueError):
    """The string is no task token, was cut, or belongs to another provider or account."""


class InvalidCallback(AvatarKitError, ValueError):
    """A callback's body is not what the vendor sends, or its signature is missing, old or wrong.

    Attributes:
        provider: whose callback it was to be.
        forged: whether the signature was the trouble.

    """

    def __init__(self, message: str, *, provider: str = "", forged: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.provider = provider
        self.forged = forged


class UnsupportedOperation(AvatarKitError):
    """The provider cannot do this; ``providers`` names those that can. Nothing was sent."""

    def __init__(self, message: str, *, providers: Sequence[str] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.providers = tuple(providers)


class ProviderError(AvatarKitError):
    """The provider answered and refused.

    Attributes:
        provider: ``hifly``, ``guiji``, ``kling`` or ``yunapi``.
        endpoint: avatarkit's name of the operation, e.g. ``videos.create_by_tts``.
        code: the provider's own code, as text, or ``""``.
        http_status: HTTP status of the answer (many providers refuse with 200).
        request_id: the provider's id of the request, to quote to its support.
        retry_after: seconds the provider asked to wait, or None.
        retryable: whether the same request can succeed later without being changed.
        response: the raw answer.

    """

    retryable: bool = False

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        endpoint: str = "",
        code: str = "",
        http_status: int = 0,
        request_id: str = "",
        retry_after: float | None = None,
        retryable: bool | None = None,
        response: RawResponse | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.message = message
        self.provider = provider
        self.endpoint = endpoint
        self.code = code
        self.http_status = http_status
        self.request_id = request_id
        self.retry_after = retry_after
        if retryable is not None:
            self.retryable = retryable
        self.response = response

    def __str__(self) -> str:
        where = f"{self.provider} {self.endpoint}".strip()
        facts = [f"code {self.code}"] if self.code else []
        if self.http_status and self.http_status != 200:
            facts.append(f"HTTP {self.http_status}")
        if self.request_id:
            facts.append(f"request {self.request_id}")
        tail = f" ({', '.join(facts)})" if facts else ""
        return f"{where}: {self.message}{tail}" if where else f"{self.message}{tail}"


class AuthenticationError(ProviderError):
    """The provider did not accept the credentials."""


class EntitlementError(ProviderError):
    """The credentials are good, but the account's plan does not include this operation."""


class InsufficientCredits(ProviderError):
    """The account has no credits left. Submitting stops; what runs is still collected."""


class BadRequest(ProviderError):
    """The provider refused a parameter."""


class MediaRejected(BadRequest):
    """The provider refused a file: its size, its type, or it could not be fetched."""


class ModerationRefused(ProviderError):
    """The provider's content review refused the material."""


class NotFound(ProviderError):
    """The provider knows no such task, avatar, voice or file."""


class RateLimited(ProviderError):
    """Too many requests a second. The client waits and retries by itself until its deadline."""

    retryable = True


class TooManyRunning(ProviderError):
    """Too many tasks run or wait at the provider.

    The client waits for a slot by itself; this is raised only when its deadline passes first.
    """

    retryable = True


class ProviderFault(ProviderError):
    """The provider reports trouble of its own."""


class UnexpectedResponse(ProviderError):
    """The answer is in none of the provider's shapes (HTML, cut JSON, a missing field)."""


class TransportError(AvatarKitError, ConnectionError):
    """No usable answer came back. Raised for requests that are safe to repeat, after the retries."""

    def __init__(self, message: str, *, provider: str = "", endpoint: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.provider = provider
        self.endpoint = endpoint


class NotSent(TransportError):
    """Surely nothing reached the provider: DNS, refused connection, TLS, or our own deadline."""


class DeadlineExceeded(AvatarKitError, TimeoutError):
    """The time given for the call ran out. Nothing billed is in doubt."""


class WaitTimeout(DeadlineExceeded):
    """The wait ran out; the task goes on. ``token`` resumes the wait, here or elsewhere."""

    def __init__(self, message: str, *, token: str = "", task_id: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.token = token
        self.task_id = task_id

    def add_note(self, note: str, /) -> None:
        """Add a note; one that names the token takes the place of the hint's, which says no more than that."""
        notes: list[str] = getattr(self, "__notes__", [])
        if self.token and self.token in note and self.token in self.hint and self.hint in notes:
            notes.remove(self.hint)
        super().add_note(note)


class SubmissionInDoubt(AvatarKitError):
    """A billed request went out and no clear answer came back: it may have been accepted.

    It was not sent again. ``client.reconcile(error.ticket)`` finds out where the provider allows it.
    ``reason`` says what happened on the wire. A note says what was sent, under which name, and where to look for it.
    """

    def __init__(self, message: str, *, ticket: Ticket, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.ticket = ticket
        self.reason = reason
        self.add_note(self.where_to_look)

    @property
    def where_to_look(self) -> str:
        """One line: what was sent, under which name, and how or where to look for it."""
        ticket = self.ticket
        what, marker = f"{ticket.provider} {ticket.endpoint}".strip(), _quoted(ticket.marker)
        if not marker:
            known = 0 < ticket.sent_at < _YEAR_2500  # a ticket may come from a token or a ledger
            moment = (
                f" at {datetime.fromtimestamp(ticket.sent_at, UTC):%Y-%m-%d %H:%M:%S} UTC" if known else ""
            )
            return f"{what} was sent without a name{moment}: only {ticket.provider}'s console may show it"
        if ticket.guard == "none":
            return f"{what} was sent as {marker}: look for that in {ticket.provider}'s console"
        return f"{what} was sent as {marker}: client.reconcile(error.ticket) looks for that"


def _quoted(marker: str) -> str:
    return repr(marker if len(marker) <= 200 else f"{marker[:200]}…") if marker else ""


class TaskFailed(AvatarKitError):
    """The provider ended the task without a result.

    ``reason`` is ``moderation``, ``bad_input``, ``cancelled``, ``no_result`` or ``provider_fault``; ``code`` and
    ``message`` are the provider's own words.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: FailureReason,
        provider: str = "",
        task_id: str = "",
        kind: str = "",
        code: str = "",
        response: RawResponse | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.provider = provider
        self.task_id = task_id
        self.kind = kind
        self.code = code
        self.response = response


class TransferError(AvatarKitError):
    """An upload or a download did not finish."""


class UploadFailed(TransferError):
    """The file did not arrive. Nothing was billed; it is safe to try again.

    Attributes:
        retryable: whether the same file can arrive when it is sent again, to a fresh address.
        http_status: the store's answer, 0 when there was none.
        code: the store's error code, e.g. ``SignatureDoesNotMatch``.
    """

    retryable: bool = True
    http_status: int = 0
    code: str = ""


class DownloadFailed(TransferError):
    """The result could not be fetched whole. What was received stays in the ``.part`` file."""


class LinkExpired(DownloadFailed):
    """The result's URL no longer works and asking the task again gave no working one."""


class BridgeError(AvatarKitError, RuntimeError):
    """A blocking call could not be carried out."""


class ClientClosed(BridgeError):
    """The client is closed."""


class ForkedClient(BridgeError):
    """The client was made before ``os.fork()``; make a new one in the child."""


class WouldDeadlock(BridgeError):
    """A blocking call was made on the event loop's own thread."""
