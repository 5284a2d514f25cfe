"""Naming stores and stagings, what is refused before anything is sent, and material for providers that take URLs."""

from __future__ import annotations

import gc
import io
import sys
from pathlib import Path
from typing import Any

import pytest
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store

import avatarkit
from avatarkit.errors import (
    ConfigurationError,
    InvalidRequest,
    MissingCredentials,
    MissingExtra,
    UnsupportedOperation,
    UploadFailed,
)
from avatarkit.models import UploadedFile
from avatarkit.protocol.limits import MediaRule
from avatarkit.settings import CallOptions
from avatarkit.testing import VirtualClock, run_virtual
from avatarkit.transport.material import UrlMaterial, prepare_url, url_for
from avatarkit.transport.object_staging import ObjectStaging
from avatarkit.transport.sources import Source, as_source
from avatarkit.transport.staging import StagedFile, from_url, staging_of
from avatarkit.transport.store_urls import Location, is_store_url, make_store, parse_location
from avatarkit.transport.stores import Bucket, translated

WAV = (
    b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00"
    b"\x80\x3e\x00\x00\x02\x00\x10\x00data\x00\x00\x00\x00"
)
RULE = MediaRule(extensions=("wav", "mp3"), max_bytes=1000, max_url_chars=40)
_AWS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AVATARKIT_STAGING",
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without stores."""
    for name in (*_AWS, "OSS_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)


class FakeStaging:
    """Remembers what it was asked to stage."""

    def __init__(self, url: str = "https://files.example.com/x") -> None:
        self.url = url
        self.sources: list[Source] = []
        self.closed = 0

    async def stage(self, source: Source, *, seconds: float, progress: Any = None) -> StagedFile:
        self.sources.append(source)
        if progress is not None:
            progress(source.size, source.size)
        return StagedFile(url=self.url, key="x", expires_at=seconds)

    async def discard(self, staged: StagedFile) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        self.closed += 1


def config(url: str) -> dict[str, Any]:
    """What obstore is told for *url*."""
    where = parse_location(url)
    store = make_store(where, where.options.get("endpoint"))
    assert isinstance(store, S3Store)
    return dict(store.config)


# -- locations ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a/b.mp4", "s3://bucket/a/b.mp4"),
        ("S3A://bucket", "s3://bucket/"),
        ("gs://bucket/a%20b/", "gs://bucket/a%20b/"),
        ("az://container/x?account=acct", "az://container/x"),
        ("oss://bucket/x?region=cn-hangzhou", "s3://bucket/x"),
        ("s3://bucket/视频/一.mp4", "s3://bucket/视频/一.mp4"),
    ],
)
def test_locations(url: str, shown: str) -> None:
    """Scheme, bucket and path are told apart, to the letter, and options are not shown."""
    assert is_store_url(url)
    assert str(parse_location(url)) == shown


@pytest.mark.parametrize(
    "url",
    [
        "ftp://bucket/x", "s3://", "s3:///x", "s3://key:secret@bucket/x", "s3://bucket/x?secret_access_key=s",
        "s3://bucket/../x", "s3://bucket/a//b", "s3://bucket/a\nb", "s3://bucket//", "oss://bucket/x", "gs://bucket/x?region=r",
    ],
)  # fmt: skip
def test_urls_that_name_no_place_are_refused(url: str) -> None:
    """Unknown schemes and options, credentials, and paths that could lead elsewhere are configuration errors."""
    with pytest.raises(ConfigurationError) as caught:
        parse_location(url)
    assert "secret" not in str(caught.value).replace("secret_access_key", "")


def test_plain_paths_are_no_stores() -> None:
    """What is saved to the disk today still is."""
    assert not any(
        map(is_store_url, ("out.mp4", "/a/s3/b", "s3:/x", "https://a/b", "C://x", b"s3://x", Path("x")))
    )


def test_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """MinIO is spoken to by path, Aliyun by the bucket's name in the host, one's own domain as it is."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "aws")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws-secret")
    minio = config("s3://bkt/x?endpoint=http://127.0.0.1:9000/")
    assert (minio["endpoint"], minio["virtual_hosted_style_request"]) == ("http://127.0.0.1:9000", "false")
    oss = config("oss://bkt/x?region=cn-hangzhou")
    assert oss["endpoint"] == "https://bkt.s3.oss-cn-hangzhou.aliyuncs.com"
    assert (oss["virtual_hosted_style_request"], oss["region"]) == ("true", "cn-hangzhou")
    inside = config("s3://bkt/x?endpoint=https://oss-cn-beijing-internal.aliyuncs.com")
    assert inside["endpoint"] == "https://bkt.oss-cn-beijing-internal.aliyuncs.com"
    assert inside["region"] == "cn-beijing"
    own = config("oss://bkt/x?region=cn-hangzhou&endpoint=https://media.example.com&style=domain")
    assert own["endpoint"] == "https://media.example.com"
    assert "access_key_id" not in oss  # obstore takes those of AWS by itself
    monkeypatch.setenv("OSS_ACCESS_KEY_ID", "oss")
    monkeypatch.setenv("OSS_ACCESS_KEY_SECRET", "oss-secret")
    assert config("oss://bkt?region=cn-hangzhou")["access_key_id"] == "oss"
    assert config("oss://bkt?endpoint=https://media.example.com&style=domain")["access_key_id"] == "oss"
    assert "access_key_id" not in config("s3://bkt?endpoint=http://127.0.0.1:9000")


