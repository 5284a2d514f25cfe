"""What every Guiji operation of the fake needs: messages, tokens, ids, and a request read and checked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, Final

from avatarkit.models import Status
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

PROVIDER: Final = "guiji"
DAY: Final = 24 * 3600.0
WORKS: Final = ("video", "audio")
MESSAGES: Final[Mapping[str, str]] = {
    "40001": "internal exception",
    "40002": "invalid token",
    "40003": "token expired",
    "40010": "insufficient balance",
    "40011": "invalid audio url",
    "40014": "required file missing",
    "40015": "required parameter missing",
    "40017": "file download failed",
    "40018": "file not found",
    "40019": "concurrency exceeded",
    "40025": "model not found",
    "40026": "model expired",
}
_ZONE: Final = timezone(timedelta(hours=8))
_URL: Final = re.compile(r"https?://[^/\s]+\S*")
_STAMP: Final = re.compile(r"\d{13}")


class Refused(Exception):
    """The vendor says no with this code."""

    def __init__(self, code: str) -> None:
        self.code = code


def china(moment: float) -> str:
    """Seconds since 1970 as the vendor writes times: China's, without saying so."""
    return _written(int(moment))


@lru_cache(maxsize=4096)
def _written(second: int) -> str:
    return datetime.fromtimestamp(second, _ZONE).strftime("%Y-%m-%d %H:%M:%S")


def next_number(world: World) -> int:
    """A whole number not used before; where they begin depends on the sandbox's seed."""
    memory = world.memory(PROVIDER)
    if "number" not in memory:
        memory["number"] = 1_000_000 + int.from_bytes(world.new_id()[:4], "big") % 500_000_000
    memory["number"] += 1
    return int(memory["number"])


def counters(world: World, account: FakeAccount) -> dict[str, int]:
    """What is left of the package but for video, which is the account's credits, in seconds."""
    kept: dict[str, dict[str, int]] = world.memory(PROVIDER).setdefault("counters", {})
    if account.key not in kept:
        kept[account.key] = {
            name: int(world.switch(PROVIDER, name, account)) for name in ("trainings", "voices", "words")
        }
    return kept[account.key]


# -- tokens -------------------------------------------------------------------------------------------------------


def new_token(request: FakeRequest, world: World) -> FakeResponse:
    """Lend a token for a right signature; anything else is refused as an invalid token."""
    query = request.query
    stamp = query.get("timestamp", "")
    if query.get("grant_type") != "sign" or not _STAMP.fullmatch(stamp) or not stamp.isascii():
        raise Refused("40015")
    account = world.account(PROVIDER, query.get("appId", ""))
    if account is None:
        raise Refused("40002")
    skew = world.switch(PROVIDER, "skew_seconds", account)
    if skew is not None and abs(world.now() - int(stamp) / 1000) > skew:
        raise Refused("40002")
    plain = f"{account.key}{stamp}{account.secret}".encode()
    if query.get("sign") != hashlib.md5(plain, usedforsecurity=False).hexdigest():
        raise Refused("40002")
    raw = world.new_id().hex()
    token = f"{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"
    tokens = world.memory(PROVIDER).setdefault("tokens", {})
    if world.switch(PROVIDER, "single_token", account):
        for old in [old for old, (key, _) in tokens.items() if key == account.key]:
            del tokens[old]
    tokens[token] = (account.key, world.now())
    seconds = world.switch(PROVIDER, "token_seconds", account)
    return reply({"access_token": token, "expires_in": seconds})


def account_of(request: FakeRequest, world: World) -> FakeAccount:
    """Whose token it is; 40002 for none that was lent, 40003 for one whose time is over."""
    tokens = world.memory(PROVIDER).get("tokens", {})
    key, lent = tokens.get(request.query.get("access_token", ""), ("", 0.0))
    account = world.account(PROVIDER, key)
    if account is None:
        raise Refused("40002")
    life = world.switch(PROVIDER, "token_life", account)
    if world.now() >= lent + (world.switch(PROVIDER, "token_seconds", account) if life is None else life):
        raise Refused("40003")
    return account


def reply(data: Any, *, accepted: FakeTask | None = None, looked_at: Sequence[str] = ()) -> FakeResponse:
    """A good answer."""
    body = {"code": "0", "success": True, "message": "Request successful", "data": data}
    return json_response(body, accepted=accepted, looked_at=looked_at)


# -- a request ----------------------------------------------------------------------------------------------------


