"""``avatarkit demo``: real files in under a minute, without an account: sandbox, studio and the public client."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from avatarkit import providers, studio
from avatarkit.cli import output
from avatarkit.cli.demo_all import Round, chosen, show
from avatarkit.cli.demo_bulk import demo_bulk
from avatarkit.cli.extras import studio_remark
from avatarkit.cli.failures import Interrupted
from avatarkit.cli.invocation import Invocation, Ledger, command
from avatarkit.cli.options import as_path
from avatarkit.cli.progress import Board
from avatarkit.cli.running import opened, operation, run
from avatarkit.cli.sandbox import environment, export_lines, listening, new_sandbox
from avatarkit.errors import InvalidRequest

if TYPE_CHECKING:
    from avatarkit.sandbox.local import AsyncSandbox

_TEXTS = (
    "Hello! I was drawn, voiced and filmed on this very machine, and nothing left it.",
    "大家好，我是在这台电脑上生成的数字人，很高兴认识你。",  # noqa: RUF001
    "These clips were submitted together, each one waited for its turn, and none was paid twice.",
    "今天的天气很好，我们来看看新产品有哪些亮点。",  # noqa: RUF001
    "Change the text, pick another voice, and the very same code talks to the real service.",
    "欢迎来到我们的直播间，今天的优惠只到晚上八点。",  # noqa: RUF001
    "If the connection breaks during a download, it goes on exactly where it stopped.",
    "学习一门新的语言，最好的方法就是每天都说一点。",  # noqa: RUF001
)
_WAIT = 600.0
_CLASSIC = "hifly"
"""Whose clips are made when no provider is named."""


@attrs.frozen
class Clip:
    """One text to be spoken."""

    number: int
    text: str

    @property
    def language(self) -> str:
        """``zh`` when there is a Chinese character in it, else ``en``."""
        return "zh" if any("\u3400" <= char <= "\u9fff" for char in self.text) else "en"

    @property
    def title(self) -> str:
        """Its name, at the provider and on the disk."""
        return f"demo-{self.number}-{self.language}"


def register(app: typer.Typer) -> None:
    """Add the command of this module to *app*."""
    command(app, "demo")(demo)


def demo(
    invocation: Invocation,
    *,
    clips: Annotated[int | None, typer.Option("--clips", min=1, help="How many videos (4).")] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the files.", parser=as_path)
    ] = Path("avatarkit-demo"),
    provider: Annotated[
        str | None,
        typer.Option("--provider", metavar="NAME", help='A video from this one, or from each: "all".'),
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", help="What to say; may be repeated.")] = None,
    subtitles: Annotated[
        bool, typer.Option("--subtitles/--no-subtitles", help="Burn the text into the videos.")
    ] = True,
    keep_open: Annotated[
        bool, typer.Option("--keep-open", help="Keep the sandbox running until Ctrl-C.")
    ] = False,
    bulk: Annotated[
        int | None, typer.Option("--bulk", min=1, help="A bulk run of so many; may be interrupted.")
    ] = None,
) -> None:
    """Make talking videos offline, free, through the same clients that talk to the real services.

    Four clips of HiFly's, at once; with --provider one video of each provider that is named, from one kind of request.
    """
    if bulk is not None:
        demo_bulk(invocation, bulk, out, provider or _CLASSIC)
        return
    texts = tuple(text or _TEXTS)
    count = clips if clips is not None else len(text or _TEXTS[:4])
    work = [Clip(number + 1, texts[number % len(texts)]) for number in range(count)]
    if out.exists() and not out.is_dir():
        raise InvalidRequest(f"out: {out} is a file, a folder is needed")
    names: tuple[str, ...] = ()
    if provider is not None and clips is None and not text:
        names = chosen(provider)
    else:
        providers.spec(provider or _CLASSIC)
    # The sandbox and its tasks end with the demo: there is nothing to resume.
    apart = attrs.evolve(invocation, ledger=Ledger())

    finished = False

    async def main() -> None:
        nonlocal finished
        async with listening(new_sandbox()) as sandbox:
            _remark(invocation, sandbox)
            if names:
                told = await Round(apart, sandbox, names, out).make()
            else:
                made = _Demo(apart, sandbox, provider or _CLASSIC, out, subtitles=subtitles)
                told = await made.make(work)
            finished = True
            (show if names else _print)(invocation, told, out)
            if keep_open:
                _keep_open(invocation, sandbox)
                await asyncio.get_running_loop().create_future()

    try:
        run(invocation, main)
    except Interrupted:
        if not (finished and keep_open):
            raise


class _Demo:
    """One provider's round: material, clones, videos, files."""

    def __init__(
        self, invocation: Invocation, sandbox: AsyncSandbox, provider: str, out: Path, *, subtitles: bool
    ) -> None:
        self._invocation = invocation
        self._sandbox = sandbox
        self._provider = provider
        self._out = out
        self._subtitles = subtitles

    async def make(self, clips: list[Clip]) -> dict[str, Any]:
        """Everything, from the first picture to the last file; what came out as plain data."""
        begun = time.monotonic()
        self._out.mkdir(parents=True, exist_ok=True)
        face, sound = await asyncio.to_thread(self._material)
        keys = (self._sandbox.token,) * len(providers.spec(self._provider).credentials)
        async with (
            opened(
                self._invocation,
                self._provider,
                credentials=keys,
                base_url=self._sandbox.base_url(self._provider),
            ) as client,
            Board(self._invocation) as board,
        ):
            before = (await operation(client, "account.credit")()).left
            avatar, voice = await asyncio.gather(
                self._avatar(client, board, face), self._voice(client, board, sound)
            )
            videos = await self._all(client, board, clips, avatar, voice)
            after = (await operation(client, "account.credit")()).left
        return {
            "provider": self._provider,
            "avatar": avatar,
            "voice": voice,
            "videos": videos,
            "credits": {"before": before, "after": after, "spent": before - after},
            "seconds": round(time.monotonic() - begun, 1),
            "studio": studio.available(),
            "page": f"{self._sandbox.url}/",
        }

    def _material(self) -> tuple[Path, Path]:
        sound = self._out / "voice-sample.wav"
        if studio.available():
            face = self._out / "presenter.png"
            studio.sample_picture(face)
            studio.sample_voice(sound)
        else:
            face = self._out / "presenter.mp4"
            studio.plain_video(face, seconds=6, width=360, height=640)
            studio.plain_audio(sound, 8, format="wav")
        return face, sound

    async def _avatar(self, client: Any, board: Board, face: Path) -> str:
        name = "avatars.create_by_image" if face.suffix == ".png" else "avatars.create_by_video"
        return await self._clone(operation(client, name), board, face, "avatar")

    async def _voice(self, client: Any, board: Board, sound: Path) -> str:
        return await self._clone(operation(client, "voices.create"), board, sound, "voice")

    async def _clone(self, create: Any, board: Board, material: Path, label: str) -> str:
        row = board.row(f"{label} from {material.name}")
        task = await create(material, progress=board.transfer(row, "up"))
        made = await board.follow(task, label, row, timeout=_WAIT)
        board.finish(row, "cloned")
        return str(made.id)

    async def _all(
        self, client: Any, board: Board, clips: list[Clip], avatar: str, voice: str
    ) -> list[dict[str, Any]]:
        made = await asyncio.gather(
            *(self._clip(client, board, clip, avatar, voice) for clip in clips), return_exceptions=True
        )
        for each in made:
            if isinstance(each, BaseException):
                raise each
        costs = {task["id"]: task["cost"] for task in self._sandbox.tasks()}
        return [{**each, "credits": costs[each["task_id"]]} for each in made if isinstance(each, dict)]

    async def _clip(self, client: Any, board: Board, clip: Clip, avatar: str, voice: str) -> dict[str, Any]:
        row = board.row(f"{clip.title}: {clip.text}")
        subtitle = {"subtitle": True} if self._subtitles else {}
        create = operation(client, "videos.create_by_tts")
        task = await create(avatar=avatar, voice=voice, text=clip.text, title=clip.title, **subtitle)
        video = await board.follow(task, clip.title, row, timeout=_WAIT)
        target = self._out / f"{clip.title}.mp4"
        saved = await video.save(target, overwrite=True, progress=board.transfer(row, "down"))
        board.finish(row, output.size_text(saved.size))
        return {
            "title": clip.title,
            "language": clip.language,
            "text": clip.text,
            "task_id": task.id,
            "duration": video.duration,
            "size": saved.size,
            "path": str(saved.path),
        }


