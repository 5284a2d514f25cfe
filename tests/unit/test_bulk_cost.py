"""What a bulk run does not do: looks, lists and ways to a thread that would make many jobs dear."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from bulk_house import Bulk, bulk_house, in_virtual_time, states

from avatarkit import VideoRequest
from avatarkit.bulk.journal import open_ledger
from avatarkit.models import RawResponse, Status
from avatarkit.providers.guiji import answers, operations
from avatarkit.providers.kling import endpoints as kling
from avatarkit.transport import threads
from avatarkit.transport.partfile import drop_twin


def on(provider: str, tmp_path: Path, main: Callable[[Bulk], Awaitable[None]], **options: Any) -> None:
    async def inside() -> None:
        async with bulk_house(tmp_path, provider, **options) as bulk:
            await main(bulk)

    in_virtual_time(inside)


@pytest.mark.parametrize(("provider", "path"), [("guiji", "/video/v2/get/"), ("kling", "image2video/")])
def test_running_jobs_are_shown_by_lists(tmp_path: Path, provider: str, path: str) -> None:
    """200 jobs, 100 at a time: hardly any is looked at by itself, and lists are a fifth of the jobs at most."""

    async def main(bulk: Bulk) -> None:
        assert states(await bulk.run(bulk.jobs(200))) == {"done": 200}
        asked = bulk.box.seen.requests
        singly = sum(count for name, count in asked.items() if path in name)
        assert singly <= 4
        lists = sum(asked.values()) - singly - bulk.box.seen.created()
        assert lists <= 40

    on(provider, tmp_path, main, max_running=100)


def test_a_run_that_is_taken_up_looks_by_lists(tmp_path: Path) -> None:
    """100 tasks that another process left running, and that are old by now, are shown by few requests."""

    async def main(bulk: Bulk) -> None:
        tasks = [await bulk.client.generate(request_of(bulk, number)) for number in range(100)]
        tokens = [task.to_token() for task in tasks]
        await asyncio.sleep(3600)
        before = sum(bulk.box.seen.requests.values())
        fresh = type(bulk.client)(
            bulk.box.token,
            bulk.box.secret,
            base_url=bulk.box.base_url("guiji"),
            wire=bulk.box.wire(),
            clock=bulk.client._account.clock,
        )
        async with fresh:
            videos = await asyncio.gather(*(fresh.task(token).wait() for token in tokens))
        assert len({video.task_id for video in videos}) == 100
        assert sum(bulk.box.seen.requests.values()) - before <= 10

    on("guiji", tmp_path, main, max_running=None)


def request_of(bulk: Bulk, number: int) -> Any:
    return VideoRequest(**bulk.base, text=f"say {number}")


def test_a_full_account_is_hardly_asked_for_slots(tmp_path: Path) -> None:
    """With ten slots and fifty jobs nearly every submission that is tried goes out, and none is beyond the cap."""

    async def main(bulk: Bulk) -> None:
        ledger = await open_ledger(bulk.journal)
        opened = 0
        original = ledger.open_intent

        async def counted(intent: Any) -> Any:
            nonlocal opened
            opened += 1
            return await original(intent)

        ledger.open_intent = counted  # type: ignore[method-assign]
        assert states(await bulk.run(bulk.jobs(50), journal=ledger)) == {"done": 50}
        await ledger.aclose()
        assert bulk.box.seen.peak_running == 10
        assert opened <= 50 + 40

    on("guiji", tmp_path, main, max_running=10)


def test_what_was_taken_ahead_is_given_back(tmp_path: Path) -> None:
    """A run on an open ledger that is stopped early leaves nothing in hand: the next one on it does the rest."""

    async def main(bulk: Bulk) -> None:
        ledger = await open_ledger(bulk.journal)
        jobs = bulk.jobs(120)
        ended = 0
        outcomes = bulk.client.bulk(jobs, journal=ledger, out=bulk.out)
        async for _ in outcomes:
            ended += 1
            if ended == 5:
                break
        await outcomes.aclose()
        began = asyncio.get_running_loop().time()
        assert states(await bulk.run(jobs, journal=ledger)) == {"done": 120}
        assert asyncio.get_running_loop().time() - began < 1800
        await ledger.aclose()
        assert set(bulk.made().values()) == {1}

    on("guiji", tmp_path, main)


def test_a_small_file_takes_two_ways_to_a_thread(tmp_path: Path) -> None:
    """Opened and locked in one, written, flushed, named and let go in the other; no note beside it."""

    async def main(bulk: Bulk) -> None:
        video = await (await bulk.client.generate(request_of(bulk, 1))).wait()
        ways: list[object] = []
        original = threads._Threads.lay

        def counted(self: Any, work: Any) -> None:
            ways.append(work.function)
            original(self, work)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(threads._Threads, "lay", counted)
            saved = await video.save(tmp_path / "one.mp4")
        assert len(ways) == 2
        assert saved.size == (tmp_path / "one.mp4").stat().st_size > 0
        assert [path.name for path in tmp_path.glob("one*")] == ["one.mp4"]

    on("guiji", tmp_path, main)


def test_a_kill_in_the_middle_of_naming_leaves_no_second_name(tmp_path: Path) -> None:
    """Killed between the file's name and the end of its part file's: the part goes, another download's part stays."""
    target, part = tmp_path / "one.mp4", tmp_path / "one.mp4.part"
    target.write_bytes(b"whole")
    part.hardlink_to(target)
    drop_twin(target)
    assert [path.name for path in tmp_path.iterdir()] == ["one.mp4"]
    part.write_bytes(b"whole")
    drop_twin(target)
    assert part.exists()
    drop_twin(tmp_path / "nothing.mp4")


