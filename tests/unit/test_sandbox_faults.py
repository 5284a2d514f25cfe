"""Each scripted fault shows on the wire exactly what it promises, and creates a task only when it says so."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import threading

import aiohttp
import pytest
from yarl import URL

from avatarkit.errors import InvalidRequest
from avatarkit.protocol.fakewire import FakeResponse, json_response
from avatarkit.providers.hifly.fake import public_id
from avatarkit.sandbox import PRESETS, AsyncSandbox, Fault, FaultKind, Faults, answer
from avatarkit.sandbox.distort import distort
from avatarkit.testing import VirtualClock, run_virtual

TTS = {
    "voice": public_id("voice", 1),
    "avatar": public_id("avatar", 1),
    "text": "hello world",
    "title": "job",
}
CREATE = "POST /video/create_by_tts"


class Wire:
    """A sandbox and a session, with the answer to one request as (status, headers, body)."""

    def __init__(self, sandbox, session):
        self.sandbox, self.session = sandbox, session
        self.base = sandbox.base_url("hifly")

    async def create(self, **options):
        return await self.request("POST", "/video/create_by_tts", json=TTS, **options)

    async def request(self, method, path, **options):
        token = {"Authorization": f"Bearer {self.sandbox.token}"}
        async with self.session.request(
            method, self.base + path, headers=token, allow_redirects=False, **options
        ) as got:
            return got.status, dict(got.headers), await got.read()

    async def fetch(self, url, **headers):
        async with self.session.get(URL(url, encoded=True), headers=headers) as got:
            return got.status, dict(got.headers), await got.read()

    async def result(self):
        """URL of a finished video."""
        task_id = json.loads((await self.create())[2])["task_id"]
        self.sandbox.finish()
        return task_id, await self.look(task_id)

    async def look(self, task_id):
        return json.loads((await self.request("GET", "/video/task", params={"task_id": task_id}))[2])

    @property
    def created(self):
        return self.sandbox.seen.created(CREATE)


def played(test, **options):
    async def main():
        settings = {"render": "tiny", "clock": VirtualClock(), "run_seconds": math.inf, **options}
        async with AsyncSandbox(**settings) as sandbox:
            timeout = aiohttp.ClientTimeout(total=20)
            async with aiohttp.ClientSession(timeout=timeout) as session:
                await test(Wire(sandbox, session))

    run_virtual(main)


@pytest.mark.parametrize(
    ("fault", "created"),
    [
        ("reset_before", 0),
        ("reset_after", 1),
        ("close_after", 1),
        (Fault(kind="close", accept=False), 0),
        (Fault(kind="hang", seconds=5), 1),
    ],
)
def test_a_broken_connection_shows_no_answer_and_the_right_number_of_tasks(fault, created):
    """Reset, close and hang-then-reset end the request without an answer; only "after" ones create a task."""

    async def test(wire):
        wire.sandbox.faults.add(CREATE, fault)
        with pytest.raises(aiohttp.ClientConnectionError):
            await wire.create()
        assert wire.created == created
        assert (await wire.create())[0] == 200
        assert wire.created == created + 1

    played(test)


def test_a_reset_is_a_reset_and_a_close_is_a_close():
    """The client's socket sees ECONNRESET for one and a clean end for the other."""

    async def raw(wire):
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(wire.base).port)
        body = json.dumps(TTS).encode()
        path = URL(wire.base).path + "/video/create_by_tts"
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sandbox-token\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        try:
            return await reader.read()
        finally:
            writer.close()

    async def test(wire):
        wire.sandbox.faults.add(CREATE, "reset_after")
        with pytest.raises(ConnectionResetError):
            await raw(wire)
        wire.sandbox.faults.add(CREATE, "close_after")
        assert await raw(wire) == b""

    played(test)


@pytest.mark.parametrize(("name", "created"), [("hang_before", 0), ("hang_after", 1)])
def test_a_hang_lasts_until_the_client_gives_up(name, created):
    """No byte comes back; whether the task exists depends on the fault."""

    async def test(wire):
        wire.sandbox.faults.add(CREATE, name)
        start = asyncio.get_running_loop().time()
        with pytest.raises(TimeoutError):
            await wire.create()
        assert asyncio.get_running_loop().time() - start >= 20
        assert wire.created == created

    played(test)


