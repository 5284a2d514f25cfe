"""Its one way from a request to a video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from avatarkit.protocol.limits import MediaRule
from avatarkit.protocol.plan import Capabilities, Plan, Route, Step, settle_route
from avatarkit.request import VideoRequest
from fifth_vendor.limits import PICTURE

UNIT = "coins"
CAPABILITIES = Capabilities(
    provider="fifth",
    title="Fifth",
    routes=(Route(presenter="image", speech="audio", operations=("videos.create",)),),
    titles=False,
)
MEDIA: Mapping[str, Mapping[str, MediaRule]] = {"videos.create": {"image": PICTURE, "audio": MediaRule()}}
STAGED = {name: frozenset(rules) for name, rules in MEDIA.items()}


def plan(request: VideoRequest, others: Iterable[Capabilities] = ()) -> Plan:
    """The step."""
    settle_route(CAPABILITIES, request, others)
    arguments = {"image": request.image, "audio": request.audio}
    return Plan((Step(operation="videos.create", arguments=arguments),))


def estimate(request: VideoRequest) -> float | None:
    """Three coins a video."""
    return 3.0
