"""What the answers of tasks mean: ids of new ones, snapshots of running ones."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from avatarkit.models import FailureReason, RawResponse, Snapshot, Status
from avatarkit.protocol.endpoint import Accepted, Endpoint
from avatarkit.providers.yunapi import codes, wire
from avatarkit.providers.yunapi import operations as op
from avatarkit.providers.yunapi.envelope import (
    AGENT_OK,
    GATEWAY_OK,
    REMAKE_OK,
    identifier,
    news,
    opened,
    outside,
    scalar,
    shaped,
)
from avatarkit.providers.yunapi.refs import CLEAN, MODEL, PEOPLE, SPEECH, TIMBRE, Ref

_URLS = ("http://", "https://")


# -- new tasks


def read_created(
    endpoint: Endpoint,
    family: str,
    line: str = "",
    *,
    ok: Collection[str] = AGENT_OK,
    code_needed: bool = True,
) -> Callable[[RawResponse], Accepted]:
    """Reads the answer of an operation that makes a task of *family* on *line*."""

    def read(response: RawResponse) -> Accepted:
        # "Created" is no page's word for it, but with an id in the vendor's shape it can mean nothing else.
        payload = opened(endpoint, response, ok, code_needed=code_needed, http=(200, 201))
        found = _new_id(payload)
        if not found:
            raise outside(endpoint, response, "accepted, but the answer has no id")
        return Accepted(task_id=str(Ref(family, found, line)), response=response)

    return read


def _new_id(payload: dict[str, Any]) -> str:
    """The id of what was made: in ``data`` under one of its names, ``data`` itself, or at the top."""
    data = payload.get("data")
    if not isinstance(data, dict):
        return identifier(data) or identifier(payload.get("task_id"))
    model = data.get("model")
    holders = (data, model if isinstance(model, dict) else {}, payload)
    for holder, name in ((h, n) for h in holders for n in ("task_id", "id", "model_id")):
        if identifier(holder.get(name)):
            return identifier(holder[name])
    return ""


# -- standard works


def read_work(ref: Ref) -> Callable[[RawResponse], Snapshot]:
    """Reads ``/avatar/task/{id}`` in the document's form and in the twins'."""

    def read(response: RawResponse) -> Snapshot:
        payload = opened(op.VIDEO_TASK, response, GATEWAY_OK, code_needed=False)
        data = payload.get("data")
        if not isinstance(data, dict) or not data:
            raise outside(op.VIDEO_TASK, response, "the answer has no task in it")
        if scalar(data.get("status")) != "":
            return _gateway_snapshot(data, response, ref)
        if "web_work_status" not in data and not identifier(data.get("id")):
            raise outside(op.VIDEO_TASK, response, "the answer has neither status nor id")
        work = shaped(op.VIDEO_TASK, response, data, wire.Work)
        raw = scalar(work.web_work_status)
        if raw is None:
            raise outside(op.VIDEO_TASK, response, "the status is neither number nor text")
        if raw == codes.WORK_DONE:
            return _film(work, raw, response, ref)
        if raw.startswith("-") and raw[1:].isdigit():
            return _failed(raw, response, payload.get("message") or payload.get("msg"))
        running = raw == "" or raw.isdigit()
        return Snapshot(
            status=Status.RUNNING if running else Status.UNKNOWN, raw_status=raw, response=response
        )

    return read


def _gateway_snapshot(data: dict[str, Any], response: RawResponse, ref: Ref) -> Snapshot:
    task = shaped(op.VIDEO_TASK, response, data, wire.GatewayTask)
    raw = scalar(task.status)
    if raw is None:
        raise outside(op.VIDEO_TASK, response, "the status is neither number nor text")
    status = codes.GATEWAY_STATUSES.get(raw.upper(), Status.UNKNOWN)
    if status is Status.FAILED:
        return _failed(raw, response, task.fail_reason)
    if status is Status.SUCCEEDED:
        inner = task.data if isinstance(task.data, dict) else data
        return _film(shaped(op.VIDEO_TASK, response, inner, wire.Work), raw, response, ref)
    return Snapshot(status=status, raw_status=raw, progress=_progress(task.progress), response=response)


def _progress(value: Any) -> float | None:
    """``"40%"`` or 40 as 0.4. Zero tells nothing: some tasks stay there until they end."""
    digits = (scalar(value) or "").removesuffix("%").strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) < 4):
        return None
    return min(int(digits), 99) / 100 or None


def _film(work: wire.Work, raw: str, response: RawResponse, ref: Ref) -> Snapshot:
    usual, clean, marked = work.work_video_path, work.no_wm_work_video_path, work.wm_work_video_path
    order = (clean, usual, marked) if ref.family == CLEAN else (usual, marked, clean)
    url = next((path for path in order if path.startswith(_URLS)), "")
    if not url:
        return _no_result(raw, response)
    result = {
        "url": url,
        "duration": None,
        "clean_url": clean,
        "marked_url": marked,
        "preview_url": work.work_webp_path,
        "created": wire.moment(work.create_time),
    }
    return Snapshot(status=Status.SUCCEEDED, raw_status=raw, result=result, response=response)


# -- agent_api.php


def read_check(endpoint: Endpoint, ref: Ref) -> Callable[[RawResponse], Snapshot]:
    """Reads the answer of a ``chk_*`` act about *ref*."""

    def read(response: RawResponse) -> Snapshot:
        payload = opened(endpoint, response, AGENT_OK)
        check = shaped(endpoint, response, payload.get("data"), wire.Check)
        raw = scalar(check.zstatus)
        if not raw:
            raise outside(endpoint, response, "the answer has no zstatus")
        status = codes.CREATED_STATUSES.get(raw, Status.UNKNOWN)
        if status is Status.FAILED:
            return _failed(raw, response, payload.get("msg") or payload.get("message"))
        if status is not Status.SUCCEEDED:
            return Snapshot(status=status, raw_status=raw, response=response)
        result = _checked(check, ref)
        if not result:
            return _no_result(raw, response)
        return Snapshot(status=status, raw_status=raw, result=result, response=response)

    return read


def _checked(check: wire.Check, ref: Ref) -> dict[str, Any]:
    if ref.family == MODEL:
        model = check.model_id or ref.id
        picture = check.model_pic or ""
        return {"id": str(Ref(MODEL, model, ref.line)), "demo_url": picture} if model else {}
    if ref.family == TIMBRE:
        return {"id": str(Ref(PEOPLE, check.model_id, ref.line))} if check.model_id else {}
    url = (check.audio_url if ref.family == SPEECH else check.video_url) or ""
    if not url.startswith(_URLS):
        return {}
    return {"url": url, "duration": check.video_time, "preview_url": check.video_pic or ""}


# -- remakes


def read_remake(response: RawResponse) -> Snapshot:
    """Reads ``/query_video/{task_id}``."""
    payload = opened(op.REMAKE_TASK, response, REMAKE_OK, code_needed=False)
    data = payload.get("data")
    remake = shaped(op.REMAKE_TASK, response, data if isinstance(data, dict) else payload, wire.Remake)
    raw = scalar(remake.status)
    if not raw:
        raise outside(op.REMAKE_TASK, response, "the answer has no status")
    status = codes.REMAKE_STATUSES.get(raw.lower(), Status.UNKNOWN)
    if status is Status.FAILED:
        return _failed(raw, response, remake.error_message)
    if status is not Status.SUCCEEDED:
        return Snapshot(status=status, raw_status=raw, response=response)
    urls = remake.result_urls if isinstance(remake.result_urls, dict) else {}
    url = urls.get("public_url")
    if not isinstance(url, str) or not url.startswith(_URLS):
        return _no_result(raw, response)
    return Snapshot(status=status, raw_status=raw, result={"url": url, "duration": None}, response=response)


# -- ends


def _failed(raw: str, response: RawResponse, text: Any) -> Snapshot:
    said = news(text)
    return Snapshot(
        status=Status.FAILED,
        raw_status=raw,
        reason=codes.reason_for(said),
        message=said or "the vendor gave no reason",
        response=response,
    )


def _no_result(raw: str, response: RawResponse) -> Snapshot:
    # Paid for and not there: not a result yet, not a failure yet. The poll hub looks again, a few times.
    return Snapshot(
        status=Status.UNKNOWN,
        raw_status=raw,
        reason=FailureReason.NO_RESULT,
        message="the vendor says the task is done but gives no result",
        response=response,
    )
