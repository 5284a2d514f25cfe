"""The sandbox's memory: accounts, tasks, avatars, voices and files. No I/O; time comes from outside."""

from __future__ import annotations

import hashlib
import heapq
import math
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import attrs

from avatarkit.models import Status
from avatarkit.protocol.fakewire import (
    Fake,
    FakeAccount,
    FakeAsset,
    FakeFailure,
    FakeFile,
    FakeTask,
    MediaOrder,
    Resolved,
)
from avatarkit.sandbox.links import Links, result_id

_SAME = 0.01  # of its time to live, for which a URL is given again: a page of a list has hundreds


@attrs.frozen(kw_only=True)
class Delay:
    """How long tasks of one kind wait and run, in seconds; ``run`` may be infinite."""

    queue: float = 0.3
    run: float = 1.5


@attrs.define(kw_only=True)
class _NextFailure:
    endpoint: str
    failure: FakeFailure
    times: int


class _Unfinished:
    """Counts tasks that have not ended, without looking at all of them each time."""

    def __init__(self) -> None:
        self._tasks: dict[str, FakeTask] = {}
        self._kinds: Counter[str] = Counter()
        self._heap: list[tuple[float, str]] = []
        # The blocking side reads the state from its own thread.
        self._lock = threading.Lock()

    def add(self, task: FakeTask) -> None:
        with self._lock:
            self._tasks[task.id] = task
            self._kinds[task.kind] += 1
        self.moved(task)

    def moved(self, task: FakeTask) -> None:
        with self._lock:
            if task.id in self._tasks and task.ready_at < math.inf:
                heapq.heappush(self._heap, (task.ready_at, task.id))

    def count(self, kinds: Sequence[str] | None = None) -> int:
        """How many of these kinds, as of the last :meth:`drop_ended`."""
        with self._lock:
            return len(self._tasks) if kinds is None else sum(map(self._kinds.__getitem__, {*kinds}))

    def drop_ended(self, now: float) -> list[FakeTask]:
        """Count no longer what has ended; the tasks in the order in which they did."""
        with self._lock:
            return self._drop_ended(now) if self._heap and self._heap[0][0] <= now else []

    def _drop_ended(self, now: float) -> list[FakeTask]:
        waiting, ended = [], []
        while self._heap and self._heap[0][0] <= now:
            _, task_id = heapq.heappop(self._heap)
            task = self._tasks.get(task_id)
            if task is None:
                continue
            if task.status(now).terminal:
                del self._tasks[task_id]
                self._kinds[task.kind] -= 1
                ended.append(task)
            else:
                # It is due but still being rendered, or was moved back: look again next time.
                waiting.append((max(task.ready_at, now), task_id))
        for entry in waiting:
            if entry[0] < math.inf:
                heapq.heappush(self._heap, entry)
        return ended


