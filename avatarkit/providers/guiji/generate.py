"""Guiji's ways from a :class:`VideoRequest` to a video: one operation for an avatar, a clone before it for a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from avatarkit.models import Kind
from avatarkit.protocol.limits import MediaRule, TextRule
from avatarkit.protocol.plan import Capabilities, Made, Plan, Presenter, Route, Speech, Step, settle_route
from avatarkit.protocol.speech import spoken_seconds
from avatarkit.providers.guiji import checks, limits
from avatarkit.request import VideoRequest

UNIT: Final = "seconds of video"
"""What :func:`estimate` counts, the unit of ``account.benefits().video_seconds``."""

_VIDEO: Final = "videos.create"
_CLONE: Final = "avatars.create"
_VIDEO_OPTIONS: Final = frozenset({"pn", "callback_url"})
_CONSENT: Final = frozenset({"authorize", "authorize_url"})
_CLONE_OPTIONS: Final = _CONSENT | {"authorize_text", "level", "compress"}
_PRESENTERS: Final[tuple[Presenter, ...]] = ("avatar", "video")
_SPEECHES: Final[tuple[Speech, ...]] = ("text", "audio")


def _routes() -> Iterator[Route]:
    for presenter in _PRESENTERS:
        cloned = presenter == "video"
        for speech in _SPEECHES:
            yield Route(
                presenter=presenter,
                speech=speech,
                operations=(_CLONE, _VIDEO) if cloned else (_VIDEO,),
                options=_VIDEO_OPTIONS | _CLONE_OPTIONS if cloned else _VIDEO_OPTIONS,
                needs=frozenset({"authorize_text"}) if cloned else frozenset(),
                needs_one=_CONSENT if cloned else frozenset(),
            )


CAPABILITIES: Final = Capabilities(provider="guiji", title="Guiji", routes=tuple(_routes()), searchable=True)
"""What Guiji can make. An avatar from a video needs the consent of the person: its text, and a recording of it."""


MEDIA: Final[Mapping[str, Mapping[str, MediaRule]]] = {
    _CLONE: {"video": limits.AVATAR_VIDEO, "authorize": limits.AVATAR_VIDEO},
    _VIDEO: {"audio": limits.DRIVING_AUDIO},
}
"""The local material of each operation, by argument, and its limits: looked into before the first billed step."""

STAGED: Final[Mapping[str, frozenset[str]]] = {name: frozenset(rules) for name, rules in MEDIA.items()}
"""What the vendor takes as URLs only, so that local files need a staging: all of it."""

FREE: Final[Mapping[str, TextRule]] = {"text": limits.TEXT, "title": TextRule(), "audio": TextRule()}
"""The fields that :func:`plan` hands on as they are: beyond these rules it looks at none of them."""


def plan(request: VideoRequest, others: Iterable[Capabilities] = ()) -> Plan:
    """The steps that lead to the video: an avatar cloned from a video first, then the video.

    The title and ``callback_url`` are the video's; the avatar gets a unique name.

    Raises:
        InvalidRequest: the request breaks published limits; everything that can be told without its files is listed.
        UnsupportedOperation: Guiji cannot do it; names those of *others* that can.

    """
    problems: list[str] = []
    route, options = settle_route(CAPABILITIES, request, others, problems)
    arguments: dict[str, Any] = {"avatar": Made(0)}
    if request.presenter == "avatar":
        arguments["avatar"] = checks.avatar_id(request.avatar or "", problems)
    if request.speech == "text":
        arguments["text"] = checks.text("text", request.text, problems)
        arguments["voice"] = checks.voice_id(request.voice or "", problems)
    else:
        arguments["audio"] = request.audio
    if checks.title_or_none(request.title, problems):
        arguments["title"] = request.title
    checks.one_of("pn", options.get("pn"), (0, 1), problems)
    checks.web_address("callback_url", options.get("callback_url"), problems)
    arguments |= {name: options[name] for name in sorted(_VIDEO_OPTIONS & options.keys())}
    steps = [Step(operation=_VIDEO, arguments=arguments, named_by="title")]
    if _CLONE in route.operations:
        given = {"video": request.video, **_consent(options, problems)}
        steps.insert(0, Step(operation=_CLONE, arguments=given, makes=Kind.AVATAR, named_by="title"))
    checks.settle(problems)
    return Plan(tuple(steps))


def _consent(options: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """The clone's own arguments."""
    consents = sorted(_CONSENT & options.keys())
    if len(consents) != 1:
        found = " and ".join(consents) or "none"
        problems.append(f"authorize: {found} given, one of authorize and authorize_url needed")
    checks.web_address("authorize_url", options.get("authorize_url"), problems)
    if "authorize_text" in options:
        checks.text("authorize_text", options["authorize_text"], problems)
    checks.one_of("level", options.get("level"), (1,), problems)
    checks.yes_or_no("compress", options.get("compress"), problems)
    return {name: options[name] for name in sorted(_CLONE_OPTIONS & options.keys())}


def estimate(request: VideoRequest) -> float | None:
    """Seconds of video that the package is expected to lose, from the length of the text; None for a recording.

    The vendor publishes no prices: videos are taken off the package's time, in milliseconds (the vendor's document,
    1). An avatar from a video takes one of its clonings besides, which is another unit and not counted here.
    """
    if CAPABILITIES.lacks(request) or request.text is None:
        return None
    return spoken_seconds(request.text)
