"""A request's fields: what they take, what they show, and what is refused whatever the provider."""

from __future__ import annotations

import inspect
import io
from pathlib import Path
from typing import Any

import attrs
import pytest

from avatarkit import providers
from avatarkit.errors import InvalidRequest
from avatarkit.models import Avatar, Subtitle, UploadedFile, Voice
from avatarkit.providers.guiji.models import AvatarClone, VoiceClone
from avatarkit.request import VideoRequest

TALK: dict[str, Any] = {"voice": "v", "text": "t"}
SECRET = "c0ffee-s1gned"
MATERIAL = "a path, a URL, bytes, a binary file or an uploaded file"

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"avatar": 5.0, **TALK}, "avatar: float found, text or an Avatar allowed"),
    ({"avatar": True, **TALK}, "avatar: bool found, text or an Avatar allowed"),
    ({"avatar": Voice(id="v"), **TALK}, "avatar: Voice found, text or an Avatar allowed"),
    ({"avatar": UploadedFile(id="f"), **TALK}, "avatar: UploadedFile found, text or an Avatar allowed"),
    ({"avatar": "a", "voice": b"x", "text": "t"}, "voice: bytes found, text or a Voice allowed"),
    ({"avatar": "a", "voice": Avatar(id="a"), "text": "t"}, "voice: Avatar found, text or a Voice allowed"),
    ({"avatar": "a", "voice": "v", "text": 7}, "text: int found, text allowed"),
    ({"avatar": "a", **TALK, "language": 1}, "language: int found, text allowed"),
    ({"avatar": "a", **TALK, "size": 720}, "size: int found, text allowed"),
    ({"image": 5, **TALK}, f"image: int found, {MATERIAL} allowed"),
    ({"video": ["a.mp4"], **TALK}, f"video: list found, {MATERIAL} allowed"),
    ({"avatar": "a", "audio": 5.0}, f"audio: float found, {MATERIAL} allowed"),
    ({"avatar": "a", **TALK, "subtitles": "yes"}, "subtitles: str found, True, False or a Subtitle allowed"),
    ({"avatar": "a", **TALK, "options": None}, "options: NoneType found, a mapping by provider allowed"),
    ({"avatar": "a", **TALK, "options": ["pn"]}, "options: list found, a mapping by provider allowed"),
    ({"avatar": "a", **TALK, "options": {"guiji": 3}}, "options: 'guiji' has no mapping of arguments"),
]


def test_numbers_are_ids_too() -> None:
    """Guiji numbers its avatars; what is given as a number is the text that is sent."""
    request = VideoRequest(avatar=-292, voice=7, text="t")  # type: ignore[arg-type]
    assert request == VideoRequest(avatar="-292", voice="7", text="t")
    (step,) = providers.part("guiji", "generate").plan(request).steps
    assert step.arguments["avatar"] == "-292"


@pytest.mark.parametrize(("given", "problem"), WRONG)
@pytest.mark.parametrize("provider", providers.names())
def test_wrong_types_are_refused_by_every_provider(
    provider: str, given: dict[str, Any], problem: str
) -> None:
    """The same words for the same mistake, from the plan, before anything is sent."""
    with pytest.raises(InvalidRequest) as caught:
        providers.part(provider, "generate").plan(VideoRequest(**given))
    assert caught.value.problems == (problem,)


@pytest.mark.parametrize(
    "given",
    [
        {"avatar": "a", **TALK},
        {"avatar": Avatar(id="a"), "voice": Voice(id="v"), "text": "t", "subtitles": Subtitle()},
        {"avatar": AvatarClone(id="1", avatar_id="2"), "voice": VoiceClone(id="3"), "text": "t"},
        {"image": Path("me.jpg"), "audio": bytearray(b"x")},
        {"image": memoryview(b"x"), "audio": io.BytesIO(b"x")},
        {"video": UploadedFile(id="f"), "audio": "https://example.com/a.mp3", "subtitles": False},
    ],
)
def test_what_is_allowed_has_no_problems(given: dict[str, Any]) -> None:
    """Every kind of value that a field is typed as, and a provider's own avatars and voices."""
    assert VideoRequest(**given).problems() == []


