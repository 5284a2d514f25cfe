"""The sandbox's memory and its renderer, without sockets."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit import studio
from avatarkit.errors import InvalidRequest
from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeAccount, FakeFailure, FakeFile, MediaOrder
from avatarkit.providers.hifly.fake import FAKE
from avatarkit.sandbox import AsyncSandbox, origins, render
from avatarkit.sandbox.discovery import find_fakes
from avatarkit.sandbox.files import FileStore, made_up, span_of
from avatarkit.sandbox.render import Renderer
from avatarkit.sandbox.world import Delay, SandboxWorld
from avatarkit.testing import VirtualClock, run_virtual


class Time:
    def __init__(self) -> None:
        self.now = 0.0


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def world(time):
    world = SandboxWorld(now=lambda: time.now, fakes={"hifly": FAKE})
    world.add_account(FakeAccount(provider="hifly", key="k", credits=100.0))
    return world


def _accept(world, task_id="t", **fields):
    account = world.account("hifly", "k")
    given_fields = {"endpoint": "POST /x", "kind": "video", "request": {}, **fields}
    return world.accept(account, task_id=task_id, **given_fields)


@given(st.text("ab=&+%1;é#", max_size=12))
def test_a_query_without_encoding_is_read_as_any_other(query):
    """The short way and the library's agree on every query."""
    assert origins._fields(query) == dict(parse_qsl(query, keep_blank_values=True))


def test_every_folder_with_a_fake_is_found():
    """HiFly is found by its folder; a fifth provider would be too."""
    found = find_fakes()
    assert found["hifly"] is FAKE
    assert all(fake.name == name for name, fake in found.items())


def test_states_follow_the_clock_and_rendering_holds_the_end(world, time):
    """Queued, running, then succeeded, but not before the file is complete."""
    world.on_accept = lambda task: None
    world.delays["video"] = Delay(queue=5, run=10)
    task = _accept(world)
    seen = []
    for now in (0, 4.9, 5, 14.9, 15, 20):
        time.now = now
        seen.append(task.status(now).value)
    assert seen == ["queued", "queued", "running", "running", "running", "running"]
    task.rendered_at = 20.0
    assert task.status(20) is Status.SUCCEEDED
    assert task.finished_at == 20


def test_unfinished_tasks_are_counted_right_through_all_changes(world, time):
    """Ends by the clock, by hand, by failure, late renderings and moves keep the count true."""
    account = world.account("hifly", "k")
    tasks = [_accept(world, str(n)) for n in range(5)]
    late = tasks[4]
    late.rendered_at = None
    assert world.unfinished(account, ("video",)) == 5
    world.move(tasks[0], time.now)
    assert world.unfinished(account, ("video",)) == 4
    world.move(tasks[1], 1000.0)
    time.now = 10.0
    assert world.unfinished(account, ("video",)) == 2
    assert world.unfinished(account, ("audio",)) == 0
    late.rendered_at = 10.0
    assert world.running() == 1
    time.now = 1000.0
    assert world.running() == 0


def test_money_is_taken_at_acceptance_and_planned_failures_are_used_up(world):
    """Each acceptance takes its cost; ``fail_next`` strikes as often as it was told, at its endpoint."""
    world.fail_next("POST /x", FakeFailure(code=7), 1)
    assert _accept(world, "1", cost=30.0).failure == FakeFailure(code=7)
    assert _accept(world, "2", cost=30.0).failure is None
    assert world.account("hifly", "k").credits == 40.0


def test_a_slow_rate_cap_spreads_over_more_than_a_second(world, time):
    """Half a request a second lets one through every two seconds."""
    account = world.account("hifly", "k")
    account.requests_per_second = 0.5
    assert world.throttle(account) is None
    time.now = 1.5
    assert world.throttle(account) == pytest.approx(0.5)
    time.now = 2.0
    assert world.throttle(account) is None