@pytest.mark.parametrize(
    ("name", "status", "created", "retry_after", "content_type"),
    [
        ("504_html_after", 504, 1, None, "text/html"),
        ("500_after", 500, 1, None, "text/plain"),
        ("429_after", 429, 1, "2", "text/plain"),
        ("500_before", 500, 0, None, "text/plain"),
        ("502_html_before", 502, 0, None, "text/html"),
        ("503_before", 503, 0, "2", "text/plain"),
        ("429_before", 429, 0, "2", "text/plain"),
    ],
)
def test_a_status_in_place_of_the_answer(name, status, created, retry_after, content_type):
    """The status, its Retry-After and its content type arrive; "before" creates nothing."""

    async def test(wire):
        wire.sandbox.faults.add(CREATE, name)
        got, headers, body = await wire.create()
        assert (got, wire.created) == (status, created)
        assert headers.get("Retry-After") == retry_after
        assert headers["Content-Type"].startswith(content_type)
        assert (b"<html>" in body) == (content_type == "text/html")

    played(test)


def test_the_answer_can_be_any_status_and_body():
    """``answer()`` makes one for any status, and injects any of the provider's own codes."""
    fault = answer(418, accept=True, retry_after=1.5)
    assert (fault.status, fault.accept, fault.retry_after) == (418, True, "1.5")

    async def test(wire):
        wire.sandbox.faults.add(CREATE, answer(200, data={"code": 1009, "message": "sold out"}))
        status, headers, body = await wire.create()
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert json.loads(body)["code"] == 1009
        assert wire.created == 0

    played(test)


def test_a_truncated_answer_is_complete_http_and_broken_json():
    """The body stops half-way under a matching Content-Length, and the task exists."""

    async def test(wire):
        wire.sandbox.faults.add(CREATE, "truncated")
        status, headers, body = await wire.create()
        assert (status, int(headers["Content-Length"]), wire.created) == (200, len(body), 1)
        with pytest.raises(json.JSONDecodeError):
            json.loads(body)

    played(test)


def test_a_cut_answer_breaks_its_promise_of_length():
    """Content-Length says more than is sent, and the connection ends."""

    async def test(wire):
        wire.sandbox.faults.add(CREATE, "cut")
        with pytest.raises(aiohttp.ClientPayloadError):
            await wire.create()
        assert wire.created == 1

    played(test)


def test_wrong_content_types():
    """Valid JSON labelled as HTML, and a gateway's page labelled as JSON."""

    async def test(wire):
        wire.sandbox.faults.add(CREATE, "json_as_html")
        _, headers, body = await wire.create()
        assert headers["Content-Type"].startswith("text/html")
        assert json.loads(body)["code"] == 0
        wire.sandbox.faults.add(CREATE, "html_as_json")
        _, headers, body = await wire.create()
        assert headers["Content-Type"].startswith("application/json")
        assert body.startswith(b"<html>")
        assert wire.created == 2

    played(test)


def test_invalid_utf8_is_not_decodable_but_otherwise_json():
    """Only the encoding is broken."""

    async def test(wire):
        wire.sandbox.faults.add(CREATE, "invalid_utf8")
        body = (await wire.create())[2]
        with pytest.raises(UnicodeDecodeError):
            body.decode()
        assert json.loads(body.decode("utf-8", "replace"))["code"] == 0

    played(test)


def test_slow_answers_take_their_time():
    """A drip takes its gap per piece, a slow first byte its silence; both end in the whole answer."""

    async def test(wire):
        loop = asyncio.get_running_loop()
        wire.sandbox.faults.add(CREATE, Fault(kind="drip", size=30, seconds=2))
        start = loop.time()
        body = (await wire.create())[2]
        gaps = math.ceil(len(body) / 30) - 1
        assert loop.time() - start == pytest.approx(2 * gaps, abs=0.5)
        wire.sandbox.faults.add(CREATE, Fault(kind="slow_first_byte", seconds=12))
        start = loop.time()
        assert json.loads((await wire.create())[2])["code"] == 0
        assert loop.time() - start == pytest.approx(12, abs=0.5)

    played(test)


def test_a_redirect_leads_elsewhere():
    """307 with a Location, and nothing was created."""

    async def test(wire):
        wire.sandbox.faults.add(CREATE, Fault(kind="redirect", accept=False, location="http://127.0.0.1:9/x"))
        status, headers, _ = await wire.create()
        assert (status, headers["Location"], wire.created) == (307, "http://127.0.0.1:9/x", 0)

    played(test)


