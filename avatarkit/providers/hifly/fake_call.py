"""What every HiFly operation of the fake needs: the vendor's tables, and a request read and checked.

The limits are those of the vendor's two documents; ``fake.py`` says what was decided where they are silent.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
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
    short_id,
)

PROVIDER: Final = "hifly"
_MB: Final = 1024 * 1024
_AUDIO: Final = ("mp3", "m4a", "wav")
WORKS: Final = ("video", "audio")
_STATUS: Final = {Status.QUEUED: 1, Status.RUNNING: 2, Status.SUCCEEDED: 3, Status.FAILED: 4}
EVENT: Final = {"video": 1, "audio": 1, "avatar": 2, "voice": 3}
TYPES: Final = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "wav": "audio/wav",
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}
MESSAGES: Final = {
    11: "参数不正确",
    14: "找不到资源",
    1001: "正在生成中的作品数量达到上限",
    1002: "积分不足",
    1005: "开通会员",
    1006: "会员等级不够",
    1011: "声音与名人相似",
    1015: "提交的作品数量达到上限",
    2003: "无效 Token",
    2011: "文件大小超过限制",
    2012: "文件类型不支持",
    2013: "获取音频资源失败",
    2014: "获取视频资源失败",
    2015: "数字人克隆失败",
    2016: "获取图片资源失败",
}
LANGUAGES: Final = frozenset(
    {"zh", "en", "jp", "ko", "zh_cantonese", "zh_sichuanese", "zh_shanghainese", "zh_tianjinese"}
    | {"zh_zhengzhounese", "zh_wuhanese"}
)
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]*>|<!--")
_COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_STYLE_INTS: Final = ("st_font_size", "st_width", "st_height", "st_pos_x", "st_pos_y")

# field, alias, formats, most bytes, code when it cannot be had
Media = tuple[str, str, tuple[str, ...], int, int]
AVATAR_VIDEO: Final[Media] = ("video_url", "video_file_id", ("mp4", "mov"), 500 * _MB, 2014)
AVATAR_IMAGE: Final[Media] = ("image_url", "image_file_id", ("png", "jpg", "jpeg", "webp"), 20 * _MB, 2016)
VOICE_SAMPLE: Final[Media] = ("audio_url", "audio_file_id", _AUDIO, 20 * _MB, 2013)
DRIVING_AUDIO: Final[Media] = ("audio_url", "audio_file_id", _AUDIO, 100 * _MB, 2013)


class Refused(Exception):
    """The vendor says no, with HTTP 200 and this code."""

    def __init__(self, code: int) -> None:
        self.code = code


def text_of(body: Mapping[str, Any], name: str, limit: int, *, required: bool = False) -> str:
    """A string field; absent and not required is ``""``. Anything but a string is code 11."""
    value = body.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or len(value) > limit or (required and not value.strip()):
        raise Refused(11)
    return value


def integer(body: Mapping[str, Any], name: str, allowed: Sequence[int] | None = None) -> int | None:
    """An integer field, None when absent. A boolean is no integer."""
    value = body.get(name)
    if value is None:
        return None
    if type(value) is not int or (allowed is not None and value not in allowed):
        raise Refused(11)
    return value


def spoken(body: Mapping[str, Any]) -> str:
    """The text to say, checked: at most 10,000 characters, no HTML tags."""
    text = text_of(body, "text", 10_000, required=True)
    if _TAG.search(text):
        raise Refused(11)
    return text


def subtitle_of(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The subtitle style without its ``st_`` prefix, None when subtitles are off. Checks all nine fields."""
    for name in _STYLE_INTS:
        integer(body, name)
    for name in ("st_primary_color", "st_outline_color"):
        colour = body.get(name)
        if colour is not None and not (isinstance(colour, str) and _COLOUR.fullmatch(colour)):
            raise Refused(11)
    text_of(body, "st_font_name", 100)
    if not integer(body, "st_show", (0, 1)):
        return None
    return {name.removeprefix("st_"): body[name] for name in body if name.startswith("st_")}


def page_of(query: Mapping[str, str], default_kind: int) -> tuple[int, int, int]:
    """Page, size and kind of a list query."""
    values = []
    for name, default in (("page", 1), ("size", 20), ("kind", default_kind)):
        raw = query.get(name, str(default))
        if len(raw) > 9 or not raw.isascii() or not raw.isdigit() or int(raw) < 1:
            raise Refused(11)
        values.append(int(raw))
    page, size, kind = values
    return page, min(size, 1000), kind


def voice_data(kind: int) -> dict[str, Any]:
    """The fields of a row of ``voice/list`` that are not its id or title."""
    return {"type": kind, "rate": "1.0", "volume": "1.0", "pitch": "1.0"}


def outcome(task: FakeTask, status: Status, world: World, account: FakeAccount) -> dict[str, Any]:
    """The fields that a poll and an event share."""
    fields: dict[str, Any] = {"code": 0, "message": "", "status": _STATUS[status]}
    done = status is Status.SUCCEEDED
    if status is Status.FAILED and not world.switch(PROVIDER, "failed_code_zero", account):
        usual = {"avatar": 2015, "voice": 2013}.get(task.kind, 5000)
        failure = task.failure or FakeFailure()
        fields["code"] = usual if failure.code is None else failure.code
        fields["message"] = failure.message or MESSAGES.get(usual, "生成失败")
    if task.kind == "avatar":
        fields["avatar"] = task.yields if done else ""
    elif task.kind == "voice":
        fields["voice"] = task.yields if done else ""
        fields["demo_url"] = world.link(task.result) if done and task.result else ""
    elif done:
        fields["video_Url"] = world.link(task.result) if task.result else ""
        fields["duration"] = max(1, int(task.seconds + 0.5))
    else:
        pending = world.switch(PROVIDER, "pending_url", account)
        if pending != "missing":
            fields["video_Url"] = None if pending == "null" else ""
    return fields


