"""Several accounts as one: even spread, room, failover only when nothing was taken, handles that find home."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from avatarkit import (
    AsyncHiFly,
    AsyncKling,
    AsyncPool,
    AuthenticationError,
    BadRequest,
    CallOptions,
    ClientClosed,
    ConfigurationError,
    DeadlineExceeded,
    InsufficientCredits,
    InvalidHandle,
    InvalidRequest,
    ModerationRefused,
    NotSent,
    SubmissionInDoubt,
    Ticket,
    Timeouts,
    TooManyRunning,
    UnsupportedOperation,
    VideoRequest,
)
from avatarkit.errors import AvatarKitError, EntitlementError, UploadFailed
from avatarkit.protocol.plan import Made, Step
from avatarkit.routing import surely_nothing_made
from avatarkit.sandbox.faults import Fault, FaultKind
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.slot_pass import brought

TTS = "POST /video/create_by_tts"


@attrs.define
class Stage:
    """A sandbox with two HiFly accounts, "a" and "b", and one of Kling's; clients of all, and the pool."""

    box: AsyncSandbox
    clock: VirtualClock
    pool: AsyncPool
    a: AsyncHiFly
    b: AsyncHiFly
    kling: AsyncKling
    avatar: str
    voice: str

    def request(self, **changes: Any) -> VideoRequest:
        return VideoRequest(**{"avatar": self.avatar, "voice": self.voice, "text": "Hello", **changes})

    def accounts(self) -> list[str]:
        return [task["account"] for task in self.box.seen.tasks]

    def out(self) -> dict[str, int]:
        """Slots that are taken, by account."""
        pairs = {"a": self.a, "b": self.b}
        return {name: client._account.slots["works"].running for name, client in pairs.items()}

    async def many(self, count: int, **how: Any) -> list[Any]:
        calls = (self.pool.generate(self.request(), **how) for _ in range(count))
        return await asyncio.gather(*calls, return_exceptions=True)


@asynccontextmanager
async def stage(
    *, sandbox: dict[str, Any] | None = None, b: dict[str, Any] | None = None, **client: Any
) -> AsyncIterator[Stage]:
    clock = VirtualClock()
    async with AsyncSandbox(clock=clock, render="tiny", token="a", **(sandbox or {})) as box:
        box.add_account("b", provider="hifly", **(b or {}))
        given: dict[str, Any] = {"clock": clock, "seed": 1, **client}
        one = AsyncHiFly("a", base_url=box.base_url("hifly"), **given)
        two = AsyncHiFly("b", base_url=box.base_url("hifly"), **given)
        kling = AsyncKling("a", base_url=box.base_url("kling"), **given)
        async with AsyncPool([one, two, kling]) as pool:
            avatar = (await one.avatars.list(size=1)).items[0].id
            voice = (await one.voices.list(size=1, kind=2)).items[0].id
            box.seen.requests.clear()
            yield Stage(box, clock, pool, one, two, kling, avatar, voice)


def of_others(error: BaseException) -> list[str]:
    """The notes that tell how other accounts refused."""
    return [note for note in error.__notes__ if note.startswith("before that, ")]