def test_environment_names_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS_ENDPOINT_URL counts where the URL names none, and goes the same way."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://s3.oss-cn-shanghai.aliyuncs.com")
    assert config("s3://bkt")["endpoint"] == "https://bkt.s3.oss-cn-shanghai.aliyuncs.com"


@pytest.mark.parametrize(
    "rest", ["endpoint=ftp://x", "endpoint=http://u:p@x", "endpoint=https://x&style=odd"]
)
def test_bad_endpoints_are_configuration_errors(rest: str) -> None:
    """No endpoint that is none, none with credentials, and no unknown style."""
    where = parse_location(f"s3://bkt?{rest}")
    with pytest.raises(ConfigurationError):
        make_store(where, where.options["endpoint"])


def test_google_and_azure_are_made() -> None:
    """URLs with gs and az give stores of obstore's."""
    assert isinstance(make_store(parse_location("gs://bucket/x"), None), GCSStore)
    assert isinstance(make_store(parse_location("az://cont/x?account=acct"), None), AzureStore)


def test_azure_signs() -> None:
    """A store object of the user's signs for the time asked."""

    async def main() -> None:
        store = AzureStore("cont", account_name="acct", account_key="QUFBQQ==")
        url = await Bucket(store).sign("x.mp4", 3600)
        assert url.startswith("https://acct.blob.core.windows.net/cont/x.mp4?")

    run_virtual(main)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [ObjectStaging, from_url, lambda url: avatarkit.AsyncHiFly("t", staging=url)]
)
def test_missing_extra_says_what_to_install(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without obstore, naming a store fails at once, as an ImportError too, with the command to run."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingExtra) as caught:
        make("s3://bucket/x")
    assert isinstance(caught.value, ImportError)
    assert ".[storage]" in caught.value.hint


def test_half_credentials_are_missing_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key without its secret names the variables, and sends nothing."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "half-a-key")

    async def main() -> None:
        with pytest.raises(MissingCredentials) as caught:
            await Bucket(parse_location("s3://bkt")).head("x")
        assert "AWS_SECRET_ACCESS_KEY" in caught.value.hint
        assert "half-a-key" not in str(caught.value)

    run_virtual(main)


def test_stores_words_are_read_not_repeated() -> None:
    """Metadata services without an answer are missing credentials; other failures tell status, code, retryability."""
    error = Exception(
        "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 5ms - HTTP error"
    )
    assert isinstance(translated(error, "s3://b"), MissingCredentials)
    busy = translated(
        Exception("x: Server returned non-2xx status code: 503 Slow: <Code>SlowDown</Code> sig=abc"), "s3://b"
    )
    assert isinstance(busy, UploadFailed)
    assert (busy.http_status, busy.code, busy.retryable) == (503, "SlowDown", True)
    assert "abc" not in str(busy)


def test_stores_that_cannot_sign_say_so() -> None:
    """A memory store keeps the file, but nobody else could fetch it: a configuration error."""

    async def main() -> None:
        store = MemoryStore()
        with pytest.raises(ConfigurationError, match="cannot sign"):
            await ObjectStaging(store, clock=VirtualClock()).stage(await as_source(WAV), seconds=1)

    run_virtual(main)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://127.0.0.1:1",
        "s3://bkt/x?lifetime=soon",
        "s3://bkt?lifetime=999999",
        "sandbox+http://",
        "nonsense",
    ],
)
def test_stagings_that_are_none(url: str) -> None:
    """What names no staging is a configuration error when it is named."""
    with pytest.raises(ConfigurationError):
        from_url(url)