class Call:
    """One authorised request on its way through an operation."""

    def __init__(self, request: FakeRequest, account: FakeAccount, world: World, request_id: str) -> None:
        self.request = request
        self.account = account
        self.world = world
        self.request_id = request_id
        self.body: Mapping[str, Any] = {}
        if request.method == "POST":
            self.body = self._decode()

    def _decode(self) -> Mapping[str, Any]:
        if not self.request.headers.get("content-type", "").lower().startswith("application/json"):
            raise Refused(11)
        try:
            body = self.request.json()
        except ValueError:
            raise Refused(11) from None
        if not isinstance(body, dict):
            raise Refused(11)
        return body

    def switch(self, name: str) -> Any:
        """A quirk's setting for this account."""
        return self.world.switch(PROVIDER, name, self.account)

    def reply(self, **fields: Any) -> FakeResponse:
        """A successful answer with these fields."""
        return json_response({"code": 0, "message": "", **fields, "request_id": self.request_id})

    def need_plan(self, *, enterprise: bool = False) -> None:
        """Refuse when the plan does not include this."""
        plan = self.switch("plan")
        if plan == "none":
            raise Refused(1005)
        if enterprise and plan != "enterprise":
            raise Refused(1006)

    def usable(self, kind: str) -> FakeAsset:
        """The avatar or voice the body names; code 14 when there is none."""
        asset = self.world.asset(self.account, kind, text_of(self.body, kind, 200, required=True))
        if asset is None:
            raise Refused(14)
        return asset

    def media(self, kind: Media, *, url_limit: int = 2000) -> tuple[FakeFile | None, str]:
        """The file that was given, and the URL it was given by; exactly one of both ways is allowed."""
        url_name, alias, formats, most, missing = kind
        url = text_of(self.body, url_name, url_limit)
        file_id = text_of(self.body, "file_id", 200) or text_of(self.body, alias, 200)
        if bool(url) == bool(file_id):
            raise Refused(11)
        if file_id:
            file = self.world.file(self.account, file_id)
            if file is None:
                raise Refused(14)
        else:
            if not re.match(r"https?://[^/\s]+", url):
                raise Refused(11)
            found = self.world.resolve(url)
            if not found.own:
                self._check_foreign(url, formats, missing)
                return None, url
            file = found.file
        if file is None or not file.uploaded:
            raise Refused(missing)
        if file.extension.lower() not in formats:
            raise Refused(2012)
        if file.size > most:
            raise Refused(2011)
        return file, url

    def _check_foreign(self, url: str, formats: Sequence[str], missing: int) -> None:
        extension = url.partition("?")[0].rpartition("/")[2].rpartition(".")[2].lower()
        if extension in TYPES and extension not in formats:
            raise Refused(2012)
        if self.switch("strict_urls"):
            raise Refused(missing)

    def work(self, kind: str, order: MediaOrder, price: str) -> FakeResponse:
        """Accept a video or a sound, unless a cap or the balance forbids it."""
        title = text_of(self.body, "title", 20) or "未命名"
        running = self.world.unfinished(self.account, WORKS)
        if self.account.max_submitted is not None and running >= self.account.max_submitted:
            raise Refused(1015)
        if self.account.max_running is not None and running >= self.account.max_running:
            raise Refused(1001)
        cost = math.ceil(order.seconds * float(self.switch(price)))
        return self.accept(kind, order=order, title=title, cost=cost)

    def accept(
        self,
        kind: str,
        *,
        order: MediaOrder | None = None,
        title: str = "",
        cost: float = 0.0,
        asset: FakeAsset | None = None,
    ) -> FakeResponse:
        """Charge and create the task, which yields *asset* if there is one."""
        if cost > self.account.credits:
            raise Refused(1002)
        text = f"{title} {order.text if order else ''}"
        failure = FakeFailure() if "[fail]" in text else None
        if "[moderation]" in text:
            failure = FakeFailure(code=11, message="内容未通过审核")
        task = self.world.accept(
            self.account,
            task_id=short_id(self.world.new_id()),
            endpoint=f"{self.request.method} {self.request.path}",
            kind=kind,
            request=self.body,
            order=order,
            title=title,
            cost=cost,
            failure=failure,
        )
        if asset is not None:
            task.yields = asset.id
            asset.tasks.append(task)
            self.world.add_asset(asset)
        return json_response(
            {"code": 0, "message": "", "task_id": task.id, "request_id": self.request_id}, accepted=task
        )

    def look(self, kinds: Sequence[str]) -> FakeResponse:
        """Answer one of the three task queries."""
        task = self.world.task(self.account, self.request.query.get("task_id", ""))
        if not self.request.query.get("task_id"):
            raise Refused(11)
        if task is None or task.kind not in kinds:
            raise Refused(14)
        status = task.status(self.world.now())
        fields = outcome(task, status, self.world, self.account)
        return json_response({**fields, "request_id": self.request_id}, looked_at=(task.id,))
