"""What stands in one cell of a manifest, read as what its column is for. What is wrong with it is a ValueError."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import attrs
import orjson

from avatarkit.bulk.manifest_csv import CELL_LIMIT
from avatarkit.bulk.specs import Mistake
from avatarkit.models import Subtitle

KEY_LIMIT = 200
"""The longest key, in characters."""

_NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,30})?([eE][+-]?\d{1,2})?")
# Spreadsheets write their own language's words.
_YES = frozenset(
    {
        "true",
        "t",
        "yes",
        "y",
        "on",
        "1",
        "x",
        "ok",
        "✓",
        "✔",
        "是",
        "是的",
        "有",
        "开",
        "開",
        "对",
        "對",
        "真",
    }
    | {
        "wahr",
        "ja",
        "vrai",
        "oui",
        "verdadero",
        "sí",
        "si",
        "vero",
        "sì",
        "sim",
        "verdadeiro",
        "истина",
        "да",
    }
)
_NO = frozenset(
    {
        "false",
        "f",
        "no",
        "n",
        "off",
        "0",
        "none",
        "-",
        "✗",
        "✘",
        "否",
        "无",
        "無",
        "关",
        "關",
        "错",
        "錯",
        "假",
        "不",
    }
    | {"falsch", "nein", "faux", "non", "falso", "não", "nao", "ложь", "нет", "没有"}
)


def text_cell(value: Any) -> str:
    """A text, blanks at its ends left out; whole numbers and paths count as text. Raises ValueError."""
    if value.__class__ is not str:
        value = _as_text(value)
    if len(value) > CELL_LIMIT:
        raise ValueError(f"{len(value):,} characters found, at most {CELL_LIMIT:,} allowed")
    if "\0" in value:
        raise ValueError("character U+0000 found, only text that can be sent allowed")
    text: str = value.strip()
    return text


def _as_text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and -(1 << 63) <= value < 1 << 64:
        return str(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} found, text allowed")
    return str(value)


def key_cell(text: str) -> str:
    """A key that can be printed. Raises ValueError."""
    if text.startswith("@"):
        raise ValueError("a text that begins with @ found, another one allowed")
    if len(text) > KEY_LIMIT:
        raise ValueError(f"{len(text):,} characters found, at most {KEY_LIMIT} allowed")
    if not text.isprintable():
        raise ValueError("a character that cannot be printed found, none allowed")
    return text


def shown_cell(value: Any) -> str:
    """Anything as text, for names and reports. Raises ValueError."""
    if isinstance(value, str):
        return text_cell(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if not isinstance(value, int) else text_cell(value)
    try:
        text = orjson.dumps(value, default=str).decode()
        text = str(orjson.loads(text)) if text.startswith('"') else text  # a date, a decimal number
    except TypeError:
        raise ValueError(f"{type(value).__name__} found, plain data allowed") from None
    return text_cell(text)


def loaded_cell(text: str) -> Any:
    """JSON. Raises ValueError."""
    try:
        return orjson.loads(text_cell(text))
    except ValueError:
        raise ValueError("text that is no JSON found, a JSON object allowed") from None


def option_cell(value: Any) -> Any:
    """An option's value: numbers, true, false and JSON are what they look like; all else is text."""
    if not isinstance(value, str):
        return value
    text = text_cell(value)
    if text.casefold() in ("true", "false"):
        return text.casefold() == "true"
    if _NUMBER.fullmatch(text) or text[:1] in ('"', "[", "{"):
        try:
            return orjson.loads(text)
        except ValueError:
            return text
    return text


def subtitles_cell(value: Any) -> bool | Subtitle:
    """Yes or no in many spellings, or a JSON object of :class:`Subtitle`'s fields. Raises ValueError."""
    if isinstance(value, bool | Subtitle):
        return value
    if isinstance(value, str):
        word = text_cell(value).casefold()
        if word in _YES or word in _NO:
            return word in _YES
        value = loaded_cell(value) if word.startswith("{") else value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if not isinstance(value, Mapping):
        raise ValueError(f"{str(value)[:40]!r} found, true, false or a JSON object allowed")
    names = {each.name for each in attrs.fields(Subtitle)}
    unknown = sorted(str(name)[:40] for name in value if name not in names)
    if unknown:
        raise ValueError(f"{', '.join(unknown)} found, {', '.join(sorted(names))} allowed")
    return Subtitle(**value)


def mistake_of(problem: str, line: int) -> Mistake:
    """A problem as checks write it, ``field: figure found, figure allowed``, as a mistake of its column."""
    field, colon, rest = problem.partition(": ")
    if not colon or not field.replace("_", "").replace(".", "").isalnum():
        return Mistake(line=line, column="", message=problem)
    return Mistake(line=line, column=field, message=rest)
