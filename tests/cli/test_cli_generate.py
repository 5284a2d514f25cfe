"""``avatarkit generate`` and ``avatarkit task``."""

from __future__ import annotations

import errno
import os
import re
import time
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import SECRET, Box, Program, Ran, token_in

from avatarkit import AsyncHiFly
from avatarkit.cli.options import as_target, check_target
from avatarkit.models import Kind
from avatarkit.protocol.handle import Handle, to_token
from avatarkit.sandbox.faults import Fault, FaultKind

Run = Callable[..., Ran]


def chain_in(text: str) -> str:
    """The first token of a chain in *text*."""
    found = re.search(r"avkc1\.[A-Za-z0-9_-]+", text)
    assert found, text
    return found[0]


def chain(box: Box, picture: Path, *more: str) -> list[str]:
    """Arguments of a ``generate`` that takes two steps."""
    return ["generate", "--image", str(picture), "--voice", box.stock("voice"), "--text", "Hi", *more]


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Six seconds of silence as WAV."""
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(2 * 8000 * 6))
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A small picture."""
    from PIL import Image

    path = tmp_path / "face.png"
    Image.new("RGB", (64, 96), "pink").save(path)
    return path


def test_text_to_file(run: Run, box: Box, tmp_path: Path) -> None:
    """A text becomes a file: its path is all of standard output, the token comes on standard error before."""
    target = tmp_path / "out.mp4"
    ran = run(*box.speak(), "-o", str(target))
    assert (ran.code, ran.out) == (0, f"{target}\n")
    assert target.stat().st_size == 4096
    assert ran.err.index("submitted, token: avk1.") < ran.err.index("done:")


def test_json_names_everything(run: Run, box: Box, tmp_path: Path) -> None:
    """--json gives one document with path, size, token, and what made it; standard error stays for people."""
    target = tmp_path / "out.mp4"
    told = run(*box.speak(), "-o", str(target), "--title", "morning", "--json").document
    assert told["path"] == str(target)
    assert told["size"] == 4096
    assert told["status"] == "succeeded"
    assert told["title"] == "morning"
    assert told["token"].startswith("avk1.")
    assert told["avatar"] == box.stock("avatar")
    assert box.sandbox.tasks()[0]["title"] == "morning"


def test_quiet_still_tells_the_token(run: Run, box: Box, tmp_path: Path) -> None:
    """--quiet leaves the token of what was paid for, and nothing else, on standard error."""
    ran = run("--quiet", *box.speak(), "-o", str(tmp_path / "out.mp4"))
    assert ran.err.splitlines() == [f"submitted, token: {token_in(ran.err)}"]


def test_no_wait_prints_the_token(run: Run, box: Box) -> None:
    """--no-wait gives the token on standard output, and a later command goes on with it."""
    ran = run(*box.speak(), "--no-wait")
    assert ran.out == f"{token_in(ran.out)}\n"
    assert run("task", "wait", token_in(ran.out)).out == "succeeded\n"
    assert run(*box.speak(), "--no-wait", "--json").document["token"].startswith("avk1.")


@pytest.mark.parametrize("way", ["stdin", "file"])
def test_text_from_elsewhere(run: Run, box: Box, tmp_path: Path, way: str) -> None:
    """``--text -`` reads standard input and ``--text-file`` a file, both as UTF-8 with or without its mark."""
    text = "早上好，世界"  # noqa: RUF001
    file = tmp_path / "text.txt"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\n")
    faces = ["--avatar", box.stock("avatar"), "--voice", box.stock("voice"), "--no-wait"]
    if way == "stdin":
        ran = run("generate", *faces, "--text", "-", stdin=text.encode())
    else:
        ran = run("generate", *faces, "--text-file", str(file))
    assert ran.code == 0
    (task,) = box.sandbox._world.all_tasks.values()
    assert task.request["text"] == text


def test_subtitles_are_asked_for(run: Run, box: Box) -> None:
    """--subtitles burns the text in; without it the vendor's fields are not sent at all."""
    run(*box.speak(), "--no-wait", "--subtitles")
    run(*box.speak(), "--no-wait")
    first, second = box.sandbox._world.all_tasks.values()
    assert first.request["st_show"] == 1
    assert "st_show" not in second.request


