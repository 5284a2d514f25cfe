"""Callbacks of YunApi: none are documented, so tasks are polled.

The gateway behind the standard works keeps a ``notify_hook`` with each task, and a twin has a page about web hooks
whose content is not known. What such a hook would deliver nobody says, and avatarkit neither sends nor reads one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from avatarkit.errors import UnsupportedOperation

DOCUMENTED = False
"""Whether the vendor documents callbacks at all."""


def read_event(body: bytes, headers: Mapping[str, str]) -> NoReturn:
    """Refuse: there is no documented form of a callback.

    Raises:
        UnsupportedOperation: always.

    """
    raise UnsupportedOperation(
        "YunApi documents no callbacks",
        providers=("hifly", "guiji", "kling"),
        hint="Wait for the task: waiting costs no thread and few requests.",
    )
