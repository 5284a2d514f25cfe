"""Results of a run into folders and object stores: each once, nothing replaced that is not the job's own."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
from obstore.store import MemoryStore
from staging_s3 import KEY, SECRET, s3_server

import avatarkit
from avatarkit.bulk import output_claims
from avatarkit.bulk.output import Output, unsigned
from avatarkit.bulk.output_folder import Folder
from avatarkit.bulk.output_places import NOTES, Held, Owner, note_of
from avatarkit.bulk.output_store import StoreFolder
from avatarkit.bulk.records import Job, JobState, Run, RunSettings
from avatarkit.bulk.specs import Row, spec_of
from avatarkit.errors import DownloadFailed, InvalidRequest
from avatarkit.request import VideoRequest
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.download import Downloaded, Landing
from avatarkit.transport.partfile import Identity
from avatarkit.transport.threads import in_thread

RUN = "r\0000.0"  # as claims of the run "r" call it, where it is not known when it was begun


class Film:
    """A finished video as :class:`AsyncVideo` shows it, made of *data*; ``before`` runs when it is to be saved."""

    def __init__(
        self, data: bytes = b"film", ending: str = "mp4", before: Callable[[], None] = lambda: None
    ) -> None:
        self.url = f"https://cdn.test/out/x.{ending}?Signature=s3cr3t"
        self.duration = 2.5
        self.cost = 3.0
        self.saves = 0
        self._data = data
        self._before = before

    async def _land(self, landing: Landing) -> None:
        self._before()
        self.saves += 1
        await in_thread(self._land_now, landing)

    def _land_now(self, landing: Landing) -> None:
        try:
            landing.begin(Identity())
            landing.write([self._data])
            landing.finish()
        finally:
            if not landing.finished:
                landing.close()

    async def save(self, path: Any, *, store: Any = None, overwrite: bool = False) -> Downloaded:
        self._before()
        self.saves += 1
        if store is not None:
            store.put(str(path), self._data)
            return Downloaded(path=Path(path), size=len(self._data), sha256="", seconds=0.1)
        if os.path.lexists(path) and not overwrite:
            raise InvalidRequest(f"{path}: exists already")
        Path(path).write_bytes(self._data)
        return Downloaded(path=Path(path), size=len(self._data), sha256="", seconds=0.1)


def job(key: str = "k1", *, run: str = "r", task: str = "t1", **columns: str) -> tuple[Job, Row]:
    request = VideoRequest(
        avatar="a", voice="v", text="hello", title="A title", image="https://x.test/i.png?Signature=s3cr3t"
    )
    row = Row(key=key, request=request, columns=columns)
    return Job(
        seq=1, run=run, key=key, part=False, state=JobState.READY, spec=spec_of(row), task_id=task
    ), row


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and NOTES not in path.parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.asyncio
async def test_a_result_is_stored_and_described(tmp_path: Path) -> None:
    """The file, its facts, and a sidecar that says what it is and holds no signed URL."""
    output = Output(tmp_path / "new" / "out", name="{team}/{title}", provider="hifly", sidecar=True)
    film, (one, row) = Film(), job(team="blue", link="https://x.test/?token=s3cr3t")
    facts = await output.put(film, one, row)
    assert facts == {"file": "blue/A title.mp4", "bytes": 4, "seconds": 2.5}
    found = files(tmp_path / "new" / "out")
    assert set(found) == {"blue/A title.mp4", "blue/A title.mp4.json"}
    sidecar = orjson.loads(found["blue/A title.mp4.json"])
    assert (sidecar["key"], sidecar["task_id"], sidecar["cost"], sidecar["bytes"]) == ("k1", "t1", 3.0, 4)
    assert sidecar["request"]["text"] == "hello"
    assert sidecar["request"]["image"] == "https://x.test/i.png?***"
    assert b"s3cr3t" not in b"".join(found.values())


@pytest.mark.asyncio
async def test_settled_files_leave_nothing_behind(tmp_path: Path) -> None:
    """When the ledger knows the file its claim goes, and with the last one the folder of claims."""
    output = Output(tmp_path)
    one, row = job()
    facts = await output.put(Film(), one, row)
    assert len(list((tmp_path / NOTES).iterdir())) == 1
    await output.settled(one, facts)
    await output.settled(one, facts)
    await output.settled(one, {})
    await output.aclose()
    assert list(tmp_path.iterdir()) == [tmp_path / "k1.mp4"]


@pytest.mark.asyncio
async def test_a_killed_attempt_s_file_is_found_and_not_fetched_again(tmp_path: Path) -> None:
    """Killed between the rename and the ledger's commit: the next attempt sees its own whole file."""
    one, row = job()
    first = await Output(tmp_path).put(Film(), one, row)
    film = Film(b"other bytes")
    assert await Output(tmp_path).put(film, one, row) == first
    assert film.saves == 0
    assert files(tmp_path) == {"k1.mp4": b"film"}


