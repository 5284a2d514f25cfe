"""The envelope around every answer of Kling's: what is good, what is refused, what is none of the vendor's shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avatarkit.errors import (
    AuthenticationError,
    ProviderError,
    ProviderFault,
    RateLimited,
    UnexpectedResponse,
)
from avatarkit.models import RawResponse
from avatarkit.protocol.codec import decode, structure
from avatarkit.protocol.endpoint import Effect, Endpoint
from avatarkit.protocol.outcome import retry_after
from avatarkit.providers.kling import codes, wire


def facts(endpoint: Endpoint, response: RawResponse) -> dict[str, Any]:
    """What every error of an answer is told."""
    return {
        "provider": "kling",
        "endpoint": endpoint.name,
        "http_status": response.status,
        "retry_after": retry_after(response),
        "response": response,
    }


def outside_shape(endpoint: Endpoint, response: RawResponse, what: str) -> ProviderError:
    """The error for an answer in none of the vendor's shapes: *what* is wrong with it, unless its status tells more."""
    known = facts(endpoint, response)
    if response.status == 401:
        return AuthenticationError(codes.UNAUTHORIZED.meaning, hint=codes.UNAUTHORIZED.hint, **known)
    if response.status == 429 and endpoint.effect is not Effect.SUBMIT and not endpoint.billed:
        return RateLimited("too many requests", **known)
    if response.status >= 500:
        return ProviderFault(f"HTTP {response.status} without a readable answer", **known)
    return UnexpectedResponse(what, **known)


def _is_wrong_address(payload: Mapping[str, Any], response: RawResponse) -> bool:
    return response.status == 404 and payload.get("status") == 404 and {"timestamp", "path"} <= payload.keys()


def refused(
    endpoint: Endpoint, response: RawResponse, code: str, message: str, request_id: str
) -> ProviderError:
    """The error for an answer that refuses with *code*."""
    said = message.strip()
    rule = codes.rule_for(code, said, response.status)
    text = f"{rule.meaning}: {said}" if said and said != rule.meaning else rule.meaning
    return rule.error(text, code=code, request_id=request_id, hint=rule.hint, **facts(endpoint, response))


def code_of(value: Any) -> str | None:
    """A code as text, ``""`` when there is none; None when it is neither number nor text."""
    if isinstance(value, bool) or not isinstance(value, int | str | float | None):
        return None
    return "" if value is None else str(value).strip().removesuffix(".0")


def data_of(endpoint: Endpoint, response: RawResponse) -> Any:
    """What a good answer holds.

    Raises:
        ProviderError: the vendor refused, or the answer is in none of its shapes.

    """
    try:
        payload = decode(response.body)
        if not isinstance(payload, dict):
            raise UnexpectedResponse("the answer is not a JSON object")
        envelope = structure(payload, wire.Envelope)
    except UnexpectedResponse as error:
        raise outside_shape(endpoint, response, error.message) from None
    code = code_of(envelope.code)
    if code is None:
        raise outside_shape(endpoint, response, "the answer's code is neither number nor text")
    if code == "" and _is_wrong_address(payload, response):
        raise codes.NO_ROUTE.error(
            codes.NO_ROUTE.meaning, hint=codes.NO_ROUTE.hint, **facts(endpoint, response)
        )
    if code == "" or (code == "0" and response.status != 200):
        raise outside_shape(endpoint, response, f"HTTP {response.status} with code {code or 'missing'}")
    if code != "0":
        raise refused(endpoint, response, code, envelope.message, envelope.request_id)
    return envelope.data
