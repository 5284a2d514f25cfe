"""Client options and credentials: what is wrong is told when the client is made, without secrets."""

from __future__ import annotations

import asyncio
import copy
import math
import os
import pickle
from pathlib import Path
from typing import Any, cast

import pytest
from account_house import NOWHERE, PASSWORD, hifly

import avatarkit
from avatarkit import (
    AsyncGuiji,
    AsyncHiFly,
    AsyncKling,
    AsyncTask,
    CallOptions,
    ConfigurationError,
    HiFly,
    InvalidHandle,
    InvalidRequest,
    Polling,
    RateLimit,
    RetryPolicy,
    Timeouts,
    providers,
)
from avatarkit.protocol.handle import Handle, to_token
from avatarkit.testing import VirtualClock

# -- options ----------------------------------------------------------------------------------------------------------


async def _awaited(event: object) -> None:
    """A hook that nobody would await."""


WRONG: list[tuple[str, Any, str]] = [
    ("max_running", 0, "max_running: 0 found, at least 1 allowed"),
    ("max_running", -1, "max_running: -1 found, at least 1 allowed"),
    ("max_running", True, "max_running: True found, a whole number or None allowed"),
    ("max_running", "3", "max_running: a str found, a whole number or None allowed"),
    ("max_running", 2.5, "max_running: 2.5 found, a whole number or None allowed"),
    ("connections", 0, "connections: 0 found, at least 1 allowed"),
    ("connections", None, "connections: None found, a whole number allowed"),
    ("retry", 3, "retry: 3 found, RetryPolicy, such as RetryPolicy(attempts=3), allowed"),
    ("timeouts", 30, "timeouts: 30 found, Timeouts, such as Timeouts(request=30), allowed"),
    (
        "timeouts",
        Timeouts,
        "timeouts: the class Timeouts found, Timeouts, such as Timeouts(request=30), allowed",
    ),
    ("polling", None, "polling: None found, Polling, such as Polling(longest=30), allowed"),
    ("polling", 5, "polling: 5 found, Polling, such as Polling(longest=30), allowed"),
    ("rate_limit", 5, 'rate_limit: 5 found, RateLimit(per_second=5), "default" or None allowed'),
    ("rate_limit", "none", 'rate_limit: a str found, RateLimit(per_second=5), "default" or None allowed'),
    ("hooks", "x", "hooks: a str found, a function that takes an event, or several of them, allowed"),
    ("hooks", [1, 2], "hooks: 1 found, a function that takes an event, or several of them, allowed"),
    ("hooks", 5, "hooks: 5 found, a function that takes an event, or several of them, allowed"),
    ("hooks", _awaited, "hooks: an async function found, a plain one allowed: nobody would await it"),
    ("preflight", "no", "preflight: a str found, True or False allowed"),
    ("staging", 5, "staging: 5 found, a URL, a Staging or None allowed"),
    ("wire", 5, "wire: 5 found, a Wire or None allowed"),
    ("clock", VirtualClock, "clock: the class VirtualClock found, a Clock allowed"),
    ("clock", None, "clock: None found, a Clock allowed"),
    ("seed", "x", "seed: a str found, a whole number or None allowed"),
    ("base_url", 5, "base_url: 5 found, a text or None allowed"),
    ("account", None, "account: None found, a text allowed"),
]


@pytest.mark.parametrize(
    ("name", "value", "told"), WRONG, ids=[f"{name} {value!r:.12}" for name, value, _ in WRONG]
)
def test_a_wrong_option_is_told_when_the_client_is_made(name: str, value: Any, told: str) -> None:
    """The message names the option, what was found and what is allowed."""
    with pytest.raises(ConfigurationError) as caught:
        hifly(**{name: value})
    assert str(caught.value) == told


@pytest.mark.parametrize("proxy", ["foo", "foo:8080", "http://", "http://h:99999", "socks5://u:PASS@h:1", 5])
def test_a_proxy_has_a_scheme_that_is_spoken_and_a_host(proxy: Any) -> None:
    """Everything else is refused, and nothing of it is shown: it may hold a password."""
    with pytest.raises(
        ConfigurationError,
        match=r"^proxy: .* found, (http:// or https:// with a host|a text or None) allowed",
    ) as caught:
        hifly(proxy=proxy)
    assert "PASS" not in str(caught.value)
    assert "foo" not in str(caught.value)


