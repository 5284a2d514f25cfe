"""The driver: what is sent, what is repeated, how failures are named. Without sockets."""

import asyncio
import inspect
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import aioresponses
import pytest
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

import avatarkit
from avatarkit import CallOptions, RetryPolicy, events
from avatarkit.testing import VirtualClock, run_virtual

BASE = "https://api.example"
CREDIT = f"{BASE}/account/credit"
VIDEO = f"{BASE}/video/create_by_tts"
GOOD = {"code": 0, "message": "", "left": 7, "request_id": "r1"}
KEY = ConnectionKey("api.example", 443, True, True, None, None, None)


def run(test: Callable[[avatarkit.AsyncHiFly], Awaitable[Any]], **options: Any) -> Any:
    """Run *test* with a client, in virtual time."""

    async def main() -> Any:
        settings: dict[str, Any] = {"base_url": BASE, "clock": VirtualClock(), "seed": 3, **options}
        async with avatarkit.AsyncHiFly("tok-en-secret", **settings) as client:
            return await test(client)

    return run_virtual(main)


def calls(answers: aioresponses.aioresponses, url: str = CREDIT, method: str = "GET") -> list[Any]:
    return list(answers.requests.get((method, URL(url)), []))


def test_aioresponses_still_needs_the_fixture() -> None:
    """The fixture ``answers`` can go as soon as this fails: aioresponses then passes ``stream_writer`` itself."""
    source = inspect.getsource(aioresponses.core.RequestMatch._build_response)

    assert "stream_writer" not in source
    assert "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters


def test_request_carries_token_and_no_redirects(answers: aioresponses.aioresponses) -> None:
    """The bearer token goes in the header, redirects are never followed, JSON comes back as data."""
    answers.get(CREDIT, payload=GOOD)

    credit = run(lambda client: client.account.credit())

    assert credit.left == 7
    assert credit.response.json() == GOOD
    sent = calls(answers)[0].kwargs
    assert sent["headers"]["Authorization"] == "Bearer tok-en-secret"
    assert sent["allow_redirects"] is False


def test_extra_headers_never_replace_the_token(answers: aioresponses.aioresponses) -> None:
    """Per-call headers are added; an Authorization header among them is dropped."""
    answers.get(CREDIT, payload=GOOD)

    options = CallOptions(headers={"X-Trace": "1", "authorization": "Bearer stolen"})
    run(lambda client: client.account.credit(options=options))

    headers = calls(answers)[0].kwargs["headers"]
    assert headers["X-Trace"] == "1"
    assert headers["Authorization"] == "Bearer tok-en-secret"
    assert len([name for name in headers if name.lower() == "authorization"]) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_safe_request_is_repeated_with_growing_delays(
    answers: aioresponses.aioresponses, status: int
) -> None:
    """A 5xx on a read is repeated, delays doubling within jitter; the fourth answer is taken."""
    for _ in range(3):
        answers.get(CREDIT, status=status, body=b"<html>")
    answers.get(CREDIT, payload=GOOD)
    seen: list[events.Event] = []

    credit = run(lambda client: client.account.credit(), hooks=seen.append)

    delays = [event.delay for event in seen if isinstance(event, events.RetryScheduled)]
    assert credit.left == 7
    assert len(delays) == 3
    for delay, ceiling in zip(delays, (0.5, 1.0, 2.0), strict=True):
        assert ceiling / 2 <= delay <= ceiling


def test_retry_after_rules_the_delay(answers: aioresponses.aioresponses) -> None:
    """A Retry-After within the policy is obeyed to the second; one beyond it ends the retries at once."""
    answers.get(CREDIT, status=429, headers={"Retry-After": "7"}, body=b"slow down")
    answers.get(CREDIT, payload=GOOD)

    async def obeyed(client: avatarkit.AsyncHiFly) -> float:
        began = asyncio.get_running_loop().time()
        await client.account.credit()
        return asyncio.get_running_loop().time() - began

    assert 7.0 <= run(obeyed) < 7.2

    answers.get(CREDIT, status=429, headers={"Retry-After": "31"}, body=b"slow down")
    with pytest.raises(avatarkit.RateLimited) as caught:
        run(lambda client: client.account.credit())
    assert caught.value.retry_after == 31


