"""Its two operations, how their answers are read, and the provider as the engine sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import attrs

from avatarkit.errors import AuthenticationError, BadRequest, ProviderFault, UnexpectedResponse
from avatarkit.models import Kind, RawResponse, Snapshot, Status
from avatarkit.protocol.codec import decode
from avatarkit.protocol.endpoint import Accepted, Effect, Endpoint, ProviderSpec, Request, TaskKind

CREATE = Endpoint(
    name="videos.create", method="POST", path="/videos", effect=Effect.SUBMIT, billed=True, kind=Kind.VIDEO
)
LOOK = Endpoint(name="videos.task", method="GET", path="/videos/{id}", kind=Kind.VIDEO)


def _answer(endpoint: Endpoint, response: RawResponse) -> dict[str, Any]:
    facts: dict[str, Any] = {"provider": "fifth", "endpoint": endpoint.name, "response": response}
    facts["http_status"] = response.status
    if response.status == 401:
        raise AuthenticationError("the key is not accepted", **facts)
    if response.status >= 500:
        raise ProviderFault(f"HTTP {response.status}", **facts)
    payload = decode(response.body)
    if not isinstance(payload, dict) or "id" not in payload:
        error = BadRequest if response.status == 400 else UnexpectedResponse
        raise error("no task in the answer", **facts)
    return payload


def read_any(endpoint: Endpoint) -> Callable[[RawResponse], Any]:
    """The reader of *endpoint*'s answers."""

    def created(response: RawResponse) -> Accepted:
        return Accepted(task_id=str(_answer(endpoint, response)["id"]), response=response)

    def looked(response: RawResponse) -> Snapshot:
        found = _answer(endpoint, response)
        raw, url = str(found.get("status")), found.get("url")
        status = Status(raw) if raw in set(Status) else Status.UNKNOWN
        return Snapshot(status=status, raw_status=raw, result={"url": url} if url else {}, response=response)

    return created if endpoint is CREATE else looked


def _look(task_id: str) -> Request[Snapshot]:
    return Request(attrs.evolve(LOOK, path=f"/videos/{quote(task_id, safe='')}"), read_any(LOOK))


SPEC = ProviderSpec(
    name="fifth",
    title="Fifth",
    base_url="https://api.fifth.example",
    base_url_variable="FIFTH_BASE_URL",
    credentials=("FIFTH_KEY",),
    kinds={Kind.VIDEO: TaskKind(kind=Kind.VIDEO, look=_look)},
    endpoints=(CREATE, LOOK),
    per_second=20.0,
)
