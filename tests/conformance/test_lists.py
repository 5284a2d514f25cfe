"""Lists and iteration: pages without a total, unknown fields, ends that are only seen when they come."""

from __future__ import annotations

from typing import Any

import pytest
from house import House

from avatarkit.errors import AvatarKitError
from avatarkit.protocol.samples import Operation
from avatarkit.sandbox.faults import Fault, FaultKind


def _lists(house: House) -> list[Operation]:
    return [operation for operation in house.samples.operations if operation.iterates]


def _fill(house: House, client: Any, operation: Operation) -> None:
    """Twelve rows in a list that begins empty."""
    for name in operation.needs:
        maker = house.maker(name)
        for _ in range(12):
            house.call(client, maker)


def test_iterating_gives_every_row_once(house: House) -> None:
    """Whatever the page size, iteration gives the same rows in the same order, and stops at the end."""
    client = house.client(rate_limit=None)
    for operation in _lists(house):
        _fill(house, client, operation)
        iterate = house.method(client, operation.method)
        arguments = {n: v for n, v in house.arguments(client, operation).items() if n != "size"}
        ids = [row.id for row in iterate(size=100, **arguments)]
        assert len(ids) == len(set(ids)) > 10
        for size in (1, 7, len(ids), len(ids) + 1):
            assert [row.id for row in iterate(size=size, **arguments)] == ids


def test_a_full_last_page_costs_one_empty_page(house: House) -> None:
    """Without a total the end is seen by a page that is not full; with one it is known."""
    client = house.client(rate_limit=None)
    for operation in _lists(house):
        _fill(house, client, operation)
        iterate = house.method(client, operation.method)
        arguments = {n: v for n, v in house.arguments(client, operation).items() if n != "size"}
        shown = count = len(list(iterate(size=100, **arguments)))
        if house.samples.totals:  # rows that nobody can use are counted, though not shown
            count = house.method(client, operation.method.replace("iterate", "list"))(**arguments).total
        where = house.endpoint(operation)
        for size, pages in ((count, 1 if house.samples.totals else 2), (count + 1, 1)):
            before = house.box.seen.requests[where]
            assert len(list(iterate(size=size, **arguments))) == shown
            assert house.box.seen.requests[where] - before == pages


def test_leaving_early_asks_for_no_more(house: House) -> None:
    """Rows of pages that nobody comes to are not fetched."""
    client = house.client()
    for operation in _lists(house):
        before = house.box.seen.requests[house.endpoint(operation)]
        for _ in house.method(client, operation.method)(**{**house.arguments(client, operation), "size": 5}):
            break
        assert house.box.seen.requests[house.endpoint(operation)] - before == 1


def test_a_page_is_a_sequence_with_its_place(house: House) -> None:
    """A page knows its number, size, and whether more follows; it has no invented total and keeps the raw answer."""
    client = house.client()
    for operation in house.samples.operations:
        if operation.gives == "Page":
            page: Any = house.call(client, operation)
            assert (page.page, page.size) == (
                operation.arguments.get("page", 1),
                operation.arguments.get("size", house.samples.page_size),
            )
            assert len(page) == len(list(page)) == len(page.items)
            assert (page.total is not None) is house.samples.totals
            read = page.page * page.size
            assert page.more is (len(page) >= page.size if page.total is None else read < page.total)
            assert page.response.status == 200


@pytest.mark.parametrize(
    "fault", [FaultKind.EXTRA_FIELDS, FaultKind.NUMBERS_AS_STRINGS, FaultKind.CODE_AS_STRING]
)
def test_rows_survive_odd_answers(house: House, fault: FaultKind) -> None:
    """New fields are kept in ``extra``, numbers as text are read."""
    client = house.client()
    for operation in _lists(house):
        iterate, arguments = house.method(client, operation.method), house.arguments(client, operation)
        plain = list(iterate(**arguments))
        house.box.faults.add(house.endpoint(operation), Fault(kind=fault))
        odd = list(iterate(**arguments))
        assert odd == plain
        if fault is not FaultKind.CODE_AS_STRING or not isinstance(house.samples.no_credits["code"], str):
            assert house.box.seen.faults[fault] >= 1
        house.box.faults.clear()
        if fault is FaultKind.EXTRA_FIELDS:
            assert all(row.extra["x_flag"] is True for row in odd)


def test_an_error_in_the_middle_is_raised_where_it_happens(house: House) -> None:
    """Rows before the bad page were given; the error comes when the next one is asked for."""
    client = house.client(rate_limit=None)
    for operation in _lists(house):
        _fill(house, client, operation)
        where = house.endpoint(operation)
        house.box.faults.add(where, Fault(kind=FaultKind.ANSWER, status=404), after=1)
        rows = iter(
            house.method(client, operation.method)(**{**house.arguments(client, operation), "size": 5})
        )
        assert len([next(rows) for _ in range(5)]) == 5
        with pytest.raises(AvatarKitError):
            next(rows)
        house.box.faults.clear()
