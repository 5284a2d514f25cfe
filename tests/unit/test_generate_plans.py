"""From one request to each provider's own operations: every combination of what a request can hold."""

from __future__ import annotations

import importlib
import inspect
import itertools
import typing
from collections.abc import Iterator
from typing import Any

import attrs
import orjson
import pytest

from avatarkit import providers
from avatarkit.errors import InvalidRequest, MediaRejected, UnsupportedOperation
from avatarkit.models import Avatar, Kind, Subtitle, Voice
from avatarkit.protocol.plan import Capabilities, Made, Plan, Step
from avatarkit.protocol.samples import wav
from avatarkit.providers.kling.models import Face, FaceSession, TtsAudio
from avatarkit.providers.yunapi.models import UseVoice
from avatarkit.request import VideoRequest
from avatarkit.task import AsyncTask

NAMES = ("hifly", "guiji", "kling", "yunapi")
TABLES = {name: importlib.import_module(f"avatarkit.providers.{name}.generate") for name in NAMES}
ALL: list[Capabilities] = [TABLES[name].CAPABILITIES for name in NAMES]
URL = "https://media.example.com/a.mp4"
SOUND = wav(5.0)
PRESENTERS: dict[str, dict[str, Any]] = {
    "avatar": {"avatar": "28"},
    "image": {"image": "https://media.example.com/a.png"},
    "video": {"video": URL},
}
SPEECHES: dict[str, dict[str, Any]] = {
    "text": {"text": "Good morning.", "voice": "nina:0a1b"},
    "audio": {"audio": SOUND},
}
CHOICES: dict[str, tuple[Any, ...]] = {
    "subtitles": (None, False, True, Subtitle(show=False), Subtitle(font_size=40)),
    "prompt": (None, "waves"),
    "size": (None, "720p", "1080p", "4k"),
    "title": (None, "Morning"),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "hifly": {"pipeline": "1.5", "aigc_flag": 0, "model": 2},
    "guiji": {
        "pn": 1,
        "callback_url": "https://example.com/hook",
        "authorize_text": "I consent.",
        "authorize": b"film",
        "authorize_url": URL,
        "level": 1,
        "compress": True,
    },
    "kling": {
        "mode": "pro",
        "watermark": False,
        "callback_url": "https://example.com/hook",
        "external_task_id": "mine-1",
        "voice_speed": 1.2,
        "sound_end": 4.0,
        "sound_volume": 2,
        "original_audio_volume": 1,
    },
    "yunapi": {"no_watermark": True, "voice_engine_id": "nina", "line_type": 1},
}
"""A good value of every option."""


def client_class(name: str) -> type[Any]:
    """The async client of a provider."""
    found: type[Any] = providers.part(name, "client").CLIENT
    return found


def method_of(provider: str, operation: str) -> Any:
    """The method that an operation names, found through the type of the client's property."""
    resource, _, method = operation.partition(".")
    getter = inspect.getattr_static(client_class(provider), resource).fget
    return getattr(typing.get_type_hints(getter)["return"], method)


def check_step(provider: str, step: Step, earlier: tuple[Step, ...]) -> None:
    """The step calls an existing method with arguments that it knows, all that it needs among them."""
    method = method_of(provider, step.operation)
    parameters = {name: each for name, each in inspect.signature(method).parameters.items() if name != "self"}
    assert set(step.arguments) <= set(parameters) - {"options"}
    assert all(
        parameters[name].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for name in step.arguments
    )
    needed = {name for name, each in parameters.items() if each.default is inspect.Parameter.empty}
    assert needed <= set(step.arguments)
    answer = typing.get_type_hints(method)["return"]
    if step.makes is None:
        assert typing.get_origin(answer) is not AsyncTask
        assert not step.named_by
    else:
        assert typing.get_origin(answer) is AsyncTask
        assert not step.keeps
        assert not step.named_by or step.named_by in parameters
    for value in step.arguments.values():
        if isinstance(value, Made):
            source = earlier[value.step]
            assert value.name == "id" if source.makes is not None else value.name in source.keeps


