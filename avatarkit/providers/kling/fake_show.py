"""How the fake tells of a task, in the vendor's two spellings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeTask, World

_LEGACY: Final[Mapping[Status, str]] = {
    Status.QUEUED: "submitted",
    Status.RUNNING: "processing",
    Status.SUCCEEDED: "succeed",
    Status.FAILED: "failed",
}
_USUAL: Final = "Generation failed, please try again"


def _common(task: FakeTask, status: Status, world: World) -> tuple[str, float, bool]:
    account = world.account(task.provider, task.account)
    failed = (task.failure.message or _USUAL) if task.failure else _USUAL
    by_units = world.switch(task.provider, "pays_by", account) == "units"
    return failed if status is Status.FAILED else "", task.cost, by_units


def _changed(task: FakeTask, status: Status) -> int:
    """When the task last changed, in milliseconds."""
    at = {Status.QUEUED: task.created, Status.RUNNING: task.runs_at}.get(status, task.finished_at)
    return int(at * 1000)


def _video(task: FakeTask, world: World) -> dict[str, Any]:
    url = world.link(task.result) if task.result is not None else ""
    return {
        "id": task.data["video_id"],
        "url": url,
        "watermark_url": url if task.data.get("watermark") else "",
        "duration": f"{task.seconds:.3f}",
    }


def legacy(task: FakeTask, status: Status, world: World) -> dict[str, Any]:
    """A task as the ``/v1`` paths and callbacks show it."""
    message, cost, by_units = _common(task, status, world)
    account = world.account(task.provider, task.account)
    info = dict(task.data["info"])
    if task.data["external_id"] and not task.data["hides_external_id"]:
        info["external_task_id"] = task.data["external_id"]
    fields: dict[str, Any] = {
        "task_id": task.data["id"],
        "task_status": _LEGACY[status],
        "task_status_msg": message,
        "task_info": info,
        "watermark_info": {"enabled": bool(task.data.get("watermark"))},
        "created_at": int(task.created * 1000),
        "updated_at": _changed(task, status),
    }
    if status is Status.SUCCEEDED:
        fields["task_result"] = {"videos": [_video(task, world)]}
    else:
        pending = world.switch(task.provider, "pending_result", account)
        if pending != "missing":
            fields["task_result"] = None if pending == "null" else {}
    if status.terminal:
        fields["final_unit_deduction"] = f"{cost:g}" if by_units else "0"
        money = "0" if by_units else f"{cost:g}"
        fields["final_balance_deduction"] = {"quota": money, "list_price": money}
    return fields


def modern(task: FakeTask, status: Status, world: World) -> dict[str, Any]:
    """A task as ``/tasks`` shows it."""
    message, cost, by_units = _common(task, status, world)
    bill = {"charge_type": "unit", "package_type": "video"} if by_units else {"charge_type": "cash"}
    if not by_units:
        bill |= {"cash_type": "balance", "currency": "USD", "list_price": f"{cost:g}"}
    done = status is Status.SUCCEEDED
    return {
        "id": task.data["id"],
        "status": "succeeded" if done else _LEGACY[status],
        "message": message,
        "create_time": int(task.created * 1000),
        "update_time": _changed(task, status),
        "external_id": task.data["external_id"],
        "outputs": [{"type": "video", **_video(task, world)}] if done else [],
        "billing": [{**bill, "amount": f"{cost:g}"}] if status.terminal else [],
    }
