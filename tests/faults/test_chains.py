"""Several billed steps behind one handle: whatever interrupts them, each is paid for once and none is lost."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import Any

import orjson
import pytest
from house import House, named

from avatarkit import providers
from avatarkit.errors import (
    BridgeError,
    ClientClosed,
    InsufficientCredits,
    InvalidHandle,
    ProviderError,
    SubmissionInDoubt,
    TaskFailed,
    WaitTimeout,
)
from avatarkit.models import Finding, Kind, Status, Ticket
from avatarkit.protocol.endpoint import Effect, Endpoint
from avatarkit.protocol.plan import Route
from avatarkit.protocol.samples import wav
from avatarkit.request import VideoRequest
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.settings import Polling


def _steps(provider: str, route: Route) -> list[Endpoint]:
    by_name = {endpoint.name: endpoint for endpoint in providers.spec(provider).endpoints}
    return [by_name[operation] for operation in route.operations]


def _chains(provider: str) -> list[Route]:
    """Routes with a task before the last one."""
    routes = providers.part(provider, "generate").CAPABILITIES.routes
    return [
        route
        for route in routes
        if any(step.effect is Effect.SUBMIT for step in _steps(provider, route)[:-1])
    ]


CHAINED = [name for name in providers.names() if _chains(name)]
pytestmark = pytest.mark.parametrize("provider", CHAINED)


def request(house: House, client: Any, speech: str = "text", **changes: Any) -> VideoRequest:
    """A request that takes a chain."""
    (sample,) = (
        each
        for each in providers.part(house.provider, "sample_requests").REQUESTS
        if {"video", speech} <= each.keys()
    )
    return VideoRequest(**{**house.filled(client, sample), "title": None, **changes})


def begin(house: House, client: Any, **changes: Any) -> Any:
    """A chain whose first step was submitted."""
    return client.generate(request(house, client, **changes))


def last(house: House, speech: str = "text") -> str:
    """Where the video of the chain is asked for."""
    route = next(
        each for each in _chains(house.provider) if (each.presenter, each.speech) == ("video", speech)
    )
    return named(_steps(house.provider, route)[-1])


def finds_lost(house: House, client: Any) -> bool:
    """Whether the provider can be asked for a lost video by its name."""
    found = client.reconcile(ticket_of(house, client))
    return bool(found.finding is not Finding.CANNOT_TELL)


def ticket_of(house: House, client: Any) -> Ticket:
    operation = _chains(house.provider)[0].operations[-1]
    return Ticket(
        provider=house.provider,
        endpoint=operation,
        kind=Kind.VIDEO.value,
        account=client.account_id,
        marker="ak-nothinghas",
        guard=client.guard_of(operation),
        sent_at=house.side.clock.time() - 7200,
    )


# -- going on ---------------------------------------------------------------------------------------------------------


def test_updates_go_over_all_steps(house: House) -> None:
    """The statuses are those of one task; progress never falls; the last update is the end."""
    house.start(queue_seconds=60, run_seconds=60)
    chain = begin(house, house.client(polling=Polling(longest=10)))
    updates = list(chain.updates())
    statuses = [update.status for update in updates]
    assert statuses[0] is Status.QUEUED
    assert statuses[-1] is Status.SUCCEEDED
    assert all(status in (Status.QUEUED, Status.RUNNING) for status in statuses[:-1])
    assert all(a is not b for a, b in itertools.pairwise(statuses))
    progress = [update.progress for update in updates]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert chain.wait().task_id == chain.id
    assert house.created() == 2


def test_refresh_goes_on_step_by_step(house: House) -> None:
    """Looking at it is enough to get from one step to the next; nothing is submitted by itself."""
    house.start(queue_seconds=0, run_seconds=30)
    chain = begin(house, house.client())
    house.side.sleep(100)
    assert house.created() == 1
    assert chain.refresh() is not Status.SUCCEEDED
    assert (chain.step, house.created()) == (1, 2)
    house.side.sleep(100)
    assert chain.refresh() is Status.SUCCEEDED
    assert chain.done
    assert house.created() == 2


def test_a_token_goes_on_in_another_client(house: House) -> None:
    """A chain's token, made in the middle, is all that another client needs; its last step's token is a plain one."""
    first, second = house.client(), house.client()
    chain = begin(house, first)
    token = chain.to_token()
    assert token.startswith("avkc1.")
    assert house.box.token not in token
    before = house.requests()
    other = second.task(token)
    assert house.requests() == before
    assert (other.id, other.name, other.steps, other.step) == (chain.id, chain.name, chain.steps, 0)
    assert other == chain
    assert hash(other) == hash(chain)
    video = other.wait()
    assert house.created() == 2
    assert other.to_token().startswith("avk1.")
    assert first.task(other.to_token()).wait().task_id == video.task_id
    assert first.task(other.to_token()) != chain


def test_what_another_process_submitted_is_adopted_where_the_provider_tells(house: House) -> None:
    """An old token does not pay twice where the list shows the next step's name; else it is a baton."""
    first, second = house.client(), house.client()
    chain = begin(house, first)
    token = chain.to_token()
    video = chain.wait()
    tells = finds_lost(house, second)
    again = second.task(token).wait()
    assert house.created() == (2 if tells else 3)
    assert (again.task_id == video.task_id) is tells


