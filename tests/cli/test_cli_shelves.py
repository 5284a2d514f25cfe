"""Lists and counters of every provider on the command line, told from data in the provider's folder."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from commandline import SECRET, Box, Ran

from avatarkit import providers
from avatarkit.cli.listing import said
from avatarkit.protocol.shown import Balance, Shelf

Run = Callable[..., Ran]
NAMES = providers.names()


@pytest.fixture
def town(box: Box, monkeypatch: pytest.MonkeyPatch) -> Box:
    """A sandbox that every provider's commands are led to."""
    for name in NAMES:
        spec = providers.spec(name)
        values = (SECRET, box.sandbox.secret)
        for variable, value in zip(spec.credentials, values, strict=False):
            monkeypatch.setenv(variable, value)
        monkeypatch.setenv(spec.base_url_variable, box.sandbox.base_url(name))
    return box


def _resource(provider: str, group: str) -> type:
    cls = providers.client_class(provider)
    made = vars(cls)[group].fget.__annotations__["return"]
    found: type = getattr(__import__(cls.__module__, fromlist=["*"]), made)
    return found


@pytest.mark.parametrize("provider", NAMES)
def test_the_data_name_methods_that_there_are(provider: str) -> None:
    """Every shelf and balance leads to a method of the client, and no shelf stands twice."""
    shelves: tuple[Shelf, ...] = said(provider, "SHELVES", ())
    assert len({(shelf.group, shelf.public) for shelf in shelves}) == len(shelves)
    for shelf in shelves:
        if not shelf.rows:
            resource = _resource(provider, shelf.group)
            assert callable(getattr(resource, shelf.method))
            assert callable(getattr(resource, shelf.walk))
    balance = said(provider, "BALANCE", None)
    if balance is not None:
        group, _, method = balance.method.partition(".")
        assert callable(getattr(_resource(provider, group), method))


@pytest.mark.parametrize(
    ("provider", "shelf"),
    [
        pytest.param(name, shelf, id=f"{name}-{shelf.group}-{'public' if shelf.public else 'own'}")
        for name in NAMES
        for shelf in said(name, "SHELVES", ())
    ],
)
def test_every_list_is_shown(run: Run, town: Box, provider: str, shelf: Shelf) -> None:
    """--public and --own reach the provider's list; a page and --all agree on the first rows, with ids to use."""
    whose = "--public" if shelf.public else "--own"
    arguments = (shelf.group, "list", "--provider", provider, whose)
    every = run(*arguments, "--all", "--json").document
    assert (every["provider"], every["more"]) == (provider, False)
    page = run(*arguments, "--size", "2", "--json").document
    assert page[shelf.group] == every[shelf.group][:2]
    if shelf.public:
        assert page["more"] is True
        assert len({row["id"] for row in every[shelf.group]}) == len(every[shelf.group]) > 2
        assert every[shelf.group][0]["id"] in run(*arguments).out
        second = run(*arguments, "--size", "2", "--page", "2", "--json").document[shelf.group]
        assert second == every[shelf.group][2:4]


def test_the_older_spelling_means_the_same(run: Run, town: Box) -> None:
    """--kind is --own or --public, for every provider; both at odds are a mistake."""
    for provider in ("hifly", "guiji"):
        arguments = ("voices", "list", "--provider", provider, "--json")
        assert run(*arguments, "--kind", "public").document == run(*arguments, "--public").document
        assert run(*arguments, "--kind", "own").document == run(*arguments).document
    assert run("voices", "list", "--kind", "own", "--public").code == 2


def test_an_own_clone_is_listed_with_what_videos_take(run: Run, town: Box) -> None:
    """An empty list of one's own says where the public one is; a list that needs a word of explanation has it."""
    ran = run("avatars", "list", "--provider", "guiji")
    assert "avatar_id" in ran.err
    assert "--public" in ran.err
    assert "--public" not in run("avatars", "list", "--provider", "guiji", "--quiet").err


def test_a_list_that_is_not_there(run: Run, town: Box) -> None:
    """What a provider does not list is said before anything is sent, with what there is instead."""
    own = run("avatars", "list", "--own")
    assert own.code == 2
    assert "no list of your own avatars" in own.err
    assert "It has: --public" in own.err
    none = run("avatars", "list", "--provider", "yunapi", "--public")
    assert none.code == 2
    assert "guiji, hifly" in none.err
    assert run("avatars", "list", "--provider", "yunapi").code == 2
    assert not town.sandbox.seen.requests


def test_a_published_list_needs_no_credentials(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Voices that the vendor only publishes are shown without asking anybody."""
    for variable in ("KLING_API_KEY", "KLING_ACCESS_KEY", "KLING_SECRET_KEY"):
        monkeypatch.delenv(variable, raising=False)
    rows = run("voices", "list", "--provider", "kling", "--all", "--json").document["voices"]
    assert {"id": "AOT", "languages": ["en"]}.items() <= next(r for r in rows if r["id"] == "AOT").items()


@pytest.mark.parametrize(
    "provider", [name for name in NAMES if hasattr(providers.client_class(name), "account")]
)
def test_credits_of_everyone_who_tells(run: Run, town: Box, provider: str) -> None:
    """A figure and its unit for each provider with an account resource; several where there are several counters."""
    town.sandbox.set_account(provider=provider, credits=12.0)
    told = run("credits", "--provider", provider, "--json").document
    assert told["credits"] == 12.0
    balance = said(provider, "BALANCE", Balance())
    assert [each["unit"] for each in told.get("counters", ())] == [each.unit for each in balance.counters]
    ran = run("credits", "--provider", provider)
    assert ran.out.startswith(f"12 {told['unit']}")
    assert len(ran.out.splitlines()) == max(1, len(balance.counters))
    assert balance.note in ran.err


def test_credits_of_one_who_does_not_tell(run: Run, town: Box) -> None:
    """Who tells nothing is named, and those that do, Guiji's package included; nothing is sent."""
    ran = run("credits", "--provider", "yunapi")
    assert ran.code == 2
    assert "guiji, hifly, kling" in ran.err
    assert not town.sandbox.seen.requests
