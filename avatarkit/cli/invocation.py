"""One run of the command line: its flags, and the record of what was paid for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import attrs
import typer

from avatarkit.events import Event, SubmissionSettled
from avatarkit.transport.account import DetachedSubmission

F = TypeVar("F", bound=Callable[..., None])


@attrs.define
class Ledger:
    """What this run submitted, so that no way of ending it loses a task.

    Attributes:
        tell: called with a token as soon as its task was accepted.
        accepted: tokens of everything that this run submitted with success.
        open: tokens of tasks whose result is not in hand yet, oldest first.
        ended: tokens of those that ended well, so that only their result has to be fetched.
        made: facts worth money that later steps need, e.g. ``{"avatar": "…"}``.
        clients: the clients that were opened; they know submissions that were cut off.
        going_on: how to go on with the whole, where that is not by tokens.

    """

    tell: Callable[[str], None] = lambda token: None
    accepted: list[str] = attrs.field(factory=list)
    open: list[str] = attrs.field(factory=list)
    ended: set[str] = attrs.field(factory=set)
    made: dict[str, str] = attrs.field(factory=dict)
    clients: list[Any] = attrs.field(factory=list)
    going_on: str = ""

    def heard(self, event: Event) -> None:
        """A client's hook."""
        if isinstance(event, SubmissionSettled) and event.token:
            self.accepted.append(event.token)
            self.open.append(event.token)
            self.tell(event.token)

    def done(self, token: str) -> None:
        """The result of *token* is in hand, or it failed for good."""
        if token in self.open:
            self.open.remove(token)

    @property
    def cut_off(self) -> list[DetachedSubmission]:
        """Submissions that were under way when the run was stopped and were not refused."""
        ended_well = ("rejected", "not sent", "try later")
        return [
            detached
            for client in self.clients
            for detached in client.detached_submissions
            if detached.outcome not in ended_well
        ]


@attrs.define
class Invocation:
    """What every command has: ``--json``, ``--quiet``, ``--debug`` and the ledger.

    *lines* says that standard output is JSON lines, so that every document has to be one line.
    """

    json: bool = False
    quiet: bool = False
    debug: bool = False
    ledger: Ledger = attrs.field(factory=Ledger)
    lines: bool = False


_SHARED: dict[str, Any] = {
    "json": Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output, nothing else there.")
    ],
    "quiet": Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")],
    "debug": Annotated[bool, typer.Option("--debug", help="Log requests, show tracebacks.")],
}


def shared_parameters() -> list[inspect.Parameter]:
    """The options that every command takes, as parameters for typer."""
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation)
        for name, annotation in _SHARED.items()
    ]


def take_shared(invocation: Invocation, given: dict[str, Any]) -> None:
    """Move the shared options out of *given*; an option counts wherever it stands on the line."""
    for name in _SHARED:
        if given.pop(name):
            setattr(invocation, name, True)


# These go to the system as they came, and a file may have any name that it allows. Material is not among them: it is
# written down in the tokens of chains, which are text.
_FILES = frozenset({"files", "text_file", "output_to"})


def check_text(ctx: typer.Context, given: dict[str, Any]) -> None:
    """See that what was *given* is text, which bytes that are no UTF-8 are not; names of files may have them.

    Raises:
        typer.BadParameter: one is not; names its option.

    """
    for parameter in ctx.command.params:
        value = given.get(parameter.name or "")
        values = value if isinstance(value, list | tuple) else [value]
        if parameter.name not in _FILES and not all(_is_text(str(each)) for each in values):
            wrong: Any = parameter
            raise typer.BadParameter("it holds bytes that are not UTF-8.", ctx=ctx, param=wrong)


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def command(app: typer.Typer, name: str, **options: Any) -> Callable[[F], F]:
    """Register a command whose first parameter is the :class:`Invocation`; it takes the shared options too."""

    def register(function: F) -> F:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        def run(ctx: typer.Context, **given: Any) -> None:
            invocation = ctx.find_root().obj
            take_shared(invocation, given)
            check_text(ctx, given)
            function(invocation, **given)

        context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        parameters = [context, *own, *shared_parameters()]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        run.__doc__ = function.__doc__
        run.__name__ = function.__name__
        app.command(name, **options)(run)
        return function

    return register