def on_stage(test: Callable[[Stage], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with stage(**options) as scene:
            await test(scene)

    run_virtual(main)


def test_work_is_spread_evenly() -> None:
    """Ten requests one after the other: five for each of the two accounts that can do them."""

    async def test(scene: Stage) -> None:
        for _ in range(10):
            await scene.pool.generate(scene.request())
        assert Counter(scene.accounts()) == {"a": 5, "b": 5}

    on_stage(test)


def test_nobody_waits_while_another_account_has_room() -> None:
    """Of caps two and six, which nobody told the pool, all eight are in use at once; no refusal is raised."""

    async def test(scene: Stage) -> None:
        ended = await asyncio.wait_for(scene.many(8), 30)
        assert not [error for error in ended if isinstance(error, BaseException)]
        assert Counter(scene.accounts()) == {"a": 2, "b": 6}
        assert scene.out() == {"a": 2, "b": 6}

    on_stage(test, sandbox={"max_running": 2, "run_seconds": 900}, b={"max_running": 6})


def test_when_all_is_taken_the_first_free_slot_is_used() -> None:
    """Thirty requests over caps of one and two all succeed, none is submitted twice, refusals stay few."""

    async def test(scene: Stage) -> None:
        ended = await scene.many(30)
        assert not [error for error in ended if isinstance(error, BaseException)]
        assert len(scene.accounts()) == 30
        assert scene.box.seen.peak_running <= 3
        # Caps are tried anew now and then.
        assert scene.box.seen.requests[TTS] < 30 + 10
        videos = await asyncio.gather(*(task.wait() for task in ended))
        assert len({video.url for video in videos}) == 30
        assert scene.out() == {"a": 0, "b": 0}

    on_stage(test, sandbox={"max_running": 1, "run_seconds": 30}, b={"max_running": 2})


def test_a_known_cap_is_never_tried() -> None:
    """With max_running given to the clients, no submission is ever refused, and both are used to the full."""

    async def test(scene: Stage) -> None:
        ended = await scene.many(12)
        assert not [error for error in ended if isinstance(error, BaseException)]
        assert scene.box.seen.requests[TTS] == 12
        assert scene.box.seen.peak_running == 2

    on_stage(test, sandbox={"max_running": 1, "run_seconds": 30}, b={"max_running": 1}, max_running=1)


def test_those_who_use_a_client_by_itself_are_served_in_turn() -> None:
    """Who waited at one client first gets its slot before calls of the pool that came later."""

    async def test(scene: Stage) -> None:
        ended: list[str] = []

        async def direct(name: str) -> None:
            await scene.a.generate(scene.request())
            ended.append(name)

        async def pooled(name: str) -> None:
            await scene.pool.generate(scene.request(), only=scene.a.account_id)
            ended.append(name)

        calls = [direct, pooled, direct, pooled, pooled, direct]
        tasks = []
        for number, call in enumerate(calls):
            tasks.append(asyncio.create_task(call(str(number))))
            await asyncio.sleep(0.5)
        await asyncio.gather(*tasks)
        assert ended == ["0", "1", "2", "3", "4", "5"]

    on_stage(test, sandbox={"run_seconds": 60}, max_running=1)


def test_no_money_at_one_account_is_another_s_work() -> None:
    """Without credits an account is left alone for five minutes; then, and once it has some, it is used again."""

    async def test(scene: Stage) -> None:
        scene.box.set_account("a", provider="hifly", credits=0)
        for _ in range(6):
            await scene.pool.generate(scene.request())
        assert scene.accounts() == ["b"] * 6
        assert scene.box.seen.requests[TTS] == 7
        await asyncio.sleep(301)
        await scene.many(2)
        assert scene.box.seen.requests[TTS] == 10
        scene.box.set_account("a", provider="hifly", credits=1000)
        await asyncio.sleep(301)
        await scene.many(4)
        assert Counter(scene.accounts()[-4:]) == {"a": 2, "b": 2}

    on_stage(test)


def test_when_all_refuse_the_last_error_tells_of_the_others() -> None:
    """One error, whose notes name the other account and its reason; each was asked once."""

    async def test(scene: Stage) -> None:
        scene.box.set_account("a", provider="hifly", credits=0)
        scene.box.set_account("b", provider="hifly", credits=0)
        with pytest.raises(InsufficientCredits) as caught:
            await scene.pool.generate(scene.request())
        assert scene.box.seen.requests[TTS] == 2
        notes = " ".join(caught.value.__notes__)
        assert "InsufficientCredits" in notes
        assert (scene.a.account_id in notes) != (scene.b.account_id in notes)

    on_stage(test)


def test_accounts_without_money_are_not_stormed() -> None:
    """A hundred calls at once cost each account one refusal in a second; all get an error of their own."""

    async def test(scene: Stage) -> None:
        for token in ("a", "b"):
            scene.box.set_account(token, provider="hifly", credits=0)
        with pytest.raises(InsufficientCredits):
            await scene.pool.generate(scene.request())
        began = asyncio.get_running_loop().time()
        ended = await scene.many(100)
        seconds = asyncio.get_running_loop().time() - began
        assert {type(error) for error in ended} == {InsufficientCredits}
        assert len({id(error) for error in ended}) == 100
        assert max(len(of_others(error)) for error in ended) == 1
        assert scene.box.seen.requests[TTS] <= 2 + 2 * math.ceil(seconds)
        assert seconds < 5

    on_stage(test, max_running=1)


def test_refused_credentials_are_another_account_s_work() -> None:
    """A token that the vendor does not accept is found out once, and left alone."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny", token="a") as box:
            given: dict[str, Any] = {"base_url": box.base_url("hifly"), "clock": clock}
            async with AsyncPool([AsyncHiFly("nobody", **given), AsyncHiFly("a", **given)]) as pool:
                good = pool.clients[1]
                assert isinstance(good, AsyncHiFly)
                avatar = (await good.avatars.list(size=1)).items[0].id
                voice = (await good.voices.list(size=1, kind=2)).items[0].id
                request = VideoRequest(avatar=avatar, voice=voice, text="x")
                for _ in range(4):
                    await pool.generate(request)
                assert box.seen.requests[TTS] == 5
                with pytest.raises(AuthenticationError):
                    await pool.generate(request, only=pool.clients[0].account_id)

    run_virtual(main)


def test_a_doubt_never_fails_over() -> None:
    """A connection lost after the request went out is raised; no second account is asked; its ticket finds home."""

    async def test(scene: Stage) -> None:
        scene.box.faults.add(TTS, "reset_after", times=1)
        with pytest.raises(SubmissionInDoubt) as caught:
            await scene.pool.generate(scene.request())
        assert scene.box.seen.requests[TTS] == 1
        found = await scene.pool.reconcile(caught.value.ticket)
        assert found.explanation
        with pytest.raises(InvalidHandle):
            await scene.pool.reconcile(attrs.evolve(caught.value.ticket, account="another"))

    on_stage(test)


def test_an_account_that_cannot_be_reached_is_passed_over() -> None:
    """Nothing was sent there, so another account may get the request."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny", token="a") as box:
            good = AsyncHiFly("a", base_url=box.base_url("hifly"), clock=clock)
            lost = AsyncHiFly("lost", base_url="http://127.0.0.1:9", clock=clock)
            async with AsyncPool([lost, good]) as pool:
                avatar = (await good.avatars.list(size=1)).items[0].id
                voice = (await good.voices.list(size=1, kind=2)).items[0].id
                request = VideoRequest(avatar=avatar, voice=voice, text="x")
                assert (await pool.generate(request)).id
                with pytest.raises(NotSent):
                    await pool.generate(request, only=lost.account_id)

    run_virtual(main)


def test_a_refused_request_is_not_offered_to_the_same_provider_again() -> None:
    """A wrong parameter is asked about once; with a foreign avatar's id every account is asked, for one may have it."""

    async def test(scene: Stage) -> None:
        clone = "POST /avatar/create_by_video"
        body = b'{"code": 2012, "message": "no"}'
        for where in (clone, TTS):
            fault = Fault(kind=FaultKind.ANSWER, accept=False, status=200, body=body)
            scene.box.faults.add(where, fault, times=10)
        with pytest.raises(BadRequest):
            await scene.pool.generate(
                VideoRequest(video="https://example.com/a.mp4", audio="https://example.com/a.mp3"),
                only="hifly",
            )
        assert scene.box.seen.requests[clone] == 1
        with pytest.raises(BadRequest) as caught:
            await scene.pool.generate(scene.request())
        assert scene.box.seen.requests[TTS] == 2
        assert len(of_others(caught.value)) == 1

    on_stage(test)


def test_what_content_review_refuses_is_not_offered_around() -> None:
    """The refusal is raised at once."""

    async def test(scene: Stage) -> None:
        body = b'{"code": 1011, "message": "a celebrity"}'
        scene.box.faults.add(TTS, Fault(kind=FaultKind.ANSWER, accept=False, status=200, body=body), times=9)
        with pytest.raises(ModerationRefused):
            await scene.pool.generate(scene.request())
        assert scene.box.seen.requests[TTS] == 1

    on_stage(test)


def test_requests_go_only_where_they_can_be_served() -> None:
    """A picture with a prompt is Kling's; a text for an avatar HiFly's; what none can do names those that can."""

    async def test(scene: Stage) -> None:
        titles = [one.title for one in scene.pool.capabilities]
        assert titles == ["HiFly", "Kling"]
        picture = VideoRequest(
            image="https://example.com/face.png", audio="https://example.com/speech.mp3", prompt="smiles"
        )
        for _ in range(2):
            await scene.pool.generate(picture, options=CallOptions(preflight=False))
        assert {task["provider"] for task in scene.box.seen.tasks} == {"kling"}
        with pytest.raises(UnsupportedOperation) as caught:
            await scene.pool.generate(picture, only="hifly")
        assert "kling" in caught.value.providers
        assert "a prompt" in str(caught.value)
        with pytest.raises(UnsupportedOperation) as caught:
            await scene.pool.generate(scene.request(size="720p", prompt="x"))
        assert "HiFly" in str(caught.value)
        with pytest.raises(InvalidRequest):
            await scene.pool.generate(scene.request(text="x" * 1_000_000))
        with pytest.raises(InvalidRequest):
            await scene.pool.generate(VideoRequest(text="x"))
        assert len(scene.accounts()) == 2

    on_stage(test)


def test_only_names_who_may_serve() -> None:
    """Providers and account ids restrict the choice; a name that the pool does not know is refused."""

    async def test(scene: Stage) -> None:
        for _ in range(3):
            await scene.pool.generate(scene.request(), only=[scene.b.account_id])
        assert scene.accounts() == ["b"] * 3
        await scene.pool.generate(scene.request(), only={"hifly", "kling"})
        for wrong in ("guiji", ["hifly", "nobody"], []):
            with pytest.raises(ConfigurationError):
                await scene.pool.generate(scene.request(), only=wrong)

    on_stage(test)


def test_a_clone_is_made_at_one_account_and_its_chain_comes_back() -> None:
    """A chain's token, and a task's, gives the handle of the account it was made at; strangers are refused."""

    async def test(scene: Stage) -> None:
        request = VideoRequest(
            video="https://example.com/a.mp4", voice=scene.voice, text="Hello", options={"kling": {}}
        )
        chains = [await scene.pool.generate(request, only="hifly") for _ in range(2)]
        tokens = [chain.to_token() for chain in chains]
        assert all(token.startswith("avkc1.") for token in tokens)
        for chain, token in zip(chains, tokens, strict=True):
            assert scene.pool.task(token) is chain
        assert (await scene.pool.task(tokens[1]).wait()).url
        assert sorted(scene.accounts()) == ["a", "b", "b"] or sorted(scene.accounts()) == ["a", "a", "b"]
        task = await scene.pool.generate(scene.request(), only=scene.b.account_id)
        again = scene.pool.task(task.to_token())
        assert again == task
        assert again._account is scene.b._account
        stranger = AsyncHiFly("c", base_url=scene.box.base_url("hifly"), clock=scene.clock)
        scene.box.add_account("c", provider="hifly")
        foreign = (await stranger.generate(scene.request())).to_token()
        with pytest.raises(InvalidHandle):
            scene.pool.task(foreign)
        assert scene.pool.task(foreign, same_account=False).id
        for wrong in ("avk1.x", "avkc1.x", "hello"):
            with pytest.raises(InvalidHandle):
                scene.pool.task(wrong)
        await stranger.aclose()

    on_stage(test)


def test_a_time_limit_bounds_the_wait_for_a_slot() -> None:
    """Nobody waits longer than allowed, at however many accounts; nothing is sent then, and no slot is lost."""

    async def test(scene: Stage) -> None:
        await scene.many(2)
        sent = scene.box.seen.requests[TTS]
        began = asyncio.get_running_loop().time()
        for options in (CallOptions(timeout=7), None):
            with pytest.raises(DeadlineExceeded):
                await scene.pool.generate(scene.request(), options=options)
        assert 26 < asyncio.get_running_loop().time() - began < 28
        assert scene.box.seen.requests[TTS] == sent
        await asyncio.sleep(1000)
        assert len(await scene.many(2)) == 2
        assert scene.out() == {"a": 1, "b": 1}

    on_stage(test, sandbox={"run_seconds": 900}, max_running=1, timeouts=Timeouts(slot=20))


def test_a_cap_that_is_not_told_ends_in_the_provider_s_own_refusal() -> None:
    """When time runs out behind refusals for want of a slot, that refusal is what is raised."""

    async def test(scene: Stage) -> None:
        await scene.many(2)
        with pytest.raises(TooManyRunning):
            await scene.pool.generate(scene.request(), options=CallOptions(timeout=7))

    on_stage(test, sandbox={"max_running": 1, "run_seconds": 900}, b={"max_running": 1})


def test_a_cancelled_wait_takes_no_slot_with_it() -> None:
    """Half of those that wait are cancelled, some in the moment in which they get a slot: the others are served."""

    async def test(scene: Stage) -> None:
        first = await scene.many(2)
        calls = [asyncio.create_task(scene.pool.generate(scene.request())) for _ in range(20)]
        await asyncio.sleep(0.1)
        for call in calls[::2]:
            call.cancel()
        scene.a._account.slots["works"].release()  # in this very turn, for whom was just cancelled
        scene.a._account.slots["works"].count_in(1)
        await asyncio.gather(*calls[::2], return_exceptions=True)
        tasks = await asyncio.gather(*calls[1::2])
        await asyncio.gather(*(task.wait() for task in [*first, *tasks]))
        assert len(scene.accounts()) == 12
        assert scene.out() == {"a": 0, "b": 0}

    on_stage(test, sandbox={"run_seconds": 30}, max_running=1)


def test_a_cancelled_submission_is_told_of() -> None:
    """A call that is cancelled while its request is under way leaves a detached submission with the token."""

    async def test(scene: Stage) -> None:
        scene.box.faults.add(TTS, Fault(kind=FaultKind.SLOW_FIRST_BYTE, seconds=5), times=1)
        call = asyncio.create_task(scene.pool.generate(scene.request()))
        await asyncio.sleep(2)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.sleep(10)
        (lost,) = scene.pool.detached_submissions
        assert lost.outcome == "accepted"
        assert (await scene.pool.task(lost.token).wait()).url
        assert sum(scene.out().values()) == 0

    on_stage(test)


def test_closing_ends_the_waits() -> None:
    """Calls that wait for a slot end with ClientClosed, unsent; the clients are closed as well."""

    async def test(scene: Stage) -> None:
        await scene.many(2)
        calls = [asyncio.create_task(scene.pool.generate(scene.request())) for _ in range(5)]
        await asyncio.sleep(1)
        await scene.pool.aclose()
        await scene.pool.aclose()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(error) for error in ended} == {ClientClosed}
        assert len(scene.accounts()) == 2
        assert all(client.closed for client in scene.pool.clients)
        assert scene.pool.closed
        with pytest.raises(ClientClosed):
            await scene.pool.generate(scene.request())

    on_stage(test, sandbox={"run_seconds": 900}, max_running=1)