def check_plan(provider: str, request: VideoRequest, plan: Plan) -> None:
    """All steps can be called, the last makes a video, and what was asked for is in them."""
    table: Capabilities = TABLES[provider].CAPABILITIES
    route = table.route(request.presenter, request.speech)
    assert route is not None
    assert tuple(step.operation for step in plan.steps) == route.operations
    for at, step in enumerate(plan.steps):
        check_step(provider, step, plan.steps[:at])
    last = plan.steps[-1]
    assert last.makes is Kind.VIDEO
    assert last.arguments.get("title") == (request.title if table.titles else None)
    assert all("title" not in step.arguments for step in plan.steps[:-1])
    sent = [(name, value) for step in plan.steps for name, value in step.arguments.items()]
    for name, value in request.options.get(provider, {}).items():
        assert (name, value) in sent or name == "voice_engine_id"
    if request.prompt is not None:
        assert ("prompt", request.prompt) in sent
    if request.subtitles is True:
        assert ("subtitle", True) in sent


def option_sets(provider: str, presenter: str, speech: str) -> Iterator[dict[str, Any]]:
    """No option, each that the route has, and all of them, with those that the route needs in each."""
    route = TABLES[provider].CAPABILITIES.route(presenter, speech)
    if route is None:
        yield {}
        return
    base: dict[str, Any] = {}
    if provider == "guiji" and presenter == "video":
        base = {"authorize_text": "I consent.", "authorize": b"film"}
    yield base
    for name in sorted(route.options):
        chosen = {**base, name: OPTIONS[provider][name]}
        if name == "authorize_url":
            del chosen["authorize"]
        yield chosen
    yield {name: OPTIONS[provider][name] for name in route.options if name != "authorize_url"}


@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("speech", SPEECHES)
@pytest.mark.parametrize("presenter", PRESENTERS)
def test_every_combination_is_planned_or_unsupported(provider: str, presenter: str, speech: str) -> None:
    """Either steps that can be called, or UnsupportedOperation that names exactly those who can; nothing else."""
    table = TABLES[provider]
    planned = refused = 0
    for chosen in itertools.product(option_sets(provider, presenter, speech), *CHOICES.values()):
        options, rest = chosen[0], dict(zip(CHOICES, chosen[1:], strict=True))
        if provider == "kling" and rest["size"] == "720p" and "mode" in options:
            options = {**options, "mode": "std"}
        request = VideoRequest(
            **PRESENTERS[presenter], **SPEECHES[speech], **rest, options={provider: options}
        )
        if table.CAPABILITIES.can(request):
            check_plan(provider, request, table.plan(request, ALL))
            planned += 1
        else:
            with pytest.raises(UnsupportedOperation) as caught:
                table.plan(request, ALL)
            able = [other.provider for other in ALL if not other.lacks(request)]
            assert list(caught.value.providers) == able
            assert all(other.title in caught.value.hint for other in ALL if other.provider in able)
            refused += 1
    assert refused  # the size of 4k, at least
    assert bool(planned) is (table.CAPABILITIES.route(presenter, speech) is not None)


def test_what_is_missing_is_told_before_it_is_planned() -> None:
    """A request without the options that the provider needs cannot be made as it is; others do not mind."""
    request = VideoRequest(**PRESENTERS["video"], **SPEECHES["text"])
    told = {each.provider: each.missing(request) for each in ALL}
    assert told.pop("guiji") == ["authorize_text", "authorize or authorize_url"]
    assert not any(told.values())
    guiji = TABLES["guiji"].CAPABILITIES
    assert (guiji.lacks(request), guiji.can(request)) == ([], False)
    given = {"authorize_text": "I consent.", "authorize_url": None}
    assert guiji.missing(attrs.evolve(request, options={"guiji": given})) == ["authorize or authorize_url"]
    whole = attrs.evolve(request, options={"guiji": {**given, "authorize": b"film"}})
    assert (guiji.missing(whole), guiji.can(whole)) == ([], True)
    with pytest.raises(InvalidRequest, match="authorize"):
        TABLES["guiji"].plan(request, ALL)


