"""``avatarkit demo --bulk N``: a whole bulk run on the sandbox, which may be interrupted and gone on with."""

from __future__ import annotations

import csv
import shlex
from pathlib import Path

import typer

from avatarkit import studio
from avatarkit.bulk.records import RunSettings
from avatarkit.bulk.sqlite_file import FileLock
from avatarkit.cli import output
from avatarkit.cli.bulk_journal import MAIN, looked_into
from avatarkit.cli.bulk_run import Going
from avatarkit.cli.bulk_wanted import Wanted
from avatarkit.cli.extras import studio_remark
from avatarkit.cli.failures import Exit
from avatarkit.cli.invocation import Invocation
from avatarkit.cli.running import run
from avatarkit.cli.sandbox import listening
from avatarkit.errors import ConfigurationError, InvalidRequest

_PROVIDER = "hifly"
_CREDITS = 1_000_000.0
_RUNNING = 20
_SIZE = (216, 384)  # small pictures are filmed fast
_TEXTS = ("Hello, number {}.", "大家好，我是第{}号。", "Video {} is ready.", "第{}条视频做好了。")  # noqa: RUF001


def demo_bulk(invocation: Invocation, count: int, out: Path, provider: str) -> None:
    """Make *count* videos from a manifest on a sandbox, into *out*; again goes on with what was interrupted.

    Raises:
        InvalidRequest: for another provider than HiFly.
        ConfigurationError: another demo is running in this folder.

    """
    if provider != _PROVIDER:
        raise InvalidRequest(f"provider: {provider} found, {_PROVIDER} allowed with --bulk")
    folder = out / ".sandbox"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / "world")
    except ConfigurationError:
        raise ConfigurationError(f"another demo is running in {out}") from None
    try:
        code = run(invocation, lambda: _made(invocation, count, out, folder))
    finally:
        lock.release()
    if code is not Exit.OK:
        raise typer.Exit(code)


async def _made(invocation: Invocation, count: int, out: Path, folder: Path) -> Exit:
    from avatarkit.bulk.report import write_report
    from avatarkit.sandbox.kept import KeptSandbox  # brings a web server

    if remark := studio_remark():
        output.note(invocation, remark)
    kept = KeptSandbox(
        folder,
        credits=_CREDITS,
        max_running=_RUNNING,
        queue_seconds=0.1,
        run_seconds={"video": 1.0, "avatar": 0.5},
    )
    async with listening(kept) as sandbox:
        assert isinstance(sandbox, KeptSandbox)
        journal = out / "run.db"
        told = "going on with" if journal.exists() else "making"
        output.note(
            invocation, f"{told} {count} videos, on the sandbox at {sandbox.url}/; nothing is charged"
        )
        manifest = _manifest(out, count, sandbox.stock("voice")[0])
        again = f"avatarkit demo --bulk {count} --out {shlex.quote(str(out))}"
        wanted = Wanted(
            manifest=manifest,
            journal=str(journal),
            run=MAIN,
            settings=RunSettings(
                provider=_PROVIDER, account="", out=str(out / "videos"), manifest=str(manifest)
            ),
            max_running=_RUNNING,
            base_url=sandbox.base_url(_PROVIDER),
        )
        code = await Going(invocation, wanted, (sandbox.token,), again=again).go()
        async with looked_into(str(journal)) as ledger:
            await write_report(ledger, MAIN, out / "report.html")
    if not invocation.json:
        output.line(f"report: {out / 'report.html'}")
        output.note(
            invocation, f"the same with your account: avatarkit bulk run {manifest} --provider NAME --out DIR"
        )
    return code


def _manifest(out: Path, count: int, voice: str) -> Path:
    """The same rows each time; a presenter's picture that they all share."""
    face = out / ("presenter.png" if studio.available() else "presenter.mp4")
    if not face.exists():
        if studio.available():
            studio.sample_picture(face, size=_SIZE)
        else:
            studio.plain_video(face, seconds=6, width=360, height=640)
    path = out / "jobs.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["key", "image" if studio.available() else "video", "voice", "text"])
        for number in range(1, count + 1):
            text = _TEXTS[number % len(_TEXTS)].format(number)
            rows.writerow([f"video-{number:04}", face.name, voice, text])
    return path