def test_urls_resolve_to_their_files_and_expired_ones_do_not(world, time):
    """Own URLs lead to files, broken own ones to nothing, foreign ones elsewhere; expired ones are dead."""
    time.now = 1000.0
    file, upload = world.new_upload(
        world.account("hifly", "k"), file_id="f", extension="mp4", content_type="video/mp4"
    )
    assert world.resolve(upload).file is file
    task = _accept(world)
    result = world.add_result(task, extension="mp4", content_type="video/mp4")
    url = world.link(result)
    assert world.resolve(url).file is result
    assert world.resolve(world.expired(url)).file is None
    assert world.resolve(url + "x").own
    assert not world.resolve("https://example.com/a.mp4").own
    assert not world.resolve(world.files_url + ".evil.example/a").own
    dead = world.expired(upload).removeprefix(world.files_url)
    refusal = world.links.check_upload(file, dead, {"content-type": "video/mp4"}, world.now())
    assert refusal.code == "AccessDenied"


@given(size=st.integers(0, 200_000), cut=st.integers(0, 200_000), length=st.integers(0, 70_000))
def test_made_up_files_are_the_same_in_pieces_and_whole(size, cut, length):
    """Any piece of a made-up file equals that piece of the whole."""
    file = FakeFile(id="x", provider="p", account="a", extension="mp4", content_type="video/mp4", size=size)
    assert made_up(file, cut, length) == made_up(file, 0, cut + length)[cut:]


@given(
    wanted=st.one_of(st.none(), st.text(max_size=12), st.from_regex(r"bytes=\d{0,3}-\d{0,3}", fullmatch=True))
)
def test_no_range_header_leads_outside_the_file(wanted):
    """Whatever the header says, the part lies within the file, and is not empty when it is partial."""
    span = span_of(wanted, None, '"e"', 100)
    assert 0 <= span.start <= span.stop <= 100
    assert span.status in (200, 206, 416)
    assert span.status != 206 or span.start < span.stop


def test_names_of_stored_files_never_come_from_requests():
    """An extension that is no plain word is left out of the file's name."""
    store = FileStore()
    try:
        assert store.new_path("../../etc/passwd").parent == store.folder
        assert store.new_path("../x").suffix == ""
        assert store.new_path("mp4").suffix == ".mp4"
    finally:
        store.remove()


def test_at_most_two_results_are_rendered_at_once(world, monkeypatch):
    """Two renderings meet in their threads, a third never joins them."""
    together, active, most, lock = threading.Barrier(2, timeout=20), 0, 0, threading.Lock()

    def fake_render(mode, path, order):
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        together.wait()
        with lock:
            active -= 1
        path.write_bytes(b"done")
        return 3.0

    monkeypatch.setattr(render, "_render", fake_render)

    async def main():
        store, ended = FileStore(), []
        renderer = Renderer(world, store, mode="plain", result_bytes=1, on_done=ended.append)
        world.on_accept = renderer.start
        for n in range(6):
            _accept(world, str(n), order=MediaOrder(media="video"))
        while len(ended) < 6:
            await asyncio.sleep(0.01)
        await renderer.aclose()
        store.remove()
        assert most == 2
        assert {task.seconds for task in ended} == {3.0}

    run_virtual(main)


def test_without_the_studio_auto_says_once_what_to_install(world, monkeypatch, caplog):
    """One log line names the extra, and results are plain files."""
    monkeypatch.setattr(studio, "available", lambda: False)
    monkeypatch.setattr(studio, "missing", lambda: ["av", "pillow"])
    with caplog.at_level(logging.WARNING, "avatarkit.sandbox"):
        renderer = Renderer(world, None, mode="auto", result_bytes=1, on_done=print)
    assert renderer.mode == "plain"
    assert len(caplog.records) == 1
    assert ".[studio]" in caplog.text
    assert "av, pillow" in caplog.text


