"""One folder, several workers: some are frozen, some go home, locks do not reach them all, and links lead away."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger_suite import RUN, begun, brought_to, jobs

from avatarkit.bulk.output import Output, tidy_up
from avatarkit.bulk.output_claims import FolderClaims
from avatarkit.bulk.output_folder import Folder
from avatarkit.bulk.output_places import NOTES, Kept, Owner, note_of
from avatarkit.bulk.records import Job, JobState
from avatarkit.bulk.specs import Row
from avatarkit.bulk.sqlite import SqliteLedger
from avatarkit.errors import ConfigurationError, DownloadFailed
from avatarkit.request import VideoRequest
from avatarkit.transport import partfile
from avatarkit.transport.download import Landing
from avatarkit.transport.partfile import Identity, PartFile
from avatarkit.transport.readers import PIECE
from avatarkit.transport.threads import in_thread

OURS, OTHER = Owner.of("r", "k1", "t1"), Owner.of("r", "k2", "t2")
NAMES = ["a.mp4", "a-1.mp4", "video.mp4"]


class Video:
    """A result; ``before`` runs when its last byte is about to come."""

    url, duration, cost = "https://example.com/film.mp4", None, 1.0

    def __init__(self, data: bytes, before: Callable[[], None] = lambda: None) -> None:
        self._data = data
        self._before = before

    async def _land(self, landing: Landing) -> None:
        def land() -> None:
            try:
                landing.begin(Identity('"one"', len(self._data)))
                landing.write([self._data[:-1]])
                self._before()
                landing.write([self._data[-1:]])
                landing.finish()
            finally:
                if not landing.finished:
                    landing.close()

        await in_thread(land)


class Told:
    """A sink that is told to tidy."""

    tidied = 0

    async def tidy(self, run: str) -> None:
        self.tidied += 1


def part(folder: Path, name: str = "a.mp4") -> PartFile:
    """The part file of a large result, taken as a worker takes it."""
    taken = FolderClaims(folder, sidecar=False).part_of(name)
    return PartFile.acquire(folder / name, overwrite=False, digest=False, part=taken)


@pytest.mark.asyncio
@pytest.mark.parametrize("state", sorted(JobState))
async def test_a_worker_that_goes_home_tidies_only_after_the_last_job(
    state: JobState, tmp_path: Path
) -> None:
    """While anything moves, another worker may be about to claim a name: its claim would go too."""
    async with await SqliteLedger.open(tmp_path / "run.avk") as ledger:
        await begun(ledger, "b")
        await brought_to(ledger, JobState.DONE, "b")
        needs = ("p",) if state is JobState.BLOCKED else ()
        await ledger.add(RUN, [*jobs(*needs, part=True), *jobs("a", needs=needs)])
        await brought_to(ledger, state)
        run = await ledger.get_run(RUN)
        assert run is not None
        sink: Any = Told()
        await tidy_up(sink, ledger, run)
        assert sink.tidied == state.over


@pytest.mark.asyncio
async def test_a_part_that_was_swept_away_is_never_named_as_another_s(tmp_path: Path) -> None:
    """Two runs with one file name: the first one's claim and part go in mid-way, the second gets the name."""
    rows = [
        Row(key="k1", request=VideoRequest(avatar="a", voice="v", text=text), columns={}) for text in "12"
    ]
    both = [
        Job(seq=1, run="r", key="k1", part=False, state=JobState.READY, spec=b"", task_id=f"t{n}")
        for n in "12"
    ]
    first, second = (Output(tmp_path, born=born) for born in (1.0, 2.0))
    taken: list[PartFile] = []

    def swept() -> None:
        for path in (tmp_path / NOTES).iterdir():
            path.unlink()
        FolderClaims(tmp_path, sidecar=False).claim("k1.mp4", OTHER)
        taken.append(part(tmp_path, "k1.mp4"))
        taken[0].write([b"theirs"])

    with pytest.raises(DownloadFailed, match="taken away"):
        await first.put(Video(bytes(2 * PIECE), swept), both[0], rows[0])
    assert not (tmp_path / "k1.mp4").exists()
    taken[0].finish()
    assert (tmp_path / "k1.mp4").read_bytes() == b"theirs"
    kept = await second.put(Video(b"film"), both[1], rows[1])
    assert (tmp_path / kept["file"]).read_bytes() == b"film"
    assert (tmp_path / "k1.mp4").read_bytes() == b"theirs"