class SandboxWorld:
    """The world that the sandbox's fakes live in.

    Args:
        now: gives seconds since 1970 (UTC).
        fakes: the providers it knows, by name.
        seed: decides every id; the same seed and the same requests give the same ids.
        url_lifetime: seconds that a signed URL works.
        keep_tasks: the most ended tasks that are remembered; None for all.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        fakes: Mapping[str, Fake],
        seed: int = 0,
        url_lifetime: float = 3600.0,
        keep_tasks: int | None = None,
    ) -> None:
        self._now, self._keep_tasks = now, keep_tasks
        self._ended: deque[FakeTask] = deque()
        self.on_forget: Callable[[FakeTask], None] = _nothing
        self._seed, self._ids = seed, 0
        self.fakes = fakes
        self.links = Links(hashlib.sha256(f"sandbox secret {seed}".encode()).digest())
        self.url_lifetime = url_lifetime
        self.files_url = "http://sandbox.invalid"
        self.delays: dict[str, Delay] = {}
        self.default_delay = Delay()
        self.switches: dict[tuple[str, str], Any] = {}
        self.on_accept: Callable[[FakeTask], None] = _mark_rendered
        self.accounts: dict[tuple[str, str], FakeAccount] = {}
        self.all_tasks: dict[tuple[str, str], FakeTask] = {}
        self.files: dict[str, FakeFile] = {}
        self._paths: dict[str, FakeFile] = {}
        self._links: dict[str, tuple[float, float, str]] = {}
        self._assets: dict[tuple[str, str, str], FakeAsset] = {}
        self._windows: dict[tuple[str, str], deque[float]] = {}
        self._unfinished: dict[tuple[str, str], _Unfinished] = {}
        self._failures: list[_NextFailure] = []
        self._memory: dict[str, dict[str, Any]] = {}
        self._scratch: dict[str, dict[Any, Any]] = {}
        for fake in fakes.values():
            for asset in fake.stock():
                self.add_asset(asset)

    def now(self) -> float:
        """Seconds since 1970 (UTC)."""
        return self._now()

    def new_id(self) -> bytes:
        """Sixteen bytes that depend on the seed and on how many came before."""
        self._ids += 1
        return hashlib.sha256(f"{self._seed}:{self._ids}".encode()).digest()[:16]

    def switch(self, provider: str, name: str, account: FakeAccount | None = None) -> Any:
        """A quirk's setting: the account's, else the sandbox's, else the fake's default."""
        if account is not None and name in account.switches:
            return account.switches[name]
        key = (provider, name)
        return self.switches[key] if key in self.switches else self.fakes[provider].switches[name]

    def memory(self, provider: str) -> dict[str, Any]:
        """What the provider's fake wants to remember."""
        return self._memory.setdefault(provider, {})

    def scratch(self, provider: str) -> dict[Any, Any]:
        """What the provider's fake would have to make anew."""
        return self._scratch.setdefault(provider, {})

    def add_account(self, account: FakeAccount) -> None:
        """Open an account, or replace the one with the same key."""
        self.accounts[account.provider, account.key] = account

    def account(self, provider: str, key: str) -> FakeAccount | None:
        """The account with this key."""
        return self.accounts.get((provider, key))

    def throttle(self, account: FakeAccount) -> float | None:
        """Count a request in a sliding second; seconds to wait when it is one too many (and not counted)."""
        cap = account.requests_per_second
        if cap is None:
            return None
        now = self._now()
        window = self._windows.setdefault((account.provider, account.key), deque())
        # Below one a second the window grows instead of the number shrinking to nothing.
        length = max(1.0, 1.0 / cap)
        while window and window[0] <= now - length:
            window.popleft()
        if len(window) >= max(1, int(cap)):
            return window[0] + length - now
        window.append(now)
        return None

    def unfinished(self, account: FakeAccount, kinds: Sequence[str]) -> int:
        """How many of the account's tasks of these kinds have not ended."""
        found = self._unfinished.get((account.provider, account.key))
        if found is None:
            return 0
        self._retire(found.drop_ended(self._now()))
        return found.count(kinds)

    def running(self) -> int:
        """How many tasks of all accounts have not ended."""
        now, running = self._now(), 0
        for found in list(self._unfinished.values()):
            self._retire(found.drop_ended(now))
            running += found.count()
        return running

    def _retire(self, ended: Sequence[FakeTask]) -> None:
        """Take down what has ended, and forget what ended long before."""
        if self._keep_tasks is None or not ended:
            return
        self._ended.extend(ended)
        while len(self._ended) > self._keep_tasks:
            task = self._ended.popleft()
            self.all_tasks.pop((task.provider, task.id), None)
            if task.result is not None:
                self.files.pop(task.result.id, None)
                self._links.pop(task.result.id, None)
                if task.result.path is not None:
                    task.result.path.unlink(missing_ok=True)
            self.on_forget(task)

    def accept(
        self,
        account: FakeAccount,
        *,
        task_id: str,
        endpoint: str,
        kind: str,
        request: Mapping[str, Any],
        order: MediaOrder | None = None,
        title: str = "",
        cost: float = 0.0,
        callback_url: str = "",
        failure: FakeFailure | None = None,
    ) -> FakeTask:
        """Create a task, take its cost off the balance, and start rendering *order*."""
        now, delay = self._now(), self.delays.get(kind, self.default_delay)
        task = FakeTask(
            id=task_id,
            provider=account.provider,
            account=account.key,
            kind=kind,
            endpoint=sys.intern(endpoint),
            created=now,
            runs_at=now + delay.queue,
            ready_at=now + delay.queue + delay.run,
            title=title,
            request=dict(request),
            cost=cost,
            callback_url=callback_url,
            order=order,
            failure=failure or self._planned_failure(endpoint),
        )
        account.credits -= cost
        self.all_tasks[account.provider, task_id] = task
        self._unfinished.setdefault((account.provider, account.key), _Unfinished()).add(task)
        self.on_accept(task)
        return task

    def fail_next(self, endpoint: str, failure: FakeFailure, times: int) -> None:
        """Let the next tasks accepted at *endpoint* (``*``: anywhere) fail."""
        self._failures.append(_NextFailure(endpoint=endpoint, failure=failure, times=times))

    def _planned_failure(self, endpoint: str) -> FakeFailure | None:
        for plan in self._failures:
            if plan.times > 0 and plan.endpoint in ("*", endpoint):
                plan.times -= 1
                return plan.failure
        return None

    def task(self, account: FakeAccount, task_id: str) -> FakeTask | None:
        """The account's task with this id."""
        task = self.all_tasks.get((account.provider, task_id))
        return task if task and task.account == account.key else None

    def find_task(self, task_id: str) -> FakeTask | None:
        """The task with this id at any provider."""
        found = (self.all_tasks.get((provider, task_id)) for provider in self.fakes)
        return next((task for task in found if task is not None), None)

    def tasks(self, account: FakeAccount) -> list[FakeTask]:
        """The account's tasks, oldest first."""
        provider, key = account.provider, account.key
        return [task for task in self.all_tasks.values() if task.account == key and task.provider == provider]

    def move(self, task: FakeTask, ready_at: float) -> None:
        """Let a task that has not ended end at another time."""
        if not task.status(self._now()).terminal:
            task.ready_at = ready_at
            self._unfinished[task.provider, task.account].moved(task)

    def add_asset(self, asset: FakeAsset) -> None:
        """Keep an avatar or a voice; adding one again changes nothing."""
        self._assets[asset.provider, asset.kind, asset.id] = asset

    def asset(self, account: FakeAccount, kind: str, asset_id: str) -> FakeAsset | None:
        """An avatar or voice that the account may use now, public ones included."""
        asset = self._assets.get((account.provider, kind, asset_id))
        if asset is None or not asset.usable(self._now()):
            return None
        return asset if asset.public or asset.account == account.key else None

    def assets(self, account: FakeAccount, kind: str, *, usable: bool = True) -> list[FakeAsset]:
        """The account's own avatars or voices, oldest first; *usable* leaves out unfinished ones."""
        now, owner = self._now(), (account.provider, account.key)
        return [
            asset
            for asset in self._assets.values()
            if asset.kind == kind
            and not asset.public
            and (asset.provider, asset.account) == owner
            and (not usable or asset.usable(now))
        ]

    def public_assets(self, provider: str, kind: str) -> list[FakeAsset]:
        """The provider's stock of avatars or voices."""
        return [a for a in self._assets.values() if a.public and a.provider == provider and a.kind == kind]

    def new_upload(
        self, account: FakeAccount, *, file_id: str, extension: str, content_type: str
    ) -> tuple[FakeFile, str]:
        """A slot for one file, and the signed URL it is PUT to."""
        file = FakeFile(
            id=file_id,
            provider=account.provider,
            account=account.key,
            extension=extension,
            content_type=content_type,
            raw_path=f"/{account.provider}%2Fuploads%2F{file_id}.{extension}",
        )
        self.files[file_id] = file
        self._paths[unquote(file.raw_path)] = file
        return file, self.files_url + self.links.upload_path(file, self._now() + self.url_lifetime)

    def add_result(self, task: FakeTask, *, extension: str, content_type: str) -> FakeFile:
        """A file for what a task renders."""
        file = FakeFile(
            id=hashlib.sha256(f"result {task.provider} {task.id}".encode()).hexdigest()[:32],
            provider=task.provider,
            account=task.account,
            extension=extension,
            content_type=content_type,
        )
        self.files[file.id] = file
        return file

    def file(self, account: FakeAccount, file_id: str) -> FakeFile | None:
        """The account's file or upload slot with this id."""
        file = self.files.get(file_id)
        return file if file and (file.provider, file.account) == (account.provider, account.key) else None

    def upload_at(self, raw_path: str) -> FakeFile | None:
        """The upload slot that a path leads to, however it is percent-encoded."""
        return self._paths.get(unquote(raw_path))

    def link(self, file: FakeFile) -> str:
        """A signed URL that serves the file for a while; for a hundredth of that it is the same one."""
        now, lifetime = self._now(), self.url_lifetime
        made, signed, url = self._links.get(file.id, (0.0, 0.0, ""))
        if signed != lifetime or not made <= now < made + lifetime * _SAME:
            url = self.files_url + self.links.result_path(file, now + lifetime)
            self._links[file.id] = (now, lifetime, url)
        return url

    def expired(self, url: str) -> str:
        """The same URL, signed so that it is expired; a foreign one as it is."""
        file = self.resolve(url).file
        if file is None:
            return url
        past = self._now() - 60.0
        path = self.links.upload_path(file, past) if file.raw_path else self.links.result_path(file, past)
        return self.files_url + path

    def resolve(self, url: str) -> Resolved:
        """Where a URL leads, without touching the network."""
        if not url.startswith(self.files_url + "/"):
            return Resolved(own=False)
        raw = url.removeprefix(self.files_url)
        path = urlsplit(raw).path
        if file := self.upload_at(path):
            return Resolved(own=True, file=file)
        if self.links.check_result(raw, self._now()) is not None:
            return Resolved(own=True)
        return Resolved(own=True, file=self.files.get(result_id(path)))

    def status(self, task: FakeTask) -> Status:
        """Where a task stands now."""
        return task.status(self._now())


def _nothing(_task: FakeTask) -> None:
    """Nobody wants to know."""


def _mark_rendered(task: FakeTask) -> None:
    task.rendered_at = task.created
    task.seconds = task.order.seconds if task.order else 0.0
