"""Checking YunApi's request fields locally, and putting them into the vendor's form. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avatarkit.errors import InvalidRequest
from avatarkit.models import Avatar, UploadedFile, Voice
from avatarkit.protocol.limits import MediaRule, RangeRule
from avatarkit.providers.yunapi import limits
from avatarkit.providers.yunapi.models import CreateVoice, UseVoice
from avatarkit.providers.yunapi.refs import Ref, parse

STAGING = (
    "YunApi takes material only by URL and has no upload: put the file where the vendor can fetch it (staging), "
    "and give its http(s) URL."
)


def url(field: str, media: Any, rule: MediaRule, problems: list[str]) -> str:
    """The URL of material that the vendor fetches. Local material is a problem: it needs a staging first."""
    if isinstance(media, UploadedFile):
        problems.append(f"{field}: an uploaded file found, a URL allowed")
        return ""
    if not isinstance(media, str) or "://" not in media[:12]:
        problems.append(f"{field}: local material found, an http(s) URL allowed; a staging is needed")
        return ""
    lowered = media[:8].lower()
    if not lowered.startswith(("http://", "https://")) or any(char.isspace() for char in media):
        problems.append(f"{field}: not an http(s) URL")
        return ""
    problems += rule.check_url(field, media)
    return media


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
    """The one field that says what a standard work speaks."""
    given = [
        name
        for name, value in (("audio", audio), ("create_voice", create_voice), ("use_voice", use_voice))
        if value is not None
    ]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        problems.append(f"audio: {found} given, exactly one of audio, create_voice and use_voice allowed")
        return {}
    if audio is not None:
        return {"audio_url": url("audio", audio, limits.SPEECH, problems)}
    return _cloned(create_voice, problems) if create_voice is not None else _stock(use_voice, problems)


def _cloned(voice: Any, problems: list[str]) -> dict[str, Any]:
    if not isinstance(voice, CreateVoice):
        problems.append(f"create_voice: {type(voice).__name__} found, CreateVoice allowed")
        return {}
    fields = {
        "audio_url": url("create_voice.audio_url", voice.audio_url, limits.VOICE_SAMPLE, problems),
        "language": words("create_voice.language", voice.language, problems),
        "text": words("create_voice.text", voice.text, problems),
    }
    return {"create_voice": fields}


def _stock(voice: Any, problems: list[str]) -> dict[str, Any]:
    if not isinstance(voice, UseVoice):
        problems.append(f"use_voice: {type(voice).__name__} found, UseVoice allowed")
        return {}
    names = ("voice_engine_id", "audio_id", "language", "text")
    return {"use_voice": {name: words(f"use_voice.{name}", getattr(voice, name), problems) for name in names}}


def settle(problems: list[str]) -> None:
    """Raise everything that was found, together.

    Raises:
        InvalidRequest: something was found. Nothing was sent or billed.

    """
    if problems:
        staging = any("a staging is needed" in problem for problem in problems)
        raise InvalidRequest(problems, hint=STAGING if staging else "")

