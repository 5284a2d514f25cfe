"""What a provider's ``limits.py`` says about its lists and counters, so that a command can show any provider's.

All of it is optional. A provider that says nothing is asked for ``avatars.list``, ``voices.list`` and
``account.credit``, as far as its client has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True, eq=False)
class Shelf:
    """One list of avatars or voices. ``SHELVES`` in a ``limits.py`` holds them; the first of a group is its usual one.

    Attributes:
        group: ``avatars`` or ``voices``, the client's resource.
        public: True for the provider's stock, False for the account's own; None where the two are not told apart.
        method: the resource's method for one page; the one for all rows has ``iterate`` in the place of ``list``.
        arguments: further arguments of both.
        rows: the list itself, where the vendor publishes it but offers no operation; then nothing is asked.
        note: what a reader of the list should know.

    """

    group: str
    public: bool | None = None
    method: str = "list"
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    rows: tuple[Any, ...] = ()
    note: str = ""

    @property
    def walk(self) -> str:
        """The resource's method that goes through all rows."""
        return self.method.replace("list", "iterate", 1)


@attrs.frozen(kw_only=True)
class Counter:
    """One figure of what is left on an account.

    Attributes:
        left: the attribute of the answer that holds it.
        unit: what is counted, in the plural.
        total: the attribute that holds what was bought, ``""`` for none.

    """

    left: str
    unit: str
    total: str = ""


@attrs.frozen(kw_only=True)
class Balance:
    """How to ask what is left on an account. ``BALANCE`` in a ``limits.py`` holds it.

    Attributes:
        method: resource and method of the client, free of charge.
        counters: figures of the answer, the one that videos use up first; none: it is a
            :class:`~avatarkit.models.Credit`, which has one figure and its unit.
        note: what a reader of the figures should know.

    """

    method: str = "account.credit"
    counters: tuple[Counter, ...] = ()
    note: str = ""
