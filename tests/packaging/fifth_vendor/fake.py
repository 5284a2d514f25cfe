"""Its wire seen from the other side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from avatarkit.models import Status
from avatarkit.protocol.fakewire import (
    FakeAsset,
    FakeCallback,
    FakeRequest,
    FakeResponse,
    FakeTask,
    MediaOrder,
    World,
    json_response,
    short_id,
)


class FifthFake:
    """The vendor's side."""

    name = "fifth"
    base_path = ""
    switches: Mapping[str, Any] = {}
    callback_statuses: frozenset[Status] = frozenset()

    def stock(self) -> Sequence[FakeAsset]:
        """Nothing."""
        return ()

    def handle(self, request: FakeRequest, world: World) -> FakeResponse:
        """Answer one request."""
        account = world.account(self.name, request.headers.get("authorization", "").removeprefix("Bearer "))
        if account is None:
            return json_response({}, status=401)
        if request.method == "POST":
            task = world.accept(
                account,
                task_id=short_id(world.new_id()),
                endpoint="POST /videos",
                kind="video",
                request=request.json(),
                order=MediaOrder(media="video", seconds=2.0),
                cost=3.0,
            )
            return json_response({"id": task.id}, accepted=task)
        found = world.task(account, request.path.rpartition("/")[2])
        if found is None:
            return json_response({}, status=400)
        status = found.status(world.now())
        done = status is Status.SUCCEEDED and found.result is not None
        url = world.link(found.result) if done and found.result else None
        return json_response({"id": found.id, "status": status.value, "url": url}, looked_at=(found.id,))

    def callback(self, task: FakeTask, status: Status, world: World) -> FakeCallback | None:
        """None."""
        return None


FAKE = FifthFake()
