"""What every YunApi operation of the fake needs: four ways to refuse, a request read and checked, tasks accepted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from avatarkit.protocol.fakewire import (
    FakeAccount,
    FakeAsset,
    FakeFailure,
    FakeFile,
    FakeRequest,
    FakeResponse,
    FakeTask,
    MediaOrder,
    World,
    json_response,
)
from avatarkit.providers.yunapi.fake_form import fields_of

PROVIDER: Final = "yunapi"
WORKS: Final = ("video", "audio")
GATEWAY, AGENT, VOICE, OPENAI = "gateway", "agent", "voice", "openai"

# what: HTTP status, code in words, Chinese text, English text
_REASONS: Final[Mapping[str, tuple[int, str, str, str]]] = {
    "auth": (401, "invalid_api_key", "无效的令牌", "Invalid Token"),
    "quota": (403, "insufficient_user_quota", "余额不足", "Insufficient balance"),
    "invalid": (400, "invalid_request", "参数错误", "Invalid parameter"),
    "missing": (404, "task_not_exist", "任务不存在", "task not exist"),
    "rate": (429, "rate_limit_exceeded", "请求过于频繁", "Too many requests"),
    "busy": (429, "concurrency_limit", "并发任务数达到上限", "Concurrency limit reached"),
}


class Refused(Exception):
    """The vendor says no, for one of the reasons above."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def refusal(reason: str, group: str, request_id: str, *, wait: float | None = None) -> FakeResponse:
    """A refusal in the shape of the group of operations that was asked."""
    status, code, chinese, english = _REASONS[reason]
    headers = {"retry-after": str(max(1, int(wait + 0.999)))} if wait is not None else {}
    if group == AGENT:
        # The one group that refuses with HTTP 200; credentials and rates are a gateway's business before it.
        body: dict[str, Any] = {"code": "0", "msg": chinese}
        return json_response(body, status=status if reason in ("auth", "rate") else 200, headers=headers)
    if group == VOICE:
        status = 402 if reason == "quota" else status
        return json_response({"message": english, "status": status}, status=status, headers=headers)
    text = f"{chinese} (request id: {request_id})"
    if group == OPENAI:
        error = {"message": text, "type": "new_api_error", "param": "", "code": code}
        return json_response({"error": error}, status=status, headers=headers)
    return json_response({"code": code, "message": text, "data": None}, status=status, headers=headers)


class Call:
    """One authorised request on its way through an operation."""

    def __init__(self, request: FakeRequest, account: FakeAccount, world: World, request_id: str) -> None:
        self.request = request
        self.account = account
        self.world = world
        self.request_id = request_id
        self.fields: Mapping[str, Any] = {}
        if request.method == "POST":
            try:
                self.fields = fields_of(request)
            except ValueError:
                raise Refused("invalid") from None

    def switch(self, name: str) -> Any:
        """A quirk's setting for this account."""
        return self.world.switch(PROVIDER, name, self.account)

    def text(self, name: str, *, holder: Mapping[str, Any] | None = None, required: bool = True) -> str:
        """A text field."""
        value = (self.fields if holder is None else holder).get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or (required and not value.strip()):
            raise Refused("invalid")
        return value

    def url(self, name: str, *, holder: Mapping[str, Any] | None = None) -> FakeFile | None:
        """The sandbox's own file that a URL field leads to; None for a foreign one."""
        value = self.text(name, holder=holder)
        if not re.match(r"https?://[^/\s]+", value):
            raise Refused("invalid")
        found = self.world.resolve(value)
        if found.own and (found.file is None or not found.file.uploaded):
            raise Refused("invalid")
        return found.file

    def line(self) -> str:
        """The line that was asked for, ``""`` for none."""
        value = self.text("line_type", required=False)
        if value not in ("", "0", "1"):
            raise Refused("invalid")
        return value

    def number(self, family: str) -> str:
        """The next id of a family on a line: small numbers, the same ones on both lines."""
        counts = self.world.memory(PROVIDER)
        key = f"count {family} {self.line()}"
        counts[key] = counts.get(key, 31) + 1
        return str(counts[key])

    def charge(self, cost: float) -> None:
        """Take money for what makes no task."""
        if cost > self.account.credits:
            raise Refused("quota")
        self.account.credits -= cost

    def accept(
        self,
        kind: str,
        task_id: str,
        *,
        order: MediaOrder | None = None,
        price: str = "",
        title: str = "",
        text: str = "",
        asset: FakeAsset | None = None,
    ) -> FakeTask:
        """Create a task, unless a cap or the balance forbids it; it yields *asset* if there is one."""
        if kind in WORKS:
            running = self.world.unfinished(self.account, WORKS)
            caps = (self.account.max_running, self.account.max_submitted)
            if any(cap is not None and running >= cap for cap in caps):
                raise Refused("busy")
        cost = float(self.switch(price)) if price else 0.0
        if cost > self.account.credits:
            raise Refused("quota")
        failure = FakeFailure() if "[fail]" in f"{title} {text}" else None
        if "[moderation]" in text:
            failure = FakeFailure(message="内容违规 审核未通过")
        task = self.world.accept(
            self.account,
            task_id=task_id,
            endpoint=f"{self.request.method} {self.request.path}",
            kind=kind,
            request=self.fields,
            order=order,
            title=title,
            cost=cost,
            failure=failure,
        )
        if asset is not None:
            task.yields = asset.id
            asset.tasks.append(task)
            self.world.add_asset(asset)
        return task
