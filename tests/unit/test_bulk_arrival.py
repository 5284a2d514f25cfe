"""Results on their way into a folder: small ones in one go, large ones through a part file, each exactly once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.bulk import output_arrival
from avatarkit.bulk.output_arrival import Arrival, Begun
from avatarkit.bulk.output_claims import FolderClaims
from avatarkit.bulk.output_folder import Folder
from avatarkit.bulk.output_places import NOTES, Held, Kept, Owner, hash_of_run, note_of
from avatarkit.errors import DownloadFailed, LinkExpired
from avatarkit.transport.download import Landing
from avatarkit.transport.partfile import Identity, PartFile
from avatarkit.transport.readers import PIECE
from avatarkit.transport.threads import in_thread

OURS, OTHER = Owner.of("r", "k1", "t1"), Owner.of("r", "k2", "t2")
NAMES = ["a.mp4", "a-1.mp4", "video.mp4"]
SAME = Identity('"one"', 3)


def arrival(folder: Path, owner: Owner = OURS, names: list[str] | None = None) -> Arrival:
    return Arrival(FolderClaims(folder, sidecar=False), names or NAMES, owner)


def landed(found: Arrival, data: bytes, step: int = PIECE) -> Arrival:
    """*data*, as a download gives it."""
    found.begin(Identity('"one"', len(data)))
    for start in range(0, len(data), step):
        found.write([data[start : start + step]])
    found.finish()
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != NOTES}


class Video:
    """A result as bulk runs meet it; ``before`` runs when its bytes are about to come."""

    def __init__(self, data: bytes, before: Callable[[], None] = lambda: None) -> None:
        self._data = data
        self._before = before
        self.landings = 0

    async def _land(self, landing: Landing) -> None:
        self.landings += 1

        def land() -> None:
            try:
                self._before()
                landing.begin(Identity('"one"', len(self._data)))
                for start in range(0, len(self._data), PIECE):
                    landing.write([self._data[start : start + PIECE]])
                landing.finish()
            finally:
                if not landing.finished:
                    landing.close()

        await in_thread(land)


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
@pytest.mark.parametrize("step", [300_000, PIECE])
def test_a_result_of_any_size(tmp_path: Path, size: int, step: int) -> None:
    """Its bytes under its name, one claim, and no part file."""
    data = os.urandom(size)
    found = landed(arrival(tmp_path), data, step)
    assert (found.name, found.have, found.finished) == ("a.mp4", size, True)
    assert files(tmp_path) == {"a.mp4": data}
    assert [note.name for note in (tmp_path / NOTES).iterdir()] == [Path(note_of("a.mp4")).name]


@pytest.mark.parametrize("size", [3, 2 * PIECE])
def test_names_that_are_taken_are_passed_over(tmp_path: Path, size: int) -> None:
    """A foreign file and another job's claim keep their names, and nothing of ours is left beside them."""
    (tmp_path / "a.mp4").write_bytes(b"mine")
    FolderClaims(tmp_path, sidecar=False).claim("a-1.mp4", OTHER)
    assert landed(arrival(tmp_path), bytes(size)).name == "video.mp4"
    assert files(tmp_path) == {"a.mp4": b"mine", "video.mp4": bytes(size)}
    (tmp_path / "a-1.mp4").write_bytes(b"theirs")
    with pytest.raises(DownloadFailed, match="every name"):
        landed(arrival(tmp_path, OTHER, ["a.mp4"]), bytes(size))


@pytest.mark.parametrize("size", [3, 2 * PIECE])
def test_an_own_claim_from_before_stops_it(tmp_path: Path, size: int) -> None:
    """Whatever an earlier attempt left has to be looked at first; nothing is written."""
    FolderClaims(tmp_path, sidecar=False).claim("a.mp4", OURS)
    with pytest.raises(Begun):
        landed(arrival(tmp_path), bytes(size))
    assert files(tmp_path) == {}


