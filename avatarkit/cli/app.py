"""The command line as a whole: the commands, the options before them, and the end of every run."""

from __future__ import annotations

import logging
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from avatarkit import __version__
from avatarkit.cli import bulk, check, demo, doctor, generate, listing, output, sandbox, tasks, webhooks
from avatarkit.cli.failures import EXIT_CODES, Exit, Interrupted, tell, tell_interrupted
from avatarkit.cli.invocation import Invocation, take_shared

_ABOUT = "Talking-avatar videos from the command line: sandbox, generation, tasks."
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # typer carries its own click since 0.25


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer calls it
    if asked:
        output.line(f"avatarkit {__version__}")
        raise typer.Exit


class _Root(TyperGroup):
    """All commands, with the exit codes below their help."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, and then the codes one a line: an epilog's lines are joined, or spaced out as paragraphs."""
        super().format_help(ctx, formatter)
        formatter.write("\nExit codes:\n")
        for code, text in EXIT_CODES.items():
            begin = f"  {code.value:3}  "
            lines = textwrap.wrap(text, formatter.width - len(begin))
            formatter.write(begin + f"\n{' ' * len(begin)}".join(lines) + "\n")


def build() -> typer.Typer:
    """The application with every command."""
    app = typer.Typer(
        name="avatarkit",
        cls=_Root,
        help=_ABOUT,
        add_completion=True,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def options(
        ctx: typer.Context,
        *,
        version: Annotated[
            bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
        ] = False,
        json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False,
        quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no remarks.")] = False,
        debug: Annotated[
            bool, typer.Option("--debug", help="Log requests, show tracebacks; also with AVATARKIT_DEBUG=1.")
        ] = False,
    ) -> None:
        take_shared(ctx.obj, {"json": json, "quiet": quiet, "debug": debug})

    for module in (demo, check, generate, bulk, tasks, listing, sandbox, webhooks, doctor):
        module.register(app)
    return app


def command_tree() -> Any:
    """The application as click sees it; its flags do not show ``<bool>`` as if they took a value."""
    root = typer.main.get_command(build())
    _bare_flags(root, None)
    return root


def _bare_flags(command: Any, parent: Any) -> None:
    context = typer.Context(command, parent=parent, info_name=command.name, **command.context_settings)
    for parameter in command.get_params(context):
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    for each in getattr(command, "commands", {}).values():
        _bare_flags(each, context)


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code. Errors are told, never raised."""
    output.prepare_streams()
    wanted = os.environ.get("AVATARKIT_DEBUG", "").strip().lower()
    invocation = Invocation(debug="--debug" in arguments or wanted not in ("", "0", "false", "no", "off"))
    _set_up_logging(debug=invocation.debug)
    try:
        code: Any = command_tree()(
            list(arguments), prog_name="avatarkit", standalone_mode=False, obj=invocation
        )
    except Interrupted as stop:
        tell_interrupted(invocation)
        return stop.exit
    except (KeyboardInterrupt, typer.Abort):
        tell_interrupted(invocation)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (| head). Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OTHER
    except _UsageError as error:
        return _usage(error, _command_in(arguments), json="--json" in arguments)
    except Exception as error:  # noqa: BLE001 - the last stop before the user
        return tell(error, invocation, command=_command_in(arguments))
    return code if isinstance(code, int) else Exit.OK


def _command_in(arguments: Sequence[str]) -> str:
    """The words of *arguments* that name a command, e.g. ``avatarkit bulk run``."""
    words: list[str] = ["avatarkit"]
    at: Any = typer.main.get_command(build())
    for word in (each for each in arguments if not each.startswith("-")):
        at = getattr(at, "commands", {}).get(word)
        if at is None:
            break
        words.append(word)
    return " ".join(words)


def _usage(error: Any, command: str, *, json: bool) -> int:
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return Exit.USAGE
    message = output.printable(error.format_message())
    context = error.ctx
    hint = f"See: {context.command_path if context is not None else command} --help"
    if json:
        output.write_json({"error": {"type": "UsageError", "message": message, "hint": hint}})
    output.warn(f"avatarkit: {message}")
    output.warn(f"  {hint}")
    return Exit.USAGE


def _set_up_logging(*, debug: bool) -> None:
    logger = logging.getLogger("avatarkit")
    if debug:
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
        logger.setLevel(logging.DEBUG)
    else:
        # What the log would warn of is told by the commands themselves.
        handler = logging.NullHandler()
        logger.setLevel(logging.NOTSET)
    logger.handlers[:] = [handler]
