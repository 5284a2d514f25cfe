"""Whatever goes wrong with a submission: never two tasks for one call, and never a task nobody knows of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import orjson
import pytest
from house import House, harmless, named

from avatarkit import providers
from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    BridgeError,
    DeadlineExceeded,
    NotSent,
    SubmissionInDoubt,
    TooManyRunning,
)
from avatarkit.events import SubmissionSettled
from avatarkit.models import Finding, Guard
from avatarkit.protocol.endpoint import Endpoint
from avatarkit.protocol.samples import Operation
from avatarkit.sandbox.faults import PRESETS, Fault, FaultKind
from avatarkit.settings import CallOptions, RateLimit, Timeouts


def _json(status: int, body: Any, *, accept: bool = False) -> Fault:
    return Fault(
        kind=FaultKind.ANSWER,
        accept=accept,
        status=status,
        body=orjson.dumps(body),
        content_type="application/json",
    )


_FAULTS: dict[str, Fault] = {
    **PRESETS,
    "huge": Fault(kind=FaultKind.HUGE, size=1 << 20),
    "reset_in_the_answer": Fault(kind=FaultKind.CUT, size=1),
    "late_reset": Fault(kind=FaultKind.HANG, seconds=20),
    "empty_after": Fault(kind=FaultKind.ANSWER, status=200),
    "empty_before": Fault(kind=FaultKind.ANSWER, accept=False, status=200),
    "null_after": _json(200, None, accept=True),
    "list_after": _json(200, [], accept=True),
    "code_only_before": _json(200, {"code": 0}),
    "401_before": Fault(kind=FaultKind.ANSWER, accept=False, status=401, body=b"Unauthorized"),
    "403_before": Fault(kind=FaultKind.ANSWER, accept=False, status=403, body=b"<html>no</html>"),
    "404_before": Fault(kind=FaultKind.ANSWER, accept=False, status=404, body=b"404 page not found"),
    "413_before": Fault(kind=FaultKind.ANSWER, accept=False, status=413, body=b"<html>too large</html>"),
    "429_json_after": _json(429, {"message": "slow down"}, accept=True),
    "503_json_after": _json(503, {"code": 1001, "message": "busy"}, accept=True),
    "500_json_after": _json(500, {"code": 11, "message": "broken"}, accept=True),
    "500_json_before": _json(500, {"code": 11, "message": "broken"}),
}

_SURE = {"401_before"}  # refusals that no gateway invents


@pytest.fixture(params=sorted(_FAULTS))
def fault(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _strike(house: House, operation: Operation, name: str) -> None:
    if _FAULTS[name].kind is FaultKind.REFUSE:
        house.box.refuse(1.0)
    else:
        house.box.faults.add(house.endpoint(operation), _FAULTS[name])


def test_one_call_is_never_two_tasks(house: House, submission: Operation, fault: str) -> None:
    """One disturbed submission is a task with its handle, a clear error and no task, or a truthful doubt.

    The only slot is free again in every case, as a second submission shows.
    """
    settled: list[SubmissionSettled] = []
    client = house.client(max_running=1, hooks=lambda e: _note(settled, e))
    call = partial(house.method(client, submission.method), **house.arguments(client, submission))
    before = house.created()
    _strike(house, submission, fault)
    settled.clear()
    task, error = attempt(call)
    made = house.created() - before
    if isinstance(error, SubmissionInDoubt):
        assert made <= 1
        _check_doubt(house, client, submission, error, settled[-1], made)
        assert fault not in _SURE
    elif error is not None:
        assert made == 0
        assert settled[-1].outcome in ("rejected", "not sent")
    else:
        assert made == 1
        assert task.id == house.box.seen.tasks[-1]["id"]
        assert (settled[-1].outcome, settled[-1].token) == ("accepted", task.to_token())
        task.wait()
    house.box.faults.clear()
    assert call().id == house.box.seen.tasks[-1]["id"]
    assert client.detached_submissions == ()


def attempt(call: Callable[[], Any]) -> tuple[Any, AvatarKitError | None]:
    """What a call gives, or the error it raises."""
    try:
        return call(), None
    except AvatarKitError as error:
        return None, error


def _check_doubt(
    house: House, client: Any, submission: Operation, doubt: SubmissionInDoubt, event: Any, made: int
) -> None:
    ticket, endpoint = doubt.ticket, submission.endpoint
    assert (ticket.endpoint, ticket.guard, ticket.marker) == (endpoint.name, endpoint.guard, event.marker)
    assert event.outcome == "in doubt"
    for seconds in (0, 30) if endpoint.guard is not Guard.NONE else (0,):
        house.side.sleep(seconds)
        found = client.reconcile(ticket)
        if found.finding is Finding.FOUND:
            assert made == 1
            assert found.token or found.artifact_id in house.yields()
        assert found.finding is not Finding.ABSENT or made == 0


def _note(settled: list[SubmissionSettled], event: object) -> None:
    if isinstance(event, SubmissionSettled):
        settled.append(event)


def test_an_answer_too_large_to_be_one_leaves_a_doubt(house: House) -> None:
    """An answer beyond 32 MB is not read to its end, and the accepted task is in doubt, not sent again."""
    client = house.client()
    house.box.faults.add(house.endpoint(house.submission), Fault(kind=FaultKind.HUGE, size=33 << 20))
    with pytest.raises(SubmissionInDoubt):
        house.submit(client)
    assert house.created() == 1


def test_refused_connections_are_tried_again_until_one_is_taken(house: House, submission: Operation) -> None:
    """A provider that is not there for three seconds costs retries, not a doubt."""
    client = house.client()
    arguments = house.arguments(client, submission)
    before = house.created()
    house.box.refuse(2.0)
    task = house.method(client, submission.method)(**arguments)
    assert task.id == house.box.seen.tasks[-1]["id"]
    assert house.created() - before == 1


def test_a_provider_that_stays_away_is_a_clear_error(house: House) -> None:
    """After its tries a submission that never got a connection raises NotSent: nothing is in doubt."""
    client = house.client()
    arguments = house.arguments(client, house.submission)
    house.box.refuse(1000.0)
    with pytest.raises(NotSent):
        house.method(client, house.submission.method)(**arguments)
    assert house.created() == 0


@pytest.mark.parametrize("accept", [False, True])
def test_the_deadline_of_a_call_ends_an_answerless_submission_in_doubt(house: House, accept: bool) -> None:
    """A call's own time-out during the exchange is a doubt as well; one that passes before is not."""
    client = house.client()
    house.box.faults.add(house.endpoint(house.submission), Fault(kind=FaultKind.HANG, accept=accept))
    began = house.side.now()
    with pytest.raises(SubmissionInDoubt):
        house.submit(client, options=CallOptions(timeout=5))
    assert house.side.now() - began < 6
    assert house.created() == int(accept)


