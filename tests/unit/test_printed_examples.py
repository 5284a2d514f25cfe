"""Every request and answer that the vendors' documents print goes through the client, as a copy of the same shape."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import orjson
import printed_guiji
import printed_hifly
import printed_kling
import printed_yunapi
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from house import House
from printed import Callback, Count, Exchange, Printed, at, differences
from sides import SIDES

import avatarkit
from avatarkit import providers
from avatarkit.errors import InvalidRequest
from avatarkit.models import RawResponse
from avatarkit.protocol.fakewire import FakeRequest, FakeResponse, json_response
from avatarkit.protocol.samples import MP4_HEAD

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PRINTED: dict[str, Printed] = {
    "hifly": printed_hifly.PRINTED,
    "guiji": printed_guiji.PRINTED,
    "kling": printed_kling.PRINTED,
    "yunapi": printed_yunapi.PRINTED,
}


def _rows(rows: Iterable[tuple[str, Any, str]]) -> list[Any]:
    return [pytest.param(provider, row, id=f"{provider}-{name}") for provider, row, name in rows]


EXCHANGES = _rows((name, e, e.name) for name, printed in PRINTED.items() for e in printed.exchanges)
CALLBACKS = _rows((name, c, c.name) for name, printed in PRINTED.items() for c in printed.callbacks)
DOCUMENTS = _rows(
    (name, document, document) for name, printed in PRINTED.items() for document in printed.counts
)
NAMED = _rows(
    (name, (document, operation), f"{document}-{operation}")
    for name, printed in PRINTED.items()
    for document, operations in printed.named.items()
    for operation in operations
)


class Scripted:
    """A vendor that answers every request with the same, and keeps what it was sent."""

    def __init__(self, house: House, answer: Any) -> None:
        self._house = house
        self._fakes = house.side.original(house.box)._world.fakes
        self._fake = self._fakes[house.provider]
        self._answer = answer
        self.heard: list[FakeRequest] = []
        self._fakes[house.provider] = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fake, name)

    def handle(self, request: FakeRequest, world: Any) -> FakeResponse:
        token = self._house.samples.token
        if token is not None and request.path == token.path:
            lent: FakeResponse = self._fake.handle(request, world)
            return lent
        self.heard.append(request)
        return json_response(self._answer)


def _typed(value: Any) -> Any:
    """*value* with each scalar's type beside it: in Python 1, 1.0 and True are equal, on the wire they are not."""
    if isinstance(value, dict):
        return {name: _typed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return type(value).__name__, value


@pytest.mark.parametrize("side_name", list(SIDES))
@pytest.mark.parametrize(("provider", "exchange"), EXCHANGES)
def test_printed_request_is_sent_and_printed_answer_is_read(house: House, exchange: Exchange) -> None:
    """The client's method sends exactly the printed line, query and body, and reads the printed answer."""
    vendor = Scripted(house, exchange.answer)
    client = house.client()

    result = house.method(client, exchange.call)(**exchange.arguments)

    (request,) = vendor.heard
    assert f"{request.method} {request.path}" == exchange.line
    credentials = {name: request.query[name] for name in house.samples.auth_query}
    assert all(credentials.values())
    assert {name: value for name, value in request.query.items() if name not in credentials} == exchange.query
    if exchange.body is None:
        assert request.body == b""
    else:
        assert request.headers["content-type"] == "application/json"
        assert _typed(request.json()) == _typed(exchange.body)
    assert credentials or request.headers["authorization"].startswith("Bearer ")
    assert list(differences(result, exchange.gives)) == []
    response = getattr(result, "response", None)
    assert response is None or response.json() == exchange.answer


@pytest.mark.parametrize(("provider", "exchange"), EXCHANGES)
def test_printed_answer_is_no_error(provider: str, exchange: Exchange) -> None:
    """The operation's reader takes the printed answer for a good one, and does not do so with an empty object."""
    endpoint = next(e for e in providers.spec(provider).endpoints if e.name == exchange.call)
    read = providers.part(provider, "endpoints").read_any(endpoint)

    found = read(RawResponse(200, {}, orjson.dumps(exchange.answer)))

    if endpoint.effect.name == "SUBMIT":
        assert at(found, "task_id").rpartition(":")[2] == exchange.gives["id"].rpartition(":")[2]
    with pytest.raises(avatarkit.AvatarKitError):
        read(RawResponse(200, {}, b"{}"))


@pytest.mark.parametrize(("provider", "callback"), CALLBACKS)
def test_printed_callback_is_read_and_answered(provider: str, callback: Callback) -> None:
    """The printed callback becomes an event of the right task, and is answered as the document prints it."""
    form = providers.part(provider, "callbacks").FORMAT

    event = form.parse({"content-type": "application/json"}, orjson.dumps(callback.body), now=0.0)

    assert list(differences(event, callback.gives)) == []
    assert event.raw == callback.body
    answer = form.answer(event)
    assert answer.status == 200
    if callback.wants is not None:
        said = orjson.loads(answer.body)
        assert said.keys() == callback.wants.keys()
        assert (said["code"], said["success"]) == (callback.wants["code"], callback.wants["success"])
        assert isinstance(said["message"], str)


@pytest.mark.asyncio
async def test_printed_put_of_a_file() -> None:
    """A file goes to the printed kind of address to the letter, with the told content type and without the token."""
    signed = "/up%2Flena.mp4?Expires=1790000000&OSSAccessKeyId=LT71&Signature=a%2BbC%3D"
    puts: list[web.Request] = []

    async def vendor(request: web.Request) -> web.Response:
        if request.method == "PUT":
            puts.append(request)
            assert await request.read() == MP4_HEAD
            return web.Response()
        answer = {"upload_url": str(server.make_url("/")) + signed[1:], "content_type": "video/mp4"}
        return web.json_response({**answer, "file_id": "file_lena", "request_id": "rq71"})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", vendor)
    async with (
        TestServer(app) as server,
        avatarkit.AsyncHiFly("token", base_url=str(server.make_url("/"))) as hifly,
    ):
        options = avatarkit.CallOptions(preflight=False)
        file = await hifly.files.upload(MP4_HEAD, name="lena.mp4", options=options)

    assert file.id == "file_lena"
    (put,) = puts
    assert put.raw_path == signed
    assert put.headers["Content-Type"] == "video/mp4"
    assert put.headers["Content-Length"] == str(len(MP4_HEAD))
    assert "Authorization" not in put.headers


@pytest.mark.parametrize("side_name", list(SIDES))
@pytest.mark.parametrize("provider", ["kling"])
def test_the_wrong_way_to_write_a_picture_is_refused_locally(house: House) -> None:
    """A picture with ``data:`` in front, printed as the wrong way, never goes out."""
    vendor = Scripted(house, printed_kling.CREATE.answer)
    arguments = {**printed_kling.CREATE.arguments, "image": printed_kling.WRONG_PICTURE}

    with pytest.raises(InvalidRequest, match="image"):
        house.method(house.client(), printed_kling.CREATE.call)(**arguments)

    assert vendor.heard == []


@pytest.mark.parametrize(("provider", "document"), DOCUMENTS)
def test_no_example_is_missing(provider: str, document: str) -> None:
    """As many examples are here as were counted in the document."""
    assert PRINTED[provider].found(document) == PRINTED[provider].counts[document]


def test_all_five_documents_are_here() -> None:
    """Five documents, and in all so many examples of each sort."""
    counts = [count for printed in PRINTED.values() for count in printed.counts.values()]

    assert len(counts) == 5
    assert sum(count.requests for count in counts) == 28 + 30 + 17 + 5 + 2
    assert sum(count.answers for count in counts) == 13 + 14 + 17 + 1 + 3
    assert sum(count.callbacks + count.callback_answers for count in counts) == 3 + 3 + 4 + 4


# -- operations ----------------------------------------------------------------------------------------------------


def _table(provider: str) -> list[tuple[str, str]]:
    """The README's rows of a provider: operation and method."""
    title = re.escape(providers.spec(provider).title)
    (table,) = re.findall(
        rf"^\| {title} \| method of.*?\n\|[-|]+\n(.*?)\n\n", README, re.DOTALL | re.MULTILINE
    )
    cells = [[cell.strip() for cell in row.split("|")[1:3]] for row in table.splitlines()]
    return [(operation.replace("`", ""), method.strip("`")) for operation, method in cells]


@pytest.mark.parametrize(("provider", "operation"), NAMED)
def test_every_operation_of_the_documents_is_in_the_table_and_tried(
    provider: str, operation: tuple[str, str]
) -> None:
    """An operation that a document names has its method, its row in the README, and a sample for the sandbox."""
    document, line = operation
    method = PRINTED[provider].named[document][line]
    samples = providers.part(provider, "samples").SAMPLES
    tried = [each.endpoint for each in samples.operations if each.method == method]

    assert tried
    if provider == "yunapi":  # its document names most operations by their menu entry alone
        assert [each.name for each in tried] == [method] * len(tried)
        assert tried[0].source.startswith(line)
        line = f"{tried[0].method} {tried[0].path}"
    elif line.startswith("PUT"):
        assert any(each.uploads for each in samples.operations if each.method == method)
    else:
        assert {f"{each.method} {each.path}" for each in tried} == {line}
    assert (line, method) in _table(provider)


@pytest.mark.parametrize("provider", PRINTED)
def test_every_row_of_the_table_is_in_the_code(provider: str) -> None:
    """No row of the README names an operation or a method that is not there, and none is there twice."""
    rows = _table(provider)
    known = {(f"{e.method} {e.path}", e.name) for e in providers.spec(provider).endpoints}
    named = {(line, m) for lines in PRINTED[provider].named.values() for line, m in lines.items()}

    assert [row for row in rows if row not in known | named] == []
    assert len(rows) == len(set(rows))


def test_counts_tell_what_is_missing() -> None:
    """A document of which one example is left out does not come out even."""
    less = attrs.evolve(printed_kling.PRINTED, exchanges=printed_kling.PRINTED.exchanges[:-1])

    assert less.found("Kling") == Count(requests=2, answers=2)
