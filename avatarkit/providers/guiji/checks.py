"""Checking Guiji's request fields locally, and putting them into the vendor's form."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from avatarkit.errors import InvalidRequest
from avatarkit.models import Avatar, Voice
from avatarkit.providers.guiji import limits
from avatarkit.providers.guiji.models import AvatarClone, VoiceClone
from avatarkit.providers.guiji.values import FORMAT, china_text

AvatarLike = str | int | Avatar | AvatarClone
VoiceLike = str | Voice | VoiceClone


def avatar_id(value: AvatarLike, problems: list[str], *, field: str = "avatar") -> str:
    """A ``sceneId`` as text. Negative numbers are usual; a training without an avatar yet is a problem."""
    if isinstance(value, AvatarClone):
        if not value.avatar_id:
            problems.append(f"{field}: training {value.id} has made no avatar (yet)")
        return value.avatar_id
    text = value.id if isinstance(value, Avatar) else value
    if isinstance(text, bool) or not isinstance(text, str | int) or not str(text).strip():
        problems.append(f"{field}: {type(value).__name__} found, an avatar's id needed")
        return ""
    return str(text).strip()


def scene_number(value: AvatarLike, problems: list[str], *, field: str = "avatar") -> int:
    """A ``sceneId`` as the number that ``authorize`` wants."""
    text = avatar_id(value, problems, field=field)
    try:
        return int(text)
    except ValueError:
        if text:
            problems.append(f"{field}: {text[:40]!r} found, a whole number allowed")
        return 0


def voice_id(value: VoiceLike, problems: list[str], *, field: str = "voice") -> str:
    """A ``speakerId``."""
    text = value.id if isinstance(value, Voice | VoiceClone) else value
    if not isinstance(text, str) or not text.strip():
        problems.append(f"{field}: {type(value).__name__} found, a voice's id needed")
        return ""
    return text.strip()


def task_id(value: Any, problems: list[str], *, field: str) -> str:
    """The id of a training, a video or a sound."""
    plain = getattr(value, "id", value)
    if isinstance(plain, bool) or not isinstance(plain, str | int) or not str(plain).strip():
        problems.append(f"{field}: an id is needed")
        return ""
    return str(plain).strip()


def text(field: str, value: Any, problems: list[str]) -> str:
    """Text that must not be empty; no maximum is published."""
    if not isinstance(value, str):
        problems.append(f"{field}: text is needed")
        return ""
    problems += limits.TEXT.check(field, value)
    return value


def title_or_none(value: str | None, problems: list[str]) -> str | None:
    """A name; no maximum is published."""
    if value is not None and not isinstance(value, str):
        problems.append("title: text is needed")
        return None
    return value.strip() if value else None


def one_of(field: str, value: int | None, allowed: tuple[int, ...], problems: list[str]) -> int | None:
    """A number out of a few."""
    if value is not None and (isinstance(value, bool) or value not in allowed):
        choices = ", ".join(map(str, allowed))
        problems.append(f"{field}: {value!r} found, one of {choices} allowed")
    return value


def yes_or_no(field: str, value: bool | None, problems: list[str]) -> bool | None:  # noqa: FBT001 - it checks one
    """A boolean."""
    if value is not None and not isinstance(value, bool):
        problems.append(f"{field}: {value!r} found, True or False allowed")
    return value


def whole(field: str, value: str | int | None, problems: list[str]) -> int | None:
    """A whole number that may be given as text."""
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise ValueError
        return int(value)
    except (TypeError, ValueError):
        problems.append(f"{field}: {value!r} found, a whole number allowed")
        return None


def web_address(field: str, value: str | None, problems: list[str]) -> str | None:
    """A URL that the vendor calls."""
    if value is None:
        return None
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc or " " in value:
        problems.append(f"{field}: not an http(s) URL")
    return value


def wav_only(field: str, value: Any, problems: list[str]) -> None:
    """A URL of a recording whose name says that it is no WAV file."""
    if not isinstance(value, str) or "://" not in value:
        return
    extension = urlsplit(value).path.rpartition("/")[2].rpartition(".")[2].lower()
    if extension in limits.NO_WAV:
        problems.append(f"{field}: {extension} file found, wav allowed")


def when(field: str, value: datetime | str | None, problems: list[str]) -> str | None:
    """A time for a filter: a datetime, or text as the vendor writes it (China's time)."""
    if value is None:
        return None
    try:
        return china_text(datetime.strptime(value, FORMAT) if isinstance(value, str) else value)
    except (AttributeError, TypeError, ValueError):
        problems.append(f"{field}: {value!r} found, a datetime or yyyy-MM-dd HH:mm:ss allowed")
        return None


def page_numbers(page: int, size: int, problems: list[str]) -> None:
    """Page and size of a list, both from 1."""
    problems += [
        f"{field}: {value!r} found, a whole number of at least 1 allowed"
        for field, value in (("page", page), ("size", size))
        if isinstance(value, bool) or not isinstance(value, int) or value < 1
    ]


def settle(problems: list[str]) -> None:
    """Raise everything that was found, together.

    Raises:
        InvalidRequest: something was found. Nothing was sent or billed.

    """
    if problems:
        raise InvalidRequest(problems)
