"""A run's report as one page: open it from a folder, send it on, print it. It asks nothing of the network."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.progress import measure
from avatarkit.bulk.records import Run
from avatarkit.bulk.report_cards import Cards, Media
from avatarkit.bulk.report_facts import Facts
from avatarkit.bulk.report_html import GENERATOR, Content, page
from avatarkit.bulk.report_text import shell_word
from avatarkit.errors import ConfigurationError
from avatarkit.transport.store_urls import is_store_url
from avatarkit.transport.threads import in_thread

_BATCH = 2000
_HEAD = 4000  # bytes within which a report says that it is one
_NAME = "report.html"


async def write_report(
    ledger: Ledger,
    run: str,
    target: str | os.PathLike[str],
    *,
    media: Media = "link",
    most_cards: int = 200,
    journal: str | os.PathLike[str] | None = None,
) -> Path:
    """Write the report of a run, as of now, whole or not at all; an older report in its place is replaced.

    The page holds totals, money, the run over time, failures by reason, durations, what is held and the commands that
    resolve it, and players for some of the videos. It has no signed URL, token or credential in it, and takes one to
    three megabytes however many jobs there are, most of them pictures (with the extra ``media`` or ``studio``).

    Args:
        ledger: where the run is. It is only read.
        run: the run's name.
        target: the page's file, or a folder, which gets ``report.html``.
        media: ``link`` plays the videos where they lie, relative to the page; ``embed`` puts them into the page, 64 MB
            at most each and 256 MB together.
        most_cards: how many videos are shown; more are spread evenly over all.
        journal: the ledger's file, for the commands in the page; None asks the ledger. An address is not shown.

    Returns:
        The page's absolute path.

    Raises:
        ConfigurationError: there is no such run; the file cannot be written, or is something else than a report.

    """
    path: Path = await in_thread(_named, target)
    progress = await measure(ledger, run)
    found = await ledger.get_run(run)
    assert found is not None
    facts = Facts(found.created, most_cards=most_cards)
    await _gather(ledger, run, facts)
    out = found.settings.out
    lies = journal if journal is not None else getattr(ledger, "path", None)
    content = Content(
        run=found,
        counts=await ledger.counts(run),
        progress=progress,
        facts=facts,
        cards=Cards(
            jobs=facts.gallery.kept,
            total=facts.gallery.offered,
            out=None if is_store_url(out) else Path(out),
            folder=path.parent.resolve(),
            media=media,
            unit=progress.unit,
        ),
        cap=(await ledger.limits(found.settings.account)).most_running,
        now=await ledger.now(),
        place=_place(found, lies, alone=len(await ledger.runs()) == 1),
    )
    await in_thread(_write, path, page(content))
    return path


async def _gather(ledger: Ledger, run: str, facts: Facts) -> None:
    after = 0
    while jobs := await ledger.select(run, (), after=after, most=_BATCH):
        after = jobs[-1].seq
        for job in jobs:
            facts.add(job)


def _place(run: Run, journal: object, *, alone: bool) -> tuple[str, ...]:
    """The words that lead a command to this run. A database's address may hold a password, and is left out."""
    if isinstance(journal, str | os.PathLike):
        name = os.fsdecode(journal)
        place = '"$DSN"' if "://" in name else shell_word(f"./{name}" if name.startswith("-") else name)
    else:
        place = "JOURNAL"
    return (place,) if alone else (place, f"--run={shell_word(run.id)}")


def _named(target: str | os.PathLike[str]) -> Path:
    path = Path(target).absolute()
    return path / _NAME if path.is_dir() else path


def _write(path: Path, pieces: Iterator[str]) -> None:
    """Write beside *path* first, so that a reader never finds half a page."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_place(path)
        try:
            with part.open("x", encoding="utf-8", errors="replace", newline="\n") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
    except OSError as error:
        raise ConfigurationError(f"the report {path} cannot be written: {error.strerror or error}") from None


def _check_place(path: Path) -> None:
    """Replace nothing but a report: a slip of the keyboard must not cost a ledger or a video."""
    if not path.exists():
        return
    with path.open("rb") as file:
        if GENERATOR.encode() in file.read(_HEAD):
            return
    raise ConfigurationError(
        f"{path} exists and is no report of avatarkit's", hint="Give the report another name."
    )
