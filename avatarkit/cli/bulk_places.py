"""Where the videos of a run lie: a run that was given another folder on its way has them in more than one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath

from avatarkit.bulk.ledger import Ledger
from avatarkit.bulk.records import JobState, Run
from avatarkit.cli.bulk_journal import every
from avatarkit.transport.store_urls import is_store_url

_MOST_NAMED = 3
_MOST_ASKED = 20_000


class Places:
    """Counts videos by the folder they lie in.

    Args:
        folders: those that are known; a file anywhere below one counts for it. Others are found.

    """

    def __init__(self, *folders: str) -> None:
        self._known = {_whole(each): each for each in folders if each}
        self._counts: dict[str, int] = {}

    def add(self, location: str, name: str = "") -> None:
        """One video lies at *location*, an absolute path or a URL; *name* is its path below its folder."""
        folder = next((each for each in self._known if location.startswith(_open(each))), None)
        if folder is None and name and location.endswith(name):
            folder = _whole(location.removesuffix(name))
        if folder is None:
            folder = location.rpartition("/")[0] if "://" in location else str(PurePath(location).parent)
        self._counts[folder] = self._counts.get(folder, 0) + 1

    def counts(self) -> Mapping[str, int]:
        """How many are where, the most first; folders as they were given."""
        most = sorted(self._counts.items(), key=lambda item: -item[1])
        return {self._known.get(folder, folder): count for folder, count in most}


def _whole(folder: str) -> str:
    if is_store_url(folder):
        return folder.rstrip("/")
    return os.path.abspath(folder)  # noqa: PTH100 - as the run itself makes it, links left alone


def _open(folder: str) -> str:
    return folder if folder.endswith(("/", os.sep)) else folder + ("/" if "://" in folder else os.sep)


async def places_in(ledger: Ledger, run: Run, done: int) -> Mapping[str, int] | None:
    """How many videos are where; None for so many that asking takes long."""
    if done > _MOST_ASKED:
        return None
    places = Places(run.settings.out)
    async for job in every(ledger, run.id, (JobState.DONE,)):
        name = str(job.result.get("file", ""))
        where = str(job.result.get("location", "")) or os.path.join(_whole(run.settings.out), name)  # noqa: PTH118
        if not job.part:
            places.add(where, name)
    return places.counts()


def where_text(done: int, total: int, out: str, places: Mapping[str, int] | None) -> str:
    """How many videos there are, and where, for people."""
    text = f"{done:,} of {total:,} videos are"
    if not done or (places is not None and places.get(out) == done):
        return f"{text} in {out}"
    if places is None or sum(places.values()) != done:
        return f"{text} done"
    named = list(places.items())[:_MOST_NAMED]
    pieces = [f"{count:,} in {folder}" for folder, count in named]
    if rest := done - sum(count for _, count in named):
        pieces.append(f"{rest:,} in other folders")
    return f"{text} done: {', '.join(pieces)}"
