"""Specs: what a job is to make, as it is written into the ledger."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.bulk.seen import Seen
from avatarkit.bulk.specs import MEDIA, WORDS, Mistake, Row, content_key, row_of, spec_of
from avatarkit.errors import InvalidRequest
from avatarkit.models import Avatar, Subtitle, UploadedFile, Voice
from avatarkit.request import VideoRequest

FULL = VideoRequest(
    avatar="a1",
    image="https://x.test/a.png?sig=1",
    video="in/v.mp4",
    text="你好 “hi”\n",
    voice="v1",
    language="zh",
    audio=UploadedFile(id="f9"),
    title="t",
    subtitles=Subtitle(font_size=40),
    prompt="p",
    size="720p",
    options={"kling": {"watermark": False, "n": 1.5, "deep": {"a": [1, None, "x"]}}},
)


def test_every_field_of_a_request_is_known() -> None:
    """A field that is added to VideoRequest has to be added to specs and manifests too."""
    assert {each.name for each in attrs.fields(VideoRequest)} == {*WORDS, *MEDIA, "subtitles", "options"}


def test_a_row_comes_back_as_it_was() -> None:
    """Everything a request can hold survives the ledger, the line only when it is wanted."""
    row = Row(key="k/1", request=FULL, columns={"team": "é"}, line=7, twin=True)
    assert row_of(spec_of(row, with_line=True)) == row
    assert row_of(spec_of(row)) == attrs.evolve(row, line=0)


def test_rows_that_mean_the_same_are_written_the_same() -> None:
    """Objects and ids, paths and text, True and an empty Subtitle, False and None, empty options: one form each."""
    one = VideoRequest(
        avatar=Avatar(id="a", title="x"),
        voice=Voice(id="v"),
        text="t",
        audio=Path("a.mp3"),
        subtitles=Subtitle(),
    )
    two = VideoRequest(avatar="a", voice="v", text="t", audio="a.mp3", subtitles=True, options={"kling": {}})
    assert spec_of(Row(key="k", request=one)) == spec_of(Row(key="k", request=two))
    assert content_key(one) == content_key(two)
    for off in (False, None, Subtitle(show=False)):
        assert content_key(VideoRequest(text="t", subtitles=off)) == content_key(VideoRequest(text="t"))


def test_the_content_key_is_stable() -> None:
    """A run that is started again by a newer version must find its jobs: the hash of a request never changes."""
    assert content_key(VideoRequest(avatar="a", voice="v", text="hello")) == "8a30bae6644af9cdc356"
    assert content_key(VideoRequest(avatar="a", voice="v", text="hello ")) != "8a30bae6644af9cdc356"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (VideoRequest(image=b"\x89PNG"), "image"),
        (VideoRequest(audio=io.BytesIO(b"x")), "audio"),
        (VideoRequest(video=memoryview(b"x")), "video"),
        (VideoRequest(options={"guiji": {"authorize": b"x"}}), "options.guiji.authorize"),
        (VideoRequest(options={"kling": {"n": float("nan")}}), "options.kling.n"),
        (VideoRequest(options={"kling": {"n": 1 << 70}}), "options.kling.n"),
        (VideoRequest(options={"kling": {"n": {1: 2}}}), "options.kling.n"),
        (VideoRequest(options={"kling": 3}), "options"),  # type: ignore[dict-item]
        (VideoRequest(text=5), "text"),  # type: ignore[arg-type]
        (VideoRequest(subtitles="yes"), "subtitles"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_written_down_is_refused(request_: VideoRequest, field: str) -> None:
    """Bytes, file objects and values that JSON has not are told by name, and that a path would do."""
    with pytest.raises(InvalidRequest) as caught:
        spec_of(Row(key="k", request=request_))
    assert any(problem.startswith(field) for problem in caught.value.problems)
    if field in MEDIA:
        assert "give its path" in str(caught.value)


def test_everything_wrong_is_told_at_once() -> None:
    """Two bad fields are two problems."""
    with pytest.raises(InvalidRequest) as caught:
        content_key(VideoRequest(image=b"x", audio=b"y"))
    assert len(caught.value.problems) == 2


def test_options_that_nest_without_end_are_refused() -> None:
    """A value nested 1,000 deep, or in itself, is a problem and no crash."""
    deep: Any = []
    deep.append(deep)
    with pytest.raises(InvalidRequest, match="plain data"):
        content_key(VideoRequest(options={"kling": {"x": deep}}))


def test_text_that_is_no_unicode_is_refused() -> None:
    """A lone surrogate cannot be written."""
    with pytest.raises(InvalidRequest, match="UTF-8"):
        content_key(VideoRequest(text="\ud800"))


@given(
    st.binary(max_size=200)
    | st.sampled_from([b'{"v":1}', b'{"v":2,"key":"k"}', b"[]", b'{"v":1,"key":1,"request":3}'])
)
def test_a_spec_that_is_none_of_ours_is_an_invalid_request(data: bytes) -> None:
    """Nothing that stands in a ledger makes anything else of row_of than a row or InvalidRequest."""
    with pytest.raises(InvalidRequest):
        row_of(data)


def test_seen_knows_what_it_saw() -> None:
    """Over several growths every text is new once and known ever after, and 100,000 take under 3 MB."""
    seen = Seen()
    assert all(seen.add(f"k{number}") for number in range(100_000))
    assert not any(seen.add(f"k{number}") for number in range(0, 100_000, 7))
    assert len(seen) == 100_000
    assert len(seen._table) * 8 < 3_000_000


def test_a_mistake_reads_as_a_place_and_a_message() -> None:
    """What people see."""
    assert str(Mistake(line=3, column="text", message="m")) == "line 3, text: m"
    assert str(Mistake(line=0, column="", message="m")) == "manifest: m"
