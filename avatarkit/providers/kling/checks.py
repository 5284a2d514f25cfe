"""Checking Kling's request fields locally, and putting them into the vendor's form. Sends nothing."""

from __future__ import annotations

import datetime
from typing import Any, Final

from avatarkit.errors import InvalidRequest
from avatarkit.protocol.limits import RangeRule
from avatarkit.providers.kling import limits
from avatarkit.providers.kling.models import Face, FaceSession, TaskRecord, TtsAudio

_LONGEST_ID: Final = 500


def identifier(field: str, value: object, problems: list[str]) -> str:
    """An id, or the id of an object that has one; adds a problem when it is empty or none."""
    text = value.id if isinstance(value, Face | FaceSession | TaskRecord | TtsAudio) else value
    if not isinstance(text, str) or not text.strip():
        problems.append(f"{field}: an id is needed")
        return ""
    if len(text) > _LONGEST_ID:
        problems.append(f"{field}: {len(text)} characters found, an id allowed")
    return text.strip()


def identifiers(field: str, values: object, problems: list[str]) -> tuple[str, ...]:
    """Up to 20 ids; a comma would make two of one."""
    given = (values,) if isinstance(values, str) else tuple(values)  # type: ignore[arg-type]
    found = tuple(identifier(field, each, problems) for each in given)
    if len(found) > limits.QUERY_IDS:
        problems.append(f"{field}: {len(found)} ids found, at most {limits.QUERY_IDS} allowed")
    if any("," in each for each in found):
        problems.append(f"{field}: a comma found, none allowed")
    return found


def external_id(value: str | None, problems: list[str]) -> str | None:
    """``external_task_id``: no length or alphabet is published; empty means none at the vendor, so it is refused."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        problems.append("external_task_id: it is empty")
        return None
    if len(value) > _LONGEST_ID or not value.isprintable():
        problems.append(f"external_task_id: at most {_LONGEST_ID} printable characters allowed")
    return value


def prompt(value: str | None, problems: list[str]) -> str | None:
    """What the avatar is to do; an empty one is none."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        problems.append("prompt: text is needed")
        return None
    problems += limits.PROMPT.check("prompt", value)
    return value


def choice(field: str, value: str | None, allowed: tuple[str, ...], problems: list[str]) -> str | None:
    """One word out of a few."""
    if value is not None and value not in allowed:
        problems.append(f"{field}: {value!r} found, one of {', '.join(allowed)} allowed")
    return value


def web_address(field: str, value: str | None, problems: list[str]) -> str | None:
    """An http(s) address that the vendor is to call or to fetch."""
    if value is None:
        return None
    good = isinstance(value, str) and value[:8].lower().startswith(("http://", "https://"))
    if not good or any(char.isspace() for char in value):
        problems.append(f"{field}: not an http(s) URL")
    return value


def watermark(value: bool | None, problems: list[str]) -> dict[str, Any] | None:  # noqa: FBT001
    """``watermark_info``."""
    if value is None:
        return None
    if not isinstance(value, bool):
        problems.append(f"watermark: {value!r} found, True or False allowed")
    return {"enabled": value}


def number(field: str, value: float | None, rule: RangeRule, problems: list[str]) -> float | None:
    """A number within *rule*, rounded to the digits that are sent."""
    if value is None:
        return None
    wrong = rule.check(field, value)
    problems += wrong
    return None if wrong else float(rule.encode(value))


def milliseconds(field: str, seconds: float, problems: list[str]) -> int:
    """Seconds as the vendor's whole milliseconds."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 86400:
        problems.append(f"{field}: {seconds!r} found, seconds from 0 allowed")
        return 0
    return round(seconds * 1000)


def unix_milliseconds(field: str, moment: datetime.datetime | float, problems: list[str]) -> int:
    """A moment as Unix milliseconds; a datetime without a zone is taken as local time."""
    seconds = moment.timestamp() if isinstance(moment, datetime.datetime) else moment
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < 1e11:
        problems.append(f"{field}: {moment!r} found, a datetime or seconds since 1970 allowed")
        return 0
    return round(seconds * 1000)


def page_numbers(page: int, size: int) -> None:
    """Page and size of a list.

    Raises:
        InvalidRequest: one is out of the vendor's range.

    """
    problems = [
        f"{field}: {value!r} found, a whole number from 1 to {most} allowed"
        for field, value, most in (("page", page, limits.PAGE), ("size", size, limits.PAGE_SIZE))
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most
    ]
    settle(problems)


def settle(problems: list[str]) -> None:
    """Raise everything that was found, together.

    Raises:
        InvalidRequest: something was found. Nothing was sent or billed.

    """
    if problems:
        raise InvalidRequest(problems)
