"""Where the videos of a run lie, told for people."""

from __future__ import annotations

from pathlib import Path

import pytest

from avatarkit.bulk.records import JobState, NewJob, RunSettings
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.cli import bulk_places
from avatarkit.cli.bulk_places import Places, places_in, where_text


def test_files_count_for_the_folder_they_are_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Known folders as they were given, relative ones and objects too; a folder's name may begin another's."""
    monkeypatch.chdir(tmp_path)
    places = Places("videos", "s3://bucket/a", "")
    for location in (
        f"{tmp_path}/videos/north/k.mp4", f"{tmp_path}/videos/k.mp4", f"{tmp_path}/videos2/k.mp4",
        "s3://bucket/a/k.mp4", "s3://bucket/ab/k.mp4",
    ):  # fmt: skip
        places.add(location)
    places.add("/old/north/k.mp4", "north/k.mp4")
    assert dict(places.counts()) == {
        "videos": 2, f"{tmp_path}/videos2": 1, "s3://bucket/a": 1, "s3://bucket/ab": 1, "/old": 1,
    }  # fmt: skip


def test_what_is_said_of_them() -> None:
    """One folder as ever; several with their counts, three of them by name; nothing where it is not known of all."""
    assert where_text(4, 5, "out", {"out": 4}) == "4 of 5 videos are in out"
    assert where_text(0, 5, "out", None) == "0 of 5 videos are in out"
    assert where_text(4, 5, "out", None) == "4 of 5 videos are done"
    assert where_text(4, 5, "out", {"out": 3}) == "4 of 5 videos are done"
    assert where_text(4, 5, "out", {"/old": 4}) == "4 of 5 videos are done: 4 in /old"
    many = {"out": 4, "/a": 3, "/b": 2, "/c": 1, "/d": 1}
    assert where_text(11, 12, "out", many) == (
        "11 of 12 videos are done: 4 in out, 3 in /a, 2 in /b, 2 in other folders"
    )


@pytest.mark.asyncio
async def test_a_ledger_knows_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the place that was written down, or else by the run's folder; a ledger of very many is not asked."""
    async with await SqliteLedger.open(tmp_path / "run.db") as ledger:
        run = await ledger.open_run(
            "main", RunSettings(provider="hifly", account="a", out=str(tmp_path / "new"))
        )
        results = [
            {"file": "a/k0.mp4", "location": "/old/a/k0.mp4"},
            {"file": "a/k1.mp4", "location": f"{tmp_path}/new/a/k1.mp4"},
            {"file": "k2.mp4"},
        ]
        await ledger.add("main", [NewJob(key=f"k{n}", spec=b"{}") for n in range(len(results))])
        for number, result in enumerate(results):
            await ledger.finish("main", f"k{number}", 0, result=result, from_states=(JobState.NEW,))
        assert await places_in(ledger, run, 3) == {str(tmp_path / "new"): 2, "/old": 1}
        monkeypatch.setattr(bulk_places, "_MOST_ASKED", 2)
        assert await places_in(ledger, run, 3) is None
