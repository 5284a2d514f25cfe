"""Every operation of every provider's documents works and sends exactly what is documented."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from house import House

from avatarkit import providers
from avatarkit.errors import AvatarKitError
from avatarkit.models import RawResponse, Status
from avatarkit.protocol.endpoint import Effect
from avatarkit.protocol.fakewire import FakeRequest
from avatarkit.protocol.samples import Answer, Operation, Something

pytestmark = pytest.mark.usefixtures("every_login")


def _said(house: House, request: FakeRequest) -> Mapping[str, Any]:
    """What *request* says: its body's fields, or its query without credentials."""
    if request.method == "POST":
        fields: Mapping[str, Any] = getattr(house.fake, "decode", FakeRequest.json)(request)
        return fields
    return {name: value for name, value in request.query.items() if name not in house.samples.auth_query}


def _matches(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    if found.keys() != wanted.keys():
        return False
    return all(
        (isinstance(found[name], str) and found[name].strip() != "")
        if isinstance(value, Something)
        else (found[name] == value and type(found[name]) is type(value))
        for name, value in wanted.items()
    )


def test_works_and_sends_the_documented_fields(house: House, operation: Operation) -> None:
    """A call reaches its endpoint once, with exactly the documented fields in the documented types.

    Its result is of the promised class; a submission's task ends well and yields what it should.
    """
    client = house.client()
    arguments = house.arguments(client, operation)
    with house.listening() as heard:
        result = house.method(client, operation.method)(**arguments)
        if operation.iterates:
            result = next(iter(list(result)))
    name = type(house.side.original(result)).__name__.removeprefix("Async")
    assert name == operation.gives
    sent = [r for r in heard if house.at(r) == (operation.endpoint.method, operation.endpoint.path)]
    assert len(sent) == 1
    assert _matches(_said(house, sent[0]), house.filled(client, operation.sends))
    assert len(heard) - len(sent) == (operation.uploads if operation.endpoint.effect is Effect.SUBMIT else 0)
    assert sum(house.box.seen.uploads.values()) >= operation.uploads
    assert house.box.seen.authorization == []
    if operation.yields:
        made = result.wait()
        assert (result.kind, result.status) == (operation.yields, Status.SUCCEEDED)
        assert type(house.side.original(made)).__name__.removeprefix("Async").lower() == operation.yields
        if hasattr(made, "read"):
            assert len(made.read()) == 4096


def test_post_bodies_are_labelled_as_json_and_gets_have_none(house: House) -> None:
    """A POST says ``application/json``; a GET has neither body nor content type."""
    client = house.client()
    with house.listening() as heard:
        task = house.submit(client)
        task.wait()
    posts = [request for request in heard if request.method == "POST"]
    gets = [request for request in heard if request.method == "GET"]
    assert [request.headers["content-type"] for request in posts] == ["application/json"]
    assert gets
    assert all(request.body == b"" and "content-type" not in request.headers for request in gets)


def test_no_operation_is_missing(provider: str) -> None:
    """The samples know every endpoint of the provider and every public method of its client's resources."""
    samples = providers.part(provider, "samples").SAMPLES
    spec = providers.spec(provider)
    assert {o.endpoint.name for o in samples.operations} == {e.name for e in spec.endpoints}
    cls = providers.client_class(provider)
    methods = set()
    for name, value in vars(cls).items():
        if not name.startswith("_") and isinstance(value, property) and value.fget is not None:
            module = __import__(cls.__module__, fromlist=["*"])
            resource = getattr(module, value.fget.__annotations__["return"])
            methods |= {f"{name}.{m}" for m in vars(resource) if not m.startswith("_")}
    assert methods == {o.method for o in samples.operations}


def test_answers_are_read_as_they_should_be(provider: str, answer: Answer) -> None:
    """Each composed answer, good or odd, becomes the right data or the right class of error; the raw answer stays."""
    body = answer.body if isinstance(answer.body, bytes) else orjson.dumps(answer.body)
    response = RawResponse(answer.status, answer.headers, body)
    read = providers.part(provider, "endpoints").read_any(answer.endpoint)
    if answer.raises is not None:
        with pytest.raises(AvatarKitError) as caught:
            read(response)
        assert type(caught.value) is answer.raises
        assert (caught.value.endpoint, caught.value.http_status) == (answer.endpoint.name, answer.status)  # type: ignore[attr-defined]
        assert caught.value.response is response  # type: ignore[attr-defined]
        return
    found = read(response)
    for name, value in (answer.gives or {}).items():
        assert getattr(found, name) == value
    assert answer.gives is None or found.response is response
