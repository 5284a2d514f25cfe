"""The rows that Guiji's fake shows: four resources with four status enumerations, and their callbacks' data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from avatarkit.models import Status
from avatarkit.protocol.fakewire import FakeAccount, FakeAsset, FakeTask, World
from avatarkit.providers.guiji.fake_call import DAY, PROVIDER, china

_CLONES: Final = {Status.QUEUED: 0, Status.RUNNING: 1, Status.SUCCEEDED: 2, Status.FAILED: 3}
_VIDEOS: Final = {Status.QUEUED: 1, Status.RUNNING: 2, Status.SUCCEEDED: 3, Status.FAILED: 4}
_KEPT: Final = 2048  # rows of videos that go on, at most
_REASONS: Final = {"avatar": "训练失败", "voice": "克隆失败", "video": "合成失败", "audio": ""}
TASK_TYPES: Final = {
    "avatar": "video-training",
    "voice": "voice-clone",
    "video": "video-synthesis",
    "audio": "tts-synthesis",
}


def voice_fields(asset: FakeAsset) -> dict[str, Any]:
    """What a public and a cloned voice have in common."""
    return {"speakerId": asset.id, "ttsName": asset.title, **asset.data}


class Rows:
    """Rows of one account's tasks at one moment."""

    def __init__(self, world: World, account: FakeAccount) -> None:
        self._world = world
        self._account = account
        self._now = world.now()
        self._how = self._switch("pending_url")
        self._unset = None if self._how == "null" else ""
        self._kept: dict[FakeTask, tuple[Status, Any, dict[str, Any]]] = world.scratch(PROVIDER)

    def _switch(self, name: str) -> Any:
        return self._world.switch(PROVIDER, name, self._account)

    def _changed(self, task: FakeTask) -> float:
        ended = task.finished_at
        return max(task.created, ended) if ended < self._now else self._now

    def _reason(self, task: FakeTask) -> str:
        said = task.failure.message if task.failure else ""
        return said or _REASONS[task.kind]

    def _pending(self, name: str) -> dict[str, Any]:
        return {} if self._how == "missing" else {name: self._unset}

    def _link(self, task: FakeTask) -> str:
        return self._world.link(task.result) if task.result else ""

    def _consent(self, asset: FakeAsset | None) -> dict[str, Any]:
        if not self._switch("authorize_status"):
            return {}
        return {"authorizeStatus": int(asset.data.get("authorizeStatus", 0)) if asset else 0}

    def rows(self, tasks: Iterable[FakeTask]) -> list[dict[str, Any]]:
        """Tasks as their list shows them. To be read at once: as long as a video goes on its row is used again."""
        kept, how, now, rows = self._kept, self._how, self._now, []
        stamp = china(now)
        for task in tasks:
            known = kept.get(task)
            if known is None or known[0] is not task.status(now) or known[1] != how:
                rows.append(self._anew(task))
            else:
                known[2]["updateTime"] = stamp
                rows.append(known[2])
        return rows

    def _anew(self, task: FakeTask) -> dict[str, Any]:
        kept, row, status = self._kept, self.row(task), task.status(self._now)
        if task.kind != "video" or status.terminal:
            kept.pop(task, None)
            return row
        if len(kept) >= _KEPT:
            kept.clear()
        kept[task] = status, self._how, row
        return row

    def row(self, task: FakeTask) -> dict[str, Any]:
        """A task as its list shows it."""
        if task.kind == "video":
            return self._video(task)
        made = {"avatar": self._training, "voice": self._voice, "audio": self._audio}
        return {**made[task.kind](task), "level": 1}

    def _training(self, task: FakeTask) -> dict[str, Any]:
        status = task.status(self._now)
        value = _CLONES[status]
        if status is Status.FAILED and task.failure and task.failure.code in ("rejected", 4, "4"):
            value = 4
        return {
            "id": int(task.id),
            "title": task.title,
            "videoUrl": task.request.get("videoUrl", ""),
            "status": value,
            "callbackStatus": task.data.get("callbackStatus", 0),
            "comment": self._reason(task) if status is Status.FAILED else "",
            "sceneId": int(task.yields) if status is Status.SUCCEEDED else None,
            "coverUrl": "" if status is Status.SUCCEEDED else None,
            **self._consent(task.data.get("asset")),
            "createTime": china(task.created),
            "updateTime": china(self._changed(task)),
        }

    def _voice(self, task: FakeTask) -> dict[str, Any]:
        status, asset = task.status(self._now), task.data.get("asset")
        done = status is Status.SUCCEEDED
        expires = task.created + float(self._switch("voice_days")) * DAY
        shown = voice_fields(asset) if asset else {"speakerId": task.yields}
        shown.pop("authorizeStatus", None)
        return {
            **shown,
            "ttsAudition": self._link(task) if done else "",
            "status": 4 if done and expires <= self._now else _CLONES[status],
            **self._consent(asset),
            "reason": self._reason(task) if status is Status.FAILED else None,
            "expireTime": china(expires) if done else None,
        }

    def _video(self, task: FakeTask) -> dict[str, Any]:
        # In one piece: pages show hundreds of them.
        status = task.status(self._now)
        done, failed = status is Status.SUCCEEDED, status is Status.FAILED
        value = _VIDEOS[status]
        if failed and task.failure and str(task.failure.code) in ("6", "7"):
            value = int(str(task.failure.code))
        milliseconds = max(1, int(task.seconds * 1000 + 0.5)) if done else 0
        row: dict[str, Any] = {
            "id": int(task.id),
            "videoName": task.title,
            "videoFormat": "mp4",
            "duration": f"{milliseconds / 1000:g}" if done else None,
            "durationMs": str(milliseconds) if done else None,
            "videoUrl": self._link(task) if done else self._unset,
            "coverUrl": "",
            "srtUrl": "",
            "synthesisStatus": value,
            "failReason": self._reason(task) if failed else None,
            "createTime": china(task.created),
            "updateTime": china(self._changed(task)),
            "level": 1,
        }
        if not done and self._how == "missing":
            del row["videoUrl"]
        return row

    def _audio(self, task: FakeTask) -> dict[str, Any]:
        status = task.status(self._now)
        if status is not Status.SUCCEEDED:
            return {"id": int(task.id), "status": _CLONES[status], **self._pending("ttsUrl")}
        return {
            "id": int(task.id),
            "status": _CLONES[status],
            "duration": max(1, int(task.seconds * 1000 + 0.5)),
            "ttsUrl": self._link(task),
            "srtUrl": "",
        }

    def event(self, task: FakeTask, status: Status) -> dict[str, Any]:
        """The body of a callback; its fields are not quite the list's, as in the vendor's samples."""
        row = self.row(task)
        done = status is Status.SUCCEEDED
        result = {"result": "success" if done else "fail"}
        times = {"createTime": int(task.created * 1000), "updateTime": int(self._changed(task) * 1000)}
        data: Mapping[str, Any]
        keep: tuple[str, ...]
        if task.kind == "avatar":
            keep = ("id", "title", "sceneId", "coverUrl")
            data = {**_only(row, keep), **result, "reason": row["comment"], **times}
        elif task.kind == "voice":
            data = {
                **{name: value for name, value in row.items() if name not in ("reason", "level")},
                **result,
            }
            data = data if done else {**data, "reason": row["reason"]}
        elif task.kind == "video":
            keep = ("id", "videoName", "videoUrl", "duration", "coverUrl", "level", "synthesisStatus")
            data = {**_only(row, keep), **result, **times}
            data = data if done else {**data, "failReason": row["failReason"]}
        else:
            data = {"duration": 0, "ttsUrl": "", **_only(row, ("id", "status", "duration", "ttsUrl"))}
        return {"taskType": TASK_TYPES[task.kind], "data": data}


def _only(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: row[name] for name in names if row.get(name) is not None}
