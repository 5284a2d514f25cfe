"""Kling's codes, failure texts, limits and requests: the pure parts."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.errors import (
    AuthenticationError,
    BadRequest,
    InsufficientCredits,
    MediaRejected,
    NotFound,
    ProviderFault,
    RateLimited,
    TooManyRunning,
)
from avatarkit.models import FailureReason, RawResponse, Status
from avatarkit.protocol.limits import MediaFacts
from avatarkit.protocol.outcome import Outcome, judge
from avatarkit.providers.kling import codes, limits
from avatarkit.providers.kling import endpoints as ep


def answer(data: Any, status: int = 200) -> RawResponse:
    return RawResponse(
        status, {}, orjson.dumps({"code": 0, "message": "SUCCEED", "request_id": "r", "data": data})
    )


def test_the_table_has_every_published_code() -> None:
    """21 codes, and the HTTP status of each."""
    assert len(codes.ERRORS) == 21
    assert {code for code, rule in codes.ERRORS.items() if rule.http_status == 429} == {
        *("1100", "1101", "1102"),
        *("1302", "1303", "1304"),
    }


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("1100", Outcome.REFUSED),
        ("1101", Outcome.REFUSED),
        ("1102", Outcome.REFUSED),
        ("1302", Outcome.TRY_LATER),
        ("1303", Outcome.TRY_LATER),
        ("1304", Outcome.REFUSED),
        ("1201", Outcome.REFUSED),
        ("5000", Outcome.IN_DOUBT),
        ("5001", Outcome.IN_DOUBT),
        ("5002", Outcome.IN_DOUBT),
    ],
)
def test_what_a_code_means_for_a_submission(code: str, outcome: Outcome) -> None:
    """Of the codes under HTTP 429 only two are worth waiting for; every 5xx leaves a doubt."""
    body = orjson.dumps({"code": int(code), "message": "m"})
    read = ep.read_any(ep.AVATAR_CREATE)
    with pytest.raises(codes.ERRORS[code].error) as caught:
        read(RawResponse(codes.ERRORS[code].http_status, {}, body))
    assert judge(caught.value, sent=True) is outcome


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("external_task_id already exists", BadRequest),
        ("Task not found by id/external id", NotFound),
        ("Voice id not found", NotFound),
        ("the model does not exist", NotFound),
        ("Image file format is invalid", MediaRejected),
        ("mode must be std or pro", BadRequest),
        ("", BadRequest),
    ],
)
def test_code_1201_is_told_apart_by_its_text(message: str, error: type[Exception]) -> None:
    """Used before, not found, a bad file and a bad field share one code."""
    assert codes.rule_for("1201", message, 400).error is error


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("4711", 400, ProviderFault),
        ("4711", 401, AuthenticationError),
        ("4711", 429, RateLimited),
        ("1303", 200, TooManyRunning),
        ("1102", 200, InsufficientCredits),
        ("1303", 401, TooManyRunning),
    ],
)
def test_the_code_goes_before_the_http_status(code: str, status: int, error: type[Exception]) -> None:
    """A known code decides whatever the status; the status helps with unknown ones only."""
    assert codes.rule_for(code, "", status).error is error


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Failure to pass the risk control system", FailureReason.MODERATION),
        ("The resolution or aspect ratio of the input image is invalid", FailureReason.BAD_INPUT),
        ("parallel task over resource pack limit", FailureReason.PROVIDER_FAULT),
        ("", FailureReason.PROVIDER_FAULT),
        ("anything new", FailureReason.PROVIDER_FAULT),
    ],
)
def test_why_a_task_failed(text: str, reason: FailureReason) -> None:
    """The reason comes out of the text, for failed tasks have no code."""
    assert codes.failure_reason(text) is reason


# -- looking ------------------------------------------------------------------------------------------------------


def test_a_task_is_looked_at_where_it_was_made() -> None:
    """The id alone leads to the avatar's or the lip-sync's path; odd ids stay inside their segment."""
    assert ep.look("831").endpoint.path == "/v1/videos/avatar/image2video/831"
    assert ep.look("advanced-lip-sync/831").endpoint.path == "/v1/videos/advanced-lip-sync/831"
    assert ep.look("a/b ?#").endpoint.path == "/v1/videos/avatar/image2video/a%2Fb%20%3F%23"
    assert ep.look("..").endpoint.path.endswith("/%2E%2E")


@given(st.text(min_size=1, max_size=40))
def test_no_id_leaves_its_segment(task_id: str) -> None:
    """Whatever an id holds, the path below the API keeps its number of segments and is plain ASCII."""
    path = ep.look("x" + task_id).endpoint.path
    assert path.count("/") == 5
    assert path.isascii()
    assert not set(path) & set(" ?#")


def test_many_tasks_by_their_ids() -> None:
    """With an API key one request asks for twenty ids of both products, and each comes back under its own id."""
    batch = ep.KINDS_BY_IDS[next(iter(ep.KINDS_BY_IDS))].batch
    assert batch is not None
    request = batch.request(["1", "advanced-lip-sync/2", "3"], 1)
    assert (request.endpoint.path, request.query) == ("/tasks", "task_ids=1,2,3")
    rows = [
        {
            "id": "2",
            "status": "succeeded",
            "outputs": [{"type": "video", "id": "v", "url": "https://u", "duration": 3}],
        },
        {"id": "1", "status": "processing", "message": ""},
    ]
    page = request.read(answer(rows))
    assert {name: each.status for name, each in page.found.items()} == {
        "advanced-lip-sync/2": Status.SUCCEEDED,
        "1": Status.RUNNING,
    }
    assert not page.more
    assert batch.most == 20


def test_many_tasks_by_a_list() -> None:
    """With a signed token the list of the product that most tasks belong to is read, 500 rows at a time."""
    batch = ep.KINDS_BY_LIST[next(iter(ep.KINDS_BY_LIST))].batch
    assert batch is not None
    avatars = batch.request(["1", "2", "advanced-lip-sync/3"], 2)
    assert (avatars.endpoint.name, avatars.query) == ("videos.list", "pageNum=2&pageSize=500")
    lips = batch.request(["1", "advanced-lip-sync/2", "advanced-lip-sync/3"], 1)
    assert lips.endpoint.name == "lip_sync.list"
    page = lips.read(answer([{"task_id": str(n), "task_status": "submitted"} for n in range(500)]))
    assert set(page.found) == {"advanced-lip-sync/2", "advanced-lip-sync/3"}
    assert page.more
    assert not avatars.read(answer([{"task_id": "1", "task_status": "failed"}])).more


def test_one_broken_row_hides_no_other() -> None:
    """A row of a list that cannot be read is left out."""
    rows = [
        {"task_id": {"x": 1}},
        None,
        {"task_id": "2", "task_status": "succeed", "task_result": {"videos": [7]}},
    ]
    page = ep.page(ep.AVATAR_LIST, 1, 3).read(answer(rows))
    assert [(each.id, each.status) for each in page.items] == [("2", Status.UNKNOWN)]
    assert page.more


def test_what_a_task_cost() -> None:
    """Units where units were taken, else what was taken from the balance; both generations of records."""
    read = ep.read_any(ep.TASKS)

    def cost(**fields: Any) -> float | None:
        found: float | None = read(answer([{"id": "1", "status": "failed", **fields}]))[0].snapshot.cost
        return found

    assert cost(final_unit_deduction="4.4", final_balance_deduction={"quota": "0"}) == 4.4
    assert cost(final_unit_deduction="0", final_balance_deduction={"quota": "0.62"}) == 0.62
    assert (
        cost(billing=[{"charge_type": "unit", "amount": "4"}, {"charge_type": "unit", "amount": "0.4"}])
        == 4.4
    )
    assert cost(billing=[{"charge_type": "cash", "amount": "0.62", "currency": "USD"}]) == 0.62
    assert cost(final_unit_deduction="0") == 0.0
    assert cost(billing="?", final_balance_deduction=[], final_unit_deduction="many") is None


# -- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "height", "good"),
    [(300, 750, True), (750, 300, True), (300, 800, False), (900, 300, False), (1080, 1920, True)],
)
def test_a_picture_s_ratio(width: int, height: int, good: bool) -> None:
    """From 1:2.5 to 2.5:1."""
    assert (limits.check_ratio("image", MediaFacts(width=width, height=height)) == []) is good
    assert limits.check_ratio("image", MediaFacts()) == []


def test_the_voices() -> None:
    """35 voices speak Chinese and 27 English, as in the vendor's own plug-in; ids are unique."""
    assert sum("zh" in voice.languages for voice in limits.VOICES) == 35
    assert sum("en" in voice.languages for voice in limits.VOICES) == 27
    assert len({voice.id for voice in limits.VOICES}) == len(limits.VOICES)
