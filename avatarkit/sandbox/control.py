"""The hand on the sandbox: change accounts, move tasks, and tell the state as JSON. No I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from avatarkit.errors import AvatarKitError, InvalidRequest
from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeAccount, FakeFailure, FakeResponse, FakeTask, json_response
from avatarkit.sandbox import staging
from avatarkit.sandbox.faults import PRESETS, Fault, Faults
from avatarkit.sandbox.seen import Seen
from avatarkit.sandbox.world import SandboxWorld

_SHOWN_TASKS = 200
_SHOWN_FILES = 100
_ACCOUNT_FIELDS = frozenset(
    {"secret", "credits", "max_running", "max_submitted", "requests_per_second", "callback_url"}
)


class Control:
    """What the page, the command line and tests can do to a running sandbox.

    Args:
        poke: called with a task whose end was moved, from whatever thread the call came.
    """

    def __init__(
        self, world: SandboxWorld, faults: Faults, seen: Seen, poke: Callable[[FakeTask], None]
    ) -> None:
        self._world = world
        self._faults = faults
        self._seen = seen
        self._poke = poke
        self.addresses: dict[str, str] = {}
        self._commands: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "faults": self._add_fault,
            "finish": lambda data: self._each(data, self.finish),
            "fail": lambda data: self.fail(str(data["task"]), data.get("code"), str(data.get("message", ""))),
            "account": self._change_account,
        }

    def handle(self, method: str, path: str, body: bytes) -> FakeResponse:
        """Answer a request below ``/__sandbox__/``, or for the page itself."""
        name = path.removeprefix("/__sandbox__/")
        if method == "GET" and path == "/":
            page = Path(__file__).with_name("page.html").read_bytes()
            return FakeResponse(headers={"content-type": "text/html; charset=utf-8"}, body=page)
        if method == "GET" and name == "state":
            return json_response(self.state(), headers={"cache-control": "no-store"})
        if method == "DELETE" and name == "faults":
            self._faults.clear()
            return json_response(self.state())
        if method != "POST" or (name not in self._commands and name != "staging"):
            return json_response({"error": "no such page"}, status=404)
        try:
            data = orjson.loads(body)
            if not isinstance(data, dict):
                raise InvalidRequest("the body must be a JSON object")
            if name == "staging":
                return json_response(staging.stage(self._world, data))
            self._commands[name](data)
        except (AvatarKitError, ValueError, TypeError, KeyError) as problem:
            return json_response({"error": str(problem)}, status=400)
        return json_response(self.state())

    def _add_fault(self, data: dict[str, Any]) -> None:
        fault = data.get("fault", "reset_after")
        if isinstance(fault, dict):
            fault = Fault(**{**fault, "body": str(fault.get("body", "")).encode()})
        self._faults.add(
            str(data.get("endpoint", "*")),
            fault,
            times=int(data.get("times", 1)),
            after=int(data.get("after", 0)),
            provider=str(data.get("provider", "*")),
        )

    def _each(self, data: dict[str, Any], action: Callable[[str | None], int]) -> None:
        action(str(data["task"]) if data.get("task") else None)

    def _change_account(self, data: dict[str, Any]) -> None:
        self.set_account(
            str(data.pop("provider", "hifly")), str(data.pop("token")), data.pop("switches", {}), data
        )

    # --- accounts

    def account(self, provider: str, token: str) -> FakeAccount:
        """The account; InvalidRequest when there is none."""
        account = self._world.account(provider, token)
        if account is None:
            raise InvalidRequest(f"account: found none at {provider} with this token")
        return account

    def add_account(self, account: FakeAccount) -> None:
        """Open an account; InvalidRequest when the provider or one of its switches is not known."""
        if account.provider not in self._world.fakes:
            raise InvalidRequest(
                f"provider: found {account.provider!r}, allowed {', '.join(sorted(self._world.fakes))}"
            )
        self._check_switches(account.provider, account.switches)
        self._world.add_account(account)

    def set_account(
        self, provider: str, token: str, switches: Mapping[str, Any], fields: Mapping[str, Any]
    ) -> None:
        """Change an account's fields and switches; those not named stay."""
        account = self.account(provider, token)
        unknown = set(fields) - _ACCOUNT_FIELDS
        if unknown:
            raise InvalidRequest(
                f"account: found {', '.join(sorted(unknown))}, allowed {sorted(_ACCOUNT_FIELDS)}"
            )
        self._check_switches(provider, switches)
        for name, value in fields.items():
            setattr(account, name, value)
        account.switches.update(switches)

    def set_switches(self, provider: str, switches: Mapping[str, Any]) -> None:
        """Change a provider's quirks for all accounts."""
        self._check_switches(provider, switches)
        for name, value in switches.items():
            self._world.switches[provider, name] = value

    def _check_switches(self, provider: str, switches: Mapping[str, Any]) -> None:
        unknown = set(switches) - set(self._world.fakes[provider].switches)
        if unknown:
            known = ", ".join(sorted(self._world.fakes[provider].switches))
            raise InvalidRequest(f"switches: found {', '.join(sorted(unknown))}, allowed {known}")

    # --- tasks

    def finish(self, task_id: str | None = None) -> int:
        """End one task, or all, now; how many. One that is still being rendered ends when that is done."""
        now = self._world.now()
        return self._move(task_id, lambda _task: now)

    def advance(self, seconds: float) -> int:
        """Let all tasks that have not ended be *seconds* further on; how many there are."""

        def earlier(task: FakeTask) -> float:
            task.runs_at -= seconds
            return task.ready_at - seconds

        return self._move(None, earlier)

    def fail(self, task_id: str, code: int | str | None = None, message: str = "") -> None:
        """End a task now, without a result."""
        task = self._task(task_id)
        if not self._world.status(task).terminal:
            task.failure = FakeFailure(code=code, message=message)
            self._move(task_id, lambda _task: self._world.now())

    def _task(self, task_id: str) -> FakeTask:
        task = self._world.find_task(task_id)
        if task is None:
            raise InvalidRequest(f"task: found none with id {task_id!r}")
        return task

    def _move(self, task_id: str | None, when: Callable[[FakeTask], float]) -> int:
        tasks = [self._task(task_id)] if task_id is not None else list(self._world.all_tasks.values())
        moved = [task for task in tasks if not self._world.status(task).terminal]
        for task in moved:
            self._world.move(task, when(task))
            self._poke(task)
        return len(moved)

    def tasks(self, limit: int | None = None) -> list[dict[str, Any]]:
        """The tasks, newest first."""
        newest = list(reversed(self._world.all_tasks.values()))[:limit]
        return [self._task_row(task) for task in newest]

    def _task_row(self, task: FakeTask) -> dict[str, Any]:
        status = self._world.status(task)
        show = status is Status.SUCCEEDED and task.result is not None
        return {
            "id": task.id,
            "provider": task.provider,
            "account": task.account,
            "kind": task.kind,
            "endpoint": task.endpoint,
            "title": task.title,
            "status": status.value,
            "created": task.created,
            "finished": task.finished_at if task.finished_at < math.inf else None,
            "cost": task.cost,
            "seconds": round(task.seconds, 3),
            "yields": task.yields,
            "polls": self._seen.polls[task.id],
            "url": self._world.link(task.result) if show and task.result else "",
            "media": task.order.media if task.order else "",
        }

    def state(self) -> dict[str, Any]:
        """Everything the page shows, as plain data; at most 200 tasks and 100 files, newest first."""
        world = self._world
        uploads = [file for file in reversed(list(world.files.values())) if file.raw_path][:_SHOWN_FILES]
        return {
            "now": world.now(),
            "addresses": self.addresses,
            "accounts": [
                {
                    "provider": account.provider,
                    "token": account.key,
                    "credits": account.credits,
                    "max_running": account.max_running,
                    "max_submitted": account.max_submitted,
                    "requests_per_second": account.requests_per_second,
                    "callback_url": account.callback_url,
                    "switches": account.switches,
                }
                for account in list(world.accounts.values())
            ],
            "running": world.running(),
            "tasks": self.tasks(_SHOWN_TASKS),
            "uploads": [
                {
                    "id": file.id,
                    "type": file.content_type,
                    "size": file.size,
                    "sha256": file.sha256,
                    "uploaded": file.uploaded,
                }
                for file in uploads
            ],
            "faults": self._faults.pending(),
            "presets": sorted(PRESETS),
            "seen": self._seen.as_dict(),
        }
