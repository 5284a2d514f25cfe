"""Checking YunApi's request fields locally, and putting them into the vendor's form. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avatarkit.errors import InvalidRequest
from avatarkit.models import Avatar, Voice
from avatarkit.protocol.limits import RangeRule
from avatarkit.providers.yunapi import limits
from avatarkit.providers.yunapi.models import CreateVoice, UseVoice
from avatarkit.providers.yunapi.refs import Ref, parse


def words(field: str, text: Any, problems: list[str]) -> str:
    """A text that is not empty."""
    if not isinstance(text, str):
        problems.append(f"{field}: {type(text).__name__} found, text allowed")
        return ""
    problems += limits.TEXT.check(field, text)
    return text


def line(value: Any, problems: list[str]) -> str | None:
    """``line_type``: ``"1"``, ``"0"``, or None for the vendor's own choice."""
    if value is None:
        return None
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if text not in limits.LINE_TYPES:
        problems.append(f"line_type: {value!r} found, 0 (ordinary) or 1 (fast) allowed")
        return None
    return str(text)


def one_of(field: str, value: Any, allowed: Sequence[Any], problems: list[str]) -> Any:
    """A value out of a few; None stays None."""
    if value is not None and (isinstance(value, bool) or value not in allowed):
        problems.append(f"{field}: {value!r} found, one of {', '.join(map(str, allowed))} allowed")
    return value


def number(field: str, value: Any, rule: RangeRule, problems: list[str]) -> Any:
    """A number within a range; None stays None."""
    if value is not None:
        problems += rule.check(field, value)
    return value


def truth(field: str, value: Any, problems: list[str]) -> bool | None:
    """True, False, or None for the vendor's own choice."""
    if value is not None and not isinstance(value, bool):
        problems.append(f"{field}: {value!r} found, True or False allowed")
        return None
    return value


def ref(
    field: str, value: str | Avatar | Voice, family: str, given: Any, problems: list[str]
) -> tuple[str, str | None]:
    """The vendor's id of a task or model, and the line it lives on.

    A word such as ``model:1:28`` brings its line along; a *given* line must agree with it.
    """
    chosen = line(given, problems)
    text = value.id if isinstance(value, Avatar | Voice) else value
    if not isinstance(text, str) or not text.strip():
        problems.append(f"{field}: an id is needed")
        return "", chosen
    found = parse(text.strip(), family)
    if found.family != family:
        problems.append(f"{field}: an id of another operation ({found.family}) found, {family} allowed")
        return "", chosen
    if found.line and chosen is not None and chosen != found.line:
        problems.append(f"line_type: {chosen} found, {found.line} allowed: {field} was made on that line")
    return found.id, chosen or found.line or None


def task_ref(task_id: str, family: str, given: Any) -> Ref:
    """What a look is about.

    Raises:
        InvalidRequest: it is no id, or of another operation.

    """
    problems: list[str] = []
    own, chosen = ref("task_id", task_id, family, given, problems)
    settle(problems)
    return Ref(family, own, chosen or "")


def voice_part(
    audio: Any, create_voice: CreateVoice | None, use_voice: UseVoice | None, problems: list[str]
) -> dict[str, Any]:
    """What a standard work speaks, but for its sound: the fields of the one voice that was given."""
    given = [
        name
        for name, value in (("audio", audio), ("create_voice", create_voice), ("use_voice", use_voice))
        if value is not None
    ]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        problems.append(f"audio: {found} given, exactly one of audio, create_voice and use_voice allowed")
        return {}
    if create_voice is not None:
        return _fields("create_voice", create_voice, CreateVoice, ("language", "text"), problems)
    if use_voice is not None:
        names = ("voice_engine_id", "audio_id", "language", "text")
        return _fields("use_voice", use_voice, UseVoice, names, problems)
    return {}


def _fields(
    field: str, voice: Any, cls: type[Any], names: Sequence[str], problems: list[str]
) -> dict[str, Any]:
    if not isinstance(voice, cls):
        problems.append(f"{field}: {type(voice).__name__} found, {cls.__name__} allowed")
        return {}
    return {field: {name: words(f"{field}.{name}", getattr(voice, name), problems) for name in names}}


def settle(problems: list[str]) -> None:
    """Raise everything that was found, together.

    Raises:
        InvalidRequest: something was found. Nothing was sent or billed.

    """
    if problems:
        raise InvalidRequest(problems)