def test_a_token_that_does_not_come_within_the_deadline_sends_nothing(
    house: House, lending: Endpoint
) -> None:
    """While the token is waited for nothing is in doubt: the call's time ends it, and later calls get through."""
    client = house.client()
    house.box.faults.add(named(lending), Fault(kind=FaultKind.HANG), times=3)
    began = house.side.now()
    with pytest.raises((NotSent, DeadlineExceeded)):
        house.submit(client, options=CallOptions(timeout=5))
    assert house.side.now() - began < 6
    assert (house.created(), house.requests()) == (0, 0)
    assert house.submit(client).id == house.box.seen.tasks[0]["id"]
    assert house.created() == 1


@pytest.mark.parametrize(
    "fault", ["reset_after", "502_html_before", "html_as_json", "truncated", "503_before"]
)
def test_trouble_with_the_token_is_no_doubt(house: House, lending: Endpoint, fault: str) -> None:
    """Bad answers to the request for a token are outlasted or told as what they are; no task is lost or made twice."""
    client = house.client()
    house.box.faults.add(named(lending), fault, times=2)
    assert house.submit(client).id == house.box.seen.tasks[0]["id"]
    assert (house.created(), house.requests()) == (1, 1)
    fresh = house.client()
    house.box.faults.add(named(lending), fault, times=1000)
    with pytest.raises(AvatarKitError) as caught:
        house.submit(fresh)
    assert not isinstance(caught.value, SubmissionInDoubt)
    assert (house.created(), house.requests()) == (1, 1)


def test_many_first_calls_share_one_token_and_keep_the_rate(house: House, lending: Endpoint) -> None:
    """Thirty submissions that wait for a slow token get one, and then do not go out all at once."""
    client = house.client(rate_limit=RateLimit(per_second=5))
    arguments = house.arguments(client, house.submission)
    house.box.faults.add(named(lending), Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=10))
    call = partial(house.method(client, house.submission.method), **arguments)
    tasks = house.side.together(*(call for _ in range(30)))
    assert len({task.id for task in tasks}) == house.created() == 30
    assert house.loans() == 1
    assert house.box.seen.peak_per_second <= 5


def test_no_slot_within_the_deadline_sends_nothing(house: House) -> None:
    """Waiting for a slot ends with the call's time: DeadlineExceeded, and nothing was sent."""
    house.start(run_seconds=float("inf"))
    client = house.client(max_running=1)
    house.submit(client)
    with pytest.raises(DeadlineExceeded):
        house.submit(client, options=CallOptions(timeout=30))
    assert house.box.seen.requests[house.endpoint(house.submission)] == 1


