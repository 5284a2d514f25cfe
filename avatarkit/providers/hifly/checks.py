"""Checking HiFly's request fields locally, and putting them into the vendor's form."""

from __future__ import annotations

from typing import Any

from avatarkit.errors import InvalidRequest
from avatarkit.models import Avatar, Subtitle, Voice
from avatarkit.providers.hifly import limits

_SUBTITLE_INTS = ("font_size", "width", "height", "pos_x", "pos_y")


def identifier(field: str, value: str | Avatar | Voice, problems: list[str]) -> str:
    """An avatar's or voice's id; adds a problem when it is empty or not one."""
    text = value.id if isinstance(value, Avatar | Voice) else value
    if (isinstance(value, Avatar) and field == "voice") or (isinstance(value, Voice) and field == "avatar"):
        problems.append(f"{field}: a {type(value).__name__} was given")
        return ""
    if not isinstance(text, str) or not text.strip():
        problems.append(f"{field}: an id is needed")
        return ""
    return text.strip()


def title_or_none(title: str | None, problems: list[str], *, field: str = "title") -> str | None:
    """A title within the vendor's limit, counted in characters."""
    if title is None:
        return None
    if not isinstance(title, str):
        problems.append(f"{field}: text is needed")
        return None
    problems += limits.TITLE.check(field, title)
    return title


def spoken_text(text: str, problems: list[str]) -> str:
    """Text to be spoken within the vendor's limits."""
    if not isinstance(text, str):
        problems.append("text: text is needed")
        return ""
    problems += limits.TEXT.check("text", text)
    return text


def flag(value: int | None, problems: list[str]) -> int | None:
    """``aigc_flag``: the vendor wants an int, not a boolean."""
    if value is not None and (isinstance(value, bool) or value not in (0, 1, 2)):
        problems.append(f"aigc_flag: {value!r} found, 0, 1 or 2 allowed")
    return value


def one_of(field: str, value: int | None, allowed: tuple[int, ...], problems: list[str]) -> int | None:
    """A number out of a few."""
    if value is not None and (isinstance(value, bool) or value not in allowed):
        choices = ", ".join(map(str, allowed))
        problems.append(f"{field}: {value!r} found, one of {choices} allowed")
    return value


def page_numbers(page: int, size: int, kind: int = 1) -> None:
    """Page, size and kind of a list.

    Raises:
        InvalidRequest: one is not a positive number.

    """
    problems = [
        f"{field}: {value!r} found, a whole number of at least 1 allowed"
        for field, value in (("page", page), ("size", size), ("kind", kind))
        if isinstance(value, bool) or not isinstance(value, int) or value < 1
    ]
    if problems:
        raise InvalidRequest(problems)


def subtitle_fields(subtitle: Subtitle | bool | None, problems: list[str]) -> dict[str, Any]:  # noqa: FBT001
    """The nine ``st_*`` fields, only those that were given."""
    if subtitle is None:
        return {}
    if isinstance(subtitle, bool):
        subtitle = Subtitle(show=subtitle)
    fields: dict[str, Any] = {"st_show": 1 if subtitle.show else 0}
    if subtitle.font_name is not None:
        fields["st_font_name"] = subtitle.font_name
    for name in ("primary_color", "outline_color"):
        colour = getattr(subtitle, name)
        if colour is not None:
            problems += limits.COLOUR.check(f"subtitle.{name}", str(colour))
            fields[f"st_{name}"] = colour
    for name in _SUBTITLE_INTS:
        number = getattr(subtitle, name)
        if number is None:
            continue
        low = 0 if name.startswith("pos") else 1
        if isinstance(number, bool) or not isinstance(number, int) or number < low:
            problems.append(f"subtitle.{name}: {number!r} found, a whole number of at least {low} allowed")
        fields[f"st_{name}"] = number
    return fields


def settle(problems: list[str]) -> None:
    """Raise everything that was found, together.

    Raises:
        InvalidRequest: something was found. Nothing was sent or billed.

    """
    if problems:
        raise InvalidRequest(problems)
