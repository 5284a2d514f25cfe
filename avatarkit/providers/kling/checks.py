"""Checking Kling's request fields locally, and putting them into the vendor's form. Sends nothing."""

from __future__ import annotations

import datetime
import math
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


def spoken_by(field: str, voice_id: str, language: str, problems: list[str]) -> None:
    """Whether a voice that is known speaks *language*; an unknown one may."""
    for voice in limits.VOICES:
        if voice.id == voice_id and language in limits.LANGUAGES and language not in voice.languages:
            spoken = " and ".join(voice.languages)
            problems.append(f"{field}: {voice_id} with {language} found, {spoken} allowed")


def spoken_text(text: str, problems: list[str]) -> str:
    """Text to be spoken within the vendor's limits."""
    if not isinstance(text, str):
        problems.append("text: text is needed")
        return ""
    problems += limits.TEXT.check("text", text)
    return text


def sound_end(seconds: float, begin: int, problems: list[str]) -> int:
    """Where the part of a recording that is used ends, in milliseconds like its *begin*."""
    before = len(problems)
    end = milliseconds("sound_end", seconds, problems)
    if len(problems) == before and end - begin < limits.OVERLAP_MS:
        problems.append(f"sound_end: {(end - begin) / 1000:g} s of sound found, at least 2 s allowed")
    return end


def whole_sound(
    seconds: float | None, begin: int, insert: int, face_end: float | None, problems: list[str]
) -> int:
    """Where a recording of *seconds* ends, no further than it may: 60 s, and as long as the face is to be seen.

    Args:
        seconds: its length; None is a problem.
        begin: where in the recording it begins, in milliseconds.
        insert: when in the video it begins, in milliseconds.
        face_end: when the face is last seen, in seconds; None when that is not known.

    """
    if seconds is None:
        problems.append(
            "sound_end: none given, and the sound's length cannot be told: its end in seconds is needed"
        )
        return begin
    wrong: list[str] = []
    last = None if face_end is None else milliseconds("face_end", face_end, wrong)
    milliseconds("sound_seconds", seconds, wrong)
    problems += wrong
    if wrong:
        return begin
    # Cut down, not rounded: the vendor allows nothing beyond the recording's end.
    end = math.floor(min(seconds, limits.LIP_SOUND.max_seconds or seconds) * 1000 + 1e-6)
    if last is not None:
        end = min(end, begin + max(0, last - insert))
    return sound_end(end / 1000, begin, problems)


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