@pytest.mark.parametrize("name", ["avatar", "image", "video", "text", "voice", "audio", "title", "size"])
@pytest.mark.parametrize("empty", ["", " ", "\t\n", "\u3000"])
def test_empty_text_is_no_value(name: str, empty: str) -> None:
    """An empty cell of a table counts as not given, also when a request is made from another."""
    assert getattr(VideoRequest(**{name: empty}), name) is None
    assert getattr(attrs.evolve(VideoRequest(**{name: "x"}), **{name: empty}), name) is None
    assert getattr(VideoRequest(**{name: " x "}), name) == " x "


def test_the_signature_names_types() -> None:
    """What ``help(VideoRequest)`` shows: no field is Any."""
    shown = {name: str(p.annotation) for name, p in inspect.signature(VideoRequest).parameters.items()}
    assert shown["avatar"] == "str | Avatar | None"
    assert shown["image"] == shown["audio"] == "Media | None"
    assert not [name for name, kind in shown.items() if kind == "Any"]


def test_the_repr_shows_the_material(tmp_path: Path) -> None:
    """Paths as given, how many bytes, files by name, URLs without login and query."""
    with (tmp_path / "me.wav").open("wb+") as file:
        shown = repr(VideoRequest(image="in/me.jpg", video=b"\x00" * 7, audio=file))
        assert "image='in/me.jpg', video=<7 bytes>" in shown
        assert f"audio=<BufferedRandom {file.name!r}>" in shown
    assert f"image={Path('me.jpg')!r}" in repr(VideoRequest(image=Path("me.jpg")))
    assert "image='what?.jpg'" in repr(VideoRequest(image="what?.jpg"))
    assert "audio=<4 bytes>" in repr(VideoRequest(audio=memoryview(b"abcd")))
    assert "audio=<BytesIO>" in repr(VideoRequest(audio=io.BytesIO(b"abcd")))
    assert "id='f-1'" in repr(VideoRequest(image=UploadedFile(id="f-1")))
    assert len(repr(VideoRequest(image="x" * 100_000))) < 600


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"https://h.example/a.mp3?sig={SECRET}", "'https://h.example/a.mp3?***'"),
        (f"https://h.example/a.mp3#{SECRET}", "'https://h.example/a.mp3?***'"),
        (f"https://me:{SECRET}@h.example/a.mp3", "'https://***@h.example/a.mp3'"),
        (f"https://me:{SECRET}@h.example/a.mp3?x={SECRET}\n{SECRET}", "'https://***@h.example/a.mp3?***'"),
        (f"https://me@{SECRET}@h.example/a.mp3", "'https://***@h.example/a.mp3'"),
    ],
)
def test_the_repr_shows_no_secret_of_a_url(url: str, shown: str) -> None:
    """A signed URL is a secret; in options, where callbacks stand, so is a URL's path."""
    assert f"image={shown}" in repr(VideoRequest(image=url))
    told = repr(
        VideoRequest(options={"guiji": {"authorize_url": url, "more": [{"x": url}], "authorize": b"12"}})
    )
    assert SECRET not in told
    assert "a.mp3" not in told
    assert "'authorize_url': 'https://h.example/***'" in told
    assert "'authorize': <2 bytes>" in told


def test_the_repr_shows_no_secret_path_of_a_callback() -> None:
    """Whoever knows a callback's address can call it."""
    shown = repr(
        VideoRequest(options={"kling": {"callback_url": f"https://h.example/{SECRET}", "mode": "pro"}})
    )
    assert SECRET not in shown
    assert "{'kling': {'callback_url': 'https://h.example/***', 'mode': 'pro'}}" in shown


def test_requests_can_be_hashed() -> None:
    """Equal requests have equal hashes, options or not, so that requests can be keys and members of sets."""
    options = {"kling": {"mode": "pro", "n": [1]}}
    one, other = (VideoRequest(image="a", audio=b"x", options=options) for _ in range(2))
    assert hash(one) == hash(other)
    assert len({one, other, VideoRequest(image="a", audio=b"x")}) == 2
