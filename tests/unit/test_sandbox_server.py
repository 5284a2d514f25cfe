"""The sandbox over real sockets, in virtual time."""

from __future__ import annotations

import asyncio
import hashlib
import io
import math

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from avatarkit.errors import ConfigurationError, InvalidRequest
from avatarkit.providers.hifly.fake import public_id
from avatarkit.sandbox import AsyncSandbox, Fault
from avatarkit.testing import VirtualClock, run_virtual

TTS = {
    "voice": public_id("voice", 1),
    "avatar": public_id("avatar", 1),
    "text": "hello world",
    "title": "job",
}
CREATE = "/video/create_by_tts"


class Client:
    """A plain aiohttp client of the sandbox: one session with the token, one without."""

    def __init__(self, sandbox, api, bare):
        self.sandbox, self.api, self.bare = sandbox, api, bare
        self.base = sandbox.base_url("hifly")

    async def post(self, path, json, **options):
        async with self.api.post(self.base + path, json=json, **options) as answer:
            return await answer.json(content_type=None)

    async def get(self, path, **query):
        async with self.api.get(self.base + path, params=query) as answer:
            return await answer.json()

    async def finished(self, path=CREATE, json=TTS):
        """Create a task and wait for its end; the id and the last answer."""
        task_id = (await self.post(path, json))["task_id"]
        await asyncio.sleep(10)
        return task_id, await self.get("/video/task", task_id=task_id)

    async def fetch(self, url, **options):
        async with self.bare.get(URL(url, encoded=True), **options) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def put(self, slot, body=b"x" * 1000, *, url=None, **headers):
        sent = {"Content-Type": slot["content_type"], **headers}
        target = URL(url or slot["upload_url"], encoded=True)
        async with self.bare.put(target, data=body, headers=sent) as answer:
            return answer.status, dict(answer.headers), await answer.text()


def played(test, **options):
    """Run ``test(client)`` against a fresh sandbox in virtual time."""

    async def main():
        settings = {"render": "tiny", "clock": VirtualClock(), **options}
        async with AsyncSandbox(**settings) as sandbox:
            token = {"Authorization": f"Bearer {sandbox.token}"}
            timeout = aiohttp.ClientTimeout(total=60)
            async with (
                aiohttp.ClientSession(headers=token, timeout=timeout) as api,
                aiohttp.ClientSession(timeout=timeout) as bare,
            ):
                return await test(Client(sandbox, api, bare))

    return run_virtual(main)


def test_a_task_lives_its_life_in_virtual_time():
    """A task with an hour of running time is polled to its end, and its result is fetched."""

    async def test(client):
        start = asyncio.get_running_loop().time()
        task_id = (await client.post(CREATE, TTS))["task_id"]
        states = []
        while not states or states[-1] != 3:
            states.append((await client.get("/video/task", task_id=task_id))["status"])
            await asyncio.sleep(600)
        assert states[0] == 1
        assert set(states) == {1, 2, 3}
        assert asyncio.get_running_loop().time() - start >= 3600
        url = (await client.get("/video/task", task_id=task_id))["video_Url"]
        status, headers, body = await client.fetch(url)
        assert (status, headers["Content-Type"], len(body)) == (200, "video/mp4", 4096)
        assert body[4:8] == b"ftyp"
        assert client.sandbox.seen.polls[task_id] == len(states) + 1
        assert client.sandbox.seen.bytes_served == 4096

    played(test, run_seconds=3600.0, queue_seconds=60.0)


def test_ranges_are_served_with_206_and_fit_together():
    """Parts of a result equal the whole; a range past the end is 416; If-Range decides by the ETag."""

    async def test(client):
        _, done = await client.finished()
        url = done["video_Url"]
        _, headers, whole = await client.fetch(url)
        status, partial, part = await client.fetch(url, headers={"Range": "bytes=70000-"})
        assert (status, part) == (206, whole[70000:])
        assert partial["Content-Range"] == f"bytes 70000-{len(whole) - 1}/{len(whole)}"
        assert (await client.fetch(url, headers={"Range": "bytes=5-9"}))[2] == whole[5:10]
        assert (await client.fetch(url, headers={"Range": "bytes=-7"}))[2] == whole[-7:]
        status, gone, _ = await client.fetch(url, headers={"Range": "bytes=900000-"})
        assert (status, gone["Content-Range"]) == (416, f"bytes */{len(whole)}")
        fits = {"Range": "bytes=5-", "If-Range": headers["Etag"]}
        assert (await client.fetch(url, headers=fits))[0] == 206
        other = {"Range": "bytes=5-", "If-Range": '"other"'}
        assert (await client.fetch(url, headers=other))[0] == 200
        several = {"Range": "bytes=0-1,5-6"}
        assert (await client.fetch(url, headers=several))[0] == 200

    played(test, result_bytes=200_000)


