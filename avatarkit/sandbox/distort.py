"""Faults that can be written as a change of the answer: pure functions from answer to answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import orjson

from avatarkit.protocol.fakewire import FakeResponse
from avatarkit.sandbox.faults import GATEWAY_PAGE, Fault, FaultKind

_STATUS_FIELDS = frozenset({"status", "task_status", "synthesisstatus", "trainstatus", "state"})
_HUGE = 64 * 1024 * 1024
_HTML = "text/html; charset=utf-8"
_JSON = "application/json; charset=utf-8"

FIELD_KINDS = frozenset(
    {
        FaultKind.UNKNOWN_STATUS,
        FaultKind.EMPTY_URL,
        FaultKind.EXPIRED_URL,
        FaultKind.NUMBERS_AS_STRINGS,
        FaultKind.STRINGS_AS_NUMBERS,
        FaultKind.CODE_AS_STRING,
        FaultKind.EXTRA_FIELDS,
        FaultKind.CHANGE_FIELDS,
    }
)
"""Kinds that change fields of a JSON answer, and count only when they changed one."""


def distort(fault: Fault, reply: FakeResponse, expire: Callable[[str], str]) -> FakeResponse:
    """*reply* as the fault leaves it; the same object when it changes nothing.

    *expire* turns a working URL of a result into one that is expired.
    """
    if fault.kind in FIELD_KINDS:
        return _distort_fields(fault, reply, expire)
    if fault.kind is FaultKind.ANSWER:
        headers = {"content-type": fault.content_type}
        if fault.retry_after is not None:
            headers["retry-after"] = fault.retry_after
        return attrs.evolve(reply, status=fault.status, headers=headers, body=fault.body)
    if fault.kind is FaultKind.REDIRECT:
        return attrs.evolve(reply, status=307, headers={"location": fault.location}, body=b"")
    if fault.kind is FaultKind.TRUNCATED:
        return attrs.evolve(reply, body=reply.body[: len(reply.body) // 2])
    if fault.kind is FaultKind.JSON_AS_HTML:
        return attrs.evolve(reply, headers={**reply.headers, "content-type": _HTML})
    if fault.kind is FaultKind.HTML_AS_JSON:
        return attrs.evolve(reply, headers={**reply.headers, "content-type": _JSON}, body=GATEWAY_PAGE)
    if fault.kind is FaultKind.HUGE and reply.body.startswith(b"{"):
        padding = b"x" * (_HUGE if fault.size is None else fault.size)
        return attrs.evolve(reply, body=b'{"x_padding":"' + padding + b'",' + reply.body[1:])
    if fault.kind is FaultKind.INVALID_UTF8:
        # Inside a string, so that only the encoding is wrong and not the JSON.
        return attrs.evolve(reply, body=reply.body.replace(b'":"', b'":"\xff\xfe', 1))
    return reply


def _distort_fields(fault: Fault, reply: FakeResponse, expire: Callable[[str], str]) -> FakeResponse:
    try:
        data = orjson.loads(reply.body)
    except ValueError:
        return reply
    if fault.kind is FaultKind.CHANGE_FIELDS and isinstance(data, dict):
        merged = {**data, **fault.fields}
        changed = {
            name: value for name, value in merged.items() if name not in fault.fields or value is not None
        }
    else:
        changed = _walk(data, "", _CHANGES[fault.kind](fault, expire))
        if fault.kind is FaultKind.EXTRA_FIELDS:
            changed = _with_extra(changed)
    return reply if changed == data else attrs.evolve(reply, body=orjson.dumps(changed))


_Leaf = Callable[[str, Any], Any]


def _walk(value: Any, name: str, change: _Leaf) -> Any:
    if isinstance(value, dict):
        return {key: _walk(inner, key, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_walk(inner, name, change) for inner in value]
    return change(name, value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_url(name: str, value: object) -> bool:
    named = name.lower().endswith("url")
    return isinstance(value, str) and (named or value.startswith(("http://", "https://")))


def _unknown_status(fault: Fault, _expire: Callable[[str], str]) -> _Leaf:
    return lambda name, value: fault.value if name.lower() in _STATUS_FIELDS else value


def _empty_url(_fault: Fault, _expire: Callable[[str], str]) -> _Leaf:
    return lambda name, value: "" if _is_url(name, value) else value


def _expired_url(_fault: Fault, expire: Callable[[str], str]) -> _Leaf:
    return lambda name, value: expire(value) if _is_url(name, value) else value


def _strings(_fault: Fault, _expire: Callable[[str], str]) -> _Leaf:
    return lambda _name, value: str(value) if _is_number(value) else value


def _numbers(_fault: Fault, _expire: Callable[[str], str]) -> _Leaf:
    return lambda _name, value: (
        int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    )


def _code(_fault: Fault, _expire: Callable[[str], str]) -> _Leaf:
    return lambda name, value: str(value) if name == "code" else value


def _same(_fault: Fault, _expire: Callable[[str], str]) -> _Leaf:
    return lambda _name, value: value


_CHANGES: dict[FaultKind, Callable[[Fault, Callable[[str], str]], _Leaf]] = {
    FaultKind.UNKNOWN_STATUS: _unknown_status,
    FaultKind.EMPTY_URL: _empty_url,
    FaultKind.EXPIRED_URL: _expired_url,
    FaultKind.NUMBERS_AS_STRINGS: _strings,
    FaultKind.STRINGS_AS_NUMBERS: _numbers,
    FaultKind.CODE_AS_STRING: _code,
    FaultKind.EXTRA_FIELDS: _same,
    FaultKind.CHANGE_FIELDS: _same,
}


def _with_extra(value: Any) -> Any:
    if isinstance(value, dict):
        inner = {key: _with_extra(item) for key, item in value.items()}
        return {**inner, "x_new_field": {"nested": [1, None]}, "x_flag": True}
    return [_with_extra(item) for item in value] if isinstance(value, list) else value
