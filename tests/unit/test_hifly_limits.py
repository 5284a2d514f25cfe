"""HiFly's published limits, and the checks that use them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.protocol.limits import MB, MediaFacts, MediaRule, RangeRule
from avatarkit.providers.hifly import limits


def file(rule: MediaRule, extension: str, size: int) -> list[str]:
    return rule.check_file("audio", extension=extension, size=size)


@pytest.mark.parametrize(
    ("rule", "megabytes", "good", "bad"),
    [
        (limits.AVATAR_VIDEO, 500, "mp4 mov", "avi mp3 webm"),
        (limits.VOICE_SAMPLE, 20, "mp3 m4a wav", "ogg mp4 flac"),
        (limits.DRIVING_AUDIO, 100, "mp3 m4a wav", "ogg mp4 flac"),
    ],
)
def test_files(rule: MediaRule, megabytes: int, good: str, bad: str) -> None:
    """Published types and sizes pass up to the last byte of the larger reading, and not one byte more."""
    for extension in good.split():
        assert file(rule, extension, megabytes * MB) == []
        (problem,) = file(rule, extension, megabytes * MB + MB)
        assert problem == f"audio: {megabytes + 1}.0 MB found, at most {megabytes}.0 MB allowed"
        assert len(file(rule, extension, megabytes * MB + 1)) == 1
    for extension in [*bad.split(), ""]:
        assert len(file(rule, extension, 10)) == 1


def test_problems_come_together() -> None:
    """Everything wrong with a file is said at once, each with the figure found and the figure allowed."""
    assert file(limits.VOICE_SAMPLE, "ogg", 30 * MB) == [
        "audio: ogg file found, mp3, m4a or wav allowed",
        "audio: 30.0 MB found, at most 20.0 MB allowed",
    ]


@pytest.mark.parametrize(
    ("rule", "seconds", "problem"),
    [
        (limits.VOICE_SAMPLE, 212.4, "x: 212.4 s found, at most 180 s allowed"),
        (limits.VOICE_SAMPLE, 4.2, "x: 4.2 s found, at least 5 s allowed"),
        (limits.VOICE_SAMPLE, 4.95, ""),
        (limits.VOICE_SAMPLE, 180.05, ""),
        (limits.DRIVING_AUDIO, 1799.9, ""),
        (limits.DRIVING_AUDIO, 1801, "x: 1801.0 s found, at most 1800 s allowed"),
        (limits.AVATAR_IMAGE, 0.04, ""),
    ],
)
def test_durations(rule: MediaRule, seconds: float, problem: str) -> None:
    """Durations are held to the published bounds, give or take a frame."""
    assert rule.check_facts("x", MediaFacts(seconds=seconds)) == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("width", "height", "good"),
    [
        (640, 360, True),
        (360, 640, True),
        (3840, 2160, True),
        (2160, 4096, True),
        (480, 358, False),
        (7680, 4320, False),
    ],
)
def test_sides(width: int, height: int, good: bool) -> None:
    """360p to 4K holds for both orientations."""
    assert (limits.AVATAR_VIDEO.check_facts("video", MediaFacts(width=width, height=height)) == []) is good


def test_codecs_and_contents() -> None:
    """Another codec, another container than the name says, and missing sound or picture are named."""
    check = limits.AVATAR_VIDEO.check_facts
    assert check("v", MediaFacts(video_codec="h264", has_video=True)) == []
    assert check("v", MediaFacts(video_codec="hevc")) == ["v: hevc video found, h264 allowed"]
    assert check("v", MediaFacts(containers=frozenset({"png"}))) == [
        "v: png content found, mp4 or mov allowed"
    ]
    assert check("v", MediaFacts(has_video=False)) == ["v: no moving picture found, at least 1 allowed"]
    assert limits.VOICE_SAMPLE.check_facts("v", MediaFacts(has_audio=False)) == [
        "v: no sound found, at least 1 sound track allowed"
    ]
    assert check("v", MediaFacts()) == []


def test_urls() -> None:
    """A video's URL has at most 500 characters; other URLs are not limited."""
    assert limits.AVATAR_VIDEO.check_url("video", "h" * 500) == []
    assert limits.AVATAR_VIDEO.check_url("video", "h" * 501) == [
        "video: URL of 501 characters found, at most 500 allowed"
    ]
    assert limits.DRIVING_AUDIO.check_url("audio", "h" * 5000) == []


