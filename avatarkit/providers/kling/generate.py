"""Kling's ways from a :class:`VideoRequest` to a video: a picture that speaks, or a video's face that speaks anew.

A text is spoken first, and a video's faces are looked for: both cost 0.05 units and answer at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from avatarkit.models import Voice
from avatarkit.protocol.limits import MediaFacts, MediaRule, TextRule
from avatarkit.protocol.plan import Capabilities, Made, Plan, Route, Step, settle_route
from avatarkit.protocol.speech import spoken_seconds
from avatarkit.providers.kling import checks, limits
from avatarkit.request import VideoRequest

UNIT: Final = "units"
"""What :func:`estimate` counts, the unit of ``account.credit()``."""

_SPEAK: Final = "audios.create_by_tts"
_FACES: Final = "lip_sync.identify_face"
_PICTURE: Final = "videos.create_avatar"
_LIPS: Final = "lip_sync.create"
_TASK: Final = frozenset({"watermark", "callback_url", "external_task_id"})
_PICTURE_OPTIONS: Final = _TASK | {"mode"}
_LIPS_OPTIONS: Final = _TASK | {"sound_volume", "original_audio_volume"}
PART_LASTS: Final[Mapping[str, float]] = {
    "audios.create_by_tts": (limits.RESULT_DAYS - 1) * 86400.0,
    "lip_sync.identify_face": 23 * 3600.0,
}
"""Seconds for which a later step can use what a step made: speech for 30 days, faces for 24 hours, less a little."""

PART_COSTS: Final[Mapping[str, float]] = {
    "audios.create_by_tts": limits.SPEECH_UNITS,
    "lip_sync.identify_face": limits.SPEECH_UNITS,
}
"""What steps before the video cost, out of what :func:`estimate` gives for all of them."""

_LIPS_BLOCK_SECONDS: Final = 5.0
_ORIGINAL_VOLUME: Final = 0.0

CAPABILITIES: Final = Capabilities(
    provider="kling",
    title="Kling",
    searchable=True,
    routes=(
        Route(
            presenter="image",
            speech="audio",
            operations=(_PICTURE,),
            prompt=True,
            sizes=tuple(limits.MODES.values()),
            options=_PICTURE_OPTIONS,
        ),
        Route(
            presenter="image",
            speech="text",
            operations=(_SPEAK, _PICTURE),
            prompt=True,
            sizes=tuple(limits.MODES.values()),
            options=_PICTURE_OPTIONS | {"voice_speed"},
        ),
        Route(
            presenter="video",
            speech="audio",
            operations=(_FACES, _LIPS),
            options=_LIPS_OPTIONS | {"sound_end"},
        ),
        Route(
            presenter="video",
            speech="text",
            operations=(_SPEAK, _FACES, _LIPS),
            options=_LIPS_OPTIONS | {"voice_speed"},
        ),
    ),
    titles=False,
)
"""What Kling can make. It has no avatars of its own."""


MEDIA: Final[Mapping[str, Mapping[str, MediaRule]]] = {
    _PICTURE: {"image": limits.IMAGE, "sound_file": limits.SOUND},
    _FACES: {"video": limits.LIP_VIDEO},
    _LIPS: {"sound_file": limits.LIP_SOUND},
}
"""The local material of each operation, by argument, and its limits: looked into before the first billed step."""

STAGED: Final[Mapping[str, frozenset[str]]] = {_FACES: frozenset({"video"})}
"""What the vendor takes as URLs only, so that local files need a staging."""

FREE: Final[Mapping[str, TextRule]] = {
    "text": limits.TEXT,
    "title": TextRule(),
    "prompt": limits.PROMPT,
    "audio": TextRule(),
}
"""The fields that :func:`plan` hands on as they are: beyond these rules it looks only at the text's language, and at
whether the audio is a URL."""


def look(step: Step, argument: str, facts: MediaFacts | None, *, check: bool) -> list[str]:
    """What is wrong with a local file that its rule cannot say.

    A sound's length is needed whatever *check*, which is whether preflight is on: where it is not known, a face would
    be looked for, and paid for, in vain.
    """
    if facts is not None and check and (step.operation, argument) == (_PICTURE, "image"):
        return limits.check_ratio("image", facts)
    if (step.operation, argument) != (_LIPS, "sound_file") or "sound_end" in step.arguments:
        return []
    if facts is None or facts.seconds is None:
        wanted = "give it in seconds, as {'kling': {'sound_end': 12.5}}, or install the extra 'media'"
        return [f"options: no 'sound_end' found, and the length of the sound cannot be told here: {wanted}"]
    problems: list[str] = []
    checks.whole_sound(facts.seconds, 0, 0, None, problems)
    return problems


def plan(request: VideoRequest, others: Iterable[Capabilities] = ()) -> Plan:
    """The steps that lead to the video: a text is spoken, a video's faces are looked for, then the video is made.

    In a video the first face that is found speaks, from when it is first seen, and what is said there is silenced
    unless the option ``original_audio_volume`` says otherwise. A sound behind a URL needs the option ``sound_end``
    there: its length in seconds.

    Raises:
        InvalidRequest: the request breaks published limits; everything that can be told without its files is listed.
        UnsupportedOperation: Kling cannot do it; names those of *others* that can.

    """
    problems: list[str] = []
    route, options = settle_route(CAPABILITIES, request, others, problems)
    _check_task(options, problems)
    steps: list[Step] = []
    sound: dict[str, Any] = {"sound_file": request.audio}
    if _SPEAK in route.operations:
        steps.append(_speak(request, options, problems))
        sound = {"audio_id": Made(0)}
    if _LIPS in route.operations:
        if request.speech == "text":
            sound["sound_seconds"] = Made(0, "seconds")
        steps += _lips(request, sound, options, len(steps), problems)
    else:
        steps.append(_picture(request, sound, options, problems))
    checks.settle(problems)
    return Plan(tuple(steps))


def _check_task(options: Mapping[str, Any], problems: list[str]) -> None:
    checks.watermark(options.get("watermark"), problems)
    checks.web_address("callback_url", options.get("callback_url"), problems)
    checks.external_id(options.get("external_task_id"), problems)


def _speak(request: VideoRequest, options: dict[str, Any], problems: list[str]) -> Step:
    voice = request.voice.id if isinstance(request.voice, Voice) else request.voice
    arguments: dict[str, Any] = {
        "text": checks.spoken_text(request.text or "", problems),
        "voice_id": checks.identifier("voice", voice, problems),
        "voice_language": checks.choice("language", request.tongue, limits.LANGUAGES, problems),
    }
    checks.spoken_by("voice", arguments["voice_id"], request.tongue, problems)
    if "voice_speed" in options:
        speed = options.pop("voice_speed")
        checks.number("voice_speed", speed, limits.SPEED, problems)
        arguments["voice_speed"] = speed
    keeps = {"id": "id", "seconds": "duration"}
    return Step(operation=_SPEAK, arguments=arguments, makes=None, keeps=keeps)


def _picture(
    request: VideoRequest, sound: Mapping[str, Any], options: Mapping[str, Any], problems: list[str]
) -> Step:
    arguments = {"image": request.image, **sound, **options}
    mode = _mode(request, options, problems)
    if mode is not None:
        arguments["mode"] = mode
    if checks.prompt(request.prompt, problems) is not None:
        arguments["prompt"] = request.prompt
    return Step(operation=_PICTURE, arguments=arguments, named_by="external_task_id")


def _mode(request: VideoRequest, options: Mapping[str, Any], problems: list[str]) -> str | None:
    """The mode that yields the size, or the one that was given; both may be, when they agree."""
    known = tuple(limits.MODES)
    mode = checks.choice("mode", options.get("mode"), known, problems)
    for name, size in limits.MODES.items():
        if size == request.size:
            if mode in known and mode != name:
                problems.append(f"mode: {mode} found, {name} allowed with the size {size}")
            return name
    return mode


def _lips(
    request: VideoRequest,
    sound: Mapping[str, Any],
    options: Mapping[str, Any],
    at: int,
    problems: list[str],
) -> list[Step]:
    """Find the faces with step number *at*, then make the first one speak."""
    for name in ("sound_volume", "original_audio_volume"):
        checks.number(name, options.get(name), limits.VOLUME, problems)
    if "sound_end" in options:
        checks.sound_end(options["sound_end"], 0, problems)
    elif _behind_url(request.audio):
        problems.append(
            "options: no 'sound_end' found, a sound behind a URL needs it with a video: its length in seconds, as "
            "{'kling': {'sound_end': 12.5}}"
        )
    keeps = {
        "session": "id",
        "face": "first_face.id",
        "face_start": "first_face.seen_from",
        "face_end": "first_face.end",
    }
    arguments = {
        "session": Made(at, "session"),
        "face": Made(at, "face"),
        "insert_at": Made(at, "face_start"),
        "face_end": Made(at, "face_end"),
        "original_audio_volume": _ORIGINAL_VOLUME,
        **sound,
        **options,
    }
    return [
        Step(operation=_FACES, arguments={"video": request.video}, makes=None, keeps=keeps),
        Step(operation=_LIPS, arguments=arguments, named_by="external_task_id"),
    ]


def _behind_url(media: object) -> bool:
    return isinstance(media, str) and media[:8].lower().startswith(("http://", "https://"))


def estimate(request: VideoRequest) -> float | None:
    """Units that the video is expected to cost, from the length of its text; None where that cannot be told.

    A recording's length is not known here, but for the option ``sound_end``; wrong options give None as well.
    Prices: ``limits.UNITS_PER_SECOND``, ``limits.SPEECH_UNITS`` and ``limits.LIP_SYNC_UNITS``, the vendor's list of
    2026; what is charged differs a little.
    """
    if not CAPABILITIES.can(request):
        return None
    given = request.options.get("kling")
    options = given if isinstance(given, Mapping) else {}
    seconds = _spoken(request, options)
    if seconds is None:
        return None
    at_once = limits.SPEECH_UNITS * ((request.speech == "text") + (request.presenter == "video"))
    if request.presenter == "video":
        longest = limits.LIP_SOUND.max_seconds or seconds
        blocks = math.ceil(min(seconds, longest) / _LIPS_BLOCK_SECONDS)
        return at_once + limits.LIP_SYNC_UNITS * blocks
    wrong: list[str] = []
    mode = _mode(request, options, wrong) or "std"
    return None if wrong else at_once + limits.UNITS_PER_SECOND[mode] * seconds


def _spoken(request: VideoRequest, options: Mapping[str, Any]) -> float | None:
    """Seconds of speech, as far as they can be told."""
    wrong: list[str] = []
    if request.text is not None:
        rate = checks.number("voice_speed", options.get("voice_speed"), limits.SPEED, wrong)
        return None if wrong else spoken_seconds(request.text) / (rate or 1.0)
    if request.presenter != "video" or options.get("sound_end") is None:
        return None
    end = checks.milliseconds("sound_end", options["sound_end"], wrong)
    return None if wrong else end / 1000