def test_clone_from_picture_first(run: Run, box: Box, picture: Path, tmp_path: Path) -> None:
    """--image uploads the picture, clones an avatar, says that this is billed, and uses it."""
    ran = run(
        "generate", "--image", str(picture), "--voice", box.stock("voice"), "--text", "Hi",
        "-o", str(tmp_path / "out.mp4"), "--json",
    )  # fmt: skip
    assert ran.code == 0
    assert "(billed)" in ran.err
    video, avatar = box.sandbox.tasks()
    assert (video["kind"], avatar["kind"]) == ("video", "avatar")
    assert ran.document["avatar"] == avatar["yields"]
    assert avatar["yields"] in ran.err


def test_speak_a_recording(run: Run, box: Box, sound: Path, tmp_path: Path) -> None:
    """--audio uploads a recording and has the avatar speak it."""
    ran = run(
        "generate", "--avatar", box.stock("avatar"), "--audio", str(sound), "-o", str(tmp_path / "a.mp4")
    )
    assert ran.code == 0
    assert box.sandbox.seen.created("POST /video/create_by_audio") == 1


def test_nothing_is_cloned_for_a_bad_recording(run: Run, box: Box, picture: Path, tmp_path: Path) -> None:
    """A recording that the provider would refuse is found before an avatar is paid for."""
    short = tmp_path / "short.wav"
    with wave.open(str(short), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(16000))
    ran = run("generate", "--image", str(picture), "--audio", str(short))
    assert ran.code == 2
    assert box.sandbox.tasks() == []


def test_nothing_is_cloned_for_a_bad_text(run: Run, box: Box, picture: Path) -> None:
    """A title or text beyond the provider's limits is found before an avatar is paid for."""
    ran = run(
        "generate", "--image", str(picture), "--voice", "v", "--text", "x" * 10_001, "--title", "t" * 21,
        "--json",
    )  # fmt: skip
    assert ran.code == 2
    assert len(ran.error["problems"]) == 2
    assert box.sandbox.tasks() == []


def test_a_made_avatar_is_not_lost(run: Run, box: Box, picture: Path) -> None:
    """When the video is refused after the avatar was cloned and paid for, the error names the avatar."""
    arguments = ["generate", "--image", str(picture), "--voice", "no-such-voice", "--text", "Hi"]
    ran = run(*arguments)
    (avatar,) = box.sandbox.tasks()
    assert ran.code == 5
    assert f"The new avatar is {avatar['yields']}" in ran.err
    again = run(*arguments, "--json")
    assert again.error["made"] == {"avatar": box.sandbox.tasks()[0]["yields"]}
    assert again.error["tokens"] == [again.error["token"]]
    assert again.err.count("submitted, token") == 1


def test_existing_file_is_found_before_paying(run: Run, box: Box, tmp_path: Path) -> None:
    """An existing target stops the command before anything is sent; --force replaces it."""
    target = tmp_path / "out.mp4"
    target.write_bytes(b"precious")
    assert run(*box.speak(), "-o", str(target)).code == 2
    assert box.sandbox.tasks() == []
    assert target.read_bytes() == b"precious"
    assert run(*box.speak(), "-o", str(target), "--force").code == 0
    assert target.stat().st_size == 4096