@pytest.mark.asyncio
async def test_killed_while_it_was_saved(tmp_path: Path) -> None:
    """A claim without a file is gone on with under the same name."""

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    one, row = job()
    with pytest.raises(Killed):
        await Output(tmp_path).put(Film(before=kill), one, row)
    assert (await Output(tmp_path).put(Film(), one, row))["file"] == "k1.mp4"


@pytest.mark.asyncio
async def test_an_earlier_task_s_file_of_the_same_job_is_replaced(tmp_path: Path) -> None:
    """A job that was submitted again by its user gets its new result, in its own place."""
    one, row = job()
    await Output(tmp_path).put(Film(b"old"), one, row)
    again = attrs.evolve(one, task_id="t2")
    assert (await Output(tmp_path).put(Film(b"new"), again, row))["file"] == "k1.mp4"
    assert files(tmp_path) == {"k1.mp4": b"new"}


@pytest.mark.asyncio
@pytest.mark.parametrize("settle", [True, False])
async def test_what_was_there_before_is_never_touched(tmp_path: Path, settle: bool) -> None:
    """A foreign file keeps name and content, whether the job is tried once or killed and tried again."""
    (tmp_path / "k1.mp4").write_bytes(b"mine")
    one, row = job()
    facts = await Output(tmp_path).put(Film(), one, row)
    if settle:
        await Output(tmp_path).settled(one, facts)
    else:
        assert await Output(tmp_path).put(Film(b"x"), one, row) == facts
    assert facts["file"] != "k1.mp4"
    assert files(tmp_path) == {"k1.mp4": b"mine", facts["file"]: b"film"}


@pytest.mark.asyncio
async def test_a_file_older_than_the_claim_is_not_the_job_s(tmp_path: Path) -> None:
    """A file moved into the place of a claimed name keeps its age, and is not taken for the result."""
    output = Output(tmp_path)
    one, row = job()
    assert (await output._place.claim("k1.mp4", Owner.of(RUN, "k1", "t1"))).held is Held.FREE
    (tmp_path / "k1.mp4").write_bytes(b"mine")
    os.utime(tmp_path / "k1.mp4", (1, 1))
    facts = await output.put(Film(), one, row)
    assert facts["file"] != "k1.mp4"
    assert files(tmp_path)["k1.mp4"] == b"mine"


@pytest.mark.asyncio
async def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    """Between claim and rename somebody else writes the name: both files are there in the end."""

    def appear() -> None:
        if not (tmp_path / "k1.mp4").exists():
            (tmp_path / "k1.mp4").write_bytes(b"theirs")

    one, row = job()
    facts = await Output(tmp_path).put(Film(before=appear), one, row)
    assert files(tmp_path) == {"k1.mp4": b"theirs", facts["file"]: b"film"}
    assert await Output(tmp_path).put(Film(b"x"), one, row) == facts


