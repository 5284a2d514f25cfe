"""One request for a talking video that every provider's client understands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from avatarkit.errors import InvalidRequest
from avatarkit.models import Avatar, Subtitle, Voice

if TYPE_CHECKING:
    from avatarkit.transport.sources import Media


_CHINESE = re.compile("[\u3400-\u9fff]")
_PRESENTERS = {(True, False, False): "avatar", (False, True, False): "image", (False, False, True): "video"}


def _nothing(text: Any) -> Any:
    # An empty cell of a table is no value.
    if text is None:
        return None
    return None if isinstance(text, str) and not text.strip() else text


def tongue_of(text: str) -> str:
    """``zh`` when *text* holds Chinese characters, else ``en``."""
    return "zh" if not text.isascii() and _CHINESE.search(text) else "en"


@attrs.frozen(kw_only=True)
class VideoRequest:
    """What the video shall be, in words that hold for every provider.

    Give exactly one presenter (*avatar*, *image* or *video*) and exactly one speech (*text* with *voice*, or *audio*).
    What a provider cannot do raises :class:`UnsupportedOperation` before anything is sent; ``Client.capabilities``
    says it beforehand. Empty text counts as not given.

    Attributes:
        avatar: who speaks: an avatar of the provider's, or its id.
        image: a picture that is to speak: a path, bytes, a file object, a URL. HiFly clones an avatar from it first.
        video: a video whose person is to speak. HiFly and Guiji clone an avatar from it first.
        text: what is said. Kling and others that do not speak themselves have it spoken first.
        voice: the voice that speaks *text*, or its id. YunApi: ``engine:audio id``.
        language: of *text*, ``zh`` or ``en``; None tells by its letters. Only some providers ask for it.
        audio: a recording to be spoken instead of a text.
        title: a name for people. Providers without names for works do not get it.
        subtitles: True, or how the text is burned in. False and None: none.
        prompt: what the presenter does and how the camera moves.
        size: ``720p`` or ``1080p``; None leaves it to the provider.
        options: by provider's name, further arguments of its own: ``{"kling": {"watermark": False}}``. Those of other
            providers are passed over, so that one request can go to any.

    """

    avatar: str | Avatar | None = attrs.field(default=None, converter=_nothing)
    image: Media | None = attrs.field(default=None, converter=_nothing, repr=False)
    video: Media | None = attrs.field(default=None, converter=_nothing, repr=False)
    text: str | None = attrs.field(default=None, converter=_nothing)
    voice: str | Voice | None = attrs.field(default=None, converter=_nothing)
    language: str | None = attrs.field(default=None, converter=_nothing)
    audio: Media | None = attrs.field(default=None, converter=_nothing, repr=False)
    title: str | None = attrs.field(default=None, converter=_nothing)
    subtitles: bool | Subtitle | None = None
    prompt: str | None = attrs.field(default=None, converter=_nothing)
    size: str | None = attrs.field(default=None, converter=_nothing)
    options: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)

    @property
    def presenter(self) -> str:
        """``avatar``, ``image`` or ``video``: the one that was given, ``""`` when it is not exactly one."""
        given = (self.avatar is not None, self.image is not None, self.video is not None)
        return _PRESENTERS.get(given, "")

    @property
    def speech(self) -> str:
        """``text`` or ``audio``: the one that was given, ``""`` when it is not exactly one."""
        if self.text is not None:
            return "text" if self.audio is None else ""
        return "audio" if self.audio is not None else ""

    @property
    def tongue(self) -> str:
        """The language of the text: as given, else ``zh`` when it holds Chinese characters, else ``en``."""
        if self.language is not None:
            return self.language
        return tongue_of(self.text or "")

    def problems(self) -> list[str]:
        """What is wrong with it whatever the provider; empty when nothing is."""
        found = []
        if not self.presenter:
            given = sum(getattr(self, name) is not None for name in ("avatar", "image", "video"))
            found.append(f"presenter: {given} of avatar, image and video given, exactly one allowed")
        if not self.speech:
            given = sum(getattr(self, name) is not None for name in ("text", "audio"))
            found.append(f"speech: {given} of text and audio given, exactly one allowed")
        if self.audio is not None and self.voice is not None:
            found.append("voice: given with audio, allowed with text only")
        if self.speech == "text" and self.voice is None:
            found.append("voice: none given, text needs one")
        found += [
            f"{name}: {type(value).__name__} found, text allowed"
            for name in ("text", "language", "title", "prompt", "size")
            if (value := getattr(self, name)) is not None and not isinstance(value, str)
        ]
        for provider, options in self.options.items():
            if not isinstance(options, Mapping):
                found.append(f"options: {provider!r} has no mapping of arguments")
        return found

    def check(self) -> None:
        """Raise what is wrong with it whatever the provider.

        Raises:
            InvalidRequest: with every problem. Nothing was sent.

        """
        found = self.problems()
        if found:
            raise InvalidRequest(found)
