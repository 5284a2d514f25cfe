"""Goal G12: turning an answer into attrs objects, against bare orjson + cattrs into the same classes.

avatarkit's codec bends numbers sent as text, takes two spellings and keeps unknown fields; the bare converter does
none of it. Blocks take turns in one process.

    python -m benchmarks codec [--quick]
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import attrs
import orjson
from cattrs import Converter

from avatarkit.protocol.codec import decode, structure
from benchmarks.report import Line, show


@attrs.define
class Picture:
    url: str = ""
    width: int | None = None
    height: int | None = None


@attrs.define
class Clip:
    id: str = ""
    url: str = ""
    duration: float | None = None
    cover: Picture | None = None


@attrs.define
class Result:
    videos: list[Clip] = attrs.field(factory=list)
    cost: float | None = None


@attrs.define
class Answer:
    code: int | None = None
    message: str = ""
    request_id: str = ""
    task_id: str = ""
    status: str = ""
    created_at: int | None = None
    updated_at: int | None = None
    result: Result | None = None


@attrs.define
class PageAnswer:
    code: int | None = None
    total: int | None = None
    data: list[Answer] = attrs.field(factory=list)


def _answer(number: int) -> dict[str, Any]:
    clips = [
        {
            "id": f"clip-{number}-{part}",
            "url": f"https://cdn.example.com/works/2026/01/01/{number:08d}-{part}.mp4",
            "duration": 12.5,
            "cover": {"url": "https://cdn.example.com/covers/0001.jpg", "width": 1080, "height": 1920},
        }
        for part in range(2)
    ]
    return {
        "code": 0,
        "message": "success",
        "request_id": "0123456789abcdef",
        "task_id": f"task-{number:08d}",
        "status": "succeeded",
        "created_at": 1767225600,
        "updated_at": 1767225720,
        "result": {"videos": clips, "cost": 4.5},
    }


def _timed(run: Callable[[bytes], object], body: bytes, times: int) -> float:
    gc.collect()
    began = time.process_time()
    for _ in range(times):
        run(body)
    return (time.process_time() - began) / times


def compare(
    own: Callable[[bytes], object], bare: Callable[[bytes], object], body: bytes, times: int, rounds: int
) -> tuple[float, float, float]:
    """Median ratio, and microseconds of both."""
    assert own(body) == bare(body)
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(_timed(own, body, times))
        theirs.append(_timed(bare, body, times))
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    return ratio, statistics.median(ours) * 1e6, statistics.median(theirs) * 1e6


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    rounds = 9 if "--quick" in arguments else 31
    converter = Converter(detailed_validation=False)
    one = orjson.dumps(_answer(1))
    page = orjson.dumps({"code": 0, "total": 500, "data": [_answer(number) for number in range(500)]})
    lines = []
    for cls, body, times in ((Answer, one, 2000), (PageAnswer, page, 8)):
        ratio, ours, theirs = compare(
            lambda raw, cls=cls: structure(decode(raw), cls),  # type: ignore[misc]
            lambda raw, cls=cls: converter.structure(orjson.loads(raw), cls),  # type: ignore[misc]
            body,
            times,
            rounds,
        )
        what = f"one nested answer of {len(body)} bytes" if cls is Answer else "a page of 500 of them"
        note = f"{ours:,.1f} us, bare {theirs:,.1f} us"
        lines.append(Line("G12", f"{what} to attrs", f"{ratio:.2f}", "<= 1.15", ratio <= 1.15, note))
    return show("codec, over bare orjson + cattrs", lines)


if __name__ == "__main__":
    raise SystemExit(main())