def test_clients_may_be_left_open() -> None:
    """With close_clients=False the pool's end is not theirs; one that is closed by itself is passed over."""

    async def test(scene: Stage) -> None:
        async with AsyncPool([scene.a, scene.b], close_clients=False) as pool:
            await pool.generate(scene.request())
        assert not scene.a.closed
        with pytest.raises(ClientClosed):
            await pool.generate(scene.request())
        await scene.a.aclose()
        await scene.many(2)
        assert scene.accounts()[1:] == ["b", "b"]
        await scene.b.aclose()
        with pytest.raises(ClientClosed):
            await scene.pool.generate(scene.request(), only="hifly")

    on_stage(test)


def test_what_is_no_pool() -> None:
    """None without clients, and none with one account twice; one name at two vendors is two accounts."""
    one, two = AsyncHiFly("a"), AsyncHiFly("a")
    with pytest.raises(ConfigurationError):
        AsyncPool([])
    with pytest.raises(ConfigurationError):
        AsyncPool([one, two])
    assert one.account_id in repr(AsyncPool([one]))
    assert AsyncPool([AsyncHiFly("a", account="studio"), AsyncKling("a", account="studio")])


def test_a_gate_is_asked_at_each_account() -> None:
    """With a gate the accounts' slots are left alone, and a refusal for now goes to the next account at once."""

    class Gate:
        def __init__(self) -> None:
            self.told: list[tuple[str, str]] = []

        async def open(self, ticket: Ticket) -> float | None:
            return None

        async def settled(self, ticket: Ticket, outcome: str, **_: Any) -> None:
            self.told.append((ticket.account, outcome))

    async def test(scene: Stage) -> None:
        gate = Gate()
        for _ in range(2):
            await scene.pool.generate(scene.request(), options=CallOptions(gate=gate))
        with pytest.raises(TooManyRunning):
            await scene.pool.generate(scene.request(), options=CallOptions(gate=gate))
        assert Counter(outcome for _, outcome in gate.told) == {"accepted": 2, "try later": 3}
        assert len({account for account, _ in gate.told}) == 2
        assert scene.out() == {"a": 0, "b": 0}

    on_stage(test, sandbox={"max_running": 0, "run_seconds": 900}, b={"max_running": 2})


