"""Ledgers in every state that a report or a progress display may find, and a reader for the page."""

from __future__ import annotations

import asyncio
import math
import random
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import av
import orjson

from avatarkit.bulk.records import Intent, Job, JobState, Look, NewJob, RunSettings
from avatarkit.bulk.specs import Row, spec_of
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.models import Guard, Ticket
from avatarkit.request import VideoRequest

START = 1_790_000_000.0
ACCOUNT = "hifly-0123456789"
RUN = "main"
_VOID = frozenset({"meta", "link", "input", "br", "img", "hr"})


@attrs.define
class SetClock:
    """A clock that is where it was set."""

    at: float = START

    def monotonic(self) -> float:
        return self.at

    def time(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        raise AssertionError("a ledger has no timers")


def spec(
    key: str, text: str = "Good morning", title: str | None = None, columns: dict[str, str] | None = None
) -> bytes:
    """A video's spec as the planner writes it."""
    request = VideoRequest(avatar="presenter-1", voice="voice-1", text=text, title=title)
    row = spec_of(Row(key=key, request=request, columns=columns or {}))
    return b'{"parts":[],"row":' + row + b"}"


@attrs.define
class Story:
    """A run that is told event by event."""

    ledger: SqliteLedger
    clock: SetClock
    run: str = RUN

    async def add(self, *jobs: NewJob) -> None:
        await self.ledger.add(self.run, jobs)

    async def open(self, key: str, attempt: int = 1, cost: float = 10.0, marker: str = "") -> None:
        ticket = Ticket(
            provider="hifly",
            endpoint="videos.create_by_tts",
            kind="video",
            account=ACCOUNT,
            marker=marker or f"avk-{key}",
            guard=Guard.NONE,
            sent_at=self.clock.at,
        )
        answer = await self.ledger.open_intent(
            Intent(run=self.run, key=key, attempt=attempt, ticket=ticket, send_seconds=30.0, cost=cost)
        )
        assert answer.opened.value == "yes", answer

    async def submit(self, key: str, attempt: int = 1, cost: float = 10.0) -> None:
        await self.open(key, attempt, cost)
        assert await self.ledger.accepted(
            self.run, key, attempt, task_id=f"task-{key}", token=f"secret-token-{key}", look_at=0.0
        )

    async def end(self, key: str, state: JobState, attempt: int = 1, **facts: Any) -> None:
        look = Look(key=key, attempt=attempt, state=state, **facts)
        await self.ledger.settle(self.run, [look])

    async def finish(self, key: str, attempt: int = 1, **result: Any) -> None:
        assert await self.ledger.finish(self.run, key, attempt, result=result)

    async def do(self, key: str, took: float, cost: float | None = 10.0, **result: Any) -> None:
        """All of a job's life."""
        await self.submit(key)
        self.clock.at += took
        await self.end(key, JobState.READY, cost=cost)
        await self.finish(key, **result)

    async def hold(self, key: str, why: str, **facts: Any) -> None:
        await self.open(key)
        error = {"type": "InDoubt", "message": why, **facts}
        assert await self.ledger.doubt(self.run, key, 1, error=error)
        assert await self.ledger.hold(self.run, key, 1, error=error)


@asynccontextmanager
async def story(folder: Path, **settings: Any) -> AsyncIterator[Story]:
    """An empty run."""
    clock = SetClock()
    folder.mkdir(parents=True, exist_ok=True)
    async with await SqliteLedger.open(folder / "run.db", clock=clock) as ledger:
        given = {"provider": "hifly", "account": ACCOUNT, "out": str(folder / "videos"), **settings}
        await ledger.open_run(RUN, RunSettings(**given))
        yield Story(ledger, clock)


_FAILURES: Sequence[tuple[JobState, dict[str, Any]]] = (
    (JobState.FAILED, {"type": "TaskFailed", "code": "2011", "reason": "moderation",
                       "message": "the text was refused by content review", "hint": "Change the text."}),
    (JobState.FAILED, {"type": "TaskFailed", "code": "2009", "reason": "provider_fault",
                       "message": "rendering failed, please try again"}),
    (JobState.FAILED, {"type": "MediaRejected", "code": "1007", "message": "the audio is longer than 600 s"}),
)  # fmt: skip
TITLES = (
    "Welcome to the spring collection",
    "How to return a parcel",
    "新品发布 夏季系列",
    "Opening hours in December",
    "مرحبا بكم في متجرنا",
    "Three things to know about your warranty",
)


async def lively(made: Story, videos: Sequence[Path], jobs: int = 160, running: int = 9) -> None:
    """A run under way: slots, failures, parts, retries, held jobs, jobs that wait."""
    chance = random.Random(4)
    clock, out = made.clock, Path((await made.ledger.runs())[0].settings.out)
    out.mkdir(exist_ok=True)
    await made.ledger.set_limits(ACCOUNT, most_running=12)
    part = "@avatars.create_by_image:5f2c"
    await made.add(NewJob(key=part, spec=b"{}", part=True))
    keys = [f"shop-{n:04}" for n in range(jobs)]
    rows = []
    for n, key in enumerate(keys):
        title = TITLES[n % len(TITLES)]
        text = f"{title}. Hello, this is film number {n}, and it tells you what you came for."
        columns = {"store": ("Berlin", "Hangzhou", "Lagos")[n % 3]}
        rows.append(NewJob(key=key, spec=spec(key, text, title, columns), estimate=12.0))
    await made.add(*rows)
    await made.submit(part, cost=60.0)
    clock.at += 95.0
    await made.end(part, JobState.READY, cost=60.0)
    await made.finish(part, id="avatar-77")
    at_work: list[tuple[float, str]] = []
    last = jobs - 30
    for n, key in enumerate(keys[: last + running]):
        while len(at_work) >= min(12, 2 + n // 3) and n < last:
            await _ended(made, at_work, videos, out, chance)
        clock.at += chance.uniform(0.5, 4.0)
        if n in (40, 77, 101):
            why = "the answer did not come, and hifly has neither a guard nor a list that would tell"
            await made.hold(key, why, **({"candidates": ["48211", "48212"]} if n == 77 else {}))
            continue
        if n == last:
            while at_work:
                await _ended(made, at_work, videos, out, chance)
        await made.submit(key, cost=12.0)
        at_work.append((clock.at + chance.lognormvariate(math.log(58.0), 0.35), key))


async def _ended(
    made: Story, at_work: list[tuple[float, str]], videos: Sequence[Path], out: Path, chance: random.Random
) -> None:
    at_work.sort()
    until, key = at_work.pop(0)
    made.clock.at = max(made.clock.at, until)
    if chance.random() < 0.09:
        state, error = chance.choice((_FAILURES[0], _FAILURES[0], _FAILURES[1], _FAILURES[2]))
        await made.end(key, state, cost=0.0, error=error)
        return
    await made.end(key, JobState.READY, cost=round(chance.uniform(8, 15)))
    video = chance.choice(videos)
    name = f"{key}{video.suffix}"
    shutil.copyfile(video, out / name)
    made.clock.at += 0.4
    await made.finish(key, file=name, bytes=(out / name).stat().st_size, seconds=2.0)


async def crowd(made: Story, jobs: int) -> None:
    """*jobs* that are over: most are done, every fiftieth failed, each with a message of its own."""
    rows = [NewJob(key=f"k{n:06}", spec=spec(f"k{n:06}", f"text {n}", f"Title {n}")) for n in range(jobs)]
    for at in range(0, jobs, 5000):
        await made.add(*rows[at : at + 5000])
    begun = made.clock.at
    done = orjson.dumps({"file": "x.mp4", "bytes": 1000, "seconds": 2.0}).decode()

    def end() -> Any:
        yield (
            (
                "UPDATE jobs SET state = 'done', submitted_at = :at + seq * 0.7, ended_at = :at + seq * 0.7 + 40"
                " + seq % 37, finished_at = :at + seq * 0.7 + 80, cost = 10000000, attempt = 1, result = :done"
            ),
            {"at": begun, "done": done},
        )
        yield (
            (
                'UPDATE jobs SET state = \'failed\', error = \'{"type": "TaskFailed", "code": "\' || (seq % 6007) ||'
                ' \'", "reason": "moderation", "message": "\' || hex(randomblob(900)) || \'"}\' WHERE seq % 50 = 0'
            ),
            {},
        )

    await made.ledger.change(end)
    made.clock.at += jobs * 0.7 + 100


def film(path: Path, *, size: tuple[int, int] = (180, 320), shade: int = 90, seconds: int = 2) -> Path:
    """A small playable video (VP9 in WebM or H.264 in MP4, by the name's ending)."""
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=5)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for n in range(5 * seconds):
            frame = av.VideoFrame(*size, "yuv420p")
            for plane, value in zip(
                frame.planes, (shade + 8 * n, 128 + shade // 3, 160 - shade // 2), strict=True
            ):
                plane.update(bytes([value % 256]) * plane.buffer_size)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


@attrs.define
class Node:
    """One element of a page."""

    tag: str
    attributes: dict[str, str | None]
    children: list[Node | str] = attrs.field(factory=list)

    def text(self) -> str:
        """All text in it, on one line."""
        pieces = [child if isinstance(child, str) else child.text() for child in self.children]
        return " ".join(" ".join(pieces).split())

    def all(self, tag: str = "", **attributes: str) -> list[Node]:
        """Elements in it, itself included, with this tag and these attributes (``class_`` for a class)."""
        found = [self] if self._is(tag, attributes) else []
        for child in self.children:
            if isinstance(child, Node):
                found += child.all(tag, **attributes)
        return found

    def one(self, tag: str = "", **attributes: str) -> Node:
        (found,) = self.all(tag, **attributes)
        return found

    def _is(self, tag: str, attributes: dict[str, str]) -> bool:
        if tag and self.tag != tag:
            return False
        for name, value in attributes.items():
            if name == "class_":
                if value not in (self.attributes.get("class") or "").split():
                    return False
            elif self.attributes.get(name) != value:
                return False
        return True


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open = [Node("", {})]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice"
        node = Node(tag, dict(attributes))
        self.open[-1].children.append(node)
        if tag not in _VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read_page(path: Path) -> Node:
    """The page as a tree; fails where tags do not match."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is never closed"
    return reader.open[0]


def figures(page: Node) -> dict[str, str]:
    """The page's figures by name."""
    found = {}
    for group in page.all("dl", class_="figures"):
        for entry in group.all("div"):
            found[entry.one("dt").text()] = entry.one("dd").text()
    return found


__all__ = [
    "ACCOUNT",
    "RUN",
    "START",
    "Job",
    "Node",
    "SetClock",
    "Story",
    "crowd",
    "figures",
    "film",
    "lively",
    "story",
]
