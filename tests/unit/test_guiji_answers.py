"""Guiji's answers: single values, lists, batches, and what is never an end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.errors import ProviderFault, UnexpectedResponse
from avatarkit.models import Kind, RawResponse, Status
from avatarkit.protocol.endpoint import Endpoint
from avatarkit.protocol.outcome import Outcome, judge, repeatable
from avatarkit.providers.guiji import answers, codes, reading, values
from avatarkit.providers.guiji import endpoints as ep
from avatarkit.providers.guiji import operations as ops
from avatarkit.providers.guiji.sample_answers import SAMPLE_TIME, good, refused


def _response(data: Any, status: int = 200) -> RawResponse:
    return RawResponse(status, {}, orjson.dumps(data))


def _page(rows: Sequence[Any], **more: Any) -> RawResponse:
    return _response(good({"pageSize": 100, "pageNo": 1, "totalRecord": len(rows), "records": rows, **more}))


@pytest.mark.parametrize(
    "endpoint", [ops.VIDEO_CREATE, ops.AVATAR_CREATE, ops.VOICE_CREATE, ops.AUDIO_CREATE]
)
def test_an_internal_exception_is_a_doubt_on_creates_and_a_retry_on_reads(endpoint: Endpoint) -> None:
    """40001 with HTTP 200: a submission may have been carried out; a read is simply repeated."""
    with pytest.raises(UnexpectedResponse, match="not known") as caught:
        answers.read_created(endpoint)(_response(refused("40001")))
    assert caught.value.code == "40001"
    assert judge(caught.value, sent=True) is Outcome.IN_DOUBT
    with pytest.raises(ProviderFault) as read:
        ep.look(ops.VIDEO_GET)("-1").read(_response(refused("40001")))
    assert repeatable(read.value)


def test_every_other_code_is_a_sure_refusal_or_a_wait() -> None:
    """In the vendor's own shape a code means that nothing was made."""
    for code in codes.ERRORS:
        with pytest.raises(codes.ERRORS[code].error if code != "40001" else UnexpectedResponse) as caught:
            answers.read_created(ops.VIDEO_CREATE)(_response(refused(code)))
        expected = {"40019": Outcome.TRY_LATER, "40001": Outcome.IN_DOUBT}.get(code, Outcome.REFUSED)
        assert judge(caught.value, sent=True) is expected


def test_the_table_of_codes_is_whole() -> None:
    """Every code of the vendor's documents, and no other."""
    assert set(codes.ERRORS) == {str(code) for code in (40001, 40002, 40003, *range(40010, 40028))}


def test_two_and_three_mean_opposite_things() -> None:
    """The four enumerations do not share a table."""
    looks = {
        Kind.AVATAR: {"id": 1, "sceneId": -1},
        Kind.VOICE: {"speakerId": "C_1"},
        Kind.VIDEO: {"id": -1, "videoUrl": "http://x/y"},
        Kind.AUDIO: {"id": 1, "ttsUrl": "http://x/y"},
    }
    ends = {}
    for kind, row in looks.items():
        name = "synthesisStatus" if kind is Kind.VIDEO else "status"
        request = ep.SPEC.kinds[kind].look("1")
        ends[kind] = [request.read(_response(good({**row, name: value}))).status for value in (2, 3)]
    usual = [Status.SUCCEEDED, Status.FAILED]
    running = [Status.RUNNING, Status.SUCCEEDED]
    assert ends == {Kind.AVATAR: usual, Kind.VOICE: usual, Kind.VIDEO: running, Kind.AUDIO: usual}


@given(
    value=st.integers(-50, 200)
    | st.text(max_size=4)
    | st.none()
    | st.booleans()
    | st.floats(allow_nan=False),
    kind=st.sampled_from(Kind),
)
def test_an_undocumented_status_is_never_an_end(value: Any, kind: Kind) -> None:
    """Only the documented values end a task, in whatever type they come."""
    row = {"id": 1, "speakerId": "C_1", "sceneId": 2, "videoUrl": "http://x/y", "ttsUrl": "http://x/y"}
    row |= {"status": value, "synthesisStatus": value}
    try:
        found = ep.SPEC.kinds[kind].look("1").read(_response(good(row)))
    except UnexpectedResponse:
        return
    if found.status.terminal:
        table = {Kind.VIDEO: {3, 4, 6, 7}, Kind.AUDIO: {2, 3}}.get(kind, {2, 3, 4})
        assert float(value) in table


# -- batches --------------------------------------------------------------------------------------------------------