def test_no_slot_pass_is_left_in_the_context() -> None:
    """After a call, whatever its end, later submissions in the same context wait for slots as usual."""

    async def test(scene: Stage) -> None:
        await scene.pool.generate(scene.request())
        scene.box.faults.add(TTS, "reset_after", times=1)
        with pytest.raises(SubmissionInDoubt):
            await scene.pool.generate(scene.request())
        assert brought.get() is None

    on_stage(test)


_TASK = Step(operation="videos.create", arguments={})
_AT_ONCE = Step(operation="audios.create_by_tts", arguments={"x": Made(0)}, makes=None)


@pytest.mark.parametrize(
    ("first", "error", "sure"),
    [
        (_TASK, InsufficientCredits("no"), True),
        (_TASK, UploadFailed("no"), True),
        (_TASK, ModerationRefused("no"), False),
        (_TASK, AvatarKitError("no outcome"), False),
        (_AT_ONCE, InsufficientCredits("no", endpoint="audios.create_by_tts"), True),
        (_AT_ONCE, InsufficientCredits("no", endpoint="videos.create_avatar"), False),
        (_AT_ONCE, NotSent("no", endpoint="videos.create_avatar"), False),
        (_AT_ONCE, InvalidRequest("no"), False),
    ],
)
def test_what_was_paid_for_is_not_paid_for_elsewhere(first: Step, error: AvatarKitError, sure: bool) -> None:
    """After a step that was billed at once, the failure of a later step goes to no other account."""
    assert surely_nothing_made(first, error) is sure