def test_no_slot_at_the_provider_within_the_deadline_says_so(house: House) -> None:
    """When the provider itself keeps refusing for running tasks, its refusal is what the caller gets in the end."""
    house.start(run_seconds=float("inf"), max_running=1)
    house.submit(house.client())
    client = house.client(timeouts=Timeouts(slot=60))
    with pytest.raises((TooManyRunning, DeadlineExceeded)):
        house.submit(client)
    assert house.created() == 1


@pytest.mark.usefixtures("every_login")
def test_reconciling_a_voice_by_its_unique_name(house: House, submission: Operation) -> None:
    """Where the guard is the title and the client chose it, a finished artifact is found, and an absent one never."""
    client = house.client()
    arguments = {**house.arguments(client, submission), "title": None}
    if submission.endpoint.guard is not Guard.TITLE:
        arguments.pop("title")
    before = house.created()
    house.box.faults.add(house.endpoint(submission), "reset_after")
    with pytest.raises(SubmissionInDoubt) as caught:
        house.method(client, submission.method)(**arguments)
    assert house.created() - before == 1
    house.side.sleep(60)
    found = client.reconcile(caught.value.ticket)
    if submission.endpoint.guard is Guard.TITLE:
        assert found.finding is Finding.FOUND
        assert found.token or found.artifact_id in house.yields()
        assert not found.token or client.task(found.token).id == house.box.seen.tasks[-1]["id"]
    else:
        assert found.finding is not Finding.ABSENT
    assert found.explanation


# -- callers that go away ------------------------------------------------------------------------------------------

_GONE = (asyncio.CancelledError, BridgeError)


def _account(house: House, client: Any) -> Any:
    return house.side.original(client)._account


def _free_again(house: House, client: Any) -> None:
    """No slot was leaked: the client, which has one, can submit twice."""
    for _ in range(2):
        house.submit(client).wait()
    assert all(slots.running == 0 for slots in _account(house, client).slots.values())


def test_cancelled_while_waiting_for_a_slot(house: House) -> None:
    """Nothing was sent, nothing is detached, the slot goes to the next."""
    house.start(run_seconds=float("inf"))
    client = house.client(max_running=1)
    first = house.submit(client)
    slots = _account(house, client).slots[house.submission.endpoint.pool]
    call = partial(house.method(client, house.submission.method), **house.arguments(client, house.submission))
    assert isinstance(house.side.cut_off(call, lambda: slots.waiting == 1), _GONE)
    assert house.created() == 1
    assert client.detached_submissions == ()
    house.box.finish()
    first.wait()
    house.box.set_delays(run_seconds=1)
    _free_again(house, client)


def test_cancelled_while_waiting_for_its_turn(house: House) -> None:
    """A submission that waits for the rate limit is not sent when its caller goes; slot and turn come back."""
    client = house.client(max_running=1, rate_limit=RateLimit(per_second=0.1))
    call = partial(house.method(client, house.submission.method), **house.arguments(client, house.submission))
    client.raw("GET", harmless(house.provider))
    began = house.side.now()
    assert isinstance(house.side.cut_off(call, lambda: house.side.now() > began + 2, 0.5), _GONE)
    house.side.sleep(30)
    assert house.created() == 0
    assert client.detached_submissions == ()
    _free_again(house, client)


def test_cancelled_after_acceptance_keeps_the_task(house: House, submission: Operation) -> None:
    """The answer is still waited for: the task's token is kept by the client and told to the hooks."""
    settled: list[SubmissionSettled] = []
    client = house.client(max_running=1, hooks=lambda e: _note(settled, e))
    call = partial(house.method(client, submission.method), **house.arguments(client, submission))
    before = house.created()
    slow = Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=10)
    house.box.faults.add(house.endpoint(submission), slow)
    settled.clear()
    ended = house.side.cut_off(call, lambda: house.created() > before)
    assert isinstance(ended, _GONE)
    (pending,) = client.detached_submissions
    assert (pending.outcome, pending.token) == ("pending", "")
    house.side.sleep(15)
    (kept,) = client.detached_submissions
    assert kept.outcome == "accepted"
    assert house.created() - before == 1
    task = client.task(kept.token)
    assert task.id == house.box.seen.tasks[-1]["id"]
    (event,) = settled
    assert (event.outcome, event.token, event.detached) == ("accepted", kept.token, True)
    assert task.wait() is not None
    _free_again(house, client)