def test_one_list_answers_for_many_tasks() -> None:
    """Rows that were asked for, by id whatever its type, the newest of a repeated one; broken rows are left out."""
    rows = [
        {"id": -9, "synthesisStatus": 3, "videoUrl": "http://x/9"},
        {"id": "-8", "synthesisStatus": "1"},
        {"id": -9, "synthesisStatus": 2},
        {"id": -7, "synthesisStatus": 2},
        {"id": -6, "synthesisStatus": None},
        {"id": -5, "synthesisStatus": 2, "videoUrl": {"a": 1}},
        None,
        "x",
    ]
    batch = ep.SPEC.kinds[Kind.VIDEO].batch
    assert batch is not None
    request = batch.request(("-9", "-8", "-6", "-5", "-1"), 2)
    assert request.body == {"page": 2, "size": 100}
    page = request.read(_page(rows, totalRecord=1000))
    assert {task: shown.status for task, shown in page.found.items()} == {
        "-9": Status.SUCCEEDED,
        "-8": Status.QUEUED,
        "-5": Status.RUNNING,
    }
    assert page.more


def test_voices_are_listed_by_another_name() -> None:
    """Their id is the ``speakerId``, also where rows have an ``id`` besides."""
    batch = ep.SPEC.kinds[Kind.VOICE].batch
    assert batch is not None
    page = batch.request(("C_1",), 1).read(_page([{"id": 4, "speakerId": "C_1", "status": 2}]))
    assert page.found["C_1"].result["id"] == "C_1"
    assert not page.more


@pytest.mark.parametrize(
    ("about", "rows", "more"),
    [
        ({"totalRecord": 41}, 20, True),
        ({"totalRecord": 40}, 20, False),
        ({"totalRecord": 41, "pageSize": 10}, 10, True),
        ({"totalRecord": None}, 20, True),
        ({"totalRecord": None}, 19, False),
        ({"totalRecord": 1000}, 0, False),
    ],
)
def test_whether_a_page_is_the_last(about: dict[str, Any], rows: int, more: bool) -> None:
    """By the total where there is one, counted in the vendor's own page size; never after an empty page."""
    data = {"pageSize": 20, **about, "records": [{"id": number} for number in range(rows)]}
    assert answers.read_page(ops.VIDEO_LIST, 2, 20)(_response(good(data))).more is more


# -- values ---------------------------------------------------------------------------------------------------------


def test_times_come_in_three_forms_and_mean_one_moment() -> None:
    """The vendor's samples show one moment as text and as milliseconds; it is the same in UTC."""
    for value in ("2025-03-10 10:11:45", 1741572705000, "1741572705000", 1741572705):
        assert values.moment(value) == SAMPLE_TIME
    assert values.moment("2025-03-10 10:11:45") == datetime(2025, 3, 10, 2, 11, 45, tzinfo=UTC)
    assert values.china_text(datetime(2025, 3, 10, 2, 11, 45, tzinfo=UTC)) == "2025-03-10 10:11:45"
    assert values.china_text(datetime(2025, 3, 10, 10, 11, 45)) == "2025-03-10 10:11:45"


@given(st.none() | st.booleans() | st.text() | st.integers() | st.floats() | st.lists(st.integers()))
def test_any_value_is_a_time_or_none(value: Any) -> None:
    """Nothing that a vendor may send makes reading a time fail; a time has a zone."""
    found = values.moment(value)
    assert found is None or found.tzinfo is not None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["zh", "en"], ("zh", "en")),
        ("zh,en", ("zh", "en")),
        ("zh | en", ("zh", "en")),
        ('["zh", "en"]', ("zh", "en")),
        ("zh", ("zh",)),
        ("", ()),
        (None, ()),
        ([None, 3, "zh"], ("zh",)),
        ({"zh": 1}, ()),
    ],
)
def test_languages_in_every_form(value: Any, expected: tuple[str, ...]) -> None:
    """List, comma text, JSON in text, null: the table says text and the samples a list."""
    row = reading.voice_clone(
        reading.structure({"speakerId": "C_1", "languages": value}, answers.wire.VoiceRow)
    )
    assert row.languages == expected


def test_ids_keep_their_sign_and_lose_their_type() -> None:
    """Negative numbers are usual; what is no id is none."""
    found = [values.ident(value) for value in (-292, "-292", -292.0, 0, " C_1 ", True, None, [], 1e300, 1.5)]
    assert found == ["-292", "-292", "-292", "0", "C_1", "", "", "", "", ""]


def test_an_id_cannot_leave_its_path() -> None:
    """Slashes, dots and question marks in an id are quoted."""
    for thing in ("../../user", "..", ".", "a?b#c", "é/"):
        path = ep.look(ops.VIDEO_GET)(thing).endpoint.path
        assert path.startswith("/openapi/video/v2/get/")
        tail = path.removeprefix("/openapi/video/v2/get/")
        assert not set(tail) & set("/?#")
        assert tail.strip(".")