def _print(invocation: Invocation, told: dict[str, Any], out: Path) -> None:
    if invocation.json:
        output.write_json(told)
        return
    columns = ("title", "lang", "duration", "size", "credits", "path")
    rows = [
        (
            video["title"],
            video["language"],
            f"{output.number_text(video['duration'])} s",
            output.size_text(video["size"]),
            output.number_text(video["credits"]),
            video["path"],
        )
        for video in told["videos"]
    ]
    output.table(columns, rows, right=("duration", "size", "credits"))
    spent = output.number_text(told["credits"]["spent"])
    output.note(
        invocation, f"{told['seconds']} s, {spent} sandbox credits with the clones; nothing was charged"
    )
    what = "1 video is" if len(rows) == 1 else f"{len(rows)} videos are"
    output.line(f"{what} in {out}. Next, a local API for your own code: avatarkit sandbox")


def _remark(invocation: Invocation, sandbox: AsyncSandbox) -> None:
    if remark := studio_remark():
        output.note(invocation, remark)
    output.note(invocation, f"sandbox page: {sandbox.url}/")


def _keep_open(invocation: Invocation, sandbox: AsyncSandbox) -> None:
    for text in export_lines(environment(sandbox).items()):
        output.note(invocation, text)
    output.note(invocation, f"the sandbox stays open at {sandbox.url}/ until Ctrl-C")
