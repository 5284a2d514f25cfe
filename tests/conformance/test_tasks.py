"""Handles, waits and updates: the same on both sides and for every provider."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
from house import House
from sides import SIDES

import avatarkit
from avatarkit.errors import BridgeError, ClientClosed, InvalidHandle, TaskFailed, WaitTimeout
from avatarkit.models import FailureReason, Status
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.settings import Polling

pytestmark = pytest.mark.usefixtures("every_login")
_FOREVER = float("inf")


def test_a_task_is_a_handle_before_its_first_look(house: House) -> None:
    """A fresh handle knows its id, kind, marker and provider, counts as queued, and looked at nothing."""
    client = house.client()
    task = house.submit(client)
    assert (task.provider, task.kind, task.status, task.raw_status) == (
        house.provider,
        house.submission.yields,
        Status.QUEUED,
        "",
    )
    assert task.id == house.box.seen.tasks[0]["id"]
    assert task.marker == house.box.seen.tasks[0]["title"]
    assert not task.done
    assert task.response is None
    assert 0.0 <= task.elapsed < 5
    assert 0.0 <= task.progress < 1.0
    assert task.id in repr(task)
    assert house.box.seen.polls[task.id] == 0


def test_waiting_gives_the_result_and_waiting_again_gives_the_same(house: House) -> None:
    """A second wait on a finished task asks nobody and gives an equal result."""
    task = house.submit(house.client())
    first = task.wait()
    looks = house.box.seen.polls[task.id]
    assert task.wait() == first
    assert (task.status, task.done, task.progress) == (Status.SUCCEEDED, True, 1.0)
    assert task.response.status == 200
    assert house.box.seen.polls[task.id] == looks
    assert first.task_id == task.id
    assert first.url.startswith(house.box.files_url)
    assert (first.duration is not None) is house.samples.timed
    assert first.response is task.response


def test_refresh_looks_once_and_never_after_the_end(house: House) -> None:
    """Each refresh is one look while the task is open; after the end there are none."""
    house.start(queue_seconds=10, run_seconds=10)
    task = house.submit(house.client())
    seen = []
    for _ in range(4):
        seen.append(task.refresh())
        house.side.sleep(8)
    assert seen == [Status.QUEUED, Status.QUEUED, Status.RUNNING, Status.SUCCEEDED]
    assert task.refresh() is Status.SUCCEEDED
    assert house.box.seen.polls[task.id] == 4


def test_updates_are_the_changes_and_end_with_the_end(house: House) -> None:
    """Each status once, in order, the last one terminal; progress never falls."""
    house.start(queue_seconds=60, run_seconds=60)
    task = house.submit(house.client(polling=Polling(longest=10)))
    updates = list(task.updates())
    assert [update.status for update in updates] == [Status.QUEUED, Status.RUNNING, Status.SUCCEEDED]
    assert [update.task_id for update in updates] == [task.id] * 3
    progress = [update.progress for update in updates]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert updates[-1].looks == house.box.seen.polls[task.id]
    assert [update.status for update in task.updates()] == [Status.SUCCEEDED]


def test_updates_of_a_failed_task_end_without_an_error(house: House) -> None:
    """The failure is the last update; the wait raises it."""
    house.start().fail_next()
    task = house.submit(house.client())
    assert list(task.updates())[-1].status is Status.FAILED
    with pytest.raises(TaskFailed):
        task.wait()


def test_updates_can_be_left_early(house: House) -> None:
    """Leaving the loop over updates keeps the task and a second watcher unharmed."""
    task = house.submit(house.client())
    for update in task.updates():
        assert update.status is Status.QUEUED
        break
    assert task.wait().task_id == task.id


def test_updates_run_out_of_time(house: House) -> None:
    """Watching ends with WaitTimeout when its time is over."""
    house.start(run_seconds=_FOREVER)
    task = house.submit(house.client())
    with pytest.raises(WaitTimeout):
        list(task.updates(timeout=300))


def test_a_wait_that_times_out_carries_the_token_and_can_be_repeated(house: House) -> None:
    """WaitTimeout names the task and how to resume; the task goes on and the next wait gets its result."""
    house.start(run_seconds=400)
    client = house.client()
    task = house.submit(client)
    began = house.side.now()
    with pytest.raises(WaitTimeout) as caught:
        task.wait(timeout=100)
    assert 100 <= house.side.now() - began < 101
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.token, caught.value.task_id) == (task.to_token(), task.id)
    assert caught.value.token in caught.value.hint
    assert not task.done
    assert client.task(caught.value.token).wait().task_id == task.id
    assert task.wait().task_id == task.id


def test_a_wait_of_no_time_asks_nobody(house: House) -> None:
    """Zero seconds: at once WaitTimeout, without a look."""
    task = house.submit(house.client())
    with pytest.raises(WaitTimeout):
        task.wait(timeout=0)
    assert house.box.seen.polls[task.id] == 0


def test_a_cancelled_wait_leaves_the_task_running(house: House) -> None:
    """The handle of a cut-off wait is good for another one, and another waiter is not disturbed."""
    house.start(run_seconds=300)
    task = house.submit(house.client())
    began = house.side.now()
    ended = house.side.cut_off(partial(task.wait), lambda: house.side.now() > began + 50, 5.0)
    assert isinstance(ended, asyncio.CancelledError | BridgeError)
    assert not task.done
    assert task.wait().task_id == task.id


def test_many_waiters_of_one_task_share_its_looks(house: House) -> None:
    """Twenty waits on one task cost no more looks than one, and all get the same result."""
    task = house.submit(house.client())
    results = house.side.together(*(partial(task.wait) for _ in range(20)))
    assert [result == results[0] for result in results] == [True] * 20
    assert house.box.seen.polls[task.id] <= 4


def test_two_hundred_tasks_at_once(house: House) -> None:
    """Two hundred submissions and waits side by side: each gets its own result, none is sent twice."""
    client = house.client(rate_limit=None)
    submit = partial(
        house.method(client, house.submission.method), **house.arguments(client, house.submission)
    )
    tasks = house.side.together(*(submit for _ in range(200)))
    assert len({task.id for task in tasks}) == 200
    assert house.created() == 200
    assert len({task.marker for task in tasks}) == (200 if house.samples.marked else 1)
    results = house.side.together(*(partial(task.wait) for task in tasks))
    assert [result.task_id for result in results] == [task.id for task in tasks]
    assert house.box.seen.requests[house.endpoint(house.submission)] == 200
    assert house.box.seen.duplicates == [] or not house.samples.marked
    assert max(house.box.seen.polls.values()) <= 4


# -- tokens --------------------------------------------------------------------------------------------------------


def test_a_token_is_a_word_without_a_secret_that_needs_no_request(house: House) -> None:
    """Making a handle from a token sends nothing; the handle is equal to the first and can be waited for."""
    client = house.client()
    task = house.submit(client)
    token = task.to_token()
    assert token.startswith("avk1.")
    assert token.replace(".", "").replace("-", "").replace("_", "").isalnum()
    assert house.box.token not in token
    before = house.requests()
    other = house.client()
    handle = other.task(token)
    assert house.requests() == before
    assert handle == task
    assert hash(handle) == hash(task)
    assert (handle.id, handle.kind, handle.marker, handle.to_token()) == (
        task.id,
        task.kind,
        task.marker,
        token,
    )
    assert handle.wait().task_id == task.id


def test_the_class_makes_handles_too(house: House) -> None:
    """``Task.from_token(token, client)`` is ``client.task(token)``."""
    client = house.client()
    task = house.submit(client)
    cls: Any = {"async": avatarkit.AsyncTask, "blocking": avatarkit.Task}[house.side.name]
    original = house.side.original(client) if house.side.name == "async" else client
    made = cls.from_token(task.to_token(), original)
    assert made.id == task.id


def test_a_token_crosses_from_one_side_to_the_other(house: House) -> None:
    """A token made on one side is waited for on the other, in another client of the same account."""
    task = house.submit(house.client())
    token = task.to_token()
    task_id = task.id
    other = SIDES["blocking" if house.side.name == "async" else "async"]()
    try:
        box = other.sandbox(render="tiny")
        box.start()
        client = other.client(
            house.provider, *house.keys(), **house.named_keys(), base_url=box.base_url(house.provider)
        )
        handle = client.task(token)
        assert (handle.id, handle.to_token()) == (task_id, token)
        assert sum(box.seen.requests.values()) == 0
        client.close()
        box.close()
    finally:
        assert other.close() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t[:-3], "damaged"),
        (lambda t: t + "AAAA", "damaged"),
        (lambda t: t[:20] + ("A" if t[20] != "A" else "B") + t[21:], "damaged"),
        (lambda _: "", "no task token"),
        (lambda _: "avk1.", "damaged"),
        (lambda _: "not a token", "no task token"),
        (lambda t: "avk9" + t[4:], "no task token"),
        (lambda _: "avk1." + "A" * 5000, "no task token"),
    ],
)
def test_a_damaged_token_is_told_from_a_good_one(house: House, change: Any, words: str) -> None:
    """Cut, mistyped or foreign words raise InvalidHandle with a hint, and nothing is sent."""
    client = house.client()
    token = house.submit(client).to_token()
    with pytest.raises(InvalidHandle, match=words) as caught:
        client.task(change(token))
    assert caught.value.hint
    assert isinstance(caught.value, ValueError)
    assert house.requests() == 1


def test_blanks_around_a_token_do_not_matter(house: House) -> None:
    """A token copied with a line end works."""
    client = house.client()
    task = house.submit(client)
    assert client.task(f"  {task.to_token()}\n").id == task.id


def test_a_token_of_another_account_or_provider_is_refused(house: House) -> None:
    """The error names both accounts' fingerprints, never their credentials."""
    token = house.submit(house.client()).to_token()
    house.box.add_account("another-account-token", provider=house.provider, secret=house.box.secret)
    stranger = house.client("another-account-token")
    with pytest.raises(InvalidHandle, match="another") as caught:
        stranger.task(token)
    assert "another-account-token" not in str(caught.value)
    from avatarkit.protocol.handle import from_token, to_token

    handle = from_token(token)
    import attrs

    with pytest.raises(InvalidHandle, match="elsewhere"):
        house.client().task(to_token(attrs.evolve(handle, provider="elsewhere")))
    assert house.requests() == 1


