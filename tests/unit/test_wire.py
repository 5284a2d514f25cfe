"""Through a sandbox's wire everything is as through sockets, and no socket is opened."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from house import House
from sides import AsyncSide
from yarl import URL

import avatarkit
from avatarkit import providers
from avatarkit.errors import AvatarKitError, ConfigurationError, NotSent, SubmissionInDoubt, TransportError
from avatarkit.protocol.fakewire import FakeRequest
from avatarkit.protocol.samples import Operation
from avatarkit.sandbox import PRESETS, AsyncSandbox, Fault
from avatarkit.settings import CallOptions, RetryPolicy, Timeouts
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.sandbox_staging import SandboxStaging
from avatarkit.transport.session import Network, SendMark, Sessions, send_mark
from avatarkit.transport.wire import WireAnswer, WireRequest

OPERATIONS = [
    pytest.param(name, operation, id=f"{name}-{operation.name}")
    for name in providers.names()
    for operation in providers.part(name, "samples").SAMPLES.operations
]
QUICK = {"timeouts": Timeouts(request=5.0, submit=5.0), "retry": RetryPolicy(attempts=1)}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Client and sandbox share a thread, so what one wrote to a socket the other can read at once."""
    monkeypatch.setattr("avatarkit.testing.virtual._GRACE", 0.0005)


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("a socket was used")


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets no socket connect or listen, once called."""

    def close_off() -> None:
        for name in ("connect", "connect_ex", "bind", "listen"):
            monkeypatch.setattr(socket.socket, name, _refuse)

    return close_off


def _neutral(house: House, value: object) -> Any:
    """*value* without what differs between two runs: addresses, signatures over the time, markers."""
    text = repr(value).replace(house.box.files_url, "FILES").replace(house.box.url, "PAGE")
    return re.sub(r"Expires=\d+&[^'\"]*|\bak-[0-9a-z]{10,20}\b", "ANY", text)


def _said(house: House, request: FakeRequest) -> Mapping[str, Any]:
    if request.method == "POST":
        fields: Mapping[str, Any] = getattr(house.fake, "decode", FakeRequest.json)(request)
        return fields
    return {name: value for name, value in request.query.items() if name not in house.samples.auth_query}


def _opened(house: House, *, wired: bool, **options: Any) -> Any:
    """A client of a fresh sandbox, with sockets or without any."""
    box = house.start(listen=not wired)
    if not wired:
        return house.client(**options)
    wire = box.wire()
    staging = SandboxStaging(box.url, clock=house.side.clock, wire=wire)
    return house.client(wire=wire, staging=staging, **options)


def _played(house: House, operation: Operation, *, wired: bool) -> list[Any]:
    """Everything that can be seen of an operation: what arrived, and what came of it."""
    client = _opened(house, wired=wired)
    arguments = house.arguments(client, operation)
    with house.listening() as heard:
        result = house.method(client, operation.method)(**arguments)
        if operation.iterates:
            result = list(result)
    shown = [(r.method, r.path, _said(house, r), r.headers.get("content-type", "")[:19]) for r in heard]
    names = {frozenset(r.headers) - {"host", "content-length", "accept"} for r in heard}
    seen = house.box.seen
    out = [_neutral(house, shown), names, dict(seen.requests), dict(seen.statuses), dict(seen.uploads)]
    if operation.yields:
        made = result.wait()
        out += [result.id, result.status, type(house.side.original(made)).__name__]
        if hasattr(made, "read"):
            out.append(made.read())
    elif not operation.iterates:
        out.append(type(house.side.original(result)).__name__)
    return out


@pytest.fixture
def houses(quick: None, tmp_path: Path) -> Iterator[Callable[[str], House]]:
    """Makes houses on sides of their own, and closes them; no task may be left."""
    open_ones: list[House] = []

    def make(provider: str) -> House:
        folder = tmp_path / str(len(open_ones))
        folder.mkdir()
        house = House(AsyncSide(), provider, folder)
        open_ones.append(house)
        return house

    yield make
    for house in open_ones:
        house.close()
        assert house.side.close() == []


@pytest.mark.parametrize(("provider", "operation"), OPERATIONS)
def test_every_operation_is_the_same(
    houses: Callable[[str], House], no_sockets: Callable[[], None], provider: str, operation: Operation
) -> None:
    """What arrives at the provider and what comes of it is equal through sockets and through the wire."""
    through_sockets = _played(houses(provider), operation, wired=False)
    wired = houses(provider)
    no_sockets()
    assert _played(wired, operation, wired=True) == through_sockets


# Addresses, how a refused connection and a short body are put, and how much of an address an answer cut in two has.
_OWN_WORDS = re.compile(
    r"127\.0\.0\.1:\d+|(files\.)?sandbox\.invalid:80|\[Connect[^]]*\]|(?<=not completed: )(<.*?>|[^)]*)|http://[^']*"
)


def _outcome(house: House, where: str, fault: str, *, wired: bool) -> list[Any]:
    """What a fault at the submission, the look, the upload or the download comes to."""
    client = _opened(house, wired=wired, **QUICK)
    events: list[Any] = []
    house.side.original(client)._account.hooks = (events.append,)
    out: list[Any] = []
    try:
        if where != "submission":
            task = house.submit(client)
        if where == "submission":
            house.side.inside(house.fault, PRESETS[fault])
            house.submit(client)
        elif where == "look":
            house.side.inside(house.box.faults.add, house.look, PRESETS[fault])
            house.side.sleep(10)
            task.refresh()
        else:
            made = task.wait()
            house.side.inside(house.box.faults.add, "GET /result", PRESETS[fault])
            out.append(made.read())
    except AvatarKitError as error:
        out += [type(error), _OWN_WORDS.sub("…", str(error))]
    done = [(e.endpoint, e.status, bool(e.error)) for e in events if type(e).__name__ == "RequestDone"]
    return [*out, done, house.created(), dict(house.box.seen.faults)]


# "drip" and "huge" are the same code on both ways but for the time they take.
FAULTS = sorted(PRESETS.keys() - {"huge", "drip", "invalid_utf8"})


@pytest.mark.parametrize("where", ["submission", "look", "download"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_the_same(houses: Callable[[str], House], where: str, fault: str) -> None:
    """A fault ends in the same error with the same words, the same events and as many tasks made."""
    through_sockets = _outcome(houses("hifly"), where, fault, wired=False)
    assert _outcome(houses("hifly"), where, fault, wired=True) == through_sockets


# -- the send deadline ---------------------------------------------------------------------------------------------


class Recorder:
    """A wire that answers everything with ``{}``, or refuses connections."""

    def __init__(self, refuses: OSError | None = None) -> None:
        self.asked: list[WireRequest] = []
        self.refuses = refuses

    def connect(self, url: str) -> None:
        if self.refuses is not None:
            raise self.refuses

    async def exchange(self, asked: WireRequest) -> WireAnswer:
        self.asked.append(asked)
        return WireAnswer(200, {"content-length": "2"}, b"{}")


def _submits(wire: Recorder, deadline: float) -> tuple[SendMark, BaseException | None]:
    async def main() -> tuple[SendMark, BaseException | None]:
        sessions = Sessions(Network(wire=wire), Timeouts(), VirtualClock())
        mark = SendMark(deadline)
        send_mark.set(mark)
        try:
            await sessions.submit.request("POST", URL("http://a.example/b?c=%2F", encoded=True), data=b"{}")
        except (NotSent, aiohttp.ClientError) as error:
            return mark, error
        finally:
            await sessions.aclose()
        return mark, None

    found: tuple[SendMark, BaseException | None] = run_virtual(main)
    return found


def test_nothing_goes_out_after_the_deadline() -> None:
    """Past its deadline a submission reaches no wire and counts as not sent; before it, it is marked as sent."""
    wire = Recorder()
    mark, error = _submits(wire, -1.0)
    assert (mark.sent, type(error), wire.asked) == (False, NotSent, [])
    mark, error = _submits(wire, 1.0)
    assert (mark.sent, error) == (True, None)
    assert [(asked.method, asked.url, asked.body) for asked in wire.asked] == [
        ("POST", "http://a.example/b?c=%2F", b"{}")
    ]


def test_without_a_connection_nothing_was_sent() -> None:
    """A refused connection leaves the mark as it was."""
    mark, error = _submits(Recorder(ConnectionRefusedError(111, "refused")), 1.0)
    assert not mark.sent
    assert isinstance(error, aiohttp.ClientConnectorError)


def test_secrets_stay_out_of_requests_that_are_shown() -> None:
    """A request's repr has neither its headers nor its URL nor its body."""
    asked = WireRequest("GET", "http://a.example/?sign=s3cret", {"authorization": "s3cret"}, b"s3cret")
    assert "s3cret" not in repr(asked)


