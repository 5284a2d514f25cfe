"""Callbacks of every provider that sends any: they wake tasks, on both sides, over real sockets."""

from typing import Any

import pytest
from house import House

import avatarkit
from avatarkit.models import Status
from avatarkit.webhooks import Webhooks
from avatarkit.webhooks.aiohttp import serving
from avatarkit.webhooks.receiver import _formats, signing_providers

SIGNING = pytest.mark.parametrize("provider", list(signing_providers()))
CALLING = pytest.mark.parametrize("provider", list(_formats()))
SECRET = "whsec_dGVzdHNlY3JldHRlc3RzZWNyZXR0ZXN0c2VjcmV0MTI="
OTHER = "whsec_b3RoZXJzZWNyZXRvdGhlcnNlY3JldG90aGVyc2VjcmV0MTI="
SLOW = avatarkit.Polling(shortest=5000, longest=10_000)


class Stage:
    """A house whose sandbox calls webhooks for one client."""

    def __init__(self, house: House, **options: Any) -> None:
        self.house = house
        self.client = house.client(polling=options.pop("polling", SLOW))
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
    house.start(queue_seconds=1.0, run_seconds=30.0)
    stage = Stage(house)
    try:
        task = submission(stage)
        began = house.side.now()
        task.wait()
        assert 30.0 < house.side.now() - began < 31.5
        assert stage.hooks.counts.known >= 1  # one that comes before anybody waits is not
        assert stage.hooks.counts.received == len(house.box.seen.callbacks)
        assert stage.events[-1].status is Status.SUCCEEDED
        assert [entry["status"] for entry in house.box.seen.callbacks][-1] == 200
    finally:
        stage.close()


@CALLING
def test_vendors_failure_wakes_the_task(house: House) -> None:
    """So does the callback of a task that failed."""
    house.start(queue_seconds=1.0, run_seconds=30.0)
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
    house.start(queue_seconds=1.0, run_seconds=30.0)
    stage = Stage(house)
    try:
        submission(stage).wait()
        house.side.sleep(900)
        assert stage.hooks.counts.copies == 0
        assert {entry["attempt"] for entry in house.box.seen.callbacks} == {1}
    finally:
        stage.close()


@SIGNING
def test_signed_callbacks_are_checked(house: House) -> None:
    """A vendor that signs with the secret of the console wakes the task, and its events are marked as signed."""
    house.start(queue_seconds=1.0, run_seconds=30.0)
    house.switch({"webhook_secret": SECRET})
    stage = Stage(house, secrets={house.provider: SECRET})
    try:
        began = house.side.now()
        submission(stage).wait()
        assert house.side.now() - began < 31.5
        assert stage.events
        assert all(event.signed and event.message_id for event in stage.events)
    finally:
        stage.close()


@SIGNING
@pytest.mark.parametrize("theirs", ["", OTHER], ids=["unsigned", "another secret"])
def test_wrongly_signed_callbacks_are_refused(house: House, theirs: str) -> None:
    """With a secret, unsigned and wrongly signed events are 401 and wake nobody; the task is found by polling."""
    house.start(queue_seconds=1.0, run_seconds=30.0)
    house.switch({"webhook_secret": theirs})
    stage = Stage(house, secrets={house.provider: SECRET}, polling=avatarkit.Polling())
    try:
        submission(stage).wait()
        counts = stage.hooks.counts
        assert (counts.received, stage.events) == (0, [])
        assert counts.forged >= 1
        assert {entry["status"] for entry in house.box.seen.callbacks} == {401}
    finally:
        stage.close()
