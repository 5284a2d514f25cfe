"""HiFly's ways from a :class:`VideoRequest` to a video: one operation for an avatar, a clone before it for material."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from avatarkit.models import Kind
from avatarkit.protocol.limits import MediaRule, TextRule
from avatarkit.protocol.plan import Capabilities, Made, Plan, Presenter, Route, Speech, Step, settle_route
from avatarkit.protocol.speech import spoken_seconds
from avatarkit.providers.hifly import checks, limits
from avatarkit.request import VideoRequest

UNIT: Final = "credits"
"""What :func:`estimate` counts, the unit of ``account.credit()``."""

CREDITS_PER_SECOND: Final[Mapping[str, float]] = {"text": 10.0, "audio": 9.0}
"""Credits a second of video costs, by speech. The vendor's documents name no prices; these stood on its price page
(hifly.cc/membership) as one published project quotes it, and bind nobody."""

IMAGE_AVATAR_CREDITS: Final = 350.0
"""Credits an avatar from a picture costs; from the same page. One from a video is not said to cost any."""

PART_COSTS: Final[Mapping[str, float]] = {"avatars.create_by_image": IMAGE_AVATAR_CREDITS}
"""What steps before the video cost, out of what :func:`estimate` gives for all of them."""

_CLONES: Final[Mapping[str, str]] = {"image": "avatars.create_by_image", "video": "avatars.create_by_video"}
_VIDEOS: Final[Mapping[str, str]] = {"text": "videos.create_by_tts", "audio": "videos.create_by_audio"}
_OPTIONS: Final = frozenset({"pipeline", "aigc_flag"})
_PRESENTERS: Final[tuple[Presenter, ...]] = ("avatar", "image", "video")
_SPEECHES: Final[tuple[Speech, ...]] = ("text", "audio")


def _routes() -> Iterator[Route]:
    for presenter in _PRESENTERS:
        clone = (_CLONES[presenter],) if presenter in _CLONES else ()
        for speech in _SPEECHES:
            yield Route(
                presenter=presenter,
                speech=speech,
                operations=(*clone, _VIDEOS[speech]),
                subtitles=speech == "text",
                options=_OPTIONS | {"model"} if presenter == "image" else _OPTIONS,
            )


CAPABILITIES: Final = Capabilities(provider="hifly", title="HiFly", routes=tuple(_routes()))
"""What HiFly can make. A picture needs an enterprise plan, which shows only when the clone is refused."""


MEDIA: Final[Mapping[str, Mapping[str, MediaRule]]] = {
    "avatars.create_by_image": {"image": limits.AVATAR_IMAGE},
    "avatars.create_by_video": {"video": limits.AVATAR_VIDEO},
    "videos.create_by_audio": {"audio": limits.DRIVING_AUDIO},
}
"""The local material of each operation, by argument, and its limits: looked into before the first billed step."""

FREE: Final[Mapping[str, TextRule]] = {"text": limits.TEXT, "title": limits.TITLE, "audio": TextRule()}
"""The fields that :func:`plan` hands on as they are: beyond these rules it looks at none of them."""


def plan(request: VideoRequest, others: Iterable[Capabilities] = ()) -> Plan:
    """The steps that lead to the video: an avatar cloned from a picture or video first, then the video.

    The title is the video's; the avatar gets a unique name. ``aigc_flag`` marks the video.

    Raises:
        InvalidRequest: the request breaks published limits; everything that can be told without its files is listed.
        UnsupportedOperation: HiFly cannot do it; names those of *others* that can.

    """
    problems: list[str] = []
    route, options = settle_route(CAPABILITIES, request, others, problems)
    checks.one_of("model", options.get("model"), (1, 2, 3), problems)
    clone = {"model": options.pop("model")} if "model" in options else {}
    arguments: dict[str, Any] = {"avatar": Made(0)}
    if request.presenter == "avatar":
        arguments["avatar"] = checks.identifier("avatar", request.avatar or "", problems)
    if request.speech == "text":
        arguments["voice"] = checks.identifier("voice", request.voice or "", problems)
        arguments["text"] = checks.spoken_text(request.text or "", problems)
        checks.subtitle_fields(request.subtitles, problems)
        if request.subtitles is not None:
            arguments["subtitle"] = request.subtitles
    else:
        arguments["audio"] = request.audio
    if checks.title_or_none(request.title, problems) is not None:
        arguments["title"] = request.title
    checks.flag(options.get("aigc_flag"), problems)
    checks.settle(problems)
    steps = [Step(operation=route.operations[-1], arguments={**arguments, **options}, named_by="title")]
    if request.presenter != "avatar":
        given = {request.presenter: getattr(request, request.presenter), **clone}
        steps.insert(
            0, Step(operation=route.operations[0], arguments=given, makes=Kind.AVATAR, named_by="title")
        )
    return Plan(tuple(steps))


def estimate(request: VideoRequest) -> float | None:
    """Credits that the video is expected to cost, from the length of its text; None where that cannot be told.

    A recording's length is not known here. See ``CREDITS_PER_SECOND`` for where the prices come from.
    """
    if not CAPABILITIES.can(request) or request.text is None:
        return None
    clone = IMAGE_AVATAR_CREDITS if request.presenter == "image" else 0.0
    return clone + CREDITS_PER_SECOND["text"] * spoken_seconds(request.text)
