"""What a provider refuses becomes the right error, with everything a person or a program needs."""

from __future__ import annotations

import pickle
import traceback
from functools import partial
from typing import Any

import orjson
import pytest
from house import House, harmless

from avatarkit import providers
from avatarkit.errors import (
    AuthenticationError,
    AvatarKitError,
    DeadlineExceeded,
    InsufficientCredits,
    InvalidRequest,
    MissingCredentials,
    NotFound,
    ProviderError,
    ProviderFault,
    RateLimited,
    SubmissionInDoubt,
    TaskFailed,
    TooManyRunning,
    TransportError,
    UnexpectedResponse,
    WaitTimeout,
)
from avatarkit.events import RequestDone, RetryScheduled
from avatarkit.models import RawResponse
from avatarkit.protocol.samples import Mistake, Refusal
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.settings import CallOptions, RetryPolicy, Timeouts


def _answer(body: Any, status: int = 200, **more: Any) -> Fault:
    return Fault(
        kind=FaultKind.ANSWER,
        accept=False,
        status=status,
        body=orjson.dumps(body),
        content_type="application/json",
        **more,
    )


def test_every_code_of_the_table_is_its_class(house: House, refusal: Refusal) -> None:
    """A refused look raises the mapped class, with code, request id, HTTP status, endpoint and raw answer."""
    client = house.client()
    task = house.submit(client)
    house.box.faults.add(house.look, _answer(refusal.body, refusal.status), times=1 + refusal.cured)
    with pytest.raises(AvatarKitError) as caught:
        task.refresh(options=CallOptions(retries=0))
    error: Any = caught.value
    assert type(caught.value) is refusal.error
    assert (error.code, error.request_id, error.http_status) == (
        refusal.code,
        refusal.request_id,
        refusal.status,
    )
    assert (error.provider, error.endpoint) == (house.provider, house.samples.look.name)
    assert error.response.json() == refusal.body
    assert refusal.code in str(error)
    assert refusal.request_id in str(error)
    assert task.wait().task_id == task.id


def test_a_refused_submission_is_its_class_too(house: House, refusal: Refusal) -> None:
    """The same codes on a submission: nothing was made; only "too many running" is waited out.

    What is a refusal of a look and none of a submission, a server's own failure, is a doubt there.
    """
    client = house.client()
    house.fault(_answer(refusal.body, refusal.status), times=1 + refusal.cured)
    if issubclass(refusal.error, TooManyRunning | RateLimited):
        assert house.submit(client).id
        assert house.created() == 1
        return
    with pytest.raises(AvatarKitError) as caught:
        house.submit(client)
    assert type(caught.value) is (refusal.submission or refusal.error)
    assert house.created() == 0
    assert house.requests() == 1 + refusal.cured


def test_a_refusal_that_fresh_credentials_cure_is_cured(house: House) -> None:
    """One such refusal of a look or a submission costs one more request, and there is one task."""
    for refusal in house.samples.refusals:
        if refusal.cured:
            client = house.client()
            before, made = house.requests(), house.created()
            house.fault(_answer(refusal.body, refusal.status))
            task = house.submit(client)
            assert (house.requests() - before, house.created() - made) == (2, 1)
            house.box.faults.add(house.look, _answer(refusal.body, refusal.status))
            task.refresh(options=CallOptions(retries=0))
            assert house.requests() - before == 4


def test_the_status_of_a_task_is_read_before_the_code(house: House) -> None:
    """A failed task with a code is a failed task, not a refused request."""
    house.start().fail_next()
    task = house.submit(house.client())
    with pytest.raises(TaskFailed) as caught:
        task.wait()
    assert not isinstance(caught.value, ProviderError)


@pytest.mark.parametrize("way", range(4))
def test_each_way_of_refusing_credentials(house: House, way: int) -> None:
    """Text, JSON, nothing, or HTTP 200 with a code: AuthenticationError at once, with a hint and no repeat."""
    switches = house.samples.bad_credentials[way % len(house.samples.bad_credentials)]
    house.start()
    house.switch(switches)
    good = house.client()
    task = house.submit(good)
    client = house.client("a-token-nobody-knows")
    lent = house.samples.token is not None  # then it is the request for a token that is refused
    if not lent:
        assert client.raw("GET", harmless(house.provider)).status in (200, 401, 403)
    before = house.requests(), house.loans()
    with pytest.raises(AuthenticationError) as caught:
        house.call(client, house.submission)
    assert (house.requests() - before[0], house.loans() - before[1]) == (not lent, lent)
    assert caught.value.hint
    assert "a-token-nobody-knows" not in f"{caught.value!r} {caught.value}"
    assert task.wait()


def test_an_unknown_task_is_not_found(house: House) -> None:
    """Looking once at a task that is not there raises NotFound."""
    client = house.client()
    with pytest.raises(NotFound):
        house.method(client, house.samples.look.name)("no-such-task")


