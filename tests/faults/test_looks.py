"""Waiting while the provider is in trouble: the wait outlasts it and ends right."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
import pytest
from house import House

from avatarkit.errors import AuthenticationError, LinkExpired, NotFound, TaskFailed, WaitTimeout
from avatarkit.events import TaskLooked
from avatarkit.models import Status
from avatarkit.sandbox.faults import PRESETS, Fault, FaultKind


def _answer(body: Any, status: int = 200) -> Fault:
    return Fault(
        kind=FaultKind.ANSWER,
        accept=False,
        status=status,
        body=body if isinstance(body, bytes) else orjson.dumps(body),
        content_type="application/json",
    )


_GARBAGE = {
    "nothing": _answer(b""),
    "null": _answer(None),
    "a list": _answer([1, 2]),
    "a number": _answer(3),
    "deep": _answer(b"[" * 5000),
    "no status": _answer({"code": 0}),
    "status is a list": _answer({"code": 0, "status": [3]}),
    "status is a boolean": _answer({"code": 0, "status": True}),
    "code is an object": _answer({"code": {}, "status": 3}),
    "404": _answer(b"404 page not found", 404),
    "403 page": _answer(b"<html>blocked</html>", 403),
    "500": _answer({"code": 11}, 500),
    "520": _answer(b"", 520),
}


def test_a_provider_that_is_away_for_an_hour(house: House) -> None:
    """Connections are refused for an hour: the wait goes on, without a storm, and ends well afterwards."""
    house.start(run_seconds=60)
    task = house.submit(house.client())
    house.box.refuse(3600.0)
    assert task.wait(timeout=3 * 3600).task_id == task.id
    assert house.side.now() > 3600
    assert house.box.seen.polls[task.id] < 10


@pytest.mark.parametrize("fault", sorted(set(PRESETS) - {"refuse", "huge", "drip"}))
def test_no_disturbance_of_looks_ends_a_wait(house: House, fault: str) -> None:
    """Twelve disturbed looks in a row, whatever the disturbance: the wait ends with the result."""
    house.start(queue_seconds=1, run_seconds=5)
    task = house.submit(house.client())
    times = 4 if fault == "empty_url" else 12
    house.box.faults.add(house.look, fault, times=times)
    film = task.wait(timeout=24 * 3600)
    house.box.faults.clear()
    assert film.task_id == task.id
    assert len(film.read()) == 4096


@pytest.mark.parametrize("garbage", sorted(_GARBAGE))
def test_garbage_does_not_end_a_wait(house: House, garbage: str) -> None:
    """Answers outside the provider's shapes are no news of the task."""
    task = house.submit(house.client())
    house.box.faults.add(house.look, _GARBAGE[garbage], times=6)
    assert task.wait(timeout=24 * 3600).task_id == task.id
    assert task.status is Status.SUCCEEDED


def test_an_outage_does_not_outlast_the_waiter_s_time(house: House) -> None:
    """While looks fail, the waiter's own deadline holds to the second."""
    task = house.submit(house.client())
    house.box.faults.add(house.look, "hang_before", times=1000)
    began = house.side.now()
    with pytest.raises(WaitTimeout) as caught:
        task.wait(timeout=200)
    assert 200 <= house.side.now() - began < 201
    house.box.faults.clear()
    assert house.client().task(caught.value.token).wait()


def test_failed_looks_are_told(house: House) -> None:
    """Hooks hear of each failed look, with its error; the last one tells the end."""
    events: list[Any] = []
    task = house.submit(house.client(hooks=events.append))
    house.box.faults.add(house.look, "503_before", times=2)
    task.wait()
    looks = [event for event in events if isinstance(event, TaskLooked)]
    assert [bool(look.error) for look in looks[:3]] == [True, True, False]
    assert looks[-1].status == "succeeded"
    assert {look.task_id for look in looks} == {task.id}


def test_a_task_the_provider_does_not_know(house: House) -> None:
    """The same refusal again and again is the answer: the wait raises it, and the handle stays good."""
    task = house.submit(house.client())
    refusal = next(r for r in house.samples.refusals if r.error is NotFound)
    house.box.faults.add(house.look, _answer(refusal.body), times=3)
    with pytest.raises(NotFound):
        task.wait(timeout=24 * 3600)
    assert house.box.seen.requests[house.look] == 3
    assert task.wait().task_id == task.id


def test_two_refusals_are_not_yet_the_answer(house: House) -> None:
    """A provider that does not find a fresh task at first is believed only when it insists."""
    task = house.submit(house.client())
    refusal = next(r for r in house.samples.refusals if r.error is NotFound)
    house.box.faults.add(house.look, _answer(refusal.body), times=2)
    assert task.wait(timeout=24 * 3600).task_id == task.id


def test_credentials_withdrawn_while_waiting(house: House) -> None:
    """All waits end with AuthenticationError at once; with the credentials back, the same handles go on."""
    house.start(run_seconds=300)
    client = house.client()
    tasks = [house.submit(client) for _ in range(3)]
    unauthorized = Fault(kind=FaultKind.ANSWER, accept=False, status=401, body=b"Unauthorized")
    house.blind(unauthorized, times=100)
    ended = house.side.together(*(partial(task.wait) for task in tasks))
    assert [type(error) for error in ended] == [AuthenticationError] * 3
    assert house.looks() <= 3 * (2 if house.samples.token is not None else 1)
    house.box.faults.clear()
    assert [task.wait().task_id for task in tasks] == [task.id for task in tasks]


def test_a_failure_during_trouble_is_still_the_failure(house: House) -> None:
    """A task that failed while the provider was in trouble is reported as failed."""
    house.start().fail_next()
    task = house.submit(house.client())
    house.box.faults.add(house.look, "502_html_before", times=5)
    with pytest.raises(TaskFailed):
        task.wait(timeout=24 * 3600)


def test_an_end_is_final(house: House) -> None:
    """After a success, a look that says something else changes nothing but leaves no fresh URL."""
    task = house.submit(house.client())
    film = task.wait()
    house.box.faults.add(house.look, "unknown_status")
    with pytest.raises(LinkExpired):
        film.renew()
    assert task.status is Status.SUCCEEDED
    assert task.wait() == film


def test_slots_come_free_while_nobody_waits(house: House) -> None:
    """A submission that waits for a slot has the running task looked at, through failing looks as well."""
    house.start(run_seconds=60)
    client = house.client(max_running=1)
    first = house.submit(client)
    house.box.faults.add(house.look, "reset_after", times=5)
    second = house.submit(client)
    assert first.done
    assert second.wait().task_id == second.id
    assert house.box.seen.peak_running == 1
