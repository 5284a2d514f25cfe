"""Steps as JSON: what is no JSON becomes an object with one key that begins with ``$``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from avatarkit.errors import InvalidHandle
from avatarkit.models import Avatar, Kind, Subtitle, UploadedFile, Voice
from avatarkit.protocol.plan import Made, Step


def step_to_json(step: Step) -> list[Any]:
    """*step* as JSON.

    Raises:
        InvalidHandle: it holds material that cannot be written down.

    """
    makes = None if step.makes is None else step.makes.value
    return [step.operation, makes, step.named_by, _plain(dict(step.arguments)), dict(step.keeps)]


def step_from_json(fields: Any) -> Step:
    """The step that :func:`step_to_json` wrote; ValueError, TypeError or the like when it is none."""
    operation, makes, named_by, arguments, keeps = fields
    return Step(
        operation=str(operation),
        makes=None if makes is None else Kind(makes),
        named_by=str(named_by),
        arguments={str(key): _lively(value) for key, value in arguments.items()},
        keeps={str(key): str(value) for key, value in keeps.items()},
    )


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Made):
        return {"$made": [value.step, value.name]}
    if isinstance(value, Avatar | Voice):
        return value.id
    if isinstance(value, UploadedFile):
        return {"$file": [value.id, value.sha256, value.size]}
    if isinstance(value, Subtitle):
        return {"$subtitle": attrs.asdict(value)}
    if isinstance(value, os.PathLike):
        return {"$path": str(Path(os.fspath(value)).absolute())}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    raise InvalidHandle(
        f"a later step needs a {type(value).__name__}, which cannot be written down",
        hint="Give material as a path or a URL.",
    )


def _lively(value: Any) -> Any:
    if isinstance(value, list):
        return [_lively(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$made" in value:
        return Made(int(value["$made"][0]), str(value["$made"][1]))
    if "$file" in value:
        file_id, sha256, size = value["$file"]
        return UploadedFile(id=str(file_id), sha256=str(sha256), size=int(size))
    if "$subtitle" in value:
        return Subtitle(**value["$subtitle"])
    if "$path" in value:
        return Path(str(value["$path"]))
    return {str(key): _lively(item) for key, item in value.items()}
