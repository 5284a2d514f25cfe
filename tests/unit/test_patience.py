"""How long a submission with files inside may take: on real sockets, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from avatarkit.errors import AvatarKitError, BadRequest, SubmissionInDoubt
from avatarkit.models import Ticket
from avatarkit.protocol.samples import png
from avatarkit.providers.kling.client import AsyncKling
from avatarkit.settings import CallOptions, Timeouts
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.patience import LARGE, Patience, patience_for

PICTURE = png(320, 320) + bytes(6 << 20)
SMALL = png(320, 320)
SOUND = "https://media.example.com/a.mp3"
ANSWER = b'{"code":0,"message":"","request_id":"r","data":{"task_id":"871","task_status":"submitted"}}'
GOOD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER
)
TIMES = Timeouts(submit=30, read=30, connect=5)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def head(reader: asyncio.StreamReader) -> int:
    """The length that the request's head promises."""
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    return next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))


async def drain(reader: asyncio.StreamReader, left: int, *, pause: float = 0.0) -> None:
    """Read *left* bytes, a quarter of a megabyte at a time with a *pause* after each."""
    while left:
        want = min(left, 1 << 18)
        await reader.readexactly(want)
        left -= want
        await asyncio.sleep(pause)


def timed(serve: Serve, picture: bytes = PICTURE, **options: Any) -> tuple[Any, float]:
    """What a submission to a server of this manner ends with, and after how many virtual seconds."""

    async def main() -> tuple[Any, float]:
        plug = socket.socket()
        # A line that buffers megabytes would not be slow.
        plug.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        plug.bind(("127.0.0.1", 0))
        busy: set[asyncio.Task[Any]] = set()

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            busy.add(task)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await serve(reader, writer)
            writer.close()

        server = await asyncio.start_server(one, sock=plug, limit=1 << 16)
        base = f"http://127.0.0.1:{plug.getsockname()[1]}"
        loop = asyncio.get_running_loop()
        settings: dict[str, Any] = {"timeouts": TIMES, "clock": VirtualClock(), "proxy": ""}
        async with AsyncKling("key", base_url=base, **settings) as kling:
            began = loop.time()
            try:
                result: Any = (
                    await kling.videos.create_avatar(
                        picture, sound_file=SOUND, options=CallOptions(preflight=False, **options)
                    )
                ).id
            except AvatarKitError as error:
                result = error
            seconds = loop.time() - began
        server.close()
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        return result, seconds

    found: tuple[Any, float] = run_virtual(main)
    return found


def test_a_slow_line_may_take_its_time() -> None:
    """Eight megabytes at 26 KB/s take five minutes, ten times the time for a submission, and are accepted."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await drain(reader, await head(reader), pause=10.0)
        writer.write(GOOD)
        await writer.drain()

    result, seconds = timed(slow)
    assert result == "871"
    assert 200 < seconds < 400


def test_a_line_that_stands_still_is_given_up() -> None:
    """When nothing moves for ``read`` seconds it is over, and in doubt, for bytes went out."""

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await drain(reader, min(await head(reader), 1 << 20))
        await asyncio.sleep(10_000)

    result, seconds = timed(stall)
    assert isinstance(result, SubmissionInDoubt)
    assert "timed out" in result.reason
    assert 30 <= seconds < 40


def test_the_answer_s_time_counts_from_the_last_byte() -> None:
    """A server that takes 100 s for the body and never answers is waited for 30 s more, and 30 s for the rest."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = await head(reader)
        await drain(reader, length, pause=100 / (length / (1 << 18)))
        await asyncio.sleep(10_000)

    result, seconds = timed(mute)
    assert isinstance(result, SubmissionInDoubt)
    assert 110 < seconds <= 161


def test_a_slow_answer_within_its_time_is_waited_for() -> None:
    """An answer 20 s after the last byte is taken, whatever the upload took."""

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await drain(reader, await head(reader), pause=2.0)
        await asyncio.sleep(20)
        writer.write(GOOD)
        await writer.drain()

    result, seconds = timed(late)
    assert (result, seconds > 60) == ("871", True)


def test_the_deadline_of_the_call_bounds_it_all() -> None:
    """However well the bytes move, a call's own time-out is the end."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await drain(reader, await head(reader), pause=10.0)

    result, seconds = timed(slow, timeout=70)
    assert isinstance(result, SubmissionInDoubt)
    assert seconds == pytest.approx(70, abs=1)


class Gate:
    """Lets everything out and notes nothing."""

    async def open(self, ticket: Ticket) -> float | None:
        return None

    async def settled(self, ticket: Ticket, outcome: str, **_: Any) -> None:
        pass


def test_with_a_gate_the_bound_is_fixed() -> None:
    """A ledger concludes from the time that nothing is on its way any more: then 30 s are 30 s, for any body."""

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await drain(reader, await head(reader), pause=10.0)

    result, seconds = timed(slow, gate=Gate())
    assert isinstance(result, SubmissionInDoubt)
    assert seconds == pytest.approx(30, abs=1)


def test_a_small_body_has_the_usual_time() -> None:
    """Below a quarter of a megabyte nothing changes: 30 s for request and answer."""

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await drain(reader, await head(reader))
        await asyncio.sleep(10_000)

    result, seconds = timed(mute, SMALL)
    assert isinstance(result, SubmissionInDoubt)
    assert seconds == pytest.approx(30, abs=1)


def test_an_answer_before_the_body_s_end_is_taken() -> None:
    """A refusal that comes while the body is being sent is the answer; what is written after it disturbs nobody."""
    words = b'{"code":1201,"message":"too large","request_id":"r"}'

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = await head(reader)
        await drain(reader, 1 << 20)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n" % len(words) + words)
        await writer.drain()
        await drain(reader, length - (1 << 20), pause=0.1)

    result, _ = timed(refuse)
    assert isinstance(result, BadRequest)
    assert "too large" in str(result)


def test_progress_after_the_end_moves_no_bound() -> None:
    """A body that is still written when the exchange is over calls a watch that has nothing left to do."""

    class Body:
        size = LARGE + 1
        content_type = "text/plain"

    async def main() -> None:
        patience = patience_for(Body(), silence=1, answer=1, limit=None)
        assert isinstance(patience, Patience)
        await patience.over(asyncio.sleep(0))
        patience._moved(5)
        patience._started()

    run_virtual(main)
    assert patience_for(None, silence=1, answer=1, limit=None) is None