# -- a sandbox without sockets -------------------------------------------------------------------------------------


def _alone(test: Callable[[AsyncSandbox, avatarkit.AsyncHiFly], Any], **settings: Any) -> Any:
    options = {"render": "tiny", "listen": False, "clock": VirtualClock(), **settings.pop("box", {})}

    async def main() -> Any:
        async with AsyncSandbox(**options) as box:
            given = {"clock": VirtualClock(), "wire": box.wire(), "seed": 1, **settings}
            async with avatarkit.AsyncHiFly(box.token, base_url=box.base_url("hifly"), **given) as hifly:
                return await test(box, hifly)

    return run_virtual(main)


async def _make(hifly: avatarkit.AsyncHiFly, text: str = "x", **options: Any) -> Any:
    avatar = (await hifly.avatars.list(size=1)).items[0].id
    voice = (await hifly.voices.list(size=1, kind=2)).items[0].id
    return await hifly.videos.create_by_tts(text=text, avatar=avatar, voice=voice, **options)


def test_a_submission_that_hangs_is_in_doubt_after_its_time() -> None:
    """Silence ends a submission at its timeout with a doubt, though the task was made; the rest goes on."""

    async def test(box: AsyncSandbox, hifly: avatarkit.AsyncHiFly) -> None:
        await hifly.account.credit()
        began = asyncio.get_running_loop().time()
        box.faults.add("POST /video/create_by_tts", "hang_after")
        with pytest.raises(SubmissionInDoubt):
            await _make(hifly)
        assert asyncio.get_running_loop().time() - began == pytest.approx(60.0, abs=1.0)
        assert box.seen.created() == 1
        await hifly.account.credit()

    _alone(test)


