"""What the vendors' documents print, in a form that tests can go through.

Each example of a document has a copy here of the same shape: keys, types, nesting, and oddities such as numbers in
text. Names, ids, texts and addresses are our own. Nothing in these files is a vendor's sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True, eq=False)
class Exchange:
    """A request and its answer, as a section of one or more documents prints them.

    Attributes:
        documents: those that print it in this shape.
        section: where.
        call: resource and method of the client that makes the request.
        arguments: its keyword arguments.
        line: HTTP method and path that must arrive.
        query: the query that must arrive, but for credentials.
        body: the JSON body that must arrive; None for none.
        asked: how often each document prints the request: twice where it has Python and cURL, 0 where it has none.
        answer: a copy of the answer.
        answered: how often each document prints the answer; 0 for an answer that is borrowed from elsewhere.
        gives: what the call's result must say, by dotted path.
    """

    documents: tuple[str, ...]
    section: str
    call: str
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    line: str
    query: Mapping[str, str] = attrs.field(factory=dict)
    body: Mapping[str, Any] | None = None
    asked: int = 2
    answer: Mapping[str, Any]
    answered: int = 1
    gives: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        """For reports."""
        return f"{self.documents[0]}-{self.section}"


@attrs.frozen(kw_only=True, eq=False)
class Callback:
    """What a vendor posts when a task is done, and what it must be read as, by dotted path.

    Attributes:
        wants: the printed answer that the vendor expects; None where none is printed.
    """

    documents: tuple[str, ...]
    section: str
    body: Mapping[str, Any]
    gives: Mapping[str, Any]
    wants: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """For reports."""
        return f"{self.documents[0]}-{self.section}"


@attrs.frozen(kw_only=True)
class Count:
    """How many examples a document prints, counted by hand."""

    requests: int
    answers: int
    callbacks: int = 0
    callback_answers: int = 0


@attrs.frozen(kw_only=True, eq=False)
class Printed:
    """All of one provider.

    Attributes:
        counts: by document, what is printed there.
        elsewhere: by document, printed requests that need a test of their own.
        named: by document, the operations it names, and the method of each.

    """

    exchanges: tuple[Exchange, ...]
    callbacks: tuple[Callback, ...] = ()
    counts: Mapping[str, Count]
    elsewhere: Mapping[str, int] = attrs.field(factory=dict)
    named: Mapping[str, Mapping[str, str]]

    def found(self, document: str) -> Count:
        """How many examples of *document* are here."""
        exchanges = [each for each in self.exchanges if document in each.documents]
        callbacks = [each for each in self.callbacks if document in each.documents]
        return Count(
            requests=sum(each.asked for each in exchanges) + self.elsewhere.get(document, 0),
            answers=sum(each.answered for each in exchanges),
            callbacks=len(callbacks),
            callback_answers=sum(each.wants is not None for each in callbacks),
        )


def at(value: Any, path: str) -> Any:
    """The part of *value* at a dotted path of attributes, keys and positions; all of it at ``""``."""
    for step in filter(None, path.split(".")):
        if isinstance(value, Mapping):
            value = value[step]
        elif step.isdecimal():
            value = value[int(step)]
        else:
            value = getattr(value, step)
    return value


def differences(value: Any, gives: Mapping[str, Any]) -> Iterator[str]:
    """What *value* says otherwise than *gives*."""
    for path, wanted in gives.items():
        found = at(value, path)
        if found != wanted or type(found) is not type(wanted):
            yield f"{path}: {found!r}, not {wanted!r}"