@pytest.mark.asyncio
@pytest.mark.parametrize("settle", [True, False])
async def test_two_jobs_never_get_one_file(tmp_path: Path, settle: bool) -> None:
    """Jobs with one name, also in another case while both are under way, end in files of their own."""
    output = Output(tmp_path, name="{team}")
    named = []
    for number, team in enumerate(["Blue", "Blue", "blue"]):
        one, row = job(f"k{number}", team=team)
        facts = await output.put(Film(b"%d" % number), one, row)
        named.append(facts["file"])
        if settle and number == 0:
            await output.settled(one, facts)
    assert len({name.casefold() for name in named[:2]}) == 2
    assert files(tmp_path) == {name: b"%d" % number for number, name in enumerate(named)}
    if not settle:
        assert len({name.casefold() for name in named}) == 3


@pytest.mark.asyncio
async def test_another_run_s_files_are_foreign(tmp_path: Path) -> None:
    """The same manifest into the same folder by another run replaces nothing."""
    for run in ("r", "s"):
        one, row = job(run=run)
        await Output(tmp_path).put(Film(run.encode()), one, row)
    found = files(tmp_path)
    assert found.pop("k1.mp4") == b"r"
    assert list(found.values()) == [b"s"]


@pytest.mark.asyncio
@pytest.mark.parametrize("settle", [True, False])
async def test_two_runs_of_one_name_share_no_file(tmp_path: Path, settle: bool) -> None:
    """Most runs have the same name, and keys are often the same too: two journals, one folder, all files there."""
    settings = RunSettings(provider="hifly", account="x", out=str(tmp_path))
    outputs = [Output.of(Run(id="r", settings=settings, created=float(born))) for born in (1, 2, 3)]
    named = []
    for number, output in enumerate(outputs):
        one, row = job()
        facts = await output.put(Film(b"%d" % number), one, row)
        named.append(facts["file"])
        if settle:
            await output.settled(one, facts)
    assert files(tmp_path) == {name: b"%d" % number for number, name in enumerate(named)}
    assert len(set(named)) == 3


@pytest.mark.asyncio
async def test_links_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    """A folder that is a link to elsewhere, and a file that is one, get nothing; the result is stored all the same."""
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (out / "blue").symlink_to(outside)
    (out / "k2.mp4").symlink_to(outside / "target.mp4")
    one, row = job(team="blue")
    facts = await Output(out, name="{team}/{key}").put(Film(), one, row)
    two, other = job("k2")
    more = await Output(out).put(Film(), two, other)
    assert list(outside.iterdir()) == []
    assert (out / facts["file"]).read_bytes() == (out / more["file"]).read_bytes() == b"film"


@pytest.mark.asyncio
async def test_the_folder_of_claims_must_be_one(tmp_path: Path) -> None:
    """A link in its place is refused: claims would be written elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / NOTES).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(avatarkit.ConfigurationError, match="a link found"):
        await Output(out).put(Film(), *job())


@pytest.mark.asyncio
async def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    """A result is never given up because of a name: it gets one in the folder itself."""
    (tmp_path / "blue").write_bytes(b"mine")
    facts = await Output(tmp_path, name="{team}/{key}").put(Film(), *job(team="blue"))
    assert "/" not in facts["file"]
    assert files(tmp_path) == {"blue": b"mine", facts["file"]: b"film"}


@pytest.mark.asyncio
async def test_a_sidecar_replaces_nothing_either(tmp_path: Path) -> None:
    """A foreign file with the sidecar's name makes the whole name taken."""
    (tmp_path / "k1.mp4.json").write_bytes(b"mine")
    facts = await Output(tmp_path, sidecar=True).put(Film(), *job())
    assert (tmp_path / "k1.mp4.json").read_bytes() == b"mine"
    assert set(files(tmp_path)) == {"k1.mp4.json", facts["file"], f"{facts['file']}.json"}