def test_an_origin_that_refuses_comes_back() -> None:
    """Refused connections are nothing sent; after its time the origin answers again."""

    async def test(box: AsyncSandbox, hifly: avatarkit.AsyncHiFly) -> None:
        await hifly.account.credit()
        box.refuse(5.0)
        with pytest.raises(NotSent, match="Cannot connect"):
            await hifly.account.credit(options=CallOptions(retries=0))
        await asyncio.sleep(5.1)
        await hifly.account.credit(options=CallOptions(retries=0))

    _alone(test)


def test_a_download_that_is_cut_is_resumed(tmp_path: Path) -> None:
    """A large result comes in pieces; cut off half-way it is gone on with where it stopped."""

    async def test(box: AsyncSandbox, hifly: avatarkit.AsyncHiFly) -> None:
        video = await (await _make(hifly)).wait()
        whole = await video.read()
        box.faults.add("GET /result", Fault(kind="cut", size=700_000))
        before = box.seen.bytes_served
        await video.save(tmp_path / "a.mp4")
        assert (tmp_path / "a.mp4").read_bytes() == whole
        assert len(whole) == 1_500_000
        assert box.seen.bytes_served - before == 1_500_000

    _alone(test, box={"result_bytes": 1_500_000})


def test_nothing_hangs_when_the_sandbox_closes() -> None:
    """A request that hangs is broken off, and later ones are refused."""

    async def test(box: AsyncSandbox, hifly: avatarkit.AsyncHiFly) -> None:
        box.faults.add("GET /account/credit", "hang_before")
        once = CallOptions(retries=0)
        asking = asyncio.create_task(hifly.account.credit(options=once))
        await asyncio.sleep(1)
        await box.aclose()
        with pytest.raises(TransportError, match="reset"):
            await asking
        with pytest.raises(NotSent):
            await hifly.account.credit(options=once)
        assert asyncio.get_running_loop().time() < 2

    _alone(test)


def test_the_wire_leads_nowhere_else() -> None:
    """Another host than the sandbox's cannot be reached, and a client's real address least of all."""

    async def test(box: AsyncSandbox, hifly: avatarkit.AsyncHiFly) -> None:
        async with avatarkit.AsyncHiFly("t", wire=box.wire(), clock=VirtualClock()) as stray:
            with pytest.raises(NotSent, match="the sandbox alone"):
                await stray.account.credit(options=CallOptions(retries=0))

    _alone(test)


