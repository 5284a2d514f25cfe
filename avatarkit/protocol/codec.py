"""Vendor JSON into attrs classes, and back into bytes.

The vendors send numbers as strings and strings as numbers, null for absent, fields under two spellings and fields
nobody documented. Wire classes say what is expected; this converter bends the rest:

- scalars are coerced; an optional scalar that cannot be read becomes None, and the raw answer still has it;
- ``wire("video_Url", "video_url")`` names a field's spellings, the documented one first;
- a class with an ``extra`` field keeps there what it does not know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs
import orjson
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, override

from avatarkit.errors import UnexpectedResponse

T = TypeVar("T")
_NAMES = "avatarkit-wire-names"


def wire(*names: str, default: Any = None) -> Any:
    """An attrs field that is read from the first of *names* that holds a value."""
    return attrs.field(default=default, metadata={_NAMES: names})


def _text(value: Any, _: object = None) -> str:
    if value.__class__ is str:
        text: str = value
        return text
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise ValueError("text expected")


def _optional_text(value: Any, _: object = None) -> str | None:
    try:
        return None if value is None else _text(value)
    except ValueError:
        return None


def _optional_int(value: Any, _: object = None) -> int | None:
    number = _optional_float(value)
    return None if number is None else int(number)


def _optional_float(value: Any, _: object = None) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _anything(value: Any, _: object = None) -> Any:
    return value


def _attrs_hook(cls: type[Any], converter: Converter) -> Callable[[Any, Any], Any]:
    fields = attrs.fields(attrs.resolve_types(cls))
    aliases: list[tuple[str, str]] = []
    renames: dict[str, Any] = {}
    known: set[str] = set()
    for field in fields:
        names: tuple[str, ...] = field.metadata.get(_NAMES, (field.name,))
        known.add(names[0])
        aliases += [(alias, names[0]) for alias in names[1:]]
        renames[field.name] = override(omit=True) if field.name == "extra" else override(rename=names[0])
    known.discard("extra")
    base = make_dict_structure_fn(cls, converter, _cattrs_detailed_validation=False, **renames)
    is_known = known.issuperset
    keeps_extra = any(field.name == "extra" for field in fields)

    def structure(value: Any, _: Any) -> Any:
        if value.__class__ is not dict:
            raise ValueError("an object was expected")
        if is_known(value):
            return base(value, cls)
        bent = dict(value)
        for alias, name in aliases:
            other = bent.pop(alias, None)
            if other not in (None, "") and bent.get(name) in (None, ""):
                bent[name] = other
        made = base(bent, cls)
        if keeps_extra:
            made.extra = {key: bent[key] for key in bent.keys() - known}
        return made

    return structure


def make_converter() -> Converter:
    """A fresh converter with avatarkit's tolerance."""
    converter = Converter(detailed_validation=False)
    for kind, hook in (
        (str, _text),
        (str | None, _optional_text),
        (int | None, _optional_int),
        (float | None, _optional_float),
        (Any, _anything),
    ):
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook_factory(attrs.has, _attrs_hook)
    return converter


_converter = make_converter()
_hooks: dict[type[Any], Callable[[Any, Any], Any]] = {}  # cattrs' own look-up costs as much as a small answer


def structure(payload: Any, cls: type[T]) -> T:
    """*payload* (decoded JSON) as *cls*.

    Raises:
        UnexpectedResponse: it does not fit.

    """
    try:
        hook = _hooks.get(cls)
        if hook is None:
            hook = _hooks[cls] = _converter.get_structure_hook(cls)
        made: T = hook(payload, cls)
        return made
    except Exception as error:  # noqa: BLE001
        # cattrs raises whatever a hook or a constructor raises; all of it means one thing here.
        raise UnexpectedResponse(f"the answer does not fit {cls.__name__}: {error}") from None


def decode(body: bytes) -> Any:
    """Bytes as JSON.

    Raises:
        UnexpectedResponse: they are not JSON in UTF-8.

    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        start = body[:60].decode("utf-8", "replace")
        raise UnexpectedResponse(f"the answer is not JSON: {start!r}") from None


def encode(document: Mapping[str, Any]) -> bytes:
    """A JSON object as bytes."""
    return orjson.dumps(document)


def without_none(**fields: Any) -> dict[str, Any]:
    """The fields that were given; avatarkit never sends null."""
    return {name: value for name, value in fields.items() if value is not None}