@pytest.mark.parametrize("problem", [InvalidRequest("no face"), RuntimeError("decoder")])
def test_what_the_studio_cannot_digest_is_rendered_plainly(problem, monkeypatch, tmp_path: Path):
    """A broken upload never loses the task: the result is a plain but valid file."""

    def broken(*_args, **_options):
        raise problem

    for name in ("render_video", "render_audio", "speak", "sample_picture"):
        monkeypatch.setattr(studio, name, broken, raising=False)
    face = FakeFile(id="f", provider="p", account="a", extension="png", content_type="image/png")
    for media in ("video", "audio"):
        target = tmp_path / f"{media}.bin"
        seconds = render._render("studio", target, MediaOrder(media=media, face=face, seconds=2.0))
        assert seconds == pytest.approx(2.0, abs=0.2)
        assert target.stat().st_size > 100


def test_a_video_of_a_sound_that_is_not_kept_is_as_long_as_the_sound(tmp_path: Path):
    """An inline sound leaves nothing but its length: the studio's video has it, and nothing else is left behind."""
    folder = tmp_path / "files"
    folder.mkdir()
    target, portrait = folder / "a.mp4", render._portrait(folder, "")
    seconds = render._studio(target, MediaOrder(media="video", seconds=3.0))
    assert seconds == pytest.approx(3.0, abs=0.15)
    assert render.media_seconds(target) == pytest.approx(3.0, abs=0.15)
    assert sorted(folder.iterdir()) == sorted([target, portrait])


def test_the_length_of_a_wav_is_measured_and_rubbish_has_none(tmp_path):
    """A charged estimate can use the true length of an uploaded sound."""
    studio.plain_audio(tmp_path / "a.wav", 3.0, format="wav")
    assert render.media_seconds(tmp_path / "a.wav") == pytest.approx(3.0, abs=0.01)
    (tmp_path / "b.mp3").write_bytes(b"rubbish")
    assert render.media_seconds(tmp_path / "b.mp3") == 0.0


def test_the_state_can_be_read_from_another_thread_while_tasks_are_made():
    """The blocking side reads and moves tasks from its own thread without ever tripping over the loop's."""

    async def main():
        async with AsyncSandbox(render="tiny") as sandbox:
            stop, finished = threading.Event(), []

            def reader():
                while not stop.is_set():
                    sandbox.state()
                    sandbox.finish()
                finished.append(True)

            thread = threading.Thread(target=reader)
            thread.start()
            account = sandbox._world.account("hifly", sandbox.token)
            for n in range(500):
                sandbox._world.accept(account, task_id=str(n), endpoint="POST /x", kind="video", request={})
                sandbox._world.unfinished(account, ("video",))
                if n % 50 == 0:
                    await asyncio.sleep(0)
            stop.set()
            while thread.is_alive():
                await asyncio.sleep(0)
            assert finished == [True]

    asyncio.run(main())


def test_wrong_switches_and_providers_are_refused_at_once():
    """A typo in the settings is an InvalidRequest that lists what is allowed."""
    with pytest.raises(InvalidRequest, match="auth_failure"):
        AsyncSandbox(switches={"hifly": {"auth_failur": "json"}}, clock=VirtualClock())


def test_the_program_serves_until_it_is_interrupted():
    """``python -m avatarkit.sandbox`` prints its addresses, answers, and ends with 0 on SIGINT."""
    command = [sys.executable, "-W", "error", "-m", "avatarkit.sandbox", "--port", "0", "--render", "tiny"]
    root = str(Path(render.__file__).parents[2])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as process:
        try:
            lines = [process.stdout.readline() for _ in range(4 + len(find_fakes()))]
            url = re.search(r"http://127\.0\.0\.1:\d+/", lines[0]).group()
            with urllib.request.urlopen(url + "__sandbox__/state", timeout=20) as answer:
                assert answer.status == 200
            assert "/hifly/api/v2/hifly" in "".join(lines)
            assert all(any(line.startswith(name) for line in lines) for name in find_fakes())
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()