def test_a_ca_file_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, a folder, or unreadable: told when the client is made. It is not loaded there, which takes long."""
    pem = tmp_path / "ca.pem"
    for path in (pem, tmp_path):
        with pytest.raises(ConfigurationError, match=r"^ca_file: .* found, a file that can be read allowed"):
            hifly(ca_file=str(path))
    pem.write_text("loaded on first use")
    assert hifly(ca_file=str(pem))
    assert AsyncHiFly("t", ca_file=pem)  # type: ignore[arg-type]
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigurationError, match=r"ca\.pem"):
        hifly(ca_file=str(pem))


@pytest.mark.parametrize(("given", "told"), [(given, told) for name, given, told in WRONG if name == "hooks"])
def test_hooks_of_a_blocking_client_are_checked_as_well(given: object, told: str) -> None:
    """They are wrapped for the caller's thread, unless they are none."""
    with pytest.raises(ConfigurationError) as caught:
        HiFly("t", base_url=NOWHERE, hooks=given)  # type: ignore[arg-type]
    assert str(caught.value) == told


class _Awaited:
    async def __call__(self, event: object) -> None:
        """Nobody would await it."""


@pytest.mark.parametrize("hooks", [_Awaited(), [print, _Awaited()]])
def test_an_object_that_has_to_be_awaited_is_no_hook(hooks: Any) -> None:
    """Whether it is a function or an object that is called like one."""
    with pytest.raises(ConfigurationError, match="an async function found"):
        hifly(hooks=hooks)


@pytest.mark.parametrize("text", ["x" * 5000, f"-----BEGIN {PASSWORD}\nkey", "a\0b"])
def test_a_certificate_as_ca_file_is_not_shown(text: str) -> None:
    """The option takes a path; somebody may give what the file holds, and a key with it."""
    with pytest.raises(ConfigurationError, match="a text that is no path found") as caught:
        hifly(ca_file=text)
    assert text not in str(caught.value)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("url", ["http://h/?", "http://h/#", "http://h?a=b"])
def test_a_base_url_has_no_query_not_even_an_empty_one(url: str) -> None:
    """Paths are added to it."""
    with pytest.raises(ConfigurationError, match="must not have a query"):
        hifly(base_url=url)


def test_what_is_right_is_taken() -> None:
    """None where it means something, subclasses, several hooks, proxies with and without a password."""

    class Slow(Timeouts):
        """A user's own."""

    fine: list[dict[str, Any]] = [
        {"max_running": 1, "connections": 1, "seed": -3, "rate_limit": None, "ca_file": "", "staging": ""},
        {"max_running": None, "proxy": None, "staging": None, "wire": None, "hooks": None, "base_url": None},
        {"timeouts": Slow(), "rate_limit": "default", "hooks": iter([print, len]), "proxy": ""},
        {"proxy": "http://u:p@proxy.example:3128", "preflight": False, "clock": VirtualClock()},
        {"proxy": "https://proxy.example", "account": ""},
    ]
    for options in fine:
        assert hifly(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"timeout": 5}, "unknown client options: timeout; is 'timeouts' meant?"),
        ({"max_runing": 5}, "unknown client options: max_runing; is 'max_running' meant?"),
        ({"zzz": 5}, "unknown client options: zzz"),
    ],
)
def test_an_unknown_option_is_told_with_the_likeliest(options: dict[str, Any], told: str) -> None:
    """A TypeError as for any function, and what may have been meant."""
    with pytest.raises(TypeError) as caught:
        hifly(**options)
    assert str(caught.value) == told


@pytest.mark.parametrize("name", ["hifly", "guiji", "kling", "yunapi"])
def test_every_client_checks(name: str) -> None:
    """Both sides of every provider."""
    keys = ("key",) if name != "guiji" else ("key", "secret")
    for cls in (
        providers.client_class(name),
        getattr(avatarkit, providers.client_class(name).__name__.removeprefix("Async")),
    ):
        with pytest.raises(ConfigurationError, match="max_running: 0 found, at least 1 allowed"):
            cls(*keys, max_running=0)


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (Polling, {"shortest": 5, "longest": 1}),
        (Polling, {"longest": 0.5}),
        (Polling, {"longest": math.inf}),
        (Polling, {"shortest": math.nan}),
        (Timeouts, {"connect": math.inf}),
        (Timeouts, {"request": math.inf}),
        (Timeouts, {"submit": math.inf}),
        (Timeouts, {"read": math.inf}),
        (Timeouts, {"call": math.nan}),
        (Timeouts, {"slot": -1}),
        (RetryPolicy, {"first_delay": math.inf}),
        (RetryPolicy, {"max_delay": math.nan}),
        (RetryPolicy, {"attempts": 0}),
        (RateLimit, {"per_second": math.inf}),
        (RateLimit, {"per_second": math.nan}),
        (RateLimit, {"per_second": 1, "burst": 0}),
        (CallOptions, {"timeout": math.nan}),
        (CallOptions, {"retries": -1}),
    ],
)
def test_settings_that_contradict_themselves_are_refused(make: Any, wrong: dict[str, float]) -> None:
    """ValueError, as for every value that is out of bounds, naming the setting."""
    with pytest.raises(ValueError, match=next(iter(wrong)) if len(wrong) == 1 else "shortest|burst"):
        make(**wrong)