@pytest.mark.parametrize("accept", [False, True])
def test_cancelled_during_an_exchange_that_fails(house: House, accept: bool) -> None:
    """The doubt is kept, with its ticket."""
    settled: list[SubmissionSettled] = []
    client = house.client(max_running=1, hooks=lambda e: _note(settled, e))
    call = partial(house.method(client, house.submission.method), **house.arguments(client, house.submission))
    house.box.faults.add(
        house.endpoint(house.submission), Fault(kind=FaultKind.HANG, accept=accept, seconds=20)
    )
    began = house.side.now()
    assert isinstance(house.side.cut_off(call, lambda: house.side.now() > began + 5, 0.5), _GONE)
    house.side.sleep(30)
    (kept,) = client.detached_submissions
    assert (kept.outcome, kept.token) == ("in doubt", "")
    assert isinstance(kept.error, SubmissionInDoubt)
    assert kept.error.ticket == kept.ticket
    assert [(event.outcome, event.detached) for event in settled] == [("in doubt", True)]
    assert settled[0].marker == kept.ticket.marker
    assert house.created() == int(accept)
    _free_again(house, client)


def test_cancelled_before_a_refusal(house: House) -> None:
    """A refusal that comes after the caller went is told to the hooks, and nothing is kept: nothing was made."""
    settled: list[SubmissionSettled] = []
    client = house.client(max_running=1, hooks=lambda e: _note(settled, e))
    call = partial(house.method(client, house.submission.method), **house.arguments(client, house.submission))
    house.account(credits=0)
    house.fault(Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=10))
    began = house.side.now()
    assert isinstance(house.side.cut_off(call, lambda: house.side.now() > began + 5, 0.5), _GONE)
    house.side.sleep(30)
    assert [(event.outcome, event.detached) for event in settled] == [("rejected", True)]
    assert client.detached_submissions == ()
    house.account(credits=1000)
    _free_again(house, client)


def test_cancelled_in_any_turn_of_the_loop_no_task_is_lost(house: House) -> None:
    """Cut off after one turn of the loop, after two, and so on to the end: every task made is known or kept."""
    client = house.client()
    call = partial(house.method(client, house.submission.method), **house.arguments(client, house.submission))
    house.submit(client).wait()  # so that the first calls find a connection, as most do
    known, turns, ended_well = 1, 0, 0
    while ended_well < 3 and turns < 300:
        ended = house.side.cut_off(call, _After(turns), 0)
        good = not isinstance(ended, BaseException)
        assert good or isinstance(ended, _GONE)
        known, ended_well, turns = known + good, ended_well + good, turns + 1
        house.side.sleep(60)
    kept = [one for one in client.detached_submissions if one.outcome == "accepted"]
    assert {one.outcome for one in client.detached_submissions} <= {"accepted"}
    assert len(kept) + known == house.created()
    assert len({client.task(one.token).id for one in kept}) == len(kept) > 0
    assert 8 < turns < 300


class _After:
    """True when it was asked so many times."""

    def __init__(self, times: int) -> None:
        self._left = times

    def __call__(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_closing_waits_for_a_submission_under_way(house: House) -> None:
    """A client that is closed right after its caller went finishes the exchange first: the token is there."""
    client = house.client()
    call = partial(house.method(client, house.submission.method), **house.arguments(client, house.submission))
    house.box.faults.add(house.endpoint(house.submission), Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=10))
    assert isinstance(house.side.cut_off(call, lambda: house.created() == 1), _GONE)
    client.close()
    (kept,) = client.detached_submissions
    assert kept.outcome == "accepted"
    assert house.client().task(kept.token).wait() is not None


def test_refused_credentials_are_a_clear_refusal(house: House) -> None:
    """Each way in which the provider refuses credentials raises AuthenticationError at once: no doubt, no repeat."""
    client = house.client("wrong-" + "token" * 5)
    arguments = house.arguments(client, house.submission)
    for switches in house.samples.bad_credentials:
        house.switch(switches)
        before = house.requests() + house.loans()
        with pytest.raises(AuthenticationError):
            house.method(client, house.submission.method)(**arguments)
        assert house.requests() + house.loans() == before + 1


def test_every_scripted_fault_is_tried() -> None:
    """A fault added to the sandbox is added here: each kind that can strike a request is in the list."""
    here = {fault.kind for fault in _FAULTS.values()}
    downloads = {FaultKind.NO_LENGTH, FaultKind.IGNORE_RANGE}
    assert set(FaultKind) - downloads <= here
    assert set(PRESETS) <= set(_FAULTS)
    assert all(attrs.has(type(fault)) for fault in _FAULTS.values())
    assert providers.names()
