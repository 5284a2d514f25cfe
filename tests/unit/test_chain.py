"""Chains as data: their tokens, and what is looked into before the first billed step."""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest

import avatarkit
from avatarkit import providers
from avatarkit.chain import AsyncChain
from avatarkit.errors import InvalidHandle, InvalidRequest, SubmissionInDoubt, UnsupportedOperation
from avatarkit.generation import ready
from avatarkit.models import Avatar, Guard, Kind, Subtitle, Ticket, UploadedFile, Voice
from avatarkit.protocol.chain_token import PREFIX, ChainHandle, from_chain_token, to_chain_token
from avatarkit.protocol.handle import Handle, to_token
from avatarkit.protocol.plan import Made, Step
from avatarkit.protocol.samples import png, wav
from avatarkit.request import VideoRequest
from avatarkit.settings import CallOptions

KEY = b"k" * 32
CLONE = Step(
    operation="avatars.create_by_image",
    arguments={"image": Path("face.png")},
    makes=Kind.AVATAR,
    named_by="title",
)


def speak(**more: Any) -> Step:
    """A second step."""
    arguments = {"avatar": Made(0), "voice": "v", "text": "Hi", **more}
    return Step(operation="videos.create_by_tts", arguments=arguments, named_by="title")


def handle(*steps: Step, **more: Any) -> ChainHandle:
    """A chain at its first step."""
    fields: dict[str, Any] = {
        "provider": "hifly",
        "account": "abc",
        "name": "ak-abcdefghij",
        "born": 1_790_000_000.25,
        "task": "avk1.x",
        **more,
    }
    return ChainHandle(steps=steps or (CLONE, speak()), **fields)


def forged(fields: Any, key: bytes = KEY) -> str:
    """A token of any content, signed."""
    packed = zlib.compress(fields if isinstance(fields, bytes) else orjson.dumps(fields))
    sign = hmac.new(key, packed, hashlib.sha256).digest()[:16]
    return PREFIX + base64.urlsafe_b64encode(sign + packed).decode().rstrip("=")


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_a_token_says_all(tmp_path: Path) -> None:
    """Everything that steps can hold comes back; a path is made absolute, an avatar becomes its id."""
    step = speak(
        avatar=Avatar(id="28"),
        voice=Voice(id="v1"),
        subtitle=Subtitle(font_size=40),
        audio=UploadedFile(id="f1", sha256="aa", size=3),
        made=Made(0, "seconds"),
        list=[1, None, {"a": Made(0)}],
        flag=True,
    )
    doubt = Ticket(
        provider="hifly",
        endpoint="videos.create_by_tts",
        kind="video",
        account="abc",
        marker="ak-abcdefghij-2",
        guard=Guard.TITLE,
        sent_at=5.5,
    )
    given = handle(CLONE, step, made={0: {"id": "28", "seconds": 2.5}}, doubt=doubt)
    found = from_chain_token(to_chain_token(given, KEY), KEY)
    assert (found.provider, found.account, found.name, found.born) == ("hifly", "abc", given.name, given.born)
    assert (found.at, found.task, found.made, found.doubt) == (0, "avk1.x", given.made, doubt)
    assert found.steps[0].arguments == {"image": Path("face.png").absolute()}
    assert found.steps[0].makes is Kind.AVATAR
    assert found.steps[1].arguments == {**step.arguments, "avatar": "28", "voice": "v1"}
    error = found.in_doubt()
    assert isinstance(error, SubmissionInDoubt)
    assert error.ticket == doubt
    assert handle().in_doubt() is None


@pytest.mark.parametrize("material", [b"RIFF", bytearray(b"x"), object(), "\ud800", 2**70])
def test_what_cannot_be_written_down(material: Any) -> None:
    """Bytes, objects and what JSON has not: the token is refused, with the reason."""
    with pytest.raises(InvalidHandle, match="cannot be written down"):
        to_chain_token(handle(CLONE, speak(audio=material)), KEY)


