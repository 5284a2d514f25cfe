"""Material for providers that take only URLs: what the user gave becomes a URL, by way of the staging."""

from __future__ import annotations

import attrs

from avatarkit.errors import InvalidRequest
from avatarkit.events import ProgressHook
from avatarkit.models import UploadedFile
from avatarkit.protocol.limits import MediaRule
from avatarkit.settings import CallOptions
from avatarkit.transport.account import Account
from avatarkit.transport.preflight import check_media, inspect
from avatarkit.transport.sources import Media, Source, as_source, is_url
from avatarkit.transport.staging import STAY, staged_url


@attrs.define
class UrlMaterial:
    """One file of a request, before the provider can fetch it. Made by :func:`prepare_url`.

    Attributes:
        field: what it was given for, e.g. ``audio_url``.
        rule: the provider's limits for it.
        source: a local file that has to be staged, or None.
        url: the URL that was given, or ``""``.
        seconds: how long a local file is, where that is known.
        progress: told about the upload.

    """

    field: str
    rule: MediaRule
    source: Source | None = None
    url: str = attrs.field(default="", repr=False)
    seconds: float | None = None
    progress: ProgressHook | None = None

    @property
    def given(self) -> bool:
        """Whether there is any material."""
        return self.source is not None or bool(self.url)


async def prepare_url(
    account: Account,
    media: Media | None,
    url: str | None,
    rule: MediaRule,
    field: str,
    problems: list[str],
    *,
    options: CallOptions | None = None,
    progress: ProgressHook | None = None,
    required: bool = True,
) -> UrlMaterial:
    """Look at what was given for *field* and add to *problems* what is wrong with it. Sends nothing.

    Args:
        media: a path, bytes, a file object, or a URL; None when *url* is given.
        url: an address that the provider can fetch.
        rule: the provider's limits; local files are checked unless preflight is off.
        field: name of the URL argument, e.g. ``audio_url``; the other's is the same without ``_url``.
        problems: gets what is wrong.
        options: the call's own, for its ``preflight``.
        progress: for :func:`url_for`.
        required: False when the field may be left out.

    """
    name, material = field.removesuffix("_url"), UrlMaterial(field, rule, progress=progress)
    if media is None and url is None:
        if required:
            problems.append(f"{name}: none given, one of {name} and {field} needed")
        return material
    if media is not None and url is not None:
        problems.append(f"{name}: {name} and {field} given, one of them allowed")
        return material
    if isinstance(media, UploadedFile):
        problems.append(f"{name}: an uploaded file found, a local file or a URL allowed")
        return material
    if url is not None or is_url(media):
        material.url = str(media if url is None else url)
        problems += _check_url(field, material.url, rule)
        return material
    try:
        material.source = source = await as_source(media)  # type: ignore[arg-type]
    except InvalidRequest as error:
        problems += [f"{name}: {problem}" for problem in error.problems]
        return material
    wanted = options.preflight if options is not None else None
    if account.preflight if wanted is None else wanted:
        problems += await check_media(name, source, rule)
        facts = await inspect(source)
        material.seconds = facts.seconds if facts is not None else None
    return material


def _check_url(field: str, url: str, rule: MediaRule) -> list[str]:
    if not is_url(url) or any(char.isspace() for char in url):
        return [f"{field}: not an http(s) URL"]
    return rule.check_url(field, url)


async def url_for(account: Account, material: UrlMaterial, *, seconds: float = STAY) -> str:
    """The URL of *material*: as given, or of the staged local file; ``""`` when nothing was given.

    A local file is staged once per content. Call it when everything else is checked, before the billed request.

    Raises:
        UnsupportedOperation: a local file, and no staging is configured; the hint says how to.
        UploadFailed: it did not arrive; nothing was billed.
        InvalidRequest: the signed URL is longer than the provider takes.
        ConfigurationError, MissingExtra: the staging cannot work as it is set up.

    """
    if material.source is None:
        return material.url
    url = await staged_url(
        account, material.source, material.field, seconds=seconds, progress=material.progress
    )
    too_long = material.rule.check_url(material.field, url)
    if too_long:
        raise InvalidRequest(too_long, hint="The staging signs long URLs; session tokens make them longer.")
    return url
