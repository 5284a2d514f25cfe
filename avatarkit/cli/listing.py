"""``avatarkit avatars list``, ``voices list`` and ``credits``, for every provider.

What a provider's lists are called and what its counters mean stands in its ``limits.py`` (``SHELVES``, ``BALANCE``).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

import typer

from avatarkit import providers
from avatarkit.cli import output
from avatarkit.cli.invocation import Invocation, command
from avatarkit.cli.options import BaseUrl, Provider
from avatarkit.cli.running import opened, operation, run
from avatarkit.errors import InvalidRequest, UnsupportedOperation
from avatarkit.protocol.shown import Balance, Shelf

Every = Annotated[bool, typer.Option("--all", help="Every page, not only one.")]
PageNumber = Annotated[int, typer.Option("--page", min=1, help="Which page, from 1.")]
PageSize = Annotated[int, typer.Option("--size", min=1, help="Rows a page.")]
Public = Annotated[
    bool, typer.Option("--public", help="The provider's stock; with neither, the provider's usual list.")
]
Own = Annotated[bool, typer.Option("--own", help="What the account has made.")]
T = TypeVar("T")


class Kind(enum.StrEnum):
    """Whose voices, in the older spelling."""

    OWN = "own"
    PUBLIC = "public"


_SHOWN = ("id", "title", "avatar_id", "status", "rate", "volume", "pitch", "languages")
_TOLD = (*_SHOWN[:2], "public", *_SHOWN[2:], "authorized", "comment", "reason", "expires")
_NUMBERS = ("rate", "volume", "pitch")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to *app*."""
    avatars = typer.Typer(help="Presenters that videos can be made with.", no_args_is_help=True)
    voices = typer.Typer(help="Voices that text can be spoken with.", no_args_is_help=True)
    command(avatars, "list")(list_avatars)
    command(voices, "list")(list_voices)
    app.add_typer(avatars, name="avatars")
    app.add_typer(voices, name="voices")
    command(app, "credits")(show_credits)


def list_avatars(
    invocation: Invocation,
    *,
    provider: Provider = "hifly",
    public: Public = False,
    own: Own = False,
    every: Every = False,
    page: PageNumber = 1,
    size: PageSize = 20,
    base_url: BaseUrl = None,
) -> None:
    """List avatars: the provider's public ones, or your own, where it tells. Free."""
    whose = _whose("avatars", public=public, own=own)
    _list(invocation, "avatars", provider, base_url, whose, every=every, page=page, size=size)


def list_voices(
    invocation: Invocation,
    *,
    provider: Provider = "hifly",
    public: Public = False,
    own: Own = False,
    kind: Annotated[Kind | None, typer.Option("--kind", help="The same as --own or --public.")] = None,
    every: Every = False,
    page: PageNumber = 1,
    size: PageSize = 20,
    base_url: BaseUrl = None,
) -> None:
    """List voices: your own, or the provider's public ones. Free."""
    whose = _whose("voices", public=public or kind is Kind.PUBLIC, own=own or kind is Kind.OWN)
    _list(invocation, "voices", provider, base_url, whose, every=every, page=page, size=size)


def _whose(group: str, *, public: bool, own: bool) -> bool | None:
    """Whether the public ones are wanted; None where nothing was said."""
    if public and own:
        raise InvalidRequest(f"both --public and --own {group} found, one of them allowed")
    return public if public or own else None


def _list(
    invocation: Invocation,
    group: str,
    provider: str,
    base_url: str | None,
    public: bool | None,  # noqa: FBT001 - None is an answer of its own
    *,
    every: bool,
    page: int,
    size: int,
) -> None:
    shelf = _shelf(provider, group, public)

    async def main() -> tuple[list[Any], bool]:
        async with opened(invocation, provider, base_url=base_url) as client:
            show = operation(client, f"{group}.{shelf.method}")
            if every:
                walk = operation(client, f"{group}.{shelf.walk}")
                async with aclosing(walk(size=max(size, 100), **shelf.arguments)) as rows:
                    return [item async for item in rows], False
            found = await show(page=page, size=size, **shelf.arguments)
            return list(found.items), found.more

    if shelf.rows:
        first = 0 if every else (page - 1) * size
        items = list(shelf.rows[first:] if every else shelf.rows[first : first + size])
        more = first + len(items) < len(shelf.rows)
    else:
        items, more = run(invocation, main)
    _tell(invocation, provider, shelf, items)
    if invocation.json:
        output.write_json({"provider": provider, group: [_plain(item) for item in items], "more": more})
        return
    _print(items)
    if more:
        output.note(invocation, f"There may be more: --page {page + 1}, or --all.")


