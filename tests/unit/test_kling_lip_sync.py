"""Kling's lip-sync against its fake: where a sound ends when nobody says so, and local videos."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from avatarkit.errors import InvalidRequest, UnsupportedOperation
from avatarkit.protocol.samples import wav
from avatarkit.providers.kling import generate
from avatarkit.providers.kling.client import AsyncKling
from avatarkit.providers.kling.models import Face, TtsAudio
from avatarkit.request import VideoRequest
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.sandbox_staging import SandboxStaging

VIDEO, SOUND = "https://media.example.com/v.mp4", "https://media.example.com/a.mp3"
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(64)
Body = Callable[[AsyncSandbox, AsyncKling], Awaitable[None]]


def play(main: Body, *, staging: bool = False, **options: Any) -> None:
    """Run *main* with a sandbox and a client, that stages there if asked to."""

    async def run() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(render="tiny", clock=clock) as box:
            given = {"clock": clock, "base_url": box.base_url("kling"), "seed": 1, **options}
            if staging:
                given["staging"] = SandboxStaging(box, clock=clock)
            async with AsyncKling(box.token, **given) as kling:
                await main(box, kling)

    run_virtual(run)


def cut(box: AsyncSandbox) -> tuple[int, int, int]:
    """Begin, end and place of the sound in the last task, in milliseconds."""
    (chosen,) = box.seen.tasks[-1]["body"]["face_choose"]
    return chosen["sound_start_time"], chosen["sound_end_time"], chosen["sound_insert_time"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"sound_file": wav(4.0)}, (0, 4000, 0)),
        ({"sound_file": wav(4.0), "sound_start": 1.5}, (1500, 4000, 0)),
        ({"sound_file": wav(12.0, rate=800)}, (0, 10_000, 0)),
        ({"sound_file": wav(12.0, rate=800), "insert_at": 3}, (0, 7000, 3000)),
        ({"sound_file": wav(12.0, rate=800), "sound_start": 1, "insert_at": 3}, (1000, 8000, 3000)),
        ({"sound_file": wav(12.0, rate=800), "face": Face(id="0")}, (0, 12_000, 0)),
        ({"sound_file": wav(12.0, rate=800), "face": "0", "face_end": 6.5}, (0, 6500, 0)),
        ({"sound_file": SOUND, "sound_seconds": 4.5678}, (0, 4567, 0)),
        ({"sound_file": wav(4.0), "sound_end": 2.5}, (0, 2500, 0)),
    ],
)
def test_a_sound_goes_on_to_its_end(arguments: dict[str, Any], expected: tuple[int, int, int]) -> None:
    """To the recording's end, cut down to whole milliseconds, and no longer than the face is to be seen."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        session = await kling.lip_sync.identify_face(video_url=VIDEO)
        await kling.lip_sync.create(**{"session": session, "face": session.first_face, **arguments})
        assert cut(box) == expected

    play(main)


def test_speech_of_the_vendors_knows_its_length() -> None:
    """A TtsAudio brings its duration along; its id alone does not."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        speech = await kling.audios.create_by_tts(
            text="good morning to all of you who are still out there", voice_id="AOT", voice_language="en"
        )
        assert speech.duration is not None
        session = await kling.lip_sync.identify_face(video_url=VIDEO)
        await kling.lip_sync.create(session=session, face=session.first_face, audio_id=speech)
        assert cut(box) == (0, int(speech.duration * 1000), 0)
        with pytest.raises(InvalidRequest, match="sound_end"):
            await kling.lip_sync.create(session=session, face="0", audio_id=speech.id)
        assert len(box.seen.tasks) == 1

    play(main)


def test_no_sound_goes_beyond_a_minute() -> None:
    """The vendor takes 60 s; the rest of a longer speech is left away."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        long = TtsAudio(id="a", duration=75.0)
        with pytest.raises(InvalidRequest) as caught:
            await kling.lip_sync.create(session="s", face="0", audio_id=long, sound_start=59)
        assert "1 s of sound" in str(caught.value)

    play(main)


