"""What a provider can make, as data, and the steps that lead to it.

A request that a provider serves with one operation is a plan of one step. Where an avatar has to be cloned first, or a
text spoken, earlier steps make what later ones need: their arguments hold a :class:`Made` in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from avatarkit.errors import InvalidRequest, UnsupportedOperation
from avatarkit.models import Kind, Subtitle
from avatarkit.request import VideoRequest

Presenter = Literal["avatar", "image", "video"]
Speech = Literal["text", "audio"]


@attrs.frozen
class Made:
    """What an earlier step made: a place to be filled in.

    Attributes:
        step: the earlier step, from 0.
        name: which of the things that it made, ``id`` for an avatar's.

    """

    step: int
    name: str = "id"


@attrs.frozen(kw_only=True)
class Step:
    """One call of an operation.

    Attributes:
        operation: resource and method: ``videos.create_by_tts``.
        arguments: keyword arguments; a :class:`Made` stands for what an earlier step makes.
        makes: what its task yields; None for an operation that answers at once.
        named_by: the argument that carries the name by which a lost submission is found, ``""`` for none.
        keeps: of an answer at once: attribute by the name under which later steps ask for it.

    """

    operation: str
    arguments: Mapping[str, Any]
    makes: Kind | None = Kind.VIDEO
    named_by: str = ""
    keeps: Mapping[str, str] = attrs.field(factory=dict)

    def filled(self, made: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
        """The arguments with what earlier steps made, by step and name, in its places."""
        return {
            name: made[value.step][value.name] if isinstance(value, Made) else value
            for name, value in self.arguments.items()
        }


@attrs.frozen(kw_only=True)
class Route:
    """One way to a video: what is given, and which operations lead there.

    Attributes:
        presenter: who speaks.
        speech: what drives it.
        operations: the operations in their order; the last makes the video.
        subtitles: whether the text can be burned in.
        prompt: whether it takes a prompt.
        sizes: sizes it can make on request.
        options: the provider's own further arguments that ``VideoRequest.options`` may hold.
        needs: those among *options* without which the provider refuses it.
        needs_one: those among *options* of which it needs one.

    """

    presenter: Presenter
    speech: Speech
    operations: tuple[str, ...]
    subtitles: bool = False
    prompt: bool = False
    sizes: tuple[str, ...] = ()
    options: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    needs_one: frozenset[str] = frozenset()

    def lacks(self, request: VideoRequest) -> list[str]:
        """What *request* asks for that this route has not; its presenter and speech are not looked at."""
        found = []
        shown = request.subtitles
        if (shown.show if isinstance(shown, Subtitle) else shown) and not self.subtitles:
            found.append("subtitles")
        if request.prompt is not None and not self.prompt:
            found.append("a prompt")
        if request.size is not None and request.size not in self.sizes:
            found.append(f"the size {request.size}")
        return found


@attrs.frozen(kw_only=True)
class Capabilities:
    """What a provider can make.

    Attributes:
        provider: its name.
        title: the name people know it by.
        routes: every way to a video, at most one for each presenter and speech.
        titles: whether works have names there.
        searchable: whether a lost submission can be looked up by its name or external id.

    """

    provider: str
    title: str
    routes: tuple[Route, ...]
    titles: bool = True
    searchable: bool = False

    def route(self, presenter: str, speech: str) -> Route | None:
        """The way from this presenter and speech to a video, or None."""
        for route in self.routes:
            if route.presenter == presenter and route.speech == speech:
                return route
        return None

    def lacks(self, request: VideoRequest) -> list[str]:
        """What *request* asks for that the provider cannot do, in words; empty when it can do all."""
        route = self.route(request.presenter, request.speech)
        if route is None:
            return [f"a video from {_a(request.presenter)} with {_a(request.speech)}"]
        return route.lacks(request)

    def missing(self, request: VideoRequest) -> list[str]:
        """The provider's own options that *request* has to have and has not, in words; empty when it has them all."""
        route = self.route(request.presenter, request.speech)
        if route is None or not (route.needs or route.needs_one):
            return []
        options = request.options.get(self.provider, {})
        known = options.items() if isinstance(options, Mapping) else ()
        given = {name for name, value in known if value is not None}
        found = sorted(route.needs - given)
        if route.needs_one and not route.needs_one & given:
            found.append(_listed(sorted(route.needs_one), "or"))
        return found

    def can(self, request: VideoRequest) -> bool:
        """Whether the provider makes *request* as it is: it can do what is asked for, and no option is missing."""
        return not self.lacks(request) and not self.missing(request)


@attrs.frozen
class Plan:
    """The steps that lead to a video; the last one makes it."""

    steps: tuple[Step, ...]


def settle_route(
    capabilities: Capabilities,
    request: VideoRequest,
    others: Iterable[Capabilities] = (),
    problems: list[str] | None = None,
) -> tuple[Route, dict[str, Any]]:
    """The provider's route for *request*, and the request's options for this provider, those left None not counted.

    Args:
        problems: gets what is wrong with the options, so that the provider can raise it with what it finds itself;
            None raises it here.

    Raises:
        InvalidRequest: the request is wrong whatever the provider, or its options are none of the route's.
        UnsupportedOperation: the provider cannot do it; names those of *others* that can.

    """
    request.check()
    route = capabilities.route(request.presenter, request.speech)
    lacks = capabilities.lacks(request) if route is None else route.lacks(request)
    if lacks:
        able = [
            other for other in others if other.provider != capabilities.provider and not other.lacks(request)
        ]
        raise UnsupportedOperation(
            f"{capabilities.title} cannot make {_listed(lacks)}",
            providers=[other.provider for other in able],
            hint=f"These can: {', '.join(other.title for other in able)}." if able else "",
        )
    assert route is not None
    given = request.options.get(capabilities.provider, {})
    if not given and not route.needs:
        return route, {}
    options = {name: value for name, value in given.items() if value is not None}
    found = [
        f"options: {name!r} found, {_listed(sorted(route.options), 'or') or 'none'} allowed with "
        f"{_a(request.presenter)} and {_a(request.speech)} at {capabilities.title}"
        for name in sorted(set(options) - route.options)
    ]
    found += [
        f"options: no {name!r} found, {capabilities.title} needs it to make an avatar from {_a(request.presenter)}"
        for name in sorted(route.needs - set(options))
    ]
    if problems is not None:
        problems += found
    elif found:
        raise InvalidRequest(found)
    return route, {name: value for name, value in options.items() if name in route.options}


def _a(word: str) -> str:
    return {"avatar": "an avatar", "image": "an image", "audio": "audio", "text": "text"}.get(
        word, f"a {word}"
    )


def _listed(words: list[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