def test_a_head_request_says_the_length_and_sends_nothing():
    """HEAD on a result has the headers of GET and no body."""

    async def test(client):
        _, done = await client.finished()
        async with client.bare.head(URL(done["video_Url"], encoded=True)) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Length"] == "4096"
        assert client.sandbox.seen.bytes_served == 0

    played(test)


def test_a_result_url_expires_and_asking_again_gives_a_fresh_one():
    """After its lifetime the URL is 403 with XML; the task's next answer holds a URL that works."""

    async def test(client):
        task_id, done = await client.finished()
        await asyncio.sleep(101)
        status, headers, body = await client.fetch(done["video_Url"])
        assert (status, headers["Content-Type"]) == (403, "application/xml")
        assert b"<Code>AccessDenied</Code>" in body
        again = await client.get("/video/task", task_id=task_id)
        assert again["video_Url"] != done["video_Url"]
        assert (await client.fetch(again["video_Url"]))[0] == 200

    played(test, url_lifetime=100.0)


def test_a_result_url_whose_signature_was_changed_is_refused():
    """Neither another expiry nor another file can be had with someone's signature."""

    async def test(client):
        _, done = await client.finished()
        url = done["video_Url"]
        for wrong in (
            url.replace("Expires=1", "Expires=2"),
            url.partition("?")[0],
            url.replace("/results/", "/x/"),
        ):
            status, _, body = await client.fetch(wrong)
            assert status == 403
            assert b"SignatureDoesNotMatch" in body

    played(test)


def test_an_upload_goes_to_the_other_origin_and_is_recorded_by_its_hash():
    """The PUT lands on another port, its SHA-256 is counted, and the file drives a video."""

    async def test(client):
        slot = await client.post("/tool/create_upload_url", {"file_extension": "mp3"})
        assert URL(slot["upload_url"]).port != URL(client.base).port
        body = b"sound" * 100_000
        assert (await client.put(slot, body))[0] == 200
        seen = client.sandbox.seen
        assert seen.uploads == {hashlib.sha256(body).hexdigest(): 1}
        assert seen.bytes_received == len(body)
        made = {"avatar": TTS["avatar"], "file_id": slot["file_id"]}
        assert (await client.post("/video/create_by_audio", made))["code"] == 0
        assert seen.authorization == []

    played(test)


def test_a_file_that_was_never_put_cannot_be_used():
    """Creating from an empty slot is 2013."""

    async def test(client):
        slot = await client.post("/tool/create_upload_url", {"file_extension": "mp3"})
        made = {"avatar": TTS["avatar"], "file_id": slot["file_id"]}
        assert (await client.post("/video/create_by_audio", made))["code"] == 2013

    played(test)


def test_the_store_refuses_an_upload_that_is_not_exactly_as_signed():
    """Another content type, a decoded path, an Authorization header, a late PUT and a POST are refused in XML."""

    async def test(client):
        slot = await client.post("/tool/create_upload_url", {"file_extension": "mp4"})
        url = slot["upload_url"]
        mismatches = [
            await client.put(slot, **{"Content-Type": "video/MP4"}),
            await client.put(slot, **{"Content-Type": "video/mp4; charset=utf-8"}),
            await client.put(slot, url=url.replace("%2F", "/")),
            await client.put(slot, url=url.replace("%2F", "%2f")),
            await client.put(slot, Authorization="Bearer sandbox-token"),
        ]
        for status, headers, text in mismatches:
            assert (status, headers["Content-Type"]) == (403, "application/xml")
            assert "<Code>SignatureDoesNotMatch</Code>" in text
        assert client.sandbox.seen.authorization == [f"PUT {URL(url, encoded=True).raw_path}"]
        async with client.bare.post(URL(url, encoded=True), data=b"x") as answer:
            assert answer.status == 405
        assert (await client.put(slot))[0] == 200
        await asyncio.sleep(3601)
        status, _, text = await client.put(slot)
        assert status == 403
        assert "AccessDenied" in text
        assert client.sandbox.seen.uploads.total() == 1

    played(test)


def test_an_upload_past_the_limit_is_refused_and_leaves_nothing():
    """Too many bytes are answered with 400 in XML, and the file counts as never put."""

    async def test(client):
        slot = await client.post("/tool/create_upload_url", {"file_extension": "mp4"})
        status, _, text = await client.put(slot, b"x" * 2000)
        assert (status, "EntityTooLarge" in text) == (400, True)
        assert client.sandbox.seen.uploads.total() == 0
        assert (await client.post("/avatar/create_by_video", {"file_id": slot["file_id"]}))["code"] == 2014

    played(test, upload_limit=1500)