def test_a_title_of_ones_own_makes_the_token_a_baton(house: House) -> None:
    """A title that is not unique finds nothing: the token is then for one process at a time."""
    first, second = house.client(), house.client()
    chain = begin(house, first, title="forecast")
    token = chain.to_token()
    chain.wait()
    second.task(token).wait()
    assert house.created() == 3
    assert {task["title"] for task in house.box.seen.tasks if task["kind"] == "video"} == {"forecast"}


def test_two_handles_of_one_token_are_one(house: House) -> None:
    """In one client every handle of a chain is the same, and twenty waits make one video."""
    client = house.client()
    chain = begin(house, client)
    token = chain.to_token()
    other = client.task(token)
    assert house.side.original(other) is house.side.original(chain)
    results = house.side.together(*(partial(each.wait) for each in [chain, other] * 10))
    assert {result.task_id for result in results} == {chain.id}
    assert house.created() == 2
    assert house.box.seen.requests[last(house)] == 1


# -- interruptions ----------------------------------------------------------------------------------------------------


def test_a_cancelled_wait_amid_the_next_submission_makes_one_video(house: House) -> None:
    """The submission is carried to its end without its waiter, and the next wait goes on with what it made."""
    client = house.client()
    chain = begin(house, client)
    house.box.faults.add(last(house), Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=5))
    ended = house.side.cut_off(
        partial(chain.wait), lambda: house.box.seen.requests[last(house)] == 1, step=0.2
    )
    assert isinstance(ended, asyncio.CancelledError | BridgeError)
    assert chain.wait().task_id == chain.id
    assert house.created() == 2
    assert house.box.seen.requests[last(house)] == 1


def test_closing_the_client_amid_the_next_submission(house: House) -> None:
    """Closing lets it come to its end, and the handle has the token of what was made; nothing is left on the loop."""
    client = house.client()
    chain = begin(house, client)
    house.box.faults.add(last(house), Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=5))
    house.side.cut_off(partial(chain.wait), lambda: house.box.seen.requests[last(house)] == 1, step=0.2)
    client.close()
    assert chain.step == 1
    assert chain.to_token().startswith("avk1.")
    assert house.client().task(chain.to_token()).wait().task_id == house.box.seen.tasks[-1]["id"]
    assert house.created() == 2


def test_closing_the_client_ends_a_wait_between_steps(house: House) -> None:
    """A wait that is under way ends with ClientClosed, and the chain's token goes on in another client."""
    house.start(run_seconds=300)
    client = house.client()
    chain = begin(house, client)
    waited, _ = house.side.together(partial(chain.wait), partial(client.close))
    assert isinstance(waited, ClientClosed)
    assert house.client().task(chain.to_token()).wait().task_id
    assert house.created() == 2


def test_running_out_of_time_names_the_chain(house: House) -> None:
    """In the first step: the error carries the chain's own token, not the clone's, and the chain goes on."""
    house.start(run_seconds=400)
    client = house.client()
    chain = begin(house, client)
    with pytest.raises(WaitTimeout) as caught:
        chain.wait(timeout=100)
    assert caught.value.token == chain.to_token()
    assert caught.value.token.startswith("avkc1.")
    assert caught.value.token in caught.value.hint
    with pytest.raises(WaitTimeout) as watched:
        list(chain.updates(timeout=50))
    assert watched.value.token == chain.to_token()
    assert house.client().task(caught.value.token).wait().task_id
    assert house.created() == 2


def test_running_out_of_time_amid_the_next_submission(house: House) -> None:
    """The time limit holds while the next step is under way, which goes on, and is not sent again by the next wait."""
    client = house.client()
    chain = begin(house, client)
    house.box.faults.add(last(house), Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=50))
    began = house.side.now()
    with pytest.raises(WaitTimeout):
        chain.wait(timeout=20)
    assert house.side.now() - began < 21
    assert chain.wait().task_id == chain.id
    assert house.created() == 2
    assert house.box.seen.requests[last(house)] == 1


def test_a_failed_first_step_ends_the_chain(house: House) -> None:
    """Nothing more is submitted; every wait raises it."""
    house.start().fail_next()
    chain = begin(house, house.client())
    for _ in range(2):
        with pytest.raises(TaskFailed):
            chain.wait()
    assert chain.done
    assert chain.status is Status.FAILED
    assert [update.status for update in chain.updates()] == [Status.FAILED]
    assert house.created() == 1