def test_a_huge_answer_is_as_large_as_asked_and_still_json():
    """The padding comes first, so that a parser has to read it all."""

    async def test(wire):
        wire.sandbox.faults.add(CREATE, Fault(kind="huge", size=3_000_000))
        body = (await wire.create())[2]
        assert len(body) > 3_000_000
        assert json.loads(body)["code"] == 0

    played(test)


@pytest.mark.parametrize("origin", ["api", "files"])
def test_refused_connections_are_really_refused_and_the_port_comes_back(origin):
    """While it is away the kernel refuses; afterwards the same port answers again."""

    async def test(wire):
        url = wire.sandbox.url if origin == "api" else wire.sandbox.files_url
        async with wire.session.get(url + "/") as got:
            assert got.status in (200, 403)
        wire.sandbox.refuse(30.0, origin=origin)
        for _ in range(3):
            with pytest.raises(aiohttp.ClientConnectorError) as caught:
                async with wire.session.get(url + "/"):
                    pass
            assert isinstance(caught.value.os_error, ConnectionRefusedError)
            await asyncio.sleep(5)
        await asyncio.sleep(20)
        async with wire.session.get(url + "/") as got:
            assert got.status in (200, 403)
        assert wire.sandbox.seen.faults == {"refuse": 1}

    played(test)


def test_refuse_works_through_faults_add_from_another_thread():
    """``faults.add(fault="refuse")`` takes effect before it returns, also off the loop's thread."""

    async def test(wire):
        thread = threading.Thread(target=wire.sandbox.faults.add, kwargs={"fault": "refuse"})
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0)
        with pytest.raises(aiohttp.ClientConnectorError):
            await wire.create()

    played(test)


def test_field_faults_strike_only_answers_they_change():
    """An empty or expired URL waits for the answer that has a URL; an unknown status replaces the real one."""

    async def test(wire):
        faults = wire.sandbox.faults
        faults.add("GET /video/task", "empty_url")
        task_id = json.loads((await wire.create())[2])["task_id"]
        assert (await wire.look(task_id))["status"] == 1
        wire.sandbox.finish()
        assert (await wire.look(task_id))["video_Url"] == ""
        assert (await wire.look(task_id))["video_Url"]
        faults.add("GET /video/task", "expired_url")
        dead = (await wire.look(task_id))["video_Url"]
        assert (await wire.fetch(dead))[0] == 403
        assert (await wire.fetch((await wire.look(task_id))["video_Url"]))[0] == 200
        faults.add("GET /video/task", Fault(kind="unknown_status", value=7))
        assert (await wire.look(task_id))["status"] == 7
        assert wire.sandbox.seen.faults == {"empty_url": 1, "expired_url": 1, "unknown_status": 1}

    played(test)


def test_numbers_strings_codes_and_new_fields():
    """Numbers as strings and back, ``code`` as "0", unknown fields, and fields replaced or removed."""

    def changed(fault, data):
        return json.loads(distort(fault, json_response(data), str).body)

    data = {"code": 0, "left": 12, "ok": True, "data": [{"duration": 4.5, "id": "0012", "name": "a1"}]}
    kind = FaultKind
    assert changed(Fault(kind=kind.NUMBERS_AS_STRINGS), data) == {
        "code": "0",
        "left": "12",
        "ok": True,
        "data": [{"duration": "4.5", "id": "0012", "name": "a1"}],
    }
    assert changed(Fault(kind=kind.STRINGS_AS_NUMBERS), data)["data"] == [
        {"duration": 4.5, "id": 12, "name": "a1"}
    ]
    assert changed(Fault(kind=kind.CODE_AS_STRING), data)["code"] == "0"
    extra = changed(Fault(kind=kind.EXTRA_FIELDS), data)
    assert {**extra, "data": None}.keys() > data.keys()
    assert extra["data"][0].keys() > data["data"][0].keys()
    replaced = changed(Fault(kind=kind.CHANGE_FIELDS, fields={"code": 5, "left": None}), data)
    assert (replaced["code"], "left" in replaced) == (5, False)


