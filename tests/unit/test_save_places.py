"""Where a result may be saved to, and where it says it lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

import avatarkit
from avatarkit.errors import InvalidRequest
from avatarkit.transport.download import Downloaded, checked
from avatarkit.transport.saving import Stored, check_key

ALLOWED = "a file's path, or in save() also an s3://, oss://, gs:// or az:// URL allowed"
URLS = [
    "http://b/x.mp4",
    "HTTPS://b/x.mp4",
    "file:///tmp/x.mp4",
    "ftp://b/x",
    "sftp://b/x",
    "r2+s3://b/x",
    "http://",
]
PATHS = ["http:/b/x.mp4", "https:/b", "file:/tmp/x.mp4", "s3:/b/x.mp4", "oss:/b/x", "GS:/b/x", "az:/c/x"]
FINE = [
    "x.mp4",
    "a:b.mp4",
    "12:30/x.mp4",
    "out/http:/x",
    "./http:/x",
    "C:/x.mp4",
    "c://x.mp4",
    "take: /2.mp4",
    "s3/x",
]


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A finished video; the current folder is an empty one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fast = avatarkit.Polling(shortest=0.01, longest=0.05)
    with (
        avatarkit.Sandbox(render="tiny", queue_seconds=0, run_seconds=0) as sandbox,
        avatarkit.HiFly(sandbox.token, base_url=sandbox.base_url("hifly"), polling=fast) as hifly,
    ):
        avatar = hifly.avatars.list(size=1).items[0]
        voice = hifly.voices.list(size=1, kind=2).items[0]
        yield hifly.videos.create_by_tts(text="x", avatar=avatar, voice=voice, title="film").wait()
        assert not [path.name for path in tmp_path.iterdir() if ":" in path.name]


@pytest.mark.parametrize("url", URLS)
def test_a_url_is_no_file_name(url: str) -> None:
    """A URL of anything but an object store is refused, and the error says what is allowed."""
    with pytest.raises(InvalidRequest) as caught:
        checked(url)
    assert str(caught.value) == f"{url.partition('://')[0]}:// found; {ALLOWED}"


@pytest.mark.parametrize("given", PATHS)
def test_a_url_that_went_through_a_path_is_none_either(given: str) -> None:
    """``Path("http://b")`` is ``http:/b``: the folder ``http:`` is nobody's wish."""
    with pytest.raises(InvalidRequest, match=r"save\(\)") as caught:
        checked(Path(given))
    assert bool(caught.value.hint) == (given[:2].lower() not in ("ht", "fi"))


@pytest.mark.parametrize("given", FINE)
def test_a_colon_alone_makes_no_url(given: str) -> None:
    """Names with colons, drives, and folders of that name further down stay what they are."""
    assert checked(given) == Path(given)


def test_saving_to_a_url_is_refused_before_a_byte_is_fetched(video: Any, tmp_path: Path) -> None:
    """The error carries the task's token, nothing is made, and saving to a file works afterwards."""
    for place in ("http://b/x.mp4", "file:///tmp/x.mp4", Path("https://b/x.mp4")):
        with pytest.raises(InvalidRequest, match="allowed") as caught:
            video.save(place)
        assert caught.value.token
    assert list(tmp_path.iterdir()) == []
    assert video.save("x.mp4").size > 0


@pytest.mark.parametrize("overwrite", [False, True])
def test_with_a_store_the_path_is_a_key(video: Any, overwrite: bool) -> None:
    """A URL beside a store, and a key that no store takes, are told as what they are; nothing is stored."""
    store = MemoryStore()
    for key, why in (
        ("s3://b/x.mp4", "s3:// found; with a store the path is a key in it"),
        ("http://b/x.mp4", "http:// found; with a store the path is a key in it"),
        ("out//x.mp4", "empty parts"),
        ("out/../x.mp4", "dotted"),
        ("out/\n.mp4", "control"),
    ):
        with pytest.raises(InvalidRequest, match=why) as caught:
            video.save(key, store=store, overwrite=overwrite)
        assert caught.value.token
    assert store.list().collect() == []


@pytest.mark.parametrize("key", ["", "/", "x", "/x", "out/", "a b/影.mp4", "~x", "a:b"])
def test_what_a_store_takes_is_a_key(key: str) -> None:
    """Stores take these, so nothing is said against them."""
    check_key(key)
    MemoryStore().put(key, b"x")


def test_the_answer_says_where_it_lies(video: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's absolute path, whatever the current folder is later; an object's place in its store."""
    file, folder = video.save("new/x.mp4"), video.save("new/../other/")
    assert (file.path, file.location) == (Path("new/x.mp4"), str(tmp_path / "new" / "x.mp4"))
    monkeypatch.chdir(tmp_path / "new")
    assert Path(file.location).stat().st_size == file.size
    assert folder.location == str(tmp_path / "other" / folder.path.name)
    stored = video.save("out/x.mp4", store=MemoryStore())
    assert (type(stored), stored.location) == (Stored, "MemoryStore/out/x.mp4")


def test_the_place_may_be_left_out_where_a_file_is_meant(tmp_path: Path) -> None:
    """Who makes a ``Downloaded`` needs no location; who makes a ``Stored`` does."""
    facts: dict[str, Any] = {"path": tmp_path / "x", "size": 1, "sha256": "", "seconds": 0.0}
    assert Downloaded(**facts).location == str(tmp_path / "x")
    with pytest.raises(TypeError, match="location"):
        Stored(**facts)
