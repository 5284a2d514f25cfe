"""Client options, credentials and names of accounts: what is wrong is told when the client is made, without secrets."""

from __future__ import annotations

import asyncio
import copy
import gc
import math
import os
import pickle
from pathlib import Path
from typing import Any, cast

import pytest

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
from avatarkit.bulk.records import ticket_from_json, ticket_to_json
from avatarkit.client import AsyncClient
from avatarkit.errors import AuthenticationError
from avatarkit.models import Finding, Reconciliation, Ticket
from avatarkit.protocol.handle import Handle, to_token
from avatarkit.protocol.redact import fingerprint
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.slot_pass import PassedSlots

PASSWORD = "s3cret-pass-w0rd"
NOWHERE = "http://127.0.0.1:9"


def hifly(token: str = "t", **options: Any) -> AsyncHiFly:
    return AsyncHiFly(token, **{"base_url": NOWHERE, **options})


def client(box: AsyncSandbox, clock: VirtualClock, token: str = "", **options: Any) -> AsyncHiFly:
    return AsyncHiFly(
        token or box.token, **{"base_url": box.base_url("hifly"), "clock": clock, "seed": 1, **options}
    )


async def submit(one: AsyncHiFly) -> AsyncTask[Any]:
    avatar = (await one.avatars.list(size=1)).items[0].id
    voice = (await one.voices.list(size=1, kind=2)).items[0].id
    return await one.videos.create_by_tts(text="Hello", avatar=avatar, voice=voice)


def slots(one: AsyncClient) -> PassedSlots:
    return one._account.slots["works"]


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


@pytest.mark.asyncio
async def test_other_credentials_never_say_that_something_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account may have been named by mistake: the list of another one does not have it, so it is not sent again."""

    async def nothing(self: AsyncGuiji, ticket: Ticket) -> Reconciliation:
        return Reconciliation(finding=Finding.ABSENT, explanation="nothing is listed with this name")

    monkeypatch.setattr(AsyncGuiji, "_find", nothing)
    told = {"provider": "guiji", "endpoint": "videos.create", "kind": "video", "marker": "m"}
    one, two, plain = (
        AsyncGuiji("one", "s", account="main"), AsyncGuiji("two", "s", account="main"), AsyncGuiji("one", "s")
    )  # fmt: skip
    sent = Ticket(**told, account="main", login=plain.account_id)
    assert (await one.reconcile(sent)).finding is Finding.ABSENT
    found = await two.reconcile(sent)
    assert (found.finding, "other credentials" in found.explanation) == (Finding.CANNOT_TELL, True)
    before = Ticket(**told, account=plain.account_id)  # from a time before the account had a name
    assert (await plain.reconcile(before)).finding is Finding.ABSENT
    old = AsyncGuiji("one", "s", account=plain.account_id)
    assert (await old.reconcile(before)).finding is Finding.ABSENT
    new = AsyncGuiji("two", "s", account=plain.account_id)
    assert (await new.reconcile(before)).finding is Finding.CANNOT_TELL


def test_a_submission_s_ticket_tells_the_credentials(tmp_path: Path) -> None:
    """Where the account has a name of its own; ledgers keep it."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny") as box:
            for name in ("", "main"):
                gate = Gate()
                async with client(box, clock, account=name) as one:
                    task = await one.videos.create_by_tts(
                        **stock(await one.avatars.list(size=1), await one.voices.list(kind=2, size=1)),
                        options=CallOptions(gate=gate),
                    )
                    assert task.id
                plain = fingerprint("hifly", box.token)
                (ticket,) = gate.seen
                assert (ticket.account, ticket.login) == ((name, plain) if name else (plain, ""))
                assert ticket_from_json(ticket_to_json(ticket)) == ticket

    run_virtual(main)


class Gate:
    """Lets everything through, and keeps the tickets."""

    def __init__(self) -> None:
        self.seen: list[Ticket] = []

    async def open(self, ticket: Ticket) -> float | None:
        self.seen.append(ticket)
        return None

    async def settled(self, ticket: Ticket, outcome: str, **_: Any) -> None:
        """Nothing to keep."""


def stock(avatars: Any, voices: Any) -> dict[str, Any]:
    return {"avatar": avatars.items[0].id, "voice": voices.items[0].id, "text": "x"}


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


# -- the smallest max_running -----------------------------------------------------------------------------------------