def test_bad_targets_are_found_before_paying(
    run: Run, box: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that cannot be written, whatever its permission bits say, stops the command before anything is sent."""
    (tmp_path / "file").write_bytes(b"x")
    real = os.open

    def sealed(path: object, flags: int, *more: object, **named: object) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return real(path, flags, *more, **named)  # type: ignore[arg-type]

    assert run(*box.speak(), "-o", str(tmp_path / "file" / "out.mp4")).code == 2
    assert run(*box.speak(), "-o", f"{tmp_path}/file/").code == 2
    assert run(*box.speak(), "-o", str(tmp_path / ("x" * 300))).code == 2
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", sealed)
        for target in (
            str(tmp_path),
            str(tmp_path / "out.mp4"),
            str(tmp_path / "new" / "out.mp4"),
            f"{tmp_path}/a/b/",
        ):
            ran = run(*box.speak(), "-o", target)
            assert ran.code == 2
            assert "cannot be written" in ran.err
    assert not box.sandbox.seen.requests
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_trial_keeps_what_was_fetched(tmp_path: Path) -> None:
    """Trying a target neither leaves anything behind nor touches what an earlier download got."""
    part, note = tmp_path / "x.mp4.part", tmp_path / "x.mp4.part.json"
    part.write_bytes(b"half")
    note.write_text('{"validator": "\\"tag\\"", "total": 8}')
    for target in ("x.mp4", "new/y.mp4", "other/"):
        assert check_target(as_target(f"{tmp_path}/{target}"), force=False) == []
    assert {path.name for path in tmp_path.iterdir()} == {part.name, note.name}
    assert part.read_bytes() == b"half"


@pytest.mark.parametrize("name", ["new/", "a/b/"])
def test_a_slash_makes_a_folder(run: Run, box: Box, tmp_path: Path, name: str) -> None:
    """A target with a slash at its end is a folder, which is made, and the file gets a name with its suffix."""
    ran = run(*box.speak(), "-o", f"{tmp_path}/{name}", "--title", "morning")
    assert (ran.code, ran.out) == (0, f"{tmp_path / name / 'morning.mp4'}\n")
    token = token_in(ran.err)
    assert run("task", "wait", token, "-o", f"{tmp_path}/w/").out == f"{tmp_path}/w/morning.mp4\n"
    assert run("task", "download", token, "-o", f"{tmp_path}/d/").out == f"{tmp_path}/d/morning.mp4\n"


def test_folder_as_target_names_the_file(run: Run, box: Box, tmp_path: Path) -> None:
    """A folder as target gets a file named after the title, made safe; a second run does not overwrite it."""
    (tmp_path / "videos").mkdir()
    arguments = [*box.speak(), "--title", "a/b", "-o", str(tmp_path / "videos")]
    assert run(*arguments).code == 0
    assert [path.name for path in (tmp_path / "videos").iterdir()] == ["a_b.mp4"]
    assert run(*arguments).code == 2
    assert len(box.sandbox.tasks()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--voice", "v", "--text", "t"], "exactly one of --avatar"),
        (["--avatar", "a", "--image", "b.png", "--voice", "v", "--text", "t"], "exactly one of --avatar"),
        (["--avatar", "a", "--text", "t"], "--text needs --voice"),
        (["--avatar", "a"], "either --voice with --text, or --audio"),
        (["--avatar", "a", "--audio", "a.wav", "--text", "t"], "either --voice with --text, or --audio"),
        (["--avatar", "a", "--audio", "a.wav", "--subtitles"], "go with --text"),
        (["--avatar", "a", "--audio", "a.wav"], "there is no file a.wav"),
        (["--avatar", "a", "--voice", "v", "--text", "t", "--text-file", "f"], "not both"),
        (["--avatar", "a", "--voice", "v", "--text-file", "no-such-file"], "cannot be read"),
        (["--avatar", "a", "--voice", "v", "--text", "  "], "text"),
    ],
)
def test_wrong_combinations(run: Run, box: Box, arguments: list[str], words: str) -> None:
    """Options that do not go together end with code 2 before anything is sent."""
    ran = run("generate", *arguments)
    assert ran.code == 2
    assert words in ran.err
    assert not box.sandbox.seen.requests


def test_show(run: Run, box: Box) -> None:
    """``task show`` tells the status once, as lines or as a document."""
    token = token_in(run(*box.speak(), "--no-wait", "--title", "evening").out)
    ran = run("task", "show", token)
    assert "status      succeeded" in ran.out
    assert "evening" in ran.out
    assert run("task", "show", token, "--json").document["status"] == "succeeded"


def test_wait_and_save(run: Run, box: Box, tmp_path: Path) -> None:
    """``task wait -o`` saves the video; ``task download`` saves it once more."""
    token = token_in(run(*box.speak(), "--no-wait").out)
    first, second = tmp_path / "1.mp4", tmp_path / "2.mp4"
    assert run("task", "wait", token, "-o", str(first)).out == f"{first}\n"
    told = run("task", "download", token, "-o", str(second), "--json").document
    assert told["path"] == str(second)
    assert first.read_bytes() == second.read_bytes()
    assert run("task", "wait", token, "-o", str(first)).code == 2


def test_wait_gives_the_avatar(run: Run, box: Box, picture: Path) -> None:
    """For a clone ``task wait`` prints the new id, and -o is refused as there is no file."""
    run("generate", "--image", str(picture), "--voice", "no-such-voice", "--text", "x", "--no-wait")
    (task,) = box.sandbox.tasks()
    handle = Handle(
        provider="hifly",
        account=AsyncHiFly(SECRET).account_id,
        kind=Kind.AVATAR,
        task_id=task["id"],
        born=time.time(),
    )
    token = to_token(handle)
    assert run("task", "wait", token).out.strip() == task["yields"]
    refused = run("task", "wait", token, "-o", "x.mp4")
    assert refused.code == 2
    assert "no file to save" in refused.err
    assert task["kind"] == "avatar"


def test_download_before_the_end(run: Run, start_box: Callable[..., Box], tmp_path: Path) -> None:
    """``task download`` of a running task ends with 7, the token and the command to wait with; no file is left."""
    box = start_box(run_seconds=float("inf"))
    token = token_in(run(*box.speak(), "--no-wait").out)
    ran = run("task", "download", token, "-o", str(tmp_path / "x.mp4"))
    assert ran.code == 7
    assert f"avatarkit task wait {token}" in ran.err
    assert list(tmp_path.iterdir()) == []


# -- several steps -----------------------------------------------------------------------------------------------------


def test_the_chains_token_comes_first_and_then_the_videos(
    run: Run, box: Box, picture: Path, tmp_path: Path
) -> None:
    """Of a chain, its own token is told as soon as there is one, then the last step's; that of the clone is not."""
    ran = run(*chain(box, picture, "-o", str(tmp_path / "out.mp4")))
    told = re.findall(r"submitted, token: (avkc?1)\.", ran.err)
    assert told == ["avkc1", "avk1"]
    assert "step 1 of 2 (avatars.create_by_image)" in ran.err
    assert "step 2 of 2 (videos.create_by_tts)" in ran.err
    assert box.sandbox.seen.created() == 2


def test_a_chain_is_gone_on_with_by_its_token(run: Run, box: Box, picture: Path, tmp_path: Path) -> None:
    """--no-wait makes the first step only; show and download submit nothing; wait makes the rest, and saves it."""
    ran = run(*chain(box, picture, "--no-wait"))
    token = chain_in(ran.out)
    assert ran.out == f"{token}\n"
    assert f"avatarkit task wait {token}" in ran.err
    for _ in range(2):
        shown = run("task", "show", token)
        assert "step         1 of 2" in shown.out or "step        1 of 2" in shown.out
        assert run("task", "show", token, "--json").document["step"].startswith("1 of 2")
    early = run("task", "download", token, "-o", str(tmp_path / "early.mp4"))
    assert early.code == 7
    assert f"avatarkit task wait {token}" in early.err
    assert box.sandbox.seen.created() == 1
    target = tmp_path / "out.mp4"
    waited = run("task", "wait", token, "-o", str(target))
    assert (waited.code, waited.out) == (0, f"{target}\n")
    assert box.sandbox.seen.created() == 2
    final = token_in(waited.err)
    assert run("task", "download", final, "-o", str(tmp_path / "again.mp4")).code == 0
    assert "token" not in run("task", "wait", final).err


def test_a_chain_that_runs_out_of_time(run: Run, start_box: Callable[..., Box], picture: Path) -> None:
    """Code 7 and the chain's token, not the clone's."""
    box = start_box(run_seconds=float("inf"))
    ran = run(*chain(box, picture, "--timeout", "0.3", "--json"))
    assert ran.code == 7
    assert ran.error["token"] == chain_in(ran.err)
    assert ran.error["tokens"] == [chain_in(ran.err)]
    assert chain_in(ran.error["hint"]) == chain_in(ran.err)


def test_a_chains_second_step_in_doubt(run: Run, box: Box, picture: Path) -> None:
    """Code 8; the token that is told knows of the doubt, so that waiting for it does not pay twice."""
    box.sandbox.faults.add("POST /video/create_by_tts", "reset_after")
    ran = run(*chain(box, picture, "--json"))
    assert ran.code == 8
    (token,) = ran.error["tokens"]
    assert ran.error["made"]["avatar"]
    again = run("task", "wait", token)
    assert again.code == 8
    assert box.sandbox.seen.requests["POST /video/create_by_tts"] == 1


def test_a_chains_first_step_fails(run: Run, box: Box, picture: Path) -> None:
    """Code 5, and nothing to go on with."""
    box.sandbox.fail_next()
    ran = run(*chain(box, picture, "--json"))
    assert ran.code == 5
    assert "tokens" not in ran.error
    assert box.sandbox.seen.created() == 1


def test_ctrl_c_amid_the_second_submission(
    launch: Callable[..., Program], box: Box, picture: Path, tmp_path: Path
) -> None:
    """The submission comes to its end, and its token is the one to go on with: the chain's would pay twice."""
    slow = Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=1.5)
    box.sandbox.faults.add("POST /video/create_by_tts", slow)
    program = launch(*chain(box, picture), environment=box.environment)
    program.until("use it again with --avatar")
    while not box.sandbox.seen.requests["POST /video/create_by_tts"]:
        time.sleep(0.02)
    program.stop()
    ran = program.end()
    assert ran.code == 130
    after = ran.err.partition("avatarkit: stopped")[2]
    assert "avkc1." not in after
    assert box.sandbox.tasks()[0]["kind"] == "video"
    assert f"avatarkit task wait {token_in(after)}" in after
    assert box.sandbox.seen.created() == 2