def test_a_chain_too_long_for_a_token() -> None:
    """No token is made that could not be read."""
    noise = base64.b64encode(hashlib.shake_256(b"x").digest(300_000)).decode()
    with pytest.raises(InvalidHandle, match="too long"):
        to_chain_token(handle(CLONE, speak(text=noise)), KEY)
    with pytest.raises(InvalidHandle, match="too long"):
        to_chain_token(handle(CLONE, speak(text="x" * 2_000_000)), KEY)


def _fields(**changes: Any) -> list[Any]:
    step = ["videos.create_by_tts", "video", "title", {}, {}]
    fields = {
        "provider": "hifly", "account": "abc", "name": "n", "born": 1.0, "steps": [step], "at": 0, "task": "avk1.x",
        "made": {}, "doubt": None, **changes,
    }  # fmt: skip
    return list(fields.values())


@pytest.mark.parametrize(
    "fields",
    [
        [],
        None,
        7,
        {},
        "x",
        _fields()[:-1],
        [*_fields(), 1],
        _fields(steps=[]),
        _fields(steps=[[]]),
        _fields(steps=["xxxxx"]),
        _fields(steps=[["a", "no such kind", "", {}, {}]]),
        _fields(steps=[["a", "video", "", {"x": {"$made": []}}, {}]]),
        _fields(steps=[["a", "video", "", {"x": {"$made": ["one", 2]}}, {}]]),
        _fields(steps=[["a", "video", "", {"x": {"$file": 1}}, {}]]),
        _fields(steps=[["a", "video", "", {"x": {"$subtitle": {"evil": 1}}}, {}]]),
        _fields(steps=[["a", "video", "", [], {}]]),
        _fields(at=5),
        _fields(at=-1),
        _fields(at=None),
        _fields(at=1e300),
        _fields(born="soon"),
        _fields(born=None),
        _fields(made=[1]),
        _fields(made={"x": {}}),
        _fields(made={"0": 5}),
        _fields(doubt=[1]),
        _fields(doubt=["e", "video", "m", "no such guard", 1.0]),
        b"not json",
        b"",
        b"[" * 5000 + b"]" * 5000,
        b"[" * 900 + b"]" * 900,
        b"\xff\xfe",
        b"0" * (1 << 22),
    ],
    ids=range(33),
)
def test_signed_nonsense_is_refused(fields: Any) -> None:
    """Even with the right signature, another shape is InvalidHandle and nothing else; a zip bomb is not unpacked."""
    with pytest.raises(InvalidHandle):
        from_chain_token(forged(fields), KEY)


def test_a_signature_is_needed() -> None:
    """Nobody without the credentials can have somebody else's files sent: a changed path does not get through."""
    token = to_chain_token(handle(), KEY)
    data = token[len(PREFIX) :]
    raw = base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
    body = zlib.decompress(raw[16:]).replace(b"face.png", b"/etc/passwd")
    packed = zlib.compress(body)
    for sign in (raw[:16], bytes(16), hmac.new(b"other", packed, hashlib.sha256).digest()[:16]):
        changed = PREFIX + base64.urlsafe_b64encode(sign + packed).decode().rstrip("=")
        with pytest.raises(InvalidHandle, match="other credentials"):
            from_chain_token(changed, KEY)
    assert from_chain_token(token, KEY).name == "ak-abcdefghij"
    with pytest.raises(InvalidHandle):
        from_chain_token(token, b"other")


@pytest.mark.asyncio
async def test_a_token_calls_only_what_generate_plans() -> None:
    """Operations that no route has are refused, so that a token cannot reach into the client."""
    async with avatarkit.AsyncHiFly("token") as client:
        task = to_token(
            Handle(provider="hifly", account=client.account_id, kind=Kind.AVATAR, task_id="t", born=1.0)
        )
        for operation in ("files.upload", "_account.aclose", "aclose", "videos.__init__"):
            steps = (CLONE, Step(operation=operation, arguments={}))
            token = to_chain_token(
                handle(*steps, account=client.account_id, task=task), client._account.signing_key
            )
            with pytest.raises(InvalidHandle, match="none of the provider's"):
                client.task(token)
        fine = to_chain_token(handle(account=client.account_id, task=task), client._account.signing_key)
        chain = client.task(fine)
        assert isinstance(chain, AsyncChain)
        assert client.task(fine) is chain
        assert chain.id == "t"


