"""Rounds of looks keep to two requests a second, whatever the provider shows, and miss no end."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_left
from typing import Any

import pytest

from avatarkit import AsyncGuiji, AsyncKling, AsyncSandbox
from avatarkit.sandbox.faults import answer
from avatarkit.sandbox.seen import Seen
from avatarkit.testing import VirtualClock, run_virtual

KLING_LIST, KLING_IDS = "GET /v1/videos/avatar/image2video", "GET /tasks"
GUIJI_LIST, GUIJI_GET = "POST /openapi/video/v2/pageList", "GET /openapi/video/v2/get/{id}"
LENDING = "GET /openapi/oauth/token"


class Log:
    """When each look came to the sandbox, in virtual seconds, and how late each end was noticed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks: list[tuple[float, str]] = []
        self.delays: list[float] = []
        monkeypatch.setattr("avatarkit.testing.virtual._GRACE", 0.0003)
        count = Seen.request

        def request(seen: Seen, endpoint: str, monotonic: float) -> None:
            count(seen, endpoint, monotonic)
            self.looks.append((monotonic, endpoint))

        monkeypatch.setattr(Seen, "request", request)

    def asked(self, endpoint: str) -> int:
        return sum(name == endpoint for _, name in self.looks)

    def most_in(self, seconds: float) -> int:
        """The most looks in any window of *seconds*."""
        times = [at for at, name in self.looks if name != LENDING]
        return max(bisect_left(times, at + seconds) - index for index, at in enumerate(times))

    @property
    def delay(self) -> float:
        return sum(self.delays) / len(self.delays)


async def _create(client: Any) -> Any:
    if isinstance(client, AsyncKling):
        return await client.videos.create_avatar(
            image="https://e.example/face.png", sound_file="https://e.example/speech.mp3"
        )
    return await client.videos.create(avatar="-291", voice="C_101", text="good morning")


def _client(kind: str, box: AsyncSandbox) -> Any:
    name = kind.partition(" ")[0]
    options: dict[str, Any] = {"base_url": box.base_url(name), "clock": VirtualClock(), "rate_limit": None}
    if kind == "guiji":
        return AsyncGuiji(box.token, box.secret, seed=1, **options)
    if kind == "kling key":
        return AsyncKling(box.token, seed=1, **options)
    return AsyncKling(access_key=box.token, secret_key=box.secret, seed=1, **options)


def _play(log: Log, kind: str, *, tasks: int, fault: Any = None, **sandbox: Any) -> None:
    """Wait for *tasks* tasks of one to five minutes; every wait must end with its own task's result."""

    async def main() -> None:
        rng, clock = random.Random(5), VirtualClock()
        noticed: dict[str, float] = {}

        async def wait(task: Any) -> None:
            assert (await task.wait()).task_id == task.id
            noticed[task.id] = clock.time()

        options: dict[str, Any] = {"render": "tiny", "result_bytes": 16, "credits": 1e9, **sandbox}
        async with AsyncSandbox(clock=clock, **options) as box, _client(kind, box) as client:
            made = []
            for _ in range(tasks):
                box.set_delays(run_seconds=rng.uniform(60.0, 300.0))
                made.append(await _create(client))
            log.looks.clear()
            if fault is not None:
                box.faults.add(*fault, times=1000)
            await asyncio.gather(*map(wait, made))
            log.delays = [noticed[row["id"]] - row["finished"] for row in box.tasks()]
            assert len(log.delays) == tasks

    run_virtual(main)


@pytest.mark.parametrize("kind", ["kling key", "kling pair", "guiji"])
def test_many_tasks_cost_two_looks_a_second_and_are_noticed(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred tasks: never over two looks in a second or twenty in ten, and each end found, soon on average."""
    log = Log(monkeypatch)
    _play(log, kind, tasks=200)
    assert log.most_in(1.0) <= 2
    assert log.most_in(10.0) <= 20
    assert log.delay < 4.0
    assert max(log.delays) < 60.0


def test_tasks_that_no_list_shows_do_not_break_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where pages hold a third of the tasks, the others are looked at by themselves, within the same two a second."""
    log = Log(monkeypatch)
    _play(log, "guiji", tasks=150, switches={"guiji": {"largest_page": 5}})
    assert log.asked(GUIJI_GET) > 50
    assert log.asked(GUIJI_LIST) > 10
    assert log.most_in(10.0) <= 20


def test_lists_that_are_refused_leave_the_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that refuses its list, but answers for ids, is asked for the list once; no look at a single task."""
    log = Log(monkeypatch)
    refusal = answer(400, data={"code": 1200, "message": "no", "request_id": "r"})
    _play(log, "kling key", tasks=100, fault=(KLING_LIST, refusal))
    assert log.asked(KLING_LIST) == 1
    assert log.asked(KLING_IDS) > 20
    assert log.most_in(10.0) <= 20
    assert log.delay < 6.0


def test_a_few_tasks_are_asked_for_by_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty tasks with an API key: no list of five hundred rows is read for them."""
    log = Log(monkeypatch)
    _play(log, "kling key", tasks=40)
    assert log.asked(KLING_LIST) == 0
    assert log.asked(KLING_IDS) > 0
    assert log.most_in(10.0) <= 20
