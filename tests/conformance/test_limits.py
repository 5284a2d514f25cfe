"""Caps and rates: never more running, never more a second than is allowed, and nobody fails for it."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson
from house import House

from avatarkit.errors import AvatarKitError, ClientClosed, InsufficientCredits
from avatarkit.events import CapLearned, Throttled
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.settings import RateLimit


def _many(house: House, client: Any, count: int) -> list[Any]:
    arguments = house.arguments(client, house.submission)
    call = partial(house.method(client, house.submission.method), **arguments)
    return house.side.together(*(call for _ in range(count)))


def test_more_submissions_than_may_run_all_succeed(house: House) -> None:
    """Twelve at once where three may run: all are accepted in the end, and the cap is learned from refusals."""
    house.start(max_running=3, run_seconds=20)
    events: list[Any] = []
    client = house.client(hooks=events.append)
    assert client.max_running is None
    tasks = _many(house, client, 12)
    assert [task.wait().task_id for task in tasks] == [task.id for task in tasks]
    assert house.created() == 12
    assert house.box.seen.peak_running <= 3
    assert client.max_running in (3, 4)  # after a while at its cap it tries one more
    assert [event.cap for event in events if isinstance(event, CapLearned)][-1] == 3
    assert any(isinstance(event, Throttled) and event.why == "slot" for event in events)
    assert house.box.seen.duplicates == [] or not house.samples.marked
    house.box.seen.requests.clear()
    for task in _many(house, client, 6):
        task.wait()
    refused = house.box.seen.requests[house.endpoint(house.submission)] - 6
    assert refused <= 2


def test_a_cap_that_is_known_is_never_tried(house: House) -> None:
    """With ``max_running`` given, the provider never has to refuse."""
    house.start(max_running=2, run_seconds=20)
    client = house.client(max_running=2)
    tasks = _many(house, client, 6)
    for task in tasks:
        task.wait()
    assert client.max_running == 2
    assert house.box.seen.requests[house.endpoint(house.submission)] == 6
    assert house.box.seen.peak_running == 2


def test_others_who_use_the_account_are_waited_for(house: House) -> None:
    """When somebody else has all the slots, a submission waits for them instead of failing."""
    house.start(max_running=1, run_seconds=50)
    house.submit(house.client())
    task = house.submit(house.client())
    assert house.side.now() > 40
    assert task.wait().task_id == task.id
    assert house.box.seen.requests[house.endpoint(house.submission)] < 15


def test_the_second_cap_is_a_cap_too(house: House) -> None:
    """Too many submitted works is waited out like too many running ones."""
    house.start(max_submitted=2, run_seconds=20)
    client = house.client()
    for task in _many(house, client, 5):
        task.wait()
    assert house.created() == 5


def test_no_money_stops_what_waits_at_once(house: House) -> None:
    """The first refusal for want of credits ends the submissions that were waiting, unsent; later ones are tried."""
    house.start(run_seconds=20)
    client = house.client(max_running=1)
    house.submit(client)
    house.account(credits=0)
    ended = _many(house, client, 6)
    assert [type(error) for error in ended] == [InsufficientCredits] * 6
    assert all(error.hint for error in ended)
    assert house.box.seen.requests[house.endpoint(house.submission)] == 2
    house.account(credits=1000)
    assert house.submit(client).wait()


def test_the_client_s_rate_is_kept(house: House) -> None:
    """Thirty calls at once at five a second take six seconds, and no second sees more than five."""
    client = house.client(rate_limit=RateLimit(per_second=5))
    began = house.side.now()
    _many(house, client, 30)
    assert 5.5 < house.side.now() - began < 7.5
    assert house.box.seen.peak_per_second <= 5


def test_no_turn_is_wasted(house: House) -> None:
    """After many submissions the next request goes out at the rate, not behind turns that nobody uses."""
    client = house.client(rate_limit=RateLimit(per_second=5))
    tasks = _many(house, client, 20)
    began = house.side.now()
    tasks[0].refresh()
    assert house.side.now() - began < 0.5


def test_closing_ends_submissions_that_wait_for_their_turn(house: House) -> None:
    """What had no turn yet is not sent; each call has its own clear end."""
    client = house.client(rate_limit=RateLimit(per_second=0.1))
    call = partial(house.method(client, house.submission.method), **house.arguments(client, house.submission))
    ended = house.side.together(*(call for _ in range(5)), partial(client.close))[:-1]
    assert {type(error) for error in ended if isinstance(error, BaseException)} == {ClientClosed}
    sent = house.box.seen.requests[house.endpoint(house.submission)]
    house.side.sleep(600)
    assert house.box.seen.requests[house.endpoint(house.submission)] == sent <= 1


def test_the_provider_s_own_figure_is_the_default(house: House) -> None:
    """Without settings no second sees more requests than the provider's table allows."""
    client = house.client()
    tasks = _many(house, client, 60)
    house.side.together(*(partial(task.wait) for task in tasks))
    assert house.box.seen.peak_per_second <= house.spec.per_second


def test_waiting_stays_within_the_rate_while_requests_fail(house: House) -> None:
    """Repeats and looks after broken connections count against the same rate."""
    client = house.client(rate_limit=RateLimit(per_second=4))
    tasks = _many(house, client, 8)
    house.blind("reset_after", times=40)
    house.side.together(*(partial(task.wait) for task in tasks))
    assert house.box.seen.peak_per_second <= 4


def test_too_many_requests_are_spaced_as_the_provider_asks(house: House) -> None:
    """HTTP 429 with Retry-After on a look holds all requests for that long."""
    client = house.client()
    task, other = house.submit(client), house.submit(client)
    too_many = Fault(kind=FaultKind.ANSWER, accept=False, status=429, retry_after="9")
    house.box.faults.add(house.look, too_many)
    began = house.side.now()
    task.refresh()
    assert house.side.now() - began >= 9
    other.refresh()
    assert house.box.seen.requests[house.look] == 3


def test_a_submission_refused_for_its_rate_is_sent_again(house: House) -> None:
    """A 429 in the provider's own error shape is a refusal: waited out, sent again, one task."""
    client = house.client()
    body = orjson.dumps({"code": 429, "message": "slower"})
    house.fault(Fault(kind=FaultKind.ANSWER, accept=False, status=429, retry_after="11", body=body), times=2)
    began = house.side.now()
    assert house.submit(client).id
    assert house.side.now() - began >= 22
    assert house.created() == 1


def test_a_cap_below_the_client_s_rate_does_not_break_waiting(house: House) -> None:
    """A provider that allows two requests a second is obeyed through its refusals: every wait ends well."""
    client = house.client()
    tasks = _many(house, client, 10)
    house.account(requests_per_second=2)
    results = house.side.together(*(partial(task.wait) for task in tasks))
    assert not [result for result in results if isinstance(result, BaseException)]


def test_waiting_tasks_are_looked_at_seldom(house: House) -> None:
    """Eight tasks of five minutes cost some looks each, far from one a second."""
    count = 8
    house.start(run_seconds=300)
    client = house.client()
    tasks = _many(house, client, count)
    results = house.side.together(*(partial(task.wait) for task in tasks))
    assert not [result for result in results if isinstance(result, AvatarKitError)]
    assert house.looks() / count < 40