@pytest.mark.parametrize(
    ("make", "wrong"), [(RetryPolicy, {"attempts": 2.5}), (RateLimit, {"per_second": 1, "burst": math.inf})]
)
def test_settings_that_count_are_whole_numbers(make: Any, wrong: dict[str, float]) -> None:
    """TypeError, as for every value of a wrong type."""
    with pytest.raises(TypeError):
        make(**wrong)


# -- handles, credentials, requests -----------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, 3, b"avk1.x", ["avk1.x"]])
def test_what_is_no_text_is_no_token(token: Any) -> None:
    """InvalidHandle that says what was found, from the client and from the class, on both sides."""
    with HiFly("t", base_url=NOWHERE) as blocking:
        for call in (hifly().task, lambda t: AsyncTask.from_token(t, hifly()), blocking.task):
            with pytest.raises(InvalidHandle, match=r"^task: .* found, the token of a task allowed"):
                call(token)


@pytest.mark.parametrize("make", [AsyncHiFly, AsyncKling, lambda key: AsyncGuiji("app", key)])
@pytest.mark.parametrize("key", [123987, b"123987", ["123987"]])
def test_credentials_are_text(make: Any, key: object) -> None:
    """What is none is refused without being shown."""
    with pytest.raises(ConfigurationError, match="text needed") as caught:
        make(key)
    assert "123987" not in str(caught.value)
    assert type(caught.value) is ConfigurationError


@pytest.mark.parametrize("request_", ["x", None, {"text": "x"}, avatarkit.VideoRequest])
def test_generate_needs_a_request(request_: Any) -> None:
    """InvalidRequest that names what is needed; nothing is sent."""
    with pytest.raises(InvalidRequest, match=r"^request: .* found, a VideoRequest needed"):
        asyncio.run(hifly().generate(request_))


# -- the base URL -----------------------------------------------------------------------------------------------------

TELLTALE = [
    f"http://u:{PASSWORD}@host.example/api",
    f"http://{PASSWORD}@host.example",
    f"https://u:{PASSWORD}/more@host.example",
    f"http://u:{PASSWORD}#@host.example",
    f"http://u:{PASSWORD}?@host.example",
    f"htp://u:{PASSWORD}@host.example",
    f"u:{PASSWORD}@host.example",
    f"http://[u:{PASSWORD}@host.example",
]


@pytest.mark.parametrize("url", TELLTALE)
@pytest.mark.parametrize("source", ["base_url", "HIFLY_BASE_URL"])
def test_a_base_url_with_credentials_is_refused_unseen(
    url: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the option or the environment, well-formed or not: the message names where it is from and shows none."""
    if source != "base_url":
        monkeypatch.setenv(source, url)
    with pytest.raises(ConfigurationError, match=f"^{source}: .* must not contain credentials") as caught:
        AsyncHiFly("t", **cast("Any", {"base_url": url} if source == "base_url" else {}))
    assert PASSWORD not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "url", ["http://h.example/?x=1", "http://h.example/#x", "http://h.example:99999", "ftp://h"]
)
def test_a_base_url_is_one_that_paths_can_be_put_behind(url: str) -> None:
    """No query, no fragment, no port that is none."""
    with pytest.raises(ConfigurationError, match=r"^base_url: the base URL"):
        hifly(base_url=url)
    assert hifly(base_url="http://h.example/@scope/api/")


# -- pickling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("take", [pickle.dumps, copy.copy, copy.deepcopy])
def test_handles_and_clients_say_what_to_do_instead_of_pickling(take: Any) -> None:
    """TypeError with the way out, on both sides; the handle's token is what travels."""
    mine = hifly()
    handle = Handle(
        provider="hifly", account=mine.account_id, kind=avatarkit.Kind.VIDEO, task_id="1", born=0.0
    )
    token = to_token(handle)
    with HiFly("t", base_url=NOWHERE) as blocking:
        for task in (mine.task(token), blocking.task(token)):
            with pytest.raises(TypeError, match=r"task handle cannot be pickled .* use task.to_token\(\)"):
                take(task)
        for one in (mine, blocking):
            with pytest.raises(TypeError, match=r"a client cannot be pickled .* make one in each process"):
                take(one)
            with pytest.raises(TypeError, match="cannot be pickled"):
                take(one.videos)
