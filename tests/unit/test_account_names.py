"""What an account is called: one name for several keys, and never another account's task or money."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from account_house import NOWHERE, PASSWORD, client, hifly, slots, submit

import avatarkit
from avatarkit import (
    AsyncGuiji,
    AsyncHiFly,
    AsyncKling,
    CallOptions,
    ConfigurationError,
    HiFly,
    InvalidHandle,
    Polling,
    providers,
)
from avatarkit.bulk.records import ticket_from_json, ticket_to_json
from avatarkit.errors import AuthenticationError
from avatarkit.models import Finding, Reconciliation, Ticket
from avatarkit.protocol.handle import Handle, to_token
from avatarkit.protocol.redact import fingerprint
from avatarkit.sandbox.local import AsyncSandbox
from avatarkit.testing import VirtualClock, run_virtual


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


def test_a_submission_s_ticket_tells_the_credentials() -> None:
    """Where the account has a name of its own; ledgers keep it."""

    async def main() -> None:
        clock = VirtualClock()
        async with AsyncSandbox(clock=clock, render="tiny") as box:
            for name in ("", "main"):
                gate = Gate()
                async with client(box, clock, account=name) as one:
                    task = await submit(one, options=CallOptions(gate=gate))
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