# -- before the first billed step -------------------------------------------------------------------------------------


async def look(provider: str, *, preflight: bool = True, staging: str | None = "", **request: Any) -> None:
    """Look into the steps of a request as ``generate`` does, with a client that can reach nothing."""
    generation = providers.part(provider, "generate")
    steps = generation.plan(VideoRequest(**request)).steps
    keys = ["key" for _ in providers.spec(provider).credentials]
    client = providers.client_class(provider)(*keys, staging=staging, base_url="http://127.0.0.1:9")
    async with client:
        await ready(client, steps, generation, CallOptions(preflight=preflight))


FILM = "https://media.example.com/a.mp4"
UNTOLD = b"ID3\x04" + bytes(64)
CONSENT = {"guiji": {"authorize_text": "I consent.", "authorize_url": FILM}}


@pytest.mark.asyncio
@pytest.mark.parametrize("preflight", [True, False])
async def test_a_sound_of_unknown_length_is_refused_before_faces_are_paid_for(
    preflight: bool,
) -> None:
    """Kling: with preflight or without, its end has to be known; given as an option, or measured, it is fine."""
    with pytest.raises(InvalidRequest, match="sound_end"):
        await look("kling", video=FILM, audio=UNTOLD, preflight=preflight)
    with pytest.raises(InvalidRequest, match="at least 2 s"):
        await look("kling", video=FILM, audio=wav(1.0), preflight=preflight)
    await look("kling", video=FILM, audio=wav(6.0), preflight=preflight)
    if not preflight:
        await look(
            "kling", video=FILM, audio=UNTOLD, preflight=preflight, options={"kling": {"sound_end": 4.0}}
        )


@pytest.mark.asyncio
async def test_a_picture_too_wide_is_refused_before_its_text_is_spoken() -> None:
    """Kling: the ratio is looked at before the speech is billed, unless preflight is off."""
    wide = {"image": png(1000, 310), "text": "Good morning.", "voice": "AOT"}
    with pytest.raises(InvalidRequest, match="1000x310"):
        await look("kling", **wide)
    await look("kling", **wide, preflight=False)


@pytest.mark.asyncio
async def test_everything_wrong_in_all_steps_is_listed() -> None:
    """Files that are missing, uploads where there are none, and URLs that are too long or have blanks."""
    with pytest.raises(InvalidRequest) as caught:
        await look("guiji", video="no.mp4", audio="no.wav", options=CONSENT)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["video", "audio"]
    with pytest.raises(InvalidRequest, match="uploaded file"):
        await look("guiji", video=FILM, audio=UploadedFile(id="f"), options=CONSENT)
    await look("hifly", video=FILM, audio=UploadedFile(id="f"))
    with pytest.raises(InvalidRequest, match="not an http"):
        await look("guiji", video=FILM, audio="https://media.example.com/a b.wav", options=CONSENT)
    with pytest.raises(InvalidRequest, match="600 characters"):
        await look("hifly", video=FILM.ljust(600, "x"), audio=UploadedFile(id="f"))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("provider", "request_"),
    [
        ("guiji", {"video": FILM, "audio": wav(6.0), "options": CONSENT}),
        ("kling", {"video": b"\x00\x00\x00\x18ftypmp42", "text": "Good morning.", "voice": "AOT"}),
    ],
)
async def test_no_staging(provider: str, request_: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A local file in any step that takes URLs only, and no staging: refused, with what to set up."""
    monkeypatch.delenv("AVATARKIT_STAGING", raising=False)
    for staging in ("", None):
        with pytest.raises(UnsupportedOperation, match="takes only URLs") as caught:
            await look(provider, **request_, preflight=False, staging=staging)
        assert "AVATARKIT_STAGING" in caught.value.hint
    await look(provider, **request_, preflight=False, staging="sandbox+http://127.0.0.1:9")