# -- repeating what is safe to repeat ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["reset_before", "reset_after", "close_after", "502_html_before", "truncated", "cut"]
)
def test_safe_requests_are_repeated_with_growing_pauses(house: House, fault: str) -> None:
    """Three bad answers cost three repeats, each announced, the pauses growing within the policy."""
    events: list[Any] = []
    policy = RetryPolicy(attempts=4, first_delay=2.0, max_delay=5.0)
    client = house.client(retry=policy, hooks=events.append)
    task = house.submit(client)
    house.box.faults.add(house.look, fault, times=3)
    events.clear()
    assert task.refresh()
    pauses = [event.delay for event in events if isinstance(event, RetryScheduled)]
    assert len(pauses) == 3
    assert 1.0 <= pauses[0] <= 2.0
    assert 2.0 <= pauses[1] <= 4.0
    assert 2.5 <= pauses[2] <= 5.0
    assert [event.attempt for event in events if isinstance(event, RequestDone)] == [1, 2, 3, 4]


def test_the_retries_end(house: House) -> None:
    """After the policy's attempts the last error is raised."""
    client = house.client(retry=RetryPolicy(attempts=3))
    task = house.submit(client)
    house.box.faults.add(house.look, "reset_after", times=100)
    with pytest.raises(TransportError):
        task.refresh()
    assert house.box.seen.requests[house.look] == 3


def test_one_call_may_ask_for_no_retries(house: House) -> None:
    """``CallOptions(retries=0)`` sends once."""
    task = house.submit(house.client())
    house.box.faults.add(house.look, "503_before", times=100)
    with pytest.raises(ProviderFault) as caught:
        task.refresh(options=CallOptions(retries=0))
    assert caught.value.retry_after == 2.0
    assert house.box.seen.requests[house.look] == 1


def test_a_refusal_is_not_repeated(house: House) -> None:
    """What the provider refuses in its own shape is final."""
    task = house.submit(house.client())
    refusal = next(r for r in house.samples.refusals if r.error is NotFound)
    house.box.faults.add(house.look, _answer(refusal.body), times=100)
    with pytest.raises(NotFound):
        task.refresh()
    assert house.box.seen.requests[house.look] == 1


def test_a_page_in_place_of_an_answer_is_repeated_then_told(house: House) -> None:
    """A gateway's page with status 200 is in none of the provider's shapes."""
    task = house.submit(house.client())
    house.box.faults.add(house.look, "html_as_json", times=100)
    with pytest.raises(UnexpectedResponse) as caught:
        task.refresh()
    assert caught.value.response.text.startswith("<html>")  # type: ignore[union-attr]
    assert house.box.seen.requests[house.look] == 4


def test_retry_after_is_obeyed_and_too_much_of_it_ends_the_call(house: House) -> None:
    """The provider's own figure is waited for; one beyond the policy's longest pause is raised."""
    task = house.submit(house.client(retry=RetryPolicy(max_delay=30)))
    house.box.faults.add(house.look, _answer({}, 429, retry_after="17"))
    began = house.side.now()
    task.refresh()
    assert house.side.now() - began >= 17
    house.box.faults.add(house.look, _answer({}, 429, retry_after="31"), times=9)
    other = house.submit(house.client())
    with pytest.raises(RateLimited) as caught:
        other.refresh()
    assert caught.value.retry_after == 31.0


def test_the_time_of_a_call_bounds_everything(house: House) -> None:
    """A call's own time, or the client's, ends retries and silence with DeadlineExceeded."""
    task = house.submit(house.client())
    house.box.faults.add(house.look, "hang_before", times=100)
    began = house.side.now()
    with pytest.raises(DeadlineExceeded) as caught:
        task.refresh(options=CallOptions(timeout=7))
    assert 7 <= house.side.now() - began < 7.5
    assert isinstance(caught.value, TimeoutError)
    strict = house.client(timeouts=Timeouts(call=4)).task(task.to_token())
    began = house.side.now()
    with pytest.raises(DeadlineExceeded):
        strict.refresh()
    assert 4 <= house.side.now() - began < 4.5


def test_silence_ends_with_the_request_s_own_time(house: House) -> None:
    """Without a deadline a silent server costs ``timeouts.request`` for each try."""
    client = house.client(timeouts=Timeouts(request=5), retry=RetryPolicy(attempts=2, first_delay=1))
    task = house.submit(client)
    house.box.faults.add(house.look, "hang_before", times=100)
    began = house.side.now()
    with pytest.raises(TransportError, match="timed out"):
        task.refresh()
    assert 10 <= house.side.now() - began < 14