def test_field_faults_leave_other_bodies_alone():
    """What is no JSON object comes back as the same object, so the fault counts as unused."""
    for reply in (FakeResponse(body=b"Unauthorized"), json_response([1, 2])):
        assert distort(Fault(kind="empty_url"), reply, str) is reply
    assert distort(Fault(kind="change_fields", fields={"a": 1}), json_response([1]), str).body == b"[1]"


def test_downloads_can_be_cut_unmeasured_and_deaf_to_ranges():
    """Cut: fewer bytes than promised. No length: chunked. Ignored range: 200 and everything."""

    async def test(wire):
        _, done = await wire.result()
        url, faults = done["video_Url"], wire.sandbox.faults
        faults.add("GET /result", Fault(kind="cut", size=100_000))
        async with wire.session.get(URL(url, encoded=True)) as got:
            assert got.headers["Content-Length"] == "300000"
            received, ended = b"", False
            while not ended:
                try:
                    received += await got.content.readany()
                except aiohttp.ClientPayloadError:
                    ended = True
        assert len(received) == 100_000
        faults.add("GET /result", "no_length")
        status, headers, body = await wire.fetch(url)
        assert (status, "Content-Length" in headers, len(body)) == (200, False, 300_000)
        assert body[:100_000] == received
        faults.add("GET /result", "ignore_range")
        status, _, body = await wire.fetch(url, Range="bytes=100-")
        assert (status, len(body)) == (200, 300_000)
        faults.add("GET /result", answer(503))
        assert (await wire.fetch(url))[0] == 503
        assert (await wire.fetch(url, Range="bytes=100-"))[0] == 206

    played(test, result_bytes=300_000)


def test_uploads_can_be_refused_or_lost_after_they_arrived():
    """500 without storing leaves the slot empty; a reset after storing leaves the file there."""

    async def test(wire):
        async def slot():
            made = await wire.request("POST", "/tool/create_upload_url", json={"file_extension": "mp4"})
            return json.loads(made[2])

        async def put(slot):
            target, headers = URL(slot["upload_url"], encoded=True), {"Content-Type": slot["content_type"]}
            async with wire.session.put(target, data=b"abc", headers=headers) as got:
                return got.status

        async def clone(slot):
            made = await wire.request("POST", "/avatar/create_by_video", json={"file_id": slot["file_id"]})
            return json.loads(made[2])["code"]

        refused, lost = await slot(), await slot()
        wire.sandbox.faults.add("PUT /upload", "500_before")
        assert await put(refused) == 500
        # Twice, for aiohttp repeats a PUT by itself when a kept connection breaks.
        wire.sandbox.faults.add("PUT /upload", "reset_after", times=2)
        with pytest.raises(aiohttp.ClientConnectionError):
            await put(lost)
        assert (await clone(refused), await clone(lost)) == (2014, 0)
        assert wire.sandbox.seen.uploads.total() == 2

    played(test)


def test_scripts_count_times_and_after_and_match_wildcards():
    """``after`` lets requests through first, ``times`` limits the strikes, wildcards match endpoints."""
    faults = Faults()
    faults.add("GET /*/task", "500_before", times=2, after=1, provider="hi*")
    assert faults.take("POST /video/task", "hifly") is None
    assert faults.take("GET /video/task", "guiji") is None
    assert [faults.take("GET /video/task", "hifly") is None for _ in range(4)] == [True, False, False, True]
    assert faults.pending() == []
    faults.add("*", FaultKind.RESET, times=5)
    assert faults.pending()[0]["left"] == 5
    faults.clear()
    assert faults.take("GET /x", "hifly") is None


def test_every_kind_has_a_preset_and_wrong_names_are_refused():
    """The page can offer every kind of fault, and a typo is an error at once."""
    assert {fault.kind for fault in PRESETS.values()} == set(FaultKind)
    with pytest.raises(InvalidRequest, match="reset_after"):
        Faults().add("*", "no such thing")


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"refuse"}))
def test_after_any_fault_the_next_request_is_well(name):
    """No fault leaves the sandbox in a bad way: the same session's next request succeeds."""

    async def test(wire):
        fault = PRESETS[name]
        if fault.kind is FaultKind.HUGE:
            fault = Fault(kind="huge", size=1000)
        wire.sandbox.faults.add(CREATE, fault)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            await wire.create()
        wire.sandbox.faults.clear()
        assert (await wire.create())[0] == 200

    played(test)