def test_a_refused_option_changes_nothing_of_other_clients() -> None:
    """max_running=0 beside a client of the same account: that one's cap stays what it was."""

    async def main() -> None:
        async with hifly(max_running=4) as one:
            with pytest.raises(ConfigurationError):
                hifly(max_running=0)
            async with hifly() as two:
                assert one.max_running == two.max_running == 4

    asyncio.run(main())


def test_a_closed_client_binds_the_others_no_more() -> None:
    """The smallest wish of those that are open holds, and whoever waits profits at once when it goes."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny", run_seconds=60) as box:
            loose, three = client(box, clock), client(box, clock, max_running=3)
            strict = client(box, clock, max_running=1)
            for one in (loose, three, strict):
                await one.__aenter__()
            assert {one.max_running for one in (loose, three, strict)} == {1}
            tasks = [asyncio.create_task(submit(loose)) for _ in range(5)]
            await asyncio.sleep(5)
            assert sum(task.done() for task in tasks) == 1
            await strict.aclose()
            assert loose.max_running == 3
            await asyncio.sleep(5)
            assert sum(task.done() for task in tasks) == 3
            await three.aclose()
            assert loose.max_running is None
            await asyncio.sleep(5)
            assert all(task.done() for task in tasks)
            await loose.aclose()
        assert box.seen.peak_running == 5

    run_virtual(main)


def test_a_client_that_was_forgotten_binds_nobody_who_waits_anew() -> None:
    """Without aclose, too."""

    async def main() -> None:
        clock = VirtualClock()
        async with hifly(clock=clock) as stays:
            goes: AsyncHiFly | None = hifly(clock=clock, max_running=1)
            assert goes is not None
            goes._account.engine()
            assert slots(stays).try_acquire()
            await goes._account._engine.guard.aclose()  # type: ignore[union-attr]
            goes = None
            await asyncio.sleep(1)
            gc.collect()
            assert await asyncio.wait_for(slots(stays).acquire(), 1) == 0
            assert slots(stays).cap is None

    run_virtual(main)


def test_a_client_that_was_forgotten_binds_nobody_who_waits_already() -> None:
    """With the next task that ends they go, all of them, and not one after the other."""

    async def main() -> None:
        clock = VirtualClock()
        async with (
            AsyncSandbox(clock=clock, render="tiny", run_seconds=100) as box,
            client(box, clock) as stays,
        ):
            goes: AsyncHiFly | None = client(box, clock, max_running=1)
            assert goes is not None
            goes._account.engine()
            tasks = [asyncio.create_task(submit(stays)) for _ in range(4)]
            await asyncio.sleep(10)
            assert sum(task.done() for task in tasks) == 1
            await goes._account._engine.guard.aclose()  # type: ignore[union-attr]
            goes = None
            await asyncio.sleep(1)
            gc.collect()
            await asyncio.sleep(200)
            assert all(task.done() for task in tasks)
        assert box.seen.peak_running == 3

    run_virtual(main)


def test_what_was_learned_stays_when_a_wish_goes() -> None:
    """A provider that refused the third task: with the stricter client gone, two run and not one more."""

    async def main() -> None:
        clock = VirtualClock()
        async with (
            AsyncSandbox(clock=clock, render="tiny", max_running=2, run_seconds=15) as box,
            client(box, clock) as loose,
        ):
            tasks = [asyncio.create_task(submit(loose)) for _ in range(4)]
            await asyncio.sleep(10)
            assert loose.max_running == 2
            async with client(box, clock, max_running=1) as strict:
                assert loose.max_running == strict.max_running == 1
            assert loose.max_running == 2
            await asyncio.gather(*tasks)
            async with client(box, clock, max_running=7):
                assert loose.max_running == 2
        assert box.seen.peak_running == 2

    run_virtual(main)


@pytest.mark.asyncio
async def test_a_refusal_above_the_wish_is_remembered() -> None:
    """Two run where one is wished for, a third is refused: one runs as wished, and later two, not all there are."""
    clock = VirtualClock()
    pool = PassedSlots(None, clock)
    for _ in range(3):
        assert pool.try_acquire()
    pool.accepted()
    pool.accepted()
    pool.bind(1)
    pool.refused()
    pool.release(ran=False)
    assert pool.cap == 1
    pool.bind(None)
    assert pool.cap == 2


# -- the account's name -----------------------------------------------------------------------------------------------


def test_the_account_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the option, else by the provider's variable, else it is the fingerprint of the credentials."""
    assert hifly().account_id == fingerprint("hifly", "t")
    assert hifly(account="team-1.main_A").account_id == "team-1.main_A"
    for name in providers.names():
        keys = ("key", "secret") if name == "guiji" else ("key",)
        monkeypatch.setenv(f"{name.upper()}_ACCOUNT", f" of-{name} ")
        assert providers.client_class(name)(*keys).account_id == fingerprint(name, *keys)
        assert providers.client_class(name)(*keys, account="own").account_id == "own"
        for variable, key in zip(providers.spec(name).credentials, keys, strict=True):
            monkeypatch.setenv(variable, key)
        assert providers.client_class(name)().account_id == f"of-{name}"
        assert providers.client_class(name)(account="own").account_id == "own"
    monkeypatch.setenv("HIFLY_ACCOUNT", "")
    assert hifly().account_id == fingerprint("hifly", "t")
    assert "main" in repr(hifly(account="main"))


