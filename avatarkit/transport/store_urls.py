"""Naming an object store by a URL, and making it with the environment's credentials.

A URL never holds credentials: it may stand in a configuration file or a log. No error quotes one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import attrs

from avatarkit.errors import ConfigurationError

_SCHEMES: Mapping[str, Literal["s3", "gs", "az"]] = {
    "s3": "s3", "s3a": "s3", "oss": "s3", "gs": "gs", "gcs": "gs", "az": "az", "azure": "az", "abfs": "az",
    "abfss": "az",
}  # fmt: skip
_OPTIONS: Mapping[str, frozenset[str]] = {
    "s3": frozenset({"endpoint", "public_endpoint", "region", "style"}),
    "gs": frozenset(),
    "az": frozenset({"account", "endpoint"}),
}
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_ALIYUN = re.compile(r"(?:^|\.)oss-([a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com$")
_CLIENT = {"connect_timeout": "10s", "timeout": "300s"}
_RETRY = {"max_retries": 4, "retry_timeout": timedelta(seconds=120)}


def is_store_url(text: object) -> bool:
    """Whether *text* is a string that names an object store: ``s3://``, ``oss://``, ``gs://``, ``az://``, …"""
    return isinstance(text, str) and text.partition("://")[0].lower() in _SCHEMES and "://" in text


@attrs.frozen(kw_only=True)
class Location:
    """A place in an object store, as a URL says it.

    Attributes:
        kind: ``s3`` (and everything that speaks its protocol), ``gs`` or ``az``.
        bucket: bucket or container.
        path: key or prefix, to the letter: nothing in it is percent-decoded.
        options: what stood behind the question mark.
        aliyun: whether it is at Aliyun, whose credentials have names of their own.

    """

    kind: Literal["s3", "gs", "az"]
    bucket: str
    path: str
    options: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    aliyun: bool = False

    def __str__(self) -> str:
        return f"{self.kind}://{self.bucket}/{self.path}"


def parse_location(url: str, extra: frozenset[str] = frozenset()) -> Location:
    """*url* as a location: ``scheme://bucket/path?option=value``. *extra* names further options.

    Options: ``endpoint``, ``public_endpoint``, ``region`` and ``style`` (``path``, ``virtual``, ``domain``) for S3 and
    its kin, ``account`` and ``endpoint`` for Azure. ``oss://`` is ``s3://`` at Aliyun, where ``region`` is enough.

    Raises:
        ConfigurationError: it names no store, or holds credentials or unknown options. It is not quoted.

    """
    scheme, _, rest = url.partition("://")
    kind = _SCHEMES.get(scheme.lower())
    if kind is None:
        known = ", ".join(f"{name}://" for name in ("s3", "oss", "gs", "az"))
        raise ConfigurationError(f"no object store is known by the scheme {scheme[:20]!r}; known are {known}")
    place, _, query = rest.partition("?")
    bucket, _, path = place.partition("/")
    if not _BUCKET.fullmatch(bucket):
        hint = "Credentials belong in the environment, not in the URL." if "@" in bucket else ""
        raise ConfigurationError(f"a {kind}:// URL needs a bucket after the slashes", hint=hint)
    parts = path.removesuffix("/").split("/") if path else []
    if not path.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise ConfigurationError(f"the path in bucket {bucket!r} has empty, dotted or unprintable parts")
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(options.keys() - _OPTIONS[kind] - extra)
    if unknown:
        raise ConfigurationError(
            f"unknown options in a {kind}:// URL: {', '.join(name[:40] for name in unknown)}",
            hint=f"Known: {', '.join(sorted(_OPTIONS[kind] | extra))}. Credentials belong in the environment.",
        )
    aliyun = scheme.lower() == "oss"
    if aliyun:
        options = _aliyun(options)
    return Location(kind=kind, bucket=bucket, path=path, options=options, aliyun=aliyun)


def _aliyun(options: dict[str, str]) -> dict[str, str]:
    region = options.get("region", "").removeprefix("oss-")
    if not region and "endpoint" not in options:
        raise ConfigurationError("an oss URL needs ?region=, e.g. oss://bucket/prefix?region=cn-hangzhou")
    return {
        "endpoint": f"https://s3.oss-{region}.aliyuncs.com",
        **options,
        **({"region": region} if region else {}),
    }


def make_store(where: Location, endpoint: str | None) -> Any:
    """The store for *where*, at *endpoint* where one is given. Blocks.

    Credentials come from the environment, as obstore looks for them; Aliyun's own variables count at Aliyun.

    Raises:
        ConfigurationError: it cannot be made. What obstore raises goes through, and may quote the configuration.

    """
    from obstore.store import AzureStore, GCSStore, S3Store

    options: Any = {**_CLIENT, **({"allow_http": True} if (endpoint or "").startswith("http://") else {})}
    common: dict[str, Any] = {"client_options": options, "retry_config": _RETRY}
    if where.kind == "gs":
        return GCSStore(where.bucket, **common)
    if where.kind == "s3":
        return S3Store(where.bucket, **_s3_config(where, endpoint), **common)
    if account := where.options.get("account"):
        common["account_name"] = account
    if endpoint:
        common["endpoint"] = endpoint
    return AzureStore(where.bucket, **common)


def _s3_config(where: Location, endpoint: str | None) -> dict[str, Any]:
    # Aliyun knows no bulk delete in the form obstore sends it; one at a time works everywhere.
    config: dict[str, Any] = {"disable_bulk_delete": True}
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    parts = urlsplit(endpoint or "")
    found = _ALIYUN.search(parts.hostname or "")
    aliyun = where.aliyun or found is not None
    if region := where.options.get("region") or (found[1] if found else ""):
        config["region"] = region
    if not endpoint:
        return config
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise ConfigurationError("the object store's endpoint is not a plain http(s) URL")
    style = where.options.get("style") or ("virtual" if aliyun else "path")
    if style not in ("path", "virtual", "domain"):
        raise ConfigurationError(f"style is {style[:20]!r}, allowed are path, virtual and domain")
    config["virtual_hosted_style_request"] = style != "path"
    if style == "virtual" and not parts.netloc.startswith(f"{where.bucket}."):
        parts = parts._replace(netloc=f"{where.bucket}.{parts.netloc}")
    config["endpoint"] = parts.geturl().rstrip("/")
    if aliyun:
        config.update(_aliyun_credentials())
    return config


def _aliyun_credentials() -> dict[str, str]:
    """Aliyun's own variables; with none of them set, those of AWS count."""
    env = os.environ
    for key, secret, token in (
        ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET", "OSS_SESSION_TOKEN"),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"),
    ):
        if env.get(key) and env.get(secret):
            found = {"access_key_id": env[key], "secret_access_key": env[secret]}
            return {**found, **({"session_token": env[token]} if env.get(token) else {})}
    return {}