@pytest.mark.asyncio
async def test_a_full_disk_is_a_failed_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may pass, so it is an error that is tried again, and nothing half is left."""

    def full(*_: Any, **__: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    output = Output(tmp_path, sidecar=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "symlink", full)
        patch.setattr(os, "write", full)
        with pytest.raises(DownloadFailed, match="No space left"):
            await output.put(Film(), *job())
    assert files(tmp_path) == {}
    assert (await output.put(Film(), *job()))["file"] == "k1.mp4"


@pytest.mark.asyncio
async def test_a_file_that_is_being_written_by_another_worker(tmp_path: Path) -> None:
    """Two workers with one job: the second is told to come back, and then finds the file."""

    def busy() -> None:
        raise InvalidRequest("k1.mp4: is being downloaded already")

    await Folder(tmp_path).claim("k1.mp4", Owner.of(RUN, "k1", "t1"))
    with pytest.raises(DownloadFailed, match="already"):
        await Output(tmp_path).put(Film(before=busy), *job())
    assert (await Output(tmp_path).put(Film(), *job()))["file"] == "k1.mp4"


@pytest.mark.asyncio
async def test_a_claim_that_was_cut_off_belongs_to_nobody(tmp_path: Path) -> None:
    """A power cut may leave it empty: another name is taken."""
    (tmp_path / NOTES).mkdir()
    (tmp_path / note_of("k1.mp4")).write_bytes(b"")
    assert (await Output(tmp_path).put(Film(), *job()))["file"] != "k1.mp4"


@pytest.mark.asyncio
async def test_the_ending_is_the_result_s_own(tmp_path: Path) -> None:
    """A .mov is called so unless the template says otherwise; a strange ending is mp4."""
    endings = {"mov": "k1.mov", "exe": "k1.mp4"}
    for number, (ending, name) in enumerate(endings.items()):
        facts = await Output(tmp_path / str(number)).put(Film(ending=ending), *job())
        assert facts["file"] == name


@pytest.mark.asyncio
async def test_folders_are_made_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new folder survives a power cut only when the one above it is synced."""
    synced: list[Path] = []
    monkeypatch.setattr(output_claims, "sync_folder", synced.append)
    await Output(tmp_path / "out", name="{team}/{key}").put(Film(), *job(team="blue"))
    assert {tmp_path, tmp_path / "out"} <= set(synced)


@pytest.mark.asyncio
async def test_a_run_goes_on_when_its_folders_are_removed(tmp_path: Path) -> None:
    """Somebody tidies up between two results: the folders are made again, and the next claim is checked anew."""
    output = Output(tmp_path / "out", name="{team}/{key}")
    await output.put(Film(), *job(team="blue"))
    shutil.rmtree(tmp_path / "out")
    facts = await output.put(Film(), *job("k2", team="blue"))
    assert files(tmp_path / "out") == {facts["file"]: b"film"} == {"blue/k2.mp4": b"film"}


@pytest.mark.asyncio
async def test_a_claim_lost_in_a_power_cut_costs_a_second_file(tmp_path: Path) -> None:
    """The file whose claim is gone is nobody's: it stays as it is, and the job's result gets another name."""
    await Output(tmp_path).put(Film(), *job())
    for note in (tmp_path / NOTES).iterdir():
        note.unlink()
    facts = await Output(tmp_path).put(Film(b"again"), *job())
    assert files(tmp_path) == {"k1.mp4": b"film", facts["file"]: b"again"}


def test_urls_lose_their_queries_and_text_stays() -> None:
    """What is written beside results holds no signature, however deep."""
    given = {"a": ["see https://x.test/p?Signature=abc now", "token: 'stays'"], "b": 3}
    assert unsigned(given) == {"a": ["see https://x.test/p?*** now", "token: 'stays'"], "b": 3}


def test_an_output_of_settings(tmp_path: Path) -> None:
    """A run's settings say all there is to say."""
    settings = RunSettings(
        provider="kling", account="x", out=str(tmp_path), name="{provider}-{key}", sidecar=True
    )
    assert Output.of(Run(id="r", settings=settings)).template.stem(job()[1]) == "kling-k1"


# -- object stores


def stored(store: MemoryStore) -> dict[str, bytes]:
    found = (each["path"] for page in store.list() for each in page)
    return {path: bytes(store.get(path).bytes()) for path in found if NOTES not in path}