def test_an_error_that_names_a_task_is_never_followed_by_another_try() -> None:
    """A gate that could not write down an accepted task raises an error with its token: it was paid for."""
    error = InsufficientCredits("no")
    error.token = "avk1.x"
    assert not surely_nothing_made(_TASK, error)


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """What was logged at *level* of accounts."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and record.name == "avatarkit" and " account " in record.getMessage()
    ]


def test_an_account_that_is_left_out_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """Credentials that are refused are told once, with account and reason, not once a call; nor after each rest."""
    caplog.set_level(logging.INFO, "avatarkit")

    async def test(scene: Stage) -> None:
        revoked = AsyncHiFly("revoked", base_url=scene.box.base_url("hifly"), clock=scene.clock, seed=1)
        async with AsyncPool([revoked, scene.b]) as pool:
            for _ in range(20):
                await pool.generate(scene.request())
            (line,) = lines(caplog, logging.WARNING)
            assert f"hifly account {revoked.account_id}" in line
            assert "AuthenticationError" in line
            assert "300 s" in line
            assert "revoked" not in line
            before = scene.box.seen.requests[TTS]
            await asyncio.sleep(400)
            for _ in range(4):
                await pool.generate(scene.request())
            assert scene.box.seen.requests[TTS] == before + 5  # it was asked once more
            assert len(lines(caplog, logging.WARNING)) == 1

    on_stage(test)


def test_each_change_of_state_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Out of money, back, and out again: two warnings, and a line at INFO between them."""
    caplog.set_level(logging.INFO, "avatarkit")

    async def test(scene: Stage) -> None:
        for round_ in (1, 2):
            scene.box.set_account("a", provider="hifly", credits=0)
            await scene.many(2)
            assert len(lines(caplog, logging.WARNING)) == round_
            scene.box.set_account("a", provider="hifly", credits=1e6)
            await asyncio.sleep(400)
            await scene.many(4)
            assert sum("again" in line and "serves" in line for line in lines(caplog, logging.INFO)) == round_
        assert all("InsufficientCredits" in line for line in lines(caplog, logging.WARNING))

    on_stage(test)


def test_other_failovers_are_no_warnings(caplog: pytest.LogCaptureFixture) -> None:
    """A request that goes to another account for a passing reason is a line at INFO."""
    caplog.set_level(logging.INFO, "avatarkit")

    async def test(scene: Stage) -> None:
        body = b'{"code": 2012, "message": "bad"}'
        scene.box.faults.add(TTS, Fault(kind=FaultKind.ANSWER, accept=False, status=200, body=body))
        await scene.pool.generate(scene.request())
        assert lines(caplog, logging.WARNING) == []
        (line,) = lines(caplog, logging.INFO)
        assert "did not take a request" in line

    on_stage(test)


def test_what_a_plan_lacks_is_told_once_though_the_account_serves_other_work(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Success with one operation does not end the rest from another, nor make it a warning again."""

    async def test(scene: Stage) -> None:
        member = scene.pool._roster.members[0]
        error = EntitlementError("no such plan", provider="hifly")
        member.leave_alone("one", 1.0, error, 300.0)
        member.serves("two")
        assert member.rest("one") == (1.0, error)
        member.leave_alone("one", 400.0, error, 300.0)
        assert len(lines(caplog, logging.WARNING)) == 1
        member.serves("one")
        assert member.rest("one") is None

    on_stage(test)