@pytest.mark.parametrize("preflight", [True, False])
def test_a_length_is_measured_or_asked_for(preflight: bool) -> None:
    """A local file is measured also where preflight is off; what cannot be measured needs sound_end."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        session = await kling.lip_sync.identify_face(video_url=VIDEO)
        await kling.lip_sync.create(session=session, face="0", sound_file=wav(3.0))
        assert cut(box) == (0, 3000, 0)
        for wrong in ({"sound_file": SOUND}, {"sound_file": SOUND, "sound_seconds": 1.0}):
            with pytest.raises(InvalidRequest) as caught:
                await kling.lip_sync.create(session=session, face="0", **wrong)
            assert len(caught.value.problems) == 1
            assert caught.value.problems[0].startswith("sound_end")
        with pytest.raises(InvalidRequest, match="sound_file: none given") as caught:
            await kling.lip_sync.create(session=session, face="0")
        assert len(caught.value.problems) == 1
        assert len(box.seen.tasks) == 1

    play(main, preflight=preflight)


def test_a_local_video_is_staged(tmp_path: Path) -> None:
    """The faces of a file are looked for at the address where it was put."""
    film = tmp_path / "presenter.mp4"
    film.write_bytes(MP4)

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        session = await kling.lip_sync.identify_face(video=film)
        assert session.first_face.id == "0"
        assert sum(box.seen.uploads.values()) == 1

    play(main, staging=True, preflight=False)


def test_a_local_video_needs_a_staging() -> None:
    """Without one nothing is sent, and nothing is paid for."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        with pytest.raises(UnsupportedOperation) as caught:
            await kling.lip_sync.identify_face(video=MP4)
        assert "staging" in caught.value.hint
        assert not box.seen.requests

    play(main, preflight=False)


def test_a_local_video_is_checked_before_it_is_sent() -> None:
    """A WAV file is no video."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await kling.lip_sync.identify_face(video=wav(3.0))
        assert "mp4" in str(caught.value)
        assert not box.seen.requests

    play(main, staging=True)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"video": VIDEO, "video_url": VIDEO},
        {"video": VIDEO, "video_id": "1"},
        {"video_url": VIDEO, "video_id": "1"},
    ],
)
def test_exactly_one_video(given: dict[str, Any]) -> None:
    """None or two are refused, in words that name the three."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await kling.lip_sync.identify_face(**given)
        assert "video, video_id and video_url" in str(caught.value)
        assert not box.seen.requests

    play(main)


@pytest.mark.parametrize(
    ("speech", "requests"),
    [
        ({"text": "good morning to all of you who are still out there", "voice": "AOT"}, 3),
        ({"audio": wav(4.0)}, 2),
    ],
)
def test_the_plan_of_a_talking_video_can_be_carried_out(speech: dict[str, Any], requests: int) -> None:
    """Its steps, one after the other, make one task with the whole sound and without the old one."""

    async def main(box: AsyncSandbox, kling: AsyncKling) -> None:
        made: dict[int, dict[str, Any]] = {}
        for at, step in enumerate(generate.plan(VideoRequest(video=VIDEO, **speech)).steps):
            resource, _, method = step.operation.partition(".")
            answer = await getattr(getattr(kling, resource), method)(**step.filled(made))
            made[at] = {}
            for name, path in step.keeps.items():
                value = answer
                for part in path.split("."):
                    value = getattr(value, part)
                made[at][name] = value
        assert (await answer.wait()).url
        begin, end, insert = cut(box)
        assert (begin, insert) == (0, 0)
        assert end == (int(made[0]["seconds"] * 1000) if "text" in speech else 4000)
        (chosen,) = box.seen.tasks[-1]["body"]["face_choose"]
        assert chosen["original_audio_volume"] == 0
        assert sum(count for name, count in box.seen.requests.items() if name.startswith("POST")) == requests

    play(main)