@pytest.mark.asyncio
async def test_a_store_keeps_the_same_promises() -> None:
    """Plain name, killed attempt, foreign object, other job, earlier task: as in a folder."""
    store = MemoryStore()
    store.put("out/k9.mp4", b"mine")

    def output() -> Output:
        return Output("out/", store=store, sidecar=True)

    one, row = job()
    facts = await output().put(Film(), one, row)
    assert facts == {"file": "k1.mp4", "bytes": 4, "seconds": 2.5, "location": "MemoryStore/out/k1.mp4"}
    film = Film(b"other")
    assert await output().put(film, one, row) == facts
    assert film.saves == 0
    await output().put(Film(b"new"), attrs.evolve(one, task_id="t2"), row)
    other = await output().put(Film(), *job(run="s"))
    foreign = await output().put(Film(), *job("k9"))
    await output().settled(attrs.evolve(one, task_id="t2"), facts)
    found = stored(store)
    assert found["out/k1.mp4"] == b"new"
    assert found["out/k9.mp4"] == b"mine"
    assert {facts["file"], other["file"], foreign["file"], "k9.mp4"} == {
        name.removeprefix("out/") for name in found if name.endswith(".mp4")
    }
    assert orjson.loads(found["out/k1.mp4.json"])["task_id"] == "t2"
    assert len([each for page in store.list(f"out/{NOTES}") for each in page]) == 2
    await output().tidy("r")
    (note,) = (each["path"] for page in store.list(f"out/{NOTES}") for each in page)
    assert note == f"out/{note_of(other['file'])}"


@pytest.mark.asyncio
async def test_a_store_that_knows_no_conditions() -> None:
    """Where "unless it is there" is not understood, the claim is written and looked at."""

    class Simple:
        def __init__(self) -> None:
            self._store = MemoryStore()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def put(self, key: str, data: bytes, mode: str = "overwrite") -> None:
            if mode == "create":
                raise RuntimeError(
                    "Client error with status code: 501 Not Implemented: <Code>NotImplemented</Code>"
                )
            self._store.put(key, data)

    place = StoreFolder("", Simple())
    owner, other = Owner.of("r", "a", "t"), Owner.of("r", "b", "t")
    assert (await place.claim("x.mp4", owner)).held is Held.FREE
    assert (await place.claim("X.mp4", other)).held is Held.TAKEN
    assert (await place.claim("x.mp4", owner)).held is Held.FREE
    await place.aclose()


def test_a_run_into_a_bucket_by_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real video into a real store over HTTP: prefix and options of the URL hold, and no secret is told."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    async def main() -> None:
        clock = VirtualClock()
        async with (
            avatarkit.AsyncSandbox(clock=clock, render="tiny", result_bytes=4096) as box,
            s3_server() as s3,
        ):
            base = box.base_url("hifly")
            async with avatarkit.AsyncHiFly(box.token, base_url=base, clock=clock, seed=3) as hifly:
                avatar = (await hifly.avatars.list(size=1)).items[0].id
                voice = (await hifly.voices.list(size=1, kind=2)).items[0].id
                task = await hifly.videos.create_by_tts(text="x", avatar=avatar, voice=voice)
                video = await task.wait(timeout=None)
                one, row = job(task=task.id)
                output = Output(f"s3://bkt/a/b?endpoint={s3.url}", sidecar=True)
                facts = await output.put(video, one, row)
                assert facts["location"] == "s3://bkt/a/b/k1.mp4"
                assert set(s3.objects) == {"a/b/k1.mp4", "a/b/k1.mp4.json", f"a/b/{note_of('k1.mp4')}"}
                assert len(s3.objects["a/b/k1.mp4"]) == facts["bytes"] == 4096
                downloads = box.seen.downloads
                assert await output.put(video, one, row) == facts
                assert box.seen.downloads == downloads
                await output.settled(one, facts)
                assert set(s3.objects) == {"a/b/k1.mp4", "a/b/k1.mp4.json"}
                s3.fail["GET"] = (500, "InternalError")
                s3.fail["HEAD"] = (403, "AccessDenied")
                with pytest.raises(DownloadFailed) as caught:
                    await output.put(video, *job("k2"))
                assert SECRET not in str(caught.value)
                await output.aclose()

    run_virtual(main)


