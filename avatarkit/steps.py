"""Carrying out one step of a plan on a client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from avatarkit.protocol.plan import Step

if TYPE_CHECKING:
    from avatarkit.client import AsyncClient
    from avatarkit.settings import CallOptions


async def perform(
    client: AsyncClient,
    step: Step,
    made: Mapping[int, Mapping[str, Any]],
    *,
    name: str = "",
    options: CallOptions | None = None,
) -> Any:
    """Call the operation of *step* on *client*: its task, or what it answered at once.

    *name* is what the step is sent with where it takes a name and its arguments have none.
    """
    arguments = step.filled(made)
    if name and step.named_by and arguments.get(step.named_by) is None:
        arguments[step.named_by] = name
    resource, _, method = step.operation.partition(".")
    return await getattr(getattr(client, resource), method)(**arguments, options=options)


def kept(step: Step, answer: Any) -> dict[str, Any]:
    """What later steps may ask for of *answer*, which came at once."""
    found: dict[str, Any] = {}
    for name, path in step.keeps.items():
        value = answer
        for attribute in path.split("."):
            value = getattr(value, attribute)
        found[name] = value
    return found


def name_made(error: BaseException, steps: tuple[Step, ...], made: Mapping[int, Mapping[str, Any]]) -> None:
    """Have *error* say what earlier steps made: it was paid for, and can be used again."""
    things = [
        f"{steps[at].makes or steps[at].operation} {found['id']}"
        for at, found in sorted(made.items())
        if "id" in found
    ]
    if things:
        error.add_note(f"made so far, and paid for: {', '.join(things)}")
