"""Kling seen from the other side: avatar videos, speech, lip-sync, queries over tasks, what the account has left.

Where the documents are silent this fake decides, and says so here:

* Billing: a task is charged when it is accepted, by the length of its sound, 0.4 units a second (0.8 in mode ``pro``),
  and nothing is given back when it fails. Speech and a search for faces cost 0.05.
* Order of checks: credentials, rate, body, external id, cap (1303), credits (1102).
* Lists show the newest task first. The external id of a lip-sync task is known to ``/tasks`` only.
* An account's key is both its API key and its access key; its secret signs tokens.
* Every video has one face, with id ``0``, for its whole length; a foreign video is ten seconds long.

Markers in a prompt make moderation and failures happen: ``[policy]`` is refused with 1301, ``[moderation]`` is accepted
and fails later, so does ``[fail]`` (also in an external id).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote

import orjson

from avatarkit.models import Status
from avatarkit.protocol.fakewire import (
    FakeAccount,
    FakeAsset,
    FakeCallback,
    FakeRequest,
    FakeResponse,
    FakeTask,
    World,
    json_response,
)
from avatarkit.protocol.signing import webhook_key, webhook_signature
from avatarkit.providers.kling.fake_call import (
    BODY_BYTES,
    PROVIDER,
    Refused,
    caller_of,
    digits,
    page_of,
    refusal,
)
from avatarkit.providers.kling.fake_make import (
    AVATAR,
    LIP,
    Call,
    avatar,
    identify_face,
    lip_sync,
    speech,
)
from avatarkit.providers.kling.fake_show import legacy, modern


class KlingFake:
    """The vendor's side of Kling. Stateless: everything lives in the world."""

    name = PROVIDER
    base_path = ""
    body_limit = BODY_BYTES
    callback_statuses = frozenset({Status.QUEUED, Status.RUNNING, Status.SUCCEEDED, Status.FAILED})
    switches: Mapping[str, Any] = {
        "auth_code": 1002,  # what a token that is no account's is refused with
        "clock_leeway": 0.0,  # seconds that a signed token may begin too early or end too late
        "pending_result": "missing",  # task_result before the end: "missing", "null" or "empty"
        "external_query": True,  # False: the older document's query, by task_id only
        "legacy_in_tasks": True,  # False: /tasks does not show avatar and lip-sync tasks
        "pays_by": "units",  # "balance": deductions come as money
        "packs": True,  # False: an account without resource packs
        "costs_per_second": 1.0,
        "webhook_secret": "",  # "whsec_…" signs callbacks
        "callback_copies": 1,  # 2: every event arrives twice
        "callback_lost": (),  # raw statuses whose events never arrive
    }

    def stock(self) -> Sequence[FakeAsset]:
        """None: the vendor has neither avatars nor voices that are objects of its API."""
        return ()

    def handle(self, request: FakeRequest, world: World) -> FakeResponse:
        """Answer one request the way the vendor does."""
        request_id = _uuid(world.new_id())
        try:
            operation, argument = _route(request)
            caller = caller_of(request, world)
            if world.throttle(caller.account) is not None:
                raise Refused(1302)
            return operation(Call(request, caller, world, request_id), argument)
        except Refused as refused:
            return refusal(request_id, refused.code, refused.message)
        except LookupError:
            return _no_route(request, world)

    def callback(self, task: FakeTask, status: Status, world: World) -> FakeCallback | None:
        """The event of a task that has changed, in the older shape, signed when there is a secret."""
        account = world.account(self.name, task.account)
        if account is None or task.kind != "video":
            return None
        body = legacy(task, status, world)
        if body["task_status"] in world.switch(self.name, "callback_lost", account):
            return None
        return self._event(task.callback_url or account.callback_url, body, account, world)

    def console_test(self, account: FakeAccount, url: str, world: World) -> FakeCallback:
        """What the console's test button sends: the newer shape, whatever the account uses."""
        now = int(world.now() * 1000)
        body = {
            "id": digits(world.new_id()),
            "status": "submitted",
            "message": "",
            "create_time": now,
            "update_time": now,
            "outputs": [],
            "billing": [],
        }
        found = self._event(url, body, account, world)
        assert found is not None
        return found

    def _event(
        self, url: str, body: Mapping[str, Any], account: FakeAccount, world: World
    ) -> FakeCallback | None:
        if not url:
            return None
        raw, headers = orjson.dumps(body), {"content-type": "application/json; charset=utf-8"}
        secret = str(world.switch(self.name, "webhook_secret", account))
        if secret:
            message_id, stamp = digits(world.new_id()), str(int(world.now()))
            headers |= {
                "webhook-id": message_id,
                "webhook-timestamp": stamp,
                "webhook-signature": webhook_signature(webhook_key(secret), message_id, stamp, raw),
            }
        copies = int(world.switch(self.name, "callback_copies", account))
        return FakeCallback(url=url, body=raw, headers=headers, copies=copies)


