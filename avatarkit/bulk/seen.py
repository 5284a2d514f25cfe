"""Whether a text was seen before, in little memory: for keys and file names of millions of rows."""

from __future__ import annotations

from array import array

_SMALLEST = 1 << 10
_BITS = (1 << 64) - 1


class Seen:
    """A set of texts that keeps eight bytes of hash for each, 11 to 22 bytes a text with its free places.

    Two different texts are taken for one with a chance of about 3 in 100 million when there are a million of them.
    The hash is seeded by the process, so nobody can choose texts that collide.
    """

    __slots__ = ("_count", "_mask", "_table")

    def __init__(self) -> None:
        self._table = array("Q", [0]) * _SMALLEST
        self._mask = _SMALLEST - 1
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, text: str) -> bool:
        """Remember *text*; True when it is new."""
        value = hash(text) & _BITS or 1
        table, mask = self._table, self._mask
        at = value & mask
        while found := table[at]:
            if found == value:
                return False
            at = (at + 1) & mask
        table[at] = value
        self._count += 1
        if self._count * 4 > mask * 3:
            self._grow()
        return True

    def _grow(self) -> None:
        size = len(self._table) * 2
        table, mask = array("Q", [0]) * size, size - 1
        for value in self._table:
            if value:
                at = value & mask
                while table[at]:
                    at = (at + 1) & mask
                table[at] = value
        self._table, self._mask = table, mask