def test_a_wire_belongs_to_the_sandboxs_loop() -> None:
    """A client on another loop is told so."""

    async def test(box: AsyncSandbox, hifly: avatarkit.AsyncHiFly) -> None:
        async def elsewhere() -> None:
            box.wire().connect(box.base_url("hifly") + "/x")

        with pytest.raises(ConfigurationError, match="own event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere())

    _alone(test)


def test_a_sandbox_that_does_not_run_has_no_wire() -> None:
    """Before it is started there is nothing to be had."""
    with pytest.raises(ConfigurationError, match="not running"):
        AsyncSandbox(listen=False).wire()


def test_the_blocking_classes_take_a_wire(tmp_path: Path) -> None:
    """They share a loop, so that a blocking client reaches a blocking sandbox; a file is uploaded and used."""
    (tmp_path / "a.mp3").write_bytes(b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\xff\xfb\x90\x64" * 500)
    with (
        avatarkit.Sandbox(render="tiny", listen=False, queue_seconds=0, run_seconds=0) as box,
        avatarkit.HiFly(box.token, base_url=box.base_url("hifly"), wire=box.wire()) as hifly,
    ):
        with pytest.raises(aiohttp.ClientError):
            asyncio.run(_ask(box.url))
        uploaded = hifly.files.upload(tmp_path / "a.mp3")
        assert uploaded.id
        assert box.seen.bytes_received == (tmp_path / "a.mp3").stat().st_size


async def _ask(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        await session.get(url)


# -- forgetting ----------------------------------------------------------------------------------------------------


def test_old_tasks_are_forgotten() -> None:
    """Of ended tasks the last ones are kept, with results and records; what was counted stays counted."""

    async def test(box: AsyncSandbox, hifly: avatarkit.AsyncHiFly) -> None:
        tasks = [await _make(hifly, title=f"job {n % 8}") for n in range(10)]
        for task in tasks:
            await task.wait()
        await _make(hifly, title="one more")  # what ended is taken down when the next one comes
        world = box._world
        assert [task.id for task in world.all_tasks.values()][:-1] == [task.id for task in tasks[7:]]
        assert [row["title"] for row in box.seen.tasks] == ["job 7", "job 0", "job 1", "one more"]
        assert len(world.files) == 4
        assert set(box.seen.polls) == {task.id for task in tasks[7:]}
        assert (box.seen.created(), box.seen.created("POST /video/create_by_tts")) == (11, 11)
        assert [(row["count"], len(row["ids"])) for row in box.seen.duplicates] == [(2, 1), (2, 1)]
        assert box.state()["seen"]["tasks_created"] == 11

    _alone(test, box={"keep_tasks": 3})


def test_created_tasks_are_a_sequence_of_plain_records() -> None:
    """Records come by index, slice and iteration, equal lists of them, and can be cleared."""

    async def test(box: AsyncSandbox, hifly: avatarkit.AsyncHiFly) -> None:
        assert box.seen.tasks == []
        for title in "abc":
            await _make(hifly, title=title)
        tasks = box.seen.tasks
        assert [row["title"] for row in tasks[1:]] == ["b", "c"]
        assert tasks[-1]["body"]["title"] == "c"
        assert tasks == list(tasks)
        assert orjson.dumps(list(tasks))
        tasks.clear()
        assert len(tasks) == 0

    _alone(test)


# -- virtual time --------------------------------------------------------------------------------------------------


def test_time_jumps_at_once_without_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no socket is open nothing is waited for: the grace for sockets, made absurd, is never spent."""
    monkeypatch.setattr("avatarkit.testing.virtual._GRACE", 60.0)

    async def main() -> float:
        for _ in range(50):
            await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    assert run_virtual(main) == pytest.approx(50 * 3600, abs=1)


def test_threads_hold_the_clock_without_sockets() -> None:
    """While work in a thread is under way no time passes, however long it takes."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.call_later(1.0, ready.set)
        await asyncio.to_thread(__import__("time").sleep, 0.02)
        assert not ready.is_set()
        assert loop.time() < 1.0
        await ready.wait()

    run_virtual(main)
