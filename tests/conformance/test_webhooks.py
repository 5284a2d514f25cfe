"""Callbacks of every provider that sends any: they wake tasks, on both sides, over real sockets."""

from typing import Any

import pytest
from house import House

import avatarkit
from avatarkit.models import Status
from avatarkit.webhooks import Webhooks
from avatarkit.webhooks.aiohttp import serving
from avatarkit.webhooks.receiver import _formats

CALLING = pytest.mark.parametrize("provider", list(_formats()))
SLOW = avatarkit.Polling(shortest=5000, longest=10_000)


class Stage:
    """A house whose sandbox calls webhooks for one client."""

    def __init__(self, house: House, **options: Any) -> None:
        self.house = house
        house.start(queue_seconds=1.0, run_seconds=30.0)
        self.client = house.client(polling=SLOW, **options.pop("client", {}))
        self.events: list[Any] = []
        inner = house.side.original(self.client)
        self.hooks = Webhooks(inner, clock=house.side.clock, on_event=self.events.append, **options)
        self._server = serving(self.hooks)
        base = house.side.run(self._server.__aenter__)
        house.account(callback_url=self.hooks.url(house.provider, base))

    def close(self) -> None:
        self.house.side.run(self._server.__aexit__, None, None, None)


def submission(stage: Stage) -> Any:
    changes = {"callback_url": None} if "callback_url" in stage.house.submission.arguments else {}
    return stage.house.submit(stage.client, **changes)


@CALLING
def test_vendors_callback_wakes_the_task(house: House) -> None:
    """The waiter is done at once when the vendor's callback comes, on the async side and on the blocking one."""
    stage = Stage(house)
    try:
        task = submission(stage)
        began = house.side.now()
        task.wait()
        assert 30.0 < house.side.now() - began < 31.5
        assert stage.hooks.counts.known == len(house.box.seen.callbacks)
        assert stage.hooks.counts.forged == stage.hooks.counts.unreadable == 0
        assert stage.events[-1].status is Status.SUCCEEDED
        assert [entry["status"] for entry in house.box.seen.callbacks][-1] == 200
    finally:
        stage.close()


@CALLING
def test_vendors_failure_wakes_the_task(house: House) -> None:
    """So does the callback of a task that failed."""
    stage = Stage(house)
    try:
        house.box.fail_next(times=1)
        task = submission(stage)
        with pytest.raises(avatarkit.TaskFailed):
            task.wait()
        assert house.side.now() < 40
        assert stage.events[-1].status is Status.FAILED
    finally:
        stage.close()


@CALLING
def test_vendor_is_answered_once(house: House) -> None:
    """The vendor takes our answer for "delivered": each event is sent once."""
    stage = Stage(house)
    try:
        submission(stage).wait()
        house.side.sleep(900)
        assert stage.hooks.counts.copies == 0
        assert {entry["attempt"] for entry in house.box.seen.callbacks} == {1}
    finally:
        stage.close()