def test_local_store_objects_appear_whole(tmp_path: Path) -> None:
    """A store on disk takes a file too; an upload whose source fails leaves nothing behind."""

    async def main() -> None:
        bucket = Bucket(LocalStore(tmp_path))
        await bucket.put("a/b.wav", (await as_source(WAV)).pieces(), "audio/wav")
        assert (tmp_path / "a" / "b.wav").read_bytes() == WAV
        found = await bucket.head("a/b.wav")
        assert found is not None
        assert found.size == len(WAV)
        source = await as_source(WAV)
        source.size += 1
        with pytest.raises(InvalidRequest, match="shorter"):
            await bucket.put("c.wav", source.pieces(), "audio/wav")
        await bucket.delete("a/b.wav")
        await bucket.delete("a/b.wav")
        await bucket.aclose()

    run_virtual(main)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# -- an account's staging ----------------------------------------------------------------------------------------------


def with_client(test: Any, **options: Any) -> None:
    """Run *test* with a client's account."""

    async def main() -> None:
        async with avatarkit.AsyncHiFly("token", clock=VirtualClock(), **options) as client:
            await test(client._account)

    run_virtual(main)
    gc.collect()


async def prepared(
    account: Any, problems: list[str], media: Any = None, url: str | None = None, **more: Any
) -> UrlMaterial:
    return await prepare_url(account, media, url, RULE, "audio_url", problems, **more)


def test_without_staging_the_error_says_how_to() -> None:
    """A local file without a staging is an unsupported operation whose hint names option and variable."""

    async def test(account: Any) -> None:
        problems: list[str] = []
        material = await prepared(account, problems, WAV, options=CallOptions(preflight=False))
        assert problems == []
        with pytest.raises(UnsupportedOperation) as caught:
            await url_for(account, material)
        assert "audio_url" in str(caught.value)
        assert "AVATARKIT_STAGING" in caught.value.hint
        assert "staging=" in caught.value.hint

    with_client(test)


@pytest.mark.parametrize("kind", ["path", "bytes", "file"])
def test_local_material_is_staged(kind: str, tmp_path: Path) -> None:
    """Paths, bytes and file objects go through the client's staging, with progress and events; it is not closed."""
    staging, steps, events = FakeStaging(), [], []
    path = tmp_path / "a.wav"
    path.write_bytes(WAV)

    async def test(account: Any) -> None:
        media = {"path": path, "bytes": WAV, "file": io.BytesIO(WAV)}[kind]
        problems: list[str] = []
        material = await prepared(
            account,
            problems,
            media,
            progress=lambda *s: steps.append(s),
            options=CallOptions(preflight=False),
        )
        assert problems == []
        assert material.given
        assert await url_for(account, material) == staging.url

    with_client(test, staging=staging, hooks=events.append)
    assert steps == [(len(WAV), len(WAV))]
    assert [type(event).__name__ for event in events] == ["BytesMoved"]
    assert len(staging.sources) == 1
    assert staging.closed == 0