class Call:
    """One authorised request on its way through an operation."""

    def __init__(self, request: FakeRequest, account: FakeAccount, world: World) -> None:
        self.request = request
        self.account = account
        self.world = world
        self.now = world.now()
        self.body: Mapping[str, Any] = self._decode() if request.method == "POST" else {}

    def _decode(self) -> Mapping[str, Any]:
        try:
            body = self.request.json()
        except ValueError:
            body = None
        labelled = self.request.headers.get("content-type", "").lower().startswith("application/json")
        if not labelled or not isinstance(body, dict):
            raise Refused("40015")
        return body

    def switch(self, name: str) -> Any:
        """A quirk's setting for this account."""
        return self.world.switch(PROVIDER, name, self.account)

    def text(self, name: str, *, required: bool = False) -> str:
        """A string field; ``""`` when it is absent or null."""
        value = self.body.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or (required and not value.strip()):
            raise Refused("40015")
        return value

    def integer(
        self, name: str, allowed: Sequence[int] | None = None, *, required: bool = False
    ) -> int | None:
        """A whole number; text and booleans are none."""
        value = self.body.get(name)
        if value is None and not required:
            return None
        if type(value) is not int or (allowed is not None and value not in allowed):
            raise Refused("40015")
        return value

    def url(self, name: str, *, required: bool = True) -> str:
        """A URL field."""
        value = self.text(name)
        if not value and required:
            raise Refused("40014")
        if value and not _URL.fullmatch(value):
            raise Refused("40017")
        return value

    def fetched(self, name: str, code: str, *, only: str = "") -> FakeFile | None:
        """The file behind a URL field, as far as it is the sandbox's own; *code* when it cannot be had."""
        url = self.url(name)
        extension = url.partition("?")[0].rpartition("/")[2].rpartition(".")[2].lower()
        if only and extension in ("mp3", "m4a", "mp4", "mov", "ogg", "flac") and extension != only:
            raise Refused(code)
        found = self.world.resolve(url)
        if not found.own:
            if self.switch("strict_urls"):
                raise Refused(code)
            return None
        if found.file is None or not found.file.uploaded:
            raise Refused(code)
        return found.file

    def asset(self, kind: str, asset_id: str) -> FakeAsset:
        """A usable avatar or voice; 40025 for none, 40026 for one that has expired."""
        asset = self.world.asset(self.account, kind, asset_id)
        if asset is None:
            raise Refused("40025")
        if self.expires(asset) <= self.now:
            raise Refused("40026")
        return asset

    def expires(self, asset: FakeAsset) -> float:
        """When an own voice expires; never for the rest."""
        if asset.public or asset.kind != "voice" or not asset.tasks:
            return float("inf")
        return asset.tasks[0].created + float(self.switch("voice_days")) * DAY

    def spend(self, name: str, amount: int) -> None:
        """Take from one of the package's counters."""
        left = counters(self.world, self.account)
        if left[name] < amount or self.account.credits <= 0:
            raise Refused("40010")
        left[name] -= amount

    def page_of(self, rows: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The rows of the page that was asked for, and what stands beside them."""
        page, size = self.integer("page", required=True) or 0, self.integer("size", required=True) or 0
        if page < 1 or size < 1:
            raise Refused("40015")
        size = min(size, int(self.switch("largest_page")))
        shown = rows[(page - 1) * size : page * size]
        return shown, {"pageSize": size, "pageNo": page, "totalRecord": len(rows)}

    def own(self, kinds: Sequence[str]) -> list[FakeTask]:
        """The account's tasks, newest first, without works that were deleted a day after their end."""
        tasks, yesterday = self.world.tasks(self.account), self.now - DAY
        if tasks and tasks[0].created <= yesterday:
            tasks = [task for task in tasks if task.created > yesterday or not self.deleted(task)]
        return [task for task in reversed(tasks) if task.kind in kinds]

    def deleted(self, task: FakeTask) -> bool:
        """Whether a work's day is over."""
        return task.kind in WORKS and task.finished_at + DAY <= self.now

    def accept(
        self,
        kind: str,
        task_id: str,
        *,
        order: MediaOrder | None = None,
        title: str = "",
        cost: float = 0.0,
        asset: FakeAsset | None = None,
    ) -> FakeTask:
        """Create the task, which yields *asset* if there is one."""
        words = f"{title} {order.text if order else ''}"
        failure = FakeFailure() if "[fail]" in words else None
        if "[moderation]" in words:
            failure = FakeFailure(code="rejected", message="内容未通过审核")
        task = self.world.accept(
            self.account,
            task_id=task_id,
            endpoint=f"{self.request.method} {self.request.path}",
            kind=kind,
            request=self.body,
            order=order,
            title=title,
            cost=cost,
            callback_url=self.url("callbackUrl", required=False),
            failure=failure,
        )
        if asset is not None:
            task.yields, task.data["asset"] = asset.id, asset
            asset.tasks.append(task)
            self.world.add_asset(asset)
        return task

    def ended(self, task: FakeTask) -> bool:
        """Whether a task has ended."""
        return task.status(self.now) in (Status.SUCCEEDED, Status.FAILED)