@pytest.mark.parametrize(
    "text",
    [
        "a < b and c > d",
        "5<6",
        "1 <2> 3",
        "<3",
        "if a<b then c>d",
        "x<y && y>z",
        "<你好>",
        "<https://x.y>",
        "< b >",
        "<",
    ],
)
def test_text_that_only_looks_like_html(text: str) -> None:
    """Comparisons, hearts and arrows are text."""
    assert limits.TEXT.check("text", text) == []


@pytest.mark.parametrize(
    "text",
    [
        "<b>",
        "x</p>",
        "<br/>",
        "<BR />",
        '<a href="x">',
        "<font color=red>",
        "<!-- x -->",
        "<!DOCTYPE html>",
        "<h1>",
    ],
)
def test_html_tags(text: str) -> None:
    """Tags of any kind are refused, with the place where they stand."""
    (problem,) = limits.TEXT.check("text", f"你好{text}")
    assert "HTML tag" in problem
    assert "none allowed" in problem


def test_lengths_are_counted_in_characters() -> None:
    """Titles and texts are counted in characters, not bytes; a text must say something."""
    assert limits.TITLE.check("title", "标" * 20) == []
    assert limits.TITLE.check("title", "标" * 21) == ["title: 21 characters found, at most 20 allowed"]
    assert limits.TITLE.check("title", "") == []
    assert limits.TEXT.check("text", "字" * 10_000) == []
    assert len(limits.TEXT.check("text", "字" * 10_001)) == 1
    assert limits.TEXT.check("text", " \n") == ["text: 0 characters found, at least 1 allowed"]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (limits.RATE, [0.5, 1, "2.0", 2], [0.49, 2.01, "x", "", float("nan"), float("inf"), True, "1e99"]),
        (limits.VOLUME, [0.1, 1, 2.0], [0, 0.09, -1, 2.1]),
        (limits.PITCH, [0.1, 1, 2.0], [0, 0.09, -1, 2.1]),
    ],
)
def test_ranges(rule: RangeRule, good: list[float], bad: list[float]) -> None:
    """Rate is 0.5 to 2.0, volume and pitch 0.1 to 2.0, both ends included."""
    assert [rule.check("rate", value) for value in good] == [[]] * len(good)
    assert all(len(rule.check("rate", value)) == 1 for value in bad)


@pytest.mark.parametrize(
    ("value", "sent"),
    [(1, "1.0"), (1.25, "1.25"), (0.1 + 0.2, "0.3"), ("2", "2.0"), (0.5, "0.5"), ("1e0", "1.0")],
)
def test_ranges_are_sent_as_decimal_text(value: float | str, sent: str) -> None:
    """voice/edit wants decimal strings, never 1e0 or 0.30000000000000004."""
    assert limits.RATE.encode(value) == sent


def test_range_that_is_no_number() -> None:
    """What is no number cannot be sent; a provider that wants numbers gets one."""
    with pytest.raises(ValueError):
        limits.RATE.encode("fast")
    assert RangeRule(low=0, high=9).encode("1.256") == 1.26


@pytest.mark.parametrize(
    ("text", "good"),
    [("#00ffAA", True), ("00ffaa", False), ("#fff", False), ("red", False), ("#00ffaa\n", False)],
)
def test_colours(text: str, good: bool) -> None:
    """Colours are # and six hexadecimal digits."""
    assert (limits.COLOUR.check("st_primary_color", text) == []) is good


def test_file_extension() -> None:
    """The upload slot wants the extension without its dot."""
    assert [limits.file_extension(text) for text in (".MP4", "wav", " m4a ")] == ["mp4", "wav", "m4a"]
    for bad in ("", ".", "../x", "mp4;x", "x" * 11, "视频"):
        with pytest.raises(ValueError):
            limits.file_extension(bad)


def test_every_limit_names_its_source() -> None:
    """No figure without the vendor's document that it comes from."""
    rules = [rule for rule in vars(limits).values() if hasattr(type(rule), "source")]
    assert len(rules) >= 10
    assert all(rule.source for rule in rules)
    assert set(limits.DURATIONS) == {"video", "audio", "avatar", "voice"}
    assert all(prior.median < prior.p95 for prior in limits.DURATIONS.values())


@given(st.text(max_size=300))
def test_any_text_can_be_checked(text: str) -> None:
    """No text trips the checks, and each problem is one line about its field."""
    for problems in (
        limits.TEXT.check("f", text),
        limits.RATE.check("f", text),
        limits.COLOUR.check("f", text),
    ):
        assert all(problem.startswith("f: ") for problem in problems)
