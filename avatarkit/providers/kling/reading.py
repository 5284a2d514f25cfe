"""How Kling's answers are read.

Rules, each from the vendor's documents or published probes of the live service:

- The envelope's ``code`` decides, whatever the HTTP status says; 0 is good.
- Any 401 is refused credentials. A 404 in the shape of the vendor's framework (``timestamp``, ``status``, ``path``, no
  code) is a wrong address.
- ``succeed`` and ``succeeded`` are the same, in either generation's records; an unknown status is no end.
- A failed task has no code, only ``task_status_msg``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from avatarkit.errors import (
    BadRequest,
    ModerationRefused,
    ProviderError,
    ProviderFault,
    UnexpectedResponse,
)
from avatarkit.models import Credit, FailureReason, Page, RawResponse, Snapshot, Status
from avatarkit.protocol.codec import structure
from avatarkit.protocol.endpoint import Accepted, BatchPage, Endpoint
from avatarkit.providers.kling import codes, wire
from avatarkit.providers.kling.envelope import code_of, data_of, facts, outside_shape, refused
from avatarkit.providers.kling.models import Costs, Face, FaceSession, ResourcePack, TaskRecord, TtsAudio

_FAILED_AT_ONCE: Final[Mapping[FailureReason, type[ProviderError]]] = {
    FailureReason.MODERATION: ModerationRefused,
    FailureReason.BAD_INPUT: BadRequest,
}


def _row(endpoint: Endpoint, response: RawResponse, value: Any) -> wire.TaskRow:
    try:
        return structure(value, wire.TaskRow)
    except UnexpectedResponse as error:
        raise outside_shape(endpoint, response, error.message) from None


# -- tasks --------------------------------------------------------------------------------------------------------


def accepted(endpoint: Endpoint, prefix: str = "") -> Callable[[RawResponse], Accepted]:
    """Reads the answer of a submission; the id gets *prefix*."""

    def read(response: RawResponse) -> Accepted:
        row = _row(endpoint, response, data_of(endpoint, response))
        if not row.task_id:
            raise outside_shape(endpoint, response, "accepted, but the answer has no task_id")
        return Accepted(task_id=prefix + row.task_id, response=response)

    return read


def record(endpoint: Endpoint, prefix: str = "") -> Callable[[RawResponse], TaskRecord]:
    """Reads the answer that shows one task."""

    def read(response: RawResponse) -> TaskRecord:
        row = _row(endpoint, response, data_of(endpoint, response))
        if not row.task_status:
            raise outside_shape(endpoint, response, "the answer has no task_status")
        return _record(row, prefix, response)

    return read


def snapshot(endpoint: Endpoint) -> Callable[[RawResponse], Snapshot]:
    """Reads the answer that shows one task, as the engine looks at it."""
    read = record(endpoint)
    return lambda response: read(response).snapshot


def _listed(endpoint: Endpoint, response: RawResponse) -> tuple[list[Mapping[str, Any]], int]:
    """The rows of a list that are objects, and how many rows it had."""
    data = data_of(endpoint, response)
    if data is not None and not isinstance(data, list):
        raise outside_shape(endpoint, response, "the answer's data is not a list")
    return wire.rows(data), len(data or ())


def _records(endpoint: Endpoint, prefix: str, response: RawResponse) -> tuple[list[TaskRecord], int]:
    """The tasks of a list, and how many rows it had; rows that cannot be read are left out."""
    rows, count = _listed(endpoint, response)
    found = [_read(row) for row in rows]
    return [_record(row, prefix, response) for row in found if row is not None and row.task_id], count


def _read(value: Mapping[str, Any]) -> wire.TaskRow | None:
    try:
        return structure(value, wire.TaskRow)
    except UnexpectedResponse:
        return None


def page(
    endpoint: Endpoint, prefix: str, number: int, size: int
) -> Callable[[RawResponse], Page[TaskRecord]]:
    """Reads a page of tasks. There is no total: a full page may be the last."""

    def read(response: RawResponse) -> Page[TaskRecord]:
        found, count = _records(endpoint, prefix, response)
        return Page(items=tuple(found), page=number, size=size, more=count >= size, response=response)

    return read


def records(endpoint: Endpoint) -> Callable[[RawResponse], tuple[TaskRecord, ...]]:
    """Reads the answer of ``GET /tasks``; unknown ids are missing from it."""
    return lambda response: tuple(_records(endpoint, "", response)[0])


def batch(endpoint: Endpoint, names: Mapping[str, str], size: int) -> Callable[[RawResponse], BatchPage]:
    """Reads a list as the poll hub wants it.

    Args:
        names: what is asked for: our ids by the vendor's. Other rows are passed over.
        size: rows of a full page; 0: there are no further pages.

    """

    def read(response: RawResponse) -> BatchPage:
        rows, count = _listed(endpoint, response)
        going: dict[str, Snapshot] = {}
        found: dict[str, Snapshot] = {}
        for value in rows:
            vendors: Any = value.get("task_id") or value.get("id")
            if vendors.__class__ is str and vendors not in names:
                continue
            snapshot = _going(value, going, response) if vendors.__class__ is str else None
            if snapshot is None:
                row = _read(value)
                if row is None or row.task_id not in names:
                    continue
                vendors, snapshot = row.task_id, _snapshot(row, response)
            found[names[vendors]] = snapshot
        return BatchPage(found=found, more=0 < size <= count)

    return read


def _going(value: Mapping[str, Any], known: dict[str, Snapshot], response: RawResponse) -> Snapshot | None:
    """The snapshot for a row that says no more than that its task goes on, as nearly all do: one for each status."""
    raw = value.get("task_status") or value.get("status")
    if raw.__class__ is not str or value.get("task_status_msg") or value.get("message"):
        return None
    if raw not in known:
        status = codes.STATUSES.get(raw.strip().lower(), Status.UNKNOWN)
        if status not in (Status.QUEUED, Status.RUNNING):
            return None
        known[raw] = Snapshot(status=status, raw_status=raw.strip(), response=response)
    return known[raw]


def _record(row: wire.TaskRow, prefix: str, response: RawResponse) -> TaskRecord:
    info = wire.mapping(row.task_info)
    external = info.get("external_task_id") or row.external_id or ""
    return TaskRecord(
        id=prefix + row.task_id,
        external_id=external if isinstance(external, str) else str(external),
        snapshot=_snapshot(row, response),
        created_at=_seconds(row.created_at),
        updated_at=_seconds(row.updated_at),
        extra=row.extra,
        response=response,
    )


def row_snapshot(row: wire.TaskRow) -> Snapshot:
    """The state that a record tells, without a raw answer: for callbacks."""
    return _snapshot(row, None)


def _snapshot(row: wire.TaskRow, response: RawResponse | None) -> Snapshot:
    raw = (row.task_status or "").strip()
    status = codes.STATUSES.get(raw.lower(), Status.UNKNOWN)
    said, cost = (row.task_status_msg or "").strip(), _cost(row)
    if status is Status.FAILED:
        return Snapshot(
            status=status,
            raw_status=raw,
            reason=codes.failure_reason(said),
            message=said or "the vendor gave no reason",
            cost=cost,
            response=response,
        )
    if status is not Status.SUCCEEDED:
        return Snapshot(status=status, raw_status=raw, message=said, response=response)
    media = _media(row)
    if media is None:
        return Snapshot(
            status=Status.UNKNOWN,
            raw_status=raw,
            reason=FailureReason.NO_RESULT,
            message="the vendor says the task is done but gives no result",
            cost=cost,
            response=response,
        )
    result = {
        "id": media.id,
        "url": media.url,
        "watermark_url": media.watermark_url,
        "duration": media.duration,
    }
    return Snapshot(status=status, raw_status=raw, result=result, cost=cost, response=response)


def _media(row: wire.TaskRow) -> wire.MediaRow | None:
    result = wire.mapping(row.task_result)
    for value in (
        *wire.rows(result.get("videos")),
        *wire.rows(result.get("audios")),
        *wire.rows(row.outputs),
    ):
        try:
            media = structure(value, wire.MediaRow)
        except UnexpectedResponse:
            continue
        if media.url:
            return media
    return None


def _cost(row: wire.TaskRow) -> float | None:
    """Units; or, when the account pays by its balance, what was taken from that, in its currency."""
    balance = _number(wire.mapping(row.final_balance_deduction).get("quota"))
    units = row.final_unit_deduction
    for bill in wire.rows(row.billing):
        amount = _number(bill.get("amount"))
        if bill.get("charge_type") == "unit":
            units = (units or 0.0) + (amount or 0.0)
        else:
            balance = (balance or 0.0) + (amount or 0.0)
    return units if units else (balance or units)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e12 else None


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


# -- answers at once ----------------------------------------------------------------------------------------------


def speech(endpoint: Endpoint) -> Callable[[RawResponse], TtsAudio]:
    """Reads the answer of ``audio/tts``."""

    def read(response: RawResponse) -> TtsAudio:
        row = _row(endpoint, response, data_of(endpoint, response))
        state, media = _snapshot(row, response), _media(row)
        if state.status is Status.FAILED:
            reason = state.reason or FailureReason.PROVIDER_FAULT
            raise _FAILED_AT_ONCE.get(reason, ProviderFault)(state.message, **facts(endpoint, response))
        if media is None or not media.id:
            raise outside_shape(endpoint, response, "the answer has no speech")
        return TtsAudio(
            id=media.id,
            url=media.url,
            duration=media.duration,
            cost=_cost(row),
            extra=row.extra,
            response=response,
        )

    return read


def faces(endpoint: Endpoint) -> Callable[[RawResponse], FaceSession]:
    """Reads the answer of ``identify-face``."""

    def read(response: RawResponse) -> FaceSession:
        data = data_of(endpoint, response)
        session = wire.mapping(data).get("session_id")
        if not isinstance(session, str | int) or isinstance(session, bool) or session == "":
            raise outside_shape(endpoint, response, "the answer has no session_id")
        try:
            rows = [structure(row, wire.FaceRow) for row in wire.rows(data.get("face_data"))]
        except UnexpectedResponse as error:
            raise outside_shape(endpoint, response, error.message) from None
        return FaceSession(
            id=str(session),
            faces=tuple(_face(row) for row in rows if row.face_id),
            cost=_cost(_row(endpoint, response, data)),
            response=response,
        )

    return read


def _face(row: wire.FaceRow) -> Face:
    return Face(
        id=row.face_id,
        image_url=row.face_image,
        start=_seconds(row.start_time),
        end=_seconds(row.end_time),
        extra=row.extra,
    )


def costs(endpoint: Endpoint) -> Callable[[RawResponse], Costs]:
    """Reads the answer of ``account/costs``, which has a second envelope inside the first."""

    def read(response: RawResponse) -> Costs:
        data = wire.mapping(data_of(endpoint, response))
        inner = code_of(data.get("code"))
        if inner not in ("", "0", None):
            said = data.get("msg") or data.get("message")
            raise refused(endpoint, response, inner, said if isinstance(said, str) else "", "")
        try:
            found = [
                structure(row, wire.PackRow) for row in wire.rows(data.get("resource_pack_subscribe_infos"))
            ]
        except UnexpectedResponse as error:
            raise outside_shape(endpoint, response, error.message) from None
        return Costs(packs=tuple(_pack(row) for row in found), response=response)

    return read


def credit(endpoint: Endpoint) -> Callable[[RawResponse], Credit]:
    """Reads the answer of ``account/costs`` as one figure: the units left in packs that can be used now."""
    read_costs = costs(endpoint)

    def read(response: RawResponse) -> Credit:
        packs = read_costs(response).packs
        left = sum(pack.left or 0.0 for pack in packs if pack.status in ("online", ""))
        return Credit(left=left, unit="units", extra={"packs": packs}, response=response)

    return read


def _pack(row: wire.PackRow) -> ResourcePack:
    return ResourcePack(
        id=row.resource_pack_id,
        name=row.resource_pack_name,
        kind=row.resource_pack_type,
        total=row.total_quantity,
        left=row.remaining_quantity,
        purchased_at=_seconds(row.purchase_time),
        effective_at=_seconds(row.effective_time),
        invalid_at=_seconds(row.invalid_time),
        status=row.status,
        extra=row.extra,
    )