# -- a next step that is not accepted ---------------------------------------------------------------------------------


def test_a_step_in_doubt_is_never_sent_again(house: House) -> None:
    """Nothing was made and the provider shows nothing: every wait, handle and token of the chain says so again."""
    client, second = house.client(), house.client()
    chain = begin(house, client)
    house.box.faults.add(last(house), Fault(kind=FaultKind.HANG, accept=False, seconds=5))
    with pytest.raises(SubmissionInDoubt) as caught:
        chain.wait()
    assert caught.value.ticket.marker == f"{chain.name}-2"
    token = caught.value.token
    assert token == chain.to_token()
    assert "go on with the token" in "".join(caught.value.__notes__)
    for handle in (chain, client.task(token), second.task(token)):
        with pytest.raises(SubmissionInDoubt) as again:
            handle.wait()
        assert again.value.ticket.marker == caught.value.ticket.marker
        with pytest.raises(SubmissionInDoubt):
            handle.refresh()
        with pytest.raises(SubmissionInDoubt):
            list(handle.updates())
    assert house.box.seen.requests[last(house)] == 1
    assert house.created() == 1


def test_a_lost_answer_is_found_where_the_provider_tells(house: House) -> None:
    """The video was made, its answer lost: the next wait goes on with it where it is listed, else the doubt stays."""
    client, second = house.client(), house.client()
    chain = begin(house, client)
    tells = finds_lost(house, client)
    house.box.faults.add(last(house), "reset_after")
    with pytest.raises(SubmissionInDoubt) as caught:
        chain.wait()
    for handle in (second.task(caught.value.token), chain):
        if tells:
            assert handle.wait().task_id == house.box.seen.tasks[-1]["id"]
        else:
            with pytest.raises(SubmissionInDoubt):
                handle.wait()
    assert house.created() == 2
    assert house.box.seen.requests[last(house)] == 1


def test_a_refused_step_can_be_tried_again(house: House) -> None:
    """No credits for the second step: the error names what was made, and after topping up a wait goes on."""
    client = house.client()
    chain = begin(house, client)
    house.box.faults.add(last(house), _no_credits(house))
    with pytest.raises(InsufficientCredits) as caught:
        chain.wait()
    assert "made so far, and paid for: avatar" in "".join(caught.value.__notes__)
    assert caught.value.token == chain.to_token()
    assert house.created() == 1
    house.side.sleep(1)
    assert chain.wait().task_id == chain.id
    assert house.created() == 2


def _no_credits(house: House) -> Fault:
    body = orjson.dumps(house.samples.no_credits)
    return Fault(kind=FaultKind.ANSWER, accept=False, status=200, body=body, content_type="application/json")


def test_a_token_of_a_refused_step_goes_on_elsewhere(house: House) -> None:
    """The token in the error is good in another client."""
    chain = begin(house, house.client())
    house.box.faults.add(last(house), _no_credits(house))
    with pytest.raises(ProviderError) as caught:
        chain.wait()
    assert house.client().task(caught.value.token).wait().task_id
    assert house.created() == 2


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_bytes_in_a_later_step(house: House) -> None:
    """Where they cannot be uploaded beforehand, the token says so, a time-out says so, and the handle goes on."""
    house.start(run_seconds=100)
    client = house.client()
    chain = begin(house, client, speech="audio", audio=wav())
    if hasattr(client, "files"):
        assert chain.to_token().startswith("avkc1.")
    else:
        with pytest.raises(InvalidHandle, match="bytes"):
            chain.to_token()
        with pytest.raises(WaitTimeout) as caught:
            chain.wait(timeout=10)
        assert caught.value.token == ""
        assert "this handle" in caught.value.hint
    assert chain.wait().task_id == chain.id
    assert chain.to_token().startswith("avk1.")


@pytest.mark.parametrize("how", ["cut", "changed", "another key", "no signature", "huge", "empty"])
def test_a_token_that_is_not_ours_is_refused(house: House, how: str) -> None:
    """Cut, changed, signed by others, or made of nothing: InvalidHandle, and nothing is sent."""
    client = house.client()
    chain = begin(house, client)
    token = chain.to_token()
    house.box.add_account("another-account-token", provider=house.provider, secret=house.box.secret)
    reader = house.client("another-account-token") if how == "another key" else house.client()
    changed = {
        "cut": token[:-5],
        "changed": token[:40] + ("A" if token[40] != "A" else "B") + token[41:],
        "another key": token,
        "no signature": "avkc1." + token[6 + 22 :],
        "huge": "avkc1." + "A" * 300_000,
        "empty": "avkc1.",
    }[how]
    before = house.requests()
    with pytest.raises(InvalidHandle) as caught:
        reader.task(changed)
    assert caught.value.hint or how == "huge"
    assert house.requests() == before
