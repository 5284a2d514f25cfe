"""One request for a talking video that every provider's client understands."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from avatarkit.errors import InvalidRequest
from avatarkit.models import Avatar, Subtitle, UploadedFile, Voice

if TYPE_CHECKING:
    from avatarkit.transport.sources import Media


_CHINESE = re.compile("[\u3400-\u9fff]")
_PRESENTERS = {(True, False, False): "avatar", (False, True, False): "image", (False, False, True): "video"}
_LOGIN = re.compile("://[^/?#]*@")
_SIGNED = re.compile("[?#].*", re.DOTALL)
_TEXTS = ("text", "language", "title", "prompt", "size")
_MEDIA = ("image", "video", "audio")
_BYTES = (bytes, bytearray, memoryview)
_SHOWN = 200


def _cut(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _shown_media(value: Any) -> str:
    """Material in a repr: paths as given, URLs without what signs them, no content."""
    if isinstance(value, str):
        return _cut(_SIGNED.sub("?***", _LOGIN.sub("://***@", value)) if "://" in value else value)
    if isinstance(value, _BYTES):
        return f"<{memoryview(value).nbytes} bytes>"
    if value is None or isinstance(value, os.PathLike | UploadedFile):
        return repr(value)
    name = getattr(value, "name", "")
    called = f" {_cut(name)}" if isinstance(name, str) and name else ""
    return f"<{type(value).__name__}{called}>"


def _shown_options(value: Any) -> str:
    """Options in a repr: of URLs only the host, for a callback's path may be a secret."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name!r}: {_shown_options(each)}' for name, each in value.items())}}}"
    if isinstance(value, str) and "://" in value:
        scheme, _, rest = value.partition("://")
        return _cut(f"{scheme}://{re.split(r'[/?#]', rest, maxsplit=1)[0].rpartition('@')[2]}/***")
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_shown_options, value))}]"
    return _shown_media(value) if isinstance(value, _BYTES) or hasattr(value, "read") else repr(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_avatar(value: object) -> bool:
    return _has_id(value) and not isinstance(value, Voice | UploadedFile)


def _is_voice(value: object) -> bool:
    return _has_id(value) and not isinstance(value, Avatar | UploadedFile)


def _has_id(value: object) -> bool:
    # A provider may have objects of its own for the same, which have an id too.
    return isinstance(getattr(value, "id", value), str)


def _is_media(value: object) -> bool:
    known = isinstance(value, (str, os.PathLike, UploadedFile, *_BYTES))
    return known or callable(getattr(value, "read", None))


_FITS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "avatar": (_is_avatar, "text or an Avatar"),
    "voice": (_is_voice, "text or a Voice"),
    **dict.fromkeys(_MEDIA, (_is_media, "a path, a URL, bytes, a binary file or an uploaded file")),
    **dict.fromkeys(_TEXTS, (_is_text, "text")),
}


def tongue_of(text: str) -> str:
    """``zh`` when *text* holds Chinese characters, else ``en``."""
    return "zh" if not text.isascii() and _CHINESE.search(text) else "en"


@attrs.frozen(kw_only=True)
class VideoRequest:
    """What the video shall be, in words that hold for every provider.

    Give exactly one presenter (*avatar*, *image* or *video*) and exactly one speech (*text* with *voice*, or *audio*).
    What a provider cannot do raises :class:`UnsupportedOperation` before anything is sent; ``Client.capabilities``
    says it beforehand. Empty text counts as not given, and is None here. Values of other types than these are refused
    when the request is used. Its repr shows no content and no signed URL. Requests can be hashed, unless they hold a
    bytearray; the hash does not look into *options*.

    Attributes:
        avatar: who speaks: an avatar of the provider's, or its id as text.
        image: a picture that is to speak: a path, bytes, a file object, a URL. HiFly clones an avatar from it first.
        video: a video whose person is to speak. HiFly and Guiji clone an avatar from it first, Guiji with the person's
            consent in *options*: ``{"guiji": {"authorize_text": …, "authorize_url": …}}``.
        text: what is said. Kling and others that do not speak themselves have it spoken first.
        voice: the voice that speaks *text*, or its id as text. YunApi: ``engine:audio id``.
        language: of *text*, ``zh`` or ``en``; None tells by its letters. Only some providers ask for it.
        audio: a recording to be spoken instead of a text.
        title: a name for people. Providers without names for works do not get it.
        subtitles: True, or how the text is burned in. False and None: none.
        prompt: what the presenter does and how the camera moves.
        size: ``720p`` or ``1080p``; None leaves it to the provider.
        options: by provider's name, further arguments of its own: ``{"kling": {"watermark": False}}``. Those of other
            providers are passed over, so that one request can go to any.

    """

    avatar: str | Avatar | None = None
    image: Media | None = attrs.field(default=None, repr=_shown_media)
    video: Media | None = attrs.field(default=None, repr=_shown_media)
    text: str | None = None
    voice: str | Voice | None = None
    language: str | None = None
    audio: Media | None = attrs.field(default=None, repr=_shown_media)
    title: str | None = None
    subtitles: bool | Subtitle | None = None
    prompt: str | None = None
    size: str | None = None
    options: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=_shown_options, hash=False)

    def __attrs_post_init__(self) -> None:
        # An empty cell of a table is no value. No converters: to type checkers they would make every field Any.
        for name in _FITS:
            value = getattr(self, name)
            if isinstance(value, str) and (not value or value.isspace()):
                object.__setattr__(self, name, None)
            elif name in ("avatar", "voice") and type(value) is int:  # some vendors number what they have
                object.__setattr__(self, name, str(value))

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
        found += self._misfits()
        for provider, options in self.options.items() if isinstance(self.options, Mapping) else ():
            if not isinstance(options, Mapping):
                found.append(f"options: {provider!r} has no mapping of arguments")
        return found

    def _misfits(self) -> list[str]:
        """The fields whose values are of types that no provider takes."""
        allowed: dict[str, str] = {}
        for name in _FITS:
            value = getattr(self, name)
            if value is not None and value.__class__ is not str:
                fits, words = _FITS[name]
                if not fits(value):
                    allowed[name] = words
        if not isinstance(self.subtitles, bool | Subtitle | None):
            allowed["subtitles"] = "True, False or a Subtitle"
        if not isinstance(self.options, Mapping):
            allowed["options"] = "a mapping by provider"
        return [
            f"{name}: {type(getattr(self, name)).__name__} found, {words} allowed"
            for name, words in allowed.items()
        ]

    def check(self) -> None:
        """Raise what is wrong with it whatever the provider.

        Raises:
            InvalidRequest: with every problem. Nothing was sent.

        """
        found = self.problems()
        if found:
            raise InvalidRequest(found)
