"""YunApi's tables, names, forms and readers, without any I/O."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarkit.errors import (
    AuthenticationError,
    BadRequest,
    InsufficientCredits,
    InvalidRequest,
    MediaRejected,
    ModerationRefused,
    NotFound,
    ProviderFault,
    RateLimited,
    TooManyRunning,
)
from avatarkit.models import Avatar, FailureReason, Kind, RawResponse, Status
from avatarkit.protocol.handle import from_token, to_token
from avatarkit.protocol.outcome import Outcome, judge
from avatarkit.providers.yunapi import callbacks, checks, codes, refs, wire
from avatarkit.providers.yunapi import endpoints as ep
from avatarkit.providers.yunapi import operations as op
from avatarkit.providers.yunapi.fake import FAKE
from avatarkit.providers.yunapi.fake_form import read_form
from avatarkit.providers.yunapi.forms import Form


def _response(body, status=200):
    return RawResponse(status, {}, orjson.dumps(body))


def _sent(form):
    async def whole():
        return b"".join([piece async for piece in form.pieces()])

    return asyncio.run(whole())


@pytest.mark.parametrize(
    ("status", "code", "text", "error"),
    [
        (403, "", "用户额度不足", InsufficientCredits),
        (403, "insufficient_user_quota", "", InsufficientCredits),
        (403, "", "over your credit limit", InsufficientCredits),
        (403, "", "insufficient permission", AuthenticationError),
        (403, "", "no such right", AuthenticationError),
        (401, "", "用户额度不足", InsufficientCredits),
        (200, "0", "无效的令牌", AuthenticationError),
        (200, "0", "内容敏感", ModerationRefused),
        (401, "", "moderation is off", AuthenticationError),
        (200, "0", "任务不存在", NotFound),
        (404, "", "", NotFound),
        (429, "", "", RateLimited),
        (200, "x", "当前分组上游负载已饱和", RateLimited),
        (200, "x", "your rate is too high", RateLimited),
        (200, "x", "cannot generate this", ProviderFault),
        (429, "", "并发任务数达到上限", TooManyRunning),
        (200, "0", "参数错误", BadRequest),
        (200, "0", "未检测到人脸", MediaRejected),
        (422, "", "", BadRequest),
        (500, "", "参数错误", ProviderFault),
        (418, "", "tea", ProviderFault),
    ],
)
def test_refusals_are_recognised_in_the_right_order(status, code, text, error):
    """Money is recognised before credentials, which share HTTP 403; words decide where no status does."""
    assert codes.rule_for(status, code, text).error is error


def test_a_server_s_error_on_a_submission_is_always_a_doubt():
    """Whatever a 5xx says, even "no money", a submission that got it may have been accepted."""
    for body in (
        {"code": "0", "msg": "余额不足"},
        {"error": {"message": "参数错误"}},
        {"code": 1, "data": {"task_id": 3}},
    ):
        for endpoint in (op.V2_CREATE, op.VIDEO_CREATE, op.REMAKE_CREATE):
            with pytest.raises(Exception) as caught:
                ep.read_any(endpoint)(_response(body, 502))
            assert judge(caught.value, sent=True) is Outcome.IN_DOUBT


@given(
    family=st.sampled_from([refs.V2, refs.FAST, refs.MODEL, refs.TIMBRE, refs.SPEECH, refs.PEOPLE]),
    line=st.sampled_from(["", "0", "1"]),
    own=st.text(min_size=1, max_size=12),
)
def test_a_name_on_a_line_comes_back_whole(family, line, own):
    """Family, line and id survive the way into a handle's id and back, whatever the id looks like."""
    ref = refs.Ref(family, own, line)
    assert refs.parse(str(ref), refs.STANDARD) == ref


@given(own=st.text(min_size=1, max_size=40))
def test_a_standard_work_is_called_by_its_own_id(own):
    """A standard id comes back as it was, also when it looks like a name on a line."""
    ref = refs.Ref(refs.STANDARD, own)
    assert refs.parse(str(ref), refs.STANDARD) == ref
    assert str(ref) == own or ":" in own


def test_the_same_number_is_four_different_tasks():
    """Task 32 of V2 and of the fast API, on either line, have four names, and each look asks the right act and line."""
    names = {f"{family}:{line}:32" for family in ("v2", "fast") for line in "01"}
    asked = {
        (request.body["act"], request.body["task_id"], request.body["line_type"])
        for request in map(ep.look(Kind.VIDEO), names)
    }
    assert asked == {(act, "32", line) for act in ("chk_v2", "chk_video_fast") for line in "01"}


def test_no_line_is_not_sent():
    """Where no line was chosen, the look sends none either."""
    assert ep.look(Kind.VIDEO)("v2::32").body == {"act": "chk_v2", "task_id": "32"}
    assert ep.look(Kind.AVATAR)("28").body == {"act": "chk_model_fast", "model_id": "28"}


