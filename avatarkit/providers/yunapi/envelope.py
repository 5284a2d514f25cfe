"""Opening YunApi's answers: five envelopes, and the shapes in which its software families refuse.

Refusals, all accepted from every operation::

    {"code": "0", "msg": "..."}                              agent_api.php, with HTTP 200
    {"code": "some_words", "message": "...", "data": null}   the gateway, on tasks
    {"error": {"message": "...", "code": "..."}}             the gateway, on credentials, money, routing
    {"message": "...", "status": 401}                        fish.audio

HTTP 401 and 402 refuse whatever their body; 400 refuses with any JSON text, since remakes document the status and not
the body. Anything else is in none of the shapes: of a submission it is not known then whether it was accepted.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Final, TypeVar

from avatarkit.errors import ProviderError, ProviderFault, RateLimited, UnexpectedResponse
from avatarkit.models import RawResponse
from avatarkit.protocol.codec import decode, structure
from avatarkit.protocol.endpoint import Effect, Endpoint
from avatarkit.protocol.outcome import retry_after
from avatarkit.providers.yunapi import codes

T = TypeVar("T")

GATEWAY_OK: Final = frozenset({"0", "200", "success"})
"""The document's text says 200, its example 0, the twins say ``success``."""
AGENT_OK: Final = frozenset({"1", "200", "success"})
"""The document says ``"1"`` and prints both ``"1"`` and ``1``; 0 is a refusal here."""
REMAKE_OK: Final = frozenset({"0", "1", "200", "success"})

_REQUEST_ID = re.compile(r"\(request id: ([\w.-]{4,80})\)", re.IGNORECASE)
_NO_NEWS = frozenset({"", "ok", "success", "succeed", "成功", "请求成功", "操作成功", "null", "none"})


def scalar(value: Any) -> str | None:
    """A number or a word as text, ``""`` for null; None for anything that is no word (booleans, lists)."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def identifier(value: Any) -> str:
    """An id, which may come as text or as a whole number; ``""`` for anything else."""
    return "" if isinstance(value, float) else (scalar(value) or "")


def news(text: Any) -> str:
    """What a message says, ``""`` for the many ways of saying nothing."""
    said = text.strip() if isinstance(text, str) else ""
    return "" if said.lower() in _NO_NEWS else said


def opened(
    endpoint: Endpoint,
    response: RawResponse,
    ok: Collection[str],
    *,
    code_needed: bool = True,
    http: Collection[int] = (200,),
) -> dict[str, Any]:
    """The answer's object, when it says yes.

    Args:
        endpoint: which operation was asked.
        response: the answer.
        ok: values of ``code`` that mean yes.
        code_needed: whether a good answer has a code.
        http: statuses of a good answer.

    Raises:
        ProviderError: it says no, or cannot be understood.

    """
    payload = _decoded(endpoint, response)
    error = payload.get("error")
    if isinstance(error, dict) or (isinstance(error, str) and news(error)):
        raise refused(endpoint, response, _code_of(error), _text_of(payload))
    code = scalar(payload.get("code"))
    if code is None:
        raise outside(endpoint, response, "the answer's code is neither number nor text")
    said = _error_status(payload) if code == "" else ""
    if said:
        raise refused(endpoint, response, said, _text_of(payload))
    if code.lower() in ok or (code == "" and not code_needed):
        if response.status in http:
            return payload
        if code:
            raise outside(endpoint, response, f"HTTP {response.status} with code {code}")
    if code:
        raise refused(endpoint, response, code, _text_of(payload))
    if response.status == 400 and _text_of(payload):
        raise refused(endpoint, response, "", _text_of(payload))
    raise outside(endpoint, response, f"HTTP {response.status} with neither code nor error")


def _error_status(payload: dict[str, Any]) -> str:
    """The HTTP status that fish.audio repeats in its refusals; ``""`` for anything else."""
    status = scalar(payload.get("status")) or ""
    plain = len(status) == 3 and status.isascii() and status.isdigit() and status[0] in "45"
    return status if plain and news(payload.get("message")) else ""


def _decoded(endpoint: Endpoint, response: RawResponse) -> dict[str, Any]:
    try:
        payload = decode(response.body)
    except UnexpectedResponse as error:
        if response.status in (401, 402):
            raise refused(endpoint, response, "", "") from None
        raise outside(endpoint, response, str(error)) from None
    if response.status in (401, 402):
        known = payload if isinstance(payload, dict) else {}
        raise refused(endpoint, response, _code_of(known.get("error")) or _code_of(known), _text_of(known))
    if not isinstance(payload, dict):
        raise outside(endpoint, response, "the answer is not a JSON object")
    return payload


def _code_of(holder: Any) -> str:
    return (scalar(holder.get("code")) or "") if isinstance(holder, dict) else ""


def _text_of(payload: dict[str, Any]) -> str:
    error = payload.get("error")
    inner = error.get("message") if isinstance(error, dict) else error
    for text in (payload.get("message"), payload.get("msg"), inner, payload.get("detail")):
        if news(text):
            return str(text).strip()
    return ""


def refused(endpoint: Endpoint, response: RawResponse, code: str, text: str) -> ProviderError:
    """The error of an answer that says no."""
    rule = codes.rule_for(response.status, code, text)
    found = _REQUEST_ID.search(text)
    return rule.error(
        f"{rule.meaning}: {text}" if text and text != rule.meaning else rule.meaning,
        provider="yunapi",
        endpoint=endpoint.name,
        code=code,
        http_status=response.status,
        request_id=found[1] if found else str(response.headers.get("x-oneapi-request-id", "")),
        retry_after=retry_after(response),
        response=response,
        hint=rule.hint,
    )


def outside(endpoint: Endpoint, response: RawResponse, what: str) -> ProviderError:
    """The error of an answer in none of the shapes."""
    facts: dict[str, Any] = {
        "provider": "yunapi",
        "endpoint": endpoint.name,
        "http_status": response.status,
        "retry_after": retry_after(response),
        "response": response,
    }
    costs = endpoint.effect is Effect.SUBMIT or endpoint.billed
    if response.status == 429 and not costs:
        return RateLimited("too many requests", **facts)
    if response.status >= 500:
        return ProviderFault(f"HTTP {response.status} without a readable answer", **facts)
    return UnexpectedResponse(what, **facts)


def shaped(endpoint: Endpoint, response: RawResponse, payload: Any, cls: type[T]) -> T:
    """*payload* as *cls*; UnexpectedResponse with the facts of the answer when it does not fit."""
    try:
        return structure(payload, cls)
    except UnexpectedResponse as error:
        raise outside(endpoint, response, str(error)) from None