@pytest.mark.parametrize(
    ("options", "sends"),
    [(CallOptions(retries=0), 1), (CallOptions(retries=2), 3), (None, 4)],
    ids=["none", "two", "policy"],
)
def test_number_of_sends(answers: aioresponses.aioresponses, options: CallOptions | None, sends: int) -> None:
    """``retries`` of one call overrides the policy's number of sends."""
    answers.get(CREDIT, status=500, body=b"", repeat=True)

    with pytest.raises(avatarkit.ProviderFault):
        run(lambda client: client.account.credit(options=options))
    assert len(calls(answers)) == sends


def test_refusals_are_not_repeated(answers: aioresponses.aioresponses) -> None:
    """A refusal in the vendor's own words is final: one send."""
    answers.get(CREDIT, payload={"code": 1005, "message": "no", "request_id": "q"}, repeat=True)

    with pytest.raises(avatarkit.EntitlementError) as caught:
        run(lambda client: client.account.credit())
    assert (caught.value.code, caught.value.request_id, len(calls(answers))) == ("1005", "q", 1)


def test_total_deadline_cuts_retries(answers: aioresponses.aioresponses) -> None:
    """``timeout`` of one call bounds it with all its retries, and says so."""
    answers.get(CREDIT, status=500, body=b"", repeat=True)
    policy = RetryPolicy(attempts=50, first_delay=4)

    async def timed(client: avatarkit.AsyncHiFly) -> float:
        began = asyncio.get_running_loop().time()
        with pytest.raises(avatarkit.DeadlineExceeded):
            await client.account.credit(options=CallOptions(timeout=10))
        return asyncio.get_running_loop().time() - began

    assert run(timed, retry=policy) == pytest.approx(10, abs=0.1)


NEVER_OUT = [
    aiohttp.ClientConnectorError(KEY, OSError(111, "refused")),
    aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "unknown name")),
    aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError("bad certificate")),
    aiohttp.ConnectionTimeoutError("connect"),
]


@pytest.mark.parametrize("failure", NEVER_OUT, ids=lambda e: type(e).__name__)
def test_connection_failures_of_a_submission_are_not_sent(
    answers: aioresponses.aioresponses, failure: Exception
) -> None:
    """What fails before a connection stands is certain: sent again within the policy, then NotSent."""
    answers.post(VIDEO, exception=failure, repeat=True)

    with pytest.raises(avatarkit.NotSent):
        run(lambda client: client.videos.create_by_tts(avatar="a", voice="v", text="t"))
    assert len(calls(answers, VIDEO, "POST")) == 4


def test_secrets_do_not_reach_errors(answers: aioresponses.aioresponses) -> None:
    """A failure whose text holds the token or a signed URL is told without them."""
    text = "tok-en-secret at https://api.example/x?Signature=abc"
    answers.get(CREDIT, exception=aiohttp.ClientOSError(104, text), repeat=True)

    with pytest.raises(avatarkit.TransportError) as caught:
        run(lambda client: client.account.credit())
    assert "tok-en-secret" not in str(caught.value)
    assert "abc" not in str(caught.value)
    assert isinstance(caught.value, ConnectionError)


def test_oversized_answer_is_refused(
    answers: aioresponses.aioresponses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer larger than any JSON answer could be is not kept in memory."""
    monkeypatch.setattr("avatarkit.transport.driver._LARGEST", 1000)
    answers.get(CREDIT, body=b"x" * 1001, repeat=True)

    with pytest.raises(avatarkit.UnexpectedResponse):
        run(lambda client: client.account.credit(options=CallOptions(retries=0)))


def test_raw_request(answers: aioresponses.aioresponses) -> None:
    """``raw`` gives the answer as it came, whatever its status; a POST is sent once."""
    answers.post(f"{BASE}/new/thing", status=503, body=b"later")

    answer = run(lambda client: client.raw("POST", "/new/thing", body={"a": 1}))

    assert (answer.status, answer.text) == (503, "later")
    assert calls(answers, f"{BASE}/new/thing", "POST")[0].kwargs["data"] == b'{"a":1}'
    with pytest.raises(avatarkit.ConfigurationError):
        run(lambda client: client.raw("GET", "https://elsewhere.example/"))