def test_urls_of_the_sandbox_itself_are_looked_up():
    """A result's URL can drive the next task, a broken one cannot be fetched."""

    async def test(client):
        _, done = await client.finished("/audio/create_by_tts", {"voice": TTS["voice"], "text": "hello"})
        url = done["video_Url"]
        made = {"avatar": TTS["avatar"], "audio_url": url}
        assert (await client.post("/video/create_by_audio", made))["code"] == 0
        made["audio_url"] = client.sandbox.files_url + "/nothing"
        assert (await client.post("/video/create_by_audio", made))["code"] == 2013

    played(test)


def test_what_was_seen_tells_duplicates_peaks_and_requests():
    """Two equal bodies are a duplicate, two different ones not; peaks are the true maxima."""

    async def test(client):
        seen = client.sandbox.seen
        for title in ("a", "a", "b"):
            await client.post(CREATE, {**TTS, "title": title})
        assert seen.created() == seen.created("POST " + CREATE) == 3
        assert [(d["endpoint"], d["count"]) for d in seen.duplicates] == [("POST " + CREATE, 2)]
        assert seen.requests == {"POST " + CREATE: 3}
        assert (seen.peak_running, seen.peak_per_second) == (3, 3)
        await asyncio.sleep(10)
        await client.post(CREATE, {**TTS, "title": "c"})
        assert (seen.peak_running, seen.peak_per_second) == (3, 3)
        assert seen.tasks[0]["body"]["title"] == "a"

    played(test)


def test_the_state_page_and_its_json_are_served_without_a_token():
    """``/`` is a page without foreign assets, the state is JSON, and it never counts as a request."""

    async def test(client):
        await client.finished()
        url = client.sandbox.url
        async with client.bare.get(url + "/") as answer:
            page = await answer.text()
            assert answer.content_type == "text/html"
        assert "https://" not in page
        async with client.bare.get(url + "/__sandbox__/state") as answer:
            state = await answer.json()
        assert state["tasks"][0]["status"] == "succeeded"
        (credits,) = [one["credits"] for one in state["accounts"] if one["provider"] == "hifly"]
        assert credits == 9990.0
        assert (await client.fetch(state["tasks"][0]["url"]))[0] == 200
        assert sum(client.sandbox.seen.requests.values()) == 2

    played(test)


def test_the_page_can_add_a_fault_and_change_an_account():
    """POSTs below ``/__sandbox__/`` do what the Python methods do, and say what is wrong with others."""

    async def test(client):
        url = client.sandbox.url + "/__sandbox__/"
        async with client.bare.post(
            url + "faults", json={"endpoint": "GET *", "fault": "500_before"}
        ) as answer:
            assert (await answer.json())["faults"][0]["endpoint"] == "GET *"
        async with client.api.get(client.base + "/account/credit") as answer:
            assert answer.status == 500
        changed = {"token": client.sandbox.token, "credits": 5, "switches": {"plan": "none"}}
        async with client.bare.post(url + "account", json=changed) as answer:
            assert answer.status == 200
        assert client.sandbox.credits() == 5
        for path, body in (
            ("faults", {"fault": "nonsense"}),
            ("account", {"token": "nobody"}),
            ("account", {"token": client.sandbox.token, "colour": 1}),
            ("fail", {}),
            ("finish", []),
        ):
            async with client.bare.post(url + path, json=body) as answer:
                assert answer.status == 400, path
                assert (await answer.json())["error"]
        async with client.bare.post(url + "faults", data=b"{}") as answer:
            assert answer.status == 415
        async with client.bare.get(url + "state", headers={"Host": "evil.example:80"}) as answer:
            assert answer.status == 403

    played(test)


def test_a_body_over_one_megabyte_is_413_and_unknown_paths_are_404():
    """Oversized JSON is not read; paths outside any provider lead nowhere."""

    async def test(client):
        async with client.api.post(client.base + CREATE, data=io.BytesIO(b"x" * 1_100_000)) as answer:
            assert answer.status == 413
        for path in ("/nobody/x", "/hifly", "/hifly/api/v1/x", "/hifly/api/v2/hifly/nothing"):
            async with client.api.get(client.sandbox.url + path) as answer:
                assert answer.status == 404

    played(test)