@pytest.mark.parametrize("provider", NAMES)
def test_every_option_has_a_route_and_every_local_material_a_rule(provider: str) -> None:
    """The options tested here are those of the table; MEDIA names existing arguments of operations in use."""
    table = TABLES[provider]
    routes = table.CAPABILITIES.routes
    assert {name for route in routes for name in route.options} == set(OPTIONS[provider])
    for operation, rules in table.MEDIA.items():
        assert operation in {each for route in routes for each in route.operations}
        assert set(rules) <= set(inspect.signature(method_of(provider, operation)).parameters)


@pytest.mark.parametrize("provider", NAMES)
@pytest.mark.parametrize("speech", SPEECHES)
@pytest.mark.parametrize("presenter", PRESENTERS)
def test_options_of_other_routes_are_refused(provider: str, presenter: str, speech: str) -> None:
    """An option that the route has not is named; one of another provider's is passed over."""
    table = TABLES[provider]
    route = table.CAPABILITIES.route(presenter, speech)
    if route is None:
        assert not table.CAPABILITIES.can(VideoRequest(**PRESENTERS[presenter], **SPEECHES[speech]))
        return
    base = next(option_sets(provider, presenter, speech))
    for name in [*(set(OPTIONS[provider]) - route.options), "nonsense"]:
        request = VideoRequest(
            **PRESENTERS[presenter],
            **SPEECHES[speech],
            options={provider: {**base, name: 1}, "elsewhere": {name: 1}},
        )
        with pytest.raises(InvalidRequest) as caught:
            table.plan(request)
        assert repr(name) in str(caught.value)
    fine = VideoRequest(
        **PRESENTERS[presenter], **SPEECHES[speech], options={provider: base, "elsewhere": {"nonsense": 1}}
    )
    check_plan(provider, fine, table.plan(fine))


def ask(provider: str, options: dict[str, Any] | None = None, **request: Any) -> Plan:
    """The provider's plan."""
    plan: Plan = TABLES[provider].plan(VideoRequest(**request, options={provider: options or {}}), ALL)
    return plan


CONSENT = {"authorize_text": "I consent.", "authorize_url": URL}
TALK = {"text": "Good morning.", "voice": "AOT"}
WRONG: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("hifly", "text", {"image": URL, "text": "x" * 10_001, "voice": "v"}, {}),
    ("hifly", "text", {"image": URL, "text": "<b>x</b>", "voice": "v"}, {}),
    ("hifly", "title", {"image": URL, **TALK, "title": "x" * 21}, {}),
    ("hifly", "title", {"image": URL, "audio": SOUND, "title": "x" * 21}, {}),
    ("hifly", "voice", {"avatar": "a", "text": "x", "voice": Avatar(id="a")}, {}),
    ("hifly", "avatar", {"avatar": Voice(id="a"), **TALK}, {}),
    ("hifly", "subtitle.font_size", {"image": URL, **TALK, "subtitles": Subtitle(font_size=0)}, {}),
    ("hifly", "aigc_flag", {"video": URL, **TALK}, {"aigc_flag": True}),
    ("hifly", "model", {"image": URL, **TALK}, {"model": 9}),
    ("guiji", "authorize_text", {"video": URL, **TALK}, {"authorize_url": URL}),
    ("guiji", "authorize_text", {"video": URL, **TALK}, {"authorize_url": URL, "authorize_text": None}),
    ("guiji", "authorize_text", {"video": URL, **TALK}, {"authorize_url": URL, "authorize_text": " "}),
    ("guiji", "authorize", {"video": URL, **TALK}, {"authorize_text": "I consent."}),
    ("guiji", "authorize", {"video": URL, **TALK}, {**CONSENT, "authorize": b"x"}),
    ("guiji", "authorize_url", {"video": URL, **TALK}, {**CONSENT, "authorize_url": "a.mp4"}),
    ("guiji", "pn", {"video": URL, **TALK}, {**CONSENT, "pn": 2}),
    ("guiji", "level", {"video": URL, **TALK}, {**CONSENT, "level": 2}),
    ("guiji", "compress", {"video": URL, **TALK}, {**CONSENT, "compress": 1}),
    ("guiji", "callback_url", {"video": URL, **TALK}, {**CONSENT, "callback_url": "here"}),
    ("guiji", "text", {"avatar": "-3", "text": "a\0b", "voice": "v"}, {}),
    ("kling", "text", {"image": URL, "text": "x" * 1001, "voice": "AOT"}, {}),
    ("kling", "prompt", {"image": URL, **TALK, "prompt": "x" * 2501}, {}),
    ("kling", "voice", {"image": URL, "text": "早上好", "voice": "AOT"}, {}),
    ("kling", "voice", {"video": URL, **TALK, "language": "zh"}, {}),
    ("kling", "language", {"video": URL, **TALK, "language": "fr"}, {}),
    ("kling", "mode", {"image": URL, **TALK, "size": "720p"}, {"mode": "pro"}),
    ("kling", "mode", {"image": URL, "audio": SOUND, "size": "1080p"}, {"mode": "std"}),
    ("kling", "mode", {"image": URL, **TALK}, {"mode": ["pro"]}),
    ("kling", "voice_speed", {"image": URL, **TALK}, {"voice_speed": 3}),
    ("kling", "external_task_id", {"image": URL, **TALK}, {"external_task_id": " "}),
    ("kling", "callback_url", {"video": URL, **TALK}, {"callback_url": "here"}),
    ("kling", "watermark", {"video": URL, **TALK}, {"watermark": 1}),
    ("kling", "sound_volume", {"video": URL, **TALK}, {"sound_volume": 3}),
    ("kling", "sound_end", {"video": URL, "audio": SOUND}, {"sound_end": 1.9}),
    ("kling", "sound_end", {"video": URL, "audio": SOUND}, {"sound_end": "4"}),
    ("kling", "sound_end", {"video": URL, "audio": URL}, {}),
    ("yunapi", "voice", {"image": URL, "text": "x", "voice": "0a1b"}, {}),
    ("yunapi", "voice", {"image": URL, "text": "x", "voice": ":0a1b"}, {}),
    ("yunapi", "voice", {"image": URL, "text": "x", "voice": "nina:"}, {}),
    ("yunapi", "voice", {"image": URL, "text": "x", "voice": "nina:0a1b"}, {"voice_engine_id": "bob"}),
    ("yunapi", "voice_engine_id", {"image": URL, "text": "x", "voice": "0a1b"}, {"voice_engine_id": 3}),
    ("yunapi", "no_watermark", {"image": URL, "audio": URL}, {"no_watermark": 1}),
    ("yunapi", "line_type", {"avatar": "28", "audio": URL}, {"line_type": 7}),
    ("yunapi", "avatar", {"avatar": "v2:1:28", "audio": URL}, {}),
]