def test_a_real_video_into_a_folder(tmp_path: Path) -> None:
    """Through the client's own download: whole, found again without a request, resumed after a cut."""

    async def main() -> None:
        clock = VirtualClock()
        async with avatarkit.AsyncSandbox(clock=clock, render="tiny", result_bytes=300_000) as box:
            base = box.base_url("hifly")
            async with avatarkit.AsyncHiFly(box.token, base_url=base, clock=clock, seed=3) as hifly:
                avatar = (await hifly.avatars.list(size=1)).items[0].id
                voice = (await hifly.voices.list(size=1, kind=2)).items[0].id
                task = await hifly.videos.create_by_tts(text="x", avatar=avatar, voice=voice)
                video = await task.wait(timeout=None)
                one, row = job(task=task.id)
                facts = await Output(tmp_path).put(video, one, row)
                assert facts["bytes"] == 300_000 == (tmp_path / "k1.mp4").stat().st_size
                downloads = box.seen.downloads
                assert await Output(tmp_path).put(video, one, row) == facts
                assert box.seen.downloads == downloads

    run_virtual(main)


@pytest.mark.asyncio
async def test_a_claim_is_made_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is opened and written, so a process that is killed leaves a whole claim or none."""

    def never(*_: Any, **__: Any) -> int:
        raise AssertionError("a claim takes two steps")

    owner = Owner.of(RUN, "k1", "t1")
    (tmp_path / NOTES).mkdir()
    folder = Folder(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", never)
        assert (await folder.claim("k1.mp4", owner)).held is Held.FREE
        assert (await Folder(tmp_path).claim("k1.mp4", owner)).held is Held.FREE
        assert (await folder.claim("k1.mp4", Owner.of(RUN, "k2", "t1"))).held is Held.TAKEN
        await folder.release("k1.mp4", owner)
        assert (await folder.claim("k1.mp4", Owner.of(RUN, "k2", "t1"))).held is Held.FREE


@pytest.mark.asyncio
async def test_claims_where_there_are_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without links has files for claims, with the same meaning."""

    def none(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", none)
    one, row = job()
    facts = await Output(tmp_path).put(Film(), one, row)
    (note,) = (tmp_path / NOTES).iterdir()
    assert note.is_file()
    assert await Output(tmp_path).put(Film(b"other"), one, row) == facts
    assert (await Output(tmp_path).put(Film(), *job("k2", title="k1")))["file"] == "k2.mp4"
    await Output(tmp_path).settled(one, facts)
    assert not note.exists()


@pytest.mark.asyncio
async def test_a_duplicate_is_discarded_with_its_claim(tmp_path: Path) -> None:
    """Another worker was quicker: file, sidecar and claim go; what another job claims stays."""
    output = Output(tmp_path, sidecar=True)
    one, row = job()
    facts = await output.put(Film(), one, row)
    await output.discard(job("k2")[0], facts)
    assert set(files(tmp_path)) == {"k1.mp4", "k1.mp4.json"}
    await output.discard(one, facts)
    assert files(tmp_path) == {}
    assert list((tmp_path / NOTES).iterdir()) == []


@pytest.mark.asyncio
async def test_a_claim_that_goes_while_it_is_read_was_somebody_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a claim and reading it its owner may drop it: the name is taken, nothing fails."""
    owner = Owner.of(RUN, "k1", "t1")
    await Folder(tmp_path).claim("k1.mp4", Owner.of(RUN, "k2", "t1"))
    monkeypatch.setattr(output_claims, "_read", _gone)
    assert (await Folder(tmp_path).claim("k1.mp4", owner)).held is Held.TAKEN


def _gone(path: Path) -> bytes:
    raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))


@pytest.mark.asyncio
async def test_the_folder_of_claims_may_vanish_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that ends removes it, where it is empty, between making it and making a claim in it."""
    original, left = output_claims._create, [3]

    def tidied(path: Path, owner: Owner) -> bool:
        if left[0]:
            left[0] -= 1
            path.parent.rmdir()
        return original(path, owner)

    monkeypatch.setattr(output_claims, "_create", tidied)
    assert (await Folder(tmp_path).claim("k1.mp4", Owner.of(RUN, "k1", "t1"))).held is Held.FREE
    assert left == [0]