def test_tasks_can_be_held_finished_failed_and_advanced():
    """With an infinite running time nothing ends by itself; each way to end a task works."""

    async def test(client):
        sandbox = client.sandbox
        ids = [(await client.post(CREATE, {**TTS, "title": str(n)}))["task_id"] for n in range(3)]
        await asyncio.sleep(100_000)
        assert {row["status"] for row in sandbox.tasks()} == {"running"}
        sandbox.fail(ids[0], code=4711, message="by hand")
        failed = await client.get("/video/task", task_id=ids[0])
        assert (failed["status"], failed["code"], failed["message"]) == (4, 4711, "by hand")
        assert sandbox.finish(ids[1]) == 1
        assert (await client.get("/video/task", task_id=ids[1]))["status"] == 3
        assert sandbox.finish() == 1
        assert sandbox.finish() == 0
        sandbox.set_delays(run_seconds={"video": 1000.0})
        task_id = (await client.post(CREATE, TTS))["task_id"]
        sandbox.advance(2000)
        assert (await client.get("/video/task", task_id=task_id))["status"] == 3
        with pytest.raises(InvalidRequest):
            sandbox.fail("unknown")

    played(test, run_seconds=math.inf)


def test_accounts_are_separate():
    """Another token has its own credits, caps and tasks."""

    async def test(client):
        sandbox = client.sandbox
        sandbox.add_account("second", credits=3.0)
        second = {"Authorization": "Bearer second"}
        async with client.bare.get(client.base + "/account/credit", headers=second) as answer:
            assert (await answer.json())["left"] == 3
        sandbox.set_account(max_running=0)
        assert (await client.post(CREATE, TTS))["code"] == 1001
        async with client.bare.post(client.base + CREATE, json=TTS, headers=second) as answer:
            assert (await answer.json())["code"] == 1002
        sandbox.set_account("second", credits=100.0)
        async with client.bare.post(client.base + CREATE, json=TTS, headers=second) as answer:
            assert (await answer.json())["code"] == 0
        with pytest.raises(InvalidRequest):
            sandbox.set_account("nobody", credits=1.0)
        with pytest.raises(InvalidRequest):
            sandbox.add_account("x", switches={"unheard_of": 1})

    played(test)


async def _receiver(answers):
    """A customer's server that answers with these statuses in turn; its URL, its log, and how to stop it."""
    log, loop = [], asyncio.get_running_loop()

    async def handler(request):
        log.append((loop.time(), await request.json()))
        return web.Response(status=answers[min(len(log), len(answers)) - 1])

    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}/hook", log, runner.cleanup


def test_an_event_is_repeated_until_the_customer_says_200():
    """Refused events come again after 5, 30 and 120 seconds; the first 200 ends it."""

    async def test(client):
        url, log, stop = await _receiver([500, 204, 200])
        client.sandbox.set_account(callback_url=url)
        task_id = (await client.post(CREATE, TTS))["task_id"]
        await asyncio.sleep(600)
        times = [round(at - log[0][0]) for at, _ in log]
        assert times == [0, 5, 35]
        assert {body["task_id"] for _, body in log} == {task_id}
        assert [c["status"] for c in client.sandbox.seen.callbacks] == [500, 204, 200]
        await stop()

    played(test)


def test_an_event_that_is_never_taken_ends_within_five_minutes():
    """Four tries in all, the last before 300 seconds, and none afterwards."""

    async def test(client):
        url, log, stop = await _receiver([500])
        client.sandbox.set_account(callback_url=url)
        await client.post(CREATE, TTS)
        await asyncio.sleep(3600)
        assert len(log) == 4
        assert log[-1][0] - log[0][0] < 300
        await stop()

    played(test)


def test_events_of_clones_and_of_tasks_ended_by_hand():
    """Type 2 arrives only with the switch; ending a held task by hand sends its event at once."""

    async def test(client):
        url, log, stop = await _receiver([200])
        client.sandbox.set_account(callback_url=url)
        await client.post("/avatar/create_by_video", {"video_url": "https://e.com/a.mp4"})
        client.sandbox.finish()
        await asyncio.sleep(10)
        assert log == []
        client.sandbox.set_account(switches={"callback_events": True})
        await client.post("/avatar/create_by_video", {"video_url": "https://e.com/a.mp4"})
        task_id = (await client.post(CREATE, TTS))["task_id"]
        client.sandbox.fail(task_id)
        client.sandbox.finish()
        await asyncio.sleep(10)
        assert sorted((body["type"], body["status"]) for _, body in log) == [(1, 4), (2, 3)]
        await stop()

    played(test, run_seconds=math.inf)


