"""What a video is expected to cost, from the request alone."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from avatarkit.protocol.speech import spoken_seconds
from avatarkit.request import VideoRequest

URL = "https://media.example.com/a"
TEXT = "Good morning to all of you who are still out there, and to those at home."
SECONDS = spoken_seconds(TEXT)
TALK = {"text": TEXT, "voice": "nina:v"}
ALL = ("hifly", "guiji", "kling", "yunapi")


def expect(provider: str, options: dict[str, Any] | None = None, **request: Any) -> float | None:
    """The provider's estimate."""
    table = importlib.import_module(f"avatarkit.providers.{provider}.generate")
    found: float | None = table.estimate(VideoRequest(**request, options={provider: options or {}}))
    return found


@pytest.mark.parametrize("provider", ALL)
@pytest.mark.parametrize("presenter", ["avatar", "image", "video"])
def test_a_recording_of_unknown_length_has_no_price(provider: str, presenter: str) -> None:
    """Nothing is guessed where the length is not known."""
    assert expect(provider, **{presenter: URL}, audio=b"sound") is None


@pytest.mark.parametrize("provider", ALL)
def test_what_cannot_be_made_has_no_price(provider: str) -> None:
    """Neither a request that nobody takes nor an incomplete one raises."""
    assert expect(provider, avatar="a", image=URL, **TALK) is None
    assert expect(provider, image=URL) is None
    assert expect(provider, image=URL, **TALK, size="8k") is None


def test_hifly_counts_by_the_second_and_a_picture_besides() -> None:
    """Ten credits a second of text, 350 for an avatar from a picture, none for one from a video."""
    assert expect("hifly", avatar="a", **TALK) == pytest.approx(10 * SECONDS)
    assert expect("hifly", image=URL, **TALK) == pytest.approx(350 + 10 * SECONDS)
    assert expect("hifly", video=URL, **TALK) == pytest.approx(10 * SECONDS)


def test_guiji_takes_the_videos_seconds() -> None:
    """A package holds time; the avatar's cloning is another unit and not counted."""
    assert expect("guiji", avatar="a", **TALK) == pytest.approx(SECONDS)
    assert expect("guiji", video=URL, **TALK) == pytest.approx(SECONDS)
    assert expect("guiji", image=URL, **TALK) is None


@pytest.mark.parametrize(
    ("more", "options", "rate"),
    [
        ({}, {}, 0.4),
        ({"size": "720p"}, {}, 0.4),
        ({"size": "1080p"}, {}, 0.8),
        ({}, {"mode": "pro"}, 0.8),
        ({}, {"voice_speed": 2.0}, 0.2),
    ],
)
def test_kling_counts_by_mode(more: dict[str, Any], options: dict[str, Any], rate: float) -> None:
    """A picture costs by the second of its mode, the speech 0.05; faster speech is shorter."""
    assert expect("kling", options, image=URL, **TALK, **more) == pytest.approx(0.05 + rate * SECONDS)


def test_kling_counts_lip_sync_by_five_seconds_begun() -> None:
    """Speech and faces 0.05 each, 0.5 for every five seconds begun, no more than a minute."""
    assert 5 < SECONDS <= 10 or 0 < SECONDS <= 5
    blocks = 1 if SECONDS <= 5 else 2
    assert expect("kling", video=URL, **TALK) == pytest.approx(0.1 + 0.5 * blocks)
    assert expect("kling", {"sound_end": 10.0}, video=URL, audio=URL) == pytest.approx(0.05 + 1.0)
    assert expect("kling", {"sound_end": 10.1}, video=URL, audio=URL) == pytest.approx(0.05 + 1.5)
    assert expect("kling", video=URL, text="x" * 1000, voice="v") == pytest.approx(0.1 + 6.0)


@pytest.mark.parametrize(
    ("request_", "options"),
    [
        ({"image": URL, **TALK}, {"mode": ["pro"]}),
        ({"image": URL, **TALK}, {"voice_speed": "fast"}),
        ({"video": URL, "audio": URL}, {"sound_end": float("nan")}),
    ],
)
def test_wrong_options_have_no_price(request_: dict[str, Any], options: dict[str, Any]) -> None:
    """What will be refused is not estimated, and nothing is raised."""
    assert expect("kling", options, **request_) is None


def test_options_that_are_no_mapping_have_no_say() -> None:
    """A request that is wrong elsewhere does not make the estimate fail."""
    table = importlib.import_module("avatarkit.providers.kling.generate")
    request = VideoRequest(image=URL, **TALK, options={"kling": "pro"})  # type: ignore[dict-item]
    assert table.estimate(request) == pytest.approx(0.05 + 0.4 * SECONDS)


def test_yunapi_publishes_no_prices() -> None:
    """None, whatever is asked for."""
    assert expect("yunapi", image=URL, **TALK) is None
