"""Files that clients stage in the sandbox: named by their content, PUT and fetched at the store's origin. No I/O."""

from __future__ import annotations

import re
from typing import Any

from avatarkit.errors import InvalidRequest
from avatarkit.protocol.fakewire import FakeAccount
from avatarkit.sandbox.world import SandboxWorld

_OWNER = FakeAccount(provider="staging", key="")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_CONTENT_TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}")
_LONGEST = 7 * 86400.0


def stage(world: SandboxWorld, asked: dict[str, Any]) -> dict[str, Any]:
    """What ``POST /__sandbox__/staging`` answers.

    Asked with ``sha256``, ``extension``, ``content_type``, ``seconds``: the ``key``, whether the content is ``there``,
    the ``upload_url`` to PUT it to, and the ``url`` that then serves it until ``expires_at`` (seconds since
    1970). Asked with ``discard``, a key: the file is deleted.

    Raises InvalidRequest when the question is not like that.
    """
    if "discard" in asked:
        return _discard(world, str(asked["discard"]))
    sha256, extension = str(asked.get("sha256")), str(asked.get("extension"))
    content_type, seconds = str(asked.get("content_type")), float(asked.get("seconds", 0))
    good = _SHA256.fullmatch(sha256) and _EXTENSION.fullmatch(extension)
    if not good or not _CONTENT_TYPE.fullmatch(content_type) or not 0 < seconds <= _LONGEST:
        raise InvalidRequest("staging needs sha256, extension, content_type, and seconds up to 7 days")
    # Half of the hash tells contents apart just as well, and fits the ids of other files.
    key = f"{sha256[:32]}-{extension}"
    file = world.files.get(key)
    if file is None:
        file, _ = world.new_upload(_OWNER, file_id=key, extension=extension, content_type=content_type)
    expires_at = world.now() + seconds
    return {
        "key": key,
        "there": file.uploaded and file.sha256 == sha256,
        "upload_url": world.files_url + world.links.upload_path(file, world.now() + world.url_lifetime),
        "url": world.files_url + world.links.result_path(file, expires_at),
        "expires_at": float(int(expires_at)),
    }


def _discard(world: SandboxWorld, key: str) -> dict[str, Any]:
    file = world.files.get(key)
    if file is not None and file.provider == _OWNER.provider:
        del world.files[key]
        if file.path is not None:
            file.path.unlink(missing_ok=True)
    return {"key": key}
