"""One request for every provider: each route that it says it has leads to a video, and nothing else is sent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from house import House, named

from avatarkit import providers
from avatarkit.errors import InvalidRequest, UnsupportedOperation
from avatarkit.models import Kind, Status
from avatarkit.protocol.endpoint import Effect, Endpoint
from avatarkit.protocol.plan import Capabilities, Route
from avatarkit.protocol.samples import wav
from avatarkit.request import VideoRequest
from avatarkit.settings import CallOptions

_PRESENTERS: Mapping[str, Mapping[str, Any]] = {
    "avatar": {"avatar": "28"},
    "image": {"image": "https://media.example.com/a.png"},
    "video": {"video": "https://media.example.com/a.mp4"},
}
_SPEECHES: Mapping[str, Mapping[str, Any]] = {
    "text": {"text": "Good morning.", "voice": "nina:0a1b"},
    "audio": {"audio": "https://media.example.com/a.wav"},
}


def table(house: House) -> Capabilities:
    """What the provider says that it can make."""
    found: Capabilities = providers.part(house.provider, "generate").CAPABILITIES
    return found


def requests(house: House, client: Any) -> Iterator[tuple[Route, VideoRequest]]:
    """The provider's sample requests, ready to be made, with their routes."""
    for arguments in providers.part(house.provider, "sample_requests").REQUESTS:
        request = VideoRequest(**house.filled(client, arguments))
        route = table(house).route(request.presenter, request.speech)
        assert route is not None
        yield route, request


def endpoints(house: House, route: Route) -> list[Endpoint]:
    """The endpoints of the route's operations."""
    by_name = {endpoint.name: endpoint for endpoint in house.spec.endpoints}
    return [by_name[operation] for operation in route.operations]


def only_billed(house: House) -> set[str]:
    """Where nothing but billed operations is asked for: some providers look at tasks in the same place."""
    free = {named(endpoint) for endpoint in house.spec.endpoints if not endpoint.billed}
    return {named(endpoint) for endpoint in house.spec.endpoints} - free


def test_every_route_leads_to_a_video_and_each_step_is_sent_once(house: House) -> None:
    """For each route: one request per step, in its order, one task per step that makes one, and a video."""
    client = house.client()
    done = []
    for route, request in requests(house, client):
        steps = endpoints(house, route)
        before, tasks = dict(house.box.seen.requests), house.created()
        task = client.generate(request)
        assert task.kind is Kind.VIDEO
        video = task.wait()
        assert video.url.startswith(house.box.files_url)
        assert (task.status, task.done, task.progress) == (Status.SUCCEEDED, True, 1.0)
        sent = {where: count - before.get(where, 0) for where, count in house.box.seen.requests.items()}
        billed = only_billed(house)
        assert {where: count for where, count in sent.items() if count and where in billed} == {
            named(step): 1 for step in steps if named(step) in billed
        }
        assert house.created() - tasks == sum(step.effect is Effect.SUBMIT for step in steps)
        assert house.box.seen.tasks[-1]["id"] == video.task_id
        done.append((route.presenter, route.speech))
    assert sorted(done) == sorted((route.presenter, route.speech) for route in table(house).routes)
    assert house.box.seen.duplicates == []


def test_what_the_provider_cannot_do_sends_nothing(house: House) -> None:
    """Each route that is not there, and each wish that a route has not, names those who can; nothing is sent."""
    client, refused = house.client(), 0
    everybody = [providers.part(name, "generate").CAPABILITIES for name in providers.names()]
    wishes: tuple[dict[str, Any], ...] = ({}, {"subtitles": True}, {"prompt": "waves"}, {"size": "4k"})
    for presenter, speech, wish in itertools.product(_PRESENTERS, _SPEECHES, wishes):
        request = VideoRequest(**_PRESENTERS[presenter], **_SPEECHES[speech], **wish)
        if not table(house).lacks(request):
            continue
        with pytest.raises(UnsupportedOperation) as caught:
            client.generate(request)
        assert list(caught.value.providers) == [
            each.provider for each in everybody if not each.lacks(request)
        ]
        refused += 1
    assert refused
    assert house.requests() == 0


def test_a_request_that_is_wrong_for_everybody_sends_nothing(house: House) -> None:
    """Two presenters and no speech are two problems, whatever the provider."""
    client = house.client()
    with pytest.raises(InvalidRequest) as caught:
        client.generate(VideoRequest(avatar="a", image="https://media.example.com/a.png"))
    assert len(caught.value.problems) == 2
    assert house.requests() == 0


def test_missing_files_are_all_found_before_anything_is_sent(house: House) -> None:
    """Local material that is not there, in whatever step, costs nothing and is named."""
    client = house.client()
    for presenter, speech in itertools.product(("image", "video"), ("audio",)):
        route = table(house).route(presenter, speech)
        if route is None:
            continue
        sample = next(
            each
            for each in providers.part(house.provider, "sample_requests").REQUESTS
            if {presenter, speech} <= each.keys()
        )
        gone = {presenter: "no-such-face.mp4", speech: "no-such-sound.wav"}
        with pytest.raises(InvalidRequest) as caught:
            client.generate(VideoRequest(**{**house.filled(client, sample), **gone}))
        said = str(caught.value)
        assert "no-such-face.mp4" in said
        assert "no-such-sound.wav" in said
    assert house.requests() == 0


def test_without_a_staging_nothing_is_billed_for_files_that_need_one(house: House) -> None:
    """A local file in any step that takes only URLs is refused before the first billed step, with what to set up."""
    client = house.client(staging="")
    generation = providers.part(house.provider, "generate")
    staged, tried = getattr(generation, "STAGED", {}), 0
    for route, request in requests(house, client):
        if route.presenter == "avatar" and route.speech == "text":
            continue
        local = VideoRequest(
            **{
                **{name: getattr(request, name) for name in ("avatar", "text", "voice", "options")},
                "image": None if request.image is None else b"\x89PNG\r\n\x1a\n",
                "video": None if request.video is None else b"\x00\x00\x00\x18ftypmp42",
                "audio": None if request.audio is None else wav(),
            }
        )
        if not any(staged.get(operation) for operation in route.operations):
            continue
        tried += 1
        before = house.created(), house.box.seen.requests.total()
        with pytest.raises(UnsupportedOperation) as caught:
            client.generate(local, options=CallOptions(preflight=False))
        assert "AVATARKIT_STAGING" in caught.value.hint
        assert (house.created(), house.box.seen.requests.total()) == before
    assert bool(tried) is bool(staged)
