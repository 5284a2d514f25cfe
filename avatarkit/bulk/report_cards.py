"""The report's gallery: one card for each of some videos, with a picture and a player. Blocking: it reads the files."""

from __future__ import annotations

import base64
import contextlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal

import attrs
import orjson

from avatarkit.bulk.progress import money_text, seconds_text
from avatarkit.bulk.records import Job
from avatarkit.bulk.report_facts import number, word
from avatarkit.bulk.report_posters import Posters
from avatarkit.bulk.report_text import escaped, own_words, relative_url, size_text, visible

Media = Literal["link", "embed"]

# Anything else is never linked: a page that is opened from a folder may do what a video may not.
_VIDEO = {
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "mov": "video/mp4",
    "webm": "video/webm",
    "mkv": "video/webm",
}
_AUDIO = {"mp3": "audio/mpeg", "wav": "audio/wav", "m4a": "audio/mp4", "aac": "audio/aac", "ogg": "audio/ogg"}
_TYPES = _VIDEO | _AUDIO
_PIECE = 3 << 18  # a multiple of three, so that base64 of the pieces is that of the whole
_LARGEST_EMBEDDED = 64_000_000
_MOST_EMBEDDED = 256_000_000
_WORDS_FOUND = 400


@attrs.define(kw_only=True)
class Cards:
    """The gallery.

    Attributes:
        jobs: those that get a card.
        total: how many videos there are.
        out: the folder where the videos lie; None: they lie in an object store.
        folder: where the page will lie; absolute.
        media: whether videos are linked or put into the page (64 MB at most each, 256 MB together; others are linked).
        unit: of costs.

    """

    jobs: Sequence[Job]
    total: int
    out: Path | None
    folder: Path
    media: Media = "link"
    unit: str = ""
    posters: Posters = attrs.field(factory=Posters)
    _embedded: int = attrs.field(default=0, init=False)

    def section(self) -> Iterator[str]:
        """The gallery as HTML."""
        count = len(self.jobs)
        about = "Each with its player."
        if count < self.total:
            about = f"{count:,} of them are here, evenly spread over all {self.total:,}."
        yield '<section id="videos" aria-labelledby="gallery" tabindex="-1">\n'
        yield f'<h2 id="gallery">{self.total:,} videos</h2>\n'
        if not count:
            yield '<p class="soft">None is done yet.</p>\n</section>\n'
            return
        yield f'<p class="soft">{about}</p>\n{_TOOLS}\n<ul class="gallery">\n'
        for job in self.jobs:
            yield from self._card(job)
        yield '</ul>\n<p id="none" class="soft" hidden>No video here has all these words.</p>\n'
        if self.total > count:
            yield f'<p class="more">and {self.total - count:,} more in the folder</p>\n'
        yield "</section>\n"

    def _card(self, job: Job) -> Iterator[str]:
        request, columns = _asked(job.spec)
        title = word(request, "title") or job.key
        text = word(request, "text")
        found = " ".join([job.key, title, text[:_WORDS_FOUND], *map(str, columns.values())])
        yield f'<li data-find="{escaped(_folded(found), _WORDS_FOUND)}">'
        yield from self._player(job, title)
        yield f"<h3>{own_words(title, 90)}</h3>"
        if title != job.key:
            yield f'<p class="soft">{own_words(job.key, 80)}</p>'
        if text:
            yield f'<p class="clamp">{own_words(text, 160)}</p>'
        yield f'<p class="soft">{self._about(job)}</p></li>\n'

    def _about(self, job: Job) -> str:
        facts = []
        if (length := number(job.result, "seconds")) is not None:
            facts.append(seconds_text(length))
        if (size := number(job.result, "bytes")) is not None:
            facts.append(size_text(size))
        if job.cost is not None:
            facts.append(f"{money_text(job.cost)} {escaped(self.unit, 40)}".strip())
        if job.submitted_at is not None and job.ended_at is not None:
            facts.append(f"took {seconds_text(job.ended_at - job.submitted_at)}")
        return " · ".join(each.replace(" ", "\xa0") for each in facts)

    def _player(self, job: Job, title: str) -> Iterator[str]:
        file = word(job.result, "file")
        path = self._path(file)
        if path is None:
            where = word(job.result, "location") or file or "no file is known"
            yield f'<div class="blank">{own_words(where, 160)}</div>'
            return
        kind = _ending(path)
        label = f'aria-label="{escaped(title, 90)}"'
        if kind in _AUDIO:
            yield f'<audio controls preload="none" {label} src="'
            poster = ""
        else:
            poster = self.posters.of(path)
            given = f' poster="{poster}"' if poster else ""
            yield f'<video controls playsinline preload="none" {label}{given} src="'
        yield from self._source(path, kind)
        yield '"></audio>' if kind in _AUDIO else '"></video>'

    def _path(self, file: str) -> Path | None:
        """Where a video lies; None when it is none, is not there, or is not below the run's folder."""
        if self.out is None or not file or "\0" in file:
            return None
        try:
            out = self.out.resolve()
            path = (out / file).resolve()
            there = path.is_relative_to(out) and path.is_file()
        except (OSError, ValueError, RuntimeError):
            return None
        return path if there and _ending(path) in _TYPES else None

    def _source(self, path: Path, kind: str) -> Iterator[str]:
        """The player's URL: a relative one, or the file itself."""
        video = self._opened(path) if self.media == "embed" else None
        if video is None:
            yield escaped_url(relative_url(path, self.folder))
            return
        yield f"data:{_TYPES[kind]};base64,"
        with video:
            left = os.fstat(video.fileno()).st_size
            self._embedded += left
            while left > 0 and (piece := video.read(min(_PIECE, left))):
                left -= len(piece)
                yield base64.b64encode(piece).decode()

    def _opened(self, path: Path) -> BinaryIO | None:
        """The file, unless it cannot be read or is too large to be put into the page."""
        room = min(_LARGEST_EMBEDDED, _MOST_EMBEDDED - self._embedded)
        with contextlib.suppress(OSError):
            if path.stat().st_size <= room:
                return path.open("rb")
        return None


_TOOLS = """<div class="tools" role="search" hidden>
<label>Filter by key, title, text or column
<input type="search" id="filter" autocomplete="off" spellcheck="false"></label>
<p id="shown" class="soft small" role="status"></p>
</div>"""


def escaped_url(url: str) -> str:
    """A URL that was quoted already, in an attribute: nothing of it is hidden from view or cut."""
    return url.replace("&", "&amp;").replace('"', "&quot;").replace("'", "&#x27;").replace("<", "&lt;")


def _folded(text: str) -> str:
    """*text* as the filter compares it."""
    return unicodedata.normalize("NFC", visible(text[: 10 * _WORDS_FOUND])).lower()


def _ending(path: Path) -> str:
    return path.suffix.lstrip(".").lower()


def _asked(spec: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Request and further columns out of a job's spec; empty where it cannot be read."""
    try:
        document = orjson.loads(spec)
        row = document.get("row", document)
        request, columns = row.get("request", {}), row.get("columns", {})
    except (ValueError, AttributeError):
        return {}, {}
    return (
        request if isinstance(request, dict) else {},
        columns if isinstance(columns, dict) else {},
    )
