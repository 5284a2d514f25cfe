"""Getting a user's material to Kling: by URL, or as base64 inside the request, for the vendor takes no uploads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from avatarkit.errors import InvalidRequest
from avatarkit.models import UploadedFile
from avatarkit.protocol.limits import MediaRule
from avatarkit.providers.kling import checks, limits
from avatarkit.transport.encode import Base64JsonBody, Base64Of
from avatarkit.transport.preflight import check_media, inspect
from avatarkit.transport.sources import Media, as_source, is_url


@attrs.frozen(kw_only=True)
class Material:
    """A picture or a sound as it goes into the request.

    Attributes:
        value: a URL, or a local file that is encoded while it is sent.
        seconds: how long it is, where that is known.

    """

    value: str | Base64Of
    seconds: float | None = None


async def prepare(
    field: str, media: Media, rule: MediaRule, problems: list[str], *, check: bool
) -> Material | None:
    """Look at what was given for *field* and add to *problems* what is wrong with it; None when it cannot be sent."""
    if is_url(media):
        checks.web_address(field, str(media), problems)
        return Material(value=str(media))
    if isinstance(media, str) and media[:5].lower() == "data:":
        problems.append(f"{field}: a data: address found, a path, bytes or an http(s) URL allowed")
        return None
    if isinstance(media, UploadedFile):
        problems.append(f"{field}: an uploaded file found; the vendor takes no uploads")
        return None
    try:
        source = await as_source(media)
    except InvalidRequest as error:
        problems += [f"{field}: {problem}" for problem in error.problems]
        return None
    seconds = None
    if check:
        problems += await check_media(field, source, rule)
        facts = await inspect(source)
        if facts is not None:
            seconds = facts.seconds
            problems += limits.check_ratio(field, facts) if rule is limits.IMAGE else []
    return Material(value=Base64Of(source), seconds=seconds)


def streamed(body: Mapping[str, Any]) -> Base64JsonBody | None:
    """*body* as a stream when it holds local files, however deep; None when it can be sent as it is."""
    return Base64JsonBody(body) if _holds_file(body) else None


def _holds_file(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_file, value.values()))
    if isinstance(value, list):
        return any(map(_holds_file, value))
    return isinstance(value, Base64Of)
