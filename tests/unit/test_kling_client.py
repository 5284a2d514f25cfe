"""Kling's client against the sandbox, in virtual time: credentials, bodies with files, batches, lost submissions."""

from __future__ import annotations

import asyncio
import base64
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from avatarkit.errors import (
    AuthenticationError,
    BadRequest,
    ConfigurationError,
    InvalidRequest,
    MissingCredentials,
    NotFound,
    RateLimited,
    SubmissionInDoubt,
)
from avatarkit.models import Finding, Status
from avatarkit.protocol.samples import png, wav
from avatarkit.providers.kling.client import AsyncKling
from avatarkit.providers.kling.models import TtsAudio
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.settings import RateLimit
from avatarkit.testing import VirtualClock, run_virtual

IMAGE, SOUND = "https://media.example.com/a.png", "https://media.example.com/a.mp3"
CREATE = "POST /v1/videos/avatar/image2video"
GOOD: dict[str, Any] = {"image": IMAGE, "sound_file": SOUND}
Body = Callable[[AsyncSandbox, AsyncKling], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KLING_API_KEY", "KLING_ACCESS_KEY", "KLING_SECRET_KEY", "KLING_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


class SkewedClock(VirtualClock):
    """The sandbox's clock, wrong by some seconds."""

    def __init__(self, wrong: float) -> None:
        self.wrong = wrong

    def time(self) -> float:
        """The sandbox's time, and how wrong we are."""
        return super().time() + self.wrong


def pair(box: AsyncSandbox, **options: Any) -> AsyncKling:
    """A client with an access key and a secret key."""
    given = {"clock": VirtualClock(), "base_url": box.base_url("kling"), "seed": 1, **options}
    return AsyncKling(access_key=box.token, secret_key=box.secret, **given)


def play(main: Body, *, client: dict[str, Any] | None = None, **options: Any) -> None:
    """Run *main* with a sandbox and a client that has an API key."""

    @asynccontextmanager
    async def house() -> AsyncIterator[tuple[AsyncSandbox, AsyncKling]]:
        settings = {"render": "tiny", "clock": VirtualClock(), **options}
        async with AsyncSandbox(**settings) as box:
            given = {"clock": VirtualClock(), "base_url": box.base_url("kling"), "seed": 1, **(client or {})}
            async with AsyncKling(box.token, **given) as kling:
                yield box, kling

    async def run() -> None:
        async with house() as (box, kling):
            await main(box, kling)

    run_virtual(run)


# -- credentials --------------------------------------------------------------------------------------------------


def test_the_choice_of_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API key, or both other keys; what is given goes before the environment, there the API key first."""
    with pytest.raises(MissingCredentials, match=r"KLING_API_KEY.*KLING_ACCESS_KEY.*KLING_SECRET_KEY"):
        AsyncKling()
    with pytest.raises(MissingCredentials, match="KLING_SECRET_KEY"):
        AsyncKling(access_key="ak")
    with pytest.raises(ConfigurationError, match="not both"):
        AsyncKling("key", access_key="ak", secret_key="sk")
    by_key, by_pair = AsyncKling("key"), AsyncKling(access_key="ak", secret_key="sk")
    assert by_key.account_id != by_pair.account_id
    monkeypatch.setenv("KLING_ACCESS_KEY", "ak")
    monkeypatch.setenv("KLING_SECRET_KEY", "sk")
    assert AsyncKling().account_id == by_pair.account_id
    assert AsyncKling("key").account_id == by_key.account_id
    monkeypatch.setenv("KLING_API_KEY", "key")
    assert AsyncKling().account_id == by_key.account_id
    assert AsyncKling(access_key="ak").account_id == by_pair.account_id


def test_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    """base_url goes before the region, the region before KLING_BASE_URL, that before Singapore."""

    def host(**options: Any) -> str:
        return AsyncKling("key", **options)._account.base_url

    assert host() == "https://api-singapore.klingai.com"
    assert host(region="beijing") == "https://api-beijing.klingai.com"
    monkeypatch.setenv("KLING_BASE_URL", "http://127.0.0.1:9/kling")
    assert host() == "http://127.0.0.1:9/kling"
    assert host(region="singapore") == "https://api-singapore.klingai.com"
    assert host(region="beijing", base_url="http://127.0.0.1:8") == "http://127.0.0.1:8"
    with pytest.raises(ConfigurationError, match="mars"):
        host(region="mars")


def test_signed_tokens_carry_a_task_to_its_end() -> None:
    """Access key and secret key make and finish a task, also an hour later with another token."""

    async def main(box: AsyncSandbox, _: AsyncKling) -> None:
        async with pair(box) as kling:
            task = await kling.videos.create_avatar(**GOOD)
            assert (await task.wait(timeout=7200)).duration == 10.0
            assert await kling.videos.list()
            with pytest.raises(AuthenticationError):
                await kling.tasks.query(task_ids=[task.id])

    play(main, run_seconds=3600)


@pytest.mark.parametrize("wrong", [600.0, -7200.0])
def test_a_wrong_clock_is_cured(wrong: float) -> None:
    """Ten minutes ahead or two hours behind: refused once, corrected, and the submission is accepted once."""

    async def main(box: AsyncSandbox, _: AsyncKling) -> None:
        from avatarkit.providers.kling import fake

        honest = fake.FAKE.handle

        class Dated(type(fake.FAKE)):  # type: ignore[misc]
            def handle(self, request: Any, world: Any) -> Any:
                from email.utils import formatdate

                answer = honest(request, world)
                headers = {**answer.headers, "date": formatdate(world.now(), usegmt=True)}
                return attrs.evolve(answer, headers=headers)

        box._world.fakes["kling"] = Dated()  # type: ignore[index]
        async with pair(box, clock=SkewedClock(wrong)) as kling:
            task = await kling.videos.create_avatar(**GOOD)
            assert await task.wait()
        assert box.seen.requests[CREATE] == 2
        assert len(box.seen.tasks) == 1

    play(main)


# -- files in the body --------------------------------------------------------------------------------------------


def _noise(size: int) -> bytes:
    return (b"\x89PNG" + bytes(range(251)) * (size // 251 + 1))[:size]


def test_files_arrive_as_bare_base64_without_being_held(tmp_path: Path) -> None:
    """Nine megabytes of picture and four of sound arrive bit for bit in one JSON object."""
    picture = png(320, 320) + _noise(9_000_001)
    sound = wav(100.0, rate=40_000)
    paths = tmp_path / "face.png", tmp_path / "hello.wav"
    for path, content in zip(paths, (picture, sound), strict=True):
        path.write_bytes(content)

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        held: list[Any] = []
        real = box._world.fakes["kling"]

        class Keeping(type(real)):  # type: ignore[misc]
            def handle(self, request: Any, world: Any) -> Any:
                held.append(request.body)
                return real.handle(request, world)

        box._world.fakes["kling"] = Keeping()  # type: ignore[index]
        task = await kling.videos.create_avatar(paths[0], sound_file=paths[1], external_task_id="big")
        assert (await task.wait()).duration == 100.0
        import orjson

        body = orjson.loads(held[0])
        assert base64.b64decode(body["image"], validate=True) == picture
        assert base64.b64decode(body["sound_file"], validate=True) == sound
        assert body["external_task_id"] == "big"

    play(main)


def test_making_the_request_copies_no_file(tmp_path: Path) -> None:
    """Preparing a body of 9 MB of files allocates less than a megabyte."""
    from avatarkit.providers.kling import limits
    from avatarkit.providers.kling.material import prepare, streamed

    path = tmp_path / "face.png"
    path.write_bytes(png(320, 320) + _noise(9_000_000))

    async def main() -> None:
        tracemalloc.start()
        material = await prepare("image", path, limits.IMAGE, [], check=True)
        assert material is not None
        stream = streamed({"image": material.value, "nested": [{"x": 1}]})
        assert stream is not None
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert stream.size > 12_000_000
        assert peak < 1_000_000

    asyncio.run(main())


# -- many tasks ---------------------------------------------------------------------------------------------------


def test_batches_by_id_and_by_list() -> None:
    """Thirty tasks waited for together cost a few requests, with either kind of credentials."""

    async def wait_for_all(box: AsyncSandbox, kling: AsyncKling) -> dict[str, int]:
        box.seen.requests.clear()
        tasks = [await kling.videos.create_avatar(**GOOD) for _ in range(30)]
        films = await asyncio.gather(*(task.wait() for task in tasks))
        assert [film.task_id for film in films] == [task.id for task in tasks]
        assert all(film.cost == 4.0 for film in films)
        return {name: count for name, count in box.seen.requests.items() if name.startswith("GET")}

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        by_ids = await wait_for_all(box, kling)
        assert set(by_ids) <= {"GET /tasks", "GET /v1/videos/avatar/image2video/{id}"}
        async with pair(box, rate_limit=RateLimit(per_second=100)) as other:
            by_list = await wait_for_all(box, other)
        assert "GET /tasks" not in by_list
        assert by_list["GET /v1/videos/avatar/image2video"] > 0
        for looks in (by_ids, by_list):
            assert sum(looks.values()) < 60

    play(main, client={"rate_limit": RateLimit(per_second=100)}, run_seconds=240)


def test_tasks_that_the_batch_does_not_show_are_found_singly() -> None:
    """That /tasks shows avatar tasks is one prober's word: without it, waits end all the same."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        tasks = [await kling.videos.create_avatar(**GOOD) for _ in range(3)]
        for film in await asyncio.gather(*(task.wait() for task in tasks)):
            assert film.url

    play(main, switches={"kling": {"legacy_in_tasks": False}}, run_seconds=30)


def test_a_lip_sync_task_goes_on_from_its_token() -> None:
    """Made by speech on a video of Kling's own; another client waits for it by the token alone."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        made = await kling.videos.create_avatar(**GOOD)
        await made.wait()
        shown = (await kling.videos.get(made.id)).snapshot.result["id"]
        speech = await kling.audios.create_by_tts(
            text="good morning to all of you who are still out there", voice_id="AOT", voice_language="en"
        )
        assert isinstance(speech, TtsAudio)
        session = await kling.lip_sync.identify_face(video_id=shown)
        task = await kling.lip_sync.create(
            session=session, face=session.faces[0], audio_id=speech, sound_end=3
        )
        assert task.id.startswith("advanced-lip-sync/")
        async with (
            pair(box) as other,
            AsyncKling(box.token, clock=VirtualClock(), base_url=box.base_url("kling")) as same,
        ):
            assert (await same.task(task.to_token()).wait()).url
            assert (await other.lip_sync.get(task.id)).id == task.id
            with pytest.raises(NotFound):
                await other.videos.get(task.id)

    play(main)


# -- lost submissions ---------------------------------------------------------------------------------------------


async def _lose(box: AsyncSandbox, kling: AsyncKling, *, made: bool, **more: Any) -> SubmissionInDoubt:
    body = b'{"code":5002,"message":"timeout","request_id":"r"}'
    box.faults.add(CREATE, Fault(kind=FaultKind.ANSWER, accept=made, status=504, body=body))
    with pytest.raises(SubmissionInDoubt) as caught:
        await kling.videos.create_avatar(**GOOD, **more)
    return caught.value


def test_a_lost_submission_is_found_by_its_external_id() -> None:
    """5002 after the task was made: one task, found with a token that works, with either kind of credentials."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        for client in (kling, pair(box)):
            box.seen.tasks.clear()
            doubt = await _lose(box, client, made=True)
            assert doubt.ticket.marker.startswith("ak-")
            found = await client.reconcile(doubt.ticket)
            assert found.finding is Finding.FOUND
            assert client.task(found.token).id == box.seen.tasks[0]["id"]
            assert await client.task(found.token).wait()
            assert len(box.seen.tasks) == 1
            await client.aclose()

    play(main)


def test_a_submission_that_made_nothing_is_absent_once_time_has_passed() -> None:
    """Right after the loss the vendor may still be at it; two minutes later nothing is nothing."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        doubt = await _lose(box, kling, made=False, external_task_id="mine")
        early = await kling.reconcile(doubt.ticket)
        assert early.finding is Finding.CANNOT_TELL
        await asyncio.sleep(121)
        late = await kling.reconcile(doubt.ticket)
        assert late.finding is Finding.ABSENT
        assert "'mine'" in late.explanation
        assert (await kling.videos.create_avatar(**GOOD, external_task_id="mine")).marker == "mine"

    play(main)


def test_an_older_task_with_the_user_s_id_is_not_taken_for_the_lost_one() -> None:
    """A refusal that got lost must not turn an old task into this one."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        old = await kling.videos.create_avatar(**GOOD, external_task_id="mine")
        await asyncio.sleep(3600)
        doubt = await _lose(box, kling, made=True, external_task_id="mine")
        found = await kling.reconcile(doubt.ticket)
        assert (found.finding, found.candidates) == (Finding.CANNOT_TELL, (old.id,))

    play(main)


def test_an_id_that_was_used_before() -> None:
    """The user's own id twice is a refusal with a hint; one of ours twice can only be our own request, and is taken."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        first = await kling.videos.create_avatar(**GOOD, external_task_id="mine")
        with pytest.raises(BadRequest, match="used before") as caught:
            await kling.videos.create_avatar(**GOOD, external_task_id="mine")
        assert "videos.get" in caught.value.hint
        from avatarkit.providers.kling import resources

        class Repeating:
            @staticmethod
            def token_hex(_: int) -> str:
                return "0" * 20

        patch = pytest.MonkeyPatch()
        patch.setattr(resources, "secrets", Repeating)
        task = await kling.videos.create_avatar(**GOOD)
        again = await kling.videos.create_avatar(**GOOD)
        patch.undo()
        assert again.id == task.id != first.id
        assert len(box.seen.tasks) == 2
        assert await again.wait()

    play(main)


def test_a_lost_lip_sync_is_found_where_tasks_can_be_asked_for() -> None:
    """By an API key through /tasks; with a signed token nothing can be said."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        for client, finding in ((kling, Finding.FOUND), (pair(box), Finding.CANNOT_TELL)):
            session = await client.lip_sync.identify_face(video_url="https://media.example.com/v.mp4")
            box.faults.add("POST /v1/videos/advanced-lip-sync", "reset_after")
            with pytest.raises(SubmissionInDoubt) as caught:
                await client.lip_sync.create(session=session, face="0", sound_file=SOUND, sound_end=4)
            found = await client.reconcile(caught.value.ticket)
            assert found.finding is finding
            if finding is Finding.FOUND:
                assert await client.task(found.token).wait()
            await client.aclose()

    play(main)


# -- billed, and answered at once ---------------------------------------------------------------------------------

TTS: dict[str, Any] = {"text": "你好", "voice_id": "genshin_vindi2"}
SPEAK = "POST /v1/audio/tts"


@pytest.mark.parametrize(
    "fault", ["reset_after", "502_html_before", "truncated", "html_as_json", "hang_after"]
)
def test_speech_that_may_have_been_made_is_not_asked_for_again(fault: str) -> None:
    """Whatever happens to the answer, the request went out once, and the doubt says so."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        box.faults.add(SPEAK, fault)
        with pytest.raises(SubmissionInDoubt) as caught:
            await kling.audios.create_by_tts(**TTS)
        assert box.seen.requests[SPEAK] == 1
        assert (await kling.reconcile(caught.value.ticket)).finding is Finding.CANNOT_TELL
        assert (await kling.audios.create_by_tts(**TTS)).cost == 0.05

    play(main)


def test_speech_that_surely_was_not_made_is_asked_for_again() -> None:
    """A provider that is away for a second, and a refusal for too many requests, cost a pause."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        box.refuse(1.0)
        assert (await kling.audios.create_by_tts(**TTS)).id
        slow = b'{"code":1302,"message":"too many","request_id":"r"}'
        box.faults.add(SPEAK, Fault(kind=FaultKind.ANSWER, accept=False, status=429, body=slow), times=2)
        assert (await kling.audios.create_by_tts(**TTS)).id
        box.faults.add(SPEAK, Fault(kind=FaultKind.ANSWER, accept=False, status=429, body=slow), times=99)
        with pytest.raises(RateLimited):
            await kling.audios.create_by_tts(**TTS)
        box.faults.clear()
        with pytest.raises(NotFound):
            await kling.audios.create_by_tts(text="x", voice_id="nobody")

    play(main)


# -- the rest -----------------------------------------------------------------------------------------------------


def test_costs_keep_to_one_a_second() -> None:
    """Four queries at once go out a second apart; none is refused."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        began = asyncio.get_running_loop().time()
        found = await asyncio.gather(*(kling.account.credit() for _ in range(4)))
        assert [credit.left for credit in found] == [10_000.0] * 4
        assert 3.0 <= asyncio.get_running_loop().time() - began < 4.0
        assert box.seen.requests["GET /account/costs"] == 4

    play(main)


def test_every_task_is_iterated_once() -> None:
    """Pages that shift between two requests give no task twice."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        ids = [(await kling.videos.create_avatar(**GOOD)).id for _ in range(5)]
        seen: list[str] = []
        async for record in kling.videos.iterate(size=2):
            if not seen:
                await kling.videos.create_avatar(**GOOD)
            seen.append(record.id)
        assert seen == ids[::-1]
        record = await kling.videos.get(ids[0])
        assert (record.id, record.status) == (ids[0], Status.RUNNING)
        assert record.created_at is not None

    play(main, run_seconds=900)


def test_a_data_address_and_odd_material_are_refused_locally() -> None:
    """Neither a ``data:`` address, nor a folder, nor anything that is no file goes out."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        for image in ("data:image/png;base64,iVBORw0KGgo=", "/", 5, b"", "no-such-file.png"):
            with pytest.raises(InvalidRequest, match="image"):
                await kling.videos.create_avatar(image, sound_file=SOUND)  # type: ignore[arg-type]
        assert sum(box.seen.requests.values()) == 0

    play(main)
