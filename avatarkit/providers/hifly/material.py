"""Getting a user's material to HiFly: local files are checked, uploaded once, and named by their ``file_id``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from avatarkit.errors import InvalidRequest, UploadFailed
from avatarkit.events import ProgressHook
from avatarkit.models import UploadedFile, UploadSlot
from avatarkit.protocol.endpoint import Request
from avatarkit.protocol.limits import MediaRule
from avatarkit.providers.hifly import operations as ops
from avatarkit.providers.hifly import reading
from avatarkit.providers.hifly.limits import file_extension
from avatarkit.settings import DEFAULT_OPTIONS, CallOptions
from avatarkit.transport.account import Account
from avatarkit.transport.preflight import check_media, inspect
from avatarkit.transport.sources import Media, Source, as_source, fingerprint, is_url
from avatarkit.transport.upload import can_retry, put_file

_UPLOAD_TRIES = 3
Check: TypeAlias = Callable[[str], list[str]]


@attrs.define
class Material:
    """One file of a request, before it lies at the vendor.

    Attributes:
        field: the vendor's URL field, e.g. ``audio_url``; a ``file_id`` goes under its own name.
        source: a local file that has to be uploaded, or None.
        value: the body field and value when nothing needs uploading.
        seconds: how long it is, where that is known.

    """

    field: str
    source: Source | None = None
    value: tuple[str, str] | None = None
    seconds: float | None = None
    progress: ProgressHook | None = None


async def prepare(
    field: str,
    media: Media | None,
    url: str | None,
    file_id: str | None,
    rule: MediaRule,
    problems: list[str],
    *,
    check: bool,
    progress: ProgressHook | None = None,
) -> Material:
    """Look at what was given for *field* and add to *problems* what is wrong with it. Sends nothing."""
    name = field.removesuffix("_url")
    given = [
        label for label, value in ((name, media), (field, url), ("file_id", file_id)) if value is not None
    ]
    if len(given) != 1:
        found = "none" if not given else " and ".join(given)
        problems.append(f"{name}: {found} given, exactly one of {name}, {field} and file_id allowed")
        return Material(field)
    if isinstance(media, UploadedFile):
        file_id = media.id
    elif is_url(media):
        url = str(media)
    if file_id is not None:
        if not file_id.strip():
            problems.append("file_id: it is empty")
        return Material(field, value=("file_id", file_id))
    if url is not None:
        problems += check_url(field, url, rule)
        return Material(field, value=(field, url))
    material = Material(field, progress=progress)
    try:
        material.source = source = await as_source(media)  # type: ignore[arg-type]
    except InvalidRequest as error:
        problems += [f"{name}: {problem}" for problem in error.problems]
        return material
    if check:
        problems += await check_media(name, source, rule)
        facts = await inspect(source)
        material.seconds = facts.seconds if facts is not None else None
    return material


def check_url(field: str, url: str, rule: MediaRule) -> list[str]:
    """What is wrong with a URL that the vendor is to fetch."""
    if not is_url(url) or any(char.isspace() for char in url):
        return [f"{field}: not an http(s) URL"]
    return rule.check_url(field, url)


async def body_fields(account: Account, material: Material, options: CallOptions | None) -> dict[str, str]:
    """The body field that names *material*, uploading it first when it is local."""
    if material.source is None:
        return dict([material.value]) if material.value else {}
    uploaded = await upload(account, material.source, progress=material.progress, options=options)
    return {"file_id": uploaded.id}


async def upload(
    account: Account,
    source: Source,
    *,
    progress: ProgressHook | None = None,
    dedupe: bool = True,
    options: CallOptions | None = None,
) -> UploadedFile:
    """*source* as a file at the vendor; content that was uploaded lately is not sent again."""
    try:
        extension = file_extension(source.extension)
    except ValueError:
        raise InvalidRequest(
            f"{source.name}: its type cannot be told from name or content", hint="Give the file an extension."
        ) from None
    if not dedupe:
        return await _send(account, source, extension, "", progress, options)
    sha256 = await fingerprint(source)
    return await account.uploads.get(
        sha256, extension, lambda: _send(account, source, extension, sha256, progress, options)
    )


async def _send(
    account: Account,
    source: Source,
    extension: str,
    sha256: str,
    progress: ProgressHook | None,
    options: CallOptions | None,
) -> UploadedFile:
    tries = 1
    while True:
        slot = await upload_slot(account, extension, options)
        try:
            await put_file(
                account.engine().sessions.files,
                slot.upload_url,
                source,
                slot.content_type,
                clock=account.clock,
                timeouts=account.timeouts,
                progress=progress,
                emit=account.emit,
                proxy_for=account.network.proxy_for,
            )
        except UploadFailed as error:
            # A signed URL is good for one attempt: a second try needs a fresh one.
            if tries >= _UPLOAD_TRIES or not can_retry(error):
                raise
            await account.clock.sleep(account.engine().driver.backoff(tries))
            tries += 1
        else:
            return UploadedFile(id=slot.file_id, sha256=sha256, size=source.size, response=slot.response)


async def upload_slot(account: Account, extension: str, options: CallOptions | None) -> UploadSlot:
    """A signed address for one file."""
    request: Request[Any] = Request(ops.UPLOAD_URL, reading.read_upload, body={"file_extension": extension})
    slot: UploadSlot = await account.call(request, options or DEFAULT_OPTIONS)
    return slot