def test_headers_of_one_call_are_sent_but_never_replace_the_credentials(house: House) -> None:
    """``CallOptions(headers=…)`` adds headers; an Authorization header in it is ignored."""
    client = house.client()
    options = CallOptions(headers={"X-Trace": "abc", "authorization": "Bearer stolen"})
    assert "abc" not in repr(options)
    with house.listening() as heard:
        house.submit(client, options=options)
    (request,) = heard
    assert request.headers["x-trace"] == "abc"
    assert "stolen" not in str(request.headers)


# -- mistakes that never leave the house ---------------------------------------------------------------------------


def test_mistakes_are_found_before_anything_is_sent(house: House, mistake: Mistake) -> None:
    """A call outside the published limits raises at once, names every field, and sends nothing at all."""
    client = house.client()
    with pytest.raises(mistake.error) as caught:
        house.method(client, mistake.method)(**house.filled(client, mistake.arguments))
    assert house.requests() == 0
    problems = getattr(caught.value, "problems", (str(caught.value),))
    assert len(problems) >= len(mistake.names)
    for name in mistake.names:
        assert any(name in problem for problem in problems), problems
    assert isinstance(caught.value, ValueError)


def test_preflight_can_be_switched_off(house: House) -> None:
    """``preflight=False``, for a call or the client, leaves the judgement of files to the provider."""
    rows = [m for m in house.samples.mistakes if m.label == "too short"]
    for mistake in rows:
        client = house.client(preflight=False)
        arguments = house.filled(client, mistake.arguments)
        arguments["avatar"] = house._need(client, "avatar")
        assert house.method(client, mistake.method)(**arguments).id
        strict = house.client()
        assert house.method(strict, mistake.method)(**arguments, options=CallOptions(preflight=False)).id
        with pytest.raises(InvalidRequest):
            house.method(strict, mistake.method)(**arguments)


def test_missing_credentials_name_the_variable(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without credentials a client cannot be made, and the message says what to set."""
    spec = providers.spec(provider)
    for name in spec.credentials:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(MissingCredentials) as caught:
        providers.client_class(provider)()
    for name in spec.credentials:
        assert name in str(caught.value)
        assert name in caught.value.hint
        monkeypatch.setenv(name, "from-the-environment")
    assert "from-the-environment" not in repr(providers.client_class(provider)())


# -- errors as objects ---------------------------------------------------------------------------------------------

_SECRETS = ("Signature=", "Expires=", "Bearer")


def _provoked(house: House) -> list[BaseException]:
    """One error of each way a call can end badly."""
    client = house.client(timeouts=Timeouts(request=5, submit=5), retry=RetryPolicy(attempts=1))
    task = house.submit(client)
    wrong = next(mistake for mistake in house.samples.mistakes if mistake.error is InvalidRequest)
    calls: list[tuple[Any, Any]] = [
        (
            None,
            lambda: house.method(client, wrong.method)(**house.filled(client, wrong.arguments)),
        ),
        (None, lambda: client.task("avk1.x")),
        (None, lambda: task.wait(timeout=0)),
    ]
    for fault in ("reset_after", "hang_before", "html_as_json", "503_before", "redirect"):
        calls.append((house.endpoint(house.submission), partial(house.submit, client)))
        calls[-1] = (fault, calls[-1][1])
        calls.append((f"look {fault}", task.refresh))
    errors: list[BaseException] = []
    for fault, call in calls:
        if fault is not None:
            where = house.look if fault.startswith("look ") else house.endpoint(house.submission)
            house.box.faults.add(where, fault.removeprefix("look "))
        try:
            call()
        except AvatarKitError as error:
            errors.append(error)
    house.account(credits=0)
    for call in (partial(house.submit, client), partial(house.submit, house.client("a-wrong-token-value"))):
        try:
            call()
        except AvatarKitError as error:
            errors.append(error)
    return errors


def test_errors_hold_no_secret_and_cross_process_borders(house: House) -> None:
    """Text, repr, traceback and pickle show neither token nor signed URL; a pickled error comes back equal."""
    errors = _provoked(house)
    kinds = {type(error) for error in errors}
    assert kinds >= {
        InvalidRequest,
        WaitTimeout,
        SubmissionInDoubt,
        TransportError,
        UnexpectedResponse,
        ProviderFault,
        InsufficientCredits,
        AuthenticationError,
    }
    for error in errors:
        packed = pickle.dumps(error)
        shown = "".join(traceback.format_exception(error)) + repr(error) + repr(vars(error))
        for secret in (house.box.token, "a-wrong-token-value", *house.secrets(), *_SECRETS):
            assert secret not in shown
            assert secret.encode() not in packed
        again = pickle.loads(packed)
        assert type(again) is type(error)
        assert (str(again), again.hint) == (str(error), error.hint)  # type: ignore[attr-defined]
        for name, value in vars(error).items():
            assert _plain(getattr(again, name)) == _plain(value)


def _plain(value: Any) -> Any:
    if not isinstance(value, RawResponse):
        return value
    return value.status, value.body, {name.lower(): text for name, text in value.headers.items()}
