"""The gate in front of a billed request: nothing goes out before it opened, and it hears of every outcome first."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from bulk_house import Bulk, bulk_house, in_virtual_time

from avatarkit import CallOptions, errors
from avatarkit.models import Ticket


class Gate:
    """Keeps a diary of what it was asked and told."""

    def __init__(
        self, box: Any, *, shut: errors.AvatarKitError | None = None, seconds: float | None = None
    ) -> None:
        self.diary: list[tuple[str, int]] = []
        self.tickets: list[Ticket] = []
        self.told: list[dict[str, Any]] = []
        self._box = box
        self._shut = shut
        self._seconds = seconds
        self.wait = 0.0
        self.broken: errors.AvatarKitError | None = None

    async def open(self, ticket: Ticket) -> float | None:
        self.diary.append(("open", len(self._box.seen.tasks)))
        self.tickets.append(ticket)
        if self.wait:
            await asyncio.sleep(self.wait)
        if self._shut is not None:
            raise self._shut
        return self._seconds

    async def settled(self, ticket: Ticket, outcome: str, **facts: Any) -> None:
        self.diary.append((outcome, len(self._box.seen.tasks)))
        self.told.append(facts)
        assert ticket == self.tickets[-1]
        if self.broken is not None:
            raise self.broken


def on_hifly(tmp_path: Path, main: Any, **options: Any) -> None:
    async def inside() -> None:
        async with bulk_house(tmp_path, "hifly", **options) as bulk:
            await main(bulk)

    in_virtual_time(inside)


async def create(bulk: Bulk, gate: Gate, **options: Any) -> Any:
    given = CallOptions(gate=gate, retries=0, **options)
    return await bulk.client.videos.create_by_tts(**bulk.base, text="Hello", options=given)


def test_the_gate_opens_before_the_request_and_hears_of_the_task_before_the_caller(tmp_path: Path) -> None:
    """Asked when nothing was made yet, told the task's id and token once it was."""

    async def main(bulk: Bulk) -> None:
        gate, before = Gate(bulk.box), len(bulk.box.seen.tasks)
        task = await create(bulk, gate)
        assert gate.diary == [("open", before), ("accepted", before + 1)]
        assert gate.told == [{"task_id": task.id, "token": task.to_token(), "error": None}]
        assert gate.tickets[0].marker.startswith("ak-")

    on_hifly(tmp_path, main)


def test_a_shut_gate_keeps_the_request_from_going_out(tmp_path: Path) -> None:
    """Its error is handed to the caller, and nothing was sent."""

    async def main(bulk: Bulk) -> None:
        before = len(bulk.box.seen.tasks)
        gate = Gate(bulk.box, shut=errors.DeadlineExceeded("no slot"))
        with pytest.raises(errors.DeadlineExceeded, match="no slot"):
            await create(bulk, gate)
        assert gate.diary == [("open", before)]
        assert len(bulk.box.seen.tasks) == before

    on_hifly(tmp_path, main)


def test_a_request_that_missed_the_gates_time_is_not_sent(tmp_path: Path) -> None:
    """The gate allowed it a time that is over when the connection stands: it stays here, and the gate is told so."""

    async def main(bulk: Bulk) -> None:
        before = len(bulk.box.seen.tasks)
        gate = Gate(bulk.box, seconds=-1.0)
        with pytest.raises(errors.NotSent):
            await create(bulk, gate)
        assert gate.diary == [("open", before), ("not sent", before)]

    on_hifly(tmp_path, main)


