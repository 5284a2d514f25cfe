"""What the client tells: events for hooks, lines for the log, and no secret in either."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import Any

import pytest
from house import House

from avatarkit.errors import AvatarKitError
from avatarkit.events import (
    BytesMoved,
    CapLearned,
    RequestDone,
    RetryScheduled,
    SubmissionSettled,
    TaskLooked,
    Throttled,
)
from avatarkit.sandbox.discovery import path_labels
from avatarkit.settings import RateLimit

pytestmark = pytest.mark.usefixtures("every_login")


def _busy(house: House, client: Any) -> None:
    """A life with everything in it: uploads, caps, retries, failures, downloads."""
    for operation in house.samples.operations:
        if operation.uploads and operation.yields:
            house.call(client, operation)
    arguments = house.arguments(client, house.submission)
    call = partial(house.method(client, house.submission.method), **arguments)
    house.account(max_running=2)
    tasks = house.side.together(*(call for _ in range(4)))
    house.box.faults.add(house.look, "503_before", times=2)
    house.box.faults.add(house.look, "reset_after", times=2)
    for task in tasks:
        film = task.wait()
        film.save(house.folder / f"{task.id}.mp4")
    film.read()
    house.account(max_running=None)
    for fault in ("reset_after", "html_as_json"):
        house.fault(fault)
        with pytest.raises(AvatarKitError):
            call()
    again = house.submit(client)
    house.box.faults.add(house.look, "502_html_before")
    again.refresh()


def test_hooks_hear_of_everything(house: House) -> None:
    """One busy life hands out every kind of event, each with the provider's and the endpoint's name."""
    events: list[Any] = []
    _busy(house, house.client(hooks=events.append, rate_limit=RateLimit(per_second=10)))
    kinds = Counter(type(event) for event in events)
    assert set(kinds) == {
        RequestDone,
        RetryScheduled,
        Throttled,
        CapLearned,
        SubmissionSettled,
        TaskLooked,
        BytesMoved,
    }
    names = {endpoint.name for endpoint in (*house.spec.endpoints, house.samples.token) if endpoint}
    for event in events:
        assert getattr(event, "provider", house.provider) == house.provider
        assert getattr(event, "endpoint", house.submission.endpoint.name) in names
    settled = [event for event in events if isinstance(event, SubmissionSettled)]
    accepted = [event for event in settled if event.outcome == "accepted"]
    assert {event.task_id for event in accepted} <= {task["id"] for task in house.box.seen.tasks}
    assert len(accepted) == house.created() - 2 + sum(e.outcome == "in doubt" for e in settled) - 2
    assert {event.why for event in events if isinstance(event, Throttled)} == {"rate", "slot"}


def test_requests_are_told_with_their_end(house: House) -> None:
    """RequestDone has method, path without query, attempt, status and seconds; errors are named."""
    events: list[Any] = []
    client = house.client(hooks=[events.append])
    task = house.submit(client)
    house.box.faults.add(house.look, "reset_after")
    task.refresh()
    lent = house.samples.token.name if house.samples.token is not None else ""
    requests = [event for event in events if isinstance(event, RequestDone) and event.endpoint != lent]
    submission, label = house.submission.endpoint, path_labels(house.provider)
    assert [(e.method, label(e.path), e.attempt, e.status) for e in requests] == [
        (submission.method, submission.path, 1, 200),
        (house.samples.look.method, house.samples.look.path, 1, 0),
        (house.samples.look.method, house.samples.look.path, 2, 200),
    ]
    assert [bool(event.error) for event in requests] == [False, True, False]
    assert all(event.seconds >= 0 for event in requests)


def test_several_hooks_hear_the_same(house: House) -> None:
    """All hooks get all events in the same order."""
    first: list[Any] = []
    second: list[Any] = []
    client = house.client(hooks=(first.append, second.append))
    house.submit(client).wait()
    assert first == second
    assert len(first) >= 3


def test_a_hook_that_fails_does_not_break_the_call(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """The error of a hook is logged; the task is submitted, waited for and saved all the same."""

    def bad(event: object) -> None:
        raise ZeroDivisionError("a hook of the user's")

    client = house.client(hooks=bad)
    with caplog.at_level(logging.ERROR, "avatarkit"):
        task = house.submit(client)
        assert task.wait().task_id == task.id
    assert house.created() == 1
    assert "hook" in caplog.text


def test_events_and_logs_hold_no_secret(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, through uploads, refusals, faults and downloads: no token, signature, signed URL or header."""
    house.start()
    wrong = "another-secret-token"
    events: list[Any] = []
    with caplog.at_level(logging.DEBUG):
        client = house.client(hooks=events.append)
        _busy(house, client)
        with pytest.raises(AvatarKitError):
            house.submit(house.client(wrong))
    ours = [record for record in caplog.records if record.name.startswith("avatarkit")]
    assert len(ours) > 20
    text = "\n".join(record.getMessage() for record in caplog.records)
    text += "\n".join(map(repr, events)) + repr(client) + repr(house.side.original(client)._account)
    for secret in (house.box.token, wrong, "Signature=", "OSSAccessKeyId", "Bearer ", "Expires="):
        assert secret not in text


def test_logging_is_silent_by_default(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """An ordinary life logs nothing at WARNING or above, and at INFO only the token of what was accepted."""
    with caplog.at_level(logging.INFO, "avatarkit"):
        task = house.submit(house.client())
        task.wait().read()
    records = [record for record in caplog.records if record.name.startswith("avatarkit")]
    assert {record.levelno for record in records} <= {logging.INFO}
    assert task.to_token() in [record.getMessage().rpartition(" ")[2] for record in records]
