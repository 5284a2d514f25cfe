"""``avatarkit avatars list``, ``voices list`` and ``credits``."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from avatarkit.cli import output
from avatarkit.cli.invocation import Invocation, command
from avatarkit.cli.options import BaseUrl, Provider
from avatarkit.cli.running import opened, operation, run
from avatarkit.models import Avatar, Credit, Voice

Every = Annotated[bool, typer.Option("--all", help="Every page, not only one.")]
PageNumber = Annotated[int, typer.Option("--page", min=1, help="Which page, from 1.")]
PageSize = Annotated[int, typer.Option("--size", min=1, help="Rows a page.")]


class VoiceKind(enum.StrEnum):
    """Whose voices."""

    OWN = "own"
    PUBLIC = "public"


_KINDS = {VoiceKind.OWN: 1, VoiceKind.PUBLIC: 2}


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
    every: Every = False,
    page: PageNumber = 1,
    size: PageSize = 20,
    base_url: BaseUrl = None,
) -> None:
    """List the avatars that the provider offers. Free."""
    _list(invocation, "avatars", provider, base_url, every=every, page=page, size=size)


def list_voices(
    invocation: Invocation,
    *,
    provider: Provider = "hifly",
    kind: Annotated[VoiceKind, typer.Option("--kind", help="Whose voices.")] = VoiceKind.OWN,
    every: Every = False,
    page: PageNumber = 1,
    size: PageSize = 20,
    base_url: BaseUrl = None,
) -> None:
    """List voices: your own, or the provider's public ones. Free."""
    _list(invocation, "voices", provider, base_url, every=every, page=page, size=size, kind=_KINDS[kind])


def _list(
    invocation: Invocation,
    group: str,
    provider: str,
    base_url: str | None,
    *,
    every: bool,
    page: int,
    size: int,
    **asked: Any,
) -> None:
    async def main() -> tuple[list[Avatar | Voice], bool]:
        async with opened(invocation, provider, base_url=base_url) as client:
            show = operation(client, f"{group}.list")
            if every:
                iterate = getattr(client, group).iterate
                return [item async for item in iterate(size=max(size, 100), **asked)], False
            found = await show(page=page, size=size, **asked)
            return list(found.items), found.more

    items, more = run(invocation, main)
    if group == "voices" and not items and asked["kind"] == _KINDS[VoiceKind.OWN]:
        output.note(invocation, "There are none of your own here; the provider's: --kind public")
    if invocation.json:
        output.write_json({"provider": provider, group: [_plain(item) for item in items], "more": more})
        return
    _print(group, items)
    if more:
        output.note(invocation, f"There may be more: --page {page + 1}, or --all.")


def _plain(item: Avatar | Voice) -> dict[str, Any]:
    # demo_url is left out: it is signed, and dead tomorrow.
    told: dict[str, Any] = {"id": item.id, "title": item.title, "public": item.public}
    if isinstance(item, Voice):
        told |= {"rate": item.rate, "volume": item.volume, "pitch": item.pitch, "languages": item.languages}
    return told


def _print(group: str, items: list[Avatar | Voice]) -> None:
    if group == "avatars":
        output.table(("id", "title"), [(item.id, item.title) for item in items])
        return
    numbers = ("rate", "volume", "pitch")
    rows = [
        (
            item.id,
            item.title,
            *(output.number_text(getattr(item, name)) for name in numbers),
            " ".join(item.languages),
        )
        for item in items
        if isinstance(item, Voice)
    ]
    output.table(("id", "title", *numbers, "languages"), rows, right=numbers)


def show_credits(invocation: Invocation, *, provider: Provider = "hifly", base_url: BaseUrl = None) -> None:
    """Show what is left on the account. Free; the quickest test of your credentials."""

    async def main() -> Credit:
        async with opened(invocation, provider, base_url=base_url) as client:
            credit: Credit = await operation(client, "account.credit")()
            return credit

    credit = run(invocation, main)
    if invocation.json:
        output.write_json({"provider": provider, "credits": credit.left, "unit": credit.unit})
    else:
        output.line(f"{output.number_text(credit.left)} {credit.unit}")
