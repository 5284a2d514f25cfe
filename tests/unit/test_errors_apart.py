"""One failure that ends many waits: each caller gets an error of its own, which names its own task."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from avatarkit import AsyncGuiji, AsyncKling, AuthenticationError, AvatarKitError
from avatarkit.models import Kind
from avatarkit.protocol.handle import Handle, to_token
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.watched import own
from avatarkit.transport.wire import WireAnswer


class Refusing:
    """A wire at whose end nobody takes the credentials."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def connect(self, url: str) -> None:
        """Nothing to do."""

    async def exchange(self, asked: object) -> WireAnswer:
        await asyncio.sleep(0.1)
        return WireAnswer(401, {"Content-Type": "application/json"}, self._body)


def test_a_list_that_is_refused_names_each_waiter_s_task() -> None:
    """One request looks at all of them, and its error comes to all: each time with one token, its own."""

    async def main() -> None:
        wire: Any = Refusing(b'{"code": 1000, "message": "no", "request_id": "r"}')
        clock = VirtualClock()
        async with AsyncKling(access_key="a", secret_key="b", wire=wire, clock=clock) as kling:
            told: dict[str, Any] = {"provider": "kling", "account": kling.account_id, "kind": Kind.VIDEO}
            born = clock.time() - 4000
            tokens = [to_token(Handle(**told, task_id=f"t{n}", born=born)) for n in range(3)]
            waits = [kling.task(token).wait(10) for token in (*tokens, tokens[0])]
            errors: list[Any] = list(await asyncio.gather(*waits, return_exceptions=True))
        assert {type(error) for error in errors} == {AuthenticationError}
        assert len({id(error) for error in errors}) == 4
        for error, token in zip(errors, (*tokens, tokens[0]), strict=True):
            assert error.token == token
            assert [note for note in error.__notes__ if "avk1." in note and token not in note] == []

    run_virtual(main)


def test_a_copy_says_where_it_came_from() -> None:
    """Traceback and cause are the first one's; notes are its own."""

    def fails() -> None:
        try:
            raise OSError("the wire")
        except OSError as cause:
            raise AvatarKitError("no answer") from cause

    with pytest.raises(AvatarKitError) as caught:
        fails()
    error = caught.value
    copied = own(error)
    copied.add_note("mine")
    assert (copied.__cause__, copied.__traceback__) == (error.__cause__, error.__traceback__)
    assert isinstance(copied.__cause__, OSError)
    assert not hasattr(error, "__notes__")


def test_a_grant_that_is_refused_is_each_caller_s_own_error() -> None:
    """One renewal serves everybody; what is noted on one caller's error is not on another's."""

    async def main() -> None:
        wire: Any = Refusing(b'{"code": "40001", "message": "bad app id", "data": null}')
        async with AsyncGuiji("a" * 8, "b" * 8, wire=wire, clock=VirtualClock()) as guiji:
            calls = (guiji.account.benefits() for _ in range(3))
            errors: list[Any] = list(await asyncio.gather(*calls, return_exceptions=True))
        assert all(isinstance(error, AvatarKitError) for error in errors)
        assert len({id(error) for error in errors}) == 3
        errors[0].add_note("mine")
        assert sum("mine" in getattr(error, "__notes__", ()) for error in errors) == 1

    run_virtual(main)
