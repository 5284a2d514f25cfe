"""A pool of accounts on both sides: two of one provider and one of another, against one sandbox."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sides import Side

import avatarkit
from avatarkit import AsyncPool, ClientClosed, InsufficientCredits, InvalidHandle, Pool, VideoRequest
from avatarkit.errors import SubmissionInDoubt

TTS = "POST /video/create_by_tts"
MATERIAL = {"image": "https://example.com/face.png", "audio": "https://example.com/speech.mp3"}


class Accounts:
    """A sandbox with the HiFly accounts "a" and "b" and Kling's "a", their clients, and a pool of them."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.box = side.sandbox(render="tiny", token="a", run_seconds=30)
        self.box.start()
        self.box.add_account("b", provider="hifly")
        self.clients = [self._client("hifly", "a"), self._client("hifly", "b"), self._client("kling", "a")]
        hifly = self.clients[0]
        self.request = VideoRequest(
            avatar=hifly.avatars.list(size=1).items[0].id,
            voice=hifly.voices.list(size=1, kind=2).items[0].id,
            text="Hello",
        )

    def _client(self, provider: str, token: str) -> Any:
        given = {"base_url": self.box.base_url(provider), "seed": 1, "preflight": False}
        return self.side.client(provider, token, **given)

    def pool(self, **options: Any) -> Any:
        if self.side.name == "blocking":
            return Pool(self.clients, **options)
        return self.side.wrap(AsyncPool([self.side.original(one) for one in self.clients], **options))  # type: ignore[attr-defined]

    def at(self) -> Counter[str]:
        """Tasks by account."""
        return Counter(f"{task['provider']} {task['account']}" for task in self.box.seen.tasks)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.box.close()


@pytest.fixture
def accounts(side: Side) -> Iterator[Accounts]:
    accounts = Accounts(side)
    try:
        yield accounts
    finally:
        accounts.close()


def test_work_goes_where_it_can_be_done(accounts: Accounts) -> None:
    """Ten at once: five for each of HiFly's accounts; a picture goes to Kling; all yield videos."""
    with accounts.pool() as pool:
        calls = [partial(pool.generate, accounts.request) for _ in range(10)]
        calls.append(partial(pool.generate, VideoRequest(prompt="smiles", **MATERIAL)))
        tasks = accounts.side.together(*calls)
        assert accounts.at() == {"hifly a": 5, "hifly b": 5, "kling a": 1}
        videos = accounts.side.together(*(partial(task.wait) for task in tasks))
        assert len({video.url for video in videos}) == 11
        assert [one.provider for one in pool.capabilities] == ["hifly", "kling"]


def test_more_than_may_run_wait_for_the_first_free_slot(accounts: Accounts) -> None:
    """With caps of one and three that nobody told, sixteen at once succeed within about four rounds."""
    accounts.box.set_account("a", max_running=1)
    accounts.box.set_account("b", max_running=3)
    with accounts.pool() as pool:
        tasks = accounts.side.together(*(partial(pool.generate, accounts.request) for _ in range(16)))
        assert len({task.id for task in tasks}) == 16
        assert accounts.side.now() < 5 * 35
        assert accounts.box.seen.peak_running <= 4
        assert accounts.at()["hifly b"] > 8


def test_an_account_without_money_is_passed_over(accounts: Accounts) -> None:
    """The other one does its work; when both have none, the error has the other's in its notes."""
    accounts.box.set_account("a", credits=0)
    with accounts.pool() as pool:
        for _ in range(3):
            pool.generate(accounts.request)
        assert accounts.at() == {"hifly b": 3}
        accounts.box.set_account("b", credits=0)
        with pytest.raises(InsufficientCredits) as caught:
            pool.generate(accounts.request)
        assert len([note for note in caught.value.__notes__ if note.startswith("before that, ")]) == 1


def test_a_doubt_is_the_caller_s(accounts: Accounts) -> None:
    """It goes to no other account, and the pool knows whose ticket it is."""
    with accounts.pool() as pool:
        accounts.box.faults.add(TTS, "reset_after", times=1)
        with pytest.raises(SubmissionInDoubt) as caught:
            pool.generate(accounts.request)
        assert accounts.box.seen.requests[TTS] == 1
        assert pool.reconcile(caught.value.ticket).finding
        assert pool.detached_submissions == ()


def test_tokens_find_their_account(accounts: Accounts) -> None:
    """A task's and a chain's token give their handles, also at a pool made later; another's is refused."""
    clone = VideoRequest(video="https://example.com/a.mp4", voice=accounts.request.voice, text="Hello")
    with accounts.pool(close_clients=False) as pool:
        tokens = [pool.generate(request, only="hifly").to_token() for request in (accounts.request, clone)]
        assert tokens[1].startswith("avkc1.")
        assert all(pool.task(token).to_token() == token for token in tokens)
    with accounts.pool(close_clients=False) as pool:
        assert all(pool.task(token).wait().url for token in tokens)
        with pytest.raises(InvalidHandle):
            pool.task("avk1.nonsense")
    assert not any(client.closed for client in accounts.clients)


def test_closing_a_pool_closes_its_clients(accounts: Accounts) -> None:
    """Unless it is told to leave them open; twice is once."""
    pool = accounts.pool()
    assert list(pool.clients) == accounts.clients
    pool.close()
    pool.close()
    assert pool.closed
    assert all(client.closed for client in accounts.clients)
    with pytest.raises(ClientClosed):
        pool.generate(accounts.request)


def test_waits_end_when_the_pool_is_closed(accounts: Accounts) -> None:
    """Calls that wait for a slot end with ClientClosed, and nothing more is sent."""
    accounts.box.set_account("a", max_running=1)
    accounts.box.set_account("b", max_running=1)
    pool = accounts.pool()
    tasks = [pool.generate(accounts.request) for _ in range(2)]
    assert len(tasks) == 2

    calls = [partial(pool.generate, accounts.request) for _ in range(3)]
    ended = accounts.side.together(*calls, partial(pool.close))[:-1]
    assert {type(error) for error in ended} == {ClientClosed}
    assert sum(accounts.at().values()) == 2


def test_a_blocking_pool_keeps_its_clients(side: Side) -> None:
    """Clients that only the pool holds stay open, though they were used before, until the pool is closed."""
    if side.name == "async":
        assert AsyncPool._twins is None
        return
    with avatarkit.Sandbox(clock=side.clock, render="tiny") as box:
        hifly = avatarkit.HiFly(box.token, base_url=box.base_url("hifly"), clock=side.clock)
        hifly.account.credit()
        pool = Pool([hifly])
        del hifly
        gc.collect()
        side.sleep(1)
        assert not pool.clients[0].closed
        pool.close()
        assert pool.clients[0].closed
