"""A bulk run through its public face: what goes in, what comes out, what is shared, what is resumed."""

from __future__ import annotations

import asyncio
import math
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from bulk_house import IMAGE, SOUND, Bulk, bulk_house, in_virtual_time, states

import avatarkit
from avatarkit import VideoRequest, errors
from avatarkit.bulk.journal import open_ledger
from avatarkit.bulk.options import BulkOptions
from avatarkit.bulk.progress import Meter, Progress, measure
from avatarkit.bulk.records import Job, JobState
from avatarkit.bulk.run import BulkRun


def on(provider: str, tmp_path: Path, main: Any, **options: Any) -> None:
    async def inside() -> None:
        async with bulk_house(tmp_path, provider, **options) as bulk:
            await main(bulk)

    in_virtual_time(inside)


async def rest_of(outcomes: Any) -> None:
    async for outcome in outcomes:
        assert outcome.state is JobState.DONE


def sound(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\1" * 8000 * 6)
    return path


def test_every_job_ends_in_a_file(tmp_path: Path) -> None:
    """A hundred jobs: a hundred outcomes, files under their keys, none made twice, and what each took."""

    async def main(bulk: Bulk) -> None:
        outcomes = await bulk.run(bulk.jobs(100))
        assert states(outcomes) == {"done": 100}
        for key, outcome in outcomes.items():
            assert Path(outcome.file) == bulk.out / f"{key}.mp4"
            assert Path(outcome.file).stat().st_size > 0
            assert outcome.seconds is not None
            assert outcome.seconds >= 30
            assert not outcome.earlier
            assert bulk.client.task(outcome.token).provider == "guiji"
        assert set(bulk.made().values()) == {1}

    on("guiji", tmp_path, main)


def test_a_second_run_tells_what_the_first_made_and_makes_nothing(tmp_path: Path) -> None:
    """The same journal again: every outcome comes as an earlier one, and the vendor hears of no submission."""

    async def main(bulk: Bulk) -> None:
        first = await bulk.run(bulk.jobs(5))
        before = len(bulk.box.seen.tasks)
        second = await bulk.run(bulk.jobs(5))
        assert {key: outcome.file for key, outcome in second.items()} == {k: o.file for k, o in first.items()}
        assert all(outcome.earlier for outcome in second.values())
        assert len(bulk.box.seen.tasks) == before
        assert states(await bulk.run(None)) == {"done": 5}

    on("guiji", tmp_path, main)


def test_what_was_told_is_not_read_again_and_what_ended_elsewhere_is_told(tmp_path: Path) -> None:
    """The end of a run reads done jobs only when one is untold, such as one that somebody else took down."""

    async def main(bulk: Bulk) -> None:
        for number, elsewhere in enumerate(((), ("j1",), ("j0", "j1"))):
            ledger = await open_ledger(tmp_path / f"{number}.db")
            finish, get, select = ledger.finish, ledger.get, ledger.select
            read: list[JobState] = []

            async def by_others(run: str, key: str, attempt: int, **facts: Any) -> bool:
                return await finish(run, key, attempt, **facts) and key not in elsewhere  # noqa: B023

            async def unseen(run: str, key: str) -> Job | None:
                return await get(run, key) if key not in elsewhere else None  # noqa: B023

            async def noted(run: str, states: Sequence[JobState] = (), **range_: Any) -> list[Job]:
                read.extend(states)  # noqa: B023
                return await select(run, states, **range_)  # noqa: B023

            ledger.finish, ledger.get, ledger.select = by_others, unseen, noted  # type: ignore[method-assign]
            outcomes = await bulk.run(bulk.jobs(4), journal=ledger, out=tmp_path / f"out{number}")
            assert states(outcomes) == {"done": 4}
            assert not any(outcome.earlier for outcome in outcomes.values())
            assert (JobState.DONE in read) == bool(elsewhere)
            await ledger.aclose()

    on("guiji", tmp_path, main)


def test_leaving_the_loop_stops_submitting_and_a_later_run_goes_on(tmp_path: Path) -> None:
    """Whoever breaks after the third outcome of fifty has not bought the rest; the next run has all of them."""

    async def main(bulk: Bulk) -> None:
        seen = 0
        outcomes = bulk.client.bulk(bulk.jobs(50), journal=bulk.journal, out=bulk.out)
        async for _ in outcomes:
            seen += 1
            if seen == 3:
                break
        await outcomes.aclose()
        assert sum(bulk.made().values()) < 50
        assert states(await bulk.run(bulk.jobs(50))) == {"done": 50}
        assert set(bulk.made().values()) == {1}

    on("guiji", tmp_path, main, max_running=4)


def test_one_picture_of_many_jobs_is_cloned_once(tmp_path: Path) -> None:
    """Fifty jobs with one picture buy one avatar; ten with another picture buy one more."""

    async def main(bulk: Bulk) -> None:
        voice = bulk.base["voice"]
        jobs = [VideoRequest(image=IMAGE, text=f"say {n}", voice=voice) for n in range(50)]
        jobs += [VideoRequest(image=IMAGE + "?2", text=f"say {n}", voice=voice) for n in range(50, 60)]
        before = sum(task["kind"] == "avatar" for task in bulk.box.seen.tasks)
        assert states(await bulk.run(jobs)) == {"done": 60}
        assert sum(task["kind"] == "avatar" for task in bulk.box.seen.tasks) == before + 2
        assert states(await bulk.run(jobs)) == {"done": 60}
        assert sum(task["kind"] == "avatar" for task in bulk.box.seen.tasks) == before + 2

    on("hifly", tmp_path, main)


def test_what_needs_a_part_that_failed_fails_with_it(tmp_path: Path) -> None:
    """The clone is refused: its jobs fail and say so, others are made."""

    async def main(bulk: Bulk) -> None:
        bulk.box.fail_next("POST /avatar/create_by_image")
        bad = [(f"bad{n}", VideoRequest(image=IMAGE, text="x", voice=bulk.base["voice"])) for n in range(4)]
        outcomes = await bulk.run([*bad, *bulk.jobs(4)], retries=0)
        assert states(outcomes) == {"failed": 4, "done": 4}
        assert all(outcomes[key].error["message"] for key, _ in bad)

    on("hifly", tmp_path, main)


def test_a_file_that_many_jobs_use_goes_up_once(tmp_path: Path) -> None:
    """Thirty jobs speak one recording: one upload, also over a restart."""

    async def main(bulk: Bulk) -> None:
        recording = sound(tmp_path / "words.wav")
        jobs = [(f"u{n}", VideoRequest(avatar=bulk.base["avatar"], audio=recording)) for n in range(30)]
        assert states(await bulk.run(jobs[:20])) == {"done": 20}
        assert sum(bulk.box.seen.uploads.values()) == 1
        bulk.client.uploads.clear()
        assert states(await bulk.run(jobs)) == {"done": 30}
        assert sum(bulk.box.seen.uploads.values()) == 1

    on("hifly", tmp_path, main)


def test_kling_speaks_the_text_first_and_once_for_equal_texts(tmp_path: Path) -> None:
    """A text for Kling is spoken by a part; two videos of one text share it."""

    async def main(bulk: Bulk) -> None:
        words = "Good morning, and welcome to all of you who are here today."
        request = {"text": words, "voice": "oversea_male1"}
        jobs = [("a", {**request, "image": IMAGE}), ("b", {**request, "image": IMAGE + "?2"})]
        assert states(await bulk.run(jobs)) == {"done": 2}
        assert bulk.box.seen.requests["POST /v1/audio/tts"] == 1

    on("kling", tmp_path, main)


def test_every_mistake_is_found_before_anything_is_submitted(tmp_path: Path) -> None:
    """Wrong rows are listed together with their lines; no request was sent."""

    async def main(bulk: Bulk) -> None:
        manifest = tmp_path / "jobs.csv"
        manifest.write_text(
            "key,avatar,voice,text,audio\na,1,2,hello,\nb,,2,hello,\nc,1,,hello,\nd,1,,,missing-file.mp3\n",
            encoding="utf-8",
        )
        with pytest.raises(errors.InvalidRequest) as caught:
            await bulk.run(manifest)
        text = "\n".join(caught.value.problems)
        assert "line 3" in text
        assert "line 4" in text
        assert "line 5" in text
        assert not bulk.made()

    on("guiji", tmp_path, main)


def test_a_manifest_is_not_read_again_when_it_is_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million rows need not be read to go on with a run: the ledger knows the file by its hash."""

    async def main(bulk: Bulk) -> None:
        manifest = tmp_path / "jobs.csv"
        lines = [
            "key,avatar,voice,text",
            *(f"k{n},{bulk.base['avatar']},{bulk.base['voice']},say {n}" for n in range(9)),
        ]
        manifest.write_text("\n".join(lines), encoding="utf-8")
        assert states(await bulk.run(manifest)) == {"done": 9}
        monkeypatch.setattr("avatarkit.bulk.feeding.read_rows", None)
        assert states(await bulk.run(manifest)) == {"done": 9}

    on("guiji", tmp_path, main)


def test_held_jobs_can_be_adopted_resent_and_abandoned(tmp_path: Path) -> None:
    """Three doubts at a vendor that cannot be asked: one task is adopted, one job sent again, one given up."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add("POST */create_by_tts", "reset_after", times=3)
        outcomes = await bulk.run(bulk.jobs(6), submits=1)
        held = sorted(key for key, outcome in outcomes.items() if outcome.state is JobState.HELD)
        assert len(held) == 3
        told = {task["body"]["text"]: task["id"] for task in bulk.box.seen.tasks if task["kind"] == "video"}
        ledger = await open_ledger(bulk.journal, clock=bulk.client.clock)
        job = await ledger.get("main", held[0])
        assert job is not None
        assert job.ticket is not None
        token = bulk.client._token_for(avatarkit.Kind.VIDEO, told[f"say {held[0][1:]}"], job.ticket)
        adopted = await ledger.adopt(
            "main", held[0], job.attempt, task_id=told[f"say {held[0][1:]}"], token=token, look_at=0.0
        )
        assert adopted
        assert await ledger.resend("main", [held[1]]) == 1
        assert await ledger.abandon("main", [held[2]]) == 1
        await ledger.aclose()
        outcomes = await bulk.run(bulk.jobs(6))
        assert states(outcomes) == {"done": 5, "abandoned": 1}
        assert sorted(bulk.made().values()) == [1, 1, 1, 1, 1, 2]  # the user's word was given for the second

    on("hifly", tmp_path, main)


def test_two_runs_of_one_journal_do_not_work_at_once(tmp_path: Path) -> None:
    """A journal belongs to one process at a time; the second is told so."""

    async def main(bulk: Bulk) -> None:
        outcomes = bulk.client.bulk(bulk.jobs(3), journal=bulk.journal, out=bulk.out)
        await anext(outcomes)
        with pytest.raises(errors.ConfigurationError):
            await bulk.run(bulk.jobs(3))
        await outcomes.aclose()

    on("guiji", tmp_path, main)


def test_an_iterable_is_read_lazily_and_off_the_loop(tmp_path: Path) -> None:
    """A generator that blocks does not block the event loop."""
    import threading

    async def main(bulk: Bulk) -> None:
        threads = set()

        def rows() -> Any:
            for job in bulk.jobs(10):
                threads.add(threading.get_ident())
                yield job

        assert states(await bulk.run(rows())) == {"done": 10}
        assert threading.get_ident() not in threads

    on("guiji", tmp_path, main)


def test_bytes_cannot_be_material_of_a_run_that_survives(tmp_path: Path) -> None:
    """Material has to be found again after a restart, so bytes are refused with what to do."""

    async def main(bulk: Bulk) -> None:
        with pytest.raises(errors.InvalidRequest, match="path"):
            await bulk.run([VideoRequest(image=b"\x89PNG", audio=SOUND)])

    on("kling", tmp_path, main)


def test_the_blocking_twin_does_the_same(tmp_path: Path) -> None:
    """``for outcome in guiji.bulk(...)`` over real sockets, and again with the same journal."""
    quick = avatarkit.Polling(shortest=0.05, longest=0.2)
    with avatarkit.Sandbox(render="tiny", queue_seconds=0.05, run_seconds=0.1) as box:
        with avatarkit.Guiji(
            box.token, box.secret, base_url=box.base_url("guiji"), polling=quick, rate_limit=None
        ) as guiji:
            avatar, voice = guiji.avatars.list_public().items[0].id, guiji.voices.list_public().items[0].id
            jobs = [VideoRequest(avatar=avatar, voice=voice, text=f"say {n}") for n in range(8)]
            first = list(guiji.bulk(jobs, journal=tmp_path / "run.db", out=tmp_path / "out"))
            assert [outcome.ok for outcome in first] == [True] * 8
            for outcome in guiji.bulk(jobs, journal=tmp_path / "run.db", out=tmp_path / "out"):
                assert outcome.earlier
        assert sum(task["kind"] == "video" for task in box.seen.tasks) == 8


def test_a_run_ends_when_its_caller_is_cancelled(tmp_path: Path) -> None:
    """Cancelled in the middle: what was under way is taken down, nothing goes on behind, and a later run finishes."""

    async def main(bulk: Bulk) -> None:
        working = asyncio.ensure_future(bulk.run(bulk.jobs(40)))
        await asyncio.sleep(50)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        made = sum(bulk.made().values())
        await asyncio.sleep(600)
        assert sum(bulk.made().values()) == made
        assert states(await bulk.run(bulk.jobs(40))) == {"done": 40}
        assert set(bulk.made().values()) == {1}

    on("guiji", tmp_path, main, max_running=5)


def test_a_local_file_without_a_staging_is_a_mistake_of_its_row(tmp_path: Path) -> None:
    """Guiji fetches sounds by URL: a local one is found before anything is submitted, with what to do."""

    async def main(bulk: Bulk) -> None:
        jobs = [{"avatar": bulk.base["avatar"], "audio": str(sound(tmp_path / "words.wav"))}]
        with pytest.raises(errors.InvalidRequest, match="staging"):
            await bulk.run(jobs)
        assert not bulk.made()

    on("guiji", tmp_path, main)


def test_titles_are_marked_where_the_provider_can_be_searched_for_them(tmp_path: Path) -> None:
    """A lost submission with a title of the user's is found all the same, for a mark stands behind the title."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add("POST */simpleCreate", "reset_after", times=3)
        outcomes = await bulk.run(bulk.jobs(5, title="News"))
        assert states(outcomes) == {"done": 5}
        titles = {task["title"] for task in bulk.box.seen.tasks}
        assert len(titles) == 5
        assert all(title.startswith("News [ak:") for title in titles)
        assert set(bulk.made().values()) == {1}

    on("guiji", tmp_path, main)


def test_rows_of_a_manifest_with_mistakes_are_taken_back(tmp_path: Path) -> None:
    """A mistake on the last of 600 rows: none of the others is left to be paid for by the next run."""

    async def main(bulk: Bulk) -> None:
        rows = [*bulk.jobs(600), ("bad", {"text": "nobody to say it"})]
        with pytest.raises(errors.InvalidRequest, match=r"bad|presenter"):
            await bulk.run(rows)
        assert states(await bulk.run(bulk.jobs(2))) == {"done": 2}
        assert sum(bulk.made().values()) == 2

    on("guiji", tmp_path, main)


def test_a_budget_can_be_lifted(tmp_path: Path) -> None:
    """``math.inf`` lifts a budget; None keeps the one that the run had."""

    async def main(bulk: Bulk) -> None:
        first = await bulk.run(bulk.jobs(9), budget=9.0, default_cost=4.0)
        assert states(first)["done"] < 9
        assert states(await bulk.run(bulk.jobs(9)))["done"] < 9
        assert states(await bulk.run(bulk.jobs(9), budget=float("inf"))) == {"done": 9}

    on("kling", tmp_path, main)


def test_closing_the_client_in_the_middle_fails_no_job(tmp_path: Path) -> None:
    """An error in the user's loop closes the client before the run: what runs still runs, and is fetched later."""

    async def main(bulk: Bulk) -> None:
        clock = bulk.client.clock
        again = avatarkit.AsyncGuiji(
            bulk.box.token,
            bulk.box.secret,
            base_url=bulk.box.base_url("guiji"),
            wire=bulk.box.wire(),
            clock=clock,
            rate_limit=None,
            max_running=20,
        )
        outcomes = bulk.client.bulk(bulk.jobs(40), journal=bulk.journal, out=bulk.out)
        await anext(outcomes)
        await bulk.client.aclose()
        with pytest.raises(errors.AvatarKitError):
            await rest_of(outcomes)
        async with again:
            rest = {o.key: o async for o in again.bulk(bulk.jobs(40), journal=bulk.journal, out=bulk.out)}
        assert states(rest) == {"done": 40}
        assert set(bulk.made().values()) == {1}

    on("guiji", tmp_path, main)


@pytest.mark.parametrize(
    "where", ["avatarkit.bulk.watch.Watcher._tell", "avatarkit.bulk.doubts.Doubts.reconcile"]
)
def test_a_defect_behind_the_scenes_ends_the_run(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What looks at tasks, or at doubts, breaks: the run ends with that error and does not wait for ever."""

    async def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add("POST */simpleCreate", "reset_after")
        with monkeypatch.context() as patch:
            patch.setattr(where, broken)
            with pytest.raises(RuntimeError, match="a defect"):
                await bulk.run(bulk.jobs(10))
        assert states(await bulk.run(bulk.jobs(10))) == {"done": 10}
        assert set(bulk.made().values()) == {1}

    on("guiji", tmp_path, main)


def test_a_job_that_is_named_twice_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The looks hand a finished job over, and the ledger names it, too, in any order: there is one file of it."""
    from avatarkit.bulk.local import LocalDriver

    original = LocalDriver._told

    async def told(driver: LocalDriver, looks: Any) -> None:
        await original(driver, looks)
        asyncio.get_running_loop().call_later(0.5, lambda: asyncio.ensure_future(original(driver, looks)))
        asyncio.get_running_loop().call_later(5.0, lambda: asyncio.ensure_future(original(driver, looks)))

    async def main(bulk: Bulk) -> None:
        monkeypatch.setattr(LocalDriver, "_told", told)
        assert states(await bulk.run(bulk.jobs(40), downloads=2)) == {"done": 40}
        assert len(list(bulk.out.glob("*.mp4"))) == 40

    on("guiji", tmp_path, main)


def test_a_folder_that_cannot_be_written_is_found_before_anything_is_paid_for(tmp_path: Path) -> None:
    """The output is a file, not a folder: the run ends at once, and nothing was submitted."""

    async def main(bulk: Bulk) -> None:
        bulk.out.write_text("in the way")
        with pytest.raises(errors.ConfigurationError, match="cannot be written"):
            await bulk.run(bulk.jobs(3))
        assert not bulk.made()

    on("guiji", tmp_path, main)


def test_results_that_cannot_be_stored_stop_submitting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full from the start of the run on: it does not buy a hundred videos that it cannot keep."""
    from avatarkit.bulk.output import Output

    original = Output.put

    async def full(*_: Any) -> Any:
        raise errors.DownloadFailed("the disk is full")

    async def main(bulk: Bulk) -> None:
        monkeypatch.setattr(Output, "put", full)
        asyncio.get_running_loop().call_later(7200, lambda: monkeypatch.setattr(Output, "put", original))
        outcomes = await bulk.run(bulk.jobs(100), max_failures=10)
        made = sum(bulk.made().values())
        assert made < 60
        assert states(outcomes) == {"done": made, "new": 100 - made}

    on("guiji", tmp_path, main, max_running=10)


def test_a_mistyped_key_does_not_tie_a_journal_to_nobodys_account(tmp_path: Path) -> None:
    """The first start had a wrong key and nothing was accepted: the right key may go on; afterwards no other may."""

    async def main(bulk: Bulk) -> None:
        def client(token: str) -> avatarkit.AsyncHiFly:
            return avatarkit.AsyncHiFly(
                token, base_url=bulk.box.base_url("hifly"), wire=bulk.box.wire(), clock=bulk.client.clock
            )

        async with client("mistyped") as wrong:
            outcomes = [o async for o in wrong.bulk(bulk.jobs(3), journal=bulk.journal, out=bulk.out)]
            assert {o.state for o in outcomes} == {JobState.NEW}
            assert states(await bulk.run(bulk.jobs(3))) == {"done": 3}
            with pytest.raises(errors.ConfigurationError, match="account"):
                await anext(wrong.bulk(bulk.jobs(3), journal=bulk.journal, out=bulk.out))

    on("hifly", tmp_path, main)


def test_only_the_time_of_work_counts(tmp_path: Path) -> None:
    """A run that was gone on with a day later took as long as both starts; one that has ended gets no older."""

    async def main(bulk: Bulk) -> None:
        jobs = bulk.jobs(40)
        outcomes = bulk.client.bulk(jobs, journal=bulk.journal, out=bulk.out)
        async for _ in outcomes:
            break
        await outcomes.aclose()
        first = await seen(bulk)
        assert 30.0 <= first.elapsed < 300.0
        await asyncio.sleep(24 * 3600.0)
        assert (await seen(bulk)).elapsed == first.elapsed
        begun = bulk.client.clock.time()
        await bulk.run(jobs)
        took = bulk.client.clock.time() - begun
        await asyncio.sleep(24 * 3600.0)
        last = await seen(bulk)
        assert last.elapsed == pytest.approx(first.elapsed + took, abs=5.0)
        assert last.done == 40

    async def seen(bulk: Bulk) -> Progress:
        ledger = await open_ledger(bulk.journal, clock=bulk.client.clock)
        try:
            return await measure(ledger, "main")
        finally:
            await ledger.aclose()

    on("guiji", tmp_path, main, max_running=4)


def test_the_eta_of_a_second_start_is_right_from_its_beginning(tmp_path: Path) -> None:
    """A day after the first start was stopped half-way, every ETA of the second's first minute is near its true end."""

    async def main(bulk: Bulk) -> None:
        clock, jobs = bulk.client.clock, bulk.jobs(160)
        told: list[tuple[float, float | None]] = []

        async def watch(meter: Meter) -> None:
            for _ in range(12):
                told.append((clock.time(), (await meter.measure()).eta))
                await asyncio.sleep(5.0)

        ledger = await open_ledger(bulk.journal, clock=clock)
        try:
            async with BulkRun(bulk.client, jobs, ledger, BulkOptions(out=bulk.out)) as run:
                outcomes = run.outcomes()
                ended = [await anext(outcomes) for _ in range(60)]
                await outcomes.aclose()
            assert len(ended) == 60
            await asyncio.sleep(24 * 3600.0)
            watching = asyncio.create_task(watch(Meter(ledger, "main", spacing=0.0)))
            async with BulkRun(bulk.client, jobs, ledger, BulkOptions(out=bulk.out)) as run:
                await rest_of(run.outcomes())
            end = clock.time()
            await watching
        finally:
            await ledger.aclose()
        assert end - told[0][0] > 240.0
        for at, eta in told:
            assert eta == pytest.approx(end - at, rel=0.25)

    on("guiji", tmp_path, main, max_running=10)


def test_a_manifests_encoding_can_be_said_and_is_remembered(tmp_path: Path) -> None:
    """What cannot be told is refused; said once it holds for later starts, also when rows were added."""

    async def main(bulk: Bulk) -> None:
        path = tmp_path / "jobs.csv"
        base = f"{bulk.base['avatar']},{bulk.base['voice']}"

        def write(count: int) -> None:
            rows = [f"k{n},{base},Доброе утро {n}" for n in range(count)]
            path.write_text("\n".join(["key,avatar,voice,text", *rows]), encoding="cp1251")

        write(2)
        with pytest.raises(errors.ConfigurationError, match="encoding cannot be told"):
            await bulk.run(path)  # type: ignore[arg-type]
        assert states(await bulk.run(path, encoding="cp1251")) == {"done": 2}  # type: ignore[arg-type]
        write(3)
        assert states(await bulk.run(path)) == {"done": 3}  # type: ignore[arg-type]
        assert set(bulk.made()) == {f"Доброе утро {n}" for n in range(3)}

    on("guiji", tmp_path, main)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("budget", math.nan),
        ("budget", -1),
        ("budget", True),
        ("budget", "5000"),
        ("default_cost", math.inf),
        ("retries", "2"),
        ("max_failures", -1),
        ("submits", 0),
        ("downloads", 1.5),
        ("out", None),
        ("out", ""),
        ("out", 5),
        ("name", None),
        ("run", " "),
        ("journal", None),
        ("journal", 3),
        ("jobs", 5),
    ],
)
def test_an_option_that_is_none_is_refused_at_once(tmp_path: Path, option: str, value: Any) -> None:
    """Before a journal is made or anything is spent; a budget that is not a number would hold nothing back."""

    async def main(bulk: Bulk) -> None:
        options = {"jobs": bulk.jobs(3), "journal": tmp_path / "n.db", "out": tmp_path / "o", option: value}
        before = bulk.box.seen.created()
        with pytest.raises(errors.InvalidRequest, match=f"{option}: .* found"):
            await rest_of(bulk.client.bulk(options.pop("jobs"), **options))
        assert not (tmp_path / "n.db").exists()
        assert bulk.box.seen.created() == before

    on("hifly", tmp_path, main)