def test_events_go_to_loopback_addresses_only():
    """A foreign callback URL is recorded as refused and never called."""

    async def test(client):
        client.sandbox.set_account(callback_url="http://192.0.2.1/hook")
        await client.post(CREATE, TTS)
        await asyncio.sleep(600)
        assert [c["error"] for c in client.sandbox.seen.callbacks] == ["refused: not a loopback address"]

    played(test)


def test_closing_breaks_off_hanging_requests_and_pending_events():
    """A sandbox with a request that hangs, a dripping download and an open timer closes at once."""

    async def test(client):
        sandbox = client.sandbox
        url, _, stop = await _receiver([500])
        sandbox.set_account(callback_url=url)
        _, done = await client.finished()
        sandbox.faults.add("POST *", "hang_after")
        sandbox.faults.add("GET /result", Fault(kind="drip", seconds=1e6))
        hanging = asyncio.create_task(client.post(CREATE, TTS, timeout=aiohttp.ClientTimeout(total=None)))
        dripping = asyncio.create_task(
            client.fetch(done["video_Url"], timeout=aiohttp.ClientTimeout(total=None))
        )
        await asyncio.sleep(1)
        before = asyncio.get_running_loop().time()
        await sandbox.aclose()
        assert asyncio.get_running_loop().time() - before < 1
        for task in (hanging, dripping):
            with pytest.raises(aiohttp.ClientError):
                await task
        await stop()

    played(test)


def test_its_files_go_with_it():
    """The temporary folder is gone after the end, and with it all uploads."""

    async def main():
        async with AsyncSandbox(render="tiny", clock=VirtualClock()) as sandbox:
            folder = sandbox._store.folder
            assert folder.is_dir()
        assert not folder.exists()
        await sandbox.aclose()
        with pytest.raises(ConfigurationError):
            _ = sandbox.url

    run_virtual(main)


def test_a_taken_port_is_an_os_error_and_leaves_nothing_open():
    """The second sandbox on the same port says so, and warns about nothing."""

    async def main():
        async with AsyncSandbox(render="tiny", clock=VirtualClock()) as first:
            port = URL(first.url).port
            second = AsyncSandbox(render="tiny", clock=VirtualClock(), port=port)
            with pytest.raises(OSError, match="in use"):
                await second.start()

    run_virtual(main)


def test_plain_rendering_makes_a_real_file_and_holds_the_task_until_then():
    """With ``render="plain"`` the result is a valid MP4 whose length is reported."""

    async def test(client):
        _, done = await client.finished(json={**TTS, "text": "好" * 9})
        status, _, body = await client.fetch(done["video_Url"])
        assert (status, body[4:8]) == (200, b"ftyp")
        assert done["duration"] == 2
        _, sound = await client.finished("/audio/create_by_tts", {"voice": TTS["voice"], "text": "hi"})
        assert (await client.fetch(sound["video_Url"]))[1]["Content-Type"] == "audio/mpeg"

    played(test, render="plain")


def test_many_requests_keep_their_connections_alive():
    """Polls reuse a connection, so that the sandbox is no bottleneck of its own."""

    async def test(client):
        for _ in range(20):
            await client.get("/account/credit")
        connector = client.api.connector
        assert sum(len(pool) for pool in connector._conns.values()) == 1

    played(test)


def test_every_event_can_arrive_twice():
    """With ``callback_copies`` 2 the customer gets the same bytes twice."""

    async def test(client):
        url, log, stop = await _receiver([200])
        client.sandbox.set_account(callback_url=url, switches={"callback_copies": 2})
        await client.post(CREATE, TTS)
        await asyncio.sleep(600)
        assert len(log) == 2
        assert log[0][1] == log[1][1]
        await stop()

    played(test)


def test_an_event_can_come_before_the_answer_to_the_creation():
    """A slow first byte lets a short task end, and its event arrive, while the client still waits."""

    async def test(client):
        url, log, stop = await _receiver([200])
        client.sandbox.set_account(callback_url=url)
        client.sandbox.faults.add("POST " + CREATE, Fault(kind="slow_first_byte", seconds=10))
        task_id = (await client.post(CREATE, TTS))["task_id"]
        assert [body["task_id"] for _, body in log] == [task_id]
        await stop()

    played(test)


def test_an_upload_that_asks_first_is_told_to_go_on():
    """``Expect: 100-continue``, which curl sends with large files, is answered."""

    async def test(client):
        slot = await client.post("/tool/create_upload_url", {"file_extension": "mp4"})
        target, headers = URL(slot["upload_url"], encoded=True), {"Content-Type": slot["content_type"]}
        async with client.bare.put(target, data=b"x" * 100, headers=headers, expect100=True) as answer:
            assert answer.status == 200
        assert client.sandbox.seen.bytes_received == 100

    played(test)