@pytest.mark.parametrize(
    ("task_id", "path"),
    [
        ("3f0c", "/avatar/task/3f0c"),
        ("clean:3f0c", "/avatar/task/3f0c"),
        ("remake:8-5", "/query_video/8-5"),
        ("../x?y#z", "/avatar/task/..%2Fx%3Fy%23z"),
        ("..", "/avatar/task/%2E%2E"),
        ("model:1:28", "/avatar/task/model%3A1%3A28"),
    ],
)
def test_looks_at_paths_cannot_leave_them(task_id, path):
    """An id becomes one encoded step of the path, whatever is in it."""
    assert ep.look(Kind.VIDEO)(task_id).endpoint.path == path


@given(fields=st.dictionaries(st.sampled_from(["act", "task_id", "line_type", "x"]), st.text(max_size=30)))
def test_a_form_is_read_as_it_was_written(fields):
    """Any text survives the form, and size and content type tell the truth."""
    clean = {name: value.encode("utf-8", "replace").decode() for name, value in fields.items()}
    form = Form(clean)
    body = _sent(form)
    assert len(body) == form.size
    assert {part.name: part.text for part in read_form(form.content_type, body)} == clean
    assert _sent(Form(clean)) == body


@pytest.mark.parametrize("body", [b"", b"--x", b"--x\r\nno name\r\n\r\nv\r\n--x--\r\n", b"--x\r\n"])
def test_a_cut_form_is_no_form(body):
    """A form without its end, or with a part that has no name, is refused."""
    with pytest.raises(ValueError):
        read_form("multipart/form-data; boundary=x", body)
    with pytest.raises(ValueError):
        read_form("application/json", b"{}")


def test_the_clean_url_is_taken_when_it_was_asked_for():
    """A work made without watermark prefers the clean path; others the usual one, and any path before none."""
    work = {
        "id": "t",
        "web_work_status": 200,
        "no_wm_work_video_path": "https://c/1",
        "work_video_path": "https://u/2",
    }
    body = {"code": 0, "data": work}

    def url(task_id, **changes):
        snapshot = ep.look(Kind.VIDEO)(task_id).read(_response({"code": 0, "data": {**work, **changes}}))
        return snapshot.result.get("url"), snapshot.status

    assert url("clean:t") == ("https://c/1", Status.SUCCEEDED)
    assert url("t") == ("https://u/2", Status.SUCCEEDED)
    assert url("clean:t", no_wm_work_video_path="") == ("https://u/2", Status.SUCCEEDED)
    assert url("t", work_video_path=None) == ("https://c/1", Status.SUCCEEDED)
    assert url("t", work_video_path="film.mp4", no_wm_work_video_path="") == (None, Status.UNKNOWN)
    assert ep.create_work({"no_watermark": True}).read(_response(body)).task_id == "clean:t"


def test_a_model_keeps_its_line():
    """A trained model's id carries the line, and a video made with it goes to that line without being told."""
    look = ep.look(Kind.AVATAR)("model:1:28")
    snapshot = look.read(_response({"code": "1", "data": {"zstatus": "3"}}))
    assert snapshot.result["id"] == "model:1:28"
    problems = []
    assert checks.ref("avatar", Avatar(id="model:1:28"), refs.MODEL, None, problems) == ("28", "1")
    assert checks.ref("avatar", "28", refs.MODEL, 0, problems) == ("28", "0")
    assert checks.ref("avatar", "28", refs.MODEL, None, problems) == ("28", None)
    assert problems == []
    with pytest.raises(InvalidRequest, match="made on that line"):
        checks.task_ref("v2:1:3", refs.V2, "0")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1736868741, 1736868741.0),
        (1736868741000, 1736868741.0),
        ("1736868741000", 1736868741.0),
        (0, None),
        (None, None),
        (True, None),
        ("2024-12-04T03:16:23", None),
        ("٣", None),
        (-5, None),
        (float("inf"), None),
    ],
)
def test_times_come_in_seconds_and_milliseconds(value, seconds):
    """Both units are told apart; 0 is unset, and a time without a zone is no moment."""
    assert wire.moment(value) == seconds


def test_reasons_of_failed_tasks():
    """The vendor's words decide between review, bad input and its own fault."""
    assert codes.reason_for("内容违规") is FailureReason.MODERATION
    assert codes.reason_for("no face found") is FailureReason.BAD_INPUT
    assert codes.reason_for("") is FailureReason.PROVIDER_FAULT


def test_the_gateway_s_request_id_is_kept():
    """The id that the gateway writes into its text is what support asks for."""
    body = {"error": {"message": "no channel (request id: 20260101abc)", "code": "x"}}
    with pytest.raises(ProviderFault) as caught:
        ep.read_any(op.VIDEO_TASK)(_response(body))
    assert caught.value.request_id == "20260101abc"


def test_handles_hold_the_whole_name():
    """A token brings family and line back."""
    from avatarkit.protocol.handle import Handle

    handle = Handle(provider="yunapi", account="a", kind=Kind.VIDEO, task_id="v2:1:32", born=1.0)
    assert from_token(to_token(handle)).task_id == "v2:1:32"


def test_there_are_no_callbacks():
    """A receiver gives out no path for YunApi, since nobody says what a callback would look like."""
    assert callbacks.FORMAT is None
    assert FAKE.callback_statuses == frozenset()