@pytest.mark.parametrize(("provider", "field", "request_", "options"), WRONG)
def test_what_would_be_refused_later_is_refused_before_the_first_step(
    provider: str, field: str, request_: dict[str, Any], options: dict[str, Any]
) -> None:
    """A wrong text, title, prompt, voice or option is one InvalidRequest that names the field."""
    with pytest.raises(InvalidRequest) as caught:
        ask(provider, options, **request_)
    assert any(field in problem for problem in caught.value.problems)
    assert len(caught.value.problems) == 1


def test_everything_wrong_is_told_at_once() -> None:
    """Options that nobody knows, missing ones and bad texts come in one error."""
    with pytest.raises(InvalidRequest) as caught:
        ask(
            "hifly",
            {"nonsense": 1, "aigc_flag": 9},
            image=URL,
            text="x" * 10_001,
            voice="v",
            title="x" * 21,
        )
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "options",
        "text",
        "title",
        "aigc_flag",
    ]
    with pytest.raises(InvalidRequest) as caught:
        ask("guiji", {"level": 7}, video=URL, text="x", voice="v")
    assert len(caught.value.problems) == 3


def test_hifly_clones_first_and_names_only_the_video() -> None:
    """The clone's model goes to the clone, everything else to the video, which has the clone's avatar."""
    plan = ask("hifly", {"model": 1, "aigc_flag": 2}, image=URL, **TALK, title="Morning", subtitles=True)
    assert plan.steps == (
        Step(
            operation="avatars.create_by_image",
            arguments={"image": URL, "model": 1},
            makes=Kind.AVATAR,
            named_by="title",
        ),
        Step(
            operation="videos.create_by_tts",
            arguments={
                "avatar": Made(0),
                "voice": "AOT",
                "text": "Good morning.",
                "title": "Morning",
                "subtitle": True,
                "aigc_flag": 2,
            },
            named_by="title",
        ),
    )