def _uuid(raw: bytes) -> str:
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _no_route(request: FakeRequest, world: World) -> FakeResponse:
    body = {
        "timestamp": int(world.now() * 1000),
        "status": 404,
        "error": "Not Found",
        "message": "No message available",
        "path": request.path,
    }
    return json_response(body, status=404)


Operation = Callable[[Call, str], FakeResponse]


def _route(request: FakeRequest) -> tuple[Operation, str]:
    """The operation and the id in its path; LookupError when there is none, Refused for a wrong method."""
    for method, path, operation in _OPERATIONS:
        argument = ""
        if path.endswith("/"):
            argument = request.path.removeprefix(path)
            if not request.path.startswith(path) or not argument or "/" in argument:
                continue
        elif request.path != path:
            continue
        if method == request.method:
            return operation, unquote(argument)
        if (request.method, path) not in _KNOWN:
            raise Refused(1202)
    raise LookupError(request.path)


# -- showing ------------------------------------------------------------------------------------------------------


def _get(product: str) -> Operation:
    def show(call: Call, task_id: str) -> FakeResponse:
        task = call.task(product, task_id)
        if task is None:
            raise Refused(1201, "Task not found by id/external id")
        return call.reply(legacy(task, task.status(call.world.now()), call.world), looked_at=(task.id,))

    return show


def _list(product: str) -> Operation:
    def show(call: Call, _argument: str) -> FakeResponse:
        number, size = page_of(call.request.query)
        own = [t for t in call.world.tasks(call.account) if t.data.get("product") == product]
        rows = own[::-1][(number - 1) * size : number * size]
        now = call.world.now()
        return call.reply(
            [legacy(task, task.status(now), call.world) for task in rows],
            looked_at=tuple(task.id for task in rows),
        )

    return show


def _query(call: Call, _argument: str) -> FakeResponse:
    if call.signed:
        raise Refused(1002, "AK/SK is not supported here, create an API key in the console")
    by_id, by_external = (
        [part for part in call.request.query.get(name, "").split(",") if part]
        for name in ("task_ids", "external_task_ids")
    )
    if not by_id and not by_external:
        raise Refused(1201, "task_ids or external_task_ids is required")
    if len(by_id) > 20 or len(by_external) > 20:
        raise Refused(1201, "At most 20 ids are allowed")
    found: list[FakeTask] = []
    if call.world.switch(PROVIDER, "legacy_in_tasks", call.account):
        wanted = [call.task(product, each) for each in by_id for product in (AVATAR, LIP)]
        wanted += [call.by_external(each) for each in by_external]
        found = [task for task in wanted if task is not None]
    now = call.world.now()
    return call.reply(
        [modern(task, task.status(now), call.world) for task in found],
        looked_at=tuple(task.id for task in found),
    )


def _costs(call: Call, _argument: str) -> FakeResponse:
    times = [call.request.query.get(name, "") for name in ("start_time", "end_time")]
    if not all(text.isascii() and text.isdigit() and len(text) < 16 for text in times):
        raise Refused(1200, "start_time and end_time are required")
    asked: dict[str, float] = call.world.memory(PROVIDER).setdefault("costs", {})
    now, pause = call.world.now(), 0.95 / float(call.world.switch(PROVIDER, "costs_per_second", call.account))
    if now - asked.get(call.account.key, -1e9) < pause:
        raise Refused(1302)
    asked[call.account.key] = now
    data: dict[str, Any] = {"code": 0, "msg": "success"}
    if call.world.switch(PROVIDER, "packs", call.account):
        data["resource_pack_subscribe_infos"] = [_pack(call.account, now)]
    return call.reply(data)


def _pack(account: FakeAccount, now: float) -> dict[str, Any]:
    stamp = int(now * 1000)
    return {
        "resource_pack_name": "Video Generation-Sandbox",
        "resource_pack_id": "100000000000000001",
        "resource_pack_type": "decreasing_total",
        "total_quantity": 10000.0,
        "remaining_quantity": round(account.credits, 3),
        "purchase_time": stamp - 86_400_000,
        "effective_time": stamp - 86_400_000,
        "invalid_time": stamp + 90 * 86_400_000,
        "status": "online" if account.credits > 0 else "runOut",
    }


_OPERATIONS: Final[tuple[tuple[str, str, Operation], ...]] = (
    ("POST", "/v1/videos/avatar/image2video", avatar),
    ("GET", "/v1/videos/avatar/image2video", _list(AVATAR)),
    ("GET", "/v1/videos/avatar/image2video/", _get(AVATAR)),
    ("POST", "/v1/audio/tts", speech),
    ("POST", "/v1/videos/identify-face", identify_face),
    ("POST", "/v1/videos/advanced-lip-sync", lip_sync),
    ("GET", "/v1/videos/advanced-lip-sync", _list(LIP)),
    ("GET", "/v1/videos/advanced-lip-sync/", _get(LIP)),
    ("GET", "/tasks", _query),
    ("GET", "/account/costs", _costs),
)
_KNOWN: Final = frozenset((method, path) for method, path, _ in _OPERATIONS)

FAKE = KlingFake()
