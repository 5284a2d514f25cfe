"""``avatarkit generate``: one talking video, from the command line to a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import attrs
import typer

from avatarkit import providers
from avatarkit.cli import output
from avatarkit.cli.invocation import Invocation, command
from avatarkit.cli.options import (
    BaseUrl,
    Force,
    Output,
    Provider,
    Target,
    Timeout,
    as_target,
    check_target,
    settle,
)
from avatarkit.cli.progress import Board
from avatarkit.cli.running import opened, operation, run
from avatarkit.cli.tasks import about, file_facts, result, save
from avatarkit.protocol.limits import MediaRule, TextRule
from avatarkit.transport.preflight import check_media
from avatarkit.transport.sources import as_source, is_url

Text = Annotated[str | None, typer.Option("--text", help="What to say; - reads standard input.")]


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
    title: str | None
    subtitles: bool
    target: Target
    timeout: float
    wait: bool
    force: bool
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
        str | None, typer.Option("--image", metavar="FILE", help="Clone the avatar from a picture (billed).")
    ] = None,
    video: Annotated[
        str | None, typer.Option("--video", metavar="FILE", help="Clone the avatar from a video.")
    ] = None,
    voice: Annotated[str | None, typer.Option("--voice", metavar="ID", help="Voice that speaks.")] = None,
    text: Text = None,
    text_file: Annotated[
        Path | None, typer.Option("--text-file", metavar="FILE", help="What to say, from a UTF-8 file.")
    ] = None,
    audio: Annotated[
        str | None, typer.Option("--audio", metavar="FILE", help="A recording to speak, in place of a text.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Name of the work.")] = None,
    subtitles: Annotated[bool, typer.Option("--subtitles", help="Burn the text into the video.")] = False,
    output_to: Annotated[str, Output] = ".",
    timeout: Timeout = 3600.0,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait for the video, or only print the task's token.")
    ] = True,
    force: Force = False,
    base_url: BaseUrl = None,
) -> None:
    """Make a talking video and save it. Billed.

    Give one of --avatar, --image and --video, and either --voice with --text, or --audio. The credentials come from
    the environment (HiFly: HIFLY_TOKEN). The task's token is printed as soon as it is accepted.
    """
    job = Job(
        provider=provider, avatar=avatar, image=image, video=video, voice=voice, text=text, text_file=text_file,
        audio=audio, title=title, subtitles=subtitles, target=as_target(output_to), timeout=timeout,
        wait=wait, force=force, base_url=base_url,
    )  # fmt: skip
    job = _checked(job)
    told = run(invocation, lambda: _generate(invocation, job))
    if invocation.json:
        output.write_json(told)
    elif "path" in told:
        seconds = f"{output.number_text(told['duration'])} s, " if told["duration"] else ""
        output.note(invocation, f"done: {seconds}{output.size_text(told['size'])}")
        output.line(told["path"])
    else:
        output.line(told["token"])


def _checked(job: Job) -> Job:
    """*job* with its text read; everything wrong with it is raised together."""
    problems = _combination(job)
    if job.wait:
        problems += check_target(job.target, force=job.force, title=job.title)
    job = attrs.evolve(job, text=_read_text(job.text, job.text_file, problems))
    settle(problems + _known_limits(job))
    return job


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
    for name, path in (("image", job.image), ("video", job.video), ("audio", job.audio)):
        if path is not None and not is_url(path) and not Path(path).is_file():
            problems.append(f"{name}: there is no file {path}")
    return problems


def _read_text(text: str | None, file: Path | None, problems: list[str]) -> str | None:
    if text == "-":
        data, name = sys.stdin.buffer.read(), "standard input"
    elif file is not None:
        name = str(file)
        try:
            data = file.read_bytes()
        except OSError as error:
            problems.append(f"text: {name} cannot be read: {error.strerror or error}")
            return None
    else:
        return text
    try:
        return data.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        problems.append(f"text: {name} is not UTF-8")
        return None


def _known_limits(job: Job) -> list[str]:
    """Breaches of the provider's published text limits: an avatar must not be paid for before they are found."""
    limits = providers.part(job.provider, "limits")
    problems = []
    for field, value, rule in (
        ("text", job.text, getattr(limits, "TEXT", None)),
        ("title", job.title, getattr(limits, "TITLE", None)),
    ):
        if value is not None and isinstance(rule, TextRule):
            problems += rule.check(field, value)
    return problems


async def _generate(invocation: Invocation, job: Job) -> dict[str, Any]:
    ledger = invocation.ledger
    async with opened(invocation, job.provider, base_url=job.base_url) as client, Board(invocation) as board:
        # On a terminal the token has to appear above the bars; it is told with --quiet, too.
        ledger.tell = lambda token: (output.warn if invocation.quiet else board.say)(
            f"submitted, token: {token}"
        )
        for name in _operations(job):  # an avatar must not be paid for when the video cannot be made
            operation(client, name)
        avatar = job.avatar or await _clone(invocation, job, client, board)
        row = board.row(job.title or "video")
        task = await _submit(job, client, avatar, board, row)
        told = {"provider": job.provider, "avatar": avatar}
        if not job.wait:
            return about(task) | told
        made = await board.follow(task, job.title or "video", row, timeout=job.timeout)
        saved = await save(made, job.target, force=job.force, progress=board.transfer(row, "down"))
        ledger.done(task.to_token())
        return about(task) | result(made) | file_facts(saved) | told


def _operations(job: Job) -> list[str]:
    cloning = [f"avatars.create_by_{kind}" for kind in ("image", "video") if getattr(job, kind) is not None]
    return [*cloning, "videos.create_by_audio" if job.audio is not None else "videos.create_by_tts"]


async def _clone(invocation: Invocation, job: Job, client: Any, board: Board) -> str:
    if job.audio is not None and not is_url(job.audio):
        rule = getattr(providers.part(job.provider, "limits"), "DRIVING_AUDIO", None)
        if isinstance(rule, MediaRule):
            settle(await check_media("audio", await as_source(Path(job.audio)), rule))
    source, name = (job.image, "image") if job.image is not None else (job.video, "video")
    assert source is not None
    board.say(f"cloning an avatar from {source}{' (billed)' if name == 'image' else ''}")
    row = board.row("avatar")
    create = operation(client, f"avatars.create_by_{name}")
    task = await create(_media(source), progress=board.transfer(row, "up"))
    avatar = (await board.follow(task, "avatar", row, timeout=job.timeout)).id
    invocation.ledger.done(task.to_token())
    invocation.ledger.made["avatar"] = avatar
    board.finish(row, "ready")
    board.say(f"avatar {avatar} (use it again with --avatar {avatar})")
    return str(avatar)


async def _submit(job: Job, client: Any, avatar: str, board: Board, row: Any) -> Any:
    if job.audio is not None:
        create = operation(client, "videos.create_by_audio")
        hook = board.transfer(row, "up")
        return await create(_media(job.audio), avatar=avatar, title=job.title, progress=hook)
    create = operation(client, "videos.create_by_tts")
    subtitle = {"subtitle": True} if job.subtitles else {}
    return await create(avatar=avatar, voice=job.voice, text=job.text, title=job.title, **subtitle)


def _media(given: str) -> str | Path:
    return given if is_url(given) else Path(given)