@pytest.mark.parametrize("name", ["a b", "a" * 65, "käse", "a/b", "a\nb", PASSWORD, "'; --", ".", ".."])
@pytest.mark.parametrize("source", ["account", "HIFLY_ACCOUNT"])
def test_a_name_that_cannot_be_is_refused_unseen(
    name: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Letters, digits and ``._-``, and no credential: the key may have been put where its name belongs."""
    monkeypatch.setenv("HIFLY_TOKEN", PASSWORD)
    if source != "account":
        monkeypatch.setenv(source, name)
    with pytest.raises(ConfigurationError, match=f"^{source}: .* 1 to 64 letters, digits") as caught:
        AsyncHiFly(base_url=NOWHERE, **cast("Any", {"account": name} if source == "account" else {}))
    assert name == "." or name not in str(caught.value)


def test_after_a_changed_key_tokens_and_tickets_go_on_by_name() -> None:
    """The refusal names option and variable with the old id; given that, task and ticket are taken."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny") as box:
            async with client(box, clock) as old:
                token, was = (await submit(old)).to_token(), old.account_id
                ticket = avatarkit.Ticket(
                    provider="hifly", endpoint="x", kind="video", account=was, sent_at=0.0
                )
            new = AsyncHiFly("the-new-key", clock=clock)
            for refused in (lambda: new.task(token), lambda: asyncio.run(new.reconcile(ticket))):
                with pytest.raises(InvalidHandle) as caught:
                    await asyncio.to_thread(refused)
                assert f"account={was!r} for the client, or the variable HIFLY_ACCOUNT" in caught.value.hint
            with pytest.raises(InvalidHandle) as caught:
                new.task(token)
            assert caught.value.hint.endswith("; or same_account=False.")
            named = client(box, clock, account=was)
            assert named.task(token).to_token() == token
            assert (await named.task(token).wait()).url
            assert (await named.reconcile(ticket)).explanation
            await named.aclose()

    run_virtual(main)


def test_a_hostile_token_names_no_account() -> None:
    """What no account can be called is not put into the hint as something to set."""
    evil = Handle(provider="hifly", account="x' $(rm)", kind=avatarkit.Kind.VIDEO, task_id="1", born=0.0)
    with pytest.raises(InvalidHandle) as caught:
        hifly().task(to_token(evil))
    assert "rm" not in caught.value.hint
    assert "same_account=False" in caught.value.hint


def test_chains_are_signed_with_the_credentials_whatever_the_name() -> None:
    """The name changes no key: the same credentials sign alike, others with the same name do not."""
    assert hifly(account="main")._account.signing_key == hifly()._account.signing_key
    assert hifly("t", account="main")._account.signing_key != hifly("u", account="main")._account.signing_key