def test_rows_of_guiji_that_go_on_share_a_snapshot() -> None:
    """A list says of each task what its own row says, whatever form ids and statuses have; broken rows are left out."""
    rows: list[Any] = [
        {"id": 1, "synthesisStatus": 1},
        {"id": "2", "synthesisStatus": "2"},
        {"id": 3, "synthesisStatus": 3, "videoUrl": "https://x.test/3.mp4"},
        {"id": 4, "synthesisStatus": 4, "failReason": "no"},
        {"id": 5, "synthesisStatus": 9},
        {"id": 6, "synthesisStatus": None},
        {"id": 7, "synthesisStatus": {"odd": 1}},
        {"id": 8, "synthesisStatus": 2},
        {"id": 99, "synthesisStatus": 2},
        "no row",
    ]
    body = {"code": "0", "success": True, "data": {"pageSize": 200, "totalRecord": 9, "records": rows}}
    read = answers.read_batch(operations.VIDEO_LIST, [str(n) for n in range(1, 9)], 1)
    found = read(RawResponse(200, {}, orjson.dumps(body))).found
    assert {key: look.status for key, look in found.items()} == {
        "1": Status.QUEUED,
        "2": Status.RUNNING,
        "3": Status.SUCCEEDED,
        "4": Status.FAILED,
        "5": Status.UNKNOWN,
        "8": Status.RUNNING,
    }
    assert found["2"] is found["8"]
    assert found["3"].result["url"] == "https://x.test/3.mp4"
    assert found["4"].message == "no"


def test_rows_of_kling_that_go_on_share_a_snapshot() -> None:
    """The same for Kling, in both generations' spellings; a message or an unknown status is not lost."""
    rows: list[Any] = [
        {"task_id": "1", "task_status": "submitted", "task_status_msg": ""},
        {"task_id": "2", "task_status": "processing"},
        {"id": "3", "status": "processing"},
        {"task_id": "4", "task_status": "processing", "task_status_msg": "in the queue"},
        {"task_id": "5", "task_status": "odd"},
        {"task_id": 6, "task_status": "processing"},
        {"task_id": "7", "task_status": "failed", "task_status_msg": "no"},
        {"task_id": "8"},
        {"task_id": "99", "task_status": "processing"},
    ]
    batch = next(iter(kling.KINDS_BY_LIST.values())).batch
    assert batch is not None
    body = orjson.dumps({"code": 0, "message": "SUCCEED", "request_id": "r", "data": rows})
    found = batch.request([str(n) for n in range(1, 9)], 1).read(RawResponse(200, {}, body)).found
    assert {key: look.status for key, look in found.items()} == {
        "1": Status.QUEUED,
        "2": Status.RUNNING,
        "3": Status.RUNNING,
        "4": Status.RUNNING,
        "5": Status.UNKNOWN,
        "6": Status.RUNNING,
        "7": Status.FAILED,
        "8": Status.UNKNOWN,
    }
    assert found["2"] is found["3"]
    assert found["4"].message == "in the queue"