@pytest.mark.parametrize("does", ["begin", "back", "finish", "close", "close empty"])
def test_a_finished_file_is_left_alone_where_locks_do_not_reach(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen worker comes back to a part that another one finished: nothing that it does touches the file."""
    monkeypatch.setattr(partfile, "_try_lock", lambda fd: True)
    frozen = part_in(tmp_path)
    frozen.begin(Identity('"one"', 9))
    if does != "close empty":
        frozen.write([b"fro"])
        frozen.write([b"zen"])
    awake = part_in(tmp_path)
    awake.begin(Identity('"one"', 4))
    awake.write([b"film"])
    awake.finish()
    later = part_in(tmp_path, tmp_path / "other.mp4")  # and a third one begins at the same place
    later.begin(Identity('"two"', 9))
    later.write([b"la"])
    later.write([b"ter"])
    beside = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    if does.startswith("close"):
        frozen.close()
    else:
        with pytest.raises(DownloadFailed, match="taken away"):
            {
                "begin": lambda: frozen.begin(Identity('"one"', 9)),
                "back": lambda: frozen.back(2),
                "finish": frozen.finish,
            }[does]()
        frozen.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == beside
    assert beside["film.mp4"] == b"film"
    later.close()


@pytest.mark.parametrize("written", [b"", b"film"])
def test_a_part_is_let_go_of_wherever_its_folder_went(written: bytes, tmp_path: Path) -> None:
    """A file stands where its folder was: closing raises nothing, which would hide an error, and frees the lock."""
    folder = tmp_path / "out"
    folder.mkdir()
    left = part_in(folder)
    left.write([written])
    folder.rename(tmp_path / "elsewhere")
    folder.write_bytes(b"a file")
    left.close()
    again = part_in(tmp_path / "elsewhere")
    again.close()


def part_in(folder: Path, target: Path | None = None) -> PartFile:
    """A download of one part file, whatever it is to become."""
    return PartFile.acquire(
        target or folder / "film.mp4", overwrite=True, digest=False, part=folder / "x.part"
    )


@pytest.mark.asyncio
async def test_a_frozen_worker_does_not_keep_a_result_from_being_stored(tmp_path: Path) -> None:
    """It holds the lock of the part for ever: after an hour without a byte the result gets the next name."""
    FolderClaims(tmp_path, sidecar=False).claim("a.mp4", OURS)
    frozen = part(tmp_path)
    frozen.write([b"half"])
    with pytest.raises(DownloadFailed, match="already"):
        await Folder(tmp_path).put(Video(b"film"), NAMES, OURS)
    os.utime(tmp_path / f"{note_of('a.mp4')}.part", (1, 1))
    folder = Folder(tmp_path)
    assert await folder.put(Video(b"film"), NAMES, OURS) == Kept("a-1.mp4", 4)
    # It wakes up, is told by the ledger that it was too late, and takes back what it stored.
    FolderClaims(tmp_path, sidecar=False).say_size("a.mp4", OURS, 4)
    os.utime(tmp_path / f"{note_of('a.mp4')}.part")
    frozen.finish()
    await Folder(tmp_path).remove("a.mp4", OURS)
    assert [path.name for path in tmp_path.iterdir() if path.name != NOTES] == ["a-1.mp4"]


@pytest.mark.asyncio
async def test_every_name_is_frozen(tmp_path: Path) -> None:
    """Then the error says what is in the way, and not that the names are taken."""
    claims = FolderClaims(tmp_path, sidecar=False)
    frozen = []
    for name in NAMES:
        claims.claim(name, OURS)
        frozen.append(part(tmp_path, name))
        frozen[-1].write([b"half"])
        os.utime(tmp_path / f"{note_of(name)}.part", (1, 1))
    with pytest.raises(DownloadFailed, match="already"):
        await Folder(tmp_path).put(Video(b"film"), NAMES, OURS)
    for each in frozen:
        each.close()


@pytest.mark.asyncio
async def test_nothing_is_removed_through_a_link(tmp_path: Path) -> None:
    """Where the folder of claims should be there is a link to a user's folder: refused, and not looked into."""
    theirs, out = tmp_path / "theirs", tmp_path / "out"
    theirs.mkdir()
    out.mkdir()
    (out / NOTES).symlink_to(theirs)
    names = ["debian.iso.part", f"{'0' * 32}.part", f"{'1' * 32}"]
    for name in names:
        (theirs / name).write_bytes(b"mine")
        os.utime(theirs / name, (1, 1))
    folder = Folder(out)
    with pytest.raises(ConfigurationError, match="a link found"):
        await folder.put(Video(b"film"), NAMES, OURS)
    await folder.tidy("")
    await folder.aclose()
    assert {path.name for path in theirs.iterdir()} == set(names)
    assert (out / NOTES).is_symlink()