def test_two_keys_of_one_name_share_limits_and_nothing_else() -> None:
    """Slots, pace and learned durations are common; files that were uploaded are each key's own."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny", run_seconds=60) as box:
            box.add_account("other", provider="hifly")
            one = client(box, clock, account="main", max_running=2)
            two = client(box, clock, "other", account="main")
            same = client(box, clock, account="main")
            apart = client(box, clock, "other")
            for each in (one, two, same, apart):
                await each.__aenter__()
            assert slots(one) is slots(two) is slots(same) is not slots(apart)
            limiter = one._account.engine().driver.limiter
            assert limiter is two._account.engine().driver.limiter
            assert one._account.durations is two._account.durations
            assert one.uploads is same.uploads is not two.uploads
            tasks = [asyncio.create_task(submit(each)) for each in (one, two, one, two)]
            await asyncio.sleep(10)
            assert sum(task.done() for task in tasks) == 2
            for task in tasks:
                await (await task).wait()
            assert slots(one).running == 0
            wav = b"RIFF0000WAVEfmt " + bytes(100)
            files = [await each.files.upload(wav, name="a.wav") for each in (one, same, two)]
            assert files[0].id == files[1].id != files[2].id
            for each in (one, two, same, apart):
                await each.aclose()

    run_virtual(main)


def test_a_wrong_key_of_a_good_name_spoils_nothing_for_the_right_one() -> None:
    """Its AuthenticationError is its own."""

    async def main() -> None:
        clock = VirtualClock()
        async with (
            AsyncSandbox(clock=clock, render="tiny") as box,
            client(box, clock, account="main") as good,
            client(box, clock, "never-given-out", account="main") as bad,
        ):
            with pytest.raises(AuthenticationError):
                await bad.account.credit()
            assert (await good.account.credit()).left >= 0
            task = await submit(good)
            with pytest.raises(AuthenticationError):
                await bad.task(task.to_token()).refresh()
            assert (await task.wait()).url

    run_virtual(main)


def test_lent_tokens_belong_to_the_credentials_not_to_the_name() -> None:
    """Guiji: two pairs of one name each ask for a token of their own, and no request carries the other's."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny") as box:
            box.add_account("app-two", provider="guiji", secret="secret-two")
            options: dict[str, Any] = {
                "base_url": box.base_url("guiji"), "clock": clock, "account": "main",
            }  # fmt: skip
            async with (
                AsyncGuiji(box.token, box.secret, **options) as one,
                AsyncGuiji("app-two", "secret-two", **options) as two,
                AsyncGuiji("app-two", "no-such-secret", **options) as bad,
            ):
                await one.account.benefits()
                with pytest.raises(AuthenticationError):
                    await bad.account.benefits()
                await two.account.benefits()
                assert slots(one).cap == slots(two).cap
                lent = [each._account.auth.query(clock.time()) for each in (one, two, bad)]
                assert lent[0] != lent[1]
                assert all(lent[:2])
                assert not lent[2]

    run_virtual(main)


def test_keys_that_sign_for_themselves_stay_apart_under_one_name() -> None:
    """Kling: what goes out is made from each client's own keys."""
    names = {"account": "main", "base_url": NOWHERE}
    one = AsyncKling(access_key="a1", secret_key="s1", **names)  # type: ignore[arg-type]
    two = AsyncKling(access_key="a2", secret_key="s2", **names)  # type: ignore[arg-type]
    three = AsyncKling("k3", **names)  # type: ignore[arg-type]
    assert one.account_id == two.account_id == three.account_id == "main"
    sent = {each._account.auth.headers(1.0)["Authorization"] for each in (one, two, three)}
    assert len(sent) == 3


def test_tasks_of_a_closed_client_are_looked_at_as_the_other_login_can() -> None:
    """Kling's two logins of one name see tasks in different ways: an inherited task is looked at in the heir's."""

    async def main() -> None:
        clock = VirtualClock()
        names: dict[str, Any] = {"account": "main", "base_url": NOWHERE, "clock": clock}
        goes = AsyncKling(access_key="a1", secret_key="s1", max_running=1, **names)
        stays = AsyncKling("k3", max_running=1, **names)
        for each in (goes, stays):
            each._account.engine()
        kind = goes._account.kinds[avatarkit.Kind.VIDEO]
        pool = goes._account.slots[kind.pool]
        assert pool.try_acquire()
        record = goes._account.remember("1", avatarkit.Kind.VIDEO, holds=pool)
        await goes.aclose()
        waiting = asyncio.create_task(pool.acquire())
        await asyncio.sleep(0)
        assert stays._account.held == {"1": record}
        assert record.kind is stays._account.kinds[avatarkit.Kind.VIDEO]
        assert record.kind is not kind
        stays._account.let_go(record)
        await waiting
        await stays.aclose()

    run_virtual(main)


def test_a_refused_client_leaves_blocking_ones_running() -> None:
    """max_running=0 beside a blocking client in use: the other's task is submitted, and ends."""
    with avatarkit.Sandbox(render="tiny", run_seconds=0.05) as box:
        options: dict[str, Any] = {
            "base_url": box.base_url("hifly"),
            "polling": Polling(shortest=0.01, longest=0.05),
        }
        with HiFly(box.token, **options) as good:
            good.account.credit()
            with pytest.raises(ConfigurationError):
                HiFly(box.token, max_running=0, **options)
            avatar, voice = (
                good.avatars.list(size=1).items[0].id,
                good.voices.list(size=1, kind=2).items[0].id,
            )
            assert good.videos.create_by_tts(text="Hello", avatar=avatar, voice=voice).wait(10).url