def test_guiji_has_the_consent_in_the_clone() -> None:
    """Consent and quality go to the clone; the callback and the direction to the video."""
    given = {**CONSENT, "level": 1, "compress": False, "pn": 1, "callback_url": "https://example.com/hook"}
    clone, video = ask("guiji", given, video=URL, audio=SOUND).steps
    assert dict(clone.arguments) == {"video": URL, **CONSENT, "level": 1, "compress": False}
    assert dict(video.arguments) == {
        "avatar": Made(0),
        "audio": SOUND,
        "pn": 1,
        "callback_url": "https://example.com/hook",
    }


def test_kling_speaks_the_text_then_moves_the_picture() -> None:
    """The language is the text's own unless given; a size is a mode."""
    speak, video = ask("kling", {"voice_speed": 1.2}, image=URL, text="早上好", voice="v", size="1080p").steps
    assert dict(speak.arguments) == {
        "text": "早上好",
        "voice_id": "v",
        "voice_language": "zh",
        "voice_speed": 1.2,
    }
    assert dict(video.arguments) == {"image": URL, "audio_id": Made(0), "mode": "pro"}
    given = ask("kling", {}, image=URL, text="OK", voice="v", language="zh").steps[0].arguments
    assert given["voice_language"] == "zh"
    agreed = ask("kling", {"mode": "std"}, image=URL, audio=SOUND, size="720p").steps[0].arguments
    assert agreed["mode"] == "std"


def test_what_kling_keeps_of_immediate_answers_can_be_written_down() -> None:
    """Every kept path leads from a real answer to text or a number, and fills the next step's arguments."""
    session = FaceSession(id="s", faces=(Face(id="f", end=9.5),))
    answers = {0: TtsAudio(id="a", duration=4.2), 1: session}
    *before, last = ask("kling", {}, video=URL, **TALK).steps
    made: dict[int, dict[str, Any]] = {}
    for at, step in enumerate(before):
        made[at] = {}
        for name, path in step.keeps.items():
            value: Any = answers[at]
            for part in path.split("."):
                value = getattr(value, part)
            made[at][name] = value
    assert orjson.loads(orjson.dumps({"0": made[0], "1": made[1]})) == {
        "0": {"id": "a", "seconds": 4.2},
        "1": {"session": "s", "face": "f", "face_start": 0.0, "face_end": 9.5},
    }
    assert last.filled(made) == {
        "session": "s",
        "face": "f",
        "insert_at": 0.0,
        "face_end": 9.5,
        "audio_id": "a",
        "sound_seconds": 4.2,
        "original_audio_volume": 0.0,
    }


def test_a_video_without_a_face_is_said_to_be_one() -> None:
    """Asking for the first face of none is an error about the video, not about an attribute."""
    with pytest.raises(MediaRejected, match="no face"):
        _ = FaceSession(id="s").first_face


@pytest.mark.parametrize(
    ("voice", "options"),
    [("nina:0a1b", {}), ("0a1b", {"voice_engine_id": "nina"}), (Voice(id="nina:0a1b"), {})],
)
def test_yunapi_voices_have_an_engine(voice: str | Voice, options: dict[str, Any]) -> None:
    """Engine and audio id come as one word, or the engine as an option."""
    (step,) = ask("yunapi", options, video=URL, text="Hello", voice=voice).steps
    assert dict(step.arguments) == {
        "avatar": URL,
        "use_voice": UseVoice(voice_engine_id="nina", audio_id="0a1b", language="en", text="Hello"),
    }


def test_objects_of_ours_are_given_as_ids() -> None:
    """An Avatar or a Voice does as well as its id."""
    for provider in ("hifly", "guiji"):
        (step,) = ask(provider, avatar=Avatar(id="7"), text="x", voice=Voice(id="v")).steps
        assert (step.arguments["avatar"], step.arguments["voice"]) == ("7", "v")
    (step,) = ask("yunapi", avatar=Avatar(id="model:1:28"), audio=URL).steps
    assert step.arguments["avatar"] == "model:1:28"
    assert ask("kling", image=URL, text="x", voice=Voice(id="v")).steps[0].arguments["voice_id"] == "v"
