"""Guiji's single values: ids, statuses, times, durations and lists in all the forms they come in."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from avatarkit.providers.guiji import codes, limits

CHINA = timezone(timedelta(hours=limits.UTC_OFFSET_HOURS))
"""The zone of the vendor's times, which it never states."""

FORMAT = "%Y-%m-%d %H:%M:%S"
_EPOCH = datetime(1970, 1, 1, limits.UTC_OFFSET_HOURS, tzinfo=CHINA)
_MILLISECONDS = 100_000_000_000  # as seconds that would be the year 5138


def ident(value: Any) -> str:
    """An id as text: whole numbers, negative ones too, and words. ``""`` for anything else."""
    if value.__class__ is int:
        return str(value)  # nearly always
    if isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else ""
    return value.strip() if isinstance(value, str) else ""


def word(value: Any) -> str:
    """A code or a status as text, whether it came as number or text."""
    return ident(value).removesuffix(".0")


def status_rule(table: Any, value: Any) -> tuple[str, codes.StatusRule]:
    """The raw status and what it means in *table*."""
    raw = word(value)
    return raw, table.get(raw, codes.UNKNOWN_STATUS)


def moment(value: Any) -> datetime | None:
    """A time: text without a zone is China's, a number is milliseconds (or seconds) since 1970. None: it is no time."""
    try:
        if isinstance(value, str) and not value.strip().isdecimal():
            found = datetime.fromisoformat(value.strip())
            return found.replace(tzinfo=CHINA) if found.tzinfo is None else found.astimezone(CHINA)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            return None
        number = float(value)
        seconds = number / 1000 if abs(number) >= _MILLISECONDS else number
        return _EPOCH + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return None


def china_text(value: datetime) -> str:
    """A time as the vendor's filters want it; one without a zone is taken as China's."""
    return (value.astimezone(CHINA) if value.tzinfo is not None else value).strftime(FORMAT)


def seconds_of(milliseconds: float | None, seconds: float | None = None) -> float | None:
    """A duration in seconds, from the finer of two fields that holds one."""
    if milliseconds is not None and milliseconds >= 0:
        return milliseconds / 1000
    return seconds if seconds is not None and seconds >= 0 else None


def words(value: Any, separators: str = ",|") -> tuple[str, ...]:
    """Several words: a list, text with separators, or nothing."""
    if isinstance(value, str):
        for separator in separators[1:]:
            value = value.replace(separator, separators[0])
        parts: list[Any] = value.strip("[]").split(separators[0])
    else:
        parts = value if isinstance(value, list) else []
    return tuple(text for part in parts if isinstance(part, str) and (text := part.strip(" \"'")))


def flag(value: int | None) -> bool | None:
    """0 and 1 as a boolean, anything else as None."""
    return {0: False, 1: True}.get(value) if value is not None else None