# -- ends that are not good ----------------------------------------------------------------------------------------


def test_a_failed_task_raises_with_its_reason(house: House) -> None:
    """TaskFailed carries reason, id, kind, the provider's words and the raw answer; raised again by each wait."""
    house.start().fail_next()
    task = house.submit(house.client())
    for _ in range(2):
        with pytest.raises(TaskFailed) as caught:
            task.wait()
        assert caught.value.reason in FailureReason
        assert (caught.value.task_id, caught.value.kind) == (task.id, house.submission.yields)
        assert caught.value.hint
        assert caught.value.response is not None
    assert task.status is Status.FAILED


@pytest.mark.parametrize("fault", ["unknown_status", "json_as_html", "extra_fields", "numbers_as_strings"])
def test_odd_looks_do_not_end_a_wait(house: House, fault: str) -> None:
    """An unknown status keeps polling; labels, new fields and numbers as text are read all the same."""
    house.start(queue_seconds=30, run_seconds=30)
    task = house.submit(house.client(polling=Polling(longest=10)))
    house.box.faults.add(house.look, fault, times=3)
    assert task.wait().task_id == task.id
    assert house.box.seen.faults[FaultKind(fault)] == 3


def test_an_unknown_status_is_kept_raw(house: House) -> None:
    """What the provider said stays readable, and is no end."""
    task = house.submit(house.client())
    house.box.faults.add(house.look, Fault(kind=FaultKind.UNKNOWN_STATUS, value=77))
    assert task.refresh() is Status.UNKNOWN
    assert task.raw_status == "77"
    assert not task.done


def test_done_without_a_url_is_asked_again_until_it_is_there(house: House) -> None:
    """A result whose URL comes late is a success."""
    task = house.submit(house.client())
    house.box.faults.add(house.look, "empty_url", times=3)
    assert task.wait().url != ""
    assert house.box.seen.faults[FaultKind.EMPTY_URL] == 3


def test_done_without_a_url_for_good_is_a_failure(house: House) -> None:
    """After a bounded number of looks the task counts as failed for want of a result."""
    task = house.submit(house.client())
    house.box.faults.add(house.look, "empty_url", times=1000)
    with pytest.raises(TaskFailed) as caught:
        task.wait()
    assert caught.value.reason is FailureReason.NO_RESULT
    assert house.box.seen.polls[task.id] < 20


def test_closing_the_client_ends_waits(house: House) -> None:
    """A wait that is under way when the client is closed ends with ClientClosed, and the task goes on."""
    house.start(run_seconds=300)
    client = house.client()
    task = house.submit(client)
    waited, _ = house.side.together(partial(task.wait), partial(client.close))
    assert isinstance(waited, ClientClosed)
    assert house.client().task(task.to_token()).wait().task_id == task.id
