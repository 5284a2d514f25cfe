"""``avatarkit generate``: one talking video from any provider, from the command line to a file."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from avatarkit import providers
from avatarkit.chain import AsyncChain
from avatarkit.cli import output
from avatarkit.cli.invocation import Invocation, command
from avatarkit.cli.options import (
    BaseUrl,
    Force,
    Output,
    Provider,
    Staging,
    Target,
    Timeout,
    as_target,
    check_store,
    check_target,
    settle,
)
from avatarkit.cli.progress import Board
from avatarkit.cli.running import follow, opened, run
from avatarkit.cli.tasks import about, file_facts, result, save, tell_tokens
from avatarkit.errors import InvalidRequest, UnsupportedOperation
from avatarkit.events import BytesMoved, Event
from avatarkit.generation import all_capabilities
from avatarkit.protocol.plan import Step
from avatarkit.request import VideoRequest
from avatarkit.transport.sources import is_url

Text = Annotated[str | None, typer.Option("--text", help="What to say; - reads standard input.")]
_LONGEST = 4 << 20  # bytes of a text; no provider takes a hundredth of that
_STAND_IN = "A text in the place of one that could not be read."


@attrs.frozen(kw_only=True)
class Job:
    """What was asked for, checked as far as that is possible without the provider."""

    provider: str
    avatar: str | None
    image: str | None
    video: str | None
    voice: str | None
    text: str | None
    text_file: Path | None
    audio: str | None
    language: str | None
    title: str | None
    subtitles: bool
    prompt: str | None
    size: str | None
    options: list[str]
    target: Target
    timeout: float
    wait: bool
    force: bool
    staging: str | None
    base_url: str | None


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    command(app, "generate")(generate)


def generate(
    invocation: Invocation,
    *,
    provider: Provider = "hifly",
    avatar: Annotated[str | None, typer.Option("--avatar", metavar="ID", help="Who speaks.")] = None,
    image: Annotated[
        str | None, typer.Option("--image", metavar="FILE", help="A picture that is to speak: file or URL.")
    ] = None,
    video: Annotated[
        str | None, typer.Option("--video", metavar="FILE", help="A video whose person is to speak.")
    ] = None,
    voice: Annotated[str | None, typer.Option("--voice", metavar="ID", help="Voice that speaks.")] = None,
    text: Text = None,
    text_file: Annotated[
        Path | None, typer.Option("--text-file", metavar="FILE", help="What to say, from a UTF-8 file.")
    ] = None,
    audio: Annotated[
        str | None, typer.Option("--audio", metavar="FILE", help="A recording to speak, in place of a text.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="LANG", help="Of the text: zh or en; else told by it.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Name of the work.")] = None,
    subtitles: Annotated[bool, typer.Option("--subtitles", help="Burn the text into the video.")] = False,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="What the presenter does, how the camera moves.")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", help="720p or 1080p.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="NAME=VALUE", help="One of the provider's own; may be repeated."),
    ] = None,
    output_to: Annotated[str, Output] = ".",
    timeout: Timeout = 3600.0,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the video, or only print the token.")
    ] = True,
    force: Force = False,
    staging: Staging = None,
    base_url: BaseUrl = None,
) -> None:
    """Make a talking video and save it. Billed, each step by itself.

    Give one of --avatar, --image and --video, and either --voice with --text, or --audio. What the provider cannot do
    in one step is done in several. The credentials come from the environment (HiFly: HIFLY_TOKEN). The token is printed
    as soon as there is one.
    """
    job = Job(
        provider=provider, avatar=avatar, image=image, video=video, voice=voice, text=text, text_file=text_file,
        audio=audio, language=language, title=title, subtitles=subtitles, prompt=prompt, size=size,
        options=option or [], target=as_target(output_to), timeout=timeout, wait=wait, force=force, staging=staging,
        base_url=base_url,
    )  # fmt: skip
    request, steps = _checked(job)
    told = run(invocation, lambda: _generate(invocation, job, request, steps))
    if invocation.json:
        output.write_json(told)
    elif "path" in told:
        seconds = f"{output.number_text(told['duration'])} s, " if told["duration"] else ""
        output.note(invocation, f"done: {seconds}{output.size_text(told['size'])}")
        output.line(told["path"])
    else:
        output.line(told["token"])
        if "step" in told:
            output.note(invocation, f"The next step is submitted by: avatarkit task wait {told['token']}")


# -- what was asked for ------------------------------------------------------------------------------------------------


def _checked(job: Job) -> tuple[VideoRequest, tuple[Step, ...]]:
    """*job* as a request, and its steps; everything wrong with it is raised together."""
    problems = _combination(job)
    text = _text(job, problems)
    options = _options(job.options, problems)
    if job.wait:
        problems += check_target(job.target, force=job.force, title=job.title)
    request = VideoRequest(
        avatar=job.avatar,
        image=_media(job.image),
        video=_media(job.video),
        voice=job.voice,
        text=text,
        audio=_media(job.audio),
        language=job.language,
        title=job.title,
        subtitles=job.subtitles or None,
        prompt=job.prompt,
        size=job.size,
        options={job.provider: options},
    )
    if _combination(job):  # the request would only say the same in other words
        settle(problems)
    return request, _steps(job.provider, request, problems)


def _steps(provider: str, request: VideoRequest, problems: list[str]) -> tuple[Step, ...]:
    """The steps that lead to the video; what is wrong with the request is raised together with *problems*."""
    generation = providers.part(provider, "generate")
    try:
        found: tuple[Step, ...] = generation.plan(request, others=all_capabilities()).steps
    except InvalidRequest as error:
        settle(problems + list(error.problems))
        raise
    except UnsupportedOperation:
        settle(problems)
        raise
    settle(problems)
    return found


def _combination(job: Job) -> list[str]:
    problems = []
    faces = [face for face in (job.avatar, job.image, job.video) if face is not None]
    if len(faces) != 1:
        problems.append(f"give exactly one of --avatar, --image and --video; found {len(faces)}")
    texts = (job.text is not None) + (job.text_file is not None)
    if texts > 1:
        problems.append("give --text or --text-file, not both")
    if bool(texts) == (job.audio is not None):
        problems.append("give either --voice with --text, or --audio")
    elif texts and not job.voice:
        problems.append("--text needs --voice")
    elif job.audio is not None and (job.voice or job.subtitles):
        problems.append("--voice and --subtitles go with --text, not with --audio")
    for name, given in (("avatar", job.avatar), ("voice", job.voice)):
        if given is not None and not given.strip():
            problems.append(f"{name}: it is empty")
    for name, path in (("image", job.image), ("video", job.video), ("audio", job.audio)):
        if path is not None and not is_url(path):
            problems += _file_problems(name, path)
    return problems


def _file_problems(name: str, path: str) -> list[str]:
    if not path.strip():
        return [f"{name}: it is empty"]
    if Path(path).is_file():
        return []
    if not Path(path).exists():
        return [f"{name}: there is no file {path}"]
    what = "a folder" if Path(path).is_dir() else "no regular file"
    return [f"{name}: {path} found, which is {what}, a file allowed"]


def _text(job: Job, problems: list[str]) -> str | None:
    """What is to be said, or something in its place where that is wrong, so that the rest is looked at all the same."""
    if job.text is None and job.text_file is None:
        return None
    try:
        text, where = _read_text(job.text, job.text_file)
        if text.strip():
            return text
        problems.append(f"text: {where} is empty")
    except OSError as error:
        problems.append(f"text: {job.text_file} cannot be read: {error.strerror or error}")
    except ValueError as error:
        problems.append(f"text: {error}")
    return _STAND_IN


def _read_text(text: str | None, file: Path | None) -> tuple[str, str]:
    """What is to be said, and where that was found. Raises OSError, and ValueError for what is no text."""
    if text == "-":
        data, where = sys.stdin.buffer.read(_LONGEST + 1), "standard input"
    elif file is not None:
        with file.open("rb") as opened_file:
            data, where = opened_file.read(_LONGEST + 1), str(file)
    else:
        return text or "", "it"
    if len(data) > _LONGEST:
        raise ValueError(f"{where} found with more than {_LONGEST >> 20} MB, less allowed")
    try:
        return data.decode("utf-8-sig").strip(), where
    except UnicodeDecodeError:
        raise ValueError(f"{where} is not UTF-8") from None


def _options(given: list[str], problems: list[str]) -> dict[str, Any]:
    """``name=value`` of each; a value that reads as a number, true, false or a quoted text is one."""
    found: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            problems.append(f"option: {each!r} found, name=value allowed")
        elif name in found:
            problems.append(f"option: {name} found twice, once allowed")
        else:
            found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return text
    return value if isinstance(value, bool | int | float | str) else text


def _media(given: str | None) -> str | Path | None:
    return given if given is None or is_url(given) else Path(given)


# -- doing it ----------------------------------------------------------------------------------------------------------


async def _generate(
    invocation: Invocation, job: Job, request: VideoRequest, steps: tuple[Step, ...]
) -> dict[str, Any]:
    ledger = invocation.ledger
    if job.wait:
        await check_store(job.target, force=job.force)
    async with Board(invocation) as board:
        uploads = _Uploads(board)
        async with opened(
            invocation, job.provider, base_url=job.base_url, hook=uploads.heard, staging=job.staging
        ) as client:
            tell_tokens(invocation, board)
            if len(steps) > 1:
                names = ", then ".join(_step_text(client, step) for step in steps)
                board.say(f"{len(steps)} steps: {names}")
            task = await client.generate(request)
            if isinstance(task, AsyncChain):
                _keep_chain(invocation, task)
            told = {"provider": job.provider, "avatar": job.avatar}
            if not job.wait:
                return about(task) | told
            made, row = await follow(invocation, board, task, job.title or "video", timeout=job.timeout)
            saved = await save(made, job.target, force=job.force, progress=board.transfer(row, "down"))
            ledger.done(task.to_token())
            told["avatar"] = job.avatar or ledger.made.get("avatar")
            return about(task) | result(made) | file_facts(saved) | told


def _step_text(client: Any, step: Step) -> str:
    billed = any(each.name == step.operation and each.billed for each in client.spec.endpoints)
    return f"{step.operation}{' (billed)' if billed else ''}"


def _keep_chain(invocation: Invocation, chain: AsyncChain) -> None:
    """From now on the chain's token is what goes on; that of its first step would give only a part."""
    ledger, token = invocation.ledger, chain.to_token()
    ledger.done(chain.current.to_token())
    ledger.open.append(token)
    ledger.tell(token)


class _Uploads:
    """Shows files going up, each in a row of its own."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._rows: dict[str, Any] = {}

    def heard(self, event: Event) -> None:
        """A client's hook."""
        if not isinstance(event, BytesMoved) or event.direction != "up":
            return
        if event.name not in self._rows:
            self._rows[event.name] = self._board.row(event.name)
        self._board.transfer(self._rows[event.name], "up")(event.done, event.total)
