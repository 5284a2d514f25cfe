"""Which task a call was about, for the errors by which the bridge itself refuses or ends it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from avatarkit.errors import BridgeError


def name_task(error: BaseException, function: Callable[..., Any]) -> None:
    """Have *error*, of a call of *function*, say which task goes on, as the async side does for its own errors.

    Only for errors of the bridge's: what the coroutine raised says it already. *function* is a method of a handle or of
    a result, bare or in ``partial``; other calls are about no task.
    """
    if not isinstance(error, BridgeError) or error.token:
        return
    while isinstance(function, partial):
        function = function.func
    owner = getattr(function, "__self__", None)
    if owner is None:
        return
    # Here, for the bridge is loaded before what runs on it; where there is an owner it is there already.
    from avatarkit.artifacts import AsyncArtifact
    from avatarkit.chain import AsyncChain
    from avatarkit.task import AsyncTask

    if isinstance(owner, AsyncChain):
        owner._name(error)  # noqa: SLF001 - its own token names all of its steps, not only the present one
    elif isinstance(owner, AsyncTask | AsyncArtifact):
        owner._account.name_task(error, owner._record)  # noqa: SLF001


def keep_notes(error: BaseException, of: BaseException) -> None:
    """Give *error*, which takes the place of another, the notes *of* that one; none twice."""
    for note in getattr(of, "__notes__", ()):
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)