def test_a_file_that_appears_between_claim_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays, the claim on it goes, and a small result has the next name."""
    original = output_arrival.write_new

    def appears(target: Path, pieces: list[bytes], part: Path) -> None:
        if target.name == "a.mp4":
            target.write_bytes(b"theirs")
        original(target, pieces, part)

    monkeypatch.setattr(output_arrival, "write_new", appears)
    assert landed(arrival(tmp_path), b"ours").name == "a-1.mp4"
    assert files(tmp_path) == {"a.mp4": b"theirs", "a-1.mp4": b"ours"}
    assert len(list((tmp_path / NOTES).iterdir())) == 1


def test_a_file_that_appears_while_a_large_one_is_fetched(tmp_path: Path) -> None:
    """It stays, the claim on it goes, and the bytes that came have the next name."""
    found = arrival(tmp_path)
    found.begin(Identity())
    found.write([bytes(PIECE)])
    for name in NAMES[:2]:
        (tmp_path / name).write_bytes(b"theirs")
    found.finish()
    assert found.name == "video.mp4"
    assert files(tmp_path) == {"a.mp4": b"theirs", "a-1.mp4": b"theirs", "video.mp4": bytes(PIECE)}
    assert [note.name for note in (tmp_path / NOTES).iterdir()] == [Path(note_of("video.mp4")).name]


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [3, 2 * PIECE])
@pytest.mark.parametrize("careful", [False, True])
async def test_users_files_that_are_called_like_parts(tmp_path: Path, size: int, careful: bool) -> None:
    """Neither they nor folders of such a name are touched, or in the way."""
    (tmp_path / "a.mp4.part").write_bytes(b"my notes")
    (tmp_path / "a.mp4.part.json").mkdir()
    folder = Folder(tmp_path)
    if careful:
        await folder.claim("a.mp4", OURS)
        folder = Folder(tmp_path)
    assert await folder.put(Video(bytes(size)), NAMES, OURS) == Kept("a.mp4", size)
    assert (tmp_path / "a.mp4.part").read_bytes() == b"my notes"
    assert (tmp_path / "a.mp4.part.json").is_dir()
    await folder.release("a.mp4", OURS)
    await folder.aclose()
    assert not (tmp_path / NOTES).exists()


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [3, 2 * PIECE])
async def test_a_foreign_file_after_tries_that_failed_is_not_the_result(tmp_path: Path, size: int) -> None:
    """The link was dead, twice, then a file of that name appears: it is not taken for what was paid for."""
    folder = Folder(tmp_path)
    for _ in range(2):
        with pytest.raises(LinkExpired):
            await folder.put(Video(b"", expired), NAMES, OURS)
    (tmp_path / "a.mp4").write_bytes(bytes(size))
    assert await folder.put(Video(bytes(size)), NAMES, OURS) == Kept("a-1.mp4", size)
    assert [note.name for note in (tmp_path / NOTES).iterdir()] == [Path(note_of("a-1.mp4")).name]


@pytest.mark.asyncio
async def test_a_large_one_that_was_cut_is_gone_on_with(tmp_path: Path) -> None:
    """Its first bytes are kept, in the folder of claims, for a later process; another attempt writes only the rest."""

    class Cut(Exception):
        pass

    class Half(Video):
        async def _land(self, landing: Landing) -> None:
            def land() -> None:
                try:
                    landing.begin(Identity('"one"', 3 * PIECE))
                    landing.write([b"a" * PIECE])
                    landing.write([b"b" * PIECE])
                    raise Cut
                finally:
                    landing.close()

            await in_thread(land)

    class Rest(Video):
        async def _land(self, landing: Landing) -> None:
            assert (landing.have, landing.identity) == (2 * PIECE, Identity('"one"', 3 * PIECE))
            await in_thread(landing.write, [b"c" * PIECE])
            await in_thread(landing.finish)

    with pytest.raises(Cut):
        await Folder(tmp_path).put(Half(b""), NAMES, OURS)
    folder = Folder(tmp_path)
    assert await folder.put(Rest(b""), NAMES, OURS) == Kept("a.mp4", 3 * PIECE)
    assert files(tmp_path) == {"a.mp4": b"a" * PIECE + b"b" * PIECE + b"c" * PIECE}
    assert await Folder(tmp_path).put(Video(b"never"), NAMES, OURS) == Kept("a.mp4", 3 * PIECE)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [3, 2 * PIECE])
async def test_a_name_in_another_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A folder of the name is mounted from elsewhere, where nothing can be renamed to: the next name does."""
    link, replace = os.link, Path.replace

    def crosses(target: Any) -> None:
        if "elsewhere" in str(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")

    def linked(source: Any, target: Any, **more: Any) -> None:
        crosses(target)
        link(source, target, **more)

    def replaced(path: Path, target: Any) -> Path:
        crosses(target)
        return replace(path, target)

    monkeypatch.setattr(os, "link", linked)
    monkeypatch.setattr(Path, "replace", replaced)
    found = landed(arrival(tmp_path, names=["elsewhere/a.mp4", "video.mp4"]), bytes(size))
    assert found.name == "video.mp4"
    assert (tmp_path / "video.mp4").stat().st_size == size


@given(st.lists(st.integers(1, 700_000), min_size=1, max_size=8), st.data())
def test_bytes_that_are_taken_back_and_begun_anew(tmp_path_factory: Any, sizes: list[int], data: Any) -> None:
    """However a transfer was cut, taken back a byte, or begun again, the file is what the last object was."""
    folder = tmp_path_factory.mktemp("out")
    found, whole = arrival(folder), b""
    found.begin(SAME)
    for number, size in enumerate(sizes):
        piece = bytes([number]) * size
        found.write([piece[:1], piece[1:]])
        whole += piece
        what = data.draw(st.sampled_from(["on", "on", "back", "anew"]))
        if what == "back":
            found.back(1)
            whole = whole[:-1]
        elif what == "anew":
            found.begin(SAME)
            whole = b""
        assert found.have == len(whole)
    found.write([b"end"])
    found.finish()
    assert files(folder) == {"a.mp4": whole + b"end"}


@pytest.mark.parametrize("size", [3, 2 * PIECE])
def test_a_disk_that_refuses_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Not as a transfer that broke off, which would be tried again at once; what was begun is noted."""

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    found = arrival(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", full)
        patch.setattr(os, "write", full)
        with pytest.raises(DownloadFailed, match="No space left"):
            landed(found, bytes(size))
    found.close()
    assert files(tmp_path) == {}


def expired() -> None:
    raise LinkExpired("gone")


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [3, 2 * PIECE])
async def test_what_was_tried_before_is_looked_at_first(tmp_path: Path, size: int) -> None:
    """After a try that failed, and one that did not but was never settled, nothing is fetched to find out."""
    folder = Folder(tmp_path)
    with pytest.raises(LinkExpired):
        await folder.put(Video(bytes(size), expired), NAMES, OURS)
    first = Video(bytes(size))
    assert (await folder.put(first, NAMES, OURS)).name == "a.mp4"
    assert first.landings == 1
    again = Video(bytes(size))
    assert await folder.put(again, NAMES, OURS) == Kept("a.mp4", size)
    assert again.landings == 0
    await folder.release("a.mp4", OURS)
    await folder.aclose()
    assert files(tmp_path) == {"a.mp4": bytes(size)}
    assert list(tmp_path.iterdir()) == [tmp_path / "a.mp4"]


@pytest.mark.asyncio
@pytest.mark.parametrize("name", NAMES)
async def test_a_dead_link_to_what_another_worker_stored(tmp_path: Path, name: str) -> None:
    """A worker was killed when it had stored the file; one that runs on finds it although the link is dead by now."""
    mine = Folder(tmp_path)
    await mine.put(Video(b"x"), ["other.mp4"], OTHER)  # what was there before is known from here on
    for taken in NAMES[: NAMES.index(name)]:
        (tmp_path / taken).write_bytes(b"foreign")
    await Folder(tmp_path).put(Video(b"film"), NAMES, OURS)
    with pytest.raises(LinkExpired):
        await mine.put(Video(b"", expired), NAMES, OURS)
    assert await mine.put(Video(b"", expired), NAMES, OURS) == Kept(name, 4)


@pytest.mark.asyncio
async def test_an_earlier_task_s_file_is_replaced_whoever_finds_it(tmp_path: Path) -> None:
    """Also by a worker that does not know of it before it has fetched the new one: in its place, with one claim."""
    mine = Folder(tmp_path)
    await mine.put(Video(b"x"), ["other.mp4"], OTHER)
    await Folder(tmp_path).put(Video(b"old"), NAMES, Owner(OURS.job, "earlier"))
    assert await mine.put(Video(b"new"), NAMES, OURS) == Kept("a.mp4", 3)
    assert files(tmp_path) == {"other.mp4": b"x", "a.mp4": b"new"}
    assert len(list((tmp_path / NOTES).iterdir())) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [3, 2 * PIECE])
async def test_a_foreign_file_after_a_full_disk_is_not_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Nothing could be written, and then somebody puts a file of that name there: it is neither kept nor removed."""

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = Folder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", full)
        patch.setattr(os, "write", full)
        with pytest.raises(DownloadFailed):
            await folder.put(Video(bytes(size)), NAMES, OURS)
    (tmp_path / "a.mp4").write_bytes(b"theirs")
    for again in (folder, Folder(tmp_path)):
        kept = await again.put(Video(bytes(size)), NAMES, OURS)
        assert kept == Kept("a-1.mp4", size)
    await folder.remove("a.mp4", OURS)
    assert (tmp_path / "a.mp4").read_bytes() == b"theirs"


def test_names_that_no_folder_has(tmp_path: Path) -> None:
    """Links in a circle, and what no file system takes: such a name is taken, and the next one is tried."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    names = ["loop/a.mp4", "nul\0/a.mp4", "x" * 300 + ".mp4", "half\ud800/a.mp4", "good.mp4"]
    assert landed(arrival(tmp_path, names=names), b"film").name == "good.mp4"


def test_a_pipe_as_a_claim_is_nobody_s(tmp_path: Path) -> None:
    """It is not waited for."""
    (tmp_path / NOTES).mkdir()
    os.mkfifo(tmp_path / note_of("a.mp4"))
    assert landed(arrival(tmp_path), b"film").name == "a-1.mp4"


@pytest.mark.asyncio
async def test_a_run_that_is_over_drops_what_killed_processes_left(tmp_path: Path) -> None:
    """Claims of its own go, whoever made them; another run's, a foreign file and a fresh part stay."""
    ours, theirs = Owner.of("r", "k1", "t1"), Owner.of("s", "k1", "t1")
    for number, owner in enumerate([ours, Owner.of("r", "k2", "t2"), theirs]):
        await Folder(tmp_path).put(Video(b"film"), [f"{number}.mp4"], owner)
    for name in ("foreign", "fresh.part"):
        (tmp_path / NOTES / name).write_bytes(b"x")
    folder = Folder(tmp_path)
    await folder.tidy(hash_of_run("r"))
    assert len(list((tmp_path / NOTES).iterdir())) == 5  # it was not used, so nothing was looked at
    assert (await folder.claim("2.mp4", ours)).held is Held.TAKEN
    await folder.tidy(hash_of_run("r"))
    left = {path.name for path in (tmp_path / NOTES).iterdir()}
    assert left == {"foreign", "fresh.part", Path(note_of("2.mp4")).name}
    assert set(files(tmp_path)) == {"0.mp4", "1.mp4", "2.mp4"}


@pytest.mark.asyncio
async def test_parts_of_killed_processes_go_after_an_hour(tmp_path: Path) -> None:
    """A fresh one may be somebody's; an old one does not keep the folder of claims for ever; what is none stays."""
    folder = Folder(tmp_path)
    await folder.put(Video(b"film"), NAMES, OURS)
    await folder.release("a.mp4", OURS)
    old, fresh = (tmp_path / f"{note_of(name)}.part" for name in ("old", "fresh"))
    foreign = tmp_path / NOTES / "debian.iso.part"
    foreign.touch()
    os.utime(foreign, (1, 1))
    old.touch()
    fresh.touch()
    os.utime(old, (1, 1))
    await folder.aclose()
    assert {path.name for path in (tmp_path / NOTES).iterdir()} == {fresh.name, foreign.name}
    os.utime(fresh, (1, 1))
    foreign.unlink()
    await folder.aclose()
    assert not (tmp_path / NOTES).exists()


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [3, 2 * PIECE])
async def test_another_worker_that_began_meanwhile(tmp_path: Path, size: int) -> None:
    """Two workers got one job: the second sees, with the bytes in hand, that the first has the name."""
    mine, theirs = Folder(tmp_path), Folder(tmp_path)
    busy: list[PartFile] = []

    def begins() -> None:
        FolderClaims(tmp_path, sidecar=False).claim("a.mp4", OURS)
        part = FolderClaims(tmp_path, sidecar=False).part_of("a.mp4")
        busy.append(PartFile.acquire(tmp_path / "a.mp4", overwrite=False, digest=False, part=part))

    with pytest.raises(DownloadFailed, match="being downloaded"):
        await mine.put(Video(bytes(size), begins), NAMES, OURS)
    FolderClaims(tmp_path, sidecar=False).say_size("a.mp4", OURS, size)
    busy[0].write([bytes(size)])
    busy[0].finish()
    for folder in (mine, theirs):
        assert await folder.put(Video(b"other"), NAMES, OURS) == Kept("a.mp4", size)
    assert files(tmp_path) == {"a.mp4": bytes(size)}


@pytest.mark.asyncio
async def test_killed_between_claim_and_name(tmp_path: Path) -> None:
    """The next process goes on under the same name, with a part file, where there is anything to go on with."""
    FolderClaims(tmp_path, sidecar=False).claim("a.mp4", OURS)
    video = Video(b"film")
    assert await Folder(tmp_path).put(video, NAMES, OURS) == Kept("a.mp4", 4)
    assert video.landings == 1
    assert files(tmp_path) == {"a.mp4": b"film"}


@pytest.mark.asyncio
async def test_what_others_left_delays_nobody(tmp_path: Path) -> None:
    """Another job's claim from before is no reason to look first."""
    FolderClaims(tmp_path, sidecar=False).claim("b.mp4", OTHER)
    video = Video(b"film")
    assert (await Folder(tmp_path).put(video, NAMES, OURS)).name == "a.mp4"
    assert video.landings == 1
    assert FolderClaims(tmp_path, sidecar=False).claim("b.mp4", OTHER).held is Held.FREE