@pytest.mark.parametrize("token", ["avkc1.", "avkc1.AAAA", "avkc1.xx yy", "avkc1." + "A" * 999])
def test_a_damaged_chain_token(run: Run, box: Box, token: str) -> None:
    """Code 2 and no traceback."""
    for command in ("show", "wait"):
        assert run("task", command, token).code == 2
    assert not box.sandbox.seen.requests


def test_a_chain_token_of_other_credentials(
    run: Run, box: Box, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, and nothing is sent."""
    token = chain_in(run(*chain(box, picture, "--no-wait")).out)
    monkeypatch.setenv("HIFLY_TOKEN", "another-one")
    before = box.sandbox.seen.requests.total()
    ran = run("task", "wait", token)
    assert ran.code == 2
    assert "other credentials" in ran.err
    assert box.sandbox.seen.requests.total() == before


# -- options -----------------------------------------------------------------------------------------------------------


def test_options_of_the_provider(run: Run, box: Box) -> None:
    """--option takes numbers, words and quoted words."""
    run(*box.speak(), "--no-wait", "--option", "aigc-flag=0", "--option", 'pipeline="1.5"')
    (task,) = box.sandbox._world.all_tasks.values()
    assert task.request["aigc_flag"] == 0
    assert task.request["pipeline"] == "1.5"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["nonsense"], "name=value"),
        (["=1"], "name=value"),
        (["pipeline=a", "pipeline=b"], "found twice"),
        (["nonsense=1"], "'nonsense' found"),
        (["aigc_flag=NaN"], "aigc_flag"),
    ],
)
def test_wrong_options(run: Run, box: Box, option: list[str], words: str) -> None:
    """An option that the route has not, or in no form, ends with code 2 before anything is sent."""
    ran = run(*box.speak(), *(part for each in option for part in ("--option", each)))
    assert ran.code == 2
    assert words in ran.err
    assert not box.sandbox.seen.requests


@pytest.mark.parametrize("wish", [["--prompt", "waves"], ["--size", "1080p"]])
def test_what_the_provider_has_not(run: Run, box: Box, wish: list[str]) -> None:
    """Code 2, with the providers that can where there are some; nothing is sent."""
    ran = run(*box.speak(), *wish)
    assert ran.code == 2
    assert "HiFly cannot make" in ran.err
    assert not box.sandbox.seen.requests


# -- object stores -----------------------------------------------------------------------------------------------------


def test_a_store_is_looked_into_before_paying(
    run: Run, box: Box, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A store that is not there, or whose URL is none, ends the command before anything is sent."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.chdir(tmp_path)
    for url in ("s3://bucket/out.mp4?nonsense=1", "s3://user:password@bucket/out.mp4"):
        ran = run(*box.speak(), "-o", url)
        assert ran.code == 2
        assert "password" not in ran.err
    assert not box.sandbox.seen.requests
    assert list(tmp_path.iterdir()) == []