def test_a_lost_answer_is_told_as_a_doubt(tmp_path: Path) -> None:
    """The task exists, its answer was lost: the gate hears "in doubt" and the caller gets the ticket."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add("POST */create_by_tts", "reset_after")
        gate = Gate(bulk.box)
        with pytest.raises(errors.SubmissionInDoubt) as caught:
            await create(bulk, gate)
        assert gate.diary[-1][0] == "in doubt"
        assert caught.value.ticket == gate.tickets[0]

    on_hifly(tmp_path, main)


def test_too_many_running_is_raised_at_once(tmp_path: Path) -> None:
    """With a gate the client waits for no slot: what may run is the gate's business."""

    async def main(bulk: Bulk) -> None:
        tasks = [await create(bulk, Gate(bulk.box)) for _ in range(2)]
        gate, loop = Gate(bulk.box), asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(errors.TooManyRunning):
            await create(bulk, gate)
        assert gate.diary[-1][0] == "try later"
        assert loop.time() - began < 1
        assert len({task.id for task in tasks}) == 2

    on_hifly(tmp_path, main, max_running=2)


def test_a_cancelled_caller_does_not_keep_the_gate_from_hearing(tmp_path: Path) -> None:
    """The caller goes away while the request is under way: the gate is told the task's token all the same."""

    async def main(bulk: Bulk) -> None:
        bulk.box.faults.add("POST */create_by_tts", "slow_first_byte")
        gate = Gate(bulk.box)
        calling = asyncio.ensure_future(create(bulk, gate))
        await asyncio.sleep(5)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.sleep(60)
        assert gate.diary[-1][0] == "accepted"
        assert gate.told[-1]["token"]

    on_hifly(tmp_path, main)


def test_a_caller_who_leaves_while_the_gate_thinks_sends_nothing(tmp_path: Path) -> None:
    """Cancelled before the gate has opened: nothing goes out, and the gate hears that it was not sent."""

    async def main(bulk: Bulk) -> None:
        before, gate = len(bulk.box.seen.tasks), Gate(bulk.box)
        gate.wait = 10.0
        calling = asyncio.ensure_future(create(bulk, gate))
        await asyncio.sleep(1)
        calling.cancel()
        await asyncio.sleep(60)
        assert gate.diary[-1] == ("not sent", before)
        assert len(bulk.box.seen.tasks) == before

    on_hifly(tmp_path, main)


def test_a_gate_that_cannot_write_down_an_acceptance_hands_the_token_to_the_caller(tmp_path: Path) -> None:
    """The task was paid for and the ledger failed: its error carries the token."""

    async def main(bulk: Bulk) -> None:
        gate = Gate(bulk.box)
        gate.broken = errors.ConfigurationError("the disk is full")
        with pytest.raises(errors.ConfigurationError) as caught:
            await create(bulk, gate)
        assert bulk.client.task(caught.value.token).id == bulk.box.seen.tasks[-1]["id"]

    on_hifly(tmp_path, main)


def test_an_answer_at_once_is_gated_as_well(tmp_path: Path) -> None:
    """Kling's speech makes no task but is billed: the gate opens before it and hears of it."""

    async def inside() -> None:
        async with bulk_house(tmp_path, "kling") as bulk:
            speak = bulk.client.audios.create_by_tts
            gate = Gate(bulk.box)
            options = CallOptions(gate=gate, retries=0)
            audio = await speak(text="Hello", voice_id="oversea_male1", voice_language="en", options=options)
            assert audio.id
            assert [what for what, _ in gate.diary] == ["open", "accepted"]
            shut = Gate(bulk.box, shut=errors.DeadlineExceeded("later"))
            with pytest.raises(errors.DeadlineExceeded):
                await speak(
                    text="Hello",
                    voice_id="oversea_male1",
                    voice_language="en",
                    options=CallOptions(gate=shut, retries=0),
                )
            bulk.box.faults.add("POST */tts", "reset_after")
            lost = Gate(bulk.box)
            with pytest.raises(errors.SubmissionInDoubt):
                await speak(
                    text="Hello",
                    voice_id="oversea_male1",
                    voice_language="en",
                    options=CallOptions(gate=lost, retries=0),
                )
            assert [what for what, _ in lost.diary] == ["open", "in doubt"]

    in_virtual_time(inside)