def test_urls_go_as_they_are() -> None:
    """URLs, as media or as URL argument, are never staged."""
    staging = FakeStaging()

    async def test(account: Any) -> None:
        for given in ({"media": "https://a.example/b.wav"}, {"url": "https://a.example/b.wav"}):
            problems: list[str] = []
            material = await prepared(account, problems, **given)
            assert problems == []
            assert await url_for(account, material) == "https://a.example/b.wav"

    with_client(test, staging=staging)
    assert staging.sources == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "audio: none given"),
        ({"media": WAV, "url": "https://a/b"}, "audio: audio and audio_url given"),
        ({"url": "ftp://a/b"}, "audio_url: not an http(s) URL"),
        ({"url": "https://a/b c"}, "audio_url: not an http(s) URL"),
        ({"url": "https://a/" + "b" * 40}, "audio_url: URL of 50 characters found"),
        ({"media": UploadedFile(id="f")}, "audio: an uploaded file found"),
        ({"media": "/nowhere/x.wav"}, "audio: /nowhere/x.wav: no such file"),
        ({"media": WAV * 100}, "audio: 4,400 bytes found"),
    ],
)
def test_problems_are_collected(given: dict[str, Any], found: str) -> None:
    """Everything wrong is added to the list; nothing is raised and nothing staged."""

    async def test(account: Any) -> None:
        problems: list[str] = []
        await prepared(account, problems, **given)
        assert any(problem.startswith(found) for problem in problems), problems

    with_client(test, staging=FakeStaging())


def test_optional_material_may_be_left_out() -> None:
    """Nothing given where nothing is needed: no problem, no URL."""

    async def test(account: Any) -> None:
        problems: list[str] = []
        material = await prepared(account, problems, required=False)
        assert (problems, material.given, await url_for(account, material)) == ([], False, "")

    with_client(test)


def test_signed_urls_that_are_too_long_are_refused_here() -> None:
    """A URL longer than the provider takes is refused before the billed request, without being shown."""

    async def test(account: Any) -> None:
        material = await prepared(account, [], WAV, options=CallOptions(preflight=False))
        with pytest.raises(InvalidRequest) as caught:
            await url_for(account, material)
        assert "aaaa" not in str(caught.value)

    with_client(test, staging=FakeStaging("https://files.example.com/" + "a" * 50))


def test_environment_names_the_staging(monkeypatch: pytest.MonkeyPatch) -> None:
    """AVATARKIT_STAGING counts unless the client says otherwise; a bad one hurts only who stages."""
    monkeypatch.setenv("AVATARKIT_STAGING", "s3://bkt/x")

    async def by_default(account: Any) -> None:
        assert repr(staging_of(account)) == "<ObjectStaging s3://bkt/x/>"
        assert staging_of(account) is staging_of(account)

    async def switched_off(account: Any) -> None:
        assert staging_of(account) is None

    async def bad(account: Any) -> None:
        with pytest.raises(ConfigurationError):
            staging_of(account)

    with_client(by_default)
    with_client(switched_off, staging="")
    monkeypatch.setenv("AVATARKIT_STAGING", "nonsense")
    with_client(bad)


def test_the_client_closes_the_staging_it_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """A staging named by URL belongs to the client and is closed with it."""
    closed: list[str] = []

    async def aclose(self: ObjectStaging) -> None:
        closed.append(repr(self))

    monkeypatch.setattr(ObjectStaging, "aclose", aclose)

    async def test(account: Any) -> None:
        assert isinstance(staging_of(account), ObjectStaging)

    with_client(test, staging="s3://bkt/mine")
    assert closed == ["<ObjectStaging s3://bkt/mine/>"]


def test_a_location_shows_no_options() -> None:
    """Options may name inner hosts; a location's repr leaves them out."""
    assert "inner" not in repr(parse_location("s3://bkt/x?endpoint=http://inner.example"))
    assert isinstance(parse_location("s3://bkt/x"), Location)
