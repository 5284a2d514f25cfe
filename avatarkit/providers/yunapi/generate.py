"""YunApi's ways from a :class:`VideoRequest` to a video: always one operation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from avatarkit.models import Voice
from avatarkit.protocol.limits import MediaRule, TextRule
from avatarkit.protocol.plan import Capabilities, Plan, Presenter, Route, Step, settle_route
from avatarkit.providers.yunapi import checks, limits
from avatarkit.providers.yunapi.models import UseVoice
from avatarkit.providers.yunapi.refs import MODEL
from avatarkit.request import VideoRequest

UNIT: Final = ""
"""What :func:`estimate` would count: no unit is published."""

_STANDARD: Final = "videos.create"
_FAST: Final = "videos.create_fast"
_MATERIAL: Final[tuple[Presenter, ...]] = ("image", "video")

CAPABILITIES: Final = Capabilities(
    provider="yunapi",
    title="YunApi",
    routes=(
        *(
            route
            for presenter in _MATERIAL
            for route in (
                Route(
                    presenter=presenter,
                    speech="audio",
                    operations=(_STANDARD,),
                    options=frozenset({"no_watermark"}),
                ),
                Route(
                    presenter=presenter,
                    speech="text",
                    operations=(_STANDARD,),
                    options=frozenset({"no_watermark", "voice_engine_id"}),
                ),
            )
        ),
        Route(presenter="avatar", speech="audio", operations=(_FAST,), options=frozenset({"line_type"})),
    ),
    titles=False,
)
"""What YunApi can make. Its avatars, the models of the fast API, speak recordings only."""


MEDIA: Final[Mapping[str, Mapping[str, MediaRule]]] = {
    _STANDARD: {"avatar": limits.AVATAR, "audio": limits.SPEECH},
    _FAST: {"audio": limits.MATERIAL},
}
"""The local material of each operation, by argument, and its limits: looked into before the first billed step."""

STAGED: Final[Mapping[str, frozenset[str]]] = {name: frozenset(rules) for name, rules in MEDIA.items()}
"""What the vendor takes as URLs only, so that local files need a staging: all of it."""

FREE: Final[Mapping[str, TextRule]] = {"text": limits.TEXT, "title": TextRule(), "audio": TextRule()}
"""The fields that :func:`plan` hands on as they are: beyond these rules it looks at their text's language only."""


def plan(request: VideoRequest, others: Iterable[Capabilities] = ()) -> Plan:
    """The one step that leads to the video.

    A text needs a voice that the vendor has: ``engine:audio id``, or the audio id alone with the option
    ``voice_engine_id``.

    Raises:
        InvalidRequest: the request breaks published limits; everything that can be told without its files is listed.
        UnsupportedOperation: YunApi cannot do it; names those of *others* that can.

    """
    problems: list[str] = []
    route, options = settle_route(CAPABILITIES, request, others, problems)
    engine = options.pop("voice_engine_id", None)
    arguments: dict[str, Any] = {}
    if request.presenter == "avatar":
        arguments["avatar"] = str(request.avatar)
        checks.ref("avatar", request.avatar or "", MODEL, options.get("line_type"), problems)
    else:
        arguments["avatar"] = getattr(request, request.presenter)
    if request.speech == "audio":
        arguments["audio"] = request.audio
    else:
        arguments["use_voice"] = _use_voice(request, engine, problems)
    checks.truth("no_watermark", options.get("no_watermark"), problems)
    checks.settle(problems)
    return Plan((Step(operation=route.operations[0], arguments={**arguments, **options}),))


def _use_voice(request: VideoRequest, engine: Any, problems: list[str]) -> UseVoice:
    """The voice and its text; adds a problem when engine and audio id cannot be told."""
    wrong: list[str] = []
    given = "" if engine is None else checks.words("voice_engine_id", engine, wrong).strip()
    named, audio = _engine_and_audio(request.voice)
    if given and named and given != named:
        wrong.append(f"voice: engine {named} found, {given} allowed: voice_engine_id and voice differ")
    named = named or given
    if not wrong and not (named and audio):
        wrong.append(
            "voice: an engine and an audio id are needed, as 'engine:audio id' or with the option voice_engine_id"
        )
    problems += wrong
    return UseVoice(
        voice_engine_id=named,
        audio_id=audio,
        language=checks.words("language", request.tongue, problems),
        text=checks.words("text", request.text, problems),
    )


def _engine_and_audio(voice: object) -> tuple[str, str]:
    """What ``engine:audio id`` names; no engine when there is no colon."""
    text = voice.id if isinstance(voice, Voice) else voice
    if not isinstance(text, str):
        return "", ""
    engine, colon, audio = text.partition(":")
    return (engine.strip(), audio.strip()) if colon else ("", text.strip())


def estimate(request: VideoRequest) -> float | None:
    """None: the vendor publishes neither prices nor a unit."""
    return None