def _shelf(provider: str, group: str, public: bool | None) -> Shelf:  # noqa: FBT001 - None is an answer of its own
    """The list that was asked for, by default the provider's usual one.

    Raises:
        UnsupportedOperation: the provider does not have it.

    """
    known = [shelf for shelf in _shelves(provider) if shelf.group == group]
    if not known and public is None:
        return Shelf(group=group)
    for shelf in known:
        if public is None or shelf.public is public:
            return shelf
    whose = "public" if public else "your own"
    title = providers.spec(provider).title
    having = [_option(shelf) for shelf in known if shelf.public is not None]
    wanted = (group, public)
    able = [n for n in providers.names() if any((s.group, s.public) == wanted for s in _shelves(n))]
    hint = f"It has: {', '.join(having)}." if having else f"Providers that have one: {', '.join(able)}."
    raise UnsupportedOperation(f"{title} has no list of {whose} {group}", providers=able, hint=hint)


def _option(shelf: Shelf) -> str:
    return "--public" if shelf.public else "--own"


def _shelves(provider: str) -> tuple[Shelf, ...]:
    none: tuple[Shelf, ...] = ()
    return said(provider, "SHELVES", none)


def said(provider: str, name: str, default: T) -> T:
    """What the provider's ``limits.py`` says; a provider without one says nothing."""
    providers.spec(provider)  # an unknown name is told as such
    try:
        found: T = getattr(providers.part(provider, "limits"), name, default)
    except ImportError:
        return default
    return found


def _tell(invocation: Invocation, provider: str, shelf: Shelf, items: list[Any]) -> None:
    if shelf.note:
        output.note(invocation, shelf.note)
    other = [each for each in _shelves(provider) if each.group == shelf.group and each.public]
    if not items and shelf.public is False and other:
        kind = " (or --kind public)" if shelf.group == "voices" else ""
        output.note(invocation, f"There are none of your own here; the provider's: --public{kind}")


def _plain(item: Any) -> dict[str, Any]:
    # URLs are left out: they are signed, and dead tomorrow.
    return {name: getattr(item, name) for name in _TOLD if hasattr(item, name)}


def _print(items: list[Any]) -> None:
    columns = [name for name in _SHOWN if name in ("id", "title") or _any(items, name)]
    rows = [[_cell(getattr(item, name, None)) for name in columns] for item in items]
    output.table(columns, rows, right=_NUMBERS)


def _any(items: Iterable[Any], name: str) -> bool:
    return any(getattr(item, name, None) not in (None, "", ()) for item in items)


def _cell(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(value)
    return output.number_text(value) if isinstance(value, int | float) else str(value or "")


# -- what is left --------------------------------------------------------------------------------------------------


def show_credits(invocation: Invocation, *, provider: Provider = "hifly", base_url: BaseUrl = None) -> None:
    """Show what is left on the account. Free; the quickest test of your credentials."""
    balance: Balance = said(provider, "BALANCE", Balance())

    async def main() -> list[dict[str, Any]]:
        async with opened(invocation, provider, base_url=base_url) as client:
            return await counters(client, balance)

    found = run(invocation, main)
    if balance.note:
        output.note(invocation, balance.note)
    if invocation.json:
        told = {"provider": provider, "credits": found[0]["left"], "unit": found[0]["unit"]}
        output.write_json(told | ({"counters": found} if balance.counters else {}))
        return
    for each in found:
        left = "?" if each["left"] is None else output.number_text(each["left"])
        bought = f" ({output.number_text(each['total'])} bought)" if each.get("total") is not None else ""
        output.line(f"{left} {each['unit']}{bought}")


async def counters(client: Any, balance: Balance | None = None, **options: Any) -> list[dict[str, Any]]:
    """Every figure of what is left on *client*'s account: ``left``, ``unit`` and perhaps ``total``; one at least.

    Raises:
        UnsupportedOperation: the provider tells nothing; names those that do.
        ProviderError, TransportError: no answer.

    """
    balance = balance or said(client.spec.name, "BALANCE", Balance())
    answer = await _asking(client, balance.method)(**options)
    if not balance.counters:
        return [{"left": answer.left, "unit": answer.unit}]
    return [
        {
            "left": getattr(answer, each.left),
            "unit": each.unit,
            "total": getattr(answer, each.total) if each.total else None,
        }
        for each in balance.counters
    ]


def _asking(client: Any, method: str) -> Callable[..., Any]:
    try:
        return operation(client, method)
    except UnsupportedOperation:
        able = [name for name in providers.names() if _tells(name)]
        title = client.spec.title
        raise UnsupportedOperation(
            f"{title} tells nobody what is left on the account",
            providers=able,
            hint=f"Look into its console. Providers that tell: {', '.join(able)}.",
        ) from None


def _tells(provider: str) -> bool:
    if said(provider, "BALANCE", None) is not None:
        return True
    return any(endpoint.name == Balance().method for endpoint in providers.spec(provider).endpoints)
